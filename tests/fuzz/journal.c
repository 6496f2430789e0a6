/*
 * journal: whatever becomes of segment files, their undamaged frames are read, and nothing else.
 *
 * Input: one command a line, first to write segments, then to damage them.
 *
 *     points N      a frame whose record holds N points (at most 50)
 *     frame TEXT    a frame with this payload
 *     stale TEXT    the same with the position of another place, as a recycled file holds it
 *     next          what follows goes to a new segment
 *     room N        N zeros behind the last frame (at most 8192)
 *     junk TEXT     bytes that are no frame
 *     flip S AT X   in segment S, byte AT is xor-ed with X
 *     wipe S AT N   N bytes become zero
 *     tear S N      the file ends N bytes early
 *     format S N    its header is one of format version N, with the right checksum
 *
 * The files are written, read with a cursor, and opened as a journal twice: the second time there
 * must be as much in it as the first time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/log.h"
#include "ingest/frame.h"
#include "ingest/journal.h"
#include "ingest/segment.h"
#include "schema/errors.h"
#include "schema/record.h"
#include "tests/fuzz/fuzz.h"

enum { SEGMENTS_MAX = 4, FRAMES_MAX = 256, POINTS_MAX = 50, ROOM_MAX = 8192 };

static const pos_t first_base = 1 << 20;
static const char queue_name[] = "00112233445566778899aabbccddeeff";

/* What was written, and what of it is expected back. */
struct frame {
    size_t segment;
    pos_t pos;
    pos_t end;
    unsigned partition;
    uint32_t points;
    size_t bytes; /* that the checksum covers */
};

struct image {
    pos_t base;
    struct buf bytes;
    struct str pristine; /* before the first damage */
};

struct model {
    struct image segments[SEGMENTS_MAX];
    size_t count;
    struct frame frames[FRAMES_MAX];
    size_t nframes;
    bool is_damaged; /* writing is over */
};

static char folder[64];

static void folder_remove(void)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", folder);
    check(system(command) == 0);
}

