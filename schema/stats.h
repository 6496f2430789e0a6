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
#include "base/hist.h"

struct stats {
#define COUNTER(name, help)   _Atomic uint64_t name;
#define GAUGE(name, help)     _Atomic uint64_t name;
#define HISTOGRAM(name, help) struct hist name;
#define LONGEST(name, help)   _Atomic uint64_t name;
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
};

/* A plain copy, for sums. */
struct stats_view {
#define COUNTER(name, help)   uint64_t name;
#define GAUGE(name, help)     uint64_t name;
#define HISTOGRAM(name, help) struct hist_view name;
#define LONGEST(name, help)   uint64_t name;
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
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
/* Prometheus text of all rows. */
void stats_expose(const struct stats_view *v, struct buf *out);
/* # HELP and # TYPE of a series that is not a row; name in full, type "counter", "gauge" ... */
void stats_expose_head(const char *name, const char *type, const char *help, struct buf *out);
/* The lines of one histogram, sluice_<name>_seconds, without its head; labels "" or
 * "route=\"x\"", already escaped. */
void stats_expose_hist(const char *name, const char *labels, const struct hist_view *h,
                       struct buf *out);
/* docs/metrics.md. */
void stats_doc(struct buf *out);

#endif
