/*
 * conn_end: requests that are refused, bodies that are passed over, and how a connection ends.
 *
 * Closing with unread bytes would reset the connection and may destroy the answer on its way. So
 * unless the peer itself asked for the end, our side is shut down and what still comes is
 * dropped, up to a bound in time and bytes. The kernel drops it without handing it over, so a peer
 * that sends 16 MiB behind a refusal costs a worker 2 ms, where reading them took 18.
 */
#include "gateway/http/conn.h"

#include <errno.h>
#include <sys/socket.h>

#include "gateway/http/conn_io.h"
#include "gateway/http/conn_steps.h"
#include "gateway/http/reply.h"
#include "gateway/req_body.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"

enum {
    SKIP_MAX = 65536,    /* rest of a refused body that is worth keeping the connection */
    DROP_ROOM = 1 << 20, /* what the kernel drops at once */
    DROPS_MAX = 4,       /* of one connection in a turn */
    LINGER_BYTES_MAX = 64 << 20,
    LINGER_BYTES_MIN = 65536 /* between two looks; a peer that sends less is not waited for */
};

/* What came is not a request, or not in time: answer and close. */
bool conn_refuse(struct conn *c, const struct fail *f)
{
    struct req *r = &c->x->req;

    stat_add(c->worker->stats, connections_dropped, 1);
    if (c->state == CONN_RECEIVING)
        req_body_failed(r, f);
    else
        reply_fail(r, f);
    r->reply.must_close = true;
    return conn_answer(c);
}

/* A body that is here, or nearly, is passed over; otherwise it is not worth reading, and the connection
 * ends. */
void conn_pass_body(struct conn *c)
{
    struct exchange *x = c->x;
    struct req *r = &x->req;
    uint64_t left = http_body_left(x->http);
    size_t here = buf_len(&x->in) - x->taken_bytes;

    if (here > left)
        here = (size_t)left;
    http_body_took(x->http, here);
    x->taken_bytes += here;
    left -= here;
    if (r->head->is_chunked || left > SKIP_MAX || (left && x->owes_continue))
        r->reply.must_close = true;
}

bool conn_answer_early(struct conn *c)
{
    conn_pass_body(c);
    return conn_answer(c);
}

bool conn_refuse_early(struct conn *c, const struct fail *f)
{
    reply_fail(&c->x->req, f);
    return conn_answer_early(c);
}

/* Our side ends here. */
bool conn_end(struct conn *c)
{
    const struct req *r = &c->x->req;
    bool is_wanted = r->head && !r->head->is_keep_alive && r->reply.status < 400;

    if (is_wanted || conn_io_shutdown(c) != 0)
        return conn_gone(c, "done");
    worker_put_exchange(c->worker, c->x);
    c->x = NULL;
    c->is_readable = true;
    conn_begin_phase(c);
    conn_goto(c, CONN_LINGERING);
    return true;
}

/* An answer that has begun ends without being whole: the peer must not take it for the end. */
void conn_cut_off(struct conn *c)
{
    static const struct linger at_once = {.l_onoff = 1};

    c->is_cut_off = true;
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    stat_add(c->worker->stats, answers_broken, 1);
}

/* Drops at most max bytes; READ_SOME with *got of them. */
static enum read_result conn_read_away(struct conn *c, size_t max, size_t *got)
{
    ssize_t n;

    if (!c->is_readable)
        return READ_WAIT;
    n = conn_io_drop(c, max < DROP_ROOM ? max : DROP_ROOM);
    if (n > 0) {
        stat_add(c->worker->stats, received_bytes, n);
        c->received_bytes += (uint64_t)n;
        *got = (size_t)n;
        return READ_SOME;
    }
    c->is_readable = false;
    return n < 0 && errno == EAGAIN ? READ_WAIT : READ_END;
}

bool conn_skip(struct conn *c)
{
    struct http *http = c->x->http;
    size_t n;

    while (http_body_left(http)) {
        switch (conn_read_away(c, (size_t)http_body_left(http), &n)) {
        case READ_SOME: http_body_took(http, n); break;
        case READ_END: return conn_gone(c, "left in a body");
        default: return conn_await_bytes(c, TIMER_RECEIVE);
        }
    }
    return conn_next(c);
}

bool conn_linger(struct conn *c)
{
    size_t n;

    for (unsigned drops = 0; drops < DROPS_MAX; drops++) {
        switch (conn_read_away(c, DROP_ROOM, &n)) {
        case READ_SOME:
            if (c->received_bytes > LINGER_BYTES_MAX)
                return conn_gone(c, "sends on and on");
            break;
        case READ_END: return conn_gone(c, "done");
        default: return conn_await_bytes(c, TIMER_LINGER);
        }
    }
    return conn_await_bytes(c, TIMER_LINGER);
}

bool conn_linger_is_fast(struct conn *c)
{
    return conn_is_fast(c, TIMER_LINGER, LINGER_BYTES_MIN);
}
