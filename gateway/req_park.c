/*
 * req_park: the lists of a worker in which its requests wait, and who takes them out again.
 *
 * Each list holds what waits for the same kind of thing, so that one event is one look at one list.
 * A request stands in one of them at most (parked_in), its links are in itself: to park needs no
 * memory and cannot fail. What is waited for is known elsewhere: req_queue.c (a position), req_run.c
 * (a row of runs), req_user.c, peers.c. Nothing here outlives the process; who waited when it was
 * killed has had no answer.
 */
#include "gateway/req_park.h"

#include "gateway/req_aside.h"
#include "gateway/req_drive.h"
#include "gateway/req_event.h"
#include "gateway/req_queue.h"
#include "gateway/req_run.h"
#include "gateway/req_steps.h"
#include "gateway/req_user.h"
#include "gateway/worker.h"
#include "schema/errors.h"

static struct parked *parked_of(struct req *r)
{
    switch (r->parked_in) {
    case PARK_DURABLE: return &r->worker->durable;
    case PARK_COMMITTED: return &r->worker->committed;
    case PARK_RUN: return &r->worker->runs_waiting;
    case PARK_ASKED: return &r->worker->runs_asked;
    case PARK_USER: return &r->worker->users_asked;
    case PARK_TURN: return &r->worker->turns;
    case PARK_EVENT: return &r->worker->events;
    case PARK_SHARED: return &r->worker->sharing;
    case PARK_LOOK: return &r->worker->looks_waiting;
    case PARK_LOOKED: return &r->worker->looks_asked;
    case PARK_COMMAND: return &r->worker->commands;
    default: check(false); return NULL;
    }
}

static void parked_remove(struct req *r)
{
    struct parked *l = parked_of(r);

    *(r->list_prev ? &r->list_prev->list_next : &l->first) = r->list_next;
    *(r->list_next ? &r->list_next->list_prev : &l->last) = r->list_prev;
    r->list_next = r->list_prev = NULL;
    r->parked_in = PARK_NONE;
    l->count--;
}

/* Behind the last one whose position is not higher; nearly always the last of all. */
static void parked_add(struct req *r, enum req_park where)
{
    struct parked *l;
    struct req *before;

    check(r->parked_in == PARK_NONE);
    r->parked_in = where;
    l = parked_of(r);
    before = l->last;
    while (where == PARK_DURABLE && before && before->wait_pos > r->wait_pos)
        before = before->list_prev;
    r->list_prev = before;
    r->list_next = before ? before->list_next : l->first;
    *(before ? &before->list_next : &l->first) = r;
    *(r->list_next ? &r->list_next->list_prev : &l->last) = r;
    l->count++;
}

struct parked_walk req_walk(const struct parked *l)
{
    return (struct parked_walk){.next = l->first, .left = l->count};
}

struct req *req_walk_next(struct parked_walk *walk)
{
    struct req *r = walk->left ? walk->next : NULL;

    if (r) {
        walk->next = r->list_next;
        walk->left--;
    }
    return r;
}

void req_park(struct req *r, enum req_park where, uint64_t until_us, req_step next)
{
    req_begin_wait(r, WAIT_PARKED, next);
    r->wait_until_us = until_us;
    parked_add(r, where);
}

void req_repark(struct req *r, enum req_park where)
{
    parked_remove(r);
    parked_add(r, where);
}

void req_unpark(struct req *r)
{
    if (r->parked_in != PARK_NONE)
        parked_remove(r);
}

void req_wake(struct req *r)
{
    req_run(r, req_end_wait(r));
    req_hand_back(r);
}

err_t req_pause(struct req *r, req_step next)
{
    req_park(r, PARK_TURN, UINT64_MAX, next);
    stat_add(r->worker->stats, request_turns, 1);
    inbox_ring(&r->worker->inbox);
    return OK;
}

err_t req_wait_event(struct req *r, uint64_t timeout_us, req_step next)
{
    r->is_late = false;
    req_park(r, PARK_EVENT, r->worker->now_us + timeout_us, next);
    return OK;
}

bool req_event(struct req *r)
{
    if (r->parked_in != PARK_EVENT)
        return false;
    req_wake(r);
    return true;
}

static void req_wake_turn(struct worker *w)
{
    if (w->turns.first)
        req_wake(w->turns.first);
    if (w->turns.first)
        inbox_ring(&w->inbox);
}

void req_wake_parked(struct worker *w)
{
    req_wake_durable(w);
    req_wake_committed(w);
    req_wake_turn(w);
}

/* Who waits for something of its own is told that it is late. */
static void req_expire_events(struct worker *w)
{
    struct parked_walk walk = req_walk(&w->events);
    struct req *r;

    while ((r = req_walk_next(&walk))) {
        if (r->wait_until_us <= w->now_us) {
            r->is_late = true;
            req_wake(r);
        }
    }
}

void req_expire_parked(struct worker *w)
{
    req_expire_runs(w);
    req_expire_users(w);
    req_expire_events(w);
    req_expire_committed(w);
    req_expire_durable(w);
}

void req_end_parked(struct worker *w)
{
    struct parked *lists[] = {&w->durable,     &w->committed, &w->runs_waiting, &w->users_asked,
                              &w->turns,       &w->events,    &w->sharing,      &w->looks_waiting,
                              &w->looks_asked, &w->commands};

    for (size_t i = 0; i < array_len(lists); i++) {
        while (lists[i]->first)
            req_give_up(lists[i]->first, ERR_CLOSING, "The server is shutting down.");
    }
}
