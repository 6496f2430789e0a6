/*
 * api_version_search: model-versions/search.
 *
 * As in api_search.c: the keys of the page in order, then batch by batch the versions and their tags
 * by arrays of names and numbers. Aliases are never shown here. Errors come in MLflow's order, see filter.h.
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

enum { VERSIONS_DEFAULT = 200000 };
enum { COL_NAME = 1 }; /* of search_versions_query */

struct versions_page {
    struct search_batch batch;
    struct entity_versions versions;
};

static void versions_group(struct search_batch *b, struct arena *a, PGresult *const *results)
{
    entity_versions(a, results, false, &((struct versions_page *)b)->versions);
}

static void version_write(struct search_batch *b, const PGresult *rows, int row)
{
    (void)rows; /* versions has them */
    entity_version(&b->json, &((struct versions_page *)b)->versions, row);
}

static err_t versions_fetch(struct req *r, struct fail *f)
{
    const struct search_batch *b = r->data;
    struct sql_step steps[VERSION_PARTS];

    (void)f;
    entity_version_steps(steps, b->values, !b->is_whole);
    return req_sql(r, steps, VERSION_ALIASES, search_batch_fetched);
}

static const struct search_list VERSIONS = {.name = "model_versions",
                                            .column = COL_NAME, /* and the version behind it */
                                            .columns = 2,
                                            .first = 256,
                                            .fetch = versions_fetch,
                                            .group = versions_group,
                                            .write = version_write};

/* Of a version its own tag says whether it is a prompt's. */
static bool version_shows(const struct req *r, const PGresult *keys, int row)
{
    bool is_prompt = sql_get_bool(keys, row, PQnfields(keys) - 1);

    return !may_denies(r, is_prompt ? GRANT_PROMPT_VERSION : GRANT_REGISTERED_MODEL_VERSION) &&
           may_lists(r, is_prompt ? GRANT_PROMPT : GRANT_REGISTERED_MODEL,
                     sql_get(keys, row, COL_NAME));
}

static const struct search_seen VERSIONS_SEEN = {
    .before = "SELECT k.*, EXISTS (SELECT 1 FROM model_version_tags t"
              " WHERE t.workspace = " SCOPE_NAME " AND t.name = k.name AND t.version = k.version"
              " AND t.key = '" REGISTRY_PROMPT_TAG "' AND lower(t.value) = 'true') FROM (",
    .behind = ") k",
    .shows = version_shows};

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

static err_t versions_prepare(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct versions_page *search = r->data;
    struct search_page *p = &search->batch.page;
    struct msg_versions_search m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_versions_search, &m, f)))
        return e;
    p->max_results = m.max_results.is_set ? m.max_results.v : VERSIONS_DEFAULT;
    if (p->max_results < 1)
        return fail(f, ERR_BAD_PARAM,
                    "Invalid value for max_results. It must be a positive integer, but got %lld",
                    (long long)p->max_results);
    e = version_conditions(a, &m, p, f);
    return e ? e : search_versions_query(a, &p->search, &p->query, f);
}

static err_t versions_read(struct req *r, struct fail *f)
{
    struct versions_page *s = r->data;

    if (may_hides(r))
        return search_seen_ask(r, &s->batch, &VERSIONS_SEEN, f);
    return search_page_ask(r, &s->batch.page, search_batch_begin, f);
}

err_t api_version_search(struct req *r, struct fail *f)
{
    struct versions_page *s = r->data = arena_zalloc(&r->arena, sizeof(*s));

    (void)f;
    s->batch.list = &VERSIONS;
    return req_prepare(r, LIMIT_SEARCH_ASIDE, versions_prepare, versions_read);
}
