/*
 * wire: a socket, TLS on it or none, its events and llhttp.
 *
 *   CLOSED -send-> CONNECTING -connected-> SENDING -all sent-> READING -answer-> IDLE -send-> SENDING
 *                  with TLS: CONNECTING -connected-> SHAKING -hands shaken-> SENDING
 *   any but CLOSED and IDLE -error, EOF, deadline-> FAILED -deadline event-> on_done(status 0), CLOSED
 *   IDLE -EOF or bytes nobody asked for-> CLOSED
 *
 * A failure is told by the deadline's event, a millisecond later: on_done never comes from within
 * wire_send, and somebody who tries again at once does not turn in circles while nobody listens. An answer that says `Connection: close` closes after it was taken. Bytes of a
 * body are dropped unless somebody keeps them; buffers are kept, so the steady state has no malloc.
 */
#include "loadtest/wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "loadtest/secure.h"

enum { WIRE_CHUNK = 65536 };

/* --- what llhttp tells ------------------------------------------------------------------------ */

static int wire_on_field(llhttp_t *parser, const char *at, size_t n)
{
    struct wire *w = parser->data;

    if (w->value_len) {
        w->field_len = 0;
        w->value_len = 0;
    }
    for (size_t i = 0; i < n && w->field_len < sizeof(w->field); i++)
        w->field[w->field_len++] = at[i] >= 'A' && at[i] <= 'Z' ? (char)(at[i] + 32) : at[i];
    return 0;
}

static int wire_on_value(llhttp_t *parser, const char *at, size_t n)
{
    struct wire *w = parser->data;

    for (size_t i = 0; i < n && w->value_len < sizeof(w->value); i++)
        w->value[w->value_len++] = at[i];
    return 0;
}

static int wire_on_value_complete(llhttp_t *parser)
{
    struct wire *w = parser->data;
    uint64_t seconds;

    if (str_eq((struct str){w->field, w->field_len}, STR("retry-after")) &&
        str_to_u64((struct str){w->value, w->value_len}, &seconds)) {
        w->answer.has_retry_after = true;
        w->answer.retry_after_us = (seconds < 86400 ? seconds : 86400) * 1000000;
    }
    w->value_len = 0;
    w->field_len = 0;
    return 0;
}

static int wire_on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct wire *w = parser->data;

    if (w->keep_body)
        buf_add(&w->body, at, n);
    return 0;
}

static int wire_on_complete(llhttp_t *parser)
{
    struct wire *w = parser->data;

    w->is_done = true;
    w->is_kept = llhttp_should_keep_alive(parser);
    return HPE_PAUSED; /* bytes behind it were not asked for */
}

static const llhttp_settings_t wire_callbacks = {
    .on_header_field = wire_on_field,
    .on_header_value = wire_on_value,
    .on_header_value_complete = wire_on_value_complete,
    .on_body = wire_on_body,
    .on_message_complete = wire_on_complete,
};

/* --- the machine ------------------------------------------------------------------------------ */

void wire_close(struct wire *w)
{
    if (w->fd >= 0) {
        event_del(&w->reading);
        event_del(&w->writing);
        SSL_free(w->session);
        w->session = NULL;
        close(w->fd);
    }
    event_del(&w->deadline);
    w->fd = -1;
    w->state = WIRE_CLOSED;
}

/* The request has no answer; the deadline's event says so, in a moment. */
static void wire_fail(struct wire *w)
{
    static const struct timeval moment = {.tv_usec = 1000};

    w->state = WIRE_FAILED;
    if (w->fd >= 0) {
        event_del(&w->reading);
        event_del(&w->writing);
    }
    evtimer_add(&w->deadline, &moment);
}

static void wire_write(struct wire *w)
{
    while (w->rest.n) {
        ssize_t n = w->session ? secure_send(w->session, w->rest.p, w->rest.n)
                               : send(w->fd, w->rest.p, w->rest.n, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN) {
            event_add(&w->writing, NULL);
            return;
        }
        if (n < 0)
            return; /* still SENDING: what was refused early has an answer to be read */
        w->rest = str_skip(w->rest, (size_t)n);
    }
    w->state = WIRE_READING;
}

static void wire_begin(struct wire *w)
{
    w->state = WIRE_SENDING;
    w->answer = (struct answer){0};
    w->is_done = false;
    w->field_len = w->value_len = 0;
    buf_reset(&w->body);
    llhttp_init(&w->parser, HTTP_RESPONSE, &wire_callbacks);
    w->parser.data = w;
    wire_write(w);
}

/* The answer is whole: keeps or closes the connection, then tells. */
static void wire_finish(struct wire *w, bool is_kept)
{
    struct answer a = w->answer;

    a.status = w->parser.status_code;
    a.body = buf_str(&w->body);
    event_del(&w->deadline);
    w->state = WIRE_IDLE;
    if (!is_kept)
        wire_close(w);
    w->on_done(w, &a);
}

