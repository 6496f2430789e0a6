/* journal: what was synced is found again, positions never go back, damage costs what it hit. */
#include "ingest/journal.c"

#include <signal.h>
#include <sys/resource.h>

#include "ingest/frame.h"
#include "tests/unit/queue_fixture.h"

#include "tests/unit/bad_disk.h"

enum { SEGMENT_BYTES = 64 << 10, MAX_BYTES = 1 << 20, FRAMES_MAX = 4096 };

/* What the tests have written: the oracle. */
struct written {
    pos_t pos;
    pos_t end;
    uint32_t points;
    unsigned partition;
};

static struct journal *journal;
static struct written frames[FRAMES_MAX];
static size_t frame_count;
static unsigned seed = 1;

static unsigned dice(unsigned sides)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % sides;
}

static void open_journal(void)
{
    assert_ok(journal_open(fixture_dir, SEGMENT_BYTES, MAX_BYTES, fixture_stats, &journal,
                           &fixture_fail));
}

static void reopen_journal(void)
{
    journal_close(journal);
    open_journal();
}

/* As after kill -9: the files as they are, no farewell. */
static void crash_journal(void)
{
    close(journal->fd);
    close(journal->dir);
    close(journal->lock);
    free(journal->segments);
    free(journal);
}

static int set_up(void **state)
{
    fixture_set_up(state);
    frame_count = 0;
    open_journal();
    return 0;
}

static int tear_down(void **state)
{
    journal_close(journal);
    return fixture_tear_down(state);
}

/* Appends one entry of n points as the sealer does, rolling when it does not fit. */
static void append(uint32_t n)
{
    static struct point points[2000];
    static char bytes[256 << 10];
    struct batch b = fixture_batch(points, n, dice(1000), (int64_t)frame_count);
    uint64_t head[FRAME_HEAD_WORDS];

    assert_true(frame_count < FRAMES_MAX && n <= array_len(points));
    struct str payload = {bytes + FRAME_HEAD, record_encode(&b, bytes + FRAME_HEAD)};
    uint64_t whole = frame_bytes(payload.n);
    unsigned partition = queue_partition(run_id_str(&b.run));
    pos_t pos = journal_end(journal);

    if (journal_room(journal) < whole && !journal_is_empty(journal))
        assert_ok(journal_roll(journal, pos, &fixture_fail));
    frame_head_write(head, pos, partition, RECORD_VERSION, payload, frame_hash(payload));
    memcpy(bytes, head, sizeof(head));
    memset(bytes + FRAME_HEAD + payload.n, 0, whole - FRAME_HEAD - payload.n);
    /* In two pieces, as where the ring wraps. */
    uint64_t first = 8 + dice((unsigned)whole - 8) / 8 * 8;
    struct iovec pieces[2] = {{bytes, first}, {bytes + first, whole - first}};

    assert_ok(journal_write(journal, pieces, first < whole ? 2 : 1, &fixture_fail));
    assert_ok(journal_sync(journal, &fixture_fail));
    assert_int_equal(journal_end(journal), pos + whole);
    frames[frame_count++] = (struct written){pos, pos + whole, n, partition};
}

/* Reads everything that is there through cursors; says which of frames[] came. */
static size_t read_back(bool found[FRAMES_MAX])
{
    pos_t *bases = NULL;
    size_t count = 0;
    size_t total = 0;
    size_t next = 0;

    memset(found, 0, FRAMES_MAX * sizeof(*found));
    assert_ok(segment_list(journal->dir, &bases, &count, &fixture_fail));
    for (size_t i = 0; i < count; i++) {
        struct segment_cursor c;
        struct entry e;

        assert_ok(segment_cursor_open(&c, journal->dir, bases[i], &fixture_fail));
        while (segment_cursor_next(&c, i + 1 < count ? bases[i + 1] : UINT64_MAX, &e)) {
            while (next < frame_count && frames[next].pos < e.pos)
                next++;
            assert_true(next < frame_count && frames[next].pos == e.pos);
            assert_int_equal(e.end, frames[next].end);
            assert_int_equal(e.partition, frames[next].partition);
            assert_int_equal(record_points(e.payload, e.version), frames[next].points);
            found[next] = true;
            total++;
        }
        segment_cursor_close(&c);
    }
    free(bases);
    return total;
}

