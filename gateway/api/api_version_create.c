/*
 * api_version_create: model-versions/create.
 *
 *   create -models:/name/..-> lineage --> owner --> judge --> insert -model_id-> tag
 *     '-------------------------------------^
 *
 * lineage: a source that is another version becomes models:/name/number, and brings its run. owner:
 * where the named run or logged model keeps its artifacts. judge: all rules, in MLflow's order.
 * insert: one transaction, which holds the model's row from its first statement on; so does a stock
 * server, which is why numbers are unique and without gaps when both create at once. Should
 * somebody who does not take that lock be faster, the insert is tried again, three times as MLflow
 * does. tag: a version of a logged model is noted on that model, after the commit, in a tag that is a
 * list (tag_swap).
 *
 * A version of a prompt names no source, and skips lineage and rules. MLflow's webhooks are not
 * sent.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "base/clock.h"
#include "gateway/api/entity_registry.h"
#include "gateway/api/model_source.h"
#include "gateway/api/registry.h"
#include "gateway/api/tag_swap.h"
#include "gateway/api/version_tag.h"
#include "gateway/artifact/artifact_uri.h"
#include "gateway/http/reply.h"
#include "gateway/server.h"
#include "gateway/sql/sql.h"
#include "gateway/worker.h"
#include "ingest/model_names.h"
#include "ingest/names.h"
#include "schema/errors.h"

enum { CREATE_ATTEMPTS = 3 };

struct create_call {
    struct tag_swap tag; /* first, so that r->data is either */
    struct msg_versions_create m;
    struct registry_tags tags;
    bool is_prompt;
    struct model_source parts; /* of a models: source */
    struct str source;         /* as it is stored */
    struct str storage;
    struct str run_id; /* p NULL = SQL NULL */
    int32_t version;   /* of REF_VERSION; then the new one */
    struct model_owner owner;
    struct str owner_run; /* of a logged model; p NULL = SQL NULL */
    unsigned attempts;
    struct str values[7];
    struct str tag_values[3];
};

static err_t create_owner(struct req *r, struct fail *f);
static err_t create_judge(struct req *r, struct fail *f);
static err_t create_insert(struct req *r, struct fail *f);
static err_t create_tag(struct req *r);

/* -- the request ----------------------------------------------------------------------------- */

static bool create_is_prompt(const struct registry_tags *tags)
{
    for (size_t i = 0; i < tags->n; i++)
        if (str_eq(tags->keys[i], STR(REGISTRY_PROMPT_TAG)))
            return str_ieq(tags->values[i], STR("true"));
    return false;
}

static err_t create_lineage(struct req *r, struct fail *f);

err_t api_version_create(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct str root = str_of(server_artifact_root(r->worker->server));
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_create, &c->m, f)))
        return e;
    registry_tags(a, c->m.tags.items, c->m.tags.n, &c->tags);
    c->is_prompt = create_is_prompt(&c->tags);
    c->source = c->storage = c->m.source.s;
    c->run_id = c->m.run_id.is_set ? c->m.run_id.s : STR("");
    if (c->is_prompt && (e = model_source_check_prompt(c->source, f)))
        return e;
    if ((e = artifact_uri_check_host(a, c->source, root, "source", f)))
        return e;
    if (!c->is_prompt && (e = model_source_parse(a, c->source, &c->parts, f)))
        return e;
    return c->parts.ref > REF_MODEL_ID ? create_lineage(r, f) : create_owner(r, f);
}

/* -- lineage --------------------------------------------------------------------------------- */

#define VERSION_LIVES " FROM model_versions v WHERE " ENTITY_VERSION_LIVES " AND v.name = $1::text"
#define LINEAGE       "v.version, v.run_id, coalesce(nullif(v.storage_location, ''), v.source)"

