/*
 * report: figures for people and for programs.
 *
 * The table of percentiles is of the latency from the intended moment of sending, as in
 * loadtest/tally.h; the JSON holds every figure of results.def by its name, in seconds and bytes.
 */
#include "loadtest/report.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "loadtest/spectrum.h"

const double report_quantiles[] = {0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1, 0};

static const char *report_time(uint64_t us, char space[32])
{
    if (us < 1000)
        snprintf(space, 32, "%" PRIu64 " us", us);
    else if (us < 1000000)
        snprintf(space, 32, "%.2f ms", (double)us / 1e3);
    else
        snprintf(space, 32, "%.3f s", (double)us / 1e6);
    return space;
}

/* --- for people ------------------------------------------------------------------------------- */

static void text_percentiles(const struct tally *t, struct buf *out)
{
    char a[32];
    char b[32];

    buf_printf(out, "\n%10s %14s %14s\n", "", "latency", "one attempt");
    for (const double *q = report_quantiles; *q > 0; q++) {
        if (*q >= 1)
            buf_add_str(out, STR("       max"));
        else
            buf_printf(out, "%*.*f %%", 8, *q > 0.99 ? 2 : 0, 100 * *q);
        buf_printf(out, " %14s %14s\n", report_time(spread_quantile(&t->latency, *q), a),
                   report_time(spread_quantile(&t->service, *q), b));
    }
}

static void text_kinds(const struct tally *t, struct buf *out)
{
    char a[32];
    char b[32];

    buf_printf(out, "\n%-14s %12s %14s %14s\n", "call", "done", "p50", "p99");
    for (int kind = 0; kind < CALL_COUNT; kind++) {
        const struct spread *s = &t->latencies[kind];

        if (t->kinds[kind])
            buf_printf(out, "%-14s %12" PRIu64 " %14s %14s\n", call_word((enum call_kind)kind),
                       t->kinds[kind], report_time(spread_quantile(s, 0.5), a),
                       report_time(spread_quantile(s, 0.99), b));
    }
}

static void text_statuses(const struct tally *t, struct buf *out)
{
    buf_add_str(out, STR("\nanswers:"));
    for (int status = 1; status < TALLY_STATUSES; status++) {
        if (t->statuses[status])
            buf_printf(out, "  %d: %" PRIu64, status, t->statuses[status]);
    }
    buf_printf(out, "  none: %" PRIu64 " (%" PRIu64 " too late)\n", t->broken, t->late);
}

/* name and figure, when it is not nothing. */
static void text_figure(const struct result *r, const char *name, struct buf *out)
{
    char value[RESULT_TEXT_MAX];

    for (size_t i = 0; i < result_count(); i++) {
        if (strcmp(result_name(i), name) != 0)
            continue;
        result_show(r, i, value);
        buf_printf(out, "%-18s %16s\n", name, value);
    }
}

static void text_verdict(const struct result *r, const struct verdict *v, struct buf *out)
{
    buf_printf(out,
               "\nverify: %.0f rows read in %.1f s, %.0f acked: lost %.0f, invented %.0f, doubled "
               "%.0f, latest_metrics wrong %.0f; through the API %.0f points, wrong %.0f\n",
               r->verify_rows, r->verify_seconds, r->points_acked, r->lost, r->invented, r->doubled,
               r->latest_wrong, r->api_points, r->api_wrong);
    if (v->first[0])
        buf_printf(out, "verify: the first: %s\n", v->first);
}

void report_text(const struct storm *s, const struct result *r, const struct verdict *v,
                 struct buf *out)
{
    static const char *const figures[] = {
        "requests", "done",       "refused", "errors",       "abandoned",    "unsent", "retries",
        "replays",  "throughput", "goodput", "points_acked", "points_again", "lag_p99"};
    static const char *const looks[] = {"rss_first", "rss_last",  "rss_peak",    "rss_slope",
                                        "fds_first", "fd_growth", "backlog_max", "connections_max"};

    for (size_t i = 0; i < array_len(figures); i++)
        text_figure(r, figures[i], out);
    for (size_t i = 0; i < array_len(looks); i++) {
        if ((s->plan->pid && i < 6) || (*s->plan->admin_url && i >= 6))
            text_figure(r, looks[i], out);
    }
    text_percentiles(&s->tally, out);
    text_kinds(&s->tally, out);
    text_statuses(&s->tally, out);
    if (s->plan->loop[0] == 'o' && r->lag_p99 > 0.001 && r->lag_p99 > r->p99 / 10)
        buf_add_str(out, STR("the generator itself was late: this machine is too slow for the "
                             "rate, latencies say more of it than of the server\n"));
    if (v)
        text_verdict(r, v, out);
}

/* --- the moving line -------------------------------------------------------------------------- */

void report_progress(const struct storm *s)
{
    const struct sample *row = &s->tally.samples[s->tally.sample_count - 1];
    bool is_terminal = isatty(STDERR_FILENO) == 1;
    static double said_s; /* when the last line was written, where lines stay */
    char a[32];
    char b[32];

    if (!s->plan->progress)
        return;
    if (!is_terminal && row->at_s < said_s + 10 && row->at_s > said_s)
        return;
    said_s = row->at_s;
    fprintf(stderr,
            "%s%6.0f s  %8.0f requests/s  %9.0f points/s  p50 %s  p99 %s  429 %.0f/s  failed "
            "%.0f/s",
            is_terminal ? "\r" : "", row->at_s, (double)row->done / row->seconds,
            (double)row->points / row->seconds, report_time(row->p50_us, a),
            report_time(row->p99_us, b), (double)row->refused / row->seconds,
            (double)row->failed / row->seconds);
    if (row->backlog >= 0)
        fprintf(stderr, "  backlog %.0f", row->backlog);
    if (row->rss_bytes >= 0)
        fprintf(stderr, "  rss %.1f MiB", row->rss_bytes / 0x1p20);
    fputs(is_terminal ? "\033[K" : "\n", stderr);
}

