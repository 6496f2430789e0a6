/*
 * sealer: the thread that makes entries durable, many with one fdatasync.
 *
 *   wait for the inbox -> gather -> limit = what producers have completed -> write [durable, limit)
 *   -> sync -> durable = limit -> ring workers and readers -> trim -> again
 *
 * While it syncs, producers go on; what they appended meanwhile is the next group. So a group is
 * as large as the disk is slow, and an idle system syncs each entry at once. The ring's bytes are
 * written as they lie, at most two pieces where the ring wraps.
 *
 * Gathering. Clients that were answered together send their next requests together: the first of them
 * would have a sync of its own, and all others wait for it. So when the last groups had several
 * entries, a group smaller than the larger of them is waited for: in short naps, as long as each brings
 * somebody and GATHER_US are not over. A lone writer never waits, and neither does anybody where the disk
 * is so quick that groups stay small.
 *
 * Segments end at frame boundaries: when a group does not fit, the frames that do are written and
 * synced, then the next segment begins. A frame longer than a segment gets one of its own.
 *
 *   HEALTHY --write, sync or roll failed--> LOSING --a new segment is on disk--> HEALTHY
 *
 * LOSING: [durable, limit) is noted as lost, its waiters are answered 503, the segment is
 * poisoned, and producers are refused at the door; what was past the door already is lost too. At
 * growing intervals a new segment is tried, which proves that the disk takes a header, a sync and
 * the room for a whole segment. Nothing that was lost is ever written again: its waiters have been told.
 *
 * Ages: a short list of (position, time) samples, one for each AGE_STEP, that says when the oldest
 * uncommitted entry was sealed. A long backlog would need many; when the list is full its older half
 * is thinned out, so that an age is right within one step or a few per cent, whichever is more.
 */
#define _GNU_SOURCE /* pthread_setname_np */
#include "ingest/queue_ring.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/slice.h"
#include "schema/errors.h"
#include "schema/record.h"

enum {
    SEALER_RETRY_US = 100000,
    SEALER_RETRY_MAX_US = 2000000,
    SEALER_AGE_STEP_US = 20000,
    SEALER_AGES = 1024,
    GATHER_LEAST = 4, /* entries of a group that others are waited for */
    GATHER_US = 120,
    GATHER_NAP_US = 30,
    GATHER_SLACK_NS = 5000 /* of 50 000 that a nap may last longer otherwise */
};

#define SEALER_IDLE_US ((uint64_t)3600 * 1000000)

/* Entries before end that are not before the previous sample's end were sealed at or after us. */
struct age {
    pos_t end;
    uint64_t us;
};

struct sealer {
    pthread_t thread;
    struct queue *queue;
    struct journal *journal;
    uint64_t retry_at_us; /* LOSING: when a new segment is tried */
    uint64_t retry_us;    /* and how long after that again */
    bool acks_early;      /* a test broke it on purpose */
    uint64_t entries;     /* that producers had appended when the last group was taken */
    uint64_t group;       /* entries of that group */
    uint64_t group_before;
    struct age ages[SEALER_AGES];
    size_t age_count;
};

/* -- ages ---------------------------------------------------------------------------------- */

static void sealer_thin_ages(struct sealer *s)
{
    size_t half = SEALER_AGES / 2;

    for (size_t i = 0; i < half; i += 2)
        s->ages[i / 2] = (struct age){s->ages[i + 1].end, s->ages[i].us};
    memmove(s->ages + half / 2, s->ages + half, (s->age_count - half) * sizeof(*s->ages));
    s->age_count -= half / 2;
}

static void sealer_note_age(struct sealer *s, pos_t end)
{
    uint64_t now_us = clock_us();
    struct age *last = s->age_count > 0 ? &s->ages[s->age_count - 1] : NULL;

    if (last && now_us - last->us < SEALER_AGE_STEP_US) {
        last->end = end;
        return;
    }
    if (s->age_count == SEALER_AGES)
        sealer_thin_ages(s);
    s->ages[s->age_count++] = (struct age){end, now_us};
}

/* Drops what is committed and tells everybody when the oldest of the rest came. */
static void sealer_tell_age(struct sealer *s, pos_t committed)
{
    size_t gone = 0;

    while (gone < s->age_count && s->ages[gone].end <= committed)
        gone++;
    if (gone > 0) {
        s->age_count -= gone;
        memmove(s->ages, s->ages + gone, s->age_count * sizeof(*s->ages));
    }
    atomic_store(&s->queue->oldest_us, s->age_count > 0 ? s->ages[0].us : 0);
}

/* -- marks --------------------------------------------------------------------------------- */

/* Everything before this is complete in the ring. The order of the loads matters: queue_ring.c. */
static pos_t sealer_limit(const struct queue *q)
{
    pos_t limit = atomic_load(&q->reserved);

    for (unsigned i = 0; i < q->producer_count; i++) {
        pos_t pending = atomic_load(&q->producers[i].pending);

        limit = pending < limit ? pending : limit;
    }
    return limit;
}

