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

        if (t->kind == TUNE_STATISTICS || t->kind == TUNE_TABLE)
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
