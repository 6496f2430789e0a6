/*
 * One key for each request, prefix:create:HASH over user and body, XXH3 of 128 bits: two bodies that
 * collide by chance do not happen, and who makes two collide on purpose meets his own runs only.
 *
 *   absent            the first: the key is made, empty, for as long as its statements may take
 *   empty             the first is under way somewhere: 503, and the client comes again
 *   an answer         is answered
 *
 * When the first fails the key goes. kill -9 between the commit and the answer's being kept leaves the
 * empty key until it expires, and then a run that nobody knows of, as without this. Redis away: likewise.
 */
#include "gateway/peers/replay.h"

#include <inttypes.h>
#include <xxhash.h>

#include "gateway/http/reply.h"
#include "gateway/peers/peers.h"
#include "gateway/peers/redis.h"
#include "gateway/worker.h"
#include "schema/errors.h"

enum { REPLAY_BYTES = 65536 }; /* of an answer; a longer one is not kept */

#define REPLAY_SCRIPT                                 \
    "local answer = redis.call('GET', KEYS[1])\n"     \
    "if answer then return answer end\n"              \
    "redis.call('SET', KEYS[1], '', 'PX', ARGV[1])\n" \
    "return 1"

/* How long the first may be under way: two statements (api_run.c), each for sql_timeout. */
enum { REPLAY_STATEMENTS = 2 };

struct replay {
    struct str key;
    req_step next;
    struct peers_said said;
};

static struct str replay_key(struct req *r)
{
    struct str user = req_user(r);
    XXH3_state_t *state = XXH3_createState();
    XXH128_hash_t h;

    check(state);
    XXH3_128bits_reset(state);
    XXH3_128bits_update(state, user.p, user.n);
    XXH3_128bits_update(state, "", 1);
    if (r->scope.mark) /* with its end: no two words run into each other */
        XXH3_128bits_update(state, r->scope.workspace, strlen(r->scope.workspace) + 1);
    XXH3_128bits_update(state, r->input.body.p, r->input.body.n);
    h = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return peers_key(r->worker->peers, &r->arena, "create",
                     arena_printf(&r->arena, "%016" PRIx64 "%016" PRIx64, (uint64_t)h.high64,
                                  (uint64_t)h.low64));
}

static void replay_on_done(void *arg, const struct redisReply *reply)
{
    (void)arg, (void)reply; /* what is not kept is made again */
}

static void replay_send(struct req *r, const struct str *words, unsigned n)
{
    struct peers *p = r->worker->peers;

    if (!p || !redis_send(peers_redis(p), words, n, replay_on_done, NULL))
        stat_add(r->worker->stats, redis_skipped, 1);
}

/* Nothing was made, as far as is known: the next one may. */
static err_t replay_failed(struct req *r, err_t e, struct fail *f)
{
    struct str words[] = {STR("DEL"), r->peers.replay->key};

    (void)f;
    replay_send(r, words, 2);
    return e;
}

static err_t replay_answered(struct req *r, struct fail *f)
{
    const struct peers_said *said = &r->peers.replay->said;
    req_step next = r->peers.replay->next;

    if (said->is_there && said->text.p) {
        stat_add(r->worker->stats, replays, 1);
        if (said->text.n)
            return reply_text(r, 200, "application/json", said->text);
        return fail(f, ERR_UNAVAILABLE, "The same request is under way; send it again.");
    }
    if (said->is_there)
        r->caught = replay_failed;
    else
        r->peers.replay = NULL;
    return next(r, f);
}

err_t replay_begin(struct req *r, req_step next)
{
    const struct worker *w = r->worker;
    struct arena *a = &r->arena;

    if (w->settings->create_replay_window == 0 || !w->peers)
        return next(r, r->fail);
    r->peers.replay = arena_zalloc(a, sizeof(*r->peers.replay));
    r->peers.replay->key = replay_key(r);
    r->peers.replay->next = next;
    struct str words[] = {
        STR("EVAL"), STR(REPLAY_SCRIPT), STR("1"), r->peers.replay->key,
        sql_i64(a, (int64_t)(REPLAY_STATEMENTS * w->settings->sql_timeout / 1000 + 1000))};

    return peers_command(r, words, array_len(words), &r->peers.replay->said, replay_answered);
}

void replay_keep(struct req *r)
{
    struct str answer = buf_str(&r->reply.body);
    uint64_t ms = r->worker->settings->create_replay_window / 1000;

    if (!r->peers.replay)
        return;
    struct str words[] = {STR("SET"), r->peers.replay->key, answer, STR("PX"),
                          sql_i64(&r->arena, (int64_t)(ms ? ms : 1))};

    if (answer.n > 0 && answer.n <= REPLAY_BYTES)
        replay_send(r, words, array_len(words));
    else
        (void)replay_failed(r, OK, NULL);
}
