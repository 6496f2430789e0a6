/*
 * Where points lie, told to Redis between the moment when they are durable and their answer.
 *
 * Keys, all below redis_prefix; each is a sorted set from QUEUE/PARTITION to a position, raised with
 * ZADD GT, because two workers may tell of one run in either order:
 *
 *   run:RUN    the end of the run's newest points; forgotten redis_position_ttl after the last of them
 *   marks:Q    the end of the newest points of each partition of the queue: searches wait for these
 *   queues     from each queue to the time of its last points, by Redis' clock
 *   floors     positions that were not told in time: reads of every run wait for these
 *
 * All are forgotten redis_position_ttl after the last that was told there, so a pod that is gone for good
 * is waited for no longer than that.
 *
 * One command holds what a turn of the loop has made durable, up to SHARE_RUNS runs, each once. The
 * script's text goes along each time, 0.6 kB: its hash would have to be loaded anew whenever Redis comes
 * back empty.
 *
 * Debt. What Redis did not take (away, slow, full, read-only) is owed as one position for each partition,
 * and told as a floor with the next command that is sent; a connection that comes back up owes the
 * newest positions too, since Redis may have forgotten everything. So reads elsewhere may miss points
 * only from when Redis was not good until it is good again.
 *
 * Nobody knows what a journal holds from before a start when Redis has forgotten it too: marks:Q is gone
 * then, and all of the journal is owed, as it is in our own run table (runs_raise_floor). Only then, because
 * PostgreSQL has no such position of a partition without entries: only we can say that it is reached.
 *
 * kill -9 between durable and told: nobody was answered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/peers/peers_in.h"
#include "schema/errors.h"

#define SHARE_SCRIPT                                                              \
    "local a = 5\n"                                                               \
    "local function raise(key, n)\n"                                              \
    "  for i = 1, n do\n"                                                         \
    "    redis.call('ZADD', key, 'GT', ARGV[a + 1], ARGV[a])\n"                   \
    "    a = a + 2\n"                                                             \
    "  end\n"                                                                     \
    "  redis.call('PEXPIRE', key, ARGV[1])\n"                                     \
    "end\n"                                                                       \
    "for i = 4, #KEYS do raise(KEYS[i], 1) end\n"                                 \
    "raise(KEYS[1], ARGV[3])\n"                                                   \
    "if ARGV[4] ~= '0' then raise(KEYS[2], ARGV[4]) end\n"                        \
    "local now = redis.call('TIME')[1]\n"                                         \
    "redis.call('ZADD', KEYS[3], now, ARGV[2])\n"                                 \
    "redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - ARGV[1] / 1000 - 1)\n" \
    "redis.call('PEXPIRE', KEYS[3], ARGV[1])\n"                                   \
    "return 1"

enum { SHARE_RUNS = 200 }; /* in one command */
enum { SHARE_WORDS = 3 + 3 + SHARE_RUNS + 4 + 2 * SHARE_RUNS + 4 * QUEUE_PARTITIONS_MAX };

/* Points of one entry, until they are shared. In the request's arena. */
struct share {
    struct share *next;
    pos_t end;
    struct run_id run;
};

/* One command that tells positions, gathered in one turn of the loop. */
struct share_batch {
    struct peers *peers;
    struct share_batch *next_free;
    uint64_t seq;
    unsigned count;
    struct newest newest; /* of what is in it */
    struct newest debt;   /* of what Redis did not get earlier */
    struct run_id runs[SHARE_RUNS];
    unsigned partitions[SHARE_RUNS];
    pos_t pos[SHARE_RUNS];
};

/* -- what is owed ------------------------------------------------------------------------------------ */

static void newest_add(struct newest *to, const struct newest *from)
{
    for (uint64_t rest = from->mask; rest; rest &= rest - 1) {
        unsigned partition = (unsigned)__builtin_ctzll(rest);

        newest_raise(to, partition, from->pos[partition]);
    }
}

