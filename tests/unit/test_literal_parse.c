/* literal_parse: which texts are Python expressions, and of what class. */
#include "gateway/search/literal_parse.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct row {
    const char *text;
    const char *class; /* NULL: a SyntaxError */
};

static const struct row rows[] = {
    {"('a')", "Constant"},
    {"('a',)", "Tuple"},
    {"(x)", "Name"},
    {"(x.y)", "Attribute"},
    {"(x[1:2, ::3])", "Subscript"},
    {"(f(a, b=1, *c, **d))", "Call"},
    {"(set())", "Call"},
    {"(not x)", "UnaryOp"},
    {"(-1)", "UnaryOp"},
    {"(1 + 2)", "BinOp"},
    {"(a-b)", "BinOp"},
    {"(2 ** -1)", "BinOp"},
    {"(a < b)", "Compare"},
    {"(a not in b)", "Compare"},
    {"(a is not b)", "Compare"},
    {"(a or b)", "BoolOp"},
    {"(a if b else c)", "IfExp"},
    {"(lambda x: 1)", "Lambda"},
    {"(x for x in y if z)", "GeneratorExp"},
    {"([x for x in y])", "ListComp"},
    {"({x for x in y})", "SetComp"},
    {"({x: 1 for x in y})", "DictComp"},
    {"({1: 2, **x})", "Dict"},
    {"({1, 2})", "Set"},
    {"([])", "List"},
    {"(x := 1)", "NamedExpr"},
    {"(*a,)", "Tuple"},
    {"(yield)", "Yield"},
    {"(await x)", "Await"},
    {"(f'a' 'b')", "JoinedStr"},
    {"(...)", "Constant"},
    {"(*a)", NULL},
    {"(a b)", NULL},
    {"(if)", NULL},
    {"(1 +)", NULL},
    {"(a not b)", NULL},
    {"(a[])", NULL},
    {"(a.if)", NULL},
    {"(1 := 2)", NULL},
    {"(x for in y)", NULL},
    {"(a", NULL},
    {"(a))", NULL},
    {"(x for x)", NULL},
    {"(1 + not x)", NULL},
    {"('a' b'c')", NULL},
    {"({1: 2, 3})", NULL},
    {"('\\N{DASH}')", NULL},
    {"(0777)", NULL},
    {"", NULL},
};

static void test_expressions_have_pythons_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct literal *n;
        struct arena a;

        arena_init(&a, 4096);
        n = literal_parse(&a, str_of(rows[i].text));
        assert_int_equal(n != NULL, rows[i].class != NULL);
        if (n)
            assert_string_equal(n->class, rows[i].class);
        arena_fini(&a);
    }
}

static void test_nesting_is_bounded(void **state)
{
    static const char *const pieces[] = {"(", "-", "not ", "1 if 1 else ", "[", "lambda: "};

    (void)state;
    for (size_t i = 0; i < array_len(pieces); i++) {
        struct arena a;
        struct buf text;

        arena_init(&a, 4096);
        buf_init(&text);
        for (int k = 0; k < 100000; k++)
            buf_printf(&text, "%s", pieces[i]);
        buf_add_byte(&text, '1');
        assert_null(literal_parse(&a, buf_str(&text)));
        buf_fini(&text);
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expressions_have_pythons_class),
        cmocka_unit_test(test_nesting_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
