/*
 * Tests of gateway/auth/may_path.c: which rule a path has, and that what is native has one.
 */
#include "gateway/auth/may_path.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/http/route.h"

static enum may_rule rule_of(unsigned method, const char *path)
{
    struct may_path found;

    may_path_find(method, str_of(path), &found);
    return found.rule;
}

static void test_paths(void **state)
{
    (void)state;
    assert_int_equal(rule_of(HTTP_M_GET, "/api/2.0/mlflow/runs/get"), MAY_RULE_RUN_READ);
    assert_int_equal(rule_of(HTTP_M_GET, "/ajax-api/2.0/mlflow/runs/get"), MAY_RULE_RUN_READ);
    assert_int_equal(rule_of(HTTP_M_POST, "/api/2.0/mlflow/runs/get"), MAY_RULE_NONE);
    assert_int_equal(rule_of(HTTP_M_HEAD, "/api/2.0/mlflow/runs/get"), MAY_RULE_NONE);
    assert_int_equal(rule_of(HTTP_M_GET, "/api/2.0/mlflow/runs/get/"), MAY_RULE_NONE);
    assert_int_equal(rule_of(HTTP_M_GET, "/2.0/mlflow/runs/get"), MAY_RULE_NONE);
    assert_int_equal(rule_of(HTTP_M_GET, "/API/2.0/mlflow/runs/get"), MAY_RULE_NONE);
    assert_int_equal(rule_of(HTTP_M_GET, ""), MAY_RULE_NONE);
    assert_int_equal(rule_of(HTTP_M_GET, "/api/"), MAY_RULE_NONE);
}

static void test_one_prefix_alone(void **state)
{
    (void)state;
    assert_int_equal(rule_of(HTTP_M_GET, "/ajax-api/2.0/mlflow/metrics/get-history-bulk"),
                     MAY_RULE_HISTORY_BULK);
    assert_int_equal(rule_of(HTTP_M_GET, "/api/2.0/mlflow/metrics/get-history-bulk"),
                     MAY_RULE_NONE);
    assert_int_equal(rule_of(HTTP_M_GET, "/api/graphql"), MAY_RULE_NONE);
    assert_int_equal(rule_of(HTTP_M_POST, "/graphql"), MAY_RULE_SEARCH);
}

static void test_patterns(void **state)
{
    struct may_path found;

    (void)state;
    may_path_find(HTTP_M_DELETE, STR("/api/2.0/mlflow/logged-models/m-1/tags/k"), &found);
    assert_int_equal(found.rule, MAY_RULE_LOGGED_DELETE);
    assert_int_equal(found.nargs, 2);
    assert_true(str_eq(found.names[0], STR("model_id")));
    assert_true(str_eq(found.values[0], STR("m-1")));
    assert_true(str_eq(found.values[1], STR("k")));
    may_path_find(HTTP_M_POST, STR("/api/2.0/mlflow/logged-models/search"), &found);
    assert_int_equal(found.rule, MAY_RULE_LOGGED_SEARCH);
    may_path_find(HTTP_M_GET, STR("/api/2.0/mlflow/logged-models/search"), &found);
    assert_int_equal(found.rule, MAY_RULE_LOGGED_READ);
    may_path_find(HTTP_M_GET, STR("/api/2.0/mlflow/logged-models//tags"), &found);
    assert_int_equal(found.rule, MAY_RULE_NONE);
    assert_int_equal(found.nargs, 0);
    may_path_find(HTTP_M_GET, STR("/api/2.0/mlflow-artifacts/artifacts/1/a/b"), &found);
    assert_int_equal(found.rule, MAY_RULE_ARTIFACTS);
    assert_true(str_eq(found.values[0], STR("1/a/b")));
    may_path_find(HTTP_M_GET, STR("/api/2.0/mlflow-artifacts/artifacts"), &found);
    assert_int_equal(found.rule, MAY_RULE_ARTIFACTS);
    assert_int_equal(found.nargs, 0);
}

/* A path of MLflow's that is answered here and has no rule would be nobody's but admins'. Those that are
 * meant so stand here. */
static void test_native_paths_have_rules(void **state)
{
    static const char *const admins[] = {"/api/2.0/mlflow/users/update-admin",
                                         "/api/2.0/mlflow/users/delete",
                                         "/api/2.0/mlflow/users/create-ui",
                                         "/api/3.0/mlflow/workspaces",
                                         "/ajax-api/3.0/mlflow/workspaces",
                                         "/api/3.0/mlflow/workspaces/{workspace_name}",
                                         "/ajax-api/3.0/mlflow/workspaces/{workspace_name}"};
    size_t count;
    const struct route *all = route_rows(&count);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        bool is_known = !str_starts(str_of(all[i].path), STR("/api/")) &&
                        !str_starts(str_of(all[i].path), STR("/ajax-api/"));

        for (size_t k = 0; k < array_len(admins); k++)
            is_known = is_known || strcmp(all[i].path, admins[k]) == 0;
        for (unsigned bit = 1; bit <= HTTP_M_DELETE && !is_known; bit <<= 1) {
            if ((all[i].methods & bit) && rule_of(bit, all[i].path) == MAY_RULE_NONE)
                fail_msg("%s has no rule", all[i].path);
        }
    }
}

static void test_who_answers_in_plain_text(void **state)
{
    (void)state;
    assert_true(may_path_is_native(HTTP_M_POST, STR("/gateway/x/invocations")));
    assert_true(may_path_is_native(HTTP_M_POST, STR("/v1/traces")));
    assert_true(may_path_is_native(HTTP_M_GET, STR("/ajax-api/3.0/jobs/7")));
    assert_true(may_path_is_native(HTTP_M_GET, STR("/api/2.0/mlflow-artifacts/artifacts/1/f")));
    assert_true(may_path_is_native(HTTP_M_PUT, STR("/ajax-api/2.0/mlflow-artifacts/artifacts/f")));
    assert_false(may_path_is_native(HTTP_M_DELETE, STR("/api/2.0/mlflow-artifacts/artifacts/1/f")));
    assert_false(may_path_is_native(HTTP_M_GET, STR("/api/2.0/mlflow-artifacts/artifacts")));
    assert_true(may_path_is_native(HTTP_M_GET, STR("/api/3.0/mlflow/mcp-servers")));
    assert_true(may_path_is_native(HTTP_M_GET, STR("/ajax-api/3.0/mlflow/mcp-servers/a/b")));
    assert_false(may_path_is_native(HTTP_M_GET, STR("/api/3.0/mlflow/mcp-servers-x")));
    assert_false(may_path_is_native(HTTP_M_GET, STR("/api/3.0/jobs/7")));
    assert_false(may_path_is_native(HTTP_M_GET, STR("/api/2.0/mlflow/runs/get")));
    assert_false(may_path_is_native(HTTP_M_GET, STR("/gateway")));
}

static int setup(void **state)
{
    (void)state;
    may_path_init();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_one_prefix_alone),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_native_paths_have_rules),
        cmocka_unit_test(test_who_answers_in_plain_text),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
