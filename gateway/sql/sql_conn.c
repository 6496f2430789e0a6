/*
 * sql_conn: one PostgreSQL session of a worker's pool.
 *
 *   CLOSED -sql_conn_open-> CONNECTING -conn_connected-> SETUP -conn_end_setup-> IDLE
 *   CLOSED -sql_conn_open-> LOOKING -conn_connect-> CONNECTING (when a host has to be looked up)
 *   IDLE -sql_conn_send-> BUSY -conn_end_call-> IDLE         any -sql_conn_close-> CLOSED
 *   BUSY -conn_end_call-> HELD -sql_conn_send-> BUSY
 *                         HELD -sql_conn_release-> ENDING -conn_end_hold-> IDLE
 *
 * A call is one pipeline: Parse for each statement this session has not seen, Bind and Execute for
 * each step, one Sync. PostgreSQL makes that one transaction, which commits at the Sync, so a call is
 * successful only when the Sync is answered; a step's own "ok" proves nothing. Session settings are
 * made in their own transaction before the first call (SETUP), because a failing first call would
 * take them back with it.
 *
 * A hold is a transaction that is open from one call to the next (BEGIN is a step of the first): the
 * session is HELD for it until it is released, or a call of it fails, or there are too many others.
 * Whatever transaction is open then is rolled back before anybody else gets the session.
 *
 * With a pooler in between (schema/pg_pooler.h) statements have no names and each transaction begins with
 * the settings. They stand in front of BEGIN, too: PostgreSQL makes that the same transaction.
 *
 * An idle session is watched: when PostgreSQL ends it, it is closed at once, and the state of the
 * socket is looked at again right before each send.
 *
 * What happens to a call when its connection breaks:
 *   - it was not handed to libpq yet: it stays first in the FIFO;
 *   - PostgreSQL said 57P01..57P03 (shut down) before it had answered every step, or 40001/40P01:
 *     it surely did not commit; it is sent again, ATTEMPTS_MAX times in all;
 *   - a plan or a name that the session remembers does not fit any more (a table was altered, or
 *     somebody said DISCARD ALL): likewise, and all sessions are renewed, because fresh ones have
 *     neither and the others are no better than this one;
 *   - PostgreSQL said 55P03: a lock did not come within PG_LOCK_PATIENCE, so it surely did not
 *     commit; it is sent again, until sql_timeout is over;
 *   - else it may have committed: it fails, ERR_PG, and the client decides.
 *
 * A server that only reads (25006: a standby, or one that was demoted) renews all sessions as well: the
 * next ones may reach another, when pg_uri names several or its name has moved.
 *
 * Not done: cancel requests (libpq's block). statement_timeout ends on the server what is given up here.
 */
#include "gateway/sql/sql_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/auth/scope.h"
#include "schema/errors.h"
#include "schema/pg_patience.h"
#include "schema/pg_pooler.h"

enum { ATTEMPTS_MAX = 3, VALUES_FIRST = 16 };

static void conn_drive(struct sql_conn *c);

/* -- the set of prepared statements ---------------------------------------------------------- */

static size_t prepared_slot(const struct sql_conn *c, const struct stmt *stmt)
{
    size_t i = ((uintptr_t)stmt >> 4) * 0x9E3779B97F4A7C15u & (c->prepared_cap - 1);

    while (c->prepared[i] && c->prepared[i] != stmt)
        i = (i + 1) & (c->prepared_cap - 1);
    return i;
}

static bool prepared_has(const struct sql_conn *c, const struct stmt *stmt)
{
    return c->prepared_cap && c->prepared[prepared_slot(c, stmt)] != NULL;
}

static void prepared_add(struct sql_conn *c, const struct stmt *stmt)
{
    size_t slot;

    if (c->prepared_count * 2 >= c->prepared_cap) {
        const struct stmt **old = c->prepared;
        size_t old_cap = c->prepared_cap;

        c->prepared_cap = old_cap ? old_cap * 2 : 64;
        c->prepared = calloc(c->prepared_cap, sizeof(c->prepared[0]));
        check(c->prepared);
        for (size_t i = 0; i < old_cap; i++)
            if (old[i])
                c->prepared[prepared_slot(c, old[i])] = old[i];
        free(old);
    }
    slot = prepared_slot(c, stmt);
    c->prepared_count += c->prepared[slot] == NULL;
    c->prepared[slot] = stmt;
}

