/*
 * search_seen: a page of a search for somebody who may not see all that is found.
 *
 * MLflow searches as for anybody, drops the rows that the caller may not read, and fetches more, as many
 * as are missing, until the page is full or nothing is left. Its tokens are offsets among all rows, seen or
 * not, so that they mean the same to both servers, and here:
 *
 *   the page is full and nothing was dropped    a token when any row follows
 *   it is full, and rows were dropped           a token, whatever follows; behind the last row shown
 *   it is not full                              none, or an empty one when there was a second page
 *
 * Logged models look further: no token when the rest of the page that was looked at last is the end, and
 * shows nothing. Versions of registered models are not filled up: rows are missing from their pages.
 *
 * The keys come through a cursor in their order, so what is dropped is never in memory, and one statement
 * does what MLflow does page by page.
 */
#include "gateway/search/search_seen.h"

#include "gateway/auth/may.h"
#include "gateway/http/reply.h"
#include "gateway/req_part.h"
#include "gateway/sql/sql_stream.h"
#include "schema/errors.h"

void search_seen_open(const struct req *r, const struct search_seen *seen, struct search_page *p)
{
    if (may_hides(r) && seen->is_filled && p->max_results > 0)
        p->search.limit = INT64_MAX;
}

/* While keys come. */
struct seen_scan {
    const struct search_seen *seen;
    int64_t at;   /* rows looked at */
    int64_t last; /* the place of the last one kept */
    bool shows_more, is_ended;
};

static int64_t page_most(const struct search_batch *b)
{
    return b->page.max_results;
}

static void seen_keep(struct req *r, struct search_batch *b, const PGresult *keys, int row)
{
    size_t columns = (size_t)b->list->columns;

    if (b->count == b->keys_most) {
        struct str *old = b->keys;

        b->keys_most = b->keys_most ? 2 * b->keys_most : 64;
        b->keys = arena_array(&r->arena, b->keys_most * columns, sizeof(*b->keys));
        for (size_t i = 0; i < b->count * columns; i++)
            b->keys[i] = old[i];
    }
    for (size_t i = 0; i < columns; i++)
        b->keys[b->count * columns + i] =
            arena_dup(&r->arena, sql_get(keys, row, b->list->column + (int)i));
    b->count++;
}

/* Is the place of the next row known to be of no interest? */
static bool seen_is_done(const struct seen_scan *s, const struct search_batch *b)
{
    int64_t most = page_most(b);
    bool is_full = (int64_t)b->count == most;

    if (!is_full)
        return false;
    if (s->last + 1 == most) /* nothing was dropped: does a row follow? */
        return s->at > most;
    if (!s->seen->ends_at_all)
        return true;
    return s->at >
           (s->last / most + 1) * most; /* one row behind the page that was looked at last */
}

static err_t seen_end(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;
    const struct seen_scan *s = b->scan;
    bool is_full = (int64_t)b->count == page_most(b);
    bool was_dropped = s->last + 1 != page_most(b);

    if (s->seen->ends_at_all && was_dropped)
        b->page.has_more = is_full && (!s->is_ended || s->shows_more);
    else
        b->page.has_more = is_full && (was_dropped || s->at > page_most(b));
    b->page.shown = s->last + 1;
    b->page.is_run_out = !is_full && s->at > page_most(b);
    reply_json(r, &b->json);
    json_open(&b->json);
    return search_batch_start(r, f);
}

static err_t seen_rows(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;
    struct seen_scan *s = b->scan;

    for (int row = 0; row < PQntuples(r->rows) && !seen_is_done(s, b); row++, s->at++) {
        if ((int64_t)b->count < page_most(b)) {
            if (!s->seen->shows(r, r->rows, row))
                continue;
            seen_keep(r, b, r->rows, row);
            s->last = s->at;
        } else if (s->at < (s->last / page_most(b) + 1) * page_most(b)) {
            s->shows_more = s->shows_more || s->seen->shows(r, r->rows, row);
        }
    }
    if (!seen_is_done(s, b) && r->has_more_rows)
        return req_more_rows(r, seen_rows);
    s->is_ended = !seen_is_done(s, b);
    return seen_end(r, f);
}

/* The page as it is, without what does not show. */
static err_t seen_page(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;
    const struct seen_scan *s = b->scan;
    const PGresult *res = r->sql.results[0];
    int n = search_page_take(&b->page, res);

    b->page.shown = b->page.max_results;
    for (int row = 0; row < n; row++) {
        if (s->seen->shows(r, res, row))
            seen_keep(r, b, res, row);
    }
    reply_json(r, &b->json);
    json_open(&b->json);
    return search_batch_start(r, f);
}

err_t search_seen_ask(struct req *r, struct search_batch *b, const struct search_seen *seen,
                      struct fail *f)
{
    struct search_page *p = &b->page;
    struct seen_scan *s = arena_zalloc(&r->arena, sizeof(*s));
    bool is_scan = seen->is_filled && p->max_results > 0;
    struct sql_step step = {&p->stmt, p->query.values, (int)p->query.nvalues};
    struct str text;

    s->seen = seen;
    s->last = -1;
    b->scan = s;
    text = arena_printf(&r->arena, "%s%s%s%s", is_scan ? SQL_STREAM : "", seen->before,
                        p->query.text, seen->behind);
    p->query.text = arena_cstr(&r->arena, text);
    if (!is_scan)
        return search_page_ask(r, p, seen_page, f);
    if (p->query.nvalues > SQL_VALUES_MAX)
        return search_page_ask(r, p, seen_page, f); /* which refuses it */
    p->stmt = (struct stmt){NULL, p->query.text};
    return req_rows(r, &step, seen_rows);
}
