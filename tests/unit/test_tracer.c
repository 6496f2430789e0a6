/* tracer: more spans than it holds are dropped and counted, and its end comes though nobody takes them. */
#include "gateway/trace/tracer.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_a_full_queue_drops_and_says_so(void **state)
{
    struct stats *stats = stats_new();
    struct tracer *t = tracer_start("http://127.0.0.1:1", "test", stats);
    struct span s = {.trace = {1, 2}, .id = 3, .method = "GET", .route = "", .wait_count = 2};
    unsigned taken = 0, sent;

    (void)state;
    s.waits[0].name = s.waits[1].name = "durable";
    for (unsigned i = 0; i < 2 * TRACER_QUEUE; i++)
        taken += tracer_put(t, &s);
    assert_true(taken >= TRACER_QUEUE && taken < 2 * TRACER_QUEUE);
    tracer_stop(t);
    sent = (unsigned)atomic_load(&stats->spans_sent);
    assert_int_equal(sent, 0);
    assert_int_equal(atomic_load(&stats->spans_dropped) % 3, 0); /* each with its two waits */
    assert_true(atomic_load(&stats->spans_dropped) >= 3 * BATCH);
    stats_free(stats);
}

/* Of flushes with nobody's points one in sample is followed, in a trace of its own. */
static void test_one_flush_in_so_many(void **state)
{
    struct stats *stats = stats_new();
    struct tracer *t = tracer_start("http://127.0.0.1:1", "test", stats);
    struct follower f = tracer_follower(t);
    struct take none = {0};
    unsigned followed = 0;

    (void)state;
    for (unsigned i = 0; i < 10; i++) { /* no sample: none */
        struct trail trail = {0};

        assert_false(f.begin(f.arg, &none, &trail));
    }
    tracer_sample(t, 5);
    for (unsigned i = 0; i < 10; i++) {
        struct trail trail = {0};

        if (!f.begin(f.arg, &none, &trail)) {
            assert_string_equal(trail.application, "");
            continue;
        }
        followed++;
        assert_int_equal(strlen(trail.application), strlen(TRACE_APPLICATION) + TRACEPARENT_BYTES);
        assert_true(trail.self.span != 0 && trail.parent == 0 && trail.link_count == 0);
    }
    assert_int_equal(followed, 2);
    tracer_stop(t);
    stats_free(stats);
}

/* More requests than are told: the first is the parent, the next TRAIL_LINKS are links. */
static void test_links_are_bounded(void **state)
{
    enum { MANY = TRAIL_LINKS + 5 };
    struct stats *stats = stats_new();
    struct tracer *t = tracer_start("http://127.0.0.1:1", "test", stats);
    struct follower f = tracer_follower(t);
    struct entry entries[MANY];
    struct take take = {.entries = entries, .count = MANY};
    struct trail trail = {0};

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        entries[i] = (struct entry){.pos = i, .end = i + 1};
        tracer_note(t, i + 1, &(struct span){.trace = {7, i}, .id = 100 + i});
    }
    assert_true(f.begin(f.arg, &take, &trail));
    assert_int_equal(trail.followed, MANY);
    assert_int_equal(trail.parent, 100);
    assert_int_equal(trail.self.trace[1], 0);
    assert_int_equal(trail.link_count, TRAIL_LINKS);
    for (unsigned i = 0; i < TRAIL_LINKS; i++)
        assert_int_equal(trail.links[i].span, 101 + i);
    trail.is_cut = true;
    assert_true(f.end(f.arg, &trail));
    tracer_stop(t);
    stats_free(stats);
}

/* A flush that was cut short is an error's span. */
static void test_a_flush_is_told(void **state)
{
    struct otlp_resource who = {"s", "i", "h"};
    struct span s = {
        .trace = {1, 2}, .id = 3, .is_flush = true, .trail = {.points = 41, .is_cut = true}};
    struct buf out;

    (void)state;
    buf_init(&out);
    assert_int_equal(otlp_count(&s, 1), 1);
    otlp_write(&who, &s, 1, &out);
    buf_add_byte(&out, '\0');
    assert_non_null(strstr(buf_str(&out).p, "\"name\":\"flush\",\"kind\":5"));
    assert_non_null(strstr(buf_str(&out).p, "\"sluice.points\",\"value\":{\"intValue\":\"41\"}"));
    assert_non_null(strstr(buf_str(&out).p, "\"status\":{\"code\":2}"));
    assert_null(strstr(buf_str(&out).p, "parentSpanId"));
    buf_fini(&out);
}

static void test_where_spans_go(void **state)
{
    static const char *const rows[][2] = {
        {"http://c:4318", "http://c:4318/v1/traces"},
        {"http://c:4318/", "http://c:4318/v1/traces"},
        {"https://c/otel//", "https://c/otel/v1/traces"},
        {"http://c:4318/v1/traces", "http://c:4318/v1/traces"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        char *url = tracer_url(rows[i][0]);

        assert_string_equal(url, rows[i][1]);
        free(url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_full_queue_drops_and_says_so),
        cmocka_unit_test(test_one_flush_in_so_many),
        cmocka_unit_test(test_links_are_bounded),
        cmocka_unit_test(test_a_flush_is_told),
        cmocka_unit_test(test_where_spans_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
