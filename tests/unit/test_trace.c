/* trace: who is followed, under which ids, and what is noted of the waits. */
#include "gateway/trace/trace.c"

#include "gateway/req_drive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define TRACE   "0af7651916cd43dd8448eb211c80319c"
#define SAMPLED "00-" TRACE "-b7ad6b7169203331-01"

static struct {
    struct settings settings;
    struct worker worker;
    struct worker_net net;
    struct http_head head;
    struct exchange exchange;
    struct conn conn;
    struct stats *tracer_stats;
} x;

static int begin(void **state)
{
    (void)state;
    x.settings = (struct settings){.otlp_sample = 0};
    x.net = (struct worker_net){.worker_count = 1};
    x.worker = (struct worker){.settings = &x.settings, .net = &x.net, .stats = stats_new()};
    x.conn = (struct conn){.worker = &x.worker, .x = &x.exchange, .fd = -1};
    x.tracer_stats = stats_new();
    /* nobody listens there: what it is given is counted, and dropped in the end */
    x.worker.tracer = tracer_start("http://127.0.0.1:1", "test", x.tracer_stats);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tracer_stop(x.worker.tracer);
    stats_free(x.worker.stats);
    stats_free(x.tracer_stats);
    return 0;
}

/* A head is complete. */
static struct req *request_with(const char *traceparent)
{
    struct req *r = &x.exchange.req;

    x.head = (struct http_head){.method = HTTP_M_GET, .traceparent = str_of(traceparent)};
    req_init(r, &x.worker, &x.conn);
    r->head = &x.head;
    r->started_us = 1000;
    trace_begin(r);
    return r;
}

static bool is_followed(const char *traceparent)
{
    struct req *r = request_with(traceparent);
    bool yes = r->trace != NULL;

    req_fini(r);
    return yes;
}

static void test_a_traceparent_decides_for_its_own(void **state)
{
    (void)state;
    assert_true(is_followed(SAMPLED));
    x.settings.otlp_sample = 1;
    assert_false(is_followed("00-" TRACE "-b7ad6b7169203331-00"));
    assert_true(is_followed("no traceparent"));
}

static void test_of_the_others_every_nth_begins_one(void **state)
{
    struct tracer *tracer = x.worker.tracer;

    (void)state;
    assert_false(is_followed("")); /* otlp_sample = 0: none */
    x.settings.otlp_sample = 3;
    for (unsigned i = 1; i <= 9; i++)
        assert_int_equal(is_followed(""), i % 3 == 0);
    x.worker.tracer = NULL; /* nobody would see it */
    for (unsigned i = 0; i < 3; i++)
        assert_false(is_followed(""));
    assert_true(is_followed(SAMPLED)); /* exemplars and PostgreSQL show it all the same */
    x.worker.tracer = tracer;
}

static void test_it_is_a_child_of_its_caller(void **state)
{
    struct req *r = request_with(SAMPLED);
    const struct span *s = &r->trace->span;
    struct traceparent told;
    struct exemplar e;

    (void)state;
    assert_int_equal(s->trace[0], 0x0af7651916cd43dd);
    assert_int_equal(s->trace[1], 0x8448eb211c80319c);
    assert_int_equal(s->parent, 0xb7ad6b7169203331);
    assert_true(s->id != 0 && s->id != s->parent);
    assert_int_equal(s->begin_us, 1000);
    assert_string_equal(s->method, "GET");
    /* PostgreSQL cuts a longer name than 63 bytes, without a word */
    assert_int_equal(strlen(trace_application(r)), 62);
    assert_int_equal(strncmp(trace_application(r), TRACE_APPLICATION, 7), 0);
    assert_true(traceparent_parse(str_of(trace_application(r) + 7), &told));
    assert_int_equal(told.span, s->id);
    assert_int_equal(told.trace[1], s->trace[1]);
    assert_non_null(trace_exemplar(r, &e));
    assert_int_equal(e.trace[0], s->trace[0]);
    req_fini(r);
    x.settings.otlp_sample = 1;
    r = request_with("");
    assert_int_equal(r->trace->span.parent, 0); /* it begins the trace */
    req_fini(r);
}

