/*
 * slice: how long this thread runs before another has its turn, and so how soon it has its own.
 *
 * Called by the thread itself, once.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>

/* Of a thread that works for some 20 us at a time, and others wait for it. */
enum { SLICE_SHORT_US = 200 };

/* False when the kernel does not know of it, or forbids it: the thread runs as any other. */
bool slice_set_us(unsigned us);

#endif
