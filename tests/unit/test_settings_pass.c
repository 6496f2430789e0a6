/* settings_pass: kafka.NAME from the file, the environment and flags, kept and shown. */
#include "schema/settings_pass.c"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static struct settings *s;
static struct fail f;

static int setup(void **state)
{
    (void)state;
    s = settings_new();
    fail_init(&f, NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    settings_free(s);
    return 0;
}

static const char *value_of(const char *name)
{
    for (const struct setting_pass *p = s->kafka; p; p = p->next) {
        if (strcmp(p->name, name) == 0)
            return p->value;
    }
    return NULL;
}

static void test_the_last_value_stands(void **state)
{
    (void)state;
    assert_true(setting_is_pass(STR("kafka.acks")));
    assert_false(setting_is_pass(STR("kafka.")));
    assert_false(setting_is_pass(STR("kafka_topic")));
    assert_int_equal(settings_set(s, STR("kafka.linger.ms"), STR("5"), &f), OK);
    assert_int_equal(settings_set(s, STR("kafka.client.id"), STR("x"), &f), OK);
    assert_int_equal(settings_set(s, STR("kafka.linger.ms"), STR("9"), &f), OK);
    assert_string_equal(value_of("linger.ms"), "9");
    assert_string_equal(value_of("client.id"), "x");
    assert_null(s->kafka->next->next);
    assert_int_equal(settings_set(s, STR("kafka.x"), (struct str){"a\0b", 3}, &f), ERR_SETTING);
}

static void test_a_secret_comes_from_a_file_and_is_never_shown(void **state)
{
    char path[] = "/tmp/sluice-pass-XXXXXX";
    char variable[128];
    char *envp[] = {variable, NULL};
    struct buf out;
    int fd = mkstemp(path);

    (void)state;
    assert_int_equal(write(fd, " hunter2\n", 9), 9);
    close(fd);
    assert_int_equal(settings_set(s, STR("kafka.sasl.password_file"), str_of(path), &f), OK);
    assert_string_equal(value_of("sasl.password"), "hunter2");
    assert_int_equal(settings_set(s, STR("kafka.sasl.username-file"), str_of(path), &f), OK);
    snprintf(variable, sizeof(variable), "SLUICE_KAFKA_SSL_KEY_PASSWORD_FILE=%s", path);
    assert_int_equal(settings_load_env(s, envp, &f), OK);
    assert_string_equal(value_of("ssl.key.password"), "hunter2");
    buf_init(&out);
    setting_pass_dump(s, &out);
    buf_add_byte(&out, 0);
    assert_string_equal(buf_str(&out).p, "kafka.sasl.password = ***\nkafka.sasl.username = ***\n"
                                         "kafka.ssl.key.password = ***\n");
    buf_fini(&out);
    unlink(path);
    assert_int_equal(settings_set(s, STR("kafka.sasl.password_file"), str_of(path), &f),
                     ERR_SETTING);
    assert_non_null(strstr(f.small, "kafka.sasl.password_file: cannot read"));
}

static void test_all_three_ways_lead_there(void **state)
{
    char path[] = "/tmp/sluice-pass-XXXXXX";
    char text[] = "kafka.a = file\nkafka.b = file\nkafka.sasl.username = file\n";
    char variable[] = "SLUICE_KAFKA_B=env";
    char dotted[] = "SLUICE_KAFKA_SASL_USERNAME=me";
    char topic[] = "SLUICE_KAFKA_TOPIC=other";
    char *envp[] = {variable, dotted, topic, NULL};
    char program[] = "x", config[] = "--config", flag[] = "--kafka.c", value[] = "flag";
    char equals[] = "--kafka.a=flag";
    char *argv[] = {program, config, path, flag, value, equals, NULL};
    int argi = 1;
    int fd = mkstemp(path);

    (void)state;
    assert_true(write(fd, text, sizeof(text) - 1) == (ssize_t)sizeof(text) - 1);
    close(fd);
    assert_int_equal(settings_load(s, 6, argv, envp, &argi, &f), OK);
    unlink(path);
    assert_int_equal(argi, 6);
    assert_string_equal(value_of("a"), "flag");
    assert_string_equal(value_of("b"), "env");
    assert_string_equal(value_of("c"), "flag");
    assert_string_equal(value_of("sasl.username"), "me");
    assert_string_equal(s->kafka_topic, "other");
}

static void test_the_dump_hides_what_is_secret(void **state)
{
    struct buf out;

    (void)state;
    assert_int_equal(settings_set(s, STR("kafka.sasl.password"), STR("swordfish"), &f), OK);
    assert_int_equal(settings_set(s, STR("kafka.ssl.key.pem"), STR("swordfish"), &f), OK);
    assert_int_equal(settings_set(s, STR("kafka.client.id"), STR("me"), &f), OK);
    buf_init(&out);
    settings_dump(s, &out);
    buf_add_byte(&out, 0);
    assert_null(strstr(buf_str(&out).p, "swordfish"));
    assert_non_null(strstr(buf_str(&out).p, "kafka.sasl.password = ***\n"));
    assert_non_null(strstr(buf_str(&out).p, "kafka.client.id = me\n"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_last_value_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_secret_comes_from_a_file_and_is_never_shown, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_all_three_ways_lead_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_dump_hides_what_is_secret, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
