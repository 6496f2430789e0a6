/*
 * conn: the machine of one client socket.
 *
 *             +------------------------- next request ------------------------+
 *             v                                                               |
 *   READING --head--> BODY --whole--> HANDLING --answered--> WRITING ---------+
 *      |  \             |              ^ ^  | (the request      |   \         ^
 *      |   \---- whole already --------+ |  |  may wait)        |    \        |
 *      |                |          taken |  | part              |  SKIPPING --+
 *      |                |                SENDING                |
 *      |                +-- refused at the head -----> WRITING  |
 *   CLOSED <--idle, gone-- any          LINGERING <--must close-+
 *
 *   READING    conn_read_head     BODY      conn_read_body    HANDLING  conn_handle
 *   WRITING    conn_write         SKIPPING  conn_skip         LINGERING conn_linger
 *   SENDING    conn_write
 *
 * One read and one write for the usual request: the head, with its body behind it, comes in one
 * read and stays where it was read; the handler gets slices of it. Only when the body is not
 * there yet is the head copied aside, and a long body then read in place, growing as it comes: what
 * a peer announces costs nothing until it sends it. The answer is written at once; the socket is
 * watched for room only when it has none.
 *
 * The read event stays registered throughout. When bytes come while a request is being handled
 * it is taken out (else the loop would spin) and put back before the next wait, so a client that
 * waits for its answers never costs an epoll_ctl. While a request waits nobody reads the socket:
 * a peer that half-closed still gets its answer, one that is gone is noticed by the write.
 *
 * A large answer comes in parts, each when the socket has taken the one before: what a slow reader
 * has not taken is in the kernel's buffer and one part, never more. Its time is bounded for each part. An
 * answer that has begun and cannot be finished ends in a reset, so that neither the end of the
 * connection nor anything else looks like the end of the answer.
 *
 * Requests of one connection are answered in order because the next is not looked at before the
 * previous answer is out. After PIPELINE_MAX of them the loop gets its turn.
 *
 * Closing with unread bytes would reset the connection and may destroy the answer on its way. So
 * unless the peer itself asked for the end, our side is shut down and what still comes is
 * dropped, up to a bound in time and bytes. The kernel drops it without handing it over, so a peer
 * that sends 16 MiB behind a refusal costs a worker 2 ms, where reading them took 18.
 *
 * Slow peers. A head has head_timeout from its first byte. A body has request_timeout, and within
 * each third of it must bring min_body_rate: the first bounds how long one connection can be held,
 * the second what it costs its peer to hold many. An answer has request_timeout, or each part of it.
 *
 * Memory. A request that waits, or whose peer does not read, is counted with its body, its arena and
 * its answer (held_bytes). When a worker's share of body_memory_bytes is used up, bodies that are
 * coming in, and heads that announce one, are answered 429; long ones at three quarters of it. A body that the helper is to read
 * counts twice, and what its values may take, because nobody may look at the arena meanwhile.
 */
#include "gateway/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/guard.h"
#include "gateway/reply.h"
#include "gateway/req_drive.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum {
    READ_ROOM = 4096,    /* for a head and a small body */
    CHUNK_ROOM = 16384,  /* for a chunked body */
    BODY_ROOM = 65536,   /* for the first read of a long body, which then grows by doubling */
    BODY_READ = 65536,   /* of a long body at once: READS_MAX of them are 1 MiB, or 1 ms, in a turn */
    BODY_KEEP = 262144,  /* of a body's memory, from one request to the next */
    READS_MAX = 16,      /* of one connection in a turn */
    PIPELINE_MAX = 16,   /* answers of one connection in a turn */
    SHORT_BODY = 65536,  /* has room of its own in body_memory_bytes */
    SKIP_MAX = 65536,    /* rest of a refused body that is worth keeping the connection */
    DROP_ROOM = 1 << 20, /* what the kernel drops at once */
    DROPS_MAX = 4,       /* of one connection in a turn */
    LINGER_BYTES_MAX = 64 << 20,
    LINGER_BYTES_MIN = 65536, /* between two looks; a peer that sends less is not waited for */
    VALUE_BYTES = 16          /* of a value of JSON in an arena */
};

