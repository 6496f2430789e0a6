/*
 * literal_token: Python's tokenizer, as far as an expression in brackets meets it.
 *
 * Blanks, comments, and line ends within brackets separate tokens; CR and CRLF count as line ends,
 * as CPython reads its source. A number may touch only a keyword; underscores stand singly between
 * digits. A string ends at its quote or, tripled, at three of them; only then may it go over lines.
 * Names are made of whatever str.isalnum says, which is a little more than Python's identifiers.
 */
#include "gateway/search/literal_token.h"

#include <string.h>

#include "ingest/python.h"

/* Longest first. */
static const char *const marks[] = {
    "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "->", ":=", "...", "+", "-", "*", "/", "%", "@",
    "&",  "|",  "^",  "~",  "<",  ">",  "(",  ")",  "[",  "]",  "{",   "}", ",", ":", ".", "="};

static char token_byte(const struct literal_tokens *p, size_t pos)
{
    return pos < p->text.n ? p->text.p[pos] : '\0';
}

/* The length of the name character at pos, 0 when it is none. */
static size_t token_name_char(const struct literal_tokens *p, size_t pos)
{
    struct str rest = str_skip(p->text, pos);
    size_t before = rest.n;

    if (rest.n == 0)
        return 0;
    if ((unsigned char)rest.p[0] < 0x80)
        return rest.p[0] == '_' || python_is_alnum((unsigned char)rest.p[0]) ? 1 : 0;
    return python_is_alnum(python_next(&rest)) ? before - rest.n : 0;
}

static size_t token_name_end(const struct literal_tokens *p, size_t pos)
{
    size_t n;

    while ((n = token_name_char(p, pos)) > 0)
        pos += n;
    return pos;
}

/* Over a line end at pos, if there is one. */
bool literal_take_newline(struct literal_tokens *p, size_t *pos)
{
    char c = token_byte(p, *pos);

    if (*pos >= p->text.n || (c != '\n' && c != '\r'))
        return false;
    *pos += c == '\r' && token_byte(p, *pos + 1) == '\n' ? 2 : 1;
    p->line++;
    return true;
}

static void token_skip_blanks(struct literal_tokens *p)
{
    for (;;) {
        size_t next = p->pos + 1;
        char c = token_byte(p, p->pos);

        if (c == ' ' || c == '\t' || c == '\f') {
            p->pos++;
        } else if (c == '\\' && literal_take_newline(p, &next)) {
            p->pos = next;
        } else if (c == '#') {
            while (p->pos < p->text.n && token_byte(p, p->pos) != '\n' &&
                   token_byte(p, p->pos) != '\r')
                p->pos++;
        } else if (p->brackets == 0 || !literal_take_newline(p, &p->pos)) {
            return;
        }
    }
}

/* Digits with single underscores between them; false when an underscore is misplaced. */
static bool token_digits(const struct literal_tokens *p, size_t *pos, bool (*is)(char c))
{
    size_t from = *pos;

    for (;;) {
        while (is(token_byte(p, *pos)))
            (*pos)++;
        if (token_byte(p, *pos) != '_')
            return *pos > from;
        if (*pos == from || !is(token_byte(p, *pos + 1)))
            return false;
        (*pos)++;
    }
}

static bool is_binary(char c)
{
    return c == '0' || c == '1';
}

/* What may follow a number directly: a keyword, never another name. */
static bool token_ends_number(const struct literal_tokens *p, size_t pos)
{
    static const char *const words[] = {"and", "else", "for", "if", "in", "is", "not", "or"};
    struct str rest = str_skip(p->text, pos);

    if (token_name_char(p, pos) == 0)
        return true;
    for (size_t i = 0; i < array_len(words); i++) {
        if (str_starts(rest, str_of(words[i])))
            return true;
    }
    return false;
}

