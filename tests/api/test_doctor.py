"""`sluice doctor` and `sluice config check` say what is wrong, and nothing else."""

import json
import os
import signal
import socket
import subprocess
import uuid

import psycopg
import pytest

from redis_server import RedisServer
from server import BINARY, Sluice, clean_environment
from upstream import Upstream, certificate

CHECKS = ["settings", "data_dir", "owner", "filesystem", "disk", "fdatasync", "files", "memory",
          "listen", "admin_listen", "postgresql", "schema", "indexes", "grants", "durability",
          "clock", "users", "backlog", "deadletters", "redis", "kafka",
          "topic", "flushers", "upstream"]


def sluice(*words, env=None, **more):
    done = subprocess.run([BINARY, *words], capture_output=True, text=True, timeout=60,
                          env=clean_environment(env), check=False, **more)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def examine(data_dir, pg_uri=None, *more):
    """check -> (verdict, all that was said); the exit code fits the verdicts."""
    uri = ["--pg-uri", pg_uri] if pg_uri else []
    ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]
    code, out, _ = sluice("doctor", "--json", "--data-dir", str(data_dir), *uri, *ports, *more)
    found = json.loads(out)
    assert [c["check"] for c in found] == CHECKS
    assert code == any(c["verdict"] == "fail" for c in found)
    return {c["check"]: (c["verdict"], c["saw"] + ": " + c["remedy"]) for c in found}


@pytest.fixture(scope="module")
def uri(postgres):
    name = "doctor_" + uuid.uuid4().hex[:8]
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def data(uri, tmp_path_factory):
    """A data directory and a database that a server has used and left in order."""
    folder = tmp_path_factory.mktemp("doctor") / "data"
    with Sluice(uri, data_dir=str(folder)):
        pass
    return folder


def test_the_lines(data, uri):
    code, out, _ = sluice("doctor", "--data-dir", str(data), "--pg-uri", uri, "--listen",
                          "127.0.0.1:0", "--admin-listen", "127.0.0.1:0")
    assert [line.split()[1] for line in out.splitlines()] == CHECKS
    assert all(line.split()[0] in ("ok", "warn", "fail") for line in out.splitlines())
    assert code == ("fail" in [line.split()[0] for line in out.splitlines()])


def test_nothing_is_wrong_with_what_a_server_leaves(data, uri):
    found = examine(data, uri)
    # The tests' own PostgreSQL runs without fsync, and it is said.
    assert found.pop("durability")[0] == "fail"
    good = {name for name, (verdict, _) in found.items() if verdict == "ok"}
    assert good >= set(CHECKS) - {"durability", "filesystem", "fdatasync", "disk", "memory",
                                  "files", "postgresql"}, found
    assert "PostgreSQL 1" in found["postgresql"][1]
    assert not [n for n in os.listdir(data) if n.startswith("doctor-")]


def test_a_database_that_does_not_answer(data):
    found = examine(data, "postgresql://nobody@127.0.0.1:1/none")
    assert found["postgresql"][0] == "fail" and "Connection refused" in found["postgresql"][1]
    assert found["schema"] == ("warn", "not looked at: no connection: ")


def test_what_is_wrong_in_the_database(data, postgres):
    name = "doctor_" + uuid.uuid4().hex[:8]
    uri = postgres.create_database(name)
    assert examine(data, uri)["schema"][0] == "warn"  # empty
    assert sluice("schema", "create", "--pg-uri", uri)[0] == 0
    with psycopg.connect(uri, autocommit=True) as pg:
        assert sluice("schema", "tune", "metrics_run_uuid", "metrics_primary_key", "--pg-uri", uri)[0] == 0
        verdict, said = examine(data, uri)["indexes"]
        assert verdict == "ok" and "schema tune" in said  # the key covers both
        assert sluice("schema", "untune", "--pg-uri", uri)[0] == 0
        assert examine(data, uri)["indexes"] == ("ok", "all of MLflow's are there: ")
        pg.execute("DROP INDEX index_metrics_run_uuid_key_step")
        pg.execute("DROP INDEX index_metrics_run_uuid")
        verdict, said = examine(data, uri)["indexes"]
        assert verdict == "warn" and "index_metrics_run_uuid_key_step" in said
        assert "index_metrics_run_uuid," not in said  # the other covers it
        pg.execute("ALTER TABLE latest_metrics DROP CONSTRAINT latest_metric_pk")
        verdict, said = examine(data, uri)["indexes"]
        assert verdict == "fail" and "latest_metrics" in said
        pg.execute("UPDATE alembic_version SET version_num = 'other'")
        verdict, said = examine(data, uri)["schema"]
        assert verdict == "fail" and "other" in said
    postgres.drop_database(name)


