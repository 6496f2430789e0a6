/*
 * req_part: answers that go out in parts, as their handlers see them. What is written, and when, is
 * conn_answer.c's.
 *
 * The length of an answer that has one is kept account of, part by part: a byte too many is refused
 * before it is sent, a byte too few breaks the answer off at its end. Either is a bug of the handler, or
 * a source that changed its mind; the peer must not take it for a good answer.
 */
#include "gateway/req_part.h"

#include "gateway/http/conn.h"
#include "gateway/http/reply.h"
#include "gateway/req_drive.h"
#include "gateway/req_steps.h"
#include "schema/errors.h"

enum { PART_BYTES = 65536 /* of an answer that goes out in parts */ };

bool req_has_part(const struct req *r)
{
    return buf_len(&r->reply.body) >= PART_BYTES;
}

err_t req_send_part(struct req *r, req_step next)
{
    if (!req_has_part(r))
        return next(r, r->fail);
    reply_stream(r);
    if (reply_has_body(r)) {
        req_begin_wait(r, WAIT_SENT, next);
        return OK;
    }
    return reply_ok(r); /* HEAD: what the rest would be is of no interest */
}

void req_begin_answer(struct req *r, int status, const char *content_type, uint64_t length)
{
    bool has_length = length != REQ_NO_LENGTH;

    buf_reset(&r->reply.body);
    reply_stream_as(r, status, content_type, has_length, has_length ? length : 0);
}

/* n bytes more are about to go out. */
static err_t req_count_part(struct req *r, uint64_t n)
{
    struct reply *p = &r->reply;

    if (!p->has_length)
        return OK;
    if (n > p->length_left)
        return fail(r->fail, ERR_INTERNAL, "The answer is longer than was said.");
    p->length_left -= n;
    return OK;
}

static err_t req_end_head(struct req *r)
{
    buf_reset(&r->reply.body);
    r->state = REQ_ANSWERED;
    return OK;
}

err_t req_send_file(struct req *r, int fd, uint64_t at, uint64_t n, req_step next)
{
    struct reply *p = &r->reply;
    err_t e;

    check(p->is_streamed && (n == 0 || p->has_length));
    if (!reply_has_body(r))
        return req_end_head(r);
    if ((e = req_count_part(r, buf_len(&p->body) + n)))
        return e;
    p->file = fd;
    p->file_at = at;
    p->file_left = n;
    req_begin_wait(r, WAIT_SENT, next);
    return OK;
}

err_t req_send(struct req *r, req_step next)
{
    return req_send_file(r, -1, 0, 0, next);
}

err_t req_send_interim(struct req *r, struct str head, req_step next)
{
    check(!r->reply.is_begun && buf_len(&r->reply.body) == 0);
    r->reply.interim = head;
    req_begin_wait(r, WAIT_SENT, next);
    return OK;
}

err_t req_end_answer(struct req *r)
{
    err_t e;

    if (!reply_has_body(r))
        return req_end_head(r);
    if ((e = req_count_part(r, buf_len(&r->reply.body))))
        return e;
    if (r->reply.has_length && r->reply.length_left)
        return fail(r->fail, ERR_INTERNAL, "The answer is shorter than was said.");
    r->state = REQ_ANSWERED;
    return OK;
}

void req_part_sent(struct req *r)
{
    check(r->wait == WAIT_SENT);
    req_run(r, req_end_wait(r));
}

void req_abandon(struct req *r)
{
    check(r->wait >= WAIT_SENT);
    (void)req_end_wait(r);
    req_drop_results(r);
    r->reply.file_left = 0;
    r->state = REQ_IDLE;
}
