/*
 * entity: rows to MLflow's JSON.
 *
 * Field order and presence are those of MLflow's protobuf answers: proto field number, repeated
 * fields that are empty omitted, messages that were set but are empty shown as {}.
 *
 * Grouping. Detail rows come in the order PostgreSQL found them; owners are looked up in a hash map
 * and the rows of one owner are chained, so n rows cost n look-ups and no sort. Rows of one owner
 * mostly come together, so the last owner is tried first.
 *
 * Doubles. float8 goes out of PostgreSQL as the shortest text that reads back, and so does Python's
 * repr, so the text is passed on, with ".0" behind integral values. Below 1e15 that is exact. Above,
 * PostgreSQL changes to an exponent earlier than Python, and may give a digit more: it does not use
 * texts that stand exactly between two doubles, and texts of at most 17 digits do that only above
 * 2^52. Those few are converted.
 */
#include "gateway/api/entity.h"

#include <stdlib.h>
#include <string.h>

#include "base/idmap.h"
#include "gateway/sql/sql_stream.h"

/* Position of the columns in the statements below. */
enum { COL_OWNER, COL_KEY, COL_VALUE };
enum {
    DATASET_INPUT = 1,
    DATASET_NAME,
    DATASET_DIGEST,
    DATASET_TYPE,
    DATASET_SOURCE,
    DATASET_SCHEMA,
    DATASET_PROFILE
};
enum { MODEL_IS_INPUT = 1, MODEL_ID, MODEL_STEP };

static const struct entity_stmt EXPERIMENT_TAGS = ENTITY_STMT(
    "entity_experiment_tags", "SELECT experiment_id, key, value FROM experiment_tags" SCOPE_FOUND
                              " WHERE experiment_id = ANY($1::int4[])");

#define OF_RUNS SCOPE_FOUND " WHERE run_uuid = ANY($1::text[])"
#define METRICS "SELECT run_uuid, key, value, timestamp, step, is_nan FROM latest_metrics" OF_RUNS
#define PARAMS  "SELECT run_uuid, key, value FROM params" OF_RUNS
#define TAGS    "SELECT run_uuid, key, value FROM tags" OF_RUNS

static const struct entity_stmt RUN_DETAILS[DETAIL_COUNT] = {
    [DETAIL_METRICS] = ENTITY_STMT("entity_run_metrics", METRICS),
    [DETAIL_PARAMS] = ENTITY_STMT("entity_run_params", PARAMS),
    [DETAIL_TAGS] = ENTITY_STMT("entity_run_tags", TAGS),
    [DETAIL_DATASETS] = ENTITY_STMT_WIDE(
        "entity_run_datasets",
        "SELECT i.destination_id, i.input_uuid, d.name, d.digest, d.dataset_source_type,"
        " d.dataset_source, d.dataset_schema, d.dataset_profile"
        " FROM inputs i" SCOPE_FOUND " JOIN datasets d ON d.dataset_uuid = i.source_id"
        " WHERE i.destination_type = 'RUN' AND i.destination_id = ANY($1::text[])",
        "octet_length(q.dataset_source) + coalesce(octet_length(q.dataset_schema), 0)"
        " + coalesce(octet_length(q.dataset_profile), 0)"),
    [DETAIL_DATASET_TAGS] =
        ENTITY_STMT("entity_run_dataset_tags",
                    "SELECT t.input_uuid, t.name, t.value FROM inputs i" SCOPE_FOUND
                    " JOIN input_tags t USING (input_uuid)"
                    " WHERE i.destination_type = 'RUN' AND i.destination_id = ANY($1::text[])"),
    [DETAIL_MODELS] = ENTITY_STMT(
        "entity_run_models",
        "SELECT source_id, source_type = 'RUN_INPUT', destination_id, step FROM inputs" SCOPE_FOUND
        " WHERE source_id = ANY($1::text[])"
        " AND ((source_type = 'RUN_INPUT' AND destination_type = 'MODEL_INPUT')"
        " OR (source_type = 'RUN_OUTPUT' AND destination_type = 'MODEL_OUTPUT'))"),
};
static const struct stmt RUN_STREAMS[] = {
    [DETAIL_METRICS] = {"entity_run_metrics_long", SQL_STREAM METRICS},
    [DETAIL_PARAMS] = {"entity_run_params_long", SQL_STREAM PARAMS},
    [DETAIL_TAGS] = {"entity_run_tags_long", SQL_STREAM TAGS},
};

