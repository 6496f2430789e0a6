"""Locks that Sluice and a stock server take in different orders: no deadlock comes of it.

A psycopg connection stands where a transaction of stock's stands half-way: it holds the row that
stock takes first, lets Sluice run into it, and then takes the row that Sluice holds. PostgreSQL
would end one of the two after deadlock_timeout; the one that can start over unseen is Sluice.
"""

import threading

import psycopg
import pytest
import requests

from cluster import Cluster
from server import Sluice, wait_until

API = "/api/2.0/mlflow/"


@pytest.fixture(scope="module")
def cluster():
    # Long enough that on a busy machine, too, Sluice's patience ends before stock's.
    with Cluster({"deadlock_timeout": "4s"}) as c:
        yield c


@pytest.fixture(scope="module")
def uri(cluster):
    return cluster.create_database("locks")


@pytest.fixture(scope="module")
def server(uri):
    with Sluice(uri) as s:
        yield s


def deadlocks(cluster):
    with open(cluster.folder + "/log", encoding="utf-8", errors="replace") as log:
        return log.read().count("deadlock detected")


@pytest.fixture
def stock(uri, cluster):
    """A transaction of stock's: what it holds, it holds until the test says commit."""
    before = deadlocks(cluster)
    with psycopg.connect(uri) as pg:
        yield pg
    assert deadlocks(cluster) == before


@pytest.fixture
def watch(uri):
    with psycopg.connect(uri, autocommit=True) as pg:
        yield pg


