/*
 * take: what a flusher asks a queue for, and what it gets.
 *
 * Plain values of the flusher's thread; what a take points at is the reader's (queue.h).
 */
#ifndef INGEST_TAKE_H
#define INGEST_TAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

typedef uint64_t pos_t; /* a place in a queue */

/* One entry as a flusher sees it; payload lives until the next queue_take on the same reader. */
struct entry {
    pos_t pos, end;              /* where it begins, and where the next one may */
    unsigned partition, version; /* version: of the payload's record */
    struct str payload;
};

/* When a queue_take ends, of its own. */
struct take_terms {
    uint64_t max_points;  /* 0 = 1 */
    uint64_t deadline_us; /* clock_us(); may have passed: what is there is taken */
    /* While busy_points come in each step after it and it has fewer than enough_points, it goes on to
     * busy_deadline_us. enough_points 0 = never. */
    uint64_t busy_points, enough_points, busy_step_us, busy_deadline_us;
    uint64_t busy_from; /* the queue's own: points at the last look */
};

static inline struct take_terms take_until(uint64_t max_points, uint64_t deadline_us)
{
    return (struct take_terms){.max_points = max_points, .deadline_us = deadline_us};
}

/* What one queue_take gathered. */
struct take {
    struct entry *entries; /* owned by the reader, like their payloads */
    size_t count;
    pos_t cursor;         /* everything before it, of these partitions, has been handed out */
    bool is_hurried;      /* a reader of a run waits: write now */
    bool has_more;        /* durable entries are waiting: there is a backlog */
    const pos_t *cursors; /* of each partition; NULL (the ring): cursor is every partition's */
    uint64_t mask;        /* 0 (the ring): the reader's partitions are what they were */
    bool has_moved;       /* partitions have come or gone: queue_reader_begin */
    bool has_gap;         /* cursors have passed what is no more: apply it, even when empty */
};

/* Is the time over of a take that has gathered so many points? When not, deadline_us is its next
 * look at the clock. */
bool take_is_over(struct take_terms *t, uint64_t points);

#endif
