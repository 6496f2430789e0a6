/*
 * req: a request as a chain of steps, and the lists in which it waits.
 *
 *   RUNNING --wait--> WAITING --what it waited for--> RUNNING --answer--> ANSWERED
 *                        \--peer gone, while a part is sent--> IDLE
 *
 * While it waits, a request is known to exactly one place:
 *
 *   SQL        the pool; req_on_sql is called once, always. Or a stream: req_on_rows
 *   SENT       its connection, which sends a part of the answer: req_part_sent or req_abandon
 *   BODY       the helper; the worker's inbox tells of its end, always. While it waits there for
 *              longer than request_timeout nobody works on it any more, and it is answered 504
 *   PARKED     one of its worker's lists, which parked_in names:
 *   DURABLE    w->durable, in pos order: when the inbox rings, those at its front that are durable
 *              (or lost) go on; nobody sends a message for each request
 *   COMMITTED  w->committed, looked at whole when the inbox rings: reads that wait are few
 *   RUN        w->runs_waiting until the query that is under way has returned, then (ASKED)
 *              w->runs_asked with the next one: however many requests miss the same run table, at
 *              most one query of a worker is under way for it
 *   USER       w->users_asked, until it is known whether its name and password are right, or asked too
 *              long
 *   SHARED     w->sharing, LOOK and LOOKED: peers.h, for Redis, redis_wait at most
 *   TURN       w->turns, until the inbox that it rang itself is looked at: others have had the loop
 *              by then. One a ring goes on, so that many together do not make a turn long either
 *   EVENT      w->events, until req_event or its time's end
 *   PIECE      its connection, which reads a piece of the body: req_piece_came, req_body_failed or
 *              req_abandon
 *
 * A step that ends a wait is called from the loop, never from within the call that began it,
 * unless nothing had to be waited for: then it is called at once, which is the usual case of
 * req_find_run and of a read of a quiet run.
 */
#include "gateway/req.h"

#include <string.h>

#include "base/idmap.h"
#include "gateway/artifacts.h"
#include "gateway/auth.h"
#include "gateway/conn.h"
#include "gateway/may.h"
#include "gateway/peers.h"
#include "gateway/reply.h"
#include "gateway/req_aside.h"
#include "gateway/req_drive.h"
#include "gateway/req_event.h"
#include "gateway/req_park.h"
#include "gateway/req_part.h"
#include "gateway/req_run.h"
#include "gateway/req_user.h"
#include "gateway/req_steps.h"
#include "gateway/route.h"
#include "gateway/server.h"
#include "gateway/sql_stream.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "ingest/input.h"
#include "ingest/queue_share.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum {
    ARENA_FIRST = 8192,          /* a small write is decoded without malloc */
    KEEP_REPLY = 16384,          /* of an answer's memory, from one request to the next */
    RUNS_ASKED_MAX = 500,        /* run ids in one query */
    HELPED_MAX = INBOX_NOTES / 2 /* of a worker: their notes leave room for others in its inbox */
};

static const struct stmt RUN_FIND = {
    "run_find",
    "SELECT run_uuid, lifecycle_stage, experiment_id FROM runs WHERE run_uuid = ANY($1)"};

static void run_query_start(struct worker *w);

/* -- lists ----------------------------------------------------------------------------------- */

static struct parked *parked_of(struct req *r)
{
    switch (r->parked_in) {
    case PARK_DURABLE: return &r->worker->durable;
    case PARK_COMMITTED: return &r->worker->committed;
    case PARK_RUN: return &r->worker->runs_waiting;
    case PARK_ASKED: return &r->worker->runs_asked;
    case PARK_USER: return &r->worker->users_asked;
    case PARK_TURN: return &r->worker->turns;
    case PARK_EVENT: return &r->worker->events;
    case PARK_SHARED: return &r->worker->sharing;
    case PARK_LOOK: return &r->worker->looks_waiting;
    case PARK_LOOKED: return &r->worker->looks_asked;
    case PARK_COMMAND: return &r->worker->commands;
    default: check(false); return NULL;
    }
}

static void parked_remove(struct req *r)
{
    struct parked *l = parked_of(r);

    *(r->list_prev ? &r->list_prev->list_next : &l->first) = r->list_next;
    *(r->list_next ? &r->list_next->list_prev : &l->last) = r->list_prev;
    r->list_next = r->list_prev = NULL;
    r->parked_in = PARK_NONE;
    l->count--;
}

