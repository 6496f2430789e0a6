"""Poison: what PostgreSQL refuses is kept, shown, applied once when it can be, dropped when asked."""

import json
import re
import subprocess
import uuid

import psycopg
import pytest
import requests

import oracle
from server import BINARY, Sluice, clean_environment, wait_until

LIMIT = "ALTER TABLE metrics ADD CONSTRAINT low CHECK (value < 100) NOT VALID"
NO_LIMIT = "ALTER TABLE metrics DROP CONSTRAINT low"


@pytest.fixture
def server(postgres, tmp_path):
    name = "letters_" + uuid.uuid4().hex[:8]
    uri = postgres.create_database(name)
    # A window stays open until a read closes it.
    with Sluice(uri, data_dir=str(tmp_path / "data"), args=["--flush-interval", "30s"]) as server:
        yield server
    postgres.drop_database(name)


def post(server, path, body):
    answer = requests.post(f"{server.url}/api/2.0/mlflow/{path}", data=json.dumps(body), timeout=30,
                           headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def new_run(server):
    return post(server, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]


def log(server, ledger, run, values, step=0):
    points = [("m", float(v), 1000 + i, step + i) for i, v in enumerate(values)]
    ledger.sent(run, points)
    post(server, "runs/log-batch", {"run_id": run, "metrics": [
        {"key": k, "value": v, "timestamp": t, "step": s} for k, v, t, s in points]})
    ledger.acked(run, points)


def flush(server):
    """A search waits for all that was accepted."""
    def is_done():
        post(server, "runs/search", {"experiment_ids": ["0"], "max_results": 1})
        return server.stat("sluice_backlog_points") == 0
    wait_until(is_done, 60, "an empty backlog")


def letters(server, *words, env=None, code=0, data_dir=None):
    """`sluice deadletter ...`: its lines."""
    command = [BINARY, "deadletter", *words, "--data-dir", data_dir or server.data_dir]
    if server.pg_uri:
        command += ["--pg-uri", server.pg_uri]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90,
                          env=clean_environment(env), check=False)
    assert "Sanitizer" not in done.stderr, done.stderr
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout.splitlines()


def ids(server, *words):
    return [line.split()[0] for line in letters(server, "ls", *words)[1:]]


def sound(server, ledger):
    with psycopg.connect(server.pg_uri) as pg:
        assert oracle.check(pg, ledger) == []


def run_sql(server, sql, *values):
    with psycopg.connect(server.pg_uri, autocommit=True) as pg:
        return pg.execute(sql, values)


def remove(server, run):
    """As `mlflow gc` does; returns what puts the run itself back."""
    with psycopg.connect(server.pg_uri) as pg:
        row = pg.execute("SELECT * FROM runs WHERE run_uuid = %s", (run,)).fetchone()
        pg.execute("DELETE FROM tags WHERE run_uuid = %s", (run,))
        pg.execute("DELETE FROM runs WHERE run_uuid = %s", (run,))
    return lambda: run_sql(server, f"INSERT INTO runs VALUES ({','.join(['%s'] * len(row))})",
                           *row)


def test_a_run_that_is_gone_amid_the_queue(server):
    ledger, other = oracle.Ledger(), oracle.Ledger()
    gone, kept = new_run(server), new_run(server)
    log(server, ledger, gone, range(5))
    log(server, other, kept, range(5))
    put_back = remove(server, gone)
    flush(server)
    sound(server, other)
    assert server.stat("sluice_deadletter_points_total") == 5
    head, line = letters(server, "ls", "--run", gone)
    assert head.split() == ["ID", "TIME", "POINTS", "RUN", "SQLSTATE", "REASON"]
    assert line.split()[2:5] == ["5", gone, "23503"]
    shown = json.loads("\n".join(letters(server, "show", line.split()[0])))
    assert [m["step"] for m in shown["metrics"]] == list(range(5))
    assert shown["client"] == "127.0.0.1"
    assert shown["window_from"] <= shown["position"] < shown["window_end"]
    assert letters(server, "retry", "--run", gone, code=1) == [
        f"{line.split()[0]} is refused: 23503 the run does not exist",
        "applied 0 letters with 0 points, 1 stay"]
    put_back()
    assert letters(server, "retry", "--run", gone) == ["applied 1 letters with 5 points, 0 stay"]
    sound(server, ledger)
    assert ids(server) == []
    letters(server, "retry", line.split()[0], code=1)  # it is not there any more


