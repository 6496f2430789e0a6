/*
 * api_model_tag: runs/log-model, with which clients before MLflow 3 note a model of a run.
 *
 * The tag is a list that grows, by tag_swap.
 */
#include "gateway/api/api.h"

#include "base/clock.h"
#include "gateway/api/model_tag.h"
#include "gateway/api/run_stage.h"
#include "gateway/api/tag_swap.h"
#include "gateway/http/reply.h"
#include "gateway/worker.h"
#include "ingest/names.h"
#include "schema/errors.h"
#include "schema/limits.h"

static const struct stmt TAG_READ = {
    "model_tag_read", "SELECT r.lifecycle_stage, t.value FROM runs r LEFT JOIN tags t"
                      " ON t.run_uuid = r.run_uuid AND t.key = '" MODEL_TAG "'"
                      " WHERE r.run_uuid = $1::text" SCOPE_OF("r")};
/* $3 is the value that was read. */
static const struct stmt TAG_WRITE = {
    "model_tag_write",
    "INSERT INTO tags (key, value, run_uuid) SELECT '" MODEL_TAG "', $2::text,"
    " run_uuid FROM runs WHERE run_uuid = $1::text AND lifecycle_stage = 'active'" SCOPE_OF(
        "runs") " ON CONFLICT (key, run_uuid) DO UPDATE SET value = excluded.value"
                " WHERE tags.value IS NOT DISTINCT FROM $3::text RETURNING 1"};

struct model_call {
    struct tag_swap tag; /* first, so that r->data is either */
    struct str run_id;
    struct str entry;
};

static err_t model_change(struct req *r, struct str before, struct str *after, struct fail *f)
{
    const struct model_call *c = r->data;
    bool truncate = r->worker->settings->truncate_long_values;
    err_t e;

    if ((e = run_stage_check(r, c->run_id, 0, f)) ||
        (e = model_tag_append(&r->arena, before, c->entry, after, f)))
        return e;
    /* MLflow cuts the value for the check, and hands the whole one to the database */
    return truncate ? OK : names_check_length(*after, LIMIT_TAG_VALUE, "value", f);
}

static err_t model_written(struct req *r, struct fail *f)
{
    (void)f;
    return reply_empty(r);
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
    c->tag = (struct tag_swap){.key = MODEL_TAG,
                               .read = &TAG_READ,
                               .write = &TAG_WRITE,
                               .column = 1,
                               .change = model_change,
                               .written = model_written,
                               .values = {sql_text(a, m.run_id.s)}};
    return tag_swap(r);
}
