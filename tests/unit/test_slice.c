/* slice: a thread that asks keeps what it had but its slice; other policies are left alone. */
#include "base/slice.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct attr asked(void)
{
    struct attr a = {.size = sizeof(a)};

    assert_int_equal(syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0), 0);
    return a;
}

static void test_only_the_slice_changes(void **state)
{
    struct attr before = asked(), after;

    (void)state;
    assert_true(slice_set_us(300));
    after = asked();
    assert_int_equal(after.policy, before.policy);
    assert_int_equal(after.nice, before.nice);
    assert_int_equal(after.priority, before.priority);
    /* Kernels before 6.12 say 0, whatever was asked. */
    assert_true(after.runtime_ns == 300000 || after.runtime_ns == 0);
}

static void test_a_policy_without_slices_is_left_alone(void **state)
{
    struct sched_param none = {0};

    (void)state;
    assert_int_equal(sched_setscheduler(0, SCHED_IDLE, &none), 0); /* anybody may */
    assert_false(slice_set_us(300));
    assert_int_equal(sched_getscheduler(0), SCHED_IDLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_slice_changes),
        cmocka_unit_test(test_a_policy_without_slices_is_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
