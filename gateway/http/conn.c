/*
 * conn: the machine of one client socket.
 *
 *             +------------------------- next request ------------------------+
 *             v                                                               |
 *   READING --head--> BODY --whole--> HANDLING --answered--> WRITING ---------+
 *      |  \             |              ^ ^  | (the request      |   \         ^
 *      |   \---- whole already --------+ |  |  may wait)        |    \        |
 *      |                |          taken |  | part              |  SKIPPING --+
 *      |                |           SENDING, RECEIVING          |
 *      |                +-- refused at the head -----> WRITING  |
 *   CLOSED <--idle, gone-- any          LINGERING <--must close-+
 *
 *   GREETING --done--> READING, where `listen` speaks TLS: the handshake, conn_greet
 *
 *   READING    conn_read_head     BODY      conn_read_body    HANDLING  conn_handled
 *   WRITING    conn_write         SKIPPING  conn_skip         LINGERING conn_linger
 *   SENDING    conn_write         RECEIVING conn_receive
 *
 * The read event stays registered throughout. When bytes come while a request is being handled
 * it is taken out (else the loop would spin) and put back before the next wait, so a client that
 * waits for its answers never costs an epoll_ctl. While a request waits nobody reads the socket:
 * a peer that half-closed still gets its answer, one that is gone is noticed by the write.
 *
 * Requests of one connection are answered in order because the next is not looked at before the
 * previous answer is out. After PIPELINE_MAX of them the loop gets its turn.
 *
 * A head has head_timeout from its first byte, an answer request_timeout, or each part of it. The
 * essays on bodies, answers and ends stand in conn_body.c, conn_answer.c and conn_end.c; what is done
 * to the socket itself in conn_io.c.
 */
#include "gateway/http/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/api/api.h"
#include "gateway/artifact/artifact_mode.h"
#include "gateway/auth/may.h"
#include "gateway/http/conn_io.h"
#include "gateway/http/conn_steps.h"
#include "gateway/http/guard.h"
#include "gateway/http/reply.h"
#include "gateway/http/tls_io.h"
#include "gateway/req_drive.h"
#include "gateway/trace/trace.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

enum {
    READ_ROOM = 4096,  /* for a head and a small body */
    GREETINGS_MAX = 8, /* steps of handshakes in a turn of the loop */
    BODY_KEEP = 262144 /* of a body's memory, from one request to the next */
};

/* -- small moves ------------------------------------------------------------------------------- */

void conn_goto(struct conn *c, enum conn_state to)
{
    static const unsigned edges[] = {
        [CONN_READING] = 1u << CONN_BODY | 1u << CONN_HANDLING | 1u << CONN_WRITING,
        [CONN_BODY] = 1u << CONN_HANDLING | 1u << CONN_WRITING,
        [CONN_HANDLING] =
            1u << CONN_WRITING | 1u << CONN_SENDING | 1u << CONN_RECEIVING | 1u << CONN_TUNNEL,
        [CONN_RECEIVING] = 1u << CONN_HANDLING | 1u << CONN_WRITING,
        [CONN_SENDING] = 1u << CONN_HANDLING,
        [CONN_WRITING] = 1u << CONN_READING | 1u << CONN_SKIPPING | 1u << CONN_LINGERING,
        [CONN_SKIPPING] = 1u << CONN_READING,
        [CONN_GREETING] = 1u << CONN_READING,
    };

    check(edges[c->state] & 1u << to);
    c->state = to;
}

const struct settings *conn_settings(const struct conn *c)
{
    return c->worker->settings;
}

/* Waits for bytes; false, so that the machine stops there. */
bool conn_await_bytes(struct conn *c, enum conn_timer timer)
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
enum read_result conn_read_into(struct conn *c, struct buf *b, size_t room, size_t max)
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
        c->is_readable =
            (size_t)got == n || conn_io_has_pending(c); /* else the kernel has no more */
        return READ_SOME;
    }
    if (got < 0 && errno == EAGAIN) {
        c->is_readable = false;
        return READ_WAIT;
    }
    return got == 0 ? READ_END : READ_LOST;
}

