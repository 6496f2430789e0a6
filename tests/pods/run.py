#!/usr/bin/env python3
"""The pods suite: many processes around one Kafka, and whatever dies, acked is stored exactly once.

    python tests/pods/run.py [BINARY] [--seed N] [--only NAME]

A real broker (tests/tools/kafka.py), a real PostgreSQL, gateways and flushers as processes of
their own. Each scenario loads the gateways over HTTP, breaks something, waits until PostgreSQL has
every offset that the topic holds, and asks the oracle (tests/tools/oracle.py).

  client         a stock client against one process that does everything
  own_writes     a front end reads what it has just written, flushed by another process
  refused        settings that must stop the start
  gateways       two gateways, one flusher
  kill_gateway   kill -9 of a gateway
  kill_flusher   kill -9 of the flusher in the middle of windows
  kill_broker    kill -9 of the broker: 503, and recovery by itself
  stop_broker    the broker hangs (SIGSTOP): 503, and recovery by itself
  rebalance      a second flusher comes under load, then the first is killed, or hangs and returns
  postgres       PostgreSQL is gone while Kafka holds the backlog
  strangers      messages that are not ours, and records of a newer version
  caught_*       the suite itself: with a promise broken on purpose (answered before the delivery
                 report, position committed before the rows) the oracle must find lost points

Needs psycopg, kcat and Java. Prints the seed. Last line: `N passed, N failed`.
"""

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("../tools", "../crash"):
    sys.path.insert(0, os.path.join(HERE, folder))

import psycopg  # noqa: E402
import requests  # noqa: E402

import oracle  # noqa: E402
from cluster import Cluster  # noqa: E402
from kafka import Kafka  # noqa: E402
from load import Load  # noqa: E402
from server import QUIET, Sluice, clean_environment, wait_until  # noqa: E402

# Windows that close when they are full or late, reports and sessions that end in seconds.
ARGS = ["--flush-interval", "200ms", "--flush-rows", "5000", "--workers", "2",
        "--run-cache-ttl", "300s", "--kafka.message.timeout.ms", "3000",
        "--kafka.session.timeout.ms", "6000"]
FRONT = ["--flushers", "0"]
FLUSHER = ["--listen", "none", "--flushers", "2"]
PARTITIONS = 16
BEHIND = "Sluice-Behind-Ms"


class Pod(Sluice):
    """One process. A flusher has no address for clients."""

    def __init__(self, scene, *args, env=None):
        super().__init__(scene.uri, args=scene.args + list(args), env=env,
                         binary=scene.suite.binary)
        self.is_flusher = "none" in args

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
        return requests.get(self.admin_url + "/readyz", timeout=5).status_code


