/*
 * Tests of auth/grant_behind.c: which calls that go on change permissions, of what, and for whom.
 */
/* What it calls is here instead: the rest of grant_write.c and req_sql.c is the program's. */
#define grant_own_now   noted_own_now
#define grant_own_first noted_own_first
#define grant_gone      noted_gone
#define req_sql_try     noted_sql_try
#include "gateway/auth/grant_behind.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "gateway/auth/auth.h"
#include "schema/errors.h"

static struct auth_user user;
static struct http_head head;
static struct may may;
static struct may_rule_row rule;
static struct req req;
static char did[200];
static req_step after;
static bool asked_maker, went_on;

static err_t note(const char *what, enum grant_type type, struct str id)
{
    snprintf(did, sizeof(did), "%s %s %.*s", what, grant_type_name(type), STR_ARG(id));
    return OK;
}

err_t grant_own_now(struct req *r, enum grant_type type, struct str id, req_step next)
{
    (void)r, (void)next;
    return note("own", type, id);
}

err_t grant_own_first(struct req *r, enum grant_type type, struct str id, req_step next)
{
    (void)r, (void)next;
    return note("first", type, id);
}

err_t grant_gone(struct req *r, enum grant_type type, struct str id, req_step next)
{
    (void)r, (void)next;
    return note("gone", type, id);
}

err_t req_sql_try(struct req *r, const struct sql_step *steps, unsigned n, req_step next)
{
    (void)r, (void)steps;
    assert_int_equal(n, 1);
    asked_maker = true;
    after = next;
    return OK;
}

static err_t step_on(struct req *r, struct fail *f)
{
    (void)r, (void)f;
    went_on = true;
    return OK;
}

static struct grant_behind *plan(enum may_rule path, unsigned method, const char *rest)
{
    did[0] = '\0';
    asked_maker = went_on = false;
    head.method = method;
    may = (struct may){.r = &req, .rule = &rule, .path = {.rule = path}};
    may.id = STR("thing");
    may.scorer = STR("3/x");
    if (rest) {
        may.path.nargs = 1;
        may.path.values[0] = str_of(rest);
        may.id = STR("a/b");
    }
    return grant_behind_plan(&req);
}

static const char *done(struct grant_behind *b, const char *answer)
{
    assert_non_null(b);
    assert_int_equal(grant_behind_write(&req, b, str_of(answer), step_on), OK);
    return did;
}

static void test_ids_from_answers(void **state)
{
    struct grant_behind *b = plan(MAY_RULE_SECRET_CREATE, HTTP_M_POST, NULL);

    (void)state;
    assert_true(grant_behind_reads(b));
    assert_string_equal(done(b, "{\"secret\":{\"secret_id\":\"s-1\"}}"), "own gateway_secret s-1");
    b = plan(MAY_RULE_ENDPOINT_CREATE, HTTP_M_POST, NULL);
    assert_string_equal(done(b, "{\"endpoint\": {\"x\":1,\"endpoint_id\":\"e\"}}"),
                        "own gateway_endpoint e");
    b = plan(MAY_RULE_DEFINITION_CREATE, HTTP_M_POST, NULL);
    assert_string_equal(done(b, "{\"model_definition\":{\"model_definition_id\":\"d\"}}"),
                        "own gateway_model_definition d");
}

/* Said, and the answer goes on. */
static void test_an_answer_without_the_id(void **state)
{
    static const char *const answers[] = {"",
                                          "{}",
                                          "{\"secret\":{}}",
                                          "{\"secret\":{\"secret_id\":7}}",
                                          "{\"secret\":{\"secret_id\":\"s\"}",
                                          "no JSON"};

    (void)state;
    for (size_t i = 0; i < array_len(answers); i++) {
        assert_string_equal(done(plan(MAY_RULE_SECRET_CREATE, HTTP_M_POST, NULL), answers[i]), "");
        assert_true(went_on);
    }
}

static void test_names_from_requests(void **state)
{
    struct grant_behind *b = plan(MAY_RULE_SCORER_REGISTER, HTTP_M_POST, NULL);

    (void)state;
    assert_false(grant_behind_reads(b));
    assert_string_equal(done(b, ""), "own scorer 3/x");
    assert_string_equal(done(plan(MAY_RULE_SCORER_DELETE, HTTP_M_DELETE, NULL), ""),
                        "gone scorer 3/x");
    assert_string_equal(done(plan(MAY_RULE_SECRET_DELETE, HTTP_M_DELETE, NULL), ""),
                        "gone gateway_secret thing");
    assert_string_equal(done(plan(MAY_RULE_MCP_SERVER, HTTP_M_DELETE, "a/b"), ""),
                        "gone mcp_server a/b");
    assert_null(plan(MAY_RULE_MCP_SERVER, HTTP_M_DELETE, "a/b/tags/x"));
    assert_null(plan(MAY_RULE_MCP_SERVER, HTTP_M_PATCH, "a/b"));
    assert_null(plan(MAY_RULE_SECRET_READ, HTTP_M_GET, NULL));
    assert_null(plan(MAY_RULE_MCP_ROOT, HTTP_M_POST, NULL)); /* its body names nothing */
}

/* Only where there was no server; then it is asked who made it. */
static void test_a_version_brings_its_server(void **state)
{
    struct may_find server = {.kind = FIND_SERVER};
    struct grant_behind *b;

    (void)state;
    assert_null(plan(MAY_RULE_MCP_SERVER, HTTP_M_POST, "a/b/versions"));
    may.finds = &server;
    server.is_found = true;
    assert_null(grant_behind_plan(&req));
    server.is_found = false;
    b = grant_behind_plan(&req);
    assert_string_equal(done(b, ""), "");
    assert_true(asked_maker);
    req.sql.err = ERR_UNAVAILABLE;
    assert_int_equal(after(&req, NULL), OK);
    assert_true(went_on);
    assert_string_equal(did, "");
    req.sql.err = OK;
}

static void test_admins_own_what_mlflow_gives_them(void **state)
{
    (void)state;
    user.is_admin = true;
    assert_non_null(plan(MAY_RULE_SECRET_CREATE, HTTP_M_POST, NULL));
    assert_non_null(plan(MAY_RULE_MCP_SERVER, HTTP_M_DELETE, "a/b"));
    assert_null(plan(MAY_RULE_MCP_ROOT, HTTP_M_POST, NULL));
    user.is_admin = false;
    req.user = NULL; /* nobody was asked who it is */
    assert_null(plan(MAY_RULE_SECRET_CREATE, HTTP_M_POST, NULL));
    req.user = &user;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_from_answers),
        cmocka_unit_test(test_an_answer_without_the_id),
        cmocka_unit_test(test_names_from_requests),
        cmocka_unit_test(test_a_version_brings_its_server),
        cmocka_unit_test(test_admins_own_what_mlflow_gives_them),
    };
    int failed;

    user = (struct auth_user){.id = 7, .name = STR("ann")};
    req = (struct req){.user = &user, .may = &may, .head = &head};
    arena_init(&req.arena, 4096);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&req.arena);
    return failed;
}
