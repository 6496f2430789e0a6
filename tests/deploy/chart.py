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

Needs build/kube (helm, and Kubernetes' schemas) and build/sluice. Last line: `N passed, N failed`.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import traceback

import kubernetes_validate
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CHART = os.path.join(ROOT, "deploy/chart/sluice")
HELM = os.path.join(ROOT, "build/kube/helm")
PRESETS = sorted(glob.glob(CHART + "/presets/*.yaml"))
OLDEST, NEWEST = "1.25", "1.36"
# Their schemas are not Kubernetes' own.
CUSTOM = {"ServiceMonitor", "PrometheusRule", "ScaledObject", "HTTPRoute", "ExternalSecret"}
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


def pods(objects):
    """(owner, pod template) of everything that makes pods."""
    for o in objects:
        if o["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield o, o["spec"]["template"]
        elif o["kind"] == "CronJob":
            yield o, o["spec"]["jobTemplate"]["spec"]["template"]


def gateway(objects):
    found = [p for o, p in pods(objects) if o["metadata"]["name"] in ("rel-sluice",)]
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
                    if probe in c:
                        assert c[probe]["httpGet"]["port"] in ports, f"{name}: {probe}"
            if any(c["name"] == "sluice" for c in pod["spec"]["containers"]):
                variables = env_of(pod)
                drain = sum(int(variables[v][:-1]) for v in ("SLUICE_DRAIN_DELAY", "SLUICE_DRAIN_TIMEOUT"))
                assert pod["spec"]["terminationGracePeriodSeconds"] >= drain + 5, name
        for service in of_kind(made, "Service"):
            # A job's pod behind the Service would get requests.
            chosen = found(service["spec"]["selector"])
            assert chosen and all(kinds[n] in ("Deployment", "StatefulSet") for n in chosen), (name, chosen)
        api = one(made, "Service", "mlflow" if name == "ack" else "rel-sluice")
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
    inside = {"localhost", "rel-sluice", "rel-sluice.ml", "rel-sluice.ml.svc",
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
    assert first == second
    variables = env_of(gateway(first))
    assert variables["SLUICE_WORKERS"] == "4" and variables["SLUICE_LISTEN"] == "0.0.0.0:5050"
    assert variables["SLUICE_SERVE_ARTIFACTS"] == "false" and variables["SLUICE_AUTH"] == "basic"
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
    secret = one(template(CASES["ack"]), "Secret", "rel-sluice-auth")
    assert "p%%40ss" in secret["stringData"]["basic_auth.ini"]
    ingress = one(template(CHART + "/presets/values-postgres-s3.yaml"), "Ingress")
    assert ingress["metadata"]["annotations"]["nginx.ingress.kubernetes.io/proxy-body-size"] == "0"


CHECKS = [schema, lint, objects, settings, wiring, hardened, hosts, dialects, refused, modes]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], help="one check; repeatable")
    options = parser.parse_args()
    passed = failed = 0
    for check in CHECKS:
        if options.only and check.__name__ not in options.only:
            continue
        try:
            check()
        except Exception:  # pylint: disable=broad-except
            traceback.print_exc()
            failed += 1
            print(f"{check.__name__:<10} FAILED", flush=True)
        else:
            passed += 1
            print(f"{check.__name__:<10} ok", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
