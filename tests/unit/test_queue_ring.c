/* queue_ring: producers, marks and outcomes; with sealer and readers running beside. */
#include "ingest/queue_ring.c"

#include <signal.h>
#include <sys/resource.h>

#include "tests/unit/queue_fixture.h"

#define ALL_PARTITIONS (((uint64_t)1 << QUEUE_PARTITIONS) - 1)

static const pos_t from_start[QUEUE_PARTITIONS];

static struct queue *queue;

static void open_queue(unsigned producers)
{
    assert_ok(queue_open(&fixture_settings, producers, fixture_stats, &queue, &fixture_fail));
}

static pos_t append(unsigned producer, uint32_t points, unsigned run, int64_t serial)
{
    static _Thread_local struct point memory[1000];
    struct batch b = fixture_batch(memory, points, run, serial);
    struct fail f;
    pos_t end = 0;

    fail_init(&f, NULL);
    for (;;) {
        err_t e = queue_append(queue, producer, &b, &end, &f);

        if (e != ERR_BUSY) {
            assert_int_equal(e, OK);
            return end;
        }
        usleep(100);
    }
}

static void close_queue(void)
{
    queue_stop(queue);
    queue_close(queue);
}

static struct queue_reader *open_reader(uint64_t mask)
{
    struct queue_reader *r = NULL;

    assert_ok(queue_reader_open(queue, mask, from_start, &r, &fixture_fail));
    return r;
}

static uint64_t soon(uint64_t us)
{
    return clock_us() + us;
}

static void test_an_append_becomes_durable_and_rings(void **state)
{
    (void)state;
    struct inbox inbox;

    open_queue(1);
    assert_int_equal(inbox_init(&inbox), 0);
    queue_subscribe(queue, &inbox);
    pos_t before = queue_durable(queue);
    pos_t end = append(0, 3, 1, 0);

    assert_true(end > before);
    assert_int_equal(queue_appended(queue), end);
    while (queue_durable(queue) < end)
        assert_true(inbox_wait(&inbox, soon(DEADLINE_US)));
    assert_int_equal(queue_outcome(queue, end), QUEUE_DURABLE);
    assert_int_equal(queue_outcome(queue, end + 8), QUEUE_PENDING);
    unsigned partition;
    pos_t pos;

    assert_true(queue_place(queue, STR("run"), end, &partition, &pos));
    assert_int_equal(partition, queue_partition(STR("run")));
    assert_int_equal(pos, end);
    assert_false(queue_place(queue, STR("run"), end + 8, &partition, &pos));
    assert_int_equal(queue_flushed(queue, partition), queue_committed(queue, partition));
    assert_int_equal(queue_flushed(queue, QUEUE_PARTITIONS), 0);
    queue_hurry_to(queue, partition, end - 1);
    assert_int_equal(atomic_load(&queue->hurry[partition]), end - 1);
    queue_hurry_to(queue, partition, end + 1000); /* not beyond what there is */
    assert_int_equal(atomic_load(&queue->hurry[partition]), end);
    queue_hurry_to(queue, QUEUE_PARTITIONS, end);
    assert_true(queue_is_healthy(queue));
    assert_int_equal(queue_backlog_points(queue), 3);
    assert_int_equal(strlen(queue_id(queue)), QUEUE_ID_BYTES);
    close_queue();
    inbox_fini(&inbox);
}

static void test_partitions_are_a_stored_format(void **state)
{
    (void)state;
    /* Changing the hash would tear the runs of existing journals apart. */
    assert_int_equal(queue_partition(STR("00000000000000000000000000000001")), 0);
    assert_int_equal(queue_partition(STR("ffffffffffffffffffffffffffffffff")), 7);
    assert_int_equal(queue_partition(STR("")), 2);
}

static void test_after_a_stop_nothing_is_taken(void **state)
{
    (void)state;
    struct point point;
    struct batch b = fixture_batch(&point, 1, 1, 0);
    pos_t end = 0;

    open_queue(1);
    end = append(0, 1, 1, 0);
    queue_stop(queue);
    assert_int_equal(queue_outcome(queue, end), QUEUE_DURABLE);
    assert_int_equal(queue_append(queue, 0, &b, &end, &fixture_fail), ERR_CLOSING);
    assert_int_equal(queue_headroom(queue, 1, &fixture_fail), ERR_CLOSING);
    queue_close(queue);
}

static void test_headroom_takes_any_body_into_an_empty_ring(void **state)
{
    (void)state;
    open_queue(1);
    assert_ok(queue_headroom(queue, 1, &fixture_fail));
    assert_ok(queue_headroom(queue, (size_t)64 << 20, &fixture_fail));
    close_queue();
}

