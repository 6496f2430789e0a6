"""auth = basic: who is let in, what that costs, and how soon a change is seen."""

import concurrent.futures
import contextlib
import os
import signal
import subprocess
import threading
import time

import mlflow
import psycopg
import pytest
import requests

from auth import (ADMIN, ENVIRONMENT, EXPERIMENT, USERS, add_user, basic, exchange, guarded,
                  set_password, status)
from redis_server import RedisServer
from server import BINARY, clean_environment, wait_until

WORDS = ("You are not authenticated. Please see "
         "https://www.mlflow.org/docs/latest/auth/index.html#authenticating-to-mlflow "
         "on how to authenticate.")
ALICE = ("alice", "alicepass12345")


@pytest.fixture(scope="module")
def server(database):
    with guarded(database) as s:
        add_user(database, *ALICE)
        yield s


def as_user(server, name, password):
    return wait_until(lambda: status(server, (name, password)) == 200, 30, f"{name} is let in")


def test_the_stock_client_logs_with_its_variables(server, monkeypatch):
    answer = requests.post(server.url + "/api/3.0/mlflow/users/permissions/grant", auth=ADMIN, timeout=60,
                           json={"username": ALICE[0], "resource_type": "experiment",
                                 "resource_id": "0", "permission": "EDIT"})
    assert answer.status_code == 200, answer.text
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", ALICE[0])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", ALICE[1])
    client = mlflow.MlflowClient(server.url)
    run = client.create_run("0").info.run_id
    for step in range(20):
        client.log_metric(run, "m", step, step=step)
    assert client.get_run(run).data.metrics == {"m": 19.0}
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with pytest.raises(mlflow.exceptions.MlflowException, match="authenticat"):
        client.get_run(run)


def test_who_is_not_known_gets_401_in_the_words_of_mlflow(server):
    for headers in ([], [b"Authorization: " + basic("alice", "wrong").encode()]):
        code, fields, body = exchange(server.url, headers)
        assert code == 401
        assert body.decode() == WORDS
        assert fields["www-authenticate"] == 'Basic realm="mlflow"'
        assert fields["content-type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("path", ["/version", "/metrics", "/sluice/status", "/nowhere", "/", "/graphql",
                                  "/api/2.0/mlflow/runs/log-metric", "/signup", "/api/2.0/mlflow/nothing"])
def test_every_other_path_asks(server, path):
    assert status(server, path=path) == 401
    assert status(server, path=path, method="OPTIONS") == 401
    assert status(server, ALICE, path=path) != 401


@pytest.mark.parametrize("path", ["/metrics", "/sluice/status", "/sluice/api/v1/status",
                                  "/sluice/api/v1/status/names"])
def test_how_the_server_does_is_for_admins(server, path):
    assert status(server, ALICE, path=path) == 403
    assert status(server, ADMIN, path=path) == 200
    assert requests.get(server.admin_url + path, timeout=30).status_code == 200


@pytest.mark.parametrize("path, code", [
    ("/health", 200), ("/livez", 200), ("/readyz", 200), ("/api/3.0/mlflow/server-info", 200),
    ("/ajax-api/3.0/mlflow/server-info", 200), ("/healthz", 404), ("/static-files/x", 404),
    ("/favicon.ico", 404), ("/api/7.1/mlflow/server-info", 404)])
def test_open_paths_do_not_ask(server, path, code):
    assert status(server, path=path) == code


@pytest.mark.parametrize("path", ["/api/3/mlflow/server-info", "/api/x.0/mlflow/server-info",
                                  "/api/3.0.1/mlflow/server-info", "/x/mlflow/server-info",
                                  "/api/3.0//mlflow/server-info", "/api/.0/mlflow/server-info"])
def test_what_merely_ends_as_an_open_path_asks(server, path):
    assert status(server, path=path) == 401


