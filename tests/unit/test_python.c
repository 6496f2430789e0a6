/* python: int(), float(), repr() and classes; the expectations are what Python 3.11 printed. */
#include "ingest/python.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_int(void **state)
{
    static const struct {
        struct str s;
        enum python_int want;
        int64_t v;
    } rows[] = {
        {STR_INIT("0"), PYTHON_INT, 0},
        {STR_INIT("-0"), PYTHON_INT, 0},
        {STR_INIT("007"), PYTHON_INT, 7},
        {STR_INIT("+5"), PYTHON_INT, 5},
        {STR_INIT("1_000"), PYTHON_INT, 1000},
        {STR_INIT(" \t\n\v\f\r12 "), PYTHON_INT, 12},
        {STR_INIT("\xd9\xa1\xd9\xa2"), PYTHON_INT, 12}, /* Arabic-Indic digits */
        {STR_INIT("\xc2\xa0"
                  "5\xe3\x80\x80"),
         PYTHON_INT, 5}, /* other blanks */
        {STR_INIT("\x1c"
                  "1"),
         PYTHON_NOT_INT, 0},
        {STR_INIT("9223372036854775807"), PYTHON_INT, INT64_MAX},
        {STR_INIT("-9223372036854775808"), PYTHON_INT, INT64_MIN},
        {STR_INIT("9223372036854775808"), PYTHON_BIG_INT, 0},
        {STR_INIT("-9223372036854775809"), PYTHON_BIG_INT, 0},
        {STR_INIT("123456789012345678901234567890"), PYTHON_BIG_INT, 0},
        {STR_INIT(""), PYTHON_NOT_INT, 0},
        {STR_INIT(" "), PYTHON_NOT_INT, 0},
        {STR_INIT("-"), PYTHON_NOT_INT, 0},
        {STR_INIT("+-1"), PYTHON_NOT_INT, 0},
        {STR_INIT("- 1"), PYTHON_NOT_INT, 0},
        {STR_INIT("1__0"), PYTHON_NOT_INT, 0},
        {STR_INIT("_1"), PYTHON_NOT_INT, 0},
        {STR_INIT("1_"), PYTHON_NOT_INT, 0},
        {STR_INIT("1.0"), PYTHON_NOT_INT, 0},
        {STR_INIT("1e3"), PYTHON_NOT_INT, 0},
        {STR_INIT("0x10"), PYTHON_NOT_INT, 0},
        {STR_INIT("1\0"), PYTHON_NOT_INT, 0},
        {STR_INIT("1\x7f"), PYTHON_NOT_INT, 0},
        {STR_INIT("\xed\xa0\x80"), PYTHON_NOT_INT, 0},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        int64_t v = 0;

        assert_int_equal(python_int(rows[i].s, &v), rows[i].want);
        if (rows[i].want == PYTHON_INT)
            assert_true(v == rows[i].v);
    }
}

static void test_int_has_4300_digits_at_most(void **state)
{
    static char digits[4301];
    int64_t v;

    (void)state;
    memset(digits, '0', sizeof(digits));
    assert_int_equal(python_int((struct str){digits, 4300}, &v), PYTHON_INT);
    assert_int_equal(python_int((struct str){digits, 4301}, &v), PYTHON_NOT_INT);
}

static void test_float(void **state)
{
    static const struct {
        struct str s;
        bool want;
        double v;
    } rows[] = {
        {STR_INIT("1"), true, 1},
        {STR_INIT(" 1.5\n"), true, 1.5},
        {STR_INIT("1."), true, 1},
        {STR_INIT(".5"), true, 0.5},
        {STR_INIT("-1e3"), true, -1000},
        {STR_INIT("+1E+2"), true, 100},
        {STR_INIT("1_0.5_0e1_0"), true, 10.5e10},
        {STR_INIT("1e400"), true, INFINITY},
        {STR_INIT("-1e400"), true, -INFINITY},
        {STR_INIT("1e-400"), true, 0},
        {STR_INIT("iNf"), true, INFINITY},
        {STR_INIT("-Infinity"), true, -INFINITY},
        {STR_INIT("\xd9\xa1.\xd9\xa2"), true, 1.2},
        {STR_INIT(""), false, 0},
        {STR_INIT("."), false, 0},
        {STR_INIT("1e"), false, 0},
        {STR_INIT("1e+"), false, 0},
        {STR_INIT("e5"), false, 0},
        {STR_INIT("1_e5"), false, 0},
        {STR_INIT("1e_5"), false, 0},
        {STR_INIT("1._5"), false, 0},
        {STR_INIT("0x1p3"), false, 0},
        {STR_INIT("infinit"), false, 0},
        {STR_INIT("+ 1"), false, 0},
        {STR_INIT("1\0"), false, 0},
        {STR_INIT("1,5"), false, 0},
    };
    double v = 0;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_int_equal(python_float(rows[i].s, &v), rows[i].want);
        if (rows[i].want)
            assert_true(v == rows[i].v);
    }
    assert_true(python_float(STR(" +NaN "), &v));
    assert_true(isnan(v));
    assert_true(python_strtod(STR("123456789012345678901234567890")) == 1.2345678901234568e29);
}

