/*
 * setup: the experiment and the runs, made by the API before the load begins.
 *
 * One at a time, on the loop that is given; nothing else may run on it meanwhile.
 */
#ifndef LOADTEST_SETUP_H
#define LOADTEST_SETUP_H

#include "loadtest/ledger.h"
#include "loadtest/shape.h"
#include "loadtest/wire.h"

/* Finds or makes the experiment of that name; its id goes into s. */
must_check err_t setup_experiment(struct shape *s, struct event_base *loop, struct fail *f);
/* Makes every run of l, over several connections; their ids go into it. */
must_check err_t setup_runs(struct shape *s, struct event_base *loop, struct ledger *l,
                            struct fail *f);

#endif
