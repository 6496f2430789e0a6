/*
 * auth_header: werkzeug 3.1's Authorization.from_header.
 *
 * The scheme, in any letter case, ends at the first space; blanks and tabs around what follows are dropped.
 * The rest is base64 of the strict kind: its alphabet and nothing else, padded to a multiple of four; bits
 * behind the last byte may be anything. What comes out must be UTF-8. The name ends at the first colon;
 * without one there is no password. No other scheme has credentials: where MLflow answers a Digest with an
 * error of its own, or even takes it, we say 401.
 */
#include "gateway/auth/auth_header.h"

#include "ingest/python.h"

static const struct str basic = STR_INIT("basic ");

bool auth_header_is_basic(struct str header)
{
    return header.n <= AUTH_HEADER_MAX && str_ieq(str_head(header, basic.n), basic);
}

static int header_sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* out has room for as many bytes as s has. */
static bool header_decode(struct str s, char *out, size_t *n)
{
    unsigned bits = 0, count = 0;
    size_t pads = 0;

    *n = 0;
    if (s.n % 4 != 0)
        return false;
    while (s.n && pads < 2 && s.p[s.n - 1] == '=') {
        s.n--;
        pads++;
    }
    for (size_t i = 0; i < s.n; i++) {
        int six = header_sextet(s.p[i]);

        if (six < 0)
            return false;
        bits = bits << 6 | (unsigned)six;
        count += 6;
        if (count >= 8) {
            count -= 8;
            out[(*n)++] = (char)(bits >> count & 0xff);
        }
    }
    return true;
}

bool auth_header_read(struct str header, struct auth_credentials *out)
{
    struct str rest = str_skip(header, basic.n);
    struct str text;
    size_t n;

    if (!auth_header_is_basic(header))
        return false;
    while (rest.n && (rest.p[0] == ' ' || rest.p[0] == '\t'))
        rest = str_skip(rest, 1);
    while (rest.n && (rest.p[rest.n - 1] == ' ' || rest.p[rest.n - 1] == '\t'))
        rest.n--;
    if (!header_decode(rest, out->text, &n))
        return false;
    text = (struct str){out->text, n};
    if (!python_is_utf8(text))
        return false;
    out->name = str_cut(&text, ':');
    out->password = text;
    return true;
}
