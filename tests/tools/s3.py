"""A throwaway S3 server: SeaweedFS in a temporary folder, on free ports of 127.0.0.1.

    with S3() as s3:
        s3.make_bucket("artifacts")
        Sluice(..., args=["--artifacts-destination", "s3://artifacts/some/prefix"], env=s3.env)

It checks signatures. With `certificate` (a certificate's file, its key's) it speaks TLS, `more` are further
flags. Where `make` has not fetched it (build/s3/weed), starting it fails.
"""

import json
import os
import subprocess

from daemon import Daemon
from server import free_port, is_port_open, wait_until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WEED = os.path.join(ROOT, "build/s3/weed")
KEY, SECRET = "test-key", "test-secret/with+signs"
# The port of the gRPC twin of each service, which would be the port and 10000.
SERVICES = ("master", "volume", "filer", "s3")


class S3(Daemon):
    def __init__(self, certificate=None, more=()):
        self.more = list(more)
        if certificate:
            self.more += [f"-s3.cert.file={certificate[0]}", f"-s3.key.file={certificate[1]}"]
        super().__init__("s3-")
        self.ports = {name: free_port() for name in SERVICES}
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.ports['s3']}"
        self.env = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET,
                    "AWS_DEFAULT_REGION": "us-east-1", "MLFLOW_S3_ENDPOINT_URL": self.url}

    def start(self):
        identities = self.path("s3.json")
        with open(identities, "w", encoding="ascii") as f:
            json.dump({"identities": [{"name": "test", "actions": ["Admin"], "credentials": [
                {"accessKey": KEY, "secretKey": SECRET}]}]}, f)
        command = [WEED, "server", f"-dir={self.folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
                   "-filer", "-s3", f"-s3.config={identities}", "-volume.max=8",
                   "-master.volumeSizeLimitMB=2048", "-s3.port.iceberg=0",
                   "-s3.port.lance=0", f"-s3.localSocket={self.folder}/s3.sock",
                   f"-filer.localSocket={self.folder}/filer.sock"]
        command += self.more
        for name, port in self.ports.items():
            command += [f"-{name}.port={port}", f"-{name}.port.grpc={free_port()}"]
        with open(self.path("log"), "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL, cwd=self.folder)
        wait_until(self.is_up, 60, "the S3 server listens")
        return self

    def is_up(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the S3 server has ended:\n{self.output()[-3000:]}")
        return is_port_open(self.ports["s3"])

    def curl(self, method, path, *more):
        """(status, body) of a signed request."""
        done = subprocess.run(
            ["curl", "-sSk", "-X", method, "--aws-sigv4", "aws:amz:us-east-1:s3", "-u",
             f"{KEY}:{SECRET}", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-w",
             "\n%{http_code}", self.url + path, *more], capture_output=True, check=True, timeout=60)
        body, _, status = done.stdout.rpartition(b"\n")
        return int(status), body

    def make_bucket(self, name):
        # The volume servers report a moment after the port is open.
        wait_until(lambda: self.curl("PUT", f"/{name}")[0] in (200, 409), 60, "a bucket is made")
        wait_until(lambda: self.curl("PUT", f"/{name}/probe", "-d", "x")[0] == 200, 60,
                   "an object is stored")
        assert self.curl("DELETE", f"/{name}/probe")[0] == 204
