/*
 * s3_xml: a walk over tags. There are no attributes that anybody reads, no mixed content, no DTD that
 * anybody follows: "<?...?>" and "<!...>" are passed over, so no entity can be declared. The five
 * entities that XML has, and characters by number, are decoded.
 */
#include "gateway/s3/s3_xml.h"

#include <string.h>

#include "base/buf.h"
#include "ingest/python.h"

void s3_xml_init(struct s3_xml *x, struct arena *a, struct str document)
{
    *x = (struct s3_xml){.arena = a, .rest = document};
}

/* -- text --------------------------------------------------------------------------------------- */

static const struct {
    struct str name;
    char c;
} entities[] = {
    {STR_INIT("amp"), '&'},  {STR_INIT("lt"), '<'},    {STR_INIT("gt"), '>'},
    {STR_INIT("quot"), '"'}, {STR_INIT("apos"), '\''},
};

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* "#38" or "#x26" as UTF-8 at p, which has four bytes; returns how many, 0 for what is none. */
static size_t decode_number(struct str s, char *p)
{
    bool is_hex = s.n > 1 && (s.p[1] == 'x' || s.p[1] == 'X');
    unsigned base = is_hex ? 16 : 10, c = 0;

    if (s.n < 2 || s.n > 10 || s.n == (size_t)(is_hex ? 2 : 1))
        return 0;
    for (size_t i = is_hex ? 2 : 1; i < s.n; i++) {
        int d = digit_of(s.p[i]);

        if (d < 0 || (unsigned)d >= base || c > 0x10ffff)
            return 0;
        c = c * base + (unsigned)d;
    }
    if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
        return 0;
    if (c < 0x80)
        return p[0] = (char)c, 1;
    if (c < 0x800)
        return p[0] = (char)(0xc0 | c >> 6), p[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return p[0] = (char)(0xe0 | c >> 12), p[1] = (char)(0x80 | (c >> 6 & 63)),
               p[2] = (char)(0x80 | (c & 63)), 3;
    return p[0] = (char)(0xf0 | c >> 18), p[1] = (char)(0x80 | (c >> 12 & 63)),
           p[2] = (char)(0x80 | (c >> 6 & 63)), p[3] = (char)(0x80 | (c & 63)), 4;
}

static size_t decode_entity(struct str name, char *p)
{
    if (str_starts(name, STR("#")))
        return decode_number(name, p);
    for (size_t i = 0; i < array_len(entities); i++)
        if (str_eq(name, entities[i].name)) {
            p[0] = entities[i].c;
            return 1;
        }
    return 0;
}

/* Never longer than it was; what is no entity stays. */
static struct str decode_text(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 4);
    size_t n = 0;

    while (s.n) {
        size_t at = str_find(s, '&'), end, more;

        memcpy(p + n, s.p, at);
        n += at;
        s = str_skip(s, at);
        if (s.n == 0)
            break;
        end = str_find(s, ';');
        more = end < s.n ? decode_entity(str_head(str_skip(s, 1), end - 1), p + n) : 0;
        if (more == 0)
            p[n++] = '&';
        n += more;
        s = str_skip(s, more ? end + 1 : 1);
    }
    return python_decode(a, (struct str){p, n});
}

/* -- tags --------------------------------------------------------------------------------------- */

/* What stands in a tag before blanks, '/' and attributes, without its namespace. */
static struct str name_of(struct str tag)
{
    size_t n = 0, colon;

    while (n < tag.n && !strchr(" \t\r\n/", tag.p[n]) && tag.p[n] != 0)
        n++;
    tag = str_head(tag, n);
    colon = str_find(tag, ':');
    return colon < tag.n ? str_skip(tag, colon + 1) : tag;
}

/* True when the element that is open ends here. */
static bool close_tag(struct s3_xml *x, struct str tag)
{
    if (x->depth == 0 || !str_eq(name_of(str_skip(tag, 1)), x->names[x->depth - 1])) {
        x->rest = STR("");
        return false;
    }
    x->text = decode_text(x->arena, x->raw);
    x->raw = STR("");
    x->has_ended = true;
    return true;
}

static bool open_tag(struct s3_xml *x, struct str tag)
{
    if (x->depth == S3_XML_DEPTH) {
        x->rest = STR("");
        return false;
    }
    x->names[x->depth++] = name_of(tag);
    x->raw = STR("");
    if (!str_ends(tag, STR("/")))
        return false;
    x->text = STR("");
    x->has_ended = true;
    return true;
}

bool s3_xml_next(struct s3_xml *x)
{
    if (x->has_ended) {
        x->depth--;
        x->has_ended = false;
    }
    while (x->rest.n) {
        size_t at = str_find(x->rest, '<'), end;
        struct str tag;

        x->raw = str_head(x->rest, at);
        x->rest = str_skip(x->rest, at);
        end = str_find(x->rest, '>');
        if (end == x->rest.n)
            break; /* cut off, or nothing comes */
        tag = str_skip(str_head(x->rest, end), 1);
        x->rest = str_skip(x->rest, end + 1);
        if (str_starts(tag, STR("?")) || str_starts(tag, STR("!")))
            continue;
        if (str_starts(tag, STR("/")) ? close_tag(x, tag) : open_tag(x, tag))
            return true;
    }
    x->rest = STR("");
    return false;
}

bool s3_xml_is(const struct s3_xml *x, const char *path)
{
    struct str rest = str_of(path);
    unsigned depth = x->depth;

    while (rest.n) {
        size_t at = rest.n;

        while (at > 0 && rest.p[at - 1] != '/')
            at--;
        if (depth == 0 || !str_eq(x->names[--depth], str_skip(rest, at)))
            return false;
        rest = str_head(rest, at ? at - 1 : 0);
    }
    return true;
}

struct str s3_xml_find(struct arena *a, struct str document, const char *path)
{
    struct s3_xml x;

    s3_xml_init(&x, a, document);
    while (s3_xml_next(&x))
        if (s3_xml_is(&x, path))
            return x.text;
    return STR("");
}

struct str s3_xml_escape(struct arena *a, struct str s)
{
    struct str out;
    struct buf b;

    buf_init(&b);
    for (size_t i = 0; i < s.n; i++) {
        size_t k = 0;

        while (k < array_len(entities) && entities[k].c != s.p[i])
            k++;
        if (k < array_len(entities))
            buf_printf(&b, "&%.*s;", STR_ARG(entities[k].name));
        else
            buf_add_byte(&b, s.p[i]);
    }
    out = arena_dup(a, buf_str(&b));
    buf_fini(&b);
    return out;
}
