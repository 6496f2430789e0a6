/*
 * redis: one connection to Redis on a loop, which comes back by itself.
 *
 *     LOOKING -address-> CONNECTING -connected-> GREETING -AUTH, SELECT, PING answered-> UP
 *     any -lost, refused, silent-> DOWN -after a pause-> LOOKING
 *
 * Nothing blocks: the name is looked up aside, TLS shakes hands in the loop. Each command's done is
 * called once, on the loop, with the reply or, when the connection was lost before, with NULL. A
 * connection is either for commands or for subscriptions (Redis answers nothing else on one that
 * has subscribed).
 *
 * Good means: a command that is sent now will probably be answered soon. It is not when the
 * connection is not UP, when what was sent is unanswered for redis_wait already (a Redis that hangs
 * costs that once), or when Redis refused the last command (out of memory, read-only). All
 * connections of the process share a pulse, which counts those that are away and says so once at
 * each change.
 *
 * Order of calls: redis_open, then any, redis_close (not from within done). The loop's thread.
 */
#ifndef GATEWAY_REDIS_H
#define GATEWAY_REDIS_H

#include <stdatomic.h>

#include <hiredis.h>

#include "base/str.h"
#include "schema/redis_uri.h"
#include "schema/stats.h"

struct event_base;
struct redis;
struct client_tls;

/* Of the process. */
struct redis_pulse {
    _Atomic unsigned away;   /* connections that are not good */
    _Atomic uint64_t losses; /* times one of them stopped being good */
};

struct redis_config {
    struct event_base *base;
    struct redis_uri uri;   /* its texts outlive the connection, as all pointers here do */
    struct client_tls *tls; /* NULL: none */
    struct redis_pulse *pulse;
    uint64_t timeout_us; /* to connect, and without an answer until the connection is given up */
    uint64_t wait_us;    /* without an answer until it is not good */
    struct stats *stats;
    void (*on_up)(void *arg); /* UP once more: subscribe, say what was missed; may be NULL */
    void (*on_good)(void *arg, bool is_good); /* what redis_is_good says has changed; may be NULL */
    void *arg;
};

typedef void (*redis_done)(void *arg, const struct redisReply *reply);

struct redis *redis_open(const struct redis_config *c);
/* Every command that waits is done with NULL. NULL is fine. */
void redis_close(struct redis *r);
bool redis_is_good(const struct redis *r);
/* Would redis_send send? Also when Redis refused the last command. */
bool redis_is_up(const struct redis *r);
/* False: it is not UP, nothing was sent and done is not called. */
must_check bool redis_send(struct redis *r, const struct str *words, unsigned n, redis_done done,
                           void *arg);
/* Hears what is published there, until the connection is lost: to be called by on_up. done is
 * called for each message, as its reply, and never with NULL. */
must_check bool redis_subscribe(struct redis *r, struct str channel, redis_done done, void *arg);
/* What a message says; p is NULL when the reply is none (Redis confirms the subscription). */
struct str redis_message(const struct redisReply *reply);
/* Is the reply there, and no error? An error makes the connection not good until the next that is
 * none. */
bool redis_is_fine(struct redis *r, const struct redisReply *reply);
struct str redis_text(const struct redisReply *reply);

#endif
