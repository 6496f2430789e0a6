"""Credentials for S3 that expire: from STS for a token (web identity), from a container's agent, from an
instance's metadata service.

Storage and STS are SeaweedFS', which checks tokens, signatures and session tokens. Agent and metadata service
exist only inside AWS: `Agent` speaks their documented protocols in their place, and hands out credentials that
SeaweedFS' STS has made."""

import http.server
import json
import os
import threading
import time
import xml.etree.ElementTree

import pytest
import requests

from conftest import STOCK_ONLY
from identity import ROLE, Issuer
from s3 import S3
from server import Sluice, wait_until

pytestmark = pytest.mark.skipif(STOCK_ONLY, reason="Sluice's own")

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
INSTANCE = "/latest/meta-data/iam/security-credentials/"


@pytest.fixture(scope="module")
def issuer():
    with Issuer() as made:
        yield made


@pytest.fixture(scope="module")
def s3(issuer, tmp_path_factory):
    config = issuer.write_config(tmp_path_factory.mktemp("iam"))
    with S3(more=[f"-s3.iam.config={config}"]) as server:
        server.make_bucket("bkt")
        yield server


@pytest.fixture
def serve(database, s3):
    """Starts Sluice with one worker, without the keys of the tests' own."""
    started = []

    def start(env, workers=1):
        names = ("AWS_DEFAULT_REGION", "MLFLOW_S3_ENDPOINT_URL")
        env = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": "/nonexistent",
               **{name: s3.env[name] for name in names}, **env}
        server = Sluice(database, args=["--artifacts-destination", "s3://bkt/p", "--workers", str(workers)],
                        env=env).__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__(None, None, None)


def put(server, name, data=b"x", **more):
    return requests.put(f"{server.url}{PROXY}/{name}", data=data, timeout=60, **more)


def goes(server, s3, name):
    """Up, where it lies, down, and listed."""
    data = os.urandom(100_000)
    assert put(server, name, data).status_code == 200
    assert s3.curl("GET", f"/bkt/p/{name}") == (200, data)
    assert requests.get(f"{server.url}{PROXY}/{name}", timeout=60).content == data
    listed = requests.get(f"{server.url}{PROXY}", timeout=60).json()
    assert name in [f["path"] for f in listed["files"]]


class Agent:
    """What gives credentials next to a program. keys(): (id, secret, session token)."""

    def __init__(self, keys, life_s=3600):
        self.keys, self.life_s = keys, life_s
        self.authorization = None  # what must come with a request to /creds
        self.asked, self.refused = [], 0
        self.is_open = threading.Event()  # while it is not set, nobody gets an answer
        self.is_open.set()
        agent = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                agent.is_open.wait(60)
                agent.asked.append(self.path)
                if self.path == "/creds":
                    self.say(agent.authorization in (None, self.headers["Authorization"]), agent.document())
                elif self.path.startswith(INSTANCE):
                    last = self.path.removeprefix(INSTANCE)
                    text = agent.document() if last == "the-role" else "the-role" if last == "" else None
                    self.say(text and self.headers["X-aws-ec2-metadata-token"] == "session-1", text)
                else:
                    self.say(False, "")

            def do_PUT(self):
                agent.is_open.wait(60)
                agent.asked.append(self.path)
                self.say(self.path == "/latest/api/token" and
                         int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) > 0, "session-1")

            def say(self, is_good, text):
                body = text.encode() if is_good else b"no"
                agent.refused += not is_good
                self.send_response(200 if is_good else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def document(self):
        key, secret, token = self.keys()
        end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.life_s))
        return json.dumps({"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": key,
                           "SecretAccessKey": secret, "Token": token, "Expiration": end})


@pytest.fixture
def keys(s3, issuer):
    """Credentials of STS, each time others."""
    def ask():
        got = requests.post(s3.url + "/", timeout=60, data={
            "Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": ROLE,
            "RoleSessionName": "agent", "WebIdentityToken": issuer.token("agent")})
        assert got.status_code == 200, got.text
        found = {e.tag.rpartition("}")[2]: e.text for e in xml.etree.ElementTree.fromstring(got.text).iter()}
        return found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]

    return ask


@pytest.fixture
def agent(keys):
    made = []

    def start(**more):
        made.append(Agent(keys, **more))
        return made[-1]

    yield start
    for one in made:
        one.is_open.set()
        one.server.shutdown()
        one.server.server_close()


def web_identity(s3, folder, token):
    file = folder / "token"
    file.write_text(token + "\n")
    return {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": ROLE,
            "AWS_ROLE_SESSION_NAME": "trainer", "AWS_ENDPOINT_URL_STS": s3.url}


def test_a_web_identity_becomes_keys(serve, s3, issuer, tmp_path):
    token = issuer.token("system:serviceaccount:ml:trainer")
    server = serve(web_identity(s3, tmp_path, token), workers=2)
    goes(server, s3, "web.bin")
    for i in range(8):  # both workers have their own
        goes(server, s3, f"web{i}.bin")
    assert 1 <= server.output().count("credentials for S3 fetched") <= 2
    assert token not in server.output()
    # what is signed for others holds the session token, and is good
    signed = requests.get(f"{server.url}{PROXY[:-9]}presigned/web.bin", timeout=60).json()
    assert "X-Amz-Security-Token=" in signed["url"]
    assert requests.get(signed["url"], timeout=60).status_code == 200


