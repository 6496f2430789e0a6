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
#include "gateway/trace/span.h"
#include "gateway/trace/traceparent.h"

#define TRACE_APPLICATION "sluice "

struct trace {
    struct span span;
    /* "sluice 00-<trace>-<our span>-01": 62 bytes, of the 63 that PostgreSQL keeps */
    char application[sizeof(TRACE_APPLICATION) + TRACEPARENT_BYTES];
};

/* The head is complete: is it followed? */
void trace_begin(struct req *r);
/* What it has waited for is there. Only when it is followed. */
void trace_waited(struct req *r);
/* Its points are in the queue, and end there. Likewise. */
void trace_appended(struct req *r, uint64_t end);
/* It is answered, and counted. Likewise. */
void trace_end(struct req *r);
/* Its points are durable: counts how long that took. */
void trace_ack(struct req *r);
/* How a histogram shows it; NULL when it is not followed. out holds it. */
struct exemplar *trace_exemplar(const struct req *r, struct exemplar *out);
/* What PostgreSQL calls its transactions; NULL when it is not followed. */
const char *trace_application(const struct req *r);

#endif
