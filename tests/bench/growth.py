#!/usr/bin/env python3
"""`make bench-growth`: how cost grows with rows, runs, keys and connections.

    python tests/bench/growth.py [--rows 0,1000000,...] [--runs 1,100,...] [--keys 1,10,...]
                                 [--connections 1,64,...] [--points 200000] [--tuned] [--docs]

  rows         the same 1000 runs x 10 keys on top of so many rows already in `metrics`; with --tuned once more
               after `schema tune metrics_run_uuid metrics_primary_key`, and how long that takes
  runs, keys   so many runs of 10 keys, 1000 runs of so many keys; batches of 100 points
  connections  log-metric, closed loop, one connection a job

What a point (or a request) costs is CPU time of Sluice and of PostgreSQL's backends, from /proc/PID/task/*/schedstat, which
other work on the machine changes less than the rates that stand beside it. The lists are as long as
somebody has patience; a hundred million rows take some 40 GB. Writes build/growth.json, with --docs docs/growth.svg too.
"""

import argparse
import json
import math
import os
import shutil
import sys
import tempfile
from xml.sax.saxutils import escape

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../tools")]

import bench  # noqa: E402
from charts import STYLE  # noqa: E402
from cluster import BENCH_SETTINGS, Cluster  # noqa: E402
from flames import backends, counted, wal_bytes  # noqa: E402
from server import ROOT, Sluice  # noqa: E402
from targets import blow, tune  # noqa: E402


def make_runs(cluster, database, count):
    with cluster.connect(database) as pg:
        pg.execute("INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, "
                   "start_time, source_version, lifecycle_stage, artifact_uri, experiment_id) "
                   "SELECT lpad(to_hex(n), 32, '0'), 'growth', 'UNKNOWN', '', '', 'bench', 'RUNNING', 1, '', 'active', "
                   "'mlflow-artifacts:/0/x', 0 FROM generate_series(1, %s) n", (count,))
        pg.execute("VACUUM ANALYZE runs")
    return [f"{n:032x}" for n in range(1, count + 1)]


