"""`sluice gc` beside `mlflow gc`: the same database and files twice, one for each, and what is left of
both compared, every row of every table and every file. Then what only Sluice promises: to be safe
beside writers, and to finish what was killed.
"""

import http.server
import random
import shutil
import signal
import subprocess
import threading
import time
import uuid

import psycopg
import pytest
import requests
from click.testing import CliRunner

from conftest import STOCK_ONLY
from deleted import NEW_MS, OLD_MS, Deleted, paths, rows
from s3 import S3
from server import BINARY, Sluice, clean_environment, wait_until

pytestmark = pytest.mark.skipif(STOCK_ONLY, reason="a command of Sluice")


def gc(uri, *args, env=None, binary=None):
    """The finished command."""
    return subprocess.run([binary or BINARY, "gc", "--pg-uri", uri, *args], capture_output=True, text=True,
                          timeout=240, env=clean_environment(env), check=False)


def mlflow_gc(uri, tracking, *args):
    from mlflow.cli import gc as command

    return CliRunner().invoke(command, [
        "--backend-store-uri", uri.replace("postgresql://", "postgresql+psycopg://", 1),
        "--tracking-uri", tracking, *args])


class State:
    """A database and a folder, made once, copied for each use."""

    def __init__(self, postgres, folder):
        self.postgres = postgres
        self.folder = folder
        self.name = "gc_" + uuid.uuid4().hex[:8]
        self.copies = []
        self.uri = postgres.create_database(self.name)
        subprocess.run([BINARY, "schema", "create", "--pg-uri", self.uri], check=True,
                       capture_output=True, env=clean_environment())
        self.ids = {}
        with psycopg.connect(self.uri, autocommit=True) as pg:
            self.fill(Deleted(pg, folder))

    def fill(self, d):
        kept = self.ids["kept"] = d.experiment()
        local = self.ids["local"] = d.experiment(root=str(d.folder / "direct"))
        old = self.ids["old"] = d.experiment(OLD_MS)
        new = self.ids["new"] = d.experiment(NEW_MS)
        for experiment in (kept, local):
            self.ids[f"active{experiment}"] = active = d.run(experiment)
            d.run(experiment, OLD_MS)
            d.run(experiment, NEW_MS)
            d.model(experiment, active)
            d.model(experiment, active, OLD_MS)
            d.model(experiment, active, NEW_MS)
            d.everything(experiment, active)
        self.ids["active"] = self.ids[f"active{kept}"]
        self.ids["old_run"], self.ids["new_run"] = d.run(kept, OLD_MS), d.run(kept, NEW_MS)
        self.ids["old_model"] = d.model(kept, self.ids["old_run"], OLD_MS)
        self.ids["new_model"] = d.model(local, self.ids["active"], NEW_MS)
        self.ids["live_model"] = d.model(local, self.ids["active"])
        for experiment, ago_ms in ((old, OLD_MS), (new, NEW_MS)):
            run = d.run(experiment, ago_ms)
            d.everything(experiment, run)
            d.model(experiment, run, ago_ms)
        d.run(old)  # active in a deleted experiment, as a server before us may leave one
        self.ids["job"] = d.job(2, OLD_MS)
        for status in range(7):
            d.job(status, NEW_MS)
            d.job(status, OLD_MS)

    def copy(self):
        name = f"{self.name}_{len(self.copies)}"
        folder = self.folder.parent / name
        self.copies.append(name)
        shutil.copytree(self.folder, folder)
        uri = self.postgres.create_database(name, self.name)
        with psycopg.connect(uri, autocommit=True) as pg:
            for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location"),
                                  ("logged_models", "artifact_location")):
                pg.execute(f"UPDATE {table} SET {column} = replace({column}, %s, %s)",
                           (str(self.folder), str(folder)))
        return uri, folder

    def drop(self):
        for name in self.copies + [self.name]:
            self.postgres.drop_database(name)


@pytest.fixture(scope="module")
def state(postgres, tmp_path_factory):
    made = State(postgres, tmp_path_factory.mktemp("gc") / "made")
    yield made
    made.drop()


