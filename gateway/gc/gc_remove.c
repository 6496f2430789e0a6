/*
 * gc_remove: MLflow's order, artifacts then rows, under locks that writers do not feel.
 *
 *   hold:  BEGIN; what is still deleted of the batch FOR NO KEY UPDATE
 *          artifacts, one by one; S3's keys by the thousand
 *   work:  of what is large, rows by GC_ROWS, each part committed at once
 *   hold:  the runs FOR UPDATE; the rest of the rows; the runs; COMMIT
 *
 * A run that is restored. Its restore updates the row, so it waits for us and finds no run; or it was
 * first, and then the run is not among those that we hold. There is no moment in between in which
 * artifacts go whose run lives.
 *
 * Writers. A flusher locks its window's runs FOR KEY SHARE, in order (flush/txn.c), which goes
 * together with the first lock, however long artifacts take. The second waits for windows under way
 * that have points for these runs, and those that come later wait for it, for the time of the last few
 * statements: so no point is written between the end of a run's metrics and the end of the run, and
 * what comes then finds no run and goes to the dead-letter file. The lock stands before latest_metrics
 * are touched, in the order of run ids, as a flusher takes them: no circle of the two. A stock server
 * takes latest_metrics first, so with it there may be one: we wait for a lock as long as
 * PG_LOCK_PATIENCE, then start the batch over, for GC_PATIENCE_US in all. What was removed of artifacts
 * is not there then, and costs a look.
 *
 * Parts. A batch of up to GC_ROWS points goes in hold's one transaction, whole or not at all. Of a
 * larger one each run goes by itself, GC_ROWS in a transaction: DELETE .. LIMIT, GC_FIRSTS times; and
 * what is left then by a cursor. For DELETE .. LIMIT passes over all that it has removed before, every
 * time: hold's transaction is older, and keeps the dead from being cleaned away. The cursor lives in
 * hold's transaction and sees the rows of one moment, so each is visited once, however many parts; its
 * snapshot keeps their places (ctid) from being used again. But places that go to and fro as text cost
 * twice as much a row.
 *
 * Killed. Before COMMIT the batch is there, without some artifacts and perhaps without some of the
 * metrics, deleted as before: the next gc takes it again. So it is when a run is restored after that:
 * as with MLflow, whose artifacts go first as well, a gc that was begun cannot be taken back.
 *
 * Experiments take with them what refers to them, in MLflow's order of its ORM: runs that are not
 * deleted too, whose artifacts MLflow leaves. Foreign keys do the rest (ON DELETE CASCADE).
 */
#include "gateway/gc/gc_remove.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "gateway/gc/gc_find.h"
#include "schema/errors.h"

#define GC_PATIENCE_US ((uint64_t)60 * 1000 * 1000)

enum { GC_FIRSTS = 4, GC_FETCH = 20000 };

/* What is large, and how parts of it go; $1 = whose. */
struct part {
    const char *is_small; /* are there $2 rows at most? NULL: they are not counted */
    const char *first;    /* removes the first $2 that it finds; NULL: the cursor does all */
    const char *find;     /* DECLARE gc_part ... */
    const char *remove;   /* $1 = an array of what was found */
};

/* Runs or models: claim gives id and URI of those that may go. $1 = ids, $2 = workspace, $3 = cutoff or NULL. */
struct kind {
    const char *claim;
    unsigned
        uri_parts; /* of the end of its URI that are its own: <id>/artifacts, models/<id>/artifacts */
    const struct part *part;
    const char *const *rows; /* what ends it, $1 = ids; NULL at the end */
};

#define OF_RUNS " WHERE run_uuid = ANY ($1::text[])"

static const struct part metrics_part = {
    "SELECT count(*) <= $2::int8 FROM (SELECT FROM metrics" OF_RUNS " LIMIT $2::int8 + 1) AS m",
    "DELETE FROM metrics WHERE ctid = ANY (ARRAY(SELECT ctid FROM metrics" OF_RUNS
    " LIMIT $2::int8))",
    "DECLARE gc_part NO SCROLL CURSOR FOR SELECT ctid FROM metrics" OF_RUNS,
    "DELETE FROM metrics WHERE ctid = ANY ($1::tid[])"};

static const char *const run_rows[] = {"SELECT 1 FROM runs" OF_RUNS " ORDER BY run_uuid FOR UPDATE",
                                       "DELETE FROM metrics" OF_RUNS,
                                       "DELETE FROM latest_metrics" OF_RUNS,
                                       "DELETE FROM params" OF_RUNS,
                                       "DELETE FROM tags" OF_RUNS,
                                       "DELETE FROM runs" OF_RUNS,
                                       NULL};