/* Owes what is replayed and not in PostgreSQL yet. */
static void share_on_marks(void *arg, const struct redisReply *reply)
{
    struct peers *p = arg;

    worker_touch(p->w);
    if (!reply || reply->type != REDIS_REPLY_INTEGER || reply->integer != 0)
        return;
    for (unsigned partition = 0; partition < QUEUE_PARTITIONS; partition++) {
        if (queue_flushed(p->pod->queue, partition) < p->replayed)
            newest_raise(&p->debt, partition, p->replayed);
    }
    peers_plan(p);
}

static void share_ask_marks(struct peers *p)
{
    struct str words[2] = {STR("EXISTS")};

    if (p->replayed == 0 || queue_backlog_points(p->pod->queue) == 0 ||
        queue_committed_all(p->pod->queue) >= p->replayed)
        return;
    arena_reset(&p->scratch);
    words[1] = peers_key(p, &p->scratch, "marks", str_of(queue_id(p->pod->queue)));
    if (!redis_send(p->voice, words, 2, share_on_marks, p))
        log_warn("", "redis was not asked what it has forgotten", "%s", "");
}

void share_on_up(struct peers *p)
{
    share_ask_marks(p);
    for (uint64_t rest = p->newest.mask; rest; rest &= rest - 1) {
        unsigned partition = (unsigned)__builtin_ctzll(rest);
        pos_t pos = p->newest.pos[partition];

        if (queue_flushed(p->pod->queue, partition) < pos)
            newest_raise(&p->debt, partition, pos);
    }
}

/* -- batches ------------------------------------------------------------------------------------------- */

static struct share_batch *share_batch(struct peers *p)
{
    struct share_batch *b = p->batch;

    if (b)
        return b;
    b = p->free;
    if (b)
        p->free = b->next_free;
    else
        b = malloc(sizeof(*b));
    check(b);
    b->peers = p;
    b->seq = ++p->seq;
    b->count = 0;
    b->newest.mask = b->debt.mask = 0;
    idmap_reset(&p->batch_runs);
    return p->batch = b;
}

void share_wake(struct peers *p)
{
    struct req *r;

    while ((r = p->w->sharing.first) && r->peers.share_seq <= p->told_seq)
        req_wake(r);
}

static void share_end(struct peers *p, struct share_batch *b, bool is_told)
{
    if (!is_told) {
        newest_add(&p->debt, &b->newest);
        newest_add(&p->debt, &b->debt);
    }
    p->told_seq = b->seq > p->told_seq ? b->seq : p->told_seq;
    b->next_free = p->free;
    p->free = b;
}

static void share_on_told(void *arg, const struct redisReply *reply)
{
    struct share_batch *b = arg;
    struct peers *p = b->peers;

    worker_touch(p->w);
    share_end(p, b, redis_is_fine(p->voice, reply));
    share_wake(p);
}

static unsigned share_put(struct peers *p, struct str *words, unsigned n, const struct newest *of)
{
    for (uint64_t rest = of->mask; rest; rest &= rest - 1) {
        unsigned partition = (unsigned)__builtin_ctzll(rest);

        words[n++] = peers_name(p, &p->scratch, partition);
        words[n++] = sql_i64(&p->scratch, (int64_t)of->pos[partition]);
    }
    return n;
}

static unsigned share_words(struct peers *p, struct share_batch *b, struct str *words)
{
    struct arena *a = &p->scratch;
    struct str queue = str_of(queue_id(p->pod->queue));
    struct newest marks = b->newest;
    unsigned n = 0;

    newest_add(&marks, &b->debt);
    words[n++] = STR("EVAL");
    words[n++] = STR(SHARE_SCRIPT);
    words[n++] = sql_i64(a, 3 + b->count);
    words[n++] = peers_key(p, a, "marks", queue);
    words[n++] = peers_key(p, a, "floors", STR(""));
    words[n++] = peers_key(p, a, "queues", STR(""));
    for (unsigned i = 0; i < b->count; i++)
        words[n++] = peers_key(p, a, "run", run_id_str(&b->runs[i]));
    words[n++] = sql_i64(a, (int64_t)(p->w->settings->redis_position_ttl / 1000));
    words[n++] = queue;
    words[n++] = sql_i64(a, __builtin_popcountll(marks.mask));
    words[n++] = sql_i64(a, __builtin_popcountll(b->debt.mask));
    for (unsigned i = 0; i < b->count; i++) {
        words[n++] = peers_name(p, a, b->partitions[i]);
        words[n++] = sql_i64(a, (int64_t)b->pos[i]);
    }
    n = share_put(p, words, n, &marks);
    return share_put(p, words, n, &b->debt);
}