static void test_who_is_not_followed_has_nothing(void **state)
{
    struct req *r = request_with("");
    struct exemplar e;

    (void)state;
    assert_null(trace_application(r));
    assert_null(trace_exemplar(r, &e));
    trace_ack(r);
    req_fini(r);
}

static void test_each_wait_has_its_name(void **state)
{
    static const struct stmt find = {.name = "run_find"};
    static const struct {
        enum req_wait wait;
        enum req_park park;
        const char *name;
    } rows[] = {
        {WAIT_BODY, PARK_NONE, "thread aside"},
        {WAIT_SQL, PARK_NONE, "postgresql"},
        {WAIT_SENT, PARK_NONE, "reader"},
        {WAIT_PIECE, PARK_NONE, "body"},
        {WAIT_PARKED, PARK_DURABLE, "durable"},
        {WAIT_PARKED, PARK_RUN, "run"},
        {WAIT_PARKED, PARK_COMMITTED, "own writes"},
        {WAIT_PARKED, PARK_ASKED, "run"},
        {WAIT_PARKED, PARK_USER, "user"},
        {WAIT_PARKED, PARK_TURN, "turn"},
        {WAIT_PARKED, PARK_EVENT, "event"},
        {WAIT_PARKED, PARK_LOOK, "redis"},
        {WAIT_PARKED, PARK_SHARED, "redis"},
    };
    struct req *r = request_with(SAMPLED);
    const struct span *s = &r->trace->span;

    (void)state;
    r->sql.nsteps = 1;
    r->sql.steps[0].stmt = &find;
    for (unsigned i = 0; i < array_len(rows); i++) {
        r->wait = rows[i].wait;
        r->parked_in = rows[i].park;
        r->wait_since_us = 10 * i;
        x.worker.now_us = 10 * i + 5;
        trace_waited(r);
        assert_int_equal(s->wait_count, i + 1);
        if (i >= SPAN_WAITS)
            continue; /* counted, and not told */
        assert_string_equal(s->waits[i].name, rows[i].name);
        assert_int_equal(s->waits[i].begin_us, 10 * i);
        assert_int_equal(s->waits[i].end_us, 10 * i + 5);
        if (rows[i].wait == WAIT_SQL)
            assert_string_equal(s->waits[i].statement, "run_find");
        else
            assert_null(s->waits[i].statement);
    }
    assert_true(array_len(rows) > SPAN_WAITS);
    r->parked_in = PARK_NONE;
    r->wait = WAIT_NONE;
    req_fini(r);
}

static void test_what_is_answered_goes_to_the_collector(void **state)
{
    struct req *r = request_with(SAMPLED);

    (void)state;
    r->reply.status = 503;
    r->input.body = STR("{}");
    x.exchange.sent_bytes = 7;
    x.worker.now_us = 3000;
    trace_end(r);
    assert_int_equal(r->trace->span.end_us, 3000);
    assert_string_equal(r->trace->span.route, "");
    assert_int_equal(r->trace->span.status, 503);
    assert_int_equal(r->trace->span.received_bytes, 2);
    assert_int_equal(r->trace->span.sent_bytes, 7);
    assert_int_equal(atomic_load(&x.worker.stats->requests_traced), 1);
    assert_int_equal(atomic_load(&x.worker.stats->spans_dropped), 0);
    tracer_stop(x.worker.tracer); /* it had the span: nobody took it */
    x.worker.tracer = NULL;
    assert_int_equal(atomic_load(&x.tracer_stats->spans_dropped), 1);
    trace_end(r); /* and without a collector nothing is counted */
    assert_int_equal(atomic_load(&x.worker.stats->requests_traced), 1);
    req_fini(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_traceparent_decides_for_its_own, begin, end),
        cmocka_unit_test_setup_teardown(test_of_the_others_every_nth_begins_one, begin, end),
        cmocka_unit_test_setup_teardown(test_it_is_a_child_of_its_caller, begin, end),
        cmocka_unit_test_setup_teardown(test_who_is_not_followed_has_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_each_wait_has_its_name, begin, end),
        cmocka_unit_test_setup_teardown(test_what_is_answered_goes_to_the_collector, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
