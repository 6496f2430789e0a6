/*
 * record: the layout of version 1, in msgpack's own types.
 *
 *   record  array 3   run, experiment, points
 *   run     bin 16    the bytes of an id of 32 lower-case hex digits, which MLflow's ids are
 *           str       any other id
 *   experiment int
 *   points  array n   of points
 *   point   array 4   key, value, timestamp, step
 *           array 7   the same, then model_id, dataset_name, dataset_digest
 *   key     str, or nil: that of the point before
 *   value   float 64, or nil: NaN
 *   timestamp, step   int, or nil: that of the point before
 *   the other three   str, empty for none
 *
 * A batch is nearly always one key over many steps or many keys of one step, so a nil stands for
 * most repeats at the price of one comparison. A point of 10 keys in rotation takes 20 to 30 bytes.
 *
 * Both directions are by hand: msgpack-c calls a function for every few bytes that it writes
 * (42 us for 1000 points, against 15 here) and builds a tree of objects when it reads (55 us for
 * the tree alone, against 14 for the whole batch). The unit test holds both against msgpack-c.
 * The reader takes every encoding of an int that msgpack allows, so other programs may write
 * records too, and believes nothing: a count that cannot fit in the bytes left, a value that is
 * not finite, bytes left over are ERR_CORRUPT. It checks no rules of MLflow and no UTF-8:
 * admission did, and the checksum of the frame says that nothing changed since.
 */
#include "schema/record.h"

#include <endian.h>
#include <math.h>
#include <string.h>

#include "schema/errors.h"

enum {
    RECORD_HEAD_BOUND = 64,  /* arrays, run, experiment */
    RECORD_POINT_BOUND = 33, /* one point without the bytes of its strings: 1 + 5 + 9 + 9 + 9 */
    RECORD_MODEL_BOUND = 15, /* three string heads */
    RECORD_POINT_LEAST = 5,  /* shortest point: array 4, three nil, an empty str or nil */
    RECORD_ID_BYTES = 16,    /* of a run id that is 32 hex digits */
    RECORD_FIELDS = 4,
    RECORD_FIELDS_MODEL = 7
};

/* -- writing ------------------------------------------------------------------------------- */

static bool point_has_model(const struct point *p)
{
    return p->model_id.n + p->dataset_name.n + p->dataset_digest.n > 0;
}

size_t record_bound(const struct batch *b)
{
    size_t n = RECORD_HEAD_BOUND + b->run.n;

    for (uint32_t i = 0; i < b->npoints; i++) {
        const struct point *p = &b->points[i];

        n += RECORD_POINT_BOUND + p->key.n;
        if (point_has_model(p))
            n += RECORD_MODEL_BOUND + p->model_id.n + p->dataset_name.n + p->dataset_digest.n;
    }
    return n;
}

/* A tag and a big-endian number of 1, 2, 4 or 8 bytes behind it. */
static char *put_be(char *p, uint8_t tag, uint64_t v, size_t n)
{
    uint64_t be = htobe64(v << (64 - 8 * n));

    *p = (char)tag;
    memcpy(p + 1, &be, n);
    return p + 1 + n;
}

static char *put_nil(char *p)
{
    *p = (char)0xc0;
    return p + 1;
}

/* The shortest form. */
static char *put_int(char *p, int64_t v)
{
    if (v >= -32 && v <= 127) {
        *p = (char)v;
        return p + 1;
    }
    if (v >= 0)
        return v <= UINT8_MAX    ? put_be(p, 0xcc, (uint64_t)v, 1)
               : v <= UINT16_MAX ? put_be(p, 0xcd, (uint64_t)v, 2)
               : v <= UINT32_MAX ? put_be(p, 0xce, (uint64_t)v, 4)
                                 : put_be(p, 0xcf, (uint64_t)v, 8);
    return v >= INT8_MIN    ? put_be(p, 0xd0, (uint64_t)v, 1)
           : v >= INT16_MIN ? put_be(p, 0xd1, (uint64_t)v, 2)
           : v >= INT32_MIN ? put_be(p, 0xd2, (uint64_t)v, 4)
                            : put_be(p, 0xd3, (uint64_t)v, 8);
}

static char *put_array(char *p, uint32_t n)
{
    if (n > 15)
        return n <= UINT16_MAX ? put_be(p, 0xdc, n, 2) : put_be(p, 0xdd, n, 4);
    *p = (char)(0x90 | n);
    return p + 1;
}

