/*
 * api_artifact_run: artifacts of runs, logged models and versions of registered models, by their ids: what
 * the pages ask, and clients whose runs are not served through the mlflow-artifacts API.
 *
 *   path checked > location of the run (PostgreSQL) > its store (artifact_place.h) > list or bytes
 *
 * Paths are relative to the run's location, in the request and in the answer.
 */
#include "gateway/api/api.h"

#include "gateway/artifact/artifact_answer.h"
#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/artifact_place.h"
#include "gateway/artifact/artifact_root.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/req_body.h"
#include "gateway/say.h"
#include "ingest/admit.h"
#include "ingest/bind.h"
#include "schema/errors.h"

enum { UPLOAD_MAX = 10 << 20 };

struct run_call {
    struct str path; /* checked */
    bool is_bare;    /* no path was given */
    struct str uri;  /* where the artifacts of the run are */
};

static err_t open_place(struct req *r, struct fail *f)
{
    const struct run_call *c = r->data;
    struct artifact_place at;
    err_t e = artifact_place_of(r, c->uri, c->path, c->is_bare, &at, f);

    return e ? e : artifact_begin(r, &at, f);
}

/* -- lists -------------------------------------------------------------------------------------- */

static err_t listed(struct req *r, struct fail *f)
{
    const struct run_call *c = r->data;
    struct json j;

    (void)f;
    reply_json(r, &j);
    json_open(&j);
    json_pair_str(&j, "root_uri", c->uri);
    artifact_answer_files(r, &j, c->path);
    json_close(&j);
    return reply_ok(r);
}

static err_t list_found(struct req *r, struct fail *f)
{
    err_t e = open_place(r, f);

    return e ? e : r->artifact->at.ops->list(r, listed);
}

static err_t list_path(struct run_call *c, struct arena *a, const struct opt_str *path,
                       struct fail *f)
{
    c->is_bare = !path->is_set;
    return artifact_path_check(a, path->s, &c->path, f);
}

err_t api_run_artifact_list(struct req *r, struct fail *f)
{
    struct run_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct msg_run_artifacts m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_run_artifacts, &m, f)) ||
        (e = list_path(c, &r->arena, &m.path, f)))
        return e;
    return artifact_root_of_run(r, m.run_id.s.n ? m.run_id.s : m.run_uuid.s, &c->uri, list_found);
}

err_t api_model_artifact_list(struct req *r, struct fail *f)
{
    struct run_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct msg_model_artifacts m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_model_artifacts, &m, f)) ||
        (e = list_path(c, &r->arena, &m.artifact_directory_path, f)))
        return e;
    return artifact_root_of_model(r, route_arg(r, "model_id"), &c->uri, list_found);
}

/* -- bytes -------------------------------------------------------------------------------------- */

static err_t get_found(struct req *r, struct fail *f)
{
    err_t e = open_place(r, f);

    return e ? e : artifact_answer(r, STYLE_FLASK);
}

/* The path that the query must have. */
static err_t take_path(struct req *r, const struct opt_str *path, struct fail *f)
{
    struct run_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));

    if (!path->is_set)
        return fail_str(f, ERR_BAD_REQUEST, STR("The query must have a path."));
    return artifact_path_check(&r->arena, path->s, &c->path, f);
}

static err_t take_query(struct req *r, struct msg_artifact_query *m, struct fail *f)
{
    err_t e = bind_request(&r->arena, &r->input, &MSG_artifact_query, m, f);

    return e ? e : take_path(r, &m->path, f);
}

err_t api_run_artifact_get(struct req *r, struct fail *f)
{
    struct msg_artifact_query m;
    struct run_call *c;
    err_t e;

    if ((e = take_query(r, &m, f)))
        return e;
    c = r->data;
    if (m.run_id.s.n == 0 && m.run_uuid.s.n == 0)
        return admit_no_run(STR("None"), f);
    return artifact_root_of_run(r, m.run_id.s.n ? m.run_id.s : m.run_uuid.s, &c->uri, get_found);
}

err_t api_version_artifact_get(struct req *r, struct fail *f)
{
    struct msg_artifact_query m;
    struct run_call *c;
    err_t e;

    if ((e = take_query(r, &m, f)))
        return e;
    c = r->data;
    return artifact_root_of_version(r, m.name.s, m.version.s, &c->uri, get_found);
}

err_t api_model_artifact_get(struct req *r, struct fail *f)
{
    struct msg_artifact_query m;
    struct run_call *c;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_artifact_query, &m, f)))
        return e;
    if (m.artifact_file_path.s.n == 0)
        return fail_str(f, ERR_BAD_REQUEST,
                        STR("Request must include the \"artifact_file_path\" query parameter."));
    if ((e = take_path(r, &m.artifact_file_path, f)))
        return e;
    c = r->data;
    return artifact_root_of_model(r, route_arg(r, "model_id"), &c->uri, get_found);
}

/* -- upload-artifact ---------------------------------------------------------------------------- */

static err_t put_done(struct req *r, struct fail *f)
{
    (void)f;
    return reply_text(r, 200, "application/json", STR(""));
}

static err_t put_found(struct req *r, struct fail *f)
{
    err_t e = open_place(r, f);

    return e ? e : artifact_receive(r, UPLOAD_MAX, put_done);
}

/* Flask takes the body of a form apart, and then there is no data. */
static bool is_form(const struct req *r)
{
    struct str type = r->head->content_type;

    type = str_trim(str_head(type, str_find(type, ';')));
    return str_ieq(type, STR("application/x-www-form-urlencoded")) ||
           str_ieq(type, STR("multipart/form-data"));
}

static err_t judge_upload(struct req *r, const struct msg_artifact_query *m, struct fail *f)
{
    err_t e;

    if (m->run_uuid.s.n == 0)
        return fail_str(f, ERR_BAD_PARAM, STR("Request must specify run_uuid."));
    if (m->path.s.n == 0)
        return fail_str(f, ERR_BAD_PARAM, STR("Request must specify path."));
    if ((e = take_path(r, &m->path, f)))
        return e;
    if (!r->head->is_chunked && r->head->content_length > UPLOAD_MAX)
        return fail_str(f, ERR_BAD_PARAM, STR("Artifact size is too large. Max size is 10MB."));
    if (!r->head->has_body || is_form(r))
        return fail_str(f, ERR_BAD_PARAM, STR("Request must specify data."));
    return OK;
}

err_t api_run_artifact_put(struct req *r, struct fail *f)
{
    struct bind_input query = {.is_get = true, .query = r->head->query};
    struct msg_artifact_query m;
    struct run_call *c;
    err_t e;

    if ((e = bind_request(&r->arena, &query, &MSG_artifact_query, &m, f)) ||
        (e = judge_upload(r, &m, f)))
        return e;
    c = r->data;
    return artifact_root_of_run(r, m.run_uuid.s, &c->uri, put_found);
}
