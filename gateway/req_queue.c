/*
 * req_queue: requests that wait for a position of the queue: a write until it is durable, a read until
 * what was accepted before it is in PostgreSQL.
 *
 * A write goes on when its position is durable or lost, and is refused when neither is known in time: the
 * client sends it again, and a write that is applied twice is stored once. A read goes on at read_wait in
 * any case, and its answer says then how old it may be. With Redis, what other pods have accepted
 * counts as well (peers.h).
 */
#include "gateway/req_queue.h"

#include "gateway/peers/peers.h"
#include "gateway/req_park.h"
#include "gateway/req_steps.h"
#include "gateway/worker.h"
#include "ingest/queue_share.h"
#include "schema/errors.h"

#define WORDS_LOST "The write could not be made durable; send the request again."

err_t req_lost(struct req *r, struct fail *f)
{
    stat_add(r->worker->stats, lost_batches, 1);
    return fail_str(f, ERR_DISK, STR(WORDS_LOST));
}

err_t req_wait_durable(struct req *r, pos_t end, req_step next)
{
    struct worker *w = r->worker;

    r->wait_pos = end;
    if (r->peers.shares) {
        r->peers.next = next;
        next = peers_share;
    }
    switch (queue_outcome(w->queue, end)) {
    case QUEUE_DURABLE: return next(r, r->fail);
    case QUEUE_LOST: return req_lost(r, r->fail);
    default: break;
    }
    req_park(r, PARK_DURABLE, w->now_us + w->settings->request_timeout, next);
    return OK;
}

static bool req_is_committed_here(const struct req *r)
{
    const struct queue *q = r->worker->queue;

    if (r->wait_partition == QUEUE_PARTITIONS_MAX)
        return queue_committed_all(q) >= r->wait_pos;
    return queue_committed(q, r->wait_partition) >= r->wait_pos;
}

/* Here and, as far as is known, elsewhere. */
static bool req_is_committed(struct req *r)
{
    return req_is_committed_here(r) && (!r->peers.targets || peers_reached(r));
}

/* The flusher closes its window, when what is waited for is ours. */
static void req_hurry(const struct req *r)
{
    if (!req_is_committed_here(r))
        queue_hurry(r->worker->queue, r->wait_partition);
}

/* The read goes on with what PostgreSQL has, and its answer says how old that may be. */
static void req_note_behind(struct req *r)
{
    struct worker *w = r->worker;
    uint64_t behind_us = queue_backlog_us(w->queue);

    /* How old the points of another pod are is not known; they are older than this wait. */
    if (r->peers.targets && w->now_us - r->wait_since_us > behind_us)
        behind_us = w->now_us - r->wait_since_us;
    r->behind_us = behind_us ? behind_us : 1;
    stat_add(r->worker->stats, read_behind, 1);
}

void req_wake_behind(struct req *r)
{
    req_note_behind(r);
    req_wake(r);
}

static err_t req_wait_committed(struct req *r, pos_t pos, unsigned partition, req_step next)
{
    struct worker *w = r->worker;

    r->wait_pos = pos;
    r->wait_partition = partition;
    if (req_is_committed(r))
        return next(r, r->fail);
    req_hurry(r);
    peers_ask(r);
    stat_add(w->stats, read_waits, 1);
    if (w->settings->read_wait == 0) {
        req_note_behind(r);
        return next(r, r->fail);
    }
    req_park(r, PARK_COMMITTED, w->now_us + w->settings->read_wait, next);
    return OK;
}

/* What other pods have is found out first: then one wait serves both. */
static err_t req_looked_run(struct req *r, struct fail *f)
{
    const struct worker *w = r->worker;

    (void)f;
    return req_wait_committed(r, runs_position(w->runs, &r->wait_run),
                              queue_partition_of(w->queue, run_id_str(&r->wait_run)),
                              r->peers.next);
}

static err_t req_looked_all(struct req *r, struct fail *f)
{
    (void)f;
    return req_wait_committed(r, r->wait_pos, QUEUE_PARTITIONS_MAX, r->peers.next);
}

err_t req_wait_run(struct req *r, struct str run_id, req_step next)
{
    if (!run_id_set(&r->wait_run, run_id))
        return next(r, r->fail); /* no such run can exist */
    r->peers.next = next;
    return r->worker->peers ? peers_look(r, &r->wait_run, req_looked_run)
                            : req_looked_run(r, r->fail);
}

err_t req_wait_all(struct req *r, req_step next)
{
    r->wait_pos = queue_appended(r->worker->queue);
    r->peers.next = next;
    return r->worker->peers ? peers_look(r, NULL, req_looked_all) : req_looked_all(r, r->fail);
}

/* False: it still waits. */
static bool req_wake_write(struct worker *w, struct req *r)
{
    enum queue_outcome outcome = queue_outcome(w->queue, r->wait_pos);

    if (outcome == QUEUE_PENDING)
        return false;
    if (outcome == QUEUE_DURABLE) {
        req_wake(r);
        return true;
    }
    stat_add(w->stats, lost_batches, 1);
    req_give_up(r, ERR_DISK, WORDS_LOST);
    return true;
}

void req_wake_durable(struct worker *w)
{
    struct req *r;

    while ((r = w->durable.first) && req_wake_write(w, r))
        continue;
}

/* In a queue without order others may be durable behind the first that waits: looked for at the
 * timer only, because they are met in order but when a partition has no leader. */
static void req_wake_scattered(struct worker *w)
{
    struct parked_walk walk = req_walk(&w->durable);
    struct req *r;

    while ((r = req_walk_next(&walk)))
        (void)req_wake_write(w, r);
}

void req_wake_committed(struct worker *w)
{
    struct parked_walk walk = req_walk(&w->committed);
    struct req *r;

    while ((r = req_walk_next(&walk))) {
        if (req_is_committed(r))
            req_wake(r);
        else
            req_hurry(r);
    }
}

void req_expire_committed(struct worker *w)
{
    struct parked_walk walk = req_walk(&w->committed);
    struct req *r;

    while ((r = req_walk_next(&walk))) {
        if (r->wait_until_us <= w->now_us) {
            if (!req_is_committed(r))
                req_note_behind(r);
            req_wake(r);
        }
    }
}

void req_expire_durable(struct worker *w)
{
    struct req *r;

    if (!queue_is_ordered(w->queue))
        req_wake_scattered(w);
    while ((r = w->durable.first) && r->wait_until_us <= w->now_us)
        req_give_up(r, ERR_DEADLINE, "The write did not become durable in time; send it again.");
}
