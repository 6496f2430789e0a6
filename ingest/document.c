/*
 * document: a JSON text as Python's json.loads reads it.
 *
 * Nearly every text is plain: yyjson reads it strictly and that is the verdict, because whatever
 * strict JSON in UTF-8 is, json.loads reads alike. When yyjson refuses, the text is looked at as
 * json.loads would:
 *
 *   bytes -> (1) encoding by mark or by the place of the zeros -> UTF-8 in which lone surrogates
 *   stand as three bytes -> (2) rewritten: escapes of lone surrogates become those bytes; control
 *   characters in strings and words other than Python's are refused, as yyjson will not do then
 *   -> (3) yyjson, told to let infinities, NaN and such bytes pass -> (4) depth and digits checked
 *
 * Numbers that fit neither 64 bits nor a double stay text (RAW): Python has integers without
 * bounds, and an error message may have to quote one. More than 4300 digits are a ValueError.
 *
 * All memory is the arena's: yyjson's allocator below never frees. A text of n bytes takes about
 * n for its strings, and its values 16 bytes each. "[1,1,1," would be eight times its length in
 * values, so a text that has more than LIMIT_JSON_VALUES of them is refused before any is made.
 *
 * Deeper nesting than LIMIT_JSON_DEPTH counts as not JSON at all; Python's own limit is some
 * hundreds of levels more. With that, recursion over values is bounded.
 */
#include "ingest/document.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "ingest/python.h"
#include "schema/limits.h"

enum { INT_DIGITS_MAX = 4300 }; /* Python's sys.int_info.default_max_str_digits */

/* -- reading ------------------------------------------------------------------------------- */

static void *alc_malloc(void *ctx, size_t n)
{
    return arena_alloc(ctx, n);
}

static void *alc_realloc(void *ctx, void *p, size_t old, size_t n)
{
    return n <= old ? p : memcpy(arena_alloc(ctx, n), p, old);
}

static void alc_free(void *ctx, void *p)
{
    (void)ctx;
    (void)p;
}

/* The quote that ends the string that begins behind p, or end. */
static const char *document_string_end(const char *p, const char *end)
{
    while (p < end && (p = memchr(p, '"', (size_t)(end - p))) != NULL) {
        size_t slashes = 0;

        while (p[-1 - (ptrdiff_t)slashes] == '\\') /* the opening quote is none */
            slashes++;
        if (slashes % 2 == 0)
            return p;
        p++;
    }
    return end;
}

/* Counts commas, colons and openings outside strings: of JSON that is one less than its values and
 * keys. A text too short to hold too many is not looked at. */
static bool document_is_crowded(struct str text)
{
    static const unsigned char begins[256] = {[','] = 1, [':'] = 1, ['['] = 1, ['{'] = 1};
    const char *end = text.p + text.n;
    size_t values = 1;

    if (text.n / 2 < LIMIT_JSON_VALUES)
        return false;
    for (const char *p = text.p; p < end && values <= LIMIT_JSON_VALUES; p++) {
        if (*p == '"' && (p = document_string_end(p + 1, end)) == end)
            break;
        values += begins[(unsigned char)*p];
    }
    return values > LIMIT_JSON_VALUES;
}

static const char crowded[] = "it holds too many values";

static yyjson_val *document_parse(struct arena *a, struct str text, yyjson_read_flag flags,
                                  struct document_error *why)
{
    yyjson_alc alc = {alc_malloc, alc_realloc, alc_free, a};
    yyjson_read_err err;
    yyjson_doc *doc;

    if (document_is_crowded(text)) {
        *why = (struct document_error){crowded, 0};
        return NULL;
    }
    /* yyjson takes a char * for the sake of its in-place mode; who asks for that has a copy */
    doc = yyjson_read_opts((char *)(uintptr_t)text.p, text.n, flags | YYJSON_READ_BIGNUM_AS_RAW,
                           &alc, &err);
    if (doc)
        return yyjson_doc_get_root(doc);
    *why = (struct document_error){text.n ? err.msg : "empty", err.pos};
    return NULL;
}

