/*
 * segment: a file `<base as 16 hex digits>.seg`. Little-endian:
 *
 *   0   8 bytes  "SLUICEJ1"
 *   8   u32      format version (1)
 *   12  u32      bytes of this header (64)
 *   16  u64      base: position of the first frame; the same as in the name
 *   24  16 bytes queue id
 *   40  u64      created, ms since the epoch
 *   48  u64      zero
 *   56  u64      XXH3-64 of the 56 bytes before
 *   64           frames (frame.c), each at offset 64 + pos - base, one behind the other
 *
 * The file is longer than what was written: it is allocated in advance, with zeros or with what
 * a recycled file held before. Where the frames end is therefore nowhere noted; it is where the
 * last valid one ends.
 *
 * The 64 bytes of the header mean the same in every version, so that a program can tell a newer
 * file, which it must leave alone, from a header in which a bit has flipped, which must not keep it
 * from starting: the format is believed only under a right checksum. A newer version may put
 * anything behind them. tests/golden holds a file of each version, which must be readable for ever.
 *
 * Validity rule: a frame is valid when its own pos is where it stands, its length fits in the
 * file, and its checksum is right. Where there is none the cursor tries the next multiple of 8, up
 * to the end of the file: after a torn tail it finds nothing, after a damaged block in the middle
 * it finds the frames behind it, and the bytes between are counted in skipped_bytes.
 *
 * What the disk does not give (EIO) is not damage: it may give it at the next try, and entries in it
 * were acked. Who counts and shows (replay, `sluice journal`) passes over such a page as if it were
 * zeros, so that it does not hide the rest; who moves entries on (the flushers' reader) is strict: it
 * stops in front of it, says so, and tries again.
 *
 * A damaged header must not hide its frames either: they carry their positions themselves, and the
 * name of the file says where the first one belongs. So a file without a sound header is a segment
 * all the same when there is a valid frame in it (its queue_id is "" then).
 */
#include "ingest/segment.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/log.h"
#include "ingest/frame.h"
#include "schema/errors.h"

enum { SEGMENT_BUFFER = 256 << 10, SEGMENT_PAGE = 4096, SEGMENT_BASE_DIGITS = 16 };

static const char segment_magic[8] = {'S', 'L', 'U', 'I', 'C', 'E', 'J', '1'};

/* -- names --------------------------------------------------------------------------------- */

void segment_name(pos_t base, char out[SEGMENT_NAME])
{
    snprintf(out, SEGMENT_NAME, "%016" PRIx64 ".seg", base);
}

bool segment_parse_name(const char *name, pos_t *base)
{
    char again[SEGMENT_NAME];

    if (strlen(name) != SEGMENT_BASE_DIGITS + 4)
        return false;
    *base = strtoull(name, NULL, 16);
    segment_name(*base, again);
    return strcmp(name, again) == 0;
}

static int compare_bases(const void *a, const void *b)
{
    pos_t x = *(const pos_t *)a;
    pos_t y = *(const pos_t *)b;

    return (x > y) - (x < y);
}

err_t segment_list(int dir, pos_t **bases, size_t *count, struct fail *f)
{
    /* A descriptor of its own: reading a directory moves the descriptor's place. */
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    size_t cap = 0;

    *bases = NULL;
    *count = 0;
    if (!d) {
        if (fd >= 0)
            close(fd);
        return fail(f, ERR_DISK, "the journal directory cannot be read: %m");
    }
    for (struct dirent *item = readdir(d); item; item = readdir(d)) {
        pos_t base;

        if (!segment_parse_name(item->d_name, &base))
            continue;
        if (*count == cap) {
            cap = cap ? 2 * cap : 16;
            *bases = realloc(*bases, cap * sizeof(**bases));
            check(*bases);
        }
        (*bases)[(*count)++] = base;
    }
    closedir(d);
    if (*count > 0)
        qsort(*bases, *count, sizeof(**bases), compare_bases);
    return OK;
}

/* -- header -------------------------------------------------------------------------------- */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c - 'a' + 10;
}

static void put_le(char *out, uint64_t v, size_t n)
{
    uint64_t le = htole64(v);

    memcpy(out, &le, n);
}

static uint64_t get_le(const char *in, size_t n)
{
    uint64_t v = 0;

    memcpy(&v, in, n);
    return le64toh(v);
}

void segment_head_write(const struct segment_head *h, char out[SEGMENT_HEAD])
{
    memset(out, 0, SEGMENT_HEAD);
    memcpy(out, segment_magic, sizeof(segment_magic));
    put_le(out + 8, h->format, 4);
    put_le(out + 12, SEGMENT_HEAD, 4);
    put_le(out + 16, h->base, 8);
    for (size_t i = 0; i < QUEUE_ID_BYTES / 2; i++)
        out[24 + i] =
            (char)(hex_value(h->queue_id[2 * i]) << 4 | hex_value(h->queue_id[2 * i + 1]));
    put_le(out + 40, h->created_ms, 8);
    put_le(out + 56, XXH3_64bits(out, 56), 8);
}

