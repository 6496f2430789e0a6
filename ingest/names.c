/*
 * names: MLflow's rules on names, lengths and values.
 *
 * The key rule comes in two halves. Characters: letters, digits and numbers of any script, and
 * "_-./: "; a line feed may end the name, because Python's $ matches before it. Path: the name must
 * be its own POSIX-normalised form, and neither "." nor begin with ".." or "/". Only a part that is
 * empty or begins with a dot can break that, so most names never reach the normaliser.
 *
 * One table of 256 classes decides ASCII; a byte above 0x7F sends the name to the slow walk over
 * code points. Lengths count the bytes that begin a character, so they never decode.
 */
#include "ingest/names.h"

#include <inttypes.h>
#include <string.h>

#include "base/json.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { CHAR_NO, CHAR_PLAIN, CHAR_SLASH };

static const unsigned char name_class[256] = {
    ['0' ... '9'] = CHAR_PLAIN, ['A' ... 'Z'] = CHAR_PLAIN, ['a' ... 'z'] = CHAR_PLAIN,
    ['_'] = CHAR_PLAIN,         ['-'] = CHAR_PLAIN,         ['.'] = CHAR_PLAIN,
    [':'] = CHAR_PLAIN,         [' '] = CHAR_PLAIN,         ['/'] = CHAR_SLASH,
};

/* Does byte c begin a character? */
static bool is_first(char c)
{
    return ((unsigned char)c & 0xC0) != 0x80;
}

size_t names_length(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += is_first(s.p[i]);
    return n;
}

struct str names_cut(struct str s, size_t n)
{
    if (s.n <= n)
        return s;
    for (size_t i = 0; i < s.n; i++)
        if (is_first(s.p[i]) && n-- == 0)
            return str_head(s, i);
    return s;
}

bool names_is_plain(struct str key)
{
    unsigned char before = CHAR_SLASH;

    if (key.n == 0 || key.n > LIMIT_KEY)
        return false;
    for (size_t i = 0; i < key.n; i++) {
        unsigned char class = name_class[(unsigned char)key.p[i]];

        /* a part of the path that is empty or begins with a dot needs the normaliser */
        if (class == CHAR_NO || (before == CHAR_SLASH && (class == CHAR_SLASH || key.p[i] == '.')))
            return false;
        before = class;
    }
    return before != CHAR_SLASH;
}

/* The beginning of s, of whole characters, that is looked at and quoted. */
static struct str names_head(struct str s)
{
    size_t n = NAMES_QUOTE_MAX;

    if (s.n <= n)
        return s;
    while (n > 0 && !is_first(s.p[n]))
        n--;
    return str_head(s, n);
}

/* -- the key rule -------------------------------------------------------------------------- */

static bool names_has_only_allowed(struct str key)
{
    while (key.n) {
        uint32_t cp = python_next(&key);

        if (cp < 0x80 ? name_class[cp] == CHAR_NO : !python_is_alnum(cp))
            return cp == '\n' && key.n == 0;
    }
    return true;
}

/* Appends posixpath.normpath(path); out is empty. */
static void names_normalise(struct buf *out, struct str path)
{
    char *text = buf_room(out, path.n + 1);
    size_t slashes = 0, root, n;

    while (slashes < path.n && path.p[slashes] == '/')
        slashes++;
    root = slashes == 2 ? 2 : slashes > 0; /* POSIX lets exactly two slashes mean something else */
    memset(text, '/', root);
    n = root;
    path = str_skip(path, slashes);
    while (path.n) {
        struct str part = str_cut(&path, '/');
        size_t last = n; /* where the last part kept begins, looked for when ".." asks */

        if (part.n == 0 || str_eq(part, STR(".")))
            continue;
        if (str_eq(part, STR(".."))) {
            while (last > root && text[last - 1] != '/')
                last--;
            if (n > root && !(n - last == 2 && memcmp(text + last, "..", 2) == 0)) {
                n = last > root ? last - 1 : root;
                continue;
            }
            if (root)
                continue;
        }
        if (n > root)
            text[n++] = '/';
        memcpy(text + n, part.p, part.n);
        n += part.n;
    }
    if (n == 0)
        text[n++] = '.';
    buf_added(out, n);
}

