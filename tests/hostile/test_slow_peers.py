"""Peers that are slow, silent, gone, or many: others are served meanwhile, memory stays flat.

What is compared are counters, bytes and CPU time of the workers; the only clocks are deadlines.
"""

import random
import threading
import time

import pytest
import requests

from conftest import release
from peer import Peer, rss, worker_s
from server import Sluice, wait_until

MIB = 1 << 20
HEAD = b"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost\r\n" \
       b"Content-Type: application/json\r\n"


@pytest.fixture
def serve(database, tmp_path):
    """Starts servers with one worker, each on a data directory of its own."""
    started = []

    def start(*args, **more):
        server = Sluice(database, data_dir=str(tmp_path / f"data{len(started)}"),
                        args=["--workers", "1", *args], **more).__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__(None, None, None)


def is_served(server):
    return requests.get(server.url + "/version", timeout=10).text == "3.17.2"


def drip(peers, data, pause_s, limit_s):
    """Sends each peer a byte of data in turn until all have been answered or closed; the answers."""
    answers = {}
    until = time.monotonic() + limit_s
    for peer in peers:
        peer.socket.settimeout(0)
    for i in range(len(data)):
        for peer in peers:
            if peer in answers:
                continue
            try:
                peer.socket.sendall(data[i:i + 1])
                if said := peer.socket.recv(4096):
                    answers[peer] = said
            except BlockingIOError:
                pass
            except OSError:
                answers[peer] = b"reset"
        if len(answers) == len(peers):
            break
        assert time.monotonic() < until, f"{len(answers)} of {len(peers)} answered in {limit_s} s"
        time.sleep(pause_s)
    return list(answers.values())


