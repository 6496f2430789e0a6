#!/usr/bin/env python3
"""Hosts, origins, preflights, proxies and prefixes: the same requests to Sluice and to stock MLflow.

    tests/conform/edge.py [--count N] [--seed N]

For each of a few configurations a stock server and a Sluice are started with the same environment,
so what MLflow's variables mean is compared as well. Requests are written byte by byte, because an
HTTP library would mend what they are about. Status, body and every header that a browser or proxy
goes by must be the same, or the difference stands in EXCUSES with its reason. An excuse that no
request needs is a failure: the list only shrinks.
"""

import argparse
import itertools
import json
import os
import random
import re
import socket
import sys
import threading
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

from cluster import Cluster  # noqa: E402
from server import Sluice, Stock  # noqa: E402

# What both are started with, and what Sluice is asked in place of stock's command line.
CONFIGURATIONS = {
    "default": {},
    "lists": {"MLFLOW_SERVER_ALLOWED_HOSTS": "mlflow.example.com, *.svc,localhost:*,10.[0-9].*,[[]::1]*",
              "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS":
                  "https://app.example.com, https://*.example.org,http://[!a]*.net",
              "MLFLOW_SERVER_X_FRAME_OPTIONS": "deny", "MLFLOW_STATIC_PREFIX": "/pfx",
              "_MLFLOW_STATIC_PREFIX": "/pfx", "FORWARDED_ALLOW_IPS": "10.0.0.0/8,::1"},
    "open": {"MLFLOW_SERVER_ALLOWED_HOSTS": "a,*", "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": "*, b",
             "MLFLOW_SERVER_X_FRAME_OPTIONS": "None", "FORWARDED_ALLOW_IPS": "*"},
    "off": {"MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE": "true"},
}

HOSTS = ["localhost", "localhost:5000", "localhost:evil", "LOCALHOST", "LocalHost:5000", "127.0.0.1",
         "127.0.0.1:1", "127.0.0.2", "[::1]", "[::1]:5000", "[::2]", "0.0.0.0:80", "10.1.2.3",
         "10.1.2.3:5000", "10.evil.com", "10.9", "192.168.evil.com", "172.15.0.1", "172.16.0.1:80",
         "172.31.9.9", "172.32.0.1", "169.254.1.1", "fd00:1::2", "fc00:*", "[fd00:1::2]", "[fc00::1]:5000",
         "mlflow.mlflow.svc:5000", "mlflow", "a.svc", ".svc", "A.SVC", "a.svc.", "a.svc:80",
         "mlflow.example.com", "mlflow.example.com:80", "mlflow.example.com.", "MLflow.example.com",
         "localhost.", "localhost,evil", "evil", "evil:5000", "*", "localhost:*", "10." + "1" * 600,
         "xn--nxasmq6b", "1", "2130706433", "0x7f.1", "", None]
ORIGINS = ["http://localhost", "http://localhost:3000", "https://localhost:3000", "http://LOCALHOST",
           "http://127.0.0.1:8", "http://127.0.0.2", "http://[::1]:3", "https://[::1]",
           "http://localhost.evil.com", "http://localhost:", "http://localhost:1x", "http://localhost@evil.com",
           "http://evil.com/@localhost", "http://user:pw@localhost:1", "null", "", "localhost", "//localhost",
           "file://", "https://evil.com", "http://10.1.2.3", "https://app.example.com",
           "https://APP.example.com", "https://app.example.com:443", "https://app.example.com/",
           "https://a.example.org", "https://.example.org", "https://a.example.org.evil.com", "b", "*",
           "http://b.net", "http://a.net", "ftp://localhost", "http://[::1", "http://localhost#x",
           "http://localhost?x", "http://localhost\\@evil.com", "https://evil.com:localhost",
           "1http://localhost", "ht_tp://localhost", "h+t.p-2://localhost", "://localhost",
           "http:///localhost", "http:localhost", "http://::1]", "http://localhost]",
           "http://[::1]evil.com", "http://evil.com[::1]", "http://[localhost]", "http://local%68ost",
           "http://[::1]:80:90", "http://@localhost", "http://localhost@"]
