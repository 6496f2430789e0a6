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

tests/pods/pooler.py: PgBouncer in transaction mode between the pods and PostgreSQL

  pooled            load, a stock client, answers in parts, repeats; a pod, the pooler and its
                    sessions killed; nothing stays behind in a session
  pooled_kafka      a front end and two flushers; reads of own writes
  hung_flusher      a flusher that hangs in a transaction frees its rows in 15 s (no pooler)

tests/pods/rolling.py: HAProxy in front of three gateways, configured as docs/scaling.md says

  rolling_journal   pods with a journal each restarted one by one under load: 0 failed requests
  rolling_kafka     the same with stateless gateways and a flusher, and one pod fewer at the end
  caught_rolling    kill -9 in place of SIGTERM must show as failed requests

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
import pooler  # noqa: E402
import rolling  # noqa: E402
from cluster import Cluster  # noqa: E402

SCENARIOS = [*journals.SCENARIOS, *pooler.SCENARIOS, *rolling.SCENARIOS]


class Fleet(run.Suite):
    """Kafka starts when the first scenario asks for it."""

    def __init__(self, binary, seed, is_long, stack):
        super().__init__(binary, seed)
        self.is_long = is_long
        self.stack = stack

    def with_kafka(self):
        self.kafka = self.brokers(1)
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
