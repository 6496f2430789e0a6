/*
 * queue_kafka: what the two halves of the Kafka queue share: queue_kafka.c (writers, marks) and
 * kafka_reader.c (the flushers' side). Nobody else includes it.
 */
#ifndef INGEST_QUEUE_KAFKA_H
#define INGEST_QUEUE_KAFKA_H

#include "ingest/kafka_producer.h"
#include "ingest/kafka_topic.h"
#include "ingest/queue_ops.h"
#include "ingest/tickets.h"

enum { KAFKA_READERS = 16, KAFKA_TICKETS = 1 << 18 };

/* How a blocked reader is woken; lives as long as the queue. */
struct kafka_slot {
    struct inbox inbox;    /* librdkafka writes to its descriptor as well */
    _Atomic bool is_woken; /* by queue_reader_wake */
};

/* What this process knows of a partition. */
struct kafka_part {
    _Atomic pos_t hurry;      /* hand out what lies before it now */
    _Atomic pos_t high;       /* the log's end, as its reader last heard; 0 = none here */
    _Atomic pos_t mark;       /* the newest end at mark_us, which was not reached since then */
    _Atomic uint64_t mark_us; /* clock */
    _Atomic unsigned slot;    /* its reader's + 1; 0 = none here */
};

struct kafka_queue {
    struct queue_head head;
    const struct settings *settings;
    struct kafka_topic topic;
    char id[QUEUE_ID_BYTES + 1];
    int lock; /* of data_dir, -1 = a front end */
    struct stats *stats;
    struct tickets *tickets;
    struct kafka_producer *producer; /* NULL: flusher only */
    _Atomic bool is_closing;
    struct inbox question;
    _Atomic uint64_t question_until_us; /* reads wait: PostgreSQL is asked again and again */
    _Atomic unsigned reader_count;      /* slots ever taken */
    _Atomic uint64_t owned;             /* partitions of all readers here */
    _Atomic uint64_t held;              /* of them, those that are not read on */
    _Atomic uint64_t read_entries;
    _Atomic uint64_t read_points;
    struct kafka_slot slots[KAFKA_READERS];
    struct kafka_part parts[QUEUE_PARTITIONS_MAX];
};

extern const struct queue_ops kafka_ops;

/* The partition's marks moved: keeps the age of what is behind. Any thread. */
void kafka_note(struct kafka_queue *q, unsigned partition);
/* Entries between what PostgreSQL has and the end of the partition, as far as is known here. */
uint64_t kafka_lag(const struct kafka_queue *q, unsigned partition);

/* kafka_reader.c, as in queue_ops.h. */
must_check err_t kafka_reader_open(struct queue *q, uint64_t mask, const pos_t *from,
                                   struct queue_reader **out, struct fail *f);
void kafka_reader_close(struct queue_reader *r);
must_check err_t kafka_reader_take(struct queue_reader *r, struct take_terms terms,
                                   struct take *out, struct fail *f);
void kafka_reader_wake(struct queue_reader *r);
must_check err_t kafka_reader_begin(struct queue_reader *r, const pos_t *from, struct fail *f);
void kafka_reader_commit(struct queue_reader *r, const pos_t *cursors, uint64_t points);

#endif
