/*
 * kafka_reader: the flushers' side of the Kafka queue: one consumer for each flusher.
 *
 * Which partitions it reads is kafka_group.c's; here is what is taken of them, and when not:
 *
 *   READ --a record of a newer version--> HELD      not read on; the others are
 *   READ --an offset the log has not----> ASTRAY    looked for again every 3 s
 *
 * HELD: during a rolling upgrade a new gateway may write what an old flusher cannot read. Dropping
 * it would lose acked points and a dead letter would need a person, so the partition stands still,
 * with an error in the log and a gauge, until a newer program reads it.
 *
 * ASTRAY: auto.offset.reset is error, so an offset that is not there is a question for us. Before the
 * log's first: retention was shorter than the flushers were away; the gap is counted, logged, and
 * passed over. Behind its end: the topic was made again, or lost its tail; reading on would take new
 * entries for applied ones, so it holds until an operator deletes the row from sluice.positions.
 *
 * Offsets follow one another, for compaction is refused and nothing here is transactional. A message
 * beyond the cursor is therefore asked for once more from the cursor: what was fetched before a seek
 * must not make us pass over entries. If the log does have a gap, the second answer is the same.
 *
 * Blocking is on an inbox: librdkafka writes to its descriptor when its queue is no longer empty.
 */
#include "ingest/kafka_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "ingest/kafka_conf.h"
#include "schema/errors.h"
#include "schema/record.h"

enum {
    READER_ARENA = 256 << 10,
    READER_TAKE_BYTES = 64 << 20, /* payload of one take */
    READER_LOOK_UP = 1024,        /* messages between looks at the clock */
    READER_ANSWER_MS = 2000
};

#define READER_ASTRAY_US ((uint64_t)3 * 1000 * 1000)
#define READER_CLOSE_US  ((uint64_t)5 * 1000 * 1000)

/* -- open and close ----------------------------------------------------------------------------- */

static void reader_free(struct kafka_reader *r)
{
    kafka_group_fini(r);
    if (r->rk)
        rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    arena_fini(&r->arena);
    free(r->entries);
    free(r);
}

/* Whatever comes wakes the flusher. */
static void reader_ring(struct kafka_reader *r)
{
    static const uint64_t one = 1; /* what an eventfd takes */
    rd_kafka_queue_t *q;

    rd_kafka_poll_set_consumer(r->rk);
    q = rd_kafka_queue_get_consumer(r->rk);
    rd_kafka_queue_io_event_enable(q, inbox_fd(&r->slot->inbox), &one, sizeof(one));
    rd_kafka_queue_destroy(q);
}

/* The mask and the positions are the ring's: here the group says which, and kafka_reader_begin where. */
err_t kafka_reader_open(struct queue *queue, uint64_t mask, const pos_t *from,
                        struct queue_reader **out, struct fail *f)
{
    struct kafka_queue *q = (struct kafka_queue *)(void *)queue;
    struct kafka_reader *r = calloc(1, sizeof(*r));
    rd_kafka_conf_t *conf;
    err_t e;

    (void)mask;
    (void)from;
    *out = NULL;
    check(r);
    r->head.ops = &kafka_ops;
    r->queue = q;
    arena_init(&r->arena, READER_ARENA);
    r->slot_number = atomic_fetch_add(&q->reader_count, 1) + 1;
    check(r->slot_number <= KAFKA_READERS);
    r->slot = &q->slots[r->slot_number - 1];
    if (!(e = kafka_conf_new(q->settings, &conf, f))) {
        kafka_group_hear(r, conf);
        e = kafka_client_new(conf, RD_KAFKA_CONSUMER, &r->rk, f);
    }
    if (!e) {
        reader_ring(r);
        e = kafka_group_join(r, f);
    }
    if (e) {
        atomic_fetch_sub(&q->reader_count, 1);
        reader_free(r);
        return e;
    }
    *out = (struct queue_reader *)(void *)r;
    return OK;
}

/* A broker that is away is not waited for, and a client that does not end (before 2.4, when an
 * assignment comes while it closes: issue 4527) is left to the end of the process, which is near. */
void kafka_reader_close(struct queue_reader *reader)
{
    struct kafka_reader *r = kafka_reader_of(reader);

    if (!kafka_group_leave(r, clock_us() + READER_CLOSE_US)) {
        rd_kafka_queue_t *q = rd_kafka_queue_get_consumer(r->rk);

        rd_kafka_queue_io_event_enable(q, -1, NULL, 0);
        rd_kafka_queue_destroy(q);
        log_warn("", "the consumer group was left without a word", "%s", "");
        r->rk = NULL;
    }
    reader_free(r);
}

