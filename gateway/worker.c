/*
 * worker: a thread around an event loop.
 *
 * One turn of the loop: what epoll found (accepts, sockets, the inbox, SQL), then the
 * connections that yielded, then the freeing of what was closed. Nothing in it blocks, and
 * every part is bounded: ACCEPTS_MAX new sockets a wake-up, a number of reads and answers a
 * connection (conn.c). If somebody yielded, epoll is only looked at, not waited for.
 *
 * Time. Each event reads the clock once (now_us). No connection has a timer of its own: they stand
 * in one list for each kind of limit, in the order in which their time began. A kind's limit is
 * the same for all, so the list is in order of expiry as well, and the tick (TICK_US) looks at the
 * first of each list only. Ten thousand idle connections cost five comparisons.
 *
 * Too many connections: one beyond max_connections is accepted, told so with a 429, and closed when
 * its peer has read that (SHED_MAX at a time; others at once). The server takes fewer than
 * max_connections when the limit of file descriptors is lower, so that running out of them is left
 * for accidents. For those one is kept in reserve: it is given up to accept and refuse a few sockets
 * of the backlog, and then accepting pauses until the next tick; what is level-triggered would spin
 * otherwise. Connections that are open go on meanwhile.
 *
 * The end. worker_leave sends a note: every answer from then on closes its connection, so clients
 * go elsewhere when they hear of an elsewhere. worker_drain sends another. What the kernel has accepted is taken in, listeners close,
 * connections without a request close, answers close theirs; when none is left the thread ends. At the deadline what still waits is answered 503, the rest is closed.
 */
#define _GNU_SOURCE /* accept4 */
#include "gateway/s3/s3.h"
#include "gateway/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/slice.h"
#include "gateway/auth/grant_ask.h"
#include "gateway/auth/grant_cache.h"
#include "gateway/auth/policy.h"
#include "gateway/http/conn.h"
#include "gateway/http/route.h"
#include "gateway/peers/peers.h"
#include "gateway/pod.h"
#include "gateway/proxy/upstream.h"
#include "gateway/req_drive.h"
#include "gateway/server.h"
#include "gateway/status/latency.h"
#include "gateway/worker_config.h"
#include "gateway/worker_net.h"
#include "schema/errors.h"

enum {
    ACCEPTS_MAX = 64,
    ACCEPT_ROUNDS = 64, /* when it ends: a whole backlog */
    KEEP_IN = 16384,    /* memory an exchange takes back to the pool */
    KEEP_BODY = 65536,
    ADMIN_CONNECTIONS = 64, /* beyond max_connections, so that probes get through */
    SHED_ROUND = 16,        /* refused in a tick without a descriptor to spare */
    RECEIVE_PARTS = 3       /* of request_timeout; after each a body is looked at */
};
#define TICK_US        100000u
#define LINGER_US      2000000u
#define RECEIVE_MIN_US 1000000u

void worker_touch(struct worker *w)
{
    w->now_us = clock_us();
}

/* -- lists ----------------------------------------------------------------------------------- */

static void worker_unlink(struct conn *c)
{
    struct conn_list *l = &c->worker->net->timers[c->timer];

    *(c->timer_prev ? &c->timer_prev->timer_next : &l->first) = c->timer_next;
    *(c->timer_next ? &c->timer_next->timer_prev : &l->last) = c->timer_prev;
    l->count--;
    c->timer = TIMER_COUNT;
}

void worker_set_timer(struct conn *c, enum conn_timer timer)
{
    struct conn_list *l = &c->worker->net->timers[timer];

    if (c->timer != TIMER_COUNT)
        worker_unlink(c);
    c->timer = timer;
    c->timer_since_us = c->worker->now_us;
    c->timer_next = NULL;
    c->timer_prev = l->last;
    *(l->last ? &l->last->timer_next : &l->first) = c;
    l->last = c;
    l->count++;
}

