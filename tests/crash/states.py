#!/usr/bin/env python3
"""Power loss, state by state: whatever a disk may look like after it, acked is there exactly once.

    python tests/crash/states.py [--states 500] [--seed N] [--keep DIR] [--only SCENARIO]

Each scenario runs the program under load on a real PostgreSQL with the recorder in front of libc
(record.c): every system call of the journal, and every answer to a client, in one order. Three lives
on one directory: one ends by kill -9, one by SIGTERM, one by kill -9. Then build/crash/states (states.c,
disk.c) cuts the power behind chosen operations, rebuilds what the disk may hold then, and lets the real
recovery open it.

  whole         so many states (--states), none of them may be bad
  skip_fsync    the same with fdatasync left out on purpose: a bad state must be found
  skip_dir_sync with the directory's fsync left out
  ack_early     with the answer before the write and the sync

Recordings differ from run to run, as threads do; what is made of one follows from the seed. A recording
in which a bad state was found stays in --keep (or build/crash/failed) with the command that shows it
again. Last line: `N passed, N failed`.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))
sys.path.insert(0, HERE)

from cluster import Cluster  # noqa: E402
from load import Client, Load  # noqa: E402
from run import Scene, Suite, wait_until  # noqa: E402

STATES = os.path.join(ROOT, "build/crash/states")
RECORDER = os.path.join(ROOT, "build/crash/record.so")


class NumberedClient(Client):
    """Its n-th request on a connection has an id from which all its points follow."""

    def __init__(self, load, number):
        super().__init__(load, number)
        self.lines = []  # (life, port, [(id, points), ...])
        self.id = (None, 0)

    def request(self):
        run = self.random.choice(self.load.runs)
        count = 1 if self.random.random() < 0.5 else self.random.randint(2, 200)
        with self.load.lock:
            self.load.ids += 1
            number = self.load.ids
        self.id = (number, count)
        metrics = ", ".join(
            f'{{"key": "loss", "value": {number / 8 + i}, "timestamp": {1700000000000 + i}, '
            f'"step": {number}}}' for i in range(count))
        body = f'{{"run_id": "{run}", "metrics": [{metrics}]}}'.encode()
        head = (f"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: {self.load.host}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
        return run, [("loss", number / 8 + i, 1700000000000 + i, number)
                     for i in range(count)], head.encode() + body

    def exchange(self, data):
        if self.socket is None:
            self.connect()
            self.lines.append((self.load.life, self.socket.getsockname()[1], []))
        self.lines[-1][2].append(self.id)
        return super().exchange(data)


class NumberedLoad(Load):
    def __init__(self, url, runs, seed, life, ids, clients=8):
        super().__init__(url, runs, seed, clients=0)
        self.life = life
        self.ids = ids
        self.clients = [NumberedClient(self, i) for i in range(clients)]


class Recording:
    """The traces of three lives, and what the clients sent."""

    def __init__(self, suite, name, env, lives=3, seconds=1.2):
        self.folder = tempfile.mkdtemp(prefix="states-")
        self.name = name
        self.seconds = seconds
        self.lines = []
        self.traces = [os.path.join(self.folder, f"trace.{i}") for i in range(lives)]
        self.ids = self.acks = 0
        with Scene(suite, "states_" + name, start=False) as scene:
            for life in range(lives):
                self.live(scene, life, env, gently=life == 1)

    def live(self, scene, life, env, gently):
        scene.server.env = {**env, "LD_PRELOAD": RECORDER, "CRASH_TRACE": self.traces[life]}
        scene.server.start()
        load = NumberedLoad(scene.server.url, scene.new_runs(), f"{scene.suite.seed}/{life}", life,
                            self.ids).start()
        wait_until(lambda: load.acks > 200, 30, "acks")
        time.sleep(scene.random.uniform(self.seconds * 0.7, self.seconds))
        if gently:
            scene.server.stop()
        else:
            scene.server.kill()
        load.stop()
        self.ids = load.ids
        self.acks += load.acks
        self.lines += [line for client in load.clients for line in client.lines]

    def ledger(self):
        path = os.path.join(self.folder, "ledger")
        with open(path, "w", encoding="ascii") as f:
            for life, port, ids in self.lines:
                f.write(f"{life} {port} " + " ".join(f"{i}:{n}" for i, n in ids) + "\n")
        return path

    def command(self, states, seed):
        return [STATES, "--states", str(states), "--seed", str(seed), self.ledger(), *self.traces]

    def judge(self, states, seed):
        """(is good, the output); a bad recording of a sound program is kept by the caller."""
        result = subprocess.run(self.command(states, seed), capture_output=True, text=True,
                                timeout=7200, check=False)
        if result.returncode not in (0, 1):
            raise AssertionError(f"states: exit code {result.returncode}\n{result.stdout}"
                                 f"{result.stderr}")
        return result.returncode == 0, result.stdout

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def judge_and_keep(recording, states, seed, keep):
    """What the last line says; a recording with a bad state is kept."""
    try:
        is_good, output = recording.judge(states, seed)
        if not is_good:
            kept = os.path.join(keep, recording.name)
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(recording.folder, kept)
            raise AssertionError(f"{output}kept in {kept}; again: {STATES} --states {states} "
                                 f"--seed {seed} {kept}/ledger {kept}/trace.*")
        return output.strip().splitlines()[-1]
    finally:
        recording.remove()


def whole(suite, options):
    """Nothing acked is lost or doubled, and every start succeeds."""
    # A long run takes its states from several recordings, and looks at two at a time.
    parts = max(1, options.states // 2500)
    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(judge_and_keep, Recording(suite, f"whole{part}", {}),
                            options.states // parts, suite.seed + part, options.keep)
                for part in range(parts)]
    return "\n        ".join(job.result() for job in jobs)


def caught(suite, options, name, switch):
    """A promise broken on purpose must show."""
    recording = Recording(suite, name, {switch: "1"}, lives=2, seconds=0.8)
    is_good, output = recording.judge(min(options.states, 500), suite.seed)
    recording.remove()
    assert not is_good, f"{switch} and no bad state:\n{output}"
    return "caught: " + output.splitlines()[0]


def skip_fsync(suite, options):
    return caught(suite, options, "skip_fsync", "SLUICE_TEST_SKIP_FSYNC")


def skip_dir_sync(suite, options):
    return caught(suite, options, "skip_dir_sync", "SLUICE_TEST_SKIP_DIR_SYNC")


def ack_early(suite, options):
    return caught(suite, options, "ack_early", "SLUICE_TEST_ACK_EARLY")


SCENARIOS = [whole, skip_fsync, skip_dir_sync, ack_early]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build/sluice"))
    parser.add_argument("--states", type=int, default=500)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--keep", default=os.path.join(ROOT, "build/crash/failed"))
    parser.add_argument("--only", action="append", choices=[s.__name__ for s in SCENARIOS])
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    suite = Suite(options.binary, 0, seed)
    print(f"seed {seed}", flush=True)
    try:
        with Cluster() as suite.cluster:
            for scenario in SCENARIOS:
                if options.only and scenario.__name__ not in options.only:
                    continue
                begin = time.monotonic()
                try:
                    suite.line(True, f"{scenario.__name__}: {scenario(suite, options)}", begin)
                except Exception:  # one failure, and the next scenario runs
                    traceback.print_exc(file=sys.stdout)
                    suite.line(False, scenario.__name__, begin)
    finally:
        shutil.rmtree(suite.folder, ignore_errors=True)
    print(f"{suite.passed} passed, {suite.failed} failed")
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
