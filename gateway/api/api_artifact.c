/*
 * api_artifact: the mlflow-artifacts API, by which clients store and fetch artifacts through the server.
 *
 * MLflow's uploads and downloads are answered by its FastAPI router, the rest by Flask, and what they
 * say when they refuse differs; so it does here.
 */
#include "gateway/api/api.h"

#include "gateway/artifact/artifact_answer.h"
#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/artifact_place.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "ingest/bind.h"
#include "schema/errors.h"

/* Begins with a place of the destination; artifact_path as sent. */
static err_t begin(struct req *r, struct str sent, struct fail *f)
{
    struct artifact_place at;
    err_t e = artifact_place_proxied(r, sent, &at, f);

    return e ? e : artifact_begin(r, &at, f);
}

/* -- list --------------------------------------------------------------------------------------- */

static err_t listed(struct req *r, struct fail *f)
{
    struct json j;

    (void)f;
    reply_json(r, &j);
    json_open(&j);
    artifact_answer_files(r, &j, STR(""));
    json_close(&j);
    return reply_ok(r);
}

err_t api_artifact_list(struct req *r, struct fail *f)
{
    struct msg_artifacts_list m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_artifacts_list, &m, f)) ||
        (e = begin(r, m.path.s, f)))
        return e;
    return r->artifact->at.ops->list(r, listed);
}

/* -- download, upload, delete ------------------------------------------------------------------- */

err_t api_artifact_download(struct req *r, struct fail *f)
{
    err_t e = begin(r, route_rest(r), f);

    return e ? e : artifact_answer(r, STYLE_NATIVE);
}

static err_t uploaded(struct req *r, struct fail *f)
{
    (void)f;
    return reply_text(r, 200, NULL, STR(""));
}

err_t api_artifact_upload(struct req *r, struct fail *f)
{
    err_t e = begin(r, route_rest(r), f);

    if (e)
        return e;
    if (route_rest(r).n == 0 || artifact_path_base(r->artifact->at.path).n == 0)
        return artifact_answer_detail(
            r, 400, STR("Artifact path must include a filename (cannot end with '/')."));
    return artifact_receive(r, UINT64_MAX, uploaded);
}

static err_t removed(struct req *r, struct fail *f)
{
    (void)f;
    return reply_empty(r);
}

err_t api_artifact_delete(struct req *r, struct fail *f)
{
    struct str sent = route_rest(r), path;
    err_t e;

    if (sent.n == 0)
        return ERR_NO_ENDPOINT;
    if ((e = artifact_path_check(&r->arena, sent, &path, f)))
        return e;
    if (artifact_path_norm(&r->arena, path).n == 0)
        return fail_str(f, ERR_BAD_PARAM, STR("Invalid path")); /* not all there is */
    if ((e = begin(r, sent, f)))
        return e;
    return r->artifact->at.ops->remove(r, removed);
}
