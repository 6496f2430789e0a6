/*
 * cmd_gc: `mlflow gc`, its options and what it prints, beside a running server.
 *
 *   words, database, schema     refused here, before anything is looked at
 *   guard                       a transaction that holds an advisory lock: one gc at a time
 *   for each workspace          find; runs, logged models, experiments, jobs; as MLflow does
 *
 * What MLflow prints for each object goes to standard output, once its rows are gone; everything else,
 * progress too, to standard error. The first failure ends it, what is done stays done, and the same
 * command goes on from there. Where artifacts are in a store that is not built here, the run or model stays,
 * and its experiment with it, for `mlflow gc` to take; the exit code says so. So does one whose URI is refused.
 */
#include "gateway/command/cmd_gc.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/gc/gc_find.h"
#include "gateway/gc/gc_remove.h"
#include "gateway/sql/database.h"
#include "schema/errors.h"
#include "schema/migrate.h"
#include "schema/pg_uri.h"

enum { GC_DONE = 0, GC_FAILED = 1, GC_USAGE = 2 };

/* Two more than migrate.c's. */
#define GC_LOCK        "126909663503207"
#define GC_PROGRESS_US ((uint64_t)2 * 1000 * 1000)
#define DEFAULT_SPACE  "default"

/* One run of the command. */
struct collection {
    struct gc_options options;
    struct settings *settings;
    struct pg_terms terms;
    struct gc_sql guard; /* the lock, and looks */
    struct gc_artifacts artifacts;
    struct gc_remover remover;
    struct arena arena; /* of one workspace */
    struct gc_plan plan;
    struct gc_ids left_models; /* of the workspace; room for all of the plan */
    uint64_t told_us;          /* when progress was last said */
    uint64_t gone[3], left, kept;
    size_t at, of; /* of the kind under way */
    const char *kind;
};

enum { GC_RUNS, GC_MODELS, GC_EXPERIMENTS };

/* -- words ---------------------------------------------------------------------------------------- */

static void say_progress(void *arg)
{
    struct collection *c = arg;
    uint64_t now_us = clock_us();

    if (now_us - c->told_us < GC_PROGRESS_US)
        return;
    c->told_us = now_us;
    fflush(stdout);
    fprintf(stderr, "sluice: gc: %s %zu of %zu, %" PRIu64 " rows of large ones so far\n", c->kind,
            c->at, c->of, c->remover.rows);
}

static void say_gone(const char *what, struct str id)
{
    printf("%s with ID %.*s has been permanently deleted.\n", what, STR_ARG(id));
}

static void say_end(struct collection *c, const char *what, struct str id, enum gc_end end)
{
    switch (end) {
    case GC_KEPT:
        c->kept++;
        fprintf(stderr, "sluice: gc: %s %.*s is not deleted any more, and stays\n", what,
                STR_ARG(id));
        return;
    case GC_LEFT:
        c->left++;
        fprintf(stderr,
                "sluice: gc: the artifacts of %s %.*s are in a kind of store that is not built "
                "here; it stays, for `mlflow gc`\n",
                what, STR_ARG(id));
        return;
    case GC_REFUSED: c->left++; return; /* say_refused did */
    case GC_BYPASSED:
        printf("Unable to resolve the provided artifact URL of %s %.*s. The gc process will "
               "continue and bypass artifact deletion. Please ensure that the artifact exists and "
               "consider manually deleting any unused artifacts. \n",
               what, STR_ARG(id));
        break;
    default: break;
    }
    say_gone(what, id);
}

static void say_refused(void *arg, struct str id, struct str why)
{
    struct collection *c = arg;

    fprintf(stderr, "sluice: gc: the artifacts of %s %.*s cannot be removed, it stays: %.*s\n",
            c->kind, STR_ARG(id), STR_ARG(why));
}

static void begin_kind(struct collection *c, const char *kind, size_t of)
{
    c->kind = kind;
    c->at = 0;
    c->of = of;
}

/* -- what would go -------------------------------------------------------------------------------- */

static void show_kind(const char *what, const struct gc_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        printf("%s with ID %.*s would be permanently deleted.\n", what, STR_ARG(ids->items[i]));
}

static err_t show_jobs(struct collection *c, struct fail *f)
{
    struct gc_ids ids;
    err_t e;

    if (!c->options.with_jobs)
        return OK;
    if ((e = gc_find_jobs(&c->guard, &c->options, c->remover.workspace, c->plan.cutoff_ms,
                          &c->arena, &ids, f)))
        return e;
    show_kind("Job", &ids);
    return OK;
}

static err_t show(struct collection *c, struct fail *f)
{
    show_kind("Run", &c->plan.runs);
    if (c->plan.young_why.n)
        return fail_str(f, ERR_BAD_PARAM, c->plan.young_why);
    show_kind("Logged model", &c->plan.models);
    show_kind("Experiment", &c->plan.experiments);
    return show_jobs(c, f);
}

/* -- runs and models ------------------------------------------------------------------------------ */

typedef err_t (*remove_fn)(struct gc_remover *g, const struct gc_ids *ids, enum gc_end *ends,
                           struct fail *f);

