"""Workspaces: what the comparison with a stock server (tests/conform/run.py --workspaces) cannot see.

Every statement in the program is limited to a workspace, or says why not; every route is asked for things of
another workspace there, or says here why not; the start refuses what MLflow's does; grants hold in their
workspace; and when the database is away a write goes on only where it may.
"""

import glob
import json
import os
import re
import subprocess

import msgpack
import psycopg
import pytest
import requests

from auth import ENVIRONMENT, add_user, basic, guarded
from server import BINARY, ROOT, Sluice, Stock, clean_environment, wait_until
from test_auth_schema import stock_ini
from upstream import Upstream

API = "/api/2.0/mlflow/"
MANY = "/api/3.0/mlflow/workspaces"
HEADER = "X-MLFLOW-WORKSPACE"
ON = ["--enable-workspaces", "true"]

# -- every statement ---------------------------------------------------------------------------------

# Texts of requests that name a table of MLflow's and no workspace: how they begin, and why that is right.
UNLIMITED = {
    "EXISTS (SELECT 1 FROM": "a clause of a search, whose rows are limited",
    " AND EXISTS (SELECT 1 FROM": "the same",
    "(SELECT v.metric_value FROM logged_model_metrics": "the order of a search, whose rows are limited",
    "JOIN input_tags": "a clause of a search",
    "SELECT r.run_uuid FROM runs r": "the beginning of a search, which SCOPE_ID or SCOPE_IDS limits",
    "SELECT e.experiment_id FROM experiments e WHERE": "the beginning of a search that SCOPE_EXPERIMENT limits",
}
# Files that ask on connections of their own: the start, commands.
NO_REQUESTS = re.compile(r"(workspace_start|gc\w*|cmd_\w+|doctor_\w+)\.o$")


def unlimited_texts():
    with open(os.path.join(ROOT, "schema/sql/mlflow.sql"), encoding="utf-8") as f:
        tables = set(re.findall(r"^CREATE TABLE (\w+) \(", f.read(), re.M))
    tables -= {"alembic_version", "workspaces", "job_locks", "scheduler_leases"}
    objects = [o for o in glob.glob(ROOT + "/build/obj/gateway/**/*.o", recursive=True) if not NO_REQUESTS.search(o)]
    assert len(objects) > 100
    for path in objects:
        with open(path, "rb") as f:
            program = f.read()
        for found in re.finditer(rb"[\t\n\x20-\x7e]{12,}(?=\0)", program):
            text = found.group().decode()
            names = re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE|USING) (\w+)", text)
            if tables.intersection(names) and not any(m in text for m in ("{+", "{ws}", "{found}")):
                yield text


def test_every_statement_is_limited_or_says_why_not():
    texts = list(unlimited_texts())
    assert {u for u in UNLIMITED if not any(t.startswith(u) for t in texts)} == set()
    assert [t for t in texts if not t.startswith(tuple(UNLIMITED))] == []


# -- every route ---------------------------------------------------------------------------------------

# Handlers whose calls look at nothing of a workspace's, or are tested here.
ELSEWHERE = {
    "api_health": "looks at nothing", "api_version": "looks at nothing", "api_livez": "looks at nothing",
    "api_readyz": "looks at nothing", "api_metrics": "counts the program", "api_status": "tells of the program",
    "api_status_json": "tells of the program", "api_status_names": "names of the workspace's alone", "api_server_info": "tells whether there are workspaces",
    "api_ui_gateway": "an empty answer of the program's", "api_ui_page": "files of the program", "api_ui_file": "files of the program",
    "proxy_handle": "the upstream gets the header and does the same",
    "api_signup_page": "users are of no workspace", "api_signup_form": "users are of no workspace",
    "api_log_batches": "test_a_stream_of_batches", "api_parts_create": "S3; paths as in artifacts/{path}",
    "api_parts_complete": "S3; the same", "api_parts_abort": "S3; the same",
    "api_artifact_presigned": "S3; the same",
}
USERS = re.compile(r"api_(user|permission|role|signup)")  # auth = basic: test_permissions_in_workspaces


