/*
 * breaker: may another server be asked at all, after it has failed again and again?
 *
 *   closed --failures in a row--> open --pause over--> one probe --good--> closed
 *                                  ^--------------bad-------/
 *
 * Pure; one owner, one thread.
 */
#ifndef GATEWAY_BREAKER_H
#define GATEWAY_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct breaker {
    /* private */
    unsigned failures; /* in a row */
    bool is_open;
    bool is_probing; /* somebody asks whether it is back */
    uint64_t open_until_us;
};

/* May somebody ask now? After true exactly one of the next three calls follows. */
bool breaker_admits(struct breaker *b, uint64_t now_us);
/* It answered. True when it was open: it is closed again. */
bool breaker_good(struct breaker *b);
/* It did not. True when that opened it, at limit failures in a row, for pause_us. */
bool breaker_bad(struct breaker *b, uint64_t now_us, unsigned limit, uint64_t pause_us);
/* Nobody will know: the asker went. */
void breaker_unknown(struct breaker *b);
bool breaker_is_open(const struct breaker *b);

#endif
