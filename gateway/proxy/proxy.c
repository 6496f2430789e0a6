/*
 * proxy: one exchange between a client and the upstream.
 *
 *   flush (reads that name a run) > take a connection > turn, again and again > put it back
 *
 * A turn looks at what is there, in this order: bytes for the upstream go out, bytes from it come in, and
 * what came goes on to the client. Then it waits for whatever is missing: for the client to take a part
 * (req_send), for the upstream (req_wait_event), or for a piece of the body with an ear to the upstream
 * (req_next_piece, which an event interrupts). So an answer that comes before the whole body has gone
 * passes at once, and what neither side takes is a piece and a part, 64 KiB each, however long the bodies
 * are.
 *
 * A body that was looked at for who may (may_reads_body) is here as a whole and goes as one piece, with its length.
 *
 * An answer in which something is not the caller's to see (withhold.h) goes through a sieve on its way; it is
 * asked for without a coding, and goes on in chunks.
 *
 * Of a call that makes or deletes what permissions are granted on, nothing of the answer goes on before they
 * are written (grant_behind.h); where its id is in the answer, the answer is held as a whole.
 *
 * The first bytes of an answer are not held back for more: server-sent events pass as they come.
 *
 * Failures. A connection that cannot be had, or ends before the head of the answer, is 502; silence for
 * upstream_timeout is 504; both count for the breaker. After the head of the answer is on its way a failure
 * resets the client's connection. One is forgiven: a connection of the pool that its peer closed in the
 * very moment. When not a byte of the answer has come, nothing of a body was given away, and the method
 * may be repeated, the request is sent once more on a fresh connection.
 *
 * Expect: 100-continue is passed on; the client gets its 100 when the upstream says so, or has said
 * nothing for CONTINUE_US.
 */
#include "gateway/proxy/proxy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "gateway/api/api.h"
#include "gateway/auth/grant_behind.h"
#include "gateway/auth/policy.h"
#include "gateway/auth/withhold.h"
#include "gateway/http/conn.h"
#include "gateway/http/conn_io.h"
#include "gateway/http/forwarded.h"
#include "gateway/http/reply.h"
#include "gateway/http/route.h"
#include "gateway/proxy/proxy_head.h"
#include "gateway/req_body.h"
#include "gateway/req_event.h"
#include "gateway/req_part.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

enum { READ_BYTES = 65536, CONTINUE_US = 1000000 };
#define IDEMPOTENT (HTTP_M_GET | HTTP_M_HEAD | HTTP_M_PUT | HTTP_M_DELETE | HTTP_M_OPTIONS)

static err_t proxy_turn(struct req *r, struct fail *f);
static err_t proxy_connect(struct req *r, struct fail *f);

/* -- the end ----------------------------------------------------------------------------------- */

void proxy_over(struct req *r)
{
    struct proxy *p = r->data;

    if (p->sieve)
        sieve_fini(p->sieve);
    p->sieve = NULL;
    buf_fini(&p->unsieved);
    if (p->up == NULL)
        return;
    if (!p->has_head)
        upstream_unknown(r->worker->upstream);
    upstream_put(p->up, false);
    p->up = NULL;
}

/* The upstream has failed us. */
static err_t proxy_fail(struct req *r, err_t e, const char *why, struct fail *f)
{
    struct proxy *p = r->data;

    upstream_bad(r->worker->upstream, r->worker->now_us, why);
    upstream_put(p->up, false);
    p->up = NULL;
    if (!r->reply.is_begun) {
        buf_reset(&r->reply.headers);
        buf_add_str(&r->reply.headers, p->guarded);
    }
    return fail(f, e, "The upstream server does not answer: %s.", why);
}

/* Its connection ended, or was never there. */
static err_t proxy_lost(struct req *r, const char *why, struct fail *f)
{
    struct proxy *p = r->data;
    bool may_repeat = (r->head->method & IDEMPOTENT) && !p->has_given_piece && !p->is_retry &&
                      !http_answer_has_begun(p->up->answer);

    if (!p->up->is_reused || !may_repeat)
        return proxy_fail(r, ERR_UPSTREAM, why, f);
    upstream_put(p->up, false);
    upstream_unknown(r->worker->upstream);
    p->up = NULL;
    p->is_retry = true;
    p->is_deaf = false;
    stat_add(r->worker->stats, upstream_retries, 1);
    return proxy_connect(r, f);
}

