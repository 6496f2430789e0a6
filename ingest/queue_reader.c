/*
 * queue_reader: the flushers' side of the ring queue.
 *
 * A reader walks the stream once, frame by frame, and hands out those of its partitions. Where the
 * bytes come from is decided at each frame:
 *
 *   cursor in the ring    copied out, then `reserved` is looked at again: more than a ring ahead
 *                         means that a producer may have written over the copy, and the file is
 *                         asked instead. The window is half a ring, so this happens to a reader
 *                         that is half a ring behind, not to one that keeps up.
 *   before that           from the segment file, with its checksum; gaps between segments and
 *                         damaged stretches are passed over (segment.c). A file is only read up
 *                         to the durable mark, so what is being written is never looked at. What
 *                         the disk does not give is not passed over: the take fails, and the next
 *                         one tries again.
 *
 * Ranges that a failed disk lost are passed over in both, wherever their bytes may be.
 *
 * queue_take does not wake for each fdatasync. It sleeps until its deadline, a hurry, or until so
 * many bytes are durable that the window could be full if all points were as small as they can be.
 *
 * Marks. committed[p] is what PostgreSQL has for the partition; it starts at what the flusher
 * found there. counted[p] is how far points have left the backlog gauge; it lags behind after a
 * start or a lost connection, and entries between the two are read once more only to be counted:
 * there a page that the disk does not give is passed over, because nothing in it is needed.
 * For whole segments found at start the count by partition is at hand, so they are not read. An empty
 * take moves both marks by itself when all before it is committed: a partition without entries
 * must not keep segments alive.
 */
#include "ingest/queue_ring.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/segment.h"
#include "schema/errors.h"
#include "schema/record.h"

enum {
    READER_ARENA = 256 << 10,
    READER_TAKE_BYTES = 64 << 20, /* payload of one take */
    READER_POINT_LEAST = 5,       /* bytes of the shortest point (record.c) */
    READER_LOOK_UP = 1024         /* steps between looks at the clock */
};

struct queue_reader {
    struct reader_head head;
    struct queue *queue;
    uint64_t mask;
    struct reader_slot *slot;
    pos_t from[QUEUE_PARTITIONS]; /* entries before it are committed already */
    pos_t needed;                 /* the lowest of them: what lies before it is only counted */
    pos_t cursor;
    bool has_uncommitted; /* entries were handed out and queue_commit has not come yet */
    struct arena arena;   /* payloads of the last take */
    struct entry *entries;
    size_t count;
    size_t cap;
    uint64_t points; /* gathered by this take */
    uint64_t bytes;
    struct segment_cursor file; /* head.base is the open segment's */
    bool has_file;
    pos_t file_limit;      /* where the next segment begins, UINT64_MAX = none is known */
    pos_t listed_at;       /* durable when the directory was listed */
    uint64_t file_skipped; /* of the open file, logged already */
};

static bool reader_owns(const struct queue_reader *r, unsigned partition)
{
    return (r->mask >> partition & 1) != 0;
}

/* -- open and close ------------------------------------------------------------------------ */

/* Takes whole replayed segments that are committed out of the backlog, by their counts. */
static void reader_count_replayed(const struct queue_reader *r, unsigned p)
{
    struct queue *q = r->queue;
    pos_t counted = atomic_load(&q->counted[p]);

    for (size_t i = 0; i < q->replayed_count; i++) {
        const struct journal_segment *s = &q->replayed[i];

        if (s->base < counted)
            continue;
        if (s->end > r->from[p])
            break;
        atomic_fetch_add(&q->points_gone, s->points[p]);
        counted = i + 1 < q->replayed_count ? q->replayed[i + 1].base : q->start;
    }
    ring_raise(&q->counted[p], counted);
}

err_t ring_reader_open(struct queue *q, uint64_t mask, const pos_t *from, struct queue_reader **out,
                       struct fail *f)
{
    pos_t start = UINT64_MAX;
    pos_t appended = atomic_load(&q->reserved);

