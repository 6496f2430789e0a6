"""Artifacts by the stock client, through the server: in a local directory and in a real S3 server.

Each test runs on both (`store`). What is stored is looked at where it lies, not only through the
server that stored it.
"""

import os
import pathlib
import threading
import uuid

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException

from conftest import STOCK_ONLY
from peer import Peer
from s3 import S3
from server import Sluice, wait_until

pytestmark = pytest.mark.skipif(STOCK_ONLY, reason="serves artifacts of its own")

PROXY = "/api/2.0/mlflow-artifacts"
MIB = 1 << 20


class Local:
    """A directory as the destination."""

    def __init__(self, folder):
        self.folder = folder
        self.destination = str(folder)
        self.env = {}

    def read(self, path):
        return (self.folder / path).read_bytes()

    def names(self, path=""):
        """Every file below path, temporary ones included."""
        base = self.folder / path
        return sorted(str(p.relative_to(self.folder)) for p in base.rglob("*") if p.is_file())

    def close(self):
        pass


class Bucket:
    """A prefix of a bucket."""

    def __init__(self):
        self.s3 = S3().start()
        self.s3.make_bucket("bkt")
        self.destination = "s3://bkt/some/prefix"
        self.env = self.s3.env

    def read(self, path):
        status, body = self.s3.curl("GET", "/bkt/some/prefix/" + path)
        assert status == 200, (status, body)
        return body

    def names(self, path=""):
        status, body = self.s3.curl("GET", "/bkt?list-type=2&prefix=some%2Fprefix%2F"
                                    + path.replace("/", "%2F"))
        assert status == 200, (status, body)
        keys = [k.partition("</Key>")[0] for k in body.decode().split("<Key>")[1:]]
        return sorted(k.removeprefix("some/prefix/") for k in keys if not k.endswith("/"))

    def parts(self):
        """Multipart uploads under way."""
        return self.s3.curl("GET", "/bkt?uploads=")[1].count(b"<UploadId>")

    def close(self):
        self.s3.__exit__()


@pytest.fixture(scope="module", params=["local", "s3"])
def store(request, tmp_path_factory):
    made = Local(tmp_path_factory.mktemp("artifacts")) if request.param == "local" else Bucket()
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(store, database):
    with Sluice(database, args=["--artifacts-destination", store.destination],
                env=store.env) as started:
        mlflow.set_tracking_uri(started.url)
        yield started


@pytest.fixture
def run(server):
    client = mlflow.MlflowClient(server.url)
    experiment = client.create_experiment("artifacts-" + uuid.uuid4().hex)
    return client.create_run(experiment)


def path_of(run):
    uri = run.info.artifact_uri
    assert uri == f"mlflow-artifacts:/{run.info.experiment_id}/{run.info.run_id}/artifacts"
    return uri.removeprefix("mlflow-artifacts:/")


def put(server, path, data, **more):
    return requests.put(f"{server.url}{PROXY}/artifacts/{path}", data=data, timeout=60, **more)


def get(server, path, **more):
    return requests.get(f"{server.url}{PROXY}/artifacts/{path}", timeout=60, **more)


def test_files_and_folders_of_a_run(server, store, run, tmp_path):
    client = mlflow.MlflowClient(server.url)
    (tmp_path / "sub" / "deep").mkdir(parents=True)
    contents = {"a.txt": b"alpha", "empty": b"", "sub/name with ünïcode+%.json": b"{}",
                "sub/deep/large.bin": os.urandom(3 * MIB)}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    client.log_artifacts(run.info.run_id, str(tmp_path), "tree")
    client.log_artifact(run.info.run_id, str(tmp_path / "a.txt"))

    assert store.names(path_of(run)) == sorted(
        [f"{path_of(run)}/a.txt"] + [f"{path_of(run)}/tree/{n}" for n in contents])
    listed = client.list_artifacts(run.info.run_id)
    assert [(f.path, f.is_dir, f.file_size) for f in listed] == [("a.txt", False, 5),
                                                                ("tree", True, None)]
    below = client.list_artifacts(run.info.run_id, "tree/sub")
    assert [(f.path, f.is_dir) for f in below] == [
        ("tree/sub/deep", True), ("tree/sub/name with ünïcode+%.json", False)]
    assert client.list_artifacts(run.info.run_id, "a.txt") == []

    target = tmp_path / "back"
    target.mkdir()
    client.download_artifacts(run.info.run_id, "tree", str(target))
    for name, data in contents.items():
        assert (target / "tree" / name).read_bytes() == data
    with pytest.raises(MlflowException):
        client.download_artifacts(run.info.run_id, "nothing", str(target))


