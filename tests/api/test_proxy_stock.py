"""A stock MLflow server behind Sluice: pages, traces and prompts through one address, artifacts at a kind of
place that Sluice does not serve, and everything when the store is one that Sluice does not speak. One server
is behind all of it: its start is what takes long. It keeps artifacts at r2://, which MLflow reaches by the S3
protocol over TLS, so that a real server can stand for it here."""

import hashlib
import http.client
import json
import os
import re
import socket
import subprocess
import urllib.parse

import mlflow
import psycopg
import pytest
import requests
from mlflow import MlflowClient

from certificates import Authority
from s3 import S3
from server import BINARY, Sluice, Stock, clean_environment
from upstream import Upstream

MIB = 1 << 20
PROXY = "/api/2.0/mlflow-artifacts"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("tls"), "ca")
    with S3(certificate=authority.sign("s3")) as s3:
        s3.make_bucket("bkt")
        s3.destination = f"r2://bkt@127.0.0.1:{s3.ports['s3']}/pre"
        s3.env = {**s3.env, "AWS_CA_BUNDLE": str(authority.file),
                  "MLFLOW_ARTIFACTS_DESTINATION": s3.destination}
        yield s3


@pytest.fixture(scope="module")
def behind(database, store):
    with Sluice(database):  # makes the schema
        pass
    with Stock(database, env=store.env) as server:
        yield server
        server.kill()  # its own end takes up to 20 s and is not what is tested


@pytest.fixture(scope="module")
def front(database, behind):
    with Sluice(database, args=["--upstream", behind.url]) as server:
        yield server


@pytest.fixture(scope="module")
def elsewhere(database, store, behind):
    """Told of a destination that it does not serve."""
    with Sluice(database, args=["--upstream", behind.url], env=store.env) as server:
        yield server


@pytest.fixture(scope="module")
def passing(behind):
    """Told of a store that it does not speak."""
    with Sluice(None, args=["--upstream", behind.url],
                env={"MLFLOW_BACKEND_STORE_URI": "sqlite:///elsewhere.db"}) as server:
        yield server


def client_of(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.url)
    mlflow.set_tracking_uri(server.url)
    return MlflowClient(server.url)


@pytest.fixture
def tracking(front, monkeypatch):
    yield client_of(front, monkeypatch)
    mlflow.set_tracking_uri(None)


@pytest.fixture
def remote(elsewhere, monkeypatch):
    yield client_of(elsewhere, monkeypatch)
    mlflow.set_tracking_uri(None)


@pytest.fixture
def foreign(passing, monkeypatch):
    yield client_of(passing, monkeypatch)
    mlflow.set_tracking_uri(None)


def test_the_pages_and_their_files(front, behind):
    page = requests.get(front.url + "/", timeout=60)
    assert page.status_code == 200 and page.headers["Content-Type"].startswith("text/html")
    files = re.findall(r'(?:src|href)="(?:\./)?(/?static-files/[^"]+)"', page.text)
    assert files
    for path in files:
        path = "/" + path.lstrip("/")
        mine = requests.get(front.url + path, timeout=60)
        theirs = requests.get(behind.url + path, timeout=60)
        assert mine.status_code == theirs.status_code == 200
        assert mine.content == theirs.content
        assert mine.headers["Content-Type"] == theirs.headers["Content-Type"]
        etag = {"If-None-Match": theirs.headers["ETag"]}
        assert requests.get(front.url + path, headers=etag, timeout=60).status_code == 304


def test_errors_of_the_stock_server_pass(front, behind):
    for method, path in [("GET", "/ajax-api/3.0/mlflow/traces/tr-none"),
                         ("POST", "/api/3.0/mlflow/traces/search"), ("GET", "/nothing"),
                         ("DELETE", "/api/2.0/mlflow/webhooks/x")]:
        mine = requests.request(method, front.url + path, timeout=60)
        theirs = requests.request(method, behind.url + path, timeout=60)
        assert (mine.status_code, mine.text) == (theirs.status_code, theirs.text), path


