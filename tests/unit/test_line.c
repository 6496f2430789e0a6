/* line: what must be quoted is, and nothing breaks out of its pair or its line. */
#include "base/line.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void assert_line(struct line *l, const char *expected)
{
    struct str got = line_end(l);

    assert_int_equal(got.n, strlen(expected));
    assert_memory_equal(got.p, expected, got.n);
}

static void test_logfmt(void **state)
{
    struct line l;

    (void)state;
    line_init(&l, false);
    line_pair_z(&l, "a", "1");
    line_pair_z(&l, "msg", "two words");
    line_pair_z(&l, "empty", "");
    line_pair_z(&l, "path", "C:\\\"x\"");
    line_pair_z(&l, "eq", "a=b");
    line_pair_z(&l, "lines", "x\ny\tz\x7f");
    line_pair_z(&l, "euro", "\xe2\x82\xac");
    assert_line(&l, "a=1 msg=\"two words\" empty=\"\" path=\"C:\\\\\\\"x\\\"\" eq=\"a=b\" "
                    "lines=\"x\\ny\\u0009z\\u007f\" euro=\"\xe2\x82\xac\"\n");
}

static void test_json(void **state)
{
    struct line l;

    (void)state;
    line_init(&l, true);
    line_pair_z(&l, "n", "12");
    line_pair_z(&l, "f", "-0.5");
    line_pair_z(&l, "id", "007");
    line_pair_z(&l, "dot", "1.");
    line_pair_z(&l, "ip", "10.0.0.7");
    line_pair_z(&l, "minus", "-");
    line_pair_z(&l, "huge", "1234567890123456");
    line_pair_z(&l, "s", "a\"b\\\n");
    assert_line(&l, "{\"n\":12,\"f\":-0.5,\"id\":\"007\",\"dot\":\"1.\",\"ip\":\"10.0.0.7\","
                    "\"minus\":\"-\",\"huge\":\"1234567890123456\",\"s\":\"a\\\"b\\\\\\n\"}\n");
}

static void test_bytes_that_are_not_utf8(void **state)
{
    struct line l;

    (void)state;
    line_init(&l, true);
    line_pair_z(&l, "a", "\xff");             /* never legal */
    line_pair_z(&l, "b", "\xe2\x82");         /* cut off */
    line_pair_z(&l, "c", "\xc0\x80");         /* overlong */
    line_pair_z(&l, "d", "\xf0\x9f\x98\x80"); /* four bytes, fine */
    line_pair_z(&l, "e", "\xed\xa0\x80");     /* a surrogate */
    line_pair_z(&l, "f", "\xf4\x90\x80\x80"); /* beyond U+10FFFF */
    line_pair_z(&l, "g", "\xe0\x80\x80");     /* overlong */
    assert_line(&l, "{\"a\":\"\\u00ff\",\"b\":\"\\u00e2\\u0082\",\"c\":\"\\u00c0\\u0080\","
                    "\"d\":\"\xf0\x9f\x98\x80\",\"e\":\"\\u00ed\\u00a0\\u0080\","
                    "\"f\":\"\\u00f4\\u0090\\u0080\\u0080\",\"g\":\"\\u00e0\\u0080\\u0080\"}\n");
}

static void test_texts_are_taken_apart(void **state)
{
    struct line l;

    (void)state;
    line_init(&l, true);
    line_pairs(&l, STR("  conn=2/117  peer=10.0.0.7 word "));
    assert_line(&l, "{\"conn\":\"2/117\",\"peer\":\"10.0.0.7\",\"note\":\"word\"}\n");
    line_init(&l, false);
    line_pairs(&l, STR(""));
    assert_line(&l, "\n");
}

static void test_keys_cannot_break_the_line(void **state)
{
    struct line l;

    (void)state;
    line_init(&l, false);
    line_pairs(&l, STR("a\nb=1"));
    assert_line(&l, "a\\nb=1\n");
}

static void test_long_values_are_cut(void **state)
{
    static char text[3000];
    struct line l;
    struct str got;

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    line_init(&l, false);
    line_pair_z(&l, "a", text);
    got = line_end(&l);
    assert_int_equal(got.n, strlen("a=\"...\"\n") + LINE_VALUE_MAX);
    assert_true(str_ends(got, STR("x...\"\n")));
}

static void test_pairs_without_room_are_left_out(void **state)
{
    static char text[LINE_VALUE_MAX + 1];

    (void)state;
    memset(text, '\n', LINE_VALUE_MAX);
    for (int is_json = 0; is_json < 2; is_json++) {
        struct line l;
        struct str got;

        line_init(&l, is_json);
        for (int i = 0; i < 100; i++)
            line_pair_z(&l, "key", text);
        line_pair_z(&l, "last", "1");
        got = line_end(&l);
        assert_true(got.n <= LINE_BYTES);
        assert_true(str_ends(got, is_json ? STR(",\"last\":1}\n") : STR(" last=1\n")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_bytes_that_are_not_utf8),
        cmocka_unit_test(test_texts_are_taken_apart),
        cmocka_unit_test(test_keys_cannot_break_the_line),
        cmocka_unit_test(test_long_values_are_cut),
        cmocka_unit_test(test_pairs_without_room_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
