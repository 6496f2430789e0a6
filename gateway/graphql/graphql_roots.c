/*
 * graphql_roots: who answers which root field, and the fields that need no runs.
 *
 * MLflow's resolvers turn the argument into a protobuf message and call the REST handler behind its
 * validators. So a missing or null argument is Python's TypeError, a null in a list protobuf's; and
 * what only a validator asks for (required fields, types) is not asked here.
 *
 * The sampled history takes its limit and steps from the query of the URL and not from its argument:
 * MLflow's handler does, and its pages, which send them in the argument, get up to 2500 points
 * whatever they asked for.
 */
#include "gateway/graphql/graphql_call.h"

#include "gateway/api/entity.h"
#include "gateway/api/experiment_id.h"
#include "gateway/artifact/artifact_answer.h"
#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/artifact_place.h"
#include "gateway/artifact/artifact_root.h"
#include "gateway/auth/scope_runs.h"
#include "gateway/req_part.h"
#include "gateway/worker.h"
#include "ingest/admit.h"
#include "ingest/names.h"
#include "ingest/python.h"
#include "schema/errors.h"

enum { HISTORY_RUNS_MAX = 100, HISTORY_POINTS_MAX = 2500 };

/* -- arguments ------------------------------------------------------------------------------- */

/* The name of the protobuf message behind a root field: "GetRun" of mlflowGetRun. */
static struct str message_of(const struct graphql_call *c)
{
    return str_skip(c->root->field->name, sizeof("mlflow") - 1);
}

static err_t refuse_item(struct graphql_call *c, struct str key, const char *place, struct str why,
                         struct fail *f)
{
    return SAY(c->errors.arena, f, ERR_BAD_PARAM, STR("Failed to parse "), key, STR(" field: "),
               why, STR(" at "), message_of(c), STR("."), key, str_of(place), STR("."));
}

/* What protobuf refuses: null in a list, a lone surrogate. */
static err_t check_input(struct graphql_call *c, const struct graphql_field *field,
                         const struct graphql_input *in, struct fail *f)
{
    char place[32];

    if (python_has_surrogate(in->text))
        return refuse_item(c, field->key, "", STR("Unpaired surrogate"), f);
    for (size_t i = 0; i < in->n; i++) {
        snprintf(place, sizeof(place), "[%zu]", i);
        if (in->items[i].p == NULL)
            return refuse_item(
                c, field->key, place,
                STR("null is not allowed to be used as an element in a repeated field"), f);
        if (python_has_surrogate(in->items[i]))
            return refuse_item(c, field->key, place, STR("Unpaired surrogate"), f);
    }
    return OK;
}

static err_t check_argument(struct graphql_call *c, struct fail *f)
{
    const struct graphql_field *root = c->root->field;
    const struct graphql_argument *argument = &c->argument;
    err_t e;

    if (!argument->is_set)
        return fail(f, ERR_BAD_PARAM, "%s() missing 1 required positional argument: '%s'",
                    root->function, root->parameter);
    if (argument->type->kind != KIND_INPUT)
        return OK;
    if (argument->is_null)
        return fail(f, ERR_BAD_PARAM, "vars() argument must have __dict__ attribute");
    for (size_t i = 0; i < argument->type->nfields; i++)
        if ((e = check_input(c, &argument->type->fields[i], &argument->fields[i], f)))
            return e;
    return OK;
}

err_t graphql_text(const struct graphql_call *c, struct str name, struct str *out, struct fail *f)
{
    *out = graphql_argument_field(&c->argument, name)->text;
    return names_check_nul(*out, f);
}

err_t graphql_run_id(struct graphql_call *c, struct fail *f)
{
    struct str uuid;
    err_t e;

    if ((e = graphql_text(c, STR("runId"), &c->run_id, f)) ||
        (e = graphql_text(c, STR("runUuid"), &uuid, f)))
        return e;
    if (c->run_id.n == 0)
        c->run_id = uuid;
    return OK;
}

/* -- test ------------------------------------------------------------------------------------ */

/* Not by way of JSON: the text may hold half a pair of surrogates, and then goes back as it came. */
static err_t answer_test(struct req *r)
{
    struct graphql_call *c = r->data;

    json_open(&c->json);
    for (size_t i = 0; i < c->root->nitems; i++) {
        const struct graphql_plan *item = &c->root->items[i];

        json_key_str(&c->json, item->key);
        if (item->field == NULL)
            graphql_write_typename(&c->json, item);
        else if (c->argument.is_null)
            json_null(&c->json);
        else
            json_str(&c->json, c->argument.fields[0].text);
    }
    json_close(&c->json);
    return OK;
}

/* -- experiment ------------------------------------------------------------------------------ */

