/*
 * str: a borrowed slice of bytes.
 *
 * Never owned, never promised to be NUL-terminated; p may be NULL only when n is 0. Whoever made
 * the bytes says how long they live. A value: copy it freely, on any thread.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

struct str {
    const char *p;
    size_t n; /* bytes */
};

/* A string literal as a slice; usable in static initialisers through STR_INIT. */
#define STR(lit) ((struct str){"" lit, sizeof(lit) - 1})
#define STR_INIT(lit)           \
    {                           \
        "" lit, sizeof(lit) - 1 \
    }
/* For printf("%.*s", STR_ARG(s)). */
#define STR_ARG(s) (int)(s).n, (s).p

/* A slice over a NUL-terminated string; NULL gives the empty slice. */
struct str str_of(const char *z);
/* Same bytes? */
bool str_eq(struct str a, struct str b);
/* Same bytes but for ASCII letter case? */
bool str_ieq(struct str a, struct str b);
/* memcmp order, a shorter prefix first: negative, 0 or positive. */
int str_cmp(struct str a, struct str b);
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
/* Index of the first c, or s.n when there is none. */
size_t str_find(struct str s, char c);
/* s without its first n bytes (or empty). */
struct str str_skip(struct str s, size_t n);
/* The first n bytes of s (or all of it). */
struct str str_head(struct str s, size_t n);
/* Cuts *s at the first c: returns what stood before it and leaves in *s what follows it. */
struct str str_cut(struct str *s, char c);
/* s without blanks, tabs, CR and LF at both ends. */
struct str str_trim(struct str s);
/* Decimal integer, optional sign, nothing else; false when it is not one or does not fit. */
must_check bool str_to_i64(struct str s, int64_t *out);
must_check bool str_to_u64(struct str s, uint64_t *out);
/* Copies into a C string of cap bytes, truncating; always terminates it when cap > 0. */
void str_to_cstr(struct str s, char *out, size_t cap);

#endif
