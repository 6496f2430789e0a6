/*
 * From a connection to one that may write.
 *
 * Settings. statement_timeout (flush_timeout) makes the server end what takes too long; a window that cannot be
 * written within it is split by the flusher. lock_timeout makes the window start over before it is
 * half of a deadlock with a stock server (schema/pg_patience.h). The two timeouts for idle
 * transactions and for dead peers free our locks when we are gone without saying so. synchronous_commit is
 * raised when the operator's default is off: the journal is cut after our commit, so the commit
 * must be on disk. jit never pays for these statements.
 *
 * Foreign keys. A trigger per row costs half of the throughput. With session_replication_role =
 * replica there are none, and the check is made once per run by the locking SELECT in txn.c, which
 * every window does anyway. Setting it takes a superuser, or from PostgreSQL 15 on
 *     GRANT SET ON PARAMETER session_replication_role TO <role>
 * Refused, we go on with the triggers.
 *
 * The schema is looked at after every connect, because an operator may have upgraded MLflow
 * meanwhile (and its revision again before every commit, txn.c): exactly our revision, and columns of the types we send (schema/tables.c). Our binary
 * bytes in a column of another type would make the server refuse every row, and every row would
 * become a dead letter.
 *
 * A connection pooler in transaction mode breaks the settings and the temporary table: sessions
 * must be real.
 */
#include "flush/session.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "flush/copy.h"
#include "schema/errors.h"
#include "schema/migrate.h"
#include "schema/pg_patience.h"
#include "schema/tables.h"

static const char session_settings[] =
    "SELECT set_config('lock_timeout', " PG_LOCK_PATIENCE ", false);"
    "SET idle_in_transaction_session_timeout = '60s';"
    "SET tcp_user_timeout = '15s'; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5;"
    "SET tcp_keepalives_count = 3;"
    "SET jit = off; SET bytea_output = hex; SET default_transaction_isolation = 'read committed';"
    "SELECT set_config('synchronous_commit', 'on', false)"
    " WHERE current_setting('synchronous_commit') = 'off'";

uint64_t session_mask(unsigned index, unsigned count)
{
    uint64_t mask = 0;

    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++) {
        if (p % count == index)
            mask |= (uint64_t)1 << p;
    }
    return mask;
}

void session_bind_mask(const struct session *s, struct pg_call *c, struct buf *room)
{
    unsigned count = (unsigned)__builtin_popcountll(s->mask);

    buf_reset(room);
    copy_array(room, COLUMN_INT4, count);
    for (unsigned p = 0; p < QUEUE_PARTITIONS_MAX; p++) {
        if (s->mask >> p & 1)
            copy_int4(room, (int32_t)p);
    }
    pg_bind(c, column_oid(COLUMN_TEXT), str_of(s->queue_id));
    pg_bind(c, 1007 /* int4[] */, buf_str(room));
}

/* -- checks ----------------------------------------------------------------------------------- */

const char session_sql_head[] = "SELECT version_num::text FROM alembic_version";

err_t session_see_head(const PGresult *r, struct fail *f)
{
    struct str head;

    if (PQntuples(r) != 1)
        return fail(f, ERR_SCHEMA, "alembic_version has %d rows instead of one", PQntuples(r));
    head = pg_get_text(r, 0, 0);
    if (!str_eq(head, str_of(MIGRATE_HEAD)))
        return fail(f, ERR_SCHEMA, "alembic_version is %.*s, this program knows only %s",
                    STR_ARG(head), MIGRATE_HEAD);
    return OK;
}

/* r: name, type oid, "must be given" of each column of the database's table. */
static err_t check_columns(const struct table *t, const PGresult *r, struct fail *f)
{
    size_t found = 0;

    for (int i = 0; i < PQntuples(r); i++) {
        struct str name = pg_get_text(r, i, 0);
        const struct column *c = table_column(t, name);

        if (c && !column_takes(c->type, (uint32_t)pg_get_int8(r, i, 1)))
            return fail(f, ERR_SCHEMA, "column %s.%s is of a type that is not MLflow's", t->name,
                        c->name);
        if (!c && pg_get_int4(r, i, 2))
            return fail(f, ERR_SCHEMA, "column %s.%.*s is not MLflow's and has no default", t->name,
                        STR_ARG(name));
        found += c != NULL;
    }
    if (found != t->count)
        return fail(f, ERR_SCHEMA, "table %s: %zu of %zu columns found", t->name, found, t->count);
    return OK;
}