def arrival(ids, keys, points, first):
    """Batches of 100 points as they come from so many runs of so many keys, run after run."""
    for number in range(points // 100):
        at = first + number // len(ids) * 100
        yield ids[number % len(ids)], [
            (f"metric{i % keys}", i + 1 / (i + 1), 1_700_000_000_000 + i // keys, i // keys) for i in range(at, at + 100)]


def apply(cluster, server, database, ids, keys, points, first):
    """What a point costs from its request to its row."""
    prepared = [bench.request_bytes(*batch) for batch in arrival(ids, keys, points, first)]
    before = server.stat("sluice_applied_points_total")
    wal, begin = wal_bytes(cluster), bench.time.monotonic()
    with counted({"sluice": [server.process.pid], "postgresql": backends(cluster, database)}) as counts:
        bench.send_all(server.url, prepared)
        bench.wait_until(lambda: server.stat("sluice_applied_points_total") >= before + points, 900, "applied")
        seconds = bench.time.monotonic() - begin
    return {"sluice_us": counts["sluice"]["cpu_us"] / points, "postgresql_us": counts["postgresql"]["cpu_us"] / points,
            "wal_bytes": (wal_bytes(cluster) - wal) / points, "per_second": points / seconds}


def tuned(cluster, server, uri, name, ids, first, options):
    """What it costs to have one index in place of three, and what a point costs then."""
    begin = bench.time.monotonic()
    tune(uri, "metrics_run_uuid", "metrics_primary_key")
    seconds = bench.time.monotonic() - begin
    with cluster.connect("postgres") as pg:
        pg.execute("CHECKPOINT")
    return {**apply(cluster, server, name, ids, 10, options.points, first), "tune_seconds": seconds}


def one(cluster, name, runs, keys, rows, options):
    """(name of the curve, what a point costs), and where it is asked for what it costs tuned."""
    kind, uri = name.rstrip("0123456789"), cluster.create_database(name)
    with Sluice(uri):  # makes the schema
        pass
    ids = make_runs(cluster, name, runs)
    if rows:
        bench.fill(cluster, name, rows)
    with Sluice(uri) as server:
        apply(cluster, server, name, ids, keys, 20_000, 0)  # the first windows of a table are like no others
        with cluster.connect("postgres") as pg:
            pg.execute("CHECKPOINT")
        first = 200 * max(1, rows // 1000) + 10_000_000
        yield kind, apply(cluster, server, name, ids, keys, options.points, first)
        if options.tuned and kind == "rows":
            yield "rows, tuned", tuned(cluster, server, uri, name, ids, first + 10 * options.points, options)
    cluster.drop_database(name)


def connections(server, count, folder, options):
    with counted({"sluice": [server.process.pid]}) as counts:
        figures = blow(server, folder, "--loop", "closed", "--jobs", str(count), "--mix", "log-metric=1", "--duration",
                       f"{options.seconds}s", "--experiment", f"connections{count}")
    bench.drained(server)
    return {"sluice_us": counts["sluice"]["cpu_us"] / figures["done"], "per_second": figures["throughput"],
            "rss_mib": figures["rss_peak"] / (1 << 20), "service_p99_ms": figures["service_p99"] * 1e3}


def short(number):
    for size, letter in ((1_000_000, "M"), (1000, "k")):
        if number >= size:
            return f"{number / size:g}{letter}"
    return str(number)


def round_up(value):
    decade = 10 ** math.floor(math.log10(value))
    return next(decade * step for step in (1, 2, 4, 6, 8, 10) if value <= decade * step)


def chart(curves, title, unit, left, top):
    """A small plot, logarithmic along x, straight along y. curves: {name: [(x, y)]}."""
    width, height = 380, 150
    points = [p for line in curves.values() for p in line]
    high = round_up(max(y for _, y in points))
    labels = {max(1, x): short(x) for x, _ in points}
    xs = sorted(labels)
    span = math.log10(xs[-1] / xs[0]) or 1

    def at(x, y):
        return (left + 50 + width * math.log10(max(1, x) / xs[0]) / span, top + 30 + height * (1 - y / high))

    out = [f'<text x="{left + 50}" y="{top + 16}">{escape(title)}</text>']
    for part in (0, 0.5, 1):
        y = top + 30 + height * (1 - part)
        out.append(f'<line class="g" x1="{left + 50}" x2="{left + 50 + width}" y1="{y:.1f}" y2="{y:.1f}"/>'
                   f'<text class="d" x="{left + 44}" y="{y + 4:.1f}" text-anchor="end">{high * part:g}</text>')
    for x in xs:
        out.append(f'<text class="d" x="{at(x, 0)[0]:.1f}" y="{top + 30 + height + 16}" text-anchor="middle">{labels[x]}</text>')
    for n, (name, line) in enumerate(curves.items()):
        klass = "b" if n == 0 else "m"
        path = " ".join(f"{at(x, y)[0]:.1f},{at(x, y)[1]:.1f}" for x, y in line)
        out.append(f'<polyline class="l{klass}" points="{path}"/>')
        out += [f'<circle class="{klass}" cx="{at(x, y)[0]:.1f}" cy="{at(x, y)[1]:.1f}" r="3"/>' for x, y in line]
        out.append(f'<rect class="{klass}" x="{left + 265 + 85 * n}" y="{top + 7}" width="10" height="10"/>'
                   f'<text class="d" x="{left + 279 + 85 * n}" y="{top + 16}">{escape(name)}{unit}</text>')
    return out


def draw(found):
    height = 10 + 225 * ((len(found) + 1) // 2)
    lines = [f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 920 {height}' role='img' aria-label='growth'>",
             STYLE.replace("</style>", "polyline{fill:none;stroke-width:2}.lb{stroke:#0072b2}.lm{stroke:#b35000}"
                           "@media(prefers-color-scheme:dark){.lb{stroke:#56b4e9}.lm{stroke:#ff9a5c}}</style>")]
    for n, (name, results) in enumerate(found.items()):
        who = [k for k in ("sluice_us", "postgresql_us") if k in results[0][1]]
        curves = {k.removesuffix("_us"): [(x, r[k]) for x, r in results] for k in who}
        what = "request" if name == "connections" else "point"
        lines += chart(curves, f"{name}: µs of CPU a {what}", "", 460 * (n % 2), 225 * (n // 2))
    return "\n".join([*lines, "</svg>", ""])


def numbers(text):
    return [int(word) for word in text.split(",") if word]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=numbers, default=[0, 1_000_000, 4_000_000, 10_000_000])
    parser.add_argument("--runs", type=numbers, default=[1, 100, 1000, 10_000, 100_000])
    parser.add_argument("--keys", type=numbers, default=[1, 10, 100, 1000, 10_000])
    parser.add_argument("--connections", type=numbers, default=[1, 64, 1000, 10_000])
    parser.add_argument("--points", type=int, default=200_000)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--tuned", action="store_true", help="rows: measure again with one index")
    parser.add_argument("--docs", action="store_true", help="write docs/growth.svg")
    options = parser.parse_args()
    folder, found = tempfile.mkdtemp(prefix="growth-"), {}
    print(f"load {os.getloadavg()[0]:.1f}")

    def note(name, count, result):
        found.setdefault(name, []).append((count, result))
        print(f"{name:<12}{count:>12,}  " + "  ".join(f"{k} {v:,.4g}" for k, v in result.items()), flush=True)

    try:
        with Cluster(BENCH_SETTINGS, fsync=True) as cluster:
            shapes = [(f"rows{n}", 1000, 10, n) for n in options.rows]
            shapes += [(f"runs{n}", n, 10, 0) for n in options.runs]
            shapes += [(f"keys{n}", 1000, n, 0) for n in options.keys]
            for shape in shapes:
                for kind, result in one(cluster, *shape, options):
                    note(kind, int(shape[0].lstrip("rowsunkey")), result)
            most = str(max(options.connections, default=0) + 100)  # and as many descriptors (ulimit -n), on both sides
            with Sluice(cluster.create_database("connections"), args=["--max-connections", most]) as server:
                for count in options.connections:
                    note("connections", count, connections(server, count, folder, options))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"load {os.getloadavg()[0]:.1f}")
    with open(os.path.join(ROOT, "build/growth.json"), "w", encoding="utf-8") as f:
        json.dump(found, f, indent=1)
    if options.docs:
        with open(os.path.join(ROOT, "docs/growth.svg"), "w", encoding="utf-8") as f:
            f.write(draw(found))


if __name__ == "__main__":
    main()
