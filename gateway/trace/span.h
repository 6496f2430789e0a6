/*
 * span: what is recorded of one request that somebody follows: its own span, and one for each thing that
 * it waited for; or of one flush.
 *
 * A value without pointers to anything that ends: names are constants of the program.
 */
#ifndef GATEWAY_SPAN_H
#define GATEWAY_SPAN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/trail.h"

enum { SPAN_WAITS = 12 };

struct span_wait {
    const char *name;
    const char
        *statement; /* of the first one, when it waited for PostgreSQL; NULL = none, or unnamed */
    uint64_t begin_us, end_us;
};

struct span {
    uint64_t trace[2], id, parent; /* parent 0: it begins the trace */
    uint64_t begin_us, end_us;     /* of the monotonic clock */
    int64_t wall_us;               /* since the epoch, at end_us */
    const char *method, *route;    /* route: as its row has it; "" = none */
    int status;
    uint64_t received_bytes, sent_bytes;
    bool is_flush;       /* then trail says all, but for the times and ids above */
    unsigned wait_count; /* of them SPAN_WAITS are told; 0 of a flush */
    uint64_t first_wait; /* id of the first of them; the others follow */
    union {
        struct span_wait waits[SPAN_WAITS];
        struct trail trail;
    };
};

#endif
