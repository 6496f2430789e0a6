/* document: json.loads and json.dumps; the expectations are what Python 3.11 printed. */
#include "ingest/document.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Reads text; what comes out again, or NULL. */
static const char *read_and_dump(struct arena *a, struct str text, bool is_repr)
{
    struct document_error why;
    yyjson_val *v = document_read(a, text, &why);
    const char *out;
    struct buf b;

    if (v == NULL) {
        assert_non_null(why.text);
        return NULL;
    }
    buf_init(&b);
    if (is_repr)
        document_repr(a, &b, v, 1 << 20);
    else
        document_dump(a, &b, v, 1 << 20);
    out = arena_cstr(a, buf_str(&b));
    buf_fini(&b);
    return out;
}

static void test_what_is_no_json(void **state)
{
    static const struct str bad[] = {
        STR_INIT(""),
        STR_INIT(" "),
        STR_INIT("{"),
        STR_INIT("[1,]"),
        STR_INIT("{\"a\":1,}"),
        STR_INIT("[1] x"),
        STR_INIT("nan"),
        STR_INIT("-NaN"),
        STR_INIT("+1"),
        STR_INIT("+Infinity"),
        STR_INIT("infinity"),
        STR_INIT("Inf"),
        STR_INIT("[nUll,NaN]"),
        STR_INIT("[NaN,True]"),
        STR_INIT("01"),
        STR_INIT("1."),
        STR_INIT(".5"),
        STR_INIT("[NaN/**/]"),
        STR_INIT("'a'"),
        STR_INIT("\"a\tb\""),
        STR_INIT("[NaN,\"a\tb\"]"),
        STR_INIT("\"\\x41\""),
        STR_INIT("\"\\ud8\""),
        STR_INIT("[\"\\ud800\",\"\\q\"]"),
        STR_INIT("\"\\ud800"),
        STR_INIT("\"\\"),
        STR_INIT("[\"\\ud800\"]\0"),
        STR_INIT("\"\xff\""),
        STR_INIT("\"\xc0\x80\""),
        STR_INIT("\"\xf4\x90\x80\x80\""),
        STR_INIT("\"\xc3"),
        STR_INIT("\xef\xbb\xbf"),
        STR_INIT("\xef\xbb\xbf\xef\xbb\xbf{}"),
        STR_INIT("{\0}"),
        STR_INIT("\xff\xfe{\0}"),
        STR_INIT("\0\0\xd8\0"),
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(bad); i++)
        if (read_and_dump(&a, bad[i], false))
            fail_msg("taken: %.*s", STR_ARG(bad[i]));
    arena_fini(&a);
}

static void test_encodings(void **state)
{
    static const struct str same[] = {
        STR_INIT("[\"\xc3\xa9\"]"),
        STR_INIT("\xef\xbb\xbf[\"\xc3\xa9\"]"),
        STR_INIT("\xff\xfe[\0\"\0\xe9\0\"\0]\0"),
        STR_INIT("\xfe\xff\0[\0\"\0\xe9\0\"\0]"),
        STR_INIT("[\0\"\0\xe9\0\"\0]\0"),
        STR_INIT("\0[\0\"\0\xe9\0\"\0]"),
        STR_INIT("\xff\xfe\0\0[\0\0\0\"\0\0\0\xe9\0\0\0\"\0\0\0]\0\0\0"),
        STR_INIT("\0\0\xfe\xff\0\0\0[\0\0\0\"\0\0\0\xe9\0\0\0\"\0\0\0]"),
        STR_INIT("[\0\0\0\"\0\0\0\xe9\0\0\0\"\0\0\0]\0\0\0"),
        STR_INIT("\0\0\0[\0\0\0\"\0\0\0\xe9\0\0\0\"\0\0\0]"),
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(same); i++)
        assert_string_equal(read_and_dump(&a, same[i], false), "[\"\\u00e9\"]");
    assert_string_equal(read_and_dump(&a, STR("5\0"), false), "5");
    assert_string_equal(read_and_dump(&a,
                                      STR("\0"
                                          "5"),
                                      false),
                        "5");
    assert_string_equal(read_and_dump(&a, STR("\"\0=\xd8\0\xde\"\0"), false), "\"\\ud83d\\ude00\"");
    assert_string_equal(read_and_dump(&a, STR("\"\0=\xd8\"\0"), false), "\"\\ud83d\"");
    arena_fini(&a);
}

