"""Artifacts: one large file to a server and back, Sluice beside nginx (dav) and stock MLflow, in turns.

    found["artifacts"] = measure_artifacts(cluster, Sluice, Stock, folder, options, say)

curl sends the file and takes it, with nothing else on the connection. Peak memory is the most that any
of the server's processes was resident during a round, file pages mapped or not counted as the kernel
does (VmHWM). S3 is the server of the tests on the same machine: what it costs is in the figure, so the
same exchange with that server alone stands beside it.
"""

import os
import shutil
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tools"))

from s3 import KEY, S3, SECRET  # noqa: E402
from server import free_port, is_port_open, wait_until  # noqa: E402

PATIENCE_S = 120
PROXY = "/api/2.0/mlflow-artifacts/artifacts/1/r/artifacts/file"
CONF = """
worker_processes 2; daemon off; pid nginx.pid; error_log error.log crit; user root;
events {{ worker_connections 256; }}
http {{
    access_log off; sendfile on; client_max_body_size 0;
    client_body_temp_path {folder}/store/body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    server {{
        listen 127.0.0.1:{port}; root {folder}/store;
        location / {{ dav_methods PUT DELETE; create_full_put_path on; }}
    }}
}}
"""


class Dav:
    """nginx that stores what is put, in one copy: its temporary files lie on the same disk."""

    def __init__(self, folder):
        self.folder = os.path.join(folder, "dav")
        os.makedirs(os.path.join(self.folder, "store"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None

    def __enter__(self):
        path = os.path.join(self.folder, "nginx.conf")
        with open(path, "w", encoding="ascii") as f:
            f.write(CONF.format(folder=self.folder, port=self.port))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen([program, "-p", self.folder, "-c", path],
                                        stderr=subprocess.DEVNULL)
        wait_until(lambda: is_port_open(self.port), 10, "nginx listens")
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(timeout=20)


def children(pid):
    """pid and all below it."""
    found = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as f:
            for child in f.read().split():
                found += children(int(child))
    return found


def reset_peak(pid):
    for each in children(pid):
        with open(f"/proc/{each}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")


def peak_mib(pid):
    """The largest process at its largest."""
    most = 0
    for each in children(pid):
        with open(f"/proc/{each}/status", encoding="ascii") as f:
            most = max([most] + [int(line.split()[1]) for line in f if line.startswith("VmHWM")])
    return most / 1024


def curl(*arguments):
    done = subprocess.run(["curl", "-sS", "-m", str(PATIENCE_S), "-o", "/dev/null", "-w", "%{http_code} %{time_total}",
                           *arguments], capture_output=True, text=True, check=True)
    status, seconds = done.stdout.split()
    if status not in ("200", "201", "204"):
        raise AssertionError(f"{arguments[-1]}: {status}")
    return float(seconds)


def exchange(url, file, more=()):
    return (curl(*more, "-T", file, url), curl(*more, url))


def one_round(name, server, url, file, size_mb, rounds, say, more=()):
    reset_peak(server.process.pid)
    try:
        put_s, get_s = exchange(url, file, more)
    except subprocess.CalledProcessError:
        if name in rounds or not name.startswith("stock"):
            raise
        say(f"    {name}: no answer in {PATIENCE_S} s")
        return
    r = rounds.setdefault(name, {"put": [], "get": [], "peak": []})
    r["put"].append(size_mb / put_s)
    r["get"].append(size_mb / get_s)
    r["peak"].append(peak_mib(server.process.pid))


def measure_artifacts(cluster, sluice, stock, folder, options, say):
    size_mb = options.artifact_mb
    file = os.path.join(folder, "file")
    rounds = {}
    with open(file, "wb") as f:
        for _ in range(size_mb):
            f.write(os.urandom(1000000))
    signed = ["--aws-sigv4", "aws:amz:us-east-1:s3", "-u", f"{KEY}:{SECRET}", "-H",
              "x-amz-content-sha256: UNSIGNED-PAYLOAD"]
    uris = [cluster.create_database(f"artifacts{i}") for i in range(4)]
    with S3() as s3, Dav(folder) as dav, \
            sluice(uris[0], args=["--artifacts-destination", os.path.join(folder, "a")]) as local, \
            sluice(uris[1], args=["--artifacts-destination", "s3://bkt"], env=s3.env) as remote:
        s3.make_bucket("bkt")
        servers = [("nginx dav", dav, dav.url + "/1/r/file", ()),
                   ("sluice, disk", local, local.url + PROXY, ()),
                   ("S3 server alone", s3, s3.url + "/bkt/alone", signed),
                   ("sluice, S3", remote, remote.url + PROXY, ())]
        to_s3 = {"args": ["--artifacts-destination", "s3://bkt/stock"], "env": s3.env}
        with _stock(stock, uris[2], options) as mlflow, \
                _stock(stock, uris[3], options, **to_s3) as mlflow_s3:
            if mlflow:
                servers.append(("stock MLflow, disk", mlflow, mlflow.url + PROXY, ()))
                servers.append(("stock MLflow, S3", mlflow_s3, mlflow_s3.url + PROXY, ()))
            for i in range(options.rounds):
                say(f"    round {i + 1}")
                for name, server, url, more in servers:
                    one_round(name, server, url, file, size_mb, rounds, say, more)
    for i in range(4):
        cluster.drop_database(f"artifacts{i}")
    os.unlink(file)
    return rounds


class _stock:
    """A stock server, or none."""

    def __init__(self, stock, uri, options, **more):
        self.server = None if options.no_stock else stock(uri, **more)

    def __enter__(self):
        return self.server and self.server.__enter__()

    def __exit__(self, *failure):
        if self.server:
            self.server.__exit__(*failure)


def artifact_table(rounds):
    lines = [f"{'one file, MB/s':<24}{'PUT':>8}{'GET':>8}{'peak MiB':>10}   rounds (PUT; GET)"]
    for name, r in rounds.items():
        middle = {k: statistics.median(v) for k, v in r.items()}
        lines.append(f"{name:<24}{middle['put']:>8.0f}{middle['get']:>8.0f}{max(r['peak']):>10.0f}   "
                     + "; ".join(" ".join(f"{x:.0f}" for x in r[k]) for k in ("put", "get")))
    return "\n".join(lines)
