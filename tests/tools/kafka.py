"""A throwaway Kafka cluster for tests: Apache Kafka in KRaft mode, from Maven Central.

    with Kafka() as kafka:                      # one broker
        kafka.bootstrap                         # host:port
    with Kafka(hosts=[h1, h2, h3]) as kafka:    # three, each in a network namespace (wire.py)
        kafka.brokers[0].kill()

The jars lie in build/kafka/libs (`make build/kafka/.stamp` fetches them by tests/tools/kafka/
pom.xml and checks them against SHA256SUMS there). Each broker is a process of its own, combined
with a controller, on free ports and in a temporary directory. kill() is kill -9, pause() and
resume() are SIGSTOP and SIGCONT, start() brings the same broker back on the same ports and logs;
of a Kafka they are those of its first broker.
"""

import concurrent.futures
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from server import free_port

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBS = os.path.join(ROOT, "build/kafka/libs")

# Small and quick: a test wants a rebalance in seconds and little memory.
JAVA = ["-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
SETTINGS = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "offsets.topic.num.partitions": "4",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "auto.create.topics.enable": "true",  # the worst case: nothing of ours may lean on it
    "log.flush.interval.messages": "1",   # kill -9 keeps the page cache; this costs little
}
# What several brokers notice of each other, in seconds; leaders move when a test says so.
TOGETHER = {
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
    "auto.leader.rebalance.enable": "false",
    "replica.lag.time.max.ms": "3000",
    "replica.socket.timeout.ms": "3000",
    "replica.fetch.wait.max.ms": "200",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
    "controller.quorum.election.timeout.ms": "1000",
    "controller.quorum.fetch.timeout.ms": "2000",
    "controller.socket.timeout.ms": "3000",
    "controller.quorum.request.timeout.ms": "2000",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "2097152",
}


def java(options):
    return ["java", *options, "-cp", LIBS + "/*"]


class Here:
    """The host of a broker that is in nobody's namespace."""

    address = "127.0.0.1"

    def inside(self, *command):
        return list(command)


