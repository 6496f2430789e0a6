"""Large answers come in parts: framing, readers that are slow or go away, PostgreSQL lost in the
middle, memory, and stopping. The server has one worker, so whatever holds that up is felt."""

import json
import threading
import time

import psycopg
import pytest
import requests

from peer import Peer, rss
from server import Sluice, wait_until

RUN, LARGE = "a" * 32, "c" * 32            # with so many points of `loss`
POINTS, MILLION = 250_000, 1_000_000       # more than any socket holds
OTHERS = [f"{i:032x}" for i in range(40)]  # each with:
MANY = 3_000
MIB = 1 << 20


@pytest.fixture(scope="module")
def seeded(database):
    """Points put there by SQL, after a first start has made the schema."""
    with Sluice(database):
        pass
    with psycopg.connect(database, autocommit=True) as pg:
        pg.execute("SET session_replication_role = replica")  # a million foreign keys less
        pg.execute("INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name,"
                   " user_id, status, start_time, source_version, lifecycle_stage, artifact_uri,"
                   " experiment_id) SELECT id, 'n', 'UNKNOWN', '', '', 'u', 'RUNNING', 1, '',"
                   " 'active', 'x', 0 FROM unnest(%s::text[]) AS id", ([RUN, LARGE, *OTHERS],))
        insert = ("INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)"
                  " SELECT 'loss', i + 0.5, i, i, false, id"
                  " FROM unnest(%s::text[]) AS id, generate_series(1, %s) AS i")
        pg.execute(insert, ([RUN], POINTS))
        pg.execute(insert, ([LARGE], MILLION))
        pg.execute(insert, (OTHERS, MANY))
        pg.execute("ANALYZE metrics")
    return database


def path_of(run=RUN, **more):
    query = "&".join(f"{k}={v}" for k, v in {"run_id": run, "metric_key": "loss", **more}.items())
    return "/api/2.0/mlflow/metrics/get-history?" + query


def steps_of(body):
    return [m["step"] for m in json.loads(body)["metrics"]]


def stat(server, name):
    return server.stat("sluice_" + name)


def sessions(sql, state):
    return sql.execute("SELECT count(*) FROM pg_stat_activity WHERE application_name ="
                       " 'sluice worker' AND state = %s AND datname = current_database()",
                       (state,)).fetchone()[0]


def wait_for_free_sessions(sql):
    wait_until(lambda: sessions(sql, "idle in transaction") + sessions(sql, "active") == 0, 20,
               "every session is idle")


# -- the bytes on the wire ---------------------------------------------------------------------


def test_a_long_history_comes_in_chunks(serve):
    server = serve()
    peer = Peer(server).ask(path_of(OTHERS[0]))
    status, fields = peer.head()
    assert status == 200 and fields["transfer-encoding"] == "chunked"
    assert "content-length" not in fields
    assert fields["content-type"] == "application/json"
    body = peer.chunks()
    assert steps_of(body) == list(range(1, MANY + 1))
    # the same bytes as pages that are short enough to have a length
    first = requests.get(server.url + path_of(OTHERS[0], max_results=1500), timeout=30)
    assert int(first.headers["content-length"]) == len(first.content)
    second = requests.get(server.url + path_of(OTHERS[0], max_results=1500,
                                               page_token=first.json()["next_page_token"]),
                          timeout=30)
    assert json.loads(body)["metrics"] == first.json()["metrics"] + second.json()["metrics"]
    assert first.content.rpartition(b"\n    }\n")[0] in body


def test_a_short_answer_keeps_its_length(serve):
    server = serve()
    for path in (path_of("b" * 32), path_of(OTHERS[0], max_results=2)):
        peer = Peer(server).ask(path)
        _, fields = peer.head()
        assert "transfer-encoding" not in fields
        json.loads(peer.exactly(int(fields["content-length"])))


def test_pages_longer_than_a_batch_say_whether_there_is_more(serve):
    server = serve()
    for size, has_more in ((2000, True), (2999, True), (3000, False), (3001, False)):
        got = requests.get(server.url + path_of(OTHERS[0], max_results=size), timeout=30).json()
        assert [m["step"] for m in got["metrics"]] == list(range(1, min(size, MANY) + 1))
        assert ("next_page_token" in got) == has_more
    token = requests.get(server.url + path_of(OTHERS[0], max_results=2500),
                         timeout=30).json()["next_page_token"]
    got = requests.get(server.url + path_of(OTHERS[0], max_results=2500, page_token=token),
                       timeout=30).json()
    assert [m["step"] for m in got["metrics"]] == list(range(2501, MANY + 1))


