"""Artifacts and people who mean it: links that lead out, uploads that never end, stores that are gone.

What is compared are files, counters, bytes and memory; the only clocks are deadlines.
"""

import os
import socket
import subprocess
import threading

import pytest
import requests

from conftest import release
from peer import Peer, rss
from s3 import S3
from server import Sluice, wait_until

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1 << 20


@pytest.fixture
def serve(database, tmp_path):
    """Starts servers with one worker; `folder` is where their artifacts go."""
    started = []

    def start(*args, env=None, binary=None, destination=None):
        server = Sluice(database, data_dir=str(tmp_path / f"data{len(started)}"), env=env,
                        binary=binary, args=["--workers", "1", "--artifacts-destination",
                                             destination or str(tmp_path / "artifacts"), *args])
        started.append(server.__enter__())
        return server

    start.folder = tmp_path / "artifacts"
    yield start
    for server in started:
        server.__exit__(None, None, None)


def url(server, path):
    return f"{server.url}{PROXY}/{path}"


def begin_upload(server, path, length):
    peer = Peer(server)
    peer.socket.sendall(f"PUT {PROXY}/{path} HTTP/1.1\r\nHost: localhost\r\n"
                        f"Content-Length: {length}\r\n\r\n".encode())
    return peer


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir())


def test_links_lead_nowhere(serve, tmp_path):
    """Whatever links lie in the directory, by whatever call: nothing outside is read, made, removed."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    server = serve()
    requests.put(url(server, "in/f"), data=b"1", timeout=60)
    base = serve.folder / "in"
    links = {"folder": outside, "file": outside / "secret", "up": "../../outside",
             "proc": "/proc/self/root", "loop": "loop", "gone": outside / "gone"}

    def link():
        for name, target in links.items():
            if not (base / name).is_symlink():
                (base / name).symlink_to(target)

    for path in ("in/folder/secret", "in/file", "in/up/secret", "in/loop", "in/folder",
                 f"in/proc{outside}/secret", "in/loop/x", "in/gone"):
        link()  # a link itself may be deleted
        answer = requests.get(url(server, path), timeout=60)
        assert answer.status_code in (400, 404) and "secret" not in answer.text.split("message")[0]
        listed = requests.get(f"{server.url}{PROXY}", params={"path": path}, timeout=60)
        assert "secret\"" not in listed.text
        requests.delete(url(server, path + "/"), timeout=60)
    for path in ("in/folder/new", "in/up/new", f"in/proc{outside}/new", "in/loop/new"):
        link()
        assert requests.put(url(server, path), data=b"x", timeout=60).status_code == 400
    assert sorted(os.listdir(outside)) == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    assert requests.delete(url(server, "in/"), timeout=60).status_code == 200
    assert files(serve.folder) == [] and (outside / "secret").exists()


def test_nothing_is_left_by_a_kill(serve):
    server = serve()
    requests.put(url(server, "killed/old"), data=b"old", timeout=60)
    peer = begin_upload(server, "killed/old", 100 * MIB)
    for _ in range(20):
        peer.socket.sendall(b"x" * MIB)
    server.kill()
    assert files(serve.folder) == ["killed/old"]
    assert (serve.folder / "killed/old").read_bytes() == b"old"


def test_a_full_disk_is_told_and_leaves_nothing(serve, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], capture_output=True,
                             text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no mount here: {mounted.stderr.strip()}")
    try:
        server = serve(destination=str(small))
        answer = requests.put(url(server, "d/large"), data=b"x" * (20 * MIB), timeout=60)
        assert answer.status_code == 503, answer.text
        assert answer.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert files(small) == []
        assert requests.put(url(server, "d/small"), data=b"x" * MIB, timeout=60).status_code == 200
        server.stop()
    finally:
        os.system(f"umount -l {small}")


def test_slow_peers_cost_little_and_hold_nobody(serve):
    """Uploads that trickle and downloads that nobody reads, all at once."""
    server = serve("--min-body-rate", "0", binary=release())
    data = os.urandom(64 * MIB)
    assert requests.put(url(server, "large"), data=data, timeout=60).status_code == 200
    before = rss(server)
    peers = []
    for i in range(40):
        peers.append(begin_upload(server, f"slow/{i}", 1 << 40))
        peers[-1].socket.sendall(b"x" * 200000)
    for i in range(40):
        peers.append(Peer(server).ask(f"{PROXY}/large"))
    assert requests.get(url(server, "large"), timeout=60).content == data
    assert requests.put(url(server, "other"), data=data, timeout=60).status_code == 200
    wait_until(lambda: server.stat("sluice_artifact_downloads_total") >= 41, 30, "all have begun")
    assert rss(server) - before < 24 * MIB
    for peer in peers:
        peer.socket.close()
    wait_until(lambda: server.stat("sluice_artifact_uploads_cut_total") == 40, 30, "given up")
    assert files(serve.folder) == ["large", "other"]


def test_transfers_are_bounded(serve):
    server = serve("--artifact-transfers", "4")
    peers = [begin_upload(server, f"many/{i}", 1000) for i in range(5)]
    wait_until(lambda: requests.get(url(server, "none"), timeout=60).status_code == 429, 30,
               "there is no room")
    answer = requests.put(url(server, "x"), data=b"1", timeout=60)
    assert answer.status_code == 429 and answer.headers["retry-after"]
    for peer in peers:
        peer.socket.close()
    wait_until(lambda: requests.put(url(server, "x"), data=b"1", timeout=60).status_code == 200,
               30, "there is room again")


def test_a_long_exchange_takes_no_memory(serve):
    """256 MiB to disk and back, and to S3 and back."""
    data = os.urandom(MIB) * 256
    with S3() as s3:
        s3.make_bucket("bkt")
        for destination in (None, "s3://bkt"):
            server = serve(destination=destination, env=s3.env, binary=release())
            requests.put(url(server, "warm"), data=b"1", timeout=60)
            before = rss(server)
            assert requests.put(url(server, "f"), data=data, timeout=120).status_code == 200
            got = requests.get(url(server, "f"), timeout=120)
            assert got.content == data
            assert rss(server) - before < 16 * MIB
            server.stop()


def test_a_store_that_is_gone(serve):
    """S3 that refuses, that never answers, that dies in a download: 503, and all else goes on."""
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
    for port in (1, silent.getsockname()[1]):
        server = serve("--artifact-timeout", "1s", destination="s3://bkt", env={
            **keys, "MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}"})
        for call in (lambda: requests.put(url(server, "f"), data=b"x" * MIB, timeout=60),
                     lambda: requests.get(url(server, "f"), timeout=60),
                     lambda: requests.get(f"{server.url}{PROXY}", timeout=60),
                     lambda: requests.delete(url(server, "f"), timeout=60)):
            answer = call()
            assert answer.status_code == 503, answer.text
            assert answer.json()["message"].startswith("The artifact store gave no answer: ")
        assert requests.get(server.admin_url + "/readyz", timeout=60).status_code == 200
    silent.close()
    with S3() as s3:
        s3.make_bucket("bkt")
        server = serve(destination="s3://bkt", env=s3.env)
        assert requests.put(url(server, "f"), data=b"x" * (48 * MIB), timeout=60).status_code == 200
        peer = Peer(server).ask(f"{PROXY}/f")
        status, fields = peer.head()
        assert (status, fields["content-length"]) == (200, str(48 * MIB))
        s3.kill()
        got = 0
        with pytest.raises((ConnectionError, AssertionError)):  # broken off, not ended
            while True:
                more = peer.more(1 << 20)
                assert more
                got += len(more)
        assert got < 48 * MIB
        assert requests.get(server.url + "/version", timeout=60).text == "3.17.2"


def test_wrong_keys_are_told(serve):
    with S3() as s3:
        s3.make_bucket("bkt")
        server = serve(destination="s3://bkt", env={**s3.env, "AWS_SECRET_ACCESS_KEY": "wrong"})
        answer = requests.get(f"{server.url}{PROXY}", timeout=60)
        assert answer.status_code == 401
        assert answer.json()["message"].startswith("Failed to list artifacts in s3://bkt/: ")
        assert requests.put(url(server, "f"), data=b"1", timeout=60).status_code == 401


def test_many_clients_at_once(serve):
    """Uploads, downloads, lists and deletes of the same names from many threads: no half answer."""
    server = serve()
    wrong = []

    def work(number):
        session = requests.Session()
        for i in range(15):
            name = f"same/{i % 3}/f{number % 2}"
            data = bytes([65 + number]) * (1000 * (i + 1))
            session.put(url(server, name), data=data, timeout=60)
            got = session.get(url(server, name), timeout=60)
            if got.status_code == 200 and len(set(got.content)) > 1:
                wrong.append(got.content[:10])
            elif got.status_code not in (200, 404):
                wrong.append(got.text)
            session.get(f"{server.url}{PROXY}", params={"path": "same"}, timeout=60)
            if i % 5 == 4:
                gone = session.delete(url(server, "same/"), timeout=60)
                if gone.status_code != 200:
                    wrong.append(gone.text)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
