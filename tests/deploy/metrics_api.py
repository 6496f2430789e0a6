"""What an autoscaler asks: metrics.k8s.io and custom.metrics.k8s.io, served beside the API server.

    with MetricsApi(plane, folder) as api:
        api.cpu = lambda pod: 450                               # thousandths of a processor
        api.custom["sluice_backlog_seconds"] = lambda pod: 7.5

In a cluster metrics-server and prometheus-adapter stand here. This one answers for every pod that the
selector of the question finds, with what the test says.
"""

import http.server
import json
import pathlib
import ssl
import threading
import time
import urllib.parse

from certificates import Authority
from server import free_port, wait_until

RESOURCES, CUSTOM = "metrics.k8s.io/v1beta1", "custom.metrics.k8s.io/v1beta1"


class MetricsApi:
    def __init__(self, plane, folder):
        self.plane = plane
        self.cpu = lambda pod: 0
        self.custom = {}
        self.asked = set()
        self.port = free_port()
        certificate, key = Authority(pathlib.Path(folder), "metrics").sign("localhost")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=invalid-name
                body = api.answer(urllib.parse.urlsplit(self.path))
                data = json.dumps(body or {"kind": "Status", "status": "Failure", "code": 404}).encode()
                self.send_response(200 if body else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)

    def answer(self, url):
        words = url.path.strip("/").split("/")
        if len(words) < 3 or words[0] != "apis":
            return None
        group = "/".join(words[1:3])
        if len(words) == 3:
            names = ["pods"] if group == RESOURCES else [f"pods/{name}" for name in self.custom]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": [
                {"name": name, "namespaced": True, "kind": "PodMetrics" if group == RESOURCES else
                 "MetricValueList", "singularName": "", "verbs": ["get", "list"]} for name in names]}
        namespace = words[4]
        selector = urllib.parse.parse_qs(url.query).get("labelSelector", [""])[0]
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        pods = [p["metadata"]["name"] for p in self.plane.pods(namespace, selector)]
        if group == RESOURCES:
            return {"kind": "PodMetricsList", "apiVersion": group, "metadata": {}, "items": [
                {"metadata": {"name": pod, "namespace": namespace}, "timestamp": now, "window": "10s",
                 "containers": [{"name": "sluice", "usage": {"cpu": f"{int(self.cpu(pod))}m",
                                                             "memory": "64Mi"}}]} for pod in pods]}
        metric = words[-1]
        self.asked.add(metric)
        if metric not in self.custom:
            return None
        return {"kind": "MetricValueList", "apiVersion": group, "metadata": {}, "items": [
            {"describedObject": {"kind": "Pod", "namespace": namespace, "name": pod, "apiVersion": "v1"},
             "metricName": metric, "timestamp": now,
             "value": f"{round(self.custom[metric](pod) * 1000)}m"} for pod in pods]}

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.plane.apply([{
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "metrics", "namespace": "kube-system"},
            "spec": {"type": "ExternalName", "externalName": "localhost"}}])
        for group in (RESOURCES, CUSTOM):
            name, version = group.split("/")
            self.plane.apply([{
                "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                "metadata": {"name": f"{version}.{name}"},
                "spec": {"group": name, "version": version, "insecureSkipTLSVerify": True,
                         "groupPriorityMinimum": 100, "versionPriority": 100,
                         "service": {"name": "metrics", "namespace": "kube-system", "port": self.port}}}])
            wait_until(lambda version=version, name=name: any(
                c["type"] == "Available" and c["status"] == "True" for c in self.plane.get(
                    f"apiservice/{version}.{name}").get("status", {}).get("conditions", [])),
                60, f"{group} is available")
        return self

    def __exit__(self, *unused):
        self.plane.kubectl("delete", "apiservice", *(".".join(reversed(g.split("/"))) for g in (RESOURCES, CUSTOM)))
        self.server.shutdown()
        self.server.server_close()
