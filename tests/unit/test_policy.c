/*
 * Tests of auth/policy.c: lists, and the lines that a snapshot of the settings gives to every
 * answer.
 */
#include "gateway/auth/policy.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static bool matches(const char *list, const char *value)
{
    return policy_list_has(str_of(list), str_of(value));
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
        "[fd00:1::2]", "mlflow",    "localhost.evil", "localhost.", "",
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
    const char *list = "mlflow.example.com, *.svc ,localhost:*,a?c";

    (void)state;
    assert_true(matches(list, "mlflow.example.com"));
    assert_false(matches(list, "mlflow.example.com:80"));
    assert_true(matches(list, "a.svc"));
    assert_false(matches(list, "a.svc:5000"));
    assert_false(matches(list, "localhost"));
    assert_true(matches(list, "localhost:1"));
    assert_false(matches(list, "abc")); /* without a star it is no glob */
    assert_true(matches(list, "a?c"));
    assert_true(policy_list_names(str_of("a, *"), STR("*")));
    assert_false(policy_list_names(str_of("a,*.b"), STR("*")));
    assert_false(policy_list_names(str_of("*.svc"), STR("a.svc")));
}

static struct policy *make(const char *frame, bool is_off, const char *proxies)
{
    struct settings s = {.x_frame_options = frame,
                         .disable_security_middleware = is_off,
                         .trusted_proxies = proxies,
                         .allowed_hosts = "",
                         .cors_allowed_origins = "",
                         .static_prefix = ""};

    return policy_new(&s);
}

static void expect(struct str got, const char *want)
{
    if (!str_eq(got, str_of(want)))
        fail_msg("<%.*s> is not <%s>", STR_ARG(got), want);
}

static void test_lines_are_those_of_the_layers(void **state)
{
    struct policy *p = make("deny", false, "");

    (void)state;
    expect(policy_ok_json(p),
           "HTTP/1.1 200 OK\r\n" LINE_SERVER LINE_SNIFF "x-frame-options: DENY\r\n" LINE_VARY
           "content-type: application/json\r\n");
    expect(policy_lines(p, LINES_ALL),
           LINE_SERVER LINE_SNIFF "x-frame-options: DENY\r\n" LINE_VARY);
    expect(policy_lines(p, LINES_FRAMEABLE), LINE_SERVER LINE_SNIFF LINE_VARY);
    expect(policy_lines(p, LINES_VARY), LINE_SERVER LINE_VARY);
    expect(policy_lines(p, LINES_BARE), LINE_SERVER);
    policy_free(p);
}

static void test_none_and_off_send_no_lines(void **state)
{
    static const char *const none[] = {"NONE", "None", ""};
    struct policy *p;

    (void)state;
    for (size_t i = 0; i < array_len(none); i++) {
        p = make(none[i], false, "");
        expect(policy_lines(p, LINES_ALL), LINE_SERVER LINE_SNIFF LINE_VARY);
        policy_free(p);
    }
    p = make("SAMEORIGIN", true, "");
    expect(policy_ok_json(p),
           "HTTP/1.1 200 OK\r\n" LINE_SERVER "content-type: application/json\r\n");
    for (enum policy_lines which = LINES_ALL; which <= LINES_BARE; which++)
        expect(policy_lines(p, which), LINE_SERVER);
    policy_free(p);
}

static void test_the_longest_line_has_room(void **state)
{
    char frame[LIMIT_FRAME_OPTIONS + 1];
    struct policy *p;

    (void)state;
    memset(frame, 'x', LIMIT_FRAME_OPTIONS);
    frame[LIMIT_FRAME_OPTIONS] = '\0';
    p = make(frame, false, "");
    assert_true(str_find(policy_lines(p, LINES_ALL), 'X') < policy_lines(p, LINES_ALL).n);
    policy_free(p);
}

static bool trusts(const char *proxies, const char *address)
{
    struct policy *p = make("", false, proxies);
    uint8_t a[NET_BYTES];
    bool does;

    assert_true(net_parse_address(str_of(address), a));
    does = policy_trusts(p, a);
    policy_free(p);
    return does;
}

static void test_who_is_a_proxy(void **state)
{
    (void)state;
    assert_true(trusts("127.0.0.1", "127.0.0.1"));
    assert_true(trusts("127.0.0.1", "::ffff:127.0.0.1"));
    assert_false(trusts("127.0.0.1", "127.0.0.2"));
    assert_true(trusts("192.168.0.1, 10.0.0.0/8 ,fd00::/8", "10.9.9.9"));
    assert_true(trusts("192.168.0.1, 10.0.0.0/8 ,fd00::/8", "fd12::1"));
    assert_true(trusts("*", "9.9.9.9"));
    assert_false(trusts("", "127.0.0.1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default_hosts),
        cmocka_unit_test(test_lists_are_trimmed_and_exact),
        cmocka_unit_test(test_lines_are_those_of_the_layers),
        cmocka_unit_test(test_none_and_off_send_no_lines),
        cmocka_unit_test(test_the_longest_line_has_room),
        cmocka_unit_test(test_who_is_a_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
