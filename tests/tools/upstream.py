#!/usr/bin/env python3
"""A server behind Sluice that behaves as a test asks it to: `upstream.py PORT [CERTIFICATE]`, or in a test
`with Upstream() as u:`. HTTP by hand on real sockets, because libraries do not misbehave.

The first segment of a path says what it does; parameters are in the query. It prints nothing and keeps
connections alive. What it has seen of a request, /echo answers as JSON.
"""

import asyncio
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from server import free_port, is_port_open, wait_until  # noqa: E402


class Upstream:
    """It as a process of its own, so that it can be killed and stopped."""

    def __init__(self, certificate=None):
        """certificate: a file of a key and what it signed, then it speaks TLS."""
        self.port = free_port()
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.port}"
        self.more = [certificate] if certificate else []
        self.process = None

    def start(self):
        self.process = subprocess.Popen([sys.executable, os.path.abspath(__file__),
                                         str(self.port), *self.more])
        wait_until(lambda: is_port_open(self.port), 30, "the upstream listens")
        return self

    def signal(self, how):
        self.process.send_signal(how)

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=20)

    __enter__ = start

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()


def certificate(folder, name, address):
    """A file with a key and a certificate that signs itself, for that address."""
    path, key = str(folder / f"{name}.pem"), str(folder / f"{name}.key")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}", "-days", "2",
                    "-addext", f"subjectAltName=IP:{address}", "-keyout", key, "-out", path],
                   check=True, capture_output=True)
    with open(path, "a", encoding="ascii") as out, open(key, encoding="ascii") as k:
        out.write(k.read())
    return path


# --- the server -------------------------------------------------------------------------------------


class Request:
    def __init__(self, line, fields, reader, writer):
        self.method, self.target, self.version = line.split(" ")
        url = urllib.parse.urlsplit(self.target)
        self.action = url.path.split("/")[-1] if url.path.count("/") == 1 else url.path.split("/")[1]
        self.query = dict(urllib.parse.parse_qsl(url.query))
        self.fields = fields
        self.reader, self.writer = reader, writer
        self.trailers = []

    def field(self, name):
        return next((v for n, v in self.fields if n.lower() == name), None)

    def number(self, name, default):
        return int(self.query.get(name, default))

    async def pieces(self):
        """The body as it comes."""
        if (self.field("transfer-encoding") or "").lower() == "chunked":
            while True:
                size = int((await self.reader.readuntil(b"\r\n")).split(b";")[0], 16)
                if size == 0:
                    break
                left = size
                while left:
                    got = await self.reader.read(min(left, 1 << 20))
                    if not got:
                        raise EOFError
                    left -= len(got)
                    yield got
                assert await self.reader.readexactly(2) == b"\r\n"
            while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                self.trailers.append(line.decode("latin-1").strip())
            return
        left = int(self.field("content-length") or 0)
        while left:
            got = await self.reader.read(min(left, 1 << 20))
            if not got:
                raise EOFError
            left -= len(got)
            yield got

    def send(self, text):
        self.writer.write(text if isinstance(text, bytes) else text.encode("latin-1"))

    def answer(self, body, status="200 OK", fields=""):
        body = body if isinstance(body, bytes) else body.encode()
        self.send(f"HTTP/1.1 {status}\r\n{fields}Content-Length: {len(body)}\r\n\r\n")
        if self.method != "HEAD":
            self.send(body)


SEEN = {"connections": 0, "requests": 0, "bodies": 0, "gone": 0}


async def do_echo(r):
    digest, size = hashlib.sha256(), 0
    async for piece in r.pieces():
        digest.update(piece)
        size += len(piece)
    SEEN["bodies"] += 1
    seen = {"method": r.method, "target": r.target, "fields": r.fields, "trailers": r.trailers,
            "size": size, "sha256": digest.hexdigest()}
    r.answer(json.dumps(seen), fields="Content-Type: application/json\r\nX-Own: yes\r\n")


async def do_health(r):
    r.answer("OK")


async def do_seen(r):
    r.answer(json.dumps(SEEN))


