/*
 * may_artifact: who may call what about artifacts by their path.
 *
 * A path below the root begins with the experiment it belongs to, and goes on with the run, the model or the
 * trace; that says whose it is. The path is first made what the handler will make of it: decoded until
 * nothing changes. One that cannot be is refused. Where it names no experiment the default permission
 * decides, so with READ everybody may list the root.
 *
 * Reading (download, list, presigned) needs READ, writing EDIT, deleting MANAGE; what is deleted goes with
 * all that lies below, so deleting is judged by every kind that may.
 */
#define _GNU_SOURCE /* memmem */
#include "gateway/artifact/artifact_path.h"
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"

#include <string.h>

#include "ingest/python.h"
#include "schema/errors.h"

enum { DECODES_MAX = 10 };

static int hex_of(char c)
{
    return c >= '0' && c <= '9'                     ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* One layer of percent-encoding; false = there was none. */
static bool decode_once(struct arena *a, struct str *path)
{
    char *out;
    size_t n = 0;

    if (str_find(*path, '%') == path->n)
        return false;
    out = arena_alloc(a, path->n);
    for (size_t i = 0; i < path->n; i++) {
        int high = path->p[i] == '%' && path->n - i > 2 ? hex_of(path->p[i + 1]) : -1;
        int low = high >= 0 ? hex_of(path->p[i + 2]) : -1;

        out[n++] = low >= 0 ? (char)(high << 4 | low) : path->p[i];
        i += low >= 0 ? 2 : 0;
    }
    if (n == path->n)
        return false;
    *path = (struct str){out, n};
    return true;
}

static bool has_parent(struct str path)
{
    while (path.n) {
        if (str_eq(str_cut(&path, '/'), STR("..")))
            return true;
    }
    return false;
}

/* Which file the handlers take the path for: blanks and tabs that they drop, and "./" in front, hide no
 * experiment. False = nothing they would take. */
static bool path_settle(struct arena *a, struct str *path)
{
    size_t decodes = 0;
    struct fail why;

    while (decode_once(a, path)) {
        if (++decodes == DECODES_MAX)
            return false;
    }
    if (str_find(*path, '#') < path->n || str_find(*path, '\\') < path->n ||
        str_find(*path, '\0') < path->n || has_parent(*path) || (path->n && path->p[0] == '/') ||
        str_starts(*path, STR("file:")))
        return false;
    fail_init(&why, a);
    if (artifact_path_check(a, *path, path, &why))
        return false;
    *path = artifact_path_norm(a, *path);
    return true;
}

/* The experiment's id at the front, behind an optional "workspaces/NAME/"; *path is what follows. */
static struct str path_experiment(struct str *path)
{
    struct str rest = *path, id;

    if (str_starts(rest, STR("workspaces/"))) {
        rest = str_skip(rest, strlen("workspaces/"));
        (void)str_cut(&rest, '/');
    }
    id = str_cut(&rest, '/');
    for (size_t i = 0; i < id.n; i++) {
        if (id.p[i] < '0' || id.p[i] > '9')
            return STR("");
    }
    *path = rest;
    return id;
}

static struct str next_segment(struct str *path)
{
    struct str segment = STR("");

    while (path->n && segment.n == 0)
        segment = str_cut(path, '/');
    return segment;
}

static bool is_run_id(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')))
            return false;
    }
    return s.n == 32;
}

/* Whose the path is below its experiment: up to three kinds, or none. */
static size_t path_kinds(struct str rest, bool is_delete, enum grant_type kinds[3])
{
    struct str first = next_segment(&rest), second = next_segment(&rest);

    kinds[0] = GRANT_RUN;
    if (first.n == 0) {
        kinds[1] = GRANT_TRACE;
        kinds[2] = GRANT_LOGGED_MODEL;
        return is_delete ? 3 : 0;
    }
    if (str_eq(first, STR("models")) || str_eq(first, STR("traces"))) {
        kinds[0] = first.p[0] == 'm' ? GRANT_LOGGED_MODEL : GRANT_TRACE;
        return 1;
    }
    return str_eq(second, STR("artifacts")) || is_run_id(first) || is_delete ? 1 : 0;
}

/* What stands behind the call's own part of the path, else the query's path. */
err_t may_ask_artifacts(struct may *m, struct fail *f)
{
    static const struct str calls[] = {STR_INIT("create/"), STR_INIT("complete/"),
                                       STR_INIT("abort/")};
    struct str path = m->path.nargs ? m->path.values[0] : STR(""), experiment;
    struct str whole = m->r->head->path;

    (void)f;
    if (memmem(whole.p, whole.n, "/mpu/", 5)) {
        for (size_t i = 0; i < array_len(calls); i++) {
            if (str_starts(path, calls[i])) {
                path = str_skip(path, calls[i].n);
                break;
            }
        }
    }
    if (path.n == 0)
        (void)may_query(m, "path", &path);
    m->name = path;
    if (m->r->scope.mark && path_settle(&m->r->arena, &path) &&
        (experiment = path_experiment(&path)).n)
        (void)may_find(m, FIND_EXPERIMENT, experiment);
    return OK;
}

err_t may_settle_artifacts(struct may *m, struct fail *f)
{
    enum http_method method = m->r->head->method;
    enum grant_action action = method == HTTP_M_GET      ? DO_READ
                               : method == HTTP_M_DELETE ? DO_MANAGE
                                                         : DO_UPDATE;
    struct str path = m->name, experiment;
    enum grant_type kinds[3];
    size_t n;

    (void)f;
    if (!(method & (HTTP_M_GET | HTTP_M_PUT | HTTP_M_POST | HTTP_M_DELETE)) ||
        !path_settle(&m->r->arena, &path)) {
        may_refuse(m);
        return OK;
    }
    experiment = path_experiment(&path);
    if (experiment.n == 0) {
        if (m->r->scope.mark)
            may_need(m, GRANT_WORKSPACE, STR(""), action);
        else if (!grant_allows(m->fallback, action))
            may_refuse(m);
        return OK;
    }
    n = path_kinds(path, action == DO_MANAGE, kinds);
    may_need(m, GRANT_EXPERIMENT, experiment, n ? DO_READ : action);
    for (size_t i = 0; i < n; i++)
        may_need_or(m, kinds[i], action, GRANT_EXPERIMENT, experiment, action);
    return OK;
}
