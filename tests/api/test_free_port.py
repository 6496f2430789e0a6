"""Ports for programs that cannot choose their own: no two test processes get the same one."""

import os
import subprocess
import sys

from server import free_port, is_port_open

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools")
TAKE = """
import sys
sys.path.insert(0, sys.argv[1])
from server import free_port
print(*[free_port() for _ in range(250)], flush=True)
sys.stdin.read()
"""


def test_no_two_processes_get_the_same():
    takers = [subprocess.Popen([sys.executable, "-c", TAKE, TOOLS], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True) for _ in range(4)]
    ports = [int(port) for taker in takers for port in taker.stdout.readline().split()]
    for taker in takers:
        taker.communicate()
    assert len(ports) == 1000
    assert len(set(ports)) == 1000
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        low, high = (int(word) for word in f.read().split())
    assert not [p for p in ports if low <= p <= high] or (low, high) == (1024, 65535)


def test_nobody_listens_there():
    assert not [p for p in (free_port() for _ in range(20)) if is_port_open(p)]