def call(server, path, **body):
    answer = requests.post(server.url + API + path, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture
def run(server, request):
    experiment = call(server, "experiments/create", name=request.node.name)["experiment_id"]
    return call(server, "runs/create", experiment_id=experiment,
                run_name="first")["run"]["info"]["run_id"]


class Call(threading.Thread):
    """A request to Sluice under way."""

    def __init__(self, server, path, **body):
        super().__init__()
        self.url, self.body, self.answer = server.url + API + path, body, None
        self.start()

    def run(self):
        self.answer = requests.post(self.url, json=self.body, timeout=60)

    def end(self):
        self.join()
        assert self.answer.status_code == 200, self.answer.text


def run_into(watch, stock):
    """Waits until a session of Sluice's waits for the transaction."""
    wait_until(lambda: watch.execute(
        "SELECT 1 FROM pg_stat_activity WHERE %s = ANY(pg_blocking_pids(pid))"
        " AND application_name LIKE 'sluice%%'", [stock.info.backend_pid]).fetchone(),
        20, "Sluice waits for the transaction")


def goes_on(stock, sql, values):
    """The transaction takes what Sluice may hold, and commits."""
    stock.execute(sql, values)
    stock.commit()


def test_a_new_name_by_tag_takes_run_then_tag(server, stock, watch, run):
    stock.execute("UPDATE runs SET name = 'stock' WHERE run_uuid = %s", [run])
    renamed = Call(server, "runs/set-tag", run_id=run, key="mlflow.runName", value="sluice")
    run_into(watch, stock)
    # At once, not only after Sluice has lost its patience: it holds nothing yet.
    stock.execute("SET LOCAL lock_timeout = 1")
    goes_on(stock, "UPDATE tags SET value = 'stock'"
            " WHERE key = 'mlflow.runName' AND run_uuid = %s", [run])
    renamed.end()
    assert watch.execute("SELECT r.name, t.value FROM runs r JOIN tags t USING (run_uuid)"
                         " WHERE run_uuid = %s", [run]).fetchone() == ("sluice", "sluice")


@pytest.fixture
def model(server, request):
    """A registered model with one version."""
    name = request.node.name
    call(server, "registered-models/create", name=name)
    call(server, "model-versions/create", name=name, source="s3://bucket/model")
    return name


def test_an_alias_takes_model_then_version(server, stock, watch, model):
    """As the deletion of a model does: else the two of them wait for each other."""
    stock.execute("SELECT 1 FROM registered_models WHERE name = %s FOR UPDATE", [model])
    alias = Call(server, "registered-models/alias", name=model, alias="best", version="1")
    run_into(watch, stock)
    # At once, not only after Sluice has lost its patience: it holds nothing yet.
    stock.execute("SET LOCAL lock_timeout = 1")
    goes_on(stock, "SELECT 1 FROM model_versions WHERE name = %s FOR UPDATE", [model])
    alias.end()
    assert watch.execute("SELECT alias, version FROM registered_model_aliases WHERE name = %s",
                         [model]).fetchall() == [("best", 1)]


def test_params_in_another_order(server, stock, watch, run):
    insert = "INSERT INTO params (run_uuid, key, value) VALUES (%s, %s, 'v')"
    stock.execute(insert, [run, "b"])
    batch = Call(server, "runs/log-batch", run_id=run,
                 params=[{"key": "a", "value": "v"}, {"key": "b", "value": "v"}])
    run_into(watch, stock)
    goes_on(stock, insert, [run, "a"])
    batch.end()


def test_tags_in_another_order(server, stock, watch, run):
    insert = "INSERT INTO tags (run_uuid, key, value) VALUES (%s, %s, 'stock')"
    stock.execute(insert, [run, "b"])
    batch = Call(server, "runs/log-batch", run_id=run,
                 tags=[{"key": "a", "value": "sluice"}, {"key": "b", "value": "sluice"}])
    run_into(watch, stock)
    goes_on(stock, insert, [run, "a"])
    batch.end()
    rows = watch.execute("SELECT key, value FROM tags WHERE run_uuid = %s", [run]).fetchall()
    assert {("a", "sluice"), ("b", "sluice")} <= set(rows)


def test_datasets_in_another_order(server, stock, watch, run):
    insert = ("INSERT INTO datasets (dataset_uuid, experiment_id, name, digest,"
              " dataset_source_type, dataset_source) SELECT md5(random()::text), experiment_id,"
              " %s, 'd', 'local', 's' FROM runs WHERE run_uuid = %s")
    stock.execute(insert, ["b", run])
    inputs = Call(server, "runs/log-inputs", run_id=run, datasets=[
        {"dataset": {"name": n, "digest": "d", "source": "s", "source_type": "local"}}
        for n in "ab"])
    run_into(watch, stock)
    goes_on(stock, insert, ["a", run])
    inputs.end()


def test_new_latest_metrics_in_another_order(server, stock, watch, run):
    insert = ("INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)"
              " VALUES (%s, %s, 9, 9, 9, false)")
    stock.execute(insert, [run, "b"])
    call(server, "runs/log-batch", run_id=run, metrics=[
        {"key": "a", "value": 10, "timestamp": 1, "step": 10},
        {"key": "b", "value": 1, "timestamp": 1, "step": 1}])
    run_into(watch, stock)  # the flusher
    goes_on(stock, insert, [run, "a"])
    wait_until(lambda: watch.execute("SELECT count(*) FROM metrics WHERE run_uuid = %s",
                                     [run]).fetchone() == (2,), 30, "the window is written")
    rows = watch.execute("SELECT key, value FROM latest_metrics WHERE run_uuid = %s", [run])
    assert sorted(rows) == [("a", 10), ("b", 9)]


def test_a_lock_that_is_held_long_is_waited_for(server, stock, watch, run):
    """Starting over is not giving up: a lock held for many of its patiences costs time only."""
    stock.execute("UPDATE tags SET value = 'stock' WHERE run_uuid = %s", [run])
    tag = Call(server, "runs/set-tag", run_id=run, key="mlflow.runName", value="sluice")
    began = watch.execute("SELECT clock_timestamp()").fetchone()[0]
    wait_until(lambda: watch.execute("SELECT clock_timestamp() - %s > '2s'", [began]).fetchone()[0],
               20, "two seconds of PostgreSQL's clock")
    assert tag.answer is None
    stock.commit()
    tag.end()
