/*
 * pg_uri: taking a SQLAlchemy URL apart, the way SQLAlchemy does.
 *
 *   postgresql+psycopg2://user:pass/word@host:5432/db?sslmode=require&prepare_threshold=0
 *   postgresql://user:pass%2Fword@host:5432/db?sslmode=require
 *
 * SQLAlchemy lets a password hold everything but '@', libpq ends it at a '/'; so what could
 * mislead libpq is percent-encoded. In a query SQLAlchemy reads '+' as a blank, libpq does not.
 * Which parameters libpq knows is asked of libpq. Everything else is handed on as it is, host
 * lists and percent signs included.
 */
#include "schema/pg_uri.h"

#include <libpq-fe.h>
#include <string.h>

#include "base/buf.h"

static const struct str separator = STR_INIT("://");

/* What stands before "://"; *rest, what follows it. False when there is no scheme. */
static bool pg_uri_scheme(struct str text, struct str *scheme, struct str *rest)
{
    size_t colon = str_find(text, ':');

    if (!str_starts(str_skip(text, colon), separator))
        return false;
    *scheme = str_head(text, colon);
    *rest = str_skip(text, colon + separator.n);
    return true;
}

bool pg_uri_is_postgresql(struct str text)
{
    struct str scheme;
    struct str rest;

    if (!pg_uri_scheme(text, &scheme, &rest))
        return false;
    scheme = str_cut(&scheme, '+');
    return str_eq(scheme, STR("postgresql")) || str_eq(scheme, STR("postgres"));
}

bool pg_uri_is_foreign(struct str text)
{
    struct str scheme;
    struct str rest;

    if (!pg_uri_scheme(text, &scheme, &rest))
        return false;
    scheme = str_cut(&scheme, '+');
    return str_eq(scheme, STR("sqlite")) || str_eq(scheme, STR("mysql")) ||
           str_eq(scheme, STR("mssql"));
}

bool pg_uri_has_driver(struct str text)
{
    struct str scheme;
    struct str rest;

    return pg_uri_is_postgresql(text) && pg_uri_scheme(text, &scheme, &rest) &&
           str_find(scheme, '+') < scheme.n;
}

/* True for bytes that mean nothing to a URI parser; '%' begins what is encoded already. */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80 || (c && strchr("-._~%!$&'()*+,;=", c));
}

static void add_encoded(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (is_unreserved(s.p[i]))
            buf_add_byte(out, s.p[i]);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)s.p[i]);
    }
}

/* user[:password]@ at the front of rest, when there is one: SQLAlchemy's rule. */
static struct str add_login(struct buf *out, struct str rest)
{
    size_t colon = str_find(rest, ':');
    size_t slash = str_find(rest, '/');
    size_t at = str_find(rest, '@');
    struct str user;
    struct str password;

    if (at == rest.n || (slash < at && slash < colon))
        return rest;
    password = str_head(rest, at);
    user = str_cut(&password, ':');
    add_encoded(out, user);
    if (colon < at) {
        buf_add_byte(out, ':');
        add_encoded(out, password);
    }
    buf_add_byte(out, '@');
    return str_skip(rest, at + 1);
}

static bool pg_uri_is_known(struct str key, const PQconninfoOption *options)
{
    for (const PQconninfoOption *o = options; o->keyword; o++) {
        if (str_eq(key, str_of(o->keyword)))
            return true;
    }
    return false;
}

static void add_query(struct buf *out, struct str query)
{
    PQconninfoOption *options = PQconndefaults();
    char mark = '?';

    check(options != NULL); /* NULL means out of memory */
    while (query.n) {
        struct str value = str_cut(&query, '&');
        struct str key = str_cut(&value, '=');

        if (!pg_uri_is_known(key, options))
            continue;
        buf_printf(out, "%c%.*s=", mark, STR_ARG(key));
        for (size_t i = 0; i < value.n; i++) {
            if (value.p[i] == '+')
                buf_add_str(out, STR("%20"));
            else
                buf_add_byte(out, value.p[i]);
        }
        mark = '&';
    }
    PQconninfoFree(options);
}

struct str pg_uri_from_sqlalchemy(struct str text, struct arena *a)
{
    struct str scheme;
    struct str rest;
    struct str result;
    struct buf out;

    if (!pg_uri_scheme(text, &scheme, &rest))
        return arena_dup(a, text);
    buf_init(&out);
    buf_add_str(&out, str_cut(&scheme, '+'));
    buf_add_str(&out, separator);
    rest = add_login(&out, rest);
    buf_add_str(&out, str_cut(&rest, '?'));
    add_query(&out, rest);
    result = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return result;
}

bool pg_uri_is_valid(const char *text)
{
    PQconninfoOption *options = PQconninfoParse(text, NULL);

    PQconninfoFree(options);
    return options != NULL;
}
