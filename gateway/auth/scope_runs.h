/*
 * scope_runs: runs that a read names, and whose points it shows without looking at the runs.
 *
 * scope_ask_runs, and in the step that follows scope_judge_runs. The worker's thread.
 */
#ifndef GATEWAY_SCOPE_RUNS_H
#define GATEWAY_SCOPE_RUNS_H

#include "gateway/req.h"

/* Are they all in the request's workspace? With workspaces off next follows at once. */
must_check err_t scope_ask_runs(struct req *r, const struct str *ids, size_t n, req_step next);
/* OK, or MLflow's answer about the first one that is not. */
must_check err_t scope_judge_runs(const struct req *r, struct fail *f);

#endif
