/*
 * inbox: bounded notes, collapsed rings, and no lost wake-up with threads. Also run under
 * ThreadSanitizer, which checks that a ring hands over what the ringer wrote before it.
 */
#include <unistd.h>

/* inbox.c reads its eventfd through this, so that something can happen right before and after. */
static void (*before_read)(void);
static void (*after_read)(void);

static ssize_t hooked_read(int fd, void *p, size_t n)
{
    ssize_t result;

    if (before_read)
        before_read();
    result = read(fd, p, n);
    if (after_read)
        after_read();
    return result;
}

#define read hooked_read
#include "base/inbox.c"
#undef read

#include <sched.h>
#include <stdlib.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

enum { RINGERS = 3, ROUNDS = 100000 };

#define DEADLINE_US (UINT64_C(10) * 1000000)

static int begin(void **state)
{
    struct inbox *b = malloc(sizeof(*b));

    *state = b;
    return b ? inbox_init(b) : -1;
}

static int end(void **state)
{
    inbox_fini(*state);
    free(*state);
    return 0;
}

static bool is_readable(const struct inbox *b)
{
    struct pollfd p = {.fd = inbox_fd(b), .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

static void test_rings_collapse_until_cleared(void **state)
{
    struct inbox *b = *state;
    uint64_t rings;

    assert_false(is_readable(b));
    for (int i = 0; i < 10; i++)
        inbox_ring(b);
    assert_int_equal(read(b->fd, &rings, sizeof(rings)), sizeof(rings));
    assert_int_equal(rings, 1);
    inbox_clear(b);
    assert_false(is_readable(b));
    inbox_ring(b);
    assert_true(is_readable(b));
}

static void test_clear_without_ring_is_harmless(void **state)
{
    struct inbox *b = *state;

    inbox_clear(b);
    inbox_clear(b);
    inbox_ring(b);
    assert_true(inbox_wait(b, clock_us() + DEADLINE_US));
    assert_false(is_readable(b));
}

static void test_wait_ends_at_its_deadline(void **state)
{
    struct inbox *b = *state;
    uint64_t start = clock_us();

    assert_false(inbox_wait(b, start + 20000));
    assert_true(clock_us() >= start + 20000);
    assert_false(inbox_wait(b, 0));
    inbox_ring(b);
    assert_true(inbox_wait(b, 0)); /* past deadlines still find a ring */
}

static void test_notes_come_in_order_and_are_bounded(void **state)
{
    struct inbox *b = *state;
    struct note n = {.kind = 7};

    for (int round = 0; round < 3; round++) {
        assert_false(inbox_take(b, &n));
        for (uint64_t i = 0; i < INBOX_NOTES; i++)
            assert_true(inbox_send(b, &(struct note){.kind = 7, .err = 1, .ref = i, .pos = 2 * i}));
        assert_false(inbox_send(b, &n));
        assert_true(is_readable(b));
        inbox_clear(b);
        for (uint64_t i = 0; i < INBOX_NOTES; i++) {
            assert_true(inbox_take(b, &n));
            assert_int_equal(n.kind, 7);
            assert_int_equal(n.err, 1);
            assert_int_equal(n.ref, i);
            assert_int_equal(n.pos, 2 * i);
        }
    }
}

static struct inbox *hooked;

static void ring_hooked(void)
{
    inbox_ring(hooked);
}

/* The two places inside inbox_clear() where another thread may ring; the next ring must wake. */
static void test_a_ring_inside_clear_leaves_the_inbox_alive(void **state)
{
    hooked = *state;
    for (int place = 0; place < 4; place++) {
        if (place & 1)
            inbox_ring(hooked);
        before_read = place & 2 ? ring_hooked : NULL;
        after_read = place & 2 ? NULL : ring_hooked;
        inbox_clear(hooked);
        before_read = after_read = NULL;
        inbox_ring(hooked);
        assert_true(is_readable(hooked));
        inbox_clear(hooked);
        assert_false(is_readable(hooked));
    }
}

/* --- threads ---------------------------------------------------------------------------------- */

struct ringer {
    struct inbox *inbox;
    _Atomic uint64_t published; /* rounds done, each followed by a ring */
};

static void *ringer_run(void *arg)
{
    struct ringer *r = arg;

    for (uint64_t i = 1; i <= ROUNDS; i++) {
        atomic_store_explicit(&r->published, i, memory_order_relaxed);
        inbox_ring(r->inbox);
    }
    return NULL;
}

static void yield(void)
{
    sched_yield();
}

/* Relaxed stores before the ring: were a wake-up lost, the last of them would never be seen. */
static void test_no_wake_up_is_lost(void **state)
{
    struct inbox *b = *state;
    static struct ringer ringers[RINGERS];
    pthread_t threads[RINGERS];
    uint64_t sum = 0;

    for (int i = 0; i < RINGERS; i++) {
        ringers[i].inbox = b;
        assert_int_equal(pthread_create(&threads[i], NULL, ringer_run, &ringers[i]), 0);
    }
    before_read = after_read = yield;
    while (sum < (uint64_t)RINGERS * ROUNDS) {
        assert_true(inbox_wait(b, clock_us() + DEADLINE_US));
        sum = 0;
        for (int i = 0; i < RINGERS; i++)
            sum += atomic_load_explicit(&ringers[i].published, memory_order_relaxed);
    }
    before_read = after_read = NULL;
    for (int i = 0; i < RINGERS; i++)
        pthread_join(threads[i], NULL);
}

struct relay {
    struct inbox to;
    struct inbox back;
    uint64_t value; /* plain: only the ring orders its uses */
};

static void *relay_run(void *arg)
{
    struct relay *r = arg;

    for (uint64_t i = 1; i <= ROUNDS / 5; i++) {
        while (!inbox_wait(&r->to, clock_us() + DEADLINE_US))
            ;
        r->value++;
        inbox_ring(&r->back);
    }
    return NULL;
}

/* A ball that is plain memory: ThreadSanitizer complains when a ring does not hand it over. */
static void test_a_ring_hands_over_plain_memory(void **state)
{
    struct relay *r = calloc(1, sizeof(*r));
    pthread_t thread;

    (void)state;
    assert_int_equal(inbox_init(&r->to), 0);
    assert_int_equal(inbox_init(&r->back), 0);
    assert_int_equal(pthread_create(&thread, NULL, relay_run, r), 0);
    for (uint64_t i = 1; i <= ROUNDS / 5; i++) {
        r->value++;
        inbox_ring(&r->to);
        assert_true(inbox_wait(&r->back, clock_us() + DEADLINE_US));
        assert_int_equal(r->value, 2 * i);
    }
    pthread_join(thread, NULL);
    inbox_fini(&r->to);
    inbox_fini(&r->back);
    free(r);
}

struct collapsed {
    struct inbox *inbox;
    uint64_t value; /* plain */
    _Atomic bool is_done;
};

static void *collapsed_run(void *arg)
{
    struct collapsed *c = arg;

    c->value = 42;
    inbox_ring(c->inbox);
    atomic_store_explicit(&c->is_done, true, memory_order_relaxed);
    return NULL;
}

/* A ring that finds the flag set writes no eventfd; the flag alone must hand the memory over. */
static void test_a_collapsed_ring_hands_over_plain_memory(void **state)
{
    struct collapsed c = {.inbox = *state};
    pthread_t thread;

    inbox_ring(c.inbox);
    assert_int_equal(pthread_create(&thread, NULL, collapsed_run, &c), 0);
    while (!atomic_load_explicit(&c.is_done, memory_order_relaxed))
        sched_yield();
    inbox_clear(c.inbox);
    assert_int_equal(c.value, 42);
    pthread_join(thread, NULL);
}

static void *sender_run(void *arg)
{
    struct inbox *b = arg;

    for (uint64_t i = 0; i < ROUNDS / 5; i++) {
        while (!inbox_send(b, &(struct note){.kind = 1, .ref = i}))
            sched_yield();
    }
    return NULL;
}

static void test_notes_from_threads_all_arrive(void **state)
{
    struct inbox *b = *state;
    pthread_t threads[2];
    uint64_t sum = 0;
    uint64_t count = 0;
    struct note n;

    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sender_run, b), 0);
    while (count < 2 * (ROUNDS / 5)) {
        assert_true(inbox_wait(b, clock_us() + DEADLINE_US));
        for (; inbox_take(b, &n); count++)
            sum += n.ref;
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(sum, (uint64_t)(ROUNDS / 5) * (ROUNDS / 5 - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rings_collapse_until_cleared, begin, end),
        cmocka_unit_test_setup_teardown(test_clear_without_ring_is_harmless, begin, end),
        cmocka_unit_test_setup_teardown(test_wait_ends_at_its_deadline, begin, end),
        cmocka_unit_test_setup_teardown(test_notes_come_in_order_and_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(test_a_ring_inside_clear_leaves_the_inbox_alive, begin,
                                        end),
        cmocka_unit_test_setup_teardown(test_no_wake_up_is_lost, begin, end),
        cmocka_unit_test(test_a_ring_hands_over_plain_memory),
        cmocka_unit_test_setup_teardown(test_a_collapsed_ring_hands_over_plain_memory, begin, end),
        cmocka_unit_test_setup_teardown(test_notes_from_threads_all_arrive, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
