/*
 * batch: one decoded write, for one run.
 *
 * Plain data. Slices point into the request body or the arena that decoded it, and live as long.
 * The values are what will be stored: NaN is value 0 with is_nan, infinities are clamped.
 */
#ifndef SCHEMA_BATCH_H
#define SCHEMA_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "schema/limits.h"

/* A run id by value. Longer ids cannot exist in the database; run_id_set refuses them. */
struct run_id {
    uint8_t n;
    char text[LIMIT_RUN_ID]; /* not NUL-terminated */
};

struct point {
    struct str key;
    double value;      /* never NaN or infinite */
    int64_t timestamp; /* ms since the epoch, as the client sent it */
    int64_t step;
    bool is_nan;
    struct str model_id;       /* empty = none */
    struct str dataset_name;   /* empty = none */
    struct str dataset_digest; /* empty = none */
};

/* A param or a tag. */
struct pair {
    struct str key;
    struct str value;
};

struct batch {
    struct run_id run;
    int32_t experiment_id; /* known after the run look-up; needed for model metrics */
    uint32_t npoints;
    uint32_t nparams;
    uint32_t ntags;
    struct point *points;
    struct pair *params;
    struct pair *tags;
};

static inline bool run_id_set(struct run_id *id, struct str s)
{
    if (s.n > LIMIT_RUN_ID)
        return false;
    id->n = (uint8_t)s.n;
    for (size_t i = 0; i < s.n; i++)
        id->text[i] = s.p[i];
    return true;
}

static inline struct str run_id_str(const struct run_id *id)
{
    return (struct str){id->text, id->n};
}

#endif
