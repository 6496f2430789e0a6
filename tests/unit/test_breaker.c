/* breaker: opens after failures in a row, lets one probe through, closes with the first answer. */
#include "gateway/proxy/breaker.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { LIMIT = 3, PAUSE = 100 };

static void fail_times(struct breaker *b, unsigned n, uint64_t now)
{
    while (n--) {
        assert_true(breaker_admits(b, now));
        assert_false(breaker_bad(b, now, LIMIT, PAUSE));
    }
}

static void test_failures_in_a_row_open_it(void **state)
{
    struct breaker b = {0};

    (void)state;
    fail_times(&b, LIMIT - 1, 0);
    assert_false(breaker_good(&b)); /* was not open; they count anew */
    fail_times(&b, LIMIT - 1, 0);
    assert_true(breaker_bad(&b, 0, LIMIT, PAUSE));
    assert_true(breaker_is_open(&b));
    assert_false(breaker_admits(&b, PAUSE - 1));
}

static void test_one_probe_at_a_time(void **state)
{
    struct breaker b = {0};

    (void)state;
    fail_times(&b, LIMIT - 1, 0);
    (void)breaker_bad(&b, 0, LIMIT, PAUSE);
    assert_true(breaker_admits(&b, PAUSE));
    assert_false(breaker_admits(&b, PAUSE + 1));
    breaker_unknown(&b); /* the asker went: somebody else may ask */
    assert_true(breaker_admits(&b, PAUSE + 2));
    assert_false(breaker_bad(&b, PAUSE + 3, LIMIT, PAUSE)); /* it was open before: no second word */
    assert_false(breaker_admits(&b, 2 * PAUSE + 2));
    assert_true(breaker_admits(&b, 2 * PAUSE + 3));
    assert_true(breaker_good(&b));
    assert_false(breaker_is_open(&b));
    fail_times(&b, LIMIT - 1, 3 * PAUSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failures_in_a_row_open_it),
        cmocka_unit_test(test_one_probe_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
