/* s3_url: held against the example in Amazon's documentation of signature version 4. */
#include "gateway/s3/s3_url.c"

#include "tests/unit/arena_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static struct s3_conf amazon(void)
{
    return (struct s3_conf){.access_key = STR("AKIAIOSFODNN7EXAMPLE"),
                            .secret_key = STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
                            .region = STR("us-east-1"),
                            .endpoint = STR("https://s3.amazonaws.com")};
}

static void test_amazons_example(void **state)
{
    struct s3_conf c = amazon();
    struct s3_grant g = {.method = "GET",
                         .bucket = STR("examplebucket"),
                         .key = STR("test.txt"),
                         .now_s = 1369353600,
                         .seconds = 86400};
    struct str url = s3_url_presign(&arena, &c, &g);

    (void)state;
    assert_true(str_eq(
        url,
        STR("https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
            "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
            "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
            "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")));
}

static void test_headers_and_parameters_are_signed(void **state)
{
    static const struct s3_header headers[] = {{STR_INIT("content-type"), STR_INIT("text/plain")},
                                               {STR_INIT("x-amz-acl"), STR_INIT("private")}};
    static const struct s3_param params[] = {{STR_INIT("partNumber"), STR_INIT("1")},
                                             {STR_INIT("uploadId"), STR_INIT("a b")}};
    struct s3_conf c = amazon();
    struct s3_grant g = {.method = "PUT",
                         .bucket = STR("b"),
                         .key = STR("k"),
                         .headers = headers,
                         .header_count = 2,
                         .params = params,
                         .param_count = 2};
    struct str url;

    (void)state;
    c.session_token = STR("t/t");
    url = s3_url_presign(&arena, &c, &g);
    url.p = arena_cstr(&arena, url);
    assert_non_null(strstr(url.p, "&X-Amz-Security-Token=t%2Ft&X-Amz-SignedHeaders="
                                  "content-type%3Bhost%3Bx-amz-acl&partNumber=1&uploadId=a%20b"
                                  "&X-Amz-Signature="));
    assert_true(str_eq(names_of(&arena, &g), STR("content-type;host;x-amz-acl")));
    assert_true(str_eq(lines_of(&arena, &g, STR("content-type;host;x-amz-acl"), STR("h")),
                       STR("content-type:text/plain\nhost:h\nx-amz-acl:private\n")));
    c.secret_key = STR(""); /* nobody to sign */
    assert_true(str_eq(s3_url_presign(&arena, &c, &g),
                       STR("https://b.s3.amazonaws.com/k?partNumber=1&uploadId=a%20b")));
}

static void test_styles(void **state)
{
    static const struct s3_param list[] = {{STR_INIT("list-type"), STR_INIT("2")},
                                           {STR_INIT("prefix"), STR_INIT("a/b+")}};
    struct s3_conf c = {.endpoint = STR("http://127.0.0.1:9000"), .is_path_style = true};
    struct s3_conf aws = {.region = STR("eu-central-1")};

    (void)state;
    assert_true(str_eq(s3_url(&arena, &c, STR("b"), STR("a b/\xc3\xa9%.txt"), NULL, 0),
                       STR("http://127.0.0.1:9000/b/a%20b/%C3%A9%25.txt")));
    assert_true(str_eq(s3_url(&arena, &c, STR("b"), STR(""), list, 2),
                       STR("http://127.0.0.1:9000/b?list-type=2&prefix=a%2Fb%2B")));
    assert_true(str_eq(s3_url(&arena, &aws, STR("b"), STR(""), list, 1),
                       STR("https://b.s3.eu-central-1.amazonaws.com/?list-type=2")));
    assert_true(s3_url_is_bucket(STR("my-bucket.x_1")));
    assert_false(s3_url_is_bucket(STR("a/b")));
    assert_false(s3_url_is_bucket(STR("")));
    assert_false(s3_url_is_bucket(STR("evil@host")));
    assert_false(s3_url_is_bucket(STR("..")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_amazons_example),
        cmocka_unit_test(test_headers_and_parameters_are_signed),
        cmocka_unit_test(test_styles),
    };

    return cmocka_run_group_tests(tests, arena_begin, arena_end);
}
