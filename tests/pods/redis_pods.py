#!/usr/bin/env python3
"""The redis suite: pods that share positions through a real Redis, which hangs, dies and fills up.

    python tests/pods/redis_pods.py [BINARY] [--seed N] [--only NAME] [--writes N]

Two gateways, A and B, on one PostgreSQL; in journal mode each flushes its own, in Kafka mode a third
process flushes. Windows stay open for a second unless a read hurries them, so a read at B that does not
know of A's points is stale nearly always: what passes here is not luck.

  journal        write at A, read at B at once: never stale, never said to be behind
  kafka          the same through a topic
  tls            the same with rediss://, a password and a database
  kill           kill -9 of Redis under load: everything goes on, nothing is lost, said once
  hang           SIGSTOP of Redis under load: no answer waits for it but the first, for redis_wait
  full           Redis takes no writes (maxmemory): everything goes on, and recovers
  debts          what was acked while Redis was away is read at once when it is back
  gone           a pod dies with points in its journal: reads elsewhere say so soon, and are whole again
  reborn         the same, and Redis forgets meanwhile: what the pod replays is waited for elsewhere
  lost           a pod that never comes back is waited for no longer than redis_position_ttl
  news           deletes and restores at A count at B at once, though run_cache_ttl is long
  grants         what a user may do, changed at A, counts at B at once, though auth_ttl is long
  rate           rate_limit holds for both pods together; for each alone when Redis is gone
  replay         the same runs/create twice makes one run, whichever pod gets it
  caught_skip    the suite itself: positions are not told, stale reads must be found

Needs psycopg and redis-server; kafka needs kcat and Java. Last line: `N passed, N failed`.
"""

import argparse
import itertools
import os
import random
import sys
import threading
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
from redis_server import RedisServer  # noqa: E402
from server import Sluice, wait_until  # noqa: E402

ARGS = ["--flush-interval", "1s", "--workers", "2", "--run-cache-ttl", "300s", "--read-wait", "20s"]
# Where no answer may go without Redis, however busy the machine is.
PATIENT = ["--redis-wait", "10s", "--redis-timeout", "30s"]
BEHIND = "Sluice-Behind-Ms"
API = "/api/2.0/mlflow/"
READERS = 8


class Scene:
    """A database, a Redis, and pods around them."""

    def __init__(self, suite, name, tls=False):
        self.suite = suite
        self.name = name
        self.uri = suite.cluster.create_database("redis_" + name)
        self.redis = RedisServer(tls)
        self.pods = []

    def __enter__(self):
        self.redis.start()
        return self

    def __exit__(self, kind, *unused):
        failure = None
        for pod in reversed(self.pods):
            if kind:
                print(f"--- {pod.args}\n{pod.tail()}")
            try:
                pod.__exit__(kind)
            except AssertionError as e:  # the others must be ended as well
                failure = e
        self.redis.__exit__()
        if failure and not kind:
            raise failure

    def pod(self, *args, env=None):
        pod = Sluice(self.uri, args=ARGS + self.redis.args + list(args), env=env,
                     binary=self.suite.binary)
        self.pods.append(pod)
        pod.start()
        wait_until(lambda: "[+]redis ok" in ready(pod) and
                   pod.stat("sluice_redis_connects_total") >= 3, 20, "redis is there")
        return pod

    def problems(self, *ledgers):
        everything = oracle.Ledger()
        for ledger in ledgers:
            everything.add(ledger)
        for pod in self.pods:
            wait_until(lambda p=pod: p.stat("sluice_backlog_points") == 0, 30, "flushed")
        with psycopg.connect(self.uri) as pg:
            return oracle.check(pg, everything)


def ready(pod):
    answer = requests.get(pod.admin_url + "/readyz?verbose", timeout=10)
    assert answer.status_code == 200, answer.text
    return answer.text


def call(pod, path, session=requests, **body):
    return session.post(pod.url + API + path, json=body, timeout=60)


def new_runs(pod, count, experiment="0"):
    runs = []
    for _ in range(count):
        answer = call(pod, "runs/create", experiment_id=experiment)
        assert answer.status_code == 200, answer.text
        runs.append(answer.json()["run"]["info"]["run_id"])
    return runs


