/*
 * show: which rows of an upstream's answer, and what of them, the caller sees.
 *
 * Judges of a sieve (json_sieve.h), whose about is the request, and the questions whether one is wanted.
 * withhold.def says which call has which. The worker's thread, after may_check, for who is no admin.
 */
#ifndef GATEWAY_SHOW_H
#define GATEWAY_SHOW_H

#include "gateway/auth/json_sieve.h"
#include "gateway/req.h"

#define WITHHOLD(rule, hides, ...)
#define SHOW(rule, when, judge, ...)      \
    bool show_when_##when(struct req *r); \
    enum sieve_verdict show_##judge(void *about, struct yyjson_mut_doc *doc);
#include "gateway/auth/withhold.def"
#undef WITHHOLD
#undef SHOW

#endif
