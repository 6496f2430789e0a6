/*
 * decode_plain: a log-metric, or the lists of a log-batch, that holds nothing unusual, in one walk.
 *
 * bind.c knows every oddity of MLflow's decoding and costs 0.4 us a point of a list, and some 5000
 * instructions for a single one; nearly every body has none of them. So this path walks yyjson's values once, and takes exact snake_case names, each at
 * most once, with numbers and strings where they belong, all required fields there and not empty.
 * Whatever else it meets (camelCase, a repeated name, a required null, an unknown name, a number in
 * other clothes) makes it give up, and bind.c starts over. So it never judges and never fails; that
 * both give the same batch for what it takes is a unit test.
 *
 * yyjson lays the values of an object out as key, value, key, value; all values here are scalars,
 * which are one element each, so the walk is an index.
 */
#include "ingest/decode_plain.h"

#include <math.h>
#include <string.h>

/* A string, or null for an optional one. */
static bool plain_text(const yyjson_val *v, struct str *out)
{
    uint8_t type = v->tag & YYJSON_TYPE_MASK;

    if (type == YYJSON_TYPE_STR)
        *out = document_str(v);
    return type == YYJSON_TYPE_STR || type == YYJSON_TYPE_NULL;
}

/* An integer, also as up to 18 digits in quotes: protobuf's JSON, so the Java client's. */
static bool plain_integer(const yyjson_val *v, int64_t *out)
{
    uint8_t tag = v->tag & YYJSON_TAG_MASK;
    struct str s = document_str(v);

    *out = v->uni.i64;
    if (tag == (YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT))
        return v->uni.u64 <= INT64_MAX;
    if ((tag & YYJSON_TYPE_MASK) != YYJSON_TYPE_STR || s.n == 0 || s.n > 18)
        return tag == (YYJSON_TYPE_NUM | YYJSON_SUBTYPE_SINT);
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *out = *out * 10 + (s.p[i] - '0');
    }
    return true;
}

static bool plain_double(const yyjson_val *v, double *out)
{
    switch (v->tag & YYJSON_TAG_MASK) {
    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL: *out = v->uni.f64; return true;
    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT: *out = (double)v->uni.u64; return true;
    case YYJSON_TYPE_NUM | YYJSON_SUBTYPE_SINT: *out = (double)v->uni.i64; return true;
    case YYJSON_TYPE_STR | YYJSON_SUBTYPE_NONE:
    case YYJSON_TYPE_STR | YYJSON_SUBTYPE_NOESC: break;
    default: return false;
    }
    /* what the stock client sends for what is no number */
    if (str_eq(document_str(v), STR("NaN")))
        *out = NAN;
    else if (str_eq(document_str(v), STR("Infinity")))
        *out = INFINITY;
    else if (str_eq(document_str(v), STR("-Infinity")))
        *out = -INFINITY;
    else
        return false;
    return true;
}

/* key is name, and was not seen before */
#define PLAIN_IS(key, name, bit) \
    (memcmp((key)->uni.str, name, sizeof(name) - 1) == 0 && !(seen & (bit)) && (seen |= (bit)))

enum {
    SEEN_KEY = 1,
    SEEN_VALUE = 2,
    SEEN_TIME = 4,
    SEEN_STEP = 8,
    SEEN_RUN = 16,
    SEEN_MODEL = 32,
    SEEN_NAME = 64,
    SEEN_DIGEST = 128,
    SEEN_UUID = 256,
    SEEN_ALL_NEEDED = 7
};

/* The lengths of the names are all different but for two: one of them decides, one memcmp confirms.
 * run_uuid NULL: there is no such field. */
static bool plain_point(const yyjson_val *item, struct point *p, struct str *run_id,
                        struct str *run_uuid)
{
    const yyjson_val *key = item + 1;
    size_t n = (size_t)(item->tag >> YYJSON_TAG_BIT);
    unsigned seen = 0;