def write(pod, run, step, session=requests):
    answer = call(pod, "runs/log-metric", session, run_id=run, key="m", value=step,
                  timestamp=1700000000000 + step, step=step)
    assert answer.status_code == 200, answer.text


def metrics_of(run):
    return {m["key"]: m["value"] for m in run["data"].get("metrics", [])}


def read(pod, run, way, session=requests):
    """(what the newest value of m is, is it said to be behind), by one of three calls."""
    if way == "get":
        answer = session.get(pod.url + API + "runs/get", params={"run_id": run}, timeout=60)
        value = metrics_of(answer.json()["run"]).get("m")
    elif way == "history":
        answer = session.get(pod.url + API + "metrics/get-history", timeout=60,
                             params={"run_id": run, "metric_key": "m"})
        value = max((m["value"] for m in answer.json().get("metrics", [])), default=None)
    else:
        answer = call(pod, "runs/search", session, experiment_ids=["0"],
                      filter=f"attributes.run_id = '{run}'")
        value = metrics_of(answer.json()["runs"][0]).get("m")
    assert answer.status_code == 200, answer.text
    return value, BEHIND in answer.headers


class Reader(threading.Thread):
    """Writes at one pod and reads at the other at once."""

    def __init__(self, number, writer, reader, run, writes):
        super().__init__(daemon=True)
        self.number, self.writer, self.reader = number, writer, reader
        self.run_id, self.writes = run, writes
        self.stale, self.behind, self.reads, self.error = 0, 0, 0, None

    def run(self):
        ways = itertools.cycle(["get"] * 7 + ["history", "search"])
        at_writer, at_reader = requests.Session(), requests.Session()
        try:
            for step in range(1, self.writes + 1):
                write(self.writer, self.run_id, step, at_writer)
                value, is_behind = read(self.reader, self.run_id, next(ways), at_reader)
                self.stale += value != step
                self.behind += is_behind
                self.reads += 1
        except Exception as e:  # shown by who joins
            self.error = e


