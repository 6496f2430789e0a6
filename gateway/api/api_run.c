/*
 * api_run: create, read, update, delete, restore runs.
 *
 * Create takes two round trips: the experiment's location is needed first, because a run's artifact
 * URI is formed from it by rules that SQL cannot follow. The row is then written only if the
 * experiment is still active. The answer is made from what was written, not read back.
 *
 * A read waits for the run's own points (req_wait_run). Delete and restore do not: points that were
 * accepted before a delete belong to the run and are applied, whatever comes first in PostgreSQL.
 *
 * Every call that learns a run's state tells the run table, or makes it ask again.
 */
#include "gateway/api/api.h"

#include "base/clock.h"
#include "gateway/api/entity.h"
#include "gateway/api/experiment_id.h"
#include "gateway/api/run_name.h"
#include "gateway/artifact/artifact_uri.h"
#include "gateway/http/reply.h"
#include "gateway/peers/replay.h"
#include "gateway/worker.h"
#include "ingest/admit.h"
#include "schema/errors.h"

#define RUN_NAME_TAG "mlflow.runName"

/* PostgreSQL says so: all workers know it from now on. Dated by the asking: a delete may have been
 * committed between the statement and its answer. */
static void learn(struct req *r, struct str run_id, bool is_active, int32_t experiment_id)
{
    struct run run = {
        .is_active = is_active, .experiment_id = experiment_id, .workspace = r->scope.mark};
    struct run_id id;

    if (run_id_set(&id, run_id))
        runs_put(r->worker->runs, &id, r->wait_since_us, &run);
}

/* -- create ---------------------------------------------------------------------------------- */

static const struct stmt EXPERIMENT = {
    "run_experiment", "SELECT artifact_location, lifecycle_stage FROM experiments WHERE "
                      "experiment_id = $1::int4" SCOPE_EXPERIMENT("experiments")};
static const struct stmt CREATE = {
    "run_create",
    "WITH made AS (INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name,"
    " user_id, status, start_time, source_version, lifecycle_stage, artifact_uri, experiment_id)"
    " SELECT $1::text, $2::text, 'UNKNOWN', '', '', $3::text, 'RUNNING', $4::int8, '', 'active',"
    " $5::text, e.experiment_id FROM experiments e"
    " WHERE e.experiment_id = $6::int4 AND e.lifecycle_stage = 'active'" SCOPE_EXPERIMENT(
        "e") " RETURNING run_uuid),"
             " tagged AS (INSERT INTO tags (key, value, run_uuid)"
             " SELECT t.key, t.value, m.run_uuid FROM made m,"
             " unnest($7::text[], $8::text[]) AS t(key, value))"
             " SELECT 1 FROM made"};

struct create_call {
    struct msg_runs_create m;
    int32_t experiment_id;
    struct run_info info;
    struct str *keys; /* of the tags as they are stored */
    struct str *texts;
    size_t ntags;
    struct str values[8];
};

static err_t experiment_deleted(int32_t id, struct str stage, struct fail *f)
{
    return fail(f, ERR_BAD_PARAM,
                "The experiment %d must be in the 'active' state. Current state is %.*s.", id,
                STR_ARG(stage));
}

static err_t create_done(struct req *r, struct fail *f)
{
    const struct create_call *c = r->data;
    struct json j;

    if (PQntuples(r->sql.results[0]) == 0) /* deleted between the two statements */
        return experiment_deleted(c->experiment_id, STR("deleted"), f);
    learn(r, c->info.run_id, true, c->experiment_id);
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "run");
    json_open(&j);
    json_key(&j, "info");
    entity_run_info(&j, &c->info);
    json_key(&j, "data");
    json_open(&j);
    json_key(&j, "tags");
    json_open_list(&j);
    for (size_t i = 0; i < c->ntags; i++)
        entity_pair(&j, c->keys[i], c->texts[i]);
    json_close_list(&j);
    json_close(&j);
    json_key(&j, "inputs");
    json_open(&j);
    json_close(&j);
    json_close(&j);
    json_close(&j);
    replay_keep(r);
    return reply_ok(r);
}

/* The run's name: the argument, else the tag, else made up; and the tag that says it, unless the
 * client sent one. A tag that is sent empty does not count as sent, and then stands there twice,
 * which PostgreSQL refuses: MLflow's behaviour. */
static err_t create_name(struct arena *a, struct create_call *c, struct fail *f)
{
    struct str name = c->m.run_name.s, tag = STR("");
    size_t n = c->m.tags.n;

    c->keys = arena_array(a, n + 1, sizeof(*c->keys));
    c->texts = arena_array(a, n + 1, sizeof(*c->texts));
    for (size_t i = 0; i < n; i++) {
        c->keys[i] = c->m.tags.items[i].key.s;
        c->texts[i] = arena_dup(a, c->m.tags.items[i].value.s); /* never NULL */
        if (str_eq(c->keys[i], STR(RUN_NAME_TAG)) && tag.n == 0)
            tag = c->texts[i];
    }
    if (name.n && tag.n && !str_eq(name, tag))
        return fail(f, ERR_BAD_PARAM,
                    "Both 'run_name' argument and 'mlflow.runName' tag are specified, but with"
                    " different values (run_name='%.*s', mlflow.runName='%.*s').",
                    STR_ARG(name), STR_ARG(tag));
    c->info.name = name.n ? name : tag.n ? tag : run_name_make(a);
    c->info.has_name = true;
    if (tag.n == 0) {
        c->keys[n] = STR(RUN_NAME_TAG);
        c->texts[n++] = c->info.name;
    }
    c->ntags = n;
    return OK;
}