static void prepared_forget(struct sql_conn *c)
{
    if (c->prepared_cap)
        memset(c->prepared, 0, c->prepared_cap * sizeof(c->prepared[0]));
    c->prepared_count = 0;
}

/* -- what an error means ------------------------------------------------------------------------ */

/* True when the server only reads. */
static bool state_is_read_only(const char *sqlstate)
{
    return strcmp(sqlstate, "25006") == 0;
}

/* The classes that psycopg calls OperationalError, which MLflow answers 503: connection, resources,
 * operator, rolled back. A server that became read-only is a failover under way. */
static bool state_is_passing(const char *sqlstate)
{
    static const char classes[] = "08 26 27 28 34 40 53 54 55 57 58 F0";

    if (state_is_read_only(sqlstate))
        return true;
    for (const char *p = classes; *p; p += p[2] ? 3 : 2)
        if (strncmp(p, sqlstate, 2) == 0)
            return true;
    return false;
}

/* True when this error says that the transaction did not commit, and may well do so next time. */
static bool state_is_retriable(const char *sqlstate)
{
    return strcmp(sqlstate, "40001") == 0 || strcmp(sqlstate, "40P01") == 0;
}

/* True when a lock was held for too long. Others may have waited for ours: that is over now. */
static bool state_is_lock(const char *sqlstate)
{
    return strcmp(sqlstate, "55P03") == 0;
}

/* True when the session is at fault: what it prepared is gone, there already, or out of date. */
static bool state_is_stale(const char *sqlstate)
{
    return strcmp(sqlstate, "26000") == 0 || strcmp(sqlstate, "42P05") == 0 ||
           strcmp(sqlstate, "0A000") == 0;
}

static bool state_is_shutdown(const char *sqlstate)
{
    return strncmp(sqlstate, "57P0", 4) == 0;
}

/* True when its transaction began with an earlier call: without that it cannot be sent again. */
static bool call_goes_on(const struct sql_call *call)
{
    return call->hold && call->hold->is_begun;
}

static void call_note_error(struct sql_call *call, const PGresult *res, unsigned step)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);

    str_to_cstr(str_of(state), call->sqlstate, sizeof(call->sqlstate));
    call->err = !state || state_is_passing(state) ? ERR_PG : ERR_PG_ROW;
    call->message = str_trim(str_of(text ? text : PQresultErrorMessage(res)));
    call->failed_step = step;
}

/* -- a connection's life ---------------------------------------------------------------------- */

static void conn_on_event(evutil_socket_t fd, short what, void *arg)
{
    struct sql_conn *c = arg;
    struct sql_pool *p = c->pool;

    (void)fd;
    (void)what;
    conn_drive(c);
    sql_pool_dispatch(p);
}

/* On its way to its first call: nobody needs to open another for that one. */
static bool conn_is_opening(enum sql_state state)
{
    return state == SQL_LOOKING || state == SQL_CONNECTING || state == SQL_SETUP;
}

static bool conn_is_live(enum sql_state state)
{
    return state >= SQL_SETUP;
}

static bool conn_is_busy(enum sql_state state)
{
    return state >= SQL_BUSY;
}

/* In /metrics, for all pools of the worker. */
static void conn_count(struct stats *s, enum sql_state from, enum sql_state to)
{
    if (conn_is_live(from) != conn_is_live(to))
        stat_add(s, sql_connections, conn_is_live(to) ? 1 : UINT64_MAX);
    if (conn_is_busy(from) != conn_is_busy(to))
        stat_add(s, sql_busy, conn_is_busy(to) ? 1 : UINT64_MAX);
}

