/*
 * api_permission: what single users were granted: listed, asked for, given, taken back.
 *
 * A grant to a user stands on his own role (grant_write.c tells). Giving inserts and never changes what is
 * there; taking back the last leaves the role, empty.
 */
#include "gateway/api/api.h"

#include "gateway/auth/auth_config.h"
#include "gateway/auth/grant_ask.h"
#include "gateway/auth/may_input.h"
#include "gateway/auth/role_json.h"
#include "gateway/http/reply.h"
#include "gateway/req_user.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "schema/errors.h"

static const struct stmt USER = {
    "permission_user", "SELECT id, coalesce(is_admin, false) FROM users WHERE username = $1::text"};
/* Of a user; $2: those in workspaces only that this other user is chief of, NULL = all. */
static const struct stmt LIST = {
    "permission_list",
    "SELECT p.permission, p.resource_pattern, p.resource_type, r.id, r.name, r.workspace"
    " FROM users u JOIN user_role_assignments a ON a.user_id = u.id JOIN roles r"
    " ON r.id = a.role_id JOIN role_permissions p ON p.role_id = r.id WHERE u.username = $1::text"
    " AND ($2::int4 IS NULL OR r.workspace IN"
    " (SELECT c.workspace FROM user_role_assignments ca JOIN roles c ON c.id = ca.role_id"
    " JOIN role_permissions cp ON cp.role_id = c.id WHERE ca.user_id = $2::int4"
    " AND cp.resource_type = 'workspace' AND cp.resource_pattern = '*'"
    " AND cp.permission = 'MANAGE')) ORDER BY r.id, p.id"};
static const struct stmt GRANTS = {
    "permission_grants",
    "SELECT p.resource_type, p.resource_pattern, p.permission FROM users u"
    " JOIN user_role_assignments a ON a.user_id = u.id JOIN roles r ON r.id = a.role_id"
    " JOIN role_permissions p ON p.role_id = r.id"
    " WHERE u.username = $1::text AND r.workspace = " SCOPE_NAME};
static const struct stmt GRANT = {
    "permission_grant",
    "WITH who AS (SELECT id FROM users WHERE username = $1::text),"
    " role AS (INSERT INTO roles (name, workspace) SELECT '__user_' || id || '__', " SCOPE_NAME
    " FROM who ON CONFLICT (workspace, name) DO UPDATE SET name = excluded.name RETURNING id),"
    " given AS (INSERT INTO user_role_assignments (user_id, role_id) SELECT who.id, role.id"
    " FROM who, role ON CONFLICT (user_id, role_id) DO NOTHING)"
    " INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)"
    " SELECT role.id, $2::text, $3::text, $4::text FROM role"
    " ON CONFLICT (role_id, resource_type, resource_pattern) DO NOTHING RETURNING id"};
static const struct stmt REVOKE = {
    "permission_revoke",
    "DELETE FROM role_permissions p USING roles r, users u WHERE r.id = p.role_id"
    " AND u.username = $1::text AND r.name = '__user_' || u.id || '__' AND r.workspace "
    "= " SCOPE_NAME
    " AND p.resource_type = $2::text AND p.resource_pattern = $3::text RETURNING p.id"};

struct permission_call {
    struct may *m;
    struct str values[4]; /* user, type, id, level */
};

static struct permission_call *permission_begin(struct req *r)
{
    struct permission_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));

    c->m = role_input(r);
    return c;
}

/* -- list -------------------------------------------------------------------------------------------- */

static err_t list_done(struct req *r, struct fail *f)
{
    const struct permission_call *c = r->data;
    const PGresult *user = r->sql.results[0], *res = r->sql.results[1];
    struct json j;

    if (PQntuples(user) == 0)
        return role_user_missing(c->values[0], f);
    role_json_begin(r, &j);
    json_key(&j, "is_admin");
    json_bool(&j, sql_get_bool(user, 0, 1));
    json_key(&j, "permissions");
    json_open_list(&j);
    for (int row = 0; row < PQntuples(res); row++) {
        json_open(&j);
        json_pair_str(&j, "permission", sql_get(res, row, 0));
        json_pair_str(&j, "resource_pattern", sql_get(res, row, 1));
        json_pair_str(&j, "resource_type", sql_get(res, row, 2));
        json_pair_i64(&j, "role_id", sql_get_i64(res, row, 3));
        json_pair_str(&j, "role_name", sql_get(res, row, 4));
        json_pair_str(&j, "workspace", sql_get(res, row, 5));
        json_close(&j);
    }
    json_close_list(&j);
    return role_json_end(r, &j);
}

static err_t list_ask(struct req *r, struct permission_call *c)
{
    struct sql_step steps[2] = {{&USER, c->values, 1}, {&LIST, c->values, 2}};

    c->values[1] = r->user->is_admin || str_eq(c->values[0], r->user->name)
                       ? sql_null()
                       : sql_i64(&r->arena, r->user->id);
    return req_users_sql(r, steps, 2, list_done);
}

