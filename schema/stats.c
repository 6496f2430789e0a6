/*
 * stats: the rows of stats.def as Prometheus text and as a page.
 *
 * The classic text format (version 0.0.4): # HELP and # TYPE before each family, counters end in
 * _total, histograms in _seconds with cumulative buckets. Numbers are printed from integers, so
 * no locale and no rounding gets between: 50 us is "0.00005", not "5e-05".
 */
#include "schema/stats.h"

#include <inttypes.h>
#include <stdio.h>
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
#define LONGEST(name, help)                                             \
    if (atomic_load_explicit(&s->name, memory_order_relaxed) > v->name) \
        v->name = atomic_load_explicit(&s->name, memory_order_relaxed);
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
}

/* us as seconds, without trailing zeros. */
static void add_seconds(struct buf *out, uint64_t us)
{
    char text[40];
    size_t n =
        (size_t)snprintf(text, sizeof(text), "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);

    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n--;
    buf_add(out, text, n);
}

void stats_expose_head(const char *name, const char *type, const char *help, struct buf *out)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void stats_expose_hist(const char *name, const char *labels, const struct hist_view *h,
                       struct buf *out)
{
    const char *comma = *labels ? "," : "";
    const char *open = *labels ? "{" : "";
    const char *close = *labels ? "}" : "";
    uint64_t total = 0;

    for (unsigned i = 0; i < HIST_BOUNDS; i++) {
        total += h->counts[i];
        buf_printf(out, "sluice_%s_seconds_bucket{%s%sle=\"", name, labels, comma);
        add_seconds(out, hist_bounds_us[i]);
        buf_printf(out, "\"} %" PRIu64 "\n", total);
    }
    total += h->counts[HIST_BOUNDS];
    buf_printf(out, "sluice_%s_seconds_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma,
               total);
    buf_printf(out, "sluice_%s_seconds_sum%s%s%s ", name, open, labels, close);
    add_seconds(out, h->sum_us);
    buf_printf(out, "\nsluice_%s_seconds_count%s%s%s %" PRIu64 "\n", name, open, labels, close,
               total);
}

void stats_expose(const struct stats_view *v, struct buf *out)
{
#define COUNTER(name, help)                                            \
    stats_expose_head("sluice_" #name "_total", "counter", help, out); \
    buf_printf(out, "sluice_" #name "_total %" PRIu64 "\n", v->name);
#define GAUGE(name, help)                                   \
    stats_expose_head("sluice_" #name, "gauge", help, out); \
    buf_printf(out, "sluice_" #name " %" PRIu64 "\n", v->name);
#define HISTOGRAM(name, help)                                              \
    stats_expose_head("sluice_" #name "_seconds", "histogram", help, out); \
    stats_expose_hist(#name, "", &v->name, out);
#define LONGEST(name, help)                                            \
    stats_expose_head("sluice_" #name "_seconds", "gauge", help, out); \
    buf_add_str(out, STR("sluice_" #name "_seconds "));                \
    add_seconds(out, v->name);                                         \
    buf_add_byte(out, '\n');
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
}

void stats_doc(struct buf *out)
{
    buf_add_str(out,
                STR("# Metrics\n\n"
                    "Generated from `schema/stats.def` by `make docs`.\n\n"
                    "`GET /metrics` answers in Prometheus' text format, with the sum over all "
                    "threads. Histograms are in\nseconds, with buckets from 50 us to 60 s. "
                    "Besides these rows there are\n`sluice_request_seconds`, a histogram for "
                    "each `route` and `code` (2xx and so on), `sluice_backlog_points` and\n"
                    "`sluice_backlog_seconds` (accepted and not yet in PostgreSQL), "
                    "`sluice_journal_max_bytes`, `sluice_ready` (1 when\n`/readyz` answers 200), "
                    "`sluice_build_info{version}`, and what every exporter has: "
                    "`process_cpu_seconds_total`,\n`process_resident_memory_bytes`, "
                    "`process_virtual_memory_bytes`, `process_start_time_seconds`, "
                    "`process_threads`,\n`process_open_fds`, `process_max_fds`.\n\n"
                    "| metric | kind | meaning |\n|---|---|---|\n"));
#define COUNTER(name, help) buf_printf(out, "| `sluice_%s_total` | counter | %s |\n", #name, help);
#define GAUGE(name, help)   buf_printf(out, "| `sluice_%s` | gauge | %s |\n", #name, help);
#define HISTOGRAM(name, help) \
    buf_printf(out, "| `sluice_%s_seconds` | histogram | %s |\n", #name, help);
#define LONGEST(name, help) buf_printf(out, "| `sluice_%s_seconds` | gauge | %s |\n", #name, help);
#include "schema/stats.def"
#undef COUNTER
#undef GAUGE
#undef HISTOGRAM
#undef LONGEST
}
