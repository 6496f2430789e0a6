/* link: what it waits for, what it gives up, and that it can be stopped in between. */
#include "flush/link.c"

#include <pthread.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/pgtest.h"

static struct link l;
static struct stats *stats;
static const char *uri;

static int group_setup(void **state)
{
    (void)state;
    pgtest_start();
    return 0;
}

static int setup(void **state)
{
    (void)state;
    uri = pgtest_database();
    stats = stats_new();
    return link_init(&l, pgtest_terms(uri), "0123456789abcdef0123456789abcdef", 0, 1, "flusher=0",
                     stats, NULL);
}

static int teardown(void **state)
{
    (void)state;
    link_fini(&l);
    stats_free(stats);
    return 0;
}

static void stop(uint64_t deadline_us)
{
    atomic_store(&l.halt.deadline_us, deadline_us);
    atomic_store(&l.halt.is_asked, true);
    inbox_ring(&l.halt.inbox);
}

static void *stop_when_it_waits(void *arg)
{
    (void)arg;
    /* The first failure is counted right before its wait begins. */
    while (__atomic_load_n(&l.failures, __ATOMIC_RELAXED) < 5)
        sched_yield();
    stop(UINT64_MAX);
    return NULL;
}

static void test_backoff_doubles_up_to_its_bound(void **state)
{
    uint64_t most = 0;

    (void)state;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t bound = i < 9 ? LINK_BACKOFF_FIRST_US << i : LINK_BACKOFF_MAX_US;
        uint64_t us = link_backoff(&l);

        assert_true(us >= bound / 2 && us < bound);
        most = us > most ? us : most;
    }
    assert_true(most <= LINK_BACKOFF_MAX_US);
    link_worked(&l);
    assert_true(link_backoff(&l) < LINK_BACKOFF_FIRST_US);
}

static void test_ready_connects_and_says_so(void **state)
{
    (void)state;
    assert_int_equal(atomic_load(&stats->flusher_connected), 0);
    assert_int_equal(link_ready(&l), OK);
    assert_true(pg_is_open(&l.session.pg));
    assert_int_equal(atomic_load(&stats->flusher_connected), 1);
    assert_int_equal(link_ready(&l), OK);
}

static void test_ready_can_be_stopped_while_the_server_is_away(void **state)
{
    pthread_t thread;

    (void)state;
    l.terms = pgtest_terms("host=/nonexistent dbname=x");
    assert_int_equal(pthread_create(&thread, NULL, stop_when_it_waits, NULL), 0);
    assert_int_equal(link_ready(&l), ERR_CLOSING);
    assert_int_equal(atomic_load(&stats->flusher_connected), 0);
    pthread_join(thread, NULL);
    assert_int_equal(link_ready(&l), ERR_CLOSING);
}

static void test_a_hold_can_be_stopped(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(link_ready(&l), OK);
    (void)(fail)(&f, ERR_SCHEMA, "no such table");
    stop(clock_us() + 1000 * 1000);
    assert_int_equal(link_recover(&l, ERR_SCHEMA, &f), ERR_CLOSING);
    assert_int_equal(atomic_load(&stats->flusher_held), 1);
    assert_false(pg_is_open(&l.session.pg));
    assert_int_equal(atomic_load(&stats->flusher_connected), 0);
}

static void test_a_hold_is_over_with_the_next_connection(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    stat_set(stats, flusher_held, 1);
    assert_int_equal(link_ready(&l), OK);
    assert_int_equal(atomic_load(&stats->flusher_held), 0);
    /* A server that is away is no hold, whatever was before. */
    stat_set(stats, flusher_held, 1);
    session_close(&l.session);
    stop(clock_us());
    (void)(fail)(&f, ERR_PG, "away");
    assert_int_equal(link_wait(&l, ERR_PG, &f), ERR_CLOSING);
    assert_int_equal(atomic_load(&stats->flusher_held), 0);
}

static void test_a_conflict_keeps_the_connection(void **state)
{
    struct fail f;
    int backend;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(link_ready(&l), OK);
    backend = PQbackendPID(l.session.pg.conn);
    (void)(fail)(&f, ERR_PG, "deadlock detected");
    assert_int_equal(link_recover(&l, ERR_PG, &f), OK);
    assert_int_equal(PQbackendPID(l.session.pg.conn), backend);
    assert_int_equal(atomic_load(&stats->window_retries), 1);
    /* Asked to stop, a conflict is still worth another try before the deadline, not after. */
    stop(clock_us() + 10 * 1000 * 1000);
    assert_int_equal(link_recover(&l, ERR_PG, &f), OK);
    stop(clock_us());
    assert_int_equal(link_recover(&l, ERR_PG, &f), ERR_CLOSING);
}

static void test_a_lost_connection_is_not_made_again_when_stopping(void **state)
{
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(link_ready(&l), OK);
    session_close(&l.session);
    (void)(fail)(&f, ERR_PG, "connection lost");
    assert_int_equal(link_recover(&l, ERR_PG, &f), OK);
    assert_true(pg_is_open(&l.session.pg));
    session_close(&l.session);
    stop(clock_us() + 10 * 1000 * 1000);
    assert_int_equal(link_recover(&l, ERR_PG, &f), ERR_CLOSING);
}

static void test_look_notices_that_the_server_has_gone(void **state)
{
    (void)state;
    link_look(&l);
    assert_int_equal(link_ready(&l), OK);
    link_look(&l);
    assert_int_equal(atomic_load(&stats->flusher_connected), 1);
    pgtest_sql("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
               " WHERE application_name LIKE 'sluice flusher%'");
    link_look(&l);
    assert_int_equal(atomic_load(&stats->flusher_connected), 0);
    assert_false(pg_is_open(&l.session.pg));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_backoff_doubles_up_to_its_bound),
        TEST(test_ready_connects_and_says_so),
        TEST(test_ready_can_be_stopped_while_the_server_is_away),
        TEST(test_a_hold_can_be_stopped),
        TEST(test_a_hold_is_over_with_the_next_connection),
        TEST(test_a_conflict_keeps_the_connection),
        TEST(test_a_lost_connection_is_not_made_again_when_stopping),
        TEST(test_look_notices_that_the_server_has_gone),
    };

    return cmocka_run_group_tests(tests, group_setup, NULL);
}
