/* settings: bounds, refusals word for word, the rules between settings, the artifact root. */
#include "schema/settings.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#undef fail /* cmocka has a macro of that name */

struct fixture {
    struct arena arena;
    struct fail f;
    struct settings *s;
};

static int begin(void **state)
{
    struct fixture *x = calloc(1, sizeof(*x));

    arena_init(&x->arena, 1024);
    fail_init(&x->f, &x->arena);
    x->s = settings_new();
    *state = x;
    return 0;
}

static int end(void **state)
{
    struct fixture *x = *state;

    settings_free(x->s);
    arena_fini(&x->arena);
    free(x);
    return 0;
}

static err_t set(struct fixture *x, const char *name, const char *value)
{
    return settings_set(x->s, str_of(name), str_of(value), &x->f);
}

static void refused(struct fixture *x, const char *name, const char *value, const char *text)
{
    assert_int_equal(set(x, name, value), ERR_SETTING);
    assert_string_equal(arena_cstr(&x->arena, x->f.text), text);
}

static void rule_broken(struct fixture *x, const char *text)
{
    assert_int_equal(settings_check(x->s, &x->f), ERR_SETTING);
    assert_string_equal(arena_cstr(&x->arena, x->f.text), text);
}

static void test_defaults_are_within_their_own_bounds(void **state)
{
    struct fixture *x = *state;

    for (int i = 0; i < SETTING_COUNT; i++) {
        assert_int_equal(set(x, setting_rows[i].name, setting_rows[i].def), OK);
        assert_true(strlen(setting_rows[i].name) < SETTING_NAME_MAX);
    }
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(x->s->ring_bytes, 32 << 20);
    assert_int_equal(x->s->flush_interval, 200000);
    assert_string_equal(x->s->listen, "127.0.0.1:5000");
    assert_true(x->s->serve_artifacts);
}

static void test_values_are_stored(void **state)
{
    struct fixture *x = *state;

    assert_false(x->s->is_set[SETTING_ring_bytes]);
    assert_int_equal(set(x, "ring_bytes", "64MiB"), OK);
    assert_int_equal(x->s->ring_bytes, 64 << 20);
    assert_true(x->s->is_set[SETTING_ring_bytes]);
    assert_int_equal(set(x, "ring-bytes", "1MiB"), OK); /* bounds belong to what is allowed */
    assert_int_equal(set(x, "ring-bytes", "16GiB"), OK);
    assert_int_equal(set(x, "serve_artifacts", "no"), OK);
    assert_false(x->s->serve_artifacts);
    assert_int_equal(set(x, "read_wait", "0"), OK);
    assert_int_equal(x->s->read_wait, 0);
    assert_int_equal(set(x, "log_level", "debug"), OK);
    assert_string_equal(x->s->log_level, "debug");
}

static void test_refusals_word_for_word(void **state)
{
    struct fixture *x = *state;

    refused(x, "ring_bytes", "12",
            "setting ring_bytes = \"12\": must be from 1MiB to 16GiB. Memory for the newest part "
            "of the journal; rounded up to a power of two.");
    refused(x, "ring-bytes", "big",
            "setting ring_bytes = \"big\": must be a size such as 64MiB, from 1MiB to 16GiB. "
            "Memory for the newest part of the journal; rounded up to a power of two.");
    refused(x, "flush_interval", "5",
            "setting flush_interval = \"5\": must be a time such as 200ms, from 1ms to 60s. "
            "Longest time a point waits for its window to fill.");
    refused(x, "workers", "many",
            "setting workers = \"many\": must be a whole number, from 0 to 256. Threads that serve "
            "connections; 0 = one for each processor, at most 8.");
    refused(x, "serve_artifacts", "maybe",
            "setting serve_artifacts = \"maybe\": must be true or false. As MLflow's "
            "--serve-artifacts.");
    refused(x, "log_level", "loud",
            "setting log_level = \"loud\": must be one of error, warn, info, debug. Least level "
            "that is logged.");
    refused(x, "queue", "",
            "setting queue = \"\": must be one of journal, kafka. What makes a write durable "
            "before it is "
            "answered.");
    assert_int_equal(x->s->ring_bytes, 32 << 20); /* a refused value changes nothing */
}