static err_t remove_all(struct collection *c, const char *what, const struct gc_ids *ids,
                        unsigned kind, remove_fn remove, struct fail *f)
{
    enum gc_end ends[GC_BATCH];
    err_t e;

    begin_kind(c, what, ids->n);
    c->left_models = (struct gc_ids){arena_array(&c->arena, ids->n + 1, sizeof(struct str)), 0};
    while (c->at < ids->n) {
        size_t n = ids->n - c->at;
        struct gc_ids batch = {ids->items + c->at, n < GC_BATCH ? n : GC_BATCH};

        if ((e = remove(&c->remover, &batch, ends, f)))
            return e;
        for (size_t i = 0; i < batch.n; i++) {
            say_end(c, what, batch.items[i], ends[i]);
            c->gone[kind] += ends[i] == GC_GONE || ends[i] == GC_BYPASSED;
            if (kind == GC_MODELS && (ends[i] == GC_LEFT || ends[i] == GC_REFUSED))
                c->left_models.items[c->left_models.n++] = batch.items[i];
        }
        fflush(stdout);
        c->at += batch.n;
        say_progress(c);
    }
    return OK;
}

/* -- experiments ---------------------------------------------------------------------------------- */

/* Is there a deleted run in it yet, that was left or came since, or a model that was left? Then it stays. */
static err_t is_ready(struct collection *c, struct str id, bool *out, struct fail *f)
{
    const char *values[2] = {arena_cstr(&c->arena, id), gc_sql_array(&c->arena, &c->left_models)};
    PGresult *rows;
    err_t e = gc_sql_ask(&c->guard,
                         "(SELECT 1 FROM runs WHERE experiment_id = $1::int4 AND lifecycle_stage ="
                         " 'deleted' LIMIT 1) UNION ALL SELECT 1 FROM logged_models"
                         " WHERE experiment_id = $1::int4 AND model_id = ANY ($2::text[])",
                         values, 2, &rows, f);

    if (e)
        return e;
    *out = PQntuples(rows) == 0;
    PQclear(rows);
    return OK;
}

static err_t remove_experiments(struct collection *c, struct fail *f)
{
    const struct gc_ids *ids = &c->plan.experiments;
    err_t e;

    begin_kind(c, "Experiment", ids->n);
    for (; c->at < ids->n; c->at++) {
        struct str id = ids->items[c->at];
        enum gc_end end;
        bool may_go = true;

        if ((e = is_ready(c, id, &may_go, f)))
            return e;
        if (!may_go) {
            c->left++;
            fprintf(stderr, "sluice: gc: Experiment %.*s holds something deleted yet, and stays\n",
                    STR_ARG(id));
            continue;
        }
        if ((e = gc_remove_experiment(&c->remover, id, &end, f)))
            return e;
        say_end(c, "Experiment", id, end);
        c->gone[GC_EXPERIMENTS] += end == GC_GONE;
        fflush(stdout);
        say_progress(c);
    }
    return OK;
}

/* -- a workspace ---------------------------------------------------------------------------------- */

static err_t remove_jobs(struct collection *c, struct fail *f)
{
    struct gc_ids gone = {NULL, 1};
    err_t e = OK;

    if (!c->options.with_jobs)
        return OK;
    while (e == OK && gone.n > 0) {
        e = gc_remove_jobs(&c->remover, &c->options, &c->arena, &gone, f);
        for (size_t i = 0; e == OK && i < gone.n; i++)
            say_gone("Job", gone.items[i]);
    }
    return e;
}

static err_t remove_found(struct collection *c, struct fail *f)
{
    err_t e;

    c->remover.cutoff_ms = c->plan.cutoff_ms;
    c->remover.has_age = c->plan.has_age;
    if ((e = remove_all(c, "Run", &c->plan.runs, GC_RUNS, gc_remove_runs, f)))
        return e;
    if (c->plan.young_why.n)
        return fail_str(f, ERR_BAD_PARAM, c->plan.young_why);
    if ((e = remove_all(c, "Logged model", &c->plan.models, GC_MODELS, gc_remove_models, f)) ||
        (e = remove_experiments(c, f)))
        return e;
    return remove_jobs(c, f);
}

static err_t collect_in(struct collection *c, struct str workspace, struct fail *f)
{
    err_t e;

    arena_reset(&c->arena);
    c->remover.workspace = arena_cstr(&c->arena, workspace);
    if (c->options.workspace || c->options.all_workspaces)
        c->artifacts.workspace = workspace; /* else a server without workspaces would refuse it */
    if ((e = gc_find(&c->guard, &c->options, c->remover.workspace, &c->arena, &c->plan, f)))
        return e;
    return c->options.is_dry ? show(c, f) : remove_found(c, f);
}

static err_t collect(struct collection *c, struct fail *f)
{
    struct gc_ids spaces;
    err_t e;

    if (!c->options.all_workspaces)
        return collect_in(c, str_of(c->options.workspace ? c->options.workspace : DEFAULT_SPACE),
                          f);
    if ((e = gc_find_workspaces(&c->guard, &c->settings->arena, &spaces, f)))
        return e;
    for (size_t i = 0; i < spaces.n; i++)
        if ((e = collect_in(c, spaces.items[i], f)))
            return e;
    return OK;
}

