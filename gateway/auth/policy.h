/*
 * policy: what the settings about hosts, origins, frames and proxies mean, read once a snapshot.
 *
 * A worker has one and makes a new one when it takes new settings; between those it is read-only, and good
 * as long as the snapshot. The worker's thread.
 */
#ifndef GATEWAY_POLICY_H
#define GATEWAY_POLICY_H

#include <stdbool.h>

#include "base/net.h"
#include "base/str.h"
#include "schema/limits.h"
#include "schema/settings.h"

/* Which of the lines that stand on every answer one has. */
enum policy_lines {
    LINES_ALL,       /* server, nosniff, frame options, Vary */
    LINES_FRAMEABLE, /* without frame options: notebooks embed it */
    LINES_VARY,      /* server and Vary */
    LINES_BARE       /* server: what stock answers outside its security middleware */
};

struct policy {
    bool is_off; /* no check and no lines */
    bool is_any_host;
    bool is_any_origin; /* then without credentials */
    bool trusts_all;    /* every peer is a proxy */
    struct str hosts;   /* comma lists */
    struct str origins;
    struct str prefix;   /* static_prefix */
    struct net *proxies; /* owned */
    size_t proxies_count;
    /* private: policy_ok_json and policy_lines cut them out of text */
    size_t lines_end[LINES_BARE + 1];
    size_t lines_begin[LINES_BARE + 1];
    size_t ok_end;
    char text[1024 + 2 * LIMIT_FRAME_OPTIONS];
};

struct policy *policy_new(const struct settings *s);
void policy_free(struct policy *p);
/* The first lines of a 200 with JSON, which nearly every answer is: status, LINES_ALL, type. */
struct str policy_ok_json(const struct policy *p);
/* Header lines, each with CRLF. */
struct str policy_lines(const struct policy *p, enum policy_lines which);
/* Is that address one of trusted_proxies? */
bool policy_trusts(const struct policy *p, const uint8_t address[NET_BYTES]);
/* Does value match an entry of the comma list, as MLflow has it: the same text, or a glob where the entry
 * holds a '*'? */
bool policy_list_has(struct str list, struct str value);
/* Is the very text an entry of it? */
bool policy_list_names(struct str list, struct str value);

#endif