static void test_more_than_json(void **state)
{
    static const struct {
        struct str text;
        const char *dump;
        const char *repr;
    } rows[] = {
        {STR_INIT("[NaN, Infinity,-Infinity,1e400,-1e400]"),
         "[NaN,Infinity,-Infinity,Infinity,-Infinity]", "[nan, inf, -inf, inf, -inf]"},
        {STR_INIT("[18446744073709551616,-9223372036854775809,-0,-0.0,1E5]"),
         "[18446744073709551616,-9223372036854775809,0,-0.0,100000.0]",
         "[18446744073709551616, -9223372036854775809, 0, -0.0, 100000.0]"},
        {STR_INIT("{\"b\":1,\"a\":[true,false,null],\"b\":{\"c\":{}}}"),
         "{\"a\":[true,false,null],\"b\":{\"c\":{}}}",
         "{'b': {'c': {}}, 'a': [True, False, None]}"},
        {STR_INIT("{\"\xc3\xa9\":\"it's\",\"Z\":\"\\u0000\",\"a\":\"\"}"),
         "{\"Z\":\"\\u0000\",\"a\":\"\",\"\\u00e9\":\"it's\"}",
         "{'\xc3\xa9': \"it's\", 'Z': '\\x00', 'a': ''}"},
        {STR_INIT("\"\\ud800\\udc00 \\ud800 \\udc00\\ud800\""),
         "\"\\ud800\\udc00 \\ud800 \\udc00\\ud800\"", "'\xf0\x90\x80\x80 \\ud800 \\udc00\\ud800'"},
        {STR_INIT("\"\xed\xa0\x80\""), "\"\\ud800\"", "'\\ud800'"},
        {STR_INIT("[\"NaN nul \\\\\",\"\\\"\\ud800\"]"), "[\"NaN nul \\\\\",\"\\\"\\ud800\"]",
         "['NaN nul \\\\', '\"\\ud800']"},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_string_equal(read_and_dump(&a, rows[i].text, false), rows[i].dump);
        assert_string_equal(read_and_dump(&a, rows[i].text, true), rows[i].repr);
    }
    arena_fini(&a);
}

static void test_depth_and_digits_are_bounded(void **state)
{
    static char text[4400];
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    memset(text, '[', LIMIT_JSON_DEPTH + 1);
    memset(text + LIMIT_JSON_DEPTH + 1, ']', LIMIT_JSON_DEPTH + 1);
    assert_non_null(read_and_dump(&a, (struct str){text + 1, 2 * LIMIT_JSON_DEPTH}, false));
    assert_null(read_and_dump(&a, (struct str){text, 2 * LIMIT_JSON_DEPTH + 2}, false));
    memset(text, '9', sizeof(text));
    assert_non_null(read_and_dump(&a, (struct str){text, INT_DIGITS_MAX}, false));
    assert_null(read_and_dump(&a, (struct str){text, INT_DIGITS_MAX + 1}, false));
    text[0] = '-';
    assert_non_null(read_and_dump(&a, (struct str){text, INT_DIGITS_MAX + 1}, false));
    assert_null(read_and_dump(&a, (struct str){text, INT_DIGITS_MAX + 2}, false));
    text[1] = '0';
    text[2] = '.';
    assert_string_equal(read_and_dump(&a, (struct str){text, sizeof(text)}, false), "-1.0");
    arena_fini(&a);
}

static void test_looking_at_values(void **state)
{
    static const char *const types[] = {"str",   "int",  "int",  "int",  "float",
                                        "float", "list", "dict", "bool", "NoneType"};
    struct document_error why;
    struct document_pair *pairs;
    struct arena a;
    yyjson_val *v;
    size_t n;

    (void)state;
    arena_init(&a, 1024);
    v = document_read(&a, STR("[\"\",1,-1,99999999999999999999,1.0,1e999,[],{},true,null]"), &why);
    assert_non_null(v);
    for (size_t i = 0; i < array_len(types); i++)
        assert_string_equal(document_type(yyjson_arr_get(v, i)), types[i]);
    assert_string_equal(document_type(NULL), "NoneType");
    v = document_read_text(&a, STR("{\"b\":1,\"a\":2,\"b\":3}"), &why);
    assert_int_equal(yyjson_get_int(document_get(v, STR("b"))), 3);
    assert_null(document_get(v, STR("c")));
    pairs = document_pairs(&a, v, &n);
    assert_int_equal(n, 2);
    assert_true(str_eq(pairs[0].key, STR("b")) && str_eq(pairs[1].key, STR("a")));
    assert_null(document_read_text(&a, STR("\xef\xbb\xbf{}"), &why));
    arena_fini(&a);
}