static void test_a_batch_that_can_never_fit_is_refused_for_good(void **state)
{
    (void)state;
    static struct point points[1000];
    static char key[1000];
    struct batch b = fixture_batch(points, array_len(points), 1, 0);
    pos_t end = 0;

    memset(key, 'k', sizeof(key));
    for (size_t i = 0; i < array_len(points); i++)
        points[i].key = (struct str){key, 500 + i % 2};
    open_queue(1);
    assert_int_equal(queue_append(queue, 0, &b, &end, &fixture_fail), ERR_HTTP_TOO_LARGE);
    assert_int_equal(queue_appended(queue), queue_durable(queue));
    (void)append(0, 1, 1, 0);
    close_queue();
}

/* Nobody commits, so the disk budget fills; once something is committed there is room again. */
static void test_a_full_budget_is_busy_until_something_is_committed(void **state)
{
    (void)state;
    static struct point points[1000];
    struct batch b = fixture_batch(points, array_len(points), 1, 0);
    pos_t end = 0;
    err_t e = OK;
    uint64_t appended = 0;

    fixture_settings.journal_max_bytes = 8 << 20;
    open_queue(1);
    /* The ring fills for a moment every now and then: what lasts is the budget. */
    for (uint64_t until = soon(DEADLINE_US); clock_us() < until;) {
        e = queue_append(queue, 0, &b, &end, &fixture_fail);
        appended += e == OK;
        if (e == ERR_BUSY && strstr(fixture_fail.small, "journal_max_bytes"))
            break;
        assert_true(e == OK || e == ERR_BUSY);
    }
    assert_int_equal(e, ERR_BUSY);
    assert_int_equal(queue_headroom(queue, 64 << 10, &fixture_fail), ERR_BUSY);
    wait_for(queue_durable(queue) == queue_appended(queue));
    assert_true(atomic_load(&fixture_stats->journal_disk_bytes) <= 8 << 20);
    assert_int_equal(queue_backlog_points(queue), appended * 1000);

    struct queue_reader *r = open_reader(ALL_PARTITIONS);
    struct take take;

    assert_ok(queue_take(r, take_until(UINT32_MAX, soon(0)), &take, &fixture_fail));
    assert_int_equal(take.count, appended);
    queue_commit(r, take.cursor, appended * 1000);
    wait_for(queue_headroom(queue, 64 << 10, &fixture_fail) == OK);
    assert_int_equal(queue_backlog_points(queue), 0);
    assert_int_equal(queue_backlog_us(queue), 0);
    wait_for(atomic_load(&fixture_stats->journal_segments) == 1);
    (void)append(0, 1, 1, 0);
    queue_reader_close(r);
    close_queue();
}

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_a_failing_disk_is_told_and_recovers_by_itself(void **state)
{
    (void)state;
    struct point point;
    struct batch b = fixture_batch(&point, 1, 1, 0);
    pos_t lost = 0;

    open_queue(1);
    pos_t good = append(0, 5, 1, 0);

    wait_for(queue_outcome(queue, good) == QUEUE_DURABLE);
    limit_files(128);
    assert_ok(queue_append(queue, 0, &b, &lost, &fixture_fail));
    wait_for(queue_outcome(queue, lost) != QUEUE_PENDING);
    assert_int_equal(queue_outcome(queue, lost), QUEUE_LOST);
    assert_int_equal(queue_outcome(queue, good), QUEUE_DURABLE);
    assert_false(queue_is_healthy(queue));
    assert_int_equal(queue_headroom(queue, 1, &fixture_fail), ERR_DISK);
    assert_int_equal(queue_append(queue, 0, &b, &lost, &fixture_fail), ERR_DISK);
    assert_true(atomic_load(&fixture_stats->journal_failures) > 0);
    assert_int_equal(queue_backlog_points(queue), 5);
    limit_files(RLIM_INFINITY);
    wait_for(queue_is_healthy(queue));
    pos_t after = append(0, 7, 1, 1);

    wait_for(queue_outcome(queue, after) == QUEUE_DURABLE);
    assert_int_equal(queue_outcome(queue, lost), QUEUE_LOST);
    assert_int_equal(queue_backlog_points(queue), 12);

    struct queue_reader *r = open_reader(ALL_PARTITIONS);
    struct take take;

    assert_ok(queue_take(r, take_until(12, soon(DEADLINE_US)), &take, &fixture_fail));
    assert_int_equal(take.count, 2);
    assert_int_equal(take.entries[0].end, good);
    assert_int_equal(take.entries[1].end, after);
    queue_reader_close(r);
    close_queue();
    /* And the files say the same. */
    open_queue(1);
    r = open_reader(ALL_PARTITIONS);
    assert_int_equal(queue_backlog_points(queue), 12);
    assert_ok(queue_take(r, take_until(12, soon(DEADLINE_US)), &take, &fixture_fail));
    assert_int_equal(take.count, 2);
    assert_int_equal(take.entries[0].end, good);
    assert_int_equal(take.entries[1].end, after);
    queue_reader_close(r);
    close_queue();
}

