"""File descriptors and connections: as many as there are, and words for those beyond.

The limit of open files is lowered for one program, at its start or while it runs; the tests' own
stays. An answer beyond the limit is a 429 with Retry-After; the loop never spins.
"""

import json
import multiprocessing
import os
import re
import resource
import socket
import subprocess
import threading
import time

import pytest
import requests

from conftest import release
from peer import Peer, rss, worker_s
from server import Sluice, wait_until

MIB = 1 << 20
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"


def address(server):
    host, port = server.url.rsplit("/", 1)[1].split(":")
    return host, int(port)


def open_files(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def ask(peer):
    """(status, fields, body), or None when the connection ends without an answer."""
    try:
        peer.socket.sendall(HEALTH)
        status, fields = peer.head()
        return status, fields, peer.exactly(int(fields["content-length"]))
    except (OSError, AssertionError):
        return None


def is_refusal(answer):
    if answer is None:
        return False
    status, fields, body = answer
    return status == 429 and 1 <= int(fields["retry-after"]) <= 33 \
        and fields["connection"] == "close" \
        and json.loads(body)["error_code"] == "REQUEST_LIMIT_EXCEEDED"


def was_told(peer):
    peer.setblocking(False)
    try:
        return peer.recv(4096).startswith(b"HTTP/1.1 429 ")
    except OSError:
        return False


def one_run(server):
    answer = requests.post(server.url + "/api/2.0/mlflow/runs/create",
                           json={"experiment_id": "0"}, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()["run"]["info"]["run_id"]


def log_metric(session, server, run, step):
    return session.post(server.url + "/api/2.0/mlflow/runs/log-metric", timeout=30, json={
        "run_id": run, "key": "k", "value": 1.0, "timestamp": 1, "step": step}).status_code


def limited(database, tmp_path, soft, *args):
    """A server that may open so many files, and no more unless somebody lets it."""
    server = Sluice(database, data_dir=str(tmp_path / "data"), args=["--workers", "1", *args])
    command = server.command
    server.command = lambda: ["prlimit", f"--nofile={soft}:{soft}"] + command()
    return server


def test_the_limit_of_open_files_lowers_max_connections(database, tmp_path):
    """Clients beyond it are told so; the journal, PostgreSQL and those who are in go on."""
    with limited(database, tmp_path, 700) as server:
        run = one_run(server)
        session = requests.Session()
        assert log_metric(session, server, run, 0) == 200
        peers = [Peer(server) for _ in range(600)]
        answers = [ask(peer) for peer in peers]
        served = [p for p, a in zip(peers, answers) if a and a[0] == 200]
        refused = [a for a in answers if is_refusal(a)]
        print(f"700 open files: {len(served)} of 600 served, {len(refused)} refused in words")
        assert 330 < len(served) < 500
        assert len(refused) == 600 - len(served)
        assert open_files(server) < 600
        assert all(log_metric(session, server, run, i) == 200 for i in range(50))
        assert requests.get(server.admin_url + "/readyz", timeout=10).status_code == 200
        assert all(ask(peer)[0] == 200 for peer in served)
        for peer in peers:
            peer.close()
        wait_until(lambda: server.stat("sluice_open_connections") < 10, 10, "all are gone")
        assert ask(Peer(server))[0] == 200
        assert "fewer connections than max_connections" in server.output()


def test_open_files_run_out_while_it_runs(database, tmp_path):
    """Accepting pauses, nobody spins, those who are in are served, and all is well afterwards."""
    with Sluice(database, data_dir=str(tmp_path / "data"), args=["--workers", "1"],
                binary=release()) as server:
        run = one_run(server)
        session = requests.Session()
        assert log_metric(session, server, run, 0) == 200
        friends = [Peer(server) for _ in range(20)]
        assert all(ask(peer)[0] == 200 for peer in friends)
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE,
                         (open_files(server), hard))
        crowd = [socket.create_connection(address(server), timeout=30) for _ in range(400)]
        spent, begin = worker_s(server), time.monotonic()
        while time.monotonic() < begin + 3:
            assert all(ask(peer)[0] == 200 for peer in friends)
            assert log_metric(session, server, run, 1) == 200
            time.sleep(0.05)
        spent = worker_s(server) - spent
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
        print(f"3 s without a descriptor, 400 connections waiting: {spent:.2f} s of CPU")
        assert spent < 1
        assert server.stat("sluice_connections_refused_total") > 100
        assert sum(was_told(peer) for peer in crowd) > 100
        for peer in crowd:
            peer.close()
        wait_until(lambda: ask(Peer(server)) is not None, 10, "new connections are served again")


def test_max_connections_in_words(database, tmp_path):
    """The peer that came too late reads why; probes on the other port get through."""
    with Sluice(database, data_dir=str(tmp_path / "data"),
                args=["--workers", "2", "--max-connections", "50"]) as server:
        wait_until(lambda: server.stat("sluice_open_connections") <= 1, 10, "nobody is there")
        peers = [Peer(server) for _ in range(49)]
        assert all(ask(peer)[0] == 200 for peer in peers)
        late = [Peer(server) for _ in range(150)]
        answers = [ask(peer) for peer in late]
        assert sum(map(is_refusal, answers)) >= 148, answers[-1]
        assert all(ask(peer)[0] == 200 for peer in peers)
        assert server.stat("sluice_open_connections") <= 51
        assert server.stat("sluice_connections_refused_total") >= 148
        for peer in peers + late:
            peer.close()
        wait_until(lambda: (ask(Peer(server)) or [0])[0] == 200, 10, "room again")


def test_refusals_leave_descriptors_to_others(database, tmp_path):
    """Peers that do not read their refusal are within what the server asks for at its start."""
    settings = ["--workers", "8", "--max-connections", "50"]
    with Sluice(database, data_dir=str(tmp_path / "data"), args=settings) as server:
        said = subprocess.run([server.binary, "doctor", "--json", "--pg-uri", database,
                               "--data-dir", server.data_dir, *settings], timeout=60,
                              capture_output=True, text=True, check=False).stdout
        files = int(re.search(r"descriptors allowed, (\d+) wanted", said)[1])
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (files, files))
        crowd = [socket.create_connection(address(server), timeout=30) for _ in range(1000)]
        wait_until(lambda: server.stat("sluice_connections_refused_total") >= 900, 30, "refused")
        assert "out of file descriptors" not in server.output()
        for peer in crowd:
            peer.close()


