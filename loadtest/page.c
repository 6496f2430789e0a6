/*
 * page: rows of the curves as polylines.
 *
 * A chart has PAGE_COLUMNS columns at most; when there are more rows, a column shows the mean of
 * its rows for rates and the largest for latencies, so that no spike is averaged away. Latencies stand on a
 * logarithmic scale, because p50 and the longest are orders of magnitude apart; so does, in the
 * chart of percentiles, what is left of all requests. Text that comes from the plan is escaped; colours
 * are told apart by those who see few, too (Okabe and Ito's), on white and, as the reader's system has
 * it, on black.
 */
#include "loadtest/page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "loadtest/report.h"
#include "loadtest/spectrum.h"

enum { PAGE_COLUMNS = 900, WIDTH = 900, HEIGHT = 180, LEFT = 70, TOP = 10, BELOW = 22 };

struct curve {
    const char *name;
    const char *colour;
    double (*value)(const struct sample *s); /* below 0: not known */
};

struct chart {
    const char *title;
    const char *unit;
    bool is_log; /* decades, and the largest of a column instead of the mean */
    const struct curve *curves;
    size_t count;
};

static double value_done(const struct sample *s)
{
    return s->seconds > 0 ? (double)s->done / s->seconds : 0;
}

static double value_refused(const struct sample *s)
{
    return s->seconds > 0 ? (double)s->refused / s->seconds : 0;
}

static double value_failed(const struct sample *s)
{
    return s->seconds > 0 ? (double)s->failed / s->seconds : 0;
}

static double value_points(const struct sample *s)
{
    return s->seconds > 0 ? (double)s->points / s->seconds : 0;
}

static double value_p50(const struct sample *s)
{
    return s->done ? (double)s->p50_us / 1e3 : -1;
}

static double value_p99(const struct sample *s)
{
    return s->done ? (double)s->p99_us / 1e3 : -1;
}

static double value_max(const struct sample *s)
{
    return s->done ? (double)s->max_us / 1e3 : -1;
}

static double value_backlog(const struct sample *s)
{
    return s->backlog;
}

static double value_rss(const struct sample *s)
{
    return s->rss_bytes < 0 ? -1 : s->rss_bytes / 0x1p20;
}

static double value_fds(const struct sample *s)
{
    return s->fds;
}

static double value_connections(const struct sample *s)
{
    return s->connections;
}

/* Colours are variables of the page's style, which has them for light and for dark. */
static const struct curve rates[] = {{"done", "blue", value_done}};
static const struct curve errors[] = {{"answered 429", "yellow", value_refused},
                                      {"failed, or no answer", "red", value_failed}};
static const struct curve points[] = {{"acked for the first time", "green", value_points}};
static const struct curve latencies[] = {
    {"longest", "gray", value_max}, {"p99", "red", value_p99}, {"p50", "blue", value_p50}};
static const struct curve backlogs[] = {{"points waiting in Sluice", "pink", value_backlog}};
static const struct curve memory[] = {{"resident", "blue", value_rss}};
static const struct curve handles[] = {{"descriptors", "blue", value_fds},
                                       {"connections", "green", value_connections}};

static const struct chart charts[] = {
    {"Requests", "/s", false, rates, array_len(rates)},
    {"Points", "/s", false, points, array_len(points)},
    {"Errors: attempts", "/s", false, errors, array_len(errors)},
    {"Latency from the intended moment of sending", "ms", true, latencies, array_len(latencies)},
    {"Backlog", "points", false, backlogs, array_len(backlogs)},
    {"Memory of the server", "MiB", false, memory, array_len(memory)},
    {"Descriptors and connections of the server", "", false, handles, array_len(handles)},
};

/* --- a chart ---------------------------------------------------------------------------------- */

/* What a curve shows for the samples from first to last - 1; below 0: nothing. */
static double column_value(const struct chart *c, const struct curve *curve,
                           const struct sample *samples, size_t first, size_t last)
{
    double sum = 0;
    double most = -1;
    size_t known = 0;

    for (size_t i = first; i < last; i++) {
        double v = curve->value(&samples[i]);

        if (v < 0)
            continue;
        known++;
        sum += v;
        most = fmax(most, v);
    }
    if (known == 0)
        return -1;
    return c->is_log ? most : sum / (double)known;
}

static double chart_top(const struct chart *c, const struct tally *t)
{
    double top = -1;

    for (size_t k = 0; k < c->count; k++) {
        for (size_t i = 0; i < t->sample_count; i++)
            top = fmax(top, c->curves[k].value(&t->samples[i]));
    }
    return top;
}

