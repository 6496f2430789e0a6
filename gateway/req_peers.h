/*
 * req_peers: in which list a request waits, and what it has to do with other pods; embedded in struct req.
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

/* In which of the worker's lists it is: worker.h. */
enum req_park {
    PARK_NONE,
    PARK_DURABLE,
    PARK_COMMITTED,
    PARK_RUN,
    PARK_ASKED,
    PARK_TURN,
    PARK_SHARED,
    PARK_LOOK,
    PARK_LOOKED,
    PARK_COMMAND /* peers.h: for Redis */
};

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