static uint64_t replayed_points(void)
{
    uint64_t points = 0;

    for (size_t i = 0; i < journal->count; i++)
        for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
            points += journal->segments[i].points[p];
    return points;
}

static uint64_t written_points(const bool *found)
{
    uint64_t points = 0;

    for (size_t i = 0; i < frame_count; i++)
        points += !found || found[i] ? frames[i].points : 0;
    return points;
}

static void test_everything_synced_is_found_after_a_crash(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];
    char id[QUEUE_ID_BYTES + 1];

    snprintf(id, sizeof(id), "%s", journal->id);
    for (int round = 0; round < 5; round++) {
        pos_t end = 0;

        for (int i = 0; i < 100; i++)
            append(1 + dice(100));
        end = journal_end(journal);
        crash_journal();
        open_journal();
        assert_string_equal(journal->id, id);
        assert_int_equal(read_back(found), frame_count);
        assert_int_equal(replayed_points(), written_points(NULL));
        assert_true(journal->start > end);
        assert_int_equal(journal_end(journal), journal->start);
    }
    assert_int_equal(fixture_stats->journal_quarantined_bytes, 0);
}

static void test_a_clean_end_leaves_no_unused_room(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];

    append(10);
    append(10);
    uint64_t bytes = SEGMENT_HEAD + frames[1].end - frames[0].pos;

    journal_close(journal);
    assert_int_equal(fixture_files(".seg"), 1);
    assert_int_equal(fixture_files(".tmp"), 0);
    open_journal();
    assert_int_equal(journal->segments[0].bytes, bytes);
    assert_int_equal(read_back(found), 2);
}

static void test_positions_never_go_back(void **state)
{
    (void)state;
    pos_t top = 0;

    for (int i = 0; i < 20; i++) {
        append(1);
        assert_true(frames[frame_count - 1].pos >= top);
        top = journal_end(journal);
        if (i % 2)
            crash_journal();
        else
            journal_close(journal);
        /* What was there may have been committed far beyond what a damaged file still shows. */
        if (i % 3 == 0) {
            char path[128];
            char name[SEGMENT_NAME];

            segment_name(frames[frame_count - 1].pos, name);
            snprintf(path, sizeof(path), "%s/journal/%s", fixture_dir, name);
            assert_int_equal(truncate(path, SEGMENT_HEAD), 0);
        }
        open_journal();
        assert_true(journal->start >= top);
    }
}

/* A lost range is passed over and committed, and no file tells of it when no segment was begun. */
static void test_a_start_is_behind_what_was_lost_without_a_file(void **state)
{
    (void)state;
    const pos_t step = (pos_t)8 << 30;
    const pos_t half_the_largest_ring = (pos_t)16 << 30 >> 1;

    append(1);
    pos_t lost_from = round_up(journal_end(journal), step) - 64;

    assert_ok(journal_roll(journal, lost_from - 4096, &fixture_fail));
    append(1);
    pos_t top = journal_end(journal);

    journal_poison(journal, top);
    crash_journal();
    open_journal();
    assert_true(journal->start >= top + half_the_largest_ring);
}

static void test_restarts_do_not_pile_up_files(void **state)
{
    (void)state;
    append(5);
    for (int i = 0; i < 10; i++) {
        crash_journal();
        open_journal();
    }
    assert_int_equal(fixture_files(".seg"), 2);
    assert_int_equal(journal->count, 2);
    assert_true(journal->segments[0].bytes < SEGMENT_BYTES);
}

