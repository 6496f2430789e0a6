/* kafka_conf: what is handed on, what is refused, what cannot be chosen. */
#define _GNU_SOURCE /* memmem */
#include "ingest/kafka_conf.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"

static int set_up(void **state)
{
    int e = fixture_set_up(state);

    memset(&kafkatest, 0, sizeof(kafkatest));
    fixture_settings.kafka_brokers = "127.0.0.1:1";
    fixture_settings.kafka_topic = "t";
    return e;
}

static const char *value_of(const rd_kafka_conf_t *conf, const char *name)
{
    static char value[256];
    size_t n = sizeof(value);

    assert_int_equal(rd_kafka_conf_get(conf, name, value, &n), RD_KAFKA_CONF_OK);
    return value;
}

static void test_chosen_values_win_over_defaults_and_lose_to_the_promise(void **state)
{
    rd_kafka_conf_t *conf;

    (void)state;
    kafkatest_pass("linger.ms", "7");
    kafkatest_pass("security.protocol", "SASL_SSL");
    assert_ok(kafka_conf_new(&fixture_settings, &conf, &fixture_fail));
    assert_string_equal(value_of(conf, "linger.ms"), "7");
    assert_string_equal(value_of(conf, "security.protocol"), "sasl_ssl");
    assert_string_equal(value_of(conf, "compression.codec"), "lz4");
    assert_string_equal(value_of(conf, "group.id"), "sluice-t");
    assert_string_equal(value_of(conf, "bootstrap.servers"), "127.0.0.1:1");
    assert_string_equal(value_of(conf, "enable.idempotence"), "true");
    assert_string_equal(value_of(conf, "acks"), "-1");
    assert_string_equal(value_of(conf, "enable.auto.commit"), "false");
    rd_kafka_conf_destroy(conf);
}

static void assert_refused(const char *name, const char *value, const char *words)
{
    rd_kafka_conf_t *conf;

    memset(&kafkatest, 0, sizeof(kafkatest));
    kafkatest_pass(name, value);
    assert_int_equal(kafka_conf_new(&fixture_settings, &conf, &fixture_fail), ERR_SETTING);
    assert_null(conf);
    if (!memmem(fixture_fail.text.p, fixture_fail.text.n, words, strlen(words)))
        fail_msg("said: %.*s", STR_ARG(fixture_fail.text));
}

static void test_what_cannot_be_is_an_error_that_names_it(void **state)
{
    (void)state;
    assert_refused("no.such.thing", "1", "kafka.no.such.thing: No such configuration property");
    assert_refused("linger.ms", "soon", "kafka.linger.ms");
    assert_refused("linger.ms", "9000000000", "kafka.linger.ms");
    assert_refused("acks", "1", "kafka.acks: not to be chosen, the promise depends on it");
    assert_refused("enable.idempotence", "false", "kafka.enable.idempotence: not to be chosen");
    assert_refused("bootstrap.servers", "x:1", "it is kafka_brokers");
    assert_ok(
        kafka_conf_check(&fixture_settings, &fixture_fail)); /* the journal has no use for it */
    fixture_settings.queue = "kafka";
    assert_int_equal(kafka_conf_check(&fixture_settings, &fixture_fail), ERR_SETTING);
    fixture_settings.kafka = NULL;
    assert_ok(kafka_conf_check(&fixture_settings, &fixture_fail));
}

static void test_a_client_that_cannot_start_says_why(void **state)
{
    rd_kafka_conf_t *conf;
    rd_kafka_t *rk;

    (void)state;
    kafkatest_pass("ssl.ca.location", "/does/not/exist");
    kafkatest_pass("security.protocol", "ssl");
    assert_ok(kafka_conf_new(&fixture_settings, &conf, &fixture_fail));
    assert_int_equal(kafka_client_new(conf, RD_KAFKA_PRODUCER, &rk, &fixture_fail), ERR_SETTING);
    assert_true(memmem(fixture_fail.text.p, fixture_fail.text.n, "ssl.ca.location", 15) != NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_chosen_values_win_over_defaults_and_lose_to_the_promise, set_up,
            fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_is_an_error_that_names_it, set_up,
                                        fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_a_client_that_cannot_start_says_why, set_up,
                                        fixture_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
