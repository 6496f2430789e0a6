/*
 * may_path: (method, path) to the rule that says who may call it; the rows stand in may.def.
 *
 * may_path_init once, on the main thread; read-only afterwards, any thread.
 */
#ifndef GATEWAY_MAY_PATH_H
#define GATEWAY_MAY_PATH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum may_rule {
    MAY_RULE_NONE, /* admins only */
#define RULE(name, ...) MAY_RULE_##name,
#include "gateway/auth/may_rules.def"
#undef RULE
    MAY_RULES
};

enum { MAY_ARGS = 2 };

struct may_path {
    enum may_rule rule;
    struct str names[MAY_ARGS], values[MAY_ARGS]; /* of the path's segments */
    size_t nargs;
};

void may_path_init(void);
/* path: decoded, without the static prefix. out->rule: MAY_RULE_NONE when there is no row. */
void may_path_find(unsigned method, struct str path, struct may_path *out);
/* Does its rule look at the body? */
bool may_path_reads_body(const struct may_path *found);
/* Does MLflow's FastAPI look after it, which answers in plain text where its Flask does in HTML? */
bool may_path_is_native(unsigned method, struct str path);

#endif
