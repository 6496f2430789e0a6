/*
 * upstream: a worker's connections to the server behind it, for what it does not answer itself.
 *
 * A connection is taken for one exchange and put back; one that may serve again waits in the pool until
 * it is old or its peer closes it. What the server is worth at the moment, a breaker says. Each worker
 * has its own; the worker's thread.
 *
 * Order of calls: upstream_open, upstream_take, upstream_await and on_event as often as need be,
 * upstream_put; upstream_close.
 */
#ifndef GATEWAY_UPSTREAM_H
#define GATEWAY_UPSTREAM_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/fail.h"
#include "gateway/http/http_answer.h"
#include "gateway/proxy/upstream_address.h"
#include "schema/settings.h"
#include "schema/stats.h"

struct upstream; /* opaque */

enum upstream_state {
    UPSTREAM_CONNECTING, /* or its name is looked up */
    UPSTREAM_READY,
    UPSTREAM_FAILED /* why says how */
};

struct upstream_conn {
    enum upstream_state state;
    const char *why; /* constant text */
    bool is_reused;  /* it has served before: its peer may have closed it meanwhile */
    struct http_answer *answer;
    struct buf in; /* read, and not yet parsed */
    /* Connected or failed, or what was awaited has come; nothing is awaited any more. */
    void (*on_event)(struct upstream_conn *c);
    void *owner;

    /* private */
    struct upstream *upstream;
    struct ssl_st *ssl;          /* NULL = plain */
    struct upstream_tries tried; /* addresses */
    uint64_t began_us;
    int fd;
    struct event *readable;
    struct event *writable;
    uint64_t idle_since_us;
    struct upstream_conn *next; /* idle, or waiting for the name */
};

/* What the setting says; false when it is no URL of a server. */
struct upstream_url {
    struct str host;
    uint16_t port;
    struct str authority; /* for Host */
    struct str prefix;    /* of every path; "" or "/..." without a slash at its end */
    bool is_tls;
};
must_check bool upstream_url_parse(struct arena *a, struct str text, struct upstream_url *out);

/* NULL without the setting upstream. */
must_check err_t upstream_open(struct event_base *base, const struct settings *s,
                               struct stats *stats, struct upstream **out, struct fail *f);
void upstream_close(struct upstream *u);
void upstream_reload(struct upstream *u, const struct settings *s);
const struct upstream_url *upstream_url(const struct upstream *u);

/* A connection for one exchange: from the pool, unless it must be fresh, else a new one. ERR_BUSY: all
 * are in use; ERR_UPSTREAM: the breaker is open. Afterwards exactly one of good, bad and unknown. */
must_check err_t upstream_take(struct upstream *u, bool is_fresh, uint64_t now_us,
                               struct upstream_conn **out, struct fail *f);
/* How long to wait for a connection that is CONNECTING, before upstream_next. */
uint64_t upstream_patience(const struct upstream_conn *c);
/* It took too long: goes on with another address. False: there is none, it has failed. */
bool upstream_next(struct upstream_conn *c);
/* Gives it back: to the pool if it may serve again, else it is closed. */
void upstream_put(struct upstream_conn *c, bool may_serve);
/* on_event follows, once, when it can be read or written: EV_READ, EV_WRITE or both. */
void upstream_await(struct upstream_conn *c, short what);
/* As read(2) and sendmsg(2); EAGAIN: upstream_await. */
ssize_t upstream_read(struct upstream_conn *c, void *p, size_t n);
ssize_t upstream_write(struct upstream_conn *c, const struct iovec *v, int count);
/* Nothing more is sent. */
void upstream_shutdown(struct upstream_conn *c);
/* For the breaker: it answered; it did not; the asker went first. */
void upstream_good(struct upstream *u);
void upstream_bad(struct upstream *u, uint64_t now_us, const char *why);
void upstream_unknown(struct upstream *u);

#endif
