/* queue_reader: each entry of its partitions once, from memory or files, and marks that follow. */
#include "ingest/queue_reader.c"

#include <pthread.h>

#include "tests/unit/queue_fixture.h"

#include "tests/unit/bad_disk.h"

#define ALL_PARTITIONS (((uint64_t)1 << QUEUE_PARTITIONS) - 1)

static struct queue *queue;
static struct queue_reader *reader;
static struct take take;

static int set_up(void **state)
{
    fixture_set_up(state);
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    reader = NULL;
    return 0;
}

static int tear_down(void **state)
{
    queue_reader_close(reader);
    queue_stop(queue);
    queue_close(queue);
    return fixture_tear_down(state);
}

static void reopen_queue(void)
{
    queue_reader_close(reader);
    reader = NULL;
    queue_stop(queue);
    queue_close(queue);
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
}

/* All partitions from the same place. */
static void open_reader(uint64_t mask, pos_t pos)
{
    pos_t from[QUEUE_PARTITIONS];

    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        from[p] = pos;
    assert_ok(queue_reader_open(queue, mask, from, &reader, &fixture_fail));
}

static pos_t append(uint32_t points, unsigned run, int64_t serial)
{
    static struct point memory[1000];
    struct batch b = fixture_batch(memory, points, run, serial);
    pos_t end = 0;
    err_t e = OK;

    while ((e = queue_append(queue, 0, &b, &end, &fixture_fail)) == ERR_BUSY)
        usleep(100);
    assert_ok(e);
    return end;
}

static void wait_durable(void)
{
    wait_for(queue_durable(queue) == queue_appended(queue));
}

static void take_now(uint64_t max_points)
{
    assert_ok(queue_take(reader, take_until(max_points, clock_us()), &take, &fixture_fail));
}

static int64_t serial_of(const struct entry *e)
{
    struct arena a;
    struct batch b;

    arena_init(&a, 4096);
    assert_ok(record_decode(e->payload, e->version, &a, &b, &fixture_fail));
    int64_t serial = b.points[0].step;

    arena_fini(&a);
    return serial;
}

static void test_takes_stop_at_the_points_asked_for(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        append(10, 1, i);
    wait_durable();
    open_reader(ALL_PARTITIONS, 0);
    take_now(25);
    assert_int_equal(take.count, 3);
    assert_true(take.has_more);
    assert_int_equal(take.cursor, take.entries[2].end);
    take_now(1000);
    assert_int_equal(take.count, 7);
    assert_false(take.has_more);
    for (int i = 0; i < 7; i++)
        assert_int_equal(serial_of(&take.entries[i]), 3 + i);
    take_now(1000);
    assert_int_equal(take.count, 0);
    assert_false(take.is_hurried);
}

static void test_only_the_mask_is_handed_out(void **state)
{
    (void)state;
    unsigned seen[2] = {0, 0};

    for (unsigned run = 0; run < 100; run++)
        append(1, run, run);
    wait_durable();
    for (int half = 0; half < 2; half++) {
        open_reader(half ? 0xff00 : 0x00ff, 0);
        take_now(1000);
        seen[half] = (unsigned)take.count;
        for (size_t i = 0; i < take.count; i++)
            assert_int_equal(take.entries[i].partition >= 8, half);
        assert_int_equal(take.cursor, queue_appended(queue));
        queue_commit(reader, take.cursor, take.count);
        assert_int_equal(queue_committed(queue, half ? 15 : 0), take.cursor);
        queue_reader_close(reader);
        reader = NULL;
    }
    assert_int_equal(seen[0] + seen[1], 100);
    assert_true(seen[0] > 20 && seen[1] > 20);
    assert_int_equal(queue_committed_all(queue), queue_appended(queue));
    assert_int_equal(queue_backlog_points(queue), 0);
}

