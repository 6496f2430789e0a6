#!/usr/bin/env python3
"""Sends bytes and looks at what comes back: `python3 tests/wire/run.py BINARY [FILE.case...]`.

A .case file holds cases, one begins with `== name`; its next line names the RFC section it stands
for. Then, line by line:

    on NAME             which server: normal (default), short (small limits), full (queue is full)
    > text              send text and CRLF      >> text      send text as it is
    >*N text            send text N times
    drip MS text        send text byte by byte, MS milliseconds apart, until an answer comes
    shut                half-close: send no more
    < STATUS            one answer comes with this status
    <h name: regex      that answer has this header field      <!h name   it has no such field
    <b text             its body contains text                 <=b text   its body is text
    100                 an interim 100 Continue comes
    close               the connection ends, and nothing comes before that
    silence             nothing comes for 0.2 s
    alive               the connection answers another request
    took MIN MAX        from the first byte sent to now it took so many seconds

In text, \\r \\n \\t \\xNN and \\\\ mean what they mean in C, and {RUN} a run's id. Standard library only.
The servers: one with a private cluster, the others on the same database.
"""

import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WAIT_S = 15.0
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("SLUICE_", "MLFLOW_"))}
SERVERS = {
    "normal": [],
    "short": ["--idle-timeout", "500ms", "--head-timeout", "700ms", "--request-timeout", "700ms",
              "--max-head-bytes", "1KiB", "--max-body-bytes", "1MiB"],
    "full": ["--flushers", "0", "--ring-bytes", "1MiB", "--journal-segment-bytes", "1MiB",
             "--journal-max-bytes", "8MiB"],
}


class Failure(Exception):
    pass


# --- servers ----------------------------------------------------------------------------------------


