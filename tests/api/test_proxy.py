"""What Sluice does not answer itself goes to the upstream and comes back: heads, framing, streams,
failures. The upstream is tests/tools/upstream.py; test_proxy_stock.py has a real one."""

import hashlib
import json
import os
import re
import signal
import socket
import threading
import time

import psycopg
import pytest
import requests

from peer import Peer, peak_rss, reset_peak, rss
from server import Sluice, wait_until
from upstream import Upstream, certificate

MIB = 1 << 20
LARGE = int(os.environ.get("SLUICE_TEST_LARGE_MIB", "128")) * MIB
PIECE = bytes(range(256)) * 256


@pytest.fixture(scope="module")
def upstream():
    with Upstream() as u:
        yield u


@pytest.fixture(scope="module")
def front(database, upstream):
    # ASan keeps what is freed for a while; of interest is what is in use.
    env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}
    with Sluice(database, args=["--upstream", upstream.url + "/", "--workers", "1",
                                "--upstream-timeout", "3s", "--upstream-connections", "8",
                                "--trusted-proxies", "10.0.0.0/8"],
                env=env) as s:
        yield s


def echo(front, path="/echo", **more):
    method = more.pop("method", "GET")
    answer = requests.request(method, front.url + path, timeout=30, **more)
    assert answer.status_code == 200, answer.text
    return answer.json(), answer


def field(seen, name):
    return [v for n, v in seen["fields"] if n.lower() == name]


def sent_sum(n):
    digest = hashlib.sha256()
    for at in range(0, n, len(PIECE)):
        digest.update(PIECE[:n - at])
    return digest.hexdigest()


def pieces(n):
    for at in range(0, n, len(PIECE)):
        yield PIECE[:n - at]


# --- heads ------------------------------------------------------------------------------------------


def test_target_and_fields_pass_and_those_of_the_connection_do_not(front, upstream):
    seen, answer = echo(front, "/echo/a%2Fb;c?q=%20&x", method="DELETE", headers={
        "X-Mine": "1", "Connection": "keep-alive, X-Private", "X-Private": "no", "Keep-Alive": "3",
        "TE": "trailers", "Proxy-Authorization": "no", "Forwarded": "for=1.2.3.4",
        "X-Forwarded-For": "1.2.3.4", "X-Forwarded-Host": "evil", "X-Forwarded-User": "root",
        "Via": "1.0 outer", "Origin": "http://localhost", "Authorization": "Basic abc",
        "Cookie": "a=b"})
    assert seen["method"] == "DELETE" and seen["target"] == "/echo/a%2Fb;c?q=%20&x"
    assert field(seen, "x-mine") == ["1"] and field(seen, "cookie") == ["a=b"]
    assert field(seen, "authorization") == ["Basic abc"]
    for name in ("x-private", "keep-alive", "te", "proxy-authorization", "forwarded", "origin",
                 "x-forwarded-user", "connection"):
        assert field(seen, name) == [], name
    assert field(seen, "host") == [upstream.url[len("http://"):]]
    assert field(seen, "via") == ["1.0 outer, 1.1 sluice"]
    assert field(seen, "x-forwarded-for") == ["127.0.0.1"]
    assert field(seen, "x-forwarded-proto") == ["http"]
    assert field(seen, "x-forwarded-host") == [front.url[len("http://"):]]
    assert answer.headers["X-Own"] == "yes"
    assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost"


def test_lines_of_an_answer_pass_and_those_of_the_connection_do_not(front):
    answer = requests.get(front.url + "/hop", timeout=30)
    assert answer.text == "hop" and "X-Secret" not in answer.headers
    assert "Keep-Alive" not in answer.headers
    assert answer.headers["X-Frame-Options"] == "DENY"  # the upstream's own
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Via"] == "1.0 inner, 1.1 sluice"
    assert answer.raw.headers.getlist("Set-Cookie") == ["a=1", "b=2"]


