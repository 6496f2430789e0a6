/*
 * worker_net: what worker.c, conn.c and guard.c share of a worker's sockets. The worker's thread.
 */
#ifndef GATEWAY_WORKER_NET_H
#define GATEWAY_WORKER_NET_H

#include <event2/event.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/http/conn.h"

enum { POOL_EXCHANGES = 256 }; /* kept for reuse; more are freed */

struct conn_list {
    struct conn *first;
    struct conn *last;
    unsigned count;
};

struct listener {
    int fd; /* -1 = none */
    enum route_where where;
    struct event *event;
    struct worker *worker;
};

struct worker_net {
    uint64_t traced_turn; /* of otlp_sample requests, which one is next */
    pthread_t thread;
    struct listener listeners[2];
    struct event *inbox_event;
    struct event *tick;
    int reserve_fd;           /* given up to accept and close when there are no more */
    unsigned max_connections; /* of all workers together */
    unsigned worker_count;    /* that share body_memory_bytes evenly */
    uint64_t held_bytes;      /* of bodies, and what is made of them, until answered */
    bool is_leaving;          /* answers close their connections */
    bool is_draining;
    bool is_paused; /* no accepting until the next tick */
    uint64_t drain_until_us;
    _Atomic bool has_ended;
    _Atomic(const struct settings *) settings_seen;
    struct conn_list timers[TIMER_COUNT]; /* every open connection is in one */
    unsigned open_count;
    unsigned shed_count;  /* not in open_count */
    struct conn *yielded; /* go on in the next turn, in order */
    struct conn **yielded_end;
    struct conn *closed; /* freed at the end of the turn */
    struct conn *free;
    struct exchange *pool;
    unsigned pool_count;
    char good_host[96]; /* the last one that guard let through */
    size_t good_host_len;
    time_t date_second;
    uint64_t turn_cpu_us; /* of the thread, when this turn began */

    SSL_CTX *tls;             /* for new connections of listen; NULL = plain */
    unsigned greetings_count; /* steps of handshakes in this turn */
};

/* Takes an exchange from the pool, or makes one. */
struct exchange *worker_take_exchange(struct worker *w, struct conn *c);
/* Gives it back, emptied. */
void worker_put_exchange(struct worker *w, struct exchange *x);
/* The same of one that no byte of a request has come to since it was taken or emptied. */
void worker_put_clean(struct worker *w, struct exchange *x);
/* Forgets x's body, and its memory when that is more than keep bytes: nothing is held any more. */
void worker_empty_body(struct worker *w, struct exchange *x, size_t keep);
/* Moves c to the end of another list, its time beginning now. */
void worker_set_timer(struct conn *c, enum conn_timer timer);
/* c goes on in the next turn of the loop. */
void worker_yield(struct conn *c);
/* c is closed: out of its list, freed when the turn ends. */
void worker_drop(struct conn *c);
/* How often a body that is coming is looked at. */
uint64_t worker_receive_us(const struct worker *w);
/* Reads the clock for this event. */
void worker_touch(struct worker *w);

#endif
