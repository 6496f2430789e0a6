/*
 * The folder holds a file for each flusher (NAME.letters, schema/deadletter.c) and the file "lock".
 *
 * A file is changed in two ways. A flusher appends and syncs. A cut writes what stays to
 * NAME.letters.new, syncs it, renames it over the file and syncs the folder; so whatever dies when,
 * the file is the old one or the new one, and a ".new" that a crash left is overwritten by the next
 * cut. A flusher must not hold a descriptor from before the rename: it opens the file anew each
 * time, under the lock (flush/quarantine.c). An empty file is removed.
 *
 * Bytes that are no letter are kept by a cut: they may be a letter with a flipped bit, and nothing
 * is dropped that was not named.
 *
 * The lock is flock(2), which ends with the process that holds it. Nobody waits for it here: a
 * flusher must be able to end, and the command has its own patience. What root makes belongs to the
 * owner of the folder, because the server may run as somebody else.
 */
#include "schema/letterbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "schema/deadletter.h"
#include "schema/errors.h"

static const char letterbox_new[] = ".new";

err_t letterbox_folder(const char *data_dir, char out[LETTERBOX_PATH], struct fail *f)
{
    /* Room for a name behind it. */
    if (strlen(data_dir) + NAME_MAX + sizeof(DEADLETTER_FOLDER) + 2 > LETTERBOX_PATH)
        return fail(f, ERR_SETTING, "data_dir is too long");
    snprintf(out, LETTERBOX_PATH, "%s/%s", data_dir, DEADLETTER_FOLDER);
    return OK;
}

/* -- the lock ---------------------------------------------------------------------------------- */

/* What is made here belongs to whom the folder belongs. Only root can, and only root must. */
static int letterbox_give(int fd, const char *folder)
{
    struct stat st;

    if (geteuid() != 0)
        return 0;
    return stat(folder, &st) < 0 ? -1 : fchown(fd, st.st_uid, st.st_gid);
}

err_t letterbox_lock(const char *folder, int *lock, struct fail *f)
{
    char path[LETTERBOX_PATH + 8];
    int fd;

    snprintf(path, sizeof(path), "%s/lock", folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || letterbox_give(fd, folder) < 0) {
        err_t e = fail(f, ERR_DISK, "%s: %s", path, strerror(errno));

        if (fd >= 0)
            close(fd);
        return e;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        err_t e = errno == EWOULDBLOCK
                      ? fail(f, ERR_LOCKED, "%s: another process changes the dead letters", path)
                      : fail(f, ERR_DISK, "%s: %s", path, strerror(errno));

        close(fd);
        return e;
    }
    *lock = fd;
    return OK;
}

void letterbox_unlock(int lock)
{
    close(lock);
}

/* -- looking ----------------------------------------------------------------------------------- */

static int letterbox_is_file(const struct dirent *d)
{
    return str_ends(str_of(d->d_name), STR(DEADLETTER_SUFFIX));
}

err_t letterbox_list(const char *folder, char ***paths, size_t *count, struct fail *f)
{
    struct dirent **names;
    int n = scandir(folder, &names, letterbox_is_file, alphasort);

    *paths = NULL;
    *count = 0;
    if (n < 0)
        return errno == ENOENT ? OK : fail(f, ERR_DISK, "%s: %s", folder, strerror(errno));
    *paths = calloc((size_t)n + 1, sizeof(**paths));
    check(*paths);
    for (int i = 0; i < n; i++) {
        char path[LETTERBOX_PATH + NAME_MAX];

        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        (*paths)[i] = strdup(path);
        check((*paths)[i]);
        free(names[i]);
    }
    free(names);
    *count = (size_t)n;
    return OK;
}

void letterbox_list_free(char **paths, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    free(paths);
}

uint64_t letterbox_bytes(const char *folder)
{
    uint64_t sum = 0;
    char **paths;
    size_t count;

    if (letterbox_list(folder, &paths, &count, NULL))
        return 0;
    for (size_t i = 0; i < count; i++) {
        struct stat st;

        if (stat(paths[i], &st) == 0)
            sum += (uint64_t)st.st_size;
    }
    letterbox_list_free(paths, count);
    return sum;
}