static const struct stmt LINEAGE_MODEL = {
    "lineage_model",
    "SELECT EXISTS (SELECT 1 FROM registered_model_tags t WHERE t.workspace = m.workspace"
    " AND t.name = m.name AND t.key = '" REGISTRY_PROMPT_TAG "' AND lower(t.value) = 'true')"
    " FROM registered_models m WHERE m.workspace = " SCOPE_NAME " AND m.name = $1::text"};
static const struct stmt LINEAGE_VERSION = {"lineage_version", "SELECT " LINEAGE VERSION_LIVES
                                                               " AND v.version = $2::int4"};
static const struct stmt LINEAGE_LATEST = {"lineage_latest", "SELECT " LINEAGE VERSION_LIVES
                                                             " ORDER BY v.version DESC LIMIT 1"};
static const struct stmt LINEAGE_STAGE = {"lineage_stage", "SELECT " LINEAGE VERSION_LIVES
                                                           " AND v.current_stage = $2::text"
                                                           " ORDER BY v.version DESC LIMIT 1"};
/* Also when the version is gone, with NULL for its number. */
static const struct stmt LINEAGE_ALIAS = {
    "lineage_alias",
    "SELECT " LINEAGE ", s.version FROM registered_model_aliases s LEFT JOIN model_versions v"
    " ON " ENTITY_VERSION_LIVES " AND v.name = s.name AND v.version = s.version"
    " WHERE s.workspace = " SCOPE_NAME " AND s.name = $1::text AND s.alias = $2::text"};

/* What the part behind the name is wrong about; said after the model was found. */
static err_t lineage_check(struct create_call *c, struct str *suffix, struct fail *f)
{
    *suffix = c->parts.suffix;
    switch (c->parts.ref) {
    case REF_VERSION: return model_names_version(*suffix, &c->version, f);
    case REF_STAGE: return model_names_stage(*suffix, suffix, f);
    case REF_ALIAS: return model_names_check_alias(*suffix, f);
    default: return OK;
    }
}

/* There is no such version. */
static err_t lineage_missing(const struct create_call *c, struct fail *f)
{
    struct str name = c->parts.name; /* found, so it is short */

    switch (c->parts.ref) {
    case REF_VERSION: return registry_no_version(name, c->version, f);
    case REF_STAGE:
        return fail(f, ERR_INTERNAL, "No versions of model with name '%.*s' and stage '%.*s' found",
                    STR_ARG(name), STR_ARG(c->parts.suffix));
    case REF_ALIAS:
        if (str_ieq(c->parts.suffix, STR("latest")))
            return fail(f, ERR_NOT_FOUND, "Latest version not found for model %.*s.",
                        STR_ARG(name));
        return fail(f, ERR_BAD_PARAM, "Registered model alias %.*s not found.",
                    STR_ARG(c->parts.suffix));
    default:
        return fail(f, ERR_INTERNAL, "No versions of model with name '%.*s' found", STR_ARG(name));
    }
}

static err_t lineage_done(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data;
    const PGresult *model = r->sql.results[0], *res = r->sql.results[1];
    struct str run_id, unused;
    err_t e;

    if (PQntuples(model) == 0)
        return registry_no_model(c->parts.name, f);
    if (sql_get_bool(model, 0, 0))
        return fail(f, ERR_BAD_PARAM,
                    "Invalid model version source: '%.*s'. Prompt versions cannot be used as model"
                    " version sources.",
                    STR_ARG(names_cut(c->source, NAMES_QUOTE_MAX)));
    if ((e = lineage_check(c, &unused, f)))
        return e;
    if (PQntuples(res) == 0)
        return lineage_missing(c, f);
    if (sql_is_null(res, 0, 0))
        return registry_no_version(c->parts.name, (int32_t)sql_get_i64(res, 0, 3), f);
    run_id = sql_get(res, 0, 1);
    if ((c->m.run_id.is_set && !str_eq(c->run_id, run_id)) || c->m.model_id.s.n)
        return fail(f, ERR_BAD_PARAM,
                    "Invalid model version source: '%.*s'. The run_id and model_id request"
                    " parameters must match the referenced model version.",
                    STR_ARG(names_cut(c->source, NAMES_QUOTE_MAX)));
    if (!c->m.run_id.is_set)
        c->run_id = sql_is_null(res, 0, 1) ? sql_null() : arena_dup(a, run_id);
    c->source =
        arena_printf(a, "models:/%.*s/%.*s", STR_ARG(c->parts.name), STR_ARG(sql_get(res, 0, 0)));
    c->storage = arena_dup(a, sql_get(res, 0, 2));
    return create_owner(r, f);
}

