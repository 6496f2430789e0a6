/*
 * Tests of gateway/guard.c: lists, hosts of origins, and which origins are echoed. What comes out on
 * the wire stands in tests/wire/security.case.
 */
#include "gateway/guard.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static bool matches(const char *list, const char *value)
{
    return guard_list_has(str_of(list), str_of(value), MATCH_GLOBS);
}

static void test_default_hosts(void **state)
{
    static const char *const good[] = {
        "localhost",  "localhost:5000", "localhost:evil", "127.0.0.1:1", "[::1]",
        "[::1]:5000", "0.0.0.0:80",     "10.1.2.3",       "10.evil.com", "192.168.1.1:80",
        "172.16.0.1", "172.31.9.9:1",   "fc00:1::2",      "fd00:1",
    };
    static const char *const bad[] = {
        "LOCALHOST",   "127.0.0.2", "172.15.0.1",     "172.32.0.1", "169.254.1.1",
        "[fd00:1::2]", "mlflow",    "localhost.evil", "",
    };

    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        if (!matches(DEFAULT_HOSTS, good[i]))
            fail_msg("%s is refused", good[i]);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        if (matches(DEFAULT_HOSTS, bad[i]))
            fail_msg("%s is let in", bad[i]);
    }
}

static void test_lists_are_trimmed_and_exact(void **state)
{
    const char *list = "mlflow.example.com, *.svc ,localhost:*";

    (void)state;
    assert_true(matches(list, "mlflow.example.com"));
    assert_false(matches(list, "mlflow.example.com:80"));
    assert_true(matches(list, "a.svc"));
    assert_false(matches(list, "a.svc:5000"));
    assert_false(matches(list, "localhost"));
    assert_true(matches(list, "localhost:1"));
    assert_true(matches("*", "anything"));
    assert_true(guard_list_is_open(str_of("a, *")));
    assert_false(guard_list_is_open(str_of("a,*.b")));
    assert_false(guard_list_has(str_of("*.svc"), str_of("a.svc"), MATCH_EXACT));
}

static void test_overlong_values_match_nothing(void **state)
{
    char value[600];

    (void)state;
    memset(value, '1', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    memcpy(value, "10.", 3);
    assert_false(matches(DEFAULT_HOSTS, value));
}

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
        cmocka_unit_test(test_default_hosts),
        cmocka_unit_test(test_lists_are_trimmed_and_exact),
        cmocka_unit_test(test_overlong_values_match_nothing),
        cmocka_unit_test(test_host_of_an_origin),
        cmocka_unit_test(test_only_plain_http_localhost_is_echoed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
