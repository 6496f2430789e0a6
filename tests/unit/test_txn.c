/* txn: what a window becomes in the database, against MLflow's storage rules. */
#include "flush/txn.c"

#include <math.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pgtest.h"

#define QUEUE "0123456789abcdef0123456789abcdef"

static struct pg_halt halt;
static struct session session;
static struct window window;
static struct arena arena;
static pos_t cursor;
static bool is_closed; /* the window is, since the last add */

static int group_setup(void **state)
{
    (void)state;
    pgtest_start();
    window_init(&window);
    arena_init(&arena, 4096);
    return pg_halt_init(&halt);
}

static int group_teardown(void **state)
{
    (void)state;
    window_fini(&window);
    arena_fini(&arena);
    pg_halt_fini(&halt);
    return 0;
}

static int setup(void **state)
{
    const char *uri = pgtest_database();

    (void)state;
    pgtest_sql("INSERT INTO runs (run_uuid, experiment_id, status, lifecycle_stage, start_time)"
               " SELECT 'run' || i, 0, 'RUNNING', 'active', 0 FROM generate_series(1, 5) i");
    session = (struct session){.queue_id = QUEUE, .mask = session_mask(0, 1)};
    cursor = 0;
    window_reset(&window);
    return session_open(&session, pgtest_terms(uri), 0, &halt, NULL);
}

static int teardown(void **state)
{
    (void)state;
    session_close(&session);
    return 0;
}

static void add(const char *run, const char *key, double value, int64_t timestamp, int64_t step)
{
    struct point p = {.key = str_of(key),
                      .value = isnan(value) ? 0 : value,
                      .timestamp = timestamp,
                      .step = step,
                      .is_nan = isnan(value)};
    struct batch b = {.points = &p, .npoints = 1};

    assert_true(run_id_set(&b.run, str_of(run)));
    window_add(&window, &b, 0, NULL);
    is_closed = false;
}

static err_t write_window(enum txn_mode mode, struct txn *t)
{
    struct fail f;
    err_t e;

    fail_init(&f, NULL);
    arena_reset(&arena);
    if (!is_closed)
        window_close(&window);
    is_closed = true;
    cursor += 64;
    *t = (struct txn){
        .session = &session, .window = &window, .mode = mode, .cursor = cursor, .arena = &arena};
    e = txn_write(t, &f);
    if (e)
        print_message("%.*s\n", STR_ARG(f.text));
    if (pg_is_open(&session.pg))
        assert_int_equal(PQtransactionStatus(session.pg.conn), PQTRANS_IDLE);
    return e;
}

/* Writes what was added, successfully. */
static uint64_t write_done(enum txn_mode mode)
{
    struct txn t;

    assert_int_equal(write_window(mode, &t), OK);
    assert_int_equal(t.verdict, TXN_DONE);
    window_reset(&window);
    return t.skipped;
}

static void assert_sql(const char *sql, const char *wanted)
{
    assert_string_equal(pgtest_text(sql), wanted);
}

#define LATEST                                                                       \
    "SELECT string_agg(format('%s %s %s %s %s %s', run_uuid, key, value, timestamp," \
    " step, is_nan), '; ' ORDER BY run_uuid, key) FROM latest_metrics"

static void test_rows_latest_and_positions_commit_together(void **state)
{
    (void)state;
    add("run2", "loss", 0.5, 1000, 1);
    add("run1", "loss", -0.0, 1000, -1);
    add("run1", "loss", 1.7976931348623157e308, 1001, INT64_MAX);
    add("run1", "acc", NAN, 0, INT64_MIN);
    assert_int_equal(write_done(TXN_DIRECT), 0);
    assert_sql("SELECT string_agg(format('%s %s %s %s %s %s', run_uuid, key, value, timestamp,"
               " step, is_nan), '; ' ORDER BY run_uuid, key, step) FROM metrics",
               "run1 acc 0 0 -9223372036854775808 t; run1 loss -0 1000 -1 f;"
               " run1 loss 1.7976931348623157e+308 1001 9223372036854775807 f;"
               " run2 loss 0.5 1000 1 f");
    assert_sql(LATEST, "run1 acc 0 0 -9223372036854775808 t;"
                       " run1 loss 1.7976931348623157e+308 1001 9223372036854775807 f;"
                       " run2 loss 0.5 1000 1 f");
    assert_sql("SELECT min(position) || ' ' || max(position) || ' ' || count(*)"
               " FROM sluice.positions",
               "64 64 16");
    assert_int_equal(session.positions[7], 64);
}

