/*
 * api_admin: what operators, probes and scrapers ask. Nothing here waits or touches the database.
 *
 *   /health, /version, server-info   byte for byte as MLflow's
 *   /livez                           200 while the loop turns
 *   /readyz                          200, or 503 with the reasons; ?verbose lists every check
 *   /sluice/status, /sluice/api/v1/status   the same figures for people and for programs
 */
#include <stdio.h>
#include <string.h>

#include "base/process.h"
#include "gateway/api.h"
#include "gateway/artifacts.h"
#include "gateway/reply.h"
#include "gateway/route.h"
#include "gateway/say.h"
#include "gateway/server.h"
#include "gateway/version.h"
#include "gateway/worker.h"

#define TEXT_PLAIN "text/plain; charset=utf-8"

err_t api_health(struct req *r, struct fail *f)
{
    (void)f;
    return reply_text(r, 200, TEXT_PLAIN, STR("OK"));
}

err_t api_version(struct req *r, struct fail *f)
{
    (void)f;
    return reply_text(r, 200, "text/html; charset=utf-8", STR(MLFLOW_VERSION));
}

err_t api_server_info(struct req *r, struct fail *f)
{
    const struct settings *s = r->worker->settings;
    bool is_s3 = server_artifacts(r->worker->server)->destination.ops == &artifact_store_s3;
    struct str is_direct =
        s->serve_artifacts && s->artifact_direct && is_s3 ? STR("true") : STR("false");

    struct str has_workspaces = s->enable_workspaces ? STR("true") : STR("false");

    (void)f;
    return reply_text(
        r, 200, "application/json",
        SAY_TEXT(&r->arena, STR("{\"store_type\":\"SqlStore\",\"workspaces_enabled\":"),
                 has_workspaces,
                 STR(",\"trace_archival_enabled\":false,\"multipart_uploads_enabled\":"), is_direct,
                 STR(",\"multipart_downloads_enabled\":"), is_direct,
                 STR(",\""
                     "presigned_upload_run_id_supported\":true,"
                     "\"presigned_upload_model_id_supported\":true,"
                     "\"features_enabled\":{\"gateway\":true}}")));
}

err_t api_livez(struct req *r, struct fail *f)
{
    (void)f;
    return reply_text(r, 200, TEXT_PLAIN, STR("ok\n"));
}

err_t api_readyz(struct req *r, struct fail *f)
{
    bool is_verbose = str_starts(r->head->query, STR("verbose"));
    bool is_ready;

    (void)f;
    buf_reset(&r->reply.body);
    is_ready = server_is_ready(r->worker->server, is_verbose, &r->reply.body);
    if (is_ready)
        buf_add_str(&r->reply.body, is_verbose ? STR("readyz check passed\n") : STR("ok\n"));
    else if (is_verbose)
        buf_add_str(&r->reply.body, STR("readyz check failed\n"));
    return reply_text(r, is_ready ? 200 : 503, TEXT_PLAIN, buf_str(&r->reply.body));
}

/* -- status ------------------------------------------------------------------------------------ */

static void admin_pair_double(struct json *j, const char *key, double value)
{
    json_key(j, key);
    json_double(j, value);
}

/* A quantile in milliseconds. */
static void admin_pair_ms(struct json *j, const char *key, const struct hist_view *h, double q)
{
    admin_pair_double(j, key, (double)hist_quantile(h, q) / 1000);
}

static void admin_status_times(struct json *j, const struct stats_view *v)
{
    json_key(j, "milliseconds");
    json_open(j);
    admin_pair_ms(j, "ack_p50", &v->ack, 0.5);
    admin_pair_ms(j, "ack_p99", &v->ack, 0.99);
    admin_pair_ms(j, "fsync_p50", &v->fsync, 0.5);
    admin_pair_ms(j, "fsync_p99", &v->fsync, 0.99);
    admin_pair_ms(j, "flush_p50", &v->flush, 0.5);
    admin_pair_ms(j, "flush_p99", &v->flush, 0.99);
    admin_pair_ms(j, "sql_p99", &v->sql_wait, 0.99);
    json_close(j);
}