err_t segment_head_read(const char in[SEGMENT_HEAD], struct segment_head *h, struct fail *f)
{
    memset(h, 0, sizeof(*h));
    if (memcmp(in, segment_magic, sizeof(segment_magic)) != 0)
        return fail(f, ERR_CORRUPT, "it does not begin as a journal segment");
    if (get_le(in + 56, 8) != XXH3_64bits(in, 56))
        return fail(f, ERR_CORRUPT, "the checksum of its header is wrong");
    h->format = (uint32_t)get_le(in + 8, 4);
    if (h->format > SEGMENT_FORMAT)
        return fail(f, ERR_CORRUPT,
                    "it has format version %u and this program reads up to %d: start the version "
                    "that wrote it, or let that one flush it",
                    h->format, SEGMENT_FORMAT);
    if (h->format == 0 || get_le(in + 12, 4) != SEGMENT_HEAD)
        return fail(f, ERR_CORRUPT, "its header is none that any version has written");
    h->base = get_le(in + 16, 8);
    h->created_ms = get_le(in + 40, 8);
    for (size_t i = 0; i < QUEUE_ID_BYTES / 2; i++)
        snprintf(h->queue_id + 2 * i, 3, "%02x", (unsigned)(unsigned char)in[24 + i]);
    return OK;
}

static err_t segment_open_file(int dir, pos_t base, int *fd, struct fail *f)
{
    char name[SEGMENT_NAME];

    segment_name(base, name);
    *fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return fail(f, errno == ENOENT ? ERR_NOT_FOUND : ERR_DISK, "%s: %m", name);
    return OK;
}

/* ERR_DISK: the header may be there, the disk does not give it. */
static err_t segment_head_from(int fd, struct segment_head *h, struct fail *f)
{
    char head[SEGMENT_HEAD];
    ssize_t n = pread(fd, head, sizeof(head), 0);

    memset(h, 0, sizeof(*h));
    if (n < 0)
        return fail(f, ERR_DISK, "its header cannot be read: %m");
    if (n != SEGMENT_HEAD)
        return fail(f, ERR_CORRUPT, "it is shorter than a header");
    return segment_head_read(head, h, f);
}

err_t segment_head_load(int dir, pos_t base, struct segment_head *h, struct fail *f)
{
    int fd = -1;
    err_t e = segment_open_file(dir, base, &fd, f);

    memset(h, 0, sizeof(*h));
    if (e)
        return e;
    e = segment_head_from(fd, h, f);
    close(fd);
    return e;
}

void segment_keep(int dir, pos_t base)
{
    char name[SEGMENT_NAME];
    char kept[SEGMENT_NAME];

    segment_name(base, name);
    snprintf(kept, sizeof(kept), "%.16s.bad", name);
    if (linkat(dir, name, dir, kept, 0) == 0)
        log_info("", "a damaged journal segment is kept", "file=%s as=%s", name, kept);
    else if (errno != EEXIST)
        log_warn("", "a damaged journal segment cannot be kept", "file=%s error=%m", name);
}

/* -- reading ------------------------------------------------------------------------------- */

/* The header is damaged: does the name of the file fit the frames in it? */
static bool segment_adopt(struct segment_cursor *c, pos_t base)
{
    struct entry e;

    c->head = (struct segment_head){.base = base, .format = SEGMENT_FORMAT};
    c->at = base;
    if (!segment_cursor_next(c, UINT64_MAX, &e))
        return false;
    c->at = base;
    c->skipped_bytes = c->unreadable_bytes = 0;
    c->loaded = 0; /* it holds bytes that a writer may not have written yet */
    return true;
}

err_t segment_cursor_open(struct segment_cursor *c, int dir, pos_t base, struct fail *f)
{
    struct stat st;
    err_t head = OK;
    err_t e = OK;

    memset(c, 0, sizeof(*c));
    if ((e = segment_open_file(dir, base, &c->fd, f)))
        return e;
    if (fstat(c->fd, &st) < 0) {
        e = fail(f, ERR_DISK, "%016" PRIx64 ".seg: %m", base);
        goto out;
    }
    c->file_bytes = (uint64_t)st.st_size;
    c->at = base;
    e = head = segment_head_from(c->fd, &c->head, f);
    if (e && c->head.format <= SEGMENT_FORMAT && segment_adopt(c, base)) {
        *(head == ERR_DISK ? &c->unreadable_bytes : &c->skipped_bytes) = SEGMENT_HEAD;
        e = OK;
    } else if (e == ERR_DISK) {
        c->unreadable_bytes = c->file_bytes;
    } else if (e == ERR_CORRUPT && c->unreadable_bytes > 0) {
        e = fail(f, ERR_DISK, "its header is damaged and its frames cannot be read");
    }
    if (!e && c->head.base != base)
        e = fail(f, ERR_CORRUPT, "its header is that of another segment");
out:
    if (e)
        segment_cursor_close(c);
    return e;
}

