"""The oracle of faults.md: is what PostgreSQL holds what was acked, and nothing else?

    ledger = Ledger(); ledger.sent(run, points); ledger.acked(run, points)
    problems = check(pg, ledger)

A point is (key, value, timestamp, step), value as the client gave it: a float, NaN and the
infinities among them. After recovery, for the runs of the ledger:
  - every acked point is exactly one row of metrics;
  - rows may hold points that were sent but not acked;
  - there is no other row;
  - latest_metrics equals its recomputation from metrics: per (run, key) the row whose
    (step, timestamp, value) is greatest, where among equal triples (NaN counts as value 0) any
    may stand, because which came first is not stored.
check() returns a list of texts, empty when all is well, and looks at no more than it must: one
pass over the rows of the ledger's runs.
"""

import json
import math
import sys
from collections import defaultdict

LARGEST = 1.7976931348623157e308


def as_stored(point):
    """(key, value, timestamp, step, is_nan) as MLflow stores the point."""
    key, value, timestamp, step = point
    value = float(value)
    if math.isnan(value):
        return key, 0.0, timestamp, step, True
    # + 0.0 turns -0.0 into 0.0: the two are one value to PostgreSQL's unique index.
    return key, max(-LARGEST, min(LARGEST, value)) + 0.0, timestamp, step, False


class Ledger:
    """What was sent and what was acked, per run. Not locked: one writer, or one per process."""

    def __init__(self):
        self.sent_points = defaultdict(set)
        self.acked_points = defaultdict(set)

    def sent(self, run, points):
        self.sent_points[run].update(map(as_stored, points))

    def acked(self, run, points):
        self.acked_points[run].update(map(as_stored, points))

    def add(self, other):
        for run, points in other.sent_points.items():
            self.sent_points[run] |= points
        for run, points in other.acked_points.items():
            self.acked_points[run] |= points

    def runs(self):
        return sorted(set(self.sent_points) | set(self.acked_points))

    def acked_count(self):
        return sum(map(len, self.acked_points.values()))


def _rows(pg, table, runs):
    """run -> [(key, value, timestamp, step, is_nan)] of metrics or latest_metrics."""
    by_run = defaultdict(list)
    for run, *rest in pg.execute(
            f"SELECT run_uuid, key, value, timestamp, step, is_nan FROM {table} "
            "WHERE run_uuid = ANY(%s)", (list(runs),)):
        by_run[run].append(tuple(rest))
    return by_run


def latest_of(rows):
    """key -> (greatest (step, timestamp, value), the is_nan flags that stand at it)."""
    best = {}
    for key, value, timestamp, step, is_nan in rows:
        triple = (step, timestamp, value)
        if key not in best or triple > best[key][0]:
            best[key] = (triple, {is_nan})
        elif triple == best[key][0]:
            best[key][1].add(is_nan)
    return best


def check_latest(pg, runs):
    """Problems of latest_metrics against its recomputation from metrics, for these runs."""
    return _latest_problems(runs, _rows(pg, "metrics", runs), _rows(pg, "latest_metrics", runs))


def _latest_problems(runs, metrics, latest):
    problems = []
    for run in runs:
        want = latest_of(metrics.get(run, ()))
        have = {row[0]: row for row in latest.get(run, ())}
        for key in want.keys() - have.keys():
            problems.append(f"run {run}: latest_metrics lacks {key!r}")
        for key in have.keys() - want.keys():
            problems.append(f"run {run}: latest_metrics has {key!r}, which metrics has not")
        for key in want.keys() & have.keys():
            _, value, timestamp, step, is_nan = have[key]
            triple, flags = want[key]
            if (step, timestamp, value) != triple or is_nan not in flags:
                problems.append(f"run {run}: latest_metrics of {key!r} is "
                                f"{(step, timestamp, value, is_nan)}, should be {triple} {flags}")
    return problems


def check(pg, ledger, examples=5):
    """All problems, at most `examples` of each kind for each run spelt out."""
    runs = ledger.runs()
    metrics = _rows(pg, "metrics", runs)
    problems = []
    for run in runs:
        rows = [(k, v + 0.0, t, s, n) for k, v, t, s, n in metrics.get(run, ())]
        stored = set(rows)
        sent = ledger.sent_points[run] | ledger.acked_points[run]
        for what, points in (("acked but not stored", ledger.acked_points[run] - stored),
                             ("stored but never sent", stored - sent)):
            for point in sorted(points)[:examples]:
                problems.append(f"run {run}: {what}: {point}")
            if len(points) > examples:
                problems.append(f"run {run}: {what}: {len(points) - examples} more")
        if len(rows) != len(stored):
            # The primary key forbids it; a database without that key would show it here.
            problems.append(f"run {run}: {len(rows) - len(stored)} points are stored twice")
    return problems + _latest_problems(runs, metrics, _rows(pg, "latest_metrics", runs))


def main():
    """oracle.py URI LEDGER.jsonl: lines {"run", "acked", "points": [[key, value, ts, step]...]}"""
    import psycopg

    ledger = Ledger()
    with open(sys.argv[2], encoding="utf-8") as f:
        for line in f:
            entry = json.loads(line)
            ledger.sent(entry["run"], map(tuple, entry["points"]))
            if entry["acked"]:
                ledger.acked(entry["run"], map(tuple, entry["points"]))
    with psycopg.connect(sys.argv[1]) as pg:
        problems = check(pg, ledger)
    print("\n".join(problems) or f"{ledger.acked_count()} acked points, all well")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
