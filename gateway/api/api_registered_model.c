/*
 * api_registered_model: create, read, rename, update, delete registered models, and their tags.
 *
 * A call is one pipeline, which is one transaction: the change, and behind it the statements of
 * entity_registry that read the answer. They find nothing when there is no such model.
 *
 * Renaming leaves it to the foreign keys to carry the new name to versions, tags and aliases.
 * Deleting goes from the leaves up, because only aliases go with their model by themselves. It locks
 * the model and its versions first, so that a version or tag that comes at the same moment either
 * is there to be deleted or finds no owner. Both lock the model before its versions: so two of them
 * never wait for each other.
 *
 * A name that is taken is PostgreSQL's to say. Only then a second call looks whether it is a
 * prompt's, for the words. MLflow's webhooks are not sent.
 */
#include "gateway/api/api.h"

#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "gateway/api/entity_registry.h"
#include "gateway/api/registry.h"
#include "gateway/auth/grant_write.h"
#include "gateway/http/reply.h"
#include "gateway/sql/sql.h"
#include "ingest/model_names.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"

#define OF_MODEL " WHERE workspace = " SCOPE_NAME " AND name = $1::text"

/* -- create ---------------------------------------------------------------------------------- */

static const struct stmt CREATE = {
    "model_create",
    "INSERT INTO registered_models (workspace, name, creation_time, last_updated_time, description)"
    " VALUES (" SCOPE_NAME ", $1::text, $2::int8, $2::int8, $3::text)"};
static const struct stmt CREATE_TAGS = {
    "model_create_tags", "INSERT INTO registered_model_tags (workspace, name, key, value)"
                         " SELECT " SCOPE_NAME ", $1::text, t.key, t.value"
                         " FROM unnest($2::text[], $3::text[]) AS t(key, value)"};
static const struct stmt IS_PROMPT = {
    "model_is_prompt",
    "SELECT EXISTS (SELECT 1 FROM registered_model_tags t WHERE t.workspace = m.workspace"
    " AND t.name = m.name AND t.key = '" REGISTRY_PROMPT_TAG "')"
    " FROM registered_models m WHERE m.workspace = " SCOPE_NAME " AND m.name = $1::text"};

struct create_call {
    struct msg_models_create m;
    struct registry_tags tags;
    struct str values[3];
    struct str tag_values[3];
    int64_t now_ms;
};

/* The name is taken: by a model or a prompt? */
static err_t create_is_taken(struct req *r, struct fail *f)
{
    const struct create_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    bool is_prompt = registry_has_tag(&c->tags, STR(REGISTRY_PROMPT_TAG));
    struct str name = c->m.name.s; /* the column's length bounds it */
    struct buf quoted;
    bool was_prompt;

    if (PQntuples(res) == 0) /* deleted meanwhile */
        return registry_no_model(name, f);
    was_prompt = sql_get_bool(res, 0, 0);
    if (is_prompt == was_prompt)
        return fail(f, ERR_ALREADY_EXISTS, "%s (name=%.*s) already exists.",
                    is_prompt ? "Prompt" : "Registered Model", STR_ARG(name));
    buf_init(&quoted);
    python_repr(&quoted, name);
    (void)fail(f, ERR_ALREADY_EXISTS,
               "Tried to create a %s with name %.*s, but the name is already taken by a %s. MLflow"
               " does not allow creating a model and a prompt with the same name.",
               is_prompt ? "prompt" : "registered model", STR_ARG(buf_str(&quoted)),
               was_prompt ? "prompt" : "registered model");
    buf_fini(&quoted);
    return ERR_ALREADY_EXISTS;
}

static err_t create_answer(struct req *r, struct fail *f)
{
    const struct create_call *c = r->data;
    struct json j;

    (void)f;
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "registered_model");
    json_open(&j);
    json_pair_str(&j, "name", c->m.name.s);
    json_pair_i64(&j, "creation_timestamp", c->now_ms);
    json_pair_i64(&j, "last_updated_timestamp", c->now_ms);
    if (c->m.description.s.n)
        json_pair_str(&j, "description", c->m.description.s);
    if (c->tags.n) {
        json_key(&j, "tags");
        json_open_list(&j);
        for (size_t i = 0; i < c->tags.n; i++)
            entity_pair(&j, c->tags.keys[i], c->tags.values[i]);
        json_close_list(&j);
    }
    json_close(&j);
    json_close(&j);
    return reply_ok(r);
}

/* A prompt by its tag is nobody's registered model. */
static enum grant_type create_type(const struct create_call *c)
{
    for (size_t i = 0; i < c->tags.n; i++) {
        if (str_eq(c->tags.keys[i], STR(REGISTRY_PROMPT_TAG)))
            return str_ieq(c->tags.values[i], STR("true")) ? GRANT_PROMPT : GRANT_REGISTERED_MODEL;
    }
    return GRANT_REGISTERED_MODEL;
}

