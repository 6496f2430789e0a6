/*
 * api_logged_model: create, read, finalize, delete logged models, their params and tags.
 *
 * Answers that show a model read it in the pipeline that changed it, which is one transaction. A
 * model's metrics come through the queue like a run's, and any run may have logged them, so reads
 * wait for everything that was accepted before they came.
 *
 * As at MLflow, a deleted model may still be finalized, tagged and deleted again; finalize takes the
 * model's id from the body, although it stands in the path, and everything else from the path.
 *
 * A NUL, which PostgreSQL does not take, is told only once the model or the experiment is known to be
 * there, as MLflow does; the statement then goes out with nothing to write.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "base/clock.h"
#include "gateway/api/entity_logged_model.h"
#include "gateway/api/experiment_id.h"
#include "gateway/api/run_name.h"
#include "gateway/artifact/artifact_uri.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/say.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"

static err_t model_unknown(struct arena *a, struct str id, struct fail *f)
{
    return SAY(a, f, ERR_NOT_FOUND, STR("Logged model with ID '"), id, STR("' not found."));
}

static void note_nul(struct str s, struct str *nul)
{
    if (s.n && memchr(s.p, '\0', s.n))
        *nul = s;
}

/* Params and tags, as two arrays; none when one holds a NUL. */
static void bind_pairs(struct arena *a, const struct msg_input_tag *items, size_t n,
                       struct str values[2], struct str *nul)
{
    struct str *keys = arena_array(a, n, sizeof(*keys));
    struct str *texts = arena_array(a, n, sizeof(*texts));

    for (size_t i = 0; i < n; i++) {
        keys[i] = items[i].key.s;
        texts[i] = items[i].value.s;
        note_nul(keys[i], nul);
        note_nul(texts[i], nul);
    }
    values[0] = sql_text_array(a, keys, nul->n ? 0 : n);
    values[1] = sql_text_array(a, texts, nul->n ? 0 : n);
}

/* The model whose id is asked for, and the statements that read it. */
struct model_read {
    struct str id;
    struct str ids; /* the array of one that the statements take */
    bool allow_deleted;
    struct str values[3]; /* of the statement before them */
};

static void model_read_init(struct arena *a, struct model_read *m, struct str id)
{
    m->id = sql_text(a, id);
    m->ids = sql_text_array(a, &m->id, 1);
}

/* The answer {"model": ...}; the results of the reading begin at first. */
static err_t model_answer(struct req *r, unsigned first)
{
    struct entity_logged_models models;
    struct json j;

    entity_logged_models(&r->arena, r->sql.results + first, &models);
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "model");
    entity_logged_model(&j, &models, 0);
    json_close(&j);
    return reply_ok(r);
}

/* -- create ---------------------------------------------------------------------------------- */

static const struct stmt EXPERIMENT = {
    "logged_model_experiment", "SELECT artifact_location, lifecycle_stage FROM experiments WHERE "
                               "experiment_id = $1::int4" SCOPE_EXPERIMENT("experiments")};
/* $2 is the experiment's id as the client wrote it, for PostgreSQL to read: it refuses some of what
 * Python's int() takes. */
static const struct stmt CREATE = {
    "logged_model_create",
    "WITH made AS (INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
    " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage, model_type,"
    " source_run_id) SELECT $1::text, e.experiment_id, $3::text, $4::text, $5::int8, $5::int8, 1,"
    " 'active', $6::text, $7::text FROM experiments e"
    " WHERE e.experiment_id = $2::int4 AND e.lifecycle_stage = 'active'" SCOPE_EXPERIMENT(
        "e") " RETURNING model_id, experiment_id),"
             " params AS (INSERT INTO logged_model_params (model_id, experiment_id, param_key, "
             "param_value)"
             " SELECT m.model_id, m.experiment_id, t.key, t.value FROM made m,"
             " unnest($8::text[], $9::text[]) AS t(key, value)),"
             " tags AS (INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value)"
             " SELECT m.model_id, m.experiment_id, t.key, t.value FROM made m,"
             " unnest($10::text[], $11::text[]) AS t(key, value))"
             " SELECT 1 FROM made"};

