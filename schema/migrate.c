/*
 * Two schemas live in one database and are treated differently.
 *
 * MLflow's tables belong to MLflow. On an empty database we create them from schema/sql/mlflow.sql,
 * whole, at the one revision we know; on any other we only look. The list of tables to look for is
 * read from that same text (lines that begin with CREATE TABLE), so that it cannot fall behind.
 * We never migrate them: `mlflow db upgrade` does, and it takes an operator with a backup.
 * Tables are looked up by the connection's search_path, as MLflow does.
 *
 * Schema sluice is ours: numbered files, each applied once, each in a transaction of its own that
 * also notes the number in sluice.migrations. File 1 makes that table itself. A number above those
 * we know means that a newer program has been here: refused, because we cannot know what it changed.
 *
 * Whatever changes something holds MIGRATE_LOCK, an advisory lock that ends with the transaction,
 * and looks again once it has it: of two processes that start at once the second waits, then finds
 * the work done. A stock MLflow server takes no such lock; do not let it create the schema at the
 * same time.
 *
 * A trap: PostgreSQL's default search_path is "$user", public. When the role is itself named
 * sluice, the mere existence of schema sluice moves current_schema() there; a stock server would
 * look for its tables in it, find none, and create a second set. migrate_own refuses to leave a
 * database in that state and names the statement that mends it.
 */
#include "schema/migrate.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "schema/errors.h"
#include "schema/sql_files.h"

/* Oldest server we accept: generated columns and to_regclass(text) are older, but nothing below 13
 * is tested or maintained. */
#define MIGRATE_MIN_SERVER 130000
/* Any number nobody else uses: "sluice" in ASCII. */
#define MIGRATE_LOCK "126909663503205"
/* The lock is held for a second or two; a minute means that somebody is stuck. The statements
 * themselves are small, five minutes covers a server that is busy with recovery. */
#define MIGRATE_LIMITS                                                       \
    "SET LOCAL lock_timeout = '60s'; SET LOCAL statement_timeout = '300s'; " \
    "SET LOCAL client_min_messages = 'warning'"

/* --- one statement at a time --------------------------------------------------------------- */

static err_t migrate_refused(PGconn *c, const PGresult *r, const char *what, struct fail *f)
{
    const char *text = r ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *state = r ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;

    if (PQstatus(c) != CONNECTION_OK || !text || !state) {
        struct str why = str_trim(str_of(PQerrorMessage(c)));
        return fail(f, ERR_PG, "%s: %.*s", what, STR_ARG(why));
    }
    if (strcmp(state, "55P03") == 0)
        return fail(f, ERR_SCHEMA,
                    "%s: another process has held the schema lock for a minute (%s). Look at "
                    "pg_locks for the advisory lock " MIGRATE_LOCK ".",
                    what, text);
    return fail(f, ERR_SCHEMA, "%s: %s (SQLSTATE %s)", what, text, state);
}

/* Runs sql and drops what it returns. */
static err_t migrate_run(PGconn *c, const char *sql, const char *what, struct fail *f)
{
    PGresult *r = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(r);
    err_t e = OK;

    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        e = migrate_refused(c, r, what, f);
    PQclear(r);
    return e;
}

/* Runs a query with one text parameter (or none: NULL); *out is the caller's to PQclear. */
static err_t migrate_query(PGconn *c, const char *sql, const char *value, const char *what,
                           PGresult **out, struct fail *f)
{
    const char *values[1] = {value};
    PGresult *r = PQexecParams(c, sql, value ? 1 : 0, NULL, values, NULL, NULL, 0);

    *out = NULL;
    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        err_t e = migrate_refused(c, r, what, f);
        PQclear(r);
        return e;
    }
    *out = r;
    return OK;
}

/* Read committed, so that what is looked at under the lock is what its last holder committed. */
static err_t migrate_begin(PGconn *c, const char *what, struct fail *f)
{
    return migrate_run(c, "BEGIN ISOLATION LEVEL READ COMMITTED; " MIGRATE_LIMITS, what, f);
}

