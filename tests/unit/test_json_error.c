/* json_error: Python 3.11's words and places; each row was tried on it. */
#include "ingest/json_error.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    struct str text;
    const char *error;
} rows[] = {
#include "tests/unit/json_error_rows.def"
};

static void test_words_are_pythons(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str got = json_error(&a, rows[i].text);

        assert_string_equal(arena_cstr(&a, got), rows[i].error);
    }
    arena_fini(&a);
}

static void test_nesting_has_no_bound(void **state)
{
    enum { DEPTH = 100000 };
    struct arena a;
    char *deep;

    (void)state;
    arena_init(&a, 1024);
    deep = arena_alloc(&a, DEPTH);
    memset(deep, '[', DEPTH);
    assert_true(str_eq(json_error(&a, (struct str){deep, DEPTH}),
                       STR("Expecting value: line 1 column 100001 (char 100000)")));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_pythons),
        cmocka_unit_test(test_nesting_has_no_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
