/*
 * kafka_reader: the flushers' side of the Kafka queue: one consumer for each flusher.
 *
 * All flushers of all pods are one consumer group, which deals out the partitions (cooperatively: those
 * that stay are read on). The group's own offsets are not used. A partition that comes waits
 * until the flusher has read its position in PostgreSQL:
 *
 *   --assigned--> ARRIVING --kafka_reader_begin(position)--> READ --revoked or lost--> gone
 *                                                             |
 *                     a record of a newer version --> HELD    |  not read on, the others are
 *                     an offset the log has not   --> ASTRAY  |  looked for again every 3 s
 *
 * A partition may be in two hands for a moment: a flusher that was stopped does not know yet that it
 * has lost it. That is harmless: both lock the position's row, the second finds it moved and leaves
 * out what is applied (flush/load.c). So nothing here waits for anybody, and what was gathered of a
 * partition that goes is simply dropped; its next reader begins at the position.
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
#include "ingest/queue_kafka.h"

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
    READER_ANSWER_MS = 2000,
    READER_CLOSE_MS = 50
};

#define READER_ASTRAY_US ((uint64_t)3 * 1000 * 1000)
#define READER_CLOSE_US  ((uint64_t)5 * 1000 * 1000)

struct kafka_reader {
    struct reader_head head;
    struct kafka_queue *queue;
    struct kafka_slot *slot;
    unsigned slot_number; /* + 1, as in kafka_part */
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *arriving; /* NULL: none */
    uint64_t owned;                            /* those that arrive included */
    uint64_t told;                             /* owned, as kafka_reader_begin last knew it */
    uint64_t held;
    uint64_t astray;
    uint64_t astray_at_us; /* when they are looked for again */
    bool was_assigned;     /* ever, if only nothing */
    bool is_closing;
    pos_t gaps[QUEUE_PARTITIONS_MAX];    /* the cursor + 1 at which a gap was asked about; 0 = none */
    pos_t cursors[QUEUE_PARTITIONS_MAX]; /* the next to hand out */
    pos_t begin[QUEUE_PARTITIONS_MAX];   /* cursors when this take began */
    struct arena arena;                  /* payloads of the last take */
    struct entry *entries;
    size_t count;
    size_t cap;
    uint64_t points; /* gathered by this take */
    uint64_t bytes;
};

static struct kafka_reader *reader_of(struct queue_reader *r)
{
    return (struct kafka_reader *)(void *)r;
}

static uint64_t bit_of(int32_t partition)
{
    return partition >= 0 && partition < QUEUE_PARTITIONS_MAX ? (uint64_t)1 << partition : 0;
}

/* All readers of the process write these two gauges, each time from the same masks. */
static void reader_gauge(struct kafka_queue *q)
{
    stat_set(q->stats, kafka_partitions,
             (uint64_t)__builtin_popcountll(atomic_load(&q->owned)));
    stat_set(q->stats, kafka_held_partitions,
             (uint64_t)__builtin_popcountll(atomic_load(&q->held)));
}

static void reader_set_held(struct kafka_reader *r, uint64_t mask, bool is_held)
{
    if (is_held)
        atomic_fetch_or(&r->queue->held, mask);
    else
        atomic_fetch_and(&r->queue->held, ~mask);
    reader_gauge(r->queue);
}

/* -- partitions come and go --------------------------------------------------------------------- */

static uint64_t list_mask(const rd_kafka_topic_partition_list_t *list)
{
    uint64_t mask = 0;

    for (int i = 0; i < list->cnt; i++)
        mask |= bit_of(list->elems[i].partition);
    return mask;
}

static void reader_drop_arriving(struct kafka_reader *r)
{
    if (r->arriving)
        rd_kafka_topic_partition_list_destroy(r->arriving);
    r->arriving = NULL;
}

/* What was gathered of them is the next reader's. */
static void reader_forget(struct kafka_reader *r, uint64_t mask)
{
    struct kafka_queue *q = r->queue;
    size_t kept = 0;

    mask &= r->owned;
    for (size_t i = 0; i < r->count; i++) {
        if (!(mask >> r->entries[i].partition & 1))
            r->entries[kept++] = r->entries[i];
    }
    r->count = kept;
    r->owned &= ~mask;
    r->held &= ~mask;
    r->astray &= ~mask;
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        unsigned mine = r->slot_number;

        /* Unless another flusher of this process has it already. */
        if ((mask >> p & 1) && atomic_compare_exchange_strong(&q->parts[p].slot, &mine, 0)) {
            atomic_store(&q->parts[p].high, 0);
            atomic_fetch_and(&q->owned, ~((uint64_t)1 << p));
        }
    }
    reader_set_held(r, mask, false);
}

