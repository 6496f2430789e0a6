/*
 * Tests of gateway/auth/may_people.c: a chief's call reaches no further than the workspace he is
 * chief of.
 */
#include "gateway/auth/may_people.c"
#include "tests/unit/req_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static struct may m;

/* What the users' database says: of role or permission 7, in "near"; the caller is chief there. */
static struct input_pair near_role[] = {{STR_INIT("chief"), STR_INIT("near")},
                                        {STR_INIT("role"), STR_INIT("near")}};
static struct input_pair far_role[] = {{STR_INIT("chief"), STR_INIT("near")},
                                       {STR_INIT("role"), STR_INIT("far")}};
static struct input_pair no_role[] = {{STR_INIT("chief"), STR_INIT("near")}};

static void call(unsigned method, const char *query, const char *body)
{
    req_call(method, query, body ? "application/json" : NULL, body);
    req.input.any_type = method == HTTP_M_DELETE;
    m = (struct may){.r = &req, .path.rule = MAY_RULE_ROLE_MANAGE};
    m.last_find = &m.finds;
    may_input(&m);
}

static const char *verdict(struct input_pair *people, size_t n)
{
    m.people = people;
    m.npeople = n;
    if (may_settle_role_manage(&m, &f))
        return "error";
    return m.is_refused ? "refused" : "allowed";
}

#define VERDICT(people) verdict((people), array_len(people))

static void test_where_a_role_lies(void **state)
{
    (void)state;
    call(HTTP_M_POST, NULL, "{\"role_id\": 7}");
    assert_string_equal(VERDICT(near_role), "allowed");
    call(HTTP_M_POST, NULL, "{\"role_id\": 7}");
    assert_string_equal(VERDICT(far_role), "refused");
    call(HTTP_M_POST, NULL, "{\"role_permission_id\": 7}");
    assert_string_equal(VERDICT(far_role), "refused");
    call(HTTP_M_POST, NULL, "{\"role_id\": 7}");
    assert_string_equal(VERDICT(no_role), "refused"); /* not 404: nobody learns which there are */
    call(HTTP_M_DELETE, "role_permission_id=7", NULL);
    assert_string_equal(VERDICT(near_role), "allowed");
}

static void test_workspaces_by_name(void **state)
{
    static const char *const rows[][2] = {
        {"{\"workspace\": \"near\"}", "allowed"},  {"{\"workspace\": \"far\"}", "refused"},
        {"{\"workspace\": \" near\"}", "refused"}, {"{\"workspace\": \"\"}", "error"},
        {"{\"workspace\": \" \\t\"}", "error"},    {"{\"workspace\": 7}", "error"},
        {"{\"workspace\": [\"near\"]}", "error"},  {"{\"workspace\": null}", "error"},
        {"{\"workspace\": \"chief\"}", "refused"}, {"{}", "error"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        call(HTTP_M_POST, NULL, rows[i][0]);
        assert_string_equal(VERDICT(no_role), rows[i][1]);
    }
}

static void test_two_names_are_refused(void **state)
{
    static const char *const bodies[] = {
        "{\"role_id\": 7, \"workspace\": \"far\"}",
        "{\"role_id\": 7, \"workspace\": \"near\"}",
        "{\"role_id\": 7, \"role_permission_id\": 8}",
        "{\"role_permission_id\": 7, \"workspace\": \"far\"}",
        "{\"role_id\": 7, \"role_permission_id\": null}",
    };

    (void)state;
    for (size_t i = 0; i < array_len(bodies); i++) {
        call(HTTP_M_POST, NULL, bodies[i]);
        assert_string_equal(VERDICT(near_role), "refused");
    }
    call(HTTP_M_DELETE, "role_id=7&role_permission_id=8", NULL);
    assert_string_equal(VERDICT(near_role), "refused");
    call(HTTP_M_DELETE, "role_permission_id=8", "{\"role_id\": 7}"); /* the body alone counts */
    assert_string_equal(VERDICT(near_role), "allowed");
}

static void test_what_the_database_is_asked_for(void **state)
{
    struct str v[3];

    (void)state;
    call(HTTP_M_POST, NULL, "{\"role_id\": \" 0_7 \", \"username\": \"u\"}");
    assert_int_equal(may_people_ask(&m, v, &f), OK);
    assert_true(str_eq(v[0], STR("7")));
    assert_null(v[1].p);
    assert_true(str_eq(v[2], STR("u")));
    call(HTTP_M_POST, NULL, "{\"role_permission_id\": 9223372036854775807}");
    assert_int_equal(may_people_ask(&m, v, &f), OK);
    assert_null(v[0].p);
    assert_true(str_eq(v[1], STR("9223372036854775807")));
    assert_null(v[2].p);
    call(HTTP_M_POST, NULL, "{\"role_id\": \"x\"}");
    assert_int_equal(may_people_ask(&m, v, &f), ERR_BAD_PARAM);
    assert_string_equal(f.text.p, "Parameter 'role_id' must be an integer. Got: 'x'");
    call(HTTP_M_GET, "role_id=x", NULL);
    assert_int_equal(may_people_ask(&m, v, &f), ERR_BAD_PARAM);
    assert_string_equal(f.text.p, "Parameter 'role_id' must be an integer. Got: 'x'");
}

static void test_types_that_are_granted_one_by_one(void **state)
{
    enum grant_type type;

    (void)state;
    fail_init(&f, &req.arena);
    assert_int_equal(may_type_check(STR("experiment"), &type, &f), OK);
    assert_int_equal(type, GRANT_EXPERIMENT);
    assert_int_equal(may_type_check(STR("Experiment"), &type, &f), ERR_BAD_PARAM);
    assert_int_equal(may_type_check(STR(""), &type, &f), ERR_BAD_PARAM);
    assert_int_equal(may_type_single(GRANT_EXPERIMENT, STR("7"), &f), OK);
    assert_int_equal(may_type_single(GRANT_RUN, STR("7"), &f), ERR_BAD_PARAM);
    assert_int_equal(may_type_single(GRANT_PROMPT, STR("p"), &f), ERR_BAD_PARAM);
    assert_int_equal(may_type_single(GRANT_SCORER, STR("7"), &f), ERR_BAD_PARAM);
    assert_int_equal(may_type_single(GRANT_SCORER, STR("7/s"), &f), OK);
    assert_int_equal(may_no_workspace(STR("workspace"), &f), ERR_BAD_PARAM);
    assert_int_equal(may_no_workspace(STR("workspaces"), &f), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_where_a_role_lies),
        cmocka_unit_test(test_workspaces_by_name),
        cmocka_unit_test(test_two_names_are_refused),
        cmocka_unit_test(test_what_the_database_is_asked_for),
        cmocka_unit_test(test_types_that_are_granted_one_by_one),
    };

    return cmocka_run_group_tests(tests, req_begin, req_end);
}
