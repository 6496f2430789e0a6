/*
 * s3: calls on libcurl's multi interface (curl_loop.h), signed with the keys of the moment (s3_credentials.h).
 *
 *   prepared > signed, at once or when keys have come > libcurl calls back with header lines, bytes, and
 *   for bytes of a body > done
 *
 * Nothing of a request runs within a callback of libcurl's, because its next step may start, pause or
 * end calls, which libcurl does not allow there. A callback notes what came; a call whose wait is over
 * goes to the pool's list of ready ones, and an event of the pool's own runs their requests.
 *
 * Bounded memory. The answer is taken until ANSWER_PAUSE bytes wait to be sent; then libcurl is told to
 * pause, which closes the TCP window, and to go on once they are out. An answer that is waited for as a
 * whole ends the call beyond S3_ANSWER_MAX. A body is copied from the bytes that s3_feed names, into
 * libcurl's buffer, and no further one is read from the client before.
 */
#include "gateway/s3/s3.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/artifact/artifacts.h"
#include "gateway/req_event.h"
#include "gateway/s3/s3_credentials.h"
#include "gateway/say.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

enum { ANSWER_PAUSE = 256 << 10 };

struct s3_pool {
    struct worker *worker;
    struct s3_conf conf; /* the server's, with the keys that are good now */
    struct curl_loop loop;
    struct s3_credentials *keys;
    struct event ready;
    struct s3_call *ready_first;
    struct s3_call *away_first;
    struct s3_call *unsigned_first; /* those that wait for keys */
};

/* -- the loop ----------------------------------------------------------------------------------- */

static void s3_check(struct s3_call *c);
static void s3_free_away(struct s3_call *c);
static void s3_on_keys(void *owner);

static void s3_on_done(void *owner, const char *why)
{
    struct s3_call *c = owner;

    c->is_done = c->has_head = true;
    if (why && c->err == OK) {
        c->err = ERR_STORAGE;
        c->why = why;
    }
    if (c->req)
        s3_check(c);
    else
        s3_free_away(c);
}

/* Calls whose wait is over: their requests go on. */
static void s3_on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct s3_pool *p = arg;
    struct s3_call *c;

    (void)fd, (void)what;
    worker_touch(p->worker);
    while ((c = p->ready_first)) {
        p->ready_first = c->ready_next;
        c->is_ready = false;
        (void)req_event(c->req);
    }
}

static struct s3_pool *s3_pool_of(struct worker *w)
{
    struct s3_pool *p = w->s3;

    if (p)
        return p;
    check((p = calloc(1, sizeof(*p))) != NULL);
    p->worker = w;
    p->conf = server_artifacts(w->server)->s3;
    curl_loop_open(&p->loop, w);
    p->keys = s3_credentials_open(&p->loop, &p->conf, s3_on_keys, p);
    event_assign(&p->ready, w->base, -1, 0, s3_on_ready, p);
    return w->s3 = p;
}

void s3_close(struct s3_pool *p)
{
    if (p == NULL)
        return;
    check(p->ready_first == NULL);
    while (p->away_first)
        s3_free_away(p->away_first);
    s3_credentials_close(p->keys);
    curl_loop_close(&p->loop);
    event_del(&p->ready);
    free(p);
}

/* -- callbacks of a call ------------------------------------------------------------------------ */

static bool s3_has_come(const struct s3_call *c, enum s3_wait what)
{
    switch (what) {
    case S3_HEAD: return c->has_head;
    case S3_BYTES: return c->is_done || buf_len(&c->answer) > 0;
    case S3_ROOM: return c->is_done || c->feed.n == 0;
    default: return c->is_done;
    }
}

static void s3_check(struct s3_call *c)
{
    if (!c->is_waiting || c->is_ready || !s3_has_come(c, c->wants))
        return;
    c->is_ready = true;
    c->ready_next = c->pool->ready_first;
    c->pool->ready_first = c;
    event_active(&c->pool->ready, EV_TIMEOUT, 0);
}

static bool s3_take_field(struct str line, struct str name, struct s3_call *c, struct str *out)
{
    if (line.n <= name.n || !str_ieq(str_head(line, name.n), name))
        return false;
    *out = arena_dup(&c->req->arena, str_trim(str_skip(line, name.n)));
    return true;
}

