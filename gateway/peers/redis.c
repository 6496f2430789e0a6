/*
 * hiredis' asynchronous context on libevent, with what it lacks: names that are looked up aside, deadlines,
 * and coming back.
 *
 * hiredis frees its context by itself when the connection ends, in the middle of a callback if need be, and
 * calls every command that waited with NULL. So a command's own memory (struct redis_call) says where to go
 * on, never the context; and from the moment when a connection is given up, ctx is NULL here.
 *
 * Silence. waiting_us is since when something has been unanswered without any answer coming meanwhile. After
 * wait_us of it nothing more is sent (what is to be said is said when it is back), after timeout_us the
 * connection is closed. A connection without traffic is asked with PING, so that a peer whose machine is
 * gone is noticed also by those who only listen.
 *
 * The pause between attempts doubles from 20 ms to 2 s, half of it by chance, and begins anew after a
 * connection that lasted for longer: one that is closed for its first command (a subscription that the
 * user may not have) makes everybody forget what they know each time.
 *
 * RESP2, and a connection of its own for subscriptions: that is what every Redis speaks, and hiredis' mixing
 * of both on one connection takes a message for the answer to the oldest command.
 */
#include "gateway/peers/redis.h"

#include <async.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <hiredis_ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/http/client_tls.h"
#include "schema/pg_names.h"

#define PAUSE_FIRST_US ((uint64_t)20 * 1000)
#define PAUSE_MOST_US  ((uint64_t)2000 * 1000)
#define PING_US        ((uint64_t)2000 * 1000)

enum { REDIS_WORDS_MAX = 2048, REDIS_CHANNELS = 4, REDIS_WHY = 160 };

enum redis_state { REDIS_DOWN, REDIS_LOOKING, REDIS_GREETING, REDIS_UP };

/* One command on its way. */
struct redis_call {
    struct redis *redis;
    redis_done done;
    void *arg;
};

struct redis {
    struct redis_config c;
    enum redis_state state;
    SSL *ssl;               /* hiredis'; NULL: no TLS */
    redisAsyncContext *ctx; /* NULL: none, or it is ending */
    struct pg_names
        *names; /* the question, which may outlast LOOKING; NULL: the host is an address */
    struct event named, readable, writable, timer;
    uint64_t armed_us;   /* when the timer fires; 0 = not armed */
    uint64_t since_us;   /* of this state */
    uint64_t retry_us;   /* DOWN ends then */
    uint64_t waiting_us; /* see above; meaningful with pending > 0 */
    uint64_t heard_us;   /* the newest answer or message */
    unsigned pending;    /* commands without an answer */
    unsigned failures;   /* connections in a row that did not last */
    uint64_t random;
    bool is_late;     /* silent for wait_us */
    bool is_refusing; /* the last answer was an error */
    bool is_good;     /* as told to on_good */
    bool is_away;     /* counted in the pulse */
    char why[REDIS_WHY];
    struct redis_call channels[REDIS_CHANNELS];
    unsigned channel_count;
};

static void redis_look(struct redis *r);
static void redis_greet(struct redis *r);
static bool redis_put(struct redis *r, const struct str *words, unsigned n, redis_done done,
                      void *arg);
static void redis_give_up(struct redis *r, const char *why);

/* -- good or away --------------------------------------------------------------------------------- */

static void redis_weigh(struct redis *r)
{
    bool is_good = r->state == REDIS_UP && !r->is_late && !r->is_refusing;
    struct redis_pulse *p = r->c.pulse;

    if (is_good && r->is_away && atomic_fetch_sub(&p->away, 1) == 1)
        log_each(LOG_INFO, "", "redis is back", "%s", "");
    if (is_good)
        r->is_away = false;
    if (is_good == r->is_good)
        return;
    r->is_good = is_good;
    if (r->c.on_good)
        r->c.on_good(r->c.arg, is_good);
}

/* Noted once for each change; the first connection that is away says it for all. */
static void redis_miss(struct redis *r, const char *why)
{
    struct redis_pulse *p = r->c.pulse;

    if (!r->is_away) {
        r->is_away = true;
        atomic_fetch_add(&p->losses, 1);
        stat_add(r->c.stats, redis_losses, 1);
        if (atomic_fetch_add(&p->away, 1) == 0)
            log_each(LOG_WARN, "", "redis is away: reads may be behind other pods", "why=%s", why);
    }
    redis_weigh(r);
}

