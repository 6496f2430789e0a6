/*
 * query: an SQL statement put together for one request.
 *
 * Both the text and the list of values grow by doubling in the arena. Values are sent as text; the
 * cast behind each $n tells PostgreSQL what to read it as, so that a value out of range is an
 * error of PostgreSQL's and not a comparison of another kind.
 */
#include "gateway/search/query.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "gateway/sql/sql.h"
#include "ingest/python.h"

enum { QUERY_FIRST_BYTES = 1024, QUERY_FIRST_VALUES = 16 };

void query_init(struct query *q, struct arena *a)
{
    memset(q, 0, sizeof(*q));
    q->arena = a;
    q->cap = QUERY_FIRST_BYTES;
    q->text = arena_alloc(a, q->cap);
    q->text[0] = '\0';
}

void query_text(struct query *q, const char *sql)
{
    size_t n = strlen(sql);

    if (q->len + n + 1 > q->cap) {
        size_t cap = 2 * (q->len + n + 1);
        char *more = arena_alloc(q->arena, cap);

        memcpy(more, q->text, q->len);
        q->text = more;
        q->cap = cap;
    }
    memcpy(q->text + q->len, sql, n + 1);
    q->len += n;
}

void query_number(struct query *q, size_t n)
{
    char text[24];

    snprintf(text, sizeof(text), "%zu", n);
    query_text(q, text);
}

/* Notes what PostgreSQL cannot take. */
static void query_look(struct query *q, struct str v)
{
    q->has_nul = q->has_nul || (v.n > 0 && memchr(v.p, '\0', v.n) != NULL);
    if (q->lone.p == NULL && python_has_surrogate(v))
        q->lone = v;
}

/* value is NUL-terminated and in the arena. */
static void query_bind(struct query *q, struct str value, const char *type)
{
    if (q->nvalues == q->values_cap) {
        size_t cap = q->values_cap ? 2 * q->values_cap : QUERY_FIRST_VALUES;
        struct str *more = arena_array(q->arena, cap, sizeof(more[0]));

        if (q->nvalues)
            memcpy(more, q->values, q->nvalues * sizeof(more[0]));
        q->values = more;
        q->values_cap = cap;
    }
    q->values[q->nvalues++] = value;
    query_text(q, "$");
    query_number(q, q->nvalues);
    query_text(q, "::");
    query_text(q, type);
}

void query_bind_as(struct query *q, struct str v, const char *type)
{
    query_look(q, v);
    query_bind(q, sql_text(q->arena, v), type);
}

void query_bind_text(struct query *q, struct str v)
{
    query_bind_as(q, v, "text");
}

void query_bind_i64(struct query *q, int64_t v)
{
    query_bind(q, sql_i64(q->arena, v), "int8");
}

void query_bind_f64(struct query *q, double v)
{
    char repr[JSON_DOUBLE_MAX];
    size_t n = json_repr_double(v, repr);

    query_bind_as(q, (struct str){repr, n}, "float8");
}

void query_bind_texts(struct query *q, const struct str *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        query_look(q, items[i]);
    query_bind(q, sql_text_array(q->arena, items, n), "text[]");
}

void query_bind_ids(struct query *q, const int64_t *items, size_t n)
{
    query_bind(q, sql_i64_array(q->arena, items, n), "int4[]");
}
