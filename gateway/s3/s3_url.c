/*
 * s3_url: canonical URLs of S3, and signatures in their queries.
 *
 * Everything but letters, digits and "-_.~" is percent-encoded, in keys all but the slash too: a URL is
 * then its own canonical form, which is what its signature is made of. So the requests that libcurl
 * signs (s3.c) need no canonical form of libcurl's, and its 7.88 makes none: it takes path and query as
 * they are, so parameters must be sorted here, and one without a value must have its "=".
 *
 * A presigned URL (AWS signature version 4, "query parameters"): X-Amz-Algorithm, -Credential, -Date,
 * -Expires, [-Security-Token,] -SignedHeaders go before the others, as capitals sort before small
 * letters; the payload is not signed.
 */
#include "gateway/s3/s3_url.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "gateway/say.h"

enum { DIGEST_BYTES = 32, PARAMS_MAX = 16 };

static bool is_plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static void add_encoded(struct buf *out, struct str s, bool keeps_slash)
{
    for (size_t i = 0; i < s.n; i++)
        if (is_plain(s.p[i]) || (keeps_slash && s.p[i] == '/'))
            buf_add_byte(out, s.p[i]);
        else
            buf_printf(out, "%%%02X", (unsigned)(unsigned char)s.p[i]);
}

bool s3_url_is_bucket(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (!is_plain(name.p[i]) || name.p[i] == '~')
            return false;
    return name.n > 0 && name.n < 256 && !str_eq(name, STR(".")) && !str_eq(name, STR(".."));
}

/* "https", "host:port" and the path of an object, encoded. */
struct place {
    struct str scheme, host, path;
};

static struct place place_of(struct arena *a, const struct s3_conf *c, struct str bucket,
                             struct str key)
{
    struct place p = {.scheme = STR("https")};
    struct str endpoint = c->endpoint;
    struct buf path;

    buf_init(&path);
    if (endpoint.n) {
        p.scheme = str_head(endpoint, str_find(endpoint, ':'));
        p.host = str_skip(endpoint, p.scheme.n + 3);
    } else {
        p.host = SAY_TEXT(a, STR("s3."), c->region, STR(".amazonaws.com"));
    }
    buf_add_byte(&path, '/');
    if (c->is_path_style) {
        add_encoded(&path, bucket, false);
        buf_add_str(&path, key.n ? STR("/") : STR(""));
    } else {
        p.host = SAY_TEXT(a, bucket, STR("."), p.host);
    }
    add_encoded(&path, key, true);
    p.path = arena_dup(a, buf_str(&path));
    buf_fini(&path);
    return p;
}

static struct str query_of(struct arena *a, const struct s3_param *params, size_t n)
{
    struct str query;
    struct buf out;

    buf_init(&out);
    for (size_t i = 0; i < n; i++) {
        buf_add_str(&out, i ? STR("&") : STR(""));
        add_encoded(&out, params[i].name, false);
        buf_add_byte(&out, '=');
        add_encoded(&out, params[i].value, false);
    }
    query = arena_dup(a, buf_str(&out));
    buf_fini(&out);
    return query;
}

struct str s3_url(struct arena *a, const struct s3_conf *c, struct str bucket, struct str key,
                  const struct s3_param *params, size_t n)
{
    struct place p = place_of(a, c, bucket, key);

    return SAY_TEXT(a, p.scheme, STR("://"), p.host, p.path, n ? STR("?") : STR(""),
                    query_of(a, params, n));
}

/* -- signatures --------------------------------------------------------------------------------- */

struct digest {
    unsigned char bytes[DIGEST_BYTES];
};

static struct str hex_of(struct arena *a, const struct digest *d)
{
    char text[2 * DIGEST_BYTES + 1];

    for (size_t i = 0; i < DIGEST_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", d->bytes[i]);
    return arena_dup(a, str_of(text));
}

static struct digest sha256(struct str s)
{
    struct digest d;

    check(EVP_Digest(s.p, s.n, d.bytes, NULL, EVP_sha256(), NULL) == 1);
    return d;
}

static struct digest keyed(const void *key, size_t n, struct str s)
{
    struct digest d;

