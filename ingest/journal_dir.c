/*
 * journal_dir: making sure that there is one directory, one owner and one name.
 *
 *   lock  flock'ed by the owner for as long as it lives; holds its process id as text, for the
 *         message only. The kernel lets go of the lock whatever way the process ends, so a stale file means
 *         nothing and is never removed (removing it would let two processes lock two files).
 *   id    32 hex digits, a space, the XXH3-64 of the 32 digits as 16 hex digits, a newline: the name
 *         of this queue in every segment and in PostgreSQL. Written beside, synced, renamed,
 *         directory synced: it is there whole or not at all. One flipped digit would be another
 *         queue, whose segments are none of ours, so a name that its checksum does not fit is none.
 *         The old form, the digits and a newline, is read as well; journal.c then asks the segments.
 *         Programs that know only the old form read the first 32 bytes of this one, and are right.
 *   adopted
 *         a line of text, put there by `sluice journal adopt` when all of the journal was in
 *         PostgreSQL. For people and scripts: a start is right without it, because the positions in
 *         PostgreSQL say what is applied and new entries come behind them. So the start removes it.
 *
 * A flusher of Kafka mode locks its data_dir in the same place (journal_dir_lock), because dead letters of
 * two processes, and a journal of a third, must not mix either.
 */
#include "ingest/journal_dir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fault.h"
#include "base/log.h"
#include "schema/errors.h"

enum {
    ID_OLD = QUEUE_ID_BYTES + 1,      /* bytes of the file in the old form */
    ID_NEW = QUEUE_ID_BYTES + 1 + 17, /* and in the one with a checksum */
};

/* The whole text of the file. */
static void journal_dir_id_text(const char *id, char out[ID_NEW + 1])
{
    snprintf(out, ID_NEW + 1, "%.*s %016" PRIx64 "\n", QUEUE_ID_BYTES, id,
             (uint64_t)XXH3_64bits(id, QUEUE_ID_BYTES));
}

/* Makes the name of data_dir itself durable. Always tried: an earlier start, or whatever else made
 * it, may have been killed before. Who may not read what holds it has not made it either. */
