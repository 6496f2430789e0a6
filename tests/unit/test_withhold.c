/*
 * Tests of gateway/auth/withhold.c: the table fits the sieve, and each kind that is denied takes
 * out its own.
 */
#include "gateway/auth/withhold.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static void test_no_rule_has_more_rows_than_a_sieve_takes(void **state)
{
    size_t counts[MAY_RULES] = {0};

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++)
        assert_true(++counts[rows[i].rule] <= SIEVE_RULES);
}

static void test_rows_say_where_and_for_whom(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        const char *const *path = rows[i].at.path;
        size_t n = 0;

        while (n <= SIEVE_SEGMENTS && path[n])
            n++;
        assert_true(n <= SIEVE_SEGMENTS); /* it ends */
        assert_int_equal(rows[i].when != NULL, rows[i].at.judge != NULL);
        assert_true(rows[i].when == NULL || rows[i].hides == 0);
        assert_true(n > 0 || rows[i].at.judge); /* nobody takes out all there is */
        for (size_t k = 0; k < n; k++) {
            assert_true(path[k][0] != '\0');
            assert_true(path[k][0] != '=' || k + 1 == n);
        }
    }
}

static void test_only_what_is_denied_is_hidden(void **state)
{
    struct withhold_row row = {.hides = HIDE_RUNS};
    struct req req = {0};

    (void)state;
    assert_true(withhold_is_due(&req, &row, HIDE_RUNS));
    assert_true(withhold_is_due(&req, &row, HIDE_RUNS | HIDE_LOGGED));
    assert_false(withhold_is_due(&req, &row, HIDE_LOGGED));
    assert_false(withhold_is_due(&req, &row, 0));
    row.hides = HIDE_ANYBODY;
    assert_true(withhold_is_due(&req, &row, 0));
}

static void test_nobody_asked_hides_nothing(void **state)
{
    struct req req = {0};

    (void)state;
    assert_null(withhold_rules(&req));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_rule_has_more_rows_than_a_sieve_takes),
        cmocka_unit_test(test_rows_say_where_and_for_whom),
        cmocka_unit_test(test_only_what_is_denied_is_hidden),
        cmocka_unit_test(test_nobody_asked_hides_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
