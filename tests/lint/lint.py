#!/usr/bin/env python3
"""What the house style says never to do, checked: `make lint`.

One line for each check, the places that break it below, and `N passed, N failed` at the end.
Run from anywhere; needs build/docgen (make builds it) for the generated documents.
"""

import filecmp
import glob
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# Who may include whose headers.
GRAPH = {
    "base": {"base"},
    "schema": {"schema", "base"},
    "ingest": {"ingest", "schema", "base"},
    "flush": {"flush", "ingest", "schema", "base"},
    "gateway": {"gateway", "ingest", "schema", "base"},
    "loadtest": {"loadtest", "schema", "base"},
}
FLUSH_SEES = {"ingest/queue.h", "ingest/queue_share.h", "ingest/runs.h"}
STARTS_FLUSHERS = {"gateway/main.c", "gateway/server.c", "gateway/server.h"}
# What else of flush the gateway may see: `deadletter retry` takes the flushers' path, alone;
# `journal adopt` starts flushers on a directory that no server has.
FLUSH_SEEN = {("gateway/command/cmd_deadletter.c", "flush/redelivery.h"),
              ("gateway/command/cmd_adopt.c", "flush/flusher.h")}
# Sources of deps.lock, found by -isystem.
PINNED = {"yyjson.h", "llhttp.h", "hiredis.h", "hiredis_ssl.h", "async.h"}

FUNCTION_LINES = 120
FILE_LINES = 1000
HEADER_LINES = 120
# Spelled in halves, so that this file passes its own check.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK"])
                        + r")\b")
# Programs of their own: run by the build, not linked into anything a test could include.
DOCGEN_READS = {"gateway/http/routes.def", "gateway/command/commands.def"}
PROGRAMS = {"gateway/main.c", "loadtest/main.c", "schema/docgen.c"}
GENERATED = ["config.md", "differences.md", "errors.md", "files.md", "metrics.md", "routes.md",
             "wire.md"]


def sources(*patterns):
    found = []
    for folder in GRAPH:
        for pattern in patterns:
            found += glob.glob(os.path.join(folder, "**", pattern), recursive=True)
    return sorted(found)


def lines_of(path):
    with open(path, encoding="utf-8") as f:
        return f.read().splitlines()


def check_folder_graph():
    """Includes follow the folder graph, from the root."""
    for path in sources("*.c", "*.h", "*.def"):
        folder = path.split("/")[0]
        for number, line in enumerate(lines_of(path), 1):
            found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not found or found[1] in PINNED:
                continue
            target = found[1].split("/")[0]
            where = f"{path}:{number}: includes {found[1]}"
            if target not in GRAPH:
                yield where + ", which is not a path from the root"
            elif target == "flush" and (path in STARTS_FLUSHERS or (path, found[1]) in FLUSH_SEEN):
                continue
            elif path == "schema/docgen.c" and found[1] in DOCGEN_READS:
                continue  # as text: it makes a page of the rows
            elif target not in GRAPH[folder]:
                yield where + f", but {folder} may not see {target}"
            elif folder == "flush" and target == "ingest" and found[1] not in FLUSH_SEES:
                yield where + ", but flush sees only queue.h, queue_share.h and runs.h of ingest"


def functions(path):
    """(name, first line, lines) of every function: its brace stands alone in column 0."""
    begin = None
    lines = lines_of(path)
    for number, line in enumerate(lines, 1):
        if line == "{" and begin is None:
            begin = number
        elif line.startswith("}") and begin is not None:
            head = " ".join(lines[max(0, begin - 4):begin - 1])
            names = re.findall(r"(\w+)\s*\(", head)
            yield (names[-1] if names else "?"), begin, number - begin + 1
            begin = None


def check_function_size():
    """No function is longer than 120 lines."""
    for path in sources("*.c") + sorted(glob.glob("tests/unit/*.c")):
        for name, line, length in functions(path):
            if length > FUNCTION_LINES:
                yield f"{path}:{line}: {name} has {length} lines"


def check_file_size():
    """No file is longer than 1000 lines."""
    others = glob.glob("tests/**/*.py", recursive=True) + glob.glob("tests/unit/*.c")
    for path in sources("*.c", "*.def") + sorted(others):
        if len(lines_of(path)) > FILE_LINES:
            yield f"{path}: {len(lines_of(path))} lines"


def check_header_size():
    """No header is longer than 120 lines."""
    for path in sources("*.h"):
        if len(lines_of(path)) > HEADER_LINES:
            yield f"{path}: {len(lines_of(path))} lines"


def check_essays():
    """Every file opens with the comment that says what it is."""
    for path in sources("*.c", "*.h", "*.def") + sorted(glob.glob("tests/unit/*.c")):
        text = "\n".join(lines_of(path))
        comment = re.match(r"/\*(.*?)\*/", text, re.S)
        words = len(re.findall(r"\w+", comment[1])) if comment else 0
        least = 5 if path.startswith("tests/") else 8
        if words < least:
            yield f"{path}: opens with {words} words of comment"


