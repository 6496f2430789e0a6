/*
 * queue_ring: the queue that is a ring in memory over a journal on disk.
 *
 *                 durable          reserved
 *   ...............|#######??##?????|..............    position grows to the right
 *    files + ring    ring only        free
 *
 * The ring holds frames byte for byte as the segment files do, at index pos mod its size. Three
 * parties meet here, without a lock.
 *
 * Producers (workers) reserve a place by one compare-and-swap and copy their frame in. A frame that
 * is reserved but not copied yet is a hole ('?'). The sealer must stop before the first hole, so
 * each producer announces in its hazard word `pending` a position that it will not write below:
 *
 *   producer                                     sealer
 *   loop: r = reserved                           limit = reserved
 *         pending = r                            for each producer: limit = min(limit, pending)
 *         CAS reserved r -> r + n, else loop     everything before limit is complete
 *   copy the frame to r
 *   pending = nothing
 *
 * All of these are sequentially consistent. When the sealer's load of reserved sees the CAS, its
 * later load of pending sees at least the store before that CAS: r, so it stops at r, or the
 * `nothing` after the copy, and then the copy too. A stale low value only makes it stop early; the
 * producer rings after clearing the word, so the sealer looks again.
 *
 * At most window_bytes, half of the ring, may be reserved and not durable. So the other half
 * always holds the newest durable entries, for the readers (queue_reader.c), and nothing that is
 * unsealed is ever overwritten. A full window and a full disk budget are ERR_BUSY: nothing of the batch
 * was accepted.
 *
 * The record is encoded and hashed in the producer's own memory before it reserves: the sealer
 * and so everybody else waits for the slowest of those who have reserved. Into the ring it goes in
 * words, each a release store, and readers load words with acquire and then look at reserved again:
 * a copy that was overtaken is noticed (a seqlock whose sequence is `reserved`).
 *
 * Durable means synced, or given up: a range that a failed disk lost is noted first, then the mark
 * passes it, and queue_outcome tells the two apart.
 */
#include "ingest/queue_ring.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/log.h"
#include "schema/errors.h"
#include "schema/record.h"

enum {
    QUEUE_SCRATCH = 16 << 10, /* a producer's first; grows with its largest batch */
    QUEUE_RESERVE_PART = 8    /* this part of the window is kept for those already admitted */
};

/* -- ring ---------------------------------------------------------------------------------- */

static _Atomic uint64_t *ring_word(const struct queue *q, pos_t pos)
{
    return (_Atomic uint64_t *)(void *)(q->ring + (pos & (q->ring_bytes - 1)));
}

/* n bytes and zeros up to a multiple of 8; pos is one. */
static void ring_put(struct queue *q, pos_t pos, const void *bytes, size_t n)
{
    const char *p = bytes;
    uint64_t word = 0;

    for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word), pos += sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        atomic_store_explicit(ring_word(q, pos), word, memory_order_release);
    }
    if (n > 0) {
        word = 0;
        memcpy(&word, p, n);
        atomic_store_explicit(ring_word(q, pos), word, memory_order_release);
    }
}

void ring_get(const struct queue *q, pos_t pos, void *out, size_t n)
{
    char *p = out;
    uint64_t word = 0;

    for (; n >= sizeof(word); n -= sizeof(word), p += sizeof(word), pos += sizeof(word)) {
        word = atomic_load_explicit(ring_word(q, pos), memory_order_acquire);
        memcpy(p, &word, sizeof(word));
    }
    if (n > 0) {
        word = atomic_load_explicit(ring_word(q, pos), memory_order_acquire);
        memcpy(p, &word, n);
    }
}

bool ring_holds(const struct queue *q, pos_t pos)
{
    return pos >= q->start && atomic_load(&q->reserved) - pos <= q->ring_bytes;
}

pos_t ring_skip_lost(const struct queue *q, pos_t pos)
{
    uint64_t count = atomic_load(&q->lost_count);

    for (uint64_t i = count > RING_LOST ? count - RING_LOST : 0; i < count; i++) {
        const struct lost_range *l = &q->lost[i % RING_LOST];
        pos_t limit = atomic_load(&l->limit);

        if (pos >= atomic_load(&l->from) && pos < limit)
            return limit;
    }
    return pos;
}

