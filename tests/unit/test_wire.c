/* wire: answers of every shape, broken connections, deadlines, one on_done for each send. */
#include "loadtest/wire.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/peer.h"

static struct event_base *loop;
static struct arena arena;
static struct peer peer;
static struct target target;
static struct wire wire;
static const char *script; /* what the peer answers; NULL: closes; "": stays silent */
static const struct str request = STR_INIT("GET /x HTTP/1.1\r\n\r\n");

static size_t from_script(struct peer *p, const char *bytes, char *out)
{
    (void)p;
    (void)bytes;
    if (script == NULL)
        return 0;
    strcpy(out, script);
    return strlen(script) ? strlen(script) : PEER_SILENT;
}

static void never(struct wire *w, const struct answer *a)
{
    (void)w;
    (void)a;
    fail_msg("nobody asked");
}

static int setup(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    loop = event_base_new();
    peer_open(&peer, loop, from_script);
    assert_int_equal(target_open(&target, str_of(peer.url), &arena, &f), OK);
    wire_init(&wire, loop, &target, 5000000, never);
    wire.keep_body = true;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    wire_fini(&wire);
    peer_close(&peer);
    event_base_free(loop);
    return 0;
}

static struct answer ask(const char *answer)
{
    script = answer;
    return wire_ask(&wire, request);
}

static void body_is(struct answer a, const char *want)
{
    assert_true(str_eq(a.body, str_of(want)));
}

static void test_a_kept_connection_serves_many(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct answer a = ask("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");

        assert_int_equal(a.status, 200);
        body_is(a, "hello");
        assert_false(wire_is_busy(&wire));
    }
    assert_int_equal(wire.connects, 1);
    assert_int_equal(peer.accepted, 1);
}

static void test_shapes_of_answers(void **state)
{
    struct answer a;

    (void)state;
    a = ask(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
    assert_int_equal(a.status, 200);
    body_is(a, "abcde");
    a = ask("HTTP/1.1 429 Too Many\r\nRETRY-after: 3\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(a.status, 429);
    assert_true(a.has_retry_after);
    assert_int_equal(a.retry_after_us, 3000000);
    a = ask("HTTP/1.1 503 Away\r\nRetry-After-Not: 3\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(a.status, 503);
    assert_false(a.has_retry_after);
    a = ask("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(a.status, 200);
    assert_int_equal(wire.connects, 1);
    a = ask("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    assert_int_equal(a.status, 200);
    assert_int_equal(wire.connects, 2);
}

static void test_a_body_may_end_with_the_connection(void **state)
{
    struct answer a;

    (void)state;
    peer.closes = true;
    a = ask("HTTP/1.1 200 OK\r\n\r\nas long as it lasts");
    assert_int_equal(a.status, 200);
    body_is(a, "as long as it lasts");
    peer.closes = false;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").status, 200);
    assert_int_equal(wire.connects, 2);
}

static void test_no_answer(void **state)
{
    struct answer a = ask(NULL);

    (void)state;
    assert_int_equal(a.status, 0);
    assert_false(a.is_late);
    assert_int_equal(ask("this is no HTTP\r\n\r\n").status, 0);
    peer.closes = true;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").status, 0);
    peer.closes = false;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").status, 200);
}

static void test_an_idle_connection_that_the_server_closes_is_opened_again(void **state)
{
    (void)state;
    peer.closes = true;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").status, 200);
    while (wire.state != WIRE_CLOSED)
        event_base_loop(loop, EVLOOP_ONCE);
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").status, 200);
    assert_int_equal(wire.connects, 2);
}

static void test_nobody_listens(void **state)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&target.address;
    struct answer a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t n = sizeof(*in);

    (void)state;
    in->sin_port = 0;
    assert_int_equal(bind(fd, (struct sockaddr *)in, n), 0); /* taken, and nobody listens */
    assert_int_equal(getsockname(fd, (struct sockaddr *)in, &n), 0);
    a = ask("");
    assert_int_equal(a.status, 0);
    assert_false(a.is_late);
    close(fd);
}

static void test_a_late_answer_is_none(void **state)
{
    struct answer a;

    (void)state;
    wire.timeout_us = 30000;
    a = ask("");
    assert_int_equal(a.status, 0);
    assert_true(a.is_late);
    wire.timeout_us = 5000000;
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").status, 200);
}

static void test_an_answer_amid_a_long_request(void **state)
{
    size_t n = 32 << 20; /* beyond what the kernel takes at once */
    char *long_request = malloc(n);
    struct answer a;

    (void)state;
    memset(long_request, 'x', n);
    memcpy(long_request, "P / HTTP/1.1\r\n\r\n", 16);
    script = "HTTP/1.1 429 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    a = wire_ask(&wire, (struct str){long_request, n});
    assert_int_equal(a.status, 429);
    assert_int_equal(wire.state, WIRE_CLOSED); /* the rest was never sent */
    assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").status, 200);
    free(long_request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_kept_connection_serves_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shapes_of_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_body_may_end_with_the_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_an_idle_connection_that_the_server_closes_is_opened_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_late_answer_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_answer_amid_a_long_request, setup, teardown),
    };
    int failed;

    arena_init(&arena, 1024);
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_fini(&arena);
    return failed;
}
