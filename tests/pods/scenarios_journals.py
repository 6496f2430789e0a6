"""Pods that have a journal each, and what becomes of it: no Kafka, but for who else wants its directory."""

import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import types

import psycopg
import requests

import oracle
from load import Load
from scene import ARGS as KAFKA_ARGS
from scene import Pod, Scene
from server import Sluice, clean_environment, wait_until

# Small segments, and windows that are full or late, so that a killed pod leaves something behind.
ARGS = ["--journal-segment-bytes", "1MiB", "--ring-bytes", "2MiB", "--flush-interval", "200ms",
        "--flush-rows", "3000", "--workers", "2", "--flushers", "2", "--run-cache-ttl", "300s"]
# Accepts, and flushes next to nothing.
HOARD = ["--flush-interval", "60s", "--flush-rows", "1000000"]


class Pods:
    """A database, and pods with a directory each that outlives them."""

    def __init__(self, suite, name, args=()):
        self.suite = suite
        self.name = name
        self.random = random.Random(f"{suite.seed}/{name}")
        self.uri = suite.cluster.create_database("pods_" + name)
        self.folder = tempfile.mkdtemp(prefix="pods-")
        self.args = ARGS + list(args)
        self.pods = []
        self.loads = []
        self.ledger = oracle.Ledger()

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        failure = None
        for load in self.loads:
            load.is_over.set()
        for pod in self.pods:
            if kind:
                print(f"--- {pod.data_dir}\n{pod.tail()}")
                if pod.process and pod.process.poll() is None:
                    pod.kill()
            try:
                pod.__exit__(kind)
            except AssertionError as e:
                failure = e
        shutil.rmtree(self.folder, ignore_errors=True)
        if failure:
            raise failure

    def directory(self, name):
        return os.path.join(self.folder, name)

    def pod(self, name, *args, uri=None):
        pod = Sluice(uri or self.uri, data_dir=self.directory(name), args=self.args + list(args),
                     binary=self.suite.binary)
        self.pods.append(pod)
        return pod.start()

    def new_runs(self, pod, count=8):
        runs = []
        for _ in range(count):
            answer = requests.post(pod.url + "/api/2.0/mlflow/runs/create",
                                   json={"experiment_id": "0"}, timeout=30)
            assert answer.status_code == 200, answer.text
            runs.append(answer.json()["run"]["info"]["run_id"])
        return runs

    def begin(self, pod, runs=None, least=100, **how):
        load = Load(pod.url, runs or self.new_runs(pod),
                    f"{self.suite.seed}/{self.name}/{len(self.loads)}", **how).start()
        self.loads.append(load)
        wait_until(lambda: load.acks > least, 60, "acks")
        return load

    def end(self, load):
        ledger = load.stop()
        self.ledger.add(ledger)
        return ledger

    def problems(self):
        with psycopg.connect(self.uri) as pg:
            return oracle.check(pg, self.ledger)

    def flushed(self, *pods):
        for pod in pods:
            wait_until(lambda p=pod: p.stat("sluice_backlog_points") == 0, 60, "no backlog")

    def sound(self, least):
        acked = self.ledger.acked_count()
        assert acked >= least, f"only {acked} points were acked"
        problems = self.problems()
        assert not problems, "\n".join(problems)
        return acked

    def command(self, name, *more, uri=None):
        return [self.suite.binary, "journal", "adopt", self.directory(name),
                "--pg-uri", uri or self.uri, *more]

    def adopt(self, name, *more, uri=None, env=None, limit_s=120):
        return subprocess.run(self.command(name, *more, uri=uri), capture_output=True, text=True,
                              timeout=limit_s, env=clean_environment(env), cwd=self.folder)

    def gone(self, name="gone", least=100, **how):
        """A pod that was killed under load, with most of its points in the journal alone."""
        pod = self.pod(name, *HOARD)
        load = self.begin(pod, least=least, **how)
        pod.kill()
        self.end(load)
        return pod

    def files(self, name):
        """Name and size of all that its journal has, but for who locked it last."""
        folder = os.path.join(self.directory(name), "journal")
        return {f: os.stat(os.path.join(folder, f)).st_size for f in os.listdir(folder)
                if f != "lock"}


class TopicPods(Pods):
    """The same on a topic."""

    def __init__(self, suite, name, *args):
        super().__init__(suite, name)
        self.kafka = suite.brokers(1)
        self.topic = "pods." + name
        self.args = KAFKA_ARGS + ["--queue", "kafka", "--kafka-brokers", self.kafka.bootstrap,
                                  "--kafka-topic", self.topic, *args]

    ends, positions, await_flush = Scene.ends, Scene.positions, Scene.await_flush

    def flusher(self, name, *args, uri=None):
        """No address for clients."""
        scene = types.SimpleNamespace(uri=uri or self.uri, args=self.args, suite=self.suite)
        pod = Pod(scene, *args)
        pod.data_dir = self.directory(name)
        self.pods.append(pod)
        return pod.start()


