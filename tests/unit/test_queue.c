/* queue: the setting chooses who answers, and both answer to the same calls. */
#include "ingest/queue.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"

static struct queue *queue;

static void open_and_append(const char *kind)
{
    struct point memory[3];
    struct batch b = fixture_batch(memory, 3, 1, 0);
    struct inbox inbox;
    pos_t end;

    assert_int_equal(inbox_init(&inbox), 0);
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    assert_string_equal(queue_kind(queue), kind);
    assert_int_equal(strlen(queue_id(queue)), QUEUE_ID_BYTES);
    queue_subscribe(queue, &inbox);
    assert_ok(queue_headroom(queue, 100, &fixture_fail));
    assert_ok(queue_append(queue, 0, &b, &end, &fixture_fail));
    assert_int_equal(queue_appended(queue), end);
    /* The ring comes with the report, or just before it. */
    while (queue_outcome(queue, end) == QUEUE_PENDING)
        assert_true(inbox_wait(&inbox, clock_us() + DEADLINE_US));
    assert_int_equal(queue_outcome(queue, end), QUEUE_DURABLE);
    assert_int_equal(queue_durable(queue), end);
    assert_true(queue_committed_all(queue) < end);
    assert_int_equal(queue_backlog_points(queue), 3);
    assert_true(queue_is_healthy(queue));
    queue_stop(queue);
    assert_int_equal(queue_append(queue, 0, &b, &end, &fixture_fail), ERR_CLOSING);
    assert_int_equal(queue_headroom(queue, 1, &fixture_fail), ERR_CLOSING);
    queue_close(queue);
    inbox_fini(&inbox);
}

static void test_the_journal(void **state)
{
    (void)state;
    open_and_append("journal");
}

static void test_kafka(void **state)
{
    (void)state;
    open_and_append("kafka");
}

/* The hash is part of the stored format of both. */
static void test_runs_keep_their_partition(void **state)
{
    struct str run = STR("ffffffffffffffffffffffffffffffff");

    (void)state;
    assert_int_equal(queue_partition(run), 7);
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    assert_true(queue_is_shared(queue) && !queue_is_ordered(queue));
    assert_int_equal(queue_partition_of(queue, run), 3); /* of four */
    queue_stop(queue);
    queue_close(queue);
    fixture_settings.queue = "journal";
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    assert_true(!queue_is_shared(queue) && queue_is_ordered(queue));
    assert_int_equal(queue_partition_of(queue, run), 7);
    queue_stop(queue);
    queue_close(queue);
    queue_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_journal, fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_kafka, kafkatest_set_up, kafkatest_tear_down),
        cmocka_unit_test_setup_teardown(test_runs_keep_their_partition, kafkatest_set_up,
                                        kafkatest_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
