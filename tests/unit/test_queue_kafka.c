/* queue_kafka: names, marks that others move, questions, the backlog. */
#include "ingest/queue_kafka.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"

static struct queue *queue;

static int set_up(void **state)
{
    assert_int_equal(kafkatest_set_up(state), 0);
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    return 0;
}

static int tear_down(void **state)
{
    queue_stop(queue);
    queue_close(queue);
    return kafkatest_tear_down(state);
}

/* The run of what append appends. */
static struct str fixture_run(void)
{
    static struct batch b;
    struct point memory[5];

    b = fixture_batch(memory, 5, 1, 0);
    return run_id_str(&b.run);
}

static pos_t append(unsigned *partition)
{
    struct point memory[5];
    struct batch b = fixture_batch(memory, 5, 1, 0);
    pos_t end;

    *partition = queue_partition_of(queue, run_id_str(&b.run));
    assert_ok(queue_append(queue, 0, &b, &end, &fixture_fail));
    wait_for(queue_outcome(queue, end) == QUEUE_DURABLE);
    return end;
}

/* All pods of a topic share the rows of sluice.positions, and those of another topic do not. */
static void test_the_name_is_the_topics(void **state)
{
    char first[QUEUE_ID_BYTES + 1];
    struct queue *second;

    (void)state;
    strcpy(first, queue_id(queue));
    fixture_settings.flushers = 0; /* the first has the directory */
    assert_ok(queue_open(&fixture_settings, 0, fixture_stats, &second, &fixture_fail));
    assert_string_equal(queue_id(second), first);
    queue_stop(second);
    queue_close(second);
    assert_int_equal(rd_kafka_mock_topic_create(kafkatest.cluster, "u", 1, 1), 0);
    fixture_settings.kafka_topic = "u";
    fixture_settings.flushers = 0; /* the first has the directory */
    assert_ok(queue_open(&fixture_settings, 0, fixture_stats, &second, &fixture_fail));
    assert_string_not_equal(queue_id(second), first);
    queue_stop(second);
    queue_close(second);
}

static void test_what_others_commit_moves_the_marks_and_rings(void **state)
{
    struct inbox inbox;
    unsigned p;
    pos_t end;

    (void)state;
    assert_int_equal(inbox_init(&inbox), 0);
    queue_subscribe(queue, &inbox);
    end = append(&p);
    inbox_clear(&inbox);
    assert_true(queue_committed(queue, p) < end);
    assert_int_equal(queue_backlog_points(queue), 5);
    unsigned at;
    pos_t pos;

    /* As flushers count, and as others are told: the offset behind it. */
    assert_true(queue_place(queue, fixture_run(), end, &at, &pos));
    assert_int_equal(at, p);
    assert_int_equal(pos, 1);
    assert_int_equal(queue_flushed(queue, p), 0);
    queue_hurry_to(queue, p, pos);
    assert_int_equal(atomic_load(&((struct kafka_queue *)(void *)queue)->parts[p].hurry), 1);
    queue_hurry_to(queue, QUEUE_PARTITIONS_MAX, pos); /* a partition that is none */
    for (unsigned other = 0; other < KAFKATEST_PARTITIONS; other++)
        queue_see_committed(queue, other, other == p ? 1 : 0);
    assert_true(inbox_wait(&inbox, clock_us() + DEADLINE_US));
    assert_int_equal(queue_committed(queue, p), end);
    assert_int_equal(queue_committed_all(queue), end);
    assert_int_equal(queue_flushed(queue, p), 1);
    assert_int_equal(queue_backlog_points(queue), 0);
    queue_see_committed(queue, QUEUE_PARTITIONS_MAX, 1); /* a partition that nobody reads */
    inbox_fini(&inbox);
}

static void test_the_age_is_that_of_what_is_behind(void **state)
{
    unsigned p;

    (void)state;
    append(&p);
    queue_see_committed(queue, p, 0);
    wait_for(queue_backlog_us(queue) > 1000);
    append(&p);
    queue_see_committed(queue, p, 1); /* the second is younger than the first was */
    uint64_t begin = clock_us();

    wait_for(queue_backlog_us(queue) > 0);
    assert_true(queue_backlog_us(queue) <= clock_us() - begin + 1000);
    queue_see_committed(queue, p, 2);
    assert_int_equal(queue_backlog_us(queue), 0);
}

static void test_a_read_that_waits_asks_the_question(void **state)
{
    uint64_t begin = clock_us();

    (void)state;
    queue_await_question(queue, begin + 50000);
    assert_true(clock_us() >= begin + 50000);
    queue_hurry(queue, QUEUE_PARTITIONS_MAX);
    begin = clock_us();
    queue_await_question(queue, begin + DEADLINE_US);
    queue_await_question(queue, begin + DEADLINE_US); /* and again, after a short while */
    assert_true(clock_us() < begin + DEADLINE_US / 2);
    queue_wake_question(queue);
    queue_await_question(queue, begin + DEADLINE_US);
}

static void test_a_flusher_only_accepts_nothing(void **state)
{
    struct point memory[1];
    struct batch b = fixture_batch(memory, 1, 1, 0);
    struct queue *second;
    pos_t end;

    (void)state;
    fixture_settings.flushers = 0; /* the first has the directory */
    assert_ok(queue_open(&fixture_settings, 0, fixture_stats, &second, &fixture_fail));
    assert_int_equal(queue_append(second, 0, &b, &end, &fixture_fail), ERR_CLOSING);
    assert_int_equal(queue_headroom(second, 1, &fixture_fail), ERR_CLOSING);
    assert_true(queue_is_healthy(second));
    assert_int_equal(queue_backlog_points(second), 0);
    queue_stop(second);
    queue_close(second);
}

static void test_a_setting_that_is_unknown_opens_nothing(void **state)
{
    struct queue *second;

    (void)state;
    kafkatest_pass("no.such", "1");
    assert_int_equal(queue_open(&fixture_settings, 0, fixture_stats, &second, &fixture_fail),
                     ERR_SETTING);
    assert_null(second);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_the_name_is_the_topics),
        TEST(test_what_others_commit_moves_the_marks_and_rings),
        TEST(test_the_age_is_that_of_what_is_behind),
        TEST(test_a_read_that_waits_asks_the_question),
        TEST(test_a_flusher_only_accepts_nothing),
        TEST(test_a_setting_that_is_unknown_opens_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
