/*
 * may_find: the things that a question is about, looked up.
 *
 * One statement a kind for all ids of that kind, as a rule one in all. Every row is an id, the experiment it
 * belongs to, and what else the rule wants to know. Ids that PostgreSQL takes none of are not there.
 */
#include "gateway/auth/may_find.h"

/* MAY_ENDPOINTS and one that tells of more. */
#define MAY_ENDPOINTS_AND_ONE "1001"
#define ROW(id, experiment)   "SELECT " id ", " experiment "::text"

static const struct stmt FINDS[FIND_KINDS] = {
    [FIND_RUN] = {"may_runs",
                  ROW("run_uuid",
                      "experiment_id") " FROM runs WHERE run_uuid = ANY($1)" SCOPE_OF("runs")},
    [FIND_LOGGED] = {"may_logged",
                     ROW("model_id",
                         "experiment_id") " FROM logged_models WHERE model_id = "
                                          "ANY($1) AND lifecycle_stage <> 'deleted'" SCOPE_OF(
                                              "logged_models")},
    [FIND_TRACE] =
        {"may_traces",
         ROW("request_id",
             "experiment_id") " FROM trace_info WHERE request_id = ANY($1)" SCOPE_OF("trace_info")},
    [FIND_ISSUE] =
        {"may_issues",
         ROW("issue_id",
             "experiment_id") " FROM issues WHERE issue_id = ANY($1)" SCOPE_OF("issues")},
    [FIND_SCHEMA] =
        {"may_schemas",
         ROW("schema_id", "experiment_id") " FROM label_schemas WHERE schema_id = ANY($1)" SCOPE_OF(
             "label_schemas")},
    [FIND_QUEUE] =
        {"may_queues",
         ROW("q.queue_id",
             "q.experiment_id") ", q.created_by, q.queue_type,"
                                " (SELECT string_agg(u.user_id, E'\\n') FROM review_queue_users u"
                                " WHERE u.queue_id = q.queue_id) FROM review_queues q"
                                " WHERE q.queue_id = ANY($1)" SCOPE_OF("q")},
    [FIND_QUEUE_NAME] =
        {"may_queue_names",
         ROW("q.experiment_id || '/' || q.name",
             "q.experiment_id") ", q.created_by, q.queue_type,"
                                " (SELECT string_agg(u.user_id, E'\\n') FROM review_queue_users u"
                                " WHERE u.queue_id = q.queue_id) FROM review_queues q"
                                " WHERE q.experiment_id || '/' || q.name = ANY($1)" SCOPE_OF("q")},
    [FIND_DATASET] =
        {"may_datasets",
         ROW("source_id",
             "destination_id") " FROM entity_associations WHERE source_type = 'evaluation_dataset'"
                               " AND destination_type = 'experiment' AND source_id = "
                               "ANY($1)" SCOPE_ON(
                                   " AND EXISTS (SELECT 1 FROM evaluation_datasets d WHERE "
                                   "d.dataset_id = source_id AND d.workspace = " SCOPE_NAME ")")},
    [FIND_SCORING] = {"may_scoring",
                      ROW("scorer_id",
                          "experiment_id") " FROM online_scoring_configs WHERE scorer_id = "
                                           "ANY($1)" SCOPE_OF("online_scoring_configs")},
    [FIND_EXPERIMENT_NAME] = {"may_experiments",
                              ROW("name",
                                  "experiment_id") " FROM experiments WHERE workspace = " SCOPE_NAME
                                                   " AND name = ANY($1)"},
    [FIND_EXPERIMENT] =
        {"may_anchor", "SELECT s.id, s.id FROM unnest($1::text[]) AS s(id) JOIN experiments e"
                       " ON e.experiment_id = CASE WHEN s.id ~ '^[0-9]{1,10}$' THEN s.id::int8 END"
                       " WHERE true" SCOPE_EXPERIMENT("e")},
    [FIND_MODEL] = {"may_models", "SELECT m.name, '', coalesce(lower(t.value) = 'true', false)"
                                  " FROM registered_models m LEFT JOIN registered_model_tags t"
                                  " ON t.workspace = m.workspace AND t.name = m.name"
                                  " AND t.key = 'mlflow.prompt.is_prompt'"
                                  " WHERE m.workspace = " SCOPE_NAME " AND m.name = ANY($1)"},
    [FIND_ENDPOINT] =
        {"may_endpoints",
         ROW("endpoint_id",
             "coalesce(experiment_id::text, '')") " FROM endpoints WHERE endpoint_id = "
                                                  "ANY($1)" SCOPE_ON(" AND workspace "
                                                                     "= " SCOPE_NAME)},
    [FIND_ENDPOINT_NAME] =
        {"may_endpoint_names",
         ROW("name",
             "coalesce(experiment_id::text, '')") ", endpoint_id"
                                                  " FROM endpoints WHERE workspace = " SCOPE_NAME
                                                  " AND name = ANY($1)"},
    [FIND_ENDPOINTS] = {"may_all_endpoints",
                        "SELECT '*', name, endpoint_id FROM endpoints WHERE '*' = ANY($1)"
                        " AND workspace = " SCOPE_NAME " LIMIT " MAY_ENDPOINTS_AND_ONE},
    [FIND_GUARDRAIL] = {"may_guardrails",
                        ROW("g.guardrail_id",
                            "s.experiment_id") ", s.scorer_name FROM guardrails g JOIN scorers s"
                                               " ON s.scorer_id = g.scorer_id WHERE g.guardrail_id "
                                               "= ANY($1)" SCOPE_ON(
                                                   " AND g.workspace = " SCOPE_NAME)},
    [FIND_JOB] = {"may_jobs", "SELECT id, '', creator FROM jobs WHERE id = ANY($1)" SCOPE_ON(
                                  " AND workspace = " SCOPE_NAME)},
    [FIND_SERVER] = {"may_servers", "SELECT name, '' FROM mcp_servers"
                                    " WHERE workspace = " SCOPE_NAME " AND name = ANY($1)"}};

