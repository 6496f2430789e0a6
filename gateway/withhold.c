/*
 * withhold: MLflow's hooks behind a call's answer, for answers that stream by.
 *
 * MLflow parses the whole answer, clears fields and writes it anew. What it clears is told by the rule of the
 * call and by which kinds are denied to the caller, both known before the upstream is asked; so it is a path in
 * JSON, and a sieve takes it out as the bytes pass (json_sieve.h). Where rows would have to be judged one by
 * one the call is refused instead (may_trace.c, may_gateway.c).
 */
#include "gateway/withhold.h"

#include "gateway/entity.h"
#include "gateway/may.h"
#include "gateway/may_rule.h"

#define HIDE_ANYBODY 0

struct withhold_row {
    enum may_rule rule;
    unsigned hides;
    struct sieve_rule at;
};

static const struct withhold_row rows[] = {
#define WITHHOLD(rule, hides, ...) {MAY_RULE_##rule, HIDE_##hides, {{__VA_ARGS__, NULL}}},
#include "gateway/withhold.def"
#undef WITHHOLD
};

const struct sieve_rule *const *withhold_rules(struct req *r)
{
    unsigned hidden = may_hidden(r);
    const struct sieve_rule **found = NULL;
    size_t n = 0;

    if (!r->may)
        return NULL;
    for (size_t i = 0; i < array_len(rows); i++) {
        if (rows[i].rule != r->may->path.rule ||
            (rows[i].hides != HIDE_ANYBODY && !(rows[i].hides & hidden)))
            continue;
        if (!found)
            found = arena_array(&r->arena, SIEVE_RULES + 1, sizeof(struct sieve_rule *));
        found[n++] = &rows[i].at;
        found[n] = NULL;
    }
    return found;
}
