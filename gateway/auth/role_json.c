/*
 * role_json: MLflow's Role, RolePermission and UserRoleAssignment as JSON.
 *
 * Flask writes what these calls answer: keys in alphabetical order, no blanks, a line's end.
 */
#include "gateway/auth/role_json.h"

#include "gateway/auth/may_input.h"
#include "gateway/http/reply.h"
#include "ingest/document.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "yyjson.h"

struct may *role_input(struct req *r)
{
    struct may *m = arena_zalloc(&r->arena, sizeof(*m));

    m->r = r;
    m->last_find = &m->finds;
    may_input(m);
    return m;
}

err_t role_text(struct may *m, const char *name, struct str *out, struct fail *f)
{
    err_t e = may_param(m, name, out, f);

    if (e)
        return e;
    if (str_find(*out, '\0') < out->n || python_has_surrogate(*out))
        return fail(f, ERR_BAD_REQUEST, "Parameter '%s' holds what PostgreSQL takes none of.",
                    name);
    *out = sql_text(&m->r->arena, *out);
    return OK;
}

err_t role_int(struct may *m, const char *name, struct str *out, struct fail *f)
{
    struct str text;
    int64_t id;
    err_t e = may_param(m, name, &text, f);

    if (e)
        return e;
    if (!bind_python_int(text, &id))
        return fail(f, ERR_BAD_PARAM, "Parameter '%s' must be an integer. Got: '%.*s'", name,
                    STR_ARG(text));
    *out = sql_i64(&m->r->arena, id);
    return OK;
}

void role_json_begin(struct req *r, struct json *j)
{
    reply_json_as(r, j, JSON_COMPACT);
    json_open(j);
}

err_t role_json_end(struct req *r, struct json *j)
{
    json_close(j);
    buf_add_byte(&r->reply.body, '\n');
    return reply_ok(r);
}

err_t role_done(struct req *r)
{
    return reply_text(r, 200, "application/json", STR("{}\n"));
}

void role_permission_json(struct json *j, const PGresult *res, int row, int column, int64_t role)
{
    json_open(j);
    json_pair_i64(j, "id", sql_get_i64(res, row, column));
    json_pair_str(j, "permission", sql_get(res, row, column + 1));
    json_pair_str(j, "resource_pattern", sql_get(res, row, column + 2));
    json_pair_str(j, "resource_type", sql_get(res, row, column + 3));
    json_pair_i64(j, "role_id", role);
    json_close(j);
}

bool role_is_same(const PGresult *res, int a, int b, int column)
{
    return str_eq(sql_get(res, a, column), sql_get(res, b, column));
}

int role_json(struct json *j, const PGresult *res, int row, int column)
{
    int first = row, n = PQntuples(res);

    json_open(j);
    json_key(j, "description");
    if (sql_is_null(res, row, column + 3))
        json_null(j);
    else
        json_str(j, sql_get(res, row, column + 3));
    json_pair_i64(j, "id", sql_get_i64(res, row, column));
    json_pair_str(j, "name", sql_get(res, row, column + 1));
    json_key(j, "permissions");
    json_open_list(j);
    for (; row < n && role_is_same(res, first, row, 0) && role_is_same(res, first, row, column);
         row++) {
        if (!sql_is_null(res, row, column + 4))
            role_permission_json(j, res, row, column + 4, sql_get_i64(res, row, column));
    }
    json_close_list(j);
    json_pair_str(j, "workspace", sql_get(res, first, column + 2));
    json_close(j);
    return row;
}

err_t role_json_list(struct req *r, const PGresult *res)
{
    struct json j;

    role_json_begin(r, &j);
    json_key(&j, "roles");
    json_open_list(&j);
    for (int row = 0; row < PQntuples(res);)
        row = role_json(&j, res, row, 0);
    json_close_list(&j);
    return role_json_end(r, &j);
}

err_t role_missing(struct str id, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "Role with id=%.*s not found", STR_ARG(id));
}

err_t role_user_missing(struct str name, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "User with username=%.*s not found", STR_ARG(name));
}

err_t role_check_grant(struct str level, struct str type, struct fail *f)
{
    enum grant_level l;
    enum grant_type t;
    err_t e;

    if (!grant_level_of(level, &l))
        return fail(f, ERR_BAD_PARAM,
                    "Invalid permission '%.*s'. Valid permissions are: ('READ', 'USE', 'EDIT',"
                    " 'MANAGE', 'NO_PERMISSIONS', 'DENY')",
                    STR_ARG(level));
    if ((e = may_type_check(type, &t, f)))
        return e;
    if (t == GRANT_WORKSPACE && l != LEVEL_USE && l != LEVEL_MANAGE)
        return fail(f, ERR_BAD_PARAM,
                    "Invalid permission '%.*s' for resource_type='workspace'. Workspace-wide grants"
                    " accept only: ('MANAGE', 'USE').",
                    STR_ARG(level));
    if (t != GRANT_WORKSPACE && l == LEVEL_NONE)
        return fail(f, ERR_BAD_PARAM,
                    "Invalid permission '%.*s' for resource_type='%.*s'. Resource-level grants"
                    " accept only: ('DENY', 'EDIT', 'MANAGE', 'READ', 'USE').",
                    STR_ARG(level), STR_ARG(type));
    return OK;
}

err_t role_check_pattern(struct str pattern, struct str type, struct fail *f)
{
    enum grant_type t;
    err_t e = may_type_check(type, &t, f);

    if (e || str_eq(pattern, STR("*")) || grant_type_has_ids(t))
        return e;
    return fail(f, ERR_BAD_PARAM,
                "Invalid resource_pattern '%.*s' for resource_type='%.*s'. This resource type"
                " supports only wildcard ('*') grants.",
                STR_ARG(pattern), STR_ARG(type));
}
