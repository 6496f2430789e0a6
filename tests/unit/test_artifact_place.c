/*
 * Tests of gateway/artifact/artifact_place.c: which store a location is in, and whose folder a path
 * is in.
 */
#include "gateway/artifact/artifact_place.c"
#include "tests/unit/arena_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_stores_by_scheme(void **state)
{
    static const struct {
        const char *uri;
        const struct artifact_ops *ops;
        const char *root;
    } rows[] = {
        {"/a/b", &artifact_store_local, "/a/b"},
        {"file:///a/b%20c", &artifact_store_local, "/a/b c"},
        {"FILE:///a", &artifact_store_local, "/a"},
        {"/a%20b", &artifact_store_local, "/a b"},
        {"s3://bucket/a/b", &artifact_store_s3, "bucket/a/b"},
        {"s3://bucket", &artifact_store_s3, "bucket/"},
        {"s3://bucket/", &artifact_store_s3, "bucket/"},
        {"s3://bucket//a", &artifact_store_s3, "bucket//a"},
        {"gs://bucket/a", NULL, "gs://bucket/a"},
        {"s3a://bucket/a", NULL, "s3a://bucket/a"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct artifact_place at;

        assert_int_equal(artifact_place_store(&arena, str_of(rows[i].uri), &at),
                         rows[i].ops != NULL);
        assert_ptr_equal(at.ops, rows[i].ops);
        if (!str_eq(at.root, str_of(rows[i].root)))
            print_message("%s: %.*s\n", rows[i].uri, STR_ARG(at.root));
        assert_true(str_eq(at.root, str_of(rows[i].root)));
    }
}

static void test_a_relative_directory_is_here(void **state)
{
    struct artifact_place at;
    char here[PATH_MAX];

    (void)state;
    assert_non_null(getcwd(here, sizeof(here)));
    assert_true(artifact_place_store(&arena, STR("./mlartifacts"), &at));
    assert_true(str_starts(at.root, str_of(here)));
    assert_true(str_ends(at.root, STR("/mlartifacts")));
}

/* path, workspace, where it lies; NULL: refused */
static const char *const scoped[][3] = {
    {"1/r/a", "default", "1/r/a"},
    {"1/r/a", "w", "workspaces/w/1/r/a"},
    {"", "w", "workspaces/w"},
    {"", "default", ""},
    {"workspaces/w/1", "w", "workspaces/w/1"},
    {"./workspaces//w/1", "w", "./workspaces//w/1"},
    {"workspaces/w", "w", "workspaces/w"},
    {"workspaces/other/1", "w", NULL},
    {"workspaces/w2", "w", NULL},
    {"workspaces/w/1", "default", NULL},
    {"workspaces//other/1", "default", NULL},
    {"./workspaces/./other/1", "default", NULL},
    {"workspaces", "w", NULL},
    {"workspaces/", "default", NULL},
    {"workspaces/.", "w", NULL},
    {"workspacesx/w", "w", "workspaces/w/workspacesx/w"},
    {"a/workspaces/other", "w", "workspaces/w/a/workspaces/other"},
};

static void test_a_workspace_has_its_own_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(scoped); i++) {
        struct str out;
        err_t e =
            artifact_place_scoped(&arena, str_of(scoped[i][0]), str_of(scoped[i][1]), &out, &why);

        assert_int_equal(e, scoped[i][2] ? OK : ERR_BAD_PARAM);
        if (e == OK)
            assert_true(str_eq(out, str_of(scoped[i][2])));
    }
}

static void test_paths_of_proxied_locations(void **state)
{
    static const char *const rows[][2] = {
        {"mlflow-artifacts:/1/r/artifacts", "1/r/artifacts"},
        {"mlflow-artifacts://h:5000/1/r", "1/r"},
        {"mlflow-artifacts:", ""},
        {"http://h/api/2.0/mlflow-artifacts/artifacts/1/r", "1/r"},
        {"https://h/prefix/api/2.0/mlflow-artifacts/artifacts//1", "1"},
        {"http://h/api/2.0/mlflow-artifacts/artifacts/", ""},
        {"http://h/api/2.0/mlflow-artifacts/artifacts", NULL},
        {"http://h/1/r", NULL},
        {"http://h", NULL},
    };
    struct str path, scheme;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        err_t e = artifact_place_proxied_path(&arena, str_of(rows[i][0]), &path, &why);

        assert_int_equal(e, rows[i][1] ? OK : ERR_INTERNAL);
        if (e == OK)
            assert_true(str_eq(path, str_of(rows[i][1])));
        assert_true(artifact_place_is_proxied(&arena, str_of(rows[i][0]), &scheme));
    }
    assert_false(artifact_place_is_proxied(&arena, STR("s3://h/a"), &scheme));
    assert_true(str_eq(scheme, STR("s3")));
    assert_false(artifact_place_is_proxied(&arena, STR("/http://h/a"), &scheme));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stores_by_scheme),
        cmocka_unit_test(test_a_relative_directory_is_here),
        cmocka_unit_test(test_a_workspace_has_its_own_folder),
        cmocka_unit_test(test_paths_of_proxied_locations),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