def left(uri, folder):
    """What is left, with the folder's own name taken out."""
    with psycopg.connect(uri, autocommit=True) as pg:
        table_rows = {table: [r.replace(str(folder), "FOLDER") for r in texts]
                      for table, texts in rows(pg).items()}
    return table_rows, paths(folder)


def assert_same(ours, theirs):
    for table in theirs[0]:
        assert ours[0][table] == theirs[0][table], table
    assert ours[1] == theirs[1]


CASES = {
    "all": [],
    "older": ["--older-than", "7d12h"],
    "no_age": ["--older-than", ""],
    "runs": ["--run-ids", "{old_run},{new_run}"],
    "experiments": ["--experiment-ids", "{old}"],
    "models": ["--logged-model-ids", "{old_model}"],
    "older_ids": ["--older-than", "1d", "--run-ids", "{old_run}", "--logged-model-ids",
                  "{old_model}", "--experiment-ids", "{old}"],
    "jobs": ["--jobs"],
    "older_jobs": ["--older-than", "1.5d", "--jobs"],
    "job_ids": ["--job-ids", "{job},nobody"],
}


@pytest.mark.parametrize("case", CASES)
def test_leaves_what_mlflow_gc_leaves(state, case):
    args = [word.format_map(state.ids) for word in CASES[case]]
    (ours, our_folder), (theirs, their_folder) = state.copy(), state.copy()
    served = str(their_folder / "served")
    with Sluice(theirs, args=["--artifacts-destination", served]) as server:
        reference = mlflow_gc(theirs, server.url, *args)
    assert reference.exit_code == 0, (reference.output, reference.exception)
    before = left(ours, our_folder)
    done = gc(ours, "--artifacts-destination", str(our_folder / "served"), *args)
    assert done.returncode == 0, done.stderr
    after = left(ours, our_folder)
    assert_same(after, left(theirs, their_folder))
    assert after != before
    printed = [line for line in reference.output.splitlines() if "permanently deleted" in line]
    assert sorted(done.stdout.splitlines()) == sorted(printed) and printed
    again = gc(ours, "--artifacts-destination", str(our_folder / "served"), *args)
    if case in ("all", "no_age", "older", "jobs", "older_jobs"):
        assert again.returncode == 0 and again.stdout == "" and left(ours, our_folder) == after


REFUSED = {
    "age": ["--older-than", "3 days"],
    "age_order": ["--older-than", "5m1d"],
    "active_run": ["--run-ids", "{active}"],
    "young_run": ["--older-than", "1d", "--run-ids", "{new_run}", "--experiment-ids", "{old}"],
    "unknown_run": ["--run-ids", "nobody", "--experiment-ids", "{old}"],
    "active_experiment": ["--experiment-ids", "{kept}"],
    "young_experiment": ["--older-than", "1d", "--experiment-ids", "{new}"],
    "unknown_experiment": ["--experiment-ids", "987654"],
    "no_experiment": ["--experiment-ids", "abc"],
    "live_model": ["--logged-model-ids", "{live_model}", "--older-than", "1d", "--experiment-ids", "{old}"],
    "young_model": ["--logged-model-ids", "{new_model}", "--older-than", "1d", "--experiment-ids", "{old}"],
    "unknown_model": ["--logged-model-ids", "m-nobody", "--older-than", "1d", "--experiment-ids", "{old}"],
}


@pytest.fixture(scope="module")
def refusing(state):
    """Two copies: of ours nothing may go; MLflow removes what it meets before what it refuses."""
    ours, (theirs, their_folder) = state.copy(), state.copy()
    with Sluice(theirs, args=["--artifacts-destination", str(their_folder / "served")]) as server:
        yield ours, theirs, server


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_in_mlflows_words(state, refusing, case):
    (ours, folder), theirs, server = refusing
    args = [word.format_map(state.ids) for word in REFUSED[case]]
    reference = mlflow_gc(theirs, server.url, *args)
    assert reference.exit_code == 1 and reference.exception
    before = left(ours, folder)
    done = gc(ours, "--artifacts-destination", str(folder / "served"), *args)
    assert done.returncode in (1, 2)
    words = getattr(reference.exception, "message", str(reference.exception))
    assert words in done.stderr, (words, done.stderr)
    assert left(ours, folder) == before and done.stdout == ""


