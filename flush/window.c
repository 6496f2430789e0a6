/*
 * A window: many small batches become one set of rows in the order of an index.
 *
 * Texts are interned, so a row is 32 bytes and comparing two rows compares integers. After the last
 * batch the distinct runs and keys are sorted once (memcmp order, which is enough for locality: the
 * order of an index with another collation keeps the rows of one key together just the same) and
 * the rows' indexes are replaced by ranks.
 *
 * Sorting is a stable radix sort of (column value, row index) pairs, 11 bits a pass, one column
 * after the other from the least significant. Values are taken relative to the column's smallest,
 * and only the bits that differ cost a pass: 50 000 rows of 1000 runs take about eight passes, 3 ms.
 * The columns value and is_nan would cost up to six more and almost never decide anything, so they
 * are left to a merge sort of the rare rows that are equal in all the other columns.
 *
 * The order is (run, key, step, timestamp, value). Three indexes want three orders: the primary key
 * (key, timestamp, step, run, value, is_nan), the index on (run, key, step), and the one on run. This
 * order is that of the last two, and rows of one run and key also go to neighbouring places of the
 * first as long as their timestamps are close. Measured on PostgreSQL 15, MLflow's indexes, 1000
 * runs x 10 keys, rows per second of the server's CPU time:
 *
 *                                    \copy in     sorted by     sorted by
 *                                    arrival      primary key   (run, key, step)
 *    empty table, windows of 50 000       64 k          68 k          75 k
 *    empty table, windows of 200 000      61 k          88 k         101 k
 *    10 M rows, windows of 50 000         45 k          55 k          63 k
 *
 * Because the sort is stable, among rows with equal primary key the first to arrive stands first:
 * it stays, the others are repeats. Equality is PostgreSQL's: -0.0 and 0.0 are one value, and what
 * is stored is the sign that came first.
 *
 * latest_metrics: one pass over the sorted rows keeps, of each (run, key), the strictly greatest
 * (step, timestamp, value). Rows that tie in all three differ in is_nan (NaN is stored as 0); they
 * stand in order of arrival, so the first stays, as in MLflow. The result is in (run, key) order,
 * the order in which MLflow locks the rows.
 */
#include "flush/window.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"

enum {
    RADIX_BITS = 11,
    RADIX_SIZE = 1 << RADIX_BITS,
    WINDOW_MIN = 1024,
    WINDOW_KEEP = 1 << 16, /* rows whose memory is kept for good */
    WINDOW_IDLE = 100,     /* windows in a row that needed far less than there is */
    WINDOW_ARENA = 64 << 10
};

/* 12 bytes, not 16: there are two of them for each row. */
struct __attribute__((packed, aligned(4))) sort_item {
    uint64_t value;
    uint32_t index;
};
_Static_assert(sizeof(struct sort_item) == 12 && sizeof(struct row) == 32, "a window's memory");

static void *grow(void *p, size_t count, size_t size)
{
    p = reallocarray(p, count, size);
    check(p);
    return p;
}

/* -- names ------------------------------------------------------------------------------------ */

static uint32_t names_put(struct names *n, struct arena *a, struct str text)
{
    uint64_t *id = idmap_get(&n->ids, text);
    bool is_new;

    if (id)
        return (uint32_t)*id;
    if (n->count == n->cap) {
        n->cap = n->cap ? n->cap * 2 : 64;
        n->texts = grow(n->texts, n->cap, sizeof(*n->texts));
    }
    text = arena_dup(a, text);
    n->texts[n->count] = text;
    *idmap_put(&n->ids, text, &is_new) = n->count;
    return n->count++;
}

int64_t names_find(const struct names *n, struct str text)
{
    const uint64_t *id = idmap_get(&n->ids, text);

    return id ? (int64_t)*id : -1;
}

static void names_reset(struct names *n)
{
    n->count = 0;
    idmap_reset(&n->ids);
}

static void names_fini(struct names *n)
{
    free(n->texts);
    idmap_fini(&n->ids);
}