def test_a_traceparent_passes_or_is_made(front):
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert field(echo(front, headers={"traceparent": good})[0], "traceparent") == [good]
    made = set()
    for bad in (None, "", "00-0-0-01", good.upper(), "ff" + good[2:], good.replace("0af", "0ag"),
                "00-" + "0" * 32 + "-b7ad6b7169203331-01"):
        found = field(echo(front, headers={"traceparent": bad} if bad else {})[0], "traceparent")
        assert len(found) == 1 and re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", found[0])
        made.add(found[0])
    assert len(made) == 7


def test_an_absolute_target_and_http_1_0(front):
    peer = Peer(front).ask("http://localhost/echo?x=1", version="1.0")
    status, fields = peer.head()
    seen = json.loads(peer.rest())
    assert status == 200 and fields["content-length"] and seen["target"] == "/echo?x=1"


@pytest.mark.parametrize("code", [204, 304])
def test_answers_without_a_body(front, code):
    peer = Peer(front).ask(f"/status?code={code}").ask("/hop")
    status, fields = peer.head()
    assert status == code and fields["Location"] == "/there"
    assert "transfer-encoding" not in fields
    assert peer.head()[0] == 200 and peer.exactly(3) == b"hop"


def test_head_has_the_length_and_no_body(front):
    peer = Peer(front).ask("/hop", method="HEAD").ask("/hop")
    status, fields = peer.head()
    assert status == 200 and fields["content-length"] == "3"
    assert peer.head()[0] == 200 and peer.exactly(3) == b"hop"


def test_native_paths_and_own_ones_do_not_pass(front, upstream):
    before = requests.get(upstream.url + "/seen", timeout=30).json()["requests"]
    assert requests.get(front.url + "/health", timeout=30).text == "OK"
    assert requests.get(front.url + "/sluice/nothing", timeout=30).status_code == 404
    assert requests.post(front.url + "/metrics", timeout=30).status_code == 405
    assert requests.post(front.url + "/api/2.0/mlflow/runs/get", timeout=30).status_code == 200
    assert requests.get(front.admin_url + "/echo", timeout=30).status_code == 404
    after = requests.get(upstream.url + "/seen", timeout=30).json()["requests"]
    assert after - before == 2  # POST runs/get, and /seen itself


def test_without_an_upstream_there_is_no_such_path(sluice):
    answer = requests.get(sluice.url + "/ajax-api/3.0/mlflow/traces/x", timeout=30)
    assert answer.status_code == 404 and answer.json()["error_code"] == "ENDPOINT_NOT_FOUND"


# --- bodies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_of_any_length_passes(front, is_chunked):
    for n in (0, 1, 65536, 5_000_003):
        body = pieces(n) if is_chunked else b"".join(pieces(n))
        seen, _ = echo(front, method="PUT", data=body)
        assert (seen["size"], seen["sha256"]) == (n, sent_sum(n))


@pytest.mark.parametrize("how", ["length", "chunked", "close", "1.0"])
def test_an_answer_of_any_length_passes(front, how):
    for n in (0, 1, 65536, 5_000_003):
        answer = requests.get(front.url + f"/bytes?n={n}&how={how}", timeout=30)
        assert answer.status_code == 200 and len(answer.content) == n
        assert hashlib.sha256(answer.content).hexdigest() == sent_sum(n)


def test_trailers_pass_both_ways(front):
    peer = Peer(front)
    peer.socket.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n"
                        b"Trailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 9\r\nHost: evil\r\n\r\n")
    _, fields = peer.head()
    seen = json.loads(peer.exactly(int(fields["content-length"])))
    assert seen["size"] == 3 and seen["trailers"] == ["X-Sum: 9"]
    peer.ask("/bytes?n=3&how=chunked").head()
    assert peer.until(b"\r\n0\r\n").startswith(b"3\r\n")
    assert peer.until(b"\r\n\r\n") == b"X-Sum: 7"


