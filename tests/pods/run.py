#!/usr/bin/env python3
"""The pods suite: many processes around a Kafka, and whatever dies, acked is stored exactly once.

    python tests/pods/run.py [BINARY] [--long] [--seed N] [--only NAME] [--list]

Real brokers (tests/tools/kafka.py), a real PostgreSQL, gateways and flushers as processes of their
own. Each scenario loads the gateways over HTTP, breaks something, waits until PostgreSQL has every
offset that the topic holds, and asks the oracle (scene.py). caught_* are the suite itself: with a
promise broken on purpose the oracle must find lost points.

  scenarios_one.py      one broker: `make test`
  scenarios_brokers.py  three brokers, each in a network namespace: --long
  scenarios_long.py     one broker, what takes its time or a JVM for each step: --long
  scenarios_doctor.py   what `sluice doctor` sees of Kafka
  scenarios_journals.py a journal for each pod, and `sluice journal adopt`; no Kafka
  scenarios_pooler.py   PgBouncer between the pods and PostgreSQL
  scenarios_rolling.py  HAProxy in front of gateways that are restarted one by one
  scenarios_all.py      gateways, flushers, Kafka, Redis, PostgreSQL, and everything is killed

--long runs all of them, with longer outages and more rounds: `make pods-long`. As root the suite
runs in namespaces of its own. What a machine lacks for a scenario is printed, and the
scenario skipped. Needs psycopg, kcat and Java. Prints the seed. Last line: `N passed, N failed`.
"""

import argparse
import concurrent.futures
import contextlib
import os
import random
import re
import subprocess
import sys
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../tools"), os.path.join(HERE, "../crash")]

import namespaces  # noqa: E402
from cluster import Cluster  # noqa: E402
from kafka import Kafka  # noqa: E402
from scene import Skip  # noqa: E402
from wire import Wire  # noqa: E402

import scenarios_all  # noqa: E402
import scenarios_brokers  # noqa: E402
import scenarios_doctor  # noqa: E402
import scenarios_journals  # noqa: E402
import scenarios_long  # noqa: E402
import scenarios_one  # noqa: E402
import scenarios_pooler  # noqa: E402
import scenarios_rolling  # noqa: E402

# Each lane has a PostgreSQL and a Kafka of its own, and most of the time it waits for something.
SHORT = [[*scenarios_one.CLIENTS, *scenarios_doctor.SCENARIOS, *scenarios_journals.SCENARIOS,
          *scenarios_pooler.SCENARIOS, *scenarios_rolling.SCENARIOS],
         [*scenarios_one.OUTAGES, *scenarios_all.SCENARIOS]]
LONG = [[*SHORT[0], *scenarios_one.OUTAGES, *scenarios_long.SCENARIOS, *scenarios_pooler.LONG,
         *scenarios_rolling.LONG, *scenarios_all.BREAKAGES],
        [*scenarios_brokers.SCENARIOS, *scenarios_all.SCENARIOS]]

SUM = re.compile(r"^(\d+) passed, (\d+) failed$", re.M)
VERIFIED = re.compile(r"^(\d+) acked points verified, (\d+) skipped$", re.M)


