#!/usr/bin/env python3
"""The deploy suite: what `make install` and `make deb` leave behind, read by those it is made for.

    python tests/deploy/run.py [--clean] [--only NAME]

  tree         `make install` puts these files there, and keeps an administrator's settings
  manuals      groff has nothing to say of the pages; every command and setting is in them
  bash, zsh, fish
               the completions: parsed, and (bash, fish) asked
  sample       the settings file is good as it is, and good with every comment taken off
  unit         systemd-analyze: no complaint, and little exposure
  calls        what the program and its private PostgreSQL ask of the kernel is what the unit allows
  notify       READY=1 when it answers, STOPPING=1 when it drains, and from the main process alone
  rules        promtool: the rules parse, every alert has a test, fires in it, and has its runbook
  scrape       a real Prometheus scrapes a loaded server: every query of the dashboard and the rules is
               answered, those of a healthy server with figures; every panel is drawn from them, under load
  package      `make deb`: files, owners, dependencies, scripts, and the same bytes twice
  image        with --clean alone: `make image`, the same digest twice; started as a cluster starts it,
               with a user that nobody knows, no capability and a root that cannot be written
  clean        with --clean alone: the package in a new Debian; started, used, removed, put back

Needs what DEPLOY_PACKAGES of the Makefile names. Last line: `N passed, N failed`.
"""

import argparse
import contextlib
import gzip
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(HERE, "../tools"))

import requests  # noqa: E402

import checks  # noqa: E402
from browser import Browser  # noqa: E402
from cluster import USER, Cluster  # noqa: E402
from panels import Board  # noqa: E402
from server import Sluice, free_port, wait_until  # noqa: E402

API = "/api/2.0/mlflow/"
TRACE = "0af7651916cd43dd8448eb211c80319c"
EXPOSURE_MAX = 1.8  # of systemd-analyze's 10
TREE = {
    "etc/sluice/sluice.conf": 0o644,
    "usr/bin/sluice": 0o755,
    "usr/bin/sluice-loadtest": 0o755,
    "usr/lib/systemd/system/sluice.service": 0o644,
    "usr/lib/sysusers.d/sluice.conf": 0o644,
    "usr/lib/tmpfiles.d/sluice.conf": 0o644,
    "usr/share/bash-completion/completions/sluice": 0o644,
    "usr/share/doc/sluice/LICENSE": 0o644,
    "usr/share/doc/sluice/README.md": 0o644,
    "usr/share/doc/sluice/copyright": 0o644,
    "usr/share/fish/vendor_completions.d/sluice.fish": 0o644,
    "usr/share/man/man1/sluice.1": 0o644,
    "usr/share/man/man5/sluice.conf.5": 0o644,
    "usr/share/zsh/vendor-completions/_sluice": 0o644,
}


def run(*command, **more):
    """Runs it and returns what it printed, errors too; fails with that when it fails."""
    result = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            stdin=subprocess.DEVNULL, timeout=600, check=False, **more)
    assert result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stdout}"
    return result.stdout


def make(*words):
    # MAKEFLAGS of the make that runs this would make it wait for jobs of a server that is not there.
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return run("make", "-s", "-C", ROOT, *words, env=env)


def files_below(folder):
    return {os.path.relpath(os.path.join(at, name), folder): os.path.join(at, name)
            for at, _, names in os.walk(folder) for name in names}


def settings():
    """Names of all settings, from the program itself."""
    return [line.split(" =")[0] for line in run(ROOT + "/build/sluice", "config", "dump").splitlines()]


def commands():
    with open(ROOT + "/gateway/command/commands.def", encoding="utf-8") as f:
        return re.findall(r'^COMMAND\("([a-z-]+)"', f.read(), re.M)


class Suite:
    def __init__(self, tree):
        self.tree = tree

    def path(self, name):
        return os.path.join(self.tree, name)


