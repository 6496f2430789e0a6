/*
 * traceparent: the header of W3C's trace context, read and written.
 *
 * Version 00: 00-<32 hex>-<16 hex>-<2 hex>, lower case, neither id zero. A value; any thread.
 */
#ifndef GATEWAY_TRACEPARENT_H
#define GATEWAY_TRACEPARENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { TRACEPARENT_BYTES = 55, TRACE_SAMPLED = 1 };

struct traceparent {
    uint64_t trace[2]; /* the trace's id, as two big-endian halves */
    uint64_t span;     /* of the caller; ours when it is sent on */
    uint8_t flags;     /* TRACE_SAMPLED: somebody records it */
};

/* False when it is none. */
bool traceparent_parse(struct str s, struct traceparent *out);
/* Its text, and a NUL. */
void traceparent_write(const struct traceparent *t, char out[TRACEPARENT_BYTES + 1]);
/* A new trace, from the kernel's random numbers. */
struct traceparent traceparent_new(void);

#endif
