"""`sluice schema tune`: faster, and nothing else. Answers stay as they were, byte for byte; a stock
server goes on; untune leaves the catalog it found; what was killed half way is gone on with."""

import itertools
import math
import subprocess
import sys
import threading
import uuid

import psycopg
import pytest
import requests

import catalog
from server import BINARY, Sluice, Stock, clean_environment, wait_until

LONG = "x" * 1200  # longer than the indexes of values take


def schema(uri, *words):
    result = subprocess.run([BINARY, "schema", *words, "--pg-uri", uri], env=clean_environment(),
                            capture_output=True, text=True, timeout=60)
    assert "Sanitizer" not in result.stderr
    return result


def done(uri, *words):
    result = schema(uri, *words)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def states(uri):
    """What `schema check` says of each change."""
    lines = [line.split(None, 2) for line in done(uri, "check").splitlines()]
    return {line[1]: line[2] for line in lines if line[0] == "tune"}


@pytest.fixture(scope="module")
def made(postgres):
    uri = postgres.create_database("tune_made")
    with Sluice(uri):
        pass
    yield uri
    postgres.drop_database("tune_made")


@pytest.fixture
def copy(postgres, made):
    postgres.drop_database("tuned")
    yield postgres.create_database("tuned", template="tune_made")
    postgres.drop_database("tuned")


# --- the same answers ---------------------------------------------------------------------------

FILTERS = [
    "", "metrics.a > 2", "metrics.a != 3", "metrics.a = 3 AND metrics.b <= 1",
    "params.p = 'v1'", f"params.p = '{LONG}'", "params.p != 'v1'", "params.p LIKE 'v%'",
    "params.p IS NULL", "tags.t = 'red' AND params.p = 'v2'", f"tags.t = '{LONG}' AND metrics.a >= 0",
    "run_name = 'run 7'", "metrics.a > 1 AND params.p = 'v0' AND tags.t = 'red'",
    "status = 'RUNNING' AND start_time > 5", "tags.t = 'nothing has it'"]
ORDERS = [
    [], ["metrics.a"], ["metrics.a DESC"], ["metrics.b DESC", "metrics.a"], ["start_time"],
    ["start_time DESC"], ["attributes.start_time DESC", "metrics.a DESC"],
    ["metrics.a", "start_time DESC", "params.p"], ["params.p DESC", "metrics.a"], ["metrics.none"],
    ["tags.t", "run_name DESC"]]


def fill(uri):
    """60 runs in two experiments: values that tie, NaN, none at all, long ones; starts that are NULL."""
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
                   " workspace) SELECT n, 'e' || n, 'x', 'active', 'default'"
                   " FROM generate_series(1, 2) n")
        for n in range(60):
            run = uuid.UUID(int=n * 0x9E3779B97F4A7C15).hex
            pg.execute("INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri,"
                       " experiment_id, start_time) VALUES (%s, %s, 'RUNNING', %s, 'x', %s, %s)",
                       (run, f"run {n}", "deleted" if n % 13 == 12 else "active", 1 + n % 3 // 2,
                        None if n % 11 == 5 else n // 2))
            for key, value in (("a", n % 5), ("b", n % 4)):
                if (n + len(key)) % 7 != 3:
                    is_nan = n % 6 == ord(key) - ord("a")
                    pg.execute("INSERT INTO latest_metrics VALUES (%s, %s, 1, 1, %s, %s)",
                               (key, 0 if is_nan else value, is_nan, run))
            if n % 5 != 4:
                pg.execute("INSERT INTO params (key, value, run_uuid) VALUES ('p', %s, %s)",
                           (LONG if n % 9 == 8 else f"v{n % 3}", run))
            if n % 4 != 3:
                pg.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('t', %s, %s)",
                           (None if n % 8 == 6 else LONG if n % 9 == 7 else ["red", "blue"][n % 2],
                            run))
            pg.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', %s, %s)",
                       (f"run {n}", run))
        pg.execute("VACUUM ANALYZE")


