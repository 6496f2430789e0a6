#!/usr/bin/env python3
"""What the indexes of `metrics` cost: windows of sorted points by binary COPY into MLflow's table, as it comes and otherwise.

    python tests/bench/indexes.py [--rows 0] [--window 50000] [--windows 6] [--rounds 5] [--only NAME,...] [--text]

  stock        as MLflow makes it: primary key (key, timestamp, step, run), (run, key, step), (run)
  covered      `schema tune metrics_run_uuid`: without (run)
  key          and `schema tune metrics_primary_key`: one index, the primary key's columns, (run, key, step) first
  parts        covered, as 16 hash partitions by run
  parts, key   key, as 16 hash partitions by run
  heap         no index at all: what a row costs before it has one

Every variant is a database; --rows are there before. Rounds go through all of them, each with one session and then with two
that have half of the runs each, triggers off as a flusher has them. Microseconds of the backends' CPU a row
(/proc/PID/schedstat) and bytes of WAL change less with other work on the machine than the rates beside them. --text adds
what `psql \\copy` does: the same points of the stock table as text in arrival order, foreign keys checked.
Medians over the rounds, a checkpoint before each.
"""

import argparse
import os
import statistics
import struct
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../tools")]

import bench  # noqa: E402
from cluster import BENCH_SETTINGS, Cluster  # noqa: E402
from flames import on_cpu_s, wal_bytes  # noqa: E402
from server import Sluice  # noqa: E402
from targets import tune  # noqa: E402

COLUMNS = "(key, value, timestamp, run_uuid, step, is_nan)"
PARTS = 16
KEY = ", ".join(("run_uuid", "key", "step", "timestamp", "value", "is_nan"))
STOCK_KEY = ", ".join(("key", "timestamp", "step", "run_uuid", "value", "is_nan"))
COVER = "CREATE INDEX index_metrics_run_uuid_key_step ON metrics (run_uuid, key, step)"


def partitioned(key, *indexes):
    return ["ALTER TABLE metrics RENAME TO whole",
            "CREATE TABLE metrics (LIKE whole INCLUDING DEFAULTS) PARTITION BY HASH (run_uuid)",
            *(f"CREATE TABLE metrics_{n} PARTITION OF metrics FOR VALUES WITH (MODULUS {PARTS}, REMAINDER {n})"
              for n in range(PARTS)),
            "DROP TABLE whole", f"ALTER TABLE metrics ADD CONSTRAINT metric_pk PRIMARY KEY ({key})",
            "ALTER TABLE metrics ADD CONSTRAINT metrics_run_uuid_fkey FOREIGN KEY (run_uuid) REFERENCES runs (run_uuid)",
            *indexes]


# name: (changes of schema tune, statements)
VARIANTS = {"stock": ([], []), "covered": (["metrics_run_uuid"], []),
            "key": (["metrics_run_uuid", "metrics_primary_key"], []),
            "parts": ([], partitioned(STOCK_KEY, COVER)), "parts, key": ([], partitioned(KEY)),
            "heap": ([], ["DROP INDEX index_metrics_run_uuid", "DROP INDEX index_metrics_run_uuid_key_step",
                          "ALTER TABLE metrics DROP CONSTRAINT metric_pk"])}


def field(data):
    return struct.pack(">I", len(data)) + data


def window(ids, first, steps):
    """COPY's bytes: of each run and key so many steps from first on, in the order of (run, key, step)."""
    out = [b"PGCOPY\n\xff\r\n\0", bytes(8)]
    for run in map(lambda i: field(i.encode()), sorted(ids)):
        for key in (field(f"metric{k}".encode()) for k in range(bench.KEYS)):
            out += [b"\0\6" + key + struct.pack(">IdIq", 8, step + 0.5, 8, 1_700_000_000_000 + step) + run +
                    struct.pack(">Iq", 8, step) + b"\0\0\0\1\0" for step in range(first, first + steps)]
    return b"".join([*out, b"\xff\xff"])


