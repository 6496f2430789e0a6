"""An Ingress controller in thirty lines: nginx, set up by what the Ingress objects of a cluster say.

    with Ingress(plane, machine, folder) as controller:
        requests.get("https://mlflow.example.com/", verify=...)

Hosts, TLS Secrets, path and Service, and of nginx' annotations those that the chart writes: the limits,
backend-protocol, basic auth with its Secret. Listens on ports 80 and 443 of the bridge, as the names of
the hosts resolve (Kubelet.extra).
"""

import base64
import os
import subprocess

from kubelet import HOME
from server import wait_until

PREFIX = "nginx.ingress.kubernetes.io/"
CONF = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {servers}
}}
"""
SERVER = """
    server {{
        listen {home}:443 ssl; server_name {host};
        ssl_certificate {folder}/{host}.crt; ssl_certificate_key {folder}/{host}.key;
        client_max_body_size {body};
        location {path} {{
            {auth}
            proxy_pass {scheme}://{service}:{port};
            proxy_http_version 1.1; proxy_request_buffering {request}; proxy_buffering {buffering};
            proxy_read_timeout {read}s; proxy_send_timeout {send}s;
            proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https; proxy_set_header X-Forwarded-Host $http_host;
        }}
    }}
"""


class Ingress:
    def __init__(self, plane, machine, folder):
        self.plane = plane
        self.machine = machine
        self.folder = os.path.join(folder, "ingress")
        self.process = None

    def secret(self, namespace, name, files):
        data = self.plane.get("secret/" + name, namespace)["data"]
        for key, path in files.items():
            with open(os.path.join(self.folder, path), "wb") as f:
                f.write(base64.b64decode(data[key]))

    def server(self, made):
        namespace, spec = made["metadata"]["namespace"], made["spec"]
        said = {k[len(PREFIX):]: v for k, v in made["metadata"].get("annotations", {}).items()
                if k.startswith(PREFIX)}
        rule = spec["rules"][0]
        host, path = rule["host"], rule["http"]["paths"][0]
        tls = next(t["secretName"] for t in spec["tls"] if host in t["hosts"])
        self.secret(namespace, tls, {"tls.crt": host + ".crt", "tls.key": host + ".key"})
        auth = ""
        if said.get("auth-type") == "basic":
            self.secret(namespace, said["auth-secret"], {"auth": host + ".users"})
            auth = f'auth_basic "{said["auth-realm"]}"; auth_basic_user_file {self.folder}/{host}.users;'
        service = path["backend"]["service"]
        address = self.plane.get("service/" + service["name"], namespace)["spec"]["clusterIP"]
        self.machine.extra.add((host, HOME))
        return SERVER.format(
            home=HOME, host=host, folder=self.folder, path=path["path"], auth=auth, service=address,
            port=service["port"]["number"], scheme=said.get("backend-protocol", "HTTP").lower(),
            body=said["proxy-body-size"], request=said["proxy-request-buffering"], buffering=said["proxy-buffering"],
            read=said["proxy-read-timeout"], send=said["proxy-send-timeout"])

    def __enter__(self):
        os.makedirs(self.folder, exist_ok=True)
        os.chmod(self.folder, 0o755)  # its workers are another user's
        made = [i for i in self.plane.get("ingresses", None, "-A")["items"]]
        with open(os.path.join(self.folder, "nginx.conf"), "w", encoding="utf-8") as f:
            f.write(CONF.format(folder=self.folder, servers="".join(map(self.server, made))))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-p", self.folder, "-c", self.folder + "/nginx.conf"],
                                        stdin=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(self.folder + "/pid") and self.process.poll() is None, 30, "nginx runs")
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(timeout=30)
