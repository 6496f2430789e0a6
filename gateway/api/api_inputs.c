/*
 * api_inputs: what a run read and made, datasets and models, and the datasets of experiments.
 *
 * A dataset is one row of `datasets` for its experiment, name and digest; the first one who logs it
 * says what it is. A run's use of it is a row of `inputs`, and the tags of that use are written with
 * the row, never later. Models a run reads or makes are rows of `inputs` too; whether the model exists
 * nobody asks. All of a call is one statement, which asks the run's row for its stage.
 *
 * Two clients that log the same dataset at once meet in a primary key: the later one's statement
 * is undone, and run again it finds the other's rows. MLflow answers 400 then.
 *
 * A NUL, which PostgreSQL does not take, is told only once the run is known to be there, as MLflow
 * does; the statement then goes out with nothing to write.
 *
 * The datasets that the runs of some experiments use are what the web UI filters by. MLflow shows any
 * 1000 of them in any order; here they are the first ones by experiment, name, digest and context.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "gateway/api/experiment_id.h"
#include "gateway/api/run_stage.h"
#include "gateway/http/reply.h"
#include "ingest/names.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { INPUTS_ATTEMPTS = 3 };

/* -- inputs ---------------------------------------------------------------------------------- */

static const struct stmt LOG_INPUTS = {
    "inputs_log",
    "WITH run AS (SELECT run_uuid, experiment_id, lifecycle_stage FROM runs"
    " WHERE run_uuid = $1::text" SCOPE_OF(
        "runs") "),"
                " live AS (SELECT * FROM run WHERE lifecycle_stage = 'active'),"
                " sent AS MATERIALIZED (SELECT DISTINCT ON (name, digest) *,"
                " replace(gen_random_uuid()::text, '-', '') AS new_dataset,"
                " replace(gen_random_uuid()::text, '-', '') AS new_input"
                " FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], "
                "$7::text[])"
                " WITH ORDINALITY AS t(name, digest, type, source, schema, profile, n)"
                " ORDER BY name, digest, n),"
                " known AS MATERIALIZED (SELECT s.n, d.dataset_uuid FROM sent s, live JOIN "
                "datasets d"
                " USING (experiment_id) WHERE d.name = s.name AND d.digest = s.digest),"
                " made AS (INSERT INTO datasets (dataset_uuid, experiment_id, name, digest,"
                " dataset_source_type, dataset_source, dataset_schema, dataset_profile)"
                " SELECT s.new_dataset, live.experiment_id, s.name, s.digest, s.type, s.source, "
                "s.schema,"
                " s.profile FROM sent s, live WHERE NOT EXISTS (SELECT 1 FROM known WHERE known.n "
                "= s.n)),"
                " used AS (INSERT INTO inputs (input_uuid, source_type, source_id, "
                "destination_type,"
                " destination_id) SELECT s.new_input, 'DATASET', coalesce(k.dataset_uuid, "
                "s.new_dataset), "
                "'RUN',"
                " live.run_uuid FROM sent s LEFT JOIN known k USING (n), live"
                " WHERE NOT EXISTS (SELECT 1 FROM inputs i WHERE i.source_type = 'DATASET'"
                " AND i.source_id = k.dataset_uuid AND i.destination_type = 'RUN'"
                " AND i.destination_id = live.run_uuid) RETURNING input_uuid),"
                " tagged AS (INSERT INTO input_tags (input_uuid, name, value)"
                " SELECT used.input_uuid, t.name, t.value"
                " FROM unnest($8::int8[], $9::text[], $10::text[]) AS t(n, name, value)"
                " JOIN sent s USING (n) JOIN used ON used.input_uuid = s.new_input),"
                " models AS (INSERT INTO inputs (input_uuid, source_type, source_id, "
                "destination_type,"
                " destination_id) SELECT replace(gen_random_uuid()::text, '-', ''), 'RUN_INPUT', "
                "live.run_uuid,"
                " 'MODEL_INPUT', m.id FROM live, (SELECT DISTINCT id FROM unnest($11::text[]) AS "
                "t(id)"
                " ORDER BY id) AS m"
                " ON CONFLICT (source_type, source_id, destination_type, destination_id)"
                " DO UPDATE SET input_uuid = excluded.input_uuid)"
                " SELECT lifecycle_stage FROM run"};

