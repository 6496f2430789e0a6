/* kafka_group: partitions that come and go. */
#include "ingest/kafka_group.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"
#include "tests/unit/kafka_scene.h"

static int set_up_all(void **state)
{
    return kafkatest_open_scenes(state, 2);
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
        assert_ok(queue_take(second, take_until(1000, clock_us() + 20000), &other, &fixture_fail));
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