def tree(suite):
    found = files_below(suite.tree)
    assert set(found) == set(TREE), set(found) ^ set(TREE)
    for name, path in found.items():
        assert stat.S_IMODE(os.stat(path).st_mode) == TREE[name], name
    chosen = suite.path("etc/sluice/sluice.conf")
    with open(chosen, encoding="utf-8") as f:
        before = f.read()
    with open(chosen, "a", encoding="utf-8") as f:
        f.write("flush_rows = 7\n")
    make("install", "DESTDIR=" + suite.tree, "PREFIX=/usr")
    with open(chosen, encoding="utf-8") as f:
        assert f.read() == before + "flush_rows = 7\n", "an administrator's settings are gone"
    with open(chosen, "w", encoding="utf-8") as f:
        f.write(before)


def manuals(suite):
    env = dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="100")
    text = {}
    for name in ("man1/sluice.1", "man5/sluice.conf.5"):
        path = suite.path("usr/share/man/" + name)
        said = run("groff", "-man", "-Tutf8", "-ww", "-z", path, env=env)
        assert not said, said
        shown = run("groff", "-man", "-Tascii", "-rLL=100n", "-P-c", "-P-b", "-P-u", path, env=env)
        text[name] = shown
    for command in commands():
        assert re.search(rf"^ +{command}\b", text["man1/sluice.1"], re.M), command
    for setting in settings():
        flag = "--" + setting.replace("_", "-")
        assert re.search(rf"^ +{flag}\b", text["man1/sluice.1"], re.M), flag
        assert re.search(rf"^ +{re.escape(setting)} = ", text["man5/sluice.conf.5"], re.M), setting


def bash(suite):
    path = suite.path("usr/share/bash-completion/completions/sluice")
    run("shellcheck", "-s", "bash", "-S", "warning", path)

    def offered(*words):
        script = (f"source {path}; COMP_WORDS=({' '.join(map(repr, words))}); "
                  f"COMP_CWORD={len(words) - 1}; _sluice; printf '%s\\n' \"${{COMPREPLY[@]}}\"")
        return set(run("bash", "--norc", "-c", script).split())

    assert offered("sluice", "") == set(commands())
    assert offered("sluice", "de") == {"deadletter"}
    assert offered("sluice", "deadletter", "r") == {"retry"}
    assert offered("sluice", "serve", "--queue", "") == {"journal", "kafka"}
    assert {"--run", "--since"} <= offered("sluice", "deadletter", "ls", "--")
    assert "--run" not in offered("sluice", "serve", "--")
    flags = offered("sluice", "serve", "--")
    assert {"--" + name.replace("_", "-") for name in settings()} <= flags
    assert "--pg-uri-file" in flags
    assert offered("sluice", "serve", "--config", HERE + "/ru") == {HERE + "/run.py"}


def zsh(suite):
    run("zsh", "-n", suite.path("usr/share/zsh/vendor-completions/_sluice"))


def fish(suite):
    path = suite.path("usr/share/fish/vendor_completions.d/sluice.fish")
    run("fish", "--no-execute", path)

    def offered(line):
        said = run("fish", "--no-config", "-c", f"source {path}; complete -C '{line}'",
                   env=dict(os.environ, HOME=suite.tree, XDG_CONFIG_HOME=suite.tree + "/none"))
        return {row.split("\t")[0] for row in said.splitlines()}

    assert offered("sluice ") >= set(commands())
    assert offered("sluice deadletter r") == {"retry"}
    assert offered("sluice serve --queue ") == {"journal", "kafka"}
    assert "--run" in offered("sluice deadletter ls --r")
    assert "--run" not in offered("sluice serve --r")
    shutil.rmtree(suite.tree + "/none", ignore_errors=True)
    shutil.rmtree(suite.tree + "/.local", ignore_errors=True)


