/*
 * Tests of http/forwarded.c: what X-Forwarded-* fields say, by uvicorn's rules. The peer is a real
 * connection of this machine, so it is 127.0.0.1.
 */
#include "gateway/http/forwarded.c"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

static struct {
    int ours, theirs;
    struct worker worker;
    struct conn conn;
    struct http_head head;
    struct req req;
} x;

static int begin(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    (void)state;
    check(bind(listener, (struct sockaddr *)&a, n) == 0 && listen(listener, 1) == 0);
    check(getsockname(listener, (struct sockaddr *)&a, &n) == 0);
    x.theirs = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(x.theirs, (struct sockaddr *)&a, n) == 0);
    x.ours = accept(listener, NULL, NULL);
    close(listener);
    x.conn = (struct conn){.worker = &x.worker, .fd = x.ours};
    x.req = (struct req){.worker = &x.worker, .conn = &x.conn, .head = &x.head};
    arena_init(&x.req.arena, 1024);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_fini(&x.req.arena);
    close(x.ours);
    close(x.theirs);
    return 0;
}

static void trust(const char *proxies)
{
    struct settings s = {.x_frame_options = "",
                         .trusted_proxies = proxies,
                         .allowed_hosts = "",
                         .cors_allowed_origins = "",
                         .static_prefix = ""};

    x.worker.policy = policy_new(&s);
    x.head = (struct http_head){.host = STR("localhost:5000")};
}

static void said(const char *list)
{
    x.head.forwarded_for[x.head.forwarded_for_count++] = str_of(list);
}

static void expect_client(const char *text)
{
    uint8_t got[NET_BYTES], want[NET_BYTES];

    assert_true(net_parse_address(str_of(text), want));
    assert_true(forwarded_client(&x.req, got));
    if (memcmp(got, want, NET_BYTES) != 0)
        fail_msg("the client is not %s", text);
    policy_free(x.worker.policy);
}

static void test_the_last_that_is_no_proxy_is_the_client(void **state)
{
    (void)state;
    trust("127.0.0.1, 10.0.0.0/8");
    said("1.1.1.1, 2.2.2.2, 10.0.0.7");
    expect_client("2.2.2.2");
    trust("127.0.0.1, 10.0.0.0/8");
    said("1.1.1.1");
    said("10.0.0.1,10.0.0.2");
    expect_client("1.1.1.1");
    trust("127.0.0.1,fd00::/8");
    said("[2001:db8::1]:4711, [fd00::1]");
    expect_client("2001:db8::1");
    trust("127.0.0.1");
    said("3.3.3.3:80");
    expect_client("3.3.3.3");
}

static void test_all_proxies_or_any_peer_trusted_is_the_first(void **state)
{
    (void)state;
    trust("127.0.0.1,10.0.0.0/8");
    said("10.0.0.9, 10.0.0.8");
    expect_client("10.0.0.9");
    trust("*");
    said("1.1.1.1, 2.2.2.2");
    said("3.3.3.3");
    expect_client("1.1.1.1");
}

static void test_from_others_it_counts_for_nothing(void **state)
{
    (void)state;
    trust("10.0.0.0/8");
    said("1.1.1.1");
    expect_client("127.0.0.1");
    trust("");
    said("1.1.1.1");
    expect_client("127.0.0.1");
}

static void test_what_is_no_address_leaves_the_peer(void **state)
{
    static const char *const bad[] = {"unknown", "",       "1.1.1.1, _hidden", "1.1.1.1, ",
                                      "[::1",    "[::1]x", "1.1.1.1:x"};

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        trust("127.0.0.1");
        said(bad[i]);
        expect_client("127.0.0.1");
    }
}

static bool is_https(const char *proxies, const char *proto)
{
    bool is;

    trust(proxies);
    x.head.forwarded_proto = str_of(proto);
    is = forwarded_is_https(&x.req);
    policy_free(x.worker.policy);
    return is;
}

static void test_who_may_say_https(void **state)
{
    (void)state;
    assert_true(is_https("127.0.0.1", "https"));
    assert_false(is_https("127.0.0.1", "http"));
    assert_false(is_https("127.0.0.1", "HTTPS"));
    assert_false(is_https("127.0.0.1", "https, http"));
    assert_false(is_https("10.0.0.0/8", "https"));
    assert_true(is_https("*", "https"));
}

static void expect_url(const char *proxies, const char *host, const char *prefix, const char *want)
{
    struct str got;

    trust(proxies);
    x.head.forwarded_proto = STR("https");
    x.head.forwarded_host = str_of(host);
    x.head.forwarded_prefix = str_of(prefix);
    got = forwarded_url(&x.req, STR("/pfx/"));
    if (!str_eq(got, str_of(want)))
        fail_msg("<%.*s> is not <%s>", STR_ARG(got), want);
    policy_free(x.worker.policy);
}

static void test_urls_are_what_the_client_must_ask_for(void **state)
{
    (void)state;
    expect_url("127.0.0.1", "a.example", "/ml", "https://a.example/ml/pfx/");
    expect_url("127.0.0.1", "a.example", "", "https://a.example/pfx/");
    expect_url("127.0.0.1", "", "/ml/", "https://localhost:5000/pfx/");
    expect_url("127.0.0.1", "a b", "//evil", "https://localhost:5000/pfx/");
    expect_url("127.0.0.1", "a/b", "/a\r\nset-cookie: x", "https://localhost:5000/pfx/");
    expect_url("10.0.0.1", "evil", "/evil", "http://localhost:5000/pfx/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_that_is_no_proxy_is_the_client),
        cmocka_unit_test(test_all_proxies_or_any_peer_trusted_is_the_first),
        cmocka_unit_test(test_from_others_it_counts_for_nothing),
        cmocka_unit_test(test_what_is_no_address_leaves_the_peer),
        cmocka_unit_test(test_who_may_say_https),
        cmocka_unit_test(test_urls_are_what_the_client_must_ask_for),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
