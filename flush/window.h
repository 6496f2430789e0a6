/*
 * window: the points of one flush, merged.
 *
 * Gathers decoded batches, drops exact repeats, sorts, and folds the newest point of every
 * (run, key). Owned by one flusher; reused from flush to flush (window_reset keeps the memory).
 *
 * Order of calls: window_init, then per flush window_reset, window_add for each entry in queue
 * order, window_close, and the results are there until the next reset; window_fini.
 */
#ifndef FLUSH_WINDOW_H
#define FLUSH_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/idmap.h"
#include "schema/batch.h"

/* One row of metrics; run and key are ranks: indexes of runs and keys, which are sorted. A window under
 * backlog holds 200 000 of them, so a row is 32 bytes. */
struct row {
    uint32_t run;
    uint32_t key : 31;
    uint32_t is_nan : 1;
    int64_t timestamp;
    int64_t step;
    double value;
};

/* One row of logged_model_metrics. */
struct model_row {
    uint32_t run;
    uint32_t key;
    uint32_t model; /* index of models, sorted too */
    uint32_t entry; /* which window_add it came with */
    uint32_t point; /* which point of that entry */
    int64_t timestamp;
    int64_t step;
    double value;
    struct str dataset_name;   /* empty = NULL */
    struct str dataset_digest; /* empty = NULL */
};

/* Distinct strings. Indexes are in order of arrival until names_rank makes them ranks. */
struct names {
    struct str *texts;
    uint32_t count;
    /* private */
    uint32_t cap;
    struct idmap ids; /* text to index */
};

struct window {
    /* results of window_close */
    struct row *rows; /* each primary key once; sorted by run, key, step, time, value */
    size_t count;
    struct row *latest; /* one for each (run, key), sorted so */
    size_t latest_count;
    struct model_row *models_rows;
    size_t models_count;
    struct names runs;
    struct names keys;
    struct names models;
    uint64_t points;  /* given to window_add, without the dead */
    uint64_t repeats; /* of them dropped as exact repeats */
    /* private */
    struct row *scratch; /* of merge_place */
    size_t scratch_cap;
    unsigned idle_resets; /* in a row */
    struct sort_item *items[2];
    size_t cap;
    size_t latest_cap;
    size_t models_cap;
    uint32_t *ranks; /* scratch of names_rank */
    uint32_t ranks_cap;
    struct arena arena; /* texts */
};

void window_init(struct window *w);
void window_fini(struct window *w);
/* Empties it; gives memory back that is far more than the last flushes needed. */
void window_reset(struct window *w);
/* Copies what it needs of b. entry is passed through to the model rows. is_dead, unless NULL, marks
 * points (of b->npoints) to leave out. */
void window_add(struct window *w, const struct batch *b, uint32_t entry, const bool *is_dead);
/* Sorts, drops repeats and folds. */
void window_close(struct window *w);

/* Index of a text, or -1. After window_close. */
int64_t names_find(const struct names *n, struct str text);

#endif