static void conn_goto(struct sql_conn *c, enum sql_state state)
{
    static const unsigned edges[] = {
        [SQL_CLOSED] = 1u << SQL_LOOKING | 1u << SQL_CONNECTING,
        [SQL_LOOKING] = 1u << SQL_CONNECTING,
        [SQL_CONNECTING] = 1u << SQL_SETUP,
        [SQL_SETUP] = 1u << SQL_IDLE,
        [SQL_IDLE] = 1u << SQL_BUSY,
        [SQL_BUSY] = 1u << SQL_IDLE | 1u << SQL_HELD | 1u << SQL_ENDING,
        [SQL_HELD] = 1u << SQL_BUSY | 1u << SQL_ENDING,
        [SQL_ENDING] = 1u << SQL_IDLE,
    };
    struct sql_pool *p = c->pool;

    check(state == SQL_CLOSED || edges[c->state] & 1u << state);
    p->opening -= conn_is_opening(c->state);
    p->live -= conn_is_live(c->state);
    conn_count(p->stats, c->state, state);
    p->opening += conn_is_opening(state);
    p->live += conn_is_live(state);
    c->state = state;
    if (state == SQL_IDLE || state == SQL_CLOSED || state == SQL_HELD)
        c->deadline_us = UINT64_MAX;
}

static void conn_set_hold(struct sql_conn *c, struct sql_hold *hold)
{
    if (c->hold && c->hold != hold)
        c->hold->conn = NULL;
    c->pool->holding += hold != NULL;
    c->pool->holding -= c->hold != NULL;
    c->hold = hold;
}

static void conn_forget_answers(struct sql_conn *c)
{
    for (unsigned i = 0; i < SQL_STEPS_MAX; i++) {
        PQclear(c->results[i]);
        c->results[i] = NULL;
    }
    PQclear(c->error);
    c->error = NULL;
}

void sql_conn_close(struct sql_conn *c)
{
    if (event_initialized(&c->readable)) {
        event_del(&c->readable);
        event_del(&c->writable);
    }
    conn_forget_answers(c);
    PQfinish(c->pg);
    c->pg = NULL;
    c->call = NULL;
    conn_set_hold(c, NULL);
    c->nops = c->op = 0;
    c->is_doomed = c->is_outdated = false;
    prepared_forget(c);
    conn_goto(c, SQL_CLOSED);
}

void sql_conn_break(struct sql_conn *c, const char *why)
{
    struct sql_pool *p = c->pool;
    struct sql_call *call = c->call;
    struct str words = str_trim(str_of(c->pg ? PQerrorMessage(c->pg) : ""));
    bool was_live = conn_is_live(c->state) && c->state != SQL_SETUP;

    words = str_head(words, str_find(words, '\n'));
    log_warn("", "postgresql connection lost", "why=%s words=%.*s", why, STR_ARG(words));
    if (!was_live)
        sql_pool_back_off(p);
    if (!call) {
        sql_conn_close(c);
        return;
    }
    if (state_is_shutdown(call->sqlstate) && c->steps_answered < call->nsteps &&
        call->attempts < ATTEMPTS_MAX && !call_goes_on(call)) {
        sql_conn_close(c);
        sql_call_again(p, call);
        return;
    }
    call->error = c->error; /* it holds the message */
    c->error = NULL;
    sql_conn_close(c);
    sql_call_fail_later(p, call, ERR_PG, call->err ? NULL : why);
}

void sql_conn_renew(struct sql_conn *c)
{
    if (c->state == SQL_IDLE)
        sql_conn_close(c);
    else if (conn_is_live(c->state))
        c->is_outdated = true;
}

/* To an idle session PostgreSQL's last words come as a notice, before the end of the stream. */
static void conn_on_notice(void *arg, const PGresult *res)
{
    struct sql_conn *c = arg;
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    c->is_doomed |= state && state_is_shutdown(state);
}

void sql_conn_fini(struct sql_conn *c)
{
    pg_names_drop(c->names);
    free(c->prepared);
    free(c->values);
}

/* Registers the socket libpq uses now, which may change while it tries several hosts. */
static void conn_watch(struct sql_conn *c)
{
    struct event_base *base = c->pool->base;

    event_assign(&c->readable, base, PQsocket(c->pg), EV_READ | EV_PERSIST, conn_on_event, c);
    event_assign(&c->writable, base, PQsocket(c->pg), EV_WRITE, conn_on_event, c);
}

static void conn_drop_names(struct sql_conn *c)
{
    pg_names_drop(c->names);
    c->names = NULL;
}