void ring_raise(_Atomic pos_t *mark, pos_t pos)
{
    pos_t seen = atomic_load(mark);

    while (seen < pos && !atomic_compare_exchange_weak(mark, &seen, pos))
        continue;
}

void ring_tell(struct queue *q)
{
    queue_tell(&q->head);
}

/* -- life ---------------------------------------------------------------------------------- */

static err_t queue_map_ring(struct queue *q, const struct settings *s, struct fail *f)
{
    q->ring_bytes = (uint64_t)1 << 20;
    while (q->ring_bytes < s->ring_bytes)
        q->ring_bytes *= 2;
    q->window_bytes = q->ring_bytes / 2;
    q->max_age_us = s->backlog_max_age;
    q->ring = mmap(NULL, q->ring_bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (q->ring == MAP_FAILED) {
        q->ring = NULL;
        return fail(f, ERR_SETTING, "no memory for ring_bytes: %m");
    }
    return OK;
}

static void queue_init_marks(struct queue *q)
{
    const struct journal *j = q->journal;

    q->start = j->start;
    atomic_init(&q->reserved, q->start);
    atomic_init(&q->durable, q->start);
    atomic_init(&q->budget_end, journal_budget_end(j));
    atomic_init(&q->is_healthy, journal_is_writable(j));
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        atomic_init(&q->slots[p].wake_at, RING_NOTHING);
    for (unsigned i = 0; i < q->producer_count; i++)
        atomic_init(&q->producers[i].pending, RING_NOTHING);
    /* All but the segment that was just begun. */
    q->replayed_count = j->count - (journal_is_writable(j) ? 1 : 0);
    if (q->replayed_count > 0) {
        q->replayed = malloc(q->replayed_count * sizeof(*q->replayed));
        check(q->replayed);
        memcpy(q->replayed, j->segments, q->replayed_count * sizeof(*q->replayed));
    }
    for (size_t i = 0; i < q->replayed_count; i++)
        for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
            q->replayed_points += q->replayed[i].points[p];
}

static void ring_close(struct queue *q);

err_t ring_open(const struct settings *s, unsigned producers, struct stats *stats,
                struct queue **out, struct fail *f)
{
    struct queue *q = aligned_alloc(64, sizeof(*q));
    uint64_t segment_bytes = s->journal_segment_bytes;
    err_t e = OK;

    check(q);
    memset(q, 0, sizeof(*q));
    *out = NULL;
    q->head.ops = &ring_ops;
    q->head.partitions = QUEUE_PARTITIONS;
    q->producer_count = producers;
    q->producers = aligned_alloc(64, (producers + 1) * sizeof(*q->producers));
    check(q->producers);
    memset(q->producers, 0, (producers + 1) * sizeof(*q->producers));
    check(inbox_init(&q->sealer_inbox) == 0);
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        check(inbox_init(&q->slots[p].inbox) == 0);
    /* A budget of fewer than four segments could not move on before the first is committed. */
    if (segment_bytes > s->journal_max_bytes / 4)
        segment_bytes = s->journal_max_bytes / 4;
    if ((e = queue_map_ring(q, s, f)))
        goto out;
    if ((e = journal_open(s->data_dir, segment_bytes, s->journal_max_bytes, stats, &q->journal, f)))
        goto out;
    queue_init_marks(q);
    if (s->flushers == 0)
        log_warn("", "flushers = 0: nothing moves points into PostgreSQL, the journal fills up",
                 "journal_max_bytes=%" PRIu64, s->journal_max_bytes);
    if ((e = sealer_start(q, f)))
        goto out;
    *out = q;
    q = NULL;
out:
    ring_close(q);
    return e;
}

static void ring_stop(struct queue *q)
{
    atomic_store(&q->is_closing, true);
    sealer_stop(q);
}

static void ring_close(struct queue *q)
{
    if (!q)
        return;
    sealer_stop(q);
    if (q->journal)
        journal_trim(q->journal, queue_committed_all(q));
    journal_close(q->journal);
    if (q->ring)
        munmap(q->ring, q->ring_bytes);
    for (unsigned i = 0; i < q->producer_count; i++)
        free(q->producers[i].scratch);
    free(q->producers);
    free(q->replayed);
    inbox_fini(&q->sealer_inbox);
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        inbox_fini(&q->slots[p].inbox);
    free(q);
}

static const char *ring_id(const struct queue *q)
{
    return q->journal->id;
}

/* -- workers ------------------------------------------------------------------------------- */

/* May reserved move from where it is to end, leaving spare bytes of the window free? */
static err_t queue_check_room(const struct queue *q, pos_t end, uint64_t spare, struct fail *f)
{
    if (atomic_load(&q->is_closing))
        return fail(f, ERR_CLOSING, "The server is shutting down");
    if (!atomic_load(&q->is_healthy))
        return fail(f, ERR_DISK, "The journal cannot be written at the moment");
    if (end + spare > atomic_load(&q->durable) + q->window_bytes)
        return fail(f, ERR_BUSY, "The queue is full: the journal's disk is behind");
    if (end > atomic_load(&q->budget_end))
        return fail(f, ERR_BUSY, "The journal has reached journal_max_bytes: PostgreSQL is behind");
    if (q->max_age_us && queue_backlog_us(q) > q->max_age_us)
        return fail(f, ERR_BUSY, "The backlog has reached backlog_max_age: PostgreSQL is behind");
    return OK;
}

static err_t ring_headroom(const struct queue *q, size_t bytes, struct fail *f)
{
    uint64_t spare = q->window_bytes / QUEUE_RESERVE_PART;
    uint64_t most = q->window_bytes / 2;

    /* A body of blanks may be longer than the whole ring; its record is not. */
    return queue_check_room(q, atomic_load(&q->reserved) + (bytes < most ? bytes : most), spare, f);
}

static char *producer_scratch(struct producer *p, size_t n)
{
    if (n > p->scratch_bytes) {
        p->scratch_bytes = n > QUEUE_SCRATCH ? n : QUEUE_SCRATCH;
        free(p->scratch);
        p->scratch = malloc(p->scratch_bytes);
        check(p->scratch);
    }
    return p->scratch;
}

/* Takes n bytes and announces it; the place is *pos. */
static err_t queue_reserve(struct queue *q, struct producer *p, uint64_t n, pos_t *pos,
                           struct fail *f)
{
    pos_t r = atomic_load(&q->reserved);
    err_t e = OK;

    do {
        if ((e = queue_check_room(q, r + n, 0, f)))
            return e;
        atomic_store(&p->pending, r);
    } while (!atomic_compare_exchange_weak(&q->reserved, &r, r + n));
    *pos = r;
    return OK;
}

static err_t ring_append(struct queue *q, unsigned producer, const struct batch *b, pos_t *end,
                         struct fail *f)
{
    struct producer *p = &q->producers[producer];
    unsigned partition = queue_partition(run_id_str(&b->run));
    uint64_t head[FRAME_HEAD_WORDS];
    pos_t pos = 0;

    check(producer < q->producer_count);
    char *bytes = producer_scratch(p, record_bound(b));
    struct str payload = {bytes, record_encode(b, bytes)};
    uint64_t n = frame_bytes(payload.n);
    uint64_t hash = frame_hash(payload);

    if (n > q->window_bytes / 2 || payload.n > FRAME_PAYLOAD_MAX)
        return fail(f, ERR_HTTP_TOO_LARGE,
                    "The batch takes %zu bytes, which ring_bytes does not allow", payload.n);
    err_t e = queue_reserve(q, p, n, &pos, f);

    if (!e) {
        frame_head_write(head, pos, partition, RECORD_VERSION, payload, hash);
        ring_put(q, pos, head, sizeof(head));
        ring_put(q, pos + FRAME_HEAD, payload.p, payload.n);
        /* Before the frame can be seen, so that the backlog is never below what has gone. */
        atomic_store(&p->points, atomic_load(&p->points) + b->npoints);
        atomic_store_explicit(&p->entries,
                              atomic_load_explicit(&p->entries, memory_order_relaxed) + 1,
                              memory_order_relaxed);
        *end = pos + n;
    }
    /* A refused attempt may have held the sealer back as well: it looks again in either case. */
    atomic_store(&p->pending, RING_NOTHING);
    inbox_ring(&q->sealer_inbox);
    return e;
}

static enum queue_outcome ring_outcome(const struct queue *q, pos_t end)
{
    if (atomic_load(&q->durable) < end)
        return QUEUE_PENDING;
    /* Frames are never empty, so the byte before the end is the frame's own. */
    return ring_skip_lost(q, end - 1) != end - 1 ? QUEUE_LOST : QUEUE_DURABLE;
}

static pos_t ring_appended(const struct queue *q)
{
    return atomic_load(&q->reserved);
}

static pos_t ring_durable(const struct queue *q)
{
    return atomic_load(&q->durable);
}

static pos_t ring_committed(const struct queue *q, unsigned partition)
{
    check(partition < QUEUE_PARTITIONS);
    return atomic_load(&q->committed[partition]);
}

static pos_t ring_committed_all(const struct queue *q)
{
    pos_t lowest = UINT64_MAX;

    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++) {
        pos_t pos = atomic_load(&q->committed[p]);

        lowest = pos < lowest ? pos : lowest;
    }
    return lowest;
}