static err_t proxy_late(struct req *r, struct fail *f)
{
    struct proxy *p = r->data;
    bool is_connecting = p->up->state == UPSTREAM_CONNECTING;

    return proxy_fail(r, ERR_DEADLINE, is_connecting ? "no connection in time" : "it is silent", f);
}

/* Permissions follow what the upstream has done; the answer waits for that. */
static err_t proxy_permit(struct req *r, req_step next)
{
    struct proxy *p = r->data;
    struct grant_behind *b = p->behind;

    p->behind = NULL;
    p->is_held = false;
    return grant_behind_write(r, b, buf_str(&r->reply.body), next);
}

/* The answer is whole. */
static err_t proxy_finish(struct req *r, struct fail *f)
{
    struct proxy *p = r->data;
    const struct answer_head *d = http_answer_head(p->up->answer);
    bool is_sent = p->has_sent_all && p->out[0].n + p->out[1].n + p->out[2].n == 0 && !p->is_deaf;

    (void)f;
    if (p->is_held)
        return proxy_permit(r, proxy_finish);
    r->reply.trailers = proxy_trailers(&r->arena, http_answer_trailers(p->up->answer));
    upstream_put(p->up, d->is_keep_alive && is_sent);
    p->up = NULL;
    return req_end_answer(r);
}

/* -- towards the upstream ---------------------------------------------------------------------- */

static size_t proxy_unsent(const struct proxy *p)
{
    return p->out[0].n + p->out[1].n + p->out[2].n;
}

/* What stands ready goes out, as far as the socket takes it. */
static void proxy_push(struct proxy *p)
{
    while (proxy_unsent(p) && !p->is_deaf) {
        struct iovec v[3];
        int count = 0;
        ssize_t n;

        for (size_t i = 0; i < array_len(p->out); i++) {
            if (p->out[i].n)
                v[count++] = conn_io_slice(p->out[i]);
        }
        n = upstream_write(p->up, v, count);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            p->is_deaf = true; /* its answer may be there all the same */
            return;
        }
        for (size_t i = 0; i < array_len(p->out); i++) {
            size_t here = (size_t)n < p->out[i].n ? (size_t)n : p->out[i].n;

            p->out[i] = str_skip(p->out[i], here);
            n -= (ssize_t)here;
        }
    }
}

/* A piece of the body becomes bytes for the upstream, a chunk if there is no length. */
static void proxy_put_piece(struct req *r)
{
    struct proxy *p = r->data;
    struct str end = STR("\r\n");

    p->has_given_piece = p->has_given_piece || r->piece.n;
    p->has_sent_all = r->is_whole;
    if (!r->head->is_chunked) {
        p->out[0] = STR("");
        p->out[1] = r->piece;
        p->out[2] = STR("");
        return;
    }
    if (r->is_whole) {
        struct str trailers = proxy_trailers(&r->arena, http_trailers(r->conn->x->http));

        end = trailers.n ? trailers : STR("\r\n0\r\n\r\n");
    }
    if (r->piece.n) {
        snprintf(p->frame, sizeof(p->frame), "%zx\r\n", r->piece.n);
        p->out[0] = str_of(p->frame);
        p->out[1] = r->piece;
        p->out[2] = end;
    } else {
        p->out[0] = p->out[1] = STR("");
        p->out[2] = r->is_whole ? str_skip(end, 2) : STR("");
    }
}

/* With a piece, or without one: then the upstream has something to say. */
static err_t proxy_piece(struct req *r, struct fail *f)
{
    if (r->piece.n || r->is_whole)
        proxy_put_piece(r);
    return proxy_turn(r, f);
}

/* -- towards the client ------------------------------------------------------------------------ */

static err_t proxy_interim(struct req *r, const struct answer_head *d, struct fail *f)
{
    struct proxy *p = r->data;
    struct buf head;
    struct str text;

    if (d->status == 100) {
        p->awaits_continue = false; /* req_next_piece says so to the client */
        return proxy_turn(r, f);
    }
    if (r->head->is_http_1_0)
        return proxy_turn(r, f);
    buf_init(&head);
    buf_printf(&head, "HTTP/1.1 %d Interim\r\n", d->status);
    (void)proxy_answer_lines(&r->arena, d->lines, STR(""), false, &head);
    buf_add_str(&head, STR("\r\n"));
    text = arena_dup(&r->arena, buf_str(&head));
    buf_fini(&head);
    return req_send_interim(r, text, proxy_turn);
}

