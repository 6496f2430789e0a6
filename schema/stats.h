/*
 * stats: counters, gauges and histograms; the rows stand in stats.def.
 *
 * One block per thread, its only writer; any thread may read and add up (relaxed atomics).
 * stat_add(w->stats, requests, 1); hist: stat_time(w->stats, fsync, us).
 */
#ifndef SCHEMA_STATS_H
#define SCHEMA_STATS_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/exemplar.h"
#include "base/hist.h"
#include "schema/exposition.h"

struct stats {
#define COUNTER(name, help)   _Atomic uint64_t name;
#define GAUGE(name, help)     _Atomic uint64_t name;
#define HISTOGRAM(name, help) struct hist name;
#define TRACED(name, help) \
    struct hist name;      \
    struct exemplars name##_traces;
#define LONGEST(name, help) _Atomic uint64_t name;
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef TRACED
#undef LONGEST
};

/* A plain copy, for sums. */
struct stats_view {
#define COUNTER(name, help)   uint64_t name;
#define GAUGE(name, help)     uint64_t name;
#define HISTOGRAM(name, help) struct hist_view name;
#define TRACED(name, help) \
    struct hist_view name; \
    struct exemplar_view name##_traces;
#define LONGEST(name, help) uint64_t name;
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef TRACED
#undef LONGEST
};

/* Only the owner writes, so load + store is enough and needs no locked instruction. */
#define stat_add(s, name, n)                                                                      \
    atomic_store_explicit(&(s)->name,                                                             \
                          atomic_load_explicit(&(s)->name, memory_order_relaxed) + (uint64_t)(n), \
                          memory_order_relaxed)
#define stat_sub(s, name, n)                                                                      \
    atomic_store_explicit(&(s)->name,                                                             \
                          atomic_load_explicit(&(s)->name, memory_order_relaxed) - (uint64_t)(n), \
                          memory_order_relaxed)
#define stat_set(s, name, n)   atomic_store_explicit(&(s)->name, (uint64_t)(n), memory_order_relaxed)
#define stat_time(s, name, us) hist_note(&(s)->name, (us))
/* A request that has just been noted there, by its trace. */
#define stat_trace(s, name, exemplar) exemplar_note(&(s)->name##_traces, (exemplar))
#define stat_longest(s, name, us)                                          \
    do {                                                                   \
        if ((us) > atomic_load_explicit(&(s)->name, memory_order_relaxed)) \
            stat_set(s, name, us);                                         \
    } while (0)

/* Zeroed, cache-line aligned; free with stats_free. */
struct stats *stats_new(void);
void stats_free(struct stats *s);
/* Adds s to v; v is zeroed by the caller first. */
void stats_sum(const struct stats *s, struct stats_view *v);
/* The families of all rows. */
void stats_expose(const struct stats_view *v, struct exposition *x);
/* docs/metrics.md. */
void stats_doc(struct buf *out);

#endif
