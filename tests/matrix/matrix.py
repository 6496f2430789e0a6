#!/usr/bin/env python3
"""The permission matrix: who may call what, asked of stock MLflow and of Sluice on the same tables.

    tests/matrix/matrix.py [--cells] [--count N] [--seed N] [--users N] [--show N]

--cells asks the whole matrix: every route that stock serves x questions.SUBJECTS x
questions.DEFAULTS. --count questions are drawn beside it, at least one about every call, which are
many more: other things, things that are not there, other parameters; and from --users more users
with mixed grants. A question is a default permission, a user and a call (questions.py); the answer
is status, content type and body, where 418 `reached` stands for a call that would have been carried
out. Answers must be equal, but for the differences that differences.toml lists with their reasons,
each of which must be seen. Two stock servers on the same tables share the work.
"""

import argparse
import base64
import collections
import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))

import psycopg  # noqa: E402
import requests  # noqa: E402
from cluster import Cluster  # noqa: E402
from server import ROOT, Server, Sluice, clean_environment, free_port, wait_until  # noqa: E402

import questions  # noqa: E402

PASSWORD = "a-password-of-12"
ADMIN = ("admin", "matrix-password")


class StockApp(Server):
    """stock_app.py on a database; about the objects of another one there, or about those it makes."""

    def __init__(self, pg_uri, objects=None):
        super().__init__(pg_uri)
        self.objects = objects

    def start(self):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.spawn([sys.executable, os.path.join(HERE, "stock_app.py"), self.pg_uri, str(port),
                    *([json.dumps(self.objects)] if self.objects else [])], clean_environment())
        wait_until(lambda: self.is_answering(self.url + "/__objects"), 240, "stock_app.py")
        return self

    def say(self, what):
        return requests.get(f"{self.url}/__{what}", timeout=60).json()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)


def cheap_hash(password):
    """A hash that werkzeug and Sluice check in no time: what is measured is not that."""
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), b"salt", 1).hex()
    return f"pbkdf2:sha256:1$salt${digest}"


def make_users(uri, users):
    """The users with their grants, each on a role of its own in the workspace `default`; a user with
    several grants gets every other one from a second role."""
    with psycopg.connect(uri) as pg:
        for name, grants in users.items():
            (user,), = pg.execute("INSERT INTO users (username, password_hash, is_admin) VALUES "
                                  "(%s, %s, false) RETURNING id", (name, cheap_hash(PASSWORD)))
            roles = []
            for n in range(min(2, len(grants))):
                (role,), = pg.execute("INSERT INTO roles (name, workspace) VALUES (%s, 'default') "
                                      "RETURNING id", (f"role-{name}-{n}",))
                pg.execute("INSERT INTO user_role_assignments (user_id, role_id) VALUES (%s, %s)",
                           (user, role))
                roles.append(role)
            for n, (kind, pattern, level) in enumerate(grants):
                pg.execute("INSERT INTO role_permissions (role_id, resource_type, "
                           "resource_pattern, permission) VALUES (%s, %s, %s, %s)",
                           (roles[n % len(roles)], kind, pattern, level))


class Asker:
    """Sends calls to one server over one connection."""

    def __init__(self, url):
        self.to = http.client.HTTPConnection(url.partition("//")[2], timeout=60)

    def ask(self, user, call):
        method, path, query, body = call
        headers = {}
        if user != "anonymous":
            credentials = ":".join(ADMIN if user == "admin" else (user, PASSWORD))
            headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body)
        self.to.request(method, path + (f"?{query}" if query else ""), data, headers)
        answer = self.to.getresponse()
        text = answer.read().decode()
        return answer.status, spelling(answer.status, answer.headers.get("content-type", ""), text)


def spelling(status, kind, text):
    """Content type and body, JSON without regard to how it is spaced."""
    kind = kind.partition(";")[0]
    if status == 418:
        return "reached"
    if kind == "application/json":
        said = json.loads(text)
        return f"{said.get('error_code')}: {said.get('message')}"
    return f"{kind} {text[:200]}"


def ask_all(url, asked, calls, threads):
    """The answers to [(user, call number)], by `threads` connections."""
    answers = [None] * len(asked)
    failures = []

    def work(start):
        asker = Asker(url)
        for n in range(start, len(asked), threads):
            user, call = asked[n]
            try:
                answers[n] = asker.ask(user, calls[call])
            except Exception as e:  # pylint: disable=broad-except
                failures.append(f"{user} {calls[call]}: {e!r}")
                return

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    if failures:
        raise AssertionError("\n".join(failures[:3]))
    return answers


class Differences:
    """differences.toml: what may differ, and whether it did."""

    def __init__(self):
        with open(os.path.join(HERE, "differences.toml"), "rb") as f:
            self.rows = tomllib.load(f)["difference"]
        self.seen = collections.Counter()

    def explains(self, user, call, stock, sluice):
        for row in self.rows:
            if (re.search(row["path"], call[1]) and re.search(row.get("method", ""), call[0]) and
                    re.search(row.get("user", ""), user) and
                    stock[0] in row["stock"] and sluice[0] in row["sluice"]):
                self.seen[row["id"]] += 1
                return True
        return False

    def unseen(self):
        return [row["id"] for row in self.rows if not self.seen[row["id"]]]