def test_every_route_is_asked_for_things_of_another_workspace():
    asked = set()
    folder = os.path.join(ROOT, "tests/conform/corpus/workspaces")
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            for line in f:
                if found := re.match(r"(GET|POST|PUT|PATCH|DELETE) (\S+?)(\?|\s|$)", line):
                    path = found[2] if found[2].startswith("/") else API + found[2]
                    asked.add((found[1], re.sub(r"^/ajax-api", "/api", path)))
    with open(os.path.join(ROOT, "gateway/http/routes.def"), encoding="utf-8") as f:
        rows = re.findall(r'^(\w+)\(([A-Z| ]+), "([^"]+)", (\w+)', f.read(), re.M)
    prefixes = {"ROUTE": "", "MLFLOW": "/api/2.0/mlflow", "MLFLOW_3": "/api/3.0/mlflow",
                "ARTIFACTS": "/api/2.0/mlflow-artifacts"}
    assert len(rows) > 90
    missing = []
    for kind, methods, path, handler in rows:
        if handler in ELSEWHERE or USERS.match(handler):
            continue
        pattern = re.sub(r"\\\{\w+\\\*\\\}", ".*", re.escape(re.sub(r"^/ajax-api", "/api", prefixes[kind] + path)))
        pattern = re.compile(re.sub(r"\\\{\w+\\\}", "[^/]+", pattern) + "$")
        if not any(m in methods and pattern.match(p) for m, p in asked):
            missing.append((methods, path, handler))
    assert missing == []


# -- one server ------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def server(database):
    with Sluice(database, args=[*ON, "--run-cache-ttl", "200ms"]) as s:
        for name in ("team-a", "team-b"):
            assert requests.post(s.url + MANY, json={"name": name}, timeout=30).status_code == 201
        yield s


def call(server, path, workspace, body=None, via=requests, **more):
    headers = {HEADER: workspace} if workspace else {}
    url = server.url + (path if path.startswith("/") else API + path)
    if body is None:
        return via.get(url, headers=headers, timeout=60, **more)
    return via.post(url, json=body, headers=headers, timeout=60, **more)


def make_run(server, workspace, name, via=requests):
    e = call(server, "experiments/create", workspace, {"name": name}, via).json()["experiment_id"]
    return call(server, "runs/create", workspace, {"experiment_id": e}, via).json()["run"]["info"]["run_id"]


def test_the_first_of_several_headers_counts(server):
    lines = [b"X-MLFLOW-WORKSPACE: team-a", b"x-mlflow-workspace: nowhere"]
    from auth import exchange
    assert exchange(server.url, lines, "/health")[0] == 200
    assert exchange(server.url, lines[::-1], "/health")[0] == 404


def test_the_upstream_looks_at_the_workspace_that_was_judged(postgres):
    """Whatever the client writes beside it: a connection's own fields are not passed on."""
    from auth import exchange
    uri = postgres.create_database("workspaces_upstream")
    with Upstream() as upstream, Sluice(uri, args=[*ON, "--upstream", upstream.url]) as s:
        requests.post(s.url + MANY, json={"name": "team-a"}, timeout=30)
        for lines, judged in (([], "default"), ([b"X-MLFLOW-WORKSPACE:  team-a "], "team-a"),
                              ([b"x-mlflow-workspace: team-a", b"x-mlflow-workspace: default"], "team-a"),
                              ([b"X-MLFLOW-WORKSPACE: team-a", b"Connection: X-MLFLOW-WORKSPACE"], "team-a")):
            seen = json.loads(exchange(s.url, lines, "/echo")[2])["fields"]
            assert [v for n, v in seen if n.lower() == HEADER.lower()] == [judged]
    postgres.drop_database("workspaces_upstream")


def test_a_stream_of_batches(server):
    mine, other = make_run(server, "team-a", "stream"), make_run(server, "team-b", "stream")
    point = {"key": "m", "value": 1.0, "timestamp": 1, "step": 1}
    for _ in range(2):  # the second time both are in the run table
        body = b"".join(msgpack.packb({"run_id": r, "metrics": [point]}) for r in (mine, other))
        answer = requests.post(server.url + "/sluice/api/v1/log-batches", data=body, timeout=60,
                               headers={HEADER: "team-a", "Content-Type": "application/msgpack"}).json()
        results = answer["results"] if "results" in answer else answer
        assert "RESOURCE_DOES_NOT_EXIST" in str(results) and other in str(results)
        assert call(server, f"metrics/get-history?run_id={other}&metric_key=m", "team-b").json() == {}
    assert call(server, f"metrics/get-history?run_id={mine}&metric_key=m", "team-a").json()["metrics"]


