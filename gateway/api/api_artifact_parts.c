/*
 * api_artifact_parts: for clients that exchange large artifacts with S3 themselves: multipart uploads and
 * presigned URLs, which the server makes and never sees used.
 *
 * A store that has none of it (a local directory) answers 501 with the words by which MLflow's client
 * knows that it must send the bytes through the server.
 */
#include "gateway/api/api.h"

#include <stdlib.h>

#include "gateway/artifact/artifact_header.h"
#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/artifact_place.h"
#include "gateway/artifact/artifact_root.h"
#include "gateway/artifact/artifacts.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/say.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "ingest/bind.h"
#include "schema/errors.h"

enum {
    PARTS_MAX = 10000 /* S3's */,
    PRESIGNED_SECONDS = 300,
    UPLOAD_SECONDS = 900,
    SECONDS_MAX = 604800
};

/* Begins with the file that path names (its last part only) in the route's folder. */
static err_t begin(struct req *r, struct str path, struct fail *f)
{
    struct artifact_place at;
    err_t e = artifact_place_proxied(r, route_rest(r), &at, f);

    if (e)
        return e;
    if (at.ops->parts_create == NULL)
        return fail_str(f, ERR_NOT_IMPLEMENTED,
                        STR("Multipart upload is not supported for the current artifact"
                            " repository"));
    at.path = artifact_path_join(&r->arena, at.path, artifact_path_base(path));
    return artifact_begin(r, &at, f);
}

/* The route's path is judged before the body, as MLflow does. */
static err_t judge_path(struct req *r, struct fail *f)
{
    struct str path, sent = route_rest(r);

    return sent.n ? artifact_path_check(&r->arena, sent, &path, f) : ERR_NO_ENDPOINT;
}

/* -- create ------------------------------------------------------------------------------------- */

struct create_call {
    struct msg_parts_create m;
};

static err_t created(struct req *r, struct fail *f)
{
    const struct create_call *c = r->data;
    struct artifact_call *x = r->artifact;
    struct json j;

    (void)f;
    reply_json(r, &j);
    json_open(&j);
    json_pair_str(&j, "upload_id", x->upload_id);
    if (c->m.num_parts.v > 0) {
        json_key(&j, "credentials");
        json_open_list(&j);
    }
    for (int64_t i = 1; i <= c->m.num_parts.v; i++) {
        json_open(&j);
        json_pair_str(&j, "url", x->at.ops->parts_url(r, x->upload_id, i));
        json_pair_i64(&j, "part_number", i);
        json_close(&j);
    }
    if (c->m.num_parts.v > 0)
        json_close_list(&j);
    json_close(&j);
    return reply_ok(r);
}

err_t api_parts_create(struct req *r, struct fail *f)
{
    struct create_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    err_t e;

    if ((e = judge_path(r, f)) ||
        (e = bind_request(&r->arena, &r->input, &MSG_parts_create, &c->m, f)) ||
        (e = begin(r, c->m.path.s, f)))
        return e;
    if (c->m.num_parts.v > PARTS_MAX)
        return fail(f, ERR_BAD_PARAM, "num_parts must be at most %d", PARTS_MAX);
    return r->artifact->at.ops->parts_create(r, created);
}

/* -- complete, abort ---------------------------------------------------------------------------- */

static err_t done(struct req *r, struct fail *f)
{
    (void)f;
    return reply_empty(r);
}

err_t api_parts_complete(struct req *r, struct fail *f)
{
    struct msg_parts_complete m;
    struct artifact_part *parts;
    err_t e;

    if ((e = judge_path(r, f)) ||
        (e = bind_request(&r->arena, &r->input, &MSG_parts_complete, &m, f)) ||
        (e = begin(r, m.path.s, f)))
        return e;
    parts = arena_array(&r->arena, m.parts.n, sizeof(*parts));
    for (size_t i = 0; i < m.parts.n; i++)
        parts[i] = (struct artifact_part){m.parts.items[i].part_number.v, m.parts.items[i].etag.s};
    return r->artifact->at.ops->parts_complete(r, m.upload_id.s, parts, m.parts.n, done);
}

err_t api_parts_abort(struct req *r, struct fail *f)
{
    struct msg_parts_abort m;
    err_t e;

    if ((e = judge_path(r, f)) ||
        (e = bind_request(&r->arena, &r->input, &MSG_parts_abort, &m, f)) ||
        (e = begin(r, m.path.s, f)))
        return e;
    return r->artifact->at.ops->parts_abort(r, m.upload_id.s, done);
}

/* -- presigned downloads ------------------------------------------------------------------------ */

/* MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS */
static int64_t usual_seconds(void)
{
    int64_t seconds;

    return str_to_i64(str_of(getenv("MLFLOW_PRESIGNED_DOWNLOAD_URL_TTL_SECONDS")), &seconds)
               ? seconds
               : PRESIGNED_SECONDS;
}

static err_t presigned(struct req *r, struct fail *f)
{
    const struct artifact_call *x = r->artifact;
    struct json j;

    (void)f;
    reply_json_as(r, &j, JSON_LINE);
    json_open(&j);
    json_pair_str(&j, "url", x->url);
    json_key(&j, "headers");
    json_open(&j);
    json_close(&j);
    json_key(&j, "file_size");
    json_u64(&j, x->content.bytes);
    json_close(&j);
    return reply_ok(r);
}

