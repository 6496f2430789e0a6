/*
 * trace: a request is followed when its traceparent says that somebody records it.
 */
#include "gateway/trace.h"

#include "base/clock.h"
#include "gateway/worker.h"

void trace_begin(struct req *r)
{
    struct traceparent parent;

    if (!traceparent_parse(r->head->traceparent, &parent) || !(parent.flags & TRACE_SAMPLED))
        return;
    r->trace = arena_zalloc(&r->arena, sizeof(*r->trace));
    r->trace->parent = parent;
}

struct exemplar *trace_exemplar(const struct req *r, struct exemplar *out)
{
    if (!r->trace)
        return NULL;
    *out = (struct exemplar){.trace = {r->trace->parent.trace[0], r->trace->parent.trace[1]},
                             .wall_ms = clock_wall_ms()};
    return out;
}

void trace_ack(struct req *r)
{
    uint64_t us = clock_us() - r->started_us;
    struct exemplar traced;

    stat_time(r->worker->stats, ack, us);
    if (trace_exemplar(r, &traced)) {
        traced.us = us;
        stat_trace(r->worker->stats, ack, &traced);
    }
}
