/*
 * The worker's two connections and three timers.
 *
 *   turn    active when something has gathered: libevent runs it behind the callbacks of this turn, so
 *           a thousand writes that one fdatasync has made durable are one command to Redis
 *   bound   the deadline of the first request that waits for Redis; redis_wait after it began
 *   again   every AGAIN_US while reads wait for another pod's flusher: a question may get lost
 *
 * A connection that is not good any more lets all go on who wait for it; what was not told is owed
 * (peers_share.c). Channels, all below redis_prefix:
 *
 *   news          what changed (news.c); every process listens
 *   ask:QUEUE     POD and pairs of partition and position; those who flush the queue listen
 *   pod:POD       QUEUE and pairs: PostgreSQL has these now; that process listens
 */
#include "gateway/peers/peers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "gateway/peers/news.h"
#include "gateway/peers/peers_in.h"

/* -- names ------------------------------------------------------------------------------------------ */

struct str peers_key(const struct peers *p, struct arena *a, const char *kind, struct str name)
{
    struct str prefix = str_of(p->pod->settings->redis_prefix), middle = str_of(kind);
    size_t n = prefix.n + middle.n + name.n + (name.n ? 2 : 1);
    char *text = arena_alloc(a, n + 1);

    snprintf(text, n + 1, "%.*s:%.*s%s", STR_ARG(prefix), STR_ARG(middle), name.n ? ":" : "");
    if (name.n)
        memcpy(text + n - name.n, name.p, name.n);
    return (struct str){text, n};
}

struct str peers_name(const struct peers *p, struct arena *a, unsigned partition)
{
    char *text = arena_alloc(a, MARKS_NAME);
    int n = snprintf(text, MARKS_NAME, "%s/%u", queue_id(p->pod->queue), partition);

    return (struct str){text, (size_t)n};
}

bool peers_next_pair(struct str *text, unsigned *partition, pos_t *pos)
{
    uint64_t number;

    if (!str_to_u64(str_cut(text, ' '), &number) || number >= QUEUE_PARTITIONS_MAX)
        return false;
    *partition = (unsigned)number;
    return str_to_u64(str_cut(text, ' '), pos);
}

void newest_raise(struct newest *n, unsigned partition, pos_t pos)
{
    bool is_known = n->mask >> partition & 1;

    if (!is_known || n->pos[partition] < pos)
        n->pos[partition] = pos;
    n->mask |= (uint64_t)1 << partition;
}

struct redis *peers_redis(struct peers *p)
{
    return p->voice;
}

/* -- those who wait for Redis ------------------------------------------------------------------------- */

static void peers_set(struct event *e, uint64_t at_us)
{
    uint64_t now_us = clock_us(), us = at_us > now_us ? at_us - now_us : 0;
    struct timeval tv = {(time_t)(us / 1000000), (suseconds_t)(us % 1000000)};

    check(event_add(e, &tv) == 0);
}

void peers_park(struct req *r, enum req_park where, req_step next)
{
    struct worker *w = r->worker;
    uint64_t until_us = w->now_us + w->settings->redis_wait;

    req_park(r, where, until_us, next);
    if (!event_pending(w->peers->bound, EV_TIMEOUT, NULL))
        peers_set(w->peers->bound, until_us);
}

/* Those whose time is over, or all, go on. Returns the first deadline of the others. */
static uint64_t peers_let_go(struct worker *w, struct parked *l, bool all)
{
    uint64_t first_us = UINT64_MAX;
    struct parked_walk walk = req_walk(l);
    struct req *r;

    while ((r = req_walk_next(&walk))) {
        if (all || r->wait_until_us <= w->now_us) {
            stat_add(w->stats, redis_skipped, 1);
            req_wake(r);
        } else if (r->wait_until_us < first_us) {
            first_us = r->wait_until_us;
        }
    }
    return first_us;
}

static void peers_let_all_go(struct peers *p, bool all)
{
    struct worker *w = p->w;
    struct parked *lists[] = {&w->sharing, &w->looks_asked, &w->looks_waiting, &w->commands};
    uint64_t first_us = UINT64_MAX;

    for (unsigned i = 0; i < array_len(lists); i++) {
        uint64_t us = peers_let_go(w, lists[i], all);

        first_us = us < first_us ? us : first_us;
    }
    if (first_us < UINT64_MAX)
        peers_set(p->bound, first_us);
}

static void peers_on_bound(evutil_socket_t fd, short what, void *arg)
{
    struct peers *p = arg;

    (void)fd, (void)what;
    worker_touch(p->w);
    peers_let_all_go(p, false);
}

void peers_plan(struct peers *p)
{
    event_active(p->turn, EV_TIMEOUT, 0);
}

static void peers_on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct peers *p = arg;

    (void)fd, (void)what;
    worker_touch(p->w);
    share_wake(p);
    share_flush(p);
    look_flush(p);
    ask_flush(p);
}

static void peers_on_again(evutil_socket_t fd, short what, void *arg)
{
    struct peers *p = arg;

    (void)fd, (void)what;
    worker_touch(p->w);
    ask_again(p);
    ask_flush(p);
}

