/* target: URLs taken apart, heads of requests. */
#include "loadtest/target.c"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena a;
static struct fail f;

static void head_is(const char *url, struct str type, const char *want)
{
    struct target t;
    struct buf out;
    char text[512];

    assert_int_equal(target_open(&t, str_of(url), &a, &f), OK);
    buf_init(&out);
    target_head(&t, &out, type.n ? STR("POST") : STR("GET"), STR("/x?y=1"), type, 1203);
    str_to_cstr(buf_str(&out), text, sizeof(text));
    assert_string_equal(text, want);
    buf_fini(&out);
}

#define COMMON "User-Agent: sluice-loadtest\r\nX-MLflow-Client-Version: 3.17.2\r\nAccept: */*\r\n"

static void test_heads(void **state)
{
    (void)state;
    head_is("http://127.0.0.1:5000", STR(""),
            "GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n" COMMON "\r\n");
    head_is("http://127.0.0.1:5000/", STR("application/json"),
            "POST /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:5000\r\n" COMMON
            "Content-Type: application/json\r\nContent-Length: 1203\r\n\r\n");
    head_is("http://127.0.0.1/a/b/", STR(""),
            "GET /a/b/x?y=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n" COMMON "\r\n");
    head_is("http://al:secret@127.0.0.1:1", STR(""),
            "GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" COMMON
            "Authorization: Basic YWw6c2VjcmV0\r\n\r\n");
}

static void test_addresses(void **state)
{
    struct target t;
    const struct sockaddr_in *in = (const struct sockaddr_in *)&t.address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&t.address;

    (void)state;
    assert_int_equal(target_open(&t, STR("http://127.0.0.1:5123"), &a, &f), OK);
    assert_int_equal(t.address.ss_family, AF_INET);
    assert_int_equal(ntohs(in->sin_port), 5123);
    assert_int_equal(target_open(&t, STR("http://127.0.0.1"), &a, &f), OK);
    assert_int_equal(ntohs(in->sin_port), 80);
    assert_int_equal(target_open(&t, STR("http://[::1]:99"), &a, &f), OK);
    assert_int_equal(t.address.ss_family, AF_INET6);
    assert_int_equal(ntohs(in6->sin6_port), 99);
    assert_string_equal(t.host, "::1");
    assert_false(t.is_secure);
    assert_int_equal(target_open(&t, STR("https://al:secret@localhost/x"), &a, &f), OK);
    assert_true(t.is_secure);
    assert_string_equal(t.host, "localhost");
    assert_int_equal(ntohs(in->sin_port), 443);
    assert_int_equal(target_open(&t, STR("https://127.0.0.1:8443"), &a, &f), OK);
    assert_int_equal(ntohs(in->sin_port), 8443);
}

static void test_refusals(void **state)
{
    struct target t;

    (void)state;
    assert_int_equal(target_open(&t, STR("ftp://127.0.0.1"), &a, &f), ERR_SETTING);
    assert_int_equal(target_open(&t, STR("127.0.0.1:5000"), &a, &f), ERR_SETTING);
    assert_int_equal(target_open(&t, STR("http://127.0.0.1:port"), &a, &f), ERR_SETTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_refusals),
    };
    int failed;

    arena_init(&a, 1024);
    fail_init(&f, NULL);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&a);
    return failed;
}
