"""Peers that vanish without a word: no FIN, no RST, nothing is acknowledged any more.

The program runs in a network namespace, its clients in another, a veth pair between them. A
blackhole route swallows what the clients' kernel would answer, as a node without power does.
"""

import ctypes
import multiprocessing
import os
import subprocess
import sys
import time
import traceback
import uuid

import pytest
import requests

from server import Sluice, wait_until

CLONE_NEWNET = 0x40000000
SERVER, CLIENT = "10.111.0.1", "10.111.0.2"

# Runs among the clients: connects, says so, and reads on, a little at a time, until its input ends.
PEER = """
import select, socket, sys
host, port, count, ask = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4].encode()
peers = []
for _ in range(count):
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    peer.settimeout(30)
    peer.connect((host, port))
    if ask:
        peer.sendall(b"GET %s HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n" % ask)
        assert peer.recv(4096).startswith(b"HTTP/1.1 200")
    peers.append(peer)
print("ready", flush=True)
while not select.select([sys.stdin], [], [], 0.02)[0]:
    for peer in select.select(peers, [], [], 0)[0]:
        try:
            peer.recv(2048)
        except OSError:
            sys.exit()
"""


class Clients:
    """A namespace of their own, joined to this process's."""

    def __init__(self):
        self.keeper = subprocess.Popen(["unshare", "-n", "cat"], stdin=subprocess.PIPE)
        mine = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{self.keeper.pid}/ns/net") != mine, 10, "namespace")
        self.ip("link", "add", "va", "type", "veth", "peer", "name", "vb", "netns",
                str(self.keeper.pid))
        self.ip("addr", "add", SERVER + "/24", "dev", "va")
        self.ip("link", "set", "va", "up")
        self.ip("addr", "add", CLIENT + "/24", "dev", "vb", within=True)
        self.ip("link", "set", "vb", "up", within=True)

    def within(self, *command):
        return ["nsenter", "-t", str(self.keeper.pid), "-n", *command]

    def ip(self, *words, within=False):
        command = ["ip", *words]
        subprocess.run(self.within(*command) if within else command, check=True)

    def connect(self, server, count, path):
        port = server.url.rsplit(":", 1)[1]
        peer = subprocess.Popen(self.within(sys.executable, "-c", PEER, SERVER, port, str(count),
                                            path), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert peer.stdout.readline() == b"ready\n"
        return peer

    def vanish(self):
        self.ip("route", "add", "blackhole", SERVER + "/32", within=True)

    def close(self):
        self.keeper.stdin.close()
        self.keeper.wait(timeout=10)


def in_a_namespace(target, *args):
    """Runs target(*args) in a process with a network of its own; raises what it raises."""
    def work(out):
        try:
            assert ctypes.CDLL(None).unshare(CLONE_NEWNET) == 0
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            target(*args)
            out.send(None)
        except BaseException:
            out.send(traceback.format_exc())

    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(False)
    process = context.Process(target=work, args=(send,))
    process.start()
    why = receive.recv() if receive.poll(120) else "no verdict in 120 s"
    process.join(10)
    assert why is None, why


def gone(uri, folder, path, wanted, count):
    args = ["--listen", "0.0.0.0:0", "--workers", "1", "--peer-timeout", "3s", "--allowed-hosts",
            "*", "--idle-timeout", "1h", "--request-timeout", "1h", "--head-timeout", "1h"]
    clients = Clients()
    try:
        with Sluice(uri, data_dir=folder, args=args) as server:
            peer = clients.connect(server, count, path)
            wait_until(lambda: server.stat("sluice_open_connections") >= count, 10, "all are there")
            clients.vanish()
            begin = time.monotonic()
            wait_until(lambda: server.stat("sluice_open_connections") <= 1, 30, "nobody is left")
            print(f"{count} peers {wanted}: found gone after {time.monotonic() - begin:.1f} s")
            assert server.stat("sluice_parked_requests") == 0
            assert server.stat("sluice_held_bytes") == 0
            peer.stdin.close()
            peer.kill()
            peer.wait(timeout=10)
    finally:
        clients.close()


@pytest.mark.parametrize("path, wanted", [("", "that never asked"), ("/health", "between requests"),
                                          ("/long", "amid their answers")])
def test_peers_that_vanished_are_found(postgres, tmp_path, path, wanted):
    """peer_timeout alone: every other one is an hour."""
    uri = postgres.create_database("half_open_" + uuid.uuid4().hex[:8])
    count = 30
    if path == "/long":
        path = long_answer(uri, str(tmp_path / "first"))
        count = 2  # long answers at once, of one worker
    in_a_namespace(gone, uri, str(tmp_path / "data"), path, wanted, count)


def long_answer(uri, folder):
    """A path whose answer is longer than the buffers between server and client."""
    with Sluice(uri, data_dir=folder) as server:
        api = server.url + "/api/2.0/mlflow/"
        run = requests.post(api + "runs/create", json={"experiment_id": "0"},
                            timeout=30).json()["run"]["info"]["run_id"]
        for start in range(0, 100000, 1000):
            metrics = [{"key": "k", "value": i, "timestamp": i, "step": i}
                       for i in range(start, start + 1000)]
            assert requests.post(api + "runs/log-batch", timeout=60, json={
                "run_id": run, "metrics": metrics}).status_code == 200
        wait_until(lambda: server.stat("sluice_backlog_points") == 0, 60, "all are stored")
    return f"/api/2.0/mlflow/metrics/get-history?run_id={run}&metric_key=k"