def write_here_read_there(pods, writes):
    """Pairs in both directions at once. (reads, stale, behind)"""
    runs = new_runs(pods[0], READERS)
    readers = [Reader(i, pods[i % 2], pods[(i + 1) % 2], run, writes // READERS)
               for i, run in enumerate(runs)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
        if reader.error:
            raise reader.error
    return tuple(sum(getattr(r, n) for r in readers) for n in ("reads", "stale", "behind"))


def skipped(pods):
    return sum(pod.stat("sluice_redis_skipped_total") for pod in pods)


def none_stale(pods, writes):
    before = skipped(pods)
    begin = time.monotonic()
    reads, stale, behind = write_here_read_there(pods, writes)
    seconds = time.monotonic() - begin
    # An answer that Redis held up for redis_wait went without: that, and only that, is no promise.
    gone_without = skipped(pods) - before
    assert behind == 0 and stale <= gone_without, \
        f"{stale} stale and {behind} behind of {reads}, {gone_without} without redis"
    assert reads >= writes - READERS
    waits = sum(pod.stat("sluice_redis_waits_total") for pod in pods)
    assert waits >= reads / 2, f"only {waits} of {reads} reads met points of the other pod"
    return f"{reads} reads, {stale} stale, {1000 * seconds * READERS / reads:.0f} ms for write and read"


def journal(suite):
    """Write at A, read at B, each with a journal of its own."""
    with Scene(suite, "journal") as scene:
        text = none_stale([scene.pod(*PATIENT), scene.pod(*PATIENT)], suite.writes)
        assert skipped(scene.pods) == 0
        return text


def kafka_args(suite, scene):
    return ["--queue", "kafka", "--kafka-brokers", suite.kafka().bootstrap, "--kafka-topic",
            "redis." + scene.name]


def kafka(suite):
    """Write at A, read at B, a third process flushes."""
    with Scene(suite, "kafka") as scene:
        args = kafka_args(suite, scene)
        fronts = [scene.pod(*args, *PATIENT, "--flushers", "0") for _ in range(2)]
        flusher = scene.pod(*args, *PATIENT, "--flushers", "2")
        wait_until(lambda: flusher.stat("sluice_kafka_partitions") == 16, 60, "the partitions")
        text = none_stale(fronts, suite.writes)
        assert skipped(scene.pods) == 0
        return text


def tls(suite):
    """The same over rediss:// with a password and a database; without the right CA it is away."""
    with Scene(suite, "tls", tls=True) as scene:
        text = none_stale([scene.pod(*PATIENT), scene.pod(*PATIENT)], 80)
        assert int(scene.redis.command("-n", "2", "DBSIZE")) > 0
        assert scene.redis.command("-n", "0", "DBSIZE") == "0"
        stranger = Sluice(scene.uri, args=ARGS + ["--redis-uri", scene.redis.uri],
                          binary=suite.binary)
        with stranger:
            wait_until(lambda: "[!]redis" in ready(stranger), 20, "a certificate is refused")
            assert "self-signed certificate" in stranger.output(), stranger.tail()
            for pod in scene.pods + [stranger]:
                assert "s3cret" not in pod.output()
        return text


def caught_skip(suite):
    """Positions that are not told make stale reads, and this suite sees them."""
    with Scene(suite, "caught_skip") as scene:
        env = {"SLUICE_TEST_SKIP_SHARE": "1"}
        reads, stale, _ = write_here_read_there([scene.pod(env=env), scene.pod(env=env)], 80)
        assert stale > reads / 4, f"{stale} of {reads} found"
        return f"{stale} of {reads} reads stale, as they must be"


def slowest_while(pod, act):
    """The longest of the health checks and writes that go on while act() does."""
    run, longest, over = new_runs(pod, 1)[0], [0.0, 0.0], threading.Event()

    def probe():
        session = requests.Session()
        step = 0
        while not over.is_set():
            step += 1
            for i, ask in enumerate((lambda: session.get(pod.url + "/health", timeout=30),
                                     lambda: write(pod, run, step, session))):
                begin = time.monotonic()
                ask()
                longest[i] = max(longest[i], time.monotonic() - begin)

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    try:
        act()
    finally:
        over.set()
        thread.join()
    return longest


def under_load(suite, name, break_it, mend_it):
    """Loads at both pods while Redis is broken; they go on, nothing is lost, and it is said once."""
    with Scene(suite, name) as scene:
        pods = [scene.pod(), scene.pod()]
        runs = new_runs(pods[0], 4)
        loads = [Load(pod.url, runs, f"{suite.seed}/{name}/{i}").start()
                 for i, pod in enumerate(pods)]
        for load in loads:
            wait_until(lambda l=load: l.acks > 200, 30, "acks")
        before = [load.acks for load in loads]

        def broken():
            break_it(scene.redis)
            for pod in pods:
                wait_until(lambda p=pod: "[!]redis" in ready(p), 30, "readyz says so")
            for load, acks in zip(loads, before):
                wait_until(lambda l=load, a=acks: l.acks > a + 500, 30, "acks go on")
            # A read goes on as well, and is at most a window behind.
            read(pods[1], runs[0], "get")

        health, ack = slowest_while(pods[0], broken)
        mend_it(scene.redis)
        for pod in pods:
            wait_until(lambda p=pod: "[+]redis ok" in ready(p), 30, "redis is back")
        ledgers = [load.stop() for load in loads]
        assert not any(status != 200 for load in loads for status in load.statuses), \
            [load.statuses for load in loads]
        problems = scene.problems(*ledgers)
        assert not problems, "\n".join(problems)
        for pod in pods:
            def said(words, p=pod):
                return p.output().count(words)

            # A line for each change, not one for each connection or write that met it.
            wait_until(lambda: said("redis is away") == said("redis is back") >= 1, 30,
                       "both are said equally often")
            assert said("redis is away") <= pod.stat("sluice_redis_losses_total")
            assert pod.stat("sluice_redis_skipped_total") >= 1
        text = none_stale(pods, 80)
        acked = sum(ledger.acked_count() for ledger in ledgers)
        return (f"{acked} points acked, 0 lost; slowest health check {1000 * health:.0f} ms, write "
                f"{1000 * ack:.0f} ms; then {text}")


def kill(suite):
    """kill -9, and back empty."""
    return under_load(suite, "kill", lambda r: r.kill(), lambda r: r.start())


def hang(suite):
    """SIGSTOP: connections stay, answers do not come."""
    return under_load(suite, "hang", lambda r: r.pause(), lambda r: r.resume())


def full(suite):
    """Out of memory: every write is refused."""
    return under_load(suite, "full", lambda r: r.command("CONFIG", "SET", "maxmemory", "1"),
                      lambda r: r.command("CONFIG", "SET", "maxmemory", "0"))


def debts(suite):
    """Points acked without Redis are told when it is back, empty as it is."""
    with Scene(suite, "debts") as scene:
        # A second of patience: what is written before it is killed is told.
        writer = scene.pod("--flush-interval", "60s", "--redis-wait", "1s")
        reader = scene.pod("--redis-wait", "1s")
        runs = new_runs(writer, 6)
        for run in runs[:3]:
            write(writer, run, 1)
        scene.redis.kill()
        wait_until(lambda: "[!]redis" in ready(writer), 30, "it is away")
        for run in runs[3:]:
            write(writer, run, 1)
        assert read(reader, runs[0], "get")[0] is None, "the window should be open still"
        scene.redis.start()
        for pod in (writer, reader):
            wait_until(lambda p=pod: "[+]redis ok" in ready(p), 30, "it is back")
        wait_until(lambda: scene.redis.command("EXISTS", "sluice:floors") == "1", 10, "the debt")
        for run in runs:
            assert read(reader, run, "get") == (1, False), "told late and still unknown"
        return "6 runs written before and while it was away, read when it was back"


def gone(suite):
    """A pod is killed with points in its journal."""
    with Scene(suite, "gone") as scene:
        writer = scene.pod("--flush-interval", "60s", *PATIENT)
        reader = scene.pod(*PATIENT)
        runs = new_runs(reader, 2)
        write(writer, runs[0], 1)
        assert read(reader, runs[0], "get") == (1, False)
        write(writer, runs[0], 2)
        writer.kill()
        begin = time.monotonic()
        assert read(reader, runs[0], "get") == (1, True), "it must say that it is behind"
        assert read(reader, runs[0], "search")[1], "a search too"
        seconds = time.monotonic() - begin
        assert seconds < 10, f"two reads took {seconds:.1f} s, though nobody will answer"
        write(reader, runs[1], 1)
        assert read(reader, runs[1], "get") == (1, False), "a run of another pod does not wait"
        writer.start()
        wait_until(lambda: writer.stat("sluice_backlog_points") == 0 or
                   read(reader, runs[0], "get") == (2, False), 30, "it is replayed")
        assert read(reader, runs[0], "get") == (2, False)
        assert read(reader, runs[0], "search") == (2, False)
        assert scene.redis.command("EXISTS", "sluice:floors") == "0", "Redis knew it still"
        return f"behind is said, in {seconds:.1f} s for two reads; whole again after its return"


def reborn(suite):
    """A pod is killed with points in its journal, and so is Redis: what it replays is known elsewhere."""
    with Scene(suite, "reborn") as scene:
        writer = scene.pod("--flush-interval", "60s", *PATIENT)
        reader = scene.pod(*PATIENT)
        run = new_runs(reader, 1)[0]
        write(writer, run, 1)
        writer.kill()
        scene.redis.kill()
        scene.redis.start()
        with psycopg.connect(scene.uri) as pg:
            pg.execute("LOCK TABLE metrics IN SHARE MODE")  # read, and not written
            writer.start()
            for pod in scene.pods:
                wait_until(lambda p=pod: "[+]redis ok" in ready(p), 30, "redis is back")
            answers = []
            thread = threading.Thread(target=lambda: answers.append(read(reader, run, "get")))
            thread.start()
            wait_until(lambda: answers or reader.stat("sluice_redis_waits_total") > 0, 10,
                       "the read waits")
            assert not answers, f"stale: {answers}"
            pg.rollback()
        thread.join()
        assert answers == [(1, False)], answers
        return "the read waited for what was replayed"


def lost(suite):
    """A pod is gone with its journal: the others forget it after redis_position_ttl."""
    with Scene(suite, "lost") as scene:
        ttl = ("--redis-position-ttl", "4s", *PATIENT)
        writer = scene.pod("--flush-interval", "60s", *ttl)
        reader = scene.pod(*ttl)
        run, other = new_runs(reader, 2)
        write(writer, run, 1)
        writer.kill()
        scene.pods.remove(writer)
        assert read(reader, run, "get")[1], "it must say that it is behind"
        begin = time.monotonic()
        for step in itertools.count():
            write(reader, other, step)  # others go on writing, and searching
            if not read(reader, run, "get")[1] and not read(reader, other, "search")[1]:
                break
            assert time.monotonic() < begin + 30, "it is waited for still"
        seconds = time.monotonic() - begin
        writer.__exit__()
        return f"forgotten after {seconds:.1f} s"


def news(suite):
    """What passes through A counts at B at once: its run table would be right for 300 s."""
    with Scene(suite, "news") as scene:
        one, two = scene.pod(), scene.pod()
        experiment = call(one, "experiments/create", name="told").json()["experiment_id"]
        run = new_runs(one, 1, experiment)[0]
        write(two, run, 1)

        def status():
            return call(two, "runs/log-metric", run_id=run, key="m", value=1, timestamp=1,
                        step=1).status_code

        slowest = 0.0
        for path, body, want in (("runs/delete", {"run_id": run}, 400),
                                 ("runs/restore", {"run_id": run}, 200),
                                 ("experiments/delete", {"experiment_id": experiment}, 400),
                                 ("experiments/restore", {"experiment_id": experiment}, 200)) * 5:
            answer = call(one, path, **body)
            assert answer.status_code == 200, answer.text
            begin = time.monotonic()
            wait_until(lambda w=want: status() == w, 5, f"{path} counts at the other pod")
            slowest = max(slowest, time.monotonic() - begin)
        assert two.stat("sluice_redis_news_total") >= 20
        # While nobody hears, what is known may be wrong; afterwards it is asked for.
        scene.redis.kill()
        wait_until(lambda: "[!]redis" in ready(two), 30, "it is away")
        assert call(one, "runs/delete", run_id=run).status_code == 200
        assert status() == 200, "nobody has told"
        scene.redis.start()
        wait_until(lambda: status() == 400, 30, "it is asked for again")
        return f"20 changes, the slowest {1000 * slowest:.0f} ms until it counted"


PEOPLE = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "key", "MLFLOW_AUTH_ADMIN_PASSWORD": "adminpassword1"}
ADMIN, JOB = ("admin", "adminpassword1"), ("job", "a-job-s-password")


def grants(suite):
    """Rights given and taken at A count at B at once: what it knows would be right for 300 s."""
    with Scene(suite, "grants") as scene:
        one, two = (scene.pod("--auth", "basic", "--auth-ttl", "300s", env=PEOPLE) for _ in range(2))
        chief, job = requests.Session(), requests.Session()
        chief.auth, job.auth = ADMIN, JOB
        assert call(one, "users/create", chief, username=JOB[0], password=JOB[1]).status_code == 200
        experiment = call(one, "experiments/create", chief, name="told").json()["experiment_id"]

        def status():
            return call(two, "experiments/set-experiment-tag", job, experiment_id=experiment, key="k",
                        value="v").status_code

        def change(word, **more):
            answer = chief.post(f"{one.url}/api/3.0/mlflow/users/permissions/{word}", timeout=60, json={
                "username": JOB[0], "resource_type": "experiment", "resource_id": experiment, **more})
            assert answer.status_code == 200, answer.text

        assert status() == 403
        slowest = 0.0
        for word, more, want in (("grant", {"permission": "EDIT"}, 200), ("revoke", {}, 403)) * 10:
            change(word, **more)
            begin = time.monotonic()
            wait_until(lambda w=want: status() == w, 5, f"{word} counts at the other pod")
            slowest = max(slowest, time.monotonic() - begin)
        # Whose was changed while nobody heard is not known: all are asked for again.
        scene.redis.kill()
        wait_until(lambda: "[!]redis" in ready(two), 30, "it is away")
        change("grant", permission="EDIT")
        assert status() == 403, "nobody has told"
        scene.redis.start()
        wait_until(lambda: status() == 200, 30, "it is asked for again")
        return f"20 changes, the slowest {1000 * slowest:.0f} ms until it counted"


def flood(pods, run, seconds, points=10):
    """Batches to all pods for so long; (points accepted, batches refused, Retry-After seen)."""
    over, lock, sums, waits = threading.Event(), threading.Lock(), [0, 0], set()

    def send(pod, number):
        session = requests.Session()
        for step in itertools.count():
            if over.is_set():
                return
            metrics = [{"key": f"k{number}", "value": i, "timestamp": 1700000000000 + i,
                        "step": step} for i in range(points)]
            answer = call(pod, "runs/log-batch", session, run_id=run, metrics=metrics)
            assert answer.status_code in (200, 429), answer.text
            with lock:
                if answer.status_code == 200:
                    sums[0] += points
                else:
                    sums[1] += 1
                    waits.add(int(answer.headers["Retry-After"]))

    threads = [threading.Thread(target=send, args=(pod, number), daemon=True)
               for number, pod in enumerate(pods * 3)]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    over.set()
    for thread in threads:
        thread.join()
    return sums[0], sums[1], waits, time.monotonic() - begin


def rate(suite):
    """A limit of 400 points a second for each experiment, 200 at once."""
    with Scene(suite, "rate") as scene:
        limit, burst = 400, 200
        args = ("--rate-limit", str(limit), "--rate-burst", str(burst))
        pods = [scene.pod(*args), scene.pod(*args)]
        run = new_runs(pods[0], 1)[0]
        other = new_runs(pods[0], 1, call(pods[0], "experiments/create",
                                          name="other").json()["experiment_id"])[0]
        accepted, refused, waits, seconds = flood(pods, run, 5)
        most = burst + limit * seconds
        # A pod that Redis did not answer in time goes by its own bucket until it does, and says so.
        if any(pod.stat(f"sluice_redis_{what}_total") for pod in pods for what in ("skipped", "losses")):
            most *= 2
        # Beyond it only what was charged in advance. That it comes near is for the reader to see:
        # how much clients manage to send is the machine's.
        assert accepted <= most + 20, f"{accepted} of {most:.0f}"
        assert accepted >= burst and refused > 0 and waits == {1}, (refused, waits)
        write(pods[1], other, 1)
        assert scene.problems() == []
        with psycopg.connect(scene.uri) as pg:
            stored = pg.execute("SELECT count(*) FROM metrics WHERE run_uuid = %s",
                                (run,)).fetchone()[0]
        assert stored == accepted, f"{stored} stored, {accepted} accepted"
        assert sum(pod.stat("sluice_refused_rate_total") for pod in pods) == refused
        # A batch that is larger than the bucket passes, and is waited for.
        wait_until(lambda: call(pods[0], "runs/log-batch", run_id=run, metrics=[
            {"key": "large", "value": i, "timestamp": i, "step": 0}
            for i in range(900)]).status_code == 200, 20, "a large batch passes")
        for _ in range(20):  # a pod spends what it was lent first
            answer = call(pods[1], "runs/log-metric", run_id=run, key="m", value=1, timestamp=1)
        assert answer.status_code == 429 and 1 <= int(answer.headers["Retry-After"]) <= 3, \
            answer.headers
        scene.redis.kill()
        for pod in pods:
            wait_until(lambda p=pod: "[!]redis" in ready(p), 30, "redis is away")
        alone, refused, _, seconds = flood(pods, run, 4)
        assert refused > 0 and 0 < alone <= 2 * (burst + limit * seconds) + 40, \
            f"{alone} without redis in {seconds:.1f} s"
        return f"{accepted} of {most:.0f} points together; {alone} in {seconds:.1f} s without redis"


def under_way(redis):
    """Keys of requests that have no answer yet."""
    return [key for key in redis.command("KEYS", "sluice:create:*").split()
            if redis.command("GET", key) == ""]


def replay(suite):
    """runs/create again, byte for byte."""
    with Scene(suite, "replay") as scene:
        args = ("--create-replay-window", "60s")
        pods = [scene.pod(*args), scene.pod(*args)]
        plain = scene.pod()
        body = {"experiment_id": "0", "start_time": 1700000000000, "tags": [
            {"key": "who", "value": "replay"}]}
        first = call(pods[0], "runs/create", **body)
        assert first.status_code == 200, first.text
        for pod in pods * 2:
            again = call(pod, "runs/create", **body)
            assert again.status_code == 200 and again.content == first.content, again.text
            assert again.headers["Content-Type"] == first.headers["Content-Type"]
        assert call(pods[0], "runs/create", **{**body, "start_time": 1}).json() != first.json()
        assert call(plain, "runs/create", **body).json() != first.json(), "off by default"
        # What failed is tried again.
        bad = {"experiment_id": "4711", "start_time": 5}
        assert [call(pod, "runs/create", **bad).status_code for pod in pods] == [404, 404]
        # One that is under way keeps others out for as long as its statements may take.
        with psycopg.connect(scene.uri) as pg:
            pg.execute("LOCK TABLE experiments IN ACCESS EXCLUSIVE MODE")
            slow = threading.Thread(target=call, args=(pods[0], "runs/create"),
                                    kwargs={**body, "start_time": 9})
            slow.start()
            wait_until(lambda: under_way(scene.redis), 20, "it is under way")
            left = int(scene.redis.command("PTTL", under_way(scene.redis)[0]))
            pg.rollback()
        slow.join()
        assert 15000 < left <= 21000, f"two statements of 10 s, and {left} ms"
        # All at once: one makes it, the others get its answer, or are told to come again.
        body["start_time"] = 77
        answers = []
        threads = [threading.Thread(target=lambda p=pod: answers.append(
            call(p, "runs/create", **body))) for pod in pods * 8]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ids = {a.json()["run"]["info"]["run_id"] for a in answers if a.status_code == 200}
        assert len(ids) == 1 and {a.status_code for a in answers} <= {200, 503}, answers
        assert all("Retry-After" in a.headers for a in answers if a.status_code == 503)
        with psycopg.connect(scene.uri) as pg:
            made = pg.execute("SELECT count(*) FROM runs").fetchone()[0]
        assert made == 5, f"{made} runs"
        scene.redis.kill()
        wait_until(lambda: "[!]redis" in ready(pods[0]), 30, "redis is away")
        assert call(pods[0], "runs/create", **body).status_code == 200, "without Redis it is made"
        return f"{len(answers) + 5} requests, 2 runs"


SCENARIOS = [journal, kafka, tls, kill, hang, full, debts, gone, reborn, lost, news, grants, rate, replay, caught_skip]


class Suite:
    def __init__(self, binary, seed, writes, cluster):
        self.binary, self.seed, self.writes, self.cluster = binary, seed, writes, cluster
        self.broker = None

    def kafka(self):
        if not self.broker:
            self.broker = Kafka().__enter__()
        return self.broker

    def close(self):
        if self.broker:
            self.broker.__exit__()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", nargs="?", default="build/sluice")
    parser.add_argument("--seed", type=int, default=random.randrange(10 ** 6))
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--writes", type=int, default=1000)
    options = parser.parse_args()
    chosen = [s for s in SCENARIOS if not options.only or s.__name__ in options.only]
    print(f"seed {options.seed}", flush=True)
    failed = 0
    with Cluster() as cluster:
        suite = Suite(os.path.abspath(options.binary), options.seed, options.writes, cluster)
        try:
            for scenario in chosen:
                begin = time.monotonic()
                try:
                    text = scenario(suite)
                    print(f"ok   {scenario.__name__}: {text} "
                          f"({time.monotonic() - begin:.0f} s)", flush=True)
                except Exception:
                    failed += 1
                    print(f"FAIL {scenario.__name__}\n{traceback.format_exc()}", flush=True)
        finally:
            suite.close()
    print(f"{len(chosen) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
