"""Everything at once: gateways, flushers, Kafka, Redis and PostgreSQL under load, and every part is killed.

Readers ask one gateway for what another has just acknowledged. With Redis what they get must be there,
or the answer says how far it is behind; while Redis itself is down, and a moment after, only that the
answer comes.
"""

import collections
import contextlib
import signal
import threading
import time

import requests

from cluster import Cluster
from redis_server import RedisServer
from scene import API, BEHIND, FLUSHER, FRONT, Pod, Scene, wait_until
from server import clean_environment, free_port

GATEWAYS, FLUSHERS = 3, 2
SETTLED_S = 3  # pods find Redis again within this


class Part:
    """Something that can be killed and comes back."""

    def __init__(self, name, kill, start):
        self.name, self.kill, self.start = name, kill, start
        self.is_down = False
        self.changed = time.monotonic()
        self.kills = 0

    def fell(self):
        self.kill()
        self.kills += 1
        self.is_down, self.changed = True, time.monotonic()

    def rise(self):
        self.start()
        self.is_down, self.changed = False, time.monotonic()

    def is_settled(self, since):
        return not self.is_down and self.changed + SETTLED_S < since


class Lasting(Pod):
    """A pod at an address of its own, started over whenever it is gone, as an orchestrator does."""

    def __init__(self, scene, *args):
        super().__init__(scene, *args)
        if not self.is_flusher:
            self.url = f"http://127.0.0.1:{free_port()}"
            self.args += ["--listen", self.url[7:]]
        self.admin_url = f"http://127.0.0.1:{free_port()}"
        self.args += ["--admin-listen", self.admin_url[7:]]

    def launch(self):
        self.spawn(self.command(), clean_environment(self.env))

    def keep(self):
        """Ends by itself when Kafka or PostgreSQL are away at its start."""
        if self.process.poll() is not None:
            self.launch()

    def await_ready(self):
        def is_ready():
            self.keep()
            with contextlib.suppress(requests.RequestException):
                return self.status() == 200
            return False

        wait_until(is_ready, 120, "/readyz")


class Reader(threading.Thread):
    """Writes at one gateway, and reads at another right after the ack."""

    def __init__(self, everything, number, run):
        super().__init__(daemon=True)
        self.all = everything
        self.run_id = run
        self.random = everything.scene.random.__class__(f"{everything.suite.seed}/reader{number}")
        self.counts = collections.Counter()
        self.examples = []
        self.least = self.step = 0
        self.session = requests.Session()

    @staticmethod
    def skips(*pods):
        """How often they went on without Redis, which was too slow for redis_wait, and counted it. A count
        dies with its process: one that has been killed since may have gone on without saying so."""
        return [(pod.process.pid, pod.stat("sluice_redis_skipped_total")) for pod in pods]

    def turn(self):
        writer, reader = self.random.sample(self.all.fronts, 2)
        begin = time.monotonic()
        skipped = self.skips(writer, reader)
        self.step += 1
        answer = self.session.post(writer.url + API + "runs/log-metric", timeout=30, json={
            "run_id": self.run_id, "key": "own", "value": self.step, "timestamp": self.step,
            "step": self.step})
        if answer.status_code != 200:
            self.counts["refused"] += 1
            return
        self.least = self.step
        answer = self.session.get(reader.url + API + "runs/get", timeout=30,
                                  params={"run_id": self.run_id})
        if answer.status_code != 200:
            self.counts["unread"] += 1
            return
        metrics = answer.json()["run"]["data"].get("metrics", [])
        seen = max((m["value"] for m in metrics if m["key"] == "own"), default=0)
        if seen >= self.least:
            self.counts["fresh"] += 1
        elif BEHIND in answer.headers:
            self.counts["said"] += 1
        elif not self.all.is_promised(begin) or self.skips(writer, reader) != skipped:
            self.counts["unpromised"] += 1
        else:
            self.counts["stale"] += 1
            ago = time.monotonic() - self.all.redis_part.changed
            self.examples.append(f"{self.run_id}: acked {self.least} at {writer.url}, read {seen} at {reader.url}, "
                                 f"which took {time.monotonic() - begin:.3f} s, {ago:.0f} s after Redis changed; "
                                 f"pids and skips {skipped}")

    def run(self):
        while not self.all.is_over.wait(0.02):
            try:
                self.turn()
            except requests.RequestException:
                self.counts["broken"] += 1


