/*
 * top: which runs and experiments send most, while somebody looks.
 *
 * One of each worker, which counts in it; any thread reads. Nothing is counted unless top_watch was called
 * within the last half minute: a write then costs one look at the clock that its worker has anyway. Memory
 * is TOP_SLOTS counters for runs and as many for experiments, twice, whatever the number of runs.
 */
#ifndef GATEWAY_TOP_H
#define GATEWAY_TOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "schema/batch.h"

enum { TOP_SLOTS = 64, TOP_SHOWN = 10 };

struct top {
    _Atomic uint64_t until_us; /* counting goes on until then */
    struct top_state *state;
};

struct top_row {
    struct run_id run; /* empty: an experiment */
    int32_t experiment;
    double rate;   /* points a second, at least rate - excess */
    double excess; /* what may have been another's */
};

/* The first TOP_SHOWN of each, highest first. */
struct top_list {
    struct top_row runs[TOP_SHOWN], experiments[TOP_SHOWN];
    unsigned run_count, experiment_count;
};

void top_init(struct top *t);
void top_fini(struct top *t);
/* Somebody looks; any thread. */
void top_watch(struct top *t, uint64_t now_us);
/* What follows top_note when somebody does. */
void top_count(struct top *t, const struct batch *b, uint64_t now_us);
/* Adds up what several workers have counted; any thread. */
void top_gather(struct top *const *tops, unsigned n, uint64_t now_us, struct top_list *out);

/* The batch's points are durable. Only the owner. */
static inline void top_note(struct top *t, const struct batch *b, uint64_t now_us)
{
    if (atomic_load_explicit(&t->until_us, memory_order_relaxed) > now_us)
        top_count(t, b, now_us);
}

#endif