/* Behind the last one whose position is not higher; nearly always the last of all. */
static void parked_add(struct req *r, enum req_park where)
{
    struct parked *l;
    struct req *before;

    check(r->parked_in == PARK_NONE);
    r->parked_in = where;
    l = parked_of(r);
    before = l->last;
    while (where == PARK_DURABLE && before && before->wait_pos > r->wait_pos)
        before = before->list_prev;
    r->list_prev = before;
    r->list_next = before ? before->list_next : l->first;
    *(before ? &before->list_next : &l->first) = r;
    *(r->list_next ? &r->list_next->list_prev : &l->last) = r;
    l->count++;
}

/* -- steps ----------------------------------------------------------------------------------- */

void req_begin_wait(struct req *r, enum req_wait wait, req_step next)
{
    check(r->state == REQ_RUNNING);
    r->state = REQ_WAITING;
    r->wait = wait;
    r->next = next;
    r->wait_since_us = r->worker->now_us;
    r->wait_until_us = UINT64_MAX;
    conn_count_memory(r->conn);
    stat_add(r->worker->stats, parked_requests, 1);
}

req_step req_end_wait(struct req *r)
{
    req_step next = r->next;

    check(r->state == REQ_WAITING);
    if (r->parked_in != PARK_NONE)
        parked_remove(r);
    if (r->peers.command)
        peers_forget(r);
    r->state = REQ_RUNNING;
    r->wait = WAIT_NONE;
    r->next = NULL;
    stat_sub(r->worker->stats, parked_requests, 1);
    return next;
}

/* The second of two statements. */
struct req_both {
    struct sql_call call;
    unsigned under_way; /* of the two */
};

/* What the last wait for SQL brought is not looked at any more. */
void req_drop_results(struct req *r)
{
    if (r->both) {
        PQclear(r->both->call.results[0]);
        r->both->call.results[0] = NULL;
    }
    for (unsigned i = 0; i < SQL_STEPS_MAX; i++) {
        PQclear(r->sql.results[i]);
        r->sql.results[i] = NULL;
    }
    sql_stream_close(r->stream);
    r->stream = NULL;
    r->rows = NULL;
}

static void req_refuse(struct req *r, err_t e, struct fail *f)
{
    if (f->err != e)
        (void)fail_str(f, e, str_of(error_row(e)->help));
    reply_fail(r, f);
}

/* Runs a step: afterwards the request waits or is answered. */
void req_run(struct req *r, req_step step)
{
    struct fail f;
    err_t e;

    fail_init(&f, &r->arena);
    r->fail = &f;
    r->state = REQ_RUNNING;
    e = step(r, &f);
    if (e && r->caught)
        e = r->caught(r, e, &f);
    check(e == OK ? r->state != REQ_RUNNING : r->state == REQ_RUNNING);
    if (e)
        req_refuse(r, e, &f);
    if (r->state == REQ_ANSWERED)
        req_drop_results(r);
    r->fail = NULL;
}

/* Last thing in whatever ended a wait: nothing may look at the request afterwards. */
static void req_hand_back(struct req *r)
{
    if (r->state == REQ_ANSWERED || r->wait >= WAIT_SENT)
        conn_go_on(r->conn);
}

static void req_go_on(struct req *r)
{
    req_run(r, req_end_wait(r));
    req_hand_back(r);
}

void req_park(struct req *r, enum req_park where, uint64_t until_us, req_step next)
{
    req_begin_wait(r, WAIT_PARKED, next);
    r->wait_until_us = until_us;
    parked_add(r, where);
}

void req_repark(struct req *r, enum req_park where)
{
    parked_remove(r);
    parked_add(r, where);
}

void req_wake(struct req *r)
{
    req_go_on(r);
}

static void req_give_up(struct req *r, err_t e, const char *why)
{
    struct fail f;

    (void)req_end_wait(r);
    fail_init(&f, NULL);
    (void)fail(&f, e, "%s", why);
    reply_fail(r, &f);
    req_drop_results(r);
    req_hand_back(r);
}

/* -- SQL ------------------------------------------------------------------------------------- */

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
    r->sql = (struct sql_call){.nsteps = n, .done = req_on_sql, .owner = r, .keeps_results = true};
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
    if (!r->sql.err && second->err) {
        r->sql.err = second->err;
        r->sql.message = second->message;
        memcpy(r->sql.sqlstate, second->sqlstate, sizeof(r->sql.sqlstate));
    }
    req_on_sql(&r->sql);
}

