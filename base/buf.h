/*
 * buf: growing bytes with a read end and a write end.
 *
 *      data        data + head          data + tail            data + cap
 *       | consumed  |  unread bytes      |  room                |
 *
 * One owner, one thread. Whoever appends bounds the growth first (buf_room, limits.h, settings);
 * out of memory aborts. An emptied buffer rewinds by itself.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct buf {
    /* private */
    char *data;
    size_t head;
    size_t tail;
    size_t cap;
};

void buf_init(struct buf *b);
void buf_fini(struct buf *b);
/* Forgets the bytes, keeps the memory. */
void buf_reset(struct buf *b);
/* Forgets the bytes, and the memory too when it is more than keep bytes. */
void buf_shrink(struct buf *b, size_t keep);
/* The unread bytes; valid until the next call that changes b. */
struct str buf_str(const struct buf *b);
size_t buf_len(const struct buf *b);
/* At least n writable bytes at the tail; write there, then buf_added(). */
char *buf_room(struct buf *b, size_t n) __attribute__((returns_nonnull));
/* Writable bytes at the tail without growing. */
size_t buf_space(const struct buf *b);
void buf_added(struct buf *b, size_t n);
/* Drops n unread bytes from the front. */
void buf_consume(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_add_str(struct buf *b, struct str s);
void buf_add_byte(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Big-endian integers, for PostgreSQL's binary formats. */
void buf_add_be16(struct buf *b, uint16_t v);
void buf_add_be32(struct buf *b, uint32_t v);
void buf_add_be64(struct buf *b, uint64_t v);

#endif