enum {
    VALUE_ID,
    VALUE_EXPERIMENT,
    VALUE_NAME,
    VALUE_LOCATION,
    VALUE_TIME,
    VALUE_TYPE,
    VALUE_RUN,
    VALUE_PARAMS,
    VALUE_TAGS = VALUE_PARAMS + 2,
    VALUES = VALUE_TAGS + 2
};

struct create_call {
    struct msg_logged_models_create m;
    int32_t experiment_id;
    struct str nul;
    struct model_read read;
    struct str values[VALUES];
};

static err_t check_name(struct arena *a, struct str name, struct fail *f)
{
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] && strchr("/:.%\"'", name.p[i]))
            return SAY(a, f, ERR_BAD_PARAM, STR("Invalid model name ("), say_repr(a, name),
                       STR(") provided. Model name must be a non-empty string and cannot contain "
                           "the following characters: ('/', ':', '.', '%', '\"', \"'\")"));
    }
    return OK;
}

static err_t experiment_deleted(int32_t id, struct fail *f)
{
    return fail(f, ERR_BAD_PARAM,
                "The experiment %d must be in the 'active' state. Current state is deleted.", id);
}

static err_t create_done(struct req *r, struct fail *f)
{
    const struct create_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0) /* deleted between the two statements */
        return experiment_deleted(c->experiment_id, f);
    return model_answer(r, 1);
}

static err_t create_write(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct sql_step steps[1 + MODEL_PARTS];
    struct str path;
    err_t e;

    if (PQntuples(res) == 0)
        return experiment_id_unknown(c->experiment_id, f);
    if (!str_eq(sql_get(res, 0, 1), STR("active")))
        return experiment_deleted(c->experiment_id, f);
    note_nul(c->m.name.s, &c->nul);
    note_nul(c->m.model_type.s, &c->nul);
    note_nul(c->m.source_run_id.s, &c->nul);
    bind_pairs(a, c->m.params.items, c->m.params.n, &c->values[VALUE_PARAMS], &c->nul);
    bind_pairs(a, c->m.tags.items, c->m.tags.n, &c->values[VALUE_TAGS], &c->nul);
    if ((e = names_check_nul(c->nul, f)))
        return e;
    model_read_init(a, &c->read, arena_printf(a, "m-%s", run_name_id(a).p));
    path = arena_printf(a, "models/%s/artifacts", c->read.id.p);
    c->values[VALUE_ID] = c->read.id;
    c->values[VALUE_EXPERIMENT] = sql_text(a, c->m.experiment_id.s);
    c->values[VALUE_NAME] = c->m.name.s.n ? sql_text(a, c->m.name.s) : run_name_make(a);
    c->values[VALUE_LOCATION] =
        sql_text(a, artifact_uri_append(a, arena_dup(a, sql_get(res, 0, 0)), path));
    c->values[VALUE_TIME] = sql_i64(a, clock_wall_ms());
    c->values[VALUE_TYPE] = sql_text(a, c->m.model_type.s);
    c->values[VALUE_RUN] = sql_text(a, c->m.source_run_id.s);
    steps[0] = (struct sql_step){&CREATE, c->values, VALUES};
    entity_logged_model_steps(steps + 1, &c->read.ids, false);
    return req_sql(r, steps, 1 + MODEL_PARTS, create_done);
}

err_t api_logged_model_create(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data = arena_zalloc(a, sizeof(*c));
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_logged_models_create, &c->m, f)) ||
        (e = check_name(a, c->m.name.s, f)))
        return e;
    /* An id that was not bound is empty: experiment 0 is looked up, and then the insert fails. */
    if (c->m.experiment_id.s.n &&
        (e = experiment_id_parse(c->m.experiment_id.s, &c->experiment_id, f)))
        return e;
    c->values[0] = sql_i64(a, c->experiment_id);
    return req_sql(r, &(struct sql_step){&EXPERIMENT, c->values, 1}, 1, create_write);
}

/* -- get ------------------------------------------------------------------------------------- */

