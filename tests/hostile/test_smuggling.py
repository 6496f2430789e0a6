"""nginx is the yardstick: where it refuses a message, Sluice must not see one.

A proxy and the server behind it that disagree about where a message ends let a client smuggle
requests past the proxy. So every case of tests/wire whose bytes go out at once is sent to nginx as
well: of no case may Sluice answer more messages than nginx before it refuses the rest. Where it
answers fewer it is the stricter one, and nothing can be smuggled. `pytest -rP` shows the table.
"""

import os
import re
import socket
import sys

import pytest

from conftest import HERE, load

sys.path.insert(0, os.path.join(HERE, "..", "bench"))
from bench import Nginx  # noqa: E402

wire = load("wire/run.py")
RUN = "0" * 32
FILES = ("smuggling", "fields", "chunked", "request_line", "connection", "methods")

# Where nginx refuses what RFC 9110 and 9112 allow, and which reads in one way only.
OTHER_REASONS = {
    "blanks and tabs around the length": "a tab is optional whitespace (RFC 9110 5.6.3)",
    "blanks before chunked": "the same",
    "field names in any letter case, blanks around the value": "the same",
    "empty Host": "RFC 9112 3.2: of a target without authority",
    "asterisk target of OPTIONS": "RFC 9112 3.2.4",
    "authority target": "a CONNECT; answered 404 and closed, so nothing follows it",
}


def collect():
    """{name: bytes}: what a case sends, when it does not wait for anything in between."""
    cases = {}
    for name in FILES:
        for where, _, lines in wire.parse(os.path.join(HERE, f"../wire/{name}.case")):
            words = [line.split(" ", 1)[0] for _, line in lines]
            sends = [i for i, word in enumerate(words) if word in (">", ">>")
                     or word.startswith(">*")]
            if not sends or "drip" in words or sends[-1] - sends[0] != len(sends) - 1:
                continue
            state = Recorder()
            for _, line in lines[sends[0]:sends[-1] + 1]:
                state.step(line)
            cases[re.sub(r"\.case:\d+", "", where)] = state.sent
    return cases


class Recorder(wire.Case):
    """A case whose connection is a string."""

    def __init__(self):
        super().__init__({}, RUN)
        self.sent = b""

    def connection(self):
        return self

    def send(self, data):
        self.sent += data


def answers(port, data):
    """[(status, closes)] of every final answer, until the end of the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        received = b""
        try:
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            while more := peer.recv(65536):
                received += more
        except OSError:
            pass  # reset: what came before it counts
    found = []
    for head in re.findall(rb"HTTP/1\.1 (\d{3} [^\r]*\r\n(?:[^\r]+\r\n)*)\r\n", received):
        if not head.startswith(b"100"):
            found.append((int(head[:3]), re.search(rb"(?i)\nconnection: close", head) is not None))
    return found


def taken(found):
    """How many messages were understood before the rest was refused."""
    for i, (status, closes) in enumerate(found):
        if closes and status in (400, 405, 411, 413, 414, 417, 431, 501, 505):
            return i
    return len(found)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory):
    with Nginx(str(tmp_path_factory.mktemp("nginx"))) as server:
        yield server


CASES = collect()


def test_cases_were_found():
    assert len(CASES) > 150


@pytest.mark.parametrize("name", CASES)
def test_not_laxer_than_nginx(nginx, sluice, name):
    ours = answers(int(sluice.url.rsplit(":", 1)[1]), CASES[name])
    theirs = answers(nginx.port, CASES[name])
    verdict = ("same", "stricter", "laxer")[(taken(ours) < taken(theirs))
                                            + 2 * (taken(ours) > taken(theirs))]
    print(f"{name}: sluice {ours}, nginx {theirs}: {verdict}")
    is_laxer = taken(ours) > taken(theirs)
    assert is_laxer == (name.split(" ", 1)[1] in OTHER_REASONS), \
        f"sluice answers {ours}, nginx {theirs}"
