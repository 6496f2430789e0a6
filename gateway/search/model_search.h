/*
 * model_search: a search of logged models as one SQL statement.
 *
 * The statement gives the model ids of one page, in order; what belongs to them is fetched by these
 * ids afterwards. No join multiplies rows. Values are bound. Pure; any thread.
 */
#ifndef GATEWAY_MODEL_SEARCH_H
#define GATEWAY_MODEL_SEARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/fail.h"
#include "gateway/search/model_filter.h"
#include "gateway/search/query.h"

/* More keys are refused. */
enum { MODEL_ORDER_MAX = 800 };

/* One entry of order_by. */
struct model_order {
    struct str field;
    bool is_descending;
    struct str dataset_name;   /* empty = any */
    struct str dataset_digest; /* empty = any */
};

struct model_search {
    const struct model_clause *clauses; /* have passed model_filter_check */
    size_t clauses_count;
    const struct str *dataset_names;
    const struct str *dataset_digests; /* p == NULL: only rows without a digest */
    size_t datasets_count;
    const struct model_order *orders; /* have passed model_search_check_order */
    size_t orders_count;
    const int64_t *experiment_ids;
    size_t ids_count;
    int64_t limit;
    int64_t offset;
};

/* ERR_BAD_PARAM, ERR_NO_ATTRIBUTE, in MLflow's words. */
must_check err_t model_search_check_order(struct arena *a, const struct model_order *orders,
                                          size_t count, struct fail *f);
/* Column: model_id. ERR_BAD_REQUEST where PostgreSQL's own drivers would refuse a value. */
must_check err_t model_search_query(struct arena *a, const struct model_search *s,
                                    struct query *out, struct fail *f);

#endif
