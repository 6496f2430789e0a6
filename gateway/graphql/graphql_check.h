/*
 * graphql_check: does a GraphQL document fit MLflow's types?
 *
 * graphql-core's rules and words. Pure functions over the document's marks; one thread.
 */
#ifndef GATEWAY_GRAPHQL_CHECK_H
#define GATEWAY_GRAPHQL_CHECK_H

#include "gateway/graphql/graphql_errors.h"
#include "gateway/graphql/graphql_parse.h"
#include "gateway/graphql/graphql_schema.h"

/* What a value must be: of a type, or a list of it. */
struct graphql_slot {
    enum graphql_type_id type; /* TYPE_NONE = not known */
    bool is_list;
    bool is_required;
};

/* Query, Mutation, or TYPE_NONE for a subscription; a fragment's is the type it is for. */
enum graphql_type_id graphql_root_type(const struct graphql_definition *d);
/* Adds what is wrong. Fields that do not merge are graphql_plan's. */
void graphql_check(struct graphql_document *doc, struct graphql_errors *errors);
/* A value as it is written, for messages. */
struct str graphql_print(struct arena *a, const struct graphql_value *v);
/* A type as it is written. */
struct str graphql_print_type(struct arena *a, const struct graphql_type *t);
/* What a field of an input type takes. */
struct graphql_slot graphql_slot_of(const struct graphql_field *field);

#endif
