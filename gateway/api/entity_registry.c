/*
 * entity_registry: rows of the model registry to MLflow's JSON.
 *
 * Field order and presence are those of MLflow's protobuf answers, see entity.c. A model omits an
 * empty description; a version shows it, and omits only what is NULL.
 *
 * Order. MLflow asks for none. Tags come as PostgreSQL finds them, which is mostly the order they
 * were set in; aliases by alias; the latest versions by the first version their stage has, which is
 * the order in which MLflow comes upon the stages.
 *
 * Every statement looks its rows up key by key, by an index that begins with (workspace, name): a
 * lateral subquery that OFFSET keeps the planner from turning into anything else. With an array in
 * the condition instead, a prepared statement whose tables have no statistics yet compares every
 * row with every item of the array: 2.6 s for 1000 models of 10 000, against 0.03 s. The latest
 * versions are one pass over the versions of the models, grouped once for all models (once for each
 * costs 0.4 us a model more); their tags repeat that pass, because a pipeline's statements cannot see each
 * other's results, but only for models whose versions have tags: 0.19 ms in place of 0.58 for 160 that
 * have none.
 */
#include "gateway/api/entity_registry.h"

#include "gateway/api/registry.h"

/* Position of the columns in ENTITY_MODEL and ENTITY_VERSION. */
enum { MODEL_NAME, MODEL_CREATED, MODEL_UPDATED, MODEL_DESCRIPTION };
enum {
    VERSION_NAME,
    VERSION_NUMBER,
    VERSION_CREATED,
    VERSION_UPDATED,
    VERSION_USER,
    VERSION_STAGE,
    VERSION_DESCRIPTION,
    VERSION_SOURCE,
    VERSION_RUN,
    VERSION_STATUS,
    VERSION_STATUS_MESSAGE,
    VERSION_RUN_LINK,
    VERSION_KEY
};

/* Every model's name in $1 as s; every version in $1 and $2. */
#define NAMES "unnest($1::text[]) AS s(name)"
#define KEYS  "unnest($1::text[], $2::int4[]) AS s(name, version)"
/* ... and for each of them the rows that a subquery gives, by an index. */
#define EACH " CROSS JOIN LATERAL (SELECT "
/* Of table x: model s, version s. */
#define OF_MODEL(x)   " WHERE " x ".workspace = " SCOPE_NAME " AND " x ".name = s.name"
#define OF_VERSION(x) OF_MODEL(x) " AND " x ".version = s.version OFFSET 0) " x

/* Name, latest and first version of each stage of the models in $1 that satisfy a condition, as s. */
#define LATEST(condition)                                                                 \
    "(SELECT s.name, max(v.version) AS version, min(v.version) AS first FROM " NAMES EACH \
    "v.version, v.current_stage FROM model_versions v" OF_MODEL(                          \
        "v") " AND " ENTITY_VERSION_LIVES condition " OFFSET 0) v"                        \
             " GROUP BY s.name, v.current_stage OFFSET 0) s"
/* Of a model whose versions have no tags at all, which most are, no version has to be looked at. */
#define HAS_VERSION_TAGS \
    " AND (SELECT EXISTS (SELECT 1 FROM model_version_tags x" OF_MODEL("x") "))"

static const struct entity_stmt MODELS =
    ENTITY_STMT("entity_models",
                "SELECT m.* FROM unnest($1::text[]) WITH ORDINALITY AS s(name, n)" EACH ENTITY_MODEL
                " FROM registered_models m" OF_MODEL("m") " OFFSET 0) m"
                                                          " ORDER BY s.n");
static const struct entity_stmt TAGS_OF_MODELS =
    ENTITY_STMT("entity_model_tags",
                "SELECT s.name, t.key, t.value FROM " NAMES EACH
                "t.key, t.value FROM registered_model_tags t" OF_MODEL("t") " OFFSET 0) t");
static const struct entity_stmt ALIASES_OF_MODELS = ENTITY_STMT(
    "entity_model_aliases", "SELECT s.name, a.alias, a.version FROM " NAMES EACH
                            "a.alias, a.version FROM registered_model_aliases a" OF_MODEL(
                                "a") " OFFSET 0) a ORDER BY a.alias");
