/*
 * sql_pool: what sql.c and sql_conn.c share: the pool, and one session of it. The worker's thread.
 */
#ifndef GATEWAY_SQL_POOL_H
#define GATEWAY_SQL_POOL_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "base/buf.h"
#include "gateway/sql/sql.h"
#include "schema/pg_connect.h"

enum sql_state {
    SQL_CLOSED,
    SQL_LOOKING, /* its host is being looked up */
    SQL_CONNECTING,
    SQL_SETUP, /* session settings are under way */
    SQL_IDLE,
    SQL_BUSY,  /* with a call */
    SQL_HELD,  /* in a transaction; the next call of its hold goes on with it */
    SQL_ENDING /* that transaction is being rolled back */
};

/* One command of the pipeline under way. */
struct sql_op {
    enum { SQL_OP_STEP, SQL_OP_PREPARE, SQL_OP_SETTINGS } kind;
    unsigned step;
};

struct sql_conn {
    struct sql_pool *pool;
    enum sql_state state;
    PGconn *pg;             /* NULL when CLOSED or LOOKING */
    struct pg_names *names; /* the question, which may outlast LOOKING; NULL = none */
    struct event readable, writable;
    struct sql_call *call; /* BUSY only */
    struct sql_hold *hold; /* NULL = none */
    uint64_t deadline_us;  /* UINT64_MAX when CLOSED, IDLE or HELD */
    struct sql_op ops[2 + 2 * SQL_STEPS_MAX];
    unsigned nops;
    unsigned op; /* the one whose answer comes next */
    unsigned steps_answered;
    bool is_pooled;   /* schema/pg_pooler.h: nothing outlives a transaction */
    bool is_doomed;   /* PostgreSQL said goodbye */
    bool is_outdated; /* closed when its call has ended */
    PGresult *error;  /* the first one of this call */
    PGresult *results[SQL_STEPS_MAX];
    const struct stmt **prepared; /* hash set by address; power of two */
    size_t prepared_cap;
    size_t prepared_count;
    const char **values; /* of the step that is being sent */
    size_t values_cap;
};

struct sql_list {
    struct sql_call *first;
    struct sql_call *last;
    uint64_t count;
};

struct sql_pool {
    struct event_base *base;
    struct pg_terms terms;
    struct stats *stats;
    uint64_t queue_max;
    struct buf text; /* of a statement that is being sent */
    uint64_t timeout_us;
    struct sql_conn *conns;
    unsigned nconns;
    unsigned live;               /* SETUP and what comes after it */
    unsigned holding, holds_max; /* those with a hold */
    unsigned opening;            /* LOOKING, CONNECTING or SETUP */
    unsigned failures;           /* attempts in a row that did not connect */
    uint64_t retry_us;           /* no attempt before; meaningful when failures > 0 */
    uint64_t random;
    struct sql_list queue;    /* waiting for a connection */
    struct sql_list holders;  /* the same, and for a place among those that hold */
    struct sql_list finished; /* err is set; done is due */
    uint64_t counted;         /* of queue and holders, in sql_waiting */
    struct event *timer;
    uint64_t armed_us; /* when the timer fires; 0 = not armed */
    struct event *kick;
    bool is_closing, has_workspaces;
};

/* -- a session: sql_conn.c -------------------------------------------------------------------- */

/* CLOSED to LOOKING or CONNECTING; the rest follows by events. */
void sql_conn_open(struct sql_conn *c);
/* Gives back what outlives sql_conn_close. CLOSED only. */
void sql_conn_fini(struct sql_conn *c);
/* Closes the socket and forgets what was answered; the call is the caller's. */
void sql_conn_close(struct sql_conn *c);
/* The connection is of no more use: decides what becomes of its call, and closes it. */
void sql_conn_break(struct sql_conn *c, const char *why);
/* It is not used again: closed now when it is idle, else when its call has ended. */
void sql_conn_renew(struct sql_conn *c);
/* HELD to ENDING, and to IDLE by itself. */
void sql_conn_release(struct sql_conn *c);
/* The call goes out; on failure it is first in the FIFO again and the connection is closed. */
void sql_conn_send(struct sql_conn *c, struct sql_call *call);

/* -- the pool: sql.c -------------------------------------------------------------------------- */

/* Calls done; the results are ours to free, whatever done does with the call. */
void sql_call_done(struct sql_pool *p, struct sql_call *call);
/* Ends a call without results; done follows from the loop. text is constant, or NULL: the call has
 * its message already. */
void sql_call_fail_later(struct sql_pool *p, struct sql_call *call, err_t err, const char *text);
/* It did not commit, or never went out, and is first in the FIFO again. */
void sql_call_again(struct sql_pool *p, struct sql_call *call);
/* Gives waiting calls to idle connections, opens more when there are none, sets the timer. */
void sql_pool_dispatch(struct sql_pool *p);
/* An attempt failed: the next one waits twice as long, at most RETRY_MOST_US, give or take half. */
void sql_pool_back_off(struct sql_pool *p);
/* No session is used again. */
void sql_pool_renew(struct sql_pool *p);

#endif