err_t api_artifact_presigned(struct req *r, struct fail *f)
{
    struct artifact_place at;
    err_t e;

    if (route_rest(r).n == 0)
        return ERR_NO_ENDPOINT;
    if ((e = artifact_place_proxied(r, route_rest(r), &at, f)))
        return e;
    if (at.ops->presign_get == NULL)
        return fail_str(f, ERR_NOT_IMPLEMENTED,
                        STR("Multipart download is not supported for the current artifact"
                            " repository"));
    if ((e = artifact_begin(r, &at, f)))
        return e;
    return at.ops->presign_get(r, (uint64_t)usual_seconds(), presigned);
}

/* -- presigned URLs of runs and models ---------------------------------------------------------- */

struct presigned_call {
    struct str path; /* checked */
    struct str uri;
    int64_t seconds;
};

/* Is the location one that only a server reaches? Then the words stand around its scheme. */
static err_t refuse_proxied(struct req *r, struct str before, struct str behind, struct fail *f)
{
    struct presigned_call *c = r->data;
    struct str scheme;

    if (!artifact_place_is_proxied(&r->arena, c->uri, &scheme))
        return OK;
    return SAY(&r->arena, f, ERR_BAD_PARAM, before, STR(" (artifact URI scheme: "), scheme,
               STR("). This endpoint requires a "), behind);
}

static err_t begin_at(struct req *r, struct artifact_place *at, struct fail *f)
{
    struct presigned_call *c = r->data;

    return artifact_place_of(r, c->uri, c->path, false, at, f);
}

/* The only type that both sides can know: of the name. */
static struct str type_of(struct req *r, struct str path)
{
    const char *encoding;
    const char *type = artifact_header_guess(&r->arena, artifact_path_base(path), &encoding);

    return type ? str_of(type) : STR("application/octet-stream");
}

static err_t upload_presigned(struct req *r, struct fail *f)
{
    struct presigned_call *c = r->data;
    const struct s3_conf *conf = &server_artifacts(r->worker->server)->s3;
    struct json j;

    (void)f;
    reply_json(r, &j);
    json_open(&j);
    json_pair_str(&j, "presigned_url", r->artifact->url);
    json_key(&j, "headers");
    json_open(&j);
    json_pair_str(&j, "Content-Type", type_of(r, c->path));
    for (size_t i = 0; i < conf->upload_header_count; i++)
        json_pair_str(&j, conf->upload_headers[i].name.p, conf->upload_headers[i].value);
    json_close(&j);
    json_close(&j);
    return reply_ok(r);
}

static err_t upload_found(struct req *r, struct fail *f)
{
    struct presigned_call *c = r->data;
    struct artifact_place at;
    err_t e;

    if ((e = refuse_proxied(r,
                            STR("Presigned upload is not supported for proxied artifact storage"),
                            STR("direct cloud storage artifact URI."), f)) ||
        (e = begin_at(r, &at, f)))
        return e;
    if (at.ops->presign_put == NULL)
        return fail_str(f, ERR_NOT_IMPLEMENTED,
                        STR("Presigned upload is not supported for the current artifact"
                            " repository"));
    if ((e = artifact_begin(r, &at, f)))
        return e;
    return at.ops->presign_put(r, type_of(r, c->path), (uint64_t)c->seconds, upload_presigned);
}

err_t api_presigned_upload(struct req *r, struct fail *f)
{
    struct presigned_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct msg_presigned_upload m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_presigned_upload, &m, f)))
        return e;
    if ((m.run_id.s.n > 0) == (m.model_id.s.n > 0))
        return fail_str(f, ERR_BAD_PARAM,
                        STR("Exactly one of run_id and model_id must be provided."));
    if ((e = artifact_path_check(&r->arena, m.path.s, &c->path, f)))
        return e;
    c->seconds = m.expiration.is_set ? m.expiration.v : UPLOAD_SECONDS;
    if (m.run_id.s.n)
        return artifact_root_of_run(r, m.run_id.s, &c->uri, upload_found);
    return artifact_root_of_model(r, m.model_id.s, &c->uri, upload_found);
}

static err_t download_presigned(struct req *r, struct fail *f)
{
    const struct artifact_call *x = r->artifact;
    struct json j;

    (void)f;
    reply_json(r, &j);
    json_open(&j);
    json_pair_str(&j, "presigned_url", x->url);
    json_key(&j, "file_size");
    json_u64(&j, x->content.bytes);
    json_close(&j);
    return reply_ok(r);
}

static err_t download_found(struct req *r, struct fail *f)
{
    struct presigned_call *c = r->data;
    struct artifact_place at;
    err_t e;

    if ((e = refuse_proxied(
             r, STR("Presigned download is not supported for runs with proxied artifact storage"),
             STR("run with a direct cloud storage artifact URI."), f)) ||
        (e = begin_at(r, &at, f)))
        return e;
    if (at.ops->presign_get == NULL)
        return fail_str(f, ERR_NOT_IMPLEMENTED,
                        STR("Presigned download is not supported for the current artifact"
                            " repository"));
    if ((e = artifact_begin(r, &at, f)))
        return e;
    return at.ops->presign_get(r, (uint64_t)c->seconds, download_presigned);
}

err_t api_presigned_download(struct req *r, struct fail *f)
{
    struct presigned_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct msg_presigned_download m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_presigned_download, &m, f)) ||
        (e = artifact_path_check(&r->arena, m.path.s, &c->path, f)))
        return e;
    c->seconds = m.expiration.is_set ? m.expiration.v : usual_seconds();
    if (c->seconds < 1 || c->seconds > SECONDS_MAX)
        return fail(f, ERR_BAD_PARAM, "expiration must be between 1 and %d seconds (got %lld).",
                    SECONDS_MAX, (long long)c->seconds);
    return artifact_root_of_run(r, m.run_id.s, &c->uri, download_found);
}