/* Something in the answer is not the caller's to see. A redirect or failure says nothing of that
 * kind. */
static bool proxy_begin_sieve(struct req *r, const struct answer_head *d)
{
    struct proxy *p = r->data;
    struct str lines = d->lines, name, value, type = STR("");
    bool is_coded = false;

    while (proxy_next_line(&lines, &name, &value)) {
        if (str_ieq(name, STR("content-type")))
            type = value;
        is_coded = is_coded ||
                   (str_ieq(name, STR("content-encoding")) && !str_ieq(value, STR("identity")));
    }
    if (d->status == 204 || d->status == 304 ||
        (d->status >= 300 && !str_starts(type, STR("application/json"))))
        return true;
    if (is_coded || !str_starts(type, STR("application/json")))
        return false;
    p->sieve = arena_alloc(&r->arena, sizeof(*p->sieve));
    sieve_init(p->sieve, p->withheld, r);
    return true;
}

/* The final head is here; its bytes go out with the first of the body, or alone. */
static err_t proxy_take_head(struct req *r, const struct answer_head *d, struct fail *f)
{
    struct proxy *p = r->data;
    uint64_t length = d->has_length && !d->is_chunked ? d->length : REQ_NO_LENGTH;
    struct str own = policy_lines(r->worker->policy, r->reply.lines);

    if (p->withheld && !proxy_begin_sieve(r, d))
        return proxy_fail(r, ERR_UPSTREAM, "its answer is not plain JSON", f);
    if (p->sieve)
        length = REQ_NO_LENGTH;
    if (!proxy_answer_lines(&r->arena, d->lines, own, r->head->has_origin, &r->reply.headers))
        return proxy_fail(r, ERR_UPSTREAM, "its transfer coding is not known", f);
    upstream_good(r->worker->upstream);
    stat_time(r->worker->stats, upstream, r->worker->now_us - p->asked_us);
    p->has_head = true;
    p->awaits_continue = false;
    r->reply.is_relayed = true;
    if (d->status == 204)
        length = 0;
    req_begin_answer(r, d->status, NULL, length);
    return OK;
}

enum pull { PULL_MORE, PULL_WAIT, PULL_DONE };

/* The upstream has said yes or no. True: its answer waits, *e is what the step returns. */
static bool proxy_begins_to_permit(struct req *r, const struct answer_head *d, err_t *e)
{
    struct proxy *p = r->data;

    if (d->status >= 300)
        p->behind = NULL;
    p->is_held = p->behind && grant_behind_reads(p->behind);
    if (!p->behind || p->is_held)
        return false;
    *e = proxy_permit(r, proxy_turn);
    return true;
}

/* One look at what the upstream has said. PULL_DONE: *e is what the step returns. */
static enum pull proxy_pull(struct req *r, err_t *e, struct fail *f)
{
    struct proxy *p = r->data;
    struct upstream_conn *up = p->up;
    const struct answer_head *d = http_answer_head(up->answer);
    enum http_event event;
    size_t used;

    event = http_answer_feed(up->answer, buf_str(&up->in), &used,
                             p->sieve ? &p->unsieved : &r->reply.body, f);
    buf_consume(&up->in, used);
    if (p->sieve && !sieve_feed(p->sieve, buf_str(&p->unsieved), &r->reply.body)) {
        *e = proxy_fail(r, ERR_UPSTREAM, "its answer is not JSON", f);
        return PULL_DONE;
    }
    buf_reset(&p->unsieved);
    switch (event) {
    case HTTP_HEAD_END:
        if (d->status == 101 && p->is_upgrade) {
            *e = proxy_open_tunnel(r);
            return PULL_DONE;
        }
        if (d->status < 200 && d->status != 101) {
            *e = proxy_interim(r, d, f);
            return PULL_DONE;
        }
        *e = d->status == 101 ? proxy_fail(r, ERR_UPSTREAM, "it speaks another protocol", f)
                              : proxy_take_head(r, d, f);
        return *e || proxy_begins_to_permit(r, d, e) ? PULL_DONE : PULL_MORE;
    case HTTP_END: *e = proxy_finish(r, f); return PULL_DONE;
    case HTTP_ERROR:
        *e = proxy_fail(r, ERR_UPSTREAM, "its answer is not HTTP", f);
        return PULL_DONE;
    default: break;
    }
    if (!p->has_head || (r->reply.is_begun && buf_len(&r->reply.body) == 0))
        return PULL_WAIT;
    if (p->is_held && buf_len(&r->reply.body) <= GRANT_BEHIND_MOST)
        return PULL_WAIT;
    *e = p->is_held ? proxy_permit(r, proxy_turn) : req_send(r, proxy_turn);
    return PULL_DONE;
}

