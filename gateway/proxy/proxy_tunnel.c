/*
 * proxy_tunnel: bytes of another protocol (WebSocket), both ways, after both sides have agreed on it.
 *
 * Each way has a buffer of TUNNEL_BYTES; a side is read while the buffer behind it has room, so a slow
 * reader slows its sender. The end of one side is handed on when its last bytes are; when both have ended
 * the connection does. Either side's reset ends both. A tunnel without a byte for upstream_timeout is
 * closed (conn.c); so are those left at the end of a drain.
 */
#include <errno.h>
#include <sys/uio.h>

#include "gateway/http/conn.h"
#include "gateway/http/conn_io.h"
#include "gateway/http/conn_steps.h"
#include "gateway/proxy/proxy.h"
#include "gateway/proxy/proxy_head.h"
#include "gateway/req_steps.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"

enum { TUNNEL_BYTES = 65536, ROUNDS_MAX = 8 };

struct tunnel {
    struct proxy *proxy;
    struct buf to_upstream;
    struct buf to_client;
    bool client_ended, upstream_ended; /* nothing more is read from it */
    bool upstream_told, client_told;   /* of the other's end */
    bool is_lost;
};

static void tunnel_over(struct req *r)
{
    struct tunnel *t = r->whole;

    buf_fini(&t->to_upstream);
    buf_fini(&t->to_client);
    r->data = t->proxy;
    stat_sub(r->worker->stats, tunnels, 1);
    proxy_over(r);
}

static bool tunnel_read_client(struct conn *c, struct tunnel *t)
{
    if (t->client_ended || buf_len(&t->to_upstream) >= TUNNEL_BYTES)
        return false;
    switch (conn_read_into(c, &t->to_upstream, TUNNEL_BYTES / 4, TUNNEL_BYTES)) {
    case READ_SOME: return true;
    case READ_END: t->client_ended = true; return true;
    case READ_LOST: t->is_lost = true; return false;
    default: return false;
    }
}

static bool tunnel_read_upstream(struct tunnel *t)
{
    char *room;
    ssize_t n;

    if (t->upstream_ended || buf_len(&t->to_client) >= TUNNEL_BYTES)
        return false;
    room = buf_room(&t->to_client, TUNNEL_BYTES / 4);
    n = upstream_read(t->proxy->up, room, TUNNEL_BYTES / 4);
    if (n > 0)
        buf_added(&t->to_client, (size_t)n);
    else if (n == 0)
        t->upstream_ended = true;
    else
        t->is_lost = t->is_lost || errno != EAGAIN;
    return n >= 0;
}

/* True when something went. */
static bool tunnel_write(struct tunnel *t, struct conn *c, struct buf *b)
{
    struct iovec v = conn_io_slice(buf_str(b));
    ssize_t n;

    if (v.iov_len == 0)
        return false;
    n = c ? conn_io_write(c, &v, 1) : upstream_write(t->proxy->up, &v, 1);
    if (n > 0) {
        buf_consume(b, (size_t)n);
        if (c)
            stat_add(c->worker->stats, sent_bytes, n);
    } else if (errno != EAGAIN) {
        t->is_lost = true;
    }
    return n > 0;
}

static void tunnel_tell_ends(struct conn *c, struct tunnel *t)
{
    if (t->client_ended && !t->upstream_told && buf_len(&t->to_upstream) == 0) {
        upstream_shutdown(t->proxy->up);
        t->upstream_told = true;
    }
    if (t->upstream_ended && !t->client_told && buf_len(&t->to_client) == 0) {
        (void)conn_io_shutdown(c);
        t->client_told = true;
    }
}

/* What each side must do for the tunnel to go on. */
static void tunnel_wait(struct conn *c, struct tunnel *t)
{
    short what = 0;

    if (!t->client_ended && buf_len(&t->to_upstream) < TUNNEL_BYTES) {
        if (!c->is_listening)
            event_add(&c->readable, NULL);
        c->is_listening = true;
    } else if (c->is_listening) {
        event_del(&c->readable);
        c->is_listening = false;
    }
    if (buf_len(&t->to_client))
        event_add(&c->writable, NULL);
    if (!t->upstream_ended && buf_len(&t->to_client) < TUNNEL_BYTES)
        what |= EV_READ;
    if (buf_len(&t->to_upstream))
        what |= EV_WRITE;
    upstream_await(t->proxy->up, what);
}

/* Moves what can be moved. */
static void tunnel_pump(struct req *r)
{
    struct tunnel *t = r->whole;
    struct conn *c = r->conn;
    bool has_moved = true, ever = false;

    for (unsigned i = 0; i < ROUNDS_MAX && has_moved && !t->is_lost; i++) {
        has_moved = tunnel_read_client(c, t);
        has_moved = tunnel_write(t, NULL, &t->to_upstream) || has_moved;
        has_moved = tunnel_read_upstream(t) || has_moved;
        has_moved = tunnel_write(t, c, &t->to_client) || has_moved;
        ever = ever || has_moved;
    }
    if (!t->is_lost)
        tunnel_tell_ends(c, t);
    if (t->is_lost || (t->upstream_told && t->client_told)) {
        conn_close(c, t->is_lost ? "tunnel lost" : "tunnel over");
        return;
    }
    if (ever)
        worker_set_timer(c, TIMER_TUNNEL);
    if (has_moved)
        worker_yield(c);
    else
        tunnel_wait(c, t);
}

static void tunnel_on_upstream(struct upstream_conn *up)
{
    struct req *r = up->owner;

    worker_touch(r->worker);
    if (r->wait == WAIT_TUNNEL)
        tunnel_pump(r);
}

err_t proxy_open_tunnel(struct req *r)
{
    struct proxy *p = r->data;
    struct tunnel *t = arena_zalloc(&r->arena, sizeof(*t));
    struct exchange *x = r->conn->x;

    t->proxy = p;
    proxy_switch_head(&r->arena, http_answer_head(p->up->answer)->lines, &t->to_client);
    buf_add_str(&t->to_client, buf_str(&p->up->in));
    buf_reset(&p->up->in);
    buf_add_str(&t->to_upstream, buf_str(&x->in)); /* sent without waiting for the 101 */
    buf_reset(&x->in);
    p->has_head = true;
    upstream_good(r->worker->upstream);
    p->up->on_event = tunnel_on_upstream;
    r->whole = t;
    r->over = tunnel_over;
    r->reply.status = 101;
    x->pump = tunnel_pump;
    stat_add(r->worker->stats, tunnels, 1);
    req_begin_wait(r, WAIT_TUNNEL, NULL);
    return OK;
}
