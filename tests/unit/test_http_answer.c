/* http_answer: every cut of an answer's bytes gives the same head, content and end. */
#include "gateway/http/http_answer.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

struct seen {
    char text[512]; /* what happened, in order */
    struct buf body;
};

static void note(struct seen *s, const char *what, struct str lines)
{
    size_t n = strlen(s->text);

    snprintf(s->text + n, sizeof(s->text) - n, "%s[%.*s]", what, STR_ARG(lines));
}

/* Feeds all of it, at most step bytes at once; the answer's bytes that were not taken. */
static size_t feed(struct http_answer *h, struct str all, size_t step, struct seen *s)
{
    struct fail f;
    size_t used, given = 0;
    char status[16];

    fail_init(&f, NULL);
    for (;;) {
        struct str piece = str_head(all, given);

        switch (http_answer_feed(h, piece, &used, &s->body, &f)) {
        case HTTP_HEAD_END:
            snprintf(status, sizeof(status), "%d", http_answer_head(h)->status);
            note(s, status, http_answer_head(h)->lines);
            break;
        case HTTP_END: note(s, "end", http_answer_trailers(h)); return all.n - used;
        case HTTP_ERROR: note(s, "bad", STR("")); return 0;
        default:
            if (given == all.n && used == piece.n) {
                note(s, "more", STR(""));
                return 0;
            }
            given = given + step < all.n ? given + step : all.n;
            given = given < used ? used : given;
        }
        all = str_skip(all, used);
        given -= used;
    }
}

static void check_answer(const char *text, bool is_to_head, const char *want, const char *body,
                         size_t left)
{
    struct http_answer *h = http_answer_new(4096);

    for (size_t step = 1; step <= strlen(text) + 1; step++) {
        struct seen s = {.text = ""};

        http_answer_begin(h, is_to_head);
        assert_int_equal(feed(h, str_of(text), step, &s), left);
        assert_string_equal(s.text, want);
        assert_int_equal(buf_len(&s.body), strlen(body));
        if (*body)
            assert_memory_equal(buf_str(&s.body).p, body, strlen(body));
        buf_fini(&s.body);
    }
    http_answer_free(h);
}

static void test_lengths_chunks_and_trailers(void **state)
{
    (void)state;
    check_answer("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\nabcHTTP", false,
                 "200[A: b\r\nContent-Length: 3\r\n]end[]", "abc", 4);
    check_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n"
                 "X: \r\nY: z\r\n\r\n",
                 false, "200[Transfer-Encoding: chunked\r\n]end[X: \r\nY: z\r\n]", "abc", 0);
    check_answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false,
                 "200[Content-Length: 0\r\n]end[]", "", 0);
}

static void test_answers_without_a_body(void **state)
{
    (void)state;
    check_answer("HTTP/1.1 204 No\r\nA: b\r\n\r\n", false, "204[A: b\r\n]end[]", "", 0);
    check_answer("HTTP/1.1 304 No\r\nContent-Length: 9\r\n\r\n", false,
                 "304[Content-Length: 9\r\n]end[]", "", 0);
    check_answer("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true,
                 "200[Content-Length: 9\r\n]end[]", "", 0);
    check_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true,
                 "200[Transfer-Encoding: chunked\r\n]end[]", "", 0);
}

static void test_interim_heads_come_before_the_final_one(void **state)
{
    (void)state;
    check_answer("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\n"
                 "HTTP/1.1 200 OK\r\nB: c\r\nContent-Length: 1\r\n\r\nx",
                 false, "100[]103[Link: a\r\n]200[B: c\r\nContent-Length: 1\r\n]end[]", "x", 0);
    check_answer("HTTP/1.1 150 What\r\n\r\n", false, "bad[]", "", 0);
    check_answer("HTTP/1.1 000 OK\r\nContent-Length: 0\r\n\r\n", false, "bad[]", "", 0);
    check_answer("HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", false, "bad[]", "", 0);
}

static void test_what_follows_a_101_is_left(void **state)
{
    (void)state;
    check_answer("HTTP/1.1 101 Switch\r\nUpgrade: w\r\nConnection: upgrade\r\n\r\n\x01\x02", false,
                 "101[Upgrade: w\r\nConnection: upgrade\r\n]end[]", "", 2);
}

static void test_an_answer_up_to_the_end_of_the_connection(void **state)
{
    struct http_answer *h = http_answer_new(4096);
    struct seen s = {.text = ""};

    (void)state;
    http_answer_begin(h, false);
    assert_false(http_answer_has_begun(h));
    assert_false(http_answer_ends_here(h));
    feed(h, STR("HTTP/1.1 200 OK\r\nA: b\r\n"), 1, &s);
    assert_true(http_answer_has_begun(h));
    assert_false(http_answer_ends_here(h)); /* within the head */
    feed(h, STR("\r\nabc"), 1, &s);
    assert_string_equal(s.text, "more[]200[A: b\r\n]more[]");
    assert_true(http_answer_ends_here(h));
    assert_false(http_answer_head(h)->is_keep_alive);
    http_answer_begin(h, false);
    feed(h, STR("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"), 99, &s);
    assert_false(http_answer_ends_here(h));
    buf_fini(&s.body);
    http_answer_free(h);
}

static void test_what_is_not_http_is_refused(void **state)
{
    char *text = calloc(1, 6000);

    (void)state;
    check_answer("SSH-2.0\r\n", false, "bad[]", "", 0);
    check_answer("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", false, "bad[]", "", 0);
    check_answer("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", false,
                 "bad[]", "", 0);
    memset(text, 'a', 5000);
    memcpy(text, "HTTP/1.1 200 OK\r\nA: ", 20);
    {
        struct http_answer *h = http_answer_new(4096);
        struct seen s = {.text = ""};

        http_answer_begin(h, false);
        feed(h, str_of(text), 100, &s);
        assert_string_equal(s.text, "bad[]");
        http_answer_free(h);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lengths_chunks_and_trailers),
        cmocka_unit_test(test_answers_without_a_body),
        cmocka_unit_test(test_interim_heads_come_before_the_final_one),
        cmocka_unit_test(test_what_follows_a_101_is_left),
        cmocka_unit_test(test_an_answer_up_to_the_end_of_the_connection),
        cmocka_unit_test(test_what_is_not_http_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
