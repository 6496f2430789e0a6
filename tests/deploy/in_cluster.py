#!/usr/bin/env python3
"""The cluster suite: chart and manifests in a Kubernetes whose servers are real and whose nodes are not.

    build/venv/bin/python tests/deploy/in_cluster.py [--only NAME]

  presets      each preset, applied server-side where the restricted Pod Security Standard is enforced
  refused      the same namespace forbids a pod that asks for more, so the standard is on
  install      helm install, upgrade and uninstall: made-up passwords stay, claims and Secrets remain
  rollout      a new image: a Deployment never has fewer pods than it should, a StatefulSet lacks one at most
  budget       the second eviction waits until the first pod is back
  scale        a StatefulSet scaled away and back finds the same volumes
  spread       pods stand on different nodes; those of a Service are gateways and nobody's job
  collect      the CronJob runs by its schedule; the pod that it made, as a process, removes a deleted run
  cpu          the autoscaler follows the processor's load, up and down
  backlog      it follows sluice_backlog_seconds of a server whose PostgreSQL is away
  container    the pod that the cluster has made, as a process: its variables, probes, host names, its end
  manifests    kubectl apply -k of the guides' stack; all of it comes up
  deployer     the deployer's loop against both servers, with its own account, which may do no more
  kserve       InferenceServices are taken, and mistyped ones are not

No container, network or volume is behind the pods (control_plane.py): what a container does is shown by
`container` here and by the image's test in run.py. Last line: `N passed, N failed`.
"""

import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "../tools"))

import requests  # noqa: E402
import yaml  # noqa: E402

import checks  # noqa: E402
from cluster import Cluster  # noqa: E402
from control_plane import KUBECTL, ControlPlane  # noqa: E402
from metrics_api import MetricsApi  # noqa: E402
from server import Sluice, clean_environment, wait_until  # noqa: E402

CHART = os.path.join(ROOT, "deploy/chart/sluice")
MANIFESTS = os.path.join(ROOT, "deploy/manifests")
HELM = os.path.join(ROOT, "build/kube/helm")
GATEWAYS = "app.kubernetes.io/component=gateway"
STORE = {"mlflow": {"backendStoreUri": "postgresql://u:p@db/mlflow"}}
API = "/api/2.0/mlflow/"


def values_file(folder, values):
    path = os.path.join(folder, f"values-{time.monotonic_ns()}.json")
    with open(path, "w", encoding="utf-8") as f:
        json.dump(values, f)
    return path


def merged(*layers):
    out = {}
    for layer in layers:
        for key, value in layer.items():
            out[key] = merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out


def kind_of(queue):
    return "deployment" if queue == "kafka" else "statefulset"


def watched(lines):
    """Objects of a watch so far; the last line may be half a line."""
    for line in lines.splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            return
        assert event["type"] != "ERROR", event
        yield event["object"]


class Watch:
    """What is there at a path, and all that happens to it while the block runs."""

    def __init__(self, plane, path):
        self.file = tempfile.NamedTemporaryFile("r", encoding="utf-8")
        listed = json.loads(plane.kubectl("get", "--raw", path))
        self.before = listed["items"]
        since = listed["metadata"]["resourceVersion"]
        self.process = subprocess.Popen(
            [KUBECTL, "--kubeconfig", plane.config, "get", "--raw", f"{path}&watch=1&resourceVersion={since}"],
            stdout=open(self.file.name, "w", encoding="utf-8"), stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def seen(self):
        with open(self.file.name, encoding="utf-8") as f:
            return self.before + list(watched(f.read()))

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.file.close()


class Suite:
    def __init__(self, plane, folder):
        self.plane = plane
        self.folder = folder

    def helm(self, *words, fails=False):
        done = subprocess.run([HELM, *words], text=True, capture_output=True, timeout=300, check=False,
                              env={"PATH": "/usr/bin:/bin", "HOME": self.folder,
                                   "KUBECONFIG": self.plane.config})
        assert (done.returncode != 0) == fails, f"helm {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def rendered(self, namespace, *values):
        """The chart's objects without those of a hook, which only helm runs."""
        flags = [word for v in values for word in ("--values", v if isinstance(v, str) else
                                                   values_file(self.folder, v))]
        made = self.helm("template", "rel", CHART, "--namespace", namespace, "--no-hooks", *flags)
        return [o for o in yaml.safe_load_all(made) if o]

    def deploy(self, namespace, *values):
        """Namespace and chart, until every workload is complete."""
        self.plane.namespace(namespace)
        made = self.rendered(namespace, *values)
        self.plane.apply(made, namespace)
        self.complete(namespace, made)
        return made

    def complete(self, namespace, objects):
        for o in objects:
            if o["kind"] in ("Deployment", "StatefulSet"):
                self.plane.wait(f"{o['kind'].lower()}/{o['metadata']['name']}", namespace, is_complete)
            elif o["kind"] == "Job":
                self.plane.wait(f"job/{o['metadata']['name']}", namespace, is_done)


def is_complete(o):
    status, wanted = o.get("status", {}), o["spec"]["replicas"]
    return (wanted > 0 and status.get("observedGeneration", 0) >= o["metadata"]["generation"]
            and status.get("readyReplicas", 0) == status.get("updatedReplicas", 0) == wanted
            and status.get("replicas") == wanted)


def is_done(o):
    return o.get("status", {}).get("succeeded", 0) >= 1


def is_ready(pod):
    return not pod["metadata"].get("deletionTimestamp") and any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod.get("status", {}).get("conditions", []))