void share_flush(struct peers *p)
{
    struct share_batch *b = p->batch;
    struct str words[SHARE_WORDS];
    unsigned n;

    if (!b && p->debt.mask && redis_is_up(p->voice))
        b = share_batch(p);
    if (!b)
        return;
    p->batch = NULL;
    b->debt = p->debt;
    p->debt.mask = 0;
    arena_reset(&p->scratch);
    n = share_words(p, b, words);
    stat_add(p->w->stats, redis_shares, b->count);
    if (redis_send(p->voice, words, n, share_on_told, b))
        return;
    share_end(p, b, false); /* who waits goes on in the next turn: a step may be on the stack */
    peers_plan(p);
}

static void share_add(struct peers *p, const struct run_id *run, unsigned partition, pos_t pos)
{
    struct share_batch *b = share_batch(p);
    uint64_t *index;
    bool is_new;

    newest_raise(&b->newest, partition, pos);
    if ((index = idmap_get(&p->batch_runs, run_id_str(run)))) {
        b->pos[*index] = b->pos[*index] > pos ? b->pos[*index] : pos;
        return;
    }
    b->runs[b->count] = *run;
    b->partitions[b->count] = partition;
    b->pos[b->count] = pos;
    *idmap_put(&p->batch_runs, run_id_str(&b->runs[b->count]), &is_new) = b->count;
    if (++b->count == SHARE_RUNS)
        share_flush(p);
}

/* -- requests -------------------------------------------------------------------------------------------- */

void share_fini(struct peers *p)
{
    free(p->batch);
    while (p->free) {
        struct share_batch *b = p->free;

        p->free = b->next_free;
        free(b);
    }
}

void peers_note(struct req *r, const struct run_id *run, pos_t end)
{
    struct share *s;

    if (!r->worker->peers)
        return;
    s = arena_alloc(&r->arena, sizeof(*s));
    *s = (struct share){.next = r->peers.shares, .end = end, .run = *run};
    r->peers.shares = s;
}

err_t peers_share(struct req *r, struct fail *f)
{
    struct peers *p = r->worker->peers;
    bool is_good = redis_is_good(p->voice);
    uint64_t last = 0;

    /* Of a stream of batches the last was waited for; in Kafka others may come later. */
    for (const struct share *s = r->peers.shares; s; s = s->next) {
        if (queue_outcome(p->pod->queue, s->end) == QUEUE_PENDING)
            return req_wait_durable(r, s->end, r->peers.next);
    }
    for (const struct share *s = r->peers.shares; s; s = s->next) {
        unsigned partition;
        pos_t pos;

        if (!queue_place(p->pod->queue, run_id_str(&s->run), s->end, &partition, &pos) || p->skips)
            continue;
        newest_raise(&p->newest, partition, pos);
        if (is_good) {
            last = share_batch(p)->seq;
            share_add(p, &s->run, partition, pos);
        } else {
            newest_raise(&p->debt, partition, pos);
        }
    }
    r->peers.shares = NULL;
    if (last == 0) {
        if (!is_good)
            stat_add(r->worker->stats, redis_skipped, 1);
        return r->peers.next(r, f);
    }
    r->peers.share_seq = last;
    peers_park(r, PARK_SHARED, r->peers.next);
    peers_plan(p);
    return OK;
}
