#!/usr/bin/env python3
"""`make bench-guard`: has anything become worse by more than 15 % since the committed table?

    python tests/bench/guard.py [--loss 0.15] [--base docs/bench.json] [--new build/bench.json]

What is compared are ratios of things measured in turns, and memory; latencies and rates alone belong to the machine and
its load. A row of the base that the new table lacks is a loss, too. Exit code 1 when there is one.
"""

import argparse
import json
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LESS_IS_BETTER = ("30 % of requests replayed", "resident memory", "connected jobs")


def figures(found):
    """{name: (value, is more better?)}"""
    rows = {f"{row['what']} | {row['against']}": (row["ratio"], True) for row in found["table"] if "ratio" in row}
    for row in found.get("targets", []):
        if row["unit"] in ("x", "MiB"):
            rows[row["what"]] = (row["value"], not any(word in row["what"] for word in LESS_IS_BETTER))
    return rows


def losses(base, new, allowed):
    """[(name, before, after)]; after is None where the row is gone."""
    found, now = [], figures(new)
    for name, (before, is_more_better) in figures(base).items():
        after = now[name][0] if name in now else None
        if after is None or (after < before * (1 - allowed) if is_more_better else after > before * (1 + allowed)):
            found.append((name, before, after))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--loss", type=float, default=0.15)
    parser.add_argument("--base", default=os.path.join(ROOT, "docs/bench.json"))
    parser.add_argument("--new", default=os.path.join(ROOT, "build/bench.json"))
    options = parser.parse_args()
    tables = []
    for path in (options.base, options.new):
        if not os.path.exists(path):
            sys.exit(f"{path} is missing: make bench-table ARGS=--docs writes the base, make bench-table the new one")
        with open(path, encoding="utf-8") as f:
            tables.append(json.load(f))
    found = losses(*tables, options.loss)
    for name, before, after in found:
        print(f"LOSS  {name}: {before:.3g} -> {'gone' if after is None else f'{after:.3g}'}")
    print(f"{len(figures(tables[0])) - len(found)} figures kept, {len(found)} lost more than {options.loss:.0%}")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
