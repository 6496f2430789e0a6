/* s3_source: the order in which credentials are looked for, and what is refused at the start. */
#include "gateway/s3/s3_source.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static const char *const names[] = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
};

static const struct s3_profile KEYS = {
    STR_INIT("[p]\naws_access_key_id=file\naws_secret_access_key=s\n"), STR_INIT("p")};
static const struct s3_profile ROLE = {
    STR_INIT("[p]\nrole_arn=arn:r\nweb_identity_token_file=/t\nrole_session_name=n\n"),
    STR_INIT("p")};
static const struct s3_profile NONE = {STR_INIT(""), STR_INIT("p")};

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1024);
    for (size_t i = 0; i < array_len(names); i++)
        unsetenv(names[i]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct s3_source load(struct s3_profile credentials, struct s3_profile config)
{
    struct s3_profile files[2] = {credentials, config};
    struct s3_source s;
    struct fail f;

    fail_init(&f, &arena);
    assert_int_equal(s3_source_load(&s, &arena, files, STR("eu-x"), &f), OK);
    return s;
}

static void test_the_order(void **state)
{
    struct s3_source s;

    (void)state;
    s = load(NONE, NONE);
    assert_int_equal(s.kind, S3_SOURCE_INSTANCE);
    assert_true(str_eq(s.url, STR("http://169.254.169.254")));
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/x", 1);
    s = load(NONE, NONE);
    assert_int_equal(s.kind, S3_SOURCE_CONTAINER);
    assert_true(str_eq(s.url, STR("http://169.254.170.2/v2/x")));
    assert_true(str_eq(load(NONE, KEYS).access_key, STR("file")));
    assert_true(str_eq(load(KEYS, ROLE).role, STR("arn:r"))); /* before the credentials file */
    s = load(NONE, ROLE);
    assert_int_equal(s.kind, S3_SOURCE_WEB_IDENTITY);
    assert_true(str_eq(s.url, STR("https://sts.eu-x.amazonaws.com")));
    assert_true(str_eq(s.session_name, STR("n")) && str_eq(s.token_file, STR("/t")));
    setenv("AWS_ROLE_ARN", "arn:e", 1);
    setenv("AWS_ENDPOINT_URL", "http://all", 1);
    setenv("AWS_ENDPOINT_URL_STS", "http://sts/", 1);
    s = load(NONE, ROLE);
    assert_true(str_eq(s.role, STR("arn:e")) && str_eq(s.url, STR("http://sts")));
    setenv("AWS_ACCESS_KEY_ID", "env", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    s = load(KEYS, ROLE);
    assert_true(s.kind == S3_SOURCE_GIVEN && str_eq(s.access_key, STR("env")));
    assert_int_equal(s.role.n, 0);
}

static void test_the_instance_may_be_left_alone(void **state)
{
    (void)state;
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "IPv6", 1);
    assert_true(str_eq(load(NONE, NONE).url, STR("http://[fd00:ec2::254]")));
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://localhost:1/", 1);
    assert_true(str_eq(load(NONE, NONE).url, STR("http://localhost:1")));
    setenv("AWS_EC2_METADATA_DISABLED", "True", 1);
    assert_int_equal(load(NONE, NONE).kind, S3_SOURCE_NOWHERE);
}

/* A token does not go to just any host in the clear. */
static void test_where_a_container_may_ask(void **state)
{
    static const struct {
        const char *url;
        bool is_good;
    } rows[] = {
        {"http://169.254.170.2/x", true},       {"http://169.254.170.23/v1/credentials", true},
        {"http://[fd00:ec2::23]/x", true},      {"http://127.0.0.9:80/x", true},
        {"http://localhost/x", true},           {"https://anywhere.example/x", true},
        {"http://anywhere.example/x", false},   {"http://169.254.170.2.example/x", false},
        {"http://169.254.169.254/x", false},    {"http://localhost.example/x", false},
        {"http://anywhere@evil.test/x", false}, {"file:///etc/passwd", false},
        {"http://127.example.org/x", false},    {"http://127.0.0.1.example.org/x", false},
        {"ftp://127.0.0.1/x", false},           {"http:///x", false},
        {"http://127.0.0.1/\nX: y", false},     {"nothing", false},
    };
    const struct s3_profile files[2] = {NONE, NONE};

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct s3_source s;
        struct fail f;

        fail_init(&f, &arena);
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", rows[i].url, 1);
        if ((s3_source_load(&s, &arena, files, STR("r"), &f) == OK) != rows[i].is_good)
            fail_msg("%s", rows[i].url);
    }
}

static void test_control_characters_do_not_start(void **state)
{
    const struct s3_profile files[2] = {NONE, NONE};
    struct s3_source s;
    struct fail f;

    (void)state;
    fail_init(&f, &arena);
    setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/x", 1);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "a\r\nX: y", 1);
    assert_int_equal(s3_source_load(&s, &arena, files, STR("r"), &f), ERR_SETTING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_instance_may_be_left_alone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_where_a_container_may_ask, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_control_characters_do_not_start, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
