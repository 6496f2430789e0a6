/*
 * net: addresses and networks of the Internet protocol, as bits.
 *
 * Values; any thread. An IPv4 address stands as ::ffff:a.b.c.d, so that one comparison does for both.
 */
#ifndef BASE_NET_H
#define BASE_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { NET_BYTES = 16 };

/* An address, or all that share its first bits. */
struct net {
    uint8_t address[NET_BYTES];
    unsigned bits; /* 0 to 128 */
};

/* "10.0.0.7", "fd00::1"; no port, no brackets, no zone. */
must_check bool net_parse_address(struct str text, uint8_t out[NET_BYTES]);
/* The same, or with "/bits"; false also when bits behind those are set, as in 10.0.0.7/8. */
must_check bool net_parse(struct str text, struct net *out);
bool net_has(const struct net *n, const uint8_t address[NET_BYTES]);

#endif