class Broker:
    def __init__(self, kafka, node, host):
        self.kafka = kafka
        self.node = node
        self.host = host
        self.folder = os.path.join(kafka.folder, f"broker{node}")
        os.mkdir(self.folder)
        self.port, self.controller_port = free_port(), free_port()
        self.address = f"{host.address}:{self.port}"
        self.controller = f"{host.address}:{self.controller_port}"
        self.config = os.path.join(self.folder, "server.properties")
        self.process = None
        self.is_paused = False

    def prepare(self, settings):
        settings = dict(settings, **{
            "node.id": self.node,
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://{self.controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "log.dirs": os.path.join(self.folder, "data")})
        with open(self.config, "w", encoding="utf-8") as f:
            f.writelines(f"{k}={v}\n" for k, v in settings.items())
        self.kafka.run("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk",
                       "-c", self.config)

    def output(self):
        with open(os.path.join(self.folder, "output"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def is_open(self):
        with socket.socket() as s:
            s.settimeout(2)
            return s.connect_ex((self.host.address, self.port)) == 0

    def launch(self):
        with open(os.path.join(self.folder, "output"), "ab") as out:
            # start_new_session: the Ctrl-C of whoever runs the tests is for the tests.
            self.process = subprocess.Popen(
                self.host.inside(*java(self.kafka.java), "kafka.Kafka", self.config),
                stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True)

    def await_open(self, limit_s=90):
        deadline = time.monotonic() + limit_s
        while not self.is_open():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Kafka did not start:\n{self.output()[-4000:]}")
            time.sleep(0.05)

    def start(self):
        self.launch()
        self.await_open()

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait(timeout=30)

    def pause(self):
        self.is_paused = True
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def log_bytes(self, topic, partition):
        """How long its log of the partition is."""
        folder = os.path.join(self.folder, "data", f"{topic}-{partition}")
        return sum(os.path.getsize(os.path.join(folder, name)) for name in os.listdir(folder)
                   if name.endswith(".log"))


class Kafka:
    def __init__(self, settings=None, hosts=None, java=None):
        self.java = java or JAVA + (["-Xmx256m"] if hosts else [])
        self.folder = tempfile.mkdtemp(prefix="kafka-")
        self.brokers = [Broker(self, i + 1, host) for i, host in enumerate(hosts or [Here()])]
        count = str(len(self.brokers))
        self.bootstrap = ",".join(b.address for b in self.brokers)
        self.settings = dict(SETTINGS, **(TOGETHER if len(self.brokers) > 1 else {}))
        for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
            self.settings[topic + ".replication.factor"] = count
        for topic in ("transaction.state.log", "share.coordinator.state.topic"):
            self.settings[topic + ".min.isr"] = "1" if count == "1" else "2"
        self.settings["controller.quorum.voters"] = ",".join(
            f"{b.node}@{b.controller}" for b in self.brokers)
        self.settings.update(settings or {})

    def run(self, *command):
        """One of Kafka's own programs, to its end."""
        return subprocess.run([*java(JAVA), *command], capture_output=True, text=True, timeout=120,
                              check=True, cwd=self.folder).stdout

    def __enter__(self):
        try:
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda b: b.prepare(self.settings), self.brokers))
            for broker in self.brokers:
                broker.launch()
            for broker in self.brokers:
                broker.await_open()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *unused):
        try:
            for broker in self.brokers:
                if broker.is_alive():
                    broker.process.kill()
                    broker.process.wait(timeout=30)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- the first broker, which is often the only one ---------------------------------------

    @property
    def process(self):
        return self.brokers[0].process

    def start(self):
        self.brokers[0].start()
        return self

    def kill(self):
        self.brokers[0].kill()

    def pause(self):
        self.brokers[0].pause()

    def resume(self):
        self.brokers[0].resume()

    # -- all of them ----------------------------------------------------------------------------

    def heal(self):
        """Whatever was done to them: all run again."""
        gone = [b for b in self.brokers if not b.is_alive()]
        for broker in self.brokers:
            if broker not in gone:
                broker.resume()
        for broker in gone:
            broker.launch()
        for broker in gone:
            broker.await_open()

    def alive(self):
        """Addresses of those that answer."""
        return ",".join(b.address for b in self.brokers if b.is_alive() and not b.is_paused)

    def topic(self, *arguments):
        return self.run("org.apache.kafka.tools.TopicCommand", "--bootstrap-server",
                        self.alive(), *arguments)

    def placement(self, topic, at=None):
        """Partition -> (leader, replicas, in-sync replicas), node ids; leader -1: none. As the broker `at`
        sees it, or any."""
        done = subprocess.run(["kcat", "-b", at.address if at else self.alive(), "-L", "-J", "-t",
                               topic, "-m", "10"], capture_output=True, text=True, timeout=60)
        if done.returncode:
            return {}
        return {p["partition"]: (p["leader"], [r["id"] for r in p["replicas"]],
                                 [r["id"] for r in p["isrs"]])
                for t in json.loads(done.stdout)["topics"] for p in t["partitions"]}

    def controller(self):
        """The broker that is the active controller."""
        text = self.run("org.apache.kafka.tools.MetadataQuorumCommand", "--bootstrap-server",
                        self.alive(), "describe", "--status")
        return self.brokers[int(re.search(r"LeaderId:\s+(\d+)", text)[1]) - 1]

    def group_state(self, group):
        """(its coordinator's broker, its state) of a consumer group."""
        text = self.run("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
                        "--bootstrap-server", self.alive(), "--describe", "--state", "--group", group)
        found = re.search(r"\((\d+)\)\s+(?:\S+\s+)?(\w+)\s+\d+\s*$", text, re.M)
        return self.brokers[int(found[1]) - 1], found[2]

    def elect_preferred(self, topic, replicas):
        """Moves leaders at once: the first of the replicas of each partition, given as lists."""
        parts = [{"topic": topic, "partition": p, "replicas": order}
                 for p, order in replicas.items()]
        path = os.path.join(self.folder, "order.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump({"version": 1, "partitions": parts}, f)
        self.run("org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
                 "--bootstrap-server", self.alive(), "--reassignment-json-file", path, "--execute")
        self.run("org.apache.kafka.tools.LeaderElectionCommand", "--bootstrap-server",
                 self.alive(), "--election-type", "preferred", "--path-to-json-file", path)
