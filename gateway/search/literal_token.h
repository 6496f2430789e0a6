/*
 * literal_token: the tokens of a Python expression.
 *
 * For literal_parse.c: set a and text and line 1, call literal_next, look at kind and token. Pure;
 * any thread.
 */
#ifndef GATEWAY_LITERAL_TOKEN_H
#define GATEWAY_LITERAL_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

/* CPython's own limit on brackets within brackets. */
enum { LITERAL_DEPTH_MAX = 200 };

enum token_kind { TOKEN_END, TOKEN_NAME, TOKEN_NUMBER, TOKEN_STRING, TOKEN_OPERATOR, TOKEN_BAD };

struct literal_tokens {
    struct arena *a;
    struct str text;
    size_t pos;        /* behind the token */
    uint32_t line;     /* there */
    unsigned brackets; /* open */
    unsigned depth;    /* of the parser */
    /* the token */
    enum token_kind kind;
    struct str token;
    uint32_t token_line;
};

/* Reads the next token. */
void literal_next(struct literal_tokens *p);
/* Is the token that operator or name? */
bool literal_is(const struct literal_tokens *p, const char *text);
/* The same, and then the next token is read. */
bool literal_take(struct literal_tokens *p, const char *text);
/* Moves *pos over a line end, if there is one. */
bool literal_take_newline(struct literal_tokens *p, size_t *pos);

static inline bool literal_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool literal_is_octal(char c)
{
    return c >= '0' && c <= '7';
}

static inline bool literal_is_hex(char c)
{
    return literal_is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

#endif