def sample(suite):
    path = suite.path("etc/sluice/sluice.conf")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    assert re.findall(r"^#?([a-z][a-z0-9_]*) =", text, re.M) == settings()
    assert re.findall(r"^[^#\n].*", text, re.M) == ["data_dir = /var/lib/sluice"]
    said = run(ROOT + "/build/sluice", "config", "check", path)
    assert said.startswith("the settings are good"), said
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as whole:
        whole.write(re.sub(r"^#([a-z])", r"\1", text, flags=re.M))
        whole.flush()
        said = run(ROOT + "/build/sluice", "config", "check", whole.name)
        assert said.startswith("the settings are good"), said


def unit(suite):
    path = suite.path("usr/lib/systemd/system/sluice.service")
    # Where the program lies at last: below a root of its own, or the check would look at this machine.
    env = dict(os.environ, SYSTEMD_LOG_LEVEL="warning")
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "sluice.service")
        with open(path, encoding="utf-8") as f, open(copy, "w", encoding="utf-8") as g:
            g.write(f.read().replace("/usr/bin/sluice ", suite.path("usr/bin/sluice") + " "))
        said = run("systemd-analyze", "verify", "--man=no", copy, env=env)
        about_us = [line for line in said.splitlines() if "sluice" in line]
        assert not about_us, said
        said = run("systemd-analyze", "security", "--offline=yes", "--no-pager", copy, env=env)
    found = re.search(r"Overall exposure level for sluice.service: ([0-9.]+)", said)
    assert float(found[1]) <= EXPOSURE_MAX, said


def allowed_calls():
    """Every system call of @system-service, groups within it taken apart."""
    groups, name = {}, None
    for line in run("systemd-analyze", "--no-pager", "syscall-filter").splitlines():
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        if not line.startswith(" "):
            name = word
            groups[name] = []
        elif name:
            groups[name].append(word)

    def spread(group):
        return {call for word in groups[group]
                for call in (spread(word) if word.startswith("@") else [word])}

    return spread("@system-service")


