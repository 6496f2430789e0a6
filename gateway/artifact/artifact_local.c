/*
 * artifact_local: a directory tree, of which every descriptor comes from beneath.c.
 *
 * Uploads. The bytes go to a file without a name (O_TMPFILE) in the directory where it will stand, so
 * a process that dies leaves nothing. Publishing syncs it, links it in, and syncs the directory. Where
 * its name is taken, it is linked under a name that begins with ARTIFACT_TEMP_PREFIX and renamed over
 * the old one: readers see the old file or the new one, whole. File systems without O_TMPFILE get such
 * a name from the start; one that a crash left behind is never listed and cannot be asked for, as
 * stock MLflow has it.
 *
 * Every START_BYTES the kernel is asked to begin writing, so that the sync at the end does not find
 * everything still to do.
 *
 * Removing a tree goes down one directory at a time, from the top by its path: the descriptors held
 * are two, however deep it is, and no ".." is ever followed. Links are removed, not what they name.
 */
#define _GNU_SOURCE
#include "gateway/artifact/artifact_local.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gateway/artifact/artifact_path.h"
#include "gateway/artifact/beneath.h"
#include "gateway/say.h"
#include "ingest/python.h"
#include "schema/errors.h"
#include "schema/limits.h"

enum { START_BYTES = 8 << 20, TEMP_TRIES = 16, DEPTH_ROUNDS = 1 << 20 };

static bool has_tmpfile = true; /* tests set it to false */

/* -- errors ------------------------------------------------------------------------------------- */

/* What an errno value means for the artifact at path. */
static err_t local_fail(struct arena *a, int number, struct str path, struct fail *f)
{
    switch (number) {
    case ENOENT: return SAY(a, f, ERR_NOT_FOUND, STR("No such artifact: '"), path, STR("'"));
    case EXDEV:
    case ELOOP:
        return fail_str(f, ERR_BAD_PARAM,
                        STR("Invalid path: resolved path is outside the artifact directory"));
    case EISDIR:
        return SAY(a, f, ERR_BAD_PARAM, STR("Artifact path refers to a directory, not a file: '"),
                   path, STR("'"));
    case ENOTDIR:
    case EEXIST:
        return SAY(a, f, ERR_BAD_PARAM, STR("A part of the artifact path is a file: '"), path,
                   STR("'"));
    case ENAMETOOLONG:
        return fail_str(f, ERR_BAD_PARAM, STR("The artifact path, or a name in it, is too long"));
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case EROFS:
    case EMFILE:
    case ENFILE:
        return SAY(a, f, ERR_STORAGE, STR("The artifact store cannot do it now: "),
                   str_of(strerror(number)));
    default:
        return SAY(a, f, ERR_INTERNAL, STR("The artifact store failed: "),
                   str_of(strerror(number)));
    }
}

static int open_root(struct arena *a, struct str root)
{
    return beneath_root(arena_cstr(a, root));
}

/* For what reads: a root that is not there holds nothing, and so does a path through a file. */
static bool is_absent(int number)
{
    return number == ENOENT || number == ENOTDIR;
}

static bool is_temp(struct str name)
{
    return str_starts(name, STR(ARTIFACT_TEMP_PREFIX));
}

/* Opens path, normalized, below root; a descriptor or an errno value negated. */
static int open_path(struct arena *a, struct str root, struct str path, int flags)
{
    int top = open_root(a, root);
    int fd;

    if (top < 0)
        return top;
    fd = beneath_open(top, artifact_path_norm(a, path), flags);
    close(top);
    return fd;
}

/* -- list --------------------------------------------------------------------------------------- */

/* False for what is not shown: a link that leads out or nowhere, a socket. */
static bool look_at(int top, struct arena *a, struct str folder, int at, struct str name,
                    struct artifact_entry *out)
{
    struct stat st;

