/*
 * artifact_mode: which half of the API is off: --no-serve-artifacts, --artifacts-only.
 *
 * The worker's thread.
 */
#ifndef GATEWAY_ARTIFACT_MODE_H
#define GATEWAY_ARTIFACT_MODE_H

#include <stdbool.h>

#include "gateway/req.h"

/* True when the request's route is on; false when it has been answered, 503 in MLflow's words. */
must_check bool artifact_mode_admits(struct req *r);

#endif
