/*
 * conn_body: the body of a request, from the head's end to its handler's turn.
 *
 * One read and one write for the usual request: the head, with its body behind it, comes in one
 * read and stays where it was read; the handler gets slices of it. Only when the body is not
 * there yet is the head copied aside, and a long body then read in place, growing as it comes: what
 * a peer announces costs nothing until it sends it.
 *
 * A route with BODY_STREAM has its handler called with the head; it asks for the body in pieces
 * (gateway/req_body.h), and only while it waits for one is the socket read. A piece is what the socket
 * has, up to PIECE_BYTES, or LEAN_BYTES while body_memory_bytes is used up: so a body of any length costs a
 * piece. Between two pieces the loop has its turn.
 *
 * A body has request_timeout, and within each third of it must bring min_body_rate: the first bounds
 * how long one connection can be held, the second what it costs its peer to hold many. For one that
 * comes in pieces there is only the second, and only the time counts in which we waited for its peer.
 *
 * Memory. A request that waits, or whose peer does not read, is counted with its body, its arena and
 * its answer (held_bytes). When a worker's share of body_memory_bytes is used up, bodies that are
 * coming in, and heads that announce one, are answered 429; long ones at three quarters of it. A body
 * that the helper is to read counts twice, and what its values may take, because nobody may look at
 * the arena meanwhile.
 */
#include "gateway/http/conn.h"

#include <sys/uio.h>

#include "gateway/http/conn_io.h"
#include "gateway/http/conn_steps.h"
#include "gateway/req_body.h"
#include "gateway/req_drive.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum {
    CHUNK_ROOM = 16384, /* for a chunked body */
    BODY_ROOM = 65536,  /* for the first read of a long body, which then grows by doubling */
    BODY_READ = 65536, /* of a long body at once: READS_MAX of them are 1 MiB, or 1 ms, in a turn */
    PIECE_BYTES = 65536,
    LEAN_BYTES = 4096,
    SHORT_BODY = 65536, /* has room of its own in body_memory_bytes */
    VALUE_BYTES = 16    /* of a value of JSON in an arena */
};

/* What min_body_rate asks for since the last look. */
static uint64_t conn_least_bytes(const struct conn *c)
{
    uint64_t waited_ms = (c->worker->now_us - c->timer_since_us) / 1000;

    return conn_settings(c)->min_body_rate * waited_ms / 1000;
}

/* Of an arena that the helper fills: the text once more, and its values. */
static size_t conn_helper_bytes(const struct req *r)
{
    size_t n = r->input.body.n;
    size_t values = n / 2 < LIMIT_JSON_VALUES ? n / 2 : LIMIT_JSON_VALUES;

    return n + values * VALUE_BYTES;
}

void conn_count_memory(struct conn *c)
{
    struct exchange *x = c->x;
    struct req *r = &x->req;
    struct worker *w = c->worker;
    size_t n = buf_len(&x->body) + buf_len(&r->reply.body);

    n += r->wait == WAIT_BODY ? conn_helper_bytes(r) : arena_used(&r->arena);
    w->net->held_bytes += n - x->held_bytes;
    x->held_bytes = n;
    stat_set(w->stats, held_bytes, w->net->held_bytes);
}

/* Is there room for a body, or for more of it? A quarter is kept for short ones, so that a few peers
 * with long ones do not stop the many that log a metric. */
static err_t conn_memory_room(struct conn *c, struct fail *f)
{
    const struct http_head *d = c->x->req.head;
    const struct worker_net *net = c->worker->net;
    uint64_t limit = conn_settings(c)->body_memory_bytes / net->worker_count;

    if (d->is_chunked || d->content_length > SHORT_BODY)
        limit -= limit / 4;
    if (net->held_bytes <= limit)
        return OK;
    return fail(f, ERR_BUSY, "The requests under way take all of body_memory_bytes.");
}

/* What can be judged before the body is read: its length, and whether there is room for it. A body
 * that is announced takes nothing yet; what counts is that nothing is left. */
