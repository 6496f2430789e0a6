/*
 * api_status: /sluice/status, the page, and the JSON that it draws.
 *
 *   /sluice/status               status.html; it fetches nothing but what follows
 *   /sluice/api/v1/status        health, figures, curves, flushers, the busiest runs; ?since=N leaves out
 *                                the beats of the curves up to number N. Nothing waits or touches the
 *                                database: it answers when that does not
 *   /sluice/api/v1/status/names  what those runs and experiments are called, from PostgreSQL
 *
 * Whoever asks for the JSON looks, so for half a minute each worker counts who sends most (top.h).
 */
#include "gateway/api/api.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/process.h"
#include "gateway/auth/scope.h"
#include "gateway/http/conn.h"
#include "gateway/http/reply.h"
#include "gateway/server.h"
#include "gateway/status/insight.h"
#include "gateway/status/pulse.h"
#include "gateway/status/status_page.h"
#include "gateway/status/top.h"
#include "gateway/version.h"
#include "gateway/worker.h"
#include "ingest/queue.h"
#include "ingest/queue_share.h"

enum { WORKERS_SEEN = 256 };

static void pair_double(struct json *j, const char *key, double value)
{
    json_key(j, key);
    json_double(j, value);
}

/* -- the busiest ---------------------------------------------------------------------------------- */

static void status_top(struct req *r, struct top_list *out, bool is_watched)
{
    struct top *tops[WORKERS_SEEN];
    struct worker *w;
    unsigned n = 0;

    while (n < WORKERS_SEEN && (w = server_worker(r->worker->server, n))) {
        tops[n++] = &w->top;
        if (is_watched)
            top_watch(&w->top, r->worker->now_us);
    }
    top_gather(tops, n, r->worker->now_us, out);
}

static void write_rows(struct json *j, const char *name, const struct top_row *rows, unsigned n)
{
    json_key(j, name);
    json_open_list(j);
    for (unsigned i = 0; i < n; i++) {
        json_open(j);
        if (rows[i].run.n)
            json_pair_str(j, "run_id", run_id_str(&rows[i].run));
        json_pair_i64(j, "experiment_id", rows[i].experiment);
        json_pair_i64(j, "points_per_second", (int64_t)(rows[i].rate + 0.5));
        json_pair_i64(j, "at_least", (int64_t)(rows[i].rate - rows[i].excess + 0.5));
        json_close(j);
    }
    json_close_list(j);
}

static void write_top(struct req *r, struct json *j)
{
    struct top_list top = {0};

    status_top(r, &top, true);
    json_key(j, "top");
    json_open(j);
    write_rows(j, "runs", top.runs, top.run_count);
    write_rows(j, "experiments", top.experiments, top.experiment_count);
    json_close(j);
}

/* -- health --------------------------------------------------------------------------------------- */

static void write_check(struct json *j, const char *name, const char *state, const char *words)
{
    json_open(j);
    json_pair_str(j, "name", str_of(name));
    json_pair_str(j, "state", str_of(state));
    json_pair_str(j, "words", str_of(words));
    json_close(j);
}

static const char *check_state(enum server_check_state state)
{
    switch (state) {
    case CHECK_GOOD: return "good";
    case CHECK_WARN: return "warn";
    case CHECK_BAD: return "bad";
    default: return "off";
    }
}

static void write_health(struct req *r, const struct stats_view *v, struct json *j)
{
    struct server_check checks[SERVER_CHECKS];
    unsigned n = server_checks(r->worker->server, checks);

    json_key(j, "health");
    json_open_list(j);
    for (unsigned i = 0; i < n; i++)
        write_check(j, checks[i].name, check_state(checks[i].state), checks[i].words);
    if (r->worker->settings->upstream[0] == '\0')
        write_check(j, "upstream", "off", "not configured");
    else if (v->upstream_given_up)
        write_check(j, "upstream", "bad", "failed again and again: not asked for a moment");
    else
        write_check(j, "upstream", "good", "");
    if (v->deadletter_held)
        write_check(j, "dead letters", "bad", "cannot be written: a flusher holds");
    else if (v->deadletter_points)
        write_check(j, "dead letters", "warn",
                    "PostgreSQL has refused points: sluice deadletter ls");
    else
        write_check(j, "dead letters", "good", "");
    json_close_list(j);
}

/* -- figures -------------------------------------------------------------------------------------- */

static void pair_ms(struct json *j, const char *key, const struct hist_view *h, double q)
{
    pair_double(j, key, (double)hist_quantile(h, q) / 1000);
}

