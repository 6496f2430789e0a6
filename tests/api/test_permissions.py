"""Permissions beside a stock server with its basic-auth application, on the same tables: verdicts,
what searches and reads show to whom, and the calls that manage roles and permissions."""

import json
import os
import re
import sys
import types

import pytest
import requests

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "matrix"))

import matrix  # noqa: E402
import questions  # noqa: E402
from matrix import ADMIN, StockApp  # noqa: E402
from server import Stock  # noqa: E402

OPTIONS = types.SimpleNamespace(cells=False, count=3300, seed=int(os.environ.get("SLUICE_TEST_SEED", "1")),
                                users=24)


@pytest.fixture(scope="module")
def stock(postgres):
    postgres.drop_database("permissions")
    uri = postgres.create_database("permissions")
    with StockApp(uri) as server:
        yield server
    postgres.drop_database("permissions")


@pytest.fixture(scope="module")
def users(stock):
    found = questions.users(stock.say("objects"), OPTIONS.seed, OPTIONS.users)
    matrix.make_users(stock.pg_uri, found)
    return found


# What stock does not serve, and who may call it there: nobody is asked, or anybody who is somebody.
OWN = {"/livez", "/readyz", "/sluice/status", "/sluice/api/v1/status", "/sluice/api/v1/status/names",
       "/sluice/api/v1/log-batches", "/metrics"}


def test_every_route_is_asked_about(stock):
    """No path that is answered here is left out of the matrix, and none that stock serves."""
    routes = matrix.routes_of(stock)
    calls = set(map(repr, questions.calls(routes, stock.say("objects"))))
    by_route = questions.route_calls(routes, stock.say("objects"))
    assert {route for route, found in by_route.items() if not found} == set()
    assert all(repr(call) in calls for found in by_route.values() for call in found)
    asked = {(method, questions.route_like(path)) for method, path in routes}
    missing = [(m, p) for m, p in matrix.own_routes() if p not in OWN and
               (m, questions.route_like(p)) not in asked]
    assert not missing
    assert not {p for _, p in matrix.own_routes() if p in OWN} ^ OWN


def test_verdicts(stock, users, tmp_path):
    """A sample of the matrix: every call at least once."""
    calls, drawn = matrix.draw(stock, users, OPTIONS)
    found = matrix.compare([stock], drawn, calls, str(tmp_path))
    assert found.asked == len(drawn) >= OPTIONS.count
    assert not found.unexplained, "\n".join(map(str, found.unexplained[:5]))


def test_traces_by_the_header_that_names_their_experiment(stock, users, tmp_path):
    """/v1/traces says whose it is in a header alone; the body is not looked at."""
    objects = stock.say("objects")
    stock.say("default/READ")
    asked = [(who, {} if e is None else {"X-Mlflow-Experiment-ID": e}) for who in list(users)[::3]
             for e in (None, "987654", objects["a"]["experiment_id"], objects["b"]["experiment_id"])]
    said = []
    with matrix.serve(stock.pg_uri, "READ", str(tmp_path)) as sluice:
        for server in (stock, sluice):
            session = requests.Session()
            answers = [session.post(server.url + "/v1/traces", data=b"", headers=headers, timeout=60,
                                    auth=(who, matrix.PASSWORD)) for who, headers in asked]
            said.append([(who, headers, a.status_code, a.text)
                         for (who, headers), a in zip(asked, answers)])
    assert [(o, t) for o, t in zip(said[1], said[0]) if o != t] == []
    assert {status for _, _, status, _ in said[1]} == {400, 403, 418}


# -- what is shown ----------------------------------------------------------------------------------

GRAPHQL = ("query Q($r: MlflowGetRunInput!, $s: MlflowSearchRunsInput!, "
           "$e: MlflowGetExperimentInput!) "
           "{ mlflowGetRun(input: $r) { run { info { runId } modelVersions { name } "
           "inputs { modelInputs { modelId } } } } "
           "mlflowSearchRuns(input: $s) { runs { info { runId } } } "
           "mlflowGetExperiment(input: $e) { experiment { name } } }")