void worker_yield(struct conn *c)
{
    struct worker_net *net = c->worker->net;

    if (c->is_queued)
        return;
    c->is_queued = true;
    c->next = NULL;
    *net->yielded_end = c;
    net->yielded_end = &c->next;
}

static void worker_bury(struct worker *w, struct conn *c)
{
    c->next = w->net->closed;
    w->net->closed = c;
}

void worker_drop(struct conn *c)
{
    if (c->timer != TIMER_COUNT)
        worker_unlink(c);
    if (!c->is_queued) /* else its place among the yielded is where it is found */
        worker_bury(c->worker, c);
}

/* -- exchanges ------------------------------------------------------------------------------- */

struct exchange *worker_take_exchange(struct worker *w, struct conn *c)
{
    struct exchange *x = w->net->pool;

    if (x) {
        w->net->pool = x->next;
        w->net->pool_count--;
    } else {
        check((x = calloc(1, sizeof(*x))) != NULL);
        x->http = http_new(w->settings->max_head_bytes);
        req_init(&x->req, w, c);
    }
    x->req.conn = c;
    return x;
}

static void exchange_free(struct exchange *x)
{
    http_free(x->http);
    req_fini(&x->req);
    buf_fini(&x->in);
    buf_fini(&x->body);
    buf_fini(&x->out);
    free(x);
}

void worker_empty_body(struct worker *w, struct exchange *x, size_t keep)
{
    if (x->held_bytes) {
        w->net->held_bytes -= x->held_bytes;
        x->held_bytes = 0;
        stat_set(w->stats, held_bytes, w->net->held_bytes);
    }
    buf_shrink(&x->body, keep);
}

void worker_put_clean(struct worker *w, struct exchange *x)
{
    check(x->req.state == REQ_IDLE);
    buf_shrink(&x->in, KEEP_IN);
    worker_empty_body(w, x, KEEP_BODY);
    x->taken_bytes = x->sent_bytes = 0;
    x->is_streaming = x->owes_continue = false;
    x->req.conn = NULL;
    x->next = w->net->pool;
    w->net->pool = x;
    w->net->pool_count++;
}

void worker_put_exchange(struct worker *w, struct exchange *x)
{
    http_next(x->http);
    req_reset(&x->req);
    worker_put_clean(w, x);
}

/* -- accepting ------------------------------------------------------------------------------- */

static bool worker_has_room(struct worker *w, enum route_where where)
{
    uint64_t limit = w->net->max_connections;

    if (where == ON_ADMIN)
        limit += ADMIN_CONNECTIONS;
    return server_open_connections(w->server) < limit;
}

/* There is no descriptor, or no memory, for another socket: until the next tick none is taken. */
static void worker_pause(struct worker *w)
{
    for (unsigned i = 0; i < array_len(w->net->listeners); i++) {
        if (w->net->listeners[i].event)
            event_del(w->net->listeners[i].event);
    }
    w->net->is_paused = true;
}

/* At a tick. Somebody else may have been quicker to take the descriptor that was in reserve. */
static void worker_unpause(struct worker *w)
{
    if (w->net->reserve_fd < 0)
        w->net->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (unsigned i = 0; w->net->is_paused && i < array_len(w->net->listeners); i++) {
        if (w->net->listeners[i].event)
            check(event_add(w->net->listeners[i].event, NULL) == 0);
    }
    w->net->is_paused = false;
}

/* With the descriptor in reserve a few of the backlog are refused, so that their peers hear of it. */
static void worker_shed(struct worker *w, struct listener *l)
{
    struct worker_net *net = w->net;

    for (unsigned i = 0; i < SHED_ROUND && net->reserve_fd >= 0; i++) {
        int fd;

        close(net->reserve_fd);
        fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            conn_shed(w, fd, l->where, false);
        net->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            break;
    }
    log_warn("", "out of file descriptors: connections refused", "worker=%u", w->index);
}

