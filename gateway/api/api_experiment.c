/*
 * api_experiment: create, read, rename, delete, restore experiments and their tags.
 *
 * Each call is one statement, or one pipeline, and its outcome is decided from the rows it returns:
 * a data-modifying WITH does its work only where the state allows it, and the outer SELECT tells the
 * state it saw. So two clients cannot pass each other between a check and a change.
 *
 * An experiment's id comes from the sequence before the row is written, because the default artifact
 * location ends with it: the location is cut at the place of the id (location_parts) and put
 * together in SQL.
 *
 * Deleting or restoring an experiment changes every run of it, so all workers forget what they know
 * of runs.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "base/clock.h"
#include "gateway/api/entity.h"
#include "gateway/api/experiment_id.h"
#include "gateway/artifact/artifact_uri.h"
#include "gateway/auth/grant_write.h"
#include "gateway/auth/workspace_start.h"
#include "gateway/http/reply.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "ingest/experiment_tag.h"
#include "ingest/names.h"
#include "schema/errors.h"
#include "schema/limits.h"

/* -- create ---------------------------------------------------------------------------------- */

static const struct stmt CREATE = {
    "experiment_create",
    "WITH made AS (INSERT INTO experiments (experiment_id, name, artifact_location,"
    " lifecycle_stage, creation_time, last_update_time, workspace)"
    " SELECT n.id, $1::text, coalesce($2::text, $3::text || n.id || $4::text), 'active', $5::int8,"
    " $5::int8, " SCOPE_NAME " FROM (SELECT nextval('experiments_experiment_id_seq')::int4 AS id) n"
    " RETURNING experiment_id),"
    " tagged AS (INSERT INTO experiment_tags (key, value, experiment_id)"
    " SELECT t.key, t.value, m.experiment_id FROM made m,"
    " unnest($6::text[], $7::text[]) AS t(key, value))"
    " SELECT experiment_id FROM made"};

/* The workspace's own root. */
static const struct stmt ROOT = {
    "experiment_root",
    "SELECT coalesce(default_artifact_root, '') FROM workspaces WHERE name = " SCOPE_NAME};

struct create_call {
    struct msg_experiments_create m;
    struct str values[7];
};

static err_t create_check(struct req *r, const struct msg_experiments_create *m, struct str root,
                          struct str *location, struct fail *f)
{
    size_t views = 0;
    err_t e;

    for (size_t i = 0; i < m->tags.n; i++)
        views += experiment_tag_is_view(m->tags.items[i].key.s);
    if (views > LIMIT_CUSTOM_VIEWS)
        return experiment_tag_too_many_views(STR(""), f);
    *location = m->artifact_location.s;
    if (location->n && (e = artifact_uri_check(&r->arena, *location, root, "artifact_location", f)))
        return e;
    if (location->n && r->scope.mark)
        return fail_str(f, ERR_BAD_PARAM,
                        STR("artifact_location cannot be specified when workspaces are enabled"));
    if (!m->name.s.n) /* binding stopped before it: what was sent is no text */
        return fail(f, ERR_BAD_PARAM, "Invalid experiment name: ''");
    if ((e = names_check_length(m->name.s, LIMIT_EXPERIMENT_NAME, "name", f)))
        return e;
    if (location->n && (e = artifact_uri_make_absolute(&r->arena, *location, location, f)))
        return e;
    for (size_t i = 0; i < m->tags.n; i++) {
        const struct msg_tag *tag = &m->tags.items[i];

        if ((e = experiment_tag_check(&r->arena, tag->key.s, tag->value.s, f)))
            return e;
    }
    return OK;
}

/* What stands before and behind the id in the location of an experiment under root. */
static void location_parts(struct arena *a, struct str root, struct str *before, struct str *behind)
{
    struct str whole = artifact_uri_append(a, root, STR("\001"));
    size_t at = str_find(whole, '\001');

    *before = sql_text(a, str_head(whole, at));
    *behind = sql_text(a, str_skip(whole, at + 1));
}

