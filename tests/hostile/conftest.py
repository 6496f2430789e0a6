"""The fixtures of the api suite, for peers that mean no good."""

import importlib.util
import os

HERE = os.path.dirname(os.path.abspath(__file__))


def load(path):
    spec = importlib.util.spec_from_file_location("shared_" + os.path.basename(path)[:-3],
                                                  os.path.join(HERE, "..", path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


api = load("api/conftest.py")
postgres, database, sluice = api.postgres, api.database, api.sluice


def release():
    """The program whose memory and CPU mean something: not the sanitized one."""
    return os.path.join(HERE, "../../build/sluice")
