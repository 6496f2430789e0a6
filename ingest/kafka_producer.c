/*
 * kafka_producer: a message is a key, the run id, and a value:
 *
 *   0  'S' 'L'          ours
 *   2  version          of the record, uint16, little-endian
 *   4  record           msgpack, as the journal has it (schema/record.c)
 *
 * Append. The record is encoded in the writer's own memory, a ticket taken, and the message handed to
 * librdkafka, which copies it, gathers batches and sends them with acks=all and sequence
 * numbers. The courier polls; each report settles one ticket, each poll ends with one ring.
 *
 * A report that is an error means that the message may be in the log or not (a request that timed out
 * in flight is answered by nobody): the client is told 503 and sends again, and the primary key
 * makes one row of the two. Nothing is sent again by us: librdkafka has tried for
 * message.timeout.ms. But for a report that is no error and names no offset: the broker took the
 * sequence number for one that it has had, and keeps nothing. It may be right (a batch that was sent again), or it is
 * wrong, and then the entry is nowhere: so it is sent once more, and only an offset settles its ticket.
 *
 *    HEALTHY --a report fails, or all brokers are down and a question goes unanswered--> SICK
 *    SICK    --a question for the topic is answered, with all leaders, each with as many replicas
 *              in sync as the topic asks for--> HEALTHY
 *    any     --librdkafka calls its error fatal--> RENEWING --a new client--> HEALTHY
 *
 * While it is not healthy, writers are refused at the door: waiting for a timeout each would hold
 * 10 s of requests. A fatal error (the broker has forgotten our sequence, or fenced the producer id)
 * ends an idempotent client for good, and another takes its place. Writers are between two words
 * then: each says is_in before it looks at is_healthy and takes it back after producing, so once
 * is_healthy is false and nobody is in, the client is the courier's alone. All of these are
 * sequentially consistent.
 *
 * SLUICE_TEST_ACK_EARLY=1 breaks the promise on purpose: tickets are settled as soon as they are
 * produced. So does SLUICE_TEST_ACK_FAILED=1: an error in a report is taken for none. The pods suite
 * must notice both.
 *
 * Memory: what is in flight is bounded by ring_bytes, and by the table of tickets.
 */
#define _GNU_SOURCE /* pthread_setname_np */
#include "ingest/kafka_producer.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "ingest/kafka_conf.h"
#include "schema/errors.h"
#include "schema/record.h"

enum {
    PRODUCER_SCRATCH = 16 << 10, /* a writer's first; grows with its largest batch */
    PRODUCER_POLL_MS = 100,
    PRODUCER_ASK_MS = 500,
    PRODUCER_AGAIN = 1000, /* reports without an offset in a row, until nothing is sent once more */
    PRODUCER_OVERHEAD = 128,   /* of one message, in memory */
    PRODUCER_RESERVE_PART = 8, /* this part of the memory is kept for those already admitted */
    PRODUCER_MESSAGE_MAX = 1000000
};

#define PRODUCER_STOP_US ((uint64_t)15 * 1000 * 1000)

/* One appending thread's own line. */
struct writer {
    _Atomic bool is_in; /* between looking at is_healthy and the end of producing */
    _Atomic uint64_t entries;
    _Atomic uint64_t points;
    char *scratch;
    size_t scratch_bytes;
} __attribute__((aligned(64)));

struct kafka_producer {
    struct kafka_producer_config config;
    rd_kafka_t *rk;          /* the courier's to change, when nobody is in */
    rd_kafka_topic_t *topic; /* of rk */
    struct writer *writers;
    uint64_t bytes_max;   /* in flight */
    uint64_t message_max; /* bytes of a value */
    pthread_t thread;
    bool has_thread;
    bool is_early;     /* a test breaks the promise on purpose: answered before the report, */
    bool is_trustful;  /* or whatever the report says */
    unsigned unplaced; /* reports without an offset since the last one with */
    _Atomic bool is_stopping;
    _Atomic uint64_t stop_by_us; /* then what waits is given up; UINT64_MAX at first */
    _Atomic bool is_healthy;
    _Atomic uint64_t bytes; /* in flight */
    _Atomic uint64_t waiting;
    /* the courier's */
    bool is_suspect;
    bool is_fatal;
    uint64_t reports; /* since subscribers were told */
};

