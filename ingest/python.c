/*
 * python: int(), float() and repr() of Python 3.11, as far as requests can reach them.
 *
 * int() and float() first turn decimal digits of any script into ASCII ones and other spaces into
 * ' '; any other character is then an error. Blanks at both ends pass, one underscore may stand
 * between two digits, and int() refuses more than 4300 digits. What remains for float() is the
 * grammar [sign] digits [. digits] [e [sign] digits], "inf", "infinity" or "nan" in any case; the
 * value is strtod's, which rounds correctly as Python does.
 *
 * repr() of a str picks the quote that needs no escape, and escapes what is not printable.
 *
 * The classes of characters come from unicode.def; ASCII is decided without the table.
 */
#include "ingest/python.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { INT_DIGITS_MAX = 4300 }; /* sys.int_info.default_max_str_digits */

struct range {
    uint32_t first;
    uint32_t last;
};

/* One inclusion for each table; the other rows are then nothing. */
#define PRINT(first, last)
#define SPACE(first, last)
#define DIGITS(zero)
#define ALNUM(first, last) {first, last},
static const struct range alnum_ranges[] = {
#include "ingest/unicode.def"
};
#undef ALNUM
#define ALNUM(first, last)

#undef PRINT
#define PRINT(first, last) {first, last},
static const struct range print_ranges[] = {
#include "ingest/unicode.def"
};
#undef PRINT
#define PRINT(first, last)

#undef SPACE
#define SPACE(first, last) {first, last},
static const struct range space_ranges[] = {
#include "ingest/unicode.def"
};
#undef SPACE
#define SPACE(first, last)

#undef DIGITS
#define DIGITS(zero) {zero, zero + 9},
static const struct range digit_ranges[] = {
#include "ingest/unicode.def"
};

