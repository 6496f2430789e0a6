"""SIGTERM: readiness first, what is in flight is answered, what does not fit stays in the journal."""

import http.client
import json
import signal
import threading
import time
import uuid

import psycopg
import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

import oracle
from peer import Peer
from server import Sluice, free_port, wait_until


@pytest.fixture
def start(postgres, tmp_path):
    """Starts servers on one database and one directory, with further arguments."""
    name = "drain_" + uuid.uuid4().hex[:8]
    uri = postgres.create_database(name)
    started = []

    def begin(*args):
        server = Sluice(uri, data_dir=str(tmp_path / "data"), args=list(args)).__enter__()
        started.append(server)
        return server

    yield begin
    for server in started:
        server.__exit__(None, None, None)
    postgres.drop_database(name)


def body(run, points):
    return {"run_id": run, "metrics": [{"key": k, "value": v, "timestamp": t, "step": s}
                                       for k, v, t, s in points]}


def new_run(server):
    answer = requests.post(server.url + "/api/2.0/mlflow/runs/create",
                           json={"experiment_id": "0"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["run"]["info"]["run_id"]


def log(server, ledger, run, step, client=requests):
    points = [("m", float(step), 1000 + step, step)]
    ledger.sent(run, points)
    answer = client.post(server.url + "/api/2.0/mlflow/runs/log-batch", json=body(run, points),
                         timeout=60)
    assert answer.status_code == 200, answer.text
    ledger.acked(run, points)
    return answer


def terminate(server):
    server.process.send_signal(signal.SIGTERM)


def ended(server, limit_s=20):
    wait_until(lambda: server.process.poll() is not None, limit_s, "the end")
    assert server.process.returncode == 0, server.tail()


def ready(server):
    answer = requests.get(server.admin_url + "/readyz", timeout=10)
    return answer.status_code, answer.text


def keep_alive(server):
    """A connection that has had one answer and stays open."""
    host, port = server.url.rsplit("/", 1)[1].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=20)
    connection.request("GET", "/health")
    assert connection.getresponse().read() == b"OK"
    return connection


def test_readiness_turns_false_while_all_is_served(start):
    ledger = oracle.Ledger()
    server = start("--drain-delay", "10m")
    run = new_run(server)
    assert ready(server) == (200, "ok\n")
    idle = keep_alive(server)
    terminate(server)
    wait_until(lambda: ready(server)[0] == 503, 10, "not ready")
    assert "draining" in ready(server)[1]
    answer = log(server, ledger, run, 1)  # a new connection, and a write
    assert answer.headers["connection"] == "close"
    idle.request("GET", "/health")  # an old one
    answer = idle.getresponse()
    assert answer.read() == b"OK" and answer.headers["connection"] == "close"
    server.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "settings not reloaded: stopping" in server.output(), 10, "no reload")
    assert server.process.poll() is None
    terminate(server)  # does not wait for the ten minutes
    ended(server)
    with psycopg.connect(server.pg_uri) as pg:
        stored = pg.execute("SELECT count(*) FROM metrics").fetchone()[0]
    server.args = []
    server.start()
    wait_until(lambda: server.stat("sluice_backlog_points") == 0, 30, "no backlog")
    with psycopg.connect(server.pg_uri) as pg:
        assert oracle.check(pg, ledger) == [], f"{stored} points were stored before"


