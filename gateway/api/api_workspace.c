/*
 * api_workspace: create, read, list, change and delete workspaces.
 *
 * The calls name a workspace themselves and do not look at the request's own. Who may call them is
 * may.def's; a list shows those in which the caller has a role. With auth = basic a new workspace gets the
 * two roles that MLflow gives it, and one that is deleted takes its roles along (grant_write.c).
 *
 * While workspaces are off all of them say so.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "gateway/artifact/artifact_uri.h"
#include "gateway/artifact/uri.h"
#include "gateway/auth/auth_config.h"
#include "gateway/auth/grant_write.h"
#include "gateway/auth/may.h"
#include "gateway/auth/workspace.h"
#include "gateway/auth/workspace_delete.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/req_user.h"
#include "gateway/search/param.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "ingest/bind.h"
#include "ingest/input.h"
#include "ingest/names.h"
#include "schema/errors.h"

#define COLUMNS                                                          \
    "name, description, default_artifact_root, trace_archival_location," \
    " trace_archival_retention"

static const struct stmt LIST = {"workspace_list",
                                 "SELECT " COLUMNS " FROM workspaces ORDER BY name"};
static const struct stmt GET = {"workspace_get",
                                "SELECT " COLUMNS " FROM workspaces WHERE name = $1::text"};
static const struct stmt CREATE = {
    "workspace_create",
    "INSERT INTO workspaces (" COLUMNS ") VALUES ($1::text, $2::text, nullif($3::text, ''),"
    " nullif($4::text, ''), nullif($5::text, '')) RETURNING " COLUMNS};
/* What was not sent stays; what was sent empty is cleared, but the description. */
static const struct stmt UPDATE = {
    "workspace_update",
    "UPDATE workspaces SET description = coalesce($2::text, description),"
    " default_artifact_root = CASE WHEN $3::text IS NULL THEN default_artifact_root"
    " ELSE nullif($3::text, '') END,"
    " trace_archival_location = CASE WHEN $4::text IS NULL THEN trace_archival_location"
    " ELSE nullif($4::text, '') END,"
    " trace_archival_retention = CASE WHEN $5::text IS NULL THEN trace_archival_retention"
    " ELSE nullif($5::text, '') END WHERE name = $1::text RETURNING " COLUMNS};
static const struct stmt MINE = {"workspace_mine",
                                 "SELECT DISTINCT r.workspace FROM user_role_assignments a"
                                 " JOIN roles r ON r.id = a.role_id WHERE a.user_id = $1::int4"};

struct workspace_call {
    struct str values[5]; /* name, then what the columns become; p NULL = not sent */
    PGresult *rows;       /* of a list, until it is known whose */
};

static bool is_off(const struct req *r)
{
    return r->worker->workspaces == NULL;
}

/* Flask's rule of the path. */
static err_t say_off(struct req *r)
{
    struct str path = str_of(r->route->path);
    size_t at = str_find(path, '{');

    return reply_text(
        r, 503, "text/html; charset=utf-8",
        arena_printf(&r->arena,
                     "Endpoint: %s%.*s%s disabled because the server is running without workspaces "
                     "support. To enable workspace, run `mlflow server` with `--enable-workspaces`",
                     r->worker->settings->static_prefix, STR_ARG(str_head(path, at)),
                     at < path.n ? "<workspace_name>" : ""));
}

static void write_one(struct json *j, const PGresult *res, int row)
{
    static const char *const names[] = {"name", "description", "default_artifact_root"};
    bool has_config = !sql_is_null(res, row, 3) || !sql_is_null(res, row, 4);

    json_open(j);
    for (int i = 0; i < 3; i++) {
        if (!sql_is_null(res, row, i))
            json_pair_str(j, names[i], sql_get(res, row, i));
    }
    if (has_config) {
        json_key(j, "trace_archival_config");
        json_open(j);
        if (!sql_is_null(res, row, 3))
            json_pair_str(j, "location", sql_get(res, row, 3));
        if (!sql_is_null(res, row, 4))
            json_pair_str(j, "retention", sql_get(res, row, 4));
        json_close(j);
    }
    json_close(j);
}

