/*
 * api_search: runs/search and experiments/search.
 *
 * First the ids of the page in order, then batch by batch (search_batch.c) the rows and what belongs to
 * them by an array of ids, put back into that order by their place in the array. Nothing is joined that
 * multiplies rows, so the time grows with what is shown, not with what is joined. A run to which more
 * belongs than a batch may hold is written piece by piece, its metrics, params and tags each from a
 * cursor: search_batch.c tells when.
 *
 * The statement for the ids is put together by search_sql.c for each request, with every value
 * bound, and not prepared: there are too many. Errors come in MLflow's order, see filter.h.
 *
 * Statements for runs are shaped by the indexes of `sluice schema tune`, so the catalog is asked first
 * which are there: 0.1 ms, and nobody has to be told when they come or go. Where the order key has an
 * index, the runs that have the key at all are asked for (search_runs_top), which stops early; only when
 * they do not fill the page everything is asked for. Both statements are exact by themselves, so it does
 * not matter what is written between them.
 *
 * A search for runs waits for everything that was accepted before it came; one for experiments shows
 * nothing that is queued.
 */
#include "gateway/api/api.h"

#include "gateway/api/entity.h"
#include "gateway/api/experiment_id.h"
#include "gateway/api/run_search.h"
#include "gateway/auth/may.h"
#include "gateway/req_aside.h"
#include "gateway/req_part.h"
#include "gateway/search/filter.h"
#include "gateway/search/order.h"
#include "gateway/search/search_batch.h"
#include "gateway/search/search_seen.h"
#include "gateway/worker.h"
#include "schema/errors.h"
#include "schema/limits.h"
#include "schema/tune.h"

enum { RUNS_DEFAULT = 1000, SEARCH_MOST = 50000 };

