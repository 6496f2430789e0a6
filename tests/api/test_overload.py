"""Memory stays bounded by settings while peers send and do not finish."""

import socket
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
