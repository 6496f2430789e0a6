/* segment: names, headers, and a cursor that finds every valid frame and nothing else. */
#include "ingest/segment.c"

#include "tests/unit/queue_fixture.h"

#include "tests/unit/bad_disk.h"

enum { BASE = 1 << 20, FRAMES = 50, FILE_BYTES = 64 << 10 };

static const char queue_name[] = "00112233445566778899aabbccddeeff";

static int dir;
static pos_t positions[FRAMES + 1];

static int open_fd(pos_t base, int flags)
{
    char name[SEGMENT_NAME];

    segment_name(base, name);
    int fd = openat(dir, name, flags, 0600);

    assert_true(fd >= 0);
    return fd;
}

/* Writes count frames from pos on; payloads are their serial number as text, of varying length. */
static pos_t write_frames(int fd, pos_t base, pos_t pos, int first, int count)
{
    for (int i = first; i < first + count; i++) {
        char payload[512];
        char bytes[1024] = {0};
        uint64_t head[FRAME_HEAD_WORDS];
        int n = snprintf(payload, sizeof(payload), "%d%*s", i, i * 7 % 300, "");
        struct str s = {payload, (size_t)n};
        size_t whole = frame_bytes(s.n);

        frame_head_write(head, pos, (unsigned)i % QUEUE_PARTITIONS, 1, s, frame_hash(s));
        memcpy(bytes, head, sizeof(head));
        memcpy(bytes + FRAME_HEAD, payload, s.n);
        assert_int_equal(pwrite(fd, bytes, whole, (off_t)(pos - base + SEGMENT_HEAD)), whole);
        if (i < FRAMES)
            positions[i] = pos;
        pos += whole;
    }
    return pos;
}

/* A segment of FRAMES frames in a longer file. */
static void make_segment(pos_t base)
{
    struct segment_head h = {.base = base, .format = SEGMENT_FORMAT, .created_ms = 5};
    char head[SEGMENT_HEAD];
    int fd = open_fd(base, O_RDWR | O_CREAT | O_TRUNC);

    memcpy(h.queue_id, queue_name, sizeof(h.queue_id));
    segment_head_write(&h, head);
    assert_int_equal(pwrite(fd, head, sizeof(head), 0), SEGMENT_HEAD);
    positions[FRAMES] = write_frames(fd, base, base, 0, FRAMES);
    assert_int_equal(ftruncate(fd, FILE_BYTES), 0);
    close(fd);
}

static int set_up(void **state)
{
    (void)fixture_set_up(state);
    dir = open(fixture_dir, O_RDONLY | O_DIRECTORY);
    make_segment(BASE);
    return 0;
}

static int tear_down(void **state)
{
    close(dir);
    return fixture_tear_down(state);
}

/* Reads to the end; found[i] says whether frame i came, in order and whole. */
static uint64_t read_all(pos_t limit, bool found[FRAMES])
{
    struct segment_cursor c;
    struct entry e;
    int last = -1;

    memset(found, 0, FRAMES * sizeof(*found));
    assert_ok(segment_cursor_open(&c, dir, BASE, &fixture_fail));
    while (segment_cursor_next(&c, limit, &e)) {
        int serial = atoi(e.payload.p);

        assert_true(serial > last && serial < FRAMES);
        assert_int_equal(e.pos, positions[serial]);
        assert_int_equal(e.end, positions[serial + 1]);
        assert_int_equal(e.partition, serial % QUEUE_PARTITIONS);
        found[serial] = true;
        last = serial;
    }
    uint64_t skipped = c.skipped_bytes;

    segment_cursor_close(&c);
    return skipped;
}

static void test_names_read_back_and_others_do_not(void **state)
{
    (void)state;
    char name[SEGMENT_NAME];
    pos_t base = 0;

    segment_name(0x4d2, name);
    assert_string_equal(name, "00000000000004d2.seg");
    assert_true(segment_parse_name(name, &base));
    assert_int_equal(base, 0x4d2);
    segment_name(UINT64_MAX, name);
    assert_true(segment_parse_name(name, &base));
    assert_true(base == UINT64_MAX);
    assert_false(segment_parse_name("00000000000004D2.seg", &base));
    assert_false(segment_parse_name("00000000000004d2.bad", &base));
    assert_false(segment_parse_name("0x000000000004d2.seg", &base));
    assert_false(segment_parse_name("next.tmp", &base));
    assert_false(segment_parse_name("", &base));
}