static void test_latest_grows_by_step_time_and_value_only(void **state)
{
    (void)state;
    add("run1", "k", 1, 10, 5);
    write_done(TXN_DIRECT);
    add("run1", "k", 9, 99, 4); /* a later time at a lower step */
    write_done(TXN_DIRECT);
    assert_sql(LATEST, "run1 k 1 10 5 f");
    add("run1", "k", 0.5, 10, 5); /* a smaller value */
    write_done(TXN_DIRECT);
    assert_sql(LATEST, "run1 k 1 10 5 f");
    add("run1", "k", 2, 10, 5);
    write_done(TXN_DIRECT);
    assert_sql(LATEST, "run1 k 2 10 5 f");
    add("run1", "k", -7, 11, 5);
    write_done(TXN_DIRECT);
    assert_sql(LATEST, "run1 k -7 11 5 f");
    add("run1", "k", NAN, 0, 6);
    write_done(TXN_DIRECT);
    add("run1", "k", 0, 0, 6); /* ties with NaN: the stored one stays */
    write_done(TXN_DIRECT);
    assert_sql(LATEST, "run1 k 0 0 6 t");
    add("run1", "k", -5, 0, 7);
    write_done(TXN_DIRECT);
    add("run1", "k", NAN, 0, 7); /* 0 > -5 */
    write_done(TXN_DIRECT);
    assert_sql(LATEST, "run1 k 0 0 7 t");
    assert_sql("SELECT count(*) FROM metrics", "9");
}

static void test_a_repeat_fails_directly_and_is_skipped_staged(void **state)
{
    struct txn t;

    (void)state;
    add("run1", "k", 1, 1, 1);
    write_done(TXN_DIRECT);
    add("run1", "k", 1, 1, 1);
    add("run1", "k", 1, 1, 2);
    assert_int_equal(write_window(TXN_DIRECT, &t), ERR_PG_REPEAT);
    assert_sql("SELECT count(*) || ' ' || (SELECT max(position) FROM sluice.positions)"
               " FROM metrics",
               "1 64");
    assert_int_equal(write_done(TXN_STAGED), 1);
    assert_sql("SELECT count(*) FROM metrics", "2");
    assert_sql(LATEST, "run1 k 1 1 2 f");
    /* The stage is empty for the next window, and made once. */
    add("run1", "k", 1, 1, 3);
    assert_int_equal(write_done(TXN_STAGED), 0);
    assert_sql("SELECT count(*) FROM metrics", "3");
}

static void test_missing_runs_are_named_and_nothing_is_written(void **state)
{
    struct txn t;

    (void)state;
    add("run1", "k", 1, 1, 1);
    add("gone", "k", 1, 1, 1);
    add("run3", "k", 1, 1, 1);
    assert_int_equal(write_window(TXN_DIRECT, &t), OK);
    assert_int_equal(t.verdict, TXN_LACKS_RUNS);
    assert_false(t.has_run[names_find(&window.runs, STR("gone"))]);
    assert_true(t.has_run[names_find(&window.runs, STR("run1"))]);
    assert_true(t.has_run[names_find(&window.runs, STR("run3"))]);
    assert_sql("SELECT count(*) || ' ' || (SELECT max(position) FROM sluice.positions)"
               " FROM metrics",
               "0 0");
}

static void test_the_run_cannot_go_while_its_rows_come(void **state)
{
    PGconn *gc = PQconnectdb(pgtest.uri);
    PGresult *r;

    (void)state;
    /* gc has the run locked: the window waits, and gives up in time rather than adding orphans. */
    pgtest_exec_on(gc, "BEGIN; DELETE FROM runs WHERE run_uuid = 'run1'");
    assert_int_equal(pg_run(&session.pg, "SET lock_timeout = '50ms'", NULL), OK);
    add("run1", "k", 1, 1, 1);
    {
        struct txn t;

        assert_int_equal(write_window(TXN_DIRECT, &t), ERR_PG);
        assert_string_equal(session.pg.sqlstate, "55P03");
        r = PQexec(gc, "COMMIT");
        PQclear(r);
        assert_int_equal(write_window(TXN_DIRECT, &t), OK);
        assert_int_equal(t.verdict, TXN_LACKS_RUNS);
    }
    PQfinish(gc);
    assert_sql("SELECT count(*) FROM metrics", "0");
}

