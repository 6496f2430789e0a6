"""A client on a bare socket, for what an HTTP library hides: framing, pauses, resets."""

import os
import socket
import struct

# Threads that are no workers.
OTHERS = {"helper", "sealer", "flusher"}


class Peer:
    """A client on a bare socket, with a small receive buffer, so that what it does not read stays
    with the server."""

    def __init__(self, server):
        host, port = server.url.rsplit("/", 1)[1].split(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.socket.settimeout(60)
        self.socket.connect((host, int(port)))
        self.bytes = b""

    def ask(self, path, version="1.1", method="GET"):
        self.socket.sendall(f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n\r\n".encode())
        return self

    def more(self, n=65536):
        got = self.socket.recv(n)
        self.bytes += got
        return got

    def until(self, mark):
        while mark not in self.bytes:
            assert self.more(), self.bytes[-200:]
        taken, _, self.bytes = self.bytes.partition(mark)
        return taken

    def exactly(self, n):
        while len(self.bytes) < n:
            assert self.more(n - len(self.bytes))
        taken, self.bytes = self.bytes[:n], self.bytes[n:]
        return taken

    def head(self):
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")
        fields = dict(line.split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), fields

    def chunks(self):
        """The body, by the grammar of RFC 9112 section 7.1 and nothing more lenient."""
        body = []
        while True:
            size = self.until(b"\r\n")
            assert size and all(c in b"0123456789abcdef" for c in size)
            n = int(size, 16)
            body.append(self.exactly(n))
            assert self.exactly(2) == b"\r\n"
            if n == 0:
                return b"".join(body)

    def rest(self):
        """Everything to the end; raises when the connection is reset."""
        parts = [self.bytes]
        while parts[-1] or len(parts) == 1:
            parts.append(self.socket.recv((1 << 20)))
        return b"".join(parts)

    def is_reset(self):
        try:
            while self.socket.recv((1 << 20)):
                pass
        except ConnectionResetError:
            return True
        return False

    def close(self):
        self.socket.close()

    def vanish(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def status_bytes(server, field):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field))


def rss(server):
    return status_bytes(server, "VmRSS")


def peak_rss(server):
    """The most that was ever resident, or since reset_peak."""
    return status_bytes(server, "VmHWM")


def reset_peak(server):
    with open(f"/proc/{server.process.pid}/clear_refs", "w", encoding="ascii") as f:
        f.write("5")


def worker_s(server):
    """CPU seconds that the workers have used."""
    ticks = 0
    folder = f"/proc/{server.process.pid}/task"
    for task in os.listdir(folder):
        with open(f"{folder}/{task}/stat", encoding="utf-8", errors="replace") as f:
            name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
        ticks += 0 if name in OTHERS else sum(map(int, rest.split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