enum {
    VALUE_RUN,
    VALUE_NAMES,
    VALUE_DIGESTS,
    VALUE_TYPES,
    VALUE_SOURCES,
    VALUE_SCHEMAS,
    VALUE_PROFILES,
    VALUE_TAG_OWNERS,
    VALUE_TAG_KEYS,
    VALUE_TAG_VALUES,
    VALUE_MODELS,
    VALUES
};

struct inputs_call {
    struct msg_log_inputs m;
    struct str nul; /* a text with a NUL in it, or empty */
    unsigned attempts;
    struct str values[VALUES];
};

static void note_nul(struct str s, struct str *nul)
{
    if (s.n && memchr(s.p, '\0', s.n))
        *nul = s;
}

static err_t check_dataset(const struct msg_dataset *d, struct str *nul, struct fail *f)
{
    const struct {
        struct str text;
        size_t max;
        const char *name;
    } rules[] = {
        {d->name.s, LIMIT_DATASET_NAME, "name"},
        {d->digest.s, LIMIT_DATASET_DIGEST, "digest"},
        {d->source.s, LIMIT_DATASET_SOURCE, "source"},
        {d->schema.s, LIMIT_DATASET_SCHEMA, "schema"},
        {d->profile.s, LIMIT_DATASET_PROFILE, "profile"},
    };
    err_t e;

    for (size_t i = 0; i < array_len(rules); i++) {
        if ((e = names_check_length(rules[i].text, rules[i].max, rules[i].name, f)))
            return e;
        note_nul(rules[i].text, nul);
    }
    note_nul(d->source_type.s, nul);
    return OK;
}

/* In MLflow's order: each dataset, then its tags. */
static err_t check_inputs(struct inputs_call *c, struct fail *f)
{
    err_t e = names_check_run_id(c->m.run_id.s, f);

    for (size_t i = 0; i < c->m.datasets.n && !e; i++) {
        const struct msg_dataset_input *d = &c->m.datasets.items[i];

        e = check_dataset(&d->dataset, &c->nul, f);
        for (size_t k = 0; k < d->tags.n && !e; k++) {
            const struct msg_input_tag *tag = &d->tags.items[k];

            if ((e = names_check_length(tag->key.s, LIMIT_INPUT_TAG_KEY, "key", f)) ||
                (e = names_check_length(tag->value.s, LIMIT_INPUT_TAG_VALUE, "value", f)))
                return e;
            note_nul(tag->key.s, &c->nul);
            note_nul(tag->value.s, &c->nul);
        }
    }
    for (size_t i = 0; i < c->m.models.n; i++)
        note_nul(c->m.models.items[i].model_id.s, &c->nul);
    return e;
}

static void bind_datasets(struct arena *a, struct inputs_call *c, size_t n)
{
    struct str *texts[VALUE_PROFILES + 1];

    for (size_t v = VALUE_NAMES; v <= VALUE_PROFILES; v++)
        texts[v] = arena_array(a, n, sizeof(**texts));
    for (size_t i = 0; i < n; i++) {
        const struct msg_dataset *d = &c->m.datasets.items[i].dataset;

        texts[VALUE_NAMES][i] = d->name.s;
        texts[VALUE_DIGESTS][i] = d->digest.s;
        texts[VALUE_TYPES][i] = d->source_type.s;
        texts[VALUE_SOURCES][i] = d->source.s;
        texts[VALUE_SCHEMAS][i] = d->schema.is_set ? sql_text(a, d->schema.s) : sql_null();
        texts[VALUE_PROFILES][i] = d->profile.is_set ? sql_text(a, d->profile.s) : sql_null();
    }
    for (size_t v = VALUE_NAMES; v < VALUE_SCHEMAS; v++)
        c->values[v] = sql_text_array(a, texts[v], n);
    for (size_t v = VALUE_SCHEMAS; v <= VALUE_PROFILES; v++)
        c->values[v] = sql_text_array_nulls(a, texts[v], n);
}