static size_t s3_on_header(char *p, size_t size, size_t n, void *arg)
{
    struct s3_call *c = arg;
    struct str line = str_trim((struct str){p, size * n}), length;
    long status;

    if (s3_take_field(line, STR("etag:"), c, &c->etag) ||
        s3_take_field(line, STR("content-range:"), c, &c->range) ||
        s3_take_field(line, STR("last-modified:"), c, &c->modified))
        return n;
    if (s3_take_field(line, STR("content-length:"), c, &length)) {
        if (!str_to_u64(length, &c->length))
            c->length = UINT64_MAX;
        return n;
    }
    if (line.n > 0)
        return n;
    curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 200) { /* else it is a 100 */
        c->status = (int)status;
        c->has_head = true;
        s3_check(c);
    }
    return n;
}

static size_t s3_on_bytes(char *p, size_t size, size_t n, void *arg)
{
    struct s3_call *c = arg;

    n *= size;
    if (!c->is_bounded && buf_len(&c->answer) >= ANSWER_PAUSE) {
        c->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (buf_len(&c->answer) + n > S3_ANSWER_MAX) {
        c->err = ERR_STORAGE;
        c->why = "the answer is too long";
        return 0;
    }
    buf_add(&c->answer, p, n);
    s3_check(c);
    return n;
}

static size_t s3_on_room(char *p, size_t size, size_t n, void *arg)
{
    struct s3_call *c = arg;

    n *= size;
    if (c->feed.n == 0) {
        c->wants_feed = true;
        return CURL_READFUNC_PAUSE;
    }
    if (n > c->feed.n)
        n = c->feed.n;
    memcpy(p, c->feed.p, n);
    c->feed = str_skip(c->feed, n);
    s3_check(c);
    return n;
}

/* -- a call ------------------------------------------------------------------------------------- */

static void s3_set_body(struct s3_call *c, const struct s3_request *q)
{
    uint64_t n;

    if (!s3_request_has_body(q, &n))
        return;
    curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, s3_on_room);
    curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
    c->feed = q->body;
}

/* A handle that is set up but for who reads its answer. */
static void s3_prepare(struct s3_pool *p, struct arena *a, struct s3_call *c,
                       const struct s3_request *q)
{
    c->pool = p;
    c->length = UINT64_MAX;
    buf_init(&c->answer);
    check((c->easy = curl_easy_init()) != NULL);
    c->job = (struct curl_job){c, s3_on_done};
    s3_request_set(q, &p->conf, a, c->easy, &c->headers);
    s3_set_body(c, q);
}

/* -- keys --------------------------------------------------------------------------------------- */

/* There are keys: the call goes out, signed with them. */
static void s3_send_signed(struct s3_call *c)
{
    s3_request_sign(&c->pool->conf, c->easy, &c->headers);
    curl_loop_add(&c->pool->loop, c->easy, &c->job);
    c->is_sent = true;
}

/* Out it goes, or it waits for keys, or it has failed for want of them. A call without a handle is only about
 * the keys. */
static void s3_enter(struct s3_call *c)
{
    struct s3_pool *p = c->pool;
    enum s3_credentials_answer have =
        p->conf.is_unsigned ? S3_CREDENTIALS_GOOD : s3_credentials_ask(p->keys);

    if (have == S3_CREDENTIALS_COMING) {
        c->unsigned_next = p->unsigned_first;
        p->unsigned_first = c;
    } else if (have == S3_CREDENTIALS_GOOD && c->easy) {
        s3_send_signed(c);
    } else {
        s3_on_done(c, have == S3_CREDENTIALS_GOOD ? NULL : s3_credentials_why(p->keys));
    }
}

/* A fetch of keys has ended. */
static void s3_on_keys(void *owner)
{
    struct s3_pool *p = owner;
    struct s3_call *waiting = p->unsigned_first;

    p->unsigned_first = NULL;
    while (waiting) {
        struct s3_call *c = waiting;

        waiting = c->unsigned_next;
        c->unsigned_next = NULL;
        s3_enter(c);
    }
}

static void s3_leave_unsigned(struct s3_call *c)
{
    struct s3_call **at = &c->pool->unsigned_first;

    while (*at && *at != c)
        at = &(*at)->unsigned_next;
    if (*at)
        *at = c->unsigned_next;
}

/* What a call holds of libcurl's. */
static void s3_release(struct s3_call *c)
{
    s3_leave_unsigned(c);
    if (c->is_sent && !c->is_done)
        curl_loop_drop(&c->pool->loop, c->easy);
    curl_easy_cleanup(c->easy);
    curl_slist_free_all(c->headers);
}

static struct s3_call *s3_new_call(struct req *r)
{
    struct s3_call *c;

    s3_stop(r);
    c = r->s3 = arena_zalloc(&r->arena, sizeof(*c));
    c->req = r;
    c->pool = s3_pool_of(r->worker);
    buf_init(&c->answer);
    return c;
}