bool conn_gone(struct conn *c, const char *why)
{
    conn_close(c, why);
    return false;
}

/* A body comes, or is dropped, from here on. */
void conn_begin_phase(struct conn *c)
{
    c->received_bytes = c->received_then = 0;
    c->since_us = c->worker->now_us;
}

/* Another look at a body, or at what is dropped, once its list's time is over: did enough come, and
 * is it not too late altogether? Then it goes on. */
bool conn_is_fast(struct conn *c, enum conn_timer timer, uint64_t least)
{
    struct worker *w = c->worker;
    uint64_t got = c->received_bytes - c->received_then;

    if (got < least || w->now_us - c->since_us >= conn_settings(c)->request_timeout)
        return false;
    c->received_then = c->received_bytes;
    worker_set_timer(c, timer);
    return true;
}

/* -- GREETING ---------------------------------------------------------------------------------- */

/* The peer forgot the s of https. */
static bool conn_refuse_plain(struct conn *c)
{
    struct fail f;

    conn_goto(c, CONN_READING);
    c->x = worker_take_exchange(c->worker, c);
    fail_init(&f, &c->x->req.arena);
    (void)fail(&f, ERR_HTTP_BAD, "This port speaks TLS: the address begins with https://.");
    return conn_refuse(c, &f);
}

/* A signature takes up to a millisecond, so few are computed in a turn, and the requests of others
 * have their turn between. */
static bool conn_greet(struct conn *c)
{
    struct worker_net *net = c->worker->net;

    if (!c->is_readable)
        return conn_await_bytes(c, TIMER_HEAD);
    if (net->greetings_count++ >= GREETINGS_MAX) {
        worker_yield(c);
        return false;
    }
    switch (tls_greet(c)) {
    case TLS_DONE: break;
    case TLS_WAIT: c->is_readable = false; return conn_await_bytes(c, TIMER_HEAD);
    case TLS_PLAIN: return conn_refuse_plain(c);
    default: return conn_gone(c, "no handshake");
    }
    conn_goto(c, CONN_READING);
    worker_set_timer(c, TIMER_IDLE); /* the first request has a time of its own */
    return true;
}

/* -- READING ----------------------------------------------------------------------------------- */

/* There is no row for method and path. With auth = basic that is nobody's business who may not call. */
static bool conn_answer_unrouted(struct conn *c, struct fail *f)
{
    struct req *r = &c->x->req;

    if (may_only_says() && c->where == ON_CLIENT) {
        r->route = &route_asked;
        return conn_judge(c, f) == OK ? conn_take_body(c) : conn_refuse_early(c, f);
    }
    if (c->worker->auth && c->where == ON_CLIENT) {
        r->route = &route_unknown;
        return conn_handle_early(c);
    }
    if (api_unknown(r, f) != OK)
        return conn_refuse_early(c, f);
    return conn_answer_early(c);
}

/* With an authorization_function that only the upstream can run, it judges what is ours as well; who looks
 * whether we live is nobody's business. */
static bool conn_is_judged_behind(const struct conn *c, struct str path)
{
    return c->worker->passes_all && strcmp(conn_settings(c)->auth, "none") != 0 &&
           !str_eq(path, STR("/livez")) && !str_eq(path, STR("/readyz"));
}