static void worker_not_accepted(struct worker *w, struct listener *l, int why)
{
    if (why == EAGAIN)
        return;
    if (why == EMFILE || why == ENFILE)
        worker_shed(w, l);
    worker_pause(w);
}

static void worker_on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct listener *l = arg;
    struct worker *w = l->worker;

    (void)what;
    worker_touch(w);
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            worker_not_accepted(w, l, errno);
            return;
        }
        if (worker_has_room(w, l->where))
            conn_open(w, fd, l->where);
        else
            conn_shed(w, fd, l->where, true);
    }
}

static void worker_listen(struct worker *w, unsigned i, int fd, enum route_where where)
{
    struct listener *l = &w->net->listeners[i];

    *l = (struct listener){.fd = fd, .where = where, .worker = w};
    if (fd < 0)
        return;
    l->event = event_new(w->base, fd, EV_READ | EV_PERSIST, worker_on_accept, l);
    check(l->event != NULL && event_add(l->event, NULL) == 0);
}

/* Connections that the kernel has made already: closing the listener would reset them. */
static void worker_accept_rest(struct worker *w)
{
    for (unsigned i = 0; i < array_len(w->net->listeners); i++) {
        struct listener *l = &w->net->listeners[i];

        for (unsigned n = 0; l->fd >= 0 && n < ACCEPT_ROUNDS; n++)
            worker_on_accept(l->fd, 0, l);
    }
}

static void worker_stop_listening(struct worker *w)
{
    for (unsigned i = 0; i < array_len(w->net->listeners); i++) {
        struct listener *l = &w->net->listeners[i];

        if (l->event)
            event_free(l->event);
        if (l->fd >= 0)
            close(l->fd);
        l->event = NULL;
        l->fd = -1;
    }
}

/* -- the clock ------------------------------------------------------------------------------- */

static void worker_set_date(struct worker *w)
{
    time_t now = time(NULL);
    struct tm tm;

    if (now == w->net->date_second)
        return;
    w->net->date_second = now;
    gmtime_r(&now, &tm);
    strftime(w->date, sizeof(w->date), "date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
}

/* Expires the heads of one list; what conn_expire does takes them out of it. */
static void worker_expire(struct worker *w, enum conn_timer timer, uint64_t limit_us)
{
    struct conn_list *l = &w->net->timers[timer];

    while (l->first && l->first->timer_since_us + limit_us <= w->now_us) {
        struct conn *c = l->first;

        conn_expire(c);
        check(l->first != c || c->timer_since_us + limit_us > w->now_us);
    }
}

uint64_t worker_receive_us(const struct worker *w)
{
    uint64_t all_us = w->settings->request_timeout;

    if (all_us <= RECEIVE_MIN_US)
        return all_us;
    return all_us / RECEIVE_PARTS > RECEIVE_MIN_US ? all_us / RECEIVE_PARTS : RECEIVE_MIN_US;
}

static void worker_on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;

    (void)fd, (void)what;
    worker_touch(w);
    worker_set_date(w);
    worker_expire(w, TIMER_IDLE, w->settings->idle_timeout);
    worker_expire(w, TIMER_HEAD, w->settings->head_timeout);
    worker_expire(w, TIMER_RECEIVE, worker_receive_us(w));
    worker_expire(w, TIMER_SEND, w->settings->request_timeout);
    worker_expire(w, TIMER_TUNNEL, w->settings->upstream_timeout);
    worker_expire(w, TIMER_LINGER, LINGER_US);
    worker_unpause(w);
    req_expire_parked(w);
    if (w->peers)
        peers_on_tick(w->peers);
}

/* -- the inbox ------------------------------------------------------------------------------- */

static void worker_begin_drain(struct worker *w, uint64_t until_us)
{
    struct worker_net *net = w->net;

    worker_accept_rest(w);
    worker_stop_listening(w);
    net->is_leaving = net->is_draining = true;
    net->drain_until_us = until_us;
    while (net->timers[TIMER_IDLE].first) {
        struct conn *c = net->timers[TIMER_IDLE].first;

        c->is_readable = true; /* looks for itself: nothing there closes it */
        conn_resume(c);
        check(net->timers[TIMER_IDLE].first != c);
    }
}

