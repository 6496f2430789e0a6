#!/usr/bin/env python3
"""Keeps a Deployment NAME-serving for the version of each registered model that is in Production.

    python deployer.py NAME... [--interval SECONDS] [--rounds N]

Every interval it asks MLflow for the version and patches the Deployment when its label model-version
says another, or makes it. Needs MLFLOW_TRACKING_URI, SERVING_IMAGE, and a service account that may get,
create and patch Deployments of its namespace. One server that does not answer costs one round.
"""

import argparse
import os
import time

import mlflow
import requests
from mlflow.exceptions import MlflowException

ACCOUNT = os.environ.get("ACCOUNT_DIR", "/var/run/secrets/kubernetes.io/serviceaccount")


def account(name):
    with open(os.path.join(ACCOUNT, name), encoding="utf-8") as f:
        return f.read().strip()


def ask(method, path, body=None, kind="application/json"):
    """An answer of the API server; the token is read each time, because it is replaced each hour."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    return requests.request(
        method, f"https://{host}:{port}/apis/apps/v1/namespaces/{account('namespace')}/deployments{path}",
        json=body, timeout=30, verify=os.path.join(ACCOUNT, "ca.crt"),
        headers={"Authorization": "Bearer " + account("token"), "Content-Type": kind})


def deployment(model, version):
    name, uri = f"{model}-serving", f"models:/{model}/{version}"
    labels = {"app": name, "model-version": str(version)}
    container = {
        "name": "model", "image": os.environ["SERVING_IMAGE"],
        "command": ["mlflow", "models", "serve", "--model-uri", uri, "--host", "0.0.0.0", "--port", "8080",
                    "--env-manager", "local"],
        "env": [{"name": "MODEL_URI", "value": uri}, {"name": "HOME", "value": "/tmp"},
                {"name": "MLFLOW_TRACKING_URI", "value": os.environ["MLFLOW_TRACKING_URI"]}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/ping", "port": "http"}},
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]}}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
            "spec": {"selector": {"matchLabels": {"app": name}},
                     "template": {"metadata": {"labels": labels}, "spec": {
                         "automountServiceAccountToken": False, "containers": [container],
                         "securityContext": {"runAsNonRoot": True, "runAsUser": 1000,
                                             "seccompProfile": {"type": "RuntimeDefault"}},
                         "volumes": [{"name": "tmp", "emptyDir": {}}]}}}}


def deploy(model, version):
    wanted = deployment(model, version)
    path = "/" + wanted["metadata"]["name"]
    found = ask("GET", path)
    if found.status_code == 404:
        answer, did = ask("POST", "", wanted), "created"
    else:
        found.raise_for_status()
        if found.json()["metadata"].get("labels", {}).get("model-version") == str(version):
            return
        answer, did = ask("PATCH", path, wanted, "application/strategic-merge-patch+json"), "patched"
    answer.raise_for_status()
    print(did, model, version, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+")
    parser.add_argument("--interval", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=0, help="how many, then end; 0: never")
    options = parser.parse_args()
    client, done = mlflow.MlflowClient(), 0
    while True:
        for model in options.models:
            try:
                for found in client.get_latest_versions(model, stages=["Production"]):
                    deploy(model, found.version)
            except (MlflowException, requests.RequestException) as error:
                print(model, "not this time:", error, flush=True)
        done += 1
        if done == options.rounds:
            return
        time.sleep(options.interval)


if __name__ == "__main__":
    main()