static err_t session_check(struct session *s, struct fail *f)
{
    static const char columns[] = "SELECT attname::text, atttypid::int8,"
                                  " (attnotnull AND NOT atthasdef AND attidentity = '')::int4"
                                  " FROM pg_attribute WHERE attrelid = to_regclass($1)"
                                  " AND attnum > 0 AND NOT attisdropped";
    const struct table *tables[] = {&table_metrics, &table_latest_metrics,
                                    &table_logged_model_metrics};
    struct pg_call calls[1 + array_len(tables)] = {{.sql = session_sql_head}};
    err_t e;

    for (size_t i = 0; i < array_len(tables); i++) {
        calls[1 + i].sql = columns;
        pg_bind(&calls[1 + i], column_oid(COLUMN_TEXT), str_of(tables[i]->name));
    }
    e = pg_batch(&s->pg, calls, array_len(calls), f);
    if (!e)
        e = session_see_head(calls[0].result, f);
    for (size_t i = 0; !e && i < array_len(tables); i++)
        e = check_columns(tables[i], calls[1 + i].result, f);
    pg_batch_clear(calls, array_len(calls));
    return e;
}

/* -- positions -------------------------------------------------------------------------------- */

static err_t session_positions(struct session *s, struct fail *f)
{
    struct pg_call calls[2] = {{.sql =
                                    "INSERT INTO sluice.positions (queue_id, partition, position)"
                                    " SELECT $1, p, 0 FROM unnest($2) AS p ON CONFLICT DO NOTHING"},
                               {.sql = "SELECT partition, position FROM sluice.positions"
                                       " WHERE queue_id = $1 AND partition = ANY ($2)"}};
    struct buf mask;
    err_t e;

    if (s->mask == 0)
        return OK;
    buf_init(&mask);
    session_bind_mask(s, &calls[0], &mask);
    session_bind_mask(s, &calls[1], &mask);
    e = pg_batch(&s->pg, calls, array_len(calls), f);
    for (int i = 0; !e && i < PQntuples(calls[1].result); i++) {
        unsigned p = (unsigned)pg_get_int4(calls[1].result, i, 0);
        pos_t pos = (pos_t)pg_get_int8(calls[1].result, i, 1);

        check(p < QUEUE_PARTITIONS_MAX);
        if (pos < s->positions[p])
            log_error("",
                      "a position in the database went back: did it lose commits? Only a restart "
                      "before the next window commits applies again what the journal still holds",
                      "partition=%u position=%" PRIu64 " was=%" PRIu64, p, pos, s->positions[p]);
        s->positions[p] = pos;
    }
    pg_batch_clear(calls, array_len(calls));
    buf_fini(&mask);
    return e;
}

/* -- opening ---------------------------------------------------------------------------------- */

static err_t session_trust(struct session *s, struct fail *f)
{
    err_t e = pg_run(&s->pg, "SET session_replication_role = replica", f);

    s->is_trusted = !e;
    if (e && strcmp(s->pg.sqlstate, "42501") == 0) {
        log_info("", "foreign-key triggers stay on, which halves the flush rate", "remedy=%s",
                 "GRANT SET ON PARAMETER session_replication_role TO the role");
        return OK;
    }
    return e;
}

static err_t session_set(struct session *s, const struct pg_terms *terms, struct fail *f)
{
    char timeout[64];
    err_t e;

    snprintf(timeout, sizeof(timeout), "SET statement_timeout = %" PRIu64, terms->answer_us / 1000);
    if ((e = pg_run(&s->pg, timeout, f)))
        return e;
    return pg_run(&s->pg, session_settings, f);
}

err_t session_open(struct session *s, const struct pg_terms *terms, unsigned index,
                   struct pg_halt *halt, struct fail *f)
{
    char name[64];
    err_t e;

    session_close(s);
    snprintf(name, sizeof(name), "sluice flusher %u", index);
    if ((e = pg_open(&s->pg, terms, name, halt, f)))
        return e;
    s->has_stage = false;
    if ((e = session_set(s, terms, f)) || (e = session_trust(s, f)) || (e = session_check(s, f)) ||
        (e = session_positions(s, f)))
        session_close(s);
    return e;
}

err_t session_own(struct session *s, uint64_t mask, struct fail *f)
{
    s->mask = mask;
    return session_positions(s, f);
}

void session_close(struct session *s)
{
    pg_close(&s->pg);
}

void session_fini(struct session *s)
{
    pg_fini(&s->pg);
}
