"""Scenarios with one broker that take their time, or a JVM for each step: `make pods-long`."""

import contextlib
import glob
import json
import os
import signal
import tempfile

import psycopg

from scene import FLUSHER, FRONT, PARTITIONS, Scene, Skip, more
from server import wait_until

def hang_in_transaction(scene, pod):
    """Stops a flusher at a moment at which a transaction of its own is open."""
    def is_caught():
        pod.pause()
        with psycopg.connect(scene.uri) as pg:
            idle = pg.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND"
                " application_name LIKE 'sluice flusher %' AND state = 'idle in transaction'"
                " AND pid IN (SELECT pid FROM pg_locks WHERE relation ="
                " 'sluice.positions'::regclass)").fetchone()[0]
        if not idle:
            pod.resume()
        return idle

    return wait_until(is_caught, 120, "a transaction that is open")


def rebalance_amid(suite):
    """A flusher hangs in the middle of a transaction for longer than its session, others come and go."""
    with Scene(suite, "rebalance_amid") as scene:
        front = scene.pod(*FRONT)
        first = scene.pod(*FLUSHER)
        load = scene.begin(front, rest_s=0.005)
        wait_until(lambda: first.stat("sluice_windows_total") > 2, 30, "windows")
        for _ in range(suite.choose(1, 2)):
            hang_in_transaction(scene, first)
            second = scene.pod(*FLUSHER)
            wait_until(lambda s=second: s.holds(PARTITIONS), 60, "the second has all")
            third = scene.pod(*FLUSHER)
            wait_until(lambda t=third: t.holds(PARTITIONS // 4), 60, "the third has its share")
            # The rows that the first has locked are waited for until PostgreSQL ends its session
            # (idle_in_transaction_session_timeout).
            applied = sum(pod.stat("sluice_applied_points_total") for pod in (second, third))
            wait_until(lambda a=applied, s=second, t=third: sum(
                pod.stat("sluice_applied_points_total") for pod in (s, t)) > a + 1000,
                120, "others apply")
            third.stop()
            first.resume()
            wait_until(lambda: first.holds(PARTITIONS // 4), 90, "the first is back")
            second.stop()
            wait_until(lambda: first.holds(PARTITIONS), 60, "the first has all")
            more(load, 100, "afterwards")
        return f"hung in its transaction: {scene.sound(load, least=500)} points acked"


class Clock:
    """libfaketime for a pod, from a file that moves under it. The monotonic clock stays true."""

    def __init__(self, suite, folder):
        found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        # jemalloc asks for the time while it starts, which libfaketime cannot bear.
        self.binary = os.path.join(os.path.dirname(suite.binary), "plain", "sluice")
        if not found or not os.path.exists(self.binary):
            raise Skip("libfaketime is not installed, or build/plain/sluice not built")
        self.path = os.path.join(folder, "clock")
        self.env = {"LD_PRELOAD": found[0], "FAKETIME_TIMESTAMP_FILE": self.path,
                    "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.set(0)

    def set(self, seconds):
        with open(self.path + ".new", "w", encoding="ascii") as f:
            f.write(f"{seconds:+d}\n")
        os.replace(self.path + ".new", self.path)


def clocks(suite):
    """The wall clocks of a gateway, of a flusher and of both jump by hours and years (F22)."""
    with contextlib.ExitStack() as stack:
        made = [Clock(suite, stack.enter_context(tempfile.TemporaryDirectory(prefix="clock-")))
                for _ in range(2)]
        scene = stack.enter_context(Scene(suite, "clocks", args=["--read-wait", "10s"]))
        front = scene.pod(*FRONT, env=made[0].env, binary=made[0].binary)
        flusher = scene.pod(*FLUSHER, env=made[1].env, binary=made[1].binary)
        wait_until(lambda: flusher.holds(PARTITIONS), 60, "the partitions")
        load = scene.begin(front, rest_s=0.005)
        run = scene.new_runs(front, 1)[0]
        step = 0
        for hours in [1, -1, 24 * 400, -24 * 4000, 0] * suite.choose(1, 3):
            for which in (made[:1], made[1:], made):
                for clock in which:
                    clock.set(hours * 3600)
                more(load, 50, f"{hours} h away")
                step += 1
                assert front.log_metric(run, step).status_code == 200
                metrics = front.get_run(run).json()["run"]["data"]["metrics"]
                assert metrics[0]["value"] == step, f"{hours} h away: {metrics}"
            wait_until(lambda: front.stat("sluice_backlog_seconds") < 5, 60, "no false age")
        assert front.status() == 200
        assert flusher.stat("sluice_kafka_partitions") == PARTITIONS, "it lost its share"
        return f"{step} jumps, {scene.sound(load, least=500, only=[200])} points acked"


def retention(suite):
    """What the topic drops behind the position costs nothing; what it drops before it is counted."""
    with Scene(suite, "retention") as scene:
        front = scene.pod(*FRONT)
        flusher = scene.pod(*FLUSHER)
        first = scene.begin(front, rest_s=0.005)
        more(first, 200, "to be kept")
        first.stop()
        scene.await_flush()
        flusher.stop()
        drop(scene, scene.positions())  # to the edge, and not an entry beyond
        flusher.start()
        second = scene.begin(front, rest_s=0.005)
        more(second, 100, "behind the edge")
        acked = scene.sound(first, second, least=300)
        assert flusher.stat("sluice_kafka_expired_total") == 0
        flusher.stop()
        held = scene.positions()
        lost = scene.begin(front, rest_s=0.005)
        more(lost, 100, "to be lost")
        lost.stop()
        ends = scene.ends()
        drop(scene, ends)
        flusher.start()
        gone = sum(ends[p] - held[p] for p in ends)
        wait_until(lambda: flusher.stat("sluice_kafka_expired_total") == gone, 60,
                   f"{gone} lost entries are counted")
        assert "retention removed entries" in flusher.output()
        # Though nothing comes behind the gap, nothing is behind.
        scene.await_flush()
        wait_until(lambda: flusher.stat("sluice_backlog_points") == 0, 30, "no backlog")
        wait_until(lambda: front.stat("sluice_backlog_points") == 0, 30, "no backlog")
        third = scene.begin(front, rest_s=0.005)
        more(third, 100, "after the loss")
        third.stop()
        # What was sent and lost may be sent again, and is then there.
        third.ledger.sent_points = {run: points | lost.ledger.sent_points.get(run, set())
                                    for run, points in third.ledger.sent_points.items()}
        problems = scene.problems(first.ledger, second.ledger, third.ledger)
        assert not problems, "\n".join(problems)
        return f"{acked} points acked and kept, {gone} entries counted as lost"


def drop(scene, before):
    """Deletes from each partition's log what lies before these offsets."""
    path = os.path.join(scene.kafka.folder, "delete.json")
    parts = [{"topic": scene.topic, "partition": p, "offset": o} for p, o in before.items()]
    with open(path, "w", encoding="utf-8") as f:
        json.dump({"partitions": parts, "version": 1}, f)
    scene.kafka.run("org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server",
                    scene.kafka.bootstrap, "--offset-json-file", path)


def lost_pods(suite):
    """Pods whose node is gone, directory and all: another takes their place, nothing acked is lost (F21)."""
    with Scene(suite, "lost_pods") as scene:
        loads = []
        keeper = scene.pod(*FRONT)
        loads.append(scene.begin(keeper, rest_s=0.005))
        for _ in range(suite.choose(2, 5)):
            front, flusher = scene.pod(*FRONT), scene.pod(*FLUSHER)
            load = scene.begin(front, rest_s=0.005)
            wait_until(lambda f=flusher: f.stat("sluice_windows_total") > 2, 60, "windows")
            for pod in (front, flusher):
                pod.process.send_signal(signal.SIGKILL)
                pod.process.wait(timeout=30)
                scene.forget(pod)
            load.stop()
            loads.append(load)
        scene.pod(*FLUSHER)
        return f"{2 * (len(loads) - 1)} pods lost, {scene.sound(*loads, least=500)} points acked"


SCENARIOS = [rebalance_amid, clocks, retention, lost_pods]
