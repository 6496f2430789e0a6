/*
 * history: the sampled history of a metric, for all that show one.
 *
 * The statement and what it does stand in api_history.c. The worker's thread.
 */
#ifndef GATEWAY_HISTORY_H
#define GATEWAY_HISTORY_H

#include "gateway/req.h"

struct history_range {
    int64_t max_results; /* points of one run */
    int64_t first;       /* steps */
    int64_t last;
};

/* The sampled histories of some runs. values: an array of their ids, the key, max_results > 0, and the steps of
 * the range. Gives value, timestamp, step, is_nan and the place of the run in the array, from 0, in the order
 * they are shown. */
struct sql_step history_step(const struct history_range *c, const struct str values[5]);
/* The steps and the limit, as MLflow's handler reads them from the query, after the validators. */
must_check err_t history_range(struct req *r, struct history_range *c, struct fail *f);

#endif
