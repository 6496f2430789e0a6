/*
 * gc_artifacts: a URI of the database to what removes it.
 *
 *   mlflow-artifacts, http, https   the destination, whose owner we are: directly, below it; or, when a
 *                                   tracking server is named, by its DELETE, as MLflow
 *   none, file                      a directory of this machine
 *   s3                              keys, listed for each URI and deleted by the thousand for many
 *   others                          left alone, and said so: MLflow has clients for them, this not
 *
 * Which of the two for mlflow-artifacts: --tracking-uri when it is a server; else the destination that
 * was named; else the server of MLFLOW_TRACKING_URI; else ./mlartifacts, if there is one. A destination
 * that is not there would look like one that is empty, and rows would go whose files stay, so it is an
 * error. No other host is ever asked, whatever a URI says.
 *
 * Directories. All goes beneath a root that is the operator's (artifact/artifact_local.c): the
 * destination, or what stands above the last parts of a URI, those that carry the run's or the model's
 * own id. A symbolic link below the root that leads out of it is refused, and one within a tree is
 * removed, not followed.
 */
#include "gateway/gc/gc_artifacts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "gateway/artifact/artifact_local.h"
#include "gateway/artifact/artifact_path.h"
#include "gateway/s3/s3_keys.h"
#include "gateway/s3/s3_xml.h"
#include "gateway/say.h"
#include "schema/errors.h"

err_t gc_artifacts_open(struct gc_artifacts *g, struct arena *a, const struct settings *s,
                        const char *tracking_uri, struct fail *f)
{
    struct str said = str_of(tracking_uri), known = str_of(getenv("MLFLOW_TRACKING_URI"));
    struct str server = STR("");
    err_t e;

    *g = (struct gc_artifacts){.is_chosen = s->artifacts_destination[0] != 0};
    arena_init(&g->arena, 64 << 10);
    arena_init(&g->names, 256);
    buf_init(&g->objects);
    artifact_place_destination(a, s, &g->destination);
    if (gc_tracking_is_server(said))
        server = said;
    else if (!g->is_chosen && gc_tracking_is_server(known))
        server = known;
    g->asks_server = server.n > 0;
    if (g->asks_server)
        gc_tracking_open(&g->tracking, server, s->artifact_timeout);
    if ((e = s3_conf_load(&g->conf, a, f)))
        return e;
    s3_wait_open(&g->s3, &g->conf, s->artifact_timeout);
    return OK;
}

void gc_artifacts_close(struct gc_artifacts *g)
{
    gc_tracking_close(&g->tracking);
    s3_wait_close(&g->s3);
    arena_fini(&g->arena);
    arena_fini(&g->names);
    buf_fini(&g->objects);
}

/* -- S3 ----------------------------------------------------------------------------------------- */

err_t gc_artifacts_finish(struct gc_artifacts *g, struct fail *f)
{
    struct s3_header headers[2];
    struct s3_request q;
    err_t e;

    if (g->object_count == 0)
        return OK;
    s3_keys_delete(&g->arena, buf_str(&g->objects), g->bucket, headers, &q);
    if ((e = s3_wait_call(&g->s3, &g->arena, &q, f)) ||
        (e = s3_keys_deleted(&g->arena, g->s3.status, buf_str(&g->s3.answer), f)))
        return e;
    g->object_count = 0;
    buf_reset(&g->objects);
    return OK;
}

static err_t use_bucket(struct gc_artifacts *g, struct str bucket, struct fail *f)
{
    err_t e;

    if (str_eq(bucket, g->bucket))
        return OK;
    if ((e = gc_artifacts_finish(g, f)))
        return e;
    arena_reset(&g->names);
    g->bucket = arena_dup(&g->names, bucket);
    return OK;
}

/* The keys of a page that are to go; those of a page before may be asked for first. */
static err_t take_keys(struct gc_artifacts *g, struct str page, struct str path, struct fail *f)
{
    struct s3_xml x;
    err_t e;

    s3_xml_init(&x, &g->arena, page);
    while (s3_xml_next(&x)) {
        if (!s3_xml_is(&x, "Contents/Key") || !s3_keys_is_within(x.text, path))
            continue;
        if (g->object_count == S3_KEYS_MAX && (e = gc_artifacts_finish(g, f)))
            return e;
        s3_keys_add(&g->objects, &g->arena, x.text);
        g->object_count++;
    }
    return OK;
}

/* One page: its keys are noted, *token is that of the next. */
static err_t remove_page(struct gc_artifacts *g, struct str bucket, struct str path,
                         struct buf *token, struct fail *f)
{
    struct s3_keys keys = {.prefix = path, .token = buf_str(token), .is_flat = true};
    struct s3_param params[S3_KEYS_PARAMS];
    struct s3_request q;
    struct str page;
    err_t e;

    s3_keys_ask(&keys, bucket, params, &q);
    if ((e = s3_wait_call(&g->s3, &g->arena, &q, f)))
        return e;
    page = arena_dup(&g->arena, buf_str(&g->s3.answer)); /* a deletion in between has its own */
    if (g->s3.status != 200)
        return s3_request_refused(&g->arena, g->s3.status, page,
                                  SAY_TEXT(&g->arena, STR("Failed to list artifacts in s3://"),
                                           bucket, STR("/"), path, STR(": ")),
                                  f);
    buf_reset(token);
    buf_add_str(token, s3_keys_next(&g->arena, page));
    return take_keys(g, page, path, f);
}

