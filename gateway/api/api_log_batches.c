/*
 * api_log_batches: POST /sluice/api/v1/log-batches, a msgpack stream of batches for many runs.
 *
 * docs/protocol.md is the contract. Each batch is what a log-batch would be and stands alone: what
 * is wrong with one is its own result. The whole is refused only when it is no such stream, and then
 * before anything of it was accepted. The order:
 *
 *   read all > find the runs, with one query > for each in turn: admit, models, params, append
 *   > wait once for the last position > for each in turn: tags > answer
 *
 * So params come before points and points before tags within a batch, as log-batch has it, and the
 * points of all of them share one fdatasync. A batch with points only goes through the loop without
 * waiting; one with params or tags is a statement of its own, one after the other, because the
 * failure of one must not undo another's.
 *
 * Bounded by LIMIT_STREAM_BATCHES, by LIMIT_STREAM_VALUES values in all (29 000 points), by
 * max_body_bytes, and in time by request_timeout, after which no item is begun. Reading and checking
 * them may take long (long names that are not ASCII: 30 ms), so the helper does it for a body over
 * LIMIT_BODY_ASIDE. Appending them is for the worker, which is the queue's producer: TURN_BATCHES or
 * TURN_POINTS at a time, then others come first.
 *
 * kill -9 before the answer: some batches may be stored. Sending the same stream again stores nothing
 * twice.
 */
#include "gateway/api/api.h"

#include "base/idmap.h"
#include "gateway/api/log_call.h"
#include "gateway/auth/may.h"
#include "gateway/http/reply.h"
#include "gateway/req_aside.h"
#include "gateway/req_run.h"
#include "gateway/trace/trace.h"
#include "gateway/worker.h"
#include "ingest/document_msgpack.h"
#include "ingest/input.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { TURN_BATCHES = 100, TURN_POINTS = 2000 };

struct item {
    struct log_call call; /* first, so that r->data is either */
    struct run run;
    bool has_run; /* such a run exists */
    err_t err;
    struct str why;     /* with err */
    bool is_done;       /* of the pass that is under way */
    size_t next_of_run; /* of those that wait for the same run; the count ends it */
};

struct stream {
    struct item *items;
    size_t count;
    size_t at;          /* the item whose turn it is */
    bool is_in_loop;    /* what it calls returns instead of going on */
    struct idmap asked; /* run id to its first item, while PostgreSQL is asked */
    uint64_t asked_us;
    struct str values[1];
    bool truncate; /* long values, as the settings say */
};

static err_t stream_append(struct req *r, struct fail *f);
static err_t stream_tag(struct req *r, struct fail *f);

/* Where the stream hangs while r->data is one of its calls. */
static struct stream *stream_of(struct req *r)
{
    return r->whole;
}

static void item_fail(struct item *item, struct arena *a, err_t e, struct fail *f)
{
    item->err = e;
    item->why = arena_dup(a, f->err == e ? f->text : str_of(error_row(e)->help));
    fail_init(f, a);
}

/* -- answer ---------------------------------------------------------------------------------- */

static err_t stream_answer(struct req *r)
{
    struct stream *s = stream_of(r);
    struct json j;

    reply_json_as(r, &j, JSON_COMPACT);
    json_open(&j);
    json_key(&j, "results");
    json_open_list(&j);
    for (size_t i = 0; i < s->count; i++) {
        const struct item *item = &s->items[i];
        const struct error_row *row = item->err ? error_row(item->err) : NULL;

        json_open(&j);
        json_pair_i64(&j, "status", row ? row->status : 200);
        if (row) {
            json_pair_str(&j, "error_code", str_of(row->code));
            json_pair_str(&j, "message", item->why);
        }
        json_close(&j);
    }
    json_close_list(&j);
    json_close(&j);
    return reply_ok(r);
}

/* -- passes over the items ------------------------------------------------------------------- */

/* A thousand statements that each wait for a lock would be hours: the items that are left are not
 * begun any more. */
static bool item_is_late(struct req *r, struct item *item, struct fail *f)
{
    if (r->worker->now_us < r->started_us + r->worker->settings->request_timeout)
        return false;
    item_fail(item, &r->arena,
              fail_str(f, ERR_UNAVAILABLE,
                       STR("The stream took longer than request_timeout; send this batch again.")),
              f);
    return true;
}

/* A call has come to the end of what a pass does with it. */
static err_t item_appended(struct req *r, struct fail *f)
{
    struct item *item = r->data;

    item->is_done = true;
    return stream_of(r)->is_in_loop ? OK : stream_append(r, f);
}

static err_t item_tagged(struct req *r, struct fail *f)
{
    struct item *item = r->data;

    item->is_done = true;
    return stream_tag(r, f);
}

