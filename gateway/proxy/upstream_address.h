/*
 * upstream_address: the addresses behind the upstream's name, and which of them is next.
 *
 * One owner, one thread; plain memory, zeroed to begin with.
 */
#ifndef GATEWAY_UPSTREAM_ADDRESS_H
#define GATEWAY_UPSTREAM_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/fail.h"
#include "base/str.h"

enum { UPSTREAM_ADDRESSES_MAX = 8 };

struct upstream_address {
    struct sockaddr_storage to;
    socklen_t to_bytes;
    uint64_t bad_until_us; /* it did not take a connection: others come first until then */
};

struct upstream_addresses {
    struct upstream_address at[UPSTREAM_ADDRESSES_MAX];
    unsigned count;
    unsigned turn;  /* whose turn it is */
    unsigned lists; /* how many there have been: what was tried of another says nothing */
};

/* What one connection has tried. */
struct upstream_tries {
    struct upstream_address last; /* of them; to_bytes 0 = none yet */
    unsigned list, mask, count;
};

/* What a comma list of addresses names; the rest of a longer one is left out. What is known of those that
 * were there before stays known. */
void upstream_address_set(struct upstream_addresses *x, struct str list, uint16_t port);
/* One that was not tried, good ones in turn before bad ones: t->last then. False: all were. */
must_check bool upstream_address_next(struct upstream_addresses *x, struct upstream_tries *t,
                                      uint64_t now_us);
/* The last one took no connection. */
void upstream_address_bad(struct upstream_addresses *x, const struct upstream_tries *t,
                          uint64_t until_us);

#endif
