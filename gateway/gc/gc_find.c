/*
 * gc_find: MLflow's choice, by the same rules: runs by deleted_time, models by their last update, both up
 * to the age; experiments by their last update before it, and only when an age is given. With an
 * experiment go all of its deleted runs, whatever runs were named.
 *
 * Each question gives an id and a word of what may be done with it: ok, young, active, missing. What was
 * collected is ok, but for runs of an old experiment that are younger than the age: MLflow stops at such a
 * one wherever it meets it, here it comes last, so that one young run does not keep all others.
 *
 * MLflow checks each named id when its turn comes, in the order of a Python set; here all are checked
 * before anything is removed.
 */
#include "gateway/gc/gc_find.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/api/experiment_id.h"
#include "gateway/say.h"
#include "schema/errors.h"

#define RUN_WORD                                                                        \
    " CASE WHEN r.run_uuid IS NULL THEN 'missing' WHEN r.lifecycle_stage <> 'deleted' " \
    "THEN 'active' WHEN r.deleted_time <= $2::int8 THEN 'ok' ELSE 'young' END"
#define MODEL_WORD                                                                       \
    " CASE WHEN m.model_id IS NULL THEN 'missing' WHEN m.lifecycle_stage = 'deleted' "   \
    "THEN CASE WHEN m.last_updated_timestamp_ms <= $2::int8 THEN 'ok' ELSE 'young' END " \
    "ELSE 'active' END"

static const char named_runs[] =
    "SELECT i.id," RUN_WORD " FROM (SELECT DISTINCT unnest($3::text[]) AS id) AS i LEFT JOIN"
    " (runs AS r JOIN experiments AS e ON e.experiment_id = r.experiment_id"
    " AND e.workspace = $1) ON r.run_uuid = i.id ORDER BY 1";

static const char deleted_runs[] =
    "SELECT r.run_uuid, 'ok' FROM runs AS r JOIN experiments AS e ON e.experiment_id ="
    " r.experiment_id WHERE e.workspace = $1 AND r.lifecycle_stage = 'deleted'"
    " AND r.deleted_time <= $2::int8 ORDER BY 1";

static const char experiments_runs[] =
    "SELECT r.run_uuid, " RUN_WORD " FROM runs AS r JOIN experiments AS e"
    " ON e.experiment_id = r.experiment_id WHERE e.workspace = $1"
    " AND r.lifecycle_stage = 'deleted' AND r.experiment_id = ANY ($3::int4[])"
    " AND NOT r.run_uuid = ANY ($4::text[]) ORDER BY 1";

static const char named_models[] =
    "SELECT i.id," MODEL_WORD " FROM (SELECT DISTINCT unnest($3::text[]) AS id) AS i LEFT JOIN"
    " (logged_models AS m JOIN experiments AS e ON e.experiment_id = m.experiment_id"
    " AND e.workspace = $1) ON m.model_id = i.id ORDER BY 1";

static const char deleted_models[] =
    "SELECT m.model_id, 'ok' FROM logged_models AS m JOIN experiments AS e ON e.experiment_id ="
    " m.experiment_id WHERE e.workspace = $1 AND m.lifecycle_stage = 'deleted'"
    " AND m.last_updated_timestamp_ms <= $2::int8 ORDER BY 1";

static const char named_experiments[] =
    "SELECT i.id, CASE WHEN e.experiment_id IS NULL THEN 'missing' WHEN e.lifecycle_stage <>"
    " 'deleted' THEN 'active' WHEN e.last_update_time < $2::int8 THEN 'ok' ELSE 'young' END"
    " FROM (SELECT DISTINCT unnest($3::text[]) AS id) AS i LEFT JOIN experiments AS e"
    " ON e.experiment_id = i.id::int4 AND e.workspace = $1 ORDER BY 1";

static const char deleted_experiments[] =
    "SELECT experiment_id, 'ok' FROM experiments WHERE workspace = $1 AND lifecycle_stage ="
    " 'deleted' AND ($3::int4 = 0 OR last_update_time < $2::int8) ORDER BY experiment_id";

/* One look on its way. */
struct look {
    struct gc_sql *sql;
    const struct gc_options *options;
    const char *workspace;
    struct arena *arena;
    struct gc_plan *plan;
    char cutoff[24];
    bool has_age;
};

/* -- what is wrong with an id that was named ------------------------------------------------------ */

static struct str young_run(const struct look *k, struct str id)
{
    return SAY_TEXT(k->arena, STR("Run "), id,
                    STR(" is not older than the required age. Only runs older than "),
                    str_of(k->options->older_than), STR(" can be deleted."));
}

static err_t bad_run(const struct look *k, struct str id, struct str word, struct fail *f)
{
    if (str_eq(word, STR("missing")))
        return SAY(k->arena, f, ERR_NOT_FOUND, STR("Run with id="), id, STR(" not found"));
    if (str_eq(word, STR("active")))
        return SAY(
            k->arena, f, ERR_BAD_PARAM, STR("Run "), id,
            STR(" is not in `deleted` lifecycle stage. Only runs in `deleted` lifecycle stage "
                "can be deleted."));
    return fail_str(f, ERR_BAD_PARAM, young_run(k, id));
}