bool redis_is_good(const struct redis *r)
{
    return r->is_good;
}

/* -- the timer ------------------------------------------------------------------------------------ */

static uint64_t redis_due(const struct redis *r)
{
    switch (r->state) {
    case REDIS_DOWN: return r->retry_us;
    case REDIS_UP: break;
    default: return r->since_us + r->c.timeout_us;
    }
    if (r->pending == 0)
        return r->heard_us + PING_US;
    return r->waiting_us + (r->is_late ? r->c.timeout_us : r->c.wait_us);
}

/* Only ever earlier: one that fires too early arms itself again. */
static void redis_arm(struct redis *r)
{
    uint64_t due_us = redis_due(r), now_us = clock_us();
    uint64_t in_us = due_us > now_us ? due_us - now_us : 0;
    struct timeval tv = {(time_t)(in_us / 1000000), (suseconds_t)(in_us % 1000000)};

    if (r->armed_us && r->armed_us <= due_us)
        return;
    r->armed_us = due_us;
    check(event_add(&r->timer, &tv) == 0);
}

static void redis_goto(struct redis *r, enum redis_state state)
{
    r->state = state;
    r->since_us = r->heard_us = clock_us();
    r->armed_us = 0;
    redis_arm(r);
}

static void redis_on_pong(void *arg, const struct redisReply *reply)
{
    (void)arg, (void)reply;
}

static void redis_on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis *r = arg;

    (void)fd, (void)what;
    r->armed_us = 0;
    if (clock_us() < redis_due(r)) {
        redis_arm(r);
    } else if (r->state == REDIS_DOWN) {
        redis_look(r);
    } else if (r->state != REDIS_UP) {
        redis_give_up(r, r->state == REDIS_LOOKING ? "its name is not found in time"
                                                   : "no answer to the greeting");
    } else if (r->pending == 0) {
        (void)redis_put(r, &STR("PING"), 1, redis_on_pong, NULL);
        redis_arm(r);
    } else if (r->is_late) {
        redis_give_up(r, "no answer");
    } else {
        r->is_late = true;
        redis_miss(r, "it does not answer in time");
        redis_arm(r);
    }
}

/* -- hiredis' hooks --------------------------------------------------------------------------------- */

static void redis_on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct redis *r = arg;

    (void)fd, (void)what;
    if (r->ctx)
        redisAsyncHandleRead(r->ctx);
}

static void redis_on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct redis *r = arg;

    (void)fd, (void)what;
    if (r->ctx)
        redisAsyncHandleWrite(r->ctx);
}

static void redis_add_read(void *r)
{
    check(event_add(&((struct redis *)r)->readable, NULL) == 0);
}

static void redis_del_read(void *r)
{
    check(event_del(&((struct redis *)r)->readable) == 0);
}

static void redis_add_write(void *r)
{
    check(event_add(&((struct redis *)r)->writable, NULL) == 0);
}

static void redis_del_write(void *r)
{
    check(event_del(&((struct redis *)r)->writable) == 0);
}

static void redis_unhook(void *r)
{
    redis_del_read(r);
    redis_del_write(r);
}

/* -- life -------------------------------------------------------------------------------------------- */

static unsigned redis_addresses(const struct redis *r)
{
    struct str all = str_of(r->names ? pg_names_hostaddr(r->names) : r->c.uri.host);
    unsigned count = 1;

    for (size_t i = 0; i < all.n; i++)
        count += all.p[i] == ',';
    return count;
}

static uint64_t redis_random(struct redis *r)
{
    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    return r->random ^= r->random << 17;
}