class Server:
    def __init__(self, binary, folder, name, args, pg_uri=None):
        self.name = name
        self.data_dir = os.path.join(folder, name)
        self.log_path = os.path.join(folder, name + ".log")
        command = [os.path.abspath(binary), "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
                   "--data-dir", self.data_dir, "--workers", "2"] + args
        if pg_uri:
            command += ["--pg-uri", pg_uri]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=subprocess.STDOUT, env=ENVIRONMENT,
                                            cwd=folder)  # artifacts go to ./mlartifacts
        self.port = self.wait_for(r"^listening on http://127\.0\.0\.1:(\d+)$")
        self.admin_port = self.wait_for(r"^admin on http://127\.0\.0\.1:(\d+)$")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as f:
            return f.read()

    def wait_for(self, pattern):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = re.search(pattern, self.log(), re.M)
            if found:
                return int(found[1])
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise Failure(f"server {self.name} did not start:\n{self.log()[-3000:]}")

    def call(self, path, body=None, admin=False):
        """(status, JSON) of one request."""
        talk = Talk(self.admin_port if admin else self.port)
        text = json.dumps(body).encode() if body is not None else b""
        method = b"POST" if body is not None else b"GET"
        talk.send(method + b" " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close"
                  b"\r\nContent-Type: application/json\r\nContent-Length: "
                  + str(len(text)).encode() + b"\r\n\r\n" + text)
        status, _, answer = talk.answer()
        talk.socket.close()
        try:
            return status, json.loads(answer)
        except ValueError:
            return status, {}

    def stop(self):
        """What was wrong with its end, or None."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "does not end"
        report = re.search(r"(ERROR: \w*Sanitizer|runtime error:).*", self.log())
        if report:
            return self.log()[report.start():report.start() + 3000]
        return None if code == 0 else f"exit code {code}\n{self.log()[-2000:]}"


def fill(server, run):
    """Sends points until the queue refuses even one; nothing takes them out (no flushers)."""
    point = {"value": 1.0, "timestamp": 1, "step": 0}
    size = 1000
    for _ in range(20000):
        path, body = "log-metric", dict(point, run_id=run, key="p")
        if size:
            metrics = [dict(point, key="k" * 200 + str(i)) for i in range(size)]
            path, body = "log-batch", {"run_id": run, "metrics": metrics}
        status, _ = server.call("/api/2.0/mlflow/runs/" + path, body)
        if status == 429 and size == 0:
            return
        if status == 429:
            size //= 10
        elif status != 200:
            raise Failure(f"filling the queue: {status}")
    raise Failure("the queue does not fill")


# --- one connection ---------------------------------------------------------------------------------


class Talk:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.began = None
        self.methods = []  # of the requests sent, for the length of answers to HEAD

    def send(self, data):
        if self.began is None:
            self.began = time.monotonic()
        for method in re.findall(rb"(?m)^([A-Z]+) \S+ HTTP/1\.[01]\r\n", data):
            self.methods.append(method)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what was answered before is what counts

    def read_some(self, limit_s=WAIT_S):
        """More bytes, b"" at the end, None when none came."""
        self.socket.settimeout(limit_s)
        try:
            data = self.socket.recv(65536)
        except (TimeoutError, socket.timeout):
            return None
        except ConnectionResetError:
            raise Failure("connection reset") from None
        self.received += data
        return data

    def need(self, enough):
        while not enough():
            data = self.read_some()
            if data is None:
                raise Failure(f"no answer in {WAIT_S} s; so far {self.received!r}")
            if data == b"":
                raise Failure(f"closed; so far {self.received!r}")

    def answer(self):
        """(status, fields, body) of the next answer."""
        self.need(lambda: b"\r\n\r\n" in self.received)
        head, _, rest = self.received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        found = re.fullmatch(r"HTTP/1\.1 (\d{3}) .+", lines[0])
        if not found:
            raise Failure(f"bad status line {lines[0]!r}")
        status = int(found[1])
        fields = [tuple(line.split(": ", 1)) for line in lines[1:]]
        self.received = rest
        if status == 100:
            return status, fields, b""
        method = self.methods.pop(0) if self.methods else b"GET"
        length = int(dict(fields).get("content-length", 0))
        if method == b"HEAD" or status == 204:
            length = 0
        self.need(lambda: len(self.received) >= length)
        body, self.received = self.received[:length], self.received[length:]
        return status, fields, body


# --- cases ------------------------------------------------------------------------------------------


def unescape(text, run):
    text = text.replace("{RUN}", run)
    return re.sub(rb"\\(r|n|t|\\|x[0-9a-fA-F]{2})",
                  lambda m: {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}.get(m[1])
                  or bytes([int(m[1][1:], 16)]), text.encode())


def parse(path):
    """[(file:line name, section, [(line number, line)])]"""
    cases = []
    with open(path, encoding="utf-8") as f:
        for number, line in enumerate(f.read().split("\n"), 1):
            if line.startswith("== "):
                cases.append([f"{os.path.basename(path)}:{number} {line[3:]}", None, []])
            elif cases and cases[-1][1] is None and line.strip():
                cases[-1][1] = line.strip()
            elif cases and line and not line.startswith("#"):
                cases[-1][2].append((number, line))
    return cases


class Case:
    def __init__(self, servers, run):
        self.servers = servers
        self.run = run
        self.talk = None
        self.last = None
        self.server = "normal"

    def connection(self):
        if self.talk is None:
            self.talk = Talk(self.servers[self.server].port)
        return self.talk

    def step(self, line):
        word, _, rest = line.partition(" ")
        if word in (">", ">>"):
            self.connection().send(unescape(rest, self.run) + (b"\r\n" if word == ">" else b""))
        elif word.startswith(">*"):
            self.connection().send(unescape(rest, self.run) * int(word[2:]))
        elif word == "<":
            self.last = self.connection().answer()
            if self.last[0] != int(rest):
                raise Failure(f"status {self.last[0]} {self.last[2]!r}")
        elif word == "100":
            if self.connection().answer()[0] != 100:
                raise Failure("no 100 Continue")
        else:
            getattr(self, {"<h": "field", "<!h": "no_field", "<b": "body_has",
                           "<=b": "body_is"}.get(word, "do_" + word))(rest)

    def field(self, rest):
        name, _, pattern = rest.partition(": ")
        values = [value for key, value in self.last[1] if key == name]
        if not any(re.fullmatch(pattern, value) for value in values):
            raise Failure(f"{name} is {values}")

    def no_field(self, rest):
        if any(key == rest for key, _ in self.last[1]):
            raise Failure(f"there is {rest}: {dict(self.last[1])[rest]}")

    def body_has(self, rest):
        if unescape(rest, self.run) not in self.last[2]:
            raise Failure(f"body {self.last[2]!r}")

    def body_is(self, rest):
        if unescape(rest, self.run) != self.last[2]:
            raise Failure(f"body {self.last[2]!r}")

    def do_on(self, rest):
        self.server = rest

    def do_drip(self, rest):
        pause_ms, _, text = rest.partition(" ")
        talk = self.connection()
        for byte in unescape(text, self.run):
            talk.send(bytes([byte]))
            if talk.read_some(int(pause_ms) / 1000) is not None:
                return

    def do_shut(self, _):
        self.connection().socket.shutdown(socket.SHUT_WR)

    def do_close(self, _):
        talk = self.connection()
        while True:
            if talk.received:
                raise Failure(f"there is more: {talk.received!r}")
            data = talk.read_some()
            if data == b"":
                return
            if data is None:
                raise Failure("still open")

    def do_silence(self, _):
        talk = self.connection()
        if talk.received or talk.read_some(0.2) is not None:
            raise Failure(f"it said {talk.received!r}, or closed")

    def do_alive(self, _):
        talk = self.connection()
        talk.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        status, _, body = talk.answer()
        if (status, body) != (200, b"OK"):
            raise Failure(f"not alive: {status} {body!r}")

    def do_took(self, rest):
        least, most = map(float, rest.split())
        took = time.monotonic() - self.connection().began
        if not least <= took <= most:
            raise Failure(f"it took {took:.2f} s")


def run_case(case, servers, run):
    name, section, lines = case
    if not re.match(r"(RFC \d+|MLflow|Sluice)\b", section or ""):
        return f"{name}: names no RFC section"
    state = Case(servers, run)
    try:
        for number, line in lines:
            try:
                state.step(line)
            except Failure as e:
                return f"{name}: line {number} `{line[:60]}`: {e}"
    finally:
        if state.talk:
            state.talk.socket.close()
    return None


# --- all of it --------------------------------------------------------------------------------------


def start(servers, binary, folder):
    """Fills servers; returns a run's id."""
    servers["normal"] = Server(binary, folder, "normal", SERVERS["normal"])
    uri = subprocess.run([binary, "pg-uri", "--data-dir", servers["normal"].data_dir], check=True,
                         capture_output=True, text=True, timeout=30, env=ENVIRONMENT).stdout.strip()
    for name in ("short", "full"):
        servers[name] = Server(binary, folder, name, SERVERS[name], uri)
    status, answer = servers["normal"].call(
        "/api/2.0/mlflow/runs/create", {"experiment_id": "0", "start_time": 1})
    if status != 200:
        raise Failure(f"runs/create: {status} {answer}")
    run = answer["run"]["info"]["run_id"]
    fill(servers["full"], run)
    return run


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: run.py BINARY [FILE.case...]")
    binary = os.path.abspath(sys.argv[1])
    paths = sys.argv[2:] or sorted(glob.glob(os.path.join(HERE, "*.case")))
    cases = [case for path in paths for case in parse(path)]
    folder = tempfile.mkdtemp(prefix="wire-")
    os.chmod(folder, 0o755)  # the cluster's user must get in
    servers, passed, failed = {}, 0, 0
    try:
        run = start(servers, binary, folder)
        for case in cases:
            why = run_case(case, servers, run)
            passed += why is None
            failed += why is not None
            if why:
                print("FAIL", why, flush=True)
    except Failure as e:
        print("FAIL", e)
        failed += 1
    finally:
        for name in reversed(list(servers)):  # the first one owns the database
            why = servers[name].stop()
            passed += why is None
            failed += why is not None
            if why:
                print(f"FAIL server {name} at its end: {why}")
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
