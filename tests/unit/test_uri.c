/* uri: held against urllib.parse of Python 3.11. */
#include "gateway/artifact/uri.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void test_parts(void **state)
{
    static const struct {
        const char *text, *scheme, *netloc, *path, *query, *fragment, *plain_path, *host;
    } rows[] = {
        {"s3://b/p?q#f", "s3", "b", "/p", "q", "f", "/p", "b"},
        {"S3://B:80/p", "s3", "B:80", "/p", "", "", "/p", "b"},
        {" s3:/p", "s3", "", "/p", "", "", "/p", ""},
        {"ht\ntp://u:w@H/p;x", "http", "u:w@H", "/p;x", "", "", "/p", "h"},
        {"http://h/a;b/c", "http", "h", "/a;b/c", "", "", "/a;b/c", "h"},
        {"s3://h/p;x", "s3", "h", "/p;x", "", "", "/p;x", "h"},
        {"tel:a;b;c", "tel", "", "a;b;c", "", "", "a", ""},
        {"3s://h/p", "", "", "3s://h/p", "", "", "3s://h/p", ""},
        {"s_3://h/p", "", "", "s_3://h/p", "", "", "s_3://h/p", ""},
        {"//h/p", "", "h", "/p", "", "", "/p", "h"},
        {"s3://h#f?q", "s3", "h", "", "", "f?q", "", "h"},
        {"s3://h?q#f", "s3", "h", "", "q", "f", "", "h"},
        {"s3://[::1]:8/p", "s3", "[::1]:8", "/p", "", "", "/p", "::1"},
        {":x", "", "", ":x", "", "", ":x", ""},
        {"", "", "", "", "", "", "", ""},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct uri u = uri_parse(&arena, str_of(rows[i].text));

        if (!str_eq(u.scheme, str_of(rows[i].scheme)) ||
            !str_eq(u.netloc, str_of(rows[i].netloc)) || !str_eq(u.path, str_of(rows[i].path)) ||
            !str_eq(u.query, str_of(rows[i].query)) ||
            !str_eq(u.fragment, str_of(rows[i].fragment)) ||
            !str_eq(uri_path(&u), str_of(rows[i].plain_path)) ||
            !str_eq(uri_host(&arena, &u), str_of(rows[i].host)) || u.is_malformed)
            fail_msg("%s", rows[i].text);
    }
    assert_true(uri_parse(&arena, STR("s3://[b/p")).is_malformed);
    assert_true(uri_parse(&arena, STR("s3://b]/p")).is_malformed);
    assert_true(str_eq(uri_parse_whole(&arena, STR("models:/a#b/3?x#y")).path, STR("/a#b/3")));
}

static void test_local_hosts(void **state)
{
    (void)state;
    assert_true(uri_is_local_host(STR("")));
    assert_true(uri_is_local_host(STR(".")));
    assert_true(uri_is_local_host(STR("localhost.localdomain")));
    assert_true(uri_is_local_host(STR("127.0.0.1")));
    assert_false(uri_is_local_host(STR("..")));
    assert_false(uri_is_local_host(STR("127.0.0.2")));
}

static void test_decoding(void **state)
{
    static const char *const rows[][3] = {
        {"a%2fb", "a/b", "a/b"},
        {"%252e", "%2e", "."},
        {"%25252e%", "%252e%", ".%"},
        {"%", "%", "%"},
        {"%2", "%2", "%2"},
        {"%zz%4g", "%zz%4g", "%zz%4g"},
        {"%%32%35%32%65",
         "%25"
         "2e",
         "."},
        {"a+b", "a+b", "a+b"},
        {"%2%35", "%25", "%"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct str text = str_of(rows[i][0]);

        if (!str_eq(uri_decode(&arena, text), str_of(rows[i][1])) ||
            !str_eq(uri_decode_fully(&arena, text), str_of(rows[i][2])))
            fail_msg("%s", rows[i][0]);
    }
}

/* Decoding round after round would take hours. */
static void test_decoding_is_linear(void **state)
{
    size_t n = (size_t)4 << 20;
    char *text = arena_alloc(&arena, n);
    struct str got;

    (void)state;
    text[0] = '%';
    for (size_t i = 1; i < n; i++)
        text[i] = i % 2 ? '2' : '5';
    text[n - 1] = 'x';
    got = uri_decode_fully(&arena, (struct str){text, n});
    assert_true(str_eq(got, STR("%x")) || str_eq(got, STR("%2x")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_parts, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_local_hosts, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_decoding, arena_begin, arena_end),
        cmocka_unit_test_setup_teardown(test_decoding_is_linear, arena_begin, arena_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
