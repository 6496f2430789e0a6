"""Raw HTTP, row by row of cases.py: status, error_code, exact message, and what is stored."""

import http.client
import json
import string
import urllib.parse
import uuid

import pytest

import cases

CLASSES = {  # error_code: (sqlstate, error_class), section 4 of the tracking reference
    "INVALID_PARAMETER_VALUE": ("KAM00", "INVALID_PARAMETER_VALUE"),
    "BAD_REQUEST": ("KAM00", "INVALID_PARAMETER_VALUE"),
    "RESOURCE_ALREADY_EXISTS": ("KAM00", "RESOURCE_ALREADY_EXISTS"),
    "RESOURCE_DOES_NOT_EXIST": ("KAM00", "RESOURCE_NOT_FOUND"),
    "ENDPOINT_NOT_FOUND": ("KAM00", "RESOURCE_NOT_FOUND"),
    "INTERNAL_ERROR": ("XXM00", "CLIENT_INTERNAL_ERROR"),
    "INVALID_STATE": ("XXM00", "CLIENT_INTERNAL_ERROR"),
}


class Wire:
    """One connection, one exchange; nothing helps, so nothing hides."""

    def __init__(self, url):
        self.netloc = urllib.parse.urlsplit(url).netloc

    def exchange(self, method, path, body, headers):
        connection = http.client.HTTPConnection(self.netloc, timeout=30)
        try:
            chunked = headers.get("Transfer-Encoding") == "chunked"
            connection.request(method, path, body=iter([body]) if chunked else body,
                               headers=headers, encode_chunked=chunked)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def call(self, method, path, body=None):
        status, _, text = self.exchange(method, path, body and json.dumps(body).encode(),
                                        cases.JSON)
        assert status == 200, text
        return json.loads(text)


class World(dict):
    """What $run and its like stand for; each is made when a row first asks for it."""

    def __init__(self, wire):
        super().__init__(none="f" * 32)
        self.wire = wire

    def __missing__(self, name):
        self[name] = getattr(self, "make_" + name)()
        return self[name]

    def post(self, path, **body):
        return self.wire.call("POST", "/api/2.0/mlflow/" + path, body)

    def experiment(self):
        name = "exp-" + uuid.uuid4().hex
        return self.post("experiments/create", name=name)["experiment_id"], name

    def run(self):
        return self.post("runs/create", experiment_id=self["exp"])["run"]["info"]["run_id"]

    def make_exp(self):
        number, self["expname"] = self.experiment()
        return number

    def make_expname(self):
        self["exp"]
        return dict.__getitem__(self, "expname")

    def make_goneexp(self):
        number, self["goneexpname"] = self.experiment()
        self.post("experiments/delete", experiment_id=number)
        return number

    def make_goneexpname(self):
        self["goneexp"]
        return dict.__getitem__(self, "goneexpname")

    def make_run(self):
        return self.run()

    def make_gone(self):
        run = self.run()
        self.post("runs/delete", run_id=run)
        return run

    def make_params(self):
        run = self.run()
        self.post("runs/log-batch", run_id=run, params=[{"key": "a", "value": "1"},
                                                        {"key": "b", "value": "2"}])
        return run

    def make_tags(self):
        run = self.run()
        self.post("runs/set-tag", run_id=run, key="a", value="1")
        return run

    def fill(self, text):
        if isinstance(text, bytes):
            return self.fill(text.decode("latin-1")).encode("latin-1")
        return string.Template(text).safe_substitute(self)


@pytest.fixture(scope="module")
def wire(target):
    return Wire(target.url)


def is_stock():
    import conftest

    return conftest.STOCK_ONLY