/* The addresses are known, or are libpq's to find. */
static void conn_connect(struct sql_conn *c)
{
    conn_goto(c, SQL_CONNECTING);
    c->pg = pg_connect_begin(&c->pool->terms, "sluice worker", c->names);
    conn_drop_names(c);
    check(c->pg);
    if (PQstatus(c->pg) == CONNECTION_BAD) {
        sql_conn_break(c, "no connection");
        return;
    }
    PQsetNoticeReceiver(c->pg, conn_on_notice, c);
    conn_watch(c);
    event_add(&c->writable, NULL); /* libpq says: begin as if PQconnectPoll had asked to write */
}

/* Looks whether the answer has come. */
static void conn_look(struct sql_conn *c)
{
    const char *trouble;

    if (!pg_names_are_known(c->names))
        return;
    event_del(&c->readable);
    trouble = pg_names_trouble(c->names);
    if (!trouble) {
        conn_connect(c);
        return;
    }
    sql_conn_break(c, trouble);
    conn_drop_names(c);
}

void sql_conn_open(struct sql_conn *c)
{
    c->deadline_us = clock_us() + c->pool->terms.connect_us;
    if (c->names && pg_names_are_known(c->names))
        conn_drop_names(c); /* nobody heard that answer, and it may be old */
    if (!c->names)
        c->names = pg_names_ask(c->pool->terms.uri);
    if (!c->names) {
        conn_connect(c);
        return;
    }
    conn_goto(c, SQL_LOOKING);
    event_assign(&c->readable, c->pool->base, pg_names_fd(c->names), EV_READ | EV_PERSIST,
                 conn_on_event, c);
    event_assign(&c->writable, c->pool->base, -1, 0, conn_on_event, c);
    event_add(&c->readable, NULL);
}

/* Session settings. Many are served at once, so a statement gets one
 * process: starting others takes 10 ms and more, a search by index 3. No statement of ours looks the same
 * row up twice, so there is nothing to memoize. A cursor is read to its end, so it is planned for
 * that; how long it may pause is ours to bound (stream_timeout), not the server's. With a pooler in
 * between they are the transaction's; id: the process that libpq was told of, 0 = there is a pooler. */
static bool conn_send_settings(struct sql_conn *c, int id)
{
    static const char text[] =
        "SELECT p, set_config('statement_timeout', $1, p),"
        " set_config('lock_timeout', " PG_LOCK_PATIENCE ", p),"
        " set_config('extra_float_digits', '1', p), set_config('jit', 'off', p),"
        " set_config('cursor_tuple_fraction', '1', p),"
        " set_config('max_parallel_workers_per_gather', '0', p),"
        " CASE WHEN current_setting('server_version_num')::int >= 140000"
        " THEN set_config('enable_memoize', 'off', p) END,"
        " set_config('idle_in_transaction_session_timeout', '0', p)"
        " FROM (SELECT " PG_IS_POOLED("$2") ") AS i (p)";
    char timeout[32], pid[32];
    const char *values[] = {timeout, pid};

    snprintf(timeout, sizeof(timeout), "%llu", (unsigned long long)(c->pool->timeout_us / 1000));
    snprintf(pid, sizeof(pid), "%d", id);
    return PQsendQueryParams(c->pg, text, 2, NULL, values, NULL, NULL, 0) == 1;
}

/* In a transaction of their own, whose answer says whether there is a pooler. */
static bool conn_send_setup(struct sql_conn *c)
{
    return PQsetnonblocking(c->pg, 1) == 0 && PQenterPipelineMode(c->pg) == 1 &&
           conn_send_settings(c, PQbackendPID(c->pg)) && PQpipelineSync(c->pg) == 1;
}

/* For whom looks at pg_stat_activity or the server's log while it lasts; it ends with the transaction, so
 * that nobody else is taken for it. */
static bool conn_send_application(struct sql_conn *c, const char *name)
{
    const char *values[] = {name};

    return PQsendQueryParams(c->pg, "SELECT set_config('application_name', $1, true)", 1, NULL,
                             values, NULL, NULL, 0) == 1;
}