/* -- begin and end -------------------------------------------------------------------------------- */

static err_t guard_lock(struct collection *c, struct fail *f)
{
    PGresult *rows;
    err_t e;

    if ((e = gc_sql_begin(&c->guard, f)) ||
        (e = gc_sql_ask(&c->guard, "SELECT pg_catalog.pg_try_advisory_xact_lock(" GC_LOCK ")", NULL,
                        0, &rows, f)))
        return e;
    if (PQgetvalue(rows, 0, 0)[0] != 't')
        e = fail(f, ERR_CONFLICT,
                 "Another `sluice gc` works on this database, or the server is still busy with one "
                 "that was killed. pg_locks shows its advisory lock " GC_LOCK ".");
    PQclear(rows);
    return e;
}

/* gc_remove.c names rows of metrics by their ctid, and each partition of a table has such a row. */
static err_t refuse_partitions(struct gc_sql *c, struct fail *f)
{
    PGresult *rows;
    err_t e;

    if ((e = gc_sql_ask(c,
                        "SELECT 1 FROM pg_catalog.pg_inherits WHERE inhparent ="
                        " pg_catalog.to_regclass('metrics') LIMIT 1",
                        NULL, 0, &rows, f)))
        return e;
    if (PQntuples(rows) > 0)
        e = fail(
            f, ERR_SCHEMA,
            "The table metrics is partitioned, which MLflow's is not: `sluice gc` would remove "
            "points of other runs. `mlflow gc` can be used.");
    PQclear(rows);
    return e;
}

static err_t open_guard(struct collection *c, struct fail *f)
{
    err_t e;

    if ((e = gc_sql_open(&c->guard, &c->terms, f)) || (e = migrate_check(c->guard.conn, f)) ||
        (e = refuse_partitions(&c->guard, f)))
        return e;
    return c->options.is_dry ? OK : guard_lock(c, f);
}

static err_t run(struct collection *c, struct fail *f)
{
    err_t e;

    if ((e = open_guard(c, f)) || (e = gc_artifacts_open(&c->artifacts, &c->settings->arena,
                                                         c->settings, c->options.tracking_uri, f)))
        return e;
    c->remover.artifacts = &c->artifacts;
    c->remover.tick = say_progress;
    c->remover.refused = say_refused;
    c->remover.owner = c;
    if (getenv("SLUICE_TEST_GC_ROWS")) /* so that tests need not make millions of rows */
        c->remover.part_rows = strtoull(getenv("SLUICE_TEST_GC_ROWS"), NULL, 10);
    if (!c->options.is_dry && (e = gc_remove_open(&c->remover, &c->terms, f)))
        return e;
    return collect(c, f);
}

/* --backend-store-uri counts before any setting. */
static err_t choose_store(struct collection *c, struct fail *f)
{
    struct str uri = str_of(c->options.store_uri);
    err_t e;

    if (uri.n == 0)
        return OK;
    if (!pg_uri_is_postgresql(uri))
        return fail(f, ERR_SETTING, "--backend-store-uri names no PostgreSQL database");
    uri = pg_uri_from_sqlalchemy(uri, &c->settings->arena);
    return (e = settings_set(c->settings, STR("pg_uri"), uri, f)) ? e
                                                                  : settings_check(c->settings, f);
}

static int finish(struct collection *c, err_t e, const struct fail *f)
{
    fflush(stdout);
    if (e == OK && !c->options.is_dry)
        fprintf(stderr,
                "sluice: gc: removed %" PRIu64 " runs, %" PRIu64 " logged models, %" PRIu64
                " experiments; %" PRIu64 " kept, %" PRIu64 " left\n",
                c->gone[GC_RUNS], c->gone[GC_MODELS], c->gone[GC_EXPERIMENTS], c->kept, c->left);
    if (e)
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(f->text));
    return e || c->left ? GC_FAILED : GC_DONE;
}

int cmd_gc(int count, char **words, struct settings *s)
{
    struct collection c = {.settings = s, .kind = ""};
    struct database d = {0};
    struct fail f;
    int code;
    err_t e;

    fail_init(&f, &s->arena);
    arena_init(&c.arena, 64 << 10);
    if (gc_options_parse(&c.options, count, words, getenv, &s->arena, &f) || choose_store(&c, &f)) {
        fprintf(stderr, "sluice: %.*s\n", STR_ARG(f.text));
        arena_fini(&c.arena);
        return GC_USAGE;
    }
    c.told_us = clock_us();
    if ((e = database_open(s, &d, &f)) == OK) {
        c.terms = pg_terms_of(d.uri, s);
        e = run(&c, &f);
    }
    code = finish(&c, e, &f);
    gc_remove_close(&c.remover);
    gc_artifacts_close(&c.artifacts);
    gc_sql_close(&c.guard);
    database_close(&d);
    arena_fini(&c.arena);
    return code;
}