/* The tags of the first n datasets; an owner is the place of its dataset, from 1. */
static void bind_tags(struct arena *a, struct inputs_call *c, size_t n)
{
    size_t count = 0, at = 0;
    struct str *keys, *texts;
    int64_t *owners;

    for (size_t i = 0; i < n; i++)
        count += c->m.datasets.items[i].tags.n;
    keys = arena_array(a, count, sizeof(*keys));
    texts = arena_array(a, count, sizeof(*texts));
    owners = arena_array(a, count, sizeof(*owners));
    for (size_t i = 0; i < n; i++) {
        const struct msg_dataset_input *d = &c->m.datasets.items[i];

        for (size_t k = 0; k < d->tags.n; k++, at++) {
            owners[at] = (int64_t)i + 1;
            keys[at] = d->tags.items[k].key.s;
            texts[at] = d->tags.items[k].value.s;
        }
    }
    c->values[VALUE_TAG_OWNERS] = sql_i64_array(a, owners, count);
    c->values[VALUE_TAG_KEYS] = sql_text_array(a, keys, count);
    c->values[VALUE_TAG_VALUES] = sql_text_array(a, texts, count);
}

static err_t inputs_write(struct req *r);

static err_t inputs_done(struct req *r, struct fail *f)
{
    const struct inputs_call *c = r->data;
    err_t e;

    if (str_eq(str_of(r->sql.sqlstate), STR("23505")) && c->attempts < INPUTS_ATTEMPTS)
        return inputs_write(r);
    if (r->sql.err)
        return req_sql_fail(r, f);
    if ((e = run_stage_check(r, c->m.run_id.s, 0, f)) || (e = names_check_nul(c->nul, f)))
        return e;
    return reply_empty(r);
}

static err_t inputs_write(struct req *r)
{
    struct inputs_call *c = r->data;

    c->attempts++;
    return req_sql_try(r, &(struct sql_step){&LOG_INPUTS, c->values, VALUES}, 1, inputs_done);
}

err_t api_log_inputs(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct inputs_call *c = r->data = arena_zalloc(a, sizeof(*c));
    size_t ndatasets, nmodels;
    struct str *models;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_log_inputs, &c->m, f)) || (e = check_inputs(c, f)))
        return e;
    ndatasets = c->nul.n ? 0 : c->m.datasets.n;
    nmodels = c->nul.n ? 0 : c->m.models.n;
    models = arena_array(a, nmodels, sizeof(*models));
    for (size_t i = 0; i < nmodels; i++)
        models[i] = c->m.models.items[i].model_id.s;
    c->values[VALUE_RUN] = sql_text(a, c->m.run_id.s);
    bind_datasets(a, c, ndatasets);
    bind_tags(a, c, ndatasets);
    c->values[VALUE_MODELS] = sql_text_array(a, models, nmodels);
    return inputs_write(r);
}

/* -- outputs --------------------------------------------------------------------------------- */

/* A model that the run has made before violates the primary key: 400, as at MLflow. */
static const struct stmt LOG_OUTPUTS = {
    "outputs_log",
    "WITH run AS (SELECT run_uuid, lifecycle_stage FROM runs WHERE run_uuid = $1::text" SCOPE_OF(
        "runs") "),"
                " made AS (INSERT INTO inputs (input_uuid, source_type, source_id, "
                "destination_type,"
                " destination_id, step) SELECT replace(gen_random_uuid()::text, '-', ''), "
                "'RUN_OUTPUT',"
                " run.run_uuid, 'MODEL_OUTPUT', t.id, t.step FROM run,"
                " unnest($2::text[], $3::int8[]) AS t(id, step) WHERE run.lifecycle_stage = "
                "'active')"
                " SELECT lifecycle_stage FROM run"};

struct outputs_call {
    struct msg_log_outputs m;
    struct str nul;
    struct str values[3];
};

static err_t outputs_done(struct req *r, struct fail *f)
{
    const struct outputs_call *c = r->data;
    err_t e = run_stage_check(r, c->m.run_id.s, 0, f);

    if (e || (e = names_check_nul(c->nul, f)))
        return e;
    return reply_empty(r);
}

