/*
 * Tests of gateway/auth/may_input.c: what is judged is what the handler will read.
 */
#include "gateway/auth/may_input.c"
#include "tests/unit/req_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct may m;

/* A call of this kind; texts NULL: there is none. */
static void call(unsigned method, const char *query, const char *type, const char *body)
{
    req_call(method, query, type, body);
    req.input.is_get = (method & HTTP_M_GET) != 0;
    req.input.any_type = (method & (HTTP_M_PATCH | HTTP_M_DELETE)) != 0;
    m = (struct may){.r = &req};
    m.last_find = &m.finds;
    may_input(&m);
}

static const char *param(const char *name)
{
    struct str out;

    if (may_param(&m, name, &out, &f))
        return "(none)";
    return m.is_refused ? "(refused)" : arena_cstr(&req.arena, out);
}

/* query, content type, body, the name that is judged */
static const char *const deletes[][4] = {
    {"name=a", NULL, NULL, "a"},
    {"name=a", NULL, "{\"name\": \"a\"}", "a"},
    {"name=a", NULL, "{\"name\": \"b\"}", "(refused)"},
    {"name=a", "text/plain", "{\"name\": \"b\"}", "(refused)"},
    {"name=a", "text/plain", "\"{\\\"name\\\": \\\"b\\\"}\"", "(refused)"},
    {"name=a&name=b", "text/plain", "{\"name\": \"b\"}", "(refused)"},
    {"name=a", "text/plain", "{\"name\": null}", "a"},
    {"name=a", "text/plain", "{\"other\": \"b\"}", "a"},
    {"name=7", "text/plain", "{\"name\": 7}", "7"},
    {"name=", "text/plain", "{\"name\": \"b\"}", "(refused)"},
    {NULL, "text/plain", "{\"name\": \"b\"}", "(none)"},
    {"name=a", "application/json", "{\"name\": \"b\"}", "b"},
    {"name=a", "application/json", "{}", "(none)"},
    {"name=a", "application/json", "[]", "(none)"},
    {"name=a", "application/json", NULL, "(none)"},
    {"name=a", "Application/JSON; charset=x", "{\"name\": \"b\"}", "b"},
    {"name=a", "application/x+JSON", "{\"name\": \"b\"}", "b"},
    {"name=a", "APPLICATION/x+json", "{\"name\": \"b\"}", "b"},
    {"name=a", "application/+json", "{\"name\": \"b\"}", "b"},
    {"name=a", "application/json,x", "{\"name\": \"b\"}", "(refused)"},
    {"name=a", "application/json", "{\"name\": \"b\", \"name\": \"c\"}", "c"},
};

static void test_a_delete_is_judged_by_what_its_handler_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(deletes); i++) {
        call(HTTP_M_DELETE, deletes[i][0], deletes[i][1], deletes[i][2]);
        assert_string_equal(param("name"), deletes[i][3]);
    }
}

static void test_camel_case_hides_nothing_of_a_delete(void **state)
{
    (void)state;
    call(HTTP_M_DELETE, "endpoint_id=a", NULL, "{\"endpointId\": \"b\"}");
    assert_string_equal(param("endpoint_id"), "(refused)");
    call(HTTP_M_DELETE, "endpoint_id=a", NULL, "{\"endpointId\": \"a\"}");
    assert_string_equal(param("endpoint_id"), "a");
    call(HTTP_M_DELETE, "endpoint_id=a", NULL, "{\"endpointId\": \"a\", \"endpoint_id\": \"a\"}");
    assert_string_equal(param("endpoint_id"), "(refused)");
}

static void test_other_methods_have_one_place(void **state)
{
    (void)state;
    call(HTTP_M_GET, "name=a", "application/json", "{\"name\": \"b\"}");
    assert_string_equal(param("name"), "a");
    call(HTTP_M_GET, NULL, "application/json", "{\"name\": \"b\"}");
    assert_string_equal(param("name"), "(none)");
    call(HTTP_M_POST, "name=a", "application/json", "{\"name\": \"b\"}");
    assert_string_equal(param("name"), "b");
    call(HTTP_M_POST, "name=a", "text/plain", "{\"name\": \"b\"}");
    assert_string_equal(param("name"), "(none)");
    assert_string_equal(f.text.p, "Missing value for required parameter 'name'. See the API docs "
                                  "for more information about request parameters.");
    call(HTTP_M_PATCH, "name=a", "application/json", "{\"name\": {\"a\": [1]}}");
    assert_string_equal(param("name"), "{\"a\":[1]}");
}

