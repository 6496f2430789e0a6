/* take: how long it goes on. */
#include "ingest/take.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"

/* A take whose time is up goes on while enough points come in each step. */
static void test_a_take_is_over(void **state)
{
    uint64_t hour = (uint64_t)3600 * 1000000;
    uint64_t past = clock_us() - 1;
    struct take_terms t = {.deadline_us = past + hour};

    (void)state;
    assert_false(take_is_over(&t, 1000000));
    t.deadline_us = past;
    assert_true(take_is_over(&t, 1000000)); /* busy is not asked for */
    t = (struct take_terms){.deadline_us = past,
                            .busy_points = 100,
                            .enough_points = 1000,
                            .busy_step_us = hour,
                            .busy_deadline_us = past + 2 * hour};
    assert_true(take_is_over(&t, 99));
    assert_false(take_is_over(&t, 100));
    assert_int_equal(t.deadline_us, past + hour);
    assert_false(take_is_over(&t, 100)); /* the step */
    t.deadline_us = past;
    assert_true(take_is_over(&t, 199)); /* 99 in the step */
    assert_false(take_is_over(&t, 200));
    t.deadline_us = past;
    assert_false(take_is_over(&t, 999));
    t.deadline_us = past;
    t.busy_from = 0;
    assert_true(take_is_over(&t, 1000)); /* enough */
    t.busy_deadline_us = past;
    assert_true(take_is_over(&t, 999)); /* late enough */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_take_is_over),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
