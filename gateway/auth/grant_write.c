/*
 * grant_write: what becomes of permissions when things are made, renamed and deleted.
 *
 * A grant to one user stands on a role of his own, __user_<id>__ in the workspace, which the first grant
 * makes. Names of models come again, so their grants go with them: those on such roles, never those that an
 * admin gave to a role. A sweep asks whether the model is gone, so that it may stand behind a DELETE that
 * found nothing.
 *
 * Behind a commit it is tried ATTEMPTS times. When all fail the thing is there and its maker may not manage
 * it, which an admin can mend and nobody can retract: it is logged, and the answer is that of the call.
 */
#include "gateway/auth/grant_write.h"

#include "base/log.h"
#include "gateway/auth/auth_config.h"
#include "gateway/auth/grant_ask.h"
#include "gateway/auth/may_rule.h"
#include "gateway/req_user.h"
#include "gateway/server.h"
#include "gateway/worker.h"

enum { ATTEMPTS = 3 };

/* Refused by no row where somebody else has that role. */
#define OWN_ROW(id, unless)                                                                \
    "WITH role AS (INSERT INTO roles (name, workspace)"                                    \
    " VALUES ('__user_' || $1::text || '__', " SCOPE_NAME ")"                              \
    " ON CONFLICT (workspace, name) DO UPDATE SET name = excluded.name RETURNING id),"     \
    " given AS (INSERT INTO user_role_assignments (user_id, role_id)"                      \
    " SELECT $1::text::int4, id FROM role ON CONFLICT (user_id, role_id) DO NOTHING)"      \
    " INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)" \
    " SELECT role.id, $2::text, " id ", 'MANAGE' FROM role WHERE NOT EXISTS (SELECT 1"     \
    " FROM user_role_assignments o WHERE o.role_id = role.id AND o.user_id <> "            \
    "$1::text::int4)" unless " ON CONFLICT (role_id, resource_type, resource_pattern) "
#define OWN(id) OWN_ROW(id, "") "DO UPDATE SET permission = excluded.permission"

static const struct stmt OWN_MADE = {"grant_own_made",
                                     OWN("currval('experiments_experiment_id_seq')::text")};
static const struct stmt OWN_NAMED = {"grant_own", OWN("$3::text")};
static const struct stmt OWN_FIRST = {
    "grant_own_first",
    OWN_ROW("$3::text",
            " AND NOT EXISTS (SELECT 1 FROM role_permissions q JOIN roles s"
            " ON s.id = q.role_id WHERE s.workspace = " SCOPE_NAME
            " AND s.name ~ '^__user_[0-9]+__$' AND q.resource_type = $2::text"
            " AND q.resource_pattern = $3::text AND q.permission = 'MANAGE')") "DO NOTHING"};
/* Ids come once, and a scorer's is its experiment's; of MCP servers each workspace has its own names. */
static const struct stmt GONE = {
    "grant_gone", "DELETE FROM role_permissions p USING roles r WHERE r.id = p.role_id"
                  " AND r.name ~ '^__user_[0-9]+__$' AND p.resource_type = $1::text"
                  " AND p.resource_pattern = $2::text"
                  " AND ($1::text <> 'mcp_server' OR r.workspace = " SCOPE_NAME ")"};

/* Of single users, in the workspace. */
#define OF_USERS                                                         \
    " FROM roles r WHERE r.id = p.role_id AND r.workspace = " SCOPE_NAME \
    " AND r.name ~ '^__user_[0-9]+__$' AND p.resource_type IN ('registered_model', 'prompt')"
#define SWEEP                                                             \
    "DELETE FROM role_permissions p USING roles r WHERE r.id = p.role_id" \
    " AND r.workspace = " SCOPE_NAME " AND r.name ~ '^__user_[0-9]+__$'"  \
    " AND p.resource_type IN ('registered_model', 'prompt') AND p.resource_pattern = $1::text"