static void worker_take_settings(struct worker *w, const struct settings *s)
{
    w->settings = s;
    policy_free(w->policy);
    w->policy = policy_new(s);
    w->net->good_host_len = 0; /* the list of hosts may be another one */
    if (w->sql)
        sql_pool_reload(w->sql, s);
    upstream_reload(w->upstream, s);
    if (w->users_sql && w->users_sql != w->sql)
        sql_pool_reload(w->users_sql, s);
    atomic_store_explicit(&w->net->settings_seen, s, memory_order_release);
}

static void worker_take_notes(struct worker *w)
{
    struct note n;

    inbox_clear(&w->inbox);
    while (inbox_take(&w->inbox, &n)) {
        switch ((enum worker_note)n.kind) {
        case WORKER_LEAVE: w->net->is_leaving = true; break;
        case WORKER_DRAIN: worker_begin_drain(w, n.pos); break;
        case WORKER_SETTINGS:
            worker_take_settings(w, (const struct settings *)(uintptr_t)n.ref);
            break;
        case WORKER_TLS:
            SSL_CTX_free(w->net->tls);
            w->net->tls = (SSL_CTX *)(uintptr_t)n.ref;
            break;
        case WORKER_BODY:
            req_on_body((struct req *)(uintptr_t)n.ref);
            inbox_ring(&w->inbox); /* it may have been much: others come first */
            return;
        case WORKER_CHECKED: auth_on_checked(w, (struct auth_try *)(uintptr_t)n.ref); break;
        case WORKER_FILE: auth_take_file(w, (const struct htpasswd *)(uintptr_t)n.ref); break;
        case WORKER_LEARN: auth_learn(w, (struct auth_news *)(uintptr_t)n.ref); break;
        case WORKER_NEWS: news_take(w, n.ref); break;
        }
    }
}

static void worker_on_inbox(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;

    (void)fd, (void)what;
    worker_touch(w);
    worker_take_notes(w);
    news_take_missed(w);
    req_wake_parked(w);
    if (w->peers)
        peers_on_ring(w->peers);
}

/* -- the loop -------------------------------------------------------------------------------- */

static void worker_run_yielded(struct worker *w)
{
    struct worker_net *net = w->net;
    struct conn *c = net->yielded;

    net->greetings_count = 0; /* those that waited are not behind those that came meanwhile */
    net->yielded = NULL;
    net->yielded_end = &net->yielded;
    while (c) {
        struct conn *next = c->next;

        c->is_queued = false;
        if (c->state == CONN_CLOSED)
            worker_bury(w, c);
        else
            conn_resume(c);
        c = next;
    }
}

/* In CPU time, so that neither the wait for events nor other processes count. */
static void worker_note_turn(struct worker *w)
{
    uint64_t now_us = clock_cpu_us(), us = now_us - w->net->turn_cpu_us;

    w->net->turn_cpu_us = now_us;
    stat_time(w->stats, worker_turn, us);
    stat_longest(w->stats, worker_longest_turn, us);
}

/* Nothing that was closed in this turn is looked at any more: here it goes. */
static void worker_turn_end(struct worker *w)
{
    struct worker_net *net = w->net;

    net->greetings_count = 0;
    while (net->closed) {
        struct conn *c = net->closed;

        net->closed = c->next;
        c->next = net->free;
        net->free = c;
    }
    while (net->pool_count > POOL_EXCHANGES) {
        struct exchange *x = net->pool;

        net->pool = x->next;
        net->pool_count--;
        exchange_free(x);
    }
}