enum read_result { READ_SOME, READ_WAIT, READ_END, READ_LOST };

static void conn_drive(struct conn *c);

/* -- the socket: the seam for TLS -------------------------------------------------------------- */

static ssize_t conn_io_read(struct conn *c, void *p, size_t n)
{
    ssize_t got;

again:
    got = read(c->fd, p, n);
    if (got < 0 && errno == EINTR)
        goto again;
    return got;
}

/* Bytes that nobody wants: MSG_TRUNC on TCP takes them without a copy. */
static ssize_t conn_io_drop(struct conn *c, size_t n)
{
    ssize_t got;

again:
    got = recv(c->fd, NULL, n, MSG_TRUNC);
    if (got < 0 && errno == EINTR)
        goto again;
    return got;
}

static ssize_t conn_io_write(struct conn *c, struct iovec *v, int count)
{
    struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)count};
    ssize_t sent;

again:
    sent = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
        goto again;
    return sent;
}

/* sendmsg takes a pointer that is not const, and only reads. */
static struct iovec conn_io_slice(struct str s)
{
    return (struct iovec){(void *)(uintptr_t)s.p, s.n};
}

/* -- small moves ------------------------------------------------------------------------------- */

static void conn_goto(struct conn *c, enum conn_state to)
{
    static const unsigned edges[] = {
        [CONN_READING] = 1u << CONN_BODY | 1u << CONN_HANDLING | 1u << CONN_WRITING,
        [CONN_BODY] = 1u << CONN_HANDLING | 1u << CONN_WRITING,
        [CONN_HANDLING] = 1u << CONN_WRITING | 1u << CONN_SENDING,
        [CONN_SENDING] = 1u << CONN_HANDLING,
        [CONN_WRITING] = 1u << CONN_READING | 1u << CONN_SKIPPING | 1u << CONN_LINGERING,
        [CONN_SKIPPING] = 1u << CONN_READING,
    };

    check(edges[c->state] & 1u << to);
    c->state = to;
}

static const struct settings *conn_settings(const struct conn *c)
{
    return c->worker->settings;
}

/* Waits for bytes; false, so that the machine stops there. */
static bool conn_await_bytes(struct conn *c, enum conn_timer timer)
{
    if (!c->is_listening) {
        event_add(&c->readable, NULL);
        c->is_listening = true;
    }
    if (c->timer != timer)
        worker_set_timer(c, timer);
    return false;
}

/* One read into b, at most max bytes. */
static enum read_result conn_read_into(struct conn *c, struct buf *b, size_t room, size_t max)
{
    char *p;
    size_t n;
    ssize_t got;

    if (!c->is_readable)
        return READ_WAIT;
    p = buf_room(b, room);
    n = buf_space(b) < max ? buf_space(b) : max;
    got = conn_io_read(c, p, n);
    if (got > 0) {
        buf_added(b, (size_t)got);
        stat_add(c->worker->stats, received_bytes, got);
        c->received_bytes += (uint64_t)got;
        c->is_readable = (size_t)got == n; /* else the kernel has no more */
        return READ_SOME;
    }
    if (got < 0 && errno == EAGAIN) {
        c->is_readable = false;
        return READ_WAIT;
    }
    return got == 0 ? READ_END : READ_LOST;
}

static bool conn_gone(struct conn *c, const char *why)
{
    conn_close(c, why);
    return false;
}

/* -- what peers may take of us ----------------------------------------------------------------- */

/* A body comes, or is dropped, from here on. */
static void conn_begin_phase(struct conn *c)
{
    c->received_bytes = c->received_then = 0;
    c->since_us = c->worker->now_us;
}

/* Another look at a body, or at what is dropped, once its list's time is over: did enough come, and
 * is it not too late altogether? Then it goes on. */
static bool conn_is_fast(struct conn *c, enum conn_timer timer, uint64_t least)
{
    struct worker *w = c->worker;
    uint64_t got = c->received_bytes - c->received_then;

    if (got < least || w->now_us - c->since_us >= conn_settings(c)->request_timeout)
        return false;
    c->received_then = c->received_bytes;
    worker_set_timer(c, timer);
    return true;
}

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

/* -- answers ----------------------------------------------------------------------------------- */

