/* proxy_head: what of a head goes on, and what is put in. */
#include "gateway/proxy/proxy_head.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct proxy_peer peer = {.address = STR_INIT("10.0.0.7"), .scheme = STR_INIT("https")};

/* The head for the upstream of a request with these lines. */
static const char *request(const char *first, const char *lines)
{
    static const struct upstream_url to = {.authority = STR_INIT("up:5005"),
                                           .prefix = STR_INIT("/base")};
    struct str text = arena_printf(&arena, "%s\r\nHost: front\r\n%s\r\n", first, lines);
    struct http *h = http_new(65536);
    const char *result;
    struct fail f;
    struct buf out;

    fail_init(&f, NULL);
    assert_int_equal(http_feed_head(h, text, &f), HTTP_HEAD_END);
    buf_init(&out);
    proxy_request_head(&arena, http_head(h), http_head_text(h), &to, &peer, &out);
    result = arena_cstr(&arena, buf_str(&out));
    buf_fini(&out);
    http_free(h);
    return result;
}

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

static void test_a_request_is_addressed_anew(void **state)
{
    const char *s = request("GET http://other/a?b HTTP/1.1", "X: y\r\nAccept:*/*\r\n");

    (void)state;
    assert_true(str_starts(str_of(s), STR("GET /base/a?b HTTP/1.1\r\nhost: up:5005\r\n")));
    assert_true(has(s, "\r\nX: y\r\nAccept: */*\r\n\r\n"));
    assert_true(has(s, "\r\nx-forwarded-for: 10.0.0.7\r\nx-forwarded-proto: https\r\n"
                       "x-forwarded-host: other\r\nvia: 1.1 sluice\r\n"));
    assert_false(has(s, "content-length"));
    assert_true(has(request("GET http://other HTTP/1.1", ""), "GET /base/ HTTP/1.1\r\n"));
    assert_true(has(request("GET http://other?x HTTP/1.1", ""), "GET /base/?x HTTP/1.1\r\n"));
    assert_true(has(request("\r\nGET //a HTTP/1.1", "B: c\r\n"), "GET /base//a HTTP/1.1\r\n"));
}

static void test_the_workspace_is_the_one_that_was_judged(void **state)
{
    const char *sent = "X-Mlflow-Workspace: b\r\nConnection: x-mlflow-workspace\r\n";

    (void)state;
    peer.workspace = STR("a");
    assert_true(has(request("GET / HTTP/1.1", sent), "\r\nx-mlflow-workspace: a\r\n"));
    assert_false(has(request("GET / HTTP/1.1", sent), "orkspace: b"));
    peer.workspace = (struct str){0};
}

static void test_a_body_is_framed_as_it_came(void **state)
{
    (void)state;
    assert_true(has(request("POST /a HTTP/1.1", ""), "\r\ncontent-length: 0\r\n"));
    assert_true(
        has(request("PUT /a HTTP/1.1", "Content-Length: 12\r\n"), "\r\ncontent-length: 12\r\n"));
    assert_true(has(request("PUT /a HTTP/1.1", "Transfer-Encoding: chunked\r\n"),
                    "\r\ntransfer-encoding: chunked\r\n"));
    assert_true(
        has(request("DELETE /a HTTP/1.1", "Content-Length: 2\r\n"), "\r\ncontent-length: 2\r\n"));
}

/* Chunks are gone once a body was read. */
static void test_a_body_that_was_read_has_a_length(void **state)
{
    (void)state;
    peer.has_all = true;
    peer.body_bytes = 7;
    assert_true(has(request("POST /a HTTP/1.1", "Transfer-Encoding: chunked\r\n"),
                    "\r\ncontent-length: 7\r\n"));
    assert_false(has(request("POST /a HTTP/1.1", "Transfer-Encoding: chunked\r\n"), "chunked"));
    assert_true(has(request("GET /a HTTP/1.1", "Content-Length: 7\r\n"), "content-length: 7"));
    peer.has_all = false;
}

static void test_an_answer_that_is_looked_into_has_no_coding(void **state)
{
    const char *s = request("GET /a HTTP/1.1", "Accept-Encoding: gzip\r\n");

    (void)state;
    assert_true(has(s, "\r\nAccept-Encoding: gzip\r\n"));
    peer.wants_plain = true;
    s = request("GET /a HTTP/1.1", "Accept-Encoding: gzip\r\nX: y\r\n");
    assert_false(has(s, "gzip"));
    assert_true(has(s, "\r\naccept-encoding: identity\r\n") && has(s, "\r\nX: y\r\n"));
    peer.wants_plain = false;
}

