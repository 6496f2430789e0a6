/*
 * trace: who is followed, and what is noted of it.
 *
 * A traceparent decides for its own trace: its flag says whether somebody records it. Of requests without
 * one, every otlp_sample-th begins a trace, if there is a collector. A followed request shows in three places:
 * as exemplar of the histograms, in the application_name of its transactions, and as spans at the collector.
 */
#include "gateway/trace/trace.h"

#include <string.h>

#include "base/clock.h"
#include "gateway/http/conn.h"
#include "gateway/http/route.h"
#include "gateway/status/latency.h"
#include "gateway/trace/otlp.h"
#include "gateway/trace/tracer.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "ingest/queue_share.h"

/* False: not followed. */
static bool trace_decide(struct req *r, struct traceparent *parent)
{
    struct worker *w = r->worker;
    uint64_t sample = w->settings->otlp_sample;

    if (traceparent_parse(r->head->traceparent, parent))
        return parent->flags & TRACE_SAMPLED;
    if (w->tracer == NULL || sample == 0 || ++w->net->traced_turn < sample)
        return false;
    w->net->traced_turn = 0;
    *parent = traceparent_new();
    parent->span = 0; /* it has none */
    return true;
}

void trace_begin(struct req *r)
{
    struct traceparent parent, own;
    struct trace *t;

    if (!trace_decide(r, &parent))
        return;
    own = traceparent_new();
    t = r->trace = arena_zalloc(&r->arena, sizeof(*t));
    t->span = (struct span){
        .trace = {parent.trace[0], parent.trace[1]},
        .id = own.span,
        .parent = parent.span,
        .first_wait = own.trace[0],
        .begin_us = r->started_us,
        .method = latency_method_name((unsigned)__builtin_ctz((unsigned)r->head->method))};
    own.trace[0] = parent.trace[0];
    own.trace[1] = parent.trace[1];
    own.flags = TRACE_SAMPLED;
    memcpy(t->application, TRACE_APPLICATION, strlen(TRACE_APPLICATION));
    traceparent_write(&own, t->application + strlen(TRACE_APPLICATION));
}

static const char *wait_name(const struct req *r)
{
    switch (r->wait) {
    case WAIT_BODY: return "thread aside";
    case WAIT_SQL: return "postgresql";
    case WAIT_SENT: return "reader";
    case WAIT_PIECE: return "body";
    default: break;
    }
    switch (r->parked_in) {
    case PARK_DURABLE: return "durable";
    case PARK_COMMITTED: return "own writes";
    case PARK_RUN:
    case PARK_ASKED: return "run";
    case PARK_USER: return "user";
    case PARK_TURN: return "turn";
    case PARK_EVENT: return "event";
    default: return "redis";
    }
}

void trace_waited(struct req *r)
{
    struct span *s = &r->trace->span;

    if (s->wait_count < SPAN_WAITS) {
        bool is_sql = r->wait == WAIT_SQL && r->stream == NULL;

        s->waits[s->wait_count] = (struct span_wait){
            .name = wait_name(r),
            .statement = is_sql && r->sql.nsteps ? r->sql.steps[0].stmt->name : NULL,
            .begin_us = r->wait_since_us,
            .end_us = r->worker->now_us};
    }
    s->wait_count++;
}

void trace_appended(struct req *r, uint64_t end)
{
    struct worker *w = r->worker;

    /* Of a shared queue positions are not what flushers read by, and its flushers may be elsewhere. */
    if (w->tracer && !queue_is_shared(w->queue))
        tracer_note(w->tracer, end, &r->trace->span);
}

void trace_end(struct req *r)
{
    struct worker *w = r->worker;
    struct span *s = &r->trace->span;

    if (w->tracer == NULL)
        return;
    s->end_us = w->now_us;
    s->wall_us = clock_wall_ms() * 1000;
    s->route = r->route ? r->route->label : "";
    s->status = r->reply.status;
    s->received_bytes = r->input.body.n;
    s->sent_bytes = r->conn->x->sent_bytes;
    stat_add(w->stats, requests_traced, 1);
    if (!tracer_put(w->tracer, s))
        stat_add(w->stats, spans_dropped, otlp_count(s, 1));
}

struct exemplar *trace_exemplar(const struct req *r, struct exemplar *out)
{
    const struct trace *t = r->trace;

    if (!t)
        return NULL;
    *out = (struct exemplar){.trace = {t->span.trace[0], t->span.trace[1]},
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

const char *trace_application(const struct req *r)
{
    return r->trace ? r->trace->application : NULL;
}
