/*
 * graphql_runs: the root fields that show runs, GetRun and SearchRuns.
 *
 *   SearchRuns  ids of the page (api_search.c) > extras > rows > answer, batch by batch
 *   GetRun                                       extras > rows > answer
 *
 * Extras are the run's experiment and the model versions made from it, which MLflow's resolvers ask
 * for run by run. Here they come for all runs with one call, and only when they are asked for. They
 * are kept as JSON, by id, until the rows are there. Then each run is put together as JSON, and what
 * the request asks for is written from it.
 *
 * Model versions are those that a search for run_id = '...' gives: no prompts, none that is deleted,
 * the last changed first, without aliases.
 */
#include "gateway/graphql/graphql_call.h"

#include <stdlib.h>

#include "gateway/api/entity.h"
#include "gateway/api/entity_registry.h"
#include "gateway/api/run_search.h"
#include "gateway/auth/may.h"
#include "gateway/http/reply.h"
#include "gateway/search/search_batch.h"
#include "gateway/worker.h"
#include "ingest/admit.h"
#include "ingest/names.h"
#include "schema/errors.h"

struct graphql_extra {
    struct str id;
    size_t place; /* among those of one id */
    struct str json;
};

enum { EXTRA_EXPERIMENTS, EXTRA_TAGS, EXTRA_VERSIONS, EXTRA_VERSION_TAGS, EXTRA_COUNT };
enum { VERSION_NAME = 0, VERSION_RUN = 8 }; /* columns of ENTITY_VERSION */

static const struct stmt ROWS = {
    "graphql_runs", "SELECT " ENTITY_RUN " FROM unnest($1::text[]) WITH ORDINALITY AS s(id, n)"
                    " JOIN runs r ON r.run_uuid = s.id" SCOPE_OF("r") " ORDER BY s.n"};
static const struct stmt EXPERIMENTS = {
    "graphql_run_experiments",
    "SELECT " ENTITY_EXPERIMENT " FROM experiments e WHERE e.experiment_id IN"
    " (SELECT r.experiment_id FROM runs r WHERE r.run_uuid = ANY($1::text[]))" SCOPE_EXPERIMENT(
        "e")};
static const struct stmt EXPERIMENT_TAGS = {
    "graphql_run_experiment_tags",
    "SELECT experiment_id, key, value FROM experiment_tags" SCOPE_FOUND " WHERE experiment_id IN"
    " (SELECT r.experiment_id FROM runs r WHERE r.run_uuid = ANY($1::text[]))"};
static const struct stmt VERSIONS = {
    "graphql_run_versions", "SELECT " ENTITY_VERSION " FROM model_versions v"
                            " WHERE " ENTITY_VERSION_LIVES " AND v.run_id = ANY($1::text[])"
                            " AND NOT EXISTS (SELECT 1 FROM model_version_tags t"
                            " WHERE t.workspace = v.workspace AND t.name = v.name"
                            " AND t.key = 'mlflow.prompt.is_prompt' AND t.value = 'true')"
                            " ORDER BY v.last_updated_time DESC, v.name, v.version DESC"};
static const struct stmt VERSION_TAGS_OF = {
    "graphql_run_version_tags",
    "SELECT t.version || ' ' || t.name, t.key, t.value FROM model_version_tags t"
    " JOIN model_versions v ON v.workspace = t.workspace AND v.name = t.name"
    " AND v.version = t.version WHERE v.workspace = " SCOPE_NAME " AND v.run_id = ANY($1::text[])"};

/* -- extras ---------------------------------------------------------------------------------- */