static err_t create_answer(struct req *r, struct fail *f)
{
    const struct str *id = r->data;
    struct json j;

    (void)f;
    reply_json(r, &j);
    json_open(&j);
    json_pair_str(&j, "experiment_id", *id);
    json_close(&j);
    return reply_ok(r);
}

static err_t create_done(struct req *r, struct fail *f)
{
    const struct create_call *c = r->data;
    struct str *id;

    if (strncmp(r->sql.sqlstate, "23", 2) == 0)
        return fail(f, ERR_ALREADY_EXISTS, "Experiment(name=%.*s) already exists. Error: %.*s",
                    STR_ARG(c->m.name.s), STR_ARG(r->sql.message));
    if (r->sql.err)
        return req_sql_fail(r, f);
    id = r->data = arena_alloc(&r->arena, sizeof(*id));
    *id = arena_dup(&r->arena, sql_get(r->sql.results[0], 0, 0));
    return grant_own(r, GRANT_EXPERIMENT, *id, create_answer);
}

static err_t create_below(struct req *r, struct str root)
{
    struct create_call *c = r->data;
    struct sql_step steps[2];

    location_parts(&r->arena, root, &c->values[2], &c->values[3]);
    steps[0] = (struct sql_step){&CREATE, c->values, 7};
    return req_sql_try(r, steps, 1 + grant_own_step(r, GRANT_EXPERIMENT, sql_null(), &steps[1]),
                       create_done);
}

/* Below the workspace's root, else below a folder of its own in the server's, `default` too. */
static err_t create_with_root(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    const PGresult *res = r->sql.results[0];
    struct str root = str_of(server_artifact_root(r->worker->server));

    (void)f;
    if (PQntuples(res) > 0 && sql_get(res, 0, 0).n > 0)
        return create_below(r, arena_dup(a, sql_get(res, 0, 0)));
    return create_below(r, workspace_root(a, root, str_of(r->scope.workspace)));
}

err_t api_experiment_create(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data = arena_zalloc(a, sizeof(*c));
    const struct msg_experiments_create *m = &c->m;
    struct str root = str_of(server_artifact_root(r->worker->server));
    struct str *keys, *texts;
    struct str location;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_create, &c->m, f)))
        return e;
    if ((e = create_check(r, m, root, &location, f)))
        return e;
    keys = arena_array(a, m->tags.n, sizeof(*keys));
    texts = arena_array(a, m->tags.n, sizeof(*texts));
    for (size_t i = 0; i < m->tags.n; i++) {
        keys[i] = m->tags.items[i].key.s;
        texts[i] = m->tags.items[i].value.s;
    }
    c->values[0] = sql_text(a, m->name.s);
    c->values[1] = location.n ? sql_text(a, location) : sql_null();
    c->values[4] = sql_i64(a, clock_wall_ms());
    c->values[5] = sql_text_array(a, keys, m->tags.n);
    c->values[6] = sql_text_array(a, texts, m->tags.n);
    if (r->scope.mark)
        return req_sql(r, &(struct sql_step){&ROOT, NULL, 0}, 1, create_with_root);
    return create_below(r, root);
}

/* -- read ------------------------------------------------------------------------------------ */

static const struct stmt GET = {"experiment_get", "SELECT " ENTITY_EXPERIMENT
                                                  " FROM experiments e WHERE e.experiment_id ="
                                                  " ANY($1::int4[])" SCOPE_EXPERIMENT("e")};
static const struct stmt GET_BY_NAME = {"experiment_get_by_name",
                                        "SELECT " ENTITY_EXPERIMENT
                                        " FROM experiments e WHERE e.workspace = " SCOPE_NAME
                                        " AND e.name = $1"};
static const struct stmt TAGS_BY_NAME = {
    "experiment_tags_by_name", "SELECT t.experiment_id, t.key, t.value FROM experiment_tags t"
                               " JOIN experiments e ON e.experiment_id = t.experiment_id"
                               " WHERE e.workspace = " SCOPE_NAME " AND e.name = $1"};

