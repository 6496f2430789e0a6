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

/* Some runs: $1 an array of their ids, $2 the key, $3 max_results > 0, $4 and $5 the steps. Gives value,
 * timestamp, step, is_nan and the place of the run in $1, from 0, in the order they are shown. */
extern const struct stmt HISTORY_INTERVAL;
/* The steps and the limit, as MLflow's handler reads them from the query, after the validators. */
must_check err_t history_range(struct req *r, struct history_range *c, struct fail *f);

#endif
