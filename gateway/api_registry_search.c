/*
 * api_registry_search: registered-models/search.
 *
 * As in api_search.c: the names of the page in order, then the models and what belongs to them by
 * the array of names. A model that goes away between the two is missing in the answer. Errors come
 * in MLflow's order, see filter.h.
 */
#include "gateway/api.h"

#include "gateway/entity_registry.h"
#include "gateway/filter.h"
#include "gateway/order.h"
#include "gateway/reply.h"
#include "gateway/search_page.h"
#include "schema/errors.h"

enum { MODELS_DEFAULT = 100 };
enum { COL_NAME = 1 }; /* of search_models_query */

static err_t models_done(struct req *r, struct fail *f)
{
    const struct search_page *p = r->data;
    struct entity_models models;
    struct json j;
    int n;

    (void)f;
    entity_models(&r->arena, r->sql.results, &models);
    n = PQntuples(models.rows);
    reply_json(r, &j);
    json_open(&j);
    if (n > 0) {
        json_key(&j, "registered_models");
        json_open_list(&j);
        for (int i = 0; i < n; i++)
            entity_model(&j, &models, i);
        json_close_list(&j);
    }
    return search_page_end(r, p, &j);
}

static err_t models_found(struct req *r, struct fail *f)
{
    struct search_page *p = r->data;
    const PGresult *keys = r->sql.results[0];
    int n = search_page_take(p, keys);
    struct str *names = arena_alloc(&r->arena, sizeof(*names));
    struct sql_step steps[MODEL_PARTS];
    struct json j;

    (void)f;
    if (n == 0) {
        reply_json(r, &j);
        json_open(&j);
        return search_page_end(r, p, &j);
    }
    *names = search_page_array(&r->arena, keys, COL_NAME, n);
    entity_model_steps(steps, names);
    return req_sql(r, steps, MODEL_PARTS, models_done);
}

err_t api_model_search(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct search_page *p = r->data = arena_zalloc(a, sizeof(*p));
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
    if ((e = search_models_query(a, s, &p->query, f)))
        return e;
    return search_page_ask(r, p, models_found, f);
}
