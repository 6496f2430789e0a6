/*
 * sql_stream: one statement whose rows come in batches, however many there are.
 *
 * sql_stream_open, then for each batch sql_stream_next (the first comes by itself), sql_stream_close
 * at any time after the first batch. It holds a session from the first batch to the last, which its
 * owner bounds in time; a worker has few that may be held (sql.c). Results are those of one snapshot.
 * The worker's thread.
 */
#ifndef GATEWAY_SQL_STREAM_H
#define GATEWAY_SQL_STREAM_H

#include "gateway/sql/sql.h"

/* Before the SELECT of a statement that is to be streamed. */
#define SQL_STREAM "DECLARE part NO SCROLL CURSOR FOR "

#define SQL_STREAM_ROWS      2000 /* in a batch: libpq, JSON and the socket take them in a few ms */
#define SQL_STREAM_WIDE_ROWS 100  /* the same of rows that turned out to be long */

struct sql_stream {
    void *owner;

    /* in done, and until the next call of a function below */
    const PGresult *rows; /* NULL after a failure */
    bool is_last;         /* also after a failure */
    err_t err;            /* as in struct sql_call */
    char sqlstate[6];
    char message[256];

    /* private */
    struct sql_pool *pool;
    void (*done)(struct sql_stream *s);
    struct sql_hold hold;
    struct sql_call call;
    char application[64];
    int asked; /* rows of the batch that is under way */
    PGresult *shown;
    PGresult *ahead;   /* came before it was asked for */
    bool is_under_way; /* the call is the pool's */
    bool has_come;     /* ahead, or a failure */
    bool is_wanted;    /* done is due when it comes */
    bool is_closed;    /* by its owner; freed when the call ends */
};

/* step's text begins with SQL_STREAM; its values live until the first done, which follows always,
 * from the loop. workspace: as in struct sql_call; application as well, copied. */
struct sql_stream *sql_stream_open(struct sql_pool *p, const struct sql_step *step,
                                   const char *workspace, const char *application,
                                   void (*done)(struct sql_stream *s), void *owner);
/* The next batch, unless the last one was the last: true when it is here, else done follows. */
bool sql_stream_next(struct sql_stream *s);
/* Done with it; also after the pool has closed. NULL is nothing. */
void sql_stream_close(struct sql_stream *s);

#endif
