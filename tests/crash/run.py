#!/usr/bin/env python3
"""The crash suite: whatever dies, acked is stored exactly once.

    python tests/crash/run.py [BINARY] [--kills 20] [--seed N] [--only NAME] [--private]

Each scenario loads the program over HTTP from several connections, breaks something, starts the
program again, waits until nothing is queued, and asks the oracle (tests/tools/oracle.py).

  kills        kill -9 at random moments, some of them while it starts again
  points       the program kills itself at each named place of the write and flush path
  power        kill -9 on a disk that forgets what was not synced and tears what was not
               (shim.c): what kill -9 alone can never show
  syscalls     strace kills it at a system call: the n-th fdatasync, write, rename, send to
               PostgreSQL, ...
  eio, enospc  the journal's disk fails for a while under load: 503, recovery by itself
  small_disk   a disk that is really full (tmpfs), at the start and under load
  slow         fdatasync takes two seconds: acks wait, everything else does not
  bits         writes are short and interrupted: nobody notices
  budget       PostgreSQL takes nothing, journal_max_bytes is reached: 429, reads go on
  postgres     PostgreSQL dies while the journal fills, then the program does
  private      the same kills with the private cluster
  drain        SIGTERM under load; a second owner of the directory
  caught       the suite itself: with a promise broken on purpose (fdatasync skipped, position
               committed before the rows) the oracle must find lost points

Needs psycopg and a C compiler. Prints the seed, which --seed takes back. Last line: `N passed, N
failed`, one for each line above it.
"""

import argparse
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))

import psycopg  # noqa: E402
import requests  # noqa: E402

import oracle  # noqa: E402
from cluster import Cluster  # noqa: E402
from load import Load  # noqa: E402
from server import Sluice, clean_environment, wait_until  # noqa: E402

# Segments as small as can be, so that they begin, end and are removed under the load. A window
# that closes when it is full or late: many points wait in the journal at any moment.
ARGS = ["--journal-segment-bytes", "1MiB", "--journal-max-bytes", "256MiB", "--ring-bytes", "2MiB",
        "--flush-interval", "300ms", "--flush-rows", "5000", "--run-cache-ttl", "300s",
        "--workers", "2", "--flushers", "2"]

# Points of finished rounds that are checked once more at the end of a scenario.
LEDGER_MOST = 1000000

# Place, passes to choose from. The first segment is made before the load begins.
PLACES = [("journal_before_write", (5, 200)), ("journal_before_sync", (5, 200)),
          ("journal_after_sync", (5, 200)), ("segment_after_create", (2, 4)),
          ("segment_before_remove", (1, 3)), ("flush_before_copy", (1, 6)),
          ("flush_before_commit", (1, 6)), ("flush_after_commit", (1, 6))]