/* Counts the answer that is out. */
static void conn_count(struct conn *c)
{
    struct worker *w = c->worker;
    struct req *r = &c->x->req;
    uint64_t took_us;
    size_t rows;

    worker_touch(w);
    took_us = r->started_us ? w->now_us - r->started_us : 0;
    stat_add(w->stats, requests, 1);
    if (r->reply.status == 429)
        stat_add(w->stats, refused_busy, 1);
    stat_add(w->stats, sent_bytes, c->x->sent_bytes);
    route_rows(&rows);
    hist_note(worker_hist(w, r->route ? route_index(r->route) : (unsigned)rows,
                          (unsigned)r->reply.status / 100),
              took_us);
}

/* Puts head and frame around what is in the reply's body. */
static void conn_prepare(struct conn *c, bool is_last)
{
    struct exchange *x = c->x;
    struct req *r = &x->req;

    if (c->worker->net->is_leaving || (r->head && !r->head->is_keep_alive))
        r->reply.must_close = true;
    buf_reset(&x->out);
    if (!r->reply.is_begun)
        reply_head(r, &x->out);
    r->reply.is_begun = true;
    x->tail = reply_frame(r, is_last, &x->out);
    x->sent_bytes = 0;
}

/* The reply is complete: makes its bytes. */
static bool conn_answer(struct conn *c)
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

/* The handler has run: what came of it? */
static bool conn_handled(struct conn *c)
{
    struct req *r = &c->x->req;

    if (r->state == REQ_ANSWERED)
        return conn_answer(c);
    if (r->wait == WAIT_SENT)
        return conn_send_part(c);
    worker_set_timer(c, TIMER_NONE);
    return false;
}

/* What came is not a request, or not in time: answer and close. */
static bool conn_refuse(struct conn *c, const struct fail *f)
{
    struct req *r = &c->x->req;

    stat_add(c->worker->stats, connections_dropped, 1);
    reply_fail(r, f);
    r->reply.must_close = true;
    return conn_answer(c);
}

/* Answered at the head. A body that is here, or nearly, is passed over; otherwise it is not worth
 * reading, and the connection ends. */
static bool conn_answer_early(struct conn *c)
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
    if (r->head->is_chunked || left > SKIP_MAX || (left && r->head->wants_continue))
        r->reply.must_close = true;
    return conn_answer(c);
}

static bool conn_refuse_early(struct conn *c, const struct fail *f)
{
    reply_fail(&c->x->req, f);
    return conn_answer_early(c);
}

/* -- READING ----------------------------------------------------------------------------------- */

static bool conn_answer_options(struct conn *c, unsigned allowed)
{
    struct req *r = &c->x->req;
    struct str prefix = str_of(conn_settings(c)->static_prefix);
    struct str path = str_skip(r->head->path, prefix.n);
    bool is_api = str_starts(path, STR("/api/")) || str_starts(path, STR("/ajax-api/")) ||
                  str_eq(r->head->path, STR("*"));

    reply_allow(r, allowed);
    (void)reply_text(r, is_api ? 204 : 200, "text/html; charset=utf-8", STR(""));
    return conn_answer_early(c);
}

/* There is no row for method and path. */
static bool conn_answer_unrouted(struct conn *c, unsigned allowed, struct fail *f)
{
    struct req *r = &c->x->req;
    const struct http_head *d = r->head;

    if (d->method == HTTP_M_OPTIONS && str_eq(d->path, STR("*")))
        allowed = HTTP_M_GET | HTTP_M_HEAD | HTTP_M_OPTIONS | HTTP_M_POST;
    if (allowed && d->method == HTTP_M_OPTIONS)
        return conn_answer_options(c, allowed);
    if (allowed) {
        reply_allow(r, allowed);
        (void)fail(f, ERR_BAD_METHOD, "The method %.*s is not allowed for this path.",
                   STR_ARG(d->method_text));
    } else {
        (void)fail(f, ERR_NO_ENDPOINT, "There is no endpoint at %.*s.",
                   STR_ARG(str_head(d->path, 200)));
    }
    return conn_refuse_early(c, f);
}

