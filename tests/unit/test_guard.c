/*
 * Tests of http/guard.c: hosts of origins, and which origins are echoed. What comes out on the wire
 * stands in tests/wire/security.case, and beside stock in tests/conform/edge.py.
 */
#include "gateway/http/guard.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void expect_host(const char *origin, const char *host)
{
    struct str s = guard_origin_host(str_of(origin));

    if (!str_eq(s, str_of(host)))
        fail_msg("<%s> has host <%.*s>, not <%s>", origin, STR_ARG(s), host);
}

static void test_host_of_an_origin(void **state)
{
    (void)state;
    expect_host("http://localhost:3000", "localhost");
    expect_host("https://[::1]:8", "::1");
    expect_host("http://user:pw@127.0.0.1:8/x", "127.0.0.1");
    expect_host("http://localhost@evil.example", "evil.example");
    expect_host("http://evil.example/@localhost", "evil.example");
    expect_host("//localhost", "localhost");
    expect_host("localhost", "");
    expect_host("null", "");
    expect_host("http://[::1", "");
    expect_host("http://::1]", "");
    expect_host("http://[localhost]", "");
    expect_host("http://localhost]", "");
    expect_host("http://[::1]evil.example", "");
    expect_host("http://evil.example[::1]", "");
    expect_host("1http://localhost", "");
    expect_host("ht_tp://localhost", "");
    expect_host("://localhost", "");
    expect_host("http:///localhost", "");
    expect_host("h+t.p-2://localhost", "localhost");
    expect_host("", "");
    assert_true(guard_is_localhost(str_of("LocalHost")));
    assert_false(guard_is_localhost(str_of("localhost.evil")));
}

static void test_only_plain_http_localhost_is_echoed(void **state)
{
    static const char *const good[] = {"http://localhost", "http://localhost:1",
                                       "http://127.0.0.1:65535", "http://[::1]:3"};
    static const char *const bad[] = {
        "https://localhost",   "http://localhost:",  "http://localhost:1x",
        "http://localhost:1/", "http://localhost.x", "http://127.0.0.11"};

    (void)state;
    for (size_t i = 0; i < array_len(good); i++)
        assert_true(guard_origin_is_plain_localhost(str_of(good[i])));
    for (size_t i = 0; i < array_len(bad); i++) {
        if (guard_origin_is_plain_localhost(str_of(bad[i])))
            fail_msg("%s is echoed", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host_of_an_origin),
        cmocka_unit_test(test_only_plain_http_localhost_is_echoed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
