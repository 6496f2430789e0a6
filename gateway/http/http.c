/*
 * http: llhttp does the grammar, this file does what the grammar leaves open.
 *
 * llhttp is fed each byte once. Its callbacks say where a target, a field name, a field value
 * begins and how it goes on; we note offsets from the message's first byte, because the buffer may
 * move between two feeds. When a value is complete the name is compared, by length first, with the
 * few names that somebody reads. The parser is paused at the end of the head. A body of known
 * length never goes through llhttp: it is counted here, or by the caller who reads it in place. A
 * chunked one does.
 *
 * Beyond llhttp's strict grammar (no bare LF, no folded lines, no blank before the colon, no two
 * lengths, no length beside a transfer coding) we refuse:
 *   - versions other than 1.0 and 1.1 (RFC 9112 2.3), with HTTP/2's preface among them;
 *   - more than one space in the request line (RFC 9112 3);
 *   - no Host, two of them, or one that is no host and port, in HTTP/1.1 (RFC 9112 3.2);
 *   - a target with control bytes, non-ASCII, '#', or an encoded NUL;
 *   - transfer codings other than one "chunked", and any in HTTP/1.0 (RFC 9112 6.1);
 *   - Expect other than 100-continue (RFC 9110 10.1.1);
 *   - chunk framing that outweighs its content 16 times: it is made to waste our time.
 *
 * It keeps trailers as they are, does not decode content codings and never upgrades.
 */
#include "gateway/http/http.h"

#include <stdlib.h>
#include <string.h>

#include "llhttp.h"
#include "schema/errors.h"

/* Framing bytes of a chunked body: this many, and this many times its content. */
#define FRAMING_BYTES 16384
#define FRAMING_TIMES 16

enum http_phase { PHASE_HEAD, PHASE_BODY };

struct http {
    llhttp_t parser;
    enum http_phase phase;
    size_t max_head_bytes;
    const char *base; /* the message's first byte, in this feed */
    size_t fed;       /* bytes of the head that llhttp has seen */
    size_t head_bytes;
    struct str name; /* field under way */
    struct str value;
    bool has_coding; /* Transfer-Encoding was there */
    uint64_t body_left;
    struct http_head head;
    struct buf decoded;  /* the path, when it is not in the target as it stands */
    struct buf trailers; /* as they came */
    bool is_in_value;    /* of one of them */

    /* of the body feed under way */
    struct buf *body;
    uint64_t max_body;
    uint64_t content_bytes; /* of a chunked body so far */
    uint64_t framing_bytes;
    bool is_complete;
    err_t err; /* a callback's verdict, else OK */
    const char *why;
};

static int http_refuse(struct http *h, err_t err, const char *why)
{
    if (h->err == OK) {
        h->err = err;
        h->why = why;
    }
    return HPE_USER;
}

/* -- llhttp's callbacks ---------------------------------------------------------------------- */

/* Begins or lengthens a slice; llhttp reports what one feed holds of it. */
static void span_add(struct str *s, const char *at, size_t n)
{
    if (s->p == NULL)
        s->p = at;
    s->n += n;
}

static int http_on_url(llhttp_t *p, const char *at, size_t n)
{
    struct http *h = p->data;

    span_add(&h->head.target, at, n);
    return 0;
}

/* The bytes of a trailer are gone with this feed, so they are copied. */
static int http_add_trailer(struct http *h, const char *p, size_t n)
{
    if (buf_len(&h->trailers) + n > h->max_head_bytes)
        return http_refuse(h, ERR_HTTP_BAD, "the trailer fields are too long");
    buf_add(&h->trailers, p, n);
    return 0;
}

static int http_begin_trailer_value(struct http *h)
{
    if (h->is_in_value)
        return 0;
    h->is_in_value = true;
    return http_add_trailer(h, ": ", 2);
}

static int http_on_header_field(llhttp_t *p, const char *at, size_t n)
{
    struct http *h = p->data;

    if (h->phase != PHASE_HEAD)
        return http_add_trailer(h, at, n);
    span_add(&h->name, at, n);
    return 0;
}