def test_requests_behind_a_streamed_answer_get_theirs(serve):
    server = serve()
    peer = Peer(server).ask(path_of(OTHERS[0])).ask(path_of(OTHERS[1])).ask("/version")
    for _ in range(2):
        peer.head()
        assert len(steps_of(peer.chunks())) == MANY
    status, fields = peer.head()
    assert (status, peer.exactly(int(fields["content-length"]))) == (200, b"3.17.2")


def test_http_1_0_ends_with_the_connection(serve):
    peer = Peer(serve()).ask(path_of(OTHERS[0]), version="1.0")
    _, fields = peer.head()
    assert "transfer-encoding" not in fields and "content-length" not in fields
    assert fields["connection"] == "close"
    assert len(steps_of(peer.rest())) == MANY


def test_connection_close_is_kept_to(serve):
    peer = Peer(serve())
    peer.socket.sendall(f"GET {path_of(OTHERS[0])} HTTP/1.1\r\nHost: localhost\r\n"
                        "Connection: close\r\n\r\n".encode())
    _, fields = peer.head()
    assert fields["connection"] == "close"
    assert len(steps_of(peer.chunks())) == MANY
    assert peer.rest() == b""


def test_head_has_no_body_and_the_connection_goes_on(serve, sql):
    server = serve()
    peer = Peer(server).ask(path_of(), method="HEAD").ask("/version")
    status, fields = peer.head()
    assert status == 200 and fields["transfer-encoding"] == "chunked"
    assert peer.head()[0] == 200
    assert peer.exactly(6) == b"3.17.2"
    wait_for_free_sessions(sql)


def test_histories_of_many_runs(serve):
    server = serve()
    # 25 000 points is the most; runs come in order of their ids
    bulk = requests.get(server.url + "/ajax-api/2.0/mlflow/metrics/get-history-bulk",
                        params={"run_id": OTHERS, "metric_key": "loss"}, timeout=60)
    assert bulk.headers["transfer-encoding"] == "chunked"
    points = bulk.json()["metrics"]
    assert len(points) == 25000 and bulk.content.endswith(b"]}\n")
    assert [p["run_id"] for p in points[::MANY]] == OTHERS[:9]
    interval = requests.get(server.url + "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
                            params={"run_ids": OTHERS, "metric_key": "loss",
                                    "max_results": 2500}, timeout=60)
    assert interval.headers["transfer-encoding"] == "chunked"
    points = interval.json()["metrics"]
    assert [p["run_id"] for p in points[::2500]] == OTHERS and len(points) == 2500 * len(OTHERS)