void segment_cursor_close(struct segment_cursor *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->buffer);
    c->fd = -1;
    c->buffer = NULL;
    c->buffer_bytes = c->loaded = 0;
}

void segment_cursor_seek(struct segment_cursor *c, pos_t pos)
{
    check(pos >= c->head.base);
    c->at = pos;
}

/* As much as there is, up to n bytes; what cannot be read is zeros, or the end when strict. */
static size_t segment_read(struct segment_cursor *c, char *out, size_t n, uint64_t offset,
                           int *error)
{
    size_t have = 0;

    *error = 0;
    while (have < n) {
        ssize_t got = pread(c->fd, out + have, n - have, (off_t)(offset + have));

        if (got == 0)
            break;
        if (got > 0) {
            have += (size_t)got;
        } else if (errno != EINTR && c->is_strict) {
            *error = errno;
            break;
        } else if (errno != EINTR) {
            size_t page = SEGMENT_PAGE - (offset + have) % SEGMENT_PAGE;

            if (page > n - have)
                page = n - have;
            log_error("", "a page of the journal cannot be read", "offset=%" PRIu64 " error=%m",
                      offset + have);
            memset(out + have, 0, page);
            have += page;
            c->unreadable_bytes += page;
        }
    }
    return have;
}

/* n bytes at pos, in the buffer; NULL when the file ends before. Nothing at or behind end is kept:
 * in the segment that is being written those bytes are still to come. */
static const char *segment_load(struct segment_cursor *c, pos_t pos, size_t n, pos_t end)
{
    uint64_t offset = pos - c->head.base + SEGMENT_HEAD;

    if (offset >= c->loaded_at && offset + n <= c->loaded_at + c->loaded)
        return c->buffer + (offset - c->loaded_at);
    if (n > c->buffer_bytes) {
        c->buffer_bytes = n > SEGMENT_BUFFER ? n : SEGMENT_BUFFER;
        free(c->buffer);
        c->buffer = malloc(c->buffer_bytes);
        check(c->buffer);
    }
    size_t want = end - pos < c->buffer_bytes ? end - pos : c->buffer_bytes;
    int error = 0;

    c->loaded_at = offset;
    c->loaded = segment_read(c, c->buffer, want, offset, &error);
    if (c->loaded >= n)
        return c->buffer;
    c->error = error;
    return NULL;
}

/* Is there a valid frame at pos, and does it end by end? */
static bool segment_frame_at(struct segment_cursor *c, pos_t pos, pos_t end, struct entry *out)
{
    const char *bytes = segment_load(c, pos, FRAME_HEAD, end);

    if (!bytes || !frame_head_read(bytes, pos, out) || out->end > end)
        return false;
    bytes = segment_load(c, pos, FRAME_HEAD + out->payload.n, end);
    if (!bytes)
        return false;
    out->payload.p = bytes + FRAME_HEAD;
    return frame_is_sound(bytes, out);
}

/* Where the file ends, as a position. */
static pos_t segment_file_end(const struct segment_cursor *c)
{
    return c->head.base + (c->file_bytes > SEGMENT_HEAD ? c->file_bytes - SEGMENT_HEAD : 0);
}

/* Has the file grown since it was last looked at? */
static bool segment_has_grown(struct segment_cursor *c)
{
    uint64_t before = c->file_bytes;
    struct stat st;

    if (fstat(c->fd, &st) == 0)
        c->file_bytes = (uint64_t)st.st_size;
    return c->file_bytes > before;
}

bool segment_cursor_next(struct segment_cursor *c, pos_t limit, struct entry *out)
{
    c->error = 0;
    do {
        pos_t file_end = segment_file_end(c);
        pos_t end = limit < file_end ? limit : file_end;

        for (pos_t pos = c->at; pos + FRAME_HEAD <= end; pos += FRAME_ALIGN) {
            if (segment_frame_at(c, pos, end, out)) {
                c->skipped_bytes += pos - c->at;
                c->at = out->end;
                return true;
            }
            if (c->error)
                return false;
        }
    } while (limit > segment_file_end(c) && segment_has_grown(c));
    return false;
}

uint64_t segment_cursor_torn(struct segment_cursor *c, pos_t limit)
{
    pos_t file_end = segment_file_end(c);
    pos_t end = limit < file_end ? limit : file_end;
    struct entry e;
    const char *bytes = c->at + FRAME_HEAD <= end ? segment_load(c, c->at, FRAME_HEAD, end) : NULL;

    if (!bytes || !frame_head_read(bytes, c->at, &e))
        return 0;
    return (e.end < end ? e.end : end) - c->at;
}
