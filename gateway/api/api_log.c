/*
 * api_log: writes to a run: metrics, params, tags.
 *
 * log-metric and log-batch walk one chain, each step skipped when the batch has nothing for it:
 *
 *   decode > find the run > admit > models > params > points > durable > tags > answer
 *
 * That is MLflow's order: everything validated first, then params, then metrics, then tags; a step
 * that fails leaves what the steps before it did. Points of a run that is known cost no SQL and, in
 * the arena's first block, no malloc. They are answered when the journal has them.
 *
 * log-parameter, set-tag and delete-tag go to PostgreSQL anyway, so the statement itself asks the
 * row of the run for its stage: nothing is cached, nothing can come between.
 *
 * Params. One statement finds those that exist with another value, and inserts the new ones only when
 * there is none. Two clients that insert the same key at once meet in the primary key: the later one
 * gets a unique violation, its whole statement is undone, and run again it sees the other's value.
 *
 * Models. MLflow inserts into logged_model_metrics within the request, and a foreign key tells it
 * of a model that does not exist. Here the flusher inserts, so the models are looked up first, and
 * what the columns would not take is refused; nothing of the batch is stored then. A point that a
 * model has with another value stays as it is, where MLflow answers 400: the flusher meets it after
 * the answer is out.
 */
#include "gateway/api/api.h"

#include "gateway/api/log_call.h"
#include "gateway/api/run_stage.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/reply.h"
#include "gateway/peers/peers.h"
#include "gateway/peers/rate.h"
#include "gateway/req_aside.h"
#include "gateway/trace/trace.h"
#include "gateway/worker.h"
#include "ingest/admit.h"
#include "ingest/input.h"
#include "ingest/names.h"
#include "schema/errors.h"
#include "schema/limits.h"

#define RUN_NAME_TAG "mlflow.runName"

enum { PARAM_ATTEMPTS = 3, MODEL_ID_MAX = 36, DATASET_NAME_MAX = 500, DATASET_DIGEST_MAX = 36 };

/* -- tags ------------------------------------------------------------------------------------ */

/* The run's row is locked before its tags, as runs/update and stock have it: the count makes put
 * wait for named, the order of which PostgreSQL does not promise. */
static const struct stmt PUT_TAGS = {
    "log_put_tags",
    "WITH run AS (SELECT run_uuid, lifecycle_stage FROM runs WHERE run_uuid = $1::text" SCOPE_OF(
        "runs") "),"
                " named AS (UPDATE runs SET name = $4::text WHERE run_uuid = (SELECT run_uuid FROM "
                "run)"
                " AND lifecycle_stage = 'active' AND $4::text IS NOT NULL RETURNING 1),"
                " put AS (INSERT INTO tags (key, value, run_uuid)"
                " SELECT t.key, t.value, run.run_uuid FROM run, unnest($2::text[], $3::text[]) AS "
                "t(key, value)"
                " WHERE run.lifecycle_stage = 'active' AND (SELECT count(*) FROM named) >= 0 ORDER "
                "BY t.key"
                " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value)"
                " SELECT lifecycle_stage FROM run"};

/* An empty run name changes nothing, not even the tag. */
static bool tag_is_void(const struct pair *tag)
{
    return tag->value.n == 0 && str_eq(tag->key, STR(RUN_NAME_TAG));
}

/* Does a later tag of the batch replace this one? */
static bool tag_is_replaced(const struct batch *b, uint32_t i)
{
    for (uint32_t k = i + 1; k < b->ntags; k++)
        if (str_eq(b->tags[k].key, b->tags[i].key) && !tag_is_void(&b->tags[k]))
            return true;
    return false;
}

static err_t tags_done(struct req *r, struct fail *f)
{
    const struct log_call *c = r->data;
    err_t e = run_stage_check(r, c->d.run_id, 0, f);

    return e ? e : c->tagged(r, f);
}