static rd_kafka_resp_err_t reader_join(struct kafka_reader *r)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t e;

    rd_kafka_topic_partition_list_add(topics, r->queue->settings->kafka_topic,
                                      RD_KAFKA_PARTITION_UA);
    e = rd_kafka_subscribe(r->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return e;
}

/* For what cannot be done step by step: gives back everything and joins the group anew. */
static void reader_start_over(struct kafka_reader *r, const char *why)
{
    log_warn("", "all partitions are given back", "why=\"%s\"", why);
    reader_drop_arriving(r);
    reader_forget(r, UINT64_MAX);
    rd_kafka_unsubscribe(r->rk);
    if (!r->is_closing && reader_join(r))
        log_error("", "the consumer group cannot be joined", "%s", "");
}

/* Answers the group's word with the partitions as they are; offsets are set, or of no interest. */
static bool reader_assign(struct kafka_reader *r, const rd_kafka_topic_partition_list_t *list,
                          struct fail *f)
{
    rd_kafka_error_t *error = rd_kafka_incremental_assign(r->rk, list);

    if (error == NULL)
        return true;
    (void)fail(f, ERR_UNAVAILABLE, "the partitions could not be taken: %s",
               rd_kafka_error_string(error));
    reader_start_over(r, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

static void reader_on_assign(struct kafka_reader *r, const rd_kafka_topic_partition_list_t *list)
{
    r->was_assigned = true;
    if (r->is_closing) {
        (void)reader_assign(r, list, NULL);
        return;
    }
    /* The group waits for kafka_reader_begin, which assigns them with their positions. */
    reader_drop_arriving(r);
    r->arriving = rd_kafka_topic_partition_list_copy(list);
    r->owned |= list_mask(list);
}

/* Those that still arrive, and those that are not read at all, were never assigned: to take them
 * away would be an error, and the group would wait for another answer. */
static void reader_on_revoke(struct kafka_reader *r, rd_kafka_topic_partition_list_t *list)
{
    uint64_t never = r->arriving ? list_mask(r->arriving) : 0;
    rd_kafka_topic_partition_list_t *had = rd_kafka_topic_partition_list_new(list->cnt);
    rd_kafka_error_t *error;

    log_info("", "partitions go", "mask=%016" PRIx64 " lost=%d", list_mask(list),
             rd_kafka_assignment_lost(r->rk));
    for (int i = 0; i < list->cnt; i++) {
        if (bit_of(list->elems[i].partition) & ~never)
            rd_kafka_topic_partition_list_add(had, list->elems[i].topic, list->elems[i].partition);
    }
    if (never & list_mask(list))
        reader_drop_arriving(r);
    reader_forget(r, list_mask(list));
    if ((error = rd_kafka_incremental_unassign(r->rk, had))) {
        reader_start_over(r, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    rd_kafka_topic_partition_list_destroy(had);
}

/* Called by librdkafka within rd_kafka_consumer_poll, on the flusher's thread. */
static void reader_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t e,
                                rd_kafka_topic_partition_list_t *list, void *arg)
{
    struct kafka_reader *r = arg;

    (void)rk;
    if (e == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        reader_on_assign(r, list);
    else if (e == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        reader_on_revoke(r, list);
    else
        reader_start_over(r, rd_kafka_err2str(e));
}

err_t kafka_reader_begin(struct queue_reader *reader, const pos_t *from, struct fail *f)
{
    struct kafka_reader *r = reader_of(reader);
    struct kafka_queue *q = r->queue;
    uint64_t mask;

    if (r->arriving == NULL) {
        r->told = r->owned;
        return OK;
    }
    mask = list_mask(r->arriving);
    for (int i = r->arriving->cnt - 1; i >= 0; i--) {
        rd_kafka_topic_partition_t *at = &r->arriving->elems[i];

        if (bit_of(at->partition) == 0) {
            log_error("", "a partition that nobody writes to is not read", "partition=%d of=%d",
                      (int)at->partition, QUEUE_PARTITIONS_MAX);
            rd_kafka_topic_partition_list_del_by_idx(r->arriving, i);
            continue;
        }
        at->offset = (int64_t)from[at->partition];
        r->cursors[at->partition] = from[at->partition];
    }
    if (!reader_assign(r, r->arriving, f))
        return ERR_UNAVAILABLE;
    reader_drop_arriving(r);
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if (!(mask >> p & 1))
            continue;
        atomic_store(&q->parts[p].slot, r->slot_number);
        tickets_reach(q->tickets, p, from[p]);
        kafka_note(q, p);
    }
    atomic_fetch_or(&q->owned, mask);
    reader_gauge(q);
    queue_tell(&q->head);
    r->told = r->owned;
    log_info("", "partitions come", "mask=%016" PRIx64, mask);
    return OK;
}

/* -- open and close ----------------------------------------------------------------------------- */

static void reader_free(struct kafka_reader *r)
{
    reader_drop_arriving(r);
    if (r->rk)
        rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    arena_fini(&r->arena);
    free(r->entries);
    free(r);
}

static err_t reader_subscribe(struct kafka_reader *r, struct fail *f)
{
    static const uint64_t one = 1; /* what an eventfd takes */
    rd_kafka_queue_t *q;
    rd_kafka_resp_err_t e;

    rd_kafka_poll_set_consumer(r->rk);
    q = rd_kafka_queue_get_consumer(r->rk);
    rd_kafka_queue_io_event_enable(q, inbox_fd(&r->slot->inbox), &one, sizeof(one));
    rd_kafka_queue_destroy(q);
    e = reader_join(r);
    return e ? fail(f, ERR_UNAVAILABLE, "cannot subscribe: %s", rd_kafka_err2str(e)) : OK;
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
        rd_kafka_conf_set_rebalance_cb(conf, reader_on_rebalance);
        rd_kafka_conf_set_opaque(conf, r);
        e = kafka_client_new(conf, RD_KAFKA_CONSUMER, &r->rk, f);
    }
    if (!e)
        e = reader_subscribe(r, f);
    if (e) {
        atomic_fetch_sub(&q->reader_count, 1);
        reader_free(r);
        return e;
    }
    *out = (struct queue_reader *)(void *)r;
    return OK;
}

static void reader_serve(struct kafka_reader *r)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(r->rk, READER_CLOSE_MS);

    if (m)
        rd_kafka_message_destroy(m);
}

/* Before 2.3 librdkafka aborts when a client is destroyed that waits for its first assignment (its
 * issue 4312): so that is waited for. */
static bool reader_may_close(struct kafka_reader *r, uint64_t until_us)
{
    if (rd_kafka_version() >= 0x02030000)
        return true;
    while (!r->was_assigned && clock_us() < until_us)
        reader_serve(r);
    return r->was_assigned;
}

/* Leaves the group, so that the others need not wait for the session's end. */
static bool reader_leave(struct kafka_reader *r, uint64_t until_us)
{
    rd_kafka_queue_t *q = rd_kafka_queue_get_consumer(r->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(r->rk, q);

    rd_kafka_queue_destroy(q);
    if (error) {
        rd_kafka_error_destroy(error);
        return false;
    }
    while (!rd_kafka_consumer_closed(r->rk) && clock_us() < until_us)
        reader_serve(r);
    return rd_kafka_consumer_closed(r->rk);
}

/* A broker that is away is not waited for, and a client that does not end (before 2.4, when an
 * assignment comes while it closes: issue 4527) is left to the end of the process, which is near. */
void kafka_reader_close(struct queue_reader *reader)
{
    struct kafka_reader *r = reader_of(reader);
    uint64_t until = clock_us() + READER_CLOSE_US;

    r->is_closing = true;
    if (r->arriving) /* the group waits for this word */
        (void)reader_assign(r, r->arriving, NULL);
    reader_drop_arriving(r);
    if (!reader_may_close(r, until) || !reader_leave(r, until)) {
        rd_kafka_queue_t *q = rd_kafka_queue_get_consumer(r->rk);

        rd_kafka_queue_io_event_enable(q, -1, NULL, 0);
        rd_kafka_queue_destroy(q);
        log_warn("", "the consumer group was left without a word", "%s", "");
        r->rk = NULL;
    }
    reader_forget(r, UINT64_MAX);
    reader_free(r);
}

/* -- offsets that are not there ------------------------------------------------------------------- */

/* Sets where the partition is read on. */
static bool reader_seek(struct kafka_reader *r, unsigned p, pos_t pos)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error;

    rd_kafka_topic_partition_list_add(list, r->queue->settings->kafka_topic, (int32_t)p)->offset =
        (int64_t)pos;
    error = rd_kafka_seek_partitions(r->rk, list, READER_ANSWER_MS);
    bool is_good = !error && list->elems[0].err == 0;

    if (error)
        rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(list);
    return is_good;
}

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
                  "partition=%u position=%" PRIu64 " end=%" PRId64
                  " remedy=\"was the topic made again? delete queue_id %s, partition %u from "
                  "sluice.positions and restart\"",
                  p, r->cursors[p], high, r->queue->id, p);
        return false;
    }
    if (r->cursors[p] < (pos_t)low) {
        uint64_t gap = (uint64_t)low - r->cursors[p];

        log_error("", "the topic's retention removed entries before they were flushed",
                  "partition=%u entries=%" PRIu64, p, gap);
        stat_add(r->queue->stats, kafka_expired, gap);
        r->cursors[p] = (pos_t)low;
    }
    return reader_seek(r, p, r->cursors[p]);
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
            reader_set_held(r, (uint64_t)1 << p, false);
        }
    }
}