static err_t answer_one(struct req *r, const PGresult *res)
{
    struct json j;

    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "workspace");
    write_one(&j, res, 0);
    json_close(&j);
    return reply_ok(r);
}

static err_t not_found(struct str name, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "Workspace '%.*s' not found", STR_ARG(name));
}

/* -- list ------------------------------------------------------------------------------------- */

static bool is_mine(const struct req *r, const PGresult *mine, struct str name)
{
    const struct auth_config *config = server_auth_config(r->worker->server);

    if (mine == NULL ||
        (config->grant_default_workspace_access && str_eq(name, STR(SCOPE_DEFAULT))))
        return true;
    for (int i = 0; i < PQntuples(mine); i++) {
        if (str_eq(sql_get(mine, i, 0), name))
            return true;
    }
    return false;
}

static err_t list_answer(struct req *r, const PGresult *rows, const PGresult *mine)
{
    struct json j;
    bool is_open = false;

    reply_json(r, &j);
    json_open(&j);
    for (int i = 0; i < PQntuples(rows); i++) {
        if (!is_mine(r, mine, sql_get(rows, i, 0)))
            continue;
        if (!is_open) {
            json_key(&j, "workspaces");
            json_open_list(&j);
            is_open = true;
        }
        write_one(&j, rows, i);
    }
    if (is_open)
        json_close_list(&j);
    json_close(&j);
    return reply_ok(r);
}

static void list_over(struct req *r)
{
    struct workspace_call *c = r->whole;

    PQclear(c->rows);
    c->rows = NULL;
}

static err_t list_mine(struct req *r, struct fail *f)
{
    const struct workspace_call *c = r->whole;

    if (r->sql.err)
        return req_sql_fail(r, f);
    return list_answer(r, c->rows, r->sql.results[0]);
}

static err_t list_done(struct req *r, struct fail *f)
{
    struct workspace_call *c = r->whole;

    (void)f;
    if (!r->user || r->user->is_admin)
        return list_answer(r, r->sql.results[0], NULL);
    c->rows = r->sql.results[0];
    r->sql.results[0] = NULL; /* kept over the next wait */
    r->over = list_over;
    c->values[0] = sql_i64(&r->arena, r->user->id);
    return req_users_sql_try(r, &(struct sql_step){&MINE, c->values, 1}, 1, list_mine);
}

err_t api_workspace_list(struct req *r, struct fail *f)
{
    (void)f;
    if (is_off(r))
        return say_off(r);
    r->whole = arena_zalloc(&r->arena, sizeof(struct workspace_call));
    return req_sql(r, &(struct sql_step){&LIST, NULL, 0}, 1, list_done);
}

/* -- what a workspace may be -------------------------------------------------------------------- */

static err_t check_location(struct req *r, struct str *value, const char *field, struct fail *f)
{
    *value = str_trim(*value);
    return value->n ? artifact_uri_check(&r->arena, *value,
                                         str_of(server_artifact_root(r->worker->server)), field, f)
                    : OK;
}

static err_t check_root(struct req *r, struct str *value, struct fail *f)
{
    struct str scheme;
    err_t e;

    if (value->p == NULL)
        return OK;
    if ((e = check_location(r, value, "default_artifact_root", f)) || value->n == 0)
        return e;
    scheme = uri_parse(&r->arena, *value).scheme;
    if (scheme.n > 1 || str_starts(*value, STR("/")))
        return OK;
    return fail(f, ERR_BAD_PARAM,
                "Invalid value for 'default_artifact_root'. Expected a URI (for example "
                "'s3://bucket/prefix' or 'mlflow-artifacts:/prefix') or an absolute path, got "
                "'%.*s'.",
                STR_ARG(*value));
}

static err_t check_archive(struct req *r, struct str *value, struct fail *f)
{
    static const char field[] = "trace_archival_config.location";
    struct str scheme;
    err_t e;

    if (value->p == NULL)
        return OK;
    if ((e = check_location(r, value, field, f)) || value->n == 0)
        return e;
    scheme = uri_parse(&r->arena, *value).scheme;
    if (scheme.n == 0)
        return fail(f, ERR_BAD_PARAM, "Invalid value for '%s'. Expected a URI string.", field);
    if (str_eq(scheme, STR("mlflow-artifacts")))
        return fail(f, ERR_BAD_PARAM,
                    "Invalid value for '%s'. Trace archival location cannot use the proxy-only "
                    "`mlflow-artifacts:` scheme.",
                    field);
    return OK;
}