    if (fstatat(at, name.p, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    if (S_ISLNK(st.st_mode)) {
        int fd = beneath_open(top, artifact_path_join(a, folder, name), O_PATH);
        bool is_known = fd >= 0 && fstat(fd, &st) == 0;

        if (fd >= 0)
            close(fd);
        if (!is_known)
            return false;
    }
    out->is_directory = S_ISDIR(st.st_mode);
    out->bytes = (uint64_t)st.st_size;
    return out->is_directory || S_ISREG(st.st_mode);
}

static int by_name(const void *x, const void *y)
{
    return str_cmp(((const struct artifact_entry *)x)->name,
                   ((const struct artifact_entry *)y)->name);
}

static void add_entry(struct arena *a, struct artifact_list *out, size_t *room,
                      struct artifact_entry e)
{
    if (out->n == *room) {
        struct artifact_entry *more;

        *room = *room ? *room * 2 : 64;
        more = arena_array(a, *room, sizeof(*more));
        if (out->n)
            memcpy(more, out->items, out->n * sizeof(*more));
        out->items = more;
    }
    out->items[out->n++] = e;
}

static err_t read_folder(struct arena *a, int top, struct str path, DIR *folder,
                         struct artifact_list *out, struct fail *f)
{
    struct dirent *d;
    size_t room = 0;

    for (errno = 0; (d = readdir(folder)); errno = 0) {
        struct str name = arena_dup(a, str_of(d->d_name));
        struct artifact_entry e = {.name = name};

        if (str_eq(name, STR(".")) || str_eq(name, STR("..")) || is_temp(name) ||
            !look_at(top, a, path, dirfd(folder), name, &e))
            continue;
        if (out->n == LIMIT_ARTIFACT_LIST)
            return fail(f, ERR_BAD_PARAM, "The directory holds more than %u artifacts",
                        (unsigned)LIMIT_ARTIFACT_LIST);
        e.name = python_decode(a, name);
        add_entry(a, out, &room, e);
    }
    if (errno)
        return local_fail(a, errno, path, f);
    if (out->n)
        qsort(out->items, out->n, sizeof(*out->items), by_name);
    return OK;
}

err_t artifact_local_list(struct arena *a, struct str root, struct str path,
                          struct artifact_list *out, struct fail *f)
{
    struct str norm = artifact_path_norm(a, path);
    int top = open_root(a, root), fd;
    DIR *folder;
    err_t e;

    *out = (struct artifact_list){NULL, 0};
    if (top < 0)
        return is_absent(-top) ? OK : local_fail(a, -top, path, f);
    fd = beneath_open(top, norm, O_RDONLY | O_DIRECTORY);
    if (fd < 0) {
        close(top);
        return is_absent(-fd) ? OK : local_fail(a, -fd, path, f);
    }
    folder = fdopendir(fd);
    check(folder != NULL);
    e = read_folder(a, top, norm, folder, out, f);
    closedir(folder);
    close(top);
    return e;
}

/* -- read --------------------------------------------------------------------------------------- */

err_t artifact_local_open(struct arena *a, struct str root, struct str path,
                          struct artifact_content *out, struct fail *f)
{
    struct stat st;
    /* Not to wait for a writer of a pipe. */
    int fd = is_temp(artifact_path_base(path)) ? -ENOENT
                                               : open_path(a, root, path, O_RDONLY | O_NONBLOCK);

    *out = (struct artifact_content){.fd = -1};
    if (fd < 0)
        return local_fail(a, is_absent(-fd) ? ENOENT : -fd, path, f);
    check(fstat(fd, &st) == 0);
    out->is_directory = S_ISDIR(st.st_mode);
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return out->is_directory ? OK : local_fail(a, ENOENT, path, f);
    }
    out->fd = fd;
    out->bytes = (uint64_t)st.st_size;
    out->modified_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    out->etag = arena_printf(a, "\"%llx.%lx-%llx-%llx\"", (unsigned long long)st.st_mtim.tv_sec,
                             (unsigned long)st.st_mtim.tv_nsec, (unsigned long long)st.st_size,
                             (unsigned long long)st.st_ino);
    return OK;
}

/* -- remove ------------------------------------------------------------------------------------- */

/* The entry, if it is no directory or an empty one; 0, ENOTEMPTY, or why not. */
static int remove_entry(int folder, const char *name)
{
    if (unlinkat(folder, name, 0) == 0)
        return 0;
    if ((errno == EISDIR || errno == EPERM) && unlinkat(folder, name, AT_REMOVEDIR) == 0)
        return 0;
    return errno == ENOENT ? 0 : errno == EEXIST ? ENOTEMPTY : errno;
}

/* Removes what can be removed at once; *below is the first directory that is not empty, or empty
 * itself. 0 or an errno value. */
static int empty_folder(struct arena *a, int fd, struct str *below)
{
    DIR *folder = fdopendir(fd);
    struct dirent *d;
    int e = 0;

    check(folder != NULL);
    *below = STR("");
    for (errno = 0; e == 0 && (d = readdir(folder)); errno = 0)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
            (e = remove_entry(fd, d->d_name)) == ENOTEMPTY)
            *below = arena_dup(a, str_of(d->d_name));
    if (e == 0)
        e = errno;
    closedir(folder);
    return e == ENOTEMPTY ? 0 : e;
}