/* Far more than the ring holds, so nearly all of it must come from segment files. */
static void test_what_left_the_ring_comes_from_files(void **state)
{
    (void)state;
    int64_t next = 0;

    for (int i = 0; i < 2000; i++)
        append(200, 1, i);
    wait_durable();
    assert_true(atomic_load(&fixture_stats->journal_segments) > 5);
    assert_int_equal(queue_backlog_points(queue), 400000);
    open_reader(ALL_PARTITIONS, 0);
    do {
        take_now(10000);
        for (size_t i = 0; i < take.count; i++)
            assert_int_equal(serial_of(&take.entries[i]), next++);
        queue_commit(reader, take.cursor, take.count * 200);
    } while (take.has_more);
    assert_int_equal(next, 2000);
    assert_int_equal(queue_backlog_points(queue), 0);
    wait_for(atomic_load(&fixture_stats->journal_segments) == 1);
    /* And on in memory. */
    append(1, 1, next);
    wait_durable();
    take_now(1);
    assert_int_equal(serial_of(&take.entries[0]), next);
}

static void test_replay_hands_out_what_was_not_committed(void **state)
{
    (void)state;
    pos_t middle = 0;
    int64_t next = 700;

    for (int i = 0; i < 1000; i++) {
        pos_t end = append(100, (unsigned)i % 5, i);

        if (i == 699)
            middle = end;
    }
    reopen_queue();
    assert_int_equal(queue_backlog_points(queue), 100000);
    open_reader(ALL_PARTITIONS, middle);
    do {
        take_now(5000);
        for (size_t i = 0; i < take.count; i++)
            assert_int_equal(serial_of(&take.entries[i]), next++);
        queue_commit(reader, take.cursor, take.count * 100);
    } while (take.has_more);
    assert_int_equal(next, 1000);
    assert_int_equal(queue_backlog_points(queue), 0);
    assert_int_equal(queue_committed_all(queue), queue_appended(queue));
}

static void test_committed_points_leave_the_backlog_before_all_is_flushed(void **state)
{
    (void)state;
    pos_t middle = 0;

    for (int i = 0; i < 1000; i++) {
        pos_t end = append(100, 1, i);

        if (i == 699)
            middle = end;
    }
    reopen_queue();
    open_reader(ALL_PARTITIONS, middle);
    /* Whole segments at once, the rest when the first take has come past it. */
    assert_true(queue_backlog_points(queue) < 100000);
    take_now(1);
    assert_int_equal(queue_backlog_points(queue), 30000);
    assert_int_equal(serial_of(&take.entries[0]), 700);
}

/* The connection was lost in the middle of a commit, which had gone through. */
static void test_a_second_open_learns_what_was_committed_meanwhile(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++)
        append(10, 1, i);
    wait_durable();
    open_reader(ALL_PARTITIONS, 0);
    take_now(30);
    pos_t committed = take.cursor;

    queue_reader_close(reader);
    open_reader(ALL_PARTITIONS, committed);
    take_now(30);
    assert_int_equal(serial_of(&take.entries[0]), 3);
    assert_int_equal(queue_backlog_points(queue), 70);
    /* And this one had not. */
    queue_reader_close(reader);
    open_reader(ALL_PARTITIONS, committed);
    take_now(1000);
    assert_int_equal(take.count, 7);
    assert_int_equal(serial_of(&take.entries[0]), 3);
    queue_commit(reader, take.cursor, 70);
    assert_int_equal(queue_backlog_points(queue), 0);
}

static void test_partitions_may_have_come_to_different_places(void **state)
{
    (void)state;
    pos_t from[QUEUE_PARTITIONS];
    pos_t ends[200];
    unsigned partitions[200];
    unsigned want = 0;

    for (unsigned i = 0; i < 200; i++) {
        char id[LIMIT_RUN_ID + 1];

        ends[i] = append(1, i, i);
        snprintf(id, sizeof(id), "%032x", i);
        partitions[i] = queue_partition(str_of(id));
    }
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        from[p] = p % 3 == 0 ? 0 : ends[p * 10];
    for (unsigned i = 0; i < 200; i++)
        want += ends[i] > from[partitions[i]];
    reopen_queue();
    assert_ok(queue_reader_open(queue, ALL_PARTITIONS, from, &reader, &fixture_fail));
    take_now(1000);
    assert_int_equal(take.count, want);
    for (size_t i = 0; i < take.count; i++)
        assert_true(take.entries[i].pos >= from[take.entries[i].partition]);
    assert_int_equal(queue_backlog_points(queue), want);
}

