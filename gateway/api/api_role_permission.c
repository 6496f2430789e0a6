/*
 * api_role_permission: what roles permit, and who has them.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "gateway/auth/grant_ask.h"
#include "gateway/auth/role_json.h"
#include "gateway/http/reply.h"
#include "gateway/req_user.h"
#include "schema/errors.h"

#define PERMISSION "id, permission, resource_pattern, resource_type, role_id"

static const struct stmt ROLE = {"role_permission_role",
                                 "SELECT id FROM roles WHERE id = $1::int8"};
static const struct stmt ADD = {
    "role_permission_add",
    "INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)"
    " SELECT id, $2::text, $3::text, $4::text FROM roles WHERE id = $1::int8"
    " RETURNING " PERMISSION};
static const struct stmt REMOVE = {"role_permission_remove",
                                   "DELETE FROM role_permissions WHERE id = $1::int8 RETURNING id"};
static const struct stmt LIST = {"role_permission_list",
                                 "SELECT " PERMISSION
                                 " FROM role_permissions WHERE role_id = $1::int8 ORDER BY id"};
static const struct stmt GET = {"role_permission_get",
                                "SELECT " PERMISSION " FROM role_permissions WHERE id = $1::int8"};
static const struct stmt UPDATE = {"role_permission_update",
                                   "UPDATE role_permissions SET permission = $2::text"
                                   " WHERE id = $1::int8 RETURNING " PERMISSION};
static const struct stmt USER = {"assignment_user",
                                 "SELECT id FROM users WHERE username = $1::text"};
static const struct stmt ASSIGN = {
    "assignment_add",
    "INSERT INTO user_role_assignments (user_id, role_id) SELECT u.id, r.id FROM users u, roles r"
    " WHERE u.username = $2::text AND r.id = $1::int8 ON CONFLICT (user_id, role_id) DO NOTHING"
    " RETURNING id, role_id, user_id"};
static const struct stmt UNASSIGN = {
    "assignment_remove", "DELETE FROM user_role_assignments a USING users u WHERE u.id = a.user_id"
                         " AND u.username = $2::text AND a.role_id = $1::int8 RETURNING a.id"};
static const struct stmt USERS_OF = {"assignment_list",
                                     "SELECT id, role_id, user_id FROM user_role_assignments"
                                     " WHERE role_id = $1::int8 ORDER BY id"};

struct permission_call {
    struct may *m;
    struct str values[4];
};

static struct permission_call *permission_begin(struct req *r)
{
    struct permission_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));

    c->m = role_input(r);
    return c;
}

/* -- permissions ----------------------------------------------------------------------------------- */

static err_t permission_show(struct req *r, const PGresult *res)
{
    struct json j;

    role_json_begin(r, &j);
    json_key(&j, "role_permission");
    role_permission_json(&j, res, 0, 0, sql_get_i64(res, 0, 4));
    return role_json_end(r, &j);
}

static err_t permission_missing(struct str id, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "Role permission with id=%.*s not found", STR_ARG(id));
}

static err_t add_done(struct req *r, struct fail *f)
{
    const struct permission_call *c = r->data;
    const struct str *v = c->values;

    if (strcmp(r->sql.sqlstate, "23505") == 0)
        return fail(f, ERR_ALREADY_EXISTS,
                    "Role permission (role_id=%.*s, resource_type=%.*s, resource_pattern=%.*s)"
                    " already exists. Error: %.*s",
                    STR_ARG(v[0]), STR_ARG(v[1]), STR_ARG(v[2]), STR_ARG(r->sql.message));
    if (r->sql.err)
        return req_sql_fail(r, f);
    if (PQntuples(r->sql.results[0]) == 0)
        return role_missing(v[0], f);
    grant_tell_all(r->worker);
    return permission_show(r, r->sql.results[0]);
}

err_t api_role_permission_add(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    struct str *v = c->values;
    err_t e;

    if ((e = role_int(c->m, "role_id", &v[0], f)) ||
        (e = role_text(c->m, "resource_type", &v[1], f)) ||
        (e = role_text(c->m, "resource_pattern", &v[2], f)) ||
        (e = role_text(c->m, "permission", &v[3], f)) || (e = role_check_grant(v[3], v[1], f)) ||
        (e = role_check_pattern(v[2], v[1], f)))
        return e;
    return req_users_sql_try(r, &(struct sql_step){&ADD, v, 4}, 1, add_done);
}

static err_t remove_done(struct req *r, struct fail *f)
{
    const struct permission_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return permission_missing(c->values[0], f);
    grant_tell_all(r->worker);
    return role_done(r);
}

err_t api_role_permission_remove(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    err_t e = role_int(c->m, "role_permission_id", &c->values[0], f);

    return e ? e : req_users_sql(r, &(struct sql_step){&REMOVE, c->values, 1}, 1, remove_done);
}

