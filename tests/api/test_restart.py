"""kill -9 after the ack: what was answered is in the database once the program is back."""

import json
import threading
import uuid

import psycopg
import pytest
import requests

import oracle
from server import Sluice, wait_until


@pytest.fixture
def server(postgres, tmp_path):
    name = "restart_" + uuid.uuid4().hex[:8]
    uri = postgres.create_database(name)
    # A window that stays open for long leaves the points in the journal only.
    server = Sluice(uri, data_dir=str(tmp_path / "data"), args=["--flush-interval", "30s"])
    with server:
        yield server
    postgres.drop_database(name)


def post(server, path, body):
    answer = requests.post(f"{server.url}/api/2.0/mlflow/{path}", data=json.dumps(body), timeout=30,
                           headers={"Content-Type": "application/json"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def new_run(server):
    return post(server, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]


def log(server, ledger, run, part, n=100):
    points = [("m", float(i), i + 1, part * n + i) for i in range(n)]
    ledger.sent(run, points)
    post(server, "runs/log-batch", {"run_id": run, "metrics": [
        {"key": k, "value": v, "timestamp": t, "step": s} for k, v, t, s in points]})
    ledger.acked(run, points)


def settle(server, ledger):
    """Every run is read, which waits for its points, then compared row by row."""
    def is_current(run):
        answer = requests.get(f"{server.url}/api/2.0/mlflow/runs/get", params={"run_id": run},
                              timeout=30)
        assert answer.status_code == 200, answer.text
        return "Sluice-Behind-Ms" not in answer.headers

    for run in ledger.runs():
        wait_until(lambda r=run: is_current(r), 60, f"run {run} is read without delay")
    with psycopg.connect(server.pg_uri) as pg:
        return oracle.check(pg, ledger)


def test_acked_points_survive_kill_9(server):
    ledger = oracle.Ledger()
    run = new_run(server)
    for part in range(5):
        log(server, ledger, run, part)
    server.kill()
    with psycopg.connect(server.pg_uri) as pg:
        assert pg.execute("SELECT count(*) FROM metrics").fetchone() == (0,), \
            "the points were in PostgreSQL already: this test would prove nothing"
    server.start()
    assert settle(server, ledger) == []


def test_replay_after_a_commit_doubles_nothing(server):
    ledger = oracle.Ledger()
    run = new_run(server)
    log(server, ledger, run, 0)
    assert settle(server, ledger) == []  # the read closed the window: committed
    log(server, ledger, run, 1)
    server.kill()
    server.start()
    log(server, ledger, run, 0)  # what a client does that saw no answer
    log(server, ledger, run, 1)
    assert settle(server, ledger) == []


def test_kill_9_under_load(server):
    """Four writers, killed in the middle of their writing; three times over."""
    ledgers = [oracle.Ledger() for _ in range(4)]
    runs = [new_run(server) for _ in ledgers]
    for round_number in range(3):
        has_begun = threading.Event()

        def write(number, start=round_number * 1000):
            for part in range(start, start + 1000):
                try:
                    log(server, ledgers[number], runs[number], part, 20)
                except requests.RequestException:
                    return
                if part - start > 10:
                    has_begun.set()

        threads = [threading.Thread(target=write, args=(i,)) for i in range(len(runs))]
        for thread in threads:
            thread.start()
        assert has_begun.wait(30)
        server.kill()
        for thread in threads:
            thread.join()
        server.start()
    whole = oracle.Ledger()
    for ledger in ledgers:
        whole.add(ledger)
    assert whole.acked_count() > 4 * 3 * 10 * 20 / 4
    assert settle(server, whole) == []


def test_clean_stop_leaves_nothing_behind(server):
    ledger = oracle.Ledger()
    run = new_run(server)
    for part in range(5):
        log(server, ledger, run, part)
    server.stop()
    with psycopg.connect(server.pg_uri) as pg:
        assert oracle.check(pg, ledger) == []
    server.start()
    assert settle(server, ledger) == []


def test_a_read_after_a_clean_restart_waits_for_nothing(server):
    run = new_run(server)
    log(server, oracle.Ledger(), run, 0)
    server.stop()
    server.start()
    answer = requests.get(f"{server.url}/api/2.0/mlflow/runs/get", params={"run_id": run},
                          timeout=30)
    assert answer.status_code == 200 and "Sluice-Behind-Ms" not in answer.headers


def test_one_directory_has_one_owner(server):
    """A second program on the same journal must not start, and must not harm the first."""
    second = Sluice(server.pg_uri, data_dir=server.data_dir)
    try:
        with pytest.raises(AssertionError, match="exit code [1-9]"):
            second.start()
    finally:
        second.process.poll() is None and second.kill()
    ledger = oracle.Ledger()
    log(server, ledger, new_run(server), 0)
    assert settle(server, ledger) == []
