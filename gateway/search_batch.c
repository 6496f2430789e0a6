/*
 * search_batch: a page of a search, batch by batch.
 *
 *   search_batch_begin --> batch_next --> fetch ... search_batch_write --> batch_next ...
 *                                                        |    ^
 *                                                        +----+ while rows are left, in parts
 *
 * The next batch is asked for when the reader has taken what was written, so a slow one costs no more
 * memory, and no session while it pauses. How many make a batch is found on the way: few at first,
 * twice as many while they give little, half when they give much. 1000 runs with 25 details each come
 * in 10 batches, which takes no longer than one.
 *
 * A row that goes away between keys and batch is missing in the answer.
 */
#include "gateway/search_batch.h"

#include "gateway/reply.h"
#include "gateway/req_part.h"

enum {
    BATCH_FIRST = 16,
    BATCH_MOST = 256,
    BATCH_LITTLE = 256 << 10, /* bytes of JSON */
    BATCH_MUCH = 1 << 20
};

static err_t batch_next(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;
    size_t n = b->count - b->next < b->size ? b->count - b->next : b->size;

    if (n == 0) {
        if (b->is_open)
            json_close_list(&b->json);
        return search_page_end(r, &b->page, &b->json);
    }
    arena_rewind(&r->arena, &b->mark);
    b->ids = sql_text_array(&r->arena, b->keys + b->next, n);
    b->next += n;
    b->written_bytes = 0;
    b->row = 0;
    return b->list->fetch(r, f);
}

err_t search_batch_begin(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;
    const PGresult *res = r->sql.results[0];

    b->count = (size_t)search_page_take(&b->page, res);
    b->keys = arena_array(&r->arena, b->count, sizeof(*b->keys));
    for (size_t i = 0; i < b->count; i++)
        b->keys[i] = arena_dup(&r->arena, sql_get(res, (int)i, 0));
    b->mark = arena_mark(&r->arena);
    b->size = BATCH_FIRST;
    reply_json(r, &b->json);
    json_open(&b->json);
    return batch_next(r, f);
}

static void batch_adapt(struct search_batch *b)
{
    if (b->written_bytes < BATCH_LITTLE && b->size < BATCH_MOST)
        b->size *= 2;
    else if (b->written_bytes > BATCH_MUCH && b->size > 1)
        b->size /= 2;
}

err_t search_batch_write(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;
    const PGresult *rows = r->sql.results[0];
    size_t before = buf_len(&r->reply.body);
    int n = PQntuples(rows);

    (void)f;
    if (n > 0 && !b->is_open) {
        json_key(&b->json, b->list->name);
        json_open_list(&b->json);
        b->is_open = true;
    }
    while (b->row < n && !req_has_part(r))
        b->list->write(b, rows, b->row++);
    b->written_bytes += buf_len(&r->reply.body) - before;
    if (b->row < n)
        return req_send_part(r, search_batch_write);
    batch_adapt(b);
    return req_send_part(r, batch_next);
}