/* --- for programs ----------------------------------------------------------------------------- */

bool report_hides(const struct plan *p, enum plan_id id)
{
    return id == PLAN_pg_uri || (id == PLAN_url && strchr(p->url, '@')) ||
           (id == PLAN_admin_url && strchr(p->admin_url, '@'));
}

static void json_plan(const struct plan *p, struct json *j)
{
    struct buf text;

    buf_init(&text);
    json_key(j, "plan");
    json_open(j);
    for (int id = 0; id < PLAN_COUNT; id++) {
        if (report_hides(p, (enum plan_id)id))
            continue;
        buf_reset(&text);
        plan_show(p, (enum plan_id)id, &text);
        json_pair_str(j, plan_name((enum plan_id)id), buf_str(&text));
    }
    json_close(j);
    buf_fini(&text);
}

static void json_spread(struct json *j, const char *name, const struct spread *s)
{
    char key[16];

    json_key(j, name);
    json_open(j);
    json_pair_i64(j, "count", (int64_t)s->count);
    for (const double *q = report_quantiles; *q > 0; q++) {
        snprintf(key, sizeof(key), "p%g", 100 * *q);
        json_key(j, *q < 1 ? key : "max");
        json_double(j, (double)spread_quantile(s, *q) / 1e6);
    }
    json_close(j);
}

static void json_latencies(const struct tally *t, struct json *j)
{
    json_key(j, "latencies");
    json_open(j);
    json_spread(j, "all", &t->latency);
    json_spread(j, "service", &t->service);
    json_spread(j, "refusal", &t->refusal);
    json_spread(j, "first", &t->first_service);
    json_spread(j, "replay", &t->replay_service);
    json_spread(j, "lag", &t->lag);
    for (int kind = 0; kind < CALL_COUNT; kind++) {
        if (t->kinds[kind])
            json_spread(j, call_word((enum call_kind)kind), &t->latencies[kind]);
    }
    json_close(j);
}

/* [share, seconds, requests that took no longer]... */
static void json_spectrum(const struct spread *s, struct json *j)
{
    struct spectrum_row rows[SPECTRUM_ROWS];
    size_t n = spectrum_of(s, rows);

    json_key(j, "spectrum");
    json_open_list(j);
    for (size_t i = 0; i < n; i++) {
        json_open_list(j);
        json_double(j, rows[i].share);
        json_double(j, (double)rows[i].us / 1e6);
        json_i64(j, (int64_t)rows[i].count);
        json_close_list(j);
    }
    json_close_list(j);
}

static void json_statuses(const struct tally *t, struct json *j)
{
    char key[16];

    json_key(j, "statuses");
    json_open(j);
    for (int status = 0; status < TALLY_STATUSES; status++) {
        snprintf(key, sizeof(key), "%d", status);
        if (t->statuses[status])
            json_pair_i64(j, key, (int64_t)t->statuses[status]);
    }
    json_close(j);
}

static void json_curves(const struct tally *t, struct json *j)
{
    json_key(j, "samples");
    json_open_list(j);
    for (size_t i = 0; i < t->sample_count; i++) {
        const struct sample *s = &t->samples[i];
        const struct {
            const char *name;
            double value;
        } fields[] = {
            {"at", s->at_s},
            {"seconds", s->seconds},
            {"done", (double)s->done},
            {"refused", (double)s->refused},
            {"failed", (double)s->failed},
            {"points", (double)s->points},
            {"p50", (double)s->p50_us / 1e6},
            {"p99", (double)s->p99_us / 1e6},
            {"max", (double)s->max_us / 1e6},
            {"backlog", s->backlog},
            {"connections", s->connections},
            {"rss", s->rss_bytes},
            {"fds", s->fds},
        };

        json_open(j);
        for (size_t k = 0; k < array_len(fields); k++) {
            json_key(j, fields[k].name);
            json_double(j, fields[k].value);
        }
        json_close(j);
    }
    json_close_list(j);
}

void report_json(const struct storm *s, const struct result *r, const struct verdict *v,
                 struct buf *out)
{
    struct json j;

    json_init(&j, out, JSON_PRETTY);
    json_open(&j);
    json_key(&j, "figures");
    json_open(&j);
    for (size_t i = 0; i < result_count(); i++) {
        json_key(&j, result_name(i));
        json_double(&j, result_value(r, i));
    }
    json_close(&j);
    json_key(&j, "is_verified");
    json_bool(&j, v != NULL);
    if (v && v->first[0])
        json_pair_str(&j, "first_problem", str_of(v->first));
    json_statuses(&s->tally, &j);
    json_latencies(&s->tally, &j);
    json_spectrum(&s->tally.latency, &j);
    json_plan(s->plan, &j);
    json_curves(&s->tally, &j);
    json_close(&j);
    buf_add_byte(out, '\n');
}
