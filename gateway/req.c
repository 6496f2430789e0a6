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

#include "gateway/auth/auth.h"
#include "gateway/auth/may.h"
#include "gateway/auth/workspace.h"
#include "gateway/http/conn.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/peers/peers.h"
#include "gateway/req_aside.h"
#include "gateway/req_drive.h"
#include "gateway/req_part.h"
#include "gateway/req_steps.h"
#include "gateway/trace/trace.h"
#include "gateway/worker.h"
#include "ingest/input.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum {
    ARENA_FIRST = 8192, /* a small write is decoded without malloc */
    KEEP_REPLY = 16384  /* of an answer's memory, from one request to the next */
};

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
    if (r->trace)
        trace_waited(r);
    req_unpark(r);
    if (r->peers.command)
        peers_forget(r);
    r->state = REQ_RUNNING;
    r->wait = WAIT_NONE;
    r->next = NULL;
    stat_sub(r->worker->stats, parked_requests, 1);
    return next;
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
void req_hand_back(struct req *r)
{
    if (r->state == REQ_ANSWERED || r->wait >= WAIT_SENT)
        conn_go_on(r->conn);
}

void req_give_up(struct req *r, err_t e, const char *why)
{
    struct fail f;

    (void)req_end_wait(r);
    fail_init(&f, NULL);
    (void)fail(&f, e, "%s", why);
    reply_fail(r, &f);
    req_drop_results(r);
    req_hand_back(r);
}

struct str req_user(const struct req *r)
{
    return r->user ? r->user->name : STR("");
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
    r->trace = NULL;
    r->auth_until_us = 0;
    r->behind_us = 0;
    r->peers = (struct req_peers){0};
    r->reply.retry_s = 0;
    r->wait_pos = 0;
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

static err_t req_locate(struct req *r, struct fail *f)
{
    (void)f;
    return workspace_admit(r, req_await_body);
}

static err_t req_authenticate(struct req *r, struct fail *f)
{
    (void)f;
    return auth_admit(r, req_locate);
}

/* Who, where, what, may it; then the handler's first step. */
void req_start(struct req *r)
{
    req_run(r, req_authenticate);
}
