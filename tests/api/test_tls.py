"""TLS on `listen`: versions, tickets, client certificates, files that change, peers that do not behave."""

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import urllib.parse
import uuid

import pytest
import requests
from mlflow.entities import Metric
from mlflow.tracking import MlflowClient

from certificates import Authority
from peer import rss
from server import BINARY, Sluice, wait_until

IS_SANITIZED = "asan" in BINARY or "tsan" in BINARY


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def database(postgres):
    name = "tls_" + uuid.uuid4().hex[:8]
    yield postgres.create_database(name)
    postgres.drop_database(name)


def serve(database, cert, key, *args):
    return Sluice(database, args=["--tls-cert", str(cert), "--tls-key", str(key), *args])


@pytest.fixture(scope="module")
def server(database, authority):
    with serve(database, *authority.sign("server"), "--workers", "3", "--head-timeout", "2s") as s:
        yield s


def terms(authority, **more):
    """A client's side, that trusts the authority."""
    context = ssl.create_default_context(cafile=str(authority.file))
    for name, value in more.items():
        setattr(context, name, value)
    return context


def session_of(authority):
    http = requests.Session()
    http.trust_env = False  # a bundle named there would win over verify
    http.verify = str(authority.file)
    return http


def address(server):
    url = urllib.parse.urlsplit(server.url)
    return url.hostname, url.port


def connect(server, context, session=None):
    plain = socket.create_connection(address(server), timeout=30)
    try:
        return context.wrap_socket(plain, server_hostname="localhost", session=session)
    except BaseException:
        plain.close()
        raise


def ask(connection, path="/version"):
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    data = b""
    while b"3.17.2" not in data:
        got = connection.recv(65536)
        assert got, data
        data += got
    return data


def tls_stat(server, name):
    return server.stat(f"sluice_tls_{name}_total")


# -- what is spoken --------------------------------------------------------------------------------

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions_from_1_2_on(server, authority, version):
    with connect(server, terms(authority, minimum_version=version, maximum_version=version)) as c:
        assert c.version() == version.name.replace("_", ".").replace("TLSv1.", "TLSv1.")
        assert b"200 OK" in ask(c) and b"200 OK" in ask(c)


def test_older_versions_are_refused(server, authority):
    context = terms(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="protocol version"):
        connect(server, context)


def test_alpn_is_http_1_1_or_nothing(server, authority):
    context = terms(authority)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(server, context) as c:
        assert c.selected_alpn_protocol() == "http/1.1"
    context = terms(authority)
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(server, context)


def test_renegotiation_is_refused(server):
    host, port = address(server)
    found = subprocess.run(["openssl", "s_client", "-connect", f"{host}:{port}", "-tls1_2"], input="R\n",
                           capture_output=True, text=True, timeout=60, check=False)
    assert "no renegotiation" in found.stderr


def test_plain_http_is_told_so(server):
    host, port = address(server)
    answer = requests.post(f"http://{host}:{port}/api/2.0/mlflow/runs/create", json={}, timeout=30)
    assert answer.status_code == 400 and "https://" in answer.json()["message"]


def test_the_admin_listener_stays_plain(server):
    assert server.admin_url.startswith("http://")
    assert requests.get(server.admin_url + "/livez", timeout=30).status_code == 200


# -- the stock client, bodies and answers ------------------------------------------------------------

def test_the_stock_client_logs_and_reads(server, authority, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(authority.file))
    client = MlflowClient(server.url)
    run = client.create_run(client.create_experiment("tls " + uuid.uuid4().hex)).info.run_id
    for step in range(0, 3000, 1000):
        client.log_batch(run, [Metric("m", i / 7, i, i) for i in range(step, step + 1000)])
    history = client.get_metric_history(run, "m")
    assert [m.value for m in history] == [i / 7 for i in range(3000)]
    monkeypatch.delenv("MLFLOW_TRACKING_SERVER_CERT_PATH")
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(server.url + "/version", timeout=30)


@pytest.fixture(scope="module")
def long_run(server, authority):
    """A run whose history is an answer of several megabytes."""
    http = session_of(authority)
    api = server.url + "/api/2.0/mlflow"
    run = http.post(api + "/runs/create", json={"experiment_id": "0"}).json()["run"]["info"]["run_id"]
    for begin in range(0, 40000, 1000):
        rows = [{"key": "m", "value": i, "timestamp": i, "step": i} for i in range(begin, begin + 1000)]
        assert http.post(api + "/runs/log-batch", json={"run_id": run, "metrics": rows}).status_code == 200
    return f"{api}/metrics/get-history?run_id={run}&metric_key=m"