static void sealer_set_durable(struct sealer *s, pos_t pos)
{
    struct queue *q = s->queue;

    sealer_note_age(s, pos);
    atomic_store(&q->durable, pos);
    ring_tell(q);
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        if (atomic_load(&q->slots[p].wake_at) <= pos)
            inbox_ring(&q->slots[p].inbox);
}

/* The frame at pos, without its payload. */
static struct entry sealer_frame(const struct queue *q, pos_t pos)
{
    uint64_t head[FRAME_HEAD_WORDS];
    struct entry e;

    ring_get(q, pos, head, sizeof(head));
    check(frame_head_read(head, pos, &e));
    return e;
}

/* Points of the frames in [from, limit) of the ring. */
static uint64_t sealer_points(const struct queue *q, pos_t from, pos_t limit)
{
    uint64_t points = 0;
    char *payload = NULL;

    while (from < limit) {
        struct entry e = sealer_frame(q, from);

        payload = realloc(payload, e.payload.n + 1);
        check(payload);
        ring_get(q, from + FRAME_HEAD, payload, e.payload.n);
        points += record_points((struct str){payload, e.payload.n}, e.version);
        from = e.end;
    }
    free(payload);
    return points;
}

/* -- losing and recovering ----------------------------------------------------------------- */

/* [durable, limit) is given up. */
static void sealer_lose(struct sealer *s, pos_t limit)
{
    struct queue *q = s->queue;
    pos_t from = atomic_load(&q->durable);
    uint64_t count = atomic_load(&q->lost_count);
    struct lost_range *last = &q->lost[(count + RING_LOST - 1) % RING_LOST];

    if (from == limit)
        return;
    uint64_t points = sealer_points(q, from, limit);

    atomic_fetch_add(&q->points_gone, points);
    log_error("", "entries are lost, their writers are told", "points=%" PRIu64 " bytes=%" PRIu64,
              points, limit - from);
    if (count > 0 && atomic_load(&last->limit) == from) {
        atomic_store(&last->limit, limit);
    } else {
        struct lost_range *next = &q->lost[count % RING_LOST];

        atomic_store(&next->limit, 0);
        atomic_store(&next->from, from);
        atomic_store(&next->limit, limit);
        atomic_store(&q->lost_count, count + 1);
    }
    sealer_set_durable(s, limit);
}

static void sealer_break(struct sealer *s, pos_t limit, const struct fail *why)
{
    struct queue *q = s->queue;

    atomic_store(&q->is_healthy, false);
    journal_poison(s->journal, atomic_load(&q->durable));
    log_error("", "the journal failed", "reason=%.*s", STR_ARG(why->text));
    s->retry_us = SEALER_RETRY_US;
    s->retry_at_us = clock_us() + s->retry_us;
    sealer_lose(s, limit);
}

static void sealer_recover(struct sealer *s)
{
    struct queue *q = s->queue;
    struct fail why;

    sealer_lose(s, sealer_limit(q));
    if (clock_us() < s->retry_at_us)
        return;
    fail_init(&why, NULL);
    if (journal_roll(s->journal, atomic_load(&q->durable), &why)) {
        log_warn("", "the journal still fails", "reason=%.*s", STR_ARG(why.text));
        s->retry_us = 2 * s->retry_us < SEALER_RETRY_MAX_US ? 2 * s->retry_us : SEALER_RETRY_MAX_US;
        s->retry_at_us = clock_us() + s->retry_us;
        return;
    }
    atomic_store(&q->budget_end, journal_budget_end(s->journal));
    atomic_store(&q->is_healthy, true);
    ring_tell(q);
    log_info("", "the journal works again", "segment=%016" PRIx64, atomic_load(&q->durable));
}

/* -- sealing ------------------------------------------------------------------------------- */

/* How much of [from, limit) goes into this segment; from itself when the next must begin first. */
static pos_t sealer_cut(const struct sealer *s, pos_t from, pos_t limit)
{
    uint64_t room = journal_room(s->journal);
    pos_t cut = from;

    if (limit - from <= room)
        return limit;
    for (pos_t end = sealer_frame(s->queue, from).end; end - from <= room;
         end = sealer_frame(s->queue, end).end)
        cut = end;
    if (cut == from && journal_is_empty(s->journal))
        cut = sealer_frame(s->queue, from).end;
    return cut;
}

static err_t sealer_write(struct sealer *s, pos_t from, pos_t limit, struct fail *f)
{
    struct queue *q = s->queue;
    uint64_t index = from & (q->ring_bytes - 1);
    uint64_t n = limit - from;
    uint64_t first = n < q->ring_bytes - index ? n : q->ring_bytes - index;
    struct iovec pieces[2] = {{q->ring + index, first}, {q->ring, n - first}};
    err_t e = journal_write(s->journal, pieces, n > first ? 2 : 1, f);

    return e ? e : journal_sync(s->journal, f);
}

