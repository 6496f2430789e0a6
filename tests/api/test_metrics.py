"""/metrics: both formats say the same, by the readers that they are made for, and every name that others
rely on is there."""

import json
import os
import re
import subprocess

import pytest
import requests

from server import ROOT, Sluice

OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLASSIC = "text/plain; version=0.0.4; charset=utf-8"
# What Prometheus 2.42 sends.
ACCEPT = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
TRACE = "0af7651916cd43dd8448eb211c80319c"
# Names that dashboards, alerts and the operator's own tools go by.
PROMISED = {
    "sluice_accepted_points_total", "sluice_applied_points_total", "sluice_deadletter_points_total",
    "sluice_backlog_points", "sluice_backlog_seconds", "sluice_request_seconds_bucket", "sluice_fsync_seconds_bucket",
    "sluice_flush_seconds_bucket", "sluice_ack_seconds_bucket", "sluice_open_connections", "sluice_refused_busy_total",
    # requests by route, 5xx, failed logins, the queue of hashes, the pool of sessions, the upstream
    "sluice_request_seconds_count", "sluice_auth_failures_total", "sluice_auth_throttled_total", "sluice_auth_hashing",
    "sluice_sql_connections", "sluice_sql_busy", "sluice_sql_waiting", "sluice_sql_errors_total",
    "sluice_upstream_requests_total", "sluice_upstream_failures_total", "sluice_upstream_seconds_bucket",
    "sluice_build_info", "sluice_ready", "sluice_journal_disk_bytes", "sluice_journal_max_bytes",
    # a stock server's, with its exporter
    "mlflow_http_request_duration_seconds_bucket", "mlflow_http_request_duration_seconds_sum",
    "mlflow_http_request_duration_seconds_count", "mlflow_http_request_total", "mlflow_exporter_info",
    # every exporter's
    "process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes",
    "process_start_time_seconds", "process_open_fds", "process_max_fds",
}
MLFLOW_BOUNDS = ["0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25", "0.5", "0.75", "1.0", "2.5", "5.0", "7.5",
                 "10.0", "+Inf"]


@pytest.fixture(scope="module")
def server(postgres):
    with Sluice(postgres.create_database("metrics")) as s:
        use(s)
        yield s


