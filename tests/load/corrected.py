"""wrk2's way of measuring, written anew: what the load generator's latencies are held against.

Each connection has a constant rate of its own. Request n is due at begin + (phase + n) / rate, whatever became of
the ones before it; when the connection is free by then it waits, when it is late it sends at once. Latency is from
the moment it was due (wrk2's "expected" start) to the last byte of the answer; `sent` keeps what a
generator reports that measures from the send. No histogram: every figure is kept, quantiles are by rank.
"""

import math
import socket
import threading
import time
import urllib.parse

REQUEST = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def answer(sock):
    """Reads one answer with a Content-Length; its status."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += sock.recv(65536) or _gone()
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    while len(body) < int(fields[b"content-length"]):
        body += sock.recv(65536) or _gone()
    return int(head.split()[1])


def _gone():
    raise ConnectionError("closed in the middle of an answer")


def quantile(values, share):
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class Corrected:
    """Constant load on its own threads, from start() on; end() waits for it."""

    def __init__(self, url, connections, rate, seconds, request=REQUEST):
        address = urllib.parse.urlsplit(url)
        self.address = (address.hostname, address.port)
        self.connections, self.rate, self.seconds, self.request = connections, rate, seconds, request
        self.due, self.sent, self.failures = [], [], []
        self.threads = [threading.Thread(target=self._connection, args=(i,)) for i in range(connections)]

    def start(self):
        self.begin = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def end(self):
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise AssertionError(f"{len(self.failures)} connections failed, the first: {self.failures[0]}")
        return self

    def p99(self):
        return quantile(self.due, 0.99)

    def p99_from_send(self):
        return quantile(self.sent, 0.99)

    def _connection(self, number):
        gap = self.connections / self.rate
        due, sent = [], []
        try:
            with socket.create_connection(self.address, timeout=60) as sock:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for n in range(int(self.seconds / gap)):
                    at = self.begin + (number / self.connections + n) * gap
                    while (wait := at - time.monotonic()) > 0:
                        time.sleep(wait)
                    begin = time.monotonic()
                    sock.sendall(self.request)
                    if (status := answer(sock)) != 200:
                        raise ConnectionError(f"status {status}")
                    end = time.monotonic()
                    due.append(end - at)
                    sent.append(end - begin)
        except OSError as error:
            self.failures.append(error)
        self.due += due
        self.sent += sent