/* Ends the transaction: commits when e is OK, otherwise rolls back and keeps e and its words. */
static err_t migrate_end(PGconn *c, err_t e, const char *what, struct fail *f)
{
    if (e == OK)
        e = migrate_run(c, "COMMIT", what, f);
    if (PQtransactionStatus(c) != PQTRANS_IDLE && PQstatus(c) == CONNECTION_OK)
        PQclear(PQexec(c, "ROLLBACK"));
    return e;
}

static err_t migrate_lock(PGconn *c, const char *what, struct fail *f)
{
    return migrate_run(c, "SELECT pg_advisory_xact_lock(" MIGRATE_LOCK ")", what, f);
}

/* --- looking --------------------------------------------------------------------------------- */

/* A schema of MLflow's: whole, at the one revision we know. */
struct migrate_set {
    const char *text; /* its first CREATE TABLE is the table of the revision */
    const char *head;
    const char *version_table, *ask_head;
    const char *making;
};

static const struct migrate_set mlflow_set = {sql_mlflow, MIGRATE_HEAD, "alembic_version",
                                              "SELECT version_num FROM alembic_version LIMIT 2",
                                              "creating MLflow's tables"};
static const struct migrate_set auth_set = {sql_auth, MIGRATE_AUTH_HEAD, "alembic_version_auth",
                                            "SELECT version_num FROM alembic_version_auth LIMIT 2",
                                            "creating MLflow's tables of users"};

/* The names that a set declares, as a PostgreSQL array literal; returns how many. */
static size_t migrate_wanted(const struct migrate_set *set, struct buf *out)
{
    struct str text = str_of(set->text);
    const struct str create = STR("CREATE TABLE ");
    size_t count = 0;

    buf_add_byte(out, '{');
    while (text.n > 0) {
        struct str line = str_cut(&text, '\n');

        if (!str_starts(line, create))
            continue;
        line = str_skip(line, create.n);
        if (count++ > 0)
            buf_add_byte(out, ',');
        buf_add_str(out, str_cut(&line, ' '));
    }
    buf_add_byte(out, '}');
    buf_add_byte(out, '\0');
    return count;
}

/* Which tables are missing, in the order of the set. */
static err_t migrate_look_tables(PGconn *c, const struct migrate_set *set,
                                 struct migrate_report *report, struct fail *f)
{
    PGresult *r;
    struct buf names;
    err_t e;

    buf_init(&names);
    report->wanted_count = migrate_wanted(set, &names);
    e = migrate_query(c,
                      "SELECT wanted.name FROM unnest($1::text[]) WITH ORDINALITY wanted (name, i) "
                      "WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_class WHERE relkind IN "
                      "('r', 'p') AND oid = to_regclass(quote_ident(wanted.name))) "
                      "ORDER BY wanted.i",
                      buf_str(&names).p, "looking for MLflow's tables", &r, f);
    buf_fini(&names);
    if (e)
        return e;
    report->missing_count = (size_t)PQntuples(r);
    report->missing[0] = '\0';
    if (report->missing_count > 0)
        str_to_cstr(str_of(PQgetvalue(r, 0, 0)), report->missing, sizeof(report->missing));
    PQclear(r);
    return OK;
}

/* The revision; "" when there is no row, "several" when there is more than one. */
static err_t migrate_look_head(PGconn *c, const struct migrate_set *set,
                               struct migrate_report *report, struct fail *f)
{
    PGresult *r;
    err_t e;

    if ((e = migrate_query(c, set->ask_head, NULL, "reading MLflow's revision", &r, f)))
        return e;
    if (PQntuples(r) == 1)
        str_to_cstr(str_of(PQgetvalue(r, 0, 0)), report->head, sizeof(report->head));
    else if (PQntuples(r) > 1)
        str_to_cstr(STR("several"), report->head, sizeof(report->head));
    PQclear(r);
    return OK;
}

/* As migrate_look, inside the caller's transaction. */
static err_t migrate_inspect(PGconn *c, const struct migrate_set *set,
                             struct migrate_report *report, struct fail *f)
{
    bool has_head_table;
    err_t e;

