/* clock: monotonic time never goes back, wall time is now. */
#include "base/clock.c"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_monotonic_never_goes_back(void **state)
{
    uint64_t before = clock_us();

    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_us();

        assert_true(now >= before);
        before = now;
    }
}

static void test_monotonic_counts_microseconds(void **state)
{
    struct timespec t;
    uint64_t us = clock_us();
    uint64_t expected;

    (void)state;
    clock_gettime(CLOCK_MONOTONIC, &t);
    expected = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    assert_true(expected - us < 60 * UINT64_C(1000000));
}

static void *burn(void *unused)
{
    uint64_t begin = clock_cpu_us();

    while (clock_cpu_us() - begin < 100 * 1000)
        ;
    return unused;
}

/* Its own: what another thread works while this one waits does not count. */
static void test_cpu_time_is_that_of_the_thread(void **state)
{
    uint64_t begin = clock_cpu_us();
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, burn, NULL), 0);
    pthread_join(thread, NULL);
    assert_true(clock_cpu_us() - begin < 50 * 1000);
    burn(NULL);
    assert_true(clock_cpu_us() - begin >= 100 * 1000);
}

static void test_wall_is_milliseconds_since_the_epoch(void **state)
{
    int64_t ms = clock_wall_ms();

    (void)state;
    assert_true(ms / 1000 - (int64_t)time(NULL) <= 1);
    assert_true((int64_t)time(NULL) - ms / 1000 <= 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_monotonic_never_goes_back),
        cmocka_unit_test(test_monotonic_counts_microseconds),
        cmocka_unit_test(test_cpu_time_is_that_of_the_thread),
        cmocka_unit_test(test_wall_is_milliseconds_since_the_epoch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
