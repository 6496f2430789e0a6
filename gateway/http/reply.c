/*
 * reply: the bytes of an answer.
 *
 * The body gathers in r->reply.body, further header lines in r->reply.headers; the status line and
 * the lines that every answer has are put before them when the answer goes out. The order of the
 * lines is fixed, and nearly every answer is a 200 with JSON, so that beginning is one constant.
 *
 * An answer in parts has a content-length when it was said in time; else each part is a chunk, the last
 * one ends with the chunk of no bytes. HTTP/1.0 knows no chunks; there the end of the connection is the end, so one that breaks off
 * is reset (conn.c).
 *
 * What is the same on every answer is MLflow's security middleware: nosniff, frame options, Vary
 * (policy.c).
 * Errors are MLflow's one-line JSON. The only place where an err_t becomes an HTTP status.
 */
#include "gateway/http/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "gateway/auth/may.h"
#include "gateway/auth/policy.h"
#include "gateway/worker.h"
#include "schema/errors.h"

#define TYPE_JSON "application/json"

static const struct {
    unsigned method;
    const char *name;
} method_names[] = {
    {HTTP_M_GET, "GET"},       {HTTP_M_HEAD, "HEAD"}, {HTTP_M_OPTIONS, "OPTIONS"},
    {HTTP_M_POST, "POST"},     {HTTP_M_PUT, "PUT"},   {HTTP_M_PATCH, "PATCH"},
    {HTTP_M_DELETE, "DELETE"},
};

static const char *reply_reason(int status)
{
    switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "Status";
    }
}

/* -- what handlers call ---------------------------------------------------------------------- */

static void reply_set(struct req *r, int status, const char *content_type)
{
    r->reply.status = status;
    r->reply.content_type = content_type;
    r->state = REQ_ANSWERED;
}

void reply_json_as(struct req *r, struct json *j, enum json_form form)
{
    buf_reset(&r->reply.body);
    json_init(j, &r->reply.body, form);
    j->hides = may_hidden(r);
}

void reply_json(struct req *r, struct json *j)
{
    reply_json_as(r, j, JSON_PRETTY);
}

err_t reply_ok(struct req *r)
{
    reply_set(r, 200, TYPE_JSON);
    return OK;
}

err_t reply_empty(struct req *r)
{
    return reply_text(r, 200, TYPE_JSON, STR("{}"));
}

err_t reply_text(struct req *r, int status, const char *content_type, struct str body)
{
    if (body.p != buf_str(&r->reply.body).p) { /* else it was written in place */
        buf_reset(&r->reply.body);
        buf_add_str(&r->reply.body, body);
    }
    reply_set(r, status, content_type);
    return OK;
}