/* The deadline has passed: what waits is answered, what is left is closed. */
static void worker_end_now(struct worker *w)
{
    struct worker_net *net = w->net;
    struct sql_pool *sql = w->sql, *users_sql = w->users_sql;

    if (net->open_count)
        log_warn("", "drain time is over: connections closed", "worker=%u connections=%u", w->index,
                 net->open_count);
    if (auth_is_checking(w))
        server_hurry_logins(w->server);
    while (w->helped_count || auth_is_checking(w)) { /* what other threads still have */
        (void)inbox_wait(&w->inbox, clock_us() + TICK_US);
        worker_take_notes(w);
    }
    req_end_parked(w);
    w->sql = w->users_sql = NULL; /* nothing new goes there */
    if (users_sql != sql)
        sql_pool_close(users_sql);
    sql_pool_close(sql); /* the requests that wait for it are answered 503 */
    req_end_parked(w);
    peers_close(w->peers);
    w->peers = NULL;
    for (unsigned t = 0; t < TIMER_COUNT; t++) {
        while (net->timers[t].first)
            conn_close(net->timers[t].first, "draining");
    }
    worker_run_yielded(w);
    worker_turn_end(w);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct worker_net *net = w->net;

    worker_touch(w);
    (void)slice_set_us(SLICE_SHORT_US);
    net->turn_cpu_us = clock_cpu_us();
    while (!net->is_draining || (net->open_count && w->now_us < net->drain_until_us)) {
        event_base_loop(w->base, EVLOOP_ONCE | (net->yielded ? EVLOOP_NONBLOCK : 0));
        if (net->yielded)
            worker_run_yielded(w);
        worker_turn_end(w);
        worker_note_turn(w);
    }
    worker_end_now(w);
    atomic_store_explicit(&net->has_ended, true, memory_order_release);
    return NULL;
}

/* -- start and end --------------------------------------------------------------------------- */

void worker_free(struct worker *w)
{
    struct worker_net *net = w->net;
    struct note n;

    worker_stop_listening(w);
    while (net->pool) {
        struct exchange *x = net->pool;

        net->pool = x->next;
        exchange_free(x);
    }
    while (net->free) {
        struct conn *c = net->free;

        net->free = c->next;
        free(c);
    }
    if (w->users_sql && w->users_sql != w->sql)
        sql_pool_close(w->users_sql);
    if (w->sql)
        sql_pool_close(w->sql);
    while (inbox_take(&w->inbox, &n)) {
        if (n.kind == WORKER_NEWS)
            news_drop(n.ref);
        else if (n.kind == WORKER_LEARN)
            auth_learn(NULL, (struct auth_news *)(uintptr_t)n.ref);
    }
    s3_close(w->s3);
    upstream_close(w->upstream);
    auth_free(w->auth);
    grant_cache_free(w->grants);
    if (net->inbox_event)
        event_free(net->inbox_event);
    if (net->tick)
        event_free(net->tick);
    if (w->base)
        event_base_free(w->base);
    if (net->reserve_fd >= 0)
        close(net->reserve_fd);
    inbox_fini(&w->inbox);
    arena_fini(&w->run_arena);
    policy_free(w->policy);
    SSL_CTX_free(net->tls);
    latency_free(w->latency);
    top_fini(&w->top);
    free(net);
    free(w);
}

static struct event_base *worker_new_base(void)
{
    struct event_config *cfg = event_config_new();
    struct event_base *base;

    check(cfg != NULL);
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    check(base != NULL);
    return base;
}

static struct worker *worker_new(const struct worker_config *c)
{
    struct worker *w = calloc(1, sizeof(*w));
    struct worker_net *net = calloc(1, sizeof(*net));
    size_t rows;

