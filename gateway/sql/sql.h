/*
 * sql: a worker's pool of PostgreSQL connections on its event loop.
 *
 * A call is one to SQL_STEPS_MAX prepared statements with bound values, sent as one pipeline: they
 * are one transaction. done is called exactly once, on the worker's thread, from the loop (never
 * from within sql_call), also when the connection broke, the call timed out or the pool closes. A call
 * that never reached PostgreSQL is tried on another connection; one that may have is not.
 * Statements are prepared on a connection when first used there. Nothing here blocks.
 */
#ifndef GATEWAY_SQL_H
#define GATEWAY_SQL_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"
#include "schema/settings.h"
#include "schema/stats.h"

struct event_base;
struct sql_conn;
struct sql_pool;

enum { SQL_STEPS_MAX = 8, SQL_VALUES_MAX = 8192 };

/* Static and constant; the address is its identity, and no two have the same name. text uses
 * $1..$n, and says in marks which workspace it looks at (auth/scope.h). With name NULL it is not
 * prepared, and need live until done only: for text that is put together for one request. */
struct stmt {
    const char *name;
    const char *text;
};

/* Values are text in PostgreSQL's input form; p == NULL is SQL NULL. They must be NUL-terminated
 * (arena_dup, arena_printf and sql_* below make such) and live until done. */
struct sql_step {
    const struct stmt *stmt;
    const struct str *values;
    int nvalues;
};

/* A session that stays with the owner of a call between calls, because a transaction is open in it:
 * for sql_stream.c. Few may be held at once. When the first call has ended and is_begun is false,
 * there was no place: the transaction is over. With is_reserved it waits for a place beforehand. */
struct sql_hold {
    struct sql_conn *conn; /* NULL again when it is lost */
    bool is_begun;
    bool is_reserved;
};

struct sql_call {
    /* set by the caller */
    struct sql_step steps[SQL_STEPS_MAX];
    unsigned nsteps;
    void (*done)(struct sql_call *call);
    void *owner;
    const char *workspace;   /* for texts that name it; lives until done */
    struct sql_hold *hold;   /* NULL = the session goes back with the end of the call */
    bool keeps_results;      /* the owner frees them */
    bool asks_standby;       /* is_of_standby is wanted: libpq looks for it in a list */
    const char *application; /* application_name of its transaction; NULL = the session's own */

    /* valid in done; the pool frees the results when done returns, and does not look at the call
     * again, so done may end its life or hand it in anew. err: OK, ERR_PG (away, timed out,
     * deadlock), ERR_PG_ROW (refused), ERR_UNAVAILABLE (sql_queue is full), ERR_CLOSING. */
    err_t err;
    char sqlstate[6];   /* "" when no answer came */
    struct str message; /* PostgreSQL's words, or the pool's */
    unsigned failed_step;
    PGresult *results[SQL_STEPS_MAX]; /* NULL after a failure */
    bool is_of_standby; /* with asks_standby: it may lack commits. PostgreSQL 14 and later say so */

    /* private */
    struct sql_call *next;
    uint64_t queued_us;
    unsigned attempts;
    PGresult *error; /* holds message, until done returns */
};

/* Connections are opened when needed, sql_connections at most. uri outlives the pool. */
must_check err_t sql_pool_open(struct event_base *base, const struct settings *s, const char *uri,
                               struct stats *stats, struct sql_pool **out, struct fail *f);
/* Ends every call with ERR_CLOSING (done is called), closes the connections. */
void sql_pool_close(struct sql_pool *p);
/* Takes sql_queue and sql_timeout from a newer snapshot; a new sql_timeout renews the sessions. */
void sql_pool_reload(struct sql_pool *p, const struct settings *s);
/* Takes the call; done follows later, always. */
void sql_call(struct sql_pool *p, struct sql_call *call);
/* The session of a hold goes back to the pool, its transaction rolled back. No call of it may be
 * under way. */
void sql_release(struct sql_hold *hold);
/* True when at least one connection works, or none was tried yet. */
bool sql_is_up(const struct sql_pool *p);

/* -- values ------------------------------------------------------------------------------- */
/* Refuses nothing; a NUL in it is for the caller to refuse. Never NULL. */
struct str sql_text(struct arena *a, struct str s);
struct str sql_i64(struct arena *a, int64_t v);
struct str sql_null(void);
/* '{"a","b"}', quoted and escaped. */
struct str sql_text_array(struct arena *a, const struct str *items, size_t n);
/* The same, an item whose p is NULL as SQL NULL. */
struct str sql_text_array_nulls(struct arena *a, const struct str *items, size_t n);
/* '(a,"b c")': the text of a row, as PostgreSQL writes it; an item whose p is NULL is SQL NULL. */
struct str sql_text_row(struct arena *a, const struct str *items, size_t n);
struct str sql_i64_array(struct arena *a, const int64_t *items, size_t n);

/* -- results; slices into res -------------------------------------------------------------- */
struct str sql_get(const PGresult *res, int row, int column); /* empty for NULL */
bool sql_is_null(const PGresult *res, int row, int column);
int64_t sql_get_i64(const PGresult *res, int row, int column);
bool sql_get_bool(const PGresult *res, int row, int column);

#endif