static void journal_dir_sync_name(int data_dir)
{
    int above = openat(data_dir, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (above < 0)
        return;
    if (fsync(above) < 0)
        log_warn("", "the name of data_dir could not be synced", "error=%m");
    close(above);
}

err_t journal_dir_open(const char *data_dir, bool may_create, int *dir, struct fail *f)
{
    int parent = -1;
    err_t e = OK;

    *dir = -1;
    if (may_create && mkdir(data_dir, 0777) < 0 && errno != EEXIST)
        return fail(f, ERR_DISK, "data_dir %s cannot be made: %m", data_dir);
    parent = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (parent < 0)
        return fail(f, ERR_DISK, "data_dir %s cannot be opened: %m", data_dir);
    if (may_create)
        journal_dir_sync_name(parent);
    if (may_create && mkdirat(parent, "journal", 0700) < 0 && errno != EEXIST)
        e = fail(f, ERR_DISK, "%s/journal cannot be made: %m", data_dir);
    else if (may_create && fsync(parent) < 0)
        e = fail(f, ERR_DISK, "%s cannot be synced: %m", data_dir);
    if (!e) {
        *dir = openat(parent, "journal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*dir < 0)
            e = fail(f, ERR_DISK, "%s/journal cannot be opened: %m", data_dir);
    }
    close(parent);
    return e;
}

err_t journal_dir_sync(int dir, struct fail *f)
{
    if (fault_switch("SLUICE_TEST_SKIP_DIR_SYNC"))
        return OK;
    return fsync(dir) < 0 ? fail(f, ERR_DISK, "the journal directory cannot be synced: %m") : OK;
}

err_t journal_dir_lock(int dir, const char *data_dir, int *lock, struct fail *f)
{
    char text[32] = "";
    ssize_t n = 0;

    *lock = openat(dir, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (*lock < 0)
        return fail(f, ERR_DISK, "%s/journal/lock cannot be opened: %m", data_dir);
    if (flock(*lock, LOCK_EX | LOCK_NB) < 0) {
        n = pread(*lock, text, sizeof(text) - 1, 0);
        return fail(f, ERR_LOCKED, "%s is in use by process %.*s", data_dir,
                    (int)strcspn(text, "\n"), n > 0 ? text : "?");
    }
    n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    /* For the message only: a full disk must not keep the backlog from being flushed. */
    if (ftruncate(*lock, 0) < 0 || pwrite(*lock, text, (size_t)n, 0) != n)
        log_warn("", "the process id could not be noted", "file=journal/lock error=%m");
    return OK;
}

enum journal_id journal_dir_read_id(int dir, char id[QUEUE_ID_BYTES + 1])
{
    char text[ID_NEW + 2] = "";
    char want[ID_NEW + 1];
    int fd = openat(dir, "id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, text, sizeof(text) - 1, 0);

    if (fd >= 0)
        close(fd);
    id[0] = '\0';
    if (n < QUEUE_ID_BYTES || strspn(text, "0123456789abcdef") != QUEUE_ID_BYTES)
        return JOURNAL_ID_NONE;
    journal_dir_id_text(text, want);
    bool is_old = n == ID_OLD && text[QUEUE_ID_BYTES] == '\n';

    if (!is_old && (n != ID_NEW || memcmp(text, want, ID_NEW) != 0))
        return JOURNAL_ID_NONE;
    memcpy(id, text, QUEUE_ID_BYTES);
    id[QUEUE_ID_BYTES] = '\0';
    return is_old ? JOURNAL_ID_OLD : JOURNAL_ID_SOUND;
}

err_t journal_dir_write_id(int dir, const char *id, struct fail *f)
{
    char text[ID_NEW + 1];
    int fd = openat(dir, "id.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool is_written = false;

    if (fd >= 0) {
        journal_dir_id_text(id, text);
        is_written = write(fd, text, ID_NEW) == ID_NEW && fsync(fd) == 0;
        close(fd);
    }
    if (!is_written || renameat(dir, "id.tmp", dir, "id") < 0)
        return fail(f, ERR_DISK, "the journal's id cannot be written: %m");
    return journal_dir_sync(dir, f);
}

err_t journal_dir_make_id(int dir, char id[QUEUE_ID_BYTES + 1], struct fail *f)
{
    unsigned char bytes[QUEUE_ID_BYTES / 2];

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return fail(f, ERR_DISK, "no random bytes for the journal's id: %m");
    for (size_t i = 0; i < sizeof(bytes); i++)
        snprintf(id + 2 * i, 3, "%02x", bytes[i]);
    return journal_dir_write_id(dir, id, f);
}

err_t journal_dir_mark_adopted(int dir, const char *text, struct fail *f)
{
    int fd = openat(dir, "adopted.tmp", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = (ssize_t)strlen(text);
    bool is_written = false;

    if (fd >= 0) {
        is_written = write(fd, text, (size_t)n) == n && fsync(fd) == 0;
        close(fd);
    }
    if (!is_written || renameat(dir, "adopted.tmp", dir, "adopted") < 0)
        return fail(f, ERR_DISK, "the mark `adopted` cannot be written: %m");
    return journal_dir_sync(dir, f);
}

void journal_dir_adopted(int dir, char text[JOURNAL_ADOPTED])
{
    int fd = openat(dir, "adopted", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, text, JOURNAL_ADOPTED - 1, 0);

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

void journal_dir_unmark(int dir)
{
    char text[JOURNAL_ADOPTED];

    journal_dir_adopted(dir, text);
    if (text[0])
        log_info("", "this journal was adopted while its owner was away", "by=%s", text);
    if (unlinkat(dir, "adopted", 0) < 0 && errno != ENOENT)
        log_warn("", "the mark could not be removed", "file=journal/adopted error=%m");
}