def test_many_on_one_connection_in_order(front):
    peer = Peer(front)
    peer.socket.sendall(b"".join(f"POST /echo?{i} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3"
                                 f"\r\n\r\n{i:03}".encode() for i in range(40)))
    for i in range(40):
        _, fields = peer.head()
        seen = json.loads(peer.exactly(int(fields["content-length"])))
        assert seen["target"] == f"/echo?{i}"
        assert seen["sha256"] == hashlib.sha256(f"{i:03}".encode()).hexdigest()


def test_connections_to_the_upstream_are_used_again(front, upstream):
    echo(front)
    before = requests.get(upstream.url + "/seen", timeout=30).json()["connections"]
    for _ in range(20):
        echo(front, method="POST", data=b"x")
    after = requests.get(upstream.url + "/seen", timeout=30).json()["connections"]
    assert after - before == 1  # the one that asks
    wait_until(lambda: front.stat("sluice_upstream_idle") == 0, 10, "old ones are closed")


def test_a_100_comes_from_the_upstream(front):
    peer = Peer(front)
    ask = ("POST /continue?ok={} HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
           "Content-Length: 3\r\n\r\n")
    peer.socket.sendall(ask.format(1).encode())
    assert peer.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    peer.socket.sendall(b"abc")
    _, fields = peer.head()
    seen = json.loads(peer.exactly(int(fields["content-length"])))
    assert seen["size"] == 3 and field(seen, "expect") == ["100-continue"]
    peer.socket.sendall(ask.format(0).encode())
    assert peer.head()[0] == 401


def test_a_100_comes_when_the_upstream_does_not_speak_of_it(front):
    peer = Peer(front)
    peer.socket.sendall(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                        b"Content-Length: 3\r\n\r\n")
    assert peer.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue"
    peer.socket.sendall(b"abc")
    assert peer.head()[0] == 200


def test_an_interim_head_passes(front):
    peer = Peer(front).ask("/hints")
    status, fields = peer.head()
    assert status == 103 and fields["Link"] == "</a.css>" and "X-Hop" not in fields
    assert peer.head()[0] == 200 and peer.exactly(6) == b"hinted"
    peer.close()
    peer = Peer(front).ask("/hints", version="1.0")  # which knows none
    assert peer.head()[0] == 200


def test_an_answer_before_the_end_of_the_body_passes(front):
    peer = Peer(front)
    peer.socket.sendall(b"POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n")
    assert peer.head()[0] == 413 and peer.exactly(2) == b"no"


def test_both_bodies_at_the_same_time(front):
    peer = Peer(front)
    peer.socket.sendall(b"POST /duplex HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc")
    assert peer.head()[0] == 200
    assert peer.until(b"\r\n") == b"3" and peer.exactly(5) == b"abc\r\n"
    peer.socket.sendall(b"def")
    assert peer.until(b"\r\n") == b"3" and peer.exactly(5) == b"def\r\n"
    assert peer.until(b"\r\n\r\n") == b"0"


def test_events_are_not_held_back(front, upstream):
    peer = Peer(front).ask("/events?n=3")
    assert peer.head()[1]["Content-Type"] == "text/event-stream"
    for i in range(3):  # the next one is sent after the one before has come
        assert peer.until(b"\n\n\r\n").endswith(f"data: {i}".encode())
        requests.get(upstream.url + "/next", timeout=30)
    assert peer.until(b"\r\n\r\n") == b"0"


# --- memory and pace --------------------------------------------------------------------------------


