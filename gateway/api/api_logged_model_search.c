/*
 * api_logged_model_search: logged-models/search.
 *
 * The ids of the page in order, then batch by batch the models and what belongs to them by an array of
 * ids (api_search.c). The page asks for one id more than it shows. Errors come in MLflow's
 * order: datasets, page token, filter, experiment ids, order, values that fit no column.
 *
 * max_results has no upper bound, as at MLflow; absent it is 50, and 0 is 100.
 */
#include "gateway/api/api.h"

#include "gateway/api/entity_logged_model.h"
#include "gateway/api/experiment_id.h"
#include "gateway/auth/may.h"
#include "gateway/http/reply.h"
#include "gateway/req_aside.h"
#include "gateway/search/model_filter.h"
#include "gateway/search/model_search.h"
#include "gateway/search/model_token.h"
#include "gateway/search/search_batch.h"
#include "gateway/search/search_seen.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { RESULTS_ABSENT = 50, RESULTS_ZERO = 100 };

struct model_page {
    struct search_batch batch;
    struct msg_logged_models_search m;
    struct model_search search; /* limit: one more than the page shows */
    struct model_token token;
    struct entity_logged_models models;
};

static void models_group(struct search_batch *b, struct arena *a, PGresult *const *results)
{
    entity_logged_models(a, results, &((struct model_page *)b)->models);
}

static void model_write(struct search_batch *b, const PGresult *rows, int row)
{
    (void)rows; /* models has them */
    entity_logged_model(&b->json, &((struct model_page *)b)->models, row);
}

static err_t models_fetch(struct req *r, struct fail *f)
{
    const struct search_batch *b = r->data;
    struct sql_step steps[MODEL_PARTS];

    (void)f;
    entity_logged_model_steps(steps, b->values, !b->is_whole);
    return req_sql(r, steps, MODEL_PARTS, search_batch_fetched);
}

/* With a token of its own kind. */
static err_t models_end(struct req *r, struct fail *f)
{
    struct model_page *p = r->data;
    struct search_batch *b = &p->batch;

    (void)f;
    if (b->is_open)
        json_close_list(&b->json);
    if (b->page.has_more)
        json_pair_str(
            &b->json, "next_page_token",
            model_token_make(&r->arena, &p->token, p->search.offset + search_page_step(&b->page)));
    json_close(&b->json);
    return reply_ok(r);
}

static const struct search_list MODELS = {.name = "models",
                                          .columns = 1,
                                          .first = 32,
                                          .fetch = models_fetch,
                                          .group = models_group,
                                          .write = model_write,
                                          .end = models_end};

static bool model_shows(const struct req *r, const PGresult *keys, int row)
{
    return !may_denies(r, GRANT_LOGGED_MODEL) &&
           may_lists(r, GRANT_EXPERIMENT, sql_get(keys, row, PQnfields(keys) - 1));
}

static const struct search_seen MODELS_SEEN = {
    .before = "SELECT k.*, (SELECT l.experiment_id FROM logged_models l" SCOPE_FOUND
              " WHERE l.model_id = k.model_id) FROM (",
    .behind = ") k",
    .shows = model_shows,
    .is_filled = true,
    .ends_at_all = true};

static err_t page_ask(struct req *r, struct fail *f)
{
    struct model_page *p = r->data;

    if (may_hides(r))
        return search_seen_ask(r, &p->batch, &MODELS_SEEN, f);
    return search_page_ask(r, &p->batch.page, search_batch_begin, f);
}

/* What the request says, as the search and its token hold it. */
static void page_fill(struct arena *a, struct model_page *p)
{
    const struct msg_logged_models_search *m = &p->m;
    struct search_page *page = &p->batch.page;
    struct str *names = arena_array(a, m->datasets.n, sizeof(*names));
    struct str *digests = arena_array(a, m->datasets.n, sizeof(*digests));
    struct model_order *orders = arena_array(a, m->order_by.n, sizeof(*orders));

    for (size_t i = 0; i < m->datasets.n; i++) {
        names[i] = m->datasets.items[i].dataset_name.s;
        digests[i] = m->datasets.items[i].dataset_digest.s;
        if (digests[i].n == 0)
            digests[i] = sql_null();
    }
    for (size_t i = 0; i < m->order_by.n; i++) {
        const struct msg_search_order *o = &m->order_by.items[i];

        orders[i] = (struct model_order){.field = o->field_name.s,
                                         .is_descending = o->ascending.is_set && !o->ascending.v,
                                         .dataset_name = o->dataset_name.s,
                                         .dataset_digest = o->dataset_digest.s};
    }
    page->max_results = m->max_results.is_set ? m->max_results.v : RESULTS_ABSENT;
    if (page->max_results == 0)
        page->max_results = RESULTS_ZERO;
    page->search.limit = page->max_results + 1;
    p->search = (struct model_search){.dataset_names = names,
                                      .dataset_digests = digests,
                                      .datasets_count = m->datasets.n,
                                      .orders = orders,
                                      .orders_count = m->order_by.n,
                                      .limit = page->search.limit};
    p->token = (struct model_token){.experiment_ids = m->experiment_ids.items,
                                    .ids_count = m->experiment_ids.n,
                                    .filter = m->filter.s,
                                    .orders = orders,
                                    .orders_count = m->order_by.n};
}

static err_t page_experiments(struct arena *a, struct model_page *p, struct fail *f)
{
    const struct list_str *sent = &p->m.experiment_ids;
    int64_t *ids = arena_array(a, sent->n, sizeof(*ids));
    err_t e;

    for (size_t i = 0; i < sent->n; i++) {
        int32_t id;

        if ((e = experiment_id_parse(sent->items[i], &id, f)))
            return e;
        ids[i] = id;
    }
    p->search.experiment_ids = ids;
    p->search.ids_count = sent->n;
    return OK;
}

static err_t page_prepare(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct model_page *p = r->data;
    struct model_search *s = &p->search;
    struct model_clause *clauses;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_logged_models_search, &p->m, f)))
        return e;
    page_fill(a, p);
    for (size_t i = 0; i < s->datasets_count; i++) {
        if (s->dataset_names[i].n == 0)
            return fail_str(f, ERR_BAD_PARAM,
                            STR("`dataset_name` in the `datasets` clause must be specified."));
    }
    if ((e = model_token_read(a, p->m.page_token.s, &p->token, &s->offset, f)) ||
        (e = model_filter_parse(a, p->m.filter.s, &clauses, &s->clauses_count, f)) ||
        (e = model_filter_check(a, clauses, s->clauses_count, f)))
        return e;
    s->clauses = clauses;
    search_seen_open(r, &MODELS_SEEN, &p->batch.page);
    s->limit = p->batch.page.search.limit;
    if ((e = page_experiments(a, p, f)) ||
        (e = model_search_check_order(a, s->orders, s->orders_count, f)) ||
        (e = model_filter_fits(clauses, s->clauses_count, f)))
        return e;
    return model_search_query(a, s, &p->batch.page.query, f);
}

static err_t page_wait(struct req *r, struct fail *f)
{
    (void)f;
    return req_wait_all(r, page_ask);
}

err_t api_logged_model_search(struct req *r, struct fail *f)
{
    struct model_page *s = r->data = arena_zalloc(&r->arena, sizeof(*s));

    (void)f;
    s->batch.list = &MODELS;
    return req_prepare(r, LIMIT_SEARCH_ASIDE, page_prepare, page_wait);
}
