/*
 * forwarded: who the client is, and what it called us, when a proxy stands between.
 *
 * X-Forwarded-For, -Proto, -Host and -Prefix count only from a peer in trusted_proxies. The worker's
 * thread.
 */
#ifndef GATEWAY_FORWARDED_H
#define GATEWAY_FORWARDED_H

#include <stdbool.h>

#include "base/net.h"
#include "gateway/req.h"

/* The client's address: the peer's, or the one that trusted proxies have named. False when there is none:
 * the peer is gone. */
bool forwarded_client(const struct req *r, uint8_t out[NET_BYTES]);
/* Did the client speak TLS, as far as we know? */
bool forwarded_is_https(const struct req *r);
/* What the client must ask for to come to our path, in the request's arena: scheme, host, the proxy's
 * prefix and the path. */
struct str forwarded_url(struct req *r, struct str path);

#endif