err_t log_put_tags(struct req *r)
{
    struct arena *a = &r->arena;
    struct log_call *c = r->data;
    const struct batch *b = &c->d.batch;
    struct str *keys = arena_array(a, b->ntags, sizeof(*keys));
    struct str *texts = arena_array(a, b->ntags, sizeof(*texts));
    size_t n = 0;

    c->values[3] = sql_null();
    for (uint32_t i = 0; i < b->ntags; i++) {
        if (tag_is_void(&b->tags[i]) || tag_is_replaced(b, i))
            continue;
        keys[n] = b->tags[i].key;
        texts[n++] = b->tags[i].value;
        if (str_eq(b->tags[i].key, STR(RUN_NAME_TAG)))
            c->values[3] = sql_text(a, b->tags[i].value);
    }
    c->values[0] = sql_text(a, c->d.run_id);
    c->values[1] = sql_text_array(a, keys, n);
    c->values[2] = sql_text_array(a, texts, n);
    return req_sql(r, &(struct sql_step){&PUT_TAGS, c->values, 4}, 1, tags_done);
}

static err_t log_answer(struct req *r, struct fail *f)
{
    (void)f;
    return reply_empty(r);
}

static err_t log_tags(struct req *r)
{
    const struct log_call *c = r->data;

    return c->d.batch.ntags ? log_put_tags(r) : reply_empty(r);
}

/* -- points ---------------------------------------------------------------------------------- */

void log_count(struct req *r, const struct log_call *c)
{
    stat_add(r->worker->stats, accepted_points, c->d.batch.npoints);
    stat_add(r->worker->stats, accepted_batches, 1);
    top_note(&r->worker->top, &c->d.batch, r->worker->now_us);
    r->worker->busy_since_us = 0;
}

static err_t log_durable(struct req *r, struct fail *f)
{
    (void)f;
    log_count(r, r->data);
    trace_ack(r);
    return log_tags(r);
}

/* The points of a single batch are with the queue. */
static err_t log_wait(struct req *r, struct fail *f)
{
    const struct log_call *c = r->data;

    (void)f;
    return c->end ? req_wait_durable(r, c->end, log_durable) : log_tags(r);
}

/* Once for each run: a dead letter should say who sent it. */
static void log_note_client(struct req *r, const struct run_id *run)
{
    uint8_t peer[RUNS_CLIENT];

    if (forwarded_client(r, peer))
        runs_set_client(r->worker->runs, run, peer);
}

static err_t log_points(struct req *r, struct fail *f)
{
    struct log_call *c = r->data;
    struct worker *w = r->worker;
    err_t e;

    if (c->d.batch.npoints > 0) {
        if ((e = queue_append(w->queue, w->index, &c->d.batch, &c->end, f)))
            return e;
        if (!runs_appended(w->runs, &c->d.batch.run, c->end))
            log_note_client(r, &c->d.batch.run);
        peers_note(r, &c->d.batch.run, c->end);
        if (r->trace)
            trace_appended(r, c->end);
    }
    return c->appended(r, f);
}

/* -- params ---------------------------------------------------------------------------------- */

/* The first row tells the stage, the others are params that would change. */
static const struct stmt PUT_PARAMS = {
    "log_put_params",
    "WITH run AS (SELECT run_uuid, lifecycle_stage FROM runs WHERE run_uuid = $1::text" SCOPE_OF(
        "runs") "),"
                " sent AS (SELECT key, value, n FROM unnest($2::text[], $3::text[])"
                " WITH ORDINALITY AS t(key, value, n)),"
                " met AS (SELECT s.n, s.key, p.value AS old_value, s.value AS new_value FROM sent s"
                " JOIN params p ON p.key = s.key AND p.run_uuid = $1::text),"
                " put AS (INSERT INTO params (key, value, run_uuid)"
                " SELECT s.key, s.value, run.run_uuid FROM run, sent s WHERE run.lifecycle_stage = "
                "'active'"
                " AND NOT EXISTS (SELECT 1 FROM met WHERE old_value <> new_value)"
                " AND NOT EXISTS (SELECT 1 FROM met WHERE met.n = s.n) ORDER BY s.key)"
                " SELECT 0 AS n, lifecycle_stage AS key, '' AS old_value, '' AS new_value FROM run"
                " UNION ALL SELECT n, key, old_value, new_value FROM met WHERE old_value <> "
                "new_value"
                " ORDER BY n"};