def test_large_bodies_take_no_memory(front):
    echo(front, method="PUT", data=b"".join(pieces(10 * MIB)))
    reset_peak(front)
    before = rss(front)
    seen, _ = echo(front, method="PUT", data=pieces(LARGE))
    assert seen["size"] == LARGE and seen["sha256"] == sent_sum(LARGE)
    peer = Peer(front).ask(f"/bytes?n={LARGE}")
    assert peer.head()[1]["content-length"] == str(LARGE)
    left, digest = LARGE - len(peer.bytes), hashlib.sha256(peer.bytes)
    while left:
        got = peer.socket.recv(MIB)
        assert got
        digest.update(got)
        left -= len(got)
    assert digest.hexdigest() == sent_sum(LARGE)
    print(f"resident: {before / MIB:.1f} MiB before, {peak_rss(front) / MIB:.1f} at most")
    assert peak_rss(front) - before < 32 * MIB


def test_a_slow_reader_slows_the_upstream(front):
    before = rss(front)
    peer = Peer(front).ask(f"/bytes?n={LARGE}")
    peer.head()
    wait_until(lambda: front.stat("sluice_held_bytes") > 0, 20, "the reader's socket is full")
    assert front.stat("sluice_held_bytes") < MIB
    assert rss(front) - before < 16 * MIB
    echo(front)  # others have the worker
    peer.vanish()
    wait_until(lambda: front.stat("sluice_answers_broken_total") >= 1, 20, "it is noticed")


def test_a_slow_upstream_slows_the_sender(front, upstream):
    before = rss(front)
    peer = Peer(front)
    peer.socket.settimeout(0.5)
    peer.socket.sendall(f"POST /deaf HTTP/1.1\r\nHost: localhost\r\nContent-Length: {LARGE}"
                        "\r\n\r\n".encode())
    sent = 0
    try:
        while sent < LARGE:
            sent += peer.socket.send(PIECE)
    except TimeoutError:
        pass
    assert sent < 64 * MIB and rss(front) - before < 16 * MIB
    requests.get(upstream.url + "/next", timeout=30)
    peer.vanish()
    wait_until(lambda: requests.get(upstream.url + "/seen", timeout=30).json()["gone"] >= 1, 20,
               "the upstream hears that the client is gone")


# --- failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["nothing", "head", "garbage", "coding", "split", "lengths"])
def test_what_is_no_answer_is_502(front, how):
    answer = requests.get(front.url + f"/cut?how={how}", timeout=30)
    assert answer.status_code == 502 and answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert int(answer.headers["Retry-After"]) >= 1
    assert requests.get(front.url + "/hop", timeout=30).status_code == 200  # the breaker forgets


@pytest.mark.parametrize("how", ["length", "chunked"])
def test_an_answer_that_ends_early_resets(front, how):
    assert Peer(front).ask(f"/cut?how={how}").is_reset()


def test_silence_is_504_and_in_the_middle_a_reset(front):
    answer = requests.get(front.url + "/hang", timeout=30)
    assert answer.status_code == 504 and answer.json()["error_code"] == "DEADLINE_EXCEEDED"
    assert Peer(front).ask("/stall").is_reset()
    echo(front)


def test_a_request_into_a_connection_just_closed_is_sent_again(front):
    retries = front.stat("sluice_upstream_retries_total")
    assert requests.get(front.url + "/stale", timeout=30).text == "once"
    assert requests.get(front.url + "/hop", timeout=30).text == "hop"
    assert front.stat("sluice_upstream_retries_total") == retries + 1
    assert requests.get(front.url + "/stale", timeout=30).text == "once"
    assert requests.post(front.url + "/hop", data=b"x", timeout=30).status_code == 502
    echo(front)


def test_a_client_that_goes_frees_the_connection(front):
    peers = [Peer(front).ask("/hang") for _ in range(8)]
    wait_until(lambda: front.stat("sluice_upstream_connections") == 8, 20, "all are taken")
    answer = requests.get(front.url + "/echo", timeout=30)
    assert answer.status_code == 429 and answer.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    for peer in peers:
        peer.vanish()
    wait_until(lambda: front.stat("sluice_upstream_connections") == 0, 20, "all are back")
    wait_until(lambda: requests.get(front.url + "/echo", timeout=30).status_code == 200, 20,
               "the breaker closes again")