static int http_on_header_value(llhttp_t *p, const char *at, size_t n)
{
    struct http *h = p->data;
    int e;

    if (h->phase != PHASE_HEAD) {
        e = http_begin_trailer_value(h);
        return e ? e : http_add_trailer(h, at, n);
    }
    span_add(&h->value, at, n);
    return 0;
}

/* uri-host [":" port], as far as its bytes go: RFC 3986's reg-name, addresses in brackets. Whether
 * it is one of ours is for guard.c; what no host can be is not to be compared at all. */
bool http_is_authority(struct str s)
{
    static const bool is_barred[128] = {
        ['"'] = true, ['#'] = true, ['/'] = true,  ['<'] = true, ['>'] = true,
        ['?'] = true, ['@'] = true, ['\\'] = true, ['^'] = true, ['`'] = true,
        ['{'] = true, ['|'] = true, ['}'] = true};

    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        if (c <= ' ' || c >= 0x7f || is_barred[c])
            return false;
    }
    return true;
}

static int http_note_host(struct http *h, struct str value)
{
    if (h->head.has_host)
        return http_refuse(h, ERR_HTTP_BAD, "more than one Host");
    if (!http_is_authority(value))
        return http_refuse(h, ERR_HTTP_BAD, "Host is no host and port");
    h->head.has_host = true;
    h->head.host = value;
    return 0;
}

static int http_note_expect(struct http *h, struct str value)
{
    if (!str_ieq(value, STR("100-continue")))
        return http_refuse(h, ERR_HTTP_EXPECT, "only 100-continue can be expected");
    h->head.wants_continue = true;
    return 0;
}

static int http_note_coding(struct http *h, struct str value)
{
    if (h->has_coding || !str_ieq(value, STR("chunked")))
        return http_refuse(h, ERR_NOT_IMPLEMENTED, "the only transfer coding is chunked");
    h->has_coding = true;
    return 0;
}

/* Each proxy adds at the end, so that is what must not get lost. */
static void http_note_forwarded_for(struct http_head *d, struct str value)
{
    if (d->forwarded_for_count == FORWARDED_FOR_MAX)
        memmove(d->forwarded_for, d->forwarded_for + 1,
                --d->forwarded_for_count * sizeof(*d->forwarded_for));
    d->forwarded_for[d->forwarded_for_count++] = value;
}

/* A field is complete: is it one that somebody reads? */
static int http_note_field(struct http *h, struct str name, struct str value)
{
    struct http_head *d = &h->head;

#define NAMED(lit) (name.n == sizeof(lit) - 1 && str_ieq(name, STR(lit)))
    switch (name.n) {
    case 4:
        if (NAMED("host"))
            return http_note_host(h, value);
        break;
    case 5:
        if (NAMED("range")) {
            d->range = value;
            d->has_range = true;
        }
        break;
    case 8:
        if (NAMED("if-range")) {
            d->if_range = value;
            d->has_if_range = true;
        }
        break;
    case 6:
        if (NAMED("origin")) {
            d->origin = value;
            d->has_origin = true;
        } else if (NAMED("expect")) {
            return http_note_expect(h, value);
        }
        break;
    case 11:
        if (NAMED("traceparent"))
            d->traceparent = value;
        break;
    case 12:
        if (NAMED("content-type")) {
            d->content_type = value;
            d->has_content_type = true;
        }
        break;
    case 13:
        if (NAMED("authorization")) {
            d->authorization = d->has_authorization ? STR("") : value;
            d->has_authorization = true;
        } else if (NAMED("if-none-match")) {
            d->if_none_match = value;
        }
        break;
    case 15:
        if (NAMED("x-forwarded-for"))
            http_note_forwarded_for(d, value);
        break;
    case 16:
        if (NAMED("x-forwarded-host"))
            d->forwarded_host = value;
        break;
    case 17:
        if (NAMED("transfer-encoding"))
            return http_note_coding(h, value);
        if (NAMED("x-forwarded-proto"))
            d->forwarded_proto = value;
        break;
    case 18:
        if (NAMED("x-mlflow-workspace"))
            d->workspace = d->workspace.p ? d->workspace : value;
        else if (NAMED("x-forwarded-prefix"))
            d->forwarded_prefix = value;
        break;
    case 29:
        if (NAMED("access-control-request-method")) {
            d->preflight_method = value;
            d->has_preflight_method = true;
        }
        break;
    case 30:
        if (NAMED("access-control-request-headers")) {
            d->preflight_headers = value;
            d->has_preflight_headers = true;
        }
        break;
    case 38:
        if (NAMED("access-control-request-private-network"))
            d->has_private_network = true;
        break;
    default: break;
    }
#undef NAMED
    return 0;
}