static int extra_order(const void *a, const void *b)
{
    const struct graphql_extra *x = a, *y = b;
    int order = str_cmp(x->id, y->id);

    return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* The first of an id, NULL when there is none. */
static const struct graphql_extra *extra_find(const struct graphql_extra *extras, size_t n,
                                              struct str id)
{
    struct graphql_extra key = {.id = id};

    return n ? bsearch(&key, extras, n, sizeof(*extras), extra_order) : NULL;
}

static void extra_keep(struct arena *a, struct graphql_extra *out, struct str id, size_t place,
                       const struct buf *json)
{
    *out = (struct graphql_extra){arena_dup(a, id), place, arena_dup(a, buf_str(json))};
}

static void keep_experiments(struct req *r, struct graphql_extras *x, struct buf *text)
{
    const PGresult *rows = r->sql.results[EXTRA_EXPERIMENTS];
    int n = PQntuples(rows);
    struct entity_group tags;
    struct json j;

    entity_group(&r->arena, rows, n, 0, r->sql.results[EXTRA_TAGS], &tags);
    x->experiments = arena_array(&r->arena, (size_t)n, sizeof(*x->experiments));
    for (int i = 0; i < n; i++) {
        buf_reset(text);
        json_init(&j, text, JSON_COMPACT);
        entity_experiment(&j, rows, i, &tags);
        extra_keep(&r->arena, &x->experiments[x->nexperiments++], sql_get(rows, i, 0), 0, text);
    }
    if (n)
        qsort(x->experiments, x->nexperiments, sizeof(*x->experiments), extra_order);
}

/* Numbers the versions of each run from 0, in the order of the rows. */
static void number_versions(struct graphql_extra *versions, size_t n)
{
    size_t place = 0;

    for (size_t i = 0; i < n; i++) {
        place = i > 0 && str_eq(versions[i].id, versions[i - 1].id) ? place + 1 : 0;
        versions[i].place = place;
    }
}

/* As in model-versions/search. */
static bool version_shows(const struct req *r, const struct entity_versions *versions, int row)
{
    bool is_prompt = entity_version_is_prompt(versions, row);

    return !may_denies(r, is_prompt ? GRANT_PROMPT_VERSION : GRANT_REGISTERED_MODEL_VERSION) &&
           may_lists(r, is_prompt ? GRANT_PROMPT : GRANT_REGISTERED_MODEL,
                     sql_get(versions->rows, row, VERSION_NAME));
}

static void keep_versions(struct req *r, struct graphql_extras *x, struct buf *text)
{
    const PGresult *rows = r->sql.results[EXTRA_VERSIONS];
    int n = PQntuples(rows);
    struct entity_versions versions;
    struct json j;

    entity_versions(&r->arena, r->sql.results + EXTRA_VERSIONS, false, &versions);
    x->versions = arena_array(&r->arena, (size_t)n, sizeof(*x->versions));
    for (int i = 0; i < n; i++) {
        if (!version_shows(r, &versions, i))
            continue;
        buf_reset(text);
        json_init(&j, text, JSON_COMPACT);
        j.hides = may_hidden(r);
        entity_version(&j, &versions, i);
        extra_keep(&r->arena, &x->versions[x->nversions++], sql_get(rows, i, VERSION_RUN),
                   (size_t)i, text);
    }
    if (n)
        qsort(x->versions, x->nversions, sizeof(*x->versions), extra_order);
    number_versions(x->versions, x->nversions);
}

/* -- answer ---------------------------------------------------------------------------------- */

static void run_write(struct graphql_write *w, const struct graphql_call *c,
                      const struct graphql_plan *plan, const PGresult *rows, int row,
                      const struct entity_details *details)
{
    const struct graphql_extras *x = &c->extras;
    struct str id = sql_get(rows, row, 0);
    const struct graphql_extra *experiment =
        extra_find(x->experiments, x->nexperiments, sql_get(rows, row, 1));
    const struct graphql_extra *version = extra_find(x->versions, x->nversions, id);
    struct json j;

    graphql_write_begin(w, &j);
    j.hides = c->json.hides;
    json_open(&j);
    entity_run_members(&j, rows, row, details);
    if (experiment) {
        json_key(&j, "experiment");
        json_raw(&j, experiment->json);
    }
    json_key(&j, "model_versions");
    json_open_list(&j);
    for (; version && version < x->versions + x->nversions && str_eq(version->id, id); version++)
        json_raw(&j, version->json);
    json_close_list(&j);
    json_close(&j);
    graphql_write_entity(w, plan);
}

/* What a response holds besides runs. */
static void response_item(struct req *r, const struct graphql_call *c, struct json *j,
                          const struct graphql_plan *item)
{
    const struct search_page *p = c->page;

    if (item->field == NULL)
        graphql_write_typename(j, item);
    else if (item->field->shape == SHAPE_ABSENT)
        json_null(j);
    else /* nextPageToken */
        json_str(j, p->has_more ? bind_make_page_token(&r->arena, p->search.offset + p->max_results)
                                : STR(""));
}

static bool has_runs(const struct graphql_plan *item)
{
    return item->field && item->field->shape != SHAPE_ABSENT && item->type != TYPE_String;
}

/* Does the request ask for what does not stand in a run's rows? */
static bool has_extras(const struct graphql_plan *root)
{
    for (size_t i = 0; i < root->nitems; i++)
        if (graphql_plan_find(&root->items[i], STR("experiment")) ||
            graphql_plan_find(&root->items[i], STR("modelVersions")))
            return true;
    return false;
}

/* Asks for the extras of the runs in c->ids, when the request shows any; then next, which follows in
 * any case. */
static err_t extras_ask(struct req *r, struct graphql_call *c, req_step next, struct fail *f)
{
    static const struct stmt *const stmts[EXTRA_COUNT] = {
        [EXTRA_EXPERIMENTS] = &EXPERIMENTS,
        [EXTRA_TAGS] = &EXPERIMENT_TAGS,
        [EXTRA_VERSIONS] = &VERSIONS,
        [EXTRA_VERSION_TAGS] = &VERSION_TAGS_OF,
    };
    struct sql_step steps[EXTRA_COUNT];

    c->extras = (struct graphql_extras){NULL, 0, NULL, 0};
    if (!has_extras(c->root))
        return next(r, f);
    for (int i = 0; i < EXTRA_COUNT; i++)
        steps[i] = (struct sql_step){stmts[i], &c->ids, 1};
    return req_sql(r, steps, EXTRA_COUNT, next);
}

/* What extras_ask brought, if it did. */
static void extras_keep(struct req *r, struct graphql_call *c)
{
    struct buf text;

    if (!has_extras(c->root))
        return;
    buf_init(&text);
    keep_experiments(r, &c->extras, &text);
    keep_versions(r, &c->extras, &text);
    buf_fini(&text);
}

/* Run and details, one run's or a batch's. */
static err_t rows_ask(struct req *r, const struct graphql_call *c, bool are_some, req_step next)
{
    struct sql_step steps[1 + DETAIL_COUNT];

    steps[0] = (struct sql_step){&ROWS, &c->ids, 1};
    entity_run_steps(steps + 1, &c->ids, are_some);
    return req_sql(r, steps, 1 + DETAIL_COUNT, next);
}

/* -- get --------------------------------------------------------------------------------------- */

static err_t get_write(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    const PGresult *rows = r->sql.results[0];
    struct entity_details details;
    struct graphql_write w;

    if (PQntuples(rows) == 0)
        return admit_no_run(c->run_id, f);
    entity_details(&r->arena, rows, 1, r->sql.results + 1, &details);
    details.has_model_inputs = true;
    graphql_write_init(&w, &c->json, &c->errors);
    json_open(&c->json);
    for (size_t i = 0; i < c->root->nitems; i++) {
        const struct graphql_plan *item = &c->root->items[i];

        json_key_str(&c->json, item->key);
        if (has_runs(item))
            run_write(&w, c, item, rows, 0, &details);
        else
            response_item(r, c, &c->json, item);
    }
    json_close(&c->json);
    graphql_write_fini(&w);
    return OK;
}

static err_t get_done(struct req *r, struct fail *f)
{
    return graphql_end(r, get_write(r, f), f);
}

static err_t get_rows(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;

    (void)f;
    extras_keep(r, c);
    return rows_ask(r, c, false, get_done);
}

static err_t get_read(struct req *r, struct fail *f)
{
    return graphql_end(r, extras_ask(r, r->data, get_rows, f), f);
}

err_t graphql_get_run(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    err_t e;

    c->page = NULL;
    if ((e = graphql_run_id(c, f)))
        return e;
    c->ids = sql_text_array(&r->arena, &c->run_id, 1);
    return req_wait_run(r, c->run_id, get_read);
}

/* -- search ---------------------------------------------------------------------------------- */

/* Stands as r->data in place of the call while runs are written. */
struct runs_call {
    struct search_batch batch;
    struct graphql_call *call;
    const struct graphql_plan *item; /* the list that is being written */
    struct entity_details details;
};

static void runs_group(struct search_batch *b, struct arena *a, PGresult *const *results)
{
    entity_details(a, results[0], PQntuples(results[0]), results + 1,
                   &((struct runs_call *)b)->details);
}

static void runs_write(struct search_batch *b, const PGresult *rows, int row)
{
    struct runs_call *s = (struct runs_call *)b;
    struct graphql_call *c = s->call;
    struct graphql_write w;
    size_t errors = c->errors.n;

    graphql_write_init(&w, &c->json, &c->errors);
    run_write(&w, c, s->item, rows, row, &s->details);
    graphql_write_fini(&w);
    if (c->errors.n > errors)
        search_batch_keep(b, c->errors.arena); /* they are written at the very end */
}

static err_t runs_rows(struct req *r, struct fail *f)
{
    struct runs_call *s = r->data;

    (void)f;
    extras_keep(r, s->call);
    return rows_ask(r, s->call, !s->batch.is_whole, search_batch_fetched);
}

static err_t runs_fetch(struct req *r, struct fail *f)
{
    struct runs_call *s = r->data;

    s->call->ids = s->batch.values[0];
    return extras_ask(r, s->call, runs_rows, f);
}

/* The response from one of its items on. A list that is asked for under two names is fetched twice. */
static err_t runs_items(struct req *r, struct fail *f)
{
    struct runs_call *s = r->data;
    struct graphql_call *c = s->call;

    while (c->item < c->root->nitems) {
        const struct graphql_plan *item = &c->root->items[c->item++];

        json_key_str(&c->json, item->key);
        if (!has_runs(item)) {
            response_item(r, c, &c->json, item);
            continue;
        }
        json_open_list(&c->json);
        s->item = item;
        return search_batch_start(r, f);
    }
    json_close(&c->json);
    r->data = c;
    return graphql_end(r, OK, f);
}

static err_t runs_end(struct req *r, struct fail *f)
{
    const struct runs_call *s = r->data;

    json_close_list(&s->call->json);
    return runs_items(r, f);
}

static const struct search_list RUNS = {.columns = 1,
                                        .first = 16,
                                        .fetch = runs_fetch,
                                        .group = runs_group,
                                        .write = runs_write,
                                        .end = runs_end};

static err_t search_found(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    struct runs_call *s = (struct runs_call *)c->page; /* it begins with its page */

    search_batch_take(r, &s->batch);
    r->data = s;
    c->item = 0;
    json_open(&c->json);
    return runs_items(r, f);
}

static err_t search_read(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;

    return graphql_end(r, run_search_ask(r, c->page, search_found, f), f);
}

static void take_list(const struct graphql_call *c, struct str name, struct list_str *out)
{
    const struct graphql_input *in = graphql_argument_field(&c->argument, name);

    *out = (struct list_str){in->items, in->n, in->is_set};
}

/* The argument as the message that runs/search takes. */
static void search_message(const struct graphql_call *c, struct msg_runs_search *m)
{
    const struct graphql_input *most = graphql_argument_field(&c->argument, STR("maxResults"));
    const struct graphql_input *view = graphql_argument_field(&c->argument, STR("runViewType"));

    *m = (struct msg_runs_search){.max_results = {most->number, most->is_set && !most->is_null}};
    take_list(c, STR("experimentIds"), &m->experiment_ids);
    take_list(c, STR("orderBy"), &m->order_by);
    m->filter.s = graphql_argument_field(&c->argument, STR("filter"))->text;
    m->page_token.s = graphql_argument_field(&c->argument, STR("pageToken"))->text;
    if (view->text.n) {
        m->run_view_type.is_set = true;
        m->run_view_type.v = str_eq(view->text, STR("ALL"))            ? VIEW_ALL
                             : str_eq(view->text, STR("DELETED_ONLY")) ? VIEW_DELETED_ONLY
                                                                       : VIEW_ACTIVE_ONLY;
    }
}

err_t graphql_search_runs(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    struct runs_call *s = arena_zalloc(&r->arena, sizeof(*s));
    struct msg_runs_search m;
    err_t e;

    s->batch.list = &RUNS;
    s->call = c;
    c->page = &s->batch.page;
    search_message(c, &m);
    run_search_restrict(r, &m);
    if ((e = run_search_page(&r->arena, &m, c->page, f)) || (e = names_check_nul(m.filter.s, f)))
        return e;
    return req_wait_all(r, search_read);
}
