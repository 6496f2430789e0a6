"""A throwaway PostgreSQL cluster for tests and benchmarks.

    with Cluster() as cluster:
        uri = cluster.create_database("one")

It lies in a temporary directory, listens on a Unix socket there and nowhere else, and is gone
with the `with` block. As root it runs as the user postgres, because initdb refuses root.
"""

import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

import psycopg

USER = "tester"
# What benchmarks are run with, for whoever writes: docs/sizing.md says why.
BENCH_SETTINGS = {"shared_buffers": "256MB", "max_wal_size": "4GB", "wal_buffers": "64MB"}


def bin_dir():
    """The newest PostgreSQL server programs of this machine."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    if found:
        return os.path.dirname(max(found, key=lambda p: int(p.split("/")[4])))
    program = shutil.which("initdb")
    if not program:
        raise RuntimeError("initdb is not installed")
    return os.path.dirname(os.path.realpath(program))


class Cluster:
    def __init__(self, settings=None, fsync=False):
        """fsync=False suits tests of rows; whoever kills the cluster or measures wants True."""
        self.settings = {"listen_addresses": "''", "max_connections": "200",
                         "fsync": "on" if fsync else "off"}
        self.settings.update(settings or {})
        self.folder = tempfile.mkdtemp(prefix="pg-")
        self.data = os.path.join(self.folder, "data")
        self.process = None
        # start_new_session: the Ctrl-C of whoever runs the tests is for the tests.
        self._as = {"start_new_session": True, "cwd": self.folder}
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as.update(user=owner.pw_uid, group=owner.pw_gid, extra_groups=[])

    def __enter__(self):
        subprocess.run([f"{bin_dir()}/initdb", "-D", self.data, "-U", USER, "-A", "trust",
                        "-E", "UTF8", "--locale=C", "--no-sync"], check=True,
                       stdout=subprocess.DEVNULL, **self._as)
        with open(os.path.join(self.data, "postgresql.auto.conf"), "a", encoding="utf-8") as f:
            f.write(f"unix_socket_directories = '{self.folder}'\n")
            for name, value in self.settings.items():
                f.write(f"{name} = {value}\n")
        self.start()
        return self

    def __exit__(self, *unused):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def launch(self, log):
        return subprocess.Popen([f"{bin_dir()}/postgres", "-D", self.data],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log, **self._as)

    def start(self):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = self.launch(log)
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.uri("postgres")).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    with open(os.path.join(self.folder, "log"), encoding="utf-8") as log:
                        raise RuntimeError(f"postgres did not start:\n{log.read()}") from None
                time.sleep(0.05)

    def stop(self, how=signal.SIGINT):
        """SIGINT is PostgreSQL's fast shutdown, SIGQUIT its immediate one."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=60)

    def uri(self, database):
        port = self.settings.get("port", "5432")
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={port}"

    def connect(self, database):
        return psycopg.connect(self.uri(database), autocommit=True)

    def create_database(self, name, template="template1"):
        with self.connect("postgres") as pg:
            pg.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.uri(name)

    def drop_database(self, name):
        with self.connect("postgres") as pg:
            pg.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
