/* flusher: the whole way from the queue to the tables, with the database coming and going. */
#include "flush/flusher.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/flushtest.h"

static struct flusher *flusher;

static int group_setup(void **state)
{
    (void)state;
    pgtest_start();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    flushtest_begin();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flushtest_end();
    return 0;
}

static struct flusher *start(unsigned index, unsigned count)
{
    struct flusher_config c = {
        .queue = flushtest.queue,
        .settings = flushtest.settings,
        .pg_uri = flushtest.uri,
        .stats = flushtest.stats,
        .index = index,
        .count = count,
    };
    struct flusher *fl = NULL;

    assert_int_equal(flusher_start(&c, &fl, NULL), OK);
    return fl;
}

/* Asks it to end and returns how long that took. */
static uint64_t stop(struct flusher *fl, uint64_t patience_us)
{
    uint64_t before = clock_us();

    flusher_stop(fl, before + patience_us);
    flusher_join(fl);
    return clock_us() - before;
}

static bool is_connected(uint64_t wanted)
{
    return atomic_load(&flushtest.stats->flusher_connected) == wanted;
}

/* Every (run, step) of the test was written once, and the folded table agrees. */
static void assert_rows(long rows)
{
    assert_int_equal(pgtest_number("SELECT count(*) FROM metrics"), rows);
    assert_int_equal(pgtest_number("SELECT count(*) FROM (SELECT run_uuid, key, max(step) AS step"
                                   " FROM metrics GROUP BY 1, 2) m"
                                   " JOIN latest_metrics USING (run_uuid, key, step)"),
                     pgtest_number("SELECT count(*) FROM latest_metrics"));
}

static void test_points_become_rows_without_being_asked(void **state)
{
    pos_t end = 0;

    (void)state;
    flusher = start(0, 1);
    for (int i = 0; i < 200; i++)
        end = flushtest_point(i % 3 ? "run01" : "run02", "loss", i, i);
    flushtest_until(flushtest_is_committed, end, "the commit");
    assert_rows(200);
    assert_int_equal(atomic_load(&flushtest.stats->applied_points), 200);
    stop(flusher, 1000000);
    assert_true(is_connected(0));
}

static void test_flushers_share_the_partitions(void **state)
{
    struct stats *all[3] = {stats_new(), stats_new(), stats_new()};
    struct stats *own = flushtest.stats;
    struct flusher *flushers[3];
    uint64_t applied = 0;
    pos_t end = 0;
    char run[8];

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        flushtest.stats = all[i];
        flushers[i] = start(i, 3);
    }
    flushtest.stats = own;
    for (int i = 0; i < 400; i++) {
        snprintf(run, sizeof(run), "run%02d", i % 40 + 1);
        end = flushtest_point(run, "loss", i, i);
    }
    flushtest_until(flushtest_is_committed, end, "the commit of all three");
    assert_rows(400);
    for (unsigned i = 0; i < 3; i++) {
        stop(flushers[i], 1000000);
        assert_true(atomic_load(&all[i]->applied_points) > 0);
        applied += atomic_load(&all[i]->applied_points);
        stats_free(all[i]);
    }
    assert_int_equal(applied, 400);
}

static void test_a_stop_flushes_what_is_durable(void **state)
{
    struct point points[1000];

    (void)state;
    assert_int_equal(settings_set(flushtest.settings, STR("flush_interval"), STR("60s"), NULL), OK);
    assert_int_equal(settings_set(flushtest.settings, STR("flush_rows"), STR("2000"), NULL), OK);
    flusher = start(0, 1);
    flushtest_until(is_connected, 1, "the connection");
    for (int i = 0; i < 1000; i++)
        points[i] = (struct point){.key = STR("k")};
    for (int entry = 0; entry < 11; entry++) {
        for (int i = 0; i < 1000; i++)
            points[i].step = entry * 1000 + i;
        flushtest_append("run01", points, 1000);
    }
    queue_stop(flushtest.queue);
    stop(flusher, FLUSHTEST_PATIENCE_US);
    assert_rows(11000);
    assert_int_equal(queue_backlog_points(flushtest.queue), 0);
}

static void test_a_stop_ends_at_once_while_the_database_is_away(void **state)
{
    (void)state;
    flusher = start(0, 1);
    flushtest_until(is_connected, 1, "the connection");
    pgtest_server_down();
    flushtest_point("run01", "k", 1, 1);
    flushtest_until(is_connected, 0, "a failure");
    assert_true(stop(flusher, 60 * 1000000) < 2 * 1000000);
    assert_int_equal(queue_backlog_points(flushtest.queue), 1);
    /* Before it ever connected, too. */
    flusher = start(0, 1);
    assert_true(stop(flusher, 60 * 1000000) < 2 * 1000000);
    pgtest_server_up();
}

