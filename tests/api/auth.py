"""What the tests of authentication share: servers that ask who it is, and raw requests."""

import base64
import contextlib
import socket

import psycopg
import requests
from werkzeug.security import generate_password_hash

from server import Sluice

ADMIN = ("admin", "adminpassword1")
ENVIRONMENT = {"MLFLOW_FLASK_SERVER_SECRET_KEY": "key", "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1]}
EXPERIMENT = "/api/2.0/mlflow/experiments/get?experiment_id=0"
USERS = "/api/2.0/mlflow/users/"


def basic(name, password):
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


@contextlib.contextmanager
def guarded(uri, *args, env=None, **more):
    """Sluice with auth = basic. Tests fail logins on purpose: they are not to be stopped for it."""
    with Sluice(uri, args=["--auth", "basic", "--workers", "2", "--auth-failure-rate", "100000", *args],
                env={**ENVIRONMENT, **(env or {})}, **more) as server:
        yield server


def add_user(uri, name, password, admin=False, method="scrypt"):
    """As another program would: straight into the table."""
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute("INSERT INTO users (username, password_hash, is_admin) VALUES (%s, %s, %s)",
                   (name, generate_password_hash(password, method), admin))


def set_password(uri, name, password):
    with psycopg.connect(uri, autocommit=True) as pg:
        pg.execute("UPDATE users SET password_hash = %s WHERE username = %s",
                   (generate_password_hash(password), name))


def status(server, auth=None, path=EXPERIMENT, method="GET", **more):
    # A string of latin-1 would be what requests makes of a text: bytes are sent as they are.
    headers = {"Authorization": basic(*auth)} if auth else {}
    return requests.request(method, server.url + path, headers=headers, timeout=60, **more).status_code


def exchange(url, headers, path=EXPERIMENT, method="GET"):
    """One request with these header lines: status line, header fields in lower case, body."""
    host = url[len("http://"):]
    name, port = host.split(":")
    with socket.create_connection((name, int(port)), timeout=60) as s:
        lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: " + host.encode(),
                 b"Connection: close", *headers]
        s.sendall(b"\r\n".join(lines) + b"\r\n\r\n")
        answer = b""
        while piece := s.recv(65536):
            answer += piece
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    pairs = (field.partition(":") for field in fields)
    return int(first.split()[1]), {k.lower(): v.strip() for k, _, v in pairs}, body