static err_t create_write(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct run_info *info = &c->info;
    err_t e;

    if (PQntuples(res) == 0)
        return experiment_id_unknown(c->experiment_id, f);
    if (!str_eq(sql_get(res, 0, 1), STR("active")))
        return experiment_deleted(c->experiment_id, sql_get(res, 0, 1), f);
    if ((e = create_name(a, c, f)))
        return e;
    if (c->m.experiment_id.s.n == 0)
        return fail(f, ERR_BAD_REQUEST,
                    "(psycopg.errors.InvalidTextRepresentation) invalid input syntax for type"
                    " integer: \"\"");
    info->run_id = run_name_id(a);
    info->experiment_id = sql_i64(a, c->experiment_id);
    info->user_id = sql_text(a, c->m.user_id.s);
    info->status = STR("RUNNING");
    info->stage = STR("active");
    info->start_time = c->m.start_time.v;
    info->artifact_uri =
        artifact_uri_append(a, arena_dup(a, sql_get(res, 0, 0)),
                            arena_printf(a, "%.*s/artifacts", STR_ARG(info->run_id)));
    c->values[0] = info->run_id;
    c->values[1] = sql_text(a, info->name);
    c->values[2] = info->user_id;
    c->values[3] = sql_i64(a, info->start_time);
    c->values[4] = sql_text(a, info->artifact_uri);
    c->values[5] = info->experiment_id;
    c->values[6] = sql_text_array(a, c->keys, c->ntags);
    c->values[7] = sql_text_array(a, c->texts, c->ntags);
    return req_sql(r, &(struct sql_step){&CREATE, c->values, 8}, 1, create_done);
}

static err_t create_begin(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data = arena_zalloc(a, sizeof(*c));
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_runs_create, &c->m, f)))
        return e;
    /* Without an id experiment 0 is looked up, and then the insert fails (create_write). */
    if (c->m.experiment_id.s.n &&
        (e = experiment_id_parse(c->m.experiment_id.s, &c->experiment_id, f)))
        return e;
    c->values[0] = sql_i64(a, c->experiment_id);
    return req_sql(r, &(struct sql_step){&EXPERIMENT, c->values, 1}, 1, create_write);
}

err_t api_run_create(struct req *r, struct fail *f)
{
    (void)f;
    return replay_begin(r, create_begin);
}

/* -- get ------------------------------------------------------------------------------------- */

static const struct stmt GET = {"run_get",
                                "SELECT " ENTITY_RUN
                                " FROM runs r WHERE r.run_uuid = ANY($1::text[])" SCOPE_OF("r")};

static err_t get_done(struct req *r, struct fail *f)
{
    const struct str *run_id = r->data;
    const PGresult *row = r->sql.results[0];
    struct entity_details details;
    struct json j;

    if (PQntuples(row) == 0)
        return admit_no_run(*run_id, f);
    entity_details(&r->arena, row, 1, r->sql.results + 1, &details);
    details.has_model_inputs = true;
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "run");
    entity_run(&j, row, 0, &details);
    json_close(&j);
    return reply_ok(r);
}

static err_t get_read(struct req *r, struct fail *f)
{
    const struct str *run_id = r->data;
    struct str *ids = arena_alloc(&r->arena, sizeof(*ids));
    struct sql_step steps[1 + DETAIL_COUNT];

    (void)f;
    *ids = sql_text_array(&r->arena, run_id, 1);
    steps[0] = (struct sql_step){&GET, ids, 1};
    entity_run_steps(steps + 1, ids, false);
    return req_sql(r, steps, 1 + DETAIL_COUNT, get_done);
}

err_t api_run_get(struct req *r, struct fail *f)
{
    struct msg_runs_get m;
    struct str *run_id = r->data = arena_alloc(&r->arena, sizeof(*run_id));
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_runs_get, &m, f)))
        return e;
    *run_id = m.run_id.s.n ? m.run_id.s : m.run_uuid.s;
    return req_wait_run(r, *run_id, get_read);
}

/* -- update ---------------------------------------------------------------------------------- */

