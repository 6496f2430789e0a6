/*
 * admit: may this write enter? What is asked once a batch is decoded and its run looked up.
 *
 * MLflow's answers, word for word. Pure functions; any thread.
 */
#ifndef INGEST_ADMIT_H
#define INGEST_ADMIT_H

#include "base/fail.h"
#include "ingest/decode.h"
#include "ingest/runs.h"

/* A param that was logged before with another value. */
struct param_conflict {
    struct str key;
    struct str old_value;
    struct str new_value;
};

/* There is no such run: 404. */
err_t admit_no_run(struct str run_id, struct fail *f);
/* It is deleted: 400. */
err_t admit_deleted_run(struct str run_id, struct fail *f);
/* The run exists and is active; then the batch learns its experiment. run NULL = no such run. */
must_check err_t admit_batch(struct decoded *d, const struct run *run, struct fail *f);
/* A log-parameter that would change a value. */
err_t admit_param_conflict(struct str run_id, const struct param_conflict *c, struct fail *f);
/* The same for a batch, which names all of them. */
err_t admit_param_conflicts(struct arena *a, struct str run_id, const struct param_conflict *c,
                            size_t n, struct fail *f);

#endif