# --- tunnels ----------------------------------------------------------------------------------------


def switch(front, more=b""):
    peer = Peer(front)
    peer.socket.sendall(b"GET /switch HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\n"
                        b"Upgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n" + more)
    status, fields = peer.head()
    assert status == 101 and fields["upgrade"] == "websocket"
    assert fields["connection"] == "upgrade" and fields["Sec-WebSocket-Accept"] == "abc"
    return peer


def test_an_upgrade_makes_a_tunnel(front):
    peer = switch(front, b"first ")
    assert peer.exactly(12) == b"hello FIRST "
    assert front.stat("sluice_tunnels") == 1
    peer.socket.sendall(b"ping")
    assert peer.exactly(4) == b"PING"
    peer.socket.shutdown(socket.SHUT_WR)
    assert peer.rest() == b"bye"
    wait_until(lambda: front.stat("sluice_tunnels") == 0, 10, "it is over")


def test_a_tunnel_carries_much_both_ways(front):
    peer = switch(front)
    n = 32 * MIB
    sender = threading.Thread(target=lambda: [peer.socket.sendall(p) for p in pieces(n)])
    sender.start()
    got, digest = len(peer.bytes) - 6, hashlib.sha256()
    while len(peer.bytes) < 6:
        peer.more()
    digest.update(peer.bytes[6:])
    got = len(peer.bytes) - 6
    while got < n:
        piece = peer.socket.recv(MIB)
        assert piece
        digest.update(piece)
        got += len(piece)
    sender.join()
    want = hashlib.sha256()
    for p in pieces(n):
        want.update(p.upper())
    assert digest.digest() == want.digest()
    peer.vanish()
    wait_until(lambda: front.stat("sluice_tunnels") == 0, 10, "it is over")


def test_a_tunnel_without_a_byte_is_closed(front):
    peer = switch(front)
    began = time.monotonic()
    assert peer.rest() == b"hello "
    assert time.monotonic() - began > 2.5  # upstream_timeout
    wait_until(lambda: front.stat("sluice_tunnels") == 0, 10, "it is over")


def test_an_upgrade_that_is_refused_is_an_answer(front):
    peer = Peer(front)
    peer.socket.sendall(b"GET /hop HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
                        b"Upgrade: h2c\r\n\r\n")
    assert peer.head()[0] == 200 and peer.exactly(3) == b"hop"


# --- an upstream that goes, under load --------------------------------------------------------------