def presets(plane, suite):
    folder = os.path.join(CHART, "presets")
    for name in sorted(os.listdir(folder)):
        namespace = name.replace("values-", "").replace(".yaml", "")
        made = suite.deploy(namespace, os.path.join(folder, name))
        for scaler in [o for o in made if o["kind"] == "HorizontalPodAutoscaler"]:
            # Its own metrics are not there; that it finds what it scales is seen without them.
            plane.wait(f"hpa/{scaler['metadata']['name']}", namespace, lambda o: any(
                c["type"] == "AbleToScale" and c["status"] == "True"
                for c in o.get("status", {}).get("conditions", [])))
        events = plane.kubectl("get", "events", "-n", namespace, "-o", "jsonpath={.items[*].message}")
        assert "violates PodSecurity" not in events, f"{name}: {events}"
        plane.kubectl("delete", "namespace", namespace, "--wait=false")


def refused(plane, suite):
    plane.namespace("refused")
    made = suite.rendered("refused", STORE, {"securityContext": {"allowPrivilegeEscalation": True}})
    said = subprocess.run([KUBECTL, "--kubeconfig", plane.config, "apply", "--server-side", "-n", "refused", "-f", "-"],
                          input="\n---\n".join(map(json.dumps, made)), text=True, capture_output=True,
                          check=True, timeout=120)
    assert "would violate PodSecurity" in said.stderr, said.stderr
    wait_until(lambda: "allowPrivilegeEscalation != false" in plane.kubectl(
        "get", "events", "-n", "refused", "-o", "jsonpath={.items[*].message}"), 60, "a refused pod")
    assert not plane.pods("refused", GATEWAYS)


def install(plane, suite):
    plane.namespace("installed")
    values = values_file(suite.folder, {
        "postgresql": {"enabled": True, "storage": {"size": "1Gi"}}, "migrations": {"enabled": False},
        "storage": {"enabled": True, "size": "1Gi", "accessMode": "ReadWriteOnce"}})

    def password():
        return plane.get("secret/rel-sluice-postgres", "installed")["data"]["POSTGRES_PASSWORD"]

    suite.helm("install", "rel", CHART, "-n", "installed", "--values", values, "--wait", "--timeout", "2m")
    first = password()
    assert len(base64.b64decode(first)) == 32
    notes = suite.helm("get", "notes", "rel", "-n", "installed")
    assert "port-forward svc/rel-sluice 5000:5000" in notes, notes
    suite.helm("upgrade", "rel", CHART, "-n", "installed", "--values", values, "--set", "podLabels.second=yes",
               "--wait", "--timeout", "2m")
    assert password() == first, "an upgrade has changed the password of a database that is there"
    assert plane.pods("installed", "second=yes")
    suite.helm("uninstall", "rel", "-n", "installed", "--wait")
    claims = {c["metadata"]["name"] for c in plane.get("pvc", "installed")["items"]}
    assert claims >= {"data-rel-sluice-0", "data-rel-sluice-postgres-0", "rel-sluice-artifacts"}, claims
    assert password() == first


def image_of(pod):
    return pod["spec"]["containers"][0]["image"]


