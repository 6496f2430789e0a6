/* run_name: every name that can be made fits; ids are UUIDs of version 4. */
#include "gateway/api/run_name.c"

#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct arena arena;

static void test_the_longest_name_has_twenty_characters(void **state)
{
    size_t longest_adjective = 0, longest_noun = 0;

    (void)state;
    for (size_t i = 0; i < array_len(adjectives); i++)
        if (strlen(adjectives[i]) > longest_adjective)
            longest_adjective = strlen(adjectives[i]);
    for (size_t i = 0; i < array_len(nouns); i++)
        if (strlen(nouns[i]) > longest_noun)
            longest_noun = strlen(nouns[i]);
    assert_in_range(longest_adjective + longest_noun + strlen("--1000"), 10, 20);
    assert_in_range(array_len(adjectives), 150, 170);
    assert_in_range(array_len(nouns), 110, 130);
}

static void test_words_are_lower_case_and_differ(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(adjectives); i++) {
        assert_int_equal(strspn(adjectives[i], "abcdefghijklmnopqrstuvwxyz"),
                         strlen(adjectives[i]));
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(adjectives[i], adjectives[k]);
    }
    for (size_t i = 0; i < array_len(nouns); i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(nouns[i], nouns[k]);
}

static void test_names_have_three_parts(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct str name = run_name_make(&arena);
        struct str rest = name;
        int64_t n;

        assert_true(str_cut(&rest, '-').n > 0);
        assert_true(str_cut(&rest, '-').n > 0);
        assert_true(str_to_i64(rest, &n));
        assert_in_range(n, 0, 1000);
        assert_in_range(name.n, 5, 20);
    }
}

static void test_ids_are_random_uuids(void **state)
{
    struct str a = run_name_id(&arena), b = run_name_id(&arena);

    (void)state;
    assert_int_equal(a.n, 32);
    assert_false(str_eq(a, b));
    assert_int_equal(strspn(a.p, "0123456789abcdef"), 32);
    assert_int_equal(a.p[12], '4');
    assert_non_null(strchr("89ab", a.p[16]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_longest_name_has_twenty_characters),
        cmocka_unit_test(test_words_are_lower_case_and_differ),
        cmocka_unit_test(test_names_have_three_parts),
        cmocka_unit_test(test_ids_are_random_uuids),
    };
    int failed;

    arena_init(&arena, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
