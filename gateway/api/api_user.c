/*
 * api_user: users: create, read, list, change, delete.
 *
 * Flask's own calls, without a protobuf message: parameters as param.h reads them, answers as jsonify
 * writes them, sorted and compact with a line's end. Hashes are made and checked by the threads that hash.
 * Who may call what is may.c's; what is refused here is refused to admins too.
 *
 * Whatever changes a user ends with auth_forget: from then on no worker of this process goes by what it
 * remembers.
 *
 * Where MLflow breaks (a password that is a number) the answer is 400; where it quotes the statement it
 * tried, with the new hash in it, the words end before that.
 */
#include <string.h>

#include "gateway/api/api.h"
#include "gateway/auth/auth_config.h"
#include "gateway/auth/auth_hash.h"
#include "gateway/auth/role_json.h"
#include "gateway/auth/user.h"
#include "gateway/http/reply.h"
#include "gateway/req_aside.h"
#include "gateway/req_user.h"
#include "gateway/search/param.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "ingest/python.h"
#include "schema/errors.h"

#define TEXT_HTML "text/html; charset=utf-8"

/* What a call is about; in the request's arena. */
struct user_call {
    struct str name;
    struct str password; /* p NULL: stays as it is */
    struct str current;  /* of update-password; p NULL: not asked for */
    struct str old_hash;
    struct str id; /* as PostgreSQL wrote it */
    bool is_current_right, is_made;
    char hash[AUTH_HASH_BYTES + 1];
};

static const struct stmt USER_GET = {
    "user_get",
    "SELECT id, coalesce(is_admin, false), username, coalesce(password_hash, '') FROM users"
    " WHERE username = $1"};
static const struct stmt USER_SET_PASSWORD = {
    "user_set_password", "UPDATE users SET password_hash = $2 WHERE id = $1::int4 RETURNING id"};
static const struct stmt USER_SET_ADMIN = {
    "user_set_admin",
    "UPDATE users SET is_admin = coalesce($2::bool, is_admin) WHERE username = $1 RETURNING id"};

/* -- words ------------------------------------------------------------------------------------- */

static err_t user_none(struct str name, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "User with username=%.*s not found", STR_ARG(name));
}

/* `{}` and a line's end: make_response({}). */
static err_t user_done(struct req *r)
{
    return reply_text(r, 200, "application/json", STR("{}\n"));
}

static void user_json_begin(struct req *r, struct json *j)
{
    reply_json_as(r, j, JSON_COMPACT);
    json_open(j);
}

static err_t user_json_end(struct req *r, struct json *j)
{
    json_close(j);
    buf_add_byte(&r->reply.body, '\n');
    return reply_ok(r);
}

static void user_json(struct json *j, const PGresult *res, int row)
{
    json_open(j);
    json_pair_i64(j, "id", sql_get_i64(res, row, 0));
    json_key(j, "is_admin");
    json_bool(j, sql_get_bool(res, row, 1));
    json_pair_str(j, "username", sql_get(res, row, 2));
    json_close(j);
}

/* -- parameters -------------------------------------------------------------------------------- */

/* A parameter that must be text; null is none: *out has p NULL then. */
static err_t user_text(yyjson_val *v, const char *name, struct str *out, struct fail *f)
{
    *out = (struct str){0};
    if (yyjson_is_null(v))
        return OK;
    if (!yyjson_is_str(v))
        return fail(f, ERR_BAD_PARAM, "Parameter '%s' must be a string.", name);
    *out = document_str(v);
    if (str_find(*out, '\0') < out->n || python_has_surrogate(*out))
        return fail(f, ERR_BAD_REQUEST, "Parameter '%s' holds what PostgreSQL takes none of.",
                    name);
    return OK;
}

static err_t user_name(struct req *r, struct str *out, struct fail *f)
{
    yyjson_val *v;
    err_t e;

    if ((e = param_get(r, "username", &v, f)) || (e = user_text(v, "username", out, f)))
        return e;
    return out->p ? OK : user_none(STR("None"), f);
}

static err_t user_find(struct req *r, struct str name, req_step next)
{
    struct str *value = arena_alloc(&r->arena, sizeof(*value));

    *value = sql_text(&r->arena, name);
    return req_users_sql(r, &(struct sql_step){&USER_GET, value, 1}, 1, next);
}

