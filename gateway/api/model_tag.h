/*
 * model_tag: the tag in which a run keeps the models logged by clients before MLflow 3.
 *
 * Pure functions over the caller's arena; any thread.
 */
#ifndef GATEWAY_MODEL_TAG_H
#define GATEWAY_MODEL_TAG_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

#define MODEL_TAG "mlflow.log-model.history"

/* What of a model's description (MLmodel as JSON) is kept, as JSON; now_ms stands in for a time of
 * creation that is empty. ERR_BAD_PARAM with MLflow's words. */
must_check err_t model_tag_entry(struct arena *a, struct str model_json, int64_t now_ms,
                                 struct str *entry, struct fail *f);
/* The tag's value with the entry appended; before.p NULL = there is no tag yet. ERR_INTERNAL when
 * the tag is not a JSON list. */
must_check err_t model_tag_append(struct arena *a, struct str before, struct str entry,
                                  struct str *out, struct fail *f);

#endif
