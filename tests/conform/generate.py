#!/usr/bin/env python3
"""Random filters and random bodies, the same verdict on both servers.

    build/venv/bin/python tests/conform/generate.py [--count N] [--seed S]

Half of the requests are searches with random filters in all dialects (grammar.py), half are calls
with random bodies (calls.py): wrong types, missing fields, extremes, other spellings, nesting,
broken JSON. They are played like the corpus, in sequences that begin with a fixture, and compared
as strictly: whole answers, and the rows left behind. The seed is printed, and the same seed gives
the same requests. A request that differs is made smaller while it still differs, and printed as
a line for corpus/*.seq. What Sluice does not answer yet is left out, and said.
"""

import argparse
import functools
import json
import os
import random
import sys
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import grammar  # noqa: E402
import sequence as seq  # noqa: E402
from calls import CALLS, SEARCHES  # noqa: E402

CHUNK = 200  # requests on one fixture
SMALLER_TRIES = 60
SHRINKS = 4  # mismatches of a lane that are made smaller: each try plays the fixture again

# Texts as they stand between the quotes of a JSON string.
KEYS = ["acc", "loss", "lr", "opt", "k1", "k2", "t.dot", "new", "a/b c", "ä", "字",
        "mlflow.note.content", "mlflow.runName", "z"]
ODD_KEYS = ["", " ", ".", "..", "a/", "/a", "a//b", "../a", "a@b", "a\\nb", "a\\n", "a\\u0000",
            "\\ud800", "e\\u0301", "\\ud83d\\ude00", "k" * 250, "k" * 251, "\\u00b2", "a\\\\b",
            "%s", "'", "\\u00a0"]
TEXTS = ["v1", "V1", "1", "", "0.5", "ä", "字", "\\ud83d\\ude00", "it's", "a\\nb", "\\\"q\\\"",
         "true", "null", "x" * 300, "NaN", "\\\\", "{}", "[]", "\\u2028", "%(a)s"]
ODD_TEXTS = ["\\u0000", "a\\u0000b", "\\ud800", "\\udc00x", "x" * 9000]
INTS = ["0", "1", "2", "5", "-1", "1000", "2500", "1700000000000", "9223372036854775807"]
ODD_INTS = ["9223372036854775808", "-9223372036854775808", "-9223372036854775809", "1.5", "1.0",
            "1e3", "1e18", "1e19", "2147483648", "-0", "\"5\"", "\" 5 \"", "\"1_0\"", "\"+5\"",
            "\"1e3\"", "\"1.5\"", "\"x\"", "\"\"", "\"\\u0661\"", "true", "false", "1e400", "NaN",
            "Infinity", "0.0", "\"0x1\"", "123456789012345678901234567890"]
NUMBERS = ["0", "1", "-1", "0.5", "1e-5", "1e16", "123456.789", "-0.0", "1e308", "\"NaN\"",
           "\"Infinity\"", "\"-Infinity\"", "5e-324", "3"]
ODD_NUMBERS = ["NaN", "Infinity", "-Infinity", "1e400", "true", "\"nan\"", "\"inf\"", "\"1.5\"",
               "\" 1 \"", "\"1_0\"", "\"\"", "\"x\"", "\"1e400\"", "9" * 320, "\"+Infinity\"",
               "\"0x1\"", "\"\\u0661\""]
ANYTHING = ["null", "true", "false", "0", "5", "-1", "1.5", "1e400", "NaN", "\"\"", "\"x\"",
            "\"5\"", "[]", "{}", "[null]", "[5]", "[\"x\"]", "[{}]", "[[]]", "{\"a\":1}",
            "{\"b\":null,\"a\":[\"\\u00e4\",{}]}", "\"\\u0000\"", "\"\\ud800\"",
            "9223372036854775808", "[" * 40 + "]" * 40]
ENUMS = {"status": ["RUNNING", "FINISHED", "FAILED", "KILLED", "SCHEDULED"],
         "view": ["ACTIVE_ONLY", "DELETED_ONLY", "ALL"],
         "stage": ["Staging", "Production", "Archived", "None"]}
ODD_ENUMS = ["\"BOGUS\"", "\"finished\"", "1", "3", "0", "9", "\"2\"", "true", "\"\"", "2.0",
             "\"all\"", "\"production\""]
