/*
 * req_body: the waits of a handler that takes its body in pieces. What is read, and when, is
 * conn_body.c's; the limit lies in the exchange, where the framing is checked.
 */
#include "gateway/req_body.h"

#include "gateway/http/conn.h"
#include "gateway/http/conn_steps.h"
#include "gateway/http/reply.h"
#include "gateway/req_steps.h"

err_t req_next_piece(struct req *r, req_step next)
{
    if (r->is_whole) {
        r->piece = STR("");
        return next(r, r->fail);
    }
    req_begin_wait(r, WAIT_PIECE, next);
    return OK;
}

bool req_interrupt(struct req *r)
{
    if (r->wait != WAIT_PIECE)
        return false;
    conn_interrupt(r->conn);
    return true;
}

void req_limit_body(struct req *r, uint64_t max_bytes)
{
    r->conn->x->max_body = max_bytes;
}

void req_piece_came(struct req *r)
{
    check(r->wait == WAIT_PIECE);
    req_run(r, req_end_wait(r));
}

void req_body_failed(struct req *r, const struct fail *f)
{
    check(r->wait == WAIT_PIECE);
    (void)req_end_wait(r);
    req_drop_results(r);
    reply_fail(r, f);
}