class Everything:
    """The parts, and a seeded hand that takes them away one after the other."""

    def __init__(self, suite, scene, cluster, redis):
        self.suite, self.scene, self.redis = suite, scene, redis
        self.is_over = threading.Event()
        self.fronts = [Lasting(scene, *FRONT, *redis.args) for _ in range(GATEWAYS)]
        self.pods = self.fronts + [Lasting(scene, *FLUSHER, *redis.args) for _ in range(FLUSHERS)]
        scene.pods += self.pods
        self.parts = [Part("gateway" if pod in self.fronts else "flusher", pod.kill, pod.launch)
                      for pod in self.pods]
        self.parts += [Part("broker", broker.kill, broker.launch)
                       for broker in scene.kafka.brokers[:1]]
        self.parts.append(Part("PostgreSQL", lambda: cluster.stop(signal.SIGQUIT), cluster.start))
        self.redis_part = Part("Redis", redis.kill, redis.start)
        self.parts.append(self.redis_part)

    def is_promised(self, since):
        """Fresh reads of others' writes, of what began at that moment?"""
        return self.redis_part.is_settled(since)

    def begin(self):
        for pod in self.pods:
            pod.launch()
        for pod in self.pods:
            pod.await_ready()
        runs = self.scene.new_runs(self.fronts[0], 12)
        self.loads = [self.scene.begin(front, runs, rest_s=0.01, clients=3, batch_points=60)
                      for front in self.fronts]
        self.readers = [Reader(self, i, run) for i, run in
                        enumerate(self.scene.new_runs(self.fronts[0], 4))]
        for reader in self.readers:
            reader.start()

    def kill_for(self, seconds):
        """Each part at least once, for at most so long unless that takes longer."""
        order = []
        end = time.monotonic() + seconds
        while order or time.monotonic() < end or not all(part.kills for part in self.parts):
            if not order:
                order = list(self.parts)
                self.scene.random.shuffle(order)
            part = order.pop()
            if part.is_down:
                continue
            part.fell()
            self.is_over.wait(self.scene.random.uniform(0.2, 2))
            part.rise()
            for pod in self.pods:
                pod.keep()
            self.is_over.wait(self.scene.random.uniform(0.2, 2))

    def mend(self):
        self.scene.kafka.heal()
        for pod in self.pods:
            pod.await_ready()

    def read_on(self, turns):
        """So many reads with every part there, and for long enough."""
        def count():
            return sum(reader.counts["fresh"] + reader.counts["stale"] for reader in self.readers)

        before = count()
        wait_until(lambda: count() >= before + turns, 120, f"{turns} reads of own writes")

    def kills(self):
        counts = collections.Counter()
        for part in self.parts:
            counts[part.name] += part.kills
        return ", ".join(f"{n} {name}" for name, n in counts.items())

    def end(self):
        self.is_over.set()
        for reader in self.readers:
            reader.join()
        counts = sum((reader.counts for reader in self.readers), collections.Counter())
        examples = [text for reader in self.readers for text in reader.examples]
        return counts, examples


def caught_stale(suite):
    """The readers themselves: positions that nobody is told of must show as stale reads."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        scene = stack.enter_context(Scene(suite, "caught_stale", args=["--flush-interval", "2s"]))
        all_ = Everything(suite, scene, suite.cluster, redis)
        for front in all_.fronts:
            front.env = {"SLUICE_TEST_SKIP_SHARE": "1"}
        all_.begin()
        wait_until(lambda: any(reader.examples for reader in all_.readers), 60, "a stale read")
        _, examples = all_.end()
        scene.sound(*all_.loads)
        return f"caught: {examples[0]}"


def everything(suite):
    """3 gateways, 2 flushers, Kafka, Redis, PostgreSQL: every part killed under load, reads across gateways."""
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster(fsync=True))
        redis = stack.enter_context(RedisServer())
        scene = stack.enter_context(Scene(
            suite, "everything", cluster=cluster, kafka=suite.brokers(suite.choose(1, 3)),
            args=["--read-wait", "5s", "--flush-interval", "100ms"]))
        all_ = Everything(suite, scene, cluster, redis)
        all_.begin()
        all_.kill_for(suite.choose(15, 180))
        all_.mend()
        all_.read_on(suite.choose(100, 500))
        counts, examples = all_.end()
        acked = scene.sound(*all_.loads, least=1000)
        assert not examples, "\n".join(examples[:5])
        return f"killed {all_.kills()}; {acked} points acked; reads {dict(counts)}"


SCENARIOS = [everything]
BREAKAGES = [caught_stale]
