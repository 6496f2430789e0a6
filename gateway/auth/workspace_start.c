/*
 * workspace_start: MLflow's checks at the start.
 *
 * Without workspaces nothing says which rows are whose: statements look at all experiments, and at models of
 * `default`. So a database that holds things of other workspaces is not served without.
 */
#include "gateway/auth/workspace_start.h"

#include <stdlib.h>
#include <string.h>

#include "gateway/artifact/artifact_uri.h"
#include "gateway/artifact/uri.h"
#include "gateway/auth/scope.h"
#include "schema/errors.h"

#define FOLDER "workspaces"

/* The last segment of a path, which is cut off; slashes at its end count for nothing. */
static struct str cut_segment(struct str *path)
{
    size_t at;
    struct str last;

    while (path->n && path->p[path->n - 1] == '/')
        path->n--;
    at = path->n;
    while (at > 0 && path->p[at - 1] != '/')
        at--;
    last = str_skip(*path, at);
    *path = str_head(*path, at);
    return last;
}

static err_t check_root(struct str root, struct fail *f)
{
    struct arena memory;
    struct str path, last, before;

    arena_init(&memory, 1024);
    path = root;
    if (str_find(root, ':') < root.n) {
        struct uri u = uri_parse(&memory, root);

        path = uri_path(&u);
    }
    last = arena_dup(&memory, cut_segment(&path));
    before = cut_segment(&path);
    if (str_eq(last, STR(FOLDER)))
        (void)fail(f, ERR_SETTING,
                   "Cannot enable workspace mode because the default artifact root %.*s ends with "
                   "the reserved 'workspaces' segment. Choose a different artifact root before "
                   "enabling workspaces.",
                   STR_ARG(root));
    else if (str_eq(before, STR(FOLDER)))
        (void)fail(f, ERR_SETTING,
                   "Cannot enable workspace mode because the default artifact root %.*s is already "
                   "scoped under the reserved 'workspaces/<name>' prefix. Configure a different "
                   "artifact root before enabling workspaces.",
                   STR_ARG(root));
    arena_fini(&memory);
    return f->err;
}

err_t workspace_start_check(const struct settings *s, struct str root, struct fail *f)
{
    const char *client = getenv("MLFLOW_WORKSPACE");

    if (client && *client)
        return fail(f, ERR_SETTING,
                    "MLFLOW_WORKSPACE=%s is client-only. Unset it before starting the server.",
                    client);
    return s->enable_workspaces ? check_root(root, f) : OK;
}

struct str workspace_root(struct arena *a, struct str root, struct str name)
{
    return artifact_uri_append(a, artifact_uri_append(a, root, STR(FOLDER)), name);
}

const char *workspace_first_root(struct arena *a, const struct settings *s, struct str root)
{
    if (!s->enable_workspaces)
        return root.p;
    return arena_dup(a, workspace_root(a, root, STR(SCOPE_DEFAULT))).p;
}

/* -- the database -------------------------------------------------------------------------------- */

/* The first row's first two columns, if there is a row. */
static err_t look(PGconn *c, const char *text, bool *is_there, char first[256], char second[64],
                  struct fail *f)
{
    PGresult *res = PQexec(c, text);
    err_t e = OK;

    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        e = fail(f, ERR_PG, "looking at workspaces: %s", PQerrorMessage(c));
    } else if ((*is_there = PQntuples(res) > 0)) {
        str_to_cstr(str_of(PQgetvalue(res, 0, 0)), first, 256);
        str_to_cstr(str_of(PQgetvalue(res, 0, 1)), second, 64);
    }
    PQclear(res);
    return e;
}

static err_t look_for_others(PGconn *c, struct fail *f)
{
    char name[256], workspace[64];
    bool is_there = false;
    err_t e;

    if ((e = look(c, "SELECT name, workspace FROM experiments WHERE workspace <> 'default' LIMIT 1",
                  &is_there, name, workspace, f)))
        return e;
    if (is_there)
        return fail(f, ERR_SETTING,
                    "Cannot disable workspaces because experiments exist outside the default "
                    "workspace (i.e., assigned to non-default workspaces). Enable workspace "
                    "support (MLFLOW_ENABLE_WORKSPACES=true) or move those experiments back to the "
                    "default workspace before starting the tracking store in single-tenant mode.");
    if ((e = look(
             c,
             "SELECT name, workspace FROM registered_models WHERE workspace <> 'default' LIMIT 1",
             &is_there, name, workspace, f)))
        return e;
    if (is_there)
        return fail(f, ERR_SETTING,
                    "Cannot disable workspaces because registered models exist outside the default "
                    "workspace (for example, model '%s' in workspace '%s'). Either remove those "
                    "models or re-enable workspaces before starting.",
                    name, workspace);
    if ((e = look(c,
                  "SELECT webhook_id, workspace FROM webhooks WHERE workspace <> 'default' LIMIT 1",
                  &is_there, name, workspace, f)))
        return e;
    if (is_there)
        return fail(
            f, ERR_SETTING,
            "Cannot disable workspaces because webhooks exist outside the default workspace "
            "(for example, webhook '%s' in workspace '%s'). Either remove those webhooks or "
            "re-enable workspaces before starting.",
            name, workspace);
    return OK;
}

err_t workspace_start_look(PGconn *c, bool are_on, struct fail *f)
{
    char name[256], other[64];
    bool is_there = false;
    err_t e;

    if (!are_on)
        return look_for_others(c, f);
    if ((e = look(c, "SELECT name, name FROM workspaces WHERE name = 'default'", &is_there, name,
                  other, f)))
        return e;
    return is_there ? OK : fail(f, ERR_SETTING, "Workspace 'default' not found");
}