class Scene:
    """One program on one database, with as many lives as the scenario takes."""

    def __init__(self, suite, name, env=None, args=(), private=False, start=True):
        self.suite = suite
        self.random = random.Random(f"{suite.seed}/{name}")
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="crash-")
        self.ledger = oracle.Ledger()
        self.rounds = 0
        self.acked = 0
        self.starts = start
        uri = None if private else suite.cluster.create_database("crash_" + name)
        self.server = Sluice(uri, data_dir=os.path.join(self.folder, "data"),
                             args=ARGS + list(args), env=env, binary=suite.binary)

    def __enter__(self):
        try:
            if self.starts:
                self.server.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *unused):
        try:
            if kind and self.server.process:
                print(self.server.tail())
                if self.server.process.poll() is None:
                    self.server.kill()
                self.stop_orphan()
            self.server.__exit__(kind, *unused)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def stop_orphan(self):
        """The private cluster outlives a killed program."""
        for path in glob.glob(f"{self.server.data_dir}/**/postmaster.pid", recursive=True):
            with open(path, encoding="ascii") as f:
                os.kill(int(f.readline()), signal.SIGQUIT)

    def new_runs(self, count=8):
        runs = []
        for _ in range(count):
            answer = requests.post(self.server.url + "/api/2.0/mlflow/runs/create",
                                   json={"experiment_id": "0"}, timeout=30)
            assert answer.status_code == 200, answer.text
            runs.append(answer.json()["run"]["info"]["run_id"])
        return runs

    def begin(self, **how):
        """Starts the load on fresh runs, and returns when answers come."""
        self.rounds += 1
        load = Load(self.server.url, self.new_runs(), f"{self.suite.seed}/{self.name}/"
                    f"{self.rounds}", **how).start()
        return load

    def end(self, load):
        ledger = load.stop()
        if self.ledger.acked_count() < LEDGER_MOST:
            self.ledger.add(ledger)
        self.acked += ledger.acked_count()
        return ledger

    def died(self, limit_s=20):
        """Waits until the program has killed itself."""
        wait_until(lambda: self.server.process.poll() is not None, limit_s, "the program dies")
        assert self.server.process.returncode == -signal.SIGKILL, self.server.tail()

    def again(self, env=None, args=()):
        if env is not None:
            self.server.env = env
        self.server.args = ARGS + list(args)
        begin = time.monotonic()
        self.server.start()
        return time.monotonic() - begin

    def stumble(self):
        """Starts it and kills it before it is ready, or hardly so."""
        self.server.spawn(self.server.command(), clean_environment(self.server.env))
        time.sleep(self.random.uniform(0, 0.08))
        self.server.kill()

    def uri(self):
        if self.server.pg_uri:
            return self.server.pg_uri
        return subprocess.run([self.suite.binary, "pg-uri", "--data-dir", self.server.data_dir],
                              check=True, capture_output=True, text=True).stdout.strip()

    def problems(self, ledger):
        """Waits until all is flushed, then what the oracle says of these points."""
        wait_until(lambda: self.server.stat("sluice_backlog_points") == 0, 60, "no backlog")
        with psycopg.connect(self.uri()) as pg:
            return oracle.check(pg, ledger)

    def sound(self, ledger, least=1):
        assert ledger.acked_count() >= least, f"only {ledger.acked_count()} points were acked"
        problems = self.problems(ledger)
        assert not problems, "\n".join(problems)
        assert self.server.stat("sluice_deadletter_points_total") == 0, "dead letters"


class Suite:
    def __init__(self, binary, kills, seed):
        self.binary = os.path.abspath(binary)
        self.kills = kills
        self.seed = seed
        self.passed = 0
        self.failed = 0
        self.cluster = None
        self.folder = tempfile.mkdtemp(prefix="crash-suite-")
        self.shim = os.path.join(self.folder, "shim.so")

    def line(self, is_good, what, begin):
        self.passed += is_good
        self.failed += not is_good
        print(f"{'ok  ' if is_good else 'FAIL'} {time.monotonic() - begin:6.1f} s  {what}",
              flush=True)

    def attempt(self, scenario):
        begin = time.monotonic()
        try:
            what = scenario(self)
            self.line(True, f"{scenario.__name__}: {what}", begin)
        except Exception:  # whatever goes wrong is one failure, and the next scenario runs
            traceback.print_exc(file=sys.stdout)
            self.line(False, scenario.__name__, begin)

    def build_shim(self):
        if not os.path.exists(self.shim):
            subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", self.shim,
                            os.path.join(HERE, "shim.c"), "-ldl", "-pthread"], check=True)
        return self.shim

    def shim_env(self, **more):
        libraries = subprocess.run(["ldd", self.binary], capture_output=True, text=True,
                                   check=True).stdout
        asan = re.search(r"libasan\S* => (\S+)", libraries)  # which insists on coming first
        return {"LD_PRELOAD": " ".join(([asan[1]] if asan else []) + [self.build_shim()]), **more}


def kill_rounds(scene, kills):
    """Loads, kills at a random moment, starts again, checks; each time with new runs."""
    slowest = stumbles = 0
    for _ in range(kills):
        load = scene.begin()
        wait_until(lambda: load.acks > 0, 30, "the first ack")
        time.sleep(scene.random.uniform(0.05, 1.2))
        scene.server.kill()
        ledger = scene.end(load)
        while scene.random.random() < 0.3:
            scene.stumble()
            stumbles += 1
        slowest = max(slowest, scene.again())
        scene.sound(ledger)
    assert not scene.problems(scene.ledger), "all rounds together"
    return (f"{kills} kills under load and {stumbles} at start, {scene.acked} points acked, "
            f"slowest start {slowest:.2f} s")