def rollout(plane, suite):
    for queue, allowed in (("kafka", 0), ("journal", 1)):
        namespace = "rollout-" + queue
        values = merged(STORE, {"queue": {"mode": queue, "kafka": {"brokers": "k:9092"}}, "replicaCount": 4})
        suite.deploy(namespace, values)
        name = f"{kind_of(queue)}/rel-sluice"
        with Watch(plane, f"/api/v1/namespaces/{namespace}/pods?labelSelector={GATEWAYS}") as pods:
            plane.apply(suite.rendered(namespace, values, {"image": {"tag": "next"}}), namespace)
            plane.wait(name, namespace, is_complete)
            wait_until(lambda: {image_of(p) for p in plane.pods(namespace, GATEWAYS)} == {"sluice:next"}, 60,
                       "the old pods are gone")
            new = {p["metadata"]["uid"] for p in plane.pods(namespace, GATEWAYS)}
            wait_until(lambda: new <= {p["metadata"]["uid"] for p in pods.seen() if is_ready(p)}, 60, "all of it")
            history = pods.seen()
        alive, least, most, begun = {}, 4, 0, False
        for pod in history:
            if pod["metadata"].get("deletionTimestamp"):
                alive.pop(pod["metadata"]["uid"], None)
            else:
                alive[pod["metadata"]["uid"]] = is_ready(pod)
            ready = sum(alive.values())
            begun = begun or ready == 4
            least = min(least, ready) if begun else least
            most = max(most, len(alive))
        assert least == 4 - allowed, f"{queue}: at times {least} of 4 were ready"
        assert most == 5 - allowed, f"{queue}: at times {most} pods"


def evict(plane, namespace, pod):
    return plane.kubectl("create", "--raw", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", "-f", "-",
                         text=json.dumps({"apiVersion": "policy/v1", "kind": "Eviction",
                                          "metadata": {"name": pod, "namespace": namespace}}), fails=None)


def budget(plane, suite):
    suite.deploy("budget", STORE, {"replicaCount": 3})
    plane.wait("pdb/rel-sluice", "budget", lambda o: o.get("status", {}).get("disruptionsAllowed") == 1)
    nodes = [n["metadata"]["name"] for n in plane.get("nodes")["items"]]
    plane.kubectl("cordon", *nodes)  # who is evicted has nowhere to come back to
    try:
        said = evict(plane, "budget", "rel-sluice-0")
        assert '"Success"' in said, said
        plane.wait("pdb/rel-sluice", "budget", lambda o: o["status"]["disruptionsAllowed"] == 0)
        said = evict(plane, "budget", "rel-sluice-1")
        assert "violate the pod's disruption budget" in said, said
    finally:
        plane.kubectl("uncordon", *nodes)
    plane.wait("pdb/rel-sluice", "budget", lambda o: o["status"]["disruptionsAllowed"] == 1)
    assert '"Success"' in evict(plane, "budget", "rel-sluice-1")


def claims_of(plane, namespace):
    return {c["metadata"]["name"]: c["spec"].get("volumeName")
            for c in plane.get("pvc", namespace)["items"] if c["status"]["phase"] == "Bound"}


def scale(plane, suite):
    suite.deploy("scale", STORE, {"replicaCount": 3})
    before = claims_of(plane, "scale")
    assert len(before) == len(set(before.values())) == 3, before

    def resize(count):
        plane.apply(suite.rendered("scale", STORE, {"replicaCount": count}), "scale")
        plane.wait("statefulset/rel-sluice", "scale", is_complete)
        wait_until(lambda: len(plane.pods("scale", GATEWAYS)) == count, 60, f"{count} pods")

    resize(1)
    assert [p["metadata"]["name"] for p in plane.pods("scale", GATEWAYS)] == ["rel-sluice-0"]
    assert claims_of(plane, "scale") == before, "a journal went with its pod"
    resize(3)
    assert claims_of(plane, "scale") == before
    for pod in plane.pods("scale", GATEWAYS):
        claim = [v["persistentVolumeClaim"]["claimName"] for v in pod["spec"]["volumes"]
                 if "persistentVolumeClaim" in v]
        assert claim == ["data-" + pod["metadata"]["name"]], claim