/* -- offsets that are not there ------------------------------------------------------------------- */

/* True when it is found again. */
static bool reader_find(struct kafka_reader *r, unsigned p)
{
    int64_t low, high;
    rd_kafka_resp_err_t e = rd_kafka_query_watermark_offsets(
        r->rk, r->queue->settings->kafka_topic, (int32_t)p, &low, &high, READER_ANSWER_MS);

    if (e)
        return false;
    if (r->cursors[p] > (pos_t)high) {
        log_error("", "a partition is held: PostgreSQL has a position behind the topic's end",
                  "partition=%u position=%" PRIu64 " end=%" PRId64 " queue_id=%s remedy=%s", p,
                  r->cursors[p], high, r->queue->id,
                  "was the topic made again? stop all gateways and flushers, delete this queue_id "
                  "and partition from sluice.positions, start them");
        return false;
    }
    if (r->cursors[p] < (pos_t)low) {
        uint64_t gap = (uint64_t)low - r->cursors[p];

        log_error("", "the topic's retention removed entries before they were flushed",
                  "partition=%u entries=%" PRIu64, p, gap);
        r->lapses[p].end = r->cursors[p] = (pos_t)low;
        r->lapses[p].entries += gap;
        r->has_gap = true;
    }
    return kafka_group_read_again(r, p);
}

static void reader_find_astray(struct kafka_reader *r)
{
    uint64_t now_us = clock_us();

    if (r->astray == 0 || now_us < r->astray_at_us)
        return;
    r->astray_at_us = now_us + READER_ASTRAY_US;
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if ((r->astray >> p & 1) && reader_find(r, p)) {
            r->astray &= ~((uint64_t)1 << p);
            kafka_group_set_held(r, (uint64_t)1 << p, false);
        }
    }
}

/* -- gathering ------------------------------------------------------------------------------------ */

static void reader_hold(struct kafka_reader *r, unsigned p, pos_t pos, unsigned version)
{
    r->held |= (uint64_t)1 << p;
    kafka_group_set_held(r, (uint64_t)1 << p, true);
    log_error("", "a partition is held: a record of a newer version must wait for a newer program",
              "partition=%u offset=%" PRIu64 " version=%u known=%d", p, pos, version,
              RECORD_VERSION);
}

/* Reads the partition again from the cursor, at the next take. */
static void reader_set_astray(struct kafka_reader *r, uint64_t bit)
{
    r->astray |= bit;
    r->astray_at_us = 0;
    kafka_group_set_held(r, bit, true);
}

static void reader_keep(struct kafka_reader *r, const rd_kafka_message_t *m)
{
    struct str value = {m->payload ? m->payload : "", m->len};
    uint64_t bit = kafka_reader_bit(m->partition);
    unsigned p = (unsigned)m->partition;
    unsigned version;

    if (!(r->owned & bit & ~(r->held | r->astray)) || (pos_t)m->offset < r->cursors[p])
        return;
    if ((pos_t)m->offset > r->cursors[p] && r->gaps[p] != r->cursors[p] + 1 && !r->begins_at_end) {
        r->gaps[p] = r->cursors[p] + 1;
        reader_set_astray(r, bit);
        return;
    }
    if (kafka_prefix_read(value, &version))
        value = str_skip(value, KAFKA_PREFIX);
    /* What is not ours has version 0, which nobody reads: a dead letter, as any poison. */
    if (version > RECORD_VERSION) {
        reader_hold(r, p, (pos_t)m->offset, version);
        return;
    }
    if (r->count == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 256;
        r->entries = realloc(r->entries, r->cap * sizeof(*r->entries));
        check(r->entries);
    }
    r->entries[r->count++] = (struct entry){.pos = (pos_t)m->offset,
                                            .end = (pos_t)m->offset + 1,
                                            .partition = p,
                                            .version = version,
                                            .payload = arena_dup(&r->arena, value)};
    r->cursors[p] = (pos_t)m->offset + 1;
    r->points += record_points(value, version);
    r->bytes += value.n;
}

static void reader_see_error(struct kafka_reader *r, const rd_kafka_message_t *m)
{
    uint64_t bit = kafka_reader_bit(m->partition) & r->owned;

    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && bit) {
        reader_set_astray(r, bit);
        return;
    }
    log_warn("", "kafka consumer", "error=%s why=%s", rd_kafka_err2name(m->err),
             rd_kafka_message_errstr(m));
}