def own_journals(suite):
    """Each pod its own journal: one that is killed and returns replays its own."""
    with Pods(suite, "own_journals") as pods:
        fleet = [pods.pod(str(i)) for i in range(3)]
        runs = pods.new_runs(fleet[0])
        kills = 6 if suite.is_long else 3
        loads = {pod: pods.begin(pod, runs) for pod in fleet}
        for i in range(kills):
            pod = fleet[i % len(fleet)]
            wait_until(lambda p=pod: loads[p].acks > 200, 60, "acks")
            pod.kill()
            pods.end(loads[pod])
            assert all(p.process.poll() is None for p in fleet if p is not pod)
            pod.start()
            loads[pod] = pods.begin(pod, runs)
        for load in loads.values():
            pods.end(load)
        pods.flushed(*fleet)
        with psycopg.connect(pods.uri) as pg:
            queues = pg.execute("SELECT count(DISTINCT queue_id) FROM sluice.positions")
            assert queues.fetchone()[0] == 3, "one queue for each pod"
        return f"{kills} kills, {pods.sound(1000)} points acked"


def refuses(command, words):
    result = subprocess.run(command, capture_output=True, text=True, timeout=90,
                            env=clean_environment())
    said = result.stdout + result.stderr
    assert result.returncode == 1 and words in said, (result.returncode, said)


def one_directory(suite):
    """Two processes on one directory: the second does not start, and says who is there."""
    bootstrap = suite.brokers(1).bootstrap
    with Pods(suite, "one_directory") as pods:
        first = pods.pod("shared")
        words = f"{first.data_dir} is in use by process {first.process.pid}"
        refuses(first.command(), words)
        load = pods.begin(first, least=50)  # the first goes on
        kafka = ["--queue", "kafka", "--kafka-brokers", bootstrap, "--kafka-topic",
                 "pods.one_directory"]
        refuses(first.command() + kafka, words)  # a journal's owner and a flusher of Kafka mode
        pods.end(load)
        pods.flushed(first)
        flusher = pods.pod("letters", *kafka)
        refuses(flusher.command(), f"is in use by process {flusher.process.pid}")
        other = Sluice(pods.uri, data_dir=flusher.data_dir, binary=suite.binary,
                       args=pods.args + kafka + ["--flushers", "0"])
        with other:  # a front end keeps no dead letters
            load = Load(other.url, pods.new_runs(other), suite.seed).start()
            wait_until(lambda: load.acks > 20, 30, "acks")
            pods.end(load)
            wait_until(lambda: other.stat("sluice_backlog_points") == 0, 60, "no backlog")
        return f"3 starts refused, {pods.sound(50)} points acked"


def adopt(suite):
    """The journal of a pod that is gone; afterwards its owner returns."""
    with Pods(suite, "adopt") as pods:
        live = pods.pod("live")
        beside = pods.begin(live)
        gone = pods.gone(least=400)
        before = pods.files("gone")
        look = pods.adopt("gone", "--dry-run")
        assert look.returncode == 0, look
        waiting = int(re.search(r": (\d+) points", look.stdout)[1])
        assert waiting > 1000, look.stdout
        assert pods.files("gone") == before, "--dry-run changed something"
        assert pods.problems(), "the points wait in the journal, so the oracle must miss them"
        done = pods.adopt("gone")
        assert done.returncode == 0, done
        assert f"{waiting} points are in PostgreSQL" in done.stdout, (waiting, done.stdout)
        pods.end(beside)
        pods.flushed(live)
        acked = pods.sound(1000)
        listed = subprocess.run([suite.binary, "journal", "ls", "--data-dir", gone.data_dir],
                                capture_output=True, text=True, timeout=60,
                                env=clean_environment())
        assert " by process " in listed.stdout and "adopted 2" in listed.stdout, listed
        again = pods.adopt("gone")
        assert again.returncode == 0 and "\n0 points are in PostgreSQL" in again.stdout, again
        # The owner returns: nothing to replay, and what it accepts comes behind.
        gone.args = pods.args
        gone.start()
        assert "this journal was adopted while its owner was away" in gone.output()
        assert gone.stat("sluice_backlog_points") == 0
        assert "adopted" not in pods.files("gone")
        pods.end(pods.begin(gone, least=300))
        pods.flushed(gone)
        return f"{waiting} points adopted of {acked}, {pods.sound(2000)} with the owner's return"


# Place, passes to choose from. One window of an adoption has at most four times flush_rows.
PLACES = [("segment_after_create", (1, 1)), ("flush_before_copy", (1, 3)),
          ("flush_before_commit", (1, 3)), ("flush_after_commit", (1, 3)),
          ("segment_before_remove", (1, 1)), ("adopt_before_mark", (1, 1)),
          ("adopt_after_mark", (1, 1))]


