/* json: the three forms, escapes, Python's repr of a float. */
#include "base/json.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <float.h>
#include <stdlib.h>

static void assert_buf(struct buf *b, const char *want)
{
    struct str got = buf_str(b);

    if (got.n != strlen(want) || memcmp(got.p, want, got.n) != 0)
        fail_msg("got  %.*s\nwant %s", STR_ARG(got), want);
    buf_reset(b);
}

/* What an answer looks like: nested, empty and scalar items. */
static void write_sample(struct buf *b, enum json_form form)
{
    struct json j;

    json_init(&j, b, form);
    json_open(&j);
    json_key(&j, "run");
    json_open(&j);
    json_pair_str(&j, "id", STR("x"));
    json_pair_i64(&j, "step", -7);
    json_close(&j);
    json_key(&j, "tags");
    json_open_list(&j);
    json_u64(&j, UINT64_MAX);
    json_bool(&j, true);
    json_null(&j);
    json_raw(&j, STR("1.5"));
    json_close_list(&j);
    json_key(&j, "inputs");
    json_open(&j);
    json_close(&j);
    json_key_str(&j, STR("list"));
    json_open_list(&j);
    json_close_list(&j);
    json_close(&j);
}

static void test_the_three_forms(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b);
    write_sample(&b, JSON_PRETTY);
    assert_buf(&b, "{\n"
                   "  \"run\": {\n"
                   "    \"id\": \"x\",\n"
                   "    \"step\": -7\n"
                   "  },\n"
                   "  \"tags\": [\n"
                   "    18446744073709551615,\n"
                   "    true,\n"
                   "    null,\n"
                   "    1.5\n"
                   "  ],\n"
                   "  \"inputs\": {},\n"
                   "  \"list\": []\n"
                   "}");
    write_sample(&b, JSON_COMPACT);
    assert_buf(&b,
               "{\"run\":{\"id\":\"x\",\"step\":-7},\"tags\":[18446744073709551615,true,null,1.5],"
               "\"inputs\":{},\"list\":[]}");
    write_sample(&b, JSON_LINE);
    assert_buf(&b,
               "{\"run\": {\"id\": \"x\", \"step\": -7}, \"tags\": [18446744073709551615, true, "
               "null, 1.5], \"inputs\": {}, \"list\": []}");
    buf_fini(&b);
}

static void test_values_at_the_top(void **state)
{
    struct buf b;
    struct json j;

    (void)state;
    buf_init(&b);
    json_init(&j, &b, JSON_PRETTY);
    json_open(&j);
    json_close(&j);
    assert_buf(&b, "{}");
    json_init(&j, &b, JSON_PRETTY);
    json_i64(&j, INT64_MIN);
    assert_buf(&b, "-9223372036854775808");
    json_init(&j, &b, JSON_PRETTY);
    json_bool(&j, false);
    assert_buf(&b, "false");
    buf_fini(&b);
}

static void test_nesting_reaches_the_bound(void **state)
{
    struct buf b;
    struct json j;

    (void)state;
    buf_init(&b);
    json_init(&j, &b, JSON_PRETTY);
    for (int i = 0; i < JSON_DEPTH; i++)
        json_open_list(&j);
    json_i64(&j, 1);
    for (int i = 0; i < JSON_DEPTH; i++)
        json_close_list(&j);
    assert_true(str_starts(buf_str(&b), STR("[\n  [\n    [")));
    assert_true(str_ends(buf_str(&b), STR("\n]")));
    buf_fini(&b);
}