static void test_an_emptied_directory_is_a_new_queue(void **state)
{
    (void)state;
    char id[QUEUE_ID_BYTES + 1];

    snprintf(id, sizeof(id), "%s", journal->id);
    append(1);
    pos_t pos = frames[0].pos;
    char name[SEGMENT_NAME];

    segment_name(pos, name);
    assert_int_equal(unlinkat(journal->dir, name, 0), 0);
    reopen_journal();
    assert_string_not_equal(journal->id, id);
}

static void test_a_lost_id_is_read_from_the_segments(void **state)
{
    (void)state;
    char id[QUEUE_ID_BYTES + 1];
    static bool found[FRAMES_MAX];

    snprintf(id, sizeof(id), "%s", journal->id);
    append(1);
    assert_int_equal(unlinkat(journal->dir, "id", 0), 0);
    reopen_journal();
    assert_string_equal(journal->id, id);
    assert_int_equal(read_back(found), 1);
    journal->id[0] = '\0';
    assert_true(journal_dir_read_id(journal->dir, journal->id));
    assert_string_equal(journal->id, id);
}

static void spoil(pos_t base, off_t offset, const char *bytes, size_t n)
{
    char name[SEGMENT_NAME];

    segment_name(base, name);
    int fd = openat(journal->dir, name, O_WRONLY);

    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, offset), n);
    close(fd);
}

static void test_bad_headers_are_set_aside_and_the_rest_is_kept(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];

    while (journal->count < 3)
        append(100);
    pos_t second = journal->segments[1].base;
    pos_t third = journal->segments[2].base;

    static const char nothing[SEGMENT_BYTES];

    spoil(second, 0, nothing, sizeof(nothing));
    close(openat(journal->dir, "00000000000004d2.seg", O_CREAT | O_WRONLY, 0600));
    reopen_journal();
    assert_int_equal(fixture_files(".bad"), 2);
    assert_true(fixture_stats->journal_quarantined_bytes >= SEGMENT_BYTES);
    (void)read_back(found);
    for (size_t i = 0; i < frame_count; i++)
        assert_int_equal(found[i], frames[i].pos < second || frames[i].pos >= third);
    reopen_journal();
    assert_int_equal(fixture_files(".bad"), 2);
}

static void test_a_damaged_header_does_not_hide_its_frames(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];
    char id[QUEUE_ID_BYTES + 1];

    snprintf(id, sizeof(id), "%s", journal->id);
    while (journal->count < 3)
        append(100);
    spoil(journal->segments[0].base, 0, "spoilt", 6);
    spoil(journal->segments[1].base, 20, "spoilt", 6);
    assert_int_equal(unlinkat(journal->dir, "id", 0), 0); /* the third one knows it */
    for (int i = 0; i < 2; i++) {
        reopen_journal();
        assert_string_equal(journal->id, id);
        assert_int_equal(fixture_files(".bad"), 2); /* kept for who wants to look */
        assert_int_equal(fixture_files(".seg"), 4);
        assert_int_equal(read_back(found), frame_count);
        assert_int_equal(replayed_points(), written_points(NULL));
    }
    assert_true(fixture_stats->journal_quarantined_bytes >= SEGMENT_HEAD);
}

static void test_a_segment_of_another_queue_is_set_aside(void **state)
{
    (void)state;
    struct segment_head h = {.base = 4096, .format = SEGMENT_FORMAT};
    char bytes[SEGMENT_HEAD];

    append(1);
    memset(h.queue_id, 'f', QUEUE_ID_BYTES);
    segment_head_write(&h, bytes);
    close(openat(journal->dir, "0000000000001000.seg", O_CREAT | O_WRONLY, 0600));
    spoil(4096, 0, bytes, sizeof(bytes));
    reopen_journal();
    assert_int_equal(fixture_files(".bad"), 1);
    assert_int_equal(replayed_points(), 1);
}

