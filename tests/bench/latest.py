#!/usr/bin/env python3
"""What a row of latest_metrics costs PostgreSQL, as the table comes and after `schema tune latest_metrics_fill`.

    python tests/bench/latest.py [--rounds 12]

One window's 5000 rows (500 runs x 10 keys) are updated again and again by the flusher's statement, on two tables in
turns; microseconds of the backend's CPU a row, from /proc/PID/schedstat. Medians, the first two rounds left out.
"""

import argparse
import os
import re
import statistics
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../tools")]

import bench  # noqa: E402
from cluster import BENCH_SETTINGS, Cluster  # noqa: E402
from flames import on_cpu_s  # noqa: E402
from server import ROOT, Sluice  # noqa: E402
from targets import tune  # noqa: E402


def statement():
    """The flusher's own, from its source, with psycopg's marks for parameters."""
    with open(os.path.join(ROOT, "flush/txn.c"), encoding="utf-8") as f:
        text = re.search(r"sql_latest\[\] =(.*?);", f.read(), re.S)[1]
    return re.sub(r"\$\d", "%s", "".join(re.findall(r'"([^"]*)"', text)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    found = {"as it comes": [], "tuned": []}
    with Cluster(BENCH_SETTINGS, fsync=True) as cluster:
        sessions = {}
        for number, name in enumerate(found):
            uri = cluster.create_database(f"latest{number}")
            with Sluice(uri):  # makes the schema
                pass
            if name == "tuned":
                tune(uri, "latest_metrics_fill")
            ids, _ = bench.make_runs(cluster, uri, cluster.folder, f"latest{number}")
            sessions[name] = cluster.connect(f"latest{number}")
        rows = [(f"metric{k}", run) for run in ids[:500] for k in range(10)]
        keys, runs = (list(column) for column in zip(*rows))
        for step in range(options.rounds + 2):
            values = (keys, [float(step)] * len(rows), [step] * len(rows), runs, [step] * len(rows),
                      [False] * len(rows))
            for name, pg in sessions.items():
                before = on_cpu_s(pg.info.backend_pid)
                pg.execute(statement(), values)
                found[name].append((on_cpu_s(pg.info.backend_pid) - before) * 1e6 / len(rows))
        for pg in sessions.values():
            pg.close()
    for name, figures in found.items():
        print(f"{name:<12} {statistics.median(figures[2:]):6.2f} us a row")


if __name__ == "__main__":
    main()
