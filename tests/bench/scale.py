#!/usr/bin/env python3
"""How many pods do so many jobs take? A model, fitted at small scale and held against measurements.

    python tests/bench/scale.py [--seconds 12] [--jobs 10000] [--keys 30] [--json FILE]

Each job logs its keys once a second in one log-batch. What that costs is four straight lines in CPU
seconds, which other programs on the machine disturb less than times by the clock:

    gateway     a request of `keys` points, and what it takes to be there
    flusher     a window, and a point            PostgreSQL   a window, and a point

They are fitted to two loads of one gateway and one flusher (Kafka mode, one broker, real PostgreSQL,
build/sluice-loadtest). Everything else is predicted: how many windows there are, how long they are and
how old points get is simulated, flusher by flusher: runs fall on partitions by chance, partitions on
flushers; a flusher takes what has come, writes it for as long as the lines say, and takes again
flush_interval after its last take began, or at once when that is over. Then other numbers of gateways and flushers
are measured, and the table says what the model said of them. Two things are taken from the
measurement there: the points that came through (the load generator is starved too on a busy machine), and
stretch, how much longer windows took than their CPU. Last: the jobs that were asked for.

What the model leaves out: indexes that outgrow memory, and flushers that wait for each other's
pages (docs/benchmarks.md has rows/s on a large table). Nothing here is judged by time.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "../..")
sys.path[:0] = [os.path.join(HERE, "../tools"), os.path.join(HERE, "../pods"),
                os.path.join(HERE, "../crash")]

import requests  # noqa: E402

from cluster import Cluster  # noqa: E402
from kafka import Kafka  # noqa: E402
from scenarios_journals import TopicPods  # noqa: E402
from scene import PARTITIONS  # noqa: E402
from server import clean_environment, wait_until  # noqa: E402

INTERVAL_S = 0.2       # flush_interval
ROWS = 50000           # flush_rows; a backlog makes it four times as many (flush/flusher.c)
USE = 0.7              # how busy a process should be at most
SQL_CONNECTIONS, WORKERS = 4, 2
CALIBRATION = [(1, 1, 100), (1, 1, 400)]                       # gateways, flushers, jobs
CHECKED = [(2, 1, 400), (1, 2, 400), (2, 2, 400), (2, 2, 800)]


def cpu_s(*pids):
    """CPU seconds of the processes, and of children that they have waited for."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def children(parent):
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                if int(f.read().rsplit(")", 1)[1].split()[1]) == parent:
                    found.append(int(name))
        except FileNotFoundError:
            pass
    return found


def sample(cluster, gateways, flushers):
    """Counters and CPU at one moment."""
    postmaster = cluster.process.pid
    now = {"at": time.monotonic(), "windows": 0, "points": 0, "flush_s": 0, "requests": 0,
           "gateway": cpu_s(*(g.process.pid for g in gateways)),
           "flusher": cpu_s(*(f.process.pid for f in flushers)),
           "postgresql": cpu_s(postmaster, *children(postmaster))}
    for pod in gateways:
        now["requests"] += pod.stat("sluice_accepted_batches_total")
    for pod in flushers:
        now["windows"] += pod.stat("sluice_windows_total")
        now["points"] += pod.stat("sluice_applied_points_total")
        text = requests.get(pod.admin_url + "/metrics", timeout=10).text
        now["flush_s"] += float(re.search(r"^sluice_flush_seconds_sum (\S+)", text, re.M)[1])
    return now