static void put_id(const char *text)
{
    int fd = openat(journal->dir, "id", O_WRONLY | O_TRUNC);

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* As versions without the checksum wrote it; a flipped digit there must not disown the segments. */
static void test_an_id_without_checksum_is_believed_when_the_segments_agree(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];
    char id[QUEUE_ID_BYTES + 1];
    char text[QUEUE_ID_BYTES + 2];
    char now[QUEUE_ID_BYTES + 1];

    append(1);
    snprintf(id, sizeof(id), "%s", journal->id);
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof(text), "%s\n", id);
        if (i == 1)
            text[9] = text[9] == '0' ? '1' : '0';
        put_id(text);
        if (i == 2) /* and with a checksum that does not fit */
            put_id("00112233445566778899aabbccddeeff 0011223344556677\n");
        reopen_journal();
        assert_string_equal(journal->id, id);
        assert_int_equal(journal_dir_read_id(journal->dir, now), JOURNAL_ID_SOUND);
        assert_string_equal(now, id);
        assert_int_equal(read_back(found), 1);
        assert_int_equal(fixture_files(".bad"), 0);
    }
}

/* What the disk does not give at the start stays until it does: not aside, not trimmed, not cut. */
static void test_unreadable_is_not_damaged(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];
    char name[SEGMENT_NAME];
    static const off_t ranges[][2] = {{8192, 12288}, {0, SEGMENT_BYTES}, {40000, SEGMENT_BYTES}};

    while (journal->count < 3)
        append(100);
    pos_t base = journal->segments[1].base;
    pos_t end = journal->segments[1].end;

    segment_name(base, name);
    for (size_t i = 0; i < array_len(ranges); i++) {
        bad_disk_begin(journal->dir, name, ranges[i][0], ranges[i][1]);
        reopen_journal();
        bad_disk_end();
        size_t at =
            i == 0 ? 1 : 0; /* the first segment is committed, and goes in the first round */

        assert_int_equal(journal->segments[at].base, base);
        assert_int_equal(journal->segments[at].end, end);
        journal_trim(journal, end - 1);
        assert_int_equal(journal->segments[0].base, base);
        assert_int_equal(fixture_files(".bad"), 0);
        reopen_journal();
        (void)read_back(found);
        for (size_t k = 0; k < frame_count; k++)
            assert_true(found[k] || frames[k].pos < base);
    }
    assert_true(atomic_load(&fixture_stats->journal_unreadable_bytes) > 0);
    assert_int_equal(fixture_stats->journal_quarantined_bytes, 0);
}

/* The directory goes away below a running program: what is synced there nobody would ever find. */
static void test_a_removed_directory_is_noticed_at_once(void **state)
{
    (void)state;
    char bytes[8] = "1234567";
    struct iovec piece = {bytes, sizeof(bytes)};
    char path[128];

    append(1);
    int parent = open(fixture_dir, O_RDONLY | O_DIRECTORY);

    fixture_remove(parent, "journal");
    close(parent);
    assert_ok(journal_write(journal, &piece, 1, &fixture_fail));
    assert_int_equal(journal_sync(journal, &fixture_fail), ERR_DISK);
    journal_poison(journal, journal_end(journal));
    assert_int_equal(journal_roll(journal, journal_end(journal), &fixture_fail), ERR_DISK);
    assert_non_null(strstr(fixture_fail.small, "was removed"));
    snprintf(path, sizeof(path), "%s/journal", fixture_dir);
    assert_int_equal(access(path, F_OK), -1);
}

/* Damage is kept to be looked at, also when the segment was committed and is gone. */
static void test_a_damaged_segment_can_be_looked_at_for_ever(void **state)
{
    (void)state;
    char path[128];
    char byte = 0;

    while (journal->count < 3)
        append(100);
    pos_t base = journal->segments[0].base;

    spoil(base, 5000, "spoilt", 6);
    reopen_journal();
    assert_int_equal(fixture_files(".bad"), 1);
    assert_true(fixture_stats->journal_quarantined_bytes > 0);
    assert_int_equal(fixture_stats->journal_torn_bytes, 0);
    journal_trim(journal, journal->start);
    assert_int_equal(fixture_files(".seg"), 1);
    for (int i = 0; i < 3; i++) {
        append(2000);
        assert_ok(journal_roll(journal, journal_end(journal), &fixture_fail));
        journal_trim(journal, journal_end(journal));
    }
    snprintf(path, sizeof(path), "%s/journal/%016" PRIx64 ".bad", fixture_dir, base);
    int fd = open(path, O_RDONLY);

    assert_int_equal(pread(fd, &byte, 1, 5000), 1);
    assert_int_equal(byte, 's');
    close(fd);
}

