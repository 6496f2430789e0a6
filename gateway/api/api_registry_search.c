/*
 * api_registry_search: registered-models/search.
 *
 * As in api_search.c: the names of the page in order, then batch by batch the models and what belongs
 * to them by an array of names. Little belongs to most of them, so the first batch is as long as any:
 * a page of some hundred models takes two round trips. Errors come in MLflow's order, see filter.h.
 */
#include "gateway/api/api.h"

#include "gateway/api/entity_registry.h"
#include "gateway/api/registry.h"
#include "gateway/auth/may.h"
#include "gateway/req_aside.h"
#include "gateway/search/filter.h"
#include "gateway/search/order.h"
#include "gateway/search/search_batch.h"
#include "gateway/search/search_seen.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { MODELS_DEFAULT = 100 };
enum { COL_NAME = 1 }; /* of search_models_query */

struct models_page {
    struct search_batch batch;
    struct entity_models models;
};

static void models_group(struct search_batch *b, struct arena *a, PGresult *const *results)
{
    entity_models(a, results, &((struct models_page *)b)->models);
}

static void model_write(struct search_batch *b, const PGresult *rows, int row)
{
    (void)rows; /* models has them */
    entity_model(&b->json, &((struct models_page *)b)->models, row);
}

static err_t models_fetch(struct req *r, struct fail *f)
{
    const struct search_batch *b = r->data;
    struct sql_step steps[MODEL_PARTS];

    (void)f;
    entity_model_steps(steps, b->values, !b->is_whole);
    return search_batch_ask(r, steps, MODEL_PARTS, MODEL_LATEST);
}

static const struct search_list MODELS = {.name = "registered_models",
                                          .column = COL_NAME,
                                          .columns = 1,
                                          .first = 256,
                                          .fetch = models_fetch,
                                          .group = models_group,
                                          .write = model_write};

/* A prompt is seen by its own grants. */
static bool model_shows(const struct req *r, const PGresult *keys, int row)
{
    bool is_prompt = sql_get_bool(keys, row, PQnfields(keys) - 1);

    return may_lists(r, is_prompt ? GRANT_PROMPT : GRANT_REGISTERED_MODEL,
                     sql_get(keys, row, COL_NAME));
}

static const struct search_seen MODELS_SEEN = {
    .before = "SELECT k.*, EXISTS (SELECT 1 FROM registered_model_tags t"
              " WHERE t.workspace = " SCOPE_NAME " AND t.name = k.name"
              " AND t.key = '" REGISTRY_PROMPT_TAG "' AND lower(t.value) = 'true') FROM (",
    .behind = ") k",
    .shows = model_shows,
    .is_filled = true};

static err_t models_prepare(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct models_page *search = r->data;
    struct search_page *p = &search->batch.page;
    struct search *s = &p->search;
    struct msg_models_search m;
    struct clause *clauses;
    struct order *orders;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_models_search, &m, f)))
        return e;
    p->max_results = m.max_results.is_set ? m.max_results.v : MODELS_DEFAULT;
    if ((e = filter_parse(a, FILTER_MODELS, m.filter.s, &clauses, &s->clauses_count, f)) ||
        (e = order_parse(a, FILTER_MODELS, m.order_by.items, m.order_by.n, &orders,
                         &s->orders_count, f)) ||
        (e = search_page_registry_token(a, p, m.page_token.s, f)) ||
        (e = filter_check(a, FILTER_MODELS, clauses, s->clauses_count, f)))
        return e;
    s->clauses = clauses;
    s->orders = orders;
    search_seen_open(r, &MODELS_SEEN, p);
    return search_models_query(a, s, &p->query, f);
}

static err_t models_read(struct req *r, struct fail *f)
{
    struct models_page *s = r->data;

    if (may_hides(r))
        return search_seen_ask(r, &s->batch, &MODELS_SEEN, f);
    return search_page_ask(r, &s->batch.page, search_batch_begin, f);
}

err_t api_model_search(struct req *r, struct fail *f)
{
    struct models_page *s = r->data = arena_zalloc(&r->arena, sizeof(*s));

    (void)f;
    s->batch.list = &MODELS;
    return req_prepare(r, LIMIT_SEARCH_ASIDE, models_prepare, models_read);
}
