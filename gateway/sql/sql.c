/*
 * sql: a pool of PostgreSQL connections driven by a worker's event loop; sql_conn.c is one of them.
 *
 * Calls wait in one FIFO. A call goes to the first idle connection, which has one call at a time: the
 * FIFO, not the pipeline, is where calls wait, so a slow one holds up nobody who could go elsewhere.
 * Connections are opened when calls wait and none is idle, up to sql_connections. They stay open.
 *
 * Calls that keep their session may have half of the connections at most, so that what is quick always
 * finds one. Whether a call needs to keep it is known at its end (most answers fit into one batch), so
 * the places are given then; who got none comes again and waits for one in a FIFO of its own.
 *
 * While PostgreSQL is away, one connection at a time is tried, with a growing, jittered pause, whether
 * calls wait or not, so that sql_is_up tells how things are now. Calls
 * wait for it AWAY_WAIT_US at most, which is longer than that pause: a restart is survived, a longer
 * absence answered. All of it happens within sql_timeout. A call under way that exceeds that loses
 * its connection; the server side ends by statement_timeout, which is set to the same time.
 *
 * One timer serves all deadlines: the earliest of at most 64 connections, the head of the FIFO (they
 * rise along it) and the next attempt. done is called from events only, never from sql_call(): what
 * ends within sql_call() goes through the finished list and an event of its own.
 */
#include "gateway/sql/sql.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/sql/sql_pool.h"
#include "schema/errors.h"

enum { AWAY_WAIT_US = 3 * 1000 * 1000, RETRY_FIRST_US = 50 * 1000, RETRY_MOST_US = 1000 * 1000 };

/* -- lists ---------------------------------------------------------------------------------- */

static void list_put(struct sql_list *l, struct sql_call *call)
{
    call->next = NULL;
    if (l->last)
        l->last->next = call;
    else
        l->first = call;
    l->last = call;
    l->count++;
}

static void list_put_first(struct sql_list *l, struct sql_call *call)
{
    call->next = l->first;
    l->first = call;
    if (!l->last)
        l->last = call;
    l->count++;
}

static struct sql_call *list_take(struct sql_list *l)
{
    struct sql_call *call = l->first;

    if (!call)
        return NULL;
    l->first = call->next;
    if (!l->first)
        l->last = NULL;
    l->count--;
    call->next = NULL;
    return call;
}

static struct sql_list *pool_list_of(struct sql_pool *p, const struct sql_call *call)
{
    return call->hold && call->hold->is_reserved ? &p->holders : &p->queue;
}

/* -- ends of calls ---------------------------------------------------------------------------- */

void sql_call_done(struct sql_pool *p, struct sql_call *call)
{
    PGresult *results[SQL_STEPS_MAX];
    PGresult *error = call->error;
    bool are_kept = call->keeps_results;

    memcpy(results, call->results, sizeof(results));
    if (call->err)
        stat_add(p->stats, sql_errors, 1);
    stat_time(p->stats, sql_wait, clock_us() - call->queued_us);
    call->done(call);
    for (unsigned i = 0; i < SQL_STEPS_MAX && !are_kept; i++)
        PQclear(results[i]);
    PQclear(error);
}

void sql_call_fail_later(struct sql_pool *p, struct sql_call *call, err_t err, const char *text)
{
    call->err = err;
    if (text)
        call->message = str_of(text);
    list_put(&p->finished, call);
    event_active(p->kick, 0, 0);
}

void sql_call_again(struct sql_pool *p, struct sql_call *call)
{
    call->err = OK;
    call->sqlstate[0] = '\0';
    call->message = STR(""); /* it stood in a result that is gone */
    list_put_first(pool_list_of(p, call), call);
}

static void pool_finish(struct sql_pool *p)
{
    struct sql_call *call;

    while ((call = list_take(&p->finished)))
        sql_call_done(p, call);
}

/* -- the pool ------------------------------------------------------------------------------ */

static uint64_t pool_random(struct sql_pool *p)
{
    p->random ^= p->random << 13;
    p->random ^= p->random >> 7;
    p->random ^= p->random << 17;
    return p->random;
}

void sql_pool_back_off(struct sql_pool *p)
{
    uint64_t pause = RETRY_FIRST_US;

    for (unsigned i = 0; i < p->failures && pause < RETRY_MOST_US; i++)
        pause *= 2;
    p->failures++;
    p->retry_us = clock_us() + pause / 2 + pool_random(p) % pause;
}

