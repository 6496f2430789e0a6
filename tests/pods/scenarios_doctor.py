"""`sluice doctor` looks at Kafka: brokers, topic, the group of flushers and what it has left."""

import json
import os
import subprocess

from scenarios_journals import TopicPods
from scene import FLUSHER, FRONT
from server import clean_environment, free_port, wait_until


def examine(pods, *args, brokers=None):
    """check -> (verdict, all that was said)"""
    command = [pods.suite.binary, "doctor", "--json", "--pg-uri", pods.uri, "--data-dir",
               pods.directory("doctor"), "--listen", "127.0.0.1:0", "--admin-listen",
               "127.0.0.1:0", "--queue", "kafka", "--kafka-brokers",
               brokers or pods.kafka.bootstrap, "--kafka-topic", pods.topic, *args]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60,
                          env=clean_environment())
    checks = json.loads(done.stdout)
    assert done.returncode == any(c["verdict"] == "fail" for c in checks), done
    return {c["check"]: (c["verdict"], c["saw"] + ": " + c["remedy"]) for c in checks}


def doctor(suite):
    """Before the first start, in health, with a dead flusher, without a broker."""
    with TopicPods(suite, "doctor") as pods:
        found = examine(pods)
        assert found["kafka"][0] == "ok" and "1 brokers" in found["kafka"][1], found["kafka"]
        assert found["topic"][0] == "warn" and "is not there" in found["topic"][1], found["topic"]
        front = pods.pod("front", *FRONT)
        flusher = pods.flusher("flusher", *FLUSHER)
        pods.end(pods.begin(front))
        pods.await_flush()
        found = examine(pods)
        assert found["topic"][0] == "warn", found["topic"]  # one replica
        assert "16 partitions, 1 replicas, min.insync.replicas 1" in found["topic"][1], found
        assert found["flushers"] == ("ok", "2 in the group, 0 entries wait in the topic: "), found
        flusher.kill()
        load = pods.begin(front)
        pods.end(load)

        def is_seen():
            verdict, words = examine(pods)["flushers"]
            return verdict == "warn" and words.startswith("0 in the group") and \
                " 0 entries" not in words

        wait_until(is_seen, 60, "the dead flusher shows, when its session is over")
        found = examine(pods, brokers=f"127.0.0.1:{free_port()}")
        assert found["kafka"][0] == "fail" and "does not answer" in found["kafka"][1], found
        assert found["flushers"][0] == "warn", found
        secret = pods.directory("secret")
        with open(secret, "w", encoding="utf-8") as f:
            f.write("hunter2\n")
        os.chmod(secret, 0o600)
        env = {"SLUICE_KAFKA_SASL_PASSWORD_FILE": secret}
        shown = subprocess.run([suite.binary, "config", "dump"], capture_output=True, text=True,
                               timeout=30, env=clean_environment(env))
        assert "kafka.sasl.password = ***" in shown.stdout, shown
        assert "hunter2" not in shown.stdout + shown.stderr
        flusher.start()
        pods.await_flush()
        return f"4 looks, {pods.sound(100)} points acked"


SCENARIOS = [doctor]