def test_an_upload_url_for_a_run_waits_for_the_keys(serve, s3, issuer, tmp_path):
    """The first that needs keys is a call that asks S3 for nothing."""
    server = serve(web_identity(s3, tmp_path, issuer.token("trainer")))
    made = requests.post(server.url + "/api/2.0/mlflow/experiments/create", timeout=60,
                         json={"name": "signed", "artifact_location": "s3://bkt/own"}).json()
    run = requests.post(server.url + "/api/2.0/mlflow/runs/create", timeout=60,
                        json={"experiment_id": made["experiment_id"]}).json()["run"]["info"]["run_id"]
    signed = requests.post(server.url + "/api/2.0/mlflow/artifacts/presigned-upload-url", timeout=60,
                           json={"run_id": run, "path": "direct.txt"}).json()
    sent = requests.put(signed["presigned_url"], data=b"direct", headers=signed["headers"], timeout=60)
    assert sent.status_code == 200, sent.text
    assert s3.curl("GET", f"/bkt/own/{run}/artifacts/direct.txt") == (200, b"direct")


@pytest.mark.parametrize("what", ["expired", "of somebody else", "missing"])
def test_a_token_that_is_no_good_is_said(serve, s3, issuer, tmp_path, what):
    token = {"expired": lambda: issuer.token("trainer", seconds=-600), "missing": lambda: "",
             "of somebody else": lambda: issuer.token("trainer", aud="other")}[what]()
    server = serve(web_identity(s3, tmp_path, token))
    got = put(server, "none.bin")
    assert got.status_code == 503 and "no credentials for S3" in got.json()["message"], got.text
    assert not token or token not in server.output() + got.text
    # the file is read again: a token that is replaced serves the next
    (tmp_path / "token").write_text(issuer.token("trainer"))
    wait_until(lambda: put(server, "none.bin").status_code == 200, 30, "the new token serves")


@pytest.mark.parametrize("how", ["file", "variable"])
def test_a_containers_agent(serve, s3, agent, tmp_path, how):
    one = agent()
    one.authorization = "Bearer pod-1"
    env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": one.url + "/creds"}
    if how == "file":
        (tmp_path / "auth").write_text("Bearer pod-1\n")
        env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(tmp_path / "auth")
    else:
        env["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = "Bearer pod-1"
    server = serve(env)
    goes(server, s3, f"pod-{how}.bin")
    assert one.asked == ["/creds"] and one.refused == 0
    assert "pod-1" not in server.output()


def test_the_metadata_service_of_an_instance(serve, s3, agent):
    one = agent()
    server = serve({"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": one.url + "/"})
    goes(server, s3, "instance.bin")
    assert one.asked == ["/latest/api/token", INSTANCE, INSTANCE + "the-role"] and one.refused == 0


def test_keys_are_fetched_anew_before_they_end(serve, s3, agent):
    """They last 4 s; whoever asks in the last second of them has new ones fetched, and nobody is refused."""
    one = agent(life_s=4)
    server = serve({"AWS_CONTAINER_CREDENTIALS_FULL_URI": one.url + "/creds"})
    end = time.monotonic() + 9
    sent = 0
    while time.monotonic() < end:
        assert put(server, "again.bin").status_code == 200
        sent += 1
    assert 3 <= len(one.asked) <= 6 and sent > len(one.asked), (one.asked, sent)


def test_an_agent_that_is_silent_holds_nobody_else(serve, s3, agent):
    """Uploads wait for it; what needs no keys goes on, and the uploads once it speaks."""
    one = agent()
    one.is_open.clear()
    server = serve({"AWS_CONTAINER_CREDENTIALS_FULL_URI": one.url + "/creds"})
    answers = []
    waiting = [threading.Thread(target=lambda i=i: answers.append(put(server, f"late{i}.bin").status_code))
               for i in range(5)]
    for thread in waiting:
        thread.start()
    wait_until(lambda: server.stat("sluice_open_connections") >= 5, 30, "the uploads are there")
    for _ in range(20):
        assert requests.get(server.url + "/health", timeout=5).status_code == 200
    gone = threading.Thread(target=lambda: pytest.raises(requests.Timeout, requests.put, timeout=0.2,
                                                         url=f"{server.url}{PROXY}/gone.bin", data=b"x"))
    gone.start()
    gone.join()  # one that leaves while it waits
    assert not answers
    one.is_open.set()
    for thread in waiting:
        thread.join()
    assert answers == [200] * 5 and one.asked == ["/creds"]


def test_without_anybody_who_has_keys_it_is_said(serve):
    got = put(serve({}), "none.bin")
    assert got.status_code == 503 and "it names nobody who has some" in got.json()["message"]