static void test_a_database_ahead_of_the_journal_is_refused(void **state)
{
    (void)state;
    pos_t from[QUEUE_PARTITIONS] = {[3] = UINT64_MAX / 2};

    assert_int_equal(queue_reader_open(queue, ALL_PARTITIONS, from, &reader, &fixture_fail),
                     ERR_CORRUPT);
    assert_null(reader);
    assert_non_null(strstr(fixture_fail.small, "partition 3"));
    /* Another flusher's partitions are not its business. */
    assert_ok(queue_reader_open(queue, 1, from, &reader, &fixture_fail));
}

static void test_an_empty_take_ends_at_its_deadline_and_moves_the_marks(void **state)
{
    (void)state;
    uint64_t deadline = 0;

    /* Run 1 is not in the partitions of this reader. */
    append(1, 1, 0);
    wait_durable();
    unsigned other =
        (queue_partition(STR("00000000000000000000000000000001")) + 1) % QUEUE_PARTITIONS;

    open_reader((uint64_t)1 << other, 0);
    deadline = clock_us() + 30000;
    assert_ok(queue_take(reader, take_until(10, deadline), &take, &fixture_fail));
    assert_true(clock_us() >= deadline);
    assert_int_equal(take.count, 0);
    assert_int_equal(queue_committed(queue, other), queue_appended(queue));
}

static void test_marks_wait_for_what_was_handed_out(void **state)
{
    (void)state;
    append(1, 1, 0);
    wait_durable();
    open_reader(ALL_PARTITIONS, 0);
    take_now(10);
    assert_int_equal(take.count, 1);
    pos_t handed_out = take.cursor;

    take_now(10);
    assert_int_equal(take.count, 0);
    assert_true(queue_committed_all(queue) < handed_out);
    queue_commit(reader, handed_out, 1);
    assert_int_equal(queue_committed_all(queue), handed_out);
}

/* What a worker does while the flusher sleeps. */
static void *hurry_soon(void *data)
{
    const unsigned *partition = data;

    usleep(20000);
    queue_hurry(queue, *partition);
    return NULL;
}

static void test_a_hurry_ends_the_wait(void **state)
{
    (void)state;
    unsigned partition = queue_partition(STR("00000000000000000000000000000001"));
    pthread_t thread;

    open_reader(ALL_PARTITIONS, 0);
    for (unsigned round = 0; round < 2; round++) {
        unsigned asked = round ? QUEUE_PARTITIONS : partition;
        uint64_t begin = clock_us();

        append(1, 1, round);
        assert_int_equal(pthread_create(&thread, NULL, hurry_soon, &asked), 0);
        assert_ok(queue_take(reader, take_until(1000, begin + DEADLINE_US), &take, &fixture_fail));
        pthread_join(thread, NULL);
        assert_true(take.is_hurried);
        assert_int_equal(take.count, 1);
        assert_true(clock_us() < begin + DEADLINE_US / 2);
    }
    /* What was handed out already is on its way: nothing to hurry. */
    queue_hurry(queue, partition);
    take_now(1000);
    assert_false(take.is_hurried);
}

/* The entry that somebody waits for may not be durable yet when he asks. */
static void test_a_hurry_waits_for_the_sync_it_needs(void **state)
{
    (void)state;
    open_reader(ALL_PARTITIONS, 0);
    for (int i = 0; i < 200; i++) {
        uint64_t begin = clock_us();
        pos_t end = append(1, 1, i);

        queue_hurry(queue, QUEUE_PARTITIONS);
        assert_ok(queue_take(reader, take_until(1000, begin + DEADLINE_US), &take, &fixture_fail));
        assert_true(clock_us() < begin + DEADLINE_US / 2);
        assert_int_equal(take.cursor, end);
        queue_commit(reader, take.cursor, take.count);
    }
}

static void *wake_soon(void *data)
{
    usleep(20000);
    queue_reader_wake(data);
    return NULL;
}

static void test_a_wake_ends_the_wait(void **state)
{
    (void)state;
    pthread_t thread;
    uint64_t begin = clock_us();

    open_reader(ALL_PARTITIONS, 0);
    assert_int_equal(pthread_create(&thread, NULL, wake_soon, reader), 0);
    assert_ok(queue_take(reader, take_until(1000, begin + DEADLINE_US), &take, &fixture_fail));
    pthread_join(thread, NULL);
    assert_true(clock_us() < begin + DEADLINE_US / 2);
    assert_int_equal(take.count, 0);
}

