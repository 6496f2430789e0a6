/*
 * decode: a write request to a struct batch, checked as MLflow checks it.
 *
 * log-batch, in MLflow's order; the first failure is the answer, and nothing is written before all
 * have passed:
 *
 *   1  required fields: run_id, then of the items of metrics, params, tags          (bind.c)
 *   2  metrics with only one of dataset_name, dataset_digest
 *   3  syntax of run_id
 *   4  metrics: key rule (metrics[i].name), timestamp >= 0, key length
 *   5  params: key rule (params[i].key), key length, value cut or refused
 *   6  tags: key rule (tags[i].key), key length, value cut or refused
 *   7  counts: metrics > 1000, params > 100, tags > 100, sum > 1000
 *   8  repeated param keys
 *   9  (ours) a NUL where PostgreSQL would see it: MLflow learns of it from the driver, last of all
 *
 * Step 1 has two implementations: decode_plain.c takes a body without surprises, bind.c any other; of
 * log-metric as well.
 * A body in msgpack becomes the document that its JSON would be, and goes the same way.
 * Steps 2 to 9 exist once, below both.
 *
 * A batch repeats few keys many times, so the key rule remembers the last ones it passed.
 *
 * NaN and infinities are only folded to their stored form after step 4, because its messages quote
 * the value as it was sent.
 */
#include "ingest/decode.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "ingest/decode_plain.h"
#include "ingest/document.h"
#include "ingest/document_msgpack.h"
#include "ingest/input.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/limits.h"

void decode_store_value(double value, struct point *p)
{
    p->is_nan = isnan(value);
    if (p->is_nan)
        p->value = 0;
    else if (isinf(value))
        p->value = value > 0 ? DBL_MAX : -DBL_MAX;
    else
        p->value = value;
}

/* -- the whole story ----------------------------------------------------------------------- */

static struct point decode_point(const struct msg_metric *m)
{
    return (struct point){.key = m->key.s,
                          .value = m->value.v,
                          .timestamp = m->timestamp.v,
                          .step = m->step.v,
                          .model_id = m->model_id.s,
                          .dataset_name = m->dataset_name.s,
                          .dataset_digest = m->dataset_digest.s};
}

static struct pair *decode_pairs(struct arena *a, const struct msg_item *items, size_t n)
{
    struct pair *pairs = arena_array(a, n, sizeof(*pairs));

    for (size_t i = 0; i < n; i++)
        pairs[i] = (struct pair){items[i].key.s, items[i].value.s};
    return pairs;
}

/* root NULL: the parameters are in the query or in JSON that is not plain. */
static err_t decode_bound_batch(struct arena *a, const struct bind_input *in, yyjson_val *root,
                                struct decoded *out, struct fail *f)
{
    struct document_error why = {"", 0};
    struct msg_log_batch m;
    err_t e;

    if (root == NULL && (e = input_read(a, in, &MSG_log_batch, &root, &why, f)))
        return e;
    if (root == NULL)
        return fail(f, ERR_BAD_PARAM, "The request body is no JSON object: %s (byte %zu).",
                    why.text, why.at);
    if ((e = bind_document(a, root, &MSG_log_batch, &m, f)))
        return e;
    *out = (struct decoded){.run_id = m.run_id.s};
    out->batch.npoints = (uint32_t)m.metrics.n;
    out->batch.nparams = (uint32_t)m.params.n;
    out->batch.ntags = (uint32_t)m.tags.n;
    out->batch.points = arena_array(a, m.metrics.n, sizeof(*out->batch.points));
    for (size_t i = 0; i < m.metrics.n; i++)
        out->batch.points[i] = decode_point(&m.metrics.items[i]);
    out->batch.params = decode_pairs(a, m.params.items, m.params.n);
    out->batch.tags = decode_pairs(a, m.tags.items, m.tags.n);
    return OK;
}

/* -- steps 2 to 9 -------------------------------------------------------------------------- */

/* What one item is called in messages. */
enum { PATH_MAX_BYTES = 64 };

static const char *decode_path(char path[PATH_MAX_BYTES], const char *list, size_t i,
                               const char *field)
{
    snprintf(path, PATH_MAX_BYTES, "%s[%zu].%s", list, i, field);
    return path;
}

static err_t decode_check_datasets(const struct point *p, struct fail *f)
{
    if ((p->dataset_name.n == 0) == (p->dataset_digest.n == 0))
        return OK;
    return fail_str(
        f, ERR_BAD_PARAM,
        STR("Both dataset_name and dataset_digest must be provided if one is provided"));
}

