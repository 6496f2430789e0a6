#!/usr/bin/env python3
"""The differences we chose: differences.toml, applied to answers, and written as a page.

    tests/conform/differences.py FOLDER     writes FOLDER/differences.md (make docs, make lint)

A row of the file says what the page says (request, stock, sluice, why) and, where a request can
show it, how to know it:
  when             what the request is like: regular expressions for method, path (from the leading
                   slash), header (`name: value`, name in lower case), body, text (path and body);
                   json, the kinds of body: empty, malformed, null, object, array, number, boolean,
                   string (one that holds no object); size_over, a number of bytes
  stock_answer, sluice_answer
                   status, type (content type), code (error_code), and regular expressions for
                   message and body that the answers must have
  differs          what may differ: `status`, `header NAME`, `body`, `body PATH`
  sets             true: the two texts must be equal when the names in {'...'} are sorted
  rows             tables whose rows may differ from then on in that sequence; `*` is all
Each condition that is there must hold, and nothing else may differ. A row without `when` is by
construction: no request can show it. Standard library only.
"""

import json
import os
import re
import sys
import tomllib
from collections import Counter

HERE = os.path.dirname(os.path.abspath(__file__))
KNOWN = {"id", "section", "request", "stock", "sluice", "why", "when", "stock_answer",
         "sluice_answer", "differs", "sets", "rows"}
PYTHON_SET = re.compile(r"\{'[^{}]*'\}")
SECTIONS = ("purpose", "construction", "missing")
PAGE = """\
# Where Sluice answers otherwise than MLflow 3.17.2

Generated from `tests/conform/differences.toml` by `make docs`. Do not edit.

Everything else is meant to be the same: status, `error_code`, message, fields, headers, what is
stored. `make conform` holds both to it: it sends every request of `tests/conform/corpus` and 20 000
random ones to a fresh Sluice and to a fresh stock server from PyPI, and fails where the two differ
in a way that is not in this list. A row that should be seen and is not fails too, so the list only
shrinks.
"""
COLUMNS = {"purpose": ("request", "stock", "sluice", "why"),
           "construction": ("request", "stock", "sluice"),
           "missing": ("request", "sluice")}
TITLES = {
    "purpose": ("## On purpose\n", "| request | stock MLflow | Sluice | why |\n|---|---|---|---|"),
    "construction": ("## By construction\n",
                     "| what | stock MLflow | Sluice |\n|---|---|---|"),
    "missing": ("## Not built yet\n\nA stock server on the same database answers these.\n",
                "| request | Sluice |\n|---|---|"),
}


class Difference:
    """One row, its regular expressions compiled."""

    def __init__(self, row):
        unknown = row.keys() - KNOWN
        if unknown or row.get("section") not in SECTIONS:
            sys.exit(f"differences.toml: {row.get('id')}: section, or unknown {unknown}")
        self.row = row
        self.id = row["id"]
        self.differs = row.get("differs", [])
        self.rows = row.get("rows", [])
        when = dict(row.get("when", {}))
        self.size_over = when.pop("size_over", None)
        self.when = {k: re.compile(v, re.S) for k, v in when.items()}

    @property
    def is_shown(self):
        return "when" in self.row

    def matches(self, wire, stock, sluice):
        if not self.is_shown:
            return False
        size = len(wire.body or b"") + len(wire.path)
        if self.size_over is not None and size <= self.size_over:
            return False
        body = (wire.body or b"").decode("utf-8", "backslashreplace")
        headers = "\n".join(f"{n.lower()}: {v}" for n, v in wire.headers.items())
        of_request = {"method": wire.method, "path": wire.path, "header": headers, "body": body,
                      "text": wire.path + "\n" + body, "json": kind_of(wire.body)}
        return (all(p.search(of_request[k]) for k, p in self.when.items())
                and _has(stock, self.row.get("stock_answer", {}))
                and _has(sluice, self.row.get("sluice_answer", {})))

    def covers(self, what, stock, sluice):
        if self.row.get("sets") and _sorted_sets(stock) != _sorted_sets(sluice):
            return False
        return any(what == d or what.startswith((d + " ", d + ".", d + "[")) for d in self.differs)


def _sorted_sets(text):
    return PYTHON_SET.sub(lambda found: str(sorted(found[0].strip("{}").split(", "))), str(text))


def kind_of(body):
    """What the body is as JSON; a string is decoded once more, as MLflow does."""
    if not body:
        return "empty"
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "malformed"
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return "string"
    kinds = {type(None): "null", bool: "boolean", int: "number", float: "number", str: "string",
             list: "array", dict: "object"}
    return kinds[type(value)]


def _has(answer, wanted):
    for name, value in wanted.items():
        have = {"status": answer.status, "type": answer.type, "code": answer.code,
                "message": answer.message,
                "body": answer.body.decode("utf-8", "backslashreplace")}[name]
        if name in ("message", "body"):
            if have is None or not re.search(value, have, re.S):
                return False
        elif have != value:
            return False
    return True


def read():
    with open(os.path.join(HERE, "differences.toml"), "rb") as f:
        rows = [Difference(r) for r in tomllib.load(f)["difference"]]
    repeated = [i for i, n in Counter(d.id for d in rows).items() if n > 1]
    if repeated:
        sys.exit(f"differences.toml: {repeated[0]} is there twice")
    return rows


class Chosen:
    """The list in use: explains what was found, and counts how often each row was needed."""

    def __init__(self):
        self.list = read()
        self.hits = Counter()

    def explain(self, wire, stock, sluice, found):
        """(what stays unexplained, those of the list that excuse rows of tables from here on)."""
        left = list(found)
        excuses = []
        for difference in self.list:
            if not difference.matches(wire, stock, sluice):
                continue
            rest = [f for f in left if not difference.covers(*f)]
            if len(rest) < len(left):
                self.hits[difference.id] += 1
                left = rest
            elif difference.differs:
                continue
            if difference.rows:
                excuses.append(difference)
        return left, excuses

    def excuses(self, table, excuses):
        """Is a table's difference excused? One that is only about rows counts it as a hit."""
        for difference in excuses:
            if table in difference.rows or "*" in difference.rows:
                self.hits[difference.id] += not difference.differs
                return True
        return False

    def unused(self):
        return [d.id for d in self.list if d.is_shown and not self.hits[d.id]]

    def report(self):
        lines = ["chosen differences (differences.toml), and how often each was seen:"]
        for d in self.list:
            seen = f"{self.hits[d.id]:>6}" if d.is_shown else "     -"
            lines.append(f"{seen}  {d.id}: {d.row['request']}")
        return "\n".join(lines)


def page():
    out = [PAGE]
    rows = read()
    for section in SECTIONS:
        here = [d.row for d in rows if d.row["section"] == section]
        if not here:
            continue
        out += TITLES[section]
        for row in here:
            out.append("| " + " | ".join(row[c].strip() for c in COLUMNS[section]) + " |")
        out.append("")
    return "\n".join(out)


def main():
    with open(os.path.join(sys.argv[1], "differences.md"), "w", encoding="utf-8") as f:
        f.write(page())


if __name__ == "__main__":
    main()
