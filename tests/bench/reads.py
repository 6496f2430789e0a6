"""The reads of `make bench`: the same data, the same requests, Sluice and stock MLflow in turns.

One database for both. Its rows are written by SQL, so that loading takes seconds:

  shelf    1000 runs with 10 metrics, 10 params and 5 tags each
  crowd    100 000 runs with 3 metrics, 2 params and 2 tags each
  long     one run with 100 000 points of one metric
  wide     --wide-runs runs with --wide-points points each of one metric
  models   10 000 registered models, each with 2 tags and one version

All of it is measured twice: on MLflow's schema as it is, then after `sluice schema tune`. The stock
server is measured again for the searches, which it may gain from as well.

A figure is the seconds from connecting to the last byte of the answer. The client must not be what is
measured: the request's bytes are there before, those of the answer are looked at afterwards. With a session of
`requests` for each request 2 ms of a search's 7 were its own. Before the first round each server
answers the request for WARM_S, WARM times at most, so that whichever of its workers gets a round has sessions in
which PostgreSQL knows the tables. Sluice's peak of resident memory is asked of the kernel after each request.
"""

import http.client
import io
import json
import os
import re
import socket
import statistics
import subprocess
import time
import urllib.parse

import requests

from server import BINARY

WARM, WARM_S = 6, 3

SHELF, CROWD, LONG, WIDE = range(1, 5)
CROWDED = "runs/search, filter and order over 100 000"
GET = "runs/get, 64 connections"

LOAD = """
INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time, last_update_time, workspace)
    SELECT n, 'bench ' || n, '/tmp/none', 'active', n, n, 'default' FROM generate_series(1, 4) n;
CREATE FUNCTION pg_temp.bench_run(e int, n int) RETURNS text LANGUAGE sql IMMUTABLE AS
    $$ SELECT lpad(e::text, 4, '0') || lpad(n::text, 28, '0') $$;
CREATE FUNCTION pg_temp.bench_runs(e int, count int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status,
                      start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)
    SELECT pg_temp.bench_run(e, n), 'run ' || n, 'UNKNOWN', '', '', 'bench', 'FINISHED',
           1700000000000 + n, '', 'active', '/tmp/none/' || n, e FROM generate_series(1, count) n $$;
CREATE FUNCTION pg_temp.bench_pairs(e int, count int, metrics int, params int, tags int)
    RETURNS void LANGUAGE sql AS $$
    INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'm' || k, ((n * 7919 + k * 104729) %% 100003) / 100003.0, 1700000000000 + n, n, false,
           pg_temp.bench_run(e, n) FROM generate_series(1, count) n, generate_series(1, metrics) k;
    INSERT INTO params (key, value, run_uuid)
    SELECT 'p' || k, ((n + k) %% 10)::text, pg_temp.bench_run(e, n)
    FROM generate_series(1, count) n, generate_series(1, params) k;
    INSERT INTO tags (key, value, run_uuid)
    SELECT 't' || k, CASE (n + k) %% 4 WHEN 0 THEN 'red' WHEN 1 THEN 'green' ELSE 'blue' END,
           pg_temp.bench_run(e, n) FROM generate_series(1, count) n, generate_series(1, tags) k $$;
CREATE FUNCTION pg_temp.bench_points(e int, count int, points int) RETURNS void LANGUAGE sql AS $$
    INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)
    SELECT 'loss', 1.0 / (s + n), 1700000000000 + s, s, false, pg_temp.bench_run(e, n)
    FROM generate_series(1, count) n, generate_series(1, points) s $$;
SELECT pg_temp.bench_runs(1, 1000), pg_temp.bench_pairs(1, 1000, 10, 10, 5);
SELECT pg_temp.bench_runs(2, {crowd}), pg_temp.bench_pairs(2, {crowd}, 3, 2, 2);
SELECT pg_temp.bench_runs(3, 1), pg_temp.bench_runs(4, {runs});
{drop};
SELECT pg_temp.bench_points(3, 1, 100000);
SELECT pg_temp.bench_points(4, {runs}, {wide});
SET maintenance_work_mem = '1GB';
{make};
INSERT INTO registered_models (name, creation_time, last_updated_time, workspace)
    SELECT 'model ' || n, n, n, 'default' FROM generate_series(1, 10000) n;
INSERT INTO registered_model_tags (key, value, name, workspace)
    SELECT 't' || k, 'v' || n %% 7, 'model ' || n, 'default'
    FROM generate_series(1, 10000) n, generate_series(1, 2) k;
INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source,
                            status, storage_location, workspace)
    SELECT 'model ' || n, 1, n, n, 'None', '/tmp/none', 'READY', '/tmp/none', 'default'
    FROM generate_series(1, 10000) n;
"""


