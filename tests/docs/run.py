#!/usr/bin/env python3
"""Runs what the documents say, and follows their links.

    tests/docs/run.py [--page docs/quickstart.md] [--links] [--verbose]

Each page is a shell session of its own, in a folder of its own that looks like a clone, against a fresh data_dir on free
ports: its commands run in their order, what one exports the next one sees. `sluice serve` and `mlflow server` run until
the next one of their kind, or the end of the page, and must end with 0. Python blocks are run in the same session. What is not run
stands in commands.py with the reason and the test that does it; a server's flags are checked all the same.

Fails when a command fails, when one is neither run nor listed, when a row of the list fits nothing or names no test,
and when a relative link or its anchor leads nowhere.
"""

import argparse
import concurrent.futures
import fnmatch
import glob
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile


import psycopg
import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/tools"))

import commands as said  # noqa: E402
from certificates import Authority  # noqa: E402
from cluster import Cluster  # noqa: E402
from server import BINARY, Sluice, clean_environment, free_port, is_port_open, wait_until  # noqa: E402

SHELLS = ("sh", "bash", "shell", "console")
SERVER = re.compile(r"(?:[A-Z_]+=\S* )*(?:build/)?(sluice serve|mlflow server)\b")
LIMIT_S = 120


def pages():
    return ["README.md", "CONTRIBUTING.md", *sorted(
        os.path.relpath(p, ROOT) for p in glob.glob(os.path.join(ROOT, "docs/**/*.md"), recursive=True))]


def texts():
    """Every page whose links are followed."""
    return [*pages(), *sorted(os.path.relpath(p, ROOT) for p in glob.glob(
        os.path.join(ROOT, "deploy/**/*.md"), recursive=True))]


# -- pages to commands -------------------------------------------------------------------------------


class Command:
    def __init__(self, page, line, text, is_python=False):
        self.page, self.line, self.text, self.is_python = page, line, text, is_python

    def __str__(self):
        return f"{self.page}:{self.line}: {self.text.strip().splitlines()[0]}"


def blocks(lines):
    """(number of the first line, language or None when indented, lines) of each block."""
    i = 0
    while i < len(lines):
        fence = re.match(r"(\s*)```(\w*)\s*$", lines[i])
        if fence:
            end = next(j for j in range(i + 1, len(lines) + 1)
                       if j == len(lines) or lines[j].strip() == "```")
            yield i + 2, fence[2], [line.removeprefix(fence[1]) for line in lines[i + 1:end]]
            i = end + 1
        elif lines[i].startswith("    ") and (i == 0 or not lines[i - 1].strip()):
            end = i
            while end < len(lines) and (not lines[end].strip() or lines[end].startswith("    ")):
                end += 1
            yield i + 1, None, [line[4:] for line in lines[i:end]]
            i = end
        else:
            i += 1


def shell_commands(page, first, lines):
    """Its logical lines: a backslash at the end joins two."""
    whole, at = "", 0
    for number, line in enumerate(lines, first):
        at = at if whole else number
        whole += line.strip() if not whole else "\n" + line
        if whole.endswith("\\"):
            continue
        whole = whole.removeprefix("$ ")
        if whole and not whole.startswith("#"):
            yield Command(page, at, whole)
        whole = ""


def commands_of(page):
    with open(os.path.join(ROOT, page), encoding="utf-8") as f:
        lines = f.read().splitlines()
    for first, language, text in blocks(lines):
        if language == "python":
            yield Command(page, first, "\n".join(text), True)
        elif language in SHELLS or (not language and any(said.COMMANDS.match(t.strip()) for t in text)):
            yield from shell_commands(page, first, text)


def why_not(command):
    """The row that says why it is not run, or None."""
    for row in said.NOT_RUN:
        if fnmatch.fnmatch(command.page, row[0]) and re.match(row[1], command.text):
            return row
    return None


# -- a page, run -------------------------------------------------------------------------------------


