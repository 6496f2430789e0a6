/*
 * graphql_lex: the tokens of a GraphQL document.
 *
 * graphql_lex_init(), then graphql_lex_next() until GRAPHQL_END. Pure functions over the caller's
 * arena, which takes the values of strings; any thread.
 */
#ifndef GATEWAY_GRAPHQL_LEX_H
#define GATEWAY_GRAPHQL_LEX_H

#include "base/arena.h"
#include "base/fail.h"
#include "base/str.h"

/* What a document may hold; the longest that MLflow's pages send has 160 tokens in 2 KB. */
enum { GRAPHQL_BYTES_MAX = 64 << 10, GRAPHQL_TOKENS_MAX = 8192 };

enum graphql_token_kind {
    GRAPHQL_END,
    GRAPHQL_MARK, /* text is one of ! $ & ( ) ... : = @ [ ] { | } */
    GRAPHQL_NAME,
    GRAPHQL_INT,
    GRAPHQL_FLOAT,
    GRAPHQL_STRING
};

struct graphql_token {
    enum graphql_token_kind kind;
    struct str text;  /* as it stands in the document, quotes included */
    struct str value; /* of a string: what it means */
    size_t at;        /* byte of the document */
};

struct graphql_lex {
    struct arena *arena;
    struct str text;
    size_t pos;
    size_t tokens; /* taken so far */
};

/* text outlives the tokens. */
void graphql_lex_init(struct graphql_lex *l, struct arena *a, struct str text);
/* The next token; ERR_BAD_PARAM with the place when there is none. */
must_check err_t graphql_lex_next(struct graphql_lex *l, struct graphql_token *t, struct fail *f);
/* ERR_BAD_PARAM: "Syntax Error at line n, column n: <text>". */
err_t graphql_lex_fail(struct arena *a, struct str text, size_t at, struct str why, struct fail *f);

#endif