def spread(plane, suite):
    suite.deploy("spread", STORE, {"replicaCount": 3, "garbageCollection": {"enabled": True}})
    pods = plane.pods("spread", GATEWAYS)
    assert {p["spec"]["nodeName"] for p in pods} == {"one", "two", "three"}
    plane.kubectl("create", "job", "-n", "spread", "--from=cronjob/rel-sluice-gc", "by-hand")
    plane.wait("job/by-hand", "spread", is_done)
    slices = plane.get("endpointslices", "spread", "-l", "kubernetes.io/service-name=rel-sluice")["items"]
    behind = {e["targetRef"]["name"] for s in slices for e in s["endpoints"]}
    assert behind == {p["metadata"]["name"] for p in pods}, behind
    service = plane.get("service/rel-sluice", "spread")
    assert service["spec"]["ports"][0]["port"] == 5000
    # A job's pod that runs is nobody's endpoint either: no selector of a Service takes its labels.
    labels = plane.pods("spread", "job-name=by-hand")[0]["metadata"]["labels"]
    for s in plane.get("services", "spread")["items"]:
        assert not (s["spec"].get("selector") or {"none": 1}).items() <= labels.items(), s["metadata"]["name"]


def collect(plane, suite):
    with Cluster() as cluster:
        uri = cluster.create_database("collect")
        suite.deploy("collect", {"mlflow": {"backendStoreUri": uri, "artifactsDestination": suite.folder}, "garbageCollection": {
            "enabled": True, "schedule": "* * * * *", "olderThan": "1s"}})
        wait_until(lambda: any(is_done(j) for j in plane.get("jobs", "collect")["items"]), 120,
                   "the schedule made a job")
        pod = plane.pods("collect", "app.kubernetes.io/component=gc")[0]
        assert pod["status"]["phase"] == "Succeeded"
        # The same pod as a process, beside a server with something to collect.
        spec = pod["spec"]["containers"][0]
        env = {"PATH": "/usr/bin:/bin", **variables_of(plane, "collect", pod, spec)}
        with Sluice(uri, binary=ROOT + "/build/sluice") as server:
            run = requests.post(server.url + API + "runs/create", json={"experiment_id": "0"}, timeout=30).json()
            run_id = run["run"]["info"]["run_id"]
            requests.post(server.url + API + "runs/delete", json={"run_id": run_id}, timeout=30).raise_for_status()

            def collected():
                done = subprocess.run([ROOT + "/build/sluice", *spec["args"]], env=env, text=True, cwd=suite.folder,
                                      capture_output=True, timeout=120, check=False)
                assert done.returncode == 0, done.stdout + done.stderr
                return f"Run with ID {run_id} has been permanently deleted" in done.stdout

            wait_until(collected, 30, "the run is a second old, and gone")
            assert requests.get(server.url + API + "runs/get", params={"run_id": run_id},
                                timeout=30).status_code == 404


def replicas(plane, namespace, count):
    plane.wait("statefulset/rel-sluice", namespace, lambda o: o["spec"]["replicas"] == count and is_complete(o))


def cpu(plane, suite):
    with MetricsApi(plane, suite.folder) as api:
        suite.deploy("cpu", STORE, {"autoscaling": {"enabled": True, "minReplicas": 2, "maxReplicas": 4}})
        api.cpu = lambda pod: 450  # of 500 that are asked for, with 70 % wanted
        replicas(plane, "cpu", 4)
        api.cpu = lambda pod: 50
        replicas(plane, "cpu", 2)


def backlog(plane, suite):
    with Cluster() as cluster, Sluice(cluster.create_database("backlog"), binary=ROOT + "/build/sluice",
                                      args=["--run-cache-ttl", "300s"]) as server, \
            MetricsApi(plane, suite.folder) as api:
        api.custom["sluice_backlog_seconds"] = lambda pod: server.stat("sluice_backlog_seconds")
        run = requests.post(server.url + API + "runs/create", json={"experiment_id": "0"}, timeout=30).json()

        def log(step):
            requests.post(server.url + API + "runs/log-metric", timeout=30, json={
                "run_id": run["run"]["info"]["run_id"], "key": "loss", "value": 1.0, "step": step,
                "timestamp": 1700000000000}).raise_for_status()

        log(0)
        suite.deploy("backlog", STORE, {"autoscaling": {
            "enabled": True, "minReplicas": 1, "maxReplicas": 3, "targetBacklogSeconds": 2,
            "targetCPUUtilizationPercentage": None}})
        replicas(plane, "backlog", 1)
        cluster.stop()
        log(1)
        replicas(plane, "backlog", 3)
        assert server.stat("sluice_backlog_seconds") > 2
        cluster.start()
        wait_until(lambda: server.stat("sluice_backlog_seconds") == 0, 60, "PostgreSQL is back")
        replicas(plane, "backlog", 1)
        assert "sluice_backlog_seconds" in api.asked


