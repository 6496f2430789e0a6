/*
 * graphql_errors: a growing list of texts and places.
 *
 * MLflow answers with the messages alone, in the order of their places in the document; what went
 * wrong at one place twice (a field of each item of a list) stays in the order of the items, hence a
 * merge sort.
 */
#include "gateway/graphql/graphql_errors.h"

#include <string.h>

void graphql_errors_init(struct graphql_errors *e, struct arena *a, size_t most)
{
    *e = (struct graphql_errors){.arena = a, .most = most};
}

void graphql_errors_add(struct graphql_errors *e, size_t at, struct str text)
{
    if (e->n == e->most) {
        e->is_full = true;
        return;
    }
    if (e->n == e->capacity) {
        size_t capacity = e->capacity ? e->capacity * 2 : 8;
        struct graphql_error *items = arena_array(e->arena, capacity, sizeof(*items));

        if (e->n)
            memcpy(items, e->items, e->n * sizeof(*items));
        e->items = items;
        e->capacity = capacity;
    }
    e->items[e->n++] = (struct graphql_error){text, at};
}

/* Merges the sorted halves [0, middle) and [middle, n). */
static void errors_merge(struct graphql_error *items, size_t middle, size_t n,
                         struct graphql_error *spare)
{
    size_t a = 0, b = middle, out = 0;

    while (a < middle || b < n) {
        bool is_left = b == n || (a < middle && items[a].at <= items[b].at);

        spare[out++] = items[is_left ? a++ : b++];
    }
    memcpy(items, spare, n * sizeof(*items));
}

static void errors_sort(struct graphql_error *items, size_t n, struct graphql_error *spare)
{
    if (n < 2)
        return;
    errors_sort(items, n / 2, spare);
    errors_sort(items + n / 2, n - n / 2, spare);
    errors_merge(items, n / 2, n, spare);
}

void graphql_errors_sort(struct graphql_errors *e)
{
    errors_sort(e->items, e->n, arena_array(e->arena, e->n, sizeof(*e->items)));
}

void graphql_errors_write(const struct graphql_errors *e, struct json *j)
{
    if (e->n == 0) {
        json_null(j);
        return;
    }
    json_open_list(j);
    for (size_t i = 0; i < e->n; i++)
        json_str(j, e->items[i].text);
    json_close_list(j);
}
