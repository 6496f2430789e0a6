/*
 * arena: memory that is given back all at once.
 *
 * For what lives as long as one request or one window. One owner, one thread. Blocks grow by
 * doubling up to ARENA_BLOCK_MAX; larger asks get a block of their own. arena_reset() keeps the
 * first block, so a connection that serves small requests never calls malloc again. Growth is
 * bounded by whoever bounds the input (body limits, window sizes); out of memory aborts.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

#define ARENA_BLOCK_MAX ((size_t)1 << 20)

struct arena_block;

struct arena {
    /* private */
    struct arena_block *first;
    struct arena_block *last;
    char *next;         /* first free byte of last */
    char *end;          /* first byte after last */
    size_t first_bytes; /* size of the first block, made when first asked for */
    size_t used_bytes;  /* bytes handed out since the last reset */
};

/* No memory is taken before the first allocation; first_bytes is the size of the first block. */
void arena_init(struct arena *a, size_t first_bytes);
/* Frees everything. */
void arena_fini(struct arena *a);
/* Forgets all allocations; keeps the first block only. */
void arena_reset(struct arena *a);
/* Where an arena stands; a value. */
struct arena_mark {
    /* private */
    struct arena_block *newest;
    struct arena_block *last;
    char *next;
    size_t used_bytes;
};

/* For work in rounds: what was allocated after the mark is forgotten by the rewind. A mark is good
 * for many rewinds, until a reset. */
struct arena_mark arena_mark(const struct arena *a);
void arena_rewind(struct arena *a, const struct arena_mark *m);
/* n bytes aligned to 16, contents undefined; n may be 0. Never NULL. */
void *arena_alloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
/* The same, zeroed. */
void *arena_zalloc(struct arena *a, size_t n) __attribute__((returns_nonnull));
/* count * size, checked for overflow. */
void *arena_array(struct arena *a, size_t count, size_t size) __attribute__((returns_nonnull));
/* A copy of s, followed by a NUL that is not counted. */
struct str arena_dup(struct arena *a, struct str s);
/* The same as a C string. */
char *arena_cstr(struct arena *a, struct str s) __attribute__((returns_nonnull));
/* Formatted text, NUL-terminated past its end. */
struct str arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
struct str arena_vprintf(struct arena *a, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Bytes handed out since the last reset. */
size_t arena_used(const struct arena *a);

#endif
