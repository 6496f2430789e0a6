/*
 * upstream: pool, names, breaker.
 *
 * The pool is a stack: the connection used last serves next, and the oldest are closed when they have
 * been idle for upstream_idle_timeout. That should be less than what the server itself allows (uvicorn
 * 5 s), because a request sent into a connection that the server is closing is lost, and only some may
 * be sent again. An idle connection is watched: when it can be read its peer closed it, or said
 * something nobody asked for, and it goes.
 *
 * The host is looked up aside (schema/pg_names.h, which takes libpq's strings): at the first connection,
 * and again at the next one once a connection failed or NAME_US have passed. Those that wait for the name
 * go on together. A connection tries one address after the other (upstream_address.h) until one takes it.
 *
 * No connection has a timer of its own: who waits for one has (proxy.c), and calls upstream_next when an
 * address has been silent for its share of the time.
 */
#include "gateway/proxy/upstream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/artifact/uri.h"
#include "gateway/http/client_tls.h"
#include "gateway/proxy/breaker.h"
#include "gateway/proxy/upstream_address.h"
#include "schema/errors.h"
#include "schema/pg_names.h"

enum { HEAD_MAX = 65536, IN_KEEP = 65536 };
#define NAME_US ((uint64_t)30 * 1000000)

struct upstream {
    struct event_base *base;
    const struct settings *settings;
    struct stats *stats;
    struct arena arena; /* of the URL */
    struct upstream_url url;
    struct client_tls *tls; /* NULL = plain */
    struct breaker breaker;
    struct pg_names *names; /* a look-up is under way */
    struct event *names_event;
    struct upstream_addresses addresses;
    uint64_t named_us;
    bool is_stale;                 /* a connection failed since the last look-up */
    struct upstream_conn *waiting; /* for the name */
    struct upstream_conn *idle;    /* the one used last first */
    unsigned open_count;
    unsigned idle_count;
    struct event *tick;
};

/* -- the URL ----------------------------------------------------------------------------------- */

/* Letters, digits, dots, dashes; colons within brackets. */
static bool upstream_is_host(struct str host)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-' || c == '_' || c == ':'))
            return false;
    }
    return host.n > 0 && host.n < 256;
}

bool upstream_url_parse(struct arena *a, struct str text, struct upstream_url *out)
{
    struct uri u = uri_parse(a, text);
    struct str authority = u.netloc, rest;
    unsigned port;

    *out = (struct upstream_url){.is_tls = str_eq(u.scheme, STR("https"))};
    if ((!out->is_tls && !str_eq(u.scheme, STR("http"))) || u.is_malformed || u.query.n ||
        u.fragment.n || str_find(authority, '@') < authority.n)
        return false;
    out->authority = arena_dup(a, authority);
    rest = authority;
    if (rest.n && rest.p[0] == '[') {
        out->host = arena_dup(a, str_skip(str_cut(&rest, ']'), 1));
        if (rest.n && rest.p[0] != ':')
            return false;
        rest = str_skip(rest, 1);
    } else {
        out->host = arena_dup(a, str_cut(&rest, ':'));
    }
    port = out->is_tls ? 443 : 80;
    if (rest.n) {
        char digits[8];

        if (rest.n > 5)
            return false;
        str_to_cstr(rest, digits, sizeof(digits));
        port = (unsigned)strtoul(digits, NULL, 10);
    }
    out->port = (uint16_t)port;
    out->prefix = u.path;
    out->host = (struct str){arena_cstr(a, out->host), out->host.n};
    while (out->prefix.n && out->prefix.p[out->prefix.n - 1] == '/')
        out->prefix.n--;
    out->prefix = arena_dup(a, out->prefix);
    return upstream_is_host(out->host) && port > 0 && port < 65536;
}

/* -- connections ------------------------------------------------------------------------------- */

static void upstream_refused(struct upstream_conn *c, const char *why);

