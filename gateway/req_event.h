/*
 * req_event: a request waits for something that the worker's loop does not know: a transfer of another
 * library on the same loop, another server.
 *
 * Who will call req_event holds a pointer to the request meanwhile, and must be told when that is not
 * good any more: r->over (gateway/req_body.h) says so. The worker's thread; the functions stand in
 * req_park.c.
 */
#ifndef GATEWAY_REQ_EVENT_H
#define GATEWAY_REQ_EVENT_H

#include "gateway/req.h"

/* next follows after req_event, or when the time is over: then r->is_late. At the end of a drain it is
 * answered 503 instead. */
must_check err_t req_wait_event(struct req *r, uint64_t timeout_us, req_step next);
/* It has happened: the next step runs within this call, and afterwards nobody may look at the request.
 * False when the request does not wait for that (any more). Not from within a step. */
bool req_event(struct req *r);

#endif
