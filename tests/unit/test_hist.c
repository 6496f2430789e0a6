/* hist: every duration falls into the bucket that its bound says. */
#include "base/hist.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_bounds_rise(void **state)
{
    (void)state;
    for (unsigned i = 1; i < HIST_BOUNDS; i++)
        assert_true(hist_bounds_us[i - 1] < hist_bounds_us[i]);
    assert_int_equal(hist_bounds_us[0], 50);
    assert_int_equal(hist_bounds_us[HIST_BOUNDS - 1], 60000000);
}

static void test_a_bound_belongs_to_its_own_bucket(void **state)
{
    (void)state;
    assert_int_equal(hist_bucket(0), 0);
    for (unsigned i = 0; i < HIST_BOUNDS; i++) {
        assert_int_equal(hist_bucket(hist_bounds_us[i]), i);
        assert_int_equal(hist_bucket(hist_bounds_us[i] + 1), i + 1);
    }
    assert_int_equal(hist_bucket(UINT64_MAX), HIST_BOUNDS);
}

static void test_sums_add_up(void **state)
{
    static struct hist a;
    static struct hist b;
    struct hist_view v = {0};

    (void)state;
    hist_note(&a, 10);
    hist_note(&a, 60);
    hist_note(&b, 60);
    hist_note(&b, 90000000);
    hist_sum(&a, &v);
    hist_sum(&b, &v);
    assert_int_equal(v.counts[0], 1);
    assert_int_equal(v.counts[1], 2);
    assert_int_equal(v.counts[HIST_BOUNDS], 1);
    assert_int_equal(v.sum_us, 90000130);
}

static void test_quantiles(void **state)
{
    struct hist_view v = {0};

    (void)state;
    assert_int_equal(hist_quantile(&v, 0.5), 0);
    v.counts[0] = 98;
    v.counts[3] = 1;
    v.counts[HIST_BOUNDS] = 1;
    assert_int_equal(hist_quantile(&v, 0.5), 50);
    assert_int_equal(hist_quantile(&v, 0.98), 50);
    assert_int_equal(hist_quantile(&v, 0.99), 500);
    assert_int_equal(hist_quantile(&v, 1.0), 60000000);
}

static void test_estimate_lies_within_its_bucket(void **state)
{
    struct hist_view v = {0}, before = {0};

    (void)state;
    assert_true(hist_estimate(&v, 0.5) == 0);
    v.counts[1] = 10; /* above 50, up to 100 us */
    assert_true(hist_estimate(&v, 0.5) == 75);
    assert_true(hist_estimate(&v, 1) == 100);
    v.counts[3] = 10; /* above 250, up to 500 */
    assert_true(hist_estimate(&v, 0.75) == 375);
    v.counts[HIST_BOUNDS] = 80;
    assert_true(hist_estimate(&v, 0.99) == 60e6);
    assert_int_equal(hist_count(&v), 100);
    before.counts[1] = 10;
    before.counts[HIST_BOUNDS] = 80;
    hist_since(&v, &before);
    assert_int_equal(hist_count(&v), 10);
    assert_true(hist_estimate(&v, 0.5) == 375);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_rise),
        cmocka_unit_test(test_a_bound_belongs_to_its_own_bucket),
        cmocka_unit_test(test_sums_add_up),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_estimate_lies_within_its_bucket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
