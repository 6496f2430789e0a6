/* s3_conf: the variables and files of boto3 and MLflow. */
#include "gateway/s3/s3_conf.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>
#include <cmocka.h>

static struct arena arena;
static char folder[] = "/tmp/test-s3-conf-XXXXXX";

static const char *const names[] = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_CA_BUNDLE",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "MLFLOW_S3_ENDPOINT_URL",
    "MLFLOW_S3_IGNORE_TLS",
    "MLFLOW_S3_EXPECTED_BUCKET_OWNER",
    "MLFLOW_S3_UPLOAD_EXTRA_ARGS",
    "MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE",
    "MLFLOW_EXPERIMENTAL_S3_SIGNATURE_VERSION",
};

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 1024);
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int end(void **state)
{
    char command[64];

    (void)state;
    arena_fini(&arena);
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    return system(command);
}

static int clear(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(names); i++)
        unsetenv(names[i]);
    setenv("HOME", folder, 1);
    return 0;
}

static struct s3_conf load(void)
{
    struct s3_conf c;
    struct fail f;

    fail_init(&f, &arena);
    if (s3_conf_load(&c, &arena, &f))
        fail_msg("%.*s", STR_ARG(f.text));
    return c;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(arena_cstr(&arena, arena_printf(&arena, "%s/%s", folder, name)), "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_nothing_set_is_amazon(void **state)
{
    struct s3_conf c = load();

    (void)state;
    assert_true(c.verifies_tls && !c.is_path_style && c.endpoint.n == 0 && c.access_key.n == 0);
    assert_true(str_eq(c.region, STR("us-east-1")));
}

static void test_variables(void **state)
{
    struct s3_conf c;

    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "k", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    setenv("AWS_SESSION_TOKEN", "t", 1);
    setenv("AWS_DEFAULT_REGION", "eu", 1);
    setenv("AWS_ENDPOINT_URL", "http://other", 1);
    setenv("MLFLOW_S3_ENDPOINT_URL", "http://127.0.0.1:9000/", 1);
    setenv("MLFLOW_S3_IGNORE_TLS", "True", 1);
    setenv("MLFLOW_S3_UPLOAD_EXTRA_ARGS",
           "{\"ServerSideEncryption\":\"aws:kms\",\"CacheControl\":\"no-store\"}", 1);
    c = load();
    assert_true(str_eq(c.access_key, STR("k")) && str_eq(c.secret_key, STR("s")));
    assert_true(str_eq(c.session_token, STR("t")) && str_eq(c.region, STR("eu")));
    assert_true(str_eq(c.endpoint, STR("http://127.0.0.1:9000")));
    assert_true(c.is_path_style && !c.verifies_tls);
    assert_int_equal(c.upload_header_count, 2);
    assert_true(str_eq(c.upload_headers[0].name, STR("x-amz-server-side-encryption")));
    assert_true(str_eq(c.upload_headers[1].value, STR("no-store")));
    setenv("MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE", "virtual", 1);
    assert_false(load().is_path_style);
}

static void test_profiles(void **state)
{
    struct s3_conf c;

    (void)state;
    write_file("credentials", "[default]\naws_access_key_id=d\naws_secret_access_key=d2\n"
                              "# comment\n[ work ]\n aws_access_key_id = no\n"
                              "AWS_ACCESS_KEY_ID = w\naws_secret_access_key = w2 \n"
                              "aws_session_token=w3");
    write_file("config", "[default]\nregion=us-x\n[profile work]\nregion = eu-y\n"
                         "[profile other]\naws_access_key_id=o\naws_secret_access_key=o2\n");
    setenv("AWS_SHARED_CREDENTIALS_FILE", "~/credentials", 1);
    setenv("AWS_CONFIG_FILE", arena_cstr(&arena, arena_printf(&arena, "%s/config", folder)), 1);
    c = load();
    assert_true(str_eq(c.access_key, STR("d")) && str_eq(c.region, STR("us-x")));
    setenv("AWS_PROFILE", "work", 1);
    c = load();
    assert_true(str_eq(c.access_key, STR("w")) && str_eq(c.secret_key, STR("w2")));
    assert_true(str_eq(c.session_token, STR("w3")) && str_eq(c.region, STR("eu-y")));
    setenv("AWS_PROFILE", "other", 1);
    assert_true(str_eq(load().access_key, STR("o")));
    setenv("AWS_ACCESS_KEY_ID", "k", 1); /* alone it is nothing */
    assert_true(str_eq(load().access_key, STR("o")));
    setenv("AWS_SECRET_ACCESS_KEY", "s", 1);
    assert_true(str_eq(load().access_key, STR("k")));
}

static void test_what_is_wrong_is_said_at_the_start(void **state)
{
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"MLFLOW_S3_ENDPOINT_URL", "minio:9000"},
        {"MLFLOW_S3_ENDPOINT_URL", "http://h/path"},
        {"MLFLOW_S3_ENDPOINT_URL", "ftp://h"},
        {"MLFLOW_S3_UPLOAD_EXTRA_ARGS", "[]"},
        {"MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{\"Unknown\":\"x\"}"},
        {"MLFLOW_S3_UPLOAD_EXTRA_ARGS", "{\"ACL\":\"a\\r\\nX: y\"}"},
        {"AWS_DEFAULT_REGION", "a\nb"},
    };
    struct s3_conf c;
    struct fail f;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        clear(NULL);
        setenv(rows[i].name, rows[i].value, 1);
        fail_init(&f, &arena);
        if (s3_conf_load(&c, &arena, &f) != ERR_SETTING)
            fail_msg("%s=%s", rows[i].name, rows[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_nothing_set_is_amazon, clear),
        cmocka_unit_test_setup(test_variables, clear),
        cmocka_unit_test_setup(test_profiles, clear),
        cmocka_unit_test_setup(test_what_is_wrong_is_said_at_the_start, clear),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
