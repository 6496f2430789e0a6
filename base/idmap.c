/*
 * idmap: linear probing over 24-byte slots.
 *
 * A slot keeps 32 bits of the key's hash, so that a probe compares bytes only when they are very
 * likely equal, and growing does not touch the keys. Removing shifts the followers of the chain
 * back instead of leaving tombstones, so a map that lives long does not get slow.
 */
#include "base/idmap.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/check.h"

#define IDMAP_MIN ((size_t)16)

struct idmap_slot {
    const char *p; /* NULL: the slot is free */
    uint32_t n;
    uint32_t hash;
    uint64_t value;
};

void idmap_init(struct idmap *m)
{
    *m = (struct idmap){0};
}

void idmap_fini(struct idmap *m)
{
    free(m->slots);
    idmap_init(m);
}

void idmap_reset(struct idmap *m)
{
    if (m->count)
        memset(m->slots, 0, m->cap * sizeof(*m->slots));
    m->count = 0;
}

size_t idmap_count(const struct idmap *m)
{
    return m->count;
}

static uint32_t idmap_hash(struct str key)
{
    return (uint32_t)XXH3_64bits(key.n ? key.p : "", key.n);
}

/* The slot that holds key, or the free one where it belongs. There is always a free one. */
static struct idmap_slot *idmap_find(const struct idmap *m, struct str key, uint32_t hash)
{
    size_t i = hash & (m->cap - 1);

    for (;; i = (i + 1) & (m->cap - 1)) {
        struct idmap_slot *s = &m->slots[i];

        if (s->p == NULL)
            return s;
        if (s->hash == hash && s->n == key.n && (key.n == 0 || memcmp(s->p, key.p, key.n) == 0))
            return s;
    }
}

static void idmap_grow(struct idmap *m)
{
    struct idmap old = *m;

    m->cap = old.cap ? old.cap * 2 : IDMAP_MIN;
    check(m->cap <= (size_t)UINT32_MAX + 1); /* the hash has 32 bits */
    m->slots = calloc(m->cap, sizeof(*m->slots));
    check(m->slots != NULL);
    for (size_t i = 0; i < old.cap; i++) {
        size_t to = old.slots[i].hash & (m->cap - 1);

        if (old.slots[i].p == NULL)
            continue;
        while (m->slots[to].p)
            to = (to + 1) & (m->cap - 1);
        m->slots[to] = old.slots[i];
    }
    free(old.slots);
}

uint64_t *idmap_put(struct idmap *m, struct str key, bool *is_new)
{
    uint32_t hash = idmap_hash(key);
    struct idmap_slot *s;

    check(key.n <= UINT32_MAX);
    if (m->count + 1 > m->cap / 4 * 3)
        idmap_grow(m);
    s = idmap_find(m, key, hash);
    *is_new = s->p == NULL;
    if (*is_new) {
        *s = (struct idmap_slot){.p = key.n ? key.p : "", .n = (uint32_t)key.n, .hash = hash};
        m->count++;
    }
    return &s->value;
}

uint64_t *idmap_get(const struct idmap *m, struct str key)
{
    struct idmap_slot *s;

    if (m->count == 0)
        return NULL;
    s = idmap_find(m, key, idmap_hash(key));
    return s->p ? &s->value : NULL;
}

bool idmap_remove(struct idmap *m, struct str key)
{
    size_t mask = m->cap - 1;
    struct idmap_slot *s;
    size_t hole;

    if (m->count == 0)
        return false;
    s = idmap_find(m, key, idmap_hash(key));
    if (s->p == NULL)
        return false;
    hole = (size_t)(s - m->slots);
    for (size_t i = (hole + 1) & mask; m->slots[i].p; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;

        /* It may move back unless its home lies after the hole, seen around the circle. */
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct idmap_slot){0};
    m->count--;
    return true;
}