static const struct kind runs_kind = {
    "SELECT r.run_uuid, r.artifact_uri FROM runs AS r JOIN experiments AS e"
    " ON e.experiment_id = r.experiment_id WHERE r.run_uuid = ANY ($1::text[])"
    " AND r.lifecycle_stage = 'deleted' AND e.workspace = $2"
    " AND ($3::int8 IS NULL OR r.deleted_time <= $3::int8)"
    " ORDER BY r.run_uuid FOR NO KEY UPDATE OF r",
    2, &metrics_part, run_rows};

static const char *const model_rows[] = {
    "SELECT 1 FROM logged_models WHERE model_id = ANY ($1::text[]) ORDER BY model_id FOR UPDATE",
    "DELETE FROM logged_models WHERE model_id = ANY ($1::text[])", NULL};

static const struct kind models_kind = {
    "SELECT m.model_id, m.artifact_location FROM logged_models AS m JOIN experiments AS e"
    " ON e.experiment_id = m.experiment_id WHERE m.model_id = ANY ($1::text[])"
    " AND m.lifecycle_stage = 'deleted' AND e.workspace = $2"
    " AND ($3::int8 IS NULL OR m.last_updated_timestamp_ms <= $3::int8)"
    " ORDER BY m.model_id FOR NO KEY UPDATE OF m",
    3, NULL, model_rows};

static const char claim_experiment[] =
    "SELECT 1 FROM experiments WHERE experiment_id = $1::int4 AND workspace = $2"
    " AND lifecycle_stage = 'deleted' AND ($3::int8 IS NULL OR last_update_time < $3::int8)"
    " FOR NO KEY UPDATE";

#define OF_EXPERIMENT " WHERE experiment_id = $1::int4"

static const struct part experiment_parts[] = {
    {NULL, NULL,
     "DECLARE gc_part NO SCROLL CURSOR FOR SELECT m.ctid FROM metrics AS m JOIN runs AS r"
     " ON r.run_uuid = m.run_uuid WHERE r.experiment_id = $1::int4",
     "DELETE FROM metrics WHERE ctid = ANY ($1::tid[])"},
    {NULL, NULL,
     "DECLARE gc_part NO SCROLL CURSOR FOR SELECT request_id FROM trace_info" OF_EXPERIMENT,
     "DELETE FROM trace_info WHERE request_id = ANY ($1::text[])"},
    {NULL, NULL,
     "DECLARE gc_part NO SCROLL CURSOR FOR SELECT model_id FROM logged_models" OF_EXPERIMENT,
     "DELETE FROM logged_models WHERE model_id = ANY ($1::text[])"},
};

#define ITS_RUNS " WHERE run_uuid IN (SELECT run_uuid FROM runs" OF_EXPERIMENT ")"

static const char *const experiment_rows[] = {
    "SELECT 1 FROM experiments" OF_EXPERIMENT " FOR UPDATE",
    "SELECT 1 FROM runs" OF_EXPERIMENT " ORDER BY run_uuid FOR UPDATE",
    "DELETE FROM metrics" ITS_RUNS,
    "DELETE FROM latest_metrics" ITS_RUNS,
    "DELETE FROM params" ITS_RUNS,
    "DELETE FROM tags" ITS_RUNS,
    "DELETE FROM runs" OF_EXPERIMENT,
    "DELETE FROM trace_info" OF_EXPERIMENT,
    "DELETE FROM logged_models" OF_EXPERIMENT,
    "DELETE FROM online_scoring_configs" OF_EXPERIMENT,
    "DELETE FROM scorers" OF_EXPERIMENT,
    "DELETE FROM experiment_tags" OF_EXPERIMENT,
    "DELETE FROM sql_trace_rollup_rebuild_queue" OF_EXPERIMENT,
    "DELETE FROM sql_trace_metric_daily_rollups" OF_EXPERIMENT,
    "DELETE FROM sql_span_cost_daily_rollups" OF_EXPERIMENT,
    "DELETE FROM sql_assessment_daily_rollups" OF_EXPERIMENT,
    "DELETE FROM experiments" OF_EXPERIMENT,
    NULL};

/* A session that was lost has given its locks away, and nobody says so before it is asked: what comes then may
 * have been restored. */