static err_t get_done(struct req *r, struct fail *f)
{
    const struct model_read *m = r->data;
    struct entity_logged_models models;

    entity_logged_models(&r->arena, r->sql.results, &models);
    if (models.count == 0 || (entity_logged_model_is_deleted(&models, 0) && !m->allow_deleted))
        return model_unknown(&r->arena, m->id, f);
    return model_answer(r, 0);
}

static err_t get_read(struct req *r, struct fail *f)
{
    const struct model_read *m = r->data;
    struct sql_step steps[MODEL_PARTS];

    (void)f;
    entity_logged_model_steps(steps, &m->ids, false);
    return req_sql(r, steps, MODEL_PARTS, get_done);
}

err_t api_logged_model_get(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct model_read *m = r->data = arena_zalloc(a, sizeof(*m));
    struct bind_input query = {.is_get = true, .query = r->input.query};
    struct msg_logged_models_get flags;
    err_t e;

    model_read_init(a, m, route_arg(r, "model_id"));
    if ((e = bind_request(a, &query, &MSG_logged_models_get, &flags, f)) ||
        (e = names_check_nul(m->id, f)))
        return e;
    m->allow_deleted = str_ieq(flags.allow_deleted.s, STR("true"));
    return req_wait_all(r, get_read);
}

/* -- finalize -------------------------------------------------------------------------------- */

static const struct stmt FINALIZE = {
    "logged_model_finalize",
    "UPDATE logged_models SET status = $2::int4, last_updated_timestamp_ms = $3::int8"
    " WHERE model_id = $1::text" SCOPE_OF("logged_models") " RETURNING 1"};

static err_t finalize_done(struct req *r, struct fail *f)
{
    const struct model_read *m = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return model_unknown(&r->arena, m->id, f);
    return model_answer(r, 1);
}

static err_t finalize_write(struct req *r, struct fail *f)
{
    struct model_read *m = r->data;
    struct sql_step steps[1 + MODEL_PARTS];

    (void)f;
    m->values[2] = sql_i64(&r->arena, clock_wall_ms());
    steps[0] = (struct sql_step){&FINALIZE, m->values, 3};
    entity_logged_model_steps(steps + 1, &m->ids, false);
    return req_sql(r, steps, 1 + MODEL_PARTS, finalize_done);
}

err_t api_logged_model_finalize(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct model_read *m = r->data = arena_zalloc(a, sizeof(*m));
    struct msg_logged_models_finalize msg;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_logged_models_finalize, &msg, f)))
        return e;
    model_read_init(a, m, msg.model_id.s);
    m->values[0] = m->id;
    m->values[1] = sql_i64(a, msg.status.v);
    return req_wait_all(r, finalize_write);
}

/* -- delete, params, tags ---------------------------------------------------------------------- */

static const struct stmt DELETE_MODEL = {
    "logged_model_delete",
    "UPDATE logged_models SET lifecycle_stage = 'deleted', last_updated_timestamp_ms = $2::int8"
    " WHERE model_id = $1::text" SCOPE_OF("logged_models") " RETURNING 1"};
/* A key that is there already violates the primary key: 400, as at MLflow. */
static const struct stmt LOG_PARAMS = {
    "logged_model_log_params",
    "WITH m AS (SELECT model_id, experiment_id FROM logged_models WHERE model_id = "
    "$1::text" SCOPE_OF(
        "logged_models") "),"
                         " made AS (INSERT INTO logged_model_params (model_id, experiment_id, "
                         "param_key, param_value)"
                         " SELECT m.model_id, m.experiment_id, t.key, t.value FROM m,"
                         " unnest($2::text[], $3::text[]) AS t(key, value))"
                         " SELECT 1 FROM m"};
/* Of equal keys the last one counts. In the order of the keys, so that two calls on one model do not
 * wait for each other. */
