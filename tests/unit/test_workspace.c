/* workspace: which names are names. */
#include "gateway/auth/workspace.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define X20 "xxxxxxxxxxxxxxxxxxxx"

static void test_names(void **state)
{
    static const char *const good[] = {
        "ab", "a1", "00", "a-b", "a--b", "default", X20 X20 X20 "abc"};
    static const struct {
        const char *name, *words;
    } bad[] = {
        {"", "must be between 2 and 63 characters."},
        {"a", "must be between 2 and 63 characters."},
        {"\xc3\xa4", "must be between 2 and 63 characters."}, /* one character of two bytes */
        {X20 X20 X20 "abcd", "must be between 2 and 63 characters."},
        {"\xc3\xa4\xc3\xa4", "must match the pattern"},
        {"-a", "must match the pattern"},
        {"a-", "must match the pattern"},
        {"aB", "must match the pattern"},
        {"a_b", "must match the pattern"},
        {"a b", "must match the pattern"},
        {"ab\n", "must match the pattern"},
        {"a/b", "must match the pattern"},
        {"api", "is reserved and cannot be used."},
        {"ajax-api", "is reserved and cannot be used."},
        {"workspaces", "is reserved and cannot be used."},
        {"static-files", "is reserved and cannot be used."},
    };
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(good); i++) {
        fail_init(&f, &a);
        assert_int_equal(workspace_check_name(str_of(good[i]), &f), OK);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        fail_init(&f, &a);
        assert_int_equal(workspace_check_name(str_of(bad[i].name), &f), ERR_BAD_PARAM);
        assert_non_null(strstr(arena_dup(&a, f.text).p, bad[i].words));
    }
    arena_fini(&a);
}

static void test_a_header_is_latin_1(void **state)
{
    struct arena a;

    (void)state;
    arena_init(&a, 64);
    assert_string_equal(header_text(&a, STR("a\xe4\xff")).p, "a\xc3\xa4\xc3\xbf");
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_header_is_latin_1),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
