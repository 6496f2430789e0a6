/*
 * graphql_plan: what an operation asks for, fragments spread out and equal fields merged.
 *
 * A tree in the arena that points into the document. Pure functions over the document's marks; one
 * thread.
 */
#ifndef GATEWAY_GRAPHQL_PLAN_H
#define GATEWAY_GRAPHQL_PLAN_H

#include "gateway/graphql/graphql_errors.h"
#include "gateway/graphql/graphql_parse.h"
#include "gateway/graphql/graphql_schema.h"

/* One key of an answer. */
struct graphql_plan {
    struct str key;
    const struct graphql_field *field;         /* NULL = __typename, or the root */
    enum graphql_type_id type;                 /* of the value; of __typename: of what holds it */
    const struct graphql_selection *selection; /* the first that asks for it */
    const struct graphql_plan *items;          /* sorted by key, as MLflow answers */
    size_t nitems;
};

/* The whole of an operation that graphql_check found right. Adds an error for each two fields with one
 * key that are not the same. */
const struct graphql_plan *graphql_plan(struct graphql_document *doc,
                                        const struct graphql_definition *operation,
                                        struct graphql_errors *errors);
/* The item for that field's name, NULL when it is not asked for. */
const struct graphql_plan *graphql_plan_find(const struct graphql_plan *plan, struct str name);

#endif
