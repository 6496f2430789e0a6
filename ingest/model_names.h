/*
 * model_names: MLflow's rules on what the model registry names, with its messages word for word.
 *
 * Source: MLflow 3.17.2 mlflow/utils/validation.py and model_version_stages.py. All answer
 * ERR_BAD_PARAM. A NUL passes the rules that name no characters: names_check_nul is the caller's,
 * behind them. Pure functions; any thread.
 */
#ifndef INGEST_MODEL_NAMES_H
#define INGEST_MODEL_NAMES_H

#include <stdint.h>

#include "base/fail.h"
#include "base/str.h"

/* The name of a registered model. */
must_check err_t model_names_check(struct str name, struct fail *f);
/* The name it is to have. */
must_check err_t model_names_check_new(struct str new_name, struct fail *f);
/* Key and value of a tag of a model; of a version, where a prompt's text has its own message. */
must_check err_t model_names_check_tag(struct str key, struct str value, struct fail *f);
must_check err_t model_names_check_version_tag(struct str key, struct str value, struct fail *f);
/* What may be asked for as an alias; what may be set. */
must_check err_t model_names_check_alias(struct str alias, struct fail *f);
must_check err_t model_names_check_new_alias(struct str alias, struct fail *f);
/* int(text); ERR_BAD_REQUEST when it is beyond the column's int4, as PostgreSQL says it. */
must_check err_t model_names_version(struct str text, int32_t *version, struct fail *f);
/* A stage in MLflow's spelling, from any letter case. */
must_check err_t model_names_stage(struct str text, struct str *stage, struct fail *f);

#endif
