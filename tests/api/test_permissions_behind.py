"""Permissions on what a server behind Sluice keeps, beside a stock server with its basic-auth application
on the same tables: what of its answers is shown to whom, and who is granted what on things it makes."""

import concurrent.futures
import contextlib
import http.server
import json
import os
import sys
import threading
import types

import psycopg
import pytest
import requests

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "matrix"))

import matrix  # noqa: E402
import questions  # noqa: E402
from matrix import ADMIN, StockApp  # noqa: E402
from server import Stock, wait_until  # noqa: E402

KINDS = ("gateway_secret", "gateway_endpoint", "gateway_model_definition", "mcp_server", "scorer",
         "experiment")


@pytest.fixture(scope="module")
def stock(postgres):
    postgres.drop_database("behind")
    uri = postgres.create_database("behind")
    with StockApp(uri) as server:
        add_rows(server)
        yield server
    postgres.drop_database("behind")


@pytest.fixture(scope="module")
def behind(stock):
    """A stock server without users, on the same data."""
    with Stock(stock.pg_uri) as server:
        yield server


def sluice_on(stock, behind, default, folder, args=()):
    return matrix.serve(stock.pg_uri, default, str(folder), verdicts=False,
                        args=["--upstream", behind.url, *args])


def ask(server, who, method, path, sent=None, prefix="ajax-api/3.0/mlflow/"):
    auth = ADMIN if who == "admin" else (who, matrix.PASSWORD)
    where = {"params": sent} if method == "GET" else {"json": sent}
    answer = requests.request(method, f"{server.url}/{prefix}{path}", auth=auth, timeout=60, **where)
    is_json = answer.headers["content-type"].startswith("application/json")
    return answer.status_code, answer.json() if is_json else answer.text


# -- what is shown ------------------------------------------------------------------------------------

def add_rows(stock):
    """Beside the objects of the matrix: a guardrail on an endpoint, access endpoints, a job of a user."""
    a = stock.say("objects")["a"]
    stock.say("run/1")
    for path, body in (
            ("gateway/guardrails/add-to-endpoint", {"endpoint_id": a["endpoint_id"],
                                                    "guardrail_id": a["guardrail_id"]}),
            (f"mcp-servers/{a['mcp_server']}/versions", {"server_json": {
                "name": a["mcp_server"], "version": "1.0.0", "description": "d"}, "status": "active"}),
            (f"mcp-servers/{a['mcp_server']}/endpoints", {"url": "http://127.0.0.1:1/x",
                                                          "server_version": "1.0.0"})):
        status, answer = ask(stock, "admin", "POST", path, body)
        assert status == 200, (path, answer)
    stock.say("run/0")
    with psycopg.connect(stock.pg_uri) as pg:
        pg.execute("UPDATE jobs SET creator = 'wild-READ'")


def shown_calls(objects):
    """What MLflow filters or clears behind its checks: (method, path, sent, prefix)."""
    a = objects["a"]
    plain = "ajax-api/3.0/mlflow/"
    calls = [("GET", path, sent, plain) for path, sent in (
        ("scorers/list", {}), ("scorers/list", {"experiment_id": a["experiment_id"]}),
        ("gateway/secrets/list", {}), ("gateway/model-definitions/list", {}),
        ("gateway/model-definitions/get", {"model_definition_id": a["model_definition_id"]}),
        ("gateway/endpoints/list", {}), ("gateway/endpoints/get", {"endpoint_id": a["endpoint_id"]}),
        ("gateway/guardrails/list-for-endpoint", {"endpoint_id": a["endpoint_id"]}),
        ("review-queues/list", {"experiment_id": a["experiment_id"]}),
        ("mcp-servers", {}), ("mcp-servers/endpoints", {}),
        ("mcp-servers/endpoints", {"server_version": "1.0.0"}),
        ("mcp-servers/endpoints", {"filter_string": "status = 'active'"}),
        (f"mcp-servers/{a['mcp_server']}", {}), (f"mcp-servers/{a['mcp_server']}/endpoints", {}),
        (f"mcp-servers/{a['mcp_server']}/versions", {}), ("mcp-servers/no/where", {}))]
    calls.append(("POST", "search", {}, "ajax-api/3.0/jobs/"))
    calls.append(("GET", "models", {}, "gateway/mlflow/v1/"))
    return calls


def even(answer):
    """A list that is empty, and one that is not there, are the same to every reader of protobuf's JSON."""
    status, said = answer
    if isinstance(said, dict):
        said = {k: v for k, v in said.items() if v not in ([], {})}
    return status, said