static void test_stop_with_a_failing_disk_ends(void **state)
{
    (void)state;
    open_queue(1);
    pos_t good = append(0, 5, 1, 0);

    wait_for(queue_outcome(queue, good) == QUEUE_DURABLE);
    limit_files(128);
    pos_t lost = append(0, 5, 1, 0);

    queue_stop(queue);
    assert_int_equal(queue_outcome(queue, lost), QUEUE_LOST);
    queue_close(queue);
    limit_files(RLIM_INFINITY);
}

static void test_it_starts_on_a_full_disk_and_flushes(void **state)
{
    (void)state;
    struct take take;

    open_queue(1);
    (void)append(0, 5, 1, 0);
    close_queue();
    limit_files(128);
    open_queue(1);
    assert_int_equal(queue_headroom(queue, 1, &fixture_fail), ERR_DISK);
    struct queue_reader *r = open_reader(ALL_PARTITIONS);

    assert_ok(queue_take(r, take_until(5, soon(DEADLINE_US)), &take, &fixture_fail));
    assert_int_equal(take.count, 1);
    queue_commit(r, take.cursor, 5);
    assert_int_equal(queue_backlog_points(queue), 0);
    limit_files(RLIM_INFINITY);
    wait_for(queue_is_healthy(queue));
    (void)append(0, 6, 1, 0);
    assert_ok(queue_take(r, take_until(6, soon(DEADLINE_US)), &take, &fixture_fail));
    assert_int_equal(take.count, 1);
    queue_reader_close(r);
    close_queue();
}

static void test_backlog_age_is_that_of_the_oldest(void **state)
{
    (void)state;
    struct take take;

    open_queue(1);
    assert_int_equal(queue_backlog_us(queue), 0);
    uint64_t begin = clock_us();

    pos_t first = append(0, 1, 1, 0);
    wait_for(queue_outcome(queue, first) == QUEUE_DURABLE);
    wait_for(clock_us() > begin + 100000);
    pos_t second = append(0, 1, 1, 1);
    wait_for(queue_outcome(queue, second) == QUEUE_DURABLE);
    uint64_t second_us = clock_us();

    assert_in_range(queue_backlog_us(queue), 50000, clock_us() - begin);
    struct queue_reader *r = open_reader(ALL_PARTITIONS);

    assert_ok(queue_take(r, take_until(1, soon(DEADLINE_US)), &take, &fixture_fail));
    assert_int_equal(take.count, 1);
    queue_commit(r, take.cursor, 1);
    wait_for(queue_backlog_us(queue) <= clock_us() - second_us + 50000);
    assert_ok(queue_take(r, take_until(1, soon(DEADLINE_US)), &take, &fixture_fail));
    queue_commit(r, take.cursor, 1);
    assert_int_equal(queue_backlog_us(queue), 0);
    queue_reader_close(r);
    close_queue();
}

static void test_an_old_backlog_is_busy_until_it_is_committed(void **state)
{
    (void)state;
    static struct point points[1];
    struct batch b = fixture_batch(points, array_len(points), 1, 1);
    struct take take;
    pos_t end = 0;

    fixture_settings.backlog_max_age = 50000;
    open_queue(1);
    pos_t first = append(0, 1, 1, 0);

    wait_for(queue_outcome(queue, first) == QUEUE_DURABLE);
    wait_for(queue_headroom(queue, 100, &fixture_fail) == ERR_BUSY);
    assert_non_null(strstr(fixture_fail.small, "backlog_max_age"));
    assert_int_equal(queue_append(queue, 0, &b, &end, &fixture_fail), ERR_BUSY);
    struct queue_reader *r = open_reader(ALL_PARTITIONS);

    assert_ok(queue_take(r, take_until(1, soon(DEADLINE_US)), &take, &fixture_fail));
    queue_commit(r, take.cursor, 1);
    assert_ok(queue_headroom(queue, 100, &fixture_fail));
    assert_ok(queue_append(queue, 0, &b, &end, &fixture_fail));
    queue_reader_close(r);
    close_queue();
}

/* -- many threads -------------------------------------------------------------------------- */

enum { PRODUCERS = 2, READERS = 2, RUNS = 40, BATCHES = 3000 };

struct worker {
    pthread_t thread;
    unsigned index;
    uint64_t points;
    bool is_rising;
};

