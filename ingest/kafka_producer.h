/*
 * kafka_producer: entries to Kafka, from many threads, and their delivery reports.
 *
 * One librdkafka producer for the process. Each worker appends under an index of its own; one
 * thread, the courier, takes the delivery reports, settles tickets and rings the queue's
 * subscribers.
 *
 * Order of calls: kafka_producer_open, then kafka_producer_append from the workers;
 * kafka_producer_stop when nobody appends any more, kafka_producer_close.
 */
#ifndef INGEST_KAFKA_PRODUCER_H
#define INGEST_KAFKA_PRODUCER_H

#include "ingest/kafka_topic.h"
#include "ingest/queue_ops.h"
#include "ingest/tickets.h"

struct kafka_producer;

enum { KAFKA_PREFIX = 4 }; /* bytes before the record, kafka_producer.c */

struct kafka_producer_config {
    const struct settings *settings; /* outlives it, as all of these do */
    const struct kafka_topic *topic;
    struct queue_head *head; /* whose subscribers are told */
    struct tickets *tickets;
    struct stats *stats; /* the courier's block */
    unsigned writers;    /* threads that append */
};

must_check err_t kafka_producer_open(const struct kafka_producer_config *c,
                                     struct kafka_producer **out, struct fail *f);
/* Delivers what was appended, for 15 s at most; every ticket is settled after it. */
void kafka_producer_stop(struct kafka_producer *p);
void kafka_producer_close(struct kafka_producer *p);
/* As queue_headroom. Any thread. */
must_check err_t kafka_producer_room(const struct kafka_producer *p, size_t bytes, struct fail *f);
/* As queue_append; the thread that owns the index. */
must_check err_t kafka_producer_append(struct kafka_producer *p, unsigned writer,
                                       const struct batch *b, pos_t *end, struct fail *f);
/* False while the brokers take nothing. Any thread. */
bool kafka_producer_is_healthy(const struct kafka_producer *p);
/* Entries without a report yet. Any thread. */
uint64_t kafka_producer_waiting(const struct kafka_producer *p);
/* Entries and points ever appended. Any thread. */
void kafka_producer_count(const struct kafka_producer *p, uint64_t *entries, uint64_t *points);
/* The prefix of a value: is it ours, and of which version is its record? */
bool kafka_prefix_read(struct str value, unsigned *version);

#endif