    *out = NULL;
    check(mask != 0 && mask >> QUEUE_PARTITIONS == 0);
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        if ((mask >> p & 1) != 0 && from[p] > appended)
            return fail(f, ERR_CORRUPT,
                        "PostgreSQL has position %" PRIu64 " of partition %u and the journal ends "
                        "at %" PRIu64 ": data_dir is older than the database; move its journal "
                        "directory away and start again",
                        from[p], p, appended);
    struct queue_reader *r = calloc(1, sizeof(*r));

    check(r);
    r->head.ops = &ring_ops;
    r->queue = q;
    r->mask = mask;
    r->slot = &q->slots[__builtin_ctzll(mask)];
    r->needed = UINT64_MAX;
    arena_init(&r->arena, READER_ARENA);
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++) {
        if (!reader_owns(r, p))
            continue;
        r->from[p] = from[p];
        r->needed = from[p] < r->needed ? from[p] : r->needed;
        reader_count_replayed(r, p);
        pos_t counted = atomic_load(&q->counted[p]);

        start = counted < start ? counted : start;
        ring_raise(&q->committed[p], from[p]);
        atomic_store(&q->slot_of[p], (unsigned)(r->slot - q->slots));
    }
    r->cursor = start;
    atomic_store(&r->slot->is_woken, false);
    inbox_ring(&q->sealer_inbox);
    ring_tell(q);
    *out = r;
    return OK;
}

static void reader_close_file(struct queue_reader *r)
{
    if (r->has_file)
        segment_cursor_close(&r->file);
    r->has_file = false;
}

void ring_reader_close(struct queue_reader *r)
{
    if (!r)
        return;
    reader_close_file(r);
    arena_fini(&r->arena);
    free(r->entries);
    free(r);
}

/* -- gathering ----------------------------------------------------------------------------- */

/* Hands out a copy in the arena, or counts what is committed already. has_copy: it is there. */
static void reader_keep(struct queue_reader *r, const struct entry *e, bool has_copy)
{
    struct queue *q = r->queue;
    uint32_t points = record_points(e->payload, e->version);

    if (e->pos < r->from[e->partition]) {
        if (e->pos >= atomic_load(&q->counted[e->partition])) {
            atomic_fetch_add(&q->points_gone, points);
            ring_raise(&q->counted[e->partition], e->end);
        }
        return;
    }
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 256;
        r->entries = realloc(r->entries, r->cap * sizeof(*r->entries));
        check(r->entries);
    }
    r->entries[r->count] = *e;
    if (!has_copy)
        r->entries[r->count].payload = arena_dup(&r->arena, e->payload);
    r->count++;
    r->points += points;
    r->bytes += e->payload.n;
}

/* One frame from the ring. False when it is there no longer, or never was. */
static bool reader_step_ring(struct queue_reader *r)
{
    const struct queue *q = r->queue;
    uint64_t head[FRAME_HEAD_WORDS];
    struct entry e;

    if (!ring_holds(q, r->cursor))
        return false;
    ring_get(q, r->cursor, head, sizeof(head));
    bool is_frame = frame_head_read(head, r->cursor, &e);

    if (!ring_holds(q, r->cursor))
        return false;
    /* Not overwritten and not a frame: somebody wrote over memory that was not his. */
    check(is_frame);
    if (reader_owns(r, e.partition)) {
        char *copy = arena_alloc(&r->arena, e.payload.n);

        ring_get(q, r->cursor + FRAME_HEAD, copy, e.payload.n);
        if (!ring_holds(q, r->cursor))
            return false;
        e.payload.p = copy;
        reader_keep(r, &e, true);
    }
    r->cursor = e.end;
    return true;
}

static pos_t pos_min(pos_t a, pos_t b)
{
    return a < b ? a : b;
}

/* To the next segment of a list that was made after durable was read, so that it has all of them. */
static void reader_jump(struct queue_reader *r, pos_t durable)
{
    pos_t to = pos_min(r->file_limit, durable);

    r->cursor = r->cursor < r->needed ? pos_min(to, r->needed) : to;
}