/* An item failed while it waited: the others go on. */
static err_t append_caught(struct req *r, err_t e, struct fail *f)
{
    item_fail(r->data, &r->arena, e, f);
    return stream_append(r, f);
}

static err_t tag_caught(struct req *r, err_t e, struct fail *f)
{
    item_fail(r->data, &r->arena, e, f);
    return stream_tag(r, f);
}

/* Tags, for the items that have some and whose points are safe. */
static err_t stream_tag(struct req *r, struct fail *f)
{
    struct stream *s = stream_of(r);

    r->caught = tag_caught;
    for (; s->at < s->count; s->at++) {
        struct item *item = &s->items[s->at];

        if (item->err || item->is_done || item->call.d.batch.ntags == 0 || item_is_late(r, item, f))
            continue;
        r->data = item;
        return log_put_tags(r);
    }
    return stream_answer(r);
}

/* The last of the points are durable. So are the others in the journal, unless it failed while an item
 * between them waited for its statement; in Kafka another partition may still be waited for. */
static err_t stream_durable(struct req *r, struct fail *f)
{
    struct stream *s = stream_of(r);
    bool has_points = false;

    for (size_t i = 0; i < s->count; i++) {
        pos_t end = s->items[i].call.end;

        if (end && queue_outcome(r->worker->queue, end) == QUEUE_PENDING)
            return req_wait_durable(r, end, stream_durable);
    }
    for (size_t i = 0; i < s->count; i++) {
        struct item *item = &s->items[i];

        item->is_done = false;
        if (item->call.end == 0)
            continue;
        if (queue_outcome(r->worker->queue, item->call.end) == QUEUE_LOST) {
            item_fail(item, &r->arena, req_lost(r, f), f);
            continue;
        }
        log_count(r, &item->call);
        has_points = true;
    }
    if (has_points)
        trace_ack(r);
    s->at = 0;
    return stream_tag(r, f);
}

static err_t stream_wait(struct req *r, struct fail *f)
{
    struct stream *s = stream_of(r);
    pos_t last = 0;

    r->caught = NULL;
    for (size_t i = 0; i < s->count; i++)
        if (s->items[i].call.end > last)
            last = s->items[i].call.end;
    return last ? req_wait_durable(r, last, stream_durable) : stream_durable(r, f);
}

/* Each batch is judged by its own run. Whose the logged models are that points name is not looked up for a
 * stream: who may not do everything sends those by log-batch. */
static bool item_is_denied(const struct req *r, const struct item *item)
{
    if (!may_hides(r))
        return false;
    return !item->has_run || item->call.d.has_models ||
           !may_updates_run_of(r, item->run.experiment_id);
}

/* Params and points, item by item, as many as a turn of the worker's loop may take. */
static err_t stream_append(struct req *r, struct fail *f)
{
    struct stream *s = stream_of(r);
    unsigned batches = 0, points = 0;

    r->caught = append_caught;
    s->is_in_loop = true;
    for (; s->at < s->count && batches < TURN_BATCHES && points < TURN_POINTS; s->at++) {
        struct item *item = &s->items[s->at];
        err_t e;

        if (item->err || item->is_done || item_is_late(r, item, f))
            continue;
        if (item_is_denied(r, item)) {
            item_fail(item, &r->arena, ERR_DENIED, f);
            continue;
        }
        batches++;
        points += item->call.d.batch.npoints;
        r->data = item;
        e = log_begin(r, item->has_run ? &item->run : NULL, f);
        if (e) {
            item_fail(item, &r->arena, e, f);
        } else if (!item->is_done) { /* it waits for a statement */
            s->is_in_loop = false;
            return OK;
        }
    }
    s->is_in_loop = false;
    return s->at < s->count ? req_pause(r, stream_append) : stream_wait(r, f);
}

/* -- the runs ---------------------------------------------------------------------------------- */

static const struct stmt STREAM_RUNS = {
    "log_stream_runs",
    "SELECT run_uuid, lifecycle_stage, experiment_id FROM runs WHERE run_uuid = ANY($1)" SCOPE_OF(
        "runs")};

/* One row: kept for all, and told to every item of the run. */
static void run_found(struct req *r, const PGresult *res, int row)
{
    struct stream *s = stream_of(r);
    struct str run_id = sql_get(res, row, 0);
    struct run run = {.is_active = str_eq(sql_get(res, row, 1), STR("active")),
                      .experiment_id = (int32_t)sql_get_i64(res, row, 2),
                      .workspace = r->scope.mark};
    const uint64_t *first = idmap_get(&s->asked, run_id);
    struct run_id id;

    if (first == NULL)
        return;
    if (run_id_set(&id, run_id))
        runs_put(r->worker->runs, &id, s->asked_us, &run);
    for (size_t i = (size_t)*first; i < s->count; i = s->items[i].next_of_run) {
        s->items[i].run = run;
        s->items[i].has_run = true;
    }
}