/* -- gathering ------------------------------------------------------------------------------------ */

static void reader_hold(struct kafka_reader *r, unsigned p, pos_t pos, unsigned version)
{
    r->held |= (uint64_t)1 << p;
    reader_set_held(r, (uint64_t)1 << p, true);
    log_error("", "a partition is held: a record of a newer version must wait for a newer program",
              "partition=%u offset=%" PRIu64 " version=%u known=%d", p, pos, version,
              RECORD_VERSION);
}

/* Reads the partition again from the cursor, at the next take. */
static void reader_set_astray(struct kafka_reader *r, uint64_t bit)
{
    r->astray |= bit;
    r->astray_at_us = 0;
    reader_set_held(r, bit, true);
}

static void reader_keep(struct kafka_reader *r, const rd_kafka_message_t *m)
{
    struct str value = {m->payload ? m->payload : "", m->len};
    uint64_t bit = bit_of(m->partition);
    unsigned p = (unsigned)m->partition;
    unsigned version;

    if (!(r->owned & bit & ~(r->held | r->astray)) || (pos_t)m->offset < r->cursors[p])
        return;
    if ((pos_t)m->offset > r->cursors[p] && r->gaps[p] != r->cursors[p] + 1) {
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
    uint64_t bit = bit_of(m->partition) & r->owned;

    if (m->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET && bit) {
        reader_set_astray(r, bit);
        return;
    }
    log_warn("", "kafka consumer", "error=%s why=\"%s\"", rd_kafka_err2name(m->err),
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

static void reader_gather(struct kafka_reader *r, uint64_t max_points, uint64_t deadline_us)
{
    for (unsigned n = 1; !reader_is_full(r, max_points) && reader_poll(r); n++) {
        if (n % READER_LOOK_UP == 0 &&
            (atomic_load(&r->slot->is_woken) || clock_us() >= deadline_us))
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

err_t kafka_reader_take(struct queue_reader *reader, uint64_t max_points, uint64_t deadline_us,
                        struct take *out, struct fail *f)
{
    struct kafka_reader *r = reader_of(reader);
    struct kafka_queue *q = r->queue;
    bool is_hurried = false;

    (void)f;
    max_points = max_points > 0 ? max_points : 1;
    arena_reset(&r->arena);
    r->count = r->points = r->bytes = 0;
    memcpy(r->begin, r->cursors, sizeof(r->begin));
    reader_find_astray(r);
    while (!atomic_load(&q->is_closing)) {
        reader_gather(r, max_points, deadline_us);
        is_hurried |= reader_is_wanted(r, r->begin);
        if (reader_is_full(r, max_points) || reader_has_moved(r) ||
            (is_hurried && !reader_is_wanted(r, r->cursors)))
            break;
        if (atomic_exchange(&r->slot->is_woken, false) || clock_us() >= deadline_us)
            break;
        (void)inbox_wait(&r->slot->inbox, deadline_us);
    }
    atomic_fetch_add(&q->read_entries, r->count);
    atomic_fetch_add(&q->read_points, r->points);
    *out = (struct take){.entries = r->entries,
                         .count = r->count,
                         .cursors = r->cursors,
                         .mask = r->owned,
                         .has_moved = reader_has_moved(r),
                         .is_hurried = is_hurried,
                         .has_more = reader_see_ends(r)};
    return OK;
}

void kafka_reader_wake(struct queue_reader *reader)
{
    struct kafka_reader *r = reader_of(reader);

    atomic_store(&r->slot->is_woken, true);
    inbox_ring(&r->slot->inbox);
}

void kafka_reader_commit(struct queue_reader *reader, const pos_t *cursors, uint64_t points)
{
    struct kafka_reader *r = reader_of(reader);

    (void)points;
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if (!(r->told >> p & 1))
            continue;
        tickets_reach(r->queue->tickets, p, cursors[p]);
        kafka_note(r->queue, p);
    }
    queue_tell(&r->queue->head);
}