static err_t bad_model(const struct look *k, struct str id, struct str word, struct fail *f)
{
    if (str_eq(word, STR("missing")))
        return SAY(k->arena, f, ERR_NOT_FOUND, STR("Logged model with ID '"), id,
                   STR("' not found."));
    if (str_eq(word, STR("active")))
        return SAY(k->arena, f, ERR_BAD_PARAM, STR("Logged model "), id,
                   STR(" is not in `deleted` lifecycle stage. Only logged models in `deleted` "
                       "lifecycle stage can be deleted."));
    return SAY(k->arena, f, ERR_BAD_PARAM, STR("Logged model "), id,
               STR(" is not older than the required age. Only logged models older than "),
               str_of(k->options->older_than), STR(" can be deleted."));
}

/* Those of the rows that may go into ids, which has room for all. */
static err_t keep_good(const struct look *k, const PGresult *rows, struct gc_ids *ids,
                       err_t (*bad)(const struct look *, struct str, struct str, struct fail *),
                       struct fail *f)
{
    for (int i = 0; i < PQntuples(rows); i++) {
        struct str id = arena_dup(k->arena, gc_sql_get(rows, i, 0));
        struct str word = gc_sql_get(rows, i, 1);
        bool is_missing = str_eq(word, STR("missing"));
        bool is_young = str_eq(word, STR("young"));

        if (is_missing && k->options->all_workspaces)
            continue; /* of another one, perhaps */
        if (!str_eq(word, STR("ok")) && !(is_young && !k->has_age))
            return bad(k, id, word, f);
        ids->items[ids->n++] = id;
    }
    return OK;
}

static err_t find_things(const struct look *k, const struct gc_ids *named, const char *ask_named,
                         const char *ask_all,
                         err_t (*bad)(const struct look *, struct str, struct str, struct fail *),
                         struct gc_ids *out, struct fail *f)
{
    const char *values[] = {k->workspace, k->cutoff, NULL};
    bool is_named = named->items != NULL;
    PGresult *rows;
    err_t e;

    if (is_named)
        values[2] = gc_sql_array(k->arena, named);
    if ((e = gc_sql_ask(k->sql, is_named ? ask_named : ask_all, values, is_named ? 3 : 2, &rows,
                        f)))
        return e;
    *out =
        (struct gc_ids){arena_array(k->arena, (size_t)PQntuples(rows) + 1, sizeof(struct str)), 0};
    e = keep_good(k, rows, out, bad, f);
    PQclear(rows);
    return e;
}

/* -- experiments ---------------------------------------------------------------------------------- */

static err_t bad_experiments(const struct look *k, const struct gc_ids *active,
                             const struct gc_ids *young, struct fail *f)
{
    if (active->n)
        return SAY(k->arena, f, ERR_BAD_PARAM, STR("Experiments "),
                   say_repr_list(k->arena, active->items, active->n),
                   STR(" are not in the deleted lifecycle stage. Only experiments in the deleted "
                       "lifecycle stage can be hard-deleted."));
    if (young->n)
        return SAY(k->arena, f, ERR_BAD_PARAM, STR("Experiments "),
                   say_repr_list(k->arena, young->items, young->n),
                   STR(" are not older than the required age. Only experiments older than "),
                   str_of(k->options->older_than), STR(" can be deleted."));
    return OK;
}

/* The rows sorted into what may go, is active, is young. */
static err_t judge_experiments(const struct look *k, const PGresult *rows, struct fail *f)
{
    size_t room = (size_t)PQntuples(rows) + 1;
    struct gc_ids *good = &k->plan->experiments;
    struct gc_ids active = {arena_array(k->arena, room, sizeof(struct str)), 0};
    struct gc_ids young = {arena_array(k->arena, room, sizeof(struct str)), 0};

    *good = (struct gc_ids){arena_array(k->arena, room, sizeof(struct str)), 0};
    for (int i = 0; i < PQntuples(rows); i++) {
        struct str id = arena_dup(k->arena, gc_sql_get(rows, i, 0));
        struct str word = gc_sql_get(rows, i, 1);
        int32_t number;
        err_t e;

        if (str_eq(word, STR("missing"))) {
            if (k->options->all_workspaces)
                continue;
            return (e = experiment_id_parse(id, &number, f)) ? e : experiment_id_unknown(number, f);
        }
        if (str_eq(word, STR("active")))
            active.items[active.n++] = id;
        else if (str_eq(word, STR("young")) && k->has_age)
            young.items[young.n++] = id;
        else
            good->items[good->n++] = id;
    }
    return bad_experiments(k, &active, &young, f);
}

