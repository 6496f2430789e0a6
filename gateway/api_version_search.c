/*
 * api_version_search: model-versions/search.
 *
 * As in api_search.c: the keys of the page in order, then the versions and their tags by the arrays
 * of names and numbers. A version that goes away between the two is missing in the answer. Aliases
 * are never shown here. Errors come in MLflow's order, see filter.h.
 */
#include "gateway/api.h"

#include "gateway/entity_registry.h"
#include "gateway/filter.h"
#include "gateway/order.h"
#include "gateway/reply.h"
#include "gateway/search_page.h"
#include "schema/errors.h"

enum { VERSIONS_DEFAULT = 200000 };
enum { COL_NAME = 1, COL_VERSION }; /* of search_versions_query */

static err_t versions_done(struct req *r, struct fail *f)
{
    const struct search_page *p = r->data;
    struct entity_versions versions;
    struct json j;
    int n;

    (void)f;
    entity_versions(&r->arena, r->sql.results, false, &versions);
    n = PQntuples(versions.rows);
    reply_json(r, &j);
    json_open(&j);
    if (n > 0) {
        json_key(&j, "model_versions");
        json_open_list(&j);
        for (int i = 0; i < n; i++)
            entity_version(&j, &versions, i);
        json_close_list(&j);
    }
    return search_page_end(r, p, &j);
}

static err_t versions_found(struct req *r, struct fail *f)
{
    struct search_page *p = r->data;
    const PGresult *keys = r->sql.results[0];
    int n = search_page_take(p, keys);
    struct str *values = arena_array(&r->arena, 2, sizeof(*values));
    struct sql_step steps[VERSION_PARTS];

    (void)f;
    if (n == 0)
        return reply_empty(r);
    values[0] = search_page_array(&r->arena, keys, COL_NAME, n);
    values[1] = search_page_array(&r->arena, keys, COL_VERSION, n);
    entity_version_steps(steps, values);
    return req_sql(r, steps, VERSION_ALIASES, versions_done);
}

/* Filter, order and page in MLflow's order of errors. */
static err_t version_conditions(struct arena *a, const struct msg_versions_search *m,
                                struct search_page *p, struct fail *f)
{
    struct search *s = &p->search;
    struct clause *clauses;
    struct order *orders;
    err_t e;

    if ((e = filter_parse(a, FILTER_VERSIONS, m->filter.s, &clauses, &s->clauses_count, f)) ||
        (e = filter_check(a, FILTER_VERSIONS, clauses, s->clauses_count, f)) ||
        (e = order_parse(a, FILTER_VERSIONS, m->order_by.items, m->order_by.n, &orders,
                         &s->orders_count, f)))
        return e;
    s->clauses = clauses;
    s->orders = orders;
    return search_page_registry_token(a, p, m->page_token.s, f);
}

err_t api_version_search(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct search_page *p = r->data = arena_zalloc(a, sizeof(*p));
    struct msg_versions_search m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_search, &m, f)))
        return e;
    p->max_results = m.max_results.is_set ? m.max_results.v : VERSIONS_DEFAULT;
    if (p->max_results < 1)
        return fail(f, ERR_BAD_PARAM,
                    "Invalid value for max_results. It must be a positive integer, but got %lld",
                    (long long)p->max_results);
    if ((e = version_conditions(a, &m, p, f)) ||
        (e = search_versions_query(a, &p->search, &p->query, f)))
        return e;
    return search_page_ask(r, p, versions_found, f);
}