/* The connection has ended, or never began. */
static void redis_fall(struct redis *r, const char *why)
{
    uint64_t pause_us = PAUSE_MOST_US;
    /* One of several addresses of a name, and there are others to try. */
    bool is_first = r->state == REDIS_GREETING && r->failures + 1 < redis_addresses(r);

    if (r->state == REDIS_UP && clock_us() - r->since_us > PAUSE_MOST_US)
        r->failures = 0;
    if (r->state == REDIS_LOOKING)
        event_del(&r->named); /* the question goes on, and is waited for by the next attempt */
    r->ctx = NULL;
    r->ssl = NULL; /* ends with it */
    r->is_late = r->is_refusing = false;
    r->channel_count = 0;
    if (r->failures < 7)
        pause_us = PAUSE_FIRST_US << r->failures;
    r->failures++;
    r->retry_us = clock_us() + pause_us / 2 + redis_random(r) % (pause_us / 2);
    snprintf(r->why, sizeof(r->why), "%s", why);
    redis_goto(r, REDIS_DOWN);
    if (!is_first)
        redis_miss(r, r->why);
}

static void redis_give_up(struct redis *r, const char *why)
{
    redisAsyncContext *ctx = r->ctx;

    if (ctx)
        ctx->data = NULL; /* its end is no news */
    redis_fall(r, why);
    if (ctx) {
        redis_unhook(r);
        redisAsyncFree(ctx);
    }
}

/* A handshake that fails within a read leaves hiredis with errno, which is none. */
static const char *redis_reason(const struct redis *r, const redisAsyncContext *ctx,
                                const char *otherwise)
{
    const char *why = client_tls_trouble(r->ssl);

    if (!why && ctx->err && ctx->errstr && strcmp(ctx->errstr, strerror(0)) != 0)
        why = ctx->errstr;
    return why && *why ? why : otherwise;
}

static void redis_on_connect(redisAsyncContext *ctx, int status)
{
    struct redis *r = ctx->data;

    if (status != REDIS_OK && r)
        redis_fall(r, redis_reason(r, ctx, "it cannot be reached"));
}

static void redis_on_disconnect(const redisAsyncContext *ctx, int status)
{
    struct redis *r = ctx->data;

    (void)status;
    if (r)
        redis_fall(r, redis_reason(r, ctx, "the connection was closed"));
}

/* The address of this attempt; they take turns. */
static const char *redis_address(const struct redis *r, char *space, size_t cap)
{
    struct str all = str_of(r->names ? pg_names_hostaddr(r->names) : r->c.uri.host);
    struct str one = {0};
    unsigned count = redis_addresses(r);

    for (unsigned i = 0; i <= r->failures % count; i++)
        one = str_cut(&all, ',');
    str_to_cstr(one, space, cap);
    return space;
}

static bool redis_begin_tls(struct redis *r)
{
    char why[REDIS_WHY];

    r->ssl = NULL;
    if (!r->c.tls)
        return true;
    r->ssl = client_tls_new(r->c.tls, r->c.uri.host);
    if (redisInitiateSSL(&r->ctx->c, r->ssl) == REDIS_OK)
        return true;
    snprintf(why, sizeof(why), "%s", redis_reason(r, r->ctx, r->ctx->c.errstr));
    SSL_free(r->ssl);
    r->ssl = NULL;
    redis_give_up(r, why);
    return false;
}

static void redis_connect(struct redis *r)
{
    char address[256];
    redisOptions options = {0};

    REDIS_OPTIONS_SET_TCP(&options, redis_address(r, address, sizeof(address)), r->c.uri.port);
    r->ctx = redisAsyncConnectWithOptions(&options);
    check(r->ctx);
    r->pending = 0;
    redis_goto(r, REDIS_GREETING);
    if (r->ctx->err) {
        redis_give_up(r, redis_reason(r, r->ctx, "it cannot be reached"));
        return;
    }
    if (!redis_begin_tls(r))
        return;
    r->ctx->data = r;
    event_assign(&r->readable, r->c.base, r->ctx->c.fd, EV_READ | EV_PERSIST, redis_on_readable, r);
    event_assign(&r->writable, r->c.base, r->ctx->c.fd, EV_WRITE | EV_PERSIST, redis_on_writable,
                 r);
    r->ctx->ev.data = r;
    r->ctx->ev.addRead = redis_add_read;
    r->ctx->ev.delRead = redis_del_read;
    r->ctx->ev.addWrite = redis_add_write;
    r->ctx->ev.delWrite = redis_del_write;
    r->ctx->ev.cleanup = redis_unhook;
    (void)redisAsyncSetConnectCallbackNC(r->ctx, redis_on_connect);
    (void)redisAsyncSetDisconnectCallback(r->ctx, redis_on_disconnect);
    redis_greet(r);
}

