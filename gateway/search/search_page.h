/*
 * search_page: one page of a search, what all searches have in common.
 *
 * A handler fills search and max_results, then: search_page_token; the query by search_sql;
 * search_page_ask, whose next step calls search_page_take, then fetches what belongs to the keys,
 * and ends its answer with search_page_end. Worker's thread.
 */
#ifndef GATEWAY_SEARCH_PAGE_H
#define GATEWAY_SEARCH_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "gateway/req.h"
#include "gateway/search/query.h"
#include "gateway/search/search_sql.h"

struct search_page {
    struct search search; /* limit: one more than the page shows */
    int64_t max_results;
    bool has_more;      /* there is a next page */
    bool is_run_out;    /* pages behind it were looked at, and filled it not: its token is "" */
    int64_t shown;      /* how far on it begins, where that is not max_results; else 0 */
    struct stmt stmt;   /* finds the keys */
    struct query query; /* its text and values */
    req_step next;      /* run_search_ask's own */
};

/* Where the page begins and how many keys to ask for. */
must_check err_t search_page_token(struct arena *a, struct search_page *p, struct str token,
                                   struct fail *f);
/* The same for the registry: a token that is JSON but no object breaks MLflow there, outside of what
 * answers its errors; here it is the caller's 400. */
must_check err_t search_page_registry_token(struct arena *a, struct search_page *p,
                                            struct str token, struct fail *f);
/* Asks for the keys. */
must_check err_t search_page_ask(struct req *r, struct search_page *p, req_step next,
                                 struct fail *f);
/* How many of the keys that came the page shows. */
int search_page_take(struct search_page *p, const PGresult *keys);
/* How far behind this page the next one begins. */
int64_t search_page_step(const struct search_page *p);
/* Closes the answer's object with the next page's token, and answers. */
err_t search_page_end(struct req *r, const struct search_page *p, struct json *j);

#endif