def test_traces_of_the_stock_client(tracking):
    experiment = mlflow.set_experiment("traced")
    with mlflow.start_span("outer", attributes={"a": 1}) as span:
        span.set_inputs({"q": "why"})
        with mlflow.start_span("inner"):
            pass
    mlflow.flush_trace_async_logging()
    found = mlflow.search_traces(locations=[experiment.experiment_id], return_type="list")
    assert [t.info.trace_id for t in found] == [span.trace_id]
    trace = mlflow.get_trace(span.trace_id)
    assert [s.name for s in trace.data.spans] == ["outer", "inner"]


def trace_of(server, name):
    """A trace with two spans, and its id."""
    mlflow.set_experiment(name)
    with mlflow.start_span("outer") as span:
        span.set_inputs({"q": "why ⚽"})
        with mlflow.start_span("inner"):
            pass
    mlflow.flush_trace_async_logging()
    return span.trace_id


def artifact_answers(servers, **query):
    """What each of them says about a trace's artifacts: status, the fields that matter, the body."""
    answers = []
    for server in servers:
        for version in ("2.0", "3.0"):
            got = requests.get(f"{server.url}/ajax-api/{version}/mlflow/get-trace-artifact", params=query,
                               timeout=60)
            fields = {name: got.headers.get(name) for name in
                      ("content-type", "content-disposition", "cache-control", "x-content-type-options")}
            answers.append((got.status_code, fields, got.content))
            assert server.name != "front" or "via" not in got.headers  # it has answered itself
    return answers


def test_spans_and_attachments_of_a_trace(elsewhere, behind, store, database, remote, tmp_path):
    """Beside the stock server: spans in PostgreSQL, then as MLflow kept them before, in a file at the trace's
    own location, which is a directory or a bucket."""
    elsewhere.name, behind.name = "front", "stock"
    servers = [elsewhere, behind]
    trace = trace_of(elsewhere, "spans")
    answers = artifact_answers(servers, request_id=trace)
    assert answers[0][0] == 200 and len(json.loads(answers[0][2])["spans"]) == 2
    assert answers.count(answers[0]) == 4
    folder = tmp_path / "trace"
    name = "0b1c2d3e-0000-4000-8000-00000000abcd"
    (folder / "attachments").mkdir(parents=True)
    (folder / "traces.json").write_bytes(answers[0][2])
    (folder / "attachments" / name).write_bytes(b"\x00picture")
    for path in ("traces.json", f"attachments/{name}"):
        assert store.curl("PUT", f"/bkt/old/{path}", "--data-binary", f"@{folder / path}")[0] == 200
    for location in (str(folder), folder.as_uri(), "s3://bkt/old"):
        with psycopg.connect(database) as sql:
            sql.execute("DELETE FROM trace_tags WHERE request_id = %s AND key LIKE 'mlflow.trace.spansL%%'",
                        [trace])
            sql.execute("UPDATE trace_tags SET value = %s WHERE request_id = %s"
                        " AND key = 'mlflow.artifactLocation'", [location, trace])
        again = artifact_answers(servers, request_id=trace)
        assert again[0][0] == 200 and again[0][2] == answers[0][2], location
        assert again.count(again[0]) == 4, location
        files = artifact_answers(servers, request_id=trace, path=name)
        assert files[0][0] == 200 and files[0][2] == b"\x00picture" and files.count(files[0]) == 4, location


def test_what_is_no_artifact_of_a_trace(elsewhere, behind, database, remote, tmp_path):
    elsewhere.name, behind.name = "front", "stock"
    servers = [elsewhere, behind]
    trace = trace_of(elsewhere, "no spans")
    name = "0b1c2d3e-0000-4000-8000-00000000abcd"
    for query in ({}, {"request_id": "tr-none"}, {"request_id": "tr-none", "path": name},
                  {"request_id": trace, "path": "../x"}, {"request_id": trace, "path": "x"},
                  {"request_id": trace, "path": name.upper()}):
        answers = [(status, json.loads(body)) for status, _, body in artifact_answers(servers, **query)]
        assert answers.count(answers[0]) == 4, (query, answers)
        assert 400 <= answers[0][0] < 500
    with psycopg.connect(database) as sql:
        sql.execute("DELETE FROM trace_tags WHERE request_id = %s AND key LIKE 'mlflow.trace.spansL%%'",
                    [trace])
        sql.execute("UPDATE trace_tags SET value = %s WHERE request_id = %s"
                    " AND key = 'mlflow.artifactLocation'", [str(tmp_path), trace])
    for query in ({"request_id": trace}, {"request_id": trace, "path": name}):
        assert artifact_answers([elsewhere], **query)[0][0] == 404
    with psycopg.connect(database) as sql:
        sql.execute("DELETE FROM trace_tags WHERE request_id = %s", [trace])
    answers = [(status, json.loads(body))
               for status, _, body in artifact_answers(servers, request_id=trace)]
    assert answers.count(answers[0]) == 4, answers


