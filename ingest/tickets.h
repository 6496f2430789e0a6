/*
 * tickets: what became of each entry that this process gave to Kafka.
 *
 * An entry's ticket is its number among all that this process appended; the position that a writer
 * waits for is the ticket + 1. A ticket is taken before the entry is produced and settled by its
 * delivery report, in any order; it is committed when PostgreSQL holds a position of its partition
 * that lies behind its offset. Any thread may call anything; only tickets_committed and
 * tickets_settled take a lock, each a partition's own.
 *
 * Order of calls: tickets_new, then any; each ticket that was taken is settled once.
 */
#ifndef INGEST_TICKETS_H
#define INGEST_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include "ingest/queue.h"

struct tickets;

/* cap, a power of two, bounds those that are not settled, and how long an outcome is remembered. */
struct tickets *tickets_new(unsigned partitions, uint64_t cap);
void tickets_free(struct tickets *t);
/* The next ticket, for an entry of that partition; 0 when cap of them wait. */
pos_t tickets_take(struct tickets *t, unsigned partition);
/* The delivery report: durable at that offset, or lost (the offset is of no interest). */
void tickets_settle(struct tickets *t, pos_t ticket, bool is_durable, pos_t offset);
/* Of the entry that ends there. One that is no longer remembered is lost: the client sends again. */
enum queue_outcome tickets_outcome(const struct tickets *t, pos_t end);
/* The offset behind a durable entry; when that is no longer remembered, behind the newest of its
 * partition. */
pos_t tickets_place(const struct tickets *t, unsigned partition, pos_t end);
/* End of the newest entry. */
pos_t tickets_end(const struct tickets *t);
/* PostgreSQL has all before that offset of the partition. Never goes back. */
void tickets_reach(struct tickets *t, unsigned partition, pos_t offset);
/* The offset given to tickets_reach; *is_known false: it was never called. */
pos_t tickets_reached(const struct tickets *t, unsigned partition, bool *is_known);
/* The offset behind the newest entry of this process in the partition; 0 = none. */
pos_t tickets_delivered(const struct tickets *t, unsigned partition);
/* All entries of the partition that end there or before are committed, or lost. */
pos_t tickets_committed(struct tickets *t, unsigned partition);
/* All entries that end there or before are settled. */
pos_t tickets_settled(struct tickets *t);

#endif
