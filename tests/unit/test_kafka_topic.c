/* kafka_topic: what it sees, what it refuses, how long it waits. What a broker must do is in tests/pods. */
#define _GNU_SOURCE /* memmem */
#include "ingest/kafka_topic.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"

static bool says(const char *words)
{
    return memmem(fixture_fail.text.p, fixture_fail.text.n, words, strlen(words)) != NULL;
}

static void test_a_topic_is_looked_over(void **state)
{
    struct kafka_topic t;

    (void)state;
    assert_ok(kafka_topic_look(&fixture_settings, &t, &fixture_fail));
    assert_int_equal(t.partitions, KAFKATEST_PARTITIONS);
    assert_int_equal(t.replicas, 1);
    assert_int_equal(t.in_sync, 0); /* the mock cluster knows no configurations */
    assert_true(t.cluster[0]);
}

static void test_more_partitions_than_a_mask_has_bits_are_refused(void **state)
{
    struct kafka_topic t;

    (void)state;
    assert_int_equal(rd_kafka_mock_topic_create(kafkatest.cluster, "many", 65, 1), 0);
    fixture_settings.kafka_topic = "many";
    assert_int_equal(kafka_topic_look(&fixture_settings, &t, &fixture_fail), ERR_SETTING);
    assert_true(says("has 65 partitions; at most 64"));
}

static void test_configurations_are_judged(void **state)
{
    struct kafka_topic t = {0};

    (void)state;
    assert_ok(topic_see_entry("t", "min.insync.replicas", "2", &t, &fixture_fail));
    assert_ok(topic_see_entry("t", "max.message.bytes", "4194304", &t, &fixture_fail));
    assert_ok(topic_see_entry("t", "unclean.leader.election.enable", "true", &t, &fixture_fail));
    assert_ok(topic_see_entry("t", "cleanup.policy", "delete", &t, &fixture_fail));
    assert_ok(topic_see_entry("t", "message.timestamp.type", "LogAppendTime", &t, &fixture_fail));
    assert_false(t.has_writers_time);
    assert_ok(topic_see_entry("t", "message.timestamp.type", "CreateTime", &t, &fixture_fail));
    assert_true(t.has_writers_time);
    assert_int_equal(t.in_sync, 2);
    assert_int_equal(t.message_max_bytes, 4194304);
    assert_true(t.is_unclean);
    assert_int_equal(topic_see_entry("t", "cleanup.policy", "compact,delete", &t, &fixture_fail),
                     ERR_SETTING);
    assert_true(says("compaction would drop points"));
}

/* A leader that is away at the start is waited for. */
static void *heal(void *arg)
{
    (void)arg;
    usleep(300000);
    rd_kafka_mock_partition_set_leader(kafkatest.cluster, "t", 2, 1);
    return NULL;
}

static void test_leaders_are_waited_for(void **state)
{
    struct kafka_topic t;
    pthread_t thread;

    (void)state;
    assert_int_equal(rd_kafka_mock_partition_set_leader(kafkatest.cluster, "t", 2, -1), 0);
    assert_int_equal(pthread_create(&thread, NULL, heal, NULL), 0);
    assert_ok(kafka_topic_look(&fixture_settings, &t, &fixture_fail));
    pthread_join(thread, NULL);
    assert_int_equal(t.partitions, KAFKATEST_PARTITIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_topic_is_looked_over, kafkatest_set_up,
                                        kafkatest_tear_down),
        cmocka_unit_test_setup_teardown(test_more_partitions_than_a_mask_has_bits_are_refused,
                                        kafkatest_set_up, kafkatest_tear_down),
        cmocka_unit_test_setup_teardown(test_configurations_are_judged, kafkatest_set_up,
                                        kafkatest_tear_down),
        cmocka_unit_test_setup_teardown(test_leaders_are_waited_for, kafkatest_set_up,
                                        kafkatest_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
