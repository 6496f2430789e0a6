/*
 * run_stage: the stage of a run, out of the statement that wrote to it.
 *
 * Writes that go to PostgreSQL anyway ask the run's row in the same statement, so nothing is cached
 * and nothing can come between. What the row says against the run table is told to the table.
 */
#include "gateway/api/run_stage.h"

#include "gateway/worker.h"
#include "ingest/admit.h"
#include "schema/errors.h"

err_t run_stage_check(struct req *r, struct str run_id, int column, struct fail *f)
{
    const PGresult *res = r->sql.results[0];
    bool has_run = PQntuples(res) > 0;
    struct run_id id;

    if (has_run && str_eq(sql_get(res, 0, column), STR("active")))
        return OK;
    if (run_id_set(&id, run_id))
        runs_forget(r->worker->runs, &id);
    return has_run ? admit_deleted_run(run_id, f) : admit_no_run(run_id, f);
}
