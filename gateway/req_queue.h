/*
 * req_queue: what the lists of a worker ask of those who wait for the queue. The worker's thread.
 *
 * The waits themselves are in req.h: req_wait_durable, req_wait_run, req_wait_all.
 */
#ifndef GATEWAY_REQ_QUEUE_H
#define GATEWAY_REQ_QUEUE_H

#include "gateway/req.h"

/* The inbox rang: whose position is durable, lost, or in PostgreSQL goes on. */
void req_wake_durable(struct worker *w);
void req_wake_committed(struct worker *w);
/* The timer: whose time is over goes on, or is answered. */
void req_expire_durable(struct worker *w);
void req_expire_committed(struct worker *w);

#endif
