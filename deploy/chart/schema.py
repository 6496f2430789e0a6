#!/usr/bin/env python3
"""Writes deploy/chart/sluice/values.schema.json from values.yaml, so that a mistyped name is refused.

    deploy/chart/schema.py FOLDER

`make docs` runs it; the deploy suite compares. Types come from the defaults; what they do not say
stands below: names that users choose (FREE), words that are allowed (ENUMS), and defaults whose type is
not the only one (TYPES). Needs PyYAML.
"""

import json
import os
import sys

import yaml

# Maps whose keys are the user's, or Kubernetes' own.
FREE = {
    "commonLabels", "settings", "mlflow.backendStoreUriFrom", "mlflow.registryStoreUriFrom", "server.value_options", "redis.uriFrom",
    "service.annotations", "ingress.annotations", "httproute.annotations", "resources",
    "deploymentStrategy", "autoscaling.behavior", "serviceAccount.annotations", "podSecurityContext",
    "securityContext", "podAnnotations", "podLabels", "nodeSelector", "affinity", "flushers.resources",
    "upstream.resources", "migrations.resources", "garbageCollection.resources", "serviceMonitor.labels",
    "serviceMonitor.tlsConfig", "serviceMonitor.basicAuth", "postgresql.resources",
    "artifactStore.s3.createSecret", "artifactStore.oss.createSecret", "artifactStore.gcp.createSecret",
    "artifactStore.azure.createSecret",
    "prometheusRule.labels", "dashboard.labels", "queue.kafka.properties", "trackingServer.extraArgs",
}
ENUMS = {
    "queue.mode": ["journal", "kafka"],
    "image.pullPolicy": ["Always", "IfNotPresent", "Never"],
    "upstream.image.pullPolicy": ["Always", "IfNotPresent", "Never"],
    "upstream.kind": ["deployment", "sidecar"],
    "serviceMonitor.port": ["admin", "http", "https"],
    "serviceMonitor.scheme": ["http", "https"],
    "service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
    "trackingServer.mode": ["", "serve-artifacts", "no-serve-artifacts", "artifacts-only"],
    "auth.defaultPermission": ["READ", "USE", "EDIT", "MANAGE", "NO_PERMISSIONS"],
    "externalSecrets.secretStoreRef.kind": ["SecretStore", "ClusterSecretStore"],
}
NUMBER = ["integer", "null"]
TYPES = {
    "service.nodePort": NUMBER, "trackingServer.port": NUMBER, "trackingServer.workers": NUMBER,
    "autoscaling.targetCPUUtilizationPercentage": NUMBER,
    "autoscaling.targetMemoryUtilizationPercentage": NUMBER,
    "autoscaling.targetBacklogSeconds": ["integer", "string", "null"],
    "keda.backlogSeconds": ["integer", "string", "null"],
    "podDisruptionBudget.maxUnavailable": ["integer", "string"],
}
BASIC_AUTH = ("enabled", "defaultPermission", "databaseUri", "adminUsername", "adminPassword",
              "authorizationFunction", "existingSecret", "createSecret")
# Maps that hold what stands elsewhere, none of it set.
SAME = {"metrics.serviceMonitor": "serviceMonitor"}


def schema(value, path, values):
    if path == "trackingServer.basicAuth":  # the same keys, none of them set
        return schema({key: values["auth"][key] for key in BASIC_AUTH}, "auth", values)
    if path == "auth.createSecret":
        return schema({key: values["auth"][key] for key in BASIC_AUTH[:6]}, "auth", values)
    if path == "backendStore.createSecret":
        return schema({"backendStoreUri": ""}, "", values)
    if path in SAME:
        return schema(values[SAME[path]], SAME[path], values)
    if path in ENUMS:
        return {"enum": ENUMS[path]}
    if path in TYPES:
        return {"type": TYPES[path]}
    if isinstance(value, dict):
        if path in FREE:
            return {"type": "object"}
        return {"type": "object", "additionalProperties": False,
                "properties": {key: schema(inner, f"{path}.{key}" if path else key, values)
                               for key, inner in value.items()}}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, list):
        return {"type": "array"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    return {"type": "string"}


def main():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sluice/values.yaml"),
              encoding="utf-8") as f:
        values = yaml.safe_load(f)
    made = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart sluice",
            **schema(values, "", values)}
    made["properties"]["global"] = {"type": "object"}  # Helm's own
    with open(os.path.join(sys.argv[1], "values.schema.json"), "w", encoding="utf-8") as f:
        json.dump(made, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