@pytest.mark.parametrize("case", [c for _, c in cases.CASES], ids=[n for n, _ in cases.CASES])
def test_case(wire, sql, case):
    world = World(wire)
    sent = case.sent if isinstance(case.sent, (bytes, type(None))) else json.dumps(
        case.sent, ensure_ascii=True).encode()
    expected = case.stock if is_stock() and case.stock else case.answer
    status, headers, text = wire.exchange(case.method, world.fill(case.path),
                                          sent if sent is None else world.fill(sent), case.headers)
    if expected is cases.HTML:
        assert headers.get("content-type", "").startswith("text/html"), (status, text)
        assert status in (404, 405, 500)
        return
    check_answer(world, expected, status, headers, text)
    if case.rows and not (is_stock() and case.stock):
        check_rows(wire, sql, world, case)


def check_answer(world, expected, status, headers, text):
    want_status, code, message = expected
    assert status == want_status, text
    lower = {k.lower(): v for k, v in headers.items()}
    assert lower["content-type"] == "application/json"
    got = json.loads(text)
    if status == 200:
        assert message is None or got == message
        return
    assert set(got) <= {"error_code", "message", "sqlstate", "error_class"}
    if code:
        sqlstate, error_class = CLASSES[code]
        assert got["error_code"] == code, text
        want = world.fill(message) if message is not None else got["message"]
        assert got["message"] == want
        # One line, these separators, this order of keys, ASCII: as MLflow prints it.
        assert text.decode("ascii") == json.dumps(
            {"error_code": code, "message": want, "sqlstate": sqlstate,
             "error_class": error_class})


def check_rows(wire, sql, world, case):
    query, want = case.rows
    for run in {world[n] for n in ("run", "params", "tags") if n in world}:
        wire.call("GET", f"/api/2.0/mlflow/runs/get?run_id={run}")  # waits for the run's points
    got = sql.execute(world.fill(query)).fetchall()
    assert got == want


def test_the_table_is_large():
    assert len(cases.CASES) >= 150
    names = [n for n, _ in cases.CASES]
    assert len(names) == len(set(names))


def test_headers_of_every_answer(wire):
    for path in ("/health", "/api/2.0/mlflow/experiments/get?experiment_id=0",
                 "/api/2.0/mlflow/runs/get?run_id=nope"):
        _, headers, body = wire.exchange("GET", path, None, {})
        lower = {k.lower(): v for k, v in headers.items()}
        assert lower["x-content-type-options"] == "nosniff"
        assert lower["x-frame-options"] == "SAMEORIGIN"
        assert lower["vary"] == "Origin"
        assert lower["content-length"] == str(len(body))


@pytest.mark.parametrize("path, kind, text", [
    ("/health", "text/plain; charset=utf-8", b"OK"),
    ("/version", "text/html; charset=utf-8", b"3.17.2"),
    ("/api/3.0/mlflow/server-info", "application/json", None),
    ("/ajax-api/3.0/mlflow/server-info", "application/json", None)])
def test_server_level_paths(wire, path, kind, text):
    status, headers, body = wire.exchange("GET", path, None, {})
    assert status == 200
    assert {k.lower(): v for k, v in headers.items()}["content-type"] == kind
    if text is not None:
        assert body == text
    else:
        info = json.loads(body)
        assert info["store_type"] == "SqlStore" and info["workspaces_enabled"] is False


@pytest.mark.parametrize("host, status", [
    ("localhost:99", 200), ("127.0.0.1", 200), ("[::1]:5000", 200), ("10.1.2.3", 200),
    ("172.16.0.1:80", 200), ("evil.example", 403), ("172.32.0.1", 403)])
def test_host_header(wire, host, status):
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    got, headers, body = wire.exchange("GET", path, None, {"Host": host})
    assert got == status
    if status == 403:
        assert body == b"Invalid Host header - possible DNS rebinding attack detected"
    assert wire.exchange("GET", "/health", None, {"Host": host})[0] == 200


@pytest.mark.parametrize("origin, is_let_in", [
    ("http://localhost:3000", True), ("http://127.0.0.1", True), ("http://evil.example", False)])
def test_origin_header(wire, origin, is_let_in):
    headers = {**cases.JSON, "Origin": origin}
    status, _, body = wire.exchange("POST", "/api/2.0/mlflow/runs/log-metric", b"{}", headers)
    assert status == (400 if is_let_in else 403)
    if not is_let_in:
        assert body == b"Cross-origin request blocked"
    # Reading is not what the rule is about.
    assert wire.exchange("GET", "/api/2.0/mlflow/experiments/get?experiment_id=0", None,
                         {"Origin": origin})[0] == 200