/* Keys that passed, by a hash of little worth: a batch has few keys, and a miss costs little. */
struct key_memory {
    struct str keys[16];
};

/* Where key would be remembered. */
static struct str *key_place(struct key_memory *memory, struct str key)
{
    size_t hash = key.n;

    if (key.n)
        hash += (unsigned char)key.p[key.n - 1] * 5u + (unsigned char)key.p[key.n / 2];
    return &memory->keys[hash % array_len(memory->keys)];
}

/* Step 4 for one point; names the paths only when something is wrong. */
static err_t decode_check_point(const struct point *p, const char *name_path, const char *time_path,
                                struct fail *f)
{
    err_t e;

    if ((e = names_check_key(p->key, name_path, f)))
        return e;
    if ((e = names_check_timestamp(p->timestamp, p->value, p->key, time_path, f)))
        return e;
    return names_check_length(p->key, LIMIT_KEY, "Metric name", f);
}

/* What is kept of a point that passed. */
static void decode_finish_point(struct point *p)
{
    decode_store_value(p->value, p);
    if (p->model_id.n == 0) /* MLflow drops them without a model */
        p->dataset_name = p->dataset_digest = (struct str){NULL, 0};
}

static err_t decode_check_points(struct batch *b, struct fail *f)
{
    struct key_memory memory = {.keys = {{NULL, 0}}};
    char name[PATH_MAX_BYTES], time[PATH_MAX_BYTES];

    for (size_t i = 0; i < b->npoints; i++) {
        struct point *p = &b->points[i];
        err_t e;

        struct str *known = key_place(&memory, p->key);
        bool is_known = known->n > 0 && str_eq(*known, p->key);

        if ((p->timestamp < 0 || !(is_known || names_is_plain(p->key))) &&
            (e = decode_check_point(p, decode_path(name, "metrics", i, "name"),
                                    decode_path(time, "metrics", i, "timestamp"), f)))
            return e;
        *known = p->key;
        decode_finish_point(p);
    }
    return OK;
}

/* Cuts value to max code points, or refuses it as what. */
static err_t decode_fit_value(struct str *value, size_t max, bool truncate, const char *what,
                              struct fail *f)
{
    if (truncate)
        *value = names_cut(*value, max);
    return names_check_length(*value, max, what, f);
}

static err_t decode_check_param(struct pair *p, const char *path, bool truncate, struct fail *f)
{
    err_t e;

    if ((e = names_check_key(p->key, path, f)))
        return e;
    if ((e = names_check_length(p->key, LIMIT_KEY, "Param key", f)))
        return e;
    return decode_fit_value(&p->value, LIMIT_PARAM_VALUE, truncate, "Param value", f);
}

static err_t decode_check_tag(struct pair *p, const char *path, const char *value_path,
                              bool truncate, struct fail *f)
{
    err_t e;

    if ((e = names_check_key(p->key, path, f)))
        return e;
    if ((e = names_check_length(p->key, LIMIT_KEY, path, f)))
        return e;
    return decode_fit_value(&p->value, LIMIT_TAG_VALUE, truncate, value_path, f);
}

/* Surely good, and so in no need of a path. */
static bool pair_is_plain(const struct pair *p)
{
    return p->value.n <= LIMIT_PARAM_VALUE && names_is_plain(p->key);
}

static err_t decode_check_pairs(struct batch *b, bool truncate, struct fail *f)
{
    char path[PATH_MAX_BYTES], value_path[PATH_MAX_BYTES];
    err_t e;

    for (size_t i = 0; i < b->nparams; i++)
        if (!pair_is_plain(&b->params[i]) &&
            (e = decode_check_param(&b->params[i], decode_path(path, "params", i, "key"), truncate,
                                    f)))
            return e;
    for (size_t i = 0; i < b->ntags; i++)
        if (!pair_is_plain(&b->tags[i]) &&
            (e = decode_check_tag(&b->tags[i], decode_path(path, "tags", i, "key"),
                                  decode_path(value_path, "tags", i, "value"), truncate, f)))
            return e;
    return OK;
}

static err_t decode_check_count(size_t n, size_t most, const char *what, struct fail *f)
{
    if (n <= most)
        return OK;
    return fail(f, ERR_BAD_PARAM,
                "A batch logging request can contain at most %zu %s. Got %zu %s. Please split up "
                "%s across multiple requests and try again.",
                most, what, n, what, what);
}

