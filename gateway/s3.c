/*
 * s3: calls on libcurl's multi interface (curl_loop.h), signed with the keys of the moment (s3_keys.h).
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
 * libcurl's buffer of BUFFER_BYTES, and no further one is read from the client before.
 *
 * Signatures. libcurl signs (CURLOPT_AWS_SIGV4) with the header fields given here, among them
 * x-amz-content-sha256, which 7.88 does not add by itself and takes over when it is there. URLs are
 * canonical already (s3_url.c). Expect, which libcurl adds to a long body, cannot be taken out with an
 * empty field: 7.88 would sign that. So a server that does not answer it costs CONTINUE_MS. Bodies that are streamed are not signed, those in memory are.
 */
#include "gateway/s3.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/req_event.h"
#include "gateway/s3_keys.h"
#include "gateway/s3_xml.h"
#include "gateway/say.h"
#include "gateway/artifacts.h"
#include "gateway/server.h"
#include "gateway/worker.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

enum {
    ANSWER_PAUSE = 256 << 10,
    BUFFER_BYTES = 256 << 10,
    CONNECT_MS = 10000,
    CONTINUE_MS = 100 /* for servers that do not know it */
};

struct s3_pool {
    struct worker *worker;
    struct s3_conf conf; /* the server's, with the keys that are good now */
    struct curl_loop loop;
    struct s3_keys *keys;
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
    p->keys = s3_keys_open(&p->loop, &p->conf, s3_on_keys, p);
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
    s3_keys_close(p->keys);
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

static void s3_add_header(struct s3_call *c, struct arena *a, struct str name, struct str value)
{
    struct str line = SAY_TEXT(a, name, STR(": "), value);
    struct curl_slist *more = curl_slist_append(c->headers, arena_cstr(a, line));

    check(more != NULL);
    c->headers = more;
}

/* Hexadecimal SHA-256 of a body in memory. */
static struct str s3_hash(struct arena *a, struct str body)
{
    unsigned char digest[32];
    char text[65];

    check(EVP_Digest(body.p, body.n, digest, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < sizeof(digest); i++)
        snprintf(text + 2 * i, 3, "%02x", digest[i]);
    return arena_dup(a, str_of(text));
}

static void s3_set_headers(struct s3_call *c, struct arena *a, const struct s3_request *q)
{
    const struct s3_conf *conf = &c->pool->conf;

    for (size_t i = 0; i < q->header_count; i++)
        s3_add_header(c, a, q->headers[i].name, q->headers[i].value);
    if (conf->bucket_owner.n)
        s3_add_header(c, a, STR("x-amz-expected-bucket-owner"), conf->bucket_owner);
    s3_add_header(c, a, STR("x-amz-content-sha256"),
                  q->body_bytes == S3_NO_BODY || q->body.n ? s3_hash(a, q->body)
                                                           : STR("UNSIGNED-PAYLOAD"));
}

static void s3_set_body(struct s3_call *c, const struct s3_request *q)
{
    bool is_head = strcmp(q->method, "HEAD") == 0;

    if (q->body_bytes != S3_NO_BODY || q->body.n) {
        uint64_t n = q->body.n ? q->body.n : q->body_bytes;

        curl_easy_setopt(c->easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(c->easy, CURLOPT_READFUNCTION, s3_on_room);
        curl_easy_setopt(c->easy, CURLOPT_READDATA, c);
        curl_easy_setopt(c->easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)n);
        c->feed = q->body;
    } else if (strcmp(q->method, "POST") == 0) {
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, "");
        curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE, 0L);
    }
    if (is_head)
        curl_easy_setopt(c->easy, CURLOPT_NOBODY, 1L);
    else
        curl_easy_setopt(c->easy, CURLOPT_CUSTOMREQUEST, q->method);
}

static void s3_set_peer(struct s3_call *c, struct arena *a, struct str url)
{
    const struct s3_conf *conf = &c->pool->conf;
    CURL *easy = c->easy;

    curl_easy_setopt(easy, CURLOPT_URL, arena_cstr(a, url));
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_EXPECT_100_TIMEOUT_MS, (long)CONTINUE_MS);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)BUFFER_BYTES);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, conf->verifies_tls ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, conf->verifies_tls ? 2L : 0L);
    if (conf->ca_bundle.n)
        curl_easy_setopt(easy, CURLOPT_CAINFO, arena_cstr(a, conf->ca_bundle));
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
    s3_set_peer(c, a, s3_url(a, &p->conf, q->bucket, q->key, q->params, q->param_count));
    s3_set_headers(c, a, q);
    s3_set_body(c, q);
}