static void test_a_server_that_comes_back_gets_everything_once(void **state)
{
    pos_t end = 0;

    (void)state;
    flusher = start(0, 1);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++)
            end = flushtest_point("run01", "k", round, round * 100 + i);
        if (round == 2)
            break;
        pgtest_server_down();
        for (int i = 50; i < 100; i++)
            end = flushtest_point("run01", "k", round, round * 100 + i);
        pgtest_server_up();
    }
    flushtest_until(flushtest_is_committed, end, "the commit after the restarts");
    assert_rows(250);
    stop(flusher, 1000000);
}

/* Whatever moment a connection is cut at, COMMIT included. */
static void test_connections_cut_at_any_moment_cost_nothing(void **state)
{
    pos_t end = 0;

    (void)state;
    assert_int_equal(settings_set(flushtest.settings, STR("flush_interval"), STR("1ms"), NULL), OK);
    flusher = start(0, 1);
    for (int i = 0; i < 600; i++) {
        end = flushtest_point("run01", "k", i, i);
        if (i % 10 == 0)
            pgtest_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       " WHERE application_name LIKE 'sluice flusher%'");
    }
    flushtest_until(flushtest_is_committed, end, "the commit after the cuts");
    assert_rows(600);
    assert_int_equal(atomic_load(&flushtest.stats->repeated_points), 0);
    stop(flusher, 1000000);
}

static void test_an_unknown_revision_holds_until_it_is_known(void **state)
{
    pos_t end;

    (void)state;
    flusher = start(0, 1);
    flushtest_until(is_connected, 1, "the connection");
    pgtest_sql("UPDATE alembic_version SET version_num = 'future';"
               "ALTER TABLE metrics RENAME COLUMN is_nan TO was_nan");
    end = flushtest_point("run01", "k", 1, 1);
    flushtest_until(is_connected, 0, "the hold");
    pgtest_sql("UPDATE alembic_version SET version_num = 'dc11669786a5';"
               "ALTER TABLE metrics RENAME COLUMN was_nan TO is_nan");
    flushtest_until(flushtest_is_committed, end, "the commit after the hold");
    assert_rows(1);
    stop(flusher, 1000000);
}

static void restart(void)
{
    queue_stop(flushtest.queue);
    queue_close(flushtest.queue);
    flushtest_open_queue();
    flusher = start(0, 1);
}

static void test_a_restart_goes_on_where_the_positions_are(void **state)
{
    pos_t end = 0;

    (void)state;
    flusher = start(0, 1);
    for (int i = 0; i < 50; i++)
        end = flushtest_point("run01", "k", 1, i);
    flushtest_until(flushtest_is_committed, end, "the commit");
    stop(flusher, 1000000);
    for (int i = 50; i < 100; i++)
        flushtest_point("run01", "k", 1, i);
    restart();
    for (int i = 100; i < 150; i++)
        end = flushtest_point("run01", "k", 1, i);
    flushtest_until(flushtest_is_committed, end, "the commit after the restart");
    stop(flusher, 1000000);
    assert_rows(150);
    assert_int_equal(atomic_load(&flushtest.stats->repeated_points), 0);
    assert_int_equal(atomic_load(&flushtest.stats->applied_points), 150);
}

/* Fifty points are in; then PostgreSQL is as a standby that lacks all of them from step 20 on. */
static void lose_commits(void)
{
    pos_t since = 0, end = 0;
    char sql[256];

    flusher = start(0, 1);
    for (int i = 0; i < 20; i++)
        since = flushtest_point("run01", "k", 1, i);
    for (int i = 20; i < 50; i++)
        end = flushtest_point("run01", "k", 1, i);
    flushtest_until(flushtest_is_committed, end, "the commit");
    stop(flusher, 1000000);
    snprintf(sql, sizeof(sql),
             "DELETE FROM metrics WHERE step >= 20; UPDATE latest_metrics SET step = 19;"
             "UPDATE sluice.positions SET position = %llu",
             (unsigned long long)since);
    pgtest_sql(sql);
}

static void assert_a_restart_brings_them_back(void)
{
    pos_t end;

    restart();
    end = flushtest_point("run01", "k", 1, 50);
    flushtest_until(flushtest_is_committed, end, "the commit after the restart");
    assert_rows(51);
    stop(flusher, 1000000);
}

static void test_lost_commits_are_applied_again_from_the_journal(void **state)
{
    (void)state;
    lose_commits();
    assert_a_restart_brings_them_back();
    assert_int_equal(atomic_load(&flushtest.stats->repeated_points), 0);
}

/* A window that was committed meanwhile hides what is missing. */
static void test_without_positions_the_whole_journal_is_applied_again(void **state)
{
    (void)state;
    lose_commits();
    pgtest_sql("DELETE FROM sluice.positions");
    assert_a_restart_brings_them_back();
    assert_int_equal(atomic_load(&flushtest.stats->repeated_points), 20);
}

/* Somebody else has come further by this many bytes. */
static void put_positions_ahead(pos_t bytes)
{
    char sql[256];

    snprintf(sql, sizeof(sql),
             "INSERT INTO sluice.positions SELECT '%s', p, %llu FROM generate_series(0, 15) AS p"
             " ON CONFLICT (queue_id, partition) DO UPDATE SET position = excluded.position",
             queue_id(flushtest.queue),
             (unsigned long long)(queue_appended(flushtest.queue) + bytes));
    pgtest_sql(sql);
}

