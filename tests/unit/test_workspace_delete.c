/* workspace_delete: every table that lies in workspaces by itself is looked at, in every mode. */
#include "gateway/auth/workspace_delete.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "schema/sql_files.h"

/* Children of such tables go, or move, with them by a foreign key, or are named where rows are dropped. */
static bool is_child(struct str table)
{
    static const char *const children[] = {"registered_model_tags",   "registered_model_aliases",
                                           "model_versions",          "model_version_tags",
                                           "guardrail_configs",       "mcp_server_versions",
                                           "mcp_server_tags",         "mcp_server_aliases",
                                           "mcp_server_version_tags", "mcp_access_endpoints"};

    for (size_t i = 0; i < array_len(children); i++) {
        if (str_eq(table, str_of(children[i])))
            return true;
    }
    return false;
}

static void test_no_table_is_left_out(void **state)
{
    struct str text = str_of(sql_mlflow), table = STR("");
    unsigned found = 0;

    (void)state;
    while (text.n) {
        struct str line = str_cut(&text, '\n');
        char want[128];

        if (str_starts(line, STR("CREATE TABLE "))) {
            table = str_skip(line, strlen("CREATE TABLE "));
            table = str_head(table, str_find(table, ' '));
        }
        if (!str_starts(str_trim(line), STR("workspace ")) || is_child(table))
            continue;
        found++;
        snprintf(want, sizeof(want), "FROM %.*s WHERE workspace", STR_ARG(table));
        assert_non_null(strstr(LOOK_COUNT.text, want));
        assert_non_null(strstr(DROP_ROOTS.text, want));
        snprintf(want, sizeof(want), "UPDATE %.*s SET workspace = 'default'", STR_ARG(table));
        assert_non_null(strstr(MOVE_ALL.text, want));
    }
    assert_int_equal(found, 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_table_is_left_out)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
