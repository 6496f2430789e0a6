#!/usr/bin/env python3
"""The arbiter: the same requests to Sluice and to a stock MLflow server, and the same answers.

    build/venv/bin/python tests/conform/run.py [FILE.seq...] [--sequence NAME]
        [--random N [--seed S]] [--lanes N] [--full] [--workspaces | --workspace NAME]

Starts both on fresh databases, sends every sequence of the corpus (or of these files) in lockstep,
compares each answer, and after each sequence the rows of every table. What differs and is not in
differences.toml is printed: file and line, the request, both answers. A request counts as one
test, the rows of a sequence as one more. With --full a chosen difference that no request
showed is a failure. The last line is `N passed, N failed`.
With --workspaces both servers run with workspaces, and corpus/workspaces is what is sent; with
--workspace the corpus is sent to that workspace. SLUICE_TEST_BINARY chooses the binary, as everywhere in tests.
"""

import argparse
import functools
import os
import queue
import random
import sys
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import generate  # noqa: E402
import sequence as seq  # noqa: E402
from compare import Pairing, compare_answers  # noqa: E402
from differences import Chosen  # noqa: E402
from pair import Pair  # noqa: E402

HEADER = "X-MLFLOW-WORKSPACE"
WORKSPACES = ("team-a", "team-b")  # with --workspaces they are there
SHOWN = 6  # parts of one mismatch that are spelt out


class Score:
    def __init__(self):
        self.passed = self.failed = self.requests = 0

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.requests += other.requests

    def count(self, is_good):
        if is_good:
            self.passed += 1
        else:
            self.failed += 1


def clip(value):
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) < 700 else text[:697] + "..."


class Player:
    """Plays sequences on a pair of servers and keeps the score."""

    def __init__(self, pair, chosen, score, workspace=None):
        self.pair = pair
        self.workspace = workspace
        self.chosen = chosen
        self.score = score
        self.number = 0
        self.is_quiet = False
        self.shrinks = 0  # generate.py's

    def print(self, *lines):
        """All of it at once: other lanes print too."""
        if not self.is_quiet:
            sys.stdout.write("\n".join(lines) + "\n")
            sys.stdout.flush()

    def show(self, what, left, *more):
        """A mismatch, for people."""
        lines = [f"\nFAIL {what}", *(f"     {line}" for line in more)]
        for path, stock, sluice in left[:SHOWN]:
            lines += [f"     {path}", f"       stock:  {clip(stock)}",
                      f"       Sluice: {clip(sluice)}"]
        if len(left) > SHOWN:
            lines.append(f"     and {len(left) - SHOWN} more")
        self.print(*lines)

    def play(self, sequence):
        """One sequence, from a clean database to a clean one; the lines whose answers differed."""
        self.number += 1
        pairing = Pairing()
        own = {"u": f"u{self.number:05d}"}
        variables = {"stock": dict(own), "sluice": dict(own)}
        excuses = []
        answers, failed = None, []
        try:
            for step in sequence.steps:
                if isinstance(step, seq.Let):
                    for side, answer in zip(("stock", "sluice"), answers):
                        variables[side][step.name] = seq.look_up(answer.json, step.path)
                else:
                    is_same, answers = self.request(sequence, step, pairing, variables, excuses)
                    if not is_same:
                        failed.append(step.line)
            self.rows(sequence, pairing, excuses)
        except seq.CorpusError as error:
            self.print(f"\nFAIL {sequence.file}:{step.line} {sequence.name}: {error}")
            self.score.count(False)
        self.pair.clean()
        return failed

    def trial(self, sequence):
        """Does the last request of a sequence still get the same answers? Counts nothing."""
        score, hits = self.score, self.chosen.hits.copy()
        self.score, self.is_quiet = Score(), True
        try:
            return sequence.steps[-1].line not in self.play(sequence)
        finally:
            self.score, self.chosen.hits, self.is_quiet = score, hits, False

    def request(self, sequence, step, pairing, variables, excuses):
        wires = [seq.fill(step, variables[side]) for side in ("stock", "sluice")]
        for wire in wires if self.workspace else ():
            if not any(name.lower() == HEADER.lower() for name, _ in step.headers):
                wire.headers[HEADER] = self.workspace
        answers = self.pair.send(*wires)
        if answers[1].status == 0 and self.pair.sluice.server.process.poll() is not None:
            raise AssertionError(f"Sluice has ended, at {wires[1]}")
        self.score.requests += 1
        loose = list(step.unordered)
        if "get-latest-versions" in step.path:
            loose.append("model_versions")
        found = compare_answers(pairing, *answers, loose)
        left, more = self.chosen.explain(wires[1], *answers, found)
        excuses += more
        self.score.count(not left)
        if left:
            self.show(f"{sequence.file}:{step.line} {sequence.name}", left, clip(str(wires[1])),
                      f"stock:  {answers[0]}", f"Sluice: {answers[1]}")
        return not left, answers

    def rows(self, sequence, pairing, excuses):
        left = []
        for table, stock, sluice in self.pair.rows():
            found = list(pairing.rows(table, stock, sluice))
            if found and not self.chosen.excuses(table, excuses):
                left += found
        self.score.count(not left)
        if left:
            self.show(f"{sequence.file}:{sequence.line} {sequence.name}: rows", left)


