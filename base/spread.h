/*
 * spread: a histogram of durations, fine enough for percentiles.
 *
 * Where hist has the few buckets that a scrape can carry, this has 128 to each doubling: what it
 * says of a quantile is at most 1/128 (0.8 %) above the truth, and never below it; durations up to
 * 12 days, longer ones count as that. 35 KiB each, no pointers: a value to copy. One owner.
 */
#ifndef BASE_SPREAD_H
#define BASE_SPREAD_H

#include <stdint.h>

enum {
    SPREAD_BITS = 7,
    SPREAD_TOP = 40, /* bits of the longest duration */
    SPREAD_SLOTS = (SPREAD_TOP - SPREAD_BITS + 1) << SPREAD_BITS
};

struct spread {
    uint64_t counts[SPREAD_SLOTS];
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
};

void spread_reset(struct spread *s);
void spread_note(struct spread *s, uint64_t us);
/* Adds from to s. */
void spread_add(struct spread *s, const struct spread *from);
/* The duration that a share q (0..1] of the notes does not exceed; 0 when there are none. */
uint64_t spread_quantile(const struct spread *s, double q);
/* The longest duration that falls into a slot. */
uint64_t spread_last(unsigned slot);
double spread_mean_us(const struct spread *s);

#endif