static const char still_held[] = "SELECT 1";

static const char jobs_rows[] =
    "DELETE FROM jobs WHERE id = ANY (ARRAY(SELECT id FROM jobs WHERE " GC_JOBS_CHOSEN
    " ORDER BY id LIMIT 1000 FOR UPDATE)) RETURNING id";

/* -- connections ---------------------------------------------------------------------------------- */

err_t gc_remove_open(struct gc_remover *g, const struct pg_terms *terms, struct fail *f)
{
    err_t e;

    arena_init(&g->arena, 64 << 10);
    if (g->part_rows == 0)
        g->part_rows = GC_ROWS;
    g->fetch_rows = g->part_rows < GC_FETCH ? g->part_rows : GC_FETCH;
    snprintf(g->part_text, sizeof(g->part_text), "%" PRIu64, g->part_rows);
    snprintf(g->fetch, sizeof(g->fetch), "FETCH %" PRIu64 " FROM gc_part", g->fetch_rows);
    return (e = gc_sql_open(&g->hold, terms, f)) ? e : gc_sql_open(&g->work, terms, f);
}

void gc_remove_close(struct gc_remover *g)
{
    gc_sql_close(&g->hold);
    gc_sql_close(&g->work);
    arena_fini(&g->arena);
}

/* -- parts ---------------------------------------------------------------------------------------- */

static struct gc_ids column_of(struct arena *a, const PGresult *rows)
{
    struct gc_ids ids = {arena_array(a, (size_t)PQntuples(rows) + 1, sizeof(struct str)), 0};

    for (int i = 0; i < PQntuples(rows); i++)
        ids.items[ids.n++] = gc_sql_get(rows, i, 0);
    return ids;
}

/* One statement in a transaction of its own. */
static err_t work_off(struct gc_remover *g, const char *sql, const char *const *values, int count,
                      uint64_t *rows, struct fail *f)
{
    PGresult *r;
    err_t e;

    if ((e = gc_sql_begin(&g->work, f)) || (e = gc_sql_ask(&g->work, sql, values, count, &r, f)))
        return e;
    *rows = gc_sql_touched(r);
    g->rows += *rows;
    PQclear(r);
    if ((e = gc_sql_commit(&g->work, f)))
        return e;
    fault_point("gc_part");
    if (g->tick)
        g->tick(g->owner);
    return OK;
}

/* The next rows that the cursor has; *is_over when fewer are left, which stay for the end. */
static err_t remove_next(struct gc_remover *g, const char *remove, bool *is_over, struct fail *f)
{
    const char *value;
    struct gc_ids found;
    PGresult *rows;
    uint64_t n;
    err_t e;

    if ((e = gc_sql_ask(&g->hold, g->fetch, NULL, 0, &rows, f)))
        return e;
    found = column_of(&g->arena, rows);
    *is_over = found.n < g->fetch_rows;
    if (!*is_over) {
        value = gc_sql_array(&g->arena, &found);
        e = work_off(g, remove, &value, 1, &n, f);
    }
    PQclear(rows);
    return e;
}

static err_t remove_by_cursor(struct gc_remover *g, const struct part *part, const char *of,
                              struct fail *f)
{
    struct arena_mark mark = arena_mark(&g->arena);
    bool is_over = false;
    err_t e = gc_sql_ask(&g->hold, part->find, &of, 1, NULL, f);

    while (e == OK && !is_over) {
        e = remove_next(g, part->remove, &is_over, f);
        arena_rewind(&g->arena, &mark);
    }
    return e ? e : gc_sql_ask(&g->hold, "CLOSE gc_part", NULL, 0, NULL, f);
}

static err_t is_small(struct gc_remover *g, const struct part *part, const char *of, bool *out,
                      struct fail *f)
{
    const char *values[] = {of, g->part_text};
    PGresult *r;
    err_t e = gc_sql_ask(&g->hold, part->is_small, values, 2, &r, f);

    if (e)
        return e;
    *out = PQgetvalue(r, 0, 0)[0] == 't';
    PQclear(r);
    return OK;
}

/* Of one of a batch that is not small together. */
static err_t remove_parts(struct gc_remover *g, const struct part *part, const char *of,
                          struct fail *f)
{
    const char *values[] = {of, g->part_text};
    uint64_t rows = g->part_rows;
    err_t e = OK;

