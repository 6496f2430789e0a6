/*
 * kafka_group: which partitions this flusher reads, as the consumer group deals them out.
 *
 * All flushers of all pods are one group, which deals cooperatively: partitions that stay are read on.
 * The group's own offsets are not used. A partition that comes waits until the flusher has read its
 * position in PostgreSQL:
 *
 *   --assigned--> ARRIVING --kafka_reader_begin(position)--> READ --revoked or lost--> gone
 *
 * A partition may be in two hands for a moment: a flusher that was stopped does not know yet that it
 * has lost it. That is harmless: both lock the position's row, the second finds it moved and leaves
 * out what is applied (flush/load.c). So nothing here waits for anybody, and what was gathered of a
 * partition that goes is simply dropped; its next reader begins at the position.
 *
 * The group waits for an answer to each of its words. What cannot be answered step by step ends with
 * giving everything back and joining anew.
 *
 * SLUICE_TEST_BEGIN_AT_END=1 breaks the promise on purpose: partitions are read from their ends,
 * wherever PostgreSQL's positions are. The pods suite must notice.
 */
#include "ingest/kafka_reader.h"

#include <inttypes.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "schema/errors.h"

enum { GROUP_SERVE_MS = 50 };

/* -- masks --------------------------------------------------------------------------------------- */

/* All readers of the process write these two gauges, each time from the same masks. */
static void group_gauge(struct kafka_queue *q)
{
    stat_set(q->stats, kafka_partitions, (uint64_t)__builtin_popcountll(atomic_load(&q->owned)));
    stat_set(q->stats, kafka_held_partitions,
             (uint64_t)__builtin_popcountll(atomic_load(&q->held)));
}

void kafka_group_set_held(struct kafka_reader *r, uint64_t mask, bool is_held)
{
    if (is_held)
        atomic_fetch_or(&r->queue->held, mask);
    else
        atomic_fetch_and(&r->queue->held, ~mask);
    group_gauge(r->queue);
}

/* -- partitions come and go --------------------------------------------------------------------- */

static uint64_t group_mask(const rd_kafka_topic_partition_list_t *list)
{
    uint64_t mask = 0;

    for (int i = 0; i < list->cnt; i++)
        mask |= kafka_reader_bit(list->elems[i].partition);
    return mask;
}

static void group_drop_arriving(struct kafka_reader *r)
{
    if (r->arriving)
        rd_kafka_topic_partition_list_destroy(r->arriving);
    r->arriving = NULL;
}

/* What was gathered of them is the next reader's. Their cursors are behind it: should one be ours again
 * without kafka_reader_begin, no position may follow them, and none follows 0. */
static void group_forget(struct kafka_reader *r, uint64_t mask)
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

        if (mask >> p & 1)
            r->cursors[p] = 0;
        /* Unless another flusher of this process has it already. */
        if ((mask >> p & 1) && atomic_compare_exchange_strong(&q->parts[p].slot, &mine, 0)) {
            atomic_store(&q->parts[p].high, 0);
            atomic_fetch_and(&q->owned, ~((uint64_t)1 << p));
        }
    }
    kafka_group_set_held(r, mask, false);
}

static rd_kafka_resp_err_t group_subscribe(struct kafka_reader *r)
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
static void group_start_over(struct kafka_reader *r, const char *why)
{
    log_warn("", "all partitions are given back", "why=%s", why);
    group_drop_arriving(r);
    group_forget(r, UINT64_MAX);
    rd_kafka_unsubscribe(r->rk);
    if (!r->is_closing && group_subscribe(r))
        log_error("", "the consumer group cannot be joined", "%s", "");
}

/* Answers the group's word with the partitions as they are; offsets are set, or of no interest. */
static bool group_assign(struct kafka_reader *r, const rd_kafka_topic_partition_list_t *list,
                         struct fail *f)
{
    rd_kafka_error_t *error = rd_kafka_incremental_assign(r->rk, list);