static int http_on_value_complete(llhttp_t *p)
{
    struct http *h = p->data;
    int e = 0;

    if (h->phase == PHASE_HEAD) {
        e = http_note_field(h, h->name, str_trim(h->value));
    } else {
        if ((e = http_begin_trailer_value(h)) == 0)
            e = http_add_trailer(h, "\r\n", 2);
        h->is_in_value = false;
    }
    h->name = h->value = (struct str){0};
    return e;
}

static int http_on_headers_complete(llhttp_t *p)
{
    struct http *h = p->data;

    h->is_complete = true;
    p->upgrade = 0; /* an upgrade that is asked for is not taken up */
    return HPE_PAUSED;
}

static int http_on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http *h = p->data;

    h->content_bytes += n;
    if (h->content_bytes > h->max_body)
        return http_refuse(h, ERR_HTTP_TOO_LARGE, "the body is too long");
    if (h->body)
        buf_add(h->body, at, n);
    return 0;
}

/* The size of a chunk is known before its content: refuse before reading it. */
static int http_on_chunk_header(llhttp_t *p)
{
    struct http *h = p->data;

    if (p->content_length > h->max_body - h->content_bytes)
        return http_refuse(h, ERR_HTTP_TOO_LARGE, "the body is too long");
    return 0;
}