static void test_positions_moved_by_others_are_noticed(void **state)
{
    struct txn t;

    (void)state;
    pgtest_sql("UPDATE sluice.positions SET position = 1000 WHERE partition = 3");
    add("run1", "k", 1, 1, 1);
    assert_int_equal(write_window(TXN_DIRECT, &t), OK);
    assert_int_equal(t.verdict, TXN_MOVED);
    assert_int_equal(session.positions[3], 1000);
    assert_sql("SELECT count(*) FROM metrics", "0");
    /* Now it is known; and a position never goes back. */
    assert_int_equal(write_done(TXN_DIRECT), 0);
    assert_sql("SELECT min(position) || ' ' || max(position) FROM sluice.positions", "128 1000");
    pgtest_sql("DELETE FROM sluice.positions WHERE partition = 1");
    add("run1", "k", 1, 1, 2);
    assert_int_equal(write_window(TXN_DIRECT, &t), ERR_PG);
    assert_false(pg_is_open(&session.pg));
}

static void test_an_empty_window_moves_the_positions(void **state)
{
    (void)state;
    write_done(TXN_DIRECT);
    write_done(TXN_STAGED);
    assert_sql("SELECT min(position) FROM sluice.positions", "128");
}

static void test_nothing_commits_under_another_revision(void **state)
{
    struct txn t;

    (void)state;
    pgtest_sql("UPDATE alembic_version SET version_num = 'ffffffffffff'");
    add("run1", "a", 1, 1, 1);
    assert_int_equal(write_window(TXN_DIRECT, &t), ERR_SCHEMA);
    assert_int_equal(write_window(TXN_STAGED, &t), ERR_SCHEMA);
    assert_sql("SELECT count(*) FROM metrics", "0");
    assert_sql("SELECT max(position) FROM sluice.positions", "0");
    pgtest_sql("UPDATE alembic_version SET version_num = 'dc11669786a5'");
    write_done(TXN_DIRECT);
    assert_sql("SELECT count(*) FROM metrics", "1");
}

static void test_a_trial_leaves_nothing_behind(void **state)
{
    struct txn t;

    (void)state;
    add("run1", "k", 1, 1, 1);
    assert_int_equal(write_window(TXN_TRIAL, &t), OK);
    assert_int_equal(t.verdict, TXN_DONE);
    assert_sql("SELECT count(*) || ' ' || (SELECT max(position) FROM sluice.positions)"
               " FROM metrics",
               "0 0");
    add("run1", "bad\xff", 1, 1, 1);
    assert_int_equal(write_window(TXN_TRIAL, &t), ERR_PG_ROW);
    assert_string_equal(session.pg.sqlstate, "22021");
}

