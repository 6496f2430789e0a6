/*
 * doctor_database: PostgreSQL as a server would find it, and how much of the journal is not in it.
 *
 * One connection for all checks, with a time limit on everything. Without one each check says so
 * and warns; that is no failure when the private cluster merely does not run.
 *
 * The backlog is counted, not estimated; that reads what is not committed, at most LOOK_BYTES of it.
 */
#include "gateway/command/doctor.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "gateway/command/journal_backlog.h"
#include "ingest/journal_dir.h"
#include "schema/errors.h"
#include "schema/migrate.h"
#include "schema/pg_pooler.h"
#include "schema/sql_files.h"
#include "schema/tune.h"

enum { ROUND_TRIPS = 5, SLOW_TRIP_US = 5000, CLOCK_MS = 2000, BACKLOG_S = 60 };
#define LOOK_BYTES ((uint64_t)1 << 30)

/* -- asking ------------------------------------------------------------------------------------ */

/* The first row's first field, or NULL with what was said in saw. Valid until the next call. */
static const char *ask(struct doctor *d, const char *sql, const char *value)
{
    static char text[4096];
    const char *values[1] = {value};
    PGresult *r = PQexecParams(d->conn, sql, value ? 1 : 0, NULL, values, NULL, NULL, 0);
    bool is_good = PQresultStatus(r) == PGRES_TUPLES_OK;

    if (is_good)
        str_to_cstr(str_of(PQntuples(r) ? PQgetvalue(r, 0, 0) : ""), text, sizeof(text));
    else
        buf_add_str(&d->saw, str_trim(str_of(PQerrorMessage(d->conn))));
    PQclear(r);
    return is_good ? text : NULL;
}

/* Each check that needs the connection begins so. */
static bool has_database(struct doctor *d)
{
    if (d->conn)
        return true;
    buf_printf(&d->saw, "not looked at: %s", d->why_not);
    return false;
}

static enum verdict no_database(struct doctor *d, enum verdict v, const char *why,
                                const char *remedy)
{
    str_to_cstr(str_of(why), d->why_not, sizeof(d->why_not));
    buf_add_str(&d->saw, str_of(why));
    buf_add_str(&d->remedy, str_of(remedy));
    return v;
}

static enum verdict refused(struct doctor *d, PGconn *c)
{
    struct str said = str_trim(str_of(PQerrorMessage(c)));
    struct str first = str_cut(&said, '\n'); /* what; those behind it guess why */

    buf_printf(&d->saw, "cannot connect: %.*s", STR_ARG(first));
    buf_add_str(&d->remedy, STR("is it running, is pg_uri right, does pg_hba.conf let us in?"));
    str_to_cstr(STR("no connection"), d->why_not, sizeof(d->why_not));
    PQfinish(c);
    return DOCTOR_FAIL;
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

enum verdict doctor_postgresql(struct doctor *d)
{
    /* The URI's own connect_timeout wins: it comes later. */
    static const char *const names[] = {"connect_timeout", "application_name", "dbname", NULL};
    const char *values[] = {"5", "sluice doctor", d->db.uri, NULL};
    uint64_t trips[ROUND_TRIPS];
    const char *said;
    bool is_pooled;
    char pid[24];
    int version;
    PGconn *c;

