/*
 * kafka_scene: a reader on the mock cluster, as the tests of the flushers' side of Kafka have it.
 *
 * Included after kafkatest.h by one of the files kafka_group.c and kafka_reader.c are tested by.
 */
#ifndef TESTS_UNIT_KAFKA_SCENE_H
#define TESTS_UNIT_KAFKA_SCENE_H

#define ALL 0xf /* the topic's partitions */

static struct queue *queue;
static struct kafka_queue *kafka_;
static struct queue_reader *reader;
static pos_t from[QUEUE_PARTITIONS_MAX];
static struct take take;
static uint64_t until_us; /* of the test under way */

static int set_up(void **state)
{
    (void)state;
    memset(from, 0, sizeof(from));
    memset(&take, 0, sizeof(take));
    until_us = clock_us() + 3 * DEADLINE_US;
    kafkatest_take_scene(&queue, &reader);
    kafka_ = (struct kafka_queue *)(void *)queue;
    return 0;
}

/* A reader of no group, for what needs no messages. */
static struct kafka_reader alone;

static int set_up_alone(void **state)
{
    assert_int_equal(set_up(state), 0);
    memset(&alone, 0, sizeof(alone));
    alone.queue = kafka_;
    arena_init(&alone.arena, 4096);
    return 0;
}

static int tear_down_alone(void **state)
{
    (void)state;
    arena_fini(&alone.arena);
    free(alone.entries);
    return 0;
}

/* One take, as a flusher makes it: partitions that have moved begin at `from`. */
static void take_once(uint64_t max_points, uint64_t wait_us)
{
    assert_true(clock_us() < until_us);
    assert_ok(queue_take(reader, take_until(max_points, clock_us() + wait_us), &take, &fixture_fail));
    if (take.has_moved)
        assert_ok(queue_reader_begin(reader, from, &fixture_fail));
}

#endif
