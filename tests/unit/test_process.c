/* process: fields behind any program name, and figures that move as the process does. */
#include "base/process.c"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define REST " 1 2 3 4 5 6 7 8 9 10 140 150 16 17 18 19 20 21 2200 2300 24 "

static void test_fields(void **state)
{
    uint64_t f[FIELD_RSS + 1] = {0};

    (void)state;
    assert_true(process_fields("7 (sluice) S" REST, f));
    assert_int_equal(f[4], 1);
    assert_int_equal(f[FIELD_UTIME], 140);
    assert_int_equal(f[FIELD_STIME], 150);
    assert_int_equal(f[FIELD_VSIZE], 2300);
    assert_int_equal(f[FIELD_RSS], 24);
    memset(f, 0, sizeof(f));
    assert_true(process_fields("7 (a) b) (c) S" REST, f)); /* a name that looks like its end */
    assert_int_equal(f[FIELD_UTIME], 140);
    assert_false(process_fields("", f));
    assert_false(process_fields("7 (sluice", f));
    assert_false(process_fields("7 (sluice)", f));
    assert_false(process_fields("7 (sluice) S 1 2 3", f));
    assert_false(process_fields("7 (sluice) S 1 2 x 4 5 6", f));
}

static void test_this_process(void **state)
{
    struct process before, after;
    uint64_t now = process_clock_us(CLOCK_REALTIME);
    int fd;

    (void)state;
    process_look(&before);
    assert_true(before.resident_bytes > 100 * 1024);
    assert_true(before.virtual_bytes >= before.resident_bytes);
    assert_int_equal(before.threads, 1);
    assert_true(before.max_fds > before.open_fds);
    /* Started before now, and not before this test program can have been. */
    assert_true(before.started_us <= now + 20000 &&
                now - before.started_us < 600 * UINT64_C(1000000));
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (process_clock_us(CLOCK_PROCESS_CPUTIME_ID) < before.cpu_us + 50000)
        ;
    process_look(&after);
    assert_int_equal(after.open_fds, before.open_fds + 1);
    assert_true(after.cpu_us > before.cpu_us);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_this_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