/* A kept segment whose damage grows until it is no segment: out of the way, and said once. */
static void test_a_kept_segment_can_still_be_set_aside(void **state)
{
    (void)state;
    static const char nothing[SEGMENT_BYTES];
    char name[SEGMENT_NAME];

    while (journal->count < 3)
        append(100);
    pos_t base = journal->segments[0].base;

    spoil(base, 5000, "spoilt", 6);
    reopen_journal();
    assert_int_equal(fixture_files(".bad"), 1);
    spoil(base, 0, nothing, sizeof(nothing));
    reopen_journal();
    assert_int_equal(fixture_files(".bad"), 1);
    segment_name(base, name);
    assert_int_equal(faccessat(journal->dir, name, F_OK, 0), -1);
    uint64_t said = fixture_stats->journal_quarantined_bytes;

    reopen_journal();
    assert_int_equal(fixture_stats->journal_quarantined_bytes, said);
}

static void test_a_newer_format_refuses_to_start(void **state)
{
    (void)state;
    struct segment_head h = {.base = 4096, .format = SEGMENT_FORMAT + 1};
    char bytes[SEGMENT_HEAD];
    struct journal *none = NULL;

    memset(h.queue_id, 'f', QUEUE_ID_BYTES);
    segment_head_write(&h, bytes);
    close(openat(journal->dir, "0000000000001000.seg", O_CREAT | O_WRONLY, 0600));
    spoil(4096, 0, bytes, sizeof(bytes));
    journal_close(journal);
    assert_int_equal(
        journal_open(fixture_dir, SEGMENT_BYTES, MAX_BYTES, fixture_stats, &none, &fixture_fail),
        ERR_CORRUPT);
    assert_null(none);
    assert_non_null(strstr(fixture_fail.small, "0000000000001000.seg"));
    assert_non_null(strstr(fixture_fail.small, "format version 2"));
    assert_int_equal(fixture_files(".bad"), 0);
    int dir = -1;

    assert_ok(journal_dir_open(fixture_dir, false, &dir, &fixture_fail));
    assert_int_equal(unlinkat(dir, "0000000000001000.seg", 0), 0);
    close(dir);
    open_journal();
}

static void test_a_second_owner_is_refused(void **state)
{
    (void)state;
    struct journal *second = NULL;

    append(1);
    close(openat(journal->dir, "spare-0.tmp", O_CREAT | O_WRONLY, 0600));
    assert_int_equal(
        journal_open(fixture_dir, SEGMENT_BYTES, MAX_BYTES, fixture_stats, &second, &fixture_fail),
        ERR_LOCKED);
    assert_null(second);
    /* And has touched nothing. */
    assert_int_equal(fixture_files(".tmp"), 1);
    append(1);
}

