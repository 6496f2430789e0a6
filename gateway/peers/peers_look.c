/*
 * Where the points of a run lie, asked of Redis when a read comes; and waiting until they are in
 * PostgreSQL, whoever flushes them.
 *
 * At most one look of a worker is under way, like its query for the run table: reads that come meanwhile
 * go with the next. It asks for the sorted sets of up to LOOK_RUNS runs, for the floors, and, when a search
 * is among them, for the marks of all queues, once for all searches: 16 partitions a
 * pod, 60 kB with a hundred pods, at most once in each round trip of each worker.
 *
 * A position is reached when it is known here that PostgreSQL has it: of our own queue by the queue, of
 * another's by what was learnt (marks.c). What is not reached is asked for: a message to whoever flushes
 * that queue, who closes the window and answers when it is committed. The question is repeated
 * every AGAIN_US, and PostgreSQL is asked meanwhile, because the pod may be gone and have committed
 * before. When a question reaches nobody (PUBLISH says how many heard it), nobody flushes that queue now:
 * the read waits no longer than DEAF_US for it and then says that it may be behind. In the journal of
 * our own process there is nothing to ask: the run table knows more than Redis.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "gateway/peers/peers_in.h"
#include "schema/errors.h"

#define AGAIN_US ((uint64_t)50 * 1000)
#define DEAF_US  ((uint64_t)250 * 1000)

enum { LOOK_RUNS = 200 }; /* in one command */

/* The second key is the list of queues when there is a search. */
#define LOOK_SCRIPT                                                                    \
    "local out = {}\n"                                                                 \
    "for i, key in ipairs(KEYS) do\n"                                                  \
    "  if i == 2 and ARGV[1] ~= '' then\n"                                             \
    "    local all, since = {}, redis.call('TIME')[1] - ARGV[2]\n"                     \
    "    for _, queue in ipairs(redis.call('ZRANGEBYSCORE', key, since, '+inf')) do\n" \
    "      local set = redis.call('ZRANGE', ARGV[1] .. queue, 0, -1, 'WITHSCORES')\n"  \
    "      for j = 1, #set do all[#all + 1] = set[j] end\n"                            \
    "    end\n"                                                                        \
    "    out[i] = all\n"                                                               \
    "  else\n"                                                                         \
    "    out[i] = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES')\n"                    \
    "  end\n"                                                                          \
    "end\n"                                                                            \
    "return out"

static const struct stmt POSITIONS = {
    "peers_positions",
    "SELECT queue_id, partition, position FROM sluice.positions WHERE queue_id = ANY($1)"};

/* -- targets ----------------------------------------------------------------------------------------- */

static bool target_is_reached(const struct peers *p, const struct target *t)
{
    if (t->is_own)
        return queue_flushed(p->pod->queue, t->partition) >= t->pos;
    return marks_get(p->pod->marks, t->name) >= t->pos;
}

/* What is not ours to read is none. */
static bool target_read(const struct peers *p, struct str name, struct str score, struct target *t)
{
    struct str rest = name;
    char number[32], *end;
    uint64_t partition;
    double pos;

    t->queue = str_cut(&rest, '/');
    str_to_cstr(score, number, sizeof(number));
    pos = strtod(number, &end);
    if (!str_to_u64(rest, &partition) || partition >= QUEUE_PARTITIONS_MAX || *end || !(pos > 0) ||
        pos > 9e15 || t->queue.n == 0 || t->queue.n > QUEUE_ID_BYTES)
        return false;
    t->name = name;
    t->partition = (unsigned)partition;
    t->pos = (pos_t)pos;
    t->is_own = str_eq(t->queue, str_of(queue_id(p->pod->queue)));
    return true;
}

/* Adds what is not reached. Our own journal is known better by the run table. */
static void targets_add(struct req *r, const struct redisReply *set)
{
    struct peers *p = r->worker->peers;

    for (size_t i = 0; set->type == REDIS_REPLY_ARRAY && i + 1 < set->elements; i += 2) {
        struct target t;

        if (!target_read(p, redis_text(set->element[i]), redis_text(set->element[i + 1]), &t) ||
            (t.is_own && !queue_is_shared(p->pod->queue)) || target_is_reached(p, &t))
            continue;
        t.name = arena_dup(&r->arena, t.name);
        t.queue = str_head(t.name, t.queue.n);
        t.next = r->peers.targets;
        r->peers.targets = arena_alloc(&r->arena, sizeof(t));
        *r->peers.targets = t;
    }
}

bool peers_reached(struct req *r)
{
    while (r->peers.targets && target_is_reached(r->worker->peers, r->peers.targets))
        r->peers.targets = r->peers.targets->next;
    return r->peers.targets == NULL;
}

/* -- looks ------------------------------------------------------------------------------------------- */

