/* literal: lists as ast.literal_eval and MLflow read them. Each row was tried on MLflow 3.17.2. */
#include "gateway/search/literal.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#define ILL                                                                                   \
    "While parsing a list in the query, expected a non-empty list of string values, but got " \
    "ill-formed list."
#define TYPE                                                                                     \
    "While parsing a list in the query, expected string value, punctuation, or whitespace, but " \
    "got different type in list: "

struct row {
    const char *text;
    const char *items; /* separated by | ; NULL: an error */
    const char *error;
};

static const struct row rows[] = {
    {"('a')", "a", NULL},
    {"('a', \"b\",)", "a|b", NULL},
    {"('a' 'b')", "ab", NULL},
    {"(u'a', r'\\x', '''q\n''')", "a|\\x|q\n", NULL},
    {"('a\\x41\\n\\u00e9\\q')", "aA\n\xC3\xA9\\q", NULL},
    {"((('a')),)", "a", NULL},
    {"(('a','b'))", "a|b", NULL},
    {"(\n'a' # c\n,'b')", "a|b", NULL},
    {"('\\ud800')", "\xED\xA0\x80", NULL},
    {"()", NULL,
     "While parsing a list in the query, expected a non-empty list of string values, but got empty "
     "list"},
    {"(1, 2)", NULL, TYPE "(1, 2)"},
    {"(1)", NULL, TYPE "(1,)"},
    {"(1e5, .5, 0x1f, 1_000, 1j)", NULL, TYPE "(100000.0, 0.5, 31, 1000, 1j)"},
    {"('a', None, True, ...)", NULL, TYPE "('a', None, True, Ellipsis)"},
    {"(b'\\xff', -1, 1+2j)", NULL, TYPE "(b'\\xff', -1, (1+2j))"},
    {"([1, 'a'], {2}, {3: 4}, set())", NULL, TYPE "([1, 'a'], {2}, {3: 4}, set())"},
    {"(('a','b'),'c')", NULL, TYPE "(('a', 'b'), 'c')"},
    {"(x)", NULL, "malformed node or string on line 1: <ast.Name object at 0x7f0000000000>"},
    {"('a',\n x)", NULL, "malformed node or string on line 2: <ast.Name object at 0x7f0000000000>"},
    {"('a', 1+2)", NULL,
     "malformed node or string on line 1: <ast.BinOp object at 0x7f0000000000>"},
    {"(f'a')", NULL,
     "malformed node or string on line 1: <ast.JoinedStr object at 0x7f0000000000>"},
    {"('a',", NULL, ILL},
    {"('a',,)", NULL, ILL},
    {"(a b)", NULL, ILL},
    {"(07)", NULL, ILL},
    {"('\\x4')", NULL, ILL},
    {"(b'a' 'b')", NULL, ILL},
};

static void test_lists_are_read_as_python_does(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str *items;
        struct arena a;
        struct fail f;
        size_t count;
        err_t e;

        arena_init(&a, 4096);
        fail_init(&f, &a);
        e = literal_list(&a, str_of(rows[i].text), &items, &count, &f);
        if (rows[i].items) {
            struct str want = str_of(rows[i].items);

            assert_int_equal(e, OK);
            for (size_t k = 0; k < count; k++)
                assert_true(str_eq(items[k], str_cut(&want, '|')));
            assert_int_equal(want.n, 0);
        } else {
            bool is_malformed = strncmp(rows[i].error, "malformed", 9) == 0;

            assert_int_equal(e, is_malformed ? ERR_INTERNAL : ERR_BAD_PARAM);
            assert_true(str_eq(f.text, str_of(rows[i].error)));
        }
        arena_fini(&a);
    }
}

static void test_a_nul_is_ill_formed(void **state)
{
    struct str *items;
    struct arena a;
    struct fail f;
    size_t count;

    (void)state;
    arena_init(&a, 4096);
    fail_init(&f, &a);
    assert_int_equal(literal_list(&a, STR("('a\0')"), &items, &count, &f), ERR_BAD_PARAM);
    assert_true(str_eq(f.text, STR(ILL)));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_are_read_as_python_does),
        cmocka_unit_test(test_a_nul_is_ill_formed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