/* invalid_value() of validation.py; what follows "supplied" is more. */
static err_t names_invalid(struct str value, const char *path, const char *more, struct fail *f)
{
    struct buf quoted;
    err_t e;

    buf_init(&quoted);
    json_quote(&quoted, names_head(value));
    e = fail(f, ERR_BAD_PARAM, "Invalid value %.*s for parameter '%s' supplied%s",
             STR_ARG(str_head(buf_str(&quoted), NAMES_QUOTE_MAX)), path, more);
    buf_fini(&quoted);
    return e;
}

static err_t names_bad_path(struct str key, struct str normal, const char *path, struct fail *f)
{
    struct buf more;
    err_t e;

    buf_init(&more);
    buf_add_str(&more, STR(": Names may be treated as files in certain cases, and must not resolve "
                           "to other names when treated as such. This name would resolve to "));
    python_repr(&more, names_cut(normal, NAMES_QUOTE_MAX));
    buf_add_byte(&more, '\0');
    e = names_invalid(key, path, buf_str(&more).p, f);
    buf_fini(&more);
    return e;
}

err_t names_check_path(struct str key, const char *path, struct fail *f)
{
    struct buf normal;
    struct str n;
    err_t e = OK;

    buf_init(&normal);
    names_normalise(&normal, key);
    n = buf_str(&normal);
    if (!str_eq(n, key) || str_eq(n, STR(".")) || str_starts(n, STR("..")) ||
        str_starts(n, STR("/")))
        e = names_bad_path(key, n, path, f);
    buf_fini(&normal);
    return e;
}

err_t names_check_key(struct str key, const char *path, struct fail *f)
{
    if (names_is_plain(key))
        return OK;
    key = names_head(key); /* a longer one is too long anyway */
    if (!names_has_only_allowed(key))
        return names_invalid(key, path,
                             ": Names may only contain alphanumerics, underscores (_), dashes (-), "
                             "periods (.), spaces ( ), colon(:) and slashes (/).",
                             f);
    return names_check_path(key, path, f);
}

/* -- lengths, ids, times ------------------------------------------------------------------- */

err_t names_check_length(struct str s, size_t max, const char *what, struct fail *f)
{
    if (s.n <= max || (s.n <= 4 * max && names_length(s) <= max))
        return OK;
    return fail(f, ERR_BAD_PARAM, "'%s' exceeds the maximum length of %zu characters", what, max);
}

err_t names_check_run_id(struct str run_id, struct fail *f)
{
    struct str rest = run_id;
    size_t n = 0;
    bool is_good = true;

    while (rest.n && is_good) {
        uint32_t cp = python_next(&rest);

        if (cp == '\n' && rest.n == 0 && n > 0)
            return OK; /* Python's $ again */
        is_good = python_is_alnum(cp) ? n > 0 || cp < 0x80 : n > 0 && (cp == '_' || cp == '-');
        is_good = is_good && ++n <= 256;
    }
    if (is_good && n > 0)
        return OK;
    return names_invalid(run_id, "run_id", ".", f);
}

err_t names_check_timestamp(int64_t timestamp, double value, struct str key, const char *path,
                            struct fail *f)
{
    char text[JSON_DOUBLE_MAX];
    size_t n;

    if (timestamp >= 0)
        return OK;
    n = json_repr_double(value, text);
    return fail(f, ERR_BAD_PARAM,
                "Invalid value %" PRId64 " for parameter '%s' supplied: metric '%.*s' "
                "(value=%.*s). Timestamp must be a nonnegative long (64-bit integer) ",
                timestamp, path, STR_ARG(names_cut(key, NAMES_QUOTE_MAX)), (int)n, text);
}

err_t names_check_nul(struct str s, struct fail *f)
{
    if (s.n == 0 || memchr(s.p, '\0', s.n) == NULL)
        return OK;
    return fail_str(
        f, ERR_BAD_REQUEST,
        STR("(psycopg.DataError) PostgreSQL text fields cannot contain NUL (0x00) bytes"));
}
