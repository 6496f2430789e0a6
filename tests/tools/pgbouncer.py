"""A throwaway PgBouncer in front of a test's PostgreSQL.

    with PgBouncer(cluster, mode="transaction", sessions=4) as pool:
        pool.uri("a_database")

Unix socket in a temporary directory, no passwords. As root it runs as the user postgres, because
PgBouncer refuses root. kill() is kill -9; start() brings it back on the same socket.
"""

import os
import pwd
import re
import shutil
import subprocess

import psycopg

from cluster import USER
from daemon import Daemon
from server import free_port, wait_until


class PgBouncer(Daemon):
    def __init__(self, cluster, mode="transaction", sessions=8, settings=None):
        super().__init__("pgbouncer-")
        self.port = free_port()
        self.settings = {
            "listen_addr": "", "listen_port": str(self.port), "unix_socket_dir": self.folder,
            "auth_type": "any", "pool_mode": mode, "default_pool_size": str(sessions),
            "max_client_conn": "500", "admin_users": "admin", "server_login_retry": "1",
            **(settings or {})}
        self._as = {"start_new_session": True, "cwd": self.folder}
        if os.getuid() == 0:
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as.update(user=owner.pw_uid, group=owner.pw_gid, extra_groups=[])
        self.config = self.path("pgbouncer.ini")
        with open(self.config, "w", encoding="utf-8") as f:
            f.write(f"[databases]\n* = host={cluster.folder} user={USER}\n[pgbouncer]\n")
            f.writelines(f"{k} = {v}\n" for k, v in self.settings.items())
        os.chmod(self.config, 0o644)

    def uri(self, database):
        return f"postgresql://{USER}@/{database}?host={self.folder}&port={self.port}"

    def start(self):
        program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
        with open(self.path("log"), "ab") as log:
            self.process = subprocess.Popen([program, self.config], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, **self._as)

        def answers():
            assert self.process.poll() is None, self.output()
            try:
                return self.show("VERSION")
            except psycopg.OperationalError:
                return None

        self.version = re.search(r"[\d.]+", wait_until(answers, 30, "PgBouncer answers")[0][0])[0]
        return self

    def show(self, what):
        """Rows of its own console."""
        with psycopg.connect(f"postgresql://admin@/pgbouncer?host={self.folder}&port={self.port}",
                             autocommit=True, cursor_factory=psycopg.ClientCursor) as console:
            return console.execute("SHOW " + what).fetchall()
