"""One program under load on one database, and what must hold while the database fails.

    with Scene(suite, "name", cluster) as scene:
        ...break something...
        scene.accepts(); scene.refuses_unknown_runs(); scene.answers_reads(); scene.is_ready(False)
        ...mend it...
        return scene.sound()

From its begin to its end a scene loads known runs from several connections and asks /health and
/livez all the time. sound() ends the load, waits until everything has drained, and asks the oracle.
Bounds are the settings' own plus PATIENCE_S, which is generous: machines are noisy, and what must be
caught is a wait without a bound.
"""

import collections
import http.client
import os
import shutil
import sys
import tempfile
import threading
import time
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "..", "tools"), os.path.join(HERE, "..", "crash")]

import psycopg  # noqa: E402
import requests  # noqa: E402

import load  # noqa: E402
import oracle  # noqa: E402
from server import Sluice, wait_until  # noqa: E402

SQL_TIMEOUT_S = 2
READ_WAIT_S = 0.3
FLUSH_TIMEOUT_S = 3
SILENCE_S = 2
DRAIN_S = 4
PATIENCE_S = 6

# Short, so that every bound is met within seconds; small windows and segments, so that each outage
# meets many of them. run_cache_ttl is short as well: what is known of a run is always too old.
ARGS = ["--sql-timeout", f"{SQL_TIMEOUT_S}s", "--read-wait", f"{int(READ_WAIT_S * 1000)}ms",
        "--flush-timeout", f"{FLUSH_TIMEOUT_S}s", "--pg-connect-timeout", "2s",
        "--pg-user-timeout", f"{SILENCE_S}s", "--flush-interval", "100ms", "--flush-rows", "2000",
        "--run-cache-ttl", "500ms", "--workers", "2", "--flushers", "2", "--drain-timeout", f"{DRAIN_S}s",
        "--journal-segment-bytes", "1MiB", "--journal-max-bytes", "256MiB"]

API = "/api/2.0/mlflow/"


class Skip(Exception):
    """The machine lacks what a scenario needs."""


class Client(load.Client):
    """Notes how long each answer took."""

    def __init__(self, owner, number):
        super().__init__(owner, number)
        self.took = []

    def exchange(self, data):
        begin = time.monotonic()
        status = super().exchange(data)
        self.took.append((time.monotonic() - begin, status))
        return status


