/*
 * sql_value: C values to PostgreSQL's text form, and back.
 *
 * Everything goes as text: what a client sends is text already, and what goes back becomes JSON
 * text. The one place where binary would pay, doubles, does not need it: float8's output is nearly
 * Python's repr already (entity.c).
 *
 * Array literals quote every element, so that NULL, blanks and braces in a text mean themselves.
 */
#include "gateway/sql/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct str sql_text(struct arena *a, struct str s)
{
    return arena_dup(a, s);
}

struct str sql_i64(struct arena *a, int64_t v)
{
    char *p = arena_alloc(a, 24);
    int n = snprintf(p, 24, "%lld", (long long)v);

    return (struct str){p, (size_t)n};
}

struct str sql_null(void)
{
    return (struct str){NULL, 0};
}

static struct str write_texts(struct arena *a, const struct str *items, size_t n, bool has_nulls)
{
    size_t bytes = 3; /* braces and NUL */
    char *p, *out;

    for (size_t i = 0; i < n; i++) {
        bytes += items[i].n + 5; /* quotes and comma, or NULL and comma */
        for (size_t k = 0; k < items[i].n; k++)
            bytes += items[i].p[k] == '"' || items[i].p[k] == '\\';
    }
    out = p = arena_alloc(a, bytes);
    *p++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (i)
            *p++ = ',';
        if (has_nulls && !items[i].p) {
            memcpy(p, "NULL", 4);
            p += 4;
            continue;
        }
        *p++ = '"';
        for (size_t k = 0; k < items[i].n; k++) {
            if (items[i].p[k] == '"' || items[i].p[k] == '\\')
                *p++ = '\\';
            *p++ = items[i].p[k];
        }
        *p++ = '"';
    }
    *p++ = '}';
    *p = '\0';
    check((size_t)(p - out) < bytes);
    return (struct str){out, (size_t)(p - out)};
}

struct str sql_text_array(struct arena *a, const struct str *items, size_t n)
{
    return write_texts(a, items, n, false);
}

struct str sql_text_array_nulls(struct arena *a, const struct str *items, size_t n)
{
    return write_texts(a, items, n, true);
}

struct str sql_text_row(struct arena *a, const struct str *items, size_t n)
{
    size_t bytes = 3;
    char *p, *out;

    for (size_t i = 0; i < n; i++)
        bytes += 2 * items[i].n + 3; /* every byte doubled, quotes and comma */
    out = p = arena_alloc(a, bytes);
    *p++ = '(';
    for (size_t i = 0; i < n; i++) {
        struct str s = items[i];
        bool is_quoted = s.p && s.n == 0;

        for (size_t k = 0; k < s.n; k++)
            is_quoted = is_quoted || strchr("\",\\ \t\n\r\v\f()", s.p[k]) != NULL;
        if (i)
            *p++ = ',';
        if (is_quoted)
            *p++ = '"';
        for (size_t k = 0; k < s.n; k++) {
            if (s.p[k] == '"' || s.p[k] == '\\')
                *p++ = s.p[k];
            *p++ = s.p[k];
        }
        if (is_quoted)
            *p++ = '"';
    }
    *p++ = ')';
    *p = '\0';
    return (struct str){out, (size_t)(p - out)};
}

struct str sql_i64_array(struct arena *a, const int64_t *items, size_t n)
{
    char *out = arena_alloc(a, 3 + 22 * n);
    char *p = out;

    *p++ = '{';
    for (size_t i = 0; i < n; i++)
        p += snprintf(p, 23, i ? ",%lld" : "%lld", (long long)items[i]);
    *p++ = '}';
    *p = '\0';
    return (struct str){out, (size_t)(p - out)};
}

struct str sql_get(const PGresult *res, int row, int column)
{
    return (struct str){PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column)};
}

bool sql_is_null(const PGresult *res, int row, int column)
{
    return PQgetisnull(res, row, column) != 0;
}

int64_t sql_get_i64(const PGresult *res, int row, int column)
{
    return strtoll(PQgetvalue(res, row, column), NULL, 10);
}

bool sql_get_bool(const PGresult *res, int row, int column)
{
    return PQgetvalue(res, row, column)[0] == 't';
}