static int remove_name(int top, struct str path, int flags)
{
    struct str folder = artifact_path_dir(path), name = artifact_path_base(path);
    char text[NAME_MAX + 1];
    int fd = beneath_open(top, folder, O_RDONLY | O_DIRECTORY);
    int e;

    if (fd < 0)
        return -fd;
    if (name.n > NAME_MAX) {
        close(fd);
        return ENAMETOOLONG;
    }
    str_to_cstr(name, text, sizeof(text));
    e = unlinkat(fd, text, flags) == 0 ? 0 : errno;
    if (e == 0)
        (void)fsync(fd); /* it is gone; at worst it is back after a power loss, and removed again */
    close(fd);
    return e;
}

/* The directory at path: down to where nothing is below, up to path, until path itself is gone. */
static int remove_tree(struct arena *a, int top, struct str path)
{
    struct arena_mark mark = arena_mark(a);
    char here[PATH_MAX];
    size_t n = path.n;

    if (path.n >= sizeof(here))
        return ENAMETOOLONG;
    memcpy(here, path.p, path.n);
    for (unsigned round = 0; round < DEPTH_ROUNDS; round++) {
        struct str folder = {here, n}, below;
        int fd = beneath_open(top, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        int e = fd < 0 ? -fd : empty_folder(a, fd, &below);

        if (e == 0 && below.n) {
            if (n + 1 + below.n >= sizeof(here))
                return ENAMETOOLONG;
            here[n] = '/';
            memcpy(here + n + 1, below.p, below.n);
            n += 1 + below.n;
        } else {
            if (e == 0)
                e = remove_name(top, folder, AT_REMOVEDIR);
            if (e && e != ENOENT && e != ENOTEMPTY && e != EEXIST)
                return e;
            if (n == path.n && e != ENOTEMPTY && e != EEXIST)
                return 0;
            if (n > path.n && (e == 0 || e == ENOENT))
                n = artifact_path_dir(folder).n;
        }
        arena_rewind(a, &mark);
    }
    return EBUSY; /* somebody makes files as fast as they are removed */
}

err_t artifact_local_remove(struct arena *a, struct str root, struct str path, struct fail *f)
{
    struct str norm = artifact_path_norm(a, path);
    int top, e;

    if (norm.n == 0)
        return fail_str(f, ERR_BAD_PARAM, STR("Invalid path"));
    if ((top = open_root(a, root)) < 0)
        return is_absent(-top) ? OK : local_fail(a, -top, path, f);
    e = remove_name(top, norm, 0);
    if (e == EISDIR || e == EPERM)
        e = remove_tree(a, top, norm);
    close(top);
    return e == 0 || is_absent(e) ? OK : local_fail(a, e, path, f);
}

/* -- write -------------------------------------------------------------------------------------- */

static void close_upload(struct artifact_upload *u)
{
    if (u->fd >= 0)
        close(u->fd);
    if (u->folder >= 0)
        close(u->folder);
    u->fd = u->folder = -1;
}

static void make_temp_name(struct artifact_upload *u)
{
    uint64_t x;

    check(getrandom(&x, sizeof(x), 0) == sizeof(x));
    snprintf(u->temp, sizeof(u->temp), ARTIFACT_TEMP_PREFIX "%016llx", (unsigned long long)x);
}

/* 0, or an errno value. */
static int open_temp(struct artifact_upload *u)
{
    u->temp[0] = 0;
    if (has_tmpfile) {
        u->fd = openat(u->folder, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
        if (u->fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
            return u->fd >= 0 ? 0 : errno;
    }
    for (unsigned i = 0; i < TEMP_TRIES; i++) {
        make_temp_name(u);
        u->fd =
            openat(u->folder, u->temp, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (u->fd >= 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    u->temp[0] = 0;
    return errno;
}

/* The root, made when it is not there. */
static int make_root(struct arena *a, struct str root)
{
    int fd = open_root(a, root);
    int slash;

    if (fd != -ENOENT)
        return fd;
    slash = beneath_root("/");
    if (slash < 0)
        return slash;
    fd = beneath_make(slash, artifact_path_norm(a, root));
    close(slash);
    return fd;
}

err_t artifact_local_begin(struct arena *a, struct str root, struct str path,
                           struct artifact_upload *u, struct fail *f)
{
    struct str folder = artifact_path_dir(path);
    int top, e;
    err_t err;

    *u = (struct artifact_upload){.folder = -1, .fd = -1};
    u->name = artifact_path_base(path);
    u->folder_path = path;
    if ((err = artifact_path_check_unique(a, folder, f)))
        return err;
    if (is_temp(u->name))
        return SAY(a, f, ERR_BAD_PARAM, STR("Invalid artifact file name: '"), u->name,
                   STR("'. Artifact names starting with '" ARTIFACT_TEMP_PREFIX "' are reserved."));
    if (u->name.n == 0 || str_eq(u->name, STR(".")))
        return local_fail(a, EISDIR, path, f);
    if (u->name.n > NAME_MAX)
        return local_fail(a, ENAMETOOLONG, path, f);
    if ((top = make_root(a, root)) < 0)
        return local_fail(a, -top, path, f);
    u->folder = beneath_make(top, folder);
    close(top);
    if (u->folder < 0)
        return local_fail(a, -u->folder, path, f);
    if ((e = open_temp(u)) == 0)
        return OK;
    close_upload(u);
    return local_fail(a, e, path, f);
}

err_t artifact_local_write(struct arena *a, struct artifact_upload *u, struct str bytes,
                           struct fail *f)
{
    while (bytes.n) {
        ssize_t n = write(u->fd, bytes.p, bytes.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return local_fail(a, errno, u->folder_path, f);
        bytes = str_skip(bytes, (size_t)n);
        u->written_bytes += (uint64_t)n;
    }
    if (u->written_bytes - u->started_bytes >= START_BYTES) {
        (void)sync_file_range(u->fd, (off_t)u->started_bytes,
                              (off_t)(u->written_bytes - u->started_bytes), SYNC_FILE_RANGE_WRITE);
        u->started_bytes = u->written_bytes;
    }
    return OK;
}

/* Gives the file without a name this one; 0 or an errno value. */
static int link_as(struct artifact_upload *u, const char *name)
{
    char self[40];

    snprintf(self, sizeof(self), "/proc/self/fd/%d", u->fd);
    return linkat(AT_FDCWD, self, u->folder, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

static int put_in_place(struct artifact_upload *u)
{
    char name[NAME_MAX + 1];
    int e;

    str_to_cstr(u->name, name, sizeof(name));
    if (!u->temp[0]) {
        if ((e = link_as(u, name)) != EEXIST)
            return e;
        make_temp_name(u);
        if ((e = link_as(u, u->temp))) {
            u->temp[0] = 0;
            return e;
        }
    }
    if (renameat(u->folder, u->temp, u->folder, name) != 0)
        return errno;
    u->temp[0] = 0;
    return 0;
}

err_t artifact_local_publish(struct arena *a, struct artifact_upload *u, struct fail *f)
{
    int e = fsync(u->fd) == 0 ? put_in_place(u) : errno;

    if (e == 0 && fsync(u->folder) != 0)
        e = errno;
    artifact_local_abandon(u); /* what is in place has no temporary name any more */
    return e ? local_fail(a, e, u->folder_path, f) : OK;
}

void artifact_local_abandon(struct artifact_upload *u)
{
    if (u->folder >= 0 && u->temp[0])
        unlinkat(u->folder, u->temp, 0);
    u->temp[0] = 0;
    close_upload(u);
}
