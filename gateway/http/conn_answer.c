/*
 * conn_answer: the answer of a request on its way out, whole or in parts.
 *
 * The answer is written at once; the socket is watched for room only when it has none. A large answer
 * comes in parts, each when the socket has taken the one before: what a slow reader has not taken is in
 * the kernel's buffer and one part, never more. Its time is bounded for each part. An answer that has
 * begun and cannot be finished ends in a reset, so that neither the end of the connection nor anything
 * else looks like the end of the answer.
 *
 * A part may end with a range of a file. The kernel moves its bytes (conn_io.c), FILE_TURN of them in a
 * turn; the worker waits for the disk then, if they are not in the kernel's cache.
 */
#include "gateway/http/conn.h"

#include <errno.h>
#include <sys/uio.h>

#include "gateway/http/conn_io.h"
#include "gateway/http/conn_steps.h"
#include "gateway/http/reply.h"
#include "gateway/http/request_log.h"
#include "gateway/req_drive.h"
#include "gateway/status/latency.h"
#include "gateway/trace/trace.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"

enum {
    FILE_TURN = 1 << 20, /* of a file in a turn of the loop */
    FILE_STEP = 65536    /* of a file within request_timeout: what a part of another answer has */
};

/* Counts the answer that is out. */
void conn_count(struct conn *c)
{
    struct worker *w = c->worker;
    struct req *r = &c->x->req;
    struct exemplar traced;
    uint64_t took_us;
    size_t rows;

    worker_touch(w);
    took_us = r->started_us ? w->now_us - r->started_us : 0;
    stat_add(w->stats, requests, 1);
    if (r->reply.status == 429)
        stat_add(w->stats, refused_busy, 1);
    stat_add(w->stats, sent_bytes, c->x->sent_bytes);
    route_rows(&rows);
    latency_note(w->latency, r->route ? route_index(r->route) : (unsigned)rows,
                 r->head ? r->head->method : 0, (unsigned)r->reply.status, took_us,
                 trace_exemplar(r, &traced));
    if (r->trace)
        trace_end(r);
    if (w->settings->log_requests[0] != 'n') /* none */
        request_log(c, took_us);
}

/* Puts head and frame around what is in the reply's body. */
static void conn_prepare(struct conn *c, bool is_last)
{
    struct exchange *x = c->x;
    struct req *r = &x->req;

    if (c->worker->net->is_leaving || (r->head && !r->head->is_keep_alive))
        r->reply.must_close = true;
    buf_reset(&x->out);
    x->sent_bytes = 0;
    if (r->reply.interim.n) {
        buf_add_str(&x->out, r->reply.interim);
        x->tail = r->reply.interim = STR("");
        return;
    }
    if (!r->reply.is_begun)
        reply_head(r, &x->out);
    r->reply.is_begun = true;
    x->tail = reply_frame(r, is_last, &x->out);
}

/* The reply is complete: makes its bytes. */
bool conn_answer(struct conn *c)
{
    struct req *r = &c->x->req;

    conn_goto(c, CONN_WRITING);
    if (r->reply.is_broken) {
        conn_count(c);
        return conn_gone(c, "answer broken off");
    }
    conn_prepare(c, true);
    return true;
}

/* A part of it is. */
static bool conn_send_part(struct conn *c)
{
    conn_goto(c, CONN_SENDING);
    conn_prepare(c, false);
    return true;
}

/* From here on its bytes are another protocol's: pump moves them. */
static bool conn_open_tunnel(struct conn *c)
{
    conn_goto(c, CONN_TUNNEL);
    conn_count(c);
    c->is_readable = true;
    worker_set_timer(c, TIMER_TUNNEL);
    return true;
}

/* The handler has run: what came of it? */
bool conn_handled(struct conn *c)
{
    struct req *r = &c->x->req;

    if (r->state == REQ_ANSWERED)
        return c->x->is_streaming && !r->is_whole ? conn_answer_early(c) : conn_answer(c);
    if (r->wait == WAIT_SENT)
        return conn_send_part(c);
    if (r->wait == WAIT_PIECE)
        return conn_ask_piece(c);
    if (r->wait == WAIT_TUNNEL)
        return conn_open_tunnel(c);
    worker_set_timer(c, TIMER_NONE);
    return false;
}

