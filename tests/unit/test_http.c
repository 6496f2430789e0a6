/*
 * Tests of http/http.c: every rule on whole requests and byte by byte, because a peer chooses
 * where a read ends.
 */
#include "gateway/http/http.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define MAX_HEAD 1024

struct fixture {
    struct http *http;
    struct arena arena;
    struct buf in;
    struct buf body;
    struct fail fail;
};

static void fixture_init(struct fixture *t)
{
    t->http = http_new(MAX_HEAD);
    arena_init(&t->arena, 1024);
    buf_init(&t->in);
    buf_init(&t->body);
    fail_init(&t->fail, NULL);
}

static void fixture_fini(struct fixture *t)
{
    http_free(t->http);
    arena_fini(&t->arena);
    buf_fini(&t->in);
    buf_fini(&t->body);
}

/* Feeds bytes in steps, each time from a buffer at a new place. */
static enum http_event feed(struct fixture *t, struct str bytes, size_t step, uint64_t max_body)
{
    enum http_event event = HTTP_MORE;
    bool is_body = false;

    for (size_t i = 0; i < bytes.n; i += step) {
        struct buf moved = t->in;
        size_t used;

        buf_init(&t->in);
        buf_add_str(&t->in, buf_str(&moved));
        buf_add_str(&t->in, str_head(str_skip(bytes, i), step));
        buf_fini(&moved);
        if (!is_body) {
            event = http_feed_head(t->http, buf_str(&t->in), &t->fail);
            if (event != HTTP_HEAD_END) {
                if (event == HTTP_ERROR)
                    return event;
                continue;
            }
            is_body = true;
            http_keep_head(t->http, &t->arena);
            buf_consume(&t->in, http_head_bytes(t->http));
            if (!http_head(t->http)->has_body)
                return HTTP_END;
        }
        event = http_feed_body(t->http, buf_str(&t->in), &used, &t->body, max_body, &t->fail);
        buf_consume(&t->in, used);
        if (event != HTTP_MORE)
            return event;
    }
    return event;
}

static void expect_error(const char *text, err_t err)
{
    size_t steps[] = {1, 2, 7, 100000};

    for (size_t i = 0; i < array_len(steps); i++) {
        struct fixture t;
        enum http_event event;

        fixture_init(&t);
        event = feed(&t, str_of(text), steps[i], 100);
        if (event != HTTP_ERROR || t.fail.err != err)
            fail_msg("step %zu of <%s>: event %d, err %d (%s), wanted err %d", steps[i], text,
                     (int)event, t.fail.err, t.fail.small, err);
        fixture_fini(&t);
    }
}

static void expect_str(struct str s, const char *want)
{
    if (!str_eq(s, str_of(want)))
        fail_msg("<%.*s> is not <%s>", STR_ARG(s), want);
}

/* -- heads ------------------------------------------------------------------------------------- */

static void test_head_survives_any_split(void **state)
{
    const char *text = "POST /api/2.0/mlflow/runs/log%2Dmetric?a=b%20c&d HTTP/1.1\r\n"
                       "hOsT:  localhost:5000 \t\r\nContent-Type: application/json\r\n"
                       "X-Other: \r\nOrigin:\r\nAuthorization: Basic eA==\r\n"
                       "X-MLFLOW-WORKSPACE: w\r\nContent-Length: 5\r\n\r\nhelloGET /";

    (void)state;
    for (size_t step = 1; step < 300; step += step < 30 ? 1 : 50) {
        struct fixture t;
        const struct http_head *d;

        fixture_init(&t);
        assert_int_equal(feed(&t, str_of(text), step, 100), HTTP_END);
        d = http_head(t.http);
        assert_int_equal(d->method, HTTP_M_POST);
        expect_str(d->method_text, "POST");
        expect_str(d->path, "/api/2.0/mlflow/runs/log-metric");
        expect_str(d->query, "a=b%20c&d");
        expect_str(d->host, "localhost:5000");
        expect_str(d->content_type, "application/json");
        expect_str(d->authorization, "Basic eA==");
        expect_str(d->workspace, "w");
        assert_true(d->has_origin && d->origin.n == 0);
        assert_true(d->is_keep_alive && d->has_body && !d->is_chunked);
        expect_str(buf_str(&t.body), "hello");
        fixture_fini(&t);
    }
}

static void test_slices_point_into_the_fed_bytes(void **state)
{
    const char *text = "GET /x?y HTTP/1.1\r\nHost: h\r\n\r\n";
    struct fixture t;

    (void)state;
    fixture_init(&t);
    assert_int_equal(http_feed_head(t.http, str_of(text), &t.fail), HTTP_HEAD_END);
    assert_ptr_equal(http_head(t.http)->path.p, text + 4);
    assert_ptr_equal(http_head(t.http)->query.p, text + 7);
    assert_int_equal(http_head_bytes(t.http), strlen(text));
    fixture_fini(&t);
}

