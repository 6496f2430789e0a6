/*
 * grant_behind: what becomes of permissions when the server behind this one makes or deletes things.
 *
 * grant_behind_plan before the call goes on; when the upstream has said yes, and before anybody else hears of
 * it, grant_behind_write. The worker's thread.
 */
#ifndef GATEWAY_GRANT_BEHIND_H
#define GATEWAY_GRANT_BEHIND_H

#include "gateway/req.h"

/* More of an answer is not held for the id in it. */
enum { GRANT_BEHIND_MOST = 1048576 };

struct grant_behind;

/* What is to be done once it is made, or gone; in the request's arena. NULL = nothing. */
struct grant_behind *grant_behind_plan(struct req *r);
/* Is its id in the answer? */
bool grant_behind_reads(const struct grant_behind *b);
/* next follows when the permissions are written. answer: where its id is in there, else anything. */
must_check err_t grant_behind_write(struct req *r, struct grant_behind *b, struct str answer,
                                    req_step next);

#endif