    if (d->db.uri == NULL)
        return no_database(d, DOCTOR_WARN, "there is no private cluster yet",
                           "`sluice serve` makes one, or set pg_uri");
    if (!d->db.is_running)
        return no_database(d, DOCTOR_WARN, "the private cluster does not run",
                           "`sluice serve` starts it");
    c = PQconnectdbParams(names, values, 1);
    if (c == NULL || PQstatus(c) != CONNECTION_OK)
        return refused(d, c);
    d->conn = c;
    snprintf(pid, sizeof(pid), "%d", PQbackendPID(d->conn));
    said = ask(
        d,
        "SELECT p FROM (SELECT " PG_IS_POOLED("$1") ") AS i (p),"
                                                    " set_config('statement_timeout', '10s', p)",
        pid);
    if (!said)
        return DOCTOR_FAIL;
    is_pooled = *said == 't';
    for (int i = 0; i < ROUND_TRIPS; i++) {
        uint64_t begin = clock_us();

        if (!ask(d, "SELECT 1", NULL))
            return DOCTOR_FAIL;
        trips[i] = clock_us() - begin;
    }
    qsort(trips, ROUND_TRIPS, sizeof(trips[0]), by_size);
    version = PQserverVersion(c);
    buf_printf(&d->saw, "PostgreSQL %d.%d, %s%s, a round trip takes %.1f ms", version / 10000,
               version % 10000, d->db.is_private ? "private cluster" : "pg_uri",
               is_pooled ? " through a pooler" : "", (double)trips[ROUND_TRIPS / 2] / 1000);
    if (trips[ROUND_TRIPS / 2] < SLOW_TRIP_US)
        return DOCTOR_OK;
    buf_add_str(&d->remedy, STR("a call that writes takes two or three: run it nearer"));
    return DOCTOR_WARN;
}

/* -- what is in it ----------------------------------------------------------------------------- */

enum verdict doctor_schema(struct doctor *d)
{
    struct migrate_report report;
    struct fail f;

    fail_init(&f, NULL);
    if (!has_database(d))
        return DOCTOR_WARN;
    if (migrate_look(d->conn, &report, &f) == OK && report.state == MIGRATE_EMPTY) {
        buf_add_str(&d->saw, STR("the database holds no MLflow tables"));
        buf_add_str(&d->remedy, STR("`sluice serve` or `sluice schema create` makes them"));
        return DOCTOR_WARN;
    }
    if (migrate_check(d->conn, &f)) {
        buf_add_str(&d->saw, f.text);
        return DOCTOR_FAIL;
    }
    buf_printf(&d->saw, "revision %s, which is MLflow 3.17.2's", MIGRATE_HEAD);
    return DOCTOR_OK;
}

/* The names of indexes that mlflow.sql declares, as a PostgreSQL array literal. */
static void wanted_indexes(struct buf *out)
{
    struct str text = str_of(sql_mlflow);
    const struct str create = STR("CREATE INDEX ");

    buf_add_byte(out, '{');
    while (text.n) {
        struct str line = str_cut(&text, '\n'), name;

        if (!str_starts(line, create))
            continue;
        line = str_skip(line, create.n);
        name = str_cut(&line, ' ');
        buf_printf(out, "%s%.*s", buf_len(out) > 1 ? "," : "", STR_ARG(name));
    }
    buf_add(out, "}", 2);
}

/* Has metrics the primary key of `schema tune metrics_primary_key`? */
#define KEY_COVERS                                            \
    "EXISTS (SELECT 1 FROM pg_index WHERE indrelid ="         \
    " to_regclass('metrics') AND indisprimary AND indisvalid" \
    " AND pg_get_indexdef(indexrelid) LIKE '%(run_uuid, key, step, %')"

enum verdict doctor_indexes(struct doctor *d)
{
    /* The primary keys are what makes a repeat harmless; index_metrics_run_uuid is covered by
     * index_metrics_run_uuid_key_step and does no harm by its absence, nor does that one where a primary
     * key in the order of `schema tune metrics_primary_key` covers both. */
    static const char keys[] =
        "SELECT string_agg(t, ', ') FROM unnest('{metrics,latest_metrics,logged_model_metrics}'"
        "::text[]) t WHERE NOT EXISTS (SELECT 1 FROM pg_index WHERE indrelid = to_regclass(t)"
        " AND indisprimary AND indisvalid)";
    static const char missing[] =
        "SELECT string_agg(n, ', ') FROM unnest($1::text[]) n WHERE n <> 'index_metrics_run_uuid'"
        " AND NOT (n = '" TUNE_KEY_COVERED "' AND " KEY_COVERS ")"
        " AND NOT EXISTS (SELECT 1 FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
        " WHERE c.relname = n AND pg_table_is_visible(c.oid) AND i.indisvalid AND i.indisready)";
    static const char covered[] = "SELECT CASE WHEN " KEY_COVERS
                                  " THEN ', or covered by the key of `schema tune`' ELSE '' END";
    struct buf wanted;
    const char *names;

