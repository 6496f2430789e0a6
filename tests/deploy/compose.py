#!/usr/bin/env python3
"""The compose suite: what deploy/compose/compose.yaml says, done by the real programs without a daemon.

    build/venv/bin/python tests/deploy/compose.py [--only NAME]

  names      services, volumes, profiles and variables that are named are there; secrets have no default
  settings   the gateway's variables are settings of this program, with example.env and with kafka.env
  together   each service's own command and variables, as its container would have them: an S3 store, its
             bucket, Sluice as the image's user, Redis, Prometheus with the alerts; metrics and an artifact
             go in, Prometheus sees them, and the end comes within the grace period

All run in namespaces of this program's own (as root; otherwise `together` fails), below a root that is an
overlay, where the services' names are 127.0.0.1. PostgreSQL is this machine's instead of the image's;
Kafka's image turns variables into its settings itself, so that one is looked at by name alone. The file
against compose's own schema is `make test-deploy-full` (chart.py --tools). Last line: `N passed, N failed`.
"""

import argparse
import os
import re
import shutil
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
import namespaces  # noqa: E402
from cluster import Cluster  # noqa: E402
from server import wait_until  # noqa: E402

FOLDER = os.path.join(ROOT, "deploy/compose")
API = "/api/2.0/mlflow/"
VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?::([-?])([^}]*))?\})")


def read_env(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as f:
        return dict(line.strip().split("=", 1) for line in f if re.match(r"\w+=", line))


def interpolated(env):
    """compose.yaml with ${...} put in as compose does, in what YAML has read."""
    def value(match):
        name, how, otherwise = match.groups()
        if name is None:
            return "$"
        if env.get(name):
            return env[name]
        if how == "?":
            raise KeyError(f"{name}: {otherwise}")
        return env.get(name, "") or (otherwise if how == "-" else "")

    def walked(node):
        if isinstance(node, dict):
            return {k: walked(v) for k, v in node.items()}
        if isinstance(node, list):
            return [walked(v) for v in node]
        return VARIABLE.sub(value, node) if isinstance(node, str) else node

    with open(os.path.join(FOLDER, "compose.yaml"), encoding="utf-8") as f:
        return walked(yaml.safe_load(f))


def image_env():
    """What the image of deploy/image sets by itself, and what it starts."""
    with open(ROOT + "/deploy/image/Containerfile", encoding="utf-8") as f:
        text = f.read()
    start = [re.search(rf'^{word} \["(.*)"\]', text, re.M)[1] for word in ("ENTRYPOINT", "CMD")]
    return dict(re.findall(r"(SLUICE_\w+)=(\S+)", text)), start


def names():
    made = interpolated(read_env("example.env"))
    services = made["services"]
    used = set()
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            assert ("healthcheck" in services[other]) == (how["condition"] == "service_healthy"), other
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert os.path.exists(os.path.join(FOLDER, source)), source
            else:
                used.add(source)
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name}: {port} is everybody's"
    assert used == set(made["volumes"]), used ^ set(made["volumes"])
    assert {p for s in services.values() for p in s.get("profiles", [])} == {"kafka", "redis"}
    always = {n for n, s in services.items() if "profiles" not in s}
    assert always == {"sluice", "postgres", "s3", "bucket", "prometheus"}
    with open(os.path.join(FOLDER, "compose.yaml"), encoding="utf-8") as f:
        asked = {m[1] for m in VARIABLE.finditer(f.read()) if m[1]}
    for name in ("example.env", "kafka.env"):
        assert set(read_env(name)) <= asked, set(read_env(name)) - asked
    try:
        interpolated({})
    except KeyError:
        return
    raise AssertionError("it starts without passwords")


def settings():
    for name, queue in (("example.env", "journal"), ("kafka.env", "kafka")):
        variables = interpolated(read_env(name))["services"]["sluice"]["environment"]
        assert variables["SLUICE_QUEUE"] == queue
        said = subprocess.run([ROOT + "/build/sluice", "config", "check"], text=True, capture_output=True,
                              env={"PATH": "/usr/bin:/bin", **variables}, timeout=60, check=False)
        assert said.returncode == 0, f"{name}: {said.stdout}{said.stderr}"
    hosts = re.findall(r"(\w+):\d+", variables["SLUICE_KAFKA_BROKERS"] + variables["SLUICE_REDIS_URI"])
    assert set(hosts) <= set(interpolated(read_env(name))["services"]), hosts


