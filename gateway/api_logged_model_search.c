/*
 * api_logged_model_search: logged-models/search.
 *
 * Two round trips: the ids of the page in order, then the models and what belongs to them by the
 * array of ids (api_search.c). The page asks for one id more than it shows. Errors come in MLflow's
 * order: datasets, page token, filter, experiment ids, order.
 *
 * max_results has no upper bound, as at MLflow; absent it is 50, and 0 is 100.
 */
#include "gateway/api.h"

#include "gateway/entity_logged_model.h"
#include "gateway/experiment_id.h"
#include "gateway/model_filter.h"
#include "gateway/model_search.h"
#include "gateway/model_token.h"
#include "gateway/reply.h"
#include "schema/errors.h"

enum { RESULTS_ABSENT = 50, RESULTS_ZERO = 100 };

struct model_page {
    struct msg_logged_models_search m;
    struct model_search search; /* limit: one more than the page shows */
    struct model_token token;
    int64_t max_results;
    bool has_more;
    struct stmt stmt; /* finds the ids */
    struct query query;
    struct str ids; /* an array of what the page shows */
};

static err_t page_done(struct req *r, struct fail *f)
{
    const struct model_page *p = r->data;
    struct entity_logged_models models;
    struct json j;

    (void)f;
    entity_logged_models(&r->arena, r->sql.results, &models);
    reply_json(r, &j);
    json_open(&j);
    if (models.count > 0) {
        json_key(&j, "models");
        json_open_list(&j);
        for (int i = 0; i < models.count; i++)
            entity_logged_model(&j, &models, i);
        json_close_list(&j);
    }
    if (p->has_more)
        json_pair_str(&j, "next_page_token",
                      model_token_make(&r->arena, &p->token, p->search.offset + p->max_results));
    json_close(&j);
    return reply_ok(r);
}

static err_t page_found(struct req *r, struct fail *f)
{
    struct model_page *p = r->data;
    const PGresult *res = r->sql.results[0];
    struct sql_step steps[MODEL_PARTS];
    int n = PQntuples(res);
    struct str *ids = arena_array(&r->arena, (size_t)n, sizeof(*ids));

    (void)f;
    p->has_more = n > p->max_results;
    n -= p->has_more && n > 0;
    for (int i = 0; i < n; i++)
        ids[i] = sql_get(res, i, 0);
    p->ids = sql_text_array(&r->arena, ids, (size_t)n);
    entity_logged_model_steps(steps, &p->ids);
    return req_sql(r, steps, MODEL_PARTS, page_done);
}

static err_t page_ask(struct req *r, struct fail *f)
{
    struct model_page *p = r->data;

    (void)f;
    p->stmt = (struct stmt){NULL, p->query.text};
    return req_sql(r, &(struct sql_step){&p->stmt, p->query.values, (int)p->query.nvalues}, 1,
                   page_found);
}

/* What the request says, as the search and its token hold it. */
static void page_fill(struct arena *a, struct model_page *p)
{
    const struct msg_logged_models_search *m = &p->m;
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
    p->max_results = m->max_results.is_set ? m->max_results.v : RESULTS_ABSENT;
    if (p->max_results == 0)
        p->max_results = RESULTS_ZERO;
    p->search = (struct model_search){.dataset_names = names,
                                      .dataset_digests = digests,
                                      .datasets_count = m->datasets.n,
                                      .orders = orders,
                                      .orders_count = m->order_by.n,
                                      .limit = p->max_results + 1};
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

err_t api_logged_model_search(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct model_page *p = r->data = arena_zalloc(a, sizeof(*p));
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
    if ((e = page_experiments(a, p, f)) ||
        (e = model_search_check_order(a, s->orders, s->orders_count, f)) ||
        (e = model_search_query(a, s, &p->query, f)))
        return e;
    if (p->query.nvalues > SQL_VALUES_MAX)
        return fail(f, ERR_BAD_PARAM,
                    "The filter and order_by hold %zu values; at most %d are taken.",
                    p->query.nvalues, SQL_VALUES_MAX);
    return req_wait_all(r, page_ask);
}