class Scene:
    """A topic and a database of its own, and the pods around them."""

    def __init__(self, suite, name):
        self.suite = suite
        self.name = name
        self.kafka = suite.kafka
        self.random = random.Random(f"{suite.seed}/{name}")
        self.topic = "pods." + name
        self.uri = suite.cluster.create_database("pods_" + name)
        self.args = ARGS + ["--queue", "kafka", "--kafka-brokers", self.kafka.bootstrap,
                            "--kafka-topic", self.topic]
        self.pods = []

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        self.kafka.resume()
        if self.kafka.process.poll() is not None:
            self.kafka.start()
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

    def pod(self, *args, env=None):
        pod = Pod(self, *args, env=env)
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
        """Starts the load, and returns when answers come."""
        load = Load(pod.url, runs or self.new_runs(pod), f"{self.suite.seed}/{self.name}/"
                    f"{pod.url}", **how).start()
        wait_until(lambda: load.acks > least, 30, "acks")
        return load

    def ends(self):
        """Partition -> end of its log, as soon as the broker has all of them (it may be new)."""
        asked = [a for p in range(PARTITIONS) for a in ("-t", f"{self.topic}:{p}:-1")]

        def answer():
            result = subprocess.run(["kcat", "-b", self.kafka.bootstrap, "-Q", *asked],
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

    def await_flush(self, limit_s=60, but=()):
        """Until PostgreSQL has every offset of the topic."""
        ends = self.ends()

        def is_flushed():
            have = self.positions()
            return all(have.get(p, 0) >= end for p, end in ends.items() if p not in but)

        wait_until(is_flushed, limit_s, f"positions reach {ends}")

    def problems(self, *ledgers):
        self.await_flush()
        everything = oracle.Ledger()
        for ledger in ledgers:
            everything.add(ledger)
        with psycopg.connect(self.uri) as pg:
            return oracle.check(pg, everything)

    def sound(self, *loads, least=1):
        """Ends the loads; all that was acked is stored exactly once."""
        ledgers = [load.stop() for load in loads]
        acked = sum(ledger.acked_count() for ledger in ledgers)
        assert acked >= least, f"only {acked} points were acked"
        problems = self.problems(*ledgers)
        assert not problems, "\n".join(problems)
        for pod in self.pods:
            if pod.process.poll() is None:
                assert pod.stat("sluice_deadletter_points_total") == 0, "dead letters"
        return acked


def more(load, count, what, limit_s=60):
    """Waits for that many more answers."""
    acks = load.acks
    wait_until(lambda: load.acks > acks + count, limit_s, f"{count} acks {what}")


def client(suite):
    """A stock client cannot tell."""
    with Scene(suite, "client") as scene:
        pod = scene.pod()
        program = """
import mlflow
from mlflow.entities import Metric, Param, RunTag
c = mlflow.MlflowClient()
run = c.create_run("0").info.run_id
for step in range(20):
    c.log_metric(run, "loss", 1 / (step + 1), step=step)
c.log_batch(run, [Metric("acc", i / 10, i, i) for i in range(500)], [Param("lr", "0.1")],
            [RunTag("who", "pods")])
got = c.get_run(run).data
assert got.metrics == {"loss": 0.05, "acc": 49.9}, got.metrics
assert got.params == {"lr": "0.1"} and got.tags["who"] == "pods"
assert [m.step for m in c.get_metric_history(run, "loss")] == list(range(20))
assert len(c.get_metric_history(run, "acc")) == 500
found = c.search_runs(["0"], "metrics.loss < 0.1 and params.lr = '0.1'")
assert [r.info.run_id for r in found] == [run]
print("all well")
"""
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                                timeout=120, env=clean_environment(
                                    {**QUIET, "MLFLOW_TRACKING_URI": pod.url}))
        assert "all well" in result.stdout, result.stdout + result.stderr
        assert pod.stat("sluice_kafka_delivered_total") >= 21
        assert pod.stat("sluice_accepted_points_total") == 520
        wait_until(lambda: pod.stat("sluice_backlog_points") == 0, 10, "no backlog")
        return "520 points and back"


def own_writes(suite):
    """Read your own writes, though others flush them."""
    with Scene(suite, "own_writes") as scene:
        front = scene.pod(*FRONT, "--read-wait", "10s")
        flusher = scene.pod(*FLUSHER, "--flush-interval", "50ms")
        wait_until(lambda: flusher.stat("sluice_kafka_partitions") == PARTITIONS, 30,
                   "the partitions")
        runs = scene.new_runs(front, 4)
        for step in range(40):
            run = scene.random.choice(runs)
            point = {"run_id": run, "key": "m", "value": step, "timestamp": step, "step": step}
            answer = requests.post(front.url + "/api/2.0/mlflow/runs/log-metric", json=point,
                                   timeout=30)
            assert answer.status_code == 200, answer.text
            answer = requests.get(front.url + "/api/2.0/mlflow/runs/get", timeout=30,
                                  params={"run_id": run})
            seen = {m["key"]: m["value"] for m in answer.json()["run"]["data"]["metrics"]}
            assert seen == {"m": step}, f"step {step}: {seen}"
            assert BEHIND not in answer.headers, answer.headers
        search = requests.post(front.url + "/api/2.0/mlflow/runs/search", timeout=30,
                               json={"experiment_ids": ["0"], "filter": "metrics.m = 39"})
        assert len(search.json()["runs"]) == 1, search.text
        assert front.stat("sluice_read_waits_total") >= 20
        return "40 writes, each read at once"


