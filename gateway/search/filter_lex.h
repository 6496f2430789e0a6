/*
 * filter_lex: the words of a filter or order_by, as sqlparse 0.6.1 cuts them.
 *
 * MLflow reads its filters through sqlparse, an SQL tokenizer, so what a client may write, and
 * every word of the refusals, is decided there. Call filter_lex_init, then filter_lex_next until it
 * is false; the tokens cover the text without a gap. Time is linear in the text. Pure; any thread.
 */
#ifndef GATEWAY_FILTER_LEX_H
#define GATEWAY_FILTER_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* sqlparse's token types, as far as anything asks. The keywords stand together. */
enum lex_type {
    LEX_NONE, /* not a token: a group of tokens */
    LEX_WHITESPACE,
    LEX_NEWLINE,
    LEX_ERROR,
    LEX_KEYWORD,
    LEX_DML,
    LEX_DDL,
    LEX_DCL,
    LEX_CTE,
    LEX_ORDER,
    LEX_TZCAST,
    LEX_NAME,
    LEX_BUILTIN,     /* a kind of name */
    LEX_PLACEHOLDER, /* a kind of name */
    LEX_LITERAL,     /* $$ ... $$ */
    LEX_SINGLE,      /* '...' */
    LEX_SYMBOL,      /* "..." */
    LEX_INTEGER,
    LEX_FLOAT,
    LEX_HEXADECIMAL,
    LEX_PUNCTUATION,
    LEX_OPERATOR,
    LEX_COMPARISON,
    LEX_WILDCARD,
    LEX_COMMENT_SINGLE,
    LEX_COMMENT_OTHER, /* hints, and comments over several lines */
    LEX_ASSIGNMENT,
    LEX_COMMAND,
    LEX_COUNT
};

/* Texts that somebody compares a token with: words in upper case, punctuation, operators. */
enum lex_word {
    WORD_NONE,
#define LEX_WORD(name, text) WORD_##name,
#include "gateway/search/filter_marks.def"
#undef LEX_WORD
    WORD_COUNT
};

struct filter_token {
    uint8_t type; /* enum lex_type */
    uint8_t word; /* enum lex_word */
    uint32_t start;
    uint32_t end; /* bytes in the text */
};

struct filter_lex {
    struct str text;
    /* private */
    size_t pos;
    size_t no_comment_end; /* no end of a comment at or after this place; SIZE_MAX = not known */
    size_t dollar_budget;  /* bytes that searches for the ends of $$ literals may still look at */
    size_t space_from;     /* the blanks looked over last */
    size_t space_end;
    bool is_exhausted; /* the budget is spent: nobody may rely on the tokens */
};

/* text is shorter than 4 GiB. */
void filter_lex_init(struct filter_lex *l, struct str text);
/* The next token; false at the end of the text. */
bool filter_lex_next(struct filter_lex *l, struct filter_token *t);
/* str.upper() when the result is ASCII and shorter than size; its length, else 0. */
size_t filter_lex_upper(struct str s, char *out, size_t size);

#endif