def check_unfinished():
    """No unfinished-work markers."""
    patterns = ["Makefile", "tests/**/*.py", "tests/**/*.[ch]", "tests/**/*.lua",
                "examples/*.py", ".ci/run"]
    paths = sources("*.c", "*.h", "*.def", "*.sql")
    for pattern in patterns:
        paths += [p for p in glob.glob(pattern, recursive=True) if os.path.isfile(p)]
    for path in sorted(set(paths)):
        for number, line in enumerate(lines_of(path), 1):
            if UNFINISHED.search(line):
                yield f"{path}:{number}: {line.strip()[:80]}"


def check_unit_tests():
    """Every file below the gateway has its unit test."""
    for path in sources("*.c"):
        if path.startswith("gateway/") or path in PROGRAMS:
            continue
        test = f"tests/unit/test_{os.path.basename(path)}"
        if not os.path.exists(test):
            yield f"{path}: {test} is missing"


def check_generated_docs():
    """The generated documents are current (make docs)."""
    if not os.path.exists("build/docgen"):
        yield "build/docgen is missing: make build/docgen"
        return
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(["build/docgen", folder], capture_output=True, text=True)
        if result.returncode != 0:
            yield f"build/docgen failed: {result.stderr.strip()}"
            return
        for writer in ("tests/tools/files.py", "tests/conform/differences.py",
                       "tests/tools/wire_cases.py"):
            subprocess.run([sys.executable, writer, folder], check=True)
        for name in GENERATED:
            fresh, committed = os.path.join(folder, name), os.path.join("docs", name)
            if not os.path.exists(committed):
                yield f"{committed} is missing"
            elif not filecmp.cmp(fresh, committed, shallow=False):
                yield f"{committed} is not what its sources say"


def check_deployment_checklist():
    """Files and tests of docs/deployment-checklist.md are there."""
    rows = 0
    for number, line in enumerate(lines_of("docs/deployment-checklist.md"), 1):
        cells = [c.strip() for c in line.strip("|").split("|")]
        if not re.match(r"\d+\.\d+$", cells[0]):
            continue
        rows += 1
        if len(cells) != 4 or not cells[2] or not cells[3]:
            yield f"docs/deployment-checklist.md:{number}: a row has number, words, file and test"
            continue
        for named in re.findall(r"`([^`]*/[^`]*)`", cells[2] + cells[3]):
            path, _, check = named.partition(":")
            if not os.path.isfile(path):
                yield f"docs/deployment-checklist.md:{number}: there is no {path}"
            elif check and f"def {check}(" not in "\n".join(lines_of(path)):
                yield f"docs/deployment-checklist.md:{number}: {path} has no {check}"
    if rows < 60:
        yield f"docs/deployment-checklist.md: {rows} rows are not all"


LOG_CALL = re.compile(r"\b(log_error|log_warn|log_info|log_debug|log_each|LOG_AT)\(")
CONVERSION = re.compile(r"%[-+ #0-9.*]*(?:hh?|ll?|[jzt])?(.)")
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def arguments(text, begin):
    """What stands between the commas of the call whose first argument begins there."""
    found, depth, last = [], 0, begin
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)\'|[(),{}\[\]]', text[begin:]):
        at = begin + token.start()
        depth += token[0] in "([{"
        if depth == 0 and token[0] in ",)":
            found.append(text[last:at])
            last = at + 1
            if token[0] == ")":
                break
        depth -= token[0] in ")]}"
    return found


def check_log_pairs():
    """The pairs of a log line are key=value, never quoted by hand: base/log.c does it."""
    for path in sources("*.c", "*.h"):
        text = "\n".join(lines_of(path))
        for call in LOG_CALL.finditer(text):
            given = arguments(text, call.end())
            place = 3 if call[1] in ("log_each", "LOG_AT") else 2
            if path == "base/log.h" or len(given) <= place:
                continue
            where = f"{path}:{text.count(chr(10), 0, call.start()) + 1}"
            pairs = "".join(STRING.findall(re.sub(r"\bPRI[diuxX]\w+", '"d"', given[place])))
            if not pairs and given[place].strip() != '""':
                yield f"{where}: pairs made elsewhere are given as \"%s\""
            for kind in CONVERSION.findall(pairs):
                if kind not in "diuxXocfeEgGaAspm%":
                    yield f"{where}: base/log.c does not know %{kind}"
            if "\\" in pairs:
                yield f"{where}: a quoted value: {pairs}"
            for word in pairs.split():
                if not re.match(r"[\w.]+=.|%s$|%\.\*s$", word):
                    yield f"{where}: no key=value: {word}"


CHECKS = [check_folder_graph, check_function_size, check_file_size, check_header_size,
          check_essays, check_unfinished, check_unit_tests, check_log_pairs,
          check_generated_docs, check_deployment_checklist]


def main():
    os.chdir(ROOT)
    failed = 0
    for check in CHECKS:
        breaches = list(check())
        failed += bool(breaches)
        print(f"{'FAIL' if breaches else 'ok  '} {check.__doc__}")
        for breach in breaches:
            print(f"       {breach}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
