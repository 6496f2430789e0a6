/*
 * http: request heads and body framing on llhttp (strict); touches no socket.
 *
 * One parser per connection. http_feed() is given bytes and stops at the end of the head and at
 * the end of the message, so that the connection can refuse at the head and keep what is pipelined
 * behind. Slices in the head point into memory the parser owns until http_next(). One thread.
 */
#ifndef GATEWAY_HTTP_H
#define GATEWAY_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/fail.h"
#include "base/str.h"

enum http_method {
    HTTP_M_GET = 1,
    HTTP_M_HEAD = 2,
    HTTP_M_POST = 4,
    HTTP_M_PUT = 8,
    HTTP_M_PATCH = 16,
    HTTP_M_DELETE = 32,
    HTTP_M_OPTIONS = 64,
    HTTP_M_OTHER = 128
};

/* Header fields that somebody reads; all others are passed over (kept raw for the proxy). */
struct http_head {
    enum http_method method;
    struct str method_text;
    struct str target;      /* as sent */
    struct str path;        /* percent-decoded, without query; leading slashes merged */
    struct str query;       /* after '?', raw */
    struct str host;
    struct str origin;
    struct str content_type;
    struct str authorization;
    struct str workspace;   /* X-MLFLOW-WORKSPACE */
    struct str traceparent;
    struct str preflight_method;  /* Access-Control-Request-Method */
    struct str preflight_headers; /* Access-Control-Request-Headers */
    bool has_origin;
    bool has_content_type;
    bool has_body;          /* Content-Length > 0 or chunked */
    bool is_chunked;
    bool wants_continue;    /* Expect: 100-continue */
    bool is_keep_alive;     /* the connection may go on after the answer */
    bool is_http_1_0;
    uint64_t content_length; /* of a body that is not chunked */
};

enum http_event {
    HTTP_MORE,     /* all bytes taken, the message goes on */
    HTTP_HEAD_END, /* the head is complete; feed again for the body */
    HTTP_END,      /* the message is complete; the rest of the bytes belongs to the next one */
    HTTP_ERROR     /* f says what and which status; the connection must close */
};

struct http; /* opaque; embedded by conn through http_new */

struct http *http_new(size_t max_head_bytes);
void http_free(struct http *h);
/* Parses from bytes; *used says how many were taken. Body bytes are appended to body, which is held
 * to max_body (ERR_HTTP_TOO_LARGE). */
enum http_event http_feed(struct http *h, struct str bytes, size_t *used, struct buf *body,
                          uint64_t max_body, struct fail *f);
/* The head, after HTTP_HEAD_END and until http_next(). */
const struct http_head *http_head(const struct http *h);
/* Makes ready for the next message on the connection. */
void http_next(struct http *h);
/* True when part of a head has arrived: a peer that goes quiet here is slow, not idle. */
bool http_is_started(const struct http *h);

#endif
