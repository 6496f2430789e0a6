/*
 * grant_ask: the question for a user's grants that no request owns.
 *
 * grant_ask_known first: it is what may be trusted, asks again in time, and makes the request wait where
 * that is worth it. Where nothing is known the caller asks for itself: GRANT_ASK, then grant_ask_take. The
 * worker's thread.
 */
#ifndef GATEWAY_GRANT_ASK_H
#define GATEWAY_GRANT_ASK_H

#include "gateway/auth/grant_cache.h"
#include "gateway/req.h"

/* $1: the user's id; rows of type, pattern, level. */
extern const struct stmt grant_ask_stmt;

/* The user's grants, which the caller takes to keep them; NULL: nothing is known, or *waits: next follows,
 * and looks again. */
struct grants *grant_ask_known(struct req *r, req_step next, bool *waits);
/* What is known counts for auth_grace as well: the database has just failed to answer. */
struct grants *grant_ask_stale(struct req *r);
/* What the rows say, remembered; the caller holds it. */
struct grants *grant_ask_take(struct worker *w, int64_t user_id, uint64_t mark,
                              const struct grant_stamp *stamp, const PGresult *rows);
/* The worker's cache hears when something may have changed elsewhere that it was not told. Before its
 * loop begins. */
void grant_ask_hear(struct worker *w);
/* What grants_changed and grants_changed_all say, to other pods too. After the commit, before the answer. */
void grant_tell(struct worker *w, int64_t user_id);
void grant_tell_all(struct worker *w);
/* Somebody logged in elsewhere in this process: he is asked about before he comes here. */
void grant_ask_early(struct worker *w, int64_t user_id);

#endif
