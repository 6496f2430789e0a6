#!/usr/bin/env python3
"""`make bench`: Sluice against nginx, psql \\copy and stock MLflow, in one run on one machine.

  accept  log-metric requests/s on 64 keep-alive connections, fdatasync on, against nginx that
          answers the same POST with a fixed 200 (two workers); and points/s in 1000-point
          log-batch calls, in JSON and as msgpack streams of ten
  apply   points/s that reach PostgreSQL, from the first byte sent to backlog zero, against
          `psql \\copy` of the same points in the same order into the same tables of another
          database (all indexes and foreign keys; \\copy keeps no latest_metrics)
  stock   the same calls against a stock MLflow server with four workers on a database of its own, and
          against FastTrackML where FASTTRACKML names its program
  kafka   accepted and applied points/s with queue = kafka beside queue = journal (queues.py)
  artifacts  a large file put and taken, Sluice with a directory and with S3, beside nginx (dav) and
          stock MLflow, with each server's peak of memory (exchange.py)
  reads   searches, histories and runs/get on one database, Sluice and stock MLflow in turns
          (reads.py)
  targets  what is no comparison: latency, memory, overload, tuned and large tables (targets.py)
  auth    log-metric with auth = basic and without, in turns, and stock MLflow with its basic-auth
          application (users.py)

All of it shares one throwaway PostgreSQL cluster with fsync on, and the machine: client, server
and database compete for the same cores. What is compared is run in turns; the figures are medians,
the ratios medians of the ratios of each turn, and mean more than the figures. Writes
build/bench.json.

`--only table` is the table of the project's promises: writes, reads and targets, twelve minutes at most
with the lengths that stand in the Makefile (`make bench-table`).
"""

import argparse
import base64
import json
import os
import platform
import re
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

import requests

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))

from charts import write as write_docs  # noqa: E402
from cluster import BENCH_SETTINGS, Cluster, bin_dir  # noqa: E402
from queues import measure_queues  # noqa: E402
from exchange import artifact_table, measure_artifacts  # noqa: E402
from reads import AROUND_POINTS, measure_reads  # noqa: E402
from server import (ROOT, Server, Sluice, Stock, clean_environment, free_port, is_port_open,  # noqa: E402
                    wait_until)
from targets import measure_targets, target_table  # noqa: E402
from users import measure_users  # noqa: E402

CONNECTIONS = 64
RUNS = 1000
KEYS = 10
APPLY_BATCH = 100  # points of one call in the apply measurement: 10 steps of 10 keys


def say(text):
    print(text, flush=True)


class Nginx:
    def __init__(self, folder):
        self.folder = os.path.join(folder, "nginx")
        os.makedirs(self.folder)
        # Its workers give up root, and must reach their temporary files all the same.
        os.chmod(folder, 0o755)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        with open(os.path.join(HERE, "nginx.conf"), encoding="utf-8") as f:
            text = f.read().replace("PORT", str(self.port))
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen([program, "-p", self.folder, "-c", path],
                                        stderr=subprocess.DEVNULL)
        wait_until(lambda: is_port_open(self.port), 10, "nginx listens")
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(timeout=20)


