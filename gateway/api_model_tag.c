/*
 * api_model_tag: runs/log-model, with which clients before MLflow 3 note a model of a run.
 *
 * The tag is a list that grows: read, one entry appended, written. Two clients that do so at once
 * would lose an entry, as they may at MLflow. Here the write asks that the tag still be what was
 * read, and when it is not, everything is done again.
 */
#include "gateway/api.h"

#include "base/clock.h"
#include "gateway/model_tag.h"
#include "gateway/reply.h"
#include "gateway/run_stage.h"
#include "gateway/worker.h"
#include "ingest/names.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { MODEL_ATTEMPTS = 20 };

static const struct stmt TAG_READ = {
    "model_tag_read", "SELECT r.lifecycle_stage, t.value FROM runs r LEFT JOIN tags t"
                      " ON t.run_uuid = r.run_uuid AND t.key = '" MODEL_TAG "'"
                      " WHERE r.run_uuid = $1::text"};
/* $3 is the value that was read. */
static const struct stmt TAG_WRITE = {
    "model_tag_write",
    "INSERT INTO tags (key, value, run_uuid) SELECT '" MODEL_TAG "', $2::text,"
    " run_uuid FROM runs WHERE run_uuid = $1::text AND lifecycle_stage = 'active'"
    " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value"
    " WHERE tags.value IS NOT DISTINCT FROM $3::text RETURNING 1"};

struct model_call {
    struct str run_id;
    struct str entry;
    unsigned attempts;
    struct str values[3];
};

static err_t model_read(struct req *r, struct fail *f);

static err_t model_written(struct req *r, struct fail *f)
{
    const struct model_call *c = r->data;

    if (PQntuples(r->sql.results[0]) > 0)
        return reply_empty(r);
    if (c->attempts < MODEL_ATTEMPTS)
        return model_read(r, f);
    return fail(f, ERR_UNAVAILABLE, "The tag " MODEL_TAG " is changed by others all the time.");
}

static err_t model_write(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct model_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    bool truncate = r->worker->settings->truncate_long_values;
    err_t e;

    if ((e = run_stage_check(r, c->run_id, 0, f)))
        return e;
    c->values[2] = sql_is_null(res, 0, 1) ? sql_null() : arena_dup(a, sql_get(res, 0, 1));
    if ((e = model_tag_append(a, c->values[2], c->entry, &c->values[1], f)))
        return e;
    /* MLflow cuts the value for the check, and hands the whole one to the database */
    if (!truncate && (e = names_check_length(c->values[1], LIMIT_TAG_VALUE, "value", f)))
        return e;
    return req_sql(r, &(struct sql_step){&TAG_WRITE, c->values, 3}, 1, model_written);
}

static err_t model_read(struct req *r, struct fail *f)
{
    struct model_call *c = r->data;

    (void)f;
    c->attempts++;
    return req_sql(r, &(struct sql_step){&TAG_READ, c->values, 1}, 1, model_write);
}

err_t api_log_model(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct model_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct msg_log_model m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_log_model, &m, f)) ||
        (e = model_tag_entry(a, m.model_json.s, clock_wall_ms(), &c->entry, f)) ||
        (e = names_check_nul(m.run_id.s, f)))
        return e;
    c->run_id = m.run_id.s;
    c->values[0] = sql_text(a, m.run_id.s);
    return model_read(r, f);
}
