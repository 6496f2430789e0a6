/*
 * tune: the rows of tune.def, looked at, applied and reverted.
 *
 * There is no record of what was applied: the catalog is the record. So a change that an administrator
 * makes by hand counts, and one that was killed half way is seen as what it is. CREATE INDEX
 * CONCURRENTLY that is interrupted leaves an index that is not valid, which costs every writer and helps
 * nobody; DROP INDEX CONCURRENTLY leaves the same. Both directions drop such an index first.
 *
 * CONCURRENTLY does not run in a transaction and waits for every transaction that is open when it begins,
 * so there is no time limit on it. It waits for snapshots, too: a second tune must not wait inside of a
 * statement for the first one to end, or both wait for each other. Hence a lock that is tried, not waited
 * for. The lock is the session's: when the program is killed, the server goes on with the index until it
 * notices, and holds the lock until then.
 *
 * The primary key of metrics. Which columns it has decides what may be stored, in which order they stand
 * decides what an insert costs: MLflow's begins with (key, timestamp), so the rows of a window, sorted by run,
 * go to far places of it, and reads need a second index. Ours begins with (run, key, step): it is that index as
 * well. Applied in three steps, reverted in the mirror of them, each of which leaves a table that is whole:
 *
 *    sluice_metric_pk is built beside the key, CONCURRENTLY; both refuse what is there already
 *    in one ALTER TABLE it becomes metric_pk, and the old one goes: ACCESS EXCLUSIVE, no row is read
 *    the index that it covers is dropped, CONCURRENTLY (reverting, it is made first)
 *
 * The lock of the second step waits for whoever reads or writes metrics, and all others wait behind it. So it is
 * asked for with a limit and given up, for as long again, a number of times. What an interruption leaves is
 * told from the catalog: an index of ours that is whole and right is not built again.
 */
#include "schema/tune.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "schema/errors.h"
#include "schema/pg_pooler.h"

/* One more than migrate.c's. */
#define TUNE_LOCK "126909663503206"

const struct tune_change tune_changes[] = {
#define TUNE(name, kind, object, server, apply, revert, why, cost) \
    {#name, TUNE_##kind, object, server, apply, revert, why, cost},
#include "schema/tune.def"
#undef TUNE
};
const size_t tune_count = array_len(tune_changes);

enum {
    SWAP_WAIT_MS = 2000, /* more than deadlock_timeout, after which autovacuum gives way */
    SWAP_TRIES = 30      /* two minutes */
};

enum object_state { OBJECT_AWAY, OBJECT_THERE, OBJECT_BROKEN };

const struct tune_change *tune_find(const char *name)
{
    for (size_t i = 0; i < tune_count; i++) {
        if (strcmp(tune_changes[i].name, name) == 0)
            return &tune_changes[i];
    }
    return NULL;
}

const char *tune_state_text(enum tune_state state)
{
    static const char *const words[] = {[TUNE_IS_OFF] = "off",
                                        [TUNE_IS_ON] = "applied",
                                        [TUNE_IS_BROKEN] = "broken",
                                        [TUNE_CANNOT] = "not possible"};

    return words[state];
}

static err_t tune_refused(PGconn *c, const PGresult *r, const char *what, struct fail *f)
{
    const char *text = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;

    if (PQstatus(c) != CONNECTION_OK || !text)
        return fail(f, ERR_PG, "%s: %.*s", what, STR_ARG(str_trim(str_of(PQerrorMessage(c)))));
    return fail(f, ERR_SCHEMA, "%s: %s (SQLSTATE %s)", what, text,
                PQresultErrorField(r, PG_DIAG_SQLSTATE));
}

/* Runs sql with one text parameter, or none: NULL. out NULL = its rows are of no interest; otherwise they
 * are the caller's to PQclear. Without a parameter it may hold several statements. */
static err_t tune_run(PGconn *c, const char *sql, const char *value, const char *what,
                      PGresult **out, struct fail *f)
{
    const char *values[1] = {value};
    PGresult *r = value ? PQexecParams(c, sql, 1, NULL, values, NULL, NULL, 0) : PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);
    err_t e = OK;

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        e = tune_refused(c, r, what, f);
    if (out && !e)
        *out = r;
    else
        PQclear(r);
    return e;
}

