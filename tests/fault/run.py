#!/usr/bin/env python3
"""The fault suite: whatever happens to PostgreSQL, acked is stored exactly once, and accepting goes on.

    python tests/fault/run.py [BINARY] [--long] [--seed N] [--only NAME] [--lanes 2] [--list]

Each scenario (tests/fault/scenarios_*.py) loads the real program on a real PostgreSQL, does to the
latter what happens to databases, and asserts meanwhile and afterwards what scene.py says. --long
repeats and lengthens what has a length.

Scenarios are processes of their own, --lanes of them at a time: most of the time they wait for a bound.
As root each runs in network and mount namespaces of its own, so that addresses, packet filters and small
disks are nobody else's. What a machine lacks for a scenario is printed, and that scenario is skipped.
Last line: `N passed, N failed`, one for each line above it that is not a skip.
"""

import argparse
import concurrent.futures
import os
import random
import re
import shutil
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "tools"), os.path.join(HERE, "..", "crash")]

import namespaces  # noqa: E402
from cluster import Cluster  # noqa: E402
from scene import Skip  # noqa: E402


class Suite:
    """What a scenario is given."""

    def __init__(self, binary, seed, is_long):
        self.binary = os.path.abspath(binary)
        self.seed = seed
        self.is_long = is_long
        self.verified = 0
        self.cluster = None

    def times(self, few, many):
        return many if self.is_long else few

    def need_namespaces(self):
        if not namespaces.are_own():
            raise Skip("no network namespace of its own (not root, or unshare is not allowed)")

    def need_program(self, name):
        if not shutil.which(name):
            raise Skip(f"{name} is not installed")


def run_one(options, scenario):
    """In a process of its own: one line, and the exit code of pass, fail or skip."""
    suite = Suite(options.binary, options.seed, options.long)
    begin = time.monotonic()
    try:
        with Cluster() as suite.cluster:
            what, word = scenario(suite), "ok  "
    except Skip as e:
        what, word = f"skipped: {e}", "skip"
    except Exception:  # whatever goes wrong is one failure, and the other scenarios run
        traceback.print_exc(file=sys.stdout)
        what, word = "see above", "FAIL"
    print(f"{suite.verified} acked points verified")
    print(f"{word} {time.monotonic() - begin:6.1f} s  {scenario.__name__}: {what}", flush=True)


def start_one(options, name):
    """(last line, points verified) of the scenario's process; whatever else it says is shown at once."""
    command = [sys.executable, os.path.abspath(__file__), options.binary, "--one", name,
               "--seed", str(options.seed)] + ["--long"] * options.long
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace")
    lines = done.stdout.rstrip().splitlines() or [""]
    if not lines[-1].startswith(("ok ", "skip", "FAIL")):
        lines.append(f"FAIL {name}: exit code {done.returncode} and no verdict")
    verified = sum(map(int, re.findall(r"^(\d+) acked points verified$", done.stdout, re.M)))
    shown = lines if lines[-1].startswith("FAIL") else lines[-1:]
    print("\n".join(shown), flush=True)
    return lines[-1], verified


def run_all(options, names):
    with concurrent.futures.ThreadPoolExecutor(options.lanes) as lanes:
        results = list(lanes.map(lambda name: start_one(options, name), names))
    count = {word: sum(line.startswith(word) for line, _ in results)
             for word in ("ok", "skip", "FAIL")}
    print(f"{sum(n for _, n in results)} acked points verified, {count['skip']} skipped")
    print(f"{count['ok']} passed, {count['FAIL']} failed")
    return 1 if count["FAIL"] else 0


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", nargs="?", default=os.path.join(HERE, "../../build/sluice"))
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", help="one scenario; may be repeated")
    parser.add_argument("--lanes", type=int, default=2, help="scenarios at a time")
    parser.add_argument("--list", action="store_true", help="the scenarios' names and promises")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser


def main():
    parser = arguments()
    options = parser.parse_args()
    if options.one:
        namespaces.enter("net", "mount")
    from scenarios import SCENARIOS

    by_name = {s.__name__: s for s in SCENARIOS}
    if options.list:
        for name, s in by_name.items():
            print(f"{name:<24}{s.__doc__.strip().splitlines()[0]}")
        return
    if options.one:
        run_one(options, by_name[options.one])
        return
    unknown = set(options.only or ()) - set(by_name)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 31)
    print(f"seed {options.seed}", flush=True)
    sys.exit(run_all(options, [n for n in by_name if not options.only or n in options.only]))


if __name__ == "__main__":
    main()