/* The experiment in the first result, with the tags in the second. */
static err_t get_reply(struct req *r)
{
    const PGresult *rows = r->sql.results[0];
    struct entity_group tags;
    struct json j;

    entity_group(&r->arena, rows, 1, 0, r->sql.results[1], &tags);
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "experiment");
    entity_experiment(&j, rows, 0, &tags);
    json_close(&j);
    return reply_ok(r);
}

static err_t get_done(struct req *r, struct fail *f)
{
    if (PQntuples(r->sql.results[0]) == 0)
        return experiment_id_unknown(*(const int32_t *)r->data, f);
    return get_reply(r);
}

err_t api_experiment_get(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct msg_experiments_get m;
    int32_t *id = r->data = arena_alloc(a, sizeof(*id));
    struct str *ids = arena_alloc(a, sizeof(*ids));
    struct sql_step steps[2];
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_get, &m, f)))
        return e;
    if ((e = experiment_id_parse(m.experiment_id.s, id, f)))
        return e;
    *ids = sql_i64_array(a, &(int64_t){*id}, 1);
    steps[0] = (struct sql_step){&GET, ids, 1};
    entity_experiment_step(&steps[1], ids, false);
    return req_sql(r, steps, 2, get_done);
}

static err_t get_by_name_done(struct req *r, struct fail *f)
{
    const struct str *name = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return fail(f, ERR_NOT_FOUND, "Could not find experiment with name '%.*s'", STR_ARG(*name));
    return get_reply(r);
}

err_t api_experiment_get_by_name(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct msg_experiments_get_by_name m;
    struct str *name = r->data = arena_alloc(a, sizeof(*name));
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_get_by_name, &m, f)))
        return e;
    *name = sql_text(a, m.experiment_name.s);
    return req_sql(r, (struct sql_step[]){{&GET_BY_NAME, name, 1}, {&TAGS_BY_NAME, name, 1}}, 2,
                   get_by_name_done);
}

/* -- rename, delete, restore ------------------------------------------------------------------- */

static const struct stmt RENAME = {
    "experiment_rename",
    "WITH done AS (UPDATE experiments SET name = $2::text || left(name, 0), last_update_time = "
    "$3::int8"
    " WHERE experiment_id = $1::int4 AND lifecycle_stage = 'active'" SCOPE_EXPERIMENT(
        "experiments") " RETURNING 1)"
                       " SELECT EXISTS (SELECT 1 FROM done) FROM experiments WHERE experiment_id = "
                       "$1::int4" SCOPE_EXPERIMENT("experiments")};
/* The run ids are taken out of the metadata once for each assessment, not searched for in it once
 * for each run. */
static const struct stmt DELETE = {
    "experiment_delete",
    "WITH done AS (UPDATE experiments SET lifecycle_stage = 'deleted', last_update_time = $2::int8"
    " WHERE experiment_id = $1::int4 AND lifecycle_stage = 'active'" SCOPE_EXPERIMENT(
        "experiments") " RETURNING experiment_id),"
                       " gone AS (UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = "
                       "$2::int8"
                       " WHERE experiment_id IN (SELECT experiment_id FROM done) RETURNING "
                       "run_uuid),"
                       " judged AS (DELETE FROM assessments WHERE substring(assessment_metadata "
                       "FROM"
                       " '\"mlflow.assessment.sourceRunId\": \"([^\"]*)\"') IN (SELECT run_uuid "
                       "FROM gone))"
                       " SELECT 1 FROM done"};
static const struct stmt RESTORE = {
    "experiment_restore",
    "WITH done AS (UPDATE experiments SET lifecycle_stage = 'active', last_update_time = $2::int8"
    " WHERE experiment_id = $1::int4 AND lifecycle_stage = 'deleted'" SCOPE_EXPERIMENT(
        "experiments") " RETURNING experiment_id),"
                       " back AS (UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL"
                       " WHERE experiment_id IN (SELECT experiment_id FROM done))"
                       " SELECT 1 FROM done"};