static int names_compare(const void *a, const void *b)
{
    const struct str *x = a, *y = b;

    return str_cmp(*x, *y);
}

/* Sorts the texts; returns a table from old index to rank, the window's until the next call. */
static const uint32_t *names_rank(struct window *w, struct names *n)
{
    if (n->count > w->ranks_cap) {
        w->ranks_cap = n->cap;
        w->ranks = grow(w->ranks, w->ranks_cap, sizeof(*w->ranks));
    }
    if (n->count == 0)
        return w->ranks;
    qsort(n->texts, n->count, sizeof(*n->texts), names_compare);
    for (uint32_t rank = 0; rank < n->count; rank++) {
        uint64_t *id = idmap_get(&n->ids, n->texts[rank]);

        w->ranks[*id] = rank;
        *id = rank;
    }
    return w->ranks;
}

/* -- gathering -------------------------------------------------------------------------------- */

void window_init(struct window *w)
{
    *w = (struct window){0};
    arena_init(&w->arena, WINDOW_ARENA);
    idmap_init(&w->runs.ids);
    idmap_init(&w->keys.ids);
    idmap_init(&w->models.ids);
}

void window_fini(struct window *w)
{
    names_fini(&w->runs);
    names_fini(&w->keys);
    names_fini(&w->models);
    free(w->rows);
    free(w->scratch);
    free(w->latest);
    free(w->items[0]);
    free(w->items[1]);
    free(w->models_rows);
    free(w->ranks);
    arena_fini(&w->arena);
}

void window_reset(struct window *w)
{
    /* A backlog grows the window; when it is over, its memory goes. */
    w->idle_resets = w->cap > WINDOW_KEEP && w->count < w->cap / 4 ? w->idle_resets + 1 : 0;
    if (w->idle_resets > WINDOW_IDLE) {
        window_fini(w);
        window_init(w);
        return;
    }
    names_reset(&w->runs);
    names_reset(&w->keys);
    names_reset(&w->models);
    arena_reset(&w->arena);
    w->count = w->latest_count = w->models_count = 0;
    w->points = w->repeats = 0;
}

/* Room for n more rows, in everything that is as long as rows. */
static void window_reserve(struct window *w, size_t n)
{
    size_t cap = w->cap ? w->cap : WINDOW_MIN;

    while (cap - w->count < n)
        cap *= 2;
    if (cap == w->cap)
        return;
    check(cap <= INT32_MAX); /* bits of row.key */
    w->rows = grow(w->rows, cap, sizeof(*w->rows));
    w->items[0] = grow(w->items[0], cap, sizeof(*w->items[0]));
    w->items[1] = grow(w->items[1], cap, sizeof(*w->items[1]));
    w->cap = cap;
}

static void window_add_model(struct window *w, const struct row *row, const struct point *p,
                             uint32_t entry, uint32_t point)
{
    if (w->models_count == w->models_cap) {
        w->models_cap = w->models_cap ? w->models_cap * 2 : 64;
        w->models_rows = grow(w->models_rows, w->models_cap, sizeof(*w->models_rows));
    }
    w->models_rows[w->models_count++] = (struct model_row){
        .run = row->run,
        .key = row->key,
        .model = names_put(&w->models, &w->arena, p->model_id),
        .entry = entry,
        .point = point,
        .timestamp = p->timestamp,
        .step = p->step,
        .value = p->value,
        .dataset_name = arena_dup(&w->arena, p->dataset_name),
        .dataset_digest = arena_dup(&w->arena, p->dataset_digest),
    };
}