def refused(suite):
    """What must not run does not start, and says why."""
    with Scene(suite, "refused") as scene:
        suite.kafka.topic("--create", "--topic", "pods.compact", "--partitions", "2",
                          "--config", "cleanup.policy=compact")
        for args, words in (
                (["--kafka.no.such.thing", "1"], 'No such configuration property: "no.such'),
                (["--kafka.linger.ms", "soon"], "kafka.linger.ms"),
                (["--kafka.acks", "1"], "kafka.acks: not to be chosen"),
                (["--kafka-topic", "pods.compact"], "compaction would drop points"),
                (["--kafka-brokers", ""], "kafka_brokers")):
            pod = Pod(scene, *args)
            result = subprocess.run(pod.command(), capture_output=True, text=True, timeout=90,
                                    env=clean_environment(), cwd=pod.folder)
            shutil.rmtree(pod.folder)
            assert result.returncode != 0 and words in result.stderr, (args, result.stderr)
        checked = subprocess.run([suite.binary, "config", "check", *scene.args,
                                  "--kafka.no.such.thing", "1"], capture_output=True, text=True,
                                 timeout=30, env=clean_environment())
        assert checked.returncode == 1 and "no.such.thing" in checked.stderr, checked.stderr
        return "5 starts refused"


def gateways(suite):
    """Two gateways write to the same runs, one flusher applies."""
    with Scene(suite, "gateways") as scene:
        fronts = [scene.pod(*FRONT), scene.pod(*FRONT)]
        scene.pod(*FLUSHER)
        runs = scene.new_runs(fronts[0])
        loads = [scene.begin(front, runs) for front in fronts]
        for load in loads:
            more(load, 300, "with two gateways")
        acked = scene.sound(*loads, least=1000)
        for front in fronts:
            wait_until(lambda f=front: f.stat("sluice_backlog_points") == 0, 10, "no backlog")
        return f"{acked} points acked"


def kill_gateway(suite):
    """kill -9 of a gateway: nothing acked is lost, the other goes on."""
    with Scene(suite, "kill_gateway") as scene:
        first, second = scene.pod(*FRONT), scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        loads = [scene.begin(second)]
        for _ in range(3):
            load = scene.begin(first)
            time.sleep(scene.random.uniform(0.05, 0.8))  # the moment is the point of the test
            first.kill()
            loads.append(load)
            load.stop()
            first.start()
        return f"3 kills, {scene.sound(*loads, least=1000)} points acked"


def kill_flusher(suite):
    """kill -9 of the flusher, at random and at each named place of the flush."""
    with Scene(suite, "kill_flusher") as scene:
        front = scene.pod(*FRONT)
        flusher = scene.pod(*FLUSHER)
        load = scene.begin(front)
        for place in ("", "flush_before_copy", "flush_before_commit", "flush_after_commit"):
            if place:
                flusher.stop()
                flusher.env = {"SLUICE_TEST_KILL_AT": f"{place}:{scene.random.randint(1, 3)}"}
                flusher.start()
                wait_until(lambda: flusher.process.poll() is not None, 60, f"death at {place}")
                assert flusher.process.returncode == -signal.SIGKILL, flusher.tail()
                flusher.env = {}
            else:
                wait_until(lambda: flusher.stat("sluice_windows_total") > 2, 30, "windows")
                flusher.kill()
            more(load, 50, "without a flusher")
            flusher.start()
        return f"4 kills, {scene.sound(load, least=500)} points acked"


def kill_broker(suite):
    """kill -9 of the broker: writes are refused with 503, reads go on, all recovers by itself."""
    with Scene(suite, "kill_broker") as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.begin(front)
        scene.kafka.kill()
        wait_until(lambda: front.status() == 503, 30, "not ready")
        answer = requests.get(front.url + "/api/2.0/mlflow/runs/get", timeout=10,
                              params={"run_id": load.runs[0]})
        assert answer.status_code == 200, f"a read during the fault: {answer.text}"
        scene.kafka.start()
        more(load, 200, "after the broker's return")
        wait_until(lambda: front.status() == 200, 30, "ready again")
        load.stop()
        assert load.statuses[503] > 0 and load.statuses[500] == 0, load.statuses
        return (f"{load.statuses[503]} writes refused, "
                f"{scene.sound(load, least=500)} points acked")