static const struct stmt EXPERIMENT = {
    "graphql_experiment",
    "SELECT " ENTITY_EXPERIMENT
    " FROM experiments e WHERE e.experiment_id = ANY($1::int4[])" SCOPE_EXPERIMENT("e")};

static err_t experiment_write(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    const PGresult *rows = r->sql.results[0];
    struct entity_group tags;
    struct graphql_write w;
    struct json j;

    if (PQntuples(rows) == 0)
        return experiment_id_unknown(c->experiment, f);
    entity_group(&r->arena, rows, 1, 0, r->sql.results[1], &tags);
    graphql_write_init(&w, &c->json, &c->errors);
    graphql_write_begin(&w, &j);
    json_open(&j);
    json_key(&j, "experiment");
    entity_experiment(&j, rows, 0, &tags);
    json_close(&j);
    graphql_write_entity(&w, c->root);
    graphql_write_fini(&w);
    return OK;
}

static err_t experiment_done(struct req *r, struct fail *f)
{
    return graphql_end(r, experiment_write(r, f), f);
}

static err_t answer_experiment(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    struct sql_step steps[2];
    struct str text = graphql_argument_field(&c->argument, STR("experimentId"))->text;
    err_t e;

    c->experiment = 0; /* the default experiment, when none is named */
    if (text.n && (e = experiment_id_parse(text, &c->experiment, f)))
        return e;
    c->ids = sql_i64_array(&r->arena, &(int64_t){c->experiment}, 1);
    steps[0] = (struct sql_step){&EXPERIMENT, &c->ids, 1};
    entity_experiment_step(&steps[1], &c->ids, false);
    return req_sql(r, steps, 2, experiment_done);
}

/* -- artifacts ------------------------------------------------------------------------------- */

static void artifacts_write(struct req *r)
{
    struct graphql_call *c = r->data;
    struct graphql_write w;
    struct json j;

    graphql_write_init(&w, &c->json, &c->errors);
    graphql_write_begin(&w, &j);
    json_open(&j);
    json_pair_str(&j, "root_uri", c->uri);
    artifact_answer_files(r, &j, c->path);
    json_close(&j);
    graphql_write_entity(&w, c->root);
    graphql_write_fini(&w);
}

/* One root field is over; another may ask for artifacts too. */
static err_t artifacts_end(struct req *r, err_t e, struct fail *f)
{
    if (r->artifact)
        artifact_end(r);
    return graphql_end(r, e, f);
}

static err_t artifacts_failed(struct req *r, err_t e, struct fail *f)
{
    r->caught = NULL;
    return artifacts_end(r, e, f);
}

static err_t artifacts_listed(struct req *r, struct fail *f)
{
    r->caught = NULL;
    artifacts_write(r);
    return artifacts_end(r, OK, f);
}

static err_t artifacts_found(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    struct artifact_place at;
    err_t e;

    if ((e = artifact_place_of(r, c->uri, c->path, !c->has_path, &at, f)))
        return e;
    if (at.ops ==
        &artifact_store_upstream) /* which takes whole requests, and this is a part of one */
        return fail_str(f, ERR_NOT_IMPLEMENTED,
                        STR("Artifacts at this place are listed by /artifacts/list only."));
    if ((e = artifact_begin(r, &at, f)))
        return e;
    return at.ops->list(r, artifacts_listed);
}

static err_t answer_artifacts(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    const struct graphql_input *path;
    err_t e;

    if ((e = graphql_run_id(c, f)))
        return e;
    path = graphql_argument_field(&c->argument, STR("path"));
    c->has_path = path->is_set && !path->is_null;
    if ((e = artifact_path_check(&r->arena, c->has_path ? path->text : STR(""), &c->path, f)))
        return e;
    r->caught = artifacts_failed;
    e = artifact_root_of_run(r, c->run_id, &c->uri, artifacts_found);
    if (e)
        r->caught = NULL;
    return e;
}

/* -- sampled history -------------------------------------------------------------------------- */

static err_t history_go(struct req *r, struct fail *f);

static void history_write(struct req *r, const struct graphql_plan *plan)
{
    struct graphql_call *c = r->data;
    const PGresult *res = r->sql.results[0];
    struct graphql_write w;
    struct json j;

    graphql_write_init(&w, &c->json, &c->errors);
    for (int i = 0; i < PQntuples(res); i++) {
        graphql_write_begin(&w, &j);
        json_open(&j);
        json_pair_str(&j, "key", c->values[1]);
        json_pair_str(&j, "run_id", c->run_ids.items[c->run]);
        json_key(&j, "value");
        if (sql_get_bool(res, i, 3))
            json_str(&j, STR("NaN"));
        else
            entity_double(&j, sql_get(res, i, 0));
        json_key(&j, "timestamp"); /* integers are text already */
        json_raw(&j, sql_get(res, i, 1));
        json_key(&j, "step");
        json_raw(&j, sql_get(res, i, 2));
        json_close(&j);
        graphql_write_entity(&w, plan);
    }
    graphql_write_fini(&w);
}