static void test_long_values_are_cut(void **state)
{
    struct document_error why;
    struct arena a;
    struct buf b;
    yyjson_val *v;

    (void)state;
    arena_init(&a, 1024);
    buf_init(&b);
    v = document_read(&a, STR("[1,\"\xc3\xa9\xc3\xa9\xc3\xa9\",{\"a\":2},3]"), &why);
    document_dump(&a, &b, v, 6);
    assert_true(str_eq(buf_str(&b), STR("[1,\"\\u")));
    buf_reset(&b);
    document_repr(&a, &b, v, 6);
    assert_true(str_eq(buf_str(&b), STR("[1, '")));
    buf_fini(&b);
    arena_fini(&a);
}

/* [first,0,0,...] of count values, itself included. */
static struct str crowd(char *text, const char *first, size_t count)
{
    char *p = stpcpy(stpcpy(text, "["), first);

    for (size_t i = 2; i < count; i++)
        p = stpcpy(p, ",0");
    p = stpcpy(p, "]");
    return (struct str){text, (size_t)(p - text)};
}

static void test_values_are_counted_before_they_cost_memory(void **state)
{
    struct document_error why;
    char *text = malloc(4u * LIMIT_JSON_VALUES);
    struct str s;
    struct arena a;

    (void)state;
    arena_init(&a, 4096);
    s = crowd(text, "0", LIMIT_JSON_VALUES);
    assert_non_null(document_read(&a, s, &why));
    arena_reset(&a);
    s = crowd(text, "0", LIMIT_JSON_VALUES + 1);
    assert_null(document_read(&a, s, &why));
    assert_string_equal(why.text, "it holds too many values");
    assert_true(arena_used(&a) < 2 * s.n); /* not even 16 bytes for each */
    arena_reset(&a);
    /* What stands in strings is none, wherever they seem to end. */
    s = crowd(text, "\"\\\"[,:{\\\\\"", LIMIT_JSON_VALUES);
    assert_non_null(document_read(&a, s, &why));
    arena_reset(&a);
    s = crowd(text, "\"[,:{", LIMIT_JSON_VALUES); /* a string without an end */
    assert_null(document_read(&a, s, &why));
    arena_fini(&a);
    free(text);
}

/* "byte 40" of a body of 30 helps nobody. */
static void test_the_place_of_an_error_is_in_the_text(void **state)
{
    static const char wide[] = "\xff\xfe{\0\"\0\x9e\x8a\x9e\x8a\x9e\x8a\x9e\x8a\x9e\x8a\x9e\x8a";
    struct document_error why;
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    assert_null(document_read(&a, (struct str){wide, sizeof(wide) - 1}, &why));
    assert_true(why.at <= sizeof(wide) - 1 && *why.text);
    assert_null(document_read(&a, STR("{\"a\":NaN, \"b\":}"), &why));
    assert_true(why.at <= 16 && *why.text);
    arena_fini(&a);
}

static void test_a_line_keeps_the_order_and_has_blanks(void **state)
{
    struct document_error why;
    struct arena a;
    struct buf b;

    (void)state;
    arena_init(&a, 1024);
    buf_init(&b);
    document_dump_line(&a, &b,
                       document_read_text(&a,
                                          STR("{\"b\":[1,{}],\"a\":1e400,\"b\":[NaN,null],"
                                              "\"\xc3\xa4\":-0.0}"),
                                          &why));
    assert_true(str_eq(buf_str(&b), STR("{\"b\": [NaN, null], \"a\": Infinity,"
                                        " \"\\u00e4\": -0.0}")));
    buf_fini(&b);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_no_json),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_more_than_json),
        cmocka_unit_test(test_depth_and_digits_are_bounded),
        cmocka_unit_test(test_values_are_counted_before_they_cost_memory),
        cmocka_unit_test(test_looking_at_values),
        cmocka_unit_test(test_the_place_of_an_error_is_in_the_text),
        cmocka_unit_test(test_a_line_keeps_the_order_and_has_blanks),
        cmocka_unit_test(test_long_values_are_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