def stop_broker(suite):
    """The broker hangs: the kernel still accepts its connections, and nobody answers."""
    with Scene(suite, "stop_broker") as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.begin(front)
        scene.kafka.pause()
        wait_until(lambda: front.status() == 503, 30, "not ready")
        begin = time.monotonic()
        answer = requests.post(front.url + "/api/2.0/mlflow/runs/log-metric", timeout=10,
                               json={"run_id": load.runs[0], "key": "late", "value": 1,
                                     "timestamp": 1, "step": 1})
        assert answer.status_code == 503 and "Retry-After" in answer.headers, answer.text
        assert time.monotonic() - begin < 2, "a refusal must not wait"
        scene.kafka.resume()
        more(load, 200, "after the broker's return")
        wait_until(lambda: front.status() == 200, 30, "ready again")
        load.stop()
        assert load.statuses[503] > 0 and load.statuses[500] == 0, load.statuses
        return (f"{load.statuses[503]} writes refused, "
                f"{scene.sound(load, least=500)} points acked")


def rebalance(suite):
    """Partitions move in the middle of windows; for a moment one is in two hands."""
    with Scene(suite, "rebalance") as scene:
        front = scene.pod(*FRONT)
        first = scene.pod(*FLUSHER)
        load = scene.begin(front)
        wait_until(lambda: first.stat("sluice_windows_total") > 2, 30, "windows")
        second = scene.pod(*FLUSHER)
        wait_until(lambda: second.stat("sluice_kafka_partitions") >= PARTITIONS // 4, 60,
                   "the second flusher has its share")
        wait_until(lambda: second.stat("sluice_windows_total") > 2, 30, "windows of the second")
        # Hangs with its windows in hand, loses everything, and comes back believing it has it. If
        # that is in a transaction, PostgreSQL frees its locks after 60 s.
        first.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: second.stat("sluice_kafka_partitions") == PARTITIONS, 120,
                   "the second has all")
        more(load, 100, "while the first hangs")
        first.process.send_signal(signal.SIGCONT)
        wait_until(lambda: first.stat("sluice_kafka_partitions") >= PARTITIONS // 4, 60,
                   "the first is back")
        second.kill()
        wait_until(lambda: first.stat("sluice_kafka_partitions") == PARTITIONS, 60,
                   "the first has all")
        return f"came, hung, killed: {scene.sound(load, least=500)} points acked"


def postgres(suite):
    """PostgreSQL is gone, Kafka holds the backlog."""
    with Cluster(fsync=True) as cluster:
        mine = Suite(suite.binary, suite.seed)
        mine.cluster, mine.kafka = cluster, suite.kafka
        with Scene(mine, "postgres") as scene:
            front = scene.pod(*FRONT)
            flusher = scene.pod(*FLUSHER)
            load = scene.begin(front)
            cluster.stop(signal.SIGQUIT)
            more(load, 500, "without PostgreSQL")
            wait_until(lambda: front.stat("sluice_backlog_points") > 100, 30, "a backlog")
            wait_until(lambda: front.stat("sluice_backlog_seconds") > 1, 30, "its age")
            flusher.kill()
            front.kill()  # what is in Kafka needs no gateway
            load.stop()
            cluster.start()
            flusher.start()
            acked = scene.sound(load, least=1000)
            front.start()
            return f"{acked} points acked"


