/*
 * breaker: counts failures in a row, nothing else. While it is open nobody waits for a server that is
 * not there; when the pause is over one asker goes first, and the others are still refused until it
 * knows. A failure while open begins the pause anew.
 */
#include "gateway/proxy/breaker.h"

bool breaker_admits(struct breaker *b, uint64_t now_us)
{
    if (!b->is_open)
        return true;
    if (b->is_probing || now_us < b->open_until_us)
        return false;
    b->is_probing = true;
    return true;
}

bool breaker_good(struct breaker *b)
{
    bool was_open = b->is_open;

    *b = (struct breaker){0};
    return was_open;
}

bool breaker_bad(struct breaker *b, uint64_t now_us, unsigned limit, uint64_t pause_us)
{
    bool was_open = b->is_open;

    b->is_probing = false;
    if (++b->failures < limit)
        return false;
    b->is_open = true;
    b->open_until_us = now_us + pause_us;
    return !was_open;
}

void breaker_unknown(struct breaker *b)
{
    b->is_probing = false;
}

bool breaker_is_open(const struct breaker *b)
{
    return b->is_open;
}
