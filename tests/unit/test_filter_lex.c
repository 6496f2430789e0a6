/* filter_lex: sqlparse's tokens. Each row was compared with sqlparse 0.6.1. */
#include "gateway/search/filter_lex.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

static const char *const type_names[LEX_COUNT] = {
    "none", "_",    "nl",    "error", "key", "dml",    "ddl", "dcl",    "cte",   "order",
    "tz",   "name", "built", "place", "lit", "single", "sym", "int",    "float", "hex",
    "p",    "op",   "cmp",   "wild",  "com", "com2",   "asg", "command"};

struct row {
    const char *text;
    const char *tokens; /* type:text, blanks left out */
};

static const struct row rows[] = {
    {"metrics.acc > 0.1", "name:metrics p:. name:acc cmp:> float:0.1"},
    {"params.`p q`='1'", "name:params p:. name:`p q` cmp:= single:'1'"},
    {"params.in = 1", "name:params p:. key:in cmp:= int:1"},
    {"params.order = 1", "name:params p:. name:order cmp:= int:1"},
    {"a is not  null", "name:a key:is key:not  null"},
    {"x not like 'a' and", "name:x cmp:not like single:'a' key:and"},
    {"timestamp version source", "built:timestamp key:version key:source"},
    /* numbers */
    {"- 5 -5 +1", "op:- int:5 int:-5 op:+ int:1"},
    {"1e+5 1e-5 1E5", "name:1e op:+ int:5 float:1e-5 float:1E5"},
    {"12e 1a 12a", "int:1 name:2e name:1a int:1 name:2a"},
    {"1. .5 1.5x 1.x .5x .55x", "float:1. float:.5 float:1. name:5x int:1 p:. name:x p:. "
                                "name:5x float:.5 name:5x"},
    {"0x1F -0x1 0xg", "hex:0x1F hex:-0x1 name:0xg"},
    {"1_0", "name:1_0"},
    /* quotes */
    {"'it''s' 'it\\'s'", "single:'it''s' single:'it\\'s'"},
    {"'a''", "single:'a' error:'"},
    {"'a\\'", "single:'a\\'"},
    {"'a", "error:' name:a"},
    {"\"a\"\"b\" `a``b`", "sym:\"a\"\"b\" name:`a``b`"},
    {"\xC2\xB4x\xC2\xB4", "name:\xC2\xB4x\xC2\xB4"},
    {"[a] x[1] []", "name:[a] name:x p:[ int:1 p:] p:[ p:]"},
    /* comments and literals */
    {"a -- b\nc", "name:a com:-- b\n name:c"},
    {"a # b", "name:a com:# b"},
    {"/* a */ /*+ b */ /* c", "com2:/* a */ com2:/*+ b */ op:/ wild:* name:c"},
    {"$$a$$ $x$b$x$ $y$", "lit:$$a$$ lit:$x$b$x$ place:$y error:$"},
    {"a$$b$$ $ x $", "name:a$$b$$ error:$ name:x error:$"},
    /* marks */
    {":= :: :n ? %s %(n)s % \\x", "asg::= p::: place::n place:? place:%s place:%(n)s op:% "
                                  "command:\\x"},
    {"== <> !~ <@ -> ->> #> && |", "cmp:== cmp:<> cmp:!~ op:<@ op:-> op:->> op:#> op:&& op:|"},
    {"@ab @a ##ab", "name:@ab op:@ name:a name:##ab"},
    /* characters that are the same but for case: U+0131, U+017F, U+212A */
    {"\xC4\xB1n l\xC4\xB1ke a\xC5\xBF li\xE2\x84\xAA"
     "e",
     "key:\xC4\xB1n cmp:l\xC4\xB1ke "
     "key:a\xC5\xBF cmp:li\xE2\x84\xAA"
     "e"},
    {"\xEF\xAC\x81rst \xD9\xA3", "key:\xEF\xAC\x81rst int:\xD9\xA3"},
    {"\xC2\xA0", ""},
};

static void test_tokens_are_sqlparses(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct filter_lex l;
        struct filter_token t;
        char got[512] = "";
        size_t n = 0;
        uint32_t end = 0;

        filter_lex_init(&l, str_of(rows[i].text));
        while (filter_lex_next(&l, &t)) {
            assert_int_equal(t.start, end);
            end = t.end;
            if (t.type == LEX_WHITESPACE || t.type == LEX_NEWLINE)
                continue;
            n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%s:%.*s", n ? " " : "",
                                  type_names[t.type], (int)(t.end - t.start),
                                  rows[i].text + t.start);
        }
        assert_int_equal(end, strlen(rows[i].text));
        assert_string_equal(got, rows[i].tokens);
    }
}

static void test_words_are_exact(void **state)
{
    static const struct {
        const char *text;
        enum lex_word word;
    } words[] = {{"and", WORD_AND},       {"NOT NULL", WORD_NOT_NULL}, {"NOT  NULL", WORD_NONE},
                 {"end if", WORD_END_IF}, {"::", WORD_CAST},           {"`and`", WORD_NONE}};

    (void)state;
    for (size_t i = 0; i < array_len(words); i++) {
        struct filter_lex l;
        struct filter_token t;

        filter_lex_init(&l, str_of(words[i].text));
        assert_true(filter_lex_next(&l, &t));
        assert_int_equal(t.word, words[i].word);
        assert_false(filter_lex_next(&l, &t));
    }
}

static void test_tables_are_sorted(void **state)
{
    (void)state;
    for (size_t i = 1; i < array_len(keywords); i++)
        assert_true(strcmp(keywords[i - 1].text, keywords[i].text) < 0);
    for (size_t i = 1; i < array_len(marks); i++)
        assert_true(strcmp(marks[i - 1], marks[i]) < 0);
}

static void test_many_open_literals_give_up(void **state)
{
    static char text[1 << 20];
    struct filter_lex l;
    struct filter_token t;
    size_t n = 0;

    (void)state;
    for (unsigned i = 0; n + 16 < sizeof(text) / 2; i++)
        n += (size_t)snprintf(text + n, 16, "$a%u$ ", i);
    memset(text + n, 'x', sizeof(text) - n);
    filter_lex_init(&l, (struct str){text, sizeof(text)});
    while (filter_lex_next(&l, &t) && !l.is_exhausted)
        ;
    assert_true(l.is_exhausted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_are_sqlparses),
        cmocka_unit_test(test_words_are_exact),
        cmocka_unit_test(test_tables_are_sorted),
        cmocka_unit_test(test_many_open_literals_give_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