err_t peers_look(struct req *r, const struct run_id *run, req_step next)
{
    struct peers *p = r->worker->peers;

    r->peers.targets = NULL;
    if (!redis_is_good(p->voice)) {
        stat_add(r->worker->stats, redis_skipped, 1);
        return next(r, r->fail);
    }
    r->peers.looks_at_all = run == NULL;
    if (run)
        r->wait_run = *run;
    stat_add(r->worker->stats, redis_looks, 1);
    peers_park(r, PARK_LOOK, next);
    peers_plan(p);
    return OK;
}

static void look_on_answer(void *arg, const struct redisReply *reply)
{
    struct peers *p = arg;
    struct worker *w = p->w;
    struct req *r;

    worker_touch(w);
    p->is_look_open = false;
    if (reply && reply->type != REDIS_REPLY_ARRAY) {
        log_warn("", "redis refuses a look", "why=%.*s", STR_ARG(redis_text(reply)));
        reply = NULL;
    }
    while ((r = w->looks_asked.first)) {
        for (unsigned i = 0; reply && i < 2; i++) {
            if (r->peers.look_at[i] < reply->elements)
                targets_add(r, reply->element[r->peers.look_at[i]]);
        }
        req_wake(r);
    }
    if (w->looks_waiting.first)
        peers_plan(p);
}

static struct str marks_prefix(struct peers *p)
{
    return peers_key(p, &p->scratch, "marks:", STR(""));
}

/* 0 floors, 1 queues when a search is among them, then runs. */
static unsigned look_words(struct peers *p, struct str *words)
{
    struct worker *w = p->w;
    bool has_search = false;
    unsigned n = 3, count = 0;

    words[n++] = peers_key(p, &p->scratch, "floors", STR(""));
    for (struct req *r = w->looks_waiting.first; r && count < LOOK_RUNS; r = r->list_next, count++)
        has_search |= r->peers.looks_at_all;
    if (has_search)
        words[n++] = peers_key(p, &p->scratch, "queues", STR(""));
    while (count-- > 0) {
        struct req *r = w->looks_waiting.first;

        r->peers.look_at[0] = 0;
        r->peers.look_at[1] = r->peers.looks_at_all ? 1 : n - 3;
        if (!r->peers.looks_at_all)
            words[n++] = peers_key(p, &p->scratch, "run", run_id_str(&r->wait_run));
        req_repark(r, PARK_LOOKED);
    }
    words[0] = STR("EVAL");
    words[1] = STR(LOOK_SCRIPT);
    words[2] = sql_i64(&p->scratch, n - 3);
    words[n++] = has_search ? marks_prefix(p) : STR("");
    words[n++] = sql_i64(&p->scratch, (int64_t)(w->settings->redis_position_ttl / 1000000 + 1));
    return n;
}

void look_flush(struct peers *p)
{
    struct str words[LOOK_RUNS + 7];
    unsigned n;

    if (p->is_look_open || !p->w->looks_waiting.first)
        return;
    arena_reset(&p->scratch);
    n = look_words(p, words);
    p->is_look_open = true;
    if (!redis_send(p->voice, words, n, look_on_answer, p))
        look_on_answer(p, NULL);
}

/* -- questions to those who flush ---------------------------------------------------------------------- */

static struct ask *ask_of(struct peers *p, struct str queue)
{
    bool is_new;
    uint64_t *index = idmap_get(&p->questions, queue);
    struct ask *a;

    if (index)
        return &p->asks[*index];
    queue = arena_dup(&p->ask_arena, queue);
    *idmap_put(&p->questions, queue, &is_new) = p->ask_count;
    if (p->ask_count == p->ask_cap) {
        p->asks = realloc(p->asks, (p->ask_cap + 8) * sizeof(*p->asks));
        check(p->asks);
        for (unsigned i = 0; i < 8; i++)
            buf_init(&p->asks[p->ask_cap++].text);
    }
    a = &p->asks[p->ask_count++];
    a->queue = queue;
    buf_reset(&a->text);
    buf_printf(&a->text, "%s", p->pod->id);
    return a;
}

static void ask_add(struct peers *p, const struct target *t)
{
    uint64_t *pos = idmap_get(&p->wanted, t->name);
    bool is_new;

    if (pos && *pos >= t->pos)
        return;
    if (!pos)
        pos = idmap_put(&p->wanted, arena_dup(&p->ask_arena, t->name), &is_new);
    *pos = t->pos;
    if (t->is_own)
        queue_hurry_to(p->pod->queue, t->partition, t->pos);
    buf_printf(&ask_of(p, t->queue)->text, " %u %llu", t->partition, (unsigned long long)t->pos);
}

static void ask_set_again(struct peers *p)
{
    static const struct timeval again = {.tv_usec = AGAIN_US};

    if (p->is_again_set)
        return;
    p->is_again_set = true;
    check(event_add(p->again, &again) == 0);
}