static err_t rename_done(struct req *r, struct fail *f)
{
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) == 0)
        return experiment_id_unknown(*(const int32_t *)r->data, f);
    if (!sql_get_bool(res, 0, 0))
        return fail(f, ERR_INVALID_STATE, "Cannot rename a non-active experiment.");
    return reply_empty(r);
}

err_t api_experiment_update(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct msg_experiments_update m;
    int32_t *id = r->data = arena_alloc(a, sizeof(*id));
    struct str *values = arena_array(a, 3, sizeof(*values));
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_update, &m, f)))
        return e;
    if (!m.new_name.s.n) /* binding stopped before it: MLflow looks at nothing then */
        return reply_empty(r);
    if ((e = names_check_length(m.new_name.s, LIMIT_EXPERIMENT_NAME, "name", f)))
        return e;
    if ((e = experiment_id_parse(m.experiment_id.s, id, f)))
        return e;
    values[0] = sql_i64(a, *id);
    values[1] = sql_text(a, m.new_name.s);
    values[2] = sql_i64(a, clock_wall_ms());
    return req_sql(r, &(struct sql_step){&RENAME, values, 3}, 1, rename_done);
}

static err_t stage_done(struct req *r, struct fail *f)
{
    if (PQntuples(r->sql.results[0]) == 0)
        return experiment_id_unknown(*(const int32_t *)r->data, f);
    runs_forget_all(r->worker->runs);
    news_tell(r->worker, NEWS_RUNS, sql_i64(&r->arena, *(const int32_t *)r->data));
    return reply_empty(r);
}

static err_t stage_start(struct req *r, const struct stmt *stmt, struct fail *f)
{
    struct arena *a = &r->arena;
    struct msg_experiments_stage m;
    int32_t *id = r->data = arena_alloc(a, sizeof(*id));
    struct str *values = arena_array(a, 2, sizeof(*values));
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_stage, &m, f)))
        return e;
    if ((e = experiment_id_parse(m.experiment_id.s, id, f)))
        return e;
    values[0] = sql_i64(a, *id);
    values[1] = sql_i64(a, clock_wall_ms());
    return req_sql(r, &(struct sql_step){stmt, values, 2}, 1, stage_done);
}

err_t api_experiment_delete(struct req *r, struct fail *f)
{
    return stage_start(r, &DELETE, f);
}

err_t api_experiment_restore(struct req *r, struct fail *f)
{
    return stage_start(r, &RESTORE, f);
}

/* -- tags ------------------------------------------------------------------------------------ */

static const struct stmt COUNT_VIEWS = {
    "experiment_count_views",
    "SELECT (SELECT count(*) FROM experiment_tags t WHERE t.experiment_id = e.experiment_id"
    " AND starts_with(t.key, '" EXPERIMENT_TAG_VIEW_PREFIX "')),"
    " EXISTS (SELECT 1 FROM experiment_tags t WHERE t.experiment_id = e.experiment_id"
    " AND t.key = $2::text)"
    " FROM experiments e WHERE e.experiment_id = $1::int4" SCOPE_EXPERIMENT("e")};
static const struct stmt SET_TAG = {
    "experiment_set_tag",
    "WITH e AS (SELECT experiment_id, lifecycle_stage FROM experiments"
    " WHERE experiment_id = $1::int4" SCOPE_EXPERIMENT(
        "experiments") "),"
                       " put AS (INSERT INTO experiment_tags (key, value, experiment_id)"
                       " SELECT $2::text, $3::text, experiment_id FROM e WHERE lifecycle_stage = "
                       "'active'"
                       " ON CONFLICT (key, experiment_id) DO UPDATE SET value = excluded.value)"
                       " SELECT lifecycle_stage FROM e"};
static const struct stmt DELETE_TAG = {
    "experiment_delete_tag",
    "WITH e AS (SELECT experiment_id, lifecycle_stage FROM experiments"
    " WHERE experiment_id = $1::int4" SCOPE_EXPERIMENT(
        "experiments") "),"
                       " gone AS (DELETE FROM experiment_tags WHERE key = $2::text AND "
                       "experiment_id IN"
                       " (SELECT experiment_id FROM e WHERE lifecycle_stage = 'active') RETURNING "
                       "1)"
                       " SELECT lifecycle_stage, EXISTS (SELECT 1 FROM gone) FROM e"};

