/*
 * s3: calls to an S3 server on a worker's event loop, streamed both ways.
 *
 * One pool a worker, made when it is first needed; the rest goes by requests. A call belongs to a
 * request, at most one at a time, from s3_start until s3_stop, which the request's `over` must not
 * forget:
 *
 *     s3_start     the request goes out; then in any order that makes sense
 *     s3_feed      next follows when its body's next bytes are on their way
 *     s3_await     next follows when the head of the answer, more of it, or all of it is there
 *     s3_stop      gives everything back; a call that is under way is broken off
 *
 * The steps are as in req.h: they may follow at once. A wait lasts artifact_timeout at most. What
 * fails on the way gives ERR_STORAGE; what the server refuses is an answer like any other, and
 * s3_fail makes the error of it. What is held for a call are two buffers of libcurl's and S3_ANSWER_MAX.
 */
#ifndef GATEWAY_S3_H
#define GATEWAY_S3_H

#include "base/buf.h"
#include "gateway/req.h"
#include "gateway/s3/curl_loop.h"
#include "gateway/s3/s3_request.h"

struct s3_pool;

enum { S3_ANSWER_MAX = 8 << 20 };

enum s3_wait { S3_HEAD, S3_BYTES, S3_END, S3_ROOM };

struct s3_call {
    int status;                       /* after S3_HEAD */
    uint64_t length;                  /* Content-Length; UINT64_MAX = not said */
    struct str etag, range, modified; /* of the header fields; empty = none */
    struct buf answer; /* what is there of the body and not yet taken out by buf_reset */
    bool is_done;      /* all of it is there */
    /* private */
    struct req *req;
    struct s3_pool *pool;
    void *easy;
    void *headers;
    err_t err;
    const char *why; /* libcurl's words, constant */
    struct str feed; /* not yet taken */
    struct str body;
    enum s3_wait wants;
    req_step next;
    bool is_waiting, is_ready, has_head, is_paused, wants_feed, is_bounded;
    bool is_sent; /* libcurl has it */
    struct curl_job job;
    struct s3_call *ready_next;
    struct s3_call *unsigned_next; /* of those that wait for keys */
    struct s3_call *away_next;     /* of those that nobody waits for */
};

/* next follows when there are keys to sign URLs with; without them the request ends in ERR_STORAGE. */
must_check err_t s3_need_keys(struct req *r, req_step next);
/* How to reach S3, with the worker's keys: after s3_need_keys, or while a call has been answered. */
const struct s3_conf *s3_conf_now(struct worker *w);
/* Begins a call, r->s3; one that was there is stopped. */
must_check err_t s3_start(struct req *r, const struct s3_request *q, struct fail *f);
must_check err_t s3_await(struct req *r, enum s3_wait what, req_step next);
/* bytes must stay where they are until then. next follows when they are taken, or the call is done. */
must_check err_t s3_feed(struct req *r, struct str bytes, req_step next);
/* r->s3 may be NULL. */
void s3_stop(struct req *r);
/* A call whose answer nobody waits for, beyond the request's end: undoes what is half done. */
void s3_send_away(struct worker *w, struct arena *a, const struct s3_request *q);
/* The answer as an error; what: "Failed to ...: ", or "". After S3_END. */
err_t s3_fail(struct req *r, struct str what, struct fail *f);
/* Frees the pool of a worker; NULL is fine. No request has a call any more. */
void s3_close(struct s3_pool *p);

#endif
