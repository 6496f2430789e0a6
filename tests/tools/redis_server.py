"""A real Redis for tests: `with RedisServer() as redis`, on a free port, in a directory of its own.

    redis.uri, redis.args (settings for Sluice); redis.kill(), redis.pause(), redis.resume(), redis.start()
    redis.command("SET", "x", "1")     what redis-cli prints

Without persistence: one that was killed comes back empty. tls: only TLS, with a password. It is ended by
the process id that was started.
"""

import signal
import subprocess

from daemon import Daemon
from server import free_port, wait_until

PASSWORD = "s3cret@/"


class RedisServer(Daemon):
    def __init__(self, tls=False):
        super().__init__("redis-")
        self.port = free_port()
        self.tls = tls
        self.uri = f"redis://127.0.0.1:{self.port}"
        self.args = ["--redis-uri", self.uri]
        if tls:
            self.uri = f"rediss://:s3cret%40%2F@localhost:{self.port}/2"
            self.args = ["--redis-uri", self.uri, "--redis-ca", self.path("ca.pem")]
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                            "/CN=test", "-addext", "subjectAltName=DNS:localhost",
                            "-keyout", self.path("key.pem"), "-out", self.path("ca.pem")],
                           check=True, capture_output=True)

    def start(self):
        command = ["redis-server", "--bind", "127.0.0.1", "-::1", "--save", "", "--dir", self.folder]
        if self.tls:
            command += ["--port", "0", "--tls-port", str(self.port), "--tls-auth-clients", "no",
                        "--tls-cert-file", self.path("ca.pem"), "--tls-key-file",
                        self.path("key.pem"), "--tls-ca-cert-file", self.path("ca.pem"),
                        "--requirepass", PASSWORD]
        else:
            command += ["--port", str(self.port)]
        with open(self.path("log"), "ab") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=out,
                                            stdin=subprocess.DEVNULL)
        wait_until(lambda: self.command("PING") == "PONG", 30, "redis answers")
        return self

    def command(self, *words):
        more = ["--tls", "--cacert", self.path("ca.pem"), "-a", PASSWORD, "--no-auth-warning",
                "-h", "localhost"] if self.tls else []
        result = subprocess.run(["redis-cli", "-p", str(self.port), *more, *words],
                                capture_output=True, text=True, timeout=30)
        return result.stdout.strip()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
