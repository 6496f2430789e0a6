/*
 * req_drive: what conn.c and worker.c do to a request: begin it, wake it, end it. The worker's thread.
 */
#ifndef GATEWAY_REQ_DRIVE_H
#define GATEWAY_REQ_DRIVE_H

#include "gateway/req.h"

void req_init(struct req *r, struct worker *w, struct conn *c);
void req_fini(struct req *r);
/* Forgets the request, keeps a little memory for the next one. */
void req_reset(struct req *r);
/* Runs the route's handler and, until the request waits or is answered, what follows. A long JSON
 * body is read by the helper before. */
void req_start(struct req *r);
/* The helper has read the body of this request. */
void req_on_body(struct req *r);
/* Its part has been taken: goes on as after req_start. */
void req_part_sent(struct req *r);
/* Its part will not be taken: the request ends without an answer. */
void req_abandon(struct req *r);
/* The worker's inbox rang: looks at parked requests. */
void req_wake_parked(struct worker *w);
/* The timer: parked requests whose time is over go on, or are answered. */
void req_expire_parked(struct worker *w);
/* The worker ends: everything parked is answered 503. */
void req_end_parked(struct worker *w);

#endif