err_t req_sql_both(struct req *r, const struct sql_step steps[2], req_step next)
{
    if (r->worker->sql == NULL)
        return ERR_CLOSING;
    req_drop_results(r);
    if (!r->both)
        r->both = arena_zalloc(&r->arena, sizeof(*r->both));
    r->both->under_way = 2;
    r->both->call = r->sql =
        (struct sql_call){.nsteps = 1, .done = req_on_both, .owner = r, .keeps_results = true};
    r->sql.steps[0] = steps[0];
    r->both->call.steps[0] = steps[1];
    r->sql_may_fail = false;
    req_begin_wait(r, WAIT_SQL, next);
    sql_call(r->worker->sql, &r->sql);
    sql_call(r->worker->sql, &r->both->call);
    return OK;
}

const PGresult *req_second(const struct req *r)
{
    return r->both->call.results[0];
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
    r->stream = sql_stream_open(r->worker->sql, step, req_on_rows, r);
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

/* -- the queue ------------------------------------------------------------------------------- */

#define WORDS_LOST "The write could not be made durable; send the request again."

err_t req_lost(struct req *r, struct fail *f)
{
    stat_add(r->worker->stats, lost_batches, 1);
    return fail_str(f, ERR_DISK, STR(WORDS_LOST));
}

err_t req_wait_durable(struct req *r, pos_t end, req_step next)
{
    struct worker *w = r->worker;

    r->wait_pos = end;
    if (r->peers.shares) {
        r->peers.next = next;
        next = peers_share;
    }
    switch (queue_outcome(w->queue, end)) {
    case QUEUE_DURABLE: return next(r, r->fail);
    case QUEUE_LOST: return req_lost(r, r->fail);
    default: break;
    }
    req_begin_wait(r, WAIT_PARKED, next);
    r->wait_until_us = w->now_us + w->settings->request_timeout;
    parked_add(r, PARK_DURABLE);
    return OK;
}

static bool req_is_committed_here(const struct req *r)
{
    const struct queue *q = r->worker->queue;

    if (r->wait_partition == QUEUE_PARTITIONS_MAX)
        return queue_committed_all(q) >= r->wait_pos;
    return queue_committed(q, r->wait_partition) >= r->wait_pos;
}

/* Here and, as far as is known, elsewhere. */
static bool req_is_committed(struct req *r)
{
    return req_is_committed_here(r) && (!r->peers.targets || peers_reached(r));
}

/* The flusher closes its window, when what is waited for is ours. */
static void req_hurry(const struct req *r)
{
    if (!req_is_committed_here(r))
        queue_hurry(r->worker->queue, r->wait_partition);
}

/* The read goes on with what PostgreSQL has, and its answer says how old that may be. */
static void req_note_behind(struct req *r)
{
    struct worker *w = r->worker;
    uint64_t behind_us = queue_backlog_us(w->queue);

    /* How old the points of another pod are is not known; they are older than this wait. */
    if (r->peers.targets && w->now_us - r->wait_since_us > behind_us)
        behind_us = w->now_us - r->wait_since_us;
    r->behind_us = behind_us ? behind_us : 1;
    stat_add(r->worker->stats, read_behind, 1);
}

void req_wake_behind(struct req *r)
{
    req_note_behind(r);
    req_go_on(r);
}

static err_t req_wait_committed(struct req *r, pos_t pos, unsigned partition, req_step next)
{
    struct worker *w = r->worker;

    r->wait_pos = pos;
    r->wait_partition = partition;
    if (req_is_committed(r))
        return next(r, r->fail);
    req_hurry(r);
    peers_ask(r);
    stat_add(w->stats, read_waits, 1);
    if (w->settings->read_wait == 0) {
        req_note_behind(r);
        return next(r, r->fail);
    }
    req_begin_wait(r, WAIT_PARKED, next);
    r->wait_until_us = w->now_us + w->settings->read_wait;
    parked_add(r, PARK_COMMITTED);
    return OK;
}

/* What other pods have is found out first: then one wait serves both. */
static err_t req_looked_run(struct req *r, struct fail *f)
{
    const struct worker *w = r->worker;

    (void)f;
    return req_wait_committed(r, runs_position(w->runs, &r->wait_run),
                              queue_partition_of(w->queue, run_id_str(&r->wait_run)),
                              r->peers.next);
}

static err_t req_looked_all(struct req *r, struct fail *f)
{
    (void)f;
    return req_wait_committed(r, r->wait_pos, QUEUE_PARTITIONS_MAX, r->peers.next);
}

err_t req_wait_run(struct req *r, struct str run_id, req_step next)
{
    if (!run_id_set(&r->wait_run, run_id))
        return next(r, r->fail); /* no such run can exist */
    r->peers.next = next;
    return r->worker->peers ? peers_look(r, &r->wait_run, req_looked_run)
                            : req_looked_run(r, r->fail);
}

err_t req_wait_all(struct req *r, req_step next)
{
    r->wait_pos = queue_appended(r->worker->queue);
    r->peers.next = next;
    return r->worker->peers ? peers_look(r, NULL, req_looked_all) : req_looked_all(r, r->fail);
}

struct str req_user(const struct req *r)
{
    return r->user ? r->user->name : STR("");
}

/* -- runs ------------------------------------------------------------------------------------ */

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
     * would be final, so it is asked for. */
    if (w->settings->run_cache_ttl == 0 || !runs_get(w->runs, id, w->now_us, UINT64_MAX, out) ||
        !out->is_active)
        return false;
    stat_add(w->stats, run_recalls, 1);
    return true;
}