def test_what_the_role_lacks(data, uri):
    role = "poor_" + uuid.uuid4().hex[:8]
    poor = uri.replace("tester@", role + "@")
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute(f"CREATE ROLE {role} LOGIN")
        verdict, said = examine(data, poor)["grants"]
        assert verdict == "fail" and "no right to INSERT on" in said and "sluice" in said
        pg.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}")
        pg.execute(f"GRANT ALL ON SCHEMA sluice TO {role}")
        pg.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA sluice TO {role}")
        verdict, said = examine(data, poor)["grants"]
        remedy = f'GRANT SET ON PARAMETER session_replication_role TO "{role}"'
        assert verdict == "warn" and remedy in said
        pg.execute(remedy)
        assert examine(data, poor)["grants"][0] == "ok"
        pg.execute(f"REVOKE SET ON PARAMETER session_replication_role FROM {role}")
        pg.execute(f"DROP OWNED BY {role}")
        pg.execute(f"DROP ROLE {role}")


@pytest.mark.parametrize("tls", [False, True])
def test_redis_that_forgets_hangs_and_is_gone(data, uri, tls):
    with RedisServer(tls) as redis:
        verdict, words = examine(data, uri, *redis.args)["redis"]
        assert "maxmemory-policy noeviction" in words and "round trip" in words
        assert ("with TLS" if tls else "without TLS") in words
        assert verdict == "ok" or "run it nearer" in words, words
        redis.command("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
        verdict, words = examine(data, uri, *redis.args)["redis"]
        assert verdict == "warn" and "may forget positions" in words, words
        redis.pause()
        verdict, words = examine(data, uri, *redis.args)["redis"]
        assert verdict == "warn" and "no answer" in words, words
        redis.resume()
        redis.kill()
        verdict, words = examine(data, uri, *redis.args)["redis"]
        assert verdict == "warn" and "no answer" in words, words
        assert "s3cret" not in words


@pytest.mark.parametrize("tls", [False, True])
def test_an_upstream_that_is_well_hangs_and_is_gone(data, uri, tls, tmp_path):
    trusted = certificate(tmp_path, "good", "127.0.0.1") if tls else None
    with Upstream(trusted) as upstream:
        def seen(path="", ca=trusted, *more):
            args = ["--upstream", upstream.url + path, "--upstream-connect-timeout", "2s"]
            return examine(data, uri, *args, *(["--upstream-ca", ca] if ca else []), *more)["upstream"]

        verdict, words = seen()
        assert verdict == "ok" and upstream.url + " answers /health" in words, words
        verdict, words = seen("/status")  # a server with other paths
        assert verdict == "warn" and "/health with 404" in words, words
        if tls:
            verdict, words = seen(ca=certificate(tmp_path, "other", "127.0.0.1"))
            assert verdict == "warn" and "self-signed" in words, words
            verdict, words = seen(ca=str(tmp_path / "none"))
            assert verdict == "fail" and "upstream_ca" in words, words
        upstream.signal(signal.SIGSTOP)
        verdict, words = seen()
        assert verdict == "warn" and "in time" in words, words
        upstream.signal(signal.SIGCONT)
        upstream.kill()
        verdict, words = seen()
        assert verdict == "warn" and "connection refused" in words, words
        verdict, words = seen("", trusted, "--pg-uri", "sqlite:///x.db")
        assert verdict == "fail" and "All is passed on" in words, words


def test_an_upstream_with_other_workspaces(data, uri):
    """What says server-info behind is held against enable_workspaces, both ways."""
    for theirs, words in (([], "runs without workspaces, and this server with"),
                          (["--enable-workspaces"], "runs with workspaces, and this server without")):
        with Sluice(uri, args=theirs) as other:
            same = examine(data, uri, "--upstream", other.url, *theirs)["upstream"]
            assert same[0] == "ok" and "workspaces" not in same[1], same
            ours = [] if theirs else ["--enable-workspaces"]
            found = examine(data, uri, "--upstream", other.url, *ours)["upstream"]
            assert found[0] == "warn" and words in found[1], found


def test_a_port_that_is_taken(data, uri):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        found = examine(data, uri, "--listen", address)
    assert found["listen"][0] == "fail" and address.split(":")[1] in found["listen"][1]
    assert found["admin_listen"][0] == "ok"


def test_limits_that_are_too_tight(data, uri):
    found = examine(data, uri, "--journal-max-bytes", "16TiB")
    assert found["disk"][0] == "warn" and "journal_max_bytes" in found["disk"][1]
    found = examine(data, uri, "--body-memory-bytes", "1TiB")
    assert found["memory"][0] == "fail"
    found = examine(data, uri, "--ring-bytes", "16GiB")
    assert found["settings"][0] == "warn" and "ring_bytes" in found["settings"][1]


def test_kinds_of_directories(tmp_path, uri):
    assert examine(tmp_path / "none", uri)["data_dir"][0] == "warn"
    (tmp_path / "file").write_text("")
    assert examine(tmp_path / "file", uri)["data_dir"][0] == "fail"
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert examine(tmp_path / "open", uri)["data_dir"][0] == "warn"
    verdict, said = examine("/dev/shm", uri)["filesystem"]
    assert verdict == "warn" and "tmpfs" in said and "power" in said


def test_points_that_wait(postgres, tmp_path):
    """A server that runs, one that was killed, one that holds letters."""
    import requests

    name = "doctor_" + uuid.uuid4().hex[:8]
    uri = postgres.create_database(name)
    with Sluice(uri, data_dir=str(tmp_path / "data"), args=["--flush-interval", "60s"]) as server:
        run = requests.post(server.url + "/api/2.0/mlflow/runs/create", timeout=30,
                            json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
        for step in range(3):
            assert requests.post(server.url + "/api/2.0/mlflow/runs/log-metric", timeout=30, json={
                "run_id": run, "key": "m", "value": 1, "timestamp": 1, "step": step}).ok
        ports = ["--listen", server.url.split("/")[2]]
        found = examine(server.data_dir, uri, *ports)
        assert str(server.process.pid) in found["owner"][1]
        assert found["listen"][0] == "ok"  # it is that server's
        assert found["backlog"][0] == "ok" and "3 points wait" in found["backlog"][1]
        server.kill()
        found = examine(server.data_dir, uri, *ports)
        assert found["owner"][1].startswith("no process")
        assert found["backlog"][0] == "warn" and "3 points wait" in found["backlog"][1]
        with psycopg.connect(uri) as pg:
            pg.execute("DELETE FROM tags")
            pg.execute("DELETE FROM runs")
        server.start()
        server.stop()
        found = examine(server.data_dir, uri)
        assert found["backlog"] == ("ok", "everything is in PostgreSQL: ")
        assert found["deadletters"][0] == "warn" and "with 3 points" in found["deadletters"][1]
        server.start()
    postgres.drop_database(name)


def test_a_private_cluster_stopped_and_running(tmp_path):
    with Sluice(data_dir=str(tmp_path / "data")) as server:
        found = examine(server.data_dir)
        assert "private cluster" in found["postgresql"][1]
        assert {found[c][0] for c in ("schema", "indexes", "grants", "durability")} == {"ok"}
    found = examine(tmp_path / "data")
    assert found["postgresql"][0] == "warn" and "does not run" in found["postgresql"][1]
    assert "fail" not in {verdict for verdict, _ in found.values()}


# -- config check -----------------------------------------------------------------------------------

def test_config_check_lists_everything_that_is_wrong(tmp_path):
    path = tmp_path / "sluice.conf"
    path.write_text("flush_rows = 10\nflush_rowz = 5\n# fine\nworkers = many\nlisten\n"
                    "read_wait = 99h\njournal_segment_bytes = 1GiB\njournal_max_bytes = 1GiB\n")
    code, out, said = sluice("config", "check", str(path))
    assert code == 1 and out == ""
    lines = said.splitlines()
    assert [line.split(":")[1] for line in lines[:-1]] == ["2", "4", "5", "6"]
    assert 'unknown setting "flush_rowz"; did you mean flush_rows?' in lines[0]
    assert "from 0s to 60s" in lines[3]
    assert "at least two segments" in lines[4] and len(lines) == 5
    code, _, said = sluice("config", "check", str(tmp_path / "none"))
    assert code == 1 and "cannot read" in said


def test_config_check_warns_of_what_is_hardly_meant(tmp_path):
    path = tmp_path / "sluice.conf"
    path.write_text("flushers = 0\nring_bytes = 16GiB\n")
    code, out, said = sluice("config", "check", str(path))
    assert code == 0 and said == ""
    assert out.splitlines()[0] == "the settings are good"
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["warning:", "warning:"]
    path.write_text("")
    assert sluice("config", "check", str(path))[1] == "the settings are good\n"
    # The environment wins over the file, as it does for serve.
    assert sluice("config", "check", str(path), env={"SLUICE_FLUSHERS": "0"})[1].count("warn") == 1
    code, _, said = sluice("config", "check", str(path), env={"SLUICE_FLUSHERZ": "0"})
    assert code == 1 and "SLUICE_FLUSHERZ" in said
