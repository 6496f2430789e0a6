/*
 * search_sql: clauses and order of a search as one SQL statement.
 *
 * The statement gives the keys of the rows of one page, in order: run ids, experiment ids, model
 * names, or (name, version). What belongs to them is fetched by those keys afterwards. No join
 * multiplies rows: a clause is an EXISTS, an order key a join on a primary key. Values are bound.
 *
 * clauses have passed filter_check. limit counts rows, so a caller that looks one row ahead adds
 * it. Pure; any thread. ERR_BAD_REQUEST where PostgreSQL's own drivers would refuse a value.
 */
#ifndef GATEWAY_SEARCH_SQL_H
#define GATEWAY_SEARCH_SQL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/search/filter.h"
#include "gateway/search/order.h"
#include "gateway/search/query.h"

/* MLflow's ViewType. */
enum search_view { VIEW_ACTIVE_ONLY = 1, VIEW_DELETED_ONLY = 2, VIEW_ALL = 3 };

struct search {
    const struct clause *clauses;
    size_t clauses_count;
    const struct order *orders;
    size_t orders_count;
    int64_t limit;
    int64_t offset;
    /* of runs only */
    const int64_t *experiment_ids;
    size_t ids_count;
    enum search_view view;
    bool is_tuned; /* the indexes of `sluice schema tune` are there */
};

/* Columns: run_uuid. */
must_check err_t search_runs_query(struct arena *a, const struct search *s, struct query *out,
                                   struct fail *f);
/* Could search_runs_top say it? */
bool search_runs_has_top(const struct search *s);
/* The same runs in the same order, without those that lack what is ordered by first: they come last,
 * so a full page (limit rows) is the page. */
must_check err_t search_runs_top(struct arena *a, const struct search *s, struct query *out,
                                 struct fail *f);
/* Columns: experiment_id. */
must_check err_t search_experiments_query(struct arena *a, const struct search *s,
                                          enum search_view view, struct query *out, struct fail *f);
/* Columns: workspace, name. */
must_check err_t search_models_query(struct arena *a, const struct search *s, struct query *out,
                                     struct fail *f);
/* Columns: workspace, name, version. */
must_check err_t search_versions_query(struct arena *a, const struct search *s, struct query *out,
                                       struct fail *f);

/* Refuses what a finished query must not bind: NUL, lone surrogates. */
must_check err_t search_finish(const struct query *q, struct fail *f);

#endif
