/*
 * search_page: one page of a search.
 *
 * A page asks for one key more than it shows; only when as many came there is a next page. MLflow's
 * registry takes a max_results that is not positive: 0 shows nothing and gives the same page's
 * token, -1 the one before it, and what is below PostgreSQL refuses as a LIMIT.
 */
#include "gateway/search/search_page.h"

#include "gateway/http/reply.h"
#include "schema/errors.h"

err_t search_page_token(struct arena *a, struct search_page *p, struct str token, struct fail *f)
{
    p->search.limit = p->max_results + 1;
    return bind_page_token(a, token, &p->search.offset, f);
}

err_t search_page_registry_token(struct arena *a, struct search_page *p, struct str token,
                                 struct fail *f)
{
    err_t e = search_page_token(a, p, token, f);

    return e == ERR_INTERNAL ? fail_str(f, ERR_BAD_PARAM, f->text) : e;
}

err_t search_page_ask(struct req *r, struct search_page *p, req_step next, struct fail *f)
{
    struct sql_step step = {&p->stmt, p->query.values, (int)p->query.nvalues};

    if (p->query.nvalues > SQL_VALUES_MAX)
        return fail(f, ERR_BAD_PARAM,
                    "The filter and order_by hold %zu values; at most %d are taken.",
                    p->query.nvalues, SQL_VALUES_MAX);
    p->stmt = (struct stmt){NULL, p->query.text};
    return req_sql(r, &step, 1, next);
}

int search_page_take(struct search_page *p, const PGresult *keys)
{
    int n = PQntuples(keys);

    p->has_more = n == p->search.limit;
    return p->has_more && n > 0 ? n - 1 : n;
}

int64_t search_page_step(const struct search_page *p)
{
    return p->shown ? p->shown : p->max_results;
}

err_t search_page_end(struct req *r, const struct search_page *p, struct json *j)
{
    if (p->has_more)
        json_pair_str(j, "next_page_token",
                      bind_make_page_token(&r->arena, p->search.offset + search_page_step(p)));
    else if (p->is_run_out)
        json_pair_str(j, "next_page_token", STR(""));
    json_close(j);
    return reply_ok(r);
}
