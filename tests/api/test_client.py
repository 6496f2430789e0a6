"""The stock client, unchanged: MlflowClient and the fluent API do what they do with MLflow."""

import math
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import mlflow
import pytest
from mlflow.entities import Metric, Param, RunStatus, RunTag, ViewType
from mlflow.exceptions import MlflowException, RestException

import oracle

LARGEST = 1.7976931348623157e308


def refused(code, call, *args, **named):
    with pytest.raises(MlflowException) as caught:
        call(*args, **named)
    assert caught.value.error_code == code
    return str(caught.value)


# --- experiments ---------------------------------------------------------------------------------

def test_experiment_life(client):
    name = "life-" + uuid.uuid4().hex
    number = client.create_experiment(name, tags={"team": "vision", "empty": ""})
    got = client.get_experiment(number)
    assert (got.name, got.lifecycle_stage) == (name, "active")
    assert got.tags == {"team": "vision", "empty": ""}
    assert got.artifact_location == f"mlflow-artifacts:/{number}"
    assert got.creation_time == got.last_update_time > 1_600_000_000_000
    assert client.get_experiment_by_name(name).experiment_id == number

    client.rename_experiment(number, name + "-new")
    client.set_experiment_tag(number, "team", "speech")
    assert client.get_experiment(number).name == name + "-new"
    assert client.get_experiment(number).tags["team"] == "speech"
    client.delete_experiment_tag(number, "team")
    assert client.get_experiment(number).tags == {"empty": ""}
    assert client.get_experiment_by_name(name) is None

    client.delete_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "deleted"
    refused("RESOURCE_DOES_NOT_EXIST", client.delete_experiment, number)
    client.restore_experiment(number)
    assert client.get_experiment(number).lifecycle_stage == "active"


def test_experiment_with_a_location(client):
    number = client.create_experiment("loc-" + uuid.uuid4().hex, "s3://bucket/x")
    assert client.get_experiment(number).artifact_location == "s3://bucket/x"
    run = client.create_run(number)
    assert run.info.artifact_uri == f"s3://bucket/x/{run.info.run_id}/artifacts"


def test_experiment_name_is_unique_even_when_deleted(client):
    name = "unique-" + uuid.uuid4().hex
    number = client.create_experiment(name)
    refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, name)
    client.delete_experiment(number)
    refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, name)


def test_the_default_experiment_is_there(client):
    assert client.get_experiment("0").name == "Default"


def test_experiments_are_listed(client):
    numbers = [client.create_experiment(f"list-{i}-" + uuid.uuid4().hex) for i in range(5)]
    client.delete_experiment(numbers[0])
    active = {e.experiment_id for e in client.search_experiments()}
    assert set(numbers[1:]) <= active and numbers[0] not in active
    deleted = {e.experiment_id for e in client.search_experiments(ViewType.DELETED_ONLY)}
    assert numbers[0] in deleted and not deleted & active
    everything, token = [], None
    while True:
        page = client.search_experiments(ViewType.ALL, max_results=2, page_token=token)
        assert len(page) <= 2
        everything += [e.experiment_id for e in page]
        token = page.token
        if not token:
            break
    assert len(everything) == len(set(everything))
    assert set(everything) == active | deleted


def test_deleting_an_experiment_deletes_its_runs(client, experiment):
    runs = [client.create_run(experiment).info.run_id for _ in range(3)]
    client.delete_run(runs[0])
    client.delete_experiment(experiment)
    assert {client.get_run(r).info.lifecycle_stage for r in runs} == {"deleted"}
    refused("INVALID_PARAMETER_VALUE", client.create_run, experiment)
    client.restore_experiment(experiment)
    assert {client.get_run(r).info.lifecycle_stage for r in runs} == {"active"}
    client.log_metric(runs[0], "m", 1.0)


# --- runs ------------------------------------------------------------------------------------------

