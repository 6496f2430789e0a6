/* request_log: which requests have a line, and what stands in it. */
#include "gateway/http/request_log.c"

#include "tests/unit/log_capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { SLOW_US = 1000 };

static struct {
    struct settings settings;
    struct worker worker;
    struct http_head head;
    struct exchange exchange;
    struct conn conn;
} x;

/* A request that was answered, of a peer that is gone. */
static struct req *request_answered(const char *which, int status)
{
    struct req *r = &x.exchange.req;

    x.settings = (struct settings){.log_requests = which, .slow_request = SLOW_US};
    x.worker = (struct worker){.settings = &x.settings};
    x.head = (struct http_head){.method_text = STR("GET"), .target = STR("/a?token=secret")};
    x.exchange = (struct exchange){.sent_bytes = 2};
    x.conn = (struct conn){.worker = &x.worker, .x = &x.exchange, .fd = -1, .where = ON_CLIENT};
    *r = (struct req){.worker = &x.worker, .conn = &x.conn, .head = &x.head};
    r->input.body = STR("{}x");
    r->reply.status = status;
    return r;
}

static bool is_told(const char *which, int status, uint64_t took_us)
{
    (void)request_answered(which, status);
    request_log(&x.conn, took_us);
    return strstr(logged(), "msg=request") != NULL;
}

static void test_which_have_a_line(void **state)
{
    (void)state;
    assert_true(is_told("all", 200, 0));
    assert_false(is_told("slow", 200, SLOW_US - 1));
    assert_true(is_told("slow", 200, SLOW_US));
    assert_true(is_told("slow", 503, 0));
    assert_true(is_told("failed", 500, 0));
    assert_false(is_told("failed", 499, SLOW_US));
}

static void test_probes_have_none(void **state)
{
    (void)state;
    (void)request_answered("all", 503);
    x.conn.where = ON_ADMIN;
    request_log(&x.conn, SLOW_US);
    assert_string_equal(logged(), "");
}

static void test_a_line_tells_no_query(void **state)
{
    struct auth_user alice = {.name = STR("alice b")};
    struct trace trace = {.span = {.trace = {0x0af7651916cd43dd, 0x8448eb211c80319c}}};
    struct req *r = request_answered("all", 200);
    const char *line;

    (void)state;
    r->user = &alice;
    r->trace = &trace;
    request_log(&x.conn, 812);
    line = logged();
    assert_non_null(strstr(line, " peer=- msg=request method=GET path=/a status=200 us=812 "
                                 "received=3 sent=2 user=\"alice b\" "
                                 "trace=0af7651916cd43dd8448eb211c80319c\n"));
    assert_null(strstr(line, "secret"));
}

static void test_without_a_head_there_is_a_line_all_the_same(void **state)
{
    struct req *r = request_answered("all", 400);

    (void)state;
    r->head = NULL;
    r->input.body = STR("");
    request_log(&x.conn, 5);
    assert_non_null(strstr(logged(), " peer=- msg=request method=\"\" path=\"\" status=400 us=5 "
                                     "received=0 sent=2 user=- trace=-\n"));
}

static void test_long_paths_are_cut(void **state)
{
    static char path[2 * PATH_MAX_SHOWN];
    const char *line, *shown;

    (void)state;
    (void)request_answered("all", 200);
    memset(path, 'p', sizeof(path));
    x.head.target = (struct str){path, sizeof(path)};
    request_log(&x.conn, 5);
    line = logged();
    shown = strstr(line, "path=") + strlen("path=");
    assert_int_equal(strspn(shown, "p"), PATH_MAX_SHOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_have_a_line),
        cmocka_unit_test(test_probes_have_none),
        cmocka_unit_test(test_a_line_tells_no_query),
        cmocka_unit_test(test_without_a_head_there_is_a_line_all_the_same),
        cmocka_unit_test(test_long_paths_are_cut),
    };

    return cmocka_run_group_tests(tests, log_capture_begin, log_capture_end);
}
