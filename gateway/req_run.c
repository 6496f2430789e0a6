/*
 * req_run: the run that a write names: from the run table, or from PostgreSQL for all who ask.
 *
 * However many requests miss the same run table, at most one query of a worker is under way for it: the
 * next ones are collected meanwhile and go together. Who finds no database goes by what was known.
 */
#include "gateway/req_run.h"

#include "base/idmap.h"
#include "gateway/req_park.h"
#include "gateway/req_steps.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

enum { RUNS_ASKED_MAX = 500 /* run ids in one query */ };

static const struct stmt RUN_FIND = {
    "run_find",
    "SELECT r.run_uuid, r.lifecycle_stage, r.experiment_id" SCOPE_ON(
        ", e.workspace") " FROM runs r" SCOPE_ON(" JOIN experiments e ON e.experiment_id = "
                                                 "r.experiment_id") " WHERE r.run_uuid = ANY($1)"};

static void run_query_start(struct worker *w);

/* A write to a run that is known does not wait for PostgreSQL: when what is known of the run is older
 * than run_cache_ttl, it is asked for, but only for so long. */
#define RUN_PATIENCE_US ((uint64_t)200 * 1000)

bool req_lacks_database(const struct req *r)
{
    const struct worker *w = r->worker;
    bool is_late = w->is_run_call_open && w->now_us > w->run_asked_us + RUN_PATIENCE_US;

    return is_late || w->sql == NULL || !sql_is_up(w->sql);
}

bool req_recall_run(struct req *r, const struct run_id *id, struct run *out)
{
    struct worker *w = r->worker;

    /* Who trusts nothing by setting does not trust this. And a run that was deleted may be back: 400
     * would be final, so it is asked for; so would 404 be for a run of another workspace. */
    if (w->settings->run_cache_ttl == 0 || !runs_get(w->runs, id, w->now_us, UINT64_MAX, out) ||
        !out->is_active || out->workspace != r->scope.mark)
        return false;
    stat_add(w->stats, run_recalls, 1);
    return true;
}

/* PostgreSQL gave no answer: on with what was known, if anything was. */
static bool req_go_on_recalled(struct req *r)
{
    r->has_run = req_recall_run(r, &r->wait_run, &r->run);
    if (r->has_run)
        req_wake(r);
    return r->has_run;
}

err_t req_find_run(struct req *r, struct str run_id, req_step next)
{
    struct worker *w = r->worker;

    r->has_run = false;
    if (run_id.n == 0 || !run_id_set(&r->wait_run, run_id))
        return next(r, r->fail); /* no such run can exist */
    if (runs_get(w->runs, &r->wait_run, w->now_us, w->settings->run_cache_ttl, &r->run)) {
        r->has_run = r->run.workspace == r->scope.mark; /* another workspace's is as good as none */
        stat_add(w->stats, run_hits, 1);
        return next(r, r->fail);
    }
    if (w->sql == NULL)
        return ERR_CLOSING;
    if (req_lacks_database(r) && req_recall_run(r, &r->wait_run, &r->run)) {
        r->has_run = true;
        return next(r, r->fail);
    }
    stat_add(w->stats, run_misses, 1);
    req_park(r, PARK_RUN, w->now_us + RUN_PATIENCE_US, next);
    run_query_start(w);
    return OK;
}

/* One row of the query: kept for all, found by those who asked. */
static void run_query_row(struct worker *w, const PGresult *res, int row, struct run *run)
{
    struct run_id id;
    int64_t experiment = sql_get_i64(res, row, 2);

    *run = (struct run){.is_active = str_eq(sql_get(res, row, 1), STR("active")),
                        .experiment_id = (int32_t)experiment};
    if (w->settings->enable_workspaces)
        run->workspace = scope_mark(sql_get(res, row, 3).p);
    if (run_id_set(&id, sql_get(res, row, 0)))
        runs_put(w->runs, &id, w->run_asked_us, run);
}

/* A standby need not have replayed yet what a client was told of: no row of it proves nothing, and a 404 would
 * end a training job in the middle of a failover. */
static void run_query_doubt(struct req *r)
{
    if (!req_go_on_recalled(r))
        req_give_up(r, ERR_PG, "this run is not known to a standby server, which may be behind");
}

/* Everybody who asked learns it, and goes on. */
static void run_query_answer(struct worker *w, const struct sql_call *call)
{
    const PGresult *res = call->results[0];
    int count = PQntuples(res);
    struct run *found = arena_array(&w->run_arena, (size_t)count, sizeof(*found));
    struct idmap rows;
    struct req *r;
    bool is_new;

    idmap_init(&rows);
    for (int i = 0; i < count; i++) {
        run_query_row(w, res, i, &found[i]);
        *idmap_put(&rows, sql_get(res, i, 0), &is_new) = (uint64_t)i;
    }
    while ((r = w->runs_asked.first)) {
        const uint64_t *row = idmap_get(&rows, run_id_str(&r->wait_run));

        if (row == NULL && call->is_of_standby) {
            run_query_doubt(r);
            continue;
        }
        r->has_run = row != NULL && found[*row].workspace == r->scope.mark;
        if (row)
            r->run = found[*row];
        req_wake(r);
    }
    idmap_fini(&rows);
}

static void run_query_on_done(struct sql_call *call)
{
    struct worker *w = call->owner;
    struct req *r;

    worker_touch(w);
    if (call->err == OK) {
        run_query_answer(w, call);
    } else {
        char why[256];

        str_to_cstr(call->message, why, sizeof(why));
        while ((r = w->runs_asked.first)) {
            if (!req_go_on_recalled(r))
                req_give_up(r, call->err, why);
        }
    }
    arena_reset(&w->run_arena);
    w->is_run_call_open = false;
    run_query_start(w);
}

/* Asks for all who wait, unless a query is under way: then they go with the next. */
static void run_query_start(struct worker *w)
{
    struct str *values;
    struct str *ids;
    unsigned n = 0;

    if (w->is_run_call_open || w->runs_waiting.first == NULL || w->sql == NULL)
        return;
    ids = arena_array(&w->run_arena, RUNS_ASKED_MAX, sizeof(*ids));
    while (w->runs_waiting.first && n < RUNS_ASKED_MAX) {
        struct req *r = w->runs_waiting.first;

        req_repark(r, PARK_ASKED);
        ids[n++] = run_id_str(&r->wait_run);
    }
    values = arena_alloc(&w->run_arena, sizeof(*values));
    *values = sql_text_array(&w->run_arena, ids, n);
    w->run_call =
        (struct sql_call){.nsteps = 1, .done = run_query_on_done, .owner = w, .asks_standby = true};
    w->run_call.steps[0] = (struct sql_step){&RUN_FIND, values, 1};
    w->is_run_call_open = true;
    w->run_asked_us = w->now_us;
    sql_call(w->sql, &w->run_call);
}

/* Who waits for a run that is known goes on; for the others the query's own deadline is the bound. */
static void run_query_expire(struct worker *w, struct parked *l)
{
    struct parked_walk walk = req_walk(l);
    struct req *r;

    while ((r = req_walk_next(&walk))) {
        if (r->wait_until_us <= w->now_us && !req_go_on_recalled(r))
            r->wait_until_us = UINT64_MAX;
    }
}

void req_expire_runs(struct worker *w)
{
    run_query_expire(w, &w->runs_asked);
    run_query_expire(w, &w->runs_waiting);
}
