"""The tables of users: made as stock MLflow makes them, refused when they are another revision's."""

import psycopg
import pytest

import catalog
from auth import ENVIRONMENT, guarded
from server import Stock
from test_auth import refused

HEAD = "f1a2b3c4d5e6"


def stock_ini(folder, uri):
    path = folder / "stock.ini"
    uri = uri.replace("postgresql://", "postgresql+psycopg://", 1).replace("%", "%%")
    path.write_text(f"[mlflow]\ndefault_permission = READ\nadmin_username = admin\ndatabase_uri = {uri}\n")
    return {**ENVIRONMENT, "MLFLOW_AUTH_CONFIG_PATH": str(path)}


@pytest.fixture(scope="module")
def stock_made(postgres, tmp_path_factory):
    uri = postgres.create_database("auth_stock_made")
    with Stock(uri, env=stock_ini(tmp_path_factory.mktemp("ini"), uri), args=["--app-name", "basic-auth"]):
        pass
    yield uri
    postgres.drop_database("auth_stock_made")


@pytest.fixture(scope="module")
def sluice_made(postgres):
    uri = postgres.create_database("auth_sluice_made")
    with guarded(uri):
        pass
    yield uri
    postgres.drop_database("auth_sluice_made")


@pytest.fixture
def copy(postgres, sluice_made):
    postgres.drop_database("auth_copy")
    yield postgres.create_database("auth_copy", template="auth_sluice_made")
    postgres.drop_database("auth_copy")


def test_the_catalog_equals_that_of_stock_mlflow(sluice_made, stock_made):
    ours = catalog.catalog(sluice_made, with_auth=True)
    assert catalog.AUTH_TABLES <= catalog.tables(ours)
    assert catalog.differences(ours, catalog.catalog(stock_made, with_auth=True)) == []


def test_the_first_rows_equal_those_of_stock_mlflow(sluice_made, stock_made):
    for query in ("SELECT * FROM alembic_version_auth", "SELECT id, username, is_admin FROM users",
                  "SELECT split_part(password_hash, '$', 1), length(password_hash) FROM users",
                  "SELECT count(*) FROM roles", "SELECT nextval('users_id_seq')"):
        with psycopg.connect(sluice_made) as ours, psycopg.connect(stock_made) as theirs:
            assert ours.execute(query).fetchall() == theirs.execute(query).fetchall(), query


def test_a_schema_that_stock_mlflow_made_is_used_unaltered(stock_made):
    before = catalog.catalog(stock_made, with_auth=True)
    with guarded(stock_made):
        pass
    assert catalog.differences(before, catalog.catalog(stock_made, with_auth=True)) == []


def test_stock_mlflow_starts_on_it_and_changes_nothing(copy, tmp_path):
    before = catalog.catalog(copy, with_auth=True)
    with Stock(copy, env=stock_ini(tmp_path, copy), args=["--app-name", "basic-auth"]) as stock:
        from auth import ADMIN, status
        assert status(stock, ADMIN) == 200
    assert catalog.differences(before, catalog.catalog(copy, with_auth=True)) == []


@pytest.mark.parametrize("spoil, names", [
    ("UPDATE alembic_version_auth SET version_num = 'abcdef012345'", ["abcdef012345", HEAD]),
    ("DELETE FROM alembic_version_auth", [HEAD]),
    ("DROP TABLE alembic_version_auth", ["alembic_version_auth"]),
    ("DROP TABLE workspace_permissions", ["workspace_permissions"])])
def test_tables_that_do_not_fit_are_named_and_left_alone(copy, tmp_path, spoil, names):
    with psycopg.connect(copy) as pg:
        pg.execute(spoil)
    before = catalog.catalog(copy, with_auth=True)
    said = refused(copy, tmp_path, ENVIRONMENT)
    for name in names:
        assert name in said
    assert catalog.differences(before, catalog.catalog(copy, with_auth=True)) == []
