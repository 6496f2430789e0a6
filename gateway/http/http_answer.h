/*
 * http_answer: the answers of another server, head and body framing, on llhttp (strict); touches no
 * socket.
 *
 * One parser per connection. Order of calls: http_answer_begin for each request sent, then
 * http_answer_feed with bytes as they come: HTTP_HEAD_END once for each interim head (1xx) and for the
 * final one, HTTP_END when the answer is whole. At the end of the connection http_answer_ends_here says
 * whether the answer may end with it. One thread.
 */
#ifndef GATEWAY_HTTP_ANSWER_H
#define GATEWAY_HTTP_ANSWER_H

#include "gateway/http/http.h"

struct answer_head {
    int status;
    struct str lines; /* header fields, each "name: value" and CRLF; good until the next feed */
    bool is_chunked;
    bool has_length;
    bool is_keep_alive;
    uint64_t length;
};

struct http_answer; /* opaque */

struct http_answer *http_answer_new(size_t max_head_bytes);
void http_answer_free(struct http_answer *h);
/* The next answer comes; to HEAD it has no body. */
void http_answer_begin(struct http_answer *h, bool is_to_head);
/* Takes *used bytes. After HTTP_HEAD_END feed the rest again. The content is appended to body. An
 * answer that is not HTTP/1 is HTTP_ERROR. */
enum http_event http_answer_feed(struct http_answer *h, struct str bytes, size_t *used,
                                 struct buf *body, struct fail *f);
const struct answer_head *http_answer_head(const struct http_answer *h);
/* Fields behind a chunked body, lines as in the head; empty until HTTP_END. */
struct str http_answer_trailers(const struct http_answer *h);
/* Has any byte of the answer come? */
bool http_answer_has_begun(const struct http_answer *h);
/* The connection has ended: does that end the answer, whole? */
bool http_answer_ends_here(const struct http_answer *h);

#endif
