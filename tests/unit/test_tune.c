/*
 * tune: every row can be applied and reverted, and what an interrupted one left is mended. Against a
 * real PostgreSQL; that nothing else changes is tests/api/test_tune.py's.
 */
#include "schema/tune.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

#include "tests/unit/pgtest.h"

static struct arena arena;
static struct fail why;
static PGconn *conn;

static void fresh(void)
{
    PQfinish(conn);
    conn = PQconnectdb(pgtest_database());
    PQclear(PQexec(conn, "SET client_min_messages = warning")); /* tune_lock does that */
    fail_init(&why, &arena);
}

static enum tune_state state_of(const struct tune_change *t)
{
    enum tune_state state;
    long long bytes;

    assert_int_equal(tune_look(conn, t, &state, &bytes, &why), OK);
    return state;
}

/* An index as a killed CREATE INDEX CONCURRENTLY leaves it. */
static void break_index(const char *name)
{
    char sql[256];

    snprintf(sql, sizeof(sql),
             "UPDATE pg_index SET indisvalid = false WHERE indexrelid = '%s'::regclass", name);
    pgtest_sql(sql);
}

static void test_every_change_is_applied_and_reverted(void **state)
{
    (void)state;
    fresh();
    for (int round = 0; round < 2; round++) { /* the second finds what the first left */
        for (size_t i = 0; i < tune_count; i++) {
            assert_int_equal(state_of(&tune_changes[i]), TUNE_IS_OFF);
            for (int again = 0; again < 2; again++)
                assert_int_equal(tune_apply(conn, &tune_changes[i], &why), OK);
            assert_int_equal(state_of(&tune_changes[i]), TUNE_IS_ON);
        }
        for (size_t i = tune_count; i-- > 0;) {
            for (int again = 0; again < 2; again++)
                assert_int_equal(tune_revert(conn, &tune_changes[i], &why), OK);
        }
    }
}

static void test_a_broken_index_is_made_again_or_removed(void **state)
{
    (void)state;
    fresh();
    for (size_t i = 0; i < tune_count; i++) {
        const struct tune_change *t = &tune_changes[i];

        if (t->kind == TUNE_STATISTICS || t->kind == TUNE_TABLE || t->kind == TUNE_PRIMARY)
            continue;
        if (t->kind == TUNE_INDEX)
            assert_int_equal(tune_apply(conn, t, &why), OK);
        break_index(t->object);
        assert_int_equal(state_of(t), TUNE_IS_BROKEN);
        assert_int_equal(tune_apply(conn, t, &why), OK);
        assert_int_equal(state_of(t), TUNE_IS_ON);
        if (t->kind == TUNE_NO_INDEX)
            assert_int_equal(tune_revert(conn, t, &why), OK);
        break_index(t->object);
        assert_int_equal(tune_revert(conn, t, &why), OK);
        assert_int_equal(state_of(t), TUNE_IS_OFF);
    }
}

/* The key and the indexes beside it, as text. */
static void assert_key(const char *columns, bool has_covered)
{
    char sql[512];

    snprintf(sql, sizeof(sql),
             "SELECT count(*) FROM pg_index WHERE indrelid = 'metrics'::regclass AND indisprimary"
             " AND indisvalid AND indexrelid = 'metric_pk'::regclass"
             " AND replace(pg_get_indexdef(indexrelid), '\"', '') LIKE '%%(%s)'",
             columns);
    assert_int_equal(pgtest_number(sql), 1);
    assert_int_equal(pgtest_number("SELECT count(*) FROM pg_index WHERE indrelid ="
                                   " 'metrics'::regclass AND indisvalid"),
                     has_covered ? 3 : 2);
    assert_int_equal(pgtest_number("SELECT count(*) FROM pg_constraint WHERE conrelid ="
                                   " 'metrics'::regclass AND conname = 'metric_pk'"),
                     1);
}

/* Whatever an interruption left beside the key, both ways lead on from there. */
static void test_the_key_is_turned_from_every_state_that_a_kill_leaves(void **state)
{
    static const char *const left[] = {
        "SELECT 1",
        TUNE_KEY_BUILD(TUNE_KEY_OURS),
        TUNE_KEY_BUILD(TUNE_KEY_STOCK),
        TUNE_KEY_BUILD(TUNE_KEY_OURS) "|broken",
        "CREATE INDEX IF NOT EXISTS " TUNE_KEY_COVERED " ON metrics (run_uuid, key, step)",
    };
    const struct tune_change *t = tune_find("metrics_primary_key");

    (void)state;
    for (size_t i = 0; i < 4 * array_len(left); i++) {
        const char *sql = left[i / 4];
        const char *bar = strchr(sql, '|');
        char text[256];

        fresh();
        if (i & 1) /* as found from there */
            assert_int_equal(tune_apply(conn, t, &why), OK);
        snprintf(text, sizeof(text), "%.*s", bar ? (int)(bar - sql) : (int)strlen(sql), sql);
        pgtest_sql(text);
        if (bar)
            break_index(TUNE_KEY_SPARE);
        if (strstr(sql, TUNE_KEY_SPARE))
            assert_int_equal(state_of(t), TUNE_IS_BROKEN);
        if (i & 2) {
            assert_int_equal(tune_revert(conn, t, &why), OK);
            assert_int_equal(state_of(t), TUNE_IS_OFF);
            assert_key(TUNE_KEY_STOCK, true);
        } else {
            assert_int_equal(tune_apply(conn, t, &why), OK);
            assert_int_equal(state_of(t), TUNE_IS_ON);
            assert_key(TUNE_KEY_OURS, false);
        }
    }
}