/* Damage of every kind, anywhere: the next start works, what was not hit is there. */
static void test_damage_costs_what_it_hit_and_nothing_else(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];
    static bool is_hit[FRAMES_MAX];
    static char block[4096];

    for (int round = 0; round < 150; round++) {
        journal_close(journal);
        fixture_tear_down(state);
        fixture_set_up(state);
        frame_count = 0;
        seed = (unsigned)round + 1;
        open_journal();
        for (unsigned i = 10 + dice(150); i > 0; i--)
            append(1 + dice(60));
        memset(is_hit, 0, sizeof(is_hit));
        pos_t top = journal_end(journal);

        for (unsigned hits = 1 + dice(4); hits > 0; hits--) {
            const struct journal_segment *s = &journal->segments[dice((unsigned)journal->count)];
            off_t offset = SEGMENT_HEAD + dice(SEGMENT_BYTES);
            size_t n = dice(2) ? 1 : sizeof(block);

            memset(block, dice(2) ? 0 : (int)dice(256), sizeof(block));
            if (offset > (off_t)s->bytes)
                continue;
            spoil(s->base, offset, block, n);
            for (size_t i = 0; i < frame_count; i++)
                if (frames[i].pos < s->base + (pos_t)offset - SEGMENT_HEAD + n &&
                    frames[i].end > s->base + (pos_t)offset - SEGMENT_HEAD &&
                    frames[i].pos >= s->base &&
                    (s + 1 == journal->segments + journal->count || frames[i].pos < s[1].base))
                    is_hit[i] = true;
        }
        if (dice(3) == 0) {
            char name[SEGMENT_NAME];
            off_t cut = SEGMENT_HEAD + dice(SEGMENT_BYTES / 2);
            pos_t base = journal->segments[journal->count - 1].base;

            segment_name(base, name);
            int fd = openat(journal->dir, name, O_WRONLY);

            assert_int_equal(ftruncate(fd, cut), 0);
            close(fd);
            for (size_t i = 0; i < frame_count; i++)
                if (frames[i].end > base + (pos_t)cut - SEGMENT_HEAD)
                    is_hit[i] = true;
        }
        crash_journal();
        open_journal();
        assert_true(journal->start >= top);
        (void)read_back(found);
        for (size_t i = 0; i < frame_count; i++)
            assert_true(found[i] || is_hit[i]);
        assert_int_equal(replayed_points(), written_points(found));
        append(3);
        reopen_journal();
        (void)read_back(found);
        assert_true(found[frame_count - 1]);
    }
}

static void test_committed_segments_go_or_are_reused(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];

    while (journal->count < 6)
        append(100);
    journal_trim(journal, journal->segments[0].end - 1);
    assert_int_equal(journal->count, 6);
    journal_trim(journal, journal->segments[2].end);
    assert_int_equal(journal->count, 3);
    assert_int_equal(fixture_files(".seg"), 3);
    assert_int_equal(fixture_files(".tmp"), JOURNAL_SPARES);
    assert_int_equal(fixture_stats->journal_segments, 3);
    assert_int_equal(fixture_stats->journal_disk_bytes, 5 * SEGMENT_BYTES);
    pos_t kept = journal->segments[0].base;

    while (journal->count < 6)
        append(100);
    assert_int_equal(fixture_files(".tmp"), 0);
    crash_journal();
    open_journal();
    (void)read_back(found);
    for (size_t i = 0; i < frame_count; i++)
        assert_int_equal(found[i], frames[i].pos >= kept);
    assert_int_equal(fixture_stats->journal_quarantined_bytes, 0);
    /* The newest stays, whatever is committed: it says how far positions have come. */
    journal_trim(journal, UINT64_MAX);
    assert_int_equal(journal->count, 1);
}

static void test_budget_is_kept(void **state)
{
    (void)state;
    uint64_t budget = journal_budget_end(journal) - journal_end(journal);

    assert_true(budget > MAX_BYTES / 2 && budget <= MAX_BYTES);
    while (journal_end(journal) + 4096 < journal_budget_end(journal))
        append(100);
    assert_true(journal->file_bytes <= MAX_BYTES);
    assert_int_equal(fixture_files(".seg"), journal->count);
    pos_t full = journal_budget_end(journal);

    journal_trim(journal, journal->segments[3].end);
    assert_true(journal_budget_end(journal) >= full + 3 * (SEGMENT_BYTES - SEGMENT_HEAD));
}

