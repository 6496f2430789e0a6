/*
 * json_error: CPython 3.11's scanner, as far as its errors go.
 *
 * A value is scanned without recursion: a stack holds the brackets that are open, and after each value
 * the innermost of them says what may follow. Numbers end where their grammar does, so what is wrong
 * with one shows as what stands behind it.
 */
#include "ingest/json_error.h"

#include <stdbool.h>
#include <string.h>

struct scan {
    struct str text;
    size_t at;
    const char *why; /* NULL: no error */
    size_t where;    /* byte of the text */
    char *open;      /* stack of [ and { */
    size_t depth;
};

static bool scan_fail(struct scan *s, const char *why, size_t where)
{
    s->why = why;
    s->where = where;
    return false;
}

/* The byte at the place, NUL behind the end. */
static char scan_char(const struct scan *s)
{
    return s->at < s->text.n ? s->text.p[s->at] : '\0';
}

static void scan_space(struct scan *s)
{
    while (s->at < s->text.n && strchr(" \t\n\r", s->text.p[s->at]) && s->text.p[s->at])
        s->at++;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Behind "\u", which begins at at - 2. */
static bool scan_unicode(struct scan *s)
{
    size_t end = s->at + 4;
    bool is_ok = end < s->text.n;

    for (; is_ok && s->at < end; s->at++)
        is_ok = is_hex(s->text.p[s->at]);
    return is_ok || scan_fail(s, "Invalid \\uXXXX escape", end - 5);
}

/* The string whose quote stands at the place. */
static bool scan_string(struct scan *s)
{
    size_t begin = s->at++;

    for (; s->at < s->text.n; s->at++) {
        unsigned char c = (unsigned char)s->text.p[s->at];

        if (c == '"') {
            s->at++;
            return true;
        }
        if (c < 0x20)
            return scan_fail(s, "Invalid control character at", s->at);
        if (c != '\\')
            continue;
        if (++s->at == s->text.n)
            break;
        if (s->text.p[s->at] == 'u') {
            s->at++;
            if (!scan_unicode(s))
                return false;
            s->at--;
        } else if (s->text.p[s->at] == '\0' || !strchr("\"\\/bfnrt", s->text.p[s->at])) {
            return scan_fail(s, "Invalid \\escape", s->at - 1);
        }
    }
    return scan_fail(s, "Unterminated string starting at", begin);
}

static void scan_digits(struct scan *s)
{
    while (is_digit(scan_char(s)))
        s->at++;
}

static bool scan_number(struct scan *s)
{
    size_t begin = s->at, back;

    s->at += scan_char(s) == '-';
    if (!is_digit(scan_char(s)))
        return scan_fail(s, "Expecting value", begin);
    if (scan_char(s) == '0')
        s->at++;
    else
        scan_digits(s);
    back = s->at;
    if (scan_char(s) == '.') {
        s->at++;
        if (is_digit(scan_char(s)))
            scan_digits(s);
        else
            s->at = back;
    }
    back = s->at;
    if ((scan_char(s) | 0x20) == 'e') {
        s->at++;
        s->at += scan_char(s) == '+' || scan_char(s) == '-';
        if (is_digit(scan_char(s)))
            scan_digits(s);
        else
            s->at = back;
    }
    return true;
}

/* A value that is no list and no object. */
static bool scan_scalar(struct scan *s)
{
    static const char *const words[] = {"null", "true", "false", "NaN", "Infinity", "-Infinity"};
    struct str rest = str_skip(s->text, s->at);

    if (scan_char(s) == '"')
        return scan_string(s);
    for (size_t i = 0; i < array_len(words); i++) {
        if (str_starts(rest, str_of(words[i]))) {
            s->at += strlen(words[i]);
            return true;
        }
    }
    return scan_number(s);
}

/* A key and its colon. */
static bool scan_key(struct scan *s)
{
    if (scan_char(s) != '"')
        return scan_fail(s, "Expecting property name enclosed in double quotes", s->at);
    if (!scan_string(s))
        return false;
    scan_space(s);
    if (scan_char(s) != ':')
        return scan_fail(s, "Expecting ':' delimiter", s->at);
    s->at++;
    scan_space(s);
    return true;
}

/* Closes what ends here; false when a value must follow, or at an error. */
static bool scan_behind(struct scan *s)
{
    while (s->depth) {
        char open = s->open[s->depth - 1];

        scan_space(s);
        if (scan_char(s) == (open == '[' ? ']' : '}')) {
            s->at++;
            s->depth--;
            continue;
        }
        if (scan_char(s) != ',')
            return scan_fail(s, "Expecting ',' delimiter", s->at);
        s->at++;
        scan_space(s);
        if (open == '{')
            (void)scan_key(s);
        return false;
    }
    return true;
}

/* Opens a list or object; false when it is empty and closed again, or at an error. */
static bool scan_open(struct scan *s)
{
    char open = scan_char(s);

    s->open[s->depth++] = open;
    s->at++;
    scan_space(s);
    if (scan_char(s) == (open == '[' ? ']' : '}')) {
        s->at++;
        s->depth--;
        return false;
    }
    return open == '[' || scan_key(s);
}

static void scan_document(struct scan *s)
{
    bool is_complete = false;

    if (str_starts(s->text, STR("\xEF\xBB\xBF"))) {
        (void)scan_fail(s, "Unexpected UTF-8 BOM (decode using utf-8-sig)", 0);
        return;
    }
    scan_space(s);
    while (!is_complete && !s->why) {
        char c = scan_char(s);

        if (c == '[' || c == '{') {
            if (scan_open(s))
                continue;
        } else if (!scan_scalar(s)) {
            return;
        }
        is_complete = !s->why && scan_behind(s);
    }
    scan_space(s);
    if (!s->why && s->at < s->text.n)
        (void)scan_fail(s, "Extra data", s->at);
}

struct str json_error(struct arena *a, struct str text)
{
    struct scan s = {.text = text, .open = arena_alloc(a, text.n + 1)};
    size_t line = 1, column = 1, place = 0;

    scan_document(&s);
    if (!s.why)
        return STR("");
    for (size_t i = 0; i < s.where; i++) {
        if (((unsigned char)text.p[i] & 0xC0) == 0x80) /* counted with the first byte */
            continue;
        place++;
        line += text.p[i] == '\n';
        column = text.p[i] == '\n' ? 1 : column + 1;
    }
    return arena_printf(a, "%s: line %zu column %zu (char %zu)", s.why, line, column, place);
}