def test_text_and_dict_helpers(server, store, run):
    client = mlflow.MlflowClient(server.url)
    client.log_text(run.info.run_id, "a note", "notes/note.txt")
    client.log_dict(run.info.run_id, {"k": [1, 2]}, "conf/c.json")
    assert store.read(path_of(run) + "/notes/note.txt") == b"a note"
    assert mlflow.artifacts.load_dict(run.info.artifact_uri + "/conf/c.json") == {"k": [1, 2]}


@pytest.mark.parametrize("size", [0, 1, 65536, 5 * MIB + 1, 66 * MIB])
def test_bytes_come_back_as_they_went(server, store, size):
    """Beyond 64 MiB it is a multipart upload to S3."""
    data = os.urandom(size)
    name = f"sizes/{size}"
    for body in (data, (data[i:i + 70000] for i in range(0, len(data), 70000))):  # and chunked
        answer = put(server, name, body)
        assert (answer.status_code, answer.content) == (200, b"")
        assert get(server, name).content == data
        assert store.read(name) == data
    assert store.names("sizes/" + str(size)) in ([], [name])


def test_ranges_and_marks(server):
    assert put(server, "ranges/f.txt", b"0123456789").status_code == 200
    whole = get(server, "ranges/f.txt")
    assert whole.headers["content-length"] == "10" and whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "text/plain"
    assert whole.headers["content-disposition"] == "attachment; filename=f.txt"
    assert whole.headers["etag"].startswith('"') and whole.headers["last-modified"].endswith("GMT")
    for field, status, data, content_range in (
            ("bytes=2-4", 206, b"234", "bytes 2-4/10"), ("bytes=-3", 206, b"789", "bytes 7-9/10"),
            ("bytes=8-", 206, b"89", "bytes 8-9/10"), ("bytes=3-99", 206, b"3456789",
                                                       "bytes 3-9/10"),
            ("bytes=0-0,5-6", 200, b"0123456789", None), ("bytes=4-2", 400, None, None),
            ("lines=1-2", 400, None, None), ("bytes=10-", 416, b"", None)):
        answer = get(server, "ranges/f.txt", headers={"Range": field})
        assert answer.status_code == status, field
        assert answer.headers.get("content-range") == content_range or status == 416
        assert data is None or answer.content == data
    head = requests.head(f"{server.url}{PROXY}/artifacts/ranges/f.txt", timeout=60)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "10", b"")


def test_an_overwrite_is_seen_whole(server, store):
    """Readers get the old bytes or the new ones, never a mixture, while writers replace them."""
    put(server, "turns/f", b"0" * MIB)
    stop = threading.Event()
    seen, wrong = set(), []

    def read():
        while not stop.is_set():
            data = get(server, "turns/f").content
            seen.add(data[:1])
            if len(data) != MIB or len(set(data)) != 1:
                wrong.append(len(data))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for i in range(20):
        assert put(server, "turns/f", str(i % 10).encode() * MIB).status_code == 200
    wait_until(lambda: b"9" in seen, 30, "a reader sees the last one")
    stop.set()
    for thread in readers:
        thread.join()
    assert not wrong
    assert store.names("turns") == ["turns/f"]


def test_delete_takes_the_path_and_what_is_below(server, store):
    for name in ("del/foo/a", "del/foo/b/c", "del/foobar", "del/x"):
        assert put(server, name, b"1").status_code == 200
    for path in ("del/foo/", "del/x", "del/nothing"):
        answer = requests.delete(f"{server.url}{PROXY}/artifacts/{path}", timeout=60)
        assert (answer.status_code, answer.text) == (200, "{}")
    assert store.names("del") == ["del/foobar"]
    assert requests.delete(f"{server.url}{PROXY}/artifacts/%252e", timeout=60).status_code == 400
    assert store.names("del") == ["del/foobar"]


def test_what_is_no_file_is_told(server, store):
    put(server, "told/f", b"1")
    answer = get(server, "told")
    assert answer.status_code == 400
    assert answer.json() == {"detail": "Artifact path refers to a directory, not a file: 'told'"}
    answer = get(server, "told/none")
    assert (answer.status_code, answer.json()["message"]) == (404,
                                                              "No such artifact: 'told/none'")
    answer = put(server, "told/", b"1")
    assert answer.json() == {
        "detail": "Artifact path must include a filename (cannot end with '/')."}
    answer = requests.get(f"{server.url}{PROXY}/artifacts", params={"path": "told/f"}, timeout=60)
    assert answer.text == "{}"