/* -- read -------------------------------------------------------------------------------------- */

static err_t get_done(struct req *r, struct fail *f)
{
    const struct user_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct json j;

    if (PQntuples(res) == 0)
        return user_none(c->name, f);
    user_json_begin(r, &j);
    json_key(&j, "user");
    user_json(&j, res, 0);
    return user_json_end(r, &j);
}

err_t api_user_get(struct req *r, struct fail *f)
{
    struct user_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    err_t e = user_name(r, &c->name, f);

    return e ? e : user_find(r, c->name, get_done);
}

static err_t current_done(struct req *r, struct fail *f)
{
    const PGresult *res = r->sql.results[0];
    struct json j;

    if (PQntuples(res) == 0)
        return user_none(r->user->name, f);
    user_json_begin(r, &j);
    json_key(&j, "is_basic_auth");
    json_bool(&j, str_eq(server_auth_config(r->worker->server)->authorization_function,
                         STR(AUTH_FUNCTION_BASIC)));
    json_key(&j, "user");
    user_json(&j, res, 0);
    return user_json_end(r, &j);
}

err_t api_user_current(struct req *r, struct fail *f)
{
    (void)f;
    return user_find(r, r->user->name, current_done);
}

/* -- list -------------------------------------------------------------------------------------- */

/* A row for each permission of each role of each user; roles that the caller may not see are left out:
 * an admin sees all, others their own and those of workspaces that they administer. */
static const struct stmt USER_LIST = {
    "user_list",
    "SELECT u.id, coalesce(u.is_admin, false), u.username, r.id, r.name, r.workspace, "
    "r.description,"
    " p.id, p.permission, p.resource_pattern, p.resource_type"
    " FROM users u LEFT JOIN (user_role_assignments a JOIN roles r ON r.id = a.role_id)"
    " ON a.user_id = u.id AND ($1::bool OR u.username = $2 OR r.workspace IN (SELECT mine.workspace"
    " FROM user_role_assignments ma JOIN roles mine ON mine.id = ma.role_id"
    " JOIN role_permissions mp ON mp.role_id = mine.id WHERE ma.user_id = $3::int4"
    " AND mp.resource_type = 'workspace' AND mp.resource_pattern = '*'"
    " AND mp.permission = 'MANAGE'))"
    " LEFT JOIN role_permissions p ON p.role_id = r.id ORDER BY u.id, a.id, p.id"};

static int list_user(struct json *j, const PGresult *res, int row)
{
    int first = row;

    json_open(j);
    json_pair_i64(j, "id", sql_get_i64(res, row, 0));
    json_key(j, "is_admin");
    json_bool(j, sql_get_bool(res, row, 1));
    json_key(j, "roles");
    json_open_list(j);
    while (row < PQntuples(res) && role_is_same(res, first, row, 0)) {
        if (sql_is_null(res, row, 3))
            row++;
        else
            row = role_json(j, res, row, 3);
    }
    json_close_list(j);
    json_pair_str(j, "username", sql_get(res, first, 2));
    json_close(j);
    return row;
}

static err_t list_done(struct req *r, struct fail *f)
{
    const PGresult *res = r->sql.results[0];
    struct json j;

    (void)f;
    user_json_begin(r, &j);
    json_key(&j, "users");
    json_open_list(&j);
    for (int row = 0; row < PQntuples(res);)
        row = list_user(&j, res, row);
    json_close_list(&j);
    return user_json_end(r, &j);
}

err_t api_user_list(struct req *r, struct fail *f)
{
    struct str *values = arena_array(&r->arena, 3, sizeof(*values));

    (void)f;
    values[0] = r->user->is_admin ? STR("t") : STR("f");
    values[1] = sql_text(&r->arena, r->user->name);
    values[2] = sql_i64(&r->arena, r->user->id);
    return req_users_sql(r, &(struct sql_step){&USER_LIST, values, 3}, 1, list_done);
}

/* -- create ------------------------------------------------------------------------------------ */