def test_heads_byte_by_byte(serve):
    """Slowloris: a head has head_timeout, however it drips; request_timeout is not in play."""
    server = serve("--head-timeout", "1s", "--request-timeout", "1h", "--idle-timeout", "1h")
    peers = [Peer(server) for _ in range(200)]
    served = []
    asking = threading.Thread(target=lambda: served.extend(is_served(server) for _ in range(50)))
    asking.start()
    said = drip(peers, b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-A: " + b"b" * 5000, 0.05, 30)
    asking.join()
    assert all(b"408" in answer for answer in said)
    assert served == [True] * 50
    for peer in peers:
        peer.close()
    wait_until(lambda: server.stat("sluice_open_connections") <= 1, 10, "all are gone")


def test_bodies_byte_by_byte(serve):
    """A body below min_body_rate is cut off long before request_timeout; one above it is read."""
    server = serve("--request-timeout", "15s", "--min-body-rate", "1KiB")
    begin = time.monotonic()
    fast = Peer(server)
    fast.socket.sendall(HEAD + b"Content-Length: 65536\r\n\r\n")
    slow = [Peer(server) for _ in range(50)]
    for peer in slow:
        peer.socket.sendall(HEAD + b"Content-Length: 65536\r\n\r\n")
    done = threading.Event()

    def send_fast():
        for _ in range(64):
            fast.socket.sendall(b" " * 1024)
            done.wait(0.12)

    sending = threading.Thread(target=send_fast)
    sending.start()
    said = drip(slow, b" " * 1000, 0.05, 14)
    assert all(b"408" in answer for answer in said)
    assert time.monotonic() - begin < 14
    sending.join()
    assert fast.head()[0] == 400  # read whole: blanks are no JSON
    assert server.stat("sluice_connections_dropped_total") == 50
    assert is_served(server)


def test_readers_that_never_read(serve):
    """Requests without end, answers not taken: one exchange and the kernel's buffer, then closed."""
    server = serve("--request-timeout", "3s", binary=release())
    is_served(server)
    before = rss(server)
    peers = []
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    for _ in range(100):
        peer = Peer(server)
        peer.socket.settimeout(0)
        peers.append(peer)
    for _ in range(20):
        for peer in peers:
            try:
                peer.socket.send(request)
            except (BlockingIOError, ConnectionError):
                pass
        assert is_served(server)
    grown = rss(server) - before
    print(f"100 readers that do not read: {grown / MIB:.1f} MiB")
    assert grown < 100 * (128 << 10), "more than an answer and a few buffers for each"
    spent = worker_s(server)
    wait_until(lambda: server.stat("sluice_open_connections") <= 1, 20, "all are closed")
    assert worker_s(server) - spent < 1
    for peer in peers:
        peer.close()
    assert is_served(server)


def test_resets_at_any_moment(serve):
    """RST in a head, in a body, while a write waits, in an answer: nothing stays behind."""
    server = serve()
    run = requests.post(server.url + "/api/2.0/mlflow/runs/create", json={"experiment_id": "0"},
                        timeout=30).json()["run"]["info"]["run_id"]
    body = b'{"run_id": "%s", "metrics": [{"key": "k", "value": 1, "timestamp": 1}]}' % run.encode()
    whole = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    long = HEAD + b"Content-Length: %d\r\n\r\n" % MIB + b" " * (MIB // 2)
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b" " * 70000
    answers = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50
    dice = random.Random(7)
    for _ in range(150):
        for data in (whole[:dice.randrange(1, 120)], whole, long, chunked, answers):
            peer = Peer(server)
            peer.socket.sendall(data[:dice.randrange(1, len(data) + 1)]
                                if data is not whole else whole)
            if data is answers:
                peer.more(100)
            peer.vanish()
    wait_until(lambda: server.stat("sluice_open_connections") <= 1, 20, "all are gone")
    wait_until(lambda: server.stat("sluice_held_bytes") == 0, 10, "nothing is held")
    assert server.stat("sluice_parked_requests") == 0
    assert is_served(server)


def test_pipelined_floods(serve):
    """Eight peers with requests without end: turns are bounded, so others are served between."""
    server = serve(binary=release())
    is_served(server)
    before = rss(server)
    stop = threading.Event()
    answered = []

    def flood():
        peer = Peer(server)
        request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        count = 0
        while not stop.is_set():
            peer.socket.sendall(request * 500)
            got = 0
            while got < 500:
                got += peer.more().count(b"HTTP/1.1 200 OK")
                peer.bytes = b""
            count += got
        answered.append(count)

    floods = [threading.Thread(target=flood) for _ in range(8)]
    for thread in floods:
        thread.start()
    for _ in range(200):
        assert is_served(server)
    grown = rss(server) - before
    stop.set()
    for thread in floods:
        thread.join()
    assert len(answered) == 8 and min(answered) > 0
    print(f"{sum(answered)} pipelined answers while 200 others were served: "
          f"{grown / MIB:.1f} MiB")
    assert grown < 16 * MIB


def send_until_refused(server, head, piece, pieces):
    """(status, bytes sent) of a peer that sends on until it is told to stop, or stopped."""
    peer = Peer(server)
    peer.socket.sendall(head)
    sent = 0
    try:
        for _ in range(pieces):
            peer.socket.sendall(piece)
            sent += len(piece)
    except OSError:
        pass
    try:
        status = peer.head()[0]
    except (OSError, AssertionError):
        status = None  # it went on after the answer, and was reset
    peer.close()
    return status, sent


def test_a_body_of_a_gigabyte_is_refused_at_its_head(serve):
    server = serve()
    peer = Peer(server)
    peer.socket.sendall(HEAD + b"Content-Length: 1073741824\r\n\r\n")
    status, fields = peer.head()
    assert (status, fields["connection"]) == (413, "close") and "retry-after" not in fields
    peer.close()
    before = server.stat("sluice_received_bytes_total")
    _, sent = send_until_refused(server, HEAD + b"Content-Length: 1073741824\r\n\r\n",
                                 b" " * MIB, 1024)
    taken = server.stat("sluice_received_bytes_total") - before
    print(f"of 1 GiB {sent / MIB:.0f} MiB were sent, {taken / MIB:.1f} MiB taken and dropped")
    assert taken < 80 * MIB
    assert is_served(server)


def test_a_chunked_body_of_a_gigabyte_is_cut_at_the_limit(serve):
    server = serve()
    before = server.stat("sluice_received_bytes_total")
    _, sent = send_until_refused(server, HEAD + b"Transfer-Encoding: chunked\r\n\r\n",
                                 b"100000\r\n" + b" " * MIB + b"\r\n", 1024)
    taken = server.stat("sluice_received_bytes_total") - before
    print(f"of 1 GiB {sent / MIB:.0f} MiB were sent, {taken / MIB:.1f} MiB taken")
    assert taken < (16 + 80) * MIB
    wait_until(lambda: server.stat("sluice_held_bytes") == 0, 10, "nothing is held")


def test_a_refused_body_costs_little(serve):
    """16 MiB behind a refusal cost the worker less than reading them, and the answer is seen."""
    server = serve(binary=release())
    length = b"Content-Length: %d\r\n\r\n" % (16 * MIB)
    piece = b"[" * MIB

    def cost(head, wanted):
        before = worker_s(server)
        for _ in range(30):
            status, _ = send_until_refused(server, head, piece, 16)
            assert status == wanted
        return (worker_s(server) - before) / 30

    read = cost(HEAD + length, 400)
    refused = cost(HEAD.replace(b"log-batch", b"nothing-here") + length, 404)
    print(f"16 MiB: read {read * 1000:.1f} ms, refused {refused * 1000:.1f} ms of a worker's CPU")
    assert refused < read * 0.7


BOMBS = {
    "many small fields": b"a:b\r\n" * 3200,
    "one long field": b"X-A: " + b"b" * 16000 + b"\r\n",
    "long names": (b"n" * 1000 + b": v\r\n") * 15,
    "a path of escapes": b"",
    "cookies": b"Cookie: a=b\r\n" * 1200,
    "the same origin again": b"Origin: http://localhost\r\n" * 600,
}


@pytest.mark.parametrize("what", BOMBS)
def test_header_bombs(serve, what):
    """16 KiB of head, whatever is in them, cost no more than twenty small requests."""
    server = serve()

    def cost(request, times):
        before = worker_s(server)
        for _ in range(times // 50):
            peer = Peer(server)
            for _ in range(50):
                peer.socket.sendall(request)
                status, fields = peer.head()
                peer.exactly(int(fields["content-length"]))
                if status >= 400:
                    peer.close()
                    peer = Peer(server)
            peer.close()
        return (worker_s(server) - before) / times

    path = b"/" + b"%41" * 5300 if what == "a path of escapes" else b"/health"
    small = cost(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", 3000)
    bomb = cost(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + BOMBS[what] + b"\r\n", 1000)
    print(f"small {small * 1e6:.0f} us, bomb {bomb * 1e6:.0f} us")
    assert bomb < 20 * max(small, 1e-5)
