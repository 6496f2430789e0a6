/*
 * withhold: what the upstream's answer says and the caller may not see; the rows stand in withhold.def.
 *
 * The worker's thread, after may_check.
 */
#ifndef GATEWAY_WITHHOLD_H
#define GATEWAY_WITHHOLD_H

#include "gateway/auth/json_sieve.h"
#include "gateway/req.h"

/* The rules for a sieve, in the request's arena; NULL: the answer may go by as it is. */
const struct sieve_rule *const *withhold_rules(struct req *r);

#endif