def adopt_killed(suite):
    """Killed wherever it is: said again it ends, and every point is stored once."""
    kills = 0
    with Pods(suite, "adopt_killed") as pods:
        small = ["--flush-rows", "200", "--flushers", "2"]
        for place, passes in PLACES:
            pods.gone(place, least=300)
            env = {"SLUICE_TEST_KILL_AT": f"{place}:{pods.random.randint(*passes)}"}
            died = pods.adopt(place, *small, env=env)
            assert died.returncode == -signal.SIGKILL, (place, died)
            kills += 1
            done = pods.adopt(place, *small)
            assert done.returncode == 0, (place, done)
        for i in range(10 if suite.is_long else 3):
            name = f"random{i}"
            pods.gone(name, least=300)
            for _ in range(3):
                process = subprocess.Popen(pods.command(name, *small), env=clean_environment(),
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(pods.random.uniform(0.01, 0.25))  # the moment is the point of the test
                process.kill()
                kills += process.wait() == -signal.SIGKILL
            done = pods.adopt(name, *small)
            assert done.returncode == 0, done
        return f"{kills} kills, {pods.sound(3000)} points acked"


def adopt_refused(suite):
    """What must not be adopted is not, and is not touched."""
    with Pods(suite, "adopt_refused") as pods:
        live = pods.pod("live", *HOARD)
        load = pods.begin(live, least=200)
        refuses(pods.command("live"), f"is in use by process {live.process.pid}")
        refuses(pods.command("live", "--dry-run"), f"is in use by process {live.process.pid}")
        load_acks = load.acks
        wait_until(lambda: load.acks > load_acks + 50, 30, "the owner goes on")
        live.kill()
        pods.end(load)
        before = pods.files("live")
        refuses(pods.command("missing"), "cannot be opened")
        os.mkdir(pods.directory("empty"))
        os.mkdir(os.path.join(pods.directory("empty"), "journal"))
        refuses(pods.command("empty"), "holds no journal")
        with Pods(suite, "adopt_other") as other:
            refuses(pods.command("live", uri=other.uri), "The database holds no MLflow tables")
            other.pod("some").stop()
            refuses(pods.command("live", uri=other.uri), "never seen journal")
        refuses([suite.binary, "journal", "adopt", live.data_dir], "wants pg_uri")
        usage = subprocess.run([suite.binary, "journal", "adopt"], capture_output=True, text=True,
                               timeout=30, env=clean_environment())
        assert usage.returncode == 2 and "usage:" in usage.stderr, usage
        assert pods.files("live") == before, "a refusal changed something"
        # A copy that is older than what PostgreSQL knows of this queue.
        shutil.copytree(live.data_dir, pods.directory("copy"))
        for _ in range(2):  # two starts: the positions pass what the copy would begin with
            live.start()
            pods.end(pods.begin(live, least=50))
            live.stop()
        refuses(pods.command("copy"), "older copy")
        # The database that the pod never reached: the same rows, but for its positions.
        with psycopg.connect(pods.uri, autocommit=True) as pg:
            pg.execute("DELETE FROM sluice.positions")
        live.start()
        load = pods.begin(live, least=50)
        live.kill()
        pods.end(load)
        with psycopg.connect(pods.uri, autocommit=True) as pg:
            pg.execute("DELETE FROM sluice.positions")
        refuses(pods.command("live"), "never seen journal")
        done = pods.adopt("live", "--unseen")
        assert done.returncode == 0, done
        return f"9 refusals, {pods.sound(300)} points acked"


def adopt_letters(suite):
    """Points of a run that is gone: dead letters in the directory, exit code 3."""
    with Pods(suite, "adopt_letters") as pods:
        pods.gone(least=200)
        with psycopg.connect(pods.uri, autocommit=True) as pg:
            lost = pods.ledger.runs()[0]
            for table in ("metrics", "latest_metrics", "params", "tags", "runs"):
                pg.execute(f"DELETE FROM {table} WHERE run_uuid = %s", (lost,))
        done = pods.adopt("gone")
        assert done.returncode == 3 and "there are dead letters" in done.stdout, done
        listed = subprocess.run([suite.binary, "deadletter", "ls", "--data-dir",
                                 pods.directory("gone")], capture_output=True, text=True,
                                timeout=60, env=clean_environment())
        assert lost in listed.stdout and "23503" in listed.stdout, listed
        for ledger in (pods.ledger.sent_points, pods.ledger.acked_points):
            del ledger[lost]
        return f"{pods.sound(100)} points of the other runs"


def caught_adopt(suite):
    """A position committed before its rows must show as lost points."""
    with Pods(suite, "caught_adopt") as pods:
        pods.gone(least=300)
        died = pods.adopt("gone", env={"SLUICE_TEST_POSITION_FIRST": "1",
                                       "SLUICE_TEST_KILL_AT": "after_position:1"})
        assert died.returncode == -signal.SIGKILL, died
        done = pods.adopt("gone")
        assert done.returncode == 0, done
        lost = [p for p in pods.problems() if "acked but not stored" in p]
        assert lost, "the oracle found nothing"
        return f"caught: {lost[0]}"


SCENARIOS = [own_journals, one_directory, adopt, adopt_killed, adopt_refused, adopt_letters,
             caught_adopt]