static void test_one_parser_serves_many_requests(void **state)
{
    const char *text = "GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.0\r\n\r\n";
    struct fixture t;
    struct str s = str_of(text);

    (void)state;
    fixture_init(&t);
    assert_int_equal(http_feed_head(t.http, s, &t.fail), HTTP_HEAD_END);
    assert_true(http_head(t.http)->is_keep_alive);
    s = str_skip(s, http_head_bytes(t.http));
    http_next(t.http);
    assert_int_equal(http_feed_head(t.http, s, &t.fail), HTTP_HEAD_END);
    expect_str(http_head(t.http)->path, "/2");
    assert_true(http_head(t.http)->is_http_1_0 && !http_head(t.http)->is_keep_alive);
    fixture_fini(&t);
}

static void expect_path(const char *target, const char *path, const char *query, const char *host)
{
    struct fixture t;
    char text[512];

    snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: field\r\n\r\n", target);
    fixture_init(&t);
    if (feed(&t, str_of(text), 1000, 100) != HTTP_END)
        fail_msg("<%s>: %s", target, t.fail.small);
    expect_str(http_head(t.http)->path, path);
    expect_str(http_head(t.http)->query, query);
    expect_str(http_head(t.http)->host, host);
    fixture_fini(&t);
}

static void test_targets(void **state)
{
    (void)state;
    expect_path("/", "/", "", "field");
    expect_path("/a%2Fb%zz%4", "/a/b%zz%4", "", "field");
    expect_path("//a//b", "/a//b", "", "field");
    expect_path("/%2F%2fa", "/a", "", "field");
    expect_path("/a?b?c%00", "/a", "b?c%00", "field");
    expect_path("/a?", "/a", "", "field");
    expect_path("http://other:1/a?b", "/a", "b", "other:1");
    expect_path("http://other", "/", "", "other");
    expect_path("http://other?x", "/", "x", "other");
    expect_error("GET /a%00b HTTP/1.1\r\nHost: h\r\n\r\n", ERR_HTTP_BAD);
    expect_error("GET /a#b HTTP/1.1\r\nHost: h\r\n\r\n", ERR_HTTP_BAD);
    expect_error("GET /a\tb HTTP/1.1\r\nHost: h\r\n\r\n", ERR_HTTP_BAD);
    expect_error("GET /\xc3\xa4 HTTP/1.1\r\nHost: h\r\n\r\n", ERR_HTTP_BAD);
    expect_error("GET a HTTP/1.1\r\nHost: h\r\n\r\n", ERR_HTTP_BAD);
    expect_error("GET * HTTP/1.1\r\nHost: h\r\n\r\n", ERR_HTTP_BAD);
}

static void test_grammar_is_strict(void **state)
{
    static const char *const bad[] = {
        "GET / HTTP/1.1\nHost: h\n\n",
        "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : h\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\x01\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\nA: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: h\r\n\r\n",
        "get / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "HTTP/1.1 200 OK\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5, 5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x5\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
        ("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n"
         "Transfer-Encoding: chunked\r\n\r\n"),
    };

    (void)state;
    for (size_t i = 0; i < array_len(bad); i++)
        expect_error(bad[i], ERR_HTTP_BAD);
}