def watchers(objects):
    """Users whose views differ, by the default under which they ask."""
    a, b = objects["a"], objects["b"]
    found = questions.users(objects, 5, 0)
    on_b = [(kind, questions.pattern_of(kind, b), "DENY") for kind in
            ("gateway_secret", "gateway_model_definition", "scorer")]
    found["b-named"] = [*questions.on_all("READ", a), *on_b, ("gateway_endpoint", "*", "MANAGE")]
    found["versions-denied"] = [*questions.on_all("MANAGE", a), ("mcp_server_version", "*", "DENY"),
                                ("scorer_version", "*", "DENY")]
    return {default: {name: found[name] for name in names} for default, names in (
        ("READ", ("none", "wild-READ", "chief-denied", "id-DENY", "b-named")),
        ("NO_PERMISSIONS", ("id-EDIT", "member", "member-of-queue", "versions-denied")))}


def differences(stock, sluice, users, calls):
    stock.say("run/1")
    theirs = {(who, n): even(ask(stock, who, *call)) for who in (*users, "admin")
              for n, call in enumerate(calls)}
    stock.say("run/0")
    ours = {(who, n): even(ask(sluice, who, *calls[n])) for who, n in theirs}
    return ours, [(who, calls[n], "stock", theirs[who, n], "sluice", ours[who, n])
                  for who, n in theirs if theirs[who, n] != ours[who, n]]


def test_rows_and_fields_are_shown_to_whom_they_are_by_stock(stock, behind, tmp_path):
    objects = stock.say("objects")
    calls = shown_calls(objects)
    views = set()
    for default, users in watchers(objects).items():
        matrix.make_users(stock.pg_uri, users)
        stock.say(f"default/{default}")
        with sluice_on(stock, behind, default, tmp_path) as sluice:
            ours, found = differences(stock, sluice, users, calls)
        assert not found, json.dumps(found[:3], indent=1)
        views |= {json.dumps([ours[who, n] for n in range(len(calls))], sort_keys=True) for who in users}
    assert len(views) > 6


# -- who is granted what -------------------------------------------------------------------------------

def grants(uri, kinds=KINDS[:5]):
    """{(user, kind, pattern): level} of single users' own roles."""
    with psycopg.connect(uri) as pg:
        rows = pg.execute("SELECT u.username, p.resource_type, p.resource_pattern, p.permission"
                          " FROM role_permissions p JOIN roles r ON r.id = p.role_id"
                          " JOIN users u ON r.name = '__user_' || u.id || '__'"
                          " JOIN user_role_assignments a ON a.role_id = r.id AND a.user_id = u.id"
                          " WHERE p.resource_type = ANY(%s)", (list(kinds),)).fetchall()
    return {row[:3]: row[3] for row in rows}


def make_things(server, who, experiment, mark):
    """One of each, by `who`; {kind: its pattern}."""
    def made(path, body):
        status, answer = ask(server, who, "POST", path, body)
        assert status == 200, (path, status, answer)
        return answer

    secret = made("gateway/secrets/create", {"secret_name": f"s-{mark}", "provider": "openai",
                                             "secret_value": {"api_key": "k"}})["secret"]["secret_id"]
    definition = made("gateway/model-definitions/create", {
        "name": f"d-{mark}", "secret_id": secret, "provider": "openai",
        "model_name": "gpt"})["model_definition"]["model_definition_id"]
    endpoint = made("gateway/endpoints/create", {
        "name": f"e-{mark}", "usage_tracking": False, "model_configs": [
            {"model_definition_id": definition, "linkage_type": "PRIMARY", "weight": 1.0}]}
        )["endpoint"]["endpoint_id"]
    scorer = f"sc/{mark} é"
    made("scorers/register", {"experiment_id": experiment, "name": scorer,
                              "serialized_scorer": json.dumps({"name": scorer, "pad": "x" * 300000})})
    made("mcp-servers", {"name": f"io.made/by-{mark}"})
    made(f"mcp-servers/io.brought/by-{mark}/versions", {"server_json": {
        "name": f"io.brought/by-{mark}", "version": "1.0.0", "description": "d"}})
    return {"gateway_secret": secret, "gateway_model_definition": definition,
            "gateway_endpoint": endpoint,
            "scorer": questions.pattern_of("scorer", {"experiment_id": experiment, "scorer": scorer}),
            "mcp_server": f"io.made/by-{mark}", "scorer-name": scorer}


