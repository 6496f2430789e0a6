/*
 * api_model_version: read, update, delete versions of registered models, their stages and tags.
 *
 * A call is one pipeline, which is one transaction: the change, and behind it the statements of
 * entity_registry that read the answer. They find nothing when there is no such version.
 *
 * Locks. Who changes a version and its model takes the model's row first, then the version's, as
 * a stock server does: so none of them waits for another in a circle. A transition that archives
 * others changes versions whose locks nobody else takes without the model's, but for single ones.
 * Deleting waits for an alias or tag that is being set, and then removes the alias too.
 *
 * A deleted version keeps its row and tags, under a stage that nobody may ask for, with what might
 * name secrets overwritten; its number is never given again. MLflow's webhooks are not sent.
 */
#include "gateway/api/api.h"

#include "base/clock.h"
#include "gateway/api/entity_registry.h"
#include "gateway/api/registry.h"
#include "gateway/http/reply.h"
#include "gateway/sql/sql.h"
#include "ingest/model_names.h"
#include "ingest/names.h"
#include "schema/errors.h"

#define OF_MODEL   " WHERE workspace = " SCOPE_NAME " AND name = $1::text"
#define OF_VERSION " WHERE " ENTITY_VERSION_LIVES " AND v.name = $1::text AND v.version = $2::int4"

struct version_call {
    struct str name;
    int32_t version;
    struct str values[5]; /* name, version, then what the statement takes */
};

/* Name and version, as the rules and PostgreSQL take them. */
static err_t version_check(struct arena *a, struct version_call *c, struct str name,
                           struct str version, struct fail *f)
{
    err_t e;

    if ((e = model_names_check(name, f)) || (e = model_names_version(version, &c->version, f)) ||
        (e = names_check_nul(name, f)))
        return e;
    c->name = name;
    c->values[0] = sql_text(a, name);
    c->values[1] = sql_i64(a, c->version);
    return OK;
}

/* int(version) is tried early; whether PostgreSQL has such integers, version_check says later. */
static err_t version_check_integer(struct str version, struct fail *f)
{
    int32_t unused;
    err_t e = model_names_version(version, &unused, f);

    return e == ERR_BAD_REQUEST ? OK : e;
}

/* The version, from the results that entity_version_steps gave. */
static err_t version_reply(struct req *r, PGresult *const *results, struct fail *f)
{
    const struct version_call *c = r->data;
    struct entity_versions versions;
    struct json j;

    if (PQntuples(results[VERSION_ROWS]) == 0)
        return registry_no_version(c->name, c->version, f);
    entity_versions(&r->arena, results, true, &versions);
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "model_version");
    entity_version(&j, &versions, 0);
    json_close(&j);
    return reply_ok(r);
}

/* -- read ------------------------------------------------------------------------------------ */

static const struct stmt DOWNLOAD = {
    "version_download",
    "SELECT coalesce(nullif(v.storage_location, ''), v.source) FROM model_versions v" OF_VERSION};

static err_t get_done(struct req *r, struct fail *f)
{
    return version_reply(r, r->sql.results, f);
}

err_t api_version_get(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct version_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct sql_step steps[VERSION_PARTS];
    struct msg_versions_key m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_key, &m, f)) ||
        (e = version_check(a, c, m.name.s, m.version.s, f)))
        return e;
    entity_version_steps(steps, entity_version_key(a, c->name, c->version), false);
    return req_sql(r, steps, VERSION_PARTS, get_done);
}

static err_t download_done(struct req *r, struct fail *f)
{
    const struct version_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct json j;

    if (PQntuples(res) == 0)
        return registry_no_version(c->name, c->version, f);
    reply_json(r, &j);
    json_open(&j);
    if (!sql_is_null(res, 0, 0))
        json_pair_str(&j, "artifact_uri", sql_get(res, 0, 0));
    json_close(&j);
    return reply_ok(r);
}

err_t api_version_download(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct version_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct msg_versions_download m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_download, &m, f)) ||
        (e = version_check(a, c, m.name.s, m.version.s, f)))
        return e;
    return req_sql(r, &(struct sql_step){&DOWNLOAD, c->values, 2}, 1, download_done);
}

/* -- update ---------------------------------------------------------------------------------- */

/* left(v.name, 0) makes the text depend on a row, so that one too long is refused only if there is
 * one. */