def test_what_is_in_flight_is_answered(start):
    server = start("--workers", "1")
    run = new_run(server)
    text = json.dumps(body(run, [("m", 1.0, 1, 1)])).encode()
    idle = Peer(server).ask("/health")
    assert idle.head()[0] == 200 and idle.exactly(2) == b"OK"
    half, head = Peer(server), Peer(server)
    head.socket.sendall(b"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: loc")
    half.socket.sendall(b"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost\r\n"
                        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                        % (len(text), text[:20]))
    wait_until(lambda: server.stat("sluice_received_bytes_total") > 0, 10, "bytes")
    wait_until(lambda: server.stat("sluice_open_connections") >= 3, 10, "open connections")
    terminate(server)
    assert idle.rest() == b"", "an idle connection is closed, not reset"
    with pytest.raises(OSError):
        Peer(server)
    half.socket.sendall(text[20:])
    status, fields = half.head()
    assert status == 200 and fields["connection"] == "close"
    assert half.rest().endswith(b"{}")
    head.socket.sendall(b"alhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                        % (len(text), text))
    assert head.head()[0] == 200
    head.close()
    ended(server)
    with psycopg.connect(server.pg_uri) as pg:
        assert pg.execute("SELECT count(*) FROM metrics").fetchone() == (1,)


def locked(server):
    """A connection that keeps the flushers out of metrics."""
    pg = psycopg.connect(server.pg_uri)
    pg.execute("LOCK TABLE metrics IN ACCESS EXCLUSIVE MODE")
    return pg


@pytest.mark.parametrize("is_hurried", [False, True], ids=["timeout", "second_signal"])
def test_what_does_not_fit_stays_in_the_journal(start, is_hurried):
    ledger = oracle.Ledger()
    server = start("--drain-timeout", "10m" if is_hurried else "1s")
    run = new_run(server)
    with locked(server):
        for step in range(5):
            log(server, ledger, run, step)
        begin = time.monotonic()
        terminate(server)
        if is_hurried:
            wait_until(lambda: not is_listening(server), 10, "nobody listens")
            assert server.process.poll() is None, "it waits for PostgreSQL"
            terminate(server)
        ended(server)
        assert is_hurried or time.monotonic() - begin > 0.9, "it did not wait for drain_timeout"
    with psycopg.connect(server.pg_uri) as pg:
        assert pg.execute("SELECT count(*) FROM metrics").fetchone() == (0,)
    server.args = []
    server.start()
    wait_until(lambda: server.stat("sluice_backlog_points") == 0, 30, "no backlog")
    with psycopg.connect(server.pg_uri) as pg:
        assert oracle.check(pg, ledger) == []


def is_listening(server):
    try:
        Peer(server).close()
        return True
    except OSError:
        return False


def test_what_fits_is_flushed(start):
    ledger = oracle.Ledger()
    server = start("--flush-interval", "60s")
    run = new_run(server)
    for step in range(20):
        log(server, ledger, run, step)
    terminate(server)
    ended(server)
    with psycopg.connect(server.pg_uri) as pg:
        assert oracle.check(pg, ledger) == []


def stock_like():
    """Retries as MLflow's client does, only sooner."""
    retry = Retry(total=7, connect=7, read=7, status=7, other=7, backoff_factor=0.1,
                  status_forcelist=[408, 429, 500, 502, 503, 504], allowed_methods=None,
                  respect_retry_after_header=True, raise_on_status=False)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    return session


def write_on_and_on(server, ledger, run, failures, until):
    session = stock_like()
    for step in range(1000000):
        if until.is_set():
            return
        try:
            log(server, ledger, run, step, session)
        except (AssertionError, requests.RequestException) as e:
            failures.append(repr(e))


@pytest.mark.parametrize("delay", ["0s", "300ms"])
def test_restarts_under_load_fail_no_request(start, delay):
    port = free_port()
    server = start("--listen", f"127.0.0.1:{port}", "--workers", "2", "--drain-delay", delay)
    ledgers = [oracle.Ledger() for _ in range(8)]
    runs = [new_run(server) for _ in ledgers]
    failures, until = [], threading.Event()
    threads = [threading.Thread(target=write_on_and_on,
                                args=(server, ledger, run, failures, until))
               for ledger, run in zip(ledgers, runs)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        before = sum(ledger.acked_count() for ledger in ledgers)
        wait_until(lambda b=before: sum(x.acked_count() for x in ledgers) > b + 100, 60, "acks")
        server.stop()
        server.start()
    until.set()
    for thread in threads:
        thread.join()
    assert failures == []
    whole = oracle.Ledger()
    for ledger in ledgers:
        whole.add(ledger)
    wait_until(lambda: server.stat("sluice_backlog_points") == 0, 30, "no backlog")
    with psycopg.connect(server.pg_uri) as pg:
        assert oracle.check(pg, whole) == []
