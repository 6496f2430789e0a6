"""One database, two servers: Sluice and a stock MLflow server write and read the same runs at once.

Clients on both log points, params, tags, run updates and inputs, in random order, to few runs and
few keys, so that they meet in every table. What must hold:

  - Sluice answers 200 to all of it, and no deadlock that PostgreSQL counts has Sluice in it;
  - stock answers what it answers to a second stock server: 400 when somebody else's insert came
    first, and nothing worse unless it met itself;
  - every point that was acknowledged is a row, latest_metrics is the greatest of them, the last
    tag and the last name win, and both servers read the same.
"""

import random
import re
import threading
import time

import psycopg
import pytest
import requests

from cluster import Cluster
from server import Sluice, Stock, wait_until

SECONDS = 6
STOCK_CALLS = 40   # at least so many are answered by stock meanwhile, else the storm goes on
SECONDS_MOST = 90  # for machines that are busy with other things
CLIENTS = 5        # of each server
SHARE = 4          # calls to Sluice for each to stock: at full speed stock would hardly run
KEYS = [f"metric{i}" for i in range(6)]
TAGS = [f"tag{i}" for i in range(6)]
API = "/api/2.0/mlflow/"


@pytest.fixture(scope="module")
def cluster():
    # Who waited for whom: the log names the programs by their process ids.
    with Cluster({"log_connections": "on", "log_lock_waits": "on",
                  "log_line_prefix": "'%p '"}) as c:
        yield c


@pytest.fixture(scope="module")
def uri(cluster):
    return cluster.create_database("two")


@pytest.fixture(scope="module")
def servers(uri):
    with Sluice(uri) as sluice, Stock(uri) as stock:
        yield {"sluice": sluice.url, "stock": stock.url}


def call(url, path, **body):
    return requests.post(url + API + path, json=body, timeout=60)


