#!/usr/bin/env python3
"""The chart suite: what `helm template` makes of the chart, read as Kubernetes and as Sluice read it.

    build/kube/venv/bin/python tests/deploy/chart.py [--only NAME]

  schema     values.schema.json is current, and refuses what is mistyped
  lint       helm lint --strict, for every preset
  objects    every preset against Kubernetes' own schemas, the oldest and the newest there are
  settings   the variables of every pod are settings of this program, with values it takes
  wiring     selectors find their pods and no others, volumes are there, the first port is the API
  hardened   every pod passes the restricted Pod Security Standard
  hosts      names inside the cluster stay allowed, whatever a user adds
  dialects   the official chart's names and the ACK chart's make the same pods
  refused    what cannot work is said before anything is installed, in words
  modes      what is there with which queue, store and upstream
  options    what each remaining value does
  notes      what helm says after an install
  manifests  deploy/manifests is what the chart makes, and good
  unittest   with --tools alone: helm-unittest's own tests of the chart
  kubeconform
             with --tools alone: every case and the manifests, custom resources by their definitions too
  compose    with --tools alone: deploy/compose by the schema of compose's specification

Needs build/kube (helm, and Kubernetes' schemas) and build/sluice. Last line: `N passed, N failed`.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile

import jsonschema
import kubernetes_validate
import yaml

import checks

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHART = os.path.join(ROOT, "deploy/chart/sluice")
HELM = os.path.join(ROOT, "build/kube/helm")
PRESETS = sorted(glob.glob(CHART + "/presets/*.yaml"))
OLDEST, NEWEST = "1.25", "1.36"
# Their schemas are not Kubernetes' own.
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute", "ExternalSecret", "ClusterIssuer",
          "InferenceService"}
MANIFESTS = os.path.join(ROOT, "deploy/manifests")
STACKS = ("", "deployer", "kserve")
BUILT = os.path.join(ROOT, "build/cluster")
STORE = {"mlflow": {"backendStoreUri": "postgresql://u:p@db/mlflow"}}


def helm(*words):
    return subprocess.run([HELM, *words], text=True, capture_output=True, timeout=120, check=False,
                          env={"PATH": "/usr/bin:/bin", "HOME": tempfile.gettempdir()})


def values_file(values):
    f = tempfile.NamedTemporaryFile("w", suffix=".yaml")
    json.dump(values, f)
    f.flush()
    return f


def template(values, release="rel"):
    """The objects for a values file or a dict."""
    if isinstance(values, dict):
        with values_file(values) as f:
            return template(f.name, release)
    said = helm("template", release, CHART, "--namespace", "ml", "--values", values)
    assert said.returncode == 0, f"{values}: {said.stderr}"
    return [o for o in yaml.safe_load_all(said.stdout) if o]


def refusal(values):
    """What helm says of values that it refuses."""
    with values_file(values) as f:
        said = helm("template", "rel", CHART, "--values", f.name)
    assert said.returncode != 0, f"{values} is taken"
    return said.stderr


def merged(*layers):
    out = {}
    for layer in layers:
        for key, value in layer.items():
            out[key] = merged(out.get(key, {}), value) if isinstance(value, dict) else value
    return out


def of_kind(objects, kind, name=None):
    return [o for o in objects if o["kind"] == kind and name in (None, o["metadata"]["name"])]


def one(objects, kind, name=None):
    found = of_kind(objects, kind, name)
    assert len(found) == 1, f"{len(found)} of {kind} {name}"
    return found[0]


def take_key(objects):
    """The made secret key, out of them: it is another each time."""
    return one(objects, "Secret", "rel-sluice-key")["data"].pop("secret-key")


def pods(objects):
    """(owner, pod template) of everything that makes pods."""
    for o in objects:
        if o["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield o, o["spec"]["template"]
        elif o["kind"] == "CronJob":
            yield o, o["spec"]["jobTemplate"]["spec"]["template"]


def gateway(objects):
    found = [p for o, p in pods(objects) if o["metadata"]["name"] == "rel-sluice"]
    assert len(found) == 1
    return found[0]


def env_of(pod):
    """Plain variables of the container sluice; the last of two with one name counts."""
    container = next(c for c in pod["spec"]["containers"] if c["name"] == "sluice")
    return {e["name"]: e["value"] for e in container["env"] if "value" in e}


CASES = {os.path.basename(path): path for path in PRESETS}
CASES.update({
    "plain": STORE,
    "keda": merged(STORE, {"keda": {"enabled": True, "prometheusAddress": "http://p:9090"}}),
    "hpa": merged(STORE, {"autoscaling": {"enabled": True, "targetBacklogSeconds": "30",
                                          "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}}}}),
    "route": merged(STORE, {"httproute": {"enabled": True, "parentRefs": [{"name": "gw"}],
                                          "hostnames": ["mlflow.example.com"]}}),
    "rbac": merged(STORE, {"namespace_rbac": {"extraRules": [{"apiGroups": ["apps"], "verbs": ["get"],
                                                              "resources": ["deployments"]}]},
                           "cluster_rbac": {"extraRules": [{"apiGroups": [""], "verbs": ["list"],
                                                            "resources": ["nodes"]}]}}),
    "external": {"externalSecrets": {"enabled": True, "secretStoreRef": {"name": "s"},
                                     "data": [{"secretKey": "SLUICE_PG_URI", "remoteRef": {"key": "k"}}]}},
    "jobs": merged(STORE, {"migrations": {"enabled": True}, "garbageCollection": {"enabled": True},
                           "auth": {"enabled": True, "adminPassword": "long enough 1"}}),
    "upstream": merged(STORE, {"upstream": {"enabled": True}, "networkPolicy": {"enabled": True},
                               "server": {"value_options": {"gunicorn_opts": "--timeout 60"}}}),
    "postgres": {"postgresql": {"enabled": True}, "networkPolicy": {"enabled": True}},
    "stores": merged(STORE, {
        "artifactStore": {"s3": {"enabled": True, "createSecret": {"AWS_ACCESS_KEY_ID": "k"},
                                 "existingCaSecret": "ca"}},
        "auth": {"htpasswd": {"existingSecret": "users"}}, "trustedProxies": ["10.0.0.0/8", "127.0.0.1"],
        "metrics": {"serviceMonitor": {"enabled": True, "port": "http", "basicAuth": {
            "username": {"name": "s", "key": "u"}, "password": {"name": "s", "key": "p"}}}},
        "garbageCollection": {"enabled": True, "allWorkspaces": True}, "queue": {"persistence": {"size": "1Gi"}}}),
    "stock gc": merged(STORE, {"garbageCollection": {"enabled": True, "stock": True}}),
    "ack": {"backendStore": {"backendStoreUri": "postgresql+psycopg2://mlflow:p%40ss@rds/mlflow_store"},
            "trackingServer": {"mode": "no-serve-artifacts", "defaultArtifactRoot": "./mlruns", "workers": 4,
                               "basicAuth": {"enabled": True, "defaultPermission": "READ",
                                             "adminUsername": "admin", "adminPassword": "twelve chars!",
                                             "databaseUri": "postgresql://m:p%40ss@rds/mlflow_basic_auth"}},
            "service": {"name": "mlflow"}, "extraEnv": [{"name": "TZ", "value": "UTC"}]},
})


def schema():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, ROOT + "/deploy/chart/schema.py", folder], check=True)
        with open(folder + "/values.schema.json", encoding="utf-8") as f, \
                open(CHART + "/values.schema.json", encoding="utf-8") as g:
            assert f.read() == g.read(), "values.schema.json is not current: make chart"
    for wrong in ({"replicaCounts": 3}, {"queue": {"mod": "kafka"}}, {"replicaCount": "three"},
                  {"queue": {"mode": "rabbit"}}, {"trackingServer": {"basicAuth": {"enable": True}}},
                  {"server": {"flag_option": []}}, {"service": {"type": "None"}}):
        said = refusal(merged(STORE, wrong))
        assert "values don't meet the specifications" in said, said


def lint():
    for path in PRESETS:
        said = helm("lint", "--strict", CHART, "--values", path)
        assert said.returncode == 0, said.stdout + said.stderr


def objects():
    for name, values in CASES.items():
        for o in template(values):
            if o["kind"] in CUSTOM:
                continue
            for version in (OLDEST, NEWEST):
                try:
                    kubernetes_validate.validate(o, version, strict=True)
                except kubernetes_validate.ValidationError as e:
                    raise AssertionError(f"{name}, {version}: {o['kind']} {o['metadata']['name']}: {e}") from e


def check_settings(variables, what):
    env = {"PATH": "/usr/bin:/bin", **{k: v for k, v in variables.items() if k.startswith("SLUICE_")}}
    env.setdefault("SLUICE_PG_URI", "postgresql://u@db/m")
    said = subprocess.run([ROOT + "/build/sluice", "config", "check"], env=env, text=True,
                          capture_output=True, timeout=60, check=False)
    assert said.returncode == 0, f"{what}: {said.stdout}{said.stderr}"


def settings():
    checked = 0
    for name, values in CASES.items():
        for owner, pod in pods(template(values)):
            if not any(c["name"] == "sluice" for c in pod["spec"]["containers"]):
                continue
            variables = env_of(pod)
            # As a kubelet does; MLFLOW_BACKEND_STORE_URI may be made of others in the same way.
            variables = {k: v.replace("$(POD_IP)", "10.0.0.7") for k, v in variables.items()
                         if k.startswith("SLUICE_")}
            assert variables["SLUICE_ADMIN_LISTEN"].endswith(":5001")
            check_settings(variables, f"{name}, {owner['metadata']['name']}")
            checked += 1
    assert checked >= len(CASES)
    bad = merged(STORE, {"settings": {"flush_row": 5}})
    try:
        check_settings(env_of(gateway(template(bad))), "a mistyped setting")
    except AssertionError:
        return
    raise AssertionError("the check above takes anything")


def wiring():
    for name, values in CASES.items():
        made = template(values)
        labels = {o["metadata"]["name"]: p["metadata"]["labels"] for o, p in pods(made)}
        kinds = {o["metadata"]["name"]: o["kind"] for o, _ in pods(made)}

        def found(selector, labels=labels):
            return {n for n, has in labels.items() if selector.items() <= has.items()}

        for o, pod in pods(made):
            mine = o["spec"].get("selector", {}).get("matchLabels")
            if mine:
                assert found(mine) == {o["metadata"]["name"]}, f"{name}: {o['metadata']['name']}"
            volumes = {v["name"] for v in pod["spec"].get("volumes", [])}
            volumes |= {v["metadata"]["name"] for v in o["spec"].get("volumeClaimTemplates", [])}
            for c in pod["spec"]["containers"]:
                mounts = {m["name"] for m in c.get("volumeMounts", [])}
                assert mounts <= volumes, f"{name}: {mounts - volumes} of {c['name']}"
                ports = {p["name"] for p in c.get("ports", [])}
                for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                    if "httpGet" in c.get(probe, {}):
                        assert c[probe]["httpGet"]["port"] in ports, f"{name}: {probe}"
            if any(c["name"] == "sluice" for c in pod["spec"]["containers"]):
                variables = env_of(pod)
                drain = sum(int(variables[v][:-1]) for v in ("SLUICE_DRAIN_DELAY", "SLUICE_DRAIN_TIMEOUT"))
                assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + 5, name
        for service in of_kind(made, "Service"):
            # A job's pod behind the Service would get requests.
            chosen = found(service["spec"]["selector"])
            assert chosen and all(kinds[n] in ("Deployment", "StatefulSet") for n in chosen), (name, chosen)
        api = next(s for s in of_kind(made, "Service")
                   if s["spec"]["selector"]["app.kubernetes.io/component"] == "gateway" and
                   s["spec"].get("clusterIP") != "None")
        assert api["spec"]["ports"][0]["port"] == 5000, name
        assert api["spec"]["ports"][0]["name"] in ("http", "https"), name
        for monitor in of_kind(made, "ServiceMonitor"):
            chosen = [s for s in of_kind(made, "Service")
                      if monitor["spec"]["selector"]["matchLabels"].items() <= s["metadata"]["labels"].items()]
            assert len(chosen) == 1, f"{name}: a ServiceMonitor finds {len(chosen)}"
            ports = {p["name"] for p in chosen[0]["spec"]["ports"]}
            assert monitor["spec"]["endpoints"][0]["port"] in ports, name
        for budget in of_kind(made, "PodDisruptionBudget"):
            assert len(found(budget["spec"]["selector"]["matchLabels"])) == 1, name
        for scaler in of_kind(made, "HorizontalPodAutoscaler") + of_kind(made, "ScaledObject"):
            target = scaler["spec"]["scaleTargetRef"]
            scaled = one(made, target["kind"], target["name"])
            assert "replicas" not in scaled["spec"], f"{name}: helm and the scaler would both set it"


def hardened():
    for name, values in CASES.items():
        for o, pod in pods(template(values)):
            where = f"{name}: {o['metadata']['name']}"
            spec = pod["spec"]
            assert spec["securityContext"]["runAsNonRoot"] is True, where
            assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", where
            assert spec["automountServiceAccountToken"] is False, where
            assert not any(spec.get(k) for k in ("hostNetwork", "hostPID", "hostIPC")), where
            for c in spec["containers"]:
                context = c["securityContext"]
                assert context["allowPrivilegeEscalation"] is False, where
                assert context["readOnlyRootFilesystem"] is True, where
                assert context["capabilities"]["drop"] == ["ALL"], where
                assert any(m["mountPath"] == "/tmp" for m in c["volumeMounts"]), where


def hosts():
    inside = {"$(POD_IP)", "$(POD_IP):*", "localhost", "rel-sluice", "rel-sluice.ml", "rel-sluice.ml.svc",
              "rel-sluice.ml.svc.cluster.local", "rel-sluice.ml.svc:*"}

    def allowed(values):
        return set(env_of(gateway(template(merged(STORE, values))))["SLUICE_ALLOWED_HOSTS"].split(","))

    assert inside <= allowed({})
    ingress = {"ingress": {"enabled": True, "hosts": [{"host": "mlflow.example.com"}]}}
    assert inside | {"mlflow.example.com", "mlflow.example.com:*"} <= allowed(ingress)
    said = {"server": {"value_options": {"allowed_hosts": "a.example.com,b.example.com"}}}
    assert inside | {"a.example.com", "b.example.com"} <= allowed(said)
    assert inside | {"c.example.com"} <= allowed({"allowedHosts": {"extra": ["c.example.com"]}})
    assert allowed({"allowedHosts": {"extra": ["*"]}}) == {"*"}
    assert "rel-sluice.ml.svc.k8s.corp" in allowed({"clusterDomain": "k8s.corp"})


def dialects():
    official = {"mlflow": {"backendStoreUri": "postgresql://u:p@db/m", "defaultArtifactRoot": "s3://b/a",
                           "artifactsDestination": "s3://b/d"},
                "server": {"value_options": {"workers": 4, "port": 5050},
                           "flag_options": ["no_serve_artifacts"]},
                "auth": {"enabled": True, "adminPassword": "long enough 1"},
                "env": [{"name": "A", "value": "1"}]}
    ack = {"backendStore": {"backendStoreUri": "postgresql://u:p@db/m"},
           "trackingServer": {"mode": "no-serve-artifacts", "workers": 4, "port": 5050,
                              "defaultArtifactRoot": "s3://b/a", "artifactsDestination": "s3://b/d",
                              "basicAuth": {"enabled": True, "adminPassword": "long enough 1"}},
           "extraEnv": [{"name": "A", "value": "1"}]}
    first, second = template(official), template(ack)
    assert take_key(first) != take_key(second), "each installation makes its own"
    assert first == second
    variables = env_of(gateway(first))
    assert variables["SLUICE_WORKERS"] == "4" and variables["SLUICE_LISTEN"] == "0.0.0.0:5050"
    assert variables["SLUICE_SERVE_ARTIFACTS"] == "false" and variables["SLUICE_AUTH"] == "basic"
    together = template(merged(official, {"server": {"flag_options": ["enable_workspaces"]}}))
    assert env_of(gateway(together))["SLUICE_ENABLE_WORKSPACES"] == "true"
    assert "SLUICE_ENABLE_WORKSPACES" not in variables
    # A flag with dashes, as on the command line.
    dashed = template(merged(official, {"server": {"flag_options": ["no-serve-artifacts"]}}))
    assert env_of(gateway(dashed)) == variables


def refused():
    auth = {"auth": {"enabled": True, "adminPassword": "long enough 1"}}
    for values, words in (
            ({}, "no database"),
            (merged(STORE, auth, {"auth": {"adminPassword": "password"}}), "at least 12 characters"),
            (merged(STORE, {"trackingServer": {"basicAuth": {"enabled": True, "adminPassword": "password"}}}),
             "at least 12 characters"),
            (merged(STORE, auth, {"auth": {"adminPassword": "password1234"}}), "documented default"),
            (merged(STORE, auth, {"auth": {"databaseUri": "sqlite:///basic_auth.db"}}), "must be PostgreSQL"),
            ({"mlflow": {"backendStoreUri": "sqlite:////m.db"}}, "upstream.enabled or upstream.url"),
            (merged(STORE, {"queue": {"mode": "kafka"}}), "queue.kafka.brokers"),
            (merged(STORE, {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}), "both scale"),
            (merged(STORE, {"keda": {"enabled": True}}), "prometheusAddress"),
            (merged(STORE, {"mlflow": {"registryStoreUri": "postgresql://u@other/m"}}), "keeps the registry"),
            (merged(STORE, {"artifactStore": {"gcp": {"enabled": True}}}), "for a stock server"),
            (merged(STORE, {"storage": {"enabled": True}, "replicaCount": 2}), "a second pod"),
            (merged(STORE, {"postgresql": {"enabled": True}}), "choose one"),
            ({"postgresql": {"enabled": True}, "migrations": {"enabled": True}}, "before anything of the chart"),
            (merged(STORE, {"tls": {"enabled": True}}), "tls.secretName")):
        said = refusal(values)
        assert words in said, said


def modes():
    journal = template(merged(STORE, {"replicaCount": 3}))
    keeper = one(journal, "StatefulSet")
    assert keeper["spec"]["replicas"] == 3 and keeper["spec"]["volumeClaimTemplates"]
    assert not of_kind(journal, "Deployment")
    kafka = template(CHART + "/presets/values-ha-kafka.yaml")
    assert {o["metadata"]["name"] for o in of_kind(kafka, "Deployment")} == {"rel-sluice", "rel-sluice-flusher"}
    assert not of_kind(kafka, "StatefulSet")
    front = env_of(gateway(kafka))
    behind = env_of(one(kafka, "Deployment", "rel-sluice-flusher")["spec"]["template"])
    assert front["SLUICE_FLUSHERS"] == "0" and front["SLUICE_LISTEN"] == "0.0.0.0:5000"
    assert behind["SLUICE_FLUSHERS"] == "4" and behind["SLUICE_LISTEN"] == "none"
    assert front["SLUICE_KAFKA_SECURITY_PROTOCOL"] == "SASL_SSL"
    quick = template(CHART + "/presets/values-quickstart.yaml")
    pod = one(quick, "Deployment")
    assert pod["spec"]["strategy"] == {"type": "Recreate"}
    assert [c["name"] for c in pod["spec"]["template"]["spec"]["containers"]] == ["sluice", "mlflow"]
    assert one(quick, "PersistentVolumeClaim")["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert env_of(gateway(quick))["SLUICE_UPSTREAM"] == "http://127.0.0.1:5099"
    beside = template(merged(STORE, {"upstream": {"enabled": True},
                                     "server": {"value_options": {"gunicorn_opts": "--timeout 60"}}}))
    args = one(beside, "Deployment", "rel-sluice-upstream")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--gunicorn-opts=--timeout 60" in args
    # Helm's rule for names: a release that is called like the chart is not called twice.
    assert one(template(STORE, release="sluice"), "StatefulSet")["metadata"]["name"] == "sluice"
    ack = template(CASES["ack"])
    assert "p%%40ss" in one(ack, "Secret", "rel-sluice-auth")["stringData"]["basic_auth.ini"]
    # A server with users does not start without a key, which is the user's own or made once.
    key = {"name": "MLFLOW_FLASK_SERVER_SECRET_KEY", "valueFrom": {"secretKeyRef": {
        "name": "rel-sluice-key", "key": "secret-key"}}}
    assert key in gateway(ack)["spec"]["containers"][0]["env"]
    assert len(one(ack, "Secret", "rel-sluice-key")["data"]["secret-key"]) > 60
    named = template(merged(STORE, {"auth": {"enabled": True, "adminPassword": "long enough 1"}, "env": [
        {"name": key["name"], "valueFrom": {"secretKeyRef": {"name": "mlflow-auth-secret", "key": "secret-key"}}}]}))
    assert not of_kind(named, "Secret", "rel-sluice-key") and not of_kind(template(STORE), "Secret", "rel-sluice-key")
    assert [e for e in gateway(named)["spec"]["containers"][0]["env"] if e["name"] == key["name"]] != [key]
    # Where all is passed on, a pod is ready when the server behind it answers.
    assert "5099/health" in str(gateway(quick)["spec"]["containers"][1]["readinessProbe"])
    ingress = one(template(CHART + "/presets/values-postgres-s3.yaml"), "Ingress")
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"


def options():
    """Of what no other check looks at: each value in the place where it works."""
    made = template(CASES["stores"])
    pod = gateway(made)
    container = pod["spec"]["containers"][0]
    variables = env_of(pod)
    assert variables["AWS_CA_BUNDLE"] == "/etc/sluice/s3/ca-bundle.crt"
    assert variables["SLUICE_AUTH_HTPASSWD"] == "/etc/sluice/htpasswd/auth"
    assert variables["SLUICE_TRUSTED_PROXIES"] == "10.0.0.0/8,127.0.0.1"
    assert one(made, "Secret", "rel-sluice-s3")["stringData"] == {"AWS_ACCESS_KEY_ID": "k"}
    assert {"secretRef": {"name": "rel-sluice-s3"}} in container["envFrom"]
    endpoint = one(made, "ServiceMonitor")["spec"]["endpoints"][0]
    assert endpoint["port"] == "http" and endpoint["basicAuth"]["password"] == {"name": "s", "key": "p"}
    collector = one(made, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert collector["image"] == container["image"]
    assert collector["args"] == ["gc", "--older-than", "30d", "--all-workspaces"]
    stock = one(template(CASES["stock gc"]), "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert stock["containers"][0]["command"] == ["mlflow", "gc"]
    base = template(CASES["postgres"])
    uri = env_of(gateway(base))["MLFLOW_BACKEND_STORE_URI"]
    assert uri == "postgresql://$(POSTGRES_USER):$(POSTGRES_PASSWORD)@rel-sluice-postgres:5432/$(POSTGRES_DB)"
    names = [e["name"] for e in gateway(base)["spec"]["containers"][0]["env"]]
    # Kubernetes puts in only what stands before.
    assert names.index("POSTGRES_DB") < names.index("MLFLOW_BACKEND_STORE_URI")
    assert names.index("POD_IP") < names.index("SLUICE_ALLOWED_HOSTS")
    keda = one(template(merged(CASES["keda"], {"keda": {"backlogSeconds": 30}})), "ScaledObject")["spec"]
    assert [t["metadata"]["threshold"] for t in keda["triggers"]] == ["100000", "30"]
    # The ACK chart's createSecret says the same as its plain values.
    said = {"backendStore": {"createSecret": {"backendStoreUri": "postgresql://u:p@db/m"}}, "trackingServer": {
        "basicAuth": {"enabled": True, "createSecret": {"adminPassword": "long enough 1"}}}}
    plain = {"backendStore": {"backendStoreUri": "postgresql://u:p@db/m"}, "trackingServer": {
        "basicAuth": {"enabled": True, "adminPassword": "long enough 1"}}}
    said, plain = template(said), template(plain)
    assert take_key(said) != take_key(plain) and said == plain
    through = template(merged(CASES["upstream"], {
        "server": {"flag_options": ["dev", "no_serve_artifacts"]}}))
    args = one(through, "Deployment", "rel-sluice-upstream")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--dev" in args and "--no-serve-artifacts" in args, args


def notes():
    """What is printed after an install: where it is, and what a user may not have meant."""
    for values, words in (
            ({}, "port-forward svc/rel-sluice 5000:5000"),
            ({}, "http://rel-sluice.ml.svc:5000"),
            (merged(CASES["jobs"]), "MLFLOW_TRACKING_USERNAME"),
            (merged(CASES["jobs"]), "set mlflow.artifactsDestination"),
            ({"mlflow": {"defaultArtifactRoot": "./mlruns"}}, "clients resolve it on their own machines"),
            ({"server": {"value_options": {"gunicorn_opts": "--timeout 5"}}}, "ignored: --gunicorn-opts=--timeout 5"),
            ({"mlflow": {"backendStoreUri": "mysql://u@h/m"}, "upstream": {"enabled": True}}, "every request is streamed"),
            ({"mlflow": {"backendStoreUri": "mysql://u@h/m"}, "upstream": {"enabled": True},
              "server": {"flag_options": ["enable_workspaces"]}, "garbageCollection": {"enabled": True}},
             "garbageCollection.allWorkspaces is false")):
        with values_file(merged(STORE, values)) as f:
            said = helm("install", "rel", CHART, "--namespace", "ml", "--dry-run=client", "--values", f.name)
        assert said.returncode == 0, said.stderr
        assert words in said.stdout.split("NOTES:")[1], said.stdout.split("NOTES:")[1]


def kustomized(folder):
    said = subprocess.run([ROOT + "/build/kube/kubectl", "kustomize", os.path.join(MANIFESTS, folder)], text=True,
                          capture_output=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr
    return [o for o in yaml.safe_load_all(said.stdout) if o]


def manifests():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, MANIFESTS + "/render.py", HELM, folder], check=True, capture_output=True)
        with open(folder + "/sluice.yaml", encoding="utf-8") as f, \
                open(MANIFESTS + "/sluice.yaml", encoding="utf-8") as g:
            assert f.read() == g.read(), "deploy/manifests/sluice.yaml is not current: make chart"
    made = [o for folder in STACKS for o in kustomized(folder)]
    for o in made:
        if o["kind"] not in CUSTOM:
            for version in (OLDEST, NEWEST):
                kubernetes_validate.validate(o, version, strict=True)
    wanted = {"Namespace", "Secret", "StatefulSet", "Job", "Service", "HorizontalPodAutoscaler", "Ingress",
              "ClusterIssuer", "ServiceMonitor", "CronJob", "Deployment", "Role", "RoleBinding", "ServiceAccount",
              "ConfigMap", "InferenceService", "PodDisruptionBudget"}
    assert wanted == {o["kind"] for o in made}, wanted ^ {o["kind"] for o in made}
    # Who names a Secret or a Service of this namespace finds it.
    text = json.dumps(made)
    for name in ("mlflow-postgres-secret", "mlflow-s3-secret", "mlflow-minio-secret", "mlflow-basic-auth"):
        assert one(made, "Secret", name) and text.count(f'"{name}"') > 1, name
    ingress = one(made, "Ingress")
    notes = ingress["metadata"]["annotations"]
    assert notes["nginx.ingress.kubernetes.io/auth-secret"] == "mlflow-basic-auth"
    assert notes["cert-manager.io/cluster-issuer"] == one(made, "ClusterIssuer")["metadata"]["name"]
    monitor = one(made, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    assert monitor.items() <= one(made, "Service", "mlflow-server")["metadata"]["labels"].items()
    # The guides' own ServiceMonitor selects by this label, which their Service forgot.
    assert one(made, "Service", "mlflow-server")["metadata"]["labels"]["app"] == "mlflow-server"


def unittest():
    said = subprocess.run([BUILT + "/bin/helm-unittest", "--strict", CHART], text=True, capture_output=True,
                          check=False, timeout=120)
    assert said.returncode == 0, said.stdout + said.stderr
    assert not any(line.startswith("Tests:") and " 0 passed" in line for line in said.stdout.splitlines())


def local_schemas(folder):
    """Kubernetes' schemas and those of the custom resources, where kubeconform looks for them."""
    source = os.path.join(os.path.dirname(kubernetes_validate.__file__), "kubernetes-json-schema", f"v{NEWEST}.0-local-strict")
    into = os.path.join(folder, f"v{NEWEST}.0-standalone-strict")
    os.makedirs(into)
    for name in os.listdir(source):
        with open(os.path.join(source, name), encoding="utf-8") as f:
            text = f.read().replace("/api/_definitions.json", "_definitions.json")
        made = json.loads(text)
        made.pop("$id", None)
        with open(os.path.join(into, name), "w", encoding="utf-8") as f:
            json.dump(made, f)
    for path in glob.glob(BUILT + "/crds/*.yaml"):
        with open(path, encoding="utf-8") as f:
            for definition in yaml.safe_load_all(f):
                for version in definition["spec"]["versions"]:
                    made = closed(version["schema"]["openAPIV3Schema"])
                    made["properties"].update(apiVersion={"type": "string"}, kind={"type": "string"},
                                              metadata={"type": "object"})
                    kind = definition["spec"]["names"]["kind"].lower()
                    group = definition["spec"]["group"].split(".")[0]
                    with open(os.path.join(into, f"{kind}-{group}-{version['name']}.json"), "w",
                              encoding="utf-8") as g:
                        json.dump(made, g)