static void upstream_gauge(struct upstream *u)
{
    stat_set(u->stats, upstream_connections, u->open_count);
    stat_set(u->stats, upstream_idle, u->idle_count);
}

static void upstream_close_socket(struct upstream_conn *c)
{
    if (c->readable)
        event_free(c->readable);
    if (c->writable)
        event_free(c->writable);
    SSL_free(c->ssl);
    if (c->fd >= 0)
        close(c->fd);
    c->readable = c->writable = NULL;
    c->ssl = NULL;
    c->fd = -1;
}

static void upstream_free(struct upstream_conn *c)
{
    struct upstream *u = c->upstream;

    upstream_close_socket(c);
    http_answer_free(c->answer);
    buf_fini(&c->in);
    free(c);
    u->open_count--;
    upstream_gauge(u);
}

static void upstream_unlink(struct upstream_conn **list, struct upstream_conn *c)
{
    while (*list && *list != c)
        list = &(*list)->next;
    if (*list)
        *list = c->next;
    c->next = NULL;
}

static void upstream_stop_waiting(struct upstream_conn *c)
{
    if (c->readable)
        event_del(c->readable);
    if (c->writable)
        event_del(c->writable);
}

static void upstream_fail(struct upstream_conn *c, const char *why)
{
    c->state = UPSTREAM_FAILED;
    c->why = why;
    c->upstream->is_stale = true;
}

/* Goes on with the handshake; READY, FAILED, or an event is armed. */
static void upstream_greet(struct upstream_conn *c)
{
    const char *trouble;
    int result, why;

    ERR_clear_error();
    result = SSL_do_handshake(c->ssl);
    why = result == 1 ? SSL_ERROR_NONE : SSL_get_error(c->ssl, result);
    if (result == 1) {
        c->state = UPSTREAM_READY;
    } else if (why == SSL_ERROR_WANT_READ) {
        event_add(c->readable, NULL);
    } else if (why == SSL_ERROR_WANT_WRITE) {
        event_add(c->writable, NULL);
    } else {
        trouble = client_tls_trouble(c->ssl);
        upstream_fail(c, trouble ? trouble : "its TLS handshake was cut off");
    }
    ERR_clear_error();
}

static void upstream_begin_tls(struct upstream_conn *c)
{
    struct upstream *u = c->upstream;

    c->ssl = client_tls_new(u->tls, u->url.host.p);
    check(SSL_set_fd(c->ssl, c->fd) == 1);
    SSL_set_connect_state(c->ssl);
    SSL_set_mode(c->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    upstream_greet(c);
}

static void upstream_connected(struct upstream_conn *c)
{
    int error = 0;
    socklen_t n = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) != 0 || error != 0)
        upstream_refused(c, error == ECONNREFUSED ? "connection refused" : "no connection");
    else if (c->upstream->tls)
        upstream_begin_tls(c);
    else
        c->state = UPSTREAM_READY;
}

static void upstream_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct upstream_conn *c = arg;

    (void)fd, (void)what;
    upstream_stop_waiting(c);
    if (c->owner == NULL) { /* idle, and its peer did something */
        upstream_unlink(&c->upstream->idle, c);
        c->upstream->idle_count--;
        upstream_free(c);
        return;
    }
    if (c->state == UPSTREAM_CONNECTING && c->ssl)
        upstream_greet(c);
    else if (c->state == UPSTREAM_CONNECTING)
        upstream_connected(c);
    if (c->state != UPSTREAM_CONNECTING)
        c->on_event(c);
}

