/*
 * may_track: who may call what about experiments, runs, their inputs and logged models.
 *
 * What is no experiment belongs to one, and the experiment's reader is who may ask for it at all. A run or
 * model that does not exist is refused as one that is somebody else's, so that nobody learns ids by
 * guessing; only the histories of many runs say 404, because MLflow does.
 */
#define _GNU_SOURCE /* memmem */
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"

#include <string.h>

#include "gateway/search/filter.h"
#include "gateway/search/model_filter.h"
#include "ingest/document.h"
#include "schema/errors.h"
#include "yyjson.h"

/* -- experiments ----------------------------------------------------------------------------------- */

err_t may_settle_experiment_create(struct may *m, struct fail *f)
{
    (void)f;
    may_need(m, GRANT_EXPERIMENT, STR(""), DO_NOT_DENIED);
    may_need_place(m);
    return OK;
}

err_t may_ask_experiment_name(struct may *m, struct fail *f)
{
    struct str name;
    err_t e = may_param(m, "experiment_name", &name, f);

    if (e)
        return e;
    (void)may_find(m, FIND_EXPERIMENT_NAME, name);
    return OK;
}

err_t may_settle_experiment_name(struct may *m, struct fail *f)
{
    if (!m->finds->is_found)
        return fail(f, ERR_NOT_FOUND, "Could not find experiment with name %.*s",
                    STR_ARG(m->finds->id));
    return may_settle_found(m, f);
}

/* The ids that stand in the body as such. */
static size_t experiments_in_body(struct may *m)
{
    yyjson_val *list = m->body ? document_get(m->body, STR("experiment_ids")) : NULL;
    yyjson_val *item;
    size_t i, max;

    if (!yyjson_is_arr(list))
        return 0;
    yyjson_arr_foreach(list, i, max, item) {
        may_about(m, may_text(m, item));
    }
    return yyjson_arr_size(list);
}

err_t may_ask_inputs_search(struct may *m, struct fail *f)
{
    if (experiments_in_body(m) == 0)
        return fail(f, ERR_BAD_PARAM,
                    "SearchDatasets request must specify at least one experiment_id.");
    return OK;
}

/* A GET with a query is carried out by the query, whatever lies in a body beside it. */
err_t may_ask_experiments(struct may *m, struct fail *f)
{
    bool in_body = m->has_json && !may_from_query(m);
    struct str *ids;
    size_t n = in_body ? 0 : may_query_all(m, "experiment_ids", &ids);

    (void)f;
    if (in_body)
        (void)experiments_in_body(m);
    may_about_all(m, ids, n);
    return OK;
}

err_t may_ask_dataset_add(struct may *m, struct fail *f)
{
    err_t e = may_ask_experiments(m, f);

    if (m->nexperiments == 0)
        may_refuse(m);
    return e ? e : may_ask_dataset(m, f);
}

err_t may_ask_promptlab(struct may *m, struct fail *f)
{
    struct str id = may_text(m, m->body ? document_get(m->body, STR("experiment_id")) : NULL);

    if (id.n == 0)
        return fail(f, ERR_BAD_PARAM, "CreatePromptlabRun request must specify experiment_id.");
    may_about(m, id);
    return OK;
}

/* -- runs ------------------------------------------------------------------------------------------- */

/* model_id of each item of a list. A long batch has none as a rule: then nothing is walked. The bytes tell
 * so in plain JSON only: in msgpack or UTF-16 they may be others. */
static void models_in_list(struct may *m, const char *name)
{
    const struct document_ahead *ahead = m->r->input.ahead;
    struct str body = m->r->input.body;
    yyjson_val *list, *item;
    size_t i, max;

    if (ahead && ahead->is_plain && !memmem(body.p, body.n, "odel", 4) &&
        !memchr(body.p, '\\', body.n))
        return;
    list = may_value(m, name);
    if (!yyjson_is_arr(list))
        return;
    yyjson_arr_foreach(list, i, max, item) {
        struct str id = may_text(m, may_member(m, item, "model_id"));

        if (id.n)
            (void)may_find(m, FIND_LOGGED, id);
    }
}

/* Each of the four calls looks at its own fields only. */
err_t may_ask_run_log(struct may *m, struct fail *f)
{
    struct str path = m->r->head->path, id;
    err_t e = may_ask_run(m, f);

    if (e)
        return e;
    if (str_ends(path, STR("/log-metric"))) {
        if (may_field(m, "model_id", &id) && id.n)
            (void)may_find(m, FIND_LOGGED, id);
    } else {
        models_in_list(m, str_ends(path, STR("/log-batch")) ? "metrics" : "models");
    }
    return OK;
}

err_t may_ask_upload_url(struct may *m, struct fail *f)
{
    struct str run, model;

    (void)may_field(m, "run_id", &run);
    (void)may_field(m, "model_id", &model);
    if ((run.n == 0) == (model.n == 0))
        return fail(f, ERR_BAD_PARAM, "Exactly one of run_id and model_id must be provided.");
    (void)may_find(m, run.n ? FIND_RUN : FIND_LOGGED, run.n ? run : model);
    return OK;
}

