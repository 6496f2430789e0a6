/* redis_uri: what is taken, what is refused. */
#include "schema/redis_uri.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_parts_are_found(void **state)
{
    static const struct {
        const char *text;
        struct redis_uri want;
    } rows[] = {
        {"redis://h", {"h", "", "", 6379, 0, false}},
        {"rediss://h:1/15", {"h", "", "", 1, 15, true}},
        {"redis://:p@h/", {"h", "", "p", 6379, 0, false}},
        {"redis://u:p%40%2f@h.example:65535/2", {"h.example", "u", "p@/", 65535, 2, false}},
        {"redis://u:a@b:c@[::1]:7", {"::1", "u", "a@b:c", 7, 0, false}},
        {"redis://[::1]", {"::1", "", "", 6379, 0, false}},
    };
    struct redis_uri got;
    struct arena a;

    (void)state;
    arena_init(&a, 256);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_true(redis_uri_parse(str_of(rows[i].text), &a, &got));
        assert_string_equal(got.host, rows[i].want.host);
        assert_string_equal(got.user, rows[i].want.user);
        assert_string_equal(got.password, rows[i].want.password);
        assert_int_equal(got.port, rows[i].want.port);
        assert_int_equal(got.database, rows[i].want.database);
        assert_int_equal(got.has_tls, rows[i].want.has_tls);
    }
    arena_fini(&a);
}

static void test_what_is_none_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "h",
        "http://h",
        "redis://",
        "redis://h:",
        "redis://h:0",
        "redis://h:65536",
        "redis://h:x",
        "redis://h/x",
        "redis://h/1/2",
        "redis://h?a=1",
        "redis://h#f",
        "redis://u@h",
        "redis://u:@h",
        "redis://:%4@h",
        "redis://:%zz@h",
        "redis://:a%00b@h",
        "redis://[::1",
        "redis://[::1]x",
        "redis://a b",
        "redis://a'b",
        "redis://a,b",
        "unix:///tmp/x",
        "redis://:%@h",
        "redis://:a%4",
    };
    struct redis_uri got;
    struct arena a;

    (void)state;
    arena_init(&a, 256);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (redis_uri_parse(str_of(rows[i]), &a, &got))
            fail_msg("taken: %s", rows[i]);
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_found),
        cmocka_unit_test(test_what_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