def test_one_young_run_of_an_old_experiment_stops_it_after_all_others(state):
    """MLflow stops at it, wherever its place in a Python set is."""
    uri, folder = state.copy()
    with psycopg.connect(uri, autocommit=True) as pg:
        young = Deleted(pg, folder).run(state.ids["old"], NEW_MS)
    done = gc(uri, "--older-than", "1d", "--artifacts-destination", str(folder / "served"))
    assert done.returncode == 1
    assert f"Run {young} is not older than the required age. Only runs older than 1d" in done.stderr
    assert state.ids["old_run"] in done.stdout and "Experiment" not in done.stdout


def test_dry_run_says_what_would_go_and_touches_nothing(state):
    uri, folder = state.copy()
    where = ["--artifacts-destination", str(folder / "served")]
    before = left(uri, folder)
    said = gc(uri, *where, "--dry-run", "--jobs")
    assert said.returncode == 0 and left(uri, folder) == before
    done = gc(uri, *where, "--jobs")
    would = said.stdout.replace("would be", "has been").splitlines()
    assert sorted(would) == sorted(done.stdout.splitlines())
    assert len(done.stdout.splitlines()) > 10


def test_artifacts_go_through_the_server_that_is_named(state):
    (ours, our_folder), (theirs, their_folder) = state.copy(), state.copy()
    with Sluice(ours, args=["--artifacts-destination", str(our_folder / "served")]) as server:
        done = gc(ours, "--artifacts-destination", "/nowhere", "--tracking-uri", server.url + "/")
        by_environment = gc(theirs, env={"MLFLOW_TRACKING_URI": "http://user:secret@127.0.0.1:1"})
    assert done.returncode == 0, done.stderr
    assert gc(theirs, "--artifacts-destination", str(their_folder / "served")).returncode == 0
    assert_same(left(ours, our_folder), left(theirs, their_folder))
    assert by_environment.returncode == 1 and "tracking server gave no answer" in by_environment.stderr
    assert "secret" not in by_environment.stderr


def test_a_destination_that_is_not_there_removes_no_row(state):
    uri, folder = state.copy()
    with psycopg.connect(uri, autocommit=True) as pg:
        before = rows(pg)
        done = gc(uri, "--artifacts-destination", str(folder / "elsewhere"), "--run-ids",
                  state.ids["old_run"])
        assert done.returncode == 1 and "--artifacts-destination" in done.stderr
        assert rows(pg) == before


def test_a_store_that_is_not_built_keeps_its_run_and_experiment(state):
    uri, folder = state.copy()
    run = uuid.uuid4().hex
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute("UPDATE runs SET artifact_uri = %s WHERE run_uuid = %s",
                   (f"gs://bucket/1/{run}/artifacts", state.ids["old_run"]))
        done = gc(uri, "--artifacts-destination", str(folder / "served"))
        assert done.returncode == 1 and state.ids["old_run"] in done.stderr
        assert pg.execute("SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'").fetchone()[0] == 1


def test_links_are_removed_and_not_followed(state):
    uri, folder = state.copy()
    precious = folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    with psycopg.connect(uri, autocommit=True) as pg:
        d = Deleted(pg, folder)
        run, away = d.run(state.ids["kept"], OLD_MS), d.run(state.ids["local"], OLD_MS)
    inside = folder / "served" / str(state.ids["kept"]) / run / "artifacts" / "link"
    inside.symlink_to(precious)
    whole = folder / "direct" / str(state.ids["local"]) / away
    shutil.rmtree(whole)
    (precious / "artifacts").mkdir()
    whole.symlink_to(precious)
    done = gc(uri, "--artifacts-destination", str(folder / "served"), "--run-ids", run,
              "--experiment-ids", str(state.ids["new"]), "--logged-model-ids", state.ids["old_model"])
    assert done.returncode == 0, done.stderr
    assert not inside.parent.exists() and (precious / "file").read_text() == "x"
    done = gc(uri, "--artifacts-destination", str(folder / "served"), "--run-ids", away)
    assert done.returncode == 1 and (precious / "artifacts").exists()


