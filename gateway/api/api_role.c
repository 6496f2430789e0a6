/*
 * api_role: roles: made, read, listed, changed, deleted, and whose they are.
 *
 * Who may call is may_people.c's to say. Each call is one statement or one pipeline. What changes whom a
 * role permits what makes all workers ask again (grant_tell_all).
 */
#include "gateway/api/api.h"

#include <string.h>

#include "gateway/auth/grant_ask.h"
#include "gateway/auth/may_input.h"
#include "gateway/auth/role_json.h"
#include "gateway/http/reply.h"
#include "gateway/req_user.h"
#include "ingest/document.h"
#include "schema/errors.h"
#include "yyjson.h"

#define RESERVED "__user_"

#define ROLES \
    "SELECT " ROLE_COLUMNS " FROM roles r LEFT JOIN role_permissions p ON p.role_id = r.id"

static const struct stmt GET = {"role_get", ROLES " WHERE r.id = $1::int8" ROLE_ORDER};
static const struct stmt CREATE = {
    "role_create", "INSERT INTO roles (name, workspace, description) VALUES ($1, $2, $3)"
                   " RETURNING id, name, workspace, description, NULL, NULL, NULL, NULL"};
static const struct stmt LIST = {
    "role_list", ROLES " WHERE $1::text[] IS NULL OR r.workspace = ANY($1::text[])" ROLE_ORDER};
static const struct stmt UPDATE = {
    "role_update", "WITH role AS (SELECT id, workspace FROM roles WHERE id = $1::int8),"
                   " taken AS (SELECT 1 FROM roles o JOIN role ON o.workspace = role.workspace"
                   " WHERE o.name = $2::text AND o.id <> role.id),"
                   " done AS (UPDATE roles SET name = coalesce($2::text, name),"
                   " description = coalesce($3::text, description) WHERE id = $1::int8"
                   " AND NOT EXISTS (SELECT 1 FROM taken))"
                   " SELECT workspace, EXISTS (SELECT 1 FROM taken) FROM role"};
static const struct stmt DROP_PERMISSIONS = {
    "role_drop_permissions", "DELETE FROM role_permissions WHERE role_id = $1::int8"};
static const struct stmt DROP_ASSIGNMENTS = {
    "role_drop_assignments", "DELETE FROM user_role_assignments WHERE role_id = $1::int8"};
static const struct stmt DROP = {"role_drop", "DELETE FROM roles WHERE id = $1::int8 RETURNING id"};
/* Of a user; $2: those in workspaces only that this other user is chief of, NULL = all. */
static const struct stmt OF_USER = {
    "role_of_user",
    ROLES " JOIN user_role_assignments a ON a.role_id = r.id JOIN users u ON u.id = a.user_id"
          " WHERE u.username = $1::text AND ($2::int4 IS NULL OR r.workspace IN"
          " (SELECT c.workspace FROM user_role_assignments ca JOIN roles c ON c.id = ca.role_id"
          " JOIN role_permissions cp ON cp.role_id = c.id WHERE ca.user_id = $2::int4"
          " AND cp.resource_type = 'workspace' AND cp.resource_pattern = '*'"
          " AND cp.permission = 'MANAGE'))" ROLE_ORDER};
static const struct stmt USER = {"role_user", "SELECT id FROM users WHERE username = $1::text"};

struct role_call {
    struct may *m;
    struct str values[3];
};

static struct role_call *role_begin(struct req *r)
{
    struct role_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));

    c->m = role_input(r);
    return c;
}

static err_t role_show(struct req *r, const PGresult *res)
{
    struct json j;

    role_json_begin(r, &j);
    json_key(&j, "role");
    (void)role_json(&j, res, 0, 0);
    return role_json_end(r, &j);
}

/* -- create, get, list -------------------------------------------------------------------------- */

static err_t check_reserved(struct str name, struct fail *f)
{
    if (!str_starts(name, STR(RESERVED)))
        return OK;
    return fail(
        f, ERR_BAD_PARAM,
        "Role name '%.*s' uses the reserved '__user_' prefix, which is held for the per-user"
        " permission representation. Choose a different name.",
        STR_ARG(name));
}

/* A text of the body that may be null or absent: p NULL there. */
static err_t body_text(struct may *m, const char *name, const char *what, struct str *out,
                       struct fail *f)
{
    yyjson_val *v = m->body && m->has_json ? document_get(m->body, str_of(name)) : NULL;

    *out = sql_null();
    if (v == NULL || yyjson_is_null(v))
        return OK;
    if (!yyjson_is_str(v))
        return fail(f, ERR_BAD_PARAM, "%s", what);
    *out = sql_text(&m->r->arena, document_str(v));
    return OK;
}

static err_t create_done(struct req *r, struct fail *f)
{
    const struct role_call *c = r->data;

    if (strcmp(r->sql.sqlstate, "23505") == 0)
        return fail(f, ERR_ALREADY_EXISTS,
                    "Role (name=%.*s, workspace=%.*s) already exists. Error: %.*s",
                    STR_ARG(c->values[0]), STR_ARG(c->values[1]), STR_ARG(r->sql.message));
    return r->sql.err ? req_sql_fail(r, f) : role_show(r, r->sql.results[0]);
}