static err_t create_lineage(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data;
    struct sql_step steps[2] = {{&LINEAGE_MODEL, c->values, 1}, {&LINEAGE_LATEST, c->values, 1}};
    struct str suffix;
    bool is_known;
    err_t e;

    if ((e = model_names_check(c->parts.name, f)) || (e = names_check_nul(c->parts.name, f)))
        return e;
    is_known = lineage_check(c, &suffix, NULL) == OK;
    c->values[0] = sql_text(a, c->parts.name);
    c->values[1] = c->parts.ref == REF_VERSION ? sql_i64(a, c->version) : sql_text(a, suffix);
    if (is_known && c->parts.ref == REF_VERSION)
        steps[1] = (struct sql_step){&LINEAGE_VERSION, c->values, 2};
    else if (is_known && c->parts.ref == REF_STAGE)
        steps[1] = (struct sql_step){&LINEAGE_STAGE, c->values, 2};
    else if (is_known && c->parts.ref == REF_ALIAS && !str_ieq(suffix, STR("latest")))
        steps[1] = (struct sql_step){&LINEAGE_ALIAS, c->values, 2};
    return req_sql(r, steps, 2, lineage_done);
}

/* -- owner ----------------------------------------------------------------------------------- */

static const struct stmt OWNER_RUN = {
    "version_owner_run",
    "SELECT artifact_uri, NULL FROM runs WHERE run_uuid = $1::text" SCOPE_OF("runs")};
static const struct stmt OWNER_MODEL = {
    "version_owner_model",
    "SELECT artifact_location, source_run_id FROM logged_models"
    " WHERE model_id = $1::text AND lifecycle_stage <> 'deleted'" SCOPE_OF("logged_models")
        SCOPE_OF("logged_models")};

static err_t owner_done(struct req *r, struct fail *f)
{
    struct create_call *c = r->data;
    const PGresult *res = r->sql.results[0];

    if (PQntuples(res) > 0) {
        c->owner.is_found = true;
        c->owner.root = arena_dup(&r->arena, sql_get(res, 0, 0));
        if (!sql_is_null(res, 0, 1))
            c->owner_run = arena_dup(&r->arena, sql_get(res, 0, 1));
    }
    return create_judge(r, f);
}

/* A model is asked for always, a run only when a rule depends on it. */
static err_t create_owner(struct req *r, struct fail *f)
{
    struct create_call *c = r->data;
    err_t e;

    c->owner.is_model = c->m.model_id.s.n > 0;
    c->owner.id = c->owner.is_model ? c->m.model_id.s : c->run_id;
    if (c->owner.id.n == 0 ||
        (!c->owner.is_model && (c->is_prompt || !model_source_needs_owner(&r->arena, c->source))))
        return create_judge(r, f);
    if ((e = names_check_nul(c->owner.id, f)))
        return e;
    c->values[0] = sql_text(&r->arena, c->owner.id);
    return req_sql(r,
                   &(struct sql_step){c->owner.is_model ? &OWNER_MODEL : &OWNER_RUN, c->values, 1},
                   1, owner_done);
}

/* -- judge ----------------------------------------------------------------------------------- */

static err_t no_logged_model(const struct create_call *c, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "Logged model with ID '%.*s' not found.",
                STR_ARG(names_cut(c->m.model_id.s, NAMES_QUOTE_MAX)));
}