HOSTILE = {
    "file_scheme": "mlflow-artifacts:/file:{kept}%3F",
    "parent": "mlflow-artifacts:/x%252f..%252f{kept}",
    "fragment": "mlflow-artifacts:/{kept}%23",
    "no_api": "http://127.0.0.1:1/{kept}",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_location_that_is_refused_keeps_its_run_and_stops_nothing_else(state, case):
    """A location is the word of whoever may create an experiment."""
    uri, folder = state.copy()
    root = HOSTILE[case].format_map(state.ids)
    with psycopg.connect(uri, autocommit=True) as pg:
        d = Deleted(pg, folder)
        thief = d.experiment(OLD_MS, root="mlflow-artifacts:/thief")
        run = d.run(thief, OLD_MS)
        pg.execute("UPDATE runs SET artifact_uri = %s || '/' || run_uuid || '/artifacts' WHERE run_uuid = %s",
                   (root, run))
        before = paths(folder / "served" / str(state.ids["kept"]) / state.ids["active"])
        done = gc(uri, "--artifacts-destination", str(folder / "served"))
        assert done.returncode == 1 and f"Run {run} cannot" in done.stderr, done.stderr
        assert pg.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted'").fetchall() == [(run,)]
        assert pg.execute("SELECT 1 FROM experiments WHERE experiment_id = %s", (thief,)).fetchone()
        assert paths(folder / "served" / str(state.ids["kept"]) / state.ids["active"]) == before


def test_a_model_that_is_left_keeps_its_experiment(state):
    uri, folder = state.copy()
    with psycopg.connect(uri, autocommit=True) as pg:
        d = Deleted(pg, folder)
        experiment = d.experiment(OLD_MS)
        model = d.model(experiment, d.run(experiment, OLD_MS), OLD_MS)
        pg.execute("UPDATE logged_models SET artifact_location = %s WHERE model_id = %s",
                   (f"gs://bucket/models/{model}/artifacts", model))
        done = gc(uri, "--artifacts-destination", str(folder / "served"))
        assert done.returncode == 1 and model in done.stderr
        assert pg.execute("SELECT 1 FROM logged_models WHERE model_id = %s", (model,)).fetchone()


# -- workspaces ------------------------------------------------------------------------------------


@pytest.fixture
def two_spaces(state):
    uri, folder = state.copy()
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute("INSERT INTO workspaces (name) VALUES ('default'), ('other') ON CONFLICT DO NOTHING")
        pg.execute("UPDATE experiments SET workspace = 'other', artifact_location ="
                   " 'mlflow-artifacts:/workspaces/other/' || experiment_id WHERE experiment_id = %s",
                   (state.ids["old"],))
        pg.execute("UPDATE jobs SET workspace = 'other' WHERE id = %s", (state.ids["job"],))
        yield uri, folder, pg


def deleted_in(pg):
    return dict(pg.execute("SELECT workspace, count(*) FROM experiments WHERE lifecycle_stage ="
                           " 'deleted' GROUP BY 1").fetchall())


def test_the_default_workspace_alone_without_a_flag(state, two_spaces):
    uri, folder, pg = two_spaces
    assert gc(uri, "--artifacts-destination", str(folder / "served")).returncode == 0
    assert deleted_in(pg) == {"other": 1}
    assert gc(uri, "--artifacts-destination", str(folder / "served"), "--workspace", "other",
              "--jobs").returncode == 0
    assert deleted_in(pg) == {}
    assert pg.execute("SELECT count(*) FROM jobs WHERE id = %s", (state.ids["job"],)).fetchone()[0] == 0
    assert pg.execute("SELECT count(*) FROM jobs").fetchone()[0] == 14


def test_what_is_served_in_a_workspace_lies_below_its_folder(state, two_spaces):
    """Locations without it, as before there were workspaces in an experiment's, are below it as well."""
    uri, folder, pg = two_spaces
    d = Deleted(pg, folder)
    run = d.run(state.ids["old"], OLD_MS)
    there = folder / "served" / "workspaces" / "other" / str(state.ids["old"]) / run
    assert (there / "artifacts" / "a.txt").exists()
    other = d.run(state.ids["old"], OLD_MS)
    bare = there.parent / other / "artifacts"
    pg.execute("UPDATE runs SET artifact_uri = %s WHERE run_uuid = %s",
               (f"mlflow-artifacts:/{state.ids['old']}/{other}/artifacts", other))
    assert bare.exists()
    done = gc(uri, "--artifacts-destination", str(folder / "served"), "--workspace", "other")
    assert done.returncode == 0, done.stderr
    assert not (there / "artifacts").exists() and not bare.exists()


def test_all_workspaces_ignore_ids_of_others(state, two_spaces):
    uri, folder, pg = two_spaces
    done = gc(uri, "--artifacts-destination", str(folder / "served"), "--all-workspaces",
              "--experiment-ids", f"{state.ids['old']},{state.ids['new']},987654", "--run-ids", "nobody")
    assert done.returncode == 0, done.stderr
    assert deleted_in(pg) == {}


def test_both_workspace_flags_are_refused(state):
    done = gc(state.uri, "--workspace", "a", "--all-workspaces")
    assert done.returncode == 2
    assert "Cannot use --workspace and --all-workspaces together." in done.stderr


# -- S3 --------------------------------------------------------------------------------------------


def test_artifacts_in_s3_are_deleted_by_the_thousand(state):
    uri, folder = state.copy()
    with S3() as s3:
        s3.make_bucket("bkt")
        run, other = state.ids["old_run"], state.ids["active"]
        names = [f"{state.ids['kept']}/{run}/artifacts/{i}" for i in range(1100)]
        names += [f"{state.ids['kept']}/{run}/artifacts-not/x", f"{state.ids['kept']}/{other}/artifacts/y"]
        done = subprocess.run(["curl", "-sS", "--fail", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u",
                               f"{s3.env['AWS_ACCESS_KEY_ID']}:{s3.env['AWS_SECRET_ACCESS_KEY']}",
                               "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-X", "PUT", "-d", "x",
                               "--parallel", *[f"{s3.url}/bkt/pre/{n}" for n in names]],
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        done = gc(uri, "--artifacts-destination", "s3://bkt/pre", "--run-ids", run, "--experiment-ids",
                  str(state.ids["old"]), "--logged-model-ids", state.ids["old_model"], env=s3.env)
        assert done.returncode == 0, done.stderr
        listed = s3.curl("GET", "/bkt?list-type=2&prefix=pre%2F")[1].decode()
        keys = sorted(k.partition("</Key>")[0] for k in listed.split("<Key>")[1:])
        assert [k for k in keys if not k.endswith("/")] == sorted("pre/" + n for n in names[-2:])


def test_a_bucket_that_is_not_ours_keeps_its_run_and_stops_nothing_else(state):
    uri, folder = state.copy()
    with S3() as s3, psycopg.connect(uri, autocommit=True) as pg:
        runs = [r for r, in pg.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted'"
                                       " ORDER BY 1 LIMIT 2").fetchall()]
        for run, root in zip(runs, ("s3://nobody-has-it/x", "s3://")):
            pg.execute("UPDATE runs SET artifact_uri = %s || '/' || run_uuid || '/artifacts' WHERE run_uuid = %s",
                       (root, run))
        done = gc(uri, "--artifacts-destination", str(folder / "served"), env=s3.env)
        assert done.returncode == 1 and all(f"Run {run} cannot" in done.stderr for run in runs), done.stderr
        assert pg.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'deleted' ORDER BY 1"
                          ).fetchall() == [(run,) for run in runs]
        silent = gc(uri, "--artifacts-destination", str(folder / "served"),
                    env={**s3.env, "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
                         "MLFLOW_S3_ENDPOINT_URL": "http://127.0.0.1:1"})
        assert silent.returncode == 1 and "cannot" not in silent.stderr  # nobody's fault: it ends there


