/*
 * shim: a disk that forgets, for LD_PRELOAD. tests/crash/run.py compiles and explains it.
 *
 * kill -9 leaves the page cache alive, so it can never show a missing fdatasync. Here every write
 * to a file of the journal is held back in the memory of the process, and reaches the file only
 * when fdatasync or fsync is called on it; then kill -9 loses what power loss would. Renames and
 * removals in the journal's directory are held back likewise until the directory is synced.
 *
 *   CRASH_SHIM_TEAR=N      one write in N is torn: some of its 512-byte sectors go to the file at
 *                          once, the others wait, as a kernel may write back early
 *   CRASH_SHIM_CONTROL=F   while the file F says "eio", fdatasync fails with EIO and what was held
 *                          back is gone for good, as after a failed fsync; while it says "enospc",
 *                          writes and allocations fail with ENOSPC; "slow": fdatasync takes 2 s
 *                          more; "bits": every second write is interrupted (EINTR), and the others
 *                          write only part of what they were given
 *
 * A file is of the journal when its name ends in .seg or .tmp and it is opened for writing below a
 * directory whose name ends in /journal.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 4096, SECTOR = 512 };

struct held {
    struct held *next;
    off_t offset;
    size_t len;
    char bytes[];
};

/* A rename (to is set) or a removal that waits for the directory's fsync. */
struct change {
    struct change *next;
    int dir;
    char from[64];
    char to[64];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool is_journal[FDS];
static struct held *first[FDS];
static struct held **last[FDS];
static struct change *changes;
static struct change **changes_last = &changes;
static unsigned seed;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static bool ends(const char *s, const char *ending)
{
    size_t n = strlen(s), m = strlen(ending);

    return n >= m && strcmp(s + n - m, ending) == 0;
}

static bool is_journal_dir(int fd)
{
    char link[64], path[512];

    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);

    path[n > 0 ? n : 0] = '\0';
    return ends(path, "/journal");
}

/* What the test wants to go wrong now: 'e' for eio, 'n' for enospc, 's' for slow, 'b' for bits, 0 for
 * nothing. */
