/* sealer: groups, cuts at frame boundaries, holes that producers still fill, ages that stay right. */
#include "ingest/sealer.c"

#include "ingest/segment.h"
#include "tests/unit/queue_fixture.h"

static struct queue *queue;

static pos_t append(uint32_t points, struct str key)
{
    static struct point memory[1000];
    struct batch b = fixture_batch(memory, points, 1, 0);
    pos_t end = 0;

    for (uint32_t i = 0; i < points; i++)
        memory[i].key = i % 2 ? key : STR("other");
    assert_ok(queue_append(queue, 0, &b, &end, &fixture_fail));
    return end;
}

static void test_what_came_during_a_sync_is_one_group(void **state)
{
    (void)state;
    enum { ENTRIES = 3000 };
    pos_t end = 0;

    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    for (int i = 0; i < ENTRIES; i++)
        end = append(1, STR("k"));
    wait_for(queue_outcome(queue, end) == QUEUE_DURABLE);
    uint64_t syncs = atomic_load(&fixture_stats->journal_syncs);

    assert_true(syncs > 0 && syncs < ENTRIES / 2);
    queue_stop(queue);
    assert_int_equal(atomic_load(&fixture_stats->journal_bytes), end - queue->start);
    queue_close(queue);
}

/* Others are waited for only when groups had several entries of late, and never for ever. */
static void test_gathers_those_who_are_likely_to_come(void **state)
{
    (void)state;
    struct sealer s = {.entries = 10};

    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    s.queue = queue;
    sealer_stop(queue); /* this thread is the sealer now */
    atomic_store(&queue->is_closing, false);
    atomic_store(&queue->producers[0].entries, 11);
    s.group = GATHER_LEAST;
    assert_int_equal(sealer_gather(&s), 0); /* nothing waits for a sync */
    atomic_fetch_add(&queue->reserved, 64);
    s.group = s.group_before = GATHER_LEAST - 1;
    assert_int_equal(sealer_gather(&s), 0);
    s.group_before = 2 * GATHER_LEAST;
    assert_int_equal(sealer_gather(&s), 1); /* nobody came meanwhile */
    atomic_store(&queue->producers[0].entries, 10 + 2 * GATHER_LEAST);
    assert_int_equal(sealer_gather(&s), 0);
    sealer_note_group(&s);
    sealer_note_group(&s); /* a ring for nothing is no group */
    assert_int_equal(s.group, 2 * GATHER_LEAST);
    assert_int_equal(s.group_before, GATHER_LEAST - 1);
    atomic_store(&queue->producers[0].entries, 11 + 2 * GATHER_LEAST);
    atomic_store(&queue->is_closing, true);
    assert_int_equal(sealer_gather(&s), 0); /* the end does not wait */
    queue_close(queue);
}

/* A producer between reserving and copying holds the durable mark back, and nothing else does. */
static void test_a_hole_is_not_sealed(void **state)
{
    (void)state;
    assert_ok(queue_open(&fixture_settings, 2, fixture_stats, &queue, &fixture_fail));
    pos_t before = append(1, STR("k"));
    struct producer *other = &queue->producers[1];
    pos_t hole = 0;
    uint64_t head[FRAME_HEAD_WORDS];

    wait_for(queue_durable(queue) == before);
    /* The second producer, stopped half-way. */
    hole = atomic_load(&queue->reserved);
    atomic_store(&other->pending, hole);
    atomic_fetch_add(&queue->reserved, frame_bytes(3));
    pos_t after = append(1, STR("k"));

    assert_int_equal(sealer_limit(queue), hole);
    assert_int_equal(queue_durable(queue), hole);
    assert_int_equal(queue_outcome(queue, after), QUEUE_PENDING);
    frame_head_write(head, hole, 0, RECORD_VERSION, STR("abc"), frame_hash(STR("abc")));
    uint64_t index = hole & (queue->ring_bytes - 1);

    memcpy(queue->ring + index, head, sizeof(head));
    memcpy(queue->ring + index + FRAME_HEAD, "abc", 3);
    atomic_store(&other->pending, RING_NOTHING);
    inbox_ring(&queue->sealer_inbox);
    wait_for(queue_outcome(queue, after) == QUEUE_DURABLE);
    queue_stop(queue);
    queue_close(queue);
}