static void *append_soon(void *data)
{
    (void)data;
    for (int i = 0; i < 100; i++) {
        usleep(100);
        append(10, 1, i);
    }
    return NULL;
}

static void test_a_full_window_ends_the_wait(void **state)
{
    (void)state;
    pthread_t thread;
    uint64_t begin = clock_us();

    open_reader(ALL_PARTITIONS, 0);
    assert_int_equal(pthread_create(&thread, NULL, append_soon, NULL), 0);
    assert_ok(queue_take(reader, take_until(1000, begin + DEADLINE_US), &take, &fixture_fail));
    pthread_join(thread, NULL);
    assert_true(clock_us() < begin + DEADLINE_US / 2);
    assert_int_equal(take.count, 100);
}

/* What is there at the deadline is enough to wait a step for more; nothing comes, so it is one step. */
static void test_a_busy_take_goes_on_while_points_come(void **state)
{
    (void)state;
    uint64_t begin = clock_us();
    struct take_terms terms = {.max_points = 100000,
                               .deadline_us = begin,
                               .busy_points = 100,
                               .enough_points = 10000,
                               .busy_step_us = 30000,
                               .busy_deadline_us = begin + DEADLINE_US};

    for (int i = 0; i < 10; i++)
        append(10, 1, i);
    wait_durable();
    open_reader(ALL_PARTITIONS, 0);
    assert_ok(queue_take(reader, terms, &take, &fixture_fail));
    assert_int_equal(take.count, 10);
    assert_true(clock_us() >= begin + 30000);
    assert_true(clock_us() < begin + DEADLINE_US / 2);
    append(10, 1, 10);
    wait_durable();
    begin = clock_us();
    terms.deadline_us = begin;
    terms.busy_step_us = terms.busy_deadline_us = begin + DEADLINE_US;
    assert_ok(queue_take(reader, terms, &take, &fixture_fail));
    assert_int_equal(take.count, 1);
    assert_true(clock_us() < begin + DEADLINE_US / 2);
}

/* Damage that came after the start costs what it hit. */
static void test_damage_in_a_file_is_passed_over(void **state)
{
    (void)state;
    static char junk[30000];
    unsigned come = 0;
    int64_t last = -1;
    char name[SEGMENT_NAME];

    for (int i = 0; i < 2500; i++)
        append(200, 1, i);
    wait_durable();
    pos_t *bases = NULL;
    size_t count = 0;

    assert_ok(segment_list(queue->journal->dir, &bases, &count, &fixture_fail));
    assert_true(count > 3);
    memset(junk, 0x5a, sizeof(junk));
    segment_name(bases[1], name);
    int fd = openat(queue->journal->dir, name, O_WRONLY);

    assert_int_equal(pwrite(fd, junk, sizeof(junk), 300000), sizeof(junk));
    close(fd);
    segment_name(bases[2], name);
    assert_int_equal(unlinkat(queue->journal->dir, name, 0), 0);
    free(bases);
    open_reader(ALL_PARTITIONS, 0);
    do {
        take_now(10000);
        for (size_t i = 0; i < take.count; i++) {
            assert_true(serial_of(&take.entries[i]) > last);
            last = serial_of(&take.entries[i]);
            come++;
        }
    } while (take.has_more);
    assert_int_equal(last, 2499);
    assert_int_equal(take.cursor, queue_appended(queue));
    assert_true(come > 2500 - 450 && come < 2500 - 300);
}