    if ((item->tag & YYJSON_TYPE_MASK) != YYJSON_TYPE_OBJ)
        return false;
    *p = (struct point){.step = 0};
    for (; n > 0; n--, key += 2) {
        const yyjson_val *v = key + 1;
        bool is_good = false;

        switch (key->tag >> YYJSON_TAG_BIT) {
        case 3: is_good = PLAIN_IS(key, "key", SEEN_KEY) && plain_text(v, &p->key); break;
        case 4: is_good = PLAIN_IS(key, "step", SEEN_STEP) && plain_integer(v, &p->step); break;
        case 5: is_good = PLAIN_IS(key, "value", SEEN_VALUE) && plain_double(v, &p->value); break;
        case 6: is_good = PLAIN_IS(key, "run_id", SEEN_RUN) && plain_text(v, run_id); break;
        case 8:
            is_good = (PLAIN_IS(key, "model_id", SEEN_MODEL) && plain_text(v, &p->model_id)) ||
                      (run_uuid && PLAIN_IS(key, "run_uuid", SEEN_UUID) && plain_text(v, run_uuid));
            break;
        case 9:
            is_good = PLAIN_IS(key, "timestamp", SEEN_TIME) && plain_integer(v, &p->timestamp);
            break;
        case 12:
            is_good = PLAIN_IS(key, "dataset_name", SEEN_NAME) && plain_text(v, &p->dataset_name);
            break;
        case 14:
            is_good =
                PLAIN_IS(key, "dataset_digest", SEEN_DIGEST) && plain_text(v, &p->dataset_digest);
            break;
        default: break;
        }
        if (!is_good)
            return false;
    }
    return (seen & SEEN_ALL_NEEDED) == SEEN_ALL_NEEDED && p->key.n > 0;
}

static bool plain_pair(const yyjson_val *item, struct pair *p)
{
    const yyjson_val *key = item + 1;
    size_t n = (size_t)(item->tag >> YYJSON_TAG_BIT);
    unsigned seen = 0;

    if ((item->tag & YYJSON_TYPE_MASK) != YYJSON_TYPE_OBJ)
        return false;
    *p = (struct pair){.key = {NULL, 0}};
    for (; n > 0; n--, key += 2) {
        bool is_good = false;

        if (key->tag >> YYJSON_TAG_BIT == 3)
            is_good = PLAIN_IS(key, "key", SEEN_KEY) && plain_text(key + 1, &p->key);
        else if (key->tag >> YYJSON_TAG_BIT == 5)
            is_good = PLAIN_IS(key, "value", SEEN_VALUE) && plain_text(key + 1, &p->value);
        if (!is_good)
            return false;
    }
    return p->key.n > 0;
}

static bool plain_points(struct arena *a, yyjson_val *list, struct batch *b)
{
    struct str run_id; /* of an item: it says nothing */
    yyjson_val *item;
    size_t i, n;

    b->points = arena_array(a, unsafe_yyjson_get_len(list), sizeof(*b->points));
    b->npoints = (uint32_t)unsafe_yyjson_get_len(list);
    yyjson_arr_foreach(list, i, n, item) {
        if (!plain_point(item, &b->points[i], &run_id, NULL))
            return false;
    }
    return true;
}

static bool plain_pairs(struct arena *a, yyjson_val *list, struct pair **out, uint32_t *count)
{
    yyjson_val *item;
    size_t i, n;

    *out = arena_array(a, unsafe_yyjson_get_len(list), sizeof(**out));
    *count = (uint32_t)unsafe_yyjson_get_len(list);
    yyjson_arr_foreach(list, i, n, item)
        if (!plain_pair(item, &(*out)[i]))
            return false;
    return true;
}

bool decode_plain_batch(struct arena *a, yyjson_val *root, struct decoded *out)
{
    enum { RUN_ID = 1, METRICS = 2, PARAMS = 4, TAGS = 8 };
    struct batch *b = &out->batch;
    yyjson_val *key, *v;
    unsigned seen = 0;
    size_t i, n;

    *out = (struct decoded){.has_models = false};
    if (!yyjson_is_obj(root))
        return false;
    yyjson_obj_foreach(root, i, n, key, v) {
        struct str name = document_str(key);
        bool is_good = false;

        if (str_eq(name, STR("run_id")))
            is_good = PLAIN_IS(key, "run_id", RUN_ID) && plain_text(v, &out->run_id);
        else if (!yyjson_is_arr(v))
            return false;
        else if (str_eq(name, STR("metrics")))
            is_good = PLAIN_IS(key, "metrics", METRICS) && plain_points(a, v, b);
        else if (str_eq(name, STR("params")))
            is_good = PLAIN_IS(key, "params", PARAMS) && plain_pairs(a, v, &b->params, &b->nparams);
        else if (str_eq(name, STR("tags")))
            is_good = PLAIN_IS(key, "tags", TAGS) && plain_pairs(a, v, &b->tags, &b->ntags);
        if (!is_good)
            return false;
    }
    return out->run_id.n > 0;
}

bool decode_plain_metric(struct arena *a, yyjson_val *root, struct decoded *out)
{
    struct str run_uuid; /* counts only where run_id is empty */

    *out =
        (struct decoded){.batch = {.npoints = 1, .points = arena_alloc(a, sizeof(struct point))}};
    return plain_point(root, out->batch.points, &out->run_id, &run_uuid) && out->run_id.n > 0;
}