static void redis_on_named(evutil_socket_t fd, short what, void *arg)
{
    struct redis *r = arg;
    const char *trouble;

    (void)fd, (void)what;
    if (!pg_names_are_known(r->names))
        return;
    trouble = pg_names_trouble(r->names);
    if (!trouble) {
        event_del(&r->named);
        redis_connect(r);
        return;
    }
    redis_fall(r, trouble);
    pg_names_drop(r->names);
    r->names = NULL;
}

/* An answer that brought no connection is asked for anew; one that is not there yet is waited for on. */
static void redis_look(struct redis *r)
{
    if (r->names && pg_names_are_known(r->names)) {
        pg_names_drop(r->names);
        r->names = NULL;
    }
    if (!r->names)
        r->names = pg_names_ask_host(str_of(r->c.uri.host));
    if (!r->names) {
        redis_connect(r);
        return;
    }
    redis_goto(r, REDIS_LOOKING);
    event_assign(&r->named, r->c.base, pg_names_fd(r->names), EV_READ | EV_PERSIST, redis_on_named,
                 r);
    check(event_add(&r->named, NULL) == 0);
}

/* -- commands ----------------------------------------------------------------------------------------- */

static void redis_hear(struct redis *r)
{
    r->heard_us = r->waiting_us = clock_us();
    r->is_late = false;
    redis_weigh(r);
}

static void redis_on_reply(redisAsyncContext *ctx, void *reply, void *arg)
{
    struct redis_call *call = arg;
    struct redis *r = call->redis;

    if (ctx == r->ctx) { /* else it is of a connection that has ended */
        r->pending--;
        if (reply)
            redis_hear(r);
    }
    call->done(call->arg, reply);
    free(call);
}

static bool redis_put(struct redis *r, const struct str *words, unsigned n, redis_done done,
                      void *arg)
{
    const char *texts[REDIS_WORDS_MAX];
    size_t lengths[REDIS_WORDS_MAX];
    struct redis_call *call = malloc(sizeof(*call));

    check(call && n > 0 && n <= REDIS_WORDS_MAX);
    *call = (struct redis_call){r, done, arg};
    for (unsigned i = 0; i < n; i++) {
        texts[i] = words[i].p ? words[i].p : "";
        lengths[i] = words[i].n;
    }
    if (redisAsyncCommandArgv(r->ctx, redis_on_reply, call, (int)n, texts, lengths) != REDIS_OK) {
        free(call);
        return false;
    }
    if (r->pending++ == 0)
        r->waiting_us = clock_us();
    redis_arm(r);
    return true;
}

bool redis_is_up(const struct redis *r)
{
    return r->state == REDIS_UP && !r->is_late;
}

bool redis_send(struct redis *r, const struct str *words, unsigned n, redis_done done, void *arg)
{
    return redis_is_up(r) && redis_put(r, words, n, done, arg);
}

bool redis_is_fine(struct redis *r, const struct redisReply *reply)
{
    if (!reply)
        return false;
    if (r->state != REDIS_UP)
        return reply->type != REDIS_REPLY_ERROR;
    r->is_refusing = reply->type == REDIS_REPLY_ERROR;
    if (r->is_refusing)
        redis_miss(r, reply->str);
    else
        redis_weigh(r);
    return !r->is_refusing;
}

struct str redis_text(const struct redisReply *reply)
{
    bool has_text =
        reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ||
                  reply->type == REDIS_REPLY_ERROR);

    return has_text ? (struct str){reply->str, reply->len} : (struct str){0};
}

/* -- the greeting ------------------------------------------------------------------------------------- */

static void redis_on_greeted(void *arg, const struct redisReply *reply)
{
    struct redis *r = arg;

    if (!reply || r->state != REDIS_GREETING)
        return; /* the end of the connection says it */
    if (reply->type == REDIS_REPLY_ERROR) {
        redis_give_up(r, reply->str);
        return;
    }
    if (r->pending > 0)
        return;
    redis_goto(r, REDIS_UP);
    stat_add(r->c.stats, redis_connects, 1);
    if (r->c.on_up)
        r->c.on_up(r->c.arg);
    redis_weigh(r);
}