static void test_unknown_names_suggest_the_nearest(void **state)
{
    struct fixture *x = *state;

    refused(x, "rign_bytes", "1", "unknown setting \"rign_bytes\"; did you mean ring_bytes?");
    refused(x, "flusher", "1", "unknown setting \"flusher\"; did you mean flushers?");
    refused(x, "pg-url", "x", "unknown setting \"pg-url\"; did you mean pg_uri?");
    refused(x, "colour", "1", "unknown setting \"colour\"");
    refused(x, "", "1", "unknown setting \"\"");
    refused(x, "ring_bytes_file", "/x", /* no secret, so no _file */
            "unknown setting \"ring_bytes_file\"; did you mean ring_bytes?");
    assert_int_equal(settings_set(x->s,
                                  STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                                  STR("1"), &x->f),
                     ERR_SETTING);
}

static void test_refusals_are_one_line_and_hide_secrets(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(set(x, "workers", "1\n2"), ERR_SETTING);
    assert_true(str_find(x->f.text, '\n') == x->f.text.n);
    assert_int_equal(set(x, "pg_uri", "hunter2"), ERR_SETTING);
    assert_null(strstr(arena_cstr(&x->arena, x->f.text), "hunter2"));
    assert_non_null(strstr(arena_cstr(&x->arena, x->f.text), "setting pg_uri = \"***\": must be "));
    assert_int_equal(settings_set(x->s, STR("data_dir"), (struct str){"a\0b", 3}, &x->f),
                     ERR_SETTING);
}

static void test_pg_uri_takes_drivers(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(set(x, "pg_uri", "postgresql+psycopg2://u:p@h/db?x=1&sslmode=require"), OK);
    assert_string_equal(x->s->pg_uri, "postgresql://u:p@h/db?sslmode=require");
    assert_int_equal(set(x, "pg_uri", "host=h dbname=d"), OK);
    assert_string_equal(x->s->pg_uri, "host=h dbname=d");
    assert_int_equal(set(x, "pg_uri", ""), OK);
}

static void test_secrets_from_a_file(void **state)
{
    struct fixture *x = *state;
    char path[] = "/tmp/test_settings_XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "postgresql://u:p@h/db\n", 22), 22);
    close(fd);
    assert_int_equal(set(x, "pg_uri_file", path), OK);
    assert_string_equal(x->s->pg_uri, "postgresql://u:p@h/db");
    assert_int_equal(set(x, "pg-uri-file", path), OK);
    unlink(path);
    assert_int_equal(set(x, "pg_uri_file", path), ERR_SETTING);
    assert_non_null(
        strstr(arena_cstr(&x->arena, x->f.text), "setting pg_uri_file: cannot read /tmp"));
    assert_int_equal(set(x, "pg_uri_file", "/"), ERR_SETTING); /* a directory */
}

static void test_addresses(void **state)
{
    (void)state;
    assert_true(is_address(STR("127.0.0.1:5000")));
    assert_true(is_address(STR("localhost:0")));
    assert_true(is_address(STR("[::1]:5000")));
    assert_true(is_address(STR("0.0.0.0:65535")));
    assert_false(is_address(STR("")));
    assert_false(is_address(STR(":5000")));
    assert_false(is_address(STR("localhost")));
    assert_false(is_address(STR("localhost:")));
    assert_false(is_address(STR("localhost:65536")));
    assert_false(is_address(STR("localhost:http")));
    assert_false(is_address(STR("::1:5000")));
    assert_false(is_address(STR("[]:5000")));
}

