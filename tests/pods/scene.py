"""One topic and one database, the pods around them, and what must hold when all is over.

    with Scene(suite, "name") as scene:
        front, flusher = scene.pod(*FRONT), scene.pod(*FLUSHER)
        load = scene.begin(front)
        ...break something...
        return f"{scene.sound(load)} points acked"

sound() ends the load, waits until PostgreSQL has every offset that the topic holds, and asks the
oracle (tests/tools/oracle.py): every acked point exactly once, nothing that was not sent,
latest_metrics right. Whatever a scenario did to the brokers, leaving the scene undoes it.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../tools", "../crash"):
    sys.path.insert(0, os.path.join(HERE, folder))

import psycopg  # noqa: E402
import requests  # noqa: E402

import oracle  # noqa: E402
from load import Load  # noqa: E402
from server import Sluice, clean_environment, wait_until  # noqa: E402

# Windows that close when they are full or late, reports and sessions that end in seconds.
ARGS = ["--flush-interval", "200ms", "--flush-rows", "5000", "--workers", "2",
        "--run-cache-ttl", "300s", "--kafka.message.timeout.ms", "3000",
        "--kafka.session.timeout.ms", "3000", "--kafka.heartbeat.interval.ms", "500"]
FRONT = ["--flushers", "0"]
FLUSHER = ["--listen", "none", "--flushers", "2"]
PARTITIONS = 16
BEHIND = "Sluice-Behind-Ms"
API = "/api/2.0/mlflow/"


class Skip(Exception):
    """The machine lacks what a scenario needs."""


class Pod(Sluice):
    """One process, in a namespace of its own when it has a host (wire.py). A flusher has no address for
    clients."""

    def __init__(self, scene, *args, env=None, host=None, binary=None):
        super().__init__(scene.uri, args=scene.args + list(args), env=env,
                         binary=binary or scene.suite.binary)
        self.is_flusher = "none" in args
        self.host = host

    def command(self):
        command = super().command()
        if self.host:
            command = self.host.inside(*command)
            for word in ("--listen", "--admin-listen"):
                command[command.index(word) + 1] = self.host.address + ":0"
        return command

    def start(self):
        if not self.is_flusher:
            return super().start()
        begin = len(self.output()) if self.process else 0
        self.spawn(self.command(), clean_environment(self.env))

        def address():
            found = re.search(r"admin on (http://\S+:\d+)", self.output()[begin:])
            if not found and self.process.poll() is not None:
                raise AssertionError(f"exit code {self.process.returncode}:\n{self.output()}")
            return found and found[1]

        self.admin_url = wait_until(address, 60, "the line `admin on`")
        wait_until(lambda: self.is_answering(self.admin_url + "/readyz"), 60, "/readyz")
        return self

    def status(self):
        return requests.get(self.admin_url + "/readyz", timeout=30).status_code

    def log_metric(self, run, step=1, key="late"):
        return requests.post(self.url + API + "runs/log-metric", timeout=60,
                             json={"run_id": run, "key": key, "value": step, "timestamp": step,
                                   "step": step})

    def get_run(self, run):
        return requests.get(self.url + API + "runs/get", params={"run_id": run}, timeout=60)

    def holds(self, partitions):
        """Has it these partitions, or more?"""
        return self.stat("sluice_kafka_partitions") >= partitions

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)


class Scene:
    """A topic and a database of its own, and the pods around them."""

    def __init__(self, suite, name, args=(), kafka=None, cluster=None):
        self.suite = suite
        self.name = name
        self.kafka = kafka or suite.brokers(1)
        self.random = random.Random(f"{suite.seed}/{name}")
        self.topic = "pods." + name
        self.uri = (cluster or suite.cluster).create_database("pods_" + name)
        self.args = ARGS + ["--queue", "kafka", "--kafka-brokers", self.kafka.bootstrap,
                            "--kafka-topic", self.topic, *args]
        self.pods = []
        self.loads = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        for load in self.loads:
            if not load.is_over.is_set():
                load.stop()
        self.kafka.heal()
        failure = None
        for pod in reversed(self.pods):
            if kind:
                print(f"--- {pod.args[len(self.args):]}\n{pod.tail()}")
                if pod.process and pod.process.poll() is None:
                    pod.kill()
            try:
                pod.__exit__(kind)
            except AssertionError as e:  # the others must be ended as well
                failure = e
        if failure:
            raise failure

    def pod(self, *args, **how):
        pod = Pod(self, *args, **how)
        self.pods.append(pod)
        return pod.start()

    def forget(self, pod):
        """Its machine is gone, and its directory with it."""
        self.pods.remove(pod)
        shutil.rmtree(pod.folder)

    def new_runs(self, pod, count=8):
        runs = []
        for _ in range(count):
            answer = requests.post(pod.url + API + "runs/create", json={"experiment_id": "0"},
                                   timeout=30)
            assert answer.status_code == 200, answer.text
            runs.append(answer.json()["run"]["info"]["run_id"])
        return runs

    def begin(self, pod, runs=None, least=100, **how):
        """Starts the load, and returns when answers come."""
        load = Load(pod.url, runs or self.new_runs(pod), f"{self.suite.seed}/{self.name}/"
                    f"{pod.url}", **how).start()
        self.loads.append(load)
        wait_until(lambda: load.acks > least, 30, "acks")
        return load

    def ends(self):
        """Partition -> end of its log, as soon as the broker has all of them (it may be new)."""
        asked = [a for p in range(PARTITIONS) for a in ("-t", f"{self.topic}:{p}:-1")]

        def answer():
            result = subprocess.run(["kcat", "-b", self.kafka.alive(), "-Q", *asked],
                                    capture_output=True, text=True, timeout=60)
            found = re.findall(r"\[(\d+)\] offset (\d+)", result.stdout)
            return len(found) == PARTITIONS and {int(p): int(o) for p, o in found}

        return wait_until(answer, 60, "the ends of the log")

    def produce(self, partition, value):
        subprocess.run(["kcat", "-b", self.kafka.bootstrap, "-P", "-t", self.topic, "-p",
                        str(partition), "-k", "stranger", "-D", "\\n"], check=True,
                       input=value, timeout=60)

    def positions(self):
        with psycopg.connect(self.uri) as pg:
            return dict(pg.execute("SELECT partition, position FROM sluice.positions").fetchall())

    def await_flush(self, limit_s=90, but=()):
        """Until PostgreSQL has every offset of the topic."""
        ends = self.ends()

        behind = {}

        def is_flushed():
            have = self.positions()
            behind.clear()
            behind.update({p: f"{have.get(p, 0)} of {end}" for p, end in ends.items()
                           if p not in but and have.get(p, 0) < end})
            return not behind

        try:
            wait_until(is_flushed, limit_s, "every offset is applied")
        except AssertionError as e:
            raise AssertionError(f"{e}: {behind}") from None

    def problems(self, *ledgers):
        self.await_flush()
        everything = oracle.Ledger()
        for ledger in ledgers:
            everything.add(ledger)
        with psycopg.connect(self.uri) as pg:
            return oracle.check(pg, everything)

    def sound(self, *loads, least=1, only=None):
        """Ends the loads; all that was acked is stored exactly once. only: the statuses that may have
        been answered."""
        ledgers = [load.stop() for load in loads]
        acked = sum(ledger.acked_count() for ledger in ledgers)
        assert acked >= least, f"only {acked} points were acked"
        for load in loads:
            assert load.statuses[500] == 0, load.statuses
            assert not only or set(load.statuses) <= set(only), load.statuses
        problems = self.problems(*ledgers)
        assert not problems, "\n".join(problems)
        for pod in self.pods:
            if pod.process.poll() is None:
                assert pod.stat("sluice_deadletter_points_total") == 0, "dead letters"
        self.suite.verified += acked
        return acked


def more(load, count, what, limit_s=60):
    """Waits for that many more answers."""
    acks = load.acks
    wait_until(lambda: load.acks > acks + count, limit_s, f"{count} acks {what}")


def must_be_lost(scene, *loads):
    """What a broken promise must look like to the oracle."""
    lost = [p for p in scene.problems(*[load.stop() for load in loads])
            if "acked but not stored" in p]
    assert lost, "the oracle found nothing"
    return f"caught: {lost[0]}"
