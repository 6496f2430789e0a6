/*
 * req_park: how a step parks its request in a list of its worker, and who wakes it. The worker's thread.
 *
 * Order of calls: req_park from a handler or step, which returns OK then; req_repark as often as need be;
 * req_wake once, from the loop, after which nothing may look at the request.
 */
#ifndef GATEWAY_REQ_PARK_H
#define GATEWAY_REQ_PARK_H

#include "gateway/req.h"

/* A walk through those that stand in a list when it begins: the one at hand may be woken or parked
 * anew, at the end, where the walk does not come. */
struct parked_walk {
    /* private */
    struct req *next;
    unsigned left;
};

struct parked_walk req_walk(const struct parked *l);
/* NULL: there is no further one. */
struct req *req_walk_next(struct parked_walk *walk);
/* Into the worker's list of that name, at its end; until_us is for whoever looks at the list. */
void req_park(struct req *r, enum req_park where, uint64_t until_us, req_step next);
/* From one list to the end of another. */
void req_repark(struct req *r, enum req_park where);
/* Its next step follows. */
void req_wake(struct req *r);
/* A read that waits for its points goes on without: Sluice-Behind-Ms will say so. */
void req_wake_behind(struct req *r);

#endif