def serve(uri, default, folder, verdicts=True, args=()):
    """Sluice on the same database with that default permission, for verdicts alone or in earnest."""
    path = os.path.join(folder, f"auth-{default}.ini")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[mlflow]\ndefault_permission = {default}\ndatabase_uri = {uri}\n"
                f"admin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n")
    return Sluice(uri, args=["--auth", "basic", "--auth-config", path, "--workers", "1",
                             "--auth-secret-key", "matrix", *args],
                  env={"SLUICE_TEST_VERDICTS": "1"} if verdicts else None)


class Comparison:
    """What was asked, and where the answers differ."""

    def __init__(self, calls):
        self.calls = calls
        self.asked = 0
        self.differences = Differences()
        self.unexplained = []

    def add(self, default, user, call, stock_says, sluice_says):
        self.asked += 1
        if stock_says != sluice_says and not self.differences.explains(user, call, stock_says,
                                                                      sluice_says):
            self.unexplained.append((default, user, call, stock_says, sluice_says))


def ask_both(stock, default, asked, calls, folder, add):
    """The questions under one default permission."""
    stock.say(f"default/{default}")
    theirs = ask_all(stock.url, asked, calls, 4)
    with serve(stock.pg_uri, default, folder) as sluice:
        ours = ask_all(sluice.url, asked, calls, 2)
    for (user, call), stock_says, sluice_says in zip(asked, theirs, ours):
        add(default, user, calls[call], stock_says, sluice_says)


def compare(stocks, drawn, calls, folder):
    """Asks what was drawn; each stock server takes its share of the defaults, at the same time."""
    found = Comparison(calls)
    failures = []

    def work(stock, defaults):
        try:
            for default in defaults:
                asked = [(user, call) for d, user, call in drawn if d == default]
                if asked:
                    ask_both(stock, default, asked, calls, folder, found.add)
        except Exception as e:  # pylint: disable=broad-except
            failures.append(e)

    workers = [threading.Thread(target=work, args=(stock, questions.DEFAULTS[n::len(stocks)]))
               for n, stock in enumerate(stocks)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    if failures:
        raise failures[0]
    return found


def routes_of(stock):
    return [tuple(route) for route in stock.say("routes")]


def own_routes():
    """(method, path) of every row of gateway/http/routes.def, as docs/routes.md lists them."""
    found = []
    with open(os.path.join(ROOT, "docs", "routes.md"), encoding="utf-8") as f:
        rows = re.findall(r"^\| ([A-Z, ]+) \| `(\S+)` \|", f.read(), re.M)
    for methods, path in rows:
        for prefix in ("/api", "/ajax-api") if "…" in path else ("",):
            found += [(method, path.replace("…", prefix + "/2.0/mlflow")) for method in
                      methods.split(", ") if method not in ("HEAD", "ALL")]
    return found


def draw(stock, users, options):
    """(calls, questions): the matrix and what is drawn beside it."""
    objects, routes = stock.say("objects"), routes_of(stock)
    calls = questions.calls(routes, objects)
    drawn = questions.questions(calls, ["anonymous", "admin", *users], questions.DEFAULTS,
                                options.seed, options.count) if options.count else []
    if options.cells:
        cells = questions.cells(calls, questions.route_calls(routes, objects))
        print(f"{len(routes)} routes, {len(cells)} cells of the matrix", flush=True)
        drawn = sorted({*drawn, *cells})
    return calls, drawn


def run(options, folder):
    with Cluster() as cluster:
        uri = cluster.create_database("matrix")
        with StockApp(uri) as stock, StockApp(uri, stock.say("objects")) as other:
            users = questions.users(stock.say("objects"), options.seed, options.users)
            make_users(uri, users)
            calls, drawn = draw(stock, users, options)
            return compare([stock, other], drawn, calls, folder)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", action="store_true")
    parser.add_argument("--count", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--show", type=int, default=30)
    return parser.parse_args(argv)


def report(found, options):
    differences = found.differences
    for default, user, call, stock, sluice in found.unexplained[:options.show]:
        print(f"{call[0]} {call[1]}?{call[2]} {json.dumps(call[3])[:300]}\n    default {default}, "
              f"{user}: stock {stock}, Sluice {sluice}")
    by_path = collections.Counter((c[0], re.sub(r"[0-9a-f]{32}|\d+", "N", c[1]), a[0], b[0])
                                  for _, _, c, a, b in found.unexplained)
    for key, n in by_path.most_common(60):
        print(n, *key)
    print(f"{found.asked} questions, {len(found.unexplained)} unexplained differences, "
          f"{sum(differences.seen.values())} explained ({dict(differences.seen)}); "
          f"never seen: {differences.unseen()}")


def main():
    options = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        found = run(options, folder)
    report(found, options)
    sys.exit(1 if found.unexplained else 0)


if __name__ == "__main__":
    main()