def ingest(server, stop, count):
    session = requests.Session()
    e = session.post(server.url + "/api/2.0/mlflow/experiments/create",
                     json={"name": f"e{time.monotonic_ns()}"}, timeout=30).json()
    run = session.post(server.url + "/api/2.0/mlflow/runs/create",
                       json={"experiment_id": e["experiment_id"]},
                       timeout=30).json()["run"]["info"]["run_id"]
    while not stop.is_set():
        answer = session.post(server.url + "/api/2.0/mlflow/runs/log-metric", timeout=30, json={
            "run_id": run, "key": "k", "value": 1, "timestamp": 1, "step": count[0]})
        assert answer.status_code == 200
        count[0] += 1


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_an_upstream_that_goes_takes_only_its_own_paths(database, how):
    stop, count = threading.Event(), [0]
    with Upstream() as u, Sluice(database, args=[
            "--upstream", u.url, "--workers", "1", "--upstream-timeout", "500ms",
            "--upstream-failures", "3", "--upstream-pause", "500ms"]) as s:
        load = threading.Thread(target=ingest, args=(s, stop, count))
        load.start()
        assert requests.get(s.url + "/hop", timeout=30).status_code == 200
        u.signal(signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        if how == "kill":
            u.process.wait(timeout=20)
        seen = []
        wait_until(lambda: seen.append(requests.get(s.url + "/hop", timeout=30).status_code)
                   or s.stat("sluice_upstream_given_up") == 1, 20, "the breaker opens")
        assert set(seen) == ({502} if how == "kill" else {504})
        before = count[0]
        began = time.monotonic()
        assert requests.get(s.url + "/hop", timeout=30).status_code == 502
        assert time.monotonic() - began < 0.4  # nobody waits for it
        wait_until(lambda: count[0] > before + 20, 20, "metrics are taken meanwhile")
        if how == "kill":
            u.start()
        else:
            u.signal(signal.SIGCONT)
        wait_until(lambda: requests.get(s.url + "/hop", timeout=30).status_code == 200, 20,
                   "it is asked again")
        assert s.stat("sluice_upstream_given_up") == 0
        stop.set()
        load.join()
        assert s.output().count("upstream does not answer") == 1
        assert s.output().count("upstream answers again") == 1


def test_the_end_of_sluice_ends_exchanges_and_tunnels(database):
    with Upstream() as u, Sluice(database, args=["--upstream", u.url, "--drain-timeout", "1s"]) as s:
        peers = [Peer(s).ask("/hang"), Peer(s).ask("/stall"), switch(s)]
        wait_until(lambda: s.stat("sluice_upstream_connections") == 3, 20, "all are under way")
        s.stop()
        assert peers[0].head()[0] == 503
        assert peers[1].is_reset()  # it has had a part of an answer
        assert peers[2].rest() == b"hello "


# --- TLS to the upstream ----------------------------------------------------------------------------


def test_an_upstream_behind_tls_is_verified(database, tmp_path):
    good, other = certificate(tmp_path, "good", "127.0.0.1"), certificate(tmp_path, "o", "127.0.0.9")
    with Upstream(good) as u, Sluice(database, args=["--upstream", u.url, "--upstream-ca", good,
                                                     "--workers", "1"]) as s:
        seen, _ = echo(s, method="PUT", data=b"".join(pieces(3_000_003)))
        assert seen["sha256"] == sent_sum(3_000_003)
        for how in ("length", "chunked", "close"):
            answer = requests.get(s.url + f"/bytes?n=3000003&how={how}", timeout=30)
            assert hashlib.sha256(answer.content).hexdigest() == sent_sum(3_000_003)
        peer = switch(s, b"first ")
        assert peer.exactly(12) == b"hello FIRST "
        peer.close()
        assert Peer(s).ask("/cut?how=length").is_reset()
    for trusted, server in ((other, good), (other, other)):  # not signed by it; of another address
        with Upstream(server) as u, Sluice(database, args=["--upstream", u.url,
                                                           "--upstream-ca", trusted]) as s:
            answer = requests.get(s.url + "/echo", timeout=30)
            assert answer.status_code == 502
            assert re.search("self-signed|mismatch", answer.json()["message"])


# --- read your writes -------------------------------------------------------------------------------


def test_a_read_that_names_a_run_comes_after_its_points(database):
    with Upstream() as u, Sluice(database, args=["--upstream", u.url, "--flush-interval", "60s",
                                                 "--read-wait", "20s"]) as s:
        e = requests.post(s.url + "/api/2.0/mlflow/experiments/create", timeout=30,
                          json={"name": "ryw"}).json()["experiment_id"]
        run = requests.post(s.url + "/api/2.0/mlflow/runs/create", timeout=30,
                            json={"experiment_id": e}).json()["run"]["info"]["run_id"]
        paths = [f"/x?run_id={run}", f"/x?a=b&run_uuid={run}", f"/artifacts/{e}/{run}/artifacts/a",
                 f"/x?experiment_id={e}", f"/ajax-api/3.0/mlflow/experiments/{e}/traces"]
        with psycopg.connect(database, autocommit=True) as pg:
            for step, path in enumerate(paths):
                requests.post(s.url + "/api/2.0/mlflow/runs/log-metric", timeout=30, json={
                    "run_id": run, "key": "k", "value": 1, "timestamp": 1, "step": step})
                answer = requests.get(s.url + path, timeout=30)
                assert answer.status_code == 200 and "Sluice-Behind-Ms" not in answer.headers
                rows = pg.execute("SELECT count(*) FROM metrics WHERE run_uuid = %s", (run,))
                assert rows.fetchone()[0] == step + 1, path


class Named(Sluice):
    """Sluice for which names have the addresses that this file says, whatever they are elsewhere."""

    def __init__(self, database, hosts, args):
        super().__init__(database, args=["--workers", "1", *args])
        self.hosts = hosts
        self.wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c",
                        f'mount --bind {hosts} /etc/hosts && exec "$@"', "sh"]


