/*
 * Buckets in Redis, and a little of each here.
 *
 * A round trip for each write would double what Redis has to do, so a pod that asks is given LEASE_PARTS
 * of a second's points beyond what the request costs, when the bucket has them, and spends those by
 * itself. They are taken out of the bucket before they are spent: pods together never let more through than
 * limit and burst allow; at most a fiftieth of a second a pod lies about unused. A bucket that is empty is
 * not asked again until it may have something.
 *
 * Without Redis the table here is the bucket, filled by the clock: each process lets through the limit.
 * Changing over, a bucket keeps what it has. BUCKETS_MAX of them; then all are forgotten, which gives each
 * a full bucket once more.
 *
 * Time is Redis' own for the shared bucket, so pods' clocks do not matter.
 */
#include "gateway/peers/rate.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/idmap.h"
#include "gateway/http/reply.h"
#include "gateway/peers/peers.h"
#include "gateway/peers/redis.h"
#include "gateway/pod.h"
#include "gateway/worker.h"
#include "schema/errors.h"

enum { BUCKETS_MAX = 65536, LEASE_PARTS = 50 };

/* What it gives, which may be more than it had, and else when to ask again, in microseconds. */
#define RATE_SCRIPT                                                                           \
    "local t = redis.call('TIME')\n"                                                          \
    "local now = t[1] * 1000000 + t[2]\n"                                                     \
    "local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])\n"                              \
    "local cost, more = tonumber(ARGV[3]), tonumber(ARGV[4])\n"                               \
    "local b = redis.call('HMGET', KEYS[1], 'tokens', 'at')\n"                                \
    "local tokens = burst\n"                                                                  \
    "if b[1] then\n"                                                                          \
    "  tokens = math.min(burst, tonumber(b[1]) + math.max(0, now - b[2]) * rate / 1000000)\n" \
    "end\n"                                                                                   \
    "local given, wait = 0, 0\n"                                                              \
    "if tokens >= 1 then\n"                                                                   \
    "  given = cost + math.floor(math.max(0, math.min(more, tokens - cost)))\n"               \
    "  tokens = tokens - given\n"                                                             \
    "else\n"                                                                                  \
    "  wait = math.ceil((1 - tokens) * 1000000 / rate)\n"                                     \
    "end\n"                                                                                   \
    "redis.call('HSET', KEYS[1], 'tokens', string.format('%.6f', tokens), 'at',"              \
    " string.format('%.0f', now))\n"                                                          \
    "redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) * 1000 / rate) + 1000)\n"      \
    "return {given, wait}"

struct bucket {
    double tokens;   /* may be negative: charged in advance */
    uint64_t at_us;  /* when it was filled last, without Redis */
    uint64_t dry_us; /* the shared one has nothing until then */
};

struct rate {
    pthread_mutex_t lock;
    struct idmap map; /* key to index */
    struct arena keys;
    struct bucket buckets[BUCKETS_MAX];
};

/* What a request is judged by. */
struct rate_call {
    struct str key;
    uint64_t limit, burst, cost;
    req_step next;
    struct peers_said said;
};

enum rate_verdict { RATE_PASS, RATE_ASK, RATE_OVER };

struct rate *rate_new(void)
{
    struct rate *t = calloc(1, sizeof(*t));

    check(t && pthread_mutex_init(&t->lock, NULL) == 0);
    idmap_init(&t->map);
    arena_init(&t->keys, 4096);
    return t;
}

void rate_free(struct rate *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->lock);
    idmap_fini(&t->map);
    arena_fini(&t->keys);
    free(t);
}

/* Under the lock. */
static struct bucket *rate_bucket(struct rate *t, const struct rate_call *c, bool is_shared,
                                  uint64_t now_us)
{
    const uint64_t *index = idmap_get(&t->map, c->key);
    struct bucket *b;
    bool is_new;
    size_t n;

    if (index)
        return &t->buckets[*index];
    if (idmap_count(&t->map) == BUCKETS_MAX) {
        idmap_reset(&t->map);
        arena_reset(&t->keys);
    }
    n = idmap_count(&t->map);
    *idmap_put(&t->map, arena_dup(&t->keys, c->key), &is_new) = n;
    b = &t->buckets[n];
    *b = (struct bucket){.tokens = is_shared ? 0 : (double)c->burst, .at_us = now_us};
    return b;
}