TOKENS = ["eyJvZmZzZXQiOiAxfQ==", "eyJvZmZzZXQiOiAzfQ==", "", "abc", "e30=", "NQ==",
          "eyJvZmZzZXQiOiAtMX0=", "!", "eyJvZmZzZXQiOiAiMiJ9", "W10=", "bnVsbA=="]
EXPERIMENTS = ["${e}", "${e}", "${e}", "${f}", "0"]
ODD_EXPERIMENTS = [" ${e} ", "77777", "x", "", "1.0", "99999999999", "-1", "0x1"]
# Where random runs are made: not searched, because runs of one start_time come by their random ids.
HOMES = ["${g}"]
ODD_HOMES = [" ${g} ", "77777", "x", "", "1.0", "99999999999", "-1", "0x1"]
RUNS = ["${a}", "${a}", "${b}", "${c}", "${d}"]
ODD_RUNS = ["none", "", "no/pe", "a b", "\\u00e4", "a" * 257]
LOCATIONS = ["s3://b/x", "s3://b/x/", "gs://b/x", "dbfs:/x", "/tmp/x", "file:///tmp/x",
             "s3://b/x?k=v"]
ODD_LOCATIONS = ["s3://b/x#f", "s3://b/x;p", "http://h/x", "runs:/a", "models:/m1/1",
                 "s3://b/../x", "", "mlflow-artifacts:/x", "hdfs://h/x", "s3:b", "\\u00e4",
                 "s3://b/%2e%2e/x", "models:/m1@a"]
NAMES = ["n1", "n2", "ä字", "with space", "a/b", "beta", "exp ${u}", "m1", "name:1"]
ODD_NAMES = ["", " ", ".", "../x", "n" * 257, "n" * 501, "\\u0000", "\\ud800", "\\n", "'\\\""]


