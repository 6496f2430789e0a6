/*
 * query: an SQL statement put together for one request, and the values bound to it.
 *
 * Text comes from the program only; what a client sent goes in by query_bind_*, which append $n
 * with its type and keep the value. All memory is the arena's. One owner, one thread.
 *
 *     query_init(&q, a);
 *     query_text(&q, "SELECT 1 FROM tags WHERE key = ");
 *     query_bind_text(&q, key);
 */
#ifndef GATEWAY_QUERY_H
#define GATEWAY_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "gateway/auth/scope.h"

struct query {
    struct arena *arena;
    char *text; /* NUL-terminated */
    size_t len;
    struct str *values; /* text form, each NUL-terminated; p == NULL is SQL NULL */
    size_t nvalues;
    bool has_nul;    /* a text with a NUL in it was bound: PostgreSQL has no such text */
    struct str lone; /* the first text bound with a lone surrogate in it: nor such; p NULL = none */
    /* private */
    size_t cap;
    size_t values_cap;
};

void query_init(struct query *q, struct arena *a);
/* Appends a piece of SQL. */
void query_text(struct query *q, const char *sql);
/* Appends a small number: the n of an alias. */
void query_number(struct query *q, size_t n);
/* Append $n::type and bind the value to it. */
void query_bind_text(struct query *q, struct str v);
void query_bind_i64(struct query *q, int64_t v);
void query_bind_f64(struct query *q, double v);
/* A text that PostgreSQL is to read as that type: query_bind_as(q, STR("1"), "int4"). */
void query_bind_as(struct query *q, struct str v, const char *type);
void query_bind_texts(struct query *q, const struct str *items, size_t n);
/* The items as an array of int4; one that does not fit is PostgreSQL's to refuse. */
void query_bind_ids(struct query *q, const int64_t *items, size_t n);

#endif