def more_objects(stock):
    """Enough experiments, models and logged models to have pages."""
    admin = requests.Session()
    admin.auth = ADMIN
    requests.post(f"{stock.url}/__run/1", timeout=30)
    objects = stock.say("objects")

    def post(path, **body):
        answer = admin.post(f"{stock.url}/api/2.0/mlflow/{path}", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        return answer.json()

    for n in range(7):
        post("experiments/create", name=f"more-{n}")
        post("registered-models/create", name=f"more-{n}")
        which = objects["ab"[n % 2]]
        post("logged-models", experiment_id=which["experiment_id"], name=f"logged-{n}")
    run, model = objects["a"]["run_id"], objects["a"]["model_id"]
    post("runs/log-inputs", run_id=run, models=[{"model_id": model}])
    post("runs/outputs", run_id=run, models=[{"model_id": model, "step": 1}])
    requests.post(f"{stock.url}/__run/0", timeout=30)
    return objects


def reads(objects):
    """Calls whose answers depend on who asks; a token stands for the page before."""
    a, b = objects["a"], objects["b"]
    ids = [a["experiment_id"], b["experiment_id"]]
    found = []
    for n in (2, 50):
        found += [("POST", "experiments/search", {"max_results": n}),
                  ("GET", "registered-models/search", {"max_results": n}),
                  ("GET", "model-versions/search", {"max_results": n}),
                  ("POST", "logged-models/search", {"experiment_ids": ids, "max_results": n})]
    found += [("POST", "runs/search", {"experiment_ids": ids}),
              ("GET", "runs/get", {"run_id": a["run_id"]}),
              ("GET", f"logged-models/{a['model_id']}", {}),
              ("GET", "registered-models/get", {"name": a["model"]}),
              ("GET", "registered-models/get", {"name": a["prompt"]}),
              ("GET", "model-versions/get", {"name": a["model"], "version": "1"}),
              ("POST", "registered-models/get-latest-versions", {"name": a["model"]})]
    return found


def pages(url, who, call):
    """The answers to a call and to those for the pages behind it, as long as there are any."""
    method, path, params = call
    session = requests.Session()
    if who != "anonymous":
        session.auth = ADMIN if who == "admin" else (who, matrix.PASSWORD)
    said = []
    token = None
    while len(said) < 20:
        sent = {**params, **({"page_token": token} if token else {})}
        where = {"params": sent} if method == "GET" else {"json": sent}
        answer = session.request(method, f"{url}/api/2.0/mlflow/{path}", timeout=60, **where)
        if answer.status_code != 200:
            return said + [(answer.status_code, answer.text.strip())]
        said.append((200, answer.json()))
        token = answer.json().get("next_page_token")
        if not token:
            return said
    raise AssertionError(f"no end of pages: {who} {call}")


def graphql(url, who, objects):
    a = objects["a"]
    ids = [a["experiment_id"], objects["b"]["experiment_id"]]
    answer = requests.post(f"{url}/graphql", auth=(who, matrix.PASSWORD), timeout=60, json={
        "query": GRAPHQL, "operationName": "Q", "variables": {
            "r": {"runId": a["run_id"]}, "s": {"experimentIds": ids},
            "e": {"experimentId": a["experiment_id"]}}})
    return answer.status_code, answer.json()


@pytest.mark.parametrize("default", ["READ", "NO_PERMISSIONS"])
def test_what_is_shown(stock, users, default, tmp_path):
    """Pages, their tokens, what is left out of rows, and GraphQL: the same for every user."""
    objects = SHOWN.setdefault("objects", None) or more_objects(stock)
    SHOWN["objects"] = objects
    stock.say(f"default/{default}")
    stock.say("run/1")
    differing = []
    with matrix.serve(stock.pg_uri, default, str(tmp_path), verdicts=False) as sluice:
        for who in ["admin", *list(users)[::11]]:
            for call in reads(objects):
                theirs, ours = (pages(s.url, who, call) for s in (stock, sluice))
                if theirs != ours:
                    differing.append((who, call, theirs, ours))
            if who != "admin":
                theirs, ours = (graphql(s.url, who, objects) for s in (stock, sluice))
                if theirs != ours:
                    differing.append((who, "graphql", theirs, ours))
    stock.say("run/0")
    assert not differing, f"{len(differing)}: " + "\n".join(json.dumps(d) for d in differing[:3])


SHOWN = {}


def passed_on(objects):
    """Calls that a server behind Sluice answers, and that show what belongs to runs, models and assessments."""
    a = objects["a"]
    trace, exp = a["trace_id"], a["experiment_id"]
    where = {"locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": exp}}]}
    return [("GET", "3.0/mlflow/traces/get", {"trace_id": trace}),
            ("GET", f"3.0/mlflow/traces/{trace}", {}),
            ("GET", "3.0/mlflow/traces/batchGet", {"trace_ids": trace}),
            ("POST", "3.0/mlflow/traces/batchGetInfos", {"trace_ids": [trace]}),
            ("POST", "3.0/mlflow/traces/search", where),
            ("GET", "2.0/mlflow/traces", {"experiment_ids": exp}),
            ("GET", f"2.0/mlflow/traces/{trace}/info", {}),
            ("GET", f"3.0/mlflow/issues/{a['issue_id']}", {}),
            ("POST", "3.0/mlflow/issues/search", {"experiment_id": exp}),
            ("GET", "3.0/mlflow/gateway/secrets/config", {}),
            ("GET", "3.0/mlflow/traces/tr-nowhere", {})]


