/*
 * redis_uri: redis://[[user]:password@]host[:port][/database], and rediss:// for TLS.
 *
 * Percent escapes count in user and password; an IPv6 address stands in brackets. Pure; any thread.
 */
#ifndef SCHEMA_REDIS_URI_H
#define SCHEMA_REDIS_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"

/* Texts live in the arena; user and password are "" when there is none. */
struct redis_uri {
    const char *host;
    const char *user;
    const char *password;
    uint16_t port;
    uint16_t database;
    bool has_tls;
};

/* False when it is none. */
must_check bool redis_uri_parse(struct str text, struct arena *a, struct redis_uri *out);

#endif
