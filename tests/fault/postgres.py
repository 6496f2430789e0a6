"""What is done to a PostgreSQL: stopped in every way, paused, filled, put behind a broken wire."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time

import psycopg

from cluster import USER, Cluster, bin_dir


def family(cluster):
    """The postmaster and its children."""
    pid = cluster.process.pid
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [pid] + [int(child) for child in f.read().split()]


def send_all(pids, how):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


@contextlib.contextmanager
def paused(pids):
    """Stopped processes: their kernel goes on to acknowledge, and nothing answers."""
    send_all(pids, signal.SIGSTOP)
    try:
        yield
    finally:
        send_all(pids, signal.SIGCONT)


def kill_postmaster(cluster):
    """kill -9 of the postmaster alone; its children end when they notice, and hold its place so long."""
    children = family(cluster)[1:]
    cluster.process.kill()
    cluster.process.wait()
    deadline = time.monotonic() + 30
    while any(os.path.exists(f"/proc/{pid}") for pid in children):
        assert time.monotonic() < deadline, "children outlive their postmaster"
        time.sleep(0.02)


@contextlib.contextmanager
def holding(uri, statement):
    """A session that has run the statement and keeps its transaction open."""
    with psycopg.connect(uri) as pg:
        pg.execute(statement)
        yield
        pg.rollback()


class Standby(Cluster):
    """A copy of a running cluster that follows it: read-only until it is promoted."""

    def __init__(self, primary):
        super().__init__()
        self.primary = primary

    def __enter__(self):
        subprocess.run([f"{bin_dir()}/pg_basebackup", "-D", self.data, "-U", USER, "-R", "-X",
                        "stream", "-c", "fast", "-h", self.primary.folder],
                       check=True, **self._as)
        with open(os.path.join(self.data, "postgresql.auto.conf"), "a", encoding="utf-8") as f:
            f.write(f"unix_socket_directories = '{self.folder}'\n")
            f.write("synchronous_standby_names = ''\n")
        self.start()
        return self

    def promote(self):
        with self.connect("postgres") as pg:
            pg.execute("SELECT pg_promote()")


@contextlib.contextmanager
def small_disk(cluster, size):
    """A tmpfs that the cluster may write to; grow it with remount()."""
    folder = tempfile.mkdtemp(prefix="disk-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        owner = os.stat(cluster.data)
        os.chown(folder, owner.st_uid, owner.st_gid)
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
        os.rmdir(folder)


def remount(folder, size):
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


class Wire:
    """A second network namespace behind a veth pair; HERE and THERE are the addresses of its ends."""

    HERE, THERE = "10.213.7.1", "10.213.7.2"

    def __enter__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        deadline = time.monotonic() + 10
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        run = subprocess.run
        run(["ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns",
             str(self.holder.pid)], check=True)
        run(["ip", "address", "add", self.HERE + "/24", "dev", "here"], check=True)
        run(["ip", "link", "set", "here", "up"], check=True)
        run(self.inside("ip", "address", "add", self.THERE + "/24", "dev", "there"), check=True)
        run(self.inside("ip", "link", "set", "there", "up"), check=True)
        run(self.inside("ip", "link", "set", "lo", "up"), check=True)
        return self

    def __exit__(self, *unused):
        subprocess.run(["ip", "link", "del", "here"], check=False)
        self.holder.kill()
        self.holder.wait()

    def inside(self, *command):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *command]

    @contextlib.contextmanager
    def cut(self):
        """Whatever comes in is dropped, and nobody is told."""
        subprocess.run(self.inside("iptables", "-A", "INPUT", "-i", "there", "-j", "DROP"), check=True)
        try:
            yield
        finally:
            subprocess.run(self.inside("iptables", "-F", "INPUT"), check=True)


class Far(Cluster):
    """A cluster at the other end of a wire; its owner reaches it by the socket."""

    def __init__(self, wire):
        super().__init__({"listen_addresses": f"'{wire.THERE}'", "port": "5432"})
        self.wire = wire

    def __enter__(self):
        super().__enter__()
        with open(os.path.join(self.data, "pg_hba.conf"), "a", encoding="utf-8") as f:
            f.write("host all all 0.0.0.0/0 trust\n")
        self.stop()
        self.start()
        return self

    def launch(self, log):
        # Entering takes root, the server refuses it: the user is changed in between.
        return subprocess.Popen(
            self.wire.inside("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
                             f"{bin_dir()}/postgres", "-D", self.data),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            cwd=self.folder)

    def far_uri(self, database, host=None):
        return f"postgresql://{USER}@{host or self.wire.THERE}:5432/{database}"