static err_t create_done(struct req *r, struct fail *f)
{
    const struct create_call *c = r->data;

    if (strncmp(r->sql.sqlstate, "23", 2) == 0)
        return req_sql(r, &(struct sql_step){&IS_PROMPT, c->values, 1}, 1, create_is_taken);
    if (r->sql.err)
        return req_sql_fail(r, f);
    return grant_own(r, create_type(c), c->m.name.s, create_answer);
}

static err_t create_check(struct arena *a, struct create_call *c, struct fail *f)
{
    const struct msg_models_create *m = &c->m;
    err_t e;

    if ((e = model_names_check(m->name.s, f)))
        return e;
    for (size_t i = 0; i < m->tags.n; i++)
        if ((e = model_names_check_tag(m->tags.items[i].key.s, m->tags.items[i].value.s, f)))
            return e;
    registry_tags(a, m->tags.items, m->tags.n, &c->tags);
    if ((e = names_check_nul(m->name.s, f)) || (e = names_check_nul(m->description.s, f)))
        return e;
    return registry_tags_check_nul(&c->tags, f);
}

err_t api_model_create(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct create_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct sql_step steps[3];
    unsigned n = 0;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_create, &c->m, f)) ||
        (e = create_check(a, c, f)))
        return e;
    c->now_ms = clock_wall_ms();
    c->values[0] = sql_text(a, c->m.name.s);
    c->values[1] = sql_i64(a, c->now_ms);
    c->values[2] = sql_text(a, c->m.description.s);
    c->tag_values[0] = c->values[0];
    c->tag_values[1] = sql_text_array(a, c->tags.keys, c->tags.n);
    c->tag_values[2] = sql_text_array(a, c->tags.values, c->tags.n);
    steps[n++] = (struct sql_step){&CREATE, c->values, 3};
    if (c->tags.n)
        steps[n++] = (struct sql_step){&CREATE_TAGS, c->tag_values, 3};
    n += grant_own_step(r, create_type(c), c->m.name.s, &steps[n]);
    return req_sql_try(r, steps, n, create_done);
}

/* -- read ------------------------------------------------------------------------------------ */

/* name, as the rules and PostgreSQL take it. */
static err_t check_name(struct str name, struct fail *f)
{
    err_t e = model_names_check(name, f);

    return e ? e : names_check_nul(name, f);
}

/* The model, from the results that entity_model_steps gave. */
static err_t model_reply(struct req *r, PGresult *const *results, struct str name, struct fail *f)
{
    struct entity_models models;
    struct json j;

    if (PQntuples(results[MODEL_ROWS]) == 0)
        return registry_no_model(name, f);
    entity_models(&r->arena, results, &models);
    reply_json(r, &j);
    json_open(&j);
    json_key(&j, "registered_model");
    entity_model(&j, &models, 0);
    json_close(&j);
    return reply_ok(r);
}

static err_t get_done(struct req *r, struct fail *f)
{
    const struct msg_models_name *m = r->data;

    return model_reply(r, r->sql.results, m->name.s, f);
}

err_t api_model_get(struct req *r, struct fail *f)
{
    struct msg_models_name *m = r->data = arena_alloc(&r->arena, sizeof(*m));
    struct sql_step steps[MODEL_PARTS];
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_models_name, m, f)) ||
        (e = check_name(m->name.s, f)))
        return e;
    entity_model_steps(steps, entity_model_name(&r->arena, m->name.s), false);
    return req_sql(r, steps, MODEL_PARTS, get_done);
}

static const struct stmt EXISTS = {"model_exists", "SELECT 1 FROM registered_models" OF_MODEL};

struct latest_call {
    struct msg_models_latest m;
    struct str name;
};

/* The stages as MLflow spells them; none = all. */
static err_t latest_stages(struct list_str *stages, struct fail *f)
{
    err_t e = OK;

    for (size_t i = 0; i < stages->n && !e; i++)
        e = model_names_stage(stages->items[i], &stages->items[i], f);
    return e;
}

static bool latest_is_asked(const struct list_str *stages, struct str stage)
{
    for (size_t i = 0; i < stages->n; i++)
        if (str_eq(stages->items[i], stage))
            return true;
    return stages->n == 0;
}

static err_t latest_done(struct req *r, struct fail *f)
{
    struct latest_call *c = r->data;
    struct entity_versions versions;
    bool is_open = false;
    struct json j;
    err_t e;

    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_model(c->name, f);
    if ((e = latest_stages(&c->m.stages, f)))
        return e;
    entity_versions(&r->arena, r->sql.results + 1, true, &versions);
    reply_json(r, &j);
    json_open(&j);
    for (int row = 0; row < PQntuples(versions.rows); row++) {
        if (!latest_is_asked(&c->m.stages, entity_version_stage(&versions, row)))
            continue;
        if (!is_open) {
            json_key(&j, "model_versions");
            json_open_list(&j);
            is_open = true;
        }
        entity_version(&j, &versions, row);
    }
    if (is_open)
        json_close_list(&j);
    json_close(&j);
    return reply_ok(r);
}

