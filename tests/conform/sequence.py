"""Reads corpus/*.seq: requests in sequences, one line each.

    sequence NAME                  what follows, up to the next `sequence`, stands by itself
    METHOD PATH [BODY]             a request; PATH is below /api/2.0/mlflow/ unless it begins with /
    let NAME = dotted.path[0].to   from the last answer's JSON; each server keeps its own value
    header NAME: VALUE             for the next request only; without a value the header is not sent
    unordered NAME                 lists of that name in the next answer are compared as sets
    bytes                          the next BODY is written with Python's escapes: \\x00, \\xff, \\n
    # ...                          a comment, on a line of its own

In PATH, BODY and header values ${NAME} stands for a variable. ${u} is a text that no other
sequence has, the same on both servers. ${repeat N TEXT} is TEXT N times; ${each N TEXT} is N
times TEXT with commas between, every # in it the number 0, 1, 2...
"""

import glob
import os
import re
from dataclasses import dataclass, field

HERE = os.path.dirname(os.path.abspath(__file__))
PREFIX = "/api/2.0/mlflow/"
REQUEST = re.compile(r"([A-Z]+) ((?:\$\{[^{}]*\}|\S)+)(?: (.*))?$")
LET = re.compile(r"let (\w+) = (\S+)$")
HEADER = re.compile(r"header ([\w-]+): ?(.*)$")


class CorpusError(Exception):
    """A line that the format does not allow, or a variable that an answer did not give."""


@dataclass
class Request:
    line: int
    method: str
    path: str
    body: str = None
    headers: list = field(default_factory=list)
    unordered: list = field(default_factory=list)
    is_escaped: bool = False


@dataclass
class Let:
    line: int
    name: str
    path: str


@dataclass
class Sequence:
    file: str
    name: str
    line: int
    steps: list


@dataclass
class Wire:
    """A request with its variables filled in: what one server is sent."""
    method: str
    path: str
    body: bytes
    headers: dict

    def __str__(self):
        body = (self.body or b"").decode("utf-8", "backslashreplace")
        return f"{self.method} {self.path} {body}".rstrip()


def expand(text, variables):
    """Fills in ${...}. Braces within one are counted, so that JSON may stand in ${each ...}."""
    out = []
    position = 0
    while True:
        begin = text.find("${", position)
        if begin < 0:
            return "".join(out) + text[position:]
        out.append(text[position:begin])
        depth, end = 1, begin + 2
        while depth:
            if end == len(text):
                raise CorpusError("a ${ is not closed")
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        out.append(_value(text[begin + 2:end - 1], variables))
        position = end


def _value(inner, variables):
    word, _, rest = inner.partition(" ")
    if word in ("repeat", "each"):
        count, _, what = rest.partition(" ")
        what = expand(what, variables)
        if word == "repeat":
            return what * int(count)
        return ",".join(what.replace("#", str(i)) for i in range(int(count)))
    if inner not in variables:
        raise CorpusError(f"${{{inner}}} has no value")
    return variables[inner]


def fill(request, variables):
    """The bytes and headers of a request for one server."""
    path = expand(request.path, variables)
    if not path.startswith("/"):
        path = PREFIX + path
    body = None
    if request.body is not None:
        text = expand(request.body, variables)
        body = text.encode()
        if request.is_escaped:
            escaped = text.encode("latin-1", "backslashreplace")
            body = escaped.decode("unicode_escape").encode("latin-1")
    headers = {}
    if body is not None or request.method == "POST":
        headers["Content-Type"] = "application/json"
    for name, value in request.headers:
        name = next((n for n in headers if n.lower() == name.lower()), name)
        headers[name] = expand(value, variables)
    return Wire(request.method, path, body, {n: v for n, v in headers.items() if v})


def look_up(document, path):
    """The value at a dotted path like runs[0].info.run_id, as a text."""
    value = document
    try:
        for name, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
            value = value[name] if name else value[int(index)]
    except (KeyError, IndexError, TypeError):
        raise CorpusError(f"the answer has no {path}") from None
    return value if isinstance(value, str) else str(value)


def parse(lines, file):
    """The sequences of a file, in order."""
    sequences = []
    pending = {"headers": [], "unordered": [], "is_escaped": False}
    for number, line in enumerate(lines, 1):
        line = line.rstrip("\n")
        where = f"{file}:{number}"
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("sequence "):
            sequences.append(Sequence(file, line[9:].strip(), number, []))
            continue
        if not sequences:
            raise CorpusError(f"{where}: a line before the first sequence")
        if line == "bytes":
            pending["is_escaped"] = True
        elif found := HEADER.match(line):
            pending["headers"].append((found[1], found[2]))
        elif line.startswith("unordered "):
            pending["unordered"] += line.split()[1:]
        elif found := LET.match(line):
            sequences[-1].steps.append(Let(number, found[1], found[2]))
        elif found := REQUEST.match(line):
            sequences[-1].steps.append(Request(number, *found.groups(), **pending))
            pending = {"headers": [], "unordered": [], "is_escaped": False}
        else:
            raise CorpusError(f"{where}: neither a request nor a directive: {line[:80]}")
    return sequences


def read(paths=None, folder=""):
    """The sequences of these files, or of the whole corpus; folder: one below it, with a slash."""
    sequences = []
    for path in paths or sorted(glob.glob(os.path.join(HERE, "corpus", f"{folder}*.seq"))):
        with open(path, encoding="utf-8") as f:
            sequences += parse(f, os.path.basename(path))
    return sequences
