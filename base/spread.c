/*
 * spread: logarithms of base two, with straight steps in between.
 *
 *   us        0 .. 255      256 .. 511      512 .. 1023     ...
 *   slot      us            step 2          step 4
 *
 * A duration of 2^(BITS+s) to 2^(BITS+s+1) - 1 falls into one of 2^BITS slots that are 2^s wide.
 * A quantile is the last duration of the slot it falls in, but never more than the longest one
 * noted, which is kept exactly.
 */
#include "base/spread.h"

#include <math.h>
#include <string.h>

static unsigned spread_slot(uint64_t us)
{
    unsigned step;

    if (us >> (SPREAD_BITS + 1) == 0)
        return (unsigned)us;
    if (us >> SPREAD_TOP)
        return SPREAD_SLOTS - 1;
    step = 63 - (unsigned)__builtin_clzll(us) - SPREAD_BITS;
    return (step << SPREAD_BITS) + (unsigned)(us >> step);
}

uint64_t spread_last(unsigned slot)
{
    unsigned step;

    if (slot < 2U << SPREAD_BITS)
        return slot;
    step = (slot >> SPREAD_BITS) - 1;
    return (((uint64_t)slot - ((uint64_t)step << SPREAD_BITS) + 1) << step) - 1;
}

void spread_reset(struct spread *s)
{
    memset(s, 0, sizeof(*s));
}

void spread_note(struct spread *s, uint64_t us)
{
    s->counts[spread_slot(us)]++;
    s->count++;
    s->sum_us += us;
    if (us > s->max_us)
        s->max_us = us;
}

void spread_add(struct spread *s, const struct spread *from)
{
    for (unsigned i = 0; i < SPREAD_SLOTS; i++)
        s->counts[i] += from->counts[i];
    s->count += from->count;
    s->sum_us += from->sum_us;
    if (from->max_us > s->max_us)
        s->max_us = from->max_us;
}

uint64_t spread_quantile(const struct spread *s, double q)
{
    uint64_t want = (uint64_t)ceil(q * (double)s->count);
    uint64_t seen = 0;

    if (s->count == 0)
        return 0;
    for (unsigned i = 0; i < SPREAD_SLOTS; i++) {
        seen += s->counts[i];
        if (seen >= want && s->counts[i]) {
            uint64_t last = spread_last(i);

            return last < s->max_us ? last : s->max_us;
        }
    }
    return s->max_us;
}

double spread_mean_us(const struct spread *s)
{
    return s->count ? (double)s->sum_us / (double)s->count : 0;
}
