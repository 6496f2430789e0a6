"""The same requests to Sluice and to stock MLflow's basic-auth application: status, headers, body.

Each server has a database of its own, so that what one changes the other has to change as well. What we
answer differently on purpose stands in CHOSEN, with the reason.
"""

import base64
import json
import re

import pytest
import requests

from auth import ADMIN, EXPERIMENT, USERS, basic, exchange, guarded
from server import Stock
from test_auth_schema import stock_ini

COMPARED = ("content-type", "www-authenticate")


@pytest.fixture(scope="module")
def pair(postgres, tmp_path_factory):
    uris = [postgres.create_database(name) for name in ("auth_pair_sluice", "auth_pair_stock")]
    env = stock_ini(tmp_path_factory.mktemp("ini"), uris[1])
    with guarded(uris[0]) as sluice, Stock(uris[1], env=env, args=["--app-name", "basic-auth"]) as stock:
        yield sluice, stock
    for name in ("auth_pair_sluice", "auth_pair_stock"):
        postgres.drop_database(name)


def b64(text):
    return base64.b64encode(text if isinstance(text, bytes) else text.encode())


GOOD = b"Authorization: Basic " + b64(":".join(ADMIN))
HEADERS = {
    "none": [], "good": [GOOD], "name in capitals": [GOOD.replace(b"Authorization", b"AUTHORIZATION")],
    "scheme in capitals": [GOOD.replace(b"Basic", b"BASIC")], "blanks": [GOOD.replace(b"Basic ", b"Basic   ")],
    "tab": [GOOD.replace(b"Basic ", b"Basic\t")], "twice": [GOOD, GOOD],
    "bearer and basic": [b"Authorization: Bearer x", GOOD], "bearer": [b"Authorization: Bearer x"],
    "bearer of base64": [GOOD.replace(b"Basic", b"Bearer")], "not base64": [b"Authorization: Basic !!!"],
    "unpadded": [b"Authorization: Basic " + b64("admin:adminpassword12")[:-1]],
    "padded too much": [GOOD + b"===="], "no name": [b"Authorization: Basic " + b64(":adminpassword1")],
    "nothing": [b"Authorization: Basic " + b64(":")], "no colon": [b"Authorization: Basic " + b64("admin")],
    "empty": [b"Authorization:"], "scheme alone": [b"Authorization: Basic"],
    "not utf-8": [b"Authorization: Basic " + b64(b"\xff:x")],
    "wrong password": [b"Authorization: Basic " + b64("admin:adminpassword2")],
    "password in capitals": [b"Authorization: Basic " + b64("admin:ADMINPASSWORD1")],
    "name with a blank": [b"Authorization: Basic " + b64("admin :adminpassword1")],
    "unknown": [b"Authorization: Basic " + b64("nobody:adminpassword1")],
    "long": [b"Authorization: Basic " + b64("admin:" + "x" * 4000)],
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("path", ["/api/2.0/mlflow/users/current", "/api/2.0/mlflow/nothing"])
def test_a_header_is_read_as_stock_reads_it(pair, name, path):
    ours, theirs = (exchange(server.url, HEADERS[name], path) for server in pair)
    assert ours[0] == theirs[0]
    if ours[0] == 401 or path.endswith("current"):
        assert ours[2] == theirs[2]
        for field in COMPARED:
            assert ours[1].get(field) == theirs[1].get(field)


@pytest.mark.parametrize("path, method", [
    (path, method) for path in ("/", "/version", "/health", "/healthz", "/signup", "/metrics", "/staticfoo",
                                "/favicon.ico", "/api/3.0/mlflow/server-info", "/x/mlflow/server-info",
                                "/mlflow/server-info", "/api/2.0/mlflow/runs/search")
    for method in ("GET", "OPTIONS")])
def test_the_same_paths_are_open(pair, path, method):
    ours, theirs = (exchange(server.url, [], path, method)[0] == 401 for server in pair)
    assert ours == theirs


# In order: each builds on what those before it did.
CALLS = [
    ("GET", "current", None), ("GET", "get?username=admin", None), ("GET", "get?username=nope", None),
    ("GET", "get?username=admin&username=nope", None), ("GET", "get", None), ("GET", "get?username=", None),
    ("POST", "create", {"username": "alice", "password": "alicepass12345"}),
    ("GET", "get?username=alice", None), ("GET", "get?username=Alice", None),
    ("POST", "create", {"username": "short", "password": "elevenchars"}),
    ("POST", "create", {"username": "twelve", "password": "äöüäöüäöüäöü"}),
    ("POST", "create", {"username": "", "password": "x"}), ("POST", "create", {"username": "x", "password": ""}),
    ("POST", "create", {"username": None, "password": "alicepass12345"}), ("POST", "create", {"username": "x"}),
    ("POST", "create", {"password": "x"}), ("POST", "create", []), ("POST", "create", {}),
    ("POST", "create", "not json"), ("POST", "create", {"username": "é:ü", "password": "pässwörd1234"}),
    ("GET", "get?username=%C3%A9%3A%C3%BC", None), ("GET", "list", None),
    ("PATCH", "update-password", {"username": "alice", "password": "newpass123456"}),
    ("PATCH", "update-password", {"username": "alice", "password": "newpass123456"}),
    ("PATCH", "update-password", {"username": "alice", "password": "short"}),
    ("PATCH", "update-password", {"username": "alice", "password": None}),
    ("PATCH", "update-password", {"username": "alice"}),
    ("PATCH", "update-password", {"username": "nope", "password": "short"}),
    ("PATCH", "update-password", {"username": "admin", "password": "newpass123456"}),
    ("PATCH", "update-password", {"username": "admin", "password": "newpass123456", "current_password": ""}),
    ("PATCH", "update-password", {"username": "admin", "password": "newpass123456", "current_password": "x"}),
    ("PATCH", "update-password", {"username": "admin", "password": ADMIN[1], "current_password": ADMIN[1]}),
    ("PATCH", "update-password", {"username": "admin", "password": "short", "current_password": ADMIN[1]}),
    ("PATCH", "update-admin", {"username": "alice", "is_admin": True}), ("GET", "get?username=alice", None),
    ("PATCH", "update-admin", {"username": "alice", "is_admin": None}), ("GET", "get?username=alice", None),
    ("PATCH", "update-admin", {"username": "alice", "is_admin": 0}), ("GET", "get?username=alice", None),
    ("PATCH", "update-admin", {"username": "nope", "is_admin": True}),
    ("PATCH", "update-admin", {"username": "alice"}), ("PATCH", "update-admin", {"is_admin": True}),
    ("DELETE", "delete", {"username": "admin"}), ("DELETE", "delete", {"username": "nope"}),
    ("DELETE", "delete", {}), ("DELETE", "delete?username=alice", None), ("DELETE", "delete?username=alice", None),
    ("DELETE", "delete?username=twelve", {"username": "é:ü"}), ("GET", "list", None),
]
# Where the status is the same and the words are not: the stock server's hold a statement and its values.
CHOSEN = [
    ("POST", "create", {"username": "alice", "password": "alicepass12345"}),  # with the new hash in it
    ("POST", "create", {"username": "x" * 256, "password": "alicepass12345"}),
    ("POST", "create", {"username": "n\0l", "password": "alicepass12345"}),
    ("PATCH", "update-admin", {"username": "admin", "is_admin": "yes"}),
    ("PATCH", "update-admin", {"username": "admin", "is_admin": 2}),
]


def call(server, method, name, body):
    more = {"data": body} if isinstance(body, str) else {} if body is None else {"json": body}
    answer = requests.request(method, server.url + USERS + name, auth=ADMIN, timeout=60, **more)
    return answer.status_code, answer.headers.get("content-type"), answer.text


def test_calls_about_users_are_answered_alike(pair):
    differing = []
    for method, name, body in CALLS:
        ours, theirs = (call(server, method, name, body) for server in pair)
        if ours != theirs:
            differing.append((method, name, body, ours, theirs))
    assert differing == []


def test_of_some_calls_the_words_are_our_own(pair):
    for server in pair:  # so that she is there
        call(server, "POST", "create", {"username": "alice", "password": "alicepass12345"})
    for method, name, body in CHOSEN:
        ours, theirs = (call(server, method, name, body) for server in pair)
        assert ours[:2] == theirs[:2], (method, name, body, ours, theirs)
        code, other = json.loads(ours[2]), json.loads(theirs[2])
        assert code["error_code"] == other["error_code"]
        assert "scrypt" not in code["message"]


# (token: None = the page's, fields, Content-Type)
FORMS = [
    ({"username": "signed", "password": "signedpassword"}, "", None),
    ({"username": "signed", "password": "signedpassword"}, "x.y.z", None),
    ({"username": "", "password": "signedpassword"}, None, None), ({"username": "signed"}, None, None),
    ({"username": "signed", "password": "signedpassword"}, None, "application/x-www-form-urlencoded; a=b"),
    ({"username": "signed", "password": "signedpassword"}, None, "text/plain"),
    ({"username": "signed", "password": "short"}, None, None),
    ({"username": "sign\"ed <'&>", "password": "signedpassword"}, None, None),
    ({"username": "sign\"ed <'&>", "password": "signedpassword"}, None, None),
]


def sign_up(server, fields, token, kind):
    """Status, type and text of the answer, blanks aside; from a page of the same session."""
    with requests.Session() as session:
        session.auth = ADMIN
        page = session.get(server.url + "/signup", timeout=60)
        assert page.status_code == 200 and "HttpOnly" in page.headers["set-cookie"]
        assert "Path=/" in page.headers["set-cookie"] and "Cookie" in page.headers["vary"]
        found = re.search(r'action="(\S+)" method="post"[^$]*name="csrf_token" value="([^"]+)"', page.text)
        sent = {**fields, "csrf_token": found[2] if token is None else token}
        answer = session.post(server.url + found[1], data=sent, timeout=60,
                              headers={"Content-Type": kind} if kind else {})
        return answer.status_code, answer.headers["content-type"], re.sub(r"\s+", " ", answer.text).strip()


def test_the_form_for_new_users(pair):
    """As stock's page: who may see it, what its form says back, and that only such a page's form counts."""
    differing = [(form, ours, theirs) for form in FORMS
                 for ours, theirs in [[sign_up(server, *form) for server in pair]] if ours != theirs]
    assert differing == []
    for server in pair:
        call(server, "POST", "create", {"username": "alice", "password": "alicepass12345"})
        alice = ("alice", "alicepass12345")
        call(server, "PATCH", "update-password", {"username": "alice", "password": alice[1]})
        assert requests.get(server.url + "/signup", auth=alice, timeout=60).status_code == 403
        form = {"username": "x", "password": "signedpassword", "csrf_token": "x"}
        assert requests.post(server.url + USERS + "create-ui", auth=alice, data=form, timeout=60).status_code == 403
        # The token of another session.
        with requests.Session() as one, requests.Session() as two:
            one.auth = two.auth = ADMIN
            token = re.search(r'value="([^"]+)"', one.get(server.url + "/signup", timeout=60).text)[1]
            two.get(server.url + "/signup", timeout=60)
            answer = two.post(server.url + USERS + "create-ui", timeout=60, data={**form, "csrf_token": token})
            assert answer.status_code == 400 and "The CSRF tokens do not match." in answer.text


PLUG_IN = """
from flask import make_response, request
from werkzeug.datastructures import Authorization

def who():
    name = request.headers.get("X-Who")
    if name is None:
        return make_response("who are you?", 401)
    return Authorization("basic", {"username": name, "password": ""})
"""


def test_a_function_of_one_s_own_is_the_upstream_s_to_run(postgres, tmp_path):
    """All that asks who it is goes to the server behind, what is Sluice's own among it; and its answer comes back."""
    uri = postgres.create_database("auth_plug_in")
    env = stock_ini(tmp_path, uri)
    (tmp_path / "plug_in.py").write_text(PLUG_IN)
    with open(env["MLFLOW_AUTH_CONFIG_PATH"], "a", encoding="utf-8") as f:
        f.write("authorization_function = plug_in:who\n")
    with Stock(uri, env={**env, "PYTHONPATH": str(tmp_path)}, args=["--app-name", "basic-auth"]) as stock, \
            guarded(uri, "--upstream", stock.url, env=env) as sluice:
        for method, path in (("GET", EXPERIMENT), ("GET", "/"), ("GET", "/metrics"), ("GET", "/sluice/status"),
                             ("POST", "/sluice/api/v1/log-batches"), ("GET", USERS + "current"),
                             ("GET", "/signup"), ("PUT", "/api/2.0/mlflow-artifacts/artifacts/0/x")):
            for headers in ({}, {"Authorization": basic(*ADMIN)}):
                answer = requests.request(method, sluice.url + path, headers=headers, timeout=60)
                assert (answer.status_code, answer.text) == (401, "who are you?"), path
        ours, theirs = (requests.get(url + EXPERIMENT, headers={"X-Who": "admin"}, timeout=60)
                        for url in (sluice.url, stock.url))
        assert ours.status_code == theirs.status_code == 200 and ours.json() == theirs.json()
        assert requests.get(sluice.url + "/livez", timeout=60).status_code == 200
        assert re.search("everything is passed on to the upstream.*plug_in:who", sluice.output())
        stock.kill()
    postgres.drop_database("auth_plug_in")


def test_deleting_a_user_takes_what_hangs_on_it(pair):
    """Roles of its own and rows of older tables go, others stay."""
    import psycopg

    left = []
    for server in pair:
        call(server, "POST", "create", {"username": "rich", "password": "richpassword"})
        with psycopg.connect(server.pg_uri, autocommit=True) as pg:
            user = pg.execute("SELECT id FROM users WHERE username = 'rich'").fetchone()[0]
            for name in (f"__user_{user}__", "shared"):
                role = pg.execute("INSERT INTO roles (name, workspace) VALUES (%s, 'default') "
                                  "RETURNING id", (name,)).fetchone()[0]
                pg.execute("INSERT INTO user_role_assignments (user_id, role_id) VALUES (%s, %s)",
                           (user, role))
                pg.execute("INSERT INTO role_permissions (role_id, resource_type, resource_pattern, "
                           "permission) VALUES (%s, 'experiment', '0', 'READ')", (role,))
            pg.execute("INSERT INTO experiment_permissions (experiment_id, user_id) VALUES ('0', %s)",
                       (user,))
            pg.execute("INSERT INTO workspace_permissions VALUES ('default', %s, 'READ')", (user,))
            listed = [u["roles"] for u in json.loads(call(server, "GET", "list", None)[2])["users"]
                      if u["username"] == "rich"][0]
            assert [r["name"] for r in listed] == [f"__user_{user}__", "shared"]
            shapes = [(sorted(r), [sorted(p) for p in r["permissions"]]) for r in listed]
            assert call(server, "DELETE", "delete", {"username": "rich"})[0] == 200
            left.append((shapes, [pg.execute(f"SELECT count(*) FROM {table}").fetchone() for table in
                                  ("roles", "role_permissions", "user_role_assignments",
                                   "experiment_permissions", "workspace_permissions")]))
    assert left[0] == left[1]