void reply_header(struct req *r, const char *name, const char *fmt, ...)
{
    struct buf *out = &r->reply.headers;
    char value[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(value, sizeof(value), fmt, ap);
    va_end(ap);
    check(n >= 0);
    buf_add_str(out, str_of(name));
    buf_add_str(out, STR(": "));
    if ((size_t)n < sizeof(value)) {
        buf_add(out, value, (size_t)n);
    } else {
        va_start(ap, fmt);
        buf_add_str(out, arena_vprintf(&r->arena, fmt, ap));
        va_end(ap);
    }
    buf_add_str(out, STR("\r\n"));
}

void reply_allow(struct req *r, unsigned methods)
{
    char list[64] = "";

    for (size_t i = 0; i < array_len(method_names); i++) {
        if (!(methods & method_names[i].method))
            continue;
        if (list[0])
            strcat(list, ", ");
        strcat(list, method_names[i].name);
    }
    reply_header(r, "allow", "%s", list);
}

enum {
    RETRY_GROWTH_MAX = 20,             /* seconds */
    RETRY_FORGET_US = 60 * 1000 * 1000 /* twice what anybody is told to wait */
};

/* Seconds until the client shall come again: one to three, so that clients refused together do not
 * come back together. While the queue is full and nothing is accepted it grows with the time that
 * this lasts: MLflow's client tries eight times in all and obeys, so with one to three seconds each it
 * would give up after some 14 s, where without a Retry-After it waits for four minutes. */
static unsigned reply_retry_after(const struct req *r, err_t e)
{
    struct worker *w = r->worker;
    uint64_t x = w->now_us ^ ((uint64_t)(uintptr_t)r >> 6);
    uint64_t growth = 0;

    if (e == ERR_BUSY) {
        /* Who was refused has come again by now: it is not the same queue that is full. */
        if (w->busy_since_us == 0 || w->now_us - w->busy_last_us > RETRY_FORGET_US)
            w->busy_since_us = w->now_us;
        w->busy_last_us = w->now_us;
        growth = (w->now_us - w->busy_since_us) / 2000000;
        growth = growth < RETRY_GROWTH_MAX ? growth : RETRY_GROWTH_MAX;
    }
    x *= 0x9e3779b97f4a7c15u;
    return 1 + (unsigned)(growth + (x >> 40) % (3 + growth / 2));
}

void reply_fail(struct req *r, const struct fail *f)
{
    const struct error_row *row = error_row(f->err ? f->err : ERR_INTERNAL);
    struct json j;

    if (r->reply.is_begun) {
        log_warn("", "answer broken off", "path=%.*s err=%s words=%.*s", STR_ARG(r->head->path),
                 row->code, STR_ARG(f->text));
        r->reply.is_broken = true;
        r->reply.status = row->status; /* for the counters */
        r->state = REQ_ANSWERED;
        return;
    }
    r->reply.is_streamed = r->reply.has_length = r->reply.is_relayed = false;
    reply_json_as(r, &j, JSON_LINE);
    json_open(&j);
    json_pair_str(&j, "error_code", str_of(row->code));
    json_pair_str(&j, "message", f->text);
    if (row->sqlstate[0])
        json_pair_str(&j, "sqlstate", str_of(row->sqlstate));
    if (row->cls[0])
        json_pair_str(&j, "error_class", str_of(row->cls));
    json_close(&j);
    if (row->may_retry)
        reply_header(r, "retry-after", "%u",
                     r->reply.retry_s ? r->reply.retry_s : reply_retry_after(r, f->err));
    reply_set(r, row->status, TYPE_JSON);
}

void reply_stream_as(struct req *r, int status, const char *content_type, bool has_length,
                     uint64_t length)
{
    struct reply *p = &r->reply;

    p->status = status;
    p->content_type = content_type;
    p->is_streamed = true;
    p->has_length = has_length;
    p->length = p->length_left = length;
    if (r->head->is_http_1_0 && !has_length)
        p->must_close = true;
}

void reply_stream(struct req *r)
{
    reply_stream_as(r, 200, TYPE_JSON, false, 0);
}

/* -- bytes ----------------------------------------------------------------------------------- */

bool reply_has_body(const struct req *r)
{
    return !(r->head && r->head->method == HTTP_M_HEAD) && r->reply.status != 204 &&
           r->reply.status != 304;
}

static void reply_add_number(struct buf *out, uint64_t v)
{
    char digits[20];
    size_t i = sizeof(digits);

    do {
        digits[--i] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    buf_add(out, digits + i, sizeof(digits) - i);
}

static void reply_add_hex(struct buf *out, size_t v)
{
    char digits[2 * sizeof(v)];
    size_t i = sizeof(digits);

    do {
        digits[--i] = "0123456789abcdef"[v % 16];
        v /= 16;
    } while (v);
    buf_add(out, digits + i, sizeof(digits) - i);
}

struct str reply_frame(const struct req *r, bool is_last, struct buf *out)
{
    size_t n = buf_len(&r->reply.body);

    if (!r->reply.is_streamed || r->reply.has_length || r->head->is_http_1_0 || !reply_has_body(r))
        return STR("");
    if (n == 0 && !is_last) /* a chunk without bytes would be the last */
        return STR("");
    if (n) {
        reply_add_hex(out, n);
        buf_add_str(out, STR("\r\n"));
    }
    if (is_last && r->reply.trailers.n)
        return n ? r->reply.trailers : str_skip(r->reply.trailers, 2);
    if (n == 0)
        return STR("0\r\n\r\n");
    return is_last ? STR("\r\n0\r\n\r\n") : STR("\r\n");
}

static void reply_add_first_lines(const struct req *r, struct buf *out)
{
    const struct policy *policy = r->worker->policy;
    const struct reply *p = &r->reply;

    if (p->status == 200 && p->lines == LINES_ALL && p->content_type &&
        strcmp(p->content_type, TYPE_JSON) == 0) {
        buf_add_str(out, policy_ok_json(policy));
        return;
    }
    buf_printf(out, "HTTP/1.1 %d %s\r\n", p->status, reply_reason(p->status));
    buf_add_str(out, policy_lines(policy, p->lines));
    if (p->content_type && p->status != 204)
        buf_printf(out, "content-type: %s\r\n", p->content_type);
}

void reply_head(const struct req *r, struct buf *out)
{
    const struct reply *p = &r->reply;

    buf_room(out, 512); /* one growth for the usual answer */
    if (p->is_relayed) {
        buf_printf(out, "HTTP/1.1 %d %s\r\n", p->status, reply_reason(p->status));
    } else {
        reply_add_first_lines(r, out);
        buf_add_str(out, str_of(r->worker->date));
    }
    buf_add_str(out, buf_str(&p->headers));
    if (r->behind_us)
        buf_printf(out, "sluice-behind-ms: %llu\r\n",
                   (unsigned long long)((r->behind_us + 999) / 1000));
    if (p->must_close)
        buf_add_str(out, STR("connection: close\r\n"));
    else if (r->head && r->head->is_http_1_0)
        buf_add_str(out, STR("connection: keep-alive\r\n"));
    if (p->is_streamed && !p->has_length) {
        if (!r->head->is_http_1_0 && p->status != 204 && p->status != 304)
            buf_add_str(out, STR("transfer-encoding: chunked\r\n"));
    } else if (p->status != 204 &&
               p->status != 304) { /* a 304 would have to say the length of the 200 */
        buf_add_str(out, STR("content-length: "));
        reply_add_number(out, p->is_streamed ? p->length : buf_len(&p->body));
        buf_add_str(out, STR("\r\n"));
    }
    buf_add_str(out, STR("\r\n"));
}

void reply_write(const struct req *r, struct buf *out)
{
    reply_head(r, out);
    if (reply_has_body(r))
        buf_add_str(out, buf_str(&r->reply.body));
}
