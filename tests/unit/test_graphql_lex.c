/* graphql_lex: tokens as graphql-core cuts them, strings, blocks, and what is refused. */
#include "gateway/graphql/graphql_lex.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

struct row {
    const char *text;
    const char *tokens; /* kind:text, of strings what they mean */
};

static const char kinds[] = {'.', '!', 'n', 'i', 'f', 's'};

static const struct row rows[] = {
    {"", ".:"},
    {"{a,b}", "!:{ n:a n:b !:} .:"},
    {"\xEF\xBB\xBF{ # c } \"\n...\t}\r", "!:{ !:... !:} .:"},
    {"$a:[T!]!=@d(x:1)|&",
     "!:$ n:a !:: !:[ n:T !:! !:] !:! !:= !:@ n:d !:( n:x !:: i:1 !:) !:| !:& .:"},
    {"_a1 A_ 0 -0 -12 1.5 1e3 -1.0E-5", "n:_a1 n:A_ i:0 i:-0 i:-12 f:1.5 f:1e3 f:-1.0E-5 .:"},
    {"\"\" \"a\" \"#,\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "s: s:a s:#,\"\\/\b\f\n\r\t .:"},
    {"\"\\u00e9\\u{1F600}\\uD83D\\uDE00\\u20ac\"",
     "s:\xC3\xA9\xF0\x9F\x98\x80\xF0\x9F\x98\x80\xE2\x82\xAC .:"},
    {"\"\"\"\"\"\"", "s: .:"},
    {"\"\"\"  a\n    b\n   c\n\n  \"\"\"", "s:  a\n b\nc .:"},
    {"\"\"\"\r\n  a\r\n  \\\"\"\" b\r\n\"\"\"", "s:a\n\"\"\" b .:"},
    {"\"\"\" \n \"\"\"", "s: .:"},
};

static const struct row refused[] = {
    {"a\n  ?", "line 2, column 3: Unexpected character"},
    {"\r\n\r?", "line 3, column 1: Unexpected character"},
    {"..", "line 1, column 1: Unexpected character"},
    {"00", "column 2: Invalid number, unexpected digit after 0"},
    {"-", "column 2: Invalid number, expected a digit"},
    {"1.", "column 3: Invalid number, expected a digit"},
    {"1e", "column 3: Invalid number, expected a digit"},
    {"1a", "column 2: Invalid number, expected a digit"},
    {"1.0.0", "column 4: Invalid number, expected a digit"},
    {"\"a", "column 3: Unterminated string"},
    {"\"a\nb\"", "column 3: Unterminated string"},
    {"\"\"\"a\"\"", "column 7: Unterminated string"},
    {"\"\\x\"", "column 2: Invalid character escape sequence"},
    {"\"\\", "column 2: Invalid character escape sequence"},
    {"\"\\u12\"", "column 2: Invalid Unicode escape sequence"},
    {"\"\\uD83D\"", "column 2: Invalid Unicode escape sequence"},
    {"\"\\uDE00\"", "column 2: Invalid Unicode escape sequence"},
    {"\"\\uD83D\\u0041\"", "column 2: Invalid Unicode escape sequence"},
    {"\"\\u{}\"", "column 2: Invalid Unicode escape sequence"},
    {"\"\\u{110000}\"", "column 2: Invalid Unicode escape sequence"},
    {"\"\\u{D800}\"", "column 2: Invalid Unicode escape sequence"},
    {"\"\\u{000000000041}\"", "column 2: Invalid Unicode escape sequence"},
};

static void test_tokens_are_graphqls(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct graphql_token t = {.kind = GRAPHQL_NAME};
        struct graphql_lex l;
        char got[512] = "";
        size_t n = 0;

        graphql_lex_init(&l, &arena, str_of(rows[i].text));
        while (t.kind != GRAPHQL_END) {
            struct str text;

            assert_int_equal(graphql_lex_next(&l, &t, NULL), OK);
            text = t.kind == GRAPHQL_STRING ? t.value : t.text;
            n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%c:%.*s", n ? " " : "",
                                  kinds[t.kind], STR_ARG(text));
        }
        assert_string_equal(got, rows[i].tokens);
    }
}

static void test_what_is_no_token_is_refused_with_its_place(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(refused); i++) {
        struct graphql_token t = {.kind = GRAPHQL_NAME};
        struct graphql_lex l;
        struct fail f;
        err_t e = OK;

        fail_init(&f, &arena);
        graphql_lex_init(&l, &arena, str_of(refused[i].text));
        while (!e && t.kind != GRAPHQL_END)
            e = graphql_lex_next(&l, &t, &f);
        assert_int_equal(e, ERR_BAD_PARAM);
        assert_non_null(strstr(arena_cstr(&arena, f.text), refused[i].tokens));
    }
}

static void test_a_nul_is_no_character(void **state)
{
    struct graphql_token t;
    struct graphql_lex l;

    (void)state;
    graphql_lex_init(&l, &arena, (struct str){"\0", 1});
    assert_int_equal(graphql_lex_next(&l, &t, NULL), ERR_BAD_PARAM);
}

static void test_tokens_are_bounded(void **state)
{
    static char text[GRAPHQL_TOKENS_MAX + 1];
    struct graphql_token t;
    struct graphql_lex l;

    (void)state;
    memset(text, '{', sizeof(text));
    graphql_lex_init(&l, &arena, (struct str){text, sizeof(text)});
    for (int i = 0; i < GRAPHQL_TOKENS_MAX; i++)
        assert_int_equal(graphql_lex_next(&l, &t, NULL), OK);
    assert_int_equal(graphql_lex_next(&l, &t, NULL), ERR_BAD_PARAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_are_graphqls),
        cmocka_unit_test(test_what_is_no_token_is_refused_with_its_place),
        cmocka_unit_test(test_a_nul_is_no_character),
        cmocka_unit_test(test_tokens_are_bounded),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