static void test_rules_between_settings(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(set(x, "journal_max_bytes", "16MiB"), OK);
    assert_int_equal(set(x, "journal_segment_bytes", "8MiB"), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(set(x, "journal_segment_bytes", "9MiB"), OK);
    rule_broken(x, "settings journal_segment_bytes and journal_max_bytes: the journal must hold at "
                   "least two segments");
    assert_int_equal(set(x, "journal_segment_bytes", "1MiB"), OK);

    assert_int_equal(set(x, "listen", "none"), OK); /* a journal that is to be emptied */
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(set(x, "queue", "kafka"), OK);
    rule_broken(x, "setting kafka_brokers = \"\": must be such as broker1:9092,broker2:9092. "
                   "Brokers to begin with, host:port, comma separated; for queue = kafka.");
    assert_int_equal(set(x, "kafka_brokers", "127.0.0.1:9092"), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(set(x, "flushers", "0"), OK);
    rule_broken(x, "settings listen = \"none\" and flushers = 0: nothing would be left to do");
    assert_int_equal(set(x, "listen", "127.0.0.1:5001"), OK);
    rule_broken(x,
                "settings listen and admin_listen: both are \"127.0.0.1:5001\", they must differ");
    assert_int_equal(set(x, "listen", "127.0.0.1:0"), OK);
    assert_int_equal(set(x, "admin_listen", "127.0.0.1:0"), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(set(x, "queue", "journal"), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK); /* the start warns */
    assert_int_equal(set(x, "flushers", "1"), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(set(x, "admin_listen", "none"), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(set(x, "admin_listen", "5001"), OK);
    rule_broken(x, "setting admin_listen = \"5001\": must be host:port, or none. Address for "
                   "health, readiness, metrics and status; none = not served.");
}

static void test_rules_of_a_store_that_is_not_postgresql(void **state)
{
    struct fixture *x = *state;

    assert_int_equal(set(x, "pg_uri", "sqlite:///x.db"), OK);
    rule_broken(x,
                "setting pg_uri (or MLFLOW_BACKEND_STORE_URI) names a store that is not "
                "PostgreSQL: set upstream, a stock MLflow server on it to which all is passed on");
    assert_int_equal(set(x, "upstream", "http://127.0.0.1:5005"), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK);
    assert_int_equal(set(x, "auth", "basic"), OK);
    rule_broken(x, "setting auth wants a pg_uri of PostgreSQL: permissions are not looked up in "
                   "another store; the upstream is sent Authorization and can judge it itself");
    assert_int_equal(set(x, "auth", "none"), OK);
    assert_int_equal(set(x, "listen", "none"), OK);
    rule_broken(x, "setting listen = \"none\" wants a pg_uri of PostgreSQL");
}

static void test_static_prefix_is_held_to_mlflows_rule(void **state)
{
    static const char *const bad[] = {"mlflow", "/mlflow/", "/", "/{x}"};
    struct fixture *x = *state;

    assert_int_equal(set(x, "static_prefix", "/mlflow"), OK);
    assert_int_equal(settings_check(x->s, &x->f), OK);
    for (size_t i = 0; i < array_len(bad); i++) {
        assert_int_equal(set(x, "static_prefix", bad[i]), OK);
        assert_int_equal(settings_check(x->s, &x->f), ERR_SETTING);
    }
}

static void artifact_root_is(struct fixture *x, const char *setting, const char *expected)
{
    struct str got;
    char *here = getcwd(NULL, 0);

    assert_int_equal(set(x, "default_artifact_root", setting), OK);
    got = settings_artifact_root(x->s, &x->arena);
    if (*expected == '~') /* the working directory */
        expected = arena_printf(&x->arena, "%s%s", here, expected + 1).p;
    if (strncmp(expected, "file://~", 8) == 0)
        expected = arena_printf(&x->arena, "file://%s%s", here, expected + 8).p;
    assert_string_equal(got.p, expected);
    free(here);
}

static void test_artifact_root_is_what_mlflow_would_choose(void **state)
{
    struct fixture *x = *state;

    artifact_root_is(x, "", "mlflow-artifacts:/");
    assert_int_equal(set(x, "serve_artifacts", "false"), OK);
    artifact_root_is(x, "", "~/mlruns");
    artifact_root_is(x, "s3://bucket/x", "s3://bucket/x");
    artifact_root_is(x, "/srv/mlruns/", "/srv/mlruns/");
    artifact_root_is(x, "./a/.//b/", "~/a/b");
    artifact_root_is(x, "../a", "~/../a");
    artifact_root_is(x, "file:///srv", "file:///srv");
    artifact_root_is(x, "file:a/b", "file://~/a/b");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults_are_within_their_own_bounds, begin, end),
        cmocka_unit_test_setup_teardown(test_values_are_stored, begin, end),
        cmocka_unit_test_setup_teardown(test_refusals_word_for_word, begin, end),
        cmocka_unit_test_setup_teardown(test_unknown_names_suggest_the_nearest, begin, end),
        cmocka_unit_test_setup_teardown(test_refusals_are_one_line_and_hide_secrets, begin, end),
        cmocka_unit_test_setup_teardown(test_pg_uri_takes_drivers, begin, end),
        cmocka_unit_test_setup_teardown(test_secrets_from_a_file, begin, end),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test_setup_teardown(test_rules_between_settings, begin, end),
        cmocka_unit_test_setup_teardown(test_rules_of_a_store_that_is_not_postgresql, begin, end),
        cmocka_unit_test_setup_teardown(test_static_prefix_is_held_to_mlflows_rule, begin, end),
        cmocka_unit_test_setup_teardown(test_artifact_root_is_what_mlflow_would_choose, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
