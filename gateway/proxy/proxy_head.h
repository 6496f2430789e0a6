/*
 * proxy_head: what of a head goes on to the other side, and what is put in.
 *
 * Text in, text out; any thread.
 */
#ifndef GATEWAY_PROXY_HEAD_H
#define GATEWAY_PROXY_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/str.h"

struct http_head;
struct upstream_url;

/* What the rules need to know of a request besides its head. */
struct proxy_peer {
    struct str address; /* of the client, for X-Forwarded-For */
    struct str scheme;  /* that it speaks: http or https */
    /* That the request was judged in, whatever fields it has; p NULL: there are none. */
    struct str workspace;
    bool wants_continue; /* Expect is passed on */
    bool wants_plain;    /* the answer is looked into: no coding */
    bool has_all;        /* of the body, however the client framed it */
    uint64_t body_bytes; /* then: of it */
};

/* The next header line of *lines (CRLF behind each), without its CRLF; false at the end. */
bool proxy_next_line(struct str *lines, struct str *name, struct str *value);
/* All values of a field of a head, which is as it was sent, as one list; empty when it has none. */
struct str proxy_field(struct arena *a, struct str text, struct str name);
/* Does the client ask for another protocol (Connection: upgrade, Upgrade: ...)? Only GET may. */
bool proxy_wants_upgrade(struct arena *a, const struct http_head *d, struct str text);
/* The request's head for the upstream. text: as the client sent it. */
void proxy_request_head(struct arena *a, const struct http_head *d, struct str text,
                        const struct upstream_url *to, const struct proxy_peer *peer,
                        struct buf *out);
/* The lines of an answer's head for the client, appended to out. own: those of every answer, of which the
 * upstream's win. has_cors: the lines about origins are ours. False when its framing is not understood. */
bool proxy_answer_lines(struct arena *a, struct str lines, struct str own, bool has_cors,
                        struct buf *out);
/* The head of a 101 for the client, whole. */
void proxy_switch_head(struct arena *a, struct str lines, struct buf *out);
/* Those of trailers that may go on, between the last chunk and an empty line; empty when there are none. */
struct str proxy_trailers(struct arena *a, struct str lines);

#endif
