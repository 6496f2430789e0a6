/* journal_backlog: what waits is what no position of its partition has passed. */
#include "gateway/command/journal_backlog.c"

#include "ingest/journal_dir.h"
#include "tests/unit/queue_fixture.h"

enum { ENTRIES = 12, POINTS = 3 };

/* Entries of several runs; where each one ends, and the partition it is of. */
static void fill(pos_t ends[ENTRIES], unsigned partitions[ENTRIES])
{
    struct point points[POINTS];
    struct queue *q = NULL;

    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &q, &fixture_fail));
    for (unsigned i = 0; i < ENTRIES; i++) {
        struct batch b = fixture_batch(points, POINTS, 1 + i % 4, i * 10);

        partitions[i] = queue_partition(run_id_str(&b.run));
        assert_ok(queue_append(q, 0, &b, &ends[i], &fixture_fail));
    }
    queue_stop(q);
    queue_close(q);
}

static void count(struct journal_backlog *b, uint64_t most_bytes)
{
    int dir = -1;

    assert_ok(journal_dir_open(fixture_dir, false, &dir, &fixture_fail));
    journal_backlog_count(b, dir, most_bytes);
    close(dir);
}

static void test_only_what_is_behind_its_partitions_position_waits(void **state)
{
    (void)state;
    unsigned partitions[ENTRIES];
    pos_t ends[ENTRIES];
    struct journal_backlog b = {0};
    uint64_t want = 0;

    fill(ends, partitions);
    count(&b, UINT64_MAX);
    assert_int_equal(b.entries, ENTRIES);
    assert_int_equal(b.points, ENTRIES * POINTS);
    assert_true(b.oldest_ms > 0 && !b.is_cut);

    b = (struct journal_backlog){0};
    for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
        b.positions[p] = ends[ENTRIES - 1];
    b.positions[partitions[0]] = ends[4]; /* the entry at 4 is of the first one's run */
    for (unsigned i = 0; i < ENTRIES; i++)
        want += partitions[i] == partitions[0] && ends[i] > ends[4];
    assert_true(want > 0 && want < ENTRIES);
    count(&b, UINT64_MAX);
    assert_int_equal(b.entries, want);
}

static void test_counting_stops_where_it_is_told(void **state)
{
    (void)state;
    unsigned partitions[ENTRIES];
    pos_t ends[ENTRIES];
    struct journal_backlog b = {0};

    fill(ends, partitions);
    count(&b, 1);
    assert_int_equal(b.entries, 1);
    assert_true(b.is_cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_only_what_is_behind_its_partitions_position_waits,
                                        fixture_set_up, fixture_tear_down),
        cmocka_unit_test_setup_teardown(test_counting_stops_where_it_is_told, fixture_set_up,
                                        fixture_tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