static char *put_str(char *p, struct str s)
{
    if (s.n <= 31)
        *p++ = (char)(0xa0 | s.n);
    else
        p = s.n <= UINT8_MAX    ? put_be(p, 0xd9, s.n, 1)
            : s.n <= UINT16_MAX ? put_be(p, 0xda, s.n, 2)
                                : put_be(p, 0xdb, s.n, 4);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

static char *put_double(char *p, double v)
{
    uint64_t bits = 0;

    memcpy(&bits, &v, sizeof(bits));
    return put_be(p, 0xcb, bits, 8);
}

/* Value of a lower-case hex digit, or -1. */
static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* False when id is not 32 lower-case hex digits. */
static bool record_squeeze_id(const struct run_id *id, char out[RECORD_ID_BYTES])
{
    if (id->n != 2 * RECORD_ID_BYTES)
        return false;
    for (size_t i = 0; i < RECORD_ID_BYTES; i++) {
        int high = hex_digit(id->text[2 * i]);
        int low = hex_digit(id->text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (char)(high << 4 | low);
    }
    return true;
}

static char *put_head(char *p, const struct batch *b)
{
    p = put_array(p, 3);
    if (record_squeeze_id(&b->run, p + 2)) {
        p[0] = (char)0xc4; /* bin 8 */
        p[1] = RECORD_ID_BYTES;
        p += 2 + RECORD_ID_BYTES;
    } else {
        p = put_str(p, run_id_str(&b->run));
    }
    return put_array(put_int(p, b->experiment_id), b->npoints);
}

/* before: the point before, NULL for the first. */
static char *put_point(char *p, const struct point *pt, const struct point *before)
{
    bool has_model = point_has_model(pt);

    p = put_array(p, has_model ? RECORD_FIELDS_MODEL : RECORD_FIELDS);
    p = before && str_eq(pt->key, before->key) ? put_nil(p) : put_str(p, pt->key);
    p = pt->is_nan ? put_nil(p) : put_double(p, pt->value);
    p = before && pt->timestamp == before->timestamp ? put_nil(p) : put_int(p, pt->timestamp);
    p = before && pt->step == before->step ? put_nil(p) : put_int(p, pt->step);
    if (!has_model)
        return p;
    p = put_str(p, pt->model_id);
    p = put_str(p, pt->dataset_name);
    return put_str(p, pt->dataset_digest);
}

size_t record_encode(const struct batch *b, void *out)
{
    char *p = put_head(out, b);

    for (uint32_t i = 0; i < b->npoints; i++)
        p = put_point(p, &b->points[i], i > 0 ? &b->points[i - 1] : NULL);
    return (size_t)(p - (char *)out);
}

/* -- reading ------------------------------------------------------------------------------- */

/* What is left to read. A function below that answers false has found no such thing there. */
struct cursor {
    const uint8_t *p;
    const uint8_t *end;
};

static size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->p);
}

/* A big-endian number of 1, 2, 4 or 8 bytes. */
static bool read_be(struct cursor *c, size_t n, uint64_t *out)
{
    uint64_t v = 0;

    if (cursor_left(c) < n)
        return false;
    memcpy((char *)&v + (8 - n), c->p, n);
    c->p += n;
    *out = be64toh(v);
    return true;
}

static bool read_nil(struct cursor *c)
{
    if (cursor_left(c) == 0 || *c->p != 0xc0)
        return false;
    c->p++;
    return true;
}

static bool read_int(struct cursor *c, int64_t *out)
{
    uint64_t v = 0;
    uint8_t tag = 0;

    if (cursor_left(c) == 0)
        return false;
    tag = *c->p++;
    if (tag <= 0x7f || tag >= 0xe0) {
        *out = (int8_t)tag;
        return true;
    }
    if (tag < 0xcc || tag > 0xd3)
        return false;
    /* cc..cf are unsigned of 1, 2, 4, 8 bytes, d0..d3 signed. */
    size_t n = (size_t)1 << (tag & 3);
    if (!read_be(c, n, &v))
        return false;
    if (tag >= 0xd0) {
        unsigned shift = (unsigned)(64 - 8 * n);

        *out = (int64_t)(v << shift) >> shift;
        return true;
    }
    *out = (int64_t)v;
    return v <= INT64_MAX;
}

/* A head of 2, 3 or 5 bytes: tag, then a length of n bytes. */
static bool read_long_head(struct cursor *c, size_t n, uint32_t *out)
{
    uint64_t v = 0;

    c->p++;
    if (!read_be(c, n, &v))
        return false;
    *out = (uint32_t)v;
    return true;
}

static bool read_array(struct cursor *c, uint32_t *count)
{
    if (cursor_left(c) == 0)
        return false;
    if ((*c->p & 0xf0) == 0x90) {
        *count = *c->p++ & 0x0f;
        return true;
    }
    if (*c->p == 0xdc)
        return read_long_head(c, 2, count);
    return *c->p == 0xdd && read_long_head(c, 4, count);
}

