/*
 * search_batch: the answer of a search whose page may be long, fetched and written batch by batch.
 *
 * A handler has a struct that begins with struct search_batch as r->data, fills page as in
 * search_page.h and list, and names search_batch_begin as the step of search_page_ask. Then fetch is
 * called for each batch: it asks for the rows of ids (the first result) and what belongs to them, and
 * ends in search_batch_write. Memory holds the keys of the page, one batch of rows and one part of
 * the answer. Worker's thread.
 */
#ifndef GATEWAY_SEARCH_BATCH_H
#define GATEWAY_SEARCH_BATCH_H

#include "gateway/search_page.h"

struct search_batch;

/* What is searched for; constant. */
struct search_list {
    const char *name; /* of the list in the answer */
    req_step fetch;
    void (*write)(struct search_batch *b, const PGresult *rows, int row);
};

struct search_batch {
    struct search_page page;
    const struct search_list *list;
    struct json json;       /* the answer */
    struct str ids;         /* of this batch, as an array */

    /* private */
    struct str *keys;       /* of the page */
    size_t count;
    size_t next;            /* the first one not fetched */
    size_t size;            /* of a batch */
    size_t written_bytes;   /* of this one */
    int row;                /* of this one that is next */
    bool is_open;           /* the list is begun */
    struct arena_mark mark; /* behind it is what a batch takes */
};

/* Steps. */
err_t search_batch_begin(struct req *r, struct fail *f);
err_t search_batch_write(struct req *r, struct fail *f);

#endif
