/*
 * exemplar: for each bucket of a histogram one request that fell into it, by its trace.
 *
 * One writer, any readers: a slot has a sequence number that is odd while it is written, and a reader
 * that meets one, or sees the number change, goes without.
 */
#ifndef BASE_EXEMPLAR_H
#define BASE_EXEMPLAR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/hist.h"

struct exemplar {
    uint64_t trace[2]; /* the trace's id, as two big-endian halves */
    uint64_t us;       /* the duration */
    int64_t wall_ms;   /* when it was noted; 0 = there is none */
};

struct exemplar_slot {
    _Atomic uint64_t sequence, high, low, us;
    _Atomic int64_t wall_ms;
};

struct exemplars {
    struct exemplar_slot slots[HIST_BOUNDS + 1]; /* one a bucket; zeroed = empty */
};

/* What a reader holds: the newest of several writers'. */
struct exemplar_view {
    struct exemplar slots[HIST_BOUNDS + 1];
};

/* The newest of its bucket from now on. Only the owner. */
void exemplar_note(struct exemplars *e, const struct exemplar *from);
/* Takes into v what is newer than what it has; any thread. */
void exemplar_gather(const struct exemplars *e, struct exemplar_view *v);

#endif
