/*
 * hist: a histogram of durations with fixed buckets.
 *
 * One writer, any readers (relaxed atomics). Buckets are those of MLflow's own exporter plus finer
 * ones below 5 ms, upper bounds in microseconds in hist_bounds_us, the last bucket is unbounded.
 */
#ifndef BASE_HIST_H
#define BASE_HIST_H

#include <stdatomic.h>
#include <stdint.h>

enum { HIST_BOUNDS = 22 };

extern const uint64_t hist_bounds_us[HIST_BOUNDS];

struct hist {
    _Atomic uint64_t counts[HIST_BOUNDS + 1]; /* not cumulative */
    _Atomic uint64_t sum_us;
};

/* A plain copy, for adding up and printing. */
struct hist_view {
    uint64_t counts[HIST_BOUNDS + 1];
    uint64_t sum_us;
};

/* Index of the bucket that a duration falls into; HIST_BOUNDS is the unbounded one. */
unsigned hist_bucket(uint64_t us);
/* Only the owner calls this. */
void hist_note(struct hist *h, uint64_t us);
/* Adds h to v; any thread. */
void hist_sum(const struct hist *h, struct hist_view *v);
/* Upper bound in microseconds of the bucket that holds quantile q (0..1]; the highest bound when
 * that is the unbounded bucket, 0 when empty. */
uint64_t hist_quantile(const struct hist_view *v, double q);
/* The same as Prometheus' histogram_quantile has it: as if the durations of a bucket lay evenly in it. */
double hist_estimate(const struct hist_view *v, double q);
/* How many durations. */
uint64_t hist_count(const struct hist_view *v);
/* v is left with what came after before. */
void hist_since(struct hist_view *v, const struct hist_view *before);

#endif
