"""A stock MLflow server behind Sluice: pages, traces, prompts and artifacts through one address, and a
store that only the stock server speaks."""

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


@pytest.fixture(scope="module")
def front(database, behind):
    with Sluice(database, args=["--upstream", behind.url]) as server:
        yield server


@pytest.fixture
def tracking(front, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", front.url)
    mlflow.set_tracking_uri(front.url)
    yield MlflowClient(front.url)
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


def test_artifacts_up_and_down(tracking, tmp_path):
    file = tmp_path / "large.bin"
    file.write_bytes(os.urandom(MIB) * 64)
    experiment = tracking.create_experiment("files")
    run = tracking.create_run(experiment)
    tracking.log_artifact(run.info.run_id, str(file), "deep/er")
    tracking.log_text(run.info.run_id, "words", "note.txt")
    assert sorted(f.path for f in tracking.list_artifacts(run.info.run_id)) == ["deep", "note.txt"]
    back = tracking.download_artifacts(run.info.run_id, "deep/er/large.bin", str(tmp_path / "back"
                                       if (tmp_path / "back").mkdir() is None else ""))
    with open(back, "rb") as f:
        assert hashlib.sha256(f.read()).digest() == hashlib.sha256(file.read_bytes()).digest()


def test_metrics_stay_native(front, behind, tracking):
    experiment = tracking.create_experiment("native")
    run = tracking.create_run(experiment)
    before = front.stat("sluice_upstream_requests_total")
    tracking.log_metric(run.info.run_id, "loss", 1.5)
    assert tracking.get_run(run.info.run_id).data.metrics == {"loss": 1.5}
    assert front.stat("sluice_upstream_requests_total") == before


# --- a store that is not PostgreSQL -----------------------------------------------------------------


def test_a_foreign_store_is_passed_through(tmp_path, monkeypatch):
    store = f"sqlite:///{tmp_path}/mlflow.db"
    with Stock(store) as behind, Sluice(None, args=["--upstream", behind.url],
                                        env={"MLFLOW_BACKEND_STORE_URI": store}) as front:
        assert f"everything is passed on to {behind.url}" in front.output()
        client = MlflowClient(front.url)
        run = client.create_run(client.create_experiment("lite"))
        client.log_metric(run.info.run_id, "loss", 2.5)
        assert MlflowClient(behind.url).get_run(run.info.run_id).data.metrics == {"loss": 2.5}
        assert front.stat("sluice_accepted_points_total") == 0
        assert requests.get(front.url + "/livez", timeout=30).status_code == 200
        assert requests.get(front.admin_url + "/readyz", timeout=30).status_code == 200


@pytest.mark.parametrize("store", ["sqlite:///x.db", "mysql+pymysql://u:p@h/d", "mssql://h/d"])
def test_a_foreign_store_without_an_upstream_does_not_start(tmp_path, store):
    done = subprocess.run([BINARY, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "none",
                           "--data-dir", str(tmp_path / "data"), "--pg-uri", store],
                          env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "upstream" in done.stderr and "u:p" not in done.stderr
