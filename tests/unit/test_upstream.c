/* upstream: the URL it is given, and the pool beside a server that is not there. */
#include "gateway/proxy/upstream.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void check_url(const char *text, const char *host, unsigned port, const char *authority,
                      const char *prefix, bool is_tls)
{
    struct upstream_url u;
    struct arena a;

    arena_init(&a, 256);
    assert_true(upstream_url_parse(&a, str_of(text), &u));
    assert_true(str_eq(u.host, str_of(host)));
    assert_int_equal(u.port, port);
    assert_true(str_eq(u.authority, str_of(authority)));
    assert_true(str_eq(u.prefix, str_of(prefix)));
    assert_int_equal(u.is_tls, is_tls);
    arena_fini(&a);
}

static void test_urls_of_servers(void **state)
{
    (void)state;
    check_url("http://127.0.0.1:5005", "127.0.0.1", 5005, "127.0.0.1:5005", "", false);
    check_url("http://mlflow.svc/", "mlflow.svc", 80, "mlflow.svc", "", false);
    check_url("https://h/base/x/", "h", 443, "h", "/base/x", true);
    check_url("http://[::1]:81/a", "::1", 81, "[::1]:81", "/a", false);
}

static void test_what_is_no_url_of_a_server(void **state)
{
    static const char *const bad[] = {"",
                                      "127.0.0.1:5005",
                                      "ftp://h",
                                      "http://",
                                      "http://:80",
                                      "http://h:0",
                                      "http://h:65536",
                                      "http://h:x",
                                      "http://user:pw@h",
                                      "http://h/?q",
                                      "http://h host='x'",
                                      "http://[::1"};
    struct upstream_url u;
    struct arena a;

    (void)state;
    arena_init(&a, 256);
    for (size_t i = 0; i < array_len(bad); i++) {
        if (upstream_url_parse(&a, str_of(bad[i]), &u))
            fail_msg("taken: %s", bad[i]);
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls_of_servers),
        cmocka_unit_test(test_what_is_no_url_of_a_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