/* The range that holds cp, or NULL. */
static const struct range *python_range(const struct range *ranges, size_t n, uint32_t cp)
{
    size_t low = 0;

    while (low < n) {
        size_t middle = low + (n - low) / 2;

        if (cp < ranges[middle].first)
            n = middle;
        else if (cp > ranges[middle].last)
            low = middle + 1;
        else
            return &ranges[middle];
    }
    return NULL;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Py_ISSPACE */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

uint32_t python_next(struct str *s)
{
    const unsigned char *p = (const unsigned char *)s->p;
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint32_t cp = len == 1 ? p[0] : p[0] & (0xFFu >> (len + 1));

    len = len < s->n ? len : s->n;
    for (size_t i = 1; i < len; i++)
        cp = cp << 6 | (p[i] & 0x3F);
    s->p += len;
    s->n -= len;
    return cp;
}

bool python_is_alnum(uint32_t cp)
{
    if (cp < 0x80)
        return is_digit((char)cp) || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z');
    return python_range(alnum_ranges, array_len(alnum_ranges), cp) != NULL;
}

bool python_is_space(uint32_t cp)
{
    if (cp < 0x80)
        return cp == ' ' || (cp >= '\t' && cp <= '\r') || (cp >= 0x1C && cp <= 0x1F);
    return python_range(space_ranges, array_len(space_ranges), cp) != NULL;
}

bool python_is_decimal(uint32_t cp)
{
    if (cp < 0x80)
        return is_digit((char)cp);
    return python_range(digit_ranges, array_len(digit_ranges), cp) != NULL;
}

bool python_has_surrogate(struct str s)
{
    const char *p = s.p;
    const char *end = s.p + s.n;

    while (p < end && (p = memchr(p, 0xED, (size_t)(end - p))) != NULL) {
        if (end - p > 1 && (unsigned char)p[1] >= 0xA0)
            return true;
        p++;
    }
    return false;
}

/* -- UTF-8 ------------------------------------------------------------------------------------ */

size_t python_utf8(const unsigned char *p, size_t n)
{
    struct str s = {(const char *)p, 0};
    size_t len = p[0] < 0x80   ? 1
                 : p[0] < 0xC2 ? 0
                 : p[0] < 0xE0 ? 2
                 : p[0] < 0xF0 ? 3
                 : p[0] < 0xF5 ? 4
                               : 0;
    uint32_t cp;

    if (len == 0 || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    s.n = len;
    cp = python_next(&s);
    if ((len == 3 && cp < 0x800) || (len == 4 && cp < 0x10000) || cp > 0x10FFFF ||
        (cp >= 0xD800 && cp < 0xE000))
        return 0;
    return len;
}

/* Nearly all text is ASCII, and is looked at eight bytes at a time. */
bool python_is_utf8(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;

    while (i < s.n) {
        uint64_t eight;
        size_t len;

        if (s.n - i >= sizeof(eight)) {
            memcpy(&eight, p + i, sizeof(eight));
            if ((eight & 0x8080808080808080u) == 0) {
                i += sizeof(eight);
                continue;
            }
        }
        if (p[i] < 0x80) {
            i++;
            continue;
        }
        len = python_utf8(p + i, s.n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

/* -- numbers ---------------------------------------------------------------------------------- */

/* s with digits and spaces of other scripts made ASCII and without blanks at its ends, NUL after
 * it, in tmp; false when another character is in it. */
static bool python_ascii(struct buf *tmp, struct str s, struct str *out)
{
    while (s.n) {
        uint32_t cp = python_next(&s);
        const struct range *digits;

        if (cp == 0 || cp == 0x7F)
            return false;
        if (cp < 0x7F) {
            buf_add_byte(tmp, (char)cp);
        } else if (python_range(space_ranges, array_len(space_ranges), cp)) {
            buf_add_byte(tmp, ' ');
        } else {
            digits = python_range(digit_ranges, array_len(digit_ranges), cp);
            if (digits == NULL)
                return false;
            buf_add_byte(tmp, (char)('0' + (cp - digits->first)));
        }
    }
    while (buf_len(tmp) && is_blank(*buf_str(tmp).p))
        buf_consume(tmp, 1);
    *out = buf_str(tmp);
    while (out->n && is_blank(out->p[out->n - 1]))
        out->n--;
    *buf_room(tmp, 1) = '\0';
    out->p = buf_str(tmp).p;
    return out->n > 0;
}

static enum python_int python_parse_int(struct str s, int64_t *out)
{
    bool is_negative = s.p[0] == '-';
    bool is_big = false;
    size_t digits = 0;
    uint64_t v = 0;

    if (is_negative || s.p[0] == '+')
        s = str_skip(s, 1);
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_' && i > 0 && is_digit(s.p[i - 1]) && i + 1 < s.n && is_digit(s.p[i + 1]))
            continue;
        if (!is_digit(s.p[i]))
            return PYTHON_NOT_INT;
        digits++;
        is_big = is_big || __builtin_mul_overflow(v, 10, &v) ||
                 __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v);
    }
    if (digits == 0 || digits > INT_DIGITS_MAX)
        return PYTHON_NOT_INT;
    if (is_big || v > (uint64_t)INT64_MAX + is_negative)
        return PYTHON_BIG_INT;
    *out = is_negative ? (int64_t)(0 - v) : (int64_t)v;
    return PYTHON_INT;
}

enum python_int python_int(struct str s, int64_t *out)
{
    enum python_int found = PYTHON_NOT_INT;
    struct buf tmp;
    struct str text;

    buf_init(&tmp);
    if (python_ascii(&tmp, s, &text))
        found = python_parse_int(text, out);
    buf_fini(&tmp);
    return found;
}

/* The length of the digits at s[i]. */
static size_t python_span(struct str s, size_t i)
{
    size_t from = i;

    while (i < s.n && is_digit(s.p[i]))
        i++;
    return i - from;
}

/* Is s, without its sign, a number in the grammar of float()? */
static bool python_is_float(struct str s)
{
    size_t whole = python_span(s, 0);
    size_t fraction = 0;
    size_t i = whole;

    if (i < s.n && s.p[i] == '.') {
        fraction = python_span(s, i + 1);
        i += 1 + fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (i < s.n && (s.p[i] | 0x20) == 'e') {
        size_t exponent;

        i++;
        if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
            i++;
        exponent = python_span(s, i);
        if (exponent == 0)
            return false;
        i += exponent;
    }
    return i == s.n;
}

/* Drops the underscores of text, which a NUL ends; false when one is not between two digits. */
static bool python_drop_underscores(char *text, size_t *n)
{
    char before = '\0';
    size_t to = 0;

    for (size_t i = 0; i < *n; i++) {
        char c = text[i];

        if (c == '_') {
            if (!is_digit(before) || !is_digit(text[i + 1]))
                return false;
        } else {
            text[to++] = c;
        }
        before = c;
    }
    text[to] = '\0';
    *n = to;
    return true;
}

static bool python_word(struct str s, const char *word)
{
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

bool python_float(struct str s, double *out)
{
    struct buf tmp, flat;
    struct str text, bare;
    bool is_float = false;

    buf_init(&tmp);
    buf_init(&flat);
    if (python_ascii(&tmp, s, &text)) {
        char *copy = buf_room(&flat, text.n + 1);
        size_t n = text.n;

        memcpy(copy, text.p, n);
        copy[n] = '\0';
        bare = (struct str){copy, n};
        if (n && (copy[0] == '-' || copy[0] == '+'))
            bare = str_skip(bare, 1);
        if (python_word(bare, "inf") || python_word(bare, "infinity")) {
            *out = copy[0] == '-' ? -INFINITY : INFINITY;
            is_float = true;
        } else if (python_word(bare, "nan")) {
            *out = NAN;
            is_float = true;
        } else if (python_drop_underscores(copy, &n)) {
            bare.n = n - (size_t)(bare.p - copy);
            is_float = python_is_float(bare);
            if (is_float)
                *out = strtod(copy, NULL);
        }
    }
    buf_fini(&flat);
    buf_fini(&tmp);
    return is_float;
}

double python_strtod(struct str s)
{
    struct buf tmp;
    double v;

    buf_init(&tmp);
    buf_add_str(&tmp, s);
    buf_add_byte(&tmp, '\0');
    v = strtod(buf_str(&tmp).p, NULL);
    buf_fini(&tmp);
    return v;
}

/* -- repr ------------------------------------------------------------------------------------- */

static char python_quote(struct str s)
{
    return memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n) ? '"' : '\'';
}

/* The escapes that str and bytes share; false when cp needs none of them. */
static bool python_short_escape(struct buf *out, uint32_t cp, char quote)
{
    switch (cp) {
    case '\t': buf_add(out, "\\t", 2); return true;
    case '\n': buf_add(out, "\\n", 2); return true;
    case '\r': buf_add(out, "\\r", 2); return true;
    default: break;
    }
    if (cp != '\\' && cp != (unsigned char)quote)
        return false;
    buf_add_byte(out, '\\');
    buf_add_byte(out, (char)cp);
    return true;
}

void python_repr(struct buf *out, struct str s)
{
    char quote = s.n ? python_quote(s) : '\'';

    buf_add_byte(out, quote);
    while (s.n) {
        const char *from = s.p;
        uint32_t cp = python_next(&s);

        if (python_short_escape(out, cp, quote))
            continue;
        if (cp >= ' ' && (cp < 0x7F || python_range(print_ranges, array_len(print_ranges), cp)))
            buf_add(out, from, (size_t)(s.p - from));
        else if (cp <= 0xFF)
            buf_printf(out, "\\x%02x", (unsigned)cp);
        else if (cp <= 0xFFFF)
            buf_printf(out, "\\u%04x", (unsigned)cp);
        else
            buf_printf(out, "\\U%08x", (unsigned)cp);
    }
    buf_add_byte(out, quote);
}

void python_repr_bytes(struct buf *out, struct str s)
{
    char quote = s.n ? python_quote(s) : '\'';

    buf_add_byte(out, 'b');
    buf_add_byte(out, quote);
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (python_short_escape(out, c, quote))
            continue;
        if (c >= ' ' && c < 0x7F)
            buf_add_byte(out, (char)c);
        else
            buf_printf(out, "\\x%02x", c);
    }
    buf_add_byte(out, quote);
}

/* Bytes of the character at p; *is_whole says whether they are one, else they are the longest start of
 * one, or a single byte. */
static size_t python_subpart(const unsigned char *p, size_t n, bool *is_whole)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    unsigned low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    unsigned high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    size_t i = 1;

    *is_whole = false;
    if (len == 0 || p[0] > 0xF4)
        return 1;
    while (i < len && i < n && p[i] >= low && p[i] <= high) {
        low = 0x80;
        high = 0xBF;
        i++;
    }
    *is_whole = i == len;
    return i;
}

struct str python_decode(struct arena *a, struct str bytes)
{
    const unsigned char *p = (const unsigned char *)bytes.p;
    size_t n = 0;
    bool is_whole;
    char *out;

    if (python_is_utf8(bytes))
        return bytes;
    out = arena_alloc(a, 3 * bytes.n);
    for (size_t i = 0; i < bytes.n;) {
        size_t len = python_subpart(p + i, bytes.n - i, &is_whole);

        if (is_whole)
            memcpy(out + n, p + i, len);
        else
            memcpy(out + n, "\xEF\xBF\xBD", 3);
        n += is_whole ? len : 3;
        i += len;
    }
    return (struct str){out, n};
}