static void test_a_frame_longer_than_a_segment_has_its_own(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];
    static struct point points[2000];
    struct batch b = fixture_batch(points, 2000, 1, 0);

    append(1);
    for (size_t i = 0; i < array_len(points); i++)
        points[i].key = (struct str){&"a rather long key number 0123456789"[i % 10], 25};
    assert_true(record_bound(&b) > SEGMENT_BYTES);
    static char bytes[256 << 10];
    uint64_t head[FRAME_HEAD_WORDS];
    struct str payload = {bytes + FRAME_HEAD, record_encode(&b, bytes + FRAME_HEAD)};
    uint64_t whole = frame_bytes(payload.n);

    assert_true(whole > SEGMENT_BYTES);
    assert_ok(journal_roll(journal, journal_end(journal), &fixture_fail));
    pos_t pos = journal_end(journal);

    frame_head_write(head, pos, 0, RECORD_VERSION, payload, frame_hash(payload));
    memcpy(bytes, head, sizeof(head));
    struct iovec piece = {bytes, whole};

    assert_ok(journal_write(journal, &piece, 1, &fixture_fail));
    assert_ok(journal_sync(journal, &fixture_fail));
    frames[frame_count++] = (struct written){pos, pos + whole, 2000, 0};
    assert_int_equal(journal_room(journal), 0);
    append(1);
    assert_int_equal(journal->count, 3);
    crash_journal();
    open_journal();
    assert_int_equal(read_back(found), 3);
}

/* A file size limit stands in for the full disk: the same calls fail in the same places. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_no_room_fails_cleanly_and_works_again(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];

    signal(SIGXFSZ, SIG_IGN);
    append(10);
    pos_t end = journal_end(journal);

    limit_files(SEGMENT_BYTES / 2);
    assert_int_equal(journal_roll(journal, end, &fixture_fail), ERR_DISK);
    assert_false(journal_is_writable(journal));
    assert_int_equal(fixture_files(".tmp"), 0);
    assert_int_equal(journal_roll(journal, end, &fixture_fail), ERR_DISK);
    limit_files(RLIM_INFINITY);
    assert_ok(journal_roll(journal, end, &fixture_fail));
    append(10);
    limit_files((rlim_t)journal->used + 8);
    static char bytes[4096];
    struct iovec piece = {bytes, sizeof(bytes)};

    assert_int_equal(journal_write(journal, &piece, 1, &fixture_fail), ERR_DISK);
    journal_poison(journal, frames[1].end);
    limit_files(RLIM_INFINITY);
    assert_false(journal_is_writable(journal));
    assert_int_equal(journal_end(journal), frames[1].end);
    assert_ok(journal_roll(journal, frames[1].end + sizeof(bytes), &fixture_fail));
    append(10);
    assert_true(fixture_stats->journal_failures >= 3);
    crash_journal();
    open_journal();
    assert_int_equal(read_back(found), 3);
}

static void test_a_full_disk_does_not_keep_it_from_opening(void **state)
{
    (void)state;
    static bool found[FRAMES_MAX];

    signal(SIGXFSZ, SIG_IGN);
    append(10);
    journal_close(journal);
    limit_files(SEGMENT_BYTES / 2);
    open_journal();
    limit_files(RLIM_INFINITY);
    assert_false(journal_is_writable(journal));
    assert_int_equal(read_back(found), 1);
    assert_ok(journal_roll(journal, journal->start, &fixture_fail));
    append(1);
    assert_int_equal(read_back(found), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_synced_is_found_after_a_crash, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_clean_end_leaves_no_unused_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_positions_never_go_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_start_is_behind_what_was_lost_without_a_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_restarts_do_not_pile_up_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_emptied_directory_is_a_new_queue, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_lost_id_is_read_from_the_segments, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_bad_headers_are_set_aside_and_the_rest_is_kept, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_damaged_header_does_not_hide_its_frames, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_segment_of_another_queue_is_set_aside, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_an_id_without_checksum_is_believed_when_the_segments_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable_is_not_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_removed_directory_is_noticed_at_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_damaged_segment_can_be_looked_at_for_ever, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_kept_segment_can_still_be_set_aside, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_newer_format_refuses_to_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_second_owner_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_costs_what_it_hit_and_nothing_else, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_committed_segments_go_or_are_reused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_budget_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_frame_longer_than_a_segment_has_its_own, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_room_fails_cleanly_and_works_again, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_disk_does_not_keep_it_from_opening, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
