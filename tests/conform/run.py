#!/usr/bin/env python3
"""The arbiter: the same requests to Sluice and to a stock MLflow server, and the same answers.

    build/venv/bin/python tests/conform/run.py [FILE.seq...] [--sequence NAME] [--full]

Starts both on fresh databases, sends every sequence of the corpus (or of these files) in
lockstep, compares each answer, and after each sequence the rows of every table. What differs and is not
in differences.toml is printed: file and line, the request, both answers. A request counts as
one test, the rows of a sequence as one more. With --full a chosen difference that no request
showed is a failure. The last line is `N passed, N failed`.
SLUICE_TEST_BINARY chooses the binary, as everywhere in tests.
"""

import argparse
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import sequence as seq  # noqa: E402
from compare import Pairing, compare_answers  # noqa: E402
from differences import Chosen  # noqa: E402
from pair import Pair  # noqa: E402

SHOWN = 6  # parts of one mismatch that are spelt out


class Score:
    def __init__(self):
        self.passed = self.failed = self.requests = 0

    def count(self, is_good):
        if is_good:
            self.passed += 1
        else:
            self.failed += 1


def show(what, left, *more):
    """A mismatch, for people."""
    print(f"\nFAIL {what}")
    for line in more:
        print(f"     {line}")
    for path, stock, sluice in left[:SHOWN]:
        print(f"     {path}\n       stock:  {clip(stock)}\n       Sluice: {clip(sluice)}")
    if len(left) > SHOWN:
        print(f"     and {len(left) - SHOWN} more")
    sys.stdout.flush()


def clip(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) < 700 else text[:697] + "..."


class Player:
    """Plays sequences on a pair of servers and keeps the score."""

    def __init__(self, pair, chosen, score):
        self.pair = pair
        self.chosen = chosen
        self.score = score
        self.number = 0

    def play(self, sequence):
        """One sequence, from a clean database to a clean database."""
        self.number += 1
        pairing = Pairing()
        own = {"u": f"u{self.number:05d}"}
        variables = {"stock": dict(own), "sluice": dict(own)}
        excuses = []
        answers = None
        try:
            for step in sequence.steps:
                if isinstance(step, seq.Let):
                    for side, answer in zip(("stock", "sluice"), answers):
                        variables[side][step.name] = seq.look_up(answer.json, step.path)
                else:
                    answers = self.request(sequence, step, pairing, variables, excuses)
            self.rows(sequence, pairing, excuses)
        except seq.CorpusError as error:
            print(f"\nFAIL {sequence.file}:{step.line} {sequence.name}: {error}", flush=True)
            self.score.count(False)
        self.pair.clean()

    def request(self, sequence, step, pairing, variables, excuses):
        wires = [seq.fill(step, variables[side]) for side in ("stock", "sluice")]
        answers = self.pair.send(*wires)
        self.score.requests += 1
        found = compare_answers(pairing, *answers, step.unordered)
        left, more = self.chosen.explain(wires[1], *answers, found)
        excuses += more
        self.score.count(not left)
        if left:
            show(f"{sequence.file}:{step.line} {sequence.name}", left, clip(str(wires[1])),
                 f"stock:  {answers[0]}", f"Sluice: {answers[1]}")
        return answers

    def rows(self, sequence, pairing, excuses):
        left = []
        for table, stock, sluice in self.pair.rows():
            found = list(pairing.rows(table, stock, sluice))
            if found and not self.chosen.excuses(table, excuses):
                left += found
        self.score.count(not left)
        if left:
            show(f"{sequence.file}:{sequence.line} {sequence.name}: rows", left)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="corpus files; default: all")
    parser.add_argument("--sequence", help="only the sequences with this in their name")
    parser.add_argument("--full", action="store_true", help="unseen differences are failures")
    options = parser.parse_args()
    try:
        sequences = seq.read(options.files)
    except seq.CorpusError as error:
        sys.exit(str(error))
    if options.sequence:
        sequences = [s for s in sequences if options.sequence in s.name]
    score, chosen = Score(), Chosen()
    start = time.monotonic()
    with Pair() as pair:
        player = Player(pair, chosen, score)
        for sequence in sequences:
            player.play(sequence)
    print()
    print(chosen.report())
    if options.full:
        for name in chosen.unused():
            print(f"FAIL {name} is listed, but no request shows it: take it out")
            score.count(False)
    print(f"\n{score.requests} requests in {len(sequences)} sequences compared in "
          f"{time.monotonic() - start:.0f} s")
    print(f"{score.passed} passed, {score.failed} failed")
    sys.exit(1 if score.failed else 0)


if __name__ == "__main__":
    main()