    memset(report, 0, sizeof(*report));
    if ((e = migrate_look_tables(c, set, report, f)))
        return e;
    if (report->missing_count == report->wanted_count) {
        report->state = MIGRATE_EMPTY;
        return OK;
    }
    has_head_table = strcmp(report->missing, set->version_table) != 0;
    if (has_head_table && (e = migrate_look_head(c, set, report, f)))
        return e;
    /* Another revision has other tables: it is the better explanation of the two. */
    if (has_head_table && strcmp(report->head, set->head) != 0)
        report->state = MIGRATE_OLD_HEAD;
    else if (report->missing_count > 0)
        report->state = MIGRATE_MISSING_TABLE;
    else
        report->state = MIGRATE_READY;
    return OK;
}

static err_t migrate_check_server(PGconn *c, struct fail *f)
{
    int version = PQserverVersion(c);

    if (PQstatus(c) != CONNECTION_OK)
        return migrate_refused(c, NULL, "looking at the database", f);
    if (version < MIGRATE_MIN_SERVER)
        return fail(f, ERR_SCHEMA, "PostgreSQL %d.%d is too old: %d or later is needed.",
                    version / 10000, version % 10000, MIGRATE_MIN_SERVER / 10000);
    return OK;
}

static err_t migrate_look_set(PGconn *c, const struct migrate_set *set,
                              struct migrate_report *report, struct fail *f)
{
    const char *what = "looking at the database";
    err_t e;

    if ((e = migrate_check_server(c, f)) || (e = migrate_begin(c, what, f)))
        return e;
    return migrate_end(c, migrate_inspect(c, set, report, f), what, f);
}

err_t migrate_look(PGconn *c, struct migrate_report *report, struct fail *f)
{
    return migrate_look_set(c, &mlflow_set, report, f);
}

err_t migrate_look_auth(PGconn *c, struct migrate_report *report, struct fail *f)
{
    return migrate_look_set(c, &auth_set, report, f);
}

/* The words for a state that is not READY. */
static err_t migrate_explain(const struct migrate_report *report, struct fail *f)
{
    switch (report->state) {
    case MIGRATE_READY: return OK;
    case MIGRATE_EMPTY:
        return fail(f, ERR_SCHEMA,
                    "The database holds no MLflow tables. Create them with `sluice schema create` "
                    "or `sluice serve`.");
    case MIGRATE_OLD_HEAD:
        if (strcmp(report->head, "several") == 0)
            return fail(f, ERR_SCHEMA,
                        "Table alembic_version has more than one row; wanted is one, %s. An "
                        "upgrade went wrong half way: restore the backup.",
                        MIGRATE_HEAD);
        return fail(f, ERR_SCHEMA,
                    "The MLflow schema is at revision %s; this program works on %s (MLflow 3.17.2) "
                    "only. If it is older: stop writers, take a backup, run `mlflow db upgrade`.",
                    report->head[0] ? report->head : "none", MIGRATE_HEAD);
    case MIGRATE_MISSING_TABLE:
        return fail(f, ERR_SCHEMA,
                    "Table %s is missing (%zu of MLflow's %zu are). Restore it from a backup, or "
                    "use an empty database, which `sluice schema create` fills.",
                    report->missing, report->missing_count, report->wanted_count);
    }
    return fail(f, ERR_INTERNAL, "unknown schema state %d", (int)report->state);
}

err_t migrate_check(PGconn *c, struct fail *f)
{
    struct migrate_report report;
    err_t e;

    if ((e = migrate_look(c, &report, f)))
        return e;
    return migrate_explain(&report, f);
}

/* --- making ---------------------------------------------------------------------------------- */

/* As migrate_seed, inside the caller's transaction. */
static err_t migrate_insert_default(PGconn *c, const char *root, struct fail *f)
{
    const char *const sql =
        "WITH now (ms) AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint) "
        "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, "
        "creation_time, last_update_time, workspace) "
        "SELECT 0, 'Default', regexp_replace($1::text, '/$', '') || '/0', 'active', ms, ms, "
        "'default' FROM now ON CONFLICT DO NOTHING RETURNING experiment_id";
    PGresult *r;
    err_t e;

    /* The conflict is either the id or the name in the workspace; both mean that it is there. The
     * sequence is left alone: the first experiment a user makes gets 1, as with stock MLflow. */
    if ((e = migrate_query(c, sql, root, "inserting experiment 0", &r, f)))
        return e;
    PQclear(r);
    return OK;
}