void window_add(struct window *w, const struct batch *b, uint32_t entry, const bool *is_dead)
{
    uint32_t run;

    if (b->npoints == 0)
        return;
    run = names_put(&w->runs, &w->arena, run_id_str(&b->run));
    window_reserve(w, b->npoints);
    for (uint32_t i = 0; i < b->npoints; i++) {
        const struct point *p = &b->points[i];
        struct row *row = &w->rows[w->count];

        if (is_dead && is_dead[i])
            continue;
        *row = (struct row){
            .run = run,
            .key = names_put(&w->keys, &w->arena, p->key),
            .timestamp = p->timestamp,
            .step = p->step,
            .value = p->value,
            .is_nan = p->is_nan,
        };
        if (p->model_id.n)
            window_add_model(w, row, p, entry, i);
        w->count++;
        w->points++;
    }
}

/* -- sorting ---------------------------------------------------------------------------------- */

enum sort_column { BY_KEY, BY_TIMESTAMP, BY_STEP, BY_RUN };

/* The column as an unsigned number in the same order. */
static uint64_t row_column(const struct row *r, enum sort_column column)
{
    const uint64_t sign = (uint64_t)1 << 63;

    switch (column) {
    case BY_KEY: return r->key;
    case BY_TIMESTAMP: return (uint64_t)r->timestamp ^ sign;
    case BY_STEP: return (uint64_t)r->step ^ sign;
    case BY_RUN: return r->run;
    }
    return 0;
}

/* One stable counting pass over 11 bits. */
static void radix_pass(const struct sort_item *from, struct sort_item *to, size_t n, unsigned shift)
{
    uint32_t starts[RADIX_SIZE] = {0};
    uint32_t sum = 0;

    for (size_t i = 0; i < n; i++)
        starts[(from[i].value >> shift) & (RADIX_SIZE - 1)]++;
    for (size_t b = 0; b < RADIX_SIZE; b++) {
        uint32_t count = starts[b];

        starts[b] = sum;
        sum += count;
    }
    for (size_t i = 0; i < n; i++)
        to[starts[(from[i].value >> shift) & (RADIX_SIZE - 1)]++] = from[i];
}

/* Sorts the indexes in items[0] by one column of the rows, stably. */
static void sort_by_column(struct window *w, size_t n, enum sort_column column)
{
    uint64_t least = UINT64_MAX, most = 0;

    for (size_t i = 0; i < n; i++) {
        struct sort_item *item = &w->items[0][i];

        item->value = row_column(&w->rows[item->index], column);
        least = item->value < least ? item->value : least;
        most = item->value > most ? item->value : most;
    }
    if (n == 0 || least == most)
        return;
    for (size_t i = 0; i < n; i++)
        w->items[0][i].value -= least;
    for (unsigned shift = 0; shift < 64 && (most - least) >> shift; shift += RADIX_BITS) {
        struct sort_item *swap = w->items[0];

        radix_pass(swap, w->items[1], n, shift);
        w->items[0] = w->items[1];
        w->items[1] = swap;
    }
}

static bool row_is_same_place(const struct row *a, const struct row *b)
{
    return a->key == b->key && a->run == b->run && a->timestamp == b->timestamp &&
           a->step == b->step;
}

/* Stable merge sort of rows by value, with scratch of the same length: a hostile window may hold
 * nothing but values of one key, run, step and time. */
static void sort_values(struct row *rows, struct row *scratch, size_t n)
{
    size_t half = n / 2, i = 0, j = half, out = 0;

    if (n < 2)
        return;
    sort_values(rows, scratch, half);
    sort_values(rows + half, scratch, n - half);
    memcpy(scratch, rows, n * sizeof(*rows));
    while (i < half && j < n)
        rows[out++] = scratch[j].value < scratch[i].value ? scratch[j++] : scratch[i++];
    while (i < half)
        rows[out++] = scratch[i++];
    while (j < n)
        rows[out++] = scratch[j++];
}

/* Orders rows of one place by value and drops those that are wholly equal. Rows of equal value
 * stay in order of arrival; they differ in is_nan at most, so two of them are kept at most. */