static void test_list_is_sorted_and_holds_segments_only(void **state)
{
    (void)state;
    pos_t *bases = NULL;
    size_t count = 0;

    for (pos_t i = 40; i > 0; i--)
        close(open_fd(i * 4096, O_CREAT | O_WRONLY));
    close(openat(dir, "next.tmp", O_CREAT | O_WRONLY, 0600));
    assert_ok(segment_list(dir, &bases, &count, &fixture_fail));
    assert_int_equal(count, 41);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(bases[i], (i + 1) * 4096);
    assert_int_equal(bases[40], BASE);
    free(bases);
}

static void test_header_reads_back_and_no_flipped_bit_passes(void **state)
{
    (void)state;
    struct segment_head in = {.base = 77, .format = SEGMENT_FORMAT, .created_ms = 99};
    struct segment_head out;
    char bytes[SEGMENT_HEAD];

    memcpy(in.queue_id, queue_name, sizeof(in.queue_id));
    segment_head_write(&in, bytes);
    assert_ok(segment_head_read(bytes, &out, &fixture_fail));
    assert_int_equal(out.base, 77);
    assert_int_equal(out.created_ms, 99);
    assert_string_equal(out.queue_id, queue_name);
    for (size_t bit = 0; bit < 8 * SEGMENT_HEAD; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        assert_int_equal(segment_head_read(bytes, &out, &fixture_fail), ERR_CORRUPT);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
    }
}

static void test_a_newer_format_is_told_apart(void **state)
{
    (void)state;
    struct segment_head in = {.base = 77, .format = SEGMENT_FORMAT + 1};
    struct segment_head out;
    char bytes[SEGMENT_HEAD];

    memcpy(in.queue_id, queue_name, sizeof(in.queue_id));
    segment_head_write(&in, bytes);
    assert_int_equal(segment_head_read(bytes, &out, &fixture_fail), ERR_CORRUPT);
    assert_true(out.format > SEGMENT_FORMAT);
    assert_non_null(strstr(fixture_fail.small, "format version 2"));
}

static void test_all_frames_come_in_order(void **state)
{
    (void)state;
    bool found[FRAMES];

    assert_int_equal(read_all(UINT64_MAX, found), 0);
    for (int i = 0; i < FRAMES; i++)
        assert_true(found[i]);
}

static void test_no_frame_behind_the_limit_comes(void **state)
{
    (void)state;
    bool found[FRAMES];

    for (int last = 0; last <= FRAMES; last++) {
        (void)read_all(positions[last] + (last < FRAMES ? 8 : 0), found);
        for (int i = 0; i < FRAMES; i++)
            assert_int_equal(found[i], i < last);
    }
}

/* Cut anywhere: every whole frame before the cut comes, and nothing else. */
static void test_reading_stops_at_a_torn_tail(void **state)
{
    (void)state;
    bool found[FRAMES];
    int fd = open_fd(BASE, O_RDWR);

    for (off_t cut = (off_t)(positions[FRAMES] - BASE + SEGMENT_HEAD); cut >= SEGMENT_HEAD;
         cut -= 61) {
        assert_int_equal(ftruncate(fd, cut), 0);
        assert_int_equal(read_all(UINT64_MAX, found), 0);
        for (int i = 0; i < FRAMES; i++)
            /* The padding of a frame may be cut off: its checksum covers the payload. */
            assert_int_equal(found[i], positions[i + 1] - BASE + SEGMENT_HEAD <= (pos_t)cut);
    }
    close(fd);
}

static void test_frames_behind_a_hole_are_found(void **state)
{
    (void)state;
    static const char zeros[4096];
    bool found[FRAMES];
    int fd = open_fd(BASE, O_RDWR);

    /* Over the end of frame 9, all of 10 to 19, and the head of 20. */
    off_t from = (off_t)(positions[9] + 16 - BASE + SEGMENT_HEAD);
    off_t to = (off_t)(positions[20] + 8 - BASE + SEGMENT_HEAD);

    assert_true(to - from < (off_t)sizeof(zeros));
    assert_int_equal(pwrite(fd, zeros, (size_t)(to - from), from), to - from);
    close(fd);
    assert_int_equal(read_all(UINT64_MAX, found), positions[21] - positions[9]);
    for (int i = 0; i < FRAMES; i++)
        assert_int_equal(found[i], i < 9 || i > 20);
}

