"""A memory limit, and memory that runs out: shed before that, and nothing acked is lost after it.

The program alone is in a control group with a limit (version 1 or 2, whichever the machine has); the
client's load, of which a ledger is kept, and peers that hold all they can get press on it together.
Afterwards the oracle compares PostgreSQL with the ledger.
"""

import json
import os
import resource
import shutil
import signal
import socket
import sys
import time
import uuid

import psycopg
import pytest
import requests

from conftest import HERE, release
from peer import Peer, rss
from server import Sluice, wait_until

sys.path.insert(0, os.path.join(HERE, "..", "crash"))
import oracle  # noqa: E402
from load import Load  # noqa: E402

MIB = 1 << 20
# What may be configured away: the ring and the bodies. The rest is the program itself.
SMALL = ["--workers", "2", "--ring-bytes", "4MiB", "--body-memory-bytes", "16MiB",
         "--max-body-bytes", "4MiB", "--journal-segment-bytes", "1MiB",
         "--journal-max-bytes", "64MiB"]


class Group:
    """A control group with a memory limit."""

    def __init__(self, limit_bytes):
        self.is_v1 = os.path.isdir("/sys/fs/cgroup/memory")
        self.path = f"/sys/fs/cgroup/{'memory/' if self.is_v1 else ''}sluice-{uuid.uuid4().hex[:8]}"
        try:
            os.mkdir(self.path)
            self.write("memory.limit_in_bytes" if self.is_v1 else "memory.max", limit_bytes)
        except OSError as e:
            pytest.skip(f"no control group for memory here: {e}")

    def write(self, name, value):
        with open(os.path.join(self.path, name), "w", encoding="ascii") as f:
            f.write(str(value))

    def read(self, name):
        with open(os.path.join(self.path, name), encoding="ascii") as f:
            return f.read()

    def kills(self):
        name = "memory.oom_control" if self.is_v1 else "memory.events"
        return int(dict(line.split() for line in self.read(name).splitlines())["oom_kill"])

    def run(self, command):
        return ["sh", "-c", f'echo $$ >{self.path}/cgroup.procs; exec "$@"', "sh", *command]

    def close(self):
        wait_until(self.remove, 20, "the group is empty")

    def remove(self):
        try:
            os.rmdir(self.path)
            return True
        except OSError:
            return False


@pytest.fixture
def group():
    made = []

    def make(limit_bytes):
        made.append(Group(limit_bytes))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def place(postgres, tmp_path):
    """(database, data directory) of a test's own."""
    name = "memory_" + uuid.uuid4().hex[:8]
    yield postgres.create_database(name), str(tmp_path / "data")
    postgres.drop_database(name)