def copy(pg, windows):
    for data in windows:
        with pg.transaction(), pg.cursor().copy(f"COPY metrics {COLUMNS} FROM STDIN (FORMAT binary)") as stream:
            for at in range(0, len(data), 1 << 17):
                stream.write(data[at:at + (1 << 17)])


def measure(cluster, sessions, shares, rows):
    """Every session its share of windows, all at the same time: {what: figure} a row."""
    with cluster.connect("postgres") as pg:
        pg.execute("CHECKPOINT")
    pids = [pg.info.backend_pid for pg in sessions]
    wal, cpu, begin = wal_bytes(cluster), sum(map(on_cpu_s, pids)), time.monotonic()
    threads = [threading.Thread(target=copy, args=pair) for pair in zip(sessions, shares)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - begin
    return {"us": (sum(map(on_cpu_s, pids)) - cpu) * 1e6 / rows, "wal": (wal_bytes(cluster) - wal) / rows,
            "rate": rows / seconds}


def make(cluster, name, options):
    database = "indexes_" + name.replace(", ", "_")
    uri, (changes, statements) = cluster.create_database(database, template="indexes"), VARIANTS[name]
    if changes:
        tune(uri, *changes)
    with cluster.connect(database) as pg:
        for statement in statements:
            pg.execute(statement)
    if options.rows:
        bench.fill(cluster, database, options.rows)
    sessions = [cluster.connect(database) for _ in range(2)]
    for pg in sessions:
        pg.execute("SET session_replication_role = replica")
    return sessions


def text_copy(cluster, ids, options, folder):
    """bench.py's own \\copy; its backend lives as long as psql does, so of it there is the rate alone."""
    rate = bench.apply_copy(cluster, "indexes_text", ids, options.window * options.windows,
                            options.first, folder)["per_second"]
    return {"us": float("nan"), "wal": float("nan"), "rate": rate}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--window", type=int, default=50_000)
    parser.add_argument("--windows", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default=",".join(n.replace(", ", "+") for n in VARIANTS), help="parts+key is parts, key")
    parser.add_argument("--text", action="store_true")
    options = parser.parse_args()
    names = [name.replace("+", ", ") for name in options.only.split(",")]
    with Cluster(BENCH_SETTINGS, fsync=True) as cluster:
        with Sluice(cluster.create_database("indexes")):  # makes the schema
            pass
        ids, _ = bench.make_runs(cluster, cluster.uri("indexes"), cluster.folder, "indexes")
        cluster.create_database("indexes_text", template="indexes")
        variants = {name: make(cluster, name, options) for name in names}
        found, steps = {}, options.window // (bench.RUNS * bench.KEYS)
        for number in range(options.rounds):
            options.first = first = 1_000_000 + number * 10_000
            one = [window(ids, first + n * steps, steps) for n in range(options.windows)]
            first += options.windows * steps
            two = [[window(ids[half::2], first + n * 2 * steps, 2 * steps) for n in range(options.windows // 2)]
                   for half in (0, 1)]
            rows = bench.RUNS * bench.KEYS * steps
            for name, sessions in variants.items():
                found.setdefault((name, 1), []).append(measure(cluster, sessions[:1], [one], rows * options.windows))
                found.setdefault((name, 2), []).append(
                    measure(cluster, sessions, two, rows * (options.windows // 2) * 2))
            if options.text:
                found.setdefault(("\\copy", 1), []).append(text_copy(cluster, ids, options, cluster.folder))
        print(f"{options.rows:,} rows before, windows of {options.window:,}, load {os.getloadavg()[0]:.0f}")
        for (name, sessions), results in found.items():
            middle = {k: statistics.median(r[k] for r in results) for k in results[0]}
            print(f"{name:<11} {sessions}  {middle['us']:6.2f} us  {middle['wal']:6.0f} bytes of WAL  {middle['rate']:9,.0f} rows/s")
        for sessions in variants.values():
            for pg in sessions:
                pg.close()


if __name__ == "__main__":
    main()
