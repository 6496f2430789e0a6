/* input: query strings and bodies as sources; whole requests are in test_bind. */
#include "ingest/input.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_percent_encoding(void **state)
{
    static const struct {
        struct str encoded;
        struct str want;
    } rows[] = {
        {STR_INIT(""), STR_INIT("")},
        {STR_INIT("a+b%20c%2B"), STR_INIT("a b c+")},
        {STR_INIT("%41%4a%4A"), STR_INIT("AJJ")},
        {STR_INIT("%C3%A9"), STR_INIT("\xc3\xa9")},
        {STR_INIT("%c3%a9%F0%9F%98%80"), STR_INIT("\xc3\xa9\xf0\x9f\x98\x80")},
        {STR_INIT("%"), STR_INIT("%")},
        {STR_INIT("%4"), STR_INIT("%4")},
        {STR_INIT("%zz%4x"), STR_INIT("%zz%4x")},
        {STR_INIT("%%41"), STR_INIT("%A")},
        {STR_INIT("%ff"), STR_INIT("%FF")},
        {STR_INIT("%E2%82x"), STR_INIT("%E2%82x")},
        {STR_INIT("%ED%A0%80"), STR_INIT("%ED%A0%80")},
        {STR_INIT("%C0%80"), STR_INIT("%C0%80")},
        {STR_INIT("%C3\xc3\xa9"), STR_INIT("%C3\xc3\xa9")},
        {STR_INIT("%00"), STR_INIT("\0")},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++)
        assert_true(str_eq(input_unquote(&a, rows[i].encoded), rows[i].want));
    arena_fini(&a);
}

static void test_query_pieces(void **state)
{
    struct input_pair *items;
    struct arena a;
    size_t n;

    (void)state;
    arena_init(&a, 1024);
    items = input_query(&a, STR("&&a=1&b&=c&d=e=f&"), &n);
    assert_int_equal(n, 4);
    assert_true(str_eq(items[0].name, STR("a")) && str_eq(items[0].value, STR("1")));
    assert_true(str_eq(items[1].name, STR("b")) && items[1].value.n == 0);
    assert_true(items[2].name.n == 0 && str_eq(items[2].value, STR("c")));
    assert_true(str_eq(items[3].name, STR("d")) && str_eq(items[3].value, STR("e=f")));
    (void)input_query(&a, STR("&&"), &n);
    assert_int_equal(n, 0);
    arena_fini(&a);
}

/* Booleans have no row yet in messages.def, but MLflow's rule is here with the others. */
static void test_booleans_of_a_query(void **state)
{
    static const struct bind_field fields[] = {
        {STR_INIT("flag"), STR_INIT("flag"), BIND_BOOL, 0, 0, NULL},
        {STR_INIT("ids"), STR_INIT("ids"), BIND_STRINGS, 0, sizeof(struct opt_bool), NULL},
    };
    static const struct bind_message message = {"flags", fields, 2, 64};
    struct bind_input in = {.is_get = true, .query = STR("ids=a,b&flag=TRUE&ids=c&flag=x")};
    struct document_error why;
    struct arena a;
    struct fail f;
    yyjson_val *root;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    assert_int_equal(input_read(&a, &in, &message, &root, &why, &f), OK);
    assert_true(yyjson_get_bool(document_get(root, STR("flag"))));
    assert_int_equal(yyjson_arr_size(document_get(root, STR("ids"))), 2);
    in.query = STR("flag=yes");
    assert_int_equal(input_read(&a, &in, &message, &root, &why, &f), ERR_BAD_PARAM);
    assert_true(str_eq(f.text, STR("Invalid boolean value: yes, must be 'true' or 'false'.")));
    arena_fini(&a);
}

static void test_a_body_says_nothing(void **state)
{
    static const struct str bodies[] = {STR_INIT(""), STR_INIT("null"), STR_INIT("{"),
                                        STR_INIT("{} {}")};
    static const struct bind_message message = {"none", NULL, 0, 0};
    struct arena a;
    struct fail f;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    for (size_t i = 0; i < array_len(bodies); i++) {
        struct bind_input in = {.is_get = true, .body = bodies[i]};
        struct document_error why = {NULL, 0};
        yyjson_val *root;

        assert_int_equal(input_read(&a, &in, &message, &root, &why, &f), OK);
        assert_null(root);
        assert_non_null(why.text);
    }
    arena_fini(&a);
}

/* PATCH and DELETE do not say what their body is; their query is nobody's. */
static void test_a_body_of_any_type(void **state)
{
    struct bind_input in = {.any_type = true,
                            .has_content_type = true,
                            .content_type = STR("text/plain"),
                            .query = STR("key=q"),
                            .body = STR("{\"key\": \"b\"}")};
    struct document_error why;
    struct arena a;
    struct fail f;
    yyjson_val *root;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    assert_int_equal(input_read(&a, &in, &MSG_tag, &root, &why, &f), OK);
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "key")), "b");
    in.has_content_type = false;
    assert_int_equal(input_read(&a, &in, &MSG_tag, &root, &why, &f), OK);
    in.any_type = false;
    assert_int_equal(input_read(&a, &in, &MSG_tag, &root, &why, &f), ERR_BAD_PARAM);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent_encoding),    cmocka_unit_test(test_query_pieces),
        cmocka_unit_test(test_booleans_of_a_query), cmocka_unit_test(test_a_body_of_any_type),
        cmocka_unit_test(test_a_body_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
