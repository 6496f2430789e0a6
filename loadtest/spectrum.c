/*
 * spectrum: five steps to each halving of what is left.
 *
 *   0 10 20 30 40   50 55 60 65 70   75 77.5 80 82.5 85   87.5 ...   100 %
 *
 * until one note in all is less than a step: those are the ticks of HdrHistogram's
 * outputPercentileDistribution, and the columns and the closing lines are its own, so that what reads wrk2's
 * output reads this. Deviation is that of the slots' values, which are at most 0.8 % above the truth.
 */
#include "loadtest/spectrum.h"

#include <inttypes.h>
#include <math.h>

enum { STEPS = 5 };

/* Notes that are told to be no longer than us. */
static uint64_t spectrum_count(const struct spread *s, uint64_t us)
{
    uint64_t low = 0;
    uint64_t high = s->count;

    /* The largest rank whose quantile is not above us: quantiles rise with their rank. */
    while (low < high) {
        uint64_t middle = low + (high - low + 1) / 2;

        if (spread_quantile(s, (double)middle / (double)s->count) <= us)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void spectrum_note(const struct spread *s, double share, struct spectrum_row *row)
{
    row->share = share;
    row->us = spread_quantile(s, share > 0 ? share : 1.0 / (double)s->count);
    row->count = share < 1 ? spectrum_count(s, row->us) : s->count;
}

size_t spectrum_of(const struct spread *s, struct spectrum_row *rows)
{
    double left = 1;
    size_t n = 0;

    if (s->count == 0)
        return 0;
    for (; left * (double)s->count > 1 && n + STEPS < SPECTRUM_ROWS; left /= 2) {
        for (int i = 0; i < STEPS; i++)
            spectrum_note(s, 1 - left + left * i / (2 * STEPS), &rows[n++]);
    }
    spectrum_note(s, 1, &rows[n++]);
    return n;
}

static double spectrum_deviation_us(const struct spread *s)
{
    double mean = spread_mean_us(s);
    double sum = 0;

    for (unsigned i = 0; i < SPREAD_SLOTS; i++) {
        double away = (double)spread_last(i) - mean;

        sum += s->counts[i] ? (double)s->counts[i] * away * away : 0;
    }
    return s->count ? sqrt(sum / (double)s->count) : 0;
}

void spectrum_write(const struct spread *s, struct buf *out)
{
    struct spectrum_row rows[SPECTRUM_ROWS];
    size_t n = spectrum_of(s, rows);

    buf_printf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount",
               "1/(1-Percentile)");
    for (size_t i = 0; i < n; i++) {
        buf_printf(out, "%12.3f %14.12f %10" PRIu64, (double)rows[i].us / 1e3, rows[i].share,
                   rows[i].count);
        if (rows[i].share < 1)
            buf_printf(out, " %14.2f\n", 1 / (1 - rows[i].share));
        else
            buf_printf(out, " %14s\n", "inf");
    }
    buf_printf(out,
               "#[Mean    = %12.3f, StdDeviation   = %12.3f]\n"
               "#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n"
               "#[Buckets = %12d, SubBuckets     = %12d]\n",
               spread_mean_us(s) / 1e3, spectrum_deviation_us(s) / 1e3, (double)s->max_us / 1e3,
               s->count, SPREAD_TOP - SPREAD_BITS + 1, 1 << SPREAD_BITS);
}