static bool token_number(struct literal_tokens *p, size_t *pos)
{
    char base = token_byte(p, *pos) == '0' ? (char)(token_byte(p, *pos + 1) | 0x20) : '\0';
    size_t exponent;

    if (base == 'x' || base == 'o' || base == 'b') {
        *pos += 2;
        *pos += token_byte(p, *pos) == '_';
        return token_digits(p, pos,
                            base == 'x'   ? literal_is_hex
                            : base == 'o' ? literal_is_octal
                                          : is_binary) &&
               !literal_is_digit(token_byte(p, *pos)) && token_ends_number(p, *pos);
    }
    if (literal_is_digit(token_byte(p, *pos)) && !token_digits(p, pos, literal_is_digit))
        return false;
    if (token_byte(p, *pos) == '.') {
        (*pos)++;
        if (literal_is_digit(token_byte(p, *pos)) && !token_digits(p, pos, literal_is_digit))
            return false;
    }
    exponent = *pos + 1;
    if ((token_byte(p, *pos) | 0x20) == 'e') {
        exponent += token_byte(p, exponent) == '+' || token_byte(p, exponent) == '-';
        if (literal_is_digit(token_byte(p, exponent))) {
            if (!token_digits(p, &exponent, literal_is_digit))
                return false;
            *pos = exponent;
        }
    }
    *pos += (token_byte(p, *pos) | 0x20) == 'j';
    return token_ends_number(p, *pos);
}

/* A string from its prefix on; false when it is not closed. */
static bool token_string(struct literal_tokens *p, size_t *pos)
{
    char quote;
    bool is_triple;

    while (token_byte(p, *pos) != '\'' && token_byte(p, *pos) != '"')
        (*pos)++;
    quote = token_byte(p, *pos);
    is_triple = token_byte(p, *pos + 1) == quote && token_byte(p, *pos + 2) == quote;
    *pos += is_triple ? 3 : 1;
    while (*pos < p->text.n) {
        if (token_byte(p, *pos) == '\\') {
            (*pos)++;
            if (*pos < p->text.n && !literal_take_newline(p, pos))
                (*pos)++;
        } else if (token_byte(p, *pos) == quote &&
                   (!is_triple ||
                    (token_byte(p, *pos + 1) == quote && token_byte(p, *pos + 2) == quote))) {
            *pos += is_triple ? 3 : 1;
            return true;
        } else if (literal_take_newline(p, pos)) {
            if (!is_triple)
                return false;
        } else {
            (*pos)++;
        }
    }
    return false;
}

/* Is there a string at pos? A prefix is one or two letters of b, f, r, u. */
static bool token_begins_string(const struct literal_tokens *p, size_t pos)
{
    static const char *const prefixes[] = {"", "b", "f", "r", "u", "br", "fr", "rb", "rf"};

    for (size_t i = 0; i < array_len(prefixes); i++) {
        struct str prefix = str_of(prefixes[i]);
        char quote = token_byte(p, pos + prefix.n);

        if ((quote == '\'' || quote == '"') &&
            str_ieq(str_head(str_skip(p->text, pos), prefix.n), prefix))
            return true;
    }
    return false;
}

static enum token_kind token_mark(struct literal_tokens *p, size_t *pos)
{
    for (size_t i = 0; i < array_len(marks); i++) {
        struct str mark = str_of(marks[i]);

        if (!str_starts(str_skip(p->text, *pos), mark))
            continue;
        *pos += mark.n;
        if (strchr("([{", mark.p[0]))
            return ++p->brackets > LITERAL_DEPTH_MAX ? TOKEN_BAD : TOKEN_OPERATOR;
        if (strchr(")]}", mark.p[0]) && p->brackets > 0)
            p->brackets--;
        return TOKEN_OPERATOR;
    }
    return TOKEN_BAD;
}

void literal_next(struct literal_tokens *p)
{
    size_t pos;
    char c;

    token_skip_blanks(p);
    pos = p->pos;
    c = token_byte(p, pos);
    p->token_line = p->line;
    if (pos >= p->text.n)
        p->kind = TOKEN_END;
    else if (token_begins_string(p, pos))
        p->kind = token_string(p, &pos) ? TOKEN_STRING : TOKEN_BAD;
    else if (literal_is_digit(c) || (c == '.' && literal_is_digit(token_byte(p, pos + 1))))
        p->kind = token_number(p, &pos) ? TOKEN_NUMBER : TOKEN_BAD;
    else if (token_name_char(p, pos)) {
        pos = token_name_end(p, pos);
        p->kind = TOKEN_NAME;
    } else {
        p->kind = token_mark(p, &pos);
    }
    p->token = (struct str){p->text.p + p->pos, pos - p->pos};
    p->pos = pos;
}

bool literal_is(const struct literal_tokens *p, const char *text)
{
    return (p->kind == TOKEN_OPERATOR || p->kind == TOKEN_NAME) && str_eq(p->token, str_of(text));
}

bool literal_take(struct literal_tokens *p, const char *text)
{
    if (!literal_is(p, text))
        return false;
    literal_next(p);
    return true;
}