/* Frames larger than a segment, and groups that end in the middle of one. */
static void test_no_frame_is_cut(void **state)
{
    (void)state;
    static char key[400];
    struct entry e;
    unsigned come = 0;
    pos_t *bases = NULL;
    size_t count = 0;

    memset(key, 'k', sizeof(key));
    fixture_settings.ring_bytes = 4 << 20;
    fixture_settings.journal_segment_bytes = 128 << 10;
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &queue, &fixture_fail));
    for (uint32_t i = 0; i < 120; i++) {
        pos_t end = append(i % 8 == 0 ? 700 : 1 + i, (struct str){key, sizeof(key) - i});

        wait_for(i % 30 != 0 || queue_outcome(queue, end) == QUEUE_DURABLE);
        wait_for(queue_headroom(queue, 1 << 20, &fixture_fail) == OK);
    }
    queue_stop(queue);
    assert_int_equal(queue_durable(queue), queue_appended(queue));
    pos_t at = queue->start;
    int dir = queue->journal->dir;

    assert_ok(segment_list(dir, &bases, &count, &fixture_fail));
    assert_true(count > 10);
    for (size_t i = 0; i < count; i++) {
        struct segment_cursor c;

        assert_int_equal(bases[i], at);
        assert_ok(segment_cursor_open(&c, dir, bases[i], &fixture_fail));
        while (segment_cursor_next(&c, UINT64_MAX, &e)) {
            assert_int_equal(e.pos, at);
            at = e.end;
            come++;
        }
        segment_cursor_close(&c);
    }
    free(bases);
    assert_int_equal(come, 120);
    assert_int_equal(at, queue_appended(queue));
    queue_close(queue);
}

static void test_ages_are_thinned_and_stay_in_order(void **state)
{
    (void)state;
    static struct sealer s;
    static struct queue q;

    memset(&s, 0, sizeof(s));
    s.queue = &q;
    for (uint64_t i = 0; i < SEALER_AGES; i++)
        s.ages[i] = (struct age){(i + 1) * 100, 1000 + i};
    s.age_count = SEALER_AGES;
    sealer_thin_ages(&s);
    assert_int_equal(s.age_count, SEALER_AGES * 3 / 4);
    assert_int_equal(s.ages[0].end, 200);
    assert_int_equal(s.ages[0].us, 1000);
    assert_int_equal(s.ages[s.age_count - 1].end, SEALER_AGES * 100);
    for (size_t i = 1; i < s.age_count; i++) {
        assert_true(s.ages[i].end > s.ages[i - 1].end);
        assert_true(s.ages[i].us > s.ages[i - 1].us);
    }
    /* An entry is never made to look younger than it is. */
    for (uint64_t i = 0; i < SEALER_AGES; i++) {
        size_t k = 0;

        while (s.ages[k].end <= i * 100)
            k++;
        assert_true(s.ages[k].us <= 1000 + i);
    }
    sealer_tell_age(&s, 200);
    assert_int_equal(atomic_load(&q.oldest_us), 1002);
    sealer_tell_age(&s, SEALER_AGES * 100);
    assert_int_equal(atomic_load(&q.oldest_us), 0);
    sealer_note_age(&s, SEALER_AGES * 100 + 8);
    sealer_note_age(&s, SEALER_AGES * 100 + 16);
    assert_int_equal(s.age_count, 1);
    assert_int_equal(s.ages[0].end, SEALER_AGES * 100 + 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        CASE(test_what_came_during_a_sync_is_one_group),
        CASE(test_gathers_those_who_are_likely_to_come),
        CASE(test_a_hole_is_not_sealed),
        CASE(test_no_frame_is_cut),
        CASE(test_ages_are_thinned_and_stay_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