def kills(suite):
    """Nothing acked is lost or doubled, however often kill -9 comes."""
    with Scene(suite, "kills") as scene:
        return kill_rounds(scene, suite.kills)


def points(suite):
    """The same at each named place."""
    with Scene(suite, "points") as scene:
        for place, passes in PLACES:
            nth = scene.random.randint(*passes)
            scene.server.stop()
            scene.again({"SLUICE_TEST_KILL_AT": f"{place}:{nth}"})
            load = scene.begin(batch_share=0.9, batch_points=1000)
            scene.died(60)
            ledger = scene.end(load)
            scene.again({})
            scene.sound(ledger, least=0)
        assert not scene.problems(scene.ledger), "all places together"
        return f"{len(PLACES)} places, {scene.acked} points acked"


def power(suite):
    """What was not synced is gone or torn after the kill, and none of it was acked."""
    with Scene(suite, "power", env=suite.shim_env(CRASH_SHIM_TEAR="3")) as scene:
        return kill_rounds(scene, suite.kills)


# What strace may kill it at, with the passes to choose from.
SYSCALLS = [("fdatasync", (3, 150)), ("pwritev", (3, 150)), ("renameat", (2, 4)), ("fsync", (4, 9)),
            ("fallocate", (2, 4)), ("sendto", (5, 60)), ("sendmsg", (20, 400)),
            ("unlinkat", (1, 4)), ("recvfrom", (5, 60))]


