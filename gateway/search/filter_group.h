/*
 * filter_group: the comparisons and names that sqlparse 0.6.1 makes of a statement's tokens.
 *
 * filter_split reads a text into statements and has each grouped here. The tree lives in the arena
 * and points into the text by offsets. No recursion; time is about linear in the number of tokens.
 * Pure; any thread.
 */
#ifndef GATEWAY_FILTER_GROUP_H
#define GATEWAY_FILTER_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "gateway/search/filter_lex.h"

enum { GROUP_DEPTH_MAX = 100 };

enum group_class {
    GROUP_LEAF, /* a token */
    GROUP_STATEMENT,
    GROUP_COMMENT,
    GROUP_BRACKETS,
    GROUP_PARENTHESIS,
    GROUP_CASE,
    GROUP_IF,
    GROUP_FOR,
    GROUP_BEGIN,
    GROUP_OVER,
    GROUP_FUNCTION,
    GROUP_WHERE,
    GROUP_IDENTIFIER,
    GROUP_TYPED_LITERAL,
    GROUP_OPERATION,
    GROUP_COMPARISON,
    GROUP_ASSIGNMENT,
    GROUP_IDENTIFIER_LIST,
    GROUP_VALUES
};

struct filter_node {
    uint8_t class; /* enum group_class */
    uint8_t type;  /* enum lex_type of a leaf, else LEX_NONE */
    uint8_t word;  /* enum lex_word of a leaf */
    uint8_t depth; /* below the statement, as far as known */
    uint32_t start;
    uint32_t end; /* bytes in the text */
    uint32_t count;
    uint32_t cap;
    struct filter_node **tokens; /* of a group */
};

/* Which words and types a statement's tokens have; passes that find nothing to do are left out. */
struct filter_seen {
    bool words[WORD_COUNT];
    bool types[LEX_COUNT];
};

/* Groups the statement, a list of tokens. False when it is nested deeper than sqlparse allows. */
bool filter_group(struct arena *a, struct filter_node *statement, const struct filter_seen *seen);

/* An empty group with room for cap tokens. */
struct filter_node *filter_node_new(struct arena *a, enum group_class class, uint32_t cap);
void filter_node_add(struct arena *a, struct filter_node *n, struct filter_node *child);
/* The text of a node. */
struct str filter_node_text(struct str text, const struct filter_node *n);
/* Blank or line end? */
bool filter_node_is_space(const struct filter_node *n);
/* A keyword of the plain kind that spells word? */
bool filter_node_is(const struct filter_node *n, enum lex_word word);

#endif
