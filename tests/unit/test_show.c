/*
 * Tests of gateway/auth/show.c: which rows a caller sees, and what is cleared in those.
 */
#include "gateway/auth/show.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/auth/auth.h"

static struct auth_user user = {.id = 7, .name = STR_INIT("Ann")};
static struct http_head head;
static struct may may;
static struct req req = {.user = &user, .may = &may, .head = &head};

static void holds(const struct grant_row *rows, size_t n, enum grant_level fallback)
{
    grants_put(may.grants);
    may = (struct may){.r = &req, .fallback = fallback, .absent = fallback};
    may.grants = grants_new(rows, n);
}
#define HOLDS(fallback, ...)                       \
    holds((const struct grant_row[]){__VA_ARGS__}, \
          sizeof((const struct grant_row[]){__VA_ARGS__}) / sizeof(struct grant_row), fallback)
#define GRANT(type, pattern, level)                        \
    {                                                      \
        STR_INIT(type), STR_INIT(pattern), STR_INIT(level) \
    }

/* want NULL: the row goes. */
static void gives(sieve_judge judge, const char *row, const char *want)
{
    yyjson_doc *doc = yyjson_read(row, strlen(row), YYJSON_READ_NUMBER_AS_RAW);
    yyjson_mut_doc *mut = yyjson_doc_mut_copy(doc, NULL);
    enum sieve_verdict verdict = judge(&req, mut);
    char *text = yyjson_mut_write(mut, 0, NULL);

    if (want) {
        assert_string_equal(text, want);
        assert_int_equal(verdict, strcmp(row, want) == 0 ? SIEVE_STAYS : SIEVE_CHANGED);
    } else {
        assert_int_equal(verdict, SIEVE_GOES);
    }
    free(text);
    yyjson_mut_doc_free(mut);
    yyjson_doc_free(doc);
}

#define SCORER "{\"experiment_id\":3,\"scorer_name\":\"a/b\"}"

static void test_a_scorer_takes_its_experiment_and_itself(void **state)
{
    (void)state;
    HOLDS(LEVEL_NONE, GRANT("experiment", "3", "READ"), GRANT("scorer", "3/a%2Fb", "READ"));
    gives(show_scorer, SCORER, SCORER);
    gives(show_scorer, "{\"experiment_id\":4,\"scorer_name\":\"a/b\"}", NULL);
    HOLDS(LEVEL_NONE, GRANT("experiment", "3", "READ"));
    gives(show_scorer, SCORER, NULL);
    HOLDS(LEVEL_READ, GRANT("scorer_version", "*", "DENY"));
    gives(show_scorer, SCORER, NULL);
    gives(show_guardrail, "{\"guardrail\":{\"id\":1,\"scorer\":" SCORER "}}",
          "{\"guardrail\":{\"id\":1}}");
    gives(show_guardrail, "{\"guardrail\":{\"id\":1}}", "{\"guardrail\":{\"id\":1}}");
}

#define MAPPING(more) "{\"model_definition\":{\"model_definition_id\":\"d\"" more "},\"w\":1}"

static void test_what_is_denied_is_not_named(void **state)
{
    (void)state;
    HOLDS(LEVEL_READ, GRANT("gateway_secret", "s", "DENY"));
    gives(show_definition_row,
          "{\"model_definition_id\":\"d\",\"secret_id\":\"s\",\"secret_name\":\"n\"}",
          "{\"model_definition_id\":\"d\"}");
    gives(show_secret, "{\"secret_id\":\"s\"}", NULL);
    gives(show_mapping, MAPPING(",\"secret_id\":\"s\""), MAPPING(""));
    gives(show_mapping, MAPPING(",\"secret_id\":\"t\""), MAPPING(",\"secret_id\":\"t\""));
    HOLDS(LEVEL_READ, GRANT("gateway_model_definition", "d", "DENY"));
    gives(show_endpoint_row, "{\"endpoint_id\":\"e\",\"model_mappings\":[" MAPPING("") "]}",
          "{\"endpoint_id\":\"e\",\"model_mappings\":[{\"w\":1}]}");
    gives(show_definition_row, "{\"model_definition_id\":\"d\"}", NULL);
    HOLDS(LEVEL_NONE, GRANT("gateway_endpoint", "f", "READ"));
    gives(show_endpoint_row, "{\"endpoint_id\":\"e\"}", NULL);
}

