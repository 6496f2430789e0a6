"""Clients that log metrics over keep-alive connections and remember what was answered.

    load = Load(url, runs, seed)
    load.start(); ...; load.stop()
    load.ledger, load.statuses

Plain sockets instead of an HTTP library, because a client that costs a millisecond a request never
gets near the group commit. A connection that breaks is opened again until stop() or until the
server has been gone for as long as it pleases: what was sent on it counts as sent, not as acked.
About half of the requests repeat an earlier one of the same run, byte for byte, acked or not.
"""

import collections
import json
import random
import socket
import threading

from oracle import Ledger

KEYS = ["loss", "accuracy", "lr", "gpu/0/util", "grad_norm"]
SPECIAL = [float("nan"), float("inf"), float("-inf"), 0.0, -0.0, 1e308, 5e-324]


def spelt(value):
    """A value as MLflow's client puts it into JSON."""
    if value != value:
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "Infinity" if value > 0 else "-Infinity"
    return value


class Client(threading.Thread):
    def __init__(self, load, number):
        super().__init__(daemon=True)
        self.load = load
        self.number = number
        self.random = random.Random(f"{load.seed}/{number}")
        self.ledger = Ledger()
        self.statuses = collections.Counter()
        self.history = collections.defaultdict(list)
        self.step = 0
        self.socket = None

    def new_points(self, count):
        points = []
        for _ in range(count):
            self.step += self.random.random() < 0.3
            value = self.random.choice(SPECIAL) if self.random.random() < 0.02 \
                else self.random.uniform(-1, 1)
            # Clients share runs and keys: the number keeps their points apart now and then only.
            points.append((self.random.choice(KEYS), value,
                           1700000000000 + self.step // 7 * 1000 + self.number % 2, self.step))
        return points

    def request(self):
        """(run, points, bytes): a new one, or one that was sent before."""
        run = self.random.choice(self.load.runs)
        if self.history[run] and self.random.random() < 0.5:
            return self.random.choice(self.history[run])
        if self.random.random() < self.load.batch_share:
            points = self.new_points(self.random.randint(1, self.load.batch_points))
            path = "log-batch"
            body = {"run_id": run, "metrics": [
                {"key": k, "value": spelt(v), "timestamp": t, "step": s}
                for k, v, t, s in points]}
        else:
            points = self.new_points(1)
            path = "log-metric"
            key, value, timestamp, step = points[0]
            body = {"run_id": run, "key": key, "value": spelt(value), "timestamp": timestamp,
                    "step": step}
        text = json.dumps(body).encode()
        head = (f"POST /api/2.0/mlflow/runs/{path} HTTP/1.1\r\nHost: {self.load.host}\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n")
        made = (run, points, head.encode() + text)
        self.history[run].append(made)
        del self.history[run][:-50]
        return made

    def connect(self):
        self.socket = socket.create_connection(self.load.address, timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def exchange(self, data):
        """The status of the answer; raises OSError when there is none."""
        if self.socket is None:
            self.connect()
        self.socket.sendall(data)
        answer = b""
        while b"\r\n\r\n" not in answer:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed without an answer")
            answer += more
        head, _, body = answer.partition(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(body) < length:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed in the middle of an answer")
            body += more
        if b"\r\nconnection: close" in head.lower():
            self.disconnect()
        return int(head.split(b" ", 2)[1])

    def disconnect(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def run(self):
        while not self.load.is_over.is_set():
            run, points, data = self.request()
            self.ledger.sent(run, points)
            try:
                status = self.exchange(data)
            except OSError:
                self.disconnect()
                self.statuses["broken"] += 1
                self.load.is_over.wait(0.01)
                continue
            self.statuses[status] += 1
            if status == 200:
                self.ledger.acked(run, points)
                self.load.acks += 1  # for progress only: may miss one
                if self.load.rest_s:
                    self.load.is_over.wait(self.load.rest_s)
            else:
                self.load.is_over.wait(0.005)
        self.disconnect()


class Load:
    def __init__(self, url, runs, seed, clients=6, batch_share=0.5, batch_points=200, rest_s=0):
        self.host = url.split("//", 1)[1]
        name, port = self.host.rsplit(":", 1)
        self.address = (name, int(port))
        self.runs = runs
        self.seed = seed
        self.batch_share = batch_share
        self.batch_points = batch_points
        self.rest_s = rest_s  # of a client, behind each answer
        self.is_over = threading.Event()
        self.lock = threading.Lock()
        self.acks = 0
        self.clients = [Client(self, i) for i in range(clients)]

    def start(self):
        for client in self.clients:
            client.start()
        return self

    def statuses_so_far(self, *which):
        return sum(client.statuses[status] for client in self.clients for status in which)

    def stop(self):
        """Ends the load; then ledger and statuses are whole."""
        self.is_over.set()
        for client in self.clients:
            client.join()
        self.ledger = Ledger()
        self.statuses = collections.Counter()
        for client in self.clients:
            self.ledger.add(client.ledger)
            self.statuses.update(client.statuses)
        return self.ledger
