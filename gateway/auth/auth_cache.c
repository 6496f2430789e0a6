/*
 * auth_cache: a chained hash table and a list by use.
 *
 * The key is a digest already, so its first bytes choose the bucket. Entries are taken one by one from the
 * heap: a look-up touches one, takes nothing, and moves it to the list's end.
 */
#include "gateway/auth/auth_cache.h"

#include <stdlib.h>
#include <string.h>

struct auth_cache {
    struct auth_entry **buckets;
    size_t mask;
    size_t most;
    size_t count;
    struct auth_entry *oldest, *newest; /* by use */
};

struct auth_cache *auth_cache_new(size_t most)
{
    struct auth_cache *c = calloc(1, sizeof(*c));
    size_t buckets = 16;

    while (buckets < most)
        buckets *= 2;
    check(c != NULL && (c->buckets = calloc(buckets, sizeof(*c->buckets))) != NULL);
    c->mask = buckets - 1;
    c->most = most;
    return c;
}

static struct auth_entry **cache_bucket(const struct auth_cache *c, const unsigned char *key)
{
    uint64_t h;

    memcpy(&h, key, sizeof(h));
    return &c->buckets[h & c->mask];
}

static void cache_unlink(struct auth_cache *c, struct auth_entry *e)
{
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
}

static void cache_link(struct auth_cache *c, struct auth_entry *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

struct auth_entry *auth_cache_find(struct auth_cache *c, const unsigned char *key)
{
    struct auth_entry *e = *cache_bucket(c, key);

    while (e && memcmp(e->key, key, AUTH_DIGEST_BYTES) != 0)
        e = e->chain;
    if (e && e != c->newest) {
        cache_unlink(c, e);
        cache_link(c, e);
    }
    return e;
}

void auth_cache_remove(struct auth_cache *c, struct auth_entry *e)
{
    struct auth_entry **at = cache_bucket(c, e->key);

    while (*at != e)
        at = &(*at)->chain;
    *at = e->chain;
    cache_unlink(c, e);
    c->count--;
    free(e);
}

void auth_cache_free(struct auth_cache *c)
{
    if (c == NULL)
        return;
    while (c->oldest)
        auth_cache_remove(c, c->oldest);
    free(c->buckets);
    free(c);
}

static bool cache_is_held(const struct auth_entry *e)
{
    return e->verdict == AUTH_ASKED || e->is_asked_again;
}

/* Makes room for one more. */
static bool cache_evict(struct auth_cache *c)
{
    struct auth_entry *e = c->oldest;

    if (c->count < c->most)
        return true;
    while (e && cache_is_held(e))
        e = e->newer;
    if (e == NULL)
        return false;
    auth_cache_remove(c, e);
    return true;
}

struct auth_entry *auth_cache_add(struct auth_cache *c, const unsigned char *key, struct str name)
{
    struct auth_entry *e, **at;

    if (!cache_evict(c))
        return NULL;
    check((e = calloc(1, sizeof(*e) + name.n)) != NULL);
    memcpy(e->key, key, AUTH_DIGEST_BYTES);
    e->name_text = (char *)(e + 1);
    e->name_length = name.n;
    if (name.n)
        memcpy(e->name_text, name.p, name.n);
    at = cache_bucket(c, key);
    e->chain = *at;
    *at = e;
    cache_link(c, e);
    c->count++;
    return e;
}

void auth_cache_forget(struct auth_cache *c, uint64_t name_hash)
{
    struct auth_entry *e = c->oldest;

    while (e) {
        struct auth_entry *newer = e->newer;

        if (e->name_hash == name_hash) {
            if (cache_is_held(e))
                e->is_void = true;
            else
                auth_cache_remove(c, e);
        }
        e = newer;
    }
}

void auth_cache_doubt(struct auth_cache *c, uint64_t seen_us)
{
    struct auth_entry *e = c->oldest;

    while (e) {
        struct auth_entry *newer = e->newer;

        if (e->verdict != AUTH_GOOD && !cache_is_held(e))
            auth_cache_remove(c, e);
        else if (e->seen_us > seen_us)
            e->seen_us = seen_us;
        e = newer;
    }
}

struct str auth_entry_name(const struct auth_entry *e)
{
    return (struct str){e->name_text, e->name_length};
}

size_t auth_cache_count(const struct auth_cache *c)
{
    return c->count;
}