def test_a_sample_between_both_ends_of_int64(serve, sql):
    """Steps of one distance, but their ends are further apart than int8 reaches."""
    count, most = 192, 3
    first, distance = -9 * 10**18, 18 * 10**18 // (count - 1)
    sql.execute("INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)"
                " SELECT 'far', i, i, %s + i * %s::numeric, false, %s"
                " FROM generate_series(0, %s) AS i", (first, distance, RUN, count - 1))
    answer = requests.get(
        serve().url + "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
        params={"run_ids": RUN, "metric_key": "far", "max_results": most}, timeout=60)
    assert [p["step"] for p in answer.json()["metrics"]] \
        == [first + distance * i for i in (0, count // most, count - 1)]


# -- readers -----------------------------------------------------------------------------------


def test_a_slow_reader_costs_little_memory_and_nobody_time(serve, sql):
    server = serve()
    session = requests.Session()
    requests.get(server.url + path_of(OTHERS[0]), timeout=30)  # what the first of all costs
    before = most = rss(server)
    longest = 0.0
    peer = Peer(server).ask(path_of(LARGE))
    taken, end = 0, b""
    while not end.endswith(b"\r\n0\r\n\r\n"):
        if taken % (8 * MIB) == 0:  # a pause: until the server waits for its reader
            wait_until(lambda: sessions(sql, "idle in transaction") == 1
                       or taken > 100 * MIB, 20, "it pauses")
            begin = time.monotonic()
            assert session.get(server.url + path_of("b" * 32), timeout=10).json() == {}
            longest = max(longest, time.monotonic() - begin)
            most = max(most, rss(server))
        got = peer.socket.recv(min(MIB, 8 * MIB - taken % (8 * MIB)))
        assert got
        taken += len(got)
        end = (end + got)[-8:]
    assert taken > 100 * MIB
    assert most - before < 32 * MIB, f"{before} bytes before, {most} while streaming"
    assert longest < 2


def test_a_paused_reader_gets_the_rest_and_others_are_served(serve, sql):
    server = serve()
    paused = [Peer(server).ask(path_of()) for _ in range(2)]  # half of the four sessions
    for peer in paused:
        peer.head()
    wait_until(lambda: sessions(sql, "idle in transaction") == 2, 20, "both pause")
    assert requests.get(server.url + path_of("b" * 32, max_results=5), timeout=10).json() == {}
    assert requests.get(server.url + path_of("b" * 32), timeout=10).json() == {}
    third = Peer(server).ask(path_of(OTHERS[0]))  # waits for one of the two
    bodies = [None, None]

    def read(i):
        bodies[i] = paused[i].chunks()

    threads = [threading.Thread(target=read, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    third.head()
    assert len(steps_of(third.chunks())) == MANY
    for thread in threads:
        thread.join()
    assert [len(steps_of(b)) for b in bodies] == [POINTS, POINTS]
    wait_for_free_sessions(sql)
    assert stat(server, "answers_broken_total") == 0


def test_a_reader_that_goes_away_leaves_nothing(serve, sql):
    server = serve()
    for leave in (Peer.close, Peer.vanish):
        before = stat(server, "answers_broken_total")
        peer = Peer(server).ask(path_of())
        peer.head()
        leave(peer)
        wait_until(lambda: stat(server, "answers_broken_total") == before + 1, 20, "it is noticed")
        wait_for_free_sessions(sql)
    wait_until(lambda: stat(server, "parked_requests") == 0, 20, "no request is left")


def test_a_reader_that_stands_still_is_cut_off(serve, sql):
    server = serve("--request-timeout", "1s")
    for version in ("1.1", "1.0"):
        before = stat(server, "connections_dropped_total")
        peer = Peer(server).ask(path_of(), version=version)
        peer.head()
        wait_until(lambda: stat(server, "connections_dropped_total") == before + 1, 20, "cut off")
        assert peer.is_reset()  # for 1.0 a mere end would be a whole answer
        wait_for_free_sessions(sql)


def test_the_whole_is_bounded_too(serve, sql):
    server = serve("--stream-timeout", "1s")
    peer = Peer(server).ask(path_of())
    peer.head()
    with pytest.raises(ConnectionResetError):
        while True:
            time.sleep(0.01)  # slow, but never still
            assert peer.socket.recv(65536)
    assert "answer broken off" in server.output() and "stream_timeout" in server.output()
    wait_for_free_sessions(sql)


# -- PostgreSQL and the end ----------------------------------------------------------------------


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_losing_postgresql_in_the_middle_breaks_the_answer_off(serve, sql, version):
    server = serve()
    peer = Peer(server).ask(path_of(), version=version)
    peer.head()
    wait_until(lambda: sessions(sql, "idle in transaction") == 1, 20, "it pauses")
    sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name ="
                " 'sluice worker' AND datname = current_database()")
    assert peer.is_reset()
    assert stat(server, "answers_broken_total") == 1
    assert "answer broken off" in server.output()
    again = requests.get(server.url + path_of(OTHERS[0]), timeout=30)
    assert len(again.json()["metrics"]) == MANY


def test_losing_postgresql_before_the_head_is_an_error_as_ever(serve, postgres):
    server = serve()
    requests.get(server.url + path_of(OTHERS[0]), timeout=30)
    postgres.stop()
    try:
        got = requests.get(server.url + path_of(OTHERS[0]), timeout=30)
    finally:
        postgres.start()
    assert got.status_code == 503 and got.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"


def test_stopping_lets_an_answer_end(serve):
    server = serve("--drain-timeout", "60s")
    peer = Peer(server).ask(path_of())
    peer.head()
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    wait_until(lambda: "drain" in server.output() or "stopping" in server.output(), 20, "it stops")
    body = peer.chunks()
    stopping.join()
    assert len(steps_of(body)) == POINTS
    assert peer.rest() == b""


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_stopping_cuts_off_who_does_not_read(serve, version):
    server = serve("--drain-timeout", "500ms")
    peer = Peer(server).ask(path_of(), version=version)
    peer.head()
    server.stop()  # asserts exit code 0 and no sanitizer report
    assert peer.is_reset()