def poison(server, ledger, run, windows):
    """Letters of so many windows, one point each, among points that are sound."""
    run_sql(server, LIMIT)
    for window in range(windows):
        log(server, ledger, run, [1, 200 + window, 2], step=10 * window)
        flush(server)
    run_sql(server, NO_LIMIT)
    assert len(ids(server)) == windows
    assert len(ids(server, "--reason", "23514")) == windows


@pytest.mark.parametrize("place", ["flush_before_commit", "flush_after_commit",
                                   "retry_before_cut", "cut_before_rename", "cut_after_rename"])
def test_a_retry_killed_amid(server, place):
    ledger = oracle.Ledger()
    poison(server, ledger, new_run(server), 3)
    letters(server, "retry", "--all", env={"SLUICE_TEST_KILL_AT": place}, code=-9)
    is_cut = place == "cut_after_rename"
    assert len(ids(server)) == (0 if is_cut else 3)
    letters(server, "retry", "--all")
    assert ids(server) == []
    sound(server, ledger)
    log(server, ledger, new_run(server), range(3))  # the server goes on
    flush(server)
    sound(server, ledger)


def test_retry_while_nobody_serves(server):
    ledger = oracle.Ledger()
    poison(server, ledger, new_run(server), 2)
    server.stop()
    first = ids(server)[0]
    assert letters(server, "retry", first) == ["applied 1 letters with 1 points, 0 stay"]
    assert letters(server, "retry", "--all") == ["applied 1 letters with 1 points, 0 stay"]
    assert letters(server, "retry", "--all") == ["applied 0 letters with 0 points, 0 stay"]
    sound(server, ledger)
    server.start()


def test_letters_come_while_others_go(server):
    """A cut puts another file in the place of the one that the flusher appends to."""
    ledger = oracle.Ledger()
    run = new_run(server)
    poison(server, ledger, run, 2)
    for _ in range(3):
        letters(server, "retry", "--all")
        poison(server, ledger, new_run(server), 2)
    letters(server, "retry", "--all")
    sound(server, ledger)


def test_drop_needs_a_name_and_a_yes(server):
    ledger = oracle.Ledger()
    poison(server, ledger, new_run(server), 3)
    named = ids(server)
    letters(server, "drop", "--yes", code=2)
    assert letters(server, "drop", named[1], code=1)[0].startswith("1 letters with 1 points would")
    assert ids(server) == named
    assert letters(server, "drop", named[1], "--yes") == ["dropped 1 letters with 1 points"]
    assert ids(server) == [named[0], named[2]]
    letters(server, "retry", "--all")
    assert run_sql(server, "SELECT value FROM metrics WHERE value >= 100 ORDER BY 1").fetchall() \
        == [(200.0,), (202.0,)]


def test_full_letters_hold_the_flush_and_lose_nothing(postgres, tmp_path):
    name = "letters_" + uuid.uuid4().hex[:8]
    uri = postgres.create_database(name)
    args = ["--flush-interval", "10ms", "--flushers", "1", "--deadletter-max-bytes", "1MiB",
            "--run-cache-ttl", "300s"]
    with Sluice(uri, data_dir=str(tmp_path / "data"), args=args) as server:
        ledger = oracle.Ledger()
        run = new_run(server)
        put_back = remove(server, run)
        step = 0

        def is_held():
            nonlocal step
            step += 1000
            log(server, ledger, run, range(1000), step)
            return server.stat("sluice_deadletter_held") == 1

        wait_until(is_held, 60, "the dead letters are full")
        log(server, ledger, run, [5], step=-10)  # accepting goes on
        assert server.stat("sluice_backlog_points") > 0
        assert "deadletter_max_bytes" in server.output()
        assert len(ids(server)) > 10
        put_back()
        letters(server, "retry", "--all")
        wait_until(lambda: server.stat("sluice_backlog_points") == 0, 60, "flushing goes on")
        assert server.stat("sluice_deadletter_held") == 0
        letters(server, "retry", "--all")
        sound(server, ledger)
    postgres.drop_database(name)


def test_a_private_cluster_is_started_for_a_retry(tmp_path):
    with Sluice(data_dir=str(tmp_path / "data"), args=["--flush-interval", "30s"]) as server:
        uri = subprocess.run([BINARY, "pg-uri", "--data-dir", server.data_dir], check=True,
                             capture_output=True, text=True).stdout.strip()
        ledger = oracle.Ledger()
        server.pg_uri = uri  # for run_sql
        poison(server, ledger, new_run(server), 2)
        server.pg_uri = None
        server.stop()
        assert letters(server, "retry", "--all") == ["applied 2 letters with 2 points, 0 stay"]
        server.start()
        server.pg_uri = uri
        sound(server, ledger)
        server.pg_uri = None
        assert not re.search("Sanitizer", server.output())