static void test_a_flipped_bit_costs_one_frame(void **state)
{
    (void)state;
    bool found[FRAMES];
    int fd = open_fd(BASE, O_RDWR);

    for (pos_t pos = BASE; pos < positions[FRAMES]; pos += 13) {
        int hit = 0;
        char byte = 0;
        off_t offset = (off_t)(pos - BASE + SEGMENT_HEAD);

        while (positions[hit + 1] <= pos)
            hit++;
        assert_int_equal(pread(fd, &byte, 1, offset), 1);
        byte = (char)(byte ^ 4);
        assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
        (void)read_all(UINT64_MAX, found);
        for (int i = 0; i < FRAMES; i++)
            if (i != hit)
                assert_true(found[i]);
        byte = (char)(byte ^ 4);
        assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    }
    close(fd);
}

/* What a recycled file still holds from its earlier life is not taken for frames. */
static void test_frames_of_another_base_do_not_validate(void **state)
{
    (void)state;
    struct segment_head h = {.base = BASE + (1 << 30), .format = SEGMENT_FORMAT};
    char head[SEGMENT_HEAD];
    char before[SEGMENT_NAME];
    char after[SEGMENT_NAME];
    struct segment_cursor c;
    struct entry e;

    memcpy(h.queue_id, queue_name, sizeof(h.queue_id));
    segment_head_write(&h, head);
    int fd = open_fd(BASE, O_RDWR);

    assert_int_equal(pwrite(fd, head, sizeof(head), 0), SEGMENT_HEAD);
    close(fd);
    segment_name(BASE, before);
    segment_name(h.base, after);
    assert_int_equal(renameat(dir, before, dir, after), 0);
    assert_ok(segment_cursor_open(&c, dir, h.base, &fixture_fail));
    assert_false(segment_cursor_next(&c, UINT64_MAX, &e));
    segment_cursor_close(&c);
}

/* A reader of the segment that is being written sees what was written since it last looked. */
static void test_a_cursor_follows_the_writer(void **state)
{
    (void)state;
    int fd = open_fd(BASE, O_RDWR);
    pos_t end = positions[FRAMES];
    struct segment_cursor c;
    struct entry e;

    assert_ok(segment_cursor_open(&c, dir, BASE, &fixture_fail));
    while (segment_cursor_next(&c, end, &e))
        continue;
    assert_int_equal(c.at, end);
    for (int i = FRAMES; i < 4 * FRAMES; i++) {
        end = write_frames(fd, BASE, end, i, 1);
        assert_true(segment_cursor_next(&c, end, &e));
        assert_int_equal(atoi(e.payload.p), i);
        assert_int_equal(e.end, end);
        assert_false(segment_cursor_next(&c, end, &e));
    }
    /* Also when the file itself grows. */
    assert_true(end - BASE < FILE_BYTES);
    assert_int_equal(ftruncate(fd, (off_t)(end - BASE + SEGMENT_HEAD)), 0);
    assert_false(segment_cursor_next(&c, UINT64_MAX, &e));
    end = write_frames(fd, BASE, end, 1, 1);
    assert_true(segment_cursor_next(&c, UINT64_MAX, &e));
    assert_int_equal(c.skipped_bytes, 0);
    segment_cursor_close(&c);
    close(fd);
}

static void test_a_flipped_bit_in_the_header_is_no_newer_format(void **state)
{
    (void)state;
    bool found[FRAMES];
    char byte = 3;
    int fd = open_fd(BASE, O_RDWR);

    assert_int_equal(pwrite(fd, &byte, 1, 8), 1);
    close(fd);
    assert_int_equal(read_all(UINT64_MAX, found), SEGMENT_HEAD);
    for (int i = 0; i < FRAMES; i++)
        assert_true(found[i]);
}

/* EIO is not damage: who must not lose anything stops there, and goes on when the disk does. */
static void test_a_strict_cursor_waits_for_the_disk(void **state)
{
    (void)state;
    struct segment_cursor c;
    struct entry e;
    char name[SEGMENT_NAME];
    int come = 0;

    segment_name(BASE, name);
    assert_ok(segment_cursor_open(&c, dir, BASE, &fixture_fail));
    c.is_strict = true;
    bad_disk_begin(dir, name, 4096, 8192);
    while (segment_cursor_next(&c, UINT64_MAX, &e))
        assert_int_equal(atoi(e.payload.p), come++);
    assert_int_equal(c.error, EIO);
    assert_true(come > 5 && positions[come] < BASE + 4096 && e.end + 512 > BASE + 4096);
    assert_false(segment_cursor_next(&c, UINT64_MAX, &e));
    assert_int_equal(c.error, EIO);
    bad_disk_end();
    while (segment_cursor_next(&c, UINT64_MAX, &e))
        assert_int_equal(atoi(e.payload.p), come++);
    assert_int_equal(c.error, 0);
    assert_int_equal(come, FRAMES);
    assert_int_equal(c.skipped_bytes, 0);
    segment_cursor_close(&c);
}