static void test_refusals_have_their_own_codes(void **state)
{
    (void)state;
    expect_error("GET / HTTP/2.0\r\nHost: h\r\n\r\n", ERR_HTTP_VERSION);
    expect_error("GET /\r\n", ERR_HTTP_VERSION);
    expect_error("GET /\r\nNo field\r\n\r\n", ERR_HTTP_VERSION);
    expect_error("GET /\r\nHost: a\r\nHost: b\r\n\r\n", ERR_HTTP_VERSION);
    expect_error("GET GET\r\n\r\n", ERR_HTTP_VERSION);
    expect_error("GET / HTTP/0.9\r\nHost: h\r\n\r\n", ERR_HTTP_VERSION);
    expect_error("GET / HTTP/1.7\r\nHost: h\r\n\r\n", ERR_HTTP_VERSION);
    expect_error("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ERR_HTTP_VERSION);
    expect_error("POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", ERR_HTTP_EXPECT);
    expect_error("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
                 ERR_NOT_IMPLEMENTED);
}

static void test_head_is_bounded(void **state)
{
    char text[4 * MAX_HEAD];

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET /", 5);
    text[sizeof(text) - 1] = '\0';
    expect_error(text, ERR_HTTP_URI_LONG);
    memcpy(text, "GET / HTTP/1.1\r\nHost: ", 22);
    expect_error(text, ERR_HTTP_HEAD_LARGE);
    for (size_t i = 22; i + 4 < sizeof(text); i += 4)
        memcpy(text + i, "\r\na:", 4);
    expect_error(text, ERR_HTTP_HEAD_LARGE);
}

static void test_upgrade_is_not_taken_up(void **state)
{
    const char *text = "POST / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n";
    struct fixture t;

    (void)state;
    fixture_init(&t);
    assert_int_equal(feed(&t, str_of(text), 3, 100), HTTP_END);
    expect_str(buf_str(&t.body), "ab");
    fixture_fini(&t);
}

static void test_expect_continue(void **state)
{
    struct fixture t;

    (void)state;
    fixture_init(&t);
    assert_int_equal(feed(&t,
                          STR("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\n"
                              "Content-Length: 3\r\n\r\n"),
                          1000, 100),
                     HTTP_MORE);
    assert_true(http_head(t.http)->wants_continue);
    fixture_fini(&t);
}

static void test_keep_alive(void **state)
{
    static const struct {
        const char *text;
        bool is_keep_alive;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: h\r\nConnection: foo, Close\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true},
        {"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", true},
        {"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct fixture t;

        fixture_init(&t);
        assert_int_equal(feed(&t, str_of(rows[i].text), 5, 100), HTTP_END);
        assert_int_equal(http_head(t.http)->is_keep_alive, rows[i].is_keep_alive);
        fixture_fini(&t);
    }
}

/* -- bodies ------------------------------------------------------------------------------------ */

#define CHUNKED "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n"

static void test_chunks_survive_any_split(void **state)
{
    const char *text = CHUNKED "5;name=\"va;l\";x\r\nhello\r\n006\r\n world\r\n"
                               "0\r\nTrailer: x\r\nHost: other\r\n\r\nGET";

    (void)state;
    for (size_t step = 1; step < 200; step++) {
        struct fixture t;
        enum http_event event;

        fixture_init(&t);
        event = feed(&t, str_of(text), step, 100);
        if (event != HTTP_END)
            fail_msg("step %zu: %d %s", step, (int)event, t.fail.small);
        expect_str(buf_str(&t.body), "hello world");
        expect_str(http_head(t.http)->host, "h");
        fixture_fini(&t);
    }
}

static void test_bad_chunks_are_refused(void **state)
{
    (void)state;
    expect_error(CHUNKED "x\r\n", ERR_HTTP_BAD);
    expect_error(CHUNKED "-1\r\n", ERR_HTTP_BAD);
    expect_error(CHUNKED "2 \r\nab\r\n", ERR_HTTP_BAD);
    expect_error(CHUNKED "0x2\r\nab\r\n", ERR_HTTP_BAD);
    expect_error(CHUNKED "2\nab\r\n", ERR_HTTP_BAD);
    expect_error(CHUNKED "2\r\nabc\r\n", ERR_HTTP_BAD);
    expect_error(CHUNKED "2\r\nab\n", ERR_HTTP_BAD);
    expect_error(CHUNKED "\r\n", ERR_HTTP_BAD);
    expect_error(CHUNKED "fffffffffffffffff\r\n", ERR_HTTP_BAD);
}

static void test_body_is_bounded(void **state)
{
    (void)state;
    expect_error(CHUNKED "ffffffff\r\n", ERR_HTTP_TOO_LARGE);
    expect_error(CHUNKED "ffffffffffffffff\r\n", ERR_HTTP_TOO_LARGE);
    expect_error(CHUNKED "65\r\n", ERR_HTTP_TOO_LARGE);
}

static void test_chunk_framing_is_bounded(void **state)
{
    struct fixture t;
    struct buf text;

    (void)state;
    fixture_init(&t);
    buf_init(&text);
    buf_add_str(&text, STR(CHUNKED));
    for (int i = 0; i < 30000; i++)
        buf_add_str(&text, STR("1;an-extension-that-is-longer-than-it-should-be\r\na\r\n"));
    assert_int_equal(feed(&t, buf_str(&text), 4096, 1 << 20), HTTP_ERROR);
    assert_int_equal(t.fail.err, ERR_HTTP_BAD);
    buf_fini(&text);
    fixture_fini(&t);
}

static void test_caller_may_read_a_plain_body_itself(void **state)
{
    struct fixture t;
    size_t used;

    (void)state;
    fixture_init(&t);
    assert_int_equal(http_feed_head(t.http,
                                    STR("POST / HTTP/1.1\r\nHost: h\r\n"
                                        "Content-Length: 10\r\n\r\n"),
                                    &t.fail),
                     HTTP_HEAD_END);
    assert_int_equal(http_feed_body(t.http, STR("abc"), &used, &t.body, 100, &t.fail), HTTP_MORE);
    assert_int_equal(used, 3);
    http_body_took(t.http, 6);
    assert_int_equal(http_body_left(t.http), 1);
    assert_int_equal(http_feed_body(t.http, STR("zGET"), &used, &t.body, 100, &t.fail), HTTP_END);
    assert_int_equal(used, 1);
    fixture_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_survives_any_split),
        cmocka_unit_test(test_slices_point_into_the_fed_bytes),
        cmocka_unit_test(test_one_parser_serves_many_requests),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_grammar_is_strict),
        cmocka_unit_test(test_refusals_have_their_own_codes),
        cmocka_unit_test(test_head_is_bounded),
        cmocka_unit_test(test_upgrade_is_not_taken_up),
        cmocka_unit_test(test_expect_continue),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_chunks_survive_any_split),
        cmocka_unit_test(test_bad_chunks_are_refused),
        cmocka_unit_test(test_body_is_bounded),
        cmocka_unit_test(test_chunk_framing_is_bounded),
        cmocka_unit_test(test_caller_may_read_a_plain_body_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
