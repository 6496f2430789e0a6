/*
 * Tests of gateway/s3/s3_credentials.c: which answers are keys, until when, and which files are
 * tokens. The requests themselves are tests/api's.
 */
#include "gateway/s3/s3_credentials.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct s3_conf conf;
static struct s3_credentials *keys;
static unsigned came;

static void on_came(void *owner)
{
    (void)owner;
    came++;
}

static int setup(void **state)
{
    (void)state;
    memset(&conf, 0, sizeof(conf));
    conf.source.kind = S3_SOURCE_CONTAINER;
    keys = s3_credentials_open(NULL, &conf, on_came, NULL);
    came = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    s3_credentials_close(keys);
    return 0;
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"2026-11-28T20:00:00Z", 1795896000000},
        {"2026-11-28T20:00:00.123456Z", 1795896000000},
        {"2026-11-28T20:00:00+00:00", 1795896000000},
        {"2026-11-28T22:00:00+02:00", 1795896000000},
        {"2026-11-28T14:30:00.5-0530", 1795896000000},
        {"2026-11-28T20:00:00", 0},
        {"2026-11-28T20:00:00Zx", 0},
        {"2026-11-28T20:00:00.Z.", 0},
        {"2026-11-28 20:00:00Z", 0},
        {"2026-11-28", 0},
        {"1795896000", 0},
        {"", 0},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++)
        assert_int_equal(parse_time(&keys->work, str_of(rows[i].text)), rows[i].ms);
    assert_int_equal(parse_time(&keys->work, (struct str){"2026-11-28T20:00:00Z\0Z", 22}),
                     1795896000000);
}

static struct str in_seconds(int64_t s)
{
    time_t t = (time_t)(clock_wall_ms() / 1000 + s);
    char text[32];
    struct tm tm;

    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    return arena_dup(&keys->work, str_of(text));
}

static void take(const char *id, const char *secret, const char *token, int64_t seconds)
{
    keys_take(keys, str_of(id), str_of(secret), str_of(token), in_seconds(seconds));
}

/* A part of what is left of their life, which was asked for between the two moments; ms at most. */
static void assert_lead(int64_t lead, int64_t end_ms, const int64_t now_ms[2], int64_t part,
                        int64_t ms)
{
    assert_true(lead <= ms && lead <= (end_ms - now_ms[0]) / part);
    assert_true(lead == ms || lead >= (end_ms - now_ms[1]) / part);
}

static void test_keys_are_renewed_before_they_end(void **state)
{
    static const int64_t lives_s[] = {86400, 3600, 3590, 600, 400};

    (void)state;
    for (size_t i = 0; i < array_len(lives_s); i++) {
        struct str end = in_seconds(lives_s[i]);
        int64_t end_ms = parse_time(&keys->work, end), now_ms[2] = {clock_wall_ms(), 0};

        keys_take(keys, STR("id"), STR("secret"), STR("token"), end);
        now_ms[1] = clock_wall_ms();
        assert_lead(end_ms - keys->refresh_ms, end_ms, now_ms, 4, 900000);
        assert_lead(end_ms - keys->end_ms, end_ms, now_ms, 8, 60000);
        assert_int_equal(came, i + 1);
    }
    assert_true(str_eq(conf.access_key, STR("id")));
    assert_true(str_eq(conf.secret_key, STR("secret")));
    assert_true(str_eq(conf.session_token, STR("token")));
    assert_int_equal(s3_credentials_ask(keys), S3_CREDENTIALS_GOOD);
}

static void test_answers_that_are_no_keys_leave_the_old_ones(void **state)
{
    (void)state;
    take("id", "secret", "", 3600);
    take("", "secret", "", 3600);
    take("id2", "", "", 3600);
    take("id2", "secret", "", 0);
    take("id2", "secret", "", -10);
    take("id2\nx: y", "secret", "", 3600);
    take("id2", "secret", "token\nx: y", 3600);
    keys_take(keys, STR("id2"), STR("secret"), STR(""), STR("soon"));
    assert_int_equal(came, 8);
    assert_true(str_eq(conf.access_key, STR("id")));
    assert_int_equal(s3_credentials_ask(keys), S3_CREDENTIALS_GOOD);
    assert_string_equal(s3_credentials_why(keys),
                        "no credentials for S3: the answer: it holds none "
                        "that are good for a while");
}