err_t conn_judge(struct conn *c, struct fail *f)
{
    struct exchange *x = c->x;
    const struct http_head *d = x->req.head;
    enum route_body kind = x->req.route->body;
    uint64_t limit = kind == BODY_LARGE ? LIMIT_BODY_LARGE : LIMIT_BODY_SMALL;
    uint64_t max = conn_settings(c)->max_body_bytes;

    if (kind == BODY_STREAM)
        max = UINT64_MAX; /* the handler says what is too much */
    else if (kind != BODY_BATCH && kind != BODY_WHOLE && max > limit)
        max = limit;
    x->max_body = max;
    if (d->content_length > max)
        return fail(f, ERR_HTTP_TOO_LARGE, "The body has %llu bytes; this path takes %llu.",
                    (unsigned long long)d->content_length, (unsigned long long)max);
    if (d->has_body && conn_memory_room(c, f) != OK)
        return ERR_BUSY;
    if ((kind != BODY_BATCH && kind != BODY_POINT) || d->method != HTTP_M_POST)
        return OK;
    return queue_headroom(c->worker->queue, (size_t)d->content_length, f);
}

static void conn_send_continue(struct conn *c)
{
    struct iovec v = conn_io_slice(STR("HTTP/1.1 100 Continue\r\n\r\n"));

    c->x->owes_continue = false;
    /* Nothing else is on its way, so it fits; if not, the client sends after a moment anyway. */
    if (conn_io_write(c, &v, 1) > 0)
        stat_add(c->worker->stats, sent_bytes, v.iov_len);
}

/* All of the request is here: the handler's turn. */
static bool conn_handle(struct conn *c, struct str body)
{
    struct req *r = &c->x->req;
    unsigned method = r->head->method;

    conn_goto(c, CONN_HANDLING);
    r->input = (struct bind_input){.is_get = (method & (HTTP_M_GET | HTTP_M_HEAD)) != 0,
                                   .any_type = (method & (HTTP_M_PATCH | HTTP_M_DELETE)) != 0,
                                   .has_content_type = r->head->has_content_type,
                                   .content_type = r->head->content_type,
                                   .query = r->head->query,
                                   .body = body};
    req_start(r);
    return conn_handled(c);
}

bool conn_handle_early(struct conn *c)
{
    conn_pass_body(c);
    return conn_handle(c, STR(""));
}

/* The handler is to take the body in pieces: its turn begins with the head. */
static bool conn_begin_pieces(struct conn *c)
{
    struct exchange *x = c->x;

    http_keep_head(x->http, &x->req.arena);
    buf_consume(&x->in, x->taken_bytes);
    x->taken_bytes = 0;
    x->is_streaming = true;
    x->req.is_whole = !x->req.head->has_body;
    conn_begin_phase(c);
    c->waited_us = 0;
    return conn_handle(c, STR(""));
}

/* The head was let through: is the body here already? */
bool conn_take_body(struct conn *c)
{
    struct exchange *x = c->x;
    const struct http_head *d = x->req.head;
    struct str rest = str_skip(buf_str(&x->in), x->taken_bytes);

    if (x->req.route->body == BODY_STREAM)
        return conn_begin_pieces(c);
    if (!d->is_chunked && d->content_length <= rest.n) {
        x->taken_bytes += (size_t)d->content_length;
        http_body_took(x->http, d->content_length);
        return conn_handle(c, str_head(rest, (size_t)d->content_length));
    }
    if (d->wants_continue && rest.n == 0)
        conn_send_continue(c);
    http_keep_head(x->http, &x->req.arena);
    buf_consume(&x->in, x->taken_bytes);
    x->taken_bytes = 0;
    conn_begin_phase(c);
    worker_set_timer(c, TIMER_RECEIVE);
    conn_goto(c, CONN_BODY);
    return true;
}

/* Counts the body's bytes that have come. What a peer announces counts nothing, so that nobody can
 * take the memory of others without sending it. */
static err_t conn_count_body(struct conn *c, struct fail *f)
{
    conn_count_memory(c);
    return conn_memory_room(c, f);
}

/* One read of body bytes, at most max: in place when their number is known. */
static enum read_result conn_read_more(struct conn *c, size_t max)
{
    struct exchange *x = c->x;
    uint64_t left = http_body_left(x->http);
    size_t before = buf_len(&x->body);
    size_t room = before > BODY_ROOM ? before : BODY_ROOM;
    enum read_result got;

    if (x->req.head->is_chunked)
        return conn_read_into(c, &x->in, CHUNK_ROOM, max);
    got = conn_read_into(c, &x->body, room < left ? room : (size_t)left,
                         left < max ? (size_t)left : max);
    if (got == READ_SOME)
        http_body_took(x->http, buf_len(&x->body) - before);
    return got;
}