/* The next of 1, 2, 5, 10, 20 ... that is not below v; of 1, 10, 100 ... on a log scale. */
static double round_up(double v, bool is_log)
{
    double decade = pow(10, floor(log10(fmax(v, 1e-3)) + 1e-9));

    for (int step = 1; step <= 10; step = is_log ? 10 : step == 1 ? 2 : step == 2 ? 5 : 10) {
        if (v <= decade * step * (1 + 1e-9))
            return decade * step;
        if (step == 10)
            break;
    }
    return decade * 10;
}

enum { DECADES = 5 };

/* Pixels from the top of the plot; top is the value at its upper edge. */
static double height_of(const struct chart *c, double v, double top)
{
    double share = v / top;

    if (c->is_log)
        share = v > 0 ? 1 + log10(v / top) / DECADES : 0;
    return TOP + HEIGHT * (1 - fmin(1, fmax(0, share)));
}

static void chart_line(double y, double v, struct buf *out)
{
    buf_printf(out,
               "<line x1='%d' x2='%d' y1='%.1f' y2='%.1f' class='grid'/><text x='%d' y='%.1f' "
               "text-anchor='end'>%g</text>",
               LEFT, LEFT + WIDTH, y, y, LEFT - 6, y + 4, v);
}

static void chart_grid(const struct chart *c, double top, double seconds, struct buf *out)
{
    int lines = c->is_log ? DECADES : 4;
    double step = round_up(seconds / 8, false); /* of time */

    for (int i = 0; i <= lines; i++) {
        double v = c->is_log ? top * pow(10, i - lines) : top * i / lines;
        double y = height_of(c, v, top);

        chart_line(y, v, out);
    }
    for (int i = 0; i * step <= seconds * (1 + 1e-9); i++)
        buf_printf(out, "<text x='%.1f' y='%d' text-anchor='middle'>%g s</text>",
                   LEFT + WIDTH * i * step / seconds, TOP + HEIGHT + BELOW - 4, i * step);
}

static void chart_curve(const struct chart *c, const struct curve *curve, const struct tally *t,
                        double top, struct buf *out)
{
    size_t columns = t->sample_count < PAGE_COLUMNS ? t->sample_count : PAGE_COLUMNS;
    double seconds = t->samples[t->sample_count - 1].at_s;
    bool is_open = false;
    double x;
    double y;

    for (size_t i = 0; i < columns; i++) {
        size_t first = i * t->sample_count / columns;
        size_t last = (i + 1) * t->sample_count / columns;
        double v = column_value(c, curve, t->samples, first, last);

        if (v < 0) { /* a gap */
            buf_add_str(out, is_open ? STR("'/>") : STR(""));
            is_open = false;
            continue;
        }
        x = LEFT + WIDTH * t->samples[last - 1].at_s / seconds;
        y = height_of(c, v, top);
        if (!is_open) /* the first point twice: one between two gaps is a dot, not nothing */
            buf_printf(out, "<polyline style='stroke:var(--%s)' points='%.1f,%.1f ", curve->colour,
                       x, y);
        is_open = true;
        buf_printf(out, "%.1f,%.1f ", x, y);
    }
    buf_add_str(out, is_open ? STR("'/>") : STR(""));
}

static void chart_begin(const char *title, const char *unit, const struct curve *curves,
                        size_t count, struct buf *out)
{
    buf_printf(out, "<h2>%s%s%s</h2><p>", title, *unit ? ", " : "", unit);
    for (size_t k = 0; k < count; k++)
        buf_printf(out, "<span style='color:var(--%s)'>&#9632;</span> %s &nbsp; ", curves[k].colour,
                   curves[k].name);
    buf_printf(out, "</p><svg viewBox='0 0 %d %d' role='img' aria-label='%s'>", LEFT + WIDTH + 20,
               TOP + HEIGHT + BELOW, title);
}

static void page_chart(const struct chart *c, const struct tally *t, struct buf *out)
{
    double top = chart_top(c, t);

    if (top < 0)
        return; /* nobody looked at it */
    top = top > 0 ? round_up(top, c->is_log) : 1;
    chart_begin(c->title, c->unit, c->curves, c->count, out);
    chart_grid(c, top, t->samples[t->sample_count - 1].at_s, out);
    for (size_t k = 0; k < c->count; k++)
        chart_curve(c, &c->curves[k], t, top, out);
    buf_add_str(out, STR("</svg>\n"));
}