static bool has_seen_position(uint64_t pos)
{
    return __atomic_load_n(&flusher->link.session.positions[0], __ATOMIC_RELAXED) >= pos;
}

/* An older copy of the data directory: what is accepted now must not pass for applied. */
static void test_positions_ahead_of_the_journal_hold(void **state)
{
    pos_t begin = queue_appended(flushtest.queue);
    pos_t end = 0;

    (void)state;
    put_positions_ahead(1000);
    flusher = start(0, 1);
    for (int i = 0; i < 50; i++)
        end = flushtest_point("run01", "k", 1, i);
    assert_true(end > begin + 1000);
    flushtest_until(has_seen_position, begin + 1000, "the positions to be read");
    pgtest_sql("DELETE FROM sluice.positions");
    flushtest_until(flushtest_is_committed, end, "the commit after the hold");
    assert_rows(50);
    stop(flusher, 1000000);
}

/* A second process with a copy of the data directory, while we run. */
static void test_positions_moved_by_somebody_else_hold(void **state)
{
    pos_t end;

    (void)state;
    flusher = start(0, 1);
    end = flushtest_point("run01", "k", 1, 0);
    flushtest_until(flushtest_is_committed, end, "the first commit");
    put_positions_ahead(1000000);
    end = flushtest_point("run01", "k", 1, 1);
    flushtest_until(has_seen_position, end + 1, "the positions to be read");
    pgtest_sql("DELETE FROM sluice.positions");
    flushtest_until(flushtest_is_committed, end, "the commit after the hold");
    assert_rows(2);
    stop(flusher, 1000000);
}

static void test_a_hurry_closes_the_window(void **state)
{
    uint64_t before = clock_us();
    pos_t end;

    (void)state;
    assert_int_equal(settings_set(flushtest.settings, STR("flush_interval"), STR("60s"), NULL), OK);
    flusher = start(0, 1);
    end = flushtest_point("run01", "k", 1, 1);
    queue_hurry(flushtest.queue, queue_partition(STR("run01")));
    flushtest_until(flushtest_is_committed, end, "the hurried commit");
    assert_true(clock_us() - before < FLUSHTEST_PATIENCE_US);
    assert_rows(1);
    assert_true(stop(flusher, 60 * 1000000) < 5 * 1000000);
}

static void test_windows_grow_with_the_backlog_within_bounds(void **state)
{
    struct settings s = {.flush_rows = 50000};
    struct flusher fl = {0};

    (void)state;
    flusher_reload(&fl, &s);
    assert_int_equal(flusher_rows(&fl), 50000);
    fl.has_backlog = true;
    assert_int_equal(flusher_rows(&fl), 200000);
    s.flush_rows = 10;
    flusher_reload(&fl, &s);
    assert_int_equal(flusher_rows(&fl), 40);
    s.flush_rows = 1000000;
    flusher_reload(&fl, &s);
    assert_int_equal(flusher_rows(&fl), 1000000);
}

/* From the end of the last take; asked to stop, at once. */
static void test_when_a_window_closes(void **state)
{
    struct settings s = {
        .flush_rows = 50000, .flush_interval = 200000, .flush_interval_busy = 1000000};
    struct flusher fl = {.taken_us = 7000000};
    struct take_terms t;
    uint64_t before;

    (void)state;
    flusher_reload(&fl, &s);
    t = flusher_terms(&fl);
    assert_int_equal(t.max_points, 50000);
    assert_int_equal(t.deadline_us, 7200000);
    assert_int_equal(t.busy_points, FLUSHER_BUSY_POINTS);
    assert_int_equal(t.enough_points, 25000);
    assert_int_equal(t.busy_step_us, 200000);
    assert_int_equal(t.busy_deadline_us, 8000000);
    atomic_store(&fl.link.halt.is_asked, true);
    before = clock_us();
    t = flusher_terms(&fl);
    assert_true(t.deadline_us >= before && t.deadline_us <= clock_us());
    assert_int_equal(t.enough_points, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_points_become_rows_without_being_asked),
        TEST(test_flushers_share_the_partitions),
        TEST(test_a_stop_flushes_what_is_durable),
        TEST(test_a_stop_ends_at_once_while_the_database_is_away),
        TEST(test_a_server_that_comes_back_gets_everything_once),
        TEST(test_connections_cut_at_any_moment_cost_nothing),
        TEST(test_an_unknown_revision_holds_until_it_is_known),
        TEST(test_a_restart_goes_on_where_the_positions_are),
        TEST(test_lost_commits_are_applied_again_from_the_journal),
        TEST(test_without_positions_the_whole_journal_is_applied_again),
        TEST(test_positions_ahead_of_the_journal_hold),
        TEST(test_positions_moved_by_somebody_else_hold),
        TEST(test_a_hurry_closes_the_window),
        cmocka_unit_test(test_windows_grow_with_the_backlog_within_bounds),
        cmocka_unit_test(test_when_a_window_closes),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