/* The row that answers; what none does is the upstream's, if there is one. */
static const struct route *conn_find_route(const struct conn *c, unsigned *allowed)
{
    const struct http_head *d = c->x->req.head;
    const struct route *row = route_find(d->method, d->path, c->where, allowed);
    const struct route *upstream = route_upstream();
    bool passes_all = c->worker->passes_all;

    if (c->worker->upstream == NULL || c->where == ON_ADMIN ||
        (route_is_own(d->path) && !conn_is_judged_behind(c, d->path)))
        return row;
    if ((row && !passes_all) || !(upstream->methods & d->method) || str_eq(d->path, STR("*")))
        return row;
    if (d->method == HTTP_M_OPTIONS && *allowed && !passes_all)
        return NULL;
    return d->has_body && c->worker->auth && may_reads_body(&c->x->req) ? route_upstream_whole()
                                                                        : upstream;
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
    if (r->head->traceparent.n || c->worker->tracer)
        trace_begin(r);
    x->owes_continue = r->head->wants_continue;
    x->taken_bytes = http_head_bytes(x->http);
    if (!guard_admits(r) || !auth_admits_head(r))
        return conn_answer_early(c);
    r->route = conn_find_route(c, &allowed);
    if (r->route == NULL)
        return conn_answer_unrouted(c, &f);
    if (!artifact_mode_admits(r))
        return conn_answer_early(c);
    if (conn_judge(c, &f) != OK)
        return conn_refuse_early(c, &f);
    return conn_take_body(c);
}

/* No byte of a request is here. */
static bool conn_await_request(struct conn *c)
{
    struct exchange *x = c->x;

    c->x = NULL;
    if (x) /* as it came from the pool, or as conn_next left it */
        worker_put_clean(c->worker, x);
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

/* The request is over and done with; the next one may stand in the buffer already. */
bool conn_next(struct conn *c)
{
    struct exchange *x = c->x;

    buf_consume(&x->in, x->taken_bytes);
    x->taken_bytes = 0;
    x->is_streaming = false;
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

/* -- the machine ------------------------------------------------------------------------------- */

static void conn_drive(struct conn *c)
{
    bool goes_on = true;

    while (goes_on) {
        switch (c->state) {
        case CONN_READING: goes_on = conn_read_head(c); break;
        case CONN_GREETING: goes_on = conn_greet(c); break;
        case CONN_BODY: goes_on = conn_read_body(c); break;
        case CONN_RECEIVING: goes_on = conn_receive(c); break;
        case CONN_TUNNEL:
            c->x->pump(&c->x->req);
            goes_on = false;
            break;
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
        if (!conn_linger_is_fast(c))
            conn_close(c, "lingered");
        return;
    case TIMER_RECEIVE:
        if (c->state == CONN_SKIPPING)
            break;
        if (c->state == CONN_RECEIVING ? conn_piece_is_fast(c) : conn_body_is_fast(c))
            return;
        /* fall through */
    case TIMER_HEAD:
        if (c->state == CONN_GREETING) {
            stat_add(c->worker->stats, tls_failures, 1);
            break;
        }
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
    if (where == ON_CLIENT && w->net->tls) {
        tls_begin(c, w->net->tls);
        c->state = CONN_GREETING;
        (void)conn_await_bytes(c, TIMER_HEAD);
        return;
    }
    (void)conn_await_bytes(c, TIMER_IDLE);
}

void conn_shed(struct worker *w, int fd, enum route_where where, bool may_stay)
{
    struct conn *c;
    struct fail f;

    if (where == ON_CLIENT && w->net->tls) { /* a handshake costs more than there is room for */
        stat_add(w->stats, connections_refused, 1);
        close(fd);
        return;
    }
    c = conn_new(w, fd, where);
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

void conn_close(struct conn *c, const char *why)
{
    struct worker *w = c->worker;

    check(c->state != CONN_CLOSED && c->state != CONN_HANDLING);
    log_debug("", "connection closed", "worker=%u fd=%d why=%s", w->index, c->fd, why);
    if (conn_is_amid_answer(c))
        conn_cut_off(c);
    if (c->state == CONN_SENDING || c->state == CONN_RECEIVING || c->state == CONN_TUNNEL)
        req_abandon(&c->x->req);
    c->state = CONN_CLOSED;
    if (c->is_listening)
        event_del(&c->readable);
    event_del(&c->writable);
    conn_io_close(c);
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
