/*
 * json: the writer behind every answer.
 *
 * A value is written in two steps: json_before() puts what must stand between it and what came
 * before (a comma, a newline and the indent, or nothing after a key), then the value's own text
 * follows. has_items[depth] says whether the open object or list has an item already; it decides
 * about commas, and at the close whether PRETTY needs a line of its own.
 *
 * Text: MLflow answers through Python's json.dumps, which escapes everything outside ' '..'~',
 * DEL included, and code points above U+FFFF as a surrogate pair. UTF-8 that is not valid becomes
 * U+FFFD, one for each byte that fits nowhere. One exception: a lone surrogate written in three
 * bytes, which only error texts that quote a request can hold, is escaped as Python does it.
 *
 * Doubles: Python's repr is the shortest text that reads back, in fixed form for decimal
 * exponents -4..15, else with an exponent of at least two digits. yyjson's writer finds the same
 * digits (both take the closest of the shortest), so only the layout is done here. It is pure
 * arithmetic: no locale, no malloc.
 *
 * Not done: checking that keys are unique, or that raw text is JSON.
 */
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "yyjson.h"

void json_init(struct json *j, struct buf *out, enum json_form form)
{
    *j = (struct json){.out = out, .form = form};
}

static void json_newline(struct json *j)
{
    static const char blanks[2 * JSON_DEPTH + 1] = "\n                                ";

    buf_add(j->out, blanks, 1 + 2 * (size_t)j->depth);
}

/* What stands between the last item of the open object or list and the next. */
static void json_before_item(struct json *j)
{
    if (j->depth == 0)
        return;
    if (j->has_items[j->depth - 1])
        buf_add(j->out, ", ", j->form == JSON_LINE ? 2 : 1);
    j->has_items[j->depth - 1] = true;
    if (j->form == JSON_PRETTY)
        json_newline(j);
}

static void json_before(struct json *j)
{
    if (j->is_after_key)
        j->is_after_key = false;
    else
        json_before_item(j);
}

static void json_begin(struct json *j, char bracket)
{
    json_before(j);
    check(j->depth < JSON_DEPTH);
    buf_add_byte(j->out, bracket);
    j->has_items[j->depth++] = false;
}

static void json_end(struct json *j, char bracket)
{
    check(j->depth > 0 && !j->is_after_key);
    j->depth--;
    if (j->form == JSON_PRETTY && j->has_items[j->depth])
        json_newline(j);
    buf_add_byte(j->out, bracket);
}

void json_open(struct json *j)
{
    json_begin(j, '{');
}

void json_close(struct json *j)
{
    json_end(j, '}');
}

void json_open_list(struct json *j)
{
    json_begin(j, '[');
}

void json_close_list(struct json *j)
{
    json_end(j, ']');
}

void json_key_str(struct json *j, struct str key)
{
    check(j->depth > 0 && !j->is_after_key);
    json_before_item(j);
    json_quote(j->out, key);
    buf_add(j->out, ": ", j->form == JSON_COMPACT ? 1 : 2);
    j->is_after_key = true;
}

void json_key(struct json *j, const char *key)
{
    json_key_str(j, str_of(key));
}

void json_str(struct json *j, struct str s)
{
    json_before(j);
    json_quote(j->out, s);
}

/* The decimal digits of v, right-aligned; returns where they begin. */
static char *json_digits(uint64_t v, char *end)
{
    do {
        *--end = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return end;
}

void json_i64(struct json *j, int64_t v)
{
    char text[24];
    char *end = text + sizeof(text);
    char *p = json_digits(v < 0 ? 0 - (uint64_t)v : (uint64_t)v, end);

    if (v < 0)
        *--p = '-';
    json_before(j);
    buf_add(j->out, p, (size_t)(end - p));
}

void json_u64(struct json *j, uint64_t v)
{
    char text[24];
    char *end = text + sizeof(text);
    char *p = json_digits(v, end);

    json_before(j);
    buf_add(j->out, p, (size_t)(end - p));
}

void json_bool(struct json *j, bool v)
{
    json_raw(j, v ? STR("true") : STR("false"));
}

void json_null(struct json *j)
{
    json_raw(j, STR("null"));
}

void json_double(struct json *j, double v)
{
    char text[JSON_DOUBLE_MAX];

    if (isnan(v))
        json_raw(j, STR("\"NaN\""));
    else if (isinf(v))
        json_raw(j, v > 0 ? STR("\"Infinity\"") : STR("\"-Infinity\""));
    else
        json_raw(j, (struct str){text, json_repr_double(v, text)});
}

void json_raw(struct json *j, struct str text)
{
    json_before(j);
    buf_add_str(j->out, text);
}

void json_pair_str(struct json *j, const char *key, struct str v)
{
    json_key(j, key);
    json_str(j, v);
}

void json_pair_i64(struct json *j, const char *key, int64_t v)
{
    json_key(j, key);
    json_i64(j, v);
}

/* -- text ---------------------------------------------------------------------------------- */

/* Does byte c stand for itself between quotes? */
static bool json_is_plain(unsigned char c)
{
    return c >= ' ' && c <= '~' && c != '"' && c != '\\';
}

/* The code point at p, and in *used its bytes; U+FFFD and 1 when there is none. Unlike UTF-8
 * proper it takes a surrogate in three bytes. */
static uint32_t json_code_point(const unsigned char *p, size_t n, size_t *used)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = p[0] < 0x80                   ? 1
                 : p[0] >= 0xC2 && p[0] < 0xE0 ? 2
                 : (p[0] & 0xF0) == 0xE0       ? 3
                 : p[0] >= 0xF0 && p[0] < 0xF5 ? 4
                                               : 0;
    uint32_t cp;

    *used = 1;
    if (len == 1)
        return p[0];
    if (len == 0 || len > n)
        return 0xFFFD;
    cp = p[0] & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0xFFFD;
        cp = cp << 6 | (p[i] & 0x3F);
    }
    if (cp < least[len] || cp > 0x10FFFF)
        return 0xFFFD;
    *used = len;
    return cp;
}