static const struct stmt SET_TAGS = {
    "logged_model_set_tags",
    "WITH m AS (SELECT model_id, experiment_id FROM logged_models WHERE model_id = "
    "$1::text" SCOPE_OF(
        "logged_models") "),"
                         " made AS (INSERT INTO logged_model_tags (model_id, experiment_id, "
                         "tag_key, tag_value)"
                         " SELECT m.model_id, m.experiment_id, t.key, t.value FROM m,"
                         " (SELECT DISTINCT ON (key) key, value FROM unnest($2::text[], $3::text[])"
                         " WITH ORDINALITY AS s(key, value, n) ORDER BY key, n DESC) AS t"
                         " ON CONFLICT (model_id, tag_key) DO UPDATE SET experiment_id = "
                         "excluded.experiment_id,"
                         " tag_value = excluded.tag_value)"
                         " SELECT 1 FROM m"};
static const struct stmt DELETE_TAG = {
    "logged_model_delete_tag",
    "WITH m AS (SELECT model_id FROM logged_models WHERE model_id = $1::text" SCOPE_OF(
        "logged_models") "),"
                         " gone AS (DELETE FROM logged_model_tags WHERE tag_key = $2::text"
                         " AND model_id = (SELECT model_id FROM m) RETURNING 1)"
                         " SELECT EXISTS (SELECT 1 FROM gone) FROM m"};

struct model_write {
    struct str id;
    struct str tag_key; /* to delete */
    struct str nul;
    struct str values[3];
};

/* The first column of no row: no such model. */
static err_t write_done(struct req *r, struct fail *f)
{
    const struct model_write *w = r->data;
    err_t e;

    if (PQntuples(r->sql.results[0]) == 0)
        return model_unknown(&r->arena, w->id, f);
    if ((e = names_check_nul(w->nul, f)))
        return e;
    return reply_empty(r);
}

/* The call on the model that the path names. */
static err_t write_init(struct req *r, struct model_write **out, struct fail *f)
{
    struct model_write *w = r->data = *out = arena_zalloc(&r->arena, sizeof(*w));

    w->id = w->values[0] = sql_text(&r->arena, route_arg(r, "model_id"));
    return names_check_nul(w->id, f);
}

err_t api_logged_model_delete(struct req *r, struct fail *f)
{
    struct model_write *w;
    err_t e = write_init(r, &w, f);

    if (e)
        return e;
    w->values[1] = sql_i64(&r->arena, clock_wall_ms());
    return req_sql(r, &(struct sql_step){&DELETE_MODEL, w->values, 2}, 1, write_done);
}

err_t api_logged_model_log_params(struct req *r, struct fail *f)
{
    struct msg_logged_models_params m;
    struct model_write *w;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_logged_models_params, &m, f)) ||
        (e = write_init(r, &w, f)))
        return e;
    bind_pairs(&r->arena, m.params.items, m.params.n, &w->values[1], &w->nul);
    return req_sql(r, &(struct sql_step){&LOG_PARAMS, w->values, 3}, 1, write_done);
}

err_t api_logged_model_set_tags(struct req *r, struct fail *f)
{
    struct msg_logged_models_tags m;
    struct model_write *w;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_logged_models_tags, &m, f)) ||
        (e = write_init(r, &w, f)))
        return e;
    bind_pairs(&r->arena, m.tags.items, m.tags.n, &w->values[1], &w->nul);
    return req_sql(r, &(struct sql_step){&SET_TAGS, w->values, 3}, 1, write_done);
}

static err_t delete_tag_done(struct req *r, struct fail *f)
{
    const struct model_write *w = r->data;
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) > 0 && !w->nul.n && !sql_get_bool(res, 0, 0))
        return SAY(&r->arena, f, ERR_NOT_FOUND, STR("No tag with key "),
                   say_repr(&r->arena, w->tag_key), STR(" found for model with ID "),
                   say_repr(&r->arena, w->id), STR("."));
    return write_done(r, f);
}

err_t api_logged_model_delete_tag(struct req *r, struct fail *f)
{
    struct model_write *w;
    err_t e = write_init(r, &w, f);

    if (e)
        return e;
    w->tag_key = route_arg(r, "tag_key");
    note_nul(w->tag_key, &w->nul);
    w->values[1] = w->nul.n ? STR("") : sql_text(&r->arena, w->tag_key);
    return req_sql(r, &(struct sql_step){&DELETE_TAG, w->values, 2}, 1, delete_tag_done);
}