class Stack:
    """Services of the file as processes below one overlay of this machine's root."""

    def __init__(self):
        self.made = interpolated(read_env("example.env"))["services"]
        self.folder = tempfile.mkdtemp(prefix="compose-")
        os.chmod(self.folder, 0o755)
        self.root = os.path.join(self.folder, "root")
        self.processes = {}

    def __enter__(self):
        for name in ("root", "upper", "work"):
            os.mkdir(os.path.join(self.folder, name))
        run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={self.folder}/upper,"
            f"workdir={self.folder}/work", self.root)
        for source in ("/proc", "/dev"):
            run("mount", "--rbind", source, self.root + source)
        with open(self.root + "/etc/hosts", "w", encoding="ascii") as f:
            f.write("127.0.0.1 localhost " + " ".join(self.made) + "\n")
        shutil.copy(ROOT + "/build/sluice", self.root + "/usr/bin/sluice")
        shutil.copy(os.path.realpath(ROOT + "/build/s3/weed"), self.root + "/usr/bin/weed")
        for service in self.made.values():
            for volume in service.get("volumes", []):
                source, target = volume.split(":")[:2]
                os.makedirs(os.path.dirname(self.root + target), exist_ok=True)
                if source.startswith("."):
                    shutil.copy(os.path.join(FOLDER, source), self.root + target)
                else:
                    shutil.rmtree(self.root + target, ignore_errors=True)
                    os.makedirs(self.root + target)
                    os.chmod(self.root + target, 0o777)
        return self

    def __exit__(self, *unused):
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait(timeout=60)
        run("umount", "-R", "-l", self.root)
        shutil.rmtree(self.folder, ignore_errors=True)

    def output(self, name):
        with open(os.path.join(self.folder, name + ".log"), encoding="utf-8", errors="replace") as f:
            return f.read()[-3000:]

    def start(self, name, program=(), image=None):
        """Entry point and command of the file, after those of the image where it says none."""
        service = self.made[name]
        command = service.get("command", [])
        words = list(service.get("entrypoint", program)) + (
            command.split() if isinstance(command, str) else list(command))
        user = str(service.get("user", "0:0"))
        env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp",
               **(image or {}), **service.get("environment", {})}
        wrapped = ["chroot", f"--userspec={user}", "--groups=", self.root, *words]
        if service.get("cap_drop"):
            wrapped = ["setpriv", "--no-new-privs"] + wrapped
        with open(os.path.join(self.folder, name + ".log"), "ab") as log:
            self.processes[name] = subprocess.Popen(wrapped, env=env, stdin=subprocess.DEVNULL, stdout=log,
                                                    stderr=log)
        return self.processes[name]

    def answers(self, name, url):
        if self.processes[name].poll() is not None:
            raise AssertionError(f"{name} has ended:\n{self.output(name)}")
        try:
            return requests.get(url, timeout=5).status_code == 200
        except requests.RequestException:
            return False


def run(*command):
    done = subprocess.run(command, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stdout}{done.stderr}"
    return done.stdout


def is_healthy(stack, name, more=""):
    """Its health check, as its container would run it."""
    kind, line = stack.made[name]["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    return subprocess.run(["chroot", stack.root, "sh", "-c", line + more], timeout=60, check=False,
                          capture_output=True).returncode == 0


def make_bucket(stack):
    """Started until it succeeds, as `restart: on-failure` does."""
    wait_until(lambda: stack.start("bucket").wait(timeout=120) == 0, 120, "the bucket is made")
    assert "mlflow" in stack.output("bucket")


def together():
    assert namespaces.are_own(), "needs namespaces: run it as root"
    with Cluster({"listen_addresses": "'127.0.0.1'", "port": "5432"}) as cluster, Stack() as stack:
        # The cluster trusts whoever comes from this machine; the image would make this role itself.
        run("psql", cluster.create_database("mlflow"), "-qc", "CREATE ROLE mlflow LOGIN SUPERUSER")
        assert is_healthy(stack, "postgres", " -h postgres")
        stack.start("s3")
        wait_until(lambda: is_healthy(stack, "s3"), 60, "the S3 store is healthy")
        make_bucket(stack)
        stack.start("redis")
        variables, program = image_env()
        stack.start("sluice", program, variables)
        stack.start("prometheus", ["prometheus"])
        gateway, admin, prometheus = (f"http://127.0.0.1:{port}" for port in (5000, 5001, 9090))
        wait_until(lambda: stack.answers("sluice", admin + "/readyz"), 60, "Sluice is ready")
        created = requests.post(gateway + API + "runs/create", json={"experiment_id": "0"}, timeout=30).json()["run"]
        run_id, root = created["info"]["run_id"], created["info"]["artifact_uri"]
        assert root.startswith("mlflow-artifacts:"), root
        requests.post(gateway + API + "runs/log-metric", timeout=30, json={
            "run_id": run_id, "key": "loss", "value": 1.0, "step": 0, "timestamp": 1}).raise_for_status()
        path = root.split(":", 1)[1].lstrip("/") + "/note.txt"
        requests.put(f"{gateway}/api/2.0/mlflow-artifacts/artifacts/{path}", data=b"kept",
                     timeout=30).raise_for_status()
        variables = stack.made["sluice"]["environment"]
        key = f"{variables['AWS_ACCESS_KEY_ID']}:{variables['AWS_SECRET_ACCESS_KEY']}"
        stored = run("curl", "-sS", "--aws-sigv4", "aws:amz:us-east-1:s3", "-u", key, "-H",
                     "x-amz-content-sha256: UNSIGNED-PAYLOAD", "http://127.0.0.1:8333/mlflow?list-type=2")
        assert f"artifacts/{path}" in stored, stored
        wait_until(lambda: "PONG" in run("redis-cli", "-h", "127.0.0.1", "ping"), 30, "Redis answers")

        def sees(expression):
            if not stack.answers("prometheus", prometheus + "/-/ready"):
                return False
            said = requests.get(prometheus + "/api/v1/query", params={"query": expression}, timeout=30)
            return said.json()["data"]["result"]

        wait_until(lambda: sees('sluice_accepted_points_total{job="sluice"} >= 1'), 90, "Prometheus has scraped")
        groups = requests.get(prometheus + "/api/v1/rules", timeout=30).json()["data"]["groups"]
        assert sum(len(g["rules"]) for g in groups) > 5, groups
        grace = int(stack.made["sluice"]["stop_grace_period"].rstrip("s"))
        begin = time.monotonic()
        stack.processes["sluice"].terminate()
        assert stack.processes["sluice"].wait(timeout=grace) == 0, stack.output("sluice")
        assert time.monotonic() - begin < grace


CHECKS = [names, settings, together]


def main():
    namespaces.enter("net", "mount", "pid")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", default=[], help="one check; repeatable")
    options = parser.parse_args()
    checks.run(CHECKS, options.only)


if __name__ == "__main__":
    main()
