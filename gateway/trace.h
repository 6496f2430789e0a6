/*
 * trace: what is known of a request that somebody follows through the system.
 *
 * A request that nobody follows has none (r->trace is NULL), and costs a look at that. It lives in the
 * request's arena. The worker's thread.
 */
#ifndef GATEWAY_TRACE_H
#define GATEWAY_TRACE_H

#include "base/exemplar.h"
#include "gateway/req.h"
#include "gateway/traceparent.h"

struct trace {
    struct traceparent parent; /* as the client sent it */
};

/* The head is complete: is it followed? */
void trace_begin(struct req *r);
/* How a histogram shows it; NULL when it is not followed. out holds it. */
struct exemplar *trace_exemplar(const struct req *r, struct exemplar *out);
/* Its points are durable: counts how long that took. */
void trace_ack(struct req *r);

#endif
