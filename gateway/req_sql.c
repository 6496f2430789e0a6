/*
 * req_sql: a request's statements: one transaction, two beside each other, or the rows of one as they come.
 *
 * The pool calls back once, always, also when it is closed under way; so a request that waits for SQL
 * needs no timer of its own. Results belong to the request until the next statement or its end.
 */
#include <string.h>

#include "gateway/req_part.h"
#include "gateway/req_steps.h"
#include "gateway/sql/sql_stream.h"
#include "gateway/trace/trace.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

/* The second of two calls. */
struct req_both {
    struct sql_call call;
    unsigned under_way; /* of the two */
};

/* What the last wait for SQL brought is not looked at any more. */
void req_drop_results(struct req *r)
{
    for (unsigned i = 0; i < r->sql.nsteps; i++) {
        PQclear(r->sql.results[i]);
        r->sql.results[i] = NULL;
    }
    sql_stream_close(r->stream);
    r->stream = NULL;
    r->rows = NULL;
}

err_t req_sql_fail(struct req *r, struct fail *f)
{
    return fail_str(f, r->sql.err, arena_dup(&r->arena, r->sql.message));
}

static void req_on_sql(struct sql_call *call)
{
    struct req *r = call->owner;
    req_step next;

    worker_touch(r->worker);
    next = req_end_wait(r);
    req_run(r, call->err && !r->sql_may_fail ? req_sql_fail : next);
    req_hand_back(r);
}

err_t req_sql_start(struct req *r, struct sql_pool *pool, const struct sql_step *steps, unsigned n,
                    bool may_fail, req_step next)
{
    check(n > 0 && n <= SQL_STEPS_MAX);
    if (pool == NULL)
        return ERR_CLOSING;
    req_drop_results(r);
    r->sql = (struct sql_call){.nsteps = n,
                               .done = req_on_sql,
                               .owner = r,
                               .workspace = r->scope.workspace,
                               .keeps_results = true,
                               .application = trace_application(r)};
    memcpy(r->sql.steps, steps, n * sizeof(*steps));
    r->sql_may_fail = may_fail;
    req_begin_wait(r, WAIT_SQL, next);
    sql_call(pool, &r->sql);
    return OK;
}

/* The last of the two goes on; a failure of the second counts as one of the first. Its words end with
 * the call, the other one's may not. */
static void req_on_both(struct sql_call *call)
{
    struct req *r = call->owner;
    struct sql_call *second = &r->both->call;

    if (call->err)
        call->message = arena_dup(&r->arena, call->message);
    if (--r->both->under_way > 0)
        return;
    memcpy(r->sql.results + r->sql.nsteps, second->results,
           second->nsteps * sizeof(second->results[0]));
    r->sql.nsteps += second->nsteps; /* for whoever drops them */
    if (!r->sql.err && second->err) {
        r->sql.err = second->err;
        r->sql.message = second->message;
        memcpy(r->sql.sqlstate, second->sqlstate, sizeof(r->sql.sqlstate));
    }
    req_on_sql(&r->sql);
}

err_t req_sql_both(struct req *r, const struct sql_step *steps, unsigned n, unsigned first,
                   req_step next)
{
    check(first > 0 && n > first && n <= SQL_STEPS_MAX);
    if (r->worker->sql == NULL)
        return ERR_CLOSING;
    req_drop_results(r);
    r->both = arena_alloc(&r->arena, sizeof(*r->both)); /* anew: the arena may have been rewound */
    r->both->under_way = 2;
    r->both->call = r->sql = (struct sql_call){.nsteps = first,
                                               .done = req_on_both,
                                               .owner = r,
                                               .workspace = r->scope.workspace,
                                               .keeps_results = true,
                                               .application = trace_application(r)};
    r->both->call.nsteps = n - first;
    memcpy(r->sql.steps, steps, first * sizeof(*steps));
    memcpy(r->both->call.steps, steps + first, (n - first) * sizeof(*steps));
    r->sql_may_fail = false;
    req_begin_wait(r, WAIT_SQL, next);
    sql_call(r->worker->sql, &r->sql);
    sql_call(r->worker->sql, &r->both->call);
    return OK;
}

err_t req_sql(struct req *r, const struct sql_step *steps, unsigned n, req_step next)
{
    return req_sql_start(r, r->worker->sql, steps, n, false, next);
}

err_t req_sql_try(struct req *r, const struct sql_step *steps, unsigned n, req_step next)
{
    return req_sql_start(r, r->worker->sql, steps, n, true, next);
}

/* -- rows ------------------------------------------------------------------------------------ */

static void req_take_rows(struct req *r)
{
    struct sql_stream *s = r->stream;

    r->rows = s->rows;
    r->has_more_rows = !s->is_last;
    r->sql.err = s->err;
    r->sql.message = str_of(s->message);
    memcpy(r->sql.sqlstate, s->sqlstate, sizeof(r->sql.sqlstate));
}

static void req_on_rows(struct sql_stream *s)
{
    struct req *r = s->owner;
    req_step next;

    worker_touch(r->worker);
    req_take_rows(r);
    next = req_end_wait(r);
    req_run(r, s->err ? req_sql_fail : next);
    req_hand_back(r);
}

err_t req_rows(struct req *r, const struct sql_step *step, req_step next)
{
    if (r->worker->sql == NULL)
        return ERR_CLOSING;
    req_drop_results(r);
    r->stream_until_us = r->worker->now_us + r->worker->settings->stream_timeout;
    req_begin_wait(r, WAIT_SQL, next);
    r->stream = sql_stream_open(r->worker->sql, step, r->scope.workspace, trace_application(r),
                                req_on_rows, r);
    return OK;
}

err_t req_more_rows(struct req *r, req_step next)
{
    check(r->has_more_rows);
    if (r->worker->now_us > r->stream_until_us)
        return fail(r->fail, ERR_DEADLINE, "The answer was not taken within stream_timeout.");
    if (!sql_stream_next(r->stream)) {
        req_begin_wait(r, WAIT_SQL, next);
        return OK;
    }
    req_take_rows(r);
    return r->sql.err ? req_sql_fail(r, r->fail) : next(r, r->fail);
}
