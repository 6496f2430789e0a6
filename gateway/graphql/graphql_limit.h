/*
 * graphql_limit: is a GraphQL document small enough to be answered?
 *
 * MLflow's limits and words. Pure functions over the document's marks; one thread.
 */
#ifndef GATEWAY_GRAPHQL_LIMIT_H
#define GATEWAY_GRAPHQL_LIMIT_H

#include "gateway/graphql/graphql_errors.h"
#include "gateway/graphql/graphql_parse.h"

enum {
    GRAPHQL_DEPTH_MAX = 10,
    GRAPHQL_SELECTIONS_MAX = 1000, /* fields of all operations, fragments spread out */
    GRAPHQL_ROOTS_MAX = 10,        /* MLFLOW_SERVER_GRAPHQL_MAX_ROOT_FIELDS */
    GRAPHQL_ALIASES_MAX = 10       /* on one level: MLFLOW_SERVER_GRAPHQL_MAX_ALIASES */
};

/* Adds at most one error. */
void graphql_limit(struct graphql_document *doc, struct graphql_errors *errors);

#endif
