/*
 * api_search: runs/search and experiments/search.
 *
 * Two round trips: the ids of the page in order, then the rows and what belongs to them by the array of
 * ids, put back into that order by their place in the array. Nothing is joined that multiplies rows,
 * so the time grows with what is shown, not with what is joined. A run that goes away between the
 * two is missing in the answer.
 *
 * The page asks for one id more than it shows; only when it came back there is a next page.
 *
 * The default order is a prepared statement. Other orders are texts of their own, put together from
 * constants by order_by.c, and not prepared: there are too many. A filter is answered 501 until the
 * grammar exists; neither the fluent client's search_runs() nor its UI's first page sends one.
 *
 * A search for runs waits for everything that was accepted before it came; one for experiments shows
 * nothing that is queued.
 */
#include "gateway/api.h"

#include "gateway/entity.h"
#include "gateway/experiment_id.h"
#include "gateway/order_by.h"
#include "gateway/reply.h"
#include "gateway/worker.h"
#include "schema/errors.h"

enum { RUNS_DEFAULT = 1000, SEARCH_MOST = 50000 };
enum { VIEW_ACTIVE_ONLY = 1, VIEW_DELETED_ONLY = 2, VIEW_ALL = 3 };

/* What both searches have in common. */
struct search {
    int64_t max_results;
    int64_t offset;
    bool has_more;
    struct str order; /* behind ORDER BY */
    struct str ids;   /* an array of what the page shows */
    struct stmt by_order;
    struct str values[4];
};

static struct str view_stages(const struct opt_i64 *view)
{
    switch (view->is_set ? view->v : VIEW_ACTIVE_ONLY) {
    case VIEW_DELETED_ONLY: return STR("{deleted}");
    case VIEW_ALL: return STR("{active,deleted}");
    default: return STR("{active}");
    }
}

static err_t check_filter(struct str filter, struct fail *f)
{
    return filter.n ? fail(f, ERR_NOT_IMPLEMENTED, "filter is not supported yet") : OK;
}

static err_t check_max_results(int64_t n, struct fail *f)
{
    if (n < 1)
        return fail(f, ERR_BAD_PARAM,
                    "Invalid value %lld for parameter 'max_results' supplied. It must be a positive"
                    " integer",
                    (long long)n);
    if (n > SEARCH_MOST)
        return fail(
            f, ERR_BAD_PARAM,
            "Invalid value %lld for parameter 'max_results' supplied. It must be at most %d",
            (long long)n, SEARCH_MOST);
    return OK;
}

/* The ids of the page, from the first column; those beyond it say that there is a next page. */
static size_t page_ids(struct req *r, struct search *s)
{
    const PGresult *res = r->sql.results[0];
    int n = PQntuples(res);
    struct str *ids;

    s->has_more = n > s->max_results;
    if (s->has_more)
        n--;
    ids = arena_array(&r->arena, (size_t)n, sizeof(*ids));
    for (int i = 0; i < n; i++)
        ids[i] = sql_get(res, i, 0);
    s->ids = sql_text_array(&r->arena, ids, (size_t)n);
    return (size_t)n;
}

static err_t page_end(struct req *r, const struct search *s, struct json *j)
{
    if (s->has_more)
        json_pair_str(j, "next_page_token",
                      bind_make_page_token(&r->arena, s->offset + s->max_results));
    json_close(j);
    return reply_ok(r);
}

/* The statement that finds the ids: head, the order, tail. Prepared when the order is the default. */
static const struct stmt *ids_stmt(struct arena *a, struct search *s, const struct stmt *usual,
                                   bool is_usual, const char *head)
{
    if (is_usual)
        return usual;
    s->by_order.text =
        arena_printf(a, "%s ORDER BY %.*s LIMIT $3::int8 OFFSET $4::int8", head, STR_ARG(s->order))
            .p;
    return &s->by_order;
}

/* -- runs ------------------------------------------------------------------------------------ */

#define RUN_IDS                                                             \
    "SELECT r.run_uuid FROM runs r WHERE r.experiment_id = ANY($1::int4[])" \
    " AND r.lifecycle_stage = ANY($2::text[])"

static const struct stmt RUN_PAGE = {
    "search_run_ids",
    RUN_IDS " ORDER BY r.start_time DESC, r.run_uuid LIMIT $3::int8 OFFSET $4::int8"};
static const struct stmt RUN_ROWS = {
    "search_run_rows", "SELECT " ENTITY_RUN " FROM unnest($1::text[]) WITH ORDINALITY AS s(id, n)"
                       " JOIN runs r ON r.run_uuid = s.id ORDER BY s.n"};

static err_t runs_done(struct req *r, struct fail *f)
{
    const struct search *s = r->data;
    const PGresult *rows = r->sql.results[0];
    int n = PQntuples(rows);
    struct entity_details details;
    struct json j;

    (void)f;
    entity_details(&r->arena, rows, n, r->sql.results + 1, &details);
    reply_json(r, &j);
    json_open(&j);
    if (n > 0) {
        json_key(&j, "runs");
        json_open_list(&j);
        for (int i = 0; i < n; i++)
            entity_run(&j, rows, i, &details);
        json_close_list(&j);
    }
    return page_end(r, s, &j);
}

