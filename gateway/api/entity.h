/*
 * entity: MLflow's Experiment, Run, RunInfo and Metric as JSON, from rows of PostgreSQL.
 *
 * The column lists and statements stand here beside the code that reads them. Rows that belong to
 * an experiment or a run come in results of their own, whose first column names the owner, and are
 * grouped by it: no joins that multiply rows. Everything lives in the caller's arena and points
 * into the results. One thread.
 */
#ifndef GATEWAY_ENTITY_H
#define GATEWAY_ENTITY_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/json.h"
#include "gateway/api/entity_stmt.h"

/* Columns of `experiments e`, in the order entity_experiment reads them. */
#define ENTITY_EXPERIMENT                                                                  \
    "e.experiment_id, e.name, e.artifact_location, e.lifecycle_stage, e.last_update_time," \
    " e.creation_time, e.workspace"
/* Columns of `runs r`, in the order entity_run_info_get reads them. A run without a name shows its
 * tag's. */
#define ENTITY_RUN                                                                              \
    "r.run_uuid, r.experiment_id,"                                                              \
    " CASE WHEN r.name <> '' THEN r.name ELSE coalesce((SELECT nullif(n.value, '') FROM tags n" \
    " WHERE n.run_uuid = r.run_uuid AND n.key = 'mlflow.runName'), r.name) END,"                \
    " r.user_id, r.status, r.start_time, r.end_time, r.artifact_uri, r.lifecycle_stage"
/* What is left out of entities, since the reader may not see it: bits of struct json's hides. */
enum entity_hidden {
    HIDE_RUNS = 1,            /* which run a version or logged model is from */
    HIDE_LOGGED = 2,          /* which logged models a run read or made */
    HIDE_MODEL_VERSIONS = 4,  /* the latest versions in a registered model */
    HIDE_PROMPT_VERSIONS = 8, /* the same in a prompt */
    HIDE_ASSESSMENTS = 16     /* of traces */
};

enum { ENTITY_RUN_COLUMNS = 9 };

struct run_info {
    struct str run_id;
    struct str experiment_id;
    struct str name;
    struct str user_id;
    struct str status;
    struct str artifact_uri; /* empty = absent */
    struct str stage;
    int64_t start_time;
    int64_t end_time; /* 0 = absent */
    bool has_name;
};

/* Rows of one result by owner, in the order of the rows: first[owner], then next[row], -1 ends. */
struct entity_group {
    const PGresult *res;
    int *first;
    int *next;
};

/* What belongs to runs, one result each. */
enum entity_detail {
    DETAIL_METRICS,
    DETAIL_PARAMS,
    DETAIL_TAGS,
    DETAIL_DATASETS,
    DETAIL_DATASET_TAGS,
    DETAIL_MODELS, /* inputs and outputs */
    DETAIL_COUNT
};

struct entity_details {
    struct entity_group of[DETAIL_COUNT]; /* DATASET_TAGS by row of DATASETS, the others by run */
    bool has_model_inputs;                /* searches never show them */
};

/* Groups res by its first column; owner i is the one whose id stands in that column of row i of
 * owners. */
void entity_group(struct arena *a, const PGresult *owners, int nowners, int column,
                  const PGresult *res, struct entity_group *out);

/* The tags of experiments whose ids are the int4 array in ids. */
void entity_experiment_step(struct sql_step *step, const struct str *ids, bool are_some);
/* One Experiment; row of a result of ENTITY_EXPERIMENT, tags grouped by its rows. */
void entity_experiment(struct json *j, const PGresult *res, int row,
                       const struct entity_group *tags);

/* The statements that fetch the details of the runs whose ids are the text array in ids. */
void entity_run_steps(struct sql_step steps[DETAIL_COUNT], const struct str *ids, bool are_some);
/* The metrics, params or tags for req_rows, and a row of theirs as JSON. */
const struct stmt *entity_run_stream(enum entity_detail d);
void entity_run_detail(struct json *j, enum entity_detail d, const PGresult *res, int row);
/* Groups their results by the rows of runs, whose first column is the run id. */
void entity_details(struct arena *a, const PGresult *runs, int nruns,
                    PGresult *const results[DETAIL_COUNT], struct entity_details *out);
/* One Run with info, data, inputs, outputs. */
void entity_run(struct json *j, const PGresult *runs, int row, const struct entity_details *d);
/* The same without the braces. */
void entity_run_members(struct json *j, const PGresult *runs, int row,
                        const struct entity_details *d);
/* The last two of them: inputs and outputs. */
void entity_run_inputs(struct json *j, int row, const struct entity_details *d);
/* The RunInfo of a row of ENTITY_RUN, and its JSON. */
struct run_info entity_run_info_get(const PGresult *res, int row);
void entity_run_info(struct json *j, const struct run_info *info);

/* Columns key, value, timestamp, step, is_nan from column on. */
void entity_metric(struct json *j, struct str key, const PGresult *res, int row, int column);
/* {"key": ..., "value": ...}; value.p NULL = SQL NULL, no value. */
void entity_pair(struct json *j, struct str key, struct str value);
/* name: [{key, value}, ...] of one owner, from rows (owner, key, value); nothing when there are
 * none. */
void entity_pairs(struct json *j, const char *name, const struct entity_group *g, int owner);
/* A float8 as PostgreSQL writes it, as Python's repr. */
void entity_double(struct json *j, struct str text);

#endif
