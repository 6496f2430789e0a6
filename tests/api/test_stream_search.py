"""Long pages of searches come in parts, a batch of runs at a time, however much a run holds."""

import json

import psycopg
import pytest
import requests

from peer import Peer, rss
from server import Sluice, wait_until

MIB = 1 << 20
PLAIN, HEAVY = 1200, 300  # runs of experiment 1, and of experiment 2, of 100 KB each
SEARCH = "/api/2.0/mlflow/runs/search"


@pytest.fixture(scope="module")
def seeded(database):
    with Sluice(database):
        pass
    with psycopg.connect(database, autocommit=True) as pg:
        pg.execute("SET session_replication_role = replica")
        pg.execute("INSERT INTO experiments (experiment_id, name, artifact_location,"
                   " lifecycle_stage, creation_time, last_update_time)"
                   " SELECT i, 'e' || i, 'x', 'active', i, i FROM generate_series(1, 1500) AS i")
        pg.execute("INSERT INTO experiment_tags (experiment_id, key, value)"
                   " SELECT i, 'k' || k, 'v' || i FROM generate_series(1, 1500) AS i,"
                   " generate_series(1, 3) AS k")
        for experiment, count in ((1, PLAIN), (2, HEAVY)):
            pg.execute("INSERT INTO runs (run_uuid, name, source_type, source_name,"
                       " entry_point_name, user_id, status, start_time, source_version,"
                       " lifecycle_stage, artifact_uri, experiment_id)"
                       " SELECT md5(%s::text || '.' || i), 'r' || i, 'UNKNOWN', '', '', 'u',"
                       " 'RUNNING', i, '', 'active', 'x', %s FROM generate_series(1, %s) AS i",
                       (experiment, experiment, count))
        pg.execute("INSERT INTO tags (run_uuid, key, value) SELECT run_uuid, 'tag' || k, name"
                   " FROM runs, generate_series(1, 3) AS k WHERE experiment_id = 1")
        pg.execute("INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan)"
                   " SELECT run_uuid, 'metric' || k, start_time, 1, 2, false"
                   " FROM runs, generate_series(1, 4) AS k WHERE experiment_id = 1")
        pg.execute("INSERT INTO params (run_uuid, key, value) SELECT run_uuid, 'param' || k,"
                   " repeat('x', 5000) FROM runs, generate_series(1, 20) AS k"
                   " WHERE experiment_id = 2")
        pg.execute("ANALYZE")
    return database


def body_of(experiment, **more):
    return {"experiment_ids": [str(experiment)], **more}


def ask(server, experiment, **more):
    """On a bare socket."""
    body = json.dumps(body_of(experiment, **more)).encode()
    peer = Peer(server)
    peer.socket.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                        b"Content-Length: %d\r\n\r\n%s" % (SEARCH.encode(), len(body), body))
    return peer


def names(runs):
    return [r["info"]["run_name"] for r in runs]


def in_order(count, first=1):
    """The newest first is the default order."""
    return [f"r{i}" for i in range(count, first - 1, -1)]


def test_a_long_page_is_whole_and_in_order(serve):
    server = serve()
    peer = ask(server, 1, max_results=5000).ask("/version")
    _, fields = peer.head()
    assert fields["transfer-encoding"] == "chunked"
    answer = json.loads(peer.chunks())
    assert peer.head()[0] == 200  # the request behind it
    assert list(answer) == ["runs"]
    assert names(answer["runs"]) == in_order(PLAIN)
    for run in answer["runs"]:
        name = run["info"]["run_name"]
        assert {t["value"] for t in run["data"]["tags"]} == {name} and len(run["data"]["tags"]) == 3
        assert sorted(m["key"] for m in run["data"]["metrics"]) == [f"metric{k}" for k in (1, 2, 3, 4)]
        assert {m["value"] for m in run["data"]["metrics"]} == {float(name[1:])}


