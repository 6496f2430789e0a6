"""Searches and histories over raw HTTP: pages, orders, views, and what belongs to a run.

All of it holds for a stock server as well (SLUICE_TEST_TARGET=stock), but for the races at the
end, which MLflow answers by accident and Sluice by its statements.
"""

import base64
import json
import threading
import uuid

import pytest
import requests

MOST = 50000


@pytest.fixture(scope="module")
def http(target):
    return Http(target.url)


class Http:
    def __init__(self, url):
        self.base = url + "/api/2.0/mlflow/"
        self.session = requests.Session()

    def post(self, path, **body):
        return self.session.post(self.base + path, json=body, timeout=60)

    def get(self, path, **query):
        return self.session.get(self.base + path, params=query, timeout=60)

    def create(self, path, **body):
        answer = self.post(path, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def experiment(self):
        return self.create("experiments/create", name=uuid.uuid4().hex)["experiment_id"]

    def run(self, experiment, **more):
        return self.create("runs/create", experiment_id=experiment,
                           **more)["run"]["info"]["run_id"]

    def search(self, experiment, **more):
        return self.post("runs/search", experiment_ids=[experiment], **more).json()


def names(answer):
    return [r["info"]["run_name"] for r in answer.get("runs", [])]


def token(offset):
    return base64.b64encode(json.dumps({"offset": offset}).encode()).decode()


@pytest.fixture(scope="module")
def shelf(http):
    """Runs a..e, in the order of their start; b ended at 20, d at 10; e is deleted."""
    experiment = http.experiment()
    for i, name in enumerate("abcde"):
        run = http.run(experiment, run_name=name, start_time=100 + i, user_id=f"u{i % 2}")
        if name in "bd":
            http.create("runs/update", run_id=run, status="FINISHED",
                        end_time=20 if name == "b" else 10)
        if name == "e":
            http.create("runs/delete", run_id=run)
    return experiment


# --- runs/search ------------------------------------------------------------------------------

@pytest.mark.parametrize("view, want", [
    (None, "dcba"), ("ACTIVE_ONLY", "dcba"), ("DELETED_ONLY", "e"), ("ALL", "edcba"), (3, "edcba"),
    ("NO_SUCH_VIEW", "dcba")])
def test_views(http, shelf, view, want):
    assert names(http.search(shelf, **({"run_view_type": view} if view else {}))) == list(want)


@pytest.mark.parametrize("order, want", [
    (["start_time"], "abcd"), (["attributes.start_time DESC"], "dcba"),
    (["created ASC"], "abcd"), (["end_time"], "dbca"), (["end_time DESC"], "bdca"),
    (["status", "run_name desc"], "dbca"), (["attr.user_id", "`run_name`"], "acbd")])
def test_orders_put_missing_values_last(http, shelf, order, want):
    assert names(http.search(shelf, order_by=order)) == list(want)


def test_pages_end_without_a_token(http, shelf):
    first = http.search(shelf, max_results=3)
    assert names(first) == list("dcb")
    assert first["next_page_token"] == token(3)
    last = http.search(shelf, max_results=3, page_token=first["next_page_token"])
    assert names(last) == ["a"]
    assert "next_page_token" not in last
    assert "next_page_token" not in http.search(shelf, max_results=4)
    assert http.search(shelf, page_token=token(100)) == {}


@pytest.mark.parametrize("sent, message", [
    ({"max_results": 0}, "Invalid value 0 for parameter 'max_results' supplied. "
                         "It must be a positive integer"),
    ({"max_results": MOST + 1}, "Invalid value 50001 for parameter 'max_results' supplied:  "
     "Hint: Value was of type 'int'. See the API docs for more information about request "
     "parameters."),
    ({"page_token": "bad"}, "Invalid page token, could not base64-decode"),
    ({"experiment_ids": ["x"]}, "Invalid experiment ID 'x'. Experiment ID must be a valid "
                                "integer."),
    ({"experiment_ids": ["x"], "page_token": token(0)},
     "Invalid page token, parsed value={'offset': 0}")])
def test_bad_searches(http, shelf, sent, message):
    answer = http.post("runs/search", **{"experiment_ids": [shelf], **sent})
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert answer.json()["message"] == message


def test_no_experiments_no_runs(http):
    assert http.post("runs/search").json() == {}
    assert http.post("runs/search", experiment_ids=["2147483647"]).json() == {}


def test_inputs_and_outputs_belong_to_their_run(http, sql):
    experiment = http.experiment()
    run, other = http.run(experiment, start_time=2), http.run(experiment, start_time=1)
    mark = uuid.uuid4().hex[:16]
    sql.execute("INSERT INTO datasets VALUES (%s, %s, 'ds', 'x1', 'local', 'src', '', 'prof')",
                ("d" + mark, int(experiment)))
    for row in (("i", "DATASET", "d" + mark, "RUN", run, 0),
                ("j", "RUN_INPUT", run, "MODEL_INPUT", "m-1", 0),
                ("k", "RUN_OUTPUT", run, "MODEL_OUTPUT", "m-2", 7)):
        sql.execute("INSERT INTO inputs (input_uuid, source_type, source_id, destination_type,"
                    " destination_id, step) VALUES (%s, %s, %s, %s, %s, %s)",
                    (row[0] + mark, *row[1:]))
    sql.execute("INSERT INTO input_tags VALUES (%s, 'mlflow.data.context', 'train')",
                ("i" + mark,))
    datasets = [{"tags": [{"key": "mlflow.data.context", "value": "train"}],
                 "dataset": {"name": "ds", "digest": "x1", "source_type": "local",
                             "source": "src", "profile": "prof"}}]
    outputs = {"model_outputs": [{"model_id": "m-2", "step": 7}]}
    got = http.get("runs/get", run_id=run).json()["run"]
    assert got["inputs"] == {"dataset_inputs": datasets, "model_inputs": [{"model_id": "m-1"}]}
    assert got["outputs"] == outputs
    found = http.search(experiment)["runs"]
    assert [r["info"]["run_id"] for r in found] == [run, other]
    assert found[0]["inputs"] == {"dataset_inputs": datasets}  # searches show no model inputs
    assert found[0]["outputs"] == outputs
    assert (found[1]["inputs"], found[1]["outputs"]) == ({}, {})


def test_a_search_sees_points_accepted_before_it(http):
    experiment = http.experiment()
    run = http.run(experiment)
    for step in range(20):
        http.create("runs/log-metric", run_id=run, key="m", value=step, timestamp=step, step=step)
        metrics = http.search(experiment)["runs"][0]["data"]["metrics"]
        assert metrics == [{"key": "m", "value": float(step), "timestamp": step, "step": step}]


# --- experiments/search -------------------------------------------------------------------------

def test_experiments_need_max_results(http):
    answer = http.post("experiments/search")
    assert (answer.status_code, answer.json()["message"]) == (
        400, "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer")
    answer = http.post("experiments/search", max_results=MOST + 1)
    assert answer.json()["message"] == ("Invalid value 50001 for parameter 'max_results' supplied. "
                                        "It must be at most 50000")


def test_experiments_in_pages_orders_and_views(http):
    made = [http.experiment() for _ in range(4)]
    http.create("experiments/set-experiment-tag", experiment_id=made[3], key="k", value="v")
    http.create("experiments/delete", experiment_id=made[2])

    def found(**more):
        everything = http.post("experiments/search", max_results=MOST, **more).json()
        return [e["experiment_id"] for e in everything["experiments"] if e["experiment_id"] in made]

    assert found() == [made[3], made[1], made[0]]
    assert found(order_by=["experiment_id ASC"]) == [made[0], made[1], made[3]]
    assert found(view_type="DELETED_ONLY") == [made[2]]
    assert found(view_type="ALL", order_by=["attribute.experiment_id desc"]) == made[::-1]
    first = http.get("experiments/search", max_results=1).json()
    assert first["experiments"][0]["tags"] == [{"key": "k", "value": "v"}]
    assert first["next_page_token"] == token(1)


# --- metrics/get-history --------------------------------------------------------------------------

def test_history_pages(http):
    run = http.run(http.experiment())
    http.create("runs/log-batch", run_id=run, metrics=[
        {"key": "m", "value": v, "timestamp": t, "step": s}
        for v, t, s in ((3, 2, 1), (1, 1, 2), (2, 1, 1), ("NaN", 2, 1), (-1, 2, 1))])
    rows = [(2.0, 1, 1), (1.0, 1, 2), (-1.0, 2, 1), ("NaN", 2, 1), (3.0, 2, 1)]

    def history(**more):
        answer = http.get("metrics/get-history", run_id=run, metric_key="m", **more).json()
        return ([(m["value"], m["timestamp"], m["step"]) for m in answer.get("metrics", [])],
                answer.get("next_page_token"))

    assert history() == (rows, None)
    assert history(max_results=5) == (rows, None)
    assert history(max_results=2) == (rows[:2], token(2))
    assert history(max_results=2, page_token=token(2)) == (rows[2:4], token(4))
    assert history(max_results=2, page_token=token(4)) == (rows[4:], None)
    assert history(page_token=token(3)) == (rows[3:], None)
    assert history(max_results="abc") == (rows, None)
    assert http.get("metrics/get-history", run_id="none", metric_key="m").json() == {}
    assert http.get("metrics/get-history", run_id=run, metric_key="other").json() == {}


def test_doubles_come_back_as_python_writes_them(http):
    run = http.run(http.experiment())
    values = [1e15, 1e16, 1e22, 5.498325522028954e+16, 123456789012345680.0, 1.5e-07, 1e-05, 0.0001,
              1 / 3, 2.0**53 + 2, 5e-324, 1.7976931348623157e308, -2.5]
    http.create("runs/log-batch", run_id=run, metrics=[
        {"key": "m", "value": v, "timestamp": i, "step": 0} for i, v in enumerate(values)])
    text = http.get("metrics/get-history", run_id=run, metric_key="m").text
    assert [line.split(": ")[1].rstrip(",") for line in text.splitlines() if '"value"' in line] == [
        repr(v) for v in values]


# --- many at once: Sluice only ----------------------------------------------------------------------

def at_once(sluice, count, call):
    """call(http, i) from count threads that start together: the answers."""
    answers, barrier = [None] * count, threading.Barrier(count)

    def go(i):
        http = Http(sluice.url)
        http.get("experiments/get", experiment_id="0")  # connected
        barrier.wait()
        answers[i] = call(http, i)

    threads = [threading.Thread(target=go, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def test_one_of_many_values_becomes_the_param(sluice):
    http = Http(sluice.url)
    experiment = http.experiment()
    for _ in range(10):
        run = http.run(experiment)

        def log(mine, i, run=run):
            if i % 2:
                return mine.post("runs/log-parameter", run_id=run, key="k", value=str(i))
            return mine.post("runs/log-batch", run_id=run, params=[
                {"key": "k", "value": str(i)}, {"key": f"own{i}", "value": "x"}])

        answers = at_once(sluice, 8, log)
        won = [i for i, a in enumerate(answers) if a.status_code == 200]
        lost = [a.json() for a in answers if a.status_code != 200]
        assert len(won) == 1
        assert {a["error_code"] for a in lost} == {"INVALID_PARAMETER_VALUE"}
        assert all(a["message"].startswith("Changing param values is not allowed.") for a in lost)
        params = {p["key"]: p["value"]
                  for p in http.get("runs/get", run_id=run).json()["run"]["data"]["params"]}
        assert params.pop("k") == str(won[0])
        assert set(params) <= {f"own{won[0]}"}  # a batch that lost left nothing


def test_many_set_the_same_tags(sluice):
    http = Http(sluice.url)
    run = http.run(http.experiment())
    orders = ("abc", "cba", "bca", "acb")
    answers = at_once(sluice, 8, lambda mine, i: mine.post("runs/log-batch", run_id=run, tags=[
        {"key": k, "value": str(i)} for k in orders[i % 4]]))
    assert [a.status_code for a in answers] == [200] * 8
    tags = {t["key"]: t["value"]
            for t in http.get("runs/get", run_id=run).json()["run"]["data"]["tags"]}
    assert tags["a"] == tags["b"] == tags["c"]


def test_one_of_many_creates_the_experiment(sluice):
    name = uuid.uuid4().hex
    answers = at_once(sluice, 8, lambda mine, i: mine.post("experiments/create", name=name))
    assert sorted(a.status_code for a in answers) == [200] + 7 * [400]
    assert {a.json()["error_code"] for a in answers if a.status_code == 400} == {
        "RESOURCE_ALREADY_EXISTS"}
