"""msgpack: log-batch in another dress, and streams of batches for many runs."""

import concurrent.futures
import math
import os
import pathlib
import re
import socket
import subprocess
import time
import uuid

import msgpack
import pytest
import requests

PROTOCOL = pathlib.Path(__file__).parents[2] / "docs" / "protocol.md"
SHIM = str(pathlib.Path(__file__).parents[1] / "crash" / "shim.c")
TYPE = {"Content-Type": "application/msgpack"}
STREAM = "/sluice/api/v1/log-batches"
ONE = "/api/2.0/mlflow/runs/log-batch"


@pytest.fixture(scope="module")
def url(sluice):
    return sluice.url


def call(url, path, **body):
    answer = requests.post(url + "/api/2.0/mlflow/" + path, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def experiment(url):
    return call(url, "experiments/create", name=uuid.uuid4().hex)["experiment_id"]


@pytest.fixture
def run(url, experiment):
    return call(url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]


def send(url, *batches, path=STREAM, headers=TYPE):
    return requests.post(url + path, data=b"".join(map(msgpack.packb, batches)), headers=headers,
                         timeout=60)


def results(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def point(key, value, step=0, timestamp=1):
    return {"key": key, "value": value, "timestamp": timestamp, "step": step}


def data_of(url, run):
    answer = requests.get(url + "/api/2.0/mlflow/runs/get", params={"run_id": run}, timeout=60)
    return answer.json()["run"]["data"]


def pairs(data, what):
    return {p["key"]: p["value"] for p in data.get(what, [])}


def test_one_batch(url, run, sql):
    answer = send(url, {"run_id": run, "metrics": [point("a", 1.5), point("b", 7), point("c", math.nan),
                                                   point("d", -math.inf, step=2**63 - 1)],
                        "params": [{"key": "p", "value": "ä"}],
                        "tags": [{"key": "t", "value": "x" * 100}]}, path=ONE)
    assert (answer.status_code, answer.text) == (200, "{}")
    data = data_of(url, run)
    assert pairs(data, "params") == {"p": "ä"} and pairs(data, "tags")["t"] == "x" * 100
    rows = sql.execute("SELECT key, value, is_nan, step FROM metrics WHERE run_uuid = %s ORDER BY key",
                       [run]).fetchall()
    assert rows == [("a", 1.5, False, 0), ("b", 7.0, False, 0), ("c", 0.0, True, 0),
                    ("d", -1.7976931348623157e308, False, 2**63 - 1)]


@pytest.mark.parametrize("batch", [
    {},
    {"run_id": ""},
    {"run_id": 5, "metrics": []},
    {"run_id": "none such", "metrics": [point("a", 1)]},
    {"run_id": "$run", "metrics": [point("a", "b")]},
    {"run_id": "$run", "metrics": [{"key": "a", "value": 1}]},
    {"run_id": "$run", "metrics": [point("a" * 251, 1)]},
    {"run_id": "$run", "metrics": [point("a", 1, timestamp=-1)]},
    {"run_id": "$run", "metrics": [point("a", 1, step=2**63)]},
    {"run_id": "$run", "metrics": [point("a\nb", 1)]},
    {"run_id": "$run", "metrics": [point("a", 1)] * 1001},
    {"run_id": "$run", "metrics": {"key": "a"}},
    {"run_id": "$run", "params": [{"key": "k", "value": "1"}, {"key": "k", "value": "2"}]},
    {"run_id": "$run", "params": [{"key": "k", "value": 1}]},
    {"run_id": "$run", "tags": [{"key": "k", "value": "a\x00"}]},
    {"runId": "$run", "metrics": [point("camel", 1)]},
    {"run_id": "$run", "nonsense": [1, {"x": None}], "metrics": [point("more", 1)]},
])
def test_the_rules_are_those_of_json(url, run, batch):
    """The same fields in JSON and in msgpack: the same answer to the word."""
    batch = {k: run if v == "$run" else v for k, v in batch.items()}
    json = requests.post(url + ONE, json=batch, timeout=60)
    packed = send(url, batch, path=ONE)
    assert (packed.status_code, packed.text) == (json.status_code, json.text)
    one, = results(send(url, batch))
    assert one == {"status": json.status_code, **{k: v for k, v in json.json().items()
                                                  if k in ("error_code", "message")}}


@pytest.mark.parametrize("body", [
    b"", b"\xc1", b"\x81", b"\x81\xa6run_id", b"\x81\x01\x02", b"\xc4\x01a", b"\xa1\xff", b"\x90", b"\x05",
    b"\x80\x80", b"\xdf\xff\xff\xff\xff", b"\x91" * 200, b'{"run_id": "a"}'])
def test_one_batch_that_is_no_map(url, body):
    answer = requests.post(url + ONE, data=body, headers=TYPE, timeout=60)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error_code"] == "INVALID_PARAMETER_VALUE"


def test_batches_stand_alone(url, experiment, sql):
    """Good and bad ones in one stream: each has its own result, and the good ones are stored."""
    first, second, gone = (call(url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
                           for _ in range(3))
    call(url, "runs/delete", run_id=gone)
    nobody = uuid.uuid4().hex
    got = results(send(
        url, {"run_id": first, "metrics": [point("a", 1)], "params": [{"key": "p", "value": "1"}]},
        {"run_id": nobody, "metrics": [point("a", 1)]},
        {"run_id": second, "metrics": [point("a", 1)], "tags": [{"key": "t", "value": "old"}]},
        {"run_id": first, "metrics": [point("b", 1)], "params": [{"key": "p", "value": "2"}]},
        {"run_id": gone, "metrics": [point("a", 1)]},
        "no map",
        {"run_id": second, "metrics": [point("b", 2)], "tags": [{"key": "t", "value": "new"}]},
        {"run_id": first}))
    assert [r["status"] for r in got] == [200, 404, 200, 400, 400, 400, 200, 200]
    assert nobody in got[1]["message"] and got[1]["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert "Changing param values is not allowed" in got[3]["message"]
    assert "must be in the 'active' state" in got[4]["message"]
    assert got[5]["message"] == "The batch must be a map."
    assert pairs(data_of(url, first), "metrics") == {"a": 1.0}
    data = data_of(url, second)
    assert pairs(data, "metrics") == {"a": 1.0, "b": 2.0} and pairs(data, "tags")["t"] == "new"
    assert sql.execute("SELECT count(*) FROM metrics WHERE run_uuid = %s", [gone]).fetchone() == (0,)


@pytest.mark.parametrize("tail", [b"\xc1", b"\x81\xa6run_id", b"\x82\xa6run_id\xa1x"])
def test_a_broken_stream_is_refused_whole(url, run, tail):
    body = msgpack.packb({"run_id": run, "metrics": [point("a", 1)]}) + tail
    answer = requests.post(url + STREAM, data=body, headers=TYPE, timeout=60)
    assert answer.status_code == 400 and "Batch 1 is no msgpack" in answer.json()["message"]
    assert "metrics" not in data_of(url, run)


def test_limits_of_a_stream(url, run):
    many = [{"run_id": run, "metrics": [point("a", 1, step=i)]} for i in range(1001)]
    answer = send(url, *many)
    assert answer.status_code == 400 and "more than 1000 batches" in answer.json()["message"]
    assert {r["status"] for r in results(send(url, *many[:1000]))} == {200}
    wide = {"run_id": run, "metrics": [point("a", 1, step=i) for i in range(1000)]}
    answer = send(url, *[wide] * 30)
    assert answer.status_code == 400 and "too many values" in answer.json()["message"]


def test_a_long_stream_goes_in_turns(url, sluice, experiment):
    """Others have the worker in between; the order, and a result for each batch, are as ever."""
    runs = [call(url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
            for _ in range(3)]
    batches = [{"run_id": runs[i % 3], "metrics": [point("a", i, step=5)]} for i in range(1000)]
    batches[99]["run_id"] = uuid.uuid4().hex
    batches[100]["params"] = [{"key": "p", "value": "1"}]
    batches[550]["metrics"][0]["key"] = "?"
    batches[999]["tags"] = [{"key": "t", "value": "last"}]
    before = sluice.stat("sluice_request_turns_total")
    got = [r["status"] for r in results(send(url, *batches))]
    assert sluice.stat("sluice_request_turns_total") >= before + 9
    assert [(i, status) for i, status in enumerate(got) if status != 200] == [(99, 404), (550, 400)]
    assert [pairs(data_of(url, run), "metrics")["a"] for run in runs] == [999, 997, 998]
    data = data_of(url, runs[0])
    assert pairs(data, "tags")["t"] == "last" and pairs(data_of(url, runs[1]), "params") == {"p": "1"}
    for i, run in enumerate(runs):
        history = requests.get(url + "/api/2.0/mlflow/metrics/get-history", timeout=60,
                               params={"run_id": run, "metric_key": "a"}).json()["metrics"]
        assert sorted(m["value"] for m in history) == [
            v for v in range(i, 1000, 3) if v not in (99, 550)]


def test_streams_that_take_turns_all_end(url, experiment):
    """Several at once, one of which nobody waits for; each worker goes round among its own."""
    runs = [call(url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
            for _ in range(8)]
    streams = [[{"run_id": run, "metrics": [point("a", i, step=i)]} for i in range(1000)]
               for run in runs]
    with socket.create_connection(url.removeprefix("http://").split(":")) as gone:
        body = b"".join(map(msgpack.packb, streams[0]))
        gone.sendall(f"POST {STREAM} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
                     "Content-Type: application/msgpack\r\n\r\n".encode() + body)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda stream: send(url, *stream), streams[1:]))
    assert [{r["status"] for r in results(a)} for a in answers] == [{200}] * 7
    for run in runs[1:]:
        assert pairs(data_of(url, run), "metrics") == {"a": 999}


def test_a_stream_needs_its_type_and_may_be_empty(url):
    assert results(send(url)) == []
    answer = send(url, {}, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "application/msgpack" in answer.json()["message"]
    assert requests.get(url + STREAM, timeout=60).status_code == 405


def test_a_run_that_is_not_in_the_table_any_more(database):
    """With a table that keeps nothing, what PostgreSQL says is still told to every batch."""
    from server import Sluice

    with Sluice(database, args=["--run-cache-ttl", "0"]) as server:
        experiment = call(server.url, "experiments/create", name=uuid.uuid4().hex)["experiment_id"]
        runs = [call(server.url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
                for _ in range(3)]
        got = results(send(server.url, *[{"run_id": r, "metrics": [point("a", i)]}
                                         for i, r in enumerate(runs + runs)]))
        assert [r["status"] for r in got] == [200] * 6


def test_points_that_the_disk_lost_are_not_accepted(database, tmp_path):
    """Three batches: while the second waits for PostgreSQL, the disk loses the first and recovers."""
    import psycopg

    from server import BINARY, Sluice, wait_until

    def preload():
        shim = str(tmp_path / "shim.so")
        subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", shim, SHIM,
                        "-ldl", "-pthread"], check=True)
        linked = subprocess.run(["ldd", os.environ.get("SLUICE_TEST_BINARY") or BINARY],
                                capture_output=True, text=True, check=True).stdout
        asan = re.search(r"libasan\S* => (\S+)", linked)  # which insists on coming first
        return " ".join(([asan[1]] if asan else []) + [shim])

    def ready():
        return requests.get(server.admin_url + "/readyz", timeout=5).status_code

    control = tmp_path / "trouble"
    with Sluice(database, env={"LD_PRELOAD": preload(), "CRASH_SHIM_CONTROL": str(control)},
                args=["--sql-timeout", "60s"]) as server, \
            psycopg.connect(database) as other, concurrent.futures.ThreadPoolExecutor() as pool:
        experiment = call(server.url, "experiments/create", name=uuid.uuid4().hex)["experiment_id"]
        run = call(server.url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        other.execute("LOCK TABLE params")
        control.write_text("eio")
        answer = pool.submit(send, server.url,
                             {"run_id": run, "metrics": [point("a", 1)],
                              "tags": [{"key": "t", "value": "x"}]},
                             {"run_id": run, "params": [{"key": "p", "value": "1"}]},
                             {"run_id": run, "metrics": [point("b", 1)]})
        wait_until(lambda: ready() == 503, 30, "the journal failed")
        control.unlink()
        wait_until(lambda: ready() == 200, 30, "the journal works again")
        other.rollback()
        assert [r["status"] for r in results(answer.result())] == [503, 200, 200]
        data = data_of(server.url, run)
        assert pairs(data, "metrics") == {"b": 1.0} and pairs(data, "params") == {"p": "1"}
        assert "t" not in pairs(data, "tags")  # never before its points


def test_the_sender_of_the_documentation(url, experiment, sql):
    text = PROTOCOL.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    code = code.split("\nsender = ")[0].rstrip()  # its use is run with the documents
    assert len(code.splitlines()) <= 30
    names = {}
    exec(compile(code, str(PROTOCOL), "exec"), names)
    runs = [call(url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
            for _ in range(5)]
    sender, failed = names["Sender"](url, limit=2500), []
    for step in range(2000):
        for run in runs:
            failed += sender.log(run, "loss", 1 / (step + 1), int(time.time() * 1000), step)
    sender.log("0" * 32, "loss", 1, 1, 1)
    failed += sender.flush()
    assert [(b["run_id"], r["status"]) for b, r in failed] == [("0" * 32, 404)]
    history = requests.get(url + "/api/2.0/mlflow/metrics/get-history", timeout=60,
                           params={"run_id": runs[0], "metric_key": "loss"}).json()["metrics"]
    assert len(history) == 2000
    for run in runs[1:]:
        data_of(url, run)  # waits for what is on its way
    rows = sql.execute("SELECT count(*) FROM metrics WHERE run_uuid = ANY(%s)", [runs]).fetchone()
    assert rows == (10_000,)


def test_a_long_body_is_read_aside(url, experiment, sql):
    """Beyond LIMIT_BODY_ASIDE the helper decodes: same results, for streams and for one batch."""
    runs = [call(url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
            for _ in range(5)]
    batches = [{"run_id": run, "metrics": [point("é" * 100, i, step=i) for i in range(1000)]}
               for run in runs]
    batches[2]["metrics"][7]["key"] = "?"  # refused; the others are not
    answer = send(url, *batches)
    assert len(answer.request.body) > 256 << 10
    found = results(answer)
    assert [r["status"] for r in found] == [200, 200, 400, 200, 200]
    assert "metrics[7].name" in found[2]["message"]
    long = {"run_id": runs[0], "metrics": [point("a" + "é" * 120, i, step=i) for i in range(1000)]}
    assert len(msgpack.packb(long)) > 256 << 10
    assert send(url, long, path=ONE).status_code == 200
    long["metrics"][3]["key"] = "?"
    assert "metrics[3].name" in send(url, long, path=ONE).json()["message"]
    body = b"".join(map(msgpack.packb, batches)) + b"\xc1"
    refused = requests.post(url + STREAM, data=body, headers=TYPE, timeout=60)
    assert refused.status_code == 400 and "Batch 5 is no msgpack" in refused.text
    for run in runs:
        data_of(url, run)
    rows = sql.execute("SELECT count(*) FROM metrics WHERE run_uuid = ANY(%s)", [runs])
    assert rows.fetchone() == (5000,)


def test_a_stream_has_one_deadline(database, sql):
    """Items behind one that waits for a lock are given back instead of waiting for it in turn."""
    from server import Sluice

    with Sluice(database, args=["--request-timeout", "1s", "--sql-timeout", "1s"]) as server:
        experiment = call(server.url, "experiments/create", name=uuid.uuid4().hex)["experiment_id"]
        run = call(server.url, "runs/create", experiment_id=experiment)["run"]["info"]["run_id"]
        tag = {"run_id": run, "tags": [{"key": "t", "value": "v"}]}
        assert results(send(server.url, tag))[0]["status"] == 200
        with sql.transaction():
            sql.execute("SELECT 1 FROM tags WHERE run_uuid = %s FOR UPDATE", [run])
            got = results(send(server.url, *[tag] * 20))
        assert {r["status"] for r in got} == {503}
        assert "longer than request_timeout" in got[-1]["message"]