err_t s3_need_keys(struct req *r, req_step next)
{
    s3_enter(s3_new_call(r));
    return s3_await(r, S3_END, next);
}

const struct s3_conf *s3_conf_now(struct worker *w)
{
    return &s3_pool_of(w)->conf;
}

/* -- a call and its end ------------------------------------------------------------------------- */

err_t s3_start(struct req *r, const struct s3_request *q, struct fail *f)
{
    struct arena *a = &r->arena;
    struct s3_call *c;

    s3_stop(r);
    if (!s3_url_is_bucket(q->bucket))
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid bucket name: '"), q->bucket, STR("'"));
    c = s3_new_call(r);
    s3_prepare(c->pool, a, c, q);
    curl_easy_setopt(c->easy, CURLOPT_HEADERFUNCTION, s3_on_header);
    curl_easy_setopt(c->easy, CURLOPT_HEADERDATA, c);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, s3_on_bytes);
    curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c);
    s3_enter(c);
    return OK;
}

static size_t s3_drop_bytes(char *p, size_t size, size_t n, void *arg)
{
    (void)p, (void)arg;
    return size * n;
}

void s3_send_away(struct worker *w, struct arena *a, const struct s3_request *q)
{
    struct s3_pool *p = s3_pool_of(w);
    struct s3_call *c = calloc(1, sizeof(*c));

    check(c != NULL);
    s3_prepare(p, a, c, q);
    curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, s3_drop_bytes);
    curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long)(w->settings->artifact_timeout / 1000));
    c->away_next = p->away_first;
    p->away_first = c;
    s3_enter(c);
}

static void s3_free_away(struct s3_call *c)
{
    struct s3_call **at = &c->pool->away_first;

    while (*at != c)
        at = &(*at)->away_next;
    *at = c->away_next;
    s3_release(c);
    free(c);
}

static void s3_leave_ready(struct s3_call *c)
{
    struct s3_call **at = &c->pool->ready_first;

    if (!c->is_ready)
        return;
    while (*at != c)
        at = &(*at)->ready_next;
    *at = c->ready_next;
    c->is_ready = false;
}

void s3_stop(struct req *r)
{
    struct s3_call *c = r->s3;

    if (c == NULL)
        return;
    s3_leave_ready(c);
    s3_release(c);
    buf_fini(&c->answer);
    r->s3 = NULL;
}

/* -- waiting ------------------------------------------------------------------------------------ */

static err_t s3_lost(struct req *r, struct fail *f)
{
    const struct s3_call *c = r->s3;

    log_warn("", "no answer from S3", "status=%d why=%s", c->status, c->why ? c->why : "late");
    return SAY(&r->arena, f, ERR_STORAGE, STR("The artifact store gave no answer: "),
               str_of(c->why ? c->why : "it took longer than artifact_timeout"));
}

static err_t s3_waited(struct req *r, struct fail *f)
{
    struct s3_call *c = r->s3;

    c->is_waiting = false;
    s3_leave_ready(c); /* its time ran out in the same turn */
    if (c->err || !s3_has_come(c, c->wants))
        return s3_lost(r, f);
    return c->next(r, f);
}

err_t s3_await(struct req *r, enum s3_wait what, req_step next)
{
    struct s3_call *c = r->s3;

    c->wants = what;
    c->next = next;
    c->is_bounded = what == S3_END;
    if (c->is_paused && (c->is_bounded || buf_len(&c->answer) < ANSWER_PAUSE)) {
        c->is_paused = false;
        curl_easy_pause(c->easy, CURLPAUSE_CONT); /* may bring bytes at once */
    }
    if (c->err)
        return s3_lost(r, r->fail);
    if (s3_has_come(c, what))
        return next(r, r->fail);
    c->is_waiting = true;
    return req_wait_event(r, r->worker->settings->artifact_timeout, s3_waited);
}

err_t s3_feed(struct req *r, struct str bytes, req_step next)
{
    struct s3_call *c = r->s3;

    c->feed = bytes;
    if (c->wants_feed && bytes.n && !c->is_done) {
        c->wants_feed = false;
        curl_easy_pause(c->easy, CURLPAUSE_CONT);
    }
    return s3_await(r, S3_ROOM, next);
}

/* -- errors ------------------------------------------------------------------------------------- */

err_t s3_fail(struct req *r, struct str what, struct fail *f)
{
    struct s3_call *c = r->s3;

    return s3_request_refused(&r->arena, c->status, buf_str(&c->answer), what, f);
}