/* The runs could not be asked for: are they all known from before? */
static bool stream_recall(struct req *r)
{
    struct stream *s = stream_of(r);

    for (size_t i = 0; i < s->count; i++) {
        struct item *item = &s->items[i];

        if (item->err || item->has_run || item->call.d.batch.run.n == 0)
            continue;
        item->has_run = req_recall_run(r, &item->call.d.batch.run, &item->run);
        if (!item->has_run)
            return false;
    }
    return true;
}

static err_t runs_found(struct req *r, struct fail *f)
{
    const PGresult *res = r->sql.results[0];

    for (int i = 0; !r->sql.err && i < PQntuples(res); i++)
        run_found(r, res, i);
    idmap_fini(&stream_of(r)->asked);
    return r->sql.err && !stream_recall(r) ? req_sql_fail(r, f) : stream_append(r, f);
}

static bool stream_knows(struct req *r, struct item *item)
{
    const struct worker *w = r->worker;
    const struct run_id *id = &item->call.d.batch.run;

    if (runs_get(w->runs, id, w->now_us, w->settings->run_cache_ttl, &item->run) &&
        item->run.workspace == r->scope.mark)
        return true;
    return req_lacks_database(r) && req_recall_run(r, id, &item->run);
}

/* Asks for the runs that the table does not know, each once; items of one run are a list. */
static err_t stream_find_runs(struct req *r, struct fail *f)
{
    struct stream *s = stream_of(r);
    const struct worker *w = r->worker;
    struct str *ids = arena_array(&r->arena, s->count, sizeof(*ids));
    size_t n = 0;

    idmap_init(&s->asked);
    for (size_t i = s->count; i-- > 0;) {
        struct item *item = &s->items[i];
        uint64_t *first;
        bool is_new;

        item->has_run = !item->err && stream_knows(r, item);
        if (item->err || item->has_run || item->call.d.batch.run.n == 0)
            continue;
        first = idmap_put(&s->asked, item->call.d.run_id, &is_new);
        item->next_of_run = is_new ? s->count : (size_t)*first;
        *first = i;
        if (is_new)
            ids[n++] = item->call.d.run_id;
    }
    if (n == 0) {
        idmap_fini(&s->asked);
        return stream_append(r, f);
    }
    s->asked_us = w->now_us;
    s->values[0] = sql_text_array(&r->arena, ids, n);
    return req_sql_try(r, &(struct sql_step){&STREAM_RUNS, s->values, 1}, 1, runs_found);
}

/* -- reading ---------------------------------------------------------------------------------- */

/* All of the stream or nothing: *out has room for LIMIT_STREAM_BATCHES. */
static err_t stream_read(struct arena *a, struct str body, yyjson_val **out, size_t *count,
                         struct fail *f)
{
    size_t budget = LIMIT_STREAM_VALUES;
    struct document_error why = {"", 0};
    struct str rest = body;

    for (*count = 0; rest.n > 0; (*count)++) {
        if (*count == LIMIT_STREAM_BATCHES)
            return fail(f, ERR_BAD_PARAM, "The stream holds more than %d batches.",
                        LIMIT_STREAM_BATCHES);
        out[*count] = document_read_msgpack(a, &rest, &budget, &why);
        if (out[*count] == NULL)
            return fail(f, ERR_BAD_PARAM, "Batch %zu is no msgpack: %s (byte %zu of the body).",
                        *count, why.text, body.n - rest.n + why.at);
    }
    return OK;
}

/* Reads and checks it all. */
static err_t stream_prepare(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct stream *s = stream_of(r);
    yyjson_val **roots = arena_array(a, LIMIT_STREAM_BATCHES, sizeof(*roots));
    err_t e = stream_read(a, r->input.body, roots, &s->count, f);

    if (e)
        return e;
    s->items = arena_array(a, s->count, sizeof(*s->items));
    for (size_t i = 0; i < s->count; i++) {
        struct item *item = &s->items[i];

        *item = (struct item){.call = {.appended = item_appended, .tagged = item_tagged}};
        e = decode_log_batch_document(a, roots[i], s->truncate, &item->call.d, f);
        if (e)
            item_fail(item, a, e, f);
    }
    return OK;
}

err_t api_log_batches(struct req *r, struct fail *f)
{
    struct stream *s = r->whole = arena_zalloc(&r->arena, sizeof(*s));

    s->truncate = r->worker->settings->truncate_long_values;
    if (!input_is_msgpack(&r->input))
        return fail_str(f, ERR_BAD_PARAM,
                        STR("Bad Request. Content-Type must be one of ['application/msgpack']."));
    return req_prepare(r, LIMIT_BODY_ASIDE, stream_prepare, stream_find_runs);
}