def variables_of(plane, namespace, pod, container):
    """The environment that a kubelet would make: references looked up, $(NAME) put in."""
    out = {}
    for row in container["env"]:
        value, source = row.get("value", ""), row.get("valueFrom", {})
        if "secretKeyRef" in source:
            secret = plane.get("secret/" + source["secretKeyRef"]["name"], namespace)
            value = base64.b64decode(secret["data"][source["secretKeyRef"]["key"]]).decode()
        elif "fieldRef" in source:
            assert source["fieldRef"]["fieldPath"] == "status.podIP"
            value = pod["status"]["podIP"]
        out[row["name"]] = re.sub(r"\$\(([A-Z_]+)\)", lambda m: out.get(m[1], m[0]), value)
    return out


def container(plane, suite):
    with Cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        suite.deploy("container", {"mlflow": {"backendStoreUri": cluster.create_database("container")}},
                     {"drainDelaySeconds": 10, "server": {"value_options": {"allowed_hosts": "mlflow.example.com"}}})
        pod = plane.get("pod/rel-sluice-0", "container")
        spec = next(c for c in pod["spec"]["containers"] if c["name"] == "sluice")
        assert spec["args"] == ["serve"]
        variables = variables_of(plane, "container", pod, spec)
        for name in ("SLUICE_LISTEN", "SLUICE_ADMIN_LISTEN", "SLUICE_DATA_DIR"):
            del variables[name]  # this machine's own, by flags
        server = Sluice(data_dir=folder + "/data", env=variables, binary=ROOT + "/build/sluice")
        with server:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                answer = requests.get(server.admin_url + spec[probe]["httpGet"]["path"], timeout=10)
                assert answer.status_code == 200, f"{probe}: {answer.status_code}"

            def status(host):
                return requests.get(server.url + API + "experiments/get?experiment_id=0",
                                    headers={"Host": host}, timeout=10).status_code

            for host in ("rel-sluice.container.svc:5000", "rel-sluice:5000", pod["status"]["podIP"] + ":5000",
                         "mlflow.example.com", "localhost:5000"):
                assert status(host) == 200, host
            assert status("elsewhere.example.com") == 403
            begin = time.monotonic()
            server.process.terminate()
            wait_until(lambda: requests.get(server.admin_url + "/readyz", timeout=10).status_code == 503,
                       10, "it says that it is not ready")
            assert status("localhost") == 200, "it has to serve until everybody in front has noticed"
            server.process.wait(timeout=pod["spec"]["terminationGracePeriodSeconds"])
            assert time.monotonic() - begin >= 10


def kustomized(plane, folder):
    made = plane.kubectl("kustomize", os.path.join(MANIFESTS, folder))
    return [o for o in yaml.safe_load_all(made) if o]


