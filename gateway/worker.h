/*
 * worker: one thread, one event loop, its own listener, connections, pools and parked requests.
 *
 * Order of calls: worker_start, worker_leave (may be left out), worker_drain (stop accepting, close idle
 * connections, answer what is open), worker_join, worker_free. The fields are its thread's.
 */
#ifndef GATEWAY_WORKER_H
#define GATEWAY_WORKER_H

#include "base/inbox.h"
#include "gateway/peers/news.h"
#include "gateway/req.h"
#include "gateway/status/top.h"
#include "gateway/worker_note.h"
#include "ingest/queue.h"
#include "ingest/runs.h"
#include "schema/settings.h"
#include "schema/stats.h"

struct event_base;
struct latency;
struct peers;
struct pod;
struct server;
struct ssl_ctx_st;
struct conn;
struct tracer;
struct upstream;
struct worker_config;
struct workspace_table;

enum {
    SHED_MAX = 64,               /* refused connections that wait until their peers have read it */
    WORKER_FILES = SHED_MAX + 32 /* descriptors it may need besides max_connections and sessions */
};

struct worker {
    struct server *server;
    unsigned index;                  /* also its producer index in the queue */
    const struct settings *settings; /* the snapshot of this turn */
    struct policy *policy;           /* what it says of hosts, origins and proxies */
    struct event_base *base;
    struct queue *queue;
    struct runs *runs;
    struct pod *pod;
    struct peers *peers; /* NULL = no Redis */
    struct news news;
    struct sql_pool *sql;               /* NULL: there is no PostgreSQL, or not any more */
    struct sql_pool *users_sql;         /* of the database of the users: sql, another, or NULL */
    struct auth *auth;                  /* NULL: nobody is asked who it is */
    struct grant_cache *grants;         /* of its users; NULL likewise */
    struct workspace_table *workspaces; /* shared by all workers; NULL: they are off */
    struct upstream *upstream;          /* NULL: what is not answered here is 404 */
    bool passes_all;                    /* there is no PostgreSQL: every path goes upstream */
    struct stats *stats;
    struct latency *latency; /* of its requests; written here only */
    struct top top;          /* who sends most; likewise */
    struct tracer *tracer;   /* NULL: no spans are sent anywhere */
    struct inbox inbox;
    struct helper *helper;
    unsigned helped_count; /* requests whose bodies it has */
    uint64_t now_us;       /* of this loop turn */
    uint64_t busy_since_us,
        busy_last_us; /* first ERR_BUSY since a write was accepted, 0 = none; newest */
    char date[40];    /* header line of this second, with CRLF; constant length */

    /* private: worker*.c, conn*.c and req*.c */
    struct parked durable;                  /* in pos order */
    struct parked committed;                /* any order */
    struct parked runs_waiting, runs_asked; /* for the next run query; for the one under way */
    struct parked users_asked;              /* until it is known who sent them */
    struct parked turns;                    /* for a later turn of the loop */
    struct parked events;                   /* for what calls req_event */
    struct parked sharing, commands, looks_waiting, looks_asked; /* peers.h: for Redis */
    struct s3_pool *s3;                                          /* NULL until it is needed */
    unsigned transfers;                                          /* of artifacts, under way */
    unsigned s3_gathers, file_turn; /* uploads kept in memory; which file thread is next */
    struct sql_call run_call;       /* one run query at a time */
    bool is_run_call_open;
    uint64_t run_asked_us; /* when the one under way was sent */
    struct arena run_arena;
    struct worker_net *net; /* listeners, connections, timers */
};

must_check err_t worker_start(const struct worker_config *c, struct worker **out, struct fail *f);
/* Asks: every answer tells the client to come again through another connection. Any thread. */
void worker_leave(struct worker *w);
/* Asks; open requests are answered until then. Again with an earlier one: hurry. Any thread. */
void worker_drain(struct worker *w, uint64_t deadline_us);
/* Its thread is about to end: worker_join will not wait. Any thread. */
bool worker_has_ended(const struct worker *w);
/* Takes a newer snapshot of the settings; true once every request goes by it. Any thread. */
void worker_reload(struct worker *w, const struct settings *s);
bool worker_has_reloaded(const struct worker *w, const struct settings *s);
/* Connections taken from here on are made with that context. Any thread. */
void worker_set_tls(struct worker *w, struct ssl_ctx_st *context);
/* Waits for its thread's end. */
void worker_join(struct worker *w);
/* After queue_close: until then the queue rings its inbox. */
void worker_free(struct worker *w);

#endif
