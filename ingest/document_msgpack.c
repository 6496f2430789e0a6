/*
 * document_msgpack: msgpack bytes as the document that the same JSON would be.
 *
 * One walk over the bytes without recursion: a stack of LIMIT_JSON_DEPTH levels says how many objects
 * the open lists and maps still want. A list that announces more than bytes are left is refused at its
 * head, before anything is made of it. The values go into one array, which begins at a guess and
 * grows; nothing in it is an address in it, so it may move.
 *
 * The layout is yyjson's for a document that was read: the values in order, keys before their
 * values, lists and maps before what they hold and with the distance to what follows them in uni.ofs.
 *
 *     msgpack                              becomes
 *     nil, bool, str, array, map           null, bool, string, list, object
 *     any int                              an integer, as 1.5 is none: never a double
 *     float 32, float 64                   a double; NaN and infinities stay what they are
 *     bin, ext, timestamp, 0xc1            refused: JSON has nothing for them
 */
#include "ingest/document_msgpack.h"

#include <endian.h>
#include <string.h>

#include "ingest/python.h"
#include "schema/limits.h"

struct cursor {
    const char *p;
    const char *end;
};

/* One object, or the head of a list or map. */
struct token {
    uint64_t tag; /* yyjson's type and subtype */
    uint64_t n;   /* of a string: bytes; of a list: items; of a map: pairs */
    union {
        uint64_t u64;
        double f64;
        const char *str;
    } v;
};

/* An open list or map. */
struct level {
    uint64_t left; /* objects that it still wants; of a map, keys and values */
    bool is_map;
    size_t value; /* its place */
};

/* What was read so far. */
struct builder {
    struct arena *arena;
    yyjson_val *values;
    size_t count;
    size_t cap;
    size_t most; /* count never passes it */
    struct level levels[LIMIT_JSON_DEPTH];
    size_t depth;
};

/* -- one token --------------------------------------------------------------------------------- */

static bool token_bytes(struct cursor *c, size_t n, uint64_t *out)
{
    uint64_t v = 0;

    if ((size_t)(c->end - c->p) < n)
        return false;
    memcpy((char *)&v + (8 - n), c->p, n);
    c->p += n;
    *out = be64toh(v);
    return true;
}

static const char *token_unsigned(struct cursor *c, size_t n, struct token *t)
{
    t->tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT;
    return token_bytes(c, n, &t->v.u64) ? NULL : "it ends within a number";
}

static const char *token_signed(struct cursor *c, size_t n, struct token *t)
{
    const unsigned unused = 64 - 8 * (unsigned)n;

    if (!token_bytes(c, n, &t->v.u64))
        return "it ends within a number";
    t->v.u64 = (uint64_t)((int64_t)(t->v.u64 << unused) >> unused);
    t->tag = YYJSON_TYPE_NUM | ((int64_t)t->v.u64 < 0 ? YYJSON_SUBTYPE_SINT : YYJSON_SUBTYPE_UINT);
    return NULL;
}

static const char *token_float(struct cursor *c, size_t n, struct token *t)
{
    if (!token_bytes(c, n, &t->v.u64))
        return "it ends within a number";
    t->tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL;
    if (n == 4) {
        uint32_t bits = (uint32_t)t->v.u64;
        float f;

        memcpy(&f, &bits, sizeof(f));
        t->v.f64 = (double)f;
    }
    return NULL;
}

static const char *token_text(struct cursor *c, struct token *t)
{
    if ((uint64_t)(c->end - c->p) < t->n)
        return "it ends within a string";
    t->tag = YYJSON_TYPE_STR;
    t->v.str = c->p;
    c->p += t->n;
    return python_is_utf8((struct str){t->v.str, (size_t)t->n}) ? NULL : "a string is no UTF-8";
}

/* Every item takes at least one byte, every pair two. */
static const char *token_list(struct cursor *c, struct token *t)
{
    uint64_t left = (uint64_t)(c->end - c->p);

    if (t->tag == YYJSON_TYPE_OBJ)
        left /= 2;
    return t->n <= left ? NULL : "it ends within a list or map";
}

/* The types whose length stands in 1, 2 or 4 bytes of its own. */
static const char *token_sized(struct cursor *c, size_t length_bytes, uint64_t tag, struct token *t)
{
    if (!token_bytes(c, length_bytes, &t->n))
        return "it ends within a length";
    t->tag = tag;
    return tag == YYJSON_TYPE_STR ? token_text(c, t) : token_list(c, t);
}

