/*
 * graphql_may: may the caller see what a root field asks for?
 *
 * MLflow asks before each root field, and a field that may not be seen is null without an error. A field
 * without an argument asks for nothing in particular, and is not judged. Runs are those of
 * experiments that the caller may read, and lists of experiments shrink to those.
 */
#include "gateway/graphql/graphql_call.h"

#include "gateway/auth/may.h"

static const struct stmt RUNS = {
    "graphql_may_runs",
    "SELECT run_uuid, experiment_id::text FROM runs WHERE run_uuid = ANY($1::text[])" SCOPE_OF(
        "runs")};

static err_t hidden(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;

    json_null(&c->json);
    return graphql_end(r, OK, f);
}

static err_t runs_judged(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    const PGresult *res = r->sql.results[0];

    for (size_t i = 0; i < c->run_ids.n; i++) {
        int row = 0, n = PQntuples(res);

        while (row < n && !str_eq(sql_get(res, row, 0), c->run_ids.items[i]))
            row++;
        if (row == n || !may_reads_run(r, sql_get(res, row, 1)))
            return hidden(r, f);
    }
    return graphql_end(r, graphql_answer_root(r, f), f);
}

/* All runs that are named, each of them. */
static err_t judge_runs(struct req *r, const struct str *ids, size_t n)
{
    struct graphql_call *c = r->data;
    struct str *kept = arena_array(&r->arena, n, sizeof(*kept));
    struct str *value = arena_alloc(&r->arena, sizeof(*value));

    for (size_t i = 0; i < n; i++)
        kept[i] = ids[i].p && str_find(ids[i], '\0') == ids[i].n ? ids[i] : STR("");
    c->run_ids = (struct list_str){kept, n, true};
    *value = sql_text_array(&r->arena, kept, n);
    return req_sql(r, &(struct sql_step){&RUNS, value, 1}, 1, runs_judged);
}

static err_t judge_run(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    struct str id = graphql_argument_field(&c->argument, STR("runId"))->text;

    if (id.n == 0)
        id = graphql_argument_field(&c->argument, STR("runUuid"))->text;
    return id.n ? judge_runs(r, &id, 1) : graphql_answer_root(r, f);
}

/* Experiments were named, and the caller may read none of them. The others are left out later. */
static bool is_all_hidden(const struct req *r, const struct graphql_input *list)
{
    bool is_denied = may_denies(r, GRANT_RUN);

    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].p && !is_denied && may_lists(r, GRANT_EXPERIMENT, list->items[i]))
            return false;
    }
    return list->n > 0;
}

err_t graphql_judge(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    const struct graphql_argument *argument = &c->argument;
    const struct graphql_input *ids;
    struct str id;

    if (!may_hides(r) || !argument->is_set || argument->is_null)
        return graphql_answer_root(r, f);
    switch (c->root->field->root) {
    case ROOT_GET_EXPERIMENT:
        id = graphql_argument_field(argument, STR("experimentId"))->text;
        return may_reads(r, GRANT_EXPERIMENT, id.n ? id : STR("0")) ? graphql_answer_root(r, f)
                                                                    : hidden(r, f);
    case ROOT_GET_RUN:
    case ROOT_LIST_ARTIFACTS: return judge_run(r, f);
    case ROOT_HISTORY:
        ids = graphql_argument_field(argument, STR("runIds"));
        return ids->n ? judge_runs(r, ids->items, ids->n) : graphql_answer_root(r, f);
    case ROOT_SEARCH_RUNS:
        return is_all_hidden(r, graphql_argument_field(argument, STR("experimentIds")))
                   ? hidden(r, f)
                   : graphql_answer_root(r, f);
    default: return graphql_answer_root(r, f);
    }
}
