/*
 * artifact_mode: MLflow's three modes.
 *
 *   serve_artifacts        everything is on
 *   without it             the mlflow-artifacts API is off
 *   artifacts_only         only that API is on, and what tells how the server is
 *
 * Who asks for what is off is told the rule of the route as Flask writes it, but for uploads and
 * downloads, which FastAPI answers.
 */
#include "gateway/artifact/artifact_mode.h"

#include <string.h>

#include "base/buf.h"
#include "gateway/artifact/artifact_answer.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/worker.h"

#define HTML "text/html; charset=utf-8"

static bool is_artifacts(struct str path)
{
    return str_starts(path, STR("/api/2.0/mlflow-artifacts/"));
}

static bool is_tracking(struct str path)
{
    return str_starts(path, STR("/api/2.0/mlflow/")) ||
           str_starts(path, STR("/ajax-api/2.0/mlflow/")) || str_eq(path, STR("/get-artifact")) ||
           str_eq(path, STR("/ajax-api/3.0/mlflow/get-trace-artifact")) ||
           str_eq(path, STR("/model-versions/get-artifact")) ||
           str_eq(path, STR("/sluice/api/v1/log-batches"));
}

/* "/prefix/ajax-api/2.0/x/<path:rest>" of the row "/api/2.0/x/{rest*}". */
static void add_rule(struct req *r, struct buf *out)
{
    struct str prefix = str_of(r->worker->settings->static_prefix);
    struct str path = str_of(r->route->path), part;

    buf_add_str(out, prefix);
    if (r->route->has_ajax && str_starts(str_skip(r->head->path, prefix.n), STR("/ajax-api/"))) {
        buf_add_str(out, STR("/ajax-api"));
        path = str_skip(path, strlen("/api"));
    }
    while (path.n) {
        size_t at = str_find(path, '{');

        buf_add_str(out, str_head(path, at));
        path = str_skip(path, at);
        if (path.n == 0)
            break;
        part = str_skip(str_cut(&path, '}'), 1);
        if (str_ends(part, STR("*")))
            buf_printf(out, "<path:%.*s>", (int)part.n - 1, part.p);
        else
            buf_printf(out, "<%.*s>", STR_ARG(part));
    }
}

static void refuse(struct req *r, struct str why)
{
    struct buf *out = &r->reply.body;

    buf_reset(out);
    buf_add_str(out, STR("Endpoint: "));
    add_rule(r, out);
    buf_add_str(out, why);
    (void)reply_text(r, 503, HTML, buf_str(out));
}

bool artifact_mode_admits(struct req *r)
{
    const struct settings *s = r->worker->settings;
    struct str path = str_of(r->route->path);
    bool is_native = str_ends(path, STR("/artifacts/{artifact_path*}")) &&
                     (r->route->methods & (HTTP_M_GET | HTTP_M_PUT)) != 0;

    if (s->artifacts_only && is_tracking(path)) {
        refuse(r, STR(" disabled due to the mlflow server running in `--artifacts-only` mode. To"
                      " enable tracking server functionality, run `mlflow server` without"
                      " `--artifacts-only`"));
        return false;
    }
    if (s->serve_artifacts || !is_artifacts(path))
        return true;
    if (is_native)
        (void)artifact_answer_detail(r, 503,
                                     STR("Artifact serving is disabled. Run `mlflow server` with"
                                         " `--serve-artifacts` to enable."));
    else
        refuse(r, STR(" disabled due to the mlflow server running with `--no-serve-artifacts`. To"
                      " enable artifacts server functionality, run `mlflow server` with"
                      " `--serve-artifacts`"));
    return false;
}
