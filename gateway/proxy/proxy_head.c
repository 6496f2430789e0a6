/*
 * proxy_head: the rules for header fields between a client and the server behind us.
 *
 * Dropped both ways: the fields of one connection (RFC 9110 7.6.1) and all that Connection names; framing
 * (Content-Length, Transfer-Encoding) is made anew, because a body is passed on in our own pieces.
 *
 * Dropped towards the server: Host (its own is put in), Expect but for 100-continue, Origin and the
 * preflight fields (http/guard.c has judged them, and the server knows other origins than we do),
 * Forwarded and X-Forwarded-*, which anybody can write: ours say who the client is as we see it.
 * Put in: Via, a traceparent when there is no valid one; while workspaces are on the one that the request
 * was judged in, instead of the client's fields, so that Connection names none away.
 *
 * Towards the client: Via; the lines that every answer has (policy.c) when the server has not set them;
 * what the server says about origins only when there was no Origin, else guard.c has answered that.
 *
 * A trailer may be passed on unless it would frame, route or authenticate (RFC 9110 6.5.1).
 *
 * Lines are as llhttp's strict grammar let them through: CRLF, no folding, no blank before the colon.
 */
#include "gateway/proxy/proxy_head.h"

#include <string.h>

#include "gateway/http/http.h"
#include "gateway/proxy/upstream.h"
#include "gateway/trace/traceparent.h"

#define VIA "1.1 sluice"

bool proxy_next_line(struct str *lines, struct str *name, struct str *value)
{
    struct str line;

    do {
        if (lines->n == 0)
            return false;
        line = str_trim(str_cut(lines, '\n'));
    } while (line.n == 0);
    *name = str_cut(&line, ':');
    *value = str_trim(line);
    return true;
}

static bool is_in(struct str name, const char *const *list)
{
    for (; *list; list++) {
        if (str_ieq(name, str_of(*list)))
            return true;
    }
    return false;
}

/* Is item in a comma list, letter case aside? */
static bool list_has(struct str list, struct str item)
{
    while (list.n) {
        if (str_ieq(str_trim(str_cut(&list, ',')), item))
            return true;
    }
    return false;
}

/* All values of a field as one list. */
static struct str field_list(struct arena *a, struct str lines, struct str wanted)
{
    struct str list = STR(""), name, value;

    while (proxy_next_line(&lines, &name, &value)) {
        if (str_ieq(name, wanted))
            list = list.n ? arena_printf(a, "%.*s, %.*s", STR_ARG(list), STR_ARG(value)) : value;
    }
    return list;
}

static const char *const HOP_BY_HOP[] = {
    "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization",
    "te",         "upgrade",    "content-length",   "transfer-encoding",  NULL};

static const char *const FROM_CLIENT[] = {"host",
                                          "expect",
                                          "origin",
                                          "access-control-request-method",
                                          "access-control-request-headers",
                                          "forwarded",
                                          "via",
                                          "traceparent",
                                          NULL};

static const char *const NO_TRAILER[] = {
    "host",          "authorization", "cookie",        "set-cookie",       "content-encoding",
    "range",         "content-type",  "content-range", "www-authenticate", "trailer",
    "cache-control", "expect",        "max-forwards",  "location",         NULL};

static void add_line(struct buf *out, struct str name, struct str value)
{
    buf_add_str(out, name);
    buf_add_str(out, STR(": "));
    buf_add_str(out, value);
    buf_add_str(out, STR("\r\n"));
}

static void add_via(struct buf *out, struct str before)
{
    buf_add_str(out, STR("via: "));
    if (before.n) {
        buf_add_str(out, before);
        buf_add_str(out, STR(", "));
    }
    buf_add_str(out, STR(VIA "\r\n"));
}

/* The lines behind the request line. */
static struct str lines_of(struct str text)
{
    while (text.n && (text.p[0] == '\r' || text.p[0] == '\n'))
        text = str_skip(text, 1); /* RFC 9112 2.2 */
    (void)str_cut(&text, '\n');
    return text;
}

struct str proxy_field(struct arena *a, struct str text, struct str name)
{
    return field_list(a, lines_of(text), name);
}

/* -- the request ------------------------------------------------------------------------------- */

bool proxy_wants_upgrade(struct arena *a, const struct http_head *d, struct str text)
{
    struct str lines = lines_of(text);

    return d->method == HTTP_M_GET && !d->has_body && !d->is_http_1_0 &&
           list_has(field_list(a, lines, STR("connection")), STR("upgrade")) &&
           field_list(a, lines, STR("upgrade")).n > 0;
}

static void add_traceparent(struct str given, struct buf *out)
{
    char text[TRACEPARENT_BYTES + 1];
    struct traceparent t;

    if (!traceparent_parse(given, &t)) {
        t = traceparent_new();
        traceparent_write(&t, text);
        given = str_of(text);
    }
    add_line(out, STR("traceparent"), given);
}

static void add_forwarded(const struct http_head *d, const struct proxy_peer *peer, struct buf *out)
{
    add_line(out, STR("x-forwarded-for"), peer->address);
    add_line(out, STR("x-forwarded-proto"), peer->scheme);
    if (d->host.n)
        add_line(out, STR("x-forwarded-host"), d->host);
}

