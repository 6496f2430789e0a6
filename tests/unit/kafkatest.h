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

enum {
    KAFKATEST_PARTITIONS = 4,
    KAFKATEST_PRODUCE = 0 /* the protocol's number of that request */
};

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
    assert_int_equal(rd_kafka_mock_topic_create(kafkatest.cluster, "t", KAFKATEST_PARTITIONS, 1),
                     0);
    fixture_settings.queue = "kafka";
    fixture_settings.kafka_brokers = rd_kafka_mock_cluster_bootstraps(kafkatest.cluster);
    fixture_settings.kafka_topic = "t";
    kafkatest_pass("message.timeout.ms", kafkatest_timeout_ms);
    kafkatest_pass("fetch.wait.max.ms", "20");
    /* The mock group waits for a session's length, less 1 s, before it deals out partitions anew; and
     * 3 s at first, within which nobody's session may end. */
    kafkatest_pass("session.timeout.ms", "3500");
    kafkatest_pass("heartbeat.interval.ms", "300");
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
    assert_int_equal(
        rd_kafka_producev(producer, RD_KAFKA_V_TOPIC(fixture_settings.kafka_topic),
                          RD_KAFKA_V_PARTITION(partition), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                          RD_KAFKA_V_VALUE((void *)(uintptr_t)value.p, value.n), RD_KAFKA_V_END),
        0);
    assert_int_equal(rd_kafka_flush(producer, 10000), 0);
    rd_kafka_destroy(producer);
}

/*
 * Readers for several tests, opened at once: the mock cluster waits 3 s before it deals out the
 * partitions of a group that is new, whatever is set, and so they all wait at the same time. Each
 * has a topic of its own, a queue and a group.
 */
enum { KAFKATEST_SCENES_MAX = 10 };

static struct {
    struct settings settings;
    char topic[16];
    struct stats *stats;
    struct queue *queue;
    struct queue_reader *reader;
} kafkatest_scenes[KAFKATEST_SCENES_MAX];

static unsigned kafkatest_scene_count, kafkatest_scene_next;
static struct stats *kafkatest_own_stats; /* the fixture's, which it frees */

static KAFKATEST_UNUSED int kafkatest_open_scenes(void **state, unsigned count)
{
    static const pos_t from[QUEUE_PARTITIONS_MAX];

    assert_int_equal(kafkatest_set_up(state), 0);
    kafkatest_own_stats = fixture_stats;
    assert_true(count <= KAFKATEST_SCENES_MAX);
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = (sizeof(struct stats) + 63) / 64 * 64;
        char *topic = kafkatest_scenes[i].topic;

        snprintf(topic, sizeof(kafkatest_scenes[i].topic), "scene%u", i);
        assert_int_equal(
            rd_kafka_mock_topic_create(kafkatest.cluster, topic, KAFKATEST_PARTITIONS, 1), 0);
        kafkatest_scenes[i].settings = fixture_settings;
        kafkatest_scenes[i].settings.kafka_topic = topic;
        kafkatest_scenes[i].stats = aligned_alloc(64, bytes);
        memset(kafkatest_scenes[i].stats, 0, bytes);
        assert_ok(queue_open(&kafkatest_scenes[i].settings, 1, kafkatest_scenes[i].stats,
                             &kafkatest_scenes[i].queue, &fixture_fail));
        assert_ok(queue_reader_open(kafkatest_scenes[i].queue, 0, from, &kafkatest_scenes[i].reader,
                                    &fixture_fail));
    }
    kafkatest_scene_count = count;
    return 0;
}

/* The next of them, whose stats and topic the fixture then has. */
static KAFKATEST_UNUSED void kafkatest_take_scene(struct queue **queue,
                                                  struct queue_reader **reader)
{
    unsigned i = kafkatest_scene_next++;

    assert_true(i < kafkatest_scene_count);
    *queue = kafkatest_scenes[i].queue;
    *reader = kafkatest_scenes[i].reader;
    fixture_settings.kafka_topic = kafkatest_scenes[i].topic;
    fixture_stats = kafkatest_scenes[i].stats;
}

static KAFKATEST_UNUSED int kafkatest_close_scenes(void **state)
{
    for (unsigned i = 0; i < kafkatest_scene_count; i++) {
        queue_stop(kafkatest_scenes[i].queue);
        queue_reader_close(kafkatest_scenes[i].reader);
        queue_close(kafkatest_scenes[i].queue);
        free(kafkatest_scenes[i].stats);
    }
    fixture_stats = kafkatest_own_stats;
    return kafkatest_tear_down(state);
}

#endif