def strangers(suite):
    """Poison becomes a dead letter, a newer record holds its partition, the others go on."""
    with Scene(suite, "strangers") as scene:
        pod = scene.pod()
        load = scene.begin(pod, least=20)
        scene.produce(3, b"this is not a record")
        scene.produce(4, b"SL\x01\x00neither is this")
        wait_until(lambda: "level=error" in pod.output() and
                   pod.output().count("points go to the dead-letter file") >= 1, 30, "letters")
        scene.produce(5, b"SL\x02\x00of tomorrow")
        wait_until(lambda: pod.stat("sluice_kafka_held_partitions") == 1, 30, "a held partition")
        assert "a record of a newer version" in pod.output()
        more(load, 100, "with a held partition")
        load.stop()
        scene.await_flush(but=(5,))
        wait_until(lambda: pod.stat("sluice_backlog_seconds") > 0, 10, "the held ones show")
        held = scene.positions()[5]
        assert held < scene.ends()[5], "the newer record was passed over"
        pod.stop()
        pod.start()  # the same program: it is held again, at the same place
        wait_until(lambda: pod.stat("sluice_kafka_held_partitions") == 1, 60, "held again")
        assert scene.positions()[5] == held
        # The new program: here, somebody who has applied it moves the position on.
        pod.stop()
        with psycopg.connect(scene.uri) as pg:
            offset = int(re.findall(r"offset=(\d+) version=2", pod.output())[-1])
            pg.execute("UPDATE sluice.positions SET position = %s WHERE partition = 5",
                       (offset + 1,))
        pod.start()
        problems = scene.problems(load.ledger)
        assert not problems, "\n".join(problems)
        return "2 letters, 1 held"


def must_be_lost(scene, load):
    lost = [p for p in scene.problems(load.ledger) if "acked but not stored" in p]
    assert lost, "the oracle found nothing"
    return f"caught: {lost[0]}"


def caught_early_ack(suite):
    """An answer before the delivery report must show as lost points."""
    with Scene(suite, "caught_early_ack") as scene:
        scene.pod(*FLUSHER)
        front = scene.pod(*FRONT, env={"SLUICE_TEST_ACK_EARLY": "1"})
        load = scene.begin(front)
        scene.kafka.pause()
        more(load, 100, "that nobody has")
        front.kill()
        load.stop()
        scene.kafka.resume()
        return must_be_lost(scene, load)


def caught_position_first(suite):
    """A position committed before its rows must show as lost points."""
    with Scene(suite, "caught_position_first") as scene:
        front = scene.pod(*FRONT)
        flusher = scene.pod(*FLUSHER, env={"SLUICE_TEST_POSITION_FIRST": "1",
                                           "SLUICE_TEST_KILL_AT": "after_position:3"})
        load = Load(front.url, scene.new_runs(front), suite.seed).start()
        wait_until(lambda: flusher.process.poll() is not None, 60, "death between the two")
        load.stop()
        flusher.env = {}
        flusher.start()
        return must_be_lost(scene, load)


SCENARIOS = [client, own_writes, refused, gateways, kill_gateway, kill_flusher, kill_broker,
             stop_broker, rebalance, postgres, strangers, caught_early_ack,
             caught_position_first]


class Suite:
    def __init__(self, binary, seed):
        self.binary = os.path.abspath(binary)
        self.seed = seed
        self.passed = self.failed = 0
        self.cluster = self.kafka = None

    def attempt(self, scenario):
        begin = time.monotonic()
        try:
            what, is_good = scenario(self), True
        except Exception:  # whatever goes wrong is one failure, and the next scenario runs
            traceback.print_exc(file=sys.stdout)
            what, is_good = "", False
        self.passed += is_good
        self.failed += not is_good
        print(f"{'ok  ' if is_good else 'FAIL'} {time.monotonic() - begin:6.1f} s  "
              f"{scenario.__name__}: {what}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", nargs="?", default=os.path.join(HERE, "../../build/sluice"))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", default=[], help="one scenario; repeatable")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    unknown = set(options.only) - {s.__name__ for s in SCENARIOS}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    suite = Suite(options.binary, seed)
    print(f"seed {seed}", flush=True)
    with Cluster() as suite.cluster, Kafka() as suite.kafka:
        for scenario in SCENARIOS:
            if not options.only or scenario.__name__ in options.only:
                suite.attempt(scenario)
    print(f"{suite.passed} passed, {suite.failed} failed")
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
