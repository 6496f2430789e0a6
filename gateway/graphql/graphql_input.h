/*
 * graphql_input: the values of variables and arguments.
 *
 * In the caller's arena, pointing into the document and the JSON. Pure functions; one thread.
 */
#ifndef GATEWAY_GRAPHQL_INPUT_H
#define GATEWAY_GRAPHQL_INPUT_H

#include <stdint.h>

#include "gateway/graphql/graphql_check.h"
#include "gateway/graphql/graphql_errors.h"
#include "gateway/graphql/graphql_parse.h"
#include "gateway/graphql/graphql_plan.h"
#include "yyjson.h"

struct graphql_binding {
    const struct graphql_variable *variable;
    yyjson_val *value; /* as sent; NULL = not sent, then the fallback counts */
};

/* The variables of one operation. */
struct graphql_bindings {
    struct graphql_binding *items;
    size_t n;
};

/* A scalar, an enum, or a list of String. */
struct graphql_input {
    bool is_set;
    bool is_null;
    struct str text;   /* of a String; of an enum its name */
    int64_t number;    /* of an Int */
    struct str *items; /* of a list; p NULL = null */
    size_t n;
};

struct graphql_argument {
    bool is_set;
    bool is_null;
    const struct graphql_type_row *type;
    struct graphql_input fields[GRAPHQL_INPUT_FIELDS_MAX]; /* a scalar argument is the first */
};

/* Holds values (an object, or NULL for none) against the variables of the operation, and adds what
 * is wrong. */
void graphql_bind(struct arena *a, const struct graphql_definition *operation, yyjson_val *values,
                  struct graphql_bindings *out, struct graphql_errors *errors);
/* The argument of a root field; its document and bindings have no errors. */
void graphql_argument(struct arena *a, const struct graphql_plan *plan,
                      const struct graphql_bindings *bindings, struct graphql_argument *out);
/* A field of an argument that is an input object: an unset one when it is not there. */
const struct graphql_input *graphql_argument_field(const struct graphql_argument *argument,
                                                   struct str name);

#endif