/* Indexes are looked up where MLflow's tables are: by the search_path. Its statistics have no to_reg*. */
static err_t tune_look_object(PGconn *c, const struct tune_change *t, enum object_state *state,
                              long long *bytes, struct fail *f)
{
    static const char index[] = "SELECT indisvalid AND indisready AND indislive,"
                                " pg_catalog.pg_relation_size(indexrelid) FROM pg_catalog.pg_index"
                                " WHERE indexrelid = pg_catalog.to_regclass($1)";
    static const char *const looks[] = {
        [TUNE_INDEX] = index,
        [TUNE_NO_INDEX] = index,
        [TUNE_STATISTICS] = "SELECT true, 0 FROM pg_catalog.pg_statistic_ext WHERE stxname = $1"
                            " AND pg_catalog.pg_statistics_obj_is_visible(oid)",
        [TUNE_TABLE] = "SELECT true, 0 FROM pg_catalog.pg_class"
                       " WHERE oid = pg_catalog.to_regclass($1)"
                       " AND 'fillfactor=" TUNE_FILL "' = ANY (reloptions)",
    };
    const char *sql = looks[t->kind];
    PGresult *r;
    err_t e;

    if ((e = tune_run(c, sql, t->object, t->name, &r, f)))
        return e;
    *state = OBJECT_AWAY;
    *bytes = 0;
    if (PQntuples(r) > 0) {
        *state = PQgetvalue(r, 0, 0)[0] == 't' ? OBJECT_THERE : OBJECT_BROKEN;
        *bytes = strtoll(PQgetvalue(r, 0, 1), NULL, 10);
    }
    PQclear(r);
    return OK;
}

/* -- the primary key ------------------------------------------------------------------------- */

/* What there is of the key and of the index that ours covers. */
struct key_look {
    bool is_stock;
    bool is_ours;
    bool has_spare;     /* of whatever kind */
    bool is_spare_ours; /* whole, and in that order */
    bool is_spare_stock;
    bool has_covered; /* of whatever kind */
    bool is_covered_whole;
    long long bytes;
};

/* The columns of a unique index that is whole, NULL for any other. */
#define KEY_COLUMNS(index)                                                        \
    "(SELECT pg_catalog.string_agg(a.attname, ', ' ORDER BY k.place) FROM"        \
    " pg_catalog.pg_index AS i CROSS JOIN LATERAL pg_catalog.unnest(i.indkey)"    \
    " WITH ORDINALITY AS k (number, place) JOIN pg_catalog.pg_attribute AS a"     \
    " ON a.attrelid = i.indrelid AND a.attnum = k.number"                         \
    " WHERE i.indexrelid = pg_catalog.to_regclass('" index "') AND i.indisunique" \
    " AND i.indisvalid AND i.indisready AND i.indislive)"

static err_t key_look(PGconn *c, const struct tune_change *t, struct key_look *l, struct fail *f)
{
    static const char sql[] =
        "SELECT k = '" TUNE_KEY_STOCK "', k = '" TUNE_KEY_OURS "', spare IS NOT NULL,"
        " s = '" TUNE_KEY_OURS "', s = '" TUNE_KEY_STOCK "', covered IS NOT NULL,"
        " EXISTS (SELECT 1 FROM pg_catalog.pg_index WHERE indexrelid = covered"
        " AND indisvalid AND indisready AND indislive),"
        " coalesce(pg_catalog.pg_relation_size(pg_catalog.to_regclass('" TUNE_KEY "')), 0)"
        " FROM (SELECT " KEY_COLUMNS(TUNE_KEY) " AS k, " KEY_COLUMNS(
            TUNE_KEY_SPARE) " AS s,"
                            " pg_catalog.to_regclass('" TUNE_KEY_SPARE "') AS spare,"
                            " pg_catalog.to_regclass('" TUNE_KEY_COVERED "') AS covered) AS l";
    bool *const fields[] = {&l->is_stock,        &l->is_ours,        &l->has_spare,
                            &l->is_spare_ours,   &l->is_spare_stock, &l->has_covered,
                            &l->is_covered_whole};
    PGresult *r;
    err_t e;

    if ((e = tune_run(c, sql, NULL, t->name, &r, f)))
        return e;
    for (size_t i = 0; i < array_len(fields); i++)
        *fields[i] = PQgetvalue(r, 0, (int)i)[0] == 't';
    l->bytes = strtoll(PQgetvalue(r, 0, array_len(fields)), NULL, 10);
    PQclear(r);
    return OK;
}

