/* graphql_schema: the table's own rules, and what a misspelt name may have meant. */
#include "gateway/graphql/graphql_schema.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_names_are_unique(void **state)
{
    (void)state;
    for (int id = TYPE_NONE + 1; id < TYPE_COUNT; id++) {
        assert_int_equal(graphql_type_find(types[id].name), id);
        for (size_t i = 0; i < types[id].nfields; i++)
            assert_ptr_equal(graphql_field_find((enum graphql_type_id)id, types[id].fields[i].name),
                             &types[id].fields[i]);
    }
    assert_int_equal(graphql_type_find(STR("Nope")), TYPE_NONE);
    assert_null(graphql_field_find(TYPE_NONE, STR("a")));
}

/* Keys are the names in snake_case, so that a row with a typing error is seen. */
static void test_keys_are_the_names_in_snake_case(void **state)
{
    (void)state;
    for (int id = TYPE_NONE + 1; id < TYPE_COUNT; id++) {
        for (size_t i = 0; i < types[id].nfields; i++) {
            const struct graphql_field *field = &types[id].fields[i];
            char key[64];
            size_t n = 0;

            if (field->key.n == 0)
                continue;
            for (size_t k = 0; k < field->name.n; k++) {
                if (field->name.p[k] >= 'A' && field->name.p[k] <= 'Z')
                    key[n++] = '_';
                key[n++] = (char)lower(field->name.p[k]);
            }
            assert_true(str_eq(field->key, (struct str){key, n}));
        }
    }
}

static void test_inputs_fit_an_argument(void **state)
{
    (void)state;
    for (int id = TYPE_NONE + 1; id < TYPE_COUNT; id++)
        if (types[id].kind == KIND_INPUT)
            assert_true(types[id].nfields <= GRAPHQL_INPUT_FIELDS_MAX);
}

struct row {
    enum graphql_type_id type; /* TYPE_NONE: among the types */
    const char *sent;
    const char *want;
};

static const struct row rows[] = {
    {TYPE_MlflowGetRunInput, "runid", " Did you mean 'runId' or 'runUuid'?"},
    {TYPE_Query, "tes", " Did you mean 'test'?"},
    {TYPE_Query, "etst", " Did you mean 'test'?"},
    {TYPE_Query, "foo", ""},
    {TYPE_Query, "TEST", " Did you mean 'test'?"},
    {TYPE_MlflowRunStatus, "RUNING", " Did you mean 'RUNNING'?"},
    {TYPE_MlflowMetricWithRunId, "step1", " Did you mean 'step'?"},
    {TYPE_NONE, "Strin", " Did you mean 'String'?"},
    {TYPE_NONE, "mlflowgetruninput",
     " Did you mean 'MlflowGetRunInput', 'MlflowRunInputs', 'MlflowDatasetInput',"
     " 'MlflowModelInput', or 'MlflowRunInfo'?"},
    {TYPE_NONE, "", ""},
};

static void test_suggestions_are_graphql_cores(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str sent = str_of(rows[i].sent), got;

        got = rows[i].type == TYPE_NONE ? graphql_suggest_type(&arena, sent)
                                        : graphql_suggest_field(&arena, rows[i].type, sent, "");
        assert_string_equal(arena_cstr(&arena, got), rows[i].want);
    }
}

static void test_long_names_are_not_measured(void **state)
{
    static char name[1 << 20];

    (void)state;
    memset(name, 'a', sizeof(name));
    assert_int_equal(graphql_suggest_type(&arena, (struct str){name, sizeof(name)}).n, 0);
    assert_int_equal(graphql_suggest_type(&arena, (struct str){name, NAME_MAX_BYTES + 1}).n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test(test_keys_are_the_names_in_snake_case),
        cmocka_unit_test(test_inputs_fit_an_argument),
        cmocka_unit_test(test_suggestions_are_graphql_cores),
        cmocka_unit_test(test_long_names_are_not_measured),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
