/*
 * pg: a flusher's connection to PostgreSQL.
 *
 * libpq in its non-blocking mode under calls that wait, so that every wait has a deadline and ends
 * at once when the flusher is to stop: libpq's own waiting calls know neither. One owner, one
 * thread; only struct pg_halt is touched by others.
 *
 * Order of calls: pg_open, then any number of pg_run, pg_batch and COPYs, then pg_close and perhaps
 * pg_open again; pg_fini. After an error inside a transaction: pg_rollback. An error may leave the connection closed (pg_is_open).
 */
#ifndef FLUSH_PG_H
#define FLUSH_PG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <libpq-fe.h>

#include "base/buf.h"
#include "base/fail.h"
#include "base/inbox.h"
#include "schema/pg_connect.h"

enum { PG_PARAMS = 9, PG_SQLSTATE = 5 };

/* How another thread ends the waits. */
struct pg_halt {
    struct inbox inbox;           /* rung after either of the others was changed */
    _Atomic uint64_t deadline_us; /* no wait goes beyond it; UINT64_MAX at first */
    _Atomic bool is_asked;        /* no new connection is waited for */
};

struct pg {
    PGconn *conn; /* NULL: closed */
    struct pg_halt *halt;
    uint64_t patience_us;           /* longest one answer may take */
    char sqlstate[PG_SQLSTATE + 1]; /* of the last error; "" = none from the server */
    /* private */
    uint64_t deadline_us;   /* of the call under way */
    struct pg_names *names; /* hosts being looked up; NULL = none */
};

/* One statement of a batch; values are binary, NULL value = SQL NULL. */
struct pg_call {
    const char *sql;
    int nparams;
    Oid types[PG_PARAMS];
    const char *values[PG_PARAMS];
    int lengths[PG_PARAMS];
    PGresult *result; /* out: rows are binary; NULL when it was not reached */
};

/* 0 or an errno value. */
int pg_halt_init(struct pg_halt *h);
void pg_halt_fini(struct pg_halt *h);

/* Connects. name is the application_name. ERR_PG, or ERR_CLOSING when asked to halt. pg: zeros, or
 * closed. */
must_check err_t pg_open(struct pg *pg, const struct pg_terms *terms, const char *name,
                         struct pg_halt *halt, struct fail *f);
void pg_close(struct pg *pg);
/* Closes it for good: what pg_close keeps for the next pg_open goes too. */
void pg_fini(struct pg *pg);
bool pg_is_open(const struct pg *pg);
/* Between two calls: closes the connection and answers ERR_PG when the server has ended it. */
must_check err_t pg_look(struct pg *pg, struct fail *f);
/* Runs statements without parameters, separated by semicolons; their rows are dropped. */
must_check err_t pg_run(struct pg *pg, const char *sql, struct fail *f);
/* Sends all calls at once and waits for all results. They are in one implicit transaction when
 * none is open. The first failure is returned; pg_batch_clear must follow either way. */
must_check err_t pg_batch(struct pg *pg, struct pg_call *calls, size_t count, struct fail *f);
void pg_batch_clear(struct pg_call *calls, size_t count);
/* COPY ... FROM STDIN: begin, put pieces, finish. */
must_check err_t pg_copy_begin(struct pg *pg, const char *sql, struct fail *f);
must_check err_t pg_copy_put(struct pg *pg, struct str piece, struct fail *f);
must_check err_t pg_copy_finish(struct pg *pg, struct fail *f);
/* Ends a failed transaction; closes the connection when that fails too. */
void pg_rollback(struct pg *pg);

/* Adds a parameter to c. The text or bytes must live until pg_batch returns. */
void pg_bind(struct pg_call *c, Oid type, struct str bytes);
/* Binary results; the field must not be NULL and must be of that type. */
int64_t pg_get_int8(const PGresult *r, int row, int column);
int32_t pg_get_int4(const PGresult *r, int row, int column);
struct str pg_get_text(const PGresult *r, int row, int column);
/* Rows that an INSERT or UPDATE touched. */
uint64_t pg_touched(const PGresult *r);

/* What an SQLSTATE means for a window: ERR_PG (try again), ERR_PG_REPEAT, ERR_PG_ROW, ERR_SCHEMA. */
err_t pg_classify(const char *sqlstate);

#endif