def delete_things(server, who, experiment, things):
    for path, body in (
            ("gateway/endpoints/delete", {"endpoint_id": things["gateway_endpoint"]}),
            ("gateway/model-definitions/delete", {
                "model_definition_id": things["gateway_model_definition"]}),
            ("gateway/secrets/delete", {"secret_id": things["gateway_secret"]}),
            ("scorers/delete", {"experiment_id": experiment, "name": things["scorer-name"]}),
            ("mcp-servers/" + things["mcp_server"], None)):
        status, answer = ask(server, who, "DELETE", path, body)
        assert status == 200, (path, status, answer)


def seen_grants(uri, things, mark):
    """What there is now about these things, without their ids."""
    kinds = {things[kind]: kind for kind in KINDS[:5]}
    kinds[f"io.brought/by-{mark}"] = "brought"
    return {(who, kinds[pattern]): level for (who, _, pattern), level in grants(uri).items()
            if pattern in kinds}


def test_makers_may_manage_what_they_make_behind(stock, behind, tmp_path):
    """Made and deleted by a user and by an admin, at stock and through Sluice: the same grants."""
    uri = stock.pg_uri
    experiment = stock.say("objects")["a"]["experiment_id"]
    matrix.make_users(uri, {"maker": [("experiment", experiment, "EDIT")]})
    stock.say("default/READ")
    with sluice_on(stock, behind, "READ", tmp_path) as sluice:
        said = {}
        for server, name in ((stock, "stock"), (sluice, "sluice")):
            stock.say(f"run/{int(server is stock)}")
            for who in ("maker", "admin"):
                mark = f"{name}-{who}"
                things = make_things(server, who, experiment, mark)
                made = seen_grants(uri, things, mark)
                delete_things(server, who, experiment, things)
                said[name, who] = made, seen_grants(uri, things, mark)
        stock.say("run/0")
    assert said["sluice", "maker"] == said["stock", "maker"]
    assert said["sluice", "admin"] == said["stock", "admin"]
    made, left = said["sluice", "maker"]
    assert made == {("maker", kind): "MANAGE" for kind in (*KINDS[:5], "brought")}
    assert left == {("maker", "brought"): "MANAGE"}


def test_a_grant_is_there_when_the_answer_is(stock, behind, tmp_path):
    """While the grant cannot be written nothing of the answer comes; what is refused grants nothing."""
    uri = stock.pg_uri
    matrix.make_users(uri, {"waiting": []})
    waits = ("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
             " AND query LIKE '%INSERT INTO role_permissions%'")
    with sluice_on(stock, behind, "READ", tmp_path) as sluice, psycopg.connect(uri) as lock, \
            psycopg.connect(uri, autocommit=True) as pg, concurrent.futures.ThreadPoolExecutor() as pool:
        before = grants(uri)
        assert ask(sluice, "waiting", "POST", "gateway/secrets/create", {})[0] == 400
        assert ask(sluice, "waiting", "DELETE", "gateway/secrets/delete", {"secret_id": "s-nowhere"})[0] == 403
        assert ask(sluice, "admin", "DELETE", "gateway/secrets/delete", {"secret_id": "s-nowhere"})[0] == 404
        assert grants(uri) == before
        lock.execute("LOCK TABLE role_permissions IN EXCLUSIVE MODE")
        answer = pool.submit(ask, sluice, "waiting", "POST", "gateway/secrets/create", {
            "secret_name": "locked", "provider": "openai", "secret_value": {"api_key": "k"}})
        wait_until(lambda: pg.execute(waits).fetchone()[0], 60, "the grant is being written")
        assert not answer.done()
        lock.rollback()
        status, said = answer.result(timeout=60)
        assert status == 200
        assert grants(uri)["waiting", "gateway_secret", said["secret"]["secret_id"]] == "MANAGE"