/* --- the chart of percentiles ------------------------------------------------------------------ */

static const struct curve spectra[] = {{"latency", "blue", NULL},
                                       {"one attempt, from its send", "yellow", NULL}};

/* Pixels from the left for a share of the requests: each nine more is as wide. */
static double nines_of(double share, double nines)
{
    return LEFT + WIDTH * fmin(1, -log10(fmax(1 - share, 1e-12)) / nines);
}

static void spectrum_grid(double nines, struct buf *out)
{
    for (int i = 0; i <= (int)nines; i++) {
        double x = LEFT + WIDTH * i / nines;

        buf_printf(out,
                   "<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' class='grid'/><text x='%.1f' y='%d' "
                   "text-anchor='middle'>%.10g %%</text>",
                   x, x, TOP, TOP + HEIGHT, x, TOP + HEIGHT + BELOW - 4, 100 - 100 * pow(10, -i));
    }
}

static void spectrum_curve(const struct spread *s, const struct chart *scale, double top,
                           double nines, const char *colour, struct buf *out)
{
    struct spectrum_row rows[SPECTRUM_ROWS];
    size_t n = spectrum_of(s, rows);

    buf_printf(out, "<polyline style='stroke:var(--%s)' points='", colour);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%.1f,%.1f ", nines_of(rows[i].share, nines),
                   height_of(scale, (double)rows[i].us / 1e3, top));
    buf_add_str(out, STR("'/>"));
}

static void page_spectrum(const struct tally *t, struct buf *out)
{
    static const struct chart scale = {.is_log = true};
    double top = round_up((double)t->latency.max_us / 1e3, true);
    double nines = log10((double)t->latency.count);
    int decades = DECADES;

    if (nines < 1)
        return; /* too few to speak of percentiles */
    chart_begin("Latency by percentile", "ms", spectra, array_len(spectra), out);
    for (int i = 0; i <= decades; i++) {
        double v = top * pow(10, i - decades);

        chart_line(height_of(&scale, v, top), v, out);
    }
    spectrum_grid(nines, out);
    spectrum_curve(&t->service, &scale, top, nines, spectra[1].colour, out);
    spectrum_curve(&t->latency, &scale, top, nines, spectra[0].colour, out);
    buf_add_str(out, STR("</svg>\n"));
}

/* --- the rest --------------------------------------------------------------------------------- */

static void add_escaped(struct buf *out, struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        switch (text.p[i]) {
        case '<': buf_add_str(out, STR("&lt;")); break;
        case '>': buf_add_str(out, STR("&gt;")); break;
        case '&': buf_add_str(out, STR("&amp;")); break;
        case '\'': buf_add_str(out, STR("&#39;")); break;
        case '"': buf_add_str(out, STR("&quot;")); break;
        default: buf_add_byte(out, text.p[i]); break;
        }
    }
}

static void page_percentiles(const struct tally *t, struct buf *out)
{
    buf_add_str(out, STR("<h2>Percentiles, ms</h2><table><tr><th></th><th>latency</th>"
                         "<th>one attempt</th></tr>"));
    for (const double *q = report_quantiles; *q > 0; q++) {
        buf_add_str(out, STR("<tr><td>"));
        if (*q < 1)
            buf_printf(out, "%g %%", 100 * *q);
        else
            buf_add_str(out, STR("longest"));
        buf_printf(out, "</td><td>%.3f</td><td>%.3f</td></tr>",
                   (double)spread_quantile(&t->latency, *q) / 1e3,
                   (double)spread_quantile(&t->service, *q) / 1e3);
    }
    buf_add_str(out, STR("</table>\n"));
}

static void page_figures(const struct result *r, struct buf *out)
{
    char value[RESULT_TEXT_MAX];

    buf_add_str(out, STR("<h2>Figures</h2><table>"));
    for (size_t i = 0; i < result_count(); i++) {
        result_show(r, i, value);
        buf_printf(out, "<tr><td>%s</td><td>%s</td></tr>", result_name(i), value);
    }
    buf_add_str(out, STR("</table>\n"));
}

