/* literal_token: Python's tokens, its line count and its limit on brackets. */
#include "gateway/search/literal_token.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

struct row {
    const char *text;
    const char *tokens; /* kind:text */
};

static const char kinds[] = {'.', 'n', '#', 's', 'o', '!'};

static const struct row rows[] = {
    {"(a,'b')", "o:( n:a o:, s:'b' o:) .:"},
    {"x<=y**2", "n:x o:<= n:y o:** #:2 .:"},
    {"0x1f 0b11 1_0 1.5e-3j .5", "#:0x1f #:0b11 #:1_0 #:1.5e-3j #:.5 .:"},
    {"1if 1 else", "#:1 n:if #:1 n:else .:"},
    {"1a", "!:"},
    {"1__0", "!:"},
    {"0b2", "!:"},
    {"Rb'\\'' u\"x\" f''", "s:Rb'\\'' s:u\"x\" s:f'' .:"},
    {"ur'x'", "n:ur s:'x' .:"},
    {"'''a\n'b'''", "s:'''a\n'b''' .:"},
    {"'a\n'", "!:"},
    {"'a\\\nb'", "s:'a\\\nb' .:"},
    {"(# c )\n)", "o:( o:) .:"},
    {"a\nb", "n:a !:"},
    {"a\\\nb", "n:a n:b .:"},
    {"\xC3\xA9 \xC2\xA0", "n:\xC3\xA9 !:"},
    {"$", "!:"},
};

static void test_tokens_are_pythons(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct literal_tokens p = {.text = str_of(rows[i].text), .line = 1};
        char got[256] = "";
        size_t n = 0;

        do {
            bool has_text;

            literal_next(&p);
            has_text = p.kind != TOKEN_END && p.kind != TOKEN_BAD;
            n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%c:%.*s", n ? " " : "",
                                  kinds[p.kind], has_text ? (int)p.token.n : 0, p.token.p);
        } while (p.kind != TOKEN_END && p.kind != TOKEN_BAD);
        assert_string_equal(got, rows[i].tokens);
    }
}

static void test_lines_are_counted(void **state)
{
    struct literal_tokens p = {.text = STR("(\r\n'''\n'''\n\rx)"), .line = 1};

    (void)state;
    literal_next(&p);
    literal_next(&p);
    assert_int_equal(p.token_line, 2);
    literal_next(&p);
    assert_true(literal_is(&p, "x"));
    assert_int_equal(p.token_line, 5);
}

static void test_brackets_are_bounded(void **state)
{
    static char text[LITERAL_DEPTH_MAX + 1];
    struct literal_tokens p = {.text = {text, sizeof(text)}, .line = 1};

    (void)state;
    memset(text, '(', sizeof(text));
    for (int i = 0; i < LITERAL_DEPTH_MAX; i++) {
        literal_next(&p);
        assert_int_equal(p.kind, TOKEN_OPERATOR);
    }
    literal_next(&p);
    assert_int_equal(p.kind, TOKEN_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_are_pythons),
        cmocka_unit_test(test_lines_are_counted),
        cmocka_unit_test(test_brackets_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