def test_a_run_in_the_table_is_of_its_workspace(server):
    run = make_run(server, "team-b", "table")
    body = {"run_id": run, "key": "m", "value": 1, "timestamp": 1, "step": 1}
    for workspace, status in (("team-b", 200), ("team-a", 404), (None, 404), ("team-b", 200), ("team-a", 404)):
        assert call(server, "runs/log-metric", workspace, body).status_code == status


def test_two_servers_see_what_became_of_a_workspace(server, database):
    """The other one learns of it within run_cache_ttl."""
    with Sluice(database, args=[*ON, "--run-cache-ttl", "200ms"]) as other:
        requests.post(server.url + MANY, json={"name": "passing"}, timeout=30)
        assert call(other, "runs/search", "passing", {}).status_code == 200
        assert requests.delete(f"{server.url}{MANY}/passing", timeout=30).status_code == 204
        assert call(server, "runs/search", "passing", {}).status_code == 404
        wait_until(lambda: call(other, "runs/search", "passing", {}).status_code == 404, 20,
                   "the other server knows it")


def test_without_a_database_only_what_is_known_goes_on(postgres):
    """What one worker has found the others know; how long ago that was is no matter."""
    uri = postgres.create_database("workspaces_away")
    args = [*ON, "--sql-timeout", "2s", "--workers", "2", "--run-cache-ttl", "1ms"]
    with Sluice(uri, args=args) as s, requests.Session() as one:  # connection, so one worker
        for name in ("team-a", "team-b"):
            one.post(s.url + MANY, json={"name": name}, timeout=30)
        # One time in thousands they have the same slot, which is then of the one that came last.
        other, mine = make_run(s, "team-b", "two", one), make_run(s, "team-a", "one", one)
        point = {"key": "m", "value": 1, "timestamp": 1, "step": 1}
        with psycopg.connect(postgres.uri("postgres"), autocommit=True) as boss:
            boss.execute("ALTER DATABASE workspaces_away ALLOW_CONNECTIONS false")
            boss.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                         "WHERE datname = 'workspaces_away'")
        try:
            step = {**point, "step": 2}
            for _ in range(8):  # each a connection of its own
                assert call(s, "runs/log-metric", "team-a", {**step, "run_id": mine}).status_code == 200
            assert call(s, "runs/log-metric", "team-a", {**step, "run_id": other}).status_code in (404, 503)
            assert call(s, "runs/log-metric", "nowhere", {**step, "run_id": mine}).status_code == 503
        finally:
            with psycopg.connect(postgres.uri("postgres"), autocommit=True) as boss:
                boss.execute("ALTER DATABASE workspaces_away ALLOW_CONNECTIONS true")
    postgres.drop_database("workspaces_away")


# -- the start ---------------------------------------------------------------------------------------------

