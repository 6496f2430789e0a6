/*
 * record: notes the journal's system calls and the answers to clients, in one order (trace.h).
 *
 * Two uses of one file: as a shared object for LD_PRELOAD it records `sluice serve` into the file
 * that CRASH_TRACE names; linked into states.c it records a recovery that runs there.
 *
 * The order is what it is all about. A change is noted before its call, because from then on the
 * disk may show it; a sync after its call, because only then the program may rely on it; an answer
 * before its first byte leaves. All notes are made under one lock. So wherever the trace is cut, the
 * disk holds at least what was synced by notes before the cut, may hold any part of what was
 * changed by them, and no client knows of an answer that is not among them.
 *
 * A file is of the journal when its name ends in .seg or .tmp and it is opened for writing below a
 * directory whose name ends in /journal. The file `lock` is left out: nothing depends on its bytes.
 */
#define _GNU_SOURCE
#include "tests/crash/trace.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 4096 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace_fd = -1;
static uint64_t files[FDS]; /* inode number by descriptor; 0 = none of the journal's */

#define REAL(name)                                              \
    ({                                                          \
        static __typeof__(&name) found;                         \
        if (!found)                                             \
            found = (__typeof__(&name))dlsym(RTLD_NEXT, #name); \
        found;                                                  \
    })

void record_to(int fd)
{
    trace_fd = fd;
    if (fd < 0)
        memset(files, 0, sizeof(files));
}

__attribute__((constructor)) static void record_begin(void)
{
    const char *path = getenv("CRASH_TRACE");

    if (path)
        trace_fd = REAL(openat)(AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    /* Whatever it starts is none of our business. */
    unsetenv("CRASH_TRACE");
}

static void note(const struct trace_op *op, const struct iovec *pieces, int count)
{
    static char zeros[8];
    struct iovec all[8] = {{(void *)(uintptr_t)op, sizeof(*op)}};
    size_t total = sizeof(*op);

    if (count > 6)
        abort();
    for (int i = 0; i < count; i++) {
        all[i + 1] = pieces[i];
        total += pieces[i].iov_len;
    }
    all[count + 1] = (struct iovec){zeros, -total % 8};
    total += -total % 8;
    pthread_mutex_lock(&lock);
    if (writev(trace_fd, all, count + 2) != (ssize_t)total)
        abort();
    pthread_mutex_unlock(&lock);
}

static void note_names(enum trace_kind kind, const char *name, const char *to, uint64_t file)
{
    struct trace_op op = {.kind = kind, .file = file};

    snprintf(op.name, sizeof(op.name), "%s", name);
    snprintf(op.to, sizeof(op.to), "%s", to);
    note(&op, NULL, 0);
}

static void note_file(enum trace_kind kind, int fd, off_t offset)
{
    struct trace_op op = {.kind = kind, .file = files[fd], .offset = (uint64_t)offset};

    note(&op, NULL, 0);
}

static bool is_file(int fd)
{
    return trace_fd >= 0 && fd >= 0 && fd < FDS && files[fd] != 0;
}

static bool ends(const char *s, const char *ending)
{
    size_t n = strlen(s), m = strlen(ending);

    return n >= m && strcmp(s + n - m, ending) == 0;
}

static bool is_dir(int fd)
{
    char link[64], path[512];

    if (trace_fd < 0 || fd < 0)
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);

    path[n > 0 ? n : 0] = '\0';
    return ends(path, "/journal");
}

/* -- files ------------------------------------------------------------------------------------- */

int openat(int dir, const char *name, int flags, ...)
{
    struct stat st;
    va_list ap;

    va_start(ap, flags);
    mode_t mode = flags & O_CREAT ? va_arg(ap, mode_t) : 0;

    va_end(ap);
    bool is_ours = trace_fd >= 0 && (flags & O_ACCMODE) != O_RDONLY &&
                   (ends(name, ".seg") || ends(name, ".tmp")) && is_dir(dir);
    bool is_new = is_ours && flags & O_CREAT && fstatat(dir, name, &st, 0) < 0;
    int fd = REAL(openat)(dir, name, flags, mode);

    if (!is_ours || fd < 0 || fd >= FDS || fstat(fd, &st) < 0)
        return fd;
    files[fd] = st.st_ino;
    /* Nothing can be in a file before it is open, so this once afterwards is early enough. */
    note_names(is_new ? TRACE_CREATE : TRACE_OPEN, name, "", st.st_ino);
    if (!is_new && flags & O_TRUNC)
        note_file(TRACE_SIZE, fd, 0);
    return fd;
}

int close(int fd)
{
    if (fd >= 0 && fd < FDS)
        files[fd] = 0;
    return REAL(close)(fd);
}

static bool is_zero(const struct iovec *pieces, int count)
{
    for (int i = 0; i < count; i++) {
        const char *p = pieces[i].iov_base;
        size_t n = pieces[i].iov_len;

        if (n > 0 && (p[0] != 0 || memcmp(p, p + 1, n - 1) != 0))
            return false;
    }
    return true;
}

static void note_write(int fd, const struct iovec *pieces, int count, off_t offset)
{
    struct trace_op op = {.kind = TRACE_WRITE, .file = files[fd], .offset = (uint64_t)offset};

    for (int i = 0; i < count; i++)
        op.len += pieces[i].iov_len;
    if (is_zero(pieces, count))
        op.kind = TRACE_ZERO;
    note(&op, pieces, op.kind == TRACE_WRITE ? count : 0);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, len};

    if (is_file(fd))
        note_write(fd, &piece, 1, offset);
    return REAL(pwrite)(fd, bytes, len, offset);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    struct iovec piece = {(void *)(uintptr_t)bytes, len};

    if (is_file(fd))
        note_write(fd, &piece, 1, lseek(fd, 0, SEEK_CUR));
    return REAL(write)(fd, bytes, len);
}

