"""The oracle itself: a check that cannot fail proves nothing, so each breakage is shown to it."""

import pytest

import oracle

RUN = "a" * 32
POINTS = [("loss", 0.5, 1, 1), ("loss", 0.25, 2, 2), ("loss", float("nan"), 3, 2),
          ("acc", float("inf"), 1, 7)]
SQL_METRIC = "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES "
SQL_LATEST = "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) VALUES "


@pytest.fixture
def pg(postgres):
    """The two tables, without keys: the oracle must not lean on them."""
    import psycopg

    with psycopg.connect(postgres.uri("postgres")) as connection:
        for table in ("metrics", "latest_metrics"):
            connection.execute(
                f"CREATE TEMPORARY TABLE {table} (key text, value float8, timestamp int8, "
                "step int8, is_nan bool, run_uuid text)")
        for key, value, timestamp, step, is_nan in map(oracle.as_stored, POINTS):
            connection.execute(SQL_METRIC + "(%s, %s, %s, %s, %s, %s)",
                               (key, value, timestamp, step, is_nan, RUN))
        connection.execute(SQL_LATEST + "('loss', 0, 3, 2, true, %s)", (RUN,))
        connection.execute(SQL_LATEST + "('acc', %s, 1, 7, false, %s)", (oracle.LARGEST, RUN))
        yield connection
        connection.rollback()


@pytest.fixture
def ledger():
    book = oracle.Ledger()
    book.sent(RUN, POINTS)
    book.acked(RUN, POINTS)
    return book


def test_all_is_well(pg, ledger):
    assert oracle.check(pg, ledger) == []


def test_sent_but_not_acked_may_be_there_or_not(pg, ledger):
    ledger.sent(RUN, [("loss", 9.0, 9, 9)])
    assert oracle.check(pg, ledger) == []
    ledger.acked_points[RUN].discard(oracle.as_stored(POINTS[0]))
    assert oracle.check(pg, ledger) == []


@pytest.mark.parametrize("breakage, says", [
    ("DELETE FROM metrics WHERE value = 0.5", "acked but not stored"),
    (SQL_METRIC + f"('loss', 1, 0, 0, false, '{RUN}')", "stored but never sent"),
    ("INSERT INTO metrics SELECT * FROM metrics WHERE value = 0.5", "stored twice"),
    ("DELETE FROM latest_metrics WHERE key = 'acc'", "latest_metrics lacks"),
    (SQL_LATEST + f"('x', 1, 0, 0, false, '{RUN}')", "which metrics has not"),
    ("UPDATE latest_metrics SET step = 1 WHERE key = 'loss'", "should be"),
    ("UPDATE latest_metrics SET is_nan = false WHERE key = 'loss'", "should be")])
def test_breakage_is_seen(pg, ledger, breakage, says):
    pg.execute(breakage)
    assert any(says in problem for problem in oracle.check(pg, ledger))


def test_ties_may_stand_either_way(pg, ledger):
    ledger.sent(RUN, [("loss", 0.0, 3, 2)])
    pg.execute(SQL_METRIC + "('loss', 0, 3, 2, false, %s)", (RUN,))
    assert oracle.check(pg, ledger) == []
    pg.execute("UPDATE latest_metrics SET is_nan = false WHERE key = 'loss'")
    assert oracle.check(pg, ledger) == []
