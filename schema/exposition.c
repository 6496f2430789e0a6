/*
 * exposition: the two text formats of Prometheus, which differ in little.
 *
 *   classic 0.0.4                           OpenMetrics 1.0
 *   # HELP x_total ...                      # TYPE x counter
 *   # TYPE x_total counter                  # UNIT x_seconds seconds   (of those that have one)
 *   x_total 3                               # HELP x ...
 *                                           x_total 3
 *   x_info{version="1"} 1, a gauge          # TYPE x info, the sample likewise
 *                                           x_bucket{le="0.1"} 8 # {trace_id="..."} 0.067 1520879607.789
 *                                           # EOF
 *
 * Bounds are written as "1.0" in both, as OpenMetrics wants them: a series must not change its labels
 * with the format that a scrape has agreed on. Numbers are printed from integers, so no locale and no
 * rounding gets between: 50 us is "0.00005", not "5e-05".
 */
#include "schema/exposition.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    enum exposition_kind kind;
    const char *name, *labels, *help;
} series_rows[SERIES_COUNT] = {
#define SERIES(id, kind, name, labels, help) [SERIES_##id] = {KIND_##kind, name, labels, help},
#include "schema/series.def"
#undef SERIES
};

static const char *kind_name(enum exposition_kind kind, bool is_open)
{
    switch (kind) {
    case KIND_COUNTER: return "counter";
    case KIND_HISTOGRAM: return "histogram";
    case KIND_INFO: return is_open ? "info" : "gauge";
    default: return "gauge";
    }
}

static const char *kind_ending(enum exposition_kind kind)
{
    return kind == KIND_COUNTER ? "_total" : kind == KIND_INFO ? "_info" : "";
}

