/*
 * api_model_alias: names for versions of registered models.
 *
 * An alias points to one version and moves without a word. Setting one locks the version against
 * its deletion, which removes its aliases, and before that the model, as everybody does who locks
 * both: the alias's foreign key takes the model anyway. "latest" is never stored: asked for, it is
 * the highest version of any stage.
 */
#include "gateway/api/api.h"

#include "gateway/api/entity_registry.h"
#include "gateway/api/registry.h"
#include "gateway/http/reply.h"
#include "gateway/sql/sql.h"
#include "ingest/model_names.h"
#include "ingest/names.h"
#include "schema/errors.h"

static const struct stmt SET = {
    "alias_set", "WITH m AS (SELECT workspace, name FROM registered_models"
                 " WHERE workspace = " SCOPE_NAME " AND name = $1::text FOR KEY SHARE),"
                 " v AS (SELECT v.workspace, v.name, v.version FROM m JOIN model_versions v"
                 " ON v.workspace = m.workspace AND v.name = m.name"
                 " WHERE " ENTITY_VERSION_LIVES " AND v.version = $3::int4 FOR SHARE OF v),"
                 " put AS (INSERT INTO registered_model_aliases (workspace, name, alias, version)"
                 " SELECT v.workspace, v.name, $2::text, v.version FROM v"
                 " ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version)"
                 " SELECT 1 FROM v"};
static const struct stmt DELETE = {
    "alias_delete",
    "WITH gone AS (DELETE FROM registered_model_aliases"
    " WHERE workspace = " SCOPE_NAME " AND name = $1::text AND alias = $2::text)"
    " SELECT 1 FROM registered_models WHERE workspace = " SCOPE_NAME " AND name = $1::text"};
static const struct stmt GET = {
    "alias_get", "SELECT a.version FROM registered_models m LEFT JOIN registered_model_aliases a"
                 " ON a.workspace = m.workspace AND a.name = m.name AND a.alias = $2::text"
                 " WHERE m.workspace = " SCOPE_NAME " AND m.name = $1::text"};

struct alias_call {
    struct str values[3]; /* name, alias, version */
    int32_t version;
};

/* -- set, delete ----------------------------------------------------------------------------- */

static err_t set_done(struct req *r, struct fail *f)
{
    const struct alias_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_version(c->values[0], c->version, f);
    return reply_empty(r);
}

err_t api_alias_set(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct alias_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct msg_models_set_alias m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_set_alias, &m, f)) ||
        (e = model_names_check(m.name.s, f)) || (e = model_names_check_new_alias(m.alias.s, f)) ||
        (e = model_names_version(m.version.s, &c->version, f)) ||
        (e = names_check_nul(m.name.s, f)))
        return e;
    c->values[0] = sql_text(a, m.name.s);
    c->values[1] = sql_text(a, m.alias.s);
    c->values[2] = sql_i64(a, c->version);
    return req_sql(r, &(struct sql_step){&SET, c->values, 3}, 1, set_done);
}

/* Name and alias of a call that names no version. */
static err_t alias_bind(struct req *r, struct alias_call *c, struct fail *f)
{
    struct arena *a = &r->arena;
    struct msg_models_alias m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_alias, &m, f)) ||
        (e = model_names_check(m.name.s, f)) || (e = model_names_check_alias(m.alias.s, f)) ||
        (e = names_check_nul(m.name.s, f)))
        return e;
    c->values[0] = sql_text(a, m.name.s);
    c->values[1] = sql_text(a, m.alias.s);
    return OK;
}

static err_t delete_done(struct req *r, struct fail *f)
{
    const struct alias_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_model(c->values[0], f);
    return reply_empty(r);
}

/* An alias that is not there is no error. */
err_t api_alias_delete(struct req *r, struct fail *f)
{
    struct alias_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    err_t e;

    if ((e = alias_bind(r, c, f)))
        return e;
    return req_sql(r, &(struct sql_step){&DELETE, c->values, 2}, 1, delete_done);
}

/* -- get ------------------------------------------------------------------------------------- */

static err_t version_reply(struct req *r, const struct entity_versions *versions, int row)
{
    struct json j;

    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "model_version");
    entity_version(&j, versions, row);
    json_close(&j);
    return reply_ok(r);
}

/* The highest of the latest versions of all stages. */
static err_t latest_done(struct req *r, struct fail *f)
{
    const struct alias_call *c = r->data;
    struct entity_versions versions;
    int best = 0;

    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_model(c->values[0], f);
    entity_versions(&r->arena, r->sql.results + 1, true, &versions);
    if (PQntuples(versions.rows) == 0)
        return fail(f, ERR_NOT_FOUND, "Latest version not found for model %.*s.",
                    STR_ARG(c->values[0]));
    for (int row = 1; row < PQntuples(versions.rows); row++)
        if (entity_version_number(&versions, row) > entity_version_number(&versions, best))
            best = row;
    return version_reply(r, &versions, best);
}

static err_t version_done(struct req *r, struct fail *f)
{
    const struct alias_call *c = r->data;
    struct entity_versions versions;

    entity_versions(&r->arena, r->sql.results, true, &versions);
    if (PQntuples(versions.rows) == 0) /* deleted between the two statements */
        return registry_no_version(c->values[0], c->version, f);
    return version_reply(r, &versions, 0);
}

static err_t alias_found(struct req *r, struct fail *f)
{
    struct alias_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct sql_step steps[VERSION_PARTS];

    if (PQntuples(res) == 0)
        return registry_no_model(c->values[0], f);
    if (sql_is_null(res, 0, 0))
        return fail(f, ERR_BAD_PARAM, "Registered model alias %.*s not found.",
                    STR_ARG(c->values[1]));
    c->version = (int32_t)sql_get_i64(res, 0, 0);
    entity_version_steps(steps, entity_version_key(&r->arena, c->values[0], c->version), false);
    return req_sql(r, steps, VERSION_PARTS, version_done);
}

err_t api_alias_get(struct req *r, struct fail *f)
{
    struct alias_call *c = r->data = arena_zalloc(&r->arena, sizeof(*c));
    struct sql_step steps[1 + VERSION_PARTS];
    err_t e;

    if ((e = alias_bind(r, c, f)))
        return e;
    steps[0] = (struct sql_step){&GET, c->values, 2};
    if (!str_ieq(c->values[1], STR("latest")))
        return req_sql(r, steps, 1, alias_found);
    entity_latest_steps(steps + 1, entity_model_name(&r->arena, c->values[0]));
    return req_sql(r, steps, 1 + VERSION_PARTS, latest_done);
}
