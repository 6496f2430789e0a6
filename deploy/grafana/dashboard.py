#!/usr/bin/env python3
"""Writes deploy/grafana/sluice.json, the dashboard, from the rows below.

    deploy/grafana/dashboard.py FOLDER

`make docs` runs it with deploy/grafana; the deploy suite compares and asks a real Prometheus every query.
Standard library only. A row: title, unit, what it shows, and queries with their legends. $job is the
scrape job, $instance one or more of its targets.
"""

import json
import os
import sys

JOB = '{job="$job",instance=~"$instance"}'


def rate(metric, by=""):
    group = f" by ({by})" if by else ""
    return f"sum{group} (rate({metric}{JOB}[$__rate_interval]))"


def quantile(q, metric, by="le"):
    return f"histogram_quantile({q}, sum by ({by}) (rate({metric}_bucket{JOB}[$__rate_interval])))"


def quantiles(metric):
    return [(quantile(q, metric + "_seconds"), name) for q, name in
            ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))]


def each(metric, legend="{{instance}}"):
    return [(metric + JOB, legend)]


ROWS = [
    ("At a glance", [
        ("Accepted points", "short", "Points answered as durable, a second.",
         [(rate("sluice_accepted_points_total"), "accepted")]),
        ("Applied points", "short", "Points committed to PostgreSQL, a second.",
         [(rate("sluice_applied_points_total"), "applied")]),
        ("Oldest point not in PostgreSQL", "s", "The largest over the pods says it all.",
         [(f"max (sluice_backlog_seconds{JOB})", "age")]),
        ("Answers 5xx", "percentunit", "Share of all answers.",
         # None of them is 0, not nothing.
         [('(sum (rate(sluice_request_seconds_count{job="$job",instance=~"$instance",code="5xx"}'
           f"[$__rate_interval])) or vector(0)) / {rate('sluice_request_seconds_count')}", "5xx")]),
    ]),
    ("Traffic", [
        ("Requests by route", "reqps", "Answers a second, the ten busiest routes.",
         [(f"topk(10, {rate('sluice_request_seconds_count', 'route')})", "{{route}}")]),
        ("Answers by class", "reqps", "2xx, 4xx, 5xx a second.",
         [(rate("sluice_request_seconds_count", "code"), "{{code}}")]),
        ("Points", "short", "Accepted, applied, repeated (sent more than once), a second.",
         [(rate("sluice_accepted_points_total"), "accepted"),
          (rate("sluice_applied_points_total"), "applied"),
          (rate("sluice_repeated_points_total"), "repeated")]),
        ("Refused", "reqps", "429 for want of room, and connections turned away, a second.",
         [(rate("sluice_refused_busy_total"), "429"),
          (rate("sluice_connections_refused_total"), "connections"),
          (rate("sluice_connections_dropped_total"), "dropped")]),
        ("Connections", "short", "Open now.", each("sluice_open_connections")),
        ("Bytes", "Bps", "From and to clients, a second.",
         [(rate("sluice_received_bytes_total"), "received"), (rate("sluice_sent_bytes_total"), "sent")]),
    ]),
    ("Latency", [
        ("Writes with points", "s", "From the whole request to the answer.",
         quantiles("sluice_ack")),
        ("p99 by route", "s", "The ten slowest routes.",
         [(f"topk(10, {quantile(0.99, 'sluice_request_seconds', 'le,route')})", "{{route}}")]),
        ("Statements for clients", "s", "From asking to the result.", quantiles("sluice_sql_wait")),
        ("Turns of a worker", "s", "CPU time; nobody else of that worker is served meanwhile.",
         quantiles("sluice_worker_turn")),
    ]),
    ("Durability", [
        ("fdatasync", "s", "One of the journal.", quantiles("sluice_fsync")),
        ("Syncs and bytes", "short", "Syncs, and points for each of them.",
         [(rate("sluice_journal_syncs_total"), "syncs/s"),
          (f"{rate('sluice_accepted_points_total')} / {rate('sluice_journal_syncs_total')}",
           "points a sync")]),
        ("Backlog", "short", "Points accepted and not yet in PostgreSQL.",
         each("sluice_backlog_points")),
        ("Journal on disk", "bytes", "At the limit writes are answered 429.",
         each("sluice_journal_disk_bytes") + [(f"min (sluice_journal_max_bytes{JOB})", "limit")]),
        ("Lost and damaged", "short", "Writes answered 503, syncs that failed, bytes found corrupt.",
         [(rate("sluice_lost_batches_total"), "503/s"), (rate("sluice_journal_failures_total"), "failures/s"),
          (f"max (sluice_journal_quarantined_bytes_total{JOB})", "corrupt bytes")]),
        ("Dead letters", "short", "Points that PostgreSQL refused, in all.",
         each("sluice_deadletter_points_total")),
    ]),
    ("Flush and PostgreSQL", [
        ("Windows", "s", "From taking one to its commit.", quantiles("sluice_flush")),
        ("Age at the commit", "s", "Of a window's oldest point.", quantiles("sluice_window_age")),
        ("Windows a second", "short", "In all, through the staged path, tried again.",
         [(rate("sluice_windows_total"), "windows"), (rate("sluice_windows_staged_total"), "staged"),
          (rate("sluice_window_retries_total"), "retries")]),
        ("Flushers", "short", "Connected, and those that hold until somebody acts.",
         [(f"sum (sluice_flusher_connected{JOB})", "connected"),
          (f"sum (sluice_flusher_held{JOB})", "held"),
          (f"sum (sluice_flusher_overdue{JOB})", "overdue"),
          (f"sum (sluice_deadletter_held{JOB})", "held by dead letters")]),
        ("Statements", "short", "Run, and failed, a second.",
         [(rate("sluice_sql_calls_total"), "calls"), (rate("sluice_sql_errors_total"), "errors"),
          (rate("sluice_sql_connects_total"), "connects")]),
        ("Reads that wait", "short", "For the run's own points; behind = answered before they were there.",
         [(rate("sluice_read_waits_total"), "waits"), (rate("sluice_read_behind_total"), "behind")]),
    ]),
    ("Sessions with PostgreSQL", [
        ("Sessions", "short", "Of workers: open, with a statement under way, and statements that wait for one.",
         [(f"sum (sluice_sql_connections{JOB})", "open"), (f"sum (sluice_sql_busy{JOB})", "busy"),
          (f"sum (sluice_sql_waiting{JOB})", "waiting")]),
        ("Runs known", "percentunit", "Share of look-ups of a run that ask PostgreSQL.",
         [(f"{rate('sluice_run_misses_total')} / ({rate('sluice_run_misses_total')} + "
           f"{rate('sluice_run_hits_total')})", "asked")]),
        ("Memory of open requests", "bytes", "Bodies, and what is made of them.", each("sluice_held_bytes")),
    ]),
    ("Authentication", [
        ("Logins", "reqps", "Known; hashed to check them; wrong; turned away for too many that were wrong.",
         [(rate("sluice_auth_hits_total"), "known"), (rate("sluice_auth_checks_total"), "hashed"),
          (rate("sluice_auth_failures_total"), "wrong"), (rate("sluice_auth_throttled_total"), "turned away")]),
        ("Passwords in hand", "short", "Hashed, or waiting for it.", each("sluice_auth_hashing")),
        ("Not permitted", "reqps", "Answers 403, a second.", [(rate("sluice_may_refused_total"), "403")]),
    ]),
    ("Upstream", [
        ("Passed on", "reqps", "Requests for the stock server, those it did not answer, and those sent once more.",
         [(rate("sluice_upstream_requests_total"), "requests"), (rate("sluice_upstream_failures_total"), "failures"),
          (rate("sluice_upstream_retries_total"), "again")]),
        ("Its answers", "s", "From passing a request on to the head of the answer.", quantiles("sluice_upstream")),
        ("Connections to it", "short", "In all, idle, and workers that have given it up for a moment.",
         [(f"sum (sluice_upstream_connections{JOB})", "open"), (f"sum (sluice_upstream_idle{JOB})", "idle"),
          (f"sum (sluice_upstream_given_up{JOB})", "given up")]),
    ]),
    ("Redis", [
        ("Shared with other pods", "ops", "Positions told, looked for, waited for; went on without it.",
         [(rate("sluice_redis_shares_total"), "told"), (rate("sluice_redis_looks_total"), "looked for"),
          (rate("sluice_redis_waits_total"), "waited for"), (rate("sluice_redis_skipped_total"), "without")]),
        ("Connections lost", "short", "A second.", [(rate("sluice_redis_losses_total"), "lost")]),
    ]),
    ("Traces", [
        ("Spans", "short", "Taken by the collector, and dropped, a second.",
         [(rate("sluice_spans_sent_total"), "sent"), (rate("sluice_spans_dropped_total"), "dropped")]),
    ]),
    ("Kafka", [
        ("Entries", "short", "Acknowledged, and not, a second.",
         [(rate("sluice_kafka_delivered_total"), "delivered"), (rate("sluice_kafka_failures_total"), "failures")]),
        ("Partitions", "short", "Read by each flusher, and held.",
         each("sluice_kafka_partitions") + [(f"sum (sluice_kafka_held_partitions{JOB})", "held")]),
    ]),
    ("Processes", [
        ("Resident memory", "bytes", "", each("process_resident_memory_bytes")),
        ("CPU", "short", "Cores in use.",
         [(rate("process_cpu_seconds_total", "instance"), "{{instance}}")]),
        ("Descriptors", "short", "Open, and the limit.",
         each("process_open_fds") + [(f"min (process_max_fds{JOB})", "limit")]),
        ("Ready", "short", "1 where /readyz answers 200.", each("sluice_ready")),
    ]),
]
WIDTH, HEIGHT, COLUMNS = 8, 8, 24