# What has to go and come back so that millions of points take seconds: (drop, make) of each.
AROUND_POINTS = """
SELECT format('ALTER TABLE metrics DROP CONSTRAINT %%I', conname),
       format('ALTER TABLE metrics ADD CONSTRAINT %%I %%s', conname, pg_get_constraintdef(oid))
  FROM pg_constraint WHERE conrelid = 'metrics'::regclass AND contype IN ('p', 'f')
UNION ALL
SELECT format('DROP INDEX %%I', indexrelid::regclass::text), pg_get_indexdef(indexrelid)
  FROM pg_index WHERE indrelid = 'metrics'::regclass AND NOT indisprimary
"""


def run_id(experiment, n):
    return f"{experiment:04d}{n:028d}"


class Read:
    """One request of the table."""

    def __init__(self, what, method, path, want, **more):
        self.what, self.method, self.path, self.want, self.more = what, method, path, want, more
        self.is_search = path.endswith("search")

    def send(self, server):
        url = urllib.parse.urlsplit(server.url)
        ask = requests.Request(self.method, server.url + self.path, **self.more).prepare()
        head = "".join(f"{name}: {value}\r\n" for name, value in ask.headers.items())
        sent = (f"{self.method} {ask.path_url} HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n"
                f"{head}\r\n").encode() + (ask.body or b"")
        pieces = []
        # A connection of its own: a kept one may be closed while it is the other server's turn.
        begin = time.monotonic()
        with socket.create_connection((url.hostname, url.port), timeout=600) as sock:
            sock.sendall(sent)
            while piece := sock.recv(1 << 18):
                pieces.append(piece)
        seconds = time.monotonic() - begin
        return seconds, self.check(b"".join(pieces), server)

    def check(self, raw, server):
        """The size of the body, when it is what was asked for."""
        answer = http.client.HTTPResponse(Held(raw))
        try:
            answer.begin()
            body = answer.read()
        except (http.client.HTTPException, ValueError) as error:
            raise AssertionError(f"{self.what}: {error}\n{server.output()[-4000:]}") from error
        text = body.decode()
        assert answer.status == 200, f"{self.what}: {answer.status} {text[:300]}"
        assert re.search(self.want, text), f"{self.what}: not what was asked for"
        return len(body)


class Held:
    """An answer that has come, as http.client takes it from a socket."""

    def __init__(self, raw):
        self.raw = raw

    def makefile(self, mode):
        assert mode == "rb"
        return io.BytesIO(self.raw)


def table(options):
    mlflow, runs = "/api/2.0/mlflow/", options.wide_runs
    reads = [
        Read("runs/search, 1000 runs with 25 values each", "POST", mlflow + "runs/search",
             "run 1000", json={"experiment_ids": [str(SHELF)], "max_results": 1000}),
        Read(CROWDED, "POST", mlflow + "runs/search",
             "run_id", json={
                 "experiment_ids": [str(CROWD)], "max_results": 100, "order_by": ["metrics.m2 DESC"],
                 "filter": "metrics.m1 > 0.5 AND params.p2 = '3' AND tags.t1 = 'red'"}),
        Read("get-history, 100 000 points", "GET", mlflow + "metrics/get-history",
             "100000", params={"run_id": run_id(LONG, 1), "metric_key": "loss"}),
        Read(f"bulk-interval, {runs} runs x {options.wide_points} points", "GET",
             "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval", run_id(WIDE, runs),
             params={"run_ids": [run_id(WIDE, n) for n in range(1, runs + 1)],
                     "metric_key": "loss", "max_results": 320}),
        Read("registered-models/search over 10 000", "GET", mlflow + "registered-models/search",
             "model 10", params={"filter": "name LIKE 'model 1%' AND tags.t1 = 'v3'",
                                 "max_results": 200, "order_by": "last_updated_timestamp DESC"}),
    ]
    return [read for read in reads if options.match in read.what]