/* False: there is none. */
static bool upstream_connect_to(struct upstream_conn *c, const struct upstream_address *a)
{
    struct upstream *u = c->upstream;
    int on = 1;

    c->fd = socket(a->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->readable = event_new(u->base, c->fd, EV_READ, upstream_on_event, c);
    c->writable = event_new(u->base, c->fd, EV_WRITE, upstream_on_event, c);
    check(c->readable && c->writable);
    stat_add(u->stats, upstream_connects, 1);
    if (connect(c->fd, (const struct sockaddr *)&a->to, a->to_bytes) != 0 && errno != EINPROGRESS)
        return false;
    event_add(c->writable, NULL);
    return true;
}

/* To the next address; when none is left it has failed, why. */
static void upstream_connect(struct upstream_conn *c, const char *why)
{
    struct upstream *u = c->upstream;
    uint64_t now_us = clock_us();

    while (upstream_address_next(&u->addresses, &c->tried, now_us)) {
        upstream_close_socket(c);
        if (upstream_connect_to(c, &c->tried.last))
            return;
        upstream_address_bad(&u->addresses, &c->tried, now_us + u->settings->upstream_pause);
        why = "no connection";
    }
    upstream_fail(c, why);
}

/* The address that was tried takes no connection: another may. */
static void upstream_refused(struct upstream_conn *c, const char *why)
{
    struct upstream *u = c->upstream;

    u->is_stale = true;
    upstream_address_bad(&u->addresses, &c->tried, clock_us() + u->settings->upstream_pause);
    upstream_connect(c, why);
}

bool upstream_next(struct upstream_conn *c)
{
    if (c->state != UPSTREAM_CONNECTING || c->tried.count == 0 ||
        clock_us() - c->began_us >= c->upstream->settings->upstream_connect_timeout)
        return false;
    upstream_refused(c, "no connection");
    return c->state == UPSTREAM_CONNECTING;
}

/* A share for each address, of the time that there is in all. */
uint64_t upstream_patience(const struct upstream_conn *c)
{
    uint64_t most_us = c->upstream->settings->upstream_connect_timeout;
    uint64_t gone_us = clock_us() - c->began_us;
    unsigned count = c->tried.count ? c->upstream->addresses.count : 1;
    uint64_t left_us = gone_us < most_us ? most_us - gone_us : 1;
    uint64_t share_us = most_us / (count ? count : 1);

    return share_us < left_us ? share_us : left_us;
}

/* -- the name ---------------------------------------------------------------------------------- */

/* Those that waited connect, or hear that there is nothing to connect to. */
static void upstream_go_on(struct upstream *u)
{
    struct upstream_conn *c;

    while ((c = u->waiting)) {
        u->waiting = c->next;
        c->next = NULL;
        upstream_connect(c, "its name has no address");
        c->on_event(c); /* also when it goes on: who waits has other patience now */
    }
}

static void upstream_on_names(evutil_socket_t fd, short what, void *arg)
{
    struct upstream *u = arg;
    const char *list;

    (void)fd, (void)what;
    if (!pg_names_are_known(u->names))
        return;
    if (u->names_event)
        event_free(u->names_event);
    u->names_event = NULL;
    list = pg_names_trouble(u->names) ? NULL : pg_names_hostaddr(u->names);
    if (list)
        upstream_address_set(&u->addresses, str_of(list), u->url.port);
    else
        log_warn("", "upstream's name has no address", "host=%.*s", STR_ARG(u->url.host));
    pg_names_drop(u->names);
    u->names = NULL;
    u->named_us = clock_us();
    u->is_stale = false;
    upstream_go_on(u);
}

/* True when an address is known, and fresh enough. */
static bool upstream_is_named(struct upstream *u, uint64_t now_us)
{
    if (u->names)
        return false;
    if (u->addresses.count && !u->is_stale && now_us - u->named_us < NAME_US)
        return true;
    u->names = pg_names_ask_host(u->url.host);
    if (u->names == NULL) { /* an address, not a name */
        upstream_address_set(&u->addresses, u->url.host, u->url.port);
        u->named_us = now_us;
        u->is_stale = false;
        return u->addresses.count > 0;
    }
    u->names_event =
        event_new(u->base, pg_names_fd(u->names), EV_READ | EV_PERSIST, upstream_on_names, u);
    check(u->names_event && event_add(u->names_event, NULL) == 0);
    return false;
}

/* -- taking and putting ------------------------------------------------------------------------ */

static struct upstream_conn *upstream_take_idle(struct upstream *u)
{
    struct upstream_conn *c = u->idle;

    if (c == NULL)
        return NULL;
    u->idle = c->next;
    c->next = NULL;
    u->idle_count--;
    upstream_stop_waiting(c);
    c->is_reused = true;
    upstream_gauge(u);
    return c;
}

static void upstream_close_oldest(struct upstream *u)
{
    struct upstream_conn *c = u->idle;

    while (c && c->next)
        c = c->next;
    if (c == NULL)
        return;
    upstream_unlink(&u->idle, c);
    u->idle_count--;
    upstream_free(c);
}

static err_t upstream_make(struct upstream *u, uint64_t now_us, struct upstream_conn **out,
                           struct fail *f)
{
    struct upstream_conn *c;

    if (u->open_count >= u->settings->upstream_connections)
        upstream_close_oldest(u);
    if (u->open_count >= u->settings->upstream_connections)
        return fail(f, ERR_BUSY, "All connections to the upstream server are in use.");
    check((c = calloc(1, sizeof(*c))) != NULL);
    c->upstream = u;
    c->fd = -1;
    c->began_us = clock_us();
    c->answer = http_answer_new(HEAD_MAX);
    u->open_count++;
    upstream_gauge(u);
    *out = c;
    if (upstream_is_named(u, now_us)) {
        upstream_connect(c, "no connection");
    } else if (u->names) {
        c->next = u->waiting;
        u->waiting = c;
    } else {
        upstream_fail(c, "its name has no address");
    }
    return OK;
}

err_t upstream_take(struct upstream *u, bool is_fresh, uint64_t now_us, struct upstream_conn **out,
                    struct fail *f)
{
    err_t e;

    if (!breaker_admits(&u->breaker, now_us))
        return fail(f, ERR_UPSTREAM, "The upstream server does not answer; try again later.");
    *out = is_fresh ? NULL : upstream_take_idle(u);
    if (*out)
        return OK;
    e = upstream_make(u, now_us, out, f);
    if (e)
        breaker_unknown(&u->breaker);
    return e;
}

void upstream_put(struct upstream_conn *c, bool may_serve)
{
    struct upstream *u = c->upstream;

    upstream_stop_waiting(c);
    c->owner = NULL;
    c->on_event = NULL;
    upstream_unlink(&u->waiting, c);
    if (!may_serve || c->state != UPSTREAM_READY || buf_len(&c->in)) {
        upstream_free(c);
        return;
    }
    buf_shrink(&c->in, IN_KEEP);
    c->idle_since_us = clock_us();
    c->next = u->idle;
    u->idle = c;
    u->idle_count++;
    event_add(c->readable, NULL);
    upstream_gauge(u);
}

void upstream_await(struct upstream_conn *c, short what)
{
    if (c->state == UPSTREAM_CONNECTING)
        return; /* on_event follows in any case */
    if (what & EV_READ)
        event_add(c->readable, NULL);
    if (what & EV_WRITE)
        event_add(c->writable, NULL);
}

/* What a call's failure is in terms of a socket: 0 for an end that the peer has announced. */
static ssize_t upstream_tls_failed(struct upstream_conn *c, int result)
{
    int why = SSL_get_error(c->ssl, result);

    ERR_clear_error();
    if (why == SSL_ERROR_ZERO_RETURN)
        return 0;
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

ssize_t upstream_read(struct upstream_conn *c, void *p, size_t n)
{
    ssize_t got;

    if (c->ssl) {
        int some = SSL_read(c->ssl, p, n < INT32_MAX ? (int)n : INT32_MAX);

        return some > 0 ? some : upstream_tls_failed(c, some);
    }
again:
    got = read(c->fd, p, n);
    if (got < 0 && errno == EINTR)
        goto again;
    return got;
}

ssize_t upstream_write(struct upstream_conn *c, const struct iovec *v, int count)
{
    struct msghdr m = {.msg_iov = (struct iovec *)(uintptr_t)v, .msg_iovlen = (size_t)count};
    ssize_t sent;

    if (c->ssl) { /* one slice at a time: they are long, or a head */
        size_t n = v[0].iov_len < INT32_MAX ? v[0].iov_len : INT32_MAX;
        int some = SSL_write(c->ssl, v[0].iov_base, (int)n);

        return some > 0 ? some : upstream_tls_failed(c, some);
    }
again:
    sent = sendmsg(c->fd, &m, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR)
        goto again;
    return sent;
}

void upstream_shutdown(struct upstream_conn *c)
{
    if (c->ssl) {
        if (SSL_shutdown(c->ssl) < 0)
            ERR_clear_error();
        return;
    }
    (void)shutdown(c->fd, SHUT_WR);
}

/* -- the breaker ------------------------------------------------------------------------------- */

void upstream_good(struct upstream *u)
{
    if (!breaker_good(&u->breaker))
        return;
    stat_set(u->stats, upstream_given_up, 0);
    log_info("", "upstream answers again", "%s", "");
}

void upstream_bad(struct upstream *u, uint64_t now_us, const char *why)
{
    const struct settings *s = u->settings;

    stat_add(u->stats, upstream_failures, 1);
    if (!breaker_bad(&u->breaker, now_us, (unsigned)s->upstream_failures, s->upstream_pause))
        return;
    stat_set(u->stats, upstream_given_up, 1);
    log_warn("", "upstream does not answer: given up for upstream_pause", "why=%s", why);
}

void upstream_unknown(struct upstream *u)
{
    breaker_unknown(&u->breaker);
}

/* -- life -------------------------------------------------------------------------------------- */

static void upstream_on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct upstream *u = arg;
    uint64_t now_us = clock_us();
    struct upstream_conn **at = &u->idle;

    (void)fd, (void)what;
    while (*at) {
        struct upstream_conn *c = *at;

        if (now_us - c->idle_since_us < u->settings->upstream_idle_timeout) {
            at = &c->next;
            continue;
        }
        *at = c->next;
        u->idle_count--;
        upstream_free(c);
    }
}

err_t upstream_open(struct event_base *base, const struct settings *s, struct stats *stats,
                    struct upstream **out, struct fail *f)
{
    static const struct timeval tick = {.tv_usec = 500000};
    struct upstream *u;
    err_t e = OK;

    *out = NULL;
    if (s->upstream[0] == '\0')
        return OK;
    check((u = calloc(1, sizeof(*u))) != NULL);
    arena_init(&u->arena, 512);
    u->base = base;
    u->settings = s;
    u->stats = stats;
    if (!upstream_url_parse(&u->arena, str_of(s->upstream), &u->url))
        e = fail(f, ERR_SETTING, "setting upstream: want a URL such as http://host:5000");
    else if (u->url.is_tls)
        e = client_tls_open("upstream_ca", s->upstream_ca, &u->tls, f);
    if (e) {
        arena_fini(&u->arena);
        free(u);
        return e;
    }
    u->tick = event_new(base, -1, EV_PERSIST, upstream_on_tick, u);
    check(u->tick && event_add(u->tick, &tick) == 0);
    *out = u;
    return OK;
}

void upstream_close(struct upstream *u)
{
    if (u == NULL)
        return;
    while (u->idle)
        upstream_close_oldest(u);
    check(u->open_count == 0); /* the others have owners */
    if (u->names_event)
        event_free(u->names_event);
    pg_names_drop(u->names);
    event_free(u->tick);
    client_tls_close(u->tls);
    arena_fini(&u->arena);
    free(u);
}

void upstream_reload(struct upstream *u, const struct settings *s)
{
    if (u)
        u->settings = s;
}

const struct upstream_url *upstream_url(const struct upstream *u)
{
    return &u->url;
}
