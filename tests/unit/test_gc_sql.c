/*
 * Tests of gateway/gc/gc_sql.c: arrays as PostgreSQL reads them back, and whose failures may pass.
 */
#include "gateway/gc/gc_sql.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pgtest.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1024);
    pgtest_sql("SELECT 1"); /* connects */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void test_arrays_come_back_as_they_went(void **state)
{
    static struct str items[] = {STR_INIT("a"),    STR_INIT(""),     STR_INIT("NULL"),
                                 STR_INIT("a\"b"), STR_INIT("\\"),   STR_INIT("{,}"),
                                 STR_INIT(" x "),  STR_INIT("\\\""), STR_INIT("\xC3\xA9\n")};
    struct gc_sql c = {.conn = pgtest.conn};
    const char *values[] = {NULL};
    struct gc_ids none = {NULL, 0};
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    for (size_t n = 0; n <= array_len(items); n++) {
        struct gc_ids ids = {items, n};
        PGresult *res;

        values[0] = gc_sql_array(&arena, &ids);
        assert_int_equal(gc_sql_ask(&c, "SELECT unnest($1::text[])", values, 1, &res, &f), OK);
        assert_int_equal(PQntuples(res), n);
        for (size_t i = 0; i < n; i++)
            assert_true(str_eq(gc_sql_get(res, (int)i, 0), items[i]));
        assert_int_equal(gc_sql_touched(res), n);
        PQclear(res);
    }
    assert_string_equal(gc_sql_array(&arena, &none), "{}");
}

static void test_a_refusal_keeps_its_sqlstate(void **state)
{
    struct gc_sql c = {.conn = pgtest.conn};
    PGresult *res = (PGresult *)&c;
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    assert_int_equal(gc_sql_ask(&c, "SELECT 1/0", NULL, 0, &res, &f), ERR_PG);
    assert_null(res);
    assert_string_equal(c.sqlstate, "22012");
    assert_non_null(strstr(f.text.p, "division by zero"));
    assert_false(gc_sql_is_crossed(&c));
}

static void test_failures_that_may_pass(void **state)
{
    static const struct {
        const char *sqlstate;
        bool is_crossed;
    } rows[] = {{"40P01", true}, {"40001", true},  {"55P03", true}, {"", false},
                {"40P0", false}, {"57014", false}, {"23503", false}};

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct gc_sql c = {0};

        snprintf(c.sqlstate, sizeof(c.sqlstate), "%s", rows[i].sqlstate);
        assert_int_equal(gc_sql_is_crossed(&c), rows[i].is_crossed);
    }
}

static void test_a_transaction_is_ended_once(void **state)
{
    struct gc_sql c = {.conn = pgtest.conn};
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    gc_sql_rollback(&c); /* nothing is open */
    assert_int_equal(gc_sql_begin(&c, &f), OK);
    assert_int_equal(PQtransactionStatus(c.conn), PQTRANS_INTRANS);
    gc_sql_rollback(&c);
    assert_int_equal(PQtransactionStatus(c.conn), PQTRANS_IDLE);
    assert_int_equal(gc_sql_begin(&c, &f), OK);
    assert_int_equal(gc_sql_commit(&c, &f), OK);
    assert_false(c.is_open);
    assert_int_equal(PQtransactionStatus(c.conn), PQTRANS_IDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arrays_come_back_as_they_went),
        cmocka_unit_test(test_a_refusal_keeps_its_sqlstate),
        cmocka_unit_test(test_failures_that_may_pass),
        cmocka_unit_test(test_a_transaction_is_ended_once),
    };
    int failed;

    pgtest_start();
    pgtest_database();
    failed = cmocka_run_group_tests(tests, setup, teardown);
    PQfinish(pgtest.conn);
    pgtest.conn = NULL;
    return failed;
}
