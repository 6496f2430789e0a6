/* tally: rows of the curves, and what becomes of them when they are too many. */
#include "loadtest/tally.c"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct tally t;

static void test_a_row_holds_what_came_since_the_last(void **state)
{
    (void)state;
    tally_init(&t);
    t.now.done = 3;
    t.now.points = 30;
    t.now.rss_bytes = 77;
    spread_note(&t.now_latency, 100);
    spread_note(&t.now_latency, 200);
    tally_cut(&t, 1.5);
    t.now.done = 1;
    tally_cut(&t, 2.0);
    assert_int_equal(t.sample_count, 2);
    assert_int_equal(t.samples[0].done, 3);
    assert_int_equal(t.samples[0].max_us, 200);
    assert_int_equal(t.samples[0].p50_us, 100);
    assert_int_equal((int)(t.samples[0].seconds * 10), 15);
    assert_int_equal(t.samples[1].done, 1);
    assert_int_equal(t.samples[1].points, 0);
    assert_int_equal(t.samples[1].max_us, 0);
    assert_int_equal((int)(t.samples[1].seconds * 10), 5);
    assert_int_equal((int)t.samples[1].rss_bytes, 77); /* what was looked at stays */
    assert_true(t.samples[1].backlog < 0);             /* and what was not, too */
    tally_fini(&t);
}

static void test_a_short_last_row_joins_its_neighbour(void **state)
{
    (void)state;
    tally_init(&t);
    t.now.done = 3;
    tally_cut(&t, 1);
    t.now.done = 2;
    tally_end(&t, 1.1, 0.5);
    assert_int_equal(t.sample_count, 1);
    assert_int_equal(t.samples[0].done, 5);
    assert_int_equal((int)(t.samples[0].seconds * 10 + 0.5), 11);
    t.now.done = 4;
    tally_end(&t, 2, 0.5);
    assert_int_equal(t.sample_count, 2);
    tally_fini(&t);
}

static void test_many_rows_are_merged(void **state)
{
    uint64_t done = 0;
    double seconds = 0;

    (void)state;
    tally_init(&t);
    for (unsigned i = 0; i <= TALLY_ROWS; i++) {
        t.now.done = 1;
        spread_note(&t.now_latency, i == 5 ? 900 : 9);
        tally_cut(&t, i + 1);
    }
    assert_int_equal(t.sample_count, TALLY_ROWS / 2 + 1);
    for (size_t i = 0; i < t.sample_count; i++) {
        done += t.samples[i].done;
        seconds += t.samples[i].seconds;
    }
    assert_int_equal(done, TALLY_ROWS + 1);
    assert_int_equal((int)seconds, TALLY_ROWS + 1);
    assert_int_equal(t.samples[2].max_us, 900);
    tally_fini(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_row_holds_what_came_since_the_last),
        cmocka_unit_test(test_a_short_last_row_joins_its_neighbour),
        cmocka_unit_test(test_many_rows_are_merged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
