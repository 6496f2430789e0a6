/*
 * proxy: requests that this server does not answer itself, streamed to the upstream and back.
 *
 * proxy_handle (api/api.h) is the handler of the row that route_upstream() gives. One of another row may
 * call it as its last step, before it has asked for a piece of the body: what it passes on then is the
 * request as it came. The worker's thread.
 */
#ifndef GATEWAY_PROXY_H
#define GATEWAY_PROXY_H

#include "gateway/auth/grant_behind.h"
#include "gateway/auth/json_sieve.h"
#include "gateway/proxy/upstream.h"
#include "gateway/req.h"

/* One request on its way through; in the request's arena. */
struct proxy {
    struct req *r;
    struct upstream_conn *up; /* NULL = none, or given back */
    struct str head;          /* of the request, as it goes out */
    struct str body;          /* all of it, where the route had it read */
    struct str guarded;       /* header lines that were the answer's before it was known */
    struct str out[3]; /* not yet taken by the upstream: head, or frame, piece, end of frame */
    char frame[24];
    uint64_t asked_us;
    bool is_upgrade;
    bool is_retry;
    bool has_all;         /* of the body, before it begins */
    bool has_given_piece; /* some of the body is gone: it cannot be sent again */
    bool has_sent_all;    /* the last byte of the body is in out, or beyond */
    bool is_deaf;         /* the upstream takes no more of the body */
    bool has_head;        /* of the final answer */
    bool awaits_continue; /* the client waits for a 100, and so does the body */
    const struct sieve_rule *const *withheld; /* NULL = the answer may go by as it is */
    struct json_sieve *sieve;                 /* through which it goes; NULL = none */
    struct buf unsieved;                      /* a piece of it; nothing between two turns */
    struct grant_behind *behind;              /* when it says yes; NULL = nothing, or done */
    bool is_held;                             /* the answer, until behind is done */
    bool wants_plain;                         /* the answer is looked into */
};

/* The upstream has agreed to another protocol: bytes go through as they come. */
must_check err_t proxy_open_tunnel(struct req *r);
/* Gives the upstream's connection back, if it has not been; the exchange is over. */
void proxy_over(struct req *r);

#endif