void entity_group(struct arena *a, const PGresult *owners, int nowners, int column,
                  const PGresult *res, struct entity_group *out)
{
    int nrows = PQntuples(res);
    struct idmap index;
    int last = -1;
    bool is_new;

    out->res = res;
    out->first = arena_array(a, (size_t)nowners, sizeof(int));
    out->next = arena_array(a, (size_t)nrows, sizeof(int));
    for (int i = 0; i < nowners; i++)
        out->first[i] = -1;
    if (nrows == 0 || nowners == 0)
        return;
    idmap_init(&index);
    for (int i = 0; i < nowners; i++)
        *idmap_put(&index, sql_get(owners, i, column), &is_new) = (uint64_t)i;
    for (int row = nrows - 1; row >= 0; row--) { /* from the end: chains then run forwards */
        struct str id = sql_get(res, row, COL_OWNER);

        if (last < 0 || !str_eq(id, sql_get(owners, last, column))) {
            const uint64_t *found = idmap_get(&index, id);

            last = found ? (int)*found : -1;
        }
        if (last >= 0) {
            out->next[row] = out->first[last];
            out->first[last] = row;
        }
    }
    idmap_fini(&index);
}

/* -- small things ---------------------------------------------------------------------------- */

void entity_double(struct json *j, struct str text)
{
    char copy[JSON_DOUBLE_MAX];
    size_t e = str_find(text, 'e');

    check(text.n > 0 && text.n + 2 < sizeof(copy));
    if (text.p[text.n - 1] == 'y' || text.p[text.n - 1] == 'N') { /* Infinity, NaN */
        json_str(j, text);
    } else if (e + 1 < text.n && text.p[e + 1] == '+') {
        str_to_cstr(text, copy, sizeof(copy));
        json_double(j, strtod(copy, NULL));
    } else if (e < text.n || str_find(text, '.') < text.n) {
        json_raw(j, text);
    } else {
        memcpy(copy, text.p, text.n);
        memcpy(copy + text.n, ".0", 2);
        json_raw(j, (struct str){copy, text.n + 2});
    }
}

void entity_pair(struct json *j, struct str key, struct str value)
{
    json_open(j);
    json_pair_str(j, "key", key);
    if (value.p)
        json_pair_str(j, "value", value);
    json_close(j);
}

void entity_metric(struct json *j, struct str key, const PGresult *res, int row, int column)
{
    json_open(j);
    json_pair_str(j, "key", key);
    json_key(j, "value");
    if (sql_get_bool(res, row, column + 3))
        json_raw(j, STR("\"NaN\""));
    else
        entity_double(j, sql_get(res, row, column));
    json_key(j, "timestamp"); /* integers are text already */
    json_raw(j, sql_is_null(res, row, column + 1) ? STR("0") : sql_get(res, row, column + 1));
    json_key(j, "step");
    json_raw(j, sql_get(res, row, column + 2));
    json_close(j);
}

static struct str get_or_null(const PGresult *res, int row, int column)
{
    return sql_is_null(res, row, column) ? sql_null() : sql_get(res, row, column);
}

void entity_pairs(struct json *j, const char *name, const struct entity_group *g, int owner)
{
    if (g->first[owner] < 0)
        return;
    json_key(j, name);
    json_open_list(j);
    for (int row = g->first[owner]; row >= 0; row = g->next[row])
        entity_pair(j, sql_get(g->res, row, COL_KEY), get_or_null(g->res, row, COL_VALUE));
    json_close_list(j);
}

