/*
 * decode: what a write becomes, by the quick way and the whole one, and through a record and back.
 *
 * Input: "batch", "metric", "param" or "tag", a line; then the body. With a capital letter long
 * values are refused instead of cut.
 */
#include "ingest/decode.c"

#include "schema/record.h"
#include "tests/fuzz/fuzz.h"

static void check_same_points(const struct batch *x, const struct batch *y)
{
    check(x->npoints == y->npoints);
    for (uint32_t i = 0; i < x->npoints; i++) {
        const struct point *p = &x->points[i], *q = &y->points[i];

        check(str_eq(p->key, q->key) && p->timestamp == q->timestamp && p->step == q->step);
        check(p->is_nan == q->is_nan && memcmp(&p->value, &q->value, sizeof(p->value)) == 0);
        check(str_eq(p->model_id, q->model_id));
        check(str_eq(p->dataset_name, q->dataset_name));
        check(str_eq(p->dataset_digest, q->dataset_digest));
    }
}

static void check_same_pairs(const struct pair *p, uint32_t n, const struct pair *q, uint32_t m)
{
    check(n == m);
    for (uint32_t i = 0; i < n; i++)
        check(str_eq(p[i].key, q[i].key) && str_eq(p[i].value, q[i].value));
}

static void check_pairs(const struct pair *p, uint32_t n, size_t longest)
{
    for (uint32_t i = 0; i < n; i++) {
        check(p[i].key.n > 0 && fuzz_is_utf8(p[i].key) && names_length(p[i].key) <= LIMIT_KEY);
        check(fuzz_is_utf8(p[i].value) && names_length(p[i].value) <= longest);
        check(p[i].value.n == 0 || memchr(p[i].value.p, '\0', p[i].value.n) == NULL);
    }
}

/* What the queue, COPY and PostgreSQL rely on. */
static void check_batch(const struct decoded *d)
{
    const struct batch *b = &d->batch;

    check(b->npoints <= LIMIT_BATCH_METRICS && b->nparams <= LIMIT_BATCH_PARAMS);
    check(b->ntags <= LIMIT_BATCH_TAGS);
    check(b->run.n <= LIMIT_RUN_ID);
    for (uint32_t i = 0; i < b->npoints; i++) {
        const struct point *p = &b->points[i];

        check(p->key.n > 0 && fuzz_is_utf8(p->key) && names_length(p->key) <= LIMIT_KEY);
        check(memchr(p->key.p, '\0', p->key.n) == NULL);
        check(isfinite(p->value) && p->timestamp >= 0);
        check(!p->is_nan || p->value == 0);
        check(d->has_models || p->model_id.n == 0);
        check(p->model_id.n > 0 || p->dataset_name.n + p->dataset_digest.n == 0);
    }
    check_pairs(b->params, b->nparams, LIMIT_PARAM_VALUE);
    check_pairs(b->tags, b->ntags, LIMIT_TAG_VALUE);
}

static void check_record(struct arena *a, const struct batch *b)
{
    size_t bound = record_bound(b);
    char *bytes = malloc(bound);
    struct batch again;
    struct str record;
    struct fail f;

    check(bytes != NULL);
    fail_init(&f, a);
    record = (struct str){bytes, record_encode(b, bytes)};
    check(record.n <= bound);
    check(record_points(record, RECORD_VERSION) == b->npoints);
    check(record_decode(record, RECORD_VERSION, a, &again, &f) == OK);
    check(str_eq(run_id_str(&again.run), run_id_str(&b->run)));
    check_same_points(&again, b);
    free(bytes);
}

/* decode_log_batch without decode_plain.c. */
static err_t decode_the_long_way(struct arena *a, const struct bind_input *in, bool truncate,
                                 struct decoded *out, struct fail *f)
{
    err_t e;

    if ((e = input_check_type(in, f)) || (e = decode_bound_batch(a, in, NULL, out, f)))
        return e;
    decode_set_run(out);
    return decode_check_batch(out, truncate, f);
}

static void check_both_ways(struct arena *a, const struct bind_input *in, bool truncate,
                            const struct decoded *d, err_t e, const struct fail *f)
{
    struct decoded other;
    struct fail why;

    fail_init(&why, a);
    check(decode_the_long_way(a, in, truncate, &other, &why) == e);
    if (e) {
        check(str_eq(why.text, f->text));
        return;
    }
    check(str_eq(other.run_id, d->run_id) && other.has_models == d->has_models);
    check_same_points(&other.batch, &d->batch);
    check_same_pairs(other.batch.params, other.batch.nparams, d->batch.params, d->batch.nparams);
    check_same_pairs(other.batch.tags, other.batch.ntags, d->batch.tags, d->batch.ntags);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct str what = fuzz_line(&in);
    struct bind_input input = {
        .has_content_type = true, .content_type = STR("application/json"), .body = in};
    bool truncate = what.n > 0 && what.p[0] >= 'a';
    struct decoded d;
    struct fail f;
    err_t e;

    fail_init(&f, a);
    if (str_ieq(what, STR("metric")))
        e = decode_log_metric(a, &input, &d, &f);
    else if (str_ieq(what, STR("param")))
        e = decode_log_parameter(a, &input, truncate, &d, &f);
    else if (str_ieq(what, STR("tag")))
        e = decode_set_tag(a, &input, truncate, &d, &f);
    else
        e = decode_log_batch(a, &input, truncate, &d, &f);
    if (e)
        fuzz_check_refusal(e, &f);
    if (!str_ieq(what, STR("metric")) && !str_ieq(what, STR("param")) &&
        !str_ieq(what, STR("tag")))
        check_both_ways(a, &input, truncate, &d, e, &f);
    if (e)
        return;
    check_batch(&d);
    check_record(a, &d.batch);
}