def test_calls_by_ids(server, store, run, tmp_path):
    """What pages ask: artifacts of a run, of a logged model, of a version of a registered model."""
    client = mlflow.MlflowClient(server.url)
    run_id = run.info.run_id
    upload = f"{server.url}/ajax-api/2.0/mlflow/upload-artifact"
    answer = requests.post(upload, params={"run_uuid": run_id, "path": "up/n.txt"}, data=b"text",
                           timeout=60)
    assert (answer.status_code, answer.content) == (200, b"")
    assert store.read(path_of(run) + "/up/n.txt") == b"text"
    listed = requests.get(f"{server.url}/ajax-api/2.0/mlflow/artifacts/list",
                          params={"run_id": run_id, "path": "up"}, timeout=60).json()
    assert listed == {"root_uri": run.info.artifact_uri,
                      "files": [{"path": "up/n.txt", "is_dir": False, "file_size": 4}]}
    graphql = requests.post(f"{server.url}/graphql", timeout=60, json={
        "query": "query L($d: MlflowListArtifactsInput!) { mlflowListArtifacts(input: $d) "
                 "{ rootUri files { path isDir fileSize } } }",
        "variables": {"d": {"runId": run_id, "path": "up"}}}).json()
    assert graphql["data"]["mlflowListArtifacts"]["files"] == [
        {"path": "up/n.txt", "isDir": False, "fileSize": "4"}]
    fetched = requests.get(f"{server.url}/get-artifact",
                           params={"run_uuid": run_id, "path": "up/n.txt"}, timeout=60)
    assert (fetched.content, fetched.headers["cache-control"]) == (b"text", "no-cache")

    model = client.create_logged_model(run.info.experiment_id, "m", run_id)
    (tmp_path / "MLmodel").write_text("flavors: {}")
    client.log_model_artifact(model.model_id, str(tmp_path / "MLmodel"))
    base = f"{server.url}/ajax-api/2.0/mlflow/logged-models/{model.model_id}/artifacts"
    assert requests.get(base + "/directories", timeout=60).json()["files"] == [
        {"path": "MLmodel", "is_dir": False, "file_size": 11}]
    assert requests.get(base + "/files", params={"artifact_file_path": "MLmodel"},
                        timeout=60).text == "flavors: {}"

    name = "registered-" + uuid.uuid4().hex
    client.create_registered_model(name)
    client.create_model_version(name, run.info.artifact_uri + "/up", run_id)
    version = requests.get(f"{server.url}/model-versions/get-artifact", timeout=60,
                           params={"name": name, "version": "1", "path": "n.txt"})
    assert (version.status_code, version.text) == (200, "text")


def test_a_cut_upload_leaves_nothing(server, store):
    before = server.stat("sluice_artifact_uploads_cut_total")
    for head in (b"Content-Length: 80000000\r\n", b"Transfer-Encoding: chunked\r\n"):
        peer = Peer(server)
        peer.socket.sendall(b"PUT " + PROXY.encode() + b"/artifacts/cut/f HTTP/1.1\r\n"
                            b"Host: localhost\r\n" + head + b"\r\n")
        for _ in range(170):
            data = b"x" * 100000
            peer.socket.sendall(data if b"Length" in head else b"186a0\r\n" + data + b"\r\n")
        peer.socket.close()
    wait_until(lambda: server.stat("sluice_artifact_uploads_cut_total") == before + 2, 30,
               "both were given up")
    assert store.names("cut") == []
    assert get(server, "cut/f").status_code == 404
    if isinstance(store, Bucket):
        wait_until(lambda: store.parts() == 0, 30, "the parts are aborted")


def test_parts_and_presigned_urls(server, store):
    base = f"{server.url}{PROXY}"
    body = {"path": "/home/me/big.bin", "num_parts": 2}
    answer = requests.post(f"{base}/mpu/create/parts/d", json=body, timeout=60)
    if isinstance(store, Local):
        assert answer.status_code == 501
        assert answer.json()["message"] == \
            "Multipart upload is not supported for the current artifact repository"
        answer = requests.get(f"{base}/presigned/parts/d/big.bin", timeout=60)
        assert answer.json()["message"] == \
            "Multipart download is not supported for the current artifact repository"
        return
    made = answer.json()
    data = [b"a" * (5 * MIB), b"the end"]
    parts = []
    for credential, part in zip(made["credentials"], data):
        sent = requests.put(credential["url"], data=part, timeout=60)
        assert sent.status_code == 200, sent.text
        parts.append({"part_number": credential["part_number"], "etag": sent.headers["etag"]})
    assert store.names("parts") == []
    answer = requests.post(f"{base}/mpu/complete/parts/d", timeout=60, json={
        "path": "big.bin", "upload_id": made["upload_id"], "parts": parts})
    assert (answer.status_code, answer.text) == (200, "{}")
    assert store.read("parts/d/big.bin") == b"".join(data)
    signed = requests.get(f"{base}/presigned/parts/d/big.bin", timeout=60).json()
    assert signed["file_size"] == 5 * MIB + 7 and signed["headers"] == {}
    assert requests.get(signed["url"], timeout=60).content == b"".join(data)
    assert requests.get(signed["url"].replace("big.bin", "other"), timeout=60).status_code == 403
    assert requests.get(f"{base}/presigned/parts/none", timeout=60).status_code == 404
    made = requests.post(f"{base}/mpu/create/parts", json=body, timeout=60).json()
    answer = requests.post(f"{base}/mpu/abort/parts", timeout=60,
                           json={"path": "big.bin", "upload_id": made["upload_id"]})
    assert (answer.status_code, answer.text) == (200, "{}")
    wait_until(lambda: store.parts() == 0, 30, "no upload is under way")


