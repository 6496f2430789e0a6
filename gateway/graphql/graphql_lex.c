/*
 * graphql_lex: a GraphQL document, cut as graphql-core 3.2 cuts it.
 *
 * Blanks, line ends, commas, byte order marks and comments (# to the end of the line) separate
 * tokens and mean nothing. A number is not followed by a letter, a digit or a dot. A string in one
 * pair of quotes stands on one line and has escapes; \uD83D\uDE00 and \u{1F600} are one character,
 * half a pair is refused. A string in three pairs (a block) has one escape, for three quotes; its
 * common indent and its blank first and last lines are dropped.
 *
 * One pass, no token is looked at twice; blocks are passed over three times. Names and numbers are
 * slices of the document, strings that hold no escape too. How many tokens are taken is bounded, and
 * so is all work that follows from them.
 *
 * The document is UTF-8. Lone surrogates, which JSON lets through as three bytes, are refused where
 * the values are bound.
 */
#include "gateway/graphql/graphql_lex.h"

#include <string.h>

#include "base/buf.h"
#include "gateway/say.h"
#include "ingest/names.h"
#include "schema/errors.h"

enum { BLOCK_INDENT_NONE = 1 << 30 };

void graphql_lex_init(struct graphql_lex *l, struct arena *a, struct str text)
{
    *l = (struct graphql_lex){.arena = a, .text = text};
}

err_t graphql_lex_fail(struct arena *a, struct str text, size_t at, struct str why, struct fail *f)
{
    size_t line = 1, column = 1;

    for (size_t i = 0; i < at && i < text.n; i++) {
        column++;
        if (text.p[i] == '\n' && i > 0 && text.p[i - 1] == '\r')
            column = 1;
        else if (text.p[i] == '\n' || text.p[i] == '\r')
            line++, column = 1;
    }
    return SAY(a, f, ERR_BAD_PARAM,
               arena_printf(a, "Syntax Error at line %zu, column %zu: ", line, column), why,
               STR("."));
}

static err_t lex_fail(const struct graphql_lex *l, size_t at, struct str why, struct fail *f)
{
    return graphql_lex_fail(l->arena, l->text, at, why, f);
}

