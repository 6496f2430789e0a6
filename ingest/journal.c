/*
 * journal: <data_dir>/journal
 *
 *   lock, id     whose it is and what its name is (journal_dir.c)
 *   <base>.seg   segments (segment.c), each holding a stretch of the stream
 *   next.tmp     a segment in the making; spare-N.tmp a finished one kept for reuse
 *   <base>.bad   for whoever wants to look, and never touched again: a file that was no segment of
 *                ours, moved aside; or a segment in which damage was found, by a second name that
 *                stays when the segment goes (segment_keep). They are outside of max_bytes
 *
 * Positions are bytes of an endless stream and only grow. A new start begins a new segment at the
 * first multiple of POS_STEP that is at least one step behind everything that any file here could
 * have held. So a position is never used twice, even when a torn tail is dropped or a file lost its
 * end, and what PostgreSQL has noted as committed can never lie above what is appended now: that
 * passes over lost ranges too, and the newest of them may lie behind the last file by as much as
 * the ring lets writers run ahead. When there is an id but no segment, that reasoning has nothing to
 * stand on, and the queue gets a new id instead.
 *
 * A segment is made as next.tmp, header synced, then renamed, then the directory synced: a file
 * with a segment's name always has a header. fallocate() takes its room at once, so that a full
 * disk is met here and not in the middle of a group. Blocks that are allocated but unwritten cost
 * a metadata commit at each fdatasync, so zeros are written ZERO_AHEAD in front of the data, and
 * finished segments are reused. Measured here, 4 KiB writes, mean us for write + fdatasync: plain
 * append 265-343, fallocated 293-334, zeros 512 KiB ahead 170-276, reused file 145-164. Old
 * frames in a reused file do not validate, because their pos is another (frame.c).
 *
 * Replay first looks at all headers and touches nothing when one is of a newer version. Then it
 * reads all segments once: finds where each one's frames end, counts points by partition, counts,
 * logs and keeps damage. It keeps nothing in memory; readers read the files again. The tail behind
 * the last valid frame is cut off afterwards, when the new segment is safely there. What the disk
 * does not give (EIO) is neither damage nor the end: such a segment counts as full to its end, so
 * that it is not given back before a reader got all of it.
 *
 * After a failed write or fdatasync the kernel may have dropped the pages and marked them clean,
 * so a second fdatasync that succeeds proves nothing: the segment is poisoned, nothing is retried
 * on it, and what follows goes to a new file. A segment whose name is gone counts as failed too:
 * somebody removed the directory, and what is synced to it nobody will ever find.
 */
#define _GNU_SOURCE /* fallocate */
#include "ingest/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "ingest/journal_dir.h"
#include "ingest/segment.h"
#include "schema/errors.h"
#include "schema/record.h"

enum {
    JOURNAL_SPARES = 2,
    JOURNAL_BLOCK = 4096,
    JOURNAL_ZERO_AHEAD = 512 << 10,
    JOURNAL_NAME = 64
};

/* At least the largest segment and half the largest ring that the settings allow. A position is a
 * bigint in PostgreSQL: room for a thousand million starts. */
#define JOURNAL_POS_STEP ((pos_t)8 << 30)

static const char journal_next[] = "next.tmp";

static uint64_t round_up(uint64_t n, uint64_t step)
{
    return (n + step - 1) / step * step;
}

/* -- the list ------------------------------------------------------------------------------ */

static struct journal_segment *journal_last(const struct journal *j)
{
    return j->count > 0 ? &j->segments[j->count - 1] : NULL;
}

static struct journal_segment *journal_add(struct journal *j, pos_t base, uint64_t bytes)
{
    if (j->count == j->cap) {
        j->cap = j->cap ? 2 * j->cap : 16;
        j->segments = realloc(j->segments, j->cap * sizeof(*j->segments));
        check(j->segments);
    }
    struct journal_segment *s = &j->segments[j->count++];

    *s = (struct journal_segment){.base = base, .end = base, .bytes = bytes};
    j->file_bytes += bytes;
    return s;
}

static void journal_note_size(const struct journal *j)
{
    stat_set(j->stats, journal_segments, j->count);
    stat_set(j->stats, journal_disk_bytes, j->file_bytes + j->spares * j->segment_bytes);
}