def passed_answer(server, who, call):
    method, path, sent = call
    auth = ADMIN if who == "admin" else (who, matrix.PASSWORD)
    where = {"params": sent} if method == "GET" else {"json": sent}
    answer = requests.request(method, f"{server.url}/ajax-api/{path}", auth=auth, timeout=60, **where)
    is_json = answer.headers["content-type"].startswith("application/json")
    return answer.status_code, answer.json() if is_json else answer.text


def test_what_is_taken_out_of_answers_that_are_passed_on(stock, tmp_path):
    """As the stock application does behind its own checks; a server without users answers behind Sluice."""
    blind = {f"blind-{kind}": [(kind, "*", "DENY")] for kind in ("run", "logged_model", "assessment")}
    blind["sees-all"] = []
    blind["blind-chief"] = [("run", "*", "DENY"), ("workspace", "*", "MANAGE")]
    blind["blind-all"] = [(kind, "*", "DENY") for kind in ("run", "logged_model", "assessment")]
    matrix.make_users(stock.pg_uri, blind)
    objects = stock.say("objects")
    calls = passed_on(objects)
    stock.say("default/READ")
    stock.say("run/1")
    theirs = {(who, call[1]): passed_answer(stock, who, call) for who in [*blind, "admin"] for call in calls}
    stock.say("run/0")
    with Stock(stock.pg_uri) as behind, matrix.serve(stock.pg_uri, "READ", str(tmp_path), verdicts=False,
                                                     args=["--upstream", behind.url]) as sluice:
        ours = {(who, call[1]): passed_answer(sluice, who, call) for who in [*blind, "admin"]
                for call in calls}
        behind.kill()
    assert [(key, ours[key], theirs[key]) for key in ours if ours[key] != theirs[key]] == []
    shown = {who: json.dumps([ours[who, call[1]] for call in calls]) for who in blind}
    for who, text in shown.items():
        sees_runs = "mlflow.sourceRun" in text or "source_run_id" in text
        assert sees_runs == (who not in ("blind-run", "blind-all"))
        assert ("mlflow.modelId" in text) == (who not in ("blind-logged_model", "blind-all"))
        assert ("assessment_id" in text) == (who not in ("blind-assessment", "blind-all"))
        assert "using_default_passphrase" not in text


# -- roles and permissions ---------------------------------------------------------------------------