err_t api_role_create(struct req *r, struct fail *f)
{
    struct role_call *c = role_begin(r);
    err_t e;

    if ((e = role_text(c->m, "name", &c->values[0], f)) ||
        (e = role_text(c->m, "workspace", &c->values[1], f)))
        return e;
    if (str_trim(c->values[0]).n == 0)
        return fail(f, ERR_BAD_PARAM, "Role name cannot be empty.");
    if (str_trim(c->values[1]).n == 0)
        return fail(f, ERR_BAD_PARAM, "Workspace cannot be empty.");
    if ((e = body_text(c->m, "description", "Role description must be a string or null.",
                       &c->values[2], f)) ||
        (e = check_reserved(c->values[0], f)))
        return e;
    return req_users_sql_try(r, &(struct sql_step){&CREATE, c->values, 3}, 1, create_done);
}

static err_t get_done(struct req *r, struct fail *f)
{
    const struct role_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return role_missing(c->values[0], f);
    return role_show(r, r->sql.results[0]);
}

err_t api_role_get(struct req *r, struct fail *f)
{
    struct role_call *c = role_begin(r);
    err_t e = role_int(c->m, "role_id", &c->values[0], f);

    return e ? e : req_users_sql(r, &(struct sql_step){&GET, c->values, 1}, 1, get_done);
}

static err_t list_done(struct req *r, struct fail *f)
{
    (void)f;
    return role_json_list(r, r->sql.results[0]);
}

err_t api_role_list(struct req *r, struct fail *f)
{
    struct role_call *c = role_begin(r);
    struct str *names;
    size_t n = may_query_all(c->m, "workspace", &names);

    for (size_t i = 0; i < n; i++) {
        if (str_trim(names[i]).n == 0)
            return fail(f, ERR_BAD_PARAM,
                        "Parameter 'workspace' must be a non-empty string when provided.");
    }
    c->values[0] = n ? sql_text_array(&r->arena, names, n) : sql_null();
    return req_users_sql(r, &(struct sql_step){&LIST, c->values, 1}, 1, list_done);
}

static err_t of_user_done(struct req *r, struct fail *f)
{
    const struct role_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return role_user_missing(c->values[0], f);
    return role_json_list(r, r->sql.results[1]);
}

err_t api_role_of_user(struct req *r, struct fail *f)
{
    struct role_call *c = role_begin(r);
    struct sql_step steps[2] = {{&USER, c->values, 1}, {&OF_USER, c->values, 2}};
    err_t e = role_text(c->m, "username", &c->values[0], f);

    if (e)
        return e;
    c->values[1] = r->user->is_admin || str_eq(c->values[0], r->user->name)
                       ? sql_null()
                       : sql_i64(&r->arena, r->user->id);
    return req_users_sql(r, steps, 2, of_user_done);
}

/* -- change, delete ------------------------------------------------------------------------------- */

static err_t update_done(struct req *r, struct fail *f)
{
    const struct role_call *c = r->data;
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) == 0)
        return role_missing(c->values[0], f);
    if (sql_get_bool(res, 0, 1))
        return fail(f, ERR_ALREADY_EXISTS, "Role with name=%.*s already exists in workspace=%.*s",
                    STR_ARG(c->values[1]), STR_ARG(sql_get(res, 0, 0)));
    return role_show(r, r->sql.results[1]);
}

err_t api_role_update(struct req *r, struct fail *f)
{
    struct role_call *c = role_begin(r);
    struct sql_step steps[2] = {{&UPDATE, c->values, 3}, {&GET, c->values, 1}};
    err_t e;

    if ((e = role_int(c->m, "role_id", &c->values[0], f)) ||
        (e = body_text(c->m, "name", "Role name cannot be empty.", &c->values[1], f)) ||
        (e = body_text(c->m, "description", "Role description must be a string.", &c->values[2],
                       f)))
        return e;
    if (c->values[1].p == NULL && c->values[2].p == NULL)
        return fail(f, ERR_BAD_PARAM,
                    "At least one of 'name' or 'description' must be provided to update a role.");
    if (c->values[1].p && str_trim(c->values[1]).n == 0)
        return fail(f, ERR_BAD_PARAM, "Role name cannot be empty.");
    if (c->values[1].p && (e = check_reserved(c->values[1], f)))
        return e;
    return req_users_sql(r, steps, 2, update_done);
}

static err_t delete_done(struct req *r, struct fail *f)
{
    const struct role_call *c = r->data;

    if (PQntuples(r->sql.results[2]) == 0)
        return role_missing(c->values[0], f);
    grant_tell_all(r->worker);
    return role_done(r);
}

err_t api_role_delete(struct req *r, struct fail *f)
{
    struct role_call *c = role_begin(r);
    struct sql_step steps[3] = {{&DROP_PERMISSIONS, c->values, 1},
                                {&DROP_ASSIGNMENTS, c->values, 1},
                                {&DROP, c->values, 1}};
    err_t e = role_int(c->m, "role_id", &c->values[0], f);

    return e ? e : req_users_sql(r, steps, 3, delete_done);
}
