"""A throwaway HAProxy in front of a test's pods, configured as docs/scaling.md says.

    with HAProxy({"a": 15001, "b": 15002}) as proxy:
        proxy.url

The configuration is the page's own: the block after the line `haproxy.cfg`, with the addresses put
in, so that what is recommended is what is tested.
"""

import csv
import os
import re
import shutil
import socket
import subprocess

from daemon import Daemon
from server import ROOT, free_port, is_port_open, wait_until


def documented():
    with open(os.path.join(ROOT, "docs/scaling.md"), encoding="utf-8") as f:
        found = re.search(r"^haproxy\.cfg\b.*?\n```\n(.*?)```", f.read(), re.M | re.S)
    assert found, "docs/scaling.md has no haproxy.cfg"
    return found[1]


class HAProxy(Daemon):
    def __init__(self, ports):
        """Name of each pod -> the port of its `listen`."""
        super().__init__("haproxy-")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.control = self.path("control")
        text, count = re.subn(r"bind .*", f"bind 127.0.0.1:{self.port}", documented())
        assert count == 1, "one bind"
        lines = [line for line in text.splitlines() if not re.match(r"\s+server ", line)]
        lines += [f"    server {name} 127.0.0.1:{port}" for name, port in ports.items()]
        lines.insert(0, f"global\n    stats socket {self.control} mode 600 level admin\n    nbthread 1")
        self.config = self.path("haproxy.cfg")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write("\n".join(lines) + "\n")

    def states(self):
        """Name of each pod -> what HAProxy thinks of it: "UP", "DOWN", "UP 1/2" ..."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.control)
            s.sendall(b"show stat -1 4 -1\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        rows = csv.DictReader(text.lstrip("# ").splitlines())
        return {row["svname"]: row["status"] for row in rows}

    def start(self):
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen([program, "-db", "-f", self.config], stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True)

        def is_up():
            assert self.process.poll() is None, self.output()
            # The socket gets its name last of all.
            return os.path.exists(self.control) and is_port_open(self.port)

        wait_until(is_up, 60, "HAProxy listens")
        return self