/* Makes everything before limit durable, or loses it. */
static void sealer_seal(struct sealer *s, pos_t limit)
{
    struct queue *q = s->queue;
    pos_t from = atomic_load(&q->durable);
    struct fail why;
    err_t e = OK;

    fail_init(&why, NULL);
    while (from < limit && !e) {
        pos_t cut = sealer_cut(s, from, limit);

        if (cut == from) {
            e = journal_roll(s->journal, from, &why);
            if (!e)
                atomic_store(&q->budget_end, journal_budget_end(s->journal));
            continue;
        }
        if (s->acks_early)
            sealer_set_durable(s, cut);
        e = sealer_write(s, from, cut, &why);
        if (!e) {
            sealer_set_durable(s, cut);
            from = cut;
        }
    }
    if (e)
        sealer_break(s, limit, &why);
}

/* -- gathering ----------------------------------------------------------------------------- */

static uint64_t sealer_entries(const struct queue *q)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < q->producer_count; i++)
        sum += atomic_load_explicit(&q->producers[i].entries, memory_order_relaxed);
    return sum;
}

/* Gives those time who are likely to come, as long as some do; returns the naps it took. */
static unsigned sealer_gather(const struct sealer *s)
{
    static const struct timespec nap = {.tv_nsec = GATHER_NAP_US * 1000L};
    const struct queue *q = s->queue;
    uint64_t likely = s->group > s->group_before ? s->group : s->group_before;
    uint64_t come = sealer_entries(q) - s->entries, before;
    uint64_t until_us = clock_us() + GATHER_US;
    unsigned naps = 0;

    if (likely < GATHER_LEAST || atomic_load(&q->reserved) == atomic_load(&q->durable))
        return 0;
    while (come < likely && clock_us() < until_us && !atomic_load(&q->is_closing)) {
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
        naps++;
        before = come;
        come = sealer_entries(q) - s->entries;
        if (come == before)
            break;
    }
    return naps;
}

/* What has come by now is the next group. */
static void sealer_note_group(struct sealer *s)
{
    uint64_t entries = sealer_entries(s->queue);

    if (entries == s->entries)
        return; /* rung for something else */
    s->group_before = s->group;
    s->group = entries - s->entries;
    s->entries = entries;
}

static void sealer_trim(struct sealer *s)
{
    struct queue *q = s->queue;
    pos_t committed = queue_committed_all(q);

    sealer_tell_age(s, committed);
    journal_trim(s->journal, committed);
    if (atomic_load(&q->is_healthy))
        atomic_store(&q->budget_end, journal_budget_end(s->journal));
}

/* -- thread -------------------------------------------------------------------------------- */

static void *sealer_main(void *data)
{
    struct sealer *s = data;
    struct queue *q = s->queue;

    (void)prctl(PR_SET_TIMERSLACK, GATHER_SLACK_NS);
    (void)slice_set_us(SLICE_SHORT_US);
    for (;;) {
        /* Asked before the limit: what was appended before the question is sealed below. */
        bool is_closing = atomic_load(&q->is_closing);
        pos_t limit;

        (void)sealer_gather(s);
        sealer_note_group(s);
        limit = sealer_limit(q);

        if (!atomic_load(&q->is_healthy))
            sealer_recover(s);
        else if (limit > atomic_load(&q->durable))
            sealer_seal(s, limit);
        sealer_trim(s);
        if (is_closing && atomic_load(&q->durable) == atomic_load(&q->reserved))
            return NULL;
        (void)inbox_wait(&q->sealer_inbox, atomic_load(&q->is_healthy) ? clock_us() + SEALER_IDLE_US
                                                                       : s->retry_at_us);
    }
}

err_t sealer_start(struct queue *q, struct fail *f)
{
    struct sealer *s = calloc(1, sizeof(*s));
    sigset_t all;
    sigset_t before;

    check(s);
    s->queue = q;
    s->journal = q->journal;
    s->retry_us = SEALER_RETRY_US;
    s->acks_early = fault_switch("SLUICE_TEST_ACK_EARLY");
    if (q->replayed_count > 0)
        sealer_note_age(s, q->replayed[q->replayed_count - 1].end);
    sealer_tell_age(s, 0);
    /* Signals are for the main thread. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&s->thread, NULL, sealer_main, s);

    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        free(s);
        return fail(f, ERR_INTERNAL, "the sealer thread cannot start: %s", strerror(failed));
    }
    pthread_setname_np(s->thread, "sealer");
    q->sealer = s;
    return OK;
}

void sealer_stop(struct queue *q)
{
    if (!q->sealer)
        return;
    atomic_store(&q->is_closing, true);
    inbox_ring(&q->sealer_inbox);
    check(pthread_join(q->sealer->thread, NULL) == 0);
    free(q->sealer);
    q->sealer = NULL;
}