    check(w != NULL && net != NULL && inbox_init(&w->inbox) == 0);
    w->net = net;
    w->server = c->server;
    w->index = c->index;
    w->settings = c->settings;
    w->policy = policy_new(c->settings);
    w->queue = c->queue;
    w->runs = c->runs;
    w->pod = c->pod;
    w->helper = c->helper;
    w->stats = c->stats;
    w->tracer = c->tracer;
    w->passes_all = c->pg_uri == NULL;
    w->base = worker_new_base();
    route_rows(&rows);
    top_init(&w->top);
    w->latency = latency_new((unsigned)rows + 1); /* the last one: no route */
    arena_init(&w->run_arena, 4096);
    net->yielded_end = &net->yielded;
    if (c->tls && SSL_CTX_up_ref(c->tls) == 1)
        net->tls = c->tls;
    net->max_connections = c->max_connections;
    net->worker_count = c->count;
    net->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    net->inbox_event =
        event_new(w->base, inbox_fd(&w->inbox), EV_READ | EV_PERSIST, worker_on_inbox, w);
    net->tick = event_new(w->base, -1, EV_PERSIST, worker_on_tick, w);
    check(net->inbox_event && net->tick);
    atomic_init(&net->settings_seen, c->settings);
    return w;
}

/* The pools, and with auth = basic what is remembered of users. None where all is passed on. */
static err_t worker_open_sql(struct worker *w, const struct worker_config *c, struct fail *f)
{
    err_t e;

    if (w->passes_all)
        return OK;
    w->workspaces = c->workspaces;
    e = sql_pool_open(w->base, c->settings, c->pg_uri, w->stats, &w->sql, f);
    if (e || c->auth == NULL)
        return e;
    w->users_sql = w->sql;
    w->auth = auth_new(w, c->auth);
    w->grants = grant_cache_new(LIMIT_GRANT_CACHE);
    grant_ask_hear(w);
    if (strcmp(c->users_uri, c->pg_uri) == 0)
        return OK;
    w->users_sql = NULL;
    return sql_pool_open(w->base, c->settings, c->users_uri, w->stats, &w->users_sql, f);
}

err_t worker_start(const struct worker_config *c, struct worker **out, struct fail *f)
{
    static const struct timeval tick = {.tv_usec = TICK_US};
    struct worker *w = worker_new(c);
    err_t e;

    worker_touch(w);
    worker_set_date(w);
    worker_listen(w, 0, c->listen_fd, ON_CLIENT);
    worker_listen(w, 1, c->admin_listen_fd, ON_ADMIN);
    check(event_add(w->net->inbox_event, NULL) == 0 && event_add(w->net->tick, &tick) == 0);
    if ((e = upstream_open(w->base, c->settings, w->stats, &w->upstream, f)) ||
        (e = worker_open_sql(w, c, f))) {
        worker_free(w);
        return e;
    }
    queue_subscribe(w->queue, &w->inbox);
    pod_join(w->pod, &w->inbox);
    w->peers = peers_open(w);
    check(pthread_create(&w->net->thread, NULL, worker_main, w) == 0);
    *out = w;
    return OK;
}

void worker_leave(struct worker *w)
{
    struct note n = {.kind = WORKER_LEAVE};

    check(inbox_send(&w->inbox, &n));
}

bool worker_has_ended(const struct worker *w)
{
    return atomic_load_explicit(&w->net->has_ended, memory_order_acquire);
}

void worker_drain(struct worker *w, uint64_t deadline_us)
{
    struct note n = {.kind = WORKER_DRAIN, .pos = deadline_us};

    check(inbox_send(&w->inbox, &n)); /* room: req_aside.c bounds the notes about bodies */
}

void worker_reload(struct worker *w, const struct settings *s)
{
    struct note n = {.kind = WORKER_SETTINGS, .ref = (uintptr_t)s};

    check(inbox_send(&w->inbox, &n));
}

void worker_set_tls(struct worker *w, SSL_CTX *context)
{
    struct note n = {.kind = WORKER_TLS, .ref = (uintptr_t)context};

    check(SSL_CTX_up_ref(context) == 1 && inbox_send(&w->inbox, &n));
}

bool worker_has_reloaded(const struct worker *w, const struct settings *s)
{
    return atomic_load_explicit(&w->net->settings_seen, memory_order_acquire) == s;
}

void worker_join(struct worker *w)
{
    pthread_join(w->net->thread, NULL);
}
