/* sql_files: the texts are in the program, whole, terminated and numbered without holes. */
#include "schema/sql_files.c"
#include "schema/migrate.h" /* before cmocka: it has a macro named fail */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void assert_ends(const char *text, const char *end)
{
    assert_true(strlen(text) > strlen(end));
    assert_string_equal(text + strlen(text) - strlen(end), end);
}

static void test_mlflow_text_is_whole(void **state)
{
    (void)state;
    assert_true(strncmp(sql_mlflow, "-- The PostgreSQL schema of MLflow", 34) == 0);
    assert_ends(sql_mlflow, "('default', 'Default workspace for legacy resources');\n");
    assert_non_null(strstr(sql_mlflow, "VALUES ('" MIGRATE_HEAD "');"));
}

static void test_auth_text_is_whole(void **state)
{
    (void)state;
    assert_true(strncmp(sql_auth, "-- The tables of MLflow 3.17.2's basic-auth", 43) == 0);
    assert_ends(sql_auth, "VALUES ('" MIGRATE_AUTH_HEAD "');\n");
}

static void test_own_files_are_numbered_without_holes(void **state)
{
    (void)state;
    assert_true(sql_file_count > 0);
    for (size_t i = 0; i < sql_file_count; i++) {
        assert_int_equal(sql_files[i].number, i + 1);
        assert_true(strlen(sql_files[i].name) > 0);
        assert_ends(sql_files[i].text, ";\n");
        /* Ours never touch MLflow's tables, and transactions are the program's. */
        assert_null(strstr(sql_files[i].text, "COMMIT"));
        assert_null(strstr(sql_files[i].text, "ALTER TABLE public"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mlflow_text_is_whole),
        cmocka_unit_test(test_auth_text_is_whole),
        cmocka_unit_test(test_own_files_are_numbered_without_holes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