static err_t put_params(struct req *r, req_step next)
{
    struct arena *a = &r->arena;
    struct log_call *c = r->data;
    const struct batch *b = &c->d.batch;
    struct str *keys = arena_array(a, b->nparams, sizeof(*keys));
    struct str *texts = arena_array(a, b->nparams, sizeof(*texts));

    for (uint32_t i = 0; i < b->nparams; i++) {
        keys[i] = b->params[i].key;
        texts[i] = b->params[i].value;
    }
    c->param_attempts++;
    c->values[0] = sql_text(a, c->d.run_id);
    c->values[1] = sql_text_array(a, keys, b->nparams);
    c->values[2] = sql_text_array(a, texts, b->nparams);
    return req_sql_try(r, &(struct sql_step){&PUT_PARAMS, c->values, 3}, 1, next);
}

/* True when the statement met another client's insert and shall run again. */
static bool params_met_another(const struct req *r)
{
    const struct log_call *c = r->data;

    return str_eq(str_of(r->sql.sqlstate), STR("23505")) && c->param_attempts < PARAM_ATTEMPTS;
}

static struct param_conflict conflict_get(const PGresult *res, int row)
{
    return (struct param_conflict){sql_get(res, row, 1), sql_get(res, row, 2),
                                   sql_get(res, row, 3)};
}

/* The outcome of put_params that batches and single params have in common. */
static err_t check_params(struct req *r, struct fail *f)
{
    const struct log_call *c = r->data;

    return r->sql.err ? req_sql_fail(r, f) : run_stage_check(r, c->d.run_id, 1, f);
}

static err_t batch_params_done(struct req *r, struct fail *f)
{
    const struct log_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct param_conflict *conflicts;
    int n;
    err_t e;

    if (params_met_another(r))
        return put_params(r, batch_params_done);
    if ((e = check_params(r, f)))
        return e;
    n = PQntuples(res) - 1;
    if (n == 0)
        return log_points(r, f);
    conflicts = arena_array(&r->arena, (size_t)n, sizeof(*conflicts));
    for (int i = 0; i < n; i++)
        conflicts[i] = conflict_get(res, i + 1);
    return admit_param_conflicts(&r->arena, c->d.run_id, conflicts, (size_t)n, f);
}

static err_t log_params(struct req *r, struct fail *f)
{
    const struct log_call *c = r->data;

    return c->d.batch.nparams ? put_params(r, batch_params_done) : log_points(r, f);
}

/* -- models ---------------------------------------------------------------------------------- */

static const struct stmt MISSING_MODEL = {
    "log_missing_model",
    "SELECT s.id FROM unnest($1::text[]) AS s(id)"
    " WHERE NOT EXISTS (SELECT 1 FROM logged_models m WHERE m.model_id = s.id" SCOPE_OF(
        "m") ") LIMIT 1"};

static err_t models_done(struct req *r, struct fail *f)
{
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) > 0)
        return fail(f, ERR_BAD_REQUEST,
                    "(psycopg.errors.ForeignKeyViolation) insert or update on table"
                    " \"logged_model_metrics\" violates foreign key constraint"
                    " \"fk_logged_model_metrics_model_id\"\nDETAIL:  Key (model_id)=(%.*s) is not"
                    " present in table \"logged_models\".",
                    STR_ARG(sql_get(res, 0, 0)));
    return log_params(r, f);
}

static err_t check_column(struct str s, size_t max, struct fail *f)
{
    if (names_length(s) <= max)
        return OK;
    return fail(f, ERR_BAD_REQUEST,
                "(psycopg.errors.StringDataRightTruncation) value too long for type character"
                " varying(%zu)",
                max);
}

static err_t log_models(struct req *r, struct fail *f)
{
    struct log_call *c = r->data;
    const struct batch *b = &c->d.batch;
    struct str *ids;
    size_t n = 0;
    err_t e;

    if (!c->d.has_models)
        return log_params(r, f);
    ids = arena_array(&r->arena, b->npoints, sizeof(*ids));
    for (uint32_t i = 0; i < b->npoints; i++) {
        const struct point *p = &b->points[i];

        if (p->model_id.n == 0)
            continue;
        if ((e = check_column(p->model_id, MODEL_ID_MAX, f)) ||
            (e = check_column(p->dataset_name, DATASET_NAME_MAX, f)) ||
            (e = check_column(p->dataset_digest, DATASET_DIGEST_MAX, f)))
            return e;
        if (n == 0 || !str_eq(ids[n - 1], p->model_id)) /* mostly they are all the same */
            ids[n++] = p->model_id;
    }
    c->values[0] = sql_text_array(&r->arena, ids, n);
    return req_sql(r, &(struct sql_step){&MISSING_MODEL, c->values, 1}, 1, models_done);
}