static err_t runs_found(struct req *r, struct fail *f)
{
    struct search *s = r->data;
    struct sql_step steps[1 + DETAIL_COUNT];

    (void)f;
    if (page_ids(r, s) == 0)
        return reply_empty(r);
    steps[0] = (struct sql_step){&RUN_ROWS, &s->ids, 1};
    entity_run_steps(steps + 1, &s->ids);
    return req_sql(r, steps, 1 + DETAIL_COUNT, runs_done);
}

static err_t runs_read(struct req *r, struct fail *f)
{
    struct search *s = r->data;
    const struct stmt *stmt = ids_stmt(&r->arena, s, &RUN_PAGE, s->order.n == 0, RUN_IDS);

    (void)f;
    return req_sql(r, &(struct sql_step){stmt, s->values, 4}, 1, runs_found);
}

err_t api_run_search(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct search *s = r->data = arena_zalloc(a, sizeof(*s));
    struct msg_runs_search m;
    int64_t *ids;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_runs_search, &m, f)))
        return e;
    s->max_results = m.max_results.is_set ? m.max_results.v : RUNS_DEFAULT;
    if ((e = check_max_results(s->max_results, f)) || (e = check_filter(m.filter.s, f)))
        return e;
    if (m.order_by.n && (e = order_by_runs(a, m.order_by.items, m.order_by.n, &s->order, f)))
        return e;
    if ((e = bind_page_token(a, m.page_token.s, &s->offset, f)))
        return e;
    ids = arena_array(a, m.experiment_ids.n, sizeof(*ids));
    for (size_t i = 0; i < m.experiment_ids.n; i++) {
        int32_t id;

        if ((e = experiment_id_parse(m.experiment_ids.items[i], &id, f)))
            return e;
        ids[i] = id;
    }
    s->values[0] = sql_i64_array(a, ids, m.experiment_ids.n);
    s->values[1] = view_stages(&m.run_view_type);
    s->values[2] = sql_i64(a, s->max_results + 1);
    s->values[3] = sql_i64(a, s->offset);
    return req_wait_all(r, runs_read);
}

/* -- experiments ----------------------------------------------------------------------------- */

/* $1 stands where runs have their experiments, so that both statements take the same values. */
#define EXPERIMENT_IDS                                                       \
    "SELECT e.experiment_id FROM experiments e WHERE e.workspace = $1::text" \
    " AND e.lifecycle_stage = ANY($2::text[])"

static const struct stmt EXPERIMENT_PAGE = {"search_experiment_ids", EXPERIMENT_IDS
                                            " ORDER BY e.creation_time DESC, e.experiment_id ASC"
                                            " LIMIT $3::int8 OFFSET $4::int8"};
static const struct stmt EXPERIMENT_ROWS = {
    "search_experiment_rows",
    "SELECT " ENTITY_EXPERIMENT " FROM unnest($1::int4[]) WITH ORDINALITY AS s(id, n)"
    " JOIN experiments e ON e.experiment_id = s.id ORDER BY s.n"};

static err_t experiments_done(struct req *r, struct fail *f)
{
    const struct search *s = r->data;
    const PGresult *rows = r->sql.results[0];
    int n = PQntuples(rows);
    struct entity_group tags;
    struct json j;

    (void)f;
    entity_group(&r->arena, rows, n, 0, r->sql.results[1], &tags);
    reply_json(r, &j);
    json_open(&j);
    if (n > 0) {
        json_key(&j, "experiments");
        json_open_list(&j);
        for (int i = 0; i < n; i++)
            entity_experiment(&j, rows, i, &tags);
        json_close_list(&j);
    }
    return page_end(r, s, &j);
}

static err_t experiments_found(struct req *r, struct fail *f)
{
    struct search *s = r->data;
    struct sql_step steps[2];

    (void)f;
    if (page_ids(r, s) == 0)
        return reply_empty(r);
    steps[0] = (struct sql_step){&EXPERIMENT_ROWS, &s->ids, 1};
    entity_experiment_step(&steps[1], &s->ids);
    return req_sql(r, steps, 2, experiments_done);
}

err_t api_experiment_search(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct search *s = r->data = arena_zalloc(a, sizeof(*s));
    struct msg_experiments_search m;
    const struct stmt *stmt;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_search, &m, f)))
        return e;
    s->max_results = m.max_results.v; /* absent is 0, which is refused */
    if ((e = check_max_results(s->max_results, f)) || (e = check_filter(m.filter.s, f)))
        return e;
    if ((e = order_by_experiments(a, m.order_by.items, m.order_by.n, &s->order, f)))
        return e;
    if ((e = bind_page_token(a, m.page_token.s, &s->offset, f)))
        return e;
    s->values[0] = STR("default");
    s->values[1] = view_stages(&m.view_type);
    s->values[2] = sql_i64(a, s->max_results + 1);
    s->values[3] = sql_i64(a, s->offset);
    stmt = ids_stmt(a, s, &EXPERIMENT_PAGE, m.order_by.n == 0, EXPERIMENT_IDS);
    return req_sql(r, &(struct sql_step){stmt, s->values, 4}, 1, experiments_found);
}