def management(mark):
    """What is asked in turn, as admin; {name} stands for what an earlier answer gave."""
    role = f"role-{mark}"
    bad = [("users/permissions/grant", {"username": f"managed-{mark}", "resource_type": t, "resource_id": i,
                                        "permission": p})
           for t, i, p in (("run", "7", "READ"), ("workspace", "*", "USE"), ("nothing", "*", "READ"),
                           ("experiment", "7", "NO_PERMISSIONS"), ("experiment", "7", "read"))]
    grant = {"username": f"managed-{mark}", "resource_type": "experiment", "resource_id": "1"}
    row = {"role_id": "{role}", "resource_type": "experiment", "resource_pattern": "*"}
    return [
        ("POST", "roles/create", {"name": role, "workspace": "default", "description": "d"}, "role"),
        ("POST", "roles/create", {"name": " ", "workspace": "default"}, None),
        ("POST", "roles/create", {"name": role}, None),
        ("POST", "roles/create", {"name": "__user_x", "workspace": "default"}, None),
        ("POST", "roles/create", {"name": f"{role}-b", "workspace": "w", "description": 7}, None),
        ("GET", "roles/get", {"role_id": "{role}"}, None),
        ("GET", "roles/get", {"role_id": "987654"}, None),
        ("GET", "roles/get", {"role_id": "x"}, None),
        ("GET", "roles/get", {}, None),
        ("GET", "roles/list", {"workspace": "elsewhere"}, None),
        ("GET", "roles/list", {"workspace": " "}, None),
        ("PATCH", "roles/update", {"role_id": "{role}"}, None),
        ("PATCH", "roles/update", {"role_id": "{role}", "name": f"{role}-new"}, None),
        ("PATCH", "roles/update", {"role_id": "{role}", "description": None}, None),
        ("PATCH", "roles/update", {"role_id": "{role}", "name": "role-none-0"}, None),
        ("PATCH", "roles/update", {"role_id": "987654", "name": "n"}, None),
        ("POST", "roles/permissions/add", {**row, "permission": "READ"}, "role_permission"),
        ("POST", "roles/permissions/add", {**row, "permission": "SOME"}, None),
        ("POST", "roles/permissions/add", {**row, "resource_type": "run", "permission": "READ",
                                           "resource_pattern": "7"}, None),
        ("POST", "roles/permissions/add", {**row, "resource_type": "workspace",
                                           "permission": "EDIT"}, None),
        ("POST", "roles/permissions/add", {**row, "role_id": "987654", "permission": "READ"}, None),
        ("GET", "roles/permissions/list", {"role_id": "{role}"}, None),
        ("GET", "roles/permissions/list", {"role_id": "987654"}, None),
        ("PATCH", "roles/permissions/update", {"role_permission_id": "{role_permission}",
                                               "permission": "MANAGE"}, None),
        ("PATCH", "roles/permissions/update", {"role_permission_id": "{role_permission}",
                                               "permission": "NO_PERMISSIONS"}, None),
        ("PATCH", "roles/permissions/update", {"role_permission_id": "987654",
                                               "permission": "READ"}, None),
        ("POST", "roles/assign", {"username": f"managed-{mark}", "role_id": "{role}"}, "assignment"),
        ("POST", "roles/assign", {"username": f"managed-{mark}", "role_id": "{role}"}, None),
        ("POST", "roles/assign", {"username": "nobody", "role_id": "{role}"}, None),
        ("POST", "roles/assign", {"username": f"managed-{mark}", "role_id": "987654"}, None),
        ("GET", "roles/users/list", {"role_id": "{role}"}, None),
        ("GET", "users/roles/list", {"username": f"managed-{mark}"}, None),
        ("GET", "users/roles/list", {"username": "nobody"}, None),
        ("GET", "users/permissions/list", {"username": f"managed-{mark}"}, None),
        ("GET", "users/current/permissions", {}, None),
        ("GET", "users/permissions/get", grant, None),
        ("DELETE", "roles/unassign", {"username": f"managed-{mark}", "role_id": "{role}"}, None),
        ("DELETE", "roles/unassign", {"username": f"managed-{mark}", "role_id": "{role}"}, None),
        ("DELETE", "roles/permissions/remove", {"role_permission_id": "{role_permission}"}, None),
        ("DELETE", "roles/permissions/remove", {"role_permission_id": "{role_permission}"}, None),
        ("DELETE", "roles/delete", {"role_id": "{role}"}, None),
        ("DELETE", "roles/delete", {"role_id": "{role}"}, None),
        *[("POST", path, body, None) for path, body in bad],
        ("POST", "users/permissions/grant", {**grant, "permission": "READ"}, None),
        ("POST", "users/permissions/grant", {**grant, "permission": "EDIT"}, None),
        ("GET", "users/permissions/get", grant, None),
        ("GET", "users/permissions/list", {"username": f"managed-{mark}"}, None),
        ("GET", "users/permissions/get", {**grant, "resource_type": "run"}, None),
        ("GET", "users/permissions/get", {**grant, "resource_type": "run", "resource_id": "*"},
         None),
        ("POST", "users/permissions/revoke", grant, None),
        ("POST", "users/permissions/revoke", grant, None),
        ("GET", "users/permissions/get", grant, None),
    ]


def run_management(url, mark):
    """Statuses and bodies, ids of this run and PostgreSQL's words left out."""
    session = requests.Session()
    session.auth = ADMIN
    known, said = {}, []
    for method, path, params, gives in management(mark):
        sent = {k: v.format(**known) if isinstance(v, str) else v for k, v in params.items()}
        where = {"params": sent} if method == "GET" else {"json": sent}
        answer = session.request(method, f"{url}/api/3.0/mlflow/{path}", timeout=60, **where)
        body = answer.json()
        if gives:
            known[gives] = str(body[gives]["id"])
        text = json.dumps(body, sort_keys=True).replace(f"-{mark}", "-X")
        text = re.sub(r"__user_\d+__", "__user_N__", re.sub(r"((?:user|role)_id\"?[:=] ?)\d+", r"\1N", text))
        text = text.partition(" Error: ")[0]
        for name, value in known.items():
            text = text.replace(f'_id": {value}', f'_id": <{name}>').replace(
                f'"id": {value}', f'"id": <{name}>').replace(f"={value}", f"=<{name}>")
        said.append((path, sent if not gives else None, answer.status_code, text))
    return [(p, status, text) for p, _, status, text in said]


def test_management(stock, users, tmp_path):
    """The calls that manage roles and permissions say the same, and leave nothing behind."""
    matrix.make_users(stock.pg_uri, {"managed-sq": [], "managed-lq": []})
    stock.say("default/READ")
    stock.say("run/1")
    theirs = run_management(stock.url, "sq")
    stock.say("run/0")
    with matrix.serve(stock.pg_uri, "READ", str(tmp_path), verdicts=False) as sluice:
        ours = run_management(sluice.url, "lq")
    assert [o for o, t in zip(ours, theirs) if o != t] == [t for o, t in zip(ours, theirs) if o != t]