static err_t decode_check_counts(const struct batch *b, struct fail *f)
{
    err_t e;

    if ((e = decode_check_count(b->npoints, LIMIT_BATCH_METRICS, "metrics", f)))
        return e;
    if ((e = decode_check_count(b->nparams, LIMIT_BATCH_PARAMS, "params", f)))
        return e;
    if ((e = decode_check_count(b->ntags, LIMIT_BATCH_TAGS, "tags", f)))
        return e;
    return decode_check_count((size_t)b->npoints + b->nparams + b->ntags, LIMIT_BATCH_ITEMS,
                              "metrics, params, and tags", f);
}

/* At most LIMIT_BATCH_PARAMS of them by now. */
static err_t decode_check_repeats(const struct batch *b, struct fail *f)
{
    struct buf repeats;
    err_t e = OK;

    buf_init(&repeats);
    for (size_t i = 0; i < b->nparams; i++) {
        for (size_t k = 0; k < i; k++) {
            if (!str_eq(b->params[k].key, b->params[i].key))
                continue;
            buf_add_str(&repeats, buf_len(&repeats) ? STR(", ") : STR(""));
            python_repr(&repeats, b->params[i].key);
            break;
        }
    }
    if (buf_len(&repeats))
        e = fail(f, ERR_BAD_PARAM,
                 "Duplicate parameter keys have been submitted: [%.*s]. Please ensure the request "
                 "contains only one param value per param key.",
                 STR_ARG(buf_str(&repeats)));
    buf_fini(&repeats);
    return e;
}

/* Keys hold none: they passed the key rule. */
static err_t decode_check_nul(const struct decoded *d, struct fail *f)
{
    const struct batch *b = &d->batch;
    err_t e = names_check_nul(d->run_id, f);

    for (size_t i = 0; i < b->nparams && !e; i++)
        e = names_check_nul(b->params[i].value, f);
    for (size_t i = 0; i < b->ntags && !e; i++)
        e = names_check_nul(b->tags[i].value, f);
    for (size_t i = 0; i < b->npoints && d->has_models && !e; i++) {
        const struct point *p = &b->points[i];

        if (!(e = names_check_nul(p->model_id, f)) && !(e = names_check_nul(p->dataset_name, f)))
            e = names_check_nul(p->dataset_digest, f);
    }
    return e;
}

static err_t decode_check_batch(struct decoded *d, bool truncate, struct fail *f)
{
    struct batch *b = &d->batch;
    err_t e;

    for (size_t i = 0; i < b->npoints; i++) {
        d->has_models = d->has_models || b->points[i].model_id.n > 0;
        if ((e = decode_check_datasets(&b->points[i], f)))
            return e;
    }
    if ((e = names_check_run_id(d->run_id, f)))
        return e;
    if ((e = decode_check_points(b, f)))
        return e;
    if ((e = decode_check_pairs(b, truncate, f)))
        return e;
    if ((e = decode_check_counts(b, f)))
        return e;
    if ((e = decode_check_repeats(b, f)))
        return e;
    return decode_check_nul(d, f);
}

/* -- the calls ----------------------------------------------------------------------------- */

/* An id longer than the column names no run; it is then only in run_id, for the message. */
static void decode_set_run(struct decoded *d)
{
    if (!run_id_set(&d->batch.run, d->run_id))
        d->batch.run.n = 0;
}

err_t decode_log_batch_document(struct arena *a, yyjson_val *root, bool truncate,
                                struct decoded *out, struct fail *f)
{
    err_t e;

    if (!yyjson_is_obj(root))
        return fail_str(f, ERR_BAD_PARAM, STR("The batch must be a map."));
    if (!decode_plain_batch(a, root, out) && (e = decode_bound_batch(a, NULL, root, out, f)))
        return e;
    decode_set_run(out);
    return decode_check_batch(out, truncate, f);
}

/* The body is one msgpack map. */
static err_t decode_msgpack_batch(struct arena *a, struct str body, bool truncate,
                                  struct decoded *out, struct fail *f)
{
    struct document_error why = {"bytes follow its end", 0};
    size_t budget = LIMIT_JSON_VALUES;
    struct str rest = body;
    yyjson_val *root = document_read_msgpack(a, &rest, &budget, &why);