void peers_ask(struct req *r)
{
    struct peers *p = r->worker->peers;

    if (!r->peers.targets)
        return;
    for (const struct target *t = r->peers.targets; t; t = t->next)
        ask_add(p, t);
    stat_add(r->worker->stats, redis_waits, 1);
    ask_set_again(p);
    peers_plan(p);
}

/* The answer to PUBLISH: how many have heard it. */
struct ask_call {
    struct peers *peers;
    char queue[QUEUE_ID_BYTES + 1];
};

static char *deaf_find(struct peers *p, const char *queue)
{
    for (unsigned i = 0; i < DEAF_MAX; i++) {
        if (strcmp(p->deaf[i], queue) == 0)
            return p->deaf[i];
    }
    return NULL;
}

static void ask_on_published(void *arg, const struct redisReply *reply)
{
    struct ask_call *call = arg;
    struct peers *p = call->peers;

    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        char *deaf = deaf_find(p, call->queue);

        if (reply->integer > 0 && deaf)
            *deaf = '\0';
        else if (reply->integer == 0 && !deaf)
            memcpy(p->deaf[p->deaf_turn++ % DEAF_MAX], call->queue, sizeof(call->queue));
    }
    free(call);
}

void ask_flush(struct peers *p)
{
    for (unsigned i = 0; i < p->ask_count; i++) {
        struct ask *a = &p->asks[i];
        struct ask_call *call = malloc(sizeof(*call));

        check(call);
        arena_reset(&p->scratch);
        call->peers = p;
        str_to_cstr(a->queue, call->queue, sizeof(call->queue));
        struct str words[] = {STR("PUBLISH"), peers_key(p, &p->scratch, "ask", a->queue),
                              buf_str(&a->text)};

        if (!redis_send(p->voice, words, 3, ask_on_published, call))
            free(call);
    }
    p->ask_count = 0;
    idmap_reset(&p->wanted);
    idmap_reset(&p->questions);
    arena_reset(&p->ask_arena);
}

/* -- PostgreSQL, which always knows --------------------------------------------------------------------- */

static void positions_on_done(struct sql_call *call)
{
    struct peers *p = call->owner;
    const PGresult *res = call->results[0];

    worker_touch(p->w);
    for (int i = 0; call->err == OK && i < PQntuples(res); i++) {
        char name[MARKS_NAME];
        struct str queue = sql_get(res, i, 0);
        int64_t partition = sql_get_i64(res, i, 1), pos = sql_get_i64(res, i, 2);
        int n = snprintf(name, sizeof(name), "%.*s/%lld", STR_ARG(queue), (long long)partition);

        marks_raise(p->pod->marks, (struct str){name, (size_t)n}, (pos_t)pos);
    }
    p->is_sql_open = false;
    inbox_ring(&p->w->inbox); /* reads that wait look again */
}

static void positions_ask(struct peers *p, struct str *queues, size_t n)
{
    if (p->is_sql_open || p->w->sql == NULL || n == 0)
        return;
    arena_reset(&p->sql_arena);
    p->sql_value = sql_text_array(&p->sql_arena, queues, n);
    p->sql = (struct sql_call){.nsteps = 1, .done = positions_on_done, .owner = p};
    p->sql.steps[0] = (struct sql_step){&POSITIONS, &p->sql_value, 1};
    p->is_sql_open = true;
    sql_call(p->w->sql, &p->sql);
}

/* Nobody hears of it, and it has waited long enough for somebody who comes back. */
static bool target_is_given_up(struct peers *p, const struct req *r)
{
    char queue[QUEUE_ID_BYTES + 1];

    str_to_cstr(r->peers.targets->queue, queue, sizeof(queue));
    return deaf_find(p, queue) && p->w->now_us > r->wait_since_us + DEAF_US;
}

void ask_again(struct peers *p)
{
    struct parked_walk walk = req_walk(&p->w->committed);
    struct req *r;
    struct str *queues;
    size_t count = 0;

    p->is_again_set = false;
    while ((r = req_walk_next(&walk))) {
        if (r->peers.targets && !peers_reached(r)) {
            if (target_is_given_up(p, r)) {
                req_wake_behind(r);
            } else {
                for (const struct target *t = r->peers.targets; t; t = t->next)
                    ask_add(p, t);
                ask_set_again(p);
            }
        }
    }
    queues = arena_array(&p->ask_arena, p->ask_count, sizeof(*queues));
    for (unsigned i = 0; i < p->ask_count; i++) {
        if (!str_eq(p->asks[i].queue, str_of(queue_id(p->pod->queue))))
            queues[count++] = p->asks[i].queue;
    }
    positions_ask(p, queues, count);
}