static enum search_view page_view(const struct opt_i64 *view)
{
    if (!view->is_set)
        return VIEW_ACTIVE_ONLY;
    return view->v == VIEW_DELETED_ONLY || view->v == VIEW_ALL ? (enum search_view)view->v
                                                               : VIEW_ACTIVE_ONLY;
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

/* -- runs ------------------------------------------------------------------------------------ */

static const struct stmt RUN_ROWS = {
    "search_run_rows", "SELECT " ENTITY_RUN " FROM unnest($1::text[]) WITH ORDINALITY AS s(id, n)"
                       " JOIN runs r ON r.run_uuid = s.id" SCOPE_FOUND " ORDER BY s.n"};

struct run_search {
    struct search_batch batch;
    struct entity_details details;
    enum entity_detail part; /* of a long run: what is being written */
    bool is_part_open;
    int row;
};

static void runs_group(struct search_batch *b, struct arena *a, PGresult *const *results)
{
    entity_details(a, results[0], PQntuples(results[0]), results + 1,
                   &((struct run_search *)b)->details);
}

static void run_write(struct search_batch *b, const PGresult *rows, int row)
{
    entity_run(&b->json, rows, row, &((struct run_search *)b)->details);
}

static err_t runs_fetch(struct req *r, struct fail *f)
{
    const struct search_batch *b = r->data;
    struct sql_step steps[1 + DETAIL_COUNT];

    (void)f;
    steps[0] = (struct sql_step){&RUN_ROWS, b->values, 1};
    entity_run_steps(steps + 1, b->values, true);
    return search_batch_ask(r, steps, 1 + DETAIL_COUNT, 1 + DETAIL_PARAMS); /* rows, metrics */
}

/* -- a long run ------------------------------------------------------------------------------- */

/* Its metrics, params and tags come through a cursor each; the rest is fetched whole. */
static err_t long_part(struct req *r, struct fail *f);

static err_t long_inputs_come(struct req *r, struct fail *f)
{
    struct run_search *s = r->data;
    struct json *j = &s->batch.json;
    PGresult *results[DETAIL_COUNT] = {NULL};

    for (int i = DETAIL_DATASETS; i < DETAIL_COUNT; i++)
        results[i] = r->sql.results[1 + i - DETAIL_DATASETS];
    if (PQntuples(r->sql.results[0]) > 0) {
        entity_details(&r->arena, r->sql.results[0], 1, results, &s->details);
        entity_run_inputs(j, 0, &s->details);
    }
    json_close(j);
    return search_batch_go_on(r, f);
}

static err_t long_inputs(struct req *r, struct fail *f)
{
    const struct run_search *s = r->data;
    const struct str *ids = s->batch.values;
    struct sql_step steps[1 + DETAIL_COUNT];

    (void)f;
    entity_run_steps(steps + 1, ids, false);
    steps[DETAIL_DATASETS] = (struct sql_step){&RUN_ROWS, ids, 1};
    return req_sql(r, steps + DETAIL_DATASETS, 1 + DETAIL_COUNT - DETAIL_DATASETS,
                   long_inputs_come);
}

static err_t long_part_come(struct req *r, struct fail *f)
{
    static const char *const names[] = {
        [DETAIL_METRICS] = "metrics", [DETAIL_PARAMS] = "params", [DETAIL_TAGS] = "tags"};
    struct run_search *s = r->data;
    struct json *j = &s->batch.json;
    int n = PQntuples(r->rows);

    (void)f;
    if (n > 0 && !s->is_part_open) {
        json_key(j, names[s->part]);
        json_open_list(j);
        s->is_part_open = true;
    }
    while (s->row < n && !req_has_part(r))
        entity_run_detail(j, s->part, r->rows, s->row++);
    if (s->row < n)
        return req_send_part(r, long_part_come);
    s->row = 0;
    if (r->has_more_rows)
        return req_more_rows(r, long_part_come);
    if (s->is_part_open)
        json_close_list(j);
    s->part++;
    return req_send_part(r, long_part);
}

static err_t long_part(struct req *r, struct fail *f)
{
    struct run_search *s = r->data;

    s->is_part_open = false;
    s->row = 0;
    if (s->part <= DETAIL_TAGS)
        return req_rows(r, &(struct sql_step){entity_run_stream(s->part), s->batch.values, 1},
                        long_part_come);
    json_close(&s->batch.json);
    return long_inputs(r, f);
}

/* The batch is this run, and its row is here. */
static err_t long_run(struct req *r, struct fail *f)
{
    struct run_search *s = r->data;
    struct json *j = &s->batch.json;
    struct run_info info = entity_run_info_get(r->sql.results[0], 0);

    json_open(j);
    json_key(j, "info");
    entity_run_info(j, &info);
    json_key(j, "data");
    json_open(j);
    s->part = DETAIL_METRICS;
    return long_part(r, f);
}

static const struct search_list RUNS = {.name = "runs",
                                        .columns = 1,
                                        .first = 64,
                                        .fetch = runs_fetch,
                                        .group = runs_group,
                                        .write = run_write,
                                        .write_long = long_run};

/* -- the page of runs ------------------------------------------------------------------------- */

static err_t runs_read(struct req *r, struct fail *f)
{
    struct run_search *s = r->data;

    return run_search_ask(r, &s->batch.page, search_batch_begin, f);
}

static err_t run_experiments(struct arena *a, const struct str *texts, size_t n, int64_t **out,
                             struct fail *f)
{
    int64_t *ids = arena_array(a, n, sizeof(*ids));
    err_t e;

    for (size_t i = 0; i < n; i++) {
        int32_t id;

        if ((e = experiment_id_parse(texts[i], &id, f)))
            return e;
        ids[i] = id;
    }
    *out = ids;
    return OK;
}

/* Filter and order in MLflow's order of errors. */
static err_t run_conditions(struct arena *a, const struct msg_runs_search *m, struct search *s,
                            struct fail *f)
{
    struct clause *clauses;
    struct order *orders;
    err_t e;

    if ((e = filter_parse(a, FILTER_RUNS, m->filter.s, &clauses, &s->clauses_count, f)) ||
        (e = order_parse(a, FILTER_RUNS, m->order_by.items, m->order_by.n, &orders,
                         &s->orders_count, f)) ||
        (e = filter_check(a, FILTER_RUNS, clauses, s->clauses_count, f)))
        return e;
    s->clauses = clauses;
    s->orders = orders;
    return OK;
}

err_t run_search_page(struct arena *a, const struct msg_runs_search *m, struct search_page *p,
                      struct fail *f)
{
    int64_t *experiments = NULL;
    err_t e, token;

