/* kafka_group: partitions that come and go. */
#include "ingest/kafka_group.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"

#define ALL 0xf /* the topic's partitions */

static struct queue *queue;
static struct kafka_queue *kafka_;
static struct queue_reader *reader;
static pos_t from[QUEUE_PARTITIONS_MAX];
static struct take take;
static uint64_t until_us; /* of the test under way */

static int set_up_all(void **state)
{
    return kafkatest_open_scenes(state, 2);
}

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
    assert_ok(queue_take(reader, max_points, clock_us() + wait_us, &take, &fixture_fail));
    if (take.has_moved)
        assert_ok(queue_reader_begin(reader, from, &fixture_fail));
}

static void await_partitions(void)
{
    wait_for((take_once(1000, 50000), take.mask == ALL && !take.has_moved));
}

/* A second reader takes half of the partitions away, and what was gathered of them is dropped. */
static void test_partitions_go_to_another_and_come_back(void **state)
{
    struct queue_reader *second;
    struct take other;
    uint64_t until;

    (void)state;
    await_partitions();
    assert_ok(queue_reader_open(queue, 0, from, &second, &fixture_fail));
    until = clock_us() + 2 * DEADLINE_US;
    do {
        assert_true(clock_us() < until);
        take_once(1000, 20000);
        assert_ok(queue_take(second, 1000, clock_us() + 20000, &other, &fixture_fail));
        if (other.has_moved)
            assert_ok(queue_reader_begin(second, from, &fixture_fail));
    } while (!(take.mask && other.mask && (take.mask | other.mask) == ALL && !take.has_moved &&
               !other.has_moved));
    assert_int_equal(take.mask & other.mask, 0);
    queue_reader_close(second);
    until = clock_us() + 2 * DEADLINE_US;
    do {
        assert_true(clock_us() < until);
        take_once(1000, 20000);
    } while (take.mask != ALL || take.has_moved);
}

static void test_what_was_gathered_of_a_partition_that_goes_is_dropped(void **state)
{
    struct kafka_reader *r = &alone;
    struct entry entries[4] = {
        {.partition = 0}, {.partition = 1}, {.partition = 0, .pos = 1}, {.partition = 2}};

    (void)state;
    r->owned = ALL;
    r->cap = r->count = 4;
    r->entries = malloc(sizeof(entries));
    assert_non_null(r->entries);
    memcpy(r->entries, entries, sizeof(entries));
    r->cursors[0] = r->cursors[1] = 2;
    group_forget(r, 1);
    assert_int_equal(r->cursors[0], 0); /* no position follows what was not applied */
    assert_int_equal(r->cursors[1], 2);
    assert_int_equal(r->count, 2);
    assert_int_equal(r->entries[0].partition, 1);
    assert_int_equal(r->entries[1].partition, 2);
    assert_int_equal(r->owned, ALL & ~1);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_partitions_go_to_another_and_come_back),
        cmocka_unit_test_setup_teardown(test_what_was_gathered_of_a_partition_that_goes_is_dropped,
                                        set_up_alone, tear_down_alone),
    };

    return cmocka_run_group_tests(tests, set_up_all, kafkatest_close_scenes);
}
