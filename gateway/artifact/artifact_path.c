/*
 * artifact_path: MLflow's validate_path_is_safe, and the parts of posixpath that go with it.
 *
 * A path comes percent-decoded once, by the HTTP layer. Then, up to ROUNDS times, it is decoded
 * again, taken apart and put together as a URI, until that changes nothing: so no encoding hides a
 * ".." however often it was encoded. Taking apart has effects of its own, which a stock client sees
 * and which therefore stay: tabs and line ends go, a scheme becomes lower case ("Model:1" is kept as
 * "model:1"), a "?", "#" or ";" at the end is lost. Where Python raises, after ROUNDS rounds or on a
 * malformed host, MLflow breaks with a 500; here that is an invalid path too.
 *
 * Control characters that are left are written as %xx: a NUL never reaches a system call.
 *
 * Then refused: a '#'; a segment ".."; what is absolute, for POSIX or for Windows (a drive with a
 * root, or \\server\share). A backslash alone is a character of a name.
 */
#include "gateway/artifact/artifact_path.h"

#include <string.h>

#include "gateway/artifact/uri.h"
#include "gateway/say.h"
#include "ingest/python.h"
#include "schema/errors.h"

enum { ROUNDS = 10 };

/* urlunparse(urlparse(text)); false where Python raises ValueError. */
static bool reparse(struct arena *a, struct str text, struct str *out)
{
    struct uri u = uri_parse(a, text);

    /* Empty parameters are not written. */
    if (u.has_params && uri_path(&u).n + 1 == u.path.n)
        u.path = str_head(u.path, u.path.n - 1);
    *out = uri_unparse(a, &u);
    return !u.is_malformed;
}

static bool decode(struct arena *a, struct str *path)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct str next;

        if (!reparse(a, python_decode(a, uri_decode(a, *path)), &next))
            return false;
        if (str_eq(next, *path))
            return true;
        *path = next;
    }
    return false;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static struct str escape_controls(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n * 3);
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (!is_control(s.p[i])) {
            p[n++] = s.p[i];
            continue;
        }
        p[n++] = '%';
        p[n++] = "0123456789abcdef"[(unsigned char)s.p[i] >> 4];
        p[n++] = "0123456789abcdef"[s.p[i] & 15];
    }
    return (struct str){p, n};
}

static bool is_separator(struct str s, size_t at)
{
    return at < s.n && (s.p[at] == '/' || s.p[at] == '\\');
}

/* Index of the first separator from at on, or s.n. */
static size_t find_separator(struct str s, size_t at)
{
    while (at < s.n && !is_separator(s, at))
        at++;
    return at;
}

/* PureWindowsPath(s).is_absolute(): it has a drive and a root. What begins with \\?\ counts too. */
static bool is_absolute_for_windows(struct str s)
{
    char c = s.n ? (char)(s.p[0] | 0x20) : 0;
    size_t at;

    if (c >= 'a' && c <= 'z' && s.n > 2 && s.p[1] == ':' && is_separator(s, 2))
        return true;
    if (!is_separator(s, 0) || !is_separator(s, 1))
        return false;
    if (s.n > 3 && s.p[2] == '?' && is_separator(s, 3))
        return true;
    at = find_separator(s, 2);
    return at > 2 && at < s.n && !is_separator(s, at + 1);
}

static bool has_parent(struct str path)
{
    while (path.n)
        if (str_eq(str_cut(&path, '/'), STR("..")))
            return true;
    return false;
}

err_t artifact_path_check(struct arena *a, struct str sent, struct str *out, struct fail *f)
{
    struct str path = python_decode(a, sent);
    struct uri u;

    if (!decode(a, &path))
        return fail_str(f, ERR_BAD_PARAM, STR("Invalid path"));
    path = escape_controls(a, path);
    if (str_find(path, '#') < path.n)
        return fail_str(f, ERR_BAD_PARAM, STR("Invalid path"));
    u = uri_parse(a, path);
    if (str_eq(u.scheme, STR("file")))
        path = escape_controls(a, python_decode(a, uri_decode(a, uri_path(&u))));
    if (has_parent(path) || str_starts(path, STR("/")) || is_absolute_for_windows(path))
        return fail_str(f, ERR_BAD_PARAM, STR("Invalid path"));
    *out = path;
    return OK;
}

/* -- posixpath ---------------------------------------------------------------------------------- */

static size_t base_at(struct str path)
{
    size_t at = path.n;

    while (at > 0 && path.p[at - 1] != '/')
        at--;
    return at;
}

struct str artifact_path_base(struct str path)
{
    return str_skip(path, base_at(path));
}

struct str artifact_path_dir(struct str path)
{
    struct str head = str_head(path, base_at(path));
    size_t n = head.n;

    while (n > 0 && head.p[n - 1] == '/')
        n--;
    return n ? str_head(head, n) : head;
}

struct str artifact_path_join(struct arena *a, struct str head, struct str tail)
{
    if (head.n == 0)
        return tail;
    return SAY_TEXT(a, head, str_ends(head, STR("/")) ? STR("") : STR("/"), tail);
}

struct str artifact_path_norm(struct arena *a, struct str path)
{
    char *p = arena_alloc(a, path.n);
    size_t n = 0;

    while (path.n) {
        struct str part = str_cut(&path, '/');

        if (part.n == 0 || str_eq(part, STR(".")))
            continue;
        if (n)
            p[n++] = '/';
        memcpy(p + n, part.p, part.n);
        n += part.n;
    }
    return (struct str){p, n};
}

err_t artifact_path_check_unique(struct arena *a, struct str path, struct fail *f)
{
    struct str norm = artifact_path_norm(a, path);

    if (str_eq(norm, path))
        return OK;
    return SAY(
        a, f, ERR_INTERNAL, STR("Invalid artifact path: '"), path,
        STR("'. Names may be treated as files in certain cases, and must not resolve to other"
            " names when treated as such. This name would resolve to '"),
        norm.n ? norm : STR("."), STR("'"));
}