def name_them(path, *addresses):
    """Written in place, because the file itself is bound elsewhere."""
    with open(path, "w", encoding="ascii") as f:
        f.write("127.0.0.1 localhost\n" + "".join(f"{a} several.test\n" for a in addresses))


def closed(address, port):
    """Nobody listens there: a connection is refused."""
    with socket.socket() as s:
        return s.connect_ex((address, port)) != 0


@pytest.mark.skipif(os.getuid() != 0, reason="binds a file over /etc/hosts")
def test_a_name_with_several_addresses(database, tmp_path):
    """One listens, two refuse: every request is answered, and the two are not asked each time. Then the name
    moves to where nobody was before, and requests follow."""
    hosts = tmp_path / "hosts"
    with Upstream() as u:
        assert closed("127.0.0.2", u.port) and closed("127.0.0.3", u.port)
        name_them(hosts, "127.0.0.2", "127.0.0.1", "127.0.0.3")
        args = ["--upstream", f"http://several.test:{u.port}", "--upstream-idle-timeout", "0s",
                "--upstream-failures", "1", "--upstream-pause", "1h"]
        with Named(database, hosts, args) as s:
            for _ in range(10):
                # a fresh connection each
                assert requests.get(s.url + "/hop", headers={"Connection": "close"}, timeout=30).status_code == 200
            assert s.stat("sluice_upstream_failures_total") == 0
            assert s.stat("sluice_upstream_given_up") == 0
            # the first address, refused, then the second; the third perhaps, once
            assert s.stat("sluice_upstream_connects_total") <= 10 + 2
    name_them(hosts, "127.0.0.2", "127.0.0.3")
    with Upstream() as u, Named(database, hosts, ["--upstream", f"http://several.test:{u.port}",
                                                  "--upstream-failures", "100"]) as s:
        assert requests.get(s.url + "/hop", timeout=30).status_code == 502
        name_them(hosts, "127.0.0.2", "127.0.0.1")
        wait_until(lambda: requests.get(s.url + "/hop", timeout=30).status_code == 200, 30,
                   "the name is looked up again")


@pytest.mark.skipif(os.getuid() != 0, reason="binds a file over /etc/hosts")
def test_an_address_that_is_silent_takes_its_share_of_the_time(database, tmp_path):
    """A listener whose queue is full answers no SYN; the next address does."""
    hosts = tmp_path / "hosts"
    name_them(hosts, "127.0.0.2", "127.0.0.1")
    with Upstream() as u, socket.socket() as silent:
        silent.bind(("127.0.0.2", u.port))
        silent.listen(0)
        fill = [socket.socket() for _ in range(4)]
        for one in fill:
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", u.port))
        with Named(database, hosts, ["--upstream", f"http://several.test:{u.port}",
                                     "--upstream-connect-timeout", "2s", "--upstream-pause", "1h"]) as s:
            for _ in range(3):
                began = time.monotonic()
                assert requests.get(s.url + "/hop", timeout=30).status_code == 200
                assert time.monotonic() - began < 2
            assert s.stat("sluice_upstream_failures_total") == 0
        for one in fill:
            one.close()
