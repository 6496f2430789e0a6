/* tracer: more spans than it holds are dropped and counted, and its end comes though nobody takes them. */
#include "gateway/tracer.c"

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
        cmocka_unit_test(test_where_spans_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
