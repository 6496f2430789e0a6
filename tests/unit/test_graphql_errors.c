/*
 * Tests of gateway/graphql/graphql_errors.c: a bounded list, in the order of the document.
 */
#include "gateway/graphql/graphql_errors.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 256);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static void test_sorted_by_place_and_stable(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) { /* every shape of halves */
        struct graphql_errors e;

        graphql_errors_init(&e, &arena, 100);
        for (size_t i = 0; i < n; i++)
            graphql_errors_add(&e, i * 7 % 5, arena_printf(&arena, "%03zu", i));
        graphql_errors_sort(&e);
        assert_int_equal(e.n, n);
        for (size_t i = 1; i < n; i++) {
            assert_true(e.items[i - 1].at <= e.items[i].at);
            if (e.items[i - 1].at == e.items[i].at)
                assert_true(str_cmp(e.items[i - 1].text, e.items[i].text) < 0);
        }
    }
}

static void test_no_more_than_asked_for(void **state)
{
    static const size_t most[] = {0, 1, 8, 9, 16, 17};

    (void)state;
    for (size_t k = 0; k < array_len(most); k++) {
        struct graphql_errors e;

        graphql_errors_init(&e, &arena, most[k]);
        for (size_t i = 0; i < most[k]; i++)
            graphql_errors_add(&e, i, STR("a"));
        assert_int_equal(e.n, most[k]);
        assert_false(e.is_full);
        graphql_errors_add(&e, 0, STR("b"));
        assert_int_equal(e.n, most[k]);
        assert_true(e.is_full);
        graphql_errors_sort(&e);
    }
}

static void test_null_when_there_are_none(void **state)
{
    struct graphql_errors e;
    struct json j;
    struct buf out;

    (void)state;
    buf_init(&out);
    graphql_errors_init(&e, &arena, 2);
    json_init(&j, &out, JSON_COMPACT);
    graphql_errors_write(&e, &j);
    assert_true(str_eq(buf_str(&out), STR("null")));
    buf_reset(&out);
    graphql_errors_add(&e, 9, STR("b"));
    GRAPHQL_SAY(&e, 3, STR("a"), STR("\""));
    graphql_errors_sort(&e);
    json_init(&j, &out, JSON_COMPACT);
    graphql_errors_write(&e, &j);
    assert_true(str_eq(buf_str(&out), STR("[\"a\\\"\",\"b\"]")));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorted_by_place_and_stable),
        cmocka_unit_test(test_no_more_than_asked_for),
        cmocka_unit_test(test_null_when_there_are_none),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