/* The target as sent; of an absolute one what follows the host. */
static struct str target_of(const struct http_head *d)
{
    struct str t = d->target;
    size_t i;

    if (t.n && t.p[0] == '/')
        return t;
    i = str_find(t, ':');
    t = str_skip(t, i + 3);
    for (i = 0; i < t.n && t.p[i] != '/' && t.p[i] != '?'; i++)
        continue;
    return str_skip(t, i);
}

static bool goes_to_server(struct str name, struct str named)
{
    if (is_in(name, HOP_BY_HOP) || is_in(name, FROM_CLIENT) || list_has(named, name))
        return false;
    return !(name.n > 12 && str_ieq(str_head(name, 12), STR("x-forwarded-")));
}

static void add_framing(const struct http_head *d, const struct proxy_peer *peer, struct buf *out)
{
    uint64_t n = peer->has_all ? peer->body_bytes : d->content_length;

    if (d->is_chunked && !peer->has_all)
        buf_add_str(out, STR("transfer-encoding: chunked\r\n"));
    else if (d->has_body || (d->method & (HTTP_M_POST | HTTP_M_PUT | HTTP_M_PATCH)))
        buf_printf(out, "content-length: %llu\r\n", (unsigned long long)n);
}

void proxy_request_head(struct arena *a, const struct http_head *d, struct str text,
                        const struct upstream_url *to, const struct proxy_peer *peer,
                        struct buf *out)
{
    struct str lines = lines_of(text), target = target_of(d), name, value;
    struct str named = field_list(a, lines, STR("connection"));
    bool wants_upgrade = proxy_wants_upgrade(a, d, text);

    buf_printf(out, "%.*s %.*s%s%.*s HTTP/1.1\r\nhost: %.*s\r\n", STR_ARG(d->method_text),
               STR_ARG(to->prefix), target.n && target.p[0] == '/' ? "" : "/", STR_ARG(target),
               STR_ARG(to->authority));
    if (wants_upgrade) {
        buf_add_str(out, STR("connection: upgrade\r\n"));
        add_line(out, STR("upgrade"), field_list(a, lines, STR("upgrade")));
    }
    add_framing(d, peer, out);
    if (peer->wants_continue)
        buf_add_str(out, STR("expect: 100-continue\r\n"));
    add_forwarded(d, peer, out);
    add_via(out, field_list(a, lines, STR("via")));
    add_traceparent(d->traceparent, out);
    for (struct str rest = lines; proxy_next_line(&rest, &name, &value);) {
        if (goes_to_server(name, named) &&
            !(peer->wants_plain && str_ieq(name, STR("accept-encoding"))) &&
            !(peer->workspace.p && str_ieq(name, STR("x-mlflow-workspace"))))
            add_line(out, name, value);
    }
    if (peer->workspace.p)
        add_line(out, STR("x-mlflow-workspace"), peer->workspace);
    if (peer->wants_plain)
        buf_add_str(out, STR("accept-encoding: identity\r\n"));
    buf_add_str(out, STR("\r\n"));
}

/* -- the answer -------------------------------------------------------------------------------- */

static bool is_about_origins(struct str name)
{
    return name.n > 15 && str_ieq(str_head(name, 15), STR("access-control-"));
}

/* Those of our own lines that the upstream has not said otherwise. Vary is a list: both count. */
static void add_own(struct arena *a, struct str lines, struct str own, struct buf *out)
{
    struct str name, value;

    while (proxy_next_line(&own, &name, &value)) {
        struct str said = field_list(a, lines, name);

        if (said.n == 0 || (str_ieq(name, STR("vary")) && !list_has(said, value)))
            add_line(out, name, value);
    }
}

bool proxy_answer_lines(struct arena *a, struct str lines, struct str own, bool has_cors,
                        struct buf *out)
{
    struct str named = field_list(a, lines, STR("connection")), name, value;

    for (struct str rest = lines; proxy_next_line(&rest, &name, &value);) {
        if (str_ieq(name, STR("transfer-encoding")) && !str_ieq(value, STR("chunked")))
            return false;
        if (is_in(name, HOP_BY_HOP) || list_has(named, name) || str_ieq(name, STR("via")) ||
            (has_cors && is_about_origins(name)))
            continue;
        add_line(out, name, value);
    }
    add_own(a, lines, own, out);
    add_via(out, field_list(a, lines, STR("via")));
    return true;
}

void proxy_switch_head(struct arena *a, struct str lines, struct buf *out)
{
    struct str name, value;

    buf_add_str(out, STR("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n"));
    add_line(out, STR("upgrade"), field_list(a, lines, STR("upgrade")));
    while (proxy_next_line(&lines, &name, &value)) {
        if (!is_in(name, HOP_BY_HOP))
            add_line(out, name, value);
    }
    buf_add_str(out, STR("\r\n"));
}

struct str proxy_trailers(struct arena *a, struct str lines)
{
    struct str name, value, result = STR("");
    struct buf out;

    buf_init(&out);
    while (proxy_next_line(&lines, &name, &value)) {
        if (!is_in(name, HOP_BY_HOP) && !is_in(name, NO_TRAILER))
            add_line(&out, name, value);
    }
    if (buf_len(&out))
        result = arena_printf(a, "\r\n0\r\n%.*s\r\n", STR_ARG(buf_str(&out)));
    buf_fini(&out);
    return result;
}
