/* req_park: who pauses goes on in a later turn of the loop, one request a turn. */
#include "gateway/req_park.c"

#include "base/clock.h"
#include "gateway/http/conn.h"
#include "gateway/worker_net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static struct exchange exchanges[2];
static struct conn conns[array_len(exchanges)];

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

static char said[16];

/* Says whose turn it is, and pauses again. */
static err_t take_turn(struct req *r, struct fail *f)
{
    size_t n = strlen(said);

    (void)f;
    said[n] = (char)('a' + (r == &exchanges[1].req));
    return req_pause(r, take_turn);
}

static void test_who_pauses_goes_on_in_turn(void **state)
{
    struct worker_net net = {.worker_count = 1};
    struct worker w = {.stats = stats_new(), .net = &net};
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    assert_int_equal(inbox_init(&w.inbox), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(req_pause(request_running(&w, i, &f), take_turn), OK);
    assert_string_equal(said, ""); /* never at once */
    for (size_t i = 0; i < 5; i++) {
        assert_true(inbox_wait(&w.inbox, clock_us())); /* the loop would not sleep */
        req_wake_parked(&w);
        assert_int_equal(strlen(said), i + 1); /* one a turn */
    }
    assert_string_equal(said, "ababa");
    for (size_t i = 0; i < 2; i++) {
        (void)req_end_wait(&exchanges[i].req);
        req_fini(&exchanges[i].req);
    }
    assert_null(w.turns.first);
    inbox_fini(&w.inbox);
    stats_free(w.stats);
}

static unsigned looked, late;

/* Waits for its event again, whenever it is woken. */
static err_t look_again(struct req *r, struct fail *f)
{
    (void)f;
    looked++;
    late += r->is_late;
    return req_wait_event(r, 0, look_again);
}

static void test_a_walk_ends_where_the_list_ended(void **state)
{
    struct worker_net net = {.worker_count = 1};
    struct worker w = {.stats = stats_new(), .net = &net};
    struct parked_walk walk;
    struct req *r;
    struct fail f;

    (void)state;
    fail_init(&f, NULL);
    walk = req_walk(&w.events);
    assert_null(req_walk_next(&walk));
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(req_wait_event(request_running(&w, i, &f), 0, look_again), OK);
    walk = req_walk(&w.events);
    for (size_t i = 0; i < 2; i++) {
        r = req_walk_next(&walk);
        assert_ptr_equal(r, &exchanges[i].req);
        req_wake(r); /* it stands at the end again, and is not met twice */
    }
    assert_null(req_walk_next(&walk));
    req_expire_events(&w);
    assert_int_equal(looked, 4);
    assert_int_equal(late, 2); /* by the walk of those whose time is over, and not by req_wake */
    assert_int_equal(w.events.count, 2);
    for (size_t i = 0; i < 2; i++) {
        (void)req_end_wait(&exchanges[i].req);
        req_fini(&exchanges[i].req);
    }
    stats_free(w.stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_walk_ends_where_the_list_ended),
        cmocka_unit_test(test_who_pauses_goes_on_in_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