    if (root == NULL || rest.n > 0)
        return fail(f, ERR_BAD_PARAM, "The request body is no msgpack map: %s (byte %zu).",
                    why.text, root ? body.n - rest.n : why.at);
    return decode_log_batch_document(a, root, truncate, out, f);
}

/* The document of a body without surprises, or NULL: then bind.c reads it. */
static err_t decode_read_plain(struct arena *a, const struct bind_input *in, yyjson_val **root,
                               struct fail *f)
{
    struct document_error why;
    err_t e = input_check_type(in, f);

    *root = NULL;
    if (e)
        return e;
    if (in->ahead)
        *root = in->ahead->is_plain ? in->ahead->root : NULL;
    else if (!in->is_get)
        *root = document_read_plain(a, in->body, &why);
    return OK;
}

err_t decode_log_batch(struct arena *a, const struct bind_input *in, bool truncate,
                       struct decoded *out, struct fail *f)
{
    yyjson_val *root;
    err_t e;

    if (input_is_msgpack(in))
        return decode_msgpack_batch(a, in->body, truncate, out, f);
    if ((e = decode_read_plain(a, in, &root, f)))
        return e;
    if ((root == NULL || !decode_plain_batch(a, root, out)) &&
        (e = decode_bound_batch(a, in, NULL, out, f)))
        return e;
    decode_set_run(out);
    return decode_check_batch(out, truncate, f);
}

static err_t decode_bound_metric(struct arena *a, const struct bind_input *in, struct decoded *out,
                                 struct fail *f)
{
    struct msg_log_metric m;
    struct point *p;
    err_t e;

    if ((e = bind_request(a, in, &MSG_log_metric, &m, f)))
        return e;
    p = arena_alloc(a, sizeof(*p));
    *p = (struct point){.key = m.key.s,
                        .value = m.value.v,
                        .timestamp = m.timestamp.v,
                        .step = m.step.v,
                        .model_id = m.model_id.s,
                        .dataset_name = m.dataset_name.s,
                        .dataset_digest = m.dataset_digest.s};
    *out = (struct decoded){.batch = {.npoints = 1, .points = p},
                            .run_id = m.run_id.s.n ? m.run_id.s : m.run_uuid.s};
    return OK;
}

err_t decode_log_metric(struct arena *a, const struct bind_input *in, struct decoded *out,
                        struct fail *f)
{
    struct point *p;
    yyjson_val *root;
    err_t e;

    if ((e = decode_read_plain(a, in, &root, f)))
        return e;
    if ((root == NULL || !decode_plain_metric(a, root, out)) &&
        (e = decode_bound_metric(a, in, out, f)))
        return e;
    p = out->batch.points;
    out->has_models = p->model_id.n > 0;
    decode_set_run(out);
    if ((e = decode_check_datasets(p, f)))
        return e;
    if ((e = decode_check_point(p, "name", "timestamp", f)))
        return e;
    decode_finish_point(p);
    return decode_check_nul(out, f);
}

err_t decode_log_parameter(struct arena *a, const struct bind_input *in, bool truncate,
                           struct decoded *out, struct fail *f)
{
    struct msg_log_parameter m;
    struct pair *p;
    err_t e;

    if ((e = bind_request(a, in, &MSG_log_parameter, &m, f)))
        return e;
    p = arena_alloc(a, sizeof(*p));
    *p = (struct pair){m.key.s, m.value.s};
    *out = (struct decoded){.batch = {.nparams = 1, .params = p},
                            .run_id = m.run_id.s.n ? m.run_id.s : m.run_uuid.s};
    decode_set_run(out);
    if ((e = decode_check_param(p, "key", truncate, f)))
        return e;
    return decode_check_nul(out, f);
}

err_t decode_set_tag(struct arena *a, const struct bind_input *in, bool truncate,
                     struct decoded *out, struct fail *f)
{
    struct msg_set_tag m;
    struct pair *p;
    err_t e;

    if ((e = bind_request(a, in, &MSG_set_tag, &m, f)))
        return e;
    p = arena_alloc(a, sizeof(*p));
    *p = (struct pair){m.key.s, m.value.s};
    *out = (struct decoded){.batch = {.ntags = 1, .tags = p},
                            .run_id = m.run_id.s.n ? m.run_id.s : m.run_uuid.s};
    decode_set_run(out);
    if ((e = decode_check_tag(p, "key", "value", truncate, f)))
        return e;
    return decode_check_nul(out, f);
}