static const struct entity_stmt LATEST_OF_MODELS =
    ENTITY_STMT("entity_model_latest", "SELECT v.* FROM " LATEST("") EACH ENTITY_VERSION
                " FROM model_versions v" OF_VERSION("v") " ORDER BY s.first");
static const struct entity_stmt LATEST_TAGS_OF_MODELS = ENTITY_STMT_WIDE(
    "entity_model_latest_tags",
    "SELECT s.version || ' ' || s.name, t.key, t.value FROM " LATEST(HAS_VERSION_TAGS) EACH
    "t.key, t.value FROM model_version_tags t" OF_VERSION("t"),
    "coalesce(octet_length(q.value), 0)");
static const struct stmt ALIASES_OF_LATEST = {
    "entity_latest_aliases", "SELECT a.version || ' ' || s.name, a.alias FROM " NAMES EACH
                             "a.alias, a.version FROM registered_model_aliases a" OF_MODEL(
                                 "a") " OFFSET 0) a ORDER BY a.alias"};

/* Of the model $1. */
#define NEWEST_OF(t)                                                                      \
    t ".workspace = " SCOPE_NAME " AND " t ".name = $1::text AND " t ".version = (SELECT" \
      " max(n.version) FROM model_versions n WHERE n.workspace = " SCOPE_NAME             \
      " AND n.name = $1::text)"
static const struct stmt NEWEST_VERSION = {
    "entity_newest", "SELECT " ENTITY_VERSION " FROM model_versions v WHERE " NEWEST_OF("v")};
static const struct stmt TAGS_OF_NEWEST = {
    "entity_newest_tags",
    "SELECT t.version || ' ' || t.name, t.key, t.value FROM model_version_tags t"
    " WHERE " NEWEST_OF("t")};
static const struct stmt ALIASES_OF_NEWEST = {
    "entity_newest_aliases",
    "SELECT t.version || ' ' || t.name, t.alias FROM registered_model_aliases t"
    " WHERE " NEWEST_OF("t") " ORDER BY t.alias"};

static const struct entity_stmt VERSIONS = ENTITY_STMT(
    "entity_versions",
    "SELECT v.* FROM unnest($1::text[], $2::int4[]) WITH ORDINALITY"
    " AS s(name, version, n)" EACH ENTITY_VERSION
    " FROM model_versions v" OF_MODEL("v") " AND v.version = s.version AND " ENTITY_VERSION_LIVES
                                           " OFFSET 0) v ORDER BY s.n");
static const struct entity_stmt TAGS_OF_VERSIONS =
    ENTITY_STMT_WIDE("entity_version_tags",
                     "SELECT s.version || ' ' || s.name, t.key, t.value FROM " KEYS EACH
                     "t.key, t.value FROM model_version_tags t" OF_VERSION("t"),
                     "coalesce(octet_length(q.value), 0)");
static const struct entity_stmt ALIASES_OF_VERSIONS =
    ENTITY_STMT("entity_version_aliases",
                "SELECT s.version || ' ' || s.name, a.alias FROM " KEYS EACH
                "a.alias FROM registered_model_aliases a" OF_VERSION("a") " ORDER BY a.alias");

const struct str *entity_model_name(struct arena *a, struct str name)
{
    struct str *value = arena_alloc(a, sizeof(*value));

    *value = sql_text_array(a, &name, 1);
    return value;
}

const struct str *entity_version_key(struct arena *a, struct str name, int32_t version)
{
    struct str *values = arena_array(a, 2, sizeof(*values));

    values[0] = sql_text_array(a, &name, 1);
    values[1] = sql_i64_array(a, &(int64_t){version}, 1);
    return values;
}

/* What a column says, when it is not NULL. */
static void pair_if_set(struct json *j, const char *key, const PGresult *res, int row, int column)
{
    if (!sql_is_null(res, row, column))
        json_pair_str(j, key, sql_get(res, row, column));
}

/* The same of an integer, which is text already. */
static void number_if_set(struct json *j, const char *key, const PGresult *res, int row, int column)
{
    if (sql_is_null(res, row, column))
        return;
    json_key(j, key);
    json_raw(j, sql_get(res, row, column));
}

