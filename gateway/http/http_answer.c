/*
 * http_answer: llhttp does the grammar, and the framing too: a length, chunks, or up to the end.
 *
 * Header lines are copied as they come, names and values as they were, so that they can be passed on;
 * who passes them on decides which. The parser is paused at the end of each head. What is an interim
 * answer to llhttp is a message without a body, behind which the next one begins; here it is a
 * head among others, and the answer goes on.
 */
#include "gateway/http/http_answer.h"

#include <stdlib.h>
#include <string.h>

#include "llhttp.h"
#include "schema/errors.h"

struct http_answer {
    llhttp_t parser;
    size_t max_head_bytes;
    struct buf lines;
    struct buf trailers;
    struct answer_head head;
    struct buf *body; /* of the feed under way */
    bool is_to_head;
    bool has_begun;
    bool is_in_body; /* fields that come now are trailers */
    bool is_in_value;
    bool has_head; /* paused at the end of one */
    bool is_complete;
    bool is_too_long;
};

static int answer_add(struct http_answer *h, const char *p, size_t n)
{
    struct buf *b = h->is_in_body ? &h->trailers : &h->lines;

    if (buf_len(b) + n > h->max_head_bytes) {
        h->is_too_long = true;
        return HPE_USER;
    }
    buf_add(b, p, n);
    return 0;
}

static int answer_on_field(llhttp_t *p, const char *at, size_t n)
{
    return answer_add(p->data, at, n);
}

static int answer_begin_value(struct http_answer *h)
{
    if (h->is_in_value)
        return 0;
    h->is_in_value = true;
    return answer_add(h, ": ", 2);
}

static int answer_on_value(llhttp_t *p, const char *at, size_t n)
{
    int e = answer_begin_value(p->data);

    return e ? e : answer_add(p->data, at, n);
}

static int answer_on_value_complete(llhttp_t *p)
{
    struct http_answer *h = p->data;
    int e = answer_begin_value(h);

    h->is_in_value = false;
    return e ? e : answer_add(h, "\r\n", 2);
}

static bool answer_is_interim(const llhttp_t *p)
{
    return p->status_code < 200 && p->status_code != 101;
}

static int answer_on_headers_complete(llhttp_t *p)
{
    struct http_answer *h = p->data;

    if (p->status_code < 100 || (p->status_code > 103 && p->status_code < 200))
        return HPE_USER; /* what no one knows has no known end */
    if (h->is_to_head)
        p->flags |= F_SKIPBODY;
    h->head = (struct answer_head){.status = p->status_code,
                                   .is_chunked = (p->flags & F_CHUNKED) != 0,
                                   .has_length = (p->flags & F_CONTENT_LENGTH) != 0,
                                   .is_keep_alive = llhttp_should_keep_alive(p) != 0,
                                   .length = p->content_length};
    h->has_head = true;
    h->is_in_body = !answer_is_interim(p);
    p->upgrade = 0; /* what follows a 101 is not looked at here */
    return HPE_PAUSED;
}

static int answer_on_body(llhttp_t *p, const char *at, size_t n)
{
    struct http_answer *h = p->data;

    buf_add(h->body, at, n);
    return 0;
}

static int answer_on_message_complete(llhttp_t *p)
{
    struct http_answer *h = p->data;

    if (answer_is_interim(p)) {
        buf_reset(&h->lines);
        return 0;
    }
    h->is_complete = true;
    return HPE_PAUSED;
}

static const llhttp_settings_t answer_callbacks = {
    .on_header_field = answer_on_field,
    .on_header_value = answer_on_value,
    .on_header_value_complete = answer_on_value_complete,
    .on_headers_complete = answer_on_headers_complete,
    .on_body = answer_on_body,
    .on_message_complete = answer_on_message_complete,
};

struct http_answer *http_answer_new(size_t max_head_bytes)
{
    struct http_answer *h = calloc(1, sizeof(*h));

    check(h != NULL);
    h->max_head_bytes = max_head_bytes;
    return h;
}

void http_answer_free(struct http_answer *h)
{
    if (h == NULL)
        return;
    buf_fini(&h->lines);
    buf_fini(&h->trailers);
    free(h);
}

void http_answer_begin(struct http_answer *h, bool is_to_head)
{
    llhttp_init(&h->parser, HTTP_RESPONSE, &answer_callbacks);
    h->parser.data = h;
    h->is_to_head = is_to_head;
    h->has_begun = h->is_in_body = h->is_in_value = false;
    h->has_head = h->is_complete = h->is_too_long = false;
    h->head = (struct answer_head){0};
    buf_reset(&h->lines);
    buf_reset(&h->trailers);
}

enum http_event http_answer_feed(struct http_answer *h, struct str bytes, size_t *used,
                                 struct buf *body, struct fail *f)
{
    llhttp_errno_t e;

    *used = 0;
    h->body = body;
    if (h->has_head) {
        h->has_head = false;
        if (h->head.status == 101) { /* the bytes behind it are another protocol's */
            h->is_complete = true;
            return HTTP_END;
        }
        llhttp_resume(&h->parser);
    } else if (bytes.n == 0) {
        return HTTP_MORE;
    }
    h->has_begun = true;
    e = llhttp_execute(&h->parser, bytes.p ? bytes.p : "", bytes.n);
    *used = bytes.n;
    if (e == HPE_PAUSED && (h->has_head || h->is_complete)) {
        *used = (size_t)(llhttp_get_error_pos(&h->parser) - bytes.p);
        h->head.lines = buf_str(&h->lines);
        return h->has_head ? HTTP_HEAD_END : HTTP_END;
    }
    if (e == HPE_OK)
        return HTTP_MORE;
    (void)fail(f, ERR_UPSTREAM, "The upstream server's answer is not HTTP: %s.",
               h->is_too_long ? "its head is too long" : llhttp_get_error_reason(&h->parser));
    return HTTP_ERROR;
}

const struct answer_head *http_answer_head(const struct http_answer *h)
{
    return &h->head;
}

struct str http_answer_trailers(const struct http_answer *h)
{
    return buf_str(&h->trailers);
}

bool http_answer_has_begun(const struct http_answer *h)
{
    return h->has_begun;
}

bool http_answer_ends_here(const struct http_answer *h)
{
    return h->is_in_body && !h->is_complete && !h->head.has_length && !h->head.is_chunked;
}