bool kafka_prefix_read(struct str value, unsigned *version)
{
    const unsigned char *p = (const unsigned char *)value.p;

    *version = 0;
    if (value.n < KAFKA_PREFIX || p[0] != 'S' || p[1] != 'L')
        return false;
    *version = (unsigned)(p[2] | p[3] << 8);
    return true;
}

static void prefix_write(char *out)
{
    out[0] = 'S';
    out[1] = 'L';
    out[2] = (char)(RECORD_VERSION & 0xff);
    out[3] = (char)(RECORD_VERSION >> 8);
}

/* -- reports ----------------------------------------------------------------------------------- */

/* Says something about one message, and nothing about the brokers? */
static bool is_about_message(rd_kafka_resp_err_t e)
{
    return e == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || e == RD_KAFKA_RESP_ERR_INVALID_MSG ||
           e == RD_KAFKA_RESP_ERR_INVALID_RECORD;
}

static uint64_t message_cost(size_t value_bytes)
{
    return value_bytes + PRODUCER_OVERHEAD;
}

/* True when it is on its way once more, with the ticket that it had. */
static bool report_is_doubted(struct kafka_producer *p, const rd_kafka_message_t *m)
{
    if (m->err || m->offset >= 0) {
        p->unplaced = m->err ? p->unplaced : 0;
        return false;
    }
    stat_add(p->config.stats, kafka_unplaced, 1);
    log_warn("", "an entry was acknowledged without its place: it is sent once more",
             "partition=%d", (int)m->partition);
    return ++p->unplaced <= PRODUCER_AGAIN &&
           rd_kafka_produce(m->rkt, m->partition, RD_KAFKA_MSG_F_COPY, m->payload, m->len, m->key,
                            m->key_len, m->_private) == 0;
}

static void producer_on_report(rd_kafka_t *rk, const rd_kafka_message_t *m, void *arg)
{
    struct kafka_producer *p = arg;
    pos_t ticket = (pos_t)(uintptr_t)m->_private;
    int64_t offset = !m->err ? m->offset : p->is_trustful ? 0 : -1;

    (void)rk;
    if (report_is_doubted(p, m))
        return;
    if (m->err) {
        stat_add(p->config.stats, kafka_failures, 1);
        log_warn("", "an entry could not be delivered, its writer is told", "partition=%d why=%s",
                 (int)m->partition, rd_kafka_err2str(m->err));
        if (!is_about_message(m->err)) {
            atomic_store(&p->is_healthy, false);
            p->is_suspect = true;
        }
    } else {
        stat_add(p->config.stats, kafka_delivered, 1);
    }
    if (!p->is_early)
        tickets_settle(p->config.tickets, ticket, offset >= 0, offset >= 0 ? (pos_t)offset : 0);
    atomic_fetch_sub(&p->bytes, message_cost(m->len));
    atomic_fetch_sub(&p->waiting, 1);
    p->reports++;
}

static void producer_on_error(rd_kafka_t *rk, int error, const char *why, void *arg)
{
    struct kafka_producer *p = arg;

    (void)rk;
    if (error == RD_KAFKA_RESP_ERR__FATAL)
        p->is_fatal = true;
    else if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        p->is_suspect = true;
    log_warn("", "kafka", "error=%s why=%s", rd_kafka_err2name((rd_kafka_resp_err_t)error), why);
}

/* -- the client ------------------------------------------------------------------------------- */