class Suite:
    """What a scenario is given. Brokers start when the first scenario asks for them."""

    def __init__(self, binary, seed, is_long=False):
        self.binary = os.path.abspath(binary)
        self.seed = seed
        self.is_long = is_long
        self.passed = self.failed = self.skipped = self.verified = 0
        self.cluster = self.started = None
        self.stack = contextlib.ExitStack()

    def __enter__(self):
        self.cluster = self.stack.enter_context(Cluster())
        return self

    def __exit__(self, *unused):
        self.stack.close()

    def choose(self, short, long):
        return long if self.is_long else short

    def brokers(self, count):
        """The Kafka of so many brokers; three have a host each, on self.wire."""
        if not self.started or len(self.started.brokers) != count:
            self.stop_brokers()
            if count == 1:
                self.started = self.brokers_stack.enter_context(Kafka())
            else:
                if not namespaces.are_own():
                    raise Skip("no network namespace of its own (not root, or unshare is not allowed)")
                self.wire = self.brokers_stack.enter_context(Wire())
                hosts = [self.wire.host() for _ in range(count)]
                self.started = self.brokers_stack.enter_context(
                    Kafka({"producer.id.expiration.ms": "5000",
                           "producer.id.expiration.check.interval.ms": "1000"}, hosts))
        return self.started

    def stop_brokers(self):
        if self.started:
            self.brokers_stack.close()
        self.started = None
        self.brokers_stack = self.stack.enter_context(contextlib.ExitStack())

    def attempt(self, scenario):
        begin = time.monotonic()
        try:
            what, word = scenario(self), "ok  "
            self.passed += 1
        except Skip as e:
            what, word = e, "skip"
            self.skipped += 1
        except Exception:  # whatever goes wrong is one failure, and the next scenario runs
            traceback.print_exc(file=sys.stdout)
            what, word = "", "FAIL"
            self.failed += 1
        print(f"{word} {time.monotonic() - begin:6.1f} s  {scenario.__name__}: {what}", flush=True)


def run_scenarios(options, scenarios):
    namespaces.enter("net", "mount", "pid")
    with Suite(options.binary, options.seed, options.long) as suite:
        for scenario in scenarios:
            suite.attempt(scenario)
    print(f"{suite.verified} acked points verified, {suite.skipped} skipped")
    print(f"{suite.passed} passed, {suite.failed} failed")
    return 1 if suite.failed else 0


def run_lane(options, number):
    """A process of its own, whose lines are shown as they come; returns all it said."""
    command = [sys.executable, os.path.abspath(__file__), options.binary, "--lane", str(number),
               "--seed", str(options.seed)] + ["--long"] * options.long
    lane = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, errors="replace")
    said = []
    try:
        for line in lane.stdout:
            said.append(line)
            if not SUM.match(line) and not VERIFIED.match(line):
                print(line, end="", flush=True)
    finally:
        lane.kill()
        lane.wait()
    return "".join(said)


def run_lanes(options, lanes):
    with concurrent.futures.ThreadPoolExecutor(len(lanes)) as pool:
        texts = list(pool.map(lambda n: run_lane(options, n), range(len(lanes))))
    passed = failed = verified = skipped = 0
    for text in texts:
        sums, counts = SUM.findall(text), VERIFIED.findall(text)
        if not sums or not counts:
            failed += 1
            print("a lane has ended without its count")
            continue
        passed, failed = passed + int(sums[-1][0]), failed + int(sums[-1][1])
        verified, skipped = verified + int(counts[-1][0]), skipped + int(counts[-1][1])
    print(f"{verified} acked points verified, {skipped} skipped")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", nargs="?", default=os.path.join(HERE, "../../build/sluice"))
    parser.add_argument("--long", action="store_true", help="all scenarios, in full length")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", default=[], help="one scenario; repeatable")
    parser.add_argument("--list", action="store_true", help="the scenarios' names and promises")
    parser.add_argument("--lane", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    short = [s for lane in SHORT for s in lane]
    everything = short + [s for lane in LONG for s in lane if s not in short]
    if options.list:
        for s in everything:
            print(f"{s.__name__:<20}{'' if s in short else 'long  '}{s.__doc__.splitlines()[0]}")
        return
    unknown = set(options.only) - {s.__name__ for s in everything}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    lanes = LONG if options.long else SHORT
    if options.lane is not None:
        sys.exit(run_scenarios(options, lanes[options.lane]))
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(1 << 31)
        sys.argv += ["--seed", str(options.seed)]  # the same behind namespaces.enter
    if not namespaces.are_own():
        print(f"seed {options.seed}", flush=True)
    if options.only:
        sys.exit(run_scenarios(options, [s for s in everything if s.__name__ in options.only]))
    sys.exit(run_lanes(options, lanes))


if __name__ == "__main__":
    main()
