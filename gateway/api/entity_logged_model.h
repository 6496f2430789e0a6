/*
 * entity_logged_model: MLflow's LoggedModel as JSON, from rows of PostgreSQL.
 *
 * As entity.h for runs: the model's row in one result, its params, tags and metrics in results of
 * their own, grouped by the model's id. Everything lives in the caller's arena and points into the
 * results. One thread.
 */
#ifndef GATEWAY_ENTITY_LOGGED_MODEL_H
#define GATEWAY_ENTITY_LOGGED_MODEL_H

#include "gateway/api/entity.h"

/* Results, in the order of the statements. */
enum entity_logged_model_part { MODEL_ROWS, MODEL_PARAMS, MODEL_TAGS, MODEL_METRICS, MODEL_PARTS };

struct entity_logged_models {
    const PGresult *rows;
    int count;
    struct entity_group of[MODEL_PARTS]; /* but MODEL_ROWS */
};

/* The statements that fetch the models whose ids are the text array in ids, in that order. */
void entity_logged_model_steps(struct sql_step steps[MODEL_PARTS], const struct str *ids,
                               bool are_some);
/* Groups their results. */
void entity_logged_models(struct arena *a, PGresult *const results[MODEL_PARTS],
                          struct entity_logged_models *out);
/* Is the model of that row deleted? */
bool entity_logged_model_is_deleted(const struct entity_logged_models *m, int row);
/* One LoggedModel. */
void entity_logged_model(struct json *j, const struct entity_logged_models *m, int row);

#endif