def test_workspace_header_without_workspaces(wire):
    path = "/api/2.0/mlflow/experiments/get?experiment_id=0"
    status, _, body = wire.exchange("GET", path, None, {"X-MLFLOW-WORKSPACE": "one"})
    assert status == 500
    assert json.loads(body)["error_code"] == "FEATURE_DISABLED"
    assert wire.exchange("GET", path, None, {"X-MLFLOW-WORKSPACE": " "})[0] == 200


def test_head_and_options(wire):
    status, headers, body = wire.exchange("HEAD", "/health", None, {})
    assert (status, body) == (200, b"")
    status, headers, body = wire.exchange("OPTIONS", "/api/2.0/mlflow/runs/log-metric", None, {})
    assert (status, body) == (204, b"")
    allow = {k.lower(): v for k, v in headers.items()}["allow"]
    assert sorted(allow.split(", ")) == ["OPTIONS", "POST"]  # stock MLflow prints a set


def test_numbers_are_printed_as_python_prints_them(wire):
    world = World(wire)
    values = [1, -0.0, 1e-5, 1e16, 1.5e-7, 1234567890123456.0, 1.7976931348623157e308, 5e-324, 0.1]
    world.post("runs/log-batch", run_id=world["run"],
               metrics=[{"key": f"m{i}", "value": v, "timestamp": 1, "step": 2**63 - 1}
                        for i, v in enumerate(values)])
    _, _, text = wire.exchange("GET", f"/api/2.0/mlflow/runs/get?run_id={world['run']}", None, {})
    for value in values:
        assert f'"value": {float(value)!r},'.encode() in text
    assert b'"step": 9223372036854775807' in text
    assert text.startswith(b'{\n  "run": {\n    "info": {\n      "run_uuid": ')
    assert not text.endswith(b"\n")


def test_shape_of_a_run(wire):
    """Order of fields, what is omitted, what is always there."""
    world = World(wire)
    experiment = world["exp"]
    created = world.post("runs/create", experiment_id=experiment, run_name="shape", start_time=7,
                         user_id="me", tags=[{"key": "t", "value": "\U0001f600"}])["run"]
    assert list(created) == ["info", "data", "inputs"]
    info = created["info"]
    run = info["run_id"]
    assert list(info) == ["run_uuid", "experiment_id", "run_name", "user_id", "status",
                          "start_time", "artifact_uri", "lifecycle_stage", "run_id"]
    assert info == {"run_uuid": run, "experiment_id": experiment, "run_name": "shape",
                    "user_id": "me", "status": "RUNNING", "start_time": 7,
                    "artifact_uri": f"mlflow-artifacts:/{experiment}/{run}/artifacts",
                    "lifecycle_stage": "active", "run_id": run}
    assert len(run) == 32 and int(run, 16) >= 0
    got = wire.call("GET", f"/api/2.0/mlflow/runs/get?run_id={run}")["run"]
    assert list(got) == ["info", "data", "inputs", "outputs"]
    assert got["inputs"] == {} and got["outputs"] == {}
    assert sorted(t["key"] for t in got["data"]["tags"]) == ["mlflow.runName", "t"]
    _, _, text = wire.exchange("GET", f"/api/2.0/mlflow/runs/get?run_id={run}", None, {})
    assert b"\\ud83d\\ude00" in text


def test_generated_run_names(wire):
    world = World(wire)
    run = world.post("runs/create", experiment_id=world["exp"])["run"]
    adjective, noun, number = run["info"]["run_name"].split("-")
    assert adjective.islower() and noun.islower() and 0 <= int(number) <= 1000
    assert len(run["info"]["run_name"]) <= 20
    assert run["info"]["start_time"] == 0
    assert run["data"]["tags"] == [{"key": "mlflow.runName", "value": run["info"]["run_name"]}]
