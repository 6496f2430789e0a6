/*
 * api_metric: the history of one metric.
 *
 * Rows come ordered by timestamp, step and stored value, so NaN sorts as 0. A page asks for one row
 * more than it shows: only when that row is there a token for the next page goes with it. Without
 * max_results everything comes in one answer, in parts when it is long. Numbers are passed on as
 * PostgreSQL's text (entity.c).
 *
 * As at MLflow, a run that does not exist has an empty history, with workspaces off.
 */
#include "gateway/api/api.h"

#include "gateway/api/entity.h"
#include "gateway/auth/scope_runs.h"
#include "gateway/http/reply.h"
#include "gateway/req_part.h"
#include "gateway/sql/sql_stream.h"
#include "gateway/worker.h"
#include "schema/errors.h"

#define HISTORY_ROWS                                                 \
    "SELECT value, timestamp, step, is_nan FROM metrics" SCOPE_FOUND \
    " WHERE run_uuid = $1::text AND key = $2::text"                  \
    " ORDER BY timestamp, step, value LIMIT $3::int8 OFFSET $4::int8"

static const struct stmt HISTORY = {"metric_history", HISTORY_ROWS};
static const struct stmt LONG_HISTORY = {"metric_history_long", SQL_STREAM HISTORY_ROWS};

struct history_call {
    struct msg_get_history m;
    struct str run_id;
    int64_t offset;
    struct str values[4];
    struct json json;
    int64_t shown;
    bool has_more; /* another page */
};

static void history_write(struct history_call *h, const PGresult *res)
{
    int64_t left = h->m.max_results.is_set ? h->m.max_results.v - h->shown : INT64_MAX;
    int n = PQntuples(res);

    h->has_more = n > left;
    if (h->has_more)
        n = (int)left;
    if (n > 0 && h->shown == 0) {
        json_key(&h->json, "metrics");
        json_open_list(&h->json);
    }
    for (int i = 0; i < n; i++)
        entity_metric(&h->json, h->m.metric_key.s, res, i, 0);
    h->shown += n;
}

static err_t history_end(struct req *r, struct history_call *h)
{
    if (h->shown > 0)
        json_close_list(&h->json);
    if (h->has_more)
        json_pair_str(&h->json, "next_page_token",
                      bind_make_page_token(&r->arena, h->offset + h->m.max_results.v));
    json_close(&h->json);
    return reply_ok(r);
}

static err_t history_page(struct req *r, struct fail *f)
{
    (void)f;
    history_write(r->data, r->sql.results[0]);
    return history_end(r, r->data);
}

static err_t history_more(struct req *r, struct fail *f);

static err_t history_part(struct req *r, struct fail *f)
{
    (void)f;
    history_write(r->data, r->rows);
    return r->has_more_rows ? req_send_part(r, history_more) : history_end(r, r->data);
}

static err_t history_more(struct req *r, struct fail *f)
{
    (void)f;
    return req_more_rows(r, history_part);
}

static err_t history_read(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct history_call *h = r->data;

    (void)f;
    h->values[0] = sql_text(a, h->run_id);
    h->values[1] = sql_text(a, h->m.metric_key.s);
    h->values[2] = h->m.max_results.is_set ? sql_i64(a, h->m.max_results.v + 1) : sql_null();
    h->values[3] = sql_i64(a, h->offset);
    reply_json(r, &h->json);
    json_open(&h->json);
    if (h->m.max_results.is_set && h->m.max_results.v < SQL_STREAM_ROWS)
        return req_sql(r, &(struct sql_step){&HISTORY, h->values, 4}, 1, history_page);
    return req_rows(r, &(struct sql_step){&LONG_HISTORY, h->values, 4}, history_part);
}

static err_t history_begin(struct req *r, struct fail *f)
{
    const struct history_call *h = r->data;
    err_t e = scope_judge_runs(r, f);

    return e ? e : req_wait_run(r, h->run_id, history_read);
}

err_t api_metric_history(struct req *r, struct fail *f)
{
    struct history_call *h = r->data = arena_zalloc(&r->arena, sizeof(*h));
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_get_history, &h->m, f)))
        return e;
    if (h->m.max_results.is_set && h->m.max_results.v <= 0)
        return fail(f, ERR_BAD_PARAM,
                    "Invalid value %lld for parameter 'max_results' supplied. It must be a positive"
                    " integer.",
                    (long long)h->m.max_results.v);
    if ((e = bind_page_token(&r->arena, h->m.page_token.s, &h->offset, f)))
        return e;
    h->run_id = h->m.run_id.s.n ? h->m.run_id.s : h->m.run_uuid.s;
    return scope_ask_runs(r, &h->run_id, 1, history_begin);
}
