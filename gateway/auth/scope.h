/*
 * scope: which workspace a request looks at, and how its statements stay inside of it.
 *
 * The text of a statement that names a table of MLflow's says what limits it, in one of these marks, or it
 * is not sent (scope_forgotten, and tests/api/test_workspaces.py for all of them):
 *
 *   SCOPE_NAME            the workspace, as a value
 *   SCOPE_ON(sql)         sql, while workspaces are on; else nothing
 *   SCOPE_EXPERIMENT(t)   one more condition: t, a row of experiments, is in it
 *   SCOPE_OF(t)           the same of t that belongs to an experiment: it has a column experiment_id
 *   SCOPE_ID.. SCOPE_IDS..  an experiment id, or those of an array, that are in it; none: NULL, or empty
 *   SCOPE_FOUND           none: what is asked for belongs to what a limited statement has found, or is shown
 *                         with that alone
 *
 * A mark that names the workspace needs no value of its own: sql/sql_conn.c binds it behind the others.
 * With workspaces off the text is what it would be without them.
 */
#ifndef GATEWAY_SCOPE_H
#define GATEWAY_SCOPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define SCOPE_NAME          "{ws}"
#define SCOPE_ON(sql)       "{+" sql "+}"
#define SCOPE_EXPERIMENT(t) SCOPE_ON(" AND " t ".workspace = " SCOPE_NAME)
#define SCOPE_OF(t)                                                                  \
    SCOPE_ON(" AND EXISTS (SELECT 1 FROM experiments ws WHERE ws.experiment_id = " t \
             ".experiment_id AND ws.workspace = " SCOPE_NAME ")")
/* In halves, around a value that is bound. */
#define SCOPE_ID_BEGIN \
    SCOPE_ON("(SELECT ws.experiment_id FROM experiments ws WHERE ws.experiment_id = ")
#define SCOPE_ID_END SCOPE_ON(" AND ws.workspace = " SCOPE_NAME ")")
#define SCOPE_IDS_BEGIN \
    SCOPE_ON("ARRAY(SELECT ws.experiment_id FROM experiments ws WHERE ws.experiment_id = ANY(")
#define SCOPE_IDS_END SCOPE_ON(") AND ws.workspace = " SCOPE_NAME ")")
#define SCOPE_FOUND   "{found}"

#define SCOPE_DEFAULT "default"

/* Of a request. */
struct scope {
    const char
        *workspace; /* in the request's arena, or constant; `default` while workspaces are off */
    uint64_t mark;  /* stands for it in the run table; 0 = workspaces are off */
};

/* What is sent for text, workspaces being on: the workspace is value number place. NULL there: off. The
 * result is text itself, or lies in out until the next call with it. */
const char *scope_text(struct buf *out, const char *text, const int *place);
/* Does it name the workspace, so that it is bound? */
bool scope_is_bound(const char *text);
/* A table that lies in workspaces and that text names without a mark; NULL = none. */
const char *scope_forgotten(const char *text);
/* The workspace as a number that is not 0, another one in each process. Any thread. */
uint64_t scope_mark(const char *workspace);

#endif