static enum rate_verdict rate_take(struct rate *t, const struct rate_call *c, bool is_shared,
                                   uint64_t now_us, uint64_t *wait_us)
{
    enum rate_verdict verdict = RATE_PASS;
    struct bucket *b;

    pthread_mutex_lock(&t->lock);
    b = rate_bucket(t, c, is_shared, now_us);
    if (now_us > b->at_us) { /* another worker's clock reading may be ahead */
        if (!is_shared)
            b->tokens += (double)(now_us - b->at_us) * (double)c->limit / 1e6;
        b->at_us = now_us;
    }
    if (b->tokens > (double)c->burst)
        b->tokens = (double)c->burst;
    if (b->tokens >= (is_shared ? (double)c->cost : 1)) {
        b->tokens -= (double)c->cost;
    } else if (!is_shared) {
        *wait_us = (uint64_t)((1 - b->tokens) * 1e6 / (double)c->limit);
        verdict = RATE_OVER;
    } else if (now_us < b->dry_us) {
        *wait_us = b->dry_us - now_us;
        verdict = RATE_OVER;
    } else {
        verdict = RATE_ASK;
    }
    pthread_mutex_unlock(&t->lock);
    return verdict;
}

/* What Redis gave beyond the request, or until when it has nothing. */
static void rate_learn(struct rate *t, const struct rate_call *c, uint64_t now_us)
{
    struct bucket *b;

    pthread_mutex_lock(&t->lock);
    b = rate_bucket(t, c, true, now_us);
    if (c->said.numbers[0] > 0)
        b->tokens += (double)c->said.numbers[0] - (double)c->cost;
    else
        b->dry_us = now_us + (uint64_t)c->said.numbers[1];
    pthread_mutex_unlock(&t->lock);
}

static err_t rate_refuse(struct req *r, const struct rate_call *c, uint64_t wait_us, struct fail *f)
{
    stat_add(r->worker->stats, refused_rate, 1);
    r->reply.retry_s = 1 + (unsigned)(wait_us < 3600000000u ? wait_us / 1000000 : 3600);
    return fail(f, ERR_RATE, "More than %llu points a second (rate_limit); nothing was accepted.",
                (unsigned long long)c->limit);
}

static err_t rate_judge(struct req *r, struct rate_call *c, bool is_shared, struct fail *f);

static err_t rate_answered(struct req *r, struct fail *f)
{
    struct rate_call *c = r->peers.rate;
    struct worker *w = r->worker;

    if (!c->said.is_there) /* Redis does not answer: each pod by itself */
        return rate_judge(r, c, false, f);
    rate_learn(w->pod->rate, c, w->now_us);
    if (c->said.numbers[0] > 0)
        return c->next(r, f);
    return rate_refuse(r, c, (uint64_t)c->said.numbers[1], f);
}

static err_t rate_ask(struct req *r, struct rate_call *c)
{
    struct arena *a = &r->arena;
    struct str words[] = {STR("EVAL"),
                          STR(RATE_SCRIPT),
                          STR("1"),
                          peers_key(r->worker->peers, a, "rate", c->key),
                          sql_i64(a, (int64_t)c->limit),
                          sql_i64(a, (int64_t)c->burst),
                          sql_i64(a, (int64_t)c->cost),
                          sql_i64(a, (int64_t)(c->limit / LEASE_PARTS))};

    return peers_command(r, words, array_len(words), &c->said, rate_answered);
}

static err_t rate_judge(struct req *r, struct rate_call *c, bool is_shared, struct fail *f)
{
    uint64_t wait_us = 0;

    switch (rate_take(r->worker->pod->rate, c, is_shared, r->worker->now_us, &wait_us)) {
    case RATE_PASS: return c->next(r, f);
    case RATE_ASK: return rate_ask(r, c);
    default: return rate_refuse(r, c, wait_us, f);
    }
}

err_t rate_check(struct req *r, int32_t experiment_id, uint64_t points, req_step next)
{
    const struct worker *w = r->worker;
    const struct settings *s = w->settings;
    struct rate_call *c;

    if (s->rate_limit == 0)
        return next(r, r->fail);
    c = r->peers.rate = arena_zalloc(&r->arena, sizeof(*c));
    c->limit = s->rate_limit;
    c->burst = s->rate_burst ? s->rate_burst : 2 * s->rate_limit;
    c->cost = points ? points : 1;
    c->next = next;
    c->key = s->rate_limit_by[0] == 'u' ? arena_printf(&r->arena, "user:%.*s", STR_ARG(req_user(r)))
                                        : arena_printf(&r->arena, "experiment:%d", experiment_id);
    return rate_judge(r, c, w->peers && redis_is_good(peers_redis(w->peers)), r->fail);
}