static const struct stmt SWEEP_GONE = {
    "grant_sweep_gone", SWEEP " AND NOT EXISTS (SELECT 1 FROM registered_models m"
                              " WHERE m.workspace = " SCOPE_NAME " AND m.name = $1::text)"};
static const struct stmt SWEEP_ALL = {"grant_sweep", SWEEP};
static const struct stmt RENAME = {"grant_rename",
                                   "UPDATE role_permissions p SET resource_pattern ="
                                   " $2::text" OF_USERS " AND p.resource_pattern = $1::text"};

/* Steps that are tried until they are done. */
struct grant_write {
    struct sql_step steps[2];
    unsigned nsteps, attempts;
    bool is_of_all;
    req_step next;
};

static void grant_note(const struct req *r, bool is_of_all)
{
    if (is_of_all)
        grant_tell_all(r->worker);
    else
        grant_tell(r->worker, r->user->id);
}

static err_t write_done(struct req *r, struct fail *f)
{
    struct grant_write *w = r->may->writing;

    if (r->sql.err && ++w->attempts < ATTEMPTS)
        return req_users_sql_try(r, w->steps, w->nsteps, write_done);
    if (r->sql.err)
        log_error("", "permissions could not be written behind a change",
                  "user=%.*s pg=%.*s remedy=%s", STR_ARG(str_head(r->user->name, 100)),
                  STR_ARG(str_head(r->sql.message, 200)), "grant them by hand");
    grant_note(r, w->is_of_all);
    return w->next(r, f);
}

static err_t write_begin(struct req *r, const struct sql_step *steps, unsigned n, bool is_of_all,
                         req_step next)
{
    struct grant_write *w = r->may->writing = arena_zalloc(&r->arena, sizeof(*w));

    for (unsigned i = 0; i < n; i++)
        w->steps[i] = steps[i];
    w->nsteps = n;
    w->is_of_all = is_of_all;
    w->next = next;
    return req_users_sql_try(r, w->steps, n, write_done);
}

static struct sql_step own_step(struct req *r, enum grant_type type, struct str id)
{
    struct arena *a = &r->arena;
    struct str *values = arena_array(a, 3, sizeof(*values));

    values[0] = sql_i64(a, r->user->id);
    values[1] = sql_text(a, str_of(grant_type_name(type)));
    values[2] = id.p ? sql_text(a, id) : sql_null();
    return (struct sql_step){id.p ? &OWN_NAMED : &OWN_MADE, values, id.p ? 3 : 2};
}

unsigned grant_own_step(struct req *r, enum grant_type type, struct str id, struct sql_step *step)
{
    if (!r->user || !req_users_are_here(r))
        return 0;
    *step = own_step(r, type, id);
    return 1;
}

err_t grant_own(struct req *r, enum grant_type type, struct str id, req_step next)
{
    struct sql_step step;

    if (!r->user)
        return next(r, r->fail);
    if (req_users_are_here(r)) {
        grant_note(r, false);
        return next(r, r->fail);
    }
    step = own_step(r, type, id);
    return write_begin(r, &step, 1, false, next);
}

err_t grant_own_now(struct req *r, enum grant_type type, struct str id, req_step next)
{
    struct sql_step step = own_step(r, type, id);

    return write_begin(r, &step, 1, false, next);
}

err_t grant_own_first(struct req *r, enum grant_type type, struct str id, req_step next)
{
    struct sql_step step = own_step(r, type, id);

    step.stmt = &OWN_FIRST;
    return write_begin(r, &step, 1, false, next);
}

err_t grant_gone(struct req *r, enum grant_type type, struct str id, req_step next)
{
    struct str *values = arena_array(&r->arena, 2, sizeof(*values));
    struct sql_step step = {&GONE, values, 2};

    values[0] = sql_text(&r->arena, str_of(grant_type_name(type)));
    values[1] = sql_text(&r->arena, id);
    return write_begin(r, &step, 1, true, next);
}

static struct sql_step sweep_step(struct req *r, const struct stmt *stmt, struct str name)
{
    struct str *value = arena_alloc(&r->arena, sizeof(*value));

