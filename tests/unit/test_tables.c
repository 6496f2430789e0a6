/* tables: the lists agree with the DDL that we create databases from. */
#include "schema/tables.c"

#include <stdio.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "schema/sql_files.h"

static const struct table *const all[] = {&table_metrics, &table_latest_metrics,
                                          &table_logged_model_metrics};

/* The type's text of a column in sql_mlflow's CREATE TABLE, or NULL. */
static const char *ddl_type(const char *table, const char *column)
{
    static char type[64];
    char head[128];
    const char *at, *end;

    snprintf(head, sizeof(head), "CREATE TABLE %s (", table);
    at = strstr(sql_mlflow, head);
    assert_non_null(at);
    end = strstr(at, ");");
    snprintf(head, sizeof(head), "\n    %s ", column);
    at = strstr(at, head);
    if (!at || at > end)
        return NULL;
    assert_int_equal(sscanf(at + strlen(head), " %63[^ ,\n]", type), 1);
    return type;
}

static bool is_type(enum column_type type, const char *text)
{
    switch (type) {
    case COLUMN_TEXT: return strncmp(text, "varchar(", 8) == 0 || strcmp(text, "text") == 0;
    case COLUMN_FLOAT8: return strcmp(text, "double") == 0 || strcmp(text, "float8") == 0;
    case COLUMN_INT8: return strcmp(text, "bigint") == 0 || strcmp(text, "int8") == 0;
    case COLUMN_INT4: return strcmp(text, "integer") == 0 || strcmp(text, "int4") == 0;
    case COLUMN_BOOL: return strcmp(text, "boolean") == 0 || strcmp(text, "bool") == 0;
    }
    return false;
}

static void test_every_column_is_in_the_schema_with_its_type(void **state)
{
    (void)state;
    for (size_t t = 0; t < array_len(all); t++) {
        for (size_t i = 0; i < all[t]->count; i++) {
            const char *type = ddl_type(all[t]->name, all[t]->columns[i].name);

            if (!type || !is_type(all[t]->columns[i].type, type))
                fail_msg("%s.%s is %s", all[t]->name, all[t]->columns[i].name, type);
        }
    }
}

static void test_copy_names_its_columns(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    table_copy(&table_metrics, NULL, &out);
    assert_true(str_eq(buf_str(&out), STR("COPY metrics (key, value, timestamp, run_uuid, step, "
                                          "is_nan) FROM STDIN (FORMAT binary)")));
    buf_reset(&out);
    table_copy(&table_metrics, "other", &out);
    assert_true(str_starts(buf_str(&out), STR("COPY other (key,")));
    buf_reset(&out);
    table_list(&table_latest_metrics, "n.", &out);
    assert_true(str_starts(buf_str(&out), STR("n.key, n.value")));
    buf_fini(&out);
}

static void test_varchar_takes_text_and_nothing_else_changes_type(void **state)
{
    (void)state;
    assert_true(column_takes(COLUMN_TEXT, OID_TEXT));
    assert_true(column_takes(COLUMN_TEXT, OID_VARCHAR));
    assert_false(column_takes(COLUMN_TEXT, OID_INT8));
    assert_false(column_takes(COLUMN_INT8, OID_INT4));
    assert_false(column_takes(COLUMN_FLOAT8, 1700 /* numeric */));
    assert_true(column_takes(COLUMN_BOOL, OID_BOOL));
}

static void test_columns_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(table_column(&table_metrics, STR("step")), &metrics_columns[4]);
    assert_null(table_column(&table_metrics, STR("ste")));
    assert_null(table_column(&table_logged_model_metrics, STR("dataset_uuid")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_column_is_in_the_schema_with_its_type),
        cmocka_unit_test(test_copy_names_its_columns),
        cmocka_unit_test(test_varchar_takes_text_and_nothing_else_changes_type),
        cmocka_unit_test(test_columns_are_found_by_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
