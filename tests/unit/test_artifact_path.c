/* artifact_path: held against validate_path_is_safe of MLflow 3.17.2. */
#include "gateway/artifact/artifact_path.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* What is sent, as the HTTP layer decoded it once, and what is kept; NULL = refused. */
static void test_paths_are_kept_or_refused_as_by_mlflow(void **state)
{
    static const struct {
        const char *sent, *kept;
    } rows[] = {
        {"", ""},
        {"a/b", "a/b"},
        {"a#b", NULL},
        {"a%23b", NULL},
        {"a#", "a"},
        {"a?", "a"},
        {"a;", "a"},
        {"a;b=c", "a;b=c"},
        {"a?b", "a?b"},
        {"../x", NULL},
        {"a/../x", NULL},
        {"a/..", NULL},
        {"%2e%2e/x", NULL},
        {"%252e%252e/x", NULL},
        {"a%2f..%2fx", NULL},
        {"%25252525252525252525252525252e/x", NULL},
        {"/etc/passwd", NULL},
        {"%2fetc", NULL},
        {"//h/x", NULL},
        {"zz//etc/passwd", "zz//etc/passwd"},
        {"a%20b", "a b"},
        {"50%.txt", "50%.txt"},
        {"a+b", "a+b"},
        {"a\\b", "a\\b"},
        {"..\\x", "..\\x"},
        {"~x", "~x"},
        {"...", "..."},
        {".", "."},
        {"./b", "./b"},
        {"a\tb", "ab"},
        {"a\rb", "ab"},
        {"a%00b", "a%00b"},
        {"a\x7f"
         "b",
         "a%7fb"},
        {"a\x1b"
         "b",
         "a%1bb"},
        {" lead", "lead"},
        {"zz/ lead", "zz/ lead"},
        {"tail ", "tail "},
        {"Model:1", "model:1"},
        {"C:x", "c:x"},
        {"C:\\x", NULL},
        {"c:/x", NULL},
        {"\\\\a\\b", NULL},
        {"\\\\a", "\\\\a"},
        {"\\/a\\b", NULL},
        {"\\\\?\\x", NULL},
        {"\\x", "\\x"},
        {"file:x", NULL}, /* written back as file:///x */
        {"file:///etc/passwd", NULL},
        {"FILE:/etc", NULL},
        {"http://h/x", "http://h/x"},
        {"http://[h/x", NULL},
        {"\xff.txt", "\xef\xbf\xbd.txt"},
        {"\xe4\xbd\xa0", "\xe4\xbd\xa0"},
    };
    struct str nul = STR("a\0b"), out;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct fail f;
        err_t e;

        fail_init(&f, &arena);
        e = artifact_path_check(&arena, str_of(rows[i].sent), &out, &f);
        if (rows[i].kept ? e != OK || !str_eq(out, str_of(rows[i].kept))
                         : e != ERR_BAD_PARAM || !str_eq(f.text, STR("Invalid path")))
            fail_msg("%s: %d, %.*s", rows[i].sent, e, e ? 0 : (int)out.n, out.p);
    }
    assert_int_equal(artifact_path_check(&arena, nul, &out, NULL), OK);
    assert_true(str_eq(out, STR("a%00b")));
}

static void test_parts(void **state)
{
    (void)state;
    assert_true(str_eq(artifact_path_base(STR("a/b")), STR("b")));
    assert_true(str_eq(artifact_path_base(STR("a/")), STR("")));
    assert_true(str_eq(artifact_path_base(STR("a")), STR("a")));
    assert_true(str_eq(artifact_path_dir(STR("a///b")), STR("a")));
    assert_true(str_eq(artifact_path_dir(STR("a")), STR("")));
    assert_true(str_eq(artifact_path_dir(STR("/a")), STR("/")));
    assert_true(str_eq(artifact_path_join(&arena, STR("a/"), STR("b")), STR("a/b")));
    assert_true(str_eq(artifact_path_join(&arena, STR("a"), STR("")), STR("a/")));
    assert_true(str_eq(artifact_path_join(&arena, STR(""), STR("b")), STR("b")));
    assert_true(str_eq(artifact_path_norm(&arena, STR("a//./b/")), STR("a/b")));
    assert_true(str_eq(artifact_path_norm(&arena, STR(".")), STR("")));
}

static void test_a_name_that_resolves_to_another_is_told_so(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    assert_int_equal(artifact_path_check_unique(&arena, STR("zz/a"), &f), OK);
    assert_int_equal(artifact_path_check_unique(&arena, STR(""), &f), OK);
    assert_int_equal(artifact_path_check_unique(&arena, STR("zz/."), &f), ERR_INTERNAL);
    assert_true(str_eq(
        f.text, STR("Invalid artifact path: 'zz/.'. Names may be treated as files in certain cases,"
                    " and must not resolve to other names when treated as such. This name would"
                    " resolve to 'zz'")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths_are_kept_or_refused_as_by_mlflow),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_a_name_that_resolves_to_another_is_told_so),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