def new_runs(server, count):
    return [requests.post(server.url + "/api/2.0/mlflow/runs/create", timeout=30,
                          json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
            for _ in range(count)]


def sound(uri, server, ledger, least):
    assert ledger.acked_count() >= least, f"only {ledger.acked_count()} points were acked"
    wait_until(lambda: server.stat("sluice_backlog_points") == 0, 60, "no backlog")
    with psycopg.connect(uri) as pg:
        problems = oracle.check(pg, ledger)
    assert not problems, "\n".join(problems)


class Pressure:
    """Peers that each hold as much as they are given: requests of several kinds, none finished."""

    def __init__(self, server, run):
        self.server = server
        params = [{"key": f"p{uuid.uuid4().hex}", "value": "v" * 5900} for _ in range(100)]
        self.waiting = self.post({"run_id": run, "params": params})  # 600 kB; waits for a lock
        self.unfinished = self.head(3 * MIB) + b" " * (2 * MIB)
        self.values = self.post({"run_id": run, "x": [1] * 60000})
        self.peers = []

    def head(self, length):
        return (b"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % length)

    def post(self, body):
        text = json.dumps(body).encode()
        return self.head(len(text)) + text

    def push(self, count):
        """So many more peers of each kind; what they do not get rid of they keep."""
        readers = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200
        for data in (self.waiting, self.unfinished, self.values, readers) * count:
            peer = Peer(self.server)
            peer.socket.settimeout(2)
            try:
                peer.socket.sendall(data)
            except (OSError, socket.timeout):
                pass  # refused, or not read
            self.peers.append(peer)

    def close(self):
        for peer in self.peers:
            peer.close()


def test_a_tight_limit_is_never_met(group, place):
    """64 MiB and what is configured: everything beyond is refused in words, the process lives."""
    uri, folder = place
    tight = group((64 + 4 + 16) * MIB)
    server = Sluice(uri, data_dir=folder, args=SMALL, binary=release())
    plain = server.command
    server.command = lambda: tight.run(plain())
    with server:
        load = Load(server.url, new_runs(server, 8), "memory").start()
        pressed, = new_runs(server, 1)
        pressure = Pressure(server, pressed)
        most = 0
        with psycopg.connect(uri) as pg:
            pg.execute("LOCK TABLE params IN ACCESS EXCLUSIVE MODE")
            for _ in range(12):
                pressure.push(6)
                most = max(most, rss(server))
                assert server.stat("sluice_held_bytes") <= 24 * MIB
            pg.rollback()
        acks = load.acks
        pressure.close()
        wait_until(lambda: load.acks > acks + 100, 30, "writes are acked again")
        ledger = load.stop()
        wait_until(lambda: server.stat("sluice_held_bytes") == 0, 30, "all is given back")
        assert tight.kills() == 0
        busy = server.stat("sluice_refused_busy_total")
        print(f"limit {(64 + 4 + 16)} MiB: {most / MIB:.1f} MiB resident at most, {busy:.0f} refused, "
              f"{ledger.acked_count()} points acked under pressure")
        assert busy > 20
        assert load.statuses[500] == 0, load.statuses
        sound(uri, server, ledger, 1000)


def dies(server, load, press, how):
    """Presses until the program is gone; the ledger of the load."""
    wait_until(lambda: load.acks > 200, 30, "acks")
    until = time.monotonic() + 60
    while server.process.poll() is None and time.monotonic() < until:
        press()
    wait_until(lambda: server.process.poll() is not None, 10, "memory runs out")
    assert server.process.returncode in how, server.tail()
    return load.stop()


def test_killed_for_its_memory(group, place):
    """A limit below what it needs: the kernel kills it, and what was acked is there afterwards."""
    uri, folder = place
    server = Sluice(uri, data_dir=folder, args=SMALL, binary=release())
    plain = server.command
    with server:
        need = rss(server)
        server.stop()
        deadly = group(need + 6 * MIB)
        server.command = lambda: deadly.run(plain())
        server.start()
        load = Load(server.url, new_runs(server, 8), "oom").start()
        pressure = Pressure(server, new_runs(server, 1)[0])

        def press():
            try:
                pressure.push(2)
            except OSError:
                pass  # it is gone

        ledger = dies(server, load, press, {-signal.SIGKILL})
        assert deadly.kills() > 0
        pressure.close()
        server.command = plain
        server.start()
        sound(uri, server, ledger, 100)
        print(f"killed at {need / MIB:.1f} + 6 MiB: {ledger.acked_count()} acked points are there")


def test_malloc_fails(place):
    """No address space is left: it aborts at once, and what was acked is there afterwards."""
    uri, folder = place
    with Sluice(uri, data_dir=folder, args=SMALL, binary=release()) as server:
        load = Load(server.url, new_runs(server, 8), "malloc").start()
        pressure = Pressure(server, new_runs(server, 1)[0])
        wait_until(lambda: load.acks > 200, 30, "acks")
        with open(f"/proc/{server.process.pid}/status", encoding="ascii") as f:
            size = next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmSize"))
        resource.prlimit(server.process.pid, resource.RLIMIT_AS, (size + MIB, size + MIB))

        def press():
            try:
                pressure.push(2)
            except OSError:
                pass  # it is gone

        # Its checks abort; jemalloc may be the first to need memory, and falls over its own feet
        # (arena_choose_huge of 5.3 takes an arena that could not be made for one that is there).
        ledger = dies(server, load, press, {-signal.SIGABRT, -signal.SIGSEGV})
        pressure.close()
        server.start()
        sound(uri, server, ledger, 100)
        print(f"aborted without memory: {ledger.acked_count()} acked points are there")
