#!/usr/bin/env python3
"""Where the time goes: `python tests/bench/flames.py` draws docs/flame-accept.svg and docs/flame-flush.svg.

    python tests/bench/flames.py [--only accept|flush] [--seconds 6] [--points 400000] [--folder docs]

  accept  log-metric from 64 connections, as fast as they are answered: all threads of Sluice
  flush   batches of 100 points until they are in PostgreSQL: Sluice and its backends, beside
          `psql \\copy` of the same points into another database

`perf record` samples the stacks of the processes by frame pointer (Sluice is built with them; PostgreSQL of Debian is
not, so of its stacks only the innermost functions are sure). What a request or a point costs is CPU time from
/proc/PID/task/*/schedstat, and instructions and cycles where `perf stat` may count them; bytes are those of the WAL and
the journal. Needs perf (linux-perf) and the right to use it. The folding and the drawing are below: no script in
the picture, a title on every box says its share.
"""

import argparse
import collections
import contextlib
import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../tools")]

import bench  # noqa: E402
from cluster import BENCH_SETTINGS, Cluster  # noqa: E402
from server import ROOT, Sluice  # noqa: E402

WIDTH, ROW, LEAST = 1200, 17, 1.0  # pixels; narrower boxes are left out


def fold(text):
    """perf script's stacks as {(outermost, ..., innermost): samples}."""
    stacks = collections.Counter()
    for block in text.split("\n\n"):
        lines = block.strip().splitlines()
        if not lines or not lines[0]:
            continue
        name = re.match(r"(.+?)\s+\d+", lines[0].strip())[1]
        frames = [re.sub(r"\+0x[0-9a-f]+$", "", m[1]) for m in
                  (re.match(r"\s*[0-9a-f]+ (.+) \(.*\)$", line) for line in lines[1:]) if m]
        stacks[(name, *reversed([f for f in frames if f != "[unknown]"]))] += 1
    return stacks


def tree(stacks):
    root = [0, {}]
    for stack, count in stacks.items():
        at = root
        at[0] += count
        for frame in stack:
            at = at[1].setdefault(frame, [0, {}])
            at[0] += count
    return root


def draw(stacks, title):
    root = tree(stacks)
    boxes = []

    def place(node, name, x, depth):
        width = WIDTH * node[0] / root[0]
        if width < LEAST:
            return
        if depth >= 0:
            boxes.append((name, x, depth, width, node[0] / root[0]))
        for child, below in sorted(node[1].items()):
            place(below, child, x, depth + 1)
            x += WIDTH * below[0] / root[0]

    place(root, "", 0.0, -1)
    height = 40 + ROW * (max((b[2] for b in boxes), default=0) + 1)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
           f'aria-label="{html.escape(title)}"><style>text{{font:11px monospace;fill:#111;pointer-events:none}}'
           'rect{stroke:#fff;stroke-width:.5}.h{font:13px sans-serif;fill:#777}</style>'
           f'<text class="h" x="4" y="16">{html.escape(title)}</text>']
    for name, x, depth, width, share in boxes:
        hue = 20 + zlib.crc32(name.encode()) % 40
        y = height - ROW * (depth + 1) - 8
        label = html.escape(name[:int(width / 6.7)]) if width > 20 else ""
        out.append(f'<g><title>{html.escape(name)}: {share:.1%}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" '
                   f'height="{ROW - 1}" fill="hsl({hue} 85% 68%)"/><text x="{x + 3:.1f}" y="{y + 12}">{label}</text></g>')
    return "\n".join([*out, "</svg>", ""])


def leaves(stacks, count):
    """The functions with the most samples of their own."""
    own = collections.Counter()
    for stack, n in stacks.items():
        own[(stack[0], stack[-1] if len(stack) > 1 else "?")] += n
    total = sum(stacks.values()) or 1
    return [(f"{who}: {what}", n / total) for (who, what), n in own.most_common(count)]


