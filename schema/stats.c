/*
 * stats: the rows of stats.def as families of figures and as a page.
 */
#include "schema/stats.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_LINE ((size_t)64)

struct stats *stats_new(void)
{
    size_t bytes = (sizeof(struct stats) + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    struct stats *s = aligned_alloc(CACHE_LINE, bytes);

    check(s != NULL);
    memset(s, 0, bytes);
    return s;
}

void stats_free(struct stats *s)
{
    free(s);
}

void stats_sum(const struct stats *s, struct stats_view *v)
{
#define COUNTER(name, help)   v->name += atomic_load_explicit(&s->name, memory_order_relaxed);
#define GAUGE(name, help)     v->name += atomic_load_explicit(&s->name, memory_order_relaxed);
#define HISTOGRAM(name, help) hist_sum(&s->name, &v->name);
#define TRACED(name, help)        \
    hist_sum(&s->name, &v->name); \
    exemplar_gather(&s->name##_traces, &v->name##_traces);
#define LONGEST(name, help)                                             \
    if (atomic_load_explicit(&s->name, memory_order_relaxed) > v->name) \
        v->name = atomic_load_explicit(&s->name, memory_order_relaxed);
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef TRACED
#undef LONGEST
}

void stats_expose(const struct stats_view *v, struct exposition *x)
{
#define COUNTER(name, help)                                    \
    exposition_family(x, "sluice_" #name, KIND_COUNTER, help); \
    exposition_u64(x, "", v->name);
#define GAUGE(name, help)                                    \
    exposition_family(x, "sluice_" #name, KIND_GAUGE, help); \
    exposition_u64(x, "", v->name);
#define HISTOGRAM(name, help)                                               \
    exposition_family(x, "sluice_" #name "_seconds", KIND_HISTOGRAM, help); \
    exposition_hist(x, "", &v->name, NULL, EXPOSITION_ALL_BOUNDS);
#define TRACED(name, help)                                                  \
    exposition_family(x, "sluice_" #name "_seconds", KIND_HISTOGRAM, help); \
    exposition_hist(x, "", &v->name, &v->name##_traces, EXPOSITION_ALL_BOUNDS);
#define LONGEST(name, help)                                             \
    exposition_family(x, "sluice_" #name "_seconds", KIND_GAUGE, help); \
    exposition_us(x, "", v->name);
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef TRACED
#undef LONGEST
}

void stats_doc(struct buf *out)
{
    buf_add_str(
        out,
        STR("# Metrics\n\n"
            "Generated from `schema/stats.def` and `schema/series.def` by `make docs`.\n\n"
            "`GET /metrics` answers with the sum over all threads, in Prometheus' text format, or "
            "as "
            "OpenMetrics 1.0\nwhen `Accept` asks for it (Prometheus does), then with units, and "
            "with "
            "the trace of a request in the buckets of\n`sluice_request_seconds` and "
            "`sluice_ack_seconds` ([observability](observability.md)). Histograms are in\nseconds, "
            "with buckets from 50 us to 60 s; those of `mlflow_` have MLflow's.\n\n"
            "| metric | kind | meaning |\n|---|---|---|\n"));
#define COUNTER(name, help) buf_printf(out, "| `sluice_%s_total` | counter | %s |\n", #name, help);
#define GAUGE(name, help)   buf_printf(out, "| `sluice_%s` | gauge | %s |\n", #name, help);
#define HISTOGRAM(name, help) \
    buf_printf(out, "| `sluice_%s_seconds` | histogram | %s |\n", #name, help);
#define TRACED(name, help)  HISTOGRAM(name, help)
#define LONGEST(name, help) buf_printf(out, "| `sluice_%s_seconds` | gauge | %s |\n", #name, help);
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef TRACED
#undef LONGEST
    exposition_doc(out);
}
