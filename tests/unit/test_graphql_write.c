/* graphql_write: what a plan asks for of an entity's JSON, and what stands where there is nothing. */
#include "gateway/graphql/graphql_write.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "gateway/graphql/graphql_parse.h"

struct row {
    const char *fragment; /* a selection on the type */
    const char *entity;
    const char *want;
    const char *errors;
};

static const struct row rows[] = {
    {"on MlflowRunInfo{runId status startTime endTime z:runName __typename}",
     "{\"run_id\":\"r\",\"status\":\"FINISHED\",\"start_time\":-9223372036854775808,"
     "\"run_name\":\"\\u00e9\\\"\"}",
     "{\"__typename\":\"MlflowRunInfo\",\"endTime\":\"0\",\"runId\":\"r\",\"startTime\":"
     "\"-9223372036854775808\",\"status\":\"FINISHED\",\"z\":\"\\u00e9\\\"\"}",
     "null"},
    {"on MlflowRunExtension{data{metrics{key value}params{value}}inputs{datasetInputs{tags{key}}}"
     "experiment{name creationTime tags{key}}}",
     "{\"data\":{\"metrics\":[{\"key\":\"a\",\"value\":1e-05},{\"key\":\"b\",\"value\":\"NaN\"}],"
     "\"params\":[{}]}}",
     "{\"data\":{\"metrics\":[{\"key\":\"a\",\"value\":1e-05},{\"key\":\"b\",\"value\":null}],"
     "\"params\":[{\"value\":\"\"}]},\"experiment\":{\"creationTime\":\"0\",\"name\":\"\","
     "\"tags\":[]},\"inputs\":{\"datasetInputs\":[]}}",
     "null"},
    {"on MlflowMetricWithRunId{value step}", "{\"value\":\"NaN\",\"step\":7}",
     "{\"step\":\"7\",\"value\":null}", "[\"Float cannot represent non numeric value: nan\"]"},
    {"on MlflowMetricWithRunId{value}", "{}", "{\"value\":0.0}", "null"},
    {"on MlflowModelVersion{aliases status deploymentJobState{jobState jobId}}", "{}",
     "{\"aliases\":[],\"deploymentJobState\":{\"jobId\":\"\",\"jobState\":null},\"status\":null}",
     "[\"Enum 'MlflowModelVersionStatus' cannot represent value: 0\","
     "\"Enum 'MlflowDeploymentJobConnectionState' cannot represent value: 0\"]"},
    {"on MlflowGetRunResponse{apiError{code}}", "{\"api_error\":{\"code\":\"x\"}}",
     "{\"apiError\":null}", "null"},
    {"on MlflowFileInfo{isDir path fileSize}", "{\"is_dir\":true,\"path\":\"p\"}",
     "{\"fileSize\":\"0\",\"isDir\":true,\"path\":\"p\"}", "null"},
};

static void test_plans_are_followed(void **state)
{
    struct arena arena;

    (void)state;
    arena_init(&arena, 4096);
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str text = arena_printf(&arena, "fragment F %s", rows[i].fragment);
        struct graphql_document doc;
        struct graphql_errors errors;
        struct graphql_write w;
        struct json j, inner, list;
        struct buf out, said;

        buf_init(&out);
        buf_init(&said);
        json_init(&j, &out, JSON_COMPACT);
        graphql_errors_init(&errors, &arena, 10);
        assert_int_equal(graphql_parse(&arena, text, &doc, NULL), OK);
        graphql_write_init(&w, &j, &errors);
        for (int times = 0; times < 2; times++) { /* the buffers are used again */
            buf_reset(&out);
            json_init(&j, &out, JSON_COMPACT);
            graphql_write_begin(&w, &inner);
            json_raw(&inner, str_of(rows[i].entity));
            errors.n = 0;
            graphql_write_entity(&w, graphql_plan(&doc, doc.definitions, &errors));
            assert_string_equal(arena_cstr(&arena, buf_str(&out)), rows[i].want);
        }
        json_init(&list, &said, JSON_COMPACT);
        graphql_errors_sort(&errors);
        graphql_errors_write(&errors, &list);
        assert_string_equal(arena_cstr(&arena, buf_str(&said)), rows[i].errors);
        graphql_write_fini(&w);
        buf_fini(&out);
        buf_fini(&said);
    }
    arena_fini(&arena);
}

static void test_errors_of_one_place_stay_in_their_order(void **state)
{
    static const size_t places[] = {7, 3, 7, 1, 3, 7};
    struct graphql_errors errors;
    struct arena arena;
    struct buf text;

    (void)state;
    arena_init(&arena, 4096);
    buf_init(&text);
    graphql_errors_init(&errors, &arena, array_len(places));
    for (size_t i = 0; i < array_len(places); i++)
        graphql_errors_add(&errors, places[i], arena_printf(&arena, "%zu", i));
    assert_false(errors.is_full);
    graphql_errors_add(&errors, 0, STR("one too many"));
    assert_true(errors.is_full);
    graphql_errors_sort(&errors);
    for (size_t i = 0; i < errors.n; i++)
        buf_add_str(&text, errors.items[i].text);
    assert_string_equal(arena_cstr(&arena, buf_str(&text)), "314025");
    buf_fini(&text);
    arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plans_are_followed),
        cmocka_unit_test(test_errors_of_one_place_stay_in_their_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