/* What is left to send of head, body and tail; returns the number of slices. */
static int conn_left(const struct exchange *x, struct iovec v[3])
{
    const struct str parts[3] = {
        buf_str(&x->out), reply_has_body(&x->req) ? buf_str(&x->req.reply.body) : STR(""), x->tail};
    size_t skip = x->sent_bytes;
    int count = 0;

    for (size_t i = 0; i < array_len(parts); i++) {
        size_t here = skip < parts[i].n ? skip : parts[i].n;

        if (here < parts[i].n)
            v[count++] = conn_io_slice(str_skip(parts[i], here));
        skip -= here;
    }
    return count;
}

static size_t conn_sum(const struct iovec *v, int count)
{
    size_t sum = 0;

    for (int i = 0; i < count; i++)
        sum += v[i].iov_len;
    return sum;
}

/* The peer has taken a part: the handler's turn. What it brings goes out in the next turn of the
 * loop, so that a fast reader does not hold the worker. */
static bool conn_part_taken(struct conn *c)
{
    struct exchange *x = c->x;

    stat_add(c->worker->stats, sent_bytes, x->sent_bytes);
    buf_reset(&x->req.reply.body);
    conn_goto(c, CONN_HANDLING);
    worker_set_timer(c, TIMER_NONE);
    req_part_sent(&x->req);
    if (conn_handled(c))
        worker_yield(c);
    return false;
}

/* Waits for room in the socket. A file is one part however long it is: its time begins anew with each
 * FILE_STEP of it. */
static bool conn_await_room(struct conn *c)
{
    uint64_t left = c->x->req.reply.file_left;

    conn_count_memory(c);
    event_add(&c->writable, NULL);
    if (c->timer != TIMER_SEND || c->file_then - left >= FILE_STEP) {
        worker_set_timer(c, TIMER_SEND);
        c->file_then = left;
    }
    return false;
}

/* The bytes of a file, once what goes before them is out; true when all are. */
static bool conn_write_file(struct conn *c)
{
    struct reply *p = &c->x->req.reply;
    uint64_t stop = p->file_left > FILE_TURN ? p->file_left - FILE_TURN : 0;

    while (p->file_left > stop) {
        size_t n = p->file_left < FILE_TURN ? (size_t)p->file_left : FILE_TURN;
        ssize_t sent = conn_io_send_file(c, p->file, p->file_at, n);

        if (sent < 0 && errno == EAGAIN)
            return conn_await_room(c);
        if (sent <= 0)
            return conn_gone(c, sent == 0 ? "the file is shorter than it was"
                                          : "the file or its peer is gone");
        p->file_at += (uint64_t)sent;
        p->file_left -= (uint64_t)sent;
        stat_add(c->worker->stats, sent_bytes, sent);
    }
    if (p->file_left == 0)
        return true;
    worker_yield(c);
    return false;
}

bool conn_write(struct conn *c)
{
    struct exchange *x = c->x;
    struct iovec v[3];
    int count;

    while ((count = conn_left(x, v)) > 0) {
        ssize_t n = conn_io_write(c, v, count);

        if (n > 0) {
            x->sent_bytes += (size_t)n;
            if ((size_t)n == conn_sum(v, count))
                break;
            continue;
        }
        if (n < 0 && errno != EAGAIN)
            return conn_gone(c, "peer does not take the answer");
        return conn_await_room(c);
    }
    if (x->req.reply.file_left && !conn_write_file(c))
        return false;
    if (c->state == CONN_SENDING)
        return conn_part_taken(c);
    conn_count(c);
    if (x->req.reply.must_close)
        return conn_end(c);
    if (http_body_left(x->http)) {
        conn_goto(c, CONN_SKIPPING);
        return true;
    }
    return conn_next(c);
}

bool conn_is_amid_answer(const struct conn *c)
{
    struct iovec v[3];

    if (c->state == CONN_SENDING || (c->state == CONN_RECEIVING && c->x->req.reply.is_begun))
        return true;
    return c->state == CONN_WRITING && c->x->req.reply.is_streamed &&
           (c->x->req.reply.is_broken || conn_left(c->x, v) > 0);
}
