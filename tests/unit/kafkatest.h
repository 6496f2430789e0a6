/*
 * kafkatest: librdkafka's built-in mock cluster for the unit tests of the Kafka files.
 *
 * It speaks enough of the protocol for producers, consumers and groups, and lets a test break
 * things that a real broker breaks rarely; the real one is in tests/pods. It knows nothing of
 * admin requests, so topics are made by the test. Included after queue_fixture.h.
 */
#ifndef TESTS_UNIT_KAFKATEST_H
#define TESTS_UNIT_KAFKATEST_H

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "ingest/kafka_conf.h"
#include "ingest/queue_share.h"

#define KAFKATEST_UNUSED __attribute__((unused))

enum { KAFKATEST_PARTITIONS = 4 };

static struct {
    rd_kafka_t *rk; /* the cluster's own, and the producer of raw messages */
    rd_kafka_mock_cluster_t *cluster;
    struct setting_pass pass[8]; /* kafka.* of the settings */
} kafkatest;

static KAFKATEST_UNUSED void kafkatest_pass(const char *name, const char *value)
{
    unsigned n = 0;

    while (kafkatest.pass[n].name)
        n++;
    assert_true(n < array_len(kafkatest.pass));
    kafkatest.pass[n].name = name;
    kafkatest.pass[n].value = value;
    if (n > 0)
        kafkatest.pass[n - 1].next = &kafkatest.pass[n];
    fixture_settings.kafka = kafkatest.pass;
}

static const char *kafkatest_timeout_ms = "10000"; /* of a message; before kafkatest_set_up */

/* A cluster of one broker with a topic "t". */
static KAFKATEST_UNUSED int kafkatest_set_up(void **state)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[200];

    assert_int_equal(fixture_set_up(state), 0);
    memset(&kafkatest, 0, sizeof(kafkatest));
    assert_int_equal(rd_kafka_conf_set(conf, "log_level", "0", why, sizeof(why)), 0);
    kafkatest.rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    assert_non_null(kafkatest.rk);
    kafkatest.cluster = rd_kafka_mock_cluster_new(kafkatest.rk, 1);
    assert_non_null(kafkatest.cluster);
    assert_int_equal(
        rd_kafka_mock_topic_create(kafkatest.cluster, "t", KAFKATEST_PARTITIONS, 1), 0);
    fixture_settings.queue = "kafka";
    fixture_settings.kafka_brokers = rd_kafka_mock_cluster_bootstraps(kafkatest.cluster);
    fixture_settings.kafka_topic = "t";
    kafkatest_pass("message.timeout.ms", kafkatest_timeout_ms);
    kafkatest_pass("fetch.wait.max.ms", "20");
    /* It answers no DescribeConfigs: so long is that waited for. */
    kafkatest_pass("socket.timeout.ms", "1500");
    /* The mock group waits for a session's length before it deals out partitions. */
    kafkatest_pass("session.timeout.ms", "4000");
    kafkatest_pass("heartbeat.interval.ms", "500");
    return 0;
}

static KAFKATEST_UNUSED int kafkatest_tear_down(void **state)
{
    rd_kafka_mock_cluster_destroy(kafkatest.cluster);
    rd_kafka_destroy(kafkatest.rk);
    return fixture_tear_down(state);
}

/* A message that no Sluice made, and waits until it is in the log. */
static KAFKATEST_UNUSED void kafkatest_produce(int32_t partition, struct str value)
{
    rd_kafka_t *producer;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[200];

    assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", fixture_settings.kafka_brokers,
                                       why, sizeof(why)),
                     0);
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
    assert_non_null(producer);
    assert_int_equal(rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("t"),
                                       RD_KAFKA_V_PARTITION(partition),
                                       RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                       RD_KAFKA_V_VALUE((void *)(uintptr_t)value.p, value.n),
                                       RD_KAFKA_V_END),
                     0);
    assert_int_equal(rd_kafka_flush(producer, 10000), 0);
    rd_kafka_destroy(producer);
}

#endif