static void test_who_only_looks_passes_over_a_bad_page(void **state)
{
    (void)state;
    struct segment_cursor c;
    struct entry e;
    char name[SEGMENT_NAME];
    int last = -1;
    int come = 0;

    segment_name(BASE, name);
    bad_disk_begin(dir, name, 1000, 4096);
    assert_ok(segment_cursor_open(&c, dir, BASE, &fixture_fail));
    for (; segment_cursor_next(&c, UINT64_MAX, &e); come++)
        last = atoi(e.payload.p);
    assert_int_equal(last, FRAMES - 1);
    assert_true(come < FRAMES);
    assert_int_equal(c.unreadable_bytes, 4096 - 1000);
    segment_cursor_close(&c);
    /* Nothing at all can be said of it: neither segment nor damage. */
    bad_disk_begin(dir, name, 0, FILE_BYTES);
    assert_int_equal(segment_cursor_open(&c, dir, BASE, &fixture_fail), ERR_DISK);
    assert_int_equal(c.unreadable_bytes, FILE_BYTES);
    /* The header alone: the frames speak for it. */
    bad_disk_begin(dir, name, 0, SEGMENT_HEAD);
    assert_ok(segment_cursor_open(&c, dir, BASE, &fixture_fail));
    assert_int_equal(c.skipped_bytes, 0);
    for (come = 0; segment_cursor_next(&c, UINT64_MAX, &e);)
        come++;
    assert_int_equal(come, FRAMES);
    segment_cursor_close(&c);
    bad_disk_end();
}

static void test_a_torn_entry_is_told_from_room(void **state)
{
    (void)state;
    struct segment_cursor c;
    struct entry e;
    int fd = open_fd(BASE, O_RDWR);

    for (int torn = 0; torn < 2; torn++) {
        if (torn)
            assert_int_equal(
                pwrite(fd, "x", 1, (off_t)(positions[FRAMES - 1] - BASE + SEGMENT_HEAD + 24)), 1);
        assert_ok(segment_cursor_open(&c, dir, BASE, &fixture_fail));
        while (segment_cursor_next(&c, UINT64_MAX, &e))
            continue;
        assert_int_equal(segment_cursor_torn(&c, UINT64_MAX),
                         torn ? positions[FRAMES] - positions[FRAMES - 1] : 0);
        segment_cursor_close(&c);
    }
    close(fd);
}

static void test_missing_short_and_foreign_files_are_errors(void **state)
{
    (void)state;
    struct segment_cursor c;
    int fd = open_fd(4096, O_RDWR | O_CREAT);

    assert_int_equal(segment_cursor_open(&c, dir, 8192, &fixture_fail), ERR_NOT_FOUND);
    assert_int_equal(segment_cursor_open(&c, dir, 4096, &fixture_fail), ERR_CORRUPT);
    assert_int_equal(pwrite(fd, "no segment at all", 17, 0), 17);
    assert_int_equal(segment_cursor_open(&c, dir, 4096, &fixture_fail), ERR_CORRUPT);
    assert_int_equal(ftruncate(fd, 8192), 0);
    assert_int_equal(segment_cursor_open(&c, dir, 4096, &fixture_fail), ERR_CORRUPT);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names_read_back_and_others_do_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_is_sorted_and_holds_segments_only, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_header_reads_back_and_no_flipped_bit_passes, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_newer_format_is_told_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_all_frames_come_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_frame_behind_the_limit_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reading_stops_at_a_torn_tail, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frames_behind_a_hole_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_flipped_bit_costs_one_frame, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_frames_of_another_base_do_not_validate, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_cursor_follows_the_writer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_flipped_bit_in_the_header_is_no_newer_format, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_strict_cursor_waits_for_the_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_only_looks_passes_over_a_bad_page, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_torn_entry_is_told_from_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing_short_and_foreign_files_are_errors, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
