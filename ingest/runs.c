/*
 * runs: 64 shards, each a mutex, a chained hash table in two arrays, and a floor.
 *
 * The id's XXH3 gives the shard (high bits) and the bucket (low bits). Entries lie densely in one
 * array that doubles until the shard's share of max_entries is reached; buckets hold indices, so
 * nothing points into the array and growing it is a realloc and a new chaining. An idle program
 * with a large limit therefore takes next to nothing.
 *
 * A full shard evicts by the clock rule: the hand passes entries, takes away the mark of those
 * used since it last came by, and stops at the first without one; a run has none when it comes in.
 * The evicted run's position is not lost: the shard's floor rises to it, a run that is not in the
 * shard gets the floor, and a run that comes in starts with it. That errs on one side only: a read
 * may wait for somebody else's points, it never misses its own. The floor starts at the end of
 * what was replayed, likewise.
 *
 * State (stage, experiment) and position are independent: a run may have either without the other.
 * State is dated. What was learnt is trusted when it is younger than the ttl and younger than
 * the last runs_forget_all, and is replaced only by what is as young or younger. So a row that
 * was read before a delete cannot resurrect the run when its answer arrives after it.
 */
#include "ingest/runs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/clock.h"

enum {
    RUNS_SHARD_BITS = 6,
    RUNS_SHARDS = 1 << RUNS_SHARD_BITS,
    RUNS_FIRST = 16 /* entries of a shard's first array */
};

/* Ends a chain; no entry has this index. */
#define RUNS_NIL UINT32_MAX

struct runs_entry {
    pos_t pos;         /* end of the newest entry appended for it here; 0 = none */
    uint64_t dated_us; /* when the state was learnt, or when it was forgotten */
    uint64_t workspace;
    int32_t experiment_id;
    uint32_t next; /* in the bucket's chain */
    struct run_id id;
    bool has_state;
    bool is_active;
    bool is_used; /* since the clock's hand came by */
    bool has_client;
    uint8_t client[RUNS_CLIENT]; /* who was the first to write to it */
};

struct runs_shard {
    pthread_mutex_t lock;
    struct runs_entry *entries;
    uint32_t *buckets; /* cap of them: first entry of each chain */
    uint32_t count;
    uint32_t cap; /* power of two, or 0 */
    uint32_t hand;
    pos_t floor; /* no run that is missing here has an entry that ends above it */
} __attribute__((aligned(64)));

struct runs {
    struct runs_shard shards[RUNS_SHARDS];
    uint32_t shard_max;            /* entries of one shard */
    _Atomic uint64_t forgotten_us; /* no state learnt until then counts */
};

static uint64_t runs_hash(const struct run_id *id)
{
    return XXH3_64bits(id->text, id->n);
}

struct runs *runs_new(uint64_t max_entries)
{
    struct runs *t = aligned_alloc(64, sizeof(*t));
    uint64_t share = (max_entries + RUNS_SHARDS - 1) / RUNS_SHARDS;

    check(t);
    memset(t, 0, sizeof(*t));
    t->shard_max = share < 1 ? 1 : share < UINT32_MAX / 2 ? (uint32_t)share : UINT32_MAX / 2;
    for (unsigned i = 0; i < RUNS_SHARDS; i++)
        check(pthread_mutex_init(&t->shards[i].lock, NULL) == 0);
    return t;
}

void runs_free(struct runs *t)
{
    if (!t)
        return;
    for (unsigned i = 0; i < RUNS_SHARDS; i++) {
        pthread_mutex_destroy(&t->shards[i].lock);
        free(t->shards[i].entries);
        free(t->shards[i].buckets);
    }
    free(t);
}

static struct runs_shard *runs_lock(struct runs *t, uint64_t hash)
{
    struct runs_shard *s = &t->shards[hash >> (64 - RUNS_SHARD_BITS)];

    pthread_mutex_lock(&s->lock);
    return s;
}

static void runs_unlock(struct runs_shard *s)
{
    pthread_mutex_unlock(&s->lock);
}

static bool runs_same(const struct run_id *a, const struct run_id *b)
{
    return a->n == b->n && memcmp(a->text, b->text, a->n) == 0;
}

static struct runs_entry *shard_find(struct runs_shard *s, const struct run_id *id, uint64_t hash)
{
    if (s->cap == 0)
        return NULL;
    for (uint32_t i = s->buckets[hash & (s->cap - 1)]; i != RUNS_NIL; i = s->entries[i].next) {
        if (runs_same(&s->entries[i].id, id)) {
            s->entries[i].is_used = true;
            return &s->entries[i];
        }
    }
    return NULL;
}

static void shard_chain(struct runs_shard *s, uint32_t index, uint64_t hash)
{
    uint32_t *first = &s->buckets[hash & (s->cap - 1)];

    s->entries[index].next = *first;
    *first = index;
}

static void shard_grow(struct runs_shard *s)
{
    s->cap = s->cap ? 2 * s->cap : RUNS_FIRST;
    s->entries = realloc(s->entries, s->cap * sizeof(*s->entries));
    s->buckets = realloc(s->buckets, s->cap * sizeof(*s->buckets));
    check(s->entries && s->buckets);
    memset(s->buckets, 0xff, s->cap * sizeof(*s->buckets));
    for (uint32_t i = 0; i < s->count; i++)
        shard_chain(s, i, runs_hash(&s->entries[i].id));
}