static err_t check_retention(struct str *value, struct fail *f)
{
    static const char field[] = "trace_archival_config.retention";
    size_t digits = 0;

    if (value->p == NULL)
        return OK;
    *value = str_trim(*value);
    if (value->n == 0)
        return OK;
    if (names_length(*value) > 32)
        return fail(f, ERR_BAD_PARAM, "Invalid value for '%s'. Maximum length is 32 characters.",
                    field);
    while (digits < value->n && value->p[digits] >= '0' && value->p[digits] <= '9')
        digits++;
    if (digits && value->p[0] != '0' && digits + 1 == value->n && strchr("mhd", value->p[digits]))
        return OK;
    return fail(f, ERR_BAD_PARAM,
                "Invalid value for '%s'. Expected a duration in the form `<int><unit>`, where unit "
                "is one of 'm', 'h', or 'd' (for example '30d' or '12h').",
                field);
}

static err_t check_values(struct req *r, struct str values[5], struct fail *f)
{
    err_t e;

    if ((e = check_root(r, &values[2], f)) || (e = check_archive(r, &values[3], f)) ||
        (e = check_retention(&values[4], f)))
        return e;
    for (int i = 0; i < 5; i++)
        values[i] = values[i].p ? sql_text(&r->arena, values[i]) : sql_null();
    return OK;
}

static struct str sent(const struct opt_str *o)
{
    return o->is_set ? o->s.p ? o->s : STR("") : sql_null();
}

/* -- create ------------------------------------------------------------------------------------- */

static err_t create_answer(struct req *r, struct fail *f)
{
    (void)f;
    return reply_text(r, 201, "application/json", *(const struct str *)r->data);
}

static err_t create_done(struct req *r, struct fail *f)
{
    struct workspace_call *c = r->whole;
    struct str *body;

    if (strncmp(r->sql.sqlstate, "23", 2) == 0)
        return fail(f, ERR_ALREADY_EXISTS, "Workspace '%.*s' already exists. Error: %.*s",
                    STR_ARG(c->values[0]), STR_ARG(r->sql.message));
    if (r->sql.err)
        return req_sql_fail(r, f);
    (void)answer_one(r, r->sql.results[0]);
    r->data = body = arena_alloc(&r->arena, sizeof(*body));
    *body = arena_dup(&r->arena, buf_str(&r->reply.body));
    r->state = REQ_RUNNING; /* the answer waits for the roles */
    workspace_changed(r->worker, c->values[0]);
    return grant_workspace_made(r, c->values[0], create_answer);
}

err_t api_workspace_create(struct req *r, struct fail *f)
{
    struct workspace_call *c = r->whole = arena_zalloc(&r->arena, sizeof(*c));
    struct msg_workspaces_create m;
    struct sql_step steps[2];
    err_t e;

    if (is_off(r))
        return say_off(r);
    if ((e = bind_request(&r->arena, &r->input, &MSG_workspaces_create, &m, f)))
        return e;
    if (str_eq(m.name.s, STR(SCOPE_DEFAULT)))
        return fail(f, ERR_BAD_PARAM, "The 'default' workspace is reserved and cannot be created");
    if ((e = workspace_check_name(m.name.s, f)))
        return e;
    c->values[0] = m.name.s;
    c->values[1] = sent(&m.description);
    c->values[2] = sent(&m.default_artifact_root);
    c->values[3] = sent(&m.trace_archival_config.location);
    c->values[4] = sent(&m.trace_archival_config.retention);
    if ((e = check_values(r, c->values, f)))
        return e;
    steps[0] = (struct sql_step){&CREATE, c->values, 5};
    return req_sql_try(r, steps, 1 + grant_workspace_made_step(r, c->values[0], &steps[1]),
                       create_done);
}

/* -- get and update ------------------------------------------------------------------------------- */