def use(url, points=50):
    """A run with some points, as a client makes it; gives its id."""
    answer = requests.post(url + API + "runs/create", json={"experiment_id": "0"}, timeout=30)
    run_id = answer.json()["run"]["info"]["run_id"]
    body = {"run_id": run_id, "metrics": [{"key": "loss", "value": 1 / (n + 1), "step": n,
                                           "timestamp": 1700000000000 + n} for n in range(points)]}
    answer = requests.post(url + API + "runs/log-batch", json=body, timeout=30,
                           headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"})
    assert answer.status_code == 200, answer.text
    check_points(url, run_id, points)
    return run_id


def check_points(url, run_id, points=50):
    answer = requests.get(url + API + "metrics/get-history",
                          params={"run_id": run_id, "metric_key": "loss"}, timeout=30)
    assert len(answer.json()["metrics"]) == points, answer.text


def calls(suite):
    del suite
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        log = os.path.join(folder, "calls")
        server = Sluice(data_dir=os.path.join(folder, "data"), binary=ROOT + "/build/sluice")
        server.wrapper = ["strace", "-f", "-c", "-o", log, "-U", "name"]
        with server:
            use(server.url)
            requests.get(server.admin_url + "/metrics", timeout=30)
            # strace ends with its child, which is the program: it is what the signal is for.
            child = int(run("pgrep", "-P", str(server.process.pid)).split()[0])
            os.kill(child, signal.SIGHUP)
            wait_until(lambda: "settings reloaded" in server.output(), 30, "a reload")
            os.kill(child, signal.SIGTERM)
            server.process.wait(timeout=90)
        with open(log, encoding="utf-8") as f:
            made = {line.strip() for line in f if re.fullmatch(r"[a-z_0-9]+", line.strip())}
    assert {"fdatasync", "epoll_wait", "accept4"} <= made, made
    forbidden = made - allowed_calls() - {"total", "syscall"}
    assert not forbidden, f"the unit does not allow {forbidden}"


def notify(suite):
    del suite
    with tempfile.TemporaryDirectory() as folder, \
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        os.chmod(folder, 0o755)
        manager.bind(os.path.join(folder, "notify"))
        os.chmod(os.path.join(folder, "notify"), 0o777)
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.settimeout(60)

        def next_state():
            said, extra, _, _ = manager.recvmsg(256, socket.CMSG_SPACE(12))
            return said.decode(), int.from_bytes(extra[0][2][:4], sys.byteorder)

        with Sluice(data_dir=os.path.join(folder, "data"), binary=ROOT + "/build/sluice",
                    env={"NOTIFY_SOCKET": os.path.join(folder, "notify")}) as server:
            assert next_state() == ("READY=1", server.process.pid)
            assert requests.get(server.url + "/health", timeout=10).text == "OK"
            server.process.send_signal(signal.SIGTERM)
            assert next_state() == ("STOPPING=1", server.process.pid)
            server.process.wait(timeout=90)
        manager.settimeout(0)
        try:
            raise AssertionError(f"one more: {manager.recv(256)}")
        except BlockingIOError:
            pass


LOAD = ["--duration", "20s", "--rate", "150", "--jobs", "16", "--batch", "20", "--mix",
        "log-metric=6,log-batch=2,log-param=1,set-tag=1,create-run=1,get-run=1,search-runs=1,get-history=1"]
RULES = os.path.join(ROOT, "deploy/prometheus/rules.yaml")
# What a server with the journal has no figures for while all is well: Kafka, and ratios of nothing.
MAY_BE_EMPTY = re.compile(r"kafka|5xx")


def alerts_and_queries():
    """Names of alerts, and every expression, of the rules; yaml is not in the standard library."""
    said = json.loads(run(sys.executable, "-c",
                          "import json,sys,yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))",
                          RULES))
    rows = [rule for group in said["groups"] for rule in group["rules"]]
    return [r for r in rows if "alert" in r], [r["expr"] for r in rows]


def rules(suite):
    del suite
    run("promtool", "check", "rules", RULES)
    run("promtool", "test", "rules", RULES.replace(".yaml", ".test.yaml"))
    with open(RULES.replace(".yaml", ".test.yaml"), encoding="utf-8") as f:
        fired = set(re.findall(r"^        alertname: (\w+)\n        exp_alerts:\n", f.read(), re.M))
    with open(ROOT + "/docs/operations.md", encoding="utf-8") as f:
        headings = {h.lower() for h in re.findall(r"^### (\w+)$", f.read(), re.M)}
    alerts, _ = alerts_and_queries()
    for alert in alerts:
        assert alert["alert"] in fired, f"no test lets {alert['alert']} fire"
        page, _, anchor = alert["annotations"]["runbook"].partition("#")
        assert page == "docs/operations.md" and anchor == alert["alert"].lower(), alert
        assert anchor in headings, f"docs/operations.md has no {alert['alert']}"


def dashboard_queries():
    path = ROOT + "/deploy/grafana/sluice.json"
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, ROOT + "/deploy/grafana/dashboard.py", folder)
        with open(folder + "/sluice.json", encoding="utf-8") as f:
            assert f.read() == text, "deploy/grafana/sluice.json is not current: make docs"
    board = json.loads(text)
    assert len({p["id"] for p in board["panels"]}) == len(board["panels"])
    return [target["expr"] for p in board["panels"] for target in p.get("targets", [])]