static bool read_bytes(struct cursor *c, uint32_t n, struct str *out)
{
    if (cursor_left(c) < n)
        return false;
    *out = (struct str){(const char *)c->p, n};
    c->p += n;
    return true;
}

static bool read_str(struct cursor *c, struct str *out)
{
    uint32_t n = 0;

    if (cursor_left(c) == 0)
        return false;
    if ((*c->p & 0xe0) == 0xa0)
        n = *c->p++ & 0x1f;
    else if (*c->p < 0xd9 || *c->p > 0xdb || !read_long_head(c, (size_t)1 << (*c->p - 0xd9), &n))
        return false;
    return read_bytes(c, n, out);
}

static bool read_value(struct cursor *c, struct point *p)
{
    uint64_t bits = 0;

    p->value = 0;
    p->is_nan = read_nil(c);
    if (p->is_nan)
        return true;
    if (cursor_left(c) == 0 || *c->p != 0xcb)
        return false;
    c->p++;
    if (!read_be(c, sizeof(bits), &bits))
        return false;
    memcpy(&p->value, &bits, sizeof(bits));
    return isfinite(p->value);
}

static bool read_run(struct cursor *c, struct run_id *id)
{
    static const char digits[] = "0123456789abcdef";
    struct str s;

    if (cursor_left(c) < 2)
        return false;
    if (c->p[0] != 0xc4)
        return read_str(c, &s) && run_id_set(id, s);
    if (c->p[1] != RECORD_ID_BYTES)
        return false;
    c->p += 2;
    if (!read_bytes(c, RECORD_ID_BYTES, &s))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        id->text[2 * i] = digits[(uint8_t)s.p[i] >> 4];
        id->text[2 * i + 1] = digits[(uint8_t)s.p[i] & 15];
    }
    id->n = 2 * RECORD_ID_BYTES;
    return true;
}

static bool read_point(struct cursor *c, const struct point *before, struct point *p)
{
    uint32_t fields = 0;

    if (!read_array(c, &fields) || (fields != RECORD_FIELDS && fields != RECORD_FIELDS_MODEL))
        return false;
    if (before && read_nil(c))
        p->key = before->key;
    else if (!read_str(c, &p->key))
        return false;
    if (!read_value(c, p))
        return false;
    if (before && read_nil(c))
        p->timestamp = before->timestamp;
    else if (!read_int(c, &p->timestamp))
        return false;
    if (before && read_nil(c))
        p->step = before->step;
    else if (!read_int(c, &p->step))
        return false;
    p->model_id = p->dataset_name = p->dataset_digest = (struct str){NULL, 0};
    return fields == RECORD_FIELDS || (read_str(c, &p->model_id) && read_str(c, &p->dataset_name) &&
                                       read_str(c, &p->dataset_digest));
}

/* Everything before the points, and how many there are: no more than the bytes left can hold. */
static bool read_head(struct cursor *c, struct batch *b)
{
    uint32_t fields = 0;
    int64_t experiment = 0;

    if (!read_array(c, &fields) || fields != 3 || !read_run(c, &b->run))
        return false;
    if (!read_int(c, &experiment) || experiment < INT32_MIN || experiment > INT32_MAX)
        return false;
    b->experiment_id = (int32_t)experiment;
    return read_array(c, &b->npoints) && b->npoints <= cursor_left(c) / RECORD_POINT_LEAST;
}

static struct cursor cursor_of(struct str bytes)
{
    const uint8_t *p = (const uint8_t *)bytes.p;

    return (struct cursor){p, p + bytes.n};
}

err_t record_decode(struct str bytes, unsigned version, struct arena *a, struct batch *b,
                    struct fail *f)
{
    struct cursor c = cursor_of(bytes);

    memset(b, 0, sizeof(*b));
    if (version != RECORD_VERSION)
        return fail(f, ERR_CORRUPT, "record version %u is not known, this program reads %d",
                    version, RECORD_VERSION);
    if (!read_head(&c, b))
        return fail(f, ERR_CORRUPT, "the record's head is malformed");
    b->points = arena_array(a, b->npoints, sizeof(*b->points));
    for (uint32_t i = 0; i < b->npoints; i++)
        if (!read_point(&c, i > 0 ? &b->points[i - 1] : NULL, &b->points[i]))
            return fail(f, ERR_CORRUPT, "point %u of %u in the record is malformed", i, b->npoints);
    if (cursor_left(&c) > 0)
        return fail(f, ERR_CORRUPT, "%zu bytes follow the record", cursor_left(&c));
    return OK;
}

uint32_t record_points(struct str bytes, unsigned version)
{
    struct cursor c = cursor_of(bytes);
    struct batch b;

    return version == RECORD_VERSION && read_head(&c, &b) ? b.npoints : 0;
}
