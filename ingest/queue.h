/*
 * queue: the hinge between accepting and flushing.
 *
 * Workers append batches and learn when they are durable; flushers take durable entries of their
 * partitions and commit them. Two implementations keep the same promises: the memory ring over the
 * journal (queue_ring.c), and Kafka (queue_kafka.c), which processes share (queue_share.h).
 *
 * A place in the queue is a pos_t. committed <= durable <= appended always holds. What a writer
 * waits for is the end position that queue_append gave it, rising for each worker. A flusher's
 * positions are of the same stream in the ring; in Kafka they are the offsets of each partition.
 *
 * Order of calls: queue_open, queue_subscribe for each inbox, then from any thread the calls marked
 * so; queue_stop when nobody appends any more, queue_close when the flushers have ended.
 */
#ifndef INGEST_QUEUE_H
#define INGEST_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/inbox.h"
#include "ingest/take.h"
#include "schema/batch.h"
#include "schema/settings.h"
#include "schema/stats.h"

enum {
    QUEUE_PARTITIONS = 16,     /* the ring's; part of the stored format: run id hash modulo this */
    QUEUE_PARTITIONS_MAX = 64, /* of any queue: a bit each in masks; as a partition: all of them */
    QUEUE_ID_BYTES = 32        /* hex digits of a queue id */
};

struct queue;
struct queue_reader;

enum queue_outcome { QUEUE_PENDING, QUEUE_DURABLE, QUEUE_LOST };

/* Opens the queue that the settings name, replays what is there and starts its thread. producers
 * = number of threads that will append, each under its own index. stats: that thread's block. */
must_check err_t queue_open(const struct settings *s, unsigned producers, struct stats *stats,
                            struct queue **out, struct fail *f);
/* Makes what was appended durable, then stops the thread. After it queue_append answers CLOSING. */
void queue_stop(struct queue *q);
void queue_close(struct queue *q);
const char *queue_id(const struct queue *q); /* hex digits: its name in PostgreSQL. Any thread. */

/* The inbox is rung whenever a mark moves, until queue_close. Before the threads start. */
void queue_subscribe(struct queue *q, struct inbox *inbox);

/* Partition of a run in the ring; a pure function. */
unsigned queue_partition(struct str run_id);

/* -- workers ------------------------------------------------------------------------------- */

/* Is there room for about this many more bytes? OK, or ERR_BUSY / ERR_DISK / ERR_CLOSING. Any thread. */
must_check err_t queue_headroom(const struct queue *q, size_t bytes, struct fail *f);
/* Appends the batch's points as one entry; *end is what to wait for. Never blocks. Only the
 * thread that owns index producer. ERR_BUSY when the ring or the disk budget is full. */
must_check err_t queue_append(struct queue *q, unsigned producer, const struct batch *b, pos_t *end,
                              struct fail *f);
/* What became of the entry that ends there; asked in the loop turn in which the inbox rang. */
enum queue_outcome queue_outcome(const struct queue *q, pos_t end);
/* End of the newest entry that anybody appended / that is durable / that is committed. Any thread. */
pos_t queue_appended(const struct queue *q);
pos_t queue_durable(const struct queue *q);
pos_t queue_committed(const struct queue *q, unsigned partition);
pos_t queue_committed_all(const struct queue *q); /* the lowest of all partitions */
/* A reader waits for this partition (QUEUE_PARTITIONS_MAX: for all): close the window. Any thread. */
void queue_hurry(struct queue *q, unsigned partition);
/* False while the journal, or Kafka, does not take writes. Any thread. */
bool queue_is_healthy(const struct queue *q);
/* Points appended (replayed ones included) but not committed, and microseconds since the oldest of
 * them was appended or replayed; 0 = none. Any thread. */
uint64_t queue_backlog_points(const struct queue *q);
uint64_t queue_backlog_us(const struct queue *q);

/* -- flushers ------------------------------------------------------------------------------ */

/* A reader of the partitions in mask, from their committed positions (as PostgreSQL has them; 0 =
 * never). Entries before from[partition] are skipped. One reader per partition at a time. */
must_check err_t queue_reader_open(struct queue *q, uint64_t mask,
                                   const pos_t from[QUEUE_PARTITIONS], struct queue_reader **out,
                                   struct fail *f);
void queue_reader_close(struct queue_reader *r);
/* Gathers durable entries until the terms, a hurry or queue_reader_wake end it; blocks
 * meanwhile. An empty take is normal: when all before its cursor is committed it moves the marks by
 * itself. An error gives no entries and may pass: call again. Advances the reader. */
must_check err_t queue_take(struct queue_reader *r, struct take_terms terms, struct take *out,
                            struct fail *f);
/* Makes a blocked queue_take return. Any thread. */
void queue_reader_wake(struct queue_reader *r);
/* The take up to cursor is committed in PostgreSQL: moves the partitions' marks, rings the
 * subscribers, removes segments that nobody needs. points: how many points left the backlog. */
void queue_commit(struct queue_reader *r, pos_t cursor, uint64_t points);

#endif
