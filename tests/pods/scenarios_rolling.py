"""HAProxy in front of gateways that are restarted one by one: 0 failed requests."""

import collections
import threading
import time

import requests

from haproxy import HAProxy
from scenarios_journals import Pods, TopicPods
from scene import API, FLUSHER, FRONT
from server import free_port, wait_until

GATEWAYS = 3
# Longer than HAProxy's two checks of half a second; the rest is for a machine that is busy.
DRAIN = ["--drain-delay", "4s", "--workers", "1"]


class Reader(threading.Thread):
    """A client with one keep-alive connection that reads, and remembers what went wrong."""

    def __init__(self, url, runs):
        super().__init__(daemon=True)
        self.url = url
        self.runs = runs
        self.is_over = threading.Event()
        self.statuses = collections.Counter()
        self.start()

    def run(self):
        with requests.Session() as session:
            while not self.is_over.is_set():
                for run in self.runs:
                    try:
                        answer = session.get(self.url + API + "runs/get", timeout=60,
                                             params={"run_id": run})
                        self.statuses[answer.status_code] += 1
                    except requests.RequestException as e:
                        self.statuses[repr(e)] += 1
                    self.is_over.wait(0.02)

    def stop(self):
        self.is_over.set()
        self.join()
        return self.statuses


class Front:
    """Gateways on ports that outlive them, and HAProxy before them."""

    def __init__(self, pods, *args):
        self.ports = {f"pod{i}": free_port() for i in range(GATEWAYS)}
        self.gateways = {name: pods.pod(name, *args, *DRAIN, "--listen", f"127.0.0.1:{port}")
                         for name, port in self.ports.items()}

    def await_all(self, proxy):
        wait_until(lambda: all(proxy.states()[name] == "UP" for name in self.ports), 60,
                   "HAProxy sees all pods")


def restart_all(front, proxy, load):
    """SIGTERM, the end, the next one: nobody may notice. How long each was gone, and left."""
    gone = []
    for name, pod in front.gateways.items():
        front.await_all(proxy)
        begin = time.monotonic()
        pod.process.terminate()
        wait_until(lambda n=name: proxy.states()[n] == "DOWN", 30, f"HAProxy leaves {name}")
        left = time.monotonic() - begin
        assert pod.process.poll() is None, "it was gone before HAProxy had left it"
        pod.process.wait(timeout=60)
        assert pod.process.returncode == 0, pod.tail()
        pod.start()
        gone.append(time.monotonic() - begin)
        assert left < 4, f"drain_delay was over before HAProxy had left ({left:.1f} s)"
        acks = load.acks
        wait_until(lambda a=acks: load.acks > a + 100, 60, "acks")
    front.await_all(proxy)
    return gone


def served(load, reader):
    """Nothing but 200, and no connection that broke."""
    statuses = reader.stop()
    assert set(load.statuses) == {200}, f"writes: {load.statuses}"
    assert set(statuses) == {200}, f"reads: {statuses}"
    return f"{sum(load.statuses.values())} writes and {sum(statuses.values())} reads, 0 failed"


def rolling_journal(suite):
    """Three pods with a journal each, restarted one by one under load: 0 failed requests."""
    with Pods(suite, "rolling_journal") as pods:
        front = Front(pods)
        with HAProxy(front.ports) as proxy:
            front.await_all(proxy)
            load = pods.begin(proxy, clients=4, batch_points=10)
            reader = Reader(proxy.url, load.runs[:2])
            for _ in range(3 if suite.is_long else 1):
                restart_all(front, proxy, load)
            pods.end(load)
            what = served(load, reader)
        pods.flushed(*front.gateways.values())
        return f"{what}, {pods.sound(500)} points acked"


def rolling_kafka(suite):
    """Stateless gateways and a flusher, each restarted in turn; then one pod fewer for good."""
    with TopicPods(suite, "rolling_kafka", "--kafka.message.timeout.ms", "20000") as pods:
        front = Front(pods, *FRONT)
        flusher = pods.flusher("flusher", *FLUSHER)
        with HAProxy(front.ports) as proxy:
            front.await_all(proxy)
            load = pods.begin(proxy, clients=4, batch_points=10)
            reader = Reader(proxy.url, load.runs[:2])
            restart_all(front, proxy, load)
            flusher.stop()
            flusher.start()
            last = list(front.gateways.values())[-1]  # scale down
            last.stop()
            wait_until(lambda a=load.acks: load.acks > a + 100, 60, "acks with one pod fewer")
            pods.end(load)
            what = served(load, reader)
        pods.await_flush()
        return f"{what}, {pods.sound(500)} points acked"


def caught_rolling(suite):
    """With kill -9 the same restart must show as failed requests, or this suite sees nothing."""
    with Pods(suite, "caught_rolling") as pods:
        front = Front(pods)
        with HAProxy(front.ports) as proxy:
            front.await_all(proxy)
            load = pods.begin(proxy, clients=6)
            broken = 0
            for _ in range(20):
                for pod in front.gateways.values():
                    pod.kill()  # as a pod without a grace period ends
                    pod.start()
                broken = sum(load.statuses_so_far(s) for s in (502, 503, 504, "broken"))
                if broken:
                    break
            pods.end(load)
            assert broken, "nobody noticed"
        pods.flushed(*front.gateways.values())
        return f"caught: {dict(load.statuses)}, {pods.sound(100)} points acked"


SCENARIOS = [rolling_journal, rolling_kafka]
LONG = [caught_rolling]
