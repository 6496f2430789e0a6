/*
 * doctor_redis: Redis as a pod would find it: reachable, how far away, and does it keep what it is told?
 *
 * One connection of the kind that workers have (peers/redis.h), on a loop of its own that ends when
 * the answers are there or the time is over. Positions and replies have an expiry, so every policy of
 * maxmemory but noeviction may take them before their time; a read of another pod's points would then
 * not know that it has to wait.
 */
#include "gateway/command/doctor.h"

#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "gateway/http/client_tls.h"
#include "gateway/peers/redis.h"

enum { REDIS_SLOW_US = 5000, REDIS_POLICY = 32 };

struct look {
    struct event_base *base;
    struct redis *redis;
    uint64_t sent_us;
    uint64_t took_us;          /* of a PING; 0 = not answered */
    bool is_limited;           /* maxmemory is not 0 */
    char policy[REDIS_POLICY]; /* "" = it did not say */
};

/* The value of a line `name:value` of INFO. */
static struct str info_value(struct str text, struct str name)
{
    while (text.n) {
        struct str line = str_cut(&text, '\n');
        struct str key = str_cut(&line, ':');

        if (str_eq(key, name))
            return str_trim(line);
    }
    return STR("");
}

static void look_on_info(void *arg, const struct redisReply *reply)
{
    struct look *l = arg;

    if (reply && redis_is_fine(l->redis, reply)) {
        struct str text = redis_text(reply);
        struct str most = info_value(text, STR("maxmemory"));

        str_to_cstr(info_value(text, STR("maxmemory_policy")), l->policy, sizeof(l->policy));
        l->is_limited = most.n && !str_eq(most, STR("0"));
    }
    event_base_loopbreak(l->base);
}

static void look_on_ping(void *arg, const struct redisReply *reply)
{
    struct look *l = arg;
    const struct str info[] = {STR("INFO"), STR("memory")};

    if (reply)
        l->took_us = clock_us() - l->sent_us;
    if (!reply || !redis_send(l->redis, info, 2, look_on_info, l))
        event_base_loopbreak(l->base);
}

static void look_on_up(void *arg)
{
    struct look *l = arg;
    const struct str ping[] = {STR("PING")};

    l->sent_us = clock_us();
    if (!redis_send(l->redis, ping, 1, look_on_ping, l))
        event_base_loopbreak(l->base);
}

/* Connects, asks, waits for the answers, three times redis_timeout at most. */
static void look_at(struct look *l, const struct settings *s, const struct redis_uri *uri,
                    struct client_tls *tls)
{
    struct redis_pulse pulse = {0};
    struct stats *stats = stats_new();
    uint64_t most_us = 3 * s->redis_timeout;
    const struct timeval most = {.tv_sec = (time_t)(most_us / 1000000),
                                 .tv_usec = (suseconds_t)(most_us % 1000000)};
    struct redis_config c = {.base = l->base,
                             .uri = *uri,
                             .tls = tls,
                             .pulse = &pulse,
                             .timeout_us = s->redis_timeout,
                             .wait_us = s->redis_timeout,
                             .stats = stats,
                             .on_up = look_on_up,
                             .arg = l};

    l->redis = redis_open(&c);
    event_base_loopexit(l->base, &most);
    event_base_dispatch(l->base);
    redis_close(l->redis);
    stats_free(stats);
}

static enum verdict look_judge(struct doctor *d, const struct look *l, const struct redis_uri *uri)
{
    buf_printf(&d->saw, "%s port %u, %s TLS", uri->host, uri->port,
               uri->has_tls ? "with" : "without");
    if (l->took_us == 0) {
        buf_add_str(&d->saw, STR(": no answer"));
        buf_add_str(&d->remedy,
                    STR("look at redis_uri, its password, redis_ca. Without it all "
                        "goes on, and reads of what other pods accepted may be behind"));
        return DOCTOR_WARN;
    }
    buf_printf(&d->saw, ", a round trip takes %.1f ms, maxmemory-policy %s",
               (double)l->took_us / 1000, l->policy[0] ? l->policy : "not known");
    if (l->policy[0] && strcmp(l->policy, "noeviction") != 0)
        buf_printf(&d->remedy,
                   "it may forget positions before their time, and reads would be behind%s: set "
                   "maxmemory-policy noeviction",
                   l->is_limited ? "" : " once maxmemory is set");
    else if (l->took_us > REDIS_SLOW_US)
        buf_add_str(&d->remedy, STR("reads that ask it wait for that: run it nearer"));
    return buf_len(&d->remedy) ? DOCTOR_WARN : DOCTOR_OK;
}

enum verdict doctor_redis(struct doctor *d)
{
    struct look l = {0};
    struct client_tls *tls = NULL;
    struct redis_uri uri;
    struct arena arena;
    struct fail f;
    enum verdict v;

    if (d->settings->redis_uri[0] == '\0')
        return doctor_not_configured(d);
    fail_init(&f, NULL);
    arena_init(&arena, 1024);
    if (!redis_uri_parse(str_of(d->settings->redis_uri), &arena, &uri)) {
        buf_add_str(&d->saw, STR("redis_uri is none"));
        v = DOCTOR_FAIL;
    } else if (uri.has_tls && client_tls_open("redis_ca", d->settings->redis_ca, &tls, &f)) {
        buf_add_str(&d->saw, f.text);
        v = DOCTOR_FAIL;
    } else {
        l.base = event_base_new();
        check(l.base);
        look_at(&l, d->settings, &uri, tls);
        event_base_free(l.base);
        v = look_judge(d, &l, &uri);
    }
    client_tls_close(tls);
    arena_fini(&arena);
    return v;
}
