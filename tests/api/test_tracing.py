"""Whoever follows a request finds it: as spans at the collector, in PostgreSQL's log, in the log of requests."""

import json
import os
import re
import subprocess
import time

import pytest
import requests

from cluster import Cluster
from collector import Collector
from server import BINARY, Sluice, wait_until

API = "/api/2.0/mlflow/"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED, UNSAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}, {"traceparent": f"00-{TRACE}-{CALLER}-00"}


@pytest.fixture(scope="module")
def logging_postgres():
    """One that writes down every statement with the name of its application."""
    with Cluster({"log_statement": "'all'", "log_line_prefix": "'[%a] '"}) as cluster:
        yield cluster


@pytest.fixture
def collector():
    with Collector() as c:
        yield c


def create_run(server, **more):
    answer = requests.post(server.url + API + "runs/create", json={"experiment_id": "0"}, timeout=30, **more)
    return answer.json()["run"]["info"]["run_id"]


def log_point(server, run, step, **more):
    return requests.post(server.url + API + "runs/log-metric", timeout=30, **more,
                         json={"run_id": run, "key": "m", "value": 1.5, "timestamp": 1, "step": step})


def spans_of(collector, trace, least=1):
    return wait_until(lambda: [s for s in collector.spans if s.trace == trace][least - 1:] and
                      [s for s in collector.spans if s.trace == trace], 30, f"spans of {trace}")


def test_a_followed_request_is_told_with_all_it_waited_for(postgres, collector):
    with Sluice(postgres.create_database("traced"), args=["--otlp-endpoint", collector.endpoint]) as server:
        begin = time.time_ns()
        run = create_run(server, headers=SAMPLED)
        end = time.time_ns()
        spans = spans_of(collector, TRACE, 2)
        root = next(s for s in spans if s.kind == 2)
        assert root.name == "POST /2.0/mlflow/runs/create" or root.name.endswith("/runs/create")
        assert root.parent == CALLER and not root.is_error
        assert root.attributes["http.request.method"] == "POST"
        assert root.attributes["http.response.status_code"] == 200
        assert root.attributes["http.route"] == root.name.split(" ")[1]
        assert root.resource["service.name"] == "sluice" and root.resource["service.instance.id"]
        slack = 50_000_000  # the wall clock is read in milliseconds, the loop's once a turn
        assert begin - slack <= root.begin <= root.end <= end + slack
        waits = [s for s in spans if s is not root]
        assert waits and all(s.parent == root.id for s in waits)
        assert len({s.id for s in spans}) == len(spans)
        sql = [s for s in waits if s.kind == 3]
        assert sql and all(s.attributes["db.system"] == "postgresql" and s.name for s in sql)
        assert all(root.begin <= s.begin <= s.end <= root.end for s in waits)
        log_point(server, run, 1, headers={"traceparent": f"00-{'1' * 32}-{CALLER}-01"})
        names = {s.name for s in spans_of(collector, "1" * 32, 2)}
        assert "durable" in names
        assert server.stat("sluice_requests_traced_total") == 2
        wait_until(lambda: server.stat("sluice_spans_sent_total") == len(collector.spans), 30, "the count of spans")
        assert server.stat("sluice_spans_dropped_total") == 0


def flushes_of(collector, trace):
    return [s for s in collector.spans if s.trace == trace and s.name == "flush"]


def history(server, run):
    """Asks for what was written, which has to be flushed for that."""
    return requests.get(server.url + API + "metrics/get-history", params={"run_id": run, "metric_key": "m"},
                        timeout=30).json()["metrics"]


