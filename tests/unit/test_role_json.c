/*
 * Tests of auth/role_json.c: rows of roles and their permissions as MLflow's JSON, wherever they stand.
 */
#include "gateway/auth/role_json.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/rows.h"

static struct buf out;
static struct json json;

static void begin(void)
{
    buf_reset(&out);
    json_init(&json, &out, JSON_COMPACT);
}

static void assert_written(const char *want)
{
    assert_true(str_eq(buf_str(&out), str_of(want)));
}

static void test_a_role_and_its_permissions(void **state)
{
    PGresult *res = ROWS(8, "3", "dev", "default", "d", "7", "READ", "*", "experiment", /**/
                         "3", "dev", "default", "d", "8", "DENY", "5", "experiment",    /**/
                         "4", "ops", "w", NULL, NULL, NULL, NULL, NULL);

    (void)state;
    begin();
    assert_int_equal(role_json(&json, res, 0, 0), 2);
    assert_written("{\"description\":\"d\",\"id\":3,\"name\":\"dev\",\"permissions\":["
                   "{\"id\":7,\"permission\":\"READ\",\"resource_pattern\":\"*\","
                   "\"resource_type\":\"experiment\",\"role_id\":3},"
                   "{\"id\":8,\"permission\":\"DENY\",\"resource_pattern\":\"5\","
                   "\"resource_type\":\"experiment\",\"role_id\":3}],\"workspace\":\"default\"}");
    begin();
    assert_int_equal(role_json(&json, res, 2, 0), 3);
    assert_written("{\"description\":null,\"id\":4,\"name\":\"ops\",\"permissions\":[],"
                   "\"workspace\":\"w\"}");
    PQclear(res);
}

/* Two users in a row with the same role: the second one's is another, though its id is the same. */
static void test_a_role_behind_whom_it_is_shown_for(void **state)
{
    PGresult *res = ROWS(9, "1", "3", "dev", "default", NULL, "7", "READ", "*", "run", /**/
                         "2", "3", "dev", "default", NULL, "7", "READ", "*", "run");

    (void)state;
    begin();
    assert_int_equal(role_json(&json, res, 0, 1), 1);
    assert_written("{\"description\":null,\"id\":3,\"name\":\"dev\",\"permissions\":["
                   "{\"id\":7,\"permission\":\"READ\",\"resource_pattern\":\"*\","
                   "\"resource_type\":\"run\",\"role_id\":3}],\"workspace\":\"default\"}");
    begin();
    assert_int_equal(role_json(&json, res, 1, 1), 2);
    PQclear(res);
}

static const char *refusal(err_t (*check_it)(struct str, struct str, struct fail *),
                           const char *what, const char *type)
{
    static struct arena a;
    static char words[400];
    struct fail f;

    arena_init(&a, 512);
    fail_init(&f, &a);
    words[0] = '\0';
    if (check_it(str_of(what), str_of(type), &f))
        str_to_cstr(f.text, words, sizeof(words));
    arena_fini(&a);
    return words;
}

static void test_what_may_be_granted_on_what(void **state)
{
    (void)state;
    assert_string_equal(refusal(role_check_grant, "READ", "experiment"), "");
    assert_string_equal(refusal(role_check_grant, "DENY", "run"), "");
    assert_string_equal(refusal(role_check_grant, "USE", "workspace"), "");
    assert_non_null(
        strstr(refusal(role_check_grant, "read", "experiment"), "Invalid permission 'read'."));
    assert_non_null(
        strstr(refusal(role_check_grant, "READ", "workspace"), "Workspace-wide grants"));
    assert_non_null(
        strstr(refusal(role_check_grant, "NO_PERMISSIONS", "run"), "Resource-level grants"));
    assert_non_null(strstr(refusal(role_check_grant, "READ", "thing"), "Invalid resource type"));
    assert_string_equal(refusal(role_check_pattern, "*", "run"), "");
    assert_string_equal(refusal(role_check_pattern, "7", "experiment"), "");
    assert_non_null(strstr(refusal(role_check_pattern, "7", "run"), "only wildcard ('*') grants"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_role_and_its_permissions),
        cmocka_unit_test(test_a_role_behind_whom_it_is_shown_for),
        cmocka_unit_test(test_what_may_be_granted_on_what),
    };
    int failed;

    buf_init(&out);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_fini(&out);
    return failed;
}
