/*
 * beneath: openat2 with RESOLVE_BENEATH, so that the kernel itself resolves a path and refuses to
 * leave the directory, whatever others rename meanwhile. Symbolic links that stay inside are followed
 * as long as they are relative; magic links (/proc) never are.
 *
 * Where there is no openat2, in a container whose filter does not know it, each part of the path is
 * opened by itself, no link is followed at all, and ".." is refused, wherever it would lead.
 *
 * Directories are made one after the other, each in its parent's descriptor, and the parent is synced:
 * a file that is durable must not stand in a directory that is not.
 */
#define _GNU_SOURCE
#include "gateway/artifact/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TRIES = 100 /* EAGAIN: somebody renamed something on the way */ };

static bool has_openat2 = true; /* tests set it to false */

int beneath_root(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int open_once(int root, const char *path, int flags)
{
    struct open_how how = {.flags = (unsigned long long)(unsigned)flags | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;

    for (unsigned i = 0; i < TRIES; i++) {
        fd = syscall(SYS_openat2, root, path, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return fd < 0 ? -errno : (int)fd;
}

/* The last part, which must be no link; what stands before it was opened. */
static int open_part(int folder, struct str part, int flags)
{
    char name[NAME_MAX + 1];
    int fd;

    if (part.n > NAME_MAX)
        return -ENAMETOOLONG;
    str_to_cstr(part, name, sizeof(name));
    fd = openat(folder, part.n ? name : ".", flags | O_NOFOLLOW | O_CLOEXEC);
    /* A link where a directory is wanted is told as what it is, too. */
    if (fd < 0 && errno == ENOTDIR && flags & O_DIRECTORY) {
        struct stat st;

        if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode))
            return -ELOOP;
        return -ENOTDIR;
    }
    return fd < 0 ? -errno : fd;
}

static int open_by_parts(int root, struct str path, int flags)
{
    int folder = root;
    int fd;

    if (str_starts(path, STR("/")))
        return -EXDEV;
    for (;;) {
        struct str part = str_cut(&path, '/');

        if (str_eq(part, STR("..")))
            fd = -EXDEV;
        else
            fd = open_part(folder, part, path.n ? O_RDONLY | O_DIRECTORY : flags);
        if (folder != root)
            close(folder);
        if (fd < 0 || path.n == 0)
            return fd;
        folder = fd;
    }
}

int beneath_open(int root, struct str path, int flags)
{
    char text[PATH_MAX];
    int fd = -ENOSYS;

    if (path.n >= sizeof(text))
        return -ENAMETOOLONG;
    if (has_openat2) {
        str_to_cstr(path.n ? path : STR("."), text, sizeof(text));
        fd = open_once(root, text, flags);
        if (fd != -ENOSYS && fd != -EPERM)
            return fd;
    }
    return open_by_parts(root, path, flags);
}

/* The last part of path in its parent; it may have come into being meanwhile. */
static int make_part(int folder, struct str path)
{
    char name[NAME_MAX + 1];
    size_t at = path.n;

    while (at > 0 && path.p[at - 1] != '/')
        at--;
    if (path.n - at > NAME_MAX)
        return -ENAMETOOLONG;
    str_to_cstr(str_skip(path, at), name, sizeof(name));
    if (mkdirat(folder, name, 0777) != 0)
        return errno == EEXIST ? 0 : -errno;
    return fsync(folder) == 0 ? 0 : -errno;
}

int beneath_make(int root, struct str path)
{
    int fd = beneath_open(root, path, O_RDONLY | O_DIRECTORY);
    int folder, e;
    size_t at = 0;

    if (fd != -ENOENT)
        return fd;
    folder = beneath_open(root, STR(""), O_RDONLY | O_DIRECTORY);
    while (folder >= 0 && at < path.n) {
        at += str_find(str_skip(path, at), '/');
        fd = beneath_open(root, str_head(path, at), O_RDONLY | O_DIRECTORY);
        if (fd == -ENOENT) {
            e = make_part(folder, str_head(path, at));
            fd = e ? e : beneath_open(root, str_head(path, at), O_RDONLY | O_DIRECTORY);
        }
        close(folder);
        folder = fd;
        at++;
    }
    return folder;
}
