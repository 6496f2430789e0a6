#!/usr/bin/env python3
"""The fleet suite: several pods on one PostgreSQL, and what stands around them in a cluster.

    python tests/pods/fleet.py [BINARY] [--seed N] [--only NAME] [--long]

Real programs: PostgreSQL, HAProxy, PgBouncer and, where a scenario says so, Kafka. The oracle
(tests/tools/oracle.py) holds what was acked against what is stored.

tests/pods/journals.py: pods with a journal each

  own_journals      three pods, killed one after the other: each replays its own
  one_directory     a second process on a directory, with a journal and with Kafka: refused
  adopt             the journal of a pod that is gone, flushed by `sluice journal adopt`; its owner
                    returns afterwards
  adopt_killed      the adoption killed at each named place and at random, and said again
  adopt_refused     the owner lives, another database, an older copy, a directory that is none
  adopt_letters     dead letters stay in the directory, and the exit code says so
  caught_adopt      an adoption that breaks its promise must show as lost points

Prints the seed. Last line: `N passed, N failed`.
"""

import argparse
import contextlib
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import run  # noqa: E402  (finds tests/tools and tests/crash, too)

import journals  # noqa: E402
from cluster import Cluster  # noqa: E402
from kafka import Kafka  # noqa: E402

SCENARIOS = [*journals.SCENARIOS]


class Fleet(run.Suite):
    """Kafka starts when the first scenario asks for it."""

    def __init__(self, binary, seed, is_long, stack):
        super().__init__(binary, seed)
        self.is_long = is_long
        self.stack = stack

    def with_kafka(self):
        if self.kafka is None:
            self.kafka = self.stack.enter_context(Kafka())
        return self


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary", nargs="?", default=os.path.join(HERE, "../../build/sluice"))
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", default=[], help="one scenario; repeatable")
    parser.add_argument("--long", action="store_true", help="more rounds, longer loads")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 31)
    unknown = set(options.only) - {s.__name__ for s in SCENARIOS}
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    print(f"seed {seed}", flush=True)
    with contextlib.ExitStack() as stack:
        suite = Fleet(options.binary, seed, options.long, stack)
        suite.cluster = stack.enter_context(Cluster())
        for scenario in SCENARIOS:
            if not options.only or scenario.__name__ in options.only:
                suite.attempt(scenario)
    print(f"{suite.passed} passed, {suite.failed} failed")
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
