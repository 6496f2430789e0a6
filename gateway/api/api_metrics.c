/*
 * api_metrics: /metrics, for Prometheus and whoever reads its formats.
 *
 * Every row of stats.def, and those of series.def, which are made here: nothing waits or touches the
 * database. Labels are bounded: routes are rows of routes.def, statuses and methods those of latency.h.
 *
 * MLflow's own exporter (prometheus_flask_exporter below `mlflow server --expose-prometheus`) counts requests
 * by method and status, all but /health, /version and /metrics; the same names, labels and bounds are
 * served here, so that dashboards made for a stock server go on. It does not count our own paths either.
 * Its exceptions are Python's: answers of 500 here. Its two series about OTLP are of calls that go to the
 * upstream, which has them itself.
 */
#include "gateway/api/api.h"

#include <stdio.h>

#include "base/process.h"
#include "gateway/http/conn.h"
#include "gateway/http/gzip.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/proxy/proxy_head.h"
#include "gateway/server.h"
#include "gateway/status/insight.h"
#include "gateway/status/latency.h"
#include "gateway/version.h"
#include "gateway/worker.h"
#include "ingest/queue.h"
#include "schema/exposition.h"

enum { LABELS_MAX = 192 };

/* Bits of hist_bounds_us: 5 ms to 10 s, which are the defaults of Prometheus' Python client. */
#define MLFLOW_BOUNDS ((uint64_t)0xfffc0)

/* One histogram for each route and class of status that has been answered. */
static void metrics_routes(struct server *sv, struct exposition *x)
{
    size_t count;
    const struct route *rows = route_rows(&count);
    struct worker *w;

    exposition_series(x, SERIES_request_seconds);
    for (unsigned i = 0; i <= count; i++) {
        for (unsigned digit = 1; digit <= 5; digit++) {
            struct hist_view h = {0};
            struct exemplar_view e = {0};
            char labels[LABELS_MAX];

            for (unsigned k = 0; (w = server_worker(sv, k)); k++)
                latency_sum_route(w->latency, i, digit, &h, &e);
            if (hist_count(&h) == 0)
                continue;
            snprintf(labels, sizeof(labels), "route=\"%s\",code=\"%uxx\"",
                     i < count ? rows[i].label : "other", digit);
            exposition_hist(x, labels, &h, &e, EXPOSITION_ALL_BOUNDS);
        }
    }
}

/* -- as MLflow's own exporter --------------------------------------------------------------------- */

struct answers {
    struct hist_view hist;
    struct exemplar_view traced;
};

static bool metrics_has_answer(struct server *sv, unsigned method, unsigned status)
{
    struct worker *w;

    for (unsigned k = 0; (w = server_worker(sv, k)); k++) {
        if (latency_has_answer(w->latency, method, status))
            return true;
    }
    return false;
}

static void metrics_add_answers(struct server *sv, unsigned method, unsigned status,
                                struct answers *a)
{
    size_t count;
    const struct route *rows = route_rows(&count);
    struct worker *w;

    for (unsigned i = 0; i <= count; i++) {
        if (i < count && rows[i].where == ON_EITHER)
            continue; /* probes and scrapes */
        for (unsigned k = 0; (w = server_worker(sv, k)); k++)
            latency_sum_answer(w->latency, i, method, status, &a->hist, &a->traced);
    }
}

/* Calls for each method and status that has been answered. */
static void metrics_each_answer(struct server *sv, struct exposition *x,
                                void (*each)(struct exposition *x, const char *labels,
                                             const struct answers *a, bool is_exception))
{
    for (unsigned m = 0; m < LATENCY_METHODS; m++) {
        for (unsigned s = 0; s < LATENCY_STATUSES; s++) {
            const char *status = latency_status_name(s);
            struct answers a;
            char labels[LABELS_MAX];

            if (!*status || !metrics_has_answer(sv, m, s))
                continue; /* nearly all of them */
            a = (struct answers){0};
            metrics_add_answers(sv, m, s, &a);
            if (hist_count(&a.hist) == 0)
                continue;
            snprintf(labels, sizeof(labels), "method=\"%s\",status=\"%s\"", latency_method_name(m),
                     status);
            each(x, labels, &a, str_eq(str_of(status), STR("500")));
        }
    }
}