yyjson_val *document_read_plain(struct arena *a, struct str bytes, struct document_error *why)
{
    return document_parse(a, bytes, 0, why);
}

struct str document_str(const yyjson_val *v)
{
    return (struct str){v->uni.str, (size_t)(v->tag >> YYJSON_TAG_BIT)};
}

/* Is everything in v readable for Python and shallow enough? Recursion ends at depth. */
static bool document_is_bounded(yyjson_val *v, unsigned depth)
{
    yyjson_val *item;
    size_t i, n;

    if (yyjson_is_raw(v))
        return !document_is_big_int(v) || unsafe_yyjson_get_len(v) <= INT_DIGITS_MAX ||
               (unsafe_yyjson_get_len(v) == INT_DIGITS_MAX + 1 && document_str(v).p[0] == '-');
    if (!yyjson_is_ctn(v))
        return true;
    if (depth == 0)
        return false;
    n = unsafe_yyjson_get_len(v);
    item = unsafe_yyjson_get_first(v);
    for (i = 0; i < n; i++) {
        if (unsafe_yyjson_is_obj(v))
            item++; /* a member is its key, then its value */
        if (!document_is_bounded(item, depth - 1))
            return false;
        item = unsafe_yyjson_get_next(item);
    }
    return true;
}

static yyjson_val *document_bound(yyjson_val *v, struct document_error *why)
{
    if (v == NULL || document_is_bounded(v, LIMIT_JSON_DEPTH))
        return v;
    *why = (struct document_error){"too deeply nested, or an integer is too long", 0};
    return NULL;
}

/* -- encodings ----------------------------------------------------------------------------- */

static size_t put_utf8(char *p, uint32_t cp)
{
    if (cp < 0x80) {
        p[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        p[0] = (char)(0xC0 | cp >> 6);
        p[1] = (char)(0x80 | (cp & 0x3F));
        return 2;
    }
    if (cp < 0x10000) {
        p[0] = (char)(0xE0 | cp >> 12);
        p[1] = (char)(0x80 | (cp >> 6 & 0x3F));
        p[2] = (char)(0x80 | (cp & 0x3F));
        return 3;
    }
    p[0] = (char)(0xF0 | cp >> 18);
    p[1] = (char)(0x80 | (cp >> 12 & 0x3F));
    p[2] = (char)(0x80 | (cp >> 6 & 0x3F));
    p[3] = (char)(0x80 | (cp & 0x3F));
    return 4;
}

/* Is s UTF-8, lone surrogates allowed? */
static bool document_is_utf8(struct str s)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;

    while (i < s.n) {
        unsigned char c = p[i];
        uint64_t eight;

        if (s.n - i >= sizeof(eight)) { /* of ASCII at once */
            memcpy(&eight, p + i, sizeof(eight));
            if ((eight & 0x8080808080808080) == 0) {
                i += sizeof(eight);
                continue;
            }
        }
        size_t len = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
        uint32_t cp = len < 2 ? c : c & (0xFFu >> (len + 1));

        if (len == 0 || len > s.n - i)
            return false;
        for (size_t k = 1; k < len; k++) {
            if ((p[i + k] & 0xC0) != 0x80)
                return false;
            cp = cp << 6 | (p[i + k] & 0x3F);
        }
        if (cp < least[len] || cp > 0x10FFFF)
            return false;
        i += len;
    }
    return true;
}

/* The unit of width bytes at p. */
static uint32_t document_unit(const unsigned char *p, size_t width, bool is_little)
{
    uint32_t unit = 0;

    for (size_t i = 0; i < width; i++)
        unit |= (uint32_t)p[i] << 8 * (is_little ? i : width - 1 - i);
    return unit;
}

/* UTF-16 or UTF-32 to UTF-8, lone surrogates kept. */
static bool document_from_wide(struct arena *a, struct str s, size_t width, bool is_little,
                               struct str *out)
{
    const unsigned char *p = (const unsigned char *)s.p;
    char *text;
    size_t n = 0;