static err_t producer_new_client(struct kafka_producer *p, struct fail *f)
{
    rd_kafka_conf_t *conf;
    char number[32];
    err_t e;

    if ((e = kafka_conf_new(p->config.settings, &conf, f)))
        return e;
    /* Ours come first: beyond them librdkafka would be full before we say so. */
    snprintf(number, sizeof(number), "%llu", (unsigned long long)(p->bytes_max / 512));
    kafka_conf_set(conf, "queue.buffering.max.kbytes", number);
    snprintf(number, sizeof(number), "%llu", (unsigned long long)(p->message_max + 1024));
    kafka_conf_set(conf, "message.max.bytes", number);
    rd_kafka_conf_set_dr_msg_cb(conf, producer_on_report);
    rd_kafka_conf_set_error_cb(conf, producer_on_error);
    rd_kafka_conf_set_opaque(conf, p);
    if ((e = kafka_client_new(conf, RD_KAFKA_PRODUCER, &p->rk, f)))
        return e;
    p->topic = rd_kafka_topic_new(p->rk, p->config.settings->kafka_topic, NULL);
    check(p->topic);
    return OK;
}

static void producer_drop_client(struct kafka_producer *p)
{
    if (p->topic)
        rd_kafka_topic_destroy(p->topic);
    if (p->rk)
        rd_kafka_destroy(p->rk);
    p->topic = NULL;
    p->rk = NULL;
}

