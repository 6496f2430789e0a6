/* The golden journal files: what any released version wrote is read for ever, newer is refused. */
#include "ingest/journal.h"

#include <sys/stat.h>

#include "ingest/segment.h"
#include "tests/unit/queue_fixture.h"

static const char golden_id[] = "00112233445566778899aabbccddeeff";
static const pos_t golden_base = (pos_t)8 << 30;

/* Puts tests/golden/NAME into the journal directory as the segment at golden_base. */
static void place(const char *name)
{
    char path[128];
    char segment[SEGMENT_NAME];
    unsigned byte = 0;

    snprintf(path, sizeof(path), "%s/journal", fixture_dir);
    assert_int_equal(mkdir(path, 0700), 0);
    segment_name(golden_base, segment);
    snprintf(path, sizeof(path), "%s/journal/%s", fixture_dir, segment);
    FILE *out = fopen(path, "w");
    snprintf(path, sizeof(path), "tests/golden/%s", name);
    FILE *in = fopen(path, "r");

    assert_non_null(in);
    assert_non_null(out);
    while (fscanf(in, "%2x", &byte) == 1)
        assert_int_equal(fputc((int)byte, out), (int)byte);
    fclose(in);
    fclose(out);
}

static void check_point(const struct point *p, const char *key, double value, int64_t timestamp,
                        int64_t step)
{
    assert_true(str_eq(p->key, str_of(key)));
    assert_true(p->value == value);
    assert_true(p->timestamp == timestamp && p->step == step);
}

static void check_batch(unsigned n, const struct batch *b)
{
    static const char *const runs[] = {"0123456789abcdef0123456789abcdef", "short-run",
                                       "fedcba9876543210fedcba9876543210"};
    static const uint32_t counts[] = {1, 4, 40};
    const struct point *p = b->points;

    assert_true(n < 3);
    assert_int_equal(b->experiment_id, 7);
    assert_int_equal(b->npoints, counts[n]);
    assert_true(str_eq(run_id_str(&b->run), str_of(runs[n])));
    if (n == 0)
        check_point(&p[0], "loss", 0.25, 1700000000123, 0);
    if (n == 1) {
        check_point(&p[0], "schl\xc3\xbcssel/\xe2\x82\xac", 0, -1, -5);
        assert_true(p[0].is_nan && !p[1].is_nan);
        check_point(&p[1], "max", 1.7976931348623157e308, INT64_MAX, INT64_MAX);
        check_point(&p[2], "min", -1.7976931348623157e308, INT64_MIN, INT64_MIN);
        check_point(&p[3], "model", 5e-324, 2, 3);
        assert_true(str_eq(p[3].model_id, STR("m-0123")));
        assert_true(str_eq(p[3].dataset_name, STR("train")));
        assert_true(str_eq(p[3].dataset_digest, STR("d1g35t")));
        assert_int_equal(p[2].model_id.n, 0);
    }
    for (uint32_t i = 0; n == 2 && i < 40; i++)
        check_point(&p[i], i % 2 ? "a" : "b", i / 8.0, 1700000000000 + i, i);
}

/* The whole way of a start: replayed, handed out, decoded. */
static void test_format_1_is_read_for_ever(void **state)
{
    (void)state;
    pos_t from[QUEUE_PARTITIONS] = {0};
    struct queue *q = NULL;
    struct queue_reader *r = NULL;
    struct take take;
    struct arena a;

    place("segment-1.hex");
    assert_ok(queue_open(&fixture_settings, 1, fixture_stats, &q, &fixture_fail));
    assert_string_equal(queue_id(q), golden_id);
    assert_int_equal(queue_backlog_points(q), 45);
    assert_ok(queue_reader_open(q, (1 << QUEUE_PARTITIONS) - 1, from, &r, &fixture_fail));
    assert_ok(queue_take(r, take_until(1000, clock_us()), &take, &fixture_fail));
    assert_int_equal(take.count, 3);
    arena_init(&a, 4096);
    for (unsigned i = 0; i < take.count; i++) {
        const struct entry *e = &take.entries[i];
        struct batch b;

        assert_ok(record_decode(e->payload, e->version, &a, &b, &fixture_fail));
        assert_int_equal(e->partition, queue_partition(run_id_str(&b.run)));
        check_batch(i, &b);
    }
    arena_fini(&a);
    assert_int_equal(fixture_stats->journal_quarantined_bytes, 0);
    queue_reader_close(r);
    queue_stop(q);
    queue_close(q);
}

static void test_a_newer_file_is_refused_with_what_to_do_and_not_touched(void **state)
{
    (void)state;
    struct queue *q = NULL;
    struct segment_head h;
    int dir = -1;

    place("segment-newer.hex");
    char path[128];

    snprintf(path, sizeof(path), "%s/journal", fixture_dir);
    dir = open(path, O_RDONLY | O_DIRECTORY);
    close(openat(dir, "spare-0.tmp", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(queue_open(&fixture_settings, 1, fixture_stats, &q, &fixture_fail),
                     ERR_CORRUPT);
    assert_null(q);
    assert_non_null(strstr(fixture_fail.small, "0000000200000000.seg"));
    assert_non_null(strstr(fixture_fail.small, "format version 2"));
    assert_non_null(strstr(fixture_fail.small, "start the version that wrote it"));
    assert_int_equal(segment_head_load(dir, golden_base, &h, &fixture_fail), ERR_CORRUPT);
    assert_int_equal(h.format, 2);
    assert_int_equal(fixture_files(".seg"), 1);
    assert_int_equal(fixture_files(".bad"), 0);
    assert_int_equal(fixture_files(".tmp"), 1);
    assert_int_equal(fixture_files("id"), 0);
    close(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CASE(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)
        CASE(test_format_1_is_read_for_ever),
        CASE(test_a_newer_file_is_refused_with_what_to_do_and_not_touched),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