/* -- experiments ------------------------------------------------------------------------------- */

void entity_experiment_step(struct sql_step *step, const struct str *ids, bool are_some)
{
    *step = (struct sql_step){are_some ? &EXPERIMENT_TAGS.some : &EXPERIMENT_TAGS.all, ids, 1};
}

void entity_experiment(struct json *j, const PGresult *res, int row,
                       const struct entity_group *tags)
{
    int64_t updated = sql_get_i64(res, row, 4), created = sql_get_i64(res, row, 5);

    json_open(j);
    json_pair_str(j, "experiment_id", sql_get(res, row, 0));
    json_pair_str(j, "name", sql_get(res, row, 1));
    json_pair_str(j, "artifact_location", sql_get(res, row, 2));
    json_pair_str(j, "lifecycle_stage", sql_get(res, row, 3));
    if (updated)
        json_pair_i64(j, "last_update_time", updated);
    if (created)
        json_pair_i64(j, "creation_time", created);
    entity_pairs(j, "tags", tags, row);
    json_pair_str(j, "workspace", sql_get(res, row, 6));
    json_close(j);
}

/* -- runs ---------------------------------------------------------------------------------- */

struct run_info entity_run_info_get(const PGresult *res, int row)
{
    return (struct run_info){
        .run_id = sql_get(res, row, 0),
        .experiment_id = sql_get(res, row, 1),
        .name = sql_get(res, row, 2),
        .has_name = !sql_is_null(res, row, 2),
        .user_id = sql_get(res, row, 3),
        .status = sql_get(res, row, 4),
        .start_time = sql_get_i64(res, row, 5),
        .end_time = sql_get_i64(res, row, 6),
        .artifact_uri = sql_get(res, row, 7),
        .stage = sql_get(res, row, 8),
    };
}

void entity_run_info(struct json *j, const struct run_info *info)
{
    json_open(j);
    json_pair_str(j, "run_uuid", info->run_id);
    json_pair_str(j, "experiment_id", info->experiment_id);
    if (info->has_name)
        json_pair_str(j, "run_name", info->name);
    json_pair_str(j, "user_id", info->user_id);
    json_pair_str(j, "status", info->status);
    json_pair_i64(j, "start_time", info->start_time);
    if (info->end_time)
        json_pair_i64(j, "end_time", info->end_time);
    if (info->artifact_uri.n)
        json_pair_str(j, "artifact_uri", info->artifact_uri);
    json_pair_str(j, "lifecycle_stage", info->stage);
    json_pair_str(j, "run_id", info->run_id);
    json_close(j);
}

void entity_run_steps(struct sql_step steps[DETAIL_COUNT], const struct str *ids, bool are_some)
{
    for (int i = 0; i < DETAIL_COUNT; i++) {
        const struct entity_stmt *s = &RUN_DETAILS[i];

        steps[i] = (struct sql_step){are_some ? &s->some : &s->all, ids, 1};
    }
}

const struct stmt *entity_run_stream(enum entity_detail d)
{
    check(d <= DETAIL_TAGS);
    return &RUN_STREAMS[d];
}

void entity_run_detail(struct json *j, enum entity_detail d, const PGresult *res, int row)
{
    if (d == DETAIL_METRICS)
        entity_metric(j, sql_get(res, row, COL_KEY), res, row, COL_VALUE);
    else
        entity_pair(j, sql_get(res, row, COL_KEY), get_or_null(res, row, COL_VALUE));
}

void entity_details(struct arena *a, const PGresult *runs, int nruns,
                    PGresult *const results[DETAIL_COUNT], struct entity_details *out)
{
    for (int i = 0; i < DETAIL_COUNT; i++) {
        const PGresult *datasets = results[DETAIL_DATASETS];

        if (i == DETAIL_DATASET_TAGS)
            entity_group(a, datasets, PQntuples(datasets), DATASET_INPUT, results[i], &out->of[i]);
        else
            entity_group(a, runs, nruns, 0, results[i], &out->of[i]);
    }
    out->has_model_inputs = false;
}

