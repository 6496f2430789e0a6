/*
 * tracer: the thread that brings spans to an OpenTelemetry collector.
 *
 * Any thread hands spans in and never waits: when TRACER_QUEUE of them are not taken yet, further ones are
 * dropped and counted. Order of calls: tracer_start, tracer_put, tracer_stop when nobody puts any more.
 *
 * Flushes are followed by it, too: those with points of a followed request (tracer_note), in that
 * request's trace, and of the others one in otlp_sample, in a trace of its own.
 */
#ifndef GATEWAY_TRACER_H
#define GATEWAY_TRACER_H

#include "base/fail.h"
#include "base/trail.h"
#include "gateway/trace/span.h"
#include "schema/stats.h"

enum { TRACER_QUEUE = 2048 };

struct tracer;

/* endpoint: http://host:port, to which /v1/traces is added; instance: of this process, which outlives it.
 * stats: its thread's block. Main thread. */
struct tracer *tracer_start(const char *endpoint, const char *instance, struct stats *stats);
/* False: it was dropped. Any thread. */
bool tracer_put(struct tracer *t, const struct span *s);
/* Points of the request are in the entry of the ring that ends there. Any thread. */
void tracer_note(struct tracer *t, uint64_t end, const struct span *s);
/* What flushers ask, as long as it is not stopped. sample: otlp_sample; may change while they ask. */
struct follower tracer_follower(struct tracer *t);
void tracer_sample(struct tracer *t, uint64_t sample);
/* Sends what there is, two seconds at most, and ends. NULL is fine. Main thread. */
void tracer_stop(struct tracer *t);

#endif