static void ring_hurry(struct queue *q, unsigned partition)
{
    pos_t target = atomic_load(&q->reserved);
    unsigned first = partition < QUEUE_PARTITIONS ? partition : 0;
    unsigned last = partition < QUEUE_PARTITIONS ? partition : QUEUE_PARTITIONS - 1;

    for (unsigned p = first; p <= last; p++) {
        ring_raise(&q->hurry[p], target);
        inbox_ring(&q->slots[atomic_load(&q->slot_of[p])].inbox);
    }
}

/* The ring has one kind of position. */
static pos_t ring_place(const struct queue *q, unsigned partition, pos_t end)
{
    (void)q, (void)partition;
    return end;
}

/* Who asks may not know how far this ring has come: beyond its end nothing is waited for. */
static void ring_hurry_to(struct queue *q, unsigned partition, pos_t pos)
{
    pos_t end = atomic_load(&q->reserved);

    ring_raise(&q->hurry[partition], pos < end ? pos : end);
    inbox_ring(&q->slots[atomic_load(&q->slot_of[partition])].inbox);
}

static bool ring_is_healthy(const struct queue *q)
{
    return atomic_load(&q->is_healthy);
}

static uint64_t ring_backlog_points(const struct queue *q)
{
    uint64_t gone = atomic_load(&q->points_gone);
    uint64_t come = q->replayed_points;

    if (queue_committed_all(q) >= atomic_load(&q->reserved))
        return 0;
    for (unsigned i = 0; i < q->producer_count; i++)
        come += atomic_load(&q->producers[i].points);
    return come > gone ? come - gone : 0;
}

static uint64_t ring_backlog_us(const struct queue *q)
{
    uint64_t oldest_us = atomic_load(&q->oldest_us);
    uint64_t now_us = clock_us();

    if (oldest_us == 0 || queue_committed_all(q) >= atomic_load(&q->durable))
        return 0;
    return now_us > oldest_us ? now_us - oldest_us : 0;
}

const struct queue_ops ring_ops = {
    .kind = "journal",
    .stop = ring_stop,
    .close = ring_close,
    .id = ring_id,
    .headroom = ring_headroom,
    .append = ring_append,
    .outcome = ring_outcome,
    .appended = ring_appended,
    .durable = ring_durable,
    .committed = ring_committed,
    .committed_all = ring_committed_all,
    .hurry = ring_hurry,
    .place = ring_place,
    .flushed = ring_committed,
    .hurry_to = ring_hurry_to,
    .is_healthy = ring_is_healthy,
    .backlog_points = ring_backlog_points,
    .backlog_us = ring_backlog_us,
    .reader_open = ring_reader_open,
    .reader_close = ring_reader_close,
    .take = ring_take,
    .reader_wake = ring_reader_wake,
    .commit = ring_commit,
};
