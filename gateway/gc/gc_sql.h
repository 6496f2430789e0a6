/*
 * gc_sql: statements of `sluice gc`, on connections that wait.
 *
 * One owner, one thread. Results and texts of values are text; a result is the caller's to clear.
 */
#ifndef GATEWAY_GC_SQL_H
#define GATEWAY_GC_SQL_H

#include <libpq-fe.h>

#include "base/arena.h"
#include "base/fail.h"
#include "gateway/gc/gc_options.h"
#include "schema/pg_connect.h"

enum { GC_VALUES = 4, GC_SQLSTATE = 5 };

struct gc_sql {
    PGconn *conn;
    char sqlstate[GC_SQLSTATE + 1]; /* of the last failure; "" = none from the server */
    bool is_open;                   /* a transaction is */
};

must_check err_t gc_sql_open(struct gc_sql *c, const struct pg_terms *terms, struct fail *f);
/* Also of a zeroed one. */
void gc_sql_close(struct gc_sql *c);
/* values: `count` C strings, NULL = SQL NULL. *out may be NULL when nobody wants the rows. */
must_check err_t gc_sql_ask(struct gc_sql *c, const char *sql, const char *const *values, int count,
                            PGresult **out, struct fail *f);
/* BEGIN, with terms of our own for this transaction: no statement_timeout, none while idle, and a short
 * lock_timeout (schema/pg_patience.h). */
must_check err_t gc_sql_begin(struct gc_sql *c, struct fail *f);
must_check err_t gc_sql_commit(struct gc_sql *c, struct fail *f);
/* Ends what may be open; nothing to do when nothing is. */
void gc_sql_rollback(struct gc_sql *c);
/* Was it somebody's lock that stood in the way, and may the same succeed in a moment? */
bool gc_sql_is_crossed(const struct gc_sql *c);
/* An array of texts as PostgreSQL writes it. */
char *gc_sql_array(struct arena *a, const struct gc_ids *ids) __attribute__((returns_nonnull));
/* Rows that a statement touched. */
uint64_t gc_sql_touched(PGresult *r);
struct str gc_sql_get(const PGresult *r, int row, int column);

#endif