/* -- replay -------------------------------------------------------------------------------- */

/* The file is no segment of this queue: out of the way, but kept for whoever wants to look. */
static void journal_set_aside(struct journal *j, pos_t base, uint64_t bytes, const struct fail *f)
{
    char name[SEGMENT_NAME];
    char aside[JOURNAL_NAME];

    segment_name(base, name);
    snprintf(aside, sizeof(aside), "%.16s.bad", name);
    stat_add(j->stats, journal_quarantined_bytes, bytes);
    log_error("", "a journal file is no segment and was set aside",
              "file=%s as=%s bytes=%" PRIu64 " reason=%.*s", name, aside, bytes, STR_ARG(f->text));
    /* When it has that name already (segment_keep), rename() does nothing and says that it did. */
    if (renameat(j->dir, name, j->dir, aside) < 0 ||
        (unlinkat(j->dir, name, 0) < 0 && errno != ENOENT))
        log_error("", "setting it aside failed", "file=%s error=%m", name);
}

static uint64_t journal_file_bytes(const struct journal *j, pos_t base)
{
    char name[SEGMENT_NAME];
    struct stat st;

    segment_name(base, name);
    return fstatat(j->dir, name, &st, 0) == 0 ? (uint64_t)st.st_size : 0;
}

static void journal_note_damage(struct journal *j, struct journal_segment *s, uint64_t bytes)
{
    s->may_recycle = false;
    stat_add(j->stats, journal_quarantined_bytes, bytes);
    segment_keep(j->dir, s->base);
}

/* Nobody knows what is in it: it ends where the file does, and stays until a reader got there. */
static void journal_note_unreadable(struct journal *j, struct journal_segment *s, uint64_t bytes,
                                    pos_t next)
{
    uint64_t most = s->bytes > SEGMENT_HEAD ? s->bytes - SEGMENT_HEAD : 0;
    pos_t end = next - s->base < most ? next : s->base + most;

    s->may_recycle = false;
    s->end = end > s->end ? end : s->end;
    stat_add(j->stats, journal_unreadable_bytes, bytes);
    log_error("",
              "the disk does not give all of a journal segment: nothing of it is given up, "
              "flushing stops there until it does",
              "segment=%016" PRIx64 " bytes=%" PRIu64, s->base, bytes);
}

/* Finds the end of the segment's frames and counts its points. next: base of the one behind it. */
static void journal_scan(struct journal *j, struct segment_cursor *c, pos_t next)
{
    struct journal_segment *s = journal_add(j, c->head.base, c->file_bytes);
    struct entry e;

    while (segment_cursor_next(c, next, &e))
        s->points[e.partition] += record_points(e.payload, e.version);
    s->end = c->at;
    s->may_recycle = c->head.queue_id[0] != '\0';
    /* What was passed over for it is no damage, or none that can be told: a reader will see. */
    if (c->unreadable_bytes > 0) {
        journal_note_unreadable(j, s, c->unreadable_bytes, next);
        return;
    }
    if (c->skipped_bytes > 0) {
        log_error("", "the journal is damaged, what follows the damage was kept",
                  "segment=%016" PRIx64 " lost_bytes=%" PRIu64, s->base, c->skipped_bytes);
        journal_note_damage(j, s, c->skipped_bytes);
    }
    /* The next one began within this file, but not where this one's frames end. */
    if (next - s->base <= c->file_bytes - SEGMENT_HEAD && next > s->end) {
        log_error("", "the end of a journal segment is damaged",
                  "segment=%016" PRIx64 " lost_bytes=%" PRIu64, s->base, next - s->end);
        journal_note_damage(j, s, next - s->end);
        return;
    }
    uint64_t torn = segment_cursor_torn(c, next);

    if (torn > 0) {
        stat_add(j->stats, journal_torn_bytes, torn);
        log_warn("",
                 "the last entry of a journal segment is not whole and was never answered, "
                 "unless the disk damaged it",
                 "segment=%016" PRIx64 " bytes=%" PRIu64, s->base, torn);
    }
}

