"""The database: an empty one gets MLflow's schema, one that fits is used, any other is refused."""

import subprocess

import psycopg
import pytest

import catalog
from server import BINARY, Sluice, Stock, clean_environment

HEAD = "dc11669786a5"


@pytest.fixture(scope="module")
def stock_made(postgres):
    """A database whose schema a stock server made."""
    uri = postgres.create_database("stock_made")
    with Stock(uri):
        pass
    yield uri
    postgres.drop_database("stock_made")


@pytest.fixture(scope="module")
def sluice_made(postgres):
    """A database whose schema Sluice made, with nothing running on it."""
    uri = postgres.create_database("sluice_made")
    with Sluice(uri):
        pass
    yield uri
    postgres.drop_database("sluice_made")


@pytest.fixture
def copy(postgres, sluice_made):
    """A copy of Sluice's database that a test may spoil."""
    postgres.drop_database("copy")
    yield postgres.create_database("copy", template="sluice_made")
    postgres.drop_database("copy")


def start_and_fail(uri, tmp_path):
    """`sluice serve` on a database it must refuse: what it says, after it has ended badly."""
    result = subprocess.run(
        [BINARY, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
         "--data-dir", str(tmp_path / "data"), "--pg-uri", uri],
        env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert result.returncode > 0, result.stdout + result.stderr
    assert "Sanitizer" not in result.stderr
    return result.stdout + result.stderr


def rows(uri, query):
    with psycopg.connect(uri) as pg:
        return pg.execute(query).fetchall()


def test_the_catalog_equals_that_of_stock_mlflow(sluice_made, stock_made):
    assert catalog.differences(catalog.catalog(sluice_made), catalog.catalog(stock_made)) == []


def test_what_the_schema_begins_with_equals_that_of_stock_mlflow(sluice_made, stock_made):
    for query in ("SELECT * FROM alembic_version", "SELECT * FROM workspaces",
                  "SELECT experiment_id, name, artifact_location, lifecycle_stage, workspace "
                  "FROM experiments"):
        assert rows(sluice_made, query) == rows(stock_made, query)


def test_own_tables_stand_apart(sluice_made):
    assert rows(sluice_made, "SELECT count(*) > 0 FROM pg_tables WHERE schemaname = 'sluice'") == [
        (True,)]
    assert rows(sluice_made, "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
                             "AND tablename LIKE '%sluice%'") == []


def test_stock_mlflow_starts_on_it_and_changes_nothing(copy):
    before = catalog.catalog(copy)
    with Stock(copy) as stock:
        from mlflow import MlflowClient

        client = MlflowClient(stock.url)
        run = client.create_run("0").info.run_id
        client.log_metric(run, "m", 1.0)
        assert client.get_run(run).data.metrics == {"m": 1.0}
        assert client.create_experiment("first") == "1"
    assert catalog.differences(before, catalog.catalog(copy)) == []


def test_a_schema_that_stock_mlflow_made_is_used_unaltered(stock_made):
    before = catalog.catalog(stock_made)
    with Sluice(stock_made) as server:
        from mlflow import MlflowClient

        client = MlflowClient(server.url)
        run = client.create_run("0").info.run_id
        client.log_metric(run, "m", 1.0)
        assert client.get_run(run).data.metrics == {"m": 1.0}
    assert catalog.differences(before, catalog.catalog(stock_made)) == []


@pytest.mark.parametrize("spoil, names", [
    ("UPDATE alembic_version SET version_num = 'abcdef012345'", ["abcdef012345", HEAD]),
    ("UPDATE alembic_version SET version_num = '75868b020152'", ["75868b020152", HEAD]),
    ("DELETE FROM alembic_version", [HEAD]),
    ("INSERT INTO alembic_version VALUES ('abcdef012345')", [HEAD]),
    ("DROP TABLE latest_metrics", ["latest_metrics"]),
    ("DROP TABLE input_tags", ["input_tags"])])
def test_a_schema_that_does_not_fit_is_named_and_left_alone(copy, tmp_path, spoil, names):
    with psycopg.connect(copy) as pg:
        pg.execute(spoil)
    before = catalog.catalog(copy)
    said = start_and_fail(copy, tmp_path)
    for name in names:
        assert name in said
    assert catalog.differences(before, catalog.catalog(copy)) == []


def test_a_database_of_somebody_else_gets_the_schema_beside_its_own_tables(postgres, tmp_path):
    """Tables that are not MLflow's are none of our business."""
    postgres.drop_database("shared")
    uri = postgres.create_database("shared")
    with psycopg.connect(uri) as pg:
        pg.execute("CREATE TABLE theirs (id int); INSERT INTO theirs VALUES (7)")
    with Sluice(uri):
        assert rows(uri, "SELECT id FROM theirs") == [(7,)]
        assert rows(uri, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    postgres.drop_database("shared")


def test_a_database_that_is_not_there(postgres, tmp_path):
    said = start_and_fail(postgres.uri("nowhere"), tmp_path)
    assert "nowhere" in said


def test_sqlalchemy_driver_suffix_and_mlflow_variable(postgres, copy):
    """MLFLOW_BACKEND_STORE_URI is read when pg_uri is absent; +psycopg is SQLAlchemy's business."""
    uri = copy.replace("postgresql://", "postgresql+psycopg2://")
    with Sluice(None, env={"MLFLOW_BACKEND_STORE_URI": uri}):
        assert rows(copy, "SELECT count(*) > 0 FROM pg_stat_activity WHERE datname = "
                          "current_database() AND pid <> pg_backend_pid()") == [(True,)]


def test_password_is_not_shown(postgres, tmp_path):
    uri = f"postgresql://sluice:hunter2@/nowhere?host={postgres.folder}"
    assert "hunter2" not in start_and_fail(uri, tmp_path)