static err_t remove_keys(struct gc_artifacts *g, struct str bucket, struct str path, struct fail *f)
{
    struct arena_mark mark = arena_mark(&g->arena);
    struct buf token;
    err_t e;

    if (path.n == 0)
        return SAY(&g->arena, f, ERR_BAD_PARAM, STR("The artifact location is a whole bucket: '"),
                   bucket, STR("'"));
    if ((e = use_bucket(g, bucket, f)))
        return e;
    buf_init(&token);
    do {
        arena_rewind(&g->arena, &mark);
        e = remove_page(g, bucket, path, &token, f);
    } while (e == OK && buf_len(&token));
    buf_fini(&token);
    return e;
}

/* -- where ---------------------------------------------------------------------------------------- */

static struct str without_slashes(struct str s)
{
    while (str_ends(s, STR("/")))
        s.n--;
    return s;
}

static err_t remove_at(struct gc_artifacts *g, const struct artifact_place *at, struct fail *f)
{
    struct arena *a = &g->arena;
    struct str bucket, prefix;

    if (at->ops == &artifact_store_local)
        return artifact_local_remove(a, at->root, at->path, f);
    bucket = str_head(at->root, str_find(at->root, '/'));
    prefix = str_skip(at->root, bucket.n + 1);
    if (at->path.n)
        prefix = artifact_path_join(a, prefix, at->path);
    return remove_keys(g, bucket, without_slashes(prefix), f);
}

/* The last parts of a directory's path become what is below its root. */
static err_t split_directory(struct gc_artifacts *g, struct str uri, unsigned parts,
                             struct artifact_place *at, struct fail *f)
{
    struct arena *a = &g->arena;
    struct str root = artifact_path_norm(a, at->root);

    for (unsigned i = 0; i < parts && root.n; i++) {
        struct str name = artifact_path_base(root);

        if (str_eq(name, STR("..")))
            return SAY(a, f, ERR_BAD_PARAM, STR("Invalid path: '"), uri, STR("'"));
        at->path = i ? artifact_path_join(a, name, at->path) : name;
        root = artifact_path_dir(root);
    }
    if (at->path.n == 0)
        return SAY(a, f, ERR_BAD_PARAM, STR("The artifact location is a whole disk: '"), uri,
                   STR("'"));
    at->root = SAY_TEXT(a, STR("/"), root);
    return OK;
}

static err_t check_destination(struct gc_artifacts *g, struct fail *f)
{
    struct stat st;

    if (g->destination.ops != &artifact_store_local ||
        (stat(arena_cstr(&g->arena, g->destination.root), &st) == 0 && S_ISDIR(st.st_mode)))
        return OK;
    return SAY(&g->arena, f, ERR_NOT_FOUND, STR("There is no directory "), g->destination.root,
               STR(", where served artifacts should be: say --artifacts-destination as the server "
                   "has it, or --tracking-uri to ask the server"));
}

static err_t remove_served(struct gc_artifacts *g, struct str uri, enum gc_fate *fate,
                           struct fail *f)
{
    struct artifact_place at = g->destination;
    bool is_unresolvable;
    struct str path;
    err_t e;

    if (artifact_place_proxied_path(&g->arena, uri, &path, f) ||
        artifact_path_check(&g->arena, path, &path, f))
        return fail_str(f, ERR_BAD_PARAM, f->text);
    if (g->asks_server) {
        g->tracking.workspace = g->workspace;
        e = gc_tracking_remove(&g->tracking, &g->arena, path, &is_unresolvable, f);
        if (e == OK && is_unresolvable)
            *fate = GC_UNRESOLVABLE;
        return e;
    }
    if (at.ops == NULL) {
        *fate = GC_FOREIGN;
        return OK;
    }
    at.path = path;
    if (g->workspace.n && (e = artifact_place_scoped(&g->arena, path, g->workspace, &at.path, f)))
        return e;
    at.path = without_slashes(at.path);
    if (at.path.n == 0)
        return SAY(&g->arena, f, ERR_BAD_PARAM,
                   STR("The artifact location is the whole destination: '"), uri, STR("'"));
    return (e = check_destination(g, f)) ? e : remove_at(g, &at, f);
}

err_t gc_artifacts_remove(struct gc_artifacts *g, struct str uri, unsigned parts,
                          enum gc_fate *fate, struct fail *f)
{
    struct artifact_place at = {0};
    struct str scheme;
    err_t e;

    arena_reset(&g->arena);
    *fate = GC_REMOVED;
    if (artifact_place_is_proxied(&g->arena, uri, &scheme))
        return remove_served(g, uri, fate, f);
    if (!artifact_place_store(&g->arena, uri, &at)) {
        *fate = GC_FOREIGN;
        return OK;
    }
    if (at.ops == &artifact_store_local && (e = split_directory(g, uri, parts, &at, f)))
        return e;
    e = remove_at(g, &at, f);
    /* A bucket that is not ours, a directory that we may not touch: the fault of who chose it. */
    if (e == ERR_DENIED || e == ERR_NOT_FOUND || e == ERR_INTERNAL)
        return fail_str(f, ERR_BAD_PARAM, f->text);
    return e;
}
