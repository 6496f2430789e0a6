"""Real input: examples/digits.py logs, then every point is looked for by SQL and by stock MLflow."""

import json
import os
import subprocess
import sys
from collections import defaultdict

import pytest

import oracle
from server import ROOT, clean_environment


@pytest.fixture(scope="module", params=["sync", "async"])
def logged(request, target, tmp_path_factory):
    """The example run once in each way of logging; its ledger, run by run."""
    path = tmp_path_factory.mktemp("digits") / "ledger.jsonl"
    command = [sys.executable, "examples/digits.py", "--runs", "4", "--epochs", "3",
               "--experiment", f"digits-{request.param}", "--ledger", str(path)]
    if request.param == "async":
        command.append("--async")
    result = subprocess.run(command, cwd=ROOT, timeout=300, capture_output=True, text=True,
                            env=clean_environment({"MLFLOW_TRACKING_URI": target.url}))
    assert result.returncode == 0, result.stdout + result.stderr
    runs = defaultdict(lambda: defaultdict(list))
    for line in path.read_text().splitlines():
        entry = json.loads(line)
        runs[entry["run"]][entry["kind"]].append(entry)
    assert len(runs) == 4
    return runs


def points(entries):
    return [(e["key"], e["value"], e["timestamp"], e["step"]) for e in entries]


def settle(target, runs):
    """runs/get waits for a run's own accepted points: then the rows are there."""
    from mlflow import MlflowClient

    client = MlflowClient(target.url)
    for run in runs:
        client.get_run(run)


def test_every_point_is_one_row(target, logged, sql):
    settle(target, logged)
    ledger = oracle.Ledger()
    for run, kinds in logged.items():
        assert len(kinds["metric"]) == 3 * (22 + 2)  # 1347 images in batches of 64, 3 epochs
        ledger.sent(run, points(kinds["metric"]))
        ledger.acked(run, points(kinds["metric"]))
    assert oracle.check(sql, ledger) == []
    rows = sql.execute("SELECT count(*) FROM metrics WHERE run_uuid = ANY(%s)",
                       (list(logged),)).fetchone()[0]
    assert rows == sum(len(set(points(k["metric"]))) for k in logged.values())


def test_params_and_tags_are_rows(logged, sql):
    for run, kinds in logged.items():
        assert dict(sql.execute("SELECT key, value FROM params WHERE run_uuid = %s", (run,))
                    .fetchall()) == {e["key"]: e["value"] for e in kinds["param"]}
        tags = dict(sql.execute("SELECT key, value FROM tags WHERE run_uuid = %s", (run,))
                    .fetchall())
        assert {e["key"]: e["value"] for e in kinds["tag"]}.items() <= tags.items()
        assert "mlflow.runName" in tags and "mlflow.user" in tags


def test_runs_are_finished(logged, sql):
    rows = sql.execute("SELECT status, end_time >= start_time, lifecycle_stage FROM runs "
                       "WHERE run_uuid = ANY(%s)", (list(logged),)).fetchall()
    assert rows == [("FINISHED", True, "active")] * 4


def read_back(url, logged):
    """The ledger again, as MlflowClient reads it from that server."""
    from mlflow import MlflowClient

    client = MlflowClient(url)
    for run, kinds in logged.items():
        got = client.get_run(run)
        assert got.data.params == {e["key"]: e["value"] for e in kinds["param"]}
        for entry in kinds["tag"]:
            assert got.data.tags[entry["key"]] == entry["value"]
        for key in {e["key"] for e in kinds["metric"]}:
            want = sorted(p[1:] for p in points(kinds["metric"]) if p[0] == key)
            history = client.get_metric_history(run, key)
            assert sorted((m.value, m.timestamp, m.step) for m in history) == want
            last = max(want, key=lambda p: (p[2], p[1], p[0]))
            assert got.data.metrics[key] == last[0]


def test_read_back_through_the_server_itself(target, logged):
    read_back(target.url, logged)


def test_read_back_through_a_stock_server(stock, logged):
    read_back(stock.url, logged)


def test_stock_server_lists_the_runs(stock, logged):
    from mlflow import MlflowClient

    client = MlflowClient(stock.url)
    experiment = client.get_run(next(iter(logged))).info.experiment_id
    assert {r.info.run_id for r in client.search_runs([experiment])} == set(logged)
