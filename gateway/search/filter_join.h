/*
 * filter_join: the tokens of a statement as MLflow looks at them: comparisons, and what is none.
 *
 * For the parsers of filters: filter.c, model_filter.c. Nodes and texts point into the text and the
 * tree of filter_split. Pure; any thread.
 */
#ifndef GATEWAY_FILTER_JOIN_H
#define GATEWAY_FILTER_JOIN_H

#include "base/arena.h"
#include "base/str.h"
#include "gateway/search/filter.h"
#include "gateway/search/filter_group.h"

/* One comparison: its parts without the blanks. */
struct compared {
    const struct filter_node *left;
    struct str op;
    const struct filter_node *right; /* NULL for IS NULL */
    size_t count;                    /* parts found; 3 is right */
    const struct filter_node *whole; /* NULL when it was joined here */
};

/* The tokens of a statement, joined: a comparison or a node that stands for itself. */
struct joined {
    const struct filter_node *node; /* NULL: a comparison */
    struct compared parts;
};

/* MLflow's _join_in_comparison_tokens: out has room for as many as the statement has tokens; how
 * many there are. Blanks are left out. */
size_t filter_join(struct arena *a, struct str text, const struct filter_node *statement,
                   struct joined *out);
/* The comparator that text, in upper case, is. */
enum filter_op filter_op_of(struct str text);
/* upper() of a comparator. */
struct str filter_upper(struct arena *a, struct str s);

#endif