static const struct stmt UPDATE = {
    "version_update", "UPDATE model_versions v SET description = $3::text || left(v.name, 0),"
                      " last_updated_time = $4::int8" OF_VERSION};

static err_t update_done(struct req *r, struct fail *f)
{
    return version_reply(r, r->sql.results + 1, f);
}

/* A description that is not sent is none. */
err_t api_version_update(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct version_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct sql_step steps[1 + VERSION_PARTS] = {{&UPDATE, c->values, 4}};
    struct msg_versions_update m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_update, &m, f)) ||
        (e = version_check(a, c, m.name.s, m.version.s, f)) ||
        (e = names_check_nul(m.description.s, f)))
        return e;
    c->values[2] = m.description.is_set ? sql_text(a, m.description.s) : sql_null();
    c->values[3] = sql_i64(a, clock_wall_ms());
    entity_version_steps(steps + 1, entity_version_key(a, c->name, c->version), false);
    return req_sql(r, steps, 1 + VERSION_PARTS, update_done);
}

/* -- stages ---------------------------------------------------------------------------------- */

static const struct stmt LOCK_MODEL = {
    "version_lock_model", "SELECT 1 FROM registered_models" OF_MODEL " FOR NO KEY UPDATE"};
static const struct stmt LOCK = {"version_lock",
                                 "SELECT 1 FROM model_versions v" OF_VERSION " FOR NO KEY UPDATE"};
/* Only when there is such a version, whose lock is held. */
static const struct stmt TOUCH_MODEL = {
    "version_touch_model", "UPDATE registered_models SET last_updated_time = $3::int8" OF_MODEL
                           " AND EXISTS (SELECT 1 FROM model_versions v" OF_VERSION ")"};
static const struct stmt SET_STAGE = {"version_set_stage",
                                      "UPDATE model_versions v SET last_updated_time = $3::int8,"
                                      " current_stage = $4::text" OF_VERSION};
static const struct stmt ARCHIVE = {
    "version_archive",
    "UPDATE model_versions o SET last_updated_time = $3::int8, current_stage = 'Archived'"
    " WHERE o.workspace = " SCOPE_NAME " AND o.name = $1::text AND o.version <> $2::int4"
    " AND o.current_stage = $4::text AND EXISTS (SELECT 1 FROM model_versions v" OF_VERSION ")"};

struct transition_call {
    struct version_call version; /* first: version_reply looks at it */
    unsigned changes;            /* steps before those that read the answer */
};

static err_t transition_done(struct req *r, struct fail *f)
{
    const struct transition_call *c = r->data;

    return version_reply(r, r->sql.results + c->changes, f);
}

static err_t transition_stage(const struct msg_versions_transition *m, struct str *stage,
                              struct fail *f)
{
    err_t e;

    if ((e = model_names_stage(m->stage.s, stage, f)))
        return e;
    if (m->archive_existing_versions.v && !str_eq(*stage, STR("Staging")) &&
        !str_eq(*stage, STR("Production")))
        return fail(f, ERR_INTERNAL,
                    "Model version transition cannot archive existing model versions because"
                    " '%.*s' is not an Active stage. Valid stages are ['Staging', 'Production']",
                    STR_ARG(m->stage.s));
    return OK;
}

err_t api_version_transition(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct transition_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct str *values = c->version.values;
    struct sql_step steps[5 + VERSION_PARTS] = {{&LOCK_MODEL, values, 1},
                                                {&LOCK, values, 2},
                                                {&TOUCH_MODEL, values, 3},
                                                {&SET_STAGE, values, 4},
                                                {&ARCHIVE, values, 4}};
    struct msg_versions_transition m;
    struct str stage;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_transition, &m, f)) ||
        (e = transition_stage(&m, &stage, f)) ||
        (e = version_check(a, &c->version, m.name.s, m.version.s, f)))
        return e;
    values[2] = sql_i64(a, clock_wall_ms());
    values[3] = sql_text(a, stage);
    c->changes = m.archive_existing_versions.v ? 5 : 4;
    entity_version_steps(steps + c->changes,
                         entity_version_key(a, c->version.name, c->version.version), false);
    return req_sql(r, steps, c->changes + VERSION_PARTS, transition_done);
}

/* -- delete ---------------------------------------------------------------------------------- */

