/* str: comparing, cutting, reading numbers. */
#include "base/str.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define assert_str(s, lit)                         \
    do {                                           \
        struct str got_ = (s);                     \
        assert_int_equal(got_.n, sizeof(lit) - 1); \
        assert_true(str_eq(got_, STR(lit)));       \
    } while (0)

static void test_null_and_empty_are_equal(void **state)
{
    const struct str none = {NULL, 0};

    (void)state;
    assert_true(str_eq(none, STR("")));
    assert_true(str_eq(str_of(NULL), none));
    assert_int_equal(str_cmp(none, none), 0);
    assert_int_equal(str_find(none, 'x'), 0);
    assert_true(str_starts(STR("abc"), none));
    assert_true(str_ends(none, none));
    assert_int_equal(str_trim(none).n, 0);
    assert_int_equal(str_skip(none, 5).n, 0);
}

static void test_comparing(void **state)
{
    (void)state;
    assert_true(str_eq(STR("abc"), STR("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_ieq(STR("Content-Length"), STR("content-LENGTH")));
    assert_false(str_ieq(STR("a["), STR("A{"))); /* '[' and '{' differ by the case bit only */
    assert_true(str_cmp(STR("a"), STR("b")) < 0);
    assert_true(str_cmp(STR("ab"), STR("a")) > 0);
    assert_true(str_cmp(STR("\xff"), STR("a")) > 0); /* bytes are unsigned */
    assert_true(str_starts(STR("/api/2.0"), STR("/api")));
    assert_false(str_starts(STR("/a"), STR("/api")));
    assert_true(str_ends(STR("x.seg"), STR(".seg")));
    assert_false(str_ends(STR("seg"), STR(".seg")));
}

static void test_cutting(void **state)
{
    struct str s = STR("a=b=c");

    (void)state;
    assert_str(str_cut(&s, '='), "a");
    assert_str(s, "b=c");
    assert_str(str_cut(&s, '='), "b");
    assert_str(str_cut(&s, '='), "c");
    assert_int_equal(s.n, 0);
    assert_str(str_cut(&s, '='), "");
    assert_str(str_trim(STR(" \t a b\r\n")), "a b");
    assert_str(str_trim(STR(" \t ")), "");
    assert_str(str_head(STR("abc"), 2), "ab");
    assert_str(str_head(STR("abc"), 9), "abc");
    assert_str(str_skip(STR("abc"), 1), "bc");
    assert_str(str_skip(STR("abc"), 9), "");
    assert_int_equal(str_find(STR("abc"), 'c'), 2);
    assert_int_equal(str_find(STR("abc"), 'x'), 3);
}

static void test_signed_numbers_to_their_limits(void **state)
{
    int64_t v = 7;

    (void)state;
    assert_true(str_to_i64(STR("-9223372036854775808"), &v));
    assert_true(v == INT64_MIN);
    assert_true(str_to_i64(STR("9223372036854775807"), &v));
    assert_true(v == INT64_MAX);
    assert_true(str_to_i64(STR("+12"), &v));
    assert_int_equal(v, 12);
    assert_true(str_to_i64(STR("-0"), &v));
    assert_int_equal(v, 0);
    v = 7;
    assert_false(str_to_i64(STR("9223372036854775808"), &v));
    assert_false(str_to_i64(STR("-9223372036854775809"), &v));
    assert_false(str_to_i64(STR(""), &v));
    assert_false(str_to_i64(STR("-"), &v));
    assert_false(str_to_i64(STR("1 "), &v));
    assert_false(str_to_i64(STR("0x1"), &v));
    assert_false(str_to_i64(STR("--1"), &v));
    assert_int_equal(v, 7);
}

static void test_unsigned_numbers_to_their_limits(void **state)
{
    uint64_t v = 7;

    (void)state;
    assert_true(str_to_u64(STR("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    assert_true(str_to_u64(STR("000"), &v));
    assert_int_equal(v, 0);
    assert_false(str_to_u64(STR("18446744073709551616"), &v));
    assert_false(str_to_u64(STR("99999999999999999999"), &v));
    assert_false(str_to_u64(STR("-1"), &v));
    assert_false(str_to_u64(STR("1.0"), &v));
}

static void test_to_cstr_truncates_and_terminates(void **state)
{
    char out[4] = "xxx";

    (void)state;
    str_to_cstr(STR("abcdef"), out, sizeof(out));
    assert_string_equal(out, "abc");
    str_to_cstr(STR("ab"), out, sizeof(out));
    assert_string_equal(out, "ab");
    str_to_cstr((struct str){NULL, 0}, out, sizeof(out));
    assert_string_equal(out, "");
    str_to_cstr(STR("abc"), out, 0);
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_null_and_empty_are_equal),
        cmocka_unit_test(test_comparing),
        cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_signed_numbers_to_their_limits),
        cmocka_unit_test(test_unsigned_numbers_to_their_limits),
        cmocka_unit_test(test_to_cstr_truncates_and_terminates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
