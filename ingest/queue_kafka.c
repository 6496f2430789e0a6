/*
 * queue_kafka: the queue that is a topic, which any number of processes write to and flush.
 *
 *   worker   append > ticket > librdkafka ...> report > outcome            kafka_producer.c
 *   flusher  consumer > entries > window > PostgreSQL > position           kafka_reader.c
 *   marks    delivered offset of each ticket, reached offset of each partition      tickets.c
 *
 * Two kinds of positions. Writers and readers of runs wait for tickets, which are this process's
 * own. Flushers count offsets, which everybody shares, and which PostgreSQL holds per partition
 * (sluice.positions) in the transaction of the rows. A ticket is committed when its offset lies
 * before the position that PostgreSQL has, and that becomes known in two ways: a flusher of this
 * process commits it, or the watcher (flush/watcher.c) asks, every second, and every
 * QUESTION_STEP_US while a read waits.
 *
 * queue_id is the hash of the cluster's id and the topic's name: all pods that share the topic
 * share the rows of sluice.positions. A topic that is deleted and made again is another log under
 * the same name; kafka_reader.c notices when it is shorter than the position, and holds.
 *
 * Backlog. How many entries are behind is known exactly; how many points they hold only where they are
 * read, so sluice_backlog_points is entries times the mean of those seen so far, and 0 when and only
 * when nothing is behind. Each process tells of what it has delivered and of what it reads: the
 * backlog of the whole is the greatest that any pod reports, not the sum.
 *
 * Retention is the operator's: what the topic drops before it is flushed is lost, counted and logged.
 */
#include "ingest/queue_kafka.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/journal_dir.h"
#include "schema/errors.h"

#define QUESTION_STEP_US ((uint64_t)20 * 1000)
#define QUESTION_HOT_US  ((uint64_t)500 * 1000)

static struct kafka_queue *kafka_of(struct queue *q)
{
    return (struct kafka_queue *)(void *)q;
}

static const struct kafka_queue *kafka(const struct queue *q)
{
    return (const struct kafka_queue *)(const void *)q;
}

/* -- life --------------------------------------------------------------------------------------- */

static void kafka_stop(struct queue *queue)
{
    struct kafka_queue *q = kafka_of(queue);

    atomic_store(&q->is_closing, true);
    if (q->producer)
        kafka_producer_stop(q->producer);
}

static void kafka_close(struct queue *queue)
{
    struct kafka_queue *q = kafka_of(queue);

    kafka_producer_close(q->producer);
    tickets_free(q->tickets);
    inbox_fini(&q->question);
    for (unsigned i = 0; i < KAFKA_READERS; i++)
        inbox_fini(&q->slots[i].inbox);
    if (q->lock >= 0)
        close(q->lock);
    free(q);
}

/* A flusher's dead letters lie there, and only its own: it takes the lock that a journal's owner
 * takes. A front end writes nothing, so it needs no directory. */
static err_t kafka_take_dir(struct kafka_queue *q, struct fail *f)
{
    const char *data_dir = q->settings->data_dir;
    int dir = -1;
    err_t e;

    if (q->settings->flushers == 0)
        return OK;
    if (!(e = journal_dir_open(data_dir, true, &dir, f)))
        e = journal_dir_lock(dir, data_dir, &q->lock, f);
    if (dir >= 0)
        close(dir);
    return e;
}

err_t kafka_open(const struct settings *s, unsigned producers, struct stats *stats,
                 struct queue **out, struct fail *f)
{
    struct kafka_queue *q = aligned_alloc(64, (sizeof(*q) + 63) / 64 * 64);
    err_t e;

    check(q);
    memset(q, 0, sizeof(*q));
    *out = NULL;
    q->head.ops = &kafka_ops;
    q->settings = s;
    q->stats = stats;
    check(inbox_init(&q->question) == 0);
    for (unsigned i = 0; i < KAFKA_READERS; i++)
        check(inbox_init(&q->slots[i].inbox) == 0);
    q->lock = -1;
    e = kafka_take_dir(q, f);
    if (!e && !(e = kafka_topic_look(s, &q->topic, f))) {
        q->head.partitions = q->topic.partitions;
        kafka_topic_id(&q->topic, s->kafka_topic, q->id);
        q->tickets = tickets_new(q->topic.partitions, KAFKA_TICKETS);
    }
    if (!e && producers > 0) {
        struct kafka_producer_config c = {.settings = s,
                                          .topic = &q->topic,
                                          .head = &q->head,
                                          .tickets = q->tickets,
                                          .stats = stats,
                                          .writers = producers};

        e = kafka_producer_open(&c, &q->producer, f);
    }
    if (e)
        kafka_close((struct queue *)(void *)q);
    else
        *out = (struct queue *)(void *)q;
    return e;
}

