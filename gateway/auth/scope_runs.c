/*
 * scope_runs: the history of a metric is found by the run's id alone.
 *
 * With workspaces off that is MLflow's way too: a run that does not exist has an empty history. With
 * workspaces on it asks for the runs first, and answers 404.
 */
#include "gateway/auth/scope_runs.h"

#include "ingest/admit.h"

static const struct stmt MISSING = {
    "scope_runs",
    "SELECT s.id FROM unnest($1::text[]) WITH ORDINALITY AS s(id, n) WHERE NOT EXISTS"
    " (SELECT 1 FROM runs r WHERE r.run_uuid = s.id" SCOPE_OF("r") ")"
                                                                   " ORDER BY s.n LIMIT 1"};

err_t scope_ask_runs(struct req *r, const struct str *ids, size_t n, req_step next)
{
    struct str *value;

    if (!r->scope.mark)
        return next(r, r->fail);
    value = arena_alloc(&r->arena, sizeof(*value));
    *value = sql_text_array(&r->arena, ids, n);
    return req_sql(r, &(struct sql_step){&MISSING, value, 1}, 1, next);
}

err_t scope_judge_runs(const struct req *r, struct fail *f)
{
    const PGresult *res = r->sql.results[0];

    if (!r->scope.mark || PQntuples(res) == 0)
        return OK;
    return admit_no_run(sql_get(res, 0, 0), f);
}