static void admin_status_counts(struct json *j, const struct stats_view *v, const struct queue *q)
{
    json_pair_i64(j, "requests", (int64_t)v->requests);
    json_pair_i64(j, "open_connections", (int64_t)v->open_connections);
    json_pair_i64(j, "parked_requests", (int64_t)v->parked_requests);
    json_pair_i64(j, "refused_busy", (int64_t)v->refused_busy);
    json_pair_i64(j, "accepted_points", (int64_t)v->accepted_points);
    json_pair_i64(j, "applied_points", (int64_t)v->applied_points);
    json_pair_i64(j, "repeated_points", (int64_t)v->repeated_points);
    json_pair_i64(j, "deadletter_points", (int64_t)v->deadletter_points);
    json_pair_i64(j, "backlog_points", (int64_t)queue_backlog_points(q));
    admin_pair_double(j, "backlog_seconds", (double)queue_backlog_us(q) / 1e6);
    json_pair_i64(j, "journal_segments", (int64_t)v->journal_segments);
    json_pair_i64(j, "journal_bytes", (int64_t)v->journal_disk_bytes);
    json_pair_i64(j, "journal_failures", (int64_t)v->journal_failures);
    json_pair_i64(j, "flushers_connected", (int64_t)v->flusher_connected);
}

err_t api_status_json(struct req *r, struct fail *f)
{
    struct server *sv = r->worker->server;
    struct stats_view v;
    struct process p;
    struct buf why;
    struct json j;
    bool is_ready;

    (void)f;
    server_stats(sv, &v);
    process_look(&p);
    buf_init(&why);
    is_ready = server_is_ready(sv, true, &why);
    reply_json(r, &j);
    json_open(&j);
    json_pair_str(&j, "version", str_of(SLUICE_VERSION));
    json_key(&j, "ready");
    json_bool(&j, is_ready);
    json_pair_str(&j, "checks", str_trim(buf_str(&why)));
    admin_pair_double(&j, "uptime_seconds", (double)server_uptime_us(sv) / 1e6);
    json_pair_i64(&j, "resident_bytes", (int64_t)p.resident_bytes);
    admin_status_counts(&j, &v, server_queue(sv));
    admin_status_times(&j, &v);
    json_close(&j);
    buf_fini(&why);
    return reply_ok(r);
}

/* Nothing is fetched from elsewhere; the figures come from the JSON beside it. */
static const struct str status_page = STR_INIT(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Sluice</title>\n"
    "<style>body{font:15px/1.5 system-ui,sans-serif;max-width:42em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}td{padding:.15em .5em;border-bottom:1px solid #ddd}"
    "td+td{text-align:right;font-variant-numeric:tabular-nums}pre{background:#f4f4f4;padding:.5em}"
    "</style>\n<h1>Sluice</h1>\n<pre id=\"checks\">loading</pre>\n<table id=\"figures\"></table>\n"
    "<script>\n"
    "let last = null;\n"
    "function row(name, value) { const tr = document.createElement('tr');\n"
    "  for (const text of [name, value]) { const td = document.createElement('td');\n"
    "    td.textContent = text; tr.append(td); } return tr; }\n"
    "async function look() {\n"
    "  try {\n"
    "    const s = await (await fetch('api/v1/status', {cache: 'no-store'})).json();\n"
    "    const now = performance.now() / 1000, rows = [];\n"
    "    for (const [name, value] of Object.entries({...s, ...s.milliseconds})) {\n"
    "      if (name === 'checks' || typeof value === 'object') continue;\n"
    "      const unit = s.milliseconds && name in s.milliseconds ? ' ms' : '';\n"
    "      let text = (typeof value === 'number' ? value.toLocaleString() : value) + unit;\n"
    "      if (last && /^(requests|accepted_points|applied_points)$/.test(name))\n"
    "        text += ' (' + Math.round((value - last.s[name]) / (now - last.now)).toLocaleString()"
    " + '/s)';\n"
    "      rows.push(row(name.replaceAll('_', ' '), text));\n"
    "    }\n"
    "    document.getElementById('checks').textContent = s.checks;\n"
    "    document.getElementById('figures').replaceChildren(...rows);\n"
    "    last = {s, now};\n"
    "  } catch (e) { document.getElementById('checks').textContent = 'no answer: ' + e; }\n"
    "}\n"
    "look(); setInterval(look, 2000);\n"
    "</script>\n");

err_t api_status(struct req *r, struct fail *f)
{
    (void)f;
    return reply_text(r, 200, "text/html; charset=utf-8", status_page);
}
