/*
 * filter_split: tokens to statements, as sqlparse 0.6.1's StatementSplitter does it.
 *
 * A statement ends at a ';' outside parentheses and blocks, or at GO; the blanks and '--' comments
 * that follow belong to it, a line end begins the next. Of blanks alone no statement is made. What
 * is a block is decided by keywords (BEGIN .. END and what may stand in it), whatever they mean.
 *
 * A run of comments and line ends that something follows becomes one comment token here, as
 * sqlparse's first grouping pass would make it.
 *
 * MLflow takes one statement only. The others are looked at for one thing: too many tokens or
 * too deep nesting anywhere makes it say something else. They are read into memory that is
 * used again, and a short one is not grouped at all.
 */
#include "gateway/search/filter_split.h"

#include <string.h>

#define NOWHERE UINT32_MAX

enum {
    FILTER_TEXT_TOKENS_MAX = 100000, /* but blanks, in a text; ours, not sqlparse's */
    SHORT_STATEMENT = 50             /* tokens that cannot be nested 100 deep */
};

static bool is_blank(uint8_t type)
{
    return type == LEX_WHITESPACE || type == LEX_NEWLINE;
}

static bool is_comment(uint8_t type)
{
    return type == LEX_COMMENT_SINGLE || type == LEX_COMMENT_OTHER;
}

/* -- where a statement ends
 * ---------------------------------------------------------------------- */

struct splitter {
    struct arena *a;
    uint8_t *blocks; /* words */
    uint32_t blocks_count;
    uint32_t blocks_cap;
    uint32_t begins; /* BEGIN among blocks */
    int64_t level;
    enum lex_word unconfirmed; /* FOR or WHILE before its LOOP or DO */
    bool is_create;
    bool has_begin;
    bool is_complete; /* only blanks may still join the statement */
};

static void splitter_push(struct splitter *s, enum lex_word word)
{
    if (s->blocks_count == s->blocks_cap) {
        uint32_t cap = s->blocks_cap ? s->blocks_cap * 2 : 16;
        uint8_t *more = arena_alloc(s->a, cap);

        if (s->blocks_count)
            memcpy(more, s->blocks, s->blocks_count);
        s->blocks = more;
        s->blocks_cap = cap;
    }
    s->begins += word == WORD_BEGIN;
    s->blocks[s->blocks_count++] = (uint8_t)word;
}

static enum lex_word splitter_top(const struct splitter *s)
{
    return s->blocks_count ? s->blocks[s->blocks_count - 1] : WORD_NONE;
}

static void splitter_pop(struct splitter *s)
{
    if (s->blocks_count == 0)
        return;
    s->begins -= s->blocks[--s->blocks_count] == WORD_BEGIN;
}

/* BEGIN that turns out to begin a transaction, not a block. */
static int splitter_drop_begin(struct splitter *s)
{
    s->has_begin = false;
    if (splitter_top(s) != WORD_BEGIN)
        return 0;
    splitter_pop(s);
    return -1;
}

/* Loops and the like within BEGIN; true when the word was one, with its change of level. */
static bool splitter_nested(struct splitter *s, enum lex_word word, int *change)
{
    *change = 0;
    switch (word) {
    case WORD_FOR:
    case WORD_WHILE: s->unconfirmed = word; return true;
    case WORD_LOOP:
    case WORD_DO:
        if (s->unconfirmed == WORD_NONE && word == WORD_DO)
            return false;
        splitter_push(s, s->unconfirmed == WORD_NONE ? WORD_LOOP : s->unconfirmed);
        s->unconfirmed = WORD_NONE;
        *change = 1;
        return true;
    case WORD_IF:
    case WORD_CASE:
        splitter_push(s, word);
        *change = 1;
        return true;
    default: return false;
    }
}

static int splitter_closing(struct splitter *s, enum lex_word word)
{
    enum lex_word top = splitter_top(s);
    bool is_end;

    switch (word) {
    case WORD_END_IF: is_end = top == WORD_IF; break;
    case WORD_END_FOR: is_end = top == WORD_FOR; break;
    case WORD_END_WHILE: is_end = top == WORD_WHILE; break;
    case WORD_END_LOOP: is_end = top == WORD_LOOP || top == WORD_FOR || top == WORD_WHILE; break;
    case WORD_END_CASE: is_end = top == WORD_CASE; break;
    case WORD_END: is_end = true; break;
    default: is_end = false; break;
    }
    if (!is_end)
        return 0;
    splitter_pop(s);
    return -1;
}

static bool is_transaction_word(enum lex_word word)
{
    return word == WORD_TRANSACTION || word == WORD_WORK || word == WORD_TRAN ||
           word == WORD_DISTRIBUTED || word == WORD_DEFERRED || word == WORD_IMMEDIATE ||
           word == WORD_EXCLUSIVE;
}

static int splitter_keyword(struct splitter *s, const struct filter_token *t)
{
    enum lex_word word = t->word;
    int change;

    if (t->type == LEX_DDL && word == WORD_CREATE) {
        s->is_create = true;
        return 0;
    }
    if (word == WORD_DECLARE && s->is_create && s->blocks_count == 0) {
        splitter_push(s, word);
        return 1;
    }
    if (word == WORD_BEGIN) {
        bool was_declare = splitter_top(s) == WORD_DECLARE;

        s->has_begin = true;
        if (was_declare)
            splitter_pop(s);
        splitter_push(s, word);
        return was_declare ? 0 : 1;
    }
    if (s->has_begin && t->type == LEX_KEYWORD && is_transaction_word(word))
        return splitter_drop_begin(s);
    if (s->begins && splitter_nested(s, word, &change))
        return change;
    return splitter_closing(s, word);
}