void sql_pool_renew(struct sql_pool *p)
{
    for (unsigned i = 0; i < p->nconns; i++)
        sql_conn_renew(&p->conns[i]);
}

/* No session, and the last attempt failed. */
static bool pool_is_away(const struct sql_pool *p)
{
    return p->live == 0 && p->failures > 0;
}

/* When the first call of the FIFO gives up. Earlier ones stand further in front, so it is the
 * earliest of all. */
static uint64_t pool_patience_us(const struct sql_pool *p)
{
    if (pool_is_away(p) && p->timeout_us > AWAY_WAIT_US)
        return AWAY_WAIT_US;
    return p->timeout_us;
}

/* Where the next call for an idle connection comes from: the older head of the two lists. */
static struct sql_list *pool_due(struct sql_pool *p)
{
    const struct sql_call *call = p->queue.first, *holder = p->holders.first;

    if (holder && p->holding < p->holds_max && (!call || holder->queued_us <= call->queued_us))
        return &p->holders;
    return call ? &p->queue : NULL;
}

/* Could a call of l go to a session that is opened now? One that waits for a place could not. */
static bool pool_list_is_due(const struct sql_pool *p, const struct sql_list *l)
{
    return l == &p->queue || p->holding < p->holds_max;
}

/* When the first call of l gives up, or wants another attempt to be made. */
static uint64_t pool_list_due_us(const struct sql_pool *p, const struct sql_list *l)
{
    uint64_t at;

    if (!l->first)
        return UINT64_MAX;
    at = l->first->queued_us + pool_patience_us(p);
    if (p->failures > 0 && p->opening == 0 && p->retry_us < at && pool_list_is_due(p, l))
        return p->retry_us;
    return at;
}

static void pool_arm(struct sql_pool *p)
{
    uint64_t at = pool_list_due_us(p, &p->queue);
    uint64_t holders_at = pool_list_due_us(p, &p->holders);
    uint64_t now;
    struct timeval tv;

    for (unsigned i = 0; i < p->nconns; i++)
        if (p->conns[i].deadline_us < at)
            at = p->conns[i].deadline_us;
    if (holders_at < at)
        at = holders_at;
    if (pool_is_away(p) && p->opening == 0 && p->retry_us < at)
        at = p->retry_us;
    if (at == UINT64_MAX || (p->armed_us && p->armed_us <= at))
        return; /* a timer that fires too early looks and goes on */
    now = clock_us();
    at = at > now ? at : now;
    tv.tv_sec = (time_t)((at - now) / 1000000);
    tv.tv_usec = (suseconds_t)((at - now) % 1000000);
    p->armed_us = at;
    event_add(p->timer, &tv);
}

/* Opens connections for calls that wait: as many as wait when PostgreSQL is there, else one. */
static void pool_grow(struct sql_pool *p)
{
    uint64_t room = p->holds_max - p->holding;
    uint64_t holders = p->holders.count < room ? p->holders.count : room;
    uint64_t wanted = p->failures ? 1 : p->queue.count + holders;

    if (p->failures && clock_us() < p->retry_us)
        return;
    for (unsigned i = 0; i < p->nconns && p->opening < wanted; i++) {
        if (p->conns[i].state != SQL_CLOSED)
            continue;
        sql_conn_open(&p->conns[i]);
        if (p->failures)
            return; /* it may have failed at once */
    }
}

/* In /metrics, for all pools of the worker. */
static void pool_count(struct sql_pool *p)
{
    uint64_t waiting = p->queue.count + p->holders.count;

    stat_add(p->stats, sql_waiting, waiting - p->counted);
    p->counted = waiting;
}

void sql_pool_dispatch(struct sql_pool *p)
{
    if (p->is_closing)
        return;
    for (unsigned i = 0; i < p->nconns && pool_due(p); i++)
        if (p->conns[i].state == SQL_IDLE)
            sql_conn_send(&p->conns[i], list_take(pool_due(p)));
    if (pool_due(p) || pool_is_away(p))
        pool_grow(p);
    pool_count(p);
    pool_arm(p);
}

static void pool_expire(struct sql_pool *p, struct sql_list *l, uint64_t now)
{
    while (l->first && l->first->queued_us + pool_patience_us(p) <= now)
        sql_call_fail_later(p, list_take(l), ERR_PG,
                            p->live ? "no PostgreSQL connection became free in time"
                                    : "PostgreSQL is not reachable");
}

