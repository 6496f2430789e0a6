/*
 * model_filter: what a filter of logged-models/search asks for.
 *
 * A grammar of its own (MLflow's search_logged_model_utils.py), looser than filter.h's, over the
 * same tokens: names are columns of logged_models, values need no quotes, lists are any Python
 * literal. model_filter_parse gives the clauses, all of which must hold; model_filter_check then
 * refuses names that are no columns, and model_filter_fits, when all else is checked, values that
 * PostgreSQL has no comparison for. Texts point into the filter or the arena. Pure; any thread.
 */
#ifndef GATEWAY_MODEL_FILTER_H
#define GATEWAY_MODEL_FILTER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"
#include "gateway/search/filter.h"

enum model_value {
    MODEL_TEXT,   /* text */
    MODEL_NUMBER, /* number */
    MODEL_NULL,   /* None */
    MODEL_TEXTS,  /* list */
    MODEL_INTS,   /* list, as PostgreSQL writes int4 */
    MODEL_FLOATS, /* list, as PostgreSQL reads float8 */
    MODEL_REFUSED /* nothing that a column is compared with; text says what MLflow says */
};

struct model_clause {
    enum filter_entity entity; /* but ENTITY_DATASET */
    struct str key;
    enum filter_op op; /* up to OP_NOT_IN */
    enum model_value kind;
    struct str text;
    double number;
    struct str *list; /* p == NULL is SQL NULL */
    size_t list_count;
};

/* The clauses of text; an empty text has none. ERR_BAD_PARAM, ERR_INTERNAL. */
must_check err_t model_filter_parse(struct arena *a, struct str text, struct model_clause **out,
                                    size_t *count, struct fail *f);
/* What MLflow meets while it makes the query: ERR_INTERNAL for a name that is no column,
 * ERR_BAD_REQUEST for an operator that None does not have. */
must_check err_t model_filter_check(struct arena *a, const struct model_clause *clauses,
                                    size_t count, struct fail *f);
/* What the driver refuses once the query is made: ERR_BAD_REQUEST for a value that does not fit. */
must_check err_t model_filter_fits(const struct model_clause *clauses, size_t count,
                                   struct fail *f);

/* The column of logged_models that an attribute is, NULL when there is none; aliases are
 * resolved by model_filter_alias first. Shared with the order. */
const char *model_filter_column(struct str key);
/* creation_time is creation_timestamp_ms; other names stay. */
struct str model_filter_alias(struct str key);

#endif