def test_a_static_prefix_opens_nothing(database):
    with guarded(database, "--static-prefix", "/static") as server:
        assert status(server, path="/static/health") == 200
        assert status(server, path="/static" + EXPERIMENT) == 401
        assert status(server, path="/static" + USERS + "current") == 401
        assert status(server, ADMIN, path="/static" + USERS + "current") == 200


def test_the_admins_listener_does_not_ask(server):
    assert requests.get(server.admin_url + "/metrics", timeout=10).status_code == 200


def test_passwords_are_bytes_of_utf8_and_may_hold_colons(database, server):
    for name, password, method in (("ümläut", "pässwörd:1:2", "scrypt"),
                                   ("old", "pbkdf2password", "pbkdf2:sha256:1000"),
                                   ("sha1", "pbkdf2password", "pbkdf2:sha1:1000"),
                                   ("blank", " leading and trailing ", "scrypt")):
        add_user(database, name, password, method=method)
        assert status(server, (name, password)) == 200
        assert status(server, (name, password + "x")) == 401
        assert status(server, (name.upper(), password)) == 401


def test_hashes_that_are_none_let_nobody_in(database, server):
    with psycopg.connect(database, autocommit=True) as pg:
        for i, value in enumerate((None, "", "secret", "$$", "scrypt:1:1:1$a$b", "md5$a$b")):
            pg.execute("INSERT INTO users (username, password_hash) VALUES (%s, %s)",
                       (f"odd{i}", value))
            for password in ("", "secret", "b"):
                assert status(server, (f"odd{i}", password)) == 401


def test_the_second_request_is_not_hashed(server):
    as_user(server, *ALICE)
    before = server.stat("sluice_auth_checks_total")
    with requests.Session() as session:
        for _ in range(200):
            assert session.get(server.url + EXPERIMENT, auth=ALICE, timeout=60).status_code == 200
    # The other worker may not know her yet; its thread does.
    assert server.stat("sluice_auth_checks_total") <= before + 1