def play_lane(tasks, score, chosen, workspaces, workspace):
    """Takes tasks until there are none, on servers of its own. What breaks off is a failure."""
    try:
        with Pair(workspaces=workspaces) as pair:
            player = Player(pair, chosen, score, workspace)
            while True:
                try:
                    task = tasks.get_nowait()
                except queue.Empty:
                    return
                task(player)
    except BaseException:
        print("\nFAIL a lane broke off\n" + traceback.format_exc(), flush=True)
        score.count(False)


def play(sequences, count=0, seed=None, lanes=1, workspaces=(), workspace=None):
    """Plays sequences and `count` random requests in so many lanes; (score, chosen)."""
    tasks = queue.Queue()
    for sequence in sequences:
        tasks.put(functools.partial(Player.play, sequence=sequence))
    if count:
        seed = random.SystemRandom().randrange(2 ** 31) if seed is None else seed
        print(f"{count} random requests of --seed {seed}", flush=True)
        for task in generate.tasks(seed, count):
            tasks.put(task)
    total, chosen = Score(), Chosen()
    begin = time.monotonic()
    threads = []
    for _ in range(lanes):
        score, mine = Score(), Chosen()
        thread = threading.Thread(target=play_lane,
                                  args=(tasks, score, mine, workspaces, workspace))
        thread.start()
        threads.append((thread, score, mine))
    for thread, score, mine in threads:
        thread.join()
        total.add(score)
        chosen.hits.update(mine.hits)
    if not tasks.empty():
        total.count(False)
    print(f"\n{total.requests} requests compared in {time.monotonic() - begin:.0f} s: "
          f"{len(sequences)} sequences of the corpus, {count} random requests"
          + f" of --seed {seed}" * bool(count))
    return total, chosen


def finish(result, is_full=False):
    """The list of differences, the count, the exit code."""
    score, chosen = result
    print()
    print(chosen.report())
    if is_full:
        for name in chosen.unused():
            print(f"FAIL {name} is listed, but no request shows it: take it out")
            score.count(False)
    print(f"{score.passed} passed, {score.failed} failed")
    sys.exit(1 if score.failed else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="corpus files; default: all")
    parser.add_argument("--sequence", help="only the sequences with this in their name")
    parser.add_argument("--random", type=int, default=0, metavar="N", help="then N random requests")
    parser.add_argument("--seed", type=int, default=None, help="of the random requests")
    parser.add_argument("--lanes", type=int, default=1, help="pairs of servers side by side")
    parser.add_argument("--full", action="store_true", help="unseen differences are failures")
    parser.add_argument("--workspaces", action="store_true", help="corpus/workspaces")
    parser.add_argument("--workspace", metavar="NAME", help="the corpus, all of it in that workspace")
    options = parser.parse_args()
    workspaces = {"default", *WORKSPACES, options.workspace} - {None}
    if not options.workspace and not options.workspaces:
        workspaces = ()
    try:
        sequences = seq.read(options.files, "workspaces/" if options.workspaces else "")
    except seq.CorpusError as error:
        sys.exit(str(error))
    if options.sequence:
        sequences = [s for s in sequences if options.sequence in s.name]
    finish(play(sequences, options.random, options.seed, options.lanes, workspaces, options.workspace),
           options.full)


if __name__ == "__main__":
    main()
