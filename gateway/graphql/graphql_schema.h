/*
 * graphql_schema: MLflow's GraphQL types as read-only tables; the rows stand in graphql.def.
 *
 * Any thread.
 */
#ifndef GATEWAY_GRAPHQL_SCHEMA_H
#define GATEWAY_GRAPHQL_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/str.h"

enum graphql_kind { KIND_SCALAR, KIND_ENUM, KIND_INPUT, KIND_OBJECT };

enum graphql_shape {
    SHAPE_ONE,
    SHAPE_LIST, /* [T!] */
    SHAPE_LIST_OF_NULLABLE,
    SHAPE_ABSENT,      /* ONE that is always null */
    SHAPE_NAN_AS_NULL, /* ONE */
    SHAPE_VALUE        /* of an enum */
};

/* Who answers a field of Query or Mutation. */
enum graphql_root {
    ROOT_NOT_BUILT,
    ROOT_NOTHING, /* null */
    ROOT_TEST,
    ROOT_GET_RUN,
    ROOT_SEARCH_RUNS,
    ROOT_GET_EXPERIMENT,
    ROOT_HISTORY,
    ROOT_LIST_ARTIFACTS
};

enum graphql_type_id {
    TYPE_NONE, /* unknown */
#define SCALAR(name) TYPE_##name,
#define ENUM(name)   TYPE_##name,
#define INPUT(name)  TYPE_##name,
#define OBJECT(name) TYPE_##name,
#define VALUE(name)
#define FIELD(name, key, shape, type)
#define ROOT(name, type, argument, input, root, function, parameter)
#define END_TYPE(name)
#include "gateway/graphql/graphql.def"
#undef SCALAR
#undef ENUM
#undef INPUT
#undef OBJECT
#undef VALUE
#undef FIELD
#undef ROOT
#undef END_TYPE
    TYPE_COUNT
};

struct graphql_field {
    struct str name;
    struct str key; /* in the JSON of the REST answers */
    enum graphql_shape shape;
    enum graphql_type_id type;
    struct str argument; /* of a root; empty = the field takes none */
    enum graphql_type_id input;
    enum graphql_root root;
    const char *function;
    const char *parameter;
};

struct graphql_type_row {
    struct str name;
    enum graphql_kind kind;
    const struct graphql_field *fields; /* of an enum: its values */
    size_t nfields;
};

enum { GRAPHQL_INPUT_FIELDS_MAX = 8 };

/* Row of a type; none for TYPE_NONE. */
const struct graphql_type_row *graphql_type(enum graphql_type_id id);
enum graphql_type_id graphql_type_find(struct str name);
/* A field of an object or input, a value of an enum; NULL when there is none of that name. */
const struct graphql_field *graphql_field_find(enum graphql_type_id type, struct str name);
/* "MlflowRun", "[MlflowParam!]" */
struct str graphql_field_type(struct arena *a, const struct graphql_field *field);

/* " Did you mean 'a' or 'b'?" for names like the one that was sent, or nothing: among the fields of
 * a type, and among the types. */
struct str graphql_suggest_field(struct arena *a, enum graphql_type_id type, struct str sent,
                                 const char *what);
struct str graphql_suggest_type(struct arena *a, struct str sent);
/* The same for one name. */
struct str graphql_suggest_one(struct arena *a, struct str name, struct str sent);

#endif