/* One file of the list. next: base of the file behind it. */
static err_t journal_replay_file(struct journal *j, pos_t base, pos_t next, struct fail *f)
{
    struct segment_cursor c;
    struct fail why;

    fail_init(&why, NULL);
    err_t e = segment_cursor_open(&c, j->dir, base, &why);

    if (e == ERR_DISK && c.unreadable_bytes > 0) {
        journal_note_unreadable(j, journal_add(j, base, c.file_bytes), c.unreadable_bytes, next);
        return OK;
    }
    if (e && e != ERR_CORRUPT)
        return fail(f, e, "journal segment %.*s", STR_ARG(why.text));
    bool has_id = !e && c.head.queue_id[0]; /* a damaged header does not say */

    if (has_id && !j->id[0]) /* the survey could not read this header, and there is no file id */
        memcpy(j->id, c.head.queue_id, sizeof(j->id));
    if (has_id && strcmp(c.head.queue_id, j->id) != 0) {
        e = fail(&why, ERR_CORRUPT, "it belongs to another queue, %s", c.head.queue_id);
        segment_cursor_close(&c);
    }
    if (e) {
        journal_set_aside(j, base, journal_file_bytes(j, base), &why);
        return OK;
    }
    journal_scan(j, &c, next);
    segment_cursor_close(&c);
    return OK;
}

/* Looks at all headers, before anything is changed: does a newer version own this journal, and what
 * is the queue's name when the file id does not say it, or says it without a checksum? */
static err_t journal_survey(struct journal *j, const pos_t *bases, size_t count, struct fail *f)
{
    enum journal_id kind = journal_dir_read_id(j->dir, j->id);
    char newest[QUEUE_ID_BYTES + 1] = "";
    bool is_confirmed = false;
    struct fail why;

    fail_init(&why, NULL);
    for (size_t i = 0; i < count; i++) {
        struct segment_head h;
        err_t e = segment_head_load(j->dir, bases[i], &h, &why);

        if (e == ERR_CORRUPT && h.format > SEGMENT_FORMAT)
            return fail(f, ERR_CORRUPT, "journal segment %016" PRIx64 ".seg: %.*s", bases[i],
                        STR_ARG(why.text));
        if (e || h.base != bases[i])
            continue;
        memcpy(newest, h.queue_id, sizeof(newest));
        is_confirmed |= strcmp(newest, j->id) == 0;
    }
    if (kind == JOURNAL_ID_SOUND)
        return OK;
    if (newest[0] && !is_confirmed)
        memcpy(j->id, newest, sizeof(newest));
    if (!j->id[0])
        return OK;
    /* Without it the next start asks the segments again: no reason not to start. */
    if (journal_dir_write_id(j->dir, j->id, &why))
        log_warn("", "the journal's id was not written", "reason=%.*s", STR_ARG(why.text));
    else
        log_info("", "the journal's id was written anew", "id=%s", j->id);
    return OK;
}

static void journal_remove_file(const struct journal *j, const char *name)
{
    if (unlinkat(j->dir, name, 0) < 0 && errno != ENOENT)
        log_error("", "a journal file cannot be removed", "file=%s error=%m", name);
}

static void journal_spare_name(unsigned n, char out[JOURNAL_NAME])
{
    snprintf(out, JOURNAL_NAME, "spare-%u.tmp", n);
}

static void journal_remove_temporaries(struct journal *j)
{
    char name[JOURNAL_NAME];

    journal_remove_file(j, journal_next);
    journal_remove_file(j, "id.tmp");
    for (unsigned i = 0; i < JOURNAL_SPARES; i++) {
        journal_spare_name(i, name);
        journal_remove_file(j, name);
    }
    j->spares = 0;
}

