#!/usr/bin/env python3
"""The acceptance suite: what MLflow's charts and guides are used for, by the commands that they give.

    build/venv/bin/python tests/deploy/acceptance.py [--only NAME]

  quickstart   the official chart's quick start: helm install, kubectl port-forward, the page in a browser
  production   PostgreSQL, S3 and TLS by Secrets, an Ingress: from outside by its host, inside by the Service
  users        the ACK chart's values: the admin logs in, a second install changes no password, users are apart
  guide        the hand-written stack: training script, registry, deployer and the model it serves, the
               autoscaler, the scraper
  password     the same stack from outside, through an Ingress that asks for a password, with auth off inside
  collect      the CronJob by hand, with users, TLS, allowed hosts and two workspaces: what is deleted is gone
  kills        pods killed and rolled under writers: each acknowledged point is there once, each 5xx was retried
  natives      without an upstream: what is not native is answered so, by its name
  hardened     what ran above ran as nobody known, on a root that cannot be written, without token and rights
  arena        what Arena sends, directly and through the API server's proxy

The API server, controllers and scheduler are real (control_plane.py), and so are the pods: the image of
`make image` as processes with networks of their own (kubelet.py). In place of images that cannot be fetched
stand this machine's PostgreSQL, S3 server and mlflow. An order, because `hardened` looks at those before
it. Needs root. Last line: `N passed, N failed`.
"""

import argparse
import base64
import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "../tools"))

import requests  # noqa: E402
import yaml  # noqa: E402

import checks  # noqa: E402
import namespaces  # noqa: E402
from browser import Browser  # noqa: E402
from certificates import Authority  # noqa: E402
from cluster import USER, Cluster, bin_dir  # noqa: E402
from control_plane import KUBECTL, ControlPlane  # noqa: E402
from ingress import Ingress  # noqa: E402
from kubelet import HOME, PATH, Image, Kubelet, image_of, make_network  # noqa: E402
from metrics_api import MetricsApi  # noqa: E402
from run import Prometheus  # noqa: E402
from s3 import KEY, S3, SECRET  # noqa: E402
from server import clean_environment, free_port, wait_until  # noqa: E402

CHART = os.path.join(ROOT, "deploy/chart/sluice")
MANIFESTS = os.path.join(ROOT, "deploy/manifests")
HELM = os.path.join(ROOT, "build/kube/helm")
API = "/api/2.0/mlflow/"
PASSWORD, OTHER = "a-password-of-ours", "another-password"
LIMIT_S = 300
# What every install of these checks is held to; see `hardened`.
HARD = {"networkPolicy": {"enabled": True}, "podSecurityContext": {"runAsUser": 1000650000},
        "drainDelaySeconds": 2}
POSTGRES = r"""
[ -e "$PGDATA/PG_VERSION" ] || initdb -D "$PGDATA" -U "$POSTGRES_USER" -A scram-sha-256 --no-sync \
    --pwfile=<(printf %s "$POSTGRES_PASSWORD") >/dev/null
grep -q ^host.all.all.all "$PGDATA/pg_hba.conf" || echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
export PGPASSWORD="$POSTGRES_PASSWORD"
postgres --single -D "$PGDATA" -c fsync=off postgres <<<"CREATE DATABASE \"$POSTGRES_DB\"" >/dev/null 2>&1 || true
exec postgres -D "$PGDATA" -h 0.0.0.0 -k /var/run/postgresql -c fsync=off
"""
MINIO = r"""
cat >/tmp/s3.json <<END
{"identities": [{"name": "root", "actions": ["Admin"],
  "credentials": [{"accessKey": "$MINIO_ROOT_USER", "secretKey": "$MINIO_ROOT_PASSWORD"}]}]}
END
exec weed server -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -filer -s3 -s3.config=/tmp/s3.json -s3.port=9000 \
    -volume.max=8 -master.volumeSizeLimitMB=256 -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.localSocket=/tmp/s3.sock -filer.localSocket=/tmp/filer.sock
"""
MC = r"""#!/bin/sh -e
# The two words of MinIO's mc that the guides use: alias set NAME URL USER PASSWORD; mb --ignore-existing NAME/BUCKET.
if [ "$1" = alias ]; then printf '%s\n' "$4" "$5:$6" >/tmp/alias; exit; fi
{ read -r url; read -r user; } </tmp/alias
status=$(curl -sS -X PUT --aws-sigv4 aws:amz:us-east-1:s3 -u "$user" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' \
    -o /dev/null -w '%{http_code}' "$url/${3#*/}")
[ "$status" = 200 ] || [ "$status" = 409 ]
"""