static const struct stmt DELETE = {
    "version_delete",
    "WITH gone AS (UPDATE model_versions v SET current_stage = 'Deleted_Internal',"
    " last_updated_time = $3::int8, description = NULL, user_id = NULL, status_message = NULL,"
    " source = 'REDACTED-SOURCE-PATH', run_id = 'REDACTED-RUN-ID',"
    " run_link = 'REDACTED-RUN-LINK'" OF_VERSION " RETURNING v.workspace, v.name, v.version),"
    " aliases AS (DELETE FROM registered_model_aliases s USING gone"
    " WHERE s.workspace = gone.workspace AND s.name = gone.name AND s.version = gone.version)"
    " SELECT 1 FROM gone"};
enum { DELETE_STEPS = 4 };

static err_t delete_done(struct req *r, struct fail *f)
{
    const struct version_call *c = r->data;

    if (PQntuples(r->sql.results[DELETE_STEPS - 1]) == 0)
        return registry_no_version(c->name, c->version, f);
    return reply_empty(r);
}

err_t api_version_delete(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct version_call *c = r->data = arena_zalloc(a, sizeof(*c));
    const struct sql_step steps[DELETE_STEPS] = {{&LOCK_MODEL, c->values, 1},
                                                 {&LOCK, c->values, 2},
                                                 {&TOUCH_MODEL, c->values, 3},
                                                 {&DELETE, c->values, 3}};
    struct msg_versions_key m;
    err_t e;

    /* here MLflow looks at the version before the name */
    if ((e = bind_request(a, &r->input, &MSG_versions_key, &m, f)) ||
        (e = version_check_integer(m.version.s, f)) ||
        (e = version_check(a, c, m.name.s, m.version.s, f)))
        return e;
    c->values[2] = sql_i64(a, clock_wall_ms());
    return req_sql(r, steps, DELETE_STEPS, delete_done);
}

/* -- tags ------------------------------------------------------------------------------------ */

/* The lock keeps the version from being deleted while the tag comes. */
static const struct stmt SET_TAG = {
    "version_set_tag",
    "WITH v AS (SELECT v.workspace, v.name, v.version FROM model_versions v" OF_VERSION
    " FOR SHARE), put AS (INSERT INTO model_version_tags (workspace, name, version, key, value)"
    " SELECT v.workspace, v.name, v.version, $3::text, $4::text FROM v"
    " ON CONFLICT (workspace, key, name, version) DO UPDATE SET value = excluded.value)"
    " SELECT 1 FROM v"};
static const struct stmt DELETE_TAG = {
    "version_delete_tag",
    "WITH v AS (SELECT v.workspace, v.name, v.version FROM model_versions v" OF_VERSION "),"
    " gone AS (DELETE FROM model_version_tags t USING v WHERE t.workspace = v.workspace"
    " AND t.name = v.name AND t.version = v.version AND t.key = $3::text)"
    " SELECT 1 FROM v"};

static err_t tag_done(struct req *r, struct fail *f)
{
    const struct version_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_version(c->name, c->version, f);
    return reply_empty(r);
}

err_t api_version_set_tag(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct version_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct msg_versions_set_tag m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_set_tag, &m, f)) ||
        (e = model_names_check(m.name.s, f)) || (e = version_check_integer(m.version.s, f)) ||
        (e = model_names_check_version_tag(m.key.s, m.value.s, f)) ||
        (e = version_check(a, c, m.name.s, m.version.s, f)) || (e = names_check_nul(m.value.s, f)))
        return e;
    c->values[2] = sql_text(a, m.key.s);
    c->values[3] = sql_text(a, m.value.s);
    return req_sql(r, &(struct sql_step){&SET_TAG, c->values, 4}, 1, tag_done);
}

/* A tag that is not there is no error. */
err_t api_version_delete_tag(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct version_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct msg_versions_delete_tag m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_delete_tag, &m, f)) ||
        (e = model_names_check(m.name.s, f)) || (e = version_check_integer(m.version.s, f)) ||
        (e = names_check_key(m.key.s, "key", f)) ||
        (e = version_check(a, c, m.name.s, m.version.s, f)))
        return e;
    c->values[2] = sql_text(a, m.key.s);
    return req_sql(r, &(struct sql_step){&DELETE_TAG, c->values, 3}, 1, tag_done);
}
