/* exposition: both formats say the same, each by its own rules. */
#include "schema/exposition.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct buf out;

static void expect(const char *text)
{
    char got[4096];

    str_to_cstr(buf_str(&out), got, sizeof(got));
    assert_string_equal(got, text);
    buf_reset(&out);
}

static void test_counters_and_units(void **state)
{
    struct exposition x;

    (void)state;
    exposition_begin(&x, &out, false);
    exposition_family(&x, "a_bytes", KIND_COUNTER, "Bytes.");
    exposition_u64(&x, "", UINT64_MAX);
    exposition_end(&x);
    expect("# HELP a_bytes_total Bytes.\n# TYPE a_bytes_total counter\n"
           "a_bytes_total 18446744073709551615\n");
    exposition_begin(&x, &out, true);
    exposition_family(&x, "a_bytes", KIND_COUNTER, "Bytes.");
    exposition_u64(&x, "", UINT64_MAX);
    exposition_family(&x, "abytes", KIND_GAUGE, "None.");
    exposition_us(&x, "k=\"v\"", 500000);
    exposition_end(&x);
    expect("# TYPE a_bytes counter\n# UNIT a_bytes bytes\n# HELP a_bytes Bytes.\n"
           "a_bytes_total 18446744073709551615\n"
           "# TYPE abytes gauge\n# HELP abytes None.\nabytes{k=\"v\"} 0.5\n# EOF\n");
}

static void test_info_is_a_gauge_where_there_is_none(void **state)
{
    struct exposition x;

    (void)state;
    exposition_begin(&x, &out, false);
    exposition_series(&x, SERIES_build);
    exposition_u64(&x, "version=\"1\"", 1);
    expect("# HELP sluice_build_info The version that runs.\n# TYPE sluice_build_info gauge\n"
           "sluice_build_info{version=\"1\"} 1\n");
    exposition_begin(&x, &out, true);
    exposition_series(&x, SERIES_build);
    exposition_u64(&x, "version=\"1\"", 1);
    expect("# TYPE sluice_build info\n# HELP sluice_build The version that runs.\n"
           "sluice_build_info{version=\"1\"} 1\n");
}

static void test_a_histogram_shows_some_bounds_and_counts_all(void **state)
{
    struct exposition x;
    struct hist_view h = {.counts = {1, 2, [15] = 3, [HIST_BOUNDS] = 4}, .sum_us = 1500000};
    struct exemplar_view e = {.slots[1] = {{1, 2}, 99, 5}};

    (void)state;
    exposition_begin(&x, &out, true);
    exposition_family(&x, "d_seconds", KIND_HISTOGRAM, "D.");
    buf_reset(&out);
    exposition_hist(&x, "m=\"G\"", &h, &e, 1 << 2 | 1 << 15);
    expect("d_seconds_bucket{m=\"G\",le=\"0.00025\"} 3 # "
           "{trace_id=\"00000000000000010000000000000002\"} 0.000099 0.005\n"
           "d_seconds_bucket{m=\"G\",le=\"1.0\"} 6\n"
           "d_seconds_bucket{m=\"G\",le=\"+Inf\"} 10\n"
           "d_seconds_sum{m=\"G\"} 1.5\nd_seconds_count{m=\"G\"} 10\n");
    exposition_begin(&x, &out, false);
    exposition_family(&x, "d_seconds", KIND_HISTOGRAM, "D.");
    buf_reset(&out);
    exposition_hist(&x, "", &h, &e, 1 << 2);
    expect("d_seconds_bucket{le=\"0.00025\"} 3\nd_seconds_bucket{le=\"+Inf\"} 10\n"
           "d_seconds_sum 1.5\nd_seconds_count 10\n");
}

static void test_who_wants_openmetrics(void **state)
{
    (void)state;
    assert_false(exposition_is_wanted(STR("")));
    assert_false(exposition_is_wanted(STR("*/*")));
    assert_false(exposition_is_wanted(STR("text/plain;version=0.0.4")));
    assert_true(exposition_is_wanted(STR("application/openmetrics-text")));
    /* Prometheus 2.42 */
    assert_true(exposition_is_wanted(
        STR("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
            "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")));
    /* the same, told to prefer the classic format */
    assert_false(exposition_is_wanted(
        STR("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.5")));
    assert_false(exposition_is_wanted(STR("application/openmetrics-text; version=2.0.0")));
    assert_false(exposition_is_wanted(STR("application/openmetrics-text;q=0")));
    /* no weights */
    assert_false(exposition_is_wanted(STR("application/openmetrics-text;q=-1")));
    assert_false(exposition_is_wanted(STR("application/openmetrics-text;q=nan")));
    assert_true(exposition_is_wanted(STR("text/plain;q=1,application/openmetrics-text;q=9e9")));
}

static void test_help_needs_no_escape(void **state)
{
    (void)state;
    for (size_t i = 0; i < SERIES_COUNT; i++) {
        for (const char *p = series_rows[i].help; *p; p++)
            assert_true(*p != '"' && *p != '\\' && *p != '\n' && *p != '|');
        assert_false(str_ends(str_of(series_rows[i].name), STR("_total")));
        assert_false(str_ends(str_of(series_rows[i].name), STR("_info")));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counters_and_units),
        cmocka_unit_test(test_info_is_a_gauge_where_there_is_none),
        cmocka_unit_test(test_a_histogram_shows_some_bounds_and_counts_all),
        cmocka_unit_test(test_who_wants_openmetrics),
        cmocka_unit_test(test_help_needs_no_escape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
