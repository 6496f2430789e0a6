/* kafka_reader: takes, positions, what is held and what is astray. */
#include "ingest/kafka_reader.c"

#include "tests/unit/queue_fixture.h"
#include "tests/unit/kafkatest.h"
#include "tests/unit/kafka_scene.h"

static int set_up_all(void **state)
{
    return kafkatest_open_scenes(state, 9);
}

static pos_t append(unsigned run, uint32_t points)
{
    static struct point memory[1000];
    struct batch b = fixture_batch(memory, points, run, 0);
    pos_t end;

    assert_ok(queue_append(queue, 0, &b, &end, &fixture_fail));
    wait_for(queue_outcome(queue, end) == QUEUE_DURABLE);
    return end;
}

static void await_partitions(void)
{
    wait_for((take_once(1000, 50000), take.mask == ALL && !take.has_moved));
}

static void test_entries_come_with_their_offsets_and_cursors(void **state)
{
    uint64_t points = 0;
    size_t entries = 0;
    pos_t next[KAFKATEST_PARTITIONS] = {0};
    pos_t end = 0;

    (void)state;
    for (unsigned run = 0; run < 40; run++)
        end = append(run, 3);
    while (entries < 40) {
        take_once(1000, 50000);
        for (size_t i = 0; i < take.count; i++) {
            const struct entry *e = &take.entries[i];

            assert_int_equal(e->pos, next[e->partition]);
            assert_int_equal(e->end, e->pos + 1);
            next[e->partition] = e->end;
            points += record_points(e->payload, e->version);
        }
        entries += take.count;
        for (unsigned p = 0; p < KAFKATEST_PARTITIONS && take.mask == ALL; p++)
            assert_int_equal(take.cursors[p], next[p]);
    }
    assert_int_equal(entries, 40);
    assert_int_equal(points, 120);
    assert_true(queue_committed_all(queue) < end);
    wait_for((take_once(1000, 10000), queue_backlog_points(queue) == 120));
    assert_true(queue_backlog_us(queue) > 0);
    queue_commit_each(reader, take.cursors, points);
    assert_true(queue_committed_all(queue) == end);
    assert_int_equal(queue_backlog_points(queue), 0);
    assert_int_equal(queue_backlog_us(queue), 0);
    assert_int_equal(atomic_load(&fixture_stats->kafka_partitions), KAFKATEST_PARTITIONS);
}

static void test_a_take_is_bounded_and_says_that_there_is_more(void **state)
{
    (void)state;
    await_partitions();
    for (unsigned i = 0; i < 20; i++)
        append(1, 100);
    wait_for((take_once(500, 100000), take.count > 0));
    assert_true(take.count <= 5);
    assert_true(take.has_more);
}

/* PostgreSQL knows more than the topic's start: what lies before is not handed out again. */
static void test_it_begins_at_the_stored_position(void **state)
{
    struct str id = STR("00000000000000000000000000000001");
    unsigned p = queue_partition_of(queue, id);

    (void)state;
    for (unsigned i = 0; i < 10; i++)
        append(1, 1);
    from[p] = 7;
    wait_for((take_once(1000, 50000), take.count > 0));
    assert_int_equal(take.count, 3);
    assert_int_equal(take.entries[0].pos, 7);
    assert_true(tickets_committed(kafka_->tickets, p) < tickets_end(kafka_->tickets));
}

static void test_what_is_not_ours_has_version_zero_and_a_newer_record_holds(void **state)
{
    (void)state;
    kafkatest_produce(0, STR("what is this?"));
    kafkatest_produce(1, STR("SL\x02\x00of tomorrow"));
    kafkatest_produce(1, STR("SL\x01\x00of today"));
    size_t seen = 0;

    while (!(take.mask == ALL && seen == 1)) {
        take_once(1000, 50000);
        for (size_t i = 0; i < take.count; i++, seen++) {
            assert_int_equal(take.entries[i].partition, 0);
            assert_int_equal(take.entries[i].version, 0);
            assert_true(str_eq(take.entries[i].payload, STR("what is this?")));
        }
    }
    wait_for((take_once(1000, 10000), atomic_load(&kafka_->held) == 2));
    assert_int_equal(take.cursors[1], 0);
    assert_int_equal(atomic_load(&fixture_stats->kafka_held_partitions), 1);
    /* Whatever comes behind it waits, and the others go on. */
    kafkatest_produce(0, STR("more"));
    wait_for((take_once(1000, 50000), take.count > 0));
    assert_int_equal(take.entries[0].partition, 0);
    assert_int_equal(take.cursors[1], 0);
}