    check(HMAC(EVP_sha256(), key, (int)n, (const unsigned char *)s.p, s.n, d.bytes, NULL) != NULL);
    return d;
}

static struct str sign(struct arena *a, const struct s3_conf *c, struct str day, struct str text)
{
    struct str first = SAY_TEXT(a, STR("AWS4"), c->secret_key);
    struct digest d = keyed(first.p, first.n, day);

    d = keyed(d.bytes, DIGEST_BYTES, c->region);
    d = keyed(d.bytes, DIGEST_BYTES, STR("s3"));
    d = keyed(d.bytes, DIGEST_BYTES, STR("aws4_request"));
    d = keyed(d.bytes, DIGEST_BYTES, text);
    return hex_of(a, &d);
}

/* Their names joined by ";", and their lines. */
static struct str names_of(struct arena *a, const struct s3_grant *g)
{
    struct str names = STR("");
    bool has_host = false;

    for (size_t i = 0; i < g->header_count; i++) {
        if (!has_host && str_cmp(g->headers[i].name, STR("host")) > 0) {
            names = SAY_TEXT(a, names, STR("host;"));
            has_host = true;
        }
        names = SAY_TEXT(a, names, g->headers[i].name, STR(";"));
    }
    if (!has_host)
        names = SAY_TEXT(a, names, STR("host;"));
    return str_head(names, names.n - 1);
}

static struct str lines_of(struct arena *a, const struct s3_grant *g, struct str names,
                           struct str host)
{
    struct str lines = STR("");
    size_t i = 0;

    while (names.n) {
        struct str name = str_cut(&names, ';');
        bool is_host = str_eq(name, STR("host"));

        lines = SAY_TEXT(a, lines, name, STR(":"), is_host ? host : g->headers[i].value, STR("\n"));
        i += !is_host;
    }
    return lines;
}

struct str s3_url_presign(struct arena *a, const struct s3_conf *c, const struct s3_grant *g)
{
    struct place p = place_of(a, c, g->bucket, g->key);
    struct str day, scope, text, query, names = names_of(a, g);
    struct s3_param all[PARAMS_MAX];
    struct digest d;
    char stamp[20];
    time_t t = (time_t)g->now_s;
    struct tm tm;
    size_t n = 0;

    check(g->param_count + 6 <= PARAMS_MAX);
    if (c->is_unsigned || c->secret_key.n == 0)
        return s3_url(a, c, g->bucket, g->key, g->params, g->param_count);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&t, &tm));
    day = str_head(str_of(stamp), 8);
    scope = SAY_TEXT(a, day, STR("/"), c->region, STR("/s3/aws4_request"));
    all[n++] = (struct s3_param){STR("X-Amz-Algorithm"), STR("AWS4-HMAC-SHA256")};
    all[n++] =
        (struct s3_param){STR("X-Amz-Credential"), SAY_TEXT(a, c->access_key, STR("/"), scope)};
    all[n++] = (struct s3_param){STR("X-Amz-Date"), str_of(stamp)};
    all[n++] = (struct s3_param){STR("X-Amz-Expires"),
                                 arena_printf(a, "%llu", (unsigned long long)g->seconds)};
    if (c->session_token.n)
        all[n++] = (struct s3_param){STR("X-Amz-Security-Token"), c->session_token};
    all[n++] = (struct s3_param){STR("X-Amz-SignedHeaders"), names};
    for (size_t i = 0; i < g->param_count; i++)
        all[n++] = g->params[i];
    query = query_of(a, all, n);
    d = sha256(SAY_TEXT(a, str_of(g->method), STR("\n"), p.path, STR("\n"), query, STR("\n"),
                        lines_of(a, g, names, p.host), STR("\n"), names,
                        STR("\nUNSIGNED-PAYLOAD")));
    text = SAY_TEXT(a, STR("AWS4-HMAC-SHA256\n"), str_of(stamp), STR("\n"), scope, STR("\n"),
                    hex_of(a, &d));
    return SAY_TEXT(a, p.scheme, STR("://"), p.host, p.path, STR("?"), query,
                    STR("&X-Amz-Signature="), sign(a, c, day, text));
}