static err_t history_on(struct req *r, struct fail *f)
{
    return graphql_end(r, history_go(r, f), f);
}

/* What is written goes out between two runs. */
static err_t history_next(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;

    (void)f;
    history_write(r, &c->root->items[c->item]);
    c->run++;
    return req_send_part(r, history_on);
}

/* One key of the answer after the other; each list of metrics run by run. */
static err_t history_go(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    struct sql_step step;

    (void)f;
    for (; c->item < c->root->nitems; c->item++) {
        const struct graphql_plan *item = &c->root->items[c->item];
        bool is_list = item->field && item->field->shape == SHAPE_LIST;

        if (c->run == 0)
            json_key_str(&c->json, item->key);
        if (is_list && c->run == 0)
            json_open_list(&c->json);
        if (is_list && c->run < c->run_ids.n) {
            c->values[0] = sql_text_array(&r->arena, c->run_ids.items + c->run, 1);
            step = history_step(&c->range, c->values);
            return req_sql(r, &step, 1, history_next);
        }
        if (is_list)
            json_close_list(&c->json);
        else if (item->field)
            json_null(&c->json); /* apiError */
        else
            graphql_write_typename(&c->json, item);
        c->run = 0;
    }
    json_close(&c->json);
    return OK;
}

static err_t history_begin(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    err_t e = scope_judge_runs(r, f);

    if (e)
        return graphql_end(r, e, f);
    json_open(&c->json);
    c->item = c->run = 0;
    return graphql_end(r, history_go(r, f), f);
}

static err_t history_ask_runs(struct req *r, struct fail *f)
{
    const struct graphql_call *c = r->data;

    (void)f;
    return scope_ask_runs(r, c->run_ids.items, c->run_ids.n, history_begin);
}

static err_t answer_history(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    const struct graphql_input *ids = graphql_argument_field(&c->argument, STR("runIds"));
    struct str key;
    err_t e;

    if ((e = history_range(r, &c->range, f)) || (e = graphql_text(c, STR("metricKey"), &key, f)))
        return e;
    if (ids->n > HISTORY_RUNS_MAX)
        return fail(f, ERR_BAD_PARAM,
                    "GetMetricHistoryBulkInterval request cannot specify more than %d run_ids."
                    " Received %zu run_ids.",
                    HISTORY_RUNS_MAX, ids->n);
    for (size_t i = 0; i < ids->n; i++)
        if ((e = names_check_nul(ids->items[i], f)))
            return e;
    if (c->range.max_results < 1)
        c->range.max_results = 1; /* MLflow then shows the last point */
    if (c->range.max_results > HISTORY_POINTS_MAX)
        c->range.max_results = HISTORY_POINTS_MAX;
    c->run_ids = (struct list_str){ids->items, ids->n, true};
    c->values[1] = sql_text(&r->arena, key);
    c->values[2] = sql_i64(&r->arena, c->range.max_results);
    c->values[3] = sql_i64(&r->arena, c->range.first);
    c->values[4] = sql_i64(&r->arena, c->range.last);
    return ids->n == 1 ? req_wait_run(r, ids->items[0], history_ask_runs)
                       : req_wait_all(r, history_ask_runs);
}

/* -- all ------------------------------------------------------------------------------------- */

err_t graphql_answer_root(struct req *r, struct fail *f)
{
    struct graphql_call *c = r->data;
    const struct graphql_field *root = c->root->field;
    err_t e;

    if (root->root == ROOT_NOTHING) {
        json_null(&c->json);
        return OK;
    }
    if ((e = check_argument(c, f)))
        return e;
    switch (root->root) {
    case ROOT_TEST: return answer_test(r);
    case ROOT_GET_RUN: return graphql_get_run(r, f);
    case ROOT_SEARCH_RUNS: return graphql_search_runs(r, f);
    case ROOT_GET_EXPERIMENT: return answer_experiment(r, f);
    case ROOT_HISTORY: return answer_history(r, f);
    case ROOT_LIST_ARTIFACTS: return answer_artifacts(r, f);
    default:
        return fail(f, ERR_NOT_IMPLEMENTED, "%.*s is not built in this server.",
                    STR_ARG(root->name));
    }
}

err_t graphql_answer(struct req *r, struct fail *f)
{
    return graphql_end(r, graphql_judge(r, f), f);
}