/* PostgreSQL gave no answer: on with what was known, if anything was. */
static bool req_go_on_recalled(struct req *r)
{
    r->has_run = req_recall_run(r, &r->wait_run, &r->run);
    if (r->has_run)
        req_go_on(r);
    return r->has_run;
}

err_t req_find_run(struct req *r, struct str run_id, req_step next)
{
    struct worker *w = r->worker;

    r->has_run = false;
    if (run_id.n == 0 || !run_id_set(&r->wait_run, run_id))
        return next(r, r->fail); /* no such run can exist */
    if (runs_get(w->runs, &r->wait_run, w->now_us, w->settings->run_cache_ttl, &r->run)) {
        r->has_run = true;
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
    req_begin_wait(r, WAIT_PARKED, next);
    r->wait_until_us = w->now_us + RUN_PATIENCE_US;
    parked_add(r, PARK_RUN);
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
    if (run_id_set(&id, sql_get(res, row, 0)))
        runs_put(w->runs, &id, w->run_asked_us, run);
}

/* Everybody who asked learns it, and goes on. */
static void run_query_answer(struct worker *w, const PGresult *res)
{
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

        r->has_run = row != NULL;
        if (row)
            r->run = found[*row];
        req_go_on(r);
    }
    idmap_fini(&rows);
}

static void run_query_on_done(struct sql_call *call)
{
    struct worker *w = call->owner;
    struct req *r;

    worker_touch(w);
    if (call->err == OK) {
        run_query_answer(w, call->results[0]);
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

        parked_remove(r);
        parked_add(r, PARK_ASKED);
        ids[n++] = run_id_str(&r->wait_run);
    }
    values = arena_alloc(&w->run_arena, sizeof(*values));
    *values = sql_text_array(&w->run_arena, ids, n);
    w->run_call = (struct sql_call){.nsteps = 1, .done = run_query_on_done, .owner = w};
    w->run_call.steps[0] = (struct sql_step){&RUN_FIND, values, 1};
    w->is_run_call_open = true;
    w->run_asked_us = w->now_us;
    sql_call(w->sql, &w->run_call);
}

/* -- for conn and worker ----------------------------------------------------------------------- */

void req_init(struct req *r, struct worker *w, struct conn *c)
{
    *r = (struct req){.worker = w, .conn = c};
    arena_init(&r->arena, ARENA_FIRST);
}

void req_fini(struct req *r)
{
    may_end(r);
    req_drop_results(r);
    arena_fini(&r->arena);
    buf_fini(&r->reply.body);
    buf_fini(&r->reply.headers);
}