def made(servers, path, **body):
    answer = call(servers["sluice"], path, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def make_runs(servers, name, count):
    experiment = made(servers, "experiments/create", name=name)["experiment_id"]
    return experiment, [made(servers, "runs/create", experiment_id=experiment)["run"]["info"]
                        ["run_id"] for _ in range(count)]


def run_of(url, run_id):
    answer = requests.get(url + API + "runs/get", params={"run_id": run_id}, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()["run"]


class Client(threading.Thread):
    """Writes to all runs through one server until told to end; keeps what was acknowledged."""

    def __init__(self, servers, where, number, experiment, runs, end, turns):
        super().__init__()
        self.servers, self.where, self.number = servers, where, number
        self.experiment, self.runs = experiment, runs
        self.ended, self.turns = end, turns
        self.random = random.Random(f"{where}{number}")
        self.serial = 0
        self.answered = 0
        self.points = set()   # (run, key, value, timestamp, step)
        self.params = set()   # (run, key, value)
        self.tags = {}        # (run, key) to value: of keys nobody else writes
        self.refused = []     # (call, status, text)
        self.error = None
        self.session = requests.Session()

    def run(self):
        deeds = [self.batch, self.batch, self.metric, self.tag, self.name, self.update, self.inputs,
                 self.experiment_tag, self.read, self.search]
        try:
            while not self.ended.is_set():
                if self.where == "sluice" and not self.turns.acquire(timeout=1):
                    continue
                self.serial += 1
                self.random.choice(deeds)(self.random.choice(self.runs))
                self.answered += 1
                if self.where == "stock":
                    self.turns.release(SHARE)
        except Exception as error:  # told by the main thread
            self.error = error

    def send(self, path, **body):
        answer = self.session.post(self.servers[self.where] + API + path, json=body, timeout=60)
        if answer.status_code != 200:
            self.refused.append((path, answer.status_code, answer.text))
        return answer.status_code == 200

    def some(self, names, n):
        return self.random.sample(names, n)

    def text(self):
        return f"{self.where}-{self.number}-{self.serial}"

    def point(self, key, i):
        return {"key": key, "value": float(self.serial), "timestamp": 1_700_000_000_000 + i,
                "step": self.serial * 100 + self.number * 10 + (self.where == "stock")}

    def batch(self, run):
        own = f"own-{self.where}-{self.number}"
        # Everybody makes the same new params several times a second, in an order of their own.
        moment = int(time.monotonic() * 4)
        params = [{"key": f"param{moment}.{i}", "value": "same"} for i in self.some(range(4), 3)]
        points = [self.point(key, i) for i, key in enumerate(self.some(KEYS, 4))]
        points += [self.point(f"new{moment}.{i}", i) for i in self.some(range(4), 3)]
        tags = [{"key": key, "value": self.text()}
                for key in [*self.some(TAGS, 3), f"tag{moment}.{self.random.randrange(3)}", own]]
        if self.random.random() < 0.3:
            tags.append({"key": "mlflow.runName", "value": self.text()})
        self.random.shuffle(tags)
        if self.send("runs/log-batch", run_id=run, params=params, metrics=points, tags=tags):
            self.points |= {(run, p["key"], p["value"], p["timestamp"], p["step"]) for p in points}
            self.params |= {(run, p["key"], p["value"]) for p in params}
            self.tags[run, own] = self.text()
        else:  # what came before the failure may be there or not
            self.tags.pop((run, own), None)

    def metric(self, run):
        point = self.point(self.random.choice(KEYS), 7)
        if self.send("runs/log-metric", run_id=run, **point):
            self.points.add((run, *(point[k] for k in ("key", "value", "timestamp", "step"))))

    def tag(self, run):
        self.send("runs/set-tag", run_id=run, key=self.random.choice(TAGS), value=self.text())

    def name(self, run):
        self.send("runs/set-tag", run_id=run, key="mlflow.runName", value=self.text())

    def update(self, run):
        self.send("runs/update", run_id=run, run_name=self.text(), end_time=self.serial,
                  status=self.random.choice(["RUNNING", "FINISHED"]))

    def inputs(self, run):
        moment = int(time.monotonic() * 2)
        datasets = [{"tags": [{"key": "context", "value": "train"}],
                     "dataset": {"name": f"data{moment}.{i}", "digest": "d", "source": "s",
                                 "source_type": "local"}} for i in self.some(range(4), 3)]
        self.send("runs/log-inputs", run_id=run, datasets=datasets)

    def experiment_tag(self, run):
        del run
        self.send("experiments/set-experiment-tag", experiment_id=self.experiment,
                  key=self.random.choice(TAGS), value=self.text())

    def read(self, run):
        run_of(self.servers[self.where], run)

    def search(self, run):
        del run
        self.send("runs/search", experiment_ids=[self.experiment], max_results=10)


class Log:
    """PostgreSQL's log: which program a process was, and who was in a deadlock with whom."""

    def __init__(self, cluster):
        with open(cluster.folder + "/log", encoding="utf-8", errors="replace") as f:
            self.text = f.read()
        self.sluice = set(re.findall(r"^(\d+) LOG:  connection authorized:"
                                     r".*application_name=sluice", self.text, re.M))

    def deadlocks(self):
        """The DETAIL of each, with the processes in it."""
        found = re.findall(r"ERROR:  deadlock detected\n\d+ DETAIL:  (.*?)\n\d+ HINT", self.text,
                           re.S)
        return [(detail, set(re.findall(r"Process (\d+) waits", detail))) for detail in found]

    def with_sluice(self):
        return [detail for detail, who in self.deadlocks() if who & self.sluice]


@pytest.fixture(scope="module")
def storm(servers):
    """Everybody at once, for SECONDS; what is left is looked at by the tests."""
    experiment, runs = make_runs(servers, "storm", 2)
    run_of(servers["stock"], runs[0])  # its first answer takes seconds
    ended, turns = threading.Event(), threading.Semaphore(SHARE * CLIENTS)
    clients = [Client(servers, where, number, experiment, runs, ended, turns)
               for number in range(CLIENTS) for where in servers]
    began = time.monotonic()
    for client in clients:
        client.start()
    try:
        wait_until(lambda: any(c.error for c in clients) or
                   time.monotonic() > began + SECONDS and
                   sum(c.answered for c in clients if c.where == "stock") >= STOCK_CALLS,
                   SECONDS_MOST, f"{STOCK_CALLS} answers of stock")
    finally:
        ended.set()
        for client in clients:
            client.join()
    for client in clients:
        if client.error:
            raise client.error
    # The reads wait for what Sluice has accepted: afterwards all of it is in the tables.
    for run in runs:
        run_of(servers["sluice"], run)
    return experiment, runs, clients


def refused(clients, where):
    return [r for c in clients if c.where == where for r in c.refused]


def test_nobody_is_refused_by_sluice(storm):
    assert refused(storm[2], "sluice") == []
    assert sum(len(c.points) for c in storm[2] if c.where == "sluice") > 0


def test_no_deadlock_has_sluice_in_it(storm, cluster):
    log = Log(cluster)
    assert log.sluice, "the log names no connection of Sluice's"
    assert log.with_sluice() == []


def test_stock_answers_as_beside_another_stock_server(storm, cluster, uri):
    assert sum(len(c.points) for c in storm[2] if c.where == "stock") > 0
    own = len(Log(cluster).deadlocks())
    others = [r for r in refused(storm[2], "stock") if not (r[1] == 400 and "UniqueViol" in r[2])]
    assert [r for r in others if "deadlock" not in r[2]] == []
    assert len(others) <= own  # of itself with itself: the test above
    with psycopg.connect(uri) as pg:
        counted = pg.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = 'two'")
        assert counted.fetchone()[0] <= own


def test_every_acknowledged_point_and_param_is_there(storm, uri):
    with psycopg.connect(uri) as pg:
        points = set(pg.execute("SELECT run_uuid, key, value, timestamp, step FROM metrics"))
        params = set(pg.execute("SELECT run_uuid, key, value FROM params"))
    for client in storm[2]:
        assert client.points <= points
        assert client.params <= params


def test_latest_metrics_is_the_greatest_point(storm, uri):
    with psycopg.connect(uri) as pg:
        wrong = pg.execute(
            "SELECT * FROM (SELECT DISTINCT ON (run_uuid, key) run_uuid, key, step, timestamp,"
            " value FROM metrics ORDER BY run_uuid, key, step DESC, timestamp DESC, value DESC) m"
            " FULL JOIN latest_metrics l USING (run_uuid, key)"
            " WHERE (m.step, m.timestamp, m.value) IS DISTINCT FROM (l.step, l.timestamp, l.value)")
        assert wrong.fetchall() == []


def test_own_tags_have_their_last_value(storm, uri):
    with psycopg.connect(uri) as pg:
        tags = {(run, key): value
                for run, key, value in pg.execute("SELECT run_uuid, key, value FROM tags")}
    for client in storm[2]:
        for own, value in client.tags.items():
            assert tags[own] == value


def test_both_read_the_same(storm, servers):
    def plain(value):
        """Lists of the answers have no order; Sluice and stock give the same but for it."""
        if isinstance(value, dict):
            return tuple(sorted((k, plain(v)) for k, v in value.items()))
        return tuple(sorted(map(plain, value))) if isinstance(value, list) else str(value)

    for run in storm[1]:
        sluice, stock = (plain(run_of(url, run)) for url in servers.values())
        assert sluice == stock


def test_name_and_its_tag_agree(storm, servers):
    for run in storm[1]:
        found = run_of(servers["sluice"], run)
        tags = {t["key"]: t["value"] for t in found["data"]["tags"]}
        assert found["info"]["run_name"] == tags["mlflow.runName"]


def test_the_last_write_wins_from_server_to_server(servers):
    """In turns: what one server was told, the other reads at once, and replaces."""
    _, (run,) = make_runs(servers, "turns", 1)
    urls = list(servers.values())
    for turn in range(10):
        writer, reader = urls[turn % 2], urls[(turn + 1) % 2]
        for answer in (call(writer, "runs/set-tag", run_id=run, key="shared", value=f"t{turn}"),
                       call(writer, "runs/update", run_id=run, run_name=f"n{turn}"),
                       call(writer, "runs/log-metric", run_id=run, key="m", value=turn,
                            timestamp=turn, step=0)):
            assert answer.status_code == 200, answer.text
        if writer == servers["sluice"]:  # stock does not know what Sluice has yet to apply
            run_of(writer, run)
        found = run_of(reader, run)
        assert {t["key"]: t["value"] for t in found["data"]["tags"]}["shared"] == f"t{turn}"
        assert found["info"]["run_name"] == f"n{turn}"
        assert found["data"]["metrics"][0]["value"] == turn


def test_a_param_has_one_value_whoever_is_asked(servers, uri):
    """Both are told another value at the same moment: one of them is taken, one refused."""
    _, (run,) = make_runs(servers, "params", 1)
    both = threading.Barrier(2)
    answers = {}

    def write(where, key):
        both.wait()
        answers[where, key] = call(servers[where], "runs/log-batch", run_id=run,
                                   params=[{"key": key, "value": where}]).status_code

    for i in range(10):
        threads = [threading.Thread(target=write, args=(where, f"p{i}")) for where in servers]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    with psycopg.connect(uri) as pg:
        stored = dict(pg.execute("SELECT key, value FROM params WHERE run_uuid = %s", [run]))
    assert len(stored) == 10
    for (where, key), status in answers.items():
        assert status == (200 if stored[key] == where else 400), (where, key)


def test_a_run_deleted_by_stock_is_refused_by_sluice(servers):
    """The run table believes itself for run_cache_ttl; what asks PostgreSQL knows at once."""
    _, (run,) = make_runs(servers, "deleted", 1)
    assert call(servers["stock"], "runs/delete", run_id=run).status_code == 200
    assert call(servers["sluice"], "runs/set-tag", run_id=run, key="k", value="v").status_code == 400
    wait_until(lambda: call(servers["sluice"], "runs/log-metric", run_id=run, key="m", value=1,
                            timestamp=1).status_code == 400, 20, "the run table asks again")
