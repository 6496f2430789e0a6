/*
 * Tests of gateway/search/param.c: one parameter as Flask reads it. Types were compared with
 * werkzeug's is_json.
 */
#include "gateway/search/param.c"
#include "tests/unit/req_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_types_that_are_json(void **state)
{
    static const struct {
        const char *type;
        bool is_json;
    } rows[] = {
        {"application/json", true},
        {"Application/JSON", true},
        {" application/json ; charset=utf-8", true},
        {"application/json;", true},
        {"application/problem+json", true},
        {"Application/Problem+JSON", true},
        {"application/+json", true},
        {"application/+jso", false},
        {"application/json,x", false},
        {"application/jsonx", false},
        {"application/", false},
        {"text/x+json", false},
        {"text/json", false},
        {"applicationx+json", false},
        {"+json", false},
        {"", false},
        {";application/json", false},
        {NULL, false},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        req_call(HTTP_M_POST, NULL, rows[i].type, NULL);
        assert_int_equal(param_is_json(&req), rows[i].is_json);
    }
}

static const char *got(const char *name)
{
    yyjson_val *v;

    if (param_get(&req, name, &v, &f))
        return "(none)";
    return yyjson_is_str(v) ? arena_cstr(&req.arena, document_str(v)) : "(no text)";
}

static void test_where_a_parameter_is_looked_for(void **state)
{
    static const char json[] = "application/json", two[] = "{\"a\": \"b1\", \"a\": \"b2\"}";

    (void)state;
    req_call(HTTP_M_GET, "a=q1&a=q2", json, two);
    assert_string_equal(got("a"), "q1");
    req_call(HTTP_M_HEAD, "a=q1", json, two);
    assert_string_equal(got("a"), "q1");
    req_call(HTTP_M_POST, "a=q1", json, two);
    assert_string_equal(got("a"), "b2");
    req_call(HTTP_M_PATCH, "a=q1", "text/plain", two);
    assert_string_equal(got("a"), "(none)");
    req_call(HTTP_M_DELETE, "a=q1", json, two);
    assert_string_equal(got("a"), "b2");
    req_call(HTTP_M_DELETE, "a=q1", NULL, two);
    assert_string_equal(got("a"), "q1");
    req_call(HTTP_M_GET, "b=&c&%61=%41+x", NULL, NULL);
    assert_string_equal(got("a"), "A x");
    assert_string_equal(got("b"), "");
    assert_string_equal(got("c"), "");
    assert_string_equal(got("d"), "(none)");
    assert_string_equal(f.text.p, "Missing value for required parameter 'd'. See the API docs for "
                                  "more information about request parameters.");
}

static void test_bodies_that_have_no_members(void **state)
{
    static const char *const bodies[] = {"",  "[\"a\"]", "\"{\\\"a\\\": 1}\"", "null",
                                         "7", "{\"a\":", "{\"a\": 1} x"};

    (void)state;
    for (size_t i = 0; i < array_len(bodies); i++) {
        req_call(HTTP_M_POST, NULL, "application/json", bodies[i]);
        assert_null(param_of_body(&req, "a"));
    }
    req_call(HTTP_M_POST, NULL, "application/json", "{\"a\": null}");
    assert_non_null(param_of_body(&req, "a")); /* null is there */
    assert_string_equal(got("a"), "(no text)");
}

static void test_what_python_calls_false(void **state)
{
    static const struct {
        const char *value;
        bool is_false;
    } rows[] = {
        {"null", true},       {"false", true},
        {"true", false},      {"0", true},
        {"-0", true},         {"0.0", true},
        {"1e-400", true},     {"-1", false},
        {"1e-300", false},    {"\"\"", true},
        {"\"0\"", false},     {"[]", true},
        {"[0]", false},       {"{}", true},
        {"{\"\": 0}", false}, {"123456789012345678901234567890", false},
    };

    (void)state;
    assert_true(param_is_false(NULL));
    for (size_t i = 0; i < array_len(rows); i++) {
        req_call(HTTP_M_POST, NULL, "application/json", NULL);
        req.input.body = arena_printf(&req.arena, "{\"a\": %s}", rows[i].value);
        assert_int_equal(param_is_false(param_of_body(&req, "a")), rows[i].is_false);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_that_are_json),
        cmocka_unit_test(test_where_a_parameter_is_looked_for),
        cmocka_unit_test(test_bodies_that_have_no_members),
        cmocka_unit_test(test_what_python_calls_false),
    };

    return cmocka_run_group_tests(tests, req_begin, req_end);
}