static enum tune_state key_state(const struct key_look *l)
{
    if (!l->is_stock && !l->is_ours)
        return TUNE_CANNOT;
    if (l->has_spare)
        return TUNE_IS_BROKEN;
    if (l->is_ours && !l->has_covered)
        return TUNE_IS_ON;
    return l->is_stock && l->is_covered_whole ? TUNE_IS_OFF : TUNE_IS_BROKEN;
}

/* The lock is asked for so long, then whoever waits behind us goes first. */
static err_t key_swap(PGconn *c, const struct tune_change *t, struct fail *f)
{
    char wait[64], pause[64];
    err_t e, after;

    snprintf(wait, sizeof(wait), "SET lock_timeout = %d", SWAP_WAIT_MS);
    snprintf(pause, sizeof(pause), "SELECT pg_catalog.pg_sleep(%d)", SWAP_WAIT_MS / 1000);
    if ((e = tune_run(c, wait, NULL, t->name, NULL, f)))
        return e;
    for (int tries = 1;; tries++) {
        PGresult *r = PQexec(c, TUNE_KEY_SWAP);
        const char *sqlstate = PQresultErrorField(r, PG_DIAG_SQLSTATE);
        bool is_locked = sqlstate && strcmp(sqlstate, "55P03") == 0;

        e = PQresultStatus(r) == PGRES_COMMAND_OK ? OK : tune_refused(c, r, t->name, f);
        PQclear(r);
        if (!is_locked || tries == SWAP_TRIES)
            break;
        if ((e = tune_run(c, pause, NULL, t->name, NULL, f)))
            return e;
    }
    after = tune_run(c, "SET lock_timeout = 0", NULL, t->name, NULL, f);
    return e ? e : after;
}

/* Brings the key into the order that build makes. */
static err_t key_bring(PGconn *c, const struct tune_change *t, bool is_ours, struct fail *f)
{
    static const char drop[] = "DROP INDEX CONCURRENTLY " TUNE_KEY_SPARE;
    struct key_look l;
    err_t e;

    if ((e = key_look(c, t, &l, f)))
        return e;
    if (is_ours ? l.is_ours : l.is_stock)
        return l.has_spare ? tune_run(c, drop, NULL, t->name, NULL, f) : OK;
    if (!l.is_ours && !l.is_stock)
        return fail(f, ERR_SCHEMA,
                    "%s: metrics has no primary key " TUNE_KEY " with the columns of MLflow's",
                    t->name);
    if (!(is_ours ? l.is_spare_ours : l.is_spare_stock)) {
        if (l.has_spare && (e = tune_run(c, drop, NULL, t->name, NULL, f)))
            return e;
        if ((e = tune_run(c,
                          is_ours ? TUNE_KEY_BUILD(TUNE_KEY_OURS) : TUNE_KEY_BUILD(TUNE_KEY_STOCK),
                          NULL, t->name, NULL, f)))
            return e;
    }
    return key_swap(c, t, f);
}

static err_t key_apply(PGconn *c, const struct tune_change *t, struct fail *f)
{
    err_t e;

    if ((e = key_bring(c, t, true, f)))
        return e;
    return tune_run(c, "DROP INDEX CONCURRENTLY IF EXISTS " TUNE_KEY_COVERED, NULL, t->name, NULL,
                    f);
}

static err_t key_revert(PGconn *c, const struct tune_change *t, struct fail *f)
{
    struct key_look l;
    err_t e;

    if ((e = key_look(c, t, &l, f)))
        return e;
    if (l.has_covered && !l.is_covered_whole &&
        (e = tune_run(c, "DROP INDEX CONCURRENTLY " TUNE_KEY_COVERED, NULL, t->name, NULL, f)))
        return e;
    if (!l.is_covered_whole && (e = tune_run(c,
                                             "CREATE INDEX CONCURRENTLY " TUNE_KEY_COVERED
                                             " ON metrics (run_uuid, key, step)",
                                             NULL, t->name, NULL, f)))
        return e;
    return key_bring(c, t, false, f);
}

