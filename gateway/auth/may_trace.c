/*
 * may_trace: who may call what about traces, assessments, issues, scorers and review queues.
 *
 * None of these is answered here. What MLflow takes out of an answer behind its checks (names of runs that the
 * caller may not see, rows of others) is taken out as it passes (withhold.def). A filter or order of a search
 * that looks at what is denied is refused; which words do is told by the text, since only MLflow can parse it.
 */
#define _GNU_SOURCE /* memmem */
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"

#include <string.h>

#include "ingest/document.h"
#include "schema/errors.h"
#include "yyjson.h"

/* -- traces ---------------------------------------------------------------------------------------- */

err_t may_ask_trace_artifact(struct may *m, struct fail *f)
{
    struct str id;

    if (!may_query(m, "request_id", &id) || id.n == 0)
        return fail(f, ERR_BAD_PARAM, "Request must specify request_id parameter");
    (void)may_find(m, FIND_TRACE, id);
    return OK;
}

/* As it stands in the query of a GET, else in the body, by its own name only. */
static size_t traces_sent(struct may *m)
{
    struct str *ids = NULL;
    size_t n = 0;

    if (m->is_get) {
        n = may_query_all(m, "trace_ids", &ids);
    } else {
        yyjson_val *list = m->body ? document_get(m->body, STR("trace_ids")) : NULL;
        yyjson_val *item;
        size_t i, max;

        if (!yyjson_is_arr(list))
            return 0;
        ids = arena_array(&m->r->arena, yyjson_arr_size(list), sizeof(*ids));
        yyjson_arr_foreach(list, i, max, item) {
            ids[n++] = may_text(m, item);
        }
    }
    may_find_all(m, FIND_TRACE, ids, n);
    return n;
}

err_t may_ask_traces(struct may *m, struct fail *f)
{
    (void)f;
    (void)traces_sent(m);
    return OK;
}

err_t may_ask_traces_link(struct may *m, struct fail *f)
{
    err_t e = may_ask_run(m, f);

    (void)traces_sent(m);
    return e;
}

err_t may_settle_traces_link(struct may *m, struct fail *f)
{
    (void)f;
    for (const struct may_find *find = m->finds; find; find = find->next) {
        if (!find->is_found)
            may_refuse(m);
        if (find->kind == FIND_TRACE) {
            may_about(m, find->experiment);
            continue;
        }
        may_need(m, GRANT_EXPERIMENT, find->experiment, DO_READ);
        may_need_or(m, GRANT_RUN, DO_UPDATE, GRANT_EXPERIMENT, find->experiment, DO_UPDATE);
    }
    may_need_rows(m);
    return OK;
}

static yyjson_val *inside(struct may *m, yyjson_val *obj, const char *const *names)
{
    for (; *names; names++)
        obj = may_member(m, obj, *names);
    return obj;
}

err_t may_ask_trace_start(struct may *m, struct fail *f)
{
    static const char *const path[] = {"trace_info", "trace_location", "mlflow_experiment",
                                       "experiment_id", NULL};
    struct str id = may_text(m, inside(m, may_value(m, "trace"), path));

    (void)f;
    if (id.n == 0)
        may_refuse(m);
    may_about(m, id);
    return OK;
}

err_t may_settle_trace_start(struct may *m, struct fail *f)
{
    static const char *const path[] = {"trace_info", "assessments", NULL};

    (void)f;
    may_need_rows(m);
    if (yyjson_arr_size(inside(m, may_value(m, "trace"), path)) > 0)
        may_need(m, GRANT_ASSESSMENT, STR(""), DO_NOT_DENIED);
    return OK;
}

/* -- searches --------------------------------------------------------------------------------------- */

err_t may_ask_traces_search_old(struct may *m, struct fail *f)
{
    struct str *ids;
    size_t n = may_query_all(m, "experiment_ids", &ids);

    (void)f;
    may_about_all(m, ids, n);
    return OK;
}

err_t may_ask_traces_search(struct may *m, struct fail *f)
{
    static const char *const path[] = {"mlflow_experiment", "experiment_id", NULL};
    yyjson_val *list = may_value(m, "locations"), *item;
    size_t i, max;

    (void)f;
    if (!yyjson_is_arr(list))
        return OK;
    yyjson_arr_foreach(list, i, max, item) {
        struct str id = may_text(m, inside(m, item, path));

        if (id.n)
            may_about(m, id);
    }
    return OK;
}