def test_a_long_trace_comes_in_parts(elsewhere, database, remote):
    trace = trace_of(elsewhere, "long")
    with psycopg.connect(database) as sql:
        sql.execute("INSERT INTO spans (trace_id, experiment_id, span_id, parent_span_id, status,"
                    " start_time_unix_nano, end_time_unix_nano, content)"
                    " SELECT trace_id, experiment_id, 'x' || i, span_id, status, start_time_unix_nano + i,"
                    " end_time_unix_nano + i, '{\"i\":' || i || ',\"pad\":\"' || repeat('y', 200) || '\"}'"
                    " FROM spans, generate_series(1, 9000) i WHERE trace_id = %s AND parent_span_id IS NULL",
                    [trace])
    got = requests.get(f"{elsewhere.url}/ajax-api/3.0/mlflow/get-trace-artifact", timeout=60,
                       params={"request_id": trace})
    assert got.headers["transfer-encoding"] == "chunked"
    spans = got.json()["spans"]
    assert spans[0]["name"] == "outer" and [s["i"] for s in spans if "i" in s] == list(range(1, 9001))


def test_prompts_of_the_stock_client(tracking):
    mlflow.genai.register_prompt("greet", "Hello {{name}}", commit_message="first")
    assert mlflow.genai.load_prompt("prompts:/greet/1").template == "Hello {{name}}"


def test_metrics_and_artifacts_stay_native(front, store, tracking):
    experiment = tracking.create_experiment("native")
    run = tracking.create_run(experiment)
    before = front.stat("sluice_upstream_requests_total")
    tracking.log_metric(run.info.run_id, "loss", 1.5)
    tracking.log_text(run.info.run_id, "words", "stays.txt")
    assert tracking.get_run(run.info.run_id).data.metrics == {"loss": 1.5}
    assert [f.path for f in tracking.list_artifacts(run.info.run_id)] == ["stays.txt"]
    assert front.stat("sluice_upstream_requests_total") == before
    assert stored(store, run.info, "stays.txt") is None


# --- artifacts at a place that is not served here --------------------------------------------------


@pytest.fixture
def echoing(database):
    """Sluice with a destination that it does not serve, before a server that tells what it was sent."""
    with Upstream() as upstream, Sluice(database, args=[
            "--upstream", upstream.url, "--artifacts-destination", "gs://bucket/x"]) as server:
        yield server


class Wire:
    """One connection, byte by byte."""

    def __init__(self, server):
        url = urllib.parse.urlsplit(server.url)
        self.socket = socket.create_connection((url.hostname, url.port), timeout=60)

    def send(self, data):
        self.socket.sendall(data)

    def answer(self):
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        return answer.status, answer.read()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()


def test_files_of_a_run_up_and_down(elsewhere, store, remote, tmp_path):
    run = remote.create_run(remote.create_experiment("elsewhere")).info
    assert run.artifact_uri.startswith("mlflow-artifacts:/")
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(MIB) * 5)
    passed = elsewhere.stat("sluice_upstream_requests_total")
    remote.log_artifact(run.run_id, str(file), "deep")
    remote.log_text(run.run_id, "words", "note.txt")
    base = run.artifact_uri.removeprefix("mlflow-artifacts:/")
    assert stored(store, run, "note.txt") == b"words"
    assert sorted(f.path for f in remote.list_artifacts(run.run_id)) == ["deep", "note.txt"]
    back = remote.download_artifacts(run.run_id, "deep/large.bin", str(tmp_path))
    assert open(back, "rb").read() == file.read_bytes()
    # what the pages ask: by the run's id
    got = requests.get(elsewhere.url + "/get-artifact", timeout=60,
                       params={"run_id": run.run_id, "path": "note.txt"})
    assert (got.status_code, got.text) == (200, "words")
    assert elsewhere.stat("sluice_upstream_requests_total") >= passed + 5
    gone = requests.delete(f"{elsewhere.url}{PROXY}/artifacts/{base}/note.txt", timeout=60)
    assert gone.status_code == 200
    assert stored(store, run, "note.txt") is None


