/*
 * queue_ops: what stands between queue.h and its implementations. For the files queue*.c alone.
 *
 * Every struct queue begins with a queue_head, every struct queue_reader with a reader_head; what
 * follows is the implementation's own, and no file sees two of them. The calls are those of
 * queue.h and queue_share.h.
 */
#ifndef INGEST_QUEUE_OPS_H
#define INGEST_QUEUE_OPS_H

#include <stdatomic.h>

#include "ingest/queue_share.h"

enum { QUEUE_SUBSCRIBERS = 320 };

struct queue_ops {
    const char *kind;
    bool is_shared;
    void (*stop)(struct queue *q);
    void (*close)(struct queue *q);
    const char *(*id)(const struct queue *q);
    err_t (*headroom)(const struct queue *q, size_t bytes, struct fail *f);
    err_t (*append)(struct queue *q, unsigned producer, const struct batch *b, pos_t *end,
                    struct fail *f);
    enum queue_outcome (*outcome)(const struct queue *q, pos_t end);
    pos_t (*appended)(const struct queue *q);
    pos_t (*durable)(const struct queue *q);
    pos_t (*committed)(const struct queue *q, unsigned partition);
    pos_t (*committed_all)(const struct queue *q);
    void (*hurry)(struct queue *q, unsigned partition);
    pos_t (*place)(const struct queue *q, unsigned partition,
                   pos_t end); /* of one that is durable */
    pos_t (*flushed)(const struct queue *q, unsigned partition);
    void (*hurry_to)(struct queue *q, unsigned partition, pos_t pos);
    bool (*is_healthy)(const struct queue *q);
    uint64_t (*backlog_points)(const struct queue *q);
    uint64_t (*backlog_us)(const struct queue *q);
    err_t (*reader_open)(struct queue *q, uint64_t mask, const pos_t *from,
                         struct queue_reader **out, struct fail *f);
    void (*reader_close)(struct queue_reader *r);
    err_t (*take)(struct queue_reader *r, struct take_terms terms, struct take *out,
                  struct fail *f);
    void (*reader_wake)(struct queue_reader *r);
    void (*commit)(struct queue_reader *r, pos_t cursor, uint64_t points);
    /* NULL for the ring. */
    err_t (*reader_begin)(struct queue_reader *r, const pos_t *from, struct fail *f);
    void (*commit_each)(struct queue_reader *r, const pos_t *cursors, uint64_t points);
    void (*see_committed)(struct queue *q, unsigned partition, pos_t pos);
    void (*await_question)(struct queue *q, uint64_t deadline_us);
    void (*wake_question)(struct queue *q);
};

struct queue_head {
    const struct queue_ops *ops;
    unsigned partitions; /* how many a run's hash is taken modulo */
    struct inbox *subscribers[QUEUE_SUBSCRIBERS];
    _Atomic unsigned subscriber_count;
};

struct reader_head {
    const struct queue_ops *ops;
};

/* A run's hash; modulo the number of partitions it is the run's partition. Pure. */
uint64_t queue_hash(struct str run_id);
/* A durable or a committed mark moved. Any thread. */
void queue_tell(struct queue_head *h);

/* queue_open of each implementation. */
must_check err_t ring_open(const struct settings *s, unsigned producers, struct stats *stats,
                           struct queue **out, struct fail *f);
must_check err_t kafka_open(const struct settings *s, unsigned producers, struct stats *stats,
                            struct queue **out, struct fail *f);

#endif