static void test_text_is_escaped_as_python_does(void **state)
{
    static const struct {
        struct str s;
        const char *want;
    } rows[] = {
        {STR_INIT(""), "\"\""},
        {STR_INIT("plain ~"), "\"plain ~\""},
        {STR_INIT("a\"b\\c/"), "\"a\\\"b\\\\c/\""},
        {STR_INIT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
        {STR_INIT("\x01\x1f\x7f"), "\"\\u0001\\u001f\\u007f\""},
        {STR_INIT("a\0b"), "\"a\\u0000b\""},
        {STR_INIT("\xc3\xa9\xe2\x82\xac"), "\"\\u00e9\\u20ac\""},
        {STR_INIT("\xf0\x9f\x98\x80"), "\"\\ud83d\\ude00\""},
        {STR_INIT("\xed\xa0\x80"), "\"\\ud800\""}, /* a lone surrogate, from a quoted request */
        {STR_INIT("\xff"), "\"\\ufffd\""},
        {STR_INIT("\xc3"), "\"\\ufffd\""},
        {STR_INIT("\xc3x"), "\"\\ufffdx\""},
        {STR_INIT("\xc0\x80"), "\"\\ufffd\\ufffd\""},
        {STR_INIT("\xe0\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\""},
        {STR_INIT("\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
    };
    struct buf b;

    (void)state;
    buf_init(&b);
    for (size_t i = 0; i < array_len(rows); i++) {
        json_quote(&b, rows[i].s);
        assert_buf(&b, rows[i].want);
    }
    buf_fini(&b);
}

static void test_doubles_are_pythons_repr(void **state)
{
    static const struct {
        double v;
        const char *want;
    } rows[] = {
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {-1.5, "-1.5"},
        {0.1, "0.1"},
        {1e15, "1000000000000000.0"},
        {1234567890123456.0, "1234567890123456.0"},
        {9999999999999998.0, "9999999999999998.0"},
        {1e16, "1e+16"},
        {1.5e16, "1.5e+16"},
        {1e22, "1e+22"},
        {1e100, "1e+100"},
        {0.0001, "0.0001"},
        {0.00012345, "0.00012345"},
        {1e-5, "1e-05"},
        {1.5e-7, "1.5e-07"},
        {123456.789, "123456.789"},
        {1e-320, "1e-320"},
        {5e-324, "5e-324"},
        {DBL_MAX, "1.7976931348623157e+308"},
        {-DBL_MAX, "-1.7976931348623157e+308"},
        {DBL_MIN, "2.2250738585072014e-308"},
        {0x1p-44, "5.684341886080802e-14"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1.0 / 3, "0.3333333333333333"},
        {INFINITY, "inf"},
        {-INFINITY, "-inf"},
        {NAN, "nan"},
        {-NAN, "nan"},
    };
    char text[JSON_DOUBLE_MAX];

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        size_t n = json_repr_double(rows[i].v, text);

        assert_int_equal(n, strlen(rows[i].want));
        assert_memory_equal(text, rows[i].want, n);
    }
}

/* Every double reads back as itself, whatever its bits. */
static void test_doubles_read_back(void **state)
{
    uint64_t bits = 88172645463325252u;
    char text[JSON_DOUBLE_MAX];

    (void)state;
    for (int i = 0; i < 200000; i++) {
        double v, back;
        size_t n;

        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&v, &bits, sizeof(v));
        if (!isfinite(v))
            continue;
        n = json_repr_double(v, text);
        assert_true(n < JSON_DOUBLE_MAX);
        text[n] = '\0';
        back = strtod(text, NULL);
        assert_memory_equal(&back, &v, sizeof(v));
    }
}

static void test_no_number_is_a_string(void **state)
{
    struct buf b;
    struct json j;

    (void)state;
    buf_init(&b);
    json_init(&j, &b, JSON_COMPACT);
    json_open_list(&j);
    json_double(&j, NAN);
    json_double(&j, INFINITY);
    json_double(&j, -INFINITY);
    json_double(&j, 2.5);
    json_close_list(&j);
    assert_buf(&b, "[\"NaN\",\"Infinity\",\"-Infinity\",2.5]");
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_three_forms),
        cmocka_unit_test(test_values_at_the_top),
        cmocka_unit_test(test_nesting_reaches_the_bound),
        cmocka_unit_test(test_text_is_escaped_as_python_does),
        cmocka_unit_test(test_doubles_are_pythons_repr),
        cmocka_unit_test(test_doubles_read_back),
        cmocka_unit_test(test_no_number_is_a_string),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