/* The settings of a transaction that begins with this call, in front of its steps. */
static bool conn_send_locals(struct sql_conn *c, const struct sql_call *call)
{
    if (call_goes_on(call))
        return true;
    if (c->is_pooled) {
        c->ops[c->nops++] = (struct sql_op){SQL_OP_SETTINGS, 0};
        if (!conn_send_settings(c, 0))
            return false;
    }
    if (call->application == NULL)
        return true;
    c->ops[c->nops++] = (struct sql_op){SQL_OP_SETTINGS, 0};
    return conn_send_application(c, call->application);
}

static void conn_flush(struct sql_conn *c)
{
    int rc = PQflush(c->pg);

    if (rc == 1)
        event_add(&c->writable, NULL);
    else if (rc < 0)
        sql_conn_break(c, "write failed");
}

static void conn_connected(struct sql_conn *c)
{
    conn_goto(c, SQL_SETUP);
    c->ops[0] = (struct sql_op){SQL_OP_STEP, 0};
    c->nops = 1;
    c->op = 0;
    event_add(&c->readable, NULL);
    if (!conn_send_setup(c))
        sql_conn_break(c, "session settings could not be sent");
    else
        conn_flush(c);
}

static void conn_poll(struct sql_conn *c)
{
    event_del(&c->readable); /* before libpq may close this socket and take another */
    event_del(&c->writable);
    switch (PQconnectPoll(c->pg)) {
    case PGRES_POLLING_OK:
        conn_watch(c);
        conn_connected(c);
        return;
    case PGRES_POLLING_READING:
        conn_watch(c);
        event_add(&c->readable, NULL);
        return;
    case PGRES_POLLING_WRITING:
        conn_watch(c);
        event_add(&c->writable, NULL);
        return;
    default: sql_conn_break(c, "no connection"); return;
    }
}

/* -- sending ------------------------------------------------------------------------------- */

/* The step's values as libpq takes them, the workspace behind them if it is bound: valid until the next
 * step's. */
static const char **conn_values(struct sql_conn *c, const struct sql_step *step, bool is_bound)
{
    size_t n = (size_t)step->nvalues;

    check(n <= SQL_VALUES_MAX);
    if (n + 1 > c->values_cap) {
        c->values_cap = n + 1 > VALUES_FIRST ? SQL_VALUES_MAX + 1 : VALUES_FIRST;
        c->values = realloc(c->values, c->values_cap * sizeof(c->values[0]));
        check(c->values);
    }
    for (size_t i = 0; i < n; i++)
        c->values[i] = step->values[i].p;
    check(!is_bound || c->call->workspace);
    if (is_bound)
        c->values[n] = c->call->workspace;
    return c->values;
}

/* The text of a statement as PostgreSQL gets it. */
static const char *conn_text(struct sql_conn *c, const struct sql_step *step)
{
    struct sql_pool *p = c->pool;
    int place = step->nvalues + 1;

    if (step->stmt->name)
        check(!scope_forgotten(step->stmt->text));
    heavy_check(!scope_forgotten(step->stmt->text));
    return scope_text(&p->text, step->stmt->text, p->has_workspaces ? &place : NULL);
}

static bool conn_send_step(struct sql_conn *c, const struct sql_step *step, unsigned index)
{
    const struct stmt *stmt = step->stmt;
    bool is_bound = c->pool->has_workspaces && scope_is_bound(stmt->text);
    const char **values = conn_values(c, step, is_bound);
    int nvalues = step->nvalues + is_bound;
    bool has_name = stmt->name && !c->is_pooled;
    bool is_known = !has_name || prepared_has(c, stmt);

    for (unsigned i = 0; i < c->nops && !is_known; i++)
        is_known = c->ops[i].kind == SQL_OP_PREPARE && c->call->steps[c->ops[i].step].stmt == stmt;
    if (!is_known) {
        if (!PQsendPrepare(c->pg, stmt->name, conn_text(c, step), 0, NULL))
            return false;
        c->ops[c->nops++] = (struct sql_op){SQL_OP_PREPARE, index};
    }
    c->ops[c->nops++] = (struct sql_op){SQL_OP_STEP, index};
    if (!has_name)
        return PQsendQueryParams(c->pg, conn_text(c, step), nvalues, NULL, values, NULL, NULL, 0) ==
               1;
    return PQsendQueryPrepared(c->pg, stmt->name, nvalues, values, NULL, NULL, 0) == 1;
}

