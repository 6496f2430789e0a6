/*
 * filter_split: the statements of a filter or order_by, grouped.
 *
 * The entry to what MLflow has sqlparse.parse() do: filter_lex cuts the tokens, this file the
 * statements, filter_group makes the tree. One call. Nesting and the number of tokens are bounded
 * as in sqlparse; a text of very many statements is refused too. Pure; any thread.
 */
#ifndef GATEWAY_FILTER_SPLIT_H
#define GATEWAY_FILTER_SPLIT_H

#include "gateway/search/filter_group.h"

enum { FILTER_TOKENS_MAX = 10000 }; /* in a statement, a comment counting as one */

/* *first is the first statement, NULL when there is none; *count says how many there are. False
 * where sqlparse raises an exception (MLflow: "Error on parsing"). */
bool filter_split(struct arena *a, struct str text, struct filter_node **first, size_t *count);

#endif