# -- beside writers --------------------------------------------------------------------------------


class Writers:
    """Threads that log to active runs, delete others, and restore some, until told to stop."""

    def __init__(self, server, experiment):
        self.api = server.url + "/api/2.0/mlflow/"
        self.experiment = str(experiment)
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.acked = {}  # points of the runs that live
        self.restored = []
        self.failures = []
        self.threads = [threading.Thread(target=self.work, args=(i,)) for i in range(3)]

    def call(self, session, what, **body):
        answer = session.post(self.api + what, json=body, timeout=60)
        return answer.status_code, answer.json()

    def work(self, seed):
        session, dice = requests.Session(), random.Random(seed)
        try:
            while not self.is_over.is_set():
                self.turn(session, dice)
        except Exception as e:  # noqa: BLE001 told by the test
            self.failures.append(repr(e))

    def turn(self, session, dice):
        status, made = self.call(session, "runs/create", experiment_id=self.experiment)
        assert status == 200, made
        run = made["run"]["info"]["run_id"]
        for step in range(3):
            status, answer = self.call(session, "runs/log-batch", run_id=run, metrics=[
                {"key": f"k{i}", "value": i, "timestamp": step, "step": step} for i in range(20)])
            assert status == 200, answer
        if dice.random() < 0.3:
            with self.lock:
                self.acked[run] = 60
            return
        status, answer = self.call(session, "runs/delete", run_id=run)
        assert status == 200, answer
        if dice.random() < 0.5:
            status, answer = self.call(session, "runs/restore", run_id=run)
            assert status in (200, 404), answer
            if status == 200:
                with self.lock:
                    self.restored.append(run)
                    self.acked[run] = 60

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *unused):
        self.is_over.set()
        for t in self.threads:
            t.join()


