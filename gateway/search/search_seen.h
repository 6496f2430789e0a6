/*
 * search_seen: a page of a search for somebody who may not see all that is found.
 *
 * In place of search_page_ask and search_batch_begin, when may_hides: search_seen_open when the page's
 * token is read and before its query is made, then search_seen_ask. Worker's thread.
 */
#ifndef GATEWAY_SEARCH_SEEN_H
#define GATEWAY_SEARCH_SEEN_H

#include "gateway/search/search_batch.h"

/* What a search shows to whom; constant. */
struct search_seen {
    /* the query is wrapped in these, so that the keys' rows say what shows wants to know in a last
     * column: "SELECT k.*, .. FROM (" and ") k" */
    const char *before, *behind;
    bool (*shows)(const struct req *r, const PGresult *keys, int row);
    bool is_filled;   /* page after page until there are enough */
    bool ends_at_all; /* no token when nothing that shows follows on the last page looked at */
};

/* The page has no end yet: how far to look is not known. */
void search_seen_open(const struct req *r, const struct search_seen *seen, struct search_page *p);
/* Asks for the keys, keeps those that show, and goes on as search_batch_begin. */
must_check err_t search_seen_ask(struct req *r, struct search_batch *b,
                                 const struct search_seen *seen, struct fail *f);

#endif