static void page_plan(const struct plan *p, struct buf *out)
{
    struct buf text;

    buf_init(&text);
    buf_add_str(out, STR("<h2>Settings</h2><table>"));
    for (int id = 0; id < PLAN_COUNT; id++) {
        if (id == PLAN_url || report_hides(p, (enum plan_id)id) ||
            !plan_is_set(p, (enum plan_id)id))
            continue; /* the first is in the heading */
        buf_reset(&text);
        plan_show(p, (enum plan_id)id, &text);
        buf_printf(out, "<tr><td>%s</td><td class='l'>", plan_name((enum plan_id)id));
        add_escaped(out, buf_str(&text));
        buf_add_str(out, STR("</td></tr>"));
    }
    buf_add_str(out, STR("</table>\n"));
    buf_fini(&text);
}

static void page_verdict(const struct verdict *v, struct buf *out)
{
    if (v == NULL)
        return;
    buf_add_str(out, STR("<h2>Verify</h2><p>"));
    if (verdict_is_clean(v))
        buf_add_str(out, STR("Every acknowledged point is stored exactly once, none was invented, "
                             "latest_metrics is right."));
    else
        add_escaped(out, str_of(v->first));
    buf_add_str(out, STR("</p>\n"));
}

/* The handful that one looks for first. */
static void page_summary(const struct result *r, struct buf *out)
{
    static const char *const names[] = {"throughput", "goodput", "p50",     "p99",
                                        "p999",       "max",     "refused", "errors"};
    char value[RESULT_TEXT_MAX];

    buf_add_str(out, STR("<div class='summary'>"));
    for (size_t k = 0; k < array_len(names); k++) {
        for (size_t i = 0; i < result_count(); i++) {
            if (strcmp(result_name(i), names[k]) != 0)
                continue;
            result_show(r, i, value);
            buf_printf(out, "<div><b>%s</b><span>%s</span></div>", value, names[k]);
        }
    }
    buf_add_str(out, STR("</div>\n"));
}

/* Without the password. */
static void page_url(const char *url, struct buf *out)
{
    struct str rest = str_of(url);
    size_t host = str_find(rest, '@');

    add_escaped(out, host < rest.n ? str_skip(rest, host + 1) : rest);
}

static const char page_head[] =
    "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
    "<meta name='viewport' content='width=device-width'><title>sluice-loadtest</title><style>"
    ":root{color-scheme:light dark;--back:#fff;--ink:#222;--dim:#5a5a5a;--line:#ddd;--card:#f5f6f8;"
    "--blue:#0072b2;--yellow:#b87800;--red:#d55e00;--green:#008060;--pink:#b0558a;--gray:#8a8a8a}"
    "@media(prefers-color-scheme:dark){:root{--back:#16181c;--ink:#e4e6ea;--dim:#a4a9b2;"
    "--line:#33373e;--card:#20242a;--blue:#56b4e9;--yellow:#e69f00;--red:#ff7f3f;--green:#2fc99b;"
    "--pink:#dd8fbd;--gray:#8d939c}}"
    "body{font:14px/1.4 sans-serif;max-width:1020px;margin:2em auto;padding:0 1em;color:var(--ink);"
    "background:var(--back)}h1{font-size:20px}h2{font-size:15px;margin:1.8em 0 .2em}p{margin:.2em "
    "0}"
    "svg{width:100%}svg "
    "text{font-size:11px;fill:var(--dim)}polyline{fill:none;stroke-width:1.5;stroke-linecap:round}"
    ".grid{stroke:var(--line)}.summary{display:flex;flex-wrap:wrap;gap:8px}"
    ".summary div{background:var(--card);border-radius:6px;padding:8px 14px;min-width:80px}"
    ".summary b{display:block;font-size:17px}.summary span{color:var(--dim)}"
    "table{border-collapse:collapse}td,th{padding:2px 12px;text-align:right;"
    "border-bottom:1px solid var(--line);font-variant-numeric:tabular-nums}"
    "td:first-child,td.l{text-align:left}</style></head><body><h1>sluice-loadtest: ";

void page_write(const struct storm *s, const struct result *r, const struct verdict *v,
                struct buf *out)
{
    buf_add_str(out, str_of(page_head));
    page_url(s->plan->url, out);
    buf_add_str(out, STR("</h1>\n"));
    page_verdict(v, out);
    page_summary(r, out);
    for (size_t i = 0; i < array_len(charts); i++)
        page_chart(&charts[i], &s->tally, out);
    page_spectrum(&s->tally, out);
    page_percentiles(&s->tally, out);
    page_figures(r, out);
    page_plan(s->plan, out);
    buf_add_str(out, STR("</body></html>\n"));
}