def wrk(script, url, seconds, runs_file, number, connections=CONNECTIONS, auth=None):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s",
               os.path.join(HERE, script), url, "--", runs_file, str(number)]
    env = dict(os.environ)
    if auth:
        env["BENCH_AUTHORIZATION"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
    output = subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout
    result = json.loads(re.search(r"^RESULT (.*)$", output, re.M)[1])
    if result["not_200"] or result["broken"]:
        say(f"    {result['not_200']} answers were not 200, {result['broken']} exchanges broke")
    result["per_second"] = (result["requests"] - result["not_200"]) / result["seconds"]
    return result


def make_runs(cluster, uri, folder, name):
    """RUNS runs, by SQL so that every database has the same ones; their ids in a file."""
    ids = [f"{n:032x}" for n in range(1, RUNS + 1)]
    with cluster.connect(name) as pg:
        with pg.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, "
                "user_id, status, start_time, source_version, lifecycle_stage, artifact_uri, "
                "experiment_id) VALUES (%s, 'bench', 'UNKNOWN', '', '', 'bench', 'RUNNING', 1, '', "
                "'active', 'mlflow-artifacts:/0/x', 0)", [(i,) for i in ids])
        pg.execute("VACUUM ANALYZE runs")
    path = os.path.join(folder, "runs.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(ids) + "\n")
    return ids, path


def drained(server):
    """Waits until every accepted point is in PostgreSQL."""
    wait_until(lambda: server.stat("sluice_backlog_points") == 0, 900, "backlog zero")


# --- accept --------------------------------------------------------------------------------------------

def accept_metric(nginx, server, runs_file, options):
    rounds = {"nginx": [], "sluice": []}
    for number in range(options.rounds):
        rounds["nginx"].append(wrk("log_metric.lua", nginx.url, options.seconds, runs_file, 0))
        rounds["sluice"].append(wrk("log_metric.lua", server.url, options.seconds, runs_file,
                                    (number + 1) * 100_000_000))
        drained(server)
        say(f"    round {number + 1}: nginx {rounds['nginx'][-1]['per_second']:,.0f}/s, "
            f"sluice {rounds['sluice'][-1]['per_second']:,.0f}/s "
            f"(p99 {rounds['sluice'][-1]['p99_ms']:.1f} ms)")
    return {who: median(results) for who, results in rounds.items()}


def median(results):
    """The round whose figure is in the middle, with all figures beside it."""
    figures = [r["per_second"] for r in results]
    middle = min(results, key=lambda r: abs(r["per_second"] - statistics.median(figures)))
    return {**middle, "rounds": figures}


def accept_batch(server, runs_file, options):
    """Points/s of log-batch in JSON and of streams of such batches in msgpack, in turns."""
    rounds = {"json": [], "msgpack": []}
    for number in range(min(2, options.rounds)):  # to drain what two seconds accept takes ten times as long
        for form, script, points in (("json", "log_batch.lua", 1000),
                                     ("msgpack", "log_batches.lua", 10_000)):
            result = wrk(script, server.url, max(2, options.seconds // 2), runs_file,
                         (2 * number + (form == "json") + 1) * 1_000_000)
            result["per_second"] *= points
            rounds[form].append(result)
            say(f"    round {number + 1}: {result['per_second']:,.0f} points/s in {form}; draining")
            drained(server)
    return {form: median(results) for form, results in rounds.items()}


# --- apply ---------------------------------------------------------------------------------------------

def arrival(ids, points, first_step):
    """Batches in the order they arrive: (run, [(key, value, timestamp, step)...]), run after run."""
    steps_each = APPLY_BATCH // KEYS
    for number in range(points // APPLY_BATCH):
        step = first_step + number // RUNS * steps_each
        yield ids[number % RUNS], [
            (f"metric{k}", k + 1 / (s + 1), 1_700_000_000_000 + s, s)
            for s in range(step, step + steps_each) for k in range(KEYS)]


def request_bytes(run, points):
    body = json.dumps({"run_id": run, "metrics": [
        {"key": k, "value": v, "timestamp": t, "step": s} for k, v, t, s in points]}).encode()
    head = ("POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


class Sender:
    """One keep-alive connection of send_all: one request under way."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.request, self.data = None, b""

    def send(self, request):
        self.request, self.data = request, b""
        self.socket.sendall(request)

    def receive(self):
        """What there is of the answer: (status, body) when that is all of it."""
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionError("closed in the middle of an answer")
        self.data += piece
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])
        return (int(head.split(None, 2)[1]), body) if len(body) >= length else None


def send_all(url, prepared, connections=8, may_fail=False):
    """Sends prepared requests over some connections; every one must be answered 200. With may_fail,
    [(request, status)] of those that were not. One thread for all: what the sender takes of the
    processors is taken from the servers."""
    address = (urllib.parse.urlsplit(url).hostname, urllib.parse.urlsplit(url).port)
    failures, left = [], iter(prepared)
    with selectors.EpollSelector() as selector:

        def go_on(sender, request):
            if request is None:
                selector.unregister(sender.socket)
                sender.socket.close()
            else:
                sender.send(request)

        for _, request in zip(range(connections), left):
            sender = Sender(address)
            selector.register(sender.socket, selectors.EVENT_READ, sender)
            sender.send(request)
        while selector.get_map():
            events = selector.select(120)
            if not events:
                raise RuntimeError("no answer within two minutes")
            for key, _ in events:
                sender = key.data
                answer = sender.receive()
                if answer is None:
                    continue
                status, body = answer
                if status == 429:
                    time.sleep(0.05)  # told to come back: a client does so
                    sender.send(sender.request)
                    continue
                if status != 200:
                    failures.append((sender.request if may_fail else body[:500], status))
                go_on(sender, next(left, None))
    if failures and not may_fail:
        raise RuntimeError(f"{len(failures)} requests failed, the first: {failures[0]}")
    return failures


def fill(cluster, database, points):
    """So many points of the same runs and keys, before every step that is measured."""
    with cluster.connect(database) as pg:
        around = pg.execute(AROUND_POINTS.replace("%%", "%")).fetchall()
        pg.execute("; ".join(drop for drop, _ in around))
        pg.execute("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
                   "SELECT 'metric' || k, k + 1.0 / (s + 1), 1600000000000 + s, r.run_uuid, s, false "
                   f"FROM generate_series(0, {points // (RUNS * KEYS)} - 1) s, runs r, "
                   f"generate_series(0, {KEYS - 1}) k")
        pg.execute("SET maintenance_work_mem = '1GB'")
        pg.execute("; ".join(make for _, make in around))
        pg.execute("VACUUM ANALYZE metrics")


def apply_sluice(server, ids, points, first_step):
    prepared = [request_bytes(*batch) for batch in arrival(ids, points, first_step)]
    before = server.stat("sluice_applied_points_total")
    begin = time.monotonic()
    send_all(server.url, prepared)
    sent = time.monotonic() - begin
    wait_until(lambda: server.stat("sluice_applied_points_total") >= before + points, 900,
               "every point applied")
    seconds = time.monotonic() - begin
    return {"seconds": seconds, "sent_seconds": sent, "per_second": points / seconds}


def apply_copy(cluster, database, ids, points, first_step, folder):
    path = os.path.join(folder, "points.tsv")
    with open(path, "w", encoding="utf-8") as f:
        for run, batch in arrival(ids, points, first_step):
            for key, value, timestamp, step in batch:
                f.write(f"{key}\t{value!r}\t{timestamp}\t{run}\t{step}\tf\n")
    begin = time.monotonic()
    subprocess.run([f"{bin_dir()}/psql", "-X", "-q", cluster.uri(database), "-c",
                    "\\copy metrics (key, value, timestamp, run_uuid, step, is_nan) from "
                    f"'{path}'"], check=True)
    seconds = time.monotonic() - begin
    return {"seconds": seconds, "per_second": points / seconds}


def apply(cluster, server, ids, options, folder):
    rounds = {"sluice": [], "copy": []}
    for number in range(options.rounds):
        # Beyond every step that the accept measurements have written.
        first = 1_000_000_000 + number * 1_000_000
        for who, measure in (("copy", lambda: apply_copy(cluster, "copied", ids, options.points,
                                                         first, folder)),
                             ("sluice", lambda: apply_sluice(server, ids, options.points, first))):
            with cluster.connect("postgres") as pg:
                pg.execute("CHECKPOINT")
            rounds[who].append(measure())
        say(f"    round {number + 1}: \\copy {rounds['copy'][-1]['per_second']:,.0f} points/s, "
            f"sluice {rounds['sluice'][-1]['per_second']:,.0f} points/s")
    return {who: median(results) for who, results in rounds.items()}


# --- stock -------------------------------------------------------------------------------------------------

def warm(server, ids):
    """Each of its processes imports much at its first request: that is not to be measured."""
    prepared = [request_bytes(run, [("warm", 1.0, 1, 1)]) for run in ids[:64]]

    def is_warm():
        begin = time.monotonic()
        try:
            send_all(server.url, prepared, connections=16)
        except RuntimeError as error:  # seen: a 400 while its modules are half loaded
            say(f"    while warming up: {error}")
            return False
        return time.monotonic() - begin < 2

    wait_until(is_warm, 120, "stock MLflow is warm")


def stock(cluster, folder, options):
    uri = cluster.create_database("stock")
    with Stock(uri, workers=4) as server:
        wait_until(lambda: server.is_answering(
            server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0"), 60, "stock answers")
        ids, runs_file = make_runs(cluster, uri, folder, "stock")
        warm(server, ids)
        # 64 connections are many for its pools: it is judged by the better of the two.
        metric = max((wrk("log_metric.lua", server.url, options.seconds, runs_file,
                          count * 10_000_000, count) for count in (8, CONNECTIONS)),
                     key=lambda result: result["per_second"])
        say(f"    log-metric {metric['per_second']:,.0f}/s")
        batch = stock_batches(server, [
            (run, [(f"metric{k}", k + 1 / (s + 1), 1_700_000_000_000 + s, s)
                   for s in range(100) for k in range(KEYS)])
            for run in ids[:options.stock_points // 1000]])
        say(f"    1000-point log-batch {batch['per_second']:,.0f} points/s")
        # What the apply measurement sends, as far as the patience goes.
        applied = stock_batches(server, list(arrival(ids, options.stock_points, 1_000_000)))
        say(f"    {APPLY_BATCH}-point log-batch {applied['per_second']:,.0f} points/s")
    return {"metric": metric, "batch": batch, "apply": applied}


class FastTrackML(Server):
    """The server of that name, from the program that FASTTRACKML names."""

    def start(self):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.spawn([os.environ["FASTTRACKML"], "server", "--listen-address", f"127.0.0.1:{port}",
                    "--database-uri", self.pg_uri, "--default-artifact-root",
                    os.path.join(self.folder, "artifacts")], clean_environment())
        wait_until(lambda: self.is_answering(self.url + "/health"), 60, "FastTrackML /health")
        return self

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)


def fast_track(cluster, options):
    """Points/s of the calls of the apply measurement. Deadlocks are answered 500 and asked again, once:
    what is refused twice counts as not applied."""
    with FastTrackML(cluster.create_database("fasttrackml")) as server:
        ids = [requests.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"},
                             timeout=30).json()["run"]["info"]["run_id"] for _ in range(RUNS)]
        rounds, failed = [], 0
        for number in range(options.rounds):
            batches = list(arrival(ids, options.stock_points, (number + 1) * 1_000_000))
            prepared = [request_bytes(*batch) for batch in batches]
            begin = time.monotonic()
            refused = send_all(server.url, prepared, may_fail=True)
            refused = send_all(server.url, [r for r, _ in refused], may_fail=True) if refused else []
            seconds = time.monotonic() - begin
            failed += len(refused)
            rounds.append({"per_second": (options.stock_points - APPLY_BATCH * len(refused)) / seconds})
        say(f"    FastTrackML {median(rounds)['per_second']:,.0f} points/s, {failed} calls refused twice")
    return median(rounds)


def stock_batches(server, batches):
    """Points/s of a server whose answer means that they are in PostgreSQL."""
    points = sum(len(batch) for _, batch in batches)
    prepared = [request_bytes(*batch) for batch in batches]
    begin = time.monotonic()
    send_all(server.url, prepared)
    seconds = time.monotonic() - begin
    return {"seconds": seconds, "points": points, "per_second": points / seconds}


# --- report --------------------------------------------------------------------------------------------------

def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True,
                            text=True).stdout.strip()
    return {"cpus": os.cpu_count(), "model": model and model[1], "kernel": platform.release(),
            "commit": commit, "postgresql": os.path.basename(os.path.dirname(bin_dir())),
            "load_before": os.getloadavg()[0], "date": time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                                                     time.gmtime())}


def rows_of(found):
    """(what, Sluice's figure, the other's name, its figure)."""
    reads = [(what + suffix, read[ours], "stock MLflow" + other, read[theirs])
             for what, read in found.get("reads", {}).items()
             for suffix, ours, other, theirs in (("", "sluice", "", "stock"),
                                                 (", tuned", "tuned", "", "stock"),
                                                 (", tuned", "tuned", ", tuned", "stock_tuned"))
             if ours in read and theirs in read]
    queues = [(f"{what}, queue = kafka", both["kafka"], "queue = journal", both["journal"])
              for what, both in found.get("queues", {}).items()]
    return (write_rows(found) if "apply" in found else []) + queues + reads + user_rows(found)


def user_rows(found):
    users = found.get("users", {})
    return [("log-metric requests/s accepted, auth = basic", users["basic"], name, users[who])
            for who, name in (("open", "auth = none"), ("stock", "stock, basic-auth")) if who in users]


def write_rows(found):
    metric, applied = found["accept_metric"], found["apply"]
    batch = found["accept_batch"]["json"]
    rows = [("log-metric requests/s accepted", metric["sluice"], "nginx, fixed 200",
             metric["nginx"]),
            ("points/s accepted, msgpack streams", found["accept_batch"]["msgpack"],
             "log-batch, JSON", batch),
            ("points/s applied", applied["sluice"], "psql \\copy", applied["copy"])]
    if "stock" in found:
        rows += [("points/s applied", applied["sluice"], "FastTrackML", found["fasttrackml"])] \
            if "fasttrackml" in found else []
        rows += [("log-metric requests/s accepted", metric["sluice"], "stock MLflow",
                  found["stock"]["metric"]),
                 ("points/s accepted, log-batch", batch, "stock MLflow", found["stock"]["batch"]),
                 ("points/s applied", applied["sluice"], "stock MLflow", found["stock"]["apply"])]
    else:
        rows.append(("points/s accepted, log-batch", batch, None, None))
    return rows


def ratio_of(ours, theirs):
    """Rounds taken in turns are compared pair by pair: what disturbs one disturbs the other."""
    pairs = list(zip(ours.get("rounds", []), theirs.get("rounds", [])))
    if pairs:
        return statistics.median(a / b for a, b in pairs)
    return ours["per_second"] / theirs["per_second"]


def figure_text(result):
    figure = result["per_second"]
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def report(found):
    lines = [f"{'per second':<56}{'sluice':>12}  {'against':<20}{'':>10}{'ratio':>9}"]
    found["table"] = []
    for what, ours, name, theirs in rows_of(found):
        row = {"what": what, "sluice": ours["per_second"]}
        line = f"{what:<56}{figure_text(ours):>12}"
        if name:
            row.update(against=name, figure=theirs["per_second"],
                       ratio=ratio_of(ours, theirs))
            line += f"  {name:<20}{figure_text(theirs):>10}{row['ratio']:>8.2f}x"
        for side, figures in (("", ours), ("against_", theirs or {})):
            row.update({side + key: figures[key] for key in ("p50_ms", "p99_ms") if key in figures})
        found["table"].append(row)
        lines.append(line)
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=int, default=8, help="length of a wrk round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds; the median counts")
    parser.add_argument("--points", type=int, default=600_000, help="points of an apply round")
    parser.add_argument("--stock-points", type=int, default=50_000,
                        help="points that stock MLflow gets, twice")
    parser.add_argument("--wide-points", type=int, default=10_000,
                        help="points of each run that bulk-interval reads")
    parser.add_argument("--wide-runs", type=int, default=100, help="these runs")
    parser.add_argument("--match", default="", help="only the reads whose name has this")
    parser.add_argument("--no-stock", action="store_true", help="leave stock MLflow out")
    parser.add_argument("--only", choices=["writes", "kafka", "reads", "artifacts", "auth", "targets", "table"],
                        help="a part of the table; table: writes, reads and targets")
    parser.add_argument("--docs", action="store_true", help="write the table into docs (charts.py)")
    parser.add_argument("--large", type=int, default=5_000_000, help="points before the large apply rounds")
    parser.add_argument("--connected", type=int, default=10_000, help="jobs that are connected")
    parser.add_argument("--artifact-mb", type=int, default=1000, help="size of the file")
    parser.add_argument("--args", default="", help="settings for sluice, as on its command line")
    options = parser.parse_args()

    found = {"machine": machine(), "options": vars(options)}
    folder = tempfile.mkdtemp(prefix="bench-")
    try:
        with Cluster(BENCH_SETTINGS, fsync=True) as cluster:
            if options.only in (None, "writes", "table"):
                measure(cluster, folder, options, found)
            if options.only in (None, "kafka"):
                say("kafka: queue = kafka, one broker here, and queue = journal in turns")
                found["queues"] = measure_queues(
                    cluster, Sluice, {"make_runs": make_runs, "wrk": wrk, "drained": drained,
                                      "apply": apply_sluice}, folder, options, say)
            if options.only in (None, "artifacts"):
                say("artifacts: one file to each server and back, in turns")
                found["artifacts"] = measure_artifacts(cluster, Sluice, Stock, folder, options, say)
            if options.only in (None, "targets", "table"):
                say("targets: latency, memory, overload, tuned and large tables")
                found["targets"] = measure_targets(cluster, folder, options, Tools, say)
            if options.only in (None, "reads", "table") and not options.no_stock:
                say("reads: Sluice and stock MLflow in turns")
                found["reads"] = measure_reads(cluster, Sluice, Stock, wrk, folder, options, say)
            if options.only in (None, "auth"):
                say("auth: Sluice without users and with, in turns")
                found["users"] = measure_users(cluster, folder, options, Tools, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.only not in ("artifacts", "targets"):
        say("\n" + report(found))
    if "targets" in found:
        say("\n" + target_table(found["targets"]))
    found["machine"]["load_after"] = os.getloadavg()[0]
    if "artifacts" in found:
        say("\n" + artifact_table(found["artifacts"]))
    path = os.path.join(ROOT, "build", "bench.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(found, f, indent=2)
        f.write("\n")
    say(f"\nwritten to {os.path.relpath(path)}")
    if options.docs:
        write_docs(found)


class Tools:
    """What the parts in other files use of this one."""
    Sluice, Stock = Sluice, Stock
    wrk, make_runs, drained, median, fill, apply_copy, apply_sluice = (
        staticmethod(f) for f in (wrk, make_runs, drained, median, fill, apply_copy, apply_sluice))

    @staticmethod
    def folder(parent, name):
        os.makedirs(path := os.path.join(parent, name))
        return path


def measure(cluster, folder, options, found):
    uri = cluster.create_database("sluiced")
    with Sluice(uri):  # makes the schema; \copy gets the same one
        pass
    ids, runs_file = make_runs(cluster, uri, folder, "sluiced")
    cluster.create_database("copied", template="sluiced")
    with Sluice(uri, args=options.args.split()) as server:
        say("apply: \\copy and Sluice in turns")
        found["apply"] = apply(cluster, server, ids, options, folder)
        say("accept: log-metric, nginx and Sluice in turns")
        with Nginx(folder) as nginx:
            found["accept_metric"] = accept_metric(nginx, server, runs_file, options)
        say("accept: 1000-point log-batch")
        found["accept_batch"] = accept_batch(server, runs_file, options)
    cluster.drop_database("sluiced")
    cluster.drop_database("copied")
    if not options.no_stock:
        say("stock MLflow, 4 workers")
        found["stock"] = stock(cluster, folder, options)
    if os.environ.get("FASTTRACKML"):
        say("FastTrackML")
        found["fasttrackml"] = fast_track(cluster, options)


if __name__ == "__main__":
    main()