static void test_models_go_by_the_endpoints_they_are(void **state)
{
    struct may_find other = {.kind = FIND_ENDPOINTS,
                             .is_found = true,
                             .experiment = STR_INIT("b"),
                             .extra = {STR_INIT("e-b")}};
    struct may_find find = {.kind = FIND_ENDPOINTS,
                            .is_found = true,
                            .more = &other,
                            .experiment = STR_INIT("a"),
                            .extra = {STR_INIT("e-a")}};

    (void)state;
    HOLDS(LEVEL_READ, GRANT("gateway_endpoint", "e-b", "USE"));
    may.finds = &find;
    assert_true(show_when_models(&req));
    gives(show_model, "{\"id\":\"b\"}", "{\"id\":\"b\"}");
    gives(show_model, "{\"id\":\"a\"}", NULL);
    gives(show_model, "{\"id\":\"nowhere\"}", NULL);
}

static void test_jobs_and_queues_are_those_of_the_caller(void **state)
{
    struct str experiment = STR_INIT("3");

    (void)state;
    HOLDS(LEVEL_NONE, GRANT("workspace", "*", "MANAGE"));
    gives(show_job, "{\"creator\":\"Ann\"}", "{\"creator\":\"Ann\"}");
    gives(show_job, "{\"creator\":\"ann\"}", NULL);
    gives(show_job, "{\"creator\":null}", NULL);
    HOLDS(LEVEL_NONE, GRANT("experiment", "3", "READ"));
    may.experiments = &experiment;
    may.nexperiments = 1;
    assert_true(show_when_queues(&req));
    gives(show_queue, "{\"users\":[\"bob\",\"ann\"]}", "{\"users\":[\"bob\",\"ann\"]}");
    gives(show_queue, "{\"users\":[\"Ann\"]}", NULL);
    gives(show_queue, "{}", NULL);
    HOLDS(LEVEL_NONE, GRANT("experiment", "3", "EDIT"));
    may.experiments = &experiment;
    may.nexperiments = 1;
    assert_false(show_when_queues(&req));
}

#define ACCESS(version) "{\"server_name\":\"a/b\",\"server_version\":" version "}"

static void test_servers_say_what_the_caller_may(void **state)
{
    (void)state;
    HOLDS(LEVEL_NONE, GRANT("mcp_server", "a/b", "EDIT"), GRANT("mcp_server_version", "*", "DENY"));
    gives(show_mcp_server_row, "{\"name\":\"a/b\",\"access_endpoints\":[" ACCESS("\"1\"") "]}",
          "{\"name\":\"a/b\",\"access_endpoints\":[" ACCESS("null") "],\"allowed_actions\":"
                                                                    "[\"USE\",\"UPDATE\"]}");
    gives(show_mcp_server_row, "{\"name\":\"a/c\"}", NULL);
    gives(show_mcp_endpoint_row, ACCESS("\"1\""), ACCESS("null"));
    gives(show_mcp_endpoint_row, ACCESS("null"), ACCESS("null"));
    gives(show_mcp_server, "{\"detail\":\"no\"}", "{\"detail\":\"no\"}");
}

static void when(unsigned method, const char *path, int server, int own, int one, int all)
{
    head.method = method;
    may.path.nargs = 1;
    may.path.values[0] = str_of(path);
    assert_int_equal(show_when_mcp_server(&req), server);
    assert_int_equal(show_when_mcp_own_endpoints(&req), own);
    assert_int_equal(show_when_mcp_endpoint(&req), one);
    assert_int_equal(show_when_mcp_endpoints(&req), all);
}

static void test_which_answer_it_is(void **state)
{
    (void)state;
    when(HTTP_M_GET, "a/b", 1, 0, 0, 0);
    when(HTTP_M_GET, "a/b/", 1, 0, 0, 0);
    when(HTTP_M_DELETE, "a/b", 0, 0, 0, 0);
    when(HTTP_M_GET, "endpoints", 0, 0, 0, 1);
    when(HTTP_M_GET, "a/b/endpoints", 0, 1, 0, 0);
    when(HTTP_M_POST, "a/b/endpoints", 0, 0, 1, 0);
    when(HTTP_M_PATCH, "a/b/endpoints/x", 0, 0, 1, 0);
    when(HTTP_M_GET, "a/b/versions/1", 0, 0, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_scorer_takes_its_experiment_and_itself),
        cmocka_unit_test(test_what_is_denied_is_not_named),
        cmocka_unit_test(test_models_go_by_the_endpoints_they_are),
        cmocka_unit_test(test_jobs_and_queues_are_those_of_the_caller),
        cmocka_unit_test(test_servers_say_what_the_caller_may),
        cmocka_unit_test(test_which_answer_it_is),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    grants_put(may.grants);
    return failed;
}