async def do_bytes(r):
    """n bytes with a length, how=chunked in chunks, how=close up to the end, how=1.0 likewise."""
    left, how = r.number("n", 1000), r.query.get("how", "length")
    version = "1.0" if how == "1.0" else "1.1"
    framing = {"length": f"Content-Length: {left}\r\n", "chunked": "Transfer-Encoding: chunked\r\n",
               "close": "Connection: close\r\n", "1.0": ""}[how]
    r.send(f"HTTP/{version} 200 OK\r\n{framing}Content-Type: application/octet-stream\r\n\r\n")
    piece = bytes(range(256)) * 256
    while left:
        part = piece[:left]
        left -= len(part)
        r.send(f"{len(part):x}\r\n".encode() + part + b"\r\n" if how == "chunked" else part)
        await r.writer.drain()
    if how == "chunked":
        r.send("0\r\nX-Sum: 7\r\nAuthorization: no\r\n\r\n")
    return how in ("close", "1.0")


async def do_events(r):
    """Server-sent events, each when the one before was asked for by /next."""
    r.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    for i in range(r.number("n", 3)):
        EVENTS.clear()
        text = f"data: {i}\n\n"
        r.send(f"{len(text):x}\r\n{text}\r\n")
        await r.writer.drain()
        await EVENTS.wait()
    r.send("0\r\n\r\n")


async def do_next(r):
    EVENTS.set()
    r.answer("ok")


async def do_status(r):
    r.send(f"HTTP/1.1 {r.number('code', 404)} Fine\r\nX-Own: yes\r\nLocation: /there\r\n\r\n")


async def do_hop(r):
    r.answer("hop", fields="Connection: X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=9\r\n"
             "X-Frame-Options: DENY\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nVia: 1.0 inner\r\n")


async def do_early(r):
    """Refuses a body it has not read, and closes."""
    r.answer("no", status="413 Content Too Large", fields="Connection: close\r\n")
    await r.writer.drain()
    return True


async def do_duplex(r):
    """Each piece of the body at once as a chunk of the answer."""
    r.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    async for piece in r.pieces():
        r.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await r.writer.drain()
    r.send("0\r\n\r\n")


async def do_cut(r):
    """Less than it said, then the end; how=chunked likewise, how=head within the head."""
    how = r.query.get("how", "length")
    r.send({"length": "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n123",
            "chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n123\r\n",
            "head": "HTTP/1.1 200 OK\r\nContent-Le", "nothing": "",
            "garbage": "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
            "coding": "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "split": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: a\rb\r\n\r\n123",
            "lengths": "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n1234"}[how])
    return True


async def do_hang(r):
    await asyncio.sleep(3600)


async def do_stall(r):
    """Half an answer, and then nothing."""
    r.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    await asyncio.sleep(3600)


async def do_deaf(r):
    """Takes nothing of the body until /next."""
    EVENTS.clear()
    await EVENTS.wait()
    await do_echo(r)


async def do_continue(r):
    """ok=1: asks for the body; else it does not want it."""
    if r.query.get("ok") == "1":
        r.send("HTTP/1.1 100 Continue\r\n\r\n")
        await do_echo(r)
        return False
    r.answer("no", status="401 Unauthorized")
    return True


async def do_hints(r):
    r.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n")
    await r.writer.drain()
    r.answer("hinted")


async def do_stale(r):
    """Answers, and closes the connection with the next request unread."""
    r.answer("once")
    await r.writer.drain()
    await r.reader.read(1)
    return True


async def do_switch(r):
    """Another protocol: sends back what comes, in capitals."""
    if r.field("upgrade") is None:
        r.answer("no upgrade", status="400 Bad Request")
        return False
    r.send(f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {r.field('upgrade')}\r\n"
           "Sec-WebSocket-Accept: abc\r\n\r\nhello ")
    while got := await r.reader.read(65536):
        r.send(got.upper())
        await r.writer.drain()
    r.send("bye")
    return True


ACTIONS = {name[3:]: function for name, function in globals().items() if name.startswith("do_")}
EVENTS = None


async def serve_one(reader, writer):
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = [tuple(line.split(": ", 1)) if ": " in line else (line.rstrip(":"), "")
              for line in lines[1:] if line]
    r = Request(lines[0], fields, reader, writer)
    SEEN["requests"] += 1
    is_over = await ACTIONS.get(r.action, do_echo)(r)
    await writer.drain()
    return is_over or (r.field("connection") or "").lower() == "close"


async def serve(reader, writer):
    SEEN["connections"] += 1
    try:
        while not await serve_one(reader, writer):
            pass
    except (asyncio.IncompleteReadError, EOFError, ConnectionError):
        SEEN["gone"] += 1
    finally:
        try:
            writer.close()
        except ConnectionError:
            pass


async def main(port, certificate=None):
    global EVENTS
    EVENTS = asyncio.Event()
    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 20, ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), *sys.argv[2:]))
