/* tickets: outcomes in any order, marks that pass what is committed and nothing else, laps. */
#include "ingest/tickets.c"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

enum { CAP = 8 };

static struct tickets *t;

static int setup(void **state)
{
    (void)state;
    t = tickets_new(2, CAP);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tickets_free(t);
    return 0;
}

static void test_outcomes_come_in_any_order(void **state)
{
    pos_t a = tickets_take(t, 0), b = tickets_take(t, 1), c = tickets_take(t, 0);

    (void)state;
    assert_true(a > 0 && b == a + 1 && c == b + 1);
    assert_int_equal(tickets_end(t), c + 1);
    tickets_settle(t, c, true, 7);
    tickets_settle(t, b, false, 0);
    assert_int_equal(tickets_outcome(t, a + 1), QUEUE_PENDING);
    assert_int_equal(tickets_outcome(t, b + 1), QUEUE_LOST);
    assert_int_equal(tickets_outcome(t, c + 1), QUEUE_DURABLE);
    assert_int_equal(tickets_settled(t), a);
    tickets_settle(t, a, true, 6);
    assert_int_equal(tickets_settled(t), c + 1);
    assert_int_equal(tickets_delivered(t, 0), 8);
    assert_int_equal(tickets_delivered(t, 1), 0);
}

static void test_a_place_is_the_offset_or_behind_it(void **state)
{
    pos_t a = tickets_take(t, 1), b;

    (void)state;
    tickets_settle(t, a, true, 40);
    assert_int_equal(tickets_place(t, 1, a + 1), 41);
    for (unsigned i = 0; i < CAP; i++) {
        b = tickets_take(t, 1);
        tickets_settle(t, b, true, 50 + i);
    }
    assert_int_equal(tickets_place(t, 1, b + 1), 50 + CAP);
    assert_int_equal(tickets_place(t, 1, a + 1), 50 + CAP); /* no longer remembered: never less */
}

static void test_a_full_table_takes_no_more_and_forgets_nothing_that_waits(void **state)
{
    pos_t first = tickets_take(t, 0);

    (void)state;
    for (int i = 1; i < CAP; i++)
        tickets_settle(t, tickets_take(t, 0), true, (pos_t)i);
    assert_int_equal(tickets_take(t, 0), 0);
    assert_int_equal(tickets_outcome(t, first + 1), QUEUE_PENDING);
    tickets_settle(t, first, true, 0);
    assert_int_equal(tickets_take(t, 1), first + CAP);
    /* What is forgotten was not durable, as far as anybody may say. */
    assert_int_equal(tickets_outcome(t, first + 1), QUEUE_LOST);
}

/* Two workers, one run: the log has the later ticket first. */
static void test_a_mark_waits_for_both_of_two_that_the_log_has_swapped(void **state)
{
    pos_t a = tickets_take(t, 0), b = tickets_take(t, 0);

    (void)state;
    tickets_settle(t, a, true, 1);
    tickets_settle(t, b, true, 0);
    tickets_reach(t, 0, 1);
    assert_int_equal(tickets_committed(t, 0), a);
    tickets_reach(t, 0, 2);
    assert_int_equal(tickets_committed(t, 0), b + 1);
}

static void test_a_partition_that_stands_still_holds_back_itself_only(void **state)
{
    pos_t a = tickets_take(t, 0), b = tickets_take(t, 1), c = tickets_take(t, 0);
    bool is_known;

    (void)state;
    tickets_settle(t, b, true, 0);
    tickets_settle(t, c, false, 0);
    tickets_reached(t, 1, &is_known);
    assert_false(is_known);
    tickets_reach(t, 1, 1);
    assert_int_equal(tickets_reached(t, 1, &is_known), 1);
    assert_true(is_known);
    assert_int_equal(tickets_committed(t, 1), c + 1);
    assert_int_equal(tickets_committed(t, 0), a);
    tickets_settle(t, a, false, 0); /* lost ones are waited for by nobody */
    assert_int_equal(tickets_committed(t, 0), c + 1);
    tickets_reach(t, 1, 0);
    assert_int_equal(tickets_reached(t, 1, &is_known), 1);
}

static void test_a_lapped_mark_goes_on_behind_its_fence(void **state)
{
    pos_t last = 0;

    (void)state;
    for (pos_t i = 0; i < 3 * CAP; i++) {
        last = tickets_take(t, 0);
        tickets_settle(t, last, true, i);
    }
    pos_t begin = last + 1 - 3 * CAP;

    assert_int_equal(tickets_committed(t, 0), begin);
    tickets_reach(t, 0, 2 * CAP + 1); /* all that is still in the table, but the last 7 */
    assert_int_equal(tickets_committed(t, 0),
                     begin); /* the fence is at the newest offset of then */
    tickets_reach(t, 0, 3 * CAP);
    assert_int_equal(tickets_committed(t, 0), last + 1);
    /* A partition without entries has nothing to wait for. */
    assert_int_equal(tickets_committed(t, 1), last + 1);
}

/* -- many threads ------------------------------------------------------------------------------- */

enum { THREADS = 4, EACH = 20000 };

static _Atomic pos_t offsets[2];

static void *writer(void *arg)
{
    unsigned partition = *(unsigned *)arg % 2;

    for (int i = 0; i < EACH; i++) {
        pos_t ticket;

        while ((ticket = tickets_take(t, partition)) == 0)
            sched_yield();
        if (i % 7 == 0) {
            tickets_settle(t, ticket, false, 0);
            continue;
        }
        tickets_settle(t, ticket, true, atomic_fetch_add(&offsets[partition], 1));
        if (tickets_outcome(t, ticket + 1) == QUEUE_PENDING)
            abort();
        if (i % 16 == 0)
            tickets_reach(t, partition, atomic_load(&offsets[partition]) / 2);
        if (tickets_committed(t, partition) > tickets_end(t))
            abort();
    }
    return NULL;
}

static void test_threads_agree_in_the_end(void **state)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    pos_t begin = tickets_end(t);

    (void)state;
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, writer, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(tickets_end(t) - begin, THREADS * EACH);
    assert_int_equal(tickets_settled(t), tickets_end(t));
    for (unsigned p = 0; p < 2; p++) {
        assert_true(tickets_committed(t, p) < tickets_end(t));
        tickets_reach(t, p, atomic_load(&offsets[p]));
        assert_int_equal(tickets_committed(t, p), tickets_end(t));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_outcomes_come_in_any_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_place_is_the_offset_or_behind_it, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_a_full_table_takes_no_more_and_forgets_nothing_that_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_mark_waits_for_both_of_two_that_the_log_has_swapped,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_partition_that_stands_still_holds_back_itself_only,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lapped_mark_goes_on_behind_its_fence, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_threads_agree_in_the_end, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
