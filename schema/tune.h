/*
 * tune: changes to MLflow's tables that make Sluice faster and that a stock server does not notice.
 *
 * The rows stand in tune.def. Nothing here is ever done unasked: `sluice schema tune` and `untune` are
 * the only callers of tune_apply and tune_revert. Blocking libpq on a connection in autocommit, outside
 * a transaction; main thread, command line only. Order: tune_lock, then apply or revert one by one.
 */
#ifndef SCHEMA_TUNE_H
#define SCHEMA_TUNE_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

#include "base/fail.h"

/* The indexes that statements of the gateway are written for, and the longest value they hold: with
 * a key of 250 characters it fits into the third of a page that a btree takes. */
#define TUNE_METRIC_INDEX "sluice_latest_metrics_value"
#define TUNE_PARAM_INDEX  "sluice_params_value"
#define TUNE_TAG_INDEX    "sluice_tags_value"
#define TUNE_START_INDEX  "sluice_runs_start_time"
#define TUNE_VALUE_TEXT   "1000"
#define TUNE_VALUE_BYTES  1000

#define TUNE_FILL "50"

/* The primary key of metrics in MLflow's order of columns, and in the order of its reads; the index under
 * which the other one is built beside it; and the one that ours makes superfluous. */
#define TUNE_KEY         "metric_pk"
#define TUNE_KEY_STOCK   "key, timestamp, step, run_uuid, value, is_nan"
#define TUNE_KEY_OURS    "run_uuid, key, step, timestamp, value, is_nan"
#define TUNE_KEY_SPARE   "sluice_metric_pk"
#define TUNE_KEY_COVERED "index_metrics_run_uuid_key_step"
#define TUNE_KEY_BUILD(columns) \
    "CREATE UNIQUE INDEX CONCURRENTLY " TUNE_KEY_SPARE " ON metrics (" columns ")"
#define TUNE_KEY_SWAP                                                            \
    "ALTER TABLE metrics DROP CONSTRAINT " TUNE_KEY ", ADD CONSTRAINT " TUNE_KEY \
    " PRIMARY KEY USING INDEX " TUNE_KEY_SPARE

enum tune_kind { TUNE_INDEX, TUNE_NO_INDEX, TUNE_STATISTICS, TUNE_TABLE, TUNE_PRIMARY };

/* One row. */
struct tune_change {
    const char *name;
    enum tune_kind kind;
    const char *object;
    int server; /* the least version, 0 = any */
    const char *apply;
    const char *revert;
    const char *why;
    const char *cost;
};

enum tune_state {
    TUNE_IS_OFF,
    TUNE_IS_ON,
    TUNE_IS_BROKEN, /* what an interrupted apply or revert left; either mends it */
    TUNE_CANNOT     /* this PostgreSQL is too old for it, or the key is not MLflow's */
};

extern const struct tune_change tune_changes[];
extern const size_t tune_count;

/* The row of that name, NULL when there is none. */
const struct tune_change *tune_find(const char *name);
/* The word for it: "applied", "off", "broken", "not possible". */
const char *tune_state_text(enum tune_state state);
/* Looks, changes nothing. bytes: what the object takes on disk, 0 when it is not there. */
must_check err_t tune_look(PGconn *c, const struct tune_change *t, enum tune_state *state,
                           long long *bytes, struct fail *f);
/* One tune at a time; held until the connection ends. ERR_CONFLICT when somebody else has it. */
must_check err_t tune_lock(PGconn *c, struct fail *f);
/* Make it so, whatever it was; what is so already costs nothing. */
must_check err_t tune_apply(PGconn *c, const struct tune_change *t, struct fail *f);
must_check err_t tune_revert(PGconn *c, const struct tune_change *t, struct fail *f);

#endif