/* Reads what is there and finds where this start may begin to append. */
static err_t journal_replay(struct journal *j, struct fail *f)
{
    uint64_t begin_us = clock_us();
    pos_t top = 0;
    pos_t *bases = NULL;
    size_t count = 0;
    err_t e = OK;

    if ((e = segment_list(j->dir, &bases, &count, f)))
        return e;
    e = journal_survey(j, bases, count, f);
    if (!e)
        journal_remove_temporaries(j);
    for (size_t i = 0; i < count && !e; i++) {
        pos_t extent = bases[i] + journal_file_bytes(j, bases[i]);

        top = extent > top ? extent : top;
        e = journal_replay_file(j, bases[i], i + 1 < count ? bases[i + 1] : UINT64_MAX, f);
    }
    free(bases);
    if (!e && (j->count == 0 || !j->id[0]))
        e = journal_dir_make_id(j->dir, j->id, f);
    j->start = round_up(top + JOURNAL_POS_STEP, JOURNAL_POS_STEP);
    if (!e && count > 0) {
        uint64_t points = 0;

        for (size_t i = 0; i < j->count; i++)
            for (unsigned p = 0; p < QUEUE_PARTITIONS; p++)
                points += j->segments[i].points[p];
        log_info("", "journal replayed",
                 "segments=%zu points=%" PRIu64 " quarantined_bytes=%" PRIu64 " ms=%" PRIu64,
                 j->count, points, atomic_load(&j->stats->journal_quarantined_bytes),
                 (clock_us() - begin_us) / 1000);
    }
    return e;
}

/* Cuts off what lies behind the last frame of each old segment, and drops those without frames.
 * The last entry of the list, the new segment, stays. */
static void journal_tidy(struct journal *j)
{
    size_t kept = 0;

    for (size_t i = 0; i < j->count; i++) {
        struct journal_segment s = j->segments[i];
        uint64_t used = round_up(s.end - s.base + SEGMENT_HEAD, JOURNAL_BLOCK);
        char name[SEGMENT_NAME];

        segment_name(s.base, name);
        if (i + 1 < j->count && s.may_recycle && s.end == s.base) {
            journal_remove_file(j, name);
            j->file_bytes -= s.bytes;
            continue;
        }
        if (i + 1 < j->count && s.may_recycle && used < s.bytes) {
            int fd = openat(j->dir, name, O_WRONLY | O_CLOEXEC);

            if (fd >= 0 && ftruncate(fd, (off_t)used) == 0) {
                j->file_bytes -= s.bytes - used;
                s.bytes = used;
                s.may_recycle = false;
            }
            if (fd >= 0)
                close(fd);
        }
        j->segments[kept++] = s;
    }
    j->count = kept;
}

err_t journal_open(const char *data_dir, uint64_t segment_bytes, uint64_t max_bytes,
                   struct stats *stats, struct journal **out, struct fail *f)
{
    struct journal *j = calloc(1, sizeof(*j));
    struct fail why;
    err_t e = OK;

    check(j);
    fail_init(&why, NULL);
    *out = NULL;
    j->dir = j->lock = j->fd = -1;
    j->stats = stats;
    j->max_bytes = max_bytes;
    j->segment_bytes = round_up(segment_bytes, JOURNAL_BLOCK);
    j->skips_sync = fault_switch("SLUICE_TEST_SKIP_FSYNC");
    if ((e = journal_dir_open(data_dir, true, &j->dir, f)))
        goto out;
    if ((e = journal_dir_lock(j->dir, data_dir, &j->lock, f)))
        goto out;
    if ((e = journal_replay(j, f)))
        goto out;
    journal_dir_unmark(j->dir);
    /* On a full disk what is here must still be flushed, or it would never get room again. */
    if (journal_roll(j, j->start, &why))
        log_error("", "no journal segment could be begun, will try again", "reason=%.*s",
                  STR_ARG(why.text));
    else
        journal_tidy(j);
    journal_note_size(j);
    *out = j;
    j = NULL;
out:
    journal_close(j);
    return e;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0) {
        if (ftruncate(j->fd, (off_t)j->used) < 0 || fsync(j->fd) < 0)
            log_warn("", "the last journal segment could not be shortened", "error=%m");
        close(j->fd);
    }
    /* Only the owner of the lock may touch the others' files. */
    if (j->count > 0)
        journal_remove_temporaries(j);
    if (j->dir >= 0)
        close(j->dir);
    if (j->lock >= 0)
        close(j->lock);
    free(j->segments);
    free(j);
}

/* -- writing ------------------------------------------------------------------------------- */

pos_t journal_end(const struct journal *j)
{
    const struct journal_segment *s = journal_last(j);

    return s ? s->end : 0;
}

bool journal_is_writable(const struct journal *j)
{
    return j->fd >= 0;
}

bool journal_is_empty(const struct journal *j)
{
    return j->used == SEGMENT_HEAD;
}

uint64_t journal_room(const struct journal *j)
{
    return j->fd >= 0 && j->used < j->segment_bytes ? j->segment_bytes - j->used : 0;
}

