/*
 * req_steps: what the files of a request's chain of steps share; req.c draws it. The worker's thread.
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
/* Runs the statements in that pool; NULL = it is closed. */
must_check err_t req_sql_start(struct req *r, struct sql_pool *pool, const struct sql_step *steps,
                               unsigned n, bool may_fail, req_step next);
/* What the last wait for SQL brought is not looked at any more. */
void req_drop_results(struct req *r);

#endif
