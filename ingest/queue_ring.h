/*
 * queue_ring: what the files of the ring queue share: queue_ring.c (producers and marks),
 * sealer.c (the thread that writes) and queue_reader.c (the flushers' side). Nobody else includes it.
 *
 * Who writes what is said at each field; the protocol stands in queue_ring.c.
 */
#ifndef INGEST_QUEUE_RING_H
#define INGEST_QUEUE_RING_H

#include <pthread.h>
#include <stdatomic.h>

#include "ingest/frame.h"
#include "ingest/journal.h"
#include "ingest/queue.h"
#include "ingest/queue_ops.h"

enum {
    RING_LOST = 64 /* lost ranges remembered */
};

/* pending: this producer writes nothing. wake_at: this reader is awake. */
#define RING_NOTHING UINT64_MAX

/* One appending thread's own line. */
struct producer {
    _Atomic pos_t pending;    /* the hazard word: nothing below it is being written by this one */
    _Atomic uint64_t points;  /* appended by it so far */
    _Atomic uint64_t entries; /* and in so many calls */
    char *scratch; /* its thread's; where a record is encoded before its place is known */
    size_t scratch_bytes;
} __attribute__((aligned(64)));

/* Positions that a failed disk swallowed; written by the sealer. */
struct lost_range {
    _Atomic pos_t from;
    _Atomic pos_t limit;
};

/* How a blocked reader is woken; lives as long as the queue, so that nobody rings a freed one. */
struct reader_slot {
    struct inbox inbox;
    _Atomic pos_t wake_at; /* ring when durable reaches it; RING_NOTHING: do not */
    _Atomic bool is_woken; /* by queue_reader_wake */
};

struct sealer;

struct queue {
    struct queue_head head;
    char *ring;
    uint64_t ring_bytes;     /* a power of two */
    uint64_t window_bytes;   /* how far reserved may run ahead of durable */
    uint64_t max_age_us;     /* of the backlog, 0 = none */
    pos_t start;             /* the first position of this process: older ones are in files only */
    struct journal *journal; /* the sealer's from queue_open on, but for ->dir and ->id */
    struct journal_segment *replayed; /* as found at start; constant */
    size_t replayed_count;
    uint64_t replayed_points;
    struct producer *producers;
    unsigned producer_count;
    struct sealer *sealer;
    struct inbox sealer_inbox;

    _Atomic pos_t reserved __attribute__((aligned(64))); /* producers: end of what is taken */

    _Atomic pos_t durable __attribute__((aligned(64))); /* sealer: synced, or lost */
    _Atomic pos_t budget_end;                           /* sealer: the disk ends here */
    _Atomic bool is_healthy;                            /* sealer */
    _Atomic bool is_closing;                            /* queue_stop */
    _Atomic uint64_t oldest_us;  /* sealer: when the oldest uncommitted entry came; 0 = none */
    _Atomic uint64_t lost_count; /* sealer: ranges ever */
    struct lost_range lost[RING_LOST];

    _Atomic pos_t committed[QUEUE_PARTITIONS] __attribute__((aligned(64))); /* its reader */
    _Atomic pos_t counted[QUEUE_PARTITIONS]; /* its reader: points before it left the backlog */
    _Atomic pos_t hurry[QUEUE_PARTITIONS];   /* anybody: hand out what lies before it now */
    _Atomic unsigned slot_of[QUEUE_PARTITIONS];
    _Atomic uint64_t points_gone; /* readers, sealer: committed or lost */
    struct reader_slot slots[QUEUE_PARTITIONS];
};

/* Copies n bytes out of the ring. The caller checks afterwards that they were not overwritten. */
void ring_get(const struct queue *q, pos_t pos, void *out, size_t n);
/* Are the bytes at pos, and all behind them up to durable, still in the ring? */
bool ring_holds(const struct queue *q, pos_t pos);
/* End of the lost range that pos lies in, or pos. Any thread. */
pos_t ring_skip_lost(const struct queue *q, pos_t pos);
/* Raises *mark to pos; never lowers it. */
void ring_raise(_Atomic pos_t *mark, pos_t pos);
/* The durable or a committed mark moved. */
void ring_tell(struct queue *q);
/* The flushers' side, queue_reader.c. */
must_check err_t ring_reader_open(struct queue *q, uint64_t mask, const pos_t *from,
                                  struct queue_reader **out, struct fail *f);
void ring_reader_close(struct queue_reader *r);
must_check err_t ring_take(struct queue_reader *r, struct take_terms terms, struct take *out,
                           struct fail *f);
void ring_reader_wake(struct queue_reader *r);
void ring_commit(struct queue_reader *r, pos_t cursor, uint64_t points);
extern const struct queue_ops ring_ops;

/* Starts the thread. */
must_check err_t sealer_start(struct queue *q, struct fail *f);
/* Seals what is reserved, ends the thread and frees it. */
void sealer_stop(struct queue *q);

#endif