def test_a_streamed_answer_is_whole(server, authority, long_run):
    rows = session_of(authority).get(long_run, timeout=120).json()["metrics"]
    assert [m["step"] for m in rows] == list(range(40000))


def test_a_slow_reader_gets_all_of_it(server, authority, long_run):
    path = long_run[len(server.url):]
    with connect(server, terms(authority)) as c:
        c.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        parts = []
        # Small reads, so that the socket is full again and again. HTTP/1.0: the end is close_notify, and
        # without one this would raise.
        c.suppress_ragged_eofs = False
        while part := c.recv(3000):
            parts.append(part)
    assert b"".join(parts).count(b'"step"') == 40000


def test_bodies_of_all_sizes_arrive(server, authority):
    http = session_of(authority)
    for size in (1, 4095, 16384, 16385, 65536, 1000001, 5 << 20):
        answer = http.post(server.url + "/api/2.0/mlflow/runs/log-batch", data=b" " * size + b"{}",
                           headers={"Content-Type": "application/json"}, timeout=60)
        assert answer.status_code == 400 and "run_id" in answer.json()["message"], answer.text
    answer = http.post(server.url + "/api/2.0/mlflow/runs/set-tag", data=b" " * (3 << 20), timeout=60)
    assert answer.status_code == 413
    assert http.get(server.url + "/version", timeout=60).text == "3.17.2"


# -- tickets ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_is_good_with_every_worker(server, authority, version):
    context = terms(authority, minimum_version=version, maximum_version=version)
    with connect(server, context) as c:
        ask(c)  # in 1.3 the ticket comes behind the handshake
        session = c.session
        assert not c.session_reused
    before = tls_stat(server, "resumptions")
    for _ in range(12):  # the kernel deals them out to three workers
        with connect(server, context, session) as c:
            ask(c)
            assert c.session_reused
            session = c.session
    assert tls_stat(server, "resumptions") == before + 12


# -- client certificates -----------------------------------------------------------------------------

def test_client_certificates(database, authority, tmp_path):
    ours, others = Authority(tmp_path, "clients"), Authority(tmp_path, "others")
    known, foreign = ours.sign("alice"), others.sign("mallory")
    trusted = tmp_path / "trusted.pem"
    shutil.copy(ours.file, trusted)
    with serve(database, *authority.sign("asks"), "--tls-client-ca", str(trusted), "--workers", "1") as server:
        def status(pair, session=None):
            context = terms(authority)
            if pair:
                context.load_cert_chain(*map(str, pair))
            with connect(server, context, session) as c:
                ask(c)
                return context, c.session

        def is_welcome(pair):
            try:
                return status(pair)
            except (ssl.SSLError, ConnectionResetError):
                return None

        context, session = status(known)
        for pair in (None, foreign):
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                status(pair)
        with connect(server, context, session) as c:
            ask(c)
            assert c.session_reused
        # Other authorities: what they have not signed is out, with its tickets.
        shutil.copy(others.file, trusted)
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: is_welcome(foreign), 20, "the worker has been told of the reload")
        assert "certificate reloaded" in server.output()
        with pytest.raises((ssl.SSLError, ConnectionResetError, AssertionError)):
            with connect(server, context, session) as c:
                ask(c)


