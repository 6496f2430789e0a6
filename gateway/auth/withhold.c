/*
 * withhold: MLflow's hooks behind a call's answer, for answers that stream by.
 *
 * MLflow parses the whole answer, clears fields and writes it anew. What it clears is told by the rule of the
 * call and by which kinds are denied to the caller, both known before the upstream is asked; so it is a path in
 * JSON, and a sieve takes it out as the bytes pass (json_sieve.h). Where rows are judged one by one the path
 * has a judge (show.c).
 */
#include "gateway/auth/withhold.h"

#include "gateway/api/entity.h"
#include "gateway/auth/may.h"
#include "gateway/auth/may_rule.h"
#include "gateway/auth/show.h"

#define HIDE_ANYBODY 0

struct withhold_row {
    enum may_rule rule;
    unsigned hides;
    bool (*when)(struct req *r); /* of a judge; NULL: hides says it */
    struct sieve_rule at;
};

static const struct withhold_row rows[] = {
#define WITHHOLD(rule, hides, ...) \
    {MAY_RULE_##rule, HIDE_##hides, NULL, {{__VA_ARGS__, NULL}, NULL}},
#define SHOW(rule, when, judge, ...) \
    {MAY_RULE_##rule, 0, show_when_##when, {{__VA_ARGS__, NULL}, show_##judge}},
#include "gateway/auth/withhold.def"
#undef WITHHOLD
#undef SHOW
};

static bool withhold_is_due(struct req *r, const struct withhold_row *row, unsigned hidden)
{
    if (row->when)
        return r->may->grants && row->when(r);
    return row->hides == HIDE_ANYBODY || (row->hides & hidden);
}

const struct sieve_rule *const *withhold_rules(struct req *r)
{
    unsigned hidden = may_hidden(r);
    const struct sieve_rule **found = NULL;
    size_t n = 0;

    if (!r->may)
        return NULL;
    for (size_t i = 0; i < array_len(rows); i++) {
        if (rows[i].rule != r->may->path.rule || !withhold_is_due(r, &rows[i], hidden))
            continue;
        if (!found)
            found = arena_array(&r->arena, SIEVE_RULES + 1, sizeof(struct sieve_rule *));
        found[n++] = &rows[i].at;
        found[n] = NULL;
    }
    return found;
}
