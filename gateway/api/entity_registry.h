/*
 * entity_registry: MLflow's RegisteredModel and ModelVersion as JSON, from rows of PostgreSQL.
 *
 * Models are known by name, versions by name and version, always in the workspace " SCOPE_NAME ". A
 * caller that knows the keys of what it wants, one or a page of them, sends the steps of
 * entity_model_steps or entity_version_steps behind its own in the same pipeline, which is one
 * transaction, and writes the answer from their results:
 *
 *     struct sql_step steps[1 + MODEL_PARTS] = {{&CHANGE, values, 3}};
 *     struct entity_models models;
 *
 *     entity_model_steps(steps + 1, entity_model_name(a, name));
 *     ...
 *     entity_models(a, r->sql.results + 1, &models);
 *     entity_model(&j, &models, 0);
 *
 * Everything lives in the caller's arena and points into the results. One thread.
 */
#ifndef GATEWAY_ENTITY_REGISTRY_H
#define GATEWAY_ENTITY_REGISTRY_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json.h"
#include "gateway/api/entity.h"
#include "gateway/sql/sql.h"

/* Columns of `registered_models m`, in the order entity_model reads them. */
#define ENTITY_MODEL "m.name, m.creation_time, m.last_updated_time, m.description"
/* Columns of `model_versions v`, in the order entity_version reads them. The last one is name and
 * version as one text, by which tags and aliases find it. */
#define ENTITY_VERSION                                                                     \
    "v.name, v.version, v.creation_time, v.last_updated_time, v.user_id, v.current_stage," \
    " v.description, v.source, v.run_id, v.status, v.status_message, v.run_link,"          \
    " v.version || ' ' || v.name"
/* What `model_versions v` must satisfy to be shown at all. */
#define ENTITY_VERSION_LIVES \
    "v.workspace = " SCOPE_NAME " AND v.current_stage <> 'Deleted_Internal'"

/* The results that models are written from; the rows are in the order of the names. */
enum entity_model_part {
    MODEL_ROWS,
    MODEL_TAGS,
    MODEL_ALIASES,
    MODEL_LATEST, /* the latest version of each stage */
    MODEL_LATEST_TAGS,
    MODEL_PARTS
};

/* The same of versions. A call that never shows aliases leaves the last one away. */
enum entity_version_part { VERSION_ROWS, VERSION_TAGS, VERSION_ALIASES, VERSION_PARTS };

struct entity_versions {
    const PGresult *rows;
    struct entity_group tags;
    struct entity_group aliases;
    bool has_aliases;
};

struct entity_models {
    const PGresult *rows;
    struct entity_group tags;
    struct entity_group aliases;
    struct entity_group latest; /* rows of versions, by model */
    struct entity_versions versions;
};

/* The value of entity_model_steps that stands for one name. */
const struct str *entity_model_name(struct arena *a, struct str name);
/* The values of entity_version_steps that stand for one version. */
const struct str *entity_version_key(struct arena *a, struct str name, int32_t version);

/* All parts of the models whose names are the text array in names. */
void entity_model_steps(struct sql_step steps[MODEL_PARTS], const struct str *names, bool are_some);
void entity_models(struct arena *a, PGresult *const results[MODEL_PARTS],
                   struct entity_models *out);
/* The RegisteredModel of a row. */
void entity_model(struct json *j, const struct entity_models *models, int row);

/* The latest version of each stage of the model in name, as the parts of versions. */
void entity_latest_steps(struct sql_step steps[VERSION_PARTS], const struct str *name);

/* The version with the highest number of the model name (a text, not an array), as the parts of
 * versions. */
void entity_newest_steps(struct sql_step steps[VERSION_PARTS], const struct str *name);

/* All parts of the versions whose names and versions are the text array in keys[0] and the int4
 * array, as long, in keys[1]. Deleted ones have no row. */
void entity_version_steps(struct sql_step steps[VERSION_PARTS], const struct str keys[2],
                          bool are_some);
/* Without has_aliases, results ends before VERSION_ALIASES. */
void entity_versions(struct arena *a, PGresult *const *results, bool has_aliases,
                     struct entity_versions *out);
/* The ModelVersion of a row. */
void entity_version(struct json *j, const struct entity_versions *versions, int row);
/* By its own tag. */
bool entity_version_is_prompt(const struct entity_versions *versions, int row);
struct str entity_version_stage(const struct entity_versions *versions, int row);
int64_t entity_version_number(const struct entity_versions *versions, int row);

#endif