def test_run_life(client, experiment):
    run = client.create_run(experiment, start_time=123, run_name="first", tags={"a": "1"})
    info = run.info
    assert (info.run_name, info.status, info.start_time, info.end_time) == (
        "first", "RUNNING", 123, None)
    assert info.artifact_uri == f"mlflow-artifacts:/{experiment}/{info.run_id}/artifacts"
    client.update_run(info.run_id, name="second")
    got = client.get_run(info.run_id)
    assert got.info.run_name == "second" and got.data.tags["mlflow.runName"] == "second"
    client.set_terminated(info.run_id, end_time=456)
    got = client.get_run(info.run_id).info
    assert (got.status, got.end_time) == ("FINISHED", 456)
    client.update_run(info.run_id, status=RunStatus.to_string(RunStatus.FAILED))
    assert client.get_run(info.run_id).info.status == "FAILED"


def test_deleted_run_takes_nothing_until_it_is_restored(client, run):
    client.log_metric(run, "m", 1.0, timestamp=1, step=1)
    client.delete_run(run)
    assert client.get_run(run).info.lifecycle_stage == "deleted"
    for call in (lambda: client.log_metric(run, "m", 2.0), lambda: client.log_param(run, "p", 1),
                 lambda: client.set_tag(run, "t", 1), lambda: client.delete_tag(run, "t"),
                 lambda: client.log_batch(run, [Metric("m", 1, 1, 1)]),
                 lambda: client.set_terminated(run)):
        assert "must be in the 'active' state" in refused("INVALID_PARAMETER_VALUE", call)
    client.restore_run(run)
    client.log_metric(run, "m", 3.0, timestamp=3, step=3)
    assert client.get_run(run).data.metrics == {"m": 3.0}


def test_unknown_run(client):
    nowhere = uuid.uuid4().hex
    for call in (lambda: client.get_run(nowhere), lambda: client.log_metric(nowhere, "m", 1.0),
                 lambda: client.log_param(nowhere, "p", 1), lambda: client.set_tag(nowhere, "t", 1),
                 lambda: client.log_batch(nowhere, [Metric("m", 1, 1, 1)]),
                 lambda: client.delete_run(nowhere)):
        assert f"Run with id={nowhere} not found" in refused("RESOURCE_DOES_NOT_EXIST", call)


def test_runs_of_an_experiment_are_listed(client, experiment):
    runs = [client.create_run(experiment, start_time=i + 1).info.run_id for i in range(7)]
    client.delete_run(runs[0])
    assert [r.info.run_id for r in client.search_runs([experiment])] == runs[:0:-1]
    assert [r.info.run_id for r in client.search_runs(
        [experiment], run_view_type=ViewType.DELETED_ONLY)] == runs[:1]
    pages, token = [], None
    while True:
        page = client.search_runs([experiment], run_view_type=ViewType.ALL, max_results=3,
                                  page_token=token)
        pages.append([r.info.run_id for r in page])
        token = page.token
        if not token:
            break
    assert [len(p) for p in pages] == [3, 3, 1]
    assert sum(pages, []) == runs[::-1]


def test_listed_runs_carry_their_data(client, experiment):
    run = client.create_run(experiment).info.run_id
    client.log_batch(run, [Metric("m", 2.5, 1, 1)], [Param("p", "x")], [RunTag("t", "y")])
    found = client.search_runs([experiment])[0]
    assert found.data.metrics == {"m": 2.5}
    assert found.data.params == {"p": "x"}
    assert found.data.tags["t"] == "y"


# --- params and tags -------------------------------------------------------------------------------

def test_params_do_not_change(client, run):
    client.log_param(run, "rate", 0.1)
    client.log_param(run, "rate", "0.1")
    message = refused("INVALID_PARAMETER_VALUE", client.log_param, run, "rate", 0.2)
    assert "Changing param values is not allowed" in message
    assert client.get_run(run).data.params == {"rate": "0.1"}


def test_one_changed_param_stops_the_whole_batch(client, run):
    client.log_param(run, "a", "1")
    refused("INVALID_PARAMETER_VALUE", client.log_batch, run, [Metric("m", 1, 1, 1)],
            [Param("b", "2"), Param("a", "9")], [RunTag("t", "x")])
    data = client.get_run(run).data
    assert (data.params, data.metrics) == ({"a": "1"}, {})
    assert "t" not in data.tags


