/* filter_group: sqlparse's trees. Each row was compared with sqlparse 0.6.1. */
#include "gateway/search/filter_group.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "base/buf.h"
#include "gateway/search/filter_split.h"

static const char *const class_names[] = {
    "",     "stmt",  "comment", "brackets", "paren", "case", "if",     "for",  "begin", "over",
    "func", "where", "id",      "typed",    "op",    "cmp",  "assign", "list", "values"};

struct row {
    const char *text;
    const char *tree; /* class(...) around tokens, blanks left out */
};

static const struct row rows[] = {
    {"a = 1 and b.c='x'", "cmp(id(a)=1)|and|cmp(id(b.c)='x')"},
    {"metrics.m-1 = 1", "id(metrics.m)|cmp(-1=1)"},
    {"metrics. a > 1", "cmp(id(metrics. a)>1)"},
    {"a .b = 1", "cmp(id(a .b)=1)"},
    {"(a = 1)", "paren((cmp(id(a)=1)))"},
    {"run_id in ('a', 'b')", "id(run_id)|in|paren((list('a','b')))"},
    {"a in ('x') b", "id(a)|in|id(paren(('x'))id(b))"},
    {"a = 'x' b = 'y'", "cmp(id(a)='x')|cmp(id(b)='y')"},
    {"a = 'x' b", "id(cmp(id(a)='x')id(b))"},
    {"f(x) = 1", "cmp(func(id(f)paren((id(x))))=1)"},
    {"a = b = c", "cmp(cmp(id(a)=id(b))=id(c))"},
    {"a + b * 2", "op(op(id(a)+id(b))*2)"},
    {"x::int desc", "id(x::int)|desc"},
    {"a desc, b", "list(id(id(a)desc),id(b))"},
    {"a as b", "id(aasid(b))"},
    {"date '2001' = a", "date|cmp('2001'=id(a))"},
    {"x date '2001'", "id(x)|typed(date'2001')"},
    {"case a end = 1", "case(caseid(a)end)|=|1"},
    {"a := b c;", "assign(id(a):=id(bid(c));)"},
    {"a = 'b' /* c */ and", "cmp(id(a)='b'comment())|and"},
    {"a[1].b", "id(aid(brackets([1]).b))"},
    {"where a limit b", "where(whereid(a))|limit|id(b)"},
    {"values (1) (2)", "values(valuesparen((1))paren((2)))"},
};

static void show(struct buf *out, struct str text, const struct filter_node *n)
{
    struct str s = filter_node_text(text, n);

    if (filter_node_is_space(n))
        return;
    if (n->class == GROUP_LEAF) {
        buf_add_str(out, s);
        return;
    }
    buf_printf(out, "%s(", class_names[n->class]);
    /* A dotted name keeps its blanks. */
    if (n->class == GROUP_IDENTIFIER && n->tokens[0]->class == GROUP_LEAF && n->count > 1 &&
        memchr(s.p, '.', s.n) && !memchr(s.p, '[', s.n))
        buf_add_str(out, s);
    else
        for (uint32_t i = 0; i < n->count; i++)
            show(out, text, n->tokens[i]);
    buf_add_byte(out, ')');
}

static void test_trees_are_sqlparses(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str text = str_of(rows[i].text);
        struct filter_node *statement;
        struct arena a;
        struct buf got;
        size_t count;

        arena_init(&a, 4096);
        buf_init(&got);
        assert_true(filter_split(&a, text, &statement, &count));
        assert_int_equal(count, 1);
        for (uint32_t k = 0; k < statement->count; k++) {
            if (buf_len(&got) && !filter_node_is_space(statement->tokens[k]))
                buf_add_byte(&got, '|');
            show(&got, text, statement->tokens[k]);
        }
        buf_add_byte(&got, '\0');
        assert_string_equal(buf_str(&got).p, rows[i].tree);
        buf_fini(&got);
        arena_fini(&a);
    }
}

/* n times open, then x, then n times close. */
static bool parses(const char *open, const char *close, unsigned n)
{
    struct filter_node *statement;
    struct arena a;
    struct buf text;
    size_t count;
    bool is_ok;

    arena_init(&a, 4096);
    buf_init(&text);
    for (unsigned i = 0; i < n; i++)
        buf_printf(&text, "%s", open);
    buf_add_byte(&text, 'x');
    for (unsigned i = 0; i < n; i++)
        buf_printf(&text, "%s", close);
    is_ok = filter_split(&a, buf_str(&text), &statement, &count);
    buf_fini(&text);
    arena_fini(&a);
    return is_ok;
}

static void test_nesting_is_bounded(void **state)
{
    (void)state;
    assert_true(parses("(", ")", 100 - 1));
    assert_false(parses("(", ")", 101));
    assert_false(parses("1+", "", 200));
    assert_false(parses("begin ", " end", 200));
    assert_true(parses("a,", "", 4000));
    assert_false(parses("a,", "", 6000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees_are_sqlparses),
        cmocka_unit_test(test_nesting_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
