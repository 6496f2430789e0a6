/*
 * may_rule: what a call is about and what it needs, as the rules say it in rows.
 *
 * Most rules are rows alone: things of one or more experiments, or of a registered model. A row about
 * an experiment counts once for each that the call is about; where it names `all` of a kind, the grant is
 * on `*`, because MLflow grants runs, traces and the like only all together.
 */
#include "gateway/api/experiment_id.h"
#include "gateway/auth/may_input.h"
#include "gateway/auth/may_rule.h"

#include <string.h>

#include "schema/errors.h"

const struct may_rule_row may_rules[MAY_RULES] = {
#define RULE(name, ask, settle, ...) \
    [MAY_RULE_##name] = {may_ask_##ask, may_settle_##settle, {__VA_ARGS__}},
#include "gateway/auth/may_rules.def"
#undef RULE
};

/* -- what it is about ------------------------------------------------------------------------------ */

struct may_find *may_find(struct may *m, enum may_find_kind kind, struct str id)
{
    struct may_find *find;

    for (find = m->finds; find; find = find->next) {
        if (find->kind == kind && str_eq(find->id, id))
            return find;
    }
    find = arena_zalloc(&m->r->arena, sizeof(*find));
    find->kind = kind;
    find->id = id;
    *m->last_find = find;
    m->last_find = &find->next;
    return find;
}

void may_about(struct may *m, struct str experiment)
{
    struct str *old = m->experiments;

    for (size_t i = 0; i < m->nexperiments; i++) {
        if (str_eq(old[i], experiment))
            return;
    }
    if (m->nexperiments == m->most_experiments) {
        m->most_experiments = m->most_experiments ? 2 * m->most_experiments : 4;
        m->experiments = arena_array(&m->r->arena, m->most_experiments, sizeof(*m->experiments));
        if (old)
            memcpy(m->experiments, old, m->nexperiments * sizeof(*old));
    }
    m->experiments[m->nexperiments++] = experiment;
}

void may_find_all(struct may *m, enum may_find_kind kind, const struct str *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)may_find(m, kind, ids[i]);
}

void may_about_all(struct may *m, const struct str *experiments, size_t n)
{
    for (size_t i = 0; i < n; i++)
        may_about(m, experiments[i]);
}

void may_refuse(struct may *m)
{
    m->is_refused = true;
}

void may_found(struct may *m)
{
    for (const struct may_find *find = m->finds; find; find = find->next) {
        if (!find->is_found)
            may_refuse(m);
        for (const struct may_find *row = find->is_found ? find : NULL; row; row = row->more)
            may_about(m, row->experiment);
    }
}

bool may_container(struct may *m)
{
    const struct may_find *find = m->finds;

    while (find && !(find->kind == FIND_MODEL && str_eq(find->id, m->name)))
        find = find->next;
    m->container = find && find->is_found && str_eq(find->extra[0], STR("t"))
                       ? GRANT_PROMPT
                       : GRANT_REGISTERED_MODEL;
    return find && find->is_found;
}

/* The pattern of a scorer's grants: the name with everything but letters, digits and "_.-~" encoded. */
struct str may_scorer(struct arena *a, struct str experiment, struct str name)
{
    static const char hex[] = "0123456789ABCDEF";
    char room[EXPERIMENT_ID_ROOM], *out;
    size_t n;

    experiment = experiment_id_settle(experiment, room);
    n = experiment.n;
    out = arena_alloc(a, n + 1 + 3 * name.n);
    if (n)
        memcpy(out, experiment.p, n);
    out[n++] = '/';
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];

        if ((c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_' ||
            c == '.' || c == '-' || c == '~') {
            out[n++] = (char)c;
            continue;
        }
        out[n++] = '%';
        out[n++] = hex[c >> 4];
        out[n++] = hex[c & 15];
    }
    return (struct str){out, n};
}

/* -- what it needs ---------------------------------------------------------------------------------- */

static void need_add(struct may *m, const struct need *need)
{
    struct need *old = m->needs;

    if (m->nneeds == m->most_needs) {
        m->most_needs = m->most_needs ? 2 * m->most_needs : 8;
        m->needs = arena_array(&m->r->arena, m->most_needs, sizeof(*m->needs));
        if (old)
            memcpy(m->needs, old, m->nneeds * sizeof(*old));
    }
    m->needs[m->nneeds++] = *need;
}

void may_need(struct may *m, enum grant_type type, struct str id, enum grant_action action)
{
    need_add(m, &(struct need){.type = type, .id = id, .action = action});
}

void may_need_or(struct may *m, enum grant_type type, enum grant_action action,
                 enum grant_type otherwise, struct str id, enum grant_action otherwise_action)
{
    need_add(m, &(struct need){type, STR(""), action, true, otherwise, id, otherwise_action});
}

