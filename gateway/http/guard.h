/*
 * guard: what is judged before a request is looked up: Host, Origin, CORS preflight, workspace.
 *
 * MLflow's security middleware, with its texts and in its order. The worker's thread.
 */
#ifndef GATEWAY_GUARD_H
#define GATEWAY_GUARD_H

#include <stdbool.h>

#include "gateway/req.h"

/* True when the request may go on; false when it has been answered. Adds the CORS headers that
 * its answer must carry either way. */
must_check bool guard_admits(struct req *r);
/* Is its path one of MLflow's API, as the middleware counts? */
bool guard_is_api(const struct req *r);

#endif
