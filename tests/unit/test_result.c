/* result: figures from counts, growth from looks, and conditions that hold or do not. */
#include "loadtest/result.c"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct storm s;

static int setup(void **state)
{
    (void)state;
    memset(&s, 0, sizeof(s));
    tally_init(&s.tally);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tally_fini(&s.tally);
    return 0;
}

static bool is_near(double a, double b)
{
    return fabs(a - b) <= 1e-6 * fabs(b) + 1e-12;
}

static void test_figures(void **state)
{
    struct verdict v = {.rows = 9, .lost = 2};
    struct result r;

    (void)state;
    s.tally.statuses[200] = 90;
    s.tally.statuses[404] = 3;
    s.tally.statuses[429] = 5;
    s.tally.statuses[503] = 2;
    s.tally.statuses[504] = 1;
    s.tally.measured_s = 2;
    s.tally.warm_done = 80;
    s.tally.warm_points = 800;
    for (unsigned i = 1; i <= 100; i++)
        spread_note(&s.tally.latency, i);
    result_make(&r, &s, &v);
    assert_true(is_near(r.answers_429, 5));
    assert_true(is_near(r.answers_5xx, 3));
    assert_true(is_near(r.answers_4xx, 3));
    assert_true(is_near(r.throughput, 40));
    assert_true(is_near(r.goodput, 400));
    assert_true(is_near(r.p50, 50e-6));
    assert_true(is_near(r.p99, 99e-6));
    assert_true(is_near(r.max, 100e-6));
    assert_true(is_near(r.lost, 2));
    assert_true(is_near(r.verify_rows, 9));
}

static void test_growth_is_that_after_the_warm_up(void **state)
{
    struct result r;

    (void)state;
    s.warm_us = 100 * UINT64_C(1000000);
    s.end_us = 1000 * UINT64_C(1000000);
    for (unsigned i = 1; i <= 110; i++) {
        double at = i * 10;

        s.tally.now.rss_bytes = at < 100 ? 1e9 : 50 * 0x1p20 + at / 3600 * 0x1p20; /* 1 MiB/h */
        s.tally.now.fds = at < 100 ? 900 : i == 50 ? 77 : at > 900 ? 44 : 40;
        s.tally.now.backlog = i;
        tally_cut(&s.tally, at);
    }
    result_make(&r, &s, NULL);
    assert_true(fabs(r.rss_slope / 0x1p20 - 1) < 0.001);
    assert_true(is_near(r.fds_first, 40));
    assert_true(is_near(r.fd_growth, 4));
    assert_true(is_near(r.backlog_max, 110));
}

static void test_conditions(void **state)
{
    struct result r = {.p99 = 0.005, .errors = 0, .rss_slope = 2 * 0x1p20};
    struct buf out;

    (void)state;
    buf_init(&out);
    assert_int_equal(result_judge(&r, "p99 > 5ms", &out), 0);
    assert_int_equal(result_judge(&r, "p99 >= 5ms", &out), 1);
    assert_int_equal(result_judge(&r, "p99>4999us", &out), 1);
    assert_int_equal(result_judge(&r, "p99 > 0.004", &out), 1);
    assert_int_equal(result_judge(&r, "errors > 0\nerrors != 0\nerrors < 0", &out), 0);
    assert_int_equal(result_judge(&r, "errors == 0\nerrors <= 0", &out), 2);
    buf_reset(&out);
    assert_int_equal(result_judge(&r, "rss_slope > 1MiB\nrss_slope > 3MiB", &out), 1);
    assert_true(str_eq(buf_str(&out), STR("FAILED: rss_slope > 1MiB (it is 2.00 MiB/h)\n")));
    assert_int_equal(result_judge(&r, "", &out), 0);
    buf_fini(&out);
}

static void test_what_is_no_condition(void **state)
{
    static const char *const wrong[] = {"p99",        "p98 > 5ms", "p99 > ",  "p99 > soon",
                                        "p99 =>5ms",  "> 5ms",     "p99 ! 5", "errors > 5ms",
                                        "p99 > 1MiB", "p99 > nan"};
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    for (size_t i = 0; i < array_len(wrong); i++)
        assert_int_equal(result_check_conditions(wrong[i], &f), ERR_SETTING);
    assert_int_equal(result_check_conditions("p99 > 5ms\nlost > 0", &f), OK);
    assert_int_equal(result_check_conditions("", &f), OK);
}

static void test_units_are_shown(void **state)
{
    struct result r = {.p50 = 0.0123, .p99 = 12.5, .rss_last = 3 * 0x1p20, .goodput = 1234.4};
    char text[RESULT_TEXT_MAX];
    unsigned met = 0;

    (void)state;
    for (size_t i = 0; i < result_count(); i++) {
        const char *want = strcmp(result_name(i), "p50") == 0        ? "12.3 ms"
                           : strcmp(result_name(i), "p99") == 0      ? "12.5 s"
                           : strcmp(result_name(i), "rss_last") == 0 ? "3.0 MiB"
                           : strcmp(result_name(i), "goodput") == 0  ? "1234 /s"
                                                                     : NULL;

        result_show(&r, i, text);
        if (want) {
            assert_string_equal(text, want);
            met++;
        }
    }
    assert_int_equal(met, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_figures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_growth_is_that_after_the_warm_up, setup, teardown),
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_what_is_no_condition),
        cmocka_unit_test(test_units_are_shown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