/* -- the chain's beginning --------------------------------------------------------------------- */

err_t log_begin(struct req *r, const struct run *run, struct fail *f)
{
    struct log_call *c = r->data;
    err_t e = admit_batch(&c->d, run, f);

    return e ? e : rate_check(r, run->experiment_id, c->d.batch.npoints, log_models);
}

static err_t log_run_found(struct req *r, struct fail *f)
{
    return log_begin(r, r->has_run ? &r->run : NULL, f);
}

static struct log_call *call_new(struct req *r)
{
    struct log_call *c = arena_zalloc(&r->arena, sizeof(*c));

    c->truncate = r->worker->settings->truncate_long_values;
    c->appended = log_wait;
    c->tagged = log_answer;
    return r->data = c;
}

err_t api_log_metric(struct req *r, struct fail *f)
{
    struct log_call *c = call_new(r);
    err_t e = decode_log_metric(&r->arena, &r->input, &c->d, f);

    return e ? e : req_find_run(r, c->d.run_id, log_run_found);
}

static err_t log_batch_decode(struct req *r, struct fail *f)
{
    struct log_call *c = r->data;

    return decode_log_batch(&r->arena, &r->input, c->truncate, &c->d, f);
}

static err_t log_batch_decoded(struct req *r, struct fail *f)
{
    const struct log_call *c = r->data;

    (void)f;
    return req_find_run(r, c->d.run_id, log_run_found);
}

err_t api_log_batch(struct req *r, struct fail *f)
{
    (void)f;
    (void)call_new(r);
    return req_prepare(r, LIMIT_BODY_ASIDE, log_batch_decode, log_batch_decoded);
}

/* -- single params and tags -------------------------------------------------------------------- */

static err_t param_done(struct req *r, struct fail *f)
{
    const struct log_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct param_conflict conflict;
    err_t e;

    if (params_met_another(r))
        return put_params(r, param_done);
    if ((e = check_params(r, f)))
        return e;
    if (PQntuples(res) == 1)
        return reply_empty(r);
    conflict = conflict_get(res, 1);
    return admit_param_conflict(c->d.run_id, &conflict, f);
}

err_t api_log_parameter(struct req *r, struct fail *f)
{
    struct log_call *c = call_new(r);
    err_t e = decode_log_parameter(&r->arena, &r->input, c->truncate, &c->d, f);

    return e ? e : put_params(r, param_done);
}

err_t api_log_set_tag(struct req *r, struct fail *f)
{
    struct log_call *c = call_new(r);
    err_t e = decode_set_tag(&r->arena, &r->input, c->truncate, &c->d, f);

    return e ? e : log_put_tags(r);
}

static const struct stmt DELETE_TAG = {
    "log_delete_tag",
    "WITH run AS (SELECT run_uuid, lifecycle_stage FROM runs WHERE run_uuid = $1::text" SCOPE_OF(
        "runs") "),"
                " gone AS (DELETE FROM tags WHERE key = $2::text AND run_uuid IN"
                " (SELECT run_uuid FROM run WHERE lifecycle_stage = 'active') RETURNING 1)"
                " SELECT lifecycle_stage, EXISTS (SELECT 1 FROM gone) FROM run"};

static err_t delete_tag_done(struct req *r, struct fail *f)
{
    const struct log_call *c = r->data;
    err_t e = run_stage_check(r, c->d.run_id, 0, f);

    if (e)
        return e;
    if (!sql_get_bool(r->sql.results[0], 0, 1))
        return fail(f, ERR_NOT_FOUND, "No tag with name: %.*s in run with id %.*s",
                    STR_ARG(c->values[1]), STR_ARG(c->d.run_id));
    return reply_empty(r);
}

err_t api_log_delete_tag(struct req *r, struct fail *f)
{
    struct log_call *c = call_new(r);
    struct msg_delete_tag m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_delete_tag, &m, f)))
        return e;
    c->d.run_id = m.run_id.s;
    c->values[0] = sql_text(&r->arena, m.run_id.s);
    c->values[1] = sql_text(&r->arena, m.key.s);
    return req_sql(r, &(struct sql_step){&DELETE_TAG, c->values, 2}, 1, delete_tag_done);
}