static void json_add_escape(struct buf *out, uint32_t unit)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {
        '\\', 'u', hex[unit >> 12 & 15], hex[unit >> 8 & 15], hex[unit >> 4 & 15], hex[unit & 15]};

    buf_add(out, text, sizeof(text));
}

static void json_add_code_point(struct buf *out, uint32_t cp)
{
    switch (cp) {
    case '"': buf_add(out, "\\\"", 2); break;
    case '\\': buf_add(out, "\\\\", 2); break;
    case '\b': buf_add(out, "\\b", 2); break;
    case '\f': buf_add(out, "\\f", 2); break;
    case '\n': buf_add(out, "\\n", 2); break;
    case '\r': buf_add(out, "\\r", 2); break;
    case '\t': buf_add(out, "\\t", 2); break;
    default:
        if (cp > 0xFFFF) {
            json_add_escape(out, 0xD800 + ((cp - 0x10000) >> 10));
            json_add_escape(out, 0xDC00 + ((cp - 0x10000) & 0x3FF));
        } else {
            json_add_escape(out, cp);
        }
    }
}

void json_quote(struct buf *out, struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;

    buf_add_byte(out, '"');
    while (i < s.n) {
        size_t from = i;

        while (i < s.n && json_is_plain(p[i]))
            i++;
        if (i > from)
            buf_add(out, p + from, i - from);
        if (i < s.n) {
            size_t used;
            uint32_t cp = json_code_point(p + i, s.n - i, &used);

            json_add_code_point(out, cp);
            i += used;
        }
    }
    buf_add_byte(out, '"');
}

/* -- doubles ------------------------------------------------------------------------------- */

/* The significant digits of a finite v > 0, no zeros at the ends; v = 0.DIGITS * 10^*point. */
static size_t json_shortest(double v, char digits[JSON_DOUBLE_MAX], int *point)
{
    char pool[512];
    yyjson_val val = {.tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, .uni.f64 = v};
    yyjson_alc alc;
    const char *p;
    size_t len = 0, n = 0, whole = 0;
    bool is_fraction = false;
    int exponent = 0;

    check(yyjson_alc_pool_init(&alc, pool, sizeof(pool)));
    p = yyjson_val_write_opts(&val, 0, &alc, &len, NULL);
    check(p != NULL && len < JSON_DOUBLE_MAX);
    for (size_t i = 0; i < len; i++) {
        if (p[i] == '.') {
            is_fraction = true;
        } else if (p[i] == 'e') {
            bool is_negative = p[i + 1] == '-';

            for (i += 1 + (is_negative || p[i + 1] == '+'); i < len; i++)
                exponent = exponent * 10 + (p[i] - '0');
            exponent = is_negative ? -exponent : exponent;
        } else {
            if (n > 0 || p[i] != '0')
                digits[n++] = p[i];
            else if (is_fraction)
                exponent--; /* a zero right after the point */
            whole += !is_fraction && n > 0;
        }
    }
    while (n > 1 && digits[n - 1] == '0')
        n--;
    *point = (int)whole + exponent;
    return n;
}

/* 0.DIGITS * 10^point without an exponent. */
static char *json_put_fixed(char *p, const char *digits, int n, int point)
{
    int i = 0;

    if (point <= 0)
        p = stpcpy(p, "0.");
    for (int zeros = point; zeros < 0; zeros++)
        *p++ = '0';
    for (; i < n; i++) {
        if (i == point && point > 0)
            *p++ = '.';
        *p++ = digits[i];
    }
    for (; i < point; i++)
        *p++ = '0';
    return point >= n ? stpcpy(p, ".0") : p;
}

/* The same as d.ddde-xx. */
static char *json_put_exponent(char *p, const char *digits, size_t n, int point)
{
    int exponent = point - 1;

    *p++ = digits[0];
    if (n > 1)
        *p++ = '.';
    memcpy(p, digits + 1, n - 1);
    p += n - 1;
    return p + sprintf(p, "e%c%02d", exponent < 0 ? '-' : '+', exponent < 0 ? -exponent : exponent);
}

size_t json_repr_double(double v, char out[JSON_DOUBLE_MAX])
{
    char digits[JSON_DOUBLE_MAX];
    char *p = out;
    size_t n;
    int point;

    if (isnan(v))
        return (size_t)(stpcpy(out, "nan") - out);
    if (signbit(v))
        *p++ = '-';
    v = fabs(v);
    if (isinf(v))
        return (size_t)(stpcpy(p, "inf") - out);
    if (v < 1e15 && v == (double)(uint64_t)v) { /* the common case, exactly */
        char *first = json_digits((uint64_t)v, digits + sizeof(digits));

        n = (size_t)(digits + sizeof(digits) - first);
        memcpy(p, first, n);
        return (size_t)(stpcpy(p + n, ".0") - out);
    }
    n = json_shortest(v, digits, &point);
    if (point > -4 && point <= 16)
        p = json_put_fixed(p, digits, (int)n, point);
    else
        p = json_put_exponent(p, digits, n, point);
    return (size_t)(p - out);
}