static void answer(const char *text)
{
    buf_reset(&keys->answer);
    buf_add_str(&keys->answer, str_of(text));
    keys->step = STEP_KEYS;
    keys_answered(keys);
}

static void test_answers_by_protocol(void **state)
{
    (void)state;
    answer("{\"AccessKeyId\": \"j\", \"SecretAccessKey\": \"s\", \"Token\": 7,"
           " \"Expiration\": \"2999-01-01T00:00:00Z\"}");
    assert_true(str_eq(conf.access_key, STR("j")));
    assert_int_equal(conf.session_token.n, 0);
    answer("[]");
    assert_non_null(strstr(keys->why, "it is no JSON object"));
    answer("");
    assert_non_null(strstr(keys->why, "it is no JSON object"));
    answer("{}");
    assert_non_null(strstr(keys->why, "it holds none"));
    conf.source.kind = S3_SOURCE_WEB_IDENTITY;
    answer("<R><Credentials><AccessKeyId>x</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
           "<SessionToken>t</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>"
           "</Credentials></R>");
    answer("<R>");
    assert_true(str_eq(conf.access_key, STR("x")) || str_eq(conf.access_key, STR("j")));
    assert_int_equal(came, 6);
}

static void test_an_answer_is_bounded(void **state)
{
    static char bytes[ANSWER_MAX];

    (void)state;
    assert_int_equal(keys_on_bytes(bytes, 1, ANSWER_MAX - 1, keys), ANSWER_MAX - 1);
    assert_int_equal(keys_on_bytes(bytes, 1, 2, keys), 0);
    assert_int_equal(keys_on_bytes(bytes, 1, 1, keys), 1);
    assert_int_equal(keys_on_bytes(bytes, 1, 1, keys), 0);
    assert_int_equal(buf_len(&keys->answer), ANSWER_MAX);
}

static struct str token_in(const char *text, size_t n)
{
    char path[] = "/tmp/sluice-test-XXXXXX";
    int fd = mkstemp(path);
    struct str token;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    close(fd);
    token = read_token(&keys->work, str_of(path));
    unlink(path);
    return token;
}

static void test_files_that_hold_a_token(void **state)
{
    static char long_one[TOKEN_MAX];

    (void)state;
    assert_true(str_eq(token_in(" a.b-c\r\n", 8), STR("a.b-c")));
    assert_int_equal(token_in("", 0).n, 0);
    assert_int_equal(token_in(" \n", 2).n, 0);
    assert_int_equal(token_in("a\nb", 3).n, 0);
    assert_int_equal(token_in("a\0b", 3).n, 0);
    assert_int_equal(token_in("a\x7f", 2).n, 0);
    assert_int_equal(token_in("\xC3\xA9", 2).n, 2);
    memset(long_one, 'a', sizeof(long_one));
    assert_int_equal(token_in(long_one, TOKEN_MAX - 1).n, TOKEN_MAX - 1);
    assert_int_equal(token_in(long_one, TOKEN_MAX).n, 0); /* there may be more of it */
    assert_int_equal(read_token(&keys->work, STR("/nowhere/token")).n, 0);
    assert_int_equal(read_token(&keys->work, STR("/tmp")).n, 0);
}

static void test_fields_of_a_form(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out);
    add_field(&out, "A", STR("a&=\xFF\n"));
    add_field(&out, "B", STR(""));
    assert_true(str_eq(buf_str(&out), STR("&A=%61%26%3D%FF%0A&B=")));
    buf_fini(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_times),
        TEST(test_keys_are_renewed_before_they_end),
        TEST(test_answers_that_are_no_keys_leave_the_old_ones),
        TEST(test_answers_by_protocol),
        TEST(test_an_answer_is_bounded),
        TEST(test_files_that_hold_a_token),
        TEST(test_fields_of_a_form),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
