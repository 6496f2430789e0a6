/*
 * net: inet_pton, and a prefix of bits.
 *
 * What Python's ipaddress module takes, but for zones (fe80::1%eth0) and for masks in place of a number
 * of bits (10.0.0.0/255.0.0.0).
 */
#include "base/net.h"

#include <arpa/inet.h>
#include <string.h>

enum { V4_BITS = 96 }; /* of ::ffff:0:0, before an IPv4 address */

static bool net_is_v4(struct str text)
{
    return str_find(text, ':') == text.n;
}

bool net_parse_address(struct str text, uint8_t out[NET_BYTES])
{
    char space[INET6_ADDRSTRLEN];

    if (text.n >= sizeof(space) || memchr(text.p ? text.p : "", '\0', text.n))
        return false;
    str_to_cstr(text, space, sizeof(space));
    if (!net_is_v4(text))
        return inet_pton(AF_INET6, space, out) == 1;
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    return inet_pton(AF_INET, space, out + 12) == 1;
}

/* Is every bit behind the first ones clear? */
static bool net_is_prefix(const struct net *n)
{
    for (unsigned i = n->bits; i < NET_BYTES * 8; i++) {
        if (n->address[i / 8] & 0x80u >> i % 8)
            return false;
    }
    return true;
}

bool net_parse(struct str text, struct net *out)
{
    bool has_bits = str_find(text, '/') < text.n;
    struct str address = str_cut(&text, '/');
    unsigned first = net_is_v4(address) ? V4_BITS : 0;
    uint64_t bits = NET_BYTES * 8 - first;

    if (!net_parse_address(address, out->address))
        return false;
    if (has_bits && (!str_to_u64(text, &bits) || text.p[0] == '+' || bits > NET_BYTES * 8 - first))
        return false;
    out->bits = first + (unsigned)bits;
    return net_is_prefix(out);
}

bool net_has(const struct net *n, const uint8_t address[NET_BYTES])
{
    unsigned whole = n->bits / 8, rest = n->bits % 8;

    if (memcmp(n->address, address, whole) != 0)
        return false;
    return rest == 0 || ((n->address[whole] ^ address[whole]) >> (8 - rest)) == 0;
}