static void test_refused_rows_undo_the_window(void **state)
{
    char longest[300];
    struct txn t;

    (void)state;
    memset(longest, 'k', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = 0;
    add("run1", "k", 1, 1, 1);
    add("run1", longest, 1, 1, 1);
    assert_int_equal(write_window(TXN_DIRECT, &t), ERR_PG_ROW);
    assert_string_equal(session.pg.sqlstate, "22001");
    assert_sql("SELECT count(*) FROM metrics", "0");
}

static void test_model_metrics(void **state)
{
    struct point p[3] = {
        {.key = STR_INIT("k"),
         .value = 2,
         .timestamp = 1,
         .step = 1,
         .model_id = STR_INIT("m-1"),
         .dataset_name = STR_INIT("d"),
         .dataset_digest = STR_INIT("x")},
        {.key = STR_INIT("k"), .value = 3, .timestamp = 1, .step = 1, .model_id = STR_INIT("m-1")},
        {.key = STR_INIT("k"),
         .timestamp = 1,
         .step = 2,
         .is_nan = true,
         .model_id = STR_INIT("m-2")}};
    struct batch b = {.points = p, .npoints = 3};
    struct txn t;

    (void)state;
    pgtest_sql("INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage)"
               " VALUES (9, 'nine', 'x', 'active');"
               "UPDATE runs SET experiment_id = 9 WHERE run_uuid = 'run1';"
               "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
               " creation_timestamp_ms, last_updated_timestamp_ms, status)"
               " VALUES ('m-1', 9, 'n', 'x', 0, 0, 1)");
    assert_true(run_id_set(&b.run, STR("run1")));
    window_add(&window, &b, 0, NULL);
    is_closed = false;
    assert_int_equal(write_window(TXN_DIRECT, &t), OK);
    assert_int_equal(t.verdict, TXN_LACKS_MODELS);
    assert_true(t.has_model[0]);
    assert_false(t.has_model[1]);
    pgtest_sql("INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
               " creation_timestamp_ms, last_updated_timestamp_ms, status)"
               " VALUES ('m-2', 9, 'n', 'x', 0, 0, 1)");
    assert_int_equal(write_window(TXN_DIRECT, &t), OK);
    assert_int_equal(t.verdict, TXN_DONE);
    assert_sql("SELECT string_agg(concat_ws(' ', model_id, metric_name, metric_timestamp_ms,"
               " metric_step, metric_value, experiment_id, run_id, dataset_name, dataset_digest,"
               " dataset_uuid IS NULL), '; ' ORDER BY model_id) FROM logged_model_metrics",
               "m-1 k 1 1 2 9 run1 d x t; m-2 k 1 2 0 9 run1 t");
    assert_sql("SELECT count(*) FROM metrics", "3");
}

/* A stock server folds and locks the same rows; neither may lose the greater one. */
static void test_latest_meets_a_concurrent_writer(void **state)
{
    PGconn *stock = PQconnectdb(pgtest.uri);
    struct txn t;

    (void)state;
    add("run1", "k", 1, 1, 1);
    write_done(TXN_DIRECT);
    pgtest_exec_on(stock, "BEGIN; SELECT * FROM latest_metrics WHERE run_uuid = 'run1' FOR UPDATE;"
                          "UPDATE latest_metrics SET step = 10 WHERE run_uuid = 'run1'");
    assert_int_equal(pg_run(&session.pg, "SET lock_timeout = '50ms'", NULL), OK);
    add("run1", "k", 1, 1, 5);
    assert_int_equal(write_window(TXN_DIRECT, &t), ERR_PG);
    pgtest_exec_on(stock, "COMMIT");
    write_done(TXN_DIRECT);
    assert_sql(LATEST, "run1 k 1 1 10 f");
    PQfinish(stock);
}

static void test_position_first_is_the_breakage_it_claims_to_be(void **state)
{
    struct txn t;

    (void)state;
    session.is_position_first = true;
    add("run1", "bad\xff", 1, 1, 1);
    assert_int_equal(write_window(TXN_DIRECT, &t), ERR_PG_ROW);
    assert_sql("SELECT max(position) FROM sluice.positions", "64"); /* without its rows */
    window_reset(&window);
    add("run1", "k", 1, 1, 1);
    write_done(TXN_DIRECT);
    assert_sql("SELECT count(*) FROM metrics", "1");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

/* A shared queue: partitions come and go, and each has a position of its own, which never goes
 * back. */
static void test_each_partition_may_have_its_own_cursor(void **state)
{
    pos_t cursors[QUEUE_PARTITIONS_MAX] = {[3] = 30, [40] = 400};
    static const char sql[] =
        "SELECT string_agg(partition || ':' || position, ' ' ORDER BY partition)"
        " FROM sluice.positions WHERE position > 0";
    struct txn t = {.session = &session,
                    .window = &window,
                    .mode = TXN_DIRECT,
                    .cursors = cursors,
                    .arena = &arena};

    (void)state;
    assert_int_equal(session_own(&session, (uint64_t)1 << 3 | (uint64_t)1 << 40, NULL), OK);
    add("run1", "k", 1, 1, 1);
    window_close(&window);
    assert_int_equal(txn_write(&t, NULL), OK);
    assert_int_equal(t.verdict, TXN_DONE);
    assert_sql(sql, "3:30 40:400");
    assert_int_equal(session.positions[40], 400);
    assert_int_equal(session_own(&session, (uint64_t)1 << 40, NULL), OK);
    cursors[3] = 99;
    cursors[40] = 10;
    window_reset(&window);
    window_close(&window);
    assert_int_equal(txn_write(&t, NULL), OK);
    assert_sql(sql, "3:30 40:400");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows_latest_and_positions_commit_together),
        TEST(test_latest_grows_by_step_time_and_value_only),
        TEST(test_a_repeat_fails_directly_and_is_skipped_staged),
        TEST(test_missing_runs_are_named_and_nothing_is_written),
        TEST(test_the_run_cannot_go_while_its_rows_come),
        TEST(test_positions_moved_by_others_are_noticed),
        TEST(test_an_empty_window_moves_the_positions),
        TEST(test_each_partition_may_have_its_own_cursor),
        TEST(test_nothing_commits_under_another_revision),
        TEST(test_a_trial_leaves_nothing_behind),
        TEST(test_refused_rows_undo_the_window),
        TEST(test_model_metrics),
        TEST(test_latest_meets_a_concurrent_writer),
        TEST(test_position_first_is_the_breakage_it_claims_to_be),
    };

    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
