/*
 * Tests of http/reply.c: the bytes of whole answers. (fail) is ours, fail() would be cmocka's.
 */
#include "gateway/http/reply.c"

#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

struct fixture {
    struct worker worker;
    struct req req;
    struct http_head head;
    struct buf out;
};

static const struct settings settings = {.x_frame_options = "SAMEORIGIN",
                                         .trusted_proxies = "",
                                         .allowed_hosts = "",
                                         .cors_allowed_origins = "",
                                         .static_prefix = ""};

static int setup(void **state)
{
    struct fixture *t = calloc(1, sizeof(*t));

    check(t != NULL);
    t->worker.policy = policy_new(&settings);
    strcpy(t->worker.date, "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    t->head.method = HTTP_M_POST;
    t->req.worker = &t->worker;
    t->req.head = &t->head;
    arena_init(&t->req.arena, 1024);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *t = *state;

    arena_fini(&t->req.arena);
    buf_fini(&t->req.reply.body);
    buf_fini(&t->req.reply.headers);
    buf_fini(&t->out);
    policy_free(t->worker.policy);
    free(t);
    return 0;
}

static void expect(struct fixture *t, const char *text)
{
    struct str s;

    buf_reset(&t->out);
    reply_write(&t->req, &t->out);
    s = buf_str(&t->out);
    if (!str_eq(s, str_of(text)))
        fail_msg("<%.*s> is not <%s>", STR_ARG(s), text);
}

static bool has(struct fixture *t, const char *text)
{
    buf_reset(&t->out);
    reply_write(&t->req, &t->out);
    buf_add_byte(&t->out, '\0');
    return strstr(buf_str(&t->out).p, text) != NULL;
}

#define COMMON                                              \
    "server: sluice\r\nx-content-type-options: nosniff\r\n" \
    "x-frame-options: SAMEORIGIN\r\nvary: Origin\r\n"
#define DATE "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"

static void test_usual_answer(void **state)
{
    struct fixture *t = *state;

    assert_int_equal(reply_empty(&t->req), OK);
    assert_int_equal(t->req.state, REQ_ANSWERED);
    expect(t, "HTTP/1.1 200 OK\r\n" COMMON "content-type: application/json\r\n" DATE
              "content-length: 2\r\n\r\n{}");
}

static void test_a_refusal_of_the_guard_is_bare(void **state)
{
    struct fixture *t = *state;

    t->req.reply.lines = LINES_BARE;
    (void)reply_text(&t->req, 403, "text/plain", STR("no"));
    expect(t, "HTTP/1.1 403 Forbidden\r\nserver: sluice\r\ncontent-type: text/plain\r\n" DATE
              "content-length: 2\r\n\r\nno");
    t->req.reply.lines = LINES_FRAMEABLE;
    (void)reply_ok(&t->req);
    assert_false(has(t, "x-frame-options"));
}

static void test_json_is_pretty(void **state)
{
    struct fixture *t = *state;
    struct json j;

    reply_json(&t->req, &j);
    json_open(&j);
    json_pair_str(&j, "a", STR("b"));
    json_close(&j);
    assert_int_equal(reply_ok(&t->req), OK);
    assert_true(has(t, "content-length: 14\r\n\r\n{\n  \"a\": \"b\"\n}"));
}

static void test_error_is_mlflows_line(void **state)
{
    struct fixture *t = *state;
    struct fail f;

    fail_init(&f, NULL);
    (void)(fail)(&f, ERR_NOT_FOUND, "Run with id=%s not found", "\xc3\xa4\"");
    reply_fail(&t->req, &f);
    expect(t, "HTTP/1.1 404 Not Found\r\n" COMMON "content-type: application/json\r\n" DATE
              "content-length: 144\r\n\r\n"
              "{\"error_code\": \"RESOURCE_DOES_NOT_EXIST\", \"message\": \"Run with id=\\u00e4\\\""
              " not found\", \"sqlstate\": \"KAM00\", \"error_class\": \"RESOURCE_NOT_FOUND\"}");
}

static void test_busy_says_when_to_come_back(void **state)
{
    struct fixture *t = *state;
    bool is_seen[4] = {false};

    for (int i = 0; i < 200; i++) {
        struct fail f;
        const char *p;

        fail_init(&f, NULL);
        (void)(fail)(&f, ERR_BUSY, "full");
        buf_reset(&t->req.reply.headers);
        t->worker.now_us = (uint64_t)i * 1237;
        reply_fail(&t->req, &f);
        assert_true(has(t, "retry-after: "));
        p = strstr(buf_str(&t->out).p, "retry-after: ") + 13;
        assert_in_range(*p, '1', '3');
        is_seen[*p - '0'] = true;
        assert_true(has(t, "{\"error_code\": \"REQUEST_LIMIT_EXCEEDED\", \"message\": \"full\"}"));
    }
    assert_true(is_seen[1] && is_seen[2] && is_seen[3]);
}

/* Seconds of the Retry-After to an error at that moment. */
static unsigned long retry_after(struct fixture *t, err_t e, uint64_t now_us)
{
    struct fail f;

    fail_init(&f, NULL);
    (void)(fail)(&f, e, "full");
    buf_reset(&t->req.reply.headers);
    t->worker.now_us = now_us;
    reply_fail(&t->req, &f);
    assert_true(has(t, "retry-after: "));
    return strtoul(strstr(buf_str(&t->out).p, "retry-after: ") + 13, NULL, 10);
}

static void test_a_queue_that_stays_full_is_waited_for_longer(void **state)
{
    struct fixture *t = *state;
    uint64_t now = UINT64_C(5000000000);
    uint64_t begin = now;
    int tries = 1;

    t->worker.busy_since_us = 0;
    for (; tries < 8; tries++)
        now += retry_after(t, ERR_BUSY, now) * 1000000;
    assert_true(now - begin > 40 * UINT64_C(1000000)); /* MLflow's client, from first to last */
    for (; now < begin + 120 * UINT64_C(1000000); now += 1000000)
        (void)retry_after(t, ERR_BUSY, now);
    for (uint64_t i = 0; i < 100; i++)
        assert_in_range(retry_after(t, ERR_BUSY, now + i), 21, 33);
    assert_in_range(retry_after(t, ERR_BUSY, now + 3600 * UINT64_C(1000000)), 1, 3);
    assert_in_range(retry_after(t, ERR_BUSY, now + 3601 * UINT64_C(1000000)), 1, 3);
    assert_in_range(retry_after(t, ERR_UNAVAILABLE, now), 1, 3);
    t->worker.busy_since_us = 0; /* a write was accepted */
    assert_in_range(retry_after(t, ERR_BUSY, now), 1, 3);
}

static void test_too_large_is_final(void **state)
{
    struct fixture *t = *state;
    struct fail f;

    fail_init(&f, NULL);
    (void)(fail)(&f, ERR_HTTP_TOO_LARGE, "long");
    reply_fail(&t->req, &f);
    assert_false(has(t, "retry-after"));
}

static void test_head_has_length_but_no_body(void **state)
{
    struct fixture *t = *state;

    t->head.method = HTTP_M_HEAD;
    assert_int_equal(reply_text(&t->req, 200, "text/plain", STR("four")), OK);
    assert_true(has(t, "content-length: 4\r\n\r\n"));
    assert_false(has(t, "four"));
}

static void test_no_content_has_neither(void **state)
{
    struct fixture *t = *state;

    t->head.method = HTTP_M_OPTIONS;
    reply_allow(&t->req, HTTP_M_GET | HTTP_M_HEAD | HTTP_M_OPTIONS);
    assert_int_equal(reply_text(&t->req, 204, "text/html", STR("")), OK);
    expect(t, "HTTP/1.1 204 No Content\r\n" COMMON DATE "allow: GET, HEAD, OPTIONS\r\n\r\n");
}

static void test_connection_lines(void **state)
{
    struct fixture *t = *state;

    assert_int_equal(reply_empty(&t->req), OK);
    assert_false(has(t, "connection:"));
    t->head.is_http_1_0 = true;
    assert_true(has(t, "connection: keep-alive\r\n"));
    t->req.reply.must_close = true;
    assert_true(has(t, "connection: close\r\n"));
    assert_false(has(t, "keep-alive"));
}

static void test_behind_is_rounded_up(void **state)
{
    struct fixture *t = *state;

    t->req.behind_us = 1;
    assert_int_equal(reply_empty(&t->req), OK);
    assert_true(has(t, "sluice-behind-ms: 1\r\n"));
    t->req.behind_us = 2000500;
    assert_true(has(t, "sluice-behind-ms: 2001\r\n"));
}

static void test_long_header_value(void **state)
{
    struct fixture *t = *state;
    char value[2000];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    reply_header(&t->req, "access-control-allow-headers", "%s", value);
    assert_int_equal(reply_empty(&t->req), OK);
    assert_true(has(t, value));
}

static void test_request_that_was_none(void **state)
{
    struct fixture *t = *state;
    struct fail f;

    t->req.head = NULL; /* the head could not be parsed */
    t->req.reply.must_close = true;
    fail_init(&f, NULL);
    (void)(fail)(&f, ERR_HTTP_VERSION, "no");
    reply_fail(&t->req, &f);
    assert_true(has(t, "HTTP/1.1 505 HTTP Version Not Supported\r\n"));
    assert_true(has(t, "connection: close\r\n"));
}

static struct str framed(struct fixture *t, const char *body, bool is_last)
{
    struct str tail;

    buf_reset(&t->req.reply.body);
    buf_add_str(&t->req.reply.body, str_of(body));
    buf_reset(&t->out);
    tail = reply_frame(&t->req, is_last, &t->out);
    buf_add_str(&t->out, buf_str(&t->req.reply.body));
    buf_add_str(&t->out, tail);
    return buf_str(&t->out);
}

static void test_parts_are_chunks(void **state)
{
    struct fixture *t = *state;

    reply_stream(&t->req);
    reply_head(&t->req, &t->out);
    assert_true(str_eq(buf_str(&t->out),
                       STR("HTTP/1.1 200 OK\r\n" COMMON "content-type: application/json\r\n" DATE
                           "transfer-encoding: chunked\r\n\r\n")));
    assert_true(str_eq(framed(t, "seventeen letters", false), STR("11\r\nseventeen letters\r\n")));
    assert_true(str_eq(framed(t, "", false), STR(""))); /* it would be the end */
    assert_true(str_eq(framed(t, "end", true), STR("3\r\nend\r\n0\r\n\r\n")));
    assert_true(str_eq(framed(t, "", true), STR("0\r\n\r\n")));
}

static void test_parts_for_http_1_0_end_with_the_connection(void **state)
{
    struct fixture *t = *state;

    t->head.is_http_1_0 = true;
    reply_stream(&t->req);
    reply_head(&t->req, &t->out);
    assert_true(str_eq(buf_str(&t->out),
                       STR("HTTP/1.1 200 OK\r\n" COMMON "content-type: application/json\r\n" DATE
                           "connection: close\r\n\r\n")));
    assert_true(str_eq(framed(t, "part", false), STR("part")));
    assert_true(str_eq(framed(t, "end", true), STR("end")));
}

static void test_head_of_parts_has_no_chunks(void **state)
{
    struct fixture *t = *state;

    t->head.method = HTTP_M_HEAD;
    reply_stream(&t->req);
    assert_int_equal(reply_frame(&t->req, true, &t->out).n, 0);
    assert_int_equal(buf_len(&t->out), 0);
}

/* The head says 200 and is gone: there is nothing left to say but that the end will not come. */
static void test_a_failure_after_the_head_says_no_more(void **state)
{
    struct fixture *t = *state;
    struct fail f;

    fail_init(&f, NULL);
    (void)(fail)(&f, ERR_PG, "gone");
    t->head.path = STR("/x");
    reply_stream(&t->req);
    t->req.reply.is_begun = true;
    buf_add_str(&t->req.reply.body, STR("part"));
    reply_fail(&t->req, &f);
    assert_int_equal(t->req.state, REQ_ANSWERED);
    assert_true(t->req.reply.is_broken);
    assert_true(str_eq(buf_str(&t->req.reply.body), STR("part")));
    assert_int_equal(buf_len(&t->req.reply.headers), 0);
}

static void test_every_error_has_a_reason(void **state)
{
    struct fixture *t = *state;

    for (int e = ERR_NONE + 1; e < ERR_COUNT; e++) {
        struct fail f;

        fail_init(&f, NULL);
        (void)(fail)(&f, e, "x");
        reply_fail(&t->req, &f);
        assert_false(has(t, " Status\r\n"));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_usual_answer),
        TEST(test_json_is_pretty),
        TEST(test_a_refusal_of_the_guard_is_bare),
        TEST(test_error_is_mlflows_line),
        TEST(test_busy_says_when_to_come_back),
        TEST(test_a_queue_that_stays_full_is_waited_for_longer),
        TEST(test_too_large_is_final),
        TEST(test_head_has_length_but_no_body),
        TEST(test_no_content_has_neither),
        TEST(test_connection_lines),
        TEST(test_behind_is_rounded_up),
        TEST(test_long_header_value),
        TEST(test_request_that_was_none),
        TEST(test_every_error_has_a_reason),
        TEST(test_parts_are_chunks),
        TEST(test_parts_for_http_1_0_end_with_the_connection),
        TEST(test_head_of_parts_has_no_chunks),
        TEST(test_a_failure_after_the_head_says_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