err_t may_ask_traces_correlate(struct may *m, struct fail *f)
{
    struct str *ids;
    size_t n = may_list(m, "experiment_ids", &ids);

    (void)f;
    may_about_all(m, ids, n);
    return OK;
}

err_t may_ask_traces_metrics(struct may *m, struct fail *f)
{
    return may_ask_traces_correlate(m, f);
}

/* Do filter or order speak of it? */
static bool search_says(struct may *m, const char *const *words)
{
    static const char *const names[] = {"filter", "filter_string1", "filter_string2",
                                        "base_filter"};
    struct str text, *orders;
    size_t n = may_list(m, "order_by", &orders);

    for (const char *const *word = words; *word; word++) {
        for (size_t i = 0; i < array_len(names); i++) {
            (void)may_field(m, names[i], &text);
            if (memmem(text.p, text.n, *word, strlen(*word)))
                return true;
        }
        for (size_t i = 0; i < n; i++) {
            if (memmem(orders[i].p, orders[i].n, *word, strlen(*word)))
                return true;
        }
    }
    return false;
}

static void need_in_each(struct may *m, enum grant_type type)
{
    for (size_t i = 0; i < m->nexperiments; i++)
        may_need_or(m, type, DO_READ, GRANT_EXPERIMENT, m->experiments[i], DO_READ);
}

err_t may_settle_traces_search(struct may *m, struct fail *f)
{
    static const char *const runs[] = {"run_id", "sourceRun", NULL};
    static const char *const models[] = {"modelId", NULL};
    static const char *const assessments[] = {"feedback", "expectation", "assessment", "issue",
                                              NULL};

    (void)f;
    may_need_rows(m);
    if (search_says(m, runs))
        need_in_each(m, GRANT_RUN);
    if (search_says(m, models))
        need_in_each(m, GRANT_LOGGED_MODEL);
    if (search_says(m, assessments))
        need_in_each(m, GRANT_ASSESSMENT);
    return OK;
}

err_t may_settle_traces_metrics(struct may *m, struct fail *f)
{
    struct str view;

    (void)f;
    may_need_rows(m);
    (void)may_field(m, "view_type", &view);
    if (str_eq(view, STR("ASSESSMENTS")) || str_eq(view, STR("3")))
        need_in_each(m, GRANT_ASSESSMENT);
    return OK;
}

/* The experiment's editor, or the one of all traces: so this is no list of needs. */
err_t may_settle_assessment_create(struct may *m, struct fail *f)
{
    (void)f;
    may_found(m);
    may_need_rows(m);
    for (size_t i = 0; i < m->nexperiments; i++) {
        if (!may_met(m, GRANT_EXPERIMENT, m->experiments[i], DO_UPDATE) &&
            !may_met(m, GRANT_TRACE, STR(""), DO_UPDATE))
            may_refuse(m);
    }
    return OK;
}

/* -- issues ------------------------------------------------------------------------------------------- */

err_t may_ask_issue_create(struct may *m, struct fail *f)
{
    struct str id = may_text(m, m->body ? document_get(m->body, STR("experiment_id")) : NULL);

    (void)f;
    if (id.n == 0)
        may_refuse(m);
    may_about(m, id);
    return OK;
}

err_t may_ask_issues_search(struct may *m, struct fail *f)
{
    struct str id;

    (void)f;
    if (!may_field(m, "experiment_id", &id) || id.n == 0)
        may_refuse(m);
    may_about(m, id);
    return OK;
}

err_t may_settle_issues_search(struct may *m, struct fail *f)
{
    struct str filter;

    (void)f;
    may_need_rows(m);
    if (may_field(m, "filter_string", &filter) &&
        memmem(filter.p, filter.n, "source_run_id", strlen("source_run_id")))
        may_need(m, GRANT_RUN, STR(""), DO_NOT_DENIED);
    return OK;
}

err_t may_settle_issues_invoke(struct may *m, struct fail *f)
{
    struct str secret = may_text(m, m->body ? document_get(m->body, STR("secret_id")) : NULL);

    (void)f;
    may_need_rows(m);
    if (secret.n)
        may_need(m, GRANT_GATEWAY_SECRET, secret, DO_USE);
    return OK;
}