def peak_bytes(server):
    with open(f"/proc/{server.process.pid}/status", encoding="utf-8") as f:
        return int(re.search(r"VmHWM:\s+(\d+) kB", f.read())[1]) * 1024


def load(cluster, options):
    with cluster.connect("reads") as pg:
        around = pg.execute(AROUND_POINTS.replace("%%", "%")).fetchall()
        pg.execute(LOAD.replace("%%", "%").format(wide=options.wide_points, runs=options.wide_runs,
                                                  crowd=100_000 if options.match in CROWDED else 1,
                                                  drop="; ".join(drop for drop, _ in around),
                                                  make="; ".join(make for _, make in around)))
        pg.execute("SELECT setval('experiments_experiment_id_seq', 10)")
        pg.execute("VACUUM ANALYZE")


def measure_reads(cluster, sluice, stock, wrk, folder, options, say):
    """{what: {"sluice": {...}, "tuned": {...}, "stock": {...}, "stock_tuned": {...}}}; sluice and stock
    are the classes to start."""
    uri = cluster.create_database("reads")
    with sluice(uri):  # makes the schema
        pass
    begin = time.monotonic()
    load(cluster, options)
    say(f"    loaded in {time.monotonic() - begin:.0f} s")
    found = {}
    with sluice(uri, args=options.args.split()) as ours, stock(uri, workers=4) as theirs:
        for read in table(options):
            found[read.what] = measure_one(read, {"sluice": ours, "stock": theirs}, ours, options, say)
        if options.match in GET:
            found[GET] = measure_get(ours, theirs, wrk, folder, options, say)
        begin = time.monotonic()
        subprocess.run([BINARY, "schema", "tune", "--pg-uri", uri], check=True,
                       stdout=subprocess.DEVNULL)
        say(f"    tuned in {time.monotonic() - begin:.0f} s")
        for read in table(options):
            servers = {"tuned": ours, **({"stock_tuned": theirs} if read.is_search else {})}
            found[read.what].update(measure_one(read, servers, ours, options, say))
    cluster.drop_database("reads")
    return found


def measure_one(read, servers, ours, options, say):
    rounds = {name: [] for name in servers}
    for server in servers.values():
        spent = []
        while len(spent) < WARM and sum(spent) < WARM_S:
            seconds, size = read.send(server)
            spent.append(seconds)
    for _ in range(options.rounds):
        for name, server in servers.items():
            rounds[name].append(read.send(server)[0])
    result = {name: {"per_second": 1 / statistics.median(times), "seconds": statistics.median(times),
                     "rounds": [1 / t for t in times]} for name, times in rounds.items()}
    result["answer_bytes"], result["peak_bytes"] = size, peak_bytes(ours)
    times = ", ".join(f"{name} {result[name]['seconds'] * 1e3:,.1f} ms" for name in servers)
    say(f"    {read.what}: {times}, answer {size / 1e6:.2f} MB, peak of Sluice "
        f"{result['peak_bytes'] / 1e6:.0f} MB")
    return result


def measure_get(ours, theirs, wrk, folder, options, say):
    path = os.path.join(folder, "shelf.txt")
    with open(path, "w", encoding="utf-8") as f:
        f.write("".join(run_id(SHELF, n) + "\n" for n in range(1, 1001)))
    rounds = {"sluice": [], "stock": []}
    for _ in range(options.rounds):
        for name, server in (("sluice", ours), ("stock", theirs)):
            rounds[name].append(wrk("get_run.lua", server.url, options.seconds, path, 0)["per_second"])
    say(f"    runs/get: {json.dumps(rounds)}")
    return {name: {"per_second": statistics.median(figures), "rounds": figures}
            for name, figures in rounds.items()}