def merged(*layers):
    out = {}
    for layer in layers:
        for key, value in layer.items():
            out[key] = merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out


class Suite:
    """What the checks share: the cluster, its machine, a database server, a store, an authority."""

    def __init__(self, plane, machine, cluster, store, folder):
        self.plane = plane
        self.machine = machine
        self.cluster = cluster
        self.store = store
        self.folder = folder
        self.authority = Authority(pathlib.Path(folder), "authority")
        self.hardened = []  # (namespace, pods) that ran as HARD says

    def database(self, name):
        """Its URL as pods see it."""
        self.cluster.create_database(name)
        return f"postgresql://{USER}:{PASSWORD}@{HOME}:{self.cluster.settings['port']}/{name}"

    def secret(self, namespace, name, **data):
        self.plane.apply([{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque",
                           "stringData": {k.replace("__", "."): v for k, v in data.items()}}], namespace)

    def tls_secret(self, namespace, name, *hosts):
        certificate, key = sign(self.authority, hosts)
        self.plane.kubectl("create", "secret", "tls", name, "-n", namespace, f"--cert={certificate}", f"--key={key}")

    def store_env(self):
        return [{"name": "MLFLOW_S3_ENDPOINT_URL", "value": f"http://{HOME}:{self.store.ports['s3']}"},
                {"name": "AWS_ACCESS_KEY_ID", "value": KEY}, {"name": "AWS_SECRET_ACCESS_KEY", "value": SECRET},
                {"name": "AWS_DEFAULT_REGION", "value": "us-east-1"}]

    def helm(self, *words):
        done = subprocess.run([HELM, *words], text=True, capture_output=True, timeout=600, check=False,
                              env={"PATH": PATH, "HOME": self.folder, "KUBECONFIG": self.plane.config})
        assert done.returncode == 0, f"helm {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self, namespace, preset, *values, release="rel", verb="install"):
        """helm install into a namespace that enforces the restricted standard, until every pod is ready."""
        files = ["--values", os.path.join(CHART, "presets", preset)] if preset else []
        path = os.path.join(self.folder, f"values-{time.monotonic_ns()}.json")
        with open(path, "w", encoding="utf-8") as f:
            json.dump(merged(*values), f)
        self.plane.namespace(namespace)
        self.helm(verb, release, CHART, "-n", namespace, *files, "--values", path)
        self.ready(namespace)

    def ready(self, namespace):
        def all_ready():
            assert self.machine.wrong is None, self.machine.wrong
            loops = [c for p in list(self.machine.pods.values()) for c in p.containers
                     if p.namespace == namespace and c.restarts > 30]
            assert not loops, f"{loops[0].name} ends again and again"
            rows = [o for kind in ("statefulsets", "deployments") for o in self.plane.get(kind, namespace)["items"]]
            return rows and all(is_complete(o) for o in rows)

        try:
            wait_until(all_ready, LIMIT_S, f"all of {namespace} is ready")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.machine.output(namespace)}\n" + self.plane.kubectl(
                "get", "events", "-n", namespace, fails=None)[-3000:]) from None

    def leave(self, namespace):
        self.plane.kubectl("delete", "namespace", namespace, "--wait=false")


def is_complete(o):
    status, wanted = o.get("status", {}), o["spec"]["replicas"]
    return (status.get("observedGeneration", 0) >= o["metadata"]["generation"] and status.get("replicas") == wanted
            and status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == wanted)


