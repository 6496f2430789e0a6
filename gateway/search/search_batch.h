/*
 * search_batch: the answer of a search whose page may be long, fetched and written batch by batch.
 *
 * A handler has a struct that begins with struct search_batch as r->data, fills page as in
 * search_page.h and list, and names search_batch_begin as the step of search_page_ask. Then for each
 * batch the list's fetch asks for the rows whose keys are in values (the first result) and for what
 * belongs to them, at most ENTITY_SOME_* of each unless is_whole, and names search_batch_fetched as
 * the next step. Memory holds the keys of the page, one batch of rows and one part of the answer.
 * Worker's thread.
 */
#ifndef GATEWAY_SEARCH_BATCH_H
#define GATEWAY_SEARCH_BATCH_H

#include "gateway/search/search_page.h"

enum { SEARCH_KEY_COLUMNS = 2 };

struct search_batch;
struct seen_scan;

/* What is searched for; constant. */
struct search_list {
    const char *name;    /* of the list in the answer; NULL = the handler writes all around it */
    int column, columns; /* those of the keys that go into values */
    size_t first;        /* rows of the first batch */
    req_step fetch;
    /* The results of a batch are here; they stay until all of it is written. */
    void (*group)(struct search_batch *b, struct arena *a, PGresult *const *results);
    void (*write)(struct search_batch *b, const PGresult *rows, int row);
    /* Fetches and writes the one row in values piece by piece, since it is too much for a batch, and
     * goes on with search_batch_go_on; NULL = it is fetched whole. */
    req_step write_long;
    req_step end; /* all is written; NULL = the page's end is the answer's */
};

struct search_batch {
    struct search_page page;
    const struct search_list *list;
    struct json json;                      /* the answer */
    struct str values[SEARCH_KEY_COLUMNS]; /* of this batch, an array for each column */
    bool is_whole;                         /* fetch asks for all that belongs to the rows */

    /* private */
    struct str *keys; /* of the page, row by row */
    size_t count;
    size_t keys_most;       /* there is room for */
    struct seen_scan *scan; /* search_seen.c's own */
    size_t next;            /* the first one not fetched */
    size_t size;            /* of a batch */
    size_t fetched;         /* rows of this one that were asked for */
    size_t written_bytes;   /* of this one */
    int detail_rows;        /* of this one, the longest result */
    int row;                /* of this one that is next */
    bool is_open;           /* the list is begun */
    struct arena_mark mark; /* behind it is what a batch takes */
};

/* For fetch: asks with these n statements, of which the first half are about half of the work, on two
 * sessions at the same time when the batch is worth it, and goes on with search_batch_fetched. */
must_check err_t search_batch_ask(struct req *r, const struct sql_step *steps, unsigned n,
                                  unsigned half);
/* Steps. */
err_t search_batch_begin(struct req *r, struct fail *f);
err_t search_batch_fetched(struct req *r, struct fail *f);
err_t search_batch_go_on(struct req *r, struct fail *f);

/* For those who write around the list: keeps the keys that came; then from the first row on, as often
 * as they like. */
void search_batch_take(struct req *r, struct search_batch *b);
err_t search_batch_start(struct req *r, struct fail *f);
/* What the arena holds now outlives this batch. */
void search_batch_keep(struct search_batch *b, const struct arena *a);
/* Begins the list in the answer, unless it is begun. */
void search_batch_open(struct search_batch *b);

#endif
