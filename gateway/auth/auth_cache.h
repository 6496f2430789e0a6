/*
 * auth_cache: names with passwords that were asked about, and what came of it.
 *
 * An entry is found by a keyed digest of the Authorization header, so neither passwords nor anything they
 * can be guessed from by somebody without the key stand in it. Bounded: the entry that was not looked at
 * for longest goes. One owner, one thread.
 */
#ifndef GATEWAY_AUTH_CACHE_H
#define GATEWAY_AUTH_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum { AUTH_DIGEST_BYTES = 32 };

enum auth_verdict {
    AUTH_ASKED, /* under way; never evicted */
    AUTH_GOOD,
    AUTH_BAD,
    AUTH_AWAY, /* nobody could say */
    AUTH_BUSY  /* too much to do to find out */
};

struct auth_entry {
    unsigned char key[AUTH_DIGEST_BYTES];
    enum auth_verdict verdict;
    bool is_asked_again; /* GOOD, and the user's row is being looked at once more: not evicted */
    bool is_stale;       /* GOOD, and the last look at the row brought no answer */
    bool is_void;        /* forgotten while somebody was asked: what comes back does not count */
    bool is_admin;
    int64_t user_id;
    unsigned char row[AUTH_DIGEST_BYTES]; /* of the hash in the user's row */
    uint64_t seen_us;                     /* when the row was asked for */
    uint64_t asked_us;                    /* when it was last tried */
    uint64_t told_us;                     /* when other workers heard of it */
    uint64_t name_hash;
    uint64_t id; /* of no other entry of this cache, ever */

    /* private */
    struct auth_entry *chain;
    struct auth_entry *newer, *older;
    char *name_text;
    size_t name_length;
};

struct auth_cache;

struct auth_cache *auth_cache_new(size_t most);
void auth_cache_free(struct auth_cache *c);
/* NULL when there is none. */
struct auth_entry *auth_cache_find(struct auth_cache *c, const unsigned char *key);
/* A new entry, ASKED; NULL when all there are cannot be evicted. The key is not in the cache. */
struct auth_entry *auth_cache_add(struct auth_cache *c, const unsigned char *key, struct str name);
void auth_cache_remove(struct auth_cache *c, struct auth_entry *e);
/* Forgets what is known of a name; entries that are under way become void. */
void auth_cache_forget(struct auth_cache *c, uint64_t name_hash);
/* Nothing counts as seen later than then; what was wrong is forgotten. */
void auth_cache_doubt(struct auth_cache *c, uint64_t seen_us);
struct str auth_entry_name(const struct auth_entry *e);
size_t auth_cache_count(const struct auth_cache *c);

#endif