    for (unsigned i = 0; i < GC_FIRSTS && rows == g->part_rows && e == OK; i++)
        e = work_off(g, part->first, values, 2, &rows, f);
    return e || rows < g->part_rows ? e : remove_by_cursor(g, part, of, f);
}

static err_t remove_large(struct gc_remover *g, const struct part *part, const struct gc_ids *ids,
                          const char *of, struct fail *f)
{
    struct arena_mark mark = arena_mark(&g->arena);
    bool is_over;
    err_t e = is_small(g, part, of, &is_over, f);

    if (e || is_over)
        return e;
    for (size_t i = 0; i < ids->n && e == OK; i++) {
        const struct gc_ids one = {ids->items + i, 1};

        e = remove_parts(g, part, gc_sql_array(&g->arena, &one), f);
        arena_rewind(&g->arena, &mark);
    }
    return e;
}

static err_t remove_rows(struct gc_remover *g, const char *const *rows, const char *of,
                         struct fail *f)
{
    err_t e = OK;

    for (size_t i = 0; rows[i] && e == OK; i++)
        e = gc_sql_ask(&g->hold, rows[i], &of, 1, NULL, f);
    if (e)
        return e;
    fault_point("gc_commit");
    return gc_sql_commit(&g->hold, f);
}

/* -- runs and models ------------------------------------------------------------------------------ */

static enum gc_end *end_of(const struct gc_ids *ids, enum gc_end *ends, struct str id)
{
    for (size_t i = 0; i < ids->n; i++)
        if (str_eq(ids->items[i], id))
            return &ends[i];
    return NULL;
}

/* Artifacts of one. A URI holds what a client once chose, so one that is refused keeps only what it belongs
 * to: else whoever may create an experiment could end every gc. */
static err_t remove_one(struct gc_remover *g, const struct kind *kind, struct str id,
                        struct str uri, enum gc_end *end, struct fail *f)
{
    enum gc_fate fate = GC_REMOVED;
    err_t e = OK;

    if (uri.n && (e = gc_artifacts_remove(g->artifacts, uri, kind->uri_parts, &fate, f)) &&
        e != ERR_BAD_PARAM)
        return e;
    *end = e                         ? GC_REFUSED
           : fate == GC_FOREIGN      ? GC_LEFT
           : fate == GC_UNRESOLVABLE ? GC_BYPASSED
                                     : GC_GONE;
    if (e && g->refused)
        g->refused(g->owner, id, f->text);
    return OK;
}

/* Artifacts of what was claimed; *going: whose rows go. */
static err_t remove_artifacts(struct gc_remover *g, const struct kind *kind,
                              const PGresult *claimed, const struct gc_ids *ids, enum gc_end *ends,
                              struct gc_ids *going, struct fail *f)
{
    err_t e;

    for (int i = 0; i < PQntuples(claimed); i++) {
        struct str id = gc_sql_get(claimed, i, 0), uri = gc_sql_get(claimed, i, 1);
        enum gc_end *end = end_of(ids, ends, id);

        check(end != NULL);
        if ((e = gc_sql_ask(&g->hold, still_held, NULL, 0, NULL, f)) ||
            (e = remove_one(g, kind, id, uri, end, f)))
            return e;
        if (*end == GC_GONE || *end == GC_BYPASSED)
            going->items[going->n++] = id;
        if (g->tick)
            g->tick(g->owner);
    }
    return (e = gc_sql_ask(&g->hold, still_held, NULL, 0, NULL, f))
               ? e
               : gc_artifacts_finish(g->artifacts, f);
}

static const char *cutoff_of(struct gc_remover *g)
{
    return g->has_age ? arena_printf(&g->arena, "%lld", (long long)g->cutoff_ms).p : NULL;
}

static err_t remove_claimed(struct gc_remover *g, const struct kind *kind, const struct gc_ids *ids,
                            enum gc_end *ends, const PGresult *claimed, struct fail *f)
{
    struct gc_ids going = {arena_array(&g->arena, ids->n + 1, sizeof(struct str)), 0};
    const char *of;
    err_t e;

    if ((e = remove_artifacts(g, kind, claimed, ids, ends, &going, f)))
        return e;
    fault_point("gc_artifacts");
    if (going.n == 0)
        return gc_sql_commit(&g->hold, f);
    of = gc_sql_array(&g->arena, &going);
    if (kind->part && (e = remove_large(g, kind->part, &going, of, f)))
        return e;
    return remove_rows(g, kind->rows, of, f);
}

