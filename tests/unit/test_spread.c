/* spread: slots join without gaps, and a quantile is within 1/128 of the truth. */
#include "base/spread.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static struct spread s;

static void test_slots_join(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot + 1 < SPREAD_SLOTS; slot++) {
        assert_int_equal(spread_slot(spread_last(slot)), slot);
        assert_int_equal(spread_slot(spread_last(slot) + 1), slot + 1);
    }
    assert_int_equal(spread_slot(UINT64_MAX), SPREAD_SLOTS - 1);
    assert_true(spread_last(SPREAD_SLOTS - 1) == (UINT64_C(1) << SPREAD_TOP) - 1);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void test_quantiles_are_close_and_never_below(void **state)
{
    static uint64_t values[100000];
    static const double wanted[] = {0.001, 0.5, 0.9, 0.99, 0.999, 1.0};
    uint64_t x = 88172645463325252ULL;

    (void)state;
    spread_reset(&s);
    for (unsigned i = 0; i < 100000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        values[i] = x >> (24 + x % 40); /* of every magnitude */
        spread_note(&s, values[i]);
    }
    qsort(values, 100000, sizeof(values[0]), compare);
    for (unsigned i = 0; i < 6; i++) {
        uint64_t exact = values[(unsigned)(wanted[i] * 100000 + 0.5) - 1];
        uint64_t said = spread_quantile(&s, wanted[i]);

        assert_true(said >= exact);
        assert_true((double)said <= (double)exact * (1 + 1.0 / 128) + 1);
    }
    assert_int_equal(spread_quantile(&s, 1), values[99999]);
}

static void test_sums_and_empty(void **state)
{
    static struct spread other;

    (void)state;
    spread_reset(&s);
    spread_reset(&other);
    assert_int_equal(spread_quantile(&s, 0.5), 0);
    assert_true(spread_mean_us(&s) < 1e-9);
    spread_note(&s, 10);
    spread_note(&other, 30);
    spread_note(&other, 5000);
    spread_add(&s, &other);
    assert_int_equal(s.count, 3);
    assert_int_equal(s.max_us, 5000);
    assert_int_equal(spread_quantile(&s, 0.5), 30);
    assert_int_equal(spread_quantile(&s, 0.0001), 10);
    assert_int_equal((int)spread_mean_us(&s), 1680);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_join),
        cmocka_unit_test(test_quantiles_are_close_and_never_below),
        cmocka_unit_test(test_sums_and_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