static void pool_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sql_pool *p = arg;
    uint64_t now = clock_us();

    (void)fd;
    (void)what;
    p->armed_us = 0;
    for (unsigned i = 0; i < p->nconns; i++)
        if (p->conns[i].deadline_us <= now)
            sql_conn_break(&p->conns[i], "no answer from PostgreSQL in time");
    pool_expire(p, &p->queue, now);
    pool_expire(p, &p->holders, now);
    sql_pool_dispatch(p);
}

static void pool_on_kick(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    pool_finish(arg);
}

err_t sql_pool_open(struct event_base *base, const struct settings *s, const char *uri,
                    struct stats *stats, struct sql_pool **out, struct fail *f)
{
    struct sql_pool *p;
    char *words = NULL;
    PQconninfoOption *parsed = PQconninfoParse(uri, &words);

    if (!parsed) {
        err_t err = fail(f, ERR_SETTING, "pg_uri: not a PostgreSQL connection string");

        PQfreemem(words); /* may quote the password: not shown */
        return err;
    }
    PQconninfoFree(parsed);
    p = calloc(1, sizeof(*p));
    check(p);
    p->base = base;
    p->terms = pg_terms_of(uri, s);
    p->stats = stats;
    p->has_workspaces = s->enable_workspaces;
    buf_init(&p->text);
    p->nconns = (unsigned)s->sql_connections;
    p->holds_max = p->nconns > 1 ? p->nconns / 2 : 1;
    p->conns = calloc(p->nconns, sizeof(*p->conns));
    check(p->conns);
    for (unsigned i = 0; i < p->nconns; i++) {
        p->conns[i].pool = p;
        p->conns[i].deadline_us = UINT64_MAX;
    }
    p->random = (clock_us() ^ (uintptr_t)p) | 1;
    p->timer = event_new(base, -1, 0, pool_on_timer, p);
    p->kick = event_new(base, -1, 0, pool_on_kick, p);
    check(p->timer && p->kick);
    sql_pool_reload(p, s);
    *out = p;
    return OK;
}

void sql_pool_reload(struct sql_pool *p, const struct settings *s)
{
    p->queue_max = s->sql_queue;
    if (p->timeout_us != s->sql_timeout)
        sql_pool_renew(p); /* sessions have their statement_timeout from it */
    p->timeout_us = s->sql_timeout;
}

void sql_pool_close(struct sql_pool *p)
{
    struct sql_call *call;

    if (!p)
        return;
    p->is_closing = true;
    for (unsigned i = 0; i < p->nconns; i++) {
        struct sql_conn *c = &p->conns[i];

        if (c->call)
            sql_call_fail_later(p, c->call, ERR_CLOSING, "the server is shutting down");
        if (c->state != SQL_CLOSED)
            sql_conn_close(c);
        sql_conn_fini(c);
    }
    while ((call = list_take(&p->queue)) || (call = list_take(&p->holders)))
        sql_call_fail_later(p, call, ERR_CLOSING, "the server is shutting down");
    pool_count(p);
    pool_finish(p);
    event_free(p->timer);
    event_free(p->kick);
    free(p->conns);
    buf_fini(&p->text);
    free(p);
}

void sql_call(struct sql_pool *p, struct sql_call *call)
{
    check(call->nsteps >= 1 && call->nsteps <= SQL_STEPS_MAX);
    memset(call->results, 0, sizeof(call->results));
    call->err = OK;
    call->sqlstate[0] = '\0';
    call->message = STR("");
    call->failed_step = 0;
    call->error = NULL;
    call->attempts = 0;
    call->queued_us = clock_us();
    if (p->is_closing) {
        sql_call_fail_later(p, call, ERR_CLOSING, "the server is shutting down");
    } else if (call->hold && call->hold->conn) {
        sql_conn_send(call->hold->conn, call);
        pool_arm(p);
    } else if (call->hold && call->hold->is_begun) {
        sql_call_fail_later(p, call, ERR_PG, "PostgreSQL closed the connection");
    } else if (p->queue.count + p->holders.count >= p->queue_max) {
        sql_call_fail_later(p, call, ERR_UNAVAILABLE, "too many statements wait for PostgreSQL");
    } else {
        list_put(pool_list_of(p, call), call);
        sql_pool_dispatch(p);
    }
}

void sql_release(struct sql_hold *hold)
{
    if (hold->conn)
        sql_conn_release(hold->conn);
}

bool sql_is_up(const struct sql_pool *p)
{
    return p->live > 0 || p->failures == 0;
}
