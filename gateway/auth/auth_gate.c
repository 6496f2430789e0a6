/*
 * auth_gate: token buckets in a table of fixed size.
 *
 * A bucket of an address holds eight seconds' tokens, one of a name at an address eight: a fleet of
 * jobs behind one proxy that all log in at once is let through, guessing is not. Buckets that are full
 * say nothing and need no place, so of the slots that a key may stand in the fullest is taken; under an
 * attack from more addresses than there is place for, what is forgotten are tokens that somebody has used,
 * and the bound is the queue of the threads that hash.
 */
#include "gateway/auth/auth_gate.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/check.h"

enum { SLOTS = 8192, WAYS = 4, NAME_TOKENS = 8, ADDRESS_SECONDS = 8, NAME_SHARE = 8 };

/* A token is a million parts, so that a slow rate is exact. */
#define TOKEN 1000000u

struct gate_bucket {
    uint64_t key; /* 0 = free */
    uint64_t parts;
    uint64_t most;
    uint64_t since_us;
};

struct auth_gate {
    pthread_mutex_t lock;
    struct gate_bucket buckets[SLOTS];
};

struct auth_gate *auth_gate_new(void)
{
    struct auth_gate *g = calloc(1, sizeof(*g));

    check(g != NULL && pthread_mutex_init(&g->lock, NULL) == 0);
    return g;
}

void auth_gate_free(struct auth_gate *g)
{
    if (g == NULL)
        return;
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* The one of key; NULL = none. */
static struct gate_bucket *gate_find(struct auth_gate *g, uint64_t key)
{
    struct gate_bucket *set = &g->buckets[key % (SLOTS / WAYS) * WAYS];

    for (unsigned i = 0; i < WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
    }
    return NULL;
}

/* The one of key, made if there is none; its tokens are those of now. */
static struct gate_bucket *gate_bucket(struct auth_gate *g, uint64_t key, uint64_t most,
                                       uint64_t parts_per_us, uint64_t now_us)
{
    struct gate_bucket *b = gate_find(g, key), *set = &g->buckets[key % (SLOTS / WAYS) * WAYS];
    uint64_t passed_us, missing;

    if (b == NULL) {
        b = &set[0];
        for (unsigned i = 0; i < WAYS; i++) {
            if (set[i].key == 0 || set[i].most - set[i].parts < b->most - b->parts)
                b = &set[i];
        }
        *b = (struct gate_bucket){key, most, most, now_us};
        return b;
    }
    b->most = most; /* the rate may have been reloaded */
    passed_us = now_us > b->since_us ? now_us - b->since_us : 0;
    missing = b->parts < most ? most - b->parts : 0;
    b->parts = passed_us >= missing / parts_per_us + 1 ? most : b->parts + passed_us * parts_per_us;
    b->since_us = now_us > b->since_us ? now_us : b->since_us;
    return b;
}

bool auth_gate_take(struct auth_gate *g, const struct auth_sender *s, uint64_t rate,
                    uint64_t now_us)
{
    uint64_t name_rate = rate / NAME_SHARE ? rate / NAME_SHARE : 1;
    struct gate_bucket *address, *name;
    bool may;

    pthread_mutex_lock(&g->lock);
    address = gate_bucket(g, s->address | 1, rate * ADDRESS_SECONDS * TOKEN, rate, now_us);
    may = address->parts >= TOKEN;
    if (may) {
        address->parts -= TOKEN; /* before the other may take its slot */
        name = gate_bucket(g, s->address_and_name & ~(uint64_t)1, (uint64_t)NAME_TOKENS * TOKEN,
                           name_rate, now_us);
        may = name->parts >= TOKEN;
        if (may)
            name->parts -= TOKEN;
    }
    pthread_mutex_unlock(&g->lock);
    return may;
}

static void gate_return(struct auth_gate *g, uint64_t key)
{
    struct gate_bucket *b = gate_find(g, key);

    if (b)
        b->parts = b->parts + TOKEN < b->most ? b->parts + TOKEN : b->most;
}

void auth_gate_give_back(struct auth_gate *g, const struct auth_sender *s)
{
    pthread_mutex_lock(&g->lock);
    gate_return(g, s->address | 1);
    gate_return(g, s->address_and_name & ~(uint64_t)1);
    pthread_mutex_unlock(&g->lock);
}