static int http_on_message_complete(llhttp_t *p)
{
    struct http *h = p->data;

    h->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t http_callbacks = {
    .on_url = http_on_url,
    .on_header_field = http_on_header_field,
    .on_header_value = http_on_header_value,
    .on_header_value_complete = http_on_value_complete,
    .on_headers_complete = http_on_headers_complete,
    .on_body = http_on_body,
    .on_chunk_header = http_on_chunk_header,
    .on_message_complete = http_on_message_complete,
};

/* -- life ------------------------------------------------------------------------------------ */

struct http *http_new(size_t max_head_bytes)
{
    struct http *h = calloc(1, sizeof(*h));

    check(h != NULL);
    h->max_head_bytes = max_head_bytes;
    llhttp_init(&h->parser, HTTP_REQUEST, &http_callbacks);
    h->parser.data = h;
    return h;
}

void http_free(struct http *h)
{
    if (h == NULL)
        return;
    buf_fini(&h->decoded);
    buf_fini(&h->trailers);
    free(h);
}

void http_next(struct http *h)
{
    llhttp_reset(&h->parser);
    h->phase = PHASE_HEAD;
    h->base = NULL;
    h->fed = h->head_bytes = 0;
    h->name = h->value = (struct str){0};
    h->has_coding = h->is_complete = false;
    h->body_left = h->content_bytes = h->framing_bytes = 0;
    h->head = (struct http_head){0};
    h->err = OK;
    h->why = NULL;
    buf_shrink(&h->decoded, 1024);
    buf_shrink(&h->trailers, 1024);
    h->is_in_value = false;
}

const struct http_head *http_head(const struct http *h)
{
    return &h->head;
}

size_t http_head_bytes(const struct http *h)
{
    return h->head_bytes;
}

uint64_t http_body_left(const struct http *h)
{
    return h->body_left;
}

void http_body_took(struct http *h, uint64_t n)
{
    check(n <= h->body_left);
    h->body_left -= n;
}

/* -- errors ---------------------------------------------------------------------------------- */

static enum http_event http_fail(struct http *h, struct fail *f)
{
    err_t err = h->err;
    const char *why = h->why;

    if (err == OK) {
        llhttp_errno_t code = llhttp_get_errno(&h->parser);

        why = llhttp_get_error_reason(&h->parser);
        err = ERR_HTTP_BAD;
        /* a bare LF after a good version has the same code */
        if (code == HPE_PAUSED_H2_UPGRADE ||
            (code == HPE_INVALID_VERSION && why && strcmp(why, "Invalid HTTP version") == 0))
            err = ERR_HTTP_VERSION;
    }
    h->err = err;
    h->why = why;
    (void)fail(f, err, "Bad HTTP request: %s.", why && *why ? why : "it breaks the grammar");
    return HTTP_ERROR;
}

static enum http_event http_fail_as(struct http *h, err_t err, const char *why, struct fail *f)
{
    http_refuse(h, err, why);
    return http_fail(h, f);
}

/* -- the target ------------------------------------------------------------------------------ */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decodes %XX; what is no such sequence stays as it is, as MLflow's server has it. False on NUL. */
static bool http_decode_path(struct http *h, struct str raw)
{
    buf_reset(&h->decoded);
    for (size_t i = 0; i < raw.n; i++) {
        int hi = -1, lo = -1;

        if (raw.p[i] == '%' && i + 2 < raw.n) {
            hi = hex_digit(raw.p[i + 1]);
            lo = hex_digit(raw.p[i + 2]);
        }
        if (hi < 0 || lo < 0) {
            buf_add_byte(&h->decoded, raw.p[i]);
            continue;
        }
        if (hi == 0 && lo == 0)
            return false;
        buf_add_byte(&h->decoded, (char)(hi * 16 + lo));
        i += 2;
    }
    h->head.path = buf_str(&h->decoded);
    return true;
}

/* Cuts "http://host" off an absolute target. RFC 9112 3.2.2: it wins over the Host field. */
static bool http_take_authority(struct http_head *d, struct str *rest)
{
    struct str s = *rest;
    size_t n;

    if (str_ieq(str_head(s, 7), STR("http://")))
        s = str_skip(s, 7);
    else if (str_ieq(str_head(s, 8), STR("https://")))
        s = str_skip(s, 8);
    else
        return false;
    for (n = 0; n < s.n && s.p[n] != '/' && s.p[n] != '?'; n++)
        ;
    d->host = str_head(s, n);
    *rest = str_skip(s, n);
    return n > 0 && http_is_authority(d->host);
}

/* target into path and query; what is wrong with it, or NULL. */
static const char *http_split_target(struct http *h)
{
    struct http_head *d = &h->head;
    struct str s = d->target;
    bool has_escape = false;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == '#')
            return "the target holds a byte that must be encoded";
    }
    if (d->method == HTTP_M_OPTIONS && str_eq(s, STR("*"))) {
        d->path = s;
        return NULL;
    }
    if (h->parser.method == HTTP_CONNECT) {
        d->path = s; /* authority-form; no route has such a path */
        return NULL;
    }
    if (s.n == 0 || (s.p[0] != '/' && !http_take_authority(d, &s)))
        return "the target is neither a path nor a URL";
    d->path = str_head(s, str_find(s, '?'));
    d->query = str_skip(s, d->path.n + 1);
    if (d->path.n == 0)
        d->path = STR("/");
    has_escape = str_find(d->path, '%') < d->path.n;
    if (has_escape && !http_decode_path(h, d->path))
        return "the path holds an encoded NUL";
    while (d->path.n >= 2 && d->path.p[0] == '/' && d->path.p[1] == '/')
        d->path = str_skip(d->path, 1);
    return NULL;
}

/* -- the head -------------------------------------------------------------------------------- */

