"""A throwaway Kafka cluster for tests: Apache Kafka in KRaft mode, from Maven Central.

    with Kafka() as kafka:
        kafka.bootstrap        # host:port

The jars lie in build/kafka/libs (`make build/kafka/.stamp` fetches them by tests/tools/kafka/
pom.xml and checks them against SHA256SUMS there). Each broker is a process of its own, combined
with a controller, on free ports and in a temporary directory. kill() is kill -9, pause() and
resume() are SIGSTOP and SIGCONT, start() brings the same broker back on the same ports and logs.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time

from server import free_port, is_port_open

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBS = os.path.join(ROOT, "build/kafka/libs")

# Small and quick: a test wants a rebalance in seconds and little memory.
JAVA = ["java", "-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-cp", LIBS + "/*"]
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "auto.create.topics.enable": "true",  # the worst case: nothing of ours may lean on it
    "log.flush.interval.messages": "1",   # kill -9 keeps the page cache; this costs little
}


class Kafka:
    def __init__(self, settings=None):
        self.folder = tempfile.mkdtemp(prefix="kafka-")
        self.port, self.controller_port = free_port(), free_port()
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.settings = dict(SETTINGS, **(settings or {}))
        self.settings.update({
            "listeners": f"PLAINTEXT://{self.bootstrap},"
                         f"CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "log.dirs": os.path.join(self.folder, "data")})
        self.config = os.path.join(self.folder, "server.properties")
        self.process = None

    def run(self, *command):
        """One of Kafka's own programs, to its end."""
        return subprocess.run([*JAVA, *command], capture_output=True, text=True, timeout=120,
                              check=True, cwd=self.folder).stdout

    def __enter__(self):
        with open(self.config, "w", encoding="utf-8") as f:
            f.writelines(f"{k}={v}\n" for k, v in self.settings.items())
        self.run("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qk",
                 "-c", self.config)
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *unused):
        try:
            if self.process and self.process.poll() is None:
                self.process.kill()
                self.process.wait(timeout=30)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def output(self):
        with open(os.path.join(self.folder, "output"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def start(self, limit_s=60):
        with open(os.path.join(self.folder, "output"), "ab") as out:
            # start_new_session: the Ctrl-C of whoever runs the tests is for the tests.
            self.process = subprocess.Popen([*JAVA, "kafka.Kafka", self.config], stdout=out,
                                            stderr=out, stdin=subprocess.DEVNULL,
                                            cwd=self.folder, start_new_session=True)
        deadline = time.monotonic() + limit_s
        while not is_port_open(self.port):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Kafka did not start:\n{self.output()[-4000:]}")
            time.sleep(0.05)
        return self

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait(timeout=30)

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def topic(self, *arguments):
        return self.run("org.apache.kafka.tools.TopicCommand", "--bootstrap-server",
                        self.bootstrap, *arguments)
