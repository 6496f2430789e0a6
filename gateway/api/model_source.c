/*
 * model_source: MLflow 3.17.2's _validate_source_run, _validate_source_model and what they call
 * (server/handlers.py), and its reading of models:/ URIs.
 *
 * The rules keep a client from making the server hand out files that the client could not read
 * otherwise. So a local path must lie in the folder of the run or logged model that the request
 * names; what the server itself stores (mlflow-artifacts:) likewise; runs: and models: must name
 * that run or model. Other places (s3:, gs:, any unknown scheme) are not the server's, and only
 * have to be written without tricks: an absolute path in which nothing is relative, however often
 * it is percent-encoded.
 *
 * MLflow looks whether a path without tricks resolves to itself on the server's own file system, so
 * that "s3://b/lib/x" fails where /lib is a link. That is left out: no link of this machine has to
 * do with a path of an object store.
 */
#include "gateway/api/model_source.h"

#include "base/buf.h"
#include "gateway/artifact/local_path.h"
#include "gateway/artifact/uri.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"

/* before, source and behind in one; source may hold a NUL, at which printf would stop. */
static err_t refuse(const char *before, struct str source, const char *behind, struct fail *f)
{
    struct buf said;
    struct str whole;

    buf_init(&said);
    buf_add_str(&said, str_of(before));
    buf_add_str(&said, names_cut(source, NAMES_QUOTE_MAX));
    buf_add_str(&said, str_of(behind));
    whole = f && f->arena ? arena_dup(f->arena, buf_str(&said)) : str_of(before);
    buf_fini(&said);
    return fail_str(f, ERR_BAD_PARAM, whole);
}

#define INVALID "Invalid model version source: '"

static err_t refuse_path(struct str source, struct fail *f)
{
    return refuse(INVALID, source,
                  "'. If supplying a source as an http, https, local file path, ftp, objectstore, "
                  "or mlflow-artifacts uri, an absolute path must be provided without relative path"
                  " references present. Please provide an absolute path.",
                  f);
}

static err_t refuse_local(struct str source, bool is_model, struct fail *f)
{
    return refuse(INVALID, source,
                  is_model
                      ? "'. To use a local path as a model version source, the model_id request"
                        " parameter has to be specified and the local path has to be contained"
                        " within the artifact directory of the run specified by the model_id."
                      : "'. To use a local path as a model version source, the run_id request"
                        " parameter has to be specified and the local path has to be contained"
                        " within the artifact directory of the run specified by the run_id.",
                  f);
}

static err_t refuse_owner(struct str source, bool is_model, struct fail *f)
{
    return refuse(INVALID, source,
                  is_model ? "'. The model_id request parameter must identify the resource that"
                             " contains the source."
                           : "'. The run_id request parameter must identify the resource that"
                             " contains the source.",
                  f);
}

err_t model_source_check_prompt(struct str source, struct fail *f)
{
    if (str_eq(source, STR("dummy-source")) || str_eq(source, STR("prompt-template")))
        return OK;
    return refuse("Invalid prompt source: '", source,
                  "'. Prompt sources must use an MLflow placeholder.", f);
}

/* -- models: --------------------------------------------------------------------------------- */

static bool is_blank(struct str s)
{
    while (s.n)
        if (!python_is_space(python_next(&s)))
            return false;
    return true;
}

/* str.isdigit, but for the few digits that int() does not take. */
static bool is_number(struct str s)
{
    if (s.n == 0)
        return false;
    while (s.n)
        if (!python_is_decimal(python_next(&s)))
            return false;
    return true;
}

/* "models:/name/3", "/latest", "/Stage"; "models:/name@alias"; "models:/id". False: none. */
static bool parse_ref(struct arena *a, struct str source, struct model_source *out)
{
    struct str rest = uri_parse_whole(a, source).path;
    struct str first, second;
    size_t at;

    if (!str_starts(rest, STR("/")) || rest.n == 1)
        return false;
    while (rest.n && rest.p[0] == '/')
        rest = str_skip(rest, 1);
    at = str_find(rest, '/');
    first = str_head(rest, at);
    second = str_skip(rest, at + 1);
    if (is_blank(first) || str_find(second, '/') < second.n)
        return false;
    *out = (struct model_source){REF_MODEL_ID, first, second};
    if (at < rest.n) {
        if (is_blank(second))
            return false;
        out->ref = is_number(second)                ? REF_VERSION
                   : str_ieq(second, STR("latest")) ? REF_LATEST
                                                    : REF_STAGE;
        return true;
    }
    if (str_find(first, '@') == first.n)
        return true;
    for (at = first.n; first.p[at - 1] != '@'; at--)
        ;
    *out = (struct model_source){REF_ALIAS, str_head(first, at - 1), str_skip(first, at)};
    return !is_blank(out->suffix);
}

err_t model_source_parse(struct arena *a, struct str source, struct model_source *out,
                         struct fail *f)
{
    struct uri u = uri_parse(a, source);

    *out = (struct model_source){.ref = REF_NONE};
    if (!str_eq(u.scheme, STR("models")))
        return OK;
    if (u.netloc.n)
        return refuse(INVALID, source,
                      "'. Registered model sources must use the active model registry.", f);
    return parse_ref(a, source, out) ? OK : refuse_owner(source, true, f);
}

/* -- paths ----------------------------------------------------------------------------------- */