    p->max_results = m->max_results.is_set ? m->max_results.v : RUNS_DEFAULT;
    if ((e = check_max_results(p->max_results, f)) || (e = run_conditions(a, m, &p->search, f)))
        return e;
    token = search_page_token(a, p, m->page_token.s, f);
    if (token && token != ERR_BAD_REQUEST)
        return token;
    if ((e = run_experiments(a, m->experiment_ids.items, m->experiment_ids.n, &experiments, f)))
        return e;
    if (token) /* an offset that PostgreSQL refuses, and so only after the ids */
        return token;
    p->search.experiment_ids = experiments;
    p->search.ids_count = m->experiment_ids.n;
    p->search.view = page_view(&m->run_view_type);
    return search_runs_query(a, &p->search, &p->query, f);
}

/* Which of the indexes of schema/tune.def are there: of param and tag values, of metrics, of starts. */
#define INDEX_IS_THERE(name)                                     \
    "EXISTS (SELECT 1 FROM pg_catalog.pg_index WHERE indisvalid" \
    " AND indexrelid = pg_catalog.to_regclass('" name "'))"

static const struct stmt TUNED = {
    "search_tuned",
    "SELECT " INDEX_IS_THERE(TUNE_PARAM_INDEX) " AND " INDEX_IS_THERE(
        TUNE_TAG_INDEX) ", " INDEX_IS_THERE(TUNE_METRIC_INDEX) ", " INDEX_IS_THERE(TUNE_START_INDEX)};

/* The runs that come first have come; when they are a full page, they are the page. */
static err_t run_search_topped(struct req *r, struct fail *f)
{
    struct search_page *p = r->asked;
    err_t e;

    if (PQntuples(r->sql.results[0]) == p->search.limit)
        return p->next(r, f);
    if ((e = search_runs_query(&r->arena, &p->search, &p->query, f)))
        return e;
    return search_page_ask(r, p, p->next, f);
}

static err_t run_search_tuned(struct req *r, struct fail *f)
{
    struct search_page *p = r->asked;
    const PGresult *is = r->sql.results[0];
    bool has_top = search_runs_has_top(&p->search) &&
                   sql_get_bool(is, 0, p->search.orders[0].entity == ENTITY_METRIC ? 1 : 2);
    err_t e;

    p->search.is_tuned = sql_get_bool(is, 0, 0);
    if (has_top) {
        if ((e = search_runs_top(&r->arena, &p->search, &p->query, f)))
            return e;
        return search_page_ask(r, p, run_search_topped, f);
    }
    if ((e = search_runs_query(&r->arena, &p->search, &p->query, f)))
        return e;
    return search_page_ask(r, p, p->next, f);
}

err_t run_search_ask(struct req *r, struct search_page *p, req_step next, struct fail *f)
{
    if (p->search.clauses_count == 0 && !search_runs_has_top(&p->search))
        return search_page_ask(r, p, next, f);
    r->asked = p;
    p->next = next;
    return req_sql(r, &(struct sql_step){&TUNED, NULL, 0}, 1, run_search_tuned);
}

/* Experiments that the caller may not read are left out without a word. */
void run_search_restrict(const struct req *r, struct msg_runs_search *m)
{
    bool is_denied = may_denies(r, GRANT_RUN);
    size_t n = 0;

    if (!may_hides(r))
        return;
    for (size_t i = 0; i < m->experiment_ids.n; i++) {
        if (!is_denied && may_lists(r, GRANT_EXPERIMENT, m->experiment_ids.items[i]))
            m->experiment_ids.items[n++] = m->experiment_ids.items[i];
    }
    m->experiment_ids.n = n;
}

static err_t runs_prepare(struct req *r, struct fail *f)
{
    struct run_search *s = r->data;
    struct msg_runs_search m;
    err_t e = bind_request(&r->arena, &r->input, &MSG_runs_search, &m, f);

    if (!e)
        run_search_restrict(r, &m);
    return e ? e : run_search_page(&r->arena, &m, &s->batch.page, f);
}

static err_t runs_wait(struct req *r, struct fail *f)
{
    (void)f;
    return req_wait_all(r, runs_read);
}

err_t api_run_search(struct req *r, struct fail *f)
{
    struct run_search *s = r->data = arena_zalloc(&r->arena, sizeof(*s));

    (void)f;
    s->batch.list = &RUNS;
    return req_prepare(r, LIMIT_SEARCH_ASIDE, runs_prepare, runs_wait);
}

/* -- experiments ----------------------------------------------------------------------------- */

static const struct stmt EXPERIMENT_ROWS = {
    "search_experiment_rows",
    "SELECT " ENTITY_EXPERIMENT " FROM unnest($1::int4[]) WITH ORDINALITY AS s(id, n)"
    " JOIN experiments e ON e.experiment_id = s.id" SCOPE_FOUND " ORDER BY s.n"};

struct experiment_search {
    struct search_batch batch;
    struct entity_group tags;
};

static void experiment_write(struct search_batch *b, const PGresult *rows, int row)
{
    entity_experiment(&b->json, rows, row, &((struct experiment_search *)b)->tags);
}

static void experiments_group(struct search_batch *b, struct arena *a, PGresult *const *results)
{
    entity_group(a, results[0], PQntuples(results[0]), 0, results[1],
                 &((struct experiment_search *)b)->tags);
}

static err_t experiments_fetch(struct req *r, struct fail *f)
{
    const struct search_batch *b = r->data;
    struct sql_step steps[2];

    (void)f;
    steps[0] = (struct sql_step){&EXPERIMENT_ROWS, b->values, 1};
    entity_experiment_step(&steps[1], b->values, !b->is_whole);
    return req_sql(r, steps, 2, search_batch_fetched);
}

static const struct search_list EXPERIMENTS = {.name = "experiments",
                                               .columns = 1,
                                               .first = 64,
                                               .fetch = experiments_fetch,
                                               .group = experiments_group,
                                               .write = experiment_write};

static bool experiment_shows(const struct req *r, const PGresult *keys, int row)
{
    return may_lists(r, GRANT_EXPERIMENT, sql_get(keys, row, 0));
}

static const struct search_seen EXPERIMENTS_SEEN = {
    .before = "", .behind = "", .shows = experiment_shows, .is_filled = true};

/* Filter and order in MLflow's order of errors. */
static err_t experiment_conditions(struct arena *a, const struct msg_experiments_search *m,
                                   struct search *s, struct fail *f)
{
    struct clause *clauses;
    struct order *orders;
    err_t e;