static const char *token_wide(struct cursor *c, unsigned char first, struct token *t)
{
    switch (first) {
    case 0xc0: t->tag = YYJSON_TYPE_NULL; return NULL;
    case 0xc2: t->tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_FALSE; return NULL;
    case 0xc3: t->tag = YYJSON_TYPE_BOOL | YYJSON_SUBTYPE_TRUE; return NULL;
    case 0xca: return token_float(c, 4, t);
    case 0xcb: return token_float(c, 8, t);
    case 0xcc: return token_unsigned(c, 1, t);
    case 0xcd: return token_unsigned(c, 2, t);
    case 0xce: return token_unsigned(c, 4, t);
    case 0xcf: return token_unsigned(c, 8, t);
    case 0xd0: return token_signed(c, 1, t);
    case 0xd1: return token_signed(c, 2, t);
    case 0xd2: return token_signed(c, 4, t);
    case 0xd3: return token_signed(c, 8, t);
    case 0xd9: return token_sized(c, 1, YYJSON_TYPE_STR, t);
    case 0xda: return token_sized(c, 2, YYJSON_TYPE_STR, t);
    case 0xdb: return token_sized(c, 4, YYJSON_TYPE_STR, t);
    case 0xdc: return token_sized(c, 2, YYJSON_TYPE_ARR, t);
    case 0xdd: return token_sized(c, 4, YYJSON_TYPE_ARR, t);
    case 0xde: return token_sized(c, 2, YYJSON_TYPE_OBJ, t);
    case 0xdf: return token_sized(c, 4, YYJSON_TYPE_OBJ, t);
    default: return "binary and extension types have no place in it";
    }
}

/* Takes one token; returns what is wrong with it, or NULL. */
static const char *token_take(struct cursor *c, struct token *t)
{
    unsigned char first;

    if (c->p == c->end)
        return "it ends too early";
    first = (unsigned char)*c->p++;
    *t = (struct token){.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_UINT, .n = 0};
    if (first < 0x80) {
        t->v.u64 = first;
        return NULL;
    }
    if (first >= 0xe0) {
        t->tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_SINT;
        t->v.u64 = (uint64_t)(int64_t)(signed char)first;
        return NULL;
    }
    if (first >= 0xc0)
        return token_wide(c, first, t);
    if (first >= 0xa0) {
        t->n = first & 0x1f;
        return token_text(c, t);
    }
    t->n = first & 0x0f;
    t->tag = first >= 0x90 ? YYJSON_TYPE_ARR : YYJSON_TYPE_OBJ;
    return token_list(c, t);
}

/* -- the walk ---------------------------------------------------------------------------------- */

/* A guess: nine values in some fifty bytes of a point. What else is in the bytes may be the other
 * batches of a stream, a thousand of them: so no guess is larger than a batch of a few points. */
enum { BYTES_OF_VALUE = 4, VALUES_FIRST = 16, GUESS_MAX = 128 };

static void builder_grow(struct builder *b)
{
    size_t cap = 2 * b->cap < b->most ? 2 * b->cap : b->most;
    yyjson_val *more = arena_array(b->arena, cap, sizeof(*more));

    memcpy(more, b->values, b->count * sizeof(*more));
    b->values = more;
    b->cap = cap;
}

static void builder_write(struct builder *b, const struct token *t)
{
    yyjson_val *out = &b->values[b->count++];

    out->tag = t->tag | t->n << YYJSON_TAG_BIT;
    if (t->tag == YYJSON_TYPE_STR)
        out->uni.str = t->v.str;
    else
        out->uni.u64 = t->v.u64;
}

/* Closes what is full: now it is known where it ends. */
static void builder_close(struct builder *b)
{
    while (b->depth > 0 && b->levels[b->depth - 1].left == 0) {
        size_t at = b->levels[--b->depth].value;

        b->values[at].uni.ofs = (b->count - at) * sizeof(b->values[0]);
    }
}

/* Takes one object with all that is in it; returns what is wrong with it, or NULL. */
static const char *builder_read(struct builder *b, struct cursor *c)
{
    do {
        struct level *in = b->depth ? &b->levels[b->depth - 1] : NULL;
        const char *why;
        struct token t;

        if ((why = token_take(c, &t)))
            return why;
        if (b->count == b->most)
            return "it holds too many values";
        if (b->count == b->cap)
            builder_grow(b);
        if (in && in->is_map && in->left % 2 == 0 && t.tag != YYJSON_TYPE_STR)
            return "a key is no string";
        if (in)
            in->left--;
        if (t.tag == YYJSON_TYPE_ARR || t.tag == YYJSON_TYPE_OBJ) {
            bool is_map = t.tag == YYJSON_TYPE_OBJ;

            if (b->depth == LIMIT_JSON_DEPTH)
                return "it nests too deep";
            b->levels[b->depth++] = (struct level){is_map ? 2 * t.n : t.n, is_map, b->count};
        }
        builder_write(b, &t);
        builder_close(b);
    } while (b->depth > 0);
    return NULL;
}

yyjson_val *document_read_msgpack(struct arena *a, struct str *bytes, size_t *budget,
                                  struct document_error *why)
{
    struct cursor c = {bytes->p, bytes->p + bytes->n};
    struct builder b = {.arena = a, .most = *budget};

    b.cap = bytes->n / BYTES_OF_VALUE + VALUES_FIRST;
    if (b.cap > GUESS_MAX)
        b.cap = GUESS_MAX;
    if (b.cap > b.most)
        b.cap = b.most;
    b.values = arena_array(a, b.cap, sizeof(*b.values));
    why->text = builder_read(&b, &c);
    if (why->text) {
        why->at = (size_t)(c.p - bytes->p);
        return NULL;
    }
    *budget -= b.count;
    bytes->n -= (size_t)(c.p - bytes->p);
    bytes->p = c.p;
    return b.values;
}
