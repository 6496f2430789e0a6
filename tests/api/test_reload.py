"""SIGHUP: settings marked RELOAD take effect, others are named and kept, a bad file changes nothing."""

import re
import signal
import threading
import uuid

import pytest
import requests

from server import Sluice, wait_until
from test_settings import table

# Values that a reload can change to, where twice the default (or its opposite) will not do.
OTHERS = {"listen": "127.0.0.1:1", "admin_listen": "127.0.0.1:2", "data_dir": "/elsewhere",
          "redis_uri": "redis://127.0.0.1:9", "redis_ca": "/elsewhere", "redis_prefix": "elsewhere",
          "kafka_brokers": "127.0.0.1:9", "kafka_topic": "elsewhere",
          "pg_uri": "postgresql://elsewhere/db", "pg_bin_dir": "/elsewhere",
          "default_artifact_root": "/elsewhere", "artifacts_destination": "/elsewhere", "static_prefix": "/elsewhere",
          "auth_config": "/elsewhere", "auth_pg_uri": "postgresql://elsewhere/users",
          "auth_secret_key": "another", "auth_htpasswd": "/elsewhere",
          "allowed_hosts": "*", "cors_allowed_origins": "http://elsewhere", "log_level": "debug",
          "x_frame_options": "DENY", "trusted_proxies": "10.0.0.0/8",  # tls_*: test_tls.py
          "upstream": "http://127.0.0.1:3", "otlp_endpoint": "http://127.0.0.1:4", "upstream_ca": "/elsewhere", "ui_dir": "/elsewhere"}


def another(setting):
    """A valid value that is not the default; None when there is only one."""
    if setting["name"] in OTHERS:
        return OTHERS[setting["name"]]
    if setting["kind"] == "BOOL":
        return "false" if setting["default"] == "true" else "true"
    if setting["kind"] in ("TEXT", "SECRET"):
        words = [w for w in setting["min"].split("|") if w and w != setting["default"]]
        return words[0] if words else None
    number, unit = re.fullmatch(r"(\d+)(\w*)", setting["default"]).groups()
    return f"{int(number) + 1}{unit}"


class Reloaded(Sluice):
    """A server whose settings come from a file that can be changed under it."""

    def __init__(self, uri, folder, **settings):
        self.path = folder / "sluice.conf"
        self.reloads = 0
        self.write(**settings)
        super().__init__(uri, data_dir=str(folder / "data"), args=["--config", str(self.path)])

    def write(self, *lines, **settings):
        self.path.write_text("".join(f"{n} = {v}\n" for n, v in settings.items()) +
                             "".join(line + "\n" for line in lines))

    def reload(self, message="settings reloaded"):
        """Returns the lines that the reload wrote."""
        before = len(self.output())
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: message in self.output()[before:], 20, message)
        return self.output()[before:]


@pytest.fixture
def begin(postgres, tmp_path):
    name = "reload_" + uuid.uuid4().hex[:8]
    uri = postgres.create_database(name)
    started = []

    def start(**settings):
        started.append(Reloaded(uri, tmp_path, **settings).__enter__())
        return started[-1]

    yield start
    for server in started:
        server.__exit__(None, None, None)
    postgres.drop_database(name)


def put(server, size):
    return requests.post(server.url + "/api/2.0/mlflow/runs/log-batch", data=b" " * size,
                         headers={"Content-Type": "application/json"}, timeout=30).status_code


def new_run(server):
    answer = requests.post(server.url + "/api/2.0/mlflow/runs/create",
                           json={"experiment_id": "0"}, timeout=30)
    return answer.json()["run"]["info"]["run_id"]


def test_exactly_the_settings_marked_so_change(begin):
    server = begin()
    fresh = {s["name"]: another(s) for s in table() if another(s) is not None}
    by_flag = {"listen", "admin_listen", "data_dir", "pg_uri"}  # flags win over the file
    server.write(**fresh)
    said = server.reload()
    changed = re.search(r"changed=(\S+)", said)[1].split(",")
    kept = re.search(r"settings=(\S+)", said)[1].split(",")
    marked = {mark: {s["name"] for s in table() if s["reload"] == mark and s["name"] in fresh}
              for mark in ("RELOAD", "RESTART")}
    assert set(changed) == marked["RELOAD"]
    assert set(kept) == marked["RESTART"] - by_flag
    assert "take effect at the next start only" in said
    assert requests.get(server.url + "/health", timeout=10).text == "OK"
    # Nothing is left to change, so what was kept is named again and nothing else.
    said = server.reload()
    assert "changed=none" in said and set(re.search(r"settings=(\S+)", said)[1].split(",")) == \
        set(kept)


def test_limits_change_at_once(begin):
    server = begin(max_body_bytes="4KiB")
    assert put(server, 8192) == 413
    server.write(max_body_bytes="16KiB")
    server.reload()
    assert put(server, 8192) == 400
    server.write()
    server.reload()
    assert put(server, 100000) == 400  # the default again


def test_a_window_that_is_open_hears_of_it(begin):
    server = begin(flush_interval="60s")
    run = new_run(server)
    assert requests.post(server.url + "/api/2.0/mlflow/runs/log-metric", timeout=30, json={
        "run_id": run, "key": "m", "value": 1, "timestamp": 1}).status_code == 200
    assert server.stat("sluice_backlog_points") == 1
    server.write(flush_interval="10ms")
    server.reload()
    wait_until(lambda: server.stat("sluice_backlog_points") == 0, 20, "the window is written")


@pytest.mark.parametrize("line", ["flush_rows = many", "flush_rowz = 5", "no line of settings",
                                  "journal_max_bytes = 8MiB\njournal_segment_bytes = 8MiB"])
def test_a_bad_file_is_refused_as_a_whole(begin, line):
    server = begin(max_body_bytes="4KiB")
    server.write(line, max_body_bytes="16KiB")
    said = server.reload("settings not reloaded")
    assert re.search("flush_row|no line|want a line|journal_segment_bytes", said), said
    assert put(server, 8192) == 413  # the line before it did not count either
    server.path.unlink()
    assert "cannot read the settings file" in server.reload("settings not reloaded")
    assert put(server, 8192) == 413
    server.write(max_body_bytes="16KiB")
    server.reload()
    assert put(server, 8192) == 400


def test_reloads_under_load_fail_no_request(begin):
    server = begin(max_body_bytes="1MiB")
    run = new_run(server)
    failures, until = [], threading.Event()

    def write(number):
        with requests.Session() as session:
            for step in range(1000000):
                if until.is_set():
                    return
                answer = session.post(server.url + "/api/2.0/mlflow/runs/log-metric", timeout=30,
                                      json={"run_id": run, "key": f"m{number}", "value": 1,
                                            "timestamp": 1, "step": step})
                if answer.status_code != 200:
                    failures.append(answer.text)

    threads = [threading.Thread(target=write, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for i in range(30):
        server.write(max_body_bytes=f"{i + 2}MiB", flush_rows=1000 + i, idle_timeout=f"{i + 10}s")
        server.reload()
    until.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert server.stat("sluice_accepted_points_total") > 30