def refusal(uri, tmp_path, *args, env=None):
    """What `serve` says when it does not start."""
    done = subprocess.run([BINARY, "serve", "--pg-uri", uri, "--data-dir", str(tmp_path / "d"), "--listen",
                           "127.0.0.1:0", "--admin-listen", "none", *args], env=clean_environment(env),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    return done.stderr


def test_a_start_that_would_mix_workspaces_is_refused(server, database, tmp_path):
    make_run(server, "team-a", "kept apart")
    assert "Cannot disable workspaces because experiments exist outside" in refusal(database, tmp_path)
    assert "is client-only. Unset it" in refusal(database, tmp_path, *ON, env={"MLFLOW_WORKSPACE": "x"})
    for root, words in (("/a/workspaces", "ends with the reserved 'workspaces' segment"),
                        ("/a/workspaces/b", "is already scoped under the reserved")):
        assert words in refusal(database, tmp_path, *ON, "--default-artifact-root", root)


# -- who may -------------------------------------------------------------------------------------------------

USERS_OF = {  # name -> (workspace, [(type, pattern, level)])
    "nobody": None, "member": ("team-a", [("workspace", "*", "USE")]),
    "chief": ("team-a", [("workspace", "*", "MANAGE")]), "stranger": ("team-b", [("workspace", "*", "MANAGE")]),
    "reader": ("team-a", [("experiment", "*", "READ"), ("registered_model", "*", "READ")]),
}
PASSWORD = "a-long-password"


def grant(uri):
    with psycopg.connect(uri, autocommit=True) as pg:
        for name, what in USERS_OF.items():
            add_user(uri, name, PASSWORD, method="pbkdf2:sha256:1000")  # stock hashes five times a call
            if what:
                role = pg.execute("INSERT INTO roles (name, workspace) VALUES (%s, %s) RETURNING id",
                                  (f"role of {name}", what[0])).fetchone()[0]
                pg.execute("INSERT INTO user_role_assignments (user_id, role_id) "
                           "SELECT id, %s FROM users WHERE username = %s", (role, name))
                for row in what[1]:
                    pg.execute("INSERT INTO role_permissions (role_id, resource_type, resource_pattern, "
                               "permission) VALUES (%s, %s, %s, %s)", (role, *row))


@pytest.fixture(scope="module")
def pair(postgres, tmp_path_factory):
    names = ("workspaces_auth_sluice", "workspaces_auth_stock")
    uris = [postgres.create_database(name) for name in names]
    env = stock_ini(tmp_path_factory.mktemp("ini"), uris[1])
    with guarded(uris[0], *ON, "--auth-ttl", "0s") as sluice, \
            Stock(uris[1], env=env, args=["--app-name", "basic-auth", "--enable-workspaces"]) as stock:
        for uri in uris:
            grant(uri)
        yield sluice, stock
    for name in names:
        postgres.drop_database(name)


def ask(server, user, method, path, workspace=None, body=None):
    name, password = user if isinstance(user, tuple) else (user, PASSWORD)
    headers = {"Authorization": basic(name, password)}
    if workspace:
        headers[HEADER] = workspace
    url = server.url + (path if path.startswith("/") else API + path)
    return requests.request(method, url, json=body, headers=headers, timeout=60)


ADMIN = ("admin", ENVIRONMENT["MLFLOW_AUTH_ADMIN_PASSWORD"])


def test_permissions_in_workspaces(pair):
    """The same questions of the same people, in two workspaces, in order: verdict and words."""
    ids = []
    for server in pair:
        for name in ("team-a", "team-b"):
            assert ask(server, ADMIN, "POST", MANY, body={"name": name}).status_code == 201
        e = ask(server, ADMIN, "POST", "experiments/create", "team-a", {"name": "one"}).json()["experiment_id"]
        r = ask(server, ADMIN, "POST", "runs/create", "team-a", {"experiment_id": e}).json()
        ask(server, ADMIN, "POST", "registered-models/create", "team-a", {"name": "model"})
        ids.append({"e": e, "r": r["run"]["info"]["run_id"]})
    calls = [
        ("GET", "experiments/get?experiment_id={e}", None), ("GET", "experiments/get?experiment_id=0", None),
        ("GET", "experiments/get?experiment_id=99", None), ("GET", "experiments/get-by-name?experiment_name=one", None),
        ("POST", "experiments/search", {"max_results": 5}), ("GET", "runs/get?run_id={r}", None),
        ("POST", "runs/search", {"experiment_ids": ["{e}"]}), ("POST", "runs/create", {"experiment_id": "{e}"}),
        ("POST", "runs/log-metric", {"run_id": "{r}", "key": "m", "value": 1, "timestamp": 1}),
        ("GET", "metrics/get-history?run_id={r}&metric_key=m", None),
        ("GET", "registered-models/get?name=model", None), ("GET", "registered-models/get?name=none", None),
        ("GET", "registered-models/search", None), ("GET", "model-versions/search", None),
        ("POST", "experiments/create", {"name": "of {who} in {where}"}),
        ("POST", "registered-models/create", {"name": "of {who} in {where}"}),
        ("GET", MANY, None), ("GET", MANY + "/team-a", None), ("POST", MANY, {"name": "other"}),
        ("PATCH", MANY + "/team-a", {"description": "d"}), ("DELETE", MANY + "/team-a", None),
        ("GET", "users/list", None), ("GET", "users/current", None),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts?path=", None),
        ("GET", "/api/2.0/mlflow-artifacts/artifacts?path={e}", None),
        ("GET", "artifacts/list?run_id={r}", None),
    ]
    differing = []
    for who in USERS_OF:
        for where in ("team-a", "team-b", None) if who in ("member", "stranger") else ("team-a", None):
            for method, path, body in calls:
                answers = []
                for server, known in zip(pair, ids):
                    known = {**known, "who": who, "where": where or "default"}
                    filled = None if body is None else {
                        k: [v[0].format(**known)] if isinstance(v, list) else
                        v.format(**known) if isinstance(v, str) else v for k, v in body.items()}
                    answers.append(ask(server, who, method, path.format(**known), where, filled))
                ours, theirs = answers
                same = ours.status_code == theirs.status_code
                if same and ours.status_code >= 400:
                    same = ours.text == theirs.text
                if same and path == MANY or path.endswith("/search"):
                    same = same and shown(ours) == shown(theirs)
                if not same:
                    differing.append((who, where, method, path, ours.status_code, ours.text[:160],
                                      theirs.status_code, theirs.text[:160]))
    assert differing == []


def shown(answer):
    """The names in a list, whatever its other fields are."""
    return sorted(re.findall(r'"name": "([^"]*)"', answer.text))


def test_roles_come_and_go_with_a_workspace(pair):
    found = []
    for server in pair:
        assert ask(server, ADMIN, "POST", MANY, body={"name": "seeded"}).status_code == 201
        roles = ask(server, ADMIN, "GET", "/api/3.0/mlflow/roles/list?workspace=seeded").json()["roles"]
        found.append([(r["name"], r["description"], [(p["resource_type"], p["resource_pattern"], p["permission"])
                                                     for p in r["permissions"]]) for r in roles])
        assert ask(server, ADMIN, "DELETE", MANY + "/seeded").status_code == 204
        assert ask(server, ADMIN, "GET", "/api/3.0/mlflow/roles/list?workspace=seeded").json()["roles"] == []
    assert found[0] == found[1] and len(found[0]) == 2


def test_a_workspace_and_its_roles_are_one_transaction(pair):
    """What stops between the two (kill -9, too) leaves no roles for the next workspace of that name."""
    server = pair[0]
    refuse = ("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$",
              "CREATE TRIGGER refuse BEFORE INSERT OR DELETE ON roles FOR EACH ROW EXECUTE FUNCTION refuse()")
    assert ask(server, ADMIN, "POST", MANY, body={"name": "whole"}).status_code == 201
    with psycopg.connect(server.pg_uri, autocommit=True) as pg:
        for text in refuse:
            pg.execute(text)
        try:
            assert ask(server, ADMIN, "DELETE", MANY + "/whole?mode=CASCADE").status_code >= 400
            assert ask(server, ADMIN, "GET", MANY + "/whole").status_code == 200
            assert ask(server, ADMIN, "POST", MANY, body={"name": "half"}).status_code >= 400
            assert ask(server, ADMIN, "GET", MANY + "/half").status_code == 404
        finally:
            pg.execute("DROP FUNCTION refuse CASCADE")
    assert ask(server, ADMIN, "DELETE", MANY + "/whole?mode=CASCADE").status_code == 204


def test_roles_left_by_a_half_deletion_go_when_it_is_deleted_again(postgres):
    """With users elsewhere the roles go in a second commit. Where that never came (kill -9 before it, or as
    here a database that refuses it) they wait for the next DELETE, which says 404 and takes them."""
    names = ("workspaces_half", "workspaces_half_users")
    uri, users = [postgres.create_database(name) for name in names]

    def roles():
        with psycopg.connect(users) as pg:
            return pg.execute("SELECT count(*) FROM roles WHERE workspace = 'left'").fetchone()[0]

    with guarded(uri, *ON, "--auth-pg-uri", users) as server:
        assert ask(server, ADMIN, "POST", MANY, body={"name": "left"}).status_code == 201
        assert roles() == 2
        with psycopg.connect(users, autocommit=True) as pg:
            pg.execute("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
                       " $$ BEGIN RAISE 'refused'; END $$")
            pg.execute("CREATE TRIGGER refuse BEFORE DELETE ON roles FOR EACH ROW EXECUTE FUNCTION refuse()")
            assert ask(server, ADMIN, "DELETE", MANY + "/left").status_code == 204
            assert roles() == 2
            pg.execute("DROP FUNCTION refuse CASCADE")
        assert ask(server, ADMIN, "DELETE", MANY + "/left").status_code == 404
        assert roles() == 0
    for name in names:
        postgres.drop_database(name)
