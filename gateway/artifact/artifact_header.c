/*
 * artifact_header: a file's name and size into header fields, and a Range field into bytes.
 *
 * A name is what somebody uploaded. In Content-Disposition it stands bare while it is a token, quoted
 * while it is ASCII, and percent-encoded (RFC 5987) otherwise, with its ASCII characters as what an old
 * client sees. Line ends and other control characters never come here (artifact_path.c); they would
 * be percent-encoded as well. Where Python writes the base letter of an accented one for old clients,
 * the letter is left out here.
 *
 * Ranges are read as Starlette does, which is lenient: parts that are none are passed over. Several
 * ranges that do not touch would be an answer in MIME parts; RFC 9110 lets a server send the whole
 * file instead, which no list of ranges can blow up.
 */
#include "gateway/artifact/artifact_header.h"

#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "gateway/say.h"

enum { RANGES_MAX = 100 };

/* MLflow shows these as text, whatever else they are. */
static const struct str texts[] = {
    STR_INIT("txt"),        STR_INIT("log"),       STR_INIT("err"),   STR_INIT("cfg"),
    STR_INIT("conf"),       STR_INIT("cnf"),       STR_INIT("cf"),    STR_INIT("ini"),
    STR_INIT("properties"), STR_INIT("prop"),      STR_INIT("hocon"), STR_INIT("toml"),
    STR_INIT("yaml"),       STR_INIT("yml"),       STR_INIT("xml"),   STR_INIT("json"),
    STR_INIT("js"),         STR_INIT("py"),        STR_INIT("py3"),   STR_INIT("csv"),
    STR_INIT("tsv"),        STR_INIT("md"),        STR_INIT("rst"),   STR_INIT("ipynb"),
    STR_INIT("MLmodel"),    STR_INIT("MLproject"),
};

static const struct {
    const char *ending, *type;
} types[] = {
#define MIME(ending, type) {ending, type},
#include "gateway/artifact/mime.def"
#undef MIME
};

static const struct {
    struct str ending;
    const char *name;
} encodings[] = {
    {STR_INIT("gz"), "gzip"}, {STR_INIT("Z"), "compress"}, {STR_INIT("bz2"), "bzip2"},
    {STR_INIT("xz"), "xz"},   {STR_INIT("br"), "br"},
};

/* What stands for two endings. */
static const struct {
    struct str ending, two;
} suffixes[] = {
    {STR_INIT("svgz"), STR_INIT("svg.gz")},  {STR_INIT("tgz"), STR_INIT("tar.gz")},
    {STR_INIT("taz"), STR_INIT("tar.gz")},   {STR_INIT("tz"), STR_INIT("tar.gz")},
    {STR_INIT("tbz2"), STR_INIT("tar.bz2")}, {STR_INIT("txz"), STR_INIT("tar.xz")},
};

/* os.path.splitext: the last ending without its dot, "" when there is none; *stem is what is before.
 * Dots at the beginning belong to the name. */
static struct str cut_ending(struct str name, struct str *stem)
{
    size_t first = 0, at = name.n;

    while (first < name.n && name.p[first] == '.')
        first++;
    while (at > first && name.p[at - 1] != '.')
        at--;
    *stem = at > first ? str_head(name, at - 1) : name;
    return at > first ? str_skip(name, at) : STR("");
}

static const char *find_type(struct str ending)
{
    size_t low = 0, high = array_len(types);

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = str_cmp(ending, str_of(types[middle].ending));

        if (order == 0)
            return types[middle].type;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static struct str lower(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);

    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
    return (struct str){p, s.n};
}

const char *artifact_header_guess(struct arena *a, struct str name, const char **encoding)
{
    struct str stem, ending = cut_ending(name, &stem);
    const char *type;

    *encoding = NULL;
    for (size_t i = 0; i < array_len(suffixes); i++)
        if (str_ieq(ending, suffixes[i].ending)) {
            ending = cut_ending(SAY_TEXT(a, stem, STR("."), suffixes[i].two), &stem);
            break;
        }
    for (size_t i = 0; i < array_len(encodings); i++)
        if (str_eq(ending, encodings[i].ending)) {
            *encoding = encodings[i].name;
            ending = cut_ending(stem, &stem);
            break;
        }
    type = find_type(ending);
    return type ? type : find_type(lower(a, ending));
}

const char *artifact_header_type(struct arena *a, struct str name)
{
    struct str stem, ending = cut_ending(name, &stem);
    const char *encoding, *type;

    if (ending.n == 0)
        ending = name;
    for (size_t i = 0; i < array_len(texts); i++)
        if (str_eq(ending, texts[i]))
            return "text/plain";
    type = artifact_header_guess(a, name, &encoding);
    return type ? type : "application/octet-stream";
}