err_t api_model_latest(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct latest_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct sql_step steps[1 + VERSION_PARTS];
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_latest, &c->m, f)) ||
        (e = check_name(c->m.name.s, f)))
        return e;
    c->name = sql_text(a, c->m.name.s);
    steps[0] = (struct sql_step){&EXISTS, &c->name, 1};
    entity_latest_steps(steps + 1, entity_model_name(a, c->name));
    return req_sql(r, steps, 1 + VERSION_PARTS, latest_done);
}

/* -- rename, update -------------------------------------------------------------------------- */

static const struct stmt LOCK = {"model_lock",
                                 "SELECT 1 FROM registered_models" OF_MODEL " FOR UPDATE"};
static const struct stmt TOUCH_VERSIONS = {
    "model_touch_versions", "UPDATE model_versions SET last_updated_time = $2::int8" OF_MODEL};
/* A name that is too long must not fit by losing blanks at its end. left(name, 0): see SET_TAG. */
static const struct stmt RENAME = {
    "model_rename", "UPDATE registered_models SET last_updated_time = $2::int8,"
                    " name = $3::text || CASE WHEN length($3::text) > 256 THEN '.' ELSE '' END"
                    " || left(name, 0)" OF_MODEL};
static const struct stmt UPDATE = {"model_update",
                                   "UPDATE registered_models SET last_updated_time = $2::int8,"
                                   " description = $3::text || left(name, 0)" OF_MODEL};

struct change_call {
    struct str values[3]; /* of the longest statement; the name comes first */
};

static err_t rename_shown(struct req *r, struct fail *f)
{
    const struct change_call *c = r->data;

    return model_reply(r, r->sql.results, c->values[2], f);
}

/* Behind the permissions, which took the place of what the rename brought. */
static err_t rename_show(struct req *r, struct fail *f)
{
    const struct change_call *c = r->data;
    struct sql_step steps[MODEL_PARTS];

    (void)f;
    entity_model_steps(steps, entity_model_name(&r->arena, c->values[2]), false);
    return req_sql(r, steps, MODEL_PARTS, rename_shown);
}

static err_t rename_done(struct req *r, struct fail *f)
{
    const struct change_call *c = r->data;

    if (strncmp(r->sql.sqlstate, "23", 2) == 0)
        return fail(f, ERR_ALREADY_EXISTS,
                    "Registered Model (name=%.*s) already exists. Error: %.*s",
                    STR_ARG(c->values[2]), STR_ARG(r->sql.message));
    if (r->sql.err)
        return req_sql_fail(r, f);
    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_model(c->values[0], f);
    if (r->user)
        return grant_rename(r, c->values[0], c->values[2], rename_show);
    return model_reply(r, r->sql.results + 3, c->values[2], f);
}

err_t api_model_rename(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct change_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct sql_step steps[3 + MODEL_PARTS];
    struct msg_models_rename m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_rename, &m, f)) ||
        (e = model_names_check_new(m.new_name.s, f)) || (e = check_name(m.name.s, f)) ||
        (e = names_check_nul(m.new_name.s, f)))
        return e;
    c->values[0] = sql_text(a, m.name.s);
    c->values[1] = sql_i64(a, clock_wall_ms());
    c->values[2] = sql_text(a, m.new_name.s);
    steps[0] = (struct sql_step){&LOCK, c->values, 1};
    steps[1] = (struct sql_step){&TOUCH_VERSIONS, c->values, 2};
    steps[2] = (struct sql_step){&RENAME, c->values, 3};
    entity_model_steps(steps + 3, entity_model_name(a, m.new_name.s), false);
    return req_sql_try(r, steps, 3 + MODEL_PARTS, rename_done);
}

static err_t update_done(struct req *r, struct fail *f)
{
    const struct change_call *c = r->data;

    return model_reply(r, r->sql.results + 1, c->values[0], f);
}

/* A description that is not sent is an empty one. */
err_t api_model_update(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct change_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct sql_step steps[1 + MODEL_PARTS];
    struct msg_models_update m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_update, &m, f)) ||
        (e = check_name(m.name.s, f)) || (e = names_check_nul(m.description.s, f)))
        return e;
    c->values[0] = sql_text(a, m.name.s);
    c->values[1] = sql_i64(a, clock_wall_ms());
    c->values[2] = sql_text(a, m.description.s);
    steps[0] = (struct sql_step){&UPDATE, c->values, 3};
    entity_model_steps(steps + 1, entity_model_name(a, m.name.s), false);
    return req_sql(r, steps, 1 + MODEL_PARTS, update_done);
}