/* What can be judged before the body is read: its length, and whether there is room for it. A body
 * that is announced takes nothing yet; what counts is that nothing is left. */
static err_t conn_judge(struct conn *c, struct fail *f)
{
    struct exchange *x = c->x;
    const struct http_head *d = x->req.head;
    enum route_body kind = x->req.route->body;
    uint64_t limit = kind == BODY_LARGE ? LIMIT_BODY_LARGE : LIMIT_BODY_SMALL;
    uint64_t max = conn_settings(c)->max_body_bytes;

    if (kind != BODY_BATCH && max > limit)
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

/* The head was let through: is the body here already? */
static bool conn_take_body(struct conn *c)
{
    struct exchange *x = c->x;
    const struct http_head *d = x->req.head;
    struct str rest = str_skip(buf_str(&x->in), x->taken_bytes);

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

/* The head is complete. */
static bool conn_route(struct conn *c)
{
    struct exchange *x = c->x;
    struct req *r = &x->req;
    unsigned allowed;
    struct fail f;

    fail_init(&f, &r->arena);
    r->head = http_head(x->http);
    r->started_us = c->worker->now_us;
    x->taken_bytes = http_head_bytes(x->http);
    if (!guard_admits(r))
        return conn_answer_early(c);
    r->route = route_find(r->head->method, r->head->path, c->where, &allowed);
    if (r->route == NULL)
        return conn_answer_unrouted(c, allowed, &f);
    if (conn_judge(c, &f) != OK)
        return conn_refuse_early(c, &f);
    return conn_take_body(c);
}

/* No byte of a request is here. */
static bool conn_await_request(struct conn *c)
{
    struct exchange *x = c->x;

    c->x = NULL;
    if (x)
        worker_put_exchange(c->worker, x);
    if (c->worker->net->is_draining)
        return conn_gone(c, "draining");
    return conn_await_bytes(c, TIMER_IDLE);
}

static bool conn_read_head(struct conn *c)
{
    struct exchange *x = c->x;
    struct fail f;

    if (x == NULL) {
        if (!c->is_readable)
            return conn_await_request(c);
        x = c->x = worker_take_exchange(c->worker, c);
    }
    for (unsigned reads = 0;; reads++) {
        if (buf_len(&x->in)) {
            enum http_event event;

            fail_init(&f, &x->req.arena);
            event = http_feed_head(x->http, buf_str(&x->in), &f);
            if (event == HTTP_HEAD_END)
                return conn_route(c);
            if (event == HTTP_ERROR)
                return conn_refuse(c, &f);
        }
        if (reads >= READS_MAX)
            return conn_await_bytes(c, TIMER_HEAD);
        switch (conn_read_into(c, &x->in, READ_ROOM, SIZE_MAX)) {
        case READ_SOME: break;
        case READ_END: return conn_gone(c, buf_len(&x->in) ? "left in a head" : "closed by peer");
        case READ_LOST: return conn_gone(c, "connection lost");
        default: return buf_len(&x->in) ? conn_await_bytes(c, TIMER_HEAD) : conn_await_request(c);
        }
    }
}

/* -- BODY -------------------------------------------------------------------------------------- */

/* Counts the body's bytes that have come. What a peer announces counts nothing, so that nobody can
 * take the memory of others without sending it. */
static err_t conn_count_body(struct conn *c, struct fail *f)
{
    conn_count_memory(c);
    return conn_memory_room(c, f);
}

/* One read of body bytes: in place when their number is known. */
static enum read_result conn_read_more(struct conn *c)
{
    struct exchange *x = c->x;
    uint64_t left = http_body_left(x->http);
    size_t before = buf_len(&x->body);
    size_t room = before > BODY_ROOM ? before : BODY_ROOM;
    enum read_result got;

    if (x->req.head->is_chunked)
        return conn_read_into(c, &x->in, CHUNK_ROOM, SIZE_MAX);
    got = conn_read_into(c, &x->body, room < left ? room : (size_t)left,
                         left < BODY_READ ? (size_t)left : BODY_READ);
    if (got == READ_SOME)
        http_body_took(x->http, buf_len(&x->body) - before);
    return got;
}

static bool conn_read_body(struct conn *c)
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
        switch (conn_read_more(c)) {
        case READ_SOME: break;
        case READ_END: return conn_gone(c, "left in a body");
        case READ_LOST: return conn_gone(c, "connection lost");
        default: return conn_await_bytes(c, TIMER_RECEIVE);
        }
    }
}