static err_t judge_names(const struct create_call *c, struct fail *f)
{
    err_t e;

    if ((e = model_names_check(c->m.name.s, f)))
        return e;
    for (size_t i = 0; i < c->m.tags.n; i++)
        if ((e = model_names_check_version_tag(c->m.tags.items[i].key.s, c->m.tags.items[i].value.s,
                                               f)))
            return e;
    return OK;
}

/* What a logged model gives to its version. */
static err_t judge_model(struct create_call *c, struct fail *f)
{
    if (c->parts.ref == REF_MODEL_ID) {
        if (!c->owner.is_found)
            return fail(f, ERR_INTERNAL,
                        "Unable to fetch model from model URI source artifact location '%.*s'."
                        "Error: Logged model with ID '%.*s' not found.",
                        STR_ARG(names_cut(c->source, NAMES_QUOTE_MAX)),
                        STR_ARG(names_cut(c->parts.name, NAMES_QUOTE_MAX)));
        c->storage = c->owner.root;
    }
    if (c->run_id.n || !c->owner.is_model)
        return OK;
    c->run_id = c->owner_run;
    return c->owner.is_found ? OK : no_logged_model(c, f);
}

static err_t judge_nul(const struct create_call *c, struct fail *f)
{
    const struct str texts[] = {c->m.name.s, c->source, c->run_id, c->m.run_link.s,
                                c->m.description.s};
    err_t e = OK;

    for (size_t i = 0; i < array_len(texts) && !e; i++)
        e = names_check_nul(texts[i], f);
    return e ? e : registry_tags_check_nul(&c->tags, f);
}

static err_t create_judge(struct req *r, struct fail *f)
{
    struct create_call *c = r->data;
    err_t e = OK;

    if (!c->is_prompt)
        e = model_source_check(&r->arena, c->source, &c->owner, f);
    if (e || (e = judge_names(c, f)) || (e = judge_model(c, f)) || (e = judge_nul(c, f)))
        return e;
    return create_insert(r, f);
}

/* -- insert ---------------------------------------------------------------------------------- */

/* Takes the row's lock: whoever creates a version waits here. */
static const struct stmt TOUCH = {
    "version_create_touch", "UPDATE registered_models SET last_updated_time = $2::int8"
                            " WHERE workspace = " SCOPE_NAME " AND name = $1::text RETURNING 1"};
/* Texts depend on the model's row (OF_M), or a planner that knows them would refuse one too long
 * for its column before it has looked for the model. */
#define OF_M " || left(m.name, 0)"
static const struct stmt INSERT = {
    "version_create",
    "INSERT INTO model_versions (workspace, name, version, creation_time, last_updated_time,"
    " current_stage, status, source, storage_location, run_id, run_link, description)"
    " SELECT m.workspace, m.name, (SELECT coalesce(max(v.version), 0) + 1 FROM model_versions v"
    " WHERE v.workspace = m.workspace AND v.name = m.name), $2::int8, $2::int8, 'None', 'READY',"
    " $3::text" OF_M ", $4::text" OF_M ", $5::text" OF_M ", $6::text" OF_M ", $7::text" OF_M
    " FROM registered_models m"
    " WHERE m.workspace = " SCOPE_NAME " AND m.name = $1::text"};
static const struct stmt INSERT_TAGS = {
    "version_create_tags",
    "INSERT INTO model_version_tags (workspace, name, version, key, value)"
    " SELECT " SCOPE_NAME ", $1::text, n.version, t.key, t.value"
    " FROM (SELECT max(version) AS version FROM model_versions WHERE workspace = " SCOPE_NAME
    " AND name = $1::text) n, unnest($2::text[], $3::text[]) AS t(key, value)"
    " WHERE n.version IS NOT NULL"};
enum { INSERT_STEPS = 3 };