err_t migrate_seed(PGconn *c, const char *default_artifact_root, struct fail *f)
{
    const char *what = "inserting experiment 0";
    err_t e;

    if ((e = migrate_begin(c, what, f)))
        return e;
    return migrate_end(c, migrate_insert_default(c, default_artifact_root, f), what, f);
}

/* Under the lock: looks again, and creates when it is still empty. */
static err_t migrate_create_locked(PGconn *c, const char *root, struct fail *f)
{
    struct migrate_report report;
    err_t e;

    if ((e = migrate_lock(c, "waiting for the schema lock", f)) ||
        (e = migrate_inspect(c, &mlflow_set, &report, f)))
        return e;
    if (report.state != MIGRATE_EMPTY)
        return migrate_explain(&report, f);
    log_info("", "creating MLflow's tables", "count=%zu revision=%s", report.wanted_count,
             MIGRATE_HEAD);
    if ((e = migrate_run(c, sql_mlflow, "creating MLflow's tables", f)))
        return e;
    return migrate_insert_default(c, root, f);
}

err_t migrate_create(PGconn *c, const char *default_artifact_root, struct fail *f)
{
    const char *what = "creating MLflow's tables";
    err_t e;

    if ((e = migrate_check_server(c, f)) || (e = migrate_begin(c, what, f)))
        return e;
    return migrate_end(c, migrate_create_locked(c, default_artifact_root, f), what, f);
}