/* Since the start; those of each second are in the curves. */
static void write_times(struct json *j, const struct stats_view *v)
{
    json_key(j, "milliseconds");
    json_open(j);
    pair_ms(j, "ack_p50", &v->ack, 0.5);
    pair_ms(j, "ack_p99", &v->ack, 0.99);
    pair_ms(j, "fsync_p50", &v->fsync, 0.5);
    pair_ms(j, "fsync_p99", &v->fsync, 0.99);
    pair_ms(j, "flush_p50", &v->flush, 0.5);
    pair_ms(j, "flush_p99", &v->flush, 0.99);
    pair_ms(j, "sql_p99", &v->sql_wait, 0.99);
    json_close(j);
}

static void write_counts(struct req *r, const struct stats_view *v, struct json *j)
{
    const struct queue *q = server_queue(r->worker->server);
    const struct settings *s = r->worker->settings;

    json_pair_i64(j, "requests", (int64_t)v->requests);
    json_pair_i64(j, "open_connections", (int64_t)v->open_connections);
    json_pair_i64(j, "max_connections", (int64_t)s->max_connections);
    json_pair_i64(j, "parked_requests", (int64_t)v->parked_requests);
    json_pair_i64(j, "refused_busy", (int64_t)v->refused_busy);
    json_pair_i64(j, "refused_rate", (int64_t)v->refused_rate);
    json_pair_i64(j, "lost_batches", (int64_t)v->lost_batches);
    json_pair_i64(j, "accepted_points", (int64_t)v->accepted_points);
    json_pair_i64(j, "applied_points", (int64_t)v->applied_points);
    json_pair_i64(j, "repeated_points", (int64_t)v->repeated_points);
    json_pair_i64(j, "deadletter_points", (int64_t)v->deadletter_points);
    json_pair_i64(j, "backlog_points", (int64_t)queue_backlog_points(q));
    pair_double(j, "backlog_seconds", (double)queue_backlog_us(q) / 1e6);
    json_pair_i64(j, "journal_segments", (int64_t)v->journal_segments);
    json_pair_i64(j, "journal_bytes", (int64_t)v->journal_disk_bytes);
    json_pair_i64(j, "journal_max_bytes", (int64_t)s->journal_max_bytes);
    json_pair_i64(j, "journal_failures", (int64_t)v->journal_failures);
    json_pair_i64(j, "kafka_partitions", (int64_t)v->kafka_partitions);
    json_pair_i64(j, "kafka_failures", (int64_t)v->kafka_failures);
    json_pair_i64(j, "flushers_connected", (int64_t)v->flusher_connected);
    json_pair_i64(j, "sql_connections", (int64_t)v->sql_connections);
    json_pair_i64(j, "sql_busy", (int64_t)v->sql_busy);
    json_pair_i64(j, "sql_waiting", (int64_t)v->sql_waiting);
    json_pair_i64(j, "held_bytes", (int64_t)v->held_bytes);
    json_pair_i64(j, "body_memory_bytes", (int64_t)s->body_memory_bytes);
}

static void write_flushers(struct req *r, struct json *j)
{
    struct stats_view v;

    json_key(j, "flushers");
    json_open_list(j);
    for (unsigned i = 0; server_flusher_stats(r->worker->server, i, &v); i++) {
        const char *state = v.deadletter_held     ? "held: dead letters"
                            : v.flusher_held      ? "held"
                            : v.flusher_connected ? "connected"
                                                  : "connecting";

        json_open(j);
        json_pair_str(j, "state", str_of(state));
        json_pair_i64(j, "windows", (int64_t)v.windows);
        json_pair_i64(j, "windows_staged", (int64_t)v.windows_staged);
        json_pair_i64(j, "window_retries", (int64_t)v.window_retries);
        json_pair_i64(j, "applied_points", (int64_t)v.applied_points);
        pair_ms(j, "flush_p50", &v.flush, 0.5);
        pair_ms(j, "flush_p99", &v.flush, 0.99);
        json_close(j);
    }
    json_close_list(j);
}

static void write_process(struct json *j)
{
    struct process p;

    process_look(&p);
    json_pair_i64(j, "resident_bytes", (int64_t)p.resident_bytes);
    pair_double(j, "cpu_seconds", (double)p.cpu_us / 1e6);
    json_pair_i64(j, "threads", (int64_t)p.threads);
    json_pair_i64(j, "open_fds", (int64_t)p.open_fds);
    json_pair_i64(j, "max_fds", (int64_t)p.max_fds);
}