static void metrics_duration(struct exposition *x, const char *labels, const struct answers *a,
                             bool is_exception)
{
    char all[LABELS_MAX * 2];

    (void)is_exception;
    snprintf(all, sizeof(all), "%s,mlflow_version=\"" MLFLOW_VERSION "\"", labels);
    exposition_hist(x, all, &a->hist, &a->traced, MLFLOW_BOUNDS);
}

static void metrics_answers(struct exposition *x, const char *labels, const struct answers *a,
                            bool is_exception)
{
    (void)is_exception;
    exposition_u64(x, labels, hist_count(&a->hist));
}

static void metrics_exceptions(struct exposition *x, const char *labels, const struct answers *a,
                               bool is_exception)
{
    if (is_exception)
        exposition_u64(x, labels, hist_count(&a->hist));
}

static void metrics_mlflow(struct server *sv, struct exposition *x)
{
    exposition_series(x, SERIES_mlflow_duration);
    metrics_each_answer(sv, x, metrics_duration);
    exposition_series(x, SERIES_mlflow_requests);
    metrics_each_answer(sv, x, metrics_answers);
    exposition_series(x, SERIES_mlflow_exceptions);
    metrics_each_answer(sv, x, metrics_exceptions);
    exposition_series(x, SERIES_mlflow_exporter);
    exposition_u64(x, "version=\"sluice " SLUICE_VERSION "\"", 1);
}

/* -- the rest ------------------------------------------------------------------------------------- */

static void metrics_u64(struct exposition *x, enum series series, uint64_t value)
{
    exposition_series(x, series);
    exposition_u64(x, "", value);
}

static void metrics_us(struct exposition *x, enum series series, uint64_t us)
{
    exposition_series(x, series);
    exposition_us(x, "", us);
}

static void metrics_server(struct req *r, struct exposition *x)
{
    struct server *sv = r->worker->server;
    const struct queue *q = server_queue(sv);
    struct buf why;

    metrics_u64(x, SERIES_backlog_points, queue_backlog_points(q));
    metrics_us(x, SERIES_backlog_seconds, queue_backlog_us(q));
    metrics_u64(x, SERIES_journal_max_bytes, r->worker->settings->journal_max_bytes);
    exposition_series(x, SERIES_build);
    exposition_u64(x, "version=\"" SLUICE_VERSION "\"", 1);
    buf_init(&why);
    metrics_u64(x, SERIES_ready, server_is_ready(sv, false, &why));
    buf_fini(&why);
}

/* Under the names that every exporter has. */
static void metrics_process(struct exposition *x)
{
    struct process p;

    process_look(&p);
    metrics_us(x, SERIES_process_cpu, p.cpu_us);
    metrics_u64(x, SERIES_process_resident, p.resident_bytes);
    metrics_u64(x, SERIES_process_virtual, p.virtual_bytes);
    metrics_us(x, SERIES_process_start, p.started_us);
    metrics_u64(x, SERIES_process_threads, p.threads);
    metrics_u64(x, SERIES_process_fds, p.open_fds);
    metrics_u64(x, SERIES_process_max_fds, p.max_fds);
}

static void metrics_all(struct req *r, bool is_open, struct buf *out)
{
    struct server *sv = r->worker->server;
    struct exposition x;
    struct stats_view v;

    server_stats(sv, &v);
    exposition_begin(&x, out, is_open);
    stats_expose(&v, &x);
    metrics_routes(sv, &x);
    metrics_mlflow(sv, &x);
    metrics_server(r, &x);
    metrics_process(&x);
    exposition_end(&x);
}

err_t api_metrics(struct req *r, struct fail *f)
{
    struct str head = http_head_text(r->conn->x->http);
    bool is_open = exposition_is_wanted(proxy_field(&r->arena, head, STR("accept")));
    struct buf text;
    err_t e = OK;

    if (!insight_admits(r, &e, f))
        return e;
    buf_init(&text);
    metrics_all(r, is_open, &text);
    buf_reset(&r->reply.body);
    reply_header(r, "vary", "Accept, Accept-Encoding");
    if (gzip_is_wanted(proxy_field(&r->arena, head, STR("accept-encoding")))) {
        reply_header(r, "content-encoding", "gzip");
        gzip_add(buf_str(&text), &r->reply.body);
    } else {
        buf_add_str(&r->reply.body, buf_str(&text));
    }
    buf_fini(&text);
    return reply_text(r, 200, exposition_type(is_open), buf_str(&r->reply.body));
}