def test_a_certificate_that_was_taken_back(database, authority, tmp_path):
    ours = Authority(tmp_path, "staff")
    alice, bob = ours.sign("alice"), ours.sign("bob")
    crl = tmp_path / "revoked.pem"
    ours.write_crl(crl)
    with serve(database, *authority.sign("revokes"), "--tls-client-ca", str(ours.file),
               "--tls-client-crl", str(crl), "--workers", "1") as server:
        def context_of(pair):
            context = terms(authority)
            context.load_cert_chain(*map(str, pair))
            return context

        def is_welcome(pair):
            try:
                with connect(server, context_of(pair)) as c:
                    return bool(ask(c))
            except (ssl.SSLError, ConnectionResetError):
                return False

        assert is_welcome(alice) and is_welcome(bob)
        context = context_of(bob)
        with connect(server, context) as c:
            ask(c)
            ticket = c.session
        ours.write_crl(crl, bob[0])  # seen within a second or so, without being told
        wait_until(lambda: not is_welcome(bob), 20, "the list is read again")
        assert is_welcome(alice)
        with pytest.raises((ssl.SSLError, ConnectionResetError, AssertionError)):
            with connect(server, context, ticket) as c:  # nor with what it was given before
                ask(c)
        # A list that cannot be read leaves the one before; one past its time lets nobody in.
        failed = tls_stat(server, "reload_failures")
        crl.write_text("-----BEGIN X509 CRL-----\nAAAA\n")
        wait_until(lambda: tls_stat(server, "reload_failures") > failed, 20, "it is refused")
        assert is_welcome(alice) and not is_welcome(bob)
        ours.write_crl(crl, days=-1)
        wait_until(lambda: not is_welcome(alice), 20, "the old list counts")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_ticket_ends_with_the_list_that_vouched_for_it(database, authority, tmp_path, version):
    """No file changes: time alone ends it, for whoever goes on with tickets, too."""
    ours = Authority(tmp_path, "crew")
    pair, crl = ours.sign("carol"), tmp_path / "revoked.pem"
    ours.write_crl(crl, seconds=10)
    context = terms(authority, minimum_version=version, maximum_version=version)
    context.load_cert_chain(*map(str, pair))
    ticket, was_reused = None, False

    def is_welcome():
        nonlocal ticket, was_reused
        try:
            with connect(server, context, ticket) as c:
                ask(c)
                ticket, was_reused = c.session, was_reused or c.session_reused
                return True
        except (ssl.SSLError, ConnectionResetError):
            return False

    with serve(database, *authority.sign("vouches"), "--tls-client-ca", str(ours.file),
               "--tls-client-crl", str(crl)) as server:
        assert is_welcome() and is_welcome() and was_reused
        wait_until(lambda: not is_welcome(), 30, "the list is past its time")


# -- files that change ---------------------------------------------------------------------------------

class Secret:
    """A mounted secret as Kubernetes keeps it: the files are links through ..data, which is renamed."""

    def __init__(self, folder):
        self.folder = folder
        self.number = 0
        self.cert, self.key = folder / "tls.crt", folder / "tls.key"
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(f"..data/{name}")

    def fill(self, cert, key):
        self.number += 1
        version = self.folder / f"..{self.number}"
        version.mkdir()
        shutil.copy(cert, version / "tls.crt")
        shutil.copy(key, version / "tls.key")
        (self.folder / "..new").symlink_to(version.name)
        os.rename(self.folder / "..new", self.folder / "..data")


def shown(server, authority):
    """The name in the certificate that a new connection sees."""
    with connect(server, terms(authority)) as c:
        return dict(pair for part in c.getpeercert()["subject"] for pair in part)["commonName"]


def test_rotation_under_load_drops_nobody(database, authority, tmp_path):
    secret = Secret(tmp_path)
    secret.fill(*authority.sign("first"))
    with serve(database, secret.cert, secret.key, "--workers", "2") as server:
        failures, count, is_over = [], [0], threading.Event()

        def load(keeps):
            http = session_of(authority)
            while not is_over.is_set():
                try:
                    answer = http.get(server.url + "/version", timeout=30,
                                      headers={} if keeps else {"Connection": "close"})
                    assert answer.text == "3.17.2"
                    count[0] += 1
                except Exception as error:
                    failures.append(repr(error))

        threads = [threading.Thread(target=load, args=(i % 2 == 0,)) for i in range(4)]
        with connect(server, terms(authority)) as kept:
            ask(kept)
            for thread in threads:
                thread.start()
            for name in ("second", "third"):
                secret.fill(*authority.sign(name))
                wait_until(lambda: shown(server, authority) == name, 20, f"the {name} certificate")
            before = count[0]
            wait_until(lambda: count[0] > before + 50, 60, "requests behind the rotation")
            is_over.set()
            for thread in threads:
                thread.join()
            assert b"200 OK" in ask(kept)  # began with the first
        assert not failures


def test_broken_files_leave_the_old_ones(database, authority, tmp_path):
    secret = Secret(tmp_path)
    secret.fill(*authority.sign("whole"))
    with serve(database, secret.cert, secret.key) as server:
        other = authority.sign("other")
        broken = tmp_path / "broken.pem"
        broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n")
        for count, pair in enumerate([(other[0], authority.key), (broken, other[1]),
                                      (other[0], os.devnull)], 1):
            secret.fill(*pair)
            wait_until(lambda: tls_stat(server, "reload_failures") == count, 20, f"failure {count}")
            assert shown(server, authority) == "whole"
        assert server.output().count("certificate not reloaded") == 3
        secret.fill(*other)
        wait_until(lambda: shown(server, authority) == "other", 20, "the good one")


