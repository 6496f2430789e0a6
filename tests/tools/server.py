"""The servers that tests and benchmarks talk to: Sluice itself, and a stock MLflow server.

Both are used as `with Sluice(...) as s:`, have .url and .pg_uri, keep what they print in
.output(), and are stopped by the process id that was started, never by name.
"""

import errno
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BINARY = os.environ.get("SLUICE_TEST_BINARY", os.path.join(ROOT, "build/sluice"))

SANITIZER_REPORT = re.compile(
    r"ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|WARNING: ThreadSanitizer")

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
         "GIT_PYTHON_REFRESH": "quiet"}


def clean_environment(extra=None):
    """The environment without settings of Sluice or MLflow that a developer may have set."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "MLFLOW_"))}
    return {**kept, **QUIET, **(extra or {})}


def wait_until(condition, limit_s, what):
    """Polls until condition() is true and returns what it gave; fails after limit_s."""
    deadline = time.monotonic() + limit_s
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit_s} s: {what}")
        time.sleep(0.02)


CLAIMED = []  # sockets whose names say which ports are this process's


def fixed_ports():
    """Those that the kernel gives to nobody who asks for any port, as Sluice at port 0 does."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        low, high = (int(word) for word in f.read().split())
    ports = [p for p in range(10000, 65536) if not low <= p <= high]
    return ports or list(range(10000, 65536))


def claim_port(port):
    """Is it ours from now on? An abstract name belongs to one socket of the network namespace, as a
    port does, and is gone with the process."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0sluice-test-port-{port}")
        with socket.socket() as s:
            s.bind(("127.0.0.1", port))
    except OSError as e:
        claim.close()
        if e.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        return False
    CLAIMED.append(claim)
    return True


def free_port():
    """A port that no other caller of this gets while the process lives, for a program that cannot
    choose its own and say which."""
    ports = fixed_ports()
    random.SystemRandom().shuffle(ports)
    return next(port for port in ports if claim_port(port))


def is_port_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Server:
    """A started program whose output goes to a file."""

    def __init__(self, pg_uri):
        self.pg_uri = pg_uri
        self.folder = tempfile.mkdtemp(prefix="server-")
        self.process = None
        self.url = None

    def spawn(self, command, env, **more):
        with open(os.path.join(self.folder, "output"), "ab") as out:
            self.process = subprocess.Popen(command, cwd=self.folder, env=env, stdout=out,
                                            stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                            **more)

    def output(self):
        with open(os.path.join(self.folder, "output"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def is_answering(self, url):
        if self.process.poll() is not None:
            raise AssertionError(f"exit code {self.process.returncode} at start:\n{self.output()}")
        try:
            return requests.get(url, timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            if self.process and self.process.poll() is None:
                self.kill()
            shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def __exit__(self, *unused):
        try:
            self.stop()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


class Sluice(Server):
    """`sluice serve` on free ports. Stopping it asserts a clean end: code 0, no report."""

    def __init__(self, pg_uri=None, data_dir=None, args=(), env=None, binary=None):
        super().__init__(pg_uri)
        self.binary = os.path.abspath(binary or os.environ.get("SLUICE_TEST_BINARY") or BINARY)
        self.data_dir = data_dir or os.path.join(self.folder, "data")
        self.args = list(args)
        self.env = env or {}
        self.admin_url = None
        self.wrapper = []  # a command that runs it, in place of itself
        self.start_limit_s = 60

    def command(self):
        command = self.wrapper + [self.binary, "serve", "--listen", "127.0.0.1:0",
                   "--admin-listen", "127.0.0.1:0", "--data-dir", self.data_dir]
        if self.pg_uri:
            command += ["--pg-uri", self.pg_uri]
        return command + self.args

    def start(self):
        begin = len(self.output()) if self.process else 0
        self.spawn(self.command(), clean_environment(self.env))

        def address(word):
            found = re.search(rf"{word} on (https?://\S+:\d+)", self.output()[begin:])
            if not found and self.process.poll() is not None:
                raise AssertionError(
                    f"exit code {self.process.returncode} at start:\n{self.output()}")
            return found and found[1]

        limit_s = self.start_limit_s
        self.url = wait_until(lambda: address("listening"), limit_s, "the line `listening on`")
        self.admin_url = wait_until(lambda: address("admin"), limit_s, "the line `admin on`")
        wait_until(lambda: self.is_answering(self.admin_url + "/readyz"), limit_s, "/readyz")
        return self

    def kill(self):
        """kill -9: nothing is flushed, nothing is closed."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=30)

    def stop(self, how=signal.SIGTERM):
        if self.process is None or self.process.poll() == -signal.SIGKILL:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(timeout=90)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"still running 90 s after {how}:\n{self.tail()}") from None
        assert not SANITIZER_REPORT.search(self.output()), self.output()
        assert self.process.returncode == 0, \
            f"exit code {self.process.returncode}:\n{self.tail()}"

    def tail(self):
        return "\n".join(self.output().splitlines()[-60:])

    def stat(self, name):
        """One number of /metrics, by its full name with labels."""
        text = requests.get(self.admin_url + "/metrics", timeout=10).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        assert found, f"{name} is not in /metrics"
        return float(found[1])


class Stock(Server):
    """`mlflow server` of the version in requirements.txt."""

    def __init__(self, pg_uri, workers=1, env=None, prefix="", args=()):
        super().__init__(pg_uri)
        self.workers = workers
        self.env = env or {}
        self.prefix = prefix
        self.args = list(args)

    def start(self):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        uri = "sqlite:///mlflow.db"  # in the folder it runs in
        if self.pg_uri:
            uri = self.pg_uri.replace("postgresql://", "postgresql+psycopg://", 1)
        # A worker that does not say within 5 s that it lives would be killed, its requests with it: on a
        # busy machine a long read is enough for that. Its AI jobs, which nothing here asks for, are
        # seven processes more.
        # What MLflow looks at while it is imported (the prefix) must be there before: then as it is.
        is_plain = self.workers == 1 and not self.prefix and not self.args
        how = [os.path.join(ROOT, "tests/tools/stock_server.py")] if is_plain else ["-m", "mlflow"]
        self.spawn([sys.executable, *how, "server", "--backend-store-uri", uri,
                    "--host", "127.0.0.1", "--port", str(port), "--workers", str(self.workers),
                    "--uvicorn-opts", "--timeout-worker-healthcheck 120", *self.args],
                   clean_environment({"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **self.env}),
                   start_new_session=True)
        wait_until(lambda: self.is_answering(self.url + self.prefix + "/health"), 240, "stock MLflow /health")
        return self

    def signal_all(self, how):
        # Its own session holds the server, its workers and their helpers, and nothing else.
        try:
            os.killpg(self.process.pid, how)
        except ProcessLookupError:
            pass

    def kill(self):
        self.signal_all(signal.SIGKILL)
        self.process.wait(timeout=20)

    def stop(self):
        if self.process is None:
            return
        self.signal_all(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            pass
        self.kill()  # workers that outlive their parent
        self.process = None
