/*
 * queue: which implementation answers.
 *
 * queue_open chooses by the setting `queue`; from then on each call goes through the table of the
 * one that was chosen, one indirect call. What is the same for both stands here: the subscribers,
 * and the partition of a run, which is its hash modulo how many partitions there are.
 */
#include "ingest/queue.h"

#include <string.h>
#include <xxhash.h>

#include "ingest/queue_ops.h"
#include "ingest/queue_share.h"

/* The first member of what only the implementation can see. */
static struct queue_head *head_of(struct queue *q)
{
    return (struct queue_head *)(void *)q;
}

static const struct queue_head *head(const struct queue *q)
{
    return (const struct queue_head *)(const void *)q;
}

static const struct queue_ops *ops(const struct queue *q)
{
    return head(q)->ops;
}

static const struct queue_ops *reader_ops(const struct queue_reader *r)
{
    return ((const struct reader_head *)(const void *)r)->ops;
}

/* -- life and what is common ----------------------------------------------------------------- */

err_t queue_open(const struct settings *s, unsigned producers, struct stats *stats,
                 struct queue **out, struct fail *f)
{
    if (strcmp(s->queue, "kafka") == 0)
        return kafka_open(s, producers, stats, out, f);
    return ring_open(s, producers, stats, out, f);
}

void queue_stop(struct queue *q)
{
    ops(q)->stop(q);
}

void queue_close(struct queue *q)
{
    if (q)
        ops(q)->close(q);
}

const char *queue_id(const struct queue *q)
{
    return ops(q)->id(q);
}

const char *queue_kind(const struct queue *q)
{
    return ops(q)->kind;
}

bool queue_is_shared(const struct queue *q)
{
    return ops(q)->is_shared;
}

bool queue_is_ordered(const struct queue *q)
{
    return !ops(q)->is_shared;
}

void queue_subscribe(struct queue *q, struct inbox *inbox)
{
    struct queue_head *h = head_of(q);
    unsigned n = atomic_load(&h->subscriber_count);

    check(n < QUEUE_SUBSCRIBERS);
    h->subscribers[n] = inbox;
    atomic_store_explicit(&h->subscriber_count, n + 1, memory_order_release);
}

void queue_tell(struct queue_head *h)
{
    unsigned n = atomic_load_explicit(&h->subscriber_count, memory_order_acquire);

    for (unsigned i = 0; i < n; i++)
        inbox_ring(h->subscribers[i]);
}

uint64_t queue_hash(struct str run_id)
{
    return XXH3_64bits(run_id.p, run_id.n);
}

unsigned queue_partition(struct str run_id)
{
    return (unsigned)(queue_hash(run_id) % QUEUE_PARTITIONS);
}

unsigned queue_partition_of(const struct queue *q, struct str run_id)
{
    return (unsigned)(queue_hash(run_id) % head(q)->partitions);
}

/* -- workers --------------------------------------------------------------------------------- */

err_t queue_headroom(const struct queue *q, size_t bytes, struct fail *f)
{
    return ops(q)->headroom(q, bytes, f);
}

err_t queue_append(struct queue *q, unsigned producer, const struct batch *b, pos_t *end,
                   struct fail *f)
{
    return ops(q)->append(q, producer, b, end, f);
}

enum queue_outcome queue_outcome(const struct queue *q, pos_t end)
{
    return ops(q)->outcome(q, end);
}

pos_t queue_appended(const struct queue *q)
{
    return ops(q)->appended(q);
}

pos_t queue_durable(const struct queue *q)
{
    return ops(q)->durable(q);
}

pos_t queue_committed(const struct queue *q, unsigned partition)
{
    return ops(q)->committed(q, partition);
}

pos_t queue_committed_all(const struct queue *q)
{
    return ops(q)->committed_all(q);
}

void queue_hurry(struct queue *q, unsigned partition)
{
    ops(q)->hurry(q, partition);
}

bool queue_is_healthy(const struct queue *q)
{
    return ops(q)->is_healthy(q);
}

uint64_t queue_backlog_points(const struct queue *q)
{
    return ops(q)->backlog_points(q);
}

uint64_t queue_backlog_us(const struct queue *q)
{
    return ops(q)->backlog_us(q);
}

/* -- flushers -------------------------------------------------------------------------------- */

err_t queue_reader_open(struct queue *q, uint64_t mask, const pos_t from[QUEUE_PARTITIONS],
                        struct queue_reader **out, struct fail *f)
{
    return ops(q)->reader_open(q, mask, from, out, f);
}

void queue_reader_close(struct queue_reader *r)
{
    if (r)
        reader_ops(r)->reader_close(r);
}

err_t queue_take(struct queue_reader *r, struct take_terms terms, struct take *out, struct fail *f)
{
    if (terms.max_points == 0)
        terms.max_points = 1;
    return reader_ops(r)->take(r, terms, out, f);
}

void queue_reader_wake(struct queue_reader *r)
{
    reader_ops(r)->reader_wake(r);
}

void queue_commit(struct queue_reader *r, pos_t cursor, uint64_t points)
{
    reader_ops(r)->commit(r, cursor, points);
}

/* -- of shared queues alone ------------------------------------------------------------------- */

err_t queue_reader_begin(struct queue_reader *r, const pos_t from[QUEUE_PARTITIONS_MAX],
                         struct fail *f)
{
    return reader_ops(r)->reader_begin(r, from, f);
}

void queue_commit_each(struct queue_reader *r, const pos_t cursors[QUEUE_PARTITIONS_MAX],
                       uint64_t points)
{
    reader_ops(r)->commit_each(r, cursors, points);
}

void queue_see_committed(struct queue *q, unsigned partition, pos_t pos)
{
    ops(q)->see_committed(q, partition, pos);
}

bool queue_place(const struct queue *q, struct str run_id, pos_t end, unsigned *partition,
                 pos_t *pos)
{
    if (queue_outcome(q, end) != QUEUE_DURABLE)
        return false;
    *partition = queue_partition_of(q, run_id);
    *pos = ops(q)->place(q, *partition, end);
    return true;
}

pos_t queue_flushed(const struct queue *q, unsigned partition)
{
    return partition < head(q)->partitions ? ops(q)->flushed(q, partition) : 0;
}

void queue_hurry_to(struct queue *q, unsigned partition, pos_t pos)
{
    if (partition < head(q)->partitions)
        ops(q)->hurry_to(q, partition, pos);
}

void queue_await_question(struct queue *q, uint64_t deadline_us)
{
    ops(q)->await_question(q, deadline_us);
}

void queue_wake_question(struct queue *q)
{
    ops(q)->wake_question(q);
}