class Steady(load.Load):
    """Rests a little: outages are about time, not about rate."""

    def __init__(self, url, runs, seed, clients=4, rest_s=0.004, **how):
        super().__init__(url, runs, seed, clients=clients, batch_points=60, rest_s=rest_s, **how)
        self.clients = [Client(self, i) for i in range(clients)]

    def slowest_s(self):
        return max((t for c in self.clients for t, _ in c.took), default=0)

    def p99_s(self):
        took = sorted(t for c in self.clients for t, _ in c.took)
        return took[len(took) * 99 // 100] if took else 0


class Watch(threading.Thread):
    """Asks for /health and /livez until it is told to end: both are OK, and quick, whatever happens."""

    def __init__(self, url, admin_url):
        super().__init__(daemon=True)
        self.targets = [(url, "/health", "OK"), (admin_url, "/livez", "ok\n")]
        self.is_over = threading.Event()
        self.slowest_s = 0
        self.count = 0
        self.trouble = collections.Counter()

    def ask(self, url, path, wanted):
        begin = time.monotonic()
        host, port = url.split("//", 1)[1].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200 or answer.read().decode() != wanted:
                self.trouble[f"{path} {answer.status}"] += 1
        except OSError as e:
            self.trouble[f"{path} {e!r}"] += 1
        finally:
            connection.close()
        self.slowest_s = max(self.slowest_s, time.monotonic() - begin)
        self.count += 1

    def run(self):
        while not self.is_over.wait(0.03):
            for target in self.targets:
                self.ask(*target)

    def stop(self):
        self.is_over.set()
        self.join()


class Scene:
    def __init__(self, suite, name, cluster, uri=None, args=(), env=None, binary=None, **how):
        self.suite = suite
        self.name = name
        self.cluster = cluster
        self.database = "fault_" + name
        self.uri = uri or cluster.create_database(self.database)
        self.folder = tempfile.mkdtemp(prefix="fault-")
        self.server = Sluice(self.uri, data_dir=os.path.join(self.folder, "data"),
                             args=ARGS + list(args), env=env, binary=binary or suite.binary)
        self.how = how
        self.load = self.watch = None
        self.begun = time.monotonic()

    def __enter__(self):
        try:
            self.server.start()
            # So many that no flusher is without one: a run belongs to a partition by chance.
            self.runs = [self.new_run() for _ in range(12)]
            self.load = Steady(self.server.url, self.runs, f"{self.suite.seed}/{self.name}",
                               **self.how).start()
            self.watch = Watch(self.server.url, self.server.admin_url)
            self.watch.start()
            self.accepts()
            self.applies()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *unused):
        try:
            if self.watch and self.watch.is_alive():
                self.watch.stop()
            if self.load and not self.load.is_over.is_set():
                self.load.stop()
            if kind and self.server.process:
                print(self.server.tail())
                if self.server.process.poll() is None:
                    self.server.kill()
            self.server.__exit__(kind, *unused)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- what is asked -----------------------------------------------------------------------

    def post(self, path, **body):
        return requests.post(self.server.url + API + path, json=body, timeout=60)

    def new_run(self):
        answer = self.post("runs/create", experiment_id="0")
        assert answer.status_code == 200, answer.text
        return answer.json()["run"]["info"]["run_id"]

    def log_metric(self, run):
        return self.post("runs/log-metric", run_id=run, key="k", value=1.0, timestamp=1, step=0)

    def ready(self):
        return requests.get(self.server.admin_url + "/readyz?verbose", timeout=30)

    def stat(self, name):
        return self.server.stat(name)

    def backends(self, name="sluice %"):
        """Process ids of the program's sessions, flushers' first."""
        with self.connect() as pg:
            return [row[0] for row in pg.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name LIKE %s"
                " AND datname = current_database() ORDER BY application_name", (name,))]

    def connect(self):
        return psycopg.connect(self.uri, autocommit=True)

    # -- what must hold ----------------------------------------------------------------------

    def accepts(self, count=150):
        """Writes to known runs go on, whatever PostgreSQL does."""
        acks = self.load.acks
        wait_until(lambda: self.load.acks >= acks + count, 30, f"{count} more acks")

    def applies(self, count=500):
        """Points reach PostgreSQL."""
        applied = self.stat("sluice_applied_points_total")
        wait_until(lambda: self.stat("sluice_applied_points_total") >= applied + count, 60,
                   f"{count} more points applied")

    def has_backlog(self, seconds=1.0):
        wait_until(lambda: self.stat("sluice_backlog_seconds") >= seconds, 60,
                   f"a backlog of {seconds} s")

    def is_ready(self, wanted, word=None, limit_s=60):
        """/readyz says so, and with which word in its list."""
        def holds():
            answer = self.ready()
            return (answer.status_code == 200) == wanted and (not word or word in answer.text)
        wait_until(holds, limit_s, f"/readyz is {wanted} with {word}: {self.ready().text}")

    def timed(self, what, bound_s, call):
        begin = time.monotonic()
        answer = call()
        took = time.monotonic() - begin
        assert took <= bound_s + PATIENCE_S, f"{what}: {took:.1f} s, bound {bound_s} s"
        return answer

    def refuses_unknown_runs(self):
        """503 with Retry-After, within sql_timeout."""
        answer = self.timed("a write to an unknown run", SQL_TIMEOUT_S,
                            lambda: self.log_metric(uuid.uuid4().hex))
        assert answer.status_code == 503, f"{answer.status_code} {answer.text}"
        assert int(answer.headers["Retry-After"]) >= 0, answer.headers

    def answers_reads(self):
        """200 that says how old it may be, or 503: within read_wait and sql_timeout."""
        answer = self.timed(
            "a read", READ_WAIT_S + SQL_TIMEOUT_S,
            lambda: requests.get(self.server.url + API + "runs/get", timeout=60,
                                 params={"run_id": self.runs[0]}))
        if answer.status_code == 200:
            assert "Sluice-Behind-Ms" in answer.headers, answer.headers
        else:
            assert answer.status_code == 503, f"{answer.status_code} {answer.text}"
            assert "Retry-After" in answer.headers, answer.headers
        return answer.status_code

    def survives(self, is_ready=False):
        """What holds in every outage in which nothing reaches PostgreSQL."""
        self.accepts()
        self.has_backlog()
        self.refuses_unknown_runs()
        self.answers_reads()
        if not is_ready:
            self.is_ready(False)
        self.accepts()

    def drains(self):
        """By itself: everything is applied, and the program is ready."""
        wait_until(lambda: self.stat("sluice_backlog_points") == 0, 90, "no backlog")
        self.is_ready(True)
        assert self.stat("sluice_flusher_held") == 0
        assert self.stat("sluice_flusher_connected") == 2

    def problems(self):
        with self.connect() as pg:
            return oracle.check(pg, self.load.ledger)

    def stops_and_returns(self, mended):
        """SIGTERM, now: ends within drain_timeout with code 0. After mended() the next start has it all."""
        self.watch.stop()
        self.load.stop()
        begin = time.monotonic()
        self.server.stop()
        took = time.monotonic() - begin
        assert took < DRAIN_S + PATIENCE_S, f"{took:.1f} s"
        mended()
        self.server.start()
        self.drains()
        problems = self.problems()
        assert not problems, "\n".join(problems)
        self.suite.verified += self.load.ledger.acked_count()
        return f"{self.load.ledger.acked_count()} points, stopped in {took:.1f} s"

    def sound(self, refusals=(), more=""):
        """Ends the load; every acked point is stored once, and nothing else. Returns the figures."""
        self.applies()
        self.watch.stop()
        self.load.stop()
        self.drains()
        statuses = self.load.statuses
        other = {s: n for s, n in statuses.items() if s != 200 and s not in refusals}
        assert not other, f"answers to writes to known runs: {dict(statuses)}"
        assert self.load.slowest_s() <= PATIENCE_S, f"an ack took {self.load.slowest_s():.1f} s"
        assert not self.watch.trouble, dict(self.watch.trouble)
        assert self.watch.slowest_s <= PATIENCE_S, f"/health took {self.watch.slowest_s:.1f} s"
        assert self.stat("sluice_deadletter_points_total") == 0, "dead letters"
        problems = self.problems()
        assert not problems, "\n".join(problems)
        self.suite.verified += self.load.ledger.acked_count()
        return (f"{statuses[200]} acks, {self.load.ledger.acked_count()} points, "
                f"p99 {self.load.p99_s() * 1000:.0f} ms, slowest {self.load.slowest_s():.2f} s, "
                f"/health {self.watch.slowest_s:.2f} s{more}")