/* What Connection names is dropped, and it cannot take our framing or addressing away. */
static void test_connection_names_what_is_dropped(void **state)
{
    const char *s = request("PUT /a HTTP/1.1",
                            "connection: close , x-a\r\nConnection: X-B,content-length, host\r\n"
                            "X-A: 1\r\nx-b: 2\r\nX-C: 3\r\nContent-Length: 5\r\n");

    (void)state;
    assert_false(has(s, "X-A"));
    assert_false(has(s, "x-b"));
    assert_true(has(s, "\r\nX-C: 3\r\n"));
    assert_true(has(s, "\r\ncontent-length: 5\r\n"));
    assert_true(has(s, "\r\nhost: up:5005\r\n"));
}

static void test_an_upgrade_passes_only_with_a_get(void **state)
{
    const char *ask = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

    (void)state;
    assert_true(
        has(request("GET /a HTTP/1.1", ask), "\r\nconnection: upgrade\r\nupgrade: websocket\r\n"));
    assert_false(has(request("POST /a HTTP/1.1", ask), "websocket"));
    assert_false(has(request("GET /a HTTP/1.1", "Upgrade: websocket\r\n"), "websocket"));
}

static void test_lines_of_an_answer(void **state)
{
    static const struct str own = STR_INIT("server: sluice\r\nx-content-type-options: nosniff\r\n"
                                           "x-frame-options: SAMEORIGIN\r\nvary: Origin\r\n");
    static const char lines[] = "Server: x\r\nConnection: a\r\nA: 1\r\nContent-Length: 4\r\n"
                                "Access-Control-Allow-Origin: *\r\nX-Frame-Options: DENY\r\n"
                                "Vary: Accept\r\nVia: 1.0 in\r\n";
    struct buf out;

    (void)state;
    buf_init(&out);
    assert_true(proxy_answer_lines(&arena, str_of(lines), own, true, &out));
    assert_string_equal(arena_cstr(&arena, buf_str(&out)),
                        "Server: x\r\nX-Frame-Options: DENY\r\nVary: Accept\r\n"
                        "x-content-type-options: nosniff\r\nvary: Origin\r\n"
                        "via: 1.0 in, 1.1 sluice\r\n");
    buf_reset(&out);
    assert_true(proxy_answer_lines(&arena, STR("Access-Control-Allow-Origin: *\r\nVary: a, origin"),
                                   own, false, &out));
    assert_string_equal(arena_cstr(&arena, buf_str(&out)),
                        "Access-Control-Allow-Origin: *\r\nVary: a, origin\r\nserver: sluice\r\n"
                        "x-content-type-options: nosniff\r\nx-frame-options: SAMEORIGIN\r\n"
                        "via: 1.1 sluice\r\n");
    assert_false(proxy_answer_lines(&arena, STR("Transfer-Encoding: gzip\r\n"), own, false, &out));
    buf_fini(&out);
}

static void test_trailers_that_route_or_frame_are_dropped(void **state)
{
    (void)state;
    assert_int_equal(proxy_trailers(&arena, STR("Host: a\r\nContent-Length: 3\r\n")).n, 0);
    assert_true(str_eq(proxy_trailers(&arena, STR("X: 1\r\nAuthorization: b\r\nY:\r\n")),
                       STR("\r\n0\r\nX: 1\r\nY: \r\n\r\n")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_addressed_anew),
        cmocka_unit_test(test_the_workspace_is_the_one_that_was_judged),
        cmocka_unit_test(test_a_body_is_framed_as_it_came),
        cmocka_unit_test(test_a_body_that_was_read_has_a_length),
        cmocka_unit_test(test_an_answer_that_is_looked_into_has_no_coding),
        cmocka_unit_test(test_connection_names_what_is_dropped),
        cmocka_unit_test(test_an_upgrade_passes_only_with_a_get),
        cmocka_unit_test(test_lines_of_an_answer),
        cmocka_unit_test(test_trailers_that_route_or_frame_are_dropped),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