def use(server):
    """One of each: a write that is traced, reads, answers of 4xx."""
    api = server.url + "/api/2.0/mlflow/"
    run = requests.post(api + "runs/create", json={"experiment_id": "0"}, timeout=30).json()["run"]["info"]["run_id"]
    point = {"run_id": run, "key": "loss", "value": 0.5, "timestamp": 1, "step": 1}
    said = requests.post(api + "runs/log-metric", json=point, timeout=30,
                         headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    assert said.status_code == 200
    # Not sampled by whoever began it: in no bucket.
    requests.post(api + "runs/log-metric", json={**point, "step": 2}, timeout=30,
                  headers={"traceparent": "00-11111111111111111111111111111111-b7ad6b7169203331-00"})
    requests.get(api + "metrics/get-history", params={"run_id": run, "metric_key": "loss"}, timeout=30)
    requests.get(api + "runs/get", params={"run_id": "none"}, timeout=30)
    requests.get(server.url + "/no/such/path", timeout=30)


def scrape(server, **headers):
    # requests asks for gzip by itself, and takes it apart.
    return requests.get(server.admin_url + "/metrics", timeout=30, headers={"Accept-Encoding": None, **headers})


def parsed(text):
    """By the reader of the OpenMetrics project, which refuses what its standard forbids."""
    said = subprocess.run(["/usr/bin/python3", os.path.join(ROOT, "tests/tools/openmetrics.py")], input=text,
                          text=True, capture_output=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def names_of(text):
    return {re.split(r"[{ ]", line)[0] for line in text.splitlines() if line and line[0] != "#"}


def series_of(text):
    """Everything before the value of each line: names and labels."""
    return {line.split(" # ")[0].rsplit(" ", 1)[0] for line in text.splitlines() if line and line[0] != "#"}


def test_the_format_is_agreed_on(server):
    for accept, kind in ((None, CLASSIC), ("*/*", CLASSIC), (ACCEPT, OPEN), ("application/openmetrics-text", OPEN),
                         ("text/plain;q=0.9, application/openmetrics-text;q=0.1", CLASSIC),
                         ("application/openmetrics-text; version=3.0.0", CLASSIC)):
        answer = scrape(server, Accept=accept)
        assert answer.status_code == 200 and answer.headers["content-type"] == kind, accept
        assert answer.text.endswith("# EOF\n") == (kind == OPEN)


def test_both_formats_have_the_same_series(server):
    classic, opened = scrape(server), scrape(server, Accept=ACCEPT)
    assert series_of(classic.text) ^ series_of(opened.text) == set()
    said = subprocess.run(["promtool", "check", "metrics"], input=classic.text, text=True, capture_output=True,
                          timeout=60, check=False)
    assert said.returncode == 0, said.stdout + said.stderr


def test_openmetrics_is_what_its_own_reader_takes(server):
    families = {f["name"]: f for f in parsed(scrape(server, Accept=ACCEPT).text)}
    assert families["sluice_accepted_points"]["type"] == "counter"
    assert families["sluice_journal_bytes"]["unit"] == "bytes"
    assert families["process_cpu_seconds"]["unit"] == "seconds"
    assert families["sluice_build"]["type"] == "info"
    assert families["sluice_fsync_seconds"]["type"] == "histogram"


def test_a_traced_request_stands_in_its_buckets(server):
    families = {f["name"]: f for f in parsed(scrape(server, Accept=ACCEPT).text)}
    for name in ("sluice_request_seconds", "sluice_ack_seconds", "mlflow_http_request_duration_seconds"):
        traced = [s for s in families[name]["samples"] if s[3]]
        assert [s[3] for s in traced] == [{"trace_id": TRACE}], name
        assert traced[0][2] >= 1
    assert traced[0][1]["method"] == "POST" and traced[0][1]["status"] == "200"
    assert "trace_id" not in scrape(server).text


def test_every_promised_name_is_there(server):
    assert PROMISED - names_of(scrape(server).text) == set()


def test_the_page_lists_exactly_what_is_served(server):
    with open(os.path.join(ROOT, "docs/metrics.md"), encoding="utf-8") as f:
        listed = set(re.findall(r"^\| `([a-z_]+)", f.read(), re.M))
    heads = set(re.findall(r"^# TYPE (\S+) ", scrape(server).text, re.M))
    assert heads ^ listed == set()


def test_names_of_a_stock_server(server):
    families = {f["name"]: f for f in parsed(scrape(server, Accept=ACCEPT).text)}
    duration = families["mlflow_http_request_duration_seconds"]["samples"]
    bounds = [s[1]["le"] for s in duration if s[0].endswith("_bucket") and s[1]["method"] == "POST"
              and s[1]["status"] == "200"]
    assert bounds == MLFLOW_BOUNDS
    assert {frozenset(s[1]) for s in duration} == {frozenset({"le", "method", "status", "mlflow_version"}),
                                                   frozenset({"method", "status", "mlflow_version"})}
    assert {s[1]["mlflow_version"] for s in duration} == {"3.17.2"}
    counted = {(s[1]["method"], s[1]["status"]): s[2] for s in families["mlflow_http_request"]["samples"]}
    # create, two points; history; a run that is not there and a path that is not.
    assert counted == {("POST", "200"): 3, ("GET", "200"): 1, ("GET", "404"): 2}
    probes = scrape(server).text
    for path in ("/health", "/version", "/livez", "/sluice/api/v1/status", "/metrics"):
        requests.get(server.url + path, timeout=30)
    again = {(s[1]["method"], s[1]["status"]): s[2] for f in parsed(scrape(server, Accept=ACCEPT).text)
             if f["name"] == "mlflow_http_request" for s in f["samples"]}
    assert again == counted and probes


def test_compressed_when_asked(server):
    plain, packed = scrape(server), scrape(server, **{"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip" and "Accept-Encoding" in packed.headers["vary"]
    assert series_of(packed.text) == series_of(plain.text)
    assert int(packed.headers["content-length"]) * 4 < len(plain.content)
    assert "content-encoding" not in scrape(server, **{"Accept-Encoding": "gzip;q=0, br"}).headers


def test_labels_are_bounded_by_the_program(server):
    before = series_of(scrape(server).text)
    for n in range(50):
        requests.get(f"{server.url}/unknown/{n}", timeout=30)
        requests.request(f"VERB{n}", f"{server.url}/unknown", timeout=30)
        requests.post(f"{server.url}/api/2.0/mlflow/runs/{n}", timeout=30)
    after = {s for s in series_of(scrape(server).text) - before if "_bucket" not in s}
    assert len(after) <= 8, after
