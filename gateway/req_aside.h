/*
 * req_aside: what would hold a worker too long is done on the helper's thread, or in several turns.
 *
 * For requests that are long: the worker serves others meanwhile. The helper's work has the request's
 * arena, input and data, and touches nothing else. All steps are as in req.h.
 */
#ifndef GATEWAY_REQ_ASIDE_H
#define GATEWAY_REQ_ASIDE_H

#include "gateway/req.h"

/* Runs prepare at once, or on the helper's thread when query and body together are longer than that;
 * then next, unless prepare failed. ERR_BUSY when too many wait for the helper. */
must_check err_t req_prepare(struct req *r, size_t bytes, req_step prepare, req_step next);
/* Runs prepare on a file thread, where it may wait for a disk; then next, unless it failed. ERR_BUSY as
 * above. */
must_check err_t req_on_files(struct req *r, req_step prepare, req_step next);
/* Runs work on the thread that hashes the passwords of that name; then next. */
must_check err_t req_hash(struct req *r, struct str name, void (*work)(void *req), req_step next);
/* Lets all others who are ready have the worker first: next follows in a later turn of its loop. */
must_check err_t req_pause(struct req *r, req_step next);

#endif