err_t api_permission_current(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);

    (void)f;
    c->values[0] = sql_text(&r->arena, r->user->name);
    return list_ask(r, c);
}

err_t api_permission_list(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    err_t e = role_text(c->m, "username", &c->values[0], f);

    return e ? e : list_ask(r, c);
}

/* -- get ----------------------------------------------------------------------------------------------- */

static err_t get_done(struct req *r, struct fail *f)
{
    const struct permission_call *c = r->data;
    const struct str *v = c->values;
    const PGresult *res = r->sql.results[1];
    int n = PQntuples(res);
    struct grant_row *rows = arena_array(&r->arena, (size_t)n, sizeof(*rows));
    enum grant_level fallback, level;
    enum grant_action action;
    struct need need = {.id = v[2], .action = DO_USE};
    struct grants *grants;
    struct json j;
    err_t e;

    if (PQntuples(r->sql.results[0]) == 0)
        return role_user_missing(v[0], f);
    if ((e = may_no_workspace(v[1], f)) || (e = may_type_check(v[1], &need.type, f)))
        return e;
    if (!str_eq(v[2], STR("*")) && (e = may_type_single(need.type, v[2], f)))
        return e;
    if (!grant_level_of(server_auth_config(r->worker->server)->default_permission, &fallback))
        return fail(f, ERR_INTERNAL, "default_permission is none of MLflow's.");
    for (int i = 0; i < n; i++)
        rows[i] = (struct grant_row){sql_get(res, i, 0), sql_get(res, i, 1), sql_get(res, i, 2)};
    grants = grants_new(rows, (size_t)n);
    level = grants_govern(grants, &need, fallback, fallback, &action);
    grants_put(grants);
    role_json_begin(r, &j);
    json_key(&j, "allowed");
    json_bool(&j, grant_allows(level, DO_USE));
    json_pair_str(&j, "permission", str_of(grant_level_name(level)));
    return role_json_end(r, &j);
}

static err_t permission_params(struct permission_call *c, bool has_level, struct fail *f)
{
    struct str *v = c->values;
    err_t e;

    if ((e = role_text(c->m, "username", &v[0], f)) ||
        (e = role_text(c->m, "resource_type", &v[1], f)) ||
        (e = role_text(c->m, "resource_id", &v[2], f)))
        return e;
    return has_level ? role_text(c->m, "permission", &v[3], f) : OK;
}

err_t api_permission_get(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    struct sql_step steps[2] = {{&USER, c->values, 1}, {&GRANTS, c->values, 1}};
    err_t e = permission_params(c, false, f);

    return e ? e : req_users_sql(r, steps, 2, get_done);
}

/* -- grant, revoke --------------------------------------------------------------------------------------- */

/* A user who is not there is said before anything about the grant. */
static err_t permission_user(struct req *r, struct fail *f)
{
    const struct permission_call *c = r->data;

    return PQntuples(r->sql.results[0]) ? OK : role_user_missing(c->values[0], f);
}

static err_t permission_end(struct req *r, err_t kind, const char *words, struct fail *f)
{
    const struct permission_call *c = r->data;
    const struct str *v = c->values;

    if (PQntuples(r->sql.results[0]) == 0)
        return fail(f, kind, "Permission for user=%.*s on resource_type=%.*s, resource_id=%.*s %s.",
                    STR_ARG(v[0]), STR_ARG(v[1]), STR_ARG(v[2]), words);
    grant_tell_all(r->worker);
    return role_done(r);
}

static err_t grant_done(struct req *r, struct fail *f)
{
    return permission_end(r, ERR_ALREADY_EXISTS, "already exists", f);
}

static err_t grant_user(struct req *r, struct fail *f)
{
    struct permission_call *c = r->data;
    const struct str *v = c->values;
    err_t e = permission_user(r, f);

    if (e || (e = may_no_workspace(v[1], f)) || (e = role_check_pattern(v[2], v[1], f)) ||
        (e = role_check_grant(v[3], v[1], f)))
        return e;
    return req_users_sql(r, &(struct sql_step){&GRANT, c->values, 4}, 1, grant_done);
}

err_t api_permission_grant(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    err_t e = permission_params(c, true, f);

    return e ? e : req_users_sql(r, &(struct sql_step){&USER, c->values, 1}, 1, grant_user);
}

static err_t revoke_done(struct req *r, struct fail *f)
{
    return permission_end(r, ERR_NOT_FOUND, "not found", f);
}

static err_t revoke_user(struct req *r, struct fail *f)
{
    struct permission_call *c = r->data;
    enum grant_type type;
    err_t e = permission_user(r, f);

    if (e || (e = may_no_workspace(c->values[1], f)) ||
        (e = may_type_check(c->values[1], &type, f)))
        return e;
    return req_users_sql(r, &(struct sql_step){&REVOKE, c->values, 3}, 1, revoke_done);
}

err_t api_permission_revoke(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    err_t e = permission_params(c, false, f);

    return e ? e : req_users_sql(r, &(struct sql_step){&USER, c->values, 1}, 1, revoke_user);
}
