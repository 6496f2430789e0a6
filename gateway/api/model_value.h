/*
 * model_value: the Python literals in filters of logged models, as values of SQL.
 *
 * For model_filter.c. Pure; any thread.
 */
#ifndef GATEWAY_MODEL_VALUE_H
#define GATEWAY_MODEL_VALUE_H

#include "gateway/search/model_filter.h"

/* text is "( ... )": sets kind and value of c, whose comparator is set. ERR_INTERNAL with Python's
 * words for what is no literal. */
must_check err_t model_value_literal(struct arena *a, struct str text, bool is_integer_column,
                                     struct model_clause *c, struct fail *f);

#endif
