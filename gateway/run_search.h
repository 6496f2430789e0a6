/*
 * run_search: what a search for runs asks for, for all that show one.
 *
 * In api_search.c. A pure function over the caller's arena; any thread.
 */
#ifndef GATEWAY_RUN_SEARCH_H
#define GATEWAY_RUN_SEARCH_H

#include "gateway/search_page.h"
#include "ingest/messages.h"

/* Makes the query of the page, for search_page_ask; errors in MLflow's order and words. */
must_check err_t run_search_page(struct arena *a, const struct msg_runs_search *m,
                                 struct search_page *p, struct fail *f);

#endif
