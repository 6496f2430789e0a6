/*
 * req_state: where a request is on its way, and what it waits for. Constants, and the shape of a list.
 */
#ifndef GATEWAY_REQ_STATE_H
#define GATEWAY_REQ_STATE_H

/* A handler or step is on the stack; one wait is under way; the reply is complete. */
enum req_state { REQ_IDLE, REQ_RUNNING, REQ_WAITING, REQ_ANSWERED };
enum req_park {
    PARK_NONE,
    PARK_DURABLE,
    PARK_COMMITTED,
    PARK_RUN,
    PARK_ASKED,
    PARK_USER, /* who sent it: auth.h */
    PARK_TURN,
    PARK_EVENT,
    PARK_SHARED, /* peers.h: for Redis, before an answer */
    PARK_LOOK,   /* for the next look, before a read */
    PARK_LOOKED, /* for the one under way */
    PARK_COMMAND /* for one of its own */
};
enum req_wait { WAIT_NONE, WAIT_BODY, WAIT_SQL, WAIT_PARKED, WAIT_SENT, WAIT_PIECE, WAIT_TUNNEL };

struct req;

/* Requests that wait for the same kind of thing, oldest first. */
struct parked {
    struct req *first, *last;
    unsigned count;
};

#endif
