/*
 * graphql_usage: what a GraphQL document makes use of, variables and fragments.
 *
 * The part of graphql_check that follows spreads. Adds graphql-core's messages; one thread.
 */
#ifndef GATEWAY_GRAPHQL_USAGE_H
#define GATEWAY_GRAPHQL_USAGE_H

#include "gateway/graphql/graphql_errors.h"
#include "gateway/graphql/graphql_parse.h"

/* The variables of an operation: all that are used are defined, the other way round, and of a type
 * that fits. */
void graphql_usage_variables(struct graphql_document *doc, struct graphql_definition *operation,
                             struct graphql_errors *errors);
/* Fragments that hold themselves, looked for from this one on unless another search met it. */
void graphql_usage_cycles(struct graphql_document *doc, struct graphql_definition *fragment,
                          struct graphql_errors *errors);
/* Fragments that no operation spreads. */
void graphql_usage_fragments(struct graphql_document *doc, struct graphql_errors *errors);

#endif