static const char *kafka_id(const struct queue *q)
{
    return kafka(q)->id;
}

/* -- writers ------------------------------------------------------------------------------------ */

static err_t kafka_closed(struct fail *f)
{
    return fail(f, ERR_CLOSING, "The server is shutting down");
}

static err_t kafka_headroom(const struct queue *q, size_t bytes, struct fail *f)
{
    const struct kafka_queue *k = kafka(q);

    return k->producer ? kafka_producer_room(k->producer, bytes, f) : kafka_closed(f);
}

static err_t kafka_append(struct queue *q, unsigned producer, const struct batch *b, pos_t *end,
                          struct fail *f)
{
    struct kafka_queue *k = kafka_of(q);

    return k->producer ? kafka_producer_append(k->producer, producer, b, end, f) : kafka_closed(f);
}

static enum queue_outcome kafka_outcome(const struct queue *q, pos_t end)
{
    return tickets_outcome(kafka(q)->tickets, end);
}

static pos_t kafka_appended(const struct queue *q)
{
    return tickets_end(kafka(q)->tickets);
}

static pos_t kafka_durable(const struct queue *q)
{
    return tickets_settled(kafka(q)->tickets);
}

static pos_t kafka_committed(const struct queue *q, unsigned partition)
{
    return tickets_committed(kafka(q)->tickets, partition);
}

static pos_t kafka_committed_all(const struct queue *q)
{
    pos_t lowest = UINT64_MAX;

    for (unsigned p = 0; p < kafka(q)->topic.partitions; p++) {
        pos_t pos = kafka_committed(q, p);

        lowest = pos < lowest ? pos : lowest;
    }
    return lowest;
}

static bool kafka_is_healthy(const struct queue *q)
{
    const struct kafka_queue *k = kafka(q);

    return !k->producer || kafka_producer_is_healthy(k->producer);
}

/* -- reads that wait ---------------------------------------------------------------------------- */

/* PostgreSQL is asked again and again for a while. */
static void kafka_question(struct kafka_queue *q)
{
    uint64_t now_us = clock_us();

    if (atomic_exchange(&q->question_until_us, now_us + QUESTION_HOT_US) < now_us)
        inbox_ring(&q->question);
}

static void kafka_hurry_to(struct queue *queue, unsigned partition, pos_t pos)
{
    struct kafka_queue *q = kafka_of(queue);
    struct kafka_part *part = &q->parts[partition];
    unsigned slot = atomic_load(&part->slot);

    kafka_question(q);
    if (pos <= atomic_load(&part->hurry))
        return;
    atomic_store(&part->hurry, pos);
    if (slot)
        inbox_ring(&q->slots[slot - 1].inbox);
}

static pos_t kafka_place(const struct queue *q, unsigned partition, pos_t end)
{
    return tickets_place(kafka(q)->tickets, partition, end);
}

static pos_t kafka_flushed(const struct queue *q, unsigned partition)
{
    bool is_known;

    return tickets_reached(kafka(q)->tickets, partition, &is_known);
}

static void kafka_hurry(struct queue *queue, unsigned partition)
{
    struct kafka_queue *q = kafka_of(queue);
    unsigned first = partition < q->topic.partitions ? partition : 0;
    unsigned last = partition < q->topic.partitions ? partition : q->topic.partitions - 1;

    for (unsigned p = first; p <= last; p++) {
        unsigned slot = atomic_load(&q->parts[p].slot);
        pos_t target = tickets_delivered(q->tickets, p);

        if (target <= atomic_load(&q->parts[p].hurry))
            continue;
        atomic_store(&q->parts[p].hurry, target);
        if (slot)
            inbox_ring(&q->slots[slot - 1].inbox);
    }
    kafka_question(q);
}

static void kafka_await_question(struct queue *queue, uint64_t deadline_us)
{
    struct kafka_queue *q = kafka_of(queue);
    uint64_t now_us = clock_us();

    /* Also when nothing is committed any more: what is behind grows older. */
    for (unsigned p = 0; p < q->topic.partitions; p++)
        kafka_note(q, p);
    if (now_us < atomic_load(&q->question_until_us) && now_us + QUESTION_STEP_US < deadline_us)
        deadline_us = now_us + QUESTION_STEP_US;
    (void)inbox_wait(&q->question, deadline_us);
}