    if (!has_database(d))
        return DOCTOR_WARN;
    if (!(names = ask(d, keys, NULL)))
        return DOCTOR_FAIL;
    if (*names) {
        buf_printf(&d->saw, "no valid primary key: %s", names);
        buf_add_str(&d->remedy, STR("restore it: without it a repeated write is stored twice"));
        return DOCTOR_FAIL;
    }
    buf_init(&wanted);
    wanted_indexes(&wanted);
    names = ask(d, missing, buf_str(&wanted).p);
    buf_fini(&wanted);
    if (!names)
        return DOCTOR_FAIL;
    if (*names) {
        buf_printf(&d->saw, "missing or not valid: %s", names);
        buf_add_str(&d->remedy,
                    STR("make them as MLflow 3.17.2 has them, or REINDEX those not valid"));
        return DOCTOR_WARN;
    }
    if (!(names = ask(d, covered, NULL)))
        return DOCTOR_FAIL;
    buf_printf(&d->saw, "all of MLflow's are there%s", names);
    return DOCTOR_OK;
}

/* What the role lacks without which nothing is written; "" = nothing. */
static const char sql_lacks[] =
    "SELECT coalesce(string_agg(what, '; '), '') FROM ("
    "SELECT 'no right to ' || p || ' on ' || string_agg(t, ', ') AS what"
    " FROM unnest('{metrics,latest_metrics,params,tags,runs,experiments}'::text[]) t,"
    " unnest('{SELECT,INSERT,UPDATE}'::text[]) p"
    " WHERE to_regclass(t) IS NOT NULL AND NOT has_table_privilege(to_regclass(t), p) GROUP BY p"
    " UNION ALL SELECT 'no right to CREATE the schema sluice in the database' WHERE"
    " to_regnamespace('sluice') IS NULL AND NOT has_database_privilege(current_database(), "
    "'CREATE')"
    " UNION ALL SELECT 'no right to ' || p || ' in schema sluice' FROM"
    " unnest('{USAGE,CREATE}'::text[]) p WHERE to_regnamespace('sluice') IS NOT NULL"
    " AND NOT has_schema_privilege('sluice', p)"
    " UNION ALL SELECT 'no right to make temporary tables' WHERE"
    " NOT has_database_privilege(current_database(), 'TEMP')) l";

enum verdict doctor_grants(struct doctor *d)
{
    static const char old_trust[] = "SELECT current_setting('is_superuser')";
    static const char trust[] =
        "SELECT CASE WHEN current_setting('is_superuser') = 'on'"
        " OR has_parameter_privilege('session_replication_role', 'SET') THEN 'on' ELSE 'off' END";
    bool is_new;
    const char *said;

    if (!has_database(d))
        return DOCTOR_WARN;
    if (!(said = ask(d, sql_lacks, NULL)))
        return DOCTOR_FAIL;
    if (*said) {
        buf_add_str(&d->saw, str_of(said));
        buf_add_str(&d->remedy, STR("GRANT it, or let the role own MLflow's tables"));
        return DOCTOR_FAIL;
    }
    is_new = PQserverVersion(d->conn) >= 150000;
    if (!(said = ask(d, is_new ? trust : old_trust, NULL)))
        return DOCTOR_FAIL;
    if (strcmp(said, "on") == 0) {
        buf_add_str(&d->saw, STR("all that is needed, foreign-key triggers may be switched off"));
        return DOCTOR_OK;
    }
    buf_add_str(&d->saw, STR("foreign-key triggers stay on, which halves the flush rate"));
    buf_printf(&d->remedy,
               is_new ? "GRANT SET ON PARAMETER session_replication_role TO \"%s\""
                      : "only a superuser may switch them off before PostgreSQL 15 (role \"%s\")",
               PQuser(d->conn));
    return DOCTOR_WARN;
}

enum verdict doctor_durability(struct doctor *d)
{
    const char *said;