/* -- Content-Disposition ------------------------------------------------------------------------ */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && (s.p[i] == 0 || !strchr("!#$%&'*+-.^_`|~", s.p[i])))
            return false;
    return s.n > 0;
}

static void add_value(struct buf *out, struct str s)
{
    if (is_token(s)) {
        buf_add_str(out, s);
        return;
    }
    buf_add_byte(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '"' || s.p[i] == '\\')
            buf_add_byte(out, '\\');
        buf_add_byte(out, s.p[i]);
    }
    buf_add_byte(out, '"');
}

static bool is_printable(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x7f;
}

static struct str printable_of(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        if (is_printable(s.p[i]))
            p[n++] = s.p[i];
    return (struct str){p, n};
}

struct str artifact_header_disposition(struct arena *a, struct str name)
{
    struct str shown = printable_of(a, name), value;
    struct buf out;

    buf_init(&out);
    buf_add_str(&out, STR("attachment; filename="));
    add_value(&out, shown.n ? shown : shown.n == name.n ? name : STR("download"));
    if (shown.n < name.n) {
        buf_add_str(&out, STR("; filename*=UTF-8''"));
        for (size_t i = 0; i < name.n; i++)
            if (is_alnum(name.p[i]) || (name.p[i] && strchr("!#$&+-.^_`|~", name.p[i])))
                buf_add_byte(&out, name.p[i]);
            else
                buf_printf(&out, "%%%02X", (unsigned)(unsigned char)name.p[i]);
    }
    value = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return value;
}

struct str artifact_header_date(struct arena *a, int64_t us)
{
    time_t t = (time_t)(us / 1000000);
    struct tm tm;
    char text[40];

    gmtime_r(&t, &tm);
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    return arena_dup(a, str_of(text));
}

/* -- Range -------------------------------------------------------------------------------------- */

/* Digits; more than fit count as the largest number. False for anything else. */
static bool read_number(struct str s, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        *out = *out > (UINT64_MAX - 9) / 10 ? UINT64_MAX : *out * 10 + (uint64_t)(s.p[i] - '0');
    }
    return s.n > 0;
}

/* "1-5", "1-", "-5" as [*from, *end); false for what is none. */
static bool read_range(struct str part, uint64_t bytes, uint64_t *from, uint64_t *end)
{
    size_t dash = str_find(part, '-');
    struct str first = str_trim(str_head(part, dash)), last = str_trim(str_skip(part, dash + 1));
    uint64_t x;

    *end = bytes;
    if (dash == part.n || (first.n == 0 && last.n == 0))
        return false;
    if (first.n == 0) {
        if (!read_number(last, &x))
            return false;
        *from = x < bytes ? bytes - x : 0;
        return true;
    }
    if (!read_number(first, from) || (last.n && !read_number(last, &x)))
        return false;
    if (last.n && x < bytes)
        *end = x + 1;
    return true;
}

static bool is_one_stretch(uint64_t from, uint64_t end, uint64_t first, uint64_t last)
{
    return from <= last && first <= end;
}

enum range_kind artifact_header_range(struct str field, uint64_t bytes, uint64_t *from, uint64_t *n,
                                      const char **why)
{
    struct str unit = str_cut(&field, '=');
    uint64_t first, last, end = 0;
    bool is_beyond = false, is_backwards = false, is_several = false;
    unsigned count = 0, parts = 0;

    *why = "Only support bytes range";
    if (!str_ieq(str_trim(unit), STR("bytes")))
        return RANGE_MALFORMED;
    while (field.n) {
        struct str part = str_cut(&field, ',');

        if (++parts > RANGES_MAX)
            return RANGE_WHOLE;
        if (!read_range(str_trim(part), bytes, &first, &last))
            continue;
        is_beyond |= first >= bytes;
        is_backwards |= first >= last;
        if (count++ == 0) {
            *from = first;
            end = last;
        } else if (is_one_stretch(*from, end, first, last)) {
            *from = first < *from ? first : *from;
            end = last > end ? last : end;
        } else {
            is_several = true;
        }
    }
    *why = count ? "Range header: start must be less than end"
                 : "Range header: range must be requested";
    if (count == 0)
        return RANGE_MALFORMED;
    if (is_beyond)
        return RANGE_BEYOND;
    if (is_backwards)
        return RANGE_MALFORMED;
    *n = end - *from;
    return is_several ? RANGE_WHOLE : RANGE_PART;
}
