/* bind_page: page tokens; the messages are MLflow 3.17.2's. */
#include "ingest/bind_page.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_tokens_come_back(void **state)
{
    static const int64_t offsets[] = {1, 3, 10, 999, 25000, INT64_MAX};
    struct arena a;
    struct fail f;
    int64_t got;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    assert_true(str_eq(bind_make_page_token(&a, 3), STR("eyJvZmZzZXQiOiAzfQ==")));
    for (size_t i = 0; i < array_len(offsets); i++) {
        assert_int_equal(bind_page_token(&a, bind_make_page_token(&a, offsets[i]), &got, &f), OK);
        assert_true(got == offsets[i]);
    }
    assert_int_equal(bind_page_token(&a, STR(""), &got, &f), OK);
    assert_true(got == 0);
    arena_fini(&a);
}

static void test_what_tokens_may_hold(void **state)
{
    static const struct {
        struct str text; /* before base64 */
        err_t err;
        int64_t offset;
        const char *message;
    } rows[] = {
        {STR_INIT("{\"offset\":7}"), OK, 7, NULL},
        {STR_INIT("{\"offset\": \" 1_0 \"}"), OK, 10, NULL},
        {STR_INIT("{\"offset\": 2.9}"), OK, 2, NULL},
        {STR_INIT("{\"offset\": true}"), OK, 1, NULL},
        {STR_INIT("{\"offset\": 1, \"offset\": 2}"), OK, 2, NULL},
        {STR_INIT("x\xff'"), ERR_BAD_PARAM, 0, "Invalid page token, decoded value=b\"x\\xff'\""},
        {STR_INIT("{}"), ERR_BAD_PARAM, 0, "Invalid page token, parsed value={}"},
        {STR_INIT("{\"offset\": 0}"), ERR_BAD_PARAM, 0,
         "Invalid page token, parsed value={'offset': 0}"},
        {STR_INIT("{\"offset\": null, \"a\": [1.5, true, \"it's\"]}"), ERR_BAD_PARAM, 0,
         "Invalid page token, parsed value={'offset': None, 'a': [1.5, True, \"it's\"]}"},
        {STR_INIT("{\"offset\": \"\"}"), ERR_BAD_PARAM, 0,
         "Invalid page token, parsed value={'offset': ''}"},
        {STR_INIT("{\"offset\": \"abc\"}"), ERR_BAD_PARAM, 0,
         "Invalid page token, not stringable abc"},
        {STR_INIT("{\"offset\": NaN}"), ERR_BAD_PARAM, 0, "Invalid page token, not stringable nan"},
        {STR_INIT("{\"offset\": -1}"), ERR_BAD_REQUEST, 0, "OFFSET must not be negative"},
        {STR_INIT("{\"offset\": 9223372036854775808}"), ERR_BAD_REQUEST, 0, "bigint out of range"},
        {STR_INIT("{\"offset\": [1]}"), ERR_INTERNAL, 0,
         "int() argument must be a string, a bytes-like object or a real number, not 'list'"},
        {STR_INIT("{\"offset\": 1e999}"), ERR_INTERNAL, 0,
         "cannot convert float infinity to integer"},
        {STR_INIT("5"), ERR_INTERNAL, 0, "'int' object has no attribute 'get'"},
        {STR_INIT("null"), ERR_INTERNAL, 0, "'NoneType' object has no attribute 'get'"},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 1024);
    for (size_t i = 0; i < array_len(rows); i++) {
        struct fail f;
        int64_t got = -1;

        fail_init(&f, &a);
        assert_int_equal(bind_page_token(&a, base64_encode(&a, rows[i].text), &got, &f),
                         rows[i].err);
        if (rows[i].err)
            assert_true(str_eq(f.text, str_of(rows[i].message)));
        else
            assert_true(got == rows[i].offset);
    }
    arena_fini(&a);
}

static void test_base64_is_lenient_as_pythons(void **state)
{
    static const struct str good[] = {
        STR_INIT("eyJvZmZzZXQiOiAzfQ=="), STR_INIT("eyJvZm!ZzZX\nQiOiAzfQ=="),
        STR_INIT("eyJvZmZzZXQiOiAzfQ==rubbish"), STR_INIT("==eyJvZmZzZXQiOiAzfQ==")};
    static const struct str bad[] = {STR_INIT("eyJvZmZzZXQiOiAzfQ"), STR_INIT("e"),
                                     STR_INIT("eyJvZmZzZXQiOiAzfQ="), STR_INIT("a="),
                                     STR_INIT("eyJvZmZzZXQiOiAzfQ==\xc3\xa9")};
    struct arena a;
    struct fail f;
    int64_t got;

    (void)state;
    arena_init(&a, 1024);
    fail_init(&f, &a);
    for (size_t i = 0; i < array_len(good); i++) {
        assert_int_equal(bind_page_token(&a, good[i], &got, &f), OK);
        assert_true(got == 3);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        assert_int_equal(bind_page_token(&a, bad[i], &got, &f), ERR_BAD_PARAM);
        assert_true(str_eq(f.text, STR("Invalid page token, could not base64-decode")));
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens_come_back),
        cmocka_unit_test(test_what_tokens_may_hold),
        cmocka_unit_test(test_base64_is_lenient_as_pythons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
