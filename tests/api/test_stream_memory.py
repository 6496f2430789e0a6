"""However much belongs to what a search finds, little of the answer is ever in memory.

The kernel's peak of resident memory is what is looked at, so nothing between two looks is missed.
"""

import json

import psycopg
import pytest
import requests

from peer import peak_rss, reset_peak, rss
from server import Sluice

MIB = 1 << 20
API = "/api/2.0/mlflow/"
RUNS, LONG = 40, 10_000   # so many runs, of which two have so many params of 6000 characters
MODELS = 400              # of each kind, with 20 tags of 5000 characters
WIDE = 3000               # metrics of another run
HEAVY = 500               # runs of experiment 1, with 20 params of 6000 characters


@pytest.fixture(scope="module")
def seeded(database):
    with Sluice(database):
        pass
    with psycopg.connect(database, autocommit=True) as pg:
        pg.execute("SET session_replication_role = replica")
        seed_runs(pg)
        seed_registry(pg)
        seed_logged_models(pg)
        pg.execute("ANALYZE")
    return database


def seed_runs(pg):
    pg.execute("INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name,"
               " user_id, status, start_time, source_version, lifecycle_stage, artifact_uri,"
               " experiment_id) SELECT 'run' || i, 'r' || i, 'UNKNOWN', '', '', 'u', 'RUNNING', i,"
               " '', 'active', 'x', 0 FROM generate_series(1, %s) AS i", (RUNS,))
    pg.execute("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage,"
               " creation_time, last_update_time, workspace)"
               " VALUES (1, 'heavy', 'x', 'active', 1, 1, 'default')")
    pg.execute("INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name,"
               " user_id, status, start_time, source_version, lifecycle_stage, artifact_uri,"
               " experiment_id) SELECT 'heavy' || i, 'h' || i, 'UNKNOWN', '', '', 'u', 'RUNNING',"
               " i, '', 'active', 'x', 1 FROM generate_series(1, %s) AS i", (HEAVY,))
    pg.execute("INSERT INTO params (run_uuid, key, value) SELECT 'heavy' || i, 'p' || k,"
               " repeat('x', 6000) FROM generate_series(1, %s) AS i, generate_series(1, 20) AS k",
               (HEAVY,))
    pg.execute("INSERT INTO params (run_uuid, key, value) SELECT id, 'p' || k, repeat('x', 6000)"
               " FROM unnest(ARRAY['run5', 'run30']) AS id, generate_series(1, %s) AS k", (LONG,))
    pg.execute("INSERT INTO tags (run_uuid, key, value) SELECT 'run30', 't' || k, 'v' || k"
               " FROM generate_series(1, 5000) AS k")
    pg.execute("INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)"
               " SELECT 'run12', 'm' || k, k / 4.0, k, k, k %% 7 = 0"
               " FROM generate_series(1, %s) AS k", (WIDE,))
    pg.execute("INSERT INTO datasets SELECT 'd' || i, 0, 'd' || i, 'x', 'local', 'src',"
               " repeat('s', 1000000), NULL FROM generate_series(1, 9) AS i")
    pg.execute("INSERT INTO inputs (input_uuid, source_type, source_id, destination_type,"
               " destination_id, step) SELECT 'i' || r || '.' || i, 'DATASET', 'd' || i, 'RUN',"
               " 'run' || r, 0 FROM generate_series(30, 33) AS r, generate_series(1, 9) AS i")


def seed_registry(pg):
    pg.execute("INSERT INTO registered_models (name, creation_time, last_updated_time, workspace)"
               " SELECT 'm' || i, i, i, 'default' FROM generate_series(1, %s) AS i", (MODELS,))
    pg.execute("INSERT INTO registered_model_tags (key, value, name, workspace)"
               " SELECT 't' || k, repeat('y', 5000), 'm' || i, 'default'"
               " FROM generate_series(1, %s) AS i, generate_series(1, 20) AS k", (MODELS,))
    pg.execute("INSERT INTO model_versions (name, version, creation_time, last_updated_time,"
               " current_stage, source, status, workspace) SELECT 'm' || i, 1, i, i, 'None', 's',"
               " 'READY', 'default' FROM generate_series(1, %s) AS i", (MODELS,))
    pg.execute("INSERT INTO model_version_tags (key, value, name, version, workspace)"
               " SELECT 't' || k, repeat('z', 100000), 'm' || i, 1, 'default'"
               " FROM generate_series(1, %s) AS i, generate_series(1, 3) AS k", (MODELS,))


def seed_logged_models(pg):
    pg.execute("INSERT INTO logged_models (model_id, experiment_id, name, creation_timestamp_ms,"
               " last_updated_timestamp_ms, artifact_location, status, lifecycle_stage)"
               " SELECT 'm-' || i, 0, 'n' || i, i, i, 'a', 2, 'active'"
               " FROM generate_series(1, %s) AS i", (MODELS,))
    pg.execute("INSERT INTO logged_model_params (model_id, experiment_id, param_key, param_value)"
               " SELECT 'm-' || i, 0, 'p' || k, repeat('w', 6000)"
               " FROM generate_series(1, %s) AS i, generate_series(1, 20) AS k", (MODELS,))