class Maker:
    """Random requests from one seed."""

    def __init__(self, seed, is_there):
        self.rng = random.Random(seed)
        self.calls = [c for c in CALLS if is_there(c[1])]
        self.searches = [c for c in SEARCHES if is_there(c[1])]
        self.fields = {(m, p): f for m, p, f in CALLS}

    def text(self, good, odd, odds=0.1):
        return '"' + self.rng.choice(odd if self.rng.random() < odds else good) + '"'

    def list(self, one):
        return "[" + ",".join(one() for _ in range(self.rng.choice([0, 1, 1, 2]))) + "]"

    def good(self, kind):
        """The JSON text of a value of this kind; the kinds' own oddities included."""
        rng = self.rng
        if isinstance(kind, dict):
            return self.object(kind)
        if isinstance(kind, list):
            return self.list(lambda: self.object(kind[0]))
        kind = kind.rstrip("!")
        if kind.endswith(" order"):
            return self.list(lambda: '"' + grammar.order(rng, kind[:-6]) + '"')
        if kind.endswith(" list"):
            return self.list(lambda: self.good(kind.removesuffix("s list")))
        if kind in grammar.DIALECTS:
            return '"' + grammar.search_filter(rng, kind) + '"'
        if kind in ENUMS:
            return rng.choice(ODD_ENUMS) if rng.random() < 0.2 else f'"{rng.choice(ENUMS[kind])}"'
        if kind in ("int", "time"):
            return rng.choice(ODD_INTS if rng.random() < 0.2 else INTS)
        if kind == "count":
            return rng.choice(ODD_INTS if rng.random() < 0.1 else ["1", "2", "3", "100", "0"])
        if kind == "number":
            return rng.choice(ODD_NUMBERS if rng.random() < 0.2 else NUMBERS)
        if kind == "bool":
            return rng.choice(["false", "\"true\"", "1"])  # true: the difference archive-version
        tables = {"key": (KEYS, ODD_KEYS), "text": (TEXTS, ODD_TEXTS), "token": (TOKENS, ODD_TEXTS),
                  "experiment": (EXPERIMENTS, ODD_EXPERIMENTS), "run": (RUNS, ODD_RUNS),
                  "home": (HOMES, ODD_HOMES),
                  "location": (LOCATIONS, ODD_LOCATIONS), "name": (NAMES, ODD_NAMES),
                  "model": (["m-1", "m-2", ""], ["m-none", "\\u0000"]),
                  "model name": (["m1", "M2", "pr", "n1"], ODD_NAMES + ["none"]),
                  "version": (["1", "2", "3"], ["0", "x", "", "1.0", " 1 ", "99999999999"])}
        return self.text(*tables[kind])

    def pairs(self, fields):
        """[(name, JSON text)]: most of the fields, some of them wrong."""
        rng = self.rng
        pairs = []
        for name, kind in fields.items():
            is_wanted = isinstance(kind, str) and kind.endswith("!")
            if rng.random() > (0.96 if is_wanted else 0.5):
                continue
            is_odd = rng.random() < 0.06 and kind != "bool"
            text = rng.choice(ANYTHING) if is_odd else self.good(kind)
            if rng.random() < 0.04:
                name = camel(name)
            pairs.append((name, text))
            if rng.random() < 0.01:
                pairs.append((name if rng.random() < 0.5 else camel(name), self.good(kind)))
        if rng.random() < 0.2:
            rng.shuffle(pairs)
        if rng.random() < 0.03:
            pairs.insert(rng.randrange(len(pairs) + 1), ("unknown", rng.choice(ANYTHING)))
        return pairs

    def object(self, fields):
        return joined(self.pairs(fields))

    def body(self, path, fields):
        rng = self.rng
        roll = rng.random()
        if roll < 0.01 and path != "runs/create":  # a chosen difference leaves a run behind there
            return rng.choice(ANYTHING)
        text = self.object(fields)
        if roll < 0.03 and "${" not in text:
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(["", ",", "\"", "}", "]", "0", "\\"]) + text[at + 1:]
        elif roll < 0.035:
            text = json.dumps(text, ensure_ascii=False)
        return text

    def query(self, fields):
        """The same values as a query string; what is no text stands there as its JSON."""
        return as_query(self.pairs(fields))

    def search(self, method, fields, dialect):
        """What follows the path of a search: little beside the filter is wrong."""
        pairs = [(dialect_field, text) for dialect_field, text in self.pairs(fields)
                 if fields.get(dialect_field) not in (dialect, "experiments list", "token", "count")
                 or self.rng.random() < 0.1]
        names = {name for name, _ in pairs}
        for name, kind in fields.items():
            if name in names:
                continue
            if kind == dialect:
                pairs.append((name, self.good(kind)))
            elif kind == "experiments list":
                is_one = self.rng.random() < 0.9
                pairs.append((name, '["${e}"]' if is_one else '["${e}","${f}","0"]'))
            elif kind == "count!" or (kind == "count" and self.rng.random() < 0.3):
                pairs.append((name, self.rng.choice(["1", "2", "3", "100", "1000"])))
        if method == "GET" and self.rng.random() < 0.95:
            return "?" + as_query(pairs)
        return " " + joined(pairs)

    def request(self):
        """One random request as a line of a .seq file."""
        rng = self.rng
        if rng.random() < 0.5:
            method, path, dialect = rng.choice(self.searches)
            fields = self.fields[(method, path)]
            return f"{method} {path}{self.search(method, fields, dialect)}"
        else:
            method, path, fields = rng.choice(self.calls)
        if method == "GET" and rng.random() < 0.95:
            query = self.query(fields)
            return f"{method} {path}?{query}" if query else f"{method} {path}"
        body = self.body(path, fields)
        if path == "runs/log-batch":
            body = body.replace("\\u0000", "x")  # the difference nul-batch leaves rows behind
        elif path.startswith("experiments/"):
            body = body.replace("\\ud800", "x")  # as does experiment-unbound
        return f"{method} {path} {body}"


def camel(name):
    head, *rest = name.split("_")
    return head + "".join(word.title() for word in rest)


def joined(pairs):
    return "{" + ",".join(f'"{name}":{text}' for name, text in pairs) + "}"


def as_query(pairs):
    parts = []
    for name, text in pairs:
        for value in listed(text):
            quoted = urllib.parse.quote(value, safe="${}'()=, ")
            parts.append(f"{name}={quoted.replace(' ', '+')}")
    return "&".join(parts)


def listed(text):
    """The values a query string repeats for this JSON text."""
    try:
        value = json.loads(text)
    except ValueError:
        return [text]
    values = value if isinstance(value, list) else [value]
    return [v.encode("utf-8", "replace").decode() if isinstance(v, str) else json.dumps(v)
            for v in values]