/* -- versions -------------------------------------------------------------------------------- */

static const struct stmt *entity_amount(const struct entity_stmt *s, bool are_some)
{
    return are_some ? &s->some : &s->all;
}

void entity_version_steps(struct sql_step steps[VERSION_PARTS], const struct str keys[2],
                          bool are_some)
{
    static const struct entity_stmt *const stmts[VERSION_PARTS] = {
        [VERSION_ROWS] = &VERSIONS,
        [VERSION_TAGS] = &TAGS_OF_VERSIONS,
        [VERSION_ALIASES] = &ALIASES_OF_VERSIONS,
    };

    for (int i = 0; i < VERSION_PARTS; i++)
        steps[i] = (struct sql_step){entity_amount(stmts[i], are_some), keys, 2};
}

void entity_latest_steps(struct sql_step steps[VERSION_PARTS], const struct str *name)
{
    steps[VERSION_ROWS] = (struct sql_step){&LATEST_OF_MODELS.all, name, 1};
    steps[VERSION_TAGS] = (struct sql_step){&LATEST_TAGS_OF_MODELS.all, name, 1};
    steps[VERSION_ALIASES] = (struct sql_step){&ALIASES_OF_LATEST, name, 1};
}

void entity_newest_steps(struct sql_step steps[VERSION_PARTS], const struct str *name)
{
    steps[VERSION_ROWS] = (struct sql_step){&NEWEST_VERSION, name, 1};
    steps[VERSION_TAGS] = (struct sql_step){&TAGS_OF_NEWEST, name, 1};
    steps[VERSION_ALIASES] = (struct sql_step){&ALIASES_OF_NEWEST, name, 1};
}

void entity_versions(struct arena *a, PGresult *const *results, bool has_aliases,
                     struct entity_versions *out)
{
    const PGresult *rows = results[VERSION_ROWS];
    int n = PQntuples(rows);

    *out = (struct entity_versions){.rows = rows, .has_aliases = has_aliases};
    entity_group(a, rows, n, VERSION_KEY, results[VERSION_TAGS], &out->tags);
    if (has_aliases)
        entity_group(a, rows, n, VERSION_KEY, results[VERSION_ALIASES], &out->aliases);
}

static void write_aliases(struct json *j, const struct entity_group *g, int owner)
{
    if (g->first[owner] < 0)
        return;
    json_key(j, "aliases");
    json_open_list(j);
    for (int row = g->first[owner]; row >= 0; row = g->next[row])
        json_str(j, sql_get(g->res, row, 1));
    json_close_list(j);
}

static bool is_prompt(const struct entity_group *tags, int owner)
{
    for (int row = tags->first[owner]; row >= 0; row = tags->next[row]) {
        if (str_eq(sql_get(tags->res, row, 1), STR(REGISTRY_PROMPT_TAG)))
            return str_ieq(sql_get(tags->res, row, 2), STR("true"));
    }
    return false;
}

bool entity_version_is_prompt(const struct entity_versions *versions, int row)
{
    return is_prompt(&versions->tags, row);
}

void entity_version(struct json *j, const struct entity_versions *versions, int row)
{
    const PGresult *res = versions->rows;

    json_open(j);
    json_pair_str(j, "name", sql_get(res, row, VERSION_NAME));
    json_pair_str(j, "version", sql_get(res, row, VERSION_NUMBER));
    number_if_set(j, "creation_timestamp", res, row, VERSION_CREATED);
    number_if_set(j, "last_updated_timestamp", res, row, VERSION_UPDATED);
    pair_if_set(j, "user_id", res, row, VERSION_USER);
    pair_if_set(j, "current_stage", res, row, VERSION_STAGE);
    pair_if_set(j, "description", res, row, VERSION_DESCRIPTION);
    pair_if_set(j, "source", res, row, VERSION_SOURCE);
    if (!(j->hides & HIDE_RUNS) || sql_get(res, row, VERSION_RUN).n == 0)
        pair_if_set(j, "run_id", res, row, VERSION_RUN);
    pair_if_set(j, "status", res, row, VERSION_STATUS);
    if (sql_get(res, row, VERSION_STATUS_MESSAGE).n)
        json_pair_str(j, "status_message", sql_get(res, row, VERSION_STATUS_MESSAGE));
    entity_pairs(j, "tags", &versions->tags, row);
    if (!(j->hides & HIDE_RUNS) || sql_get(res, row, VERSION_RUN_LINK).n == 0)
        pair_if_set(j, "run_link", res, row, VERSION_RUN_LINK);
    if (versions->has_aliases)
        write_aliases(j, &versions->aliases, row);
    json_close(j);
}