def read(server, method, path, **more):
    """(the answer, its bytes, how much the peak of resident memory rose)."""
    for _ in range(2):  # sessions and buffers are there, before
        requests.get(server.url + API + "experiments/get?experiment_id=0", timeout=30)
    reset_peak(server)
    before = rss(server)
    with requests.request(method, server.url + path, timeout=120, stream=True, **more) as got:
        assert got.status_code == 200 and got.headers["transfer-encoding"] == "chunked"
        body = b"".join(got.iter_content(MIB))
    return json.loads(body), len(body), peak_rss(server) - before


def check_runs(runs):
    assert [r["info"]["run_name"] for r in runs] == [f"r{i}" for i in range(RUNS, 0, -1)]
    by_name = {r["info"]["run_name"]: r for r in runs}
    for name, run in by_name.items():
        params = run["data"].get("params", [])
        assert len(params) == (LONG if name in ("r5", "r30") else 0)
        assert [p["key"] for p in params] == [f"p{k}" for k in range(1, len(params) + 1)]
        assert {p["value"] for p in params} <= {"x" * 6000}
        assert len(run["data"].get("tags", [])) == (5000 if name == "r30" else 0)
        assert len(run["data"].get("metrics", [])) == (WIDE if name == "r12" else 0)
        datasets = run["inputs"].get("dataset_inputs", [])
        assert len(datasets) == (9 if name in ("r30", "r31", "r32", "r33") else 0)
        assert list(run) == ["info", "data", "inputs", "outputs"]
    metrics = by_name["r12"]["data"]["metrics"]
    assert metrics[0] == {"key": "m1", "value": 0.25, "timestamp": 1, "step": 1}
    assert metrics[6] == {"key": "m7", "value": "NaN", "timestamp": 7, "step": 7}


def test_runs_of_which_one_is_long(serve):
    answer, size, rise = read(serve(), "POST", API + "runs/search",
                              json={"experiment_ids": ["0"]})
    check_runs(answer["runs"])
    assert size > 2 * LONG * 6000
    print(f"{size / MIB:.0f} MiB, peak + {rise / MIB:.0f} MiB")
    assert rise < 64 * MIB


def test_a_long_run_looks_like_a_short_one(serve, sql):
    """Word for word: the same run in runs/get is written in one piece."""
    server = serve()
    sql.execute("UPDATE runs SET end_time = 77 WHERE run_uuid = 'run12'")
    found = requests.post(server.url + API + "runs/search", timeout=60, json={
        "experiment_ids": ["0"], "filter": "run_id = 'run12'"})
    got = requests.get(server.url + API + "runs/get?run_id=run12", timeout=60)
    assert found.text == json.dumps({"runs": [got.json()["run"]]}, indent=2)
    assert len(got.json()["run"]["data"]["metrics"]) == WIDE


def test_registered_models(serve):
    answer, size, rise = read(serve(), "GET", API + f"registered-models/search?max_results={MODELS}")
    models = answer["registered_models"]
    assert [m["name"] for m in models] == sorted(f"m{i}" for i in range(1, MODELS + 1))
    for m in models:
        assert len(m["tags"]) == 20 and {t["value"] for t in m["tags"]} == {"y" * 5000}
        assert [len(v["tags"]) for v in m["latest_versions"]] == [3]
    assert size > MODELS * (20 * 5000 + 300000)
    print(f"{size / MIB:.0f} MiB, peak + {rise / MIB:.0f} MiB")
    assert rise < 64 * MIB


def test_model_versions(serve):
    answer, size, rise = read(serve(), "GET", API + "model-versions/search")
    versions = answer["model_versions"]
    assert [v["name"] for v in versions] == [f"m{i}" for i in range(MODELS, 0, -1)]
    assert {t["value"] for v in versions for t in v["tags"]} == {"z" * 100000}
    assert size > MODELS * 300000
    print(f"{size / MIB:.0f} MiB, peak + {rise / MIB:.0f} MiB")
    assert rise < 64 * MIB


def test_logged_models(serve):
    answer, size, rise = read(serve(), "POST", API + "logged-models/search",
                              json={"experiment_ids": ["0"], "max_results": MODELS - 1})
    models = answer["models"]
    assert [m["info"]["name"] for m in models] == [f"n{i}" for i in range(MODELS, 1, -1)]
    assert {len(m["data"]["params"]) for m in models} == {20} and answer["next_page_token"]
    assert size > (MODELS - 1) * 20 * 6000
    print(f"{size / MIB:.0f} MiB, peak + {rise / MIB:.0f} MiB")
    assert rise < 64 * MIB


QUERY = """query { mlflowSearchRuns(input: {experimentIds: ["1"], maxResults: 1000}) {
    again: runs { info { runName } }
    runs { info { runName } data { params { key value } } experiment { name }
           modelVersions { name } }
    nextPageToken } }"""


def test_graphql(serve):
    answer, size, rise = read(serve(), "POST", "/graphql", json={"query": QUERY})
    found = answer["data"]["mlflowSearchRuns"]
    names = [f"h{i}" for i in range(HEAVY, 0, -1)]
    assert [r["info"]["runName"] for r in found["runs"]] == names
    assert [r["info"]["runName"] for r in found["again"]] == names
    assert {r["experiment"]["name"] for r in found["runs"]} == {"heavy"}
    assert {len(r["data"]["params"]) for r in found["runs"]} == {20}
    assert answer["errors"] is None and found["nextPageToken"] == ""
    assert size > HEAVY * 20 * 6000
    print(f"{size / MIB:.0f} MiB, peak + {rise / MIB:.0f} MiB")
    assert rise < 64 * MIB