/* The first column says whether the update was done; when it was not, the run is deleted. */
static const struct stmt UPDATE = {
    "run_update", "WITH done AS (UPDATE runs SET status = coalesce($2::text, status),"
                  " end_time = coalesce($3::int8, end_time), name = coalesce($4::text, name)"
                  " WHERE run_uuid = $1::text AND lifecycle_stage = 'active'" SCOPE_OF(
                      "runs") " RETURNING *),"
                              " named AS (INSERT INTO tags (key, value, run_uuid)"
                              " SELECT '" RUN_NAME_TAG
                              "', $4::text, run_uuid FROM done WHERE $4::text IS NOT NULL"
                              " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value)"
                              " SELECT " ENTITY_RUN ", true FROM done r"
                              " UNION ALL SELECT " ENTITY_RUN ", false FROM runs r"
                              " WHERE r.run_uuid = $1::text" SCOPE_OF(
                                  "r") " AND NOT EXISTS (SELECT 1 FROM done)"};

struct update_call {
    struct str run_id;
    struct str values[4];
};

static err_t update_done(struct req *r, struct fail *f)
{
    const struct update_call *u = r->data;
    const PGresult *res = r->sql.results[0];
    struct run_info info;
    struct json j;
    bool is_done;

    if (PQntuples(res) == 0)
        return admit_no_run(u->run_id, f);
    info = entity_run_info_get(res, 0);
    is_done = sql_get_bool(res, 0, ENTITY_RUN_COLUMNS);
    learn(r, u->run_id, is_done, (int32_t)sql_get_i64(res, 0, 1));
    if (!is_done)
        return admit_deleted_run(u->run_id, f);
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "run_info");
    entity_run_info(&j, &info);
    json_close(&j);
    return reply_ok(r);
}

err_t api_run_update(struct req *r, struct fail *f)
{
    /* enum RunStatus */
    static const char *const names[] = {NULL,       "RUNNING", "SCHEDULED",
                                        "FINISHED", "FAILED",  "KILLED"};
    struct arena *a = &r->arena;
    struct update_call *u = r->data = arena_zalloc(a, sizeof(*u));
    struct msg_runs_update m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_runs_update, &m, f)))
        return e;
    check(!m.status.is_set || (m.status.v >= 1 && m.status.v < (int64_t)array_len(names)));
    u->run_id = m.run_id.s.n ? m.run_id.s : m.run_uuid.s;
    u->values[0] = sql_text(a, u->run_id);
    u->values[1] = m.status.is_set ? str_of(names[m.status.v]) : sql_null();
    u->values[2] = m.end_time.is_set ? sql_i64(a, m.end_time.v) : sql_null();
    u->values[3] = m.run_name.s.n ? sql_text(a, m.run_name.s) : sql_null();
    return req_sql(r, &(struct sql_step){&UPDATE, u->values, 4}, 1, update_done);
}

/* -- delete and restore ------------------------------------------------------------------------ */

static const struct stmt DELETE = {
    "run_delete",
    "WITH done AS (UPDATE runs SET lifecycle_stage = 'deleted', deleted_time = $2::int8"
    " WHERE run_uuid = $1::text" SCOPE_OF(
        "runs") " RETURNING experiment_id),"
                " judged AS (DELETE FROM assessments WHERE EXISTS (SELECT 1 FROM done)"
                " AND strpos(assessment_metadata, '\"mlflow.assessment.sourceRunId\": \"' || "
                "$1::text || '\"')"
                " > 0)"
                " SELECT experiment_id FROM done"};
static const struct stmt RESTORE = {
    "run_restore", "UPDATE runs SET lifecycle_stage = 'active', deleted_time = NULL"
                   " WHERE run_uuid = $1::text" SCOPE_OF("runs") " RETURNING experiment_id"};

/* Two such calls at once may answer in another order than they committed in, so neither tells the
 * run table what it did: the next look-up asks. */
static err_t stage_done(struct req *r, struct fail *f)
{
    const struct str *run_id = r->data;
    struct run_id id;

    if (PQntuples(r->sql.results[0]) == 0)
        return admit_no_run(*run_id, f);
    if (run_id_set(&id, *run_id))
        runs_forget(r->worker->runs, &id);
    news_tell(r->worker, NEWS_RUN, *run_id);
    return reply_empty(r);
}

/* r->data becomes the run id, with the time behind it. */
static err_t stage_bind(struct req *r, struct str **values, struct fail *f)
{
    struct msg_runs_stage m;
    err_t e = bind_request(&r->arena, &r->input, &MSG_runs_stage, &m, f);

    if (e)
        return e;
    r->data = *values = arena_array(&r->arena, 2, sizeof(**values));
    (*values)[0] = sql_text(&r->arena, m.run_id.s);
    (*values)[1] = sql_i64(&r->arena, clock_wall_ms());
    return OK;
}

err_t api_run_delete(struct req *r, struct fail *f)
{
    struct str *values;
    err_t e = stage_bind(r, &values, f);

    return e ? e : req_sql(r, &(struct sql_step){&DELETE, values, 2}, 1, stage_done);
}

err_t api_run_restore(struct req *r, struct fail *f)
{
    struct str *values;
    err_t e = stage_bind(r, &values, f);

    return e ? e : req_sql(r, &(struct sql_step){&RESTORE, values, 1}, 1, stage_done);
}
