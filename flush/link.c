/*
 * Failures come in three kinds, and each has its wait:
 *
 *   ERR_PG      deadlock, serialization, timeout, no connection, server full or shutting down: back
 *               off from 10 ms, doubling to 5 s, each with jitter so that flushers do not return
 *               in step. The connection is kept when it still works.
 *   ERR_SCHEMA  unknown revision, missing table, no privilege, a server that only reads or is broken:
 *               nothing but a person, or an upgrade or a failover in progress, will change it. The
 *               connection is dropped (the next may reach another server) and tried again every
 *               3 s; flusher_held and /readyz say so meanwhile.
 *   ERR_DISK    the dead-letter file cannot be written: as ERR_PG.
 *
 * A stored position above everything that this process has had in hand is somebody else's: the data
 * directory is an older copy, or a copy of it is in use elsewhere. What we accept now would lie
 * before it and look as if it were applied, so that is an ERR_SCHEMA too. Once the rows of the queue
 * are deleted from sluice.positions the whole journal is applied again; what is stored stays once.
 *
 * None of them loses anything: the window stays in hand, and behind it the journal grows up to
 * its limit.
 *
 * Asked to stop, a flusher goes on only as long as the database works: a conflict is retried up to
 * the deadline, a lost connection or a hold ends it, because what is durable stays durable.
 */
#include "flush/link.h"

#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "schema/errors.h"

#define LINK_BACKOFF_FIRST_US ((uint64_t)10 * 1000)
#define LINK_BACKOFF_MAX_US   ((uint64_t)5 * 1000 * 1000)
#define LINK_HOLD_US          ((uint64_t)3 * 1000 * 1000)

enum { LINK_FAILURES_KEPT = 4 };

err_t link_init(struct link *l, const struct pg_terms *terms, const char *queue_id, unsigned index,
                unsigned count, const char *log_ctx, struct stats *stats, struct fail *f)
{
    int error;

    *l = (struct link){.terms = terms, .index = index, .log_ctx = log_ctx, .stats = stats};
    l->newest = UINT64_MAX;
    l->session.queue_id = queue_id;
    l->session.mask = session_mask(index, count);
    l->session.is_position_first = fault_switch("SLUICE_TEST_POSITION_FIRST");
    l->random = clock_us() * 2 + 1 + index;
    if ((error = pg_halt_init(&l->halt)))
        return fail(f, ERR_INTERNAL, "eventfd: %s", strerror(error));
    return OK;
}

void link_fini(struct link *l)
{
    session_fini(&l->session);
    pg_halt_fini(&l->halt);
}

bool link_is_asked_to_stop(const struct link *l)
{
    return atomic_load(&l->halt.is_asked);
}

err_t link_pause(struct link *l, uint64_t us, bool is_prompt)
{
    uint64_t until = clock_us() + us;

    for (;;) {
        uint64_t deadline = atomic_load(&l->halt.deadline_us);
        uint64_t now = clock_us();

        if (now >= deadline || (is_prompt && link_is_asked_to_stop(l)))
            return ERR_CLOSING;
        if (now >= until)
            return OK;
        inbox_wait(&l->halt.inbox, until < deadline ? until : deadline);
    }
}

/* Between half and the whole of 10 ms, 20 ms, ... 5 s. */
static uint64_t link_backoff(struct link *l)
{
    uint64_t us = LINK_BACKOFF_MAX_US;

    if (l->failures < 9)
        us = LINK_BACKOFF_FIRST_US << l->failures;
    l->failures++;
    l->random ^= l->random << 13;
    l->random ^= l->random >> 7;
    l->random ^= l->random << 17;
    return us / 2 + l->random % (us / 2);
}

void link_worked(struct link *l)
{
    l->failures = 0;
}

