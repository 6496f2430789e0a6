/*
 * journal_backlog: how much of a journal is not in PostgreSQL yet, counted and not estimated.
 *
 * For commands, which look at a journal that another process may own; nothing is changed. One
 * thread. Order of calls: journal_backlog_positions, then journal_backlog_count.
 */
#ifndef GATEWAY_JOURNAL_BACKLOG_H
#define GATEWAY_JOURNAL_BACKLOG_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/fail.h"
#include "ingest/queue.h"

struct journal_backlog {
    pos_t positions[QUEUE_PARTITIONS]; /* stored; 0 = never flushed */
    bool is_known;                     /* the database has rows of this queue */
    uint64_t entries;                  /* that wait */
    uint64_t points;                   /* in them */
    uint64_t oldest_ms;                /* when the segment of the oldest was begun; 0 = none */
    uint64_t looked_at;                /* bytes */
    bool is_cut;                       /* there may be more: most_bytes was reached */
};

/* What the database has of the queue with this id. b: zeros. ERR_PG when it cannot be asked. */
must_check err_t journal_backlog_positions(PGconn *c, const char *id, struct journal_backlog *b,
                                           struct fail *f);
/* Reads the entries behind the positions, at most that many bytes of them. dir: of the journal.
 * Segments that cannot be opened are left out. */
void journal_backlog_count(struct journal_backlog *b, int dir, uint64_t most_bytes);

#endif