static void test_a_position_behind_the_end_holds(void **state)
{
    struct str id = STR("00000000000000000000000000000001");
    unsigned p = queue_partition_of(queue, id);

    (void)state;
    append(1, 1);
    from[p] = 1000;
    wait_for((take_once(1000, 50000), atomic_load(&kafka_->held) == (uint64_t)1 << p));
    append(1, 1);
    take_once(1000, 300000);
    assert_int_equal(take.count, 0);
    assert_int_equal(take.cursors[p], 1000);
    assert_int_equal(atomic_load(&fixture_stats->kafka_expired), 0);
}

/* The mock cluster keeps 5 MiB of a partition, which is its retention. */
static void test_what_retention_removed_is_counted_and_passed_over(void **state)
{
    static char bytes[400000];
    struct str value = {bytes, sizeof(bytes)};
    size_t seen = 0;
    pos_t first;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 2654435761u >> 13); /* nothing that compresses */
    for (unsigned i = 0; i < 20; i++)
        kafkatest_produce(2, value);
    wait_for((take_once(1000, 50000), take.count > 0));
    first = take.entries[0].pos;
    assert_in_range(first, 5, 15);
    /* another may have to find it */
    assert_int_equal(atomic_load(&fixture_stats->kafka_expired), 0);
    for (seen = take.count; seen < 20 - first; seen += take.count)
        take_once(1000, 50000);
    assert_int_equal(take.cursors[2], 20);
    assert_int_equal(atomic_load(&kafka_->held), 0);
    assert_true(take.has_gap); /* until the positions are past it */
    queue_commit_each(reader, take.cursors, 0);
    assert_int_equal(atomic_load(&fixture_stats->kafka_expired), first);
    take_once(1000, 1000);
    assert_false(take.has_gap);
    queue_commit_each(reader, take.cursors, 0);
    assert_int_equal(atomic_load(&fixture_stats->kafka_expired), first);
    /* It is read on. */
    kafkatest_produce(2, STR("more"));
    wait_for((take_once(1000, 50000), take.count > 0));
    assert_int_equal(take.entries[0].pos, 20);
}

static void test_a_hurry_ends_the_take(void **state)
{
    uint64_t begin;
    pos_t end;

    (void)state;
    await_partitions();
    end = append(1, 1);
    begin = clock_us();
    queue_hurry(queue, QUEUE_PARTITIONS_MAX);
    take_once(1000, DEADLINE_US);
    assert_true(clock_us() - begin < DEADLINE_US / 2);
    assert_true(take.is_hurried);
    assert_int_equal(take.count, 1);
    queue_commit_each(reader, take.cursors, 1);
    assert_true(queue_committed_all(queue) >= end);
    /* Nobody waits for what is handed out already. */
    take_once(1000, 10000);
    assert_false(take.is_hurried);
    queue_reader_wake(reader);
    take_once(1000, DEADLINE_US);
    assert_int_equal(take.count, 0);
}

/* What was fetched before a seek must not make it pass over what lies between. */
static void test_a_gap_is_asked_about_once(void **state)
{
    struct kafka_reader *r = &alone;
    char bytes[] = "SL\x01\x00rest";
    rd_kafka_message_t m = {.partition = 2, .offset = 9, .payload = bytes, .len = 8};

    (void)state;
    r->owned = ALL;
    r->cursors[2] = 4;
    reader_keep(r, &m);
    assert_int_equal(r->count, 0);
    assert_int_equal(r->cursors[2], 4);
    assert_int_equal(r->astray, 4);
    r->astray = 0; /* as reader_find leaves it, after seeking to 4 */
    m.offset = 4;
    reader_keep(r, &m);
    assert_int_equal(r->cursors[2], 5);
    m.offset = 9;
    reader_keep(r, &m);
    assert_int_equal(r->cursors[2], 5);
    r->astray = 0;
    reader_keep(r, &m); /* the same answer again: the log has a gap */
    assert_int_equal(r->cursors[2], 10);
    assert_int_equal(r->count, 2);
}

static void test_a_closed_queue_hands_out_nothing(void **state)
{
    (void)state;
    append(1, 1);
    await_partitions();
    queue_stop(queue);
    take_once(1000, DEADLINE_US);
    assert_int_equal(take.count, 0);
    assert_false(take.has_more);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_entries_come_with_their_offsets_and_cursors),
        TEST(test_a_take_is_bounded_and_says_that_there_is_more),
        TEST(test_it_begins_at_the_stored_position),
        TEST(test_what_is_not_ours_has_version_zero_and_a_newer_record_holds),
        TEST(test_a_position_behind_the_end_holds),
        TEST(test_what_retention_removed_is_counted_and_passed_over),
        TEST(test_a_hurry_ends_the_take),
        cmocka_unit_test_setup_teardown(test_a_gap_is_asked_about_once, set_up_alone,
                                        tear_down_alone),
        TEST(test_a_closed_queue_hands_out_nothing),
    };

    return cmocka_run_group_tests(tests, set_up_all, kafkatest_close_scenes);
}
