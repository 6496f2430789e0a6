#!/usr/bin/env python3
"""The permission matrix: who may call what, asked of stock MLflow and of Sluice on the same tables.

    tests/matrix/matrix.py [--count N] [--seed N] [--users N] [--show N]

--count questions are drawn, at least one about every call; 0 asks all of them. A question is a
default permission, a user and a call (questions.py); the answer is status, content type and body,
where 418 `reached` stands for a call that would have been carried out. Answers must be equal, but
for the differences that differences.toml lists with their reasons, each of which must be seen.
"""

import argparse
import base64
import collections
import hashlib
import json
import os
import re
import subprocess
import sys
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
    """stock_app.py on a database that it makes."""

    def start(self):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.spawn([sys.executable, os.path.join(HERE, "stock_app.py"), self.pg_uri, str(port)],
                   clean_environment())
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
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False

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
        url = self.url + path + (f"?{query}" if query else "")
        answer = self.session.request(method, url, headers=headers, data=data, timeout=60,
                                      allow_redirects=False)
        return answer.status_code, spelling(answer)


def spelling(answer):
    """Content type and body, JSON without regard to how it is spaced."""
    kind = answer.headers.get("content-type", "").partition(";")[0]
    if answer.status_code == 418:
        return "reached"
    if kind == "application/json":
        said = answer.json()
        return f"{said.get('error_code')}: {said.get('message')}"
    return f"{kind} {answer.text[:200]}"


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


def serve(uri, default, folder, verdicts=True):
    """Sluice on the same database with that default permission, for verdicts alone or in earnest."""
    path = os.path.join(folder, f"auth-{default}.ini")
    with open(path, "w", encoding="utf-8") as f:
        f.write(f"[mlflow]\ndefault_permission = {default}\ndatabase_uri = {uri}\n"
                f"admin_username = {ADMIN[0]}\nadmin_password = {ADMIN[1]}\n")
    return Sluice(uri, args=["--auth", "basic", "--auth-config", path, "--workers", "1",
                             "--auth-secret-key", "matrix"],
                  env={"SLUICE_TEST_VERDICTS": "1"} if verdicts else None)


def compare(stock, uri, users, options, folder):
    """(questions asked, what is not explained, differences)."""
    calls = questions.calls([tuple(route) for route in stock.say("routes")],
                            stock.say("objects"))
    drawn = questions.questions(calls, ["anonymous", "admin", *users], questions.DEFAULTS,
                                options.seed, options.count)
    differences = Differences()
    unexplained = []
    for default in questions.DEFAULTS:
        asked = [(user, call) for d, user, call in drawn if d == default]
        requests.get(f"{stock.url}/__default/{default}", timeout=60)
        theirs = ask_all(stock.url, asked, calls, 4)
        with serve(uri, default, folder) as sluice:
            ours = ask_all(sluice.url, asked, calls, 2)
        for (user, call), stock_says, sluice_says in zip(asked, theirs, ours):
            if stock_says != sluice_says and not differences.explains(user, calls[call],
                                                                     stock_says, sluice_says):
                unexplained.append((default, user, calls[call], stock_says, sluice_says))
    return len(drawn), unexplained, differences


def run(options, folder):
    with Cluster() as cluster:
        uri = cluster.create_database("matrix")
        with StockApp(uri) as stock:
            users = questions.users(stock.say("objects"), options.seed, options.users)
            make_users(uri, users)
            return compare(stock, uri, users, options, folder)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=3500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--users", type=int, default=40)
    parser.add_argument("--show", type=int, default=30)
    options = parser.parse_args(argv)
    options.count = options.count or None
    return options


def main():
    import tempfile

    options = parse(sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        count, unexplained, differences = run(options, folder)
    for default, user, call, stock, sluice in unexplained[:options.show]:
        print(f"{call[0]} {call[1]}?{call[2]} {json.dumps(call[3])[:300]}\n    default {default}, "
              f"{user}: stock {stock}, Sluice {sluice}")
    by_path = collections.Counter((c[0], re.sub(r"[0-9a-f]{32}|\d+", "N", c[1]), a[0], b[0])
                                  for _, _, c, a, b in unexplained)
    for key, n in by_path.most_common(60):
        print(n, *key)
    print(f"{count} questions, {len(unexplained)} unexplained differences, "
          f"{sum(differences.seen.values())} explained ({dict(differences.seen)}); "
          f"never seen: {differences.unseen()}")
    sys.exit(1 if unexplained else 0)


if __name__ == "__main__":
    main()