def closed(node):
    """A definition's schema that refuses names it does not know, as the API server's strict mode does."""
    if isinstance(node, list):
        return [closed(n) for n in node]
    if not isinstance(node, dict):
        return node
    out = {k: closed(v) for k, v in node.items()}
    if isinstance(out.get("properties"), dict) and not out.get("x-kubernetes-preserve-unknown-fields"):
        out.setdefault("additionalProperties", False)
    if out.get("x-kubernetes-int-or-string"):
        out.pop("type", None)
    return out


def kubeconform():
    with tempfile.TemporaryDirectory() as folder:
        local_schemas(folder)
        checker = [BUILT + "/bin/kubeconform", "-strict", "-kubernetes-version", NEWEST + ".0", "-schema-location",
                   folder]

        def judged(made):
            return subprocess.run(checker, input="\n---\n".join(map(json.dumps, made)), text=True,
                                  capture_output=True, check=False, timeout=120)

        for name, made in [*((n, template(v)) for n, v in CASES.items()), *((s, kustomized(s)) for s in STACKS)]:
            said = judged(made)
            assert said.returncode == 0, f"{name}: {said.stdout}{said.stderr}"
        # And it does refuse.
        for name, kind, spoil in (("keda", "ScaledObject", lambda s: s.update(minReplicas=1)),
                                  ("route", "HTTPRoute", lambda s: s.update(parentRef=[])),
                                  ("stores", "ServiceMonitor", lambda s: s["endpoints"][0].update(interval="15x"))):
            made = one(template(CASES[name]), kind)
            spoil(made["spec"])
            assert judged([made]).returncode != 0, f"a wrong {kind} is taken"


def compose():
    with open(ROOT + "/deploy/compose/compose.yaml", encoding="utf-8") as f, \
            open(BUILT + "/compose/compose-spec.json", encoding="utf-8") as g:
        made, wanted = yaml.safe_load(f), json.load(g)
    jsonschema.validate(made, wanted)
    made["services"]["sluice"]["volume"] = ["journal:/var/lib/sluice"]
    try:
        jsonschema.validate(made, wanted)
    except jsonschema.ValidationError:
        return
    raise AssertionError("compose's schema takes a mistyped name")


CHECKS = [schema, lint, objects, settings, wiring, hardened, hosts, dialects, refused, modes, options, notes,
          manifests]
TOOLS = [unittest, kubeconform, compose]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], help="one check; repeatable")
    parser.add_argument("--tools", action="store_true", help="only what needs tests/deploy/kube/fetch.sh")
    arguments = parser.parse_args()
    checks.run(TOOLS if arguments.tools else CHECKS, arguments.only)


if __name__ == "__main__":
    main()