/* False when the connection turned out to be dead before anything was sent. */
static bool conn_is_fit(struct sql_conn *c)
{
    return PQconsumeInput(c->pg) && !PQisBusy(c->pg) && PQstatus(c->pg) == CONNECTION_OK &&
           !c->is_doomed;
}

void sql_conn_send(struct sql_conn *c, struct sql_call *call)
{
    struct sql_pool *p = c->pool;
    bool is_sent = conn_is_fit(c);

    conn_goto(c, SQL_BUSY);
    if (call->hold && call->hold->is_reserved)
        conn_set_hold(c, call->hold);
    c->call = call;
    c->nops = c->op = c->steps_answered = 0;
    c->deadline_us = call->queued_us + p->timeout_us;
    is_sent = is_sent && conn_send_locals(c, call);
    for (unsigned i = 0; i < call->nsteps && is_sent; i++)
        is_sent = conn_send_step(c, &call->steps[i], i);
    if (!is_sent || !PQpipelineSync(c->pg)) {
        c->call = NULL;
        sql_conn_break(c, "dropped while idle");
        if (call_goes_on(call))
            sql_call_fail_later(p, call, ERR_PG, "PostgreSQL closed the connection");
        else
            sql_call_again(p, call);
        return;
    }
    call->attempts++;
    stat_add(p->stats, sql_calls, call->nsteps);
    conn_flush(c);
}

void sql_conn_release(struct sql_conn *c)
{
    conn_set_hold(c, NULL);
    conn_goto(c, SQL_ENDING);
    c->ops[0] = (struct sql_op){SQL_OP_STEP, 0};
    c->nops = 1;
    c->op = 0;
    c->deadline_us = clock_us() + c->pool->timeout_us;
    if (!PQsendQueryParams(c->pg, "ROLLBACK", 0, NULL, NULL, NULL, NULL, 0) ||
        !PQpipelineSync(c->pg))
        sql_conn_break(c, "dropped while held");
    else
        conn_flush(c);
}

/* -- answers ------------------------------------------------------------------------------- */

static void conn_end_setup(struct sql_conn *c)
{
    struct sql_pool *p = c->pool;

    if (c->error) {
        sql_conn_break(c, "session settings refused");
        return;
    }
    c->is_pooled = PQntuples(c->results[0]) == 1 && *PQgetvalue(c->results[0], 0, 0) == 't';
    conn_forget_answers(c);
    if (p->failures)
        log_info("", "postgresql is back", "attempts=%u", p->failures + 1);
    p->failures = 0;
    stat_add(p->stats, sql_connects, 1);
    conn_goto(c, SQL_IDLE);
    if (c->is_outdated)
        sql_conn_close(c);
}

/* The transaction of its hold is over. */
static void conn_end_hold(struct sql_conn *c)
{
    if (c->error) {
        sql_conn_break(c, "transaction could not be ended");
        return;
    }
    conn_forget_answers(c);
    conn_goto(c, SQL_IDLE);
    if (c->is_outdated)
        sql_conn_close(c);
}

/* Its call has ended: BUSY to where it goes from there. */
static void conn_leave_call(struct sql_conn *c, const struct sql_call *call)
{
    const struct sql_pool *p = c->pool;
    bool has_place = c->hold || p->holding < p->holds_max;

    c->call = NULL;
    if (call->hold && !call->err && has_place) {
        conn_set_hold(c, call->hold);
        call->hold->conn = c;
        call->hold->is_begun = true;
        conn_goto(c, SQL_HELD);
    } else if (PQtransactionStatus(c->pg) != PQTRANS_IDLE) {
        sql_conn_release(c);
    } else {
        conn_set_hold(c, NULL);
        conn_goto(c, SQL_IDLE);
    }
}

/* Its call has ended; so does the session, when it is not to be used again. */
static void conn_end_session(struct sql_conn *c, const struct sql_call *call)
{
    if (state_is_stale(call->sqlstate) || state_is_read_only(call->sqlstate))
        sql_pool_renew(c->pool); /* c goes with the others */
    else if (c->is_outdated && c->state == SQL_IDLE)
        sql_conn_close(c);
}