void req_reset(struct req *r)
{
    check(r->state != REQ_WAITING && r->parked_in == PARK_NONE);
    if (r->over) {
        void (*over)(struct req *) = r->over;

        r->over = NULL;
        over(r);
    }
    may_end(r);
    arena_reset(&r->arena);
    buf_shrink(&r->reply.body, KEEP_REPLY);
    buf_shrink(&r->reply.headers, KEEP_REPLY);
    r->reply.status = 0;
    r->reply.content_type = NULL;
    r->reply.must_close = false;
    r->reply.is_streamed = r->reply.is_begun = r->reply.is_broken = false;
    r->reply.lines = LINES_ALL;
    r->reply.has_length = false;
    r->reply.file_left = 0;
    r->reply.interim = r->reply.trailers = (struct str){0};
    r->reply.is_relayed = false;
    r->is_late = false;
    r->route = NULL;
    r->head = NULL;
    r->state = REQ_IDLE;
    r->started_us = 0;
    r->data = NULL;
    r->whole = NULL;
    r->artifact = NULL;
    check(r->s3 == NULL); /* over() stopped it */
    r->both = NULL;
    r->caught = NULL;
    r->has_run = false;
    r->user = NULL;
    r->auth_until_us = 0;
    r->behind_us = 0;
    r->peers = (struct req_peers){0};
    r->reply.retry_s = 0;
    r->wait_pos = 0;
}

static err_t req_aside(struct req *r, struct helper *h, void (*work)(void *req), req_step next)
{
    struct worker *w = r->worker;

    r->job = (struct helper_job){.work = work,
                                 .arg = r,
                                 .answer_to = &w->inbox,
                                 .answer = {.kind = WORKER_BODY, .ref = (uintptr_t)r},
                                 .until_us = w->now_us + w->settings->request_timeout};
    if (w->helped_count >= HELPED_MAX || !helper_post(h, &r->job))
        return fail(r->fail, ERR_BUSY, "Too many requests wait for a thread beside the workers.");
    w->helped_count++;
    req_begin_wait(r, WAIT_BODY, next);
    return OK;
}

err_t req_hash(struct req *r, struct str name, void (*work)(void *req), req_step next)
{
    return req_aside(r, auth_hasher_of(r->worker, name), work, next);
}

static void req_do_prepare(void *arg)
{
    struct req *r = arg;
    struct fail f;

    fail_init(&f, &r->arena);
    r->prepared = r->prepare(r, &f);
    r->why = r->prepared && f.err == r->prepared ? arena_dup(&r->arena, f.text) : sql_null();
}

static err_t req_end_prepare(struct req *r, struct fail *f)
{
    if (r->prepared == OK)
        return r->prepared_next(r, f);
    return r->why.p ? fail_str(f, r->prepared, r->why) : r->prepared;
}

err_t req_prepare(struct req *r, size_t bytes, req_step prepare, req_step next)
{
    err_t e;

    if (r->input.body.n + r->input.query.n > bytes) {
        r->prepare = prepare;
        r->prepared_next = next;
        return req_aside(r, r->worker->helper, req_do_prepare, req_end_prepare);
    }
    e = prepare(r, r->fail);
    return e ? e : next(r, r->fail);
}

err_t req_on_files(struct req *r, req_step prepare, req_step next)
{
    const struct artifacts *x = server_artifacts(r->worker->server);

    r->prepare = prepare;
    r->prepared_next = next;
    return req_aside(r, x->threads[r->worker->file_turn++ % x->thread_count], req_do_prepare,
                     req_end_prepare);
}

static void req_read_body(void *arg)
{
    struct req *r = arg;

    document_read_ahead(&r->arena, r->input.body, &r->ahead);
    r->input.ahead = &r->ahead;
}

static err_t req_permit(struct req *r, struct fail *f)
{
    (void)f;
    return may_check(r, r->route->handler);
}

static err_t req_await_body(struct req *r, struct fail *f)
{
    bool is_long = r->input.body.n > LIMIT_BODY_ASIDE && r->route->body != BODY_NONE &&
                   input_check_type(&r->input, NULL) == OK;

    return is_long ? req_aside(r, r->worker->helper, req_read_body, req_permit) : req_permit(r, f);
}

static err_t req_authenticate(struct req *r, struct fail *f)
{
    (void)f;
    return auth_admit(r, req_await_body);
}

/* Who, what, may it; then the handler's first step. */
void req_start(struct req *r)
{
    req_run(r, req_authenticate);
}

void req_on_body(struct req *r)
{
    r->worker->helped_count--;
    if (r->job.is_late)
        req_give_up(r, ERR_DEADLINE, "The helper thread did not come to this request in time.");
    else
        req_go_on(r);
}

err_t req_pause(struct req *r, req_step next)
{
    req_begin_wait(r, WAIT_PARKED, next);
    parked_add(r, PARK_TURN);
    stat_add(r->worker->stats, request_turns, 1);
    inbox_ring(&r->worker->inbox);
    return OK;
}