void link_look(struct link *l)
{
    struct fail f;

    if (!pg_is_open(&l->session.pg))
        return;
    fail_init(&f, NULL);
    if (pg_look(&l->session.pg, &f)) {
        stat_set(l->stats, flusher_connected, 0);
        log_warn(l->log_ctx, "the database closed the connection", "why=%.*s", STR_ARG(f.text));
    }
}

/* Is each stored position one that this journal can have given? */
static err_t link_check(const struct link *l, struct fail *f)
{
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        pos_t pos = l->session.positions[p];

        if ((l->session.mask >> p & 1) && pos > l->newest)
            return fail(f, ERR_SCHEMA,
                        "position %" PRIu64 " is ahead of this journal's %" PRIu64
                        ": data_dir is an older "
                        "copy, or a copy of it is in use. Stop the other, then delete queue_id %s "
                        "from sluice.positions",
                        pos, l->newest, l->session.queue_id);
    }
    return OK;
}

void link_expect(struct link *l, pos_t cursor)
{
    if (cursor > l->newest)
        l->newest = cursor;
}

/* One wait between two attempts to connect. */
static err_t link_wait(struct link *l, err_t e, const struct fail *f)
{
    stat_set(l->stats, flusher_held, e == ERR_SCHEMA);
    if (e == ERR_SCHEMA) {
        log_error(l->log_ctx, "flushing holds until somebody has acted", "why=%.*s",
                  STR_ARG(f->text));
        return link_pause(l, LINK_HOLD_US, true);
    }
    log_warn(l->log_ctx, "no connection to the database", "why=%.*s failures=%u", STR_ARG(f->text),
             l->failures + 1);
    return link_pause(l, link_backoff(l), true);
}

/* The next failure is not the first, but the longest waits were for a server that was away. */
static void link_connected(struct link *l)
{
    log_info(l->log_ctx, "connected to the database", "triggers=%s",
             l->session.is_trusted ? "off" : "on");
    stat_set(l->stats, flusher_held, 0);
    if (l->failures > LINK_FAILURES_KEPT)
        l->failures = LINK_FAILURES_KEPT;
}

err_t link_ready(struct link *l)
{
    struct fail f;
    err_t e;

    while (!pg_is_open(&l->session.pg)) {
        stat_set(l->stats, flusher_connected, 0);
        if (link_is_asked_to_stop(l))
            return ERR_CLOSING;
        fail_init(&f, NULL);
        e = session_open(&l->session, l->terms, l->index, &l->halt, &f);
        if (!e && (e = link_check(l, &f)))
            session_close(&l->session);
        if (!e)
            link_connected(l);
        else if (e == ERR_CLOSING || (e = link_wait(l, e, &f)))
            return e;
    }
    stat_set(l->stats, flusher_connected, 1);
    return OK;
}

err_t link_recover(struct link *l, err_t e, const struct fail *f)
{
    struct pg *pg = &l->session.pg;

    if (e == ERR_CLOSING)
        return e;
    stat_add(l->stats, window_retries, 1);
    if (e == ERR_SCHEMA) {
        session_close(&l->session);
        stat_set(l->stats, flusher_connected, 0);
        if ((e = link_wait(l, e, f)))
            return e;
        return link_ready(l);
    }
    log_warn(l->log_ctx, "a window is tried again", "why=%.*s sqlstate=%s connected=%d",
             STR_ARG(f->text), pg->sqlstate, pg_is_open(pg));
    if ((e = link_pause(l, link_backoff(l), !pg_is_open(pg))))
        return e;
    return link_ready(l);
}

err_t link_own(struct link *l, uint64_t mask)
{
    struct fail f;
    err_t e = link_ready(l);

    while (!e) {
        fail_init(&f, NULL);
        if (!(e = session_own(&l->session, mask, &f)))
            return OK;
        e = link_recover(l, e, &f);
    }
    return e;
}

err_t link_judge(struct link *l)
{
    struct fail f;
    err_t e;

    fail_init(&f, NULL);
    e = link_check(l, &f);
    return e ? link_recover(l, e, &f) : OK;
}