/* As the session was told with this answer or before it. */
static bool conn_is_of_standby(const struct sql_conn *c)
{
    const char *is_standby = PQparameterStatus(c->pg, "in_hot_standby");

    return is_standby && strcmp(is_standby, "on") == 0;
}

/* What was answered becomes the call's; of one that failed the error only. */
static void conn_hand_over(struct sql_conn *c, struct sql_call *call)
{
    call->error = c->error;
    c->error = NULL;
    if (call->err == OK) {
        call->is_of_standby = call->asks_standby && conn_is_of_standby(c);
        memcpy(call->results, c->results, sizeof(call->results));
        memset(c->results, 0, sizeof(c->results));
    }
    conn_forget_answers(c);
}

static void conn_end_call(struct sql_conn *c)
{
    struct sql_pool *p = c->pool;
    struct sql_call *call = c->call;

    conn_hand_over(c, call);
    conn_leave_call(c, call);
    conn_end_session(c, call);
    call->attempts -= state_is_lock(call->sqlstate); /* its deadline bounds that */
    if (call->err && call->attempts < ATTEMPTS_MAX && !call_goes_on(call) &&
        (state_is_lock(call->sqlstate) || state_is_stale(call->sqlstate) ||
         state_is_retriable(call->sqlstate))) {
        PQclear(call->error);
        call->error = NULL;
        sql_call_again(p, call);
        return;
    }
    sql_pool_dispatch(p); /* the next call is under way while this one's owner works */
    sql_call_done(p, call);
}

/* One result of the command c->op. */
static void conn_take_result(struct sql_conn *c, PGresult *res)
{
    const struct sql_op *op = &c->ops[c->op < c->nops ? c->op : c->nops - 1];
    ExecStatusType status = PQresultStatus(res);

    if (status == PGRES_PIPELINE_ABORTED) {
        PQclear(res);
    } else if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        if (c->error) {
            PQclear(res);
            return;
        }
        c->error = res;
        if (c->call)
            call_note_error(c->call, res, op->step);
    } else if (op->kind == SQL_OP_PREPARE) {
        prepared_add(c, c->call->steps[op->step].stmt);
        PQclear(res);
    } else if (op->kind == SQL_OP_SETTINGS) {
        PQclear(res);
    } else {
        c->steps_answered++;
        PQclear(c->results[op->step]);
        c->results[op->step] = res;
    }
}

/* Takes all answers that are there. True when the Sync was answered: the connection is IDLE again,
 * or closed. */
static bool conn_read(struct sql_conn *c)
{
    bool was_null = false;

    while (!PQisBusy(c->pg)) {
        PGresult *res = PQgetResult(c->pg);

        if (!res) {
            if (was_null)
                return false;
            was_null = true;
            c->op++;
            continue;
        }
        was_null = false;
        if (PQresultStatus(res) == PGRES_PIPELINE_SYNC) {
            PQclear(res);
            if (c->state == SQL_SETUP)
                conn_end_setup(c);
            else if (c->state == SQL_ENDING)
                conn_end_hold(c);
            else
                conn_end_call(c);
            return true;
        }
        conn_take_result(c, res);
        if (PQstatus(c->pg) == CONNECTION_BAD)
            return false;
    }
    return false;
}

static void conn_exchange(struct sql_conn *c)
{
    bool is_alive = PQconsumeInput(c->pg) == 1;

    if (conn_read(c))
        return;
    if (!is_alive || PQstatus(c->pg) == CONNECTION_BAD)
        sql_conn_break(c, "PostgreSQL closed the connection");
    else
        conn_flush(c);
}

static void conn_drive(struct sql_conn *c)
{
    switch (c->state) {
    case SQL_CLOSED: return;
    case SQL_LOOKING: conn_look(c); return;
    case SQL_CONNECTING: conn_poll(c); return;
    case SQL_SETUP:
    case SQL_ENDING:
    case SQL_BUSY: conn_exchange(c); return;
    case SQL_HELD:
    case SQL_IDLE:
        if (!conn_is_fit(c))
            sql_conn_break(c, "dropped while idle");
        return;
    }
}
