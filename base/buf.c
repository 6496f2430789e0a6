/*
 * buf: one heap block with two cursors.
 *
 * When the tail has no room, the unread bytes move to the front if at least as many have been
 * consumed since the last move (so moving costs less than reading did), otherwise the block
 * doubles. An emptied buffer sets both cursors to 0, which is what happens in nearly every case
 * and costs nothing. The block is never more than four times what was asked of it.
 */
#include "base/buf.h"

#include <endian.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUF_MIN ((size_t)256)

void buf_init(struct buf *b)
{
    *b = (struct buf){0};
}

void buf_fini(struct buf *b)
{
    free(b->data);
    buf_init(b);
}

void buf_reset(struct buf *b)
{
    b->head = b->tail = 0;
}

void buf_shrink(struct buf *b, size_t keep)
{
    buf_reset(b);
    if (b->cap > keep)
        buf_fini(b);
}

struct str buf_str(const struct buf *b)
{
    return (struct str){b->data ? b->data + b->head : NULL, b->tail - b->head};
}

size_t buf_len(const struct buf *b)
{
    return b->tail - b->head;
}

size_t buf_space(const struct buf *b)
{
    return b->cap - b->tail;
}

/* A block twice as large, or as large as need be, with the unread bytes at its front. */
static void buf_grow(struct buf *b, size_t n)
{
    size_t len = buf_len(b);
    size_t cap = b->cap ? b->cap * 2 : BUF_MIN;
    char *data;

    check(n <= PTRDIFF_MAX / 4 && len <= PTRDIFF_MAX / 4);
    while (cap < len + n)
        cap *= 2;
    if (b->head == 0) {
        data = realloc(b->data, cap); /* large blocks are remapped, not copied */
        check(data != NULL);
    } else {
        data = malloc(cap);
        check(data != NULL);
        memcpy(data, b->data + b->head, len);
        free(b->data);
    }
    *b = (struct buf){.data = data, .tail = len, .cap = cap};
}

/* The tail has no room for n bytes: moves or grows. */
static __attribute__((noinline)) void buf_make_room(struct buf *b, size_t n)
{
    size_t len = buf_len(b);

    if (b->head >= len && b->cap - len >= n && b->data) {
        memcpy(b->data, b->data + b->head, len);
        b->head = 0;
        b->tail = len;
    } else {
        buf_grow(b, n);
    }
}

/* The part of buf_room that nearly every call needs, small enough for the compiler to inline. */
static inline char *buf_fit(struct buf *b, size_t n)
{
    if (__builtin_expect(b->cap - b->tail < n || b->data == NULL, 0))
        buf_make_room(b, n);
    return b->data + b->tail;
}

char *buf_room(struct buf *b, size_t n)
{
    return buf_fit(b, n);
}

void buf_added(struct buf *b, size_t n)
{
    check(n <= b->cap - b->tail);
    b->tail += n;
}

void buf_consume(struct buf *b, size_t n)
{
    check(n <= b->tail - b->head);
    b->head += n;
    if (b->head == b->tail)
        b->head = b->tail = 0;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return; /* p may be NULL then */
    memcpy(buf_fit(b, n), p, n);
    b->tail += n;
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_add_byte(struct buf *b, char c)
{
    *buf_fit(b, 1) = c;
    b->tail++;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    char *room = buf_room(b, 128);
    size_t space = buf_space(b);
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(room, space, fmt, ap);
    va_end(ap);
    check(n >= 0);
    if ((size_t)n >= space) {
        room = buf_room(b, (size_t)n + 1);
        va_start(ap, fmt);
        vsnprintf(room, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    b->tail += (size_t)n;
}

void buf_add_be16(struct buf *b, uint16_t v)
{
    v = htobe16(v);
    memcpy(buf_fit(b, sizeof(v)), &v, sizeof(v));
    b->tail += sizeof(v);
}

void buf_add_be32(struct buf *b, uint32_t v)
{
    v = htobe32(v);
    memcpy(buf_fit(b, sizeof(v)), &v, sizeof(v));
    b->tail += sizeof(v);
}

void buf_add_be64(struct buf *b, uint64_t v)
{
    v = htobe64(v);
    memcpy(buf_fit(b, sizeof(v)), &v, sizeof(v));
    b->tail += sizeof(v);
}
