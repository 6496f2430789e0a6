"""Authorization fields that nobody's client sends: huge, many, broken. Each is answered, cheaply, and the server
lets in who belongs in."""

import base64
import os
import socket
import sys
import urllib.parse

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "api"))

from auth import ADMIN, EXPERIMENT, basic, guarded  # noqa: E402


@pytest.fixture(scope="module")
def server(database):
    with guarded(database) as s:
        yield s


def ask(server, lines):
    """The status of a request with these bytes as its fields."""
    url = urllib.parse.urlsplit(server.url)
    with socket.create_connection((url.hostname, url.port), timeout=30) as s:
        s.sendall(f"GET {EXPERIMENT} HTTP/1.1\r\nHost: localhost\r\n".encode() + lines + b"\r\n")
        return int(s.makefile("rb").readline().split()[1])


def long_name(n):
    return base64.b64encode(b"a" * n + b":p")


@pytest.mark.parametrize("what, lines, expected", [
    ("a long name", b"Authorization: Basic " + long_name(8_000) + b"\r\n", 401),
    ("a long password", b"Authorization: Basic " + base64.b64encode(b"admin:" + b"p" * 8_000) + b"\r\n", 401),
    ("longer than a head", b"Authorization: Basic " + long_name(200_000) + b"\r\n", 431),
    ("a thousand fields", b"Authorization: Basic eA==\r\n" * 1000, (401, 431)),
    ("no base64", b"Authorization: Basic " + b"!" * 8_000 + b"\r\n", 401),
    ("no colon", b"Authorization: Basic " + base64.b64encode(b"x" * 8_000) + b"\r\n", 401),
    ("only its scheme", b"Authorization: Basic\r\n", 401),
    ("a token", b"Authorization: Bearer " + b"a" * 8_000 + b"\r\n", 401),
    ("NUL in the name", b"Authorization: Basic " + base64.b64encode(b"admin\0:adminpassword1") + b"\r\n", 401),
    ("a line within", b"Authorization: Basic eA\r\n eA==\r\n", (400, 401)),
    ("forged origin", b"X-Forwarded-For: 127.0.0.1\r\nX-Remote-User: admin\r\nX-Forwarded-User: admin\r\n", 401),
])
def test_what_is_no_login_is_told_so(server, what, lines, expected):
    expected = expected if isinstance(expected, tuple) else (expected,)
    assert ask(server, lines) in expected, what
    assert ask(server, f"Authorization: {basic(*ADMIN)}\r\n".encode()) == 200  # nobody is held by it


def test_two_fields_are_no_choice(server):
    """The right one beside a wrong one: which counts must not depend on who reads them."""
    right, wrong = basic(*ADMIN), basic("admin", "x" * 12)
    statuses = {ask(server, f"Authorization: {a}\r\nAuthorization: {b}\r\n".encode())
                for a, b in [(right, wrong), (wrong, right)]}
    assert 200 not in statuses, statuses
