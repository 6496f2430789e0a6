/*
 * result: sums, slopes, and conditions.
 *
 *   condition   NAME OP VALUE      OP one of > >= < <= == !=
 *   VALUE       a number; for a SECONDS figure a time (5ms), for BYTES and HOURLY a size (1MiB)
 *
 * Growth of descriptors is between medians of the first and the last tenth of the looks after the
 * warm-up, not between two looks: at either a connection of somebody else may be open.
 */
#include "loadtest/result.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "schema/errors.h"

enum result_unit { NUMBER, SECONDS, BYTES, RATE, HOURLY };

static const struct result_row {
    const char *name;
    enum result_unit unit;
    const char *help;
    size_t offset;
} result_rows[] = {
#define RESULT(name, unit, help) {#name, unit, help, offsetof(struct result, name)},
#include "loadtest/results.def"
#undef RESULT
};

/* --- sums ------------------------------------------------------------------------------------- */

static double seconds_of(uint64_t us)
{
    return (double)us / 1e6;
}

static void result_latencies(struct result *r, const struct tally *t)
{
    r->p50 = seconds_of(spread_quantile(&t->latency, 0.5));
    r->p90 = seconds_of(spread_quantile(&t->latency, 0.9));
    r->p99 = seconds_of(spread_quantile(&t->latency, 0.99));
    r->p999 = seconds_of(spread_quantile(&t->latency, 0.999));
    r->max = seconds_of(t->latency.max_us);
    r->mean = spread_mean_us(&t->latency) / 1e6;
    r->service_p50 = seconds_of(spread_quantile(&t->service, 0.5));
    r->service_p99 = seconds_of(spread_quantile(&t->service, 0.99));
    r->service_max = seconds_of(t->service.max_us);
    r->refusal_p99 = seconds_of(spread_quantile(&t->refusal, 0.99));
    r->first_p99 = seconds_of(spread_quantile(&t->first_service, 0.99));
    r->replay_p99 = seconds_of(spread_quantile(&t->replay_service, 0.99));
    r->lag_p99 = seconds_of(spread_quantile(&t->lag, 0.99));
}

static void result_counts(struct result *r, const struct tally *t)
{
    r->seconds = t->seconds;
    r->measured = t->measured_s;
    r->requests = (double)t->began;
    r->done = (double)t->done;
    r->refused = (double)t->refused;
    r->errors = (double)t->failed;
    r->abandoned = (double)t->abandoned;
    r->unsent = (double)t->unsent;
    r->attempts = (double)t->attempts;
    r->retries = (double)t->retries;
    r->replays = (double)t->replays;
    r->broken = (double)t->broken;
    r->late = (double)t->late;
    r->no_retry_after = (double)t->no_retry_after;
    r->connects = (double)t->connects;
    r->points_sent = (double)t->points_sent;
    r->points_acked = (double)t->points_acked;
    r->points_again = (double)t->points_again;
    for (int status = 400; status < TALLY_STATUSES; status++) {
        double n = (double)t->statuses[status];

        if (status == 429)
            r->answers_429 = n;
        else if (status >= 500)
            r->answers_5xx += n;
        else
            r->answers_4xx += n;
    }
    if (t->measured_s > 0) {
        r->throughput = (double)t->warm_done / t->measured_s;
        r->goodput = (double)t->warm_points / t->measured_s;
    }
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a;
    const double *y = b;

    return *x < *y ? -1 : *x > *y;
}

static double median_of(double *values, size_t n)
{
    qsort(values, n, sizeof(*values), compare_doubles);
    return n ? values[n / 2] : 0;
}

/* What the looks at the server's process say, after the warm-up and while load came. */
static void result_growth(struct result *r, const struct tally *t, double warm_s, double end_s)
{
    double *at = malloc(3 * (t->sample_count + 1) * sizeof(*at));
    double *rss = at + t->sample_count + 1;
    double *fds = rss + t->sample_count + 1;
    size_t n = 0;
    size_t tenth;

    check(at != NULL);
    for (size_t i = 0; i < t->sample_count; i++) {
        const struct sample *s = &t->samples[i];

        r->backlog_max = fmax(r->backlog_max, s->backlog);
        r->connections_max = fmax(r->connections_max, s->connections);
        if (s->rss_bytes < 0 || s->at_s < warm_s || s->at_s > end_s + 1e-3)
            continue;
        at[n] = s->at_s / 3600;
        rss[n] = s->rss_bytes;
        fds[n++] = s->fds;
    }
    if (n) {
        r->rss_first = rss[0];
        r->rss_last = rss[n - 1];
        r->rss_slope = slope_of(at, rss, n);
        r->fds_first = fds[0];
        r->fds_last = fds[n - 1];
        tenth = n / 10 ? n / 10 : 1;
        r->fd_growth = median_of(fds + n - tenth, tenth) - median_of(fds, tenth);
    }
    free(at);
}