@pytest.mark.parametrize("how", ["length", "chunked", "in two reads"])
def test_a_body_that_was_read_here_goes_on_whole(echoing, how):
    """multipart uploads: their small bodies are read before it is known where the artifacts are."""
    body = b'{"path": "parts.bin", "num_parts": 2}'
    with Wire(echoing) as wire:
        head = (f"POST {PROXY}/mpu/create/x HTTP/1.1\r\nHost: localhost\r\nX-Own: yes\r\n"
                "Content-Type: application/json\r\n").encode()
        if how == "chunked":
            wire.send(head + b"Transfer-Encoding: chunked\r\n\r\n9\r\n" + body[:9] + b"\r\n"
                      + f"{len(body) - 9:x}\r\n".encode() + body[9:] + b"\r\n0\r\n\r\n")
        else:
            head += f"Content-Length: {len(body)}\r\n\r\n".encode()
            if how == "length":
                wire.send(head + body)
            else:
                wire.send(head)
                wire.send(body)
        status, seen = wire.answer()
    seen = json.loads(seen)
    fields = {name.lower(): value for name, value in seen["fields"]}
    assert status == 200 and seen["method"] == "POST" and seen["target"] == f"{PROXY}/mpu/create/x"
    assert (seen["size"], seen["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert fields["content-length"] == str(len(body)) and "transfer-encoding" not in fields
    assert fields["x-own"] == "yes"


def test_a_run_whose_own_location_is_elsewhere(elsewhere, store, remote):
    """Its URI names the host of no destination of another scheme; what it is asked for goes on as well."""
    where = "gs://bucket/of/nobody"
    experiment = remote.create_experiment("cloud", artifact_location=where)
    run = remote.create_run(experiment).info
    passed = elsewhere.stat("sluice_upstream_requests_total")
    for path, more in [("/get-artifact", {}), ("/api/2.0/mlflow/artifacts/list", {})]:
        # the stock server has no package for it, and says so in its own words
        got = requests.get(elsewhere.url + path, timeout=60, params={"run_id": run.run_id, "path": "f", **more})
        assert got.status_code >= 400 and "needs a MLflow server behind" not in got.text
        assert got.headers["via"] == "1.1 sluice"
    signed = requests.post(elsewhere.url + "/api/2.0/mlflow/artifacts/presigned-upload-url", timeout=60,
                           json={"run_id": run.run_id, "path": "f"})
    assert signed.headers["via"] == "1.1 sluice"
    assert elsewhere.stat("sluice_upstream_requests_total") == passed + 3


def test_a_graphql_query_is_not_torn_apart(elsewhere, remote):
    """It may have other parts, which are answered here: the list alone is refused, in its place."""
    run = remote.create_run(remote.create_experiment("graph")).info
    query = ("query L($d: MlflowListArtifactsInput!) { mlflowListArtifacts(input: $d)"
             " { files { path } apiError { code message } } }")
    got = requests.post(elsewhere.url + "/graphql", timeout=60, json={
        "query": query, "operationName": "L", "variables": {"d": {"runId": run.run_id}}})
    assert got.status_code == 200 and "via" not in got.headers
    assert "/artifacts/list only" in got.text, got.text


def test_a_path_is_checked_before_it_goes_on(elsewhere):
    passed = elsewhere.stat("sluice_upstream_requests_total")
    for path in ["%2e%2e/x", "%252e%252e/x", "a%23b", "/etc/passwd"]:
        got = requests.put(f"{elsewhere.url}{PROXY}/artifacts/{path}", data=b"x", timeout=60)
        assert got.status_code == 400, (path, got.text)
    assert elsewhere.stat("sluice_upstream_requests_total") == passed


def test_without_a_server_behind_it_is_said(database, store, remote):
    run = remote.create_run(remote.create_experiment("nobody")).info
    with Sluice(database, env=store.env) as alone:
        for method, path in [("GET", f"{PROXY}/artifacts?path=a"), ("GET", f"{PROXY}/artifacts/a"),
                             ("PUT", f"{PROXY}/artifacts/a"), ("DELETE", f"{PROXY}/artifacts/a"),
                             ("GET", f"{PROXY}/presigned/a"),
                             ("GET", f"/get-artifact?run_id={run.run_id}&path=a")]:
            got = requests.request(method, alone.url + path, timeout=60)
            assert got.status_code == 501, (path, got.text)
            assert got.json()["error_code"] == "NOT_IMPLEMENTED"
            assert "for those at 'r2:' it needs a MLflow server behind it" in got.json()["message"]
        with pytest.raises(requests.HTTPError, match="setting upstream"):
            MlflowClient(alone.url).log_text(run.run_id, "words", "note.txt")


def test_a_chunked_upload_below_a_prefix_is_not_lost(database, store, behind):
    """Flask would answer 200 and store an empty file."""
    with Sluice(database, args=["--upstream", behind.url, "--static-prefix", "/ml"], env=store.env) as below:
        got = requests.put(f"{below.url}/ml{PROXY}/artifacts/c.txt", data=iter([b"a", b"b"]), timeout=60)
        assert got.status_code == 400 and "Content-Length" in got.text
    assert store.curl("GET", "/bkt/pre/c.txt")[0] == 404


# --- a store that is not PostgreSQL -----------------------------------------------------------------


def stored(store, run, path):
    """The bytes of an artifact of the run where the stock server keeps it; None = not there."""
    base = run.artifact_uri.removeprefix("mlflow-artifacts:/")
    status, body = store.curl("GET", f"/bkt/pre/{base}/{path}")
    return body if status == 200 else None


def digest_of(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def test_a_foreign_store_is_passed_through(passing, behind, foreign):
    assert f"everything is passed on to {behind.url}" in passing.output()
    before = passing.stat("sluice_upstream_requests_total")
    run = foreign.create_run(foreign.create_experiment("lite"))
    foreign.log_metric(run.info.run_id, "loss", 2.5)
    assert passing.stat("sluice_upstream_requests_total") == before + 3
    assert MlflowClient(behind.url).get_run(run.info.run_id).data.metrics == {"loss": 2.5}
    assert passing.stat("sluice_accepted_points_total") == 0
    assert requests.get(passing.url + "/livez", timeout=30).status_code == 200
    assert requests.get(passing.admin_url + "/readyz", timeout=30).status_code == 200


def test_artifacts_of_a_foreign_store_up_and_down(store, foreign, tmp_path):
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(MIB) * 6)
    run = foreign.create_run(foreign.create_experiment("files")).info
    foreign.log_artifact(run.run_id, str(file), "deep/er")
    foreign.log_text(run.run_id, "words", "note.txt")
    assert hashlib.sha256(stored(store, run, "deep/er/large.bin")).hexdigest() == digest_of(file)
    assert sorted(f.path for f in foreign.list_artifacts(run.run_id)) == ["deep", "note.txt"]
    (tmp_path / "back").mkdir()
    back = foreign.download_artifacts(run.run_id, "deep/er/large.bin", str(tmp_path / "back"))
    assert digest_of(back) == digest_of(file)


def refused(tmp_path, *args):
    """What a start says that is refused."""
    done = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "none",
                           "--data-dir", str(tmp_path / "data"), *args],
                          env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "Sanitizer" not in done.stderr, done.stderr
    return done.stderr


@pytest.mark.parametrize("store", ["sqlite:///x.db", "mysql+pymysql://u:p@h/d", "mssql://h/d"])
def test_a_foreign_store_without_an_upstream_does_not_start(tmp_path, store):
    said = refused(tmp_path, "--pg-uri", store)
    assert "upstream" in said and "u:p" not in said


def test_a_foreign_store_with_our_authentication_does_not_start(tmp_path):
    said = refused(tmp_path, "--pg-uri", "sqlite:///x.db", "--upstream", "http://127.0.0.1:1",
                   "--auth", "basic", "--auth-secret-key", "s")
    assert "setting auth wants a pg_uri of PostgreSQL" in said