static void test_the_path_comes_before_all(void **state)
{
    (void)state;
    call(HTTP_M_DELETE, "name=a", NULL, "{\"name\": \"b\"}");
    m.path.nargs = 1;
    m.path.names[0] = STR("name");
    m.path.values[0] = STR("c");
    assert_string_equal(param("name"), "c");
}

static void test_a_run_has_one_name(void **state)
{
    static const char *const rows[][2] = {
        {"{\"run_uuid\": \"r\"}", "r"},
        {"{\"run_id\": \"r\", \"run_uuid\": \"r\"}", "r"},
        {"{\"run_id\": \"r\", \"runUuid\": \"s\"}", "(refused)"},
        {"{\"run_id\": \"r\", \"runId\": \"\"}", "r"},
        {"{\"runId\": \"r\"}", "(none)"},
        {"{}", "(none)"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        call(HTTP_M_POST, NULL, "application/json", rows[i][0]);
        assert_string_equal(param("run_id"), rows[i][1]);
    }
}

static void test_names_in_camel_case(void **state)
{
    static const char *const rows[][2] = {
        {"run_id", "runId"}, {"a_b_c", "aBC"}, {"name", "name"}, {"", ""},      {"a_", "a_"},
        {"_a", "A"},         {"a__b", "a_b"},  {"a_1", "a1"},    {"a_Z", "aZ"}, {"_", "_"},
    };

    (void)state;
    call(HTTP_M_GET, NULL, NULL, NULL);
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str name = camel(&req.arena, str_of(rows[i][0]));

        assert_true(str_eq(name, str_of(rows[i][1])));
    }
}

static void test_fields_of_the_message(void **state)
{
    struct str out, *list;
    bool flag;

    (void)state;
    call(HTTP_M_GET, "x=1&run_ids=a&run_ids=b", NULL, "{\"run_id\": \"r\"}");
    assert_false(may_field(&m, "run_id", &out)); /* the query is what counts */
    assert_int_equal(may_list(&m, "run_ids", &list), 2);
    assert_true(str_eq(list[1], STR("b")));
    call(HTTP_M_GET, NULL, NULL, "{\"runId\": \"r\", \"runIds\": [\"a\", 1, null], \"yes\": true}");
    assert_true(may_field(&m, "run_id", &out));
    assert_true(str_eq(out, STR("r")));
    assert_int_equal(may_list(&m, "run_ids", &list), 3);
    assert_true(str_eq(list[1], STR("1")));
    assert_int_equal(list[2].n, 0);
    assert_true(may_flag(&m, "yes", &flag));
    assert_true(flag);
    assert_false(may_flag(&m, "no", &flag));
    assert_false(flag);
    assert_false(m.is_refused);
    assert_true(may_field(&m, "run_ids", &out));
    call(HTTP_M_POST, NULL, "application/json", "{\"run_id\": \"r\", \"runId\": \"r\"}");
    assert_true(may_field(&m, "run_id", &out));
    assert_true(m.is_refused);
    call(HTTP_M_POST, NULL, "application/json", "{\"run_ids\": \"a\"}");
    assert_int_equal(may_list(&m, "run_ids", &list), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_delete_is_judged_by_what_its_handler_reads),
        cmocka_unit_test(test_camel_case_hides_nothing_of_a_delete),
        cmocka_unit_test(test_other_methods_have_one_place),
        cmocka_unit_test(test_the_path_comes_before_all),
        cmocka_unit_test(test_a_run_has_one_name),
        cmocka_unit_test(test_names_in_camel_case),
        cmocka_unit_test(test_fields_of_the_message),
    };

    return cmocka_run_group_tests(tests, req_begin, req_end);
}