def test_tags_change_and_go(client, run):
    client.set_tag(run, "t", "1")
    client.set_tag(run, "t", "\u00e4\U0001f600 2")
    assert client.get_run(run).data.tags["t"] == "\u00e4\U0001f600 2"
    client.delete_tag(run, "t")
    assert "t" not in client.get_run(run).data.tags
    refused("RESOURCE_DOES_NOT_EXIST", client.delete_tag, run, "t")


def test_run_name_is_a_tag_as_well(client, run):
    client.set_tag(run, "mlflow.runName", "renamed")
    assert client.get_run(run).info.run_name == "renamed"


def test_long_values_are_cut(client, run):
    client.set_tag(run, "t", "x" * 9000)
    assert client.get_run(run).data.tags["t"] == "x" * 8000


def test_many_params_and_tags_at_once(client, run):
    params = {f"p{i}": str(i) for i in range(250)}
    with mlflow.start_run(run_id=run):
        mlflow.log_params(params)
        mlflow.set_tags({f"t{i}": i for i in range(150)})
    data = client.get_run(run).data
    assert data.params == params
    assert {k: v for k, v in data.tags.items() if k.startswith("t")} == {
        f"t{i}": str(i) for i in range(150)}


# --- metrics -----------------------------------------------------------------------------------------

def history(client, run, key):
    return [(m.value, m.timestamp, m.step) for m in client.get_metric_history(run, key)]


def test_history_is_ordered_by_time_step_value(client, run):
    points = [(3.0, 20, 1), (1.0, 10, 5), (2.0, 10, 5), (4.0, 10, 2)]
    for value, timestamp, step in points:
        client.log_metric(run, "m", value, timestamp, step)
    assert history(client, run, "m") == [(4.0, 10, 2), (1.0, 10, 5), (2.0, 10, 5), (3.0, 20, 1)]
    assert client.get_run(run).data.metrics == {"m": 2.0}


def test_you_read_what_you_wrote(client, run):
    """Every read right after its write, many times: no read may lag behind."""
    for step in range(50):
        client.log_metric(run, "m", step, timestamp=step, step=step)
        assert client.get_run(run).data.metrics == {"m": float(step)}
        assert len(client.get_metric_history(run, "m")) == step + 1


def test_a_point_twice_is_one_point(client, run):
    for _ in range(3):
        client.log_metric(run, "m", 1.5, timestamp=7, step=2)
    assert history(client, run, "m") == [(1.5, 7, 2)]


def test_nan_and_infinities(client, run):
    for step, value in enumerate((math.nan, math.inf, -math.inf)):
        client.log_metric(run, f"m{step}", value, timestamp=1, step=step)
    metrics = client.get_run(run).data.metrics
    assert math.isnan(metrics["m0"])
    assert (metrics["m1"], metrics["m2"]) == (LARGEST, -LARGEST)
    assert math.isnan(history(client, run, "m0")[0][0])


@pytest.mark.parametrize("values, latest", [
    ([math.nan, 0.0], math.nan), ([0.0, math.nan], 0.0), ([-5.0, math.nan], math.nan),
    ([math.nan, 1.0], 1.0), ([1.0, math.nan], 1.0)])
def test_latest_counts_nan_as_zero(client, run, values, latest):
    """Equal (step, timestamp): the greater value wins, a tie keeps what was first."""
    for value in values:
        client.log_metric(run, "m", value, timestamp=1, step=1)
        client.get_run(run)  # one after the other in the database too
    got = client.get_run(run).data.metrics["m"]
    assert got == latest or (math.isnan(got) and math.isnan(latest))


def test_latest_is_the_highest_step(client, run):
    client.log_metric(run, "m", 1.0, timestamp=100, step=10)
    client.log_metric(run, "m", 9.0, timestamp=900, step=9)
    assert client.get_run(run).data.metrics == {"m": 1.0}
    client.log_metric(run, "m", 0.5, timestamp=100, step=10)
    assert client.get_run(run).data.metrics == {"m": 1.0}
    client.log_metric(run, "m", 1.5, timestamp=100, step=10)
    assert client.get_run(run).data.metrics == {"m": 1.5}


