/*
 * search_batch: a page of a search, batch by batch.
 *
 *   search_batch_begin --> batch_next --> fetch .. search_batch_fetched --> batch_write --> batch_next ..
 *                            ^   ^                      |       |              |    ^
 *                            |   +--- fewer rows -------+       |              +----+ while rows are
 *                            |                                  |                     left, in parts
 *                            +-- search_batch_go_on .. write_long, of a single row
 *
 * The next batch is asked for when the reader has taken what was written, so a slow one costs no more
 * memory, and no session while it pauses. How many rows make a batch is found on the way: few at first
 * where much may belong to one, twice as many while they give little, half when they give much. 1000
 * runs with 25 details each come in 9 batches, which takes no longer than one.
 *
 * Nobody knows beforehand what belongs to the rows, so each of their statements stops at
 * ENTITY_SOME_ROWS or thereabouts. When one did, or brought more than ENTITY_SOME_BYTES, the batch is
 * dropped and a quarter of it asked for; a single row that is still too much is written piece by piece,
 * or fetched whole where it has no pieces. 16 runs of 10 000 long params each are never in memory: one
 * of them would be 60 MB.
 *
 * What belongs to many rows is asked for on two sessions at the same time, half of the statements
 * each. It is no less consistent for that: in one transaction each statement has a snapshot of its
 * own, too.
 *
 * A row that goes away between keys and batch is missing in the answer.
 */
#include "gateway/search/search_batch.h"

#include "gateway/api/entity.h"
#include "gateway/http/reply.h"
#include "gateway/req_part.h"

enum {
    BATCH_MOST = 256,
    BATCH_LITTLE = 256 << 10, /* bytes of JSON */
    BATCH_MUCH = 1 << 20,
    BATCH_BOTH = 32 /* rows; what belongs to fewer is here before a second session has begun */
};

static err_t batch_end(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;

    if (b->list->end)
        return b->list->end(r, f);
    if (b->is_open)
        json_close_list(&b->json);
    return search_page_end(r, &b->page, &b->json);
}

static err_t batch_next(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;
    size_t n = b->count - b->next < b->size ? b->count - b->next : b->size;
    size_t columns = (size_t)b->list->columns;

    if (n == 0)
        return batch_end(r, f);
    arena_rewind(&r->arena, &b->mark);
    for (size_t c = 0; c < columns; c++) {
        struct str *items = arena_array(&r->arena, n, sizeof(*items));

        for (size_t i = 0; i < n; i++)
            items[i] = b->keys[(b->next + i) * columns + c];
        b->values[c] = sql_text_array(&r->arena, items, n);
    }
    b->next += n;
    b->fetched = n;
    b->written_bytes = 0;
    b->row = 0;
    return b->list->fetch(r, f);
}

err_t search_batch_ask(struct req *r, const struct sql_step *steps, unsigned n, unsigned half)
{
    const struct search_batch *b = r->data;

    if (b->fetched < BATCH_BOTH)
        return req_sql(r, steps, n, search_batch_fetched);
    return req_sql_both(r, steps, n, half, search_batch_fetched);
}

void search_batch_take(struct req *r, struct search_batch *b)
{
    const PGresult *res = r->sql.results[0];
    size_t columns = (size_t)b->list->columns;

    check(columns <= SEARCH_KEY_COLUMNS);
    b->count = (size_t)search_page_take(&b->page, res);
    b->keys = arena_array(&r->arena, b->count * columns, sizeof(*b->keys));
    for (size_t i = 0; i < b->count * columns; i++)
        b->keys[i] = arena_dup(
            &r->arena, sql_get(res, (int)(i / columns), b->list->column + (int)(i % columns)));
}

err_t search_batch_start(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;

    search_batch_keep(b, &r->arena);
    b->next = 0;
    b->size = b->list->first;
    b->is_whole = false;
    return batch_next(r, f);
}

err_t search_batch_begin(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;

    search_batch_take(r, b);
    reply_json(r, &b->json);
    json_open(&b->json);
    return search_batch_start(r, f);
}

void search_batch_keep(struct search_batch *b, const struct arena *a)
{
    b->mark = arena_mark(a);
}

void search_batch_open(struct search_batch *b)
{
    if (b->is_open || b->list->name == NULL)
        return;
    json_key(&b->json, b->list->name);
    json_open_list(&b->json);
    b->is_open = true;
}

/* What is left after this batch comes in batches that fit. */
static void batch_adapt(struct search_batch *b)
{
    b->is_whole = false;
    if (b->written_bytes > BATCH_MUCH && b->size > 1)
        b->size /= 2;
    else if (b->written_bytes < BATCH_LITTLE && b->detail_rows <= ENTITY_SOME_ROWS / 2 &&
             b->size < BATCH_MOST)
        b->size *= 2;
}

err_t search_batch_go_on(struct req *r, struct fail *f)
{
    batch_adapt(r->data);
    return batch_next(r, f);
}

static err_t batch_write(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;
    const PGresult *rows = r->sql.results[0];
    size_t before = buf_len(&r->reply.body);
    int n = PQntuples(rows);

    (void)f;
    if (n > 0)
        search_batch_open(b);
    while (b->row < n && !req_has_part(r))
        b->list->write(b, rows, b->row++);
    b->written_bytes += buf_len(&r->reply.body) - before;
    return req_send_part(r, b->row < n ? batch_write : search_batch_go_on);
}

/* Did a statement bring more than a batch may hold? */
static bool batch_is_too_much(struct search_batch *b, PGresult *const *results)
{
    bool is_too_much = false;

    b->detail_rows = 0;
    for (unsigned i = 0; i < SQL_STEPS_MAX && results[i]; i++) {
        int n = PQntuples(results[i]);

        is_too_much = is_too_much || n > ENTITY_SOME_ROWS ||
                      PQresultMemorySize(results[i]) > ENTITY_SOME_BYTES;
        if (n > b->detail_rows)
            b->detail_rows = n;
    }
    return is_too_much;
}

/* The same rows once more, but fewer, or the only one in another way. */
static err_t batch_again(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;

    if (b->fetched == 1 && b->list->write_long && PQntuples(r->sql.results[0]) > 0) {
        search_batch_open(b);
        return b->list->write_long(r, f);
    }
    b->next -= b->fetched;
    b->is_whole = b->fetched == 1;
    b->size = b->fetched < 4 ? 1 : b->fetched / 4;
    return batch_next(r, f);
}

err_t search_batch_fetched(struct req *r, struct fail *f)
{
    struct search_batch *b = r->data;

    if (batch_is_too_much(b, r->sql.results) && !b->is_whole)
        return batch_again(r, f);
    b->list->group(b, &r->arena, r->sql.results);
    return batch_write(r, f);
}