class Session:
    """A page's shell, its folder, its servers."""

    def __init__(self, page, cluster):
        self.page = page
        self.terms = said.PAGES.get(page, said.Page())
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="docs-"))
        self.folder.chmod(0o755)
        self.ports = {p: free_port() for p in (5000, 5001, 5005)}
        self.values = {"folder": str(self.folder), "data_dir": str(self.folder / "var"), "root": ROOT}
        self.servers = []
        self.cluster = cluster
        self.environment = clean_environment({
            "PATH": f"{self.folder}/bin:{ROOT}/build/venv/bin:{os.environ['PATH']}",
            "SLUICE_LISTEN": f"127.0.0.1:{self.ports[5000]}",
            "SLUICE_ADMIN_LISTEN": f"127.0.0.1:{self.ports[5001]}",
            "SLUICE_DATA_DIR": self.values["data_dir"],
            "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{self.ports[5000]}"})
        self.lay_out()

    def lay_out(self):
        """A folder that looks like a clone with everything built."""
        for name in ("examples", "loadtest", "docs", "tests", "Makefile"):
            (self.folder / name).symlink_to(os.path.join(ROOT, name))
        shutil.copytree(os.path.join(ROOT, "deploy"), self.folder / "deploy")  # pages write there
        for name in ("bin", "build"):
            (self.folder / name).mkdir()
        for name in ("sluice-loadtest", "venv"):
            (self.folder / "build" / name).symlink_to(os.path.join(ROOT, "build", name))
        # An answer of 400 and more is a failure, too.
        (self.folder / "bin/curl").write_text(f'#!/bin/sh\nexec {shutil.which("curl")} --fail-with-body "$@"\n')
        (self.folder / "bin/curl").chmod(0o755)
        for name in ("build/sluice", "bin/sluice"):
            (self.folder / name).symlink_to(os.path.abspath(BINARY))

    def prepare(self):
        """What the page takes to be there."""
        text = "\n".join(row[1] for row in self.terms.replace)
        if self.terms.database:
            name = "docs_" + self.folder.name.rpartition("-")[2].lower()
            # Without the port, which is the usual one: '&' is not for a command line.
            self.values["pg_uri"] = self.cluster.create_database(name).partition("&")[0]
            self.sluice("schema", "create", "--pg-uri", self.values["pg_uri"])
        if "{journal}" in text:
            self.values["journal"] = self.make_journal()
        if "{certificate}" in text:
            self.values["certificate"], self.values["key"] = map(
                str, Authority(self.folder, "authority").sign("localhost"))
        if self.terms.serves:
            self.serve("sluice serve", dict(self.environment), self.terms.settings)
        if self.terms.letter:
            self.make_letter()
        for name, words in self.terms.files.items():
            (self.folder / name).write_text(words.format_map(self.values))

    def sluice(self, *words):
        return subprocess.run([BINARY, *words], env=self.environment, cwd=self.folder, check=True,
                              capture_output=True, text=True, timeout=LIMIT_S).stdout

    def api(self, what, **body):
        answer = requests.post(f"http://127.0.0.1:{self.ports[5000]}/api/2.0/mlflow/{what}", json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def make_letter(self):
        """A point whose run was removed while it was in the queue."""
        run = self.values["run"] = self.api("runs/create", experiment_id="0")["run"]["info"]["run_id"]
        uri = self.sluice("pg-uri").strip()
        self.api("runs/log-metric", run_id=run, key="k", value=1, timestamp=1, step=1)
        with psycopg.connect(uri, autocommit=True) as pg:
            pg.execute("DELETE FROM tags WHERE run_uuid = %s", (run,))
            pg.execute("DELETE FROM runs WHERE run_uuid = %s", (run,))
        listed = wait_until(lambda: self.sluice("deadletter", "ls").splitlines()[1:], 60, "the dead letter")
        self.values["letter"] = listed[0].split()[0]

    def make_journal(self):
        """The data_dir of a pod that was killed before it could flush."""
        with Sluice(self.values["pg_uri"], args=["--flush-interval", "1m"]) as server:
            api = server.url + "/api/2.0/mlflow/runs/"
            run = requests.post(api + "create", json={"experiment_id": "0"}, timeout=60).json()["run"]["info"]["run_id"]
            requests.post(api + "log-metric", timeout=60, json={
                "run_id": run, "key": "k", "value": 1, "timestamp": 1, "step": 1}).raise_for_status()
            server.kill()
            shutil.copytree(server.data_dir, self.folder / "journal")
        return str(self.folder / "journal")

    # -- commands

    def resolved(self, text):
        for old, new in self.terms.replace:
            text = text.replace(old, new.format_map(self.values))
        for port, ours in self.ports.items():
            text = re.sub(rf"(127\.0\.0\.1:|localhost:|--port ){port}\b", rf"\g<1>{ours}", text)
        return text

    def run(self, command):
        """None, or what went wrong."""
        text = self.resolved(command.text)
        kind = not command.is_python and SERVER.match(text)
        try:
            if kind:
                self.serve(kind[1], self.seen(), text)
                return None
            return self.wait_for(command, text)
        except (AssertionError, subprocess.SubprocessError, requests.RequestException) as e:
            return str(e)

    def seen(self):
        """The environment as the commands so far have left it."""
        at = self.folder / ".environment"
        if not at.exists():
            return dict(self.environment)
        return dict(pair.split("=", 1) for pair in at.read_text().split("\0") if "=" in pair)

    def wait_for(self, command, text):
        if command.is_python:
            (self.folder / "block.py").write_text(text)
            text = "python block.py"
        # Variables that are not exported are kept as well.
        script = (f"set -o pipefail\n[ -e .variables ] && . ./.variables\n{{\n{text}\n}}\ncode=$?\n"
                  "declare -p | grep -v '^declare -[a-zA-Z]*r' >.variables\nenv -0 >.environment\nexit $code\n")
        done = subprocess.run(["bash", "-c", script], env=self.seen(), cwd=self.folder, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False)
        expected = next((code for page, begins, code in said.EXIT_CODES
                         if page == self.page and re.match(begins, command.text)), 0)
        if done.returncode != expected:
            return f"exit code {done.returncode}, want {expected}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"
        return None

    def serve(self, kind, environment, text):
        self.stop(kind)
        log = open(self.folder / f"{kind.replace(' ', '-')}.log", "wb")  # noqa: SIM115 the server's
        process = subprocess.Popen(["bash", "-c", f"exec env {text}"], env=environment, cwd=self.folder,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
        log.close()
        self.servers.append((kind, process))
        port = self.ports[5005] if kind == "mlflow server" else self.ports[5001]
        path = "/health" if kind == "mlflow server" else "/readyz"

        def is_ready():
            if process.poll() is not None:
                raise AssertionError(f"{text}: exit code {process.returncode}\n{self.log(kind)}")
            return is_port_open(port) and requests.get(f"http://127.0.0.1:{port}{path}", timeout=30).ok

        wait_until(is_ready, LIMIT_S, f"{text} is ready\n{self.log(kind)}")

    def log(self, kind):
        return (self.folder / f"{kind.replace(' ', '-')}.log").read_text(errors="replace")[-2000:]

    def stop(self, wanted=None):
        """The servers of a kind, or all, the newest first."""
        for kind, process in reversed(self.servers):
            if wanted not in (None, kind):
                continue
            self.servers.remove((kind, process))
            # Its own session holds the server and its helpers, and nothing else.
            os.killpg(process.pid, signal.SIGTERM) if kind == "mlflow server" else process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(timeout=60)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(timeout=20)
            assert kind == "mlflow server" or code == 0, f"{kind} ended with {code}\n{self.log(kind)}"

    def close(self):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def check_flags(command, resolved):
    """Would a server that is not started know its flags?"""
    words = shlex.split(resolved.removesuffix(" ...").replace(" ... ", " "), comments=True)
    while words and "=" in words[0]:
        words.pop(0)
    words = [word for i, word in enumerate(words[2:]) if word != "..." and words[i + 1] != "..."]
    words = [w for i, w in enumerate(words) if not (w == "--pg-uri" and (i + 1 == len(words) or words[i + 1].startswith("--")))]
    done = subprocess.run([BINARY, "config", "dump", *words], capture_output=True, text=True, env=clean_environment(), check=False)
    return None if done.returncode == 0 else done.stderr


def run_page(page, cluster, verbose):
    """[(command, None or what went wrong)] of a page."""
    results, todo = [], []
    for command in commands_of(page):
        row = why_not(command)
        todo.append((command, row))
    if not todo:
        return results
    session = None
    try:
        for command, row in todo:
            if row is None and session is None:
                session = Session(page, cluster)
                session.prepare()
            if row is not None:
                wrong = None
                if re.match(r"(?:[A-Z_]+=\S* )*(?:build/)?sluice serve", command.text):
                    wrong = check_flags(command, (session.resolved if session else str)(command.text))
            else:
                wrong = session.run(command)
            results.append((command, wrong))
            if verbose:
                print(f"{'FAIL' if wrong else 'list' if row else 'run '} {command}", flush=True)
    except Exception as e:  # noqa: BLE001 a page that cannot be prepared has failed
        results.append((Command(page, 0, "what the page needs"), repr(e)))
    finally:
        if session:
            try:
                session.close()
            except Exception as e:  # noqa: BLE001 a server that ends badly, too
                results.append((Command(page, 0, "the end of its servers"), str(e)))
    return results


# -- the list, and links -----------------------------------------------------------------------------


def list_faults():
    """Rows of NOT_RUN that fit nothing, or name a test that is not there."""
    every = [c for page in pages() for c in commands_of(page)]
    for glob_, begins, why, test in said.NOT_RUN:
        path, _, words = test.partition("::")
        at = os.path.join(ROOT, path)
        if not os.path.exists(at):
            yield f"{begins!r}: there is no {path}"
        elif words and words not in open(at, encoding="utf-8").read():  # noqa: SIM115
            yield f"{begins!r}: {path} has no {words!r}"
        if not any(fnmatch.fnmatch(c.page, glob_) and re.match(begins, c.text) for c in every):
            yield f"{glob_} {begins!r} ({why}): fits no command"
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as f:
        if said.MAKE_RUN not in f.read():
            yield f"`make run` does something else than {said.MAKE_RUN}"
    for page in said.PAGES:
        if not os.path.exists(os.path.join(ROOT, page)):
            yield f"PAGES: there is no {page}"


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^\s*```.*?^\s*```\s*$", "", text, flags=re.M | re.S))


def anchors(path):
    """Of the headings, as the repository host makes them."""
    found, seen = set(), {}
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"^```.*?^```\s*$", "", f.read(), flags=re.M | re.S)
    for heading in re.findall(r"^#{1,6}\s+(.+?)\s*#*$", text, re.M):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", heading).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        found.add(f"{slug}-{count}" if count else slug)
    return found


def link_faults(page):
    at = os.path.join(ROOT, page)
    with open(at, encoding="utf-8") as f:
        text = without_code(f.read())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        there = os.path.normpath(os.path.join(os.path.dirname(at), path)) if path else at
        if not os.path.exists(there):
            yield f"{page}: {target}: there is no such file"
        elif anchor and there.endswith(".md") and anchor not in anchors(there):
            yield f"{page}: {target}: there is no such heading"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="append", help="only this page; may be repeated")
    parser.add_argument("--links", action="store_true", help="run nothing")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    passed = failed = 0
    faults = [*list_faults(), *(fault for page in texts() for fault in link_faults(page))]
    for fault in faults:
        print(f"FAIL {fault}")
        failed += 1
    passed += len(texts()) if not faults else 0
    if not args.links:
        with Cluster(fsync=True) as cluster, concurrent.futures.ThreadPoolExecutor(2) as pool:
            runs = [pool.submit(run_page, page, cluster, args.verbose) for page in args.page or pages()]
            for command, wrong in (pair for run in runs for pair in run.result()):
                passed += wrong is None
                failed += wrong is not None
                if wrong is not None:
                    print(f"FAIL {command}\n     {wrong}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
