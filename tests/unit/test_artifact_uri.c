/* artifact_uri: held against what urllib.parse made of the same locations in MLflow 3.17.2. */
#include "gateway/artifact/artifact_uri.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <stdio.h>
#include <cmocka.h>

static struct arena arena;

static void test_append_follows_mlflow(void **state)
{
    static const char *const rows[][2] = {
        {"mlflow-artifacts:/", "mlflow-artifacts:/7"},
        {"mlflow-artifacts:/a/", "mlflow-artifacts:/a/7"},
        {"s3://b", "s3://b/7"},
        {"s3://b/", "s3://b/7"},
        {"s3://b/x/", "s3://b/x/7"},
        {"s3://b/x?k=v", "s3://b/x/7?k=v"},
        {"s3://b?k=v", "s3://b/7?k=v"},
        {"s3://b/x#f", "s3://b/x/7#f"},
        {"/abs/", "/abs/7"},
        {"/abs", "/abs/7"},
        {"rel", "rel/7"},
        {"", "7"},
        {"file:///a", "file:///a/7"},
        {"file:/a", "file:///a/7"},
        {"file:a", "file:a/7"},
        {"gs://b//x", "gs://b//x/7"},
        {"dbfs:/a", "dbfs:/a/7"},
        {"dbfs:a", "dbfs:a/7"},
        {"S3://B/x", "s3://B/x/7"},
        {"wasbs://c@h.blob.core.windows.net/p", "wasbs://c@h.blob.core.windows.net/p/7"},
        {"mlflow-artifacts:////h/x", "mlflow-artifacts:////h/x/7"}, /* h stays no host */
        {"file:////h/x", "file:////h/x/7"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str got = artifact_uri_append(&arena, str_of(rows[i][0]), STR("7"));

        if (!str_eq(got, str_of(rows[i][1])))
            fail_msg("%s gave %.*s, not %s", rows[i][0], STR_ARG(got), rows[i][1]);
    }
    assert_true(str_eq(artifact_uri_append(&arena, STR("s3://b/1"), STR("r1/artifacts")),
                       STR("s3://b/1/r1/artifacts")));
}

static void test_check_refuses_in_mlflows_order_and_words(void **state)
{
    static const char *const rows[][2] = {
        {"s3://b/x#f", "'artifact_location' URL can't include fragments or params."},
        {"/a;p", "'artifact_location' URL can't include fragments or params."},
        {"s3://b/x?a=../..", "Invalid query string"},
        {"s3://b/x?a=%2e%2e", "Invalid query string"},
        {"s3://b/x?a=%252e%252E", "Invalid query string"},
        {"http://h/x", "'artifact_location' cannot use the 'http' scheme: the 'http' scheme"},
        {"HTTP://h/x", "'artifact_location' cannot use the 'http' scheme"},
        {"ht\ntp://h/x", "'artifact_location' cannot use the 'http' scheme"},
        {" http://h/x", "'artifact_location' cannot use the 'http' scheme"},
        {"ftp:///x", "'artifact_location' cannot use the 'ftp' scheme"},
        {"mlflow-artifacts://h/x", "'artifact_location' cannot use the 'mlflow-artifacts' scheme"},
        {"abfss://f@a.dfs.core.windows.net/x", "'artifact_location' cannot use the 'abfss' scheme"},
        {"runs:/x/y", "Artifact location cannot be a runs:/ URI. Given: 'runs:/x/y'"},
    };
    struct fail f;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        fail_init(&f, &arena);
        if (artifact_uri_check(&arena, str_of(rows[i][0]), STR("s3://own"), "artifact_location",
                               &f) != ERR_BAD_PARAM)
            fail_msg("%s was let through", rows[i][0]);
        if (!str_starts(f.text, str_of(rows[i][1])))
            fail_msg("%s said %.*s", rows[i][0], STR_ARG(f.text));
    }
}

static void test_check_lets_storage_through(void **state)
{
    static const char *const good[] = {
        "s3://b/x",
        "s3://b/x?k=v.",
        "gs://b",
        "/abs",
        "rel/x",
        "file:///a",
        "mlflow-artifacts:/a",
        "s3://b/a;p",
        "wasbs://c@h.blob.core.windows.net/p",
        "",
        "dbfs:/a",
    };
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    for (size_t i = 0; i < array_len(good); i++)
        if (artifact_uri_check(&arena, str_of(good[i]), STR("s3://own"), "artifact_location", &f))
            fail_msg("%s: %.*s", good[i], STR_ARG(f.text));
}