/* The disk fails for a while, at the start and under the reader: no acked entry is passed over. */
static void test_a_transient_read_error_costs_nothing(void **state)
{
    (void)state;
    char name[SEGMENT_NAME];
    int64_t next = 0;
    unsigned refused = 0;
    pos_t *bases = NULL;
    size_t count = 0;

    for (int i = 0; i < 2500; i++)
        append(200, 1, i);
    wait_durable();
    assert_ok(segment_list(queue->journal->dir, &bases, &count, &fixture_fail));
    segment_name(bases[1], name);
    free(bases);
    bad_disk_begin(queue->journal->dir, name, 300000, 304096);
    reopen_queue();
    open_reader(ALL_PARTITIONS, 0);
    for (;;) {
        err_t e = queue_take(reader, take_until(10000, clock_us()), &take, &fixture_fail);

        if (e) {
            assert_int_equal(e, ERR_DISK);
            assert_non_null(strstr(fixture_fail.small, "tried again"));
            if (++refused == 3)
                bad_disk_end();
            continue;
        }
        for (size_t i = 0; i < take.count; i++)
            assert_int_equal(serial_of(&take.entries[i]), next++);
        queue_commit(reader, take.cursor, take.count * 200);
        if (!take.has_more)
            break;
    }
    assert_int_equal(refused, 3);
    assert_int_equal(next, 2500);
    assert_int_equal(fixture_files(".bad"), 0);
}

/* A page that holds nothing but what is committed does not stop what lies behind it. */
static void test_what_is_committed_need_not_be_readable(void **state)
{
    (void)state;
    char name[SEGMENT_NAME];
    int64_t next = 0;
    pos_t *bases = NULL;
    size_t count = 0;
    pos_t committed = 0;
    pos_t ends[2500];

    for (int i = 0; i < 2500; i++)
        ends[i] = append(200, 1, i);
    wait_durable();
    assert_ok(segment_list(queue->journal->dir, &bases, &count, &fixture_fail));
    segment_name(bases[1], name);
    while (ends[next] < bases[1] + 400000)
        next++;
    committed = ends[next++];
    free(bases);
    bad_disk_begin(queue->journal->dir, name, 300000, 304096);
    reopen_queue();
    open_reader(ALL_PARTITIONS, committed);
    do {
        take_now(10000);
        for (size_t i = 0; i < take.count; i++)
            assert_int_equal(serial_of(&take.entries[i]), next++);
        queue_commit(reader, take.cursor, take.count * 200);
    } while (take.has_more);
    assert_int_equal(next, 2500);
    bad_disk_end();
}

/* But one that holds anything else does, also when it begins with what is committed. */
static void test_a_page_that_is_half_committed_is_waited_for(void **state)
{
    (void)state;
    char name[SEGMENT_NAME];
    int64_t next = 0;
    pos_t *bases = NULL;
    size_t count = 0;
    pos_t ends[2500];

    for (int i = 0; i < 2500; i++)
        ends[i] = append(200, 1, i);
    wait_durable();
    assert_ok(segment_list(queue->journal->dir, &bases, &count, &fixture_fail));
    segment_name(bases[1], name);
    while (ends[next] < bases[1] + 300000)
        next++;
    bad_disk_begin(queue->journal->dir, name, 299008, 303104);
    reopen_queue();
    open_reader(ALL_PARTITIONS, ends[next++]);
    for (int i = 0; i < 3; i++)
        assert_int_equal(queue_take(reader, take_until(10000, clock_us()), &take, &fixture_fail),
                         ERR_DISK);
    bad_disk_end();
    free(bases);
    take_now(10000);
    assert_int_equal(serial_of(&take.entries[0]), next);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        CASE(test_takes_stop_at_the_points_asked_for),
        CASE(test_only_the_mask_is_handed_out),
        CASE(test_what_left_the_ring_comes_from_files),
        CASE(test_replay_hands_out_what_was_not_committed),
        CASE(test_committed_points_leave_the_backlog_before_all_is_flushed),
        CASE(test_a_second_open_learns_what_was_committed_meanwhile),
        CASE(test_partitions_may_have_come_to_different_places),
        CASE(test_a_database_ahead_of_the_journal_is_refused),
        CASE(test_an_empty_take_ends_at_its_deadline_and_moves_the_marks),
        CASE(test_marks_wait_for_what_was_handed_out),
        CASE(test_a_hurry_ends_the_wait),
        CASE(test_a_hurry_waits_for_the_sync_it_needs),
        CASE(test_a_wake_ends_the_wait),
        CASE(test_a_full_window_ends_the_wait),
        CASE(test_a_busy_take_goes_on_while_points_come),
        CASE(test_damage_in_a_file_is_passed_over),
        CASE(test_a_transient_read_error_costs_nothing),
        CASE(test_what_is_committed_need_not_be_readable),
        CASE(test_a_page_that_is_half_committed_is_waited_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