/* -- scorers ------------------------------------------------------------------------------------------ */

err_t may_ask_scorer(struct may *m, struct fail *f)
{
    struct str experiment, name;
    err_t e;

    if ((e = may_param(m, "experiment_id", &experiment, f)) || (e = may_param(m, "name", &name, f)))
        return e;
    may_about(m, experiment);
    m->scorer = may_scorer(&m->r->arena, experiment, name);
    return OK;
}

err_t may_ask_scorers_list(struct may *m, struct fail *f)
{
    struct str id;

    (void)f;
    if (may_query(m, "experiment_id", &id) && id.n)
        may_about(m, id);
    return OK;
}

/* Of all experiments: for anybody, since what he may not read is taken out. */
err_t may_settle_scorers_list(struct may *m, struct fail *f)
{
    (void)f;
    if (m->nexperiments)
        may_need_rows(m);
    return OK;
}

err_t may_settle_scorer_delete(struct may *m, struct fail *f)
{
    struct str version;
    bool is_one = may_field(m, "version", &version);

    (void)f;
    may_need(m, GRANT_SCORER, m->scorer, is_one ? DO_READ : DO_DELETE);
    may_need_rows(m);
    return OK;
}

err_t may_settle_scorer_invoke(struct may *m, struct fail *f)
{
    yyjson_val *logs = m->body ? document_get(m->body, STR("log_assessments")) : NULL;
    yyjson_val *named = m->body ? document_get(m->body, STR("scorer_name")) : NULL;
    struct str name = yyjson_is_str(named) ? may_text(m, named) : STR("");

    (void)f;
    may_need_rows(m);
    if (logs && !yyjson_is_false(logs) && !yyjson_is_null(logs))
        may_need(m, GRANT_ASSESSMENT, STR(""), DO_NOT_DENIED);
    if (name.n) {
        m->scorer = may_scorer(&m->r->arena, m->experiments[0], name);
        may_need(m, GRANT_SCORER, m->scorer, DO_NOT_DENIED);
        may_need_or(m, GRANT_SCORER_VERSION, DO_NOT_DENIED, GRANT_SCORER, m->scorer, DO_NOT_DENIED);
    } else {
        may_need(m, GRANT_SCORER_VERSION, STR(""), DO_NOT_DENIED);
    }
    return OK;
}

err_t may_ask_scoring(struct may *m, struct fail *f)
{
    struct str *ids;
    size_t n = may_list(m, "scorer_ids", &ids);

    (void)f;
    may_find_all(m, FIND_SCORING, ids, n);
    return OK;
}

err_t may_settle_scoring(struct may *m, struct fail *f)
{
    (void)f;
    for (const struct may_find *find = m->finds; find; find = find->next) {
        for (const struct may_find *row = find->is_found ? find : NULL; row; row = row->more)
            may_about(m, row->experiment);
    }
    if (m->nexperiments)
        may_need_rows(m);
    return OK;
}

/* -- review queues ------------------------------------------------------------------------------------- */

err_t may_settle_schema(struct may *m, struct fail *f)
{
    if (!m->finds->is_found)
        return fail(f, ERR_NOT_FOUND, "Label schema with id '%.*s' not found.",
                    STR_ARG(m->finds->id));
    return may_settle_found(m, f);
}

/* A custom queue may not be named like a user; only MLflow's own check knows them all, so a name is not
 * looked at here. */
err_t may_settle_queue_create(struct may *m, struct fail *f)
{
    return may_settle_rows(m, f);
}

err_t may_ask_queue_name(struct may *m, struct fail *f)
{
    struct str experiment, name;
    err_t e;

    if ((e = may_param(m, "experiment_id", &experiment, f)) || (e = may_param(m, "name", &name, f)))
        return e;
    may_about(m, experiment);
    (void)may_find(m, FIND_QUEUE_NAME,
                   arena_printf(&m->r->arena, "%.*s/%.*s", STR_ARG(experiment), STR_ARG(name)));
    return OK;
}

/* What the caller may do with queues of this experiment. */
enum grant_level may_queue_level(const struct may *m, struct str experiment)
{
    const struct need need = {GRANT_REVIEW_QUEUE, STR(""),    DO_NOT_DENIED, true,
                              GRANT_EXPERIMENT,   experiment, DO_NOT_DENIED};
    enum grant_action action;