/* Reads once; PULL_WAIT: there is nothing. */
static enum pull proxy_read(struct req *r, err_t *e, struct fail *f)
{
    struct upstream_conn *up = ((struct proxy *)r->data)->up;
    char *room = buf_room(&up->in, READ_BYTES);
    ssize_t n = upstream_read(up, room, READ_BYTES);

    if (n > 0) {
        buf_added(&up->in, (size_t)n);
        return PULL_MORE;
    }
    if (n < 0 && errno == EAGAIN)
        return PULL_WAIT;
    *e = http_answer_ends_here(up->answer) && n == 0 ? proxy_finish(r, f)
                                                     : proxy_lost(r, "its connection ended", f);
    return PULL_DONE;
}

/* -- turns ------------------------------------------------------------------------------------- */

/* Nothing more can be done now. */
static err_t proxy_wait(struct req *r)
{
    struct proxy *p = r->data;
    bool has_out = proxy_unsent(p) && !p->is_deaf;
    uint64_t most_us = r->worker->settings->upstream_timeout;

    upstream_await(p->up, has_out ? EV_READ | EV_WRITE : EV_READ);
    if (p->awaits_continue)
        return req_wait_event(r, CONTINUE_US, proxy_turn);
    if (!has_out && !p->has_sent_all && !p->is_deaf)
        return req_next_piece(r, proxy_piece);
    return req_wait_event(r, most_us, proxy_turn);
}

static err_t proxy_turn(struct req *r, struct fail *f)
{
    struct proxy *p = r->data;
    enum pull came;
    err_t e = OK;

    if (r->is_late && p->awaits_continue) {
        r->is_late = p->awaits_continue = false;
    } else if (r->is_late) {
        return proxy_late(r, f);
    }
    if (p->up->state == UPSTREAM_FAILED)
        return proxy_lost(r, p->up->why, f);
    proxy_push(p);
    do {
        came = proxy_pull(r, &e, f);
        if (came == PULL_WAIT)
            came = proxy_read(r, &e, f);
    } while (came == PULL_MORE);
    return came == PULL_DONE ? e : proxy_wait(r);
}

static void proxy_on_event(struct upstream_conn *up)
{
    struct req *r = up->owner;

    worker_touch(r->worker);
    if (!req_event(r))
        (void)req_interrupt(r);
}

/* -- the beginning ----------------------------------------------------------------------------- */

static err_t proxy_connected(struct req *r, struct fail *f)
{
    struct proxy *p = r->data;

    if (r->is_late && !upstream_next(p->up))
        return proxy_fail(r, ERR_DEADLINE, "no connection in time", f);
    r->is_late = false;
    if (p->up->state == UPSTREAM_FAILED)
        return proxy_lost(r, p->up->why, f);
    if (p->up->state == UPSTREAM_READY)
        return proxy_turn(r, f);
    return req_wait_event(r, upstream_patience(p->up), proxy_connected);
}

static err_t proxy_connect(struct req *r, struct fail *f)
{
    struct proxy *p = r->data;
    struct worker *w = r->worker;
    err_t e = upstream_take(w->upstream, p->is_retry, w->now_us, &p->up, f);

    if (e)
        return e;
    p->up->owner = r;
    p->up->on_event = proxy_on_event;
    http_answer_begin(p->up->answer, r->head->method == HTTP_M_HEAD);
    p->out[0] = p->head;
    p->out[1] = p->body;
    p->out[2] = STR("");
    p->has_sent_all = r->is_whole || p->has_all;
    if (p->up->state == UPSTREAM_READY)
        return proxy_turn(r, f);
    if (p->up->state == UPSTREAM_FAILED)
        return proxy_lost(r, p->up->why, f);
    return req_wait_event(r, upstream_patience(p->up), proxy_connected);
}

static struct str proxy_address(struct req *r)
{
    char text[INET6_ADDRSTRLEN] = "";
    uint8_t ip[NET_BYTES];

    if (!forwarded_client(r, ip))
        return STR("unknown");
    if (memcmp(ip, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) == 0)
        inet_ntop(AF_INET, ip + 12, text, sizeof(text));
    else
        inet_ntop(AF_INET6, ip, text, sizeof(text));
    return arena_dup(&r->arena, str_of(text));
}