/* Frees one place by the clock rule and returns its index. */
static uint32_t shard_evict(struct runs_shard *s)
{
    struct runs_entry *e = &s->entries[s->hand];

    while (e->is_used) {
        e->is_used = false;
        s->hand = (s->hand + 1) % s->count;
        e = &s->entries[s->hand];
    }
    uint32_t index = s->hand;
    uint32_t *link = &s->buckets[runs_hash(&e->id) & (s->cap - 1)];

    while (*link != index)
        link = &s->entries[*link].next;
    *link = e->next;
    if (e->pos > s->floor)
        s->floor = e->pos;
    s->hand = (s->hand + 1) % s->count;
    return index;
}

/* The run's entry, made when it is not there. */
static struct runs_entry *shard_make(struct runs_shard *s, const struct run_id *id, uint64_t hash,
                                     uint32_t max)
{
    struct runs_entry *e = shard_find(s, id, hash);
    uint32_t index = 0;

    if (e)
        return e;
    if (s->count < max) {
        if (s->count == s->cap)
            shard_grow(s);
        index = s->count++;
    } else {
        index = shard_evict(s);
    }
    e = &s->entries[index];
    memset(e, 0, sizeof(*e));
    e->id = *id;
    e->pos = s->floor;
    shard_chain(s, index, hash);
    return e;
}

bool runs_get(struct runs *t, const struct run_id *id, uint64_t now_us, uint64_t ttl_us,
              struct run *out)
{
    uint64_t hash = runs_hash(id);
    uint64_t forgotten_us = atomic_load(&t->forgotten_us);
    struct runs_shard *s = runs_lock(t, hash);
    const struct runs_entry *e = shard_find(s, id, hash);
    bool is_known = e && e->has_state && e->dated_us > forgotten_us;

    /* Another worker's clock reading may be a little ahead of this turn's. */
    if (is_known && now_us > e->dated_us)
        is_known = now_us - e->dated_us < ttl_us;
    if (is_known)
        *out = (struct run){e->is_active, e->experiment_id, e->workspace};
    runs_unlock(s);
    return is_known && ttl_us > 0;
}

void runs_put(struct runs *t, const struct run_id *id, uint64_t now_us, const struct run *run)
{
    uint64_t hash = runs_hash(id);
    struct runs_shard *s = runs_lock(t, hash);
    struct runs_entry *e = shard_make(s, id, hash, t->shard_max);

    if (now_us >= e->dated_us) {
        e->dated_us = now_us;
        e->has_state = true;
        e->is_active = run->is_active;
        e->experiment_id = run->experiment_id;
        e->workspace = run->workspace;
    }
    runs_unlock(s);
}

void runs_forget(struct runs *t, const struct run_id *id)
{
    uint64_t now_us = clock_us();
    uint64_t hash = runs_hash(id);
    struct runs_shard *s = runs_lock(t, hash);
    struct runs_entry *e = shard_make(s, id, hash, t->shard_max);

    e->has_state = false;
    e->dated_us = now_us;
    runs_unlock(s);
}

void runs_forget_all(struct runs *t)
{
    atomic_store(&t->forgotten_us, clock_us());
}

bool runs_appended(struct runs *t, const struct run_id *id, pos_t end)
{
    uint64_t hash = runs_hash(id);
    struct runs_shard *s = runs_lock(t, hash);
    struct runs_entry *e = shard_make(s, id, hash, t->shard_max);
    bool has_client = e->has_client;

    if (end > e->pos)
        e->pos = end;
    runs_unlock(s);
    return has_client;
}

void runs_set_client(struct runs *t, const struct run_id *id, const uint8_t address[RUNS_CLIENT])
{
    uint64_t hash = runs_hash(id);
    struct runs_shard *s = runs_lock(t, hash);
    struct runs_entry *e = shard_find(s, id, hash);

    if (e) {
        e->has_client = true;
        memcpy(e->client, address, RUNS_CLIENT);
    }
    runs_unlock(s);
}

bool runs_get_client(struct runs *t, const struct run_id *id, uint8_t address[RUNS_CLIENT])
{
    uint64_t hash = runs_hash(id);
    struct runs_shard *s = runs_lock(t, hash);
    const struct runs_entry *e = shard_find(s, id, hash);
    bool has_client = e && e->has_client;

    if (has_client)
        memcpy(address, e->client, RUNS_CLIENT);
    runs_unlock(s);
    return has_client;
}

void runs_raise_floor(struct runs *t, pos_t pos)
{
    for (unsigned i = 0; i < RUNS_SHARDS; i++) {
        struct runs_shard *s = &t->shards[i];

        pthread_mutex_lock(&s->lock);
        if (pos > s->floor)
            s->floor = pos;
        for (uint32_t k = 0; k < s->count; k++)
            if (pos > s->entries[k].pos)
                s->entries[k].pos = pos;
        pthread_mutex_unlock(&s->lock);
    }
}

pos_t runs_position(struct runs *t, const struct run_id *id)
{
    uint64_t hash = runs_hash(id);
    struct runs_shard *s = runs_lock(t, hash);
    const struct runs_entry *e = shard_find(s, id, hash);
    pos_t pos = e ? e->pos : s->floor;

    runs_unlock(s);
    return pos;
}

uint64_t runs_count(struct runs *t)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < RUNS_SHARDS; i++) {
        pthread_mutex_lock(&t->shards[i].lock);
        n += t->shards[i].count;
        pthread_mutex_unlock(&t->shards[i].lock);
    }
    return n;
}