def panel(number, place, title, unit, what, queries):
    source = {"type": "prometheus", "uid": "$datasource"}
    return {
        "id": number, "type": "timeseries", "title": title, "description": what, "datasource": source,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": {"fillOpacity": 8}},
                        "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"},
                    "tooltip": {"mode": "multi", "sort": "desc"}},
        "targets": [{"refId": chr(65 + i), "datasource": source, "expr": expr, "legendFormat": legend}
                    for i, (expr, legend) in enumerate(queries)],
    }


def panels():
    out, y = [], 0
    for title, row in ROWS:
        out.append({"id": len(out) + 1, "type": "row", "title": title, "collapsed": False,
                    "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}, "panels": []})
        y += 1
        wide = COLUMNS // len(row) if len(row) <= 4 else WIDTH
        across = COLUMNS // wide
        for i, (name, unit, what, queries) in enumerate(row):
            place = {"x": i % across * wide, "y": y + i // across * HEIGHT, "w": wide, "h": HEIGHT}
            out.append(panel(len(out) + 1, place, name, unit, what, queries))
        y += (len(row) + across - 1) // across * HEIGHT
    return out


def variable(name, query, many):
    return {"name": name, "type": "query", "datasource": {"type": "prometheus", "uid": "$datasource"},
            "query": {"query": query, "refId": name}, "refresh": 2, "multi": many, "includeAll": many,
            "allValue": ".*", "current": {}, "sort": 1}


def dashboard():
    return {
        "uid": "sluice", "title": "Sluice", "tags": ["mlflow", "sluice"], "schemaVersion": 38,
        "editable": True, "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "timezone": "",
        "templating": {"list": [
            {"name": "datasource", "type": "datasource", "query": "prometheus", "current": {}},
            variable("job", "label_values(sluice_build_info, job)", False),
            variable("instance", 'label_values(sluice_build_info{job="$job"}, instance)', True)]},
        "annotations": {"list": [{
            "name": "starts", "enable": True, "iconColor": "blue",
            "datasource": {"type": "prometheus", "uid": "$datasource"},
            "expr": f"changes(process_start_time_seconds{JOB}[1m]) > 0", "titleFormat": "{{instance}} started"}]},
        "panels": panels(),
    }


if __name__ == "__main__":
    with open(os.path.join(sys.argv[1], "sluice.json"), "w", encoding="utf-8") as f:
        json.dump(dashboard(), f, indent=1)
        f.write("\n")