def manifests(plane, suite):
    plane.kubectl("apply", "--server-side", "-k", MANIFESTS)
    made = kustomized(plane, "")
    suite.complete("mlflow", made)
    host = plane.get("ingress/mlflow", "mlflow")["spec"]["rules"][0]
    backend = host["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "mlflow-server", "port": {"number": 5000}}, backend
    slices = plane.get("endpointslices", "mlflow", "-l", "kubernetes.io/service-name=mlflow-server")["items"]
    assert len([e for s in slices for e in s["endpoints"]]) == 3
    # Every Secret and claim that a pod names is among what was applied, or made of a template.
    there = {s["metadata"]["name"] for s in plane.get("secrets", "mlflow")["items"]}
    for pod in plane.get("pods", "mlflow")["items"]:
        wanted = set(re.findall(r"'secretRef': \{'name': '([^']+)'|'secretKeyRef': \{'name': '([^']+)'", str(pod)))
        assert {a or b for a, b in wanted} <= there, (pod["metadata"]["name"], wanted)


def register(server, name):
    for path, body in (("registered-models/create", {"name": name}),
                       ("model-versions/create", {"name": name, "source": "s3://mlflow/artifacts/1"}),
                       ("model-versions/create", {"name": name, "source": "s3://mlflow/artifacts/2"})):
        requests.post(server.url + API + path, json=body, timeout=30).raise_for_status()


def deployer(plane, suite):
    plane.kubectl("apply", "--server-side", "-k", MANIFESTS + "/deployer")
    suite.complete("ml-serving", kustomized(plane, "deployer"))
    account = os.path.join(suite.folder, "account")
    os.makedirs(account, exist_ok=True)
    token = plane.kubectl("create", "token", "model-deployer", "-n", "ml-serving").strip()
    with open(plane.path("certificates/apiserver.crt"), encoding="utf-8") as f:
        authority = f.read()
    for name, text in (("token", token), ("namespace", "ml-serving"), ("ca.crt", authority)):
        with open(os.path.join(account, name), "w", encoding="utf-8") as f:
            f.write(text)
    script = plane.get("configmap", "ml-serving", "-l", "!none")["items"]
    script = next(c["data"]["deployer.py"] for c in script if "deployer.py" in c.get("data", {}))

    def one_round(server):
        env = clean_environment({
            "MLFLOW_TRACKING_URI": server.url, "ACCOUNT_DIR": account, "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(plane.port), "SERVING_IMAGE": "mlflow:1"})
        return subprocess.run([sys.executable, "-", "iris", "--rounds", "1"], input=script, env=env, text=True,
                              capture_output=True, check=True, timeout=180).stdout.splitlines()

    with Cluster() as cluster, Sluice(cluster.create_database("deployer"), binary=ROOT + "/build/sluice") as server:
        assert "RESOURCE_DOES_NOT_EXIST" in one_round(server)[0]
        register(server, "iris")
        assert one_round(server) == []  # none is in Production
        for version, did in (("1", "created"), ("2", "patched")):
            requests.post(server.url + API + "model-versions/transition-stage", timeout=30, json={
                "name": "iris", "version": version, "stage": "Production",
                "archive_existing_versions": True}).raise_for_status()
            assert one_round(server) == [f"{did} iris {version}"]
            assert one_round(server) == []  # there already
            plane.wait("deployment/iris-serving", "ml-serving", is_complete)
            pods = plane.pods("ml-serving", f"app=iris-serving,model-version={version}")
            variables = {e["name"]: e["value"] for e in pods[0]["spec"]["containers"][0]["env"]}
            assert variables["MODEL_URI"] == f"models:/iris/{version}"
    account = "system:serviceaccount:ml-serving:model-deployer"
    for verb, group, resource, namespace, allowed in (
            ("patch", "apps", "deployments", "ml-serving", "true"),
            ("delete", "apps", "deployments", "ml-serving", "false"),
            ("get", "", "secrets", "ml-serving", "false"), ("patch", "apps", "deployments", "mlflow", "false")):
        said = plane.kubectl("create", "-f", "-", "-o", "jsonpath={.status.allowed}", text=json.dumps({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {"user": account, "groups": ["system:serviceaccounts", "system:authenticated"],
                     "resourceAttributes": {"verb": verb, "group": group, "resource": resource,
                                            "namespace": namespace}}}))
        assert said == allowed, (verb, resource, namespace, said)


def kserve(plane, suite):
    del suite
    plane.kubectl("apply", "--server-side", "-k", MANIFESTS + "/deployer")
    plane.kubectl("apply", "--server-side", "-k", MANIFESTS + "/kserve")
    services = plane.get("inferenceservices", "ml-serving")["items"]
    assert {s["metadata"]["name"] for s in services} == {"iris", "iris-from-bucket"}
    wrong = {**services[0], "metadata": {"name": "wrong"}}
    wrong["spec"]["predictor"]["minReplica"] = 0
    said = plane.kubectl("create", "--validate=strict", "-n", "ml-serving", "-f", "-", text=json.dumps(wrong),
                         fails=True)
    assert "minReplica" in said, said


CHECKS = [presets, refused, install, rollout, budget, scale, spread, collect, cpu, backlog, container,
          manifests, deployer, kserve]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], help="one check; repeatable")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="in-cluster-") as folder, ControlPlane() as plane:
        os.chmod(folder, 0o755)
        plane.volumes({"": 40, "fast-ssd": 16})
        checks.run(CHECKS, options.only, plane, Suite(plane, folder))


if __name__ == "__main__":
    main()