def measure(suite, gateway_count, flusher_count, jobs, options):
    """What so many processes do under the load of so many jobs, per second."""
    name = f"scale_{gateway_count}_{flusher_count}_{jobs}"
    with TopicPods(suite, name) as pods:
        pods.args += ["--flush-rows", str(ROWS), "--workers", "1"]
        gateways = [pods.pod(f"g{i}", "--flushers", "0") for i in range(gateway_count)]
        flushers = [pods.flusher(f"f{i}", "--listen", "none", "--flushers", "1")
                    for i in range(flusher_count)]
        wait_until(lambda: sum(f.stat("sluice_kafka_partitions") for f in flushers) == PARTITIONS,
                   60, "the partitions")
        before = sample(suite.cluster, gateways, flushers)
        loads = [subprocess.Popen(
            [os.path.join(ROOT, "build/sluice-loadtest"), "--url", g.url, "--jobs",
             str(jobs // gateway_count), "--seed", str(i + 1), "--keys", str(options.keys),
             "--batch", str(options.keys), "--interval", "1s", "--arrivals", "constant",
             "--duration", f"{options.seconds}s", "--experiment", f"load{i}"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=clean_environment())
            for i, g in enumerate(gateways)]
        for load in loads:
            assert load.wait(timeout=120) == 0
        pods.await_flush()  # whole windows: what was paid for is counted, and nothing else
        after = sample(suite.cluster, gateways, flushers)
    seconds = after["at"] - before["at"]
    rates = {k: (after[k] - before[k]) / seconds for k in after if k != "at"}
    rates["window_ms"] = 1000 * (after["flush_s"] - before["flush_s"]) / \
        max(1, after["windows"] - before["windows"])
    return rates


def line(a, b, x, y):
    """Coefficients (c, d) >= 0 with c * x + d * y = cost for two measurements, or the nearest."""
    det = a[x] * b[y] - b[x] * a[y]

    def of(cost):
        c = (a[cost] * b[y] - b[cost] * a[y]) / det if det else 0
        d = (a[x] * b[cost] - b[x] * a[cost]) / det if det else 0
        if c < 0 or d < 0:  # noise: all of it goes to what it mostly comes from
            return 0.0, (a[cost] + b[cost]) / (a[y] + b[y])
        return c, d

    return of


class Model:
    def __init__(self, a, b):
        a, b = dict(a, one=1), dict(b, one=1)
        self.gateway = line(a, b, "one", "requests")("gateway")
        flush = line(a, b, "windows", "points")
        self.flusher, self.postgresql = flush("flusher"), flush("postgresql")

    def window_s(self, points):
        """A flusher and its session of PostgreSQL take turns more than they overlap."""
        return self.flusher[0] + self.postgresql[0] + points * self.per_point()

    @staticmethod
    def stretch(real):
        """How much longer windows took than their CPU: other programs, fdatasync."""
        return real["flush_s"] / (real["flusher"] + real["postgresql"])

    def per_point(self):
        return self.flusher[1] + self.postgresql[1]

    def rows_per_second(self):
        return 1 / self.per_point()

    def simulate(self, gateways, flushers, jobs, keys, stretch=1.0, seconds=60, seed=1):
        """Rates of the whole; a window is as long as its points say, times stretch."""
        chance = random.Random(seed)
        partitions = [0] * PARTITIONS
        for _ in range(jobs):
            partitions[chance.randrange(PARTITIONS)] += keys  # points a second
        windows = points = longest = busy = 0
        ages = []
        for k in range(flushers):
            rate = sum(partitions[k::flushers])
            begin, taken, waiting_since = 0.0, 0.0, 0.0
            while begin < seconds:
                end = begin + INTERVAL_S          # of the take
                count = min(rate * (end - waiting_since), 4 * ROWS)
                if count >= ROWS:                 # full before its time
                    end = max(begin, waiting_since + ROWS / max(rate, 1))
                    count = min(rate * (end - waiting_since), 4 * ROWS)
                took = stretch * self.window_s(count)
                windows += count > 0
                points += count
                busy += took
                longest = max(longest, count)
                ages.append((end + took - waiting_since, count))
                taken += count
                waiting_since = taken / rate if rate else end
                begin = end + took
        total = sum(count for _, count in ages) or 1
        ages.sort()
        at, p99 = 0, 0
        for age, count in ages:
            at += count
            p99 = age
            if at >= 0.99 * total:
                break
        rates = {"windows": windows / seconds, "points": points / seconds, "requests": jobs,
                 "age_s": p99, "busy": busy / seconds / flushers, "rows": longest}
        rates["window_ms"] = 1000 * busy / max(windows, 1)
        rates["gateway"] = gateways * self.gateway[0] + jobs * self.gateway[1]
        for name in ("flusher", "postgresql"):
            c, d = getattr(self, name)
            rates[name] = c * rates["windows"] + d * rates["points"]
        return rates


def table(model, rows, keys):
    """The rate of points that came through, and how far the machine was stretched, are measured; the
    rest is predicted from them."""
    print("| gateways, flushers, jobs | points/s | stretch | gateway: us a request | "
          "flusher: us a point | PostgreSQL: us a point | windows/s |")
    print("|---|---|---|---|---|---|---|")
    for (gateways, flushers, jobs), real in rows:
        stretch = model.stretch(real)
        said = model.simulate(gateways, flushers, round(real["points"] / keys), keys, stretch)
        said["gateway"] = gateways * model.gateway[0] + real["requests"] * model.gateway[1]
        cells = []
        for what, per, scale in (("gateway", "requests", 1e6), ("flusher", "points", 1e6),
                                 ("postgresql", "points", 1e6), ("windows", None, 1)):
            a = said[what] / (real[per] if what == "gateway" else said[per] if per else 1) * scale
            b = real[what] / (real[per] if per else 1) * scale
            cells.append(f"{a:.3g} / {b:.3g} = {a / b:.2f}")
        print(f"| {gateways}, {flushers}, {jobs} | {real['points']:,.0f} | {stretch:.1f} | "
              + " | ".join(cells) + " |")


def plan(model, jobs, keys):
    """Pods for so many jobs, each process busy to USE at most."""
    points = jobs * keys
    request = model.gateway[1]
    gateways = max(1, -(-int(1000 * jobs * request / WORKERS / USE) // 1000))
    threads = 1
    while threads < PARTITIONS and model.simulate(1, threads, jobs, keys)["busy"] > USE:
        threads += 1
    said = model.simulate(gateways, threads, jobs, keys)
    print(f"\n{jobs} jobs x {keys} keys/s = {points:,} points/s:")
    print(f"  gateways: {said['gateway']:.2f} cores: {gateways} pods of {WORKERS} workers, "
          f"{1 / request:,.0f} requests/s a core")
    print(f"  flushers: {model.rows_per_second():,.0f} rows/s each at most; {threads} threads, "
          f"windows of {said['rows']:,.0f} rows, a point is in PostgreSQL after "
          f"{said['age_s']:.2f} s (p99)")
    print(f"  PostgreSQL: {said['postgresql']:.2f} cores for {said['points']:,.0f} rows/s")
    print(f"  connections: {gateways} x ({WORKERS} x {SQL_CONNECTIONS} + 1) + {threads} = "
          f"{gateways * (WORKERS * SQL_CONNECTIONS + 1) + threads}")
    for pods in (1, 2, 4, 8, 16):
        if pods > PARTITIONS:
            break
        s = model.simulate(pods, pods, jobs, keys)
        print(f"  with {pods:2} flusher threads: busy {s['busy']:.0%}, "
              f"{s['points'] / points:.0%} of the points flushed, p99 {s['age_s']:.2f} s")
    return said


class Suite:
    def __init__(self, cluster, kafka):
        self.cluster, self.kafka, self.seed = cluster, kafka, 1
        self.binary = os.path.join(ROOT, "build/sluice")

    def brokers(self, _):
        return self.kafka


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=12, help="of each measurement")
    parser.add_argument("--jobs", type=int, default=10000, help="to plan for")
    parser.add_argument("--keys", type=int, default=30, help="of each job, once a second")
    parser.add_argument("--json", help="write what was measured, too")
    options = parser.parse_args()
    with Cluster(fsync=True) as cluster, Kafka() as kafka:
        suite = Suite(cluster, kafka)
        results = [(shape, measure(suite, *shape, options)) for shape in CALIBRATION + CHECKED]
    model = Model(results[0][1], results[1][1])
    print(f"predicted / measured = ratio; load of the machine: {os.getloadavg()[0]:.0f}; lines: gateway {model.gateway}, "
          f"flusher {model.flusher}, PostgreSQL {model.postgresql}\n")
    table(model, results, options.keys)
    said = plan(model, options.jobs, options.keys)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as f:
            json.dump({"measured": results, "plan": said}, f, indent=1)


if __name__ == "__main__":
    main()