def test_beside_writers_nothing_that_lives_is_lost_and_all_deleted_goes(state):
    """Runs are made, written to, deleted and restored while gc runs again and again, killed at any moment
    half of the time. What was acked for a run that lives is there, and nothing refers to one that is
    gone. Points that were in the queue for a run that gc took are dead letters, no window is held up."""
    uri, folder = state.copy()
    where = ["--artifacts-destination", str(folder / "served")]
    dice = random.Random(7)
    with Sluice(uri, args=where + ["--flush-interval", "50ms", "--flush-rows", "500"]) as server, \
            psycopg.connect(uri, autocommit=True) as pg:
        with Writers(server, state.ids["kept"]) as writers:
            ends, until = [], time.monotonic() + 8
            while time.monotonic() < until:
                process = subprocess.Popen([BINARY, "gc", "--pg-uri", uri, *where],
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                           env=clean_environment(), text=True)
                if dice.random() < 0.5:
                    try:
                        process.wait(timeout=dice.random() * 0.15)
                    except subprocess.TimeoutExpired:
                        process.send_signal(signal.SIGKILL)
                out, err = process.communicate(timeout=120)
                busy = "Another `sluice gc`" in err  # the server has not seen yet that one is dead
                assert process.returncode in (0, -signal.SIGKILL) or busy, err
                ends.append((process.returncode, out.count("permanently")))
        assert not writers.failures, writers.failures
        assert sum(n for _, n in ends) > 0 and any(c == -signal.SIGKILL for c, _ in ends), ends
        wait_until(lambda: gc(uri, *where).returncode == 0, 60, "the last gc gets the lock")
        wait_until(lambda: server.stat("sluice_backlog_points") == 0, 60, "the queue is empty")
        for run, points in writers.acked.items():
            found = pg.execute("SELECT lifecycle_stage, (SELECT count(*) FROM metrics AS m WHERE"
                               " m.run_uuid = r.run_uuid), (SELECT count(*) FROM latest_metrics AS l"
                               " WHERE l.run_uuid = r.run_uuid) FROM runs AS r WHERE run_uuid = %s",
                               (run,)).fetchone()
            assert found == ("active", points, 20), (run, found)
        assert pg.execute("SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'").fetchone() == (0,)
        assert writers.restored
        for table in ("metrics", "latest_metrics", "params", "tags"):
            assert pg.execute(f"SELECT count(*) FROM {table} AS t WHERE NOT EXISTS (SELECT 1 FROM runs"
                              " AS r WHERE r.run_uuid = t.run_uuid)").fetchone() == (0,)