@contextlib.contextmanager
def upstream_that_says(answers):
    """A server that answers each call with the next of `answers`, as JSON; a text is JSON already."""
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            said = answers.pop(0)
            body = (said if isinstance(said, str) else json.dumps(said)).encode()
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield types.SimpleNamespace(url=f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()


def test_an_answer_grants_one_thing_only(stock, tmp_path):
    """Whatever an upstream calls what it made: no wildcard, and no text that PostgreSQL would cut."""
    uri = stock.pg_uri
    matrix.make_users(uri, {"one": []})
    said = [{"secret": {"secret_id": name}} for name in ("*", "s-\0cut", "", None, 7, "s-one")]
    with upstream_that_says(list(said)) as behind, sluice_on(stock, behind, "READ", tmp_path) as sluice:
        for answer in said:
            assert ask(sluice, "one", "POST", "gateway/secrets/create", {}) == (200, answer)
        assert "no permission could be written" in sluice.output()
    assert [key for key in grants(uri) if key[0] == "one"] == [("one", "gateway_secret", "s-one")]


def test_rows_are_judged_as_their_readers_read_them(stock, tmp_path):
    """However an upstream spells names and however often it says one: the last one counts."""
    matrix.make_users(stock.pg_uri, {"reader": [("gateway_secret", "s-mine", "READ")]})
    rows = ('{"secret_id": "s-mine"}', '{"secret_id": "s-theirs"}',
            '{"secret_id": "s-mine", "secret_id": "s-theirs"}', '{"secret_\\u0069d": "s-theirs"}',
            '{"secret_id": "s-theirs", "secret_id": "s-\\u006dine"}')
    said = ['{"secrets": [%s]}' % ", ".join(rows), '{"secr\\u0065ts": [%s]}' % ", ".join(rows)]
    with upstream_that_says(list(said)) as behind, \
            sluice_on(stock, behind, "NO_PERMISSIONS", tmp_path) as sluice:
        for _ in said:
            assert ask(sluice, "reader", "GET", "gateway/secrets/list") == (
                200, {"secrets": [{"secret_id": "s-mine"}, {"secret_id": "s-mine"}]})


# -- what is judged is what is carried out --------------------------------------------------------------

def test_no_content_type_or_coding_hides_what_a_call_is_about(stock, behind, tmp_path):
    """A DELETE is read whatever its type says, and JSON may be UTF-16: by stock, so by our checks too."""
    a, b = (stock.say("objects")[which] for which in "ab")
    matrix.make_users(stock.pg_uri, {"denied": [
        ("gateway_endpoint", a["endpoint_id"], "DENY"), ("experiment", a["experiment_id"], "MANAGE"),
        ("logged_model", "*", "DENY")]})
    stock.say("default/MANAGE")
    point = {"key": "k", "value": 1, "timestamp": 1, "model_id": b["model_id"]}
    calls = [("DELETE", "3.0/mlflow/gateway/endpoints/delete", kind,
              json.dumps({"endpoint_id": a["endpoint_id"]}).encode())
             for kind in ("application/json", "application/msgpack", "text/plain", "")]
    calls += [("POST", "2.0/mlflow/runs/log-batch", "application/json",
               json.dumps({"run_id": a["run_id"], "metrics": [point]}).encode(code))
              for code in ("utf-8", "utf-16", "utf-32-be")]
    with sluice_on(stock, behind, "MANAGE", tmp_path) as sluice:
        stock.say("run/1")
        for method, path, kind, body in calls:
            for server in (stock, sluice):
                answer = requests.request(method, f"{server.url}/api/{path}", data=body, timeout=60,
                                          headers={"Content-Type": kind}, auth=("denied", matrix.PASSWORD))
                assert (answer.status_code, answer.text) == (403, "Permission denied"), (
                    server is stock, path, kind, body)
        stock.say("run/0")


def test_a_name_in_two_places_opens_nothing(stock, behind, tmp_path):
    """What a user may have, named where the check looks, and another thing where the handler does."""
    a, b = (stock.say("objects")[which] for which in "ab")
    matrix.make_users(stock.pg_uri, {"two-faced": [
        ("registered_model", a["model"], "MANAGE"), ("gateway_endpoint", a["endpoint_id"], "MANAGE"),
        ("experiment", a["experiment_id"], "MANAGE")], "two-chief": [("workspace", "*", "MANAGE")]})
    with psycopg.connect(stock.pg_uri) as pg:
        (far,), = pg.execute("INSERT INTO roles (name, workspace) VALUES ('far', 'elsewhere') RETURNING id")
        (row,), = pg.execute("INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)"
                             " VALUES (%s, 'experiment', '*', 'READ') RETURNING id", (far,))
        (near,), = pg.execute("SELECT id FROM roles WHERE name = 'role-two-chief-0'")
    model, end = "registered-models/delete-tag", "gateway/endpoints/delete"
    calls = [("DELETE", model, {"name": a["model"], "key": "k"}, kind, {"name": b["model"], "key": "k"})
             for kind in ("text/plain", "", "application/json,x")]
    calls += [("DELETE", model, {"name": b["model"], "key": "k"}, kind, {"name": a["model"], "key": "k"})
              for kind in ("text/plain", "")]
    calls += [("DELETE", model, {"name": a["model"]}, kind, {"name": b["model"], "key": "k"})
              for kind in ("application/json", "application/x+JSON", "Application/+json")]
    calls += [("DELETE", end, {"endpoint_id": a["endpoint_id"]}, kind, {name: b["endpoint_id"]})
              for kind in ("text/plain", "") for name in ("endpoint_id", "endpointId")]
    calls += [("GET", "datasets/search", {"experiment_ids": b["experiment_id"]}, "application/json",
               {"experiment_ids": [a["experiment_id"]]}),
              ("GET", "datasets/search", {"max_results": 5}, "application/json",
               {"experiment_ids": [a["experiment_id"]]}),
              ("POST", "roles/create", {}, "application/json",
               {"role_id": near, "workspace": "elsewhere", "name": "made"}),
              ("PATCH", "roles/permissions/update", {}, "application/json",
               {"role_id": near, "role_permission_id": row, "permission": "MANAGE"}),
              ("DELETE", "roles/permissions/remove", {"role_id": near, "role_permission_id": row}, "", {}),
              ("DELETE", "roles/permissions/remove", {}, "application/x+JSON",
               {"role_id": near, "role_permission_id": row})]
    with sluice_on(stock, behind, "NO_PERMISSIONS", tmp_path) as sluice:
        def send(method, path, query, kind, body):
            prefix, who = "2.0" if path == model else "3.0", "two-chief" if "role" in path else "two-faced"
            return requests.request(method, f"{sluice.url}/api/{prefix}/mlflow/{path}", params=query, timeout=60,
                                    data=json.dumps(body), headers={"Content-Type": kind},
                                    auth=(who, matrix.PASSWORD))
        assert [call for call in calls if send(*call).text != "Permission denied"] == []
        own = {"name": a["model"], "key": "k"}
        assert send("DELETE", model, own, "text/plain", own).status_code == 200
        assert send("GET", "datasets/search", {"experiment_ids": a["experiment_id"]}, "", {}).status_code == 200
    with psycopg.connect(stock.pg_uri) as pg:
        assert pg.execute("SELECT permission FROM role_permissions WHERE id = %s", (row,)).fetchone() == ("READ",)
        assert not pg.execute("SELECT 1 FROM roles WHERE name = 'made'").fetchone()


# -- files of traces -----------------------------------------------------------------------------------

def test_a_trace_shows_files_of_its_own_experiment_only(stock, behind, tmp_path):
    """The tag that says where they are may be set by every editor of the trace."""
    objects = stock.say("objects")
    a, b = (objects[which]["experiment_id"] for which in "ab")
    trace = objects["a"]["trace_id"]
    matrix.make_users(stock.pg_uri, {"tagger": [("experiment", a, "EDIT")]})
    for place, text in ((f"{a}/traces/{trace}/artifacts", "own"), (f"{b}/other", "others'"),
                        (f"{a}x/near", "near")):
        (tmp_path / "files" / place).mkdir(parents=True)
        (tmp_path / "files" / place / "traces.json").write_text(json.dumps(text))

    def said(server, who, location):
        with psycopg.connect(stock.pg_uri) as pg:
            pg.execute("DELETE FROM trace_tags WHERE request_id = %s AND key = 'mlflow.trace.spansLocation'",
                       (trace,))
            pg.execute("UPDATE trace_tags SET value = %s WHERE request_id = %s"
                       " AND key = 'mlflow.artifactLocation'", (location, trace))
        answer = requests.get(f"{server.url}/ajax-api/3.0/mlflow/get-trace-artifact", timeout=60,
                              params={"request_id": trace},
                              auth=ADMIN if who == "admin" else (who, matrix.PASSWORD))
        return answer.status_code, answer.text

    with sluice_on(stock, behind, "NO_PERMISSIONS", tmp_path,
                   ["--artifacts-destination", str(tmp_path / "files")]) as sluice:
        assert said(sluice, "tagger", f"mlflow-artifacts:/{a}/traces/{trace}/artifacts") == (200, '"own"')
        assert said(sluice, "admin", f"mlflow-artifacts:/{b}/other") == (200, '"others\'"')
        for location in (f"mlflow-artifacts:/{b}/other", f"mlflow-artifacts:/{a}/../{b}/other",
                         f"mlflow-artifacts:/{a}/%2e%2e/{b}/other", f"mlflow-artifacts:/{a}x/near",
                         f"mlflow-artifacts:/{a}", f"mlflow-artifacts:/{a}//../{b}/other",
                         str(tmp_path / "files" / b / "other"), ""):
            status, text = said(sluice, "tagger", location)
            assert (status, text) == (403, "Permission denied") or (location == "" and status >= 400), location