/* Gives up what is on its way: each message gets its report. */
static void producer_purge(struct kafka_producer *p)
{
    rd_kafka_purge(p->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (rd_kafka_outq_len(p->rk) > 0 && atomic_load(&p->waiting) > 0)
        rd_kafka_poll(p->rk, PRODUCER_POLL_MS);
}

/* -- the courier -------------------------------------------------------------------------------- */

static void courier_renew(struct kafka_producer *p)
{
    struct fail f;

    atomic_store(&p->is_healthy, false);
    for (unsigned i = 0; i < p->config.writers; i++) {
        while (atomic_load(&p->writers[i].is_in))
            sched_yield();
    }
    log_error("", "the Kafka client has failed for good: another takes its place", "%s", "");
    stat_add(p->config.stats, kafka_renewals, 1);
    producer_purge(p);
    producer_drop_client(p);
    fail_init(&f, NULL);
    if (producer_new_client(p, &f))
        check_failed("settings that were good once", __FILE__, __LINE__);
    p->is_fatal = false;
    p->is_suspect = true;
}

/* Has every partition a leader, and enough replicas beside it? One that has not would take a message
 * and hold it until it times out. */
static bool courier_ask(const struct kafka_producer *p)
{
    const struct rd_kafka_metadata *md;
    bool is_good;

    if (rd_kafka_metadata(p->rk, 0, p->topic, &md, PRODUCER_ASK_MS))
        return false;
    is_good = md->topic_cnt == 1 && !md->topics[0].err;
    for (int i = 0; is_good && i < md->topics[0].partition_cnt; i++)
        is_good = md->topics[0].partitions[i].leader >= 0 &&
                  md->topics[0].partitions[i].isr_cnt >= (int)p->config.topic->in_sync;
    rd_kafka_metadata_destroy(md);
    return is_good;
}

static void courier_probe(struct kafka_producer *p)
{
    bool was_healthy = atomic_load(&p->is_healthy);
    bool is_healthy = courier_ask(p);

    p->is_suspect = !is_healthy;
    atomic_store(&p->is_healthy, is_healthy);
    if (was_healthy == is_healthy)
        return;
    if (is_healthy)
        log_info("", "Kafka takes writes again", "%s", "");
    else
        log_error("", "Kafka does not answer: writes are refused", "%s", "");
}

static void courier_tell(struct kafka_producer *p)
{
    if (p->reports == 0)
        return;
    p->reports = 0;
    queue_tell(p->config.head);
}

static void *courier_main(void *arg)
{
    struct kafka_producer *p = arg;

    while (!atomic_load(&p->is_stopping) || atomic_load(&p->waiting) > 0) {
        if (clock_us() > atomic_load(&p->stop_by_us))
            producer_purge(p);
        /* What is suspected is looked into at once; a sick one is asked about at leisure. */
        rd_kafka_poll(p->rk, p->is_suspect && atomic_load(&p->is_healthy) ? 1 : PRODUCER_POLL_MS);
        courier_tell(p);
        if (p->is_fatal)
            courier_renew(p);
        if (p->is_suspect && !atomic_load(&p->is_stopping))
            courier_probe(p);
    }
    courier_tell(p);
    return NULL;
}

static err_t courier_start(struct kafka_producer *p, struct fail *f)
{
    sigset_t all, before;
    int error;

    sigfillset(&all); /* signals are for the main thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&p->thread, NULL, courier_main, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return fail(f, ERR_INTERNAL, "the courier thread cannot start: %s", strerror(error));
    pthread_setname_np(p->thread, "courier");
    p->has_thread = true;
    return OK;
}

/* -- life --------------------------------------------------------------------------------------- */

err_t kafka_producer_open(const struct kafka_producer_config *c, struct kafka_producer **out,
                          struct fail *f)
{
    struct kafka_producer *p = calloc(1, sizeof(*p));
    err_t e;

    *out = NULL;
    check(p);
    p->config = *c;
    p->bytes_max = c->settings->ring_bytes;
    p->message_max =
        c->topic->message_max_bytes ? c->topic->message_max_bytes : PRODUCER_MESSAGE_MAX;
    /* The broker's limit is that of a batch; a batch of one has about 100 bytes of its own. */
    p->message_max -= p->message_max > 2048 ? 1024 : 0;
    p->writers = aligned_alloc(64, (c->writers + 1) * sizeof(*p->writers));
    check(p->writers);
    memset(p->writers, 0, (c->writers + 1) * sizeof(*p->writers));
    atomic_init(&p->is_healthy, true);
    atomic_init(&p->stop_by_us, UINT64_MAX);
    p->is_early = fault_switch("SLUICE_TEST_ACK_EARLY");
    p->is_trustful = fault_switch("SLUICE_TEST_ACK_FAILED");
    if ((e = producer_new_client(p, f)) || (e = courier_start(p, f))) {
        kafka_producer_close(p);
        return e;
    }
    *out = p;
    return OK;
}

void kafka_producer_stop(struct kafka_producer *p)
{
    if (!p->has_thread)
        return;
    atomic_store(&p->stop_by_us, clock_us() + PRODUCER_STOP_US);
    atomic_store(&p->is_stopping, true);
    check(pthread_join(p->thread, NULL) == 0);
    p->has_thread = false;
}

void kafka_producer_close(struct kafka_producer *p)
{
    if (!p)
        return;
    kafka_producer_stop(p);
    producer_drop_client(p);
    for (unsigned i = 0; i < p->config.writers; i++)
        free(p->writers[i].scratch);
    free(p->writers);
    free(p);
}

/* -- writers ------------------------------------------------------------------------------------ */

#define WORDS_SICK "Kafka does not take writes at the moment"

bool kafka_producer_is_healthy(const struct kafka_producer *p)
{
    return atomic_load(&p->is_healthy);
}

uint64_t kafka_producer_waiting(const struct kafka_producer *p)
{
    return atomic_load(&p->waiting);
}

void kafka_producer_count(const struct kafka_producer *p, uint64_t *entries, uint64_t *points)
{
    *entries = *points = 0;
    for (unsigned i = 0; i < p->config.writers; i++) {
        *entries += atomic_load(&p->writers[i].entries);
        *points += atomic_load(&p->writers[i].points);
    }
}

static err_t producer_check_room(const struct kafka_producer *p, uint64_t bytes, uint64_t spare,
                                 struct fail *f)
{
    if (atomic_load(&p->is_stopping))
        return fail(f, ERR_CLOSING, "The server is shutting down");
    if (!atomic_load(&p->is_healthy))
        return fail(f, ERR_UNAVAILABLE, WORDS_SICK);
    if (atomic_load(&p->bytes) + bytes + spare > p->bytes_max)
        return fail(f, ERR_BUSY, "The queue is full: Kafka is behind");
    return OK;
}

err_t kafka_producer_room(const struct kafka_producer *p, size_t bytes, struct fail *f)
{
    uint64_t most = p->bytes_max / 2; /* a body of blanks may be longer than its record */

    return producer_check_room(p, bytes < most ? bytes : most, p->bytes_max / PRODUCER_RESERVE_PART,
                               f);
}

static char *writer_scratch(struct writer *w, size_t n)
{
    if (n > w->scratch_bytes) {
        w->scratch_bytes = n > PRODUCER_SCRATCH ? n : PRODUCER_SCRATCH;
        free(w->scratch);
        w->scratch = malloc(w->scratch_bytes);
        check(w->scratch);
    }
    return w->scratch;
}

static err_t producer_refused(rd_kafka_resp_err_t e, size_t bytes, struct fail *f)
{
    switch (e) {
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return fail(f, ERR_BUSY, "The queue is full: Kafka is behind");
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return fail(f, ERR_HTTP_TOO_LARGE,
                    "The batch takes %zu bytes, which the topic's max.message.bytes does not allow",
                    bytes);
    default: return fail(f, ERR_UNAVAILABLE, WORDS_SICK);
    }
}

/* The writer is in. */
static err_t writer_produce(struct kafka_producer *p, struct str value, const struct run_id *run,
                            pos_t *end, struct fail *f)
{
    struct str key = run_id_str(run);
    unsigned partition = (unsigned)(queue_hash(key) % p->config.topic->partitions);
    pos_t ticket;

    if (!atomic_load(&p->is_healthy))
        return fail(f, ERR_UNAVAILABLE, WORDS_SICK);
    if ((ticket = tickets_take(p->config.tickets, partition)) == 0)
        return fail(f, ERR_BUSY, "The queue is full: Kafka is behind");
    atomic_fetch_add(&p->bytes, message_cost(value.n));
    atomic_fetch_add(&p->waiting, 1);
    if (rd_kafka_produce(p->topic, (int32_t)partition, RD_KAFKA_MSG_F_COPY,
                         (void *)(uintptr_t)value.p, value.n, key.p, key.n,
                         (void *)(uintptr_t)ticket)) {
        rd_kafka_resp_err_t e = rd_kafka_last_error();

        tickets_settle(p->config.tickets, ticket, false, 0);
        atomic_fetch_sub(&p->bytes, message_cost(value.n));
        atomic_fetch_sub(&p->waiting, 1);
        return producer_refused(e, value.n, f);
    }
    if (p->is_early)
        tickets_settle(p->config.tickets, ticket, true, 0);
    *end = ticket + 1;
    return OK;
}

err_t kafka_producer_append(struct kafka_producer *p, unsigned writer, const struct batch *b,
                            pos_t *end, struct fail *f)
{
    struct writer *w = &p->writers[writer];
    err_t e;

    check(writer < p->config.writers);
    char *bytes = writer_scratch(w, KAFKA_PREFIX + record_bound(b));

    prefix_write(bytes);
    struct str value = {bytes, KAFKA_PREFIX + record_encode(b, bytes + KAFKA_PREFIX)};

    if (value.n > p->message_max)
        return producer_refused(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, value.n, f);
    if ((e = producer_check_room(p, message_cost(value.n), 0, f)))
        return e;
    atomic_store(&w->is_in, true);
    e = writer_produce(p, value, &b->run, end, f);
    atomic_store(&w->is_in, false);
    if (!e) {
        atomic_store(&w->points, atomic_load(&w->points) + b->npoints);
        atomic_store(&w->entries, atomic_load(&w->entries) + 1);
    }
    return e;
}
