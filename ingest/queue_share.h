/*
 * queue_share: what a queue that several processes share asks of those who flush it.
 *
 * Partitions come to a reader and go from it while it takes (struct take says so), each has
 * positions of its own, and what others have committed is known from PostgreSQL only. The ring
 * belongs to one process and needs none of this; its answers stand at each call.
 *
 * Order of calls: queue_reader_begin after a take that has_moved, before it is applied;
 * queue_commit_each in place of queue_commit when the take has cursors.
 */
#ifndef INGEST_QUEUE_SHARE_H
#define INGEST_QUEUE_SHARE_H

#include "ingest/queue.h"

/* False for the ring. Any thread. */
bool queue_is_shared(const struct queue *q);
/* What it is called in words for the operator: "journal", "kafka". Any thread. */
const char *queue_kind(const struct queue *q);
/* Partition of a run in this queue; the same as long as it is open. Any thread. */
unsigned queue_partition_of(const struct queue *q, struct str run_id);
/* Where the durable entry of this process that ends at end (of this run) lies, as flushers count: a
 * position of its partition behind it. False: it is lost. Any thread. */
must_check bool queue_place(const struct queue *q, struct str run_id, pos_t end,
                            unsigned *partition, pos_t *pos);
/* What PostgreSQL is known to have of the partition, as flushers count. Any thread. */
pos_t queue_flushed(const struct queue *q, unsigned partition);
/* A reader elsewhere waits for this position of the partition: close the window. Any thread. */
void queue_hurry_to(struct queue *q, unsigned partition, pos_t pos);
/* Do entries become durable in the order of their positions? The ring's do. Any thread. */
bool queue_is_ordered(const struct queue *q);
/* The partitions that have come are read from these positions on, which PostgreSQL has just said.
 * ERR_UNAVAILABLE: call again. The ring: never called. */
must_check err_t queue_reader_begin(struct queue_reader *r, const pos_t from[QUEUE_PARTITIONS_MAX],
                                    struct fail *f);
/* As queue_commit, with a cursor for each partition of the reader. The ring: never called. */
void queue_commit_each(struct queue_reader *r, const pos_t cursors[QUEUE_PARTITIONS_MAX],
                       uint64_t points);
/* PostgreSQL has this position of the partition, whoever put it there. Any thread. */
void queue_see_committed(struct queue *q, unsigned partition, pos_t pos);
/* Blocks until a read waits for what others may have committed, and asking PostgreSQL is due, or until
 * deadline_us. To be called every second at least: the backlog's age comes from it. One thread. */
void queue_await_question(struct queue *q, uint64_t deadline_us);
/* Ends the wait above. Any thread. */
void queue_wake_question(struct queue *q);

#endif