/* An absolute path with no part that names another place than it says. */
static err_t check_path(struct arena *a, struct str source, struct fail *f)
{
    struct str plain = uri_decode_fully(a, source);
    char *spaced = arena_cstr(a, plain);
    bool is_refused = false;
    struct str path, part;
    struct uri u;

    for (size_t i = 0; i < plain.n; i++)
        if (spaced[i] == '+')
            spaced[i] = ' ';
    plain.p = spaced;
    u = uri_parse(a, plain);
    for (struct str rest = plain; rest.n;)
        is_refused |= str_eq(str_cut(&rest, '/'), STR(".."));
    path = uri_path(&u);
    is_refused |= u.is_malformed || str_find(path, 0) < path.n || !str_starts(path, STR("/"));
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    is_refused |= path.n == 0;
    while (path.n) {
        part = str_cut(&path, '/');
        is_refused |= str_eq(part, STR(".")) || str_eq(part, STR(".."));
    }
    return is_refused ? refuse_path(source, f) : OK;
}

/* -- what the server stores ------------------------------------------------------------------ */

/* The next part of a path that is not empty, decoded; false at the end. */
static bool next_part(struct arena *a, struct str *path, struct str *part)
{
    do {
        if (path->n == 0)
            return false;
        *part = str_cut(path, '/');
    } while (part->n == 0);
    *part = uri_decode_fully(a, *part);
    return true;
}

/* Do the first parts of path equal those of prefix, which has some? */
static bool has_prefix(struct arena *a, struct str path, struct str prefix)
{
    struct str part, wanted;
    bool has_parts = false;

    while (next_part(a, &prefix, &wanted)) {
        has_parts = true;
        if (!next_part(a, &path, &part) || !str_eq(part, wanted))
            return false;
    }
    return has_parts;
}

static bool is_within(struct arena *a, const struct uri *u, struct str root)
{
    struct uri of = uri_parse(a, root);

    return str_eq(u->scheme, of.scheme) &&
           str_eq(uri_to_lower(a, u->netloc), uri_to_lower(a, of.netloc)) &&
           has_prefix(a, u->path, of.path);
}

static bool is_mlflow_artifact(struct arena *a, const struct uri *u)
{
    struct str path = u->path;
    struct str part;

    if (str_eq(u->scheme, STR("mlflow-artifacts")))
        return true;
    if (!str_eq(u->scheme, STR("http")) && !str_eq(u->scheme, STR("https")))
        return false;
    do
        if (has_prefix(a, path, STR("api/2.0/mlflow-artifacts/artifacts")))
            return true;
    while (next_part(a, &path, &part));
    return false;
}

bool model_source_needs_owner(struct arena *a, struct str source)
{
    struct uri u = uri_parse(a, source);

    return u.scheme.n == 0 || str_eq(u.scheme, STR("file")) || is_mlflow_artifact(a, &u);
}

/* -- the rules ------------------------------------------------------------------------------- */

static err_t check_local(struct arena *a, struct str source, const struct model_owner *owner,
                         struct fail *f)
{
    bool is_local;
    struct str path;
    err_t e;

    if (owner->id.n == 0 || str_find(source, 0) < source.n)
        return refuse_local(source, owner->is_model, f);
    if (!owner->is_found)
        return refuse_owner(source, owner->is_model, f);
    path = local_path_resolve(a, source);
    if ((e = local_path_is_local(a, owner->root, &is_local, f)))
        return e;
    if (is_local && local_path_is_within(path, local_path_resolve(a, owner->root)))
        return OK;
    return refuse_local(path, owner->is_model, f);
}

static err_t check_runs(struct str source, const struct uri *u, const struct model_owner *owner,
                        struct fail *f)
{
    struct str rest = str_skip(u->path, 1);
    struct str run_id = str_cut(&rest, '/');

    if (owner->is_model || u->netloc.n)
        return refuse_owner(source, owner->is_model, f);
    if (!str_starts(u->path, STR("/")) || run_id.n == 0)
        return fail(f, ERR_INTERNAL,
                    "Not a proper runs:/ URI: %.*s. Runs URIs must be of the form"
                    " 'runs:/<run_id>/run-relative/path/to/artifact'",
                    STR_ARG(names_cut(source, NAMES_QUOTE_MAX)));
    if (owner->id.n && str_eq(run_id, owner->id))
        return OK;
    return refuse_owner(source, false, f);
}

static err_t check_models(struct arena *a, struct str source, const struct uri *u,
                          const struct model_owner *owner, struct fail *f)
{
    struct model_source s;

    if (u->netloc.n || !parse_ref(a, source, &s))
        return refuse_owner(source, true, f);
    if (s.ref != REF_MODEL_ID || (owner->is_model && str_eq(s.name, owner->id)))
        return OK;
    return refuse_owner(source, true, f);
}

err_t model_source_check(struct arena *a, struct str source, const struct model_owner *owner,
                         struct fail *f)
{
    struct uri u = uri_parse(a, source);
    bool is_local;
    err_t e;

    if ((e = local_path_is_local(a, source, &is_local, f)))
        return e;
    if (is_local)
        return check_local(a, source, owner, f);
    if ((e = check_path(a, source, f)))
        return e;
    if (str_eq(u.scheme, STR("runs")))
        return check_runs(source, &u, owner, f);
    if (str_eq(u.scheme, STR("models")))
        return check_models(a, source, &u, owner, f);
    if (!is_mlflow_artifact(a, &u) || (owner->is_found && is_within(a, &u, owner->root)))
        return OK;
    return refuse_owner(source, owner->is_model, f);
}