/* The named ids as PostgreSQL writes numbers. */
static err_t experiment_numbers(const struct look *k, struct gc_ids *out, struct fail *f)
{
    const struct gc_ids *named = &k->options->experiments;

    *out = (struct gc_ids){arena_array(k->arena, named->n, sizeof(struct str)), 0};
    for (size_t i = 0; i < named->n; i++) {
        int32_t number;
        err_t e = experiment_id_parse(named->items[i], &number, f);

        if (e)
            return e;
        out->items[out->n++] = arena_printf(k->arena, "%d", number);
    }
    return OK;
}

static err_t find_experiments(const struct look *k, struct fail *f)
{
    const char *values[] = {k->workspace, k->cutoff, k->has_age ? "1" : "0"};
    const char *sql = deleted_experiments;
    struct gc_ids numbers;
    PGresult *rows;
    err_t e;

    if (k->options->experiments.items) {
        if ((e = experiment_numbers(k, &numbers, f)))
            return e;
        values[2] = gc_sql_array(k->arena, &numbers);
        sql = named_experiments;
    }
    if ((e = gc_sql_ask(k->sql, sql, values, 3, &rows, f)))
        return e;
    e = judge_experiments(k, rows, f);
    PQclear(rows);
    return e;
}

/* -- runs of experiments that go ------------------------------------------------------------------ */

static void add_runs(const struct look *k, const PGresult *rows)
{
    struct gc_ids *runs = &k->plan->runs;
    size_t more = (size_t)PQntuples(rows);
    struct str *items = arena_array(k->arena, runs->n + more + 1, sizeof(*items));

    if (runs->n)
        memcpy(items, runs->items, runs->n * sizeof(*items));
    runs->items = items;
    for (size_t i = 0; i < more; i++) {
        struct str id = arena_dup(k->arena, gc_sql_get(rows, (int)i, 0));

        if (k->has_age && !str_eq(gc_sql_get(rows, (int)i, 1), STR("ok")))
            k->plan->young_why = young_run(k, id);
        else
            items[runs->n++] = id;
    }
}

static err_t find_experiments_runs(const struct look *k, struct fail *f)
{
    const char *values[] = {k->workspace, k->cutoff, NULL, NULL};
    PGresult *rows;
    err_t e;

    if (k->plan->experiments.n == 0)
        return OK;
    values[2] = gc_sql_array(k->arena, &k->plan->experiments);
    values[3] = gc_sql_array(k->arena, &k->plan->runs);
    if ((e = gc_sql_ask(k->sql, experiments_runs, values, 4, &rows, f)))
        return e;
    add_runs(k, rows);
    PQclear(rows);
    return OK;
}

err_t gc_find(struct gc_sql *c, const struct gc_options *o, const char *workspace, struct arena *a,
              struct gc_plan *out, struct fail *f)
{
    struct look k = {.sql = c,
                     .options = o,
                     .workspace = workspace,
                     .arena = a,
                     .plan = out,
                     .has_age = o->older_than && o->older_than[0]};
    err_t e;

    *out =
        (struct gc_plan){.cutoff_ms = (int64_t)clock_wall_ms() - o->age_ms, .has_age = k.has_age};
    snprintf(k.cutoff, sizeof(k.cutoff), "%lld", (long long)out->cutoff_ms);
    if ((e = find_experiments(&k, f)) ||
        (e = find_things(&k, &o->runs, named_runs, deleted_runs, bad_run, &out->runs, f)) ||
        (e = find_things(&k, &o->models, named_models, deleted_models, bad_model, &out->models, f)))
        return e;
    return find_experiments_runs(&k, f);
}

/* The first column of a question. */
static err_t find_column(struct gc_sql *c, const char *sql, const char *const *values, int count,
                         struct arena *a, struct gc_ids *out, struct fail *f)
{
    PGresult *rows;
    err_t e = gc_sql_ask(c, sql, values, count, &rows, f);

    if (e)
        return e;
    *out = (struct gc_ids){arena_array(a, (size_t)PQntuples(rows) + 1, sizeof(struct str)), 0};
    for (int i = 0; i < PQntuples(rows); i++)
        out->items[out->n++] = arena_dup(a, gc_sql_get(rows, i, 0));
    PQclear(rows);
    return OK;
}

err_t gc_find_jobs(struct gc_sql *c, const struct gc_options *o, const char *workspace,
                   int64_t cutoff_ms, struct arena *a, struct gc_ids *out, struct fail *f)
{
    const char *values[3] = {workspace, NULL, NULL};

    if (o->jobs.items)
        values[1] = gc_sql_array(a, &o->jobs);
    if (o->age_ms > 0)
        values[2] = arena_printf(a, "%lld", (long long)cutoff_ms).p;
    return find_column(c, "SELECT id FROM jobs WHERE " GC_JOBS_CHOSEN " ORDER BY id", values, 3, a,
                       out, f);
}

err_t gc_find_workspaces(struct gc_sql *c, struct arena *a, struct gc_ids *out, struct fail *f)
{
    err_t e = find_column(c, "SELECT name FROM workspaces ORDER BY name", NULL, 0, a, out, f);

    if (e == OK && out->n == 0)
        return fail(f, ERR_BAD_PARAM,
                    "No workspaces found. Ensure the workspace provider is configured correctly.");
    return e;
}
