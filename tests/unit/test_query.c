/* query: text that grows, values that are bound. */
#include "gateway/search/query.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_values_are_numbered_and_typed(void **state)
{
    const struct str texts[] = {STR_INIT("a\"b"), STR_INIT("")};
    const int64_t ids[] = {0, -7};
    struct arena a;
    struct query q;

    (void)state;
    arena_init(&a, 256);
    query_init(&q, &a);
    query_text(&q, "x = ");
    query_bind_text(&q, STR("it's"));
    query_text(&q, ", ");
    query_bind_i64(&q, INT64_MIN);
    query_bind_f64(&q, 1e300 * 1e300);
    query_bind_f64(&q, 0.1);
    query_bind_as(&q, STR("5"), "int4");
    query_bind_texts(&q, texts, 2);
    query_bind_ids(&q, ids, 2);
    assert_string_equal(q.text, "x = $1::text, $2::int8$3::float8$4::float8$5::int4$6::text[]"
                                "$7::int4[]");
    assert_int_equal(q.nvalues, 7);
    assert_string_equal(q.values[0].p, "it's");
    assert_string_equal(q.values[1].p, "-9223372036854775808");
    assert_string_equal(q.values[2].p, "inf");
    assert_string_equal(q.values[3].p, "0.1");
    assert_string_equal(q.values[5].p, "{\"a\\\"b\",\"\"}");
    assert_string_equal(q.values[6].p, "{0,-7}");
    assert_false(q.has_nul);
    assert_null(q.lone.p);
    arena_fini(&a);
}

static void test_it_grows(void **state)
{
    struct arena a;
    struct query q;

    (void)state;
    arena_init(&a, 256);
    query_init(&q, &a);
    for (int i = 0; i < 3000; i++) {
        query_text(&q, ",");
        query_bind_i64(&q, i);
    }
    assert_int_equal(q.nvalues, 3000);
    assert_string_equal(q.values[2999].p, "2999");
    assert_int_equal(strlen(q.text), q.len);
    assert_true(str_ends((struct str){q.text, q.len}, STR(",$3000::int8")));
    arena_fini(&a);
}

static void test_what_postgresql_cannot_hold_is_noted(void **state)
{
    const struct str texts[] = {STR_INIT("a"), STR_INIT("\xED\xA0\x80")};
    struct arena a;
    struct query q;

    (void)state;
    arena_init(&a, 256);
    query_init(&q, &a);
    query_bind_text(&q, STR("a\0b"));
    assert_true(q.has_nul);
    assert_null(q.lone.p);
    query_bind_texts(&q, texts, 2);
    assert_true(str_eq(q.lone, texts[1]));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_are_numbered_and_typed),
        cmocka_unit_test(test_it_grows),
        cmocka_unit_test(test_what_postgresql_cannot_hold_is_noted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
