"""A server of a test: a process that was started here, and a folder that goes when it goes.

    class Redis(Daemon):
        def start(self):
            self.process = subprocess.Popen(...)
            wait_until(...)
            return self

    with Redis("redis-") as redis: ...

kill() is kill -9 of the process id that was started; start() brings it back. A start that fails leaves
nothing behind.
"""

import os
import shutil
import tempfile


class Daemon:
    def __init__(self, prefix):
        self.folder = tempfile.mkdtemp(prefix=prefix)
        self.process = None

    def path(self, name):
        return os.path.join(self.folder, name)

    def output(self):
        """What it has said: its start() sends that to path("log")."""
        with open(self.path("log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def kill(self):
        self.process.kill()
        self.process.wait(timeout=30)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *unused):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