/* How the token changes the level of nesting. */
static int splitter_change(struct splitter *s, const struct filter_token *t)
{
    if (t->type == LEX_PUNCTUATION) {
        switch (t->word) {
        case WORD_SEMICOLON:
            s->unconfirmed = WORD_NONE;
            return s->has_begin ? splitter_drop_begin(s) : 0;
        case WORD_PAREN_OPEN: return 1;
        case WORD_PAREN_CLOSE: return -1;
        default: return 0;
        }
    }
    return t->type >= LEX_KEYWORD && t->type <= LEX_TZCAST ? splitter_keyword(s, t) : 0;
}

static bool is_go(struct str text, const struct filter_token *t)
{
    struct str s = {text.p + t->start, t->end - t->start};

    return t->type == LEX_KEYWORD && str_starts(s, STR("GO")) &&
           (s.n == 2 || !((s.p[2] | 0x20) >= 'a' && (s.p[2] | 0x20) <= 'z'));
}

/* After the token: is the statement complete? */
static void splitter_after(struct splitter *s, struct str text, const struct filter_token *t)
{
    if (t->type == LEX_PUNCTUATION && t->word == WORD_SEMICOLON) {
        s->has_begin = false;
        if (s->level <= 0 && s->begins == 0)
            s->is_complete = true;
    } else if (is_go(text, t)) {
        s->is_complete = true;
    } else if (t->type != LEX_WHITESPACE && t->type != LEX_NEWLINE &&
               t->type != LEX_COMMENT_SINGLE && t->type != LEX_COMMENT_OTHER &&
               !(t->type == LEX_KEYWORD && t->word == WORD_BEGIN)) {
        s->has_begin = false;
    }
}

/* -- one text ---------------------------------------------------------------------------------- */

struct reader {
    struct arena *a;
    struct filter_node *statement;
    struct filter_seen seen;
    struct splitter s;
    uint32_t comment_from; /* first token of a run of comments and line ends, or NOWHERE */
    bool has_ink;          /* something that is not blank */
};

static void reader_start(struct reader *r, struct arena *a)
{
    memset(r, 0, sizeof(*r));
    r->a = a;
    r->statement = filter_node_new(a, GROUP_STATEMENT, 32);
    r->s.a = a;
    r->comment_from = NOWHERE;
}

/* A run of comments that something follows is one group; nobody looks into it. */
static void reader_end_comments(struct reader *r)
{
    struct filter_node *list = r->statement;
    struct filter_node *n = filter_node_new(r->a, GROUP_COMMENT, 1);

    n->start = list->tokens[r->comment_from]->start;
    n->end = list->tokens[list->count - 1]->end;
    list->tokens[r->comment_from] = n;
    list->count = r->comment_from + 1;
    r->comment_from = NOWHERE;
}

/* False: too many tokens. */
static bool reader_add(struct reader *r, const struct filter_token *t)
{
    bool may_join = is_comment(t->type) || t->type == LEX_NEWLINE;
    struct filter_node *list = r->statement;
    struct filter_node *n;

    if (!may_join && r->comment_from != NOWHERE)
        reader_end_comments(r);
    if (r->comment_from == NOWHERE && is_comment(t->type))
        r->comment_from = list->count;
    /* Of blanks alone there may be any number: no statement comes of them. */
    if (list->count >= 2 * FILTER_TOKENS_MAX)
        return is_blank(t->type) && !r->has_ink;
    n = arena_zalloc(r->a, sizeof(*n));
    n->type = t->type;
    n->word = t->word;
    n->start = t->start;
    n->end = t->end;
    filter_node_add(r->a, list, n);
    r->seen.words[t->word] = true;
    r->seen.types[t->type] = true;
    r->has_ink = r->has_ink || !is_blank(t->type);
    return true;
}

/* The statement is read. A short one cannot be nested too deep; only the first is looked at. */
static bool reader_finish(struct reader *r, struct filter_node **first, size_t *count)
{
    struct filter_node *list = r->statement;

    list->end = list->tokens[list->count - 1]->end;
    if ((*count)++ == 0)
        *first = list;
    else if (list->count < SHORT_STATEMENT)
        return true;
    return list->count <= FILTER_TOKENS_MAX && filter_group(r->a, list, &r->seen);
}

static bool reader_run(struct reader *r, struct arena *a, struct arena *scratch, struct str text,
                       struct filter_node **first, size_t *count)
{
    struct filter_lex lex;
    struct filter_token t;
    size_t tokens = 0;

    filter_lex_init(&lex, text);
    reader_start(r, a);
    while (filter_lex_next(&lex, &t)) {
        tokens += !is_blank(t.type);
        if (lex.is_exhausted || tokens > FILTER_TEXT_TOKENS_MAX)
            return false;
        if (r->s.is_complete && t.type != LEX_WHITESPACE && t.type != LEX_COMMENT_SINGLE) {
            if (!reader_finish(r, first, count))
                return false;
            arena_reset(scratch);
            reader_start(r, scratch);
        }
        r->s.level += splitter_change(&r->s, &t);
        if (!reader_add(r, &t))
            return false;
        splitter_after(&r->s, text, &t);
    }
    return !r->has_ink || reader_finish(r, first, count);
}

bool filter_split(struct arena *a, struct str text, struct filter_node **first, size_t *count)
{
    struct arena scratch;
    struct reader r;
    bool is_ok;

    *first = NULL;
    *count = 0;
    arena_init(&scratch, 1 << 16);
    is_ok = reader_run(&r, a, &scratch, text, first, count);
    arena_fini(&scratch);
    return is_ok;
}