static int lex_peek(const struct graphql_lex *l, size_t ahead)
{
    size_t at = l->pos + ahead;

    return at < l->text.n ? (unsigned char)l->text.p[at] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Blanks, commas, comments, byte order marks. */
static void lex_skip(struct graphql_lex *l)
{
    for (;;) {
        int c = lex_peek(l, 0);

        if (c == ' ' || c == '\t' || c == ',' || c == '\n' || c == '\r') {
            l->pos++;
        } else if (c == 0xEF && lex_peek(l, 1) == 0xBB && lex_peek(l, 2) == 0xBF) {
            l->pos += 3;
        } else if (c == '#') {
            while ((c = lex_peek(l, 0)) != -1 && c != '\n' && c != '\r')
                l->pos++;
        } else {
            return;
        }
    }
}

static err_t lex_digits(struct graphql_lex *l, struct fail *f)
{
    if (!is_digit(lex_peek(l, 0)))
        return lex_fail(l, l->pos, STR("Invalid number, expected a digit"), f);
    while (is_digit(lex_peek(l, 0)))
        l->pos++;
    return OK;
}

static err_t lex_number(struct graphql_lex *l, struct graphql_token *t, struct fail *f)
{
    err_t e;

    t->kind = GRAPHQL_INT;
    if (lex_peek(l, 0) == '-')
        l->pos++;
    if (lex_peek(l, 0) == '0') {
        l->pos++;
        if (is_digit(lex_peek(l, 0)))
            return lex_fail(l, l->pos, STR("Invalid number, unexpected digit after 0"), f);
    } else if ((e = lex_digits(l, f))) {
        return e;
    }
    if (lex_peek(l, 0) == '.') {
        t->kind = GRAPHQL_FLOAT;
        l->pos++;
        if ((e = lex_digits(l, f)))
            return e;
    }
    if (lex_peek(l, 0) == 'e' || lex_peek(l, 0) == 'E') {
        t->kind = GRAPHQL_FLOAT;
        l->pos++;
        if (lex_peek(l, 0) == '+' || lex_peek(l, 0) == '-')
            l->pos++;
        if ((e = lex_digits(l, f)))
            return e;
    }
    if (lex_peek(l, 0) == '.' || is_name_start(lex_peek(l, 0)))
        return lex_fail(l, l->pos, STR("Invalid number, expected a digit"), f);
    return OK;
}

/* -- strings --------------------------------------------------------------------------------- */

static int hex_digit(int c)
{
    return is_digit(c)                              ? c - '0'
           : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                    : -1;
}

/* Four digits at pos + ahead, -1 when they are none. */
static int32_t lex_hex4(const struct graphql_lex *l, size_t ahead)
{
    int32_t v = 0;

    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(lex_peek(l, ahead + i));

        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

static void add_utf8(struct buf *out, uint32_t cp)
{
    if (cp < 0x80) {
        buf_add_byte(out, (char)cp);
    } else if (cp < 0x800) {
        buf_add_byte(out, (char)(0xC0 | cp >> 6));
        buf_add_byte(out, (char)(0x80 | (cp & 0x3F)));
    } else if (cp < 0x10000) {
        buf_add_byte(out, (char)(0xE0 | cp >> 12));
        buf_add_byte(out, (char)(0x80 | (cp >> 6 & 0x3F)));
        buf_add_byte(out, (char)(0x80 | (cp & 0x3F)));
    } else {
        buf_add_byte(out, (char)(0xF0 | cp >> 18));
        buf_add_byte(out, (char)(0x80 | (cp >> 12 & 0x3F)));
        buf_add_byte(out, (char)(0x80 | (cp >> 6 & 0x3F)));
        buf_add_byte(out, (char)(0x80 | (cp & 0x3F)));
    }
}

/* The code point of an escape that begins with \u, and its length; -1 when it is none. */
static int32_t lex_unicode(const struct graphql_lex *l, size_t *length)
{
    int32_t cp = 0, low;
    size_t n = 3;

    if (lex_peek(l, 2) == '{') {
        for (; n < 12 && lex_peek(l, n) != '}'; n++) {
            int digit = hex_digit(lex_peek(l, n));

            if (digit < 0 || cp > 0x10FFFF)
                return -1;
            cp = cp << 4 | digit;
        }
        *length = n + 1;
        if (n == 3 || n == 12 || cp > 0x10FFFF)
            return -1;
        return cp >= 0xD800 && cp < 0xE000 ? -1 : cp;
    }
    *length = 6;
    cp = lex_hex4(l, 2);
    if (cp < 0xD800 || cp >= 0xE000)
        return cp;
    low = cp < 0xDC00 && lex_peek(l, 6) == '\\' && lex_peek(l, 7) == 'u' ? lex_hex4(l, 8) : -1;
    *length = 12;
    return low >= 0xDC00 && low < 0xE000 ? 0x10000 + ((cp - 0xD800) << 10) + low - 0xDC00 : -1;
}

static err_t lex_escape(struct graphql_lex *l, struct buf *out, struct fail *f)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    int c = lex_peek(l, 1);
    const char *found = c > 0 ? strchr(names, c) : NULL;
    size_t length;
    int32_t cp;

    if (c == 'u') {
        if ((cp = lex_unicode(l, &length)) < 0)
            return lex_fail(l, l->pos, STR("Invalid Unicode escape sequence"), f);
        add_utf8(out, (uint32_t)cp);
        l->pos += length;
        return OK;
    }
    if (found == NULL)
        return lex_fail(l, l->pos, STR("Invalid character escape sequence"), f);
    buf_add_byte(out, means[found - names]);
    l->pos += 2;
    return OK;
}

static err_t lex_string(struct graphql_lex *l, struct graphql_token *t, struct fail *f)
{
    size_t begin = ++l->pos;
    bool has_escape = false;
    struct buf out;
    err_t e = OK;
    int c;

    buf_init(&out);
    while (!e && (c = lex_peek(l, 0)) != '"') {
        if (c == -1 || c == '\n' || c == '\r') {
            e = lex_fail(l, l->pos, STR("Unterminated string"), f);
        } else if (c == '\\') {
            if (!has_escape)
                buf_add(&out, l->text.p + begin, l->pos - begin);
            has_escape = true;
            e = lex_escape(l, &out, f);
        } else {
            if (has_escape)
                buf_add_byte(&out, (char)c);
            l->pos++;
        }
    }
    t->value = has_escape ? arena_dup(l->arena, buf_str(&out))
                          : (struct str){l->text.p + begin, l->pos - begin};
    buf_fini(&out);
    l->pos++;
    return e;
}

/* -- blocks ---------------------------------------------------------------------------------- */

/* Takes a line off *text; false when nothing is left. */
static bool block_line(struct str *text, bool *is_end, struct str *line)
{
    size_t n = 0;

    if (*is_end)
        return false;
    while (n < text->n && text->p[n] != '\n' && text->p[n] != '\r')
        n++;
    *line = str_head(*text, n);
    *is_end = n == text->n;
    if (n + 1 < text->n && text->p[n] == '\r' && text->p[n + 1] == '\n')
        n++;
    *text = str_skip(*text, n + 1);
    return true;
}

static size_t block_indent(struct str line)
{
    size_t n = 0;

    while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
        n++;
    return n;
}

/* The lines without their common indent, which the first one does not count for, and without blank
 * lines at both ends. */
static struct str block_value(struct arena *a, struct str raw)
{
    size_t common = BLOCK_INDENT_NONE, number = 0, first = 0, last = 0;
    struct str text = raw, line, value;
    bool is_end = false, has_text = false;
    struct buf out;

    for (; block_line(&text, &is_end, &line); number++) {
        size_t indent = block_indent(line);

        if (indent == line.n)
            continue;
        if (!has_text)
            first = number;
        has_text = true;
        last = number;
        if (number > 0 && indent < common)
            common = indent;
    }
    if (!has_text)
        return STR("");
    buf_init(&out);
    text = raw;
    is_end = false;
    for (number = 0; block_line(&text, &is_end, &line) && number <= last; number++) {
        if (number < first)
            continue;
        if (number > first)
            buf_add_byte(&out, '\n');
        buf_add_str(&out,
                    number > 0 && common != BLOCK_INDENT_NONE ? str_skip(line, common) : line);
    }
    value = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return value;
}

static err_t lex_block(struct graphql_lex *l, struct graphql_token *t, struct fail *f)
{
    static const struct str quotes = STR_INIT("\"\"\""), escaped = STR_INIT("\\\"\"\"");
    struct buf out;

    l->pos += quotes.n;
    buf_init(&out);
    for (;;) {
        struct str rest = str_skip(l->text, l->pos);

        if (rest.n == 0) {
            buf_fini(&out);
            return lex_fail(l, l->pos, STR("Unterminated string"), f);
        }
        if (str_starts(rest, quotes))
            break;
        if (str_starts(rest, escaped)) {
            buf_add_str(&out, quotes);
            l->pos += escaped.n;
        } else {
            buf_add_byte(&out, rest.p[0]);
            l->pos++;
        }
    }
    t->value = block_value(l->arena, buf_str(&out));
    buf_fini(&out);
    l->pos += quotes.n;
    return OK;
}

/* -- tokens ---------------------------------------------------------------------------------- */

static err_t lex_token(struct graphql_lex *l, struct graphql_token *t, struct fail *f)
{
    int c = lex_peek(l, 0);

    if (is_name_start(c)) {
        t->kind = GRAPHQL_NAME;
        while (is_name_start(lex_peek(l, 0)) || is_digit(lex_peek(l, 0)))
            l->pos++;
        return OK;
    }
    if (is_digit(c) || c == '-')
        return lex_number(l, t, f);
    if (c == '"') {
        t->kind = GRAPHQL_STRING;
        return lex_peek(l, 1) == '"' && lex_peek(l, 2) == '"' ? lex_block(l, t, f)
                                                              : lex_string(l, t, f);
    }
    t->kind = GRAPHQL_MARK;
    if (c == '.' && lex_peek(l, 1) == '.' && lex_peek(l, 2) == '.') {
        l->pos += 3;
        return OK;
    }
    if (c <= 0 || strchr("!$&():=@[]{|}", c) == NULL)
        return lex_fail(l, l->pos, STR("Unexpected character"), f);
    l->pos++;
    return OK;
}

err_t graphql_lex_next(struct graphql_lex *l, struct graphql_token *t, struct fail *f)
{
    err_t e;

    lex_skip(l);
    *t = (struct graphql_token){.kind = GRAPHQL_END, .at = l->pos};
    if (l->pos == l->text.n)
        return OK;
    if (++l->tokens > GRAPHQL_TOKENS_MAX)
        return fail(f, ERR_BAD_PARAM, "The query has more than %d tokens.", GRAPHQL_TOKENS_MAX);
    e = lex_token(l, t, f);
    t->text = str_head(str_skip(l->text, t->at), l->pos - t->at);
    return e;
}
