/* sql_value: array literals come back from PostgreSQL's own parser in test_sql; here the bytes. */
#include "gateway/sql/sql_value.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static void test_text_arrays_quote_every_element(void **state)
{
    const struct str items[] = {STR_INIT("a"), STR_INIT(""), STR_INIT("q\"b\\c"), STR_INIT("NULL")};

    (void)state;
    assert_string_equal(sql_text_array(&arena, items, 4).p,
                        "{\"a\",\"\",\"q\\\"b\\\\c\",\"NULL\"}");
    assert_string_equal(sql_text_array(&arena, items, 0).p, "{}");
    assert_int_equal(sql_text_array(&arena, items, 1).n, 5);
}

static void test_nulls_in_an_array_are_asked_for(void **state)
{
    const struct str items[] = {STR_INIT("NULL"), {NULL, 0}, STR_INIT(""), {NULL, 0}};

    (void)state;
    assert_string_equal(sql_text_array(&arena, items, 4).p, "{\"NULL\",\"\",\"\",\"\"}");
    assert_string_equal(sql_text_array_nulls(&arena, items, 4).p, "{\"NULL\",NULL,\"\",NULL}");
}

static void test_rows_quote_where_they_must(void **state)
{
    const struct str items[] = {STR_INIT("a"),    STR_INIT("b c"), STR_INIT(""), {NULL, 0},
                                STR_INIT("q\"b"), STR_INIT("x,y"), STR_INIT("(")};

    (void)state;
    assert_string_equal(sql_text_row(&arena, items, 7).p,
                        "(a,\"b c\",\"\",,\"q\"\"b\",\"x,y\",\"(\")");
    assert_string_equal(sql_text_row(&arena, items, 0).p, "()");
}

static void test_integers_at_both_ends(void **state)
{
    const int64_t items[] = {INT64_MIN, 0, INT64_MAX};

    (void)state;
    assert_string_equal(sql_i64(&arena, INT64_MIN).p, "-9223372036854775808");
    assert_string_equal(sql_i64_array(&arena, items, 3).p,
                        "{-9223372036854775808,0,9223372036854775807}");
    assert_string_equal(sql_i64_array(&arena, items, 0).p, "{}");
}

static void test_an_empty_text_is_not_null(void **state)
{
    (void)state;
    assert_non_null(sql_text(&arena, (struct str){NULL, 0}).p);
    assert_string_equal(sql_text(&arena, (struct str){NULL, 0}).p, "");
    assert_null(sql_null().p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text_arrays_quote_every_element),
        cmocka_unit_test(test_nulls_in_an_array_are_asked_for),
        cmocka_unit_test(test_rows_quote_where_they_must),
        cmocka_unit_test(test_integers_at_both_ends),
        cmocka_unit_test(test_an_empty_text_is_not_null),
    };
    int failed;

    arena_init(&arena, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