static err_t create_done(struct req *r, struct fail *f)
{
    const struct user_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct json j;

    if (PQntuples(res) == 0)
        return fail(f, ERR_ALREADY_EXISTS, "User (username=%.*s) already exists.",
                    STR_ARG(c->name));
    auth_forget(r->worker, c->name); /* as nobody */
    user_json_begin(r, &j);
    json_key(&j, "user");
    user_json(&j, res, 0);
    return user_json_end(r, &j);
}

static void user_make_hash(void *arg)
{
    struct req *r = arg;
    struct user_call *c = r->data;

    c->is_current_right = c->current.p == NULL || auth_hash_matches(c->old_hash, c->current);
    if (c->is_current_right && c->password.p && user_password_is_long(c->password))
        c->is_made = auth_hash_make(c->password, c->hash);
}

static err_t create_write(struct req *r, struct fail *f)
{
    struct user_call *c = r->data;
    struct sql_step step;

    if (!c->is_made)
        return fail(f, ERR_INTERNAL, "There are no random bytes for a salt.");
    step = user_insert(&r->arena, c->name, str_of(c->hash), false);
    return req_users_sql(r, &step, 1, create_done);
}

err_t api_user_create(struct req *r, struct fail *f)
{
    struct user_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    yyjson_val *name, *password;
    err_t e;

    if (!param_is_json(r))
        return reply_text(r, 400, TEXT_HTML, STR("Invalid content type. Must be application/json"));
    if ((e = param_get(r, "username", &name, f)) || (e = param_get(r, "password", &password, f)))
        return e;
    if (param_is_false(name) || param_is_false(password))
        return reply_text(r, 400, TEXT_HTML, STR("Username and password cannot be empty."));
    if ((e = user_text(name, "username", &c->name, f)) ||
        (e = user_text(password, "password", &c->password, f)) ||
        (e = user_check_password(c->password, f)))
        return e;
    return req_hash(r, c->name, user_make_hash, create_write);
}

/* -- change ------------------------------------------------------------------------------------ */

static err_t change_done(struct req *r, struct fail *f)
{
    const struct user_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return user_none(c->name, f);
    auth_forget(r->worker, c->name);
    return user_done(r);
}

static err_t password_write(struct req *r, struct fail *f)
{
    struct user_call *c = r->data;
    struct str *values = arena_array(&r->arena, 2, sizeof(*values));
    err_t e;

    if (!c->is_current_right)
        return fail(f, ERR_BAD_PARAM, "Current password does not match.");
    if (c->current.p && str_eq(c->current, c->password))
        return fail(f, ERR_BAD_PARAM, "New password must differ from the current password.");
    if (c->password.p == NULL)
        return user_done(r);
    if ((e = user_check_password(c->password, f)))
        return e;
    if (!c->is_made)
        return fail(f, ERR_INTERNAL, "There are no random bytes for a salt.");
    values[0] = c->id;
    values[1] = sql_text(&r->arena, str_of(c->hash));
    return req_users_sql(r, &(struct sql_step){&USER_SET_PASSWORD, values, 2}, 1, change_done);
}

static err_t password_found(struct req *r, struct fail *f)
{
    struct user_call *c = r->data;
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) == 0)
        return user_none(c->name, f);
    c->id = arena_dup(&r->arena, sql_get(res, 0, 0));
    c->old_hash = arena_dup(&r->arena, sql_get(res, 0, 3));
    c->is_current_right = c->current.p == NULL;
    if (c->current.p == NULL && (c->password.p == NULL || !user_password_is_long(c->password)))
        return password_write(r, f); /* there is nothing to hash */
    return req_hash(r, c->name, user_make_hash, password_write);
}

err_t api_user_update_password(struct req *r, struct fail *f)
{
    struct user_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    yyjson_val *password, *current;
    err_t e;

    if ((e = user_name(r, &c->name, f)) || (e = param_get(r, "password", &password, f)) ||
        (e = user_text(password, "password", &c->password, f)))
        return e;
    if (str_eq(c->name, r->user->name)) {
        current = param_of_body(r, "current_password");
        if (param_is_false(current))
            return fail(f, ERR_BAD_PARAM,
                        "Current password is required when changing your own password.");
        if ((e = user_text(current, "current_password", &c->current, f)))
            return e;
    }
    return user_find(r, c->name, password_found);
}