/* The number behind "since=" in the query; 0 when there is none. */
static uint64_t status_since(const struct req *r)
{
    struct str query = r->head->query;

    while (query.n) {
        struct str pair = str_cut(&query, '&');
        char text[24];

        if (!str_starts(pair, STR("since=")))
            continue;
        str_to_cstr(str_skip(pair, 6), text, sizeof(text));
        return strtoull(text, NULL, 10);
    }
    return 0;
}

err_t api_status_json(struct req *r, struct fail *f)
{
    struct server *sv = r->worker->server;
    struct stats_view v;
    struct buf why;
    struct json j;
    bool is_ready;
    err_t e = OK;

    if (!insight_admits(r, &e, f))
        return e;
    server_stats(sv, &v);
    buf_init(&why);
    is_ready = server_is_ready(sv, true, &why);
    reply_json_as(r, &j, JSON_COMPACT);
    json_open(&j);
    json_pair_str(&j, "version", str_of(SLUICE_VERSION));
    json_pair_str(&j, "mlflow_version", str_of(MLFLOW_VERSION));
    json_key(&j, "ready");
    json_bool(&j, is_ready);
    json_pair_str(&j, "checks", str_trim(buf_str(&why)));
    json_pair_str(&j, "queue", str_of(queue_kind(server_queue(sv))));
    json_pair_i64(&j, "now_ms", clock_wall_ms());
    pair_double(&j, "uptime_seconds", (double)server_uptime_us(sv) / 1e6);
    write_health(r, &v, &j);
    write_process(&j);
    write_counts(r, &v, &j);
    write_times(&j, &v);
    write_flushers(r, &j);
    write_top(r, &j);
    json_key(&j, "pulse");
    pulse_json(server_pulse(sv), status_since(r), &j);
    json_close(&j);
    buf_fini(&why);
    reply_header(r, "cache-control", "no-store");
    return reply_ok(r);
}

/* -- names ---------------------------------------------------------------------------------------- */

/* Of every workspace: who may ask looks at all of the server. */
static const struct stmt NAMES = {
    "status_names",
    "SELECT 'runs', run_uuid, name FROM runs WHERE run_uuid = ANY($1::text[])" SCOPE_FOUND
    " UNION ALL SELECT 'experiments', experiment_id::text, name FROM experiments"
    " WHERE experiment_id = ANY($2::int4[])" SCOPE_FOUND};

static err_t names_answer(struct req *r, struct fail *f)
{
    static const char *const kinds[] = {"runs", "experiments"};
    const PGresult *res = r->sql.results[0];
    struct json j;

    (void)f;
    reply_json_as(r, &j, JSON_COMPACT);
    json_open(&j);
    for (size_t k = 0; k < array_len(kinds); k++) {
        json_key(&j, kinds[k]);
        json_open(&j);
        for (int i = 0; i < PQntuples(res); i++) {
            if (!str_eq(sql_get(res, i, 0), str_of(kinds[k])))
                continue;
            json_key_str(&j, sql_get(res, i, 1));
            json_str(&j, sql_get(res, i, 2));
        }
        json_close(&j);
    }
    json_close(&j);
    reply_header(r, "cache-control", "no-store");
    return reply_ok(r);
}

err_t api_status_names(struct req *r, struct fail *f)
{
    struct str runs[TOP_SHOWN], *values = arena_array(&r->arena, 2, sizeof(*values));
    struct top_list *top = arena_zalloc(&r->arena, sizeof(*top));
    int64_t experiments[2 * TOP_SHOWN];
    size_t n = 0;
    err_t e = OK;

    if (!insight_admits(r, &e, f))
        return e;
    status_top(r, top, false);
    for (unsigned i = 0; i < top->run_count; i++) {
        runs[i] = run_id_str(&top->runs[i].run);
        experiments[n++] = top->runs[i].experiment;
    }
    for (unsigned i = 0; i < top->experiment_count; i++)
        experiments[n++] = top->experiments[i].experiment;
    values[0] = sql_text_array(&r->arena, runs, top->run_count);
    values[1] = sql_i64_array(&r->arena, experiments, n);
    return req_sql(r, &(struct sql_step){&NAMES, values, 2}, 1, names_answer);
}

/* -- the page ------------------------------------------------------------------------------------- */

err_t api_status(struct req *r, struct fail *f)
{
    err_t e = OK;

    if (!insight_admits(r, &e, f))
        return e;
    reply_header(r, "content-security-policy", "%s", status_page_policy());
    reply_header(r, "referrer-policy", "no-referrer");
    reply_header(r, "cache-control", "no-cache");
    return reply_text(r, 200, "text/html; charset=utf-8", status_page());
}