    if (error == NULL)
        return true;
    (void)fail(f, ERR_UNAVAILABLE, "the partitions could not be taken: %s",
               rd_kafka_error_string(error));
    group_start_over(r, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

static void group_on_assign(struct kafka_reader *r, const rd_kafka_topic_partition_list_t *list)
{
    r->was_assigned = true;
    if (r->is_closing) {
        (void)group_assign(r, list, NULL);
        return;
    }
    /* The group waits for kafka_reader_begin, which assigns them with their positions. */
    group_drop_arriving(r);
    r->arriving = rd_kafka_topic_partition_list_copy(list);
    r->owned |= group_mask(list);
}

/* Those that still arrive, and those that are not read at all, were never assigned: to take them
 * away would be an error, and the group would wait for another answer. */
static void group_on_revoke(struct kafka_reader *r, rd_kafka_topic_partition_list_t *list)
{
    uint64_t never = r->arriving ? group_mask(r->arriving) : 0;
    rd_kafka_topic_partition_list_t *had = rd_kafka_topic_partition_list_new(list->cnt);
    rd_kafka_error_t *error;

    log_info("", "partitions go", "mask=%016" PRIx64 " lost=%d", group_mask(list),
             rd_kafka_assignment_lost(r->rk));
    for (int i = 0; i < list->cnt; i++) {
        if (kafka_reader_bit(list->elems[i].partition) & ~never)
            rd_kafka_topic_partition_list_add(had, list->elems[i].topic, list->elems[i].partition);
    }
    if (never & group_mask(list))
        group_drop_arriving(r);
    group_forget(r, group_mask(list));
    if ((error = rd_kafka_incremental_unassign(r->rk, had))) {
        group_start_over(r, rd_kafka_error_string(error));
        rd_kafka_error_destroy(error);
    }
    rd_kafka_topic_partition_list_destroy(had);
}

/* Called by librdkafka within rd_kafka_consumer_poll, on the flusher's thread. */
static void group_on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t e,
                               rd_kafka_topic_partition_list_t *list, void *arg)
{
    struct kafka_reader *r = arg;

    (void)rk;
    if (e == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        group_on_assign(r, list);
    else if (e == RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS)
        group_on_revoke(r, list);
    else
        group_start_over(r, rd_kafka_err2str(e));
}

void kafka_group_hear(struct kafka_reader *r, rd_kafka_conf_t *conf)
{
    r->begins_at_end = fault_switch("SLUICE_TEST_BEGIN_AT_END");
    rd_kafka_conf_set_rebalance_cb(conf, group_on_rebalance);
    rd_kafka_conf_set_opaque(conf, r);
}

err_t kafka_group_join(struct kafka_reader *r, struct fail *f)
{
    rd_kafka_resp_err_t e = group_subscribe(r);

    return e ? fail(f, ERR_UNAVAILABLE, "cannot subscribe: %s", rd_kafka_err2str(e)) : OK;
}

err_t kafka_reader_begin(struct queue_reader *reader, const pos_t *from, struct fail *f)
{
    struct kafka_reader *r = kafka_reader_of(reader);
    struct kafka_queue *q = r->queue;
    uint64_t mask;

    if (r->arriving == NULL) {
        r->told = r->owned;
        return OK;
    }
    mask = group_mask(r->arriving);
    for (int i = r->arriving->cnt - 1; i >= 0; i--) {
        rd_kafka_topic_partition_t *at = &r->arriving->elems[i];

        if (kafka_reader_bit(at->partition) == 0) {
            log_error("", "a partition that nobody writes to is not read", "partition=%d of=%d",
                      (int)at->partition, QUEUE_PARTITIONS_MAX);
            rd_kafka_topic_partition_list_del_by_idx(r->arriving, i);
            continue;
        }
        at->offset = r->begins_at_end ? RD_KAFKA_OFFSET_END : (int64_t)from[at->partition];
        r->cursors[at->partition] = from[at->partition];
        r->lapses[at->partition].entries = 0;
    }
    if (!group_assign(r, r->arriving, f))
        return ERR_UNAVAILABLE;
    group_drop_arriving(r);
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if (!(mask >> p & 1))
            continue;
        atomic_store(&q->parts[p].slot, r->slot_number);
        tickets_reach(q->tickets, p, from[p]);
        kafka_note(q, p);
    }
    atomic_fetch_or(&q->owned, mask);
    group_gauge(q);
    queue_tell(&q->head);
    r->told = r->owned;
    log_info("", "partitions come", "mask=%016" PRIx64, mask);
    return OK;
}

/* The partition is given back and taken anew, which the group does not hear of. A seek would do, were it
 * not that librdkafka (2.0) refuses one while it does not fetch, and it stops fetching where an offset is
 * not in the log. */
bool kafka_group_read_again(struct kafka_reader *r, unsigned p)
{
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_error_t *error;

    if (r->arriving) /* the group waits for a word, and would take this for it */
        return false;
    list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_topic_partition_list_add(list, r->queue->settings->kafka_topic, (int32_t)p)->offset =
        (int64_t)r->cursors[p];
    if ((error = rd_kafka_incremental_unassign(r->rk, list)) == NULL)
        error = rd_kafka_incremental_assign(r->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (error == NULL)
        return true;
    group_start_over(r, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return false;
}

/* -- leaving -------------------------------------------------------------------------------------- */

static void group_serve(struct kafka_reader *r)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(r->rk, GROUP_SERVE_MS);

    if (m)
        rd_kafka_message_destroy(m);
}

/* Before 2.3 librdkafka aborts when a client is destroyed that waits for its first assignment (its
 * issue 4312): so that is waited for. */
static bool group_may_close(struct kafka_reader *r, uint64_t until_us)
{
    if (rd_kafka_version() >= 0x02030000)
        return true;
    while (!r->was_assigned && clock_us() < until_us)
        group_serve(r);
    return r->was_assigned;
}

/* Leaves the group, so that the others need not wait for the session's end. */
static bool group_close(struct kafka_reader *r, uint64_t until_us)
{
    rd_kafka_queue_t *q = rd_kafka_queue_get_consumer(r->rk);
    rd_kafka_error_t *error = rd_kafka_consumer_close_queue(r->rk, q);

    rd_kafka_queue_destroy(q);
    if (error) {
        rd_kafka_error_destroy(error);
        return false;
    }
    while (!rd_kafka_consumer_closed(r->rk) && clock_us() < until_us)
        group_serve(r);
    return rd_kafka_consumer_closed(r->rk);
}

bool kafka_group_leave(struct kafka_reader *r, uint64_t until_us)
{
    bool has_left;

    r->is_closing = true;
    if (r->arriving) /* the group waits for this word */
        (void)group_assign(r, r->arriving, NULL);
    group_drop_arriving(r);
    has_left = group_may_close(r, until_us) && group_close(r, until_us);
    group_forget(r, UINT64_MAX);
    return has_left;
}

void kafka_group_fini(struct kafka_reader *r)
{
    group_drop_arriving(r);
}
