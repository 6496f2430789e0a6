"""PgBouncer in transaction mode between the pods and PostgreSQL, and sessions that hang."""

import concurrent.futures
import signal
import subprocess
import time
import types

import psycopg
import requests

from cluster import Cluster
from pgbouncer import PgBouncer
from scenarios_journals import Pods, TopicPods
from scene import API, FLUSHER, FRONT
from server import clean_environment, wait_until

# Fewer sessions of PostgreSQL than connections of the pods, so that each goes from hand to hand.
SESSIONS = 6

def call(gateway, path, **body):
    answer = requests.post(gateway.url + API + path, json=body, timeout=60)
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


def everyday(gateway):
    """A little of everything that MLflow's clients ask for, searches in pages among it."""
    experiment = call(gateway, "experiments/create", name="pooled")["experiment_id"]
    runs = [call(gateway, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
            for _ in range(20)]
    for i, run in enumerate(runs):
        call(gateway, "runs/log-batch", run_id=run, tags=[{"key": "n", "value": str(i)}],
             params=[{"key": f"p{k}", "value": "v" * 100} for k in range(30)],
             metrics=[{"key": "m", "value": i + s / 100, "timestamp": s, "step": s}
                      for s in range(60)])
    found, token = [], ""
    while True:
        page = call(gateway, "runs/search", experiment_ids=[experiment], max_results=7,
                    filter="metrics.m >= 10 and params.p3 LIKE 'v%'", page_token=token,
                    order_by=["metrics.m DESC"])
        found += [r["info"]["run_id"] for r in page.get("runs", ())]
        token = page.get("next_page_token")
        if not token:
            break
    assert found == runs[:9:-1], (len(found), found[:2])
    call(gateway, "registered-models/create", name="pooled")
    call(gateway, "model-versions/create", name="pooled", source="s3://bucket/x")
    answer = requests.post(gateway.url + API + "registered-models/alias", timeout=60,
                           json={"name": "pooled", "alias": "best", "version": "1"})
    assert answer.status_code == 200, answer.text
    call(gateway, "runs/update", run_id=runs[0], status="FINISHED")
    return len(found)


def leftovers(cluster, name):
    """What sessions of PostgreSQL still remember that are now anybody's: asked from each in turn."""
    asked = ("session_replication_role", "statement_timeout", "lock_timeout", "jit",
             "idle_in_transaction_session_timeout", "cursor_tuple_fraction",
             "max_parallel_workers_per_gather", "enable_memoize", "bytea_output")
    found = set()
    with cluster.connect(name) as pg:
        plain = [pg.execute("SELECT current_setting(%s)", (s,)).fetchone()[0] for s in asked]
    return asked, plain, found


def is_clean(suite, pool, database):
    """Takes all sessions at once, each in a transaction of ours, and looks what others left there."""
    asked, plain, _ = leftovers(suite.cluster, database)
    strangers = [psycopg.connect(pool.uri(database)) for _ in range(SESSIONS)]
    try:
        for stranger in strangers:  # the transaction stays open, so that the next gets another session
            now = [stranger.execute("SELECT current_setting(%s)", (s,), prepare=False).fetchone()[0]
                   for s in asked]
            assert now == plain, list(zip(asked, plain, now))
            left = stranger.execute("SELECT (SELECT count(*) FROM pg_prepared_statements"
                                    " WHERE name LIKE '%%' AND NOT from_sql),"
                                    " to_regclass('sluice_stage')", prepare=False).fetchone()
            assert left == (0, None), left
    finally:
        for stranger in strangers:
            stranger.close()


def pooled(suite):
    """Gateways and flushers behind PgBouncer in transaction mode: load, reads, searches, kills."""
    with Pods(suite, "pooled") as pods, PgBouncer(suite.cluster, sessions=SESSIONS) as pool:
        database = "pods_pooled"
        uri = pool.uri(database)
        first, second = (pods.pod(str(i), "--read-wait", "30s", uri=uri) for i in range(2))
        loads = [pods.begin(second, clients=1)]  # other transactions in the same sessions
        everyday(first)
        parts(first)
        loads.insert(0, pods.begin(first, clients=2))
        wait_until(lambda: first.stat("sluice_windows_staged_total") > 0, 60, "a staged window")
        for how in ("pod", "pooler", "sessions") * (3 if suite.is_long else 1):
            acks = [load.acks for load in loads]
            if how == "pod":
                second.kill()
                pods.end(loads.pop())
                second.start()
                loads.append(pods.begin(second, clients=2))
            elif how == "pooler":
                pool.kill()
                pool.start()
            else:
                with suite.cluster.connect(database) as pg:
                    pg.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                               " WHERE pid <> pg_backend_pid() AND datname = current_database()")
            wait_until(lambda: loads[0].acks > acks[0] + 200, 60, f"acks after {how}")
        for load in loads:
            pods.end(load)
        pods.flushed(first, second)
        for pod in (first, second):
            assert pod.stat("sluice_deadletter_points_total") == 0, "dead letters"
        refused = subprocess.run([suite.binary, "schema", "tune", "--pg-uri", uri],
                                 capture_output=True, text=True, timeout=60,
                                 env=clean_environment())
        assert refused.returncode == 1 and "connection pooler" in refused.stderr, refused
        doctor = subprocess.run([suite.binary, "doctor", "--pg-uri", uri, "--data-dir",
                                 pods.directory("none")], capture_output=True, text=True,
                                timeout=60, env=clean_environment())
        assert "through a pooler" in doctor.stdout, doctor.stdout
        is_clean(suite, pool, database)
        return f"PgBouncer {pool.version}, {pods.sound(2000)} points acked"