void may_need_place(struct may *m)
{
    if (m->r->scope.mark)
        may_need(m, GRANT_WORKSPACE, STR(""), DO_USE);
}

bool may_met(const struct may *m, enum grant_type type, struct str id, enum grant_action action)
{
    return grants_meet(m->grants, &(struct need){.type = type, .id = id, .action = action},
                       m->fallback, m->absent);
}

bool may_denied(const struct may *m, enum grant_type type)
{
    return !may_met(m, type, STR(""), DO_NOT_DENIED);
}

/* The thing of a row, about this experiment. */
static enum grant_type what_is(const struct may *m, enum may_what what, struct str experiment,
                               struct str *id)
{
    bool is_prompt = m->container == GRANT_PROMPT;

    *id = STR("");
    switch (what) {
    case IT_EXPERIMENT: *id = experiment; return GRANT_EXPERIMENT;
    case IT_RUN: return GRANT_RUN;
    case IT_TRACE: return GRANT_TRACE;
    case IT_ASSESSMENT: return GRANT_ASSESSMENT;
    case IT_LOGGED: return GRANT_LOGGED_MODEL;
    case IT_QUEUE: return GRANT_REVIEW_QUEUE;
    case IT_SCORERS: return GRANT_SCORER;
    case IT_SCORER_VERSION: return GRANT_SCORER_VERSION;
    case IT_MODEL: *id = m->name; return m->container;
    case IT_VERSION: return is_prompt ? GRANT_PROMPT_VERSION : GRANT_REGISTERED_MODEL_VERSION;
    case IT_SCORER: *id = m->scorer; return GRANT_SCORER;
    case IT_SECRET: *id = m->id; return GRANT_GATEWAY_SECRET;
    case IT_ENDPOINT: *id = m->id; return GRANT_GATEWAY_ENDPOINT;
    case IT_DEFINITION: *id = m->id; return GRANT_GATEWAY_MODEL_DEFINITION;
    default: check(!"a thing"); return GRANT_WORKSPACE;
    }
}

static void need_row(struct may *m, const struct may_template *row, struct str experiment)
{
    struct need need = {.action = row->action,
                        .has_otherwise = row->otherwise != IT_NOTHING,
                        .otherwise_action = row->otherwise_action};

    need.type = what_is(m, row->what, experiment, &need.id);
    if (need.has_otherwise)
        need.otherwise = what_is(m, row->otherwise, experiment, &need.otherwise_id);
    need_add(m, &need);
}

static bool row_is_of_experiment(const struct may_template *row)
{
    return row->what == IT_EXPERIMENT || row->otherwise == IT_EXPERIMENT;
}

/* A call about no experiment at all, where the rule speaks of one, is nobody's. */
void may_need_rows(struct may *m)
{
    for (size_t i = 0; i < MAY_TEMPLATES; i++) {
        const struct may_template *row = &m->rule->rows[i];

        if (row->what == IT_NOTHING)
            continue;
        if (!row_is_of_experiment(row)) {
            need_row(m, row, STR(""));
            continue;
        }
        if (m->nexperiments == 0)
            may_refuse(m);
        for (size_t k = 0; k < m->nexperiments; k++)
            need_row(m, row, m->experiments[k]);
    }
}

/* -- rules that are rows ------------------------------------------------------------------------------ */

err_t may_ask_nothing(struct may *m, struct fail *f)
{
    (void)m, (void)f;
    return OK;
}

err_t may_settle_rows(struct may *m, struct fail *f)
{
    (void)f;
    may_need_rows(m);
    return OK;
}

err_t may_settle_found(struct may *m, struct fail *f)
{
    (void)f;
    may_found(m);
    may_need_rows(m);
    return OK;
}

err_t may_ask_experiment(struct may *m, struct fail *f)
{
    struct str id;
    err_t e = may_param(m, "experiment_id", &id, f);

    if (e)
        return e;
    may_about(m, id);
    return OK;
}

static err_t ask_one(struct may *m, enum may_find_kind kind, const char *name, struct fail *f)
{
    struct str id;
    err_t e = may_param(m, name, &id, f);

    if (e)
        return e;
    (void)may_find(m, kind, id);
    return OK;
}

err_t may_ask_run(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_RUN, "run_id", f);
}

err_t may_ask_logged(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_LOGGED, "model_id", f);
}

err_t may_ask_trace(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_TRACE, "trace_id", f);
}

err_t may_ask_trace_old(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_TRACE, "request_id", f);
}

err_t may_ask_issue(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_ISSUE, "issue_id", f);
}

err_t may_ask_dataset(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_DATASET, "dataset_id", f);
}

err_t may_ask_queue(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_QUEUE, "queue_id", f);
}

err_t may_ask_schema(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_SCHEMA, "schema_id", f);
}

err_t may_ask_job(struct may *m, struct fail *f)
{
    return ask_one(m, FIND_JOB, "job_id", f);
}