    if (s.n % width)
        return false;
    text = arena_array(a, s.n / width, width == 2 ? 3 : 4);
    for (size_t i = 0; i < s.n; i += width) {
        uint32_t cp = document_unit(p + i, width, is_little);

        if (cp > 0x10FFFF)
            return false;
        if (width == 2 && cp >= 0xD800 && cp < 0xDC00 && i + 2 < s.n) {
            uint32_t low = document_unit(p + i + 2, 2, is_little);

            if (low >= 0xDC00 && low < 0xE000) {
                cp = 0x10000 + ((cp - 0xD800) << 10) + (low - 0xDC00);
                i += 2;
            }
        }
        n += put_utf8(text + n, cp);
    }
    *out = (struct str){text, n};
    return true;
}

/* bytes.decode(json.detect_encoding(bytes), "surrogatepass") */
static bool document_decode(struct arena *a, struct str s, struct str *out)
{
    const char *p = s.p;

    if (str_starts(s, STR("\0\0\xFE\xFF")))
        return document_from_wide(a, str_skip(s, 4), 4, false, out);
    if (str_starts(s, STR("\xFF\xFE\0\0")))
        return document_from_wide(a, str_skip(s, 4), 4, true, out);
    if (str_starts(s, STR("\xFE\xFF")))
        return document_from_wide(a, str_skip(s, 2), 2, false, out);
    if (str_starts(s, STR("\xFF\xFE")))
        return document_from_wide(a, str_skip(s, 2), 2, true, out);
    if (str_starts(s, STR("\xEF\xBB\xBF"))) {
        *out = str_skip(s, 3);
        return document_is_utf8(*out);
    }
    if (s.n >= 4 && !p[0])
        return document_from_wide(a, s, p[1] ? 2 : 4, false, out);
    if (s.n >= 4 && !p[1])
        return document_from_wide(a, s, p[2] || p[3] ? 2 : 4, true, out);
    if (s.n == 2 && (!p[0] || !p[1]))
        return document_from_wide(a, s, 2, p[0] != 0, out);
    *out = s;
    return document_is_utf8(s);
}

/* -- what Python takes and JSON does not --------------------------------------------------- */

/* The unit that \uXXXX at p says, when four hex digits stand there. */
static bool document_escape(const char *p, const char *end, uint32_t *unit)
{
    *unit = 0;
    if (end - p < 6 || p[0] != '\\' || p[1] != 'u')
        return false;
    for (int i = 2; i < 6; i++) {
        uint32_t c = (unsigned char)p[i];
        uint32_t digit = c - '0' < 10 ? c - '0' : (c | 0x20) - 'a' < 6 ? (c | 0x20) - 'a' + 10 : 16;

        if (digit == 16)
            return false;
        *unit = *unit << 4 | digit;
    }
    return true;
}