static enum http_method http_method_of(unsigned method)
{
    switch (method) {
    case HTTP_GET: return HTTP_M_GET;
    case HTTP_HEAD: return HTTP_M_HEAD;
    case HTTP_POST: return HTTP_M_POST;
    case HTTP_PUT: return HTTP_M_PUT;
    case HTTP_PATCH: return HTTP_M_PATCH;
    case HTTP_DELETE: return HTTP_M_DELETE;
    case HTTP_OPTIONS: return HTTP_M_OPTIONS;
    default: return HTTP_M_OTHER;
    }
}

/* The slices of the head that point into the fed bytes. A path that was decoded does not. */
static void http_move_head(struct http *h, const char *to)
{
    struct http_head *d = &h->head;
    struct str *slices[] = {&d->target,
                            &d->path,
                            &d->query,
                            &d->host,
                            &d->origin,
                            &d->content_type,
                            &d->authorization,
                            &d->workspace,
                            &d->if_none_match,
                            &d->traceparent,
                            &d->range,
                            &d->if_range,
                            &d->preflight_method,
                            &d->preflight_headers,
                            &d->forwarded_for[0],
                            &d->forwarded_for[1],
                            &d->forwarded_for[2],
                            &d->forwarded_for[3],
                            &d->forwarded_proto,
                            &d->forwarded_host,
                            &d->forwarded_prefix,
                            &h->name,
                            &h->value};
    uintptr_t from = (uintptr_t)h->base;
    size_t n = h->fed > h->head_bytes ? h->fed : h->head_bytes;

    if (h->base != to) {
        for (size_t i = 0; i < array_len(slices); i++) {
            uintptr_t at = (uintptr_t)slices[i]->p;

            if (slices[i]->p && at >= from && at - from <= n)
                slices[i]->p = to + (at - from);
        }
    }
    h->base = to;
}

/* The grammar is satisfied; is it a request we can answer? */
static enum http_event http_judge_head(struct http *h, struct fail *f)
{
    struct http_head *d = &h->head;
    const llhttp_t *p = &h->parser;
    const char *why;

    d->method = http_method_of(p->method);
    d->method_text = str_of(llhttp_method_name((llhttp_method_t)p->method));
    d->is_http_1_0 = p->http_minor == 0;
    if (p->http_major != 1)
        return http_fail_as(h, ERR_HTTP_VERSION, "only HTTP/1.0 and HTTP/1.1 are spoken", f);
    if (!d->has_host && !d->is_http_1_0)
        return http_fail_as(h, ERR_HTTP_BAD, "Host is missing", f);
    if (d->is_http_1_0 && h->has_coding)
        return http_fail_as(h, ERR_HTTP_BAD, "HTTP/1.0 has no transfer codings", f);
    /* RFC 9112 3: single spaces; the bytes around the target are there, they were fed */
    if (d->target.p[-2] == ' ' || d->target.p[d->target.n + 1] != 'H')
        return http_fail_as(h, ERR_HTTP_BAD, "more than one space in the request line", f);
    if ((why = http_split_target(h)))
        return http_fail_as(h, ERR_HTTP_BAD, why, f);
    if (d->is_http_1_0)
        d->wants_continue = false; /* RFC 9110 10.1.1 */
    d->is_chunked = h->has_coding;
    d->content_length = d->is_chunked ? 0 : p->content_length;
    d->has_body = d->is_chunked || d->content_length > 0;
    d->is_keep_alive = llhttp_should_keep_alive(p) && p->method != HTTP_CONNECT;
    h->body_left = d->content_length;
    h->phase = PHASE_BODY;
    h->is_complete = false;
    return HTTP_HEAD_END;
}

/* "GET /" CR: HTTP/0.9 has no head that could end, so it is refused here or never. line: as far as
 * the grammar let it pass. */
static bool http_has_no_version(struct str line)
{
    size_t end;

    while (line.n && (line.p[0] == '\r' || line.p[0] == '\n'))
        line = str_skip(line, 1);
    end = str_find(line, '\r');
    if (end == line.n)
        return false;
    line = str_head(line, end);
    (void)str_cut(&line, ' ');
    while (line.n && line.p[0] == ' ')
        line = str_skip(line, 1);
    return line.n > 0 && str_find(line, ' ') == line.n;
}

