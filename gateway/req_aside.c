/*
 * req_aside: the part of a request that a thread beside the workers does.
 *
 * The thread's answer is a note in the worker's inbox, which has room for so many: HELPED_MAX bounds
 * them, and who finds no room is told to come again. While a job is under way the request belongs to
 * the thread but for its place in the worker's lists; a job that comes too late is answered 504.
 */
#include "gateway/req_aside.h"

#include "gateway/artifact/artifacts.h"
#include "gateway/auth/auth.h"
#include "gateway/req_drive.h"
#include "gateway/req_park.h"
#include "gateway/req_steps.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "ingest/input.h"
#include "schema/errors.h"

enum {
    HELPED_MAX = INBOX_NOTES / 2 /* of a worker: their notes leave room for others in its inbox */
};

err_t req_aside(struct req *r, struct helper *h, void (*work)(void *req), req_step next)
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

void req_on_body(struct req *r)
{
    r->worker->helped_count--;
    if (r->job.is_late)
        req_give_up(r, ERR_DEADLINE, "The helper thread did not come to this request in time.");
    else
        req_wake(r);
}
