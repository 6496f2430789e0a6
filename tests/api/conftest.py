"""Fixtures of the api suite: real programs, a real PostgreSQL, nothing in between.

SLUICE_TEST_TARGET=stock points every test that uses `target` at a stock MLflow server instead:
that is how the tests themselves are proven right. Tests that need Sluice itself are then left
out of the collection.
"""

import os
import subprocess
import sys
import uuid

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))

from cluster import Cluster  # noqa: E402
from server import BINARY, QUIET, Sluice, Stock  # noqa: E402

STOCK_ONLY = os.environ.get("SLUICE_TEST_TARGET") == "stock"
os.environ.update(QUIET)


def pytest_collection_modifyitems(config, items):
    """With a stock server as the target, only what talks to `target` has a meaning."""
    if not STOCK_ONLY:
        return
    kept = [i for i in items if "target" in i.fixturenames and "sluice" not in i.fixturenames]
    config.hook.pytest_deselected(items=[i for i in items if i not in kept])
    items[:] = kept


@pytest.fixture(scope="session")
def postgres():
    """One throwaway cluster for the whole session."""
    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def database(postgres, request):
    """A fresh, empty database for each test module: its connection string."""
    name = request.module.__name__.rpartition(".")[2]
    postgres.drop_database(name)
    yield postgres.create_database(name)
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def sluice(database):
    """Sluice on the module's database; at the end it must stop with code 0 and no report. With
    SLUICE_TEST_TUNED=1 on a database with every change of `sluice schema tune`."""
    with Sluice(database) as server:
        if os.environ.get("SLUICE_TEST_TUNED"):
            subprocess.run([BINARY, "schema", "tune", "--pg-uri", database], check=True)
        yield server


@pytest.fixture
def serve(seeded, tmp_path):
    """Starts servers with one worker, and further arguments, on a module's own `seeded` database."""
    started = []

    def start(*args):
        # ASan keeps what is freed for a while; of interest is what is in use.
        env = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1"}
        server = Sluice(seeded, data_dir=str(tmp_path / "data"), args=["--workers", "1", *args],
                        env=env).__enter__()
        started.append(server)
        return server

    yield start
    for server in started:
        server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def stock(database, sluice):
    """A stock MLflow server on the same database, started after Sluice made the schema."""
    with Stock(database) as server:
        yield server


@pytest.fixture(scope="module")
def target(request):
    """What the shared tests talk to: Sluice, or the stock server with SLUICE_TEST_TARGET=stock."""
    if not STOCK_ONLY:
        yield request.getfixturevalue("sluice")
        return
    with Stock(request.getfixturevalue("database")) as server:
        yield server


@pytest.fixture(scope="module")
def client(target):
    """The stock client of the shared tests."""
    import mlflow

    mlflow.set_tracking_uri(target.url)
    return mlflow.MlflowClient(target.url)


@pytest.fixture
def experiment(client):
    return client.create_experiment("exp-" + uuid.uuid4().hex)


@pytest.fixture
def run(client, experiment):
    return client.create_run(experiment).info.run_id


@pytest.fixture
def sql(database):
    """A connection to the module's database, to look at rows."""
    import psycopg

    with psycopg.connect(database, autocommit=True) as pg:
        yield pg