/* -- WRITING ----------------------------------------------------------------------------------- */

/* Our side ends here. */
static bool conn_end(struct conn *c)
{
    const struct req *r = &c->x->req;
    bool is_wanted = r->head && !r->head->is_keep_alive && r->reply.status < 400;

    if (is_wanted || shutdown(c->fd, SHUT_WR) != 0)
        return conn_gone(c, "done");
    worker_put_exchange(c->worker, c->x);
    c->x = NULL;
    c->is_readable = true;
    conn_begin_phase(c);
    conn_goto(c, CONN_LINGERING);
    return true;
}

/* The request is over and done with; the next one may stand in the buffer already. */
static bool conn_next(struct conn *c)
{
    struct exchange *x = c->x;

    buf_consume(&x->in, x->taken_bytes);
    x->taken_bytes = 0;
    http_next(x->http);
    req_reset(&x->req);
    worker_empty_body(c->worker, x, BODY_KEEP);
    conn_goto(c, CONN_READING);
    if (buf_len(&x->in) == 0) {
        worker_set_timer(c, TIMER_IDLE);
        return true;
    }
    worker_set_timer(c, TIMER_HEAD);
    if (++c->pipelined < PIPELINE_MAX)
        return true;
    worker_yield(c);
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

static bool conn_write(struct conn *c)
{
    struct exchange *x = c->x;
    struct iovec v[3];
    int count;

    while ((count = conn_left(x, v)) > 0) {
        ssize_t n = conn_io_write(c, v, count);

        if (n > 0) {
            x->sent_bytes += (size_t)n;
            continue;
        }
        if (n < 0 && errno != EAGAIN)
            return conn_gone(c, "peer does not take the answer");
        conn_count_memory(c);
        event_add(&c->writable, NULL);
        if (c->timer != TIMER_SEND)
            worker_set_timer(c, TIMER_SEND);
        return false;
    }
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

/* -- SKIPPING and LINGERING -------------------------------------------------------------------- */

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

static bool conn_skip(struct conn *c)
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

static bool conn_linger(struct conn *c)
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

/* -- the machine ------------------------------------------------------------------------------- */

static void conn_drive(struct conn *c)
{
    bool goes_on = true;

    while (goes_on) {
        switch (c->state) {
        case CONN_READING: goes_on = conn_read_head(c); break;
        case CONN_BODY: goes_on = conn_read_body(c); break;
        case CONN_SENDING:
        case CONN_WRITING: goes_on = conn_write(c); break;
        case CONN_SKIPPING: goes_on = conn_skip(c); break;
        case CONN_LINGERING: goes_on = conn_linger(c); break;
        default: goes_on = false; break;
        }
    }
}

static void conn_on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd, (void)what;
    worker_touch(c->worker);
    c->is_readable = true;
    if (c->state == CONN_HANDLING || c->state == CONN_SENDING || c->state == CONN_WRITING ||
        c->is_queued) {
        event_del(&c->readable); /* not now: the answer comes first */
        c->is_listening = false;
        return;
    }
    c->pipelined = 0;
    conn_drive(c);
}

static void conn_on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;

    (void)fd, (void)what;
    worker_touch(c->worker);
    c->pipelined = 0;
    conn_drive(c);
}

void conn_go_on(struct conn *c)
{
    check(c->state == CONN_HANDLING);
    c->pipelined = 0;
    if (conn_handled(c))
        conn_drive(c);
}

void conn_resume(struct conn *c)
{
    c->pipelined = 0;
    conn_drive(c);
}

bool conn_peer(const struct conn *c, uint8_t out[16])
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } peer;
    socklen_t n = sizeof(peer);

    if (getpeername(c->fd, &peer.any, &n) != 0)
        return false;
    if (peer.any.sa_family == AF_INET6) {
        memcpy(out, &peer.v6.sin6_addr, 16);
        return true;
    }
    memset(out, 0, 10);
    memset(out + 10, 0xff, 2);
    memcpy(out + 12, &peer.v4.sin_addr, 4);
    return peer.any.sa_family == AF_INET;
}