ASKED = [None, "GET", "POST", "PATCH", "HEAD", "QUERY", "TRACE", "post", ""]
PATHS = ["/api/2.0/mlflow/experiments/search", "/ajax-api/2.0/mlflow/experiments/search",
         "/api/3.0/mlflow/server-info", "/api/3.0/mlflow/server-info/", "/health", "/health/", "/version",
         "/graphql", "/api/test", "/test", "/api/", "/api", "/API/2.0/mlflow/experiments/search",
         "/api/2.0/mlflow-artifacts/artifacts/x", "/ajax-api/2.0/mlflow-artifacts/artifacts",
         "/%61pi/2.0/mlflow/experiments/search", "/heal%74h", "//health",
         "//api/2.0/mlflow/experiments/search", "/api/2.0/mlflow/nothing", "/nothing",
         "/static-files/lib/notebook-trace-renderer/x", "/static-files/libx", "/pfx", "/pfx/"]
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"]
MORE = [{}, {}, {}, {"Access-Control-Request-Headers": "content-type, X-A"},
        {"Access-Control-Request-Headers": ""}, {"Access-Control-Request-Private-Network": "true"},
        {"X-MLFLOW-WORKSPACE": "default"}, {"X-MLFLOW-WORKSPACE": " "},
        {"X-Forwarded-Host": "evil.com", "X-Forwarded-For": "127.0.0.1, 10.0.0.1"},
        {"X-Forwarded-Proto": "https"}, {"X-Forwarded-Proto": "gopher", "X-Forwarded-Prefix": "/x"},
        {"Forwarded": "for=127.0.0.1;host=localhost"}]
COMPARED = re.compile(r"access-control-|x-|vary$|content-type$|allow$|location$|www-authenticate$"
                      r"|content-disposition$|cache-control$")
# What is behind the front door is compared elsewhere (run.py), but for these.
ROUTED = re.compile(r"(/pfx)?(/(ajax-)?api/(2.0/mlflow/experiments/search|3.0/mlflow/server-info)|/heal(th|%74h)"
                    r"|/version)(\?|$)")
# Whoever has said one of these was the guard.
VERDICTS = (b"Invalid Host header", b"Cross-origin request blocked", b"Disallowed CORS", b"OK",
            b'{"error_code":"FEATURE_DISABLED"')


class Request:
    """One request, and the words by which the excuses know it."""

    def __init__(self, method, path, host, fields=(), version="1.1"):
        self.method, self.path, self.host, self.version = method, path, host, version
        self.fields = list(fields)
        self.origins = ""  # the list of the server that it is for

    def field(self, name):
        return next((v for n, v in self.fields if n.lower() == name), None)

    def encode(self):
        lines = [f"{self.method} {self.path} HTTP/{self.version}"]
        lines += [f"Host: {self.host}"] * (self.host is not None)
        lines += [f"{n}: {v}" for n, v in self.fields]
        body = b'{"filter": "name = \'nobody\'"}' if self.method in ("POST", "PUT", "PATCH", "DELETE") else b""
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return ("\r\n".join(lines + ["Connection: close", "", ""])).encode("latin-1") + body

    def __str__(self):
        return f"{self.method} {self.path} Host: {self.host} {self.fields} {self.version}"


