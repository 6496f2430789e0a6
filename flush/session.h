/*
 * session: a connection that is fit to write points, and what is known through it.
 *
 * Owned by one flusher. Order of calls: session_open, again after every loss of the connection
 * (positions then show whether a commit whose answer was lost took place), session_close, session_fini.
 */
#ifndef FLUSH_SESSION_H
#define FLUSH_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "flush/pg.h"
#include "ingest/queue.h"

struct session {
    struct pg pg;
    const char *queue_id;              /* 32 hex digits, the caller's */
    uint64_t mask;                     /* partitions this flusher owns, a bit each */
    pos_t positions[QUEUE_PARTITIONS_MAX]; /* as stored in PostgreSQL, as last seen */
    bool is_shared;                    /* others flush the same queue, the caller's */
    bool has_stage;                    /* the temporary table exists in this connection */
    bool is_trusted;                   /* foreign-key triggers are off, or may be */
    bool is_pooled;                    /* schema/pg_pooler.h: nothing outlives a transaction */
    char statement_ms[24];             /* statement_timeout */
    bool is_position_first;            /* a test breaks the order of txn.c on purpose */
};

/* The partitions of flusher index of count. */
uint64_t session_mask(unsigned index, unsigned count);
/* Connects, sets the connection up, checks that the schema is one we may write to, makes the rows
 * of sluice.positions and reads them. queue_id, mask must be set. ERR_PG: try again later;
 * ERR_SCHEMA: hold until somebody has done something; ERR_CLOSING. Not open unless OK. */
must_check err_t session_open(struct session *s, const struct pg_terms *terms, unsigned index,
                              struct pg_halt *halt, struct fail *f);
void session_close(struct session *s);
/* Other partitions from now on: makes their rows and reads them. The session stays open, unless the
 * connection breaks. */
must_check err_t session_own(struct session *s, uint64_t mask, struct fail *f);
void session_fini(struct session *s);
/* Asks for the schema's revision: a statement of a batch, and what its answer says. OK: ours. */
extern const char session_sql_head[];
must_check err_t session_see_head(const PGresult *r, struct fail *f);
enum { SESSION_LOCALS = 2 };

/* The statements that a transaction begins with, behind BEGIN, because the session cannot keep what they
 * set; how many, SESSION_LOCALS at most, 0 without a pooler. */
size_t session_locals(const struct session *s, struct pg_call calls[SESSION_LOCALS]);
/* Appends the statement's parameters: queue id, and the owned partitions as an array. */
void session_bind_mask(const struct session *s, struct pg_call *c, struct buf *room);

#endif
