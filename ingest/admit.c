/*
 * admit: the state of the run, and params that may not change.
 *
 * Where the state comes from is the caller's business: writes of points ask the run table, which may
 * be run_cache_ttl behind; writes that go through PostgreSQL anyway ask the row itself there.
 *
 * MLflow quotes param values whole, up to 6000 characters each, 100 of them; so do we: LIMIT_PARAM_VALUE
 * bounds it.
 */
#include "ingest/admit.h"

#include "ingest/python.h"
#include "schema/errors.h"

err_t admit_no_run(struct str run_id, struct fail *f)
{
    return fail(f, ERR_NOT_FOUND, "Run with id=%.*s not found", STR_ARG(run_id));
}

err_t admit_deleted_run(struct str run_id, struct fail *f)
{
    return fail(f, ERR_BAD_PARAM,
                "The run %.*s must be in the 'active' state. Current state is deleted.",
                STR_ARG(run_id));
}

err_t admit_batch(struct decoded *d, const struct run *run, struct fail *f)
{
    if (!run)
        return admit_no_run(d->run_id, f);
    if (!run->is_active)
        return admit_deleted_run(d->run_id, f);
    d->batch.experiment_id = run->experiment_id;
    return OK;
}

err_t admit_param_conflict(struct str run_id, const struct param_conflict *c, struct fail *f)
{
    return fail(
        f, ERR_BAD_PARAM,
        "Changing param values is not allowed. Param with key='%.*s' was already logged with"
        " value='%.*s' for run ID='%.*s'. Attempted logging new value '%.*s'.",
        STR_ARG(c->key), STR_ARG(c->old_value), STR_ARG(run_id), STR_ARG(c->new_value));
}

err_t admit_param_conflicts(struct arena *a, struct str run_id, const struct param_conflict *c,
                            size_t n, struct fail *f)
{
    struct buf list;
    struct str text;

    buf_init(&list);
    for (size_t i = 0; i < n; i++) {
        buf_add_str(&list, i ? STR(", {'key': ") : STR("{'key': "));
        python_repr(&list, c[i].key);
        buf_add_str(&list, STR(", 'old_value': "));
        python_repr(&list, c[i].old_value);
        buf_add_str(&list, STR(", 'new_value': "));
        python_repr(&list, c[i].new_value);
        buf_add_byte(&list, '}');
    }
    text = arena_dup(a, buf_str(&list));
    buf_fini(&list);
    return fail(f, ERR_BAD_PARAM,
                "Changing param values is not allowed. Params were already logged='[%.*s]' for run"
                " ID='%.*s'.",
                STR_ARG(text), STR_ARG(run_id));
}
