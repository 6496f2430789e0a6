/* rate: a bucket lets through burst and limit and no more, by itself and on loan. */
#include "gateway/peers/rate.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define SECOND_US ((uint64_t)1000000)

static struct rate *table;

static int setup(void **state)
{
    (void)state;
    table = rate_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rate_free(table);
    return 0;
}

/* How many points pass in batches of that cost, asked for every millisecond. */
static uint64_t passed(const struct rate_call *c, uint64_t from_us, uint64_t to_us)
{
    uint64_t sum = 0, wait_us;

    for (uint64_t now_us = from_us; now_us < to_us; now_us += 1000) {
        if (rate_take(table, c, false, now_us, &wait_us) == RATE_PASS)
            sum += c->cost;
    }
    return sum;
}

static void test_burst_then_limit(void **state)
{
    struct rate_call c = {.key = STR("a"), .limit = 1000, .burst = 300, .cost = 10};
    struct rate_call other = {.key = STR("b"), .limit = 1000, .burst = 300, .cost = 300};
    uint64_t wait_us = 0, sum;

    (void)state;
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(rate_take(table, &c, false, SECOND_US, &wait_us), RATE_PASS);
    assert_int_equal(rate_take(table, &c, false, SECOND_US, &wait_us), RATE_OVER);
    assert_int_equal(wait_us, 1000); /* one point */
    assert_int_equal(rate_take(table, &other, false, SECOND_US, &wait_us), RATE_PASS);
    sum = passed(&c, SECOND_US, 11 * SECOND_US);
    assert_in_range(sum, 10000 - 10, 10000 + 10);
    /* Left alone it fills up to the burst, not beyond. */
    sum = passed(&c, 100 * SECOND_US, 100 * SECOND_US + 100000);
    assert_in_range(sum, 400 - 10, 400 + 10);
}

static void test_a_batch_larger_than_the_bucket_passes_and_is_waited_for(void **state)
{
    struct rate_call c = {.key = STR("a"), .limit = 100, .burst = 100, .cost = 1000};
    uint64_t wait_us;

    (void)state;
    assert_int_equal(rate_take(table, &c, false, SECOND_US, &wait_us), RATE_PASS);
    c.cost = 1;
    assert_int_equal(rate_take(table, &c, false, SECOND_US, &wait_us), RATE_OVER);
    assert_int_equal(wait_us, 9010000);
    assert_int_equal(rate_take(table, &c, false, SECOND_US + 9009000, &wait_us), RATE_OVER);
    assert_int_equal(rate_take(table, &c, false, SECOND_US + 9010001, &wait_us), RATE_PASS);
}

static void test_a_loan_is_spent_before_another_is_asked_for(void **state)
{
    struct rate_call c = {.key = STR("a"), .limit = 1000, .burst = 300, .cost = 10};
    uint64_t wait_us;

    (void)state;
    assert_int_equal(rate_take(table, &c, true, SECOND_US, &wait_us), RATE_ASK);
    c.said.numbers[0] = 30; /* 10 for the request that asked */
    rate_learn(table, &c, SECOND_US);
    assert_int_equal(rate_take(table, &c, true, SECOND_US, &wait_us), RATE_PASS);
    assert_int_equal(rate_take(table, &c, true, SECOND_US, &wait_us), RATE_PASS);
    assert_int_equal(rate_take(table, &c, true, SECOND_US, &wait_us), RATE_ASK);
    /* The clock lends nothing, and an empty bucket is not asked before it has something. */
    assert_int_equal(rate_take(table, &c, true, 9 * SECOND_US, &wait_us), RATE_ASK);
    c.said.numbers[0] = 0;
    c.said.numbers[1] = 5000;
    rate_learn(table, &c, 9 * SECOND_US);
    assert_int_equal(rate_take(table, &c, true, 9 * SECOND_US + 1000, &wait_us), RATE_OVER);
    assert_int_equal(wait_us, 4000);
    assert_int_equal(rate_take(table, &c, true, 9 * SECOND_US + 5000, &wait_us), RATE_ASK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_burst_then_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_batch_larger_than_the_bucket_passes_and_is_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_loan_is_spent_before_another_is_asked_for, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