def sign(authority, hosts):
    """(certificate, key) for those names, by an authority that clients are told of."""
    folder, name = authority.folder, hosts[0]
    certificate, key, request = (folder / f"{name}.{end}" for end in ("crt", "key", "csr"))
    terms = folder / f"{name}.terms"
    terms.write_text("subjectAltName=" + ",".join("DNS:" + h for h in hosts) + "\n")
    for words in (("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out",
                   request, "-subj", f"/CN={name}"),
                  ("x509", "-req", "-in", request, "-CA", authority.file, "-CAkey", authority.key, "-CAcreateserial",
                   "-days", "2", "-extfile", terms, "-out", certificate)):
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
    return certificate, key


def service_names(service, namespace):
    return [service + end for end in ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")]


def post(url, path, body, status=200, **more):
    answer = requests.post(url + API + path, json=body, timeout=60, **more)
    assert answer.status_code == status, f"{path}: {answer.status_code} {answer.text}"
    return answer.json() if status == 200 else None


def use(url, **more):
    """An experiment, a run, a point, an artifact, and all of it back; gives the run's id."""
    created = post(url, "runs/create", {"experiment_id": "0"}, **more)
    run_id = created["run"]["info"]["run_id"]
    post(url, "runs/log-metric", {"run_id": run_id, "key": "loss", "value": 0.5, "step": 1,
                                  "timestamp": 1700000000000}, **more)
    answer = requests.get(url + API + "metrics/get-history", timeout=60,
                          params={"run_id": run_id, "metric_key": "loss"}, **more)
    assert [m["value"] for m in answer.json()["metrics"]] == [0.5], answer.text
    return run_id


@contextlib.contextmanager
def port_forward(suite, namespace, service):
    """`kubectl port-forward svc/NAME 5000:5000`, as the guides say it."""
    log = os.path.join(suite.folder, "port-forward")
    with open(log, "wb") as out:
        process = subprocess.Popen([KUBECTL, "--kubeconfig", suite.plane.config, "port-forward", "-n", namespace,
                                    f"svc/{service}", "5000:5000"], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        def forwards():
            with open(log, encoding="utf-8") as f:
                said = f.read()
            assert process.poll() is None, said
            return "Forwarding from 127.0.0.1:5000" in said

        wait_until(forwards, 60, "the port is forwarded")
        yield "http://localhost:5000"
    finally:
        process.terminate()
        process.wait(timeout=30)


def quickstart(suite):
    # One worker without jobs, that nobody kills because a busy machine has kept it from answering for 5 s.
    suite.install("quickstart", "values-quickstart.yaml", {
        "drainDelaySeconds": 1, "env": [{"name": "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "value": "false"}],
        "upstream": {"extraArgs": ["--workers=1", "--uvicorn-opts=--timeout-worker-healthcheck 120"]}}, release="mlflow")
    with port_forward(suite, "quickstart", "mlflow-sluice") as url:
        assert requests.get(url + "/health", timeout=30).text == "OK"
        use(url)
        with Browser(os.path.join(ROOT, "build/deploy")) as browser:
            page = browser.open(url + "/")
            page.wait_for("document.title.includes('MLflow') && document.body.innerText.includes('Experiments')", 120)
    claims = {c["metadata"]["name"] for c in suite.plane.get("pvc", "quickstart")["items"]}
    assert claims == {"mlflow-sluice-artifacts"}, claims
    suite.helm("uninstall", "mlflow", "-n", "quickstart", "--wait")
    assert suite.plane.get("pvc/mlflow-sluice-artifacts", "quickstart"), "an uninstall has removed the data"
    suite.leave("quickstart")


def production(suite):
    plane, host = suite.plane, "mlflow.example.com"
    plane.namespace("production")
    suite.secret("production", "mlflow-db", uri=suite.database("production"))
    suite.secret("production", "mlflow-s3", **{"access-key-id": KEY, "secret-access-key": SECRET})
    suite.tls_secret("production", "mlflow-tls", "rel-sluice", *service_names("rel-sluice", "production")[1:])
    suite.tls_secret("production", "mlflow-ingress-tls", host)
    with open(os.path.join(CHART, "presets/values-postgres-s3.yaml"), encoding="utf-8") as f:
        env = yaml.safe_load(f)["env"]
    suite.install("production", "values-postgres-s3.yaml", HARD, {"env": env + suite.store_env()[:1] + [
        {"name": "AWS_DEFAULT_REGION", "value": "us-east-1"}]})
    authority = str(suite.authority.file)
    with Ingress(plane, suite.machine, suite.folder):
        for url in (f"https://{host}", *(f"https://{name}:5000" for name in service_names(
                "rel-sluice", "production")[1:])):
            wait_until(lambda url=url: answers(url, authority), 60, url)
            run_id = use(url, verify=authority)
            put = requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/0/{run_id}/artifacts/a", data=b"x" * 3000000,
                               timeout=60, verify=authority)
            assert put.status_code == 200, put.text
        assert requests.get(f"https://{host}{API}experiments/get?experiment_id=0", timeout=30, verify=authority,
                            headers={"Host": "elsewhere.example.com"}).status_code == 403
    suite.hardened.append("production")


def answers(url, authority=None):
    try:
        return requests.get(url + "/health", timeout=10, verify=authority or True).text == "OK"
    except requests.RequestException:
        return False


def users(suite):
    store, people = suite.database("store"), suite.database("people")

    def values(password):
        return {"backendStore": {"backendStoreUri": store.replace("://", "+psycopg2://")},
                "trackingServer": {"mode": "no-serve-artifacts", "defaultArtifactRoot": "./mlruns", "basicAuth": {
                    "enabled": True, "defaultPermission": "NO_PERMISSIONS", "databaseUri": people,
                    "adminUsername": "admin", "adminPassword": password}}}

    suite.install("users", None, HARD, values(PASSWORD), {"settings": {"log_requests": "all"}})
    url, admin = "http://rel-sluice.users.svc:5000", ("admin", PASSWORD)
    wait_until(lambda: answers(url), 60, url)
    assert requests.get(url + API + "experiments/get?experiment_id=0", timeout=30).status_code == 401
    post(url, "experiments/search", {"max_results": 1}, auth=admin)
    suite.install("users-again", None, HARD, values(OTHER))
    again = "http://rel-sluice.users-again.svc:5000"
    wait_until(lambda: answers(again), 60, again)
    post(again, "experiments/search", {"max_results": 1}, auth=admin)
    post(again, "experiments/search", {"max_results": 1}, status=401, auth=("admin", OTHER))
    for name in ("anna", "bert"):
        post(url, "users/create", {"username": name, "password": PASSWORD}, auth=admin)
    made = post(url, "experiments/create", {"name": "anna's"}, auth=("anna", PASSWORD))["experiment_id"]
    for name, status in (("anna", 200), ("bert", 403)):
        answer = requests.get(url + API + "experiments/get", params={"experiment_id": made}, timeout=30,
                              auth=(name, PASSWORD))
        assert answer.status_code == status, f"{name}: {answer.status_code}"
    logged = pathlib.Path(suite.machine.pod("users", "rel-sluice-0").containers[0].log).read_text("utf-8")
    asked = [json.loads(line) for line in logged.splitlines() if line.startswith("{")]
    assert [a for a in asked if "experiments/get" in str(a) and "403" in str(a)], logged
    assert PASSWORD not in logged and base64.b64encode(f"anna:{PASSWORD}".encode()).decode() not in logged
    suite.hardened += ["users", "users-again"]


def script(name, env, *words):
    done = subprocess.run([sys.executable, os.path.join(ROOT, "examples", name), *words], text=True, timeout=300,
                          env=clean_environment(env), capture_output=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


def guide(suite):
    plane, service = suite.plane, "http://mlflow-server.mlflow.svc:5000"
    plane.kubectl("apply", "--server-side", "-k", MANIFESTS)
    suite.ready("mlflow")
    wait_until(lambda: any(j.get("status", {}).get("succeeded") for j in plane.get("jobs", "mlflow")["items"]),
               LIMIT_S, "the bucket is made")
    wait_until(lambda: answers(service), 60, service)
    plane.kubectl("apply", "--server-side", "-k", MANIFESTS + "/deployer")
    suite.ready("ml-serving")
    name, version, _ = script("train_register.py", {"MLFLOW_TRACKING_URI": service}, "iris")[-3:]
    assert (name, version) == ("iris", "1")
    assert script("deploy_loop.py", {"MLFLOW_TRACKING_URI": service}, "iris", "--versions", "1")[:2] == ["iris", "1"]
    # The deployer's next round makes the Deployment, whose pod loads the model through the gateway.
    wait_until(lambda: any(d["metadata"]["name"] == "iris-serving" for d in plane.get(
        "deployments", "ml-serving")["items"]), 120, "the deployer has seen it")
    suite.ready("ml-serving")
    pod = plane.pods("ml-serving", "app=iris-serving,model-version=1")[0]
    answer = requests.post(f"http://{pod['status']['podIP']}:8080/invocations", timeout=60,
                           json={"inputs": [[6.3, 3.3, 6.0, 2.5]]})
    assert answer.json() == {"predictions": [2]}, answer.text
    scraped(suite, "mlflow")
    with MetricsApi(plane, suite.folder) as api:
        api.cpu = lambda pod: 450  # of 500 that are asked for, with 70 % wanted
        plane.wait("statefulset/mlflow", "mlflow", lambda o: o["spec"]["replicas"] > 3)
        api.cpu = lambda pod: 50
        plane.wait("statefulset/mlflow", "mlflow", lambda o: o["spec"]["replicas"] == 3)


def scraped(suite, namespace):
    """A Prometheus that is told what the operator makes of the ServiceMonitor has its pods as targets, up."""
    spec = suite.plane.get("servicemonitors", namespace)["items"][0]["spec"]
    chosen = suite.plane.get("services", namespace, "-l", ",".join(
        f"{k}={v}" for k, v in spec["selector"]["matchLabels"].items()))["items"]
    assert len(chosen) == 1, [s["metadata"]["name"] for s in chosen]
    slices = suite.plane.get("endpointslices", namespace, "-l",
                             "kubernetes.io/service-name=" + chosen[0]["metadata"]["name"])["items"]
    end = spec["endpoints"][0]
    targets = [f"{e['addresses'][0]}:{p['port']}" for s in slices for p in s["ports"] if p["name"] == end["port"]
               for e in s["endpoints"]]
    assert len(targets) == 3, targets
    with tempfile.TemporaryDirectory() as folder, Prometheus(folder, targets, end["path"]) as prometheus:
        wait_until(lambda: prometheus.has('count(up{job="sluice"} == 1) == 3'), 60, "three targets are up")
        assert prometheus.has("sluice_accepted_points_total > 0")


def password(suite):
    host = "mlflow.yourdomain.com"
    suite.tls_secret("mlflow", "mlflow-tls", host)
    with Ingress(suite.plane, suite.machine, suite.folder):
        url, authority = f"https://{host}", str(suite.authority.file)
        wait_until(lambda: host in pathlib.Path("/etc/hosts").read_text("ascii"), 30, "the name resolves")
        assert requests.get(url + "/health", timeout=30, verify=authority).status_code == 401
        use(url, verify=authority, auth=("mlflow", "change-me"))
        env = {"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_USERNAME": "mlflow",
               "MLFLOW_TRACKING_PASSWORD": "change-me", "MLFLOW_TRACKING_SERVER_CERT_PATH": authority,
               "REQUESTS_CA_BUNDLE": authority}
        assert script("train_register.py", env, "outside")[-3:-1] == ["outside", "1"]
    for namespace in ("mlflow", "ml-serving"):
        suite.leave(namespace)


def collect(suite):
    store, people = suite.database("collect"), suite.database("collect_people")
    suite.plane.namespace("collect")
    suite.tls_secret("collect", "tls", *service_names("rel-sluice", "collect"))
    suite.install("collect", None, HARD, {
        "mlflow": {"backendStoreUri": store, "artifactsDestination": "s3://my-bucket/collect"},
        "env": suite.store_env(), "tls": {"enabled": True, "secretName": "tls"},
        "server": {"flag_options": ["enable_workspaces"], "value_options": {"allowed_hosts": "mlflow.example.com"}},
        "auth": {"enabled": True, "databaseUri": people, "adminUsername": "admin", "adminPassword": PASSWORD},
        "garbageCollection": {"enabled": True, "olderThan": "0s", "allWorkspaces": True}})
    url = "https://rel-sluice.collect.svc:5000"
    more = {"verify": str(suite.authority.file), "auth": ("admin", PASSWORD)}
    wait_until(lambda: answers(url, more["verify"]), 60, url)
    made = requests.post(url + "/api/3.0/mlflow/workspaces", json={"name": "second"}, timeout=30, **more)
    assert made.status_code in (200, 201), made.text
    kept, gone = {}, {}
    for workspace in ("default", "second"):
        ask = {**more, "headers": {"X-MLFLOW-WORKSPACE": workspace}}
        experiment = post(url, "experiments/create", {"name": "one of " + workspace}, **ask)["experiment_id"]
        for into in (kept, gone):
            run = post(url, "runs/create", {"experiment_id": experiment}, **ask)["run"]["info"]
            path = run["artifact_uri"].partition("/artifacts/") if "mlflow-artifacts" not in run["artifact_uri"] else (
                "", "", re.sub(r"^mlflow-artifacts:/+", "", run["artifact_uri"]))
            put = requests.put(f"{url}/api/2.0/mlflow-artifacts/artifacts/{path[2]}/a", data=b"one", timeout=30, **ask)
            assert put.status_code == 200, put.text
            into[run["run_id"]] = ask
        post(url, "runs/delete", {"run_id": run["run_id"]}, **ask)
    assert sorted(objects(suite, "collect")) == sorted([*kept, *gone])
    suite.plane.kubectl("create", "job", "-n", "collect", "--from=cronjob/rel-sluice-gc", "by-hand")
    try:
        suite.plane.wait("job/by-hand", "collect", lambda o: o.get("status", {}).get("succeeded"))
    except AssertionError:
        print(suite.machine.output("collect"))
        raise
    for runs, status in ((kept, 200), (gone, 404)):
        for run_id, ask in runs.items():
            answer = requests.get(url + API + "runs/get", params={"run_id": run_id}, timeout=30, **ask)
            assert answer.status_code == status, answer.text
    assert sorted(objects(suite, "collect")) == sorted(kept)
    suite.hardened.append("collect")


def objects(suite, folder):
    """Run ids of what lies there in the bucket."""
    _, body = suite.store.curl("GET", f"/my-bucket?list-type=2&prefix={folder}%2F")
    return re.findall(r"<Key>[^<]*?([0-9a-f]{32})/artifacts/a</Key>", body.decode())


class Writer(threading.Thread):
    """Logs one point after another, each until it is acknowledged."""

    def __init__(self, url, run_id, number):
        super().__init__()
        self.url, self.run_id, self.number = url, run_id, number
        self.acked, self.statuses, self.ends, self.wrong = [], {}, threading.Event(), None

    def run(self):
        step = 0
        while not self.ends.is_set():
            if self.write(step):
                self.acked.append(step)
                step += 1

    def write(self, step):
        body = {"run_id": self.run_id, "key": f"k{self.number}", "value": 1.0, "step": step, "timestamp": 1700000000000}
        while True:
            try:
                status = requests.post(self.url + API + "runs/log-metric", json=body, timeout=30).status_code
            except requests.RequestException:
                status = 0  # cut off: it may be stored or not, so it is sent again
            self.statuses[status] = self.statuses.get(status, 0) + 1
            if status == 200:
                return True
            if status not in (0, 429, 502, 503, 504) or self.ends.is_set():
                self.wrong = self.wrong or status not in (0, 429, 502, 503, 504)
                return False
            self.ends.wait(0.05)


def kills(suite):
    values = {"mlflow": {"backendStoreUri": suite.database("kills")}, "replicaCount": 3}
    suite.install("kills", None, HARD, values)
    url = "http://rel-sluice.kills.svc:5000"
    wait_until(lambda: answers(url), 60, url)
    run_id = post(url, "runs/create", {"experiment_id": "0"})["run"]["info"]["run_id"]
    writers = [Writer(url, run_id, n) for n in range(4)]

    def written(more):
        goal = [len(w.acked) + more for w in writers]
        wait_until(lambda: all(len(w.acked) >= g for w, g in zip(writers, goal)), LIMIT_S, "points are acknowledged")

    def kill(name):
        pod = suite.machine.pod("kills", name)
        before = pod.containers[0].restarts
        pod.kill()
        wait_until(lambda: pod.containers[0].restarts > before and pod.containers[0].is_ready(), 120, f"{name} is back")

    for w in writers:
        w.start()
    try:
        written(20)
        for n in range(3):
            kill(f"rel-sluice-{n}")
            written(20)
        old = suite.plane.get("pod/rel-sluice-0", "kills")["metadata"]["uid"]
        rolled = threading.Thread(target=suite.install, args=("kills", None, HARD, values, {"podLabels": {"v": "2"}}),
                                  kwargs={"verb": "upgrade"})
        rolled.start()
        kill("rel-sluice-0" if suite.machine.pod("kills", "rel-sluice-0").uid == old and
             not suite.machine.pod("kills", "rel-sluice-0").ending_since else "rel-sluice-1")
        rolled.join()
        written(20)
    finally:
        for w in writers:
            w.ends.set()
        for w in writers:
            w.join()
    suite.ready("kills")
    assert len(suite.plane.pods("kills", "v=2")) == 3
    said = {}
    for w in writers:
        said = {s: said.get(s, 0) + w.statuses.get(s, 0) for s in {*said, *w.statuses}}
        assert not w.wrong, said
    with suite.cluster.connect("kills") as pg:
        def stored():
            return pg.execute("SELECT key, step, count(*) FROM metrics WHERE run_uuid = %s GROUP BY 1, 2",
                              (run_id,)).fetchall()

        acked = {(f"k{w.number}", step) for w in writers for step in w.acked}
        wait_until(lambda: acked <= {row[:2] for row in stored()}, 60, "what was acknowledged is stored")
        assert all(row[2] == 1 for row in stored())
        # At most the one point each was about to send when it ended.
        assert len({row[:2] for row in stored()} - acked) <= len(writers)
    print("kills: answers", said)
    suite.hardened.append("kills")


def natives(suite):
    url = "http://rel-sluice.kills.svc:5000"  # it has no upstream
    for method, path in (("POST", "/api/2.0/mlflow/webhooks"), ("GET", "/api/2.0/mlflow/webhooks")):
        answer = requests.request(method, url + path, json={}, timeout=30)
        assert answer.status_code == 404 and path in answer.json()["message"], answer.text
        assert answer.json()["error_code"], answer.text


def hardened(suite):
    assert suite.hardened, "of this run's checks none was hardened"
    seen = 0
    for pod in list(suite.machine.pods.values()):
        if pod.namespace not in suite.hardened or pod.spec.get("restartPolicy") == "Never":
            continue
        seen += 1
        process = f"/proc/{pod.containers[0].process.pid}"
        status = pathlib.Path(process + "/status").read_text("ascii")
        assert re.search(r"^Name:\tsluice$", status, re.M), status
        assert re.search(r"^Uid:\t1000650000\t", status, re.M), status
        for row in ("CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1"):
            assert row in status, row
        root = next(line for line in pathlib.Path(process + "/mountinfo").read_text("ascii").splitlines()
                    if line.split()[4] == "/")
        assert root.split()[5].startswith("ro"), root
        assert "serviceaccount" not in pathlib.Path(process + "/mountinfo").read_text("ascii")
    assert seen >= 1
    for namespace in suite.hardened:
        assert suite.plane.get("networkpolicies", namespace)["items"], namespace
        suite.leave(namespace)


def arena_round(ask, name):
    """The calls of `arena model create`, `get`, `list`, `update` and `delete`, in their order."""
    assert ask("GET", "/health").text == "OK"
    found = ask("GET", API + "registered-models/get", params={"name": name})
    assert found.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST", found.text
    for tags in ([], None):
        made = ask("POST", API + "registered-models/create", json={"name": name, "tags": tags or []})
        if tags is None:
            assert made.json()["error_code"] == "RESOURCE_ALREADY_EXISTS", made.text
    for source in ("pvc://training/models/iris", "s3://models/iris"):
        made = ask("POST", API + "model-versions/create", json={"name": name, "source": source, "tags": []})
        assert made.json()["model_version"]["source"] == source, made.text
    listed, token = [], ""
    while True:
        answer = ask("GET", API + "model-versions/search", params={
            "filter": f"name='{name}'", "max_results": "1", **({"page_token": token} if token else {})}).json()
        listed += [v["version"] for v in answer.get("model_versions", [])]
        token = answer.get("next_page_token", "")
        if not token:
            break
    assert sorted(listed) == ["1", "2"], listed
    ask("PATCH", API + "registered-models/update", json={"name": name, "description": "of arena"}).raise_for_status()
    ask("DELETE", API + "model-versions/delete", json={"name": name, "version": "1"}).raise_for_status()
    ask("DELETE", API + "registered-models/delete", json={"name": name}).raise_for_status()
    assert ask("GET", API + "registered-models/get", params={"name": name}).status_code == 404


def arena(suite):
    suite.install("kube-ai", "values-ack.yaml", HARD, {"backendStore": {"backendStoreUri": suite.database("arena")}},
                  release="mlflow")
    direct = "http://mlflow.kube-ai.svc:5000"
    wait_until(lambda: answers(direct), 60, direct)
    # Without MLFLOW_TRACKING_URI it looks for the Service in all namespaces, and takes its first port.
    found = [s for s in suite.plane.get("services", None, "-A")["items"] if s["metadata"]["name"] in (
        "ack-mlflow", "mlflow")]
    assert len(found) == 1, [s["metadata"]["namespace"] for s in found]
    port = found[0]["spec"]["ports"][0]["port"]
    base = f"https://127.0.0.1:{suite.plane.port}/api/v1/namespaces/kube-ai/services/mlflow:{port}/proxy"

    def proxied(method, path, **more):
        return suite.machine.session.request(method, base + path, timeout=60, **more)

    arena_round(lambda method, path, **more: requests.request(method, direct + path, timeout=60, **more), "directly")
    arena_round(proxied, "proxied")
    suite.leave("kube-ai")


CHECKS = [quickstart, production, users, guide, password, collect, kills, natives, hardened, arena]


def images(folder):
    """The program's own, unpacked; in place of the others what this machine has."""
    tools = os.path.join(folder, "tools")
    os.makedirs(tools)
    with open(tools + "/mc", "w", encoding="ascii") as f:
        f.write(MC)
    os.chmod(tools + "/mc", 0o755)
    python = f"{ROOT}/build/venv/bin:{PATH}"
    return {"sluice:": image_of(folder, ROOT + "/build/sluice-image.tar"),
            "mlflow/mlflow:": Image(env={"PATH": python}),
            "postgres:": Image(program=["bash", "-c", POSTGRES], is_ours=False, env={
                "PATH": f"{bin_dir()}:{PATH}", "PGDATA": "/var/lib/postgresql/data"}),
            "minio/minio:": Image(program=["bash", "-c", MINIO], is_ours=False,
                                  env={"PATH": f"{ROOT}/build/s3:{PATH}"}),
            "minio/mc:": Image(tools=tools)}


@contextlib.contextmanager
def database_server():
    """PostgreSQL on the bridge, with a password, as a managed one stands beside a cluster."""
    with Cluster({"listen_addresses": f"'{HOME}'", "port": str(free_port())}) as cluster:
        with open(cluster.data + "/pg_hba.conf", "a", encoding="ascii") as f:
            f.write("host all all 10.0.0.0/8 scram-sha-256\n")
        with cluster.connect("postgres") as pg:
            pg.execute(f"ALTER USER {USER} PASSWORD '{PASSWORD}'")
            pg.execute("SELECT pg_reload_conf()")
        yield cluster


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], help="one check; repeatable")
    options = parser.parse_args()
    namespaces.enter("net", "mount")
    if not namespaces.are_own():
        sys.exit("0 passed, 1 failed")
    make_network()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="acceptance-"))
        os.chmod(folder, 0o755)
        cluster = stack.enter_context(database_server())
        store = stack.enter_context(S3(more=["-ip.bind=0.0.0.0"]))
        store.make_bucket("my-bucket")
        address = "10.77.200.1"
        plane = stack.enter_context(ControlPlane(forwards={"quickstart": address}))
        machine = stack.enter_context(Kubelet(plane, images(folder), {"quickstart": address}))
        plane.volumes({"": 40, "fast-ssd": 16})
        checks.run(CHECKS, options.only, Suite(plane, machine, cluster, store, folder))


if __name__ == "__main__":
    main()