static void kafka_wake_question(struct queue *q)
{
    inbox_ring(&kafka_of(q)->question);
}

static void kafka_see_committed(struct queue *queue, unsigned partition, pos_t pos)
{
    struct kafka_queue *q = kafka_of(queue);
    bool is_known;

    if (partition >= QUEUE_PARTITIONS_MAX)
        return;
    if (tickets_reached(q->tickets, partition, &is_known) < pos || !is_known) {
        tickets_reach(q->tickets, partition, pos);
        queue_tell(&q->head);
    }
    kafka_note(q, partition);
}

/* -- backlog ------------------------------------------------------------------------------------ */

static pos_t kafka_newest(const struct kafka_queue *q, unsigned p)
{
    pos_t high = atomic_load(&q->parts[p].high);
    pos_t delivered = tickets_delivered(q->tickets, p);

    return high > delivered ? high : delivered;
}

uint64_t kafka_lag(const struct kafka_queue *q, unsigned partition)
{
    bool is_known;
    pos_t reached = tickets_reached(q->tickets, partition, &is_known);
    pos_t newest = kafka_newest(q, partition);

    return newest > reached ? newest - reached : 0;
}

void kafka_note(struct kafka_queue *q, unsigned partition)
{
    struct kafka_part *part = &q->parts[partition];
    bool is_known;

    if (tickets_reached(q->tickets, partition, &is_known) < atomic_load(&part->mark))
        return;
    atomic_store(&part->mark_us, clock_us());
    atomic_store(&part->mark, kafka_newest(q, partition));
}

static uint64_t kafka_backlog_points(const struct queue *queue)
{
    const struct kafka_queue *q = kafka(queue);
    uint64_t entries = atomic_load(&q->read_entries);
    uint64_t points = atomic_load(&q->read_points);
    uint64_t behind = 0;

    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++)
        behind += kafka_lag(q, p);
    if (q->producer) {
        uint64_t own_entries, own_points;

        kafka_producer_count(q->producer, &own_entries, &own_points);
        entries += own_entries;
        points += own_points;
        behind += kafka_producer_waiting(q->producer);
    }
    if (entries == 0 || points < entries)
        return behind;
    return (uint64_t)((double)behind * (double)points / (double)entries);
}

static uint64_t kafka_backlog_us(const struct queue *queue)
{
    const struct kafka_queue *q = kafka(queue);
    uint64_t now_us = clock_us();
    uint64_t most = 0;

    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        const struct kafka_part *part = &q->parts[p];
        uint64_t mark_us = atomic_load(&part->mark_us);
        bool is_known;

        if (mark_us == 0 || tickets_reached(q->tickets, p, &is_known) >= atomic_load(&part->mark))
            continue;
        if (now_us > mark_us && now_us - mark_us > most)
            most = now_us - mark_us;
    }
    return most;
}

/* Cursors are told one by one. */
static void kafka_commit(struct queue_reader *r, pos_t cursor, uint64_t points)
{
    (void)r;
    (void)cursor;
    (void)points;
    check_failed("queue_commit_each", __FILE__, __LINE__);
}

const struct queue_ops kafka_ops = {
    .kind = "kafka",
    .is_shared = true,
    .stop = kafka_stop,
    .close = kafka_close,
    .id = kafka_id,
    .headroom = kafka_headroom,
    .append = kafka_append,
    .outcome = kafka_outcome,
    .appended = kafka_appended,
    .durable = kafka_durable,
    .committed = kafka_committed,
    .committed_all = kafka_committed_all,
    .hurry = kafka_hurry,
    .place = kafka_place,
    .flushed = kafka_flushed,
    .hurry_to = kafka_hurry_to,
    .is_healthy = kafka_is_healthy,
    .backlog_points = kafka_backlog_points,
    .backlog_us = kafka_backlog_us,
    .reader_open = kafka_reader_open,
    .reader_close = kafka_reader_close,
    .take = kafka_reader_take,
    .reader_wake = kafka_reader_wake,
    .commit = kafka_commit,
    .reader_begin = kafka_reader_begin,
    .commit_each = kafka_reader_commit,
    .see_committed = kafka_see_committed,
    .await_question = kafka_await_question,
    .wake_question = kafka_wake_question,
};