err_t api_log_outputs(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct outputs_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct str *ids;
    int64_t *steps;
    size_t n;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_log_outputs, &c->m, f)))
        return e;
    n = c->m.models.n;
    ids = arena_array(a, n, sizeof(*ids));
    steps = arena_array(a, n, sizeof(*steps));
    for (size_t i = 0; i < n; i++) {
        ids[i] = c->m.models.items[i].model_id.s;
        steps[i] = c->m.models.items[i].step.v;
        note_nul(ids[i], &c->nul);
    }
    if (c->nul.n)
        n = 0;
    c->values[0] = sql_text(a, c->m.run_id.s);
    c->values[1] = sql_text_array(a, ids, n);
    c->values[2] = sql_i64_array(a, steps, n);
    return req_sql(r, &(struct sql_step){&LOG_OUTPUTS, c->values, 3}, 1, outputs_done);
}

/* -- the datasets of experiments --------------------------------------------------------------- */

enum { DATASETS_EXPERIMENTS_MAX = 20 };

/* A use without a context counts as well. What DISTINCT leaves is at most DATASETS_MAX rows. */
#define DATASETS_MAX "1000"
static const struct stmt DATASETS = {
    "datasets_search",
    "SELECT DISTINCT d.experiment_id, d.name, d.digest, t.value FROM datasets d"
    " JOIN inputs i ON i.source_type = 'DATASET' AND i.source_id = d.dataset_uuid"
    " LEFT JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context'"
    " WHERE d.experiment_id = ANY($1::int4[])" SCOPE_OF("d") " ORDER BY 1, 2, 3, 4"
                                                             " LIMIT " DATASETS_MAX};

static err_t datasets_show(struct req *r, struct fail *f)
{
    const PGresult *rows = r->sql.results[0];
    int n = PQntuples(rows);
    struct json j;

    (void)f;
    reply_json(r, &j);
    json_open(&j);
    if (n > 0) {
        json_key(&j, "dataset_summaries");
        json_open_list(&j);
    }
    for (int i = 0; i < n; i++) {
        struct str context = sql_get(rows, i, 3);

        json_open(&j);
        json_pair_str(&j, "experiment_id", sql_get(rows, i, 0));
        json_pair_str(&j, "name", sql_get(rows, i, 1));
        json_pair_str(&j, "digest", sql_get(rows, i, 2));
        if (context.n)
            json_pair_str(&j, "context", context);
        json_close(&j);
    }
    if (n > 0)
        json_close_list(&j);
    json_close(&j);
    return reply_ok(r);
}

/* What is no integer comes before an integer that PostgreSQL refuses. */
static err_t datasets_experiments(const struct list_str *texts, int64_t *ids, struct fail *f)
{
    err_t refused = OK;

    for (size_t i = 0; i < texts->n; i++) {
        int32_t id = 0;
        err_t e = experiment_id_parse(texts->items[i], &id, f);

        if (e && e != ERR_BAD_REQUEST)
            return e;
        if (e)
            refused = e;
        ids[i] = id;
    }
    return refused;
}

err_t api_dataset_search(struct req *r, struct fail *f)
{
    struct str *value = r->data = arena_zalloc(&r->arena, sizeof(*value));
    int64_t ids[DATASETS_EXPERIMENTS_MAX];
    struct msg_datasets_search m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_datasets_search, &m, f)))
        return e;
    if (m.experiment_ids.n == 0)
        return fail(f, ERR_BAD_PARAM,
                    "SearchDatasets request must specify at least one experiment_id.");
    if (m.experiment_ids.n > DATASETS_EXPERIMENTS_MAX)
        return fail(f, ERR_BAD_PARAM,
                    "SearchDatasets request cannot specify more than %d experiment_ids. Received"
                    " %zu experiment_ids.",
                    DATASETS_EXPERIMENTS_MAX, m.experiment_ids.n);
    if ((e = datasets_experiments(&m.experiment_ids, ids, f)))
        return e;
    *value = sql_i64_array(&r->arena, ids, m.experiment_ids.n);
    return req_sql(r, &(struct sql_step){&DATASETS, value, 1}, 1, datasets_show);
}
