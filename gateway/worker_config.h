/*
 * worker_config: what a worker is started with. Read by worker_start only, which copies what it keeps;
 * whatever is pointed to outlives the worker.
 */
#ifndef GATEWAY_WORKER_CONFIG_H
#define GATEWAY_WORKER_CONFIG_H

struct auth_shared;
struct helper;
struct pod;
struct queue;
struct runs;
struct server;
struct settings;
struct ssl_ctx_st;
struct stats;
struct tracer;
struct workspace_table;

struct worker_config {
    struct server *server;
    struct helper *helper;
    unsigned index;
    unsigned count;           /* of workers */
    unsigned max_connections; /* of all of them; at most the setting */
    const struct settings *settings;
    struct queue *queue;
    struct runs *runs;
    struct workspace_table *workspaces; /* NULL = they are off */
    struct pod *pod;
    const char *pg_uri;       /* NULL: all goes upstream */
    struct auth_shared *auth; /* NULL = auth is none */
    const char *users_uri;    /* of the users' database; pg_uri itself when it is the same */
    struct stats *stats;
    struct tracer *tracer;  /* NULL = no spans */
    int listen_fd;          /* owned by the worker from here on; -1 = none */
    int admin_listen_fd;    /* worker 0 only, else -1 */
    struct ssl_ctx_st *tls; /* for listen; NULL = plain. The worker adds a reference */
};

#endif
