/*
 * literal_parse: one Python expression as a tree, as far as ast.literal_eval tells kinds apart.
 *
 * For literal.c. The tree lives in the arena. Recursion is bounded by CPython's own limit
 * on brackets (literal_token.h). Pure; any thread.
 */
#ifndef GATEWAY_LITERAL_PARSE_H
#define GATEWAY_LITERAL_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum literal_kind {
    LITERAL_STR,
    LITERAL_BYTES,
    LITERAL_INT,
    LITERAL_FLOAT,
    LITERAL_IMAGINARY,
    LITERAL_CONSTANT, /* None, True, False, ... */
    LITERAL_TUPLE,
    LITERAL_LIST,
    LITERAL_SET,
    LITERAL_DICT,      /* items: key, value, key, value; a NULL key is ** */
    LITERAL_EMPTY_SET, /* set() */
    LITERAL_SIGN,      /* + or - before items[0] */
    LITERAL_SUM,       /* items[0] + or - items[1] */
    LITERAL_OTHER      /* an expression */
};

struct literal {
    enum literal_kind kind;
    const char *class; /* of Python's ast, for the message */
    uint32_t line;
    char sign;       /* of LITERAL_SIGN and LITERAL_SUM */
    struct str text; /* the bytes of a string; repr of a number or constant */
    struct literal **items;
    size_t count;
};

/* The tree of the expression that text is; NULL for a SyntaxError. */
struct literal *literal_parse(struct arena *a, struct str text);

#endif