def smaller(line):
    """Requests that are a little smaller than this one, most promising first."""
    method, path, *rest = line.split(" ", 2)
    if rest:
        try:
            pairs = json.loads(rest[0], object_pairs_hook=lambda p: p)
            texts = [(n, json.dumps(_plain(v), ensure_ascii=True)) for n, v in pairs]
        except (ValueError, TypeError):
            return
        for i in range(len(texts)):
            yield f"{method} {path} {joined(texts[:i] + texts[i + 1:])}"
        for i, (name, value) in enumerate(pairs):
            for less in _less(_plain(value)):
                changed = texts[:i] + [(name, json.dumps(less))] + texts[i + 1:]
                yield f"{method} {path} {joined(changed)}"
    elif "?" in path:
        path, _, query = path.partition("?")
        parts = query.split("&")
        for i in range(len(parts)):
            yield f"{method} {path}?{'&'.join(parts[:i] + parts[i + 1:])}"
        for i, part in enumerate(parts):
            words = part.split("+")
            for j in range(len(words) if len(words) > 1 else 0):
                less = "+".join(words[:j] + words[j + 1:])
                yield f"{method} {path}?{'&'.join(parts[:i] + [less] + parts[i + 1:])}"


def _plain(value):
    """What object_pairs_hook left as lists of pairs, as dicts again."""
    if isinstance(value, list) and value and all(isinstance(p, tuple) for p in value):
        return {n: _plain(v) for n, v in value}
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _less(value):
    if isinstance(value, str):
        words = value.split(" ")
        for i in range(len(words) if len(words) > 1 else 0):
            yield " ".join(words[:i] + words[i + 1:])
    elif isinstance(value, list):
        for i in range(len(value)):
            yield value[:i] + value[i + 1:]
    elif isinstance(value, dict):
        for name in value:
            yield {n: v for n, v in value.items() if n != name}


def shrink(player, prefix, line):
    """The smallest request found that still differs on a fresh fixture; None if none does."""
    def differs(candidate):
        try:
            return not player.trial(seq.parse(prefix + [candidate], "random")[0])
        except seq.CorpusError:
            return False

    if not differs(line):
        return None
    tries = SMALLER_TRIES
    progress = True
    while progress and tries > 0:
        progress = False
        for candidate in smaller(line):
            tries -= 1
            if tries < 0:
                break
            if differs(candidate):
                line, progress = candidate, True
                break
    return line


def native(player):
    """Which of the paths Sluice has, as a function: the others answer OPTIONS with 404."""
    def is_there(path):
        wire = seq.fill(seq.Request(0, "OPTIONS", path), {})
        return player.pair.sluice.send(wire).status != 404

    known = {path: is_there(path) for _, path, _ in CALLS}
    return known.get


def fixture(is_there):
    """The lines of fixture.seq, without the calls that Sluice does not answer yet."""
    with open(os.path.join(HERE, "fixture.seq"), encoding="utf-8") as f:
        lines = f.read().splitlines()
    return [line for line in lines if not line.startswith("POST") or is_there(line.split()[1])]


def play_chunk(player, seed, begin, count):
    """`count` requests on one fixture; mismatches are counted and printed by the player."""
    is_there = native(player)
    if begin == 0:
        missing = sorted({path for _, path, _ in CALLS if not is_there(path)})
        player.print(*(f"no random requests for {path}: Sluice has it not yet" for path in missing))
    prefix = fixture(is_there)
    maker = Maker(f"{seed}/{begin}", is_there)
    lines = [maker.request() for _ in range(count)]
    for line in player.play(seq.parse(prefix + lines, "random")[0]):
        at = line - len(prefix) - 1
        if at < 0:
            continue
        found = None
        if player.shrinks < SHRINKS:
            player.shrinks += 1
            found = shrink(player, prefix, lines[at])
        how = "reproduce after fixture.seq:" if found else \
            f"--seed {seed}, its request {begin + at}, perhaps not by itself:"
        player.print(f"     {how}\n     {found or lines[at]}")


def tasks(seed, count):
    """The requests, cut into pieces of their own fixture: functions of a player."""
    return [functools.partial(play_chunk, seed=seed, begin=b, count=min(CHUNK, count - b))
            for b in range(0, count, CHUNK)]


def main():
    import run

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--lanes", type=int, default=1)
    options = parser.parse_args()
    run.finish(run.play([], options.count, options.seed, options.lanes))


if __name__ == "__main__":
    main()