static void need_of_run(struct may *m, const struct may_find *run, enum grant_action action)
{
    may_need(m, GRANT_EXPERIMENT, run->experiment, DO_READ);
    may_need_or(m, GRANT_RUN, action, GRANT_EXPERIMENT, run->experiment, action);
}

static void need_of_logged(struct may *m, const struct may_find *model, enum grant_action action)
{
    may_need(m, GRANT_EXPERIMENT, model->experiment, DO_READ);
    may_need_or(m, GRANT_LOGGED_MODEL, action, GRANT_EXPERIMENT, model->experiment, action);
}

/* The run that is written to, and each model that is named with it, in the model's own experiment. */
err_t may_settle_run_log(struct may *m, struct fail *f)
{
    (void)f;
    for (const struct may_find *find = m->finds; find; find = find->next) {
        if (!find->is_found)
            may_refuse(m);
        else if (find->kind == FIND_RUN)
            need_of_run(m, find, DO_UPDATE);
        else
            need_of_logged(m, find, DO_UPDATE);
    }
    return OK;
}

err_t may_ask_run_artifact(struct may *m, struct fail *f)
{
    struct str id, uuid;

    (void)may_query(m, "run_uuid", &uuid);
    if ((!may_query(m, "run_id", &id) || id.n == 0) && (id = uuid).n == 0)
        return fail(f, ERR_BAD_PARAM, "Request must specify run_id or run_uuid parameter");
    if (uuid.n && !str_eq(id, uuid)) /* an upload goes to one, a download comes from the other */
        may_refuse(m);
    (void)may_find(m, FIND_RUN, id);
    return OK;
}

static err_t ask_history(struct may *m, const char *name, const char *call, struct fail *f)
{
    struct str *ids;
    size_t n = may_query_all(m, name, &ids);

    if (n == 0)
        return fail(f, ERR_BAD_PARAM, "%s request must specify at least one run_id.", call);
    may_find_all(m, FIND_RUN, ids, n);
    return OK;
}

err_t may_ask_history_bulk(struct may *m, struct fail *f)
{
    return ask_history(m, "run_id", "GetMetricHistoryBulk", f);
}

err_t may_ask_history_interval(struct may *m, struct fail *f)
{
    return ask_history(m, "run_ids", "GetMetricHistoryBulkInterval", f);
}

err_t may_settle_history(struct may *m, struct fail *f)
{
    for (const struct may_find *find = m->finds; find; find = find->next) {
        if (!find->is_found)
            return fail(f, ERR_NOT_FOUND, "Run with id=%.*s not found", STR_ARG(find->id));
    }
    return may_settle_found(m, f);
}

/* -- logged models ------------------------------------------------------------------------------------ */

err_t may_ask_logged_create(struct may *m, struct fail *f)
{
    struct str id, run;

    (void)f;
    (void)may_field(m, "experiment_id", &id);
    (void)may_field(m, "source_run_id", &run);
    may_about(m, id);
    if (run.n)
        (void)may_find(m, FIND_RUN, run);
    return OK;
}

err_t may_settle_logged_create(struct may *m, struct fail *f)
{
    (void)f;
    may_need_rows(m);
    if (m->finds && !m->finds->is_found)
        may_refuse(m);
    else if (m->finds)
        need_of_run(m, m->finds, DO_READ);
    return OK;
}

/* Is there a filter, and are runs denied? Whoever filters by a run learns which run it is from what is
 * found, so no redaction would help. A filter that cannot be read may be one. */
static bool filters_blindly(struct may *m, struct str *filter)
{
    (void)may_field(m, "filter", filter);
    return filter->n && may_denied(m, GRANT_RUN);
}

static void refuse_selector(struct may *m, enum filter_entity entity, struct str key,
                            const char *name)
{
    if (entity == ENTITY_ATTRIBUTE && str_eq(key, str_of(name)))
        may_refuse(m);
}

err_t may_settle_logged_search(struct may *m, struct fail *f)
{
    struct arena *a = &m->r->arena;
    struct model_clause *clauses;
    struct str filter;
    struct fail why;
    size_t n = 0;

    (void)f;
    if (!filters_blindly(m, &filter))
        return OK;
    fail_init(&why, a);
    if (model_filter_parse(a, filter, &clauses, &n, &why))
        may_refuse(m);
    for (size_t i = 0; i < n && !m->is_refused; i++)
        refuse_selector(m, clauses[i].entity, clauses[i].key, "source_run_id");
    return OK;
}

err_t may_settle_version_search(struct may *m, struct fail *f)
{
    struct arena *a = &m->r->arena;
    struct clause *clauses;
    struct str filter;
    struct fail why;
    size_t n = 0;

    (void)f;
    if (!filters_blindly(m, &filter))
        return OK;
    fail_init(&why, a);
    if (filter_parse(a, FILTER_VERSIONS, filter, &clauses, &n, &why) ||
        filter_check(a, FILTER_VERSIONS, clauses, n, &why))
        may_refuse(m);
    for (size_t i = 0; i < n && !m->is_refused; i++)
        refuse_selector(m, clauses[i].entity, clauses[i].key, "run_id");
    return OK;
}