struct str entity_version_stage(const struct entity_versions *versions, int row)
{
    return sql_get(versions->rows, row, VERSION_STAGE);
}

int64_t entity_version_number(const struct entity_versions *versions, int row)
{
    return sql_get_i64(versions->rows, row, VERSION_NUMBER);
}

/* -- models ---------------------------------------------------------------------------------- */

void entity_model_steps(struct sql_step steps[MODEL_PARTS], const struct str *names, bool are_some)
{
    static const struct entity_stmt *const stmts[MODEL_PARTS] = {
        [MODEL_ROWS] = &MODELS,
        [MODEL_TAGS] = &TAGS_OF_MODELS,
        [MODEL_ALIASES] = &ALIASES_OF_MODELS,
        [MODEL_LATEST] = &LATEST_OF_MODELS,
        [MODEL_LATEST_TAGS] = &LATEST_TAGS_OF_MODELS,
    };

    for (int i = 0; i < MODEL_PARTS; i++)
        steps[i] = (struct sql_step){entity_amount(stmts[i], are_some), names, 1};
}

void entity_models(struct arena *a, PGresult *const results[MODEL_PARTS], struct entity_models *out)
{
    const PGresult *rows = results[MODEL_ROWS];
    int n = PQntuples(rows);

    out->rows = rows;
    entity_group(a, rows, n, MODEL_NAME, results[MODEL_TAGS], &out->tags);
    entity_group(a, rows, n, MODEL_NAME, results[MODEL_ALIASES], &out->aliases);
    entity_group(a, rows, n, MODEL_NAME, results[MODEL_LATEST], &out->latest);
    entity_versions(a, results + MODEL_LATEST, false, &out->versions);
}

static void write_latest(struct json *j, const struct entity_models *models, int owner)
{
    const struct entity_group *g = &models->latest;

    if (g->first[owner] < 0)
        return;
    json_key(j, "latest_versions");
    json_open_list(j);
    for (int row = g->first[owner]; row >= 0; row = g->next[row])
        entity_version(j, &models->versions, row);
    json_close_list(j);
}

static void write_alias_pairs(struct json *j, const struct entity_group *g, int owner)
{
    if (g->first[owner] < 0)
        return;
    json_key(j, "aliases");
    json_open_list(j);
    for (int row = g->first[owner]; row >= 0; row = g->next[row]) {
        json_open(j);
        json_pair_str(j, "alias", sql_get(g->res, row, 1));
        json_pair_str(j, "version", sql_get(g->res, row, 2));
        json_close(j);
    }
    json_close_list(j);
}

void entity_model(struct json *j, const struct entity_models *models, int row)
{
    const PGresult *res = models->rows;

    json_open(j);
    json_pair_str(j, "name", sql_get(res, row, MODEL_NAME));
    number_if_set(j, "creation_timestamp", res, row, MODEL_CREATED);
    if (sql_get_i64(res, row, MODEL_UPDATED))
        json_pair_i64(j, "last_updated_timestamp", sql_get_i64(res, row, MODEL_UPDATED));
    if (sql_get(res, row, MODEL_DESCRIPTION).n)
        json_pair_str(j, "description", sql_get(res, row, MODEL_DESCRIPTION));
    if (!(j->hides & (is_prompt(&models->tags, row) ? HIDE_PROMPT_VERSIONS : HIDE_MODEL_VERSIONS)))
        write_latest(j, models, row);
    entity_pairs(j, "tags", &models->tags, row);
    write_alias_pairs(j, &models->aliases, row);
    json_close(j);
}
