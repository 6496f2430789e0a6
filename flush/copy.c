/*
 * PostgreSQL's binary formats, all integers big endian.
 *
 * COPY ... FROM STDIN (FORMAT binary):
 *    begin   "PGCOPY\n" ff "\r\n" 00, u32 flags = 0, u32 length of extensions = 0
 *    row     u16 count of fields, then each field
 *    end     u16 ffff
 *    field   u32 length (ffffffff = NULL), then that many bytes:
 *            text as it is, float8 and int8 in 8, int4 in 4, bool in 1
 *
 * An array parameter: u32 dimensions = 1, u32 1 if any element may be NULL, u32 oid of the element's
 * type, u32 count, u32 lower bound = 1, then each element as a field. (An empty array has no
 * dimensions: only the first three words, the first of them 0.)
 *
 * A window's COPY stream is several megabytes, so it is made in pieces: copy_rows fills a buffer,
 * the caller sends it, and goes on. Rows are written through one pointer, with room for the
 * longest row asked for once.
 */
#include "flush/copy.h"

#include <endian.h>
#include <string.h>

#include "base/check.h"

enum {
    COPY_FIELDS = 6,
    COPY_ROW_FIXED = 2 + COPY_FIELDS * 4 + 8 + 8 + 8 + 1 /* without the two texts */
};

static char *put_be32(char *p, uint32_t v)
{
    v = htobe32(v);
    memcpy(p, &v, sizeof(v));
    return p + sizeof(v);
}

static char *put_text(char *p, struct str text)
{
    p = put_be32(p, (uint32_t)text.n);
    memcpy(p, text.p, text.n);
    return p + text.n;
}

static char *put_field8(char *p, uint64_t v)
{
    p = put_be32(p, 8);
    v = htobe64(v);
    memcpy(p, &v, sizeof(v));
    return p + sizeof(v);
}

static uint64_t double_bits(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    return bits;
}

void copy_begin(struct buf *out)
{
    static const char magic[11] = "PGCOPY\n\377\r\n"; /* its NUL belongs to it */

    buf_add(out, magic, sizeof(magic));
    buf_add_be32(out, 0);
    buf_add_be32(out, 0);
}

void copy_end(struct buf *out)
{
    buf_add_be16(out, 0xffff);
}

void copy_rows(struct buf *out, const struct window *w, size_t *next, size_t bytes)
{
    size_t begin = buf_len(out);

    while (*next < w->count && buf_len(out) - begin < bytes) {
        const struct row *r = &w->rows[(*next)++];
        struct str key = w->keys.texts[r->key];
        struct str run = w->runs.texts[r->run];
        char *p = buf_room(out, COPY_ROW_FIXED + key.n + run.n);
        char *from = p;

        *p++ = 0;
        *p++ = COPY_FIELDS;
        p = put_text(p, key);
        p = put_field8(p, double_bits(r->value));
        p = put_field8(p, (uint64_t)r->timestamp);
        p = put_text(p, run);
        p = put_field8(p, (uint64_t)r->step);
        p = put_be32(p, 1);
        *p++ = r->is_nan;
        buf_added(out, (size_t)(p - from));
    }
}

void copy_array(struct buf *out, enum column_type type, size_t count)
{
    buf_add_be32(out, count ? 1 : 0);
    buf_add_be32(out, 1);
    buf_add_be32(out, column_oid(type));
    if (count == 0)
        return;
    buf_add_be32(out, (uint32_t)count);
    buf_add_be32(out, 1);
}

void copy_text(struct buf *out, struct str text)
{
    buf_add_be32(out, (uint32_t)text.n);
    buf_add_str(out, text);
}

void copy_float8(struct buf *out, double v)
{
    buf_add_be32(out, 8);
    buf_add_be64(out, double_bits(v));
}

void copy_int8(struct buf *out, int64_t v)
{
    buf_add_be32(out, 8);
    buf_add_be64(out, (uint64_t)v);
}

void copy_int4(struct buf *out, int32_t v)
{
    buf_add_be32(out, 4);
    buf_add_be32(out, (uint32_t)v);
}

void copy_bool(struct buf *out, bool v)
{
    buf_add_be32(out, 1);
    buf_add_byte(out, v);
}

void copy_null(struct buf *out)
{
    buf_add_be32(out, UINT32_MAX);
}