struct tag_call {
    struct str sent_id; /* as the client wrote it */
    int32_t id;
    struct str key;
    struct str value;
    struct str values[3];
};

/* The first column of the first row says the stage. */
static err_t check_active(struct req *r, const struct tag_call *t, struct fail *f)
{
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) == 0)
        return experiment_id_unknown(t->id, f);
    if (!str_eq(sql_get(res, 0, 0), STR("active")))
        return fail(f, ERR_BAD_PARAM,
                    "The experiment %d must be in the 'active' state. Current state is %.*s.",
                    t->id, STR_ARG(sql_get(res, 0, 0)));
    return OK;
}

static err_t set_tag_done(struct req *r, struct fail *f)
{
    err_t e = check_active(r, r->data, f);

    return e ? e : reply_empty(r);
}

static err_t set_tag_start(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct tag_call *t = r->data;
    err_t e;

    if ((e = experiment_tag_check(a, t->key, t->value, f)))
        return e;
    if ((e = experiment_id_parse(t->sent_id, &t->id, f)))
        return e;
    t->values[0] = sql_i64(a, t->id);
    t->values[1] = sql_text(a, t->key);
    t->values[2] = sql_text(a, t->value);
    return req_sql(r, &(struct sql_step){&SET_TAG, t->values, 3}, 1, set_tag_done);
}

/* Writes that add a custom view are counted; those that change one are not. Two that come together
 * at the limit may both pass, as at MLflow. */
static err_t views_counted(struct req *r, struct fail *f)
{
    const struct tag_call *t = r->data;
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) == 0)
        return experiment_id_unknown(t->id, f);
    if (!sql_get_bool(res, 0, 1) && sql_get_i64(res, 0, 0) >= LIMIT_CUSTOM_VIEWS)
        return experiment_tag_too_many_views(arena_printf(&r->arena, "%d", t->id), f);
    return set_tag_start(r, f);
}

err_t api_experiment_set_tag(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct tag_call *t = r->data = arena_zalloc(a, sizeof(*t));
    struct msg_experiments_set_tag m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_set_tag, &m, f)))
        return e;
    t->sent_id = m.experiment_id.s;
    t->key = m.key.s;
    t->value = m.value.s;
    if (!experiment_tag_is_view(t->key))
        return set_tag_start(r, f);
    if ((e = experiment_id_parse(t->sent_id, &t->id, f)))
        return e;
    if ((e = names_check_nul(t->key, f)))
        return e;
    t->values[0] = sql_i64(a, t->id);
    t->values[1] = sql_text(a, t->key);
    return req_sql(r, &(struct sql_step){&COUNT_VIEWS, t->values, 2}, 1, views_counted);
}

static err_t delete_tag_done(struct req *r, struct fail *f)
{
    const struct tag_call *t = r->data;
    err_t e = check_active(r, t, f);

    if (e)
        return e;
    if (!sql_get_bool(r->sql.results[0], 0, 1))
        return fail(f, ERR_NOT_FOUND, "No tag with name: %.*s in experiment with id %.*s",
                    STR_ARG(t->key), STR_ARG(t->sent_id));
    return reply_empty(r);
}

err_t api_experiment_delete_tag(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct tag_call *t = r->data = arena_zalloc(a, sizeof(*t));
    struct msg_experiments_delete_tag m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_delete_tag, &m, f)))
        return e;
    t->sent_id = m.experiment_id.s;
    t->key = m.key.s;
    if ((e = experiment_id_parse(t->sent_id, &t->id, f)))
        return e;
    t->values[0] = sql_i64(a, t->id);
    t->values[1] = sql_text(a, t->key);
    return req_sql(r, &(struct sql_step){&DELETE_TAG, t->values, 2}, 1, delete_tag_done);
}