void conn_expire(struct conn *c)
{
    struct fail f;

    switch (c->timer) {
    case TIMER_IDLE: conn_close(c, "idle"); return;
    case TIMER_LINGER:
        if (!conn_is_fast(c, TIMER_LINGER, LINGER_BYTES_MIN))
            conn_close(c, "lingered");
        return;
    case TIMER_RECEIVE:
        if (c->state == CONN_SKIPPING)
            break;
        if (conn_is_fast(c, TIMER_RECEIVE, conn_least_bytes(c)))
            return;
        /* fall through */
    case TIMER_HEAD:
        fail_init(&f, NULL);
        (void)fail(&f, ERR_HTTP_TIMEOUT, "The request did not arrive in time.");
        (void)conn_refuse(c, &f);
        conn_drive(c);
        return;
    default: break;
    }
    stat_add(c->worker->stats, connections_dropped, 1);
    conn_close(c, "too slow");
}

static struct conn *conn_new(struct worker *w, int fd, enum route_where where)
{
    struct worker_net *net = w->net;
    struct conn *c = net->free;
    int on = 1;

    if (c)
        net->free = c->next;
    else
        check((c = malloc(sizeof(*c))) != NULL);
    *c = (struct conn){.worker = w, .fd = fd, .where = where, .timer = TIMER_COUNT};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    event_assign(&c->readable, w->base, fd, EV_READ | EV_PERSIST, conn_on_readable, c);
    event_assign(&c->writable, w->base, fd, EV_WRITE, conn_on_writable, c);
    return c;
}

void conn_open(struct worker *w, int fd, enum route_where where)
{
    struct conn *c = conn_new(w, fd, where);

    w->net->open_count++;
    stat_add(w->stats, connections, 1);
    stat_set(w->stats, open_connections, w->net->open_count);
    (void)conn_await_bytes(c, TIMER_IDLE);
}

void conn_shed(struct worker *w, int fd, enum route_where where, bool may_stay)
{
    struct conn *c = conn_new(w, fd, where);
    struct fail f;

    c->is_shed = true;
    c->is_readable = true;
    w->net->shed_count++;
    stat_add(w->stats, connections_refused, 1);
    c->x = worker_take_exchange(w, c);
    fail_init(&f, NULL);
    (void)fail(&f, ERR_BUSY, "Too many connections are open.");
    reply_fail(&c->x->req, &f);
    c->x->req.reply.must_close = true;
    if (conn_answer(c))
        conn_drive(c);
    if (c->state != CONN_CLOSED && (!may_stay || w->net->shed_count > SHED_MAX))
        conn_close(c, "no room");
}

/* An answer that has begun ends without being whole: the peer must not take it for the end. */
static void conn_cut_off(struct conn *c)
{
    static const struct linger at_once = {.l_onoff = 1};

    if (c->state == CONN_SENDING)
        req_abandon(&c->x->req);
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    stat_add(c->worker->stats, answers_broken, 1);
}

static bool conn_is_amid_answer(const struct conn *c)
{
    struct iovec v[3];

    if (c->state == CONN_SENDING)
        return true;
    return c->state == CONN_WRITING && c->x->req.reply.is_streamed &&
           (c->x->req.reply.is_broken || conn_left(c->x, v) > 0);
}

void conn_close(struct conn *c, const char *why)
{
    struct worker *w = c->worker;

    check(c->state != CONN_CLOSED && c->state != CONN_HANDLING);
    log_debug("", "connection closed", "worker=%u fd=%d why=\"%s\"", w->index, c->fd, why);
    if (conn_is_amid_answer(c))
        conn_cut_off(c);
    c->state = CONN_CLOSED;
    if (c->is_listening)
        event_del(&c->readable);
    event_del(&c->writable);
    close(c->fd);
    if (c->x)
        worker_put_exchange(w, c->x);
    c->x = NULL;
    if (c->is_shed)
        w->net->shed_count--;
    else
        w->net->open_count--;
    stat_set(w->stats, open_connections, w->net->open_count);
    worker_drop(c);
}