static void test_a_key_that_is_whole_is_not_built_again(void **state)
{
    const struct tune_change *t = tune_find("metrics_primary_key");
    int64_t oid;

    (void)state;
    fresh();
    pgtest_sql(TUNE_KEY_BUILD(TUNE_KEY_OURS));
    oid = pgtest_number("SELECT '" TUNE_KEY_SPARE "'::regclass::oid::int8");
    assert_int_equal(tune_apply(conn, t, &why), OK);
    assert_int_equal(pgtest_number("SELECT '" TUNE_KEY "'::regclass::oid::int8"), oid);
}

static void test_another_key_is_left_alone(void **state)
{
    const struct tune_change *t = tune_find("metrics_primary_key");

    (void)state;
    fresh();
    pgtest_sql("ALTER TABLE metrics DROP CONSTRAINT metric_pk,"
               " ADD CONSTRAINT metric_pk PRIMARY KEY (run_uuid, key, step)");
    assert_int_equal(state_of(t), TUNE_CANNOT);
    assert_int_equal(tune_apply(conn, t, &why), ERR_SCHEMA);
    assert_int_equal(state_of(t), TUNE_CANNOT);
    assert_int_equal(pgtest_number("SELECT count(*) FROM pg_index WHERE indrelid ="
                                   " 'metrics'::regclass AND indnkeyatts = 3"),
                     2);
}

static void test_only_one_works_at_a_time(void **state)
{
    PGconn *other;

    (void)state;
    fresh();
    assert_int_equal(tune_lock(conn, &why), OK);
    other = PQconnectdb(pgtest.uri);
    assert_int_equal(tune_lock(other, &why), ERR_CONFLICT);
    PQfinish(other);
}

static void test_a_refusal_is_told(void **state)
{
    char text[512];

    (void)state;
    fresh();
    pgtest_sql("ALTER TABLE params RENAME TO parameters");
    assert_int_equal(tune_apply(conn, tune_find("params_value"), &why), ERR_SCHEMA);
    str_to_cstr(why.text, text, sizeof(text));
    assert_non_null(strstr(text, "42P01"));
    assert_null(tune_find("no_such_change"));
}

/* An update of every row of a page finds room on it, so the index need not know. */
static void test_updates_of_latest_metrics_leave_the_index_alone(void **state)
{
    (void)state;
    fresh();
    assert_int_equal(tune_apply(conn, tune_find("latest_metrics_fill"), &why), OK);
    pgtest_sql("INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage)"
               " VALUES (repeat('r', 32), 0, 'active')");
    pgtest_sql("INSERT INTO latest_metrics SELECT 'k' || i, 0, 1, 0, false, repeat('r', 32)"
               " FROM generate_series(1, 2000) i");
    pgtest_sql("CREATE TABLE places AS SELECT key, (ctid::text::point)[0] AS page"
               " FROM latest_metrics");
    for (int step = 1; step <= 3; step++) {
        pgtest_sql("UPDATE latest_metrics SET step = step + 1, value = step");
        assert_int_equal(pgtest_number("SELECT count(*) FROM latest_metrics l JOIN places p USING"
                                       " (key) WHERE (l.ctid::text::point)[0] <> p.page"),
                         0);
    }
}

/* A long value must still be stored: it is what the index leaves out. */
static void test_the_longest_values_fit(void **state)
{
    (void)state;
    fresh();
    for (size_t i = 0; i < tune_count; i++)
        assert_int_equal(tune_apply(conn, &tune_changes[i], &why), OK);
    pgtest_sql("INSERT INTO runs (run_uuid, experiment_id, lifecycle_stage)"
               " VALUES (repeat('r', 32), 0, 'active')");
    pgtest_sql("INSERT INTO params (key, value, run_uuid) SELECT k.key, v.value, repeat('r', 32)"
               " FROM (VALUES (250, 1000), (249, 1001), (248, 8000)) AS n (key, value),"
               /* four bytes a character, and no two parts alike, or it is compressed */
               " LATERAL (SELECT string_agg(chr(65536 + (i * 7919) % 60000), '') AS key"
               "  FROM generate_series(1, n.key) AS i) AS k,"
               " LATERAL (SELECT left(string_agg(md5(i::text), ''), n.value) AS value"
               "  FROM generate_series(1, 260) AS i) AS v");
    pgtest_sql("INSERT INTO tags SELECT * FROM params");
    assert_int_equal(pgtest_number("SELECT count(*) FROM tags"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_change_is_applied_and_reverted),
        cmocka_unit_test(test_a_broken_index_is_made_again_or_removed),
        cmocka_unit_test(test_the_key_is_turned_from_every_state_that_a_kill_leaves),
        cmocka_unit_test(test_a_key_that_is_whole_is_not_built_again),
        cmocka_unit_test(test_another_key_is_left_alone),
        cmocka_unit_test(test_only_one_works_at_a_time),
        cmocka_unit_test(test_a_refusal_is_told),
        cmocka_unit_test(test_updates_of_latest_metrics_leave_the_index_alone),
        cmocka_unit_test(test_the_longest_values_fit),
    };
    int failed;

    pgtest_start();
    arena_init(&arena, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    PQfinish(conn);
    arena_fini(&arena);
    return failed;
}