    if (!has_database(d))
        return DOCTOR_WARN;
    said = ask(d,
               "SELECT string_agg(name || '=' || setting, ' ' ORDER BY name) FROM pg_settings"
               " WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit')",
               NULL);
    if (!said)
        return DOCTOR_FAIL;
    buf_add_str(&d->saw, str_of(said));
    if (strstr(said, "fsync=off") || strstr(said, "full_page_writes=off")) {
        buf_add_str(&d->remedy, STR("switch it on: the journal forgets what PostgreSQL has "
                                    "committed, and a power cut would lose it"));
        return DOCTOR_FAIL;
    }
    if (strstr(said, "synchronous_commit=off")) {
        buf_add_str(&d->remedy,
                    STR("flushers raise it, params, tags and runs do not: switch it on"));
        return DOCTOR_WARN;
    }
    return DOCTOR_OK;
}

enum verdict doctor_clock(struct doctor *d)
{
    int64_t before, after;
    const char *said;
    double ahead;

    if (!has_database(d))
        return DOCTOR_WARN;
    before = clock_wall_ms();
    if (!(said = ask(d, "SELECT extract(epoch FROM clock_timestamp()) * 1000", NULL)))
        return DOCTOR_FAIL;
    after = clock_wall_ms();
    ahead = strtod(said, NULL) - (double)(before + after) / 2;
    buf_printf(&d->saw, "PostgreSQL's clock is %.1f s %s", fabs(ahead) / 1000,
               ahead < 0 ? "behind" : "ahead");
    if (fabs(ahead) < CLOCK_MS)
        return DOCTOR_OK;
    buf_add_str(&d->remedy, STR("synchronise both: times of runs come from both"));
    return DOCTOR_WARN;
}

/* -- the journal against it -------------------------------------------------------------------- */

enum verdict doctor_backlog(struct doctor *d)
{
    char id[QUEUE_ID_BYTES + 1];
    struct journal_backlog b = {0};
    uint64_t age_s;
    struct fail f;
    int dir;

    if (!d->has_data_dir || journal_dir_open(d->settings->data_dir, false, &dir, NULL)) {
        buf_add_str(&d->saw, STR("there is no journal yet"));
        return DOCTOR_OK;
    }
    if (!has_database(d)) {
        close(dir);
        return DOCTOR_WARN;
    }
    fail_init(&f, NULL);
    if (!journal_dir_read_id(dir, id) || journal_backlog_positions(d->conn, id, &b, &f)) {
        close(dir);
        buf_printf(&d->saw, "queue id or positions cannot be read %.*s", STR_ARG(f.text));
        return DOCTOR_WARN;
    }
    journal_backlog_count(&b, dir, LOOK_BYTES);
    close(dir);
    if (b.points == 0) {
        buf_add_str(&d->saw, STR("everything is in PostgreSQL"));
        return DOCTOR_OK;
    }
    age_s = ((uint64_t)clock_wall_ms() - b.oldest_ms) / 1000;
    buf_printf(&d->saw, "%s%" PRIu64 " points wait in the journal, for %" PRIu64 " s at most",
               b.is_cut ? "more than " : "", b.points, age_s);
    if (d->owner == 0)
        buf_add_str(&d->remedy, STR("`sluice serve` writes them"));
    else if (age_s < BACKLOG_S)
        return DOCTOR_OK;
    else
        buf_add_str(&d->remedy, STR("look at /readyz?verbose and the log of the server"));
    return DOCTOR_WARN;
}
