/*
 * workspace: MLflow's resolution of the workspace of a request.
 *
 *   workspaces off, a header that is not blank         500, server-info excepted
 *   on, no header, or a blank one                      `default`
 *   on, a name that the rules forbid                   400
 *   on, a workspace that does not exist                404
 *
 * The first three are judged at the head, before Host and Origin, as MLflow does; the last needs PostgreSQL
 * and comes when it is known who asks, so nobody without credentials learns which workspaces there are. Of
 * several headers the first counts.
 *
 * A name that was found is trusted for run_cache_ttl, by all workers (workspace_table.c). One that was not
 * found is asked for every time. While PostgreSQL gives no answer, a name that was found once, by whichever
 * worker, counts however long ago that was: so writes to runs that are known go on (req_run.c). `default`
 * always exists.
 */
#include "gateway/auth/workspace.h"

#include <string.h>

#include "gateway/auth/workspace_table.h"
#include "gateway/http/conn.h"
#include "gateway/http/reply.h"
#include "gateway/worker.h"
#include "ingest/python.h"
#include "schema/errors.h"

static const struct stmt FIND = {"workspace_find",
                                 "SELECT 1 FROM workspaces WHERE name = $1::text"};

/* -- names ------------------------------------------------------------------------------------- */

static bool is_small(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static size_t count_characters(struct str s)
{
    size_t n = 0;

    for (; s.n; n++)
        (void)python_next(&s);
    return n;
}

err_t workspace_check_name(struct str name, struct fail *f)
{
    static const char *const reserved[] = {"workspaces", "api", "ajax-api", "static-files"};
    size_t length = count_characters(name);
    bool fits;

    if (length < 2 || length > WORKSPACE_NAME_MAX)
        return fail(f, ERR_BAD_PARAM, "Workspace name '%.*s' must be between 2 and 63 characters.",
                    STR_ARG(name));
    fits = is_small(name.p[0]) && is_small(name.p[name.n - 1]);
    for (size_t i = 0; i < name.n; i++)
        fits &= is_small(name.p[i]) || name.p[i] == '-';
    if (!fits)
        return fail(f, ERR_BAD_PARAM,
                    "Workspace name '%.*s' must match the pattern ^[a-z0-9]([-a-z0-9]*[a-z0-9])?$ "
                    "(lowercase alphanumeric with optional internal hyphens).",
                    STR_ARG(name));
    for (size_t i = 0; i < array_len(reserved); i++) {
        if (str_eq(name, str_of(reserved[i])))
            return fail(f, ERR_BAD_PARAM, "Workspace name '%.*s' is reserved and cannot be used.",
                        STR_ARG(name));
    }
    return OK;
}

/* -- the header -------------------------------------------------------------------------------- */

/* As the layer outside of all others answers: no header lines, JSON without blanks. */
static err_t workspace_refuse(struct req *r, err_t e, struct str words)
{
    const struct error_row *row = error_row(e);
    struct json j;

    r->reply.lines = LINES_BARE;
    buf_reset(&r->reply.headers);
    reply_json_as(r, &j, JSON_COMPACT);
    json_open(&j);
    json_pair_str(&j, "error_code", str_of(row->code));
    json_pair_str(&j, "message", words);
    json_pair_str(&j, "sqlstate", str_of(row->sqlstate));
    json_pair_str(&j, "error_class", str_of(row->cls));
    json_close(&j);
    return reply_text(r, row->status, "application/json",
                      arena_dup(&r->arena, buf_str(&r->reply.body)));
}

/* The header's bytes are Latin-1 there. */
static struct str header_text(struct arena *a, struct str bytes)
{
    char *out = arena_alloc(a, 2 * bytes.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];

        if (c >= 0x80) {
            out[n++] = (char)(0xC0 | c >> 6);
            c = 0x80 | (c & 0x3F);
        }
        out[n++] = (char)c;
    }
    out[n] = '\0';
    return (struct str){out, n};
}

/* server-info is for asking whether there are workspaces. */
static bool is_server_info(const struct req *r)
{
    struct str path = r->head->path;

    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    return str_ends(path, STR("/mlflow/server-info"));
}

bool workspace_admits_head(struct req *r)
{
    struct str name = str_trim(r->head->workspace);
    struct fail f;

    if (name.n == 0 || is_server_info(r))
        return true;
    if (!r->worker->settings->enable_workspaces) {
        (void)workspace_refuse(r, ERR_FEATURE_DISABLED,
                               STR("Workspace APIs are not available: workspaces are not enabled on"
                                   " this server"));
        return false;
    }
    if (str_eq(name, STR(SCOPE_DEFAULT)))
        return true;
    fail_init(&f, &r->arena);
    if (workspace_check_name(header_text(&r->arena, name), &f) == OK)
        return true;
    (void)workspace_refuse(r, ERR_BAD_PARAM, f.text);
    return false;
}

/* -- looking it up ------------------------------------------------------------------------------- */

static err_t workspace_found(struct req *r, struct fail *f)
{
    struct workspace_table *known = r->worker->workspaces;
    req_step next = r->admitted;
    bool is_there;

    if (r->sql.err)
        return workspace_table_find(known, r->scope.mark) ? next(r, f) : req_sql_fail(r, f);
    is_there = PQntuples(r->sql.results[0]) > 0;
    workspace_table_note(known, r->scope.mark, r->wait_since_us, is_there);
    if (is_there)
        return next(r, f);
    return workspace_refuse(
        r, ERR_NOT_FOUND, arena_printf(&r->arena, "Workspace '%s' not found", r->scope.workspace));
}

/* Is it there, for all that is known, or for what was known while PostgreSQL is away? */
static bool workspace_is_known(const struct req *r)
{
    const struct worker *w = r->worker;
    uint64_t asked_us = workspace_table_find(w->workspaces, r->scope.mark);
    uint64_t ttl_us = w->settings->run_cache_ttl;

    if (asked_us == 0)
        return false;
    /* Another worker's clock reading may be a little ahead of this turn's. */
    if (ttl_us > 0 && w->now_us < asked_us + ttl_us)
        return true;
    return w->sql && !sql_is_up(w->sql);
}

err_t workspace_admit(struct req *r, req_step next)
{
    struct str *name;

    r->scope = (struct scope){SCOPE_DEFAULT, 0};
    if (!r->worker->workspaces)
        return next(r, r->fail);
    name = arena_alloc(&r->arena, sizeof(*name));
    *name = str_trim(r->head->workspace);
    if (name->n && r->conn->where == ON_CLIENT && !is_server_info(r)) {
        *name = arena_dup(&r->arena, *name);
        r->scope.workspace = name->p;
    }
    r->scope.mark = scope_mark(r->scope.workspace);
    if (strcmp(r->scope.workspace, SCOPE_DEFAULT) == 0 || workspace_is_known(r))
        return next(r, r->fail);
    r->admitted = next;
    return req_sql_try(r, &(struct sql_step){&FIND, name, 1}, 1, workspace_found);
}

void workspace_changed(struct worker *w, struct str name)
{
    workspace_table_forget(w->workspaces, name);
    news_tell(w, NEWS_WORKSPACE, name);
}
