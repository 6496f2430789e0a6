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
import contextlib
import os
import random
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

SHORT = [*scenarios_one.SCENARIOS, *scenarios_doctor.SCENARIOS, *scenarios_journals.SCENARIOS, *scenarios_pooler.SCENARIOS,
         *scenarios_rolling.SCENARIOS, *scenarios_all.SCENARIOS]
LONG = [*SHORT, *scenarios_long.SCENARIOS, *scenarios_pooler.LONG, *scenarios_rolling.LONG,
        *scenarios_brokers.SCENARIOS]


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


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", nargs="?", default=os.path.join(HERE, "../../build/sluice"))
    parser.add_argument("--long", action="store_true", help="all scenarios, in full length")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", default=[], help="one scenario; repeatable")
    parser.add_argument("--list", action="store_true", help="the scenarios' names and promises")
    options = parser.parse_args()
    if options.list:
        for s in LONG:
            print(f"{s.__name__:<20}{'' if s in SHORT else 'long  '}{s.__doc__.splitlines()[0]}")
        return
    unknown = set(options.only) - {s.__name__ for s in LONG}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    namespaces.enter("net", "mount", "pid")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    chosen = [s for s in LONG if s.__name__ in options.only] if options.only else \
        LONG if options.long else SHORT
    print(f"seed {seed}", flush=True)
    with Suite(options.binary, seed, options.long) as suite:
        for scenario in chosen:
            suite.attempt(scenario)
    print(f"{suite.verified} acked points verified, {suite.skipped} skipped")
    print(f"{suite.passed} passed, {suite.failed} failed")
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
