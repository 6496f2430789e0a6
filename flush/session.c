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
 * How long a transaction of ours may idle. In health it is milliseconds. A flusher of a shared queue that
 * hangs loses its partitions after kafka.session.timeout.ms (10 s), and whoever has them then waits for
 * its row locks: so the server ends it after 15 s, when its partitions are gone anyway. Nobody waits for
 * the one flusher of a journal, and a machine that was suspended should find its transaction: 60 s.
 *
 * With a pooler in between all of that is set in each transaction (schema/pg_pooler.h, session_locals).
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
#include "schema/pg_pooler.h"
#include "schema/tables.h"

/* $1 statement_timeout, $2 idle_in_transaction_session_timeout, $3 for this transaction alone? */
static const char sql_settings[] =
    "SELECT set_config('statement_timeout', $1, $3),"
    " set_config('lock_timeout', " PG_LOCK_PATIENCE ", $3),"
    " set_config('idle_in_transaction_session_timeout', $2, $3),"
    " set_config('tcp_user_timeout', '15s', $3), set_config('tcp_keepalives_idle', '10', $3),"
    " set_config('tcp_keepalives_interval', '5', $3), set_config('tcp_keepalives_count', '3', $3),"
    " set_config('jit', 'off', $3), set_config('bytea_output', 'hex', $3),"
    " set_config('default_transaction_isolation', 'read committed', $3),"
    " CASE current_setting('synchronous_commit') WHEN 'off'"
    " THEN set_config('synchronous_commit', 'on', $3) END";

static const char sql_trust[] = "SELECT set_config('session_replication_role', 'replica', $1)";

static const char idle_alone[] = "60s";
static const char idle_shared[] = "15s";

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

static void bind_bool(struct pg_call *c, bool v)
{
    static const char bytes[] = {0, 1};

    pg_bind(c, column_oid(COLUMN_BOOL), (struct str){&bytes[v], 1});
}

static struct pg_call session_settings(const struct session *s)
{
    struct pg_call call = {.sql = sql_settings};

    pg_bind(&call, column_oid(COLUMN_TEXT), str_of(s->statement_ms));
    pg_bind(&call, column_oid(COLUMN_TEXT), str_of(s->is_shared ? idle_shared : idle_alone));
    bind_bool(&call, s->is_pooled);
    return call;
}

static struct pg_call session_trusting(const struct session *s)
{
    struct pg_call call = {.sql = sql_trust};

    bind_bool(&call, s->is_pooled);
    return call;
}

size_t session_locals(const struct session *s, struct pg_call calls[SESSION_LOCALS])
{
    if (!s->is_pooled)
        return 0;
    calls[0] = session_settings(s);
    if (s->is_trusted)
        calls[1] = session_trusting(s);
    return s->is_trusted ? 2 : 1;
}

/* One statement whose rows are of no interest. */
static err_t session_call(struct session *s, struct pg_call call, struct fail *f)
{
    err_t e = pg_batch(&s->pg, &call, 1, f);

    pg_batch_clear(&call, 1);
    return e;
}

static err_t session_trust(struct session *s, struct fail *f)
{
    err_t e = session_call(s, session_trusting(s), f);

    s->is_trusted = !e;
    if (e && strcmp(s->pg.sqlstate, "42501") == 0) {
        log_info("", "foreign-key triggers stay on, which halves the flush rate", "remedy=%s",
                 "GRANT SET ON PARAMETER session_replication_role TO the role");
        return OK;
    }
    return e;
}

static err_t session_see_pooler(struct session *s, struct fail *f)
{
    struct pg_call call = {.sql = "SELECT " PG_IS_POOLED("$1") "::int4"};
    char pid[24];
    err_t e;

    snprintf(pid, sizeof(pid), "%d", PQbackendPID(s->pg.conn));
    pg_bind(&call, column_oid(COLUMN_TEXT), str_of(pid));
    if (!(e = pg_batch(&s->pg, &call, 1, f)))
        s->is_pooled = pg_get_int4(call.result, 0, 0) != 0;
    pg_batch_clear(&call, 1);
    return e;
}

static err_t session_set(struct session *s, const struct pg_terms *terms, struct fail *f)
{
    err_t e;

    snprintf(s->statement_ms, sizeof(s->statement_ms), "%" PRIu64, terms->answer_us / 1000);
    if ((e = session_see_pooler(s, f)) || s->is_pooled)
        return e;
    return session_call(s, session_settings(s), f);
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