@pytest.mark.parametrize("what", ["another key", "no file", "a passphrase", "half of it"])
def test_a_start_with_what_cannot_work_says_so(authority, tmp_path, what):
    cert, key = authority.sign("begin " + what.replace(" ", "-"))
    args = ["--tls-cert", str(cert), "--tls-key", str(key)]
    if what == "another key":
        args[3] = str(authority.key)
    elif what == "no file":
        args[1] = str(tmp_path / "missing.pem")
    elif what == "half of it":
        args = args[:2]
    else:
        args[3] = str(tmp_path / "secret.key")
        subprocess.run(["openssl", "ec", "-aes128", "-passout", "pass:secret", "-in", str(key), "-out", args[3]],
                       check=True, capture_output=True)
    found = subprocess.run([os.path.abspath(BINARY), "serve", "--listen", "127.0.0.1:0", "--data-dir",
                            str(tmp_path), *args], capture_output=True, text=True, timeout=60,
                           stdin=subprocess.DEVNULL, check=False)
    assert found.returncode != 0 and re.search("setting tls_(cert|key)", found.stderr), found.stderr


# -- peers that do not behave ---------------------------------------------------------------------------

def hello(authority):
    """The bytes of a ClientHello."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = terms(authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def is_over(connection):
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_slow_and_cut_handshakes_end(server, authority):
    before = tls_stat(server, "failures")
    first = hello(authority)
    slow = []
    for sent in (b"", first[:1], first[:100], first):
        c = socket.create_connection(address(server), timeout=60)
        c.sendall(sent)
        slow.append(c)
    for sent in (first[:100], first):
        with socket.create_connection(address(server), timeout=60) as c:
            c.sendall(sent)
    for c in slow:  # head_timeout is 2 s
        assert is_over(c)
        c.close()
    wait_until(lambda: tls_stat(server, "failures") == before + 6, 20, "all counted")


def test_a_flood_of_handshakes_is_taken_in_turns(database, authority):
    """More at once than a turn of the loop takes: those that wait are not forgotten, and neither is who has
    a connection already."""
    first = hello(authority)
    with serve(database, *authority.sign("flood"), "--workers", "1", "--head-timeout", "60s") as server:
        with connect(server, terms(authority)) as kept:
            ask(kept)
            flood = [socket.create_connection(address(server), timeout=60) for _ in range(400)]
            server.process.send_signal(signal.SIGSTOP)  # so that all of them are there at once
            for c in flood:
                c.sendall(first)
            server.process.send_signal(signal.SIGCONT)
            assert b"200 OK" in ask(kept)
            for c in flood:
                assert c.recv(5)[:1] == b"\x16"  # its half of the handshake
            for c in flood:
                c.close()
            assert b"200 OK" in ask(kept)


@pytest.mark.parametrize("bad", [b"\x16\x03\x01\xff\xff" + b"x" * 70000, b"\x80" * 5000, b"\x00" * 5000,
                                 b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", b"\x15\x03\x03\x00\x02\x02\x28",
                                 b"\x17\x03\x03\x00\x01\x00", b"get / HTTP/1.1\r\n\r\n"])
def test_what_is_no_handshake_ends_it(server, authority, bad):
    before = tls_stat(server, "failures")
    with socket.create_connection(address(server), timeout=60) as c:
        try:
            c.sendall(bad)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert is_over(c)
    wait_until(lambda: tls_stat(server, "failures") == before + 1, 20, "it is counted")
    assert session_of(authority).get(server.url + "/version", timeout=60).text == "3.17.2"


def test_a_thousand_connections_are_held(server, authority):
    context = terms(authority)
    before_bytes = rss(server)
    open_before = server.stat("sluice_open_connections")
    held = []
    try:
        for _ in range(1000):
            held.append(connect(server, context))
            ask(held[-1])
        wait_until(lambda: server.stat("sluice_open_connections") >= open_before + 1000, 30, "all of them")
        each = (rss(server) - before_bytes) / 1000
        print(f"{each / 1024:.1f} KiB for an idle connection")
        if not IS_SANITIZED:
            assert each < 40 * 1024
        for c in held[::97]:
            assert b"200 OK" in ask(c)
    finally:
        for c in held:
            c.close()
    wait_until(lambda: server.stat("sluice_open_connections") <= open_before + 1, 30, "all closed")