static void test_classes(void **state)
{
    (void)state;
    assert_true(python_is_alnum('a') && python_is_alnum('Z') && python_is_alnum('0'));
    assert_false(python_is_alnum('_') || python_is_alnum('-') || python_is_alnum(' '));
    assert_true(python_is_alnum(0xE9));   /* e acute */
    assert_true(python_is_alnum(0x661));  /* a digit */
    assert_true(python_is_alnum(0x2167)); /* Roman numeral eight */
    assert_true(python_is_alnum(0xB2));   /* superscript two */
    assert_true(python_is_alnum(0x4E00) && python_is_alnum(0x3134A));
    assert_false(python_is_alnum(0x301));   /* combining */
    assert_false(python_is_alnum(0x1F600)); /* emoji */
    assert_false(python_is_alnum(0xD800) || python_is_alnum(0x10FFFF));
    assert_true(python_is_space(' ') && python_is_space('\r') && python_is_space(0x1F));
    assert_true(python_is_space(0x85) && python_is_space(0xA0) && python_is_space(0x2028));
    assert_false(python_is_space('a') || python_is_space(0x1B) || python_is_space(0x200B));
    assert_true(python_is_decimal('7') && python_is_decimal(0x663));
    assert_false(python_is_decimal('a') || python_is_decimal(0xB2) || python_is_decimal(0x2167));
    assert_true(python_has_surrogate(STR("a\xed\xa0\x80")));
    assert_false(python_has_surrogate(STR("\xed\x9f\xbf\xee\x80\x80\xed")));
}

static void test_repr(void **state)
{
    static const struct {
        struct str s;
        const char *want;
    } rows[] = {
        {STR_INIT(""), "''"},
        {STR_INIT("a b"), "'a b'"},
        {STR_INIT("it's"), "\"it's\""},
        {STR_INIT("it's \"x\""), "'it\\'s \"x\"'"},
        {STR_INIT("\\\t\n\r"), "'\\\\\\t\\n\\r'"},
        {STR_INIT("\0\x1f\x7f\xc2\x80"), "'\\x00\\x1f\\x7f\\x80'"},
        {STR_INIT("\xc3\xa9\xf0\x9f\x98\x80"), "'\xc3\xa9\xf0\x9f\x98\x80'"},
        {STR_INIT("\xe2\x80\x8b\xed\xa0\x80"), "'\\u200b\\ud800'"},
        {STR_INIT("\xf3\xa0\x80\x81"), "'\\U000e0001'"},
    };
    struct buf b;

    (void)state;
    buf_init(&b);
    for (size_t i = 0; i < array_len(rows); i++) {
        python_repr(&b, rows[i].s);
        assert_true(str_eq(buf_str(&b), str_of(rows[i].want)));
        buf_reset(&b);
    }
    python_repr_bytes(&b, STR("a'\"\\\n\x00\xff"));
    assert_true(str_eq(buf_str(&b), STR("b'a\\'\"\\\\\\n\\x00\\xff'")));
    buf_fini(&b);
}

static void test_decoding_replaces_what_is_no_utf8(void **state)
{
#define R "\xef\xbf\xbd"
    static const struct {
        struct str bytes, want;
    } rows[] = {
        {STR_INIT(""), STR_INIT("")},
        {STR_INIT("a\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
         STR_INIT("a\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80")},
        {STR_INIT("\xff"), STR_INIT(R)},
        {STR_INIT("a\xc3"), STR_INIT("a" R)},
        {STR_INIT("\xc3("), STR_INIT(R "(")},
        {STR_INIT("\xe2\x82"), STR_INIT(R)},
        {STR_INIT("\xe2\x82x"), STR_INIT(R "x")},
        {STR_INIT("\xc0\x80"), STR_INIT(R R)},
        {STR_INIT("\xe0\x80\x80"), STR_INIT(R R R)},
        {STR_INIT("\xed\xa0\x80"), STR_INIT(R R R)},
        {STR_INIT("\xf4\x90\x80\x80"), STR_INIT(R R R R)},
        {STR_INIT("\xf5\x80"), STR_INIT(R R)},
        {STR_INIT("\xf0\x9f\x98"
                  "a\x80"),
         STR_INIT(R "a" R)},
    };
#undef R
    struct arena a;

    (void)state;
    arena_init(&a, 256);
    for (size_t i = 0; i < array_len(rows); i++)
        assert_true(str_eq(python_decode(&a, rows[i].bytes), rows[i].want));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_int),   cmocka_unit_test(test_int_has_4300_digits_at_most),
        cmocka_unit_test(test_float), cmocka_unit_test(test_classes),
        cmocka_unit_test(test_repr),  cmocka_unit_test(test_decoding_replaces_what_is_no_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