bool conn_read_body(struct conn *c)
{
    struct exchange *x = c->x;
    struct fail f;
    size_t used;

    for (unsigned reads = 0;; reads++) {
        enum http_event event;

        fail_init(&f, &x->req.arena);
        event = http_feed_body(x->http, buf_str(&x->in), &used, &x->body, x->max_body, &f);
        buf_consume(&x->in, used);
        if (event == HTTP_END)
            return conn_handle(c, buf_str(&x->body));
        if (event == HTTP_ERROR || conn_count_body(c, &f) != OK)
            return conn_refuse(c, &f);
        if (reads >= READS_MAX)
            return conn_await_bytes(c, TIMER_RECEIVE);
        switch (conn_read_more(c, BODY_READ)) {
        case READ_SOME: break;
        case READ_END: return conn_gone(c, "left in a body");
        case READ_LOST: return conn_gone(c, "connection lost");
        default: return conn_await_bytes(c, TIMER_RECEIVE);
        }
    }
}

bool conn_body_is_fast(struct conn *c)
{
    return conn_is_fast(c, TIMER_RECEIVE, conn_least_bytes(c));
}

/* -- pieces ------------------------------------------------------------------------------------ */

bool conn_ask_piece(struct conn *c)
{
    struct exchange *x = c->x;

    conn_goto(c, CONN_RECEIVING);
    buf_reset(&x->body);
    if (x->owes_continue && buf_len(&x->in) == 0)
        conn_send_continue(c);
    x->owes_continue = false;
    return true;
}

bool conn_piece_is_fast(struct conn *c)
{
    struct worker *w = c->worker;
    uint64_t got = c->received_bytes - c->received_then;

    if (c->timer == TIMER_RECEIVE) {
        c->waited_us += w->now_us - c->timer_since_us;
        worker_set_timer(c, TIMER_RECEIVE);
    }
    if (c->waited_us < worker_receive_us(w))
        return true;
    if (got == 0 || got < conn_settings(c)->min_body_rate * (c->waited_us / 1000) / 1000)
        return false;
    c->received_then = c->received_bytes;
    c->waited_us = 0;
    return true;
}

/* The handler's turn; the loop's before it has the next piece. */
static bool conn_give_piece(struct conn *c, bool is_whole)
{
    struct exchange *x = c->x;
    struct fail f;

    if (!is_whole && !conn_piece_is_fast(c)) {
        fail_init(&f, NULL);
        (void)fail(&f, ERR_HTTP_TIMEOUT, "The request did not arrive in time.");
        return conn_refuse(c, &f);
    }
    x->req.piece = buf_str(&x->body);
    x->req.is_whole = is_whole;
    conn_goto(c, CONN_HANDLING);
    worker_set_timer(c, TIMER_NONE);
    req_piece_came(&x->req);
    if (conn_handled(c))
        worker_yield(c);
    return false;
}

void conn_interrupt(struct conn *c)
{
    (void)conn_piece_is_fast(c); /* whoever is too slow is told by the next piece */
    c->x->req.piece = STR("");
    conn_goto(c, CONN_HANDLING);
    worker_set_timer(c, TIMER_NONE);
    req_piece_came(&c->x->req);
    conn_go_on(c);
}

bool conn_receive(struct conn *c)
{
    struct exchange *x = c->x;
    struct fail f;
    size_t used, most;

    fail_init(&f, &x->req.arena);
    most = conn_memory_room(c, &f) == OK ? PIECE_BYTES : LEAN_BYTES;
    for (;;) {
        enum http_event event;

        event = http_feed_body(x->http, buf_str(&x->in), &used, &x->body, x->max_body, &f);
        buf_consume(&x->in, used);
        if (event == HTTP_ERROR)
            return conn_refuse(c, &f);
        if (event == HTTP_END || buf_len(&x->body) >= most)
            return conn_give_piece(c, event == HTTP_END);
        switch (conn_read_more(c, most)) {
        case READ_SOME: break;
        case READ_END: return conn_gone(c, "left in a body");
        case READ_LOST: return conn_gone(c, "connection lost");
        default:
            if (buf_len(&x->body))
                return conn_give_piece(c, false);
            return conn_await_bytes(c, TIMER_RECEIVE);
        }
    }
}