def test_a_run_restored_while_gc_waits_is_kept(state):
    """Somebody restores it in a transaction that gc has to wait for."""
    uri, folder = state.copy()
    run = state.ids["old_run"]
    where = ["--artifacts-destination", str(folder / "served"), "--run-ids", run, "--experiment-ids",
             str(state.ids["old"]), "--logged-model-ids", state.ids["old_model"]]
    with psycopg.connect(uri) as restorer, psycopg.connect(uri, autocommit=True) as pg:
        restorer.execute("UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL"
                         " WHERE run_uuid = %s", (run,))
        process = subprocess.Popen([BINARY, "gc", "--pg-uri", uri, *where], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, env=clean_environment(), text=True)
        wait_until(lambda: pg.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice gc' AND"
            " wait_event_type = 'Lock' AND datname = current_database()").fetchone()[0], 30, "gc waits")
        restorer.commit()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert run not in out and f"{run} is not deleted any more" in err
        assert pg.execute("SELECT count(*) FROM metrics WHERE run_uuid = %s", (run,)).fetchone()[0] == 5
    assert (folder / "served" / str(state.ids["kept"]) / run / "artifacts" / "a.txt").exists()


def test_a_session_that_is_lost_amid_artifacts_takes_nothing_more(state):
    """Its locks are gone with it, and whoever restores a run then has it back whole."""
    uri, folder = state.copy()
    asked = []

    class Tracking(http.server.BaseHTTPRequestHandler):
        def do_DELETE(self):
            asked.append(self.path)
            with psycopg.connect(uri, autocommit=True) as pg:
                pg.execute("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname ="
                           " current_database() AND application_name = 'sluice gc'"
                           " AND (query = 'SELECT 1' OR query LIKE '%FOR NO KEY UPDATE%')")
                pg.execute("UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL")
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    tracking = http.server.HTTPServer(("127.0.0.1", 0), Tracking)
    threading.Thread(target=tracking.serve_forever, daemon=True).start()
    try:
        done = gc(uri, "--tracking-uri", f"http://127.0.0.1:{tracking.server_port}")
    finally:
        tracking.shutdown()
        tracking.server_close()
    assert done.returncode == 1 and "PostgreSQL" in done.stderr
    assert len(asked) == 1, asked


def test_points_queued_for_a_run_that_gc_took_are_dead_letters(state):
    uri, folder = state.copy()
    with Sluice(uri, args=["--flush-interval", "1m", "--artifacts-destination",
                           str(folder / "served")]) as server:
        api = server.url + "/api/2.0/mlflow/"
        run = requests.post(api + "runs/create", json={"experiment_id": str(state.ids["kept"])},
                            timeout=30).json()["run"]["info"]["run_id"]
        answer = requests.post(api + "runs/log-metric", timeout=30, json={
            "run_id": run, "key": "k", "value": 1, "timestamp": 1, "step": 1})
        assert answer.status_code == 200
        with psycopg.connect(uri, autocommit=True) as pg:
            pg.execute("UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = 1 WHERE run_uuid = %s",
                       (run,))
        done = gc(uri, "--artifacts-destination", str(folder / "served"), "--run-ids", run)
        assert done.returncode == 0, done.stderr
        # A read makes the flusher close its window now.
        requests.get(api + "metrics/get-history", params={"run_id": run, "metric_key": "k"}, timeout=30)
        wait_until(lambda: server.stat("sluice_deadletter_points_total") == 1, 60, "the letter is written")
        assert server.stat("sluice_backlog_points") == 0


