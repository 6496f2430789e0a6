/*
 * line: pairs on the stack, quoted as the form wants it.
 *
 *   logfmt  ts=2026-01-02T03:04:05.678Z len=12 msg="two words"
 *   JSON    {"ts":"2026-01-02T03:04:05.678Z","len":12,"msg":"two words"}
 *
 * A value that holds blanks, quotes or control bytes is quoted and escaped, so what a client
 * sends can never look like a second pair or a second line. In JSON a value goes without quotes
 * when it is a number that every reader keeps exact. Bytes that are not UTF-8 are shown as the
 * Latin-1 letters of the same code, so that a line is always valid text.
 */
#include "base/line.h"

#include <stdio.h>
#include <string.h>

void line_init(struct line *l, bool is_json)
{
    l->n = 0;
    l->is_json = is_json;
    l->is_full = false;
    if (is_json)
        l->text[l->n++] = '{';
}

/* Two bytes stay free for what closes the line. */
static void put(struct line *l, const char *p, size_t n)
{
    if (n > sizeof(l->text) - 2 - l->n) {
        l->is_full = true;
        return;
    }
    memcpy(l->text + l->n, p, n);
    l->n += n;
}

/* Length of the well-formed UTF-8 character at the front of s (not ASCII), or 0. */
static size_t utf8_len(struct str s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000}; /* less is overlong */
    unsigned char c = (unsigned char)s.p[0];
    size_t n = c >= 0xF8 ? 0 : c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : c >= 0xC0 ? 2 : 0;
    uint32_t code = n ? c & (0x7Fu >> n) : 0;

    if (n == 0 || n > s.n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        if (((unsigned char)s.p[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | ((unsigned char)s.p[i] & 0x3F);
    }
    if (code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000))
        return 0;
    return n;
}

/* Inside quotes, for logfmt and JSON alike; a byte that is not UTF-8 becomes its Latin-1 letter. */
static void put_escaped(struct line *l, struct str s)
{
    char code[8];

    while (s.n) {
        unsigned char c = (unsigned char)s.p[0];
        size_t n = c >= 0x80 ? utf8_len(s) : 1;

        if (c == '"' || c == '\\') {
            put(l, c == '"' ? "\\\"" : "\\\\", 2);
        } else if (c == '\n') {
            put(l, "\\n", 2);
        } else if (n == 0 || c < 0x20 || c == 0x7F) {
            snprintf(code, sizeof(code), "\\u%04x", c);
            put(l, code, 6);
            n = 1;
        } else {
            put(l, s.p, n);
        }
        s = str_skip(s, n);
    }
}

/* May stand in logfmt without quotes. */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == '\\' || s.p[i] == 0x7F)
            return false;
    }
    return s.n > 0;
}

/* May stand in JSON without quotes: an integer that every reader keeps exact, or a decimal. */
static bool is_number(struct str s)
{
    struct str whole;

    if (s.n && s.p[0] == '-')
        s = str_skip(s, 1);
    if (s.n == 0 || s.n > 15 || s.p[s.n - 1] == '.')
        return false;
    whole = str_head(s, str_find(s, '.'));
    if (whole.n == 0 || (whole.p[0] == '0' && whole.n > 1))
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if ((s.p[i] < '0' || s.p[i] > '9') && i != whole.n)
            return false;
    }
    return true;
}

void line_pair(struct line *l, struct str key, struct str value)
{
    size_t start = l->n;
    bool is_cut = value.n > LINE_VALUE_MAX;
    bool is_quoted;

    value = str_head(value, LINE_VALUE_MAX);
    is_quoted = is_cut || !(l->is_json ? is_number(value) : is_plain(value));
    l->is_full = false;
    if (l->is_json) {
        put(l, l->n > 1 ? ",\"" : "\"", l->n > 1 ? 2 : 1);
        put_escaped(l, key);
        put(l, "\":", 2);
    } else {
        put(l, " ", l->n ? 1 : 0);
        put_escaped(l, key);
        put(l, "=", 1);
    }
    put(l, "\"", is_quoted);
    if (is_quoted)
        put_escaped(l, value);
    else
        put(l, value.p, value.n);
    put(l, "...", is_cut ? 3 : 0);
    put(l, "\"", is_quoted);
    if (l->is_full)
        l->n = start;
}

void line_pair_z(struct line *l, const char *key, const char *value)
{
    line_pair(l, str_of(key), str_of(value));
}

void line_pairs(struct line *l, struct str text)
{
    while (text.n) {
        struct str value = str_cut(&text, ' ');
        struct str key = STR("note");

        if (value.n == 0)
            continue;
        if (str_find(value, '=') < value.n)
            key = str_cut(&value, '=');
        line_pair(l, key, value);
    }
}

struct str line_end(struct line *l)
{
    if (l->is_json)
        l->text[l->n++] = '}';
    l->text[l->n++] = '\n';
    return (struct str){l->text, l->n};
}
