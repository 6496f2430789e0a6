/*
 * grant_cache: the grants of users who called lately, as one worker knows them.
 *
 * Each worker has its own, so nothing is locked. What workers share is when something changed: a counter
 * for each of GENERATIONS classes of users and one for all, which only grow. A stamp is taken before the
 * database is asked and kept with what came; a counter that has moved since says that the answer may be of
 * before the change, and it is not trusted. So who changes grants counts after the commit and needs to know
 * of no worker, and a change that meets a question on its way is not lost.
 *
 * Bounded by bytes: the users who called least lately go. One who holds more than all of it is kept as the
 * only one.
 */
#include "gateway/auth/grant_cache.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/idmap.h"

enum { GENERATIONS = 1024 };

static _Atomic uint32_t changes_of[GENERATIONS];
static _Atomic uint32_t changes_all;

/* Two words: no bytes between. */
struct cached_key {
    int64_t user_id;
    uint64_t workspace;
};

struct cached {
    struct cached_key key;
    struct grant_stamp stamp;
    struct grant_again again;
    struct grants *grants;
    struct cached *newer, *older;
};

struct grant_cache {
    struct idmap users; /* struct cached_key -> struct cached * */
    struct cached *newest, *oldest;
    size_t bytes, most_bytes;
    uint64_t doubted_us, before_us; /* what was asked for until then counts as asked for before */
};

static struct str key_of(const struct cached_key *key)
{
    return (struct str){(const char *)key, sizeof(*key)};
}

void grants_changed(int64_t user_id)
{
    atomic_fetch_add(&changes_of[(uint64_t)user_id % GENERATIONS], 1);
}

void grants_changed_all(void)
{
    atomic_fetch_add(&changes_all, 1);
}

struct grant_stamp grant_stamp_now(int64_t user_id, uint64_t now_us)
{
    return (struct grant_stamp){now_us, atomic_load(&changes_all),
                                atomic_load(&changes_of[(uint64_t)user_id % GENERATIONS])};
}

struct grant_cache *grant_cache_new(size_t most_bytes)
{
    struct grant_cache *c = calloc(1, sizeof(*c));

    check(c != NULL);
    idmap_init(&c->users);
    c->most_bytes = most_bytes;
    return c;
}

static void cached_unlink(struct grant_cache *c, struct cached *e)
{
    *(e->newer ? &e->newer->older : &c->newest) = e->older;
    *(e->older ? &e->older->newer : &c->oldest) = e->newer;
    e->newer = e->older = NULL;
}

static void cached_link(struct grant_cache *c, struct cached *e)
{
    e->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void cached_drop(struct grant_cache *c, struct cached *e)
{
    cached_unlink(c, e);
    (void)idmap_remove(&c->users, key_of(&e->key));
    c->bytes -= grants_bytes(e->grants);
    grants_put(e->grants);
    free(e);
}

void grant_cache_free(struct grant_cache *c)
{
    if (!c)
        return;
    while (c->newest)
        cached_drop(c, c->newest);
    idmap_fini(&c->users);
    free(c);
}

static struct cached *cached_find(const struct grant_cache *c, int64_t user_id, uint64_t workspace)
{
    const struct cached_key key = {user_id, workspace};
    const uint64_t *slot = idmap_get(&c->users, key_of(&key));

    return slot ? (struct cached *)(uintptr_t)*slot : NULL;
}

static bool cached_stands(const struct cached *e)
{
    struct grant_stamp now = grant_stamp_now(e->key.user_id, 0);

    return e->stamp.all == now.all && e->stamp.user == now.user;
}

struct grants *grant_cache_recall(struct grant_cache *c, int64_t user_id, uint64_t workspace,
                                  uint64_t now_us, uint64_t age_us)
{
    struct cached *e = cached_find(c, user_id, workspace);

    if (!e || now_us >= e->stamp.asked_us + age_us || !cached_stands(e))
        return NULL;
    cached_unlink(c, e);
    cached_link(c, e);
    return e->grants;
}

struct grant_again *grant_cache_again(struct grant_cache *c, int64_t user_id, uint64_t workspace)
{
    struct cached *e = cached_find(c, user_id, workspace);

    return e ? &e->again : NULL;
}

void grant_cache_put(struct grant_cache *c, int64_t user_id, uint64_t workspace,
                     const struct grant_stamp *stamp, struct grants *grants)
{
    struct cached *e = cached_find(c, user_id, workspace);
    bool is_new;

    if (e && e->stamp.asked_us > stamp->asked_us)
        return; /* an older answer that came later */
    if (e)
        cached_drop(c, e);
    e = calloc(1, sizeof(*e));
    check(e != NULL);
    *e = (struct cached){
        .key = {user_id, workspace}, .stamp = *stamp, .grants = grants_take(grants)};
    e->again.seen_us = stamp->asked_us <= c->doubted_us && stamp->asked_us > c->before_us
                           ? c->before_us
                           : stamp->asked_us;
    *idmap_put(&c->users, key_of(&e->key), &is_new) = (uintptr_t)e;
    cached_link(c, e);
    c->bytes += grants_bytes(grants);
    while (c->bytes > c->most_bytes && c->oldest != e)
        cached_drop(c, c->oldest);
}

void grant_cache_doubt(struct grant_cache *c, uint64_t now_us, uint64_t before_us)
{
    c->doubted_us = now_us;
    c->before_us = before_us;
    for (struct cached *e = c->newest; e; e = e->older) {
        if (e->again.seen_us > before_us)
            e->again.seen_us = before_us;
    }
}

size_t grant_cache_count(const struct grant_cache *c)
{
    return idmap_count(&c->users);
}