err_t letterbox_map(const char *path, struct str *bytes, struct fail *f)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    void *map = NULL;

    *bytes = STR("");
    if (fd < 0 && errno == ENOENT)
        return OK; /* its last letter was taken out meanwhile */
    if (fd < 0 || fstat(fd, &st) < 0) {
        err_t e = fail(f, ERR_DISK, "%s: %s", path, strerror(errno));

        if (fd >= 0)
            close(fd);
        return e;
    }
    if (st.st_size)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return fail(f, ERR_DISK, "%s: %s", path, strerror(errno));
    if (map)
        *bytes = (struct str){map, (size_t)st.st_size};
    return OK;
}

void letterbox_unmap(struct str bytes)
{
    if (bytes.n)
        munmap((void *)(uintptr_t)bytes.p, bytes.n);
}

/* -- cutting ----------------------------------------------------------------------------------- */

static bool letterbox_put(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t put = write(fd, p, n);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return false;
        p += put;
        n -= (size_t)put;
    }
    return true;
}

static bool letterbox_is_chosen(const struct deadletter *d, const struct idmap *ids)
{
    uint64_t id = deadletter_id(d);

    return idmap_get(ids, (struct str){(const char *)&id, sizeof(id)}) != NULL;
}

static bool letterbox_has(struct str bytes, const struct idmap *ids)
{
    struct deadletter d;
    size_t skipped = 0;

    while (deadletter_read(&bytes, &d, &skipped)) {
        if (letterbox_is_chosen(&d, ids))
            return true;
    }
    return false;
}

/* Writes all but the letters with these ids; *kept: bytes written, *count: letters left out. */
static bool letterbox_copy(int fd, struct str bytes, const struct idmap *ids, uint64_t *kept,
                           size_t *count)
{
    const char *from = bytes.p; /* what begins here is not written yet */
    struct str rest = bytes;
    struct deadletter d;

    *kept = *count = 0;
    for (;;) {
        const char *before = rest.p;
        size_t skipped = 0;

        if (!deadletter_read(&rest, &d, &skipped))
            break;
        if (!letterbox_is_chosen(&d, ids))
            continue;
        if (!letterbox_put(fd, from, (size_t)(before + skipped - from)))
            return false;
        *kept += (uint64_t)(before + skipped - from);
        from = rest.p;
        ++*count;
    }
    *kept += (uint64_t)(bytes.p + bytes.n - from);
    return letterbox_put(fd, from, (size_t)(bytes.p + bytes.n - from));
}

/* Makes names in a folder last. */
static bool letterbox_sync_folder(const char *path)
{
    char folder[LETTERBOX_PATH + NAME_MAX];
    bool is_good;
    int fd;

    snprintf(folder, sizeof(folder), "%s", path);
    *strrchr(folder, '/') = 0;
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    is_good = fsync(fd) == 0;
    close(fd);
    return is_good;
}

/* The new file takes the old one's place. */
static bool letterbox_replace(const char *path, const char *fresh, uint64_t kept)
{
    fault_point("cut_before_rename");
    if (kept ? rename(fresh, path) < 0 : unlink(path) < 0 || unlink(fresh) < 0)
        return false;
    fault_point("cut_after_rename");
    return letterbox_sync_folder(path);
}

/* The bytes that stay, as a new file; then it takes the old one's place. */
static bool letterbox_rewrite(const char *path, struct str bytes, const struct idmap *ids,
                              size_t *count)
{
    char fresh[LETTERBOX_PATH + NAME_MAX + 8];
    uint64_t kept = 0;
    struct stat st;
    bool is_good;
    int fd;

    snprintf(fresh, sizeof(fresh), "%s%s", path, letterbox_new);
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return false;
    is_good = stat(path, &st) == 0 && (geteuid() != 0 || fchown(fd, st.st_uid, st.st_gid) == 0) &&
              letterbox_copy(fd, bytes, ids, &kept, count) && fdatasync(fd) == 0;
    close(fd);
    return is_good && letterbox_replace(path, fresh, kept);
}

err_t letterbox_cut(const char *path, const struct idmap *ids, size_t *count, struct fail *f)
{
    struct str bytes;
    err_t e;

    *count = 0;
    if ((e = letterbox_map(path, &bytes, f)))
        return e;
    if (letterbox_has(bytes, ids) && !letterbox_rewrite(path, bytes, ids, count)) {
        *count = 0;
        e = fail(f, ERR_DISK, "%s: %s", path, strerror(errno));
    }
    letterbox_unmap(bytes);
    return e;
}