/* -- every change ---------------------------------------------------------------------------- */

err_t tune_look(PGconn *c, const struct tune_change *t, enum tune_state *state, long long *bytes,
                struct fail *f)
{
    enum object_state object;
    struct key_look key;
    err_t e;

    if (t->kind == TUNE_PRIMARY) {
        if ((e = key_look(c, t, &key, f)))
            return e;
        *state = key_state(&key);
        *bytes = key.bytes;
        return OK;
    }
    if ((e = tune_look_object(c, t, &object, bytes, f)))
        return e;
    if (object == OBJECT_BROKEN)
        *state = TUNE_IS_BROKEN;
    else if ((object == OBJECT_THERE) == (t->kind != TUNE_NO_INDEX))
        *state = TUNE_IS_ON;
    else
        *state = PQserverVersion(c) < t->server ? TUNE_CANNOT : TUNE_IS_OFF;
    return OK;
}

/* The lock below is the session's, and a pooler gives the session to others. */
static err_t tune_refuse_pooler(PGconn *c, struct fail *f)
{
    PGresult *r;
    char pid[24];
    err_t e;

    snprintf(pid, sizeof(pid), "%d", PQbackendPID(c));
    if ((e = tune_run(c, "SELECT " PG_IS_POOLED("$1"), pid, "schema tune", &r, f)))
        return e;
    if (PQgetvalue(r, 0, 0)[0] == 't')
        e = fail(f, ERR_SETTING,
                 "There is a connection pooler between here and PostgreSQL, and the lock of "
                 "`sluice schema tune` needs a session of its own: give it the pg_uri of "
                 "PostgreSQL itself.");
    PQclear(r);
    return e;
}

err_t tune_lock(PGconn *c, struct fail *f)
{
    PGresult *r;
    err_t e;

    if ((e = tune_refuse_pooler(c, f)) ||
        (e = tune_run(c,
                      "SELECT pg_catalog.set_config('statement_timeout', '0', false),"
                      " pg_catalog.set_config('lock_timeout', '0', false),"
                      " pg_catalog.set_config('client_min_messages', 'warning', false)",
                      NULL, "schema tune", NULL, f)) ||
        (e = tune_run(c, "SELECT pg_catalog.pg_try_advisory_lock(" TUNE_LOCK ")", NULL,
                      "schema tune", &r, f)))
        return e;
    if (PQgetvalue(r, 0, 0)[0] != 't')
        e = fail(
            f, ERR_CONFLICT,
            "Another `sluice schema tune` or `untune` works on this database, or the server is "
            "still busy with one that was killed. pg_locks shows its advisory "
            "lock " TUNE_LOCK ".");
    PQclear(r);
    return e;
}

/* Brings the object to be there or not; create and drop are how. */
static err_t tune_object(PGconn *c, const struct tune_change *t, bool is_wanted, const char *create,
                         const char *drop, struct fail *f)
{
    enum object_state state;
    long long bytes;
    err_t e;

    if ((e = tune_look_object(c, t, &state, &bytes, f)))
        return e;
    if (state == OBJECT_BROKEN || (state == OBJECT_THERE && !is_wanted)) {
        if ((e = tune_run(c, drop, NULL, t->name, NULL, f)))
            return e;
        state = OBJECT_AWAY;
    }
    return is_wanted && state == OBJECT_AWAY ? tune_run(c, create, NULL, t->name, NULL, f) : OK;
}

err_t tune_apply(PGconn *c, const struct tune_change *t, struct fail *f)
{
    if (t->kind == TUNE_PRIMARY)
        return key_apply(c, t, f);
    if (t->kind == TUNE_NO_INDEX)
        return tune_object(c, t, false, t->revert, t->apply, f);
    return tune_object(c, t, true, t->apply, t->revert, f);
}

err_t tune_revert(PGconn *c, const struct tune_change *t, struct fail *f)
{
    if (t->kind == TUNE_PRIMARY)
        return key_revert(c, t, f);
    if (t->kind == TUNE_NO_INDEX)
        return tune_object(c, t, true, t->revert, t->apply, f);
    return tune_object(c, t, false, t->apply, t->revert, f);
}