err_t req_wait_event(struct req *r, uint64_t timeout_us, req_step next)
{
    r->is_late = false;
    req_begin_wait(r, WAIT_PARKED, next);
    r->wait_until_us = r->worker->now_us + timeout_us;
    parked_add(r, PARK_EVENT);
    return OK;
}

bool req_event(struct req *r)
{
    if (r->parked_in != PARK_EVENT)
        return false;
    req_go_on(r);
    return true;
}

/* False: it still waits. */
static bool req_wake_write(struct worker *w, struct req *r)
{
    enum queue_outcome outcome = queue_outcome(w->queue, r->wait_pos);

    if (outcome == QUEUE_PENDING)
        return false;
    if (outcome == QUEUE_DURABLE) {
        req_go_on(r);
        return true;
    }
    stat_add(w->stats, lost_batches, 1);
    req_give_up(r, ERR_DISK, WORDS_LOST);
    return true;
}

static void req_wake_durable(struct worker *w)
{
    struct req *r;

    while ((r = w->durable.first) && req_wake_write(w, r))
        continue;
}

/* In a queue without order others may be durable behind the first that waits: looked for at the
 * timer only, because they are met in order but when a partition has no leader. */
static void req_wake_scattered(struct worker *w)
{
    struct req *r = w->durable.first;

    for (unsigned n = w->durable.count; n > 0; n--) {
        struct req *after = r->list_next;

        (void)req_wake_write(w, r);
        r = after;
    }
}

/* A step may park its request again, or another, at the end of the list: count says where the old
 * ones end. */
static void req_wake_committed(struct worker *w)
{
    struct req *r = w->committed.first;

    for (unsigned n = w->committed.count; n > 0; n--) {
        struct req *after = r->list_next;

        if (req_is_committed(r))
            req_go_on(r);
        else
            req_hurry(r);
        r = after;
    }
}

static void req_wake_turn(struct worker *w)
{
    if (w->turns.first)
        req_go_on(w->turns.first);
    if (w->turns.first)
        inbox_ring(&w->inbox);
}

void req_wake_parked(struct worker *w)
{
    req_wake_durable(w);
    req_wake_committed(w);
    req_wake_turn(w);
}

/* Who waits for a run that is known goes on; for the others the query's own deadline is the bound. */
static void req_expire_runs(struct worker *w, struct parked *l)
{
    struct req *r = l->first;

    for (unsigned n = l->count; n > 0; n--) {
        struct req *after = r->list_next;

        if (r->wait_until_us <= w->now_us && !req_go_on_recalled(r))
            r->wait_until_us = UINT64_MAX;
        r = after;
    }
}

/* Who waits for something of its own is told that it is late. */
static void req_expire_events(struct worker *w)
{
    struct req *r = w->events.first;

    for (unsigned n = w->events.count; n > 0; n--) {
        struct req *after = r->list_next;

        if (r->wait_until_us <= w->now_us) {
            r->is_late = true;
            req_go_on(r);
        }
        r = after;
    }
}

void req_expire_parked(struct worker *w)
{
    struct req *r;

    req_expire_runs(w, &w->runs_asked);
    req_expire_runs(w, &w->runs_waiting);
    req_expire_users(w);
    req_expire_events(w);
    r = w->committed.first;
    for (unsigned n = w->committed.count; n > 0; n--) {
        struct req *after = r->list_next;

        if (r->wait_until_us <= w->now_us) {
            if (!req_is_committed(r))
                req_note_behind(r);
            req_go_on(r);
        }
        r = after;
    }
    if (!queue_is_ordered(w->queue))
        req_wake_scattered(w);
    while ((r = w->durable.first) && r->wait_until_us <= w->now_us)
        req_give_up(r, ERR_DEADLINE, "The write did not become durable in time; send it again.");
}

void req_end_parked(struct worker *w)
{
    struct parked *lists[] = {&w->durable,     &w->committed, &w->runs_waiting, &w->users_asked,
                              &w->turns,       &w->events,    &w->sharing,      &w->looks_waiting,
                              &w->looks_asked, &w->commands};

    for (size_t i = 0; i < array_len(lists); i++) {
        while (lists[i]->first)
            req_give_up(lists[i]->first, ERR_CLOSING, "The server is shutting down.");
    }
}
