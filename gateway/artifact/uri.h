/*
 * uri: an URI in its parts, as Python's urllib.parse takes it apart.
 *
 * Pure functions over the caller's arena; any thread.
 */
#ifndef GATEWAY_URI_H
#define GATEWAY_URI_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/str.h"

struct uri {
    struct str scheme; /* lower case */
    struct str netloc;
    struct str path; /* with its parameters */
    struct str query;
    struct str fragment;
    bool has_params;   /* a ';' in the last segment, where the scheme knows parameters */
    bool is_malformed; /* urllib raises ValueError: a bracket of the netloc has no other */
};

/* urlsplit, after the removal of what urllib removes. */
struct uri uri_parse(struct arena *a, struct str text);
/* The same without fragments: '#' is a character. */
struct uri uri_parse_whole(struct arena *a, struct str text);
/* The path without parameters: that of urlparse. */
struct str uri_path(const struct uri *u);
/* urlunsplit: the parts as one text. */
struct str uri_unparse(struct arena *a, const struct uri *u);
/* SplitResult.hostname, in lower case; empty = none. */
struct str uri_host(struct arena *a, const struct uri *u);
/* Does it name a file of this machine by its host, or by having none? */
bool uri_is_local_host(struct str host);
/* unquote once; '%' and what else is no code stays. */
struct str uri_decode(struct arena *a, struct str s);
/* unquote until nothing changes, so that %252e is found as well; in linear time. */
struct str uri_decode_fully(struct arena *a, struct str s);
struct str uri_to_lower(struct arena *a, struct str s);

#endif