static void test_an_operator_may_allow_a_scheme(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    setenv("MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES", "r2, FTP", 1);
    assert_int_equal(
        artifact_uri_check(&arena, STR("ftp://h/x"), STR("s3://own"), "artifact_location", &f), OK);
    assert_int_equal(artifact_uri_check_use(&arena, STR("r2://b@h/x"), STR("s3://own"), &f), OK);
    assert_int_equal(
        artifact_uri_check(&arena, STR("sftp://h/x"), STR(""), "artifact_location", &f),
        ERR_BAD_PARAM);
    unsetenv("MLFLOW_ALLOWED_HOST_ADDRESSED_ARTIFACT_SCHEMES");
    assert_int_equal(
        artifact_uri_check(&arena, STR("ftp://h/x"), STR("s3://own"), "artifact_location", &f),
        ERR_BAD_PARAM);
}

static void test_the_servers_own_host_may_be_named(void **state)
{
    static const struct {
        const char *root, *uri;
        bool is_good;
    } rows[] = {
        {"http://h/x", "http://h/y", true},
        {"http://h/x", "http://h:80/y", true},
        {"http://H/x", "http://h/y", true},
        {"http://h/x", "https://h/y", false},
        {"http://h/x", "https://h:80/y", true},
        {"http://h/x", "mlflow-artifacts://h/y", true},
        {"https://h/x", "mlflow-artifacts://h/y", true},
        {"http://h/x", "http://i/y", false},
        {"http://h:81/x", "http://h/y", false},
        {"http://h/x", "http://h:notaport/y", false},
        {"http://h/x", "http://evil\\@h/y", false},
        {"hdfs://h/x", "viewfs://h/y", true},
        {"hdfs://h/x", "hdfs://h:8020/y", false},
        {"http://[::1]:5000/x", "http://[::1]:5000/y", true},
        {"http://[::1]/x", "http://[::1]:5000/y", false},
        {"http://h/x", "http://user@h/y", true},
    };
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    for (size_t i = 0; i < array_len(rows); i++)
        if ((artifact_uri_check(&arena, str_of(rows[i].uri), str_of(rows[i].root),
                                "artifact_location", &f) == OK) != rows[i].is_good)
            fail_msg("%s at a server with %s", rows[i].uri, rows[i].root);
}

static void test_length_counts_code_points(void **state)
{
    static char text[2 * (LIMIT_ARTIFACT_LOCATION + 1)];
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    for (size_t i = 0; i < sizeof(text); i += 2)
        memcpy(text + i, "ä", 2);
    assert_int_equal(artifact_uri_check(&arena, (struct str){text, sizeof(text) - 2}, STR(""),
                                        "artifact_location", &f),
                     OK);
    assert_int_equal(artifact_uri_check(&arena, (struct str){text, sizeof(text)}, STR(""),
                                        "artifact_location", &f),
                     ERR_BAD_PARAM);
    assert_true(str_starts(f.text, STR("Invalid artifact path length.")));
}

static void test_relative_paths_become_absolute(void **state)
{
    static const char *const rows[][2] = {
        {"rel", "/rel"},      {"./a//b", "/a/b"},    {"a/../b", "/a/../b"},
        {"file:rel", "/rel"}, {"rel%20x", "/rel x"}, {"file:rel?k=v", "/rel?k=v"},
    };
    static const char *const same[] = {"/abs",    "file:///a", "s3://b",
                                       "file:/a", "c:/x",      "file://localhost/a"};
    char cwd[4096];
    struct fail f;
    struct str got;

    (void)state;
    fail_init(&f, &arena);
    assert_non_null(getcwd(cwd, sizeof(cwd)));
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str want = arena_printf(
            &arena, "%s%s%s", str_starts(str_of(rows[i][0]), STR("file:")) ? "file://" : "", cwd,
            rows[i][1]);

        assert_int_equal(artifact_uri_make_absolute(&arena, str_of(rows[i][0]), &got, &f), OK);
        if (!str_eq(got, want))
            fail_msg("%s gave %.*s, not %.*s", rows[i][0], STR_ARG(got), STR_ARG(want));
    }
    for (size_t i = 0; i < array_len(same); i++) {
        assert_int_equal(artifact_uri_make_absolute(&arena, str_of(same[i]), &got, &f), OK);
        assert_true(str_eq(got, str_of(same[i])));
    }
    assert_int_equal(artifact_uri_make_absolute(&arena, STR("file://host/a"), &got, &f),
                     ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_follows_mlflow),
        cmocka_unit_test(test_check_refuses_in_mlflows_order_and_words),
        cmocka_unit_test(test_check_lets_storage_through),
        cmocka_unit_test(test_an_operator_may_allow_a_scheme),
        cmocka_unit_test(test_the_servers_own_host_may_be_named),
        cmocka_unit_test(test_length_counts_code_points),
        cmocka_unit_test(test_relative_paths_become_absolute),
    };
    int failed;

    arena_init(&arena, 65536);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