/* The name in the path. */
static err_t take_name(struct req *r, struct workspace_call *c, struct fail *f)
{
    c->values[0] = sql_text(&r->arena, route_arg(r, "workspace_name"));
    return str_eq(c->values[0], STR(SCOPE_DEFAULT)) ? OK : workspace_check_name(c->values[0], f);
}

static err_t one_done(struct req *r, struct fail *f)
{
    const struct workspace_call *c = r->whole;

    if (PQntuples(r->sql.results[0]) == 0)
        return not_found(c->values[0], f);
    return answer_one(r, r->sql.results[0]);
}

err_t api_workspace_get(struct req *r, struct fail *f)
{
    struct workspace_call *c = r->whole = arena_zalloc(&r->arena, sizeof(*c));
    err_t e;

    if (is_off(r))
        return say_off(r);
    if ((e = take_name(r, c, f)))
        return e;
    return req_sql(r, &(struct sql_step){&GET, c->values, 1}, 1, one_done);
}

err_t api_workspace_update(struct req *r, struct fail *f)
{
    struct workspace_call *c = r->whole = arena_zalloc(&r->arena, sizeof(*c));
    struct msg_workspaces_update m;
    err_t e;

    if (is_off(r))
        return say_off(r);
    if ((e = take_name(r, c, f)) ||
        (e = bind_request(&r->arena, &r->input, &MSG_workspaces_update, &m, f)))
        return e;
    c->values[1] = sent(&m.description);
    c->values[2] = sent(&m.default_artifact_root);
    c->values[3] = sent(&m.trace_archival_config.location);
    c->values[4] = sent(&m.trace_archival_config.retention);
    if (!c->values[1].p && !c->values[2].p && !c->values[3].p && !c->values[4].p)
        return fail(f, ERR_BAD_PARAM, "Workspace update must have at least one key");
    if ((e = check_values(r, c->values, f)))
        return e;
    return req_sql(r, &(struct sql_step){&UPDATE, c->values, 5}, 1, one_done);
}

/* -- delete ----------------------------------------------------------------------------------------- */

static err_t delete_answer(struct req *r, struct fail *f)
{
    (void)f;
    reply_header(r, "content-type",
                 "text/html; charset=utf-8"); /* Flask's, though nothing follows */
    return reply_text(r, 204, NULL, STR(""));
}

static err_t delete_done(struct req *r, struct fail *f)
{
    const struct workspace_call *c = r->whole;

    (void)f;
    return grant_workspace_gone(r, c->values[0], delete_answer);
}

static err_t take_mode(struct req *r, enum workspace_mode *mode, struct fail *f)
{
    size_t n;
    const struct input_pair *pairs = input_query(&r->arena, r->input.query, &n);
    struct str text = STR("RESTRICT");

    for (size_t i = n; i-- > 0;) {
        if (str_eq(pairs[i].name, STR("mode")))
            text = pairs[i].value;
    }
    if (str_eq(text, STR("RESTRICT")))
        *mode = WORKSPACE_RESTRICT;
    else if (str_eq(text, STR("SET_DEFAULT")))
        *mode = WORKSPACE_SET_DEFAULT;
    else if (str_eq(text, STR("CASCADE")))
        *mode = WORKSPACE_CASCADE;
    else
        return fail(f, ERR_BAD_PARAM,
                    "Invalid deletion mode '%.*s'. Must be one of: SET_DEFAULT, CASCADE, RESTRICT",
                    STR_ARG(text));
    return OK;
}

err_t api_workspace_delete(struct req *r, struct fail *f)
{
    struct workspace_call *c = r->whole = arena_zalloc(&r->arena, sizeof(*c));
    enum workspace_mode mode = WORKSPACE_RESTRICT;
    err_t e;

    if (is_off(r))
        return say_off(r);
    c->values[0] = sql_text(&r->arena, route_arg(r, "workspace_name"));
    if (str_eq(c->values[0], STR(SCOPE_DEFAULT)))
        return fail(f, ERR_BAD_PARAM, "The 'default' workspace is reserved and cannot be deleted");
    if ((e = workspace_check_name(c->values[0], f)) || (e = take_mode(r, &mode, f)))
        return e;
    return workspace_delete(r, c->values[0], mode, delete_done);
}
