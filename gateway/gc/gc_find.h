/*
 * gc_find: which runs, logged models and experiments of a workspace `sluice gc` is to remove.
 *
 * Looks, and locks nothing: what is found is judged again when it is removed. Texts live in the caller's
 * arena. One owner, one thread.
 */
#ifndef GATEWAY_GC_FIND_H
#define GATEWAY_GC_FIND_H

#include "gateway/gc/gc_sql.h"

/* Jobs that are over. $1 = workspace, $2 = ids or NULL, $3 = created before, or NULL. */
#define GC_JOBS_CHOSEN                                   \
    "workspace = $1 AND status IN (2, 3, 4, 5)"          \
    " AND ($2::text[] IS NULL OR id = ANY ($2::text[]))" \
    " AND ($3::int8 IS NULL OR creation_time < $3::int8)"

struct gc_plan {
    struct gc_ids runs, models, experiments;
    struct str
        young_why;     /* words on a run of an experiment that goes, which is younger than asked */
    int64_t cutoff_ms; /* what was deleted later stays */
    bool has_age;
};

/* The ids that were named are all checked, in MLflow's words; ERR_NOT_FOUND, ERR_BAD_PARAM. */
must_check err_t gc_find(struct gc_sql *c, const struct gc_options *o, const char *workspace,
                         struct arena *a, struct gc_plan *out, struct fail *f);
/* Jobs that are over, those that were named or all; older_than as for runs, but 0 = any age. */
must_check err_t gc_find_jobs(struct gc_sql *c, const struct gc_options *o, const char *workspace,
                              int64_t cutoff_ms, struct arena *a, struct gc_ids *out,
                              struct fail *f);
/* All workspaces by name; ERR_BAD_PARAM when there is none. */
must_check err_t gc_find_workspaces(struct gc_sql *c, struct arena *a, struct gc_ids *out,
                                    struct fail *f);

#endif
