/*
 * call: which request, of which run, about which part of its points: all that its bytes depend on.
 *
 * A value. Two equal calls make the same bytes, so a replay needs no copy of what was sent.
 */
#ifndef LOADTEST_CALL_H
#define LOADTEST_CALL_H

#include <stdbool.h>
#include <stdint.h>

enum call_kind {
#define CALL(name, word, is_write) CALL_##name,
#include "loadtest/calls.def"
#undef CALL
    CALL_COUNT
};

struct call {
    enum call_kind kind;
    uint32_t run;   /* place in the ledger */
    uint32_t count; /* points; 0 for what is no write */
    uint64_t first; /* index of the first point; for the others a number that tells calls apart */
};

#endif
