/*
 * req_steps: what the files of a request's chain of steps share; req.c draws the chain. The worker's thread.
 */
#ifndef GATEWAY_REQ_STEPS_H
#define GATEWAY_REQ_STEPS_H

#include "gateway/req.h"

/* The step on the stack ends with a wait. */
void req_begin_wait(struct req *r, enum req_wait wait, req_step next);
/* What it waited for is there, or will not come; returns the step that was to follow. */
req_step req_end_wait(struct req *r);
/* Runs a step: afterwards the request waits or is answered. */
void req_run(struct req *r, req_step step);
/* The last thing in whatever ended a wait: nothing may look at the request afterwards. */
void req_hand_back(struct req *r);
/* Out of the list in which it waits, if any. */
void req_unpark(struct req *r);
/* What it waits for will not come: answered so. Nothing may look at the request afterwards. */
void req_give_up(struct req *r, err_t e, const char *why);
/* Runs work on that thread, then next. ERR_BUSY when too many wait for the threads beside the worker. */
must_check err_t req_aside(struct req *r, struct helper *h, void (*work)(void *req), req_step next);
/* Runs the statements in that pool; NULL = it is closed. */
must_check err_t req_sql_start(struct req *r, struct sql_pool *pool, const struct sql_step *steps,
                               unsigned n, bool may_fail, req_step next);
/* What the last wait for SQL brought is not looked at any more. */
void req_drop_results(struct req *r);

#endif