err_t api_user_update_admin(struct req *r, struct fail *f)
{
    struct user_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct str *values = arena_array(&r->arena, 2, sizeof(*values));
    yyjson_val *v;
    bool is_one, is_zero;
    err_t e;

    if ((e = user_name(r, &c->name, f)) || (e = param_get(r, "is_admin", &v, f)))
        return e;
    is_one = yyjson_is_true(v) || (yyjson_is_num(v) && yyjson_get_num(v) == 1);
    is_zero = yyjson_is_false(v) || (yyjson_is_num(v) && yyjson_get_num(v) == 0);
    if (!is_one && !is_zero && !yyjson_is_null(v))
        return fail(f, ERR_BAD_REQUEST, "Parameter 'is_admin' must be a boolean.");
    values[0] = sql_text(&r->arena, c->name);
    values[1] = is_one ? STR("t") : is_zero ? STR("f") : sql_null();
    return req_users_sql(r, &(struct sql_step){&USER_SET_ADMIN, values, 2}, 1, change_done);
}

/* -- delete ------------------------------------------------------------------------------------ */

/* The hidden role of a user, in every workspace, and what MLflow's older tables say of the user. Each
 * statement finds the user anew: they are one transaction, and the first locks the row. */
#define HIDDEN_ROLE                                                                 \
    "(SELECT id FROM roles WHERE name = (SELECT '__user_' || id || '__' FROM users" \
    " WHERE username = $1))"
#define THE_USER "(SELECT id FROM users WHERE username = $1)"
static const struct stmt USER_DELETES[] = {
    {"user_delete_lock", "SELECT id FROM users WHERE username = $1 FOR UPDATE"},
    {"user_delete_permissions", "DELETE FROM role_permissions WHERE role_id IN " HIDDEN_ROLE},
    {"user_delete_assignments",
     "DELETE FROM user_role_assignments WHERE user_id = " THE_USER " OR role_id IN " HIDDEN_ROLE},
    {"user_delete_roles", "DELETE FROM roles WHERE id IN " HIDDEN_ROLE},
    {"user_delete_older",
     "WITH u AS " THE_USER ","
     " a AS (DELETE FROM experiment_permissions WHERE user_id IN (SELECT id FROM u)),"
     " b AS (DELETE FROM registered_model_permissions WHERE user_id IN (SELECT id FROM u)),"
     " c AS (DELETE FROM scorer_permissions WHERE user_id IN (SELECT id FROM u)),"
     " d AS (DELETE FROM gateway_secret_permissions WHERE user_id IN (SELECT id FROM u)),"
     " e AS (DELETE FROM gateway_endpoint_permissions WHERE user_id IN (SELECT id FROM u)),"
     " g AS (DELETE FROM gateway_model_definition_permissions WHERE user_id IN (SELECT id FROM u))"
     " DELETE FROM workspace_permissions WHERE user_id IN (SELECT id FROM u)"},
    {"user_delete", "DELETE FROM users WHERE username = $1 RETURNING id"},
};

static err_t delete_done(struct req *r, struct fail *f)
{
    const struct user_call *c = r->data;

    if (PQntuples(r->sql.results[array_len(USER_DELETES) - 1]) == 0)
        return user_none(c->name, f);
    auth_forget(r->worker, c->name);
    return user_done(r);
}

err_t api_user_delete(struct req *r, struct fail *f)
{
    struct user_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct sql_step steps[array_len(USER_DELETES)];
    struct str *value = arena_alloc(&r->arena, sizeof(*value));
    err_t e = user_name(r, &c->name, f);

    if (e)
        return e;
    if (str_eq(c->name, r->user->name))
        return fail(f, ERR_BAD_REQUEST,
                    "Users cannot delete their own account. Ask another admin to delete this user "
                    "instead.");
    *value = sql_text(&r->arena, c->name);
    for (size_t i = 0; i < array_len(steps); i++)
        steps[i] = (struct sql_step){&USER_DELETES[i], value, 1};
    return req_users_sql(r, steps, array_len(steps), delete_done);
}