static void *produce(void *data)
{
    struct worker *w = data;
    pos_t last = 0;

    w->is_rising = true;
    for (unsigned i = 0; i < BATCHES; i++) {
        uint32_t n = 1 + i * 7 % 50;
        pos_t end = append(w->index, n, w->index * RUNS + i % RUNS, i);

        w->is_rising = w->is_rising && end > last;
        w->points += n;
        last = end;
        /* What a worker does when its inbox rings. */
        if (i % 16 == 0)
            (void)queue_outcome(queue, last);
    }
    return NULL;
}

struct drain {
    pthread_t thread;
    uint64_t mask;
    uint64_t points;
    uint64_t entries;
    int64_t next[PRODUCERS * RUNS]; /* the serial that each run must show at least */
    bool is_ordered;
    _Atomic bool *is_over;
};

static void *drain(void *data)
{
    struct drain *d = data;
    struct queue_reader *r = NULL;
    struct arena arena;
    struct fail f;
    bool may_end = false;

    fail_init(&f, NULL);
    arena_init(&arena, 4096);
    d->is_ordered = queue_reader_open(queue, d->mask, from_start, &r, &f) == OK;
    while (!may_end) {
        struct take take;
        uint64_t points = 0;

        /* Before the take: then a take with nothing left means that nothing is left. */
        may_end = atomic_load(d->is_over);
        if (queue_take(r, take_until(2000, soon(may_end ? 0 : 20000)), &take, &f))
            d->is_ordered = false;
        may_end = may_end && !take.has_more;
        for (size_t i = 0; i < take.count; i++) {
            struct batch b;
            char id[LIMIT_RUN_ID + 1];

            arena_reset(&arena);
            if (record_decode(take.entries[i].payload, take.entries[i].version, &arena, &b, &f)) {
                d->is_ordered = false;
                continue;
            }
            str_to_cstr(run_id_str(&b.run), id, sizeof(id));
            unsigned run = (unsigned)strtoul(id, NULL, 16);

            d->is_ordered = d->is_ordered && run < PRODUCERS * RUNS &&
                            b.points[0].step >= d->next[run] &&
                            (d->mask >> take.entries[i].partition & 1) != 0;
            d->next[run] = b.points[0].step + 1;
            points += b.npoints;
        }
        d->entries += take.count;
        d->points += points;
        queue_commit(r, take.cursor, points);
    }
    queue_reader_close(r);
    arena_fini(&arena);
    return NULL;
}

/* Everything that is appended comes out once, in each run's order, while all of them run. The ring
 * is small, so readers fall behind it and read files, and segments are removed under them. */
static void test_every_entry_comes_once_and_in_order(void **state)
{
    (void)state;
    static struct worker workers[PRODUCERS];
    static struct drain drains[READERS];
    _Atomic bool is_over = false;
    uint64_t produced = 0;
    uint64_t drained = 0;
    uint64_t entries = 0;

    fixture_settings.journal_max_bytes = 16 << 20;
    open_queue(PRODUCERS);
    memset(workers, 0, sizeof(workers));
    memset(drains, 0, sizeof(drains));
    for (unsigned i = 0; i < READERS; i++) {
        drains[i].is_over = &is_over;
        for (unsigned p = i; p < QUEUE_PARTITIONS; p += READERS)
            drains[i].mask |= (uint64_t)1 << p;
        assert_int_equal(pthread_create(&drains[i].thread, NULL, drain, &drains[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        workers[i].index = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, produce, &workers[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_true(workers[i].is_rising);
        produced += workers[i].points;
    }
    queue_stop(queue);
    assert_int_equal(queue_durable(queue), queue_appended(queue));
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < READERS; i++) {
        pthread_join(drains[i].thread, NULL);
        assert_true(drains[i].is_ordered);
        drained += drains[i].points;
        entries += drains[i].entries;
    }
    assert_int_equal(entries, PRODUCERS * BATCHES);
    assert_int_equal(drained, produced);
    assert_int_equal(queue_backlog_points(queue), 0);
    assert_int_equal(queue_committed_all(queue), queue_appended(queue));
    queue_close(queue);
    assert_int_equal(fixture_files(".seg"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        CASE(test_an_append_becomes_durable_and_rings),
        CASE(test_partitions_are_a_stored_format),
        CASE(test_after_a_stop_nothing_is_taken),
        CASE(test_headroom_takes_any_body_into_an_empty_ring),
        CASE(test_a_batch_that_can_never_fit_is_refused_for_good),
        CASE(test_a_full_budget_is_busy_until_something_is_committed),
        CASE(test_a_failing_disk_is_told_and_recovers_by_itself),
        CASE(test_stop_with_a_failing_disk_ends),
        CASE(test_it_starts_on_a_full_disk_and_flushes),
        CASE(test_backlog_age_is_that_of_the_oldest),
        CASE(test_an_old_backlog_is_busy_until_it_is_committed),
        CASE(test_every_entry_comes_once_and_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