    if ((e = filter_parse(a, FILTER_EXPERIMENTS, m->filter.s, &clauses, &s->clauses_count, f)) ||
        (e = filter_check(a, FILTER_EXPERIMENTS, clauses, s->clauses_count, f)) ||
        (e = order_parse(a, FILTER_EXPERIMENTS, m->order_by.items, m->order_by.n, &orders,
                         &s->orders_count, f)))
        return e;
    s->clauses = clauses;
    s->orders = orders;
    return OK;
}

static err_t experiments_prepare(struct req *r, struct fail *f)
{
    struct arena *a = &r->arena;
    struct experiment_search *s = r->data;
    struct search_page *p = &s->batch.page;
    struct msg_experiments_search m;
    err_t e;

    if ((e = bind_request(a, &r->input, &MSG_experiments_search, &m, f)))
        return e;
    p->max_results = m.max_results.v; /* absent is 0, which is refused */
    if ((e = check_max_results(p->max_results, f)) ||
        (e = experiment_conditions(a, &m, &p->search, f)) ||
        (e = search_page_token(a, p, m.page_token.s, f)))
        return e;
    search_seen_open(r, &EXPERIMENTS_SEEN, p);
    return search_experiments_query(a, &p->search, page_view(&m.view_type), &p->query, f);
}

static err_t experiments_read(struct req *r, struct fail *f)
{
    struct experiment_search *s = r->data;

    if (may_hides(r))
        return search_seen_ask(r, &s->batch, &EXPERIMENTS_SEEN, f);
    return search_page_ask(r, &s->batch.page, search_batch_begin, f);
}

err_t api_experiment_search(struct req *r, struct fail *f)
{
    struct experiment_search *s = r->data = arena_zalloc(&r->arena, sizeof(*s));

    (void)f;
    s->batch.list = &EXPERIMENTS;
    return req_prepare(r, LIMIT_SEARCH_ASIDE, experiments_prepare, experiments_read);
}