def test_a_flush_stands_in_the_trace_of_whose_points_it_moves(postgres, collector):
    with Sluice(postgres.create_database("flush"), args=["--otlp-endpoint", collector.endpoint]) as server:
        run = create_run(server)
        points = [{"key": "m", "value": n, "timestamp": n, "step": n} for n in range(3)]
        for _ in range(2):  # the second time they are all there already
            answer = requests.post(server.url + API + "runs/log-batch", json={"run_id": run, "metrics": points},
                                   headers=SAMPLED, timeout=30)
            assert answer.status_code == 200 and len(history(server, run)) == 3
        wait_until(lambda: len(flushes_of(collector, TRACE)) == 2, 30, "spans of two flushes")
        first, again = sorted(flushes_of(collector, TRACE), key=lambda s: s.begin)
        asked = {s.id: s for s in collector.spans if s.kind == 2}
        for flush in (first, again):
            assert flush.kind == 5 and not flush.is_error and flush.links == []
            assert asked[flush.parent].trace == TRACE and asked[flush.parent].begin <= flush.begin <= flush.end
            assert {k: flush.attributes["sluice." + k] for k in ("entries", "points", "runs", "followed")} == {
                "entries": 1, "points": 3, "runs": 1, "followed": 1}
        assert first.parent != again.parent
        told = ("rows", "repeats", "transactions", "path")
        assert [first.attributes["sluice." + k] for k in told] == [3, 0, 1, "direct"]
        assert [again.attributes["sluice." + k] for k in told] == [0, 3, 2, "staged"]


def test_a_flush_links_all_requests_whose_points_it_moves(postgres, collector):
    args = ["--otlp-endpoint", collector.endpoint, "--otlp-sample", "0", "--flush-interval", "60s"]
    with Sluice(postgres.create_database("links"), args=args) as server:
        run = create_run(server)
        traces = [f"{n:032x}" for n in range(1, 4)]
        for step, trace in enumerate(traces):
            assert log_point(server, run, step, headers={"traceparent": f"00-{trace}-{CALLER}-01"}).status_code == 200
            log_point(server, run, 10 + step)  # nobody's
        assert len(history(server, run)) == 6
        flush = wait_until(lambda: flushes_of(collector, traces[0]), 30, "a span")[0]
        asked = {s.trace: s.id for s in collector.spans if s.kind == 2}
        assert flush.parent == asked[traces[0]]
        assert flush.links == [(trace, asked[trace]) for trace in traces[1:]]
        assert flush.attributes["sluice.points"] == 6 and flush.attributes["sluice.followed"] == 3


def test_who_is_not_to_be_followed_is_not(postgres, collector):
    args = ["--otlp-endpoint", collector.endpoint, "--otlp-sample", "0"]
    with Sluice(postgres.create_database("untraced"), args=args) as server:
        run = create_run(server)
        for step in range(20):
            log_point(server, run, step, headers=UNSAMPLED if step % 2 else {})
        for bad in ("00-xyz", f"ff-{TRACE}-{CALLER}-01", f"00-{'0' * 32}-{CALLER}-01"):
            log_point(server, run, 50, headers={"traceparent": bad})
        log_point(server, run, 100, headers=SAMPLED)
        spans_of(collector, TRACE)
        assert {s.trace for s in collector.spans} == {TRACE}
        assert server.stat("sluice_requests_traced_total") == 1


def test_one_in_so_many_is_followed(postgres, collector):
    args = ["--otlp-endpoint", collector.endpoint + "/", "--otlp-sample", "10", "--workers", "1"]
    with Sluice(postgres.create_database("some"), args=args) as server:
        run = create_run(server)
        before = server.stat("sluice_requests_traced_total")
        http = requests.Session()
        for step in range(100):
            http.post(server.url + API + "runs/log-metric", timeout=30,
                      json={"run_id": run, "key": "m", "value": 1, "timestamp": 1, "step": step})
        traced = server.stat("sluice_requests_traced_total") - before
        assert 10 <= traced <= 11  # the scrapes count, too
        wait_until(lambda: len({s.trace for s in collector.spans if s.kind == 2}) >= traced, 30, "spans")
        assert all(s.parent == "" for s in collector.spans if s.kind == 2)


