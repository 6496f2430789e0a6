/*
 * entity_logged_model: rows to MLflow's LoggedModel.
 *
 * Field order and presence are those of MLflow's protobuf answers (entity.c). Columns that are NULL
 * are absent: clients of the REST API always write model_type and source_run_id, empty if need be,
 * others may not.
 *
 * Params and tags come in the order of their primary keys, in which MLflow's statement finds them.
 *
 * A model's metrics are all that were logged for it, not the latest; a NaN is stored as 0.
 */
#include "gateway/api/entity_logged_model.h"

enum {
    COL_ID,
    COL_EXPERIMENT,
    COL_NAME,
    COL_CREATED,
    COL_UPDATED,
    COL_LOCATION,
    COL_STATUS,
    COL_TYPE,
    COL_SOURCE_RUN,
    COL_MESSAGE,
    COL_STAGE
};
enum { OWNER, KEY, VALUE, TIMESTAMP, STEP, RUN, DATASET_NAME, DATASET_DIGEST };

static const struct entity_stmt STMTS[MODEL_PARTS] = {
    [MODEL_ROWS] =
        ENTITY_STMT("entity_logged_models",
                    "SELECT m.model_id, m.experiment_id, m.name, m.creation_timestamp_ms,"
                    " m.last_updated_timestamp_ms, m.artifact_location, m.status, m.model_type,"
                    " m.source_run_id, m.status_message, m.lifecycle_stage"
                    " FROM unnest($1::text[]) WITH ORDINALITY AS s(id, n)"
                    " JOIN logged_models m ON m.model_id = s.id" SCOPE_OF("m") " ORDER BY s.n"),
    [MODEL_PARAMS] =
        ENTITY_STMT_WIDE("entity_logged_model_params",
                         "SELECT model_id, param_key, param_value"
                         " FROM logged_model_params" SCOPE_FOUND " WHERE model_id = ANY($1::text[])"
                         " ORDER BY model_id, param_key",
                         "octet_length(q.param_value)"),
    [MODEL_TAGS] =
        ENTITY_STMT_WIDE("entity_logged_model_tags",
                         "SELECT model_id, tag_key, tag_value"
                         " FROM logged_model_tags" SCOPE_FOUND " WHERE model_id = ANY($1::text[])"
                         " ORDER BY model_id, tag_key",
                         "octet_length(q.tag_value)"),
    [MODEL_METRICS] = ENTITY_STMT(
        "entity_logged_model_metrics",
        "SELECT model_id, metric_name, metric_value, metric_timestamp_ms, metric_step, run_id,"
        " dataset_name, dataset_digest FROM logged_model_metrics" SCOPE_FOUND
        " WHERE model_id = ANY($1::text[])"),
};

void entity_logged_model_steps(struct sql_step steps[MODEL_PARTS], const struct str *ids,
                               bool are_some)
{
    for (int i = 0; i < MODEL_PARTS; i++)
        steps[i] = (struct sql_step){are_some ? &STMTS[i].some : &STMTS[i].all, ids, 1};
}

void entity_logged_models(struct arena *a, PGresult *const results[MODEL_PARTS],
                          struct entity_logged_models *out)
{
    out->rows = results[MODEL_ROWS];
    out->count = PQntuples(out->rows);
    for (int i = MODEL_ROWS + 1; i < MODEL_PARTS; i++)
        entity_group(a, out->rows, out->count, COL_ID, results[i], &out->of[i]);
}

bool entity_logged_model_is_deleted(const struct entity_logged_models *m, int row)
{
    return !str_eq(sql_get(m->rows, row, COL_STAGE), STR("active"));
}

static void write_text(struct json *j, const char *key, const PGresult *res, int row, int column)
{
    if (!sql_is_null(res, row, column))
        json_pair_str(j, key, sql_get(res, row, column));
}

/* Integers are text already. */
static void write_integer(struct json *j, const char *key, const PGresult *res, int row, int column)
{
    json_key(j, key);
    json_raw(j, sql_get(res, row, column));
}

static void write_pairs(struct json *j, const char *name, const struct entity_group *g, int owner)
{
    if (g->first[owner] < 0)
        return;
    json_key(j, name);
    json_open_list(j);
    for (int row = g->first[owner]; row >= 0; row = g->next[row])
        entity_pair(j, sql_get(g->res, row, KEY), sql_get(g->res, row, VALUE));
    json_close_list(j);
}

static struct str status_name(int64_t status)
{
    switch (status) {
    case 1: return STR("LOGGED_MODEL_PENDING");
    case 2: return STR("LOGGED_MODEL_READY");
    case 3: return STR("LOGGED_MODEL_UPLOAD_FAILED");
    default: return STR("LOGGED_MODEL_STATUS_UNSPECIFIED");
    }
}

static void write_info(struct json *j, const struct entity_logged_models *m, int row)
{
    const PGresult *res = m->rows;

    json_open(j);
    write_text(j, "model_id", res, row, COL_ID);
    write_text(j, "experiment_id", res, row, COL_EXPERIMENT);
    write_text(j, "name", res, row, COL_NAME);
    write_integer(j, "creation_timestamp_ms", res, row, COL_CREATED);
    write_integer(j, "last_updated_timestamp_ms", res, row, COL_UPDATED);
    write_text(j, "artifact_uri", res, row, COL_LOCATION);
    json_pair_str(j, "status", status_name(sql_get_i64(res, row, COL_STATUS)));
    write_text(j, "model_type", res, row, COL_TYPE);
    if (!(j->hides & HIDE_RUNS) || sql_get(res, row, COL_SOURCE_RUN).n == 0)
        write_text(j, "source_run_id", res, row, COL_SOURCE_RUN);
    write_text(j, "status_message", res, row, COL_MESSAGE);
    write_pairs(j, "tags", &m->of[MODEL_TAGS], row);
    json_close(j);
}

static void write_metric(struct json *j, const PGresult *res, int row)
{
    json_open(j);
    write_text(j, "key", res, row, KEY);
    if (!sql_is_null(res, row, VALUE)) {
        json_key(j, "value");
        entity_double(j, sql_get(res, row, VALUE));
    }
    write_integer(j, "timestamp", res, row, TIMESTAMP);
    write_integer(j, "step", res, row, STEP);
    if (sql_get(res, row, DATASET_NAME).n)
        write_text(j, "dataset_name", res, row, DATASET_NAME);
    if (sql_get(res, row, DATASET_DIGEST).n)
        write_text(j, "dataset_digest", res, row, DATASET_DIGEST);
    write_text(j, "model_id", res, row, OWNER);
    if (!(j->hides & HIDE_RUNS) || sql_get(res, row, RUN).n == 0)
        write_text(j, "run_id", res, row, RUN);
    json_close(j);
}

static void write_data(struct json *j, const struct entity_logged_models *m, int row)
{
    const struct entity_group *metrics = &m->of[MODEL_METRICS];

    json_open(j);
    write_pairs(j, "params", &m->of[MODEL_PARAMS], row);
    if (metrics->first[row] >= 0) {
        json_key(j, "metrics");
        json_open_list(j);
        for (int i = metrics->first[row]; i >= 0; i = metrics->next[i])
            write_metric(j, metrics->res, i);
        json_close_list(j);
    }
    json_close(j);
}

void entity_logged_model(struct json *j, const struct entity_logged_models *m, int row)
{
    json_open(j);
    json_key(j, "info");
    write_info(j, m, row);
    json_key(j, "data");
    write_data(j, m, row);
    json_close(j);
}