static bool is_letter(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* The bytes of the word at p that Python knows, 0 when it knows none. */
static size_t document_word(const char *p, const char *end, bool is_negative)
{
    static const struct str words[] = {STR_INIT("Infinity"), STR_INIT("null"), STR_INIT("true"),
                                       STR_INIT("false"), STR_INIT("NaN")};
    struct str rest = {p, (size_t)(end - p)};

    for (size_t i = 0; i < (is_negative ? 1 : array_len(words)); i++)
        if (str_starts(rest, words[i]))
            return words[i].n;
    return 0;
}

/* Copies what a string holds up to its end or something special; returns where that is. */
static const char *document_copy_run(const char *p, const char *end, char **to)
{
    const char *from = p;

    while (p < end && *p != '"' && *p != '\\' && (unsigned char)*p >= ' ')
        p++;
    memcpy(*to, from, (size_t)(p - from));
    *to += p - from;
    return p;
}

/* Copies the string that begins at p, with lone surrogates as bytes; returns its last quote, or
 * end when it has none or holds a control character. */
static const char *document_copy_string(const char *p, const char *end, char **to)
{
    *(*to)++ = *p++;
    while ((p = document_copy_run(p, end, to)) < end && *p != '"') {
        uint32_t unit, low;
        size_t used = *p == '\\' && end - p > 1 ? 2 : 1;

        if ((unsigned char)*p < ' ') /* yyjson, being lenient, would let it pass */
            return end;
        if (document_escape(p, end, &unit) && unit >= 0xD800 && unit < 0xE000) {
            used = 6;
            if (unit < 0xDC00 && document_escape(p + 6, end, &low) && low >= 0xDC00 &&
                low < 0xE000) {
                used = 12;
            } else {
                *to += put_utf8(*to, unit);
                p += used;
                continue;
            }
        }
        memcpy(*to, p, used);
        *to += used;
        p += used;
    }
    return p;
}

/* text, so that a lenient yyjson reads it as Python does; false for a word Python does not know. */
static bool document_rewrite(struct arena *a, struct str text, struct str *out)
{
    const char *p = text.p;
    const char *end = text.p + text.n;
    char *copy = arena_alloc(a, text.n + YYJSON_PADDING_SIZE); /* it is read in place */
    char *to = copy;

    while (p < end) {
        size_t used = 1;

        if (*p == '"') {
            p = document_copy_string(p, end, &to);
            if (p == end)
                return false;
        } else if (is_letter(*p) &&
                   (*p | 0x20) != 'e') { /* e belongs to a number, if to anything */
            used = document_word(p, end, p > text.p && p[-1] == '-');
            if (used == 0)
                return false;
        }
        memcpy(to, p, used);
        to += used;
        p += used;
    }
    memset(to, 0, YYJSON_PADDING_SIZE);
    *out = (struct str){copy, (size_t)(to - copy)};
    return true;
}

/* May the text be JSON to Python though the strict reading refused it? Too many values stay too
 * many; in wide text they may have been miscounted. */
static bool document_may_be_odd(struct str bytes, const struct document_error *why)
{
    const char *p = bytes.p;

    return why->text != crowded || !p[0] || !p[1] || (unsigned char)p[0] >= 0xFE;
}

/* A text that is not plain. */
static yyjson_val *document_read_odd(struct arena *a, struct str text, struct document_error *why)
{
    struct document_error odd = {"", 0};
    struct str rewritten;
    yyjson_val *v;

    if (!document_rewrite(a, text, &rewritten))
        return NULL; /* *why stays what the strict reading said */
    v = document_bound(document_parse(a, rewritten,
                                      YYJSON_READ_ALLOW_INF_AND_NAN |
                                          YYJSON_READ_ALLOW_INVALID_UNICODE | YYJSON_READ_INSITU,
                                      &odd),
                       &odd);
    if (v == NULL)
        why->text = odd.text; /* its place is one of the copy */
    return v;
}

/* bytes that the strict reading refused */
static yyjson_val *document_read_else(struct arena *a, struct str bytes, struct document_error *why)
{
    struct str text;

    if (bytes.n == 0 || !document_may_be_odd(bytes, why) || !document_decode(a, bytes, &text))
        return NULL;
    return document_read_odd(a, text, why);
}

yyjson_val *document_read(struct arena *a, struct str bytes, struct document_error *why)
{
    yyjson_val *v = document_read_plain(a, bytes, why);

    return v ? document_bound(v, why) : document_read_else(a, bytes, why);
}

yyjson_val *document_read_text(struct arena *a, struct str text, struct document_error *why)
{
    yyjson_val *v = document_read_plain(a, text, why);

    if (v)
        return document_bound(v, why);
    return text.n && why->text != crowded ? document_read_odd(a, text, why) : NULL;
}

void document_read_ahead(struct arena *a, struct str bytes, struct document_ahead *out)
{
    yyjson_val *plain = document_read_plain(a, bytes, &out->why);

    out->is_plain = plain != NULL;
    out->root = plain ? document_bound(plain, &out->why) : document_read_else(a, bytes, &out->why);
    out->inner = NULL;
    if (yyjson_is_str(out->root))
        out->inner = document_read_text(a, document_str(out->root), &out->inner_why);
}

/* -- looking at values --------------------------------------------------------------------- */

yyjson_val *document_get(yyjson_val *obj, struct str key)
{
    yyjson_val *found = NULL;
    yyjson_val *k, *v;
    size_t i, n;

    yyjson_obj_foreach(obj, i, n, k, v)
        if (str_eq(document_str(k), key))
            found = v;
    return found;
}

bool document_is_big_int(const yyjson_val *v)
{
    struct str s = document_str(v);

    return !memchr(s.p, '.', s.n) && !memchr(s.p, 'e', s.n) && !memchr(s.p, 'E', s.n);
}

const char *document_type(const yyjson_val *v)
{
    switch (v ? v->tag & YYJSON_TYPE_MASK : YYJSON_TYPE_NULL) {
    case YYJSON_TYPE_STR: return "str";
    case YYJSON_TYPE_ARR: return "list";
    case YYJSON_TYPE_OBJ: return "dict";
    case YYJSON_TYPE_BOOL: return "bool";
    case YYJSON_TYPE_NUM:
        return (v->tag & YYJSON_TAG_MASK) == (YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL) ? "float"
                                                                                     : "int";
    case YYJSON_TYPE_RAW: return document_is_big_int(v) ? "int" : "float";
    default: return "NoneType";
    }
}

static int pair_by_key(const void *a, const void *b)
{
    const struct document_pair *x = a, *y = b;
    int order = str_cmp(x->key, y->key);

    return order ? order : x->place < y->place ? -1 : 1;
}

static int pair_by_place(const void *a, const void *b)
{
    const struct document_pair *x = a, *y = b;

    return x->place < y->place ? -1 : 1;
}

/* The members sorted by key, one for each key. */
static struct document_pair *document_sorted(struct arena *a, yyjson_val *obj, size_t *count)
{
    struct document_pair *pairs = arena_array(a, unsafe_yyjson_get_len(obj), sizeof(*pairs));
    yyjson_val *k, *v;
    size_t i, n, kept = 0;

    yyjson_obj_foreach(obj, i, n, k, v)
        pairs[i] = (struct document_pair){document_str(k), v, i};
    if (n > 1)
        qsort(pairs, n, sizeof(*pairs), pair_by_key);
    for (i = 0; i < n; i++) {
        if (kept > 0 && str_eq(pairs[kept - 1].key, pairs[i].key))
            pairs[kept - 1].value = pairs[i].value;
        else
            pairs[kept++] = pairs[i];
    }
    *count = kept;
    return pairs;
}

struct document_pair *document_pairs(struct arena *a, yyjson_val *obj, size_t *n)
{
    struct document_pair *pairs = document_sorted(a, obj, n);

    if (*n > 1)
        qsort(pairs, *n, sizeof(*pairs), pair_by_place);
    return pairs;
}

/* -- writing values ------------------------------------------------------------------------ */

/* json.dumps and repr differ in these. */
struct document_style {
    bool is_json; /* else Python's repr */
    bool is_sorted;
    const char *comma, *colon, *null, *yes, *no, *nan, *infinity;
};

static const struct document_style style_json = {true,   true,    ",",   ":",       "null",
                                                 "true", "false", "NaN", "Infinity"};
static const struct document_style style_line = {true,   false,   ", ",  ": ",      "null",
                                                 "true", "false", "NaN", "Infinity"};
static const struct document_style style_repr = {false,  false,   ", ",  ": ", "None",
                                                 "True", "False", "nan", "inf"};

static void document_write_real(struct buf *out, double d, const struct document_style *style)
{
    char text[JSON_DOUBLE_MAX];

    if (isnan(d))
        buf_add_str(out, str_of(style->nan));
    else if (isinf(d))
        buf_printf(out, "%s%s", d < 0 ? "-" : "", style->infinity);
    else
        buf_add(out, text, json_repr_double(d, text));
}

static void document_write_str(struct buf *out, struct str s, const struct document_style *style)
{
    if (style->is_json)
        json_quote(out, s);
    else
        python_repr(out, s);
}

/* s, or what of it is enough for max bytes of output: none is written with fewer than it has. */
static struct str document_enough(struct str s, size_t max)
{
    while (max < s.n && max > 0 && ((unsigned char)s.p[max] & 0xC0) == 0x80)
        max++;
    return str_head(s, max);
}

static void document_write_scalar(struct buf *out, yyjson_val *v,
                                  const struct document_style *style, size_t max)
{
    switch (v ? yyjson_get_type(v) : YYJSON_TYPE_NULL) {
    case YYJSON_TYPE_STR:
        /* which quotes repr() takes depends on the whole text */
        document_write_str(
            out, style->is_json ? document_enough(document_str(v), max) : document_str(v), style);
        break;
    case YYJSON_TYPE_BOOL:
        buf_add_str(out, str_of(unsafe_yyjson_get_bool(v) ? style->yes : style->no));
        break;
    case YYJSON_TYPE_NUM:
        if (unsafe_yyjson_is_real(v))
            document_write_real(out, unsafe_yyjson_get_real(v), style);
        else if (unsafe_yyjson_is_uint(v))
            buf_printf(out, "%llu", (unsigned long long)unsafe_yyjson_get_uint(v));
        else
            buf_printf(out, "%lld", (long long)unsafe_yyjson_get_sint(v));
        break;
    case YYJSON_TYPE_RAW:
        if (document_is_big_int(v))
            buf_add_str(out, document_str(v));
        else
            document_write_real(out, document_str(v).p[0] == '-' ? -INFINITY : INFINITY, style);
        break;
    default: buf_add_str(out, str_of(style->null)); break;
    }
}

/* Recursion is as deep as the value: LIMIT_JSON_DEPTH. */
static void document_write(struct arena *a, struct buf *out, yyjson_val *v,
                           const struct document_style *style, size_t max)
{
    yyjson_val *item;
    size_t i, n;

    if (buf_len(out) > max)
        return;
    if (yyjson_is_arr(v)) {
        buf_add_byte(out, '[');
        yyjson_arr_foreach(v, i, n, item) {
            if (buf_len(out) > max)
                break;
            buf_add_str(out, str_of(i ? style->comma : ""));
            document_write(a, out, item, style, max);
        }
        buf_add_byte(out, ']');
    } else if (yyjson_is_obj(v)) {
        struct document_pair *pairs =
            style->is_sorted ? document_sorted(a, v, &n) : document_pairs(a, v, &n);

        buf_add_byte(out, '{');
        for (i = 0; i < n && buf_len(out) <= max; i++) {
            buf_add_str(out, str_of(i ? style->comma : ""));
            document_write_str(out, pairs[i].key, style);
            buf_add_str(out, str_of(style->colon));
            document_write(a, out, pairs[i].value, style, max);
        }
        buf_add_byte(out, '}');
    } else {
        document_write_scalar(out, v, style, max);
    }
}

static void document_write_cut(struct arena *a, struct buf *out, yyjson_val *v,
                               const struct document_style *style, size_t max)
{
    struct buf whole;
    struct str s;

    buf_init(&whole);
    document_write(a, &whole, v, style, max);
    s = str_head(buf_str(&whole), max);
    while (s.n < buf_len(&whole) && s.n > 0 && ((unsigned char)s.p[s.n] & 0xC0) == 0x80)
        s.n--; /* not inside a character */
    buf_add_str(out, s);
    buf_fini(&whole);
}

void document_dump(struct arena *a, struct buf *out, yyjson_val *v, size_t max)
{
    document_write_cut(a, out, v, &style_json, max);
}

void document_dump_line(struct arena *a, struct buf *out, yyjson_val *v)
{
    document_write(a, out, v, &style_line, SIZE_MAX);
}

void document_repr(struct arena *a, struct buf *out, yyjson_val *v, size_t max)
{
    document_write_cut(a, out, v, &style_repr, max);
}