@contextlib.contextmanager
def recorded(folder, name, pids):
    """Samples pids while the block runs; gives a dict that has their stacks afterwards."""
    data, found = os.path.join(folder, name + ".data"), {}
    process = subprocess.Popen(["perf", "record", "-q", "-F", "997", "-g", "-o", data, "-p", ",".join(map(str, pids))],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    text = subprocess.run(["perf", "script", "-i", data, "-F", "comm,pid,ip,sym,dso"], capture_output=True, text=True,
                          check=True, errors="replace").stdout
    found["stacks"] = fold(text)


def on_cpu_s(pid):
    """Seconds that the process was on a CPU, all its threads, in nanoseconds' grain."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
                total += int(f.read().split()[0])
    return total / 1e9


def has_counters():
    """Virtual machines often keep the processor's counters to themselves."""
    said = subprocess.run(["perf", "stat", "-x", ",", "-e", "instructions:u", "true"], capture_output=True, text=True,
                          check=False).stderr
    return said.split(",")[0].isdigit()


@contextlib.contextmanager
def counted(groups):
    """{name: {"cpu_us": ...}} of groups of processes while the block runs, and what the processor counts of them."""
    found, processes = {name: {} for name in groups}, {}
    for name, pids in groups.items():
        if has_counters():
            processes[name] = subprocess.Popen(
                ["perf", "stat", "-x", ",", "-e", "instructions:u,instructions:k,cycles", "-p", ",".join(map(str, pids))],
                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    before = {name: sum(map(on_cpu_s, pids)) for name, pids in groups.items()}
    yield found
    for name, pids in groups.items():
        found[name]["cpu_us"] = (sum(map(on_cpu_s, pids)) - before[name]) * 1e6
    for name, process in processes.items():
        process.send_signal(signal.SIGINT)
        lines = [line.split(",") for line in process.communicate(timeout=60)[1].splitlines()]
        found[name].update({line[2]: int(line[0]) for line in lines if len(line) > 2 and line[0].isdigit()})


def backends(cluster, database):
    with cluster.connect("postgres") as pg:
        return [pid for (pid,) in pg.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = %s AND backend_type = 'client backend'", (database,))]


def wal_bytes(cluster):
    with cluster.connect("postgres") as pg:
        return int(pg.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()[0])


def copy_cpu_s(cluster, database, copy):
    """CPU seconds of the backend that copy() is served by: looked at every few milliseconds until it has gone."""
    thread = threading.Thread(target=copy)
    last = {}
    thread.start()
    while thread.is_alive():
        for pid in backends(cluster, database):
            with contextlib.suppress(FileNotFoundError):
                last[pid] = on_cpu_s(pid)
        time.sleep(0.01)
    thread.join()
    return sum(last.values())


def per(counts, units):
    return {event: count / units for event, count in counts.items()}


def say_counts(what, counts):
    print(f"  {what}: " + ", ".join(f"{value:,.2f} {event}" for event, value in counts.items()), flush=True)


def accept(cluster, folder, options):
    uri = cluster.create_database("accept")
    with Sluice(uri) as server:
        _, runs = bench.make_runs(cluster, uri, folder, "accept")
        load = lambda n: bench.wrk("log_metric.lua", server.url, options.seconds, runs, n * 100_000_000)  # noqa: E731
        load(1)
        before = server.stat("sluice_accepted_points_total")
        with counted({"sluice": [server.process.pid]}) as counts:
            load(2)
        points = server.stat("sluice_accepted_points_total") - before
        bench.drained(server)
        with recorded(folder, "accept", [server.process.pid]) as found:
            load(3)
        bench.drained(server)
    result = {"sluice": per(counts["sluice"], points)}
    say_counts("accept, a request", result["sluice"])
    return found["stacks"], result, f"log-metric, 64 connections: all threads of Sluice, {points:.0f} requests"


def flush(cluster, folder, options):
    uri = cluster.create_database("flush")
    with Sluice(uri):
        pass
    ids, _ = bench.make_runs(cluster, uri, folder, "flush")
    cluster.create_database("copied", template="flush")
    with Sluice(uri, args=options.args.split()) as server:
        bench.apply_sluice(server, ids, 20_000, 1)
        pids = backends(cluster, "flush")
        groups = {"sluice": [server.process.pid], "postgresql": pids}
        wal, journal = wal_bytes(cluster), server.stat("sluice_journal_bytes_total")
        with counted(groups) as counts:
            bench.apply_sluice(server, ids, options.points, 1_000_000)
        wal = wal_bytes(cluster) - wal
        journal = server.stat("sluice_journal_bytes_total") - journal
        windows = server.stat("sluice_windows_total")
        with recorded(folder, "flush", [server.process.pid, *pids]) as found:
            bench.apply_sluice(server, ids, options.points, 2_000_000)
        windows = server.stat("sluice_windows_total") - windows
    result = {name: per(c, options.points) for name, c in counts.items()}
    result["postgresql"]["wal_bytes"] = wal / options.points
    result["sluice"]["journal_bytes"] = journal / options.points
    wal = wal_bytes(cluster)
    cpu = copy_cpu_s(cluster, "copied", lambda: bench.apply_copy(cluster, "copied", ids, options.points, 1_000_000, folder))
    result["copy"] = {"cpu_us": cpu * 1e6 / options.points, "wal_bytes": (wal_bytes(cluster) - wal) / options.points}
    for name, c in result.items():
        say_counts(f"flush, a point, {name}", c)
    print(f"  {options.points / windows:,.0f} points a window")
    return found["stacks"], result, f"batches of 100 points: Sluice and its backends, {options.points} points"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--only", choices=["accept", "flush"])
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--points", type=int, default=400_000)
    parser.add_argument("--folder", default=os.path.join(ROOT, "docs"))
    parser.add_argument("--args", default="", help="settings for sluice")
    options = parser.parse_args()
    folder, results = tempfile.mkdtemp(prefix="flames-"), {}
    try:
        with Cluster(BENCH_SETTINGS, fsync=True) as cluster:
            for name, measure in (("accept", accept), ("flush", flush)):
                if options.only in (None, name):
                    stacks, results[name], title = measure(cluster, folder, options)
                    with open(os.path.join(options.folder, f"flame-{name}.svg"), "w", encoding="utf-8") as f:
                        f.write(draw(stacks, title))
                    for what, share in leaves(stacks, 25):
                        print(f"  {share:6.1%}  {what}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(results))


if __name__ == "__main__":
    main()