static err_t insert_done(struct req *r, struct fail *f)
{
    struct create_call *c = r->data;
    struct entity_versions versions;
    struct json j;

    if (strncmp(r->sql.sqlstate, "23", 2) == 0) {
        if (c->attempts < CREATE_ATTEMPTS)
            return create_insert(r, f);
        return fail(f, ERR_INTERNAL,
                    "Model Version creation error (name=%.*s). Giving up after %d attempts.",
                    STR_ARG(c->m.name.s), CREATE_ATTEMPTS);
    }
    if (r->sql.err)
        return req_sql_fail(r, f);
    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_model(c->m.name.s, f);
    entity_versions(&r->arena, r->sql.results + INSERT_STEPS, true, &versions);
    c->version = (int32_t)entity_version_number(&versions, 0);
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "model_version");
    entity_version(&j, &versions, 0);
    json_close(&j);
    if (!c->owner.is_model || c->is_prompt)
        return reply_ok(r);
    return create_tag(r); /* the body stays */
}

static err_t create_insert(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data;
    struct sql_step steps[INSERT_STEPS + VERSION_PARTS] = {
        {&TOUCH, c->values, 2}, {&INSERT, c->values, 7}, {&INSERT_TAGS, c->tag_values, 3}};

    (void)f;
    c->attempts++;
    c->values[0] = c->tag_values[0] = sql_text(a, c->m.name.s);
    c->values[1] = sql_i64(a, clock_wall_ms());
    c->values[2] = sql_text(a, c->source);
    c->values[3] = sql_text(a, c->storage);
    c->values[4] = c->run_id.p ? sql_text(a, c->run_id) : sql_null();
    c->values[5] = sql_text(a, c->m.run_link.s);
    c->values[6] = sql_text(a, c->m.description.s);
    c->tag_values[1] = sql_text_array(a, c->tags.keys, c->tags.n);
    c->tag_values[2] = sql_text_array(a, c->tags.values, c->tags.n);
    entity_newest_steps(steps + INSERT_STEPS, c->values);
    return req_sql_try(r, steps, INSERT_STEPS + VERSION_PARTS, insert_done);
}

/* -- the logged model's tag ------------------------------------------------------------------ */

static const struct stmt TAG_READ = {
    "version_tag_read",
    "SELECT t.tag_value FROM logged_models m LEFT JOIN logged_model_tags t"
    " ON t.model_id = m.model_id AND t.tag_key = '" VERSION_TAG "'"
    " WHERE m.model_id = $1::text AND m.lifecycle_stage <> 'deleted'" SCOPE_OF("m")};
/* $3 is the value that was read. */
static const struct stmt TAG_WRITE = {
    "version_tag_write",
    "INSERT INTO logged_model_tags (model_id, experiment_id, tag_key, tag_value)"
    " SELECT model_id, experiment_id, '" VERSION_TAG "', $2::text FROM logged_models"
    " WHERE model_id = $1::text AND lifecycle_stage <> 'deleted'" SCOPE_OF(
        "logged_models") " ON CONFLICT (model_id, tag_key) DO UPDATE SET tag_value = "
                         "excluded.tag_value"
                         " WHERE logged_model_tags.tag_value = $3::text RETURNING 1"};

static err_t tag_change(struct req *r, struct str before, struct str *after, struct fail *f)
{
    const struct create_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return no_logged_model(c, f);
    return version_tag_add(&r->arena, before, c->m.name.s, c->version, after, f);
}

static err_t tag_written(struct req *r, struct fail *f)
{
    (void)f;
    return reply_ok(r);
}

static err_t create_tag(struct req *r)
{
    struct create_call *c = r->data;

    c->tag = (struct tag_swap){.key = VERSION_TAG,
                               .read = &TAG_READ,
                               .write = &TAG_WRITE,
                               .change = tag_change,
                               .written = tag_written,
                               .values = {sql_text(&r->arena, c->m.model_id.s)}};
    return tag_swap(r);
}