/* Opens the segment that the cursor lies in, or moves the cursor to where the next one begins. */
static err_t reader_find_file(struct queue_reader *r, pos_t durable, struct fail *f)
{
    int dir = r->queue->journal->dir;
    pos_t *bases = NULL;
    size_t count = 0;
    size_t next = 0;
    struct fail why;

    reader_close_file(r);
    if (segment_list(dir, &bases, &count, f))
        return ERR_DISK;
    while (next < count && bases[next] <= r->cursor)
        next++;
    r->file_limit = next < count ? bases[next] : UINT64_MAX;
    r->listed_at = durable;
    r->file_skipped = 0;
    fail_init(&why, NULL);
    err_t e = next == 0 ? ERR_NOT_FOUND : segment_cursor_open(&r->file, dir, bases[next - 1], &why);

    free(bases);
    r->has_file = e == OK;
    if (e == ERR_DISK && r->cursor >= r->needed)
        return fail(f, e, "the journal cannot be read: %.*s", STR_ARG(why.text));
    if (e == ERR_CORRUPT)
        log_error("", "a journal segment is damaged and passed over", "reason=%.*s",
                  STR_ARG(why.text));
    /* Not there: committed and removed, or set aside at the start. */
    if (e)
        reader_jump(r, durable);
    return OK;
}

static void reader_log_damage(struct queue_reader *r)
{
    uint64_t bytes = r->file.skipped_bytes - r->file_skipped;

    if (bytes == 0)
        return;
    log_error("", "a damaged stretch of the journal is passed over",
              "segment=%016" PRIx64 " bytes=%" PRIu64, r->file.head.base, bytes);
    segment_keep(r->queue->journal->dir, r->file.head.base);
}

/* One frame from the files, of those before durable; or one move towards it. */
static err_t reader_step_file(struct queue_reader *r, pos_t durable, struct fail *f)
{
    pos_t limit = pos_min(r->file_limit, durable);
    bool is_needed = r->cursor >= r->needed;
    struct entry e;

    if (!r->has_file || r->cursor < r->file.head.base || r->cursor >= r->file_limit)
        return reader_find_file(r, durable, f);
    r->file.is_strict = is_needed;
    if (!is_needed)
        limit = pos_min(limit, r->needed);
    segment_cursor_seek(&r->file, r->cursor);
    bool is_found = segment_cursor_next(&r->file, limit, &e);

    if (!is_found && r->file.error)
        return fail(f, ERR_DISK,
                    "journal segment %016" PRIx64 " cannot be read behind position %" PRIu64
                    ": %s; nothing is skipped, it is tried again",
                    r->file.head.base, r->cursor, strerror(r->file.error));
    if (is_found) {
        if (is_needed)
            reader_log_damage(r);
        r->file_skipped = r->file.skipped_bytes;
        r->cursor = e.end;
        if (reader_owns(r, e.partition))
            reader_keep(r, &e, false);
        return OK;
    }
    /* No more frames in this file: its end, a torn tail, a hole. The list may be too old to know
     * the segment that begins here. */
    if (r->listed_at < durable)
        return reader_find_file(r, durable, f);
    reader_jump(r, durable);
    return OK;
}

/* Advances by one frame or one gap; cursor < durable. */
static err_t reader_step(struct queue_reader *r, pos_t durable, struct fail *f)
{
    pos_t behind_lost = ring_skip_lost(r->queue, r->cursor);

    if (behind_lost > r->cursor) {
        r->cursor = behind_lost;
        return OK;
    }
    return reader_step_ring(r) ? OK : reader_step_file(r, durable, f);
}

/* Everything before it should be handed out at once; at most the cursor when nobody waits. */
static pos_t reader_hurry(const struct queue_reader *r)
{
    pos_t target = 0;

    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++) {
        pos_t hurry = reader_owns(r, p) ? atomic_load(&r->queue->hurry[p]) : 0;

        target = hurry > target ? hurry : target;
    }
    return target;
}