class Prometheus:
    """A scraper of one job, with the rules, on a port of its own."""

    def __init__(self, folder, targets, path="/metrics"):
        self.url = f"http://127.0.0.1:{free_port()}"
        with open(folder + "/prometheus.yml", "w", encoding="utf-8") as f:
            json.dump({"global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                       "rule_files": [RULES],
                       "scrape_configs": [{"job_name": "sluice", "metrics_path": path,
                                           "static_configs": [{"targets": targets}]}]}, f)
        with open(folder + "/log", "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={folder}/prometheus.yml",
                 f"--storage.tsdb.path={folder}/tsdb", "--web.listen-address=" + self.url[7:],
                 "--enable-feature=exemplar-storage"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def is_ready(self):
        try:
            return requests.get(self.url + "/-/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False

    def __enter__(self):
        wait_until(self.is_ready, 60, "Prometheus is ready")
        return self

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(timeout=60)

    def ask(self, expression):
        answer = requests.get(self.url + "/api/v1/query", params={"query": expression}, timeout=30)
        assert answer.status_code == 200, f"{expression}: {answer.text}"
        return answer.json()["data"]["result"]

    def traces(self, metric):
        """Trace ids of its exemplars: the scrape has agreed on OpenMetrics, which alone has them."""
        answer = requests.get(self.url + "/api/v1/query_exemplars", timeout=30,
                              params={"query": metric, "start": time.time() - 600, "end": time.time() + 60})
        assert answer.status_code == 200, answer.text
        return {e["labels"]["trace_id"] for s in answer.json()["data"] for e in s["exemplars"]}

    def has(self, expression):
        return bool(self.ask(expression))


class Behind(http.server.BaseHTTPRequestHandler):
    """A server behind, so that the panels about it have figures."""

    def do_GET(self):  # pylint: disable=invalid-name
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *unused):
        pass


@contextlib.contextmanager
def server_behind():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind) as behind:
        threading.Thread(target=behind.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{behind.server_address[1]}"
        behind.shutdown()


def load(url):
    """Twenty seconds of everything, and now and then of what is not native."""
    with subprocess.Popen([ROOT + "/build/sluice-loadtest", "--url", url, *LOAD], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while process.poll() is None:
            answer = requests.get(url + "/api/2.0/mlflow/traces/1", timeout=30)
            assert answer.status_code == 200, answer.text
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=0.5)
        said = process.stdout.read()
    assert process.returncode == 0, said


def draw_panels(prometheus, seconds):
    """build/deploy/dashboard.html and .png: what the dashboard shows of those seconds."""
    folder = ROOT + "/build/deploy"
    os.makedirs(folder, exist_ok=True)
    with open(ROOT + "/deploy/grafana/sluice.json", encoding="utf-8") as f:
        page, empty = Board(prometheus.url, json.load(f)["panels"], "sluice", seconds).page()
    with open(folder + "/dashboard.html", "w", encoding="utf-8") as f:
        f.write(page)
    assert not empty, f"panels without figures: {empty}"
    with Browser(folder) as browser:
        shown = browser.open("file://" + folder + "/dashboard.html")
        shown.wait_for("document.readyState === 'complete' && document.querySelectorAll('section').length", 60)
        shown.call("Emulation.setDeviceMetricsOverride", width=1500, mobile=False, deviceScaleFactor=1,
                   height=shown.evaluate("document.documentElement.scrollHeight"))
        shown.screenshot("dashboard")


def scrape(suite):
    del suite
    boards = [query.replace("$job", "sluice").replace("$instance", ".*")
              .replace("$__rate_interval", "10s") for query in dashboard_queries()]
    alerts, queries = alerts_and_queries()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        with server_behind() as behind, \
                Sluice(data_dir=folder + "/data", binary=ROOT + "/build/sluice", args=["--upstream", behind]) as server, \
                Prometheus(folder, [server.admin_url[7:]]) as prometheus:
            text = requests.get(server.admin_url + "/metrics", timeout=30).text
            said = subprocess.run(["promtool", "check", "metrics"], input=text, text=True, check=False,
                                  capture_output=True, timeout=60)
            assert said.returncode == 0, said.stdout + said.stderr
            # Figures of at least three scrapes, each after something was written.
            for n in range(3):
                use(server.url)
                wait_until(lambda n=n: prometheus.has(f"count_over_time(sluice_ready[1m]) >= {2 * n + 2}"), 60,
                           "scrapes")
            for metric in ("sluice_request_seconds_bucket", "sluice_ack_seconds_bucket"):
                assert prometheus.traces(metric) == {TRACE}, metric
            for query in boards + queries:
                prometheus.ask(query)
            empty = [q for q in boards if not MAY_BE_EMPTY.search(q) and not prometheus.has(q)]
            assert not empty, "\n".join(["no figures for"] + empty)
            load(server.url)
            draw_panels(prometheus, 60)
            names = {alert["alert"] for alert in alerts}
            for name in names:
                firing = prometheus.ask(f'ALERTS{{alertname="{name}",alertstate="firing"}}')
                assert not firing, f"{name} fires at a server that is well"


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def package(suite):
    first = make("deb").split()[-1]
    path = os.path.join(ROOT, first)
    before = digest(path)
    assert digest(os.path.join(ROOT, make("deb").split()[-1])) == before, "two builds differ"
    rows = [line.split(None, 5) for line in run("dpkg-deb", "-c", path).splitlines()]
    assert {row[1] for row in rows} == {"root/root"}
    packed = {row[5][2:] for row in rows if not row[5].endswith("/")}
    assert packed == {name + ".gz" if "/man/" in name else name for name in TREE}
    with tempfile.TemporaryDirectory() as folder:
        run("dpkg-deb", "-R", path, folder)
        for script in ("postinst", "prerm", "postrm"):
            run("shellcheck", "-s", "sh", os.path.join(folder, "DEBIAN", script))
        with gzip.open(os.path.join(folder, "usr/share/man/man1/sluice.1.gz"), "rt") as f, \
                open(suite.path("usr/share/man/man1/sluice.1"), encoding="utf-8") as g:
            assert f.read() == g.read()
        assert "not stripped" not in run("file", os.path.join(folder, "usr/bin/sluice"))
        # What it says it needs is what is linked in.
        linked = run("objdump", "-p", os.path.join(folder, "usr/bin/sluice"))
    depends = run("dpkg-deb", "-f", path, "Depends")
    for library in re.findall(r"NEEDED\s+(lib(?:pq|rdkafka|event|xxhash|jemalloc))", linked):
        assert library in depends, f"{library} in {depends}"
    run(os.path.join(ROOT, "build/sluice"), "version")


def dependencies(path):
    """Names of the packages that it depends on and recommends, the first of each choice."""
    said = ",".join(run("dpkg-deb", "-f", path, field).split(":", 1)[-1]
                    for field in ("Depends", "Recommends"))
    return sorted({re.match(r"[a-z0-9.+-]+", part.strip())[0] for part in said.split(",")})


class Installed(Sluice):
    """The installed program, as its unit starts it but for systemd: the user, the file, the root."""

    def __init__(self, root):
        super().__init__(binary="/usr/bin/sluice")
        self.root = root

    def command(self):
        return ["chroot", "--userspec=sluice:sluice", self.root, "/usr/bin/env", "-C",
                "/var/lib/sluice", "/usr/bin/sluice", "serve", "--config",
                "/etc/sluice/sluice.conf", "--listen", "127.0.0.1:0", "--admin-listen",
                "127.0.0.1:0"]


def clean(suite):
    del suite
    path = os.path.join(ROOT, make("deb").split()[-1])
    root = tempfile.mkdtemp(prefix="clean-")
    os.chmod(root, 0o755)
    try:
        run("mmdebstrap", "--variant=minbase", "--include=" + ",".join(dependencies(path)),
            "bookworm", root)
        shutil.copy(path, os.path.join(root, "tmp/sluice.deb"))
        env = dict(os.environ, DEBIAN_FRONTEND="noninteractive", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
        in_root = ["chroot", root]
        run(*in_root, "dpkg", "-i", "/tmp/sluice.deb", env=env)
        assert run(*in_root, "stat", "-c", "%U %a", "/var/lib/sluice").split() == ["sluice", "700"]
        with Installed(root) as server:
            run_id = use(server.url)
        # Not purged and not purged away: what was accepted is there when it comes back.
        said = run(*in_root, "dpkg", "-P", "sluice", env=env)
        assert "/var/lib/sluice stays" in said, said
        assert not os.path.exists(root + "/usr/bin/sluice")
        assert not os.path.exists(root + "/etc/sluice/sluice.conf")
        run(*in_root, "dpkg", "-i", "/tmp/sluice.deb", env=env)
        with Installed(root) as server:
            check_points(server.url, run_id)
    finally:
        shutil.rmtree(root, ignore_errors=True)


class Contained(Sluice):
    """The image's program under its own settings: a read-only root, a volume, a random user in group 0."""

    def __init__(self, root, pg_uri, config):
        super().__init__(pg_uri)
        self.root = root
        self.env = dict(word.split("=", 1) for word in config["Env"])
        self.env.update(SLUICE_LISTEN="127.0.0.1:0", SLUICE_ADMIN_LISTEN="127.0.0.1:0",
                        SLUICE_PG_URI=pg_uri)
        self.words = config["Entrypoint"] + config["Cmd"]

    def command(self):
        words = " ".join(self.words)
        # exec all the way: the process that was started is the program.
        return ["unshare", "--mount", "sh", "-ec",
                f"mount --bind {self.root} {self.root}; mount -o remount,bind,ro {self.root}; "
                f"mount -t tmpfs -o uid=0,gid=0,mode=0770 data {self.root}/var/lib/sluice; "
                f"mkdir {self.root}/var/lib/sluice/pod; chown 123456 {self.root}/var/lib/sluice/pod; "
                f"exec setpriv --no-new-privs "
                f"chroot --userspec=123456:0 --groups=0 {self.root} {words} "
                "--data-dir /var/lib/sluice/pod"]


def image(suite):
    del suite
    path = os.path.join(ROOT, make("image").split()[-1])
    first = json.loads(run("skopeo", "inspect", "oci-archive:" + path))
    again = json.loads(run("skopeo", "inspect", "oci-archive:" + os.path.join(
        ROOT, make("image").split()[-1])))
    assert first["Digest"] == again["Digest"], "two builds differ"
    config = json.loads(run("skopeo", "inspect", "--config", "oci-archive:" + path))["config"]
    assert config["User"] == "65532:0" and config["StopSignal"] == "SIGTERM", config
    folder = tempfile.mkdtemp(prefix="image-")
    os.chmod(folder, 0o755)
    try:
        run("skopeo", "copy", "--quiet", "oci-archive:" + path, f"oci:{folder}/oci:one")
        run("umoci", "unpack", "--image", f"{folder}/oci:one", folder + "/bundle")
        root = folder + "/bundle/rootfs"
        os.chmod(folder + "/bundle", 0o755)
        assert not os.path.exists(root + "/bin/sh") and not os.path.exists(root + "/usr/bin/sh")
        assert os.path.getsize(root + "/etc/ssl/certs/ca-certificates.crt") > 100000
        port = free_port()
        with Cluster({"listen_addresses": "'127.0.0.1'", "port": str(port)}) as cluster:
            cluster.create_database("image")
            uri = f"postgresql://{USER}@127.0.0.1:{port}/image"
            with Contained(root, uri, config) as server:
                use(server.url)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


CHECKS = [tree, manuals, bash, zsh, fish, sample, unit, calls, notify, rules, scrape, package]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clean", action="store_true", help="image and package in roots of their own as well")
    parser.add_argument("--only", action="append", default=[], help="one check; repeatable")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tree-") as folder:
        os.chmod(folder, 0o755)
        make("install", "DESTDIR=" + folder, "PREFIX=/usr")
        checks.run(CHECKS + ([image, clean] if options.clean else []), options.only, Suite(folder))


if __name__ == "__main__":
    main()