static size_t merge_place(struct window *w, struct row *rows, size_t n)
{
    size_t kept = 1;

    if (n > w->scratch_cap) {
        w->scratch_cap = n > WINDOW_MIN ? n : WINDOW_MIN;
        w->scratch = grow(w->scratch, w->scratch_cap, sizeof(*w->scratch));
    }
    sort_values(rows, w->scratch, n);
    for (size_t i = 1; i < n; i++) {
        const struct row *last = &rows[kept - 1];
        bool is_repeat = rows[i].value == last->value && rows[i].is_nan == last->is_nan;

        if (kept > 1 && rows[i].value == last->value && last[-1].value == last->value)
            is_repeat = true;
        if (!is_repeat)
            rows[kept++] = rows[i];
    }
    return kept;
}

/* Brings the rows into the order of items[0], along the cycles of the permutation: a second array
 * would cost more memory than everything else. Afterwards each index is its own place. */
static void window_permute(struct window *w)
{
    struct sort_item *items = w->items[0];

    for (size_t i = 0; i < w->count; i++) {
        struct row first = w->rows[i];
        size_t at = i;

        while (items[at].index != i) {
            size_t from = items[at].index;

            w->rows[at] = w->rows[from];
            items[at].index = (uint32_t)at;
            at = from;
        }
        w->rows[at] = first;
        items[at].index = (uint32_t)at;
    }
}

/* rows in the order of (run, key, step, timestamp, value), each primary key once. */
static void window_sort(struct window *w)
{
    struct row *rows = w->rows;
    size_t kept = 0;

    for (size_t i = 0; i < w->count; i++)
        w->items[0][i].index = (uint32_t)i;
    sort_by_column(w, w->count, BY_TIMESTAMP);
    sort_by_column(w, w->count, BY_STEP);
    sort_by_column(w, w->count, BY_KEY);
    sort_by_column(w, w->count, BY_RUN);
    window_permute(w);

    for (size_t i = 0, n; i < w->count; i += n) {
        size_t group = 1;

        for (n = 1; i + n < w->count && row_is_same_place(&rows[i], &rows[i + n]);)
            n++;
        if (n > 1)
            group = merge_place(w, rows + i, n);
        if (kept != i)
            memmove(rows + kept, rows + i, group * sizeof(*rows));
        kept += group;
    }
    w->repeats = w->count - kept;
    w->count = kept;
}

/* -- latest_metrics --------------------------------------------------------------------------- */

static bool row_is_newer(const struct row *a, const struct row *b)
{
    if (a->step != b->step)
        return a->step > b->step;
    if (a->timestamp != b->timestamp)
        return a->timestamp > b->timestamp;
    return a->value > b->value;
}

/* After window_sort: rows of one (run, key) stand together. */
static void window_fold(struct window *w)
{
    struct row *last = NULL;

    for (size_t i = 0; i < w->count; i++) {
        const struct row *row = &w->rows[i];

        if (!last || last->run != row->run || last->key != row->key) {
            if (w->latest_count == w->latest_cap) {
                w->latest_cap = w->latest_cap ? w->latest_cap * 2 : WINDOW_MIN;
                w->latest = grow(w->latest, w->latest_cap, sizeof(*w->latest));
            }
            last = &w->latest[w->latest_count++];
            *last = *row;
        } else if (row_is_newer(row, last)) {
            *last = *row;
        }
    }
}

void window_close(struct window *w)
{
    const uint32_t *rank = names_rank(w, &w->runs);

    for (size_t i = 0; i < w->count; i++)
        w->rows[i].run = rank[w->rows[i].run];
    for (size_t i = 0; i < w->models_count; i++)
        w->models_rows[i].run = rank[w->models_rows[i].run];
    rank = names_rank(w, &w->keys);
    for (size_t i = 0; i < w->count; i++)
        w->rows[i].key = rank[w->rows[i].key];
    for (size_t i = 0; i < w->models_count; i++)
        w->models_rows[i].key = rank[w->models_rows[i].key];
    rank = names_rank(w, &w->models);
    for (size_t i = 0; i < w->models_count; i++)
        w->models_rows[i].model = rank[w->models_rows[i].model];
    window_sort(w);
    window_fold(w);
}