/* All before the cursor is in PostgreSQL, or has no entries of ours. */
static void reader_commit_marks(struct queue_reader *r, pos_t cursor)
{
    struct queue *q = r->queue;
    bool has_moved = false;

    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++) {
        if (!reader_owns(r, p))
            continue;
        has_moved |= atomic_load(&q->committed[p]) < cursor;
        ring_raise(&q->committed[p], cursor);
        ring_raise(&q->counted[p], cursor);
    }
    if (!has_moved)
        return;
    ring_tell(q);
    inbox_ring(&q->sealer_inbox);
}

static bool reader_is_full(const struct queue_reader *r, uint64_t max_points)
{
    return r->points >= max_points || r->bytes >= READER_TAKE_BYTES;
}

/* Sleeps until something happened that a take must look at, or until the deadline. */
static void reader_sleep(struct queue_reader *r, const struct take_terms *terms)
{
    struct queue *q = r->queue;
    pos_t wake_at = r->cursor + (terms->max_points - r->points) * READER_POINT_LEAST;
    pos_t hurry = reader_hurry(r);

    /* A hurry whose entries are not durable yet: the next sync is what it waits for. */
    if (hurry > r->cursor && hurry < wake_at)
        wake_at = hurry;
    atomic_store(&r->slot->wake_at, wake_at);
    /* Whatever happened before this store did not ring: look once more. */
    bool is_due = atomic_load(&q->durable) >= wake_at || reader_hurry(r) > hurry ||
                  atomic_load(&r->slot->is_woken);

    if (!is_due)
        (void)inbox_wait(&r->slot->inbox, terms->deadline_us);
    atomic_store(&r->slot->wake_at, RING_NOTHING);
}

/* Steps until the window is full, all is handed out, or time is up in a long stretch of nothing. */
static err_t reader_gather(struct queue_reader *r, pos_t durable, const struct take_terms *terms,
                           struct fail *f)
{
    err_t e = OK;

    for (unsigned steps = 1; r->cursor < durable && !reader_is_full(r, terms->max_points) && !e;
         steps++) {
        e = reader_step(r, durable, f);
        if (steps % READER_LOOK_UP == 0 && (atomic_load(&r->slot->is_woken) ||
                                            (r->count == 0 && clock_us() >= terms->deadline_us)))
            break;
    }
    return e;
}

err_t ring_take(struct queue_reader *r, struct take_terms terms, struct take *out, struct fail *f)
{
    struct queue *q = r->queue;
    pos_t begin = r->cursor;
    bool is_hurried = false;
    err_t e = OK;

    arena_reset(&r->arena);
    r->count = r->points = r->bytes = 0;
    for (;;) {
        pos_t hurry = reader_hurry(r);

        /* Also when it is among what this take has gathered already. */
        is_hurried |= hurry > begin;
        e = reader_gather(r, atomic_load(&q->durable), &terms, f);
        if (e || reader_is_full(r, terms.max_points) || (is_hurried && r->cursor >= hurry))
            break;
        if (atomic_exchange(&r->slot->is_woken, false) || take_is_over(&terms, r->points))
            break;
        /* Nothing in hand: whoever waits for what lies behind need not wait for the deadline. */
        if (r->count == 0 && !r->has_uncommitted)
            reader_commit_marks(r, r->cursor);
        reader_sleep(r, &terms);
    }
    if (r->count > 0) {
        r->has_uncommitted = true;
        e = OK; /* the cursor stands at what could not be read: the next take says it again */
    } else if (!r->has_uncommitted) {
        reader_commit_marks(r, r->cursor);
    }
    *out = (struct take){.entries = r->entries,
                         .count = r->count,
                         .cursor = r->cursor,
                         .is_hurried = is_hurried,
                         .has_more = r->cursor < atomic_load(&q->durable)};
    return e;
}

void ring_reader_wake(struct queue_reader *r)
{
    atomic_store(&r->slot->is_woken, true);
    inbox_ring(&r->slot->inbox);
}

void ring_commit(struct queue_reader *r, pos_t cursor, uint64_t points)
{
    atomic_fetch_add(&r->queue->points_gone, points);
    if (cursor >= r->cursor)
        r->has_uncommitted = false;
    reader_commit_marks(r, cursor);
}
