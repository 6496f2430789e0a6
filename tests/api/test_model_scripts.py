"""The users' own scripts, unchanged: a training job that registers and promotes, a deployer that polls.

With local artifacts, with artifacts in S3, and through nginx that asks for a password.
"""

import contextlib
import os
import subprocess
import sys
import uuid

import pytest
import requests

from conftest import STOCK_ONLY
from nginx import Nginx
from s3 import S3
from server import Sluice, clean_environment

pytestmark = pytest.mark.skipif(STOCK_ONLY, reason="starts servers of its own")

EXAMPLES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "examples")
LIMIT_S = 180


@pytest.fixture(params=["local", "s3", "nginx"])
def address(request, database, tmp_path):
    """The environment in which a script finds the server."""
    with contextlib.ExitStack() as stack:
        destination, env = str(tmp_path / "artifacts"), {}
        if request.param == "s3":
            s3 = stack.enter_context(S3())
            s3.make_bucket("models")
            destination, env = "s3://models", s3.env
        server = stack.enter_context(
            Sluice(database, args=["--artifacts-destination", destination], env=env))
        if request.param != "nginx":
            yield {"MLFLOW_TRACKING_URI": server.url}
            return
        proxy = stack.enter_context(Nginx(server.url, "trainer", "a secret"))
        assert requests.get(proxy.url + "/version", timeout=10).status_code == 401
        yield {"MLFLOW_TRACKING_URI": proxy.url, "MLFLOW_TRACKING_USERNAME": "trainer",
               "MLFLOW_TRACKING_PASSWORD": "a secret"}


def script(name, address, *arguments):
    return subprocess.Popen([sys.executable, os.path.join(EXAMPLES, name), *arguments],
                            env=clean_environment(address), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


def finish(process):
    out, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, err[-3000:]
    return out.split("\n")[:-1]


def test_train_promote_deploy(address):
    name = "iris-" + uuid.uuid4().hex[:8]
    deployer = script("deploy_loop.py", address, name, "--versions", "2")
    try:
        first = finish(script("train_register.py", address, name, "--strength", "0.001"))
        assert first[-1].split()[:2] == [name, "1"]
        served = deployer.stdout.readline().split()
        assert served[:2] == [name, "1"]
        second = finish(script("train_register.py", address, name, "--strength", "1"))
        assert second[-1].split()[:2] == [name, "2"]
        assert float(second[-1].split()[2]) > float(first[-1].split()[2])
        assert finish(deployer) == [f"{name} 2 2"]
    finally:
        deployer.kill()
        deployer.wait()
