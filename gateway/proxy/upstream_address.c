/*
 * upstream_address: in turn, so that connections spread over all addresses; one that refused or was silent is
 * passed over for a while, unless there is no other. The while is the caller's (upstream_pause).
 */
#include "gateway/proxy/upstream_address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static bool address_parse(struct str text, uint16_t port, struct upstream_address *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->to;
    char address[64];

    *out = (struct upstream_address){.bad_until_us = 0};
    if (text.n >= sizeof(address))
        return false;
    str_to_cstr(text, address, sizeof(address));
    if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        out->to_bytes = sizeof(*v4);
    } else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        out->to_bytes = sizeof(*v6);
    }
    return out->to_bytes > 0;
}

static bool address_eq(const struct upstream_address *a, const struct upstream_address *b)
{
    return a->to_bytes == b->to_bytes && memcmp(&a->to, &b->to, a->to_bytes) == 0;
}

void upstream_address_set(struct upstream_addresses *x, struct str list, uint16_t port)
{
    struct upstream_addresses old = *x;

    x->count = 0;
    x->lists++;
    while (list.n && x->count < UPSTREAM_ADDRESSES_MAX) {
        struct upstream_address *a = &x->at[x->count];

        if (!address_parse(str_trim(str_cut(&list, ',')), port, a))
            continue;
        for (unsigned i = 0; i < old.count; i++)
            if (address_eq(&old.at[i], a))
                a->bad_until_us = old.at[i].bad_until_us;
        x->count++;
    }
}

bool upstream_address_next(struct upstream_addresses *x, struct upstream_tries *t, uint64_t now_us)
{
    if (t->list != x->lists)
        t->mask = 0;
    t->list = x->lists;
    if (t->count++ == UPSTREAM_ADDRESSES_MAX)
        return false;
    for (unsigned takes_bad = 0; takes_bad < 2; takes_bad++)
        for (unsigned i = 0; i < x->count; i++) {
            unsigned at = (x->turn + i) % x->count;

            if ((t->mask & 1U << at) || (!takes_bad && x->at[at].bad_until_us > now_us))
                continue;
            t->mask |= 1U << at;
            t->last = x->at[at];
            x->turn = at + 1;
            return true;
        }
    return false;
}

void upstream_address_bad(struct upstream_addresses *x, const struct upstream_tries *t,
                          uint64_t until_us)
{
    for (unsigned i = 0; i < x->count; i++)
        if (address_eq(&x->at[i], &t->last))
            x->at[i].bad_until_us = until_us;
}
