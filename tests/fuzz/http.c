/*
 * http: a connection's bytes, parsed whole and parsed in pieces, must be the same requests.
 *
 * Input: a line with the sizes of the pieces (each byte one size, over and over; empty = one byte
 * at a time), then what the peer sends. Every piece is fed from memory of its own, as a buffer that
 * grows would have it, so a slice that still points into the old one is found.
 *
 * What is compared: for each message the events, the fields of its head, its content, how many
 * bytes it took, and for a refusal the code. Not the words: llhttp says the same in other words
 * when it stops elsewhere. Inputs stay below FRAMING_BYTES, where refusing depends on the pieces.
 */
#include "gateway/http/http.h"

#include "base/buf.h"
#include "schema/errors.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD_MAX = 2048, BODY_MAX = 4096, INPUT_MAX = 16000, MESSAGES_MAX = 16 };

/* What came of one message. */
struct message {
    enum http_event event;
    err_t err;
    size_t end; /* of it, in the input */
    struct http_head head;
    struct buf body;
};

struct parse {
    struct http *http;
    struct arena *arena;
    struct str in;
    struct str sizes; /* n 0: the whole input at once */
    size_t fed;       /* bytes of the input that came so far */
    size_t pieces;
    char *copy; /* of the bytes fed last */
};

/* Lets the next piece come; false when there is none. */
static bool parse_more(struct parse *p)
{
    size_t n = p->in.n - p->fed;
    size_t step = n;

    if (n == 0)
        return false;
    if (p->sizes.p)
        step = p->sizes.n ? (unsigned char)p->sizes.p[p->pieces++ % p->sizes.n] : 1;
    p->fed += step == 0 ? 1 : step < n ? step : n;
    return true;
}

/* The bytes since from that have come, at a new place. */
static struct str parse_bytes(struct parse *p, size_t from)
{
    struct str s = str_skip(str_head(p->in, p->fed), from);

    free(p->copy);
    p->copy = fuzz_copy(s);
    return (struct str){p->copy, s.n};
}

static void parse_body(struct parse *p, struct message *m)
{
    struct fail f;
    size_t used;

    fail_init(&f, NULL);
    do {
        struct str bytes = parse_bytes(p, m->end);

        m->event = http_feed_body(p->http, bytes, &used, &m->body, BODY_MAX, &f);
        check(used <= bytes.n && buf_len(&m->body) <= BODY_MAX);
        check(m->event != HTTP_MORE || used == bytes.n);
        m->end += used;
    } while (m->event == HTTP_MORE && parse_more(p));
    if (m->event == HTTP_ERROR)
        fuzz_check_refusal(f.err, &f);
    m->err = f.err;
    if (m->event == HTTP_END)
        check(http_body_left(p->http) == 0);
}

/* One message from m->end on; false when the connection is over. */
static bool parse_message(struct parse *p, struct message *m)
{
    size_t begin = m->end;
    struct fail f;

    fail_init(&f, NULL);
    buf_init(&m->body);
    do {
        m->event = http_feed_head(p->http, parse_bytes(p, begin), &f);
    } while (m->event == HTTP_MORE && parse_more(p));
    m->err = f.err;
    if (m->event != HTTP_HEAD_END) {
        check(m->event == HTTP_MORE || m->event == HTTP_ERROR);
        if (m->event == HTTP_ERROR)
            fuzz_check_refusal(f.err, &f);
        return false;
    }
    m->end = begin + http_head_bytes(p->http);
    check(m->end <= p->fed && http_head_bytes(p->http) <= HEAD_MAX);
    http_keep_head(p->http, p->arena); /* what is fed next is elsewhere */
    if (http_head(p->http)->has_body)
        parse_body(p, m);
    m->head = *http_head(p->http);
    check(m->head.method_text.n > 0 && m->head.path.n > 0);
    check(memchr(m->head.path.p, '\0', m->head.path.n) == NULL);
    check(!(m->head.is_chunked && m->head.content_length));
    m->head.path = arena_dup(p->arena, m->head.path); /* decoded ones live until http_next */
    return m->event == HTTP_END || (m->event == HTTP_HEAD_END && !m->head.has_body);
}

static size_t parse_all(struct parse *p, struct message messages[MESSAGES_MAX])
{
    size_t n = 0, end = 0;
    bool goes_on = true;

    p->http = http_new(HEAD_MAX);
    parse_more(p);
    while (n < MESSAGES_MAX && goes_on && (end < p->fed || parse_more(p))) {
        messages[n] = (struct message){.end = end};
        goes_on = parse_message(p, &messages[n]);
        end = messages[n++].end;
        if (goes_on)
            http_next(p->http);
    }
    http_free(p->http);
    free(p->copy);
    return n;
}

static void check_same_head(const struct http_head *a, const struct http_head *b)
{
    check(a->method == b->method && a->is_chunked == b->is_chunked);
    check(a->has_host == b->has_host && a->has_origin == b->has_origin);
    check(a->has_content_type == b->has_content_type && a->has_body == b->has_body);
    check(a->wants_continue == b->wants_continue && a->is_http_1_0 == b->is_http_1_0);
    check(a->is_keep_alive == b->is_keep_alive && a->content_length == b->content_length);
    check(str_eq(a->method_text, b->method_text) && str_eq(a->target, b->target));
    check(str_eq(a->path, b->path) && str_eq(a->query, b->query) && str_eq(a->host, b->host));
    check(str_eq(a->origin, b->origin) && str_eq(a->content_type, b->content_type));
    check(str_eq(a->authorization, b->authorization) && str_eq(a->workspace, b->workspace));
    check(str_eq(a->traceparent, b->traceparent));
    check(str_eq(a->preflight_method, b->preflight_method));
    check(str_eq(a->preflight_headers, b->preflight_headers));
}

static void check_same(const struct message *a, const struct message *b)
{
    check(a->event == b->event);
    check(a->err == b->err);
    if (a->event == HTTP_ERROR || a->event == HTTP_MORE)
        return; /* how far it came may differ */
    check(a->end == b->end);
    check(str_eq(buf_str(&a->body), buf_str(&b->body)));
    check_same_head(&a->head, &b->head);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct str sizes = fuzz_line(&in);
    struct message whole[MESSAGES_MAX], split[MESSAGES_MAX];
    struct parse at_once = {.arena = a, .in = in};
    struct parse in_pieces = {.arena = a, .in = in, .sizes = sizes};
    size_t n, m;

    if (in.n == 0 || in.n > INPUT_MAX)
        return;
    n = parse_all(&at_once, whole);
    m = parse_all(&in_pieces, split);
    check(n == m);
    for (size_t i = 0; i < n; i++) {
        check_same(&whole[i], &split[i]);
        buf_fini(&whole[i].body);
        buf_fini(&split[i].body);
    }
}
