/* workspace_start: what a server does not start with. */
#include "gateway/auth/workspace_start.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pgtest.h"

static struct arena a;
static struct fail f;

static err_t check_of(const char *root, bool are_on)
{
    struct settings s = {.enable_workspaces = are_on};

    fail_init(&f, &a);
    return workspace_start_check(&s, str_of(root), &f);
}

static void test_roots(void **state)
{
    (void)state;
    assert_int_equal(check_of("mlflow-artifacts:/", true), OK);
    assert_int_equal(check_of("s3://workspaces/x/y", true), OK);
    assert_int_equal(check_of("/a/workspaces/b/c", true), OK);
    assert_int_equal(check_of("/a/workspaces", true), ERR_SETTING);
    assert_int_equal(check_of("/a/workspaces/", true), ERR_SETTING);
    assert_non_null(strstr(arena_dup(&a, f.text).p, "ends with the reserved 'workspaces' segment"));
    assert_int_equal(check_of("s3://b/workspaces/x", true), ERR_SETTING);
    assert_non_null(strstr(arena_dup(&a, f.text).p, "'workspaces/<name>' prefix"));
    assert_int_equal(check_of("/a/workspaces", false), OK);
}

static void test_a_variable_of_clients(void **state)
{
    (void)state;
    assert_int_equal(setenv("MLFLOW_WORKSPACE", "x", 1), 0);
    assert_int_equal(check_of("/a", false), ERR_SETTING);
    assert_string_equal(arena_dup(&a, f.text).p,
                        "MLFLOW_WORKSPACE=x is client-only. Unset it before "
                        "starting the server.");
    assert_int_equal(setenv("MLFLOW_WORKSPACE", "", 1), 0);
    assert_int_equal(check_of("/a", false), OK);
    assert_int_equal(unsetenv("MLFLOW_WORKSPACE"), 0);
}

static err_t look_at(bool are_on)
{
    fail_init(&f, &a);
    return workspace_start_look(pgtest.conn, are_on, &f);
}

static void test_databases(void **state)
{
    static const struct {
        const char *make, *unmake, *words;
    } others[] = {
        {"INSERT INTO experiments (name, workspace) VALUES ('e', 'w')",
         "DELETE FROM experiments WHERE name = 'e'", "experiments exist outside"},
        {"INSERT INTO registered_models (name, workspace) VALUES ('m', 'w')",
         "DELETE FROM registered_models", "(for example, model 'm' in workspace 'w')"},
        {"INSERT INTO webhooks (webhook_id, name, url, status, creation_timestamp,"
         " last_updated_timestamp, workspace) VALUES ('h', 'n', 'u', 'ACTIVE', 1, 1, 'w')",
         "DELETE FROM webhooks", "(for example, webhook 'h' in workspace 'w')"},
    };

    (void)state;
    pgtest_sql("SELECT 1"); /* connects */
    assert_int_equal(look_at(false), OK);
    assert_int_equal(look_at(true), OK);
    for (size_t i = 0; i < array_len(others); i++) {
        pgtest_sql(others[i].make);
        assert_int_equal(look_at(true), OK);
        assert_int_equal(look_at(false), ERR_SETTING);
        assert_non_null(strstr(arena_dup(&a, f.text).p, others[i].words));
        pgtest_sql(others[i].unmake);
    }
    pgtest_sql("DELETE FROM workspaces");
    assert_int_equal(look_at(true), ERR_SETTING);
}

static void test_first_root(void **state)
{
    struct settings s = {0};

    (void)state;
    assert_string_equal(workspace_first_root(&a, &s, STR("s3://b/x")), "s3://b/x");
    s.enable_workspaces = true;
    assert_string_equal(workspace_first_root(&a, &s, STR("s3://b/x")),
                        "s3://b/x/workspaces/default");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_a_variable_of_clients),
        cmocka_unit_test(test_databases),
        cmocka_unit_test(test_first_root),
    };
    int failed;

    unsetenv("MLFLOW_WORKSPACE");
    pgtest_start();
    pgtest_database();
    arena_init(&a, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&a);
    return failed;
}