void result_make(struct result *r, const struct storm *s, const struct verdict *v)
{
    memset(r, 0, sizeof(*r));
    result_counts(r, &s->tally);
    result_latencies(r, &s->tally);
    result_growth(r, &s->tally, seconds_of(s->warm_us - s->begin_us),
                  seconds_of(s->end_us - s->begin_us));
    r->rss_peak = watch_peak_bytes(&s->watch);
    if (v == NULL)
        return;
    r->verify_rows = (double)v->rows;
    r->lost = (double)v->lost;
    r->invented = (double)v->invented;
    r->doubled = (double)v->doubled;
    r->latest_wrong = (double)v->latest_wrong;
    r->api_points = (double)v->api_points;
    r->api_wrong = (double)v->api_wrong;
    r->verify_seconds = v->seconds;
}

/* --- rows ------------------------------------------------------------------------------------- */

size_t result_count(void)
{
    return array_len(result_rows);
}

const char *result_name(size_t i)
{
    return result_rows[i].name;
}

double result_value(const struct result *r, size_t i)
{
    double value;

    memcpy(&value, (const char *)r + result_rows[i].offset, sizeof(value));
    return value;
}

void result_show(const struct result *r, size_t i, char out[RESULT_TEXT_MAX])
{
    double v = result_value(r, i);

    switch (result_rows[i].unit) {
    case SECONDS:
        if (v < 1)
            snprintf(out, RESULT_TEXT_MAX, "%.3g ms", v * 1e3);
        else
            snprintf(out, RESULT_TEXT_MAX, "%.4g s", v);
        break;
    case BYTES: snprintf(out, RESULT_TEXT_MAX, "%.1f MiB", v / 0x1p20); break;
    case HOURLY: snprintf(out, RESULT_TEXT_MAX, "%.2f MiB/h", v / 0x1p20); break;
    case RATE: snprintf(out, RESULT_TEXT_MAX, "%.0f /s", v); break;
    default: snprintf(out, RESULT_TEXT_MAX, "%.0f", v); break;
    }
}

void result_help(struct buf *out)
{
    buf_add_str(out, STR("\nfigures, for fail_if and in the JSON result:\n\n"));
    for (size_t i = 0; i < array_len(result_rows); i++)
        buf_printf(out, "  %-16s %s\n", result_rows[i].name, result_rows[i].help);
}

/* --- conditions ------------------------------------------------------------------------------- */

struct condition {
    size_t row;
    char op[3];
    double value;
};

static bool condition_value(const struct result_row *row, struct str text, double *value)
{
    uint64_t whole;
    char copy[64];
    char *end;

    str_to_cstr(text, copy, sizeof(copy));
    *value = strtod(copy, &end);
    if (*copy && *end == '\0')
        return isfinite(*value);
    if (row->unit == SECONDS && conf_time(text, &whole))
        *value = seconds_of(whole);
    else if ((row->unit == BYTES || row->unit == HOURLY) && conf_size(text, &whole))
        *value = (double)whole;
    else
        return false;
    return true;
}

/* Takes a condition apart; false when it is none. */
static bool condition_read(struct str text, struct condition *c)
{
    static const char *const ops[] = {">", ">=", "<", "<=", "==", "!="};
    size_t from = 0;
    size_t to;
    bool is_op = false;
    struct str name;

    while (from < text.n && strchr("<>=!", text.p[from]) == NULL)
        from++;
    for (to = from; to < text.n && strchr("<>=!", text.p[to]);)
        to++;
    name = str_trim(str_head(text, from));
    str_to_cstr(str_head(str_skip(text, from), to - from), c->op, sizeof(c->op));
    for (size_t i = 0; i < array_len(ops); i++)
        is_op = is_op || (to - from < sizeof(c->op) && strcmp(c->op, ops[i]) == 0);
    for (c->row = 0; c->row < array_len(result_rows); c->row++) {
        if (str_eq(name, str_of(result_rows[c->row].name)))
            return is_op &&
                   condition_value(&result_rows[c->row], str_trim(str_skip(text, to)), &c->value);
    }
    return false;
}

static bool condition_holds(const struct condition *c, double value)
{
    bool is_equal = value >= c->value && value <= c->value;

    switch (c->op[0]) {
    case '>': return value > c->value || (c->op[1] && is_equal);
    case '<': return value < c->value || (c->op[1] && is_equal);
    case '=': return is_equal;
    default: return !is_equal;
    }
}

err_t result_check_conditions(const char *conditions, struct fail *f)
{
    struct str rest = str_of(conditions);

    while (rest.n) {
        struct condition c;
        struct str text = str_trim(str_cut(&rest, '\n'));

        if (!condition_read(text, &c))
            return fail(f, ERR_SETTING,
                        "setting fail_if = \"%.*s\": want a figure of the result, one of > >= < <= "
                        "== !=, and a number, time or size, such as 'p99 > 5ms'",
                        STR_ARG(str_head(text, 80)));
    }
    return OK;
}

unsigned result_judge(const struct result *r, const char *conditions, struct buf *out)
{
    struct str rest = str_of(conditions);
    unsigned held = 0;

    while (rest.n) {
        struct condition c;
        struct str text = str_trim(str_cut(&rest, '\n'));
        char value[RESULT_TEXT_MAX];

        check(condition_read(text, &c));
        if (!condition_holds(&c, result_value(r, c.row)))
            continue;
        held++;
        result_show(r, c.row, value);
        buf_printf(out, "FAILED: %.*s (it is %s)\n", STR_ARG(text), value);
    }
    return held;
}