enum http_event http_feed_head(struct http *h, struct str bytes, struct fail *f)
{
    size_t end = bytes.n < h->max_head_bytes ? bytes.n : h->max_head_bytes;
    llhttp_errno_t e;

    check(h->phase == PHASE_HEAD && end >= h->fed);
    if (h->base == NULL)
        h->base = bytes.p;
    else
        http_move_head(h, bytes.p);
    if (h->err != OK)
        return http_fail(h, f);
    e = llhttp_execute(&h->parser, bytes.p + h->fed, end - h->fed);
    if (e == HPE_PAUSED && h->is_complete) {
        h->head_bytes = (size_t)(llhttp_get_error_pos(&h->parser) - bytes.p);
        h->fed = h->head_bytes;
        return http_judge_head(h, f);
    }
    h->fed = e == HPE_OK ? end : (size_t)(llhttp_get_error_pos(&h->parser) - bytes.p);
    if (http_has_no_version(str_head(bytes, h->fed))) {
        h->err = OK; /* whatever else is wrong behind it depends on how much was fed */
        return http_fail_as(h, ERR_HTTP_VERSION, "only HTTP/1.0 and HTTP/1.1 are spoken", f);
    }
    if (e != HPE_OK)
        return http_fail(h, f);
    if (end == h->max_head_bytes) {
        if (memchr(bytes.p, '\n', end) == NULL)
            return http_fail_as(h, ERR_HTTP_URI_LONG, "the request line is too long", f);
        return http_fail_as(h, ERR_HTTP_HEAD_LARGE, "the header fields are too long", f);
    }
    return HTTP_MORE;
}

struct str http_head_text(const struct http *h)
{
    return (struct str){h->base, h->head_bytes};
}

struct str http_trailers(const struct http *h)
{
    return buf_str(&h->trailers);
}

void http_keep_head(struct http *h, struct arena *a)
{
    check(h->phase == PHASE_BODY);
    http_move_head(h, arena_dup(a, (struct str){h->base, h->head_bytes}).p);
}

/* -- the body -------------------------------------------------------------------------------- */

/* Content-Length: the content is the bytes. */
static enum http_event http_feed_plain(struct http *h, struct str bytes, size_t *used,
                                       struct fail *f)
{
    size_t n = bytes.n < h->body_left ? bytes.n : (size_t)h->body_left;

    if (h->head.content_length > h->max_body)
        return http_fail_as(h, ERR_HTTP_TOO_LARGE, "the body is too long", f);
    if (h->body)
        buf_add(h->body, bytes.p, n);
    h->body_left -= n;
    *used = n;
    return h->body_left ? HTTP_MORE : HTTP_END;
}

enum http_event http_feed_body(struct http *h, struct str bytes, size_t *used, struct buf *body,
                               uint64_t max_body, struct fail *f)
{
    uint64_t before = h->content_bytes;
    llhttp_errno_t e;

    check(h->phase == PHASE_BODY);
    h->body = body;
    h->max_body = max_body;
    *used = 0;
    if (!h->head.is_chunked)
        return http_feed_plain(h, bytes, used, f);
    if (h->err != OK)
        return http_fail(h, f);
    if (bytes.n == 0)
        return HTTP_MORE;
    llhttp_resume(&h->parser); /* it was paused at the end of the head */
    e = llhttp_execute(&h->parser, bytes.p, bytes.n);
    if (e == HPE_PAUSED && h->is_complete)
        *used = (size_t)(llhttp_get_error_pos(&h->parser) - bytes.p);
    else if (e == HPE_OK)
        *used = bytes.n;
    else
        return http_fail(h, f);
    h->framing_bytes += *used - (h->content_bytes - before);
    if (h->framing_bytes > FRAMING_BYTES + FRAMING_TIMES * h->content_bytes)
        return http_fail_as(h, ERR_HTTP_BAD, "more chunk framing than content", f);
    return h->is_complete ? HTTP_END : HTTP_MORE;
}