/* us as seconds, without trailing zeros; "1.0" for whole ones when they are a label. */
static void add_seconds(struct buf *out, uint64_t us, bool is_label)
{
    char text[40];
    size_t n =
        (size_t)snprintf(text, sizeof(text), "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);

    while (text[n - 1] == '0')
        n--;
    if (text[n - 1] == '.')
        n = is_label ? n + 1 : n - 1;
    buf_add(out, text, n);
}

void exposition_begin(struct exposition *x, struct buf *out, bool is_open)
{
    *x = (struct exposition){.out = out, .is_open = is_open};
}

void exposition_family(struct exposition *x, const char *name, enum exposition_kind kind,
                       const char *help)
{
    static const char *const units[] = {"seconds", "bytes"};
    const char *ending = x->is_open ? "" : kind_ending(kind);
    struct str whole = str_of(name);

    x->name = name;
    x->kind = kind;
    if (!x->is_open)
        buf_printf(x->out, "# HELP %s%s %s\n", name, ending, help);
    buf_printf(x->out, "# TYPE %s%s %s\n", name, ending, kind_name(kind, x->is_open));
    if (!x->is_open)
        return;
    for (size_t i = 0; i < array_len(units); i++) {
        size_t n = strlen(units[i]);

        if (str_ends(whole, str_of(units[i])) && whole.n > n && name[whole.n - n - 1] == '_')
            buf_printf(x->out, "# UNIT %s %s\n", name, units[i]);
    }
    buf_printf(x->out, "# HELP %s %s\n", name, help);
}

void exposition_series(struct exposition *x, enum series series)
{
    exposition_family(x, series_rows[series].name, series_rows[series].kind,
                      series_rows[series].help);
}

/* Up to the blank before the value. */
static void add_sample(struct exposition *x, const char *labels)
{
    buf_printf(x->out, "%s%s", x->name, kind_ending(x->kind));
    if (*labels)
        buf_printf(x->out, "{%s}", labels);
    buf_add_byte(x->out, ' ');
}

void exposition_u64(struct exposition *x, const char *labels, uint64_t value)
{
    add_sample(x, labels);
    buf_printf(x->out, "%" PRIu64 "\n", value);
}

void exposition_us(struct exposition *x, const char *labels, uint64_t us)
{
    add_sample(x, labels);
    add_seconds(x->out, us, false);
    buf_add_byte(x->out, '\n');
}

static void add_exemplar(struct exposition *x, const struct exemplar *e)
{
    buf_printf(x->out, " # {trace_id=\"%016" PRIx64 "%016" PRIx64 "\"} ", e->trace[0], e->trace[1]);
    add_seconds(x->out, e->us, false);
    buf_printf(x->out, " %" PRId64 ".%03" PRId64, e->wall_ms / 1000, e->wall_ms % 1000);
}

static void add_bucket(struct exposition *x, const char *labels, unsigned bound, uint64_t count)
{
    buf_printf(x->out, "%s_bucket{%s%sle=\"", x->name, labels, *labels ? "," : "");
    if (bound < HIST_BOUNDS)
        add_seconds(x->out, hist_bounds_us[bound], true);
    else
        buf_add_str(x->out, STR("+Inf"));
    buf_printf(x->out, "\"} %" PRIu64, count);
}

void exposition_hist(struct exposition *x, const char *labels, const struct hist_view *h,
                     const struct exemplar_view *e, uint64_t bounds)
{
    struct exemplar newest = {0}; /* of the buckets that the shown one takes in */
    uint64_t total = 0;

    for (unsigned i = 0; i <= HIST_BOUNDS; i++) {
        total += h->counts[i];
        if (e && e->slots[i].wall_ms > newest.wall_ms)
            newest = e->slots[i];
        if (!(bounds >> i & 1) && i < HIST_BOUNDS)
            continue;
        add_bucket(x, labels, i, total);
        if (x->is_open && newest.wall_ms)
            add_exemplar(x, &newest);
        buf_add_byte(x->out, '\n');
        newest.wall_ms = 0;
    }
    buf_printf(x->out, *labels ? "%s_sum{%s} " : "%s_sum%s ", x->name, labels);
    add_seconds(x->out, h->sum_us, false);
    buf_printf(x->out, *labels ? "\n%s_count{%s} %" PRIu64 "\n" : "\n%s_count%s %" PRIu64 "\n",
               x->name, labels, total);
}

void exposition_end(struct exposition *x)
{
    if (x->is_open)
        buf_add_str(x->out, STR("# EOF\n"));
}

const char *exposition_type(bool is_open)
{
    return is_open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                   : "text/plain; version=0.0.4; charset=utf-8";
}

/* -- what a client asks for ---------------------------------------------------------------------- */

/* The weight of a media range, in thousandths: its q, 1000 without one. */
static unsigned range_weight(struct str parameters)
{
    while (parameters.n) {
        struct str value = str_trim(str_cut(&parameters, ';'));
        char text[8];
        double q;

        if (!str_starts(value, STR("q=")) && !str_starts(value, STR("Q=")))
            continue;
        str_to_cstr(str_skip(value, 2), text, sizeof(text));
        q = strtod(text, NULL); /* a client's word: may be anything, no number too */
        return q > 0 ? (unsigned)((q < 1 ? q : 1) * 1000 + 0.5) : 0;
    }
    return 1000;
}

/* Version 1.0.0, 0.0.1 (the draft, of which this is one as well), or none. */
static bool range_is_version(struct str parameters)
{
    while (parameters.n) {
        struct str value = str_trim(str_cut(&parameters, ';'));

        if (str_starts(value, STR("version=")))
            return str_eq(value, STR("version=1.0.0")) || str_eq(value, STR("version=0.0.1"));
    }
    return true;
}

bool exposition_is_wanted(struct str accept)
{
    unsigned open = 0, classic = 0;

    while (accept.n) {
        struct str parameters = str_cut(&accept, ',');
        struct str type = str_trim(str_cut(&parameters, ';'));
        unsigned weight = range_weight(parameters);

        if (str_ieq(type, STR("application/openmetrics-text")) && range_is_version(parameters))
            open = weight > open ? weight : open;
        else if (str_ieq(type, STR("text/plain")))
            classic = weight > classic ? weight : classic;
    }
    return open > 0 && open >= classic; /* whoever names it can read it; others get the classic */
}

void exposition_doc(struct buf *out)
{
    for (size_t i = 0; i < SERIES_COUNT; i++) {
        buf_printf(out, "| `%s%s", series_rows[i].name, kind_ending(series_rows[i].kind));
        if (*series_rows[i].labels)
            buf_printf(out, "{%s}", series_rows[i].labels);
        buf_printf(out, "` | %s | %s |\n", kind_name(series_rows[i].kind, false),
                   series_rows[i].help);
    }
}