def test_pages_of_every_size_meet(serve):
    server = serve()
    for size in (1, 15, 16, 17, 48, 100, 1199, 1200, 1201):
        page = requests.post(server.url + SEARCH, json=body_of(1, max_results=size),
                             timeout=60).json()
        shown = min(size, PLAIN)
        assert names(page["runs"]) == in_order(PLAIN, PLAIN - shown + 1)
        assert ("next_page_token" in page) == (size < PLAIN)
    token = requests.post(server.url + SEARCH, json=body_of(1, max_results=700),
                          timeout=60).json()["next_page_token"]
    page = requests.post(server.url + SEARCH,
                         json=body_of(1, max_results=700, page_token=token), timeout=60).json()
    assert names(page["runs"]) == in_order(PLAIN - 700) and "next_page_token" not in page


def test_a_short_page_has_a_length_and_an_empty_one_too(serve):
    server = serve()
    for experiment, size in ((1, 5), (77, 5)):
        got = requests.post(server.url + SEARCH, json=body_of(experiment, max_results=size),
                            timeout=30)
        assert int(got.headers["content-length"]) == len(got.content)
        assert len(got.json().get("runs", [])) == (size if experiment == 1 else 0)


def test_heavy_runs_take_little_memory(serve):
    server = serve()
    requests.post(server.url + SEARCH, json=body_of(1), timeout=60)
    before = most = rss(server)
    peer = ask(server, 2)
    peer.head()
    taken, end = 0, b""
    session = requests.Session()
    while not end.endswith(b"\r\n0\r\n\r\n"):
        if taken % (4 * MIB) == 0:
            assert session.get(server.url + "/version", timeout=10).text == "3.17.2"
            most = max(most, rss(server))
        got = peer.socket.recv(min(MIB, 4 * MIB - taken % (4 * MIB)))
        assert got
        taken += len(got)
        end = (end + got)[-8:]
    assert taken > HEAVY * 20 * 5000
    assert most - before < 24 * MIB, f"{before} bytes before, {most} while streaming"


def test_a_reader_that_goes_away_ends_the_search(serve):
    server = serve()
    peer = ask(server, 2)
    peer.head()
    peer.close()
    wait_until(lambda: server.stat("sluice_answers_broken_total") == 1, 20, "it is noticed")
    wait_until(lambda: server.stat("sluice_parked_requests") == 0, 20, "no request is left")


def test_a_pause_holds_no_session(serve, sql):
    server = serve("--sql-connections", "2")
    paused = [ask(server, 2) for _ in range(4)]
    for peer in paused:
        peer.head()
    wait_until(lambda: sql.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice worker' AND"
        " state <> 'idle' AND datname = current_database()").fetchone()[0] == 0, 20, "all pause")
    assert len(requests.post(server.url + SEARCH, json=body_of(1, max_results=50),
                             timeout=10).json()["runs"]) == 50
    for peer in paused:
        assert names(json.loads(peer.chunks())["runs"]) == in_order(HEAVY)


def test_losing_postgresql_breaks_the_answer_off(serve, postgres):
    server = serve()
    peer = ask(server, 2)
    peer.head()
    postgres.stop()
    try:
        assert peer.is_reset()
    finally:
        postgres.start()
    assert server.stat("sluice_answers_broken_total") == 1
    again = requests.post(server.url + SEARCH, json=body_of(1), timeout=30)
    assert names(again.json()["runs"]) == in_order(PLAIN, PLAIN - 999)


def test_experiments_come_in_parts_too(serve):
    server = serve()
    got = requests.post(server.url + "/api/2.0/mlflow/experiments/search",
                        json={"max_results": 2000, "order_by": ["experiment_id"],
                              "filter": "name LIKE 'e%'"}, timeout=60)
    assert got.headers["transfer-encoding"] == "chunked"
    found = got.json()["experiments"]
    assert [e["experiment_id"] for e in found] == [str(i) for i in range(1, 1501)]
    for e in found:
        assert sorted((t["key"], t["value"]) for t in e["tags"]) == \
            [(f"k{k}", "v" + e["experiment_id"]) for k in (1, 2, 3)]
