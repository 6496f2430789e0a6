"""Scenarios with one broker: what `make test` runs, where a start is dear and a minute is much."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import psycopg
import requests

from cluster import Cluster
from load import Load
from scene import BEHIND, FLUSHER, FRONT, PARTITIONS, Pod, Scene, more, must_be_lost
from server import QUIET, clean_environment, wait_until


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
        scene.kafka.topic("--create", "--topic", "pods.compact", "--partitions", "2",
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
    """Two gateways on the same runs, one of them killed again and again, and drained at last."""
    with Scene(suite, "gateways") as scene:
        first, second = scene.pod(*FRONT), scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        runs = scene.new_runs(first)
        loads = [scene.begin(second, runs, rest_s=0.005)]
        for how in (first.kill, first.kill, first.stop):
            load = scene.begin(first, runs, rest_s=0.002)
            time.sleep(scene.random.uniform(0.05, 0.8))  # the moment is the point of the test
            how()
            loads.append(load)
            load.stop()
            if how == first.kill:
                first.start()
        more(loads[0], 100, "with one gateway")
        acked = scene.sound(*loads, least=1000)
        wait_until(lambda: second.stat("sluice_backlog_points") == 0, 10, "no backlog")
        return f"2 kills and a drain, {acked} points acked"


def kill_flusher(suite):
    """kill -9 of the flusher, at random and at each named place of the flush."""
    with Scene(suite, "kill_flusher") as scene:
        front = scene.pod(*FRONT)
        flusher = scene.pod(*FLUSHER)
        load = scene.begin(front, rest_s=0.005, batch_points=60)
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


def broker(suite):
    """The broker is killed, then hangs: writes are refused with 503, reads go on, all recovers by itself."""
    with Scene(suite, "broker") as scene:
        front = scene.pod(*FRONT)
        scene.pod(*FLUSHER)
        load = scene.begin(front, rest_s=0.002)
        for away, back in ((scene.kafka.kill, scene.kafka.start),
                           (scene.kafka.pause, scene.kafka.resume)):
            away()  # hung, the kernel still accepts its connections, and nobody answers
            wait_until(lambda: front.status() == 503, 30, "not ready")
            begin = time.monotonic()
            answer = front.log_metric(load.runs[0])
            assert answer.status_code == 503 and "Retry-After" in answer.headers, answer.text
            assert time.monotonic() - begin < 2, "a refusal must not wait"
            answer = front.get_run(load.runs[0])
            assert answer.status_code == 200, f"a read during the fault: {answer.text}"
            back()
            more(load, 200, "after the broker's return")
            wait_until(lambda: front.status() == 200, 30, "ready again")
        load.stop()
        assert load.statuses[503] > 0, load.statuses
        # What is asked for by hand is not in the ledger: it was refused.
        return (f"{load.statuses[503]} writes refused, "
                f"{scene.sound(load, least=500)} points acked")


def rebalance(suite):
    """Partitions move in the middle of windows; for a moment one is in two hands."""
    with Scene(suite, "rebalance") as scene:
        front = scene.pod(*FRONT)
        first = scene.pod(*FLUSHER)
        load = scene.begin(front, rest_s=0.005)
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
    """PostgreSQL is gone for 20 s (long: 3 minutes), Kafka holds the backlog, and who wrote it is gone."""
    with Cluster(fsync=True) as cluster, Scene(suite, "postgres", cluster=cluster) as scene:
        front = scene.pod(*FRONT)
        flusher = scene.pod(*FLUSHER)
        load = scene.begin(front, rest_s=0.005)
        cluster.stop(signal.SIGQUIT)
        gone = time.monotonic()
        more(load, 500, "without PostgreSQL")
        wait_until(lambda: front.stat("sluice_backlog_points") > 100, 30, "a backlog")
        wait_until(lambda: time.monotonic() - gone > suite.choose(20, 180), 200, "the outage")
        more(load, 100, "at its end")
        age = front.stat("sluice_backlog_seconds")
        assert age > suite.choose(10, 150), f"the backlog's age is {age} s"
        flusher.kill()
        front.kill()  # what is in Kafka needs no gateway
        load.stop()
        cluster.start()
        flusher.start()
        acked = scene.sound(load, least=1000)
        front.start()
        return f"{age:.0f} s of backlog, {acked} points acked"


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


def caught_begin_at_end(suite):
    """Partitions that are read from their ends, not from PostgreSQL's positions, must show as lost points."""
    with Scene(suite, "caught_begin_at_end") as scene:
        front = scene.pod(*FRONT)
        flusher = scene.pod(*FLUSHER)
        load = scene.begin(front, rest_s=0.005)
        flusher.kill()
        more(load, 100, "without a flusher")
        missed = {p: end for p, end in scene.ends().items() if end}
        flusher.env = {"SLUICE_TEST_BEGIN_AT_END": "1"}
        flusher.start()

        def is_beyond():
            have = scene.positions()
            return all(have.get(p, 0) > end for p, end in missed.items())

        # An end is asked for after a partition is given, and messages must come behind it.
        wait_until(is_beyond, 60, "messages behind the ends are applied")
        return must_be_lost(scene, load)


# In two lanes (run.py), of about the same length.
CLIENTS = [client, own_writes, refused, gateways, kill_flusher, rebalance, strangers,
           caught_early_ack, caught_position_first, caught_begin_at_end]
OUTAGES = [broker, postgres]