/* An empty data directory with an empty journal in it; returns the journal's descriptor. */
static int folder_empty(void)
{
    char path[128];
    pos_t *bases = NULL;
    size_t count = 0;
    struct fail f;
    int fd;

    if (!folder[0]) {
        snprintf(folder, sizeof(folder), "%s/sluice-fuzz-XXXXXX",
                 access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        check(mkdtemp(folder) != NULL);
        atexit(folder_remove);
        log_set_level((enum log_level) - 1); /* damage is what it is all about */
    }
    snprintf(path, sizeof(path), "%s/journal", folder);
    check(mkdir(path, 0700) == 0 || access(path, W_OK) == 0);
    fd = open(path, O_RDONLY | O_DIRECTORY);
    check(fd >= 0);
    fail_init(&f, NULL);
    check(segment_list(fd, &bases, &count, &f) == OK);
    for (size_t i = 0; i < count; i++) {
        char name[SEGMENT_NAME];

        segment_name(bases[i], name);
        unlinkat(fd, name, 0);
        snprintf(name, sizeof(name), "%016llx.bad", (unsigned long long)bases[i]);
        unlinkat(fd, name, 0);
    }
    free(bases);
    unlinkat(fd, "id", 0);
    return fd;
}

/* -- writing --------------------------------------------------------------------------------- */

static struct image *last_image(struct model *m)
{
    return &m->segments[m->count - 1];
}

static pos_t image_end(const struct image *s)
{
    return s->base + buf_len(&s->bytes) - SEGMENT_HEAD;
}

static void begin_segment(struct model *m, pos_t base)
{
    struct image *s = &m->segments[m->count++];
    struct segment_head h = {.base = base, .format = SEGMENT_FORMAT, .created_ms = 5};
    char head[SEGMENT_HEAD];

    memcpy(h.queue_id, queue_name, sizeof(h.queue_id));
    segment_head_write(&h, head);
    s->base = base;
    buf_init(&s->bytes);
    buf_add(&s->bytes, head, sizeof(head));
}

static void add_frame(struct model *m, struct str payload, uint32_t points, pos_t shift)
{
    struct image *s = last_image(m);
    unsigned partition = (unsigned)m->nframes % QUEUE_PARTITIONS;
    uint64_t head[FRAME_HEAD_WORDS];
    pos_t pos = image_end(s);
    size_t whole = frame_bytes(payload.n);

    if (m->nframes == FRAMES_MAX)
        return;
    frame_head_write(head, pos + shift, partition, RECORD_VERSION, payload, frame_hash(payload));
    buf_add(&s->bytes, head, sizeof(head));
    buf_add_str(&s->bytes, payload);
    for (size_t i = FRAME_HEAD + payload.n; i < whole; i++)
        buf_add_byte(&s->bytes, 0);
    if (shift == 0)
        m->frames[m->nframes++] = (struct frame){m->count - 1, pos,    pos + whole,
                                                 partition,    points, FRAME_HEAD + payload.n};
}

static void add_record(struct arena *a, struct model *m, uint64_t n)
{
    struct batch b = {.npoints = (uint32_t)(n < POINTS_MAX ? n : POINTS_MAX)};
    char *bytes;

    b.points = arena_array(a, b.npoints, sizeof(*b.points));
    for (uint32_t i = 0; i < b.npoints; i++)
        b.points[i] = (struct point){.key = STR("loss"), .value = i, .step = i};
    (void)run_id_set(&b.run, STR("0123456789abcdef0123456789abcdef"));
    bytes = arena_alloc(a, record_bound(&b));
    add_frame(m, (struct str){bytes, record_encode(&b, bytes)}, b.npoints, 0);
}

static void add_zeros(struct model *m, uint64_t n)
{
    for (uint64_t i = 0; i < n && i < ROOM_MAX; i++)
        buf_add_byte(&last_image(m)->bytes, 0);
}

static uint64_t take_number(struct str *s)
{
    uint64_t n = 0;

    *s = str_trim(*s);
    for (; s->n && s->p[0] >= '0' && s->p[0] <= '9' && n < 1u << 30; *s = str_skip(*s, 1))
        n = n * 10 + (unsigned)(s->p[0] - '0');
    return n;
}

static void write_line(struct arena *a, struct model *m, struct str line)
{
    struct str word = str_cut(&line, ' ');

    if (str_eq(word, STR("points")))
        add_record(a, m, take_number(&line));
    else if (str_eq(word, STR("frame")))
        add_frame(m, line, record_points(line, RECORD_VERSION), 0);
    else if (str_eq(word, STR("stale")))
        add_frame(m, line, 0, 4096);
    else if (str_eq(word, STR("room")))
        add_zeros(m, take_number(&line));
    else if (str_eq(word, STR("junk")))
        buf_add_str(&last_image(m)->bytes, line);
    else if (str_eq(word, STR("next")) && m->count < SEGMENTS_MAX &&
             image_end(last_image(m)) > last_image(m)->base)
        begin_segment(m, (image_end(last_image(m)) + 7) / 8 * 8);
    while (buf_len(&last_image(m)->bytes) % FRAME_ALIGN)
        buf_add_byte(&last_image(m)->bytes, 0);
}

/* -- damage ---------------------------------------------------------------------------------- */

static bool is_damage(struct str line)
{
    return str_starts(line, STR("flip ")) || str_starts(line, STR("wipe ")) ||
           str_starts(line, STR("tear ")) || str_starts(line, STR("format "));
}

static void damage_line(struct model *m, struct str line)
{
    struct str word = str_cut(&line, ' ');
    struct image *s = &m->segments[take_number(&line) % m->count];
    uint64_t at = take_number(&line), n = take_number(&line);
    struct str bytes = buf_str(&s->bytes);
    char *p = (char *)(uintptr_t)bytes.p;

    if (str_eq(word, STR("tear"))) {
        struct str kept = str_head(bytes, bytes.n > at ? bytes.n - at : 0);
        struct buf shorter;

        buf_init(&shorter);
        buf_add_str(&shorter, kept);
        buf_fini(&s->bytes);
        s->bytes = shorter;
    } else if (str_eq(word, STR("format"))) {
        struct segment_head h = {.base = s->base, .format = (uint32_t)at, .created_ms = 5};

        memcpy(h.queue_id, queue_name, sizeof(h.queue_id));
        if (bytes.n >= SEGMENT_HEAD)
            segment_head_write(&h, p);
    } else if (str_eq(word, STR("flip")) && at < bytes.n) {
        p[at] = (char)(p[at] ^ (char)n);
    } else {
        for (uint64_t i = at; i < bytes.n && i - at < n; i++)
            p[i] = 0;
    }
}

/* -- what must come of it -------------------------------------------------------------------- */

/* The bytes [from, from + n) of the file are there as they were written. */
static bool is_intact(const struct image *s, size_t from, size_t n)
{
    struct str now = buf_str(&s->bytes);

    return from + n <= now.n && memcmp(now.p + from, s->pristine.p + from, n) == 0;
}

static bool frame_is_expected(const struct model *m, const struct frame *e)
{
    const struct image *s = &m->segments[e->segment];

    return e->end <= image_end(s) && buf_len(&s->bytes) >= SEGMENT_HEAD &&
           is_intact(s, e->pos - s->base + SEGMENT_HEAD, e->bytes);
}

/* Did a newer program write it? Then nobody touches it. A flipped bit does not make it newer. */
static bool is_from_the_future(const struct image *s)
{
    struct str now = buf_str(&s->bytes);
    uint64_t sum = 0;
    uint32_t format = 0;

    if (now.n < SEGMENT_HEAD || memcmp(now.p, "SLUICEJ1", 8) != 0)
        return false;
    memcpy(&format, now.p + 8, sizeof(format));
    memcpy(&sum, now.p + 56, sizeof(sum));
    return format > SEGMENT_FORMAT && sum == XXH3_64bits(now.p, 56);
}

static void check_cursor(const struct model *m, int dir, size_t segment)
{
    const struct image *s = &m->segments[segment];
    struct segment_cursor c;
    struct entry entry;
    struct fail f;
    size_t expected = 0;
    err_t e;

    fail_init(&f, NULL);
    for (size_t i = 0; i < m->nframes; i++)
        expected += m->frames[i].segment == segment && frame_is_expected(m, &m->frames[i]);
    e = segment_cursor_open(&c, dir, s->base, &f);
    if (e) {
        fuzz_check_refusal(e, &f);
        check(e == ERR_CORRUPT && (expected == 0 || is_from_the_future(s)));
        return;
    }
    for (size_t i = 0; i < m->nframes; i++) {
        const struct frame *want = &m->frames[i];
        const char *payload;

        if (want->segment != segment || !frame_is_expected(m, want))
            continue;
        payload = s->pristine.p + (want->pos - s->base) + SEGMENT_HEAD + FRAME_HEAD;
        check(segment_cursor_next(&c, UINT64_MAX, &entry));
        check(entry.pos == want->pos && entry.end == want->end);
        check(entry.partition == want->partition && entry.version == RECORD_VERSION);
        check(str_eq(entry.payload, (struct str){payload, want->bytes - FRAME_HEAD}));
    }
    check(!segment_cursor_next(&c, UINT64_MAX, &entry));
    check(c.unreadable_bytes == 0);
    segment_cursor_close(&c);
}

static uint64_t points_in(const struct journal *j)
{
    uint64_t n = 0;

    for (size_t i = 0; i < j->count; i++)
        for (size_t p = 0; p < QUEUE_PARTITIONS; p++)
            n += j->segments[i].points[p];
    return n;
}

static void check_journal(const struct model *m, struct stats *stats)
{
    uint64_t expected = 0, before = 0;
    bool is_newer = false;
    pos_t start = 0;

    for (size_t i = 0; i < m->nframes; i++)
        expected += frame_is_expected(m, &m->frames[i]) ? m->frames[i].points : 0;
    for (size_t i = 0; i < m->count; i++)
        is_newer |= is_from_the_future(&m->segments[i]);
    for (int round = 0; round < 2; round++) {
        struct journal *j = NULL;
        struct fail f;
        err_t e;

        fail_init(&f, NULL);
        e = journal_open(folder, 1 << 20, 64 << 20, stats, &j, &f);
        check((e == ERR_CORRUPT) == is_newer);
        if (e)
            return;
        check(points_in(j) == expected);
        check(j->start > start && j->start % FRAME_ALIGN == 0);
        check(j->start >= image_end(&m->segments[m->count - 1]));
        check(round == 0 || points_in(j) == before);
        before = points_in(j);
        start = j->start;
        journal_close(j);
    }
}

static void fuzz_one(struct arena *a, struct str in)
{
    struct model m = {.count = 0};
    struct stats *stats = stats_new();
    int dir = folder_empty();

    begin_segment(&m, first_base);
    while (in.n && !is_damage(in))
        write_line(a, &m, fuzz_line(&in));
    for (size_t i = 0; i < m.count; i++)
        m.segments[i].pristine = arena_dup(a, buf_str(&m.segments[i].bytes));
    while (in.n)
        damage_line(&m, fuzz_line(&in));
    for (size_t i = 0; i < m.count; i++) {
        char name[SEGMENT_NAME];
        struct str bytes = buf_str(&m.segments[i].bytes);
        int fd;

        segment_name(m.segments[i].base, name);
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        check(fd >= 0 && write(fd, bytes.p, bytes.n) == (ssize_t)bytes.n);
        close(fd);
    }
    for (size_t i = 0; i < m.count; i++)
        check_cursor(&m, dir, i);
    check_journal(&m, stats);
    for (size_t i = 0; i < m.count; i++)
        buf_fini(&m.segments[i].bytes);
    close(dir);
    stats_free(stats);
}