/* Writes all of it, through short writes and signals. Changes the pieces. */
static bool journal_write_all(int fd, struct iovec *pieces, int count, uint64_t offset)
{
    while (count > 0) {
        ssize_t n = pwritev(fd, pieces, count, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        offset += (size_t)n;
        while (count > 0 && (size_t)n >= pieces->iov_len) {
            n -= (ssize_t)pieces->iov_len;
            pieces++;
            count--;
        }
        if (count > 0) {
            pieces->iov_base = (char *)pieces->iov_base + n;
            pieces->iov_len -= (size_t)n;
        }
    }
    return true;
}

/* A file with the header of the segment at base, on disk but not yet under its name. */
static err_t journal_make_file(struct journal *j, pos_t base, int *fd, char name[JOURNAL_NAME],
                               struct fail *f)
{
    struct segment_head h = {
        .base = base, .format = SEGMENT_FORMAT, .created_ms = (uint64_t)clock_wall_ms()};
    char head[SEGMENT_HEAD];
    bool is_fresh = j->spares == 0;

    if (is_fresh)
        snprintf(name, JOURNAL_NAME, "%s", journal_next);
    else
        journal_spare_name(--j->spares, name);
    *fd = openat(j->dir, name, O_RDWR | O_CLOEXEC | (is_fresh ? O_CREAT | O_TRUNC : 0), 0600);
    if (*fd < 0 && errno == ENOENT)
        return fail(f, ERR_DISK, "the journal directory was removed: restart to begin a new one");
    if (*fd < 0)
        return fail(f, ERR_DISK, "journal segment %s cannot be made: %m", name);
    if (is_fresh && fallocate(*fd, 0, 0, (off_t)j->segment_bytes) < 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS)
        return fail(f, ERR_DISK, "no room for a journal segment of %" PRIu64 " bytes: %m",
                    j->segment_bytes);
    memcpy(h.queue_id, j->id, sizeof(h.queue_id));
    segment_head_write(&h, head);
    struct iovec piece = {head, sizeof(head)};

    if (!journal_write_all(*fd, &piece, 1, 0) || fsync(*fd) < 0)
        return fail(f, ERR_DISK, "journal segment %s cannot be written: %m", name);
    j->zeroed = is_fresh ? SEGMENT_HEAD : j->segment_bytes;
    return OK;
}

err_t journal_roll(struct journal *j, pos_t base, struct fail *f)
{
    char name[JOURNAL_NAME];
    char final[SEGMENT_NAME];
    int fd = -1;

    check(base >= journal_end(j) && base % 8 == 0);
    if (j->fd >= 0) {
        close(j->fd);
        j->fd = -1;
    }
    err_t e = journal_make_file(j, base, &fd, name, f);

    segment_name(base, final);
    if (!e && renameat(j->dir, name, j->dir, final) < 0)
        e = fail(f, ERR_DISK, "journal segment %s cannot be named: %m", final);
    else if (!e && (e = journal_dir_sync(j->dir, f)))
        snprintf(name, sizeof(name), "%s", final);
    if (e) {
        if (fd >= 0) {
            close(fd);
            journal_remove_file(j, name);
        }
        stat_add(j->stats, journal_failures, 1);
        return e;
    }
    fault_point("segment_after_create");
    j->fd = fd;
    j->used = SEGMENT_HEAD;
    journal_add(j, base, j->segment_bytes)->may_recycle = true;
    journal_note_size(j);
    return OK;
}

/* Zeros in front of the data, so that the next fdatasyncs find written blocks. */
static bool journal_zero_ahead(struct journal *j)
{
    static char zeros[JOURNAL_ZERO_AHEAD + JOURNAL_BLOCK]; /* never written: one shared page */
    uint64_t to = round_up(j->used + JOURNAL_ZERO_AHEAD, JOURNAL_BLOCK);

    if (to > j->segment_bytes)
        to = j->segment_bytes;
    if (to <= j->used)
        return true;
    struct iovec piece = {zeros, to - j->used};

    j->zeroed = to;
    return journal_write_all(j->fd, &piece, 1, j->used);
}

err_t journal_write(struct journal *j, struct iovec *pieces, int count, struct fail *f)
{
    struct journal_segment *s = journal_last(j);
    uint64_t bytes = 0;

    check(j->fd >= 0);
    for (int i = 0; i < count; i++)
        bytes += pieces[i].iov_len;
    fault_point("journal_before_write");
    bool is_written = journal_write_all(j->fd, pieces, count, j->used);

    if (is_written) {
        j->used += bytes;
        s->end += bytes;
        if (j->used > s->bytes) {
            j->file_bytes += j->used - s->bytes;
            s->bytes = j->used;
        }
        if (j->used > j->zeroed)
            is_written = journal_zero_ahead(j);
    }
    if (!is_written) {
        stat_add(j->stats, journal_failures, 1);
        return fail(f, ERR_DISK, "the journal cannot be written: %m");
    }
    stat_add(j->stats, journal_bytes, bytes);
    return OK;
}

err_t journal_sync(struct journal *j, struct fail *f)
{
    uint64_t begin_us = clock_us();
    struct stat st;

    fault_point("journal_before_sync");
    if (!j->skips_sync && fdatasync(j->fd) < 0) {
        stat_add(j->stats, journal_failures, 1);
        return fail(f, ERR_DISK, "the journal cannot be synced: %m");
    }
    fault_point("journal_after_sync");
    if (fstat(j->fd, &st) == 0 && st.st_nlink == 0) {
        stat_add(j->stats, journal_failures, 1);
        return fail(f, ERR_DISK, "the journal segment being written was removed");
    }
    stat_add(j->stats, journal_syncs, 1);
    stat_time(j->stats, fsync, clock_us() - begin_us);
    return OK;
}

void journal_poison(struct journal *j, pos_t end)
{
    struct journal_segment *s = journal_last(j);

    if (j->fd < 0)
        return;
    close(j->fd);
    j->fd = -1;
    s->end = end;
    s->may_recycle = false;
}

/* -- giving back --------------------------------------------------------------------------- */

/* True when the file is gone from its name. */
static bool journal_retire(struct journal *j, const struct journal_segment *s)
{
    char name[SEGMENT_NAME];
    char spare[JOURNAL_NAME];
    struct stat st;

    segment_name(s->base, name);
    /* Not when it has a second name: somebody wants to look at what is in it. */
    fault_point("segment_before_remove");
    if (s->may_recycle && s->bytes == j->segment_bytes && j->spares < JOURNAL_SPARES &&
        fstatat(j->dir, name, &st, 0) == 0 && st.st_nlink == 1) {
        journal_spare_name(j->spares, spare);
        if (renameat(j->dir, name, j->dir, spare) == 0) {
            j->spares++;
            return true;
        }
    }
    if (unlinkat(j->dir, name, 0) == 0 || errno == ENOENT)
        return true;
    log_error("", "a journal segment cannot be removed", "file=%s error=%m", name);
    return false;
}

void journal_trim(struct journal *j, pos_t committed)
{
    /* The newest stays, written or not: it says how far positions have come. */
    size_t gone = 0;
    struct fail f;

    while (gone + 1 < j->count && j->segments[gone].end <= committed &&
           journal_retire(j, &j->segments[gone]))
        j->file_bytes -= j->segments[gone++].bytes;
    if (gone == 0)
        return;
    j->count -= gone;
    memmove(j->segments, j->segments + gone, j->count * sizeof(*j->segments));
    journal_note_size(j);
    /* A spare must not be rewritten while a crash could still bring its old name back. */
    fail_init(&f, NULL);
    if (!journal_dir_sync(j->dir, &f))
        return;
    log_error("", "journal directory not synced", "reason=%.*s", STR_ARG(f.text));
    journal_remove_temporaries(j);
}

pos_t journal_budget_end(const struct journal *j)
{
    const struct journal_segment *s = journal_last(j);
    uint64_t capacity = j->segment_bytes - SEGMENT_HEAD;
    uint64_t room = j->file_bytes < j->max_bytes ? j->max_bytes - j->file_bytes : 0;
    uint64_t more = room / j->segment_bytes;

    if (j->fd < 0)
        return s ? s->end : 0;
    /* Spares are room, not use. One segment stays in hand for ends that frames did not fill. */
    return s->base + capacity + (more > 0 ? more - 1 : 0) * capacity;
}
