"""The web UI: a real Chromium, a real PostgreSQL, and no Python that serves anything."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

from cluster import Cluster  # noqa: E402
from server import ROOT  # noqa: E402

UI_DIR = os.path.join(ROOT, "build/ui/files")


@pytest.fixture(scope="session")
def postgres():
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def ui_dir():
    """What `sluice ui-fetch` has brought (make test-ui)."""
    assert os.path.exists(os.path.join(UI_DIR, "index.html")), "make test-ui fetches it"
    return UI_DIR


@pytest.fixture(scope="session")
def shots():
    folder = os.path.join(ROOT, "build/ui/screenshots")
    os.makedirs(folder, exist_ok=True)
    return folder