/* One message, if there is one. Partitions may come and go meanwhile. */
static bool reader_poll(struct kafka_reader *r)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(r->rk, 0);

    if (m == NULL)
        return false;
    if (m->err)
        reader_see_error(r, m);
    else
        reader_keep(r, m);
    rd_kafka_message_destroy(m);
    return true;
}

static bool reader_is_full(const struct kafka_reader *r, uint64_t max_points)
{
    return r->points >= max_points || r->bytes >= READER_TAKE_BYTES;
}

static bool reader_has_moved(const struct kafka_reader *r)
{
    return r->arriving != NULL || r->owned != r->told;
}

static void reader_gather(struct kafka_reader *r, const struct take_terms *terms)
{
    for (unsigned n = 1; !reader_is_full(r, terms->max_points) && reader_poll(r); n++) {
        if (n % READER_LOOK_UP == 0 && (atomic_load(&r->slot->is_woken) ||
                                        (r->count == 0 && clock_us() >= terms->deadline_us)))
            return;
    }
}

/* Does a read wait for what lies behind these cursors? */
static bool reader_is_wanted(const struct kafka_reader *r, const pos_t *cursors)
{
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if ((r->owned & ~(r->held | r->astray)) >> p & 1 &&
            atomic_load(&r->queue->parts[p].hurry) > cursors[p])
            return true;
    }
    return false;
}

/* The ends of the logs, as the last fetches told; true when there is more to read. */
static bool reader_see_ends(struct kafka_reader *r)
{
    struct kafka_queue *q = r->queue;
    bool has_more = false;

    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        int64_t low, high;

        if (!(r->owned >> p & 1) || r->arriving)
            continue;
        if (rd_kafka_get_watermark_offsets(r->rk, q->settings->kafka_topic, (int32_t)p, &low,
                                           &high) ||
            high < 0)
            continue;
        atomic_store(&q->parts[p].high, (pos_t)high);
        kafka_note(q, p);
        has_more |= !(r->held >> p & 1) && (pos_t)high > r->cursors[p];
    }
    return has_more && !atomic_load(&q->is_closing);
}

err_t kafka_reader_take(struct queue_reader *reader, struct take_terms terms, struct take *out,
                        struct fail *f)
{
    struct kafka_reader *r = kafka_reader_of(reader);
    struct kafka_queue *q = r->queue;
    bool is_hurried = false;

    (void)f;
    arena_reset(&r->arena);
    r->count = r->points = r->bytes = 0;
    memcpy(r->begin, r->cursors, sizeof(r->begin));
    reader_find_astray(r);
    while (!atomic_load(&q->is_closing)) {
        reader_gather(r, &terms);
        is_hurried |= reader_is_wanted(r, r->begin);
        if (reader_is_full(r, terms.max_points) || reader_has_moved(r) ||
            (is_hurried && !reader_is_wanted(r, r->cursors)))
            break;
        if (atomic_exchange(&r->slot->is_woken, false) || take_is_over(&terms, r->points))
            break;
        (void)inbox_wait(&r->slot->inbox, terms.deadline_us);
    }
    atomic_fetch_add(&q->read_entries, r->count);
    atomic_fetch_add(&q->read_points, r->points);
    *out = (struct take){.entries = r->entries,
                         .count = r->count,
                         .cursors = r->cursors,
                         .mask = r->owned,
                         .has_moved = reader_has_moved(r),
                         .has_gap = r->has_gap,
                         .is_hurried = is_hurried,
                         .has_more = reader_see_ends(r)};
    return OK;
}

void kafka_reader_wake(struct queue_reader *reader)
{
    struct kafka_reader *r = kafka_reader_of(reader);

    atomic_store(&r->slot->is_woken, true);
    inbox_ring(&r->slot->inbox);
}

/* Not when it is found: whoever gets the partition before this finds it as well. */
static void reader_count_lapse(struct kafka_reader *r, unsigned p, pos_t position)
{
    struct kafka_lapse *lapse = &r->lapses[p];

    if (lapse->entries == 0 || position < lapse->end)
        return;
    stat_add(r->queue->stats, kafka_expired, lapse->entries);
    lapse->entries = 0;
}

void kafka_reader_commit(struct queue_reader *reader, const pos_t *cursors, uint64_t points)
{
    struct kafka_reader *r = kafka_reader_of(reader);

    (void)points;
    r->has_gap = false;
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if (!(r->told >> p & 1))
            continue;
        reader_count_lapse(r, p, cursors[p]);
        tickets_reach(r->queue->tickets, p, cursors[p]);
        kafka_note(r->queue, p);
    }
    queue_tell(&r->queue->head);
}
