/*
 * run_search: what a search for runs asks for, for all that show one.
 *
 * In api_search.c: first run_search_page, a pure function over the caller's arena; when it is time to
 * read, run_search_ask. The worker's thread.
 */
#ifndef GATEWAY_RUN_SEARCH_H
#define GATEWAY_RUN_SEARCH_H

#include "gateway/search/search_page.h"
#include "ingest/messages.h"

/* Leaves out the experiments whose runs the caller may not see. */
void run_search_restrict(const struct req *r, struct msg_runs_search *m);
/* Makes the query of the page; errors in MLflow's order and words. */
must_check err_t run_search_page(struct arena *a, const struct msg_runs_search *m,
                                 struct search_page *p, struct fail *f);
/* Asks for the keys of the page, as search_page_ask does, in the way that suits the database's indexes;
 * p lives until next. */
must_check err_t run_search_ask(struct req *r, struct search_page *p, req_step next,
                                struct fail *f);

#endif
