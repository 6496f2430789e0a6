/*
 * spectrum: a histogram's percentiles, the denser the nearer to the longest, as HdrHistogram has them.
 *
 * Pure functions.
 */
#ifndef LOADTEST_SPECTRUM_H
#define LOADTEST_SPECTRUM_H

#include <stddef.h>

#include "base/buf.h"
#include "base/spread.h"

enum { SPECTRUM_ROWS = 256 };

struct spectrum_row {
    double share;   /* of all notes; the last row's is 1 */
    uint64_t us;    /* that this share does not exceed */
    uint64_t count; /* notes that do not exceed it */
};

/* Fills rows, which has room for SPECTRUM_ROWS; returns how many there are, 0 for an empty s. */
size_t spectrum_of(const struct spread *s, struct spectrum_row *rows);
/* The table that HdrHistogram's programs write and its plotter reads, in milliseconds. */
void spectrum_write(const struct spread *s, struct buf *out);

#endif