ssize_t pwritev(int fd, const struct iovec *pieces, int count, off_t offset)
{
    if (is_file(fd))
        note_write(fd, pieces, count, offset);
    return REAL(pwritev)(fd, pieces, count, offset);
}

int ftruncate(int fd, off_t len)
{
    if (is_file(fd))
        note_file(TRACE_SIZE, fd, len);
    return REAL(ftruncate)(fd, len);
}

int fallocate(int fd, int mode, off_t offset, off_t len)
{
    if (is_file(fd))
        note_file(TRACE_ALLOC, fd, offset + len);
    return REAL(fallocate)(fd, mode, offset, len);
}

int fdatasync(int fd)
{
    int code = REAL(fdatasync)(fd);

    if (code == 0 && is_file(fd))
        note_file(TRACE_SYNC, fd, 0);
    return code;
}

/* -- names ------------------------------------------------------------------------------------- */

int fsync(int fd)
{
    int code = REAL(fsync)(fd);

    if (code == 0 && is_file(fd))
        note_file(TRACE_SYNC, fd, 0);
    else if (code == 0 && is_dir(fd))
        note_names(TRACE_DIR_SYNC, "", "", 0);
    return code;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    if (is_dir(from_dir) && from_dir == to_dir)
        note_names(TRACE_RENAME, from, to, 0);
    return REAL(renameat)(from_dir, from, to_dir, to);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (is_dir(from_dir) && from_dir == to_dir)
        note_names(TRACE_LINK, from, to, 0);
    return REAL(linkat)(from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *name, int flags)
{
    if (is_dir(dir))
        note_names(TRACE_UNLINK, name, "", 0);
    return REAL(unlinkat)(dir, name, flags);
}

/* -- answers ----------------------------------------------------------------------------------- */

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
    struct sockaddr_in peer;
    socklen_t n = sizeof(peer);

    if (trace_fd >= 0 && m->msg_iovlen > 0 && m->msg_iov[0].iov_len > 12 &&
        memcmp(m->msg_iov[0].iov_base, "HTTP/1.1 ", 9) == 0 &&
        getpeername(fd, (struct sockaddr *)&peer, &n) == 0 && peer.sin_family == AF_INET) {
        struct trace_op op = {.kind = TRACE_ANSWER,
                              .port = ntohs(peer.sin_port),
                              .status = (uint32_t)atoi((const char *)m->msg_iov[0].iov_base + 9)};

        note(&op, NULL, 0);
    }
    return REAL(sendmsg)(fd, m, flags);
}