    *value = sql_text(&r->arena, name);
    return (struct sql_step){stmt, value, 1};
}

/* What goes with a name in the transaction that ends it, where the users are in the same database. */
static unsigned name_step(struct req *r, const struct stmt *stmt, struct str name,
                          struct sql_step *step)
{
    if (!r->user || !req_users_are_here(r))
        return 0;
    *step = sweep_step(r, stmt, name);
    return 1;
}

/* After that transaction: told, or done now where they are in another. */
static err_t name_after(struct req *r, const struct stmt *stmt, struct str name, req_step next)
{
    struct sql_step step;

    if (!r->user)
        return next(r, r->fail);
    if (req_users_are_here(r)) {
        grant_note(r, true);
        return next(r, r->fail);
    }
    step = sweep_step(r, stmt, name);
    return write_begin(r, &step, 1, true, next);
}

unsigned grant_sweep_step(struct req *r, struct str name, struct sql_step *step)
{
    return name_step(r, &SWEEP_GONE, name, step);
}

err_t grant_sweep(struct req *r, struct str name, req_step next)
{
    return name_after(r, &SWEEP_ALL, name, next);
}

/* What was left of an older model of the new name is nobody's. */
err_t grant_rename(struct req *r, struct str from, struct str to, req_step next)
{
    struct sql_step steps[2];
    struct str *values;

    if (!r->user || str_eq(from, to))
        return next(r, r->fail);
    values = arena_array(&r->arena, 2, sizeof(*values));
    values[0] = sql_text(&r->arena, from);
    values[1] = sql_text(&r->arena, to);
    steps[0] = sweep_step(r, &SWEEP_ALL, to);
    steps[1] = (struct sql_step){&RENAME, values, 2};
    return write_begin(r, steps, 2, true, next);
}

/* -- workspaces --------------------------------------------------------------------------------- */

static const struct stmt SEED = {
    "grant_seed",
    "WITH made AS (INSERT INTO roles (name, workspace, description) VALUES"
    " ('admin', $1::text, 'Full MANAGE authority over the workspace.'),"
    " ('user', $1::text, 'Read every resource in the workspace and create new experiments and"
    " registered models; the creator-as-owner mechanism grants MANAGE on what you create, with no"
    " write or delete access to resources owned by other users.')"
    " ON CONFLICT (workspace, name) DO NOTHING RETURNING id, name)"
    " INSERT INTO role_permissions (role_id, resource_type, resource_pattern, permission)"
    " SELECT id, 'workspace', '*', CASE name WHEN 'admin' THEN 'MANAGE' ELSE 'USE' END FROM made"
    " ORDER BY id"};
static const struct stmt CLEAR = {
    "grant_clear",
    "WITH gone AS (SELECT id FROM roles WHERE workspace = $1::text),"
    " a AS (DELETE FROM user_role_assignments WHERE role_id IN (SELECT id FROM gone)),"
    " p AS (DELETE FROM role_permissions WHERE role_id IN (SELECT id FROM gone)),"
    " w AS (DELETE FROM workspace_permissions WHERE workspace = $1::text)"
    " DELETE FROM roles WHERE id IN (SELECT id FROM gone)"};

static bool workspace_is_seeded(const struct req *r)
{
    return r->user && server_auth_config(r->worker->server)->seeds_roles;
}

unsigned grant_workspace_made_step(struct req *r, struct str name, struct sql_step *step)
{
    return workspace_is_seeded(r) ? name_step(r, &SEED, name, step) : 0;
}

unsigned grant_workspace_gone_step(struct req *r, struct str name, struct sql_step *step)
{
    return name_step(r, &CLEAR, name, step);
}

err_t grant_workspace_made(struct req *r, struct str name, req_step next)
{
    return workspace_is_seeded(r) ? name_after(r, &SEED, name, next) : next(r, r->fail);
}

err_t grant_workspace_gone(struct req *r, struct str name, req_step next)
{
    return name_after(r, &CLEAR, name, next);
}
