"""A stock MLflow server behind Sluice: pages, traces and prompts through one address, and everything, with
artifacts, when the store is one that Sluice does not speak. One server is behind all of it: what Sluice
passes on does not depend on what that one stores it in, and its start is what takes long."""

import hashlib
import os
import re
import subprocess

import mlflow
import pytest
import requests
from mlflow import MlflowClient

from server import BINARY, Sluice, Stock, clean_environment

MIB = 1 << 20


@pytest.fixture(scope="module")
def behind(database):
    with Sluice(database):  # makes the schema
        pass
    with Stock(database) as server:
        yield server
        server.kill()  # its own end takes up to 20 s and is not what is tested


@pytest.fixture(scope="module")
def front(database, behind):
    with Sluice(database, args=["--upstream", behind.url]) as server:
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


def test_prompts_of_the_stock_client(tracking):
    mlflow.genai.register_prompt("greet", "Hello {{name}}", commit_message="first")
    assert mlflow.genai.load_prompt("prompts:/greet/1").template == "Hello {{name}}"


def test_metrics_and_artifacts_stay_native(front, behind, tracking):
    experiment = tracking.create_experiment("native")
    run = tracking.create_run(experiment)
    before = front.stat("sluice_upstream_requests_total")
    tracking.log_metric(run.info.run_id, "loss", 1.5)
    tracking.log_text(run.info.run_id, "words", "stays.txt")
    assert tracking.get_run(run.info.run_id).data.metrics == {"loss": 1.5}
    assert [f.path for f in tracking.list_artifacts(run.info.run_id)] == ["stays.txt"]
    assert front.stat("sluice_upstream_requests_total") == before
    assert not stored(behind, "stays.txt")


# --- a store that is not PostgreSQL -----------------------------------------------------------------


def stored(behind, name):
    """The file of that name among the stock server's own artifacts."""
    found = [os.path.join(folder, name)
             for folder, _, files in os.walk(os.path.join(behind.folder, "mlartifacts"))
             if name in files]
    return found[0] if found else None


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


def test_artifacts_of_a_foreign_store_up_and_down(behind, foreign, tmp_path):
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(MIB) * 16)
    run = foreign.create_run(foreign.create_experiment("files")).info
    foreign.log_artifact(run.run_id, str(file), "deep/er")
    foreign.log_text(run.run_id, "words", "note.txt")
    assert digest_of(stored(behind, "large.bin")) == digest_of(file)
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