# -- killed ----------------------------------------------------------------------------------------


PARTS = {"SLUICE_TEST_GC_ROWS": "500"}


@pytest.fixture(scope="module")
def large(postgres, tmp_path_factory):
    """A state with a run of more than one part, and what is left of it by a gc that nobody killed."""
    made = State(postgres, tmp_path_factory.mktemp("large") / "made")
    with psycopg.connect(made.uri, autocommit=True) as pg:
        pg.execute("INSERT INTO metrics (key, value, timestamp, run_uuid, step) SELECT 'large', 1, i,"
                   " %s, i FROM generate_series(1, 1200) AS i", (made.ids["old_run"],))
    uri, folder = made.copy()
    assert gc(uri, "--artifacts-destination", str(folder / "served")).returncode == 0
    yield made, left(uri, folder)
    made.drop()


@pytest.mark.parametrize("point", ["gc_artifacts", "gc_artifacts:2", "gc_part", "gc_part:2",
                                   "gc_commit", "gc_commit:2", "gc_commit:4"])
def test_killed_anywhere_the_next_one_finishes(large, point):
    made, expected = large
    uri, folder = made.copy()
    where = str(folder / "served")
    killed = gc(uri, "--artifacts-destination", where, env={"SLUICE_TEST_KILL_AT": point, **PARTS})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    wait_until(lambda: gc(uri, "--artifacts-destination", where, env=PARTS).returncode == 0, 60, "finished")
    assert_same(left(uri, folder), expected)


def test_the_largest_run_goes_by_a_cursor_and_killed_amid_it_is_finished(large):
    made, expected = large
    uri, folder = made.copy()
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute("INSERT INTO metrics (key, value, timestamp, run_uuid, step) SELECT 'larger', 1, i, %s, i"
                   " FROM generate_series(1, 1900) AS i", (made.ids["old_run"],))
    where = str(folder / "served")
    # Two runs: this one takes four parts and two by the cursor, the other one part before or after it.
    killed = gc(uri, "--artifacts-destination", where, "--run-ids", made.ids["old_run"], "--experiment-ids",
                str(made.ids["old"]), env={"SLUICE_TEST_KILL_AT": "gc_part:6", **PARTS})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with psycopg.connect(uri, autocommit=True) as pg:
        assert pg.execute("SELECT count(*) FROM metrics WHERE run_uuid = %s",
                          (made.ids["old_run"],)).fetchone()[0] in (3105 - 5 * 500, 3105 - 6 * 500)
        pg.execute("INSERT INTO metrics (key, value, timestamp, run_uuid, step) SELECT 'again', 1, i, %s, i"
                   " FROM generate_series(1, 2600) AS i", (made.ids["old_run"],))
    wait_until(lambda: gc(uri, "--artifacts-destination", where, env=PARTS).returncode == 0, 60, "finished")
    assert_same(left(uri, folder), expected)


def test_partitions_of_somebody_elses_making_are_refused(state):
    """A row is named by its ctid, and each partition has a row of that name."""
    uri, folder = state.copy()
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute("ALTER TABLE metrics RENAME TO whole")
        pg.execute("CREATE TABLE metrics (LIKE whole) PARTITION BY HASH (run_uuid)")
        for n in range(4):
            pg.execute(f"CREATE TABLE metrics_{n} PARTITION OF metrics FOR VALUES WITH (MODULUS 4, REMAINDER {n})")
        pg.execute("INSERT INTO metrics SELECT * FROM whole")
        pg.execute("DROP TABLE whole")
    before = left(uri, folder)
    done = gc(uri)
    assert done.returncode == 1 and "partitioned" in done.stderr
    assert left(uri, folder) == before


def test_two_at_once_are_refused(state):
    uri, folder = state.copy()
    with psycopg.connect(uri) as other:
        other.execute("SELECT pg_advisory_xact_lock(126909663503207)")
        done = gc(uri, "--artifacts-destination", str(folder / "served"))
    assert done.returncode == 1 and "Another `sluice gc`" in done.stderr and done.stdout == ""
