/*
 * may: may this user do what the request asks for?
 *
 * The step between auth_admit and the handler, on the worker's thread. r->user is NULL when nobody was
 * asked who it is (auth = none, or an open path): then everything is allowed. docs/permissions.md tells
 * the rules, may.def which path has which.
 */
#ifndef GATEWAY_MAY_H
#define GATEWAY_MAY_H

#include "gateway/auth/grant.h"
#include "gateway/req.h"

/* Once, on the main thread, before the workers. */
void may_init(void);
/* Does the path answer in plain text where others do in HTML? */
bool may_is_native(const struct req *r);
/* Is the body looked at for who may? Then it is read before the call is handed on. */
bool may_reads_body(const struct req *r);
/* Calls are judged and not carried out: then also what has no row is judged by its body. */
bool may_only_says(void);
/* next follows when it is allowed; else the answer is MLflow's 403. */
must_check err_t may_check(struct req *r, req_step next);
/* The request is over. */
void may_end(struct req *r);

/* -- for handlers that show only what the caller may see ------------------------------------------ */

/* False: nothing is hidden from the caller. */
bool may_hides(const struct req *r);
/* Bits of enum entity_hidden: what is left out of things that the caller may see. */
unsigned may_hidden(const struct req *r);
/* Does a list show the caller this thing? Where nothing is granted on it, the workspace counts. */
bool may_lists(const struct req *r, enum grant_type type, struct str id);
/* Is the kind, all of it, denied to the caller? */
bool may_denies(const struct req *r, enum grant_type type);
/* May the caller read a run of this experiment? */
bool may_reads_run(const struct req *r, struct str experiment);
bool may_reads(const struct req *r, enum grant_type type, struct str id);
bool may_updates_run_of(const struct req *r, int32_t experiment_id);
/* Does the caller hold what is needed? */
bool may_meets(const struct req *r, const struct need *need);

#endif
