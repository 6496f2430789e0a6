"""Memory stays bounded by settings while peers send and do not finish."""

import multiprocessing
import selectors
import signal
import socket
import time
import uuid

import pytest
import requests

from server import Sluice, wait_until

MIB = 1 << 20


@pytest.fixture
def server(postgres, tmp_path):
    name = "overload_" + uuid.uuid4().hex[:8]
    uri = postgres.create_database(name)
    args = ["--workers", "1", "--body-memory-bytes", "4MiB", "--max-body-bytes", "3MiB"]
    with Sluice(uri, data_dir=str(tmp_path / "data"), args=args) as server:
        yield server
    postgres.drop_database(name)


def unfinished(server, announced, sent):
    """A log-batch whose body stops before its end."""
    host, port = server.url.rsplit("/", 1)[1].split(":")
    peer = socket.create_connection((host, int(port)), timeout=30)
    peer.sendall(b"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost\r\n"
                 b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % announced)
    try:
        peer.sendall(b" " * sent)
    except OSError:
        pass  # refused while it was sending
    return peer


def status(peer):
    try:
        return int(peer.recv(64).split(b" ")[1])
    except OSError:
        return None  # reset: it was refused, and went on sending


def test_bodies_that_never_end_are_refused_before_memory_is(server):
    peers = [unfinished(server, 3 * MIB, 2 * MIB) for _ in range(4)]
    refused = 0
    for peer in peers:
        peer.settimeout(1)
        refused += status(peer) in (429, None) if is_answered(peer) else 0
    assert 2 <= refused < 4, f"{refused} of 4 bodies of 2 MiB were refused at a budget of 4 MiB"
    assert requests.get(server.url + "/health", timeout=10).text == "OK"
    for peer in peers:
        peer.close()
    # What they held is given back: one that ends is taken again.
    wait_until(lambda: complete(server) == 400, 10, "a whole body of 2 MiB is read again")


def is_answered(peer):
    try:
        return peer.recv(1, socket.MSG_PEEK) is not None
    except socket.timeout:
        return False
    except OSError:
        return True


def complete(server):
    """A body of 2 MiB of blanks: malformed, so 400 once it has been read whole."""
    return requests.post(server.url + "/api/2.0/mlflow/runs/log-batch", data=b" " * (2 * MIB),
                         headers={"Content-Type": "application/json"}, timeout=30).status_code


def test_announcing_much_takes_nothing_from_others(server):
    peers = [unfinished(server, 3 * MIB, 10) for _ in range(20)]
    assert complete(server) == 400
    for peer in peers:
        peer.close()


def send_on_and_on(address, request, connections, until):
    """Another process's loop: each connection sends the request again when it was answered."""
    with selectors.DefaultSelector() as waiting:
        for _ in range(connections):
            peer = socket.create_connection(address)
            peer.setblocking(False)
            waiting.register(peer, selectors.EVENT_WRITE, data=0)
        while time.monotonic() < until:
            for key, event in waiting.select(0.1):
                if event & selectors.EVENT_READ:
                    if not key.fileobj.recv(65536):
                        return
                    waiting.modify(key.fileobj, selectors.EVENT_WRITE, data=0)
                    continue
                sent = key.data + key.fileobj.send(memoryview(request)[key.data:])
                waiting.modify(key.fileobj, data=sent, events=selectors.EVENT_READ
                               if sent == len(request) else selectors.EVENT_WRITE)


def test_a_reload_amid_long_bodies(database):
    """The helper reads them faster than the worker goes on: its inbox has room for a reload still."""
    body = '{"run_id":"%s",%s}' % ("0" * 32, ",".join(f'"a{i}":1' for i in range(32_000)))
    request = (f"POST /api/2.0/mlflow/runs/log-batch HTTP/1.1\r\nHost: localhost\r\n"
               f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()
    with Sluice(database, args=["--workers", "1"]) as server:
        host, port = server.url.rsplit("/", 1)[1].split(":")
        until = time.monotonic() + 8
        clients = [multiprocessing.Process(target=send_on_and_on,
                                           args=((host, int(port)), request, 200, until))
                   for _ in range(3)]
        for client in clients:
            client.start()
        time.sleep(1)  # until many wait
        while time.monotonic() < until and server.process.poll() is None:
            server.process.send_signal(signal.SIGHUP)
            time.sleep(0.02)
        for client in clients:
            client.join()
        assert server.process.poll() is None, server.output()[-1000:]
