/*
 * tracer: the thread that brings spans to an OpenTelemetry collector.
 *
 * Any thread hands spans in and never waits: when TRACER_QUEUE of them are not taken yet, further ones are
 * dropped and counted. Order of calls: tracer_start, tracer_put, tracer_stop when nobody puts any more.
 */
#ifndef GATEWAY_TRACER_H
#define GATEWAY_TRACER_H

#include "base/fail.h"
#include "gateway/span.h"
#include "schema/stats.h"

enum { TRACER_QUEUE = 2048 };

struct tracer;

/* endpoint: http://host:port, to which /v1/traces is added; instance: of this process, which outlives it.
 * stats: its thread's block. Main thread. */
struct tracer *tracer_start(const char *endpoint, const char *instance, struct stats *stats);
/* False: it was dropped. Any thread. */
bool tracer_put(struct tracer *t, const struct span *s);
/* Sends what there is, two seconds at most, and ends. NULL is fine. Main thread. */
void tracer_stop(struct tracer *t);

#endif