/* What belongs to a role that is there: the rows of the second result, each by write. */
static err_t show_list(struct req *r, const char *name,
                       void (*write)(struct json *j, const PGresult *res, int row), struct fail *f)
{
    const struct permission_call *c = r->data;
    const PGresult *res = r->sql.results[1];
    struct json j;

    if (PQntuples(r->sql.results[0]) == 0)
        return role_missing(c->values[0], f);
    role_json_begin(r, &j);
    json_key(&j, name);
    json_open_list(&j);
    for (int row = 0; row < PQntuples(res); row++)
        write(&j, res, row);
    json_close_list(&j);
    return role_json_end(r, &j);
}

static void permission_json(struct json *j, const PGresult *res, int row)
{
    role_permission_json(j, res, row, 0, sql_get_i64(res, row, 4));
}

static err_t list_done(struct req *r, struct fail *f)
{
    return show_list(r, "role_permissions", permission_json, f);
}

err_t api_role_permission_list(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    struct sql_step steps[2] = {{&ROLE, c->values, 1}, {&LIST, c->values, 1}};
    err_t e = role_int(c->m, "role_id", &c->values[0], f);

    return e ? e : req_users_sql(r, steps, 2, list_done);
}

static err_t update_done(struct req *r, struct fail *f)
{
    const struct permission_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return permission_missing(c->values[0], f);
    grant_tell_all(r->worker);
    return permission_show(r, r->sql.results[0]);
}

static err_t update_seen(struct req *r, struct fail *f)
{
    struct permission_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    err_t e;

    if (PQntuples(res) == 0)
        return permission_missing(c->values[0], f);
    if ((e = role_check_grant(c->values[1], sql_get(res, 0, 3), f)))
        return e;
    return req_users_sql(r, &(struct sql_step){&UPDATE, c->values, 2}, 1, update_done);
}

err_t api_role_permission_update(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    err_t e;

    if ((e = role_int(c->m, "role_permission_id", &c->values[0], f)) ||
        (e = role_text(c->m, "permission", &c->values[1], f)))
        return e;
    return req_users_sql(r, &(struct sql_step){&GET, c->values, 1}, 1, update_seen);
}

/* -- who has them ------------------------------------------------------------------------------------ */

static void assignment_json(struct json *j, const PGresult *res, int row)
{
    json_open(j);
    json_pair_i64(j, "id", sql_get_i64(res, row, 0));
    json_pair_i64(j, "role_id", sql_get_i64(res, row, 1));
    json_pair_i64(j, "user_id", sql_get_i64(res, row, 2));
    json_close(j);
}

/* The user of that name, then what was done; 0 rows of the latter mean what words say. */
static err_t assignment_check(struct req *r, bool asks_role, const char *words, struct fail *f)
{
    const struct permission_call *c = r->data;
    const PGresult *user = r->sql.results[0];

    if (PQntuples(user) == 0)
        return role_user_missing(c->values[1], f);
    if (asks_role && PQntuples(r->sql.results[1]) == 0)
        return role_missing(c->values[0], f);
    if (PQntuples(r->sql.results[2]) == 0)
        return fail(f, asks_role ? ERR_ALREADY_EXISTS : ERR_NOT_FOUND,
                    "User role assignment (user_id=%.*s, role_id=%.*s) %s",
                    STR_ARG(sql_get(user, 0, 0)), STR_ARG(c->values[0]), words);
    grant_tell(r->worker, sql_get_i64(user, 0, 0));
    return OK;
}

static err_t assign_done(struct req *r, struct fail *f)
{
    err_t e = assignment_check(r, true, "already exists", f);
    struct json j;

    if (e)
        return e;
    role_json_begin(r, &j);
    json_key(&j, "assignment");
    assignment_json(&j, r->sql.results[2], 0);
    return role_json_end(r, &j);
}

static err_t unassign_done(struct req *r, struct fail *f)
{
    err_t e = assignment_check(r, false, "not found", f);

    return e ? e : role_done(r);
}

static err_t assignment_ask(struct req *r, const struct stmt *stmt, req_step next, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    struct sql_step steps[3] = {
        {&USER, &c->values[1], 1}, {&ROLE, c->values, 1}, {stmt, c->values, 2}};
    err_t e;

    if ((e = role_text(c->m, "username", &c->values[1], f)) ||
        (e = role_int(c->m, "role_id", &c->values[0], f)))
        return e;
    return req_users_sql(r, steps, 3, next);
}

err_t api_role_assign(struct req *r, struct fail *f)
{
    return assignment_ask(r, &ASSIGN, assign_done, f);
}

err_t api_role_unassign(struct req *r, struct fail *f)
{
    return assignment_ask(r, &UNASSIGN, unassign_done, f);
}

static err_t users_done(struct req *r, struct fail *f)
{
    return show_list(r, "assignments", assignment_json, f);
}

err_t api_role_users(struct req *r, struct fail *f)
{
    struct permission_call *c = permission_begin(r);
    struct sql_step steps[2] = {{&ROLE, c->values, 1}, {&USERS_OF, c->values, 1}};
    err_t e = role_int(c->m, "role_id", &c->values[0], f);

    return e ? e : req_users_sql(r, steps, 2, users_done);
}