def test_batches_of_a_thousand(client, run, sql):
    ledger = oracle.Ledger()
    for part in range(5):
        metrics = [Metric(f"m{i % 10}", i / 7, part * 1000 + i, part * 1000 + i)
                   for i in range(1000)]
        client.log_batch(run, metrics)
        points = [(m.key, m.value, m.timestamp, m.step) for m in metrics]
        ledger.sent(run, points)
        ledger.acked(run, points)
    assert client.get_run(run).data.metrics["m9"] == 999 / 7
    assert oracle.check(sql, ledger) == []


def test_history_over_several_pages(client, run):
    client.log_batch(run, [Metric("m", i, i, i) for i in range(1000)])
    store = client._tracking_client.store
    got, token = [], None
    while True:
        page = store.get_metric_history(run, "m", max_results=300, page_token=token)
        got.append([m.step for m in page])
        token = page.token
        if not token:
            break
    assert [len(p) for p in got] == [300, 300, 300, 100]
    assert sum(got, []) == list(range(1000))


def test_parallel_writers_of_one_run(client, run, sql):
    """What asynchronous logging does: batches of one run, in parallel and out of order."""
    def write(part):
        client.log_batch(run, [Metric("m", part * 100 + i, 1, part * 100 + i) for i in range(100)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(40)))
    assert client.get_run(run).data.metrics == {"m": 3999.0}
    points = [("m", i, 1, i) for i in range(4000)]
    ledger = oracle.Ledger()
    ledger.sent(run, points)
    ledger.acked(run, points)
    assert oracle.check(sql, ledger) == []


# --- the fluent API -------------------------------------------------------------------------------------

def test_nested_runs(client):
    mlflow.set_experiment("nested-" + uuid.uuid4().hex)
    with mlflow.start_run(run_name="parent") as parent:
        mlflow.log_param("who", "parent")
        for i in range(2):
            with mlflow.start_run(run_name=f"child{i}", nested=True) as child:
                mlflow.log_metric("m", i, step=i)
            got = client.get_run(child.info.run_id)
            assert got.data.tags["mlflow.parentRunId"] == parent.info.run_id
            assert got.info.status == "FINISHED"
        assert client.get_run(parent.info.run_id).info.status == "RUNNING"
    assert client.get_run(parent.info.run_id).info.status == "FINISHED"
    assert len(client.search_runs([parent.info.experiment_id])) == 3


def test_failing_run(client):
    mlflow.set_experiment("failing-" + uuid.uuid4().hex)
    with pytest.raises(ZeroDivisionError):
        with mlflow.start_run() as run:
            raise ZeroDivisionError
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_asynchronous_logging(client, sql):
    mlflow.set_experiment("async-" + uuid.uuid4().hex)
    with mlflow.start_run() as run:
        for step in range(300):
            mlflow.log_metric("m", step / 3, step=step, timestamp=step + 1, synchronous=False)
        mlflow.log_params({"a": 1}, synchronous=False)
        mlflow.set_tags({"b": 2}, synchronous=False)
        mlflow.flush_async_logging()
    data = client.get_run(run.info.run_id).data
    assert data.params == {"a": "1"} and data.tags["b"] == "2"
    ledger = oracle.Ledger()
    points = [("m", step / 3, step + 1, step) for step in range(300)]
    ledger.sent(run.info.run_id, points)
    ledger.acked(run.info.run_id, points)
    assert oracle.check(sql, ledger) == []


def test_start_and_end_times_are_the_clients(client):
    mlflow.set_experiment("times-" + uuid.uuid4().hex)
    before = int(time.time() * 1000)
    with mlflow.start_run() as run:
        pass
    info = client.get_run(run.info.run_id).info
    assert before <= info.start_time <= info.end_time <= time.time() * 1000
    assert info.user_id != ""


def test_errors_are_clean_exceptions(client, run):
    with pytest.raises(RestException) as caught:
        client._tracking_client.store.log_metric(run, Metric("a@", 1.0, 1, 1))
    assert caught.value.json["error_code"] == "INVALID_PARAMETER_VALUE"
    assert caught.value.json["sqlstate"] == "KAM00"
    assert caught.value.get_http_status_code() == 400
