#!/usr/bin/env python3
"""What redis_uri costs: the same load on two servers of one PostgreSQL, one with Redis and one without.

    build/venv/bin/python tests/bench/redis_cost.py [--rounds 5] [--seconds 4]

In each round both take their turn, in changing order; a ratio is the median of the rounds' ratios. Writes
are single points over 64 connections, fdatasync on; reads are runs/get of quiet runs over 16. Client,
Sluice, Redis and PostgreSQL share the machine's cores. Needs wrk and redis-server.
"""

import argparse
import os
import statistics
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tools"))

import requests  # noqa: E402

from bench import wrk  # noqa: E402
from cluster import Cluster  # noqa: E402
from redis_server import RedisServer  # noqa: E402
from server import Sluice, wait_until  # noqa: E402

RUNS = 200


def cpu_us(process):
    """CPU time that a process has used."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")


def measure(pods, redis, script, connections, options, runs_file):
    """Rows of (without, with) for each round."""
    rows, step = [], 1
    for number in range(options.rounds):
        row = {}
        for name in list(pods) if number % 2 else reversed(list(pods)):
            before = cpu_us(pods[name].process), cpu_us(redis.process)
            row[name] = wrk(script, pods[name].url, options.seconds, runs_file, step, connections)
            step += 10 ** 7
            wait_until(lambda n=name: pods[n].stat("sluice_backlog_points") == 0, 120, "flushed")
            row[name]["cpu_us"] = (cpu_us(pods[name].process) - before[0]) / row[name]["requests"]
            row[name]["redis_us"] = (cpu_us(redis.process) - before[1]) / row[name]["requests"]
        rows.append(row)
    return rows


def show(what, rows, unit):
    without, with_it = ([row[n]["per_second"] for row in rows] for n in ("without", "with"))
    ratio = statistics.median(b / a for a, b in zip(without, with_it))
    slower = statistics.median(row["with"]["p50_ms"] - row["without"]["p50_ms"] for row in rows)
    cpu = [statistics.median(row[n]["cpu_us"] for row in rows) for n in ("without", "with")]
    redis = statistics.median(row["with"]["redis_us"] for row in rows)
    print(f"{what}: CPU of Sluice for each {cpu[0]:.1f} us without, {cpu[1]:.1f} with, of Redis "
          f"{redis:.1f}")
    print(f"{what}: without {statistics.median(without):.0f} {unit}, with "
          f"{statistics.median(with_it):.0f}, ratio {ratio:.2f}, median answer {slower:+.2f} ms")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    options = parser.parse_args()
    with Cluster(fsync=True) as cluster, RedisServer() as redis, tempfile.NamedTemporaryFile("w") as f:
        uri = cluster.create_database("bench")
        args = ["--workers", "2"]
        with Sluice(uri, args=args) as plain, Sluice(uri, args=args + redis.args) as shared:
            pods = {"without": plain, "with": shared}
            for _ in range(RUNS):
                answer = requests.post(plain.url + "/api/2.0/mlflow/runs/create", timeout=30,
                                       json={"experiment_id": "0"})
                f.write(answer.json()["run"]["info"]["run_id"] + "\n")
            f.flush()
            show("log-metric", measure(pods, redis, "log_metric.lua", 64, options, f.name), "requests/s")
            show("runs/get", measure(pods, redis, "get_run.lua", 16, options, f.name), "reads/s")
            skipped = shared.stat("sluice_redis_skipped_total")
            print(f"answers that went without Redis: {skipped:.0f}")


if __name__ == "__main__":
    main()
