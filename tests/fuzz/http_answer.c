/*
 * http_answer: what an upstream says, parsed whole and parsed in pieces, must be the same answer; and what of its
 * head goes on to a client is lines, none of which is of the upstream's connection.
 *
 * Input: a line with the sizes of the pieces, as for http ("H" at its begin: the request was HEAD), then what the
 * upstream sends. Every piece is fed from memory of its own.
 */
#include "gateway/http/http_answer.h"
#include "gateway/proxy/proxy_head.h"

#include "base/buf.h"
#include "tests/fuzz/fuzz.h"

enum { HEAD_MAX = 2048, INPUT_MAX = 16000, HEADS_MAX = 8 };

/* What came of one answer: its last head, its content, where it ended. */
struct answer {
    enum http_event event;
    unsigned heads;
    int status;
    bool is_chunked, has_length, is_keep_alive, may_end;
    uint64_t length;
    struct str lines, trailers;
    struct buf body;
    size_t end;
};

struct feed {
    struct str in, sizes; /* sizes.p NULL: all at once */
    size_t fed, pieces;
};

static bool feed_more(struct feed *x)
{
    size_t n = x->in.n - x->fed, step = n;

    if (n == 0)
        return false;
    if (x->sizes.p)
        step = x->sizes.n ? (unsigned char)x->sizes.p[x->pieces++ % x->sizes.n] : 1;
    x->fed += step == 0 ? 1 : step < n ? step : n;
    return true;
}

static void take_head(struct arena *a, struct http_answer *h, struct answer *m)
{
    const struct answer_head *d = http_answer_head(h);

    check(d->status >= 100 && d->status <= 999);
    m->heads++;
    m->status = d->status;
    m->is_chunked = d->is_chunked;
    m->has_length = d->has_length;
    m->is_keep_alive = d->is_keep_alive;
    m->length = d->length;
    m->lines = arena_dup(a, d->lines);
}

static void parse(struct arena *a, struct feed *x, bool is_to_head, struct answer *m)
{
    struct http_answer *h = http_answer_new(HEAD_MAX);
    struct fail f;
    size_t used;

    *m = (struct answer){.event = HTTP_MORE};
    buf_init(&m->body);
    fail_init(&f, NULL);
    http_answer_begin(h, is_to_head);
    check(!http_answer_has_begun(h));
    do {
        struct str bytes = str_skip(str_head(x->in, x->fed), m->end);
        char *copy = fuzz_copy(bytes);

        m->event = http_answer_feed(h, (struct str){copy, bytes.n}, &used, &m->body, &f);
        check(used <= bytes.n);
        m->end += used;
        if (m->event == HTTP_HEAD_END)
            take_head(a, h, m);
        free(copy);
        if (m->event == HTTP_HEAD_END && m->heads < HEADS_MAX)
            continue;
        if (m->event == HTTP_END || m->event == HTTP_ERROR || m->heads >= HEADS_MAX)
            break;
        if (!feed_more(x))
            break;
    } while (true);
    if (m->event == HTTP_END)
        m->trailers = arena_dup(a, http_answer_trailers(h));
    m->may_end = m->event == HTTP_MORE && http_answer_ends_here(h);
    http_answer_free(h);
}

static void check_same(const struct answer *whole, const struct answer *pieces)
{
    check(whole->event == pieces->event && whole->heads == pieces->heads);
    if (whole->event == HTTP_ERROR)
        return; /* how much of it was taken before depends on the pieces */
    check(whole->status == pieces->status && whole->is_chunked == pieces->is_chunked);
    check(whole->has_length == pieces->has_length && whole->length == pieces->length);
    check(whole->is_keep_alive == pieces->is_keep_alive && whole->may_end == pieces->may_end);
    check(str_eq(whole->lines, pieces->lines) && str_eq(whole->trailers, pieces->trailers));
    check(str_eq(buf_str(&whole->body), buf_str(&pieces->body)));
    check(whole->event != HTTP_END || whole->end == pieces->end);
}

/* Whole lines, each a name and a value; none that would frame or bind the client's connection. */
static void check_lines(struct str lines, bool may_be_chunks)
{
    static const char *const never[] = {"connection",        "keep-alive", "proxy-connection",
                                        "transfer-encoding", "upgrade",    "content-length"};

    while (lines.n) {
        size_t at = str_find(lines, '\n');
        struct str line = str_head(lines, at);

        check(at < lines.n && at > 0 && line.p[at - 1] == '\r');
        line = str_head(line, at - 1);
        check(memchr(line.p, '\r', line.n) == NULL && memchr(line.p, '\0', line.n) == NULL);
        lines = str_skip(lines, at + 1);
        if (may_be_chunks && (line.n == 0 || str_eq(line, STR("0"))))
            continue;
        check(str_find(line, ':') < line.n && str_find(line, ':') > 0);
        for (size_t i = 0; i < array_len(never); i++)
            check(!str_ieq(str_head(line, str_find(line, ':')), str_of(never[i])));
    }
}

static void check_head(struct arena *a, const struct answer *m)
{
    struct buf out;

    buf_init(&out);
    if (proxy_answer_lines(a, m->lines, STR("vary: Origin\r\nserver: x\r\n"), true, &out))
        check_lines(buf_str(&out), false);
    buf_fini(&out);
    check_lines(proxy_trailers(a, m->trailers), true);
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct str sizes = fuzz_line(&in);
    bool is_to_head = str_starts(sizes, STR("H"));
    struct feed all = {.in = in, .fed = in.n};
    struct feed parts = {.in = in, .sizes = str_skip(sizes, is_to_head)};
    struct answer whole, pieces;

    if (in.n > INPUT_MAX)
        return;
    if (parts.sizes.p == NULL)
        parts.sizes.p = "";
    parse(a, &all, is_to_head, &whole);
    parse(a, &parts, is_to_head, &pieces);
    check_same(&whole, &pieces);
    if (whole.heads && whole.event != HTTP_ERROR)
        check_head(a, &whole);
    buf_fini(&whole.body);
    buf_fini(&pieces.body);
}