def test_many_at_once_are_hashed_once(database, server):
    add_user(database, "crowd", "crowdpassword")
    before = server.stat("sluice_auth_checks_total")
    codes = []
    threads = [threading.Thread(target=lambda: codes.append(status(server, ("crowd", "crowdpassword"))))
               for _ in range(40)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert codes == [200] * 40
    assert server.stat("sluice_auth_checks_total") <= before + 2  # of two workers


def test_a_password_changed_elsewhere_is_seen_within_auth_ttl(database, server):
    add_user(database, "mover", "firstpassword")
    as_user(server, "mover", "firstpassword")
    set_password(database, "mover", "secondpassword")
    wait_until(lambda: status(server, ("mover", "firstpassword")) == 401, 15, "the old one is refused")
    assert status(server, ("mover", "secondpassword")) == 200


def test_a_user_deleted_or_renamed_elsewhere_is_seen_within_auth_ttl(database, server):
    add_user(database, "gone", "gonepassword1")
    add_user(database, "before", "beforepassword")
    as_user(server, "gone", "gonepassword1")
    as_user(server, "before", "beforepassword")
    with psycopg.connect(database, autocommit=True) as pg:
        pg.execute("DELETE FROM users WHERE username = 'gone'")
        pg.execute("UPDATE users SET username = 'after' WHERE username = 'before'")
    wait_until(lambda: status(server, ("gone", "gonepassword1")) == 401, 15, "gone")
    wait_until(lambda: status(server, ("before", "beforepassword")) == 401, 15, "renamed")
    assert status(server, ("after", "beforepassword")) == 200


def test_a_change_through_a_call_is_seen_at_once_by_every_worker(server):
    def call(method, name, **body):
        answer = requests.request(method, server.url + USERS + name, json=body, auth=ADMIN, timeout=60)
        assert answer.status_code == 200, answer.text

    def everywhere(password):  # connections are spread over the workers
        return {status(server, ("quick", password)) for _ in range(16)}

    call("POST", "create", username="quick", password="quickpassword")
    assert everywhere("quickpassword") == {200}
    call("PATCH", "update-password", username="quick", password="otherpassword")
    assert everywhere("quickpassword") == {401}
    assert everywhere("otherpassword") == {200}
    call("DELETE", "delete", username="quick")
    assert everywhere("otherpassword") == {401}


def test_without_auth_ttl_every_request_looks(database, tmp_path):
    with guarded(database, "--auth-ttl", "0s") as server:
        add_user(database, "strict", "strictpassword")
        as_user(server, "strict", "strictpassword")
        assert status(server, ("strict", "strictpassword")) == 200
        set_password(database, "strict", "newstrictpassword")
        assert status(server, ("strict", "strictpassword")) == 401
        assert status(server, ("strict", "newstrictpassword")) == 200


def test_failing_logins_are_answered_429_and_right_ones_go_on(database):
    with guarded(database, "--auth-failure-rate", "1") as server:
        assert status(server, ADMIN) == 200
        answers = []
        threads = [threading.Thread(target=lambda i=i: answers.append(requests.get(
            server.url + EXPERIMENT, auth=("admin", f"guess{i}"), timeout=60))) for i in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        codes = [a.status_code for a in answers]
        assert codes.count(429) >= 5 and set(codes) <= {401, 429}
        assert all("retry-after" in a.headers for a in answers if a.status_code == 429)
        assert server.stat("sluice_auth_checks_total") <= 1 + codes.count(401)
        assert status(server, ADMIN) == 200  # known: nothing is hashed


def test_behind_a_proxy_each_client_has_its_own_rate(database):
    """Who guesses is bounded, not everybody behind the same proxy; who is no proxy speaks for nobody."""
    with guarded(database, "--auth-failure-rate", "1", "--trusted-proxies", "127.0.0.1") as server:
        assert 429 in guesses_from(server, ["192.0.2.1"] * 40)
        assert status_from(server, "192.0.2.2", ADMIN) == 200
    with guarded(database, "--auth-failure-rate", "1", "--trusted-proxies", "192.0.2.0/24") as server:
        assert 429 in guesses_from(server, [f"198.51.100.{i}" for i in range(40)])


def guesses_from(server, addresses):
    """All at once: on a slow machine one after the other is slower than the rate."""
    with concurrent.futures.ThreadPoolExecutor(len(addresses)) as pool:
        return list(pool.map(lambda item: status_from(server, item[1], ("admin", f"guess{item[0]}")),
                             enumerate(addresses)))


def status_from(server, address, auth):
    return requests.get(server.url + EXPERIMENT, timeout=60, headers={
        "Authorization": basic(*auth), "X-Forwarded-For": address}).status_code


def test_guessing_does_not_touch_those_who_log(database):
    """Eight peers try names and passwords as fast as they can; a job that is known logs on."""
    with guarded(database, "--auth-failure-rate", "1") as server:
        run = mlflow_run(server)
        stop, guesses = threading.Event(), []

        def guess(i):
            n = 0
            while not stop.is_set() and n < 2000:
                guesses.append(status(server, (f"user{i}-{n}", "guess")))
                n += 1

        threads = [threading.Thread(target=guess, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        try:
            wait_until(lambda: guesses, 60, "one has guessed")
            with requests.Session() as session:
                codes = {session.post(server.url + "/api/2.0/mlflow/runs/log-metric", auth=ADMIN, timeout=60,
                                      json={"run_id": run, "key": "m", "value": 1, "timestamp": i,
                                            "step": i}).status_code for i in range(300)}
        finally:
            stop.set()
            for t in threads:
                t.join()
        assert codes == {200}
        assert set(guesses) <= {401, 429}
        assert server.stat("sluice_auth_checks_total") <= 1 + guesses.count(401)


def mlflow_run(server):
    answer = requests.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"},
                           auth=ADMIN, timeout=60)
    return answer.json()["run"]["info"]["run_id"]


def test_unknown_names_are_hashed_too(server):
    """What would tell them apart is time, which no test measures; the work is counted."""
    before = server.stat("sluice_auth_checks_total")
    assert status(server, ("nobody-at-all", "x")) == 401
    assert status(server, ("n" * 2000, "x")) == 401
    assert status(server, ("nul\0nul", "x")) == 401
    assert server.stat("sluice_auth_checks_total") == before + 3


def test_the_password_that_older_versions_shipped_is_refused_to_admins(database, server):
    add_user(database, "oldadmin", "password1234", admin=True)
    add_user(database, "olduser", "password1234")
    assert status(server, ("oldadmin", "password1234")) == 401
    assert status(server, ("olduser", "password1234")) == 200


def test_users_in_a_database_of_their_own(postgres, database):
    users = postgres.create_database("users_apart")
    with guarded(database, "--auth-pg-uri", users.replace("postgresql:", "postgresql+psycopg2:")) as s:
        add_user(users, "apart", "apartpassword")
        assert status(s, ("apart", "apartpassword")) == 200
        assert status(s, ALICE) == 401
        answer = requests.post(s.url + USERS + "create", auth=ADMIN, timeout=60,
                               json={"username": "more", "password": "morepassword"})
        assert answer.status_code == 200
    with psycopg.connect(users) as pg:
        assert pg.execute("SELECT count(*) FROM users").fetchone() == (3,)
    postgres.drop_database("users_apart")


@contextlib.contextmanager
def frozen(uri):
    """PostgreSQL's processes of this database's sessions do not run."""
    with psycopg.connect(uri) as pg:
        pids = [pid for pid, in pg.execute("SELECT pid FROM pg_stat_activity WHERE datname = "
                                           "current_database() AND pid <> pg_backend_pid()")]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def fresh(server):
    """Was Alice let in, and not for want of an answer?"""
    before = server.stat("sluice_auth_stale_total")
    assert status(server, ALICE) == 200
    return server.stat("sluice_auth_stale_total") == before


def test_known_users_outlive_the_database_of_users_and_others_get_503(tmp_path):
    """The users' database goes, that of the experiments stays: never 401, and never for ever."""
    from cluster import Cluster
    with Cluster() as main, Cluster() as other:
        uri, users = main.create_database("main"), other.create_database("users")
        with guarded(uri, "--auth-pg-uri", users, "--auth-ttl", "1s", "--auth-grace", "10s",
                     "--sql-timeout", "20s") as server:
            add_user(users, *ALICE)
            as_user(server, *ALICE)
            assert {status(server, ALICE) for _ in range(16)} == {200}  # both workers know her
            with frozen(users):  # connected, and silent: nobody waits for sql_timeout
                until = time.monotonic() + 3
                while time.monotonic() < until:
                    began = time.monotonic()
                    assert status(server, ALICE) == 200
                    assert time.monotonic() - began < 10
            wait_until(lambda: fresh(server), 30, "it answers again")
            other.stop()
            seen = time.monotonic()
            assert status(server, ("stranger", "strangerpassword")) == 503
            codes = set()
            while time.monotonic() < seen + 4:
                codes.add(status(server, ALICE))
            assert codes == {200}
            assert server.stat("sluice_auth_stale_total") > 0
            wait_until(lambda: status(server, ALICE) == 503, 30, "auth_grace ends")
            other.start()
            wait_until(lambda: status(server, ALICE) == 200, 30, "the database is back")
            assert status(server, ("stranger", "strangerpassword")) == 401


def test_what_is_under_way_ends_with_the_server(database):
    """Logins that wait to be hashed do not hold the end up."""
    with guarded(database, "--drain-timeout", "0s") as server:
        threads = [threading.Thread(target=lambda i=i: attempt(server, i)) for i in range(60)]
        for t in threads:
            t.start()
        wait_until(lambda: server.stat("sluice_auth_checks_total") > 0, 30, "one is hashed")
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 30
        for t in threads:
            t.join()


def attempt(server, i):
    try:
        status(server, (f"user{i}", "x"))
    except requests.RequestException:
        pass  # the server has gone


# -- the start -----------------------------------------------------------------------------------


def refused(uri, tmp_path, env=None, *args):
    result = subprocess.run(
        [BINARY, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir",
         str(tmp_path / "data"), "--pg-uri", uri, "--auth", "basic", *args],
        env=clean_environment(env), capture_output=True, text=True, timeout=60)
    assert result.returncode > 0, result.stdout + result.stderr
    assert "Sanitizer" not in result.stderr
    return result.stderr


@pytest.fixture
def empty(postgres):
    postgres.drop_database("auth_empty")
    yield postgres.create_database("auth_empty")
    postgres.drop_database("auth_empty")


@pytest.mark.parametrize("change, words", [
    ({"MLFLOW_FLASK_SERVER_SECRET_KEY": ""}, "A static secret key needs to be set for CSRF protection."),
    ({"MLFLOW_AUTH_ADMIN_PASSWORD": ""}, "needs a password to create the admin user 'admin'"),
    ({"MLFLOW_AUTH_ADMIN_PASSWORD": "elevenchars"}, "Password must be at least 12 characters."),
    ({"MLFLOW_AUTH_ADMIN_PASSWORD": "password1234"}, "Refusing to use the insecure default password"),
    ({"MLFLOW_AUTH_ADMIN_USERNAME": ""}, "needs a username for the admin user"),
    ({"MLFLOW_AUTH_CONFIG_PATH": "/nowhere/auth.ini"}, "/nowhere/auth.ini"),
    ({"MLFLOW_BASIC_AUTH_FAIL_CLOSED": "maybe"}, "MLFLOW_BASIC_AUTH_FAIL_CLOSED")])
def test_what_mlflow_does_not_start_with_we_do_not(empty, tmp_path, change, words):
    assert words in refused(empty, tmp_path, {**ENVIRONMENT, **change})


@pytest.mark.parametrize("text, words", [
    ("", "[mlflow]"), ("[mlflow]\ndefault_permission = READ\n", "database_uri"),
    ("[mlflow]\ndatabase_uri = x\n", "default_permission"),
    ("[mlflow]\ndefault_permission = READ\ndatabase_uri = a%b\n", "%%"),
    ("[mlflow]\ndefault_permission = READ\ndatabase_uri = x\nauthorization_function = my.auth:check\n",
     "authorization_function = my.auth:check is a Python function, which only a stock server can run: "
     "set upstream")])
def test_a_file_that_says_what_cannot_be_done(empty, tmp_path, text, words):
    path = tmp_path / "auth.ini"
    path.write_text(text)
    assert words in refused(empty, tmp_path, {**ENVIRONMENT, "MLFLOW_AUTH_CONFIG_PATH": str(path)})


def test_the_file_names_database_and_admin(postgres, database, tmp_path):
    postgres.drop_database("auth_%")
    users = postgres.create_database("auth_%")
    path = tmp_path / "auth.ini"
    uri = users.replace("postgresql:", "postgresql+psycopg2:").replace("auth_%", "auth_%25")
    path.write_text("[mlflow]\ndefault_permission = READ\nadmin_username = root\n"
                    f"admin_password = rootpassword\ndatabase_uri = {uri.replace('%', '%%')}\n")
    env = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "key", "MLFLOW_AUTH_ADMIN_PASSWORD": "variablepassword",
           "MLFLOW_AUTH_CONFIG_PATH": str(path)}
    with guarded(database, env=env) as server:
        assert status(server, ("root", "variablepassword")) == 200
        assert status(server, ("root", "rootpassword")) == 401
    with guarded(database, env={**env, "MLFLOW_AUTH_ADMIN_PASSWORD": "otherpassword"}) as server:
        assert status(server, ("root", "variablepassword")) == 200  # it is there: not touched
        assert "variablepassword" not in server.output()
    postgres.drop_database("auth_%")


def test_an_admin_with_the_shipped_password_gets_the_configured_one_once(empty):
    with guarded(empty) as server:
        set_password(empty, "admin", "password1234")
    with guarded(empty, env={"MLFLOW_AUTH_ADMIN_PASSWORD": "rotatedpassword"}) as server:
        assert "replaced the password" in server.output()
        assert status(server, ("admin", "rotatedpassword")) == 200
        assert status(server, ("admin", "password1234")) == 401


# -- a file of names -------------------------------------------------------------------------------


def hashed(*how):
    return subprocess.run(["openssl", "passwd", *how], capture_output=True, text=True,
                          check=True).stdout.strip()


def test_names_of_a_file_log_in_and_a_change_of_it_is_seen(database, tmp_path):
    path = tmp_path / "users"
    path.write_text(f"# people\nfiled:{hashed('-apr1', 'filedpassword')}\n"
                    f"alice:{hashed('-6', 'of the file')}\n")
    with guarded(database, "--auth-htpasswd", str(path)) as server:
        assert status(server, ("filed", "filedpassword")) == 200
        assert status(server, ("filed", "wrong")) == 401
        assert status(server, ("alice", "of the file")) == 200
        assert status(server, ALICE) == 401  # her row's hash does not count any more
        assert status(server, ADMIN) == 200  # not in the file: his does
        listed = requests.get(server.url + USERS + "list", auth=ADMIN, timeout=60).json()["users"]
        assert [u["is_admin"] for u in listed if u["username"] == "filed"] == [False]
        path.with_suffix(".new").write_text(f"filed:{hashed('-1', 'newfiledpassword')}\n")
        path.with_suffix(".new").rename(path)
        wait_until(lambda: status(server, ("filed", "filedpassword")) == 401, 20, "the old is refused")
        assert status(server, ("filed", "newfiledpassword")) == 200
        assert status(server, ("filed", "!")) == 401
        path.with_suffix(".new").write_text("nonsense\n")
        path.with_suffix(".new").rename(path)
        wait_until(lambda: "not read anew" in server.output(), 20, "a bad file is told")
        assert status(server, ("filed", "newfiledpassword")) == 200
    with psycopg.connect(database) as pg:
        assert pg.execute("SELECT password_hash FROM users WHERE username = 'filed'").fetchone() == ("!",)


def test_a_file_that_is_none_is_not_started_with(empty, tmp_path):
    path = tmp_path / "users"
    path.write_text("alice\n")
    assert f"{path}:1" in refused(empty, tmp_path, ENVIRONMENT, "--auth-htpasswd", str(path))


def test_limits_and_replays_are_each_users_own(database):
    one, two = ("one", "onepassword123"), ("two", "twopassword123")
    with RedisServer() as redis, guarded(
            database, *redis.args, "--rate-limit", "1", "--rate-limit-by", "user",
            "--create-replay-window", "60s") as server:
        for name, password in (one, two):
            add_user(database, name, password, admin=True)
        wait_until(lambda: server.stat("sluice_redis_connects_total") >= 3, 30, "redis is there")

        def call(user, path, **body):
            return requests.post(server.url + "/api/2.0/mlflow/" + path, json=body, auth=user,
                                 timeout=60)

        runs = [call(user, "runs/create", experiment_id="0", start_time=1).json()["run"]["info"][
            "run_id"] for user in (one, two, one)]
        assert runs[0] == runs[2] != runs[1], "a replay of somebody else's"
        metrics = [{"key": "m", "value": i, "timestamp": i, "step": i} for i in range(50)]
        assert call(one, "runs/log-batch", run_id=runs[0], metrics=metrics).status_code == 200
        assert call(one, "runs/log-batch", run_id=runs[0], metrics=metrics).status_code == 429
        assert call(two, "runs/log-batch", run_id=runs[1], metrics=metrics).status_code == 200
