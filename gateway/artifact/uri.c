/*
 * uri: urllib.parse of Python.
 *
 * Taking apart. Blanks and control characters in front go, tabs and line ends anywhere, or
 * "ht\ntp://..." would pass as a path. A scheme is letters, digits, "+", "-" and "." behind a
 * letter. The netloc ends at the first of "/?#". Nothing is decoded.
 *
 * Decoding until nothing changes is a stack: when the last three bytes of what is written are a
 * code, they become its byte, which may end another code. Codes do not overlap, so the order in
 * which they are replaced does not matter, and a text like "%252525..." costs its length and not
 * its square. Bytes that are no UTF-8 stay such; Python would have U+FFFD.
 *
 * Putting together. A path that begins with "//" is written behind an empty host, as Python does since
 * 3.12.4. Before that "mlflow-artifacts:////h/x", in which nobody finds a host, came out as
 * "mlflow-artifacts://h/x", which names one, and nobody had looked at it.
 *
 * Left out, because no location has them: parameters (";x") in the middle segments of a path, and
 * IPv6 zone texts.
 */
#include "gateway/artifact/uri.h"

#include <string.h>

#include "gateway/say.h"

/* urllib.parse.uses_params */
static const struct str params_schemes[] = {
    STR_INIT(""),     STR_INIT("ftp"),   STR_INIT("hdl"),   STR_INIT("prospero"), STR_INIT("http"),
    STR_INIT("imap"), STR_INIT("https"), STR_INIT("shttp"), STR_INIT("rtsp"),     STR_INIT("rtspu"),
    STR_INIT("sip"),  STR_INIT("sips"),  STR_INIT("mms"),   STR_INIT("sftp"),     STR_INIT("tel"),
};

/* urllib.parse.uses_netloc: those that an artifact location may have. */
static const struct str netloc_schemes[] = {
    STR_INIT("ftp"),   STR_INIT("http"),    STR_INIT("file"),    STR_INIT("https"),
    STR_INIT("sftp"),  STR_INIT("nfs"),     STR_INIT("git"),     STR_INIT("svn"),
    STR_INIT("rsync"), STR_INIT("git+ssh"), STR_INIT("svn+ssh"),
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

struct str uri_to_lower(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);

    for (size_t i = 0; i < s.n; i++)
        p[i] = (char)(s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] + 32 : s.p[i]);
    return (struct str){p, s.n};
}

/* What urllib looks at: no control characters or blanks in front, no tab, CR, LF anywhere. */
static struct str clean(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);
    size_t n = 0;

    while (s.n && (unsigned char)s.p[0] <= ' ')
        s = str_skip(s, 1);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != '\t' && s.p[i] != '\r' && s.p[i] != '\n')
            p[n++] = s.p[i];
    return (struct str){p, n};
}

/* Length of the scheme in front of a ':', 0 when there is none. */
static size_t scheme_length(struct str s)
{
    size_t n = str_find(s, ':');

    if (n == s.n || n == 0 || !is_letter(s.p[0]))
        return 0;
    for (size_t i = 1; i < n; i++)
        if (!is_letter(s.p[i]) && !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '+' &&
            s.p[i] != '-' && s.p[i] != '.')
            return 0;
    return n;
}

static bool has_params(const struct uri *u)
{
    bool is_known = false;
    size_t at;

    for (size_t i = 0; i < array_len(params_schemes); i++)
        is_known |= str_eq(u->scheme, params_schemes[i]);
    for (at = u->path.n; is_known && at > 0 && u->path.p[at - 1] != '/'; at--)
        if (u->path.p[at - 1] == ';')
            return true;
    return false;
}

static struct uri parse(struct arena *a, struct str text, bool has_fragments)
{
    struct uri u = {0};
    struct str s = clean(a, text);
    size_t n = scheme_length(s);
    size_t at;

    u.scheme = uri_to_lower(a, str_head(s, n));
    s = str_skip(s, n ? n + 1 : 0);
    if (str_starts(s, STR("//"))) {
        s = str_skip(s, 2);
        for (at = 0; at < s.n && s.p[at] != '/' && s.p[at] != '?' && s.p[at] != '#'; at++)
            ;
        u.netloc = str_head(s, at);
        s = str_skip(s, at);
    }
    u.is_malformed =
        (str_find(u.netloc, '[') < u.netloc.n) != (str_find(u.netloc, ']') < u.netloc.n);
    at = has_fragments ? str_find(s, '#') : s.n;
    u.fragment = str_skip(s, at + 1);
    s = str_head(s, at);
    at = str_find(s, '?');
    u.query = str_skip(s, at + 1);
    u.path = str_head(s, at);
    u.has_params = has_params(&u);
    return u;
}

struct uri uri_parse(struct arena *a, struct str text)
{
    return parse(a, text, true);
}

struct uri uri_parse_whole(struct arena *a, struct str text)
{
    return parse(a, text, false);
}

struct str uri_path(const struct uri *u)
{
    struct str path = u->path;
    size_t at = path.n;

    if (!u->has_params)
        return path;
    while (at > 0 && path.p[at - 1] != '/')
        at--;
    return str_head(path, at + str_find(str_skip(path, at), ';'));
}

struct str uri_host(struct arena *a, const struct uri *u)
{
    struct str host = u->netloc;
    size_t at;

    while ((at = str_find(host, '@')) < host.n)
        host = str_skip(host, at + 1);
    at = str_find(host, '[');
    if (at < host.n) {
        host = str_skip(host, at + 1);
        host = str_head(host, str_find(host, ']'));
    } else {
        host = str_head(host, str_find(host, ':'));
    }
    return uri_to_lower(a, host);
}

struct str uri_unparse(struct arena *a, const struct uri *u)
{
    bool has_slashes = u->netloc.n > 0 || str_starts(u->path, STR("//"));
    bool wants_slash;

    for (size_t i = 0; u->scheme.n > 0 && i < array_len(netloc_schemes); i++)
        has_slashes |= str_eq(u->scheme, netloc_schemes[i]);
    wants_slash = has_slashes && u->path.n > 0 && u->path.p[0] != '/';

    return SAY_TEXT(a, u->scheme, u->scheme.n ? STR(":") : STR(""),
                    has_slashes ? STR("//") : STR(""), u->netloc, wants_slash ? STR("/") : STR(""),
                    u->path, u->query.n ? STR("?") : STR(""), u->query,
                    u->fragment.n ? STR("#") : STR(""), u->fragment);
}

bool uri_is_local_host(struct str host)
{
    return host.n == 0 || str_eq(host, STR(".")) || str_starts(host, STR("localhost")) ||
           str_starts(host, STR("127.0.0.1"));
}

/* -- percent codes --------------------------------------------------------------------------- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Is there a code at p, which has three bytes? */
static bool is_code(const char *p)
{
    return p[0] == '%' && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0;
}

static char code_byte(const char *p)
{
    return (char)(hex_digit(p[1]) * 16 + hex_digit(p[2]));
}

struct str uri_decode(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (i + 2 < s.n && is_code(s.p + i)) {
            p[n++] = code_byte(s.p + i);
            i += 2;
        } else {
            p[n++] = s.p[i];
        }
    }
    return (struct str){p, n};
}

struct str uri_decode_fully(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        p[n++] = s.p[i];
        while (n >= 3 && is_code(p + n - 3)) {
            p[n - 3] = code_byte(p + n - 3);
            n -= 2;
        }
    }
    return (struct str){p, n};
}