def test_failures_are_marked(collector, tmp_path):
    """With PostgreSQL away a statement is answered 503, and the span is an error's; 404 is none."""
    with Cluster() as cluster, Sluice(cluster.create_database("db"), data_dir=str(tmp_path / "data"),
                                      args=["--otlp-endpoint", collector.endpoint, "--sql-timeout", "500ms"]) as server:
        requests.get(server.url + API + "runs/get", params={"run_id": "0" * 32}, headers=SAMPLED, timeout=30)
        assert not next(s for s in spans_of(collector, TRACE) if s.kind == 2).is_error
        cluster.stop()
        other = {"traceparent": f"00-{'2' * 32}-{CALLER}-01"}
        answer = requests.get(server.url + API + "runs/get", params={"run_id": "0" * 32}, headers=other, timeout=30)
        assert answer.status_code == 503
        failed = next(s for s in spans_of(collector, "2" * 32) if s.kind == 2)
        assert failed.is_error and failed.attributes["http.response.status_code"] == 503
        cluster.start()


@pytest.mark.parametrize("how", ["away", "503"])
def test_a_collector_that_fails_costs_spans_and_nothing_else(postgres, how):
    with Collector() as collector:
        args = ["--otlp-endpoint", collector.endpoint, "--otlp-sample", "1"]
        if how == "away":
            collector.stop()
        collector.status = 503
        with Sluice(postgres.create_database(f"failing_{how}"), args=args) as server:
            run = create_run(server)
            http = requests.Session()
            for step in range(100):
                assert http.post(server.url + API + "runs/log-metric", timeout=30, json={
                    "run_id": run, "key": "m", "value": 1, "timestamp": 1, "step": step}).status_code == 200
            wait_until(lambda: server.stat("sluice_spans_dropped_total") > 0, 30, "spans dropped")
            assert server.stat("sluice_spans_sent_total") == 0
            assert "the collector does not take spans" in server.output()
            assert server.output().count("the collector does not take spans") == 1
            collector.status = 200
            if how == "away":
                collector.start()
            wait_until(lambda: log_point(server, run, 9999) and collector.spans, 60, "spans again")
            # Its word follows the collector's answer.
            wait_until(lambda: "the collector takes spans again" in server.output(), 30, "the log line")


def test_spans_of_the_last_second_are_sent_at_the_end(postgres, collector):
    with Sluice(postgres.create_database("last"), args=["--otlp-endpoint", collector.endpoint]) as server:
        create_run(server, headers=SAMPLED)
    assert [s for s in collector.spans if s.trace == TRACE]


def test_environment_of_opentelemetry(postgres, collector):
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint, "OTEL_SERVICE_NAME": "metrics-gateway",
           "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer s3cret,x-team=blue"}
    with Sluice(postgres.create_database("otelenv"), env=env) as server:
        create_run(server, headers=SAMPLED)
        assert spans_of(collector, TRACE)[0].resource["service.name"] == "metrics-gateway"
        assert collector.headers["authorization"] == "Bearer s3cret" and collector.headers["x-team"] == "blue"
        assert "s3cret" not in server.output()


