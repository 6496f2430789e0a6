/*
 * hist: counting durations.
 *
 * A note is a search over 22 bounds and two plain load-adds: the owner is the only writer, so no
 * locked instruction is needed. Readers may see a count without its sum for a moment, which a
 * scrape does not notice. A duration equal to a bound belongs to that bound's bucket, as
 * Prometheus' "le" says.
 */
#include "base/hist.h"

#include "base/check.h"

const uint64_t hist_bounds_us[HIST_BOUNDS] = {
    50,      100,     250,     500,      1000,     2500,     5000,   10000,
    25000,   50000,   75000,   100000,   250000,   500000,   750000, 1000000,
    2500000, 5000000, 7500000, 10000000, 30000000, 60000000,
};

unsigned hist_bucket(uint64_t us)
{
    unsigned low = 0;
    unsigned high = HIST_BOUNDS;

    while (low < high) {
        unsigned mid = (low + high) / 2;

        if (hist_bounds_us[mid] < us)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_store_explicit(to, atomic_load_explicit(to, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

void hist_note(struct hist *h, uint64_t us)
{
    add(&h->counts[hist_bucket(us)], 1);
    add(&h->sum_us, us);
}

void hist_sum(const struct hist *h, struct hist_view *v)
{
    for (unsigned i = 0; i <= HIST_BOUNDS; i++)
        v->counts[i] += atomic_load_explicit(&h->counts[i], memory_order_relaxed);
    v->sum_us += atomic_load_explicit(&h->sum_us, memory_order_relaxed);
}

uint64_t hist_count(const struct hist_view *v)
{
    uint64_t total = 0;

    for (unsigned i = 0; i <= HIST_BOUNDS; i++)
        total += v->counts[i];
    return total;
}

void hist_since(struct hist_view *v, const struct hist_view *before)
{
    for (unsigned i = 0; i <= HIST_BOUNDS; i++)
        v->counts[i] -= before->counts[i];
    v->sum_us -= before->sum_us;
}

double hist_estimate(const struct hist_view *v, double q)
{
    double rank = q * (double)hist_count(v), seen = 0;

    for (unsigned i = 0; i < HIST_BOUNDS; i++) {
        double here = (double)v->counts[i], low = i ? (double)hist_bounds_us[i - 1] : 0;

        if (here > 0 && seen + here >= rank)
            return low + ((double)hist_bounds_us[i] - low) * (rank - seen) / here;
        seen += here;
    }
    return hist_count(v) ? (double)hist_bounds_us[HIST_BOUNDS - 1] : 0;
}

uint64_t hist_quantile(const struct hist_view *v, double q)
{
    uint64_t total = hist_count(v);
    uint64_t seen = 0;

    if (total == 0)
        return 0;
    for (unsigned i = 0; i < HIST_BOUNDS; i++) {
        seen += v->counts[i];
        if ((double)seen >= q * (double)total)
            return hist_bounds_us[i];
    }
    return hist_bounds_us[HIST_BOUNDS - 1];
}