    if (!may_met(m, GRANT_EXPERIMENT, experiment, DO_READ))
        return LEVEL_NONE;
    return grants_govern(m->grants, &need, m->fallback, m->absent, &action);
}

struct str may_lowered(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.n);

    text = str_trim(text);
    for (size_t i = 0; i < text.n; i++)
        out[i] = (char)(text.p[i] >= 'A' && text.p[i] <= 'Z' ? text.p[i] | 0x20 : text.p[i]);
    return (struct str){out, text.n};
}

static bool queue_is_mine(struct may *m, const struct may_find *queue)
{
    struct str owner = may_lowered(&m->r->arena, queue->extra[0]);

    return owner.n && str_eq(owner, may_lowered(&m->r->arena, may_user(m)));
}

static bool queue_has_me(struct may *m, const struct may_find *queue)
{
    struct str me = may_lowered(&m->r->arena, may_user(m)), users = queue->extra[2];

    while (users.n) {
        if (str_eq(str_cut(&users, '\n'), me))
            return true;
    }
    return false;
}

static err_t queue_missing(const struct may_find *queue, struct fail *f)
{
    struct str id = queue->id, experiment;

    if (queue->kind == FIND_QUEUE)
        return fail(f, ERR_NOT_FOUND, "Review queue with id '%.*s' not found.", STR_ARG(id));
    experiment = str_cut(&id, '/');
    return fail(f, ERR_NOT_FOUND, "Review queue with name '%.*s' not found for experiment '%.*s'.",
                STR_ARG(id), STR_ARG(experiment));
}

err_t may_settle_queue_read(struct may *m, struct fail *f)
{
    const struct may_find *queue = m->finds;
    bool is_named = queue->kind == FIND_QUEUE_NAME;
    enum grant_level level;

    if (!queue->is_found && !is_named)
        return queue_missing(queue, f);
    level = may_queue_level(m, is_named ? m->experiments[0] : queue->experiment);
    if (level < LEVEL_READ)
        may_refuse(m);
    else if (level < LEVEL_MANAGE && !queue->is_found)
        return queue_missing(queue, f);
    else if (level < LEVEL_MANAGE && !queue_has_me(m, queue) &&
             (level < LEVEL_EDIT || !queue_is_mine(m, queue)))
        may_refuse(m);
    return OK;
}

static err_t queue_settle(struct may *m, bool is_for_owner, struct fail *f)
{
    const struct may_find *queue = m->finds;
    enum grant_level level;

    if (!queue->is_found)
        return queue_missing(queue, f);
    level = may_queue_level(m, queue->experiment);
    if (level < LEVEL_MANAGE && !(is_for_owner && level >= LEVEL_EDIT && queue_is_mine(m, queue)))
        may_refuse(m);
    return OK;
}

err_t may_settle_queue_update(struct may *m, struct fail *f)
{
    return queue_settle(m, may_value(m, "new_owner") == NULL, f);
}

err_t may_settle_queue_delete(struct may *m, struct fail *f)
{
    return queue_settle(m, str_ieq(m->finds->extra[1], STR("custom")), f);
}

static err_t queue_edit(struct may *m, bool is_for_members, struct fail *f)
{
    const struct may_find *queue = m->finds;

    if (!queue->is_found)
        return queue_missing(queue, f);
    if (may_queue_level(m, queue->experiment) < LEVEL_EDIT ||
        (is_for_members && !queue_has_me(m, queue)))
        may_refuse(m);
    return OK;
}

err_t may_settle_queue_add(struct may *m, struct fail *f)
{
    return queue_edit(m, false, f);
}

err_t may_settle_queue_review(struct may *m, struct fail *f)
{
    return queue_edit(m, true, f);
}

/* -- OpenTelemetry -------------------------------------------------------------------------------------- */

err_t may_ask_otel(struct may *m, struct fail *f)
{
    struct str id = may_header(m, "x-mlflow-experiment-id");

    if (id.n == 0)
        return fail(f, ERR_BAD_REQUEST, "Missing required header: X-Mlflow-Experiment-Id");
    may_about(m, id);
    return OK;
}
