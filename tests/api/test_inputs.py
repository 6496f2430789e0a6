"""Datasets and models of runs, histories of many runs, and the models of legacy clients.

What is here holds for a stock server as well (SLUICE_TEST_TARGET=stock), but for the races at the
end.
"""

import json
import math
import threading
import uuid

import mlflow
import pytest
import requests
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from server import Sluice

MOST_RUNS = 100
CONTEXT = "mlflow.data.context"


def dataset(name="d", digest="1", tags=None, **more):
    fields = {"source_type": "local", "source": "s", **more}
    return DatasetInput(Dataset(name, digest, **fields),
                        [InputTag(k, v) for k, v in (tags or {}).items()])


def inputs_of(client, run):
    """(name, digest, source, tags) of each dataset, sorted."""
    return sorted((d.dataset.name, d.dataset.digest, d.dataset.source,
                   {t.key: t.value for t in d.tags})
                  for d in client.get_run(run).inputs.dataset_inputs)


# --- inputs and outputs ---------------------------------------------------------------------------

def test_fluent_log_input(client, experiment, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,b\n1,2\n", encoding="utf-8")
    data = MetaDataset(resolve_dataset_source(str(path)), name="train", digest="abc")
    with mlflow.start_run(experiment_id=experiment) as active:
        mlflow.log_input(data, context="training", tags={"split": "0.8"})
        mlflow.log_input(data, context="training")
    (got,) = client.get_run(active.info.run_id).inputs.dataset_inputs
    assert (got.dataset.name, got.dataset.digest) == ("train", "abc")
    assert json.loads(got.dataset.source)["uri"] == str(path)
    assert {t.key: t.value for t in got.tags} == {"mlflow.data.context": "training",
                                                   "split": "0.8"}


def test_a_dataset_is_one_row_for_its_experiment(client, experiment, sql):
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    client.log_inputs(runs[0], [dataset(source="first", schema="{}", tags={"use": "train"})])
    client.log_inputs(runs[1], [dataset(source="second", tags={"use": "test"})])
    assert inputs_of(client, runs[0]) == [("d", "1", "first", {"use": "train"})]
    assert inputs_of(client, runs[1]) == [("d", "1", "first", {"use": "test"})]
    other = client.create_run(client.create_experiment("exp-" + uuid.uuid4().hex)).info.run_id
    client.log_inputs(other, [dataset(source="third")])
    assert inputs_of(client, other) == [("d", "1", "third", {})]
    rows = sql.execute("SELECT dataset_uuid, dataset_source, dataset_schema, dataset_profile FROM "
                       "datasets WHERE experiment_id = %s", (int(experiment),)).fetchall()
    assert [r[1:] for r in rows] == [("first", "{}", None)]
    assert len(rows[0][0]) == 32


def test_tags_are_written_with_the_first_use_only(client, run):
    client.log_inputs(run, [dataset(tags={"a": "1"})])
    client.log_inputs(run, [dataset(tags={"a": "2", "b": "3"}), dataset("new", tags={"c": "4"})])
    assert inputs_of(client, run) == [("d", "1", "s", {"a": "1"}), ("new", "1", "s", {"c": "4"})]


def test_of_equal_datasets_the_first_counts(client, run):
    client.log_inputs(run, [dataset(source="one", tags={"a": "1"}),
                            dataset(source="two", tags={"b": "2"}), dataset(digest="2")])
    assert inputs_of(client, run) == [("d", "1", "one", {"a": "1"}), ("d", "2", "s", {})]


def test_a_refused_call_stores_nothing(client, run):
    with pytest.raises(MlflowException) as caught:
        client.log_inputs(run, [dataset("good"), dataset("long", source_type="x" * 37)])
    assert caught.value.error_code == "BAD_REQUEST"
    assert inputs_of(client, run) == []


def test_models_of_a_run(client, run):
    client.log_inputs(run, models=[LoggedModelInput("m-in"), LoggedModelInput("m-in")])
    client.log_inputs(run, models=[LoggedModelInput("m-in")])
    client.log_outputs(run, [LoggedModelOutput("m-a", 3), LoggedModelOutput("m-b", 2**63 - 1)])
    with pytest.raises(MlflowException) as caught:
        client.log_outputs(run, [LoggedModelOutput("m-c", 1), LoggedModelOutput("m-a", 4)])
    assert caught.value.error_code == "BAD_REQUEST"
    got = client.get_run(run)
    assert [m.model_id for m in got.inputs.model_inputs] == ["m-in"]
    assert sorted((m.model_id, m.step) for m in got.outputs.model_outputs) == [
        ("m-a", 3), ("m-b", 2**63 - 1)]


def test_a_search_shows_the_datasets(client, experiment, run):
    client.log_inputs(run, [dataset(tags={"a": "1"})])
    (found,) = client.search_runs([experiment])
    assert [d.dataset.name for d in found.inputs.dataset_inputs] == ["d"]


# --- the datasets of experiments --------------------------------------------------------------------

def search_datasets(target, *experiments):
    answer = requests.post(target.url + "/ajax-api/2.0/mlflow/experiments/search-datasets", timeout=60,
                           json={"experiment_ids": experiments})
    assert answer.status_code == 200, answer.text
    return answer


def test_datasets_of_an_experiment_byte_for_byte(client, target, experiment):
    assert search_datasets(target, experiment).text == "{}"
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    for run in runs:  # one line, however many use it
        client.log_inputs(run, [dataset("b\u00e4", tags={CONTEXT: "train", "k": "v"})])
    answer = search_datasets(target, experiment)
    assert answer.headers["content-type"] == "application/json"
    assert answer.text == f"""{{
  "dataset_summaries": [
    {{
      "experiment_id": "{experiment}",
      "name": "b\\u00e4",
      "digest": "1",
      "context": "train"
    }}
  ]
}}"""


def test_every_context_of_a_dataset_is_shown(client, target, experiment):
    other = client.create_experiment("exp-" + uuid.uuid4().hex)
    for e, tags in ((experiment, {CONTEXT: "train"}), (experiment, {}), (experiment, {CONTEXT: "eval"}),
                    (experiment, {CONTEXT: ""}), (other, {"context": "no"})):
        client.log_inputs(client.create_run(e).info.run_id, [dataset(tags=tags), dataset("same")])
    found = search_datasets(target, experiment, other, experiment).json()["dataset_summaries"]
    assert sorted((d["experiment_id"], d["name"], d.get("context", "-")) for d in found) == sorted([
        (experiment, "d", "-"), (experiment, "d", "-"), (experiment, "d", "eval"),
        (experiment, "d", "train"), (experiment, "same", "-"), (other, "d", "-"), (other, "same", "-")])


def test_no_more_than_1000_datasets(client, target, experiment, sql):
    run = client.create_run(experiment).info.run_id
    for first in range(0, 1100, 100):
        client.log_inputs(run, [dataset(f"d{i:04}") for i in range(first, first + 100)])
    (count,) = sql.execute("SELECT count(*) FROM datasets WHERE experiment_id = %s",
                           (int(experiment),)).fetchone()
    assert count == 1100
    found = [d["name"] for d in search_datasets(target, experiment).json()["dataset_summaries"]]
    assert len(found) == len(set(found)) == 1000
    if isinstance(target, Sluice):  # MLflow leaves it to PostgreSQL which they are
        assert found == [f"d{i:04}" for i in range(1000)]


# --- the models of legacy clients -----------------------------------------------------------------

def log_model(target, run, **model):
    return requests.post(target.url + "/api/2.0/mlflow/runs/log-model", timeout=60,
                         json={"run_id": run, "model_json": json.dumps(model)})


def model(path):
    return {"artifact_path": path, "run_id": "r", "utc_time_created": "2020-01-01 00:00:00",
            "flavors": {"python_function": {"loader": "x", "config": {"big": 1}}}}


def kept(path):
    return {"run_id": "r", "artifact_path": path, "utc_time_created": "2020-01-01 00:00:00",
            "model_uuid": None, "flavors": {"python_function": {"loader": "x"}}}


def history_tag(client, run):
    return client.get_run(run).data.tags["mlflow.log-model.history"]


def test_log_model_appends_to_a_tag(client, target, run):
    for path in ("one", "two"):
        answer = log_model(target, run, **model(path))
        assert (answer.status_code, answer.json()) == (200, {})
    assert history_tag(client, run) == json.dumps([kept("one"), kept("two")])


def test_log_model_beyond_the_tag(client, target, run):
    assert log_model(target, run, **model("x" * 5000)).status_code == 200
    before = history_tag(client, run)
    answer = log_model(target, run, **model("y" * 5000))
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert history_tag(client, run) == before


# --- histories of many runs -----------------------------------------------------------------------

def log(client, run, key, points):
    """points: (value, timestamp, step)"""
    metrics = [Metric(key, *p) for p in points]
    for i in range(0, len(metrics), 1000):
        client.log_batch(run, metrics[i:i + 1000])


def bulk(target, runs, key, **more):
    answer = requests.get(target.url + "/ajax-api/2.0/mlflow/metrics/get-history-bulk", timeout=60,
                          params={"run_id": runs, "metric_key": key, **more})
    assert answer.status_code == 200, answer.text
    return answer


def interval(target, runs, key, **more):
    answer = requests.get(target.url + "/api/2.0/mlflow/metrics/get-history-bulk-interval",
                          params={"run_ids": runs, "metric_key": key, **more}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json().get("metrics", [])


def test_bulk_byte_for_byte(client, target, run):
    log(client, run, "m\u00e4", [(math.nan, 1, 0), (1.0, 2, -1), (1e16, 2, 5)])
    want = ('{"metrics":['
            f'{{"key":"m\\u00e4","run_id":"{run}","step":0,"timestamp":1,"value":NaN}},'
            f'{{"key":"m\\u00e4","run_id":"{run}","step":-1,"timestamp":2,"value":1.0}},'
            f'{{"key":"m\\u00e4","run_id":"{run}","step":5,"timestamp":2,"value":1e+16}}]}}\n')
    assert bulk(target, [run], "m\u00e4").text == want
    assert bulk(target, [run], "none").text == '{"metrics":[]}\n'


def test_bulk_limits_all_runs_together(client, target, experiment):
    runs = sorted(client.create_run(experiment).info.run_id for _ in range(3))
    for run in runs:
        log(client, run, "m", [(i, 100 - i, i) for i in range(10)])
    want = [(run, 100 - i) for run in runs for i in reversed(range(10))]
    for limit in (0, 1, 10, 13, 30, 31):
        got = bulk(target, [runs[1], runs[0], runs[2], runs[0]], "m", max_results=limit).json()
        assert [(m["run_id"], m["timestamp"]) for m in got["metrics"]] == want[:limit]


def test_bulk_shows_at_most_25000(client, target, run):
    log(client, run, "m", [(0.0, i, i) for i in range(26000)])
    for more in ({}, {"max_results": 99999}, {"max_results": 10**30}):
        assert len(bulk(target, [run], "m", **more).json()["metrics"]) == 25000


def sampled(rows, k):
    """The places that section 10.3 says, written down as MLflow computes them."""
    n = len(rows)
    if n <= k:
        return rows
    starts = [0]
    for bucket in range(k - 1):
        starts.append(starts[-1] + n // k + (bucket < n % k))
    return [rows[i] for i in starts[:-1]] + [rows[-1]]


def point(m):
    value = math.nan if m["value"] == "NaN" else m["value"]
    return (m["step"], m["timestamp"], 0.0 if math.isnan(value) else value, math.isnan(value))


SHAPES = {
    "every step": [(float(i), i, i) for i in range(1001)],
    "one step": [(float(i % 7), i // 3, 0) for i in range(1000)],
    "crowded steps": [(i * 0.5, 5000 - i, i // 40) for i in range(1500)],
    "ends of int64": [(float(i), i, s) for i in range(40)
                      for s in (-2**63, -2**63 + 1, -1, 0, 2**63 - 1)],
    # What looks regular at its ends is counted bucket by bucket, from 64 rows in one on.
    "every tenth step, from below 0": [(float(i), i, i * 10 - 5000) for i in range(1001)],
    "one step twice": [(float(i), i, i) for i in range(1000)] + [(0.5, 0, 300)],
    "one step missing": [(float(i), i, i) for i in range(1000) if i != 501],
    "a gap and a double far apart": [(float(i), i, i) for i in range(1000) if i != 100]
    + [(0.5, 0, 800)],
    "a gap and a double side by side": [(float(i), i, i) for i in range(1000) if i != 100]
    + [(0.5, 0, 99)],
    "a bucket's first step missing, its second twice":
        [(float(i), i, i) for i in range(1000) if i != 500] + [(0.5, 0, 501)],
    "many in the last step": [(float(i), i, i) for i in range(900)]
    + [(float(i), i % 3, 1000) for i in range(101)],
    "many in the first step": [(float(i), i, max(i, 90)) for i in range(1000)],
    "one far away": [(float(i), i, i) for i in range(999)] + [(1.0, 1, 2**62)],
    "NaN and 0 alike": [(v, i // 2, i // 8) for i in range(300) for v in (math.nan, 0.0, -1.0)],
}


@pytest.mark.parametrize("name", SHAPES)
def test_samples(client, target, run, name):
    log(client, run, "m", SHAPES[name])
    rows = sorted({(s, t, 0.0 if math.isnan(v) else v, math.isnan(v)) for v, t, s in SHAPES[name]})
    for k in (1, 2, 3, 4, 7, 99, 299, 300, 301, 999, 1000, 1001, 2500):
        assert [point(m) for m in interval(target, [run], "m", max_results=k)] == sampled(rows, k)
    middle = rows[len(rows) // 2][0]
    for first, last in ((-2**63, middle), (middle, middle), (middle, 2**63 - 1)):
        within = [r for r in rows if first <= r[0] <= last]
        got = interval(target, [run], "m", max_results=10, start_step=first, end_step=last)
        assert [point(m) for m in got] == sampled(within, 10)


def test_interval_keeps_the_order_of_the_request(client, target, experiment):
    runs = sorted(client.create_run(experiment).info.run_id for _ in range(2))
    for run in runs:
        log(client, run, "m", [(i, i, i) for i in range(5)])
    asked = [runs[1], "none", runs[0], runs[1]]
    got = interval(target, asked, "m", max_results=2)
    assert [(m["run_id"], m["step"]) for m in got] == [
        (r, s) for r in asked if r != "none" for s in (0, 4)]
    assert list(got[0]) == ["key", "value", "timestamp", "step", "run_id"]
    assert len(interval(target, [runs[0]] * MOST_RUNS, "m")) == 5 * MOST_RUNS
    assert interval(target, ["none"], "m") == []


def test_interval_of_runs_that_share_a_statement(client, target, experiment):
    """Few points, regular ones, and a gap, side by side; unknown runs and the same one again."""
    runs, rows = [], {"none": []}
    for n in range(9):
        run = client.create_run(experiment).info.run_id
        points = [(n + i / 8, i, i * (n + 1)) for i in range(150 * (n % 3) + n) if i != 77 * (n % 2)]
        log(client, run, "m", points)
        rows[run] = [(s, t, v, False) for v, t, s in points]
        runs.append(run)
    asked = [run for turn in range(9) for run in runs[turn:] + ["none"] + runs[:turn]]
    for k in (1, 2, 40, 320, 2500):
        got = [(m["run_id"], *point(m)) for m in interval(target, asked, "m", max_results=k)]
        assert got == [(run, *row) for run in asked for row in sampled(rows[run], k)]


def test_histories_read_their_own_writes(client, target, experiment):
    runs = [client.create_run(experiment).info.run_id for _ in range(2)]
    for step in range(20):
        for run in runs:
            client.log_metric(run, "m", 1.0, timestamp=step, step=step)
        assert len(bulk(target, runs, "m").json()["metrics"]) == 2 * (step + 1)
        assert len(interval(target, [runs[0]], "m")) == step + 1


# --- races ----------------------------------------------------------------------------------------

def together(count, work):
    """work(0) ... work(count - 1), each in a thread; what each returned."""
    barrier = threading.Barrier(count)
    answers = [None] * count

    def one(i):
        barrier.wait()
        answers[i] = work(i)

    threads = [threading.Thread(target=one, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_models_logged_at_once_are_all_kept(client, sluice, run):
    answers = together(8, lambda i: log_model(sluice, run, **model(f"m{i}")).status_code)
    assert answers == [200] * 8
    assert {m["artifact_path"] for m in json.loads(history_tag(client, run))} == {
        f"m{i}" for i in range(8)}


def test_one_dataset_logged_by_many_runs_at_once(client, sluice, experiment):
    runs = [client.create_run(experiment).info.run_id for _ in range(8)]
    body = {"datasets": [{"dataset": {"name": f"d{i}", "digest": "1"}} for i in range(5)]}
    answers = together(8, lambda i: requests.post(
        sluice.url + "/api/2.0/mlflow/runs/log-inputs", json={"run_id": runs[i], **body},
        timeout=60).status_code)
    assert answers == [200] * 8
    for run in runs:
        assert [d[0] for d in inputs_of(client, run)] == [f"d{i}" for i in range(5)]
