/*
 * The parts are cut from the outside in: scheme, then what stands before the last '@', then the
 * database behind the first '/', then the port behind the last ':'. A password may hold anything
 * but '/' unescaped. Query and fragment are refused: whoever writes one means something by it.
 */
#include "schema/redis_uri.h"

#include <string.h>

#include "base/check.h"

enum { REDIS_PORT = 6379 };

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* NULL: a bad escape, or a zero byte. */
static const char *redis_unescape(struct str text, struct arena *a)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t n = 0;

    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        if (c == '%') {
            int high = i + 2 < text.n ? hex_digit(text.p[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.p[i + 2]) : -1;

            if (low < 0)
                return NULL;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0')
            return NULL;
        out[n++] = c;
    }
    out[n] = '\0';
    return out;
}

static bool redis_number(struct str text, uint64_t least, uint64_t most, uint16_t *out)
{
    uint64_t value;

    if (text.n == 0 || !str_to_u64(text, &value) || value < least || value > most)
        return false;
    *out = (uint16_t)value;
    return true;
}

static bool redis_read_user(struct str text, struct arena *a, struct redis_uri *out)
{
    struct str user = str_cut(&text, ':');

    out->user = redis_unescape(user, a);
    out->password = redis_unescape(text, a);
    /* A user without a password cannot log in. */
    return out->user && out->password && (*out->password || !*out->user);
}

static bool redis_read_host(struct str text, struct arena *a, struct redis_uri *out)
{
    struct str host = text;
    struct str port = {0};

    if (text.n && text.p[0] == '[') {
        size_t end = str_find(text, ']');

        if (end == text.n)
            return false;
        host = (struct str){text.p + 1, end - 1};
        port = str_skip(text, end + 1);
        if (port.n && port.p[0] != ':')
            return false;
    } else if (str_find(text, ':') < text.n) {
        host = str_head(text, str_find(text, ':'));
        port = str_skip(text, host.n);
    }
    if (port.n && !redis_number(str_skip(port, 1), 1, 65535, &out->port))
        return false;
    for (size_t i = 0; i < host.n; i++) {
        if (host.p[i] <= ' ' || strchr("'\\,/@\x7f", host.p[i]))
            return false;
    }
    out->host = arena_cstr(a, host);
    return host.n > 0;
}

bool redis_uri_parse(struct str text, struct arena *a, struct redis_uri *out)
{
    struct str rest = text;
    size_t at = 0;

    *out = (struct redis_uri){.user = "", .password = "", .port = REDIS_PORT};
    if (str_starts(text, STR("rediss://")))
        out->has_tls = true;
    else if (!str_starts(text, STR("redis://")))
        return false;
    rest = str_skip(text, out->has_tls ? 9 : 8);
    if (str_find(rest, '?') < rest.n || str_find(rest, '#') < rest.n)
        return false;
    for (size_t i = 0; i < rest.n; i++)
        at = rest.p[i] == '@' ? i + 1 : at;
    if (at > 0 && !redis_read_user(str_head(rest, at - 1), a, out))
        return false;
    rest = str_skip(rest, at);
    struct str host = str_cut(&rest, '/');

    if (rest.n && !redis_number(rest, 0, 65535, &out->database))
        return false;
    return redis_read_host(host, a, out);
}