class Answer:
    def __init__(self, data):
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split()[1]) if lines[0].startswith("HTTP/") else 0
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers.setdefault(name.lower(), []).append(value.strip())
        if "chunked" in self.headers.get("transfer-encoding", []):
            body = unchunked(body)
        self.body = body

    def header(self, name):
        value = ", ".join(self.headers[name]) if name in self.headers else None
        if name in ("vary", "allow") and value is not None:
            return sorted({v.strip() for v in value.split(",")})
        return value

    @property
    def content(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode("latin-1")

    def __str__(self):
        kept = {n: self.header(n) for n in sorted(self.headers) if COMPARED.match(n)}
        return f"{self.status} {kept} {self.body[:120]!r}"


def unchunked(data):
    body = b""
    while True:
        size, _, data = data.partition(b"\r\n")
        n = int(size or b"0", 16)
        if n == 0:
            return body
        body, data = body + data[:n], data[n + 2:]


def ask(url, request):
    address = urllib.parse.urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as s:
        s.sendall(request.encode())
        data = b""
        while got := s.recv(65536):
            data += got
    return Answer(data)


# -- what may differ, and why ------------------------------------------------------------------

def is_page(answer):
    return answer.header("content-type") == "text/html; charset=utf-8"


def is_verdict(answer):
    return answer.body.startswith(VERDICTS)


def is_named(request):
    """May a page of that origin read answers, by the list's very words or as one of this machine?"""
    origin = request.field("origin")
    named = [o.strip() for o in request.origins.split(",")]
    return origin is not None and (origin in named or "*" in named or bool(
        re.fullmatch(r"http://(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?", origin)))


EXCUSES = {
    "what a path answers that is let in, or that there is none":
        (("status", "body", "header content-type", "header allow", "header location",
          "header cache-control", "header content-disposition"),
         lambda r, a, b: not ROUTED.match(r.path) and not is_verdict(a) and not is_verdict(b)),
    "a body that is an error page of Flask's is JSON here":
        (("body", "header content-type"),
         lambda r, a, b: is_page(a) and a.status == b.status >= 400),
    "a host with a label that is empty or too long for a name: Flask answers 400":
        (("status", "body", "header content-type", "header allow"),
         lambda r, a, b: a.status == 400 and is_page(a) and re.search(r"^\.|\.$|\d{64}", r.host)),
    "h11's refusals are texts, ours are MLflow's JSON; neither reaches the middleware":
        (("body", "header"), lambda r, a, b: a.status == b.status == 400 and b"HTTP request" in b.body),
    "bytes beyond ASCII, or that no host has, are refused in Host (RFC 9112 3.2)":
        (("status", "body", "header"), lambda r, a, b: b.status == 400 and b"Host is no host" in b.body),
    "the host of an absolute target counts, not the field (RFC 9112 3.2.2); stock knows no such path":
        (("status", "body", "header"), lambda r, a, b: "://" in r.path),
    "slashes in front are one: such a path is judged like the one that is served":
        (("status", "body", "header"), lambda r, a, b: r.path.startswith("//")),
    "an Origin that is no UTF-8 is foreign here, and 500 in stock":
        (("status", "body", "header"), lambda r, a, b: a.status == 500 and "\xe4" in str(r.fields)),
    "a 204 says no type of what it has not":
        (("header content-type",), lambda r, a, b: a.status == b.status == 204),
    "HEAD /health says the type that GET has (RFC 9110 9.3.2)":
        (("header content-type",), lambda r, a, b: r.method == "HEAD" and b.status == 200),
    "an origin with a bracket in its midst is foreign, whatever stock's Python makes of it":
        (("status", "body", "header"),
         lambda r, a, b: b.body == b"Cross-origin request blocked"
         and re.search(r"\[.*\][^:]|[^/@]\[", r.field("origin"))),
    "Flask's own layer of CORS answers without an Origin, and to one that is listed in other letters":
        (("header access-control-allow-origin", "header access-control-allow-credentials",
          "header access-control-allow-methods", "header access-control-allow-headers"),
         lambda r, a, b: not is_named(r)),
    "that private networks are not allowed goes without saying":
        (("header access-control-allow-private-network",), lambda r, a, b: True),
    "of two Origin fields the last one counts for all; in stock the first for the answer's headers":
        (("status", "body", "header"),
         lambda r, a, b: sum(n == "Origin" for n, _ in r.fields) > 1),
}


def differences(stock, sluice):
    if stock.status != sluice.status:
        yield "status", stock.status, sluice.status
    for name in sorted(stock.headers.keys() | sluice.headers.keys()):
        if COMPARED.match(name) and stock.header(name) != sluice.header(name):
            yield f"header {name}", stock.header(name), sluice.header(name)
    if stock.content != sluice.content:
        yield "body", stock.content, sluice.content


class Judge:
    """Compares, excuses, counts."""

    def __init__(self):
        self.passed = self.failed = 0
        self.used = dict.fromkeys(EXCUSES, 0)

    def excuse(self, request, stock, sluice, what):
        for name, (covered, holds) in EXCUSES.items():
            if any(what == c or what.startswith(c + " ") for c in covered) and \
                    holds(request, stock, sluice):
                self.used[name] += 1
                return True
        return False

    def look(self, where, request, stock, sluice):
        left = [d for d in differences(stock, sluice)
                if not self.excuse(request, stock, sluice, d[0])]
        self.passed += not left
        self.failed += bool(left)
        if left and self.failed <= 40:
            print(f"FAIL {where}: {request}\n     stock:  {stock}\n     Sluice: {sluice}", flush=True)


# -- requests ----------------------------------------------------------------------------------

def by_hand(prefix):
    """What no product of lists gives."""
    info = prefix + "/api/3.0/mlflow/server-info"
    search = prefix + "/api/2.0/mlflow/experiments/search"
    foreign = ("Origin", "https://evil.com")
    local = ("Origin", "http://localhost")
    yield Request("GET", info, None, version="1.0")
    yield Request("GET", info, "localhost:1", version="1.0")
    yield Request("GET", info, "localhost:1", [("Host", "evil")])
    yield Request("GET", info, "evil", [("Host", "localhost:1")])
    yield Request("GET", info, "\xe4")
    yield Request("GET", info, "10.\xc3\xa4")
    yield Request("GET", info, "evil/localhost")
    yield Request("GET", "http://localhost:1" + info, "evil")
    yield Request("GET", "http://evil" + prefix + "/health", "localhost:1")
    yield Request("POST", search, "localhost:1", [foreign, local])
    yield Request("POST", search, "localhost:1", [local, foreign])
    yield Request("POST", search, "localhost:1", [("Origin", "https://\xe4")])
    yield Request("GET", info, "localhost:1", [("X-Forwarded-Host", "evil"), ("X-Forwarded-Host", "x")])
    yield Request("OPTIONS", search, "localhost:1", [foreign, ("Access-Control-Request-Method", "FOO"),
                                                     ("Access-Control-Request-Private-Network", "")])


def requests_of(name, count, seed):
    prefix = CONFIGURATIONS[name].get("MLFLOW_STATIC_PREFIX", "")
    yield from by_hand(prefix)
    for host, path in itertools.product(HOSTS, (prefix + "/version", prefix + PATHS[2], PATHS[0])):
        yield Request("GET", path, host)
    for origin, asked in itertools.product(ORIGINS, (None, "POST")):
        fields = [("Origin", origin)] + [("Access-Control-Request-Method", asked)] * bool(asked)
        yield Request("OPTIONS" if asked else "POST", prefix + PATHS[0], "localhost:1", fields)
    choose = random.Random(f"{seed} {name}").choice
    for _ in range(count):
        fields = list(choose(MORE).items())
        if choose((True, True, False)):
            fields.append(("Origin", choose(ORIGINS)))
        method, asked = choose(METHODS), choose(ASKED)
        if asked is not None and choose((True, method == "OPTIONS")):
            fields.append(("Access-Control-Request-Method", asked))
        host = choose(HOSTS) if choose((True, False)) else "localhost:1"
        yield Request(method, choose((prefix, "")) + choose(PATHS), host, fields)


# -- servers -----------------------------------------------------------------------------------

def play(judge, name, pg_uri, count, seed):
    environment = CONFIGURATIONS[name]
    prefix = environment.get("MLFLOW_STATIC_PREFIX", "")
    stock = Stock(None, env=environment, prefix=prefix)
    with Sluice(pg_uri, env=environment, args=["--admin-listen", "127.0.0.1:0"]) as sluice, stock:
        for request in requests_of(name, count, seed):
            request.origins = environment.get("MLFLOW_SERVER_CORS_ALLOWED_ORIGINS", "")
            answers = {}
            thread = threading.Thread(target=lambda: answers.update(a=ask(stock.url, request)))
            thread.start()
            mine = ask(sluice.url, request)
            thread.join()
            judge.look(name, request, answers["a"], mine)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="random requests a configuration")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(CONFIGURATIONS))
    options = parser.parse_args()
    judge = Judge()
    with Cluster() as cluster:
        uri = cluster.create_database("edge")
        for name in CONFIGURATIONS:
            if options.only in (None, name):
                play(judge, name, uri, options.count, options.seed)
    for name, count in judge.used.items():
        print(f"{count:>6}  {name}")
        if count == 0 and not options.only:
            print("FAIL no request needs that excuse: take it out")
            judge.failed += 1
    print(f"{judge.passed} passed, {judge.failed} failed")
    sys.exit(1 if judge.failed else 0)


if __name__ == "__main__":
    main()
