/*
 * graphql_parse: a GraphQL document as a tree.
 *
 * Names and values point into the document or into the arena; lists are chained by next, in the
 * order of the document. Pure functions; any thread.
 */
#ifndef GATEWAY_GRAPHQL_PARSE_H
#define GATEWAY_GRAPHQL_PARSE_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* How deep selections, values and types may be nested, and how many operations there may be; more
 * than 10 have too many root fields for MLflow anyway, unless they hold nothing but cycles. */
enum { GRAPHQL_NESTING_MAX = 64, GRAPHQL_OPERATIONS_MAX = 64 };

enum graphql_value_kind {
    LITERAL_VARIABLE,
    LITERAL_INT,
    LITERAL_FLOAT,
    LITERAL_STRING,
    LITERAL_BOOL,
    LITERAL_NULL,
    LITERAL_ENUM,
    LITERAL_LIST,
    LITERAL_OBJECT
};

struct graphql_value {
    enum graphql_value_kind kind;
    struct str name;             /* of an argument or of a field of an object */
    struct str text;             /* variable: its name; string: what it means; else as written */
    struct graphql_value *items; /* of a list or object */
    struct graphql_value *next;
    size_t at; /* byte of the document */
};

struct graphql_directive {
    struct str name;
    struct graphql_value *arguments;
    struct graphql_directive *next;
    size_t at;
};

struct graphql_type {
    struct str name;         /* empty for a list */
    struct graphql_type *of; /* list: of its items */
    bool is_required;        /* with ! */
};

struct graphql_variable {
    struct str name;
    struct graphql_type *type;
    struct graphql_value *fallback; /* NULL = none */
    struct graphql_directive *directives;
    struct graphql_variable *next;
    bool is_used;   /* graphql_check's */
    bool is_repeat; /* of a name that stands before; graphql_check's */
};

enum graphql_selection_kind { SELECT_FIELD, SELECT_SPREAD, SELECT_INLINE };

struct graphql_definition;

struct graphql_selection {
    enum graphql_selection_kind kind;
    struct str key;  /* of a field: its alias, else its name */
    struct str name; /* field; fragment that is spread; type condition, p NULL when there is none */
    bool has_alias;
    bool has_items;
    struct graphql_value *arguments;
    struct graphql_directive *directives;
    struct graphql_selection *items;
    struct graphql_definition *fragment; /* of a spread; NULL = there is none */
    struct graphql_selection *next;
    size_t at;
};

enum graphql_definition_kind {
    DEFINE_QUERY,
    DEFINE_MUTATION,
    DEFINE_SUBSCRIPTION,
    DEFINE_FRAGMENT
};

struct graphql_definition {
    enum graphql_definition_kind kind;
    struct str name;      /* p NULL = anonymous */
    struct str condition; /* of a fragment: its type */
    struct graphql_variable *variables;
    struct graphql_directive *directives;
    struct graphql_selection *items;
    struct graphql_definition *next;
    unsigned mark;     /* of the walk that saw it last; each takes a number of its own */
    size_t path_index; /* graphql_usage's, from here on */
    bool is_on_path;
    bool was_on_path;
    bool is_used; /* by an operation */
};

struct graphql_document {
    struct graphql_definition *definitions;
    unsigned marks;                        /* the last number taken for a walk */
    const struct graphql_selection **path; /* graphql_usage's; NULL until first needed */
};

/* ERR_BAD_PARAM with the place when it is no document of operations and fragments. */
must_check err_t graphql_parse(struct arena *a, struct str text, struct graphql_document *out,
                               struct fail *f);

#endif
