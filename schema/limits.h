/*
 * limits: MLflow's limits on names and values, and our own fixed sizes.
 *
 * MLflow's count Unicode code points, as PostgreSQL's varchar does. Source: MLflow 3.17.2,
 * mlflow/utils/validation.py and the column types of its schema.
 */
#ifndef SCHEMA_LIMITS_H
#define SCHEMA_LIMITS_H

enum {
    LIMIT_KEY = 250,              /* metric, param, tag and experiment tag names */
    LIMIT_PARAM_VALUE = 6000,     /* longer ones are cut */
    LIMIT_TAG_VALUE = 8000,       /* longer ones are cut */
    LIMIT_EXPERIMENT_TAG = 20000, /* longer ones are refused */
    LIMIT_EXPERIMENT_NAME = 500,  /* by check; the column takes 256 */
    LIMIT_ARTIFACT_LOCATION = 2048,
    LIMIT_BATCH_METRICS = 1000,
    LIMIT_BATCH_PARAMS = 100,
    LIMIT_BATCH_TAGS = 100,
    LIMIT_BATCH_ITEMS = 1000,      /* metrics, params and tags together */
    LIMIT_STREAM_BATCHES = 1000,   /* in one log-batches request */
    LIMIT_STREAM_VALUES = 1 << 18, /* values and keys in all of them */
    LIMIT_CUSTOM_VIEWS = 50,
    LIMIT_DATASET_NAME = 500,
    LIMIT_DATASET_DIGEST = 36,
    LIMIT_DATASET_SOURCE = 65535,
    LIMIT_DATASET_SCHEMA = 1048575,
    LIMIT_DATASET_PROFILE = 16777215, /* more than LIMIT_BODY_LARGE lets in */
    LIMIT_INPUT_TAG_KEY = 255,
    LIMIT_INPUT_TAG_VALUE = 500,
    LIMIT_REGISTRY_TAG = 100000, /* by check; a model's column takes 5000 */
    LIMIT_MODEL_ALIAS = 255,
    LIMIT_RUN_ID = 32,             /* bytes we keep of a run id: the column is varchar(32) */
    LIMIT_ARTIFACT_LIST = 200000,  /* artifacts that one directory may show */
    LIMIT_JSON_DEPTH = 100,        /* nesting a request body may have */
    LIMIT_JSON_VALUES = 1 << 16,   /* values and keys in it; 1000 full metrics are 17 000 */
    LIMIT_FILTER = 256 << 10,      /* bytes of a filter, and of an order_by's items together */
    LIMIT_NUMBER = 32 << 10,       /* of a text that may be a number; int() takes 4300 digits */
    LIMIT_GRANT_CACHE = 16 << 20,  /* of a worker: permissions of users who called lately */
    LIMIT_BODY_ASIDE = 256 << 10,  /* a longer body is read by the helper thread */
    LIMIT_SEARCH_ASIDE = 16 << 10, /* a longer search is parsed by it: 250 KiB can take 50 ms */
    LIMIT_BODY_SMALL = 1 << 20,    /* body bytes of most calls */
    LIMIT_BODY_LARGE = 4 << 20,    /* of those that bring descriptions of datasets */
    LIMIT_FRAME_OPTIONS = 200      /* of x_frame_options, a line of every answer */
};

#endif
