/* stats: sums over threads, and text that Prometheus reads. Also run under ThreadSanitizer. */
#include "schema/stats.c"

#include <pthread.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

static bool has(const struct buf *b, const char *text)
{
    struct str s = buf_str(b);

    for (; s.n; s = str_skip(s, 1)) {
        if (str_starts(s, str_of(text)))
            return true;
    }
    return false;
}

static void test_sums_over_threads(void **state)
{
    struct stats *a = stats_new();
    struct stats *b = stats_new();
    struct stats_view v = {0};

    (void)state;
    assert_int_equal((uintptr_t)a % CACHE_LINE, 0);
    stat_add(a, accepted_points, 5);
    stat_add(b, accepted_points, 7);
    stat_set(a, open_connections, 3);
    stat_add(b, open_connections, 2);
    stat_sub(b, open_connections, 1);
    stat_time(a, fsync, 60);
    stat_time(b, fsync, 70);
    stat_longest(a, worker_longest_turn, 30);
    stat_longest(a, worker_longest_turn, 20);
    stat_longest(b, worker_longest_turn, 25);
    stats_sum(a, &v);
    stats_sum(b, &v);
    assert_int_equal(v.accepted_points, 12);
    assert_int_equal(v.open_connections, 4);
    assert_int_equal(v.fsync.counts[1], 2);
    assert_int_equal(v.fsync.sum_us, 130);
    assert_int_equal(v.applied_points, 0);
    assert_int_equal(v.worker_longest_turn, 30); /* the most, not the sum */
    stats_free(a);
    stats_free(b);
}

static void test_text_of_counters_and_gauges(void **state)
{
    struct stats_view v = {0};
    struct exposition x;
    struct buf out;

    (void)state;
    buf_init(&out);
    v.accepted_points = UINT64_MAX;
    v.open_connections = 3;
    v.worker_longest_turn = 1500;
    exposition_begin(&x, &out, false);
    stats_expose(&v, &x);
    assert_true(has(&out, "# HELP sluice_accepted_points_total Metric points"));
    assert_true(has(&out, "# TYPE sluice_accepted_points_total counter\n"
                          "sluice_accepted_points_total 18446744073709551615\n"));
    assert_true(has(&out, "# TYPE sluice_open_connections gauge\nsluice_open_connections 3\n"));
    assert_true(has(&out, "# TYPE sluice_worker_longest_turn_seconds gauge\n"
                          "sluice_worker_longest_turn_seconds 0.0015\n"));
    buf_fini(&out);
}

static void test_histograms_are_cumulative(void **state)
{
    struct stats_view v = {0};
    struct exposition x;
    struct buf out;

    (void)state;
    buf_init(&out);
    v.fsync.counts[0] = 2;
    v.fsync.counts[1] = 1;
    v.fsync.counts[HIST_BOUNDS] = 4;
    v.fsync.sum_us = 1500050;
    exposition_begin(&x, &out, false);
    stats_expose(&v, &x);
    assert_true(has(&out, "# TYPE sluice_fsync_seconds histogram\n"
                          "sluice_fsync_seconds_bucket{le=\"0.00005\"} 2\n"
                          "sluice_fsync_seconds_bucket{le=\"0.0001\"} 3\n"
                          "sluice_fsync_seconds_bucket{le=\"0.00025\"} 3\n"));
    assert_true(has(&out, "sluice_fsync_seconds_bucket{le=\"2.5\"} 3\n"));
    assert_true(has(&out, "sluice_fsync_seconds_bucket{le=\"60.0\"} 3\n"
                          "sluice_fsync_seconds_bucket{le=\"+Inf\"} 7\n"
                          "sluice_fsync_seconds_sum 1.50005\n"
                          "sluice_fsync_seconds_count 7\n"));
    buf_fini(&out);
}

static void test_a_traced_request_is_shown_in_openmetrics(void **state)
{
    struct stats *a = stats_new(), *b = stats_new();
    struct stats_view v = {0};
    struct exposition x;
    struct buf out;

    (void)state;
    buf_init(&out);
    stat_time(a, ack, 60);
    stat_trace(a, ack, (&(struct exemplar){{0xa, 0xb}, 60, 1700000000123}));
    stats_sum(a, &v);
    stats_sum(b, &v);
    exposition_begin(&x, &out, true);
    stats_expose(&v, &x);
    assert_true(has(&out, "sluice_ack_seconds_bucket{le=\"0.0001\"} 1 # {trace_id=\""
                          "000000000000000a000000000000000b\"} 0.00006 1700000000.123\n"
                          "sluice_ack_seconds_bucket{le=\"0.00025\"} 1\n"));
    buf_fini(&out);
    stats_free(a);
    stats_free(b);
}

static void test_every_line_has_the_form_of_the_format(void **state)
{
    struct stats_view v = {0};
    struct exposition x;
    struct buf out;

    (void)state;
    buf_init(&out);
    exposition_begin(&x, &out, false);
    stats_expose(&v, &x);
    assert_true(str_ends(buf_str(&out), STR("\n")));
    for (struct str text = buf_str(&out); text.n;) {
        struct str line = str_cut(&text, '\n');

        if (str_starts(line, STR("# HELP sluice_")) || str_starts(line, STR("# TYPE sluice_")))
            continue;
        assert_true(str_starts(line, STR("sluice_")));
        assert_true(str_find(line, ' ') < line.n);
        assert_true(str_find(line, '\\') == line.n);
    }
    buf_fini(&out);
}

static void test_page_names_what_is_exposed(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    stats_doc(&out);
    assert_true(has(&out, "| `sluice_accepted_points_total` | counter | "));
    assert_true(has(&out, "| `sluice_open_connections` | gauge | "));
    assert_true(has(&out, "| `sluice_fsync_seconds` | histogram | "));
    buf_fini(&out);
}

enum { ROUNDS = 200000 };

static void *writer_run(void *arg)
{
    struct stats *s = arg;

    for (int i = 0; i < ROUNDS; i++) {
        stat_add(s, requests, 1);
        stat_time(s, ack, (uint64_t)i);
    }
    return NULL;
}

static void test_scraping_while_the_owner_writes(void **state)
{
    struct stats *s = stats_new();
    pthread_t thread;
    uint64_t seen = 0;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, writer_run, s), 0);
    while (seen < ROUNDS) {
        struct stats_view v = {0};

        stats_sum(s, &v);
        assert_true(v.requests >= seen);
        seen = v.requests;
    }
    pthread_join(thread, NULL);
    stats_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_over_threads),
        cmocka_unit_test(test_text_of_counters_and_gauges),
        cmocka_unit_test(test_histograms_are_cumulative),
        cmocka_unit_test(test_a_traced_request_is_shown_in_openmetrics),
        cmocka_unit_test(test_every_line_has_the_form_of_the_format),
        cmocka_unit_test(test_page_names_what_is_exposed),
        cmocka_unit_test(test_scraping_while_the_owner_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