unsigned may_find_steps(struct may *m, struct sql_step steps[SQL_STEPS_MAX],
                        enum may_find_kind kinds[SQL_STEPS_MAX])
{
    struct arena *a = &m->r->arena;
    unsigned nsteps = 0;

    for (enum may_find_kind kind = 0; kind < FIND_KINDS && nsteps < SQL_STEPS_MAX; kind++) {
        struct str *ids, *value;
        size_t n = 0;

        for (const struct may_find *find = m->finds; find; find = find->next)
            n += find->kind == kind && !find->is_looked_up;
        if (n == 0)
            continue;
        ids = arena_array(a, n, sizeof(*ids));
        n = 0;
        for (const struct may_find *find = m->finds; find; find = find->next) {
            if (find->kind == kind && !find->is_looked_up && str_find(find->id, '\0') == find->id.n)
                ids[n++] = find->id;
        }
        value = arena_alloc(a, sizeof(*value));
        *value = sql_text_array(a, ids, n);
        kinds[nsteps] = kind;
        steps[nsteps++] = (struct sql_step){&FINDS[kind], value, 1};
    }
    return nsteps;
}

size_t may_find_count(const struct may_find *find)
{
    size_t n = 0;

    for (; find && find->is_found; find = find->more)
        n++;
    return n;
}

static void find_fill(struct may *m, struct may_find *find, const PGresult *res, int row)
{
    int columns = PQnfields(res);

    find->is_found = true;
    find->experiment = arena_dup(&m->r->arena, sql_get(res, row, 1));
    for (int i = 0; i < FIND_EXTRAS && i + 2 < columns; i++)
        find->extra[i] = arena_dup(&m->r->arena, sql_get(res, row, i + 2));
}

void may_find_take(struct may *m, enum may_find_kind kind, const PGresult *res)
{
    for (int row = 0; row < PQntuples(res); row++) {
        struct may_find *find = m->finds, *more;

        while (find && !(find->kind == kind && str_eq(find->id, sql_get(res, row, 0))))
            find = find->next;
        if (!find)
            continue;
        if (!find->is_found) {
            find_fill(m, find, res, row);
            continue;
        }
        more = arena_zalloc(&m->r->arena, sizeof(*more));
        find_fill(m, more, res, row);
        more->more = find->more;
        find->more = more;
    }
}
