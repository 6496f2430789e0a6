/*
 * experiment_tag: MLflow's rules on the tags of an experiment.
 *
 * Pure functions over the caller's arena; any thread.
 */
#ifndef INGEST_EXPERIMENT_TAG_H
#define INGEST_EXPERIMENT_TAG_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

#define EXPERIMENT_TAG_VIEW_PREFIX "mlflow.customView.view"

/* Key rule, lengths, and the values of the two tags that steer trace archival. */
must_check err_t experiment_tag_check(struct arena *a, struct str key, struct str value,
                                      struct fail *f);
/* One of the tags of which an experiment has LIMIT_CUSTOM_VIEWS at most. */
bool experiment_tag_is_view(struct str key);
/* There are too many; experiment_id empty = a new one. */
err_t experiment_tag_too_many_views(struct str experiment_id, struct fail *f);

#endif
