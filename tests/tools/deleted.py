"""A database with things deleted long ago, just now, and not at all, a row at least in each table that
refers to experiments, runs or logged models; for tests of `sluice gc` beside `mlflow gc`.

Rows are written as they would stand, because no call of MLflow's says when something was deleted.
"""

import os
import pathlib
import time
import uuid

DAY_MS = 86400 * 1000
OLD_MS, NEW_MS = 30 * DAY_MS, 60 * 1000  # ago


def columns(pg, table):
    return pg.execute(
        "SELECT column_name, data_type, character_maximum_length FROM information_schema.columns"
        " WHERE table_schema = 'public' AND table_name = %s AND is_nullable = 'NO'"
        " AND column_default IS NULL AND is_identity = 'NO' AND is_generated = 'NEVER'",
        (table,)).fetchall()


VALUES = {"bigint": 1700000000000, "integer": 2, "double precision": 0.5, "boolean": True,
          "date": "2026-01-31", "json": "{}"}


def insert(pg, table, **given):
    """One row: what is given, and something for every other column that must have a value."""
    row = {}
    for name, kind, length in columns(pg, table):
        text = uuid.uuid4().hex
        row[name] = VALUES.get(kind, text[:length] if length else text)
    row.update(given)
    names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
    pg.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))
    return row


class Deleted:
    """Makes experiments, runs and models in the database of `pg`; artifacts below `folder`."""

    def __init__(self, pg, folder):
        self.pg = pg
        self.folder = pathlib.Path(folder)
        self.now_ms = int(time.time() * 1000)

    def files(self, uri):
        """Some files where the URI says: of a path, or of mlflow-artifacts below the destination."""
        at = self.folder / "served" / uri.removeprefix("mlflow-artifacts:/").lstrip("/")
        if uri.startswith("/"):
            at = pathlib.Path(uri)
        for name in ("a.txt", "deep/er/b.txt"):
            (at / name).parent.mkdir(parents=True, exist_ok=True)
            (at / name).write_text(name)

    def experiment(self, ago_ms=None, root="mlflow-artifacts:"):
        """ago_ms: deleted then; None = active."""
        when = self.now_ms - (ago_ms or 0)
        row = self.pg.execute(
            "INSERT INTO experiments (name, lifecycle_stage, creation_time, last_update_time)"
            " VALUES (%s, %s, 1, %s) RETURNING experiment_id",
            (uuid.uuid4().hex, "active" if ago_ms is None else "deleted", when)).fetchone()
        self.pg.execute("UPDATE experiments SET artifact_location = %s WHERE experiment_id = %s",
                        (f"{root}/{row[0]}", row[0]))
        return row[0]

    def location(self, experiment):
        return self.pg.execute("SELECT artifact_location FROM experiments WHERE experiment_id = %s",
                               (experiment,)).fetchone()[0]

    def run(self, experiment, ago_ms=None, points=5):
        run = uuid.uuid4().hex
        uri = f"{self.location(experiment)}/{run}/artifacts"
        self.pg.execute(
            "INSERT INTO runs (run_uuid, name, user_id, status, start_time, lifecycle_stage,"
            " artifact_uri, experiment_id, deleted_time, source_type)"
            " VALUES (%s, 'r', 'u', 'FINISHED', 1, %s, %s, %s, %s, 'LOCAL')",
            (run, "active" if ago_ms is None else "deleted", uri, experiment,
             None if ago_ms is None else self.now_ms - ago_ms))
        self.pg.execute("INSERT INTO metrics (key, value, timestamp, run_uuid, step) SELECT 'm', 1, i,"
                        " %s, i FROM generate_series(1, %s) AS i", (run, points))
        self.pg.execute("INSERT INTO latest_metrics VALUES ('m', 1, 1, 1, false, %s)", (run,))
        self.pg.execute("INSERT INTO params VALUES ('p', 'v', %s)", (run,))
        self.pg.execute("INSERT INTO tags VALUES ('t', 'v', %s)", (run,))
        insert(self.pg, "inputs", destination_type="RUN", destination_id=run)
        self.files(uri)
        return run

    def model(self, experiment, run, ago_ms=None):
        model = "m-" + uuid.uuid4().hex
        uri = f"{self.location(experiment)}/models/{model}/artifacts"
        insert(self.pg, "logged_models", model_id=model, experiment_id=experiment,
               artifact_location=uri, status=1, source_run_id=run,
               last_updated_timestamp_ms=self.now_ms - (ago_ms or 0),
               lifecycle_stage="active" if ago_ms is None else "deleted")
        for table in ("logged_model_params", "logged_model_tags"):
            insert(self.pg, table, model_id=model, experiment_id=experiment)
        insert(self.pg, "logged_model_metrics", model_id=model, experiment_id=experiment, run_id=run)
        self.files(uri)
        return model

    def everything(self, experiment, run):
        """A row of everything that refers to an experiment."""
        pg, e = self.pg, {"experiment_id": experiment}
        for table in ("experiment_tags", "datasets", "label_schemas", "endpoints",
                      "sql_trace_metric_daily_rollups", "sql_span_cost_daily_rollups",
                      "sql_assessment_daily_rollups", "sql_trace_rollup_rebuild_queue"):
            insert(pg, table, **e)
        insert(pg, "issues", source_run_id=run, **e)
        trace = insert(pg, "trace_info", **e)["request_id"]
        for table in ("trace_tags", "trace_request_metadata", "trace_metrics"):
            insert(pg, table, request_id=trace)
        span = insert(pg, "spans", trace_id=trace, **e)["span_id"]
        insert(pg, "span_metrics", trace_id=trace, span_id=span)
        insert(pg, "assessments", trace_id=trace, run_id=run, **e)
        scorer = insert(pg, "scorers", **e)["scorer_id"]
        insert(pg, "scorer_versions", scorer_id=scorer)
        insert(pg, "online_scoring_configs", scorer_id=scorer, **e)
        queue = insert(pg, "review_queues", **e)["queue_id"]
        for table in ("review_queue_items", "review_queue_label_schemas", "review_queue_users"):
            insert(pg, table, queue_id=queue)

    def job(self, status, ago_ms):
        job = insert(self.pg, "jobs", status=status, creation_time=self.now_ms - ago_ms)["id"]
        insert(self.pg, "job_locks", job_id=job)
        return job


def rows(pg):
    """All rows of all tables, as text, by table."""
    tables = [t for t, in pg.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"
        " AND table_type = 'BASE TABLE' ORDER BY 1")]
    return {t: sorted(r for r, in pg.execute(f'SELECT t::text FROM "{t}" AS t')) for t in tables}


def paths(folder):
    """Every file and directory below folder."""
    return sorted(os.path.relpath(os.path.join(at, name), folder)
                  for at, folders, files in os.walk(folder) for name in folders + files)
