/* req_aside: what the helper holds for a worker leaves room in the worker's inbox. */
#include "gateway/req_aside.c"

#include <sched.h>

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct exchange exchanges[2 * INBOX_NOTES];
static struct conn conns[array_len(exchanges)];
static _Atomic unsigned worked;

/* A request in the hands of its handler. */
static struct req *request_running(struct worker *w, size_t i, struct fail *f)
{
    struct req *r = &exchanges[i].req;

    conns[i] = (struct conn){.worker = w, .x = &exchanges[i], .fd = -1};
    req_init(r, w, &conns[i]);
    r->state = REQ_RUNNING;
    r->fail = f;
    return r;
}

static void work(void *req)
{
    (void)req;
    atomic_fetch_add(&worked, 1);
}

static err_t next_step(struct req *r, struct fail *f)
{
    (void)r, (void)f;
    return OK;
}

static bool await_work(unsigned count)
{
    uint64_t deadline = clock_us() + 5000000;

    while (atomic_load(&worked) < count && clock_us() < deadline)
        sched_yield();
    return atomic_load(&worked) >= count;
}

/* A worker that takes none of the notes that say "read": the helper fills its inbox as far as it
 * may. Without the bound in req_aside there is no room for a reload, and the program aborts. */
static void test_a_reload_and_a_drain_have_room_beside_bodies(void **state)
{
    struct settings settings = {.request_timeout = 1000000};
    struct worker_net net = {.worker_count = 1};
    struct worker w = {.stats = stats_new(),
                       .helper = helper_start(),
                       .settings = &settings,
                       .net = &net,
                       .now_us = clock_us()};
    const struct note reload = {.kind = WORKER_SETTINGS};
    unsigned taken = 0, notes = 0;
    struct fail f;
    struct note n;
    err_t e = OK;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(inbox_init(&w.inbox), 0);
    for (size_t i = 0; i < array_len(exchanges) && e == OK; i++) {
        e = req_aside(request_running(&w, i, &f), w.helper, work, next_step);
        taken += e == OK;
        assert_true(await_work(taken)); /* else it waits for room in the full inbox */
    }
    assert_int_equal(e, ERR_BUSY);
    for (unsigned i = 0; i < INBOX_NOTES - HELPED_MAX; i++)
        assert_true(inbox_send(&w.inbox, &reload));
    helper_stop(w.helper); /* its last note is sent */
    while (inbox_take(&w.inbox, &n))
        notes += n.kind == WORKER_BODY;
    assert_int_equal(notes, taken);
    assert_int_equal(taken, HELPED_MAX);
    inbox_fini(&w.inbox);
    stats_free(w.stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reload_and_a_drain_have_room_beside_bodies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