def every_answer(url, step=1):
    """{request: the bytes of each of its pages}; every filter with every order, step = 1."""
    session = requests.Session()
    found = {}
    for n, (text, order) in list(enumerate(itertools.product(FILTERS, ORDERS)))[::step]:
        body = {"experiment_ids": [["1"], ["1", "2"]][n % 2], "filter": text, "order_by": order,
                "run_view_type": ["ALL", "ACTIVE_ONLY", "ACTIVE_ONLY"][n % 3],
                "max_results": [5, 9, 1000][n % 5 // 2]}
        pages, key = [], repr(body)
        while True:
            answer = session.post(url + "/api/2.0/mlflow/runs/search", json=body, timeout=60)
            assert answer.status_code == 200, answer.text
            pages.append(answer.content)
            if "next_page_token" not in answer.json():
                break
            body["page_token"] = answer.json()["next_page_token"]
        found[key] = pages
    return found


def test_searches_answer_the_same_tuned_and_untuned(copy):
    fill(copy)
    with Sluice(copy) as server:  # it finds out by itself
        untuned = every_answer(server.url)
        done(copy, "tune")
        tuned = every_answer(server.url)
        done(copy, "untune", "params_value", "latest_metrics_value")
        partly = every_answer(server.url, step=7)
    assert sum(len(pages) for pages in untuned.values()) > 2 * len(FILTERS) * len(ORDERS)
    assert tuned.keys() == untuned.keys() > partly.keys()
    for key, pages in untuned.items():
        assert tuned[key] == pages, key
        assert partly.get(key, pages) == pages, key


def test_the_first_rows_come_from_the_statement_that_stops_early(copy):
    """Without it the same answers come, slower, and nobody would notice."""
    fill(copy)
    done(copy, "tune")
    with psycopg.connect(copy, autocommit=True) as pg:
        scans = ("SELECT coalesce(sum(idx_scan), 0) FROM pg_stat_user_indexes"
                 " WHERE indexrelname = 'sluice_latest_metrics_value'")
        pg.execute("ALTER DATABASE tuned SET enable_seqscan = off")
        pg.execute("ALTER DATABASE tuned SET enable_sort = off")
        pg.execute("ALTER DATABASE tuned SET enable_hashjoin = off")
        with Sluice(copy) as server:
            answer = requests.post(server.url + "/api/2.0/mlflow/runs/search", timeout=60, json={
                "experiment_ids": ["1"], "order_by": ["metrics.a DESC"], "max_results": 2})
            assert len(answer.json()["runs"]) == 2
        wait_until(lambda: pg.execute(scans).fetchone()[0] > 0, 20, "the index was walked")


# --- a stock server -----------------------------------------------------------------------------

def test_a_stock_server_goes_on_and_untune_leaves_what_was_there(copy):
    before = catalog.catalog(copy)
    done(copy, "tune")
    assert set(states(copy).values()) == {"applied"}
    tuned = catalog.catalog(copy)
    assert catalog.differences(before, tuned) != []
    with Stock(copy) as stock:
        from mlflow import MlflowClient

        client = MlflowClient(stock.url)
        experiment = client.create_experiment("on a tuned database")
        run = client.create_run(experiment).info.run_id
        client.log_metric(run, "m", 1.0)
        client.log_metric(run, "m", math.nan, step=1)
        client.log_metric(run, "n", 2.0)
        client.log_param(run, "short", "v")
        client.log_param(run, "long", "x" * 6000)
        client.set_tag(run, "t", "y" * 8000)
        found = client.search_runs([experiment], "metrics.n > 1 AND params.short = 'v'",
                                   order_by=["metrics.n DESC"])
        assert [r.info.run_id for r in found] == [run]
        assert len(client.get_metric_history(run, "m")) == 2
        client.delete_tag(run, "t")
        client.delete_run(run)
    upgrade = subprocess.run([sys.executable, "-m", "mlflow", "db", "upgrade", copy], timeout=120,
                             env=clean_environment(), capture_output=True, text=True)
    assert upgrade.returncode == 0, upgrade.stderr
    assert catalog.differences(tuned, catalog.catalog(copy)) == []
    done(copy, "untune")
    assert catalog.differences(before, catalog.catalog(copy)) == []
    assert set(states(copy).values()) == {"off"}


# --- the command --------------------------------------------------------------------------------

def test_nothing_is_done_unasked(copy):
    before = catalog.catalog(copy)
    said = done(copy, "tune", "--dry-run")
    for name in states(copy):
        assert name + ": off" in said
    assert said.count("would run: ") == len(states(copy))
    with Sluice(copy):
        pass
    done(copy, "create")
    assert catalog.differences(before, catalog.catalog(copy)) == []


def test_changes_are_chosen_by_name(copy):
    done(copy, "tune", "tags_value", "runs_start_time")
    on = [name for name, state in states(copy).items() if state == "applied"]
    assert on == ["tags_value", "runs_start_time"]
    done(copy, "untune", "tags_value")
    assert states(copy)["runs_start_time"] == "applied" and states(copy)["tags_value"] == "off"
    result = schema(copy, "tune", "no_such_change")
    assert result.returncode == 1 and "no_such_change" in result.stderr
    result = schema(copy, "create", "--dry-run")
    assert result.returncode == 1 and "takes no --dry-run" in result.stderr


def test_killed_half_way_it_is_gone_on_with(copy):
    waiting = ("SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%'"
               " AND wait_event_type = 'Lock' AND datname = 'tuned'")
    with psycopg.connect(copy) as writer, psycopg.connect(copy, autocommit=True) as pg:
        # Open, so that the index is begun and waits for it.
        writer.execute("INSERT INTO params SELECT 'p', 'v', run_uuid FROM runs")
        tune = subprocess.Popen([BINARY, "schema", "tune", "params_value", "--pg-uri", copy],
                                env=clean_environment(), stdout=subprocess.DEVNULL)
        pid = wait_until(lambda: pg.execute(waiting).fetchone(), 20, "the index waits")[0]
        tune.kill()
        tune.wait(timeout=20)
        second = schema(copy, "tune", "params_value")  # the server does not know yet
        assert second.returncode == 1 and "killed" in second.stderr
        pg.execute("SELECT pg_terminate_backend(%s)", (pid,))
        wait_until(lambda: not pg.execute(waiting).fetchone(), 20, "its session ended")
    assert states(copy)["params_value"] == "broken"
    assert "now applied" in done(copy, "tune", "params_value")
    assert states(copy)["params_value"] == "applied"


# --- the primary key of metrics -----------------------------------------------------------------

KEY = "metrics_primary_key"
SWAP_WAITS = ("SELECT pid FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE metrics DROP CONSTRAINT%'"
              " AND wait_event_type = 'Lock' AND datname = 'tuned'")


def points(step):
    return [{"key": key, "value": 100.0 * step + n, "timestamp": 1_700_000_000_000 + step, "step": step}
            for n, key in enumerate("abc")]


def log(url, run, step):
    answer = requests.post(url + "/api/2.0/mlflow/runs/log-batch", timeout=60,
                           json={"run_id": run, "metrics": points(step)})
    assert answer.status_code == 200, answer.text


def new_run(url):
    answer = requests.post(url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"}, timeout=60)
    return answer.json()["run"]["info"]["run_id"]


def assert_once(pg, run, steps):
    """Each point of the steps is one row, and the last one is the latest."""
    rows = pg.execute("SELECT key, step, value FROM metrics WHERE run_uuid = %s", (run,)).fetchall()
    assert sorted(rows) == sorted((p["key"], p["step"], p["value"]) for s in range(steps) for p in points(s))
    latest = pg.execute("SELECT key, step FROM latest_metrics WHERE run_uuid = %s", (run,)).fetchall()
    assert sorted(latest) == [(key, steps - 1) for key in "abc"]


def test_the_key_is_turned_under_those_who_write(copy):
    """Sluice and a stock server write the same points, so every one is a repeat of another's."""
    with Sluice(copy) as server, Stock(copy) as stock, psycopg.connect(copy, autocommit=True) as pg:
        run, is_over, wrote, broke = new_run(server.url), threading.Event(), [0, 0], []

        def write(n, url):
            try:
                while not is_over.is_set():
                    if wrote[n] < wrote[1 - n] + 20 or broke or is_over.wait(0.01):  # the faster one waits
                        log(url, run, wrote[n])
                        wrote[n] += 1
            except (AssertionError, requests.RequestException) as error:
                broke.append(error)

        writers = [threading.Thread(target=write, args=(n, s.url)) for n, s in enumerate((server, stock))]
        for writer in writers:
            writer.start()
        for words in (("tune", KEY), ("untune", KEY), ("tune", KEY)):
            seen = list(wrote)
            assert "now " in done(copy, *words)
            wait_until(lambda seen=seen: broke or (wrote[0] > seen[0] and wrote[1] > seen[1]), 60, "both write")
        is_over.set()
        for writer in writers:
            writer.join(60)
        assert not broke
        for step in range(min(wrote), max(wrote)):  # the one behind, and the other once more
            log(stock.url, run, step)
            log(server.url, run, step)
        wait_until(lambda: server.stat("sluice_backlog_points") == 0, 60, "all applied")
        assert server.stat("sluice_deadletter_points_total") == 0
        assert_once(pg, run, max(wrote))
    assert states(copy)[KEY] == "applied"


def test_the_swap_waits_for_readers_and_goes_on_after_a_kill(copy):
    with Sluice(copy) as server, psycopg.connect(copy) as reader, psycopg.connect(copy, autocommit=True) as pg:
        run = new_run(server.url)
        log(server.url, run, 0)
        reader.execute("SELECT count(*) FROM metrics")  # and stays: no ALTER gets past it
        command = [BINARY, "schema", "tune", KEY, "--pg-uri", copy]
        with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.DEVNULL) as tune:
            pid = wait_until(lambda: pg.execute(SWAP_WAITS).fetchone(), 30, "the swap waits")[0]
            tune.kill()
        pg.execute("SELECT pg_terminate_backend(%s)", (pid,))
        wait_until(lambda: not pg.execute("SELECT 1 FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone(), 20,
                   "its session ended")
        assert states(copy)[KEY] == "broken"
        spare = pg.execute("SELECT 'sluice_metric_pk'::regclass::oid").fetchone()[0]
        log(server.url, run, 1)
        wait_until(lambda: server.stat("sluice_backlog_points") == 0, 30, "writes go on")
        with subprocess.Popen(command, env=clean_environment(), stdout=subprocess.PIPE, text=True) as tune:
            wait_until(lambda: pg.execute(SWAP_WAITS).fetchone(), 30, "the swap waits again")
            log(server.url, run, 2)
            reader.commit()
            said = tune.communicate(timeout=60)[0]
        assert "now applied" in said and tune.returncode == 0
        assert pg.execute("SELECT 'metric_pk'::regclass::oid").fetchone()[0] == spare  # not built again
        log(server.url, run, 1)  # a repeat is one still
        wait_until(lambda: server.stat("sluice_backlog_points") == 0, 30, "all applied")
        assert_once(pg, run, 3)


def test_a_database_that_is_not_mlflows_is_left_alone(postgres):
    uri = postgres.create_database("tune_nothing")
    try:
        result = schema(uri, "tune")
        assert result.returncode == 1 and "no MLflow tables" in result.stderr
    finally:
        postgres.drop_database("tune_nothing")
