/*
 * req_peers: what a request has to do with other pods and with Redis; embedded in struct req.
 *
 * The files peers*.c, rate.c and replay.c own the fields; what they point to is in the request's arena.
 */
#ifndef GATEWAY_REQ_PEERS_H
#define GATEWAY_REQ_PEERS_H

#include "base/fail.h"

struct command;
struct rate_call;
struct replay;
struct req;
struct share;
struct target;

struct req_peers {
    struct share *shares;                         /* points that other pods were not told of */
    struct target *targets;                       /* points of other pods that a read waits for */
    err_t (*next)(struct req *r, struct fail *f); /* behind that */
    uint64_t share_seq;                           /* the batch in which its last share is */
    unsigned look_at[2];                          /* of what the look brings */
    bool looks_at_all;
    struct command *command; /* whose answer is waited for; NULL = none */
    struct rate_call *rate;
    struct replay *replay;
};

#endif
