/*
 * grant_cache: the grants of users who called lately, as one worker knows them.
 *
 * An entry is one user's grants in one workspace (scope.h's mark), trusted for auth_ttl, and no longer than until somebody
 * in this process says that they may have changed (grants_changed, any thread), or one in another pod
 * (grant_tell, grant_ask.h). Everything else belongs to the worker's thread.
 */
#ifndef GATEWAY_GRANT_CACHE_H
#define GATEWAY_GRANT_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "gateway/auth/grant.h"

struct grant_cache;

/* What was true when a question was asked: taken before, given with the answer. */
struct grant_stamp {
    uint64_t asked_us;
    uint32_t all, user;
};

/* When they were asked for, and what is known of a question for newer ones (grant_ask.c). */
struct grant_again {
    uint64_t seen_us;
    uint64_t question, asked_us; /* 0 = none was asked since */
    bool is_under_way;
};

struct grant_cache *grant_cache_new(size_t most_bytes);
void grant_cache_free(struct grant_cache *c);
/* What is known, if it was asked for less than age_us ago and nothing has changed since; NULL = ask. The
 * caller takes it to keep it. */
struct grants *grant_cache_recall(struct grant_cache *c, int64_t user_id, uint64_t workspace,
                                  uint64_t now_us, uint64_t age_us);
/* Of a user who is in the cache, be it trusted or not, until the next put; NULL = he is not. */
struct grant_again *grant_cache_again(struct grant_cache *c, int64_t user_id, uint64_t workspace);
struct grant_stamp grant_stamp_now(int64_t user_id, uint64_t now_us);
/* Takes the grants. */
void grant_cache_put(struct grant_cache *c, int64_t user_id, uint64_t workspace,
                     const struct grant_stamp *stamp, struct grants *grants);
size_t grant_cache_count(const struct grant_cache *c);
/* Somebody's may have changed, nobody knows whose: all count as asked for at before_us, so they are asked
 * for anew, and have a grace. */
void grant_cache_doubt(struct grant_cache *c, uint64_t now_us, uint64_t before_us);

/* The grants of a user, or of anybody, have changed, and are committed: for this process. Any thread. */
void grants_changed(int64_t user_id);
void grants_changed_all(void);

#endif