def parts(gateway):
    """Answers in parts hold a transaction from FETCH to FETCH: long histories, two at a time."""
    run = call(gateway, "runs/create", experiment_id="0")["run"]["info"]["run_id"]
    count = 8000
    for begin in range(0, count, 1000):
        call(gateway, "runs/log-batch", run_id=run,
             metrics=[{"key": "long", "value": i, "timestamp": i, "step": i}
                      for i in range(begin, begin + 1000)])

    def history(_):
        answer = requests.get(gateway.url + API + "metrics/get-history", timeout=60,
                              params={"run_id": run, "metric_key": "long"})
        assert answer.status_code == 200, answer.text
        return [m["step"] for m in answer.json()["metrics"]]

    with concurrent.futures.ThreadPoolExecutor(2) as two:
        for steps in two.map(history, range(4)):
            assert steps == list(range(count)), (len(steps), steps[:3])


def pooled_kafka(suite):
    """The same with Kafka: a front end and two flushers; the watcher asks through the pooler."""
    with TopicPods(suite, "pooled_kafka", "--read-wait", "10s") as pods, \
            PgBouncer(suite.cluster, sessions=SESSIONS) as pool:
        uri = pool.uri("pods_pooled_kafka")
        front = pods.pod("front", *FRONT, uri=uri)
        flushers = [pods.flusher(f"flusher{i}", *FLUSHER, uri=uri) for i in range(2)]
        load = pods.begin(front)
        run = pods.new_runs(front, 1)[0]
        for step in range(20):
            point = {"run_id": run, "key": "m", "value": step, "timestamp": step, "step": step}
            assert requests.post(front.url + API + "runs/log-metric", json=point,
                                 timeout=30).status_code == 200
            answer = requests.get(front.url + API + "runs/get", params={"run_id": run}, timeout=30)
            assert answer.json()["run"]["data"]["metrics"][0]["value"] == step, answer.text
        flushers[0].kill()
        wait_until(lambda acks=load.acks: load.acks > acks + 200, 60, "acks")
        flushers[0].start()
        pods.end(load)
        pods.await_flush()
        is_clean(suite, pool, "pods_pooled_kafka")
        return f"20 own writes read at once, {pods.sound(500)} points acked"


def hung_flusher(suite):
    """A flusher that hangs in the middle of a transaction frees its rows in 15 s, not in 60."""
    with Cluster(fsync=True) as cluster:
        mine = types.SimpleNamespace(cluster=cluster, binary=suite.binary, seed=suite.seed,
                                     brokers=suite.brokers)
        with TopicPods(mine, "hung") as pods:
            front = pods.pod("front", *FRONT)
            hangs = pods.flusher("hangs", *FLUSHER)
            load = pods.begin(front)
            wait_until(lambda: hangs.stat("sluice_windows_total") > 2, 30, "windows")

            def is_caught():
                """Stopped between two statements of a transaction?"""
                hangs.process.send_signal(signal.SIGSTOP)
                with cluster.connect("pods_hung") as pg:
                    deadline = time.monotonic() + 0.2
                    while time.monotonic() < deadline:
                        states = {r[0] for r in pg.execute(
                            "SELECT state FROM pg_stat_activity"
                            " WHERE application_name LIKE 'sluice flusher%'")}
                        if "active" not in states:
                            break
                if "idle in transaction" in states:
                    return True
                hangs.process.send_signal(signal.SIGCONT)
                return False

            wait_until(is_caught, 120, "stopped in a transaction")
            begin = time.monotonic()
            other = pods.flusher("other", *FLUSHER)
            pods.end(load)
            pods.await_flush()
            took = time.monotonic() - begin
            assert took < 50, f"{took:.0f} s: the rows were freed by the 60 s of a journal's flusher"
            hangs.process.send_signal(signal.SIGCONT)
            wait_until(lambda: hangs.stat("sluice_kafka_partitions") > 0, 60, "it is back")
            assert other.stat("sluice_deadletter_points_total") == 0
            return f"flushed {took:.0f} s after it hung, {pods.sound(100)} points acked"


SCENARIOS = [pooled]
LONG = [pooled_kafka, hung_flusher]