/* How many of our numbered files the database has; 0 when it has never seen one. */
static err_t migrate_applied(PGconn *c, size_t *out, struct fail *f)
{
    const char *what = "reading sluice.migrations";
    PGresult *r;
    bool has_table;
    err_t e;

    *out = 0;
    /* Not to_regclass: it answers from a cache that the wait for the lock does not refresh. */
    if ((e = migrate_query(c,
                           "SELECT 1 FROM pg_catalog.pg_class t JOIN pg_catalog.pg_namespace s "
                           "ON s.oid = t.relnamespace "
                           "WHERE s.nspname = 'sluice' AND t.relname = 'migrations'",
                           NULL, what, &r, f)))
        return e;
    has_table = PQntuples(r) > 0;
    PQclear(r);
    if (!has_table)
        return OK;
    if ((e = migrate_query(c, "SELECT coalesce(max(number), 0) FROM sluice.migrations", NULL, what,
                           &r, f)))
        return e;
    *out = strtoul(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    if (*out > sql_file_count)
        return fail(f, ERR_SCHEMA,
                    "Schema sluice is at migration %zu, this program knows %zu: a newer sluice has "
                    "upgraded it. Run that one.",
                    *out, sql_file_count);
    return OK;
}

/* The trap of the essay: MLflow must not find schema sluice where it looks for its own tables. */
static err_t migrate_check_path(PGconn *c, struct fail *f)
{
    PGresult *r;
    err_t e;

    if ((e = migrate_query(c,
                           "SELECT format('ALTER ROLE %I IN DATABASE %I SET search_path = public', "
                           "current_user, current_database()) WHERE current_schema() = 'sluice'",
                           NULL, "reading the search_path", &r, f)))
        return e;
    if (PQntuples(r) > 0)
        e = fail(f, ERR_SCHEMA,
                 "With this role's search_path MLflow would look for its tables in schema sluice. "
                 "Run: %s",
                 PQgetvalue(r, 0, 0));
    PQclear(r);
    return e;
}

/* Under the lock: looks again, and applies the file when nobody else has. */
static err_t migrate_apply_locked(PGconn *c, const struct sql_file *file, struct fail *f)
{
    struct buf note;
    size_t applied;
    err_t e;

    if ((e = migrate_lock(c, "waiting for the schema lock", f)) ||
        (e = migrate_applied(c, &applied, f)))
        return e;
    if (applied >= (size_t)file->number)
        return OK;
    log_info("", "applying migration", "number=%d name=%s", file->number, file->name);
    if ((e = migrate_run(c, file->text, "creating schema sluice", f)))
        return e;
    buf_init(&note);
    buf_printf(&note, "INSERT INTO sluice.migrations (number, name) VALUES (%d, '%s')",
               file->number, file->name);
    buf_add_byte(&note, '\0');
    e = migrate_run(c, buf_str(&note).p, "creating schema sluice", f);
    buf_fini(&note);
    return e ? e : migrate_check_path(c, f);
}

/* Looking needs no lock and no rights beyond reading: the usual start changes nothing. */
static err_t migrate_look_own(PGconn *c, size_t *applied, struct fail *f)
{
    err_t e;

    if ((e = migrate_applied(c, applied, f)))
        return e;
    return migrate_check_path(c, f);
}

err_t migrate_own(PGconn *c, struct fail *f)
{
    const char *what = "creating schema sluice";
    size_t applied = 0;
    err_t e;

    if ((e = migrate_begin(c, what, f)) ||
        (e = migrate_end(c, migrate_look_own(c, &applied, f), what, f)))
        return e;
    for (size_t i = applied; i < sql_file_count; i++) {
        check(sql_files[i].number == (int)i + 1);
        if ((e = migrate_begin(c, what, f)) ||
            (e = migrate_end(c, migrate_apply_locked(c, &sql_files[i], f), what, f)))
            return e;
    }
    return OK;
}

err_t migrate_prepare(PGconn *c, const char *default_artifact_root, struct fail *f)
{
    struct migrate_report report;
    err_t e;

    if ((e = migrate_look(c, &report, f)))
        return e;
    if (report.state == MIGRATE_EMPTY)
        e = migrate_create(c, default_artifact_root, f);
    else
        e = migrate_explain(&report, f);
    if (e || (e = migrate_own(c, f)))
        return e;
    return migrate_seed(c, default_artifact_root, f);
}

/* --- users ----------------------------------------------------------------------------------- */

static err_t migrate_explain_auth(const struct migrate_report *report, struct fail *f)
{
    switch (report->state) {
    case MIGRATE_READY: return OK;
    case MIGRATE_EMPTY: return fail(f, ERR_SCHEMA, "The database holds no MLflow tables of users.");
    case MIGRATE_OLD_HEAD:
        return fail(
            f, ERR_SCHEMA,
            "MLflow's tables of users are at revision %s; this program works on %s (MLflow "
            "3.17.2) only. If it is older: take a backup, run `python -m mlflow.server.auth "
            "db upgrade --url ...`.",
            report->head[0] ? report->head : "none", MIGRATE_AUTH_HEAD);
    case MIGRATE_MISSING_TABLE:
        return fail(
            f, ERR_SCHEMA,
            "Of MLflow's %zu tables of users %zu are missing, table %s first. Tables of another "
            "program that have such names, or of an MLflow before 3.6, are not touched: give "
            "auth_pg_uri a database of its own, or let `python -m mlflow.server.auth db "
            "upgrade --url ...` complete them.",
            report->wanted_count, report->missing_count, report->missing);
    }
    return fail(f, ERR_INTERNAL, "unknown schema state %d", (int)report->state);
}

/* Under the lock: looks again, and creates when none is there. */
static err_t migrate_create_auth_locked(PGconn *c, struct fail *f)
{
    struct migrate_report report;
    err_t e;

    if ((e = migrate_lock(c, "waiting for the schema lock", f)) ||
        (e = migrate_inspect(c, &auth_set, &report, f)))
        return e;
    if (report.state != MIGRATE_EMPTY)
        return migrate_explain_auth(&report, f);
    log_info("", auth_set.making, "count=%zu revision=%s", report.wanted_count, MIGRATE_AUTH_HEAD);
    return migrate_run(c, sql_auth, auth_set.making, f);
}

err_t migrate_auth(PGconn *c, struct fail *f)
{
    struct migrate_report report;
    err_t e;

    if ((e = migrate_look_auth(c, &report, f)))
        return e;
    if (report.state != MIGRATE_EMPTY)
        return migrate_explain_auth(&report, f);
    if ((e = migrate_begin(c, auth_set.making, f)))
        return e;
    return migrate_end(c, migrate_create_auth_locked(c, f), auth_set.making, f);
}