/* Goes on with the handshake; the request follows it. */
static void wire_shake(struct wire *w)
{
    switch (secure_shake(w->session)) {
    case SECURE_WANTS_READ: break;
    case SECURE_WANTS_WRITE: event_add(&w->writing, NULL); break;
    case SECURE_DONE: wire_begin(w); break;
    default:
        w->answer.why = secure_why(w->session);
        wire_fail(w);
        break;
    }
}

static void wire_on_readable(evutil_socket_t fd, short what, void *arg)
{
    static char chunk[WIRE_CHUNK]; /* there is one thread */
    struct wire *w = arg;
    llhttp_errno_t e;
    ssize_t n;

    (void)what;
    if (w->state == WIRE_SHAKING) {
        wire_shake(w);
        return;
    }
    n = w->session ? secure_recv(w->session, chunk, sizeof(chunk))
                   : recv(fd, chunk, sizeof(chunk), 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (w->state == WIRE_IDLE) { /* the server closes what is idle */
        wire_close(w);
        return;
    }
    if (n > 0) {
        e = llhttp_execute(&w->parser, chunk, (size_t)n);
        if (e != HPE_OK && !w->is_done) {
            wire_fail(w);
            return;
        }
    } else {
        if (n == 0)
            (void)llhttp_finish(&w->parser); /* a body may end with the connection */
        if (!w->is_done) {
            wire_fail(w);
            return;
        }
    }
    /* An answer before the request was all sent: whoever refuses early closes. */
    if (w->is_done)
        wire_finish(w, n > 0 && w->state == WIRE_READING && w->is_kept);
}

static void wire_on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct wire *w = arg;
    socklen_t n = sizeof(int);
    int why = 0;

    (void)what;
    if (w->state == WIRE_SENDING) {
        wire_write(w);
        return;
    }
    if (w->state == WIRE_SHAKING) {
        wire_shake(w);
        return;
    }
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &n);
    if (why) {
        wire_fail(w);
        return;
    }
    event_add(&w->reading, NULL);
    if (w->target->tls == NULL) {
        wire_begin(w);
        return;
    }
    w->session = secure_session(w->target->tls, fd, w->target->host);
    w->state = WIRE_SHAKING;
    wire_shake(w);
}

static void wire_on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct wire *w = arg;
    struct answer a = {.is_late = w->state != WIRE_FAILED, .why = w->answer.why};

    (void)fd;
    (void)what;
    wire_close(w);
    w->on_done(w, &a);
}

static void wire_connect(struct wire *w)
{
    int on = 1;

    w->connects++;
    w->answer = (struct answer){0};
    w->state = WIRE_CONNECTING;
    w->fd = socket(w->target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->fd < 0) {
        wire_fail(w);
        return;
    }
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    event_assign(&w->reading, w->loop, w->fd, EV_READ | EV_PERSIST, wire_on_readable, w);
    event_assign(&w->writing, w->loop, w->fd, EV_WRITE, wire_on_writable, w);
    if (connect(w->fd, (const struct sockaddr *)&w->target->address, w->target->address_len) != 0 &&
        errno != EINPROGRESS)
        wire_fail(w);
    else
        event_add(&w->writing, NULL);
}

void wire_send(struct wire *w, struct str request)
{
    struct timeval limit = {(time_t)(w->timeout_us / 1000000),
                            (suseconds_t)(w->timeout_us % 1000000)};

    check(w->state == WIRE_CLOSED || w->state == WIRE_IDLE);
    w->rest = request;
    event_add(&w->deadline, &limit);
    if (w->state == WIRE_CLOSED)
        wire_connect(w);
    else
        wire_begin(w);
}

bool wire_is_busy(const struct wire *w)
{
    return w->state != WIRE_CLOSED && w->state != WIRE_IDLE;
}

void wire_init(struct wire *w, struct event_base *loop, const struct target *t, uint64_t timeout_us,
               void (*on_done)(struct wire *w, const struct answer *a))
{
    memset(w, 0, sizeof(*w));
    w->loop = loop;
    w->target = t;
    w->timeout_us = timeout_us;
    w->on_done = on_done;
    w->fd = -1;
    buf_init(&w->body);
    event_assign(&w->deadline, loop, -1, 0, wire_on_deadline, w);
}

void wire_fini(struct wire *w)
{
    wire_close(w);
    buf_fini(&w->body);
}

/* --- one at a time ---------------------------------------------------------------------------- */

static struct answer wire_asked;

static void wire_on_asked(struct wire *w, const struct answer *a)
{
    wire_asked = *a;
    event_base_loopbreak(w->loop);
}

struct answer wire_ask(struct wire *w, struct str request)
{
    void (*usual)(struct wire *, const struct answer *) = w->on_done;

    w->on_done = wire_on_asked;
    wire_send(w, request);
    event_base_loop(w->loop, EVLOOP_NO_EXIT_ON_EMPTY);
    w->on_done = usual;
    return wire_asked;
}
