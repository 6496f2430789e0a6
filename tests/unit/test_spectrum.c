/* spectrum: rows rise to the longest, counts are what was noted, the table is HdrHistogram's. */
#include "loadtest/spectrum.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct spread s;
static struct spectrum_row rows[SPECTRUM_ROWS];

static int setup(void **state)
{
    (void)state;
    spread_reset(&s);
    for (unsigned us = 1; us <= 200; us++)
        spread_note(&s, us); /* exact below 256 us */
    return 0;
}

static void test_steps_halve_what_is_left(void **state)
{
    size_t n = spectrum_of(&s, rows);

    (void)state;
    assert_int_equal(n, 8 * STEPS + 1); /* 2^8 is the first power above 200 */
    assert_true(fabs(rows[5].share - 0.5) < 1e-12 && fabs(rows[6].share - 0.55) < 1e-12);
    assert_true(fabs(rows[11].share - 0.775) < 1e-12);
    assert_int_equal(rows[0].us, 1);
    assert_int_equal(rows[5].us, 100);
    assert_in_range(rows[6].us, 110, 111); /* 0.55 has no exact double */
    for (size_t i = 0; i < n; i++) {
        /* As many as are not longer; a share times a count may be a hair above a whole number. */
        assert_in_range(rows[i].count, rows[i].us - 1, rows[i].us);
        assert_true(i == 0 || (rows[i].share > rows[i - 1].share && rows[i].us >= rows[i - 1].us));
    }
    assert_true(rows[n - 1].share >= 1 && rows[n - 1].us == 200);
}

static void test_equal_notes_all_count(void **state)
{
    size_t n;

    (void)state;
    spread_reset(&s);
    for (unsigned i = 0; i < 10; i++)
        spread_note(&s, i < 9 ? 5 : 100);
    n = spectrum_of(&s, rows);
    assert_int_equal(rows[0].us, 5);
    assert_int_equal(rows[0].count, 9);
    assert_int_equal(rows[n - 1].count, 10);
}

static void test_the_most_notes_fit(void **state)
{
    (void)state;
    s.counts[7] = s.count = UINT64_MAX / 2;
    assert_in_range(spectrum_of(&s, rows), 1, SPECTRUM_ROWS);
}

static void test_nothing_noted(void **state)
{
    struct buf out;

    (void)state;
    spread_reset(&s);
    assert_int_equal(spectrum_of(&s, rows), 0);
    buf_init(&out);
    spectrum_write(&s, &out);
    assert_true(str_starts(buf_str(&out), STR("       Value     Percentile TotalCount")));
    buf_fini(&out);
}

static void test_table(void **state)
{
    struct buf out;
    const char *text;

    (void)state;
    buf_init(&out);
    spectrum_write(&s, &out);
    buf_add_byte(&out, '\0');
    text = buf_str(&out).p;
    assert_non_null(strstr(text, "\n       0.100 0.500000000000        100           2.00\n"));
    assert_non_null(
        strstr(text, "\n       0.200 1.000000000000        200            inf\n#[Mean "));
    assert_non_null(strstr(text, "#[Mean    =        0.101, StdDeviation   =        0.058]\n"));
    assert_non_null(strstr(text, "#[Max     =        0.200, Total count    =          200]\n"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_steps_halve_what_is_left, setup),
        cmocka_unit_test_setup(test_equal_notes_all_count, setup),
        cmocka_unit_test_setup(test_the_most_notes_fit, setup),
        cmocka_unit_test(test_nothing_noted),
        cmocka_unit_test_setup(test_table, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
