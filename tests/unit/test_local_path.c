/* local_path: what is local, and where links lead. */
#include "gateway/artifact/local_path.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <cmocka.h>

static char folder[] = "/tmp/test_local_path.XXXXXX";
static char real[PATH_MAX]; /* folder, when /tmp is a link */

/* real/in -> run, real/out -> /, real/up -> .., real/loop -> loop */
static int make_folder(void **state)
{
    (void)state;
    return !(mkdtemp(folder) && realpath(folder, real) && chdir(real) == 0 &&
             mkdir("run", 0700) == 0 && symlink("run", "in") == 0 && symlink("/", "out") == 0 &&
             symlink("..", "run/up") == 0 && symlink("loop", "loop") == 0);
}

static int remove_folder(void **state)
{
    (void)state;
    return unlink("run/up") || unlink("in") || unlink("out") || unlink("loop") || rmdir("run") ||
           chdir("/") || rmdir(real);
}

static void test_what_is_local(void **state)
{
    static const struct {
        const char *uri;
        bool is_local;
    } rows[] = {
        {"/a", true},
        {"a", true},
        {"", true},
        {"//h/a", true},
        {"file:///a", true},
        {"file:a", true},
        {"FILE:///a", true},
        {"s3://b/a", false},
        {"databricks", false},
        {"file://localhost:5/a", true},
        {"file://./a", true},
        {"c:/x", false},
    };
    bool is_local;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_int_equal(local_path_is_local(&arena, str_of(rows[i].uri), &is_local, &why), OK);
        if (is_local != rows[i].is_local)
            fail_msg("%s", rows[i].uri);
    }
    assert_int_equal(local_path_is_local(&arena, STR("file://h/a"), &is_local, &why), ERR_INTERNAL);
    assert_true(str_starts(why.text, STR("file://h/a is not a valid remote uri.")));
}

static void test_resolving(void **state)
{
    static const char *const rows[][2] = {
        {"/nope/./a//../b/", "/nope/b"},
        {"file:///nope/%61?x", "/nope/a"},
        {"/nope/%61", "/nope/a"},
        {"/nope/a?x#y", "/nope/a?x#y"},
        {"/../..", "/"},
        {"//nope/a", "/nope/a"},
        {"in/x", "run/x"},
        {"in/../x", "x"},
        {"run/up/in/up/run/m", "run/m"},
        {"out/nope", "/nope"},
        {"x/../../", ".."},
        {"file:in", "run"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str got = local_path_resolve(&arena, str_of(rows[i][0]));
        struct str want = rows[i][1][0] == '/' ? str_of(rows[i][1])
                                               : arena_printf(&arena, "%s/%s", real, rows[i][1]);

        if (str_ends(want, STR("/..")))
            want = STR("/tmp");
        if (!str_eq(got, want))
            fail_msg("%s gave %.*s, not %.*s", rows[i][0], STR_ARG(got), STR_ARG(want));
    }
    assert_true(str_ends(local_path_resolve(&arena, STR("loop/x")), STR("/loop/x")));
}

static void test_within(void **state)
{
    (void)state;
    assert_true(local_path_is_within(STR("/a/b"), STR("/a")));
    assert_true(local_path_is_within(STR("/a"), STR("/a")));
    assert_true(local_path_is_within(STR("/a"), STR("/")));
    assert_false(local_path_is_within(STR("/ab"), STR("/a")));
    assert_false(local_path_is_within(STR("/"), STR("/a")));
}

/* A path of a megabyte is asked about only as far as paths can be. */
static void test_long_paths_cost_little(void **state)
{
    size_t n = (size_t)1 << 20;
    char *text = arena_alloc(&arena, n);

    (void)state;
    for (size_t i = 0; i < n; i++)
        text[i] = i % 2 ? 'a' : '/';
    assert_int_equal(local_path_resolve(&arena, (struct str){text, n}).n, n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_local, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_resolving, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_within, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_long_paths_cost_little, arena_begin, arena_end),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