/* -- delete ---------------------------------------------------------------------------------- */

static const struct stmt LOCK_VERSIONS = {
    "model_lock_versions",
    "SELECT count(*) FROM (SELECT 1 FROM model_versions" OF_MODEL " FOR UPDATE) v"};
static const struct stmt DELETE_VERSION_TAGS = {"model_delete_version_tags",
                                                "DELETE FROM model_version_tags" OF_MODEL};
static const struct stmt DELETE_VERSIONS = {"model_delete_versions",
                                            "DELETE FROM model_versions" OF_MODEL};
static const struct stmt DELETE_TAGS = {"model_delete_tags",
                                        "DELETE FROM registered_model_tags" OF_MODEL};
static const struct stmt DELETE = {"model_delete", "DELETE FROM registered_models" OF_MODEL};

static err_t delete_answer(struct req *r, struct fail *f)
{
    (void)f;
    return reply_empty(r);
}

static err_t delete_done(struct req *r, struct fail *f)
{
    const struct str *name = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_model(*name, f);
    return grant_sweep(r, *name, delete_answer);
}

err_t api_model_delete(struct req *r, struct fail *f)
{
    static const struct stmt *const stmts[] = {
        &LOCK, &LOCK_VERSIONS, &DELETE_VERSION_TAGS, &DELETE_VERSIONS, &DELETE_TAGS, &DELETE};
    struct str *name = r->data = arena_alloc(&r->arena, sizeof(*name));
    struct sql_step steps[array_len(stmts) + 1];
    struct msg_models_name m;
    err_t e;

    if ((e = bind_request(&r->arena, &r->input, &MSG_models_name, &m, f)) ||
        (e = check_name(m.name.s, f)))
        return e;
    *name = sql_text(&r->arena, m.name.s);
    for (size_t i = 0; i < array_len(stmts); i++)
        steps[i] = (struct sql_step){stmts[i], name, 1};
    return req_sql(r, steps,
                   array_len(stmts) + grant_sweep_step(r, *name, &steps[array_len(stmts)]),
                   delete_done);
}

/* -- tags ------------------------------------------------------------------------------------ */

/*
 * The lock is the one that the tag's foreign key takes: the model stays while the tag comes. The
 * value depends on the model's row, or a planner that knows it would refuse one too long for the
 * column before it has looked for the model.
 */
static const struct stmt SET_TAG = {
    "model_set_tag",
    "WITH m AS (SELECT workspace, name FROM registered_models" OF_MODEL " FOR KEY SHARE),"
    " put AS (INSERT INTO registered_model_tags (workspace, name, key, value)"
    " SELECT m.workspace, m.name, $2::text, $3::text || left(m.name, 0) FROM m"
    " ON CONFLICT (workspace, key, name) DO UPDATE SET value = excluded.value)"
    " SELECT 1 FROM m"};
static const struct stmt DELETE_TAG = {"model_delete_tag",
                                       "WITH gone AS (DELETE FROM registered_model_tags" OF_MODEL
                                       " AND key = $2::text)"
                                       " SELECT 1 FROM registered_models" OF_MODEL};

static err_t tag_done(struct req *r, struct fail *f)
{
    const struct change_call *c = r->data;

    if (PQntuples(r->sql.results[0]) == 0)
        return registry_no_model(c->values[0], f);
    return reply_empty(r);
}

err_t api_model_set_tag(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct change_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct msg_models_set_tag m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_set_tag, &m, f)) ||
        (e = model_names_check(m.name.s, f)) ||
        (e = model_names_check_tag(m.key.s, m.value.s, f)) || (e = names_check_nul(m.name.s, f)) ||
        (e = names_check_nul(m.value.s, f)))
        return e;
    c->values[0] = sql_text(a, m.name.s);
    c->values[1] = sql_text(a, m.key.s);
    c->values[2] = sql_text(a, m.value.s);
    return req_sql(r, &(struct sql_step){&SET_TAG, c->values, 3}, 1, tag_done);
}

/* A tag that is not there is no error. */
err_t api_model_delete_tag(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct change_call *c = r->data = arena_zalloc(a, sizeof(*c));
    struct msg_models_delete_tag m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_delete_tag, &m, f)) ||
        (e = model_names_check(m.name.s, f)) || (e = names_check_key(m.key.s, "key", f)) ||
        (e = names_check_nul(m.name.s, f)))
        return e;
    c->values[0] = sql_text(a, m.name.s);
    c->values[1] = sql_text(a, m.key.s);
    return req_sql(r, &(struct sql_step){&DELETE_TAG, c->values, 2}, 1, tag_done);
}