static void write_data(struct json *j, int owner, const struct entity_details *d)
{
    const struct entity_group *metrics = &d->of[DETAIL_METRICS];

    json_open(j);
    if (metrics->first[owner] >= 0) {
        json_key(j, "metrics");
        json_open_list(j);
        for (int row = metrics->first[owner]; row >= 0; row = metrics->next[row])
            entity_run_detail(j, DETAIL_METRICS, metrics->res, row);
        json_close_list(j);
    }
    entity_pairs(j, "params", &d->of[DETAIL_PARAMS], owner);
    entity_pairs(j, "tags", &d->of[DETAIL_TAGS], owner);
    json_close(j);
}

static void write_dataset(struct json *j, const PGresult *res, int row,
                          const struct entity_group *tags)
{
    struct str schema = sql_get(res, row, DATASET_SCHEMA);
    struct str profile = sql_get(res, row, DATASET_PROFILE);

    json_open(j);
    entity_pairs(j, "tags", tags, row);
    json_key(j, "dataset");
    json_open(j);
    json_pair_str(j, "name", sql_get(res, row, DATASET_NAME));
    json_pair_str(j, "digest", sql_get(res, row, DATASET_DIGEST));
    json_pair_str(j, "source_type", sql_get(res, row, DATASET_TYPE));
    json_pair_str(j, "source", sql_get(res, row, DATASET_SOURCE));
    if (schema.n)
        json_pair_str(j, "schema", schema);
    if (profile.n)
        json_pair_str(j, "profile", profile);
    json_close(j);
    json_close(j);
}

/* model_inputs or model_outputs, nothing when there are none. */
static void write_models(struct json *j, const char *name, const struct entity_group *g, int owner,
                         bool are_inputs)
{
    bool is_open = false;

    if (j->hides & HIDE_LOGGED)
        return;
    for (int row = g->first[owner]; row >= 0; row = g->next[row]) {
        if (sql_get_bool(g->res, row, MODEL_IS_INPUT) != are_inputs)
            continue;
        if (!is_open) {
            json_key(j, name);
            json_open_list(j);
            is_open = true;
        }
        json_open(j);
        json_pair_str(j, "model_id", sql_get(g->res, row, MODEL_ID));
        if (!are_inputs)
            json_pair_i64(j, "step", sql_get_i64(g->res, row, MODEL_STEP));
        json_close(j);
    }
    if (is_open)
        json_close_list(j);
}

static void write_inputs(struct json *j, int owner, const struct entity_details *d)
{
    const struct entity_group *datasets = &d->of[DETAIL_DATASETS];

    json_open(j);
    if (datasets->first[owner] >= 0) {
        json_key(j, "dataset_inputs");
        json_open_list(j);
        for (int row = datasets->first[owner]; row >= 0; row = datasets->next[row])
            write_dataset(j, datasets->res, row, &d->of[DETAIL_DATASET_TAGS]);
        json_close_list(j);
    }
    if (d->has_model_inputs)
        write_models(j, "model_inputs", &d->of[DETAIL_MODELS], owner, true);
    json_close(j);
}

void entity_run(struct json *j, const PGresult *runs, int row, const struct entity_details *d)
{
    json_open(j);
    entity_run_members(j, runs, row, d);
    json_close(j);
}

void entity_run_members(struct json *j, const PGresult *runs, int row,
                        const struct entity_details *d)
{
    struct run_info info = entity_run_info_get(runs, row);

    json_key(j, "info");
    entity_run_info(j, &info);
    json_key(j, "data");
    write_data(j, row, d);
    entity_run_inputs(j, row, d);
}

void entity_run_inputs(struct json *j, int row, const struct entity_details *d)
{
    json_key(j, "inputs");
    write_inputs(j, row, d);
    json_key(j, "outputs");
    json_open(j);
    write_models(j, "model_outputs", &d->of[DETAIL_MODELS], row, false);
    json_close(j);
}
