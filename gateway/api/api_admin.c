/*
 * api_admin: what probes ask. Nothing here waits or touches the database.
 *
 *   /health, /version, server-info   byte for byte as MLflow's
 *   /livez                           200 while the loop turns
 *   /readyz                          200, or 503 with the reasons; ?verbose lists every check
 */
#include "gateway/api/api.h"
#include "gateway/artifact/artifacts.h"
#include "gateway/http/reply.h"
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
