/*
 * graphql_write: values as a GraphQL answer shows them.
 *
 * The values are the JSON that the REST handlers write (api/entity.h), one entity at a time; what
 * is written of it is what a plan asks for. One owner, one thread; init and fini within one step.
 */
#ifndef GATEWAY_GRAPHQL_WRITE_H
#define GATEWAY_GRAPHQL_WRITE_H

#include "base/buf.h"
#include "base/json.h"
#include "gateway/graphql/graphql_errors.h"
#include "gateway/graphql/graphql_plan.h"

struct graphql_write {
    struct json *json; /* the answer */
    struct graphql_errors *errors;
    struct buf text; /* an entity, in COMPACT form */
    struct buf tree; /* private */
};

void graphql_write_init(struct graphql_write *w, struct json *j, struct graphql_errors *errors);
void graphql_write_fini(struct graphql_write *w);
/* Empties w->text and begins to write there. */
void graphql_write_begin(struct graphql_write *w, struct json *j);
/* Writes what plan asks for of the object in w->text. */
void graphql_write_entity(struct graphql_write *w, const struct graphql_plan *plan);
/* __typename of a plan without a field. */
void graphql_write_typename(struct json *j, const struct graphql_plan *plan);

#endif
