/* filter_split: where statements end. Each row was compared with sqlparse 0.6.1. */
#include "gateway/search/filter_split.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

struct row {
    const char *text;
    size_t count;
    const char *first; /* NULL: not looked at */
};

static const struct row rows[] = {
    {"", 0, NULL},
    {" \t\n", 0, NULL},
    {"a", 1, "a"},
    {"a;", 1, "a;"},
    {"a; ", 1, "a; "},
    {"a;\n", 1, "a;"},
    {"a;b", 2, "a;"},
    {"a; -- c", 1, "a; -- c"},
    {";;", 2, ";"},
    {"(a;b)", 1, "(a;b)"},
    {"begin a; b end; c", 2, "begin a; b end; "},
    {"begin; a", 2, "begin; "},
    {"begin transaction; a", 2, NULL},
    {"create x declare a; begin b; end; c", 2, NULL},
    {"begin for a loop b; end loop; end; c", 2, NULL},
    {"GO a", 2, "GO "},
    {"go a", 1, "go a"},
    {"GO 2", 1, "GO 2"},
    {"-- a", 1, "-- a"},
};

static void test_statements_are_sqlparses(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str text = str_of(rows[i].text);
        struct filter_node *first;
        struct arena a;
        size_t count;

        arena_init(&a, 4096);
        assert_true(filter_split(&a, text, &first, &count));
        assert_int_equal(count, rows[i].count);
        assert_int_equal(first != NULL, count > 0);
        if (rows[i].first)
            assert_true(str_eq(filter_node_text(text, first), str_of(rows[i].first)));
        arena_fini(&a);
    }
}

static bool splits(const char *piece, size_t n)
{
    struct str s = str_of(piece);
    struct filter_node *first;
    struct arena a;
    char *text;
    size_t count;
    bool is_ok;

    arena_init(&a, 4096);
    text = arena_alloc(&a, s.n * n + 1);
    for (size_t i = 0; i < n; i++)
        memcpy(text + i * s.n, s.p, s.n);
    is_ok = filter_split(&a, (struct str){text, s.n * n}, &first, &count);
    arena_fini(&a);
    return is_ok;
}

static void test_too_many_tokens_are_refused(void **state)
{
    (void)state;
    assert_true(splits("a ", 5000));
    assert_false(splits("a ", 5001));
    assert_true(splits(" ", 30000));
    assert_true(splits("\n", 300000));
    assert_false(splits("\n a", 5001));
    assert_true(splits("a;", 30000));
    assert_false(splits("a;", 60000));
}

static void test_comments_count_once(void **state)
{
    (void)state;
    assert_true(splits("-- x\na ", 3333));
    assert_false(splits("-- x\n", 10001));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements_are_sqlparses),
        cmocka_unit_test(test_too_many_tokens_are_refused),
        cmocka_unit_test(test_comments_count_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
