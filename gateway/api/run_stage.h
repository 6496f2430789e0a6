/*
 * run_stage: what a statement that writes to a run has learned of the run.
 *
 * The worker's thread.
 */
#ifndef GATEWAY_RUN_STAGE_H
#define GATEWAY_RUN_STAGE_H

#include "gateway/req.h"

/* OK when the first row of the first result of r->sql has `active` in column; else MLflow's answer:
 * no row, no run. */
must_check err_t run_stage_check(struct req *r, struct str run_id, int column, struct fail *f);

#endif