/* Whoever does not know AUTH repeats its words in the refusal, between quotes: they are not for the log. */
static void redis_on_authorized(void *arg, const struct redisReply *reply)
{
    struct redis *r = arg;
    char why[REDIS_WHY];

    if (!reply || reply->type != REDIS_REPLY_ERROR || r->state != REDIS_GREETING) {
        redis_on_greeted(r, reply);
        return;
    }
    snprintf(why, sizeof(why), "%.*s", (int)strcspn(reply->str, "'`\""), reply->str);
    redis_give_up(r, why);
}

static void redis_greet(struct redis *r)
{
    const struct redis_uri *u = &r->c.uri;
    struct str auth[3] = {STR("AUTH"), str_of(u->user), str_of(u->password)};
    struct str select[2] = {STR("SELECT")};
    bool has_user = *u->user != '\0', is_sent = true;
    char number[8];

    if (*u->password && !has_user)
        auth[1] = auth[2];
    if (*u->password)
        is_sent = redis_put(r, auth, has_user ? 3 : 2, redis_on_authorized, r);
    snprintf(number, sizeof(number), "%u", u->database);
    select[1] = str_of(number);
    if (is_sent && u->database)
        is_sent = redis_put(r, select, 2, redis_on_greeted, r);
    /* The last one, whose answer also says that Redis has loaded its data. */
    if (is_sent)
        is_sent = redis_put(r, &STR("PING"), 1, redis_on_greeted, r);
    if (!is_sent)
        redis_give_up(r, "the greeting cannot be sent");
}

/* -- subscriptions ------------------------------------------------------------------------------------ */

static void redis_on_message(redisAsyncContext *ctx, void *reply, void *arg)
{
    struct redis_call *call = arg;
    struct redis *r = call->redis;

    if (!reply || ctx != r->ctx)
        return;
    r->heard_us = clock_us();
    call->done(call->arg, reply);
}

bool redis_subscribe(struct redis *r, struct str channel, redis_done done, void *arg)
{
    const char *words[2] = {"SUBSCRIBE", channel.p};
    size_t lengths[2] = {9, channel.n};
    struct redis_call *call = &r->channels[r->channel_count];

    check(r->channel_count < REDIS_CHANNELS);
    if (r->state != REDIS_UP)
        return false;
    r->channel_count++;
    *call = (struct redis_call){r, done, arg};
    return redisAsyncCommandArgv(r->ctx, redis_on_message, call, 2, words, lengths) == REDIS_OK;
}

struct str redis_message(const struct redisReply *reply)
{
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 3 ||
        !str_eq(redis_text(reply->element[0]), STR("message")))
        return (struct str){0};
    return redis_text(reply->element[2]);
}

/* -- open and close ----------------------------------------------------------------------------------- */

struct redis *redis_open(const struct redis_config *c)
{
    struct redis *r = calloc(1, sizeof(*r));

    check(r);
    r->c = *c;
    r->random = ((uint64_t)getpid() << 32 ^ clock_us() ^ (uintptr_t)r) | 1;
    event_assign(&r->readable, c->base, -1, 0, redis_on_readable, r);
    event_assign(&r->writable, c->base, -1, 0, redis_on_writable, r);
    event_assign(&r->timer, c->base, -1, 0, redis_on_timer, r);
    redis_look(r);
    return r;
}

void redis_close(struct redis *r)
{
    redisAsyncContext *ctx;

    if (!r)
        return;
    ctx = r->ctx;
    if (r->state == REDIS_LOOKING)
        event_del(&r->named);
    event_del(&r->timer);
    r->ctx = NULL;
    r->state = REDIS_DOWN;
    if (r->is_away)
        atomic_fetch_sub(&r->c.pulse->away, 1);
    if (ctx) {
        ctx->data = NULL;
        redis_unhook(r);
        redisAsyncFree(ctx);
    }
    pg_names_drop(r->names);
    free(r);
}
