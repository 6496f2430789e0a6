"""A program that starts over in namespaces of its own: what it does there is nobody else's trouble.

    namespaces.enter("net", "mount")    # at the begin of main(); returns at once or not at all
    namespaces.are_own()

As root the caller becomes the same command again, below unshare, with the loopback device up. With "pid" it
is the first process of its namespace: whatever it started ends with it, also by kill -9. Without root,
or where that is forbidden, it goes on as it is, and are_own() says so.
"""

import os
import shutil
import subprocess
import sys

INSIDE = "SLUICE_TEST_INSIDE"


def are_own():
    return bool(os.environ.get(INSIDE))


def enter(*kinds):
    unshare = ["unshare", *("--" + kind for kind in kinds)]
    if "mount" in kinds:
        unshare += ["--propagation", "private"]
    if "pid" in kinds:
        unshare += ["--fork", "--kill-child", "--mount-proc"]
    if are_own():
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if os.getuid() != 0 or not shutil.which("unshare"):
        return
    if subprocess.run(unshare + ["true"], check=False, stderr=subprocess.DEVNULL).returncode:
        return
    os.environ[INSIDE] = "1"
    sys.stdout.flush()
    os.execvp(unshare[0], unshare + [sys.executable, os.path.abspath(sys.argv[0])] + sys.argv[1:])