def syscalls(suite):
    """The same at system calls that strace counts."""
    args = ["--flush-interval", "100ms"]
    with Scene(suite, "syscalls", args=args, start=False) as scene:
        # Every call stops twice under strace, so that each of these takes a while.
        chosen = scene.random.sample(SYSCALLS, min(len(SYSCALLS), max(3, suite.kills // 4)))
        for name, passes in chosen:
            nth = scene.random.randint(*passes)
            scene.server.wrapper = [
                "strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}",
                "-e", f"inject={name}:signal=SIGKILL:when={nth}"]
            ledger = None
            try:
                scene.server.start()
                load = scene.begin(batch_share=0.9, batch_points=300)
                scene.died(60)
                ledger = scene.end(load)
            except (AssertionError, requests.RequestException):
                # It may have come to its end before it was ready, or before there were runs.
                if ledger or scene.server.process.wait(timeout=60) != -signal.SIGKILL:
                    raise
            scene.server.wrapper = []
            scene.again({}, args)
            if ledger:
                scene.sound(ledger, least=0)
            scene.server.stop()
        scene.again({}, args)
        assert not scene.problems(scene.ledger), "all calls together"
        return f"{', '.join(name for name, _ in chosen)}: {scene.acked} points acked"


def failing_disk(suite, what, readable):
    control = os.path.join(suite.folder, what)
    env = suite.shim_env(CRASH_SHIM_CONTROL=control)
    with Scene(suite, what, env=env) as scene:
        load = scene.begin()
        wait_until(lambda: load.acks > 100, 30, "acks before the fault")
        with open(control, "w", encoding="ascii") as f:
            f.write(what)
        wait_until(lambda: requests.get(scene.server.admin_url + "/readyz",
                                        timeout=5).status_code == 503, 30, "not ready")
        assert scene.server.stat("sluice_journal_failures_total") > 0
        answer = requests.get(scene.server.url + "/api/2.0/mlflow/runs/get", timeout=10,
                              params={"run_id": load.runs[0]})
        assert answer.status_code == 200, f"a read during the fault: {answer.text}"
        time.sleep(scene.random.uniform(0.2, 1))
        os.unlink(control)
        acks = load.acks
        wait_until(lambda: load.acks > acks + 100, 30, "acks after the fault, by itself")
        wait_until(lambda: requests.get(scene.server.admin_url + "/readyz",
                                        timeout=5).status_code == 200, 30, "ready again")
        scene.server.kill()
        ledger = scene.end(load)
        refused = load.statuses[503]
        assert refused > 0, load.statuses
        assert load.statuses[500] == 0, load.statuses
        scene.again()
        scene.sound(ledger, least=200)
        return f"{readable}: {refused} writes refused, {ledger.acked_count()} points acked"


def eio(suite):
    """fdatasync fails and forgets: waiters get 503, nothing is retried on that file."""
    return failing_disk(suite, "eio", "fdatasync fails")


def enospc(suite):
    """The disk is full: the same."""
    return failing_disk(suite, "enospc", "disk full")


class Health(threading.Thread):
    """Asks /health all the time; remembers how long the answers took."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url = url
        self.took = []
        self.is_over = threading.Event()
        self.start()

    def run(self):
        with requests.Session() as session:
            while not self.is_over.wait(0.01):
                begin = time.monotonic()
                assert session.get(self.url + "/health", timeout=30).text == "OK"
                self.took.append(time.monotonic() - begin)

    def stop(self):
        self.is_over.set()
        self.join()
        return sorted(self.took)


def say(path, text):
    """What the shim reads, whole or not at all."""
    with open(path + ".new", "w", encoding="ascii") as f:
        f.write(text)
    os.rename(path + ".new", path)


def slow(suite):
    """fdatasync takes 2 s more: only acks are slow, and each sync is for everybody who waits."""
    control = os.path.join(suite.folder, "slow")
    with Scene(suite, "slow", env=suite.shim_env(CRASH_SHIM_CONTROL=control)) as scene:
        load = scene.begin(clients=32)
        wait_until(lambda: load.acks > 300, 30, "acks before")

        def counts():
            return load.acks, scene.server.stat("sluice_journal_syncs_total")

        def group(before):
            after = counts()
            return (after[0] - before[0]) / max(1, after[1] - before[1])

        before = counts()
        wait_until(lambda: load.acks > before[0] + 300, 30, "acks")
        quick = group(before)
        say(control, "slow")
        # From here on every sync that begins is slow.
        syncs = counts()[1]
        wait_until(lambda: counts()[1] > syncs + 1, 30, "slow syncs")
        before = counts()
        health = Health(scene.server.url)
        wait_until(lambda: counts()[1] > before[1] + 3, 60, "more slow syncs")
        took = health.stop()
        grown = group(before)
        assert load.statuses_so_far(500, 503, 429) == 0, "slow is no failure"
        # The loop is alive: no answer waited for a sync, and there were many during each.
        assert took[-1] < 1.5 and len(took) > 60, f"{len(took)} answers, slowest {took[-1]:.3f} s"
        assert grown > quick, f"{quick:.1f} requests a sync before, {grown:.1f} now"
        os.unlink(control)
        acks = load.acks
        wait_until(lambda: load.acks > acks + 300, 30, "acks after")
        scene.server.kill()
        ledger = scene.end(load)
        scene.again()
        scene.sound(ledger, least=300)
        return (f"{quick:.1f} requests a sync before, {grown:.1f} when slow; /health then: median "
                f"{1000 * took[len(took) // 2]:.1f} ms, slowest {1000 * took[-1]:.0f} ms of {len(took)}")


def bits(suite):
    """Writes are short or interrupted: all of it gets there, and nothing counts as a failure."""
    control = os.path.join(suite.folder, "bits")
    with Scene(suite, "bits", env=suite.shim_env(CRASH_SHIM_CONTROL=control)) as scene:
        say(control, "bits")
        load = scene.begin()
        wait_until(lambda: load.acks > 300, 60, "acks")
        assert scene.server.stat("sluice_journal_failures_total") == 0
        scene.server.kill()
        ledger = scene.end(load)
        assert load.statuses[503] + load.statuses[500] == 0, load.statuses
        os.unlink(control)
        scene.again()
        scene.sound(ledger, least=300)
        return f"{ledger.acked_count()} points acked"


def budget(suite):
    """PostgreSQL takes nothing in: 429 at journal_max_bytes, reads go on, then it resumes alone."""
    args = ["--journal-max-bytes", "8MiB", "--flush-interval", "50ms"]
    with Scene(suite, "budget", args=args) as scene:
        runs = scene.new_runs(1)
        with psycopg.connect(scene.uri()) as pg:
            pg.execute("LOCK TABLE metrics IN EXCLUSIVE MODE")  # others may read
            load = scene.begin(batch_share=1, batch_points=1000)
            wait_until(lambda: load.statuses_so_far(429) > 20, 60, "refusals")
            acks = load.acks
            answer = requests.get(scene.server.url + "/api/2.0/mlflow/runs/get", timeout=10,
                                  params={"run_id": runs[0]})
            assert answer.status_code == 200, answer.text
            answer = requests.post(
                scene.server.url + "/api/2.0/mlflow/runs/log-batch", timeout=10,
                json={"run_id": runs[0], "metrics": [
                    {"key": "k" * 200, "value": i, "timestamp": i, "step": i}
                    for i in range(1000)]})
            assert answer.status_code == 429, answer.text
            assert int(answer.headers["Retry-After"]) >= 1, answer.headers
            bytes_then = scene.server.stat("sluice_journal_disk_bytes")
            assert bytes_then <= 8 << 20, bytes_then
            pg.rollback()
        wait_until(lambda: load.acks > acks + 300, 60, "acks after, by itself")
        scene.server.kill()
        ledger = scene.end(load)
        assert load.statuses[500] + load.statuses[503] == 0, load.statuses
        scene.again(args=args)
        scene.sound(ledger, least=300)
        return (f"{load.statuses[429]} writes refused at {bytes_then / (1 << 20):.1f} MiB, "
                f"{ledger.acked_count()} points acked")


def small_disk(suite):
    """A disk that really is full: what was there is flushed, nothing acked is lost, it resumes."""
    args = ["--journal-max-bytes", "64MiB", "--flush-interval", "50ms"]
    with Scene(suite, "small_disk", args=args, start=False) as scene:
        disk = os.path.join(scene.server.data_dir, "journal")
        os.makedirs(disk)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", disk], check=True)
        try:
            scene.server.start()
            with psycopg.connect(scene.uri()) as pg:
                pg.execute("LOCK TABLE metrics IN EXCLUSIVE MODE")
                load = scene.begin(batch_share=1, batch_points=1000)
                wait_until(lambda: load.statuses_so_far(503) > 20, 60, "refusals")
                assert scene.server.stat("sluice_journal_failures_total") > 0
                scene.server.kill()
                ledger = scene.end(load)
                pg.rollback()
            # Nothing is left for a new segment: it starts all the same, flushes, and has room then.
            scene.server.start()
            assert "no journal segment could be begun" in scene.server.output()
            scene.sound(ledger, least=100)
            load = scene.begin()
            wait_until(lambda: load.acks > 100, 30, "acks after, by itself")
            scene.server.stop()
            ledger = scene.end(load)
            scene.again(args=args)
            scene.sound(ledger, least=100)
            scene.server.stop()
            return f"{scene.acked} points acked"
        finally:
            if scene.server.process and scene.server.process.poll() is None:
                scene.server.kill()
            subprocess.run(["umount", disk], check=True)


def postgres(suite):
    """PostgreSQL is killed; the journal absorbs; then the program is killed as well."""
    with Cluster(fsync=True) as cluster:
        mine = Suite(suite.binary, suite.kills, suite.seed)
        mine.cluster = cluster
        with Scene(mine, "postgres") as scene:
            load = scene.begin()
            wait_until(lambda: load.acks > 100, 30, "acks")
            cluster.stop(signal.SIGQUIT)
            acks = load.acks
            wait_until(lambda: load.acks > acks + 300, 30, "acks without PostgreSQL")
            wait_until(lambda: scene.server.stat("sluice_backlog_points") > 0, 30, "a backlog")
            cluster.start()
            wait_until(lambda: scene.server.stat("sluice_flusher_connected") == 2, 60,
                       "the flushers are back")
            acks = load.acks
            wait_until(lambda: load.acks > acks + 100, 30, "acks")
            cluster.stop(signal.SIGQUIT)
            acks = load.acks
            wait_until(lambda: load.acks > acks + 100, 30, "acks without PostgreSQL again")
            scene.server.kill()
            ledger = scene.end(load)
            cluster.start()
            scene.again()
            scene.sound(ledger, least=500)
            shutil.rmtree(mine.folder, ignore_errors=True)
            return f"2 crashes of PostgreSQL, {ledger.acked_count()} points acked"


def private(suite):
    """With the private cluster, which survives us and is adopted."""
    with Scene(suite, "private", private=True) as scene:
        return kill_rounds(scene, max(2, suite.kills // 5))


def drain(suite):
    """SIGTERM answers what was asked, ends with code 0, loses nothing; two owners there are not."""
    with Scene(suite, "drain") as scene:
        second = subprocess.run(scene.server.command(), capture_output=True, text=True, timeout=60,
                                env=clean_environment(), cwd=scene.folder)
        assert second.returncode != 0, "a second owner was let in"
        assert f"process {scene.server.process.pid}" in second.stderr, second.stderr
        load = scene.begin()
        wait_until(lambda: load.acks > 200, 30, "acks")
        scene.server.stop()
        ledger = scene.end(load)
        scene.again()
        scene.sound(ledger, least=200)
        return f"{ledger.acked_count()} points acked"


def must_be_caught(scene, env, args, limit, end):
    """Breaks the promise until the oracle says so."""
    for attempt in range(1, limit + 1):
        scene.server.stop()
        scene.again(env, args)
        load = scene.begin()
        end(load)
        ledger = scene.end(load)
        scene.again({})
        lost = [p for p in scene.problems(ledger) if "acked but not stored" in p]
        if lost:
            return f"caught at attempt {attempt}: {lost[0]}"
    raise AssertionError(f"{limit} attempts and the oracle found nothing")


def caught_skipped_sync(suite):
    """Acks before fdatasync must show as lost points on a disk that forgets."""
    env = suite.shim_env(SLUICE_TEST_SKIP_FSYNC="1")
    # The window stays open, so that nothing but the journal has the points.
    args = ["--flush-interval", "30s", "--flush-rows", "1000000"]
    with Scene(suite, "caught_sync", env=suite.shim_env(), args=args) as scene:
        def end(load):
            wait_until(lambda: load.acks > 100, 30, "acks")
            scene.server.kill()
        # The same with the promise kept: what is caught below is the switch and nothing else.
        load = scene.begin()
        end(load)
        ledger = scene.end(load)
        scene.again({})
        scene.sound(ledger, least=100)
        return must_be_caught(scene, env, args, 3, end)


def caught_position_first(suite):
    """A position committed before its rows must show as lost points."""
    env = {"SLUICE_TEST_POSITION_FIRST": "1", "SLUICE_TEST_KILL_AT": "after_position:3"}
    with Scene(suite, "caught_position") as scene:
        return must_be_caught(scene, env, (), 3, lambda load: scene.died(30))


SCENARIOS = [kills, points, syscalls, power, eio, enospc, small_disk, slow, bits, budget, postgres,
             private, drain, caught_skipped_sync, caught_position_first]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", nargs="?", default=None, metavar="BINARY")
    parser.add_argument("--binary", default=os.path.join(HERE, "../../build/sluice"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", help="one scenario; may be repeated")
    parser.add_argument("--private", action="store_true", help="--only private")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    only = (options.only or []) + (["private"] if options.private else [])
    unknown = set(only) - {s.__name__ for s in SCENARIOS}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    suite = Suite(options.path or options.binary, options.kills, seed)
    print(f"seed {seed}", flush=True)
    try:
        with Cluster() as suite.cluster:
            for scenario in SCENARIOS:
                if not only or scenario.__name__ in only:
                    suite.attempt(scenario)
    finally:
        shutil.rmtree(suite.folder, ignore_errors=True)
    print(f"{suite.passed} passed, {suite.failed} failed")
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