/* -- keys --------------------------------------------------------------------------------------- */

static void s3_set_text(CURL *easy, CURLoption option, struct buf *text)
{
    buf_add_byte(text, '\0');
    curl_easy_setopt(easy, option, buf_str(text).p); /* libcurl copies it */
    buf_reset(text);
}

/* There are keys: the call goes out, signed with them. */
static void s3_send_signed(struct s3_call *c)
{
    const struct s3_conf *conf = &c->pool->conf;
    struct buf text;

    buf_init(&text);
    if (!conf->is_unsigned && conf->secret_key.n) {
        if (conf->session_token.n) {
            buf_printf(&text, "x-amz-security-token: %.*s", STR_ARG(conf->session_token));
            buf_add_byte(&text, '\0');
            check((c->headers = curl_slist_append(c->headers, buf_str(&text).p)) != NULL);
            buf_reset(&text);
        }
        buf_add_str(&text, conf->access_key);
        s3_set_text(c->easy, CURLOPT_USERNAME, &text);
        buf_add_str(&text, conf->secret_key);
        s3_set_text(c->easy, CURLOPT_PASSWORD, &text);
        buf_printf(&text, "aws:amz:%.*s:s3", STR_ARG(conf->region));
        s3_set_text(c->easy, CURLOPT_AWS_SIGV4, &text);
    }
    buf_fini(&text);
    curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers);
    curl_loop_add(&c->pool->loop, c->easy, &c->job);
    c->is_sent = true;
}

/* Out it goes, or it waits for keys, or it has failed for want of them. A call without a handle is only about
 * the keys. */
static void s3_enter(struct s3_call *c)
{
    struct s3_pool *p = c->pool;
    enum s3_keys_answer have = p->conf.is_unsigned ? S3_KEYS_GOOD : s3_keys_ask(p->keys);

    if (have == S3_KEYS_COMING) {
        c->unsigned_next = p->unsigned_first;
        p->unsigned_first = c;
    } else if (have == S3_KEYS_GOOD && c->easy) {
        s3_send_signed(c);
    } else {
        s3_on_done(c, have == S3_KEYS_GOOD ? NULL : s3_keys_why(p->keys));
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

    log_warn("", "no answer from S3", "status=%d why=\"%s\"", c->status, c->why ? c->why : "late");
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

static const struct {
    const char *code;
    err_t err;
} s3_errors[] = {
    {"AccessDenied", ERR_DENIED},
    {"NoSuchBucket", ERR_NOT_FOUND},
    {"NoSuchKey", ERR_NOT_FOUND},
    {"NoSuchUpload", ERR_NOT_FOUND},
    {"InvalidAccessKeyId", ERR_UNAUTHENTICATED},
    {"SignatureDoesNotMatch", ERR_UNAUTHENTICATED},
};

static err_t s3_err_of(const struct s3_call *c, struct str code)
{
    for (size_t i = 0; i < array_len(s3_errors); i++)
        if (str_eq(code, str_of(s3_errors[i].code)))
            return s3_errors[i].err;
    return c->status == 403   ? ERR_DENIED
           : c->status == 404 ? ERR_NOT_FOUND
           : c->status >= 500 ? ERR_STORAGE
                              : ERR_INTERNAL;
}

err_t s3_fail(struct req *r, struct str what, struct fail *f)
{
    struct s3_call *c = r->s3;
    struct arena *a = &r->arena;
    struct str code = s3_xml_find(a, buf_str(&c->answer), "Error/Code");
    struct str words = s3_xml_find(a, buf_str(&c->answer), "Error/Message");

    if (words.n == 0)
        words = c->status == 404   ? STR("Not Found")
                : c->status == 403 ? STR("Forbidden")
                                   : arena_printf(a, "S3 answered %d", c->status);
    return SAY(a, f, s3_err_of(c, code), what, words);
}