static err_t try_batch(struct gc_remover *g, const struct kind *kind, const struct gc_ids *ids,
                       enum gc_end *ends, struct fail *f)
{
    const char *values[3];
    PGresult *claimed;
    err_t e;

    arena_reset(&g->arena);
    values[0] = gc_sql_array(&g->arena, ids);
    values[1] = g->workspace;
    values[2] = cutoff_of(g);
    memset(ends, 0, ids->n * sizeof(*ends)); /* GC_KEPT, until it is claimed */
    if ((e = gc_sql_begin(&g->hold, f)) ||
        (e = gc_sql_ask(&g->hold, kind->claim, values, 3, &claimed, f)))
        return e;
    e = remove_claimed(g, kind, ids, ends, claimed, f);
    PQclear(claimed);
    return e;
}

/* After a failure: is the same to be tried again? Ends both transactions. */
static bool may_retry(struct gc_remover *g, uint64_t began_us)
{
    bool is_crossed = gc_sql_is_crossed(&g->hold) || gc_sql_is_crossed(&g->work);

    gc_sql_rollback(&g->hold);
    gc_sql_rollback(&g->work);
    g->hold.sqlstate[0] = g->work.sqlstate[0] = 0;
    return is_crossed && clock_us() - began_us < GC_PATIENCE_US;
}

static err_t remove_batch(struct gc_remover *g, const struct kind *kind, const struct gc_ids *ids,
                          enum gc_end *ends, struct fail *f)
{
    uint64_t began_us = clock_us();
    err_t e;

    check(ids->n <= GC_BATCH);
    do {
        e = try_batch(g, kind, ids, ends, f);
    } while (e && may_retry(g, began_us));
    return e;
}

err_t gc_remove_runs(struct gc_remover *g, const struct gc_ids *ids, enum gc_end *ends,
                     struct fail *f)
{
    return remove_batch(g, &runs_kind, ids, ends, f);
}

err_t gc_remove_models(struct gc_remover *g, const struct gc_ids *ids, enum gc_end *ends,
                       struct fail *f)
{
    return remove_batch(g, &models_kind, ids, ends, f);
}

/* -- experiments ---------------------------------------------------------------------------------- */

static err_t try_experiment(struct gc_remover *g, struct str id, enum gc_end *end, struct fail *f)
{
    const char *values[3];
    PGresult *claimed;
    err_t e;

    arena_reset(&g->arena);
    values[0] = arena_cstr(&g->arena, id);
    values[1] = g->workspace;
    values[2] = cutoff_of(g);
    *end = GC_KEPT;
    if ((e = gc_sql_begin(&g->hold, f)) ||
        (e = gc_sql_ask(&g->hold, claim_experiment, values, 3, &claimed, f)))
        return e;
    if (PQntuples(claimed) > 0)
        *end = GC_GONE;
    PQclear(claimed);
    if (*end == GC_KEPT)
        return gc_sql_commit(&g->hold, f);
    for (size_t i = 0; i < array_len(experiment_parts); i++)
        if ((e = remove_by_cursor(g, &experiment_parts[i], values[0], f)))
            return e;
    return remove_rows(g, experiment_rows, values[0], f);
}

err_t gc_remove_experiment(struct gc_remover *g, struct str id, enum gc_end *end, struct fail *f)
{
    uint64_t began_us = clock_us();
    err_t e;

    do {
        e = try_experiment(g, id, end, f);
    } while (e && may_retry(g, began_us));
    return e;
}

/* -- jobs ----------------------------------------------------------------------------------------- */

err_t gc_remove_jobs(struct gc_remover *g, const struct gc_options *o, struct arena *a,
                     struct gc_ids *gone, struct fail *f)
{
    const char *values[3] = {g->workspace, NULL, NULL};
    PGresult *rows;
    err_t e;

    if (o->jobs.items)
        values[1] = gc_sql_array(a, &o->jobs);
    if (o->age_ms > 0)
        values[2] = arena_printf(a, "%lld", (long long)g->cutoff_ms).p;
    if ((e = gc_sql_begin(&g->work, f)) == OK &&
        (e = gc_sql_ask(&g->work, jobs_rows, values, 3, &rows, f)) == OK) {
        *gone = column_of(a, rows);
        for (size_t i = 0; i < gone->n; i++)
            gone->items[i] = arena_dup(a, gone->items[i]);
        PQclear(rows);
        e = gc_sql_commit(&g->work, f);
    }
    gc_sql_rollback(&g->work);
    return e;
}
