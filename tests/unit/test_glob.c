/*
 * Tests of base/glob.c: the rows are what Python's fnmatch.fnmatchcase says.
 */
#include "base/glob.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const struct {
    const char *pattern, *text;
    bool matches;
} rows[] = {
    {"", "", true},
    {"", "a", false},
    {"*", "", true},
    {"*", "a.b", true},
    {"**", "a", true},
    {"a", "a", true},
    {"a", "A", false},
    {"a*", "b", false},
    {"*.svc", "a.svc", true},
    {"*.svc", "a.svc:5000", false},
    {"*.svc", ".svc", true},
    {"*a*b", "xaybzb", true},
    {"*a*b", "xaybzc", false},
    {"a?c", "abc", true},
    {"a?c", "ac", false},
    {"[[]::1]:*", "[::1]:5000", true},
    {"[[]::1]:*", ":::1]:5000", false},
    {"[::1]", "1", true},
    {"[::1]", "[::1]", false},
    {"[abc]", "b", true},
    {"[!abc]", "b", false},
    {"[!abc]", "d", true},
    {"[^a]", "^", true},
    {"[^a]", "b", false},
    {"[a-c]", "b", true},
    {"[c-a]", "b", false},
    {"[c-a]", "c", false},
    {"[!c-a]", "x", true},
    {"[a-c-e]", "-", true},
    {"[a-c-e]", "d", false},
    {"[a-]", "-", true},
    {"[-a]", "-", true},
    {"[]a]", "]", true},
    {"[!]a]", "]", false},
    {"[!]", "[!]", true},
    {"[]", "[]", true},
    {"[a", "[a", true},
    {"[[:alpha:]]", "x", false},
    {"[[:alpha:]]", "a]", true},
    {"[\\]", "\\", true},
    {"\\*", "\\x", true},
    {"\\*", "*", false},
};

static void test_it_says_what_python_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        if (glob_matches(str_of(rows[i].pattern), str_of(rows[i].text)) != rows[i].matches)
            fail_msg("%s and %s", rows[i].pattern, rows[i].text);
    }
}

static void test_many_stars_cost_little(void **state)
{
    char text[4000];

    (void)state;
    memset(text, 'a', sizeof(text));
    assert_false(
        glob_matches(str_of("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b"), (struct str){text, sizeof(text)}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_says_what_python_says),
        cmocka_unit_test(test_many_stars_cost_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
