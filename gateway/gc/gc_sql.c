/*
 * gc_sql: PQexecParams and what is said of its failure.
 *
 * With a pooler in between, a transaction is all that is ours (schema/pg_pooler.h), so every statement
 * that needs terms of its own stands in one, and the terms are local to it.
 */
#include "gateway/gc/gc_sql.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "schema/errors.h"
#include "schema/pg_patience.h"

err_t gc_sql_open(struct gc_sql *c, const struct pg_terms *terms, struct fail *f)
{
    c->conn = pg_connect_wait(terms, "sluice gc");
    if (c->conn == NULL || PQstatus(c->conn) != CONNECTION_OK)
        return fail(f, ERR_PG, "cannot connect to PostgreSQL: %.*s",
                    STR_ARG(str_trim(str_of(PQerrorMessage(c->conn)))));
    return OK;
}

void gc_sql_close(struct gc_sql *c)
{
    PQfinish(c->conn);
    c->conn = NULL;
}

static err_t refused(struct gc_sql *c, PGresult *r, struct fail *f)
{
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    struct str words = str_trim(str_of(r ? PQresultErrorMessage(r) : PQerrorMessage(c->conn)));
    err_t e;

    if (words.n == 0)
        words = str_trim(str_of(PQerrorMessage(c->conn)));
    str_to_cstr(str_of(state), c->sqlstate, sizeof(c->sqlstate));
    e = fail(f, ERR_PG, "PostgreSQL: %.*s", STR_ARG(words));
    PQclear(r);
    return e;
}

err_t gc_sql_ask(struct gc_sql *c, const char *sql, const char *const *values, int count,
                 PGresult **out, struct fail *f)
{
    PGresult *r = PQexecParams(c->conn, sql, count, NULL, values, NULL, NULL, 0);
    ExecStatusType s = PQresultStatus(r);

    if (out)
        *out = NULL;
    if (s != PGRES_TUPLES_OK && s != PGRES_COMMAND_OK)
        return refused(c, r, f);
    if (out)
        *out = r;
    else
        PQclear(r);
    return OK;
}

err_t gc_sql_begin(struct gc_sql *c, struct fail *f)
{
    err_t e = gc_sql_ask(c, "BEGIN", NULL, 0, NULL, f);

    if (e)
        return e;
    c->is_open = true;
    return gc_sql_ask(c,
                      "SELECT pg_catalog.set_config('statement_timeout', '0', true),"
                      " pg_catalog.set_config('idle_in_transaction_session_timeout', '0', true),"
                      " pg_catalog.set_config('lock_timeout', " PG_LOCK_PATIENCE ", true)",
                      NULL, 0, NULL, f);
}

err_t gc_sql_commit(struct gc_sql *c, struct fail *f)
{
    err_t e = gc_sql_ask(c, "COMMIT", NULL, 0, NULL, f);

    if (e == OK)
        c->is_open = false;
    return e;
}

void gc_sql_rollback(struct gc_sql *c)
{
    struct fail ignored;

    if (!c->is_open)
        return;
    c->is_open = false;
    fail_init(&ignored, NULL);
    (void)!gc_sql_ask(c, "ROLLBACK", NULL, 0, NULL, &ignored); /* a lost connection has done it */
}

bool gc_sql_is_crossed(const struct gc_sql *c)
{
    static const char *const states[] = {"40P01", "40001", "55P03"};

    for (size_t i = 0; i < array_len(states); i++)
        if (strcmp(c->sqlstate, states[i]) == 0)
            return true;
    return false;
}

char *gc_sql_array(struct arena *a, const struct gc_ids *ids)
{
    struct buf out;
    char *text;

    buf_init(&out);
    buf_add_byte(&out, '{');
    for (size_t i = 0; i < ids->n; i++) {
        struct str s = ids->items[i];

        buf_add_str(&out, i ? STR(",\"") : STR("\""));
        for (size_t k = 0; k < s.n; k++) {
            if (s.p[k] == '"' || s.p[k] == '\\')
                buf_add_byte(&out, '\\');
            buf_add_byte(&out, s.p[k]);
        }
        buf_add_byte(&out, '"');
    }
    buf_add_byte(&out, '}');
    text = arena_cstr(a, buf_str(&out));
    buf_fini(&out);
    return text;
}

uint64_t gc_sql_touched(PGresult *r)
{
    return strtoull(PQcmdTuples(r), NULL, 10);
}

struct str gc_sql_get(const PGresult *r, int row, int column)
{
    return (struct str){PQgetvalue(r, row, column), (size_t)PQgetlength(r, row, column)};
}
