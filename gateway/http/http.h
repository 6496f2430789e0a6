/*
 * http: request heads and body framing on llhttp (strict); touches no socket.
 *
 * One parser per request under way, used again for the next. Order of calls: http_feed_head with
 * all bytes since the message's first one until HTTP_HEAD_END; then, when the head announces a
 * body, http_feed_body until HTTP_END, or http_body_took for bytes that went straight to where they
 * belong; then http_next. One thread.
 *
 * Slices in the head point into the bytes that were fed, so nothing is copied while a request is
 * whole in one buffer; http_keep_head() moves them out of there.
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

enum { FORWARDED_FOR_MAX = 4 }; /* fields of that name; of more the last ones are kept */

/* Header fields that somebody reads; all others are passed over. The last one wins, but for Host,
 * which may stand there once only, X-MLFLOW-WORKSPACE, of which the first does, and X-Forwarded-For, which
 * are one list. */
struct http_head {
    enum http_method method;
    struct str method_text;
    struct str target; /* as sent */
    struct str path;   /* percent-decoded, without query; leading slashes merged; "*" */
    struct str query;  /* after '?', raw */
    struct str host;   /* of an absolute target, else the header field */
    struct str origin;
    struct str content_type;
    struct str authorization;
    struct str workspace; /* X-MLFLOW-WORKSPACE */
    struct str if_none_match;
    struct str traceparent;
    struct str preflight_method;  /* Access-Control-Request-Method */
    struct str preflight_headers; /* Access-Control-Request-Headers */
    struct str forwarded_for[FORWARDED_FOR_MAX];
    struct str forwarded_proto;
    struct str forwarded_host;
    struct str forwarded_prefix;
    unsigned forwarded_for_count;
    struct str range;
    struct str if_range;
    bool has_range;
    bool has_if_range;
    bool has_host;
    bool has_authorization; /* more than one: authorization is empty, as good as none */
    bool has_origin;
    bool has_preflight_method, has_preflight_headers;
    bool has_private_network; /* Access-Control-Request-Private-Network */
    bool has_content_type;
    bool has_body; /* Content-Length > 0 or chunked */
    bool is_chunked;
    bool wants_continue; /* Expect: 100-continue */
    bool is_keep_alive;  /* the connection may go on after the answer */
    bool is_http_1_0;
    uint64_t content_length; /* of a body that is not chunked */
};

enum http_event {
    HTTP_MORE,     /* all bytes taken, the message goes on */
    HTTP_HEAD_END, /* the head is complete; what follows it is body, or the next message */
    HTTP_END,      /* the message is complete; the rest of the bytes belongs to the next one */
    HTTP_ERROR     /* f says what and which status; the connection must close */
};

struct http; /* opaque */

struct http *http_new(size_t max_head_bytes);
void http_free(struct http *h);
/* bytes: everything unread since the first byte of the message; what an earlier call saw is not
 * looked at again, but must still stand there. */
enum http_event http_feed_head(struct http *h, struct str bytes, struct fail *f);
/* Length of the head in the bytes that were fed, after HTTP_HEAD_END. */
size_t http_head_bytes(const struct http *h);
/* The head as it was sent, after HTTP_HEAD_END: request line, lines "name: value", CRLF each. */
struct str http_head_text(const struct http *h);
/* Fields behind a chunked body, each "name: value" and CRLF; empty until HTTP_END. */
struct str http_trailers(const struct http *h);
/* Copies the head into a, so that the bytes it was parsed from may go. */
void http_keep_head(struct http *h, struct arena *a);
/* Parses body bytes; *used says how many were taken. The content is appended to body, which is held
 * to max_body (ERR_HTTP_TOO_LARGE); body NULL drops it. */
enum http_event http_feed_body(struct http *h, struct str bytes, size_t *used, struct buf *body,
                               uint64_t max_body, struct fail *f);
/* Body bytes still to come; 0 when it is chunked. */
uint64_t http_body_left(const struct http *h);
/* The caller has taken n of those itself. */
void http_body_took(struct http *h, uint64_t n);
/* The head, after HTTP_HEAD_END and until http_next(). */
const struct http_head *http_head(const struct http *h);
/* Can it be a host, with or without a port, as far as its bytes go? */
bool http_is_authority(struct str s);
/* Makes ready for the next message on the connection. */
void http_next(struct http *h);

#endif
