/*
 * order_by: the order_by clauses of a search, as SQL.
 *
 * So far attributes only: what they say is put together from constants, nothing of a client's text
 * gets into SQL. Pure functions; any thread.
 */
#ifndef GATEWAY_ORDER_BY_H
#define GATEWAY_ORDER_BY_H

#include <stddef.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* The list behind ORDER BY for `runs r`, ties broken as MLflow does. */
must_check err_t order_by_runs(struct arena *a, const struct str *clauses, size_t n,
                               struct str *out, struct fail *f);
/* The same for `experiments e`. */
must_check err_t order_by_experiments(struct arena *a, const struct str *clauses, size_t n,
                                      struct str *out, struct fail *f);

#endif
