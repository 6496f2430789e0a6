/*
 * Tests of auth/may_find.c: one statement a kind, and rows to the things that were asked for.
 */
#include "gateway/auth/may_find.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/rows.h"

static struct req req;
static struct may m;

static int setup(void **state)
{
    (void)state;
    memset(&req, 0, sizeof(req));
    memset(&m, 0, sizeof(m));
    arena_init(&req.arena, 1024);
    m.r = &req;
    m.last_find = &m.finds;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&req.arena);
    return 0;
}

static void test_one_statement_for_all_of_a_kind(void **state)
{
    struct sql_step steps[SQL_STEPS_MAX];
    enum may_find_kind kinds[SQL_STEPS_MAX];

    (void)state;
    (void)may_find(&m, FIND_TRACE, STR("t1"));
    (void)may_find(&m, FIND_RUN, STR("r1"));
    (void)may_find(&m, FIND_RUN, STR("r\"2"));
    (void)may_find(&m, FIND_RUN, (struct str){"r\0003", 3}); /* PostgreSQL takes no such text */
    may_find(&m, FIND_RUN, STR("seen"))->is_looked_up = true;
    assert_int_equal(may_find_steps(&m, steps, kinds), 2);
    assert_int_equal(kinds[0], FIND_RUN);
    assert_int_equal(kinds[1], FIND_TRACE);
    assert_true(str_eq(steps[0].values[0], STR("{\"r1\",\"r\\\"2\"}")));
    assert_true(str_eq(steps[1].values[0], STR("{\"t1\"}")));
    m.finds = NULL;
    assert_int_equal(may_find_steps(&m, steps, kinds), 0);
}

static void test_rows_go_to_what_was_asked_for(void **state)
{
    struct may_find *run = may_find(&m, FIND_RUN, STR("r1"));
    struct may_find *trace = may_find(&m, FIND_TRACE, STR("r1"));
    PGresult *res = ROWS(2, "r1", "7", "r9", "8");

    (void)state;
    may_find_take(&m, FIND_RUN, res);
    assert_true(run->is_found);
    assert_true(str_eq(run->experiment, STR("7")));
    assert_false(trace->is_found);
    PQclear(res);
}

/* What has several rows keeps all of them, and what else a row says. */
static void test_more_rows_of_one_thing(void **state)
{
    struct may_find *set = may_find(&m, FIND_DATASET, STR("d1"));
    struct may_find *queue = may_find(&m, FIND_QUEUE, STR("q1"));
    PGresult *res = ROWS(2, "d1", "7", "d1", "8", "d1", "9");
    PGresult *queues = ROWS(5, "q1", "7", "owner", "CUSTOM", "a\nb");
    unsigned seen = 0;

    (void)state;
    may_find_take(&m, FIND_DATASET, res);
    for (struct may_find *row = set; row; row = row->more)
        seen |= 1u << (row->experiment.p[0] - '7');
    assert_int_equal(seen, 7);
    may_find_take(&m, FIND_QUEUE, queues);
    assert_true(str_eq(queue->extra[0], STR("owner")));
    assert_true(str_eq(queue->extra[2], STR("a\nb")));
    PQclear(queues);
    PQclear(res);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_statement_for_all_of_a_kind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_go_to_what_was_asked_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_more_rows_of_one_thing, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