def test_runs_outside_the_destination(server, store, tmp_path):
    """Locations of their own: a plain path, a file: URI, s3:."""
    client = mlflow.MlflowClient(server.url)
    places = [str(tmp_path / "plain"), (tmp_path / "uri").as_uri()]
    if isinstance(store, Bucket):
        places.append("s3://bkt/elsewhere")
    for place in places:
        experiment = client.create_experiment("place-" + uuid.uuid4().hex, place)
        run = client.create_run(experiment)
        assert run.info.artifact_uri == f"{place}/{run.info.run_id}/artifacts"
        answer = requests.post(f"{server.url}/ajax-api/2.0/mlflow/upload-artifact", data=b"here",
                               params={"run_uuid": run.info.run_id, "path": "d/f"}, timeout=60)
        assert answer.status_code == 200, answer.text
        listed = requests.get(f"{server.url}/api/2.0/mlflow/artifacts/list",
                              params={"run_id": run.info.run_id}, timeout=60).json()
        assert listed["files"] == [{"path": "d", "is_dir": True}]
        fetched = requests.get(f"{server.url}/get-artifact", timeout=60,
                               params={"run_id": run.info.run_id, "path": "d/f"})
        assert fetched.content == b"here"
        presigned = requests.post(f"{server.url}/api/2.0/mlflow/artifacts/presigned-download-url",
                                  json={"run_id": run.info.run_id, "path": "d/f"}, timeout=60)
        if not place.startswith("s3:"):
            assert pathlib.Path(tmp_path, "plain" if place == places[0] else "uri",
                                run.info.run_id, "artifacts/d/f").read_bytes() == b"here"
            assert presigned.status_code == 501
            continue
        assert requests.get(presigned.json()["presigned_url"], timeout=60).content == b"here"
        upload = requests.post(f"{server.url}/api/2.0/mlflow/artifacts/presigned-upload-url",
                               json={"run_id": run.info.run_id, "path": "up.txt"}, timeout=60)
        sent = requests.put(upload.json()["presigned_url"], data=b"direct", timeout=60,
                            headers=upload.json()["headers"])
        assert sent.status_code == 200, sent.text
        assert requests.get(f"{server.url}/get-artifact", timeout=60, params={
            "run_id": run.info.run_id, "path": "up.txt"}).content == b"direct"


@pytest.fixture
def serve_mode(database, tmp_path):
    started = []

    def start(*args):
        started.append(Sluice(database, data_dir=str(tmp_path / f"d{len(started)}"),
                              args=["--artifacts-destination", str(tmp_path / "a"), *args]))
        return started[-1].__enter__()

    yield start
    for server in started:
        server.__exit__(None, None, None)


def test_modes(serve_mode):
    """Which calls are off, and where new runs keep their artifacts. Words: tests/unit."""
    off = serve_mode("--serve-artifacts", "false", "--default-artifact-root", "s3://own/root")
    for answer in (get(off, "x"), put(off, "x", b"1")):
        assert answer.status_code == 503 and "--serve-artifacts" in answer.json()["detail"]
    listed = requests.get(f"{off.url}{PROXY}/artifacts", timeout=60)
    assert listed.status_code == 503 and listed.text.startswith(f"Endpoint: {PROXY}/artifacts dis")
    client = mlflow.MlflowClient(off.url)
    run = client.create_run(client.create_experiment("own-" + uuid.uuid4().hex))
    assert run.info.artifact_uri.startswith("s3://own/root/")

    only = serve_mode("--artifacts-only", "true")
    assert put(only, "f", b"1").status_code == 200 and get(only, "f").content == b"1"
    answer = requests.post(f"{only.url}/api/2.0/mlflow/runs/create", json={}, timeout=60)
    assert answer.status_code == 503 and "--artifacts-only" in answer.text
    assert requests.get(only.url + "/health", timeout=60).text == "OK"
    info = requests.get(only.url + "/api/3.0/mlflow/server-info", timeout=60).json()
    assert info["multipart_uploads_enabled"] is False
