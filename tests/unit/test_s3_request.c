/*
 * Tests of gateway/s3/s3_request.c: what has a body, what is signed, and what a refusal comes to.
 */
#include "gateway/s3/s3_request.c"
#include "tests/unit/arena_fixture.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_bodies(void **state)
{
    struct s3_request q = {.body_bytes = S3_NO_BODY};
    uint64_t n;

    (void)state;
    assert_false(s3_request_has_body(&q, &n));
    q.body_bytes = 0; /* an empty object is a body that will be brought */
    assert_true(s3_request_has_body(&q, &n));
    assert_int_equal(n, 0);
    q.body_bytes = (uint64_t)5 << 40;
    assert_true(s3_request_has_body(&q, &n));
    assert_true(n == (uint64_t)5 << 40);
    q.body_bytes = S3_NO_BODY;
    q.body = STR("abc"); /* in memory: it counts */
    assert_true(s3_request_has_body(&q, &n));
    assert_int_equal(n, 3);
}

/* The header lines of a request, each with a line end. */
static const char *lines_of(const struct s3_request *q, const struct s3_conf *conf)
{
    struct str text = STR("");
    void *lines = NULL;

    set_headers(q, conf, &arena, &lines);
    for (struct curl_slist *l = lines; l; l = l->next)
        text = SAY_TEXT(&arena, text, str_of(l->data), STR("\n"));
    curl_slist_free_all(lines);
    return arena_cstr(&arena, text);
}

static void test_what_is_signed(void **state)
{
    static const struct s3_header headers[] = {{STR_INIT("content-type"), STR_INIT("text/plain")},
                                               {STR_INIT("x-amz-acl"), STR_INIT("private")}};
    struct s3_request q = {.body_bytes = S3_NO_BODY};
    struct s3_conf conf = {0};

    (void)state;
    assert_string_equal(lines_of(&q, &conf),
                        "x-amz-content-sha256: "
                        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n");
    q.body_bytes = 0;
    assert_string_equal(lines_of(&q, &conf), "x-amz-content-sha256: UNSIGNED-PAYLOAD\n");
    q.body = STR("abc");
    q.headers = headers;
    q.header_count = 2;
    conf.bucket_owner = STR("123");
    assert_string_equal(lines_of(&q, &conf),
                        "content-type: text/plain\nx-amz-acl: private\n"
                        "x-amz-expected-bucket-owner: 123\nx-amz-content-sha256: "
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
}

static void test_refusals(void **state)
{
    static const struct {
        int status;
        const char *answer;
        err_t err;
        const char *words;
    } rows[] = {
        {403, "<Error><Code>AccessDenied</Code><Message>Denied</Message></Error>", ERR_DENIED,
         "Failed: Denied"},
        {404, "<Error><Code>NoSuchKey</Code><Message>No &lt;key&gt;</Message></Error>",
         ERR_NOT_FOUND, "Failed: No <key>"},
        {403, "<Error><Code>SignatureDoesNotMatch</Code></Error>", ERR_UNAUTHENTICATED,
         "Failed: Forbidden"},
        {403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", ERR_DENIED, "Failed: Forbidden"},
        {403, "", ERR_DENIED, "Failed: Forbidden"},
        {404, "", ERR_NOT_FOUND, "Failed: Not Found"},
        {404, "<html>", ERR_NOT_FOUND, "Failed: Not Found"},
        {400, "", ERR_INTERNAL, "Failed: S3 answered 400"},
        {301, "", ERR_INTERNAL, "Failed: S3 answered 301"},
        {500, "", ERR_STORAGE, "Failed: S3 answered 500"},
        {503, "<Error><Code>SlowDown</Code><Message>Slow</Message></Error>", ERR_STORAGE,
         "Failed: Slow"},
        {200, "<Error><Code>NoSuchUpload</Code></Error>", ERR_NOT_FOUND, "Failed: S3 answered 200"},
        {499, "", ERR_INTERNAL, "Failed: S3 answered 499"},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        assert_int_equal(s3_request_refused(&arena, rows[i].status, str_of(rows[i].answer),
                                            STR("Failed: "), &why),
                         rows[i].err);
        assert_string_equal(why.text.p, rows[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_what_is_signed),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
