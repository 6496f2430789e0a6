/*
 * artifact_place: MLflow's choice of a repository by scheme.
 *
 *   mlflow-artifacts, http, https   while artifacts are served: the destination, at the path of the
 *                                   URI; of http(s) what follows /api/2.0/mlflow-artifacts/artifacts/
 *   none, file                      a directory; percent-decoded once more, as MLflow does
 *   s3                              bucket and prefix
 *   others                          the upstream, whose MLflow has a package for each; without one 501
 *
 * A location is what a client once gave, and the same policy that was asked then is asked on use: the
 * server connects to no host that a client names.
 */
#include "gateway/artifact/artifact_place.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/artifact_uri.h"
#include "gateway/artifact/artifacts.h"
#include "gateway/artifact/uri.h"
#include "gateway/say.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "schema/errors.h"

#define WORKSPACES   "workspaces" /* the folder in the destination */
#define ROUTE_ANCHOR "/api/2.0/mlflow-artifacts/artifacts/"

/* An absolute path from that of a URI or a setting. */
static struct str absolute(struct arena *a, struct str path)
{
    char here[PATH_MAX];

    if (str_starts(path, STR("/")))
        return path;
    return artifact_path_join(a, str_of(getcwd(here, sizeof(here)) ? here : "/"), path);
}

bool artifact_place_store(struct arena *a, struct str uri, struct artifact_place *out)
{
    struct uri u = uri_parse(a, uri);

    *out = (struct artifact_place){.root = uri};
    if (u.scheme.n == 0 || str_eq(u.scheme, STR("file"))) {
        out->ops = &artifact_store_local;
        out->root = absolute(a, uri_decode(a, u.scheme.n ? uri_path(&u) : uri));
    } else if (str_eq(u.scheme, STR("s3"))) {
        out->ops = &artifact_store_s3;
        out->root = SAY_TEXT(a, u.netloc, STR("/"),
                             str_skip(uri_path(&u), str_starts(u.path, STR("/")) ? 1 : 0));
    }
    return out->ops != NULL;
}

void artifact_place_destination(struct arena *a, const struct settings *s,
                                struct artifact_place *out)
{
    struct str uri = str_of(s->artifacts_destination);

    (void)!artifact_place_store(a, uri.n ? uri : STR("./mlartifacts"), out);
}

/* A place that is none of ours is the upstream's, if there is one. */
static err_t or_upstream(struct req *r, struct artifact_place *out, struct fail *f)
{
    struct uri u = uri_parse(&r->arena, out->root);

    if (out->ops)
        return OK;
    if (r->worker->upstream == NULL)
        return SAY(
            &r->arena, f, ERR_NOT_IMPLEMENTED,
            STR("This server keeps artifacts in local directories and in S3; for those at '"),
            u.scheme,
            STR(":' it needs a MLflow server behind it. Its administrator can name one with"
                " the setting upstream."));
    out->ops = &artifact_store_upstream;
    return OK;
}

/* MLflow looks at the path as it was sent; here it counts what it comes to. */
err_t artifact_place_scoped(struct arena *a, struct str path, struct str workspace, struct str *out,
                            struct fail *f)
{
    struct str rest = artifact_path_norm(a, path), name;

    *out = path;
    if (!str_eq(str_cut(&rest, '/'), STR(WORKSPACES))) {
        if (str_eq(workspace, STR(SCOPE_DEFAULT)))
            return OK;
        *out = artifact_path_join(a, STR(WORKSPACES), workspace);
        if (path.n)
            *out = artifact_path_join(a, *out, path);
        return OK;
    }
    name = str_cut(&rest, '/');
    if (name.n == 0)
        return fail_str(f, ERR_BAD_PARAM,
                        STR("Artifact paths prefixed with 'workspaces/' must include a workspace"
                            " name."));
    if (!str_eq(name, workspace))
        return SAY(a, f, ERR_BAD_PARAM, STR("Artifact path targets workspace '"), name,
                   STR("' but the workspace specified in the request is '"), workspace, STR("'."));
    return OK;
}

/* A path of the destination, which need not have come from a client just now. */
static err_t in_destination(struct req *r, struct str path, struct artifact_place *out,
                            struct fail *f)
{
    struct str checked;
    err_t e;

    *out = server_artifacts(r->worker->server)->destination;
    if ((e = or_upstream(r, out, f)))
        return e;
    if ((e = artifact_path_check(&r->arena, path, &checked, f)))
        return e;
    out->path = path;
    if (!r->scope.mark)
        return OK;
    return artifact_place_scoped(&r->arena, path, str_of(r->scope.workspace), &out->path, f);
}

err_t artifact_place_proxied(struct req *r, struct str sent, struct artifact_place *out,
                             struct fail *f)
{
    struct str path;
    err_t e = artifact_path_check(&r->arena, sent, &path, f);

    return e ? e : in_destination(r, path, out, f);
}

bool artifact_place_is_proxied(struct arena *a, struct str uri, struct str *scheme)
{
    struct uri u = uri_parse(a, uri);

    *scheme = u.scheme;
    return str_eq(u.scheme, STR("http")) || str_eq(u.scheme, STR("https")) ||
           str_eq(u.scheme, STR("mlflow-artifacts"));
}

err_t artifact_place_proxied_path(struct arena *a, struct str uri, struct str *path, struct fail *f)
{
    struct uri u = uri_parse(a, uri);
    struct str rest = uri_path(&u);

    if (!str_eq(u.scheme, STR("mlflow-artifacts"))) {
        while (rest.n && !str_starts(rest, STR(ROUTE_ANCHOR)))
            rest = str_skip(rest, 1);
        if (rest.n == 0)
            return SAY(a, f, ERR_INTERNAL, STR("The artifact location '"), uri,
                       STR("' is no path of an mlflow-artifacts API"));
        rest = str_skip(rest, strlen(ROUTE_ANCHOR));
    }
    while (str_starts(rest, STR("/")))
        rest = str_skip(rest, 1);
    *path = rest;
    return OK;
}

err_t artifact_place_of(struct req *r, struct str uri, struct str relative, bool is_bare,
                        struct artifact_place *out, struct fail *f)
{
    struct arena *a = &r->arena;
    struct str scheme, path;
    bool is_proxied = artifact_place_is_proxied(a, uri, &scheme);
    err_t e;

    if (is_proxied && r->worker->settings->serve_artifacts) {
        if ((e = artifact_place_proxied_path(a, uri, &path, f)))
            return e;
        return in_destination(r, is_bare ? path : artifact_path_join(a, path, relative), out, f);
    }
    if ((e = artifact_uri_check_use(a, uri, str_of(server_artifact_root(r->worker->server)), f)))
        return e;
    (void)!artifact_place_store(a, uri, out);
    out->path = relative;
    return or_upstream(r, out, f);
}