@pytest.mark.parametrize("endpoint", ["collector:4318", "grpc://collector:4317", "file:///etc/passwd"])
def test_an_endpoint_that_is_none_stops_the_start(endpoint, tmp_path):
    found = subprocess.run([os.path.abspath(BINARY), "serve", "--data-dir", str(tmp_path), "--otlp-endpoint", endpoint],
                           capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode != 0 and "setting otlp_endpoint" in found.stderr


def postgres_log(cluster):
    with open(os.path.join(cluster.folder, "log"), encoding="utf-8", errors="replace") as f:
        return f.read()


def test_postgresql_s_log_names_the_trace_and_only_of_its_own(logging_postgres):
    with Sluice(logging_postgres.create_database("named"), args=["--sql-connections", "2"]) as server:
        run = create_run(server)
        before = len(postgres_log(logging_postgres))
        requests.get(server.url + API + "runs/get", params={"run_id": run}, headers=SAMPLED, timeout=30)
        requests.get(server.url + API + "runs/get", params={"run_id": run}, timeout=30)
        requests.get(server.url + API + "metrics/get-history", headers=SAMPLED, timeout=30,
                     params={"run_id": run, "metric_key": "m"})
        requests.get(server.url + API + "runs/get", params={"run_id": run}, headers=UNSAMPLED, timeout=30)
        text = wait_until(lambda: postgres_log(logging_postgres)[before:].count("[sluice 00-") >= 2 and
                          postgres_log(logging_postgres)[before:], 30, "traced statements")
        names = re.findall(r"^\[(sluice [^]]*)\] LOG:  execute (?!.*set_config)", text, re.M)
        traced = [n for n in names if n != "sluice worker"]
        assert traced and all(re.fullmatch(rf"sluice 00-{TRACE}-[0-9a-f]{{16}}-01", n) for n in traced)
        assert CALLER not in "".join(traced), "the span is ours"
        assert names.count("sluice worker") >= 2
        # Over before the next one: nobody else's statement has the name.
        pooled = logging_postgres.connect("named").execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'sluice 00-%'").fetchone()
        assert pooled == (0,)


def test_postgresql_s_log_names_the_trace_of_a_flush(logging_postgres, collector):
    args = ["--otlp-endpoint", collector.endpoint, "--otlp-sample", "0"]
    with Sluice(logging_postgres.create_database("flushes"), args=args) as server:
        run = create_run(server)
        before = len(postgres_log(logging_postgres))
        for step, headers in enumerate((SAMPLED, {}, UNSAMPLED)):
            log_point(server, run, step, headers=headers)
            assert len(history(server, run)) == step + 1
        flush = wait_until(lambda: flushes_of(collector, TRACE), 30, "a span")[0]

        def copies():
            return re.findall(r"^\[([^]]*)\] LOG: +statement: COPY metrics\b", postgres_log(logging_postgres)[before:],
                              re.M)

        names = wait_until(lambda: len(copies()) >= 3 and copies(), 30, "three flushes")
        assert names[0] == f"sluice 00-{TRACE}-{flush.id}-01"
        assert not [n for n in names[1:] if "00-" in n], names


def lines_of(server):
    return [line for line in server.output().splitlines() if "msg=request " in line or '"msg":"request"' in line]


def test_a_line_for_each_request_when_asked(postgres):
    with Sluice(postgres.create_database("lines"), args=["--log-requests", "all"]) as server:
        run = create_run(server, headers=SAMPLED)
        log_point(server, run, 1)
        requests.get(server.url + API + "runs/get", params={"run_id": "s3cret"}, timeout=30,
                     headers={"Authorization": "Bearer s3cret"})
        requests.get(server.url + "/no%20such\"path", timeout=30)
        lines = wait_until(lambda: lines_of(server)[3:] and lines_of(server), 30, "four lines")
        assert len(lines) == 4, "scrapes and probes of admin_listen have none"
        assert re.search(rf"peer=127.0.0.1 msg=request method=POST path={API}runs/create status=200 us=\d+ received=\d+ "
                         rf"sent=\d+ user=- trace={TRACE}$", lines[0]), lines[0]
        assert lines[1].endswith("trace=-")
        assert f"path={API}runs/get status=404" in lines[2] and "s3cret" not in server.output()
        assert "status=404" in lines[3]


def test_slow_and_failed_ones_alone(postgres):
    with Sluice(postgres.create_database("slow"),
                args=["--log-requests", "slow", "--slow-request", "1h", "--log-format", "json"]) as server:
        run = create_run(server)
        assert lines_of(server) == []
        server.stop()
    with Sluice(postgres.create_database("slow2"),
                args=["--log-requests", "slow", "--slow-request", "0s", "--log-format", "json"]) as server:
        run = create_run(server)
        line = json.loads(wait_until(lambda: lines_of(server), 30, "a line")[0])
        assert line["status"] == 200 and line["method"] == "POST" and line["us"] >= 0 and run