static char trouble(void)
{
    const char *path = getenv("CRASH_SHIM_CONTROL");
    char text[16] = "";

    if (!path)
        return 0;
    int fd = REAL(open)(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return 0;
    if (read(fd, text, sizeof(text) - 1) < 0)
        text[0] = '\0';
    REAL(close)(fd);
    if (strncmp(text, "enospc", 6) == 0)
        return 'n';
    return strchr("esb", text[0]) ? text[0] : '\0';
}

static void drop(int fd)
{
    while (first[fd]) {
        struct held *h = first[fd];

        first[fd] = h->next;
        free(h);
    }
    last[fd] = &first[fd];
}

int openat(int dir, const char *name, int flags, ...)
{
    va_list ap;

    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;

    va_end(ap);
    int fd = REAL(openat)(dir, name, flags, mode);

    if (fd >= 0 && fd < FDS && (flags & O_ACCMODE) != O_RDONLY &&
        (ends(name, ".seg") || ends(name, ".tmp")) && is_journal_dir(dir)) {
        pthread_mutex_lock(&lock);
        is_journal[fd] = true;
        drop(fd);
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < FDS && is_journal[fd]) {
        pthread_mutex_lock(&lock);
        is_journal[fd] = false;
        drop(fd);
        pthread_mutex_unlock(&lock);
    }
    return REAL(close)(fd);
}

/* Holds a write back; some of its sectors may go through. */
static void hold(int fd, const char *bytes, size_t len, off_t offset)
{
    const char *tear = getenv("CRASH_SHIM_TEAR");
    struct held *h = malloc(sizeof(*h) + len);

    h->next = NULL;
    h->offset = offset;
    h->len = len;
    memcpy(h->bytes, bytes, len);
    pthread_mutex_lock(&lock);
    *last[fd] = h;
    last[fd] = &h->next;
    if (seed == 0)
        seed = (unsigned)getpid();
    bool is_torn = tear && rand_r(&seed) % atoi(tear) == 0;

    for (size_t at = 0; is_torn && at < len;) {
        size_t n = SECTOR - ((size_t)offset + at) % SECTOR;

        n = n < len - at ? n : len - at;
        if (rand_r(&seed) % 2)
            is_torn = REAL(pwrite)(fd, bytes + at, n, offset + (off_t)at) >= 0;
        at += n;
    }
    pthread_mutex_unlock(&lock);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    if (fd < 0 || fd >= FDS || !is_journal[fd])
        return REAL(pwrite)(fd, bytes, len, offset);
    if (trouble() == 'n') {
        errno = ENOSPC;
        return -1;
    }
    hold(fd, bytes, len, offset);
    return (ssize_t)len;
}

/* The first piece, or the first half of it; every second time nothing at all. */
static ssize_t write_bit(int fd, const struct iovec *piece, off_t offset)
{
    static _Atomic unsigned calls;

    if (calls++ % 2 == 0) {
        errno = EINTR;
        return -1;
    }
    return pwrite(fd, piece->iov_base, (piece->iov_len + 1) / 2, offset);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    ssize_t total = 0;

    if (fd < 0 || fd >= FDS || !is_journal[fd])
        return REAL(pwritev)(fd, pieces, count, offset);
    if (trouble() == 'b')
        return write_bit(fd, pieces, offset);
    for (int i = 0; i < count; i++) {
        ssize_t n = pwrite(fd, pieces[i].iov_base, pieces[i].iov_len, offset + total);

        if (n < 0)
            return n;
        total += n;
    }
    return total;
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    if (fd >= 0 && fd < FDS && is_journal[fd] && trouble() == 'n') {
        errno = ENOSPC;
        return -1;
    }
    return REAL(fallocate)(fd, mode, offset, len);
}

static int apply(int fd)
{
    char what = trouble();

    if (what == 's')
        sleep(2);
    pthread_mutex_lock(&lock);
    for (struct held *h = first[fd]; h && what != 'e'; h = h->next)
        if (REAL(pwrite)(fd, h->bytes, h->len, h->offset) != (ssize_t)h->len)
            abort();
    drop(fd);
    pthread_mutex_unlock(&lock);
    if (what == 'e')
        errno = EIO;
    return what == 'e' ? -1 : 0;
}

int fdatasync(int fd)
{
    return fd >= 0 && fd < FDS && is_journal[fd] ? apply(fd) : REAL(fdatasync)(fd);
}

static void apply_changes(int dir)
{
    pthread_mutex_lock(&lock);
    for (struct change **at = &changes; *at;) {
        struct change *c = *at;

        if (c->dir != dir) {
            at = &c->next;
            continue;
        }
        if (c->to[0] ? REAL(renameat)(dir, c->from, dir, c->to) : REAL(unlinkat)(dir, c->from, 0))
            fprintf(stderr, "shim: %s %s: %m\n", c->from, c->to);
        *at = c->next;
        free(c);
    }
    changes_last = &changes;
    while (*changes_last)
        changes_last = &(*changes_last)->next;
    pthread_mutex_unlock(&lock);
}

int fsync(int fd)
{
    if (fd >= 0 && fd < FDS && is_journal[fd])
        return apply(fd);
    if (changes && is_journal_dir(fd))
        apply_changes(fd);
    return REAL(fsync)(fd);
}

static int later(int dir, const char *from, const char *to)
{
    struct change *c = calloc(1, sizeof(*c));

    c->dir = dir;
    snprintf(c->from, sizeof(c->from), "%s", from);
    snprintf(c->to, sizeof(c->to), "%s", to);
    pthread_mutex_lock(&lock);
    *changes_last = c;
    changes_last = &c->next;
    pthread_mutex_unlock(&lock);
    return 0;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    if (from_dir == to_dir && is_journal_dir(from_dir) && !ends(to, ".bad"))
        return later(from_dir, from, to);
    return REAL(renameat)(from_dir, from, to_dir, to);
}

int unlinkat(int dir, const char *name, int flags)
{
    if (ends(name, ".seg") && is_journal_dir(dir))
        return later(dir, name, "");
    return REAL(unlinkat)(dir, name, flags);
}