/* -- the connections ------------------------------------------------------------------------------------ */

static void peers_on_up(void *arg)
{
    share_on_up(arg);
}

static void peers_on_good(void *arg, bool is_good)
{
    struct peers *p = arg;

    worker_touch(p->w);
    if (!is_good) {
        peers_let_all_go(p, true);
        return;
    }
    news_settle(p->w);
    peers_plan(p);
}

static void peers_on_news(void *arg, const struct redisReply *reply)
{
    struct peers *p = arg;
    struct str text = redis_message(reply);

    worker_touch(p->w);
    if (text.p)
        news_on_message(p->w, text);
}

static void peers_on_question(void *arg, const struct redisReply *reply)
{
    struct peers *p = arg;
    struct str text = redis_message(reply);

    worker_touch(p->w);
    if (text.p)
        asked_on_question(p, text);
}

static void peers_on_answer(void *arg, const struct redisReply *reply)
{
    struct peers *p = arg;
    struct str text = redis_message(reply);

    worker_touch(p->w);
    if (text.p)
        asked_on_answer(p, text);
}

static void peers_on_ear_up(void *arg)
{
    struct peers *p = arg;
    struct str own = str_of(p->pod->id), queue = str_of(queue_id(p->pod->queue));
    bool is_sent;

    arena_reset(&p->scratch);
    is_sent =
        redis_subscribe(p->ear, peers_key(p, &p->scratch, "news", STR("")), peers_on_news, p) &&
        redis_subscribe(p->ear, peers_key(p, &p->scratch, "pod", own), peers_on_answer, p);
    if (is_sent && p->w->settings->flushers > 0)
        is_sent =
            redis_subscribe(p->ear, peers_key(p, &p->scratch, "ask", queue), peers_on_question, p);
    if (!is_sent)
        log_warn("", "redis takes no subscription", "%s", "");
    news_miss(p->w); /* since when we heard nothing */
}

static void peers_on_published(void *arg, const struct redisReply *reply)
{
    (void)arg;
    if (reply && reply->type == REDIS_REPLY_ERROR)
        log_warn("", "redis refuses a message", "why=%s", reply->str);
}

bool peers_publish(struct peers *p, const char *kind, struct str name, struct str text)
{
    struct arena a;
    bool is_sent;

    arena_init(&a, 256);
    struct str words[] = {STR("PUBLISH"), peers_key(p, &a, kind, name), text};

    is_sent = redis_send(p->voice, words, 3, peers_on_published, p);
    arena_fini(&a);
    return is_sent;
}

void peers_on_ring(struct peers *p)
{
    asked_answer(p);
}

/* Whether Redis still refuses is known by trying. */
void peers_on_tick(struct peers *p)
{
    if (p->debt.mask && redis_is_up(p->voice))
        share_flush(p);
}

/* -- life ------------------------------------------------------------------------------------------------ */

struct peers *peers_open(struct worker *w)
{
    struct pod *pod = w->pod;
    struct peers *p;
    struct redis_config c = {.base = w->base,
                             .uri = pod->uri,
                             .tls = pod->tls,
                             .pulse = &pod->pulse,
                             .timeout_us = w->settings->redis_timeout,
                             .wait_us = w->settings->redis_wait,
                             .stats = w->stats,
                             .on_up = peers_on_up,
                             .on_good = peers_on_good};

    if (!pod->has_redis)
        return NULL;
    p = calloc(1, sizeof(*p));
    check(p);
    p->w = w;
    p->pod = pod;
    p->skips = fault_switch("SLUICE_TEST_SKIP_SHARE");
    arena_init(&p->scratch, 16384);
    arena_init(&p->ask_arena, 1024);
    arena_init(&p->sql_arena, 1024);
    idmap_init(&p->batch_runs);
    idmap_init(&p->wanted);
    idmap_init(&p->questions);
    p->turn = event_new(w->base, -1, 0, peers_on_turn, p);
    p->bound = event_new(w->base, -1, 0, peers_on_bound, p);
    p->again = event_new(w->base, -1, 0, peers_on_again, p);
    check(p->turn && p->bound && p->again);
    c.arg = p;
    if (w->index == 0 && !queue_is_shared(pod->queue))
        p->replayed = queue_appended(pod->queue);
    p->voice = redis_open(&c);
    c.on_up = peers_on_ear_up;
    c.on_good = NULL;
    if (w->index == 0)
        p->ear = redis_open(&c);
    return p;
}

void peers_close(struct peers *p)
{
    if (!p)
        return;
    redis_close(p->ear);
    redis_close(p->voice);
    event_free(p->turn);
    event_free(p->bound);
    event_free(p->again);
    share_fini(p);
    for (unsigned i = 0; i < p->ask_cap; i++)
        buf_fini(&p->asks[i].text);
    free(p->asks);
    idmap_fini(&p->batch_runs);
    idmap_fini(&p->wanted);
    idmap_fini(&p->questions);
    arena_fini(&p->scratch);
    arena_fini(&p->ask_arena);
    arena_fini(&p->sql_arena);
    free(p);
}
