"""Hosts on one wire: network namespaces behind a bridge, which a test can cut in two.

    with Wire() as wire:
        a, b = wire.host(), wire.host()
        subprocess.Popen(a.inside("program", ...)); a.address
        with wire.cut(a, b):                    # neither hears of the other, and nobody is told
            ...

The caller's own namespace is on the bridge as well (Wire.HERE), so it reaches every host. The
suite runs in a namespace of its own (run.py), and a host's namespace lives as long as its holder, which
ends with the suite: nothing has a name, and nothing stays behind.
"""

import contextlib
import os
import subprocess
import time

NET = "10.214.0."


class Host:
    def __init__(self, number):
        self.address = NET + str(number)
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        deadline = time.monotonic() + 10
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            assert time.monotonic() < deadline, "no namespace"
            time.sleep(0.01)
        near, pid = f"host{number}", str(self.holder.pid)
        run = subprocess.run
        run(["ip", "link", "add", near, "type", "veth", "peer", "name", "wire", "netns", pid],
            check=True)
        run(["ip", "link", "set", near, "master", "pods", "up"], check=True)
        for words in (["address", "add", self.address + "/24", "dev", "wire"],
                      ["link", "set", "wire", "up"], ["link", "set", "lo", "up"]):
            run(self.inside("ip", *words), check=True)

    def inside(self, *command):
        """The command, for a process in there. nsenter becomes it, so the process id is its own."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *command]

    def filter(self, how, peer):
        for chain, side in (("INPUT", "-s"), ("OUTPUT", "-d")):
            subprocess.run(self.inside("iptables", "-w", how, chain, side, peer.address, "-j",
                                       "DROP"), check=True)


class Wire:
    HERE = NET + "1"

    def __enter__(self):
        self.hosts = []
        for words in (["link", "add", "pods", "type", "bridge"],
                      ["address", "add", self.HERE + "/24", "dev", "pods"],
                      ["link", "set", "pods", "up"]):
            subprocess.run(["ip", *words], check=True)
        return self

    def host(self):
        self.hosts.append(Host(10 + len(self.hosts)))
        return self.hosts[-1]

    def __exit__(self, *unused):
        for host in self.hosts:
            host.holder.kill()
            host.holder.wait()
        subprocess.run(["ip", "link", "del", "pods"], check=False)

    @contextlib.contextmanager
    def cut(self, host, *peers):
        """The host hears nothing of these peers, nor they of it."""
        done = []
        try:
            for peer in peers:
                done.append(peer)
                host.filter("-A", peer)
            yield
        finally:
            for peer in done:
                host.filter("-D", peer)