static err_t proxy_ask(struct req *r, struct fail *f)
{
    struct proxy *p = r->data;
    struct str text = http_head_text(r->conn->x->http);
    struct proxy_peer peer = {.address = proxy_address(r),
                              .scheme = forwarded_is_https(r) ? STR("https") : STR("http"),
                              .wants_continue = r->conn->x->owes_continue && !p->has_all,
                              .has_all = p->has_all,
                              .body_bytes = p->body.n,
                              .wants_plain = p->wants_plain};
    struct buf head;

    if (r->scope.mark)
        peer.workspace = str_of(r->scope.workspace);
    p->awaits_continue = peer.wants_continue;
    p->is_upgrade = proxy_wants_upgrade(&r->arena, r->head, text);
    buf_init(&head);
    proxy_request_head(&r->arena, r->head, text, upstream_url(r->worker->upstream), &peer, &head);
    p->head = arena_dup(&r->arena, buf_str(&head));
    buf_fini(&head);
    p->asked_us = r->worker->now_us;
    stat_add(r->worker->stats, upstream_requests, 1);
    return proxy_connect(r, f);
}

/* -- read your writes -------------------------------------------------------------------------- */

static struct str proxy_parameter(struct req *r, const char *name)
{
    struct str rest = r->head->query;

    while (rest.n) {
        struct str value = str_cut(&rest, '&');

        if (str_eq(str_cut(&value, '='), str_of(name)))
            return value;
    }
    return STR("");
}

/* A segment of the path that looks like the id of a run: 32 hex digits. */
static struct str proxy_run_in_path(struct str path)
{
    while (path.n) {
        struct str s = str_cut(&path, '/');
        size_t i;

        for (i = 0;
             i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] >= 'a' && s.p[i] <= 'f')); i++)
            continue;
        if (s.n == 32 && i == 32)
            return s;
    }
    return STR("");
}

static bool proxy_names_experiment(struct req *r)
{
    struct str path = r->head->path;

    if (proxy_parameter(r, "experiment_id").n || proxy_parameter(r, "experiment_ids").n)
        return true;
    while (path.n) {
        if (str_eq(str_cut(&path, '/'), STR("experiments")))
            return path.n > 0;
    }
    return false;
}

/* Flask, which answers for artifacts below a prefix, takes a chunked upload for an empty one, says 200 and
 * stores nothing. */
static bool proxy_would_lose_body(struct req *r)
{
    struct str path = r->head->path;
    struct str prefix = str_of(r->worker->settings->static_prefix);

    if (!(r->head->method & HTTP_M_PUT) || !r->head->is_chunked)
        return false;
    if (prefix.n + upstream_url(r->worker->upstream)->prefix.n == 0)
        return false;
    path = str_skip(path, str_starts(path, prefix) ? prefix.n : 0);
    return str_starts(path, STR("/api/2.0/mlflow-artifacts/artifacts/")) ||
           str_starts(path, STR("/ajax-api/2.0/mlflow-artifacts/artifacts/"));
}

err_t proxy_handle(struct req *r, struct fail *f)
{
    struct proxy *p = arena_zalloc(&r->arena, sizeof(*p));
    struct str run;

    p->r = r;
    p->has_all = r->route->body != BODY_STREAM;
    p->body = r->input.body;
    p->guarded = arena_dup(&r->arena, buf_str(&r->reply.headers));
    p->withheld = withhold_rules(r);
    p->behind = grant_behind_plan(r);
    p->wants_plain = p->withheld || (p->behind && grant_behind_reads(p->behind));
    buf_init(&p->unsieved);
    r->data = p;
    r->over = proxy_over;
    if (proxy_would_lose_body(r))
        return fail_str(
            f, ERR_BAD_REQUEST,
            STR("The server behind this one does not store an upload that does not say its"
                " length: send Content-Length."));
    if (!(r->head->method & (HTTP_M_GET | HTTP_M_HEAD)))
        return proxy_ask(r, f);
    run = proxy_parameter(r, "run_id");
    if (run.n == 0)
        run = proxy_parameter(r, "run_uuid");
    if (run.n == 0)
        run = proxy_run_in_path(r->head->path);
    if (run.n)
        return req_wait_run(r, run, proxy_ask);
    return proxy_names_experiment(r) ? req_wait_all(r, proxy_ask) : proxy_ask(r, f);
}