def test_the_client_of_mlflow_waits_and_comes_back(database, tmp_path):
    """Retry-After is honoured: a call that met max_connections succeeds when there is room."""
    import mlflow

    with Sluice(database, data_dir=str(tmp_path / "data"),
                args=["--workers", "1", "--max-connections", "10"]) as server:
        wait_until(lambda: server.stat("sluice_open_connections") <= 1, 10, "nobody is there")
        peers = [Peer(server) for _ in range(12)]
        refused = [peer for peer in peers if is_refusal(ask(peer))]
        assert refused
        threading.Timer(1.5, lambda: [peer.close() for peer in peers]).start()
        assert mlflow.MlflowClient(server.url).search_experiments()[0].name == "Default"
        assert server.stat("sluice_connections_refused_total") > len(refused)


def burst(where, count, barrier, results):
    peers = []
    barrier.wait()
    for _ in range(count):
        peer = socket.socket()
        peer.setblocking(False)
        peer.connect_ex(where)
        peers.append(peer)
    served = 0
    for peer in peers:
        peer.settimeout(30)
        peer.sendall(HEALTH)
    for peer in peers:
        served += peer.recv(4096).startswith(b"HTTP/1.1 200")
    results.put(served)


def test_a_burst_of_connections(database, tmp_path):
    """3000 at once: every one is served."""
    with Sluice(database, data_dir=str(tmp_path / "data"), args=["--workers", "2"]) as server:
        barrier, results = multiprocessing.Barrier(3), multiprocessing.Queue()
        clients = [multiprocessing.Process(target=burst, args=(address(server), 1000, barrier,
                                                               results), daemon=True)
                   for _ in range(3)]
        for client in clients:
            client.start()
        served = sum(results.get(timeout=60) for _ in clients)
        for client in clients:
            client.join()
        assert served == 3000


def crowd(where, count, runs, orders, results):
    """A process full of jobs: each connects and is answered, then does as told until `end`."""
    jobs = []
    while len(jobs) < count:
        new = [socket.create_connection(where, timeout=120)
               for _ in range(min(250, count - len(jobs)))]
        for job in new:
            job.sendall(HEALTH)
        jobs += [job for job in new if job.recv(4096).startswith(b"HTTP/1.1 200")]
    results.put(len(jobs))
    for round_, order in enumerate(iter(orders.get, "end")):
        assert order == "log"
        for i, job in enumerate(jobs):
            body = json.dumps({"run_id": runs[i % len(runs)], "key": f"k{os.getpid()}", "value": 1,
                               "timestamp": i, "step": round_}).encode()
            job.sendall(b"POST /api/2.0/mlflow/runs/log-metric HTTP/1.1\r\nHost: localhost\r\n"
                        b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                        % len(body) + body)
        results.put(sum(job.recv(4096).startswith(b"HTTP/1.1 200") for job in jobs))
    results.put(0)


@pytest.mark.parametrize("wanted", [10000, 20000])
def test_jobs_that_are_connected(database, tmp_path, wanted):
    """As many as the machine's limit of open files allows: memory while idle, and while all log."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = min(wanted, hard - 500)  # one descriptor each, in one program
    with Sluice(database, data_dir=str(tmp_path / "data"), binary=release(),
                args=["--workers", "2", "--max-connections", str(wanted + 50),
                      "--idle-timeout", "1h", "--artifact-transfers", "1"]) as server:
        runs = [one_run(server) for _ in range(10)]
        empty = rss(server)
        orders = [multiprocessing.Queue() for _ in range(4)]
        results = multiprocessing.Queue()
        jobs = [multiprocessing.Process(target=crowd, args=(address(server), wanted // 4, runs,
                                                            order, results), daemon=True)
                for order in orders]
        for job in jobs:
            job.start()
        connected = sum(results.get(timeout=240) for _ in jobs)
        assert connected == wanted // 4 * 4
        assert server.stat("sluice_open_connections") >= connected, server.tail()
        idle = rss(server)
        spent = worker_s(server)
        time.sleep(1)
        spent = worker_s(server) - spent
        for order in orders:
            order.put("log")
        logged = sum(results.get(timeout=120) for _ in jobs)
        busy = rss(server)
        for order in orders:
            order.put("end")
        for job in jobs:
            job.join()
        print(f"{connected} connected: {idle / MIB:.1f} MiB idle ({(idle - empty) / connected:.0f} B "
              f"each, {spent * 100:.0f} % of a CPU), {logged} logged at once: {busy / MIB:.1f} MiB")
        assert logged == connected
        assert idle - empty < connected * 1500
        assert busy < 256 * MIB
        assert spent < 0.3
