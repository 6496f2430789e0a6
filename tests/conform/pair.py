"""A fresh Sluice and a fresh stock MLflow, each on a fresh database of one cluster.

    with Pair() as pair:
        stock, sluice = pair.send(wire_for_stock, wire_for_sluice)
        stock_rows, sluice_rows = pair.rows()
        pair.clean()

rows() gives what the sequence has left in every table of MLflow's; clean() takes it away again, so
that a sequence sees nothing of those before it. Numbers that PostgreSQL hands out (experiment ids)
are set to the same next value on both sides, and never twice to the same.
"""

import http.client
import os
import sys
import threading
import time
import urllib.parse

import psycopg
from psycopg.rows import dict_row

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

from cluster import Cluster  # noqa: E402
from server import Sluice, Stock  # noqa: E402

from compare import Answer  # noqa: E402

KEPT = {"alembic_version"}
# First what others refer to: their ids are paired before the rows that carry them are sorted.
FIRST = ["experiments", "runs", "datasets", "logged_models", "registered_models", "model_versions"]
SEED_MS = 1600000000000  # when experiment 0 was made, to both: not when a server started
LIMIT_S = 60


class Side:
    """One server and its database."""

    def __init__(self, server, database, workspaces=()):
        self.server = server
        self.pg = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        self.http = None
        self.tables = [r["name"] for r in self.pg.execute(
            "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
            if r["name"] not in KEPT]
        self.tables.sort(key=lambda t: (FIRST.index(t) if t in FIRST else len(FIRST), t))
        self.any_rows = " UNION ALL ".join(
            f"SELECT '{t}' AS name WHERE EXISTS (SELECT FROM {t})" for t in self.tables)
        self.pg.execute("UPDATE experiments SET creation_time = %s, last_update_time = %s",
                        (SEED_MS, SEED_MS))
        for name in workspaces:
            self.pg.execute("INSERT INTO workspaces (name) VALUES (%s) ON CONFLICT DO NOTHING", (name,))
        self.seeds = {t: self.all_rows(t) for t in self.touched()}

    def touched(self):
        """The tables that have a row, in the order of `tables`."""
        found = {r["name"] for r in self.pg.execute(self.any_rows)}
        return [t for t in self.tables if t in found]

    def all_rows(self, table):
        return self.pg.execute(f"SELECT * FROM {table}").fetchall()

    def send(self, wire):
        """One request on the kept connection; a server that closed it meanwhile gets a new one."""
        for attempt in (1, 2):
            fresh = self.http is None
            if fresh:
                address = urllib.parse.urlsplit(self.server.url)
                self.http = http.client.HTTPConnection(address.hostname, address.port,
                                                       timeout=LIMIT_S)
            try:
                return self._send(wire)
            except (OSError, http.client.HTTPException) as error:
                self.http.close()
                self.http = None
                if fresh or attempt == 2:
                    return Answer(0, [], repr(error).encode())

    def _send(self, wire):
        self.http.putrequest(wire.method, wire.path, skip_accept_encoding=True)
        chosen = {n.lower() for n in wire.headers}
        for name, value in wire.headers.items():
            self.http.putheader(name, value.encode())
        body = wire.body or b""
        if (body or wire.method in ("POST", "PUT", "PATCH")) and "content-length" not in chosen \
                and "transfer-encoding" not in chosen:
            self.http.putheader("Content-Length", str(len(body)))
        self.http.endheaders(body or None)
        answer = self.http.getresponse()
        data = answer.read()
        result = Answer(answer.status, answer.getheaders(), data)
        if answer.will_close:
            self.http.close()
            self.http = None
        return result

    def next_numbers(self):
        return {r["name"]: r["value"] or 0 for r in self.pg.execute(
            "SELECT sequencename AS name, last_value AS value FROM pg_sequences "
            "WHERE schemaname = 'public'")}

    def clean(self, numbers):
        """Takes away all rows but those that were there at the start."""
        with self.pg.transaction():
            self.pg.execute("SET LOCAL session_replication_role = replica")
            for table in self.touched():
                self.pg.execute(f"DELETE FROM {table}")
            for table, rows in self.seeds.items():
                for row in rows:
                    names = ", ".join(row)
                    marks = ", ".join(["%s"] * len(row))
                    self.pg.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})",
                                    list(row.values()))
            for name, value in numbers.items():
                self.pg.execute("SELECT setval(%s, %s)", (name, max(value, 1)))

    def close(self):
        if self.http:
            self.http.close()
        self.pg.close()


class Pair:
    """Both sides. Requests go to the two at the same time; the next waits for both answers. With workspaces
    that are to be there both servers run with them."""

    def __init__(self, binary=None, workspaces=()):
        self.binary = binary
        self.workspaces = workspaces
        self.cluster = Cluster()
        self.open = []
        self.stock = self.sluice = None

    def __enter__(self):
        try:
            self.cluster.__enter__()
            uris = [self.cluster.create_database(n) for n in ("stock", "sluice")]
            more = ["--enable-workspaces"] if self.workspaces else []
            servers = [Stock(uris[0], args=more),
                       Sluice(uris[1], args=["--flush-interval", "20ms", *more], binary=self.binary)]
            for server in servers:
                self.open.append(server)
                server.start()
            self.stock, self.sluice = (Side(server, uri, self.workspaces)
                                       for server, uri in zip(servers, uris))
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        if set(self.stock.tables) != set(self.sluice.tables):
            raise AssertionError("the two databases have different tables")
        return self

    def __exit__(self, *failure):
        for side in (self.stock, self.sluice):
            if side:
                side.close()
        try:
            for server in self.open:
                server.__exit__(*failure)
        finally:
            self.cluster.__exit__(*failure)

    def send(self, for_stock, for_sluice):
        answers = {}

        def ask_stock():
            answers["stock"] = self.stock.send(for_stock)

        thread = threading.Thread(target=ask_stock)
        thread.start()
        answers["sluice"] = self.sluice.send(for_sluice)
        thread.join()
        return answers["stock"], answers["sluice"]

    def settle(self):
        """Waits until Sluice has written all it accepted."""
        deadline = time.monotonic() + LIMIT_S
        while self.sluice.server.stat("sluice_backlog_points") > 0:
            if time.monotonic() > deadline:
                raise AssertionError(f"points still on their way after {LIMIT_S} s")
            time.sleep(0.01)

    def rows(self):
        """[(table, stock's rows, Sluice's rows)] of every table that either has written to."""
        self.settle()
        touched = set(self.stock.touched()) | set(self.sluice.touched())
        return [(t, self.stock.all_rows(t), self.sluice.all_rows(t))
                for t in self.stock.tables if t in touched]

    def clean(self):
        mine, theirs = self.stock.next_numbers(), self.sluice.next_numbers()
        numbers = {n: max(mine.get(n, 0), theirs.get(n, 0)) for n in mine}
        self.stock.clean(numbers)
        self.sluice.clean(numbers)
