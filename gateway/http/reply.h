/*
 * reply: status, headers and bodies of answers.
 *
 * A handler writes its body with reply_json() and json_*, then calls reply_ok(). The worker's
 * thread.
 */
#ifndef GATEWAY_REPLY_H
#define GATEWAY_REPLY_H

#include "base/fail.h"
#include "base/json.h"
#include "gateway/req.h"

/* Starts a JSON body in MLflow's pretty form; then reply_ok(). */
void reply_json(struct req *r, struct json *j);
/* The same in another form. */
void reply_json_as(struct req *r, struct json *j, enum json_form form);
/* 200 with the body written so far; returns OK so that a handler can end with it. */
err_t reply_ok(struct req *r);
/* 200 and `{}`. */
err_t reply_empty(struct req *r);
/* Any status and body; content_type is a constant. */
err_t reply_text(struct req *r, int status, const char *content_type, struct str body);
/* One more header line. */
void reply_header(struct req *r, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* MLflow's error JSON for f; Retry-After where the error row says so. After the first part of an
 * answer it says that the rest will not come. */
void reply_fail(struct req *r, const struct fail *f);
/* An Allow header for the methods in a mask of enum http_method. */
void reply_allow(struct req *r, unsigned methods);
/* The answer is a 200 with JSON in parts: chunked, or up to the end of the connection for HTTP/1.0. */
void reply_stream(struct req *r);
/* The same of any status and type, with a content-length if it has one. */
void reply_stream_as(struct req *r, int status, const char *content_type, bool has_length,
                     uint64_t length);
/* What stands before the bytes in body, appended to out; returns what stands behind them. */
struct str reply_frame(const struct req *r, bool is_last, struct buf *out);
/* Status line and header fields, appended to out. */
void reply_head(const struct req *r, struct buf *out);
/* True when the body goes out behind the head: not for HEAD, 204 and 304. Needs the status. */
bool reply_has_body(const struct req *r);
/* The bytes of the whole answer, appended to out: status line, headers, body (not for HEAD). */
void reply_write(const struct req *r, struct buf *out);

#endif
